//! The table on the terminal.

use crate::curve;
use crate::noise::Noise;
use crate::openloop::describe;
use crate::result::{Outcome, ResultFile, Run};
use crate::scenario::{Scenario, Target};
use crate::stats::Ratio;
use crate::verdict::{times, verdicts};
use std::fmt::{self, Write};

/// The whole text: a block a group of runs, what the comparisons show, the warnings.
pub fn render(file: &ResultFile) -> String {
    let mut text = String::new();
    write_all(&mut text, file).expect("writing to a String cannot fail");
    text
}

fn write_all(out: &mut String, file: &ResultFile) -> fmt::Result {
    let parameters = &file.parameters;
    let scenario = file
        .runs
        .first()
        .map(|run| run.scenario)
        .unwrap_or_default();
    writeln!(
        out,
        "\n{}{} of {} octets, {}, medians of {} of {} s\n",
        if file.partial { "PARTIAL: " } else { "" },
        match scenario {
            Scenario::Rr => "request/response",
            Scenario::Crr => "connect, request, response and close",
        },
        parameters.size,
        describe(parameters),
        match parameters.rounds {
            1 => "1 round".to_owned(),
            rounds => format!("{rounds} rounds"),
        },
        parameters.duration_s
    )?;
    for group in file.groups() {
        write_group(out, file, &group)?;
    }
    curve::write_all(out, file)?;
    for verdict in verdicts(file) {
        writeln!(out, "{}", wrapped(&verdict.sentence, 100, ""))?;
    }
    if !file.warnings.is_empty() {
        writeln!(out)?;
    }
    for warning in &file.warnings {
        writeln!(out, "note  {}", wrapped(warning, 94, "      "))?;
    }
    write_noise(out, file)
}

fn write_group(out: &mut String, file: &ResultFile, group: &[&Run]) -> fmt::Result {
    let Some(first) = group.first().filter(|run| run.open_loop.is_none()) else {
        return Ok(());
    };
    let title = format!(
        "{}, {}",
        connections(first.connections),
        first.generator.title()
    );
    writeln!(
        out,
        "{title:<44}{:^40}{:^34}{:>9}",
        "latency, us", "server CPU, us/request", "client"
    )?;
    writeln!(
        out,
        "  {:<15}{:>11}  {:>8}{:>9}{:>9}{:>9}{:>10}  {:>8}{:>7}{:>7}{:>8}  {:>9}",
        "target",
        match first.scenario {
            Scenario::Rr => "requests/s",
            Scenario::Crr => "connects/s",
        },
        "",
        "p50",
        "p90",
        "p99",
        "max",
        "all",
        "user",
        "sys",
        "softirq",
        "CPU"
    )?;
    for run in group {
        write_run(out, run)?;
    }
    let byway = group.iter().find(|run| run.target == Target::Byway);
    if let Some(run) = byway {
        for linux in [Target::LinuxBlocking, Target::LinuxSpinning] {
            write_ratio(out, file, run, linux)?;
        }
        write_share(out, file, run)?;
    }
    writeln!(out)
}

/// How much Byway makes of what the path allows.
fn write_share(out: &mut String, file: &ResultFile, run: &Run) -> fmt::Result {
    let Some(rate) = file.comparison("rate_per_s", run, Target::Reflector) else {
        return Ok(());
    };
    let percent = |share: f64| (share * 100.0).round();
    let Ratio { ratio, low, high } = rate.ratio;
    writeln!(
        out,
        "    byway / {:<15} rate {} % [{}, {}] of what the path allows",
        Target::Reflector.name(),
        percent(ratio),
        percent(low),
        percent(high)
    )
}

fn write_run(out: &mut String, run: &Run) -> fmt::Result {
    let name = run.target.name();
    if run.rate_per_s == 0.0 {
        let why = run
            .failure()
            .and_then(|why| why.lines().next())
            .unwrap_or("no measurement");
        return writeln!(out, "  {name:<15}{:>11}  {why}", "failed");
    }
    let latency = &run.latency_us;
    write!(
        out,
        "  {name:<15}{:>11}  {:>8}{:>9}{:>9}{:>9}{:>10}",
        grouped(run.rate_per_s),
        if run.valid { "" } else { "INVALID" },
        marked(run, "p50", latency.p50),
        marked(run, "p90", latency.p90),
        marked(run, "p99", latency.p99),
        marked(run, "max", latency.max)
    )?;
    match &run.server_cpu {
        Some(cpu) => write!(
            out,
            "  {:>8.2}{:>7.2}{:>7.2}{:>8.2}",
            cpu.total, cpu.user, cpu.system, cpu.softirq
        )?,
        None => write!(out, "  {:>8}{:>7}{:>7}{:>8}", "-", "-", "-", "-")?,
    }
    writeln!(out, "  {:>9.2}", run.generator_cpu.total)
}

/// A latency, marked when the machine cannot show it.
pub(crate) fn marked(run: &Run, percentile: &str, value: f64) -> String {
    let mark = if run.is_drowned(percentile) { "~" } else { "" };
    format!("{mark}{}", micros(value))
}

/// What the machine takes, and what the marks mean.
fn write_noise(out: &mut String, file: &ResultFile) -> fmt::Result {
    let noise = file.environment.noise.as_ref();
    let Some(mut text) = noise.and_then(Noise::sentence) else {
        return Ok(());
    };
    if file.runs.iter().any(|run| !run.drowned.is_empty()) {
        text.push_str(" A latency marked ~ may be half or more such a gap.");
    }
    writeln!(out, "\nnoise {}", wrapped(&text, 94, "      "))
}

