//! Wrong bits in a frame.

use crate::frame;

/// Longest burst, in bits. The Internet checksum finds every burst up to this length in what it
/// covers; one of 16 bits could turn a word of zeros into one of ones, which is the same to it.
const BURST_BITS: u64 = 15;

/// A burst of wrong bits: the first and the last are wrong, those between by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where, as a part of 2^64 of what there is to damage.
    place: u64,
    /// The wrong bits, the first of them the highest.
    flips: u16,
    /// Bits from the first wrong one to the last.
    length: u32,
}

impl Damage {
    /// From random bits.
    pub(crate) fn new(place: u64, shape: u64) -> Self {
        let length = (shape % BURST_BITS) as u32 + 1;
        let inner = (shape >> 32) as u16;
        let ends = 0x8000 | (0x8000 >> (length - 1));
        Self {
            place,
            flips: (inner | ends) & (u16::MAX << (16 - length)),
            length,
        }
    }

    /// Turns bits of an IP packet around, anywhere behind the Ethernet header and its VLAN tags.
    /// False for other frames, which stay whole.
    pub fn apply(&self, frame: &mut [u8]) -> bool {
        let Some(packet) = frame::ip_start(frame).and_then(|start| frame.get_mut(start..)) else {
            return false;
        };
        let Some(places) = (packet.len() as u64 * 8).checked_sub(u64::from(self.length)) else {
            return false;
        };
        let place = (u128::from(self.place) * (u128::from(places) + 1)) >> 64;
        let (octet, shift) = ((place / 8) as usize, (place % 8) as u32);
        let wrong = (u32::from(self.flips) << 8 >> shift).to_be_bytes();
        for (octet, wrong) in packet[octet..].iter_mut().zip(&wrong[1..]) {
            *octet ^= wrong;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use byway_wire::checksum;
    use proptest::prelude::*;

    fn ip_frame(len: usize) -> Vec<u8> {
        let mut frame = vec![0x5a; len];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame
    }

    proptest! {
        #[test]
        fn every_burst_is_short_and_breaks_the_checksum(
            place: u64, shape: u64, payload in proptest::collection::vec(any::<u8>(), 2..64),
        ) {
            let mut frame = ip_frame(14);
            frame.extend(&payload);
            let whole = frame.clone();
            prop_assert!(Damage::new(place, shape).apply(&mut frame));
            prop_assert_eq!(&frame[..14], &whole[..14]);
            let bits: Vec<usize> = (0..frame.len() * 8)
                .filter(|bit| (frame[bit / 8] ^ whole[bit / 8]) & (0x80 >> (bit % 8)) != 0)
                .collect();
            prop_assert!(!bits.is_empty());
            prop_assert!(bits[bits.len() - 1] - bits[0] < 15);
            let sum = |bytes: &[u8]| checksum::finish(checksum::sum(&bytes[14..]));
            prop_assert_ne!(sum(&frame), sum(&whole));
        }
    }

    #[test]
    fn both_ends_of_a_packet_can_be_hit() {
        for (place, octet) in [(0, 14), (u64::MAX, 33)] {
            let mut frame = ip_frame(34);
            let whole = frame.clone();
            Damage::new(place, 0).apply(&mut frame);
            assert_ne!(frame[octet], whole[octet]);
        }
    }

    #[test]
    fn what_has_no_checksum_stays_whole() {
        let mut arp = ip_frame(42);
        arp[12..14].copy_from_slice(&[0x08, 0x06]);
        let whole = arp.clone();
        assert!(!Damage::new(1 << 63, 99).apply(&mut arp));
        assert_eq!(arp, whole);
        for len in 14..16 {
            let mut short = ip_frame(len);
            assert!(!Damage::new(1 << 63, 14).apply(&mut short), "{len}");
        }
        assert!(!Damage::new(0, 0).apply(&mut [1, 2, 3]));
    }

    #[test]
    fn packets_behind_tags_are_found() {
        let mut tagged = vec![0x5a; 60];
        tagged[12..20].copy_from_slice(&[0x88, 0xa8, 0, 1, 0x81, 0x00, 0, 2]);
        tagged[20..22].copy_from_slice(&[0x86, 0xdd]);
        let whole = tagged.clone();
        assert!(Damage::new(0, 0).apply(&mut tagged));
        assert_eq!(tagged[..22], whole[..22]);
        assert_ne!(tagged[22], whole[22]);
    }
}
