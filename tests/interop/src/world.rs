//! The engine and a peer, a wire between them, and a clock.

use crate::app::{App, Outcome, Script, Shared};
use crate::byway_end::{Talk, Tuning};
use crate::wire::{IpWire, Seen};
use crate::{Family, PORT, mac};
use byway_stack::Shard;
use byway_stack::clock::{Clock, ManualClock, MonotonicClock};
use byway_stack::fault::{FaultPort, Faults};
use byway_stack::mailbox::Command;
use byway_stack::memory::MemoryPort;
use byway_stack::path::PathUpdate;
use byway_stack::port::PortStats;
use byway_tcp::time::{Duration, Instant};

const FRAMES: u32 = 4096;
/// Steps that no conversation of a sound TCP comes near.
const MOST_STEPS: u64 = 5_000_000;

/// Who sends the first SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    /// The engine.
    Byway,
    /// The other TCP.
    Peer,
}

impl Opener {
    /// Each in turn.
    pub const BOTH: [Self; 2] = [Self::Byway, Self::Peer];
}

/// What is to happen.
#[derive(Clone, Debug)]
pub struct Case {
    /// The addresses.
    pub family: Family,
    /// Who opens.
    pub opener: Opener,
    /// What the engine's side does.
    pub byway: Script,
    /// What the other side does.
    pub peer: Script,
    /// What the network does, in both directions.
    pub faults: Faults,
    /// The engine.
    pub tuning: Tuning,
}

impl Case {
    /// A conversation over a good network.
    pub fn new(family: Family, opener: Opener, byway: Script, peer: Script) -> Self {
        Self {
            family,
            opener,
            byway,
            peer,
            faults: Faults::default(),
            tuning: Tuning::default(),
        }
    }
}

/// Both sides got everything, and closed properly.
///
/// # Panics
/// When they did not.
pub fn assert_finished<C: Time, P: Peer>(case: &Case, world: &World<C, P>) {
    let (near, far) = (case.byway.octets, case.peer.octets);
    let expected = [Outcome::finished(near, far), Outcome::finished(far, near)];
    assert_eq!(world.outcomes(), expected, "{case:?}");
}

/// A TCP of others.
pub trait Peer {
    /// Does what there is to do; true when there was something.
    fn poll(&mut self) -> bool;
    /// When there is something to do next, if nothing arrives.
    fn next_due(&mut self) -> Instant;
    /// What was seen on the wire.
    fn seen(&self) -> Seen;
    /// The ledger of its frames.
    fn stats(&self) -> PortStats;
}

/// A clock that a world can wait on.
pub trait Time: Clock + Clone {
    /// Passes the time until then, or some of it.
    fn pass_until(&mut self, then: Instant);
}

impl Time for ManualClock {
    fn pass_until(&mut self, then: Instant) {
        self.advance_to(then);
    }
}

impl Time for MonotonicClock {
    fn pass_until(&mut self, then: Instant) {
        let pause = then.since(self.now()).min(Duration::from_millis(1));
        std::thread::sleep(std::time::Duration::from_nanos(pause.as_nanos() as u64));
    }
}

/// The engine and a peer.
pub struct World<C, P> {
    clock: C,
    byway: Shard<FaultPort<MemoryPort, C>, C>,
    peer: P,
    apps: [Shared; 2],
}

