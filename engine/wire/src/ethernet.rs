//! Ethernet II headers with up to two VLAN tags (IEEE 802.1Q).

use core::fmt;

/// A 48-bit MAC address.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// The address of everybody on the link.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// True for multicast and broadcast addresses: the group bit is set.
    #[inline]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an Ethernet frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
    /// A VLAN tag follows (802.1Q, the customer tag).
    pub const VLAN: Self = Self(0x8100);
    /// A VLAN tag follows (802.1ad, the service tag).
    pub const SERVICE_VLAN: Self = Self(0x88a8);

    /// True when a VLAN tag follows.
    #[inline]
    const fn is_tag(self) -> bool {
        matches!(self, Self::VLAN | Self::SERVICE_VLAN)
    }
}

/// Octets of a header without tags.
pub const HEADER_LEN: usize = 14;
/// Octets of a VLAN tag.
pub const TAG_LEN: usize = 4;

/// The addresses and tags of a frame; also what is needed to send on a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Header {
    /// Who sends the frame.
    pub src: MacAddr,
    /// Who gets it.
    pub dst: MacAddr,
    /// VLAN id, 1 to 4095: the only tag, or the innermost of two. A tag with id 0 carries only a
    /// priority and counts as no tag.
    pub vlan: Option<u16>,
    /// VLAN id of the outermost tag when there are two.
    pub outer_vlan: Option<u16>,
}

impl Header {
    /// Parses the header at the start of `frame`: the header, the type of what follows the tags,
    /// and where that starts. `None` when the frame is too short. A third tag is not looked into:
    /// its type is returned as what follows.
    #[inline]
    pub fn parse(frame: &[u8]) -> Option<(Self, EtherType, usize)> {
        let (&[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1], rest) =
            frame.split_first_chunk()?;
        let mut header = Self {
            src: MacAddr([s0, s1, s2, s3, s4, s5]),
            dst: MacAddr([d0, d1, d2, d3, d4, d5]),
            vlan: None,
            outer_vlan: None,
        };
        let kind = EtherType(u16::from_be_bytes([t0, t1]));
        if !kind.is_tag() {
            return Some((header, kind, HEADER_LEN));
        }
        let (tag, kind, rest) = parse_tag(rest)?;
        header.vlan = tag;
        if !kind.is_tag() {
            return Some((header, kind, HEADER_LEN + TAG_LEN));
        }
        let (inner, kind, _) = parse_tag(rest)?;
        header.vlan = inner.or(tag);
        header.outer_vlan = inner.and(tag);
        Some((header, kind, HEADER_LEN + 2 * TAG_LEN))
    }

    /// The header for an answer: addresses exchanged, the same tags.
    #[inline]
    pub const fn reversed(&self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            ..*self
        }
    }

    /// Octets that [`emit`](Self::emit) writes: 14, 18 or 22.
    #[inline]
    pub const fn header_len(&self) -> usize {
        HEADER_LEN
            + TAG_LEN * self.vlan.is_some() as usize
            + TAG_LEN * self.outer_vlan.is_some() as usize
    }

    /// Writes the header to the start of `out`: its length, or `None` when `out` is too short.
    #[inline]
    pub fn emit(&self, kind: EtherType, out: &mut [u8]) -> Option<usize> {
        let len = self.header_len();
        let mut out = crate::write::Writer::new(out.get_mut(..len)?);
        out.put(self.dst.0)?;
        out.put(self.src.0)?;
        if let Some(outer) = self.outer_vlan {
            // An outer tag alone is an ordinary tag.
            let tag = if self.vlan.is_some() {
                EtherType::SERVICE_VLAN
            } else {
                EtherType::VLAN
            };
            out.put(tag.0.to_be_bytes())?;
            out.put(outer.to_be_bytes())?;
        }
        if let Some(vlan) = self.vlan {
            out.put(EtherType::VLAN.0.to_be_bytes())?;
            out.put(vlan.to_be_bytes())?;
        }
        out.put(kind.0.to_be_bytes())?;
        Some(len)
    }
}

/// The VLAN id of a tag (`None` for a priority tag), the type that follows it, and the rest.
#[inline]
fn parse_tag(bytes: &[u8]) -> Option<(Option<u16>, EtherType, &[u8])> {
    let (&[c0, c1, t0, t1], rest) = bytes.split_first_chunk()?;
    let id = u16::from_be_bytes([c0, c1]) & 0x0fff;
    Some((
        (id != 0).then_some(id),
        EtherType(u16::from_be_bytes([t0, t1])),
        rest,
    ))
}
