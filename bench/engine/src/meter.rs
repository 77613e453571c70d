//! What is timed, or counted, and nothing else: turns of the shard.

use crate::bed::EngineShard;
use hdrhistogram::Histogram;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Turns are not told apart beyond this.
const LONGEST_TURN_NS: u64 = 10_000_000_000;

/// What happens to a stretch of turns.
#[derive(Debug, Default)]
enum Mode {
    /// It only runs: to warm up.
    #[default]
    Run,
    /// It is timed as a whole, and callgrind counts it.
    Measure,
    /// Each turn is timed by itself, in nanoseconds.
    Turns(Box<Histogram<u64>>),
}

/// Measures turns.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    mode: Mode,
    spent: Duration,
}

impl Meter {
    /// A meter that measures nothing yet.
    pub(crate) fn idle() -> Self {
        Self::default()
    }

    /// A meter that times stretches of turns.
    pub(crate) fn measuring() -> Self {
        Self {
            mode: Mode::Measure,
            spent: Duration::ZERO,
        }
    }

    /// A meter that times each turn.
    pub(crate) fn of_turns() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_TURN_NS, 3);
        let histogram = histogram.expect("three digits are possible");
        Self {
            mode: Mode::Turns(Box::new(histogram)),
            spent: Duration::ZERO,
        }
    }

    /// The lengths of the turns, when these were timed one by one.
    pub(crate) fn histogram(&self) -> Option<&Histogram<u64>> {
        match &self.mode {
            Mode::Turns(histogram) => Some(histogram),
            _ => None,
        }
    }

    /// The time that was measured.
    pub(crate) fn spent(&self) -> Duration {
        self.spent
    }

    /// Turns the shard until no frame waits for it.
    pub(crate) fn turns(&mut self, shard: &mut EngineShard) {
        match &mut self.mode {
            Mode::Run => drain(shard),
            Mode::Measure => {
                let start = Instant::now();
                measured_turns(shard);
                self.spent += start.elapsed();
            }
            Mode::Turns(histogram) => {
                while shard.port().pending() > 0 {
                    let start = Instant::now();
                    shard.turn();
                    histogram.saturating_record(start.elapsed().as_nanos() as u64);
                }
            }
        }
    }

    /// Runs something that is no shard of ours, measured in the same way.
    #[cfg(feature = "peers")]
    pub(crate) fn run(&mut self, work: impl FnOnce()) {
        let start = Instant::now();
        work();
        if matches!(self.mode, Mode::Measure) {
            self.spent += start.elapsed();
        }
    }
}

/// The function between whose entry and return callgrind counts: it is found by its name.
#[inline(never)]
fn measured_turns(shard: &mut EngineShard) {
    drain(shard);
    // Not the last thing it does: a jump in place of a call would have no return to see.
    black_box(());
}

#[inline(never)]
fn drain(shard: &mut EngineShard) {
    while shard.port().pending() > 0 {
        shard.turn();
    }
}

/// What two readings of the clock take, in nanoseconds: the part of a stretch that is not its own.
pub(crate) fn timer_cost() -> f64 {
    let rounds = 10_000;
    let mut sum = Duration::ZERO;
    for _ in 0..rounds {
        let start = Instant::now();
        sum += black_box(start.elapsed());
    }
    sum.as_nanos() as f64 / f64::from(rounds)
}
