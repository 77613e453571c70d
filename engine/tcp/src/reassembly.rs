//! Which octets after RCV.NXT have arrived out of order. The bytes are with the owner of the buffers.

use byway_wire::tcp::{SackBlock, SackBlocks};
use byway_wire::{SeqLen, SeqNumber};

/// Most ranges that can be configured.
const CAPACITY: usize = 32;

/// Half-open range of sequence numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Range {
    start: SeqNumber,
    end: SeqNumber,
}

/// Disjoint ranges in order, none touching its neighbour, all within one receive window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reassembly {
    ranges: [Range; CAPACITY],
    len: u8,
    /// Start of the range that changed last: it leads the SACK option (RFC 2018 §4).
    latest: SeqNumber,
    /// Sequence number of a FIN that arrived ahead of data.
    fin: Option<SeqNumber>,
}

impl crate::pool::Recycle for Reassembly {
    fn recycle(&mut self) {
        *self = Self::default();
    }
}

impl Reassembly {
    fn ranges(&self) -> &[Range] {
        self.ranges.get(..usize::from(self.len)).unwrap_or(&[])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0 && self.fin.is_none()
    }

    /// Remembers `len` octets from `start`. False when that would need one range more than `limit`.
    pub(crate) fn insert(&mut self, start: SeqNumber, len: SeqLen, limit: u8) -> bool {
        let mut new = Range {
            start,
            end: start + len,
        };
        // Ranges wholly before the new one stay, those that touch it are swallowed.
        let first = self
            .ranges()
            .iter()
            .take_while(|r| r.end.before(new.start))
            .count();
        let rest = self.ranges().get(first..).unwrap_or(&[]);
        let touched = rest
            .iter()
            .take_while(|r| r.start.at_or_before(start + len))
            .count();
        for range in rest.iter().take(touched) {
            new.start = new.start.min(range.start);
            new.end = new.end.max(range.end);
        }
        let count = usize::from(self.len);
        if touched == 0 && count >= usize::from(limit).min(CAPACITY) {
            return false;
        }
        let after = first + touched;
        self.ranges.copy_within(after..count, first + 1);
        if let Some(slot) = self.ranges.get_mut(first) {
            *slot = new;
        }
        self.len = (count + 1 - touched) as u8;
        self.latest = new.start;
        true
    }

    /// All of it is here already; then the range that holds it leads the SACK option.
    pub(crate) fn repeats(&mut self, start: SeqNumber, len: SeqLen) -> bool {
        let inside = |r: &&Range| r.start.at_or_before(start) && (start + len).at_or_before(r.end);
        let Some(range) = self.ranges().iter().find(inside) else {
            return false;
        };
        self.latest = range.start;
        true
    }

    /// Remembers a FIN that came ahead of data.
    pub(crate) fn insert_fin(&mut self, at: SeqNumber) {
        self.fin = Some(at);
    }

    /// True when the FIN that came ahead is the next octet expected.
    pub(crate) fn fin_is_at(&self, rcv_nxt: SeqNumber) -> bool {
        self.fin == Some(rcv_nxt)
    }

    /// RCV.NXT moved to `rcv_nxt`: returns how many octets follow it without a gap, and forgets
    /// them and all that is older.
    pub(crate) fn advance(&mut self, rcv_nxt: SeqNumber) -> SeqLen {
        let mut ready = 0;
        let mut gone = 0;
        for range in self.ranges() {
            if range.start.after(rcv_nxt) {
                break;
            }
            if range.end.after(rcv_nxt) {
                ready = range.end.offset_from(rcv_nxt);
            }
            gone += 1;
        }
        self.ranges.copy_within(gone..usize::from(self.len), 0);
        self.len -= gone as u8;
        ready
    }

