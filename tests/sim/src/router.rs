//! A router in the middle of a link, with a hop behind it that is narrower than the first one.

use crate::icmp;
use crate::scenario::RouterPlan;
use crate::wire::Segment;
use byway_stack::random::SplitMix;
use byway_tcp::time::Instant;

/// Drops what does not fit, and mostly says so.
#[derive(Debug)]
pub(crate) struct Router {
    plan: RouterPlan,
    random: SplitMix,
}

impl Router {
    pub(crate) fn new(plan: &RouterPlan, seed: u64) -> Self {
        Self {
            plan: plan.clone(),
            random: SplitMix::new(seed ^ 0x40_07e4),
        }
    }

    /// From now on it says so always.
    pub(crate) fn heal(&mut self) {
        self.plan.silence = 0.0;
    }

    /// The width of its next hop, if a packet does not fit it and must not be cut.
    pub(crate) fn refuses(&self, now: Instant, segment: &Segment) -> Option<u16> {
        let passed = self.plan.widths.iter().rev().find(|(from, _)| *from <= now);
        let width = passed.map_or(u16::MAX, |(_, width)| *width);
        // IPv6 has no hop that is narrower.
        let width = if segment.v6 { width.max(1280) } else { width };
        (segment.whole && segment.packet_len > width).then_some(width)
    }

    /// Writes its answer to the sender of `frame`. Returns the length of the answer, when it
    /// arrives, and the width it tells; `None` if it is lost.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        frame: &[u8],
        width: u16,
        into: &mut [u8],
    ) -> Option<(u16, Instant, u16)> {
        if self.random.chance(self.plan.silence) {
            return None;
        }
        let v4 = frame[12..14] == [8, 0];
        let told = if self.plan.old && v4 { 0 } else { width };
        let len = icmp::too_big(frame, told, self.plan.quote, into);
        Some((len, now + self.plan.delay, told))
    }
}
