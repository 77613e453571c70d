//! The flow table: from the two ends of a segment to the record that speaks for them.
//!
//! Open addressing over buckets of one cache line, eight entries of `{tag, record}` each. The tag
//! is the keyed hash itself (SipHash-1-3, so that a peer who picks ports cannot pick buckets); it
//! names the home bucket and filters the comparison, so that a lookup touches one line here and
//! one record. The eight tags of a bucket are compared at once. An entry that overflows its home
//! goes to the next bucket with room, up to [`REACH`] of them: that bounds what a segment can cost.
//!
//! Removing keeps one invariant without marks or clean-ups: every bucket between an entry's home
//! and its place is full. When a full bucket loses an entry, one from further on that wants to be
//! nearer moves up, and so on along the chain, which is short because at most half the entries are
//! ever in use.

use crate::siphash::SipKey;
use byway_sys::{equal_lanes, prefer_huge_pages};
use byway_wire::FlowKey;

/// Entries in a bucket.
const WAYS: usize = 8;

/// Buckets in which an entry can be, its home the first. A table is at most half full, so that
/// homes have four entries in the mean. For an entry to find no room there must be 256 with homes in some
/// 32 buckets in a row, which have 128 in the mean; the odds are below (e/4)^128 or 10^-21 for hashes
/// that nobody can choose (Chernoff), so a bucket in a table of 2^32 has that to fear once in 10^11
/// tables.
pub const REACH: usize = 32;

/// What speaks for a flow: a kind and an index into the records of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A connection.
    Connection(u32),
    /// A half-open connection of a listener.
    Syn(u32),
    /// A pair of ends that must stay quiet.
    TimeWait(u32),
}

/// Indices are below this: two bits of an entry say the kind.
pub const MAX_RECORDS: u32 = 1 << 30;

/// A record in 32 bits; zero is none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Packed(u32);

impl Packed {
    const EMPTY: Self = Self(0);

    #[inline]
    const fn new(record: Record) -> Self {
        match record {
            Record::Connection(index) => Self(index | 1 << 30),
            Record::Syn(index) => Self(index | 2 << 30),
            Record::TimeWait(index) => Self(index | 3 << 30),
        }
    }

    #[inline]
    const fn get(self) -> Option<Record> {
        let index = self.0 & (MAX_RECORDS - 1);
        match self.0 >> 30 {
            1 => Some(Record::Connection(index)),
            2 => Some(Record::Syn(index)),
            3 => Some(Record::TimeWait(index)),
            _ => None,
        }
    }
}

/// Entries are apart in tags and records, so that either can be compared at once.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Bucket {
    tags: [u32; WAYS],
    records: [u32; WAYS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    /// The slots with this tag, some of which may be empty.
    #[inline]
    fn tagged(&self, hash: FlowHash) -> Slots {
        Slots(equal_lanes(&self.tags, hash.0))
    }

    /// The slot of this record.
    #[inline]
    fn slot_of(&self, record: Packed) -> Option<usize> {
        Slots(equal_lanes(&self.records, record.0)).next()
    }

    #[inline]
    fn empty_slot(&self) -> Option<usize> {
        self.slot_of(Packed::EMPTY)
    }

    #[inline]
    fn record(&self, slot: usize) -> Option<Record> {
        Packed(self.records[slot]).get()
    }

    #[inline]
    fn put(&mut self, slot: usize, tag: u32, record: Packed) {
        self.tags[slot] = tag;
        self.records[slot] = record.0;
    }
}

/// Slots of a bucket, one bit each.
struct Slots(u8);

impl Iterator for Slots {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros() as usize % WAYS;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

/// The keyed hash of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowHash(u32);

impl FlowHash {
    /// The hash as a number that no outsider can foretell.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The flow table of a shard.
#[derive(Debug)]
pub struct FlowTable {
    buckets: Box<[Bucket]>,
    mask: u32,
    key: SipKey,
    len: usize,
    limit: usize,
}

impl FlowTable {
    /// A table for up to `limit` flows, at most half full then.
    pub fn new(limit: usize, key: [u64; 2]) -> Self {
        let count = (limit * 2).div_ceil(WAYS).next_power_of_two().max(2);
        let mut buckets = Vec::with_capacity(count);
        prefer_huge_pages(&mut buckets);
        buckets.resize(count, Bucket::default());
        Self {
            buckets: buckets.into_boxed_slice(),
            mask: (count - 1) as u32,
            key: SipKey::new(key),
            len: 0,
            limit,
        }
    }

