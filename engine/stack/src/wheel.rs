//! A hierarchical timer wheel with one entry a key.
//!
//! Six levels of 64 slots; a tick is 65.536 us. An entry lies in the level of the highest digit
//! (base 64) in which its tick differs from the wheel's, so it moves down at most five times before
//! it fires. Entries are linked through an array indexed by key: arming and disarming are a few
//! writes and never allocate once the array has grown.
//!
//! Deadlines that only move later need no work here: the entry fires early, and whoever owns the
//! key looks at the true deadline and arms again. A deadline that moves earlier is armed at once.

use byway_tcp::time::Instant;

/// A tick is 2^16 ns.
const TICK_SHIFT: u32 = 16;
const LEVELS: usize = 6;
const SLOTS: usize = 64;
const DIGIT: u32 = 6;
/// Ticks that the wheel spans, less one slot of the top level so that it never meets itself.
const SPAN: u64 = 63 << (DIGIT * (LEVELS as u32 - 1));
const NIL: u32 = u32::MAX;
const NOT_ARMED: u64 = u64::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    next: u32,
    prev: u32,
    tick: u64,
}

const FREE: Node = Node {
    next: NIL,
    prev: NIL,
    tick: NOT_ARMED,
};

/// A timer wheel. Keys are small numbers, at most one entry each.
#[derive(Debug)]
pub struct Wheel {
    now: u64,
    /// Which slots of a level have entries.
    busy: [u64; LEVELS],
    heads: [[u32; SLOTS]; LEVELS],
    nodes: Vec<Node>,
    armed: usize,
}

impl Wheel {
    /// A wheel that stands at `now`, for keys below `keys`.
    pub fn new(now: Instant, keys: usize) -> Self {
        Self {
            now: now.as_nanos() >> TICK_SHIFT,
            busy: [0; LEVELS],
            heads: [[NIL; SLOTS]; LEVELS],
            // Room is reserved, and touched only as keys come into use.
            nodes: Vec::with_capacity(keys),
            armed: 0,
        }
    }

    /// Entries in the wheel.
    pub fn len(&self) -> usize {
        self.armed
    }

    /// True when nothing is armed.
    pub fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// Makes sure that `key` fires at or before `deadline` comes, to the tick. An entry that fires
    /// earlier stays as it is.
    #[inline]
    pub fn arm(&mut self, key: u32, deadline: Instant) {
        if !deadline.is_armed() {
            return;
        }
        let tick = tick_after(deadline).clamp(self.now, self.now + SPAN);
        let index = key as usize;
        if index >= self.nodes.len() {
            self.nodes.resize(index + 1, FREE);
        }
        let armed = self.nodes[index].tick;
        if armed <= tick {
            return;
        }
        if armed != NOT_ARMED {
            self.unlink(key);
        }
        self.link(key, tick);
    }

    /// Takes the entry of `key` out, if it has one.
    #[inline]
    pub fn disarm(&mut self, key: u32) {
        if self
            .nodes
            .get(key as usize)
            .is_some_and(|node| node.tick != NOT_ARMED)
        {
            self.unlink(key);
        }
    }

    /// Moves on to `now` and puts the keys that are due, now disarmed, in `fired`. Stops after
    /// `budget` entries were looked at; returns false when more may be due.
    #[inline]
    pub fn advance(&mut self, now: Instant, budget: u32, fired: &mut Vec<u32>) -> bool {
        let target = now.as_nanos() >> TICK_SHIFT;
        (target == self.now && !self.is_busy_now()) || self.move_to(target, budget, fired)
    }

    fn move_to(&mut self, target: u64, budget: u32, fired: &mut Vec<u32>) -> bool {
        let mut budget = budget;
        while let Some((level, slot, tick)) = self.next_slot() {
            if tick > target {
                break;
            }
            self.now = self.now.max(tick);
            while self.heads[level][slot] != NIL {
                if budget == 0 {
                    return false;
                }
                budget -= 1;
                let key = self.heads[level][slot];
                let due = self.nodes[key as usize].tick;
                self.unlink(key);
                if due <= self.now {
                    fired.push(key);
                } else {
                    self.link(key, due);
                }
            }
        }
        self.now = self.now.max(target);
        true
    }

