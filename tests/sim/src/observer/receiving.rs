//! What an end says about what it received: ACK, window, SACK, ECN echo.

use super::half::{Half, place};
use crate::wire::{Segment, flag};

impl Half {
    pub(super) fn check_receiving(&mut self, segment: &Segment) -> Result<(), String> {
        let Some(theirs) = self.theirs else {
            return Err("it acknowledges a SYN that was not delivered".into());
        };
        let ack = place(segment.ack, theirs.isn);
        if ack > self.received.next() {
            let missing = self.received.next();
            return Err(format!(
                "it acknowledges {ack}; {missing} was not delivered"
            ));
        }
        if ack < self.acked {
            return Err(format!("it acknowledges {ack} after {}", self.acked));
        }
        self.acked = ack;
        self.check_window(segment, ack)?;
        self.check_sack(segment, ack, theirs.isn)?;
        if segment.has(flag::ECE) && !segment.has(flag::SYN) && !self.marked {
            return Err("an ECN echo, and no mark was delivered".into());
        }
        Ok(())
    }

    /// The right edge stays, but for the rounding of the scale.
    fn check_window(&mut self, segment: &Segment, ack: i64) -> Result<(), String> {
        let scale = self.mine.and_then(|mine| mine.scale).unwrap_or(0).min(14);
        let shift = if segment.has(flag::SYN) || !self.scaling() {
            0
        } else {
            scale
        };
        let edge = ack + (i64::from(segment.window) << shift);
        // The field of a SYN that is sent again has no scale, and cannot say what others said since.
        let again = segment.has(flag::SYN) && self.announced.is_some();
        if let Some(before) = self.announced.filter(|_| !again) {
            let rounding = if self.scaling() { (1 << scale) - 1 } else { 0 };
            if edge < before - rounding {
                return Err(format!("its window shrinks from {before} to {edge}"));
            }
        }
        self.announced = Some(self.announced.map_or(edge, |before| before.max(edge)));
        Ok(())
    }

    /// Blocks are of what was delivered and is not acknowledged; the first may be of a duplicate.
    fn check_sack(&self, segment: &Segment, ack: i64, isn: u32) -> Result<(), String> {
        let blocks = segment.sack_blocks();
        if !blocks.is_empty() && (!self.sack() || segment.has(flag::SYN)) {
            return Err("a SACK option that was not agreed on".into());
        }
        let place = |block: &(u32, u32)| (place(block.0, isn), place(block.1, isn));
        for (index, block) in blocks.iter().enumerate() {
            let (left, right) = place(block);
            if left >= right {
                return Err(format!("an empty SACK block {left}..{right}"));
            }
            if !self.received.holds(left, right) {
                return Err(format!(
                    "it reports {left}..{right} as held, which was not delivered"
                ));
            }
            let inside = blocks
                .get(1)
                .map(place)
                .is_some_and(|outer| outer.0 <= left && right <= outer.1);
            let repeats = index == 0 && (right <= ack || inside);
            if left <= ack && !repeats {
                return Err(format!("a SACK block {left}..{right} at or below {ack}"));
            }
        }
        Ok(())
    }
}
