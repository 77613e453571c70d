//! When the requests of an open loop are to leave. The times follow from the start, the rate and the
//! seed alone: whatever the server or the generator does, they stay what they are.

use crate::load::Arrivals;
use crate::pattern;

/// Nanoseconds of a second.
const SECOND: f64 = 1e9;

/// The times of arrival, one after another. Times are nanoseconds of the generator's own clock.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    arrivals: Arrivals,
    start: u64,
    /// Mean distance of two arrivals.
    gap: f64,
    /// The next arrival after `start`. Summed up as a fraction, so that rounding adds up to nothing.
    next: f64,
    seed: u64,
    drawn: u64,
}

impl Schedule {
    /// Arrivals from `start` on, `rate` a second.
    pub(super) fn new(arrivals: Arrivals, rate: u64, seed: u64, start: u64) -> Self {
        let mut schedule = Self {
            arrivals,
            start,
            gap: SECOND / rate as f64,
            next: 0.0,
            seed,
            drawn: 0,
        };
        schedule.advance();
        schedule
    }

    /// The next arrival.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.start + self.next as u64
    }

    /// Goes on to the arrival after the next one.
    #[inline]
    pub(super) fn advance(&mut self) {
        self.next += match self.arrivals {
            Arrivals::Constant => self.gap,
            // The distances of a Poisson process are exponentially distributed.
            Arrivals::Poisson => -(1.0 - self.fraction()).ln() * self.gap,
        };
    }

    /// A number below `bound`: the connection for an arrival.
    #[inline]
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u32
    }

    /// From 0 up to but not 1.
    #[inline]
    fn fraction(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    #[inline]
    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        pattern::tag(self.seed, self.drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 5_000_000;

    fn times(arrivals: Arrivals, rate: u64, seed: u64, count: usize) -> Vec<u64> {
        let mut schedule = Schedule::new(arrivals, rate, seed, START);
        let mut next = || {
            let next = schedule.next();
            schedule.advance();
            next
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn constant_arrivals_do_not_drift() {
        // 3 a second: a distance that is no whole number of nanoseconds.
        let times = times(Arrivals::Constant, 3, 1, 3_000_000);
        assert_eq!(times[0], START + 333_333_333);
        let last = *times.last().unwrap();
        assert!(last.abs_diff(START + 1_000_000 * 1_000_000_000) < 1_000_000);
        let even = |pair: &[u64]| (333_333_332..=333_333_335).contains(&(pair[1] - pair[0]));
        assert!(times.windows(2).all(even));
    }

    #[test]
    fn poisson_arrivals_have_the_mean_and_the_spread_of_their_kind() {
        let count = 200_000;
        let times = times(Arrivals::Poisson, 100_000, 7, count);
        let gaps: Vec<f64> = times
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) as f64)
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 10_000.0 - 1.0).abs() < 0.01, "{mean}");
        let spread = variance.sqrt() / mean;
        assert!(
            (spread - 1.0).abs() < 0.02,
            "an exponential one has 1: {spread}"
        );
        let longer = gaps.iter().filter(|gap| **gap > 2.0 * mean).count() as f64;
        let share = longer / gaps.len() as f64;
        assert!((share - (-2.0f64).exp()).abs() < 0.005, "{share}");
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let of = |seed| times(Arrivals::Poisson, 1000, seed, 100);
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
        let constant = |seed| times(Arrivals::Constant, 1000, seed, 100);
        assert_eq!(constant(3), constant(4));
    }

    #[test]
    fn connections_are_drawn_evenly() {
        let mut schedule = Schedule::new(Arrivals::Poisson, 1, 1, 0);
        let mut counts = [0u32; 7];
        (0..70_000).for_each(|_| counts[schedule.below(7) as usize] += 1);
        assert!(
            counts.iter().all(|count| (9_600..10_400).contains(count)),
            "{counts:?}"
        );
    }
}
