//! As much of SVG as the report draws: elements with escaped text, and two kinds of scale.
//!
//! Colours come from classes that the page's style sheet defines, so that one picture serves light,
//! dark and print.

use std::fmt::{Display, Write};

/// Escapes text for an element or an attribute.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// Where a text is anchored.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture that grows.
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// An empty picture; `label` is for those who do not see it.
    pub(super) fn new(width: f64, height: f64, label: &str) -> Self {
        let label = escape(label);
        Self {
            text: format!(
                "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{label}\" \
                 xmlns=\"http://www.w3.org/2000/svg\">\n"
            ),
        }
    }

    /// The element as text.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.element(format_args!(
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        ));
    }

    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.element(format_args!(
            "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            at.0,
            at.1,
            escape(text)
        ));
    }

    /// A rectangle that tells `title` under the pointer.
    pub(super) fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64), title: &str) {
        self.element(format_args!(
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
             <title>{}</title></rect>",
            at.0,
            at.1,
            size.0.max(0.0),
            size.1,
            escape(title)
        ));
    }

    /// A dot that tells `title` under the pointer.
    pub(super) fn dot(&mut self, class: &str, at: (f64, f64), radius: f64, title: &str) {
        self.element(format_args!(
            "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\">\
             <title>{}</title></circle>",
            at.0,
            at.1,
            escape(title)
        ));
    }

    /// A line through the points.
    pub(super) fn polyline(&mut self, class: &str, points: &[(f64, f64)]) {
        let list = list(points);
        self.element(format_args!(
            "<polyline class=\"{class}\" points=\"{list}\"/>"
        ));
    }

    /// The area within the points.
    pub(super) fn polygon(&mut self, class: &str, points: &[(f64, f64)]) {
        let list = list(points);
        self.element(format_args!(
            "<polygon class=\"{class}\" points=\"{list}\"/>"
        ));
    }

    fn element(&mut self, element: impl Display) {
        writeln!(self.text, "{element}").expect("writing to a String cannot fail");
    }
}

fn list(points: &[(f64, f64)]) -> String {
    let pairs: Vec<String> = points
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    pairs.join(" ")
}

/// A logarithmic scale from values to places in the picture.
#[derive(Clone, Copy)]
pub(super) struct Log {
    values: (f64, f64),
    places: (f64, f64),
}

impl Log {
    /// Both values are positive and differ.
    pub(super) fn new(values: (f64, f64), places: (f64, f64)) -> Self {
        Self { values, places }
    }

    /// Where a value is; values outside the scale are at its ends.
    pub(super) fn at(&self, value: f64) -> f64 {
        let (from, to) = (self.values.0.ln(), self.values.1.ln());
        let share = (value.max(f64::MIN_POSITIVE).ln() - from) / (to - from);
        self.places.0 + share.clamp(0.0, 1.0) * (self.places.1 - self.places.0)
    }

    /// Round values in the scale: 1, 2 and 5 times powers of ten, or powers of ten only, when
    /// those would be more than `most`.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        let decades = self.values.0.log10().floor() as i32..=self.values.1.log10().ceil() as i32;
        let within = |tick: &f64| (self.values.0 * 0.999..=self.values.1 * 1.001).contains(tick);
        let of = |factors: &[f64]| -> Vec<f64> {
            decades
                .clone()
                .flat_map(|decade| factors.iter().map(move |f| f * 10f64.powi(decade)))
                .filter(within)
                .collect()
        };
        let fine = of(&[1.0, 2.0, 5.0]);
        if fine.len() <= most { fine } else { of(&[1.0]) }
    }
}

/// The next round value at or above: the end of an axis. 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power
/// of ten.
pub(super) fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1e-9).log10().floor());
    [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|round| *round >= value * 0.999_999)
        .unwrap_or(10.0 * power)
}

