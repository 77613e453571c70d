//! One engine of a simulation: a whole shard, its clock and its applications.

use crate::port::{SimPort, Spares};
use crate::scenario::{EnginePlan, SERVER_PORT, START, Scenario};
use crate::workload::{Applications, Host, address, ends};
use byway_stack::clock::Clock;
use byway_stack::mailbox::Command;
use byway_stack::path::PathUpdate;
use byway_stack::{Limits, Shard, ShardConfig};
use byway_tcp::time::{Duration, Instant};
use byway_tcp::{Config, Connection, Secrets, Tcp};
use byway_wire::ethernet::MacAddr;
use byway_wire::{Endpoint, FlowKey};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Records of each kind: more than any scenario needs.
const RECORDS: u32 = 128;

/// Virtual time, as an engine's own clock shows it.
#[derive(Clone, Debug)]
pub(crate) struct SimClock {
    now: Rc<Cell<Instant>>,
    ahead: Duration,
}

impl Clock for SimClock {
    fn now(&mut self) -> Instant {
        self.now.get() + self.ahead
    }
}

/// An engine.
pub(crate) struct Node {
    pub(crate) shard: Shard<SimPort, SimClock>,
    pub(crate) host: Rc<RefCell<Host>>,
    ahead: Duration,
}

fn mac(engine: usize) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, engine as u8 + 1])
}

impl Node {
    pub(crate) fn new(
        scenario: &Rc<Scenario>,
        number: usize,
        now: &Rc<Cell<Instant>>,
        spares: &mut Spares,
    ) -> Self {
        let plan = &scenario.engines[number];
        let ahead = plan.uptime + wrap_soon(scenario, number);
        let clock = SimClock {
            now: Rc::clone(now),
            ahead,
        };
        let port = SimPort::new(plan.frames, spares);
        let mut shard = Shard::new(port, config(plan, number), clock);
        let plans = Rc::new(scenario.connections.clone());
        let host = Rc::new(RefCell::new(Host::new(number, scenario.seed, plans, ahead)));
        let service = shard.add_service(Box::new(Applications(Rc::clone(&host))));
        for v6 in [false, true] {
            let listens = shard.listen(Endpoint::new(address(v6, number), SERVER_PORT), service);
            assert!(listens, "a new shard has room for listeners");
            for peer in (0..scenario.engines.len()).filter(|peer| *peer != number) {
                let path = PathUpdate {
                    remote: address(v6, peer),
                    local: address(v6, number),
                    src: mac(number),
                    dst: mac(peer),
                    vlan: None,
                    mtu: mtu(plan, v6),
                };
                let sent = shard.mailbox().send(Command::Path(path));
                assert!(sent.is_ok(), "a new mailbox is empty");
            }
        }
        Self { shard, host, ahead }
    }

    /// When a turn is due by virtual time, `Instant::NEVER` if none is.
    pub(crate) fn next_due(&self) -> Instant {
        let own = self
            .shard
            .next_deadline()
            .min(self.host.borrow().next_wake());
        if own.is_armed() {
            own - self.ahead
        } else {
            own
        }
    }

    /// When its applications took the last octet, from the begin of virtual time.
    pub(crate) fn last_octet(&self) -> Duration {
        let last = self.host.borrow().last_octet;
        last.map_or(Duration::ZERO, |at| (at - self.ahead).since(START))
    }

    /// What an engine at rest holds and should not.
    pub(crate) fn leaks(&self) -> Option<String> {
        let shard = &self.shard;
        let records = (shard.connections(), shard.half_open(), shard.time_waits());
        let stats = shard.port_stats();
        if records != (0, 0, 0) {
            return Some(format!(
                "connections, half-open ones and TIME-WAITs are left: {records:?}"
            ));
        }
        if shard.blocks_in_use() != (0, 0) {
            return Some(format!("blocks are left: {:?}", shard.blocks_in_use()));
        }
        if shard.tcp_records_in_use() != (0, 0) {
            let left = shard.tcp_records_in_use();
            return Some(format!("flights or reassembly records are left: {left:?}"));
        }
        (stats.free != stats.frames).then(|| format!("frames are missing: {stats:?}"))
    }
}

/// IPv6 links carry at least 1280 octets.
pub(crate) fn mtu(plan: &EnginePlan, v6: bool) -> u16 {
    if v6 { plan.mtu.max(1280) } else { plan.mtu }
}

fn secrets(plan: &EnginePlan) -> Secrets {
    Secrets {
        isn: plan.isn_secret,
        timestamp_offset: plan.timestamp_offset,
    }
}

fn config(plan: &EnginePlan, number: usize) -> ShardConfig {
    let mut config = ShardConfig::new(secrets(plan), plan.hash_key);
    config.tcp = plan.tcp.clone();
    config.limits = Limits {
        max_connections: RECORDS,
        syn_queue: RECORDS,
        time_wait: RECORDS,
        receive_blocks: plan.receive_blocks,
        send_blocks: plan.send_blocks,
        paths: 64,
        listeners: 8,
        ..Limits::default()
    };
    config.addresses = vec![address(false, number), address(true, number)];
    config.mac = Some(mac(number));
    config.mtu = plan.mtu;
    config
}

/// How far the clock has to be moved so that the sequence numbers of the chosen connection wrap:
/// they follow the clock, one every 64 ns (RFC 9293 §3.4.1).
fn wrap_soon(scenario: &Scenario, number: usize) -> Duration {
    let plan = &scenario.engines[number];
    let Some((index, octets)) = plan.wraps else {
        return Duration::ZERO;
    };
    let connection = &scenario.connections[index];
    let side = usize::from(connection.engines[0] != number);
    let (local, remote) = ends(connection, side);
    let flow = FlowKey { local, remote };
    let opens_at = connection.opens_at.max(START) + plan.uptime;
    let mut tcp = Tcp::new(Config::default(), secrets(plan), 1);
    let mut trial = Connection::connect(flow, 1460, opens_at, &mut tcp);
    let isn = trial
        .poll_transmit(opens_at, &mut tcp)
        .map_or(0, |syn| syn.seq.get());
    let ticks = 0u32.wrapping_sub(octets).wrapping_sub(isn);
    Duration::from_nanos(u64::from(ticks) << 6)
}
