//! Taking back a reduction that was for nothing: by timestamps (Eifel, RFC 3522, RFC 4015), by
//! DSACK (RFC 3708), by F-RTO (RFC 5682).

use super::Ack;
use crate::congestion::Window;
use crate::flight::{Flight, Frto, Phase};
use crate::record::Connection;

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
}

impl Undo {
    pub(crate) fn new(window: &Window, clock: u32) -> Self {
        Self {
            window: *window,
            clock,
            resends: 0,
            resent: false,
        }
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
    let forward = follow_frto(flight, ack);
    if all_needless || original || forward {
        take_back(conn, flight);
    }
}

/// F-RTO, with or without SACK: after a timeout, two new segments instead of old ones; if SND.UNA
/// then moves over data that was not sent again, the timeout was spurious.
//= rfc5682 2.1
fn follow_frto(flight: &mut Flight, ack: &Ack<'_>) -> bool {
    match flight.frto {
        Frto::Off => false,
        Frto::Asked => {
            let partial = ack.advances && ack.seg.ack.before(flight.recover);
            flight.frto = if partial { Frto::Probing } else { Frto::Off };
            false
        }
        Frto::Probing => {
            flight.frto = Frto::Off;
            ack.advances && ack.delivered.original
        }
    }
}

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
    conn.tx.backoff = 0;
}
