//! The result file: schema 1. Tables and reports are made from it and from nothing else.

use crate::BenchError;
use crate::cpu::CpuTime;
use crate::environment::{Environment, Interface};
use crate::generator::{Errors, GeneratorReport};
use crate::load::Arrivals;
use crate::openloop::OpenLoop;
use crate::scenario::{Cell, Generator, Scenario, Target};
use crate::stats::{self, Ratio};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

mod comparing;

pub use comparing::compare;
use comparing::key;

/// The version of the form of the file.
pub const SCHEMA: u32 = 1;

/// Everything that one `byway bench` found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultFile {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Machine, kernel, versions, command line.
    pub environment: Environment,
    /// What was asked for.
    pub parameters: Parameters,
    /// One for each combination of target, generator and connections.
    pub runs: Vec<Run>,
    /// Byway against each Linux target and the reflector, where both were measured.
    pub comparisons: Vec<Comparison>,
    /// What a reader must know before using the figures.
    pub warnings: Vec<String>,
    /// True when the user ended it before all rounds were measured.
    #[serde(default)]
    pub partial: bool,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Octets of a request and of its response.
    pub size: u32,
    /// Seconds before each measured interval.
    pub warmup_s: f64,
    /// Seconds of each measured interval.
    pub duration_s: f64,
    /// Times that each combination was measured.
    pub rounds: u32,
    /// Processor of the server.
    pub server_cpu: Option<usize>,
    /// Processor of the generator.
    pub generator_cpu: Option<usize>,
    /// Microseconds between a response and the next request of a closed loop.
    #[serde(default)]
    pub think_us: u64,
    /// Requests outstanding on a connection at most.
    #[serde(default = "one")]
    pub pipeline: u32,
    /// When the requests of an open loop left; `None` for a closed loop.
    #[serde(default)]
    pub arrivals: Option<Arrivals>,
}

/// The pipeline of files that do not name one.
fn one() -> u32 {
    1
}

/// One combination, over all its rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What was done again and again.
    pub scenario: Scenario,
    /// Who answered.
    pub target: Target,
    /// Who asked.
    pub generator: Generator,
    /// Connections at a time.
    pub connections: u32,
    /// Requests a second that an open loop asked for; `None` for a closed loop.
    #[serde(default)]
    pub rate_asked_per_s: Option<u64>,
    /// What else there is to know of an open loop.
    #[serde(default)]
    pub open_loop: Option<OpenLoop>,
    /// False when errors, a failed round, or a generator that was late or too slow forbid
    /// conclusions.
    pub valid: bool,
    /// Median over the rounds of requests answered a second: for `crr`, of connections.
    pub rate_per_s: f64,
    /// The payload of the responses at that rate.
    pub goodput_bit_per_s: f64,
    /// Medians over the rounds, but `max` is the longest of all.
    pub latency_us: Latency,
    /// Median over the rounds of what the server's processor spent on a request; `None` when it is
    /// another machine.
    pub cpu_us_per_request: Option<f64>,
    /// The same by kind.
    pub server_cpu: Option<CpuPerRequest>,
    /// What the generator's processor spent on a request.
    pub generator_cpu: CpuPerRequest,
    /// The share of its time in which the generator had responses to handle, 0 to 1.
    pub generator_work_share: f64,
    /// The share of both sides' processors that other programs took, 0 to 1.
    pub other_cpu_share: Option<f64>,
    /// What went wrong in all rounds.
    pub errors: Errors,
    /// The XDP mode that the target ran in, as it said itself.
    pub target_xdp_mode: Option<String>,
    /// The XDP mode that the generator ran in.
    pub generator_xdp_mode: Option<String>,
    /// Checksum and segmentation offloads of the two interfaces during this run.
    pub offloads: Option<Offloads>,
    /// Both ends of the wire while the target ran, as the kernel told.
    #[serde(default)]
    pub interfaces: Vec<Interface>,
    /// The names of the percentiles of `latency_us` that the machine cannot show: see
    /// [`is_drowned`](crate::noise::is_drowned).
    #[serde(default)]
    pub drowned: Vec<String>,
    /// Each round.
    pub rounds: Vec<Round>,
}

