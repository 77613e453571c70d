//! A hierarchical timer wheel with one entry a key.
//!
//! Four levels of 256 slots; a tick is 65.536 us. An entry lies in the level of the highest digit
//! (base 256) in which its tick differs from the wheel's, so it moves down at most three times
//! before it fires, and twice when it is due within a quarter of an hour.
//!
//! A slot is a stack of blocks, one cache line each, and an entry is no more than its key in one of
//! them. What is said about a key, its tick and where it lies, is in a cell of eight octets found by
//! the key. So the wheel works in two kinds of places: the tops of a few stacks, which stay in the
//! first-level cache, and cells, which are all over memory but do not depend on each other, so that
//! the CPU (or a prefetch) fetches many at a time. Lists through the entries would have it wait
//! for one to know the next.
//!
//! Both directions of a change are lazy:
//!
//! - Deadlines that only move later need no work here: the entry fires early, and whoever owns the
//!   key looks at the true deadline and arms again. A deadline that moves earlier is armed at once.
//! - A key that is disarmed is only marked. Its entry stays where it lies and is used again when the
//!   key is armed in time for it, else it is dropped when its slot is reached. A key has one entry
//!   all the time, or none, so that there are never more entries than keys.

use byway_sys::{prefer_huge_pages, prefetch_read};
use byway_tcp::time::Instant;

/// A tick is 2^16 ns.
const TICK_SHIFT: u32 = 16;
const LEVELS: usize = 4;
const DIGIT: u32 = 8;
/// Slots of a level.
const SLOTS: usize = 1 << DIGIT;
/// Ticks that the wheel spans: 38 hours. Not more, so that the low halves of ticks tell those to
/// come from those that are late, which is by less than a slot of the top level.
const SPAN: u64 = (1 << 31) - (1 << (DIGIT * (LEVELS as u32 - 1)));
/// No entry, no block.
const NIL: u32 = u32::MAX;
/// Words of a block.
const BLOCK: u32 = 16;
/// The first entry of a block: its first word says what is below it, its second which slot it is of.
const FIRST: u32 = 2;
const LAST: u32 = BLOCK - 1;
/// More keys have no room in the numbers of places.
const MAX_KEYS: usize = 1 << 30;

/// What is known of a key.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// The low half of the tick at which it is to fire, or, when it is disarmed, a tick before which
    /// its entry is reached.
    tick: u32,
    place: Place,
}

/// Where the entry of a key lies: a block and a word of it, and whether the key is disarmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(u32);

impl Place {
    const NONE: Self = Self(NIL);
    const DISARMED: u32 = 1 << 31;

    #[inline]
    const fn is_armed(self) -> bool {
        self.0 & Self::DISARMED == 0
    }

    #[inline]
    const fn armed(self) -> Self {
        Self(self.0 & !Self::DISARMED)
    }
}

const FREE: Cell = Cell {
    tick: 0,
    place: Place::NONE,
};

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Block([u32; BLOCK as usize]);

/// A timer wheel. Keys are small numbers, at most one entry each.
#[derive(Debug)]
pub struct Wheel {
    now: u64,
    /// Which slots of a level have entries.
    busy: [Bits; LEVELS],
    /// The topmost entry of each slot.
    tops: [[u32; SLOTS]; LEVELS],
    cells: Vec<Cell>,
    blocks: Vec<Block>,
    /// The first of the blocks that are not in use.
    spare: u32,
    armed: usize,
    /// A slot whose time came is not empty yet, because the budget was used up.
    is_behind: bool,
}

impl Wheel {
    /// A wheel that stands at `now`, for keys below `keys`.
    ///
    /// # Panics
    /// When `keys` is more than 2^30.
    pub fn new(now: Instant, keys: usize) -> Self {
        assert!(keys <= MAX_KEYS, "a timer wheel has up to 2^30 keys");
        // Room is reserved, and touched only as keys come into use: for full blocks, and one a
        // slot that is not.
        let mut cells = Vec::with_capacity(keys);
        let mut blocks = Vec::with_capacity(keys / (BLOCK - FIRST) as usize + LEVELS * SLOTS);
        prefer_huge_pages(&mut cells);
        prefer_huge_pages(&mut blocks);
        Self {
            now: now.as_nanos() >> TICK_SHIFT,
            busy: [Bits::default(); LEVELS],
            tops: [[NIL; SLOTS]; LEVELS],
            cells,
            blocks,
            spare: NIL,
            armed: 0,
            is_behind: false,
        }
    }

