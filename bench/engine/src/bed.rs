//! A shard on a port in memory, and clients for it.

use crate::frames::{Dialect, MSS, SERVER, SERVER_MAC};
use crate::meter::Meter;
use crate::peer::{Kind, Peer};
use crate::port::BenchPort;
use byway_stack::clock::{Clock, MonotonicClock};
use byway_stack::port::BURST;
use byway_stack::{Service, Shard, ShardConfig};
use byway_tcp::Secrets;
use byway_tcp::time::{Duration, Instant};
use std::cell::Cell;
use std::rc::Rc;

/// Frames that are made ahead of the turns that take them, where the exchange allows: with the
/// answers they are half of the pool, and more than the second-level cache holds.
pub(crate) const BATCH: usize = 2048;
/// Handshakes that are under way at a time while connections are made.
const OPENING: usize = 2048;

/// The time of a measurement, which stands still while the server does.
#[derive(Clone, Debug)]
pub(crate) enum BenchClock {
    /// The machine's: each turn pays for its reading, as it does in earnest.
    Real(Pausing),
    /// The same in every run: so many nanoseconds a reading.
    Steps(Instant, Duration),
}

/// The machine's clock without its pauses. Clones show the same time.
#[derive(Clone, Debug)]
pub(crate) struct Pausing {
    clock: MonotonicClock,
    /// All pauses so far.
    paused: Rc<Cell<Duration>>,
}

impl Pausing {
    fn new() -> Self {
        Self {
            clock: MonotonicClock::new(),
            paused: Rc::default(),
        }
    }

    #[inline]
    fn now(&mut self) -> Instant {
        self.clock.now() - self.paused.get()
    }

    /// Goes on from `since`, which it showed last.
    fn resume(&mut self, since: Instant) {
        let now = self.now();
        self.paused.set(self.paused.get() + now.since(since));
    }
}

impl BenchClock {
    /// The machine's clock, or one that moves by 100 ns a turn.
    fn new(real: bool) -> Self {
        if real {
            Self::Real(Pausing::new())
        } else {
            Self::Steps(
                Instant::from_nanos(1_000_000_000),
                Duration::from_nanos(100),
            )
        }
    }
}

impl Clock for BenchClock {
    #[inline]
    fn now(&mut self) -> Instant {
        match self {
            Self::Real(clock) => clock.now(),
            Self::Steps(now, step) => {
                *now += *step;
                *now
            }
        }
    }
}

/// The shard that is measured.
pub(crate) type EngineShard = Shard<BenchPort, BenchClock>;

/// What a measurement starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Connections that are open during the measurement.
    pub(crate) clients: usize,
    /// Frames that a turn receives at most.
    pub(crate) per_turn: usize,
    /// How the clients set up their connections.
    pub(crate) dialect: Dialect,
    /// Whether time is the machine's.
    pub(crate) real_clock: bool,
}

/// Server and clients.
pub(crate) struct Bed {
    pub(crate) shard: EngineShard,
    pub(crate) peer: Peer,
    per_turn: usize,
    /// Shows the time of the shard, and when that stood still last.
    clock: BenchClock,
    since: Instant,
}

impl Bed {
    /// A server with this service and clients that have sent nothing yet.
    pub(crate) fn new(setup: &Setup, service: Box<dyn Service>) -> Self {
        let peer = Peer::new(setup.clients, setup.dialect);
        let port = BenchPort::new(setup.per_turn);
        Self::with(setup, service, peer, port)
    }

    /// As [`new`](Self::new), of parts that are there already.
    pub(crate) fn with(
        setup: &Setup,
        service: Box<dyn Service>,
        peer: Peer,
        port: BenchPort,
    ) -> Self {
        let config = config(setup);
        let mut clock = BenchClock::new(setup.real_clock);
        let mut shard = Shard::new(port, config, clock.clone());
        let service = shard.add_service(service);
        assert!(shard.listen(SERVER, service), "the endpoint is free");
        Self {
            shard,
            peer,
            per_turn: setup.per_turn,
            since: clock.now(),
            clock,
        }
    }

    /// Opens the connections of all clients by handshakes.
    pub(crate) fn establish(&mut self) {
        self.shard.port_mut().set_per_turn(BURST);
        let mut idle = Meter::idle();
        let clients = self.peer.len() as u32;
        for first in (0..clients).step_by(OPENING) {
            let some = first..clients.min(first + OPENING as u32);
            self.send_all(some.clone(), Kind::Syn, 0);
            self.run(&mut idle);
            self.send_all(some, Kind::Ack, 0);
            self.run(&mut idle);
        }
        self.shard.port_mut().set_per_turn(self.per_turn);
    }

    /// Each of these clients sends one segment.
    pub(crate) fn send_all(
        &mut self,
        clients: impl Iterator<Item = u32>,
        kind: Kind,
        answer: usize,
    ) {
        for client in clients {
            self.peer.send(self.shard.port_mut(), client, kind, answer);
        }
    }

    /// Lets the server take what was sent, and the clients what it answers.
    pub(crate) fn run(&mut self, meter: &mut Meter) {
        self.turns(meter);
        self.peer.collect(self.shard.port_mut());
        self.peer.tick();
    }

    /// Lets the server take what was sent.
    pub(crate) fn turns(&mut self, meter: &mut Meter) {
        if let BenchClock::Real(clock) = &mut self.clock {
            clock.resume(self.since);
        }
        meter.turns(&mut self.shard);
        self.since = self.clock.now();
    }

    /// Turns that find nothing to do, this many; nanoseconds of each.
    pub(crate) fn idle_turns(&mut self, count: u32) -> f64 {
        let start = std::time::Instant::now();
        for _ in 0..count {
            self.shard.turn();
        }
        start.elapsed().as_nanos() as f64 / f64::from(count)
    }

    /// What must be true of every measurement: nothing was refused, hardly anything sent twice.
    ///
    /// # Errors
    /// What went wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        let tcp = self.shard.tcp_counters();
        let seen = self.peer.seen();
        let dropped: u64 = tcp.dropped.iter().sum();
        let stats = self.shard.port_stats();
        let facts = [
            ("wrong answers", seen.wrong, 0),
            ("dropped segments", dropped, 0),
            ("checksum errors", tcp.in_csum_errors, 0),
            ("duplicates", tcp.duplicates, 0),
            ("SYN cookies", tcp.syn_cookies_sent, 0),
            // A machine that stops for long enough makes probes leave.
            ("segments sent again", tcp.retrans_segs, tcp.out_segs / 1000),
        ];
        for (what, count, allowed) in facts {
            if count > allowed {
                return Err(format!("{count} {what}"));
            }
        }
        let accounted = stats.free + stats.filling + stats.held + stats.sending;
        if accounted == stats.frames {
            Ok(())
        } else {
            Err(format!("frames are lost: {stats:?}"))
        }
    }
}

/// The defaults, with keys that are the same in every run.
fn config(setup: &Setup) -> ShardConfig {
    let secrets = Secrets {
        isn: [1, 2],
        timestamp_offset: 3,
    };
    let mut config = ShardConfig::new(secrets, [4, 5]);
    config.addresses = vec![SERVER.address];
    config.mac = Some(SERVER_MAC);
    config.limits.max_connections = (setup.clients as u32).max(1024);
    if setup.dialect.mss < MSS {
        // Narrower than the clients' link, so that what just fills a segment there is more here.
        config.mtu = setup.dialect.mss + 39;
    }
    // A pause of the machine, or of the clients while they prepare, is no loss.
    config.tcp.rto_initial = Duration::from_secs(30);
    config.tcp.rto_min = Duration::from_secs(30);
    config
}
