//! Two results of the same measurement, before and after a change: what differs, and how sure that
//! is.

use crate::error::BenchError;
use crate::gate::Gate;
use crate::metric::Metric;
use crate::openloop;
use crate::output;
use crate::result::{Better, Parameters, ResultFile, Run};
use crate::scenario::{Generator, Scenario, Target};
use crate::stats::{MIN_ROUNDS, Ratio};
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;

mod differences;
mod table;

/// The version of the form of the JSON.
const SCHEMA: u32 = 1;

/// What is compared when nothing else is asked for.
const METRICS: [Metric; 4] = [Metric::Rate, Metric::P50, Metric::P99, Metric::Cpu];

/// Arguments of `byway bench compare`.
#[derive(Clone, Debug, clap::Args)]
pub struct CompareArgs {
    /// The result from before, as --json wrote it
    #[arg(value_name = "OLD.json")]
    pub old: PathBuf,
    /// The result from after
    #[arg(value_name = "NEW.json")]
    pub new: PathBuf,
    /// Print JSON instead of the table
    #[arg(long)]
    pub json: bool,
    /// End with exit code 99 when a metric (rate, p50, p90, p99, p999, max, cpu) is further from the
    /// old one than this, and a difference is shown; one may name its target: byway:rate:-5%
    #[arg(long, value_name = "METRIC:[+-]N%")]
    pub gate: Vec<Gate>,
}

/// What became of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The new one is better, and the interval of the ratio excludes 1.
    Better,
    /// The new one is worse, and the interval of the ratio excludes 1.
    Worse,
    /// The interval contains 1.
    NoDifference,
    /// A side has fewer than [`MIN_ROUNDS`] rounds: there is no interval to speak of.
    TooFewRounds,
}

impl Change {
    /// The word in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoDifference => "no difference",
            Self::TooFewRounds => "too few rounds",
        }
    }
}

/// One metric of a run that is in both results.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Delta {
    /// What was done again and again.
    pub scenario: Scenario,
    /// Who answered.
    pub target: Target,
    /// Who asked.
    pub generator: Generator,
    /// Connections at a time.
    pub connections: u32,
    /// Requests a second that an open loop asked for; `None` for a closed loop.
    pub rate_asked_per_s: Option<u64>,
    /// XDP mode of target and generator, where they have one.
    pub mode: Option<String>,
    /// Which figure.
    pub metric: Metric,
    /// Which values of it are good.
    pub better: Better,
    /// Median of the old rounds: a second for a rate, else microseconds.
    pub old: f64,
    /// Median of the new rounds.
    pub new: f64,
    /// True for a percentile that the machine could not show on one of the sides.
    pub drowned: bool,
    /// The new one divided by the old one, and its 95 % interval.
    #[serde(flatten)]
    pub ratio: Ratio,
    /// What that shows.
    pub change: Change,
}

/// Where one of the two comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Source {
    /// The file.
    pub file: String,
    /// When it was measured, in seconds since 1970 UTC.
    pub started_unix_s: u64,
    /// With which version.
    pub byway_version: String,
    /// On which kernel.
    pub kernel: String,
    /// Rounds of each run.
    pub rounds: u32,
    /// Length of a round.
    pub duration_s: f64,
}

/// What two results show next to each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// 1.
    pub schema: u32,
    /// The one from before.
    pub old: Source,
    /// The one from after.
    pub new: Source,
    /// Each metric of each run that is in both, in the order of the old one.
    pub deltas: Vec<Delta>,
    /// What a reader must know first.
    pub warnings: Vec<String>,
}

/// The whole command `bench compare`: prints the table or the JSON.
///
/// # Errors
/// When a file cannot be read or is no result, when the two have no run in common, and, after all
/// is printed, when a gate is broken.
pub fn execute(args: &CompareArgs) -> Result<(), BenchError> {
    execute_to(args, &mut io::stdout())
}

fn execute_to(args: &CompareArgs, out: &mut impl Write) -> Result<(), BenchError> {
    let old = ResultFile::read(&args.old)?;
    let new = ResultFile::read(&args.new)?;
    comparable(&old.parameters, &new.parameters)?;
    let comparison = Comparison::new(
        Source::new(args.old.display().to_string(), &old),
        Source::new(args.new.display().to_string(), &new),
        (&old, &new),
    );
    match args.json {
        true => {
            let text = serde_json::to_string_pretty(&comparison).expect("all keys are strings");
            output::print(out, &(text + "\n"))?;
        }
        false => output::print(out, &comparison.render())?,
    }
    if comparison.deltas.is_empty() {
        return Err(BenchError::Invalid(
            "the two results have no valid run in common".to_owned(),
        ));
    }
    crate::gate::judge_gates(&args.gate, &old, &new, args.json)
}

