//! Medians, the interval of a ratio by bootstrap, and histograms that travel as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

/// Fewer rounds than this give no interval worth the name, so no difference is claimed.
pub const MIN_ROUNDS: usize = 3;

/// Resamples of a bootstrap: the ends of a 95 % interval of them are steady to a few per mille.
const RESAMPLES: usize = 4000;

/// A fixed seed: the same measurements give the same interval.
const SEED: u64 = 0x0062_7977_6179;

/// The longest latency that is told apart; a longer one counts as this.
pub const LONGEST_NANOS: u64 = 60_000_000_000;

/// The middle of the values, or the mean of the two in the middle. 0 for none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    median_in_place(&mut sorted)
}

fn median_in_place(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.len(), values.get(middle)) {
        (_, None) => 0.0,
        (len, Some(upper)) if len % 2 == 1 => *upper,
        (_, Some(upper)) => (values[middle - 1] + upper) / 2.0,
    }
}

/// A small generator of pseudo-random numbers (SplitMix64); good enough to draw rounds with.
struct Prng(u64);

impl Prng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `bound`, which is small, so that the bias of the product is nothing.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

/// The median of what was measured in pairs, with the ends of its 95 % bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The median over the rounds of one side divided by the other.
    pub ratio: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Ratio {
    /// Of `numerator[i] / denominator[i]`, the two sides of round `i`, which ran next to each
    /// other: what drifts from minute to minute falls out of the quotient. `None` when there is no
    /// round in which both sides are positive.
    pub fn of_rounds(numerator: &[f64], denominator: &[f64]) -> Option<Self> {
        let quotients: Vec<f64> = numerator
            .iter()
            .zip(denominator)
            .filter(|(top, bottom)| **top > 0.0 && **bottom > 0.0)
            .map(|(top, bottom)| top / bottom)
            .collect();
        if quotients.is_empty() {
            return None;
        }
        let mut random = Prng(SEED);
        let mut draw = vec![0.0; quotients.len()];
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                draw.fill_with(|| quotients[random.below(quotients.len())]);
                median_in_place(&mut draw)
            })
            .collect();
        let (low, high) = ends(&mut medians);
        let ratio = median(&quotients);
        Some(Self { ratio, low, high })
    }

    /// Of two medians whose rounds are no pairs, because they ran at different times: each side is
    /// resampled by itself. `None` when a side has no positive value.
    pub fn of_medians(numerator: &[f64], denominator: &[f64]) -> Option<Self> {
        let positive = |values: &[f64]| -> Vec<f64> {
            values
                .iter()
                .copied()
                .filter(|value| *value > 0.0)
                .collect()
        };
        let (top, bottom) = (positive(numerator), positive(denominator));
        if top.is_empty() || bottom.is_empty() {
            return None;
        }
        let mut random = Prng(SEED);
        let (mut tops, mut bottoms) = (vec![0.0; top.len()], vec![0.0; bottom.len()]);
        let mut ratios: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                tops.fill_with(|| top[random.below(top.len())]);
                bottoms.fill_with(|| bottom[random.below(bottom.len())]);
                median_in_place(&mut tops) / median_in_place(&mut bottoms)
            })
            .collect();
        let (low, high) = ends(&mut ratios);
        let ratio = median(&top) / median(&bottom);
        Some(Self { ratio, low, high })
    }

    /// True when "no difference" lies within the interval.
    pub fn contains_one(&self) -> bool {
        self.low <= 1.0 && self.high >= 1.0
    }
}

/// The ends of the 95 % interval of [`RESAMPLES`] resamples.
fn ends(resamples: &mut [f64]) -> (f64, f64) {
    resamples.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| resamples[((RESAMPLES - 1) as f64 * share).round() as usize];
    (at(0.025), at(0.975))
}

/// An empty histogram of latencies in nanoseconds, three significant digits.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NANOS, 3).expect("the bounds are constants that fit")
}

/// A histogram in its compressed form (V2 with deflate), as base64.
pub fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .expect("writing to a Vec cannot fail, and the counts are 64-bit as the format's are");
    BASE64.encode(bytes)
}

