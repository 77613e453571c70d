//! The table of the page: what the terminal shows, with the ratios beside.

use super::svg::escape;
use crate::result::{Comparison, Outcome, ResultFile, Run};
use crate::scenario::Target;
use crate::table::{connections, grouped, micros};
use crate::verdict::times;
use std::fmt::{self, Write};

const HEAD: &str = "<thead><tr><th></th><th></th><th class=\"edge\" colspan=\"4\">latency, us</th>\
     <th class=\"edge\" colspan=\"4\">server, us of CPU a request</th>\
     <th class=\"edge\">client</th><th class=\"edge\" colspan=\"2\">rate of Byway against</th></tr>\n\
     <tr><th>target</th><th>requests/s</th><th class=\"edge\">p50</th><th>p90</th><th>p99</th>\
     <th>max</th><th class=\"edge\">all</th><th>user</th><th>sys</th><th>softirq</th>\
     <th class=\"edge\">CPU</th><th class=\"edge\">blocking</th><th>spinning</th></tr></thead>";

/// Why a latency is grey.
pub(super) const DROWNED: &str = "Gaps of the machine that are at least half as long hit more requests than \
     lie beyond this percentile: half of it or more may be the machine.";

/// The section with the table.
pub(super) fn section(page: &mut String, file: &ResultFile) -> fmt::Result {
    writeln!(
        page,
        "<h2>All figures</h2>\n<p class=\"lead\">Medians over the rounds; max is the longest of all. \
         In brackets the 95 % interval of the ratio, by bootstrap over the rounds. A ratio whose \
         interval contains 1 shows no difference, and is not printed as one.{}</p>\n\
         <div class=\"scroll\"><table>\n{HEAD}\n<tbody>",
        match file.runs.iter().any(|run| !run.drowned.is_empty()) {
            true => " A latency is grey where half of it or more may be a gap of the machine.",
            false => "",
        }
    )?;
    for group in file.groups() {
        if let Some(first) = group.first() {
            writeln!(
                page,
                "<tr class=\"group\"><td colspan=\"13\">{}{} <small>{}</small></td></tr>",
                connections(first.connections),
                super::at_rate(first),
                first.generator.title()
            )?;
        }
        for run in group {
            row(page, file, run)?;
        }
    }
    writeln!(page, "</tbody></table></div>")
}

fn row(page: &mut String, file: &ResultFile, run: &Run) -> fmt::Result {
    let name = run.target.name();
    write!(page, "<tr class=\"{name}\"><td>{name}</td>")?;
    if run.rate_per_s == 0.0 {
        let why = run.failure().unwrap_or("no measurement");
        return writeln!(
            page,
            "<td>failed</td><td colspan=\"11\">{}</td></tr>",
            escape(why)
        );
    }
    let mark = if run.valid {
        ""
    } else {
        " <small>invalid</small>"
    };
    write!(page, "<td>{}{mark}</td>", grouped(run.rate_per_s))?;
    let latency = &run.latency_us;
    write!(
        page,
        "<td class=\"edge\">{}</td><td>{}</td><td>{}</td><td>{}</td>",
        shown(run, "p50", latency.p50),
        shown(run, "p90", latency.p90),
        shown(run, "p99", latency.p99),
        shown(run, "max", latency.max)
    )?;
    match &run.server_cpu {
        Some(cpu) => write!(
            page,
            "<td class=\"edge\">{:.2}</td><td>{:.2}</td><td>{:.2}</td><td>{:.2}</td>",
            cpu.total, cpu.user, cpu.system, cpu.softirq
        )?,
        None => write!(
            page,
            "<td class=\"edge\" colspan=\"4\">another machine</td>"
        )?,
    }
    write!(
        page,
        "<td class=\"edge\">{:.2}</td>",
        run.generator_cpu.total
    )?;
    for (linux, class) in [
        (Target::LinuxBlocking, " class=\"edge\""),
        (Target::LinuxSpinning, ""),
    ] {
        let text = file
            .comparison("rate_per_s", run, linux)
            .map(ratio)
            .unwrap_or_default();
        write!(page, "<td{class}>{text}</td>")?;
    }
    writeln!(page, "</tr>")
}

/// A latency, grey when the machine cannot show it.
fn shown(run: &Run, percentile: &str, value: f64) -> String {
    let value = micros(value);
    match run.is_drowned(percentile) {
        true => format!("<span class=\"drowned\" title=\"{DROWNED}\">{value}</span>"),
        false => value,
    }
}

fn ratio(comparison: &Comparison) -> String {
    let interval = format!(
        "[{}, {}]",
        times(comparison.ratio.low),
        times(comparison.ratio.high)
    );
    match comparison.outcome {
        Outcome::OfBetter => {
            format!(
                "{}&times; <small>{interval}</small>",
                times(comparison.ratio.ratio)
            )
        }
        Outcome::AgainstBetter => format!(
            "{}&times; <small>{interval} Linux wins</small>",
            times(comparison.ratio.ratio)
        ),
        Outcome::NoDifference => format!("<small>no difference {interval}</small>"),
        Outcome::TooFewRounds => "<small>too few rounds</small>".to_owned(),
    }
}
