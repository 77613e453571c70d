//! Bars: requests a second, and where the processors' time goes.

use super::svg::{Anchor, Svg, round_up};
use crate::result::{CpuPerRequest, Run};
use crate::table::{connections, grouped};

const WIDTH: f64 = 620.0;
/// Left for the names of the targets.
const LEFT: f64 = 118.0;
/// The end of the longest bar; right of it is room for its value.
const RIGHT: f64 = WIDTH - 104.0;
/// The same for the bars of processor time, whose labels are longer.
const CPU_RIGHT: f64 = WIDTH - 164.0;

/// The kinds of time, in the order of the stack: class, name, how to find it.
const KINDS: [Kind; 4] = [
    ("cpu-user", "user", |cpu| cpu.user),
    ("cpu-system", "system", |cpu| cpu.system),
    ("cpu-softirq", "softirq", |cpu| cpu.softirq),
    ("cpu-irq", "irq", |cpu| cpu.irq),
];

type Kind = (&'static str, &'static str, fn(&CpuPerRequest) -> f64);

/// Requests a second of one group; `longest` is the rate of a full bar, the same for all groups.
pub(super) fn rates(group: &[&Run], longest: f64) -> Option<String> {
    const ROW: f64 = 34.0;
    let first = group.first()?;
    let height = ROW * group.len() as f64 + 6.0;
    let label = format!(
        "Requests a second with {}, {}",
        connections(first.connections),
        first.generator.title()
    );
    let mut svg = Svg::new(WIDTH, height, &label);
    let place = |rate: f64| LEFT + (RIGHT - LEFT) * (rate / longest).min(1.0);
    for (row, run) in group.iter().enumerate() {
        let top = 5.0 + ROW * row as f64;
        let middle = top + 12.0;
        let name = run.target.name();
        svg.text("row", (LEFT - 10.0, middle + 5.0), Anchor::End, name);
        let measured = || {
            run.rounds
                .iter()
                .map(|round| round.rate_per_s)
                .filter(|rate| *rate > 0.0)
        };
        let (low, high) = (
            measured().fold(f64::INFINITY, f64::min),
            measured().fold(0.0, f64::max),
        );
        let title = format!(
            "{}: median {} requests a second (rounds {} to {})",
            run.target.title(),
            grouped(run.rate_per_s),
            grouped(low),
            grouped(high)
        );
        let end = place(run.rate_per_s);
        svg.rect(
            &format!("bar {name}"),
            (LEFT, top),
            (end - LEFT, 24.0),
            &title,
        );
        if high > 0.0 {
            svg.line("range", (place(low), middle), (place(high), middle));
            for edge in [low, high] {
                svg.line(
                    "range",
                    (place(edge), middle - 4.0),
                    (place(edge), middle + 4.0),
                );
            }
        }
        let value = if run.valid {
            grouped(run.rate_per_s)
        } else {
            "invalid".to_owned()
        };
        let beside = end.max(place(high)) + 8.0;
        svg.text("value", (beside, middle + 5.0), Anchor::Start, &value);
    }
    Some(svg.finish())
}

/// The rate that a full bar stands for.
pub(super) fn longest_rate(runs: &[Run]) -> f64 {
    let rounds = runs
        .iter()
        .flat_map(|run| &run.rounds)
        .map(|round| round.rate_per_s);
    rounds.fold(1.0, f64::max)
}