    /// Flows in the table.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hash of a flow. IPv4 flows take the short way, of another length, so that no IPv4 flow
    /// can be made to look like an IPv6 one.
    #[inline]
    pub fn hash(&self, flow: &FlowKey) -> FlowHash {
        let (local, remote) = (flow.local.address, flow.remote.address);
        let ports = u64::from(flow.local.port) | u64::from(flow.remote.port) << 16;
        let hash = if let (Some(local), Some(remote)) = (local.as_v4(), remote.as_v4()) {
            let [local, remote] = [local, remote].map(|o| u64::from(u32::from_le_bytes(o)));
            self.key.hash([local | remote << 32, ports | 12 << 56])
        } else {
            let [local, remote] = [local, remote].map(|a| u128::from_le_bytes(*a.octets()));
            self.key.hash([
                local as u64,
                (local >> 64) as u64,
                remote as u64,
                (remote >> 64) as u64,
                ports | 36 << 56,
            ])
        };
        FlowHash(hash as u32)
    }

    /// Asks the CPU for the home bucket of a flow that will be looked up soon.
    #[inline]
    pub fn prefetch(&self, hash: FlowHash) {
        byway_sys::prefetch_read(&self.buckets[self.home(hash)]);
    }

    /// A record that may be the flow's, without a look at the record: what to prefetch.
    #[inline]
    pub fn candidate(&self, hash: FlowHash) -> Option<Record> {
        let bucket = &self.buckets[self.home(hash)];
        bucket.tagged(hash).find_map(|slot| bucket.record(slot))
    }

    /// Finds the record for which `is_it` answers true, among those with this hash.
    #[inline]
    pub fn find(&self, hash: FlowHash, mut is_it: impl FnMut(Record) -> bool) -> Option<Record> {
        let mut at = self.home(hash);
        for _ in 0..REACH {
            let bucket = &self.buckets[at];
            for slot in bucket.tagged(hash) {
                if let Some(record) = bucket.record(slot)
                    && is_it(record)
                {
                    return Some(record);
                }
            }
            if bucket.empty_slot().is_some() {
                break;
            }
            at = self.next(at);
        }
        None
    }

    /// True when [`insert`](Self::insert) would find a place.
    pub fn has_room_for(&self, hash: FlowHash) -> bool {
        self.room_for(hash).is_some()
    }

    /// Adds a record that is not in the table; false when the table is full, or all the buckets
    /// that the record could be in are.
    pub fn insert(&mut self, hash: FlowHash, record: Record) -> bool {
        let Some((at, slot)) = self.room_for(hash) else {
            return false;
        };
        self.buckets[at].put(slot, hash.0, Packed::new(record));
        self.len += 1;
        true
    }

    /// The first free place within [`REACH`] of home.
    fn room_for(&self, hash: FlowHash) -> Option<(usize, usize)> {
        if self.len == self.limit {
            return None;
        }
        let mut at = self.home(hash);
        for _ in 0..REACH {
            if let Some(slot) = self.buckets[at].empty_slot() {
                return Some((at, slot));
            }
            at = self.next(at);
        }
        None
    }

    /// Puts `new` in the place of `old`; false when `old` is not there.
    pub fn replace(&mut self, hash: FlowHash, old: Record, new: Record) -> bool {
        let Some((at, slot)) = self.place_of(hash, old) else {
            return false;
        };
        self.buckets[at].records[slot] = Packed::new(new).0;
        true
    }

    /// Removes a record; false when it is not there.
    pub fn remove(&mut self, hash: FlowHash, record: Record) -> bool {
        let Some((at, slot)) = self.place_of(hash, record) else {
            return false;
        };
        let was_full = self.buckets[at].empty_slot().is_none();
        self.buckets[at].put(slot, 0, Packed::EMPTY);
        self.len -= 1;
        if was_full {
            self.close_gap(at, slot);
        }
        true
    }

