//! Labs for tests and benchmarks: each its own, gone when it goes out of scope.

use crate::journal::Process;
use crate::{Error, Lab, Options};
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};

/// A lab that is removed on drop, also by a panic. If the process is killed, the next guard of any
/// process removes it.
#[derive(Debug)]
pub struct LabGuard {
    lab: Lab,
}

impl LabGuard {
    /// Makes a lab under a name of its own, starting with `prefix`, which other processes and
    /// other threads of this one do not get.
    pub fn up(prefix: &str, options: &Options) -> Result<Self, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Somebody else's leftovers do not decide whether we get a lab.
        Lab::remove_abandoned().ok();
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}{:x}-{serial}", std::process::id());
        match Lab::up_for(&name, options, Process::current()) {
            Ok(lab) => Ok(Self { lab }),
            Err(error) => {
                // The first error is the one to tell; what remains is found by the next guard.
                Lab::down(&name).ok();
                Err(error)
            }
        }
    }
}

impl Deref for LabGuard {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl Drop for LabGuard {
    fn drop(&mut self) {
        if let Err(error) = Lab::down(self.lab.name()) {
            eprintln!("lab {} is not removed: {error}", self.lab.name());
        }
    }
}
