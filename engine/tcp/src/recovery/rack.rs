//! RACK (RFC 8985 §6): a segment is lost when one sent after it has arrived, and time enough for
//! mere reordering has passed.

use super::Ack;
use crate::flight::{Flight, Phase, Timer};
use crate::record::Connection;
use crate::rtt::Rtt;
use crate::scoreboard::{Scoreboard, Sent};
use crate::time::{Duration, Instant};
use byway_wire::SeqNumber;
use core::ops::ControlFlow;

/// Recoveries for which a wider reordering window is kept (RFC 8985 §6.2 step 4).
const PERSIST: u8 = 16;
/// Segments reported as held that speak of a loss when no reordering was ever seen.
const DUPLICATE_THRESHOLD: u32 = 3;

/// RACK's variables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rack {
    /// RACK.xmit_ts and RACK.end_seq: the segment sent last of those delivered.
    latest: Option<(Instant, SeqNumber)>,
    /// RACK.rtt of that segment.
    rtt: Duration,
    min_rtt: Duration,
    /// What stands for `min_rtt` until it is measured: the record begins anew when nothing is in
    /// flight and nothing waits, and its first ACK may be that of a copy.
    likely_rtt: Duration,
    reordering_seen: bool,
    /// RACK.reo_wnd_mult.
    multiplier: u8,
    persist: u8,
    /// A DSACK widened the window; not again before this is acknowledged.
    dsack_round: Option<SeqNumber>,
}

impl Default for Rack {
    fn default() -> Self {
        Self {
            latest: None,
            rtt: Duration::ZERO,
            min_rtt: Duration::MAX,
            likely_rtt: Duration::ZERO,
            reordering_seen: false,
            multiplier: 1,
            persist: 0,
            dsack_round: None,
        }
    }
}

impl Rack {
    /// Before any measurement: what round trips were like, zero if that is not known.
    pub(crate) fn expect(&mut self, rtt: Duration) {
        self.likely_rtt = rtt;
    }

    /// The shortest round trip, as far as it is known.
    fn least_rtt(&self) -> Duration {
        if self.min_rtt == Duration::MAX {
            self.likely_rtt
        } else {
            self.min_rtt
        }
    }

    /// A measurement; true when none of the connection seems to have been shorter.
    pub(crate) fn observe(&mut self, rtt: Duration) -> bool {
        let shortest = rtt < self.least_rtt() || self.least_rtt().is_zero();
        self.min_rtt = self.min_rtt.min(rtt);
        self.rtt = rtt;
        shortest
    }

    /// A recovery ended: the reordering window shrinks back after some of them.
    pub(crate) fn recovery_over(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.multiplier = 1;
        }
    }

    /// Steps 1 to 3: what the acknowledgment says about delivery.
    //= rfc8985 6.2 S6.2-2
    fn update(&mut self, ack: &Ack<'_>) {
        self.reordering_seen |= ack.delivered.reordered;
        // Where the newest is a copy that says nothing, the newest that was sent once still does.
        for sent in [ack.delivered.timed, ack.delivered.latest].iter().flatten() {
            self.learn(sent, ack);
        }
    }

    fn learn(&mut self, sent: &Sent, ack: &Ack<'_>) {
        let rtt = ack.now.since(sent.at);
        if sent.was_resent() {
            // It may be the original that arrived: then the round trip is shorter than any, or, where
            // the echo is that of the segment itself, older than the copy.
            let age = (rtt.as_nanos() / 1_000_000) as u32;
            let older = |echo: u32| ack.clock.wrapping_sub(echo) > age.wrapping_add(1);
            if rtt < self.least_rtt() || (ack.advances && ack.echo.is_some_and(older)) {
                return;
            }
        }
        self.rtt = rtt;
        if self.latest.is_none_or(|(at, end)| sent.sent_after(at, end)) {
            self.latest = Some((sent.at, sent.end()));
        }
    }

    /// Step 4: after a DSACK a segment may be late for longer, by one step a round trip.
    //= rfc8985 3.3.2 S3.3.2-3
    fn adapt(&mut self, ack: &Ack<'_>, snd_nxt: SeqNumber) {
        let una = ack.seg.ack;
        if self.dsack_round.is_some_and(|round| una.at_or_after(round)) {
            self.dsack_round = None;
        }
        if ack.dsack.is_some() && self.dsack_round.is_none() {
            self.dsack_round = Some(snd_nxt);
            self.multiplier = self.multiplier.saturating_add(1);
            self.persist = PERSIST;
            self.reordering_seen = true;
        }
    }

    /// How long a segment may be late.
    //= rfc8985 3.3.2 S3.3.2-1 S3.3.2-2 S3.3.2-4 S3.3.2-5
    fn allowance(&self, srtt: Duration, recovering: bool, held: u32) -> Duration {
        if !self.reordering_seen && (recovering || held >= DUPLICATE_THRESHOLD) {
            return Duration::ZERO;
        }
        (self.least_rtt() / 4 * u32::from(self.multiplier)).min(srtt)
    }

    /// Step 5: marks what is lost; returns the octets and how long until the next one may be.
    //= rfc8985 6.2 S6.2-4
    fn detect(&self, now: Instant, late: Duration, board: &mut Scoreboard) -> (u32, Duration) {
        let Some((latest_at, latest_end)) = self.latest else {
            return (0, Duration::ZERO);
        };
        let patience = self.rtt + late;
        let mut wait = Duration::ZERO;
        let newly = board.mark_lost_until(|sent| {
            // A turn sends everything at one time. Among first transmissions the sequence tells
            // the order; a copy sent in that turn says nothing.
            let same_turn = latest_at == sent.at && !sent.was_resent();
            let sent_before = latest_at > sent.at || (same_turn && latest_end.after(sent.end()));
            if !sent_before && !sent.was_resent() {
                // Whatever has a higher number left later still, the first time and again.
                return ControlFlow::Break(());
            }
            if !sent_before {
                return ControlFlow::Continue(false);
            }
            let deadline = sent.at + patience;
            if deadline > now {
                wait = wait.max(deadline.since(now));
            }
            ControlFlow::Continue(deadline <= now)
        });
        (newly, wait)
    }

    /// Segments of this connection overtook each other.
    #[inline]
    pub(crate) fn saw_reordering(&self) -> bool {
        self.reordering_seen
    }

    /// How long a segment may be late once reordering was seen, `None` before.
    pub(crate) fn reordering_window(&self, rtt: &Rtt) -> Option<Duration> {
        let srtt = Duration::from_micros(u64::from(rtt.srtt_us));
        self.reordering_seen.then(|| self.allowance(srtt, false, 0))
    }
}

