//! The percentile curves: latency over 1/(1-p), both logarithmic, so that each nine gets as much
//! room as the one before.

use super::rows::DROWNED;
use super::svg::{Anchor, Log, Svg, spread};
use crate::result::Run;
use crate::stats;
use crate::table::{connections, micros};
use hdrhistogram::Histogram;

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 380.0;
/// Left for the latencies, top, right for the names of the curves, bottom for the percentiles.
const LEFT: f64 = 58.0;
const TOP: f64 = 16.0;
const RIGHT: f64 = WIDTH - 116.0;
const BOTTOM: f64 = HEIGHT - 52.0;
/// Points of a curve for each factor of ten of 1/(1-p).
const POINTS_PER_DECADE: usize = 24;
/// A percentile is drawn while this many requests of each round lie beyond it.
const BEYOND: u64 = 10;

/// The percentiles with a label: 1/(1-p), name, and the field of the result where a dot is drawn.
const PERCENTILES: [(f64, &str, Option<&str>); 7] = [
    (1.0, "0 %", None),
    (2.0, "50 %", Some("p50")),
    (10.0, "90 %", Some("p90")),
    (100.0, "99 %", Some("p99")),
    (1_000.0, "99.9 %", Some("p999")),
    (10_000.0, "99.99 %", None),
    (100_000.0, "99.999 %", None),
];

/// A place on a curve: the median over the rounds, and the least and greatest round.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    inverse: f64,
    median: f64,
    low: f64,
    high: f64,
}

/// A run's curve.
struct Curve<'a> {
    run: &'a Run,
    points: Vec<Point>,
}

/// The picture for one group of runs; `None` when no run has latencies.
pub(super) fn chart(group: &[&Run]) -> Option<String> {
    let curves: Vec<Curve<'_>> = group.iter().filter_map(|run| Curve::new(run)).collect();
    let (x, y) = scales(&curves)?;
    let first = group.first()?;
    let label = format!(
        "Latency percentiles with {}, {}",
        connections(first.connections),
        first.generator.title()
    );
    let mut svg = Svg::new(WIDTH, HEIGHT, &label);
    grid(&mut svg, x, y, &curves);
    for curve in &curves {
        curve.draw_band(&mut svg, x, y);
    }
    for curve in &curves {
        curve.draw(&mut svg, x, y);
    }
    names(&mut svg, y, &curves);
    Some(svg.finish())
}

impl<'a> Curve<'a> {
    fn new(run: &'a Run) -> Option<Self> {
        let rounds: Vec<Histogram<u64>> = run
            .rounds
            .iter()
            .filter_map(|round| round.histogram())
            .filter(|h| !h.is_empty())
            .collect();
        let least = rounds.iter().map(Histogram::len).min()?;
        let end = (least / BEYOND).max(10) as f64;
        let steps = (end.log10() * POINTS_PER_DECADE as f64).floor() as usize;
        let points = (0..=steps)
            .map(|step| 10f64.powf(step as f64 / POINTS_PER_DECADE as f64))
            .map(|inverse| Point::of(&rounds, inverse))
            .collect();
        Some(Self { run, points })
    }

    fn draw_band(&self, svg: &mut Svg, x: Log, y: Log) {
        let up = self
            .points
            .iter()
            .map(|point| (x.at(point.inverse), y.at(point.high)));
        let back = self
            .points
            .iter()
            .rev()
            .map(|point| (x.at(point.inverse), y.at(point.low)));
        let outline: Vec<(f64, f64)> = up.chain(back).collect();
        svg.polygon(&format!("band {}", self.run.target.name()), &outline);
    }

    fn draw(&self, svg: &mut Svg, x: Log, y: Log) {
        let target = self.run.target;
        let line: Vec<(f64, f64)> = self
            .points
            .iter()
            .map(|point| (x.at(point.inverse), y.at(point.median)))
            .collect();
        svg.polyline(&format!("curve {}", target.name()), &line);
        let end = self.points.last().map_or(1.0, |point| point.inverse);
        for (inverse, name, field) in PERCENTILES.iter().filter(|(at, ..)| *at <= end) {
            let Some(field) = field else {
                continue;
            };
            let rounds: Vec<Histogram<u64>> = self
                .run
                .rounds
                .iter()
                .filter_map(|round| round.histogram())
                .collect();
            let point = Point::of(&rounds, *inverse);
            let (class, why) = match self.run.is_drowned(field) {
                true => (" drowned", format!(". {DROWNED}")),
                false => ("", String::new()),
            };
            let title = format!(
                "{}: {name} of the requests within {} us (rounds {} to {} us){why}",
                target.title(),
                micros(point.median),
                micros(point.low),
                micros(point.high)
            );
            let at = (x.at(*inverse), y.at(point.median));
            svg.dot(&format!("dot {}{class}", target.name()), at, 3.4, &title);
        }
    }
}

