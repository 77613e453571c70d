//! Who talks to whom: addresses, endpoints and the key of a flow.

use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An IPv4 or IPv6 address in sixteen octets; IPv4 is kept in its v4-mapped form (RFC 4291 §2.5.5.2).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Address([u8; 16]);

impl Address {
    /// From the four octets of an IPv4 address.
    #[inline]
    pub const fn v4(o: [u8; 4]) -> Self {
        Self([
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, o[0], o[1], o[2], o[3],
        ])
    }

    /// From the sixteen octets of an IPv6 address.
    #[inline]
    pub const fn v6(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The four octets, when this is an IPv4 address.
    #[inline]
    pub const fn as_v4(&self) -> Option<[u8; 4]> {
        if self.is_v4() {
            Some([self.0[12], self.0[13], self.0[14], self.0[15]])
        } else {
            None
        }
    }

    /// True for an IPv4 address.
    #[inline]
    pub const fn is_v4(&self) -> bool {
        let o = &self.0;
        u64::from_be_bytes([o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7]]) == 0
            && u32::from_be_bytes([o[8], o[9], o[10], o[11]]) == 0xffff
    }

    /// The sixteen octets.
    #[inline]
    pub const fn octets(&self) -> &[u8; 16] {
        &self.0
    }

    /// The unspecified address of the family (0.0.0.0 or ::) is no endpoint of a connection.
    #[inline]
    pub const fn is_unspecified(&self) -> bool {
        u128::from_be_bytes(self.0) == 0 || u128::from_be_bytes(self.0) == 0xffff_0000_0000
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::v4(v4.octets()),
            IpAddr::V6(v6) => Self::v6(v6.octets()),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        match address.as_v4() {
            Some(octets) => IpAddr::V4(Ipv4Addr::from(octets)),
            None => IpAddr::V6(Ipv6Addr::from(address.0)),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", IpAddr::from(*self))
    }
}

/// An address and a port.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The address.
    pub address: Address,
    /// The port, in host order.
    pub port: u16,
}

impl Endpoint {
    /// The endpoint with this address and port.
    #[inline]
    pub const fn new(address: Address, port: u16) -> Self {
        Self { address, port }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(socket: SocketAddr) -> Self {
        Self::new(socket.ip().into(), socket.port())
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        SocketAddr::new(endpoint.address.into(), endpoint.port)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", SocketAddr::from(*self))
    }
}

/// The two ends of a connection as this side sees them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub struct FlowKey {
    /// Our end.
    pub local: Endpoint,
    /// The peer's end.
    pub remote: Endpoint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_family() {
        for text in ["10.0.0.1", "::1", "fd00::2", "0.0.0.0", "255.255.255.255"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(IpAddr::from(Address::from(ip)), ip);
            assert_eq!(Address::from(ip).is_v4(), ip.is_ipv4());
            assert_eq!(Address::from(ip).is_unspecified(), ip.is_unspecified());
        }
    }
}
