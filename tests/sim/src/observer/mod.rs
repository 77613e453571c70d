//! The observer on the wire: what an end may send follows from what was delivered to it before.
//!
//! For each end of each connection there is a [`Half`]: what it sent, and what it heard. Everything
//! that it sends is held against that. Nothing here is taken from the engine but one thing: its
//! congestion window at the moment, which no wire shows.

mod congestion;
mod half;
mod ranges;
mod receiving;
mod sending;
#[cfg(test)]
mod tests;
mod timing;

use crate::oracle::Stream;
use crate::scenario::{CLIENT_PORT, CROSSING_PORT, Class, Scenario};
use crate::wire::{Segment, flag};
use byway_tcp::Info;
use byway_tcp::time::{Duration, Instant};
use half::Half;
use std::collections::HashMap;
use std::rc::Rc;

/// What an end is known to be up to, beside what the wire shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Its application was told of the end.
    pub(crate) over: bool,
    /// TCP's own account of the moment before it sent.
    pub(crate) info: Option<Info>,
    /// Retransmission timeouts of its engine so far.
    pub(crate) timeouts: u64,
}

/// What the checks of one segment need to know.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) now: Instant,
    pub(crate) tcp: &'a byway_tcp::Config,
    pub(crate) mtu: u16,
    pub(crate) v6: bool,
    pub(crate) standing: Standing,
    /// What it sends, and how many octets of it.
    pub(crate) stream: Stream,
    pub(crate) bytes: u32,
    /// Nothing may be sent twice.
    pub(crate) clean: bool,
    /// But a tail loss probe, after such a silence.
    pub(crate) probe_after: Option<Duration>,
    /// Resets are to be expected.
    pub(crate) aborts: bool,
    /// Another connection had its four-tuple before.
    pub(crate) reuses: bool,
    /// From when on new connections between its hosts know of a narrow hop, and of which.
    pub(crate) learned: Option<(Instant, u16)>,
}

/// Watches every connection of a scenario.
#[derive(Debug)]
pub(crate) struct Observer {
    scenario: Rc<Scenario>,
    flows: Vec<[Half; 2]>,
    /// By the first connection with some ports: the one that has them now, as each side sees it.
    current: Vec<[usize; 2]>,
    learned: HashMap<Lesson, (Instant, u16)>,
}

/// An engine, the one that it sends to, and whether by IPv6.
type Lesson = (usize, usize, bool);

/// No path that matters is narrower, whatever ICMP says (Linux's `min_pmtu`).
const LEAST_PATH_MTU: u16 = 552;

/// The first connection with these ports, and which side sent the segment.
pub(crate) fn place(segment: &Segment, scenario: &Scenario) -> Option<(usize, usize)> {
    let client = |port: u16| (CLIENT_PORT..CROSSING_PORT).contains(&port);
    let (port, side) = if client(segment.ports.0) {
        (segment.ports.0, 0)
    } else if client(segment.ports.1) {
        (segment.ports.1, 1)
    } else {
        return None;
    };
    let number = usize::from(port - CLIENT_PORT);
    let plan = scenario.connections.get(number)?;
    let ports = plan.ports();
    let expected = (
        plan.engines[side] as u8 + 1,
        plan.engines[1 - side] as u8 + 1,
        (ports[side], ports[1 - side]),
    );
    (expected == (segment.from, segment.to, segment.ports)).then_some((number, side))
}

impl Observer {
    pub(crate) fn new(scenario: Rc<Scenario>) -> Self {
        Self {
            flows: scenario
                .connections
                .iter()
                .map(|_| Default::default())
                .collect(),
            current: (0..scenario.connections.len())
                .map(|number| [number; 2])
                .collect(),
            learned: HashMap::new(),
            scenario,
        }
    }

    /// Which of the connections with the same ports a segment is of that is sent now: a client's
    /// next one begins with its SYN, a server's with the answer to that.
    pub(crate) fn attribute(
        &mut self,
        (origin, side): (usize, usize),
        segment: &Segment,
    ) -> (usize, usize) {
        let number = self.current[origin][side];
        if !segment.has(flag::SYN) {
            return (number, side);
        }
        let Some((next, _)) = self.scenario.connections[number].then else {
            return (number, side);
        };
        let isn = |number: usize| self.flows[number][0].mine.map(|offer| offer.isn);
        let begins = if side == 0 {
            isn(number).is_some_and(|isn| isn != segment.seq)
        } else {
            segment.has(flag::ACK) && isn(next) == Some(segment.ack.wrapping_sub(1))
        };
        if begins {
            self.current[origin][side] = next;
        }
        (self.current[origin][side], side)
    }

    /// An end is told that its segment from `seq` on was too big for a hop of `mtu` octets, zero for
    /// one that does not tell.
    pub(crate) fn told(
        &mut self,
        now: Instant,
        (number, side): (usize, usize),
        seq: u32,
        mtu: u16,
    ) {
        let mtu = mtu.max(LEAST_PATH_MTU);
        if self.flows[number][side].is_told(seq, mtu, now) {
            let plan = &self.scenario.connections[number];
            let lesson = (plan.engines[side], plan.engines[1 - side], plan.v6);
            let learned = self.learned.entry(lesson).or_insert((now, mtu));
            if mtu < learned.1 {
                *learned = (now, mtu);
            }
        }
    }

    /// An end sends a segment.
    ///
    /// # Errors
    /// The rule it breaks.
    pub(crate) fn sent(
        &mut self,
        now: Instant,
        (number, side): (usize, usize),
        segment: &Segment,
        frame: &[u8],
        standing: Standing,
    ) -> Result<(), String> {
        let plan = &self.scenario.connections[number];
        let engine = &self.scenario.engines[plan.engines[side]];
        let facts = Facts {
            now,
            tcp: &engine.tcp,
            mtu: engine.mtu,
            v6: plan.v6,
            standing,
            stream: Stream::new(self.scenario.seed, number, side),
            bytes: plan.sides[side].bytes,
            clean: self.scenario.class.is_clean(),
            probe_after: (self.scenario.class == Class::Queued)
                .then(|| self.scenario.round_trip(plan) * 2),
            aborts: plan.aborts(),
            reuses: plan.origin != number,
            learned: self
                .learned
                .get(&(plan.engines[side], plan.engines[1 - side], plan.v6))
                .copied(),
        };
        self.flows[number][side]
            .sends(segment, segment.bytes(frame), &facts)
            .map_err(|broken| format!("connection {number}, side {side}: {broken}"))
    }

    /// A segment is delivered to an end.
    pub(crate) fn delivered(
        &mut self,
        now: Instant,
        (number, side): (usize, usize),
        segment: &Segment,
    ) {
        self.flows[number][1 - side].hears(segment, now);
    }

    /// Streams whose sequence numbers wrapped.
    pub(crate) fn wrapped(&self) -> u64 {
        self.flows
            .iter()
            .flatten()
            .filter(|half| half.wrapped())
            .count() as u64
    }

    /// What it knows of a connection, for people.
    pub(crate) fn describe(&self, number: usize) -> String {
        format!("{:#?}", self.flows[number])
    }
}
