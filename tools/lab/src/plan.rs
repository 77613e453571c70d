//! What a lab looks like: roles, interfaces, addresses, options.

use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Who lives in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Load comes from here.
    Client,
    /// A forwarder between the client and the server, such as `byway wire`, in labs that have one.
    Wire,
    /// The system under test.
    Server,
    /// What a proxy on the server talks to.
    Backend,
}

impl Role {
    /// All of them, in the order of the picture.
    pub const ALL: [Self; 4] = [Self::Client, Self::Wire, Self::Server, Self::Backend];

    /// The word after the lab's name in the name of the namespace.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Wire => "wire",
            Self::Server => "server",
            Self::Backend => "backend",
        }
    }
}

/// One end of a veth pair: the same in every lab, since labs do not see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The namespace it is in.
    pub role: Role,
    /// Name of the interface there.
    pub interface: &'static str,
    /// Its Ethernet address, locally administered.
    pub mac: [u8; 6],
    /// Its IPv4 address, in a /24; unspecified when it has none.
    pub v4: Ipv4Addr,
    /// Its IPv6 address, in a /64; unspecified when it has none.
    pub v6: Ipv6Addr,
}

/// The client's only interface.
pub const CLIENT: End = End::new(Role::Client, "eth0", 77, 1);
/// The server's interface towards the client.
pub const SERVER: End = End::new(Role::Server, "eth0", 77, 2);
/// The server's interface towards the backend.
pub const SERVER_BACK: End = End::new(Role::Server, "eth1", 78, 1);
/// The backend's only interface.
pub const BACKEND: End = End::new(Role::Backend, "eth0", 78, 2);

/// The interface of the wire towards the client, in labs that have one.
pub const WIRE_CLIENT: End = End::without_address(Role::Wire, "eth0", 77, 11);
/// The interface of the wire towards the server, in labs that have one.
pub const WIRE_SERVER: End = End::without_address(Role::Wire, "eth1", 77, 12);

/// The veth pairs of a lab.
const DIRECT: [(End, End); 2] = [(CLIENT, SERVER), (SERVER_BACK, BACKEND)];

/// The veth pairs of a lab with a wire.
const WIRED: [(End, End); 3] = [
    (CLIENT, WIRE_CLIENT),
    (WIRE_SERVER, SERVER),
    (SERVER_BACK, BACKEND),
];

impl End {
    const fn new(role: Role, interface: &'static str, net: u8, host: u8) -> Self {
        let net6 = if net == 77 { 0xfd77 } else { 0xfd78 };
        Self {
            role,
            interface,
            mac: [0x02, 0xb7, 0, 0, net, host],
            v4: Ipv4Addr::new(10, net, 0, host),
            v6: Ipv6Addr::new(net6, 0, 0, 0, 0, 0, 0, host as u16),
        }
    }

    const fn without_address(role: Role, interface: &'static str, net: u8, host: u8) -> Self {
        Self {
            v4: Ipv4Addr::UNSPECIFIED,
            v6: Ipv6Addr::UNSPECIFIED,
            ..Self::new(role, interface, net, host)
        }
    }

    /// True when it has addresses: a wire has none, and its kernel answers nobody.
    pub(crate) fn has_addresses(&self) -> bool {
        !self.v4.is_unspecified()
    }

    /// The IPv4 network on the wire, as `ip route` writes it.
    pub(crate) fn subnet_v4(&self) -> String {
        let [a, b, c, _] = self.v4.octets();
        format!("{a}.{b}.{c}.0/24")
    }

    /// The IPv6 network on the wire, as `ip route` writes it.
    pub(crate) fn subnet_v6(&self) -> String {
        let [a, b, c, d, ..] = self.v6.segments();
        format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
    }

    /// The Ethernet address as `ip` writes it.
    pub fn mac_text(&self) -> String {
        let octets: Vec<String> = self
            .mac
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect();
        octets.join(":")
    }
}

/// Checksum and segmentation offloads of an interface.
///
/// A veth hands frames over in memory, so the kernel leaves out what a real link would force it to
/// do: checksums stay unfilled and segments stay 64 KiB large. A user-space stack at the other end
/// needs the real thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Offloads {
    /// As the kernel sets them on a new veth.
    Default,
    /// None: every frame leaves complete, and no larger than the MTU.
    Off,
}

impl Offloads {
    /// The arguments of `ethtool -K INTERFACE`.
    pub(crate) const fn features(self) -> [&'static str; 10] {
        match self {
            Self::Default => [
                "tx", "on", "sg", "on", "tso", "on", "gso", "on", "gro", "off",
            ],
            Self::Off => [
                "tx", "off", "sg", "off", "tso", "off", "gso", "off", "gro", "off",
            ],
        }
    }
}

