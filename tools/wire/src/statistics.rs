//! What was counted, and how it is shown.

use byway_tcp::time::Duration;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;

/// Frames, and the octets in them from the destination address on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// How many frames.
    pub frames: u64,
    /// How many octets.
    pub octets: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, len: usize) {
        self.frames += 1;
        self.octets += len as u64;
    }
}

/// What happened in one direction. Everything is counted in frames unless it says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    /// What came in, segments of large packets counted each.
    pub received: Traffic,
    /// What went out, second copies included.
    pub sent: Traffic,
    /// Got lost on the line.
    pub lost: u64,
    /// Found the queue full.
    pub queue_full: u64,
    /// Arrived twice.
    pub duplicated: u64,
    /// Arrived with wrong bits.
    pub corrupted: u64,
    /// Arrived out of order.
    pub reordered: u64,
    /// Packets that their sender left to be cut into segments.
    pub large: u64,
    /// Longer than the MTU of the interface they would leave by: dropped.
    pub oversize: u64,
    /// Could not be made fit for a cable: dropped.
    pub incompletable: u64,
    /// Too many were on their way already: dropped.
    pub line_full: u64,
    /// Refused by the interface they would leave by: dropped.
    pub refused: u64,
    /// Dropped by the kernel because they were not read in time.
    pub missed: u64,
    /// Still on their way at the end.
    pub undelivered: u64,
    /// The most frames that ever waited before the bottleneck.
    pub queue_peak_frames: usize,
    /// The most octets that ever waited before the bottleneck.
    pub queue_peak_octets: usize,
    /// How much later than they should frames left.
    pub late_us: Lateness,
}

/// Microseconds between the moment a frame should have left and the moment it was handed to the
/// interface. What the impairments were asked to do is not part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Lateness {
    /// Half of all frames were no later than this.
    pub p50: f64,
    /// 99 of 100 were no later than this.
    pub p99: f64,
    /// The latest.
    pub max: f64,
}

/// Everything about a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Version of this format.
    pub schema: u32,
    /// What this line is among those that a program may print: `stopped`.
    pub event: &'static str,
    /// The seed that repeats all decisions.
    pub seed: u64,
    /// How long the wire was up.
    pub seconds: f64,
    /// From A to B, then from B to A.
    pub directions: [Direction; 2],
}

/// One direction of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Direction {
    /// Interface that frames came from.
    pub from: String,
    /// Interface that frames left by.
    pub to: String,
    /// What happened.
    #[serde(flatten)]
    pub counts: Counts,
}

impl fmt::Display for Summary {
    /// A few lines for people; nothing is said about what did not happen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s, seed {}", self.seconds, self.seed)?;
        for Direction { from, to, counts } in &self.directions {
            let (came, went) = (&counts.received, &counts.sent);
            write!(
                f,
                "\n{from} -> {to}: {} frames in ({} octets)",
                came.frames, came.octets
            )?;
            write!(f, ", {} out ({} octets)", went.frames, went.octets)?;
            for (what, count) in counts.named() {
                if count > 0 {
                    write!(f, ", {count} {what}")?;
                }
            }
            if counts.queue_peak_frames > 0 {
                let (frames, octets) = (counts.queue_peak_frames, counts.queue_peak_octets);
                write!(f, ", queue up to {frames} frames or {octets} octets")?;
            }
            if went.frames > 0 {
                let Lateness { p50, p99, max } = counts.late_us;
                write!(
                    f,
                    ", late by {p50:.0} us (p50) {p99:.0} us (p99) {max:.0} us (max)"
                )?;
            }
        }
        Ok(())
    }
}

impl Counts {
    fn named(&self) -> [(&'static str, u64); 12] {
        [
            ("lost", self.lost),
            ("dropped by the queue", self.queue_full),
            ("duplicated", self.duplicated),
            ("corrupted", self.corrupted),
            ("reordered", self.reordered),
            ("large packets cut", self.large),
            ("longer than the MTU", self.oversize),
            ("incompletable", self.incompletable),
            ("too many for the line", self.line_full),
            ("refused by the interface", self.refused),
            ("missed by this program", self.missed),
            ("still on their way", self.undelivered),
        ]
    }
}

/// How late frames leave.
#[derive(Debug)]
pub(crate) struct Clockwork {
    histogram: Histogram<u64>,
}

/// The largest lateness told apart: ten seconds, in nanoseconds.
const LATEST: u64 = 10_000_000_000;

impl Clockwork {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATEST, 2);
        Self {
            histogram: histogram.expect("constant bounds and precision that are in range"),
        }
    }

    pub(crate) fn record(&mut self, late: Duration) {
        self.histogram.saturating_record(late.as_nanos() as u64);
    }

    pub(crate) fn lateness(&self) -> Lateness {
        let us = |nanos: u64| nanos as f64 / 1000.0;
        Lateness {
            p50: us(self.histogram.value_at_quantile(0.5)),
            p99: us(self.histogram.value_at_quantile(0.99)),
            max: us(self.histogram.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let counts = Counts {
            received: Traffic {
                frames: 3,
                octets: 300,
            },
            lost: 1,
            ..Counts::default()
        };
        let direction = Direction {
            from: "a".to_owned(),
            to: "b".to_owned(),
            counts,
        };
        Summary {
            schema: 1,
            event: "stopped",
            seed: 7,
            seconds: 1.5,
            directions: [direction.clone(), direction],
        }
    }

    #[test]
    fn people_read_what_happened_only() {
        let text = summary().to_string();
        assert!(text.starts_with("1.5 s, seed 7\na -> b: 3 frames in (300 octets), 0 out"));
        assert!(text.contains("1 lost"));
        assert!(!text.contains("corrupted") && !text.contains("late"));
    }

    #[test]
    fn programs_read_everything() {
        let value = serde_json::to_value(summary()).unwrap();
        assert_eq!(value["schema"], 1);
        let direction = &value["directions"][0];
        assert_eq!(
            (&direction["from"], &direction["lost"]),
            (&"a".into(), &1.into())
        );
        assert_eq!(direction["received"]["octets"], 300);
        assert_eq!(direction["late_us"]["p99"], 0.0);
    }

    #[test]
    fn lateness_is_in_microseconds() {
        let mut clockwork = Clockwork::new();
        for late in 1..=100 {
            clockwork.record(Duration::from_micros(late));
        }
        clockwork.record(Duration::from_secs(60));
        let Lateness { p50, p99, max } = clockwork.lateness();
        assert!((50.0..52.0).contains(&p50), "{p50}");
        assert!((99.0..102.0).contains(&p99), "{p99}");
        assert!(max >= 9.9e6, "{max}");
    }
}
