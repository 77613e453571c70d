//! Limits that a measurement is held to: `--threshold 'p99<250us'`, and `--gate 'rate:-5%'` against
//! a result from before. Exit code 99 when one is broken.

use crate::compare::{Change, Comparison, Source, comparable, delta, pairs};
use crate::error::BenchError;
use crate::metric::{Metric, run_title};
use crate::output;
use crate::result::{Better, Parameters, ResultFile, Run};
use crate::rr::RrOptions;
use crate::scenario::{Target, TargetWord};
use crate::stats::MIN_ROUNDS;
use crate::verdict::times;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Limits that the result is held to.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Limits (exit code 99 when one is broken)")]
pub struct LimitArgs {
    /// Every run must keep this: rate, p50, p90, p99, p999, max or cpu (of the server, a request),
    /// then <, <=, > or >=, then a value in ns, us, ms or s, for rates with k or M. It is for one
    /// target when that stands before it: byway:p99<250us. May be given several times
    #[arg(long, value_name = "LIMIT")]
    pub threshold: Vec<Threshold>,
    /// A result from before, written with --json: what changed since is printed
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// No metric may be further from the baseline than this where a difference is shown: rate:-5%,
    /// p99:+10%, byway:cpu:+3%. May be given several times
    #[arg(long, value_name = "METRIC:[+-]N%", requires = "baseline")]
    pub gate: Vec<Gate>,
}

/// Which runs a limit is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Scope {
    /// As it was written, with its colon; empty for all.
    word: String,
    /// Nothing for all.
    targets: Vec<Target>,
}

impl Scope {
    fn parse(word: &str) -> Result<Self, String> {
        let targets = match word {
            "remote" => vec![Target::Remote],
            word => word.parse::<TargetWord>()?.0,
        };
        let word = format!("{word}:");
        Ok(Self { word, targets })
    }

    fn holds(&self, target: Target) -> bool {
        self.targets.is_empty() || self.targets.contains(&target)
    }
}

/// How a value may lie to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

impl Relation {
    const ALL: [Self; 4] = [Self::LessOrEqual, Self::MoreOrEqual, Self::Less, Self::More];

    const fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::More => ">",
            Self::MoreOrEqual => ">=",
        }
    }

    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::LessOrEqual => value <= limit,
            Self::More => value > limit,
            Self::MoreOrEqual => value >= limit,
        }
    }
}

/// One `--threshold`.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    scope: Scope,
    metric: Metric,
    relation: Relation,
    /// A second for rates, else microseconds.
    limit: f64,
    /// The limit as it was written.
    written: String,
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
            .map_err(|why| format!("{why}; for example 'p99<250us' or 'byway:rate>=500k'"))
    }
}

impl Threshold {
    fn parse(text: &str) -> Result<Self, String> {
        let text: String = text.split_whitespace().collect();
        let (scope, rest) = match text.split_once(':') {
            Some((word, rest)) => (Scope::parse(word)?, rest),
            None => (Scope::default(), text.as_str()),
        };
        let at = rest.find(['<', '>']).ok_or("it has no < or >")?;
        let (word, condition) = rest.split_at(at);
        let (relation, value) = Relation::ALL
            .into_iter()
            .find_map(|relation| Some((relation, condition.strip_prefix(relation.sign())?)))
            .ok_or("it has no < or >")?;
        let metric = Metric::parse(word)?;
        Ok(Self {
            scope,
            metric,
            relation,
            limit: quantity(metric, value)?,
            written: value.to_owned(),
        })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scope, metric) = (&self.scope.word, self.metric.name());
        write!(f, "{scope}{metric}{}{}", self.relation.sign(), self.written)
    }
}

