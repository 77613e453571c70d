//! What the kernel knows about links, addresses, routes and neighbours.
//!
//! The one place that speaks rtnetlink. Two sockets: one asks and waits for the answer, the other
//! is told of every change. The kernel's own lookups are asked for (`RTM_GETROUTE` and
//! `RTM_GETNEIGH` of a single address), so that policy routing, metrics and next hops come out as
//! they would for a socket; nothing of the routing table is copied.

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Room for the largest datagram the kernel builds for a dump (32 KiB) and some.
const DATAGRAM: usize = 64 * 1024;

/// The kernel answers at once; a missing answer is a bug somewhere, not a reason to hang.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// RTNLGRP_* of what is followed: links, neighbours, addresses, routes and rules of both families.
const GROUPS: [u32; 8] = [1, 3, 5, 7, 8, 9, 11, 19];

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) mac: [u8; 6],
    /// Octets of the largest IP packet.
    pub(crate) mtu: u32,
    pub(crate) up: bool,
}

/// Where packets to a destination go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// Interface they leave through.
    pub(crate) interface: u32,
    /// The next router, `None` when the destination is on the link.
    pub(crate) gateway: Option<IpAddr>,
    /// The address the kernel would send from.
    pub(crate) source: Option<IpAddr>,
    /// Octets of the largest packet, when the route says so.
    pub(crate) mtu: Option<u32>,
    /// Octets of the largest segment to announce, when the route says so.
    pub(crate) advmss: Option<u32>,
    /// False for the machine's own addresses and for blackhole, prohibit and unreachable routes.
    pub(crate) unicast: bool,
}

/// What is known about the hardware address of a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Neighbour {
    /// Nothing, or the kernel is asking.
    Unknown,
    /// The kernel asked and nobody answered.
    Failed,
    /// This one.
    Known([u8; 6]),
}

/// Something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// What is known of one neighbour.
    Neighbour {
        interface: u32,
        address: IpAddr,
        now: Neighbour,
    },
    /// A link, an address, a route or a rule: whatever was derived from them is to be asked again.
    Network,
}

/// The socket that asks.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// A socket to ask with. Needs no privilege.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        rustix::net::sockopt::set_socket_timeout(
            &socket,
            rustix::net::sockopt::Timeout::Recv,
            Some(ANSWER_TIMEOUT),
        )?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Vec::with_capacity(DATAGRAM),
        })
    }

    /// The interface of this name.
    pub(crate) fn link(&mut self, name: &str) -> io::Result<Link> {
        let mut message = LinkMessage::default();
        message
            .attributes
            .push(LinkAttribute::IfName(name.to_owned()));
        let mut found = None;
        self.ask(RouteNetlinkMessage::GetLink(message), 0, |answer| {
            if let RouteNetlinkMessage::NewLink(link) = answer {
                found = Some(read_link(&link));
            }
        })?;
        found.ok_or_else(no_answer)
    }

    /// The addresses of an interface.
    pub(crate) fn addresses(&mut self, interface: u32) -> io::Result<Vec<IpAddr>> {
        let mut found = Vec::new();
        let message = RouteNetlinkMessage::GetAddress(Default::default());
        self.ask(message, NLM_F_DUMP, |answer| {
            let RouteNetlinkMessage::NewAddress(message) = answer else {
                return;
            };
            if message.header.index != interface {
                return;
            }
            // On a point-to-point link IFA_ADDRESS is the peer's and IFA_LOCAL ours.
            let local = message
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    AddressAttribute::Local(ip) => Some(*ip),
                    _ => None,
                });
            let address = message
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    AddressAttribute::Address(ip) => Some(*ip),
                    _ => None,
                });
            found.extend(local.or(address));
        })?;
        Ok(found)
    }

    /// Where packets to `remote` go, as the kernel would decide for a socket. `scope` is the
    /// interface that a link-local destination is meant on.
    pub(crate) fn route(&mut self, remote: IpAddr, scope: u32) -> io::Result<Route> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(remote);
        message.header.destination_prefix_length = if remote.is_ipv4() { 32 } else { 128 };
        message
            .attributes
            .push(RouteAttribute::Destination(remote.into()));
        if is_link_local(remote) {
            message.attributes.push(RouteAttribute::Oif(scope));
        }
        let mut found = None;
        self.ask(RouteNetlinkMessage::GetRoute(message), 0, |answer| {
            if let RouteNetlinkMessage::NewRoute(route) = answer {
                found = Some(read_route(&route));
            }
        })?;
        found.ok_or_else(no_answer)
    }

    /// What the kernel knows about a neighbour on an interface.
    pub(crate) fn neighbour(&mut self, interface: u32, address: IpAddr) -> io::Result<Neighbour> {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = interface;
        message
            .attributes
            .push(NeighbourAttribute::Destination(match address {
                IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
                IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
            }));
        let mut found = Neighbour::Unknown;
        let asked = self.ask(RouteNetlinkMessage::GetNeighbour(message), 0, |answer| {
            if let RouteNetlinkMessage::NewNeighbour(neighbour) = answer {
                found = read_neighbour(&neighbour);
            }
        });
        match asked {
            Err(error) if error.raw_os_error() == Some(ENOENT) => Ok(Neighbour::Unknown),
            Err(error) => Err(error),
            Ok(()) => Ok(found),
        }
    }

    /// Sends a request and hands every part of its answer to `each`.
    fn ask(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        loop {
            self.buffer.clear();
            self.socket.recv(&mut self.buffer, 0)?;
            for answer in messages(&self.buffer) {
                let answer = answer?;
                // An answer to an earlier question that timed out.
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    NetlinkPayload::InnerMessage(part) => each(part),
                    _ => {}
                }
                if flags & NLM_F_DUMP == 0 {
                    return Ok(());
                }
            }
        }
    }
}

