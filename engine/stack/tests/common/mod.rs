//! Two shards on a wire in memory, in virtual time, and a service that does what a test says.
#![allow(dead_code, missing_docs, unreachable_pub)]

use byway_stack::clock::ManualClock;
use byway_stack::context::{ConnId, Context};
use byway_stack::fault::{FaultPort, Faults};
use byway_stack::mailbox::Command;
use byway_stack::memory::MemoryPort;
use byway_stack::path::PathUpdate;
use byway_stack::{Service, Shard, ShardConfig, SoftError};
use byway_tcp::Secrets;
use byway_tcp::effects::CloseReason;
use byway_tcp::time::Duration;
use byway_wire::ethernet::MacAddr;
use byway_wire::{Address, Endpoint};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

pub const CLIENT: Address = Address::v4([10, 0, 0, 1]);
pub const SERVER: Address = Address::v4([10, 0, 0, 2]);
pub const CLIENT_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub const SERVER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
pub const PORT: u16 = 7;

pub type End = Shard<FaultPort<MemoryPort, ManualClock>, ManualClock>;
type Action = Box<dyn FnOnce(&mut Context<'_>)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Open(ConnId),
    PeerClosed(ConnId),
    Closed(ConnId, CloseReason),
    SoftError(ConnId, SoftError),
    Silence(ConnId),
}

/// What a probe saw, and what it is to do.
pub struct State {
    pub events: Vec<Event>,
    pub received: HashMap<ConnId, Vec<u8>>,
    /// Octets taken in one `on_data`.
    pub appetite: usize,
    /// The one connection that anything is taken from.
    pub only: Option<ConnId>,
    /// Send back what was received, as much as can be sent.
    pub echo: bool,
    /// Answer the peer's FIN with ours.
    pub close_back: bool,
    /// Panic when this octet arrives.
    pub poison: Option<u8>,
    pub writable: usize,
    /// What `soft_error` said in `on_closed`.
    pub last_words: Option<SoftError>,
    pub actions: VecDeque<Action>,
    /// What a test asserted in an action did not hold: the shard catches the panic of a service.
    pub failed: bool,
}

#[derive(Clone)]
pub struct Probe(pub Rc<RefCell<State>>);

impl Probe {
    pub fn new() -> Self {
        Self(Rc::new(RefCell::new(State {
            events: Vec::new(),
            received: HashMap::new(),
            appetite: usize::MAX,
            only: None,
            echo: false,
            close_back: true,
            poison: None,
            writable: 0,
            last_words: None,
            actions: VecDeque::new(),
            failed: false,
        })))
    }

    pub fn echo() -> Self {
        let probe = Self::new();
        probe.0.borrow_mut().echo = true;
        probe
    }

    pub fn act(&self, action: impl FnOnce(&mut Context<'_>) + 'static) {
        self.0.borrow_mut().actions.push_back(Box::new(action));
    }

    pub fn on(&self, id: ConnId, action: impl FnOnce(&mut Context<'_>) + 'static) {
        self.act(move |shard| {
            assert!(shard.select(id), "{id:?} is gone");
            action(shard);
        });
    }

    pub fn events(&self) -> Vec<Event> {
        self.0.borrow().events.clone()
    }

    pub fn opened(&self) -> Vec<ConnId> {
        let state = self.0.borrow();
        let open = |event: &Event| match event {
            Event::Open(id) => Some(*id),
            _ => None,
        };
        state.events.iter().filter_map(open).collect()
    }

    pub fn received(&self, id: ConnId) -> Vec<u8> {
        self.0
            .borrow()
            .received
            .get(&id)
            .cloned()
            .unwrap_or_default()
    }

    pub fn closed(&self, id: ConnId) -> Option<CloseReason> {
        let state = self.0.borrow();
        state.events.iter().find_map(|event| match event {
            Event::Closed(closed, reason) if *closed == id => Some(*reason),
            _ => None,
        })
    }
}

/// Sees a panic go by.
struct Witness(Probe);

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.0.borrow_mut().failed = true;
        }
    }
}

impl Service for Probe {
    fn on_open(&mut self, conn: &mut Context<'_>) {
        self.0.borrow_mut().events.push(Event::Open(conn.id()));
    }

    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        let mut state = self.0.borrow_mut();
        if let Some(poison) = state.poison {
            assert!(!data.contains(&poison), "poisoned");
        }
        let mut taken = data.len().min(state.appetite);
        if state.only.is_some_and(|only| only != conn.id()) {
            taken = 0;
        }
        if state.echo {
            taken = conn.send(&data[..taken]);
        }
        state
            .received
            .entry(conn.id())
            .or_default()
            .extend_from_slice(&data[..taken]);
        taken
    }

    fn on_writable(&mut self, _conn: &mut Context<'_>) {
        self.0.borrow_mut().writable += 1;
    }

    fn on_peer_closed(&mut self, conn: &mut Context<'_>) {
        let mut state = self.0.borrow_mut();
        state.events.push(Event::PeerClosed(conn.id()));
        if state.close_back {
            conn.shutdown();
        }
    }

    fn on_silence(&mut self, conn: &mut Context<'_>) {
        self.0.borrow_mut().events.push(Event::Silence(conn.id()));
    }

    fn on_soft_error(&mut self, conn: &mut Context<'_>, error: SoftError) {
        let mut state = self.0.borrow_mut();
        state.failed |= conn.soft_error() != Some(error);
        state.events.push(Event::SoftError(conn.id(), error));
    }

    fn on_closed(&mut self, conn: &mut Context<'_>, reason: CloseReason) {
        let mut state = self.0.borrow_mut();
        state.last_words = conn.soft_error();
        state.events.push(Event::Closed(conn.id(), reason));
    }

    fn on_turn(&mut self, shard: &mut Context<'_>) -> bool {
        let action = self.0.borrow_mut().actions.pop_front();
        let acted = action.is_some();
        if let Some(action) = action {
            let witness = Witness(self.clone());
            action(shard);
            drop(witness);
        }
        acted
    }
}