/// How to make a lab. The default is what Byway needs on the server: complete frames from everyone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Receive and transmit queues of each interface, 1 to 64.
    pub queues: u32,
    /// MTU of each interface, 1280 (the least of IPv6) to 65535 bytes.
    pub mtu: u32,
    /// Offloads of the client's interface.
    pub client: Offloads,
    /// Offloads of both interfaces of the server.
    pub server: Offloads,
    /// Offloads of the backend's interface.
    pub backend: Offloads,
    /// Whether a wire stands between the client and the server. Nothing passes until a program in
    /// its namespace forwards, such as `byway wire eth0 eth1`.
    pub wire: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queues: 1,
            mtu: 1500,
            client: Offloads::Off,
            server: Offloads::Off,
            backend: Offloads::Off,
            wire: false,
        }
    }
}

impl Options {
    /// The offloads that the interfaces of this role get.
    pub const fn offloads(&self, role: Role) -> Offloads {
        match role {
            Role::Client => self.client,
            // It forwards frames as they are.
            Role::Wire => Offloads::Off,
            Role::Server => self.server,
            Role::Backend => self.backend,
        }
    }

    /// True when the lab has this role.
    pub(crate) fn has(&self, role: Role) -> bool {
        role != Role::Wire || self.wire
    }

    /// The veth pairs.
    pub(crate) fn pairs(&self) -> &'static [(End, End)] {
        if self.wire { &WIRED } else { &DIRECT }
    }
}

/// The congestion control of every connection over a lab: what the machine happens to default to
/// must not decide a comparison. It is an attribute of the routes, because the sysctl of a
/// namespace takes only what the machine allows to unprivileged users.
pub(crate) const CONGESTION_CONTROL: &str = "cubic";

/// Settings of a namespace, below `/proc/sys/net`. All are per namespace.
pub(crate) const SYSCTLS: [(&str, &str); 13] = [
    // Addresses must be usable at once: nobody else is on the wire to collide with.
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/dad_transmits", "0"),
    // No router will answer; asking is noise in captures and counters.
    ("ipv6/conf/default/router_solicitations", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    // Room for tens of thousands of connections between two addresses, and for them all at once.
    ("ipv4/ip_local_port_range", "16384 65535"),
    ("ipv4/tcp_max_syn_backlog", "65536"),
    ("core/somaxconn", "65536"),
    // Every refusal and every echo is answered: tests count them.
    ("ipv4/icmp_ratelimit", "0"),
    ("ipv6/icmp/ratelimit", "0"),
    // What one connection learned of the path must not decide how the next one does.
    ("ipv4/tcp_no_metrics_save", "1"),
];

/// Settings of a namespace that only forwards: its kernel keeps quiet.
pub(crate) const WIRE_SYSCTLS: [(&str, &str); 1] = [("ipv6/conf/default/disable_ipv6", "1")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_differ_and_wires_join_one_network() {
        let all = [
            CLIENT,
            WIRE_CLIENT,
            WIRE_SERVER,
            SERVER,
            SERVER_BACK,
            BACKEND,
        ];
        let macs: std::collections::HashSet<[u8; 6]> = all.map(|end| end.mac).into();
        assert_eq!(macs.len(), all.len());
        for (near, far) in DIRECT {
            assert_ne!(near.v4, far.v4);
            assert_eq!(near.v4.octets()[..3], far.v4.octets()[..3]);
            assert_eq!(near.v6.segments()[..4], far.v6.segments()[..4]);
            assert_eq!(
                near.mac[0] & 0x03,
                0x02,
                "locally administered, one station"
            );
        }
        assert_eq!(SERVER.v6.to_string(), "fd77::2");
        assert_eq!(BACKEND.v6.to_string(), "fd78::2");
        assert_eq!(
            (CLIENT.subnet_v4(), BACKEND.subnet_v6()),
            ("10.77.0.0/24".to_owned(), "fd78::/64".to_owned())
        );
        assert_eq!(CLIENT.mac_text(), "02:b7:00:00:4d:01");
    }

    #[test]
    fn options_survive_the_journal_and_may_be_partial() {
        let options = Options {
            queues: 2,
            client: Offloads::Default,
            ..Options::default()
        };
        let text = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&text).unwrap(), options);
        assert_eq!(
            serde_json::from_str::<Options>("{}").unwrap(),
            Options::default()
        );
        assert!(serde_json::from_str::<Options>(r#"{"queue":2}"#).is_err());
    }
}
