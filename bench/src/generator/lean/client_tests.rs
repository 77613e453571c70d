//! The client against the engine and against the reflector, on a wire in memory, in virtual time.

use super::client::{Client, Route};
use super::tuples::Tuples;
use crate::generator::{GenerateArgs, GeneratorReport, tests::args};
use crate::load::Arrivals;
use crate::scenario::Scenario;
use crate::segment::End;
use crate::target::reflector::tests::Reflector;
use byway_stack::clock::ManualClock;
use byway_stack::context::Context;
use byway_stack::fault::{FaultPort, Faults};
use byway_stack::memory::MemoryPort;
use byway_stack::{Limits, Service, Shard, ShardConfig};
use byway_tcp::time::Duration;
use byway_wire::ethernet::MacAddr;
use byway_wire::{Address, Endpoint};
use std::net::Ipv4Addr;

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 7);
const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
/// A turn takes this long.
const TURN: Duration = Duration::from_micros(20);

type Wire = FaultPort<MemoryPort, ManualClock>;

/// What answers at the far end of the wire.
trait Far {
    fn turn(&mut self);
}

impl Far for Shard<Wire, ManualClock> {
    fn turn(&mut self) {
        Self::turn(self);
    }
}

impl Far for Reflector<Wire> {
    fn turn(&mut self) {
        Self::turn(self);
    }
}

/// Both ends of a wire.
struct Bed {
    clock: ManualClock,
    near: Wire,
    far: Option<Wire>,
}

impl Bed {
    fn new(faults: &Faults) -> Self {
        let clock = ManualClock::default();
        let (near, far) = MemoryPort::pair(2048);
        let wire = |port, seed| FaultPort::new(port, clock.clone(), faults.clone(), seed);
        Self {
            near: wire(near, 1),
            far: Some(wire(far, 2)),
            clock: clock.clone(),
        }
    }

    /// An engine with this service at the far end.
    fn engine(&mut self, service: impl Service + 'static) -> Shard<Wire, ManualClock> {
        let secrets = byway_tcp::Secrets {
            isn: [1, 2],
            timestamp_offset: 3,
        };
        let mut config = ShardConfig::new(secrets, [4, 5]);
        config.limits = Limits {
            max_connections: 1024,
            syn_queue: 1024,
            time_wait: 1024,
            receive_blocks: 1024,
            send_blocks: 1024,
            ..Limits::default()
        };
        config.addresses = vec![Address::v4(SERVER.0)];
        config.mac = Some(MacAddr(MACS.1));
        let port = self.far.take().expect("one far end");
        let mut shard = Shard::new(port, config, self.clock.clone());
        let service = shard.add_service(Box::new(service));
        assert!(shard.listen(Endpoint::new(Address::v4(SERVER.0), SERVER.1), service));
        shard
    }

    fn client(&self, args: &GenerateArgs, seed: u64) -> Client {
        let route = Route {
            stations: MACS,
            server: End {
                address: SERVER.0,
                port: SERVER.1,
            },
            tuples: Tuples::new(Ipv4Addr::new(10, 0, 0, 1), 1, args.connections),
        };
        Client::new(args, route, seed, self.clock.peek().as_nanos())
    }

    fn step(&mut self, client: &mut Client, far: &mut impl Far) -> bool {
        far.turn();
        let more = client.turn(&mut self.near, self.clock.peek().as_nanos());
        self.clock.advance(TURN);
        more
    }

    /// Runs to the end, and some turns more for what is under way.
    fn run(&mut self, client: &mut Client, far: &mut impl Far) -> GeneratorReport {
        let mut turns = 0;
        while self.step(client, far) {
            turns += 1;
            assert!(turns < 2_000_000, "the run does not end");
        }
        (0..10).for_each(|_| {
            far.turn();
            self.clock.advance(TURN);
        });
        client.recorder.report(None)
    }
}

fn rr(connections: u32) -> GenerateArgs {
    GenerateArgs {
        connections,
        ..args()
    }
}

fn crr(connections: u32) -> GenerateArgs {
    GenerateArgs {
        scenario: Scenario::Crr,
        ..rr(connections)
    }
}

/// Sends back what it gets, with an octet spoiled in the request of this number.
#[derive(Default)]
struct Echo {
    spoil: Option<u64>,
    /// Closes at the request of this number.
    close: Option<u64>,
    seen: u64,
}