/// The histogram of [`encode`]; `None` when the text is not one.
pub fn decode(text: &str) -> Option<Histogram<u64>> {
    let bytes = BASE64.decode(text).ok()?;
    Deserializer::new().deserialize(&mut bytes.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), 3.0);
    }

    #[test]
    fn the_interval_holds_the_ratio_and_is_repeatable() {
        let ours = [30.0, 31.0, 29.5, 60.0, 30.5];
        let theirs = [10.0, 10.0, 10.0, 20.0, 10.0];
        let ratio = Ratio::of_rounds(&ours, &theirs).unwrap();
        assert_eq!(ratio, Ratio::of_rounds(&ours, &theirs).unwrap());
        assert!(
            (ratio.ratio - 3.0).abs() < 1e-9,
            "a round in which both doubled changes nothing"
        );
        assert!(ratio.low <= ratio.ratio && ratio.ratio <= ratio.high);
        assert!(ratio.low >= 2.95 && ratio.high <= 3.1);
        assert!(!ratio.contains_one());
    }

    #[test]
    fn noise_around_one_is_no_difference() {
        let ours = [10.0, 12.0, 9.0, 11.0, 10.0, 9.5, 10.5];
        let theirs = [11.0, 10.0, 10.0, 10.5, 10.0, 10.0, 10.0];
        assert!(Ratio::of_rounds(&ours, &theirs).unwrap().contains_one());
    }

    #[test]
    fn medians_of_unpaired_rounds_have_an_interval_too() {
        let fast = [200.0, 205.0, 198.0, 203.0, 201.0];
        let slow = [100.0, 101.0, 99.0, 100.5, 102.0, 98.0, 100.0];
        let ratio = Ratio::of_medians(&fast, &slow).unwrap();
        assert_eq!(ratio, Ratio::of_medians(&fast, &slow).unwrap());
        assert!((ratio.ratio - 2.01).abs() < 1e-9);
        assert!(1.95 < ratio.low && ratio.low < 2.01 && 2.01 < ratio.high && ratio.high < 2.1);
        // The order of the rounds says nothing here; that of pairs does.
        let (up, down) = ([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]);
        assert!(Ratio::of_medians(&up, &down).unwrap().contains_one());
        assert_eq!(Ratio::of_medians(&[0.0], &[1.0]), None);
        assert_eq!(Ratio::of_medians(&[1.0], &[]), None);
    }

    #[test]
    fn rounds_without_a_value_do_not_count() {
        assert_eq!(Ratio::of_rounds(&[0.0, 1.0], &[1.0, 0.0]), None);
        let ratio = Ratio::of_rounds(&[0.0, 4.0], &[1.0, 2.0]).unwrap();
        assert_eq!((ratio.low, ratio.ratio, ratio.high), (2.0, 2.0, 2.0));
    }

    #[test]
    fn the_interval_covers_about_what_it_says() {
        // 200 experiments of 9 rounds whose true ratio is 2: the interval should hold 2 in most.
        let mut random = Prng(7);
        let mut noise = || 1.0 + (random.below(1000) as f64 - 499.5) / 5000.0;
        let covered = (0..200)
            .filter(|_| {
                let top: Vec<f64> = (0..9).map(|_| 2.0 * noise()).collect();
                let bottom: Vec<f64> = (0..9).map(|_| noise()).collect();
                let ratio = Ratio::of_rounds(&top, &bottom).unwrap();
                ratio.low <= 2.0 && 2.0 <= ratio.high
            })
            .count();
        assert!(covered >= 176, "covered {covered} of 200");
    }

    #[test]
    fn draws_are_in_range_and_reach_every_value() {
        let mut random = Prng(1);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[random.below(5)] = true;
        }
        assert_eq!(seen, [true; 5]);
    }

    #[test]
    fn histograms_travel_as_text() {
        let mut histogram = latencies();
        for value in [1, 4_900, 23_000, 1_000_000_000, LONGEST_NANOS] {
            histogram.record(value).unwrap();
        }
        assert_eq!(decode(&encode(&histogram)).unwrap(), histogram);
        assert!(decode("not a histogram").is_none());
        assert!(decode("AAAA").is_none());
    }
}
