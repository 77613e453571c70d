//! Clocks: the only source of time. A shard reads its clock once a turn.

use byway_tcp::time::{Duration, Instant};
use std::cell::Cell;
use std::rc::Rc;

/// Gives the time; never goes backwards.
pub trait Clock {
    /// Now, in nanoseconds since the epoch of this clock.
    fn now(&mut self) -> Instant;
}

/// The machine's monotonic clock; its epoch is shortly before the value was made.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    epoch: std::time::Instant,
}

impl MonotonicClock {
    /// A clock that starts at one second, so that "a moment ago" can be said from the first turn.
    pub fn new() -> Self {
        Self {
            epoch: std::time::Instant::now(),
        }
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MonotonicClock {
    #[inline]
    fn now(&mut self) -> Instant {
        let elapsed = self.epoch.elapsed();
        Instant::from_nanos(1_000_000_000) + elapsed
    }
}

/// A clock that moves only when told to. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Rc<Cell<Instant>>,
}

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Instant) -> Self {
        Self {
            now: Rc::new(Cell::new(start)),
        }
    }

    /// Moves this clock and its clones forward.
    pub fn advance(&self, by: Duration) {
        self.now.set(self.now.get() + by);
    }

    /// Moves this clock and its clones to `to`, unless they are past it already.
    pub fn advance_to(&self, to: Instant) {
        self.now.set(self.now.get().max(to));
    }

    /// The time shown, without the need for a mutable clock.
    pub fn peek(&self) -> Instant {
        self.now.get()
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new(Instant::from_nanos(1_000_000_000))
    }
}

impl Clock for ManualClock {
    #[inline]
    fn now(&mut self) -> Instant {
        self.now.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_manual_clock_move_together_and_never_back() {
        let clock = ManualClock::default();
        let mut other = clock.clone();
        let start = other.now();
        clock.advance(Duration::from_millis(3));
        assert_eq!(other.now(), start + Duration::from_millis(3));
        clock.advance_to(start);
        assert_eq!(other.now(), start + Duration::from_millis(3));
    }

    #[test]
    fn the_monotonic_clock_moves_forward() {
        let mut clock = MonotonicClock::new();
        let first = clock.now();
        assert!(clock.now() >= first);
    }
}
