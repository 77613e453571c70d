//! smoltcp as the peer, in the engine's virtual time.

use crate::app::{App, Shared};
use crate::wire::{IpWire, Seen};
use crate::world::{Opener, Peer};
use crate::{Family, PORT};
use byway_stack::clock::ManualClock;
use byway_stack::fault::Faults;
use byway_stack::memory::MemoryPort;
use byway_stack::port::PortStats;
use byway_tcp::effects::CloseReason;
use byway_tcp::time::Instant;
use byway_wire::Address;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, RecvError, Socket, SocketBuffer, State};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

const LOCAL_PORT: u16 = 40_000;
const MTU: usize = 1500;

/// What may differ between two runs of smoltcp.
#[derive(Clone, Debug)]
pub struct SmolOptions {
    /// Octets of its receive buffer: its largest window.
    pub receive: usize,
    /// Octets of its send buffer.
    pub send: usize,
    /// Whether its window grows with what is acknowledged, and how.
    pub congestion: CongestionControl,
    /// Whether it offers and takes timestamps.
    pub timestamps: bool,
    /// From which it draws its initial sequence number.
    pub seed: u64,
}

impl Default for SmolOptions {
    fn default() -> Self {
        Self {
            receive: 128 * 1024,
            send: 128 * 1024,
            congestion: CongestionControl::Cubic,
            timestamps: false,
            seed: 1,
        }
    }
}

/// A smoltcp interface with one socket that follows a script.
pub struct SmolPeer {
    clock: ManualClock,
    wire: IpWire<ManualClock>,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    app: Shared,
    said_fin: bool,
}

impl SmolPeer {
    /// A peer at the far end of a wire.
    ///
    /// # Panics
    /// When smoltcp does not take what it is given.
    pub fn new(
        mut wire: IpWire<ManualClock>,
        clock: ManualClock,
        family: Family,
        opener: Opener,
        options: &SmolOptions,
        app: Shared,
    ) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = options.seed;
        let mut interface = Interface::new(config, &mut wire, smoltcp_time(&clock));
        let prefix = if family == Family::V4 { 24 } else { 64 };
        interface.update_ip_addrs(|all| {
            all.push(IpCidr::new(ip(family.address(2)), prefix))
                .expect("there is room for one address");
        });
        let buffer = |octets| SocketBuffer::new(vec![0; octets]);
        let mut socket = Socket::new(buffer(options.receive), buffer(options.send));
        socket.set_congestion_control(options.congestion);
        if options.timestamps {
            socket.set_tsval_generator(Some(milliseconds));
        }
        match opener {
            Opener::Peer => {
                let remote = (ip(family.address(1)), PORT);
                socket
                    .connect(interface.context(), remote, LOCAL_PORT)
                    .expect("the socket is new");
            }
            Opener::Byway => socket.listen(PORT).expect("the socket is new"),
        }
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket);
        Self {
            clock,
            wire,
            interface,
            sockets,
            handle,
            app,
            said_fin: false,
        }
    }

    /// Lets the script act on the socket; true when it did something.
    fn talk(&mut self) -> bool {
        let now = self.clock.peek();
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        let mut app = App::lock(&self.app);
        let mut acted = false;
        if !matches!(
            socket.state(),
            State::Listen | State::Closed | State::SynSent | State::SynReceived
        ) {
            app.open(now);
        }
        if !app.is_open() {
            return false;
        }
        acted |= read(socket, &mut app, now);
        if app.wants_reset() {
            socket.abort();
            app.closed(CloseReason::Aborted);
            return true;
        }
        while socket.can_send() && !app.unsent().is_empty() {
            let Ok(taken) = socket.send_slice(app.unsent()) else {
                break;
            };
            app.sent(taken);
            acted = true;
        }
        if app.wants_fin() && !self.said_fin {
            socket.close();
            self.said_fin = true;
            acted = true;
        }
        // What arrived before the end is still to be read.
        let over = matches!(
            socket.state(),
            State::Closed | State::Listen | State::TimeWait
        );
        if over && socket.recv_queue() == 0 {
            let finished = app.outcome().peer_closed && self.said_fin;
            app.closed(if finished {
                CloseReason::Finished
            } else {
                CloseReason::Reset
            });
        }
        acted
    }
}

