//! Chance: what happens to a frame on the line.

use crate::damage::Damage;
use crate::impairment::Impairment;
use byway_stack::random::SplitMix;

/// What chance has in store for one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lot {
    pub(crate) lost: bool,
    pub(crate) duplicated: bool,
    pub(crate) reordered: bool,
    /// How far the delay strays, from -1.0 to 1.0 times the jitter.
    pub(crate) stray: f64,
    pub(crate) damage: Option<Damage>,
}

/// Draws a lot for each frame. The lot of the n-th frame depends on the seed, on n and on the
/// settings, and on nothing else: not on time, and not on what the queue dropped before.
#[derive(Debug)]
pub(crate) struct Chance {
    seed: u64,
    drawn: u64,
    loss: Loss,
    duplicate: f64,
    reorder: f64,
    corrupt: f64,
}

impl Chance {
    pub(crate) fn new(impairment: &Impairment, seed: u64) -> Self {
        Self {
            // Hashed, so that the next seed is not the same sequence one frame later.
            seed: SplitMix::new(seed).next_u64(),
            drawn: 0,
            loss: Loss::new(impairment.loss.fraction(), impairment.loss_burst),
            duplicate: impairment.duplicate.fraction(),
            reorder: impairment.reorder.fraction(),
            corrupt: impairment.corrupt.fraction(),
        }
    }

    /// The lot of the next frame.
    pub(crate) fn draw(&mut self) -> Lot {
        // Hashed again, so that the draws of this frame are not those of its neighbours.
        let start = SplitMix::new(self.seed.wrapping_add(self.drawn)).next_u64();
        self.drawn += 1;
        let mut random = SplitMix::new(start);
        // Each question takes the same number of draws whatever the answers: changing one setting
        // leaves what happens by the others as it was.
        let [lost, duplicated, reordered, corrupted, stray] =
            std::array::from_fn(|_| unit(random.next_u64()));
        let damage = Damage::new(random.next_u64(), random.next_u64());
        Lot {
            lost: self.loss.happens(lost),
            duplicated: duplicated < self.duplicate,
            reordered: reordered < self.reorder,
            stray: 2.0 * stray - 1.0,
            damage: (corrupted < self.corrupt).then_some(damage),
        }
    }
}

/// A number from 0.0 up to but not including 1.0.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Loss by the model of Gilbert: a line that is good or bad, and loses everything while it is bad.
#[derive(Debug)]
enum Loss {
    /// Each frame on its own, with this probability.
    Independent(f64),
    /// Probabilities of getting bad and of getting good again, per frame.
    Bursts {
        worsen: f64,
        recover: f64,
        bad: bool,
    },
}

impl Loss {
    fn new(share: f64, burst: Option<f64>) -> Self {
        match burst {
            None => Self::Independent(share),
            Some(burst) => {
                // The mean stay in the bad state is 1 / recover; the share of the time spent there
                // is worsen / (worsen + recover).
                let recover = 1.0 / burst;
                let worsen = share * recover / (1.0 - share);
                Self::Bursts {
                    worsen,
                    recover,
                    bad: false,
                }
            }
        }
    }

    fn happens(&mut self, draw: f64) -> bool {
        match self {
            Self::Independent(share) => draw < *share,
            Self::Bursts {
                worsen,
                recover,
                bad,
            } => {
                *bad = if *bad {
                    draw >= *recover
                } else {
                    draw < *worsen
                };
                *bad
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Share;

    fn share(fraction: f64) -> Share {
        Share::new(fraction).unwrap()
    }

    fn lots(impairment: &Impairment, seed: u64, count: usize) -> Vec<Lot> {
        let mut chance = Chance::new(impairment, seed);
        (0..count).map(|_| chance.draw()).collect()
    }

    fn everything() -> Impairment {
        Impairment {
            loss: share(0.02),
            duplicate: share(0.03),
            reorder: share(0.04),
            corrupt: share(0.05),
            ..Impairment::default()
        }
    }

    /// Four standard deviations of a binomial count around its mean.
    fn near(count: usize, of: usize, share: f64) -> bool {
        let (mean, n) = (of as f64 * share, of as f64);
        (count as f64 - mean).abs() < 4.0 * (n * share * (1.0 - share)).sqrt()
    }

    #[test]
    fn shares_come_out() {
        let all = lots(&everything(), 1, 100_000);
        let count = |of: fn(&Lot) -> bool| all.iter().filter(|lot| of(lot)).count();
        assert!(near(count(|lot| lot.lost), all.len(), 0.02));
        assert!(near(count(|lot| lot.duplicated), all.len(), 0.03));
        assert!(near(count(|lot| lot.reordered), all.len(), 0.04));
        assert!(near(count(|lot| lot.damage.is_some()), all.len(), 0.05));
        // Independent of each other, too.
        assert!(near(
            count(|lot| lot.duplicated && lot.reordered),
            all.len(),
            0.0012
        ));
        let mean = all.iter().map(|lot| lot.stray).sum::<f64>() / all.len() as f64;
        assert!(mean.abs() < 0.01, "{mean}");
        assert!(all.iter().all(|lot| (-1.0..1.0).contains(&lot.stray)));
    }

    #[test]
    fn seeds_repeat_and_differ() {
        let of = |seed| lots(&everything(), seed, 1000);
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        // Not the same sequence a few frames later, either.
        let (mine, next) = (of(7), of(8));
        assert!(
            next.iter()
                .all(|lot| mine.iter().all(|other| other.stray != lot.stray))
        );
    }

    #[test]
    fn settings_do_not_disturb_each_other() {
        let mut less = everything();
        less.loss = Share::NONE;
        less.corrupt = Share::NONE;
        for (all, less) in lots(&everything(), 3, 5000)
            .iter()
            .zip(lots(&less, 3, 5000))
        {
            assert!(!less.lost && less.damage.is_none());
            assert_eq!(
                (all.duplicated, all.reordered, all.stray),
                (less.duplicated, less.reordered, less.stray)
            );
        }
    }

    #[test]
    fn bursts_have_their_length_and_the_share_stays() {
        let impairment = Impairment {
            loss: share(0.05),
            loss_burst: Some(4.0),
            ..Impairment::default()
        };
        let all = lots(&impairment, 11, 400_000);
        let lost = all.iter().filter(|lot| lot.lost).count();
        let bursts = all
            .windows(2)
            .filter(|pair| !pair[0].lost && pair[1].lost)
            .count();
        let (rate, length) = (lost as f64 / all.len() as f64, lost as f64 / bursts as f64);
        assert!((rate - 0.05).abs() < 0.004, "{rate}");
        assert!((length - 4.0).abs() < 0.2, "{length}");
    }

    #[test]
    fn bursts_of_one_are_never_two() {
        let impairment = Impairment {
            loss: share(0.5),
            loss_burst: Some(1.0),
            ..Impairment::default()
        };
        let all = lots(&impairment, 1, 1000);
        assert!(all.windows(2).all(|pair| pair[0].lost != pair[1].lost));
    }
}
