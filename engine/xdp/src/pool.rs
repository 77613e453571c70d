//! The memory shared with the kernel, cut into chunks, and where each chunk is.
//!
//! xsk-rs describes a chunk by a `FrameDesc`, which can be copied and says nothing about who owns
//! the memory. Here a chunk has a place, and every access is checked against it, so that the
//! tokens of [`byway_stack::port`], whose fields anybody can write, cannot reach memory that the
//! kernel uses at that moment:
//!
//! ```text
//!   Free -> Filling (kernel) -> Received -> Free
//!   Free -> Allocated -> Sending (kernel) -> Free
//! ```

use byway_stack::port::{PortStats, RxFrame, TxFrame};
use std::ptr::NonNull;
use std::slice;
use xsk_rs::{FrameDesc, Umem};

/// Room that the kernel keeps in front of every frame (XDP_PACKET_HEADROOM).
pub(crate) const HEADROOM: u32 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    Filling,
    Received,
    Allocated,
    Sending,
}

struct Chunk {
    /// The descriptor of the whole chunk, as the fill and transmit rings take it.
    home: FrameDesc,
    /// The first octet behind the headroom; `Pool::capacity` octets may be accessed from here.
    data: NonNull<u8>,
    place: Place,
}

/// All chunks of a port.
pub(crate) struct Pool {
    chunks: Box<[Chunk]>,
    /// Free chunks that were last received into, and those last sent from, the one used last on
    /// top. Apart, because the caches of two cores are: what is received was written by the core
    /// of its sender, and to write there takes its lines back, a miss for each; what is sent is
    /// written and read here, and its lines stay.
    free_received: Vec<u32>,
    free_sent: Vec<u32>,
    chunk_size: usize,
    filling: u64,
    held: u64,
    sending: u64,
    /// Keeps the memory mapped.
    umem: Umem,
}

// SAFETY: the pointers lead into the mapping that `umem` keeps, not to anything of a thread; the
// pool is used by one thread at a time through `&mut`.
unsafe impl Send for Pool {}

impl Pool {
    /// A pool of the chunks of a UMEM, all free. `chunk_size` is that of the UMEM.
    pub(crate) fn new(umem: Umem, descs: Vec<FrameDesc>, chunk_size: usize) -> Self {
        let count = descs.len() as u32;
        let chunks = descs
            .into_iter()
            .map(|home| {
                let mut desc = home;
                // SAFETY: the descriptor is of this UMEM, and nobody else, the kernel included,
                // has seen it yet.
                let mut data = unsafe { umem.data_mut(&mut desc) };
                data.cursor().set_pos(chunk_size - HEADROOM as usize);
                let data = NonNull::from(data.contents_mut()).cast();
                Chunk {
                    home,
                    data,
                    place: Place::Free,
                }
            })
            .collect();
        // From the back, so that the first chunks are taken first.
        let free_received = (0..count).rev().collect();
        Self {
            chunks,
            free_received,
            free_sent: Vec::with_capacity(count as usize),
            chunk_size,
            filling: 0,
            held: 0,
            sending: 0,
            umem,
        }
    }

    pub(crate) fn umem(&self) -> &Umem {
        &self.umem
    }

    /// Octets of a frame at most.
    pub(crate) fn capacity(&self) -> usize {
        self.chunk_size - HEADROOM as usize
    }

    pub(crate) fn free(&self) -> usize {
        self.free_received.len() + self.free_sent.len()
    }

    /// A free chunk for the kernel to receive into: give the descriptor to a fill ring.
    pub(crate) fn fill(&mut self) -> Option<FrameDesc> {
        let index = self.free_received.pop().or_else(|| self.free_sent.pop())?;
        self.filling += 1;
        let chunk = &mut self.chunks[index as usize];
        chunk.place = Place::Filling;
        Some(chunk.home)
    }

