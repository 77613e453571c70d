//! Why a frame could not be parsed.

/// Why a frame is not what it claims to be. Every value is a counter of whoever drops the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Malformed {
    /// Shorter than an Ethernet header with its VLAN tags.
    EthernetTruncated,
    /// An IP header that ends after the frame does, or whose version or length field is wrong.
    IpHeader,
    /// The IP length field says more than the frame holds, or less than the header.
    IpLength,
    /// The IPv4 header checksum is wrong.
    IpChecksum,
    /// More IPv6 extension headers than [`crate::ipv6::MAX_EXTENSION_HEADERS`], or one that is cut.
    IpExtension,
    /// A multicast, broadcast or unspecified address where TCP knows only hosts (RFC 9293 MUST-57,
    /// MUST-63), or an IPv4-mapped address inside an IPv6 header.
    Address,
    /// Shorter than the TCP header it starts with, or a data offset below five.
    TcpHeader,
    /// An ARP packet that is cut, or not about IPv4 over Ethernet.
    Arp,
    /// An ICMP message that is cut, or quotes too little of the packet that caused it.
    IcmpTruncated,
    /// The ICMP checksum is wrong.
    IcmpChecksum,
    /// An ICMP error quoting a packet that its receiver cannot have sent.
    IcmpQuote,
}

impl Malformed {
    /// How many reasons there are.
    pub const COUNT: usize = Self::IcmpQuote as usize + 1;
}