impl Service for Echo {
    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        self.seen += 1;
        if self.close == Some(self.seen) {
            conn.close();
            return data.len();
        }
        let mut answer = data.to_vec();
        if self.spoil == Some(self.seen) {
            answer[3] ^= 1;
        }
        conn.send(&answer)
    }
}

#[test]
fn requests_to_the_engine_are_answered_and_all_connections_close() {
    for size in [1, 64, 1460] {
        let mut bed = Bed::new(&Faults::default());
        let mut engine = bed.engine(Echo::default());
        let mut client = bed.client(&GenerateArgs { size, ..rr(300) }, 7);
        let report = bed.run(&mut client, &mut engine);
        assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
        // 100 ms are 5,000 turns of the engine, which takes 64 frames in each.
        assert!(report.requests > 200_000, "{}", report.requests);
        assert_eq!((report.resent, report.malformed), (0, 0));
        assert_eq!(engine.connections(), 0, "all are closed");
        engine.check_invariants().unwrap();
    }
}

#[test]
fn connections_to_the_engine_come_and_go() {
    let mut bed = Bed::new(&Faults::default());
    let mut engine = bed.engine(Echo::default());
    let mut client = bed.client(&crr(50), 7);
    let report = bed.run(&mut client, &mut engine);
    assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
    assert!(report.requests > 50 * 500, "{}", report.requests);
    assert_eq!((report.resent, report.malformed), (0, 0));
    assert_eq!(engine.connections(), 0);
    let counters = engine.counter_snapshot();
    let of = |wanted: &str| {
        counters
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|c| c.1)
    };
    assert_eq!(
        of("TcpEstabResets"),
        Some(0),
        "every one was closed by FINs: {counters:?}"
    );
    assert!(of("TcpPassiveOpens") > Some(report.requests));
}

#[test]
fn what_the_network_does_costs_time_and_nothing_else() {
    let faults = Faults {
        loss: 0.004,
        duplication: 0.02,
        corruption: 0.004,
        reordering: 0.02,
        reorder_by: Duration::from_micros(300),
        ..Faults::default()
    };
    for args in [rr(50), crr(50)] {
        let mut bed = Bed::new(&faults);
        let mut engine = bed.engine(Echo::default());
        let mut client = bed.client(
            &GenerateArgs {
                duration_ms: 3000,
                ..args
            },
            7,
        );
        let report = bed.run(&mut client, &mut engine);
        assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
        assert!(report.requests > 1000, "{}", report.requests);
        assert!(report.resent > 10 && report.malformed > 10);
    }
}

#[test]
fn the_reflector_answers_everything() {
    for args in [rr(300), crr(50)] {
        let mut bed = Bed::new(&Faults::default());
        let mut reflector = Reflector::new(bed.far.take().unwrap());
        let mut client = bed.client(&args, 7);
        let report = bed.run(&mut client, &mut reflector);
        assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
        assert!(report.requests > 50 * 500, "{}", report.requests);
        assert_eq!((report.resent, report.malformed), (0, 0));
    }
}

#[test]
fn a_lossy_wire_to_the_reflector_stalls_nobody() {
    let faults = Faults {
        loss: 0.01,
        ..Faults::default()
    };
    let mut bed = Bed::new(&faults);
    let mut reflector = Reflector::new(bed.far.take().unwrap());
    let mut client = bed.client(
        &GenerateArgs {
            duration_ms: 2000,
            ..crr(20)
        },
        7,
    );
    let report = bed.run(&mut client, &mut reflector);
    assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
    assert!(report.resent > 10);
}

#[test]
fn what_the_server_does_wrong_is_counted() {
    let outcome = |echo: Echo| {
        let mut bed = Bed::new(&Faults::default());
        let mut engine = bed.engine(echo);
        let mut client = bed.client(&rr(5), 7);
        let report = bed.run(&mut client, &mut engine);
        assert!(report.requests > 1000, "the others go on");
        assert_eq!(engine.connections(), 0);
        report.errors
    };
    let errors = outcome(Echo {
        spoil: Some(12),
        ..Echo::default()
    });
    assert_eq!((errors.mismatched, errors.total()), (1, 1));
    let errors = outcome(Echo {
        close: Some(12),
        ..Echo::default()
    });
    assert_eq!((errors.closed, errors.total()), (1, 1));
}

