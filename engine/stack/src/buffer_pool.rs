//! The buffers of busy connections. A record that was given back stays where it is, empty and with the
//! room in its lists, so that a request and its answer neither allocate nor move it.

use crate::rope::Rope;

/// The bytes of a busy connection.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// From the oldest octet that was not consumed.
    pub(crate) receive: Rope,
    /// From the oldest octet that was not acknowledged.
    pub(crate) send: Rope,
}

impl Buffers {
    #[inline]
    pub(crate) fn are_empty(&self) -> bool {
        self.receive.is_empty() && self.send.is_empty()
    }
}

/// Buffers by index: as many as connections had some at once.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    records: Vec<Buffers>,
    free: Vec<u32>,
}

impl BufferPool {
    /// Empty buffers.
    #[inline]
    pub(crate) fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.records.push(Buffers::default());
            self.records.len() as u32 - 1
        })
    }

    /// Asks the CPU for the buffers at an index.
    #[inline]
    pub(crate) fn prefetch(&self, index: u32) {
        if let Some(record) = self.get(index) {
            byway_sys::prefetch_record(record);
        }
    }

    /// Gives buffers back, empty.
    #[inline]
    pub(crate) fn give(&mut self, index: u32) {
        debug_assert!(self.get(index).is_some_and(Buffers::are_empty));
        self.free.push(index);
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&Buffers> {
        self.records.get(index as usize)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Buffers> {
        self.records.get_mut(index as usize)
    }

    /// Buffers that connections hold.
    pub(crate) fn in_use(&self) -> u32 {
        (self.records.len() - self.free.len()) as u32
    }

    /// All there are, also those that nobody holds.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Buffers> {
        self.records.iter()
    }
}