/// Checksum and segmentation offloads, `on` (the kernel's default) or `off`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offloads {
    /// Of the client's interface.
    pub client: String,
    /// Of the server's interface.
    pub server: String,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the requests were answered within this.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// All.
    pub max: f64,
}

/// A processor's work in the interval divided by the requests, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuPerRequest {
    /// All that was not idle.
    pub total: f64,
    /// In user space.
    pub user: f64,
    /// In system calls.
    pub system: f64,
    /// In software interrupts.
    pub softirq: f64,
    /// In hardware interrupts.
    pub irq: f64,
    /// The share of its time that the processor worked, 0 to 1.
    pub busy_share: f64,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Its number, from 0; rounds of the same number ran next to each other.
    pub round: u32,
    /// When its measured interval began, in seconds since 1970 UTC, to about a millisecond.
    #[serde(default)]
    pub began_unix_s: Option<f64>,
    /// Requests answered a second; 0 when the round failed.
    pub rate_per_s: f64,
    /// Latencies of this round.
    pub latency_us: Latency,
    /// The server's processor.
    pub server_cpu: Option<CpuPerRequest>,
    /// The generator's processor.
    pub generator_cpu: CpuPerRequest,
    /// Why there is no measurement, when it failed.
    pub failure: Option<String>,
    /// What the generator said; `None` when the round failed.
    pub report: Option<GeneratorReport>,
}

/// Which values of a metric are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// What a comparison shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// `of` is better, and the interval of the ratio excludes 1.
    OfBetter,
    /// `against` is better, and the interval of the ratio excludes 1.
    AgainstBetter,
    /// The interval contains 1.
    NoDifference,
    /// Fewer than [`MIN_ROUNDS`] rounds have both sides.
    TooFewRounds,
}

/// One metric of two targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What was done again and again.
    pub scenario: Scenario,
    /// Who asked.
    pub generator: Generator,
    /// Connections at a time.
    pub connections: u32,
    /// Requests a second that an open loop asked for; `None` for a closed loop.
    #[serde(default)]
    pub rate_asked_per_s: Option<u64>,
    /// The name of the metric, as in [`Run`].
    pub metric: String,
    /// Which values of it are good.
    pub better: Better,
    /// The numerator's target.
    pub of: Target,
    /// The denominator's target.
    pub against: Target,
    /// Median of the rounds' ratios, and its 95 % interval.
    #[serde(flatten)]
    pub ratio: Ratio,
    /// What that shows.
    pub outcome: Outcome,
}

impl Latency {
    /// From nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(histogram.max()),
        }
    }

    /// Medians of rounds, but the longest `max` of all.
    pub(crate) fn median(rounds: &[Self]) -> Self {
        let of = |pick: fn(&Self) -> f64| {
            let values: Vec<f64> = rounds.iter().map(pick).collect();
            three_places(stats::median(&values))
        };
        Self {
            p50: of(|latency| latency.p50),
            p90: of(|latency| latency.p90),
            p99: of(|latency| latency.p99),
            p999: of(|latency| latency.p999),
            max: rounds.iter().map(|round| round.max).fold(0.0, f64::max),
        }
    }
}

impl CpuPerRequest {
    fn of(time: &CpuTime, requests: u64) -> Self {
        let each = |micros: u64| match requests {
            0 => 0.0,
            requests => three_places(micros as f64 / requests as f64),
        };
        Self {
            total: each(time.busy()),
            user: each(time.user),
            system: each(time.system),
            softirq: each(time.softirq),
            irq: each(time.irq),
            busy_share: three_places(time.busy_share()),
        }
    }

