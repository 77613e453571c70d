//! For testing services: two engines joined by a wire in memory, in virtual time.
//!
//! The TCP is the one that runs on a network interface; only the port and the clock are others. A
//! test needs no privileges and takes no time, and does the same each time it runs.
//!
//! ```
//! use byway::testing::Pair;
//! use byway::time::Duration;
//! use byway::{Context, Service};
//!
//! struct Echo;
//! impl Service for Echo {
//!     fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
//!         conn.send(data)
//!     }
//! }
//!
//! struct Client;
//! impl Service for Client {
//!     fn on_start(&mut self, shard: &mut Context<'_>) {
//!         shard.connect(Pair::SERVER, None, 0).expect("a free port");
//!     }
//!     fn on_open(&mut self, conn: &mut Context<'_>) {
//!         conn.send(b"hello");
//!     }
//!     fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
//!         assert_eq!(data, b"hello");
//!         conn.close();
//!         data.len()
//!     }
//! }
//!
//! let mut pair = Pair::new(Echo, Client);
//! pair.run(Duration::from_secs(1));
//! assert_eq!(pair.connections(), (0, 0));
//! ```

use crate::{Address, Endpoint, Limits, Service, TcpConfig};
use byway_stack::clock::ManualClock;
use byway_stack::config::ShardConfig;
use byway_stack::mailbox::Command;
use byway_stack::memory::MemoryPort;
use byway_stack::path::PathUpdate;
use byway_stack::shard::Shard;
use byway_tcp::time::{Duration, Instant};
use byway_wire::ethernet::MacAddr;
use std::fmt;

/// Frames of each end.
const FRAMES: u32 = 4096;
/// Turns for which the time stands still at most.
const TURNS: u32 = 10_000;

type Memory = Shard<MemoryPort, ManualClock>;

/// An engine that listens, and one that connects to it.
pub struct Pair {
    clock: ManualClock,
    server: Memory,
    client: Memory,
}

impl Pair {
    /// Where the server's service listens.
    pub const SERVER: Endpoint = Endpoint::new(Address::v4([10, 0, 0, 2]), 7);

    /// A service that listens at [`Pair::SERVER`], and one that connects to it from
    /// [`Service::on_start`] on.
    pub fn new(server: impl Service + 'static, client: impl Service + 'static) -> Self {
        Self::with(&TcpConfig::default(), server, client)
    }

    /// The same, with parameters of TCP for both.
    pub fn with(
        tcp: &TcpConfig,
        server: impl Service + 'static,
        client: impl Service + 'static,
    ) -> Self {
        let clock = ManualClock::default();
        let (near, far) = MemoryPort::pair(FRAMES);
        let mut pair = Self {
            server: Shard::new(far, config(tcp, 2), clock.clone()),
            client: Shard::new(near, config(tcp, 1), clock.clone()),
            clock,
        };
        let service = pair.server.add_service(Box::new(server));
        pair.server.listen(Self::SERVER, service);
        pair.client.add_service(Box::new(client));
        let path = PathUpdate {
            remote: Self::SERVER.address,
            local: address(1),
            src: mac(1),
            dst: mac(2),
            vlan: None,
            mtu: 1500,
        };
        pair.client
            .mailbox()
            .send(Command::Path(path))
            .expect("the mailbox is new and empty");
        pair
    }

    /// Runs both for so long, in virtual time.
    ///
    /// # Panics
    /// When an invariant of the engine is broken.
    pub fn run(&mut self, time: Duration) {
        let end = self.clock.peek() + time;
        loop {
            // Bounded, for services that ask for another turn each time.
            let mut left = TURNS;
            while left > 0 && self.server.turn() | self.client.turn() {
                left -= 1;
            }
            for shard in [&self.server, &self.client] {
                shard
                    .check_invariants()
                    .expect("the engine's invariants hold between turns");
            }
            let now = self.clock.peek();
            if now >= end {
                return;
            }
            let due = self.server.next_deadline().min(self.client.next_deadline());
            self.clock
                .advance_to(due.max(now + Duration::from_nanos(1)).min(end));
        }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.clock.peek()
    }

    /// Connections that the server and the client have, TIME-WAIT not counted.
    pub fn connections(&self) -> (u32, u32) {
        (self.server.connections(), self.client.connections())
    }

    /// A counter of the server and of the client, by its name.
    pub fn counter(&self, name: &str) -> (u64, u64) {
        let of = |shard: &Memory| {
            let all = shard.counter_snapshot();
            all.iter()
                .find(|(other, _)| *other == name)
                .map_or(0, |(_, value)| *value)
        };
        (of(&self.server), of(&self.client))
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

fn address(host: u8) -> Address {
    Address::v4([10, 0, 0, host])
}

fn mac(host: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, host])
}

fn config(tcp: &TcpConfig, host: u8) -> ShardConfig {
    // Keys that everybody knows protect nobody, and here there is nobody.
    let isn = [u64::from(host), 1];
    let secrets = byway_tcp::Secrets {
        isn,
        timestamp_offset: u32::from(host),
    };
    let mut config = ShardConfig::new(secrets, [u64::from(host), 2]);
    config.tcp = tcp.clone();
    config.limits = Limits {
        max_connections: 1024,
        syn_queue: 1024,
        time_wait: 1024,
        receive_blocks: 4096,
        send_blocks: 4096,
        ..Limits::default()
    };
    config.addresses = vec![address(host)];
    config.mac = Some(mac(host));
    config.ephemeral = 61_000..=65_535;
    config
}
