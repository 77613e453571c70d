//! The shard: one port, one core, one loop.

use crate::classify::{Arrival, Classifier};
use crate::clock::Clock;
use crate::config::ShardConfig;
use crate::core::{Core, NONE, Phase};
use crate::counters::{Counters, snapshot};
use crate::flow_table::{FlowHash, Record};
use crate::listener::ListenError;
use crate::mailbox::{Mailbox, MailboxHandle, Notice};
use crate::options::ConnOptions;
use crate::port::{BURST, Port, PortStats, RxFrame};
use crate::reactor::Reactor;
use crate::service::Service;
use crate::transmit::transmit;
use byway_sys::{prefetch_read, prefetch_record};
use byway_tcp::time::{Duration, Instant};
use byway_wire::ethernet::{HEADER_LEN, TAG_LEN};
use byway_wire::plain;
use byway_wire::{Endpoint, FlowKey};
use std::sync::atomic::{AtomicBool, Ordering};

/// An idle shard wakes at least this often, to look whether it should stop.
const LONGEST_WAIT: Duration = Duration::from_millis(10);
/// Octets that the cache moves at a time.
const CACHE_LINE: usize = 64;
/// Turns that the last frames get to leave in, when the shard ends.
const LAST_TURNS: u32 = 1000;

/// A frame of the burst, and the hash of its flow.
#[derive(Clone, Copy, Debug)]
enum What {
    /// A plain segment, and perhaps the connection it is for.
    Plain(plain::Frame, FlowHash, u32),
    /// Anything else, by its place among the others.
    Other(usize, FlowHash),
}

/// A port, its connections and their services: everything that one core does, without locks.
pub struct Shard<P, C> {
    port: P,
    clock: C,
    reactor: Reactor,
    classifier: Classifier,
    mailbox: MailboxHandle,
    burst: Vec<RxFrame>,
    arrivals: Vec<What>,
    /// Those of the burst that are not plain, which are larger.
    others: Vec<Arrival>,
    /// The flow that was hashed last, and its hash.
    last: (FlowKey, FlowHash),
    fired: Vec<u32>,
}

impl<P: Port, C: Clock> Shard<P, C> {
    /// A shard without services. Frames must hold the MTU of the configuration; what is beyond
    /// them is cut off.
    pub fn new(port: P, mut config: ShardConfig, mut clock: C) -> Self {
        let room = port
            .frame_capacity()
            .saturating_sub(HEADER_LEN + 2 * TAG_LEN);
        config.mtu = config.mtu.min(u16::try_from(room).unwrap_or(u16::MAX));
        let (mailbox, handle) = Mailbox::new(port.waker());
        let reactor = Reactor::new(Core::new(config.clone(), mailbox, clock.now()));
        let nobody = FlowKey::default();
        Self {
            last: (nobody, reactor.core.table.hash(&nobody)),
            classifier: Classifier::new(config.mac, config.trust_unfilled_checksums),
            reactor,
            port,
            clock,
            mailbox: handle,
            burst: Vec::with_capacity(BURST),
            arrivals: Vec::with_capacity(BURST),
            others: Vec::with_capacity(BURST),
            fired: Vec::new(),
        }
    }

    /// Adds a service; the index that listeners name it by.
    pub fn add_service(&mut self, service: Box<dyn Service>) -> u16 {
        self.reactor.services.push(Some(service));
        (self.reactor.services.len() - 1) as u16
    }

    /// Accepts connections at `endpoint` for a service. An unspecified address stands for all of
    /// [`ShardConfig::addresses`]. False when another service has the endpoint, and at the limit on
    /// listeners; nothing is changed then.
    pub fn listen(&mut self, endpoint: Endpoint, service: u16) -> bool {
        self.listen_with(endpoint, service, &ConnOptions::default())
    }

    /// As [`listen`](Self::listen), with options for the connections. They can be changed by
    /// listening once more; a handshake under way keeps those it began with.
    pub fn listen_with(&mut self, endpoint: Endpoint, service: u16, options: &ConnOptions) -> bool {
        self.reactor.core.listen(endpoint, service, options)
    }

    /// How other threads reach this shard.
    pub fn mailbox(&self) -> MailboxHandle {
        self.mailbox.clone()
    }

