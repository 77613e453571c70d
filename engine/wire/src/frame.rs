//! Whole frames: parsed once on the way in, written in front of their payload on the way out.

use crate::arp::Arp;
use crate::checksum;
use crate::ethernet::{self, EtherType};
use crate::flow::{Endpoint, FlowKey};
use crate::icmp::{self, IcmpError};
use crate::ip::{self, Ecn, Fields, ICMP, ICMPV6, TCP};
use crate::malformed::Malformed;
use crate::{ipv4, ipv6, plain, tcp};
use core::ops::Range;

/// What a frame turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A TCP segment. Its checksum is not verified yet: see [`verify_tcp_checksum`].
    Tcp(TcpFrame),
    /// An ICMP error about a TCP segment; its checksum is right.
    IcmpError(IcmpError),
    /// ARP for IPv4 over Ethernet.
    Arp(Arp),
    /// A piece of a fragmented IP packet, of whatever protocol.
    Fragment,
    /// Well-formed as far as it was looked at, and nothing that TCP has to do with.
    Other,
    /// Not what it claims to be.
    Malformed(Malformed),
}

/// A TCP segment in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFrame {
    /// Addresses and tags of the frame; [`reversed`](ethernet::Header::reversed) leads back.
    pub link: ethernet::Header,
    /// The flow from our point of view: local is the destination of the segment.
    pub flow: FlowKey,
    /// The TCP header.
    pub header: tcp::Header,
    /// The ECN bits of the IP header.
    pub ecn: Ecn,
    /// TTL or hop limit.
    pub hop_limit: u8,
    l4_start: u32,
    payload_start: u32,
    end: u32,
}

impl TcpFrame {
    /// Where in the frame the TCP header and the payload are.
    #[inline]
    pub const fn l4(&self) -> Range<usize> {
        self.l4_start as usize..self.end as usize
    }

    /// Where in the frame the payload is; link-layer padding is not part of it.
    #[inline]
    pub const fn payload(&self) -> Range<usize> {
        self.payload_start as usize..self.end as usize
    }

    /// Octets of payload.
    #[inline]
    pub const fn payload_len(&self) -> u32 {
        self.end - self.payload_start
    }

    /// The payload in the frame this was parsed from.
    #[inline]
    pub fn payload_bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.payload()).unwrap_or(&[])
    }

    /// TCP header and payload in the frame this was parsed from.
    #[inline]
    pub fn l4_bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.l4()).unwrap_or(&[])
    }
}

/// Parses a frame from its Ethernet header on.
#[inline]
pub fn parse(frame: &[u8]) -> Packet {
    let Some((link, kind, start)) = ethernet::Header::parse(frame) else {
        return Packet::Malformed(Malformed::EthernetTruncated);
    };
    let packet = frame.get(start..).unwrap_or(&[]);
    // One path to the end for each family: addresses stay in registers until they are stored where
    // they belong.
    match kind {
        EtherType::IPV4 => match ipv4::parse(packet) {
            Ok(ip) => parse_upper(&link, start, &ip, packet, ICMP),
            Err(reason) => Packet::Malformed(reason),
        },
        EtherType::IPV6 => match ipv6::parse(packet) {
            Ok(ip) => parse_upper(&link, start, &ip, packet, ICMPV6),
            Err(reason) => Packet::Malformed(reason),
        },
        EtherType::ARP => Arp::parse(packet).map_or_else(Packet::Malformed, Packet::Arp),
        _ => Packet::Other,
    }
}

/// Parses what an IP packet carries; `start` is where in the frame its header is.
#[inline(always)]
fn parse_upper(
    link: &ethernet::Header,
    start: usize,
    ip: &ip::Header,
    packet: &[u8],
    icmp: u8,
) -> Packet {
    if ip.fragment {
        return Packet::Fragment;
    }
    let Some(l4) = packet.get(ip.header_len..ip.total_len) else {
        return Packet::Malformed(Malformed::IpLength);
    };
    if ip.protocol != TCP {
        return if ip.protocol == icmp {
            parse_icmp(ip, l4)
        } else {
            Packet::Other
        };
    }
    //= rfc9293 3.9.2.3 MUST-57 MUST-63
    if ip::is_no_host(&ip.src) || ip::is_no_host(&ip.dst) || link.dst.is_group() {
        return Packet::Malformed(Malformed::Address);
    }
    let Some((fixed, options)) = tcp::Header::split(l4) else {
        return Packet::Malformed(Malformed::TcpHeader);
    };
    let header = tcp::Header::read(fixed, options);
    // Two tags, an IP packet of at most 65,575 octets: the sums fit by far.
    let l4_start = (start + ip.header_len) as u32;
    Packet::Tcp(TcpFrame {
        link: *link,
        flow: FlowKey {
            local: Endpoint::new(ip.dst, header.dst_port),
            remote: Endpoint::new(ip.src, header.src_port),
        },
        header,
        ecn: ip.ecn,
        hop_limit: ip.hop_limit,
        l4_start,
        payload_start: l4_start + (fixed.len() + options.len()) as u32,
        end: l4_start + l4.len() as u32,
    })
}

