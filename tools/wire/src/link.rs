//! One direction of a link as a pure model: frames and times go in, times come out.

use crate::bottleneck::Bottleneck;
use crate::chance::Chance;
use crate::damage::Damage;
use crate::impairment::{Impairment, ReorderBy};
use byway_tcp::time::{Duration, Instant};

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// It gets lost on the line.
    Lost,
    /// There was no room in the queue.
    QueueFull,
    /// It arrives.
    Arrives(Passage),
}

/// How a frame arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passage {
    /// When.
    pub at: Instant,
    /// Whether it arrives twice.
    pub twice: bool,
    /// Whether it is out of its order.
    pub reordered: bool,
    /// What is wrong with it then.
    pub damage: Option<Damage>,
}

/// One direction of a link. Knows no clock and no sockets: the same frames at the same times have
/// the same fate, for the same seed.
#[derive(Debug)]
pub struct Link {
    delay: Duration,
    jitter: Duration,
    reorder_by: ReorderBy,
    bottleneck: Bottleneck,
    chance: Chance,
    /// When the last frame that was not reordered arrives.
    last: Instant,
}

impl Link {
    /// A link on which nothing has been sent yet.
    pub fn new(impairment: &Impairment, seed: u64) -> Self {
        Self {
            delay: impairment.delay,
            jitter: impairment.jitter,
            reorder_by: impairment.reorder_by,
            bottleneck: Bottleneck::new(impairment.rate, impairment.queue),
            chance: Chance::new(impairment, seed),
            last: Instant::from_nanos(0),
        }
    }

    /// The next frame, of `len` octets, is sent at `now`, which is not before the last one was.
    pub fn send(&mut self, now: Instant, len: usize) -> Fate {
        // Drawn first: what happens to later frames must not depend on what the queue drops.
        let lot = self.chance.draw();
        let Some(left) = self.bottleneck.pass(now, len) else {
            return Fate::QueueFull;
        };
        // It took its time on the bottleneck all the same.
        if lot.lost {
            return Fate::Lost;
        }
        let stray = self.jitter.mul_f64(lot.stray.abs());
        let regular = left + self.delay;
        let regular = if lot.stray < 0.0 {
            (regular - stray).max(left)
        } else {
            regular + stray
        };
        let at = match (lot.reordered, self.reorder_by) {
            (true, ReorderBy::NoDelay) => left,
            (true, ReorderBy::Late(by)) => regular.max(self.last) + by,
            (false, _) => {
                self.last = regular.max(self.last);
                self.last
            }
        };
        Fate::Arrives(Passage {
            at,
            twice: lot.duplicated,
            reordered: lot.reordered,
            damage: lot.damage,
        })
    }