    /// The one with the median total (the lower of two), whole, so that its kinds add up.
    fn median(each: &[Self]) -> Self {
        let mut sorted = each.to_vec();
        sorted.sort_by(|a, b| a.total.total_cmp(&b.total));
        sorted
            .get(sorted.len().saturating_sub(1) / 2)
            .copied()
            .unwrap_or_default()
    }
}

impl Round {
    /// From what the generator reports, with the processors of both sides.
    pub(crate) fn measured(round: u32, report: GeneratorReport, parameters: &Parameters) -> Self {
        let cpu = |number: Option<usize>| {
            let time = number.and_then(|number| report.cpus.get(number));
            time.map(|time| CpuPerRequest::of(time, report.requests))
        };
        let seconds = report.elapsed_ns as f64 / 1e9;
        let histogram = stats::decode(&report.histogram).unwrap_or_else(stats::latencies);
        Self {
            round,
            began_unix_s: None,
            rate_per_s: match seconds > 0.0 {
                true => (report.requests as f64 / seconds).round(),
                false => 0.0,
            },
            latency_us: Latency::of(&histogram),
            server_cpu: cpu(parameters.server_cpu),
            generator_cpu: cpu(parameters.generator_cpu).unwrap_or_default(),
            failure: None,
            report: Some(report),
        }
    }

    /// The round, whose interval ended at `ended`.
    pub(crate) fn ended(mut self, ended: SystemTime) -> Self {
        let length = self
            .report
            .as_ref()
            .map(|report| report.elapsed_ns as f64 / 1e9);
        let ended = ended.duration_since(UNIX_EPOCH).ok();
        self.began_unix_s = ended
            .zip(length)
            .map(|(ended, length)| three_places(ended.as_secs_f64() - length));
        self
    }

    /// A round without a measurement.
    pub(crate) fn failed(round: u32, why: String) -> Self {
        Self {
            round,
            began_unix_s: None,
            rate_per_s: 0.0,
            latency_us: Latency::default(),
            server_cpu: None,
            generator_cpu: CpuPerRequest::default(),
            failure: Some(why),
            report: None,
        }
    }

    /// The round's latencies; `None` when it failed.
    pub fn histogram(&self) -> Option<Histogram<u64>> {
        self.report
            .as_ref()
            .and_then(|report| stats::decode(&report.histogram))
    }
}

impl Run {
    /// Sums up the rounds of a cell.
    pub(crate) fn new(
        scenario: Scenario,
        cell: &Cell,
        size: u32,
        rounds: Vec<Round>,
        target_xdp_mode: Option<String>,
        offloads: Option<Offloads>,
    ) -> Self {
        let measured: Vec<&Round> = rounds
            .iter()
            .filter(|round| round.report.is_some())
            .collect();
        let reports = || measured.iter().filter_map(|round| round.report.as_ref());
        let mut errors = Errors::default();
        reports().for_each(|report| errors.add(&report.errors));
        let rates: Vec<f64> = measured.iter().map(|round| round.rate_per_s).collect();
        let rate_per_s = stats::median(&rates);
        let servers: Vec<_> = measured
            .iter()
            .filter_map(|round| round.server_cpu)
            .collect();
        let server_cpu = (!servers.is_empty()).then(|| CpuPerRequest::median(&servers));
        let generators: Vec<_> = measured.iter().map(|round| round.generator_cpu).collect();
        let shares: Vec<f64> = reports().map(|report| report.work_share).collect();
        let others: Vec<f64> = reports()
            .filter_map(|report| report.other_cpu_share)
            .collect();
        let latencies: Vec<Latency> = measured.iter().map(|round| round.latency_us).collect();
        let latency_us = Latency::median(&latencies);
        let generator_work_share = three_places(stats::median(&shares));
        let open_loop = cell.rate.map(|_| {
            let reports: Vec<&GeneratorReport> = reports().collect();
            OpenLoop::new(&reports, latency_us.p50, generator_work_share)
        });
        Self {
            scenario,
            target: cell.target,
            generator: cell.generator,
            connections: cell.connections,
            rate_asked_per_s: cell.rate,
            valid: errors.total() == 0
                && open_loop.as_ref().is_none_or(|open| open.faults.is_empty())
                && !rounds.is_empty()
                && measured.len() == rounds.len()
                && reports().all(|report| report.requests > 0),
            rate_per_s,
            goodput_bit_per_s: rate_per_s * f64::from(size) * 8.0,
            latency_us,
            open_loop,
            cpu_us_per_request: server_cpu.map(|cpu| cpu.total),
            server_cpu,
            generator_cpu: CpuPerRequest::median(&generators),
            generator_work_share,
            other_cpu_share: (!others.is_empty()).then(|| three_places(stats::median(&others))),
            errors,
            target_xdp_mode,
            generator_xdp_mode: reports().find_map(|report| report.xdp_mode.clone()),
            offloads,
            interfaces: Vec::new(),
            drowned: Vec::new(),
            rounds,
        }
    }

