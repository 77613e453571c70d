//! From wishes to an engine that is set up.

use crate::addresses::{self, Wish};
use crate::control::Control;
use crate::control::netlink::{Link, Netlink};
use crate::engine::{Engine, Listening, Parts, Report};
use crate::notice::{Notice, Notices};
use crate::{ConnOptions, Dscp, Limits, Mode, Service, SetupError, TcpConfig};
use byway_stack::config::ShardConfig;
use byway_stack::flow_table::MAX_RECORDS;
use byway_wire::Endpoint;
use byway_wire::ethernet::MacAddr;
use byway_wire::ip::Treatment;
use byway_xdp::{Opened, Steering, XdpConfig, XdpPort};
use rustix::io::Errno;
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What an engine is to be. Made by [`Engine::builder`]; every method returns it, changed.
#[must_use = "a builder does nothing until `build`"]
pub struct EngineBuilder {
    pub(crate) interface: String,
    mode: Mode,
    queues: Option<RangeInclusive<u32>>,
    in_flight: u32,
    cpu: Option<usize>,
    listeners: Vec<(Wish, u16, ConnOptions)>,
    services: Vec<Box<dyn Service + Send>>,
    ephemeral: RangeInclusive<u16>,
    limits: Limits,
    tcp: TcpConfig,
    treatment: Treatment,
    trust_unfilled_checksums: bool,
    linger: Duration,
    spin: Duration,
    notices: Notices,
}

impl EngineBuilder {
    pub(crate) fn new() -> Self {
        Self {
            interface: String::new(),
            mode: Mode::Auto,
            queues: None,
            in_flight: 8192,
            cpu: None,
            listeners: Vec::new(),
            services: Vec::new(),
            ephemeral: 61_000..=65_535,
            limits: Limits::default(),
            tcp: TcpConfig::default(),
            treatment: Treatment::default(),
            trust_unfilled_checksums: false,
            linger: Duration::from_secs(3),
            spin: Duration::from_millis(1),
            notices: Notices::default(),
        }
    }

