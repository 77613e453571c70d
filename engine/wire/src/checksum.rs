//! The Internet checksum (RFC 1071), in plain portable code.
//!
//! A *partial sum* is a `u32` in `0..=0xffff`: the folded one's-complement sum of the 16-bit words
//! of some octets, read big-endian (the first octet of a pair is the high one), an odd last octet
//! padded with a zero. It is zero only for octets that are all zero, so that two implementations of
//! the same sum agree in every bit. Partial sums are added with `+` (65,537 of them fit a `u32`)
//! and end in [`fold`]; a stretch after an odd number of octets is added with [`join`].

use crate::flow::Address;

/// The partial sum of `bytes`. The meaning is the one of the module; faster code may replace this.
#[inline]
pub fn sum(bytes: &[u8]) -> u32 {
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
    from_native(acc)
}

/// The partial sum for an accumulator of native-order words: the order of octets commutes with
/// one's-complement addition, so one swap at the end does (RFC 1071 §2 (B)).
#[inline]
const fn from_native(acc: u64) -> u32 {
    let acc = (acc & 0xffff_ffff) + (acc >> 32);
    let acc = (acc & 0xffff) + ((acc >> 16) & 0xffff) + (acc >> 32);
    let acc = (acc & 0xffff) + (acc >> 16);
    let acc = (acc & 0xffff) + (acc >> 16);
    u16::from_be_bytes((acc as u16).to_ne_bytes()) as u32
}

/// Folds added partial sums to 16 bits, not complemented.
#[inline]
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// The checksum field for a sum over everything it covers, the field itself counted as zero.
#[inline]
pub const fn finish(sum: u32) -> u16 {
    !fold(sum)
}

/// The partial sum of two stretches of which the first is `first_len` octets long.
#[inline]
pub const fn join(first: u32, first_len: usize, second: u32) -> u32 {
    let second = fold(second);
    let second = if first_len % 2 == 1 {
        second.swap_bytes()
    } else {
        second
    };
    fold(first) as u32 + second as u32
}

/// The partial sum of the pseudo header of TCP or ICMPv6 (RFC 9293 §3.1, RFC 8200 §8.1).
/// `len` is the length of the upper-layer header and its payload.
#[inline]
pub fn pseudo_header(source: &Address, destination: &Address, protocol: u8, len: u32) -> u32 {
    // The prefix of a v4-mapped address sums to 0xffff, which is a zero of one's complement: the
    // same addition serves both families.
    let mut acc = u64::from(len) + u64::from(protocol);
    for address in [source, destination] {
        let wide = u128::from_be_bytes(*address.octets());
        let (high, low) = ((wide >> 64) as u64, wide as u64);
        acc += (high >> 32) + (high & 0xffff_ffff) + (low >> 32) + (low & 0xffff_ffff);
    }
    let acc = (acc & 0xffff) + ((acc >> 16) & 0xffff) + (acc >> 32);
    u32::from(fold(acc as u32))
}

/// The checksum after a 16-bit word that it covers changed from `old` to `new` (RFC 1624, eqn. 3).
#[inline]
pub const fn update16(checksum: u16, old: u16, new: u16) -> u16 {
    finish(!checksum as u32 + !old as u32 + new as u32)
}

/// The checksum after an aligned 32-bit word that it covers changed from `old` to `new`.
#[inline]
pub const fn update32(checksum: u16, old: u32, new: u32) -> u16 {
    let high = update16(checksum, (old >> 16) as u16, (new >> 16) as u16);
    update16(high, old as u16, new as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word by word.
    fn naive(bytes: &[u8]) -> u32 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            if sum > 0xffff {
                sum -= 0xffff;
            }
        }
        sum
    }

    /// Octets that look random, the same in each run.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn the_sum_is_the_definition_at_every_length_and_alignment() {
        for bytes in [noise(256), vec![0xff; 256], vec![0; 256]] {
            for start in 0..16 {
                for len in 0..=200 {
                    let bytes = &bytes[start..start + len];
                    assert_eq!(sum(bytes), naive(bytes), "{start}+{len}");
                }
            }
        }
        let long = noise(70_001);
        assert_eq!(sum(&long), naive(&long));
    }

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 1071 §3.
        assert_eq!(
            sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            0xddf2
        );
        assert_eq!(finish(0xddf2), 0x220d);
    }

    #[test]
    fn sums_join_at_every_place() {
        let bytes = noise(67);
        for at in 0..=bytes.len() {
            let (first, second) = bytes.split_at(at);
            let joined = join(sum(first), first.len(), sum(second));
            assert_eq!(u32::from(fold(joined)), sum(&bytes), "at {at}");
        }
    }

    #[test]
    fn the_pseudo_header_is_the_sum_of_its_octets() {
        for len in [0, 20, 1480, 65_535, 1 << 20] {
            let octets = noise(32);
            let (source, destination) = octets.split_at(16);
            let wide = |octets: &[u8]| Address::v6(octets.try_into().unwrap());
            let bytes = [&octets[..], &u32::to_be_bytes(len), &[0, 0, 0, 6]].concat();
            assert_eq!(
                pseudo_header(&wide(source), &wide(destination), 6, len),
                naive(&bytes)
            );

            let narrow = |octets: &[u8]| Address::v4(octets[..4].try_into().unwrap());
            let bytes = [
                &source[..4],
                &destination[..4],
                &u32::to_be_bytes(len),
                &[0, 6],
            ]
            .concat();
            let expected = naive(&bytes);
            assert_eq!(
                pseudo_header(&narrow(source), &narrow(destination), 6, len),
                expected
            );
        }
    }

    #[test]
    fn an_update_is_the_sum_done_again() {
        let mut bytes = noise(40);
        let words = [0u16, 1, 0x00ff, 0x7fff, 0x8000, 0xfffe, 0xffff];
        for old in words {
            for new in words {
                bytes[4..6].copy_from_slice(&old.to_be_bytes());
                let before = finish(sum(&bytes));
                bytes[4..6].copy_from_slice(&new.to_be_bytes());
                assert_eq!(
                    update16(before, old, new),
                    finish(sum(&bytes)),
                    "{old} to {new}"
                );
            }
        }
        for (old, new) in [(0, u32::MAX), (u32::MAX, 0), (0x0a00_0001, 0xc0a8_0117)] {
            bytes[8..12].copy_from_slice(&u32::to_be_bytes(old));
            let before = finish(sum(&bytes));
            bytes[8..12].copy_from_slice(&u32::to_be_bytes(new));
            assert_eq!(
                update32(before, old, new),
                finish(sum(&bytes)),
                "{old} to {new}"
            );
        }
    }
}
