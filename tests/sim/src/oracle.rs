//! The bytes that streams consist of: each octet depends on its stream and on its place.

use byway_stack::random::SplitMix;
use std::sync::OnceLock;

/// The period of a stream. A prime, so that no power of two and no segment size divides it: bytes
/// that end up in a wrong place are wrong bytes.
const PERIOD: usize = 131_071;
/// The longest piece that can be asked for at once.
pub(crate) const PIECE: usize = 1 << 16;

fn table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut bytes = vec![0; PERIOD];
        SplitMix::new(0x5eed).fill(&mut bytes);
        bytes.extend_from_within(..PIECE);
        bytes
    })
}

/// One direction of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream(usize);

impl Stream {
    /// The stream that a side of a connection sends.
    pub(crate) fn new(seed: u64, connection: usize, side: usize) -> Self {
        let start = SplitMix::new(seed ^ ((connection as u64) << 8 | side as u64)).next_u64();
        Self((start % PERIOD as u64) as usize)
    }

    /// The octets from `at` on, at most [`PIECE`].
    pub(crate) fn piece(self, at: u64, len: usize) -> &'static [u8] {
        let start = ((self.0 as u64 + at) % PERIOD as u64) as usize;
        &table()[start..start + len.min(PIECE)]
    }

    /// Where `bytes`, which should be those from `at` on, are not; none if they are right.
    pub(crate) fn mismatch(self, at: u64, bytes: &[u8]) -> Option<u64> {
        let mut at = at;
        for part in bytes.chunks(PIECE) {
            let expected = self.piece(at, part.len());
            if expected != part {
                let same = expected.iter().zip(part).take_while(|(a, b)| a == b);
                return Some(at + same.count() as u64);
            }
            at += part.len() as u64;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_octet_out_of_place_is_found() {
        let (mine, other) = (Stream::new(1, 0, 0), Stream::new(1, 0, 1));
        let bytes = mine.piece(PERIOD as u64 - 5, 1000);
        assert_eq!(mine.mismatch(PERIOD as u64 - 5, bytes), None);
        assert!(mine.mismatch(PERIOD as u64 - 4, bytes).is_some());
        assert!(other.mismatch(PERIOD as u64 - 5, bytes).is_some());
        let mut wrong = bytes.to_vec();
        wrong[700] ^= 1;
        assert_eq!(
            mine.mismatch(PERIOD as u64 - 5, &wrong),
            Some(PERIOD as u64 + 695)
        );
    }
}
