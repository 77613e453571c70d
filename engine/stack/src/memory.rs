//! A port in memory: two of them are the ends of a wire.
//!
//! Frames are not copied on the way: the chunk that was pushed at one end is the chunk that is
//! received at the other, which hands an empty one back in exchange. So each end always owns as
//! many chunks as it was made with, as with a ring of buffers shared with a network card.

use crate::port::{BURST, Port, PortStats, RxFrame, TxFrame};
use byway_tcp::time::Duration;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Octets of a chunk: an Ethernet frame of the usual MTU, with room.
pub const CHUNK: usize = 2048;

type Chunk = Box<[u8]>;

/// One direction of the wire.
#[derive(Debug, Default)]
struct Lane {
    frames: VecDeque<(Chunk, u16)>,
    /// Empty chunks on their way back to the sender.
    returned: Vec<Chunk>,
}

/// One end of a wire in memory.
#[derive(Debug)]
pub struct MemoryPort {
    outgoing: Rc<RefCell<Lane>>,
    incoming: Rc<RefCell<Lane>>,
    /// Chunks by number. One that is on the wire has left an empty box behind.
    chunks: Vec<Chunk>,
    free: Vec<u32>,
    /// Numbers whose chunk is on the wire.
    sending: Vec<u32>,
    held: u64,
    stats: PortStats,
}

impl MemoryPort {
    /// The two ends of a wire, with this many chunks each.
    pub fn pair(chunks: u32) -> (Self, Self) {
        let (there, back) = (Rc::default(), Rc::default());
        (
            Self::new(chunks, Rc::clone(&there), Rc::clone(&back)),
            Self::new(chunks, back, there),
        )
    }

    /// A wire with one end, which receives what it sends.
    pub fn looped(chunks: u32) -> Self {
        let lane = Rc::default();
        Self::new(chunks, Rc::clone(&lane), lane)
    }

    fn new(chunks: u32, outgoing: Rc<RefCell<Lane>>, incoming: Rc<RefCell<Lane>>) -> Self {
        Self {
            outgoing,
            incoming,
            chunks: (0..chunks)
                .map(|_| vec![0; CHUNK].into_boxed_slice())
                .collect(),
            free: (0..chunks).rev().collect(),
            sending: Vec::with_capacity(chunks as usize),
            held: 0,
            stats: PortStats {
                frames: u64::from(chunks),
                ..PortStats::default()
            },
        }
    }

    /// Frames that the other end sent and this one has not received.
    pub fn waiting(&self) -> usize {
        self.incoming.borrow().frames.len()
    }

    fn reclaim(&mut self) {
        let mut lane = self.outgoing.borrow_mut();
        while let Some(chunk) = lane.returned.pop() {
            let number = self
                .sending
                .pop()
                .expect("a chunk comes back for one that was sent");
            self.chunks[number as usize] = chunk;
            self.free.push(number);
        }
    }
}

impl Port for MemoryPort {
    fn rx_burst(&mut self, burst: &mut Vec<RxFrame>) -> usize {
        let mut lane = self.incoming.borrow_mut();
        while burst.len() < BURST
            && let Some(&number) = self.free.last()
            && let Some((chunk, len)) = lane.frames.pop_front()
        {
            self.free.pop();
            lane.returned
                .push(std::mem::replace(&mut self.chunks[number as usize], chunk));
            burst.push(RxFrame {
                chunk: number,
                offset: 0,
                len,
            });
        }
        self.held += burst.len() as u64;
        self.stats.rx += burst.len() as u64;
        burst.len()
    }

    #[inline]
    fn rx_bytes(&self, frame: &RxFrame) -> &[u8] {
        &self.chunks[frame.chunk as usize][..usize::from(frame.len)]
    }

    #[inline]
    fn release(&mut self, frame: RxFrame) {
        self.held -= 1;
        self.free.push(frame.chunk);
    }

    #[inline]
    fn tx_alloc(&mut self) -> Option<TxFrame> {
        // Half of the chunks are kept to receive with: two ends that only send would starve.
        if self.sending.len() * 2 >= self.chunks.len() {
            self.reclaim();
            if self.sending.len() * 2 >= self.chunks.len() {
                return None;
            }
        }
        let chunk = self.free.pop()?;
        self.held += 1;
        Some(TxFrame { chunk, len: 0 })
    }

