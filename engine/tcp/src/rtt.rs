//! Round-trip time and the retransmission timeout (RFC 6298).

use crate::config::Config;
use crate::time::Duration;

/// The estimator's two variables in microseconds; zero `srtt` means "nothing measured yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rtt {
    pub(crate) srtt_us: u32,
    pub(crate) rttvar_us: u32,
}

impl Rtt {
    /// Takes a measurement (RFC 6298 §2.2, §2.3; alpha 1/8, beta 1/4).
    //= rfc9293 3.8.1 MUST-18
    //= rfc6298 2 S2-1 S2-3 S2-4
    pub(crate) fn sample(&mut self, rtt: Duration) {
        let r = (rtt.as_micros().min(u128::from(u32::MAX / 8)) as u32).max(1);
        if self.srtt_us == 0 {
            self.srtt_us = r;
            self.rttvar_us = r / 2;
            return;
        }
        let error = self.srtt_us.abs_diff(r);
        self.rttvar_us = self.rttvar_us - self.rttvar_us / 4 + error / 4;
        self.srtt_us = self.srtt_us - self.srtt_us / 8 + r / 8;
    }

    /// A round trip that is hardly ever shorter; zero before the first measurement.
    pub(crate) fn least(&self) -> Duration {
        let spread = self.rttvar_us.saturating_mul(4).min(self.srtt_us / 2);
        Duration::from_micros(u64::from(self.srtt_us - spread))
    }

    /// A SYN was lost and nothing is measured: start with three seconds (RFC 6298 §5.7). While
    /// `srtt_us` is zero the other variable is that start.
    //= rfc6298 5 S5-8
    pub(crate) fn restart(&mut self) {
        if self.srtt_us == 0 {
            self.rttvar_us = 3_000_000;
        }
    }

    /// The timeout with `backoff` doublings, within the bounds of the configuration. Nanoseconds in
    /// one word all the way: it is asked for with every segment.
    //= rfc9293 3.8.1 MUST-18
    //= rfc6298 2 S2-2 S2-5 S2-7
    #[inline]
    pub(crate) fn timeout(&self, config: &Config, backoff: u8) -> Duration {
        Duration::from_nanos(self.timeout_nanos(config, backoff))
    }

    /// The same in nanoseconds.
    #[inline]
    pub(crate) fn timeout_nanos(&self, config: &Config, backoff: u8) -> u64 {
        let nanos = |time: Duration| time.as_nanos() as u64;
        let base = if self.srtt_us == 0 && self.rttvar_us > 0 {
            u64::from(self.rttvar_us) * 1000
        } else if self.srtt_us == 0 {
            nanos(config.rto_initial)
        } else {
            // The bound is on the variance term: with it on the sum, a long path with a steady delay
            // would time out at the first delayed acknowledgment.
            let variance = u64::from(self.rttvar_us) * 4000;
            u64::from(self.srtt_us) * 1000 + variance.max(nanos(config.rto_min))
        };
        let doubled = base.saturating_mul(1 << backoff.min(16));
        doubled.min(nanos(config.rto_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= rfc9293 3.8.1 MUST-18
    //= rfc6298 2 S2-1 S2-2 S2-3 S2-4 S2-5
    #[test]
    fn the_first_sample_sets_and_later_ones_smooth() {
        let config = Config {
            rto_min: Duration::ZERO,
            ..Config::default()
        };
        let mut rtt = Rtt::default();
        assert_eq!(rtt.timeout(&config, 0), Duration::from_secs(1));
        rtt.sample(Duration::from_millis(100));
        assert_eq!((rtt.srtt_us, rtt.rttvar_us), (100_000, 50_000));
        assert_eq!(rtt.timeout(&config, 0), Duration::from_millis(300));
        rtt.sample(Duration::from_millis(180));
        assert_eq!((rtt.srtt_us, rtt.rttvar_us), (110_000, 57_500));
    }

    //= rfc6298 2 S2-7
    #[test]
    fn back_off_doubles_and_stops_at_the_maximum() {
        let config = Config::default();
        let mut rtt = Rtt::default();
        rtt.sample(Duration::from_micros(20));
        let least = config.rto_min + Duration::from_micros(20);
        assert_eq!(rtt.timeout(&config, 0), least);
        assert_eq!(rtt.timeout(&config, 3), least * 8);
        assert_eq!(rtt.timeout(&config, 255), config.rto_max);
    }
}
