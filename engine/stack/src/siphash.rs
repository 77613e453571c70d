//! SipHash-1-3 (Aumasson and Bernstein) of messages whose length is known when the program is
//! compiled: no buffer, no loop, no look at a length.

/// A key, mixed with the constants of the algorithm: the state before the first word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SipKey([u64; 4]);

impl SipKey {
    pub(crate) const fn new(key: [u64; 2]) -> Self {
        Self([
            key[0] ^ 0x736f_6d65_7073_6575,
            key[1] ^ 0x646f_7261_6e64_6f6d,
            key[0] ^ 0x6c79_6765_6e65_7261,
            key[1] ^ 0x7465_6462_7974_6573,
        ])
    }

    /// The hash of a message, given as the words that the algorithm makes of it: eight octets each,
    /// the first the lowest, and in the highest octet of the last one the length of the message.
    #[inline]
    pub(crate) fn hash<const WORDS: usize>(&self, message: [u64; WORDS]) -> u64 {
        let mut state = self.0;
        for word in message {
            state[3] ^= word;
            round(&mut state);
            state[0] ^= word;
        }
        state[2] ^= 0xff;
        for _ in 0..3 {
            round(&mut state);
        }
        state[0] ^ state[1] ^ state[2] ^ state[3]
    }
}

#[inline]
const fn round(state: &mut [u64; 4]) {
    let [mut v0, mut v1, mut v2, mut v3] = *state;
    v0 = v0.wrapping_add(v1);
    v2 = v2.wrapping_add(v3);
    v1 = v1.rotate_left(13) ^ v0;
    v3 = v3.rotate_left(16) ^ v2;
    v0 = v0.rotate_left(32).wrapping_add(v3);
    v2 = v2.wrapping_add(v1);
    v3 = v3.rotate_left(21) ^ v0;
    v1 = v1.rotate_left(17) ^ v2;
    v2 = v2.rotate_left(32);
    *state = [v0, v1, v2, v3];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix;
    use siphasher::sip::SipHasher13;

    /// The words of a message as the algorithm has them.
    fn words<const WORDS: usize>(message: &[u8]) -> [u64; WORDS] {
        assert_eq!(message.len() / 8 + 1, WORDS);
        let mut padded = message.to_vec();
        padded.resize(8 * WORDS, 0);
        padded[8 * WORDS - 1] = message.len() as u8;
        core::array::from_fn(|at| u64::from_le_bytes(padded[8 * at..][..8].try_into().unwrap()))
    }

    #[test]
    fn hashes_are_those_of_another_implementation() {
        let mut random = SplitMix::new(3);
        for _ in 0..1000 {
            let key = [random.next_u64(), random.next_u64()];
            let (ours, theirs) = (SipKey::new(key), SipHasher13::new_with_keys(key[0], key[1]));
            let mut message = [0; 36];
            random.fill(&mut message);
            assert_eq!(
                ours.hash(words::<1>(&message[..7])),
                theirs.hash(&message[..7])
            );
            assert_eq!(
                ours.hash(words::<2>(&message[..12])),
                theirs.hash(&message[..12])
            );
            assert_eq!(
                ours.hash(words::<3>(&message[..16])),
                theirs.hash(&message[..16])
            );
            assert_eq!(ours.hash(words::<5>(&message)), theirs.hash(&message));
        }
    }
}
