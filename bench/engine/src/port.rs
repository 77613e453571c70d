//! A port in memory whose frames cycle through a pool, so that they are as cold as the frames of a
//! network card and not always the same hot few.

use byway_stack::port::{BURST, Port, PortStats, RxFrame, TxFrame};
use byway_tcp::time::Duration;
use std::collections::VecDeque;

/// Octets of a frame's memory.
pub(crate) const CHUNK: usize = 2048;
/// Frames of the pool: 16 MiB.
pub(crate) const CHUNKS: usize = 8192;

/// Where a peer puts frames for a server, and finds those that the server sent.
pub(crate) trait Link {
    /// Memory for a frame of `len` octets, which the server receives after all that came before.
    fn offer(&mut self, len: usize) -> &mut [u8];

    /// Shows every frame that the server sent, the oldest first, and takes it back.
    fn collect(&mut self, look: impl FnMut(&[u8]));
}

/// The port. Whatever comes free goes to the end of one queue, whatever is needed comes from its
/// head.
#[derive(Debug)]
pub(crate) struct BenchPort {
    memory: Vec<[u8; CHUNK]>,
    free: VecDeque<u32>,
    incoming: VecDeque<RxFrame>,
    outgoing: Vec<TxFrame>,
    per_turn: usize,
    stats: PortStats,
}

impl BenchPort {
    /// A port that hands out up to `per_turn` frames a burst. All of its memory is touched.
    pub(crate) fn new(per_turn: usize) -> Self {
        Self {
            memory: vec![[0xa5; CHUNK]; CHUNKS],
            free: (0..CHUNKS as u32).collect(),
            incoming: VecDeque::with_capacity(CHUNKS),
            outgoing: Vec::with_capacity(CHUNKS),
            per_turn: per_turn.min(BURST),
            stats: PortStats {
                frames: CHUNKS as u64,
                ..PortStats::default()
            },
        }
    }

    /// Frames that wait for the server.
    #[inline]
    pub(crate) fn pending(&self) -> usize {
        self.incoming.len()
    }

    /// Sends so many frames that nobody looks at, for what grows with the first ones to have grown.
    pub(crate) fn cycle(&mut self, frames: usize) {
        for _ in 0..frames {
            if let Some(frame) = self.tx_alloc() {
                self.tx_push(frame, 0);
            }
        }
        self.collect(|_| {});
        self.stats.tx = 0;
    }

    /// Changes how many frames a burst brings.
    pub(crate) fn set_per_turn(&mut self, per_turn: usize) {
        self.per_turn = per_turn.min(BURST);
    }
}

impl Link for BenchPort {
    fn offer(&mut self, len: usize) -> &mut [u8] {
        let chunk = self.free.pop_front().expect("a batch fits the pool");
        self.incoming.push_back(RxFrame {
            chunk,
            offset: 0,
            len: len as u16,
        });
        &mut self.memory[chunk as usize][..len]
    }

    fn collect(&mut self, mut look: impl FnMut(&[u8])) {
        for frame in self.outgoing.drain(..) {
            look(&self.memory[frame.chunk as usize][..usize::from(frame.len)]);
            self.free.push_back(frame.chunk);
        }
    }
}

impl Port for BenchPort {
    #[inline]
    fn rx_burst(&mut self, burst: &mut Vec<RxFrame>) -> usize {
        let count = self.per_turn.min(self.incoming.len());
        for _ in 0..count {
            burst.extend(self.incoming.pop_front());
        }
        self.stats.held += count as u64;
        self.stats.rx += count as u64;
        count
    }

    #[inline]
    fn rx_bytes(&self, frame: &RxFrame) -> &[u8] {
        &self.memory[frame.chunk as usize][..usize::from(frame.len)]
    }

    #[inline]
    fn release(&mut self, frame: RxFrame) {
        self.stats.held -= 1;
        self.free.push_back(frame.chunk);
    }

    #[inline]
    fn tx_alloc(&mut self) -> Option<TxFrame> {
        let chunk = self.free.pop_front()?;
        self.stats.held += 1;
        Some(TxFrame { chunk, len: 0 })
    }

    #[inline]
    fn tx_bytes(&mut self, frame: &mut TxFrame) -> &mut [u8] {
        &mut self.memory[frame.chunk as usize]
    }

    #[inline]
    fn tx_push(&mut self, mut frame: TxFrame, len: usize) {
        frame.len = len.min(CHUNK) as u16;
        self.outgoing.push(frame);
        self.stats.held -= 1;
        self.stats.tx += 1;
    }

    #[inline]
    fn tx_cancel(&mut self, frame: TxFrame) {
        self.stats.held -= 1;
        self.free.push_front(frame.chunk);
    }

    #[inline]
    fn tx_commit(&mut self) {}

    fn frame_capacity(&self) -> usize {
        CHUNK
    }

    fn wait(&mut self, _timeout: Duration) {}

    fn stats(&self) -> PortStats {
        PortStats {
            free: self.free.len() as u64,
            filling: self.incoming.len() as u64,
            sending: self.outgoing.len() as u64,
            ..self.stats
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_cycle_through_the_whole_pool_and_the_ledger_balances() {
        let mut port = BenchPort::new(1);
        let mut used = vec![false; CHUNKS];
        let mut burst = Vec::new();
        for _ in 0..CHUNKS / 2 {
            port.offer(60).fill(1);
            assert_eq!(port.rx_burst(&mut burst), 1);
            let received = burst.pop().unwrap();
            assert_eq!(port.rx_bytes(&received), [1; 60]);
            used[received.chunk as usize] = true;
            port.release(received);
            let sent = port.tx_alloc().unwrap();
            used[sent.chunk as usize] = true;
            port.tx_push(sent, 54);
            port.collect(|frame| assert_eq!(frame.len(), 54));
        }
        assert!(used.iter().all(|&used| used));
        let stats = port.stats();
        assert_eq!(
            stats.frames,
            stats.free + stats.filling + stats.held + stats.sending
        );
    }
}
