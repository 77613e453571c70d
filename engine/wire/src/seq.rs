//! Sequence-space arithmetic with units as types.
//!
//! A place in the stream ([`SeqNumber`]) and a length of it ([`SeqLen`]) are different types, and
//! neither is ordered by `Ord`: "less than" on a circle is not transitive, so comparisons are
//! methods that say what they mean (RFC 9293 §3.4).

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A place in a connection's sequence space, modulo 2^32.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct SeqNumber(u32);

/// A distance in sequence space, in octets; SYN and FIN count one each.
pub type SeqLen = u32;

impl SeqNumber {
    /// The number with this value on the wire.
    #[inline]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The value on the wire.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// True when `self` comes before `other` (the RFC's `<`).
    #[inline]
    pub const fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// True when `self` comes after `other` (the RFC's `>`).
    #[inline]
    pub const fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// True when `self` is `other` or comes before it (the RFC's `=<`).
    #[inline]
    pub const fn at_or_before(self, other: Self) -> bool {
        !other.before(self)
    }

    /// True when `self` is `other` or comes after it (the RFC's `>=`).
    #[inline]
    pub const fn at_or_after(self, other: Self) -> bool {
        !self.before(other)
    }

    /// True when `start <= self < start + len`. Holds for lengths up to 2^32 - 1.
    #[inline]
    pub const fn in_window(self, start: Self, len: SeqLen) -> bool {
        self.0.wrapping_sub(start.0) < len
    }

    /// Octets from `base` forward to `self`; the caller knows that `self` is not before `base`.
    #[inline]
    pub const fn offset_from(self, base: Self) -> SeqLen {
        self.0.wrapping_sub(base.0)
    }

    /// The later of two numbers.
    #[inline]
    pub const fn max(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The earlier of two numbers.
    #[inline]
    pub const fn min(self, other: Self) -> Self {
        if other.before(self) { other } else { self }
    }
}

impl fmt::Debug for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Add<SeqLen> for SeqNumber {
    type Output = Self;

    #[inline]
    fn add(self, len: SeqLen) -> Self {
        Self(self.0.wrapping_add(len))
    }
}

impl AddAssign<SeqLen> for SeqNumber {
    #[inline]
    fn add_assign(&mut self, len: SeqLen) {
        *self = *self + len;
    }
}

impl Sub<SeqLen> for SeqNumber {
    type Output = Self;

    #[inline]
    fn sub(self, len: SeqLen) -> Self {
        Self(self.0.wrapping_sub(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_holds_across_the_wrap() {
        let last = SeqNumber::new(u32::MAX);
        let first = last + 1;
        assert_eq!(first.get(), 0);
        assert!(last.before(first) && first.after(last));
        assert!(first.at_or_after(first) && first.at_or_before(first));
        assert_eq!(first.offset_from(last), 1);
        assert_eq!(last.max(first), first);
        assert_eq!(last.min(first), last);
    }

    #[test]
    fn a_window_has_its_start_and_not_its_end() {
        let start = SeqNumber::new(u32::MAX - 1);
        assert!(start.in_window(start, 4));
        assert!((start + 3).in_window(start, 4));
        assert!(!(start + 4).in_window(start, 4));
        assert!(!(start - 1).in_window(start, 4));
        assert!(!start.in_window(start, 0));
    }
}
