//! One end of the simulated network: frames change hands by swapping their memory, not by copying.

use byway_stack::port::{BURST, Port, PortStats, RxFrame, TxFrame};
use byway_tcp::time::Duration;
use std::collections::VecDeque;

/// Octets of a frame's memory.
const CHUNK: usize = 2048;

/// The memory of a frame.
pub(crate) type Memory = Box<[u8]>;

/// Memory that nobody uses at the moment.
#[derive(Debug, Default)]
pub(crate) struct Spares(Vec<Memory>);

impl Spares {
    pub(crate) fn take(&mut self) -> Memory {
        self.0.pop().unwrap_or_else(|| vec![0; CHUNK].into())
    }

    pub(crate) fn give(&mut self, memory: Memory) {
        self.0.push(memory);
    }
}

/// The port of an engine in the simulation.
#[derive(Debug)]
pub(crate) struct SimPort {
    chunks: Vec<Memory>,
    free: Vec<u32>,
    /// Chunks pushed, with their length, until the network takes them.
    outbox: Vec<(u32, u16)>,
    inbox: VecDeque<(Memory, u16)>,
    /// Memory that came back from the engine in exchange for what arrived.
    emptied: Vec<Memory>,
    held: u64,
    stats: PortStats,
}

impl SimPort {
    pub(crate) fn new(chunks: u32, spares: &mut Spares) -> Self {
        Self {
            chunks: (0..chunks).map(|_| spares.take()).collect(),
            free: (0..chunks).rev().collect(),
            outbox: Vec::new(),
            inbox: VecDeque::new(),
            emptied: Vec::new(),
            held: 0,
            stats: PortStats {
                frames: u64::from(chunks),
                ..PortStats::default()
            },
        }
    }

    /// The network side: a frame arrives.
    pub(crate) fn arrive(&mut self, memory: Memory, len: u16) {
        self.inbox.push_back((memory, len));
    }

    /// The network side: something arrived that the engine has not taken.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// The network side: one more frame changes nothing for those that wait.
    pub(crate) fn has_room(&self) -> bool {
        self.inbox.len() < BURST && self.inbox.len() < self.free.len()
    }

    /// The network side: takes what was sent, in its order.
    pub(crate) fn collect(&mut self, spares: &mut Spares, sent: &mut Vec<(Memory, u16)>) {
        spares.0.append(&mut self.emptied);
        for (chunk, len) in self.outbox.drain(..) {
            let memory = std::mem::replace(&mut self.chunks[chunk as usize], spares.take());
            self.free.push(chunk);
            sent.push((memory, len));
        }
    }

    /// Gives all memory back, at the end of a run.
    pub(crate) fn dissolve(&mut self, spares: &mut Spares) {
        spares.0.append(&mut self.chunks);
        spares.0.append(&mut self.emptied);
        self.free.clear();
    }
}

impl Port for SimPort {
    fn rx_burst(&mut self, burst: &mut Vec<RxFrame>) -> usize {
        while burst.len() < BURST
            && let Some(&chunk) = self.free.last()
            && let Some((memory, len)) = self.inbox.pop_front()
        {
            self.free.pop();
            let empty = std::mem::replace(&mut self.chunks[chunk as usize], memory);
            self.emptied.push(empty);
            burst.push(RxFrame {
                chunk,
                offset: 0,
                len,
            });
        }
        self.held += burst.len() as u64;
        self.stats.rx += burst.len() as u64;
        burst.len()
    }

    fn rx_bytes(&self, frame: &RxFrame) -> &[u8] {
        &self.chunks[frame.chunk as usize][..usize::from(frame.len)]
    }

    fn release(&mut self, frame: RxFrame) {
        self.held -= 1;
        self.free.push(frame.chunk);
    }

    fn tx_alloc(&mut self) -> Option<TxFrame> {
        let chunk = self.free.pop()?;
        self.held += 1;
        Some(TxFrame { chunk, len: 0 })
    }

    fn tx_bytes(&mut self, frame: &mut TxFrame) -> &mut [u8] {
        &mut self.chunks[frame.chunk as usize]
    }

    fn tx_push(&mut self, frame: TxFrame, len: usize) {
        self.held -= 1;
        self.stats.tx += 1;
        self.outbox.push((frame.chunk, len as u16));
    }

    fn tx_cancel(&mut self, frame: TxFrame) {
        self.held -= 1;
        self.free.push(frame.chunk);
    }

    fn tx_commit(&mut self) {}

    fn frame_capacity(&self) -> usize {
        CHUNK
    }

    fn wait(&mut self, _timeout: Duration) {}

    fn stats(&self) -> PortStats {
        PortStats {
            free: self.free.len() as u64,
            held: self.held,
            sending: self.outbox.len() as u64,
            ..self.stats
        }
    }
}
