//! Random seeds for as long as one likes: `byway-sim-soak SECONDS [SEED]`.
#![forbid(unsafe_code)]

use byway_test_sim::{Options, Runner};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

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

fn main() -> ExitCode {
    let arguments: Vec<Option<u64>> = std::env::args()
        .skip(1)
        .map(|word| word.parse().ok())
        .collect();
    let (seconds, first) = match *arguments.as_slice() {
        [Some(seconds)] => (seconds, RandomState::new().build_hasher().finish()),
        [Some(seconds), Some(first)] => (seconds, first),
        _ => {
            eprintln!("usage: byway-sim-soak SECONDS [SEED]");
            return ExitCode::from(2);
        }
    };
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
