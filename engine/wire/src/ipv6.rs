//! IPv6 headers and the extension headers in front of TCP (RFC 8200).

use crate::flow::Address;
use crate::ip::{Ecn, Fields, Header};
use crate::malformed::Malformed;

/// Octets of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Extension headers that are walked at most; a packet with more is not parsed. RFC 8504 §5.3
/// allows a limit, and eight is its default.
pub const MAX_EXTENSION_HEADERS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// The offset and "more fragments" bits of a fragment header: zero in an atomic fragment, which is
/// a whole packet (RFC 6946).
const FRAGMENT_BITS: u16 = 0xfff9;

/// Parses the header and the extension headers at the start of `packet`, which may go on after the
/// end of the IP packet.
///
/// # Errors
/// A header that is cut or of another version, a length that the bytes do not bear out (jumbograms
/// are not known), extension headers that are cut, too many, or route the packet on from here.
#[inline]
pub fn parse(packet: &[u8]) -> Result<Header, Malformed> {
    let (header, next) = parse_fixed(packet)?;
    match packet.get(HEADER_LEN..header.total_len) {
        Some(payload) => walk(header, next, payload),
        None => Err(Malformed::IpLength),
    }
}

/// Parses the headers that an ICMP message quotes; the packet behind them is cut.
///
/// # Errors
/// Headers that are cut or of another version.
#[inline]
pub(crate) fn parse_quoted(packet: &[u8]) -> Result<Header, Malformed> {
    let (header, next) = parse_fixed(packet)?;
    walk(header, next, packet.get(HEADER_LEN..).unwrap_or(&[]))
}

/// The fixed header and the type of what follows it.
#[inline]
fn parse_fixed(packet: &[u8]) -> Result<(Header, u8), Malformed> {
    let Some((h, rest)) = packet.split_first_chunk::<8>() else {
        return Err(Malformed::IpHeader);
    };
    let Some((src, rest)) = rest.split_first_chunk::<16>() else {
        return Err(Malformed::IpHeader);
    };
    let Some((dst, _)) = rest.split_first_chunk::<16>() else {
        return Err(Malformed::IpHeader);
    };
    if h[0] >> 4 != 6 {
        return Err(Malformed::IpHeader);
    }
    let (src, dst) = (Address::v6(*src), Address::v6(*dst));
    if src.is_v4() || dst.is_v4() {
        // On the wire a v4-mapped address would be taken for IPv4 from here on.
        return Err(Malformed::Address);
    }
    let header = Header {
        src,
        dst,
        protocol: h[6],
        hop_limit: h[7],
        ecn: Ecn::from_bits(h[1] >> 4),
        fragment: false,
        header_len: HEADER_LEN,
        total_len: HEADER_LEN + usize::from(u16::from_be_bytes([h[4], h[5]])),
    };
    Ok((header, h[6]))
}

/// Walks the extension headers in `bytes`, which follow the fixed header.
#[inline]
fn walk(mut header: Header, mut next: u8, mut bytes: &[u8]) -> Result<Header, Malformed> {
    for position in 0..=MAX_EXTENSION_HEADERS {
        let len = match next {
            // Only as the first one (RFC 8200 §4.1); elsewhere it is like any unknown protocol.
            HOP_BY_HOP if position == 0 => None,
            ROUTING | DESTINATION_OPTIONS => None,
            FRAGMENT => Some(8),
            _ => {
                header.protocol = next;
                return Ok(header);
            }
        };
        let Some(&[following, words, b2, b3]) = bytes.first_chunk() else {
            return Err(Malformed::IpExtension);
        };
        if next == ROUTING && b3 != 0 {
            // Segments left: this is a stop on the way, and we are no router.
            return Err(Malformed::IpExtension);
        }
        let len = len.unwrap_or((usize::from(words) + 1) * 8);
        let Some(rest) = bytes.get(len..) else {
            return Err(Malformed::IpExtension);
        };
        header.header_len += len;
        if next == FRAGMENT && u16::from_be_bytes([b2, b3]) & FRAGMENT_BITS != 0 {
            header.fragment = true;
            header.protocol = following;
            return Ok(header);
        }
        (next, bytes) = (following, rest);
    }
    Err(Malformed::IpExtension)
}

/// The header of a packet of ours: no extension headers, flow label zero. `payload_len` does not
/// count this header.
#[inline]
pub(crate) fn emit(
    src: &Address,
    dst: &Address,
    protocol: u8,
    fields: Fields,
    payload_len: u16,
) -> [u8; HEADER_LEN] {
    let [l0, l1] = payload_len.to_be_bytes();
    let mut header = [0; HEADER_LEN];
    let (fixed, addresses) = header.split_at_mut(8);
    let class = fields.traffic_class();
    fixed.copy_from_slice(&[
        0x60 | class >> 4,
        class << 4,
        0,
        0,
        l0,
        l1,
        protocol,
        fields.treatment.hop_limit,
    ]);
    let (first, second) = addresses.split_at_mut(16);
    first.copy_from_slice(src.octets());
    second.copy_from_slice(dst.octets());
    header
}
