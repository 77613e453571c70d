//! Which octets after RCV.NXT have arrived out of order. The bytes are with the owner of the buffers.

use byway_wire::tcp::{SackBlock, SackBlocks};
use byway_wire::{SeqLen, SeqNumber};

/// Most ranges that can be configured.
const CAPACITY: usize = 32;

/// As many as a SACK option has blocks.
const RECENT: usize = 4;

/// Half-open range of sequence numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Range {
    start: SeqNumber,
    end: SeqNumber,
}

impl Range {
    #[inline]
    fn holds(&self, octet: SeqNumber) -> bool {
        self.start.at_or_before(octet) && octet.before(self.end)
    }

    fn block(&self) -> SackBlock {
        SackBlock {
            left: self.start,
            right: self.end,
        }
    }
}

/// Disjoint ranges in order, none touching its neighbour, all within one receive window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reassembly {
    ranges: [Range; CAPACITY],
    len: u8,
    /// Octets within the ranges that changed last, the latest first: the order of the SACK option
    /// (RFC 2018 §4). One range may be named twice, or be gone.
    recent: [SeqNumber; RECENT],
    /// Sequence number of a FIN that arrived ahead of data.
    fin: Option<SeqNumber>,
    /// Octets that arrived twice, for the next acknowledgment to tell (RFC 2883).
    repeated: Option<SackBlock>,
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
        self.len == 0 && self.fin.is_none() && self.repeated.is_none()
    }

    /// The first stretch of these octets that is here already.
    pub(crate) fn part_held(&self, start: SeqNumber, len: SeqLen) -> Option<(SeqNumber, SeqLen)> {
        let end = start + len;
        let range = self
            .ranges()
            .iter()
            .find(|r| r.end.after(start) && r.start.before(end))?;
        let from = range.start.max(start);
        Some((from, range.end.min(end).offset_from(from)))
    }

    /// Something arrived out of order and waits.
    pub(crate) fn has_ranges(&self) -> bool {
        self.len > 0
    }

    /// These octets arrived twice: the next acknowledgment tells.
    pub(crate) fn note_repeated(&mut self, start: SeqNumber, len: SeqLen) {
        self.repeated = Some(SackBlock {
            left: start,
            right: start + len,
        });
    }

    /// It was told.
    pub(crate) fn repeated_told(&mut self) {
        self.repeated = None;
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
        self.touch(start);
        true
    }

    /// The range of this octet changed, or was heard of again.
    fn touch(&mut self, octet: SeqNumber) {
        let same = |r: &Range| r.holds(octet);
        let range = self.ranges().iter().copied().find(same);
        // It moves to the front from where it was, or pushes the oldest out.
        let named = |at: &SeqNumber| range.is_some_and(|r| r.holds(*at));
        let from = self.recent.iter().position(named).unwrap_or(RECENT - 1);
        self.recent.copy_within(0..from, 1);
        if let Some(first) = self.recent.first_mut() {
            *first = octet;
        }
    }

    /// All of it is here already; then the range that holds it leads the SACK option.
    pub(crate) fn repeats(&mut self, start: SeqNumber, len: SeqLen) -> bool {
        let inside = |r: &&Range| r.start.at_or_before(start) && (start + len).at_or_before(r.end);
        let held = self.ranges().iter().any(|r| inside(&r));
        if held {
            self.touch(start);
        }
        held
    }

    /// Remembers a FIN that came ahead of data.
    pub(crate) fn insert_fin(&mut self, at: SeqNumber) {
        self.fin = Some(at);
    }

    /// The FIN that came ahead was taken, and with it all data.
    pub(crate) fn forget_fin(&mut self) {
        self.fin = None;
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

    /// The blocks for an acknowledgment, at most `most`: what arrived twice, then what is held, the
    /// ranges that changed last first, so that each is told in several acknowledgments.
    //= rfc2018 3 S3-1
    //= rfc2018 4 S4-4 S4-5 S4-6
    //= rfc2883 4 S4-1 S4-2
    pub(crate) fn sack_blocks(&self, most: usize) -> SackBlocks {
        let ranges = self.ranges();
        let found = |at: &SeqNumber| ranges.iter().find(|r| r.holds(*at));
        let recent = self.recent.iter().filter_map(found);
        let told = self.repeated.into_iter().map(|block| (block, true));
        let held = recent.chain(ranges).map(|r| (r.block(), false));
        let mut blocks = SackBlocks::default();
        for (block, repeated) in told.chain(held) {
            // A range that is told already is not told twice; a duplicate leads in any case.
            let known = blocks
                .as_slice()
                .iter()
                .skip(usize::from(self.repeated.is_some()));
            if blocks.as_slice().len() < most && (repeated || !known.clone().any(|b| *b == block)) {
                blocks.push(block);
            }
        }
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

    fn lefts(r: &Reassembly, most: usize) -> Vec<u32> {
        let blocks = r.sack_blocks(most);
        let left = |b: &SackBlock| b.left.offset_from(seq(0));
        blocks.as_slice().iter().map(left).collect()
    }

    //= rfc2018 4 S4-4 S4-5 S4-6
    #[test]
    fn blocks_go_from_the_latest_to_the_oldest() {
        let mut r = Reassembly::default();
        for at in [10, 50, 30, 70] {
            r.insert(seq(at), 5, 8);
        }
        assert_eq!(lefts(&r, 4), [70, 30, 50, 10]);
        assert_eq!(lefts(&r, 1), [70]);
        r.insert(seq(55), 5, 8);
        assert_eq!(lefts(&r, 3), [50, 70, 30]);
        assert!(r.repeats(seq(11), 2));
        assert_eq!(lefts(&r, 4), [10, 50, 70, 30]);
        // Two that were told become one, and those that fell out of memory follow.
        r.insert(seq(35), 15, 8);
        r.insert(seq(90), 1, 8);
        assert_eq!(lefts(&r, 4), [90, 30, 10, 70]);
        r.advance(seq(60));
        assert_eq!(lefts(&r, 4), [90, 70]);
    }

    //= rfc2883 4 S4-1 S4-2
    #[test]
    fn a_duplicate_leads_and_the_range_around_it_follows() {
        let mut r = Reassembly::default();
        r.insert(seq(10), 30, 8);
        r.insert(seq(50), 5, 8);
        assert!(r.repeats(seq(10), 30));
        r.note_repeated(seq(10), 30);
        assert_eq!(lefts(&r, 4), [10, 10, 50]);
        r.repeated_told();
        assert_eq!(lefts(&r, 4), [10, 50]);
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
