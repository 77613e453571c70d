//! The table, and the same for programs.

use crate::sample::Sample;
use serde::Serialize;
use std::fmt::Write as _;

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Target {
    fn value(self) -> f64 {
        match self {
            Self::AtMost(value) | Self::AtLeast(value) => value,
        }
    }

    fn is_met(self, measured: f64) -> bool {
        match self {
            Self::AtMost(limit) => measured <= limit,
            Self::AtLeast(limit) => measured >= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("<= {}", number(limit)),
            Self::AtLeast(limit) => format!(">= {}", number(limit)),
        }
    }
}

/// Another stack's value for the same.
#[derive(Clone, Debug)]
struct Peer {
    name: &'static str,
    value: f64,
    /// How many times better we are.
    ratio: f64,
}

/// One measured value.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    name: String,
    what: String,
    unit: &'static str,
    sample: Sample,
    target: Option<Target>,
    peer: Option<Peer>,
}

impl Measure {
    /// A value: a name for programs, a phrase for people.
    pub(crate) fn new(name: &str, what: &str, unit: &'static str, sample: Sample) -> Self {
        Self {
            name: name.to_owned(),
            what: what.to_owned(),
            unit,
            sample,
            target: None,
            peer: None,
        }
    }

    /// With a target.
    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Beside another stack's value; `ratio` says how many times better ours is.
    pub(crate) fn peer(mut self, name: &'static str, value: &Sample, ratio: &Sample) -> Self {
        self.peer = Some(Peer {
            name,
            value: value.median(),
            ratio: ratio.median(),
        });
        self
    }

    fn met(&self) -> Option<bool> {
        self.target
            .map(|target| target.is_met(self.sample.median()))
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    value: f64,
    unit: &'a str,
    target: Option<f64>,
    met: Option<bool>,
    peer: Option<&'a str>,
    peer_value: Option<f64>,
    ratio: Option<f64>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    measures: Vec<Entry<'a>>,
}

/// The measures as JSON.
pub(crate) fn json(measures: &[Measure]) -> String {
    let entries = measures.iter().map(|measure| Entry {
        name: &measure.name,
        value: measure.sample.median(),
        unit: measure.unit,
        target: measure.target.map(Target::value),
        met: measure.met(),
        peer: measure.peer.as_ref().map(|peer| peer.name),
        peer_value: measure.peer.as_ref().map(|peer| peer.value),
        ratio: measure.peer.as_ref().map(|peer| peer.ratio),
    });
    let document = Document {
        schema: 1,
        measures: entries.collect(),
    };
    serde_json::to_string_pretty(&document).expect("numbers and names are JSON") + "\n"
}

/// The measures as a table.
pub(crate) fn table(measures: &[Measure]) -> String {
    let head = [
        "measure",
        "measured",
        "",
        "quartiles",
        "target",
        "",
        "smoltcp",
        "ratio",
    ];
    let mut rows: Vec<[String; 8]> = vec![head.map(str::to_owned)];
    rows.extend(measures.iter().map(row));
    let widths: Vec<usize> = (0..8)
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = format!("{:<width$}", row[0], width = widths[0]);
        for (column, cell) in row.iter().enumerate().skip(1) {
            let width = widths[column];
            // Units and verdicts follow their numbers.
            let _ = match column {
                2 => write!(line, " {cell:<width$}"),
                5 => write!(line, "  {cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn row(measure: &Measure) -> [String; 8] {
    let (low, high) = measure.sample.spread();
    let spread = if low == high {
        String::new()
    } else {
        format!("{}..{}", number(low), number(high))
    };
    let verdict = match measure.met() {
        Some(true) => "met",
        Some(false) => "NOT MET",
        None => "",
    };
    let peer = measure.peer.as_ref();
    [
        measure.what.clone(),
        number(measure.sample.median()),
        measure.unit.to_owned(),
        spread,
        measure.target.map_or_else(String::new, Target::text),
        verdict.to_owned(),
        peer.map_or_else(String::new, |peer| number(peer.value)),
        peer.map_or_else(String::new, |peer| format!("{:.2}x", peer.ratio)),
    ]
}

/// Three digits or so, or all of them left of the point.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => {
            let digits = format!("{value:.0}");
            let mut text = String::new();
            for (place, digit) in digits.chars().enumerate() {
                let left = digits.len() - place;
                if place > 0 && left.is_multiple_of(3) {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
        v if v >= 10.0 => format!("{value:.1}"),
        v if v == v.trunc() => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measures() -> Vec<Measure> {
        let ours = Sample::of(50.0);
        let theirs = Sample::of(190.0);
        vec![
            Measure::new("echo", "echo", "ns", ours.clone())
                .target(Target::AtMost(100.0))
                .peer("smoltcp", &theirs, &theirs.over(&ours)),
            Measure::new("rate", "rate", "Gbit/s", Sample::of(12.5)).target(Target::AtLeast(60.0)),
        ]
    }

    #[test]
    fn the_table_shows_what_is_met() {
        let text = table(&measures());
        assert!(text.contains("<= 100"), "{text}");
        assert!(text.contains("3.80x"), "{text}");
        assert!(text.lines().nth(2).is_some_and(|l| l.contains("NOT MET")));
    }

    #[test]
    fn the_file_has_the_fields_that_programs_rely_on() {
        let value: serde_json::Value = serde_json::from_str(&json(&measures())).unwrap();
        assert_eq!(value["schema"], 1);
        let echo = &value["measures"][0];
        assert_eq!(echo["met"], true);
        assert_eq!(
            (&echo["peer"], &echo["ratio"]),
            (&"smoltcp".into(), &3.8.into())
        );
        assert!(value["measures"][1]["peer"].is_null());
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 1.25, 33.33, 1234567.8, 999.9].map(number);
        assert_eq!(texts, ["0", "1.25", "33.3", "1,234,568", "1,000"]);
    }
}
