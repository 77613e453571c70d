//! The bytes of connections: kept where they belong, freed when they have done their duty.
//!
//! No octet that TCP acknowledged is ever lost for want of memory. TCP acknowledges what it takes
//! from a segment, so whether there is room is asked *before* TCP sees the segment: when the blocks
//! left could not hold all of its payload, it is dropped as if the network had lost it. What is out
//! of order may use only part of the pool, so that the segment that fills the gap finds room.
//!
//! Readers that stop must not starve those that go on. Once the pool is half used, windows grow to a
//! share of what is free and no further: the more is held, the less each may hold. What was announced
//! before may be more than the pool has, so the last eighth of it is for segments in order of
//! connections whose application has next to nothing unread: with each that it serves and that then
//! stops, one or two blocks are gone, not a window.

use crate::blocks::{BLOCK, BlockPool};
use crate::core::{Core, NONE, flag};
use crate::rope::blocks_for;
use byway_tcp::segment::Segment;
use byway_tcp::{Connection, Tcp};

/// One block in this many is kept for segments that arrive in order, where the application keeps up.
const RESERVED_SHARE: u32 = 8;
/// The pool is short when less than one block in this many is free.
const SHORT_SHARE: u32 = 2;
/// Windows grow to one part in so many of what is free and not reserved.
const WINDOW_SHARE: u32 = 8;
/// An application keeps up that has no more unread than one part in so many of what is free: room
/// for the beginning of a message, when the pool is of the default size.
const UNREAD_SHARE: u32 = 1024;

/// Octets in so many blocks.
fn octets_in(blocks: u32) -> u32 {
    blocks.saturating_mul(BLOCK as u32)
}

impl BlockPool {
    /// True when so many octets can be kept without what is reserved being touched.
    #[inline]
    pub(crate) fn has_plenty_for(&self, octets: usize) -> bool {
        self.available() >= self.total() / RESERVED_SHARE + blocks_for(octets)
    }
}

impl Core {
    /// True when the payload of a segment for this connection can be kept, whatever comes of it.
    /// Else the drop is counted.
    pub(crate) fn has_room_for(&mut self, index: u32, seg: &Segment) -> bool {
        let octets = seg.payload_len as usize;
        if octets == 0 || self.receive_blocks.has_plenty_for(octets) {
            return true;
        }
        let available = self.receive_blocks.available();
        let conn = self.conn(index);
        if !seg.seq.at_or_before(conn.rcv_nxt()) {
            self.counters.receive_blocks_reserved += 1;
            return false;
        }
        let keeps_up = conn.unread() <= octets_in(available) / UNREAD_SHARE;
        let room = keeps_up && available >= blocks_for(octets);
        self.counters.receive_blocks_empty += u64::from(!room);
        room
    }

    /// Tells TCP how far windows may grow, as long as the pool is short.
    #[inline]
    pub(crate) fn bound_windows(&mut self) {
        let (available, total) = (self.receive_blocks.available(), self.receive_blocks.total());
        let bound = if available >= total / SHORT_SHARE {
            u32::MAX
        } else {
            octets_in(available.saturating_sub(total / RESERVED_SHARE)) / WINDOW_SHARE
        };
        self.tcp.bound_windows(bound);
    }

    /// The buffers of a connection, made when it has none. There is one record for every
    /// connection, so there always is one.
    fn buffers_of(&mut self, index: u32) -> u32 {
        let held = self.conn(index).owner().buffers;
        if held != NONE {
            return held;
        }
        let made = self.buffers.take();
        self.conn(index).owner_mut().buffers = made;
        made
    }

    /// Keeps received bytes, `at` octets after the oldest that was not consumed. There is room:
    /// [`Self::has_room_for`] said so.
    pub(crate) fn keep(&mut self, index: u32, at: u32, bytes: &[u8]) {
        let buffers = self.buffers_of(index);
        let Some(buffers) = self.buffers.get_mut(buffers) else {
            return;
        };
        let kept = buffers
            .receive
            .write_at(&mut self.receive_blocks, at, bytes);
        assert_eq!(
            kept,
            bytes.len(),
            "room for a segment was checked before TCP took it"
        );
    }