    /// Keys that are armed.
    pub fn len(&self) -> usize {
        self.armed
    }

    /// True when nothing is armed.
    pub fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// Makes sure that `key` fires at or before `deadline` comes, to the tick. A key that fires
    /// earlier stays as it is.
    #[inline]
    pub fn arm(&mut self, key: u32, deadline: Instant) {
        if !deadline.is_armed() {
            return;
        }
        let tick = tick_after(deadline).clamp(self.now, self.now + SPAN);
        let index = key as usize;
        if index >= self.cells.len() {
            self.cells.resize(index + 1, FREE);
        }
        let Cell { tick: known, place } = self.cells[index];
        if place == Place::NONE {
            self.armed += 1;
            return self.put(key, tick);
        }
        let later = tick >= self.widen(known);
        if later && place.is_armed() {
            return;
        }
        self.armed += usize::from(!place.is_armed());
        if later || self.is_reached_by(place.armed(), tick) {
            self.cells[index] = Cell {
                tick: tick as u32,
                place: place.armed(),
            };
        } else {
            self.take_out(place.armed());
            self.put(key, tick);
        }
    }

    /// Sees to it that `key` does not fire, if it is armed.
    #[inline]
    pub fn disarm(&mut self, key: u32) {
        if let Some(Cell { place, .. }) = self.cells.get_mut(key as usize)
            && place.is_armed()
        {
            place.0 |= Place::DISARMED;
            self.armed -= 1;
        }
    }

    /// Moves on to `now` and puts the keys that are due, now disarmed, in `fired`. Stops after
    /// `budget` entries were looked at; returns false when more may be due.
    #[inline]
    pub fn advance(&mut self, now: Instant, budget: u32, fired: &mut Vec<u32>) -> bool {
        let target = now.as_nanos() >> TICK_SHIFT;
        let idle = target == self.now && !self.is_behind && !self.is_busy_now();
        idle || self.move_to(target, budget, fired)
    }

    fn move_to(&mut self, target: u64, budget: u32, fired: &mut Vec<u32>) -> bool {
        self.is_behind = false;
        let mut budget = budget;
        while let Some((level, slot, tick)) = self.due_slot(target) {
            self.now = tick;
            self.ask_for(self.tops[level][slot]);
            while self.tops[level][slot] != NIL {
                if budget == 0 {
                    self.is_behind = true;
                    return false;
                }
                let batch = self.take_some(level, slot, budget);
                budget -= batch.len;
                for &key in batch.keys() {
                    self.look_at(key, fired);
                }
            }
        }
        self.now = self.now.max(target);
        true
    }

    /// What becomes of a key whose entry was taken out of its slot because the time of that began.
    #[inline]
    fn look_at(&mut self, key: u32, fired: &mut Vec<u32>) {
        let Cell { tick, place } = self.cells[key as usize];
        let tick = self.widen(tick);
        if !place.is_armed() {
            self.cells[key as usize] = FREE;
        } else if tick > self.now {
            self.put(key, tick);
        } else {
            self.cells[key as usize] = FREE;
            self.armed -= 1;
            fired.push(key);
        }
    }

    /// Something was armed for the present tick. All else that begins with it was looked at when
    /// the wheel moved here: most turns come within a tick of the last.
    #[inline]
    fn is_busy_now(&self) -> bool {
        let slot = self.now as usize % SLOTS;
        self.tops[0][slot] != NIL
    }

    /// When `key` fires at the latest; `Instant::NEVER` when it is not armed.
    pub fn armed_at(&self, key: u32) -> Instant {
        match self.cells.get(key as usize) {
            Some(cell) if cell.place.is_armed() => {
                Instant::from_nanos(self.widen(cell.tick) << TICK_SHIFT)
            }
            _ => Instant::NEVER,
        }
    }

    /// A time before which nothing fires; `Instant::NEVER` when nothing is armed.
    pub fn next_deadline(&self) -> Instant {
        match self.next_slot() {
            Some(_) if self.is_behind => Instant::from_nanos(self.now << TICK_SHIFT),
            Some((_, _, tick)) if self.armed > 0 => Instant::from_nanos(tick << TICK_SHIFT),
            _ => Instant::NEVER,
        }
    }

