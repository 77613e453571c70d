//! The curve of latency over throughput of open loops, and its figures.

use super::svg::{Anchor, Log, Svg, escape, round_up, spread};
use crate::result::Run;
use crate::scenario::Target;
use crate::table::{connections, grouped, micros};
use std::fmt::{self, Write};

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 74.0;
const TOP: f64 = 28.0;
const RIGHT: f64 = WIDTH - 116.0;
const BOTTOM: f64 = HEIGHT - 52.0;

/// The picture of the runs of one generator and number of connections: p50 thin and p99 thick, over
/// what was answered a second. `None` when nothing was measured.
pub(super) fn chart(curve: &[&Run]) -> Option<String> {
    let measured: Vec<&Run> = curve
        .iter()
        .copied()
        .filter(|run| run.rate_per_s > 0.0 && run.latency_us.p50 > 0.0)
        .collect();
    let first = measured.first()?;
    let fastest = measured
        .iter()
        .map(|run| run.rate_per_s)
        .fold(0.0, f64::max);
    let end = round_up(fastest);
    let values = measured
        .iter()
        .flat_map(|run| [run.latency_us.p50, run.latency_us.p99]);
    let (low, high) = values.fold((f64::INFINITY, 0.0f64), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let y = Log::new((low / 1.3, high * 1.3), (BOTTOM, TOP));
    let x = |rate: f64| LEFT + (RIGHT - LEFT) * rate / end;
    let label = format!(
        "Latency over throughput with {}, {}",
        connections(first.connections),
        first.generator.title()
    );
    let mut svg = Svg::new(WIDTH, HEIGHT, &label);
    axes(&mut svg, y, end);
    let targets = targets(&measured);
    let mut names = Vec::new();
    for target in targets {
        let of: Vec<&Run> = measured
            .iter()
            .copied()
            .filter(|run| run.target == target)
            .collect();
        let line = |pick: fn(&Run) -> f64| -> Vec<(f64, f64)> {
            let place = |run: &&Run| (x(run.rate_per_s), y.at(pick(run)));
            of.iter().map(place).collect()
        };
        let name = target.name();
        let tail = line(|run| run.latency_us.p99);
        svg.polyline(
            &format!("curve median {name}"),
            &line(|run| run.latency_us.p50),
        );
        svg.polyline(&format!("curve {name}"), &tail);
        for (run, at) in of.iter().zip(&tail) {
            let class = if run.valid { "dot" } else { "dot invalid" };
            svg.dot(&format!("{class} {name}"), *at, 3.6, &told(run));
        }
        names.push((name, tail.last().map_or(BOTTOM, |at| at.1) + 4.0));
    }
    let wishes: Vec<f64> = names.iter().map(|(_, at)| *at).collect();
    for ((name, _), place) in names.iter().zip(spread(&wishes, 17.0, (TOP + 4.0, BOTTOM))) {
        let class = format!("name {name}");
        svg.text(&class, (RIGHT + 8.0, place), Anchor::Start, name);
    }
    Some(svg.finish())
}

/// The targets, each once, in their order.
fn targets(runs: &[&Run]) -> Vec<Target> {
    let mut targets = Vec::new();
    for run in runs {
        if !targets.contains(&run.target) {
            targets.push(run.target);
        }
    }
    targets
}

/// What a dot tells.
fn told(run: &Run) -> String {
    format!(
        "{}: {} requests a second asked, {} answered, p50 {} us, p99 {} us{}",
        run.target.title(),
        grouped(run.rate_asked_per_s.unwrap_or_default() as f64),
        grouped(run.rate_per_s),
        micros(run.latency_us.p50),
        micros(run.latency_us.p99),
        if run.valid { "" } else { "; invalid" }
    )
}

fn axes(svg: &mut Svg, y: Log, end: f64) {
    for tick in y.ticks(8) {
        let place = y.at(tick);
        svg.line("grid", (LEFT, place), (RIGHT, place));
        let text = if tick < 1.0 {
            format!("{tick}")
        } else {
            grouped(tick)
        };
        svg.text("tick", (LEFT - 8.0, place + 4.0), Anchor::End, &text);
    }
    for step in 0..=4 {
        let place = LEFT + (RIGHT - LEFT) * f64::from(step) / 4.0;
        svg.line("grid", (place, TOP), (place, BOTTOM));
        let text = grouped(end * f64::from(step) / 4.0);
        svg.text("tick", (place, BOTTOM + 18.0), Anchor::Middle, &text);
    }
    svg.line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
    let below = "requests answered a second; thick: p99, thin: p50, hollow: invalid";
    svg.text("axis-name", (LEFT, BOTTOM + 42.0), Anchor::Start, below);
    svg.text(
        "axis-name",
        (LEFT, TOP - 14.0),
        Anchor::Start,
        "latency, us",
    );
}

/// The figures of the curve: response time and service time apart, and the generator's lag.
pub(super) fn table(page: &mut String, curve: &[&Run]) -> fmt::Result {
    writeln!(
        page,
        "<div class=\"scroll\"><table>\n<thead><tr><th></th><th></th><th></th>\
         <th class=\"edge\" colspan=\"3\">response, us</th>\
         <th class=\"edge\" colspan=\"2\">service, us</th><th class=\"edge\">lag, us</th></tr>\n\
         <tr><th>target</th><th>asked/s</th><th>answered/s</th><th class=\"edge\">p50</th>\
         <th>p99</th><th>p99.9</th><th class=\"edge\">p50</th><th>p99</th>\
         <th class=\"edge\">p99</th></tr></thead>\n<tbody>"
    )?;
    for run in curve {
        let (Some(open), Some(asked)) = (&run.open_loop, run.rate_asked_per_s) else {
            continue;
        };
        let (name, latency) = (run.target.name(), &run.latency_us);
        writeln!(
            page,
            "<tr class=\"{name}\"><td>{name}</td><td>{}</td><td>{}{}</td>\
             <td class=\"edge\">{}</td><td>{}</td><td>{}</td><td class=\"edge\">{}</td>\
             <td>{}</td><td class=\"edge\">{}</td></tr>",
            grouped(asked as f64),
            grouped(run.rate_per_s),
            if run.valid {
                ""
            } else {
                " <small>invalid</small>"
            },
            micros(latency.p50),
            micros(latency.p99),
            micros(latency.p999),
            micros(open.service_us.p50),
            micros(open.service_us.p99),
            micros(open.lag_us.p99)
        )?;
    }
    writeln!(page, "</tbody></table></div>")?;
    let faulty: Vec<&&Run> = curve
        .iter()
        .filter(|run| !run.faults().is_empty())
        .collect();
    if faulty.is_empty() {
        return Ok(());
    }
    writeln!(page, "<ul class=\"notes\">")?;
    for run in faulty {
        let (target, why) = (run.target.title(), run.faults().join("; "));
        let asked = grouped(run.rate_asked_per_s.unwrap_or_default() as f64);
        let text = format!("{target} at {asked} requests a second, invalid: {why}.");
        writeln!(page, "<li>{}</li>", escape(&text))?;
    }
    writeln!(page, "</ul>")
}

#[cfg(test)]
mod tests {
    use super::super::svg::tests::assert_well_formed;
    use super::*;
    use crate::curve::{curves, tests::sweep};

    #[test]
    fn every_target_has_its_two_curves_and_every_run_its_dot() {
        let file = sweep();
        let curves = curves(&file);
        assert_eq!(curves.len(), 1);
        let picture = chart(&curves[0]).unwrap();
        assert_well_formed(&picture);
        assert_eq!(picture.matches("<polyline").count(), 4);
        assert_eq!(picture.matches("<circle").count(), 4);
        assert_eq!(picture.matches("dot invalid").count(), 1);
        assert!(!picture.contains("NaN") && !picture.contains("inf\""));
    }

    #[test]
    fn the_figures_tell_why_a_run_does_not_count() {
        let file = sweep();
        let mut text = String::new();
        table(&mut text, &curves(&file)[0]).unwrap();
        assert_well_formed(&text);
        assert_eq!(text.matches("<tr class=").count(), 4);
        assert!(text.contains("was not reached"), "{text}");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(chart(&[]).is_none());
    }
}