    /// The blocks for an acknowledgment, the one that changed last first, at most `most`.
    //= rfc2018 3 S3-1
    //= rfc2018 4 S4-4 S4-5
    pub(crate) fn sack_blocks(&self, most: usize) -> SackBlocks {
        let block = |r: &Range| SackBlock {
            left: r.start,
            right: r.end,
        };
        let latest = self.ranges().iter().filter(|r| r.start == self.latest);
        let others = self.ranges().iter().filter(|r| r.start != self.latest);
        let mut blocks = SackBlocks::default();
        latest
            .chain(others)
            .take(most)
            .for_each(|r| blocks.push(block(r)));
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(n: u32) -> SeqNumber {
        // Near the wrap on purpose.
        SeqNumber::new(u32::MAX - 50) + n
    }

    fn held(r: &Reassembly) -> Vec<(u32, u32)> {
        let base = seq(0);
        r.ranges()
            .iter()
            .map(|r| (r.start.offset_from(base), r.end.offset_from(base)))
            .collect()
    }

    #[test]
    fn ranges_join_where_they_touch() {
        let mut r = Reassembly::default();
        assert!(r.insert(seq(10), 10, 8));
        assert!(r.insert(seq(30), 10, 8));
        assert_eq!(held(&r), [(10, 20), (30, 40)]);
        assert!(r.insert(seq(20), 10, 8));
        assert_eq!(held(&r), [(10, 40)]);
        assert!(r.insert(seq(5), 100, 8));
        assert_eq!(held(&r), [(5, 105)]);
    }

    #[test]
    fn the_limit_refuses_one_more_but_still_extends() {
        let mut r = Reassembly::default();
        assert!(r.insert(seq(10), 1, 2));
        assert!(r.insert(seq(20), 1, 2));
        assert!(!r.insert(seq(30), 1, 2));
        assert!(r.insert(seq(21), 1, 2));
        assert_eq!(held(&r), [(10, 11), (20, 22)]);
    }

    #[test]
    fn advancing_gives_what_follows_without_a_gap() {
        let mut r = Reassembly::default();
        r.insert(seq(10), 10, 8);
        r.insert(seq(30), 10, 8);
        assert_eq!(r.advance(seq(5)), 0);
        assert_eq!(r.advance(seq(15)), 5);
        assert_eq!(r.advance(seq(60)), 0);
        assert!(r.is_empty());
    }

    //= rfc2018 4 S4-4 S4-5
    #[test]
    fn sack_leads_with_the_latest() {
        let mut r = Reassembly::default();
        for at in [10, 50, 30] {
            r.insert(seq(at), 5, 8);
        }
        let lefts: Vec<_> = r.sack_blocks(3).as_slice().iter().map(|b| b.left).collect();
        assert_eq!(lefts, [seq(30), seq(10), seq(50)]);
        assert_eq!(r.sack_blocks(1).as_slice().len(), 1);
    }

    /// Against a bitmap, over every order a small generator makes up.
    //= rfc2018 3 S3-1
    #[test]
    fn it_agrees_with_a_bitmap() {
        let mut x = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = |n: u64| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x % n) as u32
        };
        for _ in 0..500 {
            let mut r = Reassembly::default();
            let mut map = [false; 128];
            let mut nxt = 0u32;
            for _ in 0..60 {
                let start = nxt + 1 + next(60);
                let len = (1 + next(20)).min(127u32.saturating_sub(start));
                if start >= 127 || len == 0 {
                    break;
                }
                if r.insert(seq(start), len, 32) {
                    (start..start + len).for_each(|i| map[i as usize] = true);
                }
                if next(4) == 0 {
                    nxt += next(6);
                    let ready = map[nxt.min(127) as usize..]
                        .iter()
                        .take_while(|b| **b)
                        .count();
                    assert_eq!(r.advance(seq(nxt)), ready as u32);
                    nxt += ready as u32;
                }
                let expect: u32 = held(&r).iter().map(|(a, b)| b - a).sum();
                let have = map[(nxt.min(127)) as usize..]
                    .iter()
                    .filter(|b| **b)
                    .count();
                assert_eq!(expect as usize, have);
            }
        }
    }
}
