//! What happened on the wire: a digest of all of it, and on demand the lines.

use crate::network::Outcome;
use crate::scenario::START;
use crate::wire::Segment;
use byway_tcp::time::Instant;

/// The record of a run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) digest: u64,
    /// Absent when nobody wants to read it.
    pub(crate) lines: Option<Vec<String>>,
}

impl Trace {
    fn mix(&mut self, value: u64) {
        let mixed = (self.digest ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.digest = mixed ^ (mixed >> 29);
    }

    fn segment(&mut self, now: Instant, segment: &Segment) {
        self.mix(now.as_nanos());
        self.mix(u64::from(segment.seq) << 32 | u64::from(segment.ack));
        self.mix(u64::from(segment.checksum) << 32 | u64::from(segment.window) << 16);
        self.mix(u64::from(segment.ports.0) << 16 | u64::from(segment.flags));
    }

    pub(crate) fn sent(&mut self, now: Instant, segment: &Segment, outcome: Outcome) {
        self.segment(now, segment);
        self.mix(match outcome {
            Outcome::Lost => 0,
            Outcome::Sent { at, .. } => at.as_nanos(),
        });
        if let Some(lines) = &mut self.lines {
            let fate = match outcome {
                Outcome::Lost => " LOST".to_owned(),
                Outcome::Sent { at, twice, damaged } => format!(
                    " +{:?}{}{}",
                    at.since(now),
                    if twice { " twice" } else { "" },
                    if damaged { " damaged" } else { "" }
                ),
            };
            lines.push(format!("{:>14?} -> {segment}{fate}", now.since(START)));
        }
    }

    pub(crate) fn delivered(&mut self, now: Instant, segment: &Segment) {
        self.segment(now, segment);
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>14?} <- {segment}", now.since(START)));
        }
    }

    pub(crate) fn note(&mut self, now: Instant, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>14?} {}", now.since(START), what()));
        }
    }
}