impl Point {
    fn of(rounds: &[Histogram<u64>], inverse: f64) -> Self {
        let quantile = 1.0 - 1.0 / inverse;
        let values: Vec<f64> = rounds
            .iter()
            .map(|histogram| histogram.value_at_quantile(quantile) as f64 / 1e3)
            .collect();
        Self {
            inverse,
            median: stats::median(&values),
            low: values.iter().copied().fold(f64::INFINITY, f64::min),
            high: values.iter().copied().fold(0.0, f64::max),
        }
    }
}

/// Scales that hold every curve with a little room.
fn scales(curves: &[Curve<'_>]) -> Option<(Log, Log)> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let low = points()
        .map(|point| point.low)
        .min_by(f64::total_cmp)?
        .max(0.001);
    let high = points().map(|point| point.high).max_by(f64::total_cmp)?;
    let end = points().map(|point| point.inverse).max_by(f64::total_cmp)?;
    let x = Log::new((1.0, end.max(100.0) * 1.05), (LEFT, RIGHT));
    let y = Log::new((low * 0.85, (high * 1.15).max(low * 2.0)), (BOTTOM, TOP));
    Some((x, y))
}

fn grid(svg: &mut Svg, x: Log, y: Log, curves: &[Curve<'_>]) {
    for tick in y.ticks(11) {
        let place = y.at(tick);
        svg.line("grid", (LEFT, place), (RIGHT, place));
        svg.text(
            "tick",
            (LEFT - 8.0, place + 4.0),
            Anchor::End,
            &tick_label(tick),
        );
    }
    let end = curves
        .iter()
        .filter_map(|curve| curve.points.last())
        .map(|point| point.inverse)
        .fold(100.0, f64::max);
    for (inverse, name, _) in PERCENTILES
        .iter()
        .filter(|(inverse, ..)| *inverse <= end * 1.05)
    {
        let place = x.at(*inverse);
        svg.line("grid", (place, TOP), (place, BOTTOM));
        // With many decades the first two labels come too near to each other.
        if *inverse > 1.0 || x.at(2.0) - place > 40.0 {
            svg.text("tick", (place, BOTTOM + 19.0), Anchor::Middle, name);
        }
    }
    svg.line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
    svg.text(
        "axis-name",
        (LEFT, BOTTOM + 42.0),
        Anchor::Start,
        "share of the requests",
    );
    svg.text(
        "axis-name",
        (LEFT + 6.0, TOP + 6.0),
        Anchor::Start,
        "latency, us",
    );
}

/// The names of the curves beside their ends.
fn names(svg: &mut Svg, y: Log, curves: &[Curve<'_>]) {
    let ends: Vec<f64> = curves
        .iter()
        .map(|curve| {
            curve
                .points
                .last()
                .map_or(BOTTOM, |point| y.at(point.median))
                + 4.0
        })
        .collect();
    let places = spread(&ends, 17.0, (TOP + 4.0, BOTTOM));
    for (curve, place) in curves.iter().zip(places) {
        let name = curve.run.target.name();
        let class = format!("name {name}");
        svg.text(&class, (RIGHT + 8.0, place), Anchor::Start, name);
    }
}

fn tick_label(micros: f64) -> String {
    match micros {
        large if large >= 1000.0 => crate::table::grouped(large),
        small if small < 1.0 => format!("{small}"),
        middle => format!("{middle:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::svg::tests::assert_well_formed;
    use super::*;
    use crate::result::tests::sample;

    #[test]
    fn every_run_has_a_curve_a_name_and_dots() {
        let file = sample();
        for group in file.groups() {
            let chart = chart(&group).unwrap();
            assert_well_formed(&chart);
            assert_eq!(chart.matches("<polyline").count(), group.len());
            assert_eq!(chart.matches("<polygon").count(), group.len());
            for run in group {
                assert!(chart.contains(&format!(">{}</text>", run.target.name())));
            }
            assert!(chart.contains("90 % of the requests within"));
            assert!(!chart.contains("NaN") && !chart.contains("inf"));
        }
    }

    #[test]
    fn curves_only_rise_and_stop_where_samples_are_few() {
        let file = sample();
        let curve = Curve::new(&file.runs[0]).unwrap();
        assert!(
            curve
                .points
                .windows(2)
                .all(|pair| pair[0].median <= pair[1].median)
        );
        let end = curve.points.last().unwrap().inverse;
        assert!(end <= 199.9 && end > 150.0, "1999 requests a round: {end}");
    }

    #[test]
    fn dots_that_the_machine_cannot_show_are_grey_and_say_so() {
        let file = sample();
        let mut run = file.runs[0].clone();
        assert!(!chart(&[&run]).unwrap().contains("drowned"));
        run.drowned = vec!["p99".to_owned(), "max".to_owned()];
        let chart = chart(&[&run]).unwrap();
        assert_well_formed(&chart);
        assert_eq!(chart.matches("dot linux-blocking drowned").count(), 1);
        assert_eq!(chart.matches(DROWNED).count(), 1);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(chart(&[]).is_none());
    }
}
