//! What runs are compared by and held to: the words of `--threshold` and `--gate`.

use crate::result::{Better, Round, Run};
use crate::table::{connections, grouped, micros};
use serde::Serialize;

/// One figure of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Requests, or connections, a second.
    Rate,
    /// Median latency.
    P50,
    /// 90 % of the latencies.
    P90,
    /// 99 %.
    P99,
    /// 99.9 %.
    P999,
    /// The longest latency of all rounds.
    Max,
    /// What the server's processor spends on a request.
    Cpu,
}

impl Metric {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::Rate,
        Self::P50,
        Self::P90,
        Self::P99,
        Self::P999,
        Self::Max,
        Self::Cpu,
    ];

    /// The word on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::Max => "max",
            Self::Cpu => "cpu",
        }
    }

    /// The metric of a word.
    ///
    /// # Errors
    /// With the words that there are.
    pub fn parse(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|metric| metric.name() == word)
            .ok_or_else(|| {
                let names: Vec<&str> = Self::ALL.iter().map(|metric| metric.name()).collect();
                format!("'{word}' is no metric; there are {}", names.join(", "))
            })
    }

    /// Which values are good.
    pub const fn better(self) -> Better {
        match self {
            Self::Rate => Better::Higher,
            _ => Better::Lower,
        }
    }

    /// The figure over all rounds: a second for a rate, else microseconds. `None` where there is
    /// none, as for the processor of another machine.
    pub fn of_run(self, run: &Run) -> Option<f64> {
        let latency = &run.latency_us;
        let value = match self {
            Self::Rate => run.rate_per_s,
            Self::P50 => latency.p50,
            Self::P90 => latency.p90,
            Self::P99 => latency.p99,
            Self::P999 => latency.p999,
            Self::Max => latency.max,
            Self::Cpu => run.cpu_us_per_request?,
        };
        (value > 0.0).then_some(value)
    }

    /// The figure of one round, in the same units.
    pub fn of_round(self, round: &Round) -> Option<f64> {
        let latency = &round.latency_us;
        let value = match self {
            Self::Rate => round.rate_per_s,
            Self::P50 => latency.p50,
            Self::P90 => latency.p90,
            Self::P99 => latency.p99,
            Self::P999 => latency.p999,
            Self::Max => latency.max,
            Self::Cpu => round.server_cpu?.total,
        };
        (value > 0.0).then_some(value)
    }

    /// A value with its unit, for people.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Rate => format!("{}/s", grouped(value)),
            Self::Cpu => format!("{value:.2} us/request"),
            _ => format!("{} us", micros(value)),
        }
    }
}

/// A run for people: `byway, 100 connections, lean AF_XDP load generator`.
pub(crate) fn run_title(run: &Run) -> String {
    let (count, generator) = (connections(run.connections), run.generator.title());
    let rate = match run.rate_asked_per_s {
        Some(rate) => format!(" at {}", Metric::Rate.show(rate as f64)),
        None => String::new(),
    };
    format!("{}, {count}{rate}, {generator}", run.target.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::run;
    use crate::scenario::Target;

    #[test]
    fn words_are_metrics() {
        for metric in Metric::ALL {
            assert_eq!(Metric::parse(metric.name()), Ok(metric));
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
        }
        let error = Metric::parse("p95").unwrap_err();
        assert!(
            error.contains("'p95'") && error.contains("p50, p90, p99"),
            "{error}"
        );
    }

    #[test]
    fn figures_are_those_of_the_run_and_of_its_rounds() {
        let run = run(Target::Byway, 1, &[100_000, 100_000, 100_000]);
        let of = |metric: Metric| metric.of_run(&run).unwrap();
        assert_eq!((of(Metric::Rate), of(Metric::Cpu)), (100_000.0, 7.5));
        let latencies = [
            Metric::P50,
            Metric::P90,
            Metric::P99,
            Metric::P999,
            Metric::Max,
        ]
        .map(of);
        assert!(latencies.is_sorted() && latencies[0] > 1.0, "{latencies:?}");
        for metric in Metric::ALL {
            assert_eq!(metric.of_round(&run.rounds[0]), metric.of_run(&run));
        }
        let failed = Round::failed(0, "no answer".to_owned());
        assert_eq!(Metric::P50.of_round(&failed), None);
        assert_eq!(Metric::Cpu.of_round(&failed), None);
    }

    #[test]
    fn values_have_units() {
        assert_eq!(Metric::Rate.show(171_000.0), "171,000/s");
        assert_eq!(Metric::P99.show(23.04), "23.0 us");
        assert_eq!(Metric::Cpu.show(1.234), "1.23 us/request");
    }
}
