//! Pacing: what the window lets out at once leaves spread over the round trip, so that the queue of
//! the bottleneck does not have to take it all.
//!
//! A sender that is clocked by ACKs hardly notices. Bursts are paced: after an ACK that covers much, or
//! all while more waits, at the end of a recovery. An application that had paused, so that nothing was
//! in flight and nothing waited, begins with an initial window at once, as a new connection does. Below a millisecond of round trip
//! nothing is: no timer is fine enough, and no queue that short.

use crate::connection::Tcp;
use crate::record::{Connection, Marks};
use crate::time::{Duration, Instant};

/// Round trips shorter than this are not paced, in microseconds.
const SHORTEST_TRIP_US: u32 = 1_000;
/// A burst of this long is let out at once: timers would cost more than it does harm.
const QUANTUM: Duration = Duration::from_millis(1);
/// Segments that always go together.
const COMPANY: u32 = 2;

/// Pacing's variables.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// When everything sent so far has had its time.
    free_at: Instant,
    /// When something was sent last.
    at: Instant,
}

/// Pacing's state: nothing before the first octet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace(Option<Turn>);

impl Connection {
    /// Whether the next segment has to wait for its turn. Then [`deadline`](Self::deadline) tells
    /// until when.
    pub(crate) fn waits_for_its_turn(&mut self, now: Instant, tcp: &Tcp) -> bool {
        let waits = self.is_paced(tcp)
            && tcp
                .flights
                .get(self.tx.flight)
                .and_then(|flight| flight.pace.free_at())
                .is_some_and(|free_at| free_at > now);
        self.id.marks.set(Marks::PACED, waits);
        waits
    }

    /// When the next segment may leave, if it waits for that.
    pub(crate) fn next_turn(&self, tcp: &Tcp) -> Instant {
        tcp.flights
            .get(self.tx.flight)
            .filter(|_| self.id.marks.has(Marks::PACED))
            .and_then(|flight| flight.pace.free_at())
            .unwrap_or(Instant::NEVER)
    }

    #[inline]
    fn is_paced(&self, tcp: &Tcp) -> bool {
        tcp.config.pacing && self.tx.rtt.srtt_us >= SHORTEST_TRIP_US
    }

    /// `octets` leave: the next may when these have had their time.
    pub(crate) fn take_turn(&mut self, octets: u32, now: Instant, tcp: &mut Tcp) {
        if !self.is_paced(tcp) {
            return;
        }
        let mss = u32::from(self.tx.mss);
        let start = self.time_of(tcp.config.initial_window * mss);
        let going = self.time_of(COMPANY * mss).max(QUANTUM);
        let cost = self.time_of(octets);
        if let Some(flight) = tcp.flights.get_mut(self.tx.flight) {
            flight.pace.charge(now, cost, start, going);
        }
    }

    /// How long `octets` take at the pace of the connection: twice a window in a round trip while
    /// the window may double, else a fifth more than a window, so that pacing never is the limit.
    fn time_of(&self, octets: u32) -> Duration {
        let window = &self.tx.window;
        let (num, den) = if window.cwnd < window.ssthresh / 2 {
            (1, 2)
        } else {
            (5, 6)
        };
        let cwnd = u64::from(window.cwnd.max(self.in_flight()).max(1));
        let trip = u64::from(self.tx.rtt.srtt_us) * 1000;
        Duration::from_nanos(u64::from(octets) * trip / cwnd * num / den)
    }
}

impl Pace {
    /// When the next octet may leave.
    fn free_at(&self) -> Option<Instant> {
        self.0.map(|turn| turn.free_at)
    }

    /// Takes `cost` of the time that was saved up: `start` before the first octet, later as much as
    /// passes, up to `going`.
    fn charge(&mut self, now: Instant, cost: Duration, start: Duration, going: Duration) {
        let saved = match self.0 {
            None => start,
            Some(turn) => {
                let left = turn.at.since(turn.free_at);
                now.since(turn.free_at).min(going).max(left)
            }
        };
        let debt = self
            .0
            .map_or(Duration::ZERO, |turn| turn.free_at.since(now));
        self.0 = Some(Turn {
            free_at: now + debt - saved + cost,
            at: now,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// How many segments of `MS` each leave at once.
    fn burst(pace: &mut Pace, now: Instant) -> usize {
        let mut sent = 0;
        while pace.free_at().is_none_or(|at| at <= now) {
            pace.charge(now, MS, 10 * MS, 2 * MS);
            sent += 1;
        }
        sent
    }

    #[test]
    fn a_burst_at_the_start_then_one_by_one() {
        let mut pace = Pace::default();
        let start = Instant::from_nanos(1_000_000_000);
        assert_eq!(burst(&mut pace, start), 11);
        assert_eq!(burst(&mut pace, start), 0);
        assert_eq!(burst(&mut pace, start + MS), 1);
        assert_eq!(burst(&mut pace, start + 2 * MS), 1);
        assert_eq!(
            burst(&mut pace, start + 50 * MS),
            3,
            "what was saved is bounded"
        );
    }

    #[test]
    fn what_is_left_of_the_start_stays() {
        let mut pace = Pace::default();
        let start = Instant::from_nanos(1_000_000_000);
        (0..4).for_each(|_| pace.charge(start, MS, 10 * MS, 2 * MS));
        let later = start + Duration::from_micros(1);
        assert_eq!(burst(&mut pace, later), 7);
    }
}
