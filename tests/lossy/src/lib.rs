//! Byte streams through a lossy network in memory: two shards, a wire that loses, reorders,
//! duplicates and damages frames, an echo, and a client that compares every byte that comes back.
//!
//! All of it runs in virtual time and from one seed, so a failure repeats.
#![forbid(unsafe_code)]

use byway_stack::clock::ManualClock;
use byway_stack::context::Context;
use byway_stack::fault::{FaultPort, Faults};
use byway_stack::mailbox::Command;
use byway_stack::memory::MemoryPort;
use byway_stack::path::PathUpdate;
use byway_stack::random::SplitMix;
use byway_stack::{Service, Shard, ShardConfig};
use byway_tcp::Secrets;
use byway_tcp::effects::CloseReason;
use byway_tcp::time::Duration;
use byway_wire::ethernet::MacAddr;
use byway_wire::{Address, Endpoint};
use std::cell::RefCell;
use std::rc::Rc;

/// One end of the lossy wire.
pub type End = Shard<FaultPort<MemoryPort, ManualClock>, ManualClock>;

const MACS: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];
const PORT: u16 = 7;
const FRAMES: u32 = 4096;
/// Turns that no transfer of a sound TCP comes near.
const MOST_TURNS: u64 = 20_000_000;

/// Which addresses the two ends have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    fn address(self, host: u8) -> Address {
        match self {
            Self::V4 => Address::v4([10, 0, 0, host]),
            Self::V6 => Address::v6([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]),
        }
    }
}

/// The network of the acceptance test: 2 % loss, 2 % reordering, 1 % duplication, 1 % damage.
pub fn bad_network() -> Faults {
    Faults {
        loss: 0.02,
        duplication: 0.01,
        corruption: 0.01,
        reordering: 0.02,
        reorder_by: Duration::from_micros(500),
        delay: Duration::from_micros(50),
    }
}

/// Sends back what it gets.
struct Echo;

impl Service for Echo {
    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        conn.send(data)
    }
}

/// How far the client is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Octets taken for sending.
    pub sent: usize,
    /// Octets that came back, each as it was sent.
    pub returned: usize,
    /// Where the first wrong octet was.
    pub wrong_at: Option<usize>,
    /// The peer closed its side.
    pub peer_closed: bool,
    /// The connection is over.
    pub closed: Option<CloseReason>,
}

/// Sends pseudo-random bytes and compares what comes back.
struct Client {
    remote: Endpoint,
    bytes: Vec<u8>,
    progress: Rc<RefCell<Progress>>,
}

impl Client {
    fn push(&self, conn: &mut Context<'_>) {
        let mut progress = self.progress.borrow_mut();
        progress.sent += conn.send(&self.bytes[progress.sent..]);
        if progress.sent == self.bytes.len() {
            conn.shutdown();
        }
    }
}

impl Service for Client {
    fn on_start(&mut self, shard: &mut Context<'_>) {
        shard
            .connect(self.remote, None, 0)
            .expect("nothing stands in the way at the start");
    }

    fn on_open(&mut self, conn: &mut Context<'_>) {
        self.push(conn);
    }

    fn on_writable(&mut self, conn: &mut Context<'_>) {
        self.push(conn);
    }

    fn on_data(&mut self, _conn: &mut Context<'_>, data: &[u8]) -> usize {
        let mut progress = self.progress.borrow_mut();
        let start = progress.returned;
        let expected = self.bytes.get(start..start + data.len());
        if expected != Some(data) && progress.wrong_at.is_none() {
            let same = |at: usize| self.bytes.get(start + at) == Some(&data[at]);
            let first = (0..data.len()).find(|&at| !same(at)).unwrap_or(0);
            progress.wrong_at = Some(start + first);
        }
        progress.returned += data.len();
        data.len()
    }

    fn on_peer_closed(&mut self, _conn: &mut Context<'_>) {
        self.progress.borrow_mut().peer_closed = true;
    }

    fn on_closed(&mut self, _conn: &mut Context<'_>, reason: CloseReason) {
        self.progress.borrow_mut().closed = Some(reason);
    }
}

/// The two ends, their clock and how far they are.
pub struct World {
    clock: ManualClock,
    /// The side that connects.
    pub client: End,
    /// The side that echoes.
    pub server: End,
    progress: Rc<RefCell<Progress>>,
    /// Turns of both sides so far.
    pub turns: u64,
}

