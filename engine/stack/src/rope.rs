//! Ropes: a stretch of a byte stream in blocks, addressed by distance from its front.
//!
//! A rope may have holes. Bytes that arrive out of order are written where they belong, so what a
//! rope takes from the pool depends on the stretch it covers and not on how many pieces it came
//! in: segments of one octet pin no more than the window.

use crate::blocks::{BLOCK, BlockPool};
use std::collections::VecDeque;

/// In place of a block that nothing was written to yet.
const HOLE: u32 = u32::MAX;

/// A stretch of a byte stream. It has no memory of its own: every call is given the same pool.
#[derive(Debug, Default)]
pub struct Rope {
    blocks: VecDeque<u32>,
    /// Where the front lies in the first block.
    head: u32,
    /// Distance from the front to the end of the furthest byte written.
    end: u32,
}

/// Blocks that writing `len` octets anywhere can take at most.
#[inline]
pub const fn blocks_for(len: usize) -> u32 {
    (len.div_ceil(BLOCK) + 1) as u32
}

impl Rope {
    /// Distance from the front to the end of the furthest byte written.
    #[inline]
    pub fn end(&self) -> u32 {
        self.end
    }

    /// True when nothing is written beyond the front.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Writes `bytes` at distance `at` from the front, over what was there. Returns how many were
    /// written: fewer than all only when the pool is empty.
    #[inline]
    pub fn write_at(&mut self, pool: &mut BlockPool, at: u32, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        let mut place = self.head as usize + at as usize;
        while !rest.is_empty() {
            let Some(block) = self.block_for_writing(pool, place / BLOCK) else {
                break;
            };
            let start = place % BLOCK;
            let count = rest.len().min(BLOCK - start);
            let (now, later) = rest.split_at(count);
            pool.bytes_mut(block)[start..start + count].copy_from_slice(now);
            place += count;
            rest = later;
        }
        let written = bytes.len() - rest.len();
        if written > 0 {
            self.end = self.end.max(at + written as u32);
        }
        written
    }

    /// Writes after the furthest byte; returns how many were written, as [`Self::write_at`].
    #[inline]
    pub fn append(&mut self, pool: &mut BlockPool, bytes: &[u8]) -> usize {
        self.write_at(pool, self.end, bytes)
    }

    /// Octets that `append` can write when the pool has `available` blocks left.
    #[inline]
    pub fn append_space(&self, available: u32) -> usize {
        let covered = self.blocks.len() * BLOCK;
        let used = self.head as usize + self.end as usize;
        covered.saturating_sub(used) + available as usize * BLOCK
    }

    /// Copies what lies at distance `at` into `dst`. The caller knows that it was written.
    pub fn copy_out(&self, pool: &BlockPool, at: u32, dst: &mut [u8]) {
        let mut done = 0;
        while done < dst.len() {
            let part = self.slice(pool, at + done as u32, dst.len() - done);
            dst[done..done + part.len()].copy_from_slice(part);
            done += part.len();
        }
    }