/// The socket that is told of changes.
pub(crate) struct Changes {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Changes {
    /// Subscribes. Changes from now on are seen; what was before has to be asked for afterwards.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(DATAGRAM),
        })
    }

    /// Reads what there is without blocking and hands each change to `each`.
    pub(crate) fn read(&mut self, mut each: impl FnMut(Change)) -> io::Result<()> {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Changes were lost because they came faster than we read: ask for everything.
                Err(error) if error.raw_os_error() == Some(ENOBUFS) => {
                    each(Change::Network);
                    continue;
                }
                Err(error) => return Err(error),
            }
            for message in messages(&self.buffer) {
                match message.map(|message| message.payload) {
                    Ok(NetlinkPayload::InnerMessage(message)) => each(read_change(&message)),
                    Ok(_) => {}
                    Err(_) => each(Change::Network),
                }
            }
        }
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

const ENOENT: i32 = rustix::io::Errno::NOENT.raw_os_error();
const ENOBUFS: i32 = rustix::io::Errno::NOBUFS.raw_os_error();

fn no_answer() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the kernel's answer holds no entry",
    )
}

/// The messages of a datagram. One that cannot be decoded (a newer kernel's) is the last: where the
/// next one starts is not known for sure.
fn messages(
    datagram: &[u8],
) -> impl Iterator<Item = io::Result<NetlinkMessage<RouteNetlinkMessage>>> + '_ {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
        let length = message
            .as_ref()
            .map_or(0, |message| message.header.length as usize);
        rest = match length {
            0 => &[],
            _ => rest.get(length.next_multiple_of(4)..).unwrap_or_default(),
        };
        Some(message)
    })
}

fn family(ip: IpAddr) -> AddressFamily {
    match ip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// True for fe80::/10, which means nothing without an interface.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn mac(bytes: &[u8]) -> Option<[u8; 6]> {
    bytes.try_into().ok()
}

fn read_link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        mac: [0; 6],
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Address(bytes) => link.mac = mac(bytes).unwrap_or_default(),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            _ => {}
        }
    }
    link
}

fn read_route(message: &RouteMessage) -> Route {
    let mut route = Route {
        interface: 0,
        gateway: None,
        source: None,
        mtu: None,
        advmss: None,
        unicast: message.header.kind == RouteType::Unicast,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => route.interface = *index,
            RouteAttribute::Gateway(address) => route.gateway = ip(address),
            // IPv4 routes through an IPv6 router (RFC 5549).
            RouteAttribute::Via(netlink_packet_route::route::RouteVia::Inet6(v6)) => {
                route.gateway = Some(IpAddr::V6(*v6));
            }
            RouteAttribute::PrefSource(address) => route.source = ip(address),
            RouteAttribute::Metrics(metrics) => {
                for metric in metrics {
                    match metric {
                        RouteMetric::Mtu(mtu) if *mtu != 0 => route.mtu = Some(*mtu),
                        RouteMetric::Advmss(mss) if *mss != 0 => route.advmss = Some(*mss),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    route
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

fn read_neighbour(message: &NeighbourMessage) -> Neighbour {
    use NeighbourState::{Delay, Failed, Noarp, Permanent, Probe, Reachable, Stale};
    match message.header.state {
        Failed => Neighbour::Failed,
        // A stale address is good until the kernel finds out otherwise, which it then tells.
        Reachable | Stale | Delay | Probe | Permanent | Noarp => message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                NeighbourAttribute::LinkLayerAddress(bytes) => mac(bytes),
                _ => None,
            })
            .map_or(Neighbour::Unknown, Neighbour::Known),
        _ => Neighbour::Unknown,
    }
}

fn read_change(message: &RouteNetlinkMessage) -> Change {
    let (neighbour, now) = match message {
        RouteNetlinkMessage::NewNeighbour(neighbour) => (neighbour, read_neighbour(neighbour)),
        RouteNetlinkMessage::DelNeighbour(neighbour) => (neighbour, Neighbour::Unknown),
        _ => return Change::Network,
    };
    let address = neighbour
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
            _ => None,
        });
    // A bridge's forwarding entries come as neighbours without an address and concern nobody.
    let address = address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    Change::Neighbour {
        interface: neighbour.header.ifindex,
        address,
        now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_loopback_link_is_found_with_its_address() {
        let mut netlink = Netlink::open().unwrap();
        let lo = netlink.link("lo").unwrap();
        assert!(lo.index > 0 && lo.mtu > 0, "{lo:?}");
        if lo.up {
            let addresses = netlink.addresses(lo.index).unwrap();
            assert!(
                addresses.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)),
                "{addresses:?}"
            );
        }
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error_of_the_kernel() {
        let error = Netlink::open().unwrap().link("no-such-if0").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(19), "{error:?}"); // ENODEV
    }

    #[test]
    fn our_own_address_is_no_destination() {
        let mut netlink = Netlink::open().unwrap();
        let route = netlink.route(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).unwrap();
        assert!(!route.unicast, "{route:?}");
    }

    #[test]
    fn a_neighbour_nobody_asked_for_is_unknown() {
        let mut netlink = Netlink::open().unwrap();
        let lo = netlink.link("lo").unwrap();
        let answer = netlink
            .neighbour(lo.index, "192.0.2.77".parse().unwrap())
            .unwrap();
        assert_eq!(answer, Neighbour::Unknown);
    }

    #[test]
    fn a_silent_socket_of_changes_does_not_block() {
        let mut changes = Changes::open().unwrap();
        changes.read(|_| {}).unwrap();
    }
}
