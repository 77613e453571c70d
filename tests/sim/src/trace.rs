//! What happened on the wire: a digest of all of it, and on demand the lines.

use crate::network::Outcome;
use crate::scenario::START;
use crate::wire::Segment;
use byway_tcp::time::Instant;

/// An odd number without a pattern: 2^64 divided by the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
/// Sums that go on beside each other, so that none waits for the one before.
const LANES: usize = 4;

/// The record of a run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Of when each frame left and arrived, from whom to whom, and every octet of it. The same on
    /// every machine and for every build, as long as the engines send the same.
    pub(crate) digest: u64,
    /// Absent when nobody wants to read it.
    pub(crate) lines: Option<Vec<String>>,
}

impl Trace {
    fn mix(&mut self, value: u64) {
        let mixed = (self.digest ^ value).wrapping_mul(MIX);
        self.digest = mixed ^ (mixed >> 29);
    }

    /// A frame leaves an engine.
    pub(crate) fn leaves(&mut self, now: Instant, from: usize, to: usize, frame: &[u8]) {
        self.mix(now.as_nanos());
        self.mix((from as u64) << 40 | (to as u64) << 32 | frame.len() as u64);
        let mut lanes = [0u64; LANES];
        let blocks = frame.chunks_exact(8 * LANES);
        let rest = blocks.remainder();
        let mut tail = [0; 8 * LANES];
        tail[..rest.len()].copy_from_slice(rest);
        for block in blocks.chain([tail.as_slice()]) {
            for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
                let mixed = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(MIX);
                *lane = mixed ^ (mixed >> 29);
            }
        }
        lanes.into_iter().for_each(|lane| self.mix(lane));
    }

    pub(crate) fn sent(&mut self, now: Instant, segment: &Segment, outcome: Outcome) {
        self.mix(match outcome {
            Outcome::Lost => 0,
            Outcome::TooBig { answered } => 1 + u64::from(answered),
            Outcome::Sent { at, twice, damaged } => {
                at.as_nanos() << 2 | u64::from(twice) << 1 | u64::from(damaged)
            }
        });
        if let Some(lines) = &mut self.lines {
            let fate = match outcome {
                Outcome::Lost => " LOST".to_owned(),
                Outcome::TooBig { answered: true } => " TOO BIG".to_owned(),
                Outcome::TooBig { answered: false } => " TOO BIG, not told".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(ns: u64, from: usize, frame: &[u8]) -> u64 {
        let mut trace = Trace::default();
        trace.leaves(Instant::from_nanos(ns), from, 1, frame);
        trace.digest
    }

    #[test]
    fn any_octet_time_or_direction_makes_another_digest() {
        for len in [0, 1, 31, 32, 33, 100] {
            let frame = vec![0; len];
            let mut seen = vec![
                digest(1, 0, &frame),
                digest(2, 0, &frame),
                digest(1, 2, &frame),
                digest(1, 0, &vec![0; len + 1]),
            ];
            for bit in 0..len * 8 {
                let mut other = frame.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                seen.push(digest(1, 0, &other));
            }
            let count = seen.len();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), count, "{len} octets");
        }
    }

    #[test]
    fn it_is_the_same_for_every_build() {
        let frame: Vec<u8> = (0..=99).collect();
        assert_eq!(digest(7, 1, &frame), 1_576_823_725_701_671_384);
    }
}