    /// One turn of the loop: the life of a packet, from the port to the service and back. True
    /// when there was something to do, or is something left to do.
    pub fn turn(&mut self) -> bool {
        self.reactor.core.now = self.clock.now();
        self.reactor.run_starts();

        let received = self.port.rx_burst(&mut self.burst);
        self.classify();
        self.lookup_burst();
        self.input();

        let fired = self.reactor.run_timers(&mut self.fired);
        let commands = self.reactor.run_commands();
        self.reactor.run_resumed();
        let wanted = self.reactor.run_turn_callbacks();
        self.reactor.run_stop();

        self.reactor.core.bound_windows();
        let sent = transmit(&mut self.reactor.core, &mut self.port);
        self.port.tx_commit();

        let worked = received + commands + sent as usize > 0 || fired || wanted;
        let busy = worked || self.reactor.core.has_work();
        self.reactor.core.counters.turns += 1;
        self.reactor.core.counters.busy_turns += u64::from(busy);
        busy
    }

    /// Parses and verifies what arrived, hashes its flow, and asks for the bucket of the flow table
    /// that its lookup will read.
    fn classify(&mut self) {
        let core = &mut self.reactor.core;
        // Another core, or the NIC, wrote the frames: ask for the headers of all of them first.
        for frame in &self.burst {
            let bytes = self.port.rx_bytes(frame);
            let headers = bytes.iter().step_by(CACHE_LINE).take(2);
            headers.for_each(prefetch_read);
        }
        for frame in &self.burst {
            let bytes = self.port.rx_bytes(frame);
            let what = match self.classifier.plain(bytes) {
                Some(plain) => {
                    // Segments of a flow come in trains: its hash is mostly that of the last one.
                    if plain.flow != self.last.0 {
                        self.last = (plain.flow, core.table.hash(&plain.flow));
                    }
                    core.table.prefetch(self.last.1);
                    What::Plain(plain, self.last.1, NONE)
                }
                None => {
                    let (counters, tcp) = (&mut core.counters, &mut core.tcp.counters);
                    let other = self.classifier.classify(bytes, counters, tcp);
                    let mut hash = FlowHash::default();
                    if let Arrival::Segment(frame) = &other {
                        hash = core.table.hash(&frame.flow);
                        core.table.prefetch(hash);
                    }
                    self.others.push(other);
                    What::Other(self.others.len() - 1, hash)
                }
            };
            self.arrivals.push(what);
        }
        core.counters.frames_in += self.burst.len() as u64;
        if self.classifier.unfilled_noticed(&core.counters) {
            core.mailbox.notify(Notice::ChecksumsUnfilled);
        }
    }

    /// Asks for the records that the lookups of the burst will read, and then for those that they
    /// lead to, so that the misses of a burst overlap.
    fn lookup_burst(&mut self) {
        let core = &self.reactor.core;
        // Of a train of segments the first one asks for all.
        let mut last = (FlowHash::default(), NONE);
        for what in &mut self.arrivals {
            let (What::Plain(_, hash, _) | What::Other(_, hash)) = what;
            if *hash != last.0 {
                let found = core.table.candidate(*hash);
                last = (*hash, NONE);
                if let Some(Record::Connection(index)) = found {
                    core.connections.prefetch(index);
                    last.1 = index;
                }
            }
            if let What::Plain(_, _, candidate) = what {
                *candidate = last.1;
            }
        }
        if self.arrivals.len() > 1 {
            self.prefetch_what_records_lead_to();
        }
    }

    fn prefetch_what_records_lead_to(&self) {
        let core = &self.reactor.core;
        let mut last = NONE;
        for what in &self.arrivals {
            if let What::Plain(_, _, candidate) = what
                && *candidate != last
                && let Some(conn) = core.connections.get(*candidate)
            {
                last = *candidate;
                core.buffers.prefetch(conn.owner().buffers);
                if let Some(flight) = conn.flight(&core.tcp) {
                    prefetch_record(flight);
                }
            }
        }
    }

    /// Gives every arrival to who it is for, and its frame back to the port.
    fn input(&mut self) {
        for (frame, what) in self.burst.iter().zip(&self.arrivals) {
            let bytes = self.port.rx_bytes(frame);
            match what {
                What::Plain(plain, hash, candidate) => {
                    let payload = bytes.get(plain.payload()).unwrap_or(&[]);
                    if !self.reactor.on_plain(plain, *hash, *candidate, payload) {
                        let core = &mut self.reactor.core;
                        let (counters, tcp) = (&mut core.counters, &mut core.tcp.counters);
                        let arrival = self.classifier.classify(bytes, counters, tcp);
                        self.reactor.on_arrival(&arrival, *hash, bytes);
                    }
                }
                What::Other(index, hash) => {
                    self.reactor.on_arrival(&self.others[*index], *hash, bytes);
                }
            }
        }
        self.arrivals.clear();
        self.others.clear();
        for frame in self.burst.drain(..) {
            self.port.release(frame);
        }
    }

