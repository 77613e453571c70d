//! A simulation in motion: virtual time goes from one event to the next.

use crate::icmp::Forger;
use crate::network::{Flying, Network};
use crate::node::Node;
use crate::observer::{Observer, Standing, place};
use crate::port::{Memory, Spares};
use crate::runner::{Options, Report};
use crate::scenario::{ConnectionPlan, START, Scenario};
use crate::trace::Trace;
use crate::wire;
use crate::workload::Side;
use byway_tcp::effects::CloseReason;
use byway_tcp::time::{Duration, Instant};
use std::cell::Cell;
use std::rc::Rc;

/// Turns of one engine at one moment; more mean that it never comes to rest.
const MOST_TURNS: u32 = 10_000;
/// Engines wake at most so often: timers need not be finer.
const GRAIN: Duration = Duration::from_micros(1);

/// Engines, network, observer and clock.
pub(crate) struct World<'s> {
    scenario: Rc<Scenario>,
    options: Options,
    now: Rc<Cell<Instant>>,
    pub(crate) nodes: Vec<Node>,
    network: Network,
    pub(crate) observer: Observer,
    spares: &'s mut Spares,
    sent: Vec<(Memory, u16)>,
    forger: Forger,
    forged: Vec<(usize, Memory, u16)>,
    pub(crate) trace: Trace,
    healed: bool,
    pub(crate) report: Report,
}

impl<'s> World<'s> {
    pub(crate) fn new(scenario: &Scenario, options: Options, spares: &'s mut Spares) -> Self {
        let scenario = Rc::new(scenario.clone());
        let now = Rc::new(Cell::new(START));
        let engines = scenario.engines.len();
        let nodes = (0..engines)
            .map(|number| Node::new(&scenario, number, &now, spares))
            .collect();
        Self {
            nodes,
            network: Network::new(engines, &scenario.links, scenario.seed),
            observer: Observer::new(Rc::clone(&scenario)),
            sent: Vec::new(),
            forger: Forger::new(scenario.seed, scenario.forged),
            forged: Vec::new(),
            trace: Trace {
                digest: scenario.seed,
                lines: options.trace.then(Vec::new),
            },
            healed: false,
            report: Report::default(),
            scenario,
            options,
            now,
            spares,
        }
    }

