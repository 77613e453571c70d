//! The headers that nearly always come and leave: untagged Ethernet, IPv4 without options, TCP with
//! no option or timestamps alone. They are read, put together, summed and written as words.

use crate::checksum;
use crate::ethernet::{self, EtherType, MacAddr};
use crate::flow::{Address, Endpoint, FlowKey};
use crate::ip::{Ecn, Fields, TCP, Treatment};
use crate::seq::SeqNumber;
use crate::tcp::{Flags, Options, Timestamps, WireWindow};
use core::ops::Range;

/// Version 4, five words.
const VERSION_AND_LENGTH: u32 = 0x45 << 24;
/// Id 0, don't fragment.
const DONT_FRAGMENT: u32 = 0x4000;
/// "More fragments" and the fragment offset: zero in a packet that is whole.
const FRAGMENT_BITS: u32 = 0x3fff;
/// Two NOPs, kind and length of the timestamps option.
const TIMESTAMPS: u32 = 0x0101_080a;

/// A segment of the kind that nearly all are: it acknowledges, perhaps brings data, has no flag but ACK and
/// perhaps PSH, and no option but timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number of the first octet.
    pub seq: SeqNumber,
    /// Acknowledgment number.
    pub ack: SeqNumber,
    /// Octets of payload.
    pub payload_len: u32,
    /// The timestamps option.
    pub timestamps: Option<Timestamps>,
    /// Window field, not scaled.
    pub window: WireWindow,
    /// ACK, or ACK and PSH.
    pub flags: Flags,
    /// The ECN bits of the IP header.
    pub ecn: Ecn,
}

/// A frame with plain headers and such a segment. Its checksums are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The flow from our point of view: local is the destination of the segment.
    pub flow: FlowKey,
    /// The segment.
    pub segment: Segment,
    payload_start: u32,
}

impl Frame {
    /// Where in the frame the payload is; link-layer padding is not part of it.
    #[inline]
    pub const fn payload(&self) -> Range<usize> {
        let start = self.payload_start as usize;
        start..start + self.segment.payload_len as usize
    }
}

/// Reads a frame with plain headers that is addressed to `mac`, if one is given. `None` for every
/// other frame, wrong ones included: [`frame::parse`](crate::frame::parse) tells what they are. What
/// is not asked is whether a host may have such addresses at all; who looks for a connection between
/// them finds none. `sum` gives partial sums as [`checksum::sum`] does.
//= rfc9293 3.1 MUST-3
#[inline]
pub fn parse(frame: &[u8], mac: Option<MacAddr>, sum_of: impl Fn(&[u8]) -> u32) -> Option<Frame> {
    let (ethernet, packet) = frame.split_first_chunk::<{ ethernet::HEADER_LEN }>()?;
    let ip = read(packet.first_chunk::<20>()?);
    let [first, fragment, third, src, dst] = ip;
    let &[d0, d1, d2, d3, d4, d5, .., t0, t1] = ethernet;
    let to = MacAddr([d0, d1, d2, d3, d4, d5]);
    let total_len = (first & 0xffff) as usize;
    let plain_ip = u16::from_be_bytes([t0, t1]) == EtherType::IPV4.0
        && first >> 24 == VERSION_AND_LENGTH >> 24
        && fragment & FRAGMENT_BITS == 0
        && third >> 16 & 0xff == u32::from(TCP);
    if !plain_ip || to.is_group() || mac.is_some_and(|mac| mac != to) || fold(sum(&ip)) != 0xffff {
        return None;
    }
    let l4 = packet.get(20..total_len)?;
    let [ports, seq, ack, rest, _] = read(l4.first_chunk::<20>()?);
    let timestamps = match rest >> 28 {
        5 => None,
        8 => match read(l4.get(20..)?.first_chunk::<12>()?) {
            [TIMESTAMPS, value, echo] => Some(Timestamps { value, echo }),
            _ => return None,
        },
        _ => return None,
    };
    let flags = Flags::from_bits((rest >> 16) as u8);
    let pseudo = sum(&[src, dst, u32::from(TCP), l4.len() as u32]);
    if (flags | Flags::PSH) != (Flags::ACK | Flags::PSH)
        || fold(pseudo + u64::from(sum_of(l4))) != 0xffff
    {
        return None;
    }
    let tcp_len = 4 * (rest >> 28);
    Some(Frame {
        flow: FlowKey {
            local: Endpoint::new(Address::v4(dst.to_be_bytes()), ports as u16),
            remote: Endpoint::new(Address::v4(src.to_be_bytes()), (ports >> 16) as u16),
        },
        segment: Segment {
            seq: SeqNumber::new(seq),
            ack: SeqNumber::new(ack),
            payload_len: l4.len() as u32 - tcp_len,
            timestamps,
            window: WireWindow(rest as u16),
            flags,
            ecn: Ecn::from_bits((first >> 16) as u8),
        },
        payload_start: (ethernet::HEADER_LEN + 20) as u32 + tcp_len,
    })
}

/// Words in the order of the network.
#[inline]
fn read<const WORDS: usize, const OCTETS: usize>(octets: &[u8; OCTETS]) -> [u32; WORDS] {
    const { assert!(WORDS * 4 == OCTETS) }
    let (chunks, _) = octets.as_chunks::<4>();
    let mut words = [0; WORDS];
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u32::from_be_bytes(*chunk);
    }
    words
}

impl Options {
    /// True when there are no options but perhaps timestamps.
    #[inline]
    pub const fn are_plain(&self) -> bool {
        self.mss.is_none()
            && self.window_scale.is_none()
            && !self.sack_permitted
            && self.sack.is_empty()
    }
}