    /// The service took `count` octets.
    pub(crate) fn consume(&mut self, index: u32, count: u32) {
        if count == 0 {
            return;
        }
        let conn = self
            .connections
            .get_mut(index)
            .expect("a connection outlives its callbacks");
        conn.consume(count, &self.tcp);
        let buffers = conn.owner().buffers;
        if let Some(record) = self.buffers.get_mut(buffers) {
            record.receive.advance(&mut self.receive_blocks, count);
            if record.are_empty() {
                conn.owner_mut().buffers = NONE;
                self.buffers.give(buffers);
            }
        }
        self.mark_dirty(index);
    }

    /// The peer acknowledged `count` octets.
    pub(crate) fn free_acknowledged(&mut self, index: u32, count: u32) {
        let Some(conn) = self.connections.get_mut(index) else {
            return;
        };
        let buffers = conn.owner().buffers;
        if let Some(record) = self.buffers.get_mut(buffers) {
            record.send.advance(&mut self.send_blocks, count);
            if record.are_empty() {
                conn.owner_mut().buffers = NONE;
                self.buffers.give(buffers);
            }
        }
    }

    /// Takes bytes to send, as many as there is room for.
    #[inline]
    pub(crate) fn send(&mut self, index: u32, data: &[u8]) -> usize {
        self.send_with(index, data, |conn, len, _| conn.queue(len))
    }

    /// The same, with a word to TCP of what kind they are.
    #[inline]
    pub(crate) fn send_with(
        &mut self,
        index: u32,
        data: &[u8],
        queue: impl FnOnce(&mut Connection, u32, &mut Tcp),
    ) -> usize {
        let Some(conn) = self.connections.get_mut(index) else {
            return 0;
        };
        if conn.owner().flags & flag::OVER != 0 || data.is_empty() {
            return 0;
        }
        let wanted = data.len().min(conn.send_space(&self.tcp) as usize);
        let mut taken = 0;
        if wanted > 0 {
            let mut at = conn.owner().buffers;
            if at == NONE {
                at = self.buffers.take();
            }
            if let Some(record) = self.buffers.get_mut(at) {
                taken = record.send.append(&mut self.send_blocks, &data[..wanted]);
                if record.are_empty() {
                    self.buffers.give(at);
                    at = NONE;
                }
            }
            conn.owner_mut().buffers = at;
            queue(conn, taken as u32, &mut self.tcp);
            self.mark_dirty(index);
        }
        if taken < data.len() {
            self.set(index, flag::BLOCKED);
        }
        if taken < wanted {
            self.counters.send_blocks_empty += 1;
            if self.set(index, flag::STARVED) {
                self.starved.push_back(index);
            }
        }
        taken
    }

    /// Octets that [`Self::send`] would take now.
    pub(crate) fn send_space(&self, index: u32) -> usize {
        let Some(conn) = self.connections.get(index) else {
            return 0;
        };
        if conn.owner().flags & flag::OVER != 0 {
            return 0;
        }
        let available = self.send_blocks.available();
        let blocks = match self.buffers.get(conn.owner().buffers) {
            Some(record) => record.send.append_space(available),
            None => available as usize * BLOCK,
        };
        blocks.min(conn.send_space(&self.tcp) as usize)
    }

    /// Frees the buffers of a connection, with what is in them.
    pub(crate) fn release_buffers(&mut self, index: u32) {
        let Some(conn) = self.connections.get_mut(index) else {
            return;
        };
        let buffers = std::mem::replace(&mut conn.owner_mut().buffers, NONE);
        if let Some(record) = self.buffers.get_mut(buffers) {
            record.receive.clear(&mut self.receive_blocks);
            record.send.clear(&mut self.send_blocks);
            self.buffers.give(buffers);
        }
    }
}
