//! smoltcp as a server, on a device in memory, for the same exchanges with the same clients.
//!
//! It is given what favours it: IP packets without an Ethernet header, small buffers where the
//! exchange is small, its input and output called one by one where `poll` does more, a service
//! that knows which socket has something to read, and a clock so slow that no timer fires.

use crate::frames::{MSS, SERVER};
use crate::meter::Meter;
use crate::peer::{Kind, Peer, REQUEST};
use crate::port::{CHUNK, CHUNKS, Link};
use crate::scenario::{Order, Scenario, Terms};
use crate::services::PIECE;
use smoltcp::iface::{
    Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet,
};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::collections::VecDeque;

/// Octets of an Ethernet header.
const LINK: usize = 14;
/// Frames of each direction's half of the pool.
const HALF: usize = CHUNKS / 2;
/// Frames that are made ahead.
const BATCH: usize = 2048;

/// One direction's memory, used in a circle.
#[derive(Debug)]
struct Ring {
    memory: Vec<[u8; CHUNK]>,
    next: usize,
    frames: VecDeque<(usize, usize)>,
}

impl Ring {
    fn new() -> Self {
        let mut empty = [0; CHUNK];
        // The clients look at frames, and these are of IPv4.
        empty[12] = 8;
        Self {
            memory: vec![empty; HALF],
            next: 0,
            frames: VecDeque::with_capacity(HALF),
        }
    }

    fn push(&mut self, len: usize) -> &mut [u8] {
        assert!(self.frames.len() < HALF, "a batch fits the pool");
        let at = self.next;
        self.next = (at + 1) % HALF;
        self.frames.push_back((at, len));
        &mut self.memory[at][..len]
    }
}

/// The device.
#[derive(Debug)]
struct Memory {
    incoming: Ring,
    outgoing: Ring,
    /// What is left of this poll's burst.
    left: usize,
}

impl Link for Memory {
    fn offer(&mut self, len: usize) -> &mut [u8] {
        self.incoming.push(len)
    }

    fn collect(&mut self, mut look: impl FnMut(&[u8])) {
        for (at, len) in self.outgoing.frames.drain(..) {
            look(&self.outgoing.memory[at][..len]);
        }
    }
}

/// A packet that arrived.
struct Arrived<'a>(&'a [u8]);

/// Room for a packet to send.
struct Room<'a>(&'a mut Ring);

impl RxToken for Arrived<'_> {
    #[inline]
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for Room<'_> {
    #[inline]
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        f(&mut self.0.push(len + LINK)[LINK..])
    }
}

impl Device for Memory {
    type RxToken<'a> = Arrived<'a>;
    type TxToken<'a> = Room<'a>;

    #[inline]
    fn receive(&mut self, _now: Instant) -> Option<(Arrived<'_>, Room<'_>)> {
        self.left = self.left.checked_sub(1)?;
        let (at, len) = self.incoming.frames.pop_front()?;
        let packet = &self.incoming.memory[at][LINK..len];
        Some((Arrived(packet), Room(&mut self.outgoing)))
    }

