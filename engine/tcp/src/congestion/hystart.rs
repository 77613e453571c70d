//! HyStart++ (RFC 9406): slow start that ends before it fills the queue.

use super::{Acked, L};
use crate::time::Duration;
use byway_wire::SeqNumber;

const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u32 = 8;
//= rfc9406 4.3 S4.3-2
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u32 = 5;

/// State of one slow start; a round is what one window takes to be acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HyStart {
    /// The round ends when this is acknowledged.
    window_end: Option<SeqNumber>,
    last_round_min: Duration,
    current_round_min: Duration,
    samples: u32,
    /// In conservative slow start: the round-trip time that started it, and rounds so far.
    conservative: Option<(Duration, u32)>,
}

impl Default for HyStart {
    fn default() -> Self {
        Self {
            window_end: None,
            last_round_min: Duration::MAX,
            current_round_min: Duration::MAX,
            samples: 0,
            conservative: None,
        }
    }
}

impl HyStart {
    /// Octets by which the window grows for this acknowledgment.
    //= rfc9406 4.2 S4.2-1 S4.2-3
    pub(crate) fn on_acknowledged(&mut self, acked: &Acked) -> u32 {
        // The ACK that ends a round is a sample of that round.
        let end = *self.window_end.get_or_insert(acked.snd_nxt);
        if let Some(rtt) = acked.rtt {
            self.current_round_min = self.current_round_min.min(rtt);
            self.samples += 1;
            self.judge();
        }
        if acked.ack.at_or_after(end) {
            self.begin_round(acked.snd_nxt);
        }
        let counted = acked.octets.min(L * acked.mss);
        match self.conservative {
            None => counted,
            Some(_) => counted / CSS_GROWTH_DIVISOR,
        }
    }

    /// Conservative slow start has lasted long enough: congestion avoidance begins.
    //= rfc9406 4.2 S4.2-5
    pub(crate) fn is_over(&self) -> bool {
        self.conservative
            .is_some_and(|(_, rounds)| rounds >= CSS_ROUNDS)
    }

    fn begin_round(&mut self, end: SeqNumber) {
        self.window_end = Some(end);
        self.last_round_min = self.current_round_min;
        self.current_round_min = Duration::MAX;
        self.samples = 0;
        if let Some((_, rounds)) = &mut self.conservative {
            *rounds += 1;
        }
    }

    /// Enough samples of this round: did the delay grow, or was it a false alarm?
    //= rfc9406 4.2 S4.2-2 S4.2-4
    fn judge(&mut self) {
        if self.samples < N_RTT_SAMPLE || self.current_round_min == Duration::MAX {
            return;
        }
        match self.conservative {
            Some((baseline, _)) if self.current_round_min < baseline => self.conservative = None,
            None if self.last_round_min != Duration::MAX => {
                let threshold =
                    (self.last_round_min / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if self.current_round_min >= self.last_round_min + threshold {
                    self.conservative = Some((self.current_round_min, 0));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    /// Ten ACKs of a round with this delay; what the window grew by.
    fn round(hystart: &mut HyStart, number: u32, rtt_ms: u64) -> u32 {
        (0..10)
            .map(|i| {
                hystart.on_acknowledged(&Acked {
                    now: Instant::from_nanos(0),
                    octets: 1000,
                    ack: SeqNumber::new(number * 10_000 + i * 1000 + 1000),
                    snd_nxt: SeqNumber::new(number * 10_000 + 11_000),
                    rtt: Some(Duration::from_millis(rtt_ms)),
                    srtt: Duration::from_millis(rtt_ms),
                    mss: 1000,
                })
            })
            .sum()
    }

    //= rfc9406 4.2 S4.2-1
    #[test]
    fn a_steady_delay_goes_on_doubling() {
        let mut hystart = HyStart::default();
        for number in 0..20 {
            assert_eq!(round(&mut hystart, number, 20), 10_000);
        }
        assert!(!hystart.is_over());
        let all_at_once = Acked {
            now: Instant::from_nanos(0),
            octets: 50_000,
            ack: SeqNumber::new(300_000),
            snd_nxt: SeqNumber::new(300_001),
            rtt: None,
            srtt: Duration::from_millis(20),
            mss: 1000,
        };
        assert_eq!(hystart.on_acknowledged(&all_at_once), 8_000);
    }

    //= rfc9406 4.2 S4.2-2 S4.2-3 S4.2-5
    //= rfc9406 4.3 S4.3-2
    //= rfc9438 4.10 S4.10-2
    #[test]
    fn a_growing_delay_slows_down_then_ends_slow_start() {
        let mut hystart = HyStart::default();
        round(&mut hystart, 0, 20);
        round(&mut hystart, 1, 20);
        round(&mut hystart, 2, 30);
        assert!(round(&mut hystart, 3, 31) < 3_000);
        for number in 4..8 {
            round(&mut hystart, number, 32);
        }
        assert!(hystart.is_over());
    }

    //= rfc9406 4.2 S4.2-4
    #[test]
    fn a_false_alarm_is_taken_back() {
        let mut hystart = HyStart::default();
        round(&mut hystart, 0, 20);
        round(&mut hystart, 1, 20);
        round(&mut hystart, 2, 30);
        round(&mut hystart, 3, 20);
        assert_eq!(round(&mut hystart, 4, 20), 10_000);
    }
}
