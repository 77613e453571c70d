//! Which connection is to ask when: the same for every generator, and with no clock of its own.
//!
//! In a closed loop a connection asks again when it was answered, perhaps after a think time. In an
//! open loop the schedule says when requests leave. Each belongs to one connection from the start,
//! idle or not: were it given to whichever is idle, a connection that stalls would get no requests,
//! and its stall would not show. One that finds its connection busy waits, and its latency counts on.

use super::GenerateArgs;
use super::recorder::Recorder;
use super::schedule::Schedule;
use crate::load::Arrivals;
use std::collections::VecDeque;

/// Requests that wait for their connections, at least and at most; between them, those of a second.
const WAITING: std::ops::RangeInclusive<u64> = 1024..=1 << 20;

/// What decides.
enum Loop {
    Closed {
        /// Nanoseconds between a response and the next request.
        think: u64,
        /// When which connection asks: in the order of time, since all think for as long.
        thinking: VecDeque<(u64, u32)>,
    },
    Open {
        rate: u64,
        arrivals: Arrivals,
        seed: u64,
        schedule: Option<Schedule>,
        /// The connection of the next arrival, when they come in turn.
        turn: u32,
        /// Times of the requests that wait for each connection.
        queues: Vec<VecDeque<u64>>,
        waiting: usize,
        limit: usize,
    },
}

/// The pace of all connections of a generator. Times are nanoseconds of its clock.
pub(super) struct Pace {
    kind: Loop,
    pipeline: u32,
    /// Requests outstanding on each connection; [`LOST`] where there will be no answers.
    outstanding: Vec<u32>,
}

/// A connection that is not open.
const LOST: u32 = u32::MAX;

impl Pace {
    /// For connections that are all to be opened yet.
    pub(super) fn new(args: &GenerateArgs) -> Self {
        let count = args.connections as usize;
        let kind = match args.rate {
            None => Loop::Closed {
                think: args.think_us.saturating_mul(1000),
                thinking: VecDeque::new(),
            },
            Some(rate) => Loop::Open {
                rate,
                arrivals: args.arrivals,
                seed: args.seed,
                schedule: None,
                turn: 0,
                queues: vec![VecDeque::new(); count],
                waiting: 0,
                limit: rate.clamp(*WAITING.start(), *WAITING.end()) as usize,
            },
        };
        Self {
            kind,
            pipeline: args.pipeline,
            outstanding: vec![LOST; count],
        }
    }

