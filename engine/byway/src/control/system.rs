//! The kernel that the resolver asks, for real.

use super::netlink::{Link, Neighbour, Netlink, Route, is_link_local};
use super::resolver::Kernel;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// The discard port: whoever gets the datagram may drop it (RFC 863).
const DISCARD: u16 = 9;

/// The kernel, as seen from one interface.
pub(crate) struct System {
    netlink: Netlink,
    interface: String,
    index: u32,
    v4: Option<Socket>,
    v6: Option<Socket>,
}

impl System {
    /// Asks through `netlink` about this interface.
    pub(crate) fn new(netlink: Netlink, interface: &str, index: u32) -> Self {
        // A family that the machine does not have is none that needs waking up.
        let v4 = probe_socket(Domain::IPV4, interface).ok();
        let v6 = probe_socket(Domain::IPV6, interface).ok();
        Self {
            netlink,
            interface: interface.to_owned(),
            index,
            v4,
            v6,
        }
    }
}

/// A socket whose datagrams leave through the interface, whatever the routes say.
fn probe_socket(domain: Domain, interface: &str) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Kernel for System {
    fn link(&mut self) -> io::Result<Link> {
        self.netlink.link(&self.interface)
    }

    fn route(&mut self, remote: IpAddr) -> io::Result<Route> {
        self.netlink.route(remote, self.index)
    }

    fn neighbour(&mut self, address: IpAddr) -> io::Result<Neighbour> {
        self.netlink.neighbour(self.index, address)
    }

    fn provoke(&mut self, address: IpAddr) {
        let scope = if is_link_local(address) {
            self.index
        } else {
            0
        };
        let (socket, to) = match address {
            IpAddr::V4(_) => (&self.v4, SocketAddr::new(address, DISCARD)),
            IpAddr::V6(v6) => (&self.v6, SocketAddrV6::new(v6, DISCARD, 0, scope).into()),
        };
        if let Some(socket) = socket {
            // A datagram that cannot be sent is one that is not answered: the next one may be.
            let _ = socket.send_to(&[], &to.into());
        }
    }
}
