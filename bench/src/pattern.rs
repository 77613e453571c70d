//! The octets of a request, different for each connection and each request, so that a response
//! that belongs to another request, or is a stale buffer, cannot count as a success.

/// The tag of request `number` on connection `connection`.
pub(crate) fn tag(connection: u64, number: u64) -> u64 {
    // The finalizer of a 64-bit mixing function: neighbouring requests share no bytes.
    let mut x = connection.rotate_left(40) ^ number ^ 0x9e37_79b9_7f4a_7c15;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The word of the pattern at word index `index`.
fn word(tag: u64, index: usize) -> [u8; 8] {
    tag.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .to_le_bytes()
}

/// Fills `out` with the pattern of `tag`, from its start.
pub(crate) fn fill(out: &mut [u8], tag: u64) {
    for (index, chunk) in out.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&word(tag, index)[..chunk.len()]);
    }
}

/// True when `bytes` is the part of the pattern of `tag` that starts `offset` octets in.
pub(crate) fn matches(bytes: &[u8], offset: usize, tag: u64) -> bool {
    let lead = (8 - offset % 8) % 8;
    let (head, body) = bytes.split_at(lead.min(bytes.len()));
    let within = offset % 8;
    let head_matches = head.is_empty() || *head == word(tag, offset / 8)[within..][..head.len()];
    let first = offset.div_ceil(8);
    head_matches
        && body
            .chunks(8)
            .enumerate()
            .all(|(index, chunk)| *chunk == word(tag, first + index)[..chunk.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_split_of_a_response_matches() {
        let mut bytes = [0; 61];
        fill(&mut bytes, tag(3, 9));
        for cut in 0..=bytes.len() {
            assert!(matches(&bytes[..cut], 0, tag(3, 9)));
            assert!(matches(&bytes[cut..], cut, tag(3, 9)), "cut at {cut}");
        }
        for start in 0..bytes.len() {
            for end in start..bytes.len() {
                assert!(matches(&bytes[start..end], start, tag(3, 9)));
            }
        }
    }

    #[test]
    fn any_wrong_octet_is_found() {
        let mut bytes = [0; 64];
        fill(&mut bytes, tag(1, 1));
        for at in 0..64 {
            bytes[at] ^= 1;
            assert!(!matches(&bytes, 0, tag(1, 1)), "octet {at}");
            bytes[at] ^= 1;
        }
        assert!(
            !matches(&bytes, 0, tag(1, 2)),
            "the previous request's response"
        );
        assert!(
            !matches(&bytes, 0, tag(2, 1)),
            "another connection's response"
        );
    }
}