/// Looks for losses after an acknowledgment; returns the octets newly lost.
//= rfc8985 6.2
//= rfc5681 3.2 S3.2-3
pub(super) fn on_ack(conn: &mut Connection, flight: &mut Flight, ack: &Ack<'_>) -> u32 {
    flight.rack.update(ack);
    flight.rack.adapt(ack, conn.tx.snd_nxt);
    find(conn, flight, ack.now)
}

/// The reordering timer fired: what was merely late is lost now.
//= rfc8985 6.2 S6.2-4
pub(super) fn on_reordering_timeout(
    conn: &mut Connection,
    flight: &mut Flight,
    now: Instant,
) -> u32 {
    find(conn, flight, now)
}

/// At a retransmission timeout: the first segment is lost, and of the others what was sent long
/// enough ago to have been acknowledged.
//= rfc8985 6.3 S6.3-1
pub(super) fn on_retransmission_timeout(conn: &Connection, flight: &mut Flight, now: Instant) {
    let srtt = Duration::from_micros(u64::from(conn.tx.rtt.srtt_us));
    let late = flight.rack.allowance(srtt, true, flight.board.held());
    // Without a measurement by RACK the smoothed round trip will do.
    let patience = late
        + match flight.rack.rtt {
            Duration::ZERO => srtt,
            rtt => rtt,
        };
    let first = flight.board.first();
    flight
        .board
        .mark_lost(|sent| Some(sent.start) == first || sent.at + patience <= now);
}

fn find(conn: &mut Connection, flight: &mut Flight, now: Instant) -> u32 {
    let srtt = Duration::from_micros(u64::from(conn.tx.rtt.srtt_us));
    let recovering = flight.phase != Phase::Open;
    let late = flight.rack.allowance(srtt, recovering, flight.board.held());
    if flight.board.sacked() == 0 && flight.board.lost() == 0 {
        // Nothing arrived out of turn.
        if flight.timer == Timer::Reordering {
            flight.timer = Timer::Retransmission;
        }
        return 0;
    }
    let rack = flight.rack;
    let (newly, wait) = rack.detect(now, late, &mut flight.board);
    if wait > Duration::ZERO {
        flight.timer = Timer::Reordering;
        conn.tx.rto_deadline = now + wait;
    } else if flight.timer == Timer::Reordering {
        flight.timer = Timer::Retransmission;
    }
    newly
}

#[cfg(test)]
mod tests {
    use super::*;

    //= rfc8985 3.3.2 S3.3.2-1 S3.3.2-2 S3.3.2-4 S3.3.2-5
    #[test]
    fn the_allowance_is_a_quarter_of_the_least_delay_or_nothing_and_bounded() {
        let ms = Duration::from_millis;
        let mut rack = Rack::default();
        assert_eq!(rack.allowance(ms(30), false, 0), ms(0), "nothing measured");
        rack.observe(ms(20));
        rack.observe(ms(40));
        assert_eq!(rack.allowance(ms(30), false, 2), ms(5));
        assert_eq!(rack.allowance(ms(30), false, 3), ms(0));
        assert_eq!(rack.allowance(ms(30), true, 0), ms(0));
        rack.reordering_seen = true;
        assert_eq!(rack.allowance(ms(30), true, 3), ms(5));
        rack.multiplier = u8::MAX;
        assert_eq!(rack.allowance(ms(30), true, 3), ms(30));
    }

    //= rfc8985 3.3.2 S3.3.2-3
    #[test]
    fn a_wider_allowance_lasts_for_sixteen_recoveries() {
        let mut rack = Rack {
            multiplier: 5,
            persist: PERSIST,
            ..Rack::default()
        };
        (1..PERSIST).for_each(|_| rack.recovery_over());
        assert_eq!(rack.multiplier, 5);
        rack.recovery_over();
        assert_eq!(rack.multiplier, 1);
    }
}