    /// The cell that was measured.
    pub fn cell(&self) -> Cell {
        Cell {
            generator: self.generator,
            connections: self.connections,
            rate: self.rate_asked_per_s,
            target: self.target,
        }
    }

    /// Why a run of an open loop does not count, beside errors.
    pub fn faults(&self) -> &[String] {
        self.open_loop.as_ref().map_or(&[], |open| &open.faults)
    }

    /// All rounds together.
    pub fn histogram(&self) -> Histogram<u64> {
        let mut all = stats::latencies();
        for histogram in self.rounds.iter().filter_map(Round::histogram) {
            all.add(&histogram)
                .expect("all histograms have the same bounds");
        }
        all
    }

    /// True when the machine cannot show this percentile of `latency_us`.
    pub fn is_drowned(&self, percentile: &str) -> bool {
        self.drowned.iter().any(|name| name == percentile)
    }

    /// Why its first failed round failed.
    pub fn failure(&self) -> Option<&str> {
        self.rounds
            .iter()
            .find_map(|round| round.failure.as_deref())
    }

    /// The name of files about this run, without an extension.
    pub fn file_stem(&self) -> String {
        let (generator, target) = (self.generator.name(), self.target.name());
        let rate = match self.rate_asked_per_s {
            Some(rate) => format!("-{rate}-per-s"),
            None => String::new(),
        };
        format!(
            "{}-{}{rate}-{generator}-client-{target}",
            self.scenario.name(),
            self.connections
        )
    }
}

impl ResultFile {
    /// The comparison of one metric of Byway with another target.
    pub fn comparison(&self, metric: &str, of: &Run, against: Target) -> Option<&Comparison> {
        self.comparisons.iter().find(|comparison| {
            comparison.metric == metric
                && comparison.against == against
                && comparison.of == of.target
                && (
                    comparison.generator,
                    comparison.connections,
                    comparison.rate_asked_per_s,
                ) == key(of)
        })
    }

    /// The runs by generator, number of connections and rate, in the order of the file: what is compared
    /// stands together.
    pub fn groups(&self) -> Vec<Vec<&Run>> {
        let mut groups: Vec<Vec<&Run>> = Vec::new();
        for run in &self.runs {
            match groups.iter_mut().find(|group| key(group[0]) == key(run)) {
                Some(group) => group.push(run),
                None => groups.push(vec![run]),
            }
        }
        groups
    }

    /// The result, if every run of it counts.
    ///
    /// # Errors
    /// [`BenchError::Interrupted`] when the user ended it, [`BenchError::Failed`] when a round failed,
    /// [`BenchError::Invalid`] when a run does not count.
    pub fn checked(self) -> Result<Self, BenchError> {
        if self.partial {
            return Err(BenchError::Interrupted);
        }
        if let Some((run, why)) = self.runs.iter().find_map(|run| Some((run, run.failure()?))) {
            return Err(BenchError::Failed(format!("{}: {why}", run.file_stem())));
        }
        match self.runs.iter().find(|run| !run.valid) {
            None => Ok(self),
            Some(run) if run.errors.total() > 0 => Err(BenchError::Invalid(format!(
                "{}: {}",
                run.file_stem(),
                run.errors.describe()
            ))),
            Some(run) if !run.faults().is_empty() => Err(BenchError::Invalid(format!(
                "{}: {}",
                run.file_stem(),
                run.faults().join("; ")
            ))),
            Some(run) => Err(BenchError::Invalid(format!(
                "{}: no request was answered",
                run.file_stem()
            ))),
        }
    }
}

