//! Records that only busy connections need, kept in one place and handed out by index.

/// The index that stands for "no record".
pub(crate) const NONE: u32 = u32::MAX;

/// A record that can be used again.
pub(crate) trait Recycle: Default {
    /// As good as new; memory it has may stay.
    fn recycle(&mut self);
}

/// A bounded pool of records linked by index. It grows to what was needed at once and stays there,
/// so the steady state allocates nothing.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    records: Vec<T>,
    free: Vec<u32>,
    limit: usize,
}

impl<T: Recycle> Pool<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            records: Vec::new(),
            free: Vec::new(),
            limit,
        }
    }

    /// A fresh record, or `None` at the limit.
    pub(crate) fn take(&mut self) -> Option<u32> {
        if let Some(index) = self.free.pop() {
            return Some(index);
        }
        if self.records.len() >= self.limit {
            return None;
        }
        self.records.push(T::default());
        Some((self.records.len() - 1) as u32)
    }

    /// Gives a record back, reset; `NONE` is fine.
    pub(crate) fn give(&mut self, index: u32) {
        if let Some(record) = self.records.get_mut(index as usize) {
            record.recycle();
            self.free.push(index);
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.records.get(index as usize)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.records.get_mut(index as usize)
    }

    /// Records handed out now.
    pub(crate) fn in_use(&self) -> usize {
        self.records.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Recycle for u64 {
        fn recycle(&mut self) {
            *self = 0;
        }
    }

    #[test]
    fn the_limit_holds_and_records_come_back_fresh() {
        let mut pool: Pool<u64> = Pool::new(2);
        let a = pool.take().unwrap();
        let b = pool.take().unwrap();
        assert_eq!(pool.take(), None);
        *pool.get_mut(a).unwrap() = 7;
        pool.give(a);
        assert_eq!(pool.in_use(), 1);
        let again = pool.take().unwrap();
        assert_eq!((again, *pool.get(again).unwrap()), (a, 0));
        pool.give(b);
        pool.give(NONE);
        assert_eq!(pool.in_use(), 1);
    }
}