fn write_ratio(out: &mut String, file: &ResultFile, run: &Run, linux: Target) -> fmt::Result {
    let Some(rate) = file.comparison("rate_per_s", run, linux) else {
        return Ok(());
    };
    write!(
        out,
        "    byway / {:<15} rate x {} [{}, {}]",
        linux.name(),
        times(rate.ratio.ratio),
        times(rate.ratio.low),
        times(rate.ratio.high)
    )?;
    for (metric, name) in [
        ("latency_us.p50", "p50"),
        ("latency_us.p99", "p99"),
        ("cpu_us_per_request", "server CPU"),
    ] {
        if let Some(comparison) = file.comparison(metric, run, linux) {
            let mark = match comparison.outcome {
                Outcome::NoDifference | Outcome::TooFewRounds => "?",
                Outcome::OfBetter | Outcome::AgainstBetter => "",
            };
            write!(out, "  {name} x {}{mark}", times(comparison.ratio.ratio))?;
        }
    }
    let said = match rate.outcome {
        Outcome::OfBetter => "",
        Outcome::AgainstBetter => "  Linux wins",
        Outcome::NoDifference => "  no difference shown",
        Outcome::TooFewRounds => "  too few rounds",
    };
    writeln!(out, "{said}")
}

/// `1 connection`, `100 connections`.
pub(crate) fn connections(count: u32) -> String {
    match count {
        1 => "1 connection".to_owned(),
        many => format!("{} connections", grouped(f64::from(many))),
    }
}

/// A whole number with commas.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds with the digits they deserve.
pub(crate) fn micros(value: f64) -> String {
    match value {
        small if small < 99.95 => format!("{small:.1}"),
        large => grouped(large),
    }
}

/// Breaks at spaces so that no line is longer than `width`; lines after the first are indented.
pub(crate) fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let len = word.chars().count();
        if column > 0 && column + 1 + len > width {
            out.push('\n');
            out.push_str(indent);
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += len;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::sample;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(0.0), "0");
        assert_eq!(grouped(999.4), "999");
        assert_eq!(grouped(1_000.0), "1,000");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(
            (micros(4.94), micros(99.96), micros(4321.0)),
            ("4.9".to_owned(), "100".to_owned(), "4,321".to_owned())
        );
    }

    #[test]
    fn lines_are_no_longer_than_asked_and_lose_no_word() {
        let text = "a server that stalls is also asked less often than it could be";
        let lines = wrapped(text, 20, "  ");
        assert!(lines.lines().count() > 2);
        assert!(
            lines.lines().all(|line| line.trim_start().len() <= 20),
            "{lines}"
        );
        assert_eq!(lines.split_whitespace().collect::<Vec<_>>().join(" "), text);
    }

    #[test]
    fn every_run_has_its_row_and_columns_are_aligned() {
        let text = render(&sample());
        for (rate, target) in [("40,000", "linux-blocking"), ("528,000", "byway")] {
            assert!(
                text.lines()
                    .any(|line| line.trim_start().starts_with(target) && line.contains(rate)),
                "{text}"
            );
        }
        let rows: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("  linux") || line.starts_with("  byway"))
            .collect();
        assert_eq!(rows.len(), 6);
        assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{text}");
        assert!(text.contains("no difference shown"), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 140),
            "{text}"
        );
    }

    #[test]
    fn what_the_machine_cannot_show_is_marked_and_still_shown() {
        let mut file = sample();
        assert!(!render(&file).contains('~'));
        file.environment.noise = Some(crate::noise::tests::noisy());
        file.runs[2].drowned = vec!["max".to_owned()];
        let max = micros(file.runs[2].latency_us.max);
        let text = render(&file);
        let row = text.lines().find(|line| line.starts_with("  byway"));
        assert!(
            row.is_some_and(|row| row.contains(&format!(" ~{max} "))),
            "{text}"
        );
        assert!(text.contains("\nnoise This machine steals"), "{text}");
        assert!(text.contains("marked ~"), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 140),
            "{text}"
        );
    }

    #[test]
    fn a_failed_run_says_why() {
        let mut file = sample();
        let cell = file.runs[0].cell();
        let rounds = vec![crate::result::Round::failed(
            0,
            "it said nothing\nmore".to_owned(),
        )];
        file.runs[0] = Run::new(Scenario::Rr, &cell, 64, rounds, None, None);
        let text = render(&file);
        assert!(text.lines().any(
            |line| line.contains("linux-blocking") && line.contains("failed  it said nothing")
        ));
    }

    #[test]
    fn the_share_of_what_the_path_allows_is_told() {
        let mut file = sample();
        file.runs.truncate(3);
        for run in &mut file.runs {
            run.scenario = Scenario::Crr;
        }
        let mut reflector = crate::result::tests::run(Target::Reflector, 1, &[200_000; 3]);
        reflector.scenario = Scenario::Crr;
        file.runs.push(reflector);
        file.comparisons = crate::result::compare(&file.runs);
        let text = render(&file);
        let line = text.lines().find(|line| line.contains("byway / reflector"));
        assert!(
            line.is_some_and(|line| line.contains("rate 98 % [95, 100] of what")),
            "{text}"
        );
        assert!(
            text.contains("connect, request, response and close of 64"),
            "{text}"
        );
        assert!(text.contains("connects/s"), "{text}");
    }
}
