//! Taking back a reduction that was for nothing: by timestamps (Eifel, RFC 3522, RFC 4015), by
//! DSACK (RFC 3708), by F-RTO (RFC 5682).

use super::Ack;
use crate::congestion::Window;
use crate::flight::{Flight, Frto, Phase};
use crate::record::{Connection, Marks};
use byway_wire::SeqNumber;

/// What was before the reduction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Undo {
    window: Window,
    /// Our clock in timestamp ticks when recovery began.
    clock: u32,
    /// Segments sent again less those the peer reported as duplicates.
    resends: i32,
    /// Anything was sent again.
    resent: bool,
    /// SND.NXT when recovery ended: what comes after the ACK of this is about something else.
    until: Option<SeqNumber>,
}

impl Undo {
    pub(crate) fn new(window: &Window, clock: u32) -> Self {
        Self {
            window: *window,
            clock,
            resends: 0,
            resent: false,
            until: None,
        }
    }

    /// Recovery is over; its last duplicates may be reported for one more round trip.
    pub(crate) fn recovery_over(&mut self, snd_nxt: SeqNumber) {
        self.until = Some(snd_nxt);
    }

    /// A segment was sent again.
    pub(crate) fn on_resent(&mut self) {
        self.resends += 1;
        self.resent = true;
    }
}

/// Looks at an acknowledgment during recovery, or the first after it.
pub(super) fn consider(conn: &mut Connection, flight: &mut Flight, ack: &Ack<'_>) {
    let Some(undo) = flight.undo.as_mut() else {
        return;
    };
    if undo.until.is_some_and(|until| ack.seg.ack.after(until)) {
        flight.undo = None;
        return;
    }
    if ack.dsack.is_some() {
        undo.resends -= 1;
    }
    let all_needless = undo.resent && undo.resends <= 0 && ack.dsack.is_some();
    // The echo is older than any retransmission: an original moved SND.UNA.
    let original = undo.resent
        && ack.advances
        && ack
            .echo
            .is_some_and(|echo| (echo.wrapping_sub(undo.clock) as i32) < 0);
    let forward = follow_frto(conn, flight, ack);
    if all_needless || original || forward {
        take_back(conn, flight);
    }
}

/// F-RTO, with or without SACK: after a timeout, two new segments instead of old ones; if SND.UNA
/// then moves over data that was not sent again, the timeout was spurious.
//= rfc5682 2.1 S2.1-2 S2.1-3 S2.1-4
fn follow_frto(conn: &mut Connection, flight: &mut Flight, ack: &Ack<'_>) -> bool {
    match flight.frto {
        Frto::Off => false,
        Frto::Asked => {
            let partial = ack.advances && ack.seg.ack.before(flight.recover);
            flight.frto = if partial { Frto::Probing } else { Frto::Off };
            false
        }
        Frto::Probing => {
            flight.frto = Frto::Off;
            if !ack.advances {
                // It was a loss: room for what is lost beside the two new segments.
                let three = 3 * u32::from(conn.tx.mss);
                conn.tx.window.cwnd = conn.tx.window.cwnd.max(three);
            }
            ack.advances && ack.delivered.original
        }
    }
}

//= rfc9438 4.9 S4.9-1
fn take_back(conn: &mut Connection, flight: &mut Flight) {
    let Some(undo) = flight.undo.take() else {
        return;
    };
    let window = &mut conn.tx.window;
    window.cwnd = window.cwnd.max(undo.window.cwnd);
    window.ssthresh = undo.window.ssthresh;
    flight.algorithm.as_mut().on_undo();
    flight.board.unmark_lost();
    flight.phase = Phase::Open;
    flight.frto = Frto::Off;
    flight.guessed = 0;
    flight.reduced_at = None;
    conn.id.marks.set(Marks::REDUCED, false);
    conn.tx.backoff = 0;
}
