//! Partial sums in portable code.

/// The partial sum of `bytes`.
pub(super) fn sum(bytes: &[u8]) -> u32 {
    fold(accumulate(bytes))
}

/// Copies and sums in two passes: what does not fit the first-level cache is no packet.
pub(super) fn copy_sum(dst: &mut [u8], src: &[u8]) -> u32 {
    dst.copy_from_slice(src);
    sum(src)
}

/// The sum of the native-order words of `bytes`, not folded: congruent to it modulo 0xffff.
#[inline]
pub(super) fn accumulate(bytes: &[u8]) -> u64 {
    let mut acc = 0u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        // Halves of 32 bits leave room for 2^32 additions before the accumulator could wrap.
        let word = u64::from_ne_bytes(*word);
        acc += (word & 0xffff_ffff) + (word >> 32);
    }
    let (pairs, odd) = rest.as_chunks::<2>();
    for pair in pairs {
        acc += u64::from(u16::from_ne_bytes(*pair));
    }
    if let [last] = odd {
        acc += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    acc
}

/// Folds a sum of native-order words to a partial sum. The order of octets commutes with
/// one's-complement addition, so one swap at the end does (RFC 1071 §2 (B)).
#[inline]
pub(super) const fn fold(acc: u64) -> u32 {
    let acc = (acc & 0xffff_ffff) + (acc >> 32);
    let acc = (acc & 0xffff) + ((acc >> 16) & 0xffff) + (acc >> 32);
    let acc = (acc & 0xffff) + (acc >> 16);
    let acc = (acc & 0xffff) + (acc >> 16);
    u16::from_be_bytes((acc as u16).to_ne_bytes()) as u32
}