/// A number with its unit: a second for rates, else microseconds.
fn quantity(metric: Metric, text: &str) -> Result<f64, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = positive(number)?;
    let factor = match (metric, unit.strip_suffix("/s").unwrap_or(unit)) {
        (Metric::Rate, "") => 1.0,
        (Metric::Rate, "k") => 1e3,
        (Metric::Rate, "M") => 1e6,
        (Metric::Rate, _) => return Err(format!("'{unit}' is no unit of a rate: k, M or none")),
        (_, _) => match unit {
            "ns" => 1e-3,
            "us" | "µs" => 1.0,
            "ms" => 1e3,
            "s" => 1e6,
            "" => return Err(format!("{number} of what: ns, us, ms or s?")),
            unit => return Err(format!("'{unit}' is no unit of time: ns, us, ms or s")),
        },
    };
    Ok(number * factor)
}

/// A number above zero in digits; `nan` and `1e9` are none.
fn positive(digits: &str) -> Result<f64, String> {
    let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    match digits.parse::<f64>() {
        Ok(value) if plain && value.is_finite() && value > 0.0 => Ok(value),
        _ => Err(format!("'{digits}' is no number above zero")),
    }
}

/// One `--gate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    scope: Scope,
    metric: Metric,
    /// The ratio to the baseline beyond which it is broken: below it where more is better, else
    /// above it.
    limit: f64,
    /// The limit as it was written.
    written: String,
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
            .map_err(|why| format!("{why}; for example 'rate:-5%' or 'byway:p99:+10%'"))
    }
}

impl Gate {
    fn parse(text: &str) -> Result<Self, String> {
        let text: String = text.split_whitespace().collect();
        let (rest, written) = text.rsplit_once(':').ok_or("it has no colon")?;
        let (scope, word) = match rest.split_once(':') {
            Some((word, metric)) => (Scope::parse(word)?, metric),
            None => (Scope::default(), rest),
        };
        let metric = Metric::parse(word)?;
        let change = written.strip_suffix('%').ok_or("it does not end in %")?;
        let (sign, percent) = match (metric.better(), change.split_at_checked(1)) {
            (Better::Higher, Some(("-", number))) => (-1.0, positive(number)?),
            (Better::Lower, Some(("+", number))) => (1.0, positive(number)?),
            (Better::Higher, _) => {
                return Err(format!(
                    "{word} is better when higher: its limit begins with -"
                ));
            }
            (Better::Lower, _) => {
                return Err(format!(
                    "{word} is better when lower: its limit begins with +"
                ));
            }
        };
        if sign < 0.0 && percent >= 100.0 {
            return Err(format!("nothing falls by {percent} %"));
        }
        Ok(Self {
            scope,
            metric,
            limit: 1.0 + sign * percent / 100.0,
            written: written.to_owned(),
        })
    }

    fn is_beyond(&self, ratio: f64) -> bool {
        match self.metric.better() {
            Better::Higher => ratio < self.limit,
            Better::Lower => ratio > self.limit,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scope, metric) = (&self.scope.word, self.metric.name());
        write!(f, "{scope}{metric}:{}", self.written)
    }
}

/// The limits of a measurement that is about to be made, with the baseline in memory: it may be the
/// file that the new result goes to.
#[derive(Debug)]
pub(crate) struct Limits<'a> {
    args: &'a LimitArgs,
    baseline: Option<(Source, ResultFile)>,
}

impl LimitArgs {
    /// Reads the baseline, and refuses limits that the measurement could not decide.
    ///
    /// # Errors
    /// When the baseline is no result, or a limit is for what will not be measured or not be in it.
    pub(crate) fn prepare(&self, options: &RrOptions) -> Result<Limits<'_>, BenchError> {
        let usage = |what: String| Err(BenchError::Usage(what));
        for threshold in &self.threshold {
            if !options
                .targets
                .iter()
                .any(|target| threshold.scope.holds(*target))
            {
                return usage(format!(
                    "--threshold {threshold}: that target is not measured"
                ));
            }
            if threshold.metric == Metric::Cpu && options.address.is_some() {
                return usage(format!(
                    "--threshold {threshold}: the processor of a server at an address is not \
                     measured"
                ));
            }
        }
        let Some(path) = &self.baseline else {
            return Ok(Limits {
                args: self,
                baseline: None,
            });
        };
        let old = ResultFile::read(path)?;
        let name = path.display();
        comparable(&old.parameters, &planned(options))
            .map_err(|error| BenchError::Usage(format!("--baseline {name}: {error}")))?;
        for gate in &self.gate {
            gate.check(&old, options)
                .map_err(|why| BenchError::Usage(format!("--gate {gate}: {why}")))?;
        }
        let source = Source::new(name.to_string(), &old);
        Ok(Limits {
            args: self,
            baseline: Some((source, old)),
        })
    }
}

