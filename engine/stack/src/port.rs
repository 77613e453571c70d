//! The port: where frames come from and go to.
//!
//! ```text
//!            rx_burst                          release
//!   network ---------> RxFrame (ours to read) ---------> port's pool
//!
//!            tx_alloc             tx_push         tx_commit
//!   pool ------------> TxFrame ------------> queue ---------> network ... reclaimed by the port
//! ```
//!
//! A frame is a move-only token: whoever holds it owns the memory behind it, and the port is the
//! only one that can turn it into bytes. Tokens cannot be copied or made outside a port, so "who
//! owns this frame" is answered by the type checker, and the ledger (`PortStats`) can be balanced.

use crate::mailbox::Waker;
use byway_tcp::time::Duration;

/// Frames a burst holds at most.
pub const BURST: usize = 64;

/// A frame that arrived; give it back with [`Port::release`].
#[derive(Debug)]
#[must_use = "a frame that is not released is lost to the port's pool"]
pub struct RxFrame {
    /// The port's own number for the chunk of memory.
    pub chunk: u32,
    /// Where the Ethernet header starts in the chunk.
    pub offset: u16,
    /// Octets from the Ethernet header to the end.
    pub len: u16,
}

/// A frame to fill and send with [`Port::tx_push`], or to give back with [`Port::tx_cancel`].
#[derive(Debug)]
#[must_use = "a frame that is neither pushed nor cancelled is lost to the port's pool"]
pub struct TxFrame {
    /// The port's own number for the chunk of memory.
    pub chunk: u32,
    /// Octets to send, set by [`Port::tx_push`].
    pub len: u16,
}

/// The ledger of a port's frames, and what it lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Chunks in the pool, free or not. At rest: `frames == free + filling + held + sending`.
    pub frames: u64,
    /// Free in user space.
    pub free: u64,
    /// Given to the network side to receive into.
    pub filling: u64,
    /// Handed out by `rx_burst` or `tx_alloc` and not yet back.
    pub held: u64,
    /// Pushed and not yet completed.
    pub sending: u64,
    /// Frames received.
    pub rx: u64,
    /// Frames pushed for sending.
    pub tx: u64,
    /// Frames lost on the way in because no buffer or ring slot was there.
    pub rx_dropped: u64,
    /// Wake-up system calls made for sending.
    pub tx_wakeups: u64,
}

/// Where a shard's frames come from and go to. One shard owns one port alone.
pub trait Port {
    /// Moves up to `BURST` received frames into `burst` (which is empty), returns how many.
    fn rx_burst(&mut self, burst: &mut Vec<RxFrame>) -> usize;

    /// The bytes of a received frame, from the Ethernet header on.
    fn rx_bytes(&self, frame: &RxFrame) -> &[u8];

    /// Gives a received frame back.
    fn release(&mut self, frame: RxFrame);

    /// A frame to send in, or `None` when all are in flight or the queue is full: try next turn.
    fn tx_alloc(&mut self) -> Option<TxFrame>;

    /// The whole writable memory of a frame, at least [`Port::frame_capacity`] octets.
    fn tx_bytes(&mut self, frame: &mut TxFrame) -> &mut [u8];

    /// Queues the first `len` octets of the frame for sending.
    fn tx_push(&mut self, frame: TxFrame, len: usize);

    /// Gives a frame back unsent.
    fn tx_cancel(&mut self, frame: TxFrame);

    /// Ends a turn: tells the network side once about everything pushed, takes back what was sent
    /// and refills the receive side. At most one wake-up system call.
    fn tx_commit(&mut self);

    /// Octets a frame can carry, Ethernet header included.
    fn frame_capacity(&self) -> usize;

    /// Blocks until a frame may have arrived, [`Waker`] woke it, or the time is over.
    fn wait(&mut self, timeout: Duration);

    /// What ends a [`Port::wait`] from another thread. A port that never sleeps needs none.
    fn waker(&self) -> Waker {
        Waker::none()
    }

    /// The ledger, as of now.
    fn stats(&self) -> PortStats;
}