/// Reads what the script wants to; true when there was something.
fn read(socket: &mut Socket<'_>, app: &mut App, now: Instant) -> bool {
    let mut acted = false;
    let mut buffer = [0; 4096];
    loop {
        let wanted = app.may_read(now).min(buffer.len());
        if wanted == 0 {
            return acted;
        }
        match socket.recv_slice(&mut buffer[..wanted]) {
            Ok(0) => return acted,
            Ok(len) => {
                app.read(&buffer[..len]);
                acted = true;
            }
            Err(RecvError::Finished) => {
                acted |= !app.outcome().peer_closed;
                app.peer_closed();
                return acted;
            }
            Err(RecvError::InvalidState) => return acted,
        }
    }
}

impl Peer for SmolPeer {
    fn poll(&mut self) -> bool {
        let now = smoltcp_time(&self.clock);
        let before = self.wire.seen().packets;
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
        let acted = self.talk();
        if acted {
            self.interface.poll(now, &mut self.wire, &mut self.sockets);
        }
        self.wire.flush();
        acted || self.wire.seen().packets != before
    }

    fn next_due(&mut self) -> Instant {
        let now = self.clock.peek();
        let timer = self
            .interface
            .poll_at(smoltcp_time(&self.clock), &self.sockets)
            .map_or(Instant::NEVER, |at| {
                Instant::from_nanos(at.total_micros().unsigned_abs() * 1000)
            });
        let reads = App::lock(&self.app).next_read(now);
        timer.min(self.wire.next_due()).min(reads)
    }

    fn seen(&self) -> Seen {
        self.wire.seen()
    }

    fn stats(&self) -> PortStats {
        self.wire.stats()
    }
}

/// A seed with which smoltcp's first initial sequence number is in this range.
///
/// # Panics
/// When there is none among the first million.
pub fn smoltcp_seed(range: std::ops::RangeInclusive<u32>) -> u64 {
    let iss = |seed: &u64| {
        let clock = ManualClock::default();
        let (_near, far) = MemoryPort::pair(2);
        let wire = IpWire::new(far, clock.clone(), Faults::default(), 0);
        let options = SmolOptions {
            receive: 1024,
            send: 1024,
            seed: *seed,
            ..SmolOptions::default()
        };
        let (app, _) = App::pair(crate::Script::sends(0), crate::Script::sends(0), 0);
        let mut peer = SmolPeer::new(wire, clock, Family::V4, Opener::Peer, &options, app);
        peer.poll();
        peer.seen().iss.1
    };
    (1..1_000_000)
        .find(|seed| iss(seed).is_some_and(|iss| range.contains(&iss)))
        .expect("every number comes up some time")
}

/// The clock of smoltcp's timestamps, which is a function without a state: real time will do,
/// since they are only echoed.
fn milliseconds() -> u32 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u32
}

fn smoltcp_time(clock: &ManualClock) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros((clock.peek().as_nanos() / 1000) as i64)
}

fn ip(address: Address) -> IpAddress {
    IpAddress::from(std::net::IpAddr::from(address))
}

/// A packet that arrived.
#[derive(Debug)]
pub struct Arrived(Vec<u8>);

/// Room for a packet to send.
#[derive(Debug)]
pub struct Room<'a>(&'a mut IpWire<ManualClock>);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.send(&packet);
        result
    }
}

impl Device for IpWire<ManualClock> {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _now: smoltcp::time::Instant) -> Option<(Arrived, Room<'_>)> {
        let packet = IpWire::receive(self)?;
        Some((Arrived(packet), Room(self)))
    }

    fn transmit(&mut self, _now: smoltcp::time::Instant) -> Option<Room<'_>> {
        Some(Room(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}