/// What the plain headers of one path have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    ethernet: [u8; ethernet::HEADER_LEN],
    /// Version, length and traffic class; hop limit and protocol.
    first: u32,
    third: u32,
}

/// What is of this very segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Sequence number of the first octet.
    pub seq: SeqNumber,
    /// Acknowledgment number.
    pub ack: SeqNumber,
    /// Control bits.
    pub flags: Flags,
    /// Window field, already scaled.
    pub window: WireWindow,
    /// Urgent pointer.
    pub urgent: u16,
    /// The timestamps option.
    pub timestamps: Option<Timestamps>,
    /// The ECN bits of the IP header.
    pub ecn: Ecn,
}

impl Header {
    /// Octets of the three headers together: where the payload is.
    #[inline]
    pub const fn headers_len(&self) -> usize {
        ethernet::HEADER_LEN + 20 + 4 * self.tcp_words()
    }

    #[inline]
    const fn tcp_words(&self) -> usize {
        if self.timestamps.is_some() { 8 } else { 5 }
    }
}

impl Template {
    /// The template of a path; `None` when its frames are tagged.
    #[inline]
    pub fn new(link: &ethernet::Header, treatment: Treatment) -> Option<Self> {
        if link.vlan.is_some() || link.outer_vlan.is_some() {
            return None;
        }
        let ([d0, d1, d2, d3, d4, d5], [s0, s1, s2, s3, s4, s5]) = (link.dst.0, link.src.0);
        let [t0, t1] = EtherType::IPV4.0.to_be_bytes();
        let fields = Fields {
            treatment,
            ecn: Ecn::NotEct,
        };
        Some(Self {
            ethernet: [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1],
            first: VERSION_AND_LENGTH | u32::from(fields.traffic_class()) << 16,
            third: u32::from(treatment.hop_limit) << 24 | u32::from(TCP) << 16,
        })
    }

    /// Writes the headers in front of `payload_len` octets of payload whose partial sum is
    /// `payload_sum`, and which are in `frame` already, [`Header::headers_len`] from its start: the length of
    /// the whole frame. `None`, and nothing written, when `frame` is too short, the packet longer
    /// than IP can say, or the flow not one of IPv4.
    //= rfc9293 3.1 MUST-2
    #[inline]
    pub fn emit(
        &self,
        frame: &mut [u8],
        flow: &FlowKey,
        header: &Header,
        payload_len: usize,
        payload_sum: u32,
    ) -> Option<usize> {
        let src = u32::from_be_bytes(flow.local.address.as_v4()?);
        let dst = u32::from_be_bytes(flow.remote.address.as_v4()?);
        let tcp_words = header.tcp_words();
        let l4_len = payload_len.checked_add(4 * tcp_words)?;
        let total_len = u16::try_from(l4_len.checked_add(20)?).ok()?;
        let end = ethernet::HEADER_LEN + usize::from(total_len);
        let out = frame.get_mut(..end)?;
        let (ethernet, out) = out.split_first_chunk_mut::<{ ethernet::HEADER_LEN }>()?;
        let (ip, out) = out.split_first_chunk_mut::<20>()?;
        let (fixed, out) = out.split_first_chunk_mut::<20>()?;
        // Protocol and length: what of the pseudo header is not in the IP header as it is.
        let addresses = u64::from(src) + u64::from(dst);
        let mut rest = addresses + u64::from(TCP) + l4_len as u64 + u64::from(payload_sum);
        if let Some(Timestamps { value, echo }) = header.timestamps {
            let words = [TIMESTAMPS, value, echo];
            write(out.first_chunk_mut::<12>()?, words);
            rest += sum(&words);
        }
        let ports = u32::from(flow.local.port) << 16 | u32::from(flow.remote.port);
        write_tcp(fixed, ports, header, rest);
        let first = self.first | u32::from(header.ecn as u8) << 16 | u32::from(total_len);
        let checksum = fold(sum(&[first, DONT_FRAGMENT, self.third]) + addresses);
        let third = self.third | u32::from(!checksum);
        write(ip, [first, DONT_FRAGMENT, third, src, dst]);
        *ethernet = self.ethernet;
        Some(end)
    }
}

/// The fixed part of the TCP header; `rest` is the sum of all else that its checksum covers.
#[inline]
fn write_tcp(out: &mut [u8; 20], ports: u32, header: &Header, rest: u64) {
    let flags = u32::from(header.flags.bits());
    let words = header.tcp_words() as u32;
    let fixed = [
        ports,
        header.seq.get(),
        header.ack.get(),
        words << 28 | flags << 16 | u32::from(header.window.0),
        u32::from(header.urgent),
    ];
    let checksum = fold(sum(&fixed) + rest);
    let [ports, seq, ack, control, urgent] = fixed;
    let last = u32::from(!checksum) << 16 | urgent;
    write(out, [ports, seq, ack, control, last]);
}

#[inline]
fn sum(words: &[u32]) -> u64 {
    words.iter().map(|word| u64::from(*word)).sum()
}

/// A sum of words of 32 bits as one of 16 bits: carries come back in below.
#[inline]
fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    checksum::fold(sum as u32)
}

#[inline]
fn write<const WORDS: usize, const OCTETS: usize>(out: &mut [u8; OCTETS], words: [u32; WORDS]) {
    const { assert!(WORDS * 4 == OCTETS) }
    out.copy_from_slice(words.map(u32::to_be_bytes).as_flattened());
}