    /// True for an open loop: its generator must not sleep, because to wake up takes time.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.kind, Loop::Open { .. })
    }

    /// The load starts, on the connections for which `usable` is true.
    pub(super) fn start(&mut self, now: u64, usable: impl Fn(u32) -> bool) {
        for (slot, outstanding) in (0..).zip(&mut self.outstanding) {
            *outstanding = if usable(slot) { 0 } else { LOST };
        }
        match &mut self.kind {
            Loop::Closed { thinking, .. } => {
                for (slot, outstanding) in (0..).zip(&self.outstanding) {
                    let first = std::iter::repeat_n((now, slot), self.pipeline as usize);
                    thinking.extend(first.filter(|_| *outstanding != LOST));
                }
            }
            Loop::Open {
                rate,
                arrivals,
                seed,
                schedule,
                ..
            } => *schedule = Some(Schedule::new(*arrivals, *rate, *seed, now)),
        }
    }

    /// The next request that is to leave by `now`: its connection, and the time from which its
    /// latency counts. Call it until there is none; arrivals of an open loop are recorded.
    #[inline]
    pub(super) fn due(&mut self, now: u64, recorder: &mut Recorder) -> Option<(u32, u64)> {
        match &mut self.kind {
            Loop::Closed { thinking, .. } => loop {
                let (_, slot) = thinking.pop_front_if(|(at, _)| *at <= now)?;
                let outstanding = self.outstanding.get_mut(slot as usize)?;
                if *outstanding < self.pipeline {
                    *outstanding += 1;
                    return Some((slot, now));
                }
            },
            Loop::Open {
                arrivals,
                schedule,
                turn,
                queues,
                waiting,
                limit,
                ..
            } => {
                let schedule = schedule.as_mut()?;
                loop {
                    let at = schedule.next();
                    if at > now {
                        return None;
                    }
                    recorder.arrived(at, now);
                    let slot = match arrivals {
                        Arrivals::Constant => *turn,
                        Arrivals::Poisson => schedule.below(queues.len() as u32),
                    };
                    *turn = (*turn + 1) % queues.len() as u32;
                    schedule.advance();
                    let outstanding = &mut self.outstanding[slot as usize];
                    if *outstanding < self.pipeline {
                        *outstanding += 1;
                        return Some((slot, at));
                    }
                    if *waiting < *limit {
                        queues[slot as usize].push_back(at);
                        *waiting += 1;
                    } else {
                        recorder.refused(at);
                    }
                }
            }
        }
    }

    /// A connection was answered at `now`; the time from which the latency of the request counts
    /// that it is to send at once, if there is one.
    #[inline]
    pub(super) fn answered(&mut self, slot: u32, now: u64) -> Option<u64> {
        let outstanding = &mut self.outstanding[slot as usize];
        if *outstanding == LOST {
            return None;
        }
        let next = match &mut self.kind {
            Loop::Closed { think: 0, .. } => Some(now),
            Loop::Closed { think, thinking } => {
                thinking.push_back((now + *think, slot));
                None
            }
            Loop::Open {
                queues, waiting, ..
            } => {
                let next = queues[slot as usize].pop_front();
                *waiting -= usize::from(next.is_some());
                next
            }
        };
        *outstanding -= u32::from(next.is_none());
        next
    }

    /// A connection is gone.
    pub(super) fn lost(&mut self, slot: u32) {
        self.outstanding[slot as usize] = LOST;
    }

    /// True when a connection waits for a response.
    pub(super) fn is_asking(&self, slot: u32) -> bool {
        !matches!(self.outstanding[slot as usize], 0 | LOST)
    }

    /// When a connection that thinks asks next.
    pub(super) fn next(&self) -> Option<u64> {
        match &self.kind {
            Loop::Closed { thinking, .. } => thinking.front().map(|(at, _)| *at),
            Loop::Open { schedule, .. } => schedule.as_ref().map(Schedule::next),
        }
    }

    /// The times of the requests that still wait for their connections.
    pub(super) fn waiting(&self) -> impl Iterator<Item = u64> + '_ {
        let queues = match &self.kind {
            Loop::Closed { .. } => &[][..],
            Loop::Open { queues, .. } => queues,
        };
        queues.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::args;
    use super::*;

    const START: u64 = 1_000_000;

    fn started(args: &GenerateArgs) -> (Pace, Recorder) {
        let mut pace = Pace::new(args);
        pace.start(START, |_| true);
        (pace, Recorder::new(args))
    }

    fn open(rate: u64, connections: u32) -> GenerateArgs {
        GenerateArgs {
            rate: Some(rate),
            arrivals: Arrivals::Constant,
            connections,
            ..args()
        }
    }

    #[test]
    fn a_closed_loop_asks_when_it_is_answered() {
        let (mut pace, mut recorder) = started(&GenerateArgs {
            connections: 2,
            ..args()
        });
        assert_eq!(pace.due(START, &mut recorder), Some((0, START)));
        assert_eq!(pace.due(START, &mut recorder), Some((1, START)));
        assert_eq!(pace.due(START + 9, &mut recorder), None);
        assert_eq!(pace.answered(1, START + 20), Some(START + 20));
        assert!(pace.is_asking(1));
    }

    #[test]
    fn a_connection_that_thinks_asks_later() {
        let (mut pace, mut recorder) = started(&GenerateArgs {
            think_us: 5,
            ..args()
        });
        assert_eq!(pace.due(START, &mut recorder), Some((0, START)));
        assert_eq!(pace.answered(0, START + 100), None);
        assert!(!pace.is_asking(0));
        assert_eq!(pace.next(), Some(START + 5100));
        assert_eq!(pace.due(START + 5099, &mut recorder), None);
        assert_eq!(
            pace.due(START + 5150, &mut recorder),
            Some((0, START + 5150))
        );
    }

    #[test]
    fn a_pipeline_is_filled_at_the_start_and_kept_full() {
        let (mut pace, mut recorder) = started(&GenerateArgs {
            pipeline: 3,
            ..args()
        });
        let mut first = 0;
        while pace.due(START, &mut recorder).is_some() {
            first += 1;
        }
        assert_eq!(first, 3);
        assert_eq!(pace.answered(0, START + 7), Some(START + 7));
    }

    #[test]
    fn a_request_whose_connection_is_busy_waits_and_counts_from_when_it_should_have_left() {
        // Arrivals at 1, 2, 3, ... ms on connections 0, 1, 0, ...
        let (mut pace, mut recorder) = started(&open(1000, 2));
        let at = |ms: u64| START + ms * 1_000_000;
        assert_eq!(pace.due(at(1) - 1, &mut recorder), None);
        assert_eq!(pace.due(at(2) + 5, &mut recorder), Some((0, at(1))));
        assert_eq!(pace.due(at(2) + 5, &mut recorder), Some((1, at(2))));
        assert_eq!(pace.due(at(5), &mut recorder), None, "both are busy");
        assert_eq!(pace.waiting().collect::<Vec<_>>(), [at(3), at(5), at(4)]);
        assert_eq!(pace.answered(0, at(6) - 1), Some(at(3)));
        assert_eq!(pace.answered(0, at(6) - 1), Some(at(5)));
        assert_eq!(pace.answered(0, at(6) - 1), None);
        assert!(!pace.is_asking(0) && pace.is_asking(1));
    }

    #[test]
    fn the_queue_is_bounded() {
        let (mut pace, mut recorder) = started(&open(1000, 1));
        let late = START + 3_000_000_000;
        recorder.measure(START, late);
        assert!(pace.due(late, &mut recorder).is_some());
        assert_eq!(pace.due(late, &mut recorder), None);
        assert_eq!(pace.waiting().count(), *WAITING.start() as usize);
        let report = recorder.report(None).open.unwrap();
        assert_eq!((report.arrivals, report.refused), (3000, 3000 - 1 - 1024));
    }

    #[test]
    fn who_is_lost_is_asked_no_more() {
        let (mut pace, mut recorder) = started(&open(1000, 1));
        pace.lost(0);
        assert_eq!(pace.due(START + 2_000_000, &mut recorder), None);
        assert_eq!(pace.answered(0, START), None);
        assert!(!pace.is_asking(0));
        let (mut pace, mut recorder) = started(&args());
        pace.lost(0);
        assert_eq!(pace.due(START, &mut recorder), None);
    }
}