    /// The network interface to run on, in the network namespace of the thread that calls
    /// [`build`](Self::build). There is no default.
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = name.into();
        self
    }

    /// How frames get from the driver to the engine. Default: [`Mode::Auto`], the fastest that the
    /// interface can do.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Receive queues of the interface to serve. Default: all. Leave some out only when the card
    /// steers the engine's flows away from them.
    pub fn queues(mut self, queues: RangeInclusive<u32>) -> Self {
        self.queues = Some(queues);
        self
    }

    /// Frames that may be in flight in each direction: at least the number of connections that
    /// send at the same moment. Rounded up to a power of two. Default: 8,192. Each costs 4 KiB,
    /// or 8 KiB with an MTU above 1,500 or so.
    pub fn in_flight(mut self, frames: u32) -> Self {
        self.in_flight = frames;
        self
    }

    /// The CPU to run on. Default: whichever the scheduler chooses.
    pub fn cpu(mut self, cpu: usize) -> Self {
        self.cpu = Some(cpu);
        self
    }

    /// Accepts connections at an address and port, for this service. The address is one that the
    /// interface has; `0.0.0.0` and `[::]` stand for all of its family that it has.
    pub fn listen<S: Service + Send + 'static>(self, at: SocketAddr, service: S) -> Self {
        self.listen_each([at], service)
    }

    /// Accepts connections at several addresses, for one service.
    pub fn listen_each<S: Service + Send + 'static>(
        mut self,
        at: impl IntoIterator<Item = SocketAddr>,
        service: S,
    ) -> Self {
        let index = self.services.len() as u16;
        self.listeners.extend(
            at.into_iter()
                .map(|address| (Wish::At(address), index, PLAIN)),
        );
        self.service(service)
    }

    /// Accepts connections at a port of every address that the interface has.
    pub fn listen_everywhere<S: Service + Send + 'static>(mut self, port: u16, service: S) -> Self {
        self.listeners
            .push((Wish::Everywhere(port), self.services.len() as u16, PLAIN));
        self.service(service)
    }

    /// Sets up the connections that the service named last accepts: congestion control, Nagle,
    /// keep-alive, user timeout, DSCP and TTL, where they are not to be as for all others.
    pub fn connection_options(mut self, options: ConnOptions) -> Self {
        let last = self.services.len().wrapping_sub(1) as u16;
        for (_, service, of) in &mut self.listeners {
            if *service == last {
                *of = options;
            }
        }
        self
    }

    /// A service that accepts nothing: it opens connections, from
    /// [`Service::on_start`] on, with [`Context::connect`](crate::Context::connect).
    pub fn service<S: Service + Send + 'static>(mut self, service: S) -> Self {
        self.services.push(Box::new(service));
        self
    }

    /// Local ports of the connections that services open. Frames to them, on any address of the
    /// interface, are the engine's and not the kernel's. Default: 61000 to 65535, which is above
    /// what the kernel uses by default. `None` takes none, and no connection can be opened.
    pub fn ephemeral_ports(mut self, ports: impl Into<Option<RangeInclusive<u16>>>) -> Self {
        self.ephemeral = ports.into().unwrap_or(Steering::NO_PORTS);
        self
    }

    /// Limits on connections, buffers and work per turn.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Parameters of TCP.
    pub fn tcp(mut self, config: TcpConfig) -> Self {
        self.tcp = config;
        self
    }

    /// The Differentiated Services codepoint of what the engine sends, unless a listener or a
    /// connection chooses otherwise. Default: zero.
    pub fn dscp(mut self, dscp: Dscp) -> Self {
        self.treatment.dscp = dscp;
        self
    }

    /// The TTL or hop limit of what the engine sends, unless a listener or a connection chooses
    /// otherwise; zero is taken as one. Default: 64.
    //= rfc9293 3.9.2 MUST-49
    pub fn hop_limit(mut self, hop_limit: u8) -> Self {
        self.treatment.hop_limit = hop_limit.max(1);
        self
    }

    /// Takes segments whose checksum was left to an offload that a virtual link does not have.
    /// Right only where no physical link lies between, since nothing checks the bytes then.
    /// Default: off.
    pub fn trust_unfilled_checksums(mut self, trust: bool) -> Self {
        self.trust_unfilled_checksums = trust;
        self
    }

    /// How long a graceful stop waits for peers before it resets what is left. Default: 3 s.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// How long an idle engine keeps turning before it sleeps. Longer costs CPU, shorter costs
    /// the wake-up of the next frame. Default: 1 ms.
    pub fn spin(mut self, spin: Duration) -> Self {
        self.spin = spin;
        self
    }

    /// Who is told of what is no error but should not go unseen. Called during
    /// [`build`](Self::build), and later from a thread of the engine's own. Default: one line on
    /// standard error.
    pub fn on_notice(mut self, told: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.notices = Notices::new(told);
        self
    }

    /// Opens the interface and attaches to it: from here on, what is the engine's no longer
    /// reaches the kernel. Connections are answered once the engine runs.
    ///
    /// Needs `CAP_NET_ADMIN`, `CAP_NET_RAW` and `CAP_BPF`; running needs none of them.
    pub fn build(self) -> Result<Engine, SetupError> {
        self.check()?;
        let notices = Record::new(&self.notices);
        let (link, local) = self.look_up()?;
        let listening = self.listening(&local)?;

        let mut config = XdpConfig::new(self.interface.as_str());
        config.mode = self.mode;
        config.queues = self.queues.clone();
        let ring = self.in_flight.clamp(64, 1 << 20).next_power_of_two();
        (config.rx_ring, config.fill_ring, config.tx_ring) = (ring, ring, ring / 2);
        config.frames = ring * 2;
        config.steering = Steering {
            listen: listening
                .iter()
                .map(|wanted| Endpoint::from(wanted.address))
                .collect(),
            ephemeral: self.ephemeral.clone(),
            local: local.clone(),
        };
        let (port, opened) = XdpPort::open(&config)?;
        for reason in &opened.fallbacks {
            notices.tell(Notice::Fallback {
                reason: reason.clone(),
            });
        }
        self.look_around(&listening, &notices);
        let mtu = u16::try_from(opened.mtu).unwrap_or(u16::MAX);
        let control = Control::open(&self.interface, link, mtu, self.notices.clone())
            .map_err(|error| SetupError::io("netlink", &error, NETLINK_HINT))?;
        let shard = self.shard_config(&opened, &local, mtu)?;
        let report = self.report(&opened, &listening, notices.told.into_inner());
        Ok(Engine::new(Parts {
            port,
            control,
            shard,
            services: self.services,
            listening,
            cpu: self.cpu,
            report,
        }))
    }

    /// What can be said without asking the system.
    fn check(&self) -> Result<(), SetupError> {
        if self.interface.is_empty() {
            let hint = "name one with `interface`; `ip link` lists them";
            return Err(SetupError::new(
                "configuration",
                "no interface was named",
                hint,
            ));
        }
        if self.services.is_empty() {
            let hint = "give it one with `listen` or `service`";
            return Err(SetupError::new(
                "configuration",
                "the engine has no service",
                hint,
            ));
        }
        self.check_sizes()?;
        if let Some(cpu) = self.cpu {
            let cpus = byway_sys::affinity::cpus();
            if !cpus.contains(&cpu) {
                let hint = format!("this process may use the CPUs {cpus:?}");
                return Err(SetupError::new(
                    format!("cpu {cpu}"),
                    "there is no such CPU",
                    hint,
                ));
            }
        }
        Ok(())
    }

    /// Sizes that TCP and the shard's tables cannot have.
    fn check_sizes(&self) -> Result<(), SetupError> {
        let refuse = |cause: String, hint: &str| SetupError::new("configuration", cause, hint);
        for (name, octets) in [("rcv_buf", self.tcp.rcv_buf), ("snd_buf", self.tcp.snd_buf)] {
            if !BUFFERS.contains(&octets) {
                let cause = format!("{name} is {octets} octets");
                return Err(refuse(
                    cause,
                    "a buffer has 4 KiB at least and 1 GiB at most",
                ));
            }
        }
        let Limits {
            max_connections,
            syn_queue,
            time_wait,
            ..
        } = self.limits;
        let flows = u64::from(max_connections) + u64::from(syn_queue) + u64::from(time_wait);
        if max_connections == 0 || flows >= u64::from(MAX_RECORDS) {
            let cause = format!("the limits allow {flows} flows, {max_connections} of them open");
            return Err(refuse(
                cause,
                "1 open connection at least, 1,073,741,823 flows at most",
            ));
        }
        Ok(())
    }

    /// The interface and its addresses.
    fn look_up(&self) -> Result<(Link, Vec<IpAddr>), SetupError> {
        let step = || format!("interface {}", self.interface);
        let mut netlink =
            Netlink::open().map_err(|error| SetupError::io("netlink", &error, NETLINK_HINT))?;
        let link = netlink
            .link(&self.interface)
            .map_err(|error| SetupError::io(step(), &error, interface_hint(&error)))?;
        if !link.up {
            let hint = format!("`ip link set {} up`", self.interface);
            return Err(SetupError::new(step(), "the interface is down", hint));
        }
        let local = netlink
            .addresses(link.index)
            .map_err(|error| SetupError::io(step(), &error, "see `ip address`"))?;
        Ok((link, local))
    }

    /// Every address that is listened on, with the service it is for.
    fn listening(&self, local: &[IpAddr]) -> Result<Vec<Listening>, SetupError> {
        let mut all: Vec<Listening> = Vec::new();
        for (wish, service, options) in &self.listeners {
            for address in addresses::expand(*wish, local, &self.interface)? {
                if all.iter().any(|other| other.address == address) {
                    let hint = "give every service an address or a port of its own";
                    let step = format!("address {address}");
                    return Err(SetupError::new(step, "it is listened on twice", hint));
                }
                all.push(Listening {
                    address,
                    service: *service,
                    options: *options,
                });
            }
        }
        Ok(all)
    }

    /// Tells what of the kernel's will suffer.
    fn look_around(&self, listening: &[Listening], notices: &Record) {
        if let Some(kernel) = addresses::kernel_ports()
            && !self.ephemeral.is_empty()
            && self.ephemeral.start() <= kernel.end()
            && kernel.start() <= self.ephemeral.end()
        {
            notices.tell(Notice::PortsOverlap {
                ours: self.ephemeral.clone(),
                kernel,
            });
        }
        let kernel = addresses::kernel_listeners();
        for Listening { address, .. } in listening {
            if kernel
                .iter()
                .any(|other| addresses::shadows(*address, *other))
            {
                notices.tell(Notice::Shadowed { address: *address });
            }
        }
    }

    fn shard_config(
        &self,
        opened: &Opened,
        local: &[IpAddr],
        mtu: u16,
    ) -> Result<ShardConfig, SetupError> {
        let [isn, hash_key, [timestamps, _]] = [random()?, random()?, random()?];
        let secrets = byway_tcp::Secrets {
            isn,
            timestamp_offset: timestamps as u32,
        };
        let mut config = ShardConfig::new(secrets, hash_key);
        config.tcp = self.tcp.clone();
        config.limits = self.limits.clone();
        config.addresses = local.iter().map(|address| (*address).into()).collect();
        config.mac = Some(MacAddr(opened.mac));
        config.mtu = mtu;
        config.treatment = self.treatment;
        config.ephemeral = self.ephemeral.clone();
        config.trust_unfilled_checksums = self.trust_unfilled_checksums;
        config.spin = self.spin;
        config.linger = self.linger;
        Ok(config)
    }

    fn report(&self, opened: &Opened, listening: &[Listening], notices: Vec<Notice>) -> Report {
        Report {
            interface: self.interface.clone(),
            mode: opened.mode,
            fallbacks: opened.fallbacks.clone(),
            queues: opened.queues.clone(),
            mtu: opened.mtu,
            mac: opened.mac,
            listening: listening.iter().map(|wanted| wanted.address).collect(),
            notices,
        }
    }
}

