//! What the user sees while it runs: one line that changes on a terminal, a line a step elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Counts the steps, on standard error.
pub(crate) struct Progress {
    steps: usize,
    done: usize,
    started: Instant,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(steps: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            steps,
            done: 0,
            started: Instant::now(),
            terminal,
        }
    }

    /// A step starts.
    pub(crate) fn begin(&self, name: &str) {
        if self.terminal {
            let left = match self.remaining() {
                Some(left) => format!("  about {} s left", left.as_secs() + 1),
                None => String::new(),
            };
            self.show(&format!("[{}/{}] {name}{left}", self.done + 1, self.steps));
        }
    }

    /// A step ended.
    pub(crate) fn end(&mut self, name: &str, said: &str) {
        self.done += 1;
        if !self.terminal {
            eprintln!("[{}/{}] {name}: {said}", self.done, self.steps);
        }
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
