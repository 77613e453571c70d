//! On which CPU a thread runs.

use core_affinity::CoreId;
use std::io;

/// The CPUs this thread may run on, in ascending order; empty when the system does not tell.
pub fn cpus() -> Vec<usize> {
    let mut cpus: Vec<usize> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .iter()
        .map(|core| core.id)
        .collect();
    cpus.sort_unstable();
    cpus
}

/// Binds the calling thread, and threads that it starts later, to one CPU.
///
/// # Errors
/// When there is no such CPU, or this process may not use it.
pub fn pin_to(cpu: usize) -> io::Result<()> {
    let allowed = cpus();
    if !allowed.contains(&cpu) {
        let message = format!("CPU {cpu} is not among those this process may use: {allowed:?}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    if core_affinity::set_for_current(CoreId { id: cpu }) {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "the system refused to bind the thread to CPU {cpu}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_one_cpu_only() {
        // On a thread of its own, so that the test runner keeps its CPUs.
        std::thread::spawn(|| {
            let last = *cpus().last().expect("a thread runs somewhere");
            pin_to(last).unwrap();
            assert_eq!(cpus(), [last]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_cpu_that_is_not_there_is_an_error() {
        let error = pin_to(usize::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