/// The options of a listener that says nothing about them.
const PLAIN: ConnOptions = ConnOptions {
    congestion: None,
    nagle: None,
    keep_alive: None,
    user_timeout: None,
    dscp: None,
    hop_limit: None,
};

/// Octets of a send or receive buffer; window scaling ends at 1 GiB (RFC 7323 §2.3).
const BUFFERS: RangeInclusive<u32> = 4096..=1 << 30;

const NETLINK_HINT: &str = "allow AF_NETLINK sockets (a seccomp or systemd filter may forbid them)";

fn interface_hint(error: &io::Error) -> &'static str {
    if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) {
        "`ip link` lists the interfaces; one in another network namespace needs `ip netns exec`"
    } else {
        "see `ip link`"
    }
}

/// Two words that nobody can guess.
fn random() -> Result<[u64; 2], SetupError> {
    let mut bytes = [0; 16];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    match got {
        Ok(16) => {
            let word = u128::from_ne_bytes(bytes);
            Ok([word as u64, (word >> 64) as u64])
        }
        Ok(_) => Err(SetupError::new("random numbers", "too few", "try again")),
        Err(errno) => Err(SetupError::io("random numbers", &errno.into(), "try again")),
    }
}

/// Passes notices on and keeps them for the report.
struct Record<'a> {
    notices: &'a Notices,
    told: RefCell<Vec<Notice>>,
}

