//! The Internet checksum (RFC 1071) with the widest vectors the CPU has.
//!
//! A *partial sum* is a `u32` in `0..=0xffff`: the folded one's-complement sum of the 16-bit words
//! of some octets, read big-endian (the first octet of a pair is the high one), an odd last octet
//! padded with a zero. It is zero only for octets that are all zero. That makes it one value for
//! every implementation, and the same that `byway_wire::checksum::sum` gives.

use std::sync::atomic::{AtomicU8, Ordering};

mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

/// A way to compute partial sums; which of them work depends on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Implementation {
    /// Portable code.
    Scalar = 1,
    /// 32 octets at a time.
    Avx2 = 2,
    /// 64 octets at a time, the rest under a mask (AVX-512 F and BW).
    Avx512 = 3,
}

/// The implementation in use, zero when it was not asked for yet. The same value is written
/// whoever comes first, so that relaxed order is enough.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

impl Implementation {
    /// All of them, the portable one first.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// True when this CPU can run it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => std::is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                std::is_x86_feature_detected!("avx512f")
                    && std::is_x86_feature_detected!("avx512bw")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The widest that this CPU can run: what [`sum`] and [`copy_sum`] use.
    #[inline]
    pub fn best() -> Self {
        match CHOSEN.load(Ordering::Relaxed) {
            1 => Self::Scalar,
            2 => Self::Avx2,
            3 => Self::Avx512,
            _ => Self::choose(),
        }
    }

    #[cold]
    fn choose() -> Self {
        let available = Self::ALL.into_iter().rfind(|one| one.is_available());
        let best = available.unwrap_or(Self::Scalar);
        CHOSEN.store(best as u8, Ordering::Relaxed);
        best
    }

    /// The partial sum of `bytes`, computed this way.
    ///
    /// # Panics
    /// When this CPU cannot run it.
    pub fn sum(self, bytes: &[u8]) -> u32 {
        assert!(self.is_available(), "{self:?} needs a CPU that has it");
        self.sum_available(bytes)
    }

    /// Copies `src` to `dst` and gives its partial sum, computed this way.
    ///
    /// # Panics
    /// When this CPU cannot run it, or the lengths differ.
    pub fn copy_sum(self, dst: &mut [u8], src: &[u8]) -> u32 {
        assert!(self.is_available(), "{self:?} needs a CPU that has it");
        self.copy_sum_available(dst, src)
    }

    /// The caller knows that the CPU can run it.
    #[inline]
    fn sum_available(self, bytes: &[u8]) -> u32 {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the caller saw the CPU features that this implementation stands for.
            Self::Avx512 => unsafe { x86::sum_avx512(bytes) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2 => unsafe { x86::sum_avx2(bytes) },
            _ => scalar::sum(bytes),
        }
    }

    /// The caller knows that the CPU can run it.
    #[inline]
    fn copy_sum_available(self, dst: &mut [u8], src: &[u8]) -> u32 {
        assert_eq!(
            dst.len(),
            src.len(),
            "a copy needs as much room as there are octets"
        );
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the caller saw the CPU features that this implementation stands for, and
            // the lengths are equal.
            Self::Avx512 => unsafe { x86::copy_sum_avx512(dst, src) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2 => unsafe { x86::copy_sum_avx2(dst, src) },
            _ => scalar::copy_sum(dst, src),
        }
    }
}

/// Up to so many octets are summed without vectors.
const SHORT: usize = 128;

/// The partial sum of `bytes`.
#[inline]
pub fn sum(bytes: &[u8]) -> u32 {
    if bytes.len() <= SHORT {
        return scalar::sum_short(bytes);
    }
    sum_long(bytes)
}

/// Out of line, so that short sums save no registers for it.
#[inline(never)]
fn sum_long(bytes: &[u8]) -> u32 {
    Implementation::best().sum_available(bytes)
}

/// Copies `src` to `dst` and gives its partial sum, reading the bytes once.
///
/// # Panics
/// When the lengths differ.
#[inline]
pub fn copy_sum(dst: &mut [u8], src: &[u8]) -> u32 {
    Implementation::best().copy_sum_available(dst, src)
}