impl World {
    /// A world in which `len` bytes are about to be echoed.
    pub fn new(family: Family, faults: &Faults, len: usize, seed: u64) -> Self {
        let mut random = SplitMix::new(seed);
        let clock = ManualClock::default();
        let (near, far) = MemoryPort::pair(FRAMES);
        let mut end = |port, host: u8| {
            let port = FaultPort::new(port, clock.clone(), faults.clone(), random.next_u64());
            let secrets = Secrets {
                isn: [random.next_u64(), random.next_u64()],
                timestamp_offset: 99,
            };
            let mut config = ShardConfig::new(secrets, [random.next_u64(), random.next_u64()]);
            config.addresses = vec![family.address(host)];
            config.mac = Some(MACS[usize::from(host) - 1]);
            config.limits.max_connections = 16;
            config.limits.syn_queue = 16;
            config.limits.time_wait = 16;
            config.limits.receive_blocks = 512;
            config.limits.send_blocks = 512;
            Shard::new(port, config, clock.clone())
        };
        let (mut client, mut server) = (end(near, 1), end(far, 2));
        let mut bytes = vec![0; len];
        random.fill(&mut bytes);
        let remote = Endpoint::new(family.address(2), PORT);
        let progress = Rc::new(RefCell::new(Progress::default()));
        let service = server.add_service(Box::new(Echo));
        server.listen(remote, service);
        client.add_service(Box::new(Client {
            remote,
            bytes,
            progress: Rc::clone(&progress),
        }));
        let route = PathUpdate {
            remote: remote.address,
            local: family.address(1),
            src: MACS[0],
            dst: MACS[1],
            vlan: None,
            mtu: 1500,
        };
        client
            .mailbox()
            .send(Command::Path(route))
            .expect("the mailbox is empty");
        Self {
            clock,
            client,
            server,
            progress,
            turns: 0,
        }
    }

    /// How far the client is.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Turns both ends until they are idle, then moves the clock to what is due next. False when
    /// nothing is due any more.
    pub fn step(&mut self) -> bool {
        while self.client.turn() | self.server.turn() {
            self.turns += 2;
        }
        let timers = self.client.next_deadline().min(self.server.next_deadline());
        let frames = self
            .client
            .port()
            .next_due()
            .min(self.server.port().next_due());
        let next = timers.min(frames);
        self.clock
            .advance_to(next.min(self.clock.peek() + Duration::from_secs(600)));
        next.is_armed()
    }

    /// Runs until the connection is over on both sides and everything is at rest. What is wrong
    /// with the outcome, as a sentence.
    ///
    /// # Errors
    /// Wrong bytes, too few bytes, no end, or a broken invariant.
    pub fn run(&mut self) -> Result<(), String> {
        while self.step() {
            if self.turns > MOST_TURNS {
                return Err(format!(
                    "no end after {} turns: {:?}",
                    self.turns,
                    self.progress()
                ));
            }
        }
        self.verdict()
    }

    fn verdict(&self) -> Result<(), String> {
        let progress = self.progress();
        if let Some(at) = progress.wrong_at {
            return Err(format!("octet {at} came back wrong"));
        }
        if progress.returned != progress.sent || !progress.peer_closed {
            return Err(format!("not everything came back: {progress:?}"));
        }
        if progress.closed != Some(CloseReason::Finished) {
            return Err(format!("the connection did not end properly: {progress:?}"));
        }
        for (name, end) in [("client", &self.client), ("server", &self.server)] {
            end.check_invariants()
                .map_err(|broken| format!("{name}: {broken}"))?;
            let stats = end.port_stats();
            if stats.held != 0 {
                return Err(format!("{name}: frames are not given back: {stats:?}"));
            }
            let left = (end.connections(), end.half_open(), end.time_waits());
            if left != (0, 0, 0) || end.blocks_in_use() != (0, 0) {
                return Err(format!(
                    "{name}: {left:?} are left, {:?} blocks",
                    end.blocks_in_use()
                ));
            }
            if end.tcp_records_in_use() != (0, 0) {
                return Err(format!(
                    "{name}: {:?} records are left",
                    end.tcp_records_in_use()
                ));
            }
        }
        Ok(())
    }
}