    /// The kernel received into this chunk.
    pub(crate) fn received(&mut self, desc: &FrameDesc) -> RxFrame {
        let index = desc.addr() / self.chunk_size;
        let offset = desc.addr() % self.chunk_size;
        let len = desc.lengths().data();
        let chunk = &mut self.chunks[index];
        assert_eq!(
            chunk.place,
            Place::Filling,
            "the kernel returns what it was given"
        );
        assert!(
            offset + len <= self.chunk_size,
            "the kernel keeps to the chunk"
        );
        chunk.place = Place::Received;
        self.filling -= 1;
        self.held += 1;
        RxFrame {
            chunk: index as u32,
            offset: offset as u16,
            len: len as u16,
        }
    }

    /// The octets of a received frame.
    #[inline]
    pub(crate) fn rx_bytes(&self, frame: &RxFrame) -> &[u8] {
        let chunk = &self.chunks[frame.chunk as usize];
        assert_eq!(chunk.place, Place::Received, "not a received frame");
        let start = usize::from(frame.offset).wrapping_sub(HEADROOM as usize);
        let end = start.wrapping_add(usize::from(frame.len));
        assert!(
            start <= end && end <= self.capacity(),
            "not within its chunk"
        );
        // SAFETY: `start..end` lies in the octets that `data` gives access to (checked above). A
        // chunk in place Received belongs to user space: the kernel gave it back and gets it only
        // by `fill` or `sent`, which need `&mut self`, as does `tx_bytes`, the only writer.
        unsafe { slice::from_raw_parts(chunk.data.as_ptr().add(start), end - start) }
    }

    /// A received frame comes back.
    pub(crate) fn release(&mut self, frame: RxFrame) {
        self.give_back(frame.chunk, Place::Received);
        self.free_received.push(frame.chunk);
    }

    /// A free chunk to write a frame in.
    pub(crate) fn allocate(&mut self) -> Option<TxFrame> {
        let index = self.free_sent.pop().or_else(|| self.free_received.pop())?;
        self.held += 1;
        self.chunks[index as usize].place = Place::Allocated;
        Some(TxFrame {
            chunk: index,
            len: 0,
        })
    }

    /// The writable octets of an allocated frame.
    #[inline]
    pub(crate) fn tx_bytes(&mut self, frame: &mut TxFrame) -> &mut [u8] {
        let capacity = self.capacity();
        let chunk = &self.chunks[frame.chunk as usize];
        assert_eq!(chunk.place, Place::Allocated, "not a frame to send");
        // SAFETY: `data` gives access to `capacity` octets. A chunk in place Allocated belongs to
        // user space (the kernel gets it only by `send`), and `&mut self` excludes every other
        // slice of this pool's memory.
        unsafe { slice::from_raw_parts_mut(chunk.data.as_ptr(), capacity) }
    }

    /// An allocated frame is on its way: appends the descriptor for the transmit ring to `out`. It is
    /// completed in its place there: reading back what was just stored in pieces would wait for
    /// every store before it, and those to the frame may miss the cache.
    pub(crate) fn send(&mut self, frame: TxFrame, len: usize, out: &mut Vec<FrameDesc>) {
        let capacity = self.capacity();
        let chunk = &mut self.chunks[frame.chunk as usize];
        assert_eq!(chunk.place, Place::Allocated, "not a frame to send");
        // The kernel discards an empty frame without ever completing it.
        assert!(
            len > 0 && len <= capacity,
            "a frame has 1 to {capacity} octets, not {len}"
        );
        chunk.place = Place::Sending;
        self.held -= 1;
        self.sending += 1;
        out.push(chunk.home);
        let Some(desc) = out.last_mut() else { return };
        // SAFETY: the descriptor is of this UMEM, and until it is in the transmit ring the memory
        // belongs to user space; the slice made here does not outlive the statement.
        unsafe { self.umem.data_mut(desc) }.cursor().set_pos(len);
    }

    /// An allocated frame comes back unsent.
    pub(crate) fn cancel(&mut self, frame: TxFrame) {
        self.give_back(frame.chunk, Place::Allocated);
        self.free_sent.push(frame.chunk);
    }

    /// The kernel is done sending this chunk.
    pub(crate) fn completed(&mut self, desc: &FrameDesc) {
        let index = desc.addr() / self.chunk_size;
        let chunk = &mut self.chunks[index];
        assert_eq!(
            chunk.place,
            Place::Sending,
            "the kernel completes what it was given"
        );
        chunk.place = Place::Free;
        self.sending -= 1;
        self.free_sent.push(index as u32);
    }