/// The part of the parameters of a result that says what its runs do.
fn planned(options: &RrOptions) -> Parameters {
    let open = !options.shape.rates.is_empty();
    Parameters {
        size: options.size,
        think_us: options.shape.think.as_micros() as u64,
        pipeline: options.shape.pipeline,
        arrivals: open.then(|| options.shape.arrivals.unwrap_or_default()),
        ..Parameters::default()
    }
}

impl Gate {
    /// Refuses what no measurement could decide.
    fn check(&self, old: &ResultFile, options: &RrOptions) -> Result<(), String> {
        let rates = options.shape.loops();
        let planned = |run: &&Run| {
            rates.contains(&run.rate_asked_per_s)
                && run.scenario == options.scenario
                && self.scope.holds(run.target)
                && options.targets.contains(&run.target)
                && options.loads.contains(&(run.generator, run.connections))
                && options.shape.loops().contains(&run.rate_asked_per_s)
        };
        let both: Vec<&Run> = old.runs.iter().filter(planned).collect();
        if both.is_empty() {
            return Err("the baseline has no run of what is to be measured".to_owned());
        }
        if (options.rounds as usize) < MIN_ROUNDS {
            return Err(format!("it takes --rounds {MIN_ROUNDS} at least"));
        }
        let rounds = |run: &&Run| {
            let values = run.rounds.iter();
            values
                .filter_map(|round| self.metric.of_round(round))
                .count()
        };
        match both.iter().map(rounds).max() {
            Some(most) if most >= MIN_ROUNDS => Ok(()),
            _ => Err(format!(
                "the baseline has fewer than {MIN_ROUNDS} rounds of it"
            )),
        }
    }
}

impl Limits<'_> {
    /// Prints what changed since the baseline and how every limit fared; to standard error when
    /// standard output is for the JSON.
    ///
    /// # Errors
    /// [`BenchError::Broken`] with all limits that are broken, [`BenchError::Invalid`] when one
    /// could not be decided.
    pub(crate) fn judge(&self, file: &ResultFile, bare: bool) -> Result<(), BenchError> {
        let mut findings: Vec<Finding> = self
            .args
            .threshold
            .iter()
            .flat_map(|threshold| threshold.judge(file))
            .collect();
        if let Some((source, old)) = &self.baseline {
            let new = Source::new("this measurement".to_owned(), file);
            let comparison = Comparison::new(source.clone(), new, (old, file));
            say(&comparison.render(), bare)?;
            findings.extend(judge_all(&self.args.gate, old, file));
        }
        conclude(&findings, bare)
    }
}

/// Holds the new result to the gates and prints how each fared.
///
/// # Errors
/// As [`Limits::judge`].
pub(crate) fn judge_gates(
    gates: &[Gate],
    old: &ResultFile,
    new: &ResultFile,
    bare: bool,
) -> Result<(), BenchError> {
    conclude(&judge_all(gates, old, new), bare)
}

/// How a limit fared with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Kept,
    Broken,
    /// Beyond the limit, but the interval contains "no difference".
    Unsure,
    /// There was nothing to decide it by.
    Undecided,
}

/// A limit, and what was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    state: State,
    /// The limit, and what was measured.
    text: String,
}