    #[inline]
    fn tx_bytes(&mut self, frame: &mut TxFrame) -> &mut [u8] {
        &mut self.chunks[frame.chunk as usize]
    }

    #[inline]
    fn tx_push(&mut self, frame: TxFrame, len: usize) {
        let chunk = std::mem::take(&mut self.chunks[frame.chunk as usize]);
        let len = len.min(chunk.len()) as u16;
        self.outgoing.borrow_mut().frames.push_back((chunk, len));
        self.sending.push(frame.chunk);
        self.held -= 1;
        self.stats.tx += 1;
    }

    #[inline]
    fn tx_cancel(&mut self, frame: TxFrame) {
        self.held -= 1;
        self.free.push(frame.chunk);
    }

    #[inline]
    fn tx_commit(&mut self) {
        self.reclaim();
    }

    fn frame_capacity(&self) -> usize {
        CHUNK
    }

    /// Does nothing: whoever turns both ends knows when there is something to do.
    fn wait(&mut self, _timeout: Duration) {}

    fn stats(&self) -> PortStats {
        PortStats {
            free: self.free.len() as u64,
            held: self.held,
            sending: self.sending.len() as u64,
            ..self.stats
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balanced(port: &MemoryPort) -> PortStats {
        let stats = port.stats();
        assert_eq!(
            stats.frames,
            stats.free + stats.filling + stats.held + stats.sending
        );
        stats
    }

    fn send(port: &mut MemoryPort, bytes: &[u8]) -> bool {
        let Some(mut frame) = port.tx_alloc() else {
            return false;
        };
        port.tx_bytes(&mut frame)[..bytes.len()].copy_from_slice(bytes);
        port.tx_push(frame, bytes.len());
        true
    }

    fn receive(port: &mut MemoryPort) -> Vec<Vec<u8>> {
        let mut burst = Vec::new();
        port.rx_burst(&mut burst);
        let bytes = burst
            .iter()
            .map(|frame| port.rx_bytes(frame).to_vec())
            .collect();
        burst.into_iter().for_each(|frame| port.release(frame));
        bytes
    }

    #[test]
    fn frames_arrive_in_order_and_chunks_come_back() {
        let (mut a, mut b) = MemoryPort::pair(8);
        for round in 0..100u8 {
            assert!(send(&mut a, &[round; 60]) && send(&mut a, &[round; 61]));
            assert_eq!(balanced(&a).sending, 2);
            assert_eq!(receive(&mut b), [vec![round; 60], vec![round; 61]]);
            a.tx_commit();
            assert_eq!((balanced(&a).free, balanced(&b).free), (8, 8));
        }
        assert_eq!((a.stats().tx, b.stats().rx), (200, 200));
    }

    #[test]
    fn half_of_the_chunks_stay_for_receiving() {
        let (mut a, mut b) = MemoryPort::pair(8);
        for _ in 0..4 {
            assert!(send(&mut a, &[1]) && send(&mut b, &[2]));
        }
        assert!(!send(&mut a, &[1]) && !send(&mut b, &[2]));
        assert_eq!((receive(&mut a).len(), receive(&mut b).len()), (4, 4));
        assert!(send(&mut a, &[1]) && send(&mut b, &[2]));
        balanced(&a);
        balanced(&b);
    }

    #[test]
    fn a_wire_with_one_end_gives_back_what_is_sent() {
        let mut port = MemoryPort::looped(8);
        for round in 0..100u8 {
            assert!(send(&mut port, &[round; 60]) && send(&mut port, &[round; 61]));
            assert_eq!(receive(&mut port), [vec![round; 60], vec![round; 61]]);
            port.tx_commit();
            assert_eq!(balanced(&port).free, 8);
        }
    }

    #[test]
    fn a_cancelled_frame_is_free_again() {
        let (mut a, b) = MemoryPort::pair(2);
        let frame = a.tx_alloc().unwrap();
        assert_eq!(balanced(&a).held, 1);
        a.tx_cancel(frame);
        assert_eq!((balanced(&a).free, b.waiting()), (2, 0));
    }
}