    fn give_back(&mut self, index: u32, from: Place) {
        let chunk = &mut self.chunks[index as usize];
        assert_eq!(chunk.place, from, "not the holder's to give back");
        chunk.place = Place::Free;
        self.held -= 1;
    }

    /// Frames sent and not completed.
    pub(crate) fn sending(&self) -> u64 {
        self.sending
    }

    /// The ledger; what is counted elsewhere is left at zero.
    pub(crate) fn ledger(&self) -> PortStats {
        PortStats {
            frames: self.chunks.len() as u64,
            free: self.free() as u64,
            filling: self.filling,
            held: self.held,
            sending: self.sending,
            ..PortStats::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xsk_rs::config::UmemConfig;

    /// Registering a UMEM needs CAP_NET_RAW; `None` without it.
    fn pool(frames: u32) -> Option<Pool> {
        if !crate::testing::privileged("the pool of chunks") {
            return None;
        }
        let config = UmemConfig::builder()
            .frame_size(2048.try_into().unwrap())
            .build()
            .unwrap();
        let (umem, descs) = Umem::new(config, frames.try_into().unwrap(), false).unwrap();
        Some(Pool::new(umem, descs, 2048))
    }

    fn balanced(pool: &Pool) {
        let ledger = pool.ledger();
        let known = ledger.free + ledger.filling + ledger.held + ledger.sending;
        assert_eq!(ledger.frames, known, "{ledger:?}");
    }

    #[test]
    fn chunks_go_round_and_the_ledger_balances() {
        let Some(mut pool) = pool(8) else { return };
        let mut frame = pool.allocate().unwrap();
        assert_eq!(pool.tx_bytes(&mut frame).len(), 2048 - 256);
        pool.tx_bytes(&mut frame).fill(7);
        balanced(&pool);
        let mut out = Vec::new();
        pool.send(frame, 60, &mut out);
        let desc = out[0];
        assert_eq!((desc.addr() % 2048, desc.lengths().data()), (256, 60));
        assert_eq!((pool.ledger().sending, pool.ledger().free), (1, 7));
        balanced(&pool);
        pool.completed(&desc);
        let filled: Vec<FrameDesc> = std::iter::from_fn(|| pool.fill()).collect();
        assert_eq!((filled.len(), pool.ledger().filling), (8, 8));
        assert!(pool.allocate().is_none());
        // What was sent from last is received into last. As if the kernel had received all that is
        // left of the frame above: nothing.
        let frame = pool.received(&filled[7]);
        assert_eq!((frame.offset, frame.len), (256, 0));
        let whole = RxFrame { len: 60, ..frame };
        assert_eq!(pool.rx_bytes(&whole), [7; 60]);
        balanced(&pool);
        pool.release(whole);
        assert_eq!(pool.free(), 1);
        balanced(&pool);
    }

    #[test]
    #[should_panic(expected = "not a received frame")]
    fn a_forged_token_does_not_read_what_the_kernel_has() {
        let Some(mut pool) = pool(2) else {
            panic!("not a received frame (skipped)")
        };
        let chunk = (pool.fill().unwrap().addr() / 2048) as u32;
        pool.rx_bytes(&RxFrame {
            chunk,
            offset: 256,
            len: 60,
        });
    }

    #[test]
    #[should_panic(expected = "not within its chunk")]
    fn a_forged_token_does_not_read_the_next_chunk() {
        let Some(mut pool) = pool(2) else {
            panic!("not within its chunk (skipped)")
        };
        let desc = pool.fill().unwrap();
        let frame = pool.received(&desc);
        pool.rx_bytes(&RxFrame {
            offset: 300,
            len: 1749,
            ..frame
        });
    }

    #[test]
    #[should_panic(expected = "not the holder's to give back")]
    fn a_forged_token_cannot_be_released_twice() {
        let Some(mut pool) = pool(2) else {
            panic!("not the holder's to give back (skipped)")
        };
        let frame = pool.allocate().unwrap();
        let forged = TxFrame {
            chunk: frame.chunk,
            len: 0,
        };
        pool.cancel(frame);
        pool.cancel(forged);
    }
}
