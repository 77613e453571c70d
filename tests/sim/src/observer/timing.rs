//! When an end sends something again though it has heard nothing: only a timer can tell it to.

use super::Facts;
use super::half::Half;
use byway_tcp::time::{Duration, Instant};

/// What clocks and timer wheels round.
const SLACK: Duration = Duration::from_millis(2);

/// What was sent again since something was heard last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Silence {
    /// When the timer started: something new was acknowledged, or sent while nothing was in flight.
    started: Option<Instant>,
    /// When something was heard last.
    heard: Option<Instant>,
    /// The last time something was sent again in silence, and how long that was after the time
    /// before.
    last: Option<(Instant, Option<Duration>)>,
    /// Retransmissions without a round trip's silence, which a tail probe or a reordering timer
    /// may cause, once.
    early: bool,
    /// Octets sent again at that time, and where the last of them began.
    burst: i64,
    place: i64,
    /// New data was sent since: the timer may have started anew.
    restarted: bool,
    /// A segment beyond the congestion window was sent since.
    probed: bool,
    /// The last segment was sent again since, where only that may be.
    asked: bool,
    /// When something was acknowledged last.
    advanced: Option<Instant>,
    /// When new data was sent last.
    sent: Option<Instant>,
}

impl Silence {
    /// Something is sent while nothing is in flight.
    pub(crate) fn starts(&mut self, now: Instant) {
        self.started = Some(now);
        self.last = None;
        self.early = false;
    }

    /// A tail loss probe may be sent: nothing is heard right now, and it is the first one.
    pub(crate) fn may_probe(&mut self, now: Instant) -> bool {
        self.heard != Some(now) && !std::mem::replace(&mut self.probed, true)
    }

    /// Nothing was acknowledged and nothing new sent for so long, and this is the first time since.
    pub(crate) fn asks(&mut self, now: Instant, patience: Duration) -> bool {
        let quiet = |since: Option<Instant>| since.is_none_or(|at| now.since(at) >= patience);
        quiet(self.advanced) && quiet(self.sent) && !std::mem::replace(&mut self.asked, true)
    }

    /// A timeout after so long: twice as late as the one before, if nothing was sent between.
    fn times_out(&mut self, now: Instant, waited: Duration, most: Duration) -> Result<(), String> {
        let restarted = std::mem::take(&mut self.restarted);
        if let Some((_, Some(before))) = self.last.filter(|_| !restarted) {
            let twice = (before * 2).min(most);
            if waited + SLACK * 2 < twice {
                return Err(format!("a timeout after {waited:?}, before it {before:?}"));
            }
        }
        let gap = self.last.filter(|_| !restarted).map(|_| waited);
        self.early = false;
        self.last = Some((now, gap));
        Ok(())
    }

    /// New data is sent.
    pub(crate) fn interrupted(&mut self, now: Instant) {
        self.restarted = true;
        self.sent = Some(now);
    }

    /// Something is heard. Unless it was taken for sure, nobody knows when the timer started.
    pub(crate) fn broken(&mut self, now: Instant, taken: bool, advances: bool) {
        self.heard = Some(now);
        self.last = None;
        self.early = false;
        self.probed = false;
        if advances {
            self.advanced = Some(now);
            self.asked = false;
        }
        if !taken {
            self.started = None;
        } else if advances {
            self.started = Some(now);
        }
    }
}

impl Half {
    /// `start..end` is sent again, in a recovery that is `paced`, if it is one.
    ///
    /// In silence there are a tail loss probe or the end of RACK's patience, once; after that only
    /// timeouts, each for one segment, none before its minimum, each twice as late as the one before.
    pub(super) fn check_retransmission(
        &mut self,
        start: i64,
        end: i64,
        paced: bool,
        facts: &Facts<'_>,
    ) -> Result<(), String> {
        let now = facts.now;
        let syn = self.una == 0;
        let patience = self.sack() && self.sacked_to > self.una;
        let sack = self.sack() || paced;
        let mss = facts.standing.info.map_or(1460, |info| i64::from(info.mss));
        let silence = &mut self.silence;
        if silence.heard == Some(now) {
            // What was heard may be the reason.
            return Ok(());
        }
        let place = std::mem::replace(&mut silence.place, start);
        if paced && silence.early && start != place {
            silence.last = Some((now, None));
            return Ok(());
        }
        let least = if syn {
            facts.tcp.rto_initial
        } else {
            facts.tcp.rto_min
        };
        // Where segments are small, the window of one full segment lets out some, which are paced.
        if let Some((last, _)) = silence.last
            && (last == now
                || (facts.tcp.pacing && start > place && now.since(last) + SLACK < least))
        {
            silence.burst += end - start;
            // A window of one segment lets out one more than it holds.
            let fits = silence.early || silence.burst <= 2 * mss;
            return fits
                .then_some(())
                .ok_or(format!("{} octets after one timeout", silence.burst));
        }
        let Some(since) = silence.last.map(|(at, _)| at).or(silence.started) else {
            silence.last = Some((now, None));
            silence.early = true;
            return Ok(());
        };
        let waited = now.since(since);
        if silence.last.is_none() && (patience || paced || waited + SLACK < least) {
            if syn || !sack {
                return Err(format!("a timeout after {waited:?}"));
            }
            silence.early = true;
            silence.last = Some((now, None));
            silence.burst = end - start;
            return Ok(());
        }
        if waited + SLACK < least {
            return Err(format!("a timeout after {waited:?}"));
        }
        silence.times_out(now, waited, facts.tcp.rto_max)?;
        silence.burst = end - start;
        Ok(())
    }
}
