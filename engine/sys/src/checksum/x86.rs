//! Partial sums with AVX2 and AVX-512.
//!
//! Each 64-bit lane keeps two sums of the words `w` it has seen: all of `w`, which wraps, and
//! `w >> 32`, which does not for less than 2^32 words. Their low halves are what is missing from
//! the first, `all - (high << 32)`, and low plus high halves is the sum wanted, because 2^32 is
//! congruent to one modulo 0xffff. That takes three instructions a vector: add, shift, add. The sums
//! hold for slices of less than 16 GiB.

use super::scalar::{accumulate, fold};
use core::arch::x86_64::*;

/// Octets of a vector.
const YMM: usize = 32;
const ZMM: usize = 64;

/// The partial sum of `bytes`.
#[target_feature(enable = "avx2")]
pub(super) fn sum_avx2(bytes: &[u8]) -> u32 {
    let (mut all, mut high) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
    let (pairs, rest) = bytes.as_chunks::<{ 2 * YMM }>();
    for pair in pairs {
        for lane in 0..2 {
            // SAFETY: `pair` is two vectors long, and the load needs no alignment.
            let word = unsafe { _mm256_loadu_si256(pair.as_ptr().add(lane * YMM).cast()) };
            all[lane] = _mm256_add_epi64(all[lane], word);
            high[lane] = _mm256_add_epi64(high[lane], _mm256_srli_epi64::<32>(word));
        }
    }
    let all = _mm256_add_epi64(all[0], all[1]);
    let high = _mm256_add_epi64(high[0], high[1]);
    fold(reduce_avx2(all, high) + accumulate(rest))
}

/// Copies `src` to `dst`, which is as long, and gives its partial sum.
#[target_feature(enable = "avx2")]
pub(super) fn copy_sum_avx2(dst: &mut [u8], src: &[u8]) -> u32 {
    let (mut all, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    let (from, from_rest) = src.as_chunks::<YMM>();
    let (to, to_rest) = dst.as_chunks_mut::<YMM>();
    for (to, from) in to.iter_mut().zip(from) {
        // SAFETY: `from` is one vector long, and the load needs no alignment.
        let word = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
        // SAFETY: `to` is one vector long and borrowed mutably; the store needs no alignment.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), word) };
        all = _mm256_add_epi64(all, word);
        high = _mm256_add_epi64(high, _mm256_srli_epi64::<32>(word));
    }
    to_rest.copy_from_slice(from_rest);
    fold(reduce_avx2(all, high) + accumulate(from_rest))
}

/// The sum of all lanes, not folded.
#[inline]
#[target_feature(enable = "avx2")]
fn reduce_avx2(all: __m256i, high: __m256i) -> u64 {
    let low = _mm256_sub_epi64(all, _mm256_slli_epi64::<32>(high));
    let both = _mm256_add_epi64(low, high);
    let half = _mm_add_epi64(
        _mm256_castsi256_si128(both),
        _mm256_extracti128_si256::<1>(both),
    );
    let one = _mm_add_epi64(half, _mm_unpackhi_epi64(half, half));
    _mm_cvtsi128_si64(one) as u64
}

/// The partial sum of `bytes`.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn sum_avx512(bytes: &[u8]) -> u32 {
    let (mut all, mut high) = ([_mm512_setzero_si512(); 2], [_mm512_setzero_si512(); 2]);
    let (pairs, rest) = bytes.as_chunks::<{ 2 * ZMM }>();
    for pair in pairs {
        for lane in 0..2 {
            // SAFETY: `pair` is two vectors long, and the load needs no alignment.
            let word = unsafe { _mm512_loadu_si512(pair.as_ptr().add(lane * ZMM).cast()) };
            all[lane] = _mm512_add_epi64(all[lane], word);
            high[lane] = _mm512_add_epi64(high[lane], _mm512_srli_epi64::<32>(word));
        }
    }
    let (mut all, mut high) = (
        _mm512_add_epi64(all[0], all[1]),
        _mm512_add_epi64(high[0], high[1]),
    );
    for part in rest.chunks(ZMM) {
        // SAFETY: the mask has one bit for each octet of `part`; octets without one are not read.
        let word = unsafe { _mm512_maskz_loadu_epi8(mask(part.len()), part.as_ptr().cast()) };
        all = _mm512_add_epi64(all, word);
        high = _mm512_add_epi64(high, _mm512_srli_epi64::<32>(word));
    }
    fold(reduce_avx512(all, high))
}

