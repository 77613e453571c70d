//! IPv4 headers (RFC 791).

use crate::checksum;
use crate::flow::Address;
use crate::ip::{Ecn, Fields, Header};
use crate::malformed::Malformed;

/// Octets of a header without options.
pub const MIN_HEADER_LEN: usize = 20;

/// "Don't fragment": everything we send is atomic in the sense of RFC 6864, so its id can be zero.
const DONT_FRAGMENT: u16 = 0x4000;
/// "More fragments" and the fragment offset: zero in a packet that is whole.
const FRAGMENT_BITS: u16 = 0x3fff;

/// Parses and verifies the header at the start of `packet`; options are skipped. `packet` may go
/// on after the end of the IP packet (Ethernet pads short frames).
///
/// # Errors
/// A header that is cut or of another version, a wrong header checksum, a length that the bytes
/// do not bear out.
//= rfc9293 3.9.2 MUST-50
#[inline]
pub fn parse(packet: &[u8]) -> Result<Header, Malformed> {
    let header = parse_quoted(packet)?;
    let sum = match packet.first_chunk::<MIN_HEADER_LEN>() {
        Some(plain) if header.header_len == MIN_HEADER_LEN => checksum::sum(plain),
        _ => sum_with_options(packet, header.header_len),
    };
    if checksum::fold(sum) != 0xffff {
        return Err(Malformed::IpChecksum);
    }
    if header.total_len < header.header_len || header.total_len > packet.len() {
        return Err(Malformed::IpLength);
    }
    Ok(header)
}

#[cold]
fn sum_with_options(packet: &[u8], header_len: usize) -> u32 {
    checksum::sum(packet.get(..header_len).unwrap_or(&[]))
}

/// Parses a header that an ICMP message quotes: the packet behind it is cut, and routers on its
/// way may have changed the fields that the length and the checksum would be verified against.
///
/// # Errors
/// [`Malformed::IpHeader`] for a header that is cut or of another version.
#[inline]
pub(crate) fn parse_quoted(packet: &[u8]) -> Result<Header, Malformed> {
    let Some(h) = packet.first_chunk::<MIN_HEADER_LEN>() else {
        return Err(Malformed::IpHeader);
    };
    let header_len = usize::from(h[0] & 0x0f) * 4;
    if h[0] >> 4 != 4 || header_len < MIN_HEADER_LEN || header_len > packet.len() {
        return Err(Malformed::IpHeader);
    }
    Ok(Header {
        src: Address::v4([h[12], h[13], h[14], h[15]]),
        dst: Address::v4([h[16], h[17], h[18], h[19]]),
        protocol: h[9],
        hop_limit: h[8],
        ecn: Ecn::from_bits(h[1]),
        fragment: u16::from_be_bytes([h[6], h[7]]) & FRAGMENT_BITS != 0,
        header_len,
        total_len: usize::from(u16::from_be_bytes([h[2], h[3]])),
    })
}

/// The header of a packet of ours: don't fragment, id 0, no options, checksum filled in.
/// `total_len` counts the header too.
//= rfc1191 3 S3-5
#[inline]
pub(crate) fn emit(
    src: [u8; 4],
    dst: [u8; 4],
    protocol: u8,
    fields: Fields,
    total_len: u16,
) -> [u8; MIN_HEADER_LEN] {
    let [l0, l1] = total_len.to_be_bytes();
    let [f0, f1] = DONT_FRAGMENT.to_be_bytes();
    let [s0, s1, s2, s3] = src;
    let [d0, d1, d2, d3] = dst;
    let mut header = [
        0x45,
        fields.traffic_class(),
        l0,
        l1,
        0,
        0,
        f0,
        f1,
        fields.treatment.hop_limit,
        protocol,
        0,
        0,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ];
    let [c0, c1] = checksum::finish(checksum::sum(&header)).to_be_bytes();
    header[10] = c0;
    header[11] = c1;
    header
}