    /// Turns until `stop` is set, a service asks for the end, or [`Command::Stop`] comes; then
    /// stops gracefully: no new connections, a FIN for those there are (a reset for those whose
    /// linger is zero), and a reset for those that are left when the time to linger is over.
    ///
    /// [`Command::Stop`]: crate::mailbox::Command::Stop
    pub fn run(&mut self, stop: &AtomicBool) {
        let mut last_work = self.clock.now();
        while !self.is_stopped() {
            let busy = self.turn();
            if stop.load(Ordering::Relaxed) {
                self.stop();
            }
            let now = self.reactor.core.now;
            if busy {
                last_work = now;
            } else if now.since(last_work) >= self.reactor.core.config.spin {
                let pause = self.next_deadline().since(now).min(LONGEST_WAIT);
                if !pause.is_zero() {
                    self.port.wait(pause);
                }
            }
        }
        for _ in 0..LAST_TURNS {
            if !self.turn() {
                break;
            }
        }
    }

    /// Begins a graceful stop, as [`run`](Self::run) does; for those who turn by themselves.
    pub fn stop(&mut self) {
        if self.reactor.core.phase == Phase::Running {
            self.reactor.core.phase = Phase::StopWanted;
        }
    }

    /// True when a graceful stop is complete: no connection is left.
    pub fn is_stopped(&self) -> bool {
        self.reactor.core.phase == Phase::Ended
    }

    /// When the next turn is due if nothing arrives; `Instant::NEVER` when none is.
    pub fn next_deadline(&self) -> Instant {
        self.reactor.core.next_deadline()
    }

    /// Connections in the records of this shard.
    pub fn connections(&self) -> u32 {
        self.reactor.core.connections.len()
    }

    /// Half-open connections of listeners.
    pub fn half_open(&self) -> u32 {
        self.reactor.core.half_open.len()
    }

    /// TIME-WAIT records.
    pub fn time_waits(&self) -> u32 {
        self.reactor.core.time_waits.len()
    }

    /// Blocks in use, to receive and to send.
    pub fn blocks_in_use(&self) -> (u32, u32) {
        let core = &self.reactor.core;
        (core.receive_blocks.in_use(), core.send_blocks.in_use())
    }

    /// Records of TCP in use beside the connections: what is in flight, what came out of order.
    pub fn tcp_records_in_use(&self) -> (usize, usize) {
        self.reactor.core.tcp.records_in_use()
    }

    /// What this shard counted.
    pub fn counters(&self) -> &Counters {
        &self.reactor.core.counters
    }

    /// What its TCP counted.
    pub fn tcp_counters(&self) -> &byway_tcp::counters::Counters {
        &self.reactor.core.tcp.counters
    }

    /// All counters by name.
    pub fn counter_snapshot(&self) -> Vec<(&'static str, u64)> {
        snapshot(self.tcp_counters(), self.counters())
    }

    /// The ledger of the port.
    pub fn port_stats(&self) -> PortStats {
        self.port.stats()
    }

    /// The port.
    pub fn port(&self) -> &P {
        &self.port
    }

    /// The port, for those who have to change it between turns.
    pub fn port_mut(&mut self) -> &mut P {
        &mut self.port
    }

    /// Checks what must hold between any two turns; what does not, as a sentence. Slow: for tests.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check_invariants(&self) -> Result<(), String> {
        let stats = self.port.stats();
        let accounted = stats.free + stats.filling + stats.held + stats.sending;
        if accounted != stats.frames {
            return Err(format!("{} frames are accounted for: {stats:?}", accounted));
        }
        self.reactor.core.check_invariants()
    }
}

impl Core {
    /// Accepts connections at `endpoint` for a service, unless the shard is about to end.
    pub(crate) fn listen(
        &mut self,
        endpoint: Endpoint,
        service: u16,
        options: &ConnOptions,
    ) -> bool {
        if self.phase != Phase::Running {
            return false;
        }
        let done = self.listeners.listen(endpoint, service, options);
        match done {
            Ok(()) => {}
            Err(ListenError::Full) => self.counters.listeners_full += 1,
            Err(ListenError::Taken) => self.counters.listeners_taken += 1,
        }
        done.is_ok()
    }
}
