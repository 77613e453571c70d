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
/// Two rates are the same when they differ by less than one part in so many.
const STEADY: u64 = 256;

/// What is known of the counter of the CPU: how many nanoseconds a tick is, and where it stood when.
#[derive(Clone, Copy, Debug, Default)]
struct Calibration {
    /// The last comparison: ticks of the counter, nanoseconds of the clock.
    compared: Option<(u64, u64)>,
    /// Nanoseconds a tick, in units of 2^-32, as measured last.
    rate: u64,
    /// Ticks after the comparison for which the counter is believed; zero when it is not.
    trusted: u64,
}

impl Calibration {
    /// Nanoseconds of the clock when the counter stands there, if it is to be believed.
    #[inline]
    fn read(&self, ticks: u64) -> Option<u64> {
        let (then, nanos) = self.compared?;
        let ticked = ticks.wrapping_sub(then);
        // Below 2^64: a trusted stretch is 10 ms, in units of 2^-32 ns.
        (ticked < self.trusted).then(|| nanos + ((ticked * self.rate) >> 32))
    }

    /// Both were read at the same time. The counter is believed when it went at one rate twice in a
    /// row: after a jump it has to show that once more.
    fn compare(&mut self, ticks: u64, nanos: u64) {
        let Some((old_ticks, old_nanos)) = self.compared else {
            self.compared = Some((ticks, nanos));
            return;
        };
        let (ticked, passed) = (
            ticks.wrapping_sub(old_ticks),
            nanos.saturating_sub(old_nanos),
        );
        if passed < TRUST / 2 {
            // Too short to measure a rate by; what was asked meanwhile came from the machine.
            return;
        }
        let rate = (u128::from(passed) << 32).checked_div(u128::from(ticked));
        let rate = rate.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0);
        // Between 100 MHz and 20 GHz, or it is no counter to go by.
        let plausible = ((1 << 32) / 20..(10 << 32)).contains(&rate);
        let steady = rate.abs_diff(self.rate) <= self.rate / STEADY;
        self.rate = rate;
        self.trusted = if plausible && steady {
            ((u128::from(TRUST) << 32) / u128::from(rate)) as u64
        } else {
            0
        };
        self.compared = Some((ticks, nanos));
    }
}

/// The machine's monotonic clock; its epoch is shortly before the value was made.
///
/// Asking the machine takes longer than a short segment does, so in between the CPU's counter is asked,
/// where it has a steady one: it tells how far time went since the machine's clock was asked last, for
/// 10 ms. A counter that jumps meanwhile misleads for no longer than that, and never backwards.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    epoch: std::time::Instant,
    calibration: Calibration,
    /// What was shown last.
    shown: u64,
}

impl MonotonicClock {
    /// A clock that starts at one second.
    pub fn new() -> Self {
        Self {
            epoch: std::time::Instant::now(),
            calibration: Calibration::default(),
            shown: START,
        }
    }

    /// What the machine's clock says.
    fn nanos(&self) -> u64 {
        START + self.epoch.elapsed().as_nanos() as u64
    }

    /// Asks the machine, and compares the counter with it.
    #[cold]
    fn compare(&mut self) -> u64 {
        let (before, nanos, after) = (byway_sys::ticks(), self.nanos(), byway_sys::ticks());
        if let (Some(before), Some(after)) = (before, after) {
            if after.wrapping_sub(before) <= TOGETHER {
                self.calibration.compare(after, nanos);
            } else {
                // Something came in between: these readings say nothing about each other.
                self.calibration.trusted = 0;
            }
        }
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
        let counted = byway_sys::ticks().and_then(|ticks| self.calibration.read(ticks));
        let nanos = match counted {
            Some(nanos) => nanos,
            None => self.compare(),
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
        assert_eq!(clock.calibration.rate > 0, byway_sys::ticks().is_some());
    }

    /// A counter of 2 GHz, compared every 10 ms.
    fn calibrated() -> (Calibration, u64, u64) {
        let mut calibration = Calibration::default();
        let (mut ticks, mut nanos) = (77, 1_000);
        for _ in 0..3 {
            assert_eq!(
                calibration.read(ticks),
                None,
                "one rate alone is not believed"
            );
            calibration.compare(ticks, nanos);
            (ticks, nanos) = (ticks + 20_000_000, nanos + 10_000_000);
        }
        (calibration, ticks - 20_000_000, nanos - 10_000_000)
    }

    #[test]
    fn a_steady_counter_is_believed_for_ten_ms() {
        let (calibration, ticks, nanos) = calibrated();
        assert_eq!(calibration.read(ticks), Some(nanos));
        assert_eq!(calibration.read(ticks + 2_000), Some(nanos + 1_000));
        assert_eq!(
            calibration.read(ticks + 19_999_990),
            Some(nanos + 9_999_995)
        );
        assert_eq!(calibration.read(ticks + 20_000_000), None);
        assert_eq!(calibration.read(ticks - 1), None, "it went back");
    }

    #[test]
    fn after_a_jump_the_counter_has_to_prove_itself() {
        for jump in [50_000_000u64, 1 << 40, 20_000_000u64.wrapping_neg()] {
            let (mut calibration, ticks, nanos) = calibrated();
            let (mut ticks, mut nanos) = (
                ticks.wrapping_add(20_000_000).wrapping_add(jump),
                nanos + 10_000_000,
            );
            calibration.compare(ticks, nanos);
            assert_eq!(calibration.read(ticks), None);
            for expected in [None, Some(())] {
                (ticks, nanos) = (ticks.wrapping_add(20_000_000), nanos + 10_000_000);
                calibration.compare(ticks, nanos);
                assert_eq!(calibration.read(ticks), expected.map(|()| nanos), "{jump}");
            }
        }
    }

    #[test]
    fn what_is_no_counter_is_never_believed() {
        for ticks_a_ms in [0, 10, 1 << 40] {
            let mut calibration = Calibration::default();
            for ms in (0..100).step_by(10) {
                let ticks = 5 + ms * ticks_a_ms;
                calibration.compare(ticks, ms * 1_000_000);
                assert_eq!(calibration.read(ticks), None, "{ticks_a_ms}");
            }
        }
    }

    #[test]
    fn time_that_was_shown_is_not_taken_back() {
        let mut clock = MonotonicClock::new();
        clock.shown = u64::MAX / 2;
        assert_eq!(clock.now().as_nanos(), u64::MAX / 2);
    }
}
