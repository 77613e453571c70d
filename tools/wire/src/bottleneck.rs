//! A link of a certain rate, and the queue before it.

use crate::units::{QueueLimit, Rate};
use byway_tcp::time::Instant;
use std::collections::VecDeque;

/// Sends one frame after another, each taking its time; those that find it busy wait in their
/// order, up to a limit.
#[derive(Debug)]
pub(crate) struct Bottleneck {
    rate: Option<Rate>,
    limit: QueueLimit,
    /// When the last frame that was let in has left.
    free: Instant,
    /// When each frame that waits starts to leave, and its length.
    waiting: VecDeque<(Instant, usize)>,
    waiting_octets: usize,
    /// The most frames and the most octets that ever waited.
    pub(crate) peak: (usize, usize),
}

impl Bottleneck {
    pub(crate) fn new(rate: Option<Rate>, limit: QueueLimit) -> Self {
        Self {
            rate,
            limit,
            free: Instant::from_nanos(0),
            waiting: VecDeque::new(),
            waiting_octets: 0,
            peak: (0, 0),
        }
    }

    /// A frame of `len` octets arrives at `now`, which is not before the last one did: when its
    /// last bit has left, or none when there is no room for it.
    pub(crate) fn pass(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.rate else {
            return Some(now);
        };
        while let Some((_, len)) = self.waiting.pop_front_if(|(start, _)| *start <= now) {
            self.waiting_octets -= len;
        }
        let start = self.free.max(now);
        if start > now {
            let (frames, octets) = (self.waiting.len() + 1, self.waiting_octets + len);
            let fits = match self.limit {
                QueueLimit::Frames(limit) => frames <= limit,
                QueueLimit::Octets(limit) => octets <= limit,
            };
            if !fits {
                return None;
            }
            self.waiting.push_back((start, len));
            self.waiting_octets = octets;
            self.peak = (self.peak.0.max(frames), self.peak.1.max(octets));
        }
        self.free = start + rate.time_for(len);
        Some(self.free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use byway_tcp::time::Duration;
    use proptest::prelude::*;

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1000)
    }

    fn bottleneck(rate: &str, queue: &str) -> Bottleneck {
        Bottleneck::new(Some(rate.parse().unwrap()), queue.parse().unwrap())
    }

    #[test]
    fn frames_leave_one_after_another() {
        // 1250 octets take a millisecond.
        let mut link = bottleneck("10mbit", "100");
        assert_eq!(link.pass(at(0), 1250), Some(at(1000)));
        assert_eq!(link.pass(at(0), 1250), Some(at(2000)));
        assert_eq!(link.pass(at(500), 125), Some(at(2100)));
        assert_eq!(
            link.pass(at(5000), 125),
            Some(at(5100)),
            "idle time is not saved up"
        );
        assert_eq!(link.peak, (2, 1375));
    }

    #[test]
    fn a_full_queue_drops_what_comes_last() {
        let mut link = bottleneck("10mbit", "2");
        let times: Vec<_> = (0..4).map(|_| link.pass(at(0), 1250)).collect();
        assert_eq!(
            times,
            [Some(at(1000)), Some(at(2000)), Some(at(3000)), None]
        );
        // The second frame starts to leave, and does not wait any more.
        assert_eq!(link.pass(at(999), 1250), None);
        assert_eq!(link.pass(at(1000), 1250), Some(at(4000)));
    }

    #[test]
    fn a_queue_of_octets_lets_small_frames_in() {
        let mut link = bottleneck("10mbit", "1500b");
        assert!(link.pass(at(0), 1250).is_some());
        assert!(link.pass(at(0), 1250).is_some());
        assert!(link.pass(at(0), 1250).is_none());
        assert!(link.pass(at(0), 250).is_some());
        assert!(link.pass(at(0), 1).is_none());
    }

    #[test]
    fn no_queue_and_no_rate_are_possible() {
        let mut link = bottleneck("10mbit", "0");
        assert!(link.pass(at(0), 1250).is_some());
        assert!(link.pass(at(999), 1250).is_none());
        assert!(link.pass(at(1000), 1250).is_some());
        let mut open = Bottleneck::new(None, QueueLimit::Frames(0));
        assert_eq!(open.pass(at(7), 1_000_000), Some(at(7)));
    }

    proptest! {
        #[test]
        fn the_rate_and_the_limit_hold(
            arrivals in proptest::collection::vec((0u64..3000, 60usize..1514), 1..200),
            limit in 0usize..6,
        ) {
            let rate: Rate = "10mbit".parse().unwrap();
            let mut link = Bottleneck::new(Some(rate), QueueLimit::Frames(limit));
            let (mut now, mut last) = (at(0), at(0));
            let mut starts: Vec<Instant> = Vec::new();
            for (gap, len) in arrivals {
                now += Duration::from_micros(gap);
                let waiting = starts.iter().filter(|start| **start > now).count();
                match link.pass(now, len) {
                    Some(end) => {
                        let start = end - rate.time_for(len);
                        prop_assert!(start >= last && start >= now, "one at a time");
                        prop_assert!(start == last || start == now, "never idle with work");
                        starts.push(start);
                        last = end;
                        prop_assert!(start == now || waiting < limit);
                    }
                    None => {
                        prop_assert_eq!(waiting, limit, "dropped only when full");
                        prop_assert!(last > now);
                    }
                }
            }
            prop_assert!(link.peak.0 <= limit);
        }
    }
}
