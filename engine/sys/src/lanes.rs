//! Several words compared at once.

/// Which of `words` are equal to `wanted`: bit `i` for `words[i]`.
#[inline(always)]
pub fn equal_lanes(words: &[u32; 8], wanted: u32) -> u8 {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{
            _mm_cmpeq_epi32, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32,
            _mm_set1_epi32,
        };
        let (low, high) = words.split_at(4);
        // SAFETY: each half is sixteen octets long, and the loads need no alignment.
        let (low, high) = unsafe {
            (
                _mm_loadu_si128(low.as_ptr().cast()),
                _mm_loadu_si128(high.as_ptr().cast()),
            )
        };
        // SAFETY: SSE2, which every x86-64 CPU has.
        unsafe {
            let wanted = _mm_set1_epi32(wanted as i32);
            let equal =
                _mm_packs_epi32(_mm_cmpeq_epi32(low, wanted), _mm_cmpeq_epi32(high, wanted));
            // All ones stay all ones when lanes get narrower: one octet a word, then one bit.
            _mm_movemask_epi8(_mm_packs_epi16(equal, equal)) as u8
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    one_by_one(words, wanted)
}

/// The same in portable code.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn one_by_one(words: &[u32; 8], wanted: u32) -> u8 {
    let equal = |bits: u8, (lane, word): (u32, &u32)| bits | u8::from(*word == wanted) << lane;
    (0..).zip(words).fold(0, equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_equal_words_is_found() {
        for (wanted, other) in [
            (0, 1),
            (0x8000_0000, 0),
            (u32::MAX, 0x7fff_ffff),
            (7, 0x7_0000),
        ] {
            for bits in 0..=u8::MAX {
                let words =
                    core::array::from_fn(|lane| if bits >> lane & 1 == 1 { wanted } else { other });
                assert_eq!(equal_lanes(&words, wanted), bits);
                assert_eq!(one_by_one(&words, wanted), bits);
            }
        }
    }
}