impl Finding {
    fn undecided(limit: impl fmt::Display, why: &str) -> Self {
        Self {
            state: State::Undecided,
            text: format!("{limit}: {why}"),
        }
    }

    fn line(&self) -> String {
        let word = match self.state {
            State::Kept => "kept",
            State::Broken => "BROKEN",
            State::Unsure => "unsure",
            State::Undecided => "unknown",
        };
        format!("  {word:<8}{}\n", self.text)
    }
}

impl Threshold {
    fn judge(&self, file: &ResultFile) -> Vec<Finding> {
        let runs = file.runs.iter().filter(|run| self.scope.holds(run.target));
        let findings: Vec<Finding> = runs.map(|run| self.judge_run(run)).collect();
        match findings.is_empty() {
            true => vec![Finding::undecided(self, "that target was not measured")],
            false => findings,
        }
    }

    fn judge_run(&self, run: &Run) -> Finding {
        let title = run_title(run);
        let value = self.metric.of_run(run).filter(|_| run.valid);
        let Some(value) = value else {
            return Finding::undecided(self, &format!("no valid measurement of {title}"));
        };
        let state = match self.relation.holds(value, self.limit) {
            true => State::Kept,
            false => State::Broken,
        };
        let text = format!("{self}: {} ({title})", self.metric.show(value));
        Finding { state, text }
    }
}

fn judge_all(gates: &[Gate], old: &ResultFile, new: &ResultFile) -> Vec<Finding> {
    gates.iter().flat_map(|gate| gate.judge(old, new)).collect()
}

impl Gate {
    fn judge(&self, old: &ResultFile, new: &ResultFile) -> Vec<Finding> {
        let findings: Vec<Finding> = pairs(old, new)
            .into_iter()
            .filter(|(_, new)| self.scope.holds(new.target))
            .filter_map(|(old, new)| self.judge_pair(old, new))
            .collect();
        match findings.is_empty() {
            true => vec![Finding::undecided(self, "no valid run is in both results")],
            false => findings,
        }
    }

    fn judge_pair(&self, old: &Run, new: &Run) -> Option<Finding> {
        let delta = delta(self.metric, old, new)?;
        let state = match (self.is_beyond(delta.ratio.ratio), delta.change) {
            (_, Change::TooFewRounds) => State::Undecided,
            (false, _) => State::Kept,
            (true, Change::NoDifference) => State::Unsure,
            (true, _) => State::Broken,
        };
        let why = match state {
            State::Unsure => ", but no difference is shown: more rounds would tell",
            State::Undecided => ", from too few rounds",
            State::Kept | State::Broken => "",
        };
        let [was, is] = [delta.old, delta.new].map(|value| self.metric.show(value));
        let text = format!(
            "{self}: {is} after {was}, x {} [{}, {}]{why} ({})",
            times(delta.ratio.ratio),
            times(delta.ratio.low),
            times(delta.ratio.high),
            run_title(new)
        );
        Some(Finding { state, text })
    }
}

/// Prints a line for each and says whether all were kept.
fn conclude(findings: &[Finding], bare: bool) -> Result<(), BenchError> {
    if findings.is_empty() {
        return Ok(());
    }
    let lines: String = findings.iter().map(Finding::line).collect();
    let printed = say(&format!("\nlimits\n{lines}"), bare);
    let texts = |state: State| -> Vec<&str> {
        let found = findings.iter().filter(|finding| finding.state == state);
        found.map(|finding| finding.text.as_str()).collect()
    };
    let (broken, undecided) = (texts(State::Broken), texts(State::Undecided));
    if !broken.is_empty() {
        let count = format!("{} of {} limits broken", broken.len(), findings.len());
        return Err(BenchError::Broken(format!(
            "{count}: {}",
            broken.join("; ")
        )));
    }
    if !undecided.is_empty() {
        let what = format!(
            "limits that nothing was measured for: {}",
            undecided.join("; ")
        );
        return Err(BenchError::Invalid(what));
    }
    printed
}

