//! Frames as a cable would carry them, made of what the kernel hands over.

use byway_sys::checksum::sum;
use byway_sys::packet::{Offload, Received, Segmentation, VlanTag};
use byway_wire::checksum::{finish, pseudo_header};
use byway_wire::flow::Address;

/// Octets of an Ethernet header without tags: what an MTU does not count.
pub(crate) const ETHERNET: usize = 14;
/// Octets of a VLAN tag.
pub(crate) const TAG: usize = 4;
/// Tags in a frame that are walked past.
const TAGS_MAX: usize = 4;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: [u16; 2] = [0x8100, 0x88a8];

const TCP_PROTOCOL: u8 = 6;
const UDP_PROTOCOL: u8 = 17;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// The frame cannot be completed: it is not what the kernel says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incompletable;

/// Does what the sender left undone: gives `each` one or more complete frames, in their order.
/// `scratch` is room to build them in.
pub(crate) fn complete(
    received: &Received<'_>,
    scratch: &mut Vec<u8>,
    mut each: impl FnMut(&[u8]),
) -> Result<(), Incompletable> {
    match received.offload {
        Offload::None if received.vlan.is_none() => each(received.bytes),
        Offload::None => {
            replace(scratch, received.bytes);
            each(tagged(scratch, received.vlan));
        }
        Offload::Checksum { start, offset } => {
            replace(scratch, received.bytes);
            fill_checksum(scratch, start.into(), offset.into()).ok_or(Incompletable)?;
            each(tagged(scratch, received.vlan));
        }
        Offload::Segments { kind, size, start } => {
            let large = Large::parse(received.bytes, kind, size, start).ok_or(Incompletable)?;
            for number in 0..large.segments() {
                large.cut(number, scratch).ok_or(Incompletable)?;
                each(tagged(scratch, received.vlan));
            }
        }
        Offload::Unknown => return Err(Incompletable),
    }
    Ok(())
}

fn replace(scratch: &mut Vec<u8>, bytes: &[u8]) {
    scratch.clear();
    scratch.extend_from_slice(bytes);
}

/// Puts a VLAN tag back to where it was taken from.
fn tagged(frame: &mut Vec<u8>, vlan: Option<VlanTag>) -> &[u8] {
    if let (Some(vlan), true) = (vlan, frame.len() >= ETHERNET) {
        let [p0, p1] = vlan.protocol.to_be_bytes();
        let [c0, c1] = vlan.control.to_be_bytes();
        frame.splice(12..12, [p0, p1, c0, c1]);
    }
    frame
}

/// Where the IP header starts, in a frame that has one.
pub(crate) fn ip_start(frame: &[u8]) -> Option<usize> {
    let mut at = ETHERNET - 2;
    for _ in 0..=TAGS_MAX {
        match u16_at(frame, at)? {
            IPV4 | IPV6 => return Some(at + 2),
            tag if VLAN.contains(&tag) => at += TAG,
            _ => return None,
        }
    }
    None
}

/// How many octets longer than the MTU says the frame may be: its Ethernet header and, as
/// everywhere, one tag.
pub(crate) fn overhead(frame: &[u8]) -> usize {
    match u16_at(frame, ETHERNET - 2) {
        Some(tag) if VLAN.contains(&tag) => ETHERNET + TAG,
        _ => ETHERNET,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let octets = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*octets))
}

fn put_u16(bytes: &mut [u8], at: usize, value: u16) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut::<2>()? = value.to_be_bytes();
    Some(())
}

/// Fills in the checksum over everything from `start` on. The field holds the sum of the pseudo
/// header until then.
fn fill_checksum(frame: &mut [u8], start: usize, offset: usize) -> Option<()> {
    let covered = frame.get(start..)?;
    let checksum = finish(sum(covered));
    // UDP's zero means "no checksum", and the other form of zero is the same sum.
    let checksum = if checksum == 0 && offset == UDP_CHECKSUM {
        0xffff
    } else {
        checksum
    };
    put_u16(frame, start + offset, checksum)
}

const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;

