//! Blocks: the memory that buffered bytes live in, in pieces of one size from a bounded pool.

/// Octets in a block.
pub const BLOCK: usize = 2048;

/// A bounded pool of blocks. Memory that was never used was never touched.
#[derive(Debug)]
pub struct BlockPool {
    memory: Memory,
    /// Blocks that were used and given back, the warmest last.
    free: Vec<u32>,
    /// Blocks from here on were never used.
    fresh: u32,
    total: u32,
}

/// The bytes of a pool, without the right to take or free blocks.
#[derive(Debug, Default)]
pub(crate) struct Memory(Box<[u8]>);

impl Memory {
    /// The bytes of a block.
    #[inline]
    pub(crate) fn block(&self, block: u32) -> &[u8] {
        let start = block as usize * BLOCK;
        &self.0[start..start + BLOCK]
    }
}

impl BlockPool {
    /// A pool of `total` blocks.
    pub fn new(total: u32) -> Self {
        Self {
            memory: Memory(vec![0; total as usize * BLOCK].into_boxed_slice()),
            free: Vec::new(),
            fresh: 0,
            total,
        }
    }

    /// Takes a block; its bytes are whatever its last user left.
    #[inline]
    pub fn take(&mut self) -> Option<u32> {
        if let Some(block) = self.free.pop() {
            return Some(block);
        }
        if self.fresh == self.total {
            return None;
        }
        self.fresh += 1;
        Some(self.fresh - 1)
    }

    /// Gives a block back. The caller took it and gives it back once.
    #[inline]
    pub fn give_back(&mut self, block: u32) {
        debug_assert!(block < self.fresh);
        self.free.push(block);
    }

    /// The bytes of a block.
    #[inline]
    pub fn bytes(&self, block: u32) -> &[u8] {
        self.memory.block(block)
    }

    /// The bytes of a block, to write.
    #[inline]
    pub fn bytes_mut(&mut self, block: u32) -> &mut [u8] {
        let start = block as usize * BLOCK;
        &mut self.memory.0[start..start + BLOCK]
    }

    /// Blocks that can be taken.
    #[inline]
    pub fn available(&self) -> u32 {
        self.total - self.in_use()
    }

    /// Blocks that are taken.
    #[inline]
    pub fn in_use(&self) -> u32 {
        self.fresh - self.free.len() as u32
    }

    /// Blocks in all.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Moves the bytes out, so that they can be read while the pool's owner is lent to a service.
    /// Until [`Self::restore`] the pool's bytes must not be touched.
    #[inline]
    pub(crate) fn lend(&mut self) -> Memory {
        std::mem::take(&mut self.memory)
    }

    /// Puts back what [`Self::lend`] moved out.
    #[inline]
    pub(crate) fn restore(&mut self, memory: Memory) {
        self.memory = memory;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_gives_what_it_has_and_not_one_more() {
        let mut pool = BlockPool::new(3);
        let blocks: Vec<u32> = (0..3).map(|_| pool.take().unwrap()).collect();
        assert_eq!(pool.take(), None);
        assert_eq!((pool.in_use(), pool.available()), (3, 0));
        pool.bytes_mut(blocks[1])[0] = 7;
        pool.bytes_mut(blocks[1])[BLOCK - 1] = 9;
        assert_eq!(pool.bytes(blocks[0])[BLOCK - 1], 0);
        assert_eq!(pool.bytes(blocks[2])[0], 0);
        pool.give_back(blocks[1]);
        assert_eq!(pool.take(), Some(blocks[1]));
        assert_eq!(pool.bytes(blocks[1])[0], 7);
    }

    #[test]
    fn lent_bytes_come_back() {
        let mut pool = BlockPool::new(1);
        let block = pool.take().unwrap();
        pool.bytes_mut(block)[5] = 42;
        let memory = pool.lend();
        assert_eq!(memory.block(block)[5], 42);
        pool.restore(memory);
        assert_eq!(pool.bytes(block)[5], 42);
    }
}