    /// The bucket `hole_at` was full and lost an entry: bring up what had to pass it.
    fn close_gap(&mut self, mut hole_at: usize, mut hole_slot: usize) {
        let mut at = self.next(hole_at);
        loop {
            let reach = self.distance(hole_at, at);
            if reach >= REACH {
                return;
            }
            let Bucket { tags, records } = self.buckets[at];
            let was_full = !records.contains(&Packed::EMPTY.0);
            let movable = (0..WAYS).find(|&slot| {
                records[slot] != Packed::EMPTY.0
                    && self.distance(self.home(FlowHash(tags[slot])), at) >= reach
            });
            if let Some(slot) = movable {
                self.buckets[hole_at].put(hole_slot, tags[slot], Packed(records[slot]));
                self.buckets[at].put(slot, 0, Packed::EMPTY);
                (hole_at, hole_slot) = (at, slot);
            }
            if !was_full {
                return;
            }
            at = self.next(at);
        }
    }

    fn place_of(&self, hash: FlowHash, record: Record) -> Option<(usize, usize)> {
        let mut at = self.home(hash);
        for _ in 0..REACH {
            let bucket = &self.buckets[at];
            if let Some(slot) = bucket.slot_of(Packed::new(record)) {
                return Some((at, slot));
            }
            if bucket.empty_slot().is_some() {
                break;
            }
            at = self.next(at);
        }
        None
    }

    #[inline]
    fn home(&self, hash: FlowHash) -> usize {
        (hash.0 & self.mask) as usize
    }

    #[inline]
    fn next(&self, bucket: usize) -> usize {
        (bucket + 1) & self.mask as usize
    }

    /// Buckets from `from` forward to `to`.
    #[inline]
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.mask as usize
    }

