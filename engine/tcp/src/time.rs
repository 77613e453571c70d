//! Time as TCP sees it: nanoseconds since an epoch that only a clock knows.

use core::ops::{Add, AddAssign, Sub};
pub use core::time::Duration;

/// A point in time in nanoseconds. `byway-tcp` never makes one up: clocks do, and pass it in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Instant(u64);

impl Instant {
    /// Later than every point a clock gives: a deadline that is not armed.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point this many nanoseconds after the epoch of the clock.
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch of the clock.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Milliseconds, wrapped to 32 bits: the clock of our TSval (RFC 7323 §5.4 allows 1 ms to 1 s).
    //= rfc7323 5.4 S5.4-1
    #[inline]
    pub const fn as_millis_wrapped(self) -> u32 {
        (self.0 / 1_000_000) as u32
    }

    /// True when this deadline is armed.
    #[inline]
    pub const fn is_armed(self) -> bool {
        self.0 != u64::MAX
    }

    /// So many nanoseconds later.
    #[inline]
    pub(crate) const fn plus_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Time from `earlier` to `self`, zero when it is not earlier.
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_nanos() as u64))
    }
}

impl AddAssign<Duration> for Instant {
    #[inline]
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_nanos() as u64))
    }
}