#[test]
fn a_server_that_refuses_ends_the_run() {
    let mut bed = Bed::new(&Faults::default());
    let mut engine = bed.engine(Echo::default());
    let tuples = Tuples::new(Ipv4Addr::new(10, 0, 0, 1), 1, 5);
    let server = End {
        address: SERVER.0,
        port: 8,
    };
    let mut client = Client::new(
        &rr(5),
        Route {
            stations: MACS,
            server,
            tuples,
        },
        7,
        0,
    );
    let report = bed.run(&mut client, &mut engine);
    assert_eq!((report.errors.not_opened, report.requests), (5, 0));
}

#[test]
fn connections_that_the_server_still_has_are_reset_and_opened_anew() {
    let mut bed = Bed::new(&Faults::default());
    let mut engine = bed.engine(Echo::default());
    let mut first = bed.client(&rr(5), 7);
    for _ in 0..50 {
        assert!(bed.step(&mut first, &mut engine));
    }
    assert_eq!(engine.connections(), 5);
    drop(first);
    // The same seed: the same addresses and ports, and at another time other sequence numbers.
    let mut second = bed.client(&rr(5), 7);
    second.draw_apart();
    let report = bed.run(&mut second, &mut engine);
    assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
    assert!(report.requests > 1000);
}

/// Answers what came in only after every so many turns, so that requests wait.
struct Slow {
    every: u32,
    turns: u32,
    waiting: Vec<(byway_stack::ConnId, Vec<u8>)>,
}

impl Slow {
    fn new(every: u32) -> Self {
        Self {
            every,
            turns: 0,
            waiting: Vec::new(),
        }
    }
}

impl Service for Slow {
    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        self.waiting.push((conn.id(), data.to_vec()));
        data.len()
    }

    fn on_turn(&mut self, shard: &mut Context<'_>) -> bool {
        self.turns += 1;
        if self.turns.is_multiple_of(self.every) {
            for (id, answer) in self.waiting.drain(..) {
                assert!(!shard.select(id) || shard.send(&answer) == answer.len());
            }
        }
        false
    }
}

fn open_loop(rate: u64, connections: u32, arrivals: Arrivals) -> GenerateArgs {
    GenerateArgs {
        rate: Some(rate),
        arrivals,
        ..rr(connections)
    }
}

fn histogram(text: &str) -> hdrhistogram::Histogram<u64> {
    crate::stats::decode(text).unwrap()
}

#[test]
fn an_open_loop_to_the_engine_asks_at_its_rate() {
    for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
        let mut bed = Bed::new(&Faults::default());
        let mut engine = bed.engine(Echo::default());
        let mut client = bed.client(&open_loop(100_000, 50, arrivals), 7);
        let report = bed.run(&mut client, &mut engine);
        assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
        let open = report.open.unwrap();
        // 100 ms: 10,000 arrivals; of a Poisson process, give or take five times their root.
        assert!((9_500..=10_520).contains(&open.arrivals), "{open:?}");
        assert!(report.requests.abs_diff(open.arrivals) <= 50);
        assert_eq!((open.refused, open.unanswered), (0, 0));
        let lag = histogram(&open.lag_histogram);
        assert!(
            u128::from(lag.max()) <= TURN.as_nanos() * 1001 / 1000,
            "{}",
            lag.max()
        );
        assert_eq!(engine.connections(), 0);
    }
}

#[test]
fn a_busy_connection_delays_its_requests_and_that_counts() {
    let mut bed = Bed::new(&Faults::default());
    // Answers every 2 ms, and a connection is asked every 0.5 ms: the queue grows and grows.
    let mut engine = bed.engine(Slow::new(100));
    let mut client = bed.client(&open_loop(2_000, 1, Arrivals::Constant), 7);
    let report = bed.run(&mut client, &mut engine);
    let open = report.open.unwrap();
    assert!(report.requests * 3 < open.arrivals, "{}", report.requests);
    let (response, service) = (
        histogram(&report.histogram),
        histogram(&open.service_histogram),
    );
    assert_eq!(response.len(), service.len() + open.unanswered);
    assert!(service.max() < 5_000_000, "{}", service.max());
    assert!(response.value_at_quantile(0.5) > 50_000_000);
    assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
}

#[test]
fn connections_that_think_ask_less() {
    let mut bed = Bed::new(&Faults::default());
    let mut engine = bed.engine(Echo::default());
    let args = GenerateArgs {
        think_us: 10_000,
        ..rr(20)
    };
    let mut client = bed.client(&args, 7);
    let report = bed.run(&mut client, &mut engine);
    assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
    // 100 ms in which each of the 20 asks every 10 ms and a little.
    assert!(
        (160..=200).contains(&report.requests),
        "{}",
        report.requests
    );
}