impl<'a> Record<'a> {
    fn new(notices: &'a Notices) -> Self {
        Self {
            notices,
            told: RefCell::default(),
        }
    }

    fn tell(&self, notice: Notice) {
        self.told.borrow_mut().push(notice.clone());
        self.notices.tell(notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;

    struct Nothing;

    impl Service for Nothing {
        fn on_data(&mut self, _: &mut Context<'_>, data: &[u8]) -> usize {
            data.len()
        }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn failure(builder: EngineBuilder) -> SetupError {
        builder.build().expect_err("it must not work")
    }

    #[test]
    fn what_is_missing_is_said() {
        let error = failure(EngineBuilder::new().listen(at("127.0.0.1:7"), Nothing));
        assert_eq!(error.to_string(), "configuration: no interface was named");
        let error = failure(EngineBuilder::new().interface("lo"));
        assert_eq!(
            error.to_string(),
            "configuration: the engine has no service"
        );
        let builder = EngineBuilder::new().interface("lo").service(Nothing);
        let error = failure(builder.cpu(usize::MAX));
        assert_eq!(error.cause(), "there is no such CPU");
    }

    #[test]
    fn sizes_have_bounds() {
        let builder = || EngineBuilder::new().interface("nowhere0").service(Nothing);
        let cause_of = |builder: EngineBuilder| failure(builder).cause().to_owned();
        let tcp = TcpConfig {
            rcv_buf: 4095,
            ..TcpConfig::default()
        };
        assert_eq!(cause_of(builder().tcp(tcp)), "rcv_buf is 4095 octets");
        let tcp = TcpConfig {
            snd_buf: (1 << 30) + 1,
            ..TcpConfig::default()
        };
        assert!(cause_of(builder().tcp(tcp)).starts_with("snd_buf is"));
        for max_connections in [0, MAX_RECORDS] {
            let limits = Limits {
                max_connections,
                ..Limits::default()
            };
            assert!(cause_of(builder().limits(limits)).starts_with("the limits allow"));
        }
    }

    #[test]
    fn an_interface_that_is_not_there() {
        let builder = EngineBuilder::new()
            .interface("nowhere0")
            .listen(at("[::]:7"), Nothing);
        let error = failure(builder);
        assert_eq!(error.step(), "interface nowhere0");
        assert_eq!(error.errno(), Some(Errno::NODEV.raw_os_error()));
        assert!(error.hint().contains("ip link"), "{}", error.hint());
    }

    #[test]
    fn two_services_cannot_share_an_endpoint() {
        let local = ["10.0.0.1".parse().unwrap()];
        let builder = EngineBuilder::new()
            .interface("eth0")
            .listen(at("10.0.0.1:7"), Nothing)
            .listen(at("0.0.0.0:7"), Nothing);
        let error = builder.listening(&local).unwrap_err();
        assert_eq!(
            error.to_string(),
            "address 10.0.0.1:7: it is listened on twice"
        );
    }

    #[test]
    fn options_are_those_of_the_service_named_last() {
        let local = ["10.0.0.1".parse().unwrap()];
        let options = ConnOptions {
            nagle: Some(true),
            ..ConnOptions::default()
        };
        let builder = EngineBuilder::new()
            .listen(at("10.0.0.1:7"), Nothing)
            .listen_each([at("10.0.0.1:8"), at("10.0.0.1:9")], Nothing)
            .connection_options(options)
            .listen_everywhere(10, Nothing);
        let listening = builder.listening(&local).unwrap();
        let chosen: Vec<bool> = listening.iter().map(|l| l.options == options).collect();
        assert_eq!(chosen, [false, true, true, false]);
        let nobody = EngineBuilder::new().connection_options(options);
        assert!(nobody.listening(&local).unwrap().is_empty());
    }

    #[test]
    fn secrets_differ() {
        assert_ne!(random().unwrap(), random().unwrap());
    }
}
