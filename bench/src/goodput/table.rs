//! The table on the terminal, and what it says in words.

use crate::goodput::Plan;
use crate::goodput::result::{
    Comparison, End, FAIR, FLOOR, GoodputFile, Outcome, Pair, Sharing, Stack,
};
use crate::stats::median;
use std::fmt::{self, Write};

/// The paths of a plan, a line each.
pub(crate) fn list(plan: &Plan, time_scale: f64) -> String {
    let line = |path: &crate::goodput::path::Path| {
        let seconds = path.duration.as_secs_f64() * time_scale;
        format!("{:<16} {:<42} {seconds} s\n", path.name, path.title)
    };
    plan.alone.iter().chain(&plan.shared).map(line).collect()
}

/// The whole text.
pub(crate) fn render(file: &GoodputFile) -> String {
    let mut text = String::new();
    write_all(&mut text, file).expect("writing to a String cannot fail");
    text
}

fn write_all(out: &mut String, file: &GoodputFile) -> fmt::Result {
    let parameters = &file.parameters;
    writeln!(
        out,
        "\nGoodput in Mbit/s, medians of {} transfers of fixed time after the handshake. {} on both\n\
         sides, offloads off on both sides, Linux {} with its default buffers. The ratio has its 95 %\n\
         interval. retr.: segments in 1000 that were sent again, RTO: timeouts a transfer; by the sender,\n\
         Linux / Byway where that end is compared.",
        parameters.rounds, parameters.congestion_control, file.environment.kernel
    )?;
    if !parameters.settings.is_empty() {
        writeln!(out, "Byway with --set {}", parameters.settings.join(","))?;
    }
    for end in [End::Sender, End::Receiver] {
        write_end(out, file, end)?;
    }
    write_sharing(out, &file.sharing)?;
    write_verdict(out, file)
}

fn write_end(out: &mut String, file: &GoodputFile, end: End) -> fmt::Result {
    let of_end = |comparison: &&Comparison| comparison.end == end;
    let comparisons: Vec<&Comparison> = file.comparisons.iter().filter(of_end).collect();
    if comparisons.is_empty() {
        return Ok(());
    }
    let title = match end {
        End::Sender => "senders, to Linux",
        End::Receiver => "receivers, from Linux",
    };
    writeln!(
        out,
        "\n{title:<38}{:>8}{:>8}{:>22}{:>16}{:>9}",
        "Linux", "Byway", "Byway / Linux", "retr. L / B", "RTO"
    )?;
    for comparison in comparisons {
        write_comparison(out, comparison)?;
    }
    Ok(())
}

fn write_comparison(out: &mut String, comparison: &Comparison) -> fmt::Result {
    write!(out, "  {:<36}", comparison.title)?;
    let Some(ratio) = comparison.ratio else {
        let transfers = comparison.linux.iter().chain(&comparison.byway);
        let why = transfers.filter_map(|transfer| transfer.failure.as_deref());
        let first = why.flat_map(str::lines).next();
        return writeln!(out, "  failed: {}", first.unwrap_or("nothing was moved"));
    };
    let rate = |stack| comparison.goodput(stack) / 1e6;
    let [linux, byway] = [Stack::Linux, Stack::Byway].map(|stack| losses(comparison, stack));
    writeln!(
        out,
        "{:>8.2}{:>8.2}{:>22}{:>16}{:>9}  {}",
        rate(Stack::Linux),
        rate(Stack::Byway),
        format!("{:.2} ({:.2} - {:.2})", ratio.ratio, ratio.low, ratio.high),
        format!("{:.1} / {:.1}", linux.0, byway.0),
        format!("{} / {}", linux.1, byway.1),
        words(comparison.outcome())
    )
}

/// Segments retransmitted in a thousand, and timeouts: medians.
fn losses(comparison: &Comparison, stack: Stack) -> (f64, f64) {
    let of = |value: &dyn Fn(&crate::goodput::result::Transfer) -> f64| {
        let values: Vec<f64> = comparison.of(stack).iter().map(value).collect();
        median(&values)
    };
    let share = of(&|transfer| {
        let all = transfer.sent("TcpOutSegs").max(1.0);
        transfer.sent("TcpRetransSegs") * 1000.0 / all
    });
    (share, of(&|transfer| transfer.sent("TcpExtTCPTimeouts")))
}