    /// Runs until nothing is left to happen.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        let deadline = self.scenario.heal_at + self.scenario.patience();
        loop {
            self.deliver()?;
            for number in 0..self.nodes.len() {
                self.turn(number)?;
            }
            let next = self.next_event();
            if !next.is_armed() {
                break;
            }
            if next > deadline && self.unfinished().is_some() {
                return Err("too late".to_owned() + &self.complaint());
            }
            self.now.set(next.max(self.now.get() + GRAIN));
        }
        self.report.virtual_time = self.now.get().since(START);
        self.verdict()
    }

    /// When something happens next. The network heals only if something is still to come.
    fn next_event(&mut self) -> Instant {
        let due = self.nodes.iter().map(Node::next_due).min();
        let next = due.unwrap_or(Instant::NEVER).min(self.network.next_due());
        let heals = !self.scenario.class.is_clean() && next >= self.scenario.heal_at;
        if !self.healed && heals {
            self.healed = true;
            self.network.heal();
            self.trace
                .note(self.scenario.heal_at, || "the network heals".into());
        }
        next
    }

    /// Hands over what has arrived.
    fn deliver(&mut self) -> Result<(), String> {
        let now = self.now.get();
        while let Some(frame) = self.network.arrival(now) {
            if let Some(segment) = &frame.segment {
                place(segment, &self.scenario).ok_or("a segment of nobody")?;
                self.observer.delivered(now, frame.place, segment);
                self.trace.delivered(now, segment);
                self.report.delivered += 1;
                if self.forger.wants(segment) {
                    let mut memory = self.spares.take();
                    let genuine = &frame.memory[..usize::from(frame.len)];
                    let len = self.forger.forge(genuine, segment, &mut memory);
                    self.forged.push((frame.to, memory, len));
                }
            }
            if let Some((seq, mtu)) = frame.answer {
                let side = &self.nodes[frame.to].host.borrow().sides[frame.place.0];
                if side.closed.is_none() {
                    self.observer.told(now, frame.place, seq, mtu);
                }
                self.report.too_big += 1;
                self.trace
                    .note(now, || format!("a router answers: {seq}, at most {mtu}"));
            }
            self.nodes[frame.to]
                .shard
                .port_mut()
                .arrive(frame.memory, frame.len);
        }
        // Behind all the others, so that those are taken as if there were none.
        for (to, memory, len) in self.forged.drain(..) {
            let port = self.nodes[to].shard.port_mut();
            if port.has_room() {
                self.report.forged += 1;
                port.arrive(memory, len);
            } else {
                self.spares.give(memory);
            }
        }
        Ok(())
    }

    /// Lets an engine turn until it has nothing more to do at this moment.
    fn turn(&mut self, number: usize) -> Result<(), String> {
        let now = self.now.get();
        let node = &self.nodes[number];
        if !node.shard.port().has_waiting() && node.next_due() > now && now > START {
            return Ok(());
        }
        for _ in 0..MOST_TURNS {
            let busy = self.nodes[number].shard.turn();
            self.collect(number)?;
            self.check(number)?;
            let node = &self.nodes[number];
            if !busy && !node.shard.port().has_waiting() {
                return Ok(());
            }
        }
        Err(format!("engine {} does not come to rest", number + 1))
    }

    fn check(&mut self, number: usize) -> Result<(), String> {
        let node = &self.nodes[number];
        if let Some(wrong) = &node.host.borrow().wrong {
            return Err(wrong.clone());
        }
        self.report.turns += 1;
        if self
            .report
            .turns
            .is_multiple_of(self.options.invariants_every)
        {
            node.shard
                .check_invariants()
                .map_err(|broken| format!("engine {}: {broken}", number + 1))?;
        }
        Ok(())
    }

    /// Shows the observer what an engine has sent, and gives it to the network.
    fn collect(&mut self, number: usize) -> Result<(), String> {
        let now = self.now.get();
        let mut sent = std::mem::take(&mut self.sent);
        let node = &mut self.nodes[number];
        node.shard.port_mut().collect(self.spares, &mut sent);
        let timeouts = node.shard.tcp_counters().timeouts;
        for (memory, len) in sent.drain(..) {
            let frame = &memory[..usize::from(len)];
            let segment = wire::parse(frame).ok_or("a segment that is malformed")?;
            let place = place(&segment, &self.scenario)
                .ok_or_else(|| format!("a segment of nobody: {segment}"))?;
            let place = self.observer.attribute(place, &segment);
            let host = self.nodes[number].host.borrow();
            let side = &host.sides[place.0];
            let standing = Standing {
                over: side.closed.is_some(),
                info: side.info,
                timeouts,
            };
            drop(host);
            let to = usize::from(segment.to) - 1;
            self.trace.leaves(now, number, to, frame);
            let checked = self.observer.sent(now, place, &segment, frame, standing);
            let flying = Flying {
                to,
                memory,
                len,
                segment: Some(segment),
                place,
                answer: None,
            };
            let outcome = self.network.send(now, flying, number, self.spares);
            self.trace.sent(now, &segment, outcome);
            self.report.segments += 1;
            checked.map_err(|broken| format!("{broken}: {segment}"))?;
        }
        self.sent = sent;
        Ok(())
    }

    fn sides(&self, number: usize) -> [Side; 2] {
        let plan = &self.scenario.connections[number];
        plan.engines
            .map(|engine| self.nodes[engine].host.borrow().sides[number].clone())
    }

    /// A connection that is not over at both ends.
    fn unfinished(&self) -> Option<usize> {
        (0..self.scenario.connections.len()).find(|number| {
            let plan = &self.scenario.connections[*number];
            let open = |side: &Side| side.closed.is_none();
            let sides = self.sides(*number);
            // The passive side of what was aborted early may never have heard of it.
            let silent = plan.aborts() && !sides[1].opened && !plan.crossing;
            open(&sides[0]) || (open(&sides[1]) && !silent)
        })
    }

    fn verdict(&self) -> Result<(), String> {
        if self.unfinished().is_some() {
            return Err("nothing is going to happen any more".to_owned() + &self.complaint());
        }
        for (number, plan) in self.scenario.connections.iter().enumerate() {
            let sides = self.sides(number);
            outcome(plan, &sides)
                .map_err(|wrong| format!("connection {number}: {wrong}: {:#?}", sides))?;
        }
        for (number, node) in self.nodes.iter().enumerate() {
            let engine = number + 1;
            node.shard
                .check_invariants()
                .map_err(|broken| format!("engine {engine}: {broken}"))?;
            if let Some(leak) = node.leaks() {
                return Err(format!("engine {engine}: {leak}"));
            }
            if node.shard.counters().service_panics > 0 {
                return Err(format!("engine {engine}: an application panicked"));
            }
        }
        Ok(())
    }

    /// What the first unfinished connection looks like.
    fn complaint(&self) -> String {
        self.unfinished().map_or_else(String::new, |number| {
            format!(
                ": connection {number}: {:#?}\n{:#?}\n{}",
                self.scenario.connections[number],
                self.sides(number),
                self.observer.describe(number)
            )
        })
    }

    /// Gives the memory back for the next run.
    pub(crate) fn dissolve(mut self) {
        for node in &mut self.nodes {
            node.shard.port_mut().dissolve(self.spares);
        }
    }
}

/// How a connection ended, and whether it should have.
fn outcome(plan: &ConnectionPlan, sides: &[Side; 2]) -> Result<(), String> {
    if plan.aborts() {
        // What arrived was compared; how much of it did is chance.
        return Ok(());
    }
    for (mine, peer) in [(0, 1), (1, 0)] {
        let side = &sides[mine];
        if side.closed != Some(CloseReason::Finished) {
            return Err(format!("side {mine} did not end properly"));
        }
        if side.received != plan.sides[peer].bytes || !side.peer_closed {
            return Err(format!("side {mine} did not receive everything"));
        }
    }
    Ok(())
}
