//! Clocks: the only source of time. A shard reads its clock once a turn.

use byway_tcp::time::{Duration, Instant};
use std::cell::Cell;
use std::rc::Rc;

/// Gives the time; never goes backwards.
pub trait Clock {
    /// Now, in nanoseconds since the epoch of this clock.
    fn now(&mut self) -> Instant;
}

/// What the clock shows at its epoch, so that "a moment ago" can be said from the first turn.
const START: u64 = 1_000_000_000;
/// Nanoseconds after which the counter of the CPU is compared with the machine's clock once more.
const TRUST: u64 = 10_000_000;
/// Ticks between two readings that count as one: some microseconds.
const TOGETHER: u64 = 20_000;

/// The machine's monotonic clock; its epoch is shortly before the value was made.
///
/// Asking the machine takes longer than a short segment does, so in between the CPU's counter is asked,
/// where it has a steady one: it tells how far time went since the machine's clock was asked last, for
/// 10 ms. A counter that jumps meanwhile misleads for no longer than that, and never backwards.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    epoch: std::time::Instant,
    /// The last comparison: ticks of the counter, nanoseconds of the clock.
    compared: Option<(u64, u64)>,
    /// Ticks for which the counter is trusted; zero while its rate is unknown.
    trusted: u64,
    /// Nanoseconds a tick, in units of 2^-32.
    rate: u64,
    /// What was shown last.
    shown: u64,
}

impl MonotonicClock {
    /// A clock that starts at one second.
    pub fn new() -> Self {
        Self {
            epoch: std::time::Instant::now(),
            compared: None,
            trusted: 0,
            rate: 0,
            shown: START,
        }
    }

    /// What the machine's clock says.
    fn nanos(&self) -> u64 {
        START + self.epoch.elapsed().as_nanos() as u64
    }

    /// Asks the machine, and measures the counter by it.
    #[cold]
    fn compare(&mut self) -> u64 {
        let (before, nanos) = (byway_sys::ticks(), self.nanos());
        let (Some(before), Some(ticks)) = (before, byway_sys::ticks()) else {
            return nanos;
        };
        if ticks.wrapping_sub(before) > TOGETHER {
            // Something came in between: these readings say nothing about each other.
            self.trusted = 0;
            return nanos;
        }
        let Some((old_ticks, old_nanos)) = self.compared else {
            self.compared = Some((ticks, nanos));
            return nanos;
        };
        let (ticked, passed) = (ticks.wrapping_sub(old_ticks), nanos - old_nanos);
        if passed < TRUST / 2 {
            // Too short to measure a rate by; what was asked meanwhile came from the machine.
            return nanos;
        }
        let rate = (u128::from(passed) << 32).checked_div(u128::from(ticked));
        // Between 100 MHz and 20 GHz, or it is no counter to go by.
        self.rate = rate.map_or(0, |rate| rate as u64);
        let plausible = (1 << 32) / 20..(10 << 32);
        self.trusted = match plausible.contains(&self.rate) {
            true => ((u128::from(TRUST) << 32) / u128::from(self.rate)) as u64,
            false => 0,
        };
        self.compared = Some((ticks, nanos));
        nanos
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
        let ticks = byway_sys::ticks();
        let nanos = match (ticks, self.compared) {
            (Some(ticks), Some((then, nanos))) if ticks.wrapping_sub(then) < self.trusted => {
                // Below 2^64: a trusted stretch is 10 ms, in units of 2^-32 ns.
                nanos + ((ticks.wrapping_sub(then) * self.rate) >> 32)
            }
            _ => self.compare(),
        };
        self.shown = self.shown.max(nanos);
        Instant::from_nanos(self.shown)
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

    /// Asked of the counter or of the machine, the time lies between two readings of the machine's.
    #[test]
    fn the_monotonic_clock_agrees_with_the_machine() {
        let mut clock = MonotonicClock::new();
        let of_machine =
            |clock: &MonotonicClock| clock.epoch.elapsed() + Duration::from_nanos(START);
        let slack = Duration::from_micros(100);
        let end = std::time::Instant::now() + Duration::from_millis(60);
        while std::time::Instant::now() < end {
            let before = of_machine(&clock);
            let now = Duration::from_nanos(clock.now().as_nanos());
            let after = of_machine(&clock);
            assert!(before <= now + slack && now <= after + slack);
        }
        assert_eq!(clock.rate > 0, byway_sys::ticks().is_some());
    }

    #[test]
    fn a_counter_that_jumps_is_not_believed() {
        let mut clock = MonotonicClock::new();
        clock.compared = Some((u64::MAX / 2, 0));
        clock.trusted = 1_000;
        clock.rate = 1 << 32;
        let before = clock.epoch.elapsed() + Duration::from_nanos(START);
        let now = Duration::from_nanos(clock.now().as_nanos());
        assert!(before <= now && now <= before + Duration::from_secs(10));
    }
}