    /// Something was armed for the present tick. All else that begins with it was looked at when
    /// the wheel moved here: most turns come within a tick of the last.
    #[inline]
    fn is_busy_now(&self) -> bool {
        let slot = self.now as usize % SLOTS;
        self.heads[0][slot] != NIL
    }

    /// When `key` fires at the latest; `Instant::NEVER` when it is not armed.
    pub fn armed_at(&self, key: u32) -> Instant {
        match self.nodes.get(key as usize) {
            Some(node) if node.tick != NOT_ARMED => Instant::from_nanos(node.tick << TICK_SHIFT),
            _ => Instant::NEVER,
        }
    }

    /// A time before which nothing fires; `Instant::NEVER` when nothing is armed.
    pub fn next_deadline(&self) -> Instant {
        match self.next_slot() {
            Some((_, _, tick)) => Instant::from_nanos(tick << TICK_SHIFT),
            None => Instant::NEVER,
        }
    }

    /// The first busy slot, and the tick at which it begins. Every entry of a lower level comes
    /// before every entry of a higher one, because it shares more digits with the present.
    #[inline]
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.busy.iter().position(|&busy| busy != 0)?;
        let shift = DIGIT * level as u32;
        let position = (self.now >> shift) as u32 % SLOTS as u32;
        let ahead = self.busy[level].rotate_right(position).trailing_zeros();
        let slot = (position + ahead) as usize % SLOTS;
        // The beginning of a slot at a higher level may be this very tick's past: never go back.
        let tick = (((self.now >> shift) + u64::from(ahead)) << shift).max(self.now);
        Some((level, slot, tick))
    }

    fn link(&mut self, key: u32, tick: u64) {
        let (level, slot) = self.place(tick);
        let head = self.heads[level][slot];
        self.nodes[key as usize] = Node {
            next: head,
            prev: NIL,
            tick,
        };
        if head != NIL {
            self.nodes[head as usize].prev = key;
        }
        self.heads[level][slot] = key;
        self.busy[level] |= 1 << slot;
        self.armed += 1;
    }

    fn unlink(&mut self, key: u32) {
        let node = self.nodes[key as usize];
        if node.next != NIL {
            self.nodes[node.next as usize].prev = node.prev;
        }
        if node.prev != NIL {
            self.nodes[node.prev as usize].next = node.next;
        } else {
            self.unlink_head(key, node);
        }
        self.nodes[key as usize] = FREE;
        self.armed -= 1;
    }

    /// The slot of an entry depends on when it was linked, so the head that names it is looked for
    /// in the one slot of each level where it can be.
    fn unlink_head(&mut self, key: u32, node: Node) {
        for level in 0..LEVELS {
            let slot = slot_at(level, node.tick);
            if self.heads[level][slot] == key {
                self.heads[level][slot] = node.next;
                if node.next == NIL {
                    self.busy[level] &= !(1 << slot);
                }
                return;
            }
        }
    }

    #[inline]
    fn place(&self, tick: u64) -> (usize, usize) {
        let differing = (tick ^ self.now) | 1;
        let level = ((63 - differing.leading_zeros()) / DIGIT).min(LEVELS as u32 - 1) as usize;
        (level, slot_at(level, tick))
    }
}

#[inline]
const fn slot_at(level: usize, tick: u64) -> usize {
    (tick >> (DIGIT * level as u32)) as usize % SLOTS
}

/// The first tick at which `deadline` has come.
#[inline]
const fn tick_after(deadline: Instant) -> u64 {
    (deadline.as_nanos() >> TICK_SHIFT)
        + !deadline.as_nanos().is_multiple_of(1 << TICK_SHIFT) as u64
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
}