/// To standard output, or to standard error when that is for JSON alone.
fn say(text: &str, bare: bool) -> Result<(), BenchError> {
    match bare {
        true => {
            eprint!("{text}");
            Ok(())
        }
        false => output::print(&mut std::io::stdout(), text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::{run, sample};
    use crate::rr::RrArgs;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: RrArgs,
    }

    fn line(words: &[&str]) -> Result<RrArgs, clap::Error> {
        let line = std::iter::once(&"byway").chain(words);
        Line::try_parse_from(line).map(|line| line.args)
    }

    fn threshold(text: &str) -> Threshold {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    fn gate(text: &str) -> Gate {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn thresholds_have_units() {
        for (text, metric, limit) in [
            ("p99<250us", Metric::P99, 250.0),
            ("p50 <= 4900ns", Metric::P50, 4.9),
            ("max<1.5ms", Metric::Max, 1500.0),
            ("p999<2s", Metric::P999, 2e6),
            ("cpu<1.25µs", Metric::Cpu, 1.25),
            ("rate>500k", Metric::Rate, 5e5),
            ("rate>=1.5M/s", Metric::Rate, 1.5e6),
            ("rate>40000", Metric::Rate, 4e4),
            ("byway:p90<1ms", Metric::P90, 1000.0),
        ] {
            let threshold = threshold(text);
            assert_eq!(threshold.metric, metric, "{text}");
            assert!(
                (threshold.limit - limit).abs() < 1e-9,
                "{text}: {}",
                threshold.limit
            );
            assert_eq!(threshold.to_string(), text.replace(' ', ""));
        }
        let both = threshold("linux:rate>1").scope;
        assert!(both.holds(Target::LinuxSpinning) && both.holds(Target::LinuxBlocking));
        assert!(!both.holds(Target::Byway) && threshold("rate>1").scope.holds(Target::Byway));
        assert!(threshold("remote:rate>1").scope.holds(Target::Remote));
    }

    #[test]
    fn malformed_limits_are_refused_with_an_example() {
        for (text, said) in [
            ("", "no < or >"),
            ("p99", "no < or >"),
            ("p99=250us", "no < or >"),
            ("p99<250", "of what"),
            ("p99<250k", "no unit of time"),
            ("p95<1ms", "no metric"),
            ("<1ms", "no metric"),
            ("p99<", "no number"),
            ("p99<0us", "above zero"),
            ("p99<-1us", "above zero"),
            ("p99<nanus", "above zero"),
            ("p99<1e3us", "no unit of time"),
            ("p99<1.2.3us", "above zero"),
            ("rate>1ms", "no unit of a rate"),
            ("windows:p99<1ms", "one of linux"),
        ] {
            let error = text.parse::<Threshold>().expect_err(text);
            assert!(error.contains(said), "{text}: {error}");
            assert!(error.contains("for example 'p99<250us'"), "{text}: {error}");
        }
        for (text, said) in [
            ("", "no colon"),
            ("rate", "no colon"),
            ("rate:-5", "end in %"),
            ("rate:5%", "begins with -"),
            ("rate:+5%", "begins with -"),
            ("p99:-5%", "begins with +"),
            ("p99:%", "begins with +"),
            ("rate:-x%", "above zero"),
            ("rate:-100%", "nothing falls"),
            ("p95:+1%", "no metric"),
            ("a:b:rate:-5%", "one of linux"),
        ] {
            let error = text.parse::<Gate>().expect_err(text);
            assert!(error.contains(said), "{text}: {error}");
            assert!(error.contains("for example 'rate:-5%'"), "{text}: {error}");
        }
        let error = line(&["--threshold", "p99<250"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(
            error.to_string().contains("for example 'p99<250us'"),
            "{error}"
        );
        assert!(line(&["--gate", "rate:-5%"]).is_err(), "against what?");
        let whole = [
            "--baseline",
            "b.json",
            "--gate",
            "rate:-5%",
            "--gate",
            "byway:p99:+10%",
        ];
        assert_eq!(line(&whole).unwrap().common.limits.gate.len(), 2);
    }

    #[test]
    fn all_broken_thresholds_are_told_with_what_was_measured() {
        let args = LimitArgs {
            threshold: vec![
                threshold("byway:rate>500k"),
                threshold("linux-blocking:p50<10us"),
                threshold("byway:p50<1s"),
            ],
            ..LimitArgs::default()
        };
        let limits = Limits {
            args: &args,
            baseline: None,
        };
        let error = limits.judge(&sample(), true).unwrap_err();
        assert_eq!(error.exit_code(), 99);
        let text = error.to_string();
        // One of Byway's two runs answers 528,000 a second, the other one 195,000.
        assert!(text.starts_with("3 of 6 limits broken: "), "{text}");
        for words in [
            "byway:rate>500k: 195,000/s (byway, 1 connection, ",
            "linux-blocking:p50<10us: ",
            "(linux-blocking, 100 connections",
        ] {
            assert!(text.contains(words), "{text}");
        }
        assert!(!text.contains("p50<1s"), "{text}");
        let kept = LimitArgs {
            threshold: vec![threshold("rate>1k")],
            ..LimitArgs::default()
        };
        let limits = Limits {
            args: &kept,
            baseline: None,
        };
        assert!(limits.judge(&sample(), true).is_ok());
    }

    #[test]
    fn a_value_at_the_limit_keeps_or_breaks_it_as_the_sign_says() {
        let run = run(Target::Byway, 1, &[100_000, 100_000, 100_000]);
        let state = |text: &str| threshold(text).judge_run(&run).state;
        for (text, expected) in [
            ("rate>100k", State::Broken),
            ("rate>=100k", State::Kept),
            ("rate<100k", State::Broken),
            ("rate<=100k", State::Kept),
            ("cpu<7.5us", State::Broken),
            ("cpu<7501ns", State::Kept),
        ] {
            assert_eq!(state(text), expected, "{text}");
        }
    }

    #[test]
    fn what_was_not_measured_keeps_no_limit() {
        let mut file = sample();
        file.runs[2].valid = false;
        let args = LimitArgs {
            threshold: vec![threshold("byway:rate>1")],
            ..LimitArgs::default()
        };
        let limits = Limits {
            args: &args,
            baseline: None,
        };
        let error = limits.judge(&file, true).unwrap_err();
        assert_eq!(error.exit_code(), 4, "{error}");
        assert!(error.to_string().contains("byway, 1 connection"), "{error}");
    }

    /// How a gate fares for a run of these rates after one of 100 a second or so.
    fn gated(text: &str, rates: &[u64]) -> (State, String) {
        let (mut old, mut new) = (sample(), sample());
        old.runs = vec![run(Target::Byway, 1, &[99_000, 100_000, 101_000])];
        new.runs = vec![run(Target::Byway, 1, rates)];
        let mut findings = gate(text).judge(&old, &new);
        let finding = findings.pop().unwrap();
        (finding.state, finding.text)
    }

    #[test]
    fn gates_break_where_a_difference_is_shown_and_it_is_beyond() {
        assert_eq!(
            gated("rate:-5%", &[100_000, 99_500, 100_500]).0,
            State::Kept
        );
        assert_eq!(gated("rate:-5%", &[97_000, 97_100, 97_200]).0, State::Kept);
        let (state, text) = gated("rate:-5%", &[90_000, 91_000, 89_000]);
        assert_eq!(state, State::Broken);
        assert!(
            text.contains("rate:-5%: 90,000/s after 100,000/s, x 0.90 [0.88, 0.92]"),
            "{text}"
        );
        assert_eq!(gated("rate:-15%", &[90_000, 91_000, 89_000]).0, State::Kept);
        assert_eq!(
            gated("rate:-5%", &[190_000, 191_000, 189_000]).0,
            State::Kept
        );
        // Half of the rounds were slow: the median is beyond, and it may be chance.
        let (state, text) = gated("rate:-5%", &[90_000, 130_000, 80_000]);
        assert_eq!(state, State::Unsure, "{text}");
        assert!(text.contains("no difference is shown"), "{text}");
        assert_eq!(gated("rate:-5%", &[50_000, 51_000]).0, State::Undecided);
        // Half the rate is twice the latency and twice the processor time of a request.
        assert_eq!(
            gated("p99:+90%", &[50_000, 50_100, 49_900]).0,
            State::Broken
        );
        assert_eq!(gated("p99:+120%", &[50_000, 50_100, 49_900]).0, State::Kept);
        assert_eq!(
            gated("cpu:+90%", &[50_000, 50_100, 49_900]).0,
            State::Broken
        );
        assert_eq!(gated("linux:rate:-5%", &[1, 1, 1]).0, State::Undecided);
    }

    #[test]
    fn the_command_for_gates_ends_with_99_when_one_is_broken() {
        let (old, mut new) = (sample(), sample());
        let gates = [gate("rate:-5%"), gate("byway:p50:+5%")];
        assert!(judge_gates(&gates, &old, &new, true).is_ok());
        new.runs[2] = run(Target::Byway, 1, &[100_000, 101_000, 99_000]);
        new.runs[0] = run(Target::LinuxBlocking, 1, &[20_000, 20_100, 19_900]);
        let error = judge_gates(&gates, &old, &new, true).unwrap_err();
        assert_eq!(error.exit_code(), 99);
        assert!(
            error.to_string().starts_with("3 of 8 limits broken: "),
            "{error}"
        );
    }

    #[test]
    fn what_could_not_be_decided_is_refused_before_anything_is_measured() {
        let path = std::env::temp_dir().join(format!("byway-gate-{}.json", std::process::id()));
        let mut old = sample();
        let refused = |old: &ResultFile, words: &[&str]| {
            old.write(&path).unwrap();
            let baseline = [
                "--generator",
                "kernel",
                "--baseline",
                path.to_str().unwrap(),
            ];
            let args = line(&[&baseline[..], words].concat()).unwrap();
            let options = args.options(PathBuf::from("byway"));
            let error = args.common.limits.prepare(&options).map(drop).err()?;
            assert_eq!(error.exit_code(), 2, "{error}");
            Some(error.to_string())
        };
        assert_eq!(
            refused(&old, &["--gate", "rate:-5%", "--threshold", "p99<1s"]),
            None
        );
        for (words, said) in [
            (
                &["--gate", "rate:-5%", "--connections", "7"][..],
                "no run of what is to be",
            ),
            (
                &["--gate", "byway:rate:-5%", "--target", "linux"],
                "no run of what is to be",
            ),
            (
                &["--gate", "rate:-5%", "--rounds", "2"],
                "--rounds 3 at least",
            ),
            (
                &["--gate", "rate:-5%", "--size", "65"],
                "is of 64 octets, closed loop, and the new one of 65",
            ),
            (
                &["--gate", "p99:+5%", "--rate", "10k"],
                "new one of 64 octets, open loop",
            ),
            (&["--threshold", "reflector:rate>1"], "not measured"),
        ] {
            let text = refused(&old, words).unwrap_or_else(|| panic!("{words:?}"));
            assert!(text.contains(said), "{text}");
        }
        old.runs.iter_mut().for_each(|run| run.rounds.truncate(2));
        let text = refused(&old, &["--gate", "rate:-5%"]).unwrap();
        assert!(text.contains("fewer than 3 rounds"), "{text}");
        std::fs::remove_file(&path).unwrap();
        let args = line(&["--address", "10.0.0.1:7", "--threshold", "cpu<1us"]).unwrap();
        let options = args.options(PathBuf::from("byway"));
        let error = args.common.limits.prepare(&options).map(drop).unwrap_err();
        assert!(error.to_string().contains("is not measured"), "{error}");
    }
}