/// Refuses two results whose runs did different things.
///
/// # Errors
/// [`BenchError::Usage`] when the sizes of the requests or the kinds of load differ.
pub(crate) fn comparable(old: &Parameters, new: &Parameters) -> Result<(), BenchError> {
    let load = |of: &Parameters| format!("{} octets, {}", of.size, openloop::describe(of));
    let (before, after) = (load(old), load(new));
    match before == after {
        true => Ok(()),
        false => Err(BenchError::Usage(format!(
            "the old result is of {before}, and the new one of {after}: these are two different \
             measurements"
        ))),
    }
}

impl Source {
    pub(crate) fn new(file: String, result: &ResultFile) -> Self {
        Self {
            file,
            started_unix_s: result.environment.started_unix_s,
            byway_version: result.environment.byway_version.clone(),
            kernel: result.environment.kernel.clone(),
            rounds: result.parameters.rounds,
            duration_s: result.parameters.duration_s,
        }
    }
}

impl Comparison {
    /// Compares the runs that are in both.
    pub(crate) fn new(
        before: Source,
        after: Source,
        (old, new): (&ResultFile, &ResultFile),
    ) -> Self {
        let deltas: Vec<Delta> = pairs(old, new)
            .into_iter()
            .flat_map(|(old, new)| METRICS.map(|metric| delta(metric, old, new)))
            .flatten()
            // The rate of an open loop is what was asked for.
            .filter(|delta| delta.metric != Metric::Rate || delta.rate_asked_per_s.is_none())
            .collect();
        let warnings = differences::warnings(old, new, &deltas);
        Self {
            schema: SCHEMA,
            old: before,
            new: after,
            deltas,
            warnings,
        }
    }
}

impl Comparison {
    /// The table.
    pub(crate) fn render(&self) -> String {
        table::render(self)
    }
}

/// What makes two runs the same measurement.
pub(crate) fn is_same(old: &Run, new: &Run) -> bool {
    old.scenario == new.scenario
        && old.cell() == new.cell()
        && old.target_xdp_mode == new.target_xdp_mode
        && old.generator_xdp_mode == new.generator_xdp_mode
}

/// The valid runs that are in both results.
pub(crate) fn pairs<'a>(old: &'a ResultFile, new: &'a ResultFile) -> Vec<(&'a Run, &'a Run)> {
    old.runs
        .iter()
        .filter(|run| run.valid)
        .filter_map(|old| {
            let new = new.runs.iter().find(|new| new.valid && is_same(old, new))?;
            Some((old, new))
        })
        .collect()
}

/// One metric of two runs; `None` when a side does not have it.
pub(crate) fn delta(metric: Metric, old: &Run, new: &Run) -> Option<Delta> {
    let values = |run: &Run| -> Vec<f64> {
        let rounds = run.rounds.iter();
        rounds.filter_map(|round| metric.of_round(round)).collect()
    };
    let (before, after) = (values(old), values(new));
    let ratio = Ratio::of_medians(&after, &before)?;
    let better = metric.better();
    let change = match (before.len().min(after.len()) < MIN_ROUNDS, better) {
        (true, _) => Change::TooFewRounds,
        _ if ratio.contains_one() => Change::NoDifference,
        (_, Better::Higher) if ratio.low > 1.0 => Change::Better,
        (_, Better::Lower) if ratio.high < 1.0 => Change::Better,
        _ => Change::Worse,
    };
    Some(Delta {
        scenario: old.scenario,
        target: old.target,
        generator: old.generator,
        connections: old.connections,
        rate_asked_per_s: old.rate_asked_per_s,
        mode: mode(old),
        metric,
        better,
        old: crate::stats::median(&before),
        new: crate::stats::median(&after),
        drowned: [old, new].iter().any(|run| run.is_drowned(metric.name())),
        ratio,
        change,
    })
}

