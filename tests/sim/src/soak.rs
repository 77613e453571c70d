//! Random seeds for as long as one likes: `byway-sim-soak SECONDS [SEED]`. What is on the wire for
//! so many seeds of each class, as one number each: `byway-sim-soak --digest SEEDS`.
#![forbid(unsafe_code)]

use byway_test_sim::{Class, Options, Report, Runner, Scenario};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

/// Odd, and without a pattern.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// What was done so far.
#[derive(Default)]
struct Totals {
    runs: u64,
    segments: u64,
    retransmitted: u64,
    timeouts: u64,
    virtual_time: Duration,
}

impl Totals {
    fn print(&self, since: Instant) {
        let seconds = since.elapsed().as_secs_f64();
        println!(
            "{seconds:.0} s: {} runs, {} segments checked ({:.0} a second), {} sent again, \
             {} timeouts, {:.1} days of virtual time",
            self.runs,
            self.segments,
            self.segments as f64 / seconds,
            self.retransmitted,
            self.timeouts,
            self.virtual_time.as_secs_f64() / 86_400.0
        );
    }
}

const USAGE: &str = "usage: byway-sim-soak SECONDS [SEED] | --digest SEEDS";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let random = || RandomState::new().build_hasher().finish();
    let done = match *words.as_slice() {
        ["--digest", seeds] => seeds.parse().map(digest),
        [seconds] => seconds.parse().map(|seconds| soak(seconds, random())),
        [seconds, first] => seconds
            .parse()
            .and_then(|seconds| Ok(soak(seconds, first.parse()?))),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("{error}; {USAGE}");
        ExitCode::from(2)
    })
}

/// Prints a digest for each of the first so many seeds of every class, one for each class, and one
/// of all: a change that leaves the wire alone leaves them alone.
fn digest(seeds: u64) -> ExitCode {
    let mut runner = Runner::default();
    let mut done = ExitCode::SUCCESS;
    let mix = |sum: u64, digest: u64| (sum.rotate_left(5) ^ digest).wrapping_mul(MIX);
    let mut all = 0;
    for class in Class::ALL {
        let name = class.name();
        let mut of_class = 0;
        for seed in 0..seeds {
            match runner.run(&Scenario::of_class(class, seed), Options::FAST) {
                Ok(Report { digest, .. }) => {
                    println!("{name} {seed} {digest:016x}");
                    of_class = mix(of_class, digest);
                }
                Err(failure) => {
                    println!("{name} {seed} FAILED: {}", first_line(&failure.what));
                    done = ExitCode::FAILURE;
                }
            }
        }
        println!("{name} of {seeds} seeds {of_class:016x}");
        all = mix(all, of_class);
    }
    println!("all {all:016x}");
    done
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Runs seeds from `first` on for so many seconds, or until one fails.
fn soak(seconds: u64, first: u64) -> ExitCode {
    println!("seeds from {first} on, for {seconds} s");
    let begin = Instant::now();
    let mut shown = begin;
    let mut totals = Totals::default();
    let mut runner = Runner::default();
    let mut seed = first;
    while begin.elapsed() < Duration::from_secs(seconds) {
        match runner.seed(seed, Options::FAST) {
            Ok(report) => {
                totals.runs += 1;
                totals.segments += report.segments;
                totals.retransmitted += report.retransmitted;
                totals.timeouts += report.timeouts;
                totals.virtual_time += report.virtual_time;
            }
            Err(failure) => {
                totals.print(begin);
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
        }
        if shown.elapsed() >= PROGRESS {
            shown = Instant::now();
            totals.print(begin);
        }
        seed = seed.wrapping_add(1);
    }
    totals.print(begin);
    ExitCode::SUCCESS
}
