//! The network between the engines: a switch with one link of its own for each pair of them and
//! each direction.

use crate::port::{Memory, Spares};
use crate::scenario::{Blackout, LinkPlan, TailLoss};
use crate::wire::{self, Segment};
use byway_impair::{Fate, Link};
use byway_stack::random::SplitMix;
use byway_tcp::time::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A frame on its way.
#[derive(Debug)]
pub(crate) struct Flying {
    pub(crate) to: usize,
    pub(crate) memory: Memory,
    pub(crate) len: u16,
    /// What it is, unless it was damaged beyond recognition.
    pub(crate) segment: Option<Segment>,
}

/// What became of a frame that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Lost,
    Sent {
        at: Instant,
        twice: bool,
        damaged: bool,
    },
}

/// One direction between two engines.
#[derive(Debug)]
struct Line {
    plan: LinkPlan,
    link: Link,
    marks: SplitMix,
    ecn_marks: f64,
    blackouts: Vec<Blackout>,
    tail: Option<TailLoss>,
}

/// All links, and the frames on them.
#[derive(Debug)]
pub(crate) struct Network {
    engines: usize,
    lines: Vec<Line>,
    queue: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    flying: Vec<Option<Flying>>,
    vacant: Vec<u32>,
    order: u64,
    seed: u64,
}

impl Network {
    /// `links` has one for each ordered pair of engines, by sender first.
    pub(crate) fn new(engines: usize, links: &[LinkPlan], seed: u64) -> Self {
        let line = |(number, plan): (usize, &LinkPlan)| Line {
            link: Link::new(&plan.chaos, seed.wrapping_add(number as u64)),
            marks: SplitMix::new(!seed.wrapping_add(number as u64)),
            ecn_marks: plan.ecn_marks,
            blackouts: plan.blackouts.clone(),
            tail: plan.tail_loss,
            plan: plan.clone(),
        };
        Self {
            engines,
            lines: links.iter().enumerate().map(line).collect(),
            queue: BinaryHeap::new(),
            flying: Vec::new(),
            vacant: Vec::new(),
            order: 0,
            seed,
        }
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn heal(&mut self) {
        for (number, line) in self.lines.iter_mut().enumerate() {
            line.link = Link::new(&line.plan.healed, self.seed ^ number as u64);
            line.ecn_marks = 0.0;
            line.blackouts.clear();
        }
    }

    /// A frame is sent.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        mut frame: Flying,
        from: usize,
        spares: &mut Spares,
    ) -> Outcome {
        let line = &mut self.lines[from * self.engines + frame.to];
        let len = usize::from(frame.len);
        let fate = line.link.send(now, len);
        let dark = line
            .blackouts
            .iter()
            .any(|dark| (dark.from..dark.until).contains(&now));
        let cut = line
            .tail
            .as_mut()
            .zip(frame.segment.as_ref())
            .is_some_and(|(tail, segment)| tail.takes(segment));
        let passage = match fate {
            Fate::Arrives(passage) if !dark && !cut => passage,
            _ => {
                spares.give(frame.memory);
                return Outcome::Lost;
            }
        };
        if line.marks.chance(line.ecn_marks)
            && wire::mark(&mut frame.memory[..len])
            && let Some(segment) = &mut frame.segment
        {
            segment.ecn = 3;
        }
        if passage.twice {
            let mut memory = spares.take();
            memory[..len].copy_from_slice(&frame.memory[..len]);
            self.launch(passage.at, Flying { memory, ..frame });
        }
        let mut damaged = false;
        if let Some(damage) = passage.damage {
            damaged = damage.apply(&mut frame.memory[..len]);
            // Not all of an IPv6 header is covered by a checksum.
            frame.segment = wire::parse(&frame.memory[..len]);
        }
        self.launch(passage.at, frame);
        Outcome::Sent {
            at: passage.at,
            twice: passage.twice,
            damaged,
        }
    }

    fn launch(&mut self, at: Instant, frame: Flying) {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.flying.push(None);
            self.flying.len() as u32 - 1
        });
        self.flying[slot as usize] = Some(frame);
        self.order += 1;
        self.queue.push(Reverse((at, self.order, slot)));
    }

    /// When the next frame arrives, `Instant::NEVER` if none is on its way.
    pub(crate) fn next_due(&self) -> Instant {
        self.queue
            .peek()
            .map_or(Instant::NEVER, |Reverse((at, _, _))| *at)
    }

    /// A frame that has arrived by now.
    pub(crate) fn arrival(&mut self, now: Instant) -> Option<Flying> {
        if self.next_due() > now {
            return None;
        }
        let Reverse((_, _, slot)) = self.queue.pop()?;
        self.vacant.push(slot);
        self.flying[slot as usize].take()
    }
}
