//! Instructions an operation, under callgrind, against a baseline that is part of the repository.
//!
//! Time here goes by in steps and all seeds and keys are fixed, so that two runs of a program execute
//! (nearly) the same instructions on whatever machine. valgrind has no AVX-512: checksums are those
//! with AVX2.

use crate::meter::Meter;
use crate::scenario::{Inflow, Outflow, Requests, Scenario, Segments, Terms, Visits};
use clap::Args;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// More than this much worse fails, in percent.
const TOLERANCE: f64 = 3.0;
/// Batches that warm up and that are counted.
const WARM: u32 = 3;
const COUNTED: u32 = 2;
/// Where `count` says how many operations it measured.
const OPERATIONS: &str = "operations ";
/// Octets of payload that [`Inflow`] and [`Outflow`] have in a segment.
const SEGMENT: u64 = 1448;

const TERMS: Terms = Terms {
    timestamps: true,
    real_clock: false,
};

/// `icount`.
#[derive(Debug, Args)]
pub(crate) struct IcountArgs {
    /// Write what is measured to the baseline
    #[arg(long)]
    bless: bool,
    /// The baseline
    #[arg(long, value_name = "FILE", default_value = "bench/engine/icount.toml")]
    baseline: PathBuf,
    /// Keep callgrind's profiles in this directory
    #[arg(long, value_name = "DIRECTORY")]
    profiles: Option<PathBuf>,
    /// What to count; everything when nothing is named
    names: Vec<String>,
}

/// What makes a scenario.
type Maker = fn() -> Box<dyn Scenario>;

/// What is counted, and how many of its units are an operation.
const SCENARIOS: [(&str, u64, Maker); 9] = [
    ("segment_1", 1, || {
        Box::new(Segments::acknowledged_each(TERMS, 1, 1))
    }),
    ("segment_1000", 1, || {
        Box::new(Segments::acknowledged_each(TERMS, 1000, 32))
    }),
    ("segment_burst", 1, || {
        Box::new(Segments::acknowledged_together(TERMS, 32))
    }),
    ("echo_1", 1, || Box::new(Requests::new(TERMS, 1, 1))),
    ("echo_1000_batched", 1, || {
        Box::new(Requests::new(TERMS, 1000, 32))
    }),
    ("visit_batched", 1, || Box::new(Visits::new(TERMS, 32))),
    ("visit_single", 1, || Box::new(Visits::new(TERMS, 1))),
    ("bulk_receive", SEGMENT, || Box::new(Inflow::new(TERMS))),
    ("bulk_send", SEGMENT, || Box::new(Outflow::new(TERMS))),
];

/// Runs one scenario: warm first, then with what callgrind looks for.
///
/// # Errors
/// When there is no such scenario, or it goes wrong.
pub(crate) fn count(name: &str) -> Result<(), String> {
    let (_, unit, make) = SCENARIOS
        .iter()
        .find(|(known, ..)| *known == name)
        .ok_or_else(|| format!("nothing is called {name}"))?;
    let mut scenario = make();
    let mut idle = Meter::idle();
    for _ in 0..WARM {
        scenario.batch(&mut idle);
    }
    let mut meter = Meter::measuring();
    let units: u64 = (0..COUNTED).map(|_| scenario.batch(&mut meter)).sum();
    scenario.check()?;
    println!("{OPERATIONS}{}", units / unit);
    Ok(())
}

/// Counts them all and compares them with the baseline.
///
/// # Errors
/// When valgrind is missing, or something takes more instructions than the baseline allows.
pub(crate) fn run(args: &IcountArgs) -> Result<(), String> {
    let chosen = |name: &str| args.names.is_empty() || args.names.iter().any(|n| n == name);
    let mut counts = BTreeMap::new();
    for (name, ..) in SCENARIOS.iter().filter(|(name, ..)| chosen(name)) {
        counts.insert(
            (*name).to_owned(),
            instructions(name, args.profiles.as_deref())?,
        );
    }
    let baseline = read(&args.baseline, args.bless)?;
    let (text, worse) = compare(&counts, &baseline);
    print!("{text}");
    if args.bless {
        return write(&args.baseline, &counts, baseline);
    }
    if worse.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more than {TOLERANCE} % above the baseline: {}; if it has to be so: make icount BLESS=--bless",
        worse.join(", ")
    ))
}

