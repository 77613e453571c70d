//! Repeats of a measurement, and what is said of them.

use crate::meter::Meter;
use crate::scenario::Scenario;
use std::time::Duration;

/// The values of the repeats.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// One value.
    pub(crate) fn of(value: f64) -> Self {
        Self(vec![value])
    }

    /// Adds a value.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value below and above which half of them lie; zero when there is none.
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The quartiles.
    pub(crate) fn spread(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
    }

    fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else {
            return 0.0;
        };
        let place = part * last as f64;
        let (low, high) = (place.floor() as usize, place.ceil() as usize);
        sorted[low] + (sorted[high] - sorted[low]) * (place - place.floor())
    }

    /// Each value, changed.
    pub(crate) fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        Self(self.0.iter().map(|&value| change(value)).collect())
    }

    /// Each value divided by the other's of the same repeat.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }
}

/// How often, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Repeats.
    pub(crate) repeats: usize,
    /// Measured time of a repeat at least.
    pub(crate) time: Duration,
}

/// Nanoseconds an operation, for each of some scenarios, which take turns so that a drift of the
/// machine falls on all.
///
/// # Errors
/// What a scenario found wrong.
pub(crate) fn measure(
    effort: Effort,
    scenarios: &mut [&mut dyn Scenario],
) -> Result<Vec<Sample>, String> {
    let mut samples = vec![Sample::default(); scenarios.len()];
    for scenario in &mut *scenarios {
        for _ in 0..4 {
            scenario.batch(&mut Meter::idle());
        }
    }
    for _ in 0..effort.repeats {
        for (scenario, sample) in scenarios.iter_mut().zip(&mut samples) {
            let mut meter = Meter::measuring();
            let mut operations = 0;
            while meter.spent() < effort.time {
                operations += scenario.batch(&mut meter);
            }
            sample.push(meter.spent().as_nanos() as f64 / operations as f64);
        }
    }
    scenarios.iter().try_for_each(|scenario| scenario.check())?;
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles() {
        let mut sample = Sample::default();
        assert_eq!(sample.median(), 0.0);
        for value in [5.0, 1.0, 4.0, 2.0, 3.0] {
            sample.push(value);
        }
        assert_eq!(sample.median(), 3.0);
        assert_eq!(sample.spread(), (2.0, 4.0));
        let double = sample.map(|value| 2.0 * value);
        assert_eq!(double.over(&sample).spread(), (2.0, 2.0));
    }
}
