//! A port whose frames come back in: a network of one.

use byway_stack::memory::CHUNK;
use byway_stack::port::{BURST, Port, PortStats, RxFrame, TxFrame};
use byway_tcp::time::Duration;
use std::collections::VecDeque;

/// A port in memory that receives what it sends.
#[derive(Debug)]
pub struct LoopPort {
    chunks: Vec<Box<[u8]>>,
    free: Vec<u32>,
    /// Pushed and not committed, then committed and not received.
    pushed: VecDeque<(u32, u16)>,
    held: u64,
    stats: PortStats,
}

impl LoopPort {
    /// A port with so many chunks.
    pub fn new(chunks: u32) -> Self {
        Self {
            chunks: (0..chunks)
                .map(|_| vec![0; CHUNK].into_boxed_slice())
                .collect(),
            free: (0..chunks).rev().collect(),
            pushed: VecDeque::new(),
            held: 0,
            stats: PortStats {
                frames: u64::from(chunks),
                ..PortStats::default()
            },
        }
    }
}

impl Port for LoopPort {
    fn rx_burst(&mut self, burst: &mut Vec<RxFrame>) -> usize {
        while burst.len() < BURST
            && let Some((chunk, len)) = self.pushed.pop_front()
        {
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
        self.pushed.push_back((frame.chunk, len as u16));
        self.held -= 1;
        self.stats.tx += 1;
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
            sending: self.pushed.len() as u64,
            ..self.stats
        }
    }
}
