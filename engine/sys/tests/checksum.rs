//! Every implementation of the checksum against the portable one of byway-wire.

use byway_sys::checksum::{self, Implementation};

const LONGEST: usize = 2100;
const OFFSETS: usize = 64;
/// Octets around the destination of a copy, which have to stay as they are.
const GUARD: usize = 64;

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

fn available() -> impl Iterator<Item = Implementation> {
    Implementation::ALL
        .into_iter()
        .filter(|one| one.is_available())
}

#[test]
fn sums_agree_at_every_length_and_offset() {
    let octets = noise(LONGEST + OFFSETS);
    for offset in 0..OFFSETS {
        for len in 0..=LONGEST {
            let bytes = &octets[offset..offset + len];
            let expected = byway_wire::checksum::sum(bytes);
            for one in available() {
                assert_eq!(
                    one.sum(bytes),
                    expected,
                    "{one:?}, {len} octets at {offset}"
                );
            }
        }
    }
}

#[test]
fn copies_agree_at_every_length_and_offset() {
    let octets = noise(LONGEST + OFFSETS);
    let mut room = vec![0xa5; GUARD + OFFSETS + LONGEST + GUARD];
    for offset in 0..OFFSETS {
        for len in 0..=LONGEST {
            let bytes = &octets[offset..offset + len];
            let expected = byway_wire::checksum::sum(bytes);
            // Source and destination are aligned differently.
            let start = GUARD + offset * 5 % OFFSETS;
            let end = start + len;
            for one in available() {
                let sum = one.copy_sum(&mut room[start..end], bytes);
                assert_eq!(sum, expected, "{one:?}, {len} octets at {offset}");
                assert_eq!(
                    &room[start..end],
                    bytes,
                    "{one:?}, {len} octets at {offset}"
                );
                let around = [&room[start - GUARD..start], &room[end..end + GUARD]];
                assert_eq!(
                    around, [&[0xa5; GUARD]; 2],
                    "{one:?}, {len} octets at {offset}"
                );
                room[start..end].fill(0xa5);
            }
        }
    }
}

/// The function that everybody uses has a way of its own for short slices.
#[test]
fn the_sum_in_use_agrees_at_every_length_and_offset() {
    let octets = noise(LONGEST + OFFSETS);
    for offset in 0..OFFSETS {
        for len in 0..=300 {
            let bytes = &octets[offset..offset + len];
            let expected = byway_wire::checksum::sum(bytes);
            assert_eq!(checksum::sum(bytes), expected, "{len} octets at {offset}");
        }
    }
    for len in 0..=300 {
        for octet in [0x00, 0x01, 0x80, 0xff] {
            let bytes = vec![octet; len];
            let expected = byway_wire::checksum::sum(&bytes);
            assert_eq!(checksum::sum(&bytes), expected, "{len} octets of {octet}");
        }
        // Words of ones and a single one: what was carried carries once more.
        for at in 0..len / 8 {
            let mut bytes = vec![0xff; len];
            bytes[8 * at..][..8].copy_from_slice(&1u64.to_ne_bytes());
            let expected = byway_wire::checksum::sum(&bytes);
            assert_eq!(checksum::sum(&bytes), expected, "{len} octets, word {at}");
        }
    }
}

#[test]
fn carries_are_not_lost() {
    for one in available() {
        for len in [1, 2, 63, 64, 1460, 65_535, 1 << 20, (1 << 22) + 1] {
            for octet in [0x00, 0x01, 0x80, 0xff] {
                let bytes = vec![octet; len];
                let expected = byway_wire::checksum::sum(&bytes);
                assert_eq!(
                    one.sum(&bytes),
                    expected,
                    "{one:?}, {len} octets of {octet}"
                );
                let mut copy = vec![0x55; len];
                assert_eq!(one.copy_sum(&mut copy, &bytes), expected);
                assert_eq!(copy, bytes);
            }
        }
    }
}

#[test]
fn the_best_is_one_of_the_available() {
    assert!(available().any(|one| one == Implementation::best()));
    let bytes = noise(1460);
    assert_eq!(checksum::sum(&bytes), byway_wire::checksum::sum(&bytes));
    let mut copy = vec![0; 1460];
    assert_eq!(checksum::copy_sum(&mut copy, &bytes), checksum::sum(&bytes));
    assert_eq!(copy, bytes);
}

#[test]
#[should_panic(expected = "as much room")]
fn a_copy_needs_room() {
    checksum::copy_sum(&mut [0; 3], &[0; 4]);
}