    #[inline]
    fn transmit(&mut self, _now: Instant) -> Option<Room<'_>> {
        (self.outgoing.frames.len() < HALF).then_some(Room(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

/// What its service does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Echo,
    Sink,
    Source,
}

/// A server with a socket for each client.
struct Server {
    memory: Memory,
    interface: Interface,
    sockets: SocketSet<'static>,
    handles: Vec<SocketHandle>,
    clock: std::time::Instant,
    role: Role,
    piece: Vec<u8>,
}

impl Server {
    fn new(terms: Terms, clients: usize, buffer: usize, role: Role) -> Self {
        let mut memory = Memory {
            incoming: Ring::new(),
            outgoing: Ring::new(),
            left: 0,
        };
        let config = Config::new(HardwareAddress::Ip);
        let mut interface = Interface::new(config, &mut memory, Instant::ZERO);
        interface.update_ip_addrs(|all| {
            let [a, b, c, d] = SERVER.address.as_v4().expect("clients speak IPv4");
            let address = IpAddress::v4(a, b, c, d);
            all.push(IpCidr::new(address, 8)).expect("there is room");
        });
        let mut sockets = SocketSet::new(Vec::new());
        let buffer = || SocketBuffer::new(vec![0; buffer]);
        let handles = (0..clients)
            .map(|_| {
                let mut socket = Socket::new(buffer(), buffer());
                socket.set_nagle_enabled(false);
                if terms.timestamps {
                    socket.set_tsval_generator(Some(|| 1));
                }
                socket.listen(SERVER.port).expect("the socket is new");
                sockets.add(socket)
            })
            .collect();
        Self {
            memory,
            interface,
            sockets,
            handles,
            clock: std::time::Instant::now(),
            role,
            piece: vec![0x42; PIECE],
        }
    }

    /// One turn: so many frames, which are of these clients. As `Interface::poll` does, but with
    /// the service between input and output, and one look at all sockets for output where each has
    /// one packet at most: `poll` would look once more, to find nothing.
    fn turn(&mut self, frames: usize, clients: impl Iterator<Item = u32>) {
        self.memory.left = frames;
        let now = Instant::from_micros((self.clock.elapsed().as_nanos() >> 20) as i64);
        let Self {
            interface,
            memory,
            sockets,
            ..
        } = self;
        interface.poll_maintenance(now);
        while interface.poll_ingress_single(now, memory, sockets) != PollIngressSingleResult::None {
        }
        for client in clients {
            let socket = sockets.get_mut::<Socket<'_>>(self.handles[client as usize]);
            serve(socket, self.role, &self.piece);
        }
        while interface.poll_egress(now, memory, sockets) != PollResult::None
            && self.role != Role::Echo
        {}
    }

    /// Turns until nothing waits, of which these clients send, in this order.
    fn drain(&mut self, per_turn: usize, clients: &[u32]) {
        for burst in clients.chunks(per_turn) {
            self.turn(burst.len(), burst.iter().copied());
        }
    }
}

/// What the service does with a socket. What is not possible yet is so after the next packet.
fn serve(socket: &mut Socket<'_>, role: Role, piece: &[u8]) {
    match role {
        Role::Echo => {
            let mut request = [0; REQUEST];
            if let Ok(len) = socket.recv_slice(&mut request) {
                let _ = socket.send_slice(&request[..len]);
            }
        }
        Role::Sink => {
            while socket
                .recv(|data| (data.len(), data.len()))
                .is_ok_and(|len| len > 0)
            {}
        }
        Role::Source => while socket.send_slice(piece).is_ok_and(|len| len > 0) {},
    }
}

/// smoltcp in one of the exchanges.
pub(crate) struct Smol {
    server: Server,
    peer: Peer,
    order: Order,
    per_turn: usize,
    batch: Vec<u32>,
    operations: u64,
}

impl Smol {
    fn new(terms: Terms, clients: usize, per_turn: usize, buffer: usize, role: Role) -> Self {
        let setup = terms.setup(clients, per_turn, MSS);
        let mut peer = Peer::new(clients, setup.dialect);
        let mut server = Server::new(terms, clients, buffer, role);
        for client in 0..clients as u32 {
            peer.send(&mut server.memory, client, Kind::Syn, 0);
            server.turn(1, [].into_iter());
            peer.collect(&mut server.memory);
            peer.send(&mut server.memory, client, Kind::Ack, 0);
            server.turn(1, [client].into_iter());
        }
        Self {
            server,
            peer,
            order: Order::shuffled(clients),
            per_turn,
            batch: Vec::with_capacity(BATCH),
            operations: 0,
        }
    }

    /// Requests and responses.
    pub(crate) fn requests(terms: Terms, clients: usize, per_turn: usize) -> Self {
        Self::new(terms, clients, per_turn, 2048, Role::Echo)
    }

    /// Full segments in.
    pub(crate) fn inflow(terms: Terms) -> Self {
        Self::new(terms, 1, 64, 256 * 1024, Role::Sink)
    }

    /// Full segments out.
    pub(crate) fn outflow(terms: Terms) -> Self {
        Self::new(terms, 1, 64, 4 * 1024 * 1024, Role::Source)
    }

    fn send_batch(&mut self, kind: Kind, answer: usize) {
        self.batch.clear();
        for _ in 0..BATCH {
            let client = self.order.next();
            self.batch.push(client);
            self.peer
                .send(&mut self.server.memory, client, kind, answer);
        }
    }

    /// Every second segment that came is acknowledged, a burst of that a turn.
    fn outflow_batch(&mut self, meter: &mut Meter) -> u64 {
        let enough = (BATCH * self.peer.dialect().full_segment()) as u64;
        let mut octets = 0;
        while octets < enough {
            octets += self.peer.collect_and_acknowledge(&mut self.server.memory);
            let frames = self.server.memory.incoming.frames.len();
            let server = &mut self.server;
            meter.run(|| {
                for _ in 0..frames.div_ceil(self.per_turn).max(1) {
                    server.turn(self.per_turn, [0].into_iter());
                }
            });
        }
        octets
    }
}

impl Scenario for Smol {
    fn batch(&mut self, meter: &mut Meter) -> u64 {
        let per_batch = match self.server.role {
            Role::Source => return self.outflow_batch(meter),
            Role::Echo => {
                self.send_batch(Kind::Request, REQUEST);
                BATCH as u64
            }
            Role::Sink => {
                self.send_batch(Kind::Full, 0);
                (BATCH * self.peer.dialect().full_segment()) as u64
            }
        };
        let Self {
            server,
            batch,
            per_turn,
            ..
        } = self;
        meter.run(|| server.drain(*per_turn, batch));
        self.peer.collect(&mut self.server.memory);
        self.peer.tick();
        self.operations += BATCH as u64;
        per_batch
    }

    fn check(&self) -> Result<(), String> {
        let seen = self.peer.seen();
        let wanted = self.operations * REQUEST as u64;
        if self.server.role == Role::Echo && seen.payload != wanted {
            return Err(format!("{} octets in place of {wanted}", seen.payload));
        }
        match seen.wrong {
            0 => Ok(()),
            wrong => Err(format!("{wrong} wrong answers")),
        }
    }
}
