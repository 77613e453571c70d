//! The network between the engines: a switch with one link of its own for each pair of them and
//! each direction.

use crate::port::{Memory, Spares};
use crate::router::Router;
use crate::scenario::{Blackout, LinkPlan, TailLoss};
use crate::wire::{self, Segment};
use byway_impair::{Fate, Link};
use byway_stack::random::SplitMix;
use byway_tcp::time::{Duration, Instant};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A frame on its way.
#[derive(Debug)]
pub(crate) struct Flying {
    pub(crate) to: usize,
    pub(crate) memory: Memory,
    pub(crate) len: u16,
    /// What it is, unless it was damaged beyond recognition, or is no segment.
    pub(crate) segment: Option<Segment>,
    /// Which connection it is of, and which side sent it, or what it is about.
    pub(crate) place: (usize, usize),
    /// The router's answer to a segment that began here, and the width that it tells.
    pub(crate) answer: Option<(u32, u16)>,
}

/// What became of a frame that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Lost,
    /// A router refused it, and answers, or does not.
    TooBig {
        answered: bool,
    },
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
    router: Option<Router>,
    late_copies: f64,
    late: SplitMix,
}

impl Line {
    /// How much later than the frame a copy of it arrives, if one does: as late as an old duplicate
    /// may be, 1 ms to 16 s.
    fn late_copy(&mut self) -> Option<Duration> {
        if self.late_copies == 0.0 || !self.late.chance(self.late_copies) {
            return None;
        }
        let most = 1_000_000 << self.late.below(15);
        Some(Duration::from_nanos(self.late.below(most)))
    }
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
            router: plan
                .router
                .as_ref()
                .map(|router| Router::new(router, seed.wrapping_add(number as u64))),
            late_copies: plan.late_copies,
            late: SplitMix::new(seed.wrapping_add(number as u64) ^ 0x1a7e),
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
            line.late_copies = 0.0;
            line.router.iter_mut().for_each(Router::heal);
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
        if let Some(router) = &mut line.router
            && let Some(segment) = frame.segment
            && let Some(width) = router.refuses(now, &segment)
        {
            return self.refuse(now, frame, from, (segment.seq, width), spares);
        }
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
        let late = line.late_copy();
        if passage.twice {
            let mut memory = spares.take();
            memory[..len].copy_from_slice(&frame.memory[..len]);
            self.launch(passage.at, Flying { memory, ..frame });
        }
        if let Some(after) = late {
            let mut memory = spares.take();
            memory[..len].copy_from_slice(&frame.memory[..len]);
            self.launch(passage.at + after, Flying { memory, ..frame });
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

    /// A router refuses a frame that began at `seq` and does not fit `width`.
    fn refuse(
        &mut self,
        now: Instant,
        frame: Flying,
        from: usize,
        (seq, width): (u32, u16),
        spares: &mut Spares,
    ) -> Outcome {
        let line = &mut self.lines[from * self.engines + frame.to];
        let mut memory = spares.take();
        let sent = &frame.memory[..usize::from(frame.len)];
        let router = line.router.as_mut();
        let answer = router.and_then(|router| router.answer(now, sent, width, &mut memory));
        spares.give(frame.memory);
        match answer {
            Some((len, at, told)) => {
                let answer = Flying {
                    to: from,
                    memory,
                    len,
                    segment: None,
                    place: frame.place,
                    answer: Some((seq, told)),
                };
                self.launch(at, answer);
            }
            None => spares.give(memory),
        }
        Outcome::TooBig {
            answered: answer.is_some(),
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
