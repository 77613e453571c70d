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

/// The partial sum of few `bytes`: sixty-four-bit words and their carries, without loops over less
/// than 64 octets. No vector gets its lanes together faster than that.
#[inline]
pub(super) fn sum_short(bytes: &[u8]) -> u32 {
    let mut acc = 0u128;
    let mut rest = bytes;
    while let Some((block, after)) = rest.split_first_chunk::<64>() {
        acc += words(block);
        rest = after;
    }
    if let Some((block, after)) = rest.split_first_chunk::<32>() {
        acc += words(block);
        rest = after;
    }
    if let Some((block, after)) = rest.split_first_chunk::<16>() {
        acc += words(block);
        rest = after;
    }
    if let Some((block, after)) = rest.split_first_chunk::<8>() {
        acc += words(block);
        rest = after;
    }
    if !rest.is_empty() {
        acc += u128::from(last(bytes, rest));
    }
    let (sum, carry) = (acc as u64).overflowing_add((acc >> 64) as u64);
    fold(sum + u64::from(carry))
}

/// The sum of the native-order words of `block`.
#[inline(always)]
fn words<const LEN: usize>(block: &[u8; LEN]) -> u128 {
    let (words, _) = block.as_chunks::<8>();
    let sum = |acc, word: &[u8; 8]| acc + u128::from(u64::from_ne_bytes(*word));
    words.iter().fold(0, sum)
}

/// The native-order words of `rest`, which are the last less than eight octets of `bytes`.
#[inline(always)]
fn last(bytes: &[u8], rest: &[u8]) -> u64 {
    match bytes.last_chunk::<8>() {
        // A whole word has them at its end: shifted, they begin where words do.
        Some(word) => (u64::from_le_bytes(*word) >> (64 - 8 * (rest.len() % 8))).to_le(),
        None => accumulate(rest),
    }
}

/// Folds a sum of native-order words to a partial sum. The order of octets commutes with
/// one's-complement addition, so one swap at the end does (RFC 1071 §2 (B)).
#[inline]
pub(super) const fn fold(acc: u64) -> u32 {
    let (sum, carry) = (acc as u32).overflowing_add((acc >> 32) as u32);
    let sum = sum + carry as u32;
    let (sum, carry) = (sum as u16).overflowing_add((sum >> 16) as u16);
    u16::from_be_bytes((sum + carry as u16).to_ne_bytes()) as u32
}
