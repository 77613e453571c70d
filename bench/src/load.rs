//! The shape of a load: when connections ask, and how much at once.

use crate::error::BenchError;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::Duration;

/// The fastest rate that a generator may be asked for, in requests a second.
const FASTEST: u64 = 100_000_000;
/// The most rates of a sweep.
const MOST_STEPS: usize = 100;
/// The longest think time.
const LONGEST_THINK: Duration = Duration::from_secs(60);
/// Fewer requests than this in an interval are no distribution.
const FEWEST: f64 = 10.0;

/// When the requests of an open loop leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// At equal distances, on the connections in turn.
    Constant,
    /// Independently of each other, as those of many users do: a Poisson process, on connections
    /// drawn at random, so that those of each connection are a Poisson process too.
    #[default]
    Poisson,
}

impl Arrivals {
    /// The name in results and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Poisson => "poisson",
        }
    }
}

/// A number of requests a second: `800`, `50k`, `1.5M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, factor) = match text.strip_suffix(['k', 'K']) {
            Some(digits) => (digits, 1e3),
            None => match text.strip_suffix('M') {
                Some(digits) => (digits, 1e6),
                None => (text, 1.0),
            },
        };
        let rate = digits
            .parse::<f64>()
            .map_err(|_| "a number of requests a second, such as 800, 50k or 1.5M".to_owned())?
            * factor;
        if !(1.0..=FASTEST as f64).contains(&rate) {
            return Err(
                "a rate is from 1 to 100M requests a second; leave it out for a closed loop, which \
                 asks as fast as it is answered"
                    .to_owned(),
            );
        }
        Ok(Self(rate.round() as u64))
    }
}

/// Rates at equal distances: `FROM:TO:STEPS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep(pub Vec<u64>);

impl FromStr for Sweep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "FROM:TO:STEPS, such as 50k:500k:10".to_owned();
        let [from, to, steps] = *text.split(':').collect::<Vec<_>>() else {
            return Err(form());
        };
        let (from, to) = (from.parse::<Rate>()?.0, to.parse::<Rate>()?.0);
        let steps: usize = steps.parse().map_err(|_| form())?;
        if from >= to {
            return Err(format!(
                "a sweep goes up: {from} is not below {to} requests a second"
            ));
        }
        if !(2..=MOST_STEPS).contains(&steps) {
            return Err(format!(
                "a sweep has from 2 to {MOST_STEPS} steps, the first and the last rate among them"
            ));
        }
        let each = (to - from) as f64 / (steps - 1) as f64;
        let mut rates: Vec<u64> = (0..steps)
            .map(|step| (from as f64 + each * step as f64).round() as u64)
            .collect();
        rates.dedup();
        Ok(Self(rates))
    }
}

/// A time as people write it: `50us`, `2ms`, `1.5s`.
fn think_time(text: &str) -> Result<Duration, String> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let seconds = units.iter().find_map(|(unit, factor)| {
        let digits = text.strip_suffix(unit)?;
        Some(digits.parse::<f64>().ok()? * factor)
    });
    match seconds {
        Some(seconds) if (0.0..=LONGEST_THINK.as_secs_f64()).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err("a time with its unit, such as 50us, 2ms or 1.5s, up to 60s".to_owned()),
    }
}

/// The arguments of a load.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LoadArgs {
    /// Open loop: so many requests a second on all connections together, whether the server keeps
    /// up or not. A latency counts from the time when the request was to leave
    #[arg(
        long,
        value_name = "N[k|M]",
        conflicts_with = "sweep",
        allow_hyphen_values = true
    )]
    pub rate: Option<Rate>,
    /// Open loop at one rate after another, for the curve of latency over throughput
    #[arg(long, value_name = "FROM:TO:STEPS")]
    pub sweep: Option<Sweep>,
    /// When the requests of an open loop leave [default: poisson]
    #[arg(long, value_enum)]
    pub arrivals: Option<Arrivals>,
    /// Closed loop: how long a connection waits between a response and its next request
    #[arg(long, value_name = "TIME", value_parser = think_time, allow_hyphen_values = true)]
    pub think: Option<Duration>,
    /// Requests that a connection sends before it waits for a response; not with the lean generator
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub pipeline: u32,
}

/// The shape of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Requests a second, one run for each; empty for a closed loop.
    pub rates: Vec<u64>,
    /// When the requests of an open loop leave; `None` when nothing was said.
    pub arrivals: Option<Arrivals>,
    /// In a closed loop, the time between a response and the next request.
    pub think: Duration,
    /// Requests outstanding on a connection at most.
    pub pipeline: u32,
}

impl Default for Shape {
    /// A closed loop with one request outstanding.
    fn default() -> Self {
        Self {
            rates: Vec::new(),
            arrivals: None,
            think: Duration::ZERO,
            pipeline: 1,
        }
    }
}