pub fn config(address: Address, mac: MacAddr) -> ShardConfig {
    let mut config = ShardConfig::new(
        Secrets {
            isn: [1, u64::from(mac.0[5])],
            timestamp_offset: 7,
        },
        [3, 4],
    );
    config.addresses = vec![address];
    config.mac = Some(mac);
    config.limits.max_connections = 64;
    config.limits.syn_queue = 16;
    config.limits.time_wait = 16;
    config.limits.receive_blocks = 1024;
    config.limits.send_blocks = 1024;
    config
}

pub fn path(remote: Address, local: Address, src: MacAddr, dst: MacAddr) -> Command {
    Command::Path(PathUpdate {
        remote,
        local,
        src,
        dst,
        vlan: None,
        mtu: 1500,
    })
}

pub struct World {
    pub clock: ManualClock,
    pub client: End,
    pub server: End,
    pub client_probe: Probe,
    pub server_probe: Probe,
}

impl World {
    /// A client that knows its path, and a server that listens at [`PORT`].
    pub fn new() -> Self {
        Self::with(|_| {}, |_| {})
    }

    pub fn with(
        client: impl FnOnce(&mut ShardConfig),
        server: impl FnOnce(&mut ShardConfig),
    ) -> Self {
        let clock = ManualClock::default();
        let (a, b) = MemoryPort::pair(512);
        let a = FaultPort::new(a, clock.clone(), Faults::default(), 1);
        let b = FaultPort::new(b, clock.clone(), Faults::default(), 2);
        let (mut here, mut there) = (config(CLIENT, CLIENT_MAC), config(SERVER, SERVER_MAC));
        client(&mut here);
        server(&mut there);
        let mut client = Shard::new(a, here, clock.clone());
        let mut server = Shard::new(b, there, clock.clone());
        let (client_probe, server_probe) = (Probe::new(), Probe::echo());
        client.add_service(Box::new(client_probe.clone()));
        let service = server.add_service(Box::new(server_probe.clone()));
        assert!(server.listen(Endpoint::new(SERVER, PORT), service));
        client
            .mailbox()
            .send(path(SERVER, CLIENT, CLIENT_MAC, SERVER_MAC))
            .unwrap();
        let mut world = Self {
            clock,
            client,
            server,
            client_probe,
            server_probe,
        };
        world.settle();
        world
    }

    /// Turns both ends until neither has anything to do at this moment.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            if !(self.client.turn() | self.server.turn()) {
                self.check();
                return;
            }
        }
        panic!("no end to it");
    }

    pub fn check(&self) {
        for probe in [&self.client_probe, &self.server_probe] {
            assert!(!probe.0.borrow().failed, "an assertion in an action");
        }
        self.client.check_invariants().unwrap();
        self.server.check_invariants().unwrap();
    }

    /// Lets time pass, stopping wherever something is due.
    pub fn pass(&mut self, time: Duration) {
        let end = self.clock.peek() + time;
        self.settle();
        loop {
            let timers = self.client.next_deadline().min(self.server.next_deadline());
            let frames = self
                .client
                .port()
                .next_due()
                .min(self.server.port().next_due());
            let next = timers.min(frames);
            if next > end {
                break;
            }
            self.clock
                .advance_to(next.max(self.clock.peek() + Duration::from_micros(1)));
            self.settle();
        }
        self.clock.advance_to(end);
        self.settle();
    }

    /// Opens a connection; its names at both ends.
    pub fn connect(&mut self) -> (ConnId, ConnId) {
        let id = self.start_connect(Endpoint::new(SERVER, PORT));
        self.settle();
        assert_eq!(self.client_probe.opened().last(), Some(&id));
        (id, *self.server_probe.opened().last().unwrap())
    }

    pub fn start_connect(&mut self, remote: Endpoint) -> ConnId {
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        self.client_probe.act(move |shard| {
            *slot.borrow_mut() = Some(shard.connect(remote, None, 0));
        });
        while result.borrow().is_none() {
            self.client.turn();
        }
        let outcome = result.take();
        outcome.unwrap().unwrap()
    }

    /// Lets every frame travel for this long.
    pub fn delay(&mut self, delay: Duration) {
        let faults = Faults {
            delay,
            ..Faults::default()
        };
        self.client.port_mut().set_faults(faults.clone());
        self.server.port_mut().set_faults(faults);
    }
}

pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 253) as u8).collect()
}
