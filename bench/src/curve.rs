//! Open loops on the terminal: a row for each rate and target, which together are the curve of
//! latency over throughput.

use crate::result::{Outcome, ResultFile, Run};
use crate::scenario::{Generator, Target};
use crate::table::{connections, grouped, marked, micros};
use crate::verdict::times;
use std::fmt::{self, Write};

/// The runs in open loops, together what has generator and connections in common, in the order of the
/// file: by rate.
pub(crate) fn curves(file: &ResultFile) -> Vec<Vec<&Run>> {
    let key = |run: &Run| -> (Generator, u32) { (run.generator, run.connections) };
    let mut curves: Vec<Vec<&Run>> = Vec::new();
    for run in file.runs.iter().filter(|run| run.open_loop.is_some()) {
        match curves.iter_mut().find(|curve| key(curve[0]) == key(run)) {
            Some(curve) => curve.push(run),
            None => curves.push(vec![run]),
        }
    }
    curves
}

/// Writes a block for each generator and number of connections.
pub(crate) fn write_all(out: &mut String, file: &ResultFile) -> fmt::Result {
    for curve in curves(file) {
        let Some(first) = curve.first() else { continue };
        let title = format!(
            "{}, {}",
            connections(first.connections),
            first.generator.title()
        );
        writeln!(
            out,
            "{title:<50}{:^45}{:^18}{:>8}{:>13}",
            "response from the intended time, us", "service, us", "lag, us", "server CPU"
        )?;
        writeln!(
            out,
            "  {:>11}  {:<15}{:>11} {:>8}{:>9}{:>9}{:>9}{:>9}{:>10}{:>8}{:>8}{:>9}",
            "asked/s",
            "target",
            "answered/s",
            "",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "p50",
            "p99",
            "p99",
            "us/req."
        )?;
        for (index, run) in curve.iter().enumerate() {
            write_run(out, run)?;
            let last = curve
                .get(index + 1)
                .is_none_or(|next| next.rate_asked_per_s != run.rate_asked_per_s);
            let byway = curve[..=index].iter().find(|other| {
                other.target == Target::Byway && other.rate_asked_per_s == run.rate_asked_per_s
            });
            if let (true, Some(byway)) = (last, byway) {
                write_ratios(out, file, byway)?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn write_run(out: &mut String, run: &Run) -> fmt::Result {
    let name = run.target.name();
    let asked = grouped(run.rate_asked_per_s.unwrap_or_default() as f64);
    let Some(open) = run.open_loop.as_ref().filter(|_| run.rate_per_s > 0.0) else {
        let why = run
            .failure()
            .and_then(|why| why.lines().next())
            .unwrap_or("no measurement");
        return writeln!(out, "  {asked:>11}  {name:<15}{:>11} {why}", "failed");
    };
    let (latency, service) = (&run.latency_us, &open.service_us);
    writeln!(
        out,
        "  {asked:>11}  {name:<15}{:>11} {:>8}{:>9}{:>9}{:>9}{:>9}{:>10}{:>8}{:>8}{:>9}",
        grouped(run.rate_per_s),
        if run.valid { "" } else { "INVALID" },
        marked(run, "p50", latency.p50),
        marked(run, "p90", latency.p90),
        marked(run, "p99", latency.p99),
        marked(run, "p999", latency.p999),
        micros(service.p50),
        micros(service.p99),
        micros(open.lag_us.p99),
        match &run.server_cpu {
            Some(cpu) => format!("{:.2}", cpu.total),
            None => "-".to_owned(),
        }
    )
}

/// Byway against each Linux target at the same rate.
fn write_ratios(out: &mut String, file: &ResultFile, byway: &Run) -> fmt::Result {
    for linux in [Target::LinuxBlocking, Target::LinuxSpinning] {
        let mut text = String::new();
        for (metric, name) in [
            ("latency_us.p50", "p50"),
            ("latency_us.p99", "p99"),
            ("cpu_us_per_request", "server CPU"),
        ] {
            let Some(found) = file.comparison(metric, byway, linux) else {
                continue;
            };
            let mark = match found.outcome {
                Outcome::NoDifference | Outcome::TooFewRounds => "?",
                Outcome::OfBetter | Outcome::AgainstBetter => "",
            };
            let ratio = &found.ratio;
            write!(
                text,
                "  {name} x {}{mark} [{}, {}]",
                times(ratio.ratio),
                times(ratio.low),
                times(ratio.high)
            )?;
        }
        if !text.is_empty() {
            writeln!(out, "{:>13}  byway / {:<15}{text}", "", linux.name())?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::load::Arrivals;
    use crate::openloop::tests::report;
    use crate::result::{Parameters, Round, compare, tests::sample};
    use crate::scenario::{Cell, Scenario};

    /// Two rates, at the second of which Linux does not keep up.
    pub(crate) fn sweep() -> ResultFile {
        let parameters = Parameters {
            server_cpu: Some(0),
            generator_cpu: Some(1),
            arrivals: Some(Arrivals::Poisson),
            rounds: 3,
            pipeline: 1,
            ..sample().parameters
        };
        let run = |target, rate: u64, answered: u64| {
            let cell = Cell {
                generator: Generator::Lean,
                connections: 100,
                rate: Some(rate),
                target,
            };
            let rounds = (0..3)
                .map(|number| Round::measured(number, report(rate, answered, 1000), &parameters))
                .collect();
            Run::new(Scenario::Rr, &cell, 64, rounds, None, None)
        };
        let runs = vec![
            run(Target::LinuxBlocking, 50_000, 50_000),
            run(Target::Byway, 50_000, 50_000),
            run(Target::LinuxBlocking, 90_000, 70_000),
            run(Target::Byway, 90_000, 90_000),
        ];
        ResultFile {
            comparisons: compare(&runs),
            runs,
            parameters,
            ..sample()
        }
    }

    #[test]
    fn every_rate_has_a_row_for_each_target_and_columns_are_aligned() {
        let file = sweep();
        let mut text = String::new();
        write_all(&mut text, &file).unwrap();
        let rows: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("0,000  linux") || line.contains("0,000  byway"))
            .collect();
        assert_eq!(rows.len(), 4, "{text}");
        assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{text}");
        assert!(rows[2].contains("INVALID") && !rows[3].contains("INVALID"));
        assert_eq!(text.matches("byway / linux-blocking").count(), 1, "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 140),
            "{text}"
        );
    }

    #[test]
    fn an_open_loop_claims_nothing_about_the_rate() {
        let file = sweep();
        assert!(!file.comparisons.is_empty());
        let rate = |comparison: &&crate::result::Comparison| comparison.metric == "rate_per_s";
        assert!(file.comparisons.iter().find(rate).is_none());
        assert_eq!(file.groups().len(), 2, "each rate is a group");
    }

    #[test]
    fn a_rate_out_of_reach_makes_the_result_invalid() {
        let file = sweep();
        let valid: Vec<bool> = file.runs.iter().map(|run| run.valid).collect();
        assert_eq!(valid, [true, true, false, true]);
        let error = file.checked().unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains("not reached"), "{error}");
    }
}
