//! The result in sentences: who wins, by how much, how sure; nothing where nothing is shown.

use crate::result::{Comparison, Outcome, ResultFile, Run};
use crate::scenario::{Generator, Target};
use crate::table::connections;

/// One sentence on what a group of runs shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Who asked.
    pub generator: Generator,
    /// Connections with one outstanding request each.
    pub connections: u32,
    /// The sentence.
    pub sentence: String,
}

/// A sentence for each group in which Byway was compared with Linux, most connections first, and
/// the AF_XDP generator, which leaves the server as the limit, before kernel sockets.
pub fn verdicts(file: &ResultFile) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = file
        .groups()
        .into_iter()
        .filter_map(|group| {
            let byway = group.into_iter().find(|run| run.target == Target::Byway)?;
            let sentence = sentence(file, byway)?;
            Some(Verdict {
                generator: byway.generator,
                connections: byway.connections,
                sentence,
            })
        })
        .collect();
    verdicts.sort_by_key(|verdict| {
        (
            verdict.generator == Generator::Kernel,
            std::cmp::Reverse(verdict.connections),
        )
    });
    verdicts
}

fn sentence(file: &ResultFile, byway: &Run) -> Option<String> {
    let comparisons: Vec<&Comparison> = [Target::LinuxBlocking, Target::LinuxSpinning]
        .into_iter()
        .filter_map(|linux| file.comparison("rate_per_s", byway, linux))
        .collect();
    let first = comparisons.first()?;
    let asker = match byway.generator {
        Generator::Lean | Generator::Byway => "",
        Generator::Kernel => " from kernel-socket clients",
    };
    let said = match comparisons.get(1) {
        _ if first.outcome == Outcome::TooFewRounds => {
            "too few rounds were run to compare Byway with Linux".to_owned()
        }
        None => phrase(first),
        // Two of a kind need the verb once.
        Some(second) if first.outcome == second.outcome => {
            format!("{} and {}", phrase(first), elliptic(second))
        }
        Some(second) => format!("{}; {}", phrase(first), phrase(second)),
    };
    Some(format!(
        "With {}{asker}, {said}.",
        connections(byway.connections)
    ))
}

/// The Linux target in a sentence.
fn linux(comparison: &Comparison) -> &'static str {
    match comparison.against {
        Target::LinuxSpinning => "a spinning one",
        _ => "a Linux epoll server",
    }
}

fn phrase(comparison: &Comparison) -> String {
    let (linux, ratio) = (linux(comparison), &comparison.ratio);
    let alone = linux.replace("a spinning one", "a spinning Linux server");
    match comparison.outcome {
        Outcome::OfBetter => format!(
            "Byway answers {} times as many requests a second as {alone} ({} to {})",
            times(ratio.ratio),
            times(ratio.low),
            times(ratio.high)
        ),
        Outcome::AgainstBetter => format!(
            "Linux wins: {alone} answers {} times as many requests a second as Byway ({} to {})",
            times(1.0 / ratio.ratio),
            times(1.0 / ratio.high),
            times(1.0 / ratio.low)
        ),
        Outcome::NoDifference => format!(
            "no difference in rate to {alone} is shown ({} to {} times)",
            times(ratio.low),
            times(ratio.high)
        ),
        Outcome::TooFewRounds => format!("too few rounds to compare the rate with {alone}"),
    }
}

/// The phrase after one of the same outcome.
fn elliptic(comparison: &Comparison) -> String {
    let (linux, ratio) = (linux(comparison), &comparison.ratio);
    match comparison.outcome {
        Outcome::OfBetter => format!(
            "{} times as many as {linux} ({} to {})",
            times(ratio.ratio),
            times(ratio.low),
            times(ratio.high)
        ),
        Outcome::AgainstBetter => format!(
            "{linux} {} times as many ({} to {})",
            times(1.0 / ratio.ratio),
            times(1.0 / ratio.high),
            times(1.0 / ratio.low)
        ),
        Outcome::NoDifference => {
            format!(
                "none to {linux} ({} to {} times)",
                times(ratio.low),
                times(ratio.high)
            )
        }
        Outcome::TooFewRounds => linux.to_owned(),
    }
}

/// A factor with the digits it deserves.
pub(crate) fn times(factor: f64) -> String {
    match factor {
        tiny if tiny < 0.095 => format!("{tiny:.3}"),
        small if small < 9.95 => format!("{small:.2}"),
        large => format!("{large:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::compare;
    use crate::result::tests::{run, sample};

    #[test]
    fn a_win_is_told_with_its_interval_and_no_win_is_told_as_such() {
        let verdicts = verdicts(&sample());
        assert_eq!(verdicts[0].connections, 100);
        let many = &verdicts[0].sentence;
        assert!(
            many.contains("With 100 connections from kernel-socket clients"),
            "{many}"
        );
        assert!(many.contains("3.09 times as many"), "{many}");
        assert!(
            many.contains("; no difference in rate to a spinning Linux server"),
            "{many}"
        );
        let one = &verdicts[1].sentence;
        assert!(
            one.contains("4.76 times as many requests a second as a Linux epoll"),
            "{one}"
        );
        assert!(
            one.contains("and 1.65 times as many as a spinning one ("),
            "{one}"
        );
        assert!(one.starts_with("With 1 connection "));
    }

    #[test]
    fn linux_wins_where_it_does_and_few_rounds_show_nothing() {
        let mut file = sample();
        file.runs = vec![
            run(Target::LinuxBlocking, 1, &[200, 202, 204]),
            run(Target::Byway, 1, &[100, 101, 102]),
        ];
        file.comparisons = compare(&file.runs);
        let sentence = &verdicts(&file)[0].sentence;
        assert!(sentence.contains("Linux wins"), "{sentence}");
        assert!(sentence.contains("2.00 times as many"), "{sentence}");
        file.runs = vec![
            run(Target::LinuxBlocking, 1, &[200, 202]),
            run(Target::Byway, 1, &[900, 901]),
        ];
        file.comparisons = compare(&file.runs);
        assert!(verdicts(&file)[0].sentence.contains("too few rounds"));
    }

    #[test]
    fn without_byway_there_is_nothing_to_say() {
        let mut file = sample();
        file.runs.retain(|run| run.target != Target::Byway);
        file.comparisons = compare(&file.runs);
        assert!(verdicts(&file).is_empty());
    }
}