    /// The first busy slot, and the tick at which it begins. Every entry of a lower level comes
    /// before every entry of a higher one, because it shares more digits with the present.
    #[inline]
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        for (level, busy) in self.busy.iter().enumerate() {
            let shift = DIGIT * level as u32;
            let position = (self.now >> shift) as usize % SLOTS;
            if let Some(slot) = busy.next(position) {
                let ahead = slot.wrapping_sub(position) % SLOTS;
                // The beginning of a slot at a higher level may be this very tick's past: never
                // go back.
                let tick = (((self.now >> shift) + ahead as u64) << shift).max(self.now);
                return Some((level, slot, tick));
            }
        }
        None
    }

    /// The first busy slot that begins at `target` or before. What is left of slots of higher
    /// levels that began comes after all that is due already: its keys may be late.
    #[inline]
    fn due_slot(&self, target: u64) -> Option<(usize, usize, u64)> {
        let next = self.next_slot()?;
        if next.2 <= target {
            return Some(next);
        }
        (1..LEVELS).find_map(|level| {
            let slot = slot_at(level, self.now);
            self.busy[level]
                .has(slot)
                .then_some((level, slot, self.now))
        })
    }

    /// The tick with this low half.
    #[inline]
    const fn widen(&self, tick: u32) -> u64 {
        let ahead = tick.wrapping_sub(self.now as u32) as i32;
        self.now.wrapping_add_signed(ahead as i64)
    }

    /// The slot of an entry with this tick.
    #[inline]
    const fn slot(&self, tick: u64) -> (usize, usize) {
        let differing = (tick ^ self.now) | 1;
        let level = (differing.ilog2() / DIGIT) as usize;
        // Beyond the top level's digits there is a carry at most.
        let level = if level < LEVELS { level } else { LEVELS - 1 };
        (level, slot_at(level, tick))
    }

    /// True when the slot in which this entry lies is looked at when `tick` comes, or before.
    fn is_reached_by(&self, place: Place, tick: u64) -> bool {
        let (level, slot) = unpack(self.blocks[(place.0 / BLOCK) as usize].0[1]);
        let shift = DIGIT * level as u32;
        let ahead = slot.wrapping_sub((self.now >> shift) as usize) % SLOTS;
        ((self.now >> shift) + ahead as u64) << shift <= tick
    }

    /// Makes an entry for a key, which is then armed. It has none.
    #[inline]
    fn put(&mut self, key: u32, tick: u64) {
        let (level, slot) = self.slot(tick);
        let top = self.tops[level][slot];
        let place = if top % BLOCK == LAST {
            self.add_block(level, slot, top)
        } else {
            top + 1
        };
        self.blocks[(place / BLOCK) as usize].0[(place % BLOCK) as usize] = key;
        self.tops[level][slot] = place;
        self.cells[key as usize] = Cell {
            tick: tick as u32,
            place: Place(place),
        };
    }

    /// Puts an empty block on top of a slot; the place of its first entry.
    fn add_block(&mut self, level: usize, slot: usize, below: u32) -> u32 {
        let index = if self.spare == NIL {
            self.blocks.push(Block([0; BLOCK as usize]));
            self.blocks.len() as u32 - 1
        } else {
            self.spare
        };
        let Block(words) = &mut self.blocks[index as usize];
        if self.spare != NIL {
            self.spare = words[0];
        }
        words[0] = below;
        words[1] = pack(level, slot);
        self.busy[level].set(slot);
        index * BLOCK + FIRST
    }

    /// Takes entries off the top of a slot that has some: up to `limit`, and those of one block.
    #[inline]
    fn take_some(&mut self, level: usize, slot: usize, limit: u32) -> Batch {
        let top = self.tops[level][slot];
        let words = self.blocks[(top / BLOCK) as usize].0;
        let len = (top % BLOCK - FIRST + 1).min(limit);
        let first = top % BLOCK + 1 - len;
        if first == FIRST {
            self.remove_block(level, slot, top / BLOCK);
            self.ask_for(words[0]);
        } else {
            self.tops[level][slot] = top - len;
        }
        Batch { words, first, len }
    }

    /// Takes the topmost block, of which no entry is left, off a slot.
    #[inline]
    fn remove_block(&mut self, level: usize, slot: usize, index: u32) {
        let Block(words) = &mut self.blocks[index as usize];
        let below = words[0];
        words[0] = self.spare;
        self.spare = index;
        self.tops[level][slot] = below;
        if below == NIL {
            self.busy[level].clear(slot);
        }
    }

    /// Removes an entry from the midst of its slot: the topmost one takes its place.
    fn take_out(&mut self, place: Place) {
        let block = (place.0 / BLOCK) as usize;
        let (level, slot) = unpack(self.blocks[block].0[1]);
        let top = self.tops[level][slot];
        let key = self.blocks[(top / BLOCK) as usize].0[(top % BLOCK) as usize];
        self.blocks[block].0[(place.0 % BLOCK) as usize] = key;
        // Of the one that moved only the place changes, and not whether it is armed.
        let moved = &mut self.cells[key as usize].place;
        moved.0 = moved.0 & Place::DISARMED | place.0;
        if top % BLOCK == FIRST {
            self.remove_block(level, slot, top / BLOCK);
        } else {
            self.tops[level][slot] = top - 1;
        }
    }

    /// Asks the CPU for what comes after the topmost entry of a slot: the cells of its block, all
    /// at once, and the block below.
    #[inline]
    fn ask_for(&self, top: u32) {
        let Some(Block(words)) = self.blocks.get((top / BLOCK) as usize) else {
            return;
        };
        if let Some(below) = self.blocks.get((words[0] / BLOCK) as usize) {
            prefetch_read(below);
        }
        for &key in &words[FIRST as usize..] {
            if let Some(cell) = self.cells.get(key as usize) {
                prefetch_read(cell);
            }
        }
    }
}

