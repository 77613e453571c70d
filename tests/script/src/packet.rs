//! Packets of the peer, written here octet by octet: a second opinion beside the code under test.

use crate::parse_segment::SYN;
use crate::script::IcmpKind;
use byway_wire::{Address, checksum};

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// Octets of the quoted packet in an ICMP error, at most.
const QUOTED: usize = 128;

/// A TCP segment of the peer, with all numbers as on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) ports: (u16, u16),
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) ecn: u8,
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) bad_checksum: bool,
}

/// An octet of either stream, by its place: so that every octet that arrives can be checked.
pub(crate) fn octet(place: i64) -> u8 {
    (place.wrapping_mul(7).wrapping_add(place / 251) as u8) ^ 0x5a
}

/// The place in the stream of the first octet of a segment whose sequence number is so far after
/// the initial one.
pub(crate) fn place(relative: i64, flags: u8) -> i64 {
    // The SYN has the place before the first octet.
    relative - i64::from(flags & SYN == 0)
}

/// The IP packet with a segment.
pub(crate) fn tcp(source: Address, destination: Address, segment: &Wire) -> Vec<u8> {
    let mut options = segment.options.clone();
    options.resize(options.len().next_multiple_of(4), 0);
    let words = (20 + options.len()) / 4;
    let mut l4 = Vec::with_capacity(60 + segment.payload.len());
    l4.extend(segment.ports.0.to_be_bytes());
    l4.extend(segment.ports.1.to_be_bytes());
    l4.extend(segment.seq.to_be_bytes());
    l4.extend(segment.ack.to_be_bytes());
    l4.extend([(words as u8) << 4, segment.flags]);
    l4.extend(segment.window.to_be_bytes());
    l4.extend([0, 0]);
    l4.extend(segment.urgent.to_be_bytes());
    l4.extend(options);
    l4.extend(&segment.payload);
    let pseudo = checksum::pseudo_header(&source, &destination, TCP, l4.len() as u32);
    let mut sum = checksum::finish(pseudo + checksum::sum(&l4));
    if segment.bad_checksum {
        sum ^= 0x0101;
    }
    l4[16..18].copy_from_slice(&sum.to_be_bytes());
    ip(source, destination, TCP, segment.ecn, &l4)
}

fn ip(source: Address, destination: Address, protocol: u8, ecn: u8, l4: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(40 + l4.len());
    let (Some(from), Some(to)) = (source.as_v4(), destination.as_v4()) else {
        packet.extend([0x60, ecn << 4, 0, 0]);
        packet.extend((l4.len() as u16).to_be_bytes());
        packet.extend([protocol, 64]);
        packet.extend(source.octets());
        packet.extend(destination.octets());
        packet.extend(l4);
        return packet;
    };
    packet.extend([0x45, ecn]);
    packet.extend((20 + l4.len() as u16).to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(from);
    packet.extend(to);
    let sum = checksum::finish(checksum::sum(&packet));
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(l4);
    packet
}

/// The IP packet with an ICMP error that quotes `quoted`.
pub(crate) fn icmp(
    source: Address,
    destination: Address,
    kind: IcmpKind,
    quoted: &[u8],
) -> Result<Vec<u8>, String> {
    let v4 = source.is_v4();
    let (message, code, rest): (u8, u8, u32) = match (kind, v4) {
        (IcmpKind::NetUnreachable, true) => (3, 0, 0),
        (IcmpKind::HostUnreachable, true) => (3, 1, 0),
        (IcmpKind::ProtocolUnreachable, true) => (3, 2, 0),
        (IcmpKind::PortUnreachable, true) => (3, 3, 0),
        (IcmpKind::Prohibited, true) => (3, 13, 0),
        (IcmpKind::TooBig(mtu), true) => (3, 4, mtu),
        (IcmpKind::TimeExceeded, true) => (11, 0, 0),
        (IcmpKind::SourceQuench, true) => (4, 0, 0),
        (IcmpKind::NetUnreachable, false) => (1, 0, 0),
        (IcmpKind::HostUnreachable, false) => (1, 3, 0),
        (IcmpKind::ProtocolUnreachable, false) => (4, 1, 6),
        (IcmpKind::PortUnreachable, false) => (1, 4, 0),
        (IcmpKind::Prohibited, false) => (1, 1, 0),
        (IcmpKind::TooBig(mtu), false) => (2, 0, mtu),
        (IcmpKind::TimeExceeded, false) => (3, 0, 0),
        (IcmpKind::SourceQuench, false) => return Err("ICMPv6 has no source quench".into()),
    };
    let mut l4 = vec![message, code, 0, 0];
    l4.extend(rest.to_be_bytes());
    l4.extend(&quoted[..quoted.len().min(QUOTED)]);
    let (protocol, pseudo) = if v4 {
        (ICMP, 0)
    } else {
        let len = l4.len() as u32;
        let pseudo = checksum::pseudo_header(&source, &destination, ICMPV6, len);
        (ICMPV6, pseudo)
    };
    let sum = checksum::finish(pseudo + checksum::sum(&l4));
    l4[2..4].copy_from_slice(&sum.to_be_bytes());
    Ok(ip(source, destination, protocol, 0, &l4))
}