#[cold]
fn parse_icmp(ip: &ip::Header, message: &[u8]) -> Packet {
    match icmp::parse(ip, message) {
        Ok(Some(error)) => Packet::IcmpError(error),
        Ok(None) => Packet::Other,
        Err(reason) => Packet::Malformed(reason),
    }
}

/// What the TCP checksum of a received segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChecksumState {
    /// It is right.
    Good,
    /// It is wrong.
    Bad,
    /// It is wrong, and exactly the sum of the pseudo header: the sender left it to hardware that
    /// a virtual link does not have (Linux's `CHECKSUM_PARTIAL`).
    PseudoHeaderOnly,
}

/// Verifies the checksum of a segment that [`parse`] found in `frame`. `sum` gives partial sums as
/// [`checksum::sum`] does.
//= rfc9293 3.1 MUST-3
#[inline]
pub fn verify_tcp_checksum(
    frame: &[u8],
    segment: &TcpFrame,
    sum: impl Fn(&[u8]) -> u32,
) -> ChecksumState {
    let l4 = segment.l4_bytes(frame);
    let FlowKey { local, remote } = &segment.flow;
    let pseudo = checksum::pseudo_header(&remote.address, &local.address, TCP, l4.len() as u32);
    if checksum::fold(pseudo + sum(l4)) == 0xffff {
        ChecksumState::Good
    } else if segment.header.checksum == checksum::fold(pseudo) {
        ChecksumState::PseudoHeaderOnly
    } else {
        ChecksumState::Bad
    }
}

/// Octets in front of the payload of a frame that [`emit_tcp`] writes: put the payload there first.
#[inline]
pub fn tcp_headers_len(link: &ethernet::Header, flow: &FlowKey, header: &tcp::Header) -> usize {
    link.header_len() + ip_header_len(flow) + header.header_len()
}

#[inline]
const fn ip_header_len(flow: &FlowKey) -> usize {
    if flow.local.address.is_v4() {
        ipv4::MIN_HEADER_LEN
    } else {
        ipv6::HEADER_LEN
    }
}

/// Writes Ethernet, IP and TCP headers in front of `payload_len` octets of payload that are already
/// in `frame`, [`tcp_headers_len`] from its start: the length of the whole frame. Ports come from
/// `flow`, not from `header`, and the checksum is computed with `sum`, which gives partial sums as
/// [`checksum::sum`] does. `fields` may be just the ECN bits.
///
/// `None` when `frame` is too short, the packet longer than IP can say, or the ends of the flow are
/// of two families.
#[inline]
pub fn emit_tcp(
    frame: &mut [u8],
    link: &ethernet::Header,
    flow: &FlowKey,
    header: &tcp::Header,
    fields: impl Into<Fields>,
    payload_len: usize,
    sum: impl Fn(&[u8]) -> u32,
) -> Option<usize> {
    let start = tcp_headers_len(link, flow, header);
    let payload_sum = sum(frame.get(start..start.checked_add(payload_len)?)?);
    emit_tcp_summed(frame, link, flow, header, fields, payload_len, payload_sum)
}

/// As [`emit_tcp`], with the sum of the payload known already, from copying it for example: one
/// partial sum, or several added (see [`checksum::join`] for pieces of odd length).
//= rfc9293 3.1 MUST-2
#[inline]
pub fn emit_tcp_summed(
    frame: &mut [u8],
    link: &ethernet::Header,
    flow: &FlowKey,
    header: &tcp::Header,
    fields: impl Into<Fields>,
    payload_len: usize,
    payload_sum: u32,
) -> Option<usize> {
    let fields = fields.into();
    if header.options.are_plain()
        && let Some(template) = plain::Template::new(link, fields.treatment)
    {
        let header = plain::Header {
            seq: header.seq,
            ack: header.ack,
            flags: header.flags,
            window: header.window,
            urgent: header.urgent,
            timestamps: header.options.timestamps,
            ecn: fields.ecn,
        };
        let plain = template.emit(frame, flow, &header, payload_len, payload_sum);
        if plain.is_some() {
            return plain;
        }
    }
    let header = &tcp::Header {
        src_port: flow.local.port,
        dst_port: flow.remote.port,
        checksum: 0,
        ..*header
    };
    emit_any(frame, link, flow, header, fields, payload_len, payload_sum)
}

