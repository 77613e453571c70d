//! ICMP errors: of a router whose next hop is too narrow, and made up by somebody.

use crate::wire::{Segment, flag, fold, sum};
use byway_stack::random::SplitMix;

const ETHERNET_LEN: usize = 14;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// Octets of a transport header that every error quotes: ports and sequence number (RFC 792).
const LEAST_QUOTE: usize = 8;
/// Longest errors: of IPv4 (RFC 1812 §4.3.2.3) and of IPv6 (RFC 4443 §2.4).
const LONGEST: (usize, usize) = (576, 1280);

fn is_v4(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0]
}

fn header_len(frame: &[u8]) -> usize {
    if is_v4(frame) {
        usize::from(frame[ETHERNET_LEN] & 15) * 4
    } else {
        40
    }
}

/// Writes what a router answers to the sender of `frame`, which a hop of `mtu` octets cannot take;
/// zero for a router that does not tell (RFC 1191 §5). It quotes `quote` octets of the packet if
/// they fit, and the ports and the sequence number in any case. Returns the length of the frame.
pub(crate) fn too_big(frame: &[u8], mtu: u16, quote: usize, into: &mut [u8]) -> u16 {
    let packet = &frame[ETHERNET_LEN..];
    let (v4, header) = (is_v4(frame), header_len(frame));
    let outer = if v4 { 20 } else { 40 };
    let longest = if v4 { LONGEST.0 } else { LONGEST.1 };
    let least = header + LEAST_QUOTE;
    let quoted = &packet[..quote.clamp(least, longest - outer - 8).min(packet.len())];
    into[..6].copy_from_slice(&frame[6..12]);
    into[6..12].copy_from_slice(&frame[..6]);
    into[12..14].copy_from_slice(&frame[12..14]);
    let len = outer + 8 + quoted.len();
    let answer = &mut into[ETHERNET_LEN..ETHERNET_LEN + len];
    let (ip, message) = answer.split_at_mut(outer);
    message[8..].copy_from_slice(quoted);
    message[..8].fill(0);
    message[6..8].copy_from_slice(&mtu.to_be_bytes());
    ip.fill(0);
    if v4 {
        message[..2].copy_from_slice(&[3, 4]);
        ip[0] = 0x45;
        ip[8..10].copy_from_slice(&[64, ICMP]);
        ip[12..16].copy_from_slice(&[10, 0, 9, 9]);
        ip[16..20].copy_from_slice(&packet[12..16]);
    } else {
        message[0] = 2;
        ip[0] = 0x60;
        ip[6..8].copy_from_slice(&[ICMPV6, 64]);
        ip[8..10].copy_from_slice(&[0xfd, 9]);
        ip[24..40].copy_from_slice(&packet[8..24]);
    }
    seal(&mut into[..ETHERNET_LEN + len]);
    (ETHERNET_LEN + len) as u16
}

/// Fills in lengths and checksums.
fn seal(frame: &mut [u8]) {
    let v4 = is_v4(frame);
    let outer = if v4 { 20 } else { 40 };
    let (ip, message) = frame[ETHERNET_LEN..].split_at_mut(outer);
    let payload = message.len() as u16;
    let mut pseudo = 0;
    if v4 {
        ip[2..4].copy_from_slice(&(20 + payload).to_be_bytes());
        ip[10..12].fill(0);
        let checksum = !fold(sum(ip));
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    } else {
        ip[4..6].copy_from_slice(&payload.to_be_bytes());
        pseudo = sum(&ip[8..40]) + u64::from(ICMPV6) + u64::from(payload);
    }
    message[2..4].fill(0);
    let checksum = !fold(sum(message) + pseudo);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
}

/// Somebody who sends errors that are to be ignored, to a host that has just been sent something.
#[derive(Debug)]
pub(crate) struct Forger {
    random: SplitMix,
    share: f64,
}

/// What is wrong with a forged error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    OtherFlow,
    OutOfWindow,
    Checksum,
    /// It quotes what somebody else sent.
    Source,
    /// The hop it speaks of takes all that is sent.
    Wide,
    /// It is too short to tell what it is about.
    Cut,
}

impl Lie {
    const ALL: [Self; 6] = [
        Self::OtherFlow,
        Self::OutOfWindow,
        Self::Checksum,
        Self::Source,
        Self::Wide,
        Self::Cut,
    ];
}

/// Further away from what was just acknowledged than any stream is long.
const FAR: u64 = 1 << 24;

impl Forger {
    pub(crate) fn new(seed: u64, share: f64) -> Self {
        Self {
            random: SplitMix::new(seed ^ 0xf0_9e_d1),
            share,
        }
    }

