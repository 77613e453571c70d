//! The delivery rate: what arrives at the peer in a round trip, by the time that takes.

use crate::record::HotTx;
use crate::time::{Duration, Instant};
use byway_wire::SeqNumber;

/// Counts what is delivered round by round; a round ends when what was sent at its end is
/// acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DeliveryRate {
    /// When this round began, and SND.NXT at that time.
    round: Option<(Instant, SeqNumber)>,
    octets: u64,
    /// Octets a second in the last round that ended, zero before.
    rate: u64,
}

impl DeliveryRate {
    /// An acknowledgment up to `ack` delivered `octets`.
    pub(crate) fn on_ack(&mut self, octets: u32, ack: SeqNumber, conn: &HotTx, now: Instant) {
        let snd_nxt = conn.snd_nxt;
        let Some((began, end)) = self.round else {
            self.round = Some((now, snd_nxt));
            return;
        };
        self.octets += u64::from(octets);
        // ACKs that come in one burst end no round: the time between them says nothing.
        let elapsed = now.since(began);
        let half_trip = Duration::from_micros(u64::from(conn.rtt.srtt_us / 2).max(1));
        if ack.before(end) || elapsed < half_trip {
            return;
        }
        let rate = u128::from(self.octets) * 1_000_000_000 / elapsed.as_nanos();
        self.rate = rate.min(u128::from(u64::MAX)) as u64;
        self.octets = 0;
        self.round = Some((now, snd_nxt));
    }

    /// Nothing was in flight for a while: a new round begins with the next acknowledgment.
    pub(crate) fn pause(&mut self) {
        self.round = None;
        self.octets = 0;
    }

    /// Octets a second, `None` while no round has ended.
    pub(crate) fn rate(&self) -> Option<u64> {
        (self.rate > 0).then_some(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::record::Connection;
    use crate::state::State;
    use byway_wire::FlowKey;

    #[test]
    fn a_round_is_what_was_in_flight_at_its_start() {
        let seq = SeqNumber::new;
        let start = Instant::from_nanos(5);
        let (flow, config) = (FlowKey::default(), Config::default());
        let mut conn = Connection::blank(flow, State::Established, seq(0), 1000, start, &config);
        conn.tx.rtt.sample(Duration::from_millis(10));
        let mut delivery = DeliveryRate::default();
        let mut ack = |octets, ack, snd_nxt, after_ms| {
            conn.tx.snd_nxt = seq(snd_nxt);
            let now = start + Duration::from_millis(after_ms);
            delivery.on_ack(octets, seq(ack), &conn.tx, now);
            delivery.rate()
        };
        assert_eq!(ack(1000, 1000, 11_000, 0), None);
        assert_eq!(ack(6000, 7000, 17_000, 5), None);
        assert_eq!(ack(4000, 11_000, 21_000, 10), Some(1_000_000));
        assert_eq!(ack(10_000, 21_000, 31_000, 11), Some(1_000_000), "a burst");
        assert_eq!(ack(10_000, 31_000, 41_000, 20), Some(2_000_000));
    }
}