/// Copies `src` to `dst`, which is as long, and gives its partial sum.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn copy_sum_avx512(dst: &mut [u8], src: &[u8]) -> u32 {
    let len = src.len().min(dst.len());
    let (mut all, mut high) = ([_mm512_setzero_si512(); 2], [_mm512_setzero_si512(); 2]);
    let mut add = |lane: usize, word| {
        all[lane] = _mm512_add_epi64(all[lane], word);
        high[lane] = _mm512_add_epi64(high[lane], _mm512_srli_epi64::<32>(word));
    };
    if len < ZMM {
        // SAFETY: the mask has one bit for each octet of `src`; octets without one are not read.
        let word = unsafe { _mm512_maskz_loadu_epi8(mask(len), src.as_ptr().cast()) };
        // SAFETY: nor are octets without a bit written, and `dst` is as long.
        unsafe { _mm512_mask_storeu_epi8(dst.as_mut_ptr().cast(), mask(len), word) };
        add(0, word);
        return fold(reduce_avx512(all[0], high[0]));
    }
    // Loads that cross a cache line get in the way of stores, and stores under a mask take long: the
    // first vector and the last overlap the others, which are read from where lines begin.
    let head = src.as_ptr().align_offset(ZMM) % ZMM;
    let odd = head % 2 == 1;
    if head > 0 {
        // SAFETY: both are a vector long at least.
        let word = unsafe { _mm512_loadu_si512(src.as_ptr().cast()) };
        // SAFETY: as above, and `dst` is borrowed mutably.
        unsafe { _mm512_storeu_si512(dst.as_mut_ptr().cast(), word) };
        let word = _mm512_maskz_mov_epi8(mask(head), word);
        // After an odd number of octets words are seen with theirs exchanged: so are all then.
        add(0, if odd { swap_octets(word) } else { word });
    }
    let (pairs, from_rest) = src[head..].as_chunks::<{ 2 * ZMM }>();
    let (to_pairs, to_rest) = dst[head..].as_chunks_mut::<{ 2 * ZMM }>();
    for (to, from) in to_pairs.iter_mut().zip(pairs) {
        for lane in 0..2 {
            // SAFETY: `from` is two vectors long.
            let word = unsafe { _mm512_loadu_si512(from.as_ptr().add(lane * ZMM).cast()) };
            // SAFETY: so is `to`, which is borrowed mutably.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().add(lane * ZMM).cast(), word) };
            add(lane, word);
        }
    }
    if let (Some((from, _)), Some((to, _))) = (
        from_rest.split_first_chunk::<ZMM>(),
        to_rest.split_first_chunk_mut::<ZMM>(),
    ) {
        // SAFETY: `from` is a vector long.
        let word = unsafe { _mm512_loadu_si512(from.as_ptr().cast()) };
        // SAFETY: so is `to`, which is borrowed mutably.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), word) };
        add(0, word);
    }
    let rest = from_rest.len() % ZMM;
    if rest > 0 {
        // SAFETY: both are a vector long at least, and this one ends where they do.
        let word = unsafe { _mm512_loadu_si512(src.as_ptr().add(len - ZMM).cast()) };
        // SAFETY: as above, and `dst` is borrowed mutably.
        unsafe { _mm512_storeu_si512(dst.as_mut_ptr().add(len - ZMM).cast(), word) };
        // SAFETY: the mask has one bit for each octet that is left; the others are not read.
        let word =
            unsafe { _mm512_maskz_loadu_epi8(mask(rest), src.as_ptr().add(len - rest).cast()) };
        add(1, word);
    }
    let sum = fold(reduce_avx512(
        _mm512_add_epi64(all[0], all[1]),
        _mm512_add_epi64(high[0], high[1]),
    ));
    if odd {
        u32::from((sum as u16).swap_bytes())
    } else {
        sum
    }
}

/// Exchanges the octets of each sixteen-bit word.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn swap_octets(words: __m512i) -> __m512i {
    _mm512_or_si512(_mm512_slli_epi16::<8>(words), _mm512_srli_epi16::<8>(words))
}

/// A mask of the first `len` octets of a vector, up to all 64.
#[inline]
const fn mask(len: usize) -> u64 {
    match len {
        0..ZMM => (1 << len) - 1,
        _ => u64::MAX,
    }
}

/// The sum of all lanes, not folded.
#[inline]
#[target_feature(enable = "avx512f")]
fn reduce_avx512(all: __m512i, high: __m512i) -> u64 {
    let low = _mm512_sub_epi64(all, _mm512_slli_epi64::<32>(high));
    _mm512_reduce_add_epi64(_mm512_add_epi64(low, high)) as u64
}