/// A packet that is many packets.
struct Large<'a> {
    bytes: &'a [u8],
    kind: Segmentation,
    size: usize,
    /// Where the IP header, the transport header and the payload start.
    network: usize,
    transport: usize,
    payload: usize,
    /// What the pseudo header needs.
    addresses: (Address, Address),
}

impl<'a> Large<'a> {
    fn parse(bytes: &'a [u8], kind: Segmentation, size: u16, start: u16) -> Option<Self> {
        let (network, transport) = (ip_start(bytes)?, usize::from(start));
        let header = bytes.get(network..transport)?;
        let addresses = match header.first()? >> 4 {
            4 => {
                let octets = header.get(12..20)?;
                let (source, destination) = octets.split_first_chunk::<4>()?;
                let destination = destination.first_chunk::<4>()?;
                (Address::v4(*source), Address::v4(*destination))
            }
            6 => {
                let octets = header.get(8..40)?;
                let (source, destination) = octets.split_first_chunk::<16>()?;
                let destination = destination.first_chunk::<16>()?;
                (Address::v6(*source), Address::v6(*destination))
            }
            _ => return None,
        };
        let transport_len = match kind {
            Segmentation::Tcp => usize::from(bytes.get(transport + 12)? >> 4) * 4,
            Segmentation::Udp => 8,
        };
        let payload = transport + transport_len;
        let minimum = if kind == Segmentation::Tcp { 20 } else { 8 };
        (transport_len >= minimum && payload <= bytes.len()).then_some(Self {
            bytes,
            kind,
            size: size.into(),
            network,
            transport,
            payload,
            addresses,
        })
    }

    fn segments(&self) -> usize {
        let payload = self.bytes.len() - self.payload;
        payload.div_ceil(self.size).max(1)
    }

    /// Builds segment `number` in `out`.
    fn cut(&self, number: usize, out: &mut Vec<u8>) -> Option<()> {
        let from = self.payload + number * self.size;
        let to = self.bytes.len().min(from + self.size);
        replace(out, self.bytes.get(..self.payload)?);
        out.extend_from_slice(self.bytes.get(from..to)?);
        self.finish_network(number, out)?;
        let (protocol, checksum) = match self.kind {
            Segmentation::Tcp => {
                self.finish_tcp(number, out)?;
                (TCP_PROTOCOL, TCP_CHECKSUM)
            }
            Segmentation::Udp => {
                let len = out.len() - self.transport;
                put_u16(out, self.transport + 4, len as u16)?;
                (UDP_PROTOCOL, UDP_CHECKSUM)
            }
        };
        let len = (out.len() - self.transport) as u32;
        let (source, destination) = &self.addresses;
        let pseudo = pseudo_header(source, destination, protocol, len);
        put_u16(out, self.transport + checksum, pseudo as u16)?;
        fill_checksum(out, self.transport, checksum)
    }

    /// Lengths, and with IPv4 the identification and the checksum of the header.
    fn finish_network(&self, number: usize, out: &mut [u8]) -> Option<()> {
        let len = out.len() - self.network;
        if out.get(self.network)? >> 4 == 6 {
            return put_u16(out, self.network + 4, (len - 40) as u16);
        }
        put_u16(out, self.network + 2, len as u16)?;
        let identification = u16_at(out, self.network + 4)?.wrapping_add(number as u16);
        put_u16(out, self.network + 4, identification)?;
        put_u16(out, self.network + 10, 0)?;
        let checksum = finish(sum(out.get(self.network..self.transport)?));
        put_u16(out, self.network + 10, checksum)
    }

    /// The sequence number, and the flags that belong to one end of the whole.
    fn finish_tcp(&self, number: usize, out: &mut [u8]) -> Option<()> {
        let header = out.get_mut(self.transport..)?;
        let sequence = header.get_mut(4..)?.first_chunk_mut::<4>()?;
        let offset = (number * self.size) as u32;
        *sequence = u32::from_be_bytes(*sequence)
            .wrapping_add(offset)
            .to_be_bytes();
        let flags = header.get_mut(13)?;
        if number > 0 {
            *flags &= !CWR;
        }
        if number + 1 < self.segments() {
            *flags &= !(FIN | PSH);
        }
        Some(())
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
