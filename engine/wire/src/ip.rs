//! What IPv4 and IPv6 headers have in common, so that the rest treats both the same.

use crate::flow::Address;

/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of ICMP (for IPv4).
pub const ICMP: u8 = 1;
/// Protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;

/// The TTL or hop limit of what we send (RFC 1700's recommendation, and what most hosts use).
pub const HOP_LIMIT: u8 = 64;

/// The two ECN bits of an IP header (RFC 3168 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ecn {
    /// Not ECN-capable.
    #[default]
    NotEct = 0,
    /// ECN-capable, codepoint ECT(1).
    Ect1 = 1,
    /// ECN-capable, codepoint ECT(0).
    Ect0 = 2,
    /// Congestion experienced.
    Ce = 3,
}

impl Ecn {
    /// From the low two bits of the TOS or traffic class octet.
    #[inline]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }
}

/// A Differentiated Services codepoint (RFC 2474): six bits that ask routers for a treatment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Dscp(u8);

impl Dscp {
    /// The treatment that everybody gets.
    pub const DEFAULT: Self = Self(0);

    /// The codepoint with this value; `None` beyond 63.
    #[inline]
    pub const fn new(value: u8) -> Option<Self> {
        if value < 64 { Some(Self(value)) } else { None }
    }

    /// Its value, 0 to 63.
    #[inline]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// What the network is asked to do with packets of ours, in the IP header of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Treatment {
    /// The Differentiated Services codepoint.
    pub dscp: Dscp,
    /// The TTL or hop limit. Zero would not leave the first router.
    pub hop_limit: u8,
}

impl Default for Treatment {
    fn default() -> Self {
        Self {
            dscp: Dscp::DEFAULT,
            hop_limit: HOP_LIMIT,
        }
    }
}

/// The fields of an IP header that its sender chooses, beside addresses and length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The same for all packets of a connection.
    pub treatment: Treatment,
    /// Chosen for each packet.
    pub ecn: Ecn,
}

impl Fields {
    /// The TOS or traffic class octet.
    //= rfc9293 3.9.1.9 SHLD-22
    #[inline]
    pub(crate) const fn traffic_class(self) -> u8 {
        self.treatment.dscp.0 << 2 | self.ecn as u8
    }
}

impl From<Ecn> for Fields {
    /// These ECN bits, and the treatment that everybody gets.
    #[inline]
    fn from(ecn: Ecn) -> Self {
        Self {
            ecn,
            ..Self::default()
        }
    }
}

/// An IP header of either family, with the extension headers of IPv6 behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who sent the packet.
    pub src: Address,
    /// Who is to get it.
    pub dst: Address,
    /// Protocol of what follows the header, extension headers skipped.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// ECN bits.
    pub ecn: Ecn,
    /// True for a piece of a fragmented packet: what follows need not be a header of `protocol`.
    pub fragment: bool,
    /// Octets of the header, options and extension headers included.
    pub header_len: usize,
    /// Octets of the whole packet; link-layer padding behind it is not part of it.
    pub total_len: usize,
}

/// True for an address that no other host has on any link: "this network", loopback, multicast,
/// reserved, broadcast (RFC 6890, RFC 1122 §3.2.1.3). No TCP packet comes from or goes to it.
#[inline(always)]
pub fn is_no_host(address: &Address) -> bool {
    match address.as_v4() {
        Some([first, ..]) => matches!(first, 0 | 127 | 224..),
        None => {
            let value = u128::from_be_bytes(*address.octets());
            value >> 120 == 0xff || value <= 1
        }
    }
}