impl LoadArgs {
    /// What the arguments ask for.
    pub fn shape(&self) -> Shape {
        let rates = match (&self.sweep, self.rate) {
            (Some(sweep), _) => sweep.0.clone(),
            (None, rate) => rate.map(|rate| rate.0).into_iter().collect(),
        };
        Shape {
            rates,
            arrivals: self.arrivals,
            think: self.think.unwrap_or_default(),
            pipeline: self.pipeline,
        }
    }
}

impl Shape {
    /// The rates to measure, a closed loop being none.
    pub(crate) fn loops(&self) -> Vec<Option<u64>> {
        match self.rates.is_empty() {
            true => vec![None],
            false => self.rates.iter().copied().map(Some).collect(),
        }
    }

    /// Refuses what makes no sense together; `interval` is the measured time.
    ///
    /// # Errors
    /// [`BenchError::Usage`] with what to do instead.
    pub(crate) fn check(&self, interval: Duration, lean: bool) -> Result<(), BenchError> {
        let usage = |text: String| Err(BenchError::Usage(text));
        let open = !self.rates.is_empty();
        if self.arrivals.is_some() && !open {
            return usage(
                "--arrivals says when the requests of an open loop leave: add --rate or --sweep"
                    .to_owned(),
            );
        }
        if !self.think.is_zero() && open {
            return usage(
                "--think belongs to a closed loop: with --rate or --sweep the rate alone says when \
                 requests leave"
                    .to_owned(),
            );
        }
        if !self.think.is_zero() && self.pipeline > 1 {
            return usage(
                "--think is the time after the one outstanding response: leave out --pipeline"
                    .to_owned(),
            );
        }
        if self.pipeline > 1 && lean {
            return usage(
                "the lean generator has one request outstanding on a connection: for --pipeline \
                 take --generator kernel or byway"
                    .to_owned(),
            );
        }
        let few = |rate: &&u64| (**rate as f64) * interval.as_secs_f64() < FEWEST;
        match self.rates.iter().find(few) {
            Some(rate) => usage(format!(
                "{rate} requests a second are fewer than {FEWEST} in an interval of {} s: ask for \
                 more, or add --duration",
                interval.as_secs_f64()
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_written_as_people_do() {
        for (text, rate) in [("1", 1), ("800", 800), ("50k", 50_000), ("1.5M", 1_500_000)] {
            assert_eq!(text.parse(), Ok(Rate(rate)), "{text}");
        }
        for text in ["0", "-5", "0.2", "nan", "inf", "1G", "", "k", "101M"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        assert!("0".parse::<Rate>().unwrap_err().contains("closed loop"));
    }

    #[test]
    fn a_sweep_has_both_ends() {
        let rates = "10k:50k:5".parse::<Sweep>().unwrap().0;
        assert_eq!(rates, [10_000, 20_000, 30_000, 40_000, 50_000]);
        for text in [
            "10k", "1:2", "5k:5k:2", "9:5:3", "1:9:1", "1:9:101", "0:9:3",
        ] {
            assert!(text.parse::<Sweep>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        let micros = |text| think_time(text).map(|time| time.as_micros());
        assert_eq!(
            [micros("50us"), micros("2ms"), micros("1.5s")],
            [Ok(50), Ok(2000), Ok(1_500_000)]
        );
        for text in ["5", "-1ms", "61s", "ms", "1h"] {
            assert!(think_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_together_is_refused() {
        let open = Shape {
            rates: vec![1000],
            ..Shape::default()
        };
        let think = Duration::from_millis(1);
        let closed = Shape::default();
        let said = |shape: &Shape, lean| {
            let error = shape.check(Duration::from_secs(1), lean).err()?;
            assert_eq!(error.exit_code(), 2);
            Some(error.to_string())
        };
        assert_eq!((said(&open, true), said(&closed, true)), (None, None));
        let cases = [
            (
                Shape {
                    arrivals: Some(Arrivals::Constant),
                    ..closed.clone()
                },
                "--rate",
            ),
            (
                Shape {
                    think,
                    ..open.clone()
                },
                "closed loop",
            ),
            (
                Shape {
                    think,
                    pipeline: 2,
                    ..closed.clone()
                },
                "--pipeline",
            ),
            (
                Shape {
                    pipeline: 2,
                    ..closed.clone()
                },
                "kernel",
            ),
            (
                Shape {
                    rates: vec![1000, 9],
                    ..closed.clone()
                },
                "--duration",
            ),
        ];
        for (shape, word) in cases {
            let text = said(&shape, true).expect("refused");
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(
            said(
                &Shape {
                    pipeline: 2,
                    ..closed
                },
                false
            ),
            None
        );
    }
}
