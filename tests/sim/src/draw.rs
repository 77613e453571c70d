//! Choices from a seed.

use byway_stack::random::SplitMix;

/// Draws what a scenario consists of.
#[derive(Debug)]
pub(crate) struct Draw(SplitMix);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        // Hashed, so that the next seed is not the same sequence one draw later.
        Self(SplitMix::new(SplitMix::new(seed).next_u64()))
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Below `bound`; zero for a bound of zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound.max(1))
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.0.chance(probability)
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Each order of magnitude from `least` to `most` is as likely as any other.
    pub(crate) fn log(&mut self, least: u64, most: u64) -> u64 {
        self.fraction(least as f64, most.max(least) as f64 + 1.0) as u64
    }

    /// The same for shares.
    pub(crate) fn fraction(&mut self, least: f64, most: f64) -> f64 {
        let unit = (self.u64() >> 11) as f64 / (1u64 << 53) as f64;
        least * (most / least).powf(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_in_their_range_and_reach_both_ends_of_it() {
        let mut draw = Draw::new(1);
        let drawn: Vec<u64> = (0..20_000).map(|_| draw.log(1, 100)).collect();
        assert!(drawn.iter().all(|value| (1..=100).contains(value)));
        assert!(drawn.contains(&1) && drawn.contains(&100));
        let small = drawn.iter().filter(|value| **value < 10).count();
        assert!((9_000..11_000).contains(&small), "{small}");
    }
}
