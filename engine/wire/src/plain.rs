//! The headers that nearly always leave: untagged Ethernet, IPv4, TCP with no option or timestamps
//! alone. They are put together as words, summed as words, and written once.

use crate::checksum;
use crate::ethernet::{self, EtherType};
use crate::ip::{Fields, TCP};
use crate::tcp;
use crate::tcp::{Options, Timestamps};

/// Version 4, five words.
const VERSION_AND_LENGTH: u32 = 0x45 << 24;
/// Id 0, don't fragment.
const DONT_FRAGMENT: u32 = 0x4000;
/// Two NOPs, kind and length of the timestamps option.
const TIMESTAMPS: u32 = 0x0101_080a;

impl Options {
    /// True when there are no options but perhaps timestamps.
    #[inline]
    fn are_plain(&self) -> bool {
        self.mss.is_none()
            && self.window_scale.is_none()
            && !self.sack_permitted
            && self.sack.is_empty()
    }
}

/// Writes the headers in front of the payload, as [`emit_tcp_summed`](crate::frame::emit_tcp_summed)
/// does; the length of the frame. `None`, and nothing written, for headers of another kind, and where
/// that would give `None`.
#[inline]
pub(crate) fn emit(
    frame: &mut [u8],
    link: &ethernet::Header,
    (src, dst): ([u8; 4], [u8; 4]),
    header: &tcp::Header,
    fields: Fields,
    payload_len: usize,
    payload_sum: u32,
) -> Option<usize> {
    if link.vlan.is_some() || link.outer_vlan.is_some() || !header.options.are_plain() {
        return None;
    }
    let timestamps = header.options.timestamps;
    let tcp_words = if timestamps.is_some() { 8 } else { 5 };
    let l4_len = payload_len.checked_add(4 * tcp_words)?;
    let total_len = u16::try_from(l4_len.checked_add(20)?).ok()?;
    let end = ethernet::HEADER_LEN + usize::from(total_len);
    let out = frame.get_mut(..end)?;
    let (ethernet, out) = out.split_first_chunk_mut::<{ ethernet::HEADER_LEN }>()?;
    let (ip, out) = out.split_first_chunk_mut::<20>()?;
    let (fixed, out) = out.split_first_chunk_mut::<20>()?;
    let addresses = [u32::from_be_bytes(src), u32::from_be_bytes(dst)];
    let option_sum = match timestamps {
        Some(Timestamps { value, echo }) => {
            let words = [TIMESTAMPS, value, echo];
            write(out.first_chunk_mut::<12>()?, words);
            sum(&words)
        }
        None => 0,
    };
    // Protocol and length: what of the pseudo header is not in the IP header as it is.
    let pseudo = sum(&addresses) + u64::from(TCP) + l4_len as u64;
    write_tcp(
        fixed,
        header,
        tcp_words as u32,
        pseudo + option_sum + u64::from(payload_sum),
    );
    write_ip(ip, addresses, fields, total_len);
    let (to, rest) = ethernet.split_first_chunk_mut::<6>()?;
    let (from, kind) = rest.split_first_chunk_mut::<6>()?;
    *to = link.dst.0;
    *from = link.src.0;
    *kind.first_chunk_mut()? = EtherType::IPV4.0.to_be_bytes();
    Some(end)
}

/// The fixed part of the TCP header; `rest` is the sum of all else that its checksum covers.
#[inline]
fn write_tcp(out: &mut [u8; 20], header: &tcp::Header, words: u32, rest: u64) {
    let flags = u32::from(header.flags.bits());
    let mut fixed = [
        u32::from(header.src_port) << 16 | u32::from(header.dst_port),
        header.seq.get(),
        header.ack.get(),
        words << 28 | flags << 16 | u32::from(header.window.0),
        u32::from(header.urgent),
    ];
    let checksum = fold(sum(&fixed) + rest);
    if let Some(last) = fixed.last_mut() {
        *last |= u32::from(!checksum) << 16;
    }
    write(out, fixed);
}

#[inline]
fn write_ip(out: &mut [u8; 20], [src, dst]: [u32; 2], fields: Fields, total_len: u16) {
    let first = VERSION_AND_LENGTH | u32::from(fields.traffic_class()) << 16 | u32::from(total_len);
    let hops = u32::from(fields.treatment.hop_limit) << 24 | u32::from(TCP) << 16;
    let checksum = fold(sum(&[first, DONT_FRAGMENT, hops, src, dst]));
    let third = hops | u32::from(!checksum);
    write(out, [first, DONT_FRAGMENT, third, src, dst]);
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
