//! NewReno (RFC 6582), for peers without SACK: duplicate ACKs are all there is to go by.

use super::Ack;
use crate::flight::{Flight, Phase};
use crate::record::Connection;

/// Duplicate ACKs that mean a loss (RFC 5681 §3.2).
const DUPLICATE_THRESHOLD: u8 = 3;

/// Each duplicate ACK says that one segment has left the network, not which.
//= rfc5681 3.2 S3.2-4
//= rfc6937 3 S3-3
pub(super) fn guess(conn: &mut Connection, flight: &mut Flight, ack: &mut Ack<'_>) {
    let mss = u32::from(conn.tx.mss);
    if ack.advances {
        // One segment filled the hole, the others had been guessed before.
        let guessed = ack.delivered.octets.saturating_sub(mss).min(flight.guessed);
        let still = if flight.phase == Phase::Recovery {
            flight.guessed - guessed
        } else {
            0
        };
        ack.delivered.octets -= guessed.min(ack.delivered.octets);
        flight.guessed = still;
        conn.tx.duplicates = 0;
    } else if ack.duplicate && conn.in_flight() > 0 {
        conn.tx.duplicates = conn.tx.duplicates.saturating_add(1);
        if flight.phase != Phase::Loss && flight.guessed + mss < conn.in_flight() {
            flight.guessed += mss;
            ack.delivered.octets += mss;
        }
    }
}

/// The third duplicate, or an acknowledgment that stops within what was in flight at the start of
/// recovery: the oldest segment is lost. Returns its octets.
//= rfc6582 3.2 S3.2-4
//= rfc5681 3.2 S3.2-3
pub(super) fn detect(conn: &mut Connection, flight: &mut Flight, ack: &Ack<'_>) -> u32 {
    // Duplicates of what a timeout sent again for nothing are no sign of a loss.
    //= rfc6582 3.2 S3.2-1
    let news = !flight.scarred || ack.seg.ack.after(flight.recover);
    let third = flight.phase == Phase::Open && conn.tx.duplicates >= DUPLICATE_THRESHOLD && news;
    let partial =
        flight.phase == Phase::Recovery && ack.advances && ack.seg.ack.before(flight.recover);
    if !third && !partial {
        return 0;
    }
    let mut first = true;
    flight.board.mark_lost(|_| core::mem::take(&mut first))
}