/// Nanoseconds as microseconds with three places, which is all there is.
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

fn three_places(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A round with this rate, these latencies in nanoseconds and a quarter idle server.
    pub(crate) fn round(number: u32, requests: u64, latencies: &[u64]) -> Round {
        let mut histogram = stats::latencies();
        latencies
            .iter()
            .for_each(|nanos| histogram.record(*nanos).unwrap());
        let cpu = CpuTime {
            user: 100_000,
            system: 500_000,
            softirq: 150_000,
            irq: 0,
            idle: 250_000,
            steal: 0,
        };
        let report = GeneratorReport {
            requests,
            elapsed_ns: 1_000_000_000,
            errors: Errors::default(),
            histogram: stats::encode(&histogram),
            cpus: vec![cpu; 2],
            work_share: 0.5,
            other_cpu_share: Some(0.01),
            resent: 0,
            malformed: 0,
            xdp_mode: None,
            open: None,
        };
        let parameters = Parameters {
            server_cpu: Some(0),
            generator_cpu: Some(1),
            ..Parameters::default()
        };
        Round::measured(number, report, &parameters)
    }

    pub(crate) fn run(target: Target, connections: u32, rates: &[u64]) -> Run {
        let cell = Cell {
            generator: Generator::Kernel,
            connections,
            rate: None,
            target,
        };
        let rounds = rates
            .iter()
            .enumerate()
            .map(|(number, rate)| {
                let middle = 1_000_000_000 * u64::from(connections) / rate;
                let spread: Vec<u64> = (1..2000).map(|k| middle / 2 + middle * k / 1900).collect();
                round(number as u32, *rate, &spread)
            })
            .collect();
        Run::new(Scenario::Rr, &cell, 64, rounds, None, None)
    }

    pub(crate) fn sample() -> ResultFile {
        let runs = vec![
            run(Target::LinuxBlocking, 1, &[40_000, 41_000, 39_000]),
            run(Target::LinuxSpinning, 1, &[120_000, 118_000, 121_000]),
            run(Target::Byway, 1, &[190_000, 195_000, 200_000]),
            run(Target::LinuxBlocking, 100, &[171_000, 170_000, 175_000]),
            run(Target::LinuxSpinning, 100, &[530_000, 525_000, 540_000]),
            run(Target::Byway, 100, &[528_000, 527_000, 531_000]),
        ];
        ResultFile {
            schema: SCHEMA,
            environment: Environment::read(Vec::new()),
            parameters: Parameters {
                size: 64,
                warmup_s: 0.3,
                duration_s: 1.0,
                rounds: 3,
                server_cpu: Some(0),
                generator_cpu: Some(1),
                pipeline: 1,
                ..Parameters::default()
            },
            comparisons: compare(&runs),
            runs,
            warnings: vec!["a closed loop & its <limits>".to_owned()],
            partial: false,
        }
    }

    #[test]
    fn the_file_has_the_published_fields() {
        let json = serde_json::to_value(sample()).unwrap();
        assert_eq!(json["schema"], 1);
        for field in [
            "kernel",
            "cpu_model",
            "cpus",
            "mitigations",
            "clocksource",
            "argv",
        ] {
            assert!(json["environment"].get(field).is_some(), "{field}");
        }
        let run = &json["runs"][2];
        assert_eq!(
            (&run["scenario"], &run["target"]),
            (&"rr".into(), &"byway".into())
        );
        assert_eq!(
            (&run["generator"], &run["connections"]),
            (&"kernel".into(), &1.into())
        );
        assert_eq!(run["rate_per_s"], 195_000.0);
        assert_eq!(run["goodput_bit_per_s"], 195_000.0 * 512.0);
        for field in ["p50", "p90", "p99", "p999", "max"] {
            assert!(run["latency_us"][field].as_f64().unwrap() > 0.0, "{field}");
        }
        assert!(run["cpu_us_per_request"].as_f64().unwrap() > 0.0);
        assert_eq!(run["rounds"].as_array().unwrap().len(), 3);
        let comparison = &json["comparisons"][0];
        for field in [
            "scenario",
            "connections",
            "metric",
            "of",
            "against",
            "ratio",
            "low",
            "high",
            "outcome",
        ] {
            assert!(comparison.get(field).is_some(), "{field}");
        }
    }

    #[test]
    fn the_file_is_read_back_as_it_was() {
        let text = serde_json::to_string(&sample()).unwrap();
        assert_eq!(serde_json::from_str::<ResultFile>(&text).unwrap(), sample());
    }

    #[test]
    fn comparisons_claim_only_what_the_interval_shows() {
        let file = sample();
        let outcome = |connections, against, metric: &str| {
            let run = file
                .runs
                .iter()
                .find(|run| (run.target, run.connections) == (Target::Byway, connections))
                .unwrap();
            file.comparison(metric, run, against).unwrap().outcome
        };
        assert_eq!(
            outcome(1, Target::LinuxBlocking, "rate_per_s"),
            Outcome::OfBetter
        );
        assert_eq!(
            outcome(1, Target::LinuxBlocking, "latency_us.p50"),
            Outcome::OfBetter
        );
        assert_eq!(
            outcome(100, Target::LinuxSpinning, "rate_per_s"),
            Outcome::NoDifference
        );
        let slower = [
            run(Target::LinuxBlocking, 1, &[200, 210, 205]),
            run(Target::Byway, 1, &[100, 100, 101]),
        ];
        let found = compare(&slower);
        assert!(
            found
                .iter()
                .all(|comparison| comparison.outcome == Outcome::AgainstBetter)
        );
        let few = [
            run(Target::LinuxBlocking, 1, &[200, 210]),
            run(Target::Byway, 1, &[1000, 1000]),
        ];
        assert!(
            compare(&few)
                .iter()
                .all(|c| c.outcome == Outcome::TooFewRounds)
        );
    }

    #[test]
    fn errors_and_failures_forbid_conclusions() {
        let mut file = sample();
        assert!(file.clone().checked().is_ok());
        let cell = file.runs[2].cell();
        let mut rounds = file.runs[2].rounds.clone();
        rounds[1].report.as_mut().unwrap().errors.mismatched = 1;
        file.runs[2] = Run::new(Scenario::Rr, &cell, 64, rounds.clone(), None, None);
        assert!(!file.runs[2].valid);
        assert_eq!(file.clone().checked().unwrap_err().exit_code(), 4);
        assert!(
            compare(&file.runs)
                .iter()
                .all(|comparison| comparison.connections == 100)
        );
        rounds[0] = Round::failed(0, "no answer".to_owned());
        file.runs[2] = Run::new(Scenario::Rr, &cell, 64, rounds, None, None);
        assert_eq!(file.clone().checked().unwrap_err().exit_code(), 1);
        assert_eq!(file.runs[2].failure(), Some("no answer"));
    }

    #[test]
    fn processors_are_told_per_request() {
        let run = run(Target::Byway, 1, &[100_000, 100_000, 100_000]);
        let server = run.server_cpu.unwrap();
        assert_eq!((server.total, server.user, server.softirq), (7.5, 1.0, 1.5));
        assert_eq!(server.busy_share, 0.75);
        assert_eq!(run.cpu_us_per_request, Some(7.5));
    }
}