    /// Every record, in no order.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.buckets
            .iter()
            .flat_map(|bucket| bucket.records.iter().filter_map(|&r| Packed(r).get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix;
    use byway_wire::{Address, Endpoint};
    use siphasher::sip::SipHasher13;
    use std::collections::HashMap;

    fn flow(port: u16) -> FlowKey {
        FlowKey {
            local: Endpoint::new(Address::v4([10, 0, 0, 1]), 80),
            remote: Endpoint::new(Address::v4([10, 0, 0, 2]), port),
        }
    }

    #[test]
    fn kinds_and_indices_survive_packing() {
        for index in [0, 1, 77, MAX_RECORDS - 1] {
            for record in [
                Record::Connection(index),
                Record::Syn(index),
                Record::TimeWait(index),
            ] {
                assert_eq!(Packed::new(record).get(), Some(record));
            }
        }
        assert_eq!(Packed::EMPTY.get(), None);
    }

    #[test]
    fn a_table_takes_its_limit_and_not_one_more() {
        let mut table = FlowTable::new(100, [1, 2]);
        for port in 0..100 {
            assert!(table.insert(table.hash(&flow(port)), Record::Connection(port.into())));
        }
        assert!(!table.insert(table.hash(&flow(100)), Record::Connection(100)));
        for port in 0..100u16 {
            let wanted = Record::Connection(port.into());
            assert_eq!(
                table.find(table.hash(&flow(port)), |r| r == wanted),
                Some(wanted)
            );
        }
    }

    #[test]
    fn the_key_changes_the_hash() {
        let (a, b) = (FlowTable::new(8, [1, 2]), FlowTable::new(8, [1, 3]));
        assert!((0..8).any(|port| a.hash(&flow(port)) != b.hash(&flow(port))));
    }

    /// Entries are crowded into few homes, so that chains form, wrap round and are torn apart.
    #[test]
    fn random_inserts_and_removes_agree_with_a_map() {
        for crowd in [1u32, 2, 5, 64] {
            let mut random = SplitMix::new(u64::from(crowd));
            let mut table = FlowTable::new(200, [0, 0]);
            let mut model: HashMap<u32, FlowHash> = HashMap::new();
            for step in 0..40_000u32 {
                let index = random.below(400) as u32;
                if let Some(hash) = model.remove(&index) {
                    assert!(table.remove(hash, Record::Connection(index)));
                } else if model.len() < 200 {
                    let bucket = (table.mask + 1 - crowd / 2 + random.below(crowd.into()) as u32)
                        & table.mask;
                    let hash = FlowHash(bucket | (index << 16));
                    assert!(table.insert(hash, Record::Connection(index)));
                    model.insert(index, hash);
                }
                if step % 64 == 0 {
                    for (&index, &hash) in &model {
                        let wanted = Record::Connection(index);
                        assert_eq!(table.find(hash, |r| r == wanted), Some(wanted));
                    }
                    assert_eq!(table.records().count(), model.len());
                }
            }
            for (index, hash) in model {
                assert!(table.remove(hash, Record::Connection(index)));
                assert!(!table.remove(hash, Record::Connection(index)));
            }
            assert!(table.is_empty() && table.records().next().is_none());
        }
    }

    #[test]
    fn a_record_can_change_its_kind_in_place() {
        let mut table = FlowTable::new(4, [0, 0]);
        let hash = table.hash(&flow(1));
        table.insert(hash, Record::Syn(7));
        assert!(table.replace(hash, Record::Syn(7), Record::Connection(3)));
        assert!(!table.replace(hash, Record::Syn(7), Record::Connection(3)));
        assert_eq!(table.find(hash, |_| true), Some(Record::Connection(3)));
        assert_eq!(table.candidate(hash), Some(Record::Connection(3)));
    }

    /// A hash with this home, told apart from others by `more`.
    fn at_home(table: &FlowTable, home: u32, more: u32) -> FlowHash {
        FlowHash((more * (table.mask + 1)) | home)
    }

    #[test]
    fn a_crowded_home_takes_what_is_in_reach_and_not_one_more() {
        let mut table = FlowTable::new(4 * REACH * WAYS, [0, 0]);
        let room = (REACH * WAYS) as u32;
        let home = table.mask - 5;
        for index in 0..room {
            let hash = at_home(&table, home, index + 1);
            assert!(table.insert(hash, Record::Connection(index)));
        }
        let late = at_home(&table, home, room + 1);
        assert!(!table.has_room_for(late));
        assert!(!table.insert(late, Record::Connection(room)));
        assert_eq!(table.len(), room as usize);
        assert_eq!(table.find(late, |_| true), None);
        assert!(!table.remove(late, Record::Connection(room)));

        // From the next bucket one more is in reach. What is there moves up when a place gets free.
        let next = at_home(&table, home + 1, 77);
        assert!(table.insert(next, Record::Syn(1)));
        assert!(table.remove(at_home(&table, home, 1), Record::Connection(0)));
        assert_eq!(table.find(next, |_| true), Some(Record::Syn(1)));
        for index in 1..room {
            let hash = at_home(&table, home, index + 1);
            assert_eq!(table.find(hash, |_| true), Some(Record::Connection(index)));
        }
        assert!(table.remove(next, Record::Syn(1)));
        assert!(table.insert(late, Record::Connection(room)));
        assert_eq!(table.find(late, |_| true), Some(Record::Connection(room)));
    }

    #[test]
    fn hashes_are_those_of_the_octets_by_family() {
        let key = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
        let (table, sip) = (
            FlowTable::new(8, key),
            SipHasher13::new_with_keys(key[0], key[1]),
        );
        let mut narrow = vec![10, 0, 0, 1, 10, 0, 0, 2];
        narrow.extend([80, 0, 0xd2, 0x04]);
        assert_eq!(table.hash(&flow(1234)).get(), sip.hash(&narrow) as u32);

        let (ours, theirs) = ([0x20; 16], core::array::from_fn(|at| at as u8));
        let wide = FlowKey {
            local: Endpoint::new(Address::v6(ours), 80),
            remote: Endpoint::new(Address::v6(theirs), 1234),
        };
        let octets = [&ours[..], &theirs, &[80, 0, 0xd2, 0x04]].concat();
        assert_eq!(table.hash(&wide).get(), sip.hash(&octets) as u32);
    }
}
