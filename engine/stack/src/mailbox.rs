//! How other threads reach a shard: bounded queues of commands in, of requests and notices out.
//!
//! Nothing here blocks. A queue that is full refuses, and whoever was refused decides.

use crate::options::ConnOptions;
use crate::path::PathUpdate;
use byway_wire::{Address, Endpoint};
use crossbeam::queue::ArrayQueue;
use std::fmt;
use std::sync::Arc;

/// Commands a mailbox holds before it refuses more.
pub const COMMANDS: usize = 1024;
/// Requests for resolution, and notices, that wait for the control plane.
pub const REQUESTS: usize = 1024;

/// What another thread can ask of a shard.
#[derive(Clone, Debug)]
pub enum Command {
    /// This is how a remote address is reached, from now on.
    Path(PathUpdate),
    /// This remote address cannot be reached: connections that wait for its path fail.
    Unreachable(Address),
    /// Accept connections at this endpoint for the service with this index, set up like this.
    Listen(Endpoint, u16, ConnOptions),
    /// Stop accepting at this endpoint; connections stay.
    Unlisten(Endpoint),
    /// An address is ours: segments to it are answered, with a reset if nothing is there.
    AddAddress(Address),
    /// Close gracefully and end `Shard::run`.
    Stop,
}

/// A path that the shard needs before it can send its SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolveRequest {
    /// Where to.
    pub remote: Address,
    /// From which of our addresses, when the caller of `connect` said so.
    pub local: Option<Address>,
    /// There is a path, and nothing comes back on it: the neighbour is to be looked at once more.
    pub doubted: bool,
}

/// Something a person should be told once; the control plane finds the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Frames arrive whose TCP checksum is only the sum of the pseudo-header: the
    /// sender leaves it to an offload that a virtual link does not have. Remedy: switch off
    /// transmit checksumming of the peer, or trust the link in the configuration.
    ChecksumsUnfilled,
    /// A service panicked; its connections and listeners are gone.
    ServicePanicked(u16),
}

/// Wakes the thread that waits in [`Port::wait`](crate::port::Port::wait). The port makes it.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker that calls `wake`, from any thread, any number of times.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// A waker for a port that never sleeps.
    pub fn none() -> Self {
        Self::new(|| {})
    }

    /// Ends the wait that is going on, or the next one.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// The other threads' end of a shard's queues. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MailboxHandle {
    queues: Arc<Queues>,
    waker: Waker,
}

impl MailboxHandle {
    /// Hands the shard a command and wakes it. A full queue gives the command back.
    pub fn send(&self, command: Command) -> Result<(), Command> {
        self.queues.commands.push(command)?;
        self.waker.wake();
        Ok(())
    }

    /// The next path that the shard wants resolved.
    pub fn next_request(&self) -> Option<ResolveRequest> {
        self.queues.requests.pop()
    }

    /// The next thing to tell a person.
    pub fn next_notice(&self) -> Option<Notice> {
        self.queues.notices.pop()
    }
}

/// The shard's end of its queues.
#[derive(Debug)]
pub struct Mailbox {
    queues: Arc<Queues>,
}

impl Mailbox {
    /// An empty mailbox and the handle for the other threads.
    pub fn new(waker: Waker) -> (Self, MailboxHandle) {
        let queues = Arc::new(Queues {
            commands: ArrayQueue::new(COMMANDS),
            requests: ArrayQueue::new(REQUESTS),
            notices: ArrayQueue::new(REQUESTS),
        });
        (
            Self {
                queues: Arc::clone(&queues),
            },
            MailboxHandle { queues, waker },
        )
    }

    /// True when no command waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.commands.is_empty()
    }

    /// The next command.
    #[inline]
    pub(crate) fn next_command(&self) -> Option<Command> {
        self.queues.commands.pop()
    }

    /// Asks for a path; false when the queue is full.
    pub(crate) fn request(&self, request: ResolveRequest) -> bool {
        self.queues.requests.push(request).is_ok()
    }

    /// Leaves a notice; a full queue loses it, which is right for something said many times.
    pub(crate) fn notify(&self, notice: Notice) {
        let _ = self.queues.notices.push(notice);
    }
}

#[derive(Debug)]
struct Queues {
    commands: ArrayQueue<Command>,
    requests: ArrayQueue<ResolveRequest>,
    notices: ArrayQueue<Notice>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_full_mailbox_gives_the_command_back_and_every_accepted_one_wakes() {
        let woken = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&woken);
        let waker = Waker::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let (mailbox, handle) = Mailbox::new(waker);
        for _ in 0..COMMANDS {
            handle.send(Command::Stop).unwrap();
        }
        assert!(matches!(handle.send(Command::Stop), Err(Command::Stop)));
        assert_eq!(woken.load(Ordering::Relaxed), COMMANDS as u32);
        assert!(mailbox.next_command().is_some());
        assert!(handle.send(Command::Stop).is_ok());
    }

    #[test]
    fn requests_and_notices_go_out() {
        let (mailbox, handle) = Mailbox::new(Waker::none());
        let request = ResolveRequest {
            remote: Address::v4([10, 0, 0, 1]),
            local: None,
            doubted: false,
        };
        for _ in 0..REQUESTS {
            assert!(mailbox.request(request));
        }
        assert!(!mailbox.request(request));
        assert_eq!(handle.next_request(), Some(request));
        mailbox.notify(Notice::ChecksumsUnfilled);
        assert_eq!(handle.next_notice(), Some(Notice::ChecksumsUnfilled));
        assert_eq!(handle.next_notice(), None);
    }
}
