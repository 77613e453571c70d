//! The port of a shard: all receive queues of an interface over one pool of chunks.

use crate::config::{Opened, Steering, XdpConfig};
use crate::error::SetupError;
use crate::pool::Pool;
use crate::program::{Program, SteerCounters};
use crate::queue::Queue;
use crate::sleep::Sleeper;
use byway_stack::mailbox::Waker;
use byway_stack::port::{BURST, Port, PortStats, RxFrame, TxFrame};
use std::time::Duration;
use xsk_rs::FrameDesc;

/// Sleep at most this long while frames wait in the transmit ring.
const BACKLOG_SLEEP: Duration = Duration::from_millis(1);

/// An AF_XDP port. One shard polls every queue of the interface, because the kernel moves the
/// segments of a flow between queues when their sender moves between CPUs, and a socket receives
/// from its own queue only.
///
/// Dropping it detaches the program and closes the sockets; if the process is killed the kernel
/// does both.
pub struct XdpPort {
    // Before the sockets: while there are none, the program would drop what is ours.
    pub(crate) program: Program,
    pub(crate) queues: Vec<Queue>,
    pub(crate) pool: Pool,
    pub(crate) sleeper: Sleeper,
    /// Frames pushed and not yet in the transmit ring.
    pub(crate) pushed: Vec<FrameDesc>,
    /// Frames that may be allocated or sending at a time.
    pub(crate) tx_ring: u32,
    /// Frames handed out by `tx_alloc` and neither pushed nor cancelled.
    pub(crate) allocated: u32,
    /// Chunks that refilling leaves for sending.
    pub(crate) tx_reserve: usize,
    /// The queue to receive from first in the next burst.
    pub(crate) next_queue: usize,
    pub(crate) rx: u64,
    pub(crate) tx: u64,
    pub(crate) tx_wakeups: u64,
}

impl XdpPort {
    /// Opens the interface: binds a socket to every queue, loads the program, tells it the rules,
    /// attaches it. Errors say what to do about them.
    pub fn open(config: &XdpConfig) -> Result<(Self, Opened), SetupError> {
        crate::open::open(config)
    }

    /// Replaces the rules of what is ours.
    pub fn steer(&mut self, steering: &Steering) -> Result<(), SetupError> {
        self.program.steer(steering)
    }

    /// What the program did with the frames that arrived.
    pub fn steer_counters(&self) -> SteerCounters {
        self.program.counters()
    }

    /// Hands free chunks to the kernel to receive into; true when the driver must be woken for it.
    pub(crate) fn refill(&mut self) -> bool {
        let in_use = self.pool.sending() as usize + self.allocated as usize;
        let reserve = self.tx_reserve.saturating_sub(in_use);
        let mut spare = self.pool.free().saturating_sub(reserve);
        let mut asleep = false;
        for queue in &mut self.queues {
            let taken = queue.refill(&mut self.pool, spare);
            spare -= taken;
            asleep |= taken > 0 && queue.fill_needs_wakeup();
        }
        asleep
    }

    /// Moves pushed frames to the transmit ring. What finds no room, because the kernel has
    /// completed frames whose slots it has not given free yet, waits for the next time.
    fn hand_over(&mut self) {
        if self.pushed.is_empty() {
            return;
        }
        let queue = self.queues.first_mut().expect("a port has a queue");
        let count = queue.send(&self.pushed);
        self.pushed.drain(..count);
    }

    /// The queue that frames leave by: one, so that those of a flow stay in order.
    fn outgoing(&mut self) -> &mut Queue {
        self.queues.first_mut().expect("a port has a queue")
    }

    fn wake_tx(&mut self) {
        self.tx_wakeups += 1;
        self.outgoing().wake_tx();
    }
}

impl Port for XdpPort {
    fn rx_burst(&mut self, burst: &mut Vec<RxFrame>) -> usize {
        let count = self.queues.len();
        for step in 0..count {
            // `next_queue` is below `count`, so one subtraction wraps.
            let at = self.next_queue + step;
            let at = if at >= count { at - count } else { at };
            self.rx += self.queues[at].receive(&mut self.pool, burst) as u64;
            if burst.len() >= BURST {
                break;
            }
        }
        self.next_queue = if self.next_queue + 1 < count {
            self.next_queue + 1
        } else {
            0
        };
        burst.len()
    }

    fn rx_bytes(&self, frame: &RxFrame) -> &[u8] {
        self.pool.rx_bytes(frame)
    }

    fn release(&mut self, frame: RxFrame) {
        self.pool.release(frame);
    }

    fn tx_alloc(&mut self) -> Option<TxFrame> {
        // No more frames under way than the completion ring has slots.
        if self.pool.sending() + u64::from(self.allocated) >= u64::from(self.tx_ring) {
            return None;
        }
        let frame = self.pool.allocate()?;
        self.allocated += 1;
        Some(frame)
    }

    fn tx_bytes(&mut self, frame: &mut TxFrame) -> &mut [u8] {
        self.pool.tx_bytes(frame)
    }

    fn tx_push(&mut self, frame: TxFrame, len: usize) {
        self.pool.send(frame, len, &mut self.pushed);
        self.allocated -= 1;
        self.tx += 1;
    }

    fn tx_cancel(&mut self, frame: TxFrame) {
        self.pool.cancel(frame);
        self.allocated -= 1;
    }

    fn tx_commit(&mut self) {
        self.hand_over();
        let rx_asleep = self.refill();
        // Also without a push in this turn: the kernel may have stopped at its budget before.
        let tx_asleep = self.outgoing().unsent() > 0 && self.outgoing().tx_needs_wakeup();
        if rx_asleep {
            // Only zero-copy drivers ask for it, and there a poll wakes both directions.
            self.tx_wakeups += u64::from(tx_asleep);
            self.sleeper.poke();
        } else if tx_asleep {
            self.wake_tx();
        }
        for queue in &mut self.queues {
            queue.reclaim(&mut self.pool);
        }
    }

    fn frame_capacity(&self) -> usize {
        self.pool.capacity()
    }

    fn wait(&mut self, timeout: Duration) {
        self.hand_over();
        if self.outgoing().unsent() > 0 {
            self.wake_tx();
            self.sleeper.wait(timeout.min(BACKLOG_SLEEP));
        } else {
            self.sleeper.wait(timeout);
        }
    }

    fn waker(&self) -> Waker {
        self.sleeper.waker()
    }

    /// Costs a system call a queue, for what the kernel dropped.
    fn stats(&self) -> PortStats {
        PortStats {
            rx: self.rx,
            tx: self.tx,
            rx_dropped: self.queues.iter().map(Queue::dropped).sum(),
            tx_wakeups: self.tx_wakeups,
            ..self.pool.ledger()
        }
    }
}
