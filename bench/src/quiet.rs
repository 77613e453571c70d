//! Waiting for other programs to be quiet.

use crate::cpu::{CpuTime, Snapshot};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The processors are watched for this long at a time.
const WATCH: Duration = Duration::from_millis(200);
/// Below this share of its time no processor is busy.
const IDLE: f64 = 0.1;

/// Time that may be spent on it.
#[derive(Debug)]
pub(crate) struct Quiet {
    left: Duration,
}

impl Quiet {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { left: patience }
    }

    /// Takes this much of the time that is left; false when there is none.
    pub(crate) fn spend(&mut self, time: Duration) -> bool {
        let some = !self.left.is_zero();
        self.left = self.left.saturating_sub(time);
        some
    }

    /// Waits until all processors are idle, the time is used up, or `stop` is set.
    pub(crate) fn wait(&mut self, stop: &AtomicBool) {
        while !self.left.is_zero() && !stop.load(Ordering::Relaxed) {
            let (began, before) = (Instant::now(), Snapshot::now());
            sleep(WATCH);
            let busy = Snapshot::now().since(&before);
            if busy
                .iter()
                .map(CpuTime::busy_share)
                .all(|share| share < IDLE)
            {
                // The watch is part of every round then, and not the price of a disturbed one.
                return;
            }
            self.spend(began.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends() {
        let mut quiet = Quiet::new(Duration::from_millis(500));
        let working = AtomicBool::new(true);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while working.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            let began = Instant::now();
            quiet.wait(&AtomicBool::new(false));
            assert!(began.elapsed() >= Duration::from_millis(500));
            assert!(!quiet.spend(Duration::ZERO), "none is left");
            working.store(false, Ordering::Relaxed);
        });
        let mut quiet = Quiet::new(Duration::from_secs(3600));
        assert!(quiet.spend(Duration::from_secs(3599)) && quiet.spend(Duration::from_secs(5)));
        assert!(!quiet.spend(Duration::ZERO));
    }
}