    /// The most frames, and the most octets, that ever waited before the bottleneck.
    pub fn queue_peak(&self) -> (usize, usize) {
        self.bottleneck.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{QueueLimit, Share};
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn share(fraction: f64) -> Share {
        Share::new(fraction).unwrap()
    }

    fn passage(link: &mut Link, now: Instant, len: usize) -> Passage {
        match link.send(now, len) {
            Fate::Arrives(passage) => passage,
            fate => panic!("{fate:?}"),
        }
    }

    #[test]
    fn nothing_happens_by_default() {
        let mut link = Link::new(&Impairment::default(), 1);
        for now in 0..1000 {
            let passage = passage(&mut link, at(now), 1514);
            assert_eq!(passage.at, at(now));
            assert!(!passage.twice && !passage.reordered && passage.damage.is_none());
        }
        assert_eq!(link.queue_peak(), (0, 0));
    }

    #[test]
    fn the_delay_comes_behind_the_bottleneck() {
        let impairment = Impairment {
            rate: Some("10mbit".parse().unwrap()),
            delay: ms(20),
            ..Impairment::default()
        };
        let mut link = Link::new(&impairment, 1);
        assert_eq!(passage(&mut link, at(0), 1250).at, at(21));
        assert_eq!(passage(&mut link, at(0), 1250).at, at(22));
        assert_eq!(passage(&mut link, at(100), 2500).at, at(122));
        assert_eq!(link.queue_peak(), (1, 1250));
    }

    #[test]
    fn a_reordered_frame_is_early_or_late() {
        let mut impairment = Impairment {
            delay: ms(20),
            reorder: share(0.25),
            ..Impairment::default()
        };
        for (by, expected) in [(ReorderBy::NoDelay, 0), (ReorderBy::Late(ms(5)), 25)] {
            impairment.reorder_by = by;
            let mut link = Link::new(&impairment, 5);
            let mut reordered = 0;
            for now in 1000..2000 {
                let passage = passage(&mut link, at(now), 100);
                let travelled = if passage.reordered { expected } else { 20 };
                assert_eq!(passage.at, at(now) + ms(travelled));
                reordered += u32::from(passage.reordered);
            }
            assert!((150..350).contains(&reordered), "{reordered}");
        }
    }

    #[test]
    fn lost_frames_take_their_time_on_the_bottleneck() {
        let impairment = Impairment {
            rate: Some("10mbit".parse().unwrap()),
            queue: QueueLimit::Frames(1000),
            loss: share(0.5),
            ..Impairment::default()
        };
        let mut link = Link::new(&impairment, 3);
        let fates: Vec<Fate> = (0..500).map(|_| link.send(at(0), 1250)).collect();
        assert!(fates.contains(&Fate::Lost));
        for (number, fate) in (1..).zip(fates) {
            if let Fate::Arrives(passage) = fate {
                assert_eq!(passage.at, at(number));
            }
        }
    }

    #[test]
    fn what_the_queue_drops_changes_no_other_lot() {
        let wide = Impairment {
            loss: share(0.1),
            duplicate: share(0.1),
            ..Impairment::default()
        };
        let narrow = Impairment {
            rate: Some("1mbit".parse().unwrap()),
            queue: QueueLimit::Frames(1),
            ..wide.clone()
        };
        let (mut wide, mut narrow) = (Link::new(&wide, 9), Link::new(&narrow, 9));
        let mut dropped = 0;
        for now in 0..1000 {
            match (wide.send(at(now), 200), narrow.send(at(now), 200)) {
                (_, Fate::QueueFull) => dropped += 1,
                (Fate::Arrives(wide), Fate::Arrives(narrow)) => {
                    assert_eq!(wide.twice, narrow.twice);
                }
                (wide, narrow) => assert_eq!(wide, narrow),
            }
        }
        assert!((100..900).contains(&dropped), "{dropped}");
    }

    proptest! {
        #[test]
        fn jitter_stays_in_bounds_and_in_order(
            gaps in proptest::collection::vec(0u64..3_000_000, 1..300),
            jitter in 0u64..20, seed: u64,
        ) {
            let impairment = Impairment {
                delay: ms(20),
                jitter: ms(jitter),
                ..Impairment::default()
            };
            let mut link = Link::new(&impairment, seed);
            let (mut now, mut last) = (at(0), at(0));
            for gap in gaps {
                now += Duration::from_nanos(gap);
                let arrival = passage(&mut link, now, 100).at;
                prop_assert!(arrival >= last, "in order");
                // One that is held back by the one before is no later than the latest possible.
                prop_assert!(arrival >= now + ms(20 - jitter));
                prop_assert!(arrival <= now + ms(20 + jitter));
                last = arrival;
            }
        }

        #[test]
        fn equal_seeds_and_frames_have_equal_fates(
            frames in proptest::collection::vec((0u64..2_000_000, 60usize..1514), 1..200),
            seed: u64,
        ) {
            let impairment = Impairment {
                rate: Some("20mbit".parse().unwrap()),
                queue: QueueLimit::Octets(6000),
                delay: ms(5),
                jitter: ms(1),
                loss: share(0.1),
                loss_burst: Some(2.0),
                reorder: share(0.1),
                reorder_by: ReorderBy::NoDelay,
                duplicate: share(0.1),
                corrupt: share(0.1),
            };
            let run = || {
                let mut link = Link::new(&impairment, seed);
                let mut now = at(0);
                let mut send = |&(gap, len): &(u64, usize)| {
                    now += Duration::from_nanos(gap);
                    link.send(now, len)
                };
                frames.iter().map(&mut send).collect::<Vec<_>>()
            };
            prop_assert_eq!(run(), run());
        }
    }
}