    /// What lies at distance `at`, up to `max` octets and the end of its block; at least one.
    #[inline]
    pub fn slice<'a>(&self, pool: &'a BlockPool, at: u32, max: usize) -> &'a [u8] {
        let (block, start, end) = self.locate(at, max);
        &pool.bytes(block)[start..end]
    }

    /// Moves the front forward by `count` octets and frees the blocks before it. When nothing is
    /// left, no block is.
    pub fn advance(&mut self, pool: &mut BlockPool, count: u32) {
        if count >= self.end {
            self.clear(pool);
            return;
        }
        self.end -= count;
        let place = self.head as usize + count as usize;
        for _ in 0..place / BLOCK {
            if let Some(block) = self.blocks.pop_front().filter(|&block| block != HOLE) {
                pool.give_back(block);
            }
        }
        self.head = (place % BLOCK) as u32;
    }

    /// Frees everything.
    pub fn clear(&mut self, pool: &mut BlockPool) {
        while let Some(block) = self.blocks.pop_front() {
            if block != HOLE {
                pool.give_back(block);
            }
        }
        self.head = 0;
        self.end = 0;
    }

    /// Blocks that this rope holds.
    pub fn held(&self) -> u32 {
        self.blocks.iter().filter(|&&block| block != HOLE).count() as u32
    }

    fn block_for_writing(&mut self, pool: &mut BlockPool, index: usize) -> Option<u32> {
        if let Some(&block) = self.blocks.get(index)
            && block != HOLE
        {
            return Some(block);
        }
        let block = pool.take()?;
        while self.blocks.len() <= index {
            self.blocks.push_back(HOLE);
        }
        self.blocks[index] = block;
        Some(block)
    }

    /// The block with what lies at distance `at`, and where in it that begins and ends.
    #[inline]
    pub(crate) fn locate(&self, at: u32, max: usize) -> (u32, usize, usize) {
        let place = self.head as usize + at as usize;
        let start = place % BLOCK;
        (self.blocks[place / BLOCK], start, (start + max).min(BLOCK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(from: usize, len: usize) -> Vec<u8> {
        (from..from + len)
            .map(|i| (i * 31 + i / 251) as u8)
            .collect()
    }

    fn out(rope: &Rope, pool: &BlockPool, at: u32, len: usize) -> Vec<u8> {
        let mut dst = vec![0; len];
        rope.copy_out(pool, at, &mut dst);
        dst
    }

    #[test]
    fn what_is_appended_comes_out_and_blocks_go_back() {
        let mut pool = BlockPool::new(8);
        let mut rope = Rope::default();
        assert_eq!(rope.append(&mut pool, &bytes(0, 3000)), 3000);
        assert_eq!(rope.append(&mut pool, &bytes(3000, 3000)), 3000);
        assert_eq!((rope.end(), rope.held()), (6000, 3));
        assert_eq!(out(&rope, &pool, 0, 6000), bytes(0, 6000));
        rope.advance(&mut pool, 2047);
        assert_eq!(rope.held(), 3);
        rope.advance(&mut pool, 1);
        assert_eq!(rope.held(), 2);
        assert_eq!(out(&rope, &pool, 10, 3000), bytes(2058, 3000));
        rope.advance(&mut pool, 3952);
        assert!(rope.is_empty());
        assert_eq!((rope.held(), pool.in_use()), (0, 0));
    }

    #[test]
    fn bytes_out_of_order_land_where_they_belong() {
        let mut pool = BlockPool::new(16);
        let mut rope = Rope::default();
        for start in [9000, 3000, 0, 6000, 12000] {
            assert_eq!(
                rope.write_at(&mut pool, start, &bytes(start as usize, 3000)),
                3000
            );
        }
        assert_eq!(out(&rope, &pool, 0, 15000), bytes(0, 15000));
    }

    #[test]
    fn a_hole_takes_no_block_and_single_octets_share_theirs() {
        let mut pool = BlockPool::new(64);
        let mut rope = Rope::default();
        rope.write_at(&mut pool, 60_000, &[1]);
        assert_eq!(rope.held(), 1);
        for at in (0..60_000).step_by(2) {
            assert_eq!(rope.write_at(&mut pool, at, &[at as u8]), 1);
        }
        assert_eq!(rope.held(), 60_001u32.div_ceil(BLOCK as u32));
        rope.clear(&mut pool);
        assert_eq!(pool.in_use(), 0);
    }

    #[test]
    fn the_front_moves_past_a_hole() {
        let mut pool = BlockPool::new(4);
        let mut rope = Rope::default();
        rope.write_at(&mut pool, 5000, &[1, 2, 3]);
        rope.advance(&mut pool, 5001);
        assert_eq!((rope.end(), rope.held()), (2, 1));
        assert_eq!(out(&rope, &pool, 0, 2), [2, 3]);
    }

    #[test]
    fn an_empty_pool_cuts_the_write_and_the_space_says_so_before() {
        let mut pool = BlockPool::new(2);
        let mut rope = Rope::default();
        rope.append(&mut pool, &bytes(0, 100));
        assert_eq!(rope.append_space(pool.available()), 2 * BLOCK - 100);
        assert_eq!(rope.append(&mut pool, &bytes(100, 5000)), 2 * BLOCK - 100);
        assert_eq!(rope.append_space(pool.available()), 0);
        assert_eq!(rope.append(&mut pool, &[1]), 0);
        assert_eq!(rope.write_at(&mut pool, 9000, &[1]), 0);
        assert_eq!(rope.end() as usize, 2 * BLOCK);
        assert_eq!(out(&rope, &pool, 0, 2 * BLOCK), bytes(0, 2 * BLOCK));
    }

    #[test]
    fn no_write_takes_more_blocks_than_foretold() {
        for len in [1, 2, 1460, 2047, 2048, 2049, 9000] {
            for at in [0, 1, 2047, 2048, 3000] {
                let mut pool = BlockPool::new(16);
                let mut rope = Rope::default();
                rope.write_at(&mut pool, at, &bytes(0, len));
                assert!(rope.held() <= blocks_for(len), "{len} at {at}");
            }
        }
    }
}
