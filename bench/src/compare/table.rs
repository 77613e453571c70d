//! The comparison on the terminal.

use super::{Comparison, Delta, Source};
use crate::environment::utc;
use crate::metric::Metric;
use crate::scenario::Scenario;
use crate::table::{connections, grouped, micros, wrapped};
use crate::verdict::times;
use std::fmt::{self, Write};

/// What no interval of two results holds.
const DRIFT: &str = "The intervals are those of the rounds within each result. How the machine \
                     drifted between the two is not in them.";

/// What the mark means.
const DROWNED: &str = "Where a latency is marked ~, half of it or more may be a gap of the machine \
                       in one of the two.";

/// The whole text: where the two come from, a block a load, what to know.
pub(super) fn render(comparison: &Comparison) -> String {
    let mut text = String::new();
    write_all(&mut text, comparison).expect("writing to a String cannot fail");
    text
}

fn write_all(out: &mut String, comparison: &Comparison) -> fmt::Result {
    writeln!(out)?;
    write_source(out, "old", &comparison.old)?;
    write_source(out, "new", &comparison.new)?;
    let mut block = None;
    let mut run = None;
    for delta in &comparison.deltas {
        let load = (delta.scenario, delta.generator, delta.connections);
        let this = (load, delta.rate_asked_per_s);
        if block.replace(this) != Some(this) {
            write_head(out, delta)?;
            run = None;
        }
        let of = (delta.target, &delta.mode);
        let first = run.replace(of) != Some(of);
        write_delta(out, delta, first)?;
    }
    writeln!(out)?;
    let drowned = comparison.deltas.iter().any(|delta| delta.drowned);
    let drift = (!comparison.deltas.is_empty()).then_some(DRIFT);
    let notes = comparison.warnings.iter().map(String::as_str);
    for note in notes.chain(drowned.then_some(DROWNED)).chain(drift) {
        writeln!(out, "note  {}", wrapped(note, 94, "      "))?;
    }
    Ok(())
}

fn write_source(out: &mut String, side: &str, source: &Source) -> fmt::Result {
    let Source {
        file,
        started_unix_s,
        byway_version,
        kernel,
        rounds,
        duration_s,
    } = source;
    writeln!(
        out,
        "{side}  {file}: {}, byway {byway_version}, kernel {kernel}, {rounds} rounds of {duration_s} s",
        utc(*started_unix_s)
    )
}

fn write_head(out: &mut String, delta: &Delta) -> fmt::Result {
    let scenario = match delta.scenario {
        Scenario::Rr => "request/response",
        Scenario::Crr => "connect, request, response, close",
    };
    let (count, generator) = (connections(delta.connections), delta.generator.title());
    let rate = match delta.rate_asked_per_s {
        Some(rate) => format!(", {} requests/s asked for", grouped(rate as f64)),
        None => String::new(),
    };
    writeln!(out, "\n{scenario}, {count}, {generator}{rate}")?;
    writeln!(
        out,
        "  {:<32}{:<22}{:>12}{:>12}{:>9}  95 % interval",
        "target", "metric", "old", "new", "new/old"
    )
}

fn write_delta(out: &mut String, delta: &Delta, first: bool) -> fmt::Result {
    let target = match (&delta.mode, first) {
        (_, false) => String::new(),
        (Some(mode), _) => format!("{} ({mode})", delta.target.name()),
        (None, _) => delta.target.name().to_owned(),
    };
    let (unit, show): (&str, fn(f64) -> String) = match delta.metric {
        Metric::Rate => (", 1/s", grouped),
        Metric::Cpu => (", us/request", |value| format!("{value:.2}")),
        _ => (", us", micros),
    };
    let name = match delta.metric {
        Metric::Cpu => "server CPU",
        metric => metric.name(),
    };
    let interval = format!("[{}, {}]", times(delta.ratio.low), times(delta.ratio.high));
    writeln!(
        out,
        "  {target:<32}{:<22}{:>12}{:>12}{:>9}  {interval:<16}{}",
        format!("{}{name}{unit}", if delta.drowned { "~" } else { "" }),
        show(delta.old),
        show(delta.new),
        times(delta.ratio.ratio),
        delta.change.word()
    )
}
