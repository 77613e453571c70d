//! ICMP and ICMPv6 errors about TCP segments we sent (RFC 792, RFC 1191, RFC 4443).

use crate::checksum;
use crate::flow::{Endpoint, FlowKey};
use crate::ip::{self, ICMP, ICMPV6, TCP};
use crate::malformed::Malformed;
use crate::seq::SeqNumber;
use crate::{ipv4, ipv6};

/// Octets of an ICMP header.
const HEADER_LEN: usize = 8;

/// What kind of error is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Destination unreachable, other than for its size.
    Unreachable,
    /// The packet was too big for a link, and was not to be fragmented: RFC 1191's "fragmentation
    /// needed" and ICMPv6's "packet too big".
    TooBig,
    /// The hop limit was used up, or a reassembly timed out.
    TimeExceeded,
    /// A header field that a router or the host could not make sense of.
    ParameterProblem,
}

/// An ICMP error that quotes a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// What happened.
    pub kind: Kind,
    /// The code of the message as on the wire; its meaning depends on the family of the flow.
    pub code: u8,
    /// With [`Kind::TooBig`]: the MTU of the link, in octets of IP packet. Zero when an old router
    /// did not tell (RFC 1191 §5); it is as little to be trusted as any ICMP message.
    pub mtu: u32,
    /// The flow of the quoted segment as we know it: local is the source of the quoted packet.
    pub quoted: FlowKey,
    /// The sequence number of the quoted segment, to be verified against what is in flight
    /// (RFC 5927 §4.1).
    pub seq: SeqNumber,
}

impl IcmpError {
    /// True for what RFC 9293 §3.9.2.2 calls a hard error: the host says that it does not take the
    /// protocol or the port. In ICMPv6 that is "administratively prohibited" and "port unreachable"
    /// (RFC 5461 §2). The third hard one of ICMP, "fragmentation needed", is [`Kind::TooBig`].
    #[inline]
    pub const fn is_hard(&self) -> bool {
        let v4 = self.quoted.local.address.is_v4();
        matches!((self.kind, v4, self.code), (Kind::Unreachable, true, 2 | 3))
            || matches!(
                (self.kind, v4, self.code),
                (Kind::Unreachable, false, 1 | 4)
            )
    }
}

/// Parses an ICMP message; `outer` is the IP header that carried it. `None` when it is no error
/// about a TCP segment.
///
/// # Errors
/// A message that is cut, has a wrong checksum, or quotes a packet that was not sent by the
/// receiver of the message.
//= rfc9293 3.9.2.2 MUST-55
//= rfc5927 6.2 S6.2-1
pub fn parse(outer: &ip::Header, message: &[u8]) -> Result<Option<IcmpError>, Malformed> {
    let v4 = outer.src.is_v4();
    let Some((&[kind, code, _, _, r0, r1, r2, r3], quote)) =
        message.split_first_chunk::<HEADER_LEN>()
    else {
        return Err(Malformed::IcmpTruncated);
    };
    let (kind, mtu) = match (v4, kind, code) {
        (true, 3, 4) => (Kind::TooBig, u32::from(u16::from_be_bytes([r2, r3]))),
        (false, 2, _) => (Kind::TooBig, u32::from_be_bytes([r0, r1, r2, r3])),
        (true, 3, _) | (false, 1, _) => (Kind::Unreachable, 0),
        (true, 11, _) | (false, 3, _) => (Kind::TimeExceeded, 0),
        (true, 12, _) | (false, 4, _) => (Kind::ParameterProblem, 0),
        _ => return Ok(None),
    };
    verify(outer, message)?;
    let inner = if v4 {
        ipv4::parse_quoted(quote)
    } else {
        ipv6::parse_quoted(quote)
    };
    let inner = inner.map_err(|_| Malformed::IcmpTruncated)?;
    if inner.protocol != TCP || inner.fragment {
        return Ok(None);
    }
    if inner.src != outer.dst {
        return Err(Malformed::IcmpQuote);
    }
    // Eight octets behind the IP header are all that RFC 792 promises: the ports and the sequence
    // number.
    let quoted = quote.get(inner.header_len..).unwrap_or(&[]);
    let Some(&[l0, l1, p0, p1, s0, s1, s2, s3]) = quoted.first_chunk() else {
        return Err(Malformed::IcmpTruncated);
    };
    Ok(Some(IcmpError {
        kind,
        code,
        mtu,
        quoted: FlowKey {
            local: Endpoint::new(inner.src, u16::from_be_bytes([l0, l1])),
            remote: Endpoint::new(inner.dst, u16::from_be_bytes([p0, p1])),
        },
        seq: SeqNumber::new(u32::from_be_bytes([s0, s1, s2, s3])),
    }))
}

/// Verifies the checksum, which in ICMPv6 covers a pseudo header too.
fn verify(outer: &ip::Header, message: &[u8]) -> Result<(), Malformed> {
    let pseudo = match outer.protocol {
        ICMP => 0,
        _ => {
            let len = u32::try_from(message.len()).map_err(|_| Malformed::IcmpChecksum)?;
            checksum::pseudo_header(&outer.src, &outer.dst, ICMPV6, len)
        }
    };
    if checksum::fold(pseudo + checksum::sum(message)) != 0xffff {
        return Err(Malformed::IcmpChecksum);
    }
    Ok(())
}