/// Instructions an operation.
fn instructions(name: &str, profiles: Option<&Path>) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let profile = match profiles {
        Some(directory) => directory.join(format!("{name}.callgrind")),
        None => PathBuf::from("/dev/null"),
    };
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg("--toggle-collect=*measured_turns*")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .args(["count", name])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run valgrind (Debian package valgrind): {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    let operations: Option<f64> = printed
        .lines()
        .find_map(|line| line.strip_prefix(OPERATIONS)?.parse().ok());
    match (operations, collected(&said)) {
        (Some(operations), Some(count)) if output.status.success() && count > 0.0 => {
            Ok(count / operations)
        }
        _ => Err(format!("{name} cannot be counted: {said}")),
    }
}

/// What callgrind says it counted.
fn collected(said: &str) -> Option<f64> {
    said.lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

/// The counts of a file; none when it is about to be made.
fn read(path: &Path, may_be_missing: bool) -> Result<BTreeMap<String, f64>, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display())),
        Err(_) if may_be_missing => Ok(BTreeMap::new()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

const HEADER: &str = "\
# Instructions an operation, counted by callgrind on x86-64 with AVX2: `make icount` compares them,
# `make icount BLESS=--bless` writes them. An operation is a segment with its ACK, a request with its
# response, a connection from handshake to close, or a full segment of bulk data.
";

fn write(
    path: &Path,
    counts: &BTreeMap<String, f64>,
    mut baseline: BTreeMap<String, f64>,
) -> Result<(), String> {
    baseline.extend(counts.iter().map(|(name, count)| (name.clone(), *count)));
    let mut text = HEADER.to_owned();
    for (name, count) in &baseline {
        let _ = writeln!(text, "{name} = {count:.1}");
    }
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The table, and what is worse than allowed.
fn compare(
    counts: &BTreeMap<String, f64>,
    baseline: &BTreeMap<String, f64>,
) -> (String, Vec<String>) {
    let mut text = format!(
        "{:<20} {:>12} {:>12} {:>8}\n",
        "instructions", "baseline", "now", ""
    );
    let mut worse = Vec::new();
    for (name, &now) in counts {
        let (before, change) = match baseline.get(name) {
            Some(&before) => (format!("{before:.1}"), (now / before - 1.0) * 100.0),
            None => ("none".to_owned(), f64::INFINITY),
        };
        let _ = writeln!(text, "{name:<20} {before:>12} {now:>12.1} {change:>+7.1}%");
        if change > TOLERANCE {
            worse.push(format!("{name} {before} -> {now:.1}"));
        }
    }
    text += "counted under valgrind, which has AVX2 at most\n";
    (text, worse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callgrind_says_is_found() {
        let said = "==1== Events    : Ir\n==1== Collected : 12345\n==1==\n";
        assert_eq!(collected(said), Some(12345.0));
        assert_eq!(collected("nothing"), None);
    }

    #[test]
    fn three_percent_is_the_limit_and_what_is_new_has_to_be_written_down() {
        let map = |values: &[(&str, f64)]| {
            values
                .iter()
                .map(|&(name, value)| (name.to_owned(), value))
                .collect()
        };
        let baseline = map(&[("a", 1000.0), ("b", 1000.0), ("c", 1000.0)]);
        let (text, worse) = compare(
            &map(&[("a", 1029.0), ("b", 1031.0), ("c", 500.0), ("d", 1.0)]),
            &baseline,
        );
        assert_eq!(worse, ["b 1000.0 -> 1031.0", "d none -> 1.0"], "{text}");
    }

    /// Every scenario does what it is for, and is measured.
    #[test]
    fn scenarios_run() {
        for (name, _, make) in SCENARIOS {
            let mut scenario = make();
            let mut meter = Meter::measuring();
            for _ in 0..2 {
                assert!(scenario.batch(&mut meter) > 0, "{name}");
            }
            assert!(!meter.spent().is_zero(), "{name}");
            assert_eq!(scenario.check(), Ok(()), "{name}");
        }
    }
}
