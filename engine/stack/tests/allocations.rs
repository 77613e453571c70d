//! No allocation on the path of a packet, once the engine is warm.
//!
//! One test in this file only: the counting allocator counts for the whole process.

use byway_stack::clock::ManualClock;
use byway_stack::config::ShardConfig;
use byway_stack::context::Context;
use byway_stack::mailbox::Command;
use byway_stack::memory::MemoryPort;
use byway_stack::path::PathUpdate;
use byway_stack::{Service, Shard};
use byway_tcp::Secrets;
use byway_tcp::effects::CloseReason;
use byway_tcp::time::Duration;
use byway_wire::ethernet::MacAddr;
use byway_wire::{Address, Endpoint};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::cell::Cell;
use std::rc::Rc;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SERVER: Endpoint = Endpoint::new(Address::v4([10, 0, 0, 2]), 7);
const CONNECTIONS: usize = 50;
/// Octets of a response, more than a segment.
const RESPONSE: usize = 3000;

type End = Shard<MemoryPort, ManualClock>;

/// Answers each octet with `RESPONSE` octets.
struct Server;

impl Service for Server {
    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        for _ in data {
            conn.send(&[7; RESPONSE]);
        }
        data.len()
    }
}

/// Keeps connections open, one request under way on each; every tenth ends after its response, and
/// another takes its place.
struct Client {
    responses: Rc<Cell<u64>>,
    closes: Rc<Cell<u64>>,
}

impl Service for Client {
    fn on_start(&mut self, shard: &mut Context<'_>) {
        for _ in 0..CONNECTIONS {
            shard.connect(SERVER, None, 0).expect("a free port");
        }
    }

    fn on_open(&mut self, conn: &mut Context<'_>) {
        conn.send(b"?");
    }

    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        *conn.token_mut() += data.len() as u64;
        if conn.token() == RESPONSE as u64 {
            *conn.token_mut() = 0;
            self.responses.set(self.responses.get() + 1);
            match self.responses.get() % 10 {
                0 => conn.close(),
                _ => assert_eq!(conn.send(b"?"), 1),
            }
        }
        data.len()
    }

    fn on_closed(&mut self, conn: &mut Context<'_>, reason: CloseReason) {
        assert_eq!(reason, CloseReason::Finished);
        self.closes.set(self.closes.get() + 1);
        conn.connect(SERVER, None, 0).expect("a free port");
    }
}

struct World {
    clock: ManualClock,
    server: End,
    client: End,
    responses: Rc<Cell<u64>>,
    closes: Rc<Cell<u64>>,
}

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

fn address(last: u8) -> Address {
    Address::v4([10, 0, 0, last])
}

fn config(last: u8) -> ShardConfig {
    let secrets = Secrets {
        isn: [u64::from(last), 99],
        timestamp_offset: u32::from(last),
    };
    let mut config = ShardConfig::new(secrets, [u64::from(last), 2]);
    config.addresses = vec![address(last)];
    config.mac = Some(mac(last));
    // Reached while it warms up: what is kept in them has its full size then.
    config.limits.time_wait = 512;
    config
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::default();
        let (near, far) = MemoryPort::pair(4096);
        let (responses, closes) = (Rc::default(), Rc::default());
        let mut world = Self {
            server: Shard::new(far, config(2), clock.clone()),
            client: Shard::new(near, config(1), clock.clone()),
            clock,
            responses: Rc::clone(&responses),
            closes: Rc::clone(&closes),
        };
        let service = world.server.add_service(Box::new(Server));
        world.server.listen(SERVER, service);
        world
            .client
            .add_service(Box::new(Client { responses, closes }));
        let path = PathUpdate {
            remote: SERVER.address,
            local: address(1),
            src: mac(1),
            dst: mac(2),
            vlan: None,
            mtu: 1500,
        };
        let sent = world.client.mailbox().send(Command::Path(path));
        sent.expect("the mailbox is empty");
        world
    }

    /// Runs until so many more responses have come.
    fn run(&mut self, responses: u64) {
        let enough = self.responses.get() + responses;
        while self.responses.get() < enough {
            if !(self.server.turn() | self.client.turn()) {
                self.clock.advance(Duration::from_micros(100));
            }
            self.clock.advance(Duration::from_micros(1));
        }
    }
}

#[test]
fn a_warm_engine_does_not_allocate() {
    let mut world = World::new();
    world.run(20_000);
    let (region, closes) = (Region::new(ALLOCATOR), world.closes.get());
    world.run(20_000);
    let change = region.change();
    assert!(
        world.closes.get() > closes + 1000,
        "connections came and went"
    );
    assert_eq!(
        (
            change.allocations,
            change.reallocations,
            change.deallocations
        ),
        (0, 0, 0),
        "{change:?}"
    );
}