/// XDP mode of the target, and of the generator where it is another: `native`, `client native`,
/// `native, client generic`.
pub(crate) fn mode(run: &Run) -> Option<String> {
    match (&run.target_xdp_mode, &run.generator_xdp_mode) {
        (Some(target), Some(generator)) if target != generator => {
            Some(format!("{target}, client {generator}"))
        }
        (Some(target), _) => Some(target.clone()),
        (None, generator) => generator.as_ref().map(|mode| format!("client {mode}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::tests::sweep;
    use crate::result::tests::{run, sample};
    use std::path::Path;

    fn of(old: &ResultFile, new: &ResultFile) -> Comparison {
        let source = |name: &str, file| Source::new(name.to_owned(), file);
        Comparison::new(source("old.json", old), source("new.json", new), (old, new))
    }

    #[test]
    fn a_change_is_told_only_where_the_intervals_show_it() {
        let (old, mut new) = (sample(), sample());
        new.runs[2] = run(Target::Byway, 1, &[150_000, 155_000, 145_000]);
        new.runs[5] = run(Target::Byway, 100, &[600_000, 610_000, 590_000]);
        let comparison = of(&old, &new);
        let change = |target, connections, metric| {
            comparison
                .deltas
                .iter()
                .find(|delta| {
                    (delta.target, delta.connections, delta.metric) == (target, connections, metric)
                })
                .unwrap()
                .change
        };
        for metric in METRICS {
            assert_eq!(
                change(Target::Byway, 1, metric),
                Change::Worse,
                "{metric:?}"
            );
            assert_eq!(
                change(Target::Byway, 100, metric),
                Change::Better,
                "{metric:?}"
            );
            assert_eq!(
                change(Target::LinuxSpinning, 1, metric),
                Change::NoDifference
            );
        }
        assert_eq!(comparison.deltas.len(), 6 * METRICS.len());
        let rate = &comparison.deltas[2 * METRICS.len()];
        assert_eq!((rate.old, rate.new), (195_000.0, 150_000.0));
        assert!((rate.ratio.ratio - 150.0 / 195.0).abs() < 1e-9);
    }

    #[test]
    fn open_loops_are_compared_rate_by_rate() {
        let mut old = sweep();
        old.runs.iter_mut().for_each(|run| run.valid = true);
        old.runs[0].drowned.push("p99".to_owned());
        let deltas = of(&old, &old).deltas;
        assert!(deltas.iter().all(|delta| delta.metric != Metric::Rate));
        assert_eq!(deltas.len(), 3 * old.runs.len());
        for (delta, run) in deltas.iter().step_by(3).zip(&old.runs) {
            assert_eq!(delta.rate_asked_per_s, run.rate_asked_per_s);
        }
        let drowned = deltas.iter().filter(|delta| delta.drowned);
        assert!(drowned.map(|delta| delta.metric).eq([Metric::P99]));
        let mut closed = old.clone();
        closed.parameters.arrivals = None;
        let error = comparable(&old.parameters, &closed.parameters).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("open loop, Poisson arrivals, and the new"),
            "{error}"
        );
    }

    #[test]
    fn the_mode_says_whose_it_is() {
        let mut run = run(Target::Byway, 1, &[1_000]);
        let mut of = |target: Option<&str>, generator: Option<&str>| {
            run.target_xdp_mode = target.map(str::to_owned);
            run.generator_xdp_mode = generator.map(str::to_owned);
            mode(&run).unwrap_or_default()
        };
        assert_eq!(of(None, None), "");
        assert_eq!(of(None, Some("native")), "client native");
        assert_eq!(of(Some("native"), None), "native");
        assert_eq!(of(Some("native"), Some("native")), "native");
        assert_eq!(
            of(Some("native"), Some("generic")),
            "native, client generic"
        );
    }

    #[test]
    fn few_rounds_show_nothing() {
        let (old, mut new) = (sample(), sample());
        new.runs[2] = run(Target::Byway, 1, &[1_000, 1_000]);
        let delta = delta(Metric::Rate, &old.runs[2], &new.runs[2]).unwrap();
        assert_eq!(delta.change, Change::TooFewRounds);
    }

    #[test]
    fn only_runs_of_the_same_kind_are_compared() {
        let (old, mut new) = (sample(), sample());
        new.runs[0].scenario = Scenario::Crr;
        new.runs[1].generator = Generator::Lean;
        new.runs[2].target_xdp_mode = Some("native".to_owned());
        new.runs[3].connections = 101;
        new.runs[4].valid = false;
        let comparison = of(&old, &new);
        assert!(
            comparison
                .deltas
                .iter()
                .all(|delta| { (delta.target, delta.connections) == (Target::Byway, 100) })
        );
        assert_eq!(comparison.deltas.len(), METRICS.len());
    }

    #[test]
    fn the_table_is_a_promise() {
        let (mut old, mut new) = (sample(), sample());
        for (file, started) in [(&mut old, 1_795_442_700), (&mut new, 1_795_529_100)] {
            file.environment.started_unix_s = started;
            file.environment.byway_version = "1.2.3".to_owned();
            file.environment.kernel = "6.18.1".to_owned();
            for run in &mut file.runs {
                run.target_xdp_mode = (run.target == Target::Byway).then(|| "native".to_owned());
            }
        }
        new.runs[5].rounds = run(Target::Byway, 100, &[600_000, 610_000, 590_000]).rounds;
        new.runs[0].rounds = run(Target::LinuxBlocking, 1, &[35_000, 36_000, 34_000]).rounds;
        let text = of(&old, &new).render();
        assert_eq!(text, include_str!("../../tests/golden/compare.txt"));
    }

    #[test]
    fn the_json_has_the_published_fields() {
        let json = serde_json::to_value(of(&sample(), &sample())).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["old"]["file"], "old.json");
        let delta = &json["deltas"][0];
        for (field, value) in [
            ("scenario", "rr"),
            ("target", "linux-blocking"),
            ("generator", "kernel"),
            ("metric", "rate"),
            ("better", "higher"),
            ("change", "no_difference"),
        ] {
            assert_eq!(delta[field], value);
        }
        for field in ["connections", "old", "new", "ratio", "low", "high"] {
            assert!(delta[field].is_number(), "{field}");
        }
    }

    /// The files of one test, gone at its end.
    struct Files(PathBuf);

    impl Files {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("byway-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn with(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn executed(old: &Path, new: &Path, gate: &[&str]) -> Result<(), BenchError> {
        let args = CompareArgs {
            old: old.to_path_buf(),
            new: new.to_path_buf(),
            json: true,
            gate: gate.iter().map(|text| text.parse().unwrap()).collect(),
        };
        let mut out = Vec::new();
        let done = execute_to(&args, &mut out);
        let printed: Option<serde_json::Value> = serde_json::from_slice(&out).ok();
        assert!(printed.is_some_and(|json| json["schema"] == 1) || done.is_err());
        done
    }

    #[test]
    fn what_is_no_result_is_refused_by_name() {
        let files = Files::new("compare");
        let good = files.with("good.json", &sample().to_json());
        assert!(executed(&good, &good, &["rate:-5%"]).is_ok());
        let mut other = sample();
        other.schema = 2;
        for (name, text, code, said) in [
            ("text.json", "rate: high", 2, "text.json is not JSON: "),
            ("empty.json", "", 2, "empty.json is not JSON: "),
            (
                "list.json",
                "[1]",
                2,
                "list.json is no result of byway bench: it has no schema",
            ),
            (
                "new.json",
                other.to_json().as_str(),
                2,
                "new.json has schema 2, and this version reads schema 1",
            ),
            (
                "part.json",
                "{\"schema\": 1}",
                2,
                "part.json is no result of byway bench rr or crr: missing field",
            ),
        ] {
            let bad = files.with(name, text);
            for error in [executed(&bad, &good, &[]), executed(&good, &bad, &[])] {
                let error = error.unwrap_err();
                assert_eq!(error.exit_code(), code, "{error}");
                assert!(error.to_string().contains(said), "{error}");
            }
        }
        let error = executed(&good, &files.0.join("missing.json"), &[]).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(
            error.to_string().contains("missing.json: No such file"),
            "{error}"
        );
    }

    #[test]
    fn nothing_in_common_proves_nothing_and_a_broken_gate_is_99() {
        let files = Files::new("exit-codes");
        let old = files.with("old.json", &sample().to_json());
        let mut file = sample();
        file.parameters.size = 1024;
        let error = executed(&old, &files.with("size.json", &file.to_json()), &[]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("64 octets"), "{error}");
        let mut file = sample();
        file.runs.iter_mut().for_each(|run| run.connections += 1);
        let error = executed(&old, &files.with("other.json", &file.to_json()), &[]).unwrap_err();
        assert_eq!(error.exit_code(), 4, "{error}");
        let mut file = sample();
        file.runs[2] = run(Target::Byway, 1, &[100_000, 101_000, 99_000]);
        let slower = files.with("slower.json", &file.to_json());
        assert!(executed(&old, &slower, &[]).is_ok());
        let error = executed(&old, &slower, &["byway:rate:-5%"]).unwrap_err();
        assert_eq!(error.exit_code(), 99, "{error}");
        assert!(executed(&old, &slower, &["linux:rate:-5%"]).is_ok());
    }
}