/// Processor time a request of one group, server above generator, by kind.
pub(super) fn cpu(group: &[&Run]) -> Option<String> {
    const ROW: f64 = 54.0;
    const BAR: f64 = 17.0;
    let first = group.first()?;
    let totals = group.iter().flat_map(|run| {
        [
            run.generator_cpu.total,
            run.server_cpu.map_or(0.0, |cpu| cpu.total),
        ]
    });
    let end = round_up(totals.fold(0.001, f64::max));
    let bottom = ROW * group.len() as f64 + 2.0;
    let label = format!(
        "Processor time a request with {}, {}",
        connections(first.connections),
        first.generator.title()
    );
    let mut svg = Svg::new(WIDTH, bottom + 42.0, &label);
    for step in 0..=4 {
        let value = end * f64::from(step) / 4.0;
        let place = LEFT + (CPU_RIGHT - LEFT) * f64::from(step) / 4.0;
        svg.line("grid", (place, 0.0), (place, bottom));
        let text = if step == 0 {
            "0".to_owned()
        } else {
            format!("{value:.2}")
        };
        svg.text("tick", (place, bottom + 18.0), Anchor::Middle, &text);
    }
    svg.text(
        "axis-name",
        (LEFT, bottom + 38.0),
        Anchor::Start,
        "us of processor time a request",
    );
    for (row, run) in group.iter().enumerate() {
        let top = 6.0 + ROW * row as f64;
        let name = run.target.name();
        svg.text("row", (LEFT - 10.0, top + BAR + 6.0), Anchor::End, name);
        let sides = [
            ("server", run.server_cpu),
            ("client", Some(run.generator_cpu)),
        ];
        for (index, (side, cpu)) in sides.into_iter().enumerate() {
            let at = (LEFT, top + (BAR + 3.0) * index as f64);
            if let Some(cpu) = cpu {
                stack(&mut svg, at, BAR, (CPU_RIGHT - LEFT) / end, side, &cpu);
            }
        }
    }
    Some(svg.finish())
}

/// One stacked bar with what it is and its total beside it.
fn stack(
    svg: &mut Svg,
    at: (f64, f64),
    height: f64,
    per_micro: f64,
    side: &str,
    cpu: &CpuPerRequest,
) {
    let mut left = at.0;
    for (class, kind, pick) in KINDS {
        let value = pick(cpu);
        let width = value * per_micro;
        let title = format!("{side}, {kind}: {value:.3} us a request");
        if width > 0.0 {
            svg.rect(class, (left, at.1), (width, height), &title);
        }
        left += width;
    }
    let busy = cpu.busy_share * 100.0;
    let text = format!("{side} {:.2}  ({busy:.0} % busy)", cpu.total);
    svg.text(
        "small",
        (left + 7.0, at.1 + height - 4.0),
        Anchor::Start,
        &text,
    );
}

/// The legend of the kinds of time, as HTML.
pub(super) fn cpu_legend() -> String {
    let items: Vec<String> = KINDS
        .iter()
        .map(|(class, name, _)| format!("<span><i class=\"swatch {class}\"></i>{name}</span>"))
        .collect();
    format!("<p class=\"legend\">{}</p>", items.join(""))
}

#[cfg(test)]
mod tests {
    use super::super::svg::tests::assert_well_formed;
    use super::*;
    use crate::result::tests::sample;

    #[test]
    fn every_run_has_its_bars() {
        let file = sample();
        let longest = longest_rate(&file.runs);
        assert_eq!(longest, 540_000.0);
        for group in file.groups() {
            let rates = rates(&group, longest).unwrap();
            assert_well_formed(&rates);
            assert_eq!(rates.matches("<rect").count(), 3);
            let cpu = cpu(&group).unwrap();
            assert_well_formed(&cpu);
            // User, system and softirq of two sides of three targets; no interrupts in the sample.
            assert_eq!(cpu.matches("<rect").count(), 18);
            assert!(!cpu.contains("NaN"));
        }
    }

    #[test]
    fn the_longest_bar_fits() {
        let file = sample();
        let group = &file.groups()[1];
        let chart = rates(group, longest_rate(&file.runs)).unwrap();
        let ends: Vec<f64> = chart
            .split("width=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next()?.parse().ok())
            .collect();
        assert!(!ends.is_empty() && ends.iter().all(|width| LEFT + width <= RIGHT + 0.1));
    }
}
