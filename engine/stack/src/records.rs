//! Records in a table: plain values found by index, with a limit and a list of free places.

use byway_sys::prefer_huge_pages;

/// Up to a fixed number of values, each at an index that stays its own until it is removed.
#[derive(Debug)]
pub(crate) struct Records<T> {
    slots: Vec<Option<T>>,
    /// How often a slot was filled; tells one use of it from the next.
    generations: Vec<u32>,
    free: Vec<u32>,
    len: u32,
    limit: u32,
}

impl<T> Records<T> {
    /// A table for up to `limit` values. Room is reserved now and touched when it comes into use,
    /// so that no insertion ever moves what is there. It is touched in random order.
    pub(crate) fn new(limit: u32) -> Self {
        let mut slots = Vec::with_capacity(limit as usize);
        prefer_huge_pages(&mut slots);
        Self {
            slots,
            generations: Vec::with_capacity(limit as usize),
            free: Vec::new(),
            len: 0,
            limit,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len == self.limit
    }

    #[inline]
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// Adds a value; `None` at the limit.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.generations.push(0);
            self.slots.len() as u32 - 1
        });
        self.slots[index as usize] = Some(value);
        let generation = &mut self.generations[index as usize];
        *generation = generation.wrapping_add(1);
        self.len += 1;
        Some(index)
    }

    /// Removes a value.
    #[inline]
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.slots.get_mut(index as usize)?.take()?;
        self.free.push(index);
        self.len -= 1;
        Some(value)
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// Asks the CPU for the slot, all of its cache lines.
    #[inline]
    pub(crate) fn prefetch(&self, index: u32) {
        if let Some(slot) = self.slots.get(index as usize) {
            byway_sys::prefetch_record(slot);
        }
    }

    /// Which use of its slot this is.
    #[inline]
    pub(crate) fn generation(&self, index: u32) -> u32 {
        self.generations.get(index as usize).copied().unwrap_or(0)
    }

    /// Which use of its slot this is, if there is a value in it.
    pub(crate) fn generation_in_use(&self, index: u32) -> Option<u32> {
        self.get(index).map(|_| self.generation(index))
    }

    /// Places that were ever used: every index is below.
    #[inline]
    pub(crate) fn high_water(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots
            .iter()
            .zip(0..)
            .filter_map(|(slot, index)| Some((index, slot.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_generations_tell_uses_apart() {
        let mut records = Records::new(2);
        let a = records.insert('a').unwrap();
        let b = records.insert('b').unwrap();
        assert_eq!(records.insert('c'), None);
        let first = records.generation(a);
        assert_eq!(records.remove(a), Some('a'));
        assert_eq!(records.remove(a), None);
        assert_eq!(records.get(a), None);
        assert_eq!(records.insert('c'), Some(a));
        assert_ne!(records.generation(a), first);
        assert_eq!(records.iter().collect::<Vec<_>>(), [(a, &'c'), (b, &'b')]);
    }
}