    /// Whether an error is to follow this segment.
    pub(crate) fn wants(&mut self, segment: &Segment) -> bool {
        self.share > 0.0 && self.random.chance(self.share) && segment.has(flag::ACK)
    }

    /// Writes an error for the receiver of `frame`. Returns the length of the frame.
    pub(crate) fn forge(&mut self, frame: &[u8], segment: &Segment, into: &mut [u8]) -> u16 {
        let lie = Lie::ALL[self.random.below(Lie::ALL.len() as u64) as usize];
        let header = header_len(frame);
        let tcp = ETHERNET_LEN + header;
        let mut quoted = [0; ETHERNET_LEN + 60 + LEAST_QUOTE];
        let quoted = &mut quoted[..tcp + LEAST_QUOTE];
        quoted.copy_from_slice(&frame[..tcp + LEAST_QUOTE]);
        // As if it went the other way.
        swap(&mut quoted[..12], 6);
        let addresses = if is_v4(frame) { 8 } else { 32 };
        swap(&mut quoted[tcp - addresses..tcp], addresses / 2);
        swap(&mut quoted[tcp..tcp + 4], 2);
        let distance = (FAR + self.random.below((1 << 31) - 2 * FAR)) as u32;
        let seq = match lie {
            Lie::OutOfWindow if self.random.chance(0.5) => segment.ack.wrapping_sub(distance),
            Lie::OutOfWindow => segment.ack.wrapping_add(distance),
            _ => segment.ack,
        };
        quoted[tcp + 4..].copy_from_slice(&seq.to_be_bytes());
        if lie == Lie::OtherFlow {
            quoted[tcp] ^= 0x40;
        }
        let mtu = match lie {
            Lie::Wide => 1500 + self.random.below(64_000) as u16,
            _ => 1280 - self.random.below(2) as u16 * 700,
        };
        let len = usize::from(too_big(quoted, mtu, 0, into));
        match lie {
            Lie::Checksum => into[len - 1] ^= 1,
            Lie::Source => {
                // The last octet of the source that the quoted packet has.
                into[len - LEAST_QUOTE - addresses / 2 - 1] ^= 0x40;
                seal(&mut into[..len]);
            }
            Lie::Cut => {
                seal(&mut into[..len - 5]);
                return len as u16 - 5;
            }
            _ => {}
        }
        len as u16
    }
}

/// Exchanges the two halves of `bytes`.
fn swap(bytes: &mut [u8], half: usize) {
    let (a, b) = bytes.split_at_mut(half);
    a.swap_with_slice(b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use byway_wire::frame::{self, Packet};
    use byway_wire::icmp::Kind;

    fn sample(v4: bool) -> Vec<u8> {
        crate::wire::tests::frame(v4)
    }

    fn error(bytes: &[u8]) -> byway_wire::icmp::IcmpError {
        match frame::parse(bytes) {
            Packet::IcmpError(error) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_engine_understands_what_a_router_says() {
        for v4 in [true, false] {
            for quote in [0, 60, 2000] {
                let mut memory = vec![0xff; 2048];
                let sent = sample(v4);
                let len = too_big(&sent, 1300, quote, &mut memory);
                let error = error(&memory[..usize::from(len)]);
                assert_eq!((error.kind, error.mtu), (Kind::TooBig, 1300));
                assert_eq!(error.quoted.local.port, 1000);
                assert_eq!(error.seq.get(), u32::MAX);
                assert_eq!(memory[..6], sent[6..12]);
            }
        }
    }

    /// Each lie is one for the reason it is meant to be, and not because all of it is garbage.
    #[test]
    fn what_is_forged_is_wrong_in_one_thing() {
        for v4 in [true, false] {
            let bytes = sample(v4);
            let segment = crate::wire::parse(&bytes).unwrap();
            let mut forger = Forger::new(1, 1.0);
            let (mut readable, mut unreadable) = (0, 0);
            for _ in 0..600 {
                let mut memory = vec![0; 2048];
                let len = usize::from(forger.forge(&bytes, &segment, &mut memory));
                let Packet::IcmpError(error) = frame::parse(&memory[..len]) else {
                    unreadable += 1;
                    continue;
                };
                readable += 1;
                let Packet::Tcp(genuine) = frame::parse(&bytes) else {
                    panic!("a segment");
                };
                let ours = error.quoted == genuine.flow;
                let near = error.seq.get() == segment.ack;
                assert!(!ours || !near || error.mtu >= 1500);
            }
            assert!((230..370).contains(&readable), "{readable}");
            assert!((230..370).contains(&unreadable), "{unreadable}");
        }
    }
}