impl<C: Time, P: Peer> World<C, P> {
    /// A world in which nothing has happened yet; `peer` makes the other TCP for its end of the
    /// wire and its side of the conversation.
    ///
    /// # Panics
    /// Not unless the engine refuses its first command.
    pub fn new(
        case: &Case,
        clock: C,
        local_port: u16,
        peer: impl FnOnce(IpWire<C>, Shared) -> P,
    ) -> Self {
        let seed = case.tuning.seed;
        let (near, far) = MemoryPort::pair(FRAMES);
        let (near_app, far_app) = App::pair(case.byway.clone(), case.peer.clone(), seed);
        let port = FaultPort::new(near, clock.clone(), case.faults.clone(), seed);
        let config = case.tuning.shard(case.family, 1);
        let mut byway = Shard::new(port, config, clock.clone());
        let here = |port| case.family.endpoint(1, port);
        let talk = match case.opener {
            Opener::Byway => Talk::opens(
                near_app.clone(),
                case.family.endpoint(2, PORT),
                Some(here(local_port)),
            ),
            Opener::Peer => Talk::waits(near_app.clone()),
        };
        let service = byway.add_service(Box::new(talk));
        byway.listen(here(PORT), service);
        let route = PathUpdate {
            remote: case.family.address(2),
            local: case.family.address(1),
            src: mac(1),
            dst: mac(2),
            vlan: None,
            mtu: 1500,
        };
        byway
            .mailbox()
            .send(Command::Path(route))
            .expect("the mailbox is empty");
        let wire = IpWire::new(far, clock.clone(), case.faults.clone(), !seed);
        Self {
            clock,
            byway,
            peer: peer(wire, far_app.clone()),
            apps: [near_app, far_app],
        }
    }

    /// Runs until the conversation is over on both sides, `limit` at most, and then until the
    /// engine has forgotten it, which takes as long as its TIME-WAIT.
    ///
    /// # Errors
    /// A broken invariant, something that is left behind, or wrong octets: what is wrong.
    pub fn run(&mut self, limit: Duration) -> Result<(), String> {
        let end = self.clock.now() + limit;
        for _ in 0..MOST_STEPS {
            // The order says nothing: what one sends in a round, the other has in the next.
            let busy = self.byway.turn() | self.peer.poll();
            let now = self.clock.now();
            if self.is_over() || now >= end {
                return self.verdict();
            }
            if !busy {
                let reads = App::lock(&self.apps[0]).next_read(now);
                let due = self.byway.next_deadline().min(self.byway.port().next_due());
                let next = due.min(self.peer.next_due()).min(reads);
                if !next.is_armed() && self.is_at_rest() {
                    return self.verdict();
                }
                self.clock
                    .pass_until(next.max(now + Duration::from_micros(1)).min(end));
            }
        }
        Err(format!("no end: {:?}", self.outcomes()))
    }

    /// What became of the engine's side, and of the peer's.
    pub fn outcomes(&self) -> [Outcome; 2] {
        [0, 1].map(|side| App::lock(&self.apps[side]).outcome().clone())
    }

    /// What was seen on the wire.
    pub fn seen(&self) -> Seen {
        self.peer.seen()
    }

    /// The engine.
    pub fn byway(&self) -> &Shard<FaultPort<MemoryPort, C>, C> {
        &self.byway
    }

    fn is_at_rest(&self) -> bool {
        let waits = self.byway.connections() + self.byway.half_open() + self.byway.time_waits();
        waits == 0
    }

    fn is_over(&self) -> bool {
        let closed = |outcome: &Outcome| outcome.closed.is_some();
        self.is_at_rest() && self.outcomes().iter().all(closed)
    }

    fn verdict(&self) -> Result<(), String> {
        self.byway.check_invariants()?;
        let outcomes = self.outcomes();
        if let Some(wrong) = outcomes.iter().find_map(|outcome| outcome.wrong_at) {
            return Err(format!("octet {wrong} is wrong: {outcomes:?}"));
        }
        if outcomes.iter().any(|outcome| outcome.closed.is_none()) {
            let seen = self.seen();
            return Err(format!("it did not end: {outcomes:?}, {seen:?}"));
        }
        let stats = [self.byway.port_stats(), self.peer.stats()];
        let delayed = self.byway.port().next_due().is_armed();
        if stats[0].held != 0 && !delayed {
            return Err(format!("frames are not given back: {stats:?}"));
        }
        let left = (self.byway.blocks_in_use(), self.byway.tcp_records_in_use());
        if left != ((0, 0), (0, 0)) {
            return Err(format!("blocks and records are left: {left:?}"));
        }
        Ok(())
    }
}
