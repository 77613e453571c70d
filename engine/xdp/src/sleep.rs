//! Sleeping until a frame arrives or somebody calls.

use byway_stack::mailbox::Waker;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsRawFd, OwnedFd, RawFd};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Waits on the sockets of a port and on its waker.
pub(crate) struct Sleeper {
    /// The waker's descriptor first, then the sockets'.
    fds: Vec<libc::pollfd>,
    /// An eventfd: a call before the wait is not lost.
    called: Arc<OwnedFd>,
}

impl Sleeper {
    pub(crate) fn new(sockets: impl Iterator<Item = RawFd>) -> io::Result<Self> {
        let called = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let fds = std::iter::once(called.as_raw_fd())
            .chain(sockets)
            .map(|fd| libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            })
            .collect();
        Ok(Self { fds, called })
    }

    pub(crate) fn waker(&self) -> Waker {
        let called = Arc::clone(&self.called);
        // The write can fail only when the counter is full, and then the call is on record.
        Waker::new(move || {
            let _ = rustix::io::write(&called, &1u64.to_ne_bytes());
        })
    }

    /// Returns when a frame is there, the waker called, a signal came, or the time is over.
    pub(crate) fn wait(&mut self, timeout: Duration) {
        let ready = poll(&mut self.fds, timeout);
        if ready > 0 && self.fds[0].revents != 0 {
            // Whatever was counted, one wake-up answers it; nothing to read is as good.
            let _ = rustix::io::read(&self.called, &mut [0; 8]);
        }
    }

    /// Polls the sockets, which wakes drivers that sleep. A call stays for the next wait.
    pub(crate) fn poke(&mut self) {
        poll(&mut self.fds[1..], Duration::ZERO);
    }
}

/// How many of the descriptors are ready; below zero after a signal.
fn poll(fds: &mut [libc::pollfd], timeout: Duration) -> libc::c_int {
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs().min(i32::MAX as u64) as libc::time_t,
        tv_nsec: timeout.subsec_nanos() as _,
    };
    let count = fds.len() as libc::nfds_t;
    // SAFETY: `fds` and `timeout` live through the call and `count` is the length of `fds`. A
    // descriptor that was closed would only be reported as such.
    unsafe { libc::ppoll(fds.as_mut_ptr(), count, &timeout, std::ptr::null()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_call_ends_the_next_wait_once() {
        let mut sleeper = Sleeper::new(std::iter::empty()).unwrap();
        let waker = sleeper.waker();
        waker.wake();
        waker.wake();
        let start = Instant::now();
        sleeper.wait(Duration::from_secs(10));
        assert!(start.elapsed() < Duration::from_secs(5));
        let start = Instant::now();
        sleeper.wait(Duration::from_millis(20));
        assert!(
            start.elapsed() >= Duration::from_millis(20),
            "both calls were answered"
        );
    }

    #[test]
    fn poking_the_sockets_keeps_a_call() {
        let mut sleeper = Sleeper::new(std::iter::empty()).unwrap();
        sleeper.waker().wake();
        sleeper.poke();
        let start = Instant::now();
        sleeper.wait(Duration::from_secs(10));
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_call_from_another_thread_ends_the_wait() {
        let mut sleeper = Sleeper::new(std::iter::empty()).unwrap();
        let waker = sleeper.waker();
        let caller = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            waker.wake();
        });
        let start = Instant::now();
        sleeper.wait(Duration::from_secs(10));
        assert!(start.elapsed() < Duration::from_secs(5));
        caller.join().unwrap();
    }
}
