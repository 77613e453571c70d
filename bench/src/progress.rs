//! What the user sees while it runs: one line that changes on a terminal, a line a step elsewhere.

use crate::result::Round;
use crate::scenario::Cell;
use crate::table::grouped;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Counts the steps, on standard error.
pub(crate) struct Progress {
    steps: usize,
    done: usize,
    rounds: u32,
    started: Instant,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(steps: usize, rounds: u32) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            steps,
            done: 0,
            rounds,
            started: Instant::now(),
            terminal,
        }
    }

    /// A cell starts.
    pub(crate) fn begin(&self, round: u32, cell: &Cell) {
        if self.terminal {
            let name = self.name(round, cell);
            let left = match self.remaining() {
                Some(left) => format!("  about {} s left", left.as_secs() + 1),
                None => String::new(),
            };
            self.show(&format!("[{}/{}] {name}{left}", self.done + 1, self.steps));
        }
    }

    /// A cell ended.
    pub(crate) fn end(&mut self, round: u32, cell: &Cell, outcome: &Round) {
        self.done += 1;
        if !self.terminal {
            let name = self.name(round, cell);
            let said = match &outcome.failure {
                Some(why) => format!("failed: {}", why.lines().next().unwrap_or_default()),
                None => format!(
                    "{} requests/s, p50 {:.1} us",
                    grouped(outcome.rate_per_s),
                    outcome.latency_us.p50
                ),
            };
            eprintln!("[{}/{}] {name}: {said}", self.done, self.steps);
        }
    }

    fn name(&self, round: u32, cell: &Cell) -> String {
        format!(
            "round {} of {}, {}, {}, {}",
            round + 1,
            self.rounds,
            crate::table::connections(cell.connections),
            cell.generator.title(),
            cell.target.name()
        )
    }

    fn remaining(&self) -> Option<Duration> {
        let each = self
            .started
            .elapsed()
            .checked_div(u32::try_from(self.done).ok()?)?;
        Some(each * u32::try_from(self.steps - self.done).ok()?)
    }

    fn show(&self, line: &str) {
        // A terminal that is gone is no reason to stop measuring.
        let _ = write!(std::io::stderr(), "\r\x1b[2K{line}");
        let _ = std::io::stderr().flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            self.show("");
        }
    }
}
