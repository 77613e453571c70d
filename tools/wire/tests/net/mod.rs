//! Two hosts with a wire between them, in three network namespaces: `client`, `wire`, `server`.

use byway_impair::{Config, Summary, Wire, WireError};
use byway_lab::Namespace;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const CLIENT4: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
pub(crate) const SERVER4: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 2);
pub(crate) const CLIENT6: Ipv6Addr = Ipv6Addr::new(0xfd79, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const SERVER6: Ipv6Addr = Ipv6Addr::new(0xfd79, 0, 0, 0, 0, 0, 0, 2);
const CLIENT_MAC: &str = "02:b7:00:00:4f:01";
const SERVER_MAC: &str = "02:b7:00:00:4f:02";

/// Longer than anything in these tests takes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// The namespaces; gone when it goes out of scope. There is one at a time: what is measured in one
/// test must not be disturbed by the load of another.
pub(crate) struct Net {
    pub(crate) client: Namespace,
    pub(crate) wire: Namespace,
    pub(crate) server: Namespace,
    _alone: MutexGuard<'static, ()>,
}

impl Net {
    pub(crate) fn up() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static ALONE: Mutex<()> = Mutex::new(());
        // A test that failed is no reason for the others to fail.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let serial = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bww-{:x}-{serial}", std::process::id());
        let named = |role: &str| Namespace::named(format!("{name}-{role}"));
        let net = Self {
            client: named("client"),
            wire: named("wire"),
            server: named("server"),
            _alone: alone,
        };
        let (client, wire, server) = (net.client.name(), net.wire.name(), net.server.name());
        for name in [client, wire, server] {
            ip(&format!("netns add {name}"));
        }
        // No chatter of the kernel's own: tests count frames.
        for namespace in [&net.client, &net.wire, &net.server] {
            let quiet = || std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
            namespace.run(quiet).unwrap().unwrap();
        }
        for (host, mac, inner) in [(client, CLIENT_MAC, "wa"), (server, SERVER_MAC, "wb")] {
            ip(&format!(
                "-n {host} link add eth0 address {mac} type veth peer name {inner} netns {wire}"
            ));
            ip(&format!("-n {wire} link set {inner} up"));
            ip(&format!("-n {host} link set eth0 up"));
        }
        ip(&format!("-n {client} address add {CLIENT4}/24 dev eth0"));
        ip(&format!("-n {server} address add {SERVER4}/24 dev eth0"));
        net
    }

    /// Gives both hosts IPv6 addresses, which they use at once.
    pub(crate) fn with_ipv6(self) -> Self {
        for (host, address) in [(&self.client, CLIENT6), (&self.server, SERVER6)] {
            let on = || {
                let settings = "/proc/sys/net/ipv6/conf/eth0";
                std::fs::write(format!("{settings}/router_solicitations"), "0").unwrap();
                std::fs::write(format!("{settings}/disable_ipv6"), "0").unwrap();
            };
            host.run(on).unwrap();
            let name = host.name();
            ip(&format!(
                "-n {name} address add {address}/64 dev eth0 nodad"
            ));
        }
        self
    }

    /// Tells both hosts the Ethernet address of the other, so that nobody asks.
    pub(crate) fn with_neighbours(self) -> Self {
        for (host, address, mac) in [
            (&self.client, SERVER4, SERVER_MAC),
            (&self.server, CLIENT4, CLIENT_MAC),
        ] {
            let name = host.name();
            ip(&format!(
                "-n {name} neigh add {address} lladdr {mac} dev eth0 nud permanent"
            ));
        }
        self
    }

    /// Starts the wire; frames are not lost from here on, except as told.
    pub(crate) fn join(&self, config: Config) -> Joined {
        let namespace = self.wire.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            namespace.enter().unwrap();
            let wire = Wire::open("wa", "wb", &config)?;
            ready.send(()).unwrap();
            wire.run(&stopped)
        });
        is_ready.recv_timeout(TIMEOUT).expect("the wire opens");
        Joined { stop, thread }
    }

    /// A socket of the client and one of the server, joined, with large receive buffers.
    pub(crate) fn udp(&self) -> (UdpSocket, UdpSocket) {
        udp_between(
            (&self.client, CLIENT4.into()),
            (&self.server, SERVER4.into()),
        )
    }
}

/// Two sockets that are joined, each at an address of a namespace.
pub(crate) fn udp_between(
    client: (&Namespace, IpAddr),
    server: (&Namespace, IpAddr),
) -> (UdpSocket, UdpSocket) {
    let open = |(namespace, at): (&Namespace, IpAddr)| {
        let bind = || UdpSocket::bind(SocketAddr::new(at, 0)).unwrap();
        let socket = namespace.run(bind).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 16 << 20).unwrap();
        socket
    };
    let (near, far) = (open(client), open(server));
    near.connect(far.local_addr().unwrap()).unwrap();
    far.connect(near.local_addr().unwrap()).unwrap();
    (near, far)
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in [&self.client, &self.wire, &self.server] {
            if namespace.exists() {
                ip(&format!("netns delete {}", namespace.name()));
            }
        }
    }
}

/// A wire that forwards, on a thread of its own.
pub(crate) struct Joined {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Summary, WireError>>,
}

impl Joined {
    pub(crate) fn stop(self) -> Summary {
        self.stop.store(true, Ordering::Relaxed);
        self.end().unwrap()
    }

    /// Waits for the wire to end by itself.
    pub(crate) fn end(self) -> Result<Summary, WireError> {
        self.thread.join().unwrap()
    }
}

/// Receives a datagram; a process that was stopped for a moment goes on waiting.
pub(crate) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.recv(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Runs `ip`, which must succeed.
pub(crate) fn ip(line: &str) -> String {
    let output = Command::new("ip").args(line.split_whitespace()).output();
    let output = output.expect("ip is installed");
    let (out, err) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "ip {line}: {err}");
    String::from_utf8(out).unwrap()
}
