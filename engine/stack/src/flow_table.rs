//! The flow table: from the two ends of a segment to the record that speaks for them.
//!
//! Open addressing over buckets of one cache line, eight entries of `{tag, record}` each. The tag
//! is the keyed hash itself (SipHash-1-3, so that a peer who picks ports cannot pick buckets); it
//! names the home bucket and filters the comparison, so that a lookup touches one line here and
//! one record. An entry that overflows its home goes to the next bucket with room.
//!
//! Removing keeps one invariant without marks or clean-ups: every bucket between an entry's home
//! and its place is full. When a full bucket loses an entry, one from further on that wants to be
//! nearer moves up, and so on along the chain, which is short because at most half the entries are
//! ever in use.

use byway_wire::FlowKey;
use siphasher::sip::SipHasher13;

/// Entries in a bucket.
const WAYS: usize = 8;

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

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    tag: u32,
    record: Packed,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Bucket([Entry; WAYS]);

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    #[inline]
    fn empty_slot(&self) -> Option<usize> {
        self.0
            .iter()
            .position(|entry| entry.record == Packed::EMPTY)
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
    hasher: SipHasher13,
    len: usize,
    limit: usize,
}

impl FlowTable {
    /// A table for up to `limit` flows, at most half full then.
    pub fn new(limit: usize, key: [u64; 2]) -> Self {
        let buckets = (limit * 2).div_ceil(WAYS).next_power_of_two().max(2);
        Self {
            buckets: vec![Bucket::default(); buckets].into_boxed_slice(),
            mask: (buckets - 1) as u32,
            hasher: SipHasher13::new_with_keys(key[0], key[1]),
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
        let mut ports = [0; 4];
        ports[..2].copy_from_slice(&flow.local.port.to_be_bytes());
        ports[2..].copy_from_slice(&flow.remote.port.to_be_bytes());
        let hash = if let (Some(local), Some(remote)) = (local.as_v4(), remote.as_v4()) {
            let mut bytes = [0; 12];
            bytes[..4].copy_from_slice(&local);
            bytes[4..8].copy_from_slice(&remote);
            bytes[8..].copy_from_slice(&ports);
            self.hasher.hash(&bytes)
        } else {
            let mut bytes = [0; 36];
            bytes[..16].copy_from_slice(local.octets());
            bytes[16..32].copy_from_slice(remote.octets());
            bytes[32..].copy_from_slice(&ports);
            self.hasher.hash(&bytes)
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
        let entry = bucket
            .0
            .iter()
            .find(|e| e.tag == hash.0 && e.record != Packed::EMPTY)?;
        entry.record.get()
    }

    /// Finds the record for which `is_it` answers true, among those with this hash.
    #[inline]
    pub fn find(&self, hash: FlowHash, mut is_it: impl FnMut(Record) -> bool) -> Option<Record> {
        let mut at = self.home(hash);
        loop {
            let bucket = &self.buckets[at];
            let mut full = true;
            for entry in &bucket.0 {
                match entry.record.get() {
                    None => full = false,
                    Some(record) if entry.tag == hash.0 && is_it(record) => return Some(record),
                    Some(_) => {}
                }
            }
            if !full {
                return None;
            }
            at = self.next(at);
        }
    }

    /// Adds a record that is not in the table; false when the table is full.
    pub fn insert(&mut self, hash: FlowHash, record: Record) -> bool {
        if self.len == self.limit {
            return false;
        }
        let mut at = self.home(hash);
        let slot = loop {
            match self.buckets[at].empty_slot() {
                Some(slot) => break slot,
                None => at = self.next(at),
            }
        };
        self.buckets[at].0[slot] = Entry {
            tag: hash.0,
            record: Packed::new(record),
        };
        self.len += 1;
        true
    }

    /// Puts `new` in the place of `old`; false when `old` is not there.
    pub fn replace(&mut self, hash: FlowHash, old: Record, new: Record) -> bool {
        let Some((at, slot)) = self.place_of(hash, old) else {
            return false;
        };
        self.buckets[at].0[slot].record = Packed::new(new);
        true
    }

    /// Removes a record; false when it is not there.
    pub fn remove(&mut self, hash: FlowHash, record: Record) -> bool {
        let Some((at, slot)) = self.place_of(hash, record) else {
            return false;
        };
        let was_full = self.buckets[at].empty_slot().is_none();
        self.buckets[at].0[slot] = Entry::default();
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
            let was_full = self.buckets[at].empty_slot().is_none();
            let reach = self.distance(hole_at, at);
            let movable = self.buckets[at].0.iter().position(|entry| {
                entry.record != Packed::EMPTY
                    && self.distance(self.home(FlowHash(entry.tag)), at) >= reach
            });
            if let Some(slot) = movable {
                self.buckets[hole_at].0[hole_slot] = self.buckets[at].0[slot];
                self.buckets[at].0[slot] = Entry::default();
                (hole_at, hole_slot) = (at, slot);
            }
            if !was_full {
                return;
            }
            at = self.next(at);
        }
    }

    fn place_of(&self, hash: FlowHash, record: Record) -> Option<(usize, usize)> {
        let packed = Packed::new(record);
        let mut at = self.home(hash);
        loop {
            let bucket = &self.buckets[at];
            if let Some(slot) = bucket.0.iter().position(|entry| entry.record == packed) {
                return Some((at, slot));
            }
            if bucket.empty_slot().is_some() {
                return None;
            }
            at = self.next(at);
        }
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
            .flat_map(|bucket| bucket.0.iter().filter_map(|e| e.record.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix;
    use byway_wire::{Address, Endpoint};
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
}