/// Entries of one block that were taken out of it.
struct Batch {
    words: [u32; BLOCK as usize],
    first: u32,
    len: u32,
}

impl Batch {
    #[inline]
    fn keys(&self) -> &[u32] {
        &self.words[self.first as usize..][..self.len as usize]
    }
}

#[inline]
const fn slot_at(level: usize, tick: u64) -> usize {
    (tick >> (DIGIT * level as u32)) as usize % SLOTS
}

/// A slot in one word.
#[inline]
const fn pack(level: usize, slot: usize) -> u32 {
    (level * SLOTS + slot) as u32
}

/// The level and the slot in it.
#[inline]
const fn unpack(packed: u32) -> (usize, usize) {
    (packed as usize / SLOTS % LEVELS, packed as usize % SLOTS)
}

/// The first tick at which `deadline` has come.
#[inline]
const fn tick_after(deadline: Instant) -> u64 {
    (deadline.as_nanos() >> TICK_SHIFT)
        + !deadline.as_nanos().is_multiple_of(1 << TICK_SHIFT) as u64
}

/// A bit for each slot of a level.
#[derive(Clone, Copy, Debug, Default)]
struct Bits([u64; SLOTS / 64]);

impl Bits {
    #[inline]
    fn set(&mut self, slot: usize) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    #[inline]
    fn clear(&mut self, slot: usize) {
        self.0[slot / 64] &= !(1 << (slot % 64));
    }

    #[inline]
    fn has(&self, slot: usize) -> bool {
        self.0[slot / 64] & 1 << (slot % 64) != 0
    }

