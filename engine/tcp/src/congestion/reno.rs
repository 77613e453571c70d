//! Reno: one segment more a round trip, half as much after a loss (RFC 5681).

use super::{Acked, CongestionControl, L, Window, floor};
use crate::time::Instant;

/// State of Reno.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reno {
    /// Octets acknowledged and not yet turned into a larger window.
    credit: u32,
}

impl CongestionControl for Reno {
    /// By octets, so that a peer gains nothing by splitting its ACKs (RFC 3465).
    //= rfc9293 3.8.2 MUST-19
    //= rfc5681 3 S3-1
    //= rfc5681 3.1 S3.1-6 S3.1-8
    fn on_acknowledged(&mut self, acked: &Acked, window: &mut Window) {
        if window.in_slow_start() {
            return window.grow_to_threshold(acked.octets.min(L * acked.mss));
        }
        self.credit = self.credit.saturating_add(acked.octets);
        if self.credit >= window.cwnd {
            self.credit -= window.cwnd;
            window.grow(acked.mss);
        }
    }

    //= rfc5681 3.2 S3.2-6
    fn on_congestion(&mut self, _now: Instant, mss: u32, window: &Window) -> u32 {
        self.credit = 0;
        (window.cwnd / 2).max(floor(mss))
    }

    fn on_timeout(&mut self, now: Instant, mss: u32, window: &Window) -> u32 {
        self.on_congestion(now, mss, window)
    }

    fn on_undo(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;
    use byway_wire::SeqNumber;

    #[test]
    fn doubles_in_slow_start_then_one_segment_a_round() {
        let acked = |octets| Acked {
            now: Instant::from_nanos(0),
            octets,
            ack: SeqNumber::new(0),
            snd_nxt: SeqNumber::new(0),
            rtt: None,
            srtt: Duration::from_millis(10),
            mss: 1000,
        };
        let mut reno = Reno::default();
        let mut window = Window {
            cwnd: 10_000,
            ssthresh: 20_000,
        };
        for _ in 0..10 {
            reno.on_acknowledged(&acked(1000), &mut window);
        }
        assert_eq!(window.cwnd, 20_000);
        window.cwnd = 10_000;
        reno.on_acknowledged(&acked(10_000), &mut window);
        assert_eq!(window.cwnd, 18_000, "no more for an ACK of many");
        window.cwnd = 20_000;
        for _ in 0..20 {
            reno.on_acknowledged(&acked(1000), &mut window);
        }
        assert_eq!(window.cwnd, 21_000);
        assert_eq!(reno.on_congestion(acked(0).now, 1000, &window), 10_500);
        window.cwnd = 1000;
        assert_eq!(reno.on_timeout(acked(0).now, 1000, &window), 2000);
    }
}
