//! Byway against Linux and against the reflector, by metric.

use super::{Better, Comparison, Outcome, Round, Run, three_places};
use crate::scenario::{Generator, Target};
use crate::stats::{MIN_ROUNDS, Ratio};

/// A metric that targets are compared by: its name, what is good, how to find it in a round.
type Metric = (&'static str, Better, fn(&Round) -> f64);

const METRICS: [Metric; 4] = [
    ("rate_per_s", Better::Higher, |round| round.rate_per_s),
    ("latency_us.p50", Better::Lower, |round| {
        round.latency_us.p50
    }),
    ("latency_us.p99", Better::Lower, |round| {
        round.latency_us.p99
    }),
    ("cpu_us_per_request", Better::Lower, |round| {
        round.server_cpu.map_or(0.0, |cpu| cpu.total)
    }),
];

/// Byway against each Linux target, and the reflector, of the same generator and number of
/// connections. Runs that are not valid are compared with nothing.
pub fn compare(runs: &[Run]) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for of in runs
        .iter()
        .filter(|run| run.valid && run.target == Target::Byway)
    {
        for against in runs.iter().filter(|run| {
            run.valid
                && (run.target.is_linux() || run.target == Target::Reflector)
                && key(run) == key(of)
        }) {
            // The rate of an open loop is what was asked for.
            let rate = METRICS
                .iter()
                .take(usize::from(of.rate_asked_per_s.is_none()));
            comparisons.extend(
                rate.chain(&METRICS[1..])
                    .filter_map(|metric| compare_by(metric, of, against)),
            );
        }
    }
    comparisons
}

/// What runs must have in common to be compared.
pub(super) fn key(run: &Run) -> (Generator, u32, Option<u64>) {
    (run.generator, run.connections, run.rate_asked_per_s)
}

fn compare_by(metric: &Metric, of: &Run, against: &Run) -> Option<Comparison> {
    let (name, better, pick) = *metric;
    let values = |run: &Run| run.rounds.iter().map(pick).collect::<Vec<f64>>();
    let (ours, theirs) = (values(of), values(against));
    let pairs = ours
        .iter()
        .zip(&theirs)
        .filter(|(x, y)| **x > 0.0 && **y > 0.0)
        .count();
    let Ratio { ratio, low, high } = Ratio::of_rounds(&ours, &theirs)?;
    let ratio = Ratio {
        ratio: three_places(ratio),
        low: three_places(low),
        high: three_places(high),
    };
    let outcome = match (pairs < MIN_ROUNDS, ratio.contains_one(), better) {
        (true, ..) => Outcome::TooFewRounds,
        (_, true, _) => Outcome::NoDifference,
        (_, _, Better::Higher) if ratio.low > 1.0 => Outcome::OfBetter,
        (_, _, Better::Lower) if ratio.high < 1.0 => Outcome::OfBetter,
        _ => Outcome::AgainstBetter,
    };
    Some(Comparison {
        scenario: of.scenario,
        generator: of.generator,
        connections: of.connections,
        rate_asked_per_s: of.rate_asked_per_s,
        metric: name.to_owned(),
        better,
        of: of.target,
        against: against.target,
        ratio,
        outcome,
    })
}