    /// The first slot with a bit at or after `from`, round the end.
    #[inline]
    fn next(&self, from: usize) -> Option<usize> {
        const WORDS: usize = SLOTS / 64;
        let (word, bit) = (from / 64, from % 64);
        let here = self.0[word] & (u64::MAX << bit);
        if here != 0 {
            return Some(word * 64 + here.trailing_zeros() as usize);
        }
        // Last of all the bits of the same word that are before `from`.
        (1..=WORDS).find_map(|ahead| {
            let word = (word + ahead) % WORDS;
            let bits = self.0[word];
            (bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix;
    use byway_tcp::time::Duration;
    use std::collections::HashMap;

    const TICK: u64 = 1 << TICK_SHIFT;

    fn at(ticks: u64) -> Instant {
        Instant::from_nanos(ticks * TICK)
    }

    fn fired(wheel: &mut Wheel, now: Instant) -> Vec<u32> {
        let mut keys = Vec::new();
        assert!(wheel.advance(now, u32::MAX, &mut keys));
        keys.sort_unstable();
        keys
    }

    #[test]
    fn entries_fire_in_their_tick_and_not_before() {
        let mut wheel = Wheel::new(at(1000), 8);
        let delays = [
            0u64,
            1,
            63,
            64,
            65,
            4095,
            4096,
            300_000,
            20_000_000,
            2_000_000_000,
        ];
        for (key, delay) in delays.into_iter().enumerate() {
            wheel.arm(key as u32, at(1000 + delay));
        }
        for (key, delay) in delays.into_iter().enumerate() {
            if delay > 0 {
                assert_eq!(
                    fired(&mut wheel, at(1000 + delay - 1)),
                    [] as [u32; 0],
                    "{delay}"
                );
            }
            assert!(wheel.next_deadline() <= at(1000 + delay));
            assert_eq!(fired(&mut wheel, at(1000 + delay)), [key as u32], "{delay}");
        }
        assert!(wheel.is_empty());
        assert_eq!(wheel.next_deadline(), Instant::NEVER);
    }

    #[test]
    fn a_deadline_within_a_tick_is_not_early() {
        let mut wheel = Wheel::new(at(0), 1);
        wheel.arm(0, at(5) + Duration::from_nanos(1));
        assert_eq!(
            fired(&mut wheel, at(5) + Duration::from_nanos(500)),
            [] as [u32; 0]
        );
        assert_eq!(fired(&mut wheel, at(6)), [0]);
    }

    #[test]
    fn the_budget_ends_an_advance_and_the_rest_comes_next() {
        let mut wheel = Wheel::new(at(0), 100);
        for key in 0..100 {
            wheel.arm(key, at(10));
        }
        let mut keys = Vec::new();
        assert!(!wheel.advance(at(50), 60, &mut keys));
        assert_eq!(keys.len(), 60);
        assert!(wheel.advance(at(50), 60, &mut keys));
        keys.sort_unstable();
        assert_eq!(keys, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn an_entry_moves_only_earlier() {
        let mut wheel = Wheel::new(at(0), 1);
        wheel.arm(0, at(100));
        wheel.arm(0, at(500));
        assert_eq!(fired(&mut wheel, at(100)), [0]);
        wheel.arm(0, at(500));
        wheel.arm(0, at(200));
        assert_eq!(fired(&mut wheel, at(200)), [0]);
        wheel.arm(0, at(300));
        wheel.disarm(0);
        wheel.disarm(0);
        assert_eq!(fired(&mut wheel, at(1000)), [] as [u32; 0]);
    }

    #[test]
    fn beyond_the_span_an_entry_fires_early_and_not_never() {
        let mut wheel = Wheel::new(at(77), 1);
        wheel.arm(0, Instant::from_nanos(u64::MAX - 1));
        assert_eq!(fired(&mut wheel, at(77 + SPAN)), [0]);
    }

    #[test]
    fn random_use_agrees_with_a_map() {
        for seed in 0..20 {
            let mut random = SplitMix::new(seed);
            let mut now = random.below(1 << 40);
            let mut wheel = Wheel::new(at(now), 64);
            let mut model: HashMap<u32, u64> = HashMap::new();
            for _ in 0..20_000 {
                let key = random.below(64) as u32;
                match random.below(8) {
                    0..4 => {
                        let delay = random.next_u64() >> (34 + random.below(30));
                        wheel.arm(key, at(now + delay));
                        let tick = model.entry(key).or_insert(u64::MAX);
                        *tick = (*tick).min(now + delay);
                    }
                    4 => {
                        wheel.disarm(key);
                        model.remove(&key);
                    }
                    _ => {
                        now += random.next_u64() >> (36 + random.below(28));
                        let mut due: Vec<u32> = model
                            .iter()
                            .filter(|(_, t)| **t <= now)
                            .map(|(k, _)| *k)
                            .collect();
                        due.sort_unstable();
                        model.retain(|_, tick| *tick > now);
                        assert_eq!(fired(&mut wheel, at(now)), due);
                    }
                }
                assert_eq!(wheel.len(), model.len());
                let earliest = model
                    .values()
                    .min()
                    .map_or(Instant::NEVER, |&tick| at(tick));
                assert!(wheel.next_deadline() <= earliest);
            }
        }
    }

    /// Entries in the wheel, those of disarmed keys too.
    fn entries(wheel: &Wheel) -> usize {
        let tops = wheel.tops.as_flattened().iter();
        tops.map(|&top| {
            let (mut top, mut count) = (top, 0);
            while top != NIL {
                count += (top % BLOCK - FIRST + 1) as usize;
                top = wheel.blocks[(top / BLOCK) as usize].0[0];
            }
            count
        })
        .sum()
    }

    #[test]
    fn with_a_small_budget_keys_are_late_and_neither_lost_nor_early() {
        const KEYS: u32 = 3000;
        for seed in 0..8 {
            let mut random = SplitMix::new(seed);
            // The whole slot of a higher level comes down while time goes on.
            let mut now = random.below(1 << 36);
            let mut wheel = Wheel::new(at(now), KEYS as usize);
            let mut model: HashMap<u32, u64> = HashMap::new();
            let (mut keys, mut behind) = (Vec::new(), 0);
            for _ in 0..20_000 {
                for _ in 0..random.below(4) {
                    let (key, delay) = (random.below(KEYS.into()) as u32, random.below(70_000));
                    if random.chance(0.3) {
                        wheel.disarm(key);
                        model.remove(&key);
                    }
                    wheel.arm(key, at(now + delay));
                    let tick = model.entry(key).or_insert(u64::MAX);
                    *tick = (*tick).min(now + delay);
                }
                now += random.below(60);
                keys.clear();
                let all = wheel.advance(at(now), 5, &mut keys);
                assert!(keys.len() <= 5);
                for key in &keys {
                    assert!(model.remove(key).expect("an armed key") <= now);
                }
                let earliest = model.values().min().map_or(Instant::NEVER, |&t| at(t));
                assert!(!all || earliest > at(now));
                assert!(wheel.next_deadline() <= earliest.max(at(now)));
                assert_eq!(wheel.len(), model.len());
                behind += u32::from(!all);
            }
            assert!(behind > 1000, "{behind}");
            keys.clear();
            while !wheel.advance(at(now + 70_000), 5, &mut keys) {}
            keys.sort_unstable();
            let mut due: Vec<u32> = model.into_keys().collect();
            due.sort_unstable();
            assert_eq!(keys, due);
            assert!(wheel.is_empty());
        }
    }

    #[test]
    fn a_key_that_is_armed_and_disarmed_leaves_one_entry_at_most() {
        const KEYS: u32 = 100;
        let mut random = SplitMix::new(7);
        let mut wheel = Wheel::new(at(0), KEYS as usize);
        let (cells, blocks) = (wheel.cells.capacity(), wheel.blocks.capacity());
        for step in 0..100_000 {
            let key = random.below(KEYS.into()) as u32;
            wheel.arm(key, at(step / 8 + random.below(1 << 25)));
            if random.chance(0.9) {
                wheel.disarm(key);
            }
            if step % 64 == 0 {
                wheel.advance(at(step / 8), u32::MAX, &mut Vec::new());
                assert!(entries(&wheel) <= KEYS as usize);
            }
        }
        assert_eq!(
            (wheel.cells.capacity(), wheel.blocks.capacity()),
            (cells, blocks)
        );
        for key in 0..KEYS {
            wheel.disarm(key);
        }
        assert!(wheel.is_empty());
        assert_eq!(wheel.next_deadline(), Instant::NEVER);
        assert_eq!(fired(&mut wheel, at(1 << 26)), [] as [u32; 0]);
        assert_eq!(entries(&wheel), 0);
    }

    #[test]
    fn an_entry_stays_where_it_is_until_its_slot_is_reached() {
        let mut wheel = Wheel::new(at(0), 2);
        wheel.arm(0, at(300));
        wheel.arm(1, at(301));
        let place = wheel.cells[0].place;
        wheel.disarm(0);
        wheel.arm(0, at(90_000));
        assert_eq!(wheel.cells[0].place, place, "armed for later");
        wheel.disarm(0);
        wheel.arm(0, at(280));
        assert_eq!(wheel.cells[0].place, place, "another tick of the same slot");
        assert_eq!(wheel.armed_at(0), at(280));
        wheel.disarm(1);
        wheel.arm(0, at(90));
        assert_ne!(wheel.tops[0][90], NIL, "that slot comes too late");
        assert_eq!(entries(&wheel), 2);
        assert_eq!(fired(&mut wheel, at(90)), [0]);
        assert_eq!(fired(&mut wheel, at(100_000)), [] as [u32; 0]);
    }
}