const fn words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::BywayBetter => "Byway wins",
        Outcome::NoDifference => "no difference",
        Outcome::LinuxBetter => "Linux wins",
        Outcome::FarBelow => "Linux wins, BELOW 0.9",
        Outcome::TooFew => "too few runs",
        Outcome::Failed => "failed",
    }
}

fn write_sharing(out: &mut String, sharing: &[Sharing]) -> fmt::Result {
    if sharing.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{:<38}{:>26}{:>26}",
        "share of the second sender, %", "Byway beside Linux", "Linux beside Linux"
    )?;
    for each in sharing {
        writeln!(
            out,
            "  {:<36}{:>26}{:>26}  {}",
            each.title,
            shares(&each.mixed),
            shares(&each.linux),
            match each.is_fair() {
                Some(true) => "fair",
                Some(false) => "NOT FAIR",
                None => "failed",
            }
        )?;
    }
    Ok(())
}

fn shares(pairs: &[Pair]) -> String {
    let shares = Sharing::shares(pairs);
    match (shares.first(), shares.last()) {
        (Some(low), Some(high)) => format!(
            "{:.0} ({:.0} - {:.0})",
            median(&shares) * 100.0,
            low * 100.0,
            high * 100.0
        ),
        _ => "failed".to_owned(),
    }
}

fn write_verdict(out: &mut String, file: &GoodputFile) -> fmt::Result {
    writeln!(out)?;
    for (end, name) in [
        (Some(End::Sender), "as a sender"),
        (Some(End::Receiver), "as a receiver"),
        (None, "altogether"),
    ] {
        if let Some(mean) = file.mean(end) {
            let who = match mean {
                ..1.0 => "Linux wins",
                _ => "Byway does not lose",
            };
            writeln!(
                out,
                "Byway {name}: geometric mean {mean:.3} of Linux's goodput: {who}."
            )?;
        }
    }
    let below: Vec<String> = file
        .comparisons
        .iter()
        .filter(|comparison| comparison.outcome() == Outcome::FarBelow)
        .map(|comparison| format!("{} ({:?})", comparison.path, comparison.end).to_lowercase())
        .collect();
    match below.is_empty() {
        true => writeln!(out, "No path has its interval wholly below {FLOOR}.")?,
        false => writeln!(out, "Wholly below {FLOOR}: {}.", below.join(", "))?,
    }
    let (low, high) = (FAIR.start() * 100.0, FAIR.end() * 100.0);
    for sharing in &file.sharing {
        let is = match sharing.is_fair() {
            Some(true) => "is within",
            Some(false) => "is NOT within",
            None => "was not measured; it should be within",
        };
        let title = &sharing.title;
        writeln!(
            out,
            "Beside Linux at {title}, Byway's median share {is} {low:.0} to {high:.0} %."
        )?;
    }
    match file.overrun() {
        0 => Ok(()),
        count => writeln!(
            out,
            "note  in {count} transfers the forwarder dropped frames that it could not handle: \
             they measured the machine, too"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goodput::result::tests::sample;

    #[test]
    fn the_table_says_who_wins() {
        let text = render(&sample());
        let row = |word: &str| {
            let found = text.lines().find(|line| line.contains(word));
            found
                .unwrap_or_else(|| panic!("{word} in {text}"))
                .to_owned()
        };
        assert!(row("Linux wins, BELOW 0.9").contains("0.80 (0.80 - 0.80)"));
        assert!(row("Byway wins").contains("2.00"));
        assert!(row("fair").contains("55 (40 - 70)"));
        assert!(text.contains("as a sender: geometric mean 0.800 of Linux's goodput: Linux wins"));
        assert!(text.contains("Wholly below 0.9: loss1-rtt20 (sender)."));
        assert!(
            text.lines().all(|line| line.chars().count() <= 140),
            "{text}"
        );
    }

    #[test]
    fn what_failed_is_in_the_table() {
        let mut file = sample();
        for transfer in &mut file.comparisons[0].byway {
            transfer.goodput_bit_per_s = 0.0;
            transfer.failure = Some("it said nothing\nmore".to_owned());
        }
        file.comparisons[0].conclude();
        assert!(render(&file).contains("failed: it said nothing\n"));
    }
}