/// Headers of every kind.
fn emit_any(
    frame: &mut [u8],
    link: &ethernet::Header,
    flow: &FlowKey,
    header: &tcp::Header,
    fields: Fields,
    payload_len: usize,
    payload_sum: u32,
) -> Option<usize> {
    let (source, destination) = (&flow.local.address, &flow.remote.address);
    let ip_len = ip_header_len(flow);
    let l4_len = u16::try_from(header.header_len().checked_add(payload_len)?).ok()?;
    let end = link.header_len() + ip_len + usize::from(l4_len);
    let packet = frame.get_mut(..end)?.get_mut(link.header_len()..)?;
    let (ip, l4) = packet.split_at_mut_checked(ip_len)?;
    let kind = match (source.as_v4(), destination.as_v4()) {
        (Some(src), Some(dst)) => {
            let total_len = l4_len.checked_add(ip_len as u16)?;
            *ip.first_chunk_mut()? = ipv4::emit(src, dst, TCP, fields, total_len);
            EtherType::IPV4
        }
        (None, None) => {
            *ip.first_chunk_mut()? = ipv6::emit(source, destination, TCP, fields, l4_len);
            EtherType::IPV6
        }
        _ => return None,
    };
    let header_len = header.emit(l4)?;
    let (written, _) = l4.split_at_mut_checked(header_len)?;
    let pseudo = checksum::pseudo_header(source, destination, TCP, u32::from(l4_len));
    let sum = pseudo + header.sum(written) + u32::from(checksum::fold(payload_sum));
    *written.get_mut(16..)?.first_chunk_mut()? = checksum::finish(sum).to_be_bytes();
    link.emit(kind, frame)?;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Address, Endpoint};
    use crate::ip::Treatment;
    use crate::seq::SeqNumber;
    use crate::tcp::{Flags, Options, Timestamps, WireWindow};

    /// What is written the short way is, octet for octet, what is written the long way.
    #[test]
    fn plain_headers_are_the_same_as_any() {
        let mut x = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        for round in 0..2_000 {
            let mut end =
                || Endpoint::new(Address::v4((next() as u32).to_be_bytes()), next() as u16);
            let flow = FlowKey {
                local: end(),
                remote: end(),
            };
            let header = tcp::Header {
                src_port: flow.local.port,
                dst_port: flow.remote.port,
                seq: SeqNumber::new(next() as u32),
                ack: SeqNumber::new(next() as u32),
                flags: Flags::from_bits(next() as u8),
                window: WireWindow(next() as u16),
                urgent: next() as u16,
                options: Options {
                    timestamps: (round % 3 > 0).then(|| Timestamps {
                        value: next() as u32,
                        echo: next() as u32,
                    }),
                    ..Options::default()
                },
                ..tcp::Header::default()
            };
            let link = ethernet::Header {
                src: ethernet::MacAddr([2, next() as u8, 1, 2, 3, 4]),
                dst: ethernet::MacAddr([2, 9, 8, 7, next() as u8, 5]),
                ..ethernet::Header::default()
            };
            let fields = Fields {
                treatment: Treatment {
                    hop_limit: next() as u8,
                    ..Treatment::default()
                },
                ecn: Ecn::from_bits(next() as u8),
            };
            let (len, sum) = (next() as usize % 1_400, next() as u32 & 0xffff);
            let [mut short, mut long] = [[0; 1500]; 2];
            let any = emit_any(&mut long, &link, &flow, &header, fields, len, sum);
            let plain = emit_tcp_summed(&mut short, &link, &flow, &header, fields, len, sum);
            assert!(any.is_some());
            assert_eq!((plain, short), (any, long), "round {round}");
            let cut = any.unwrap_or(0) - 1;
            let cut = short.get_mut(..cut).unwrap();
            assert_eq!(
                emit_tcp_summed(cut, &link, &flow, &header, fields, len, sum),
                None
            );
        }
    }
}