/// Moves labels apart: given the wished places from top to bottom, places that are at least `gap`
/// from each other and as near as possible to the wishes, within `limits`.
pub(super) fn spread(wishes: &[f64], gap: f64, limits: (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wishes.len()).collect();
    order.sort_by(|a, b| wishes[*a].total_cmp(&wishes[*b]));
    let mut places = wishes.to_vec();
    let mut floor = limits.0;
    for index in &order {
        places[*index] = places[*index].max(floor);
        floor = places[*index] + gap;
    }
    let mut ceiling = limits.1;
    for index in order.iter().rev() {
        places[*index] = places[*index].min(ceiling);
        ceiling = places[*index] - gap;
    }
    places
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Panics unless every element is closed in order, and no text holds a bare special character.
    pub(in crate::report) fn assert_well_formed(text: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('<') {
            assert!(
                !rest[..start].contains('>'),
                "a bare > before {}",
                &rest[start..][..20]
            );
            for (at, _) in rest[..start].match_indices('&') {
                let entity = &rest[at..start.min(at + 8)];
                assert!(entity.contains(';'), "a bare & in {entity}");
            }
            let end = start + rest[start..].find('>').expect("a tag ends");
            let tag = &rest[start + 1..end];
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "closed in order");
            } else if !tag.ends_with('/') {
                open.push(tag.split_whitespace().next().expect("a tag has a name"));
            }
            assert_eq!(
                tag.matches('"').count() % 2,
                0,
                "quotes are paired in {tag}"
            );
            rest = &rest[end + 1..];
        }
        assert!(open.is_empty(), "left open: {open:?}");
    }

    #[test]
    fn pictures_are_well_formed_whatever_the_texts() {
        let mut svg = Svg::new(100.0, 50.0, "a <b> & \"c\"");
        svg.line("axis", (0.0, 0.0), (1.0, 1.0));
        svg.text("label", (1.0, 2.0), Anchor::Middle, "p99 < 5 & > 2");
        svg.rect("bar", (0.0, 0.0), (-3.0, 4.0), "\"quoted\" <title>");
        svg.dot("dot", (1.0, 1.0), 2.5, "a & b");
        svg.polyline("curve", &[(0.0, 1.0), (2.0, 3.0)]);
        svg.polygon("band", &[(0.0, 1.0), (2.0, 3.0), (4.0, 5.0)]);
        let text = svg.finish();
        assert_well_formed(&text);
        assert!(text.contains("width=\"0.0\""), "no negative width");
        assert!(!text.contains("NaN"));
    }

    #[test]
    #[should_panic(expected = "closed in order")]
    fn the_checker_finds_a_wrong_end() {
        assert_well_formed("<svg><g></svg></g>");
    }

    #[test]
    fn logarithmic_scales() {
        let scale = Log::new((1.0, 1000.0), (0.0, 300.0));
        assert!((scale.at(10.0) - 100.0).abs() < 1e-9);
        assert_eq!((scale.at(0.5), scale.at(1e9)), (0.0, 300.0));
        assert_eq!(
            scale.ticks(20),
            [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]
        );
        assert_eq!(scale.ticks(5), [1.0, 10.0, 100.0, 1000.0]);
        let upwards = Log::new((1.0, 100.0), (200.0, 0.0));
        assert!((upwards.at(10.0) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn axes_end_on_round_values() {
        assert_eq!(round_up(195_220.0), 200_000.0);
        assert_eq!(round_up(528_000.0), 600_000.0);
        assert_eq!(round_up(100.0), 100.0);
        assert!((round_up(0.23) - 0.3).abs() < 1e-9);
        assert!(round_up(0.0) > 0.0);
    }

    #[test]
    fn labels_keep_apart_and_inside() {
        assert_eq!(spread(&[10.0, 50.0], 14.0, (0.0, 100.0)), [10.0, 50.0]);
        assert_eq!(
            spread(&[50.0, 49.0, 51.0], 14.0, (0.0, 100.0)),
            [63.0, 49.0, 77.0]
        );
        assert_eq!(spread(&[98.0, 99.0], 14.0, (0.0, 100.0)), [86.0, 100.0]);
    }
}
