//! Explicit congestion notification, both directions (RFC 3168).

use crate::connection::Tcp;
use crate::flight::Phase;
use crate::record::{Connection, Marks};
use crate::recovery;
use crate::segment::Segment;
use crate::time::Instant;
use byway_wire::tcp::Flags;

/// A segment in the window: remembers a mark of the network until the peer knows of it.
//= rfc3168 6.1.3 S6.1.3-1
//= rfc3168 6.1.5 S6.1.5-2
//= rfc9293 3.8.2 SHLD-8
pub(super) fn receive(conn: &mut Connection, seg: &Segment) {
    if !conn.id.marks.has(Marks::ECN) {
        return;
    }
    if seg.flags.contains(Flags::CWR) {
        conn.id.marks.set(Marks::ECHO, false);
    }
    if seg.congestion && !conn.id.marks.has(Marks::ECHO) {
        conn.id.marks.set(Marks::ECHO, true);
        conn.rx.ack_now = true;
    }
}

/// The peer echoes a mark: as if a segment was lost, once a round trip, and nothing is sent again.
//= rfc3168 6.1.2 S6.1.2-1 S6.1.2-2
pub(super) fn react(conn: &mut Connection, seg: &Segment, now: Instant, tcp: &mut Tcp) {
    let echo = seg.flags.contains(Flags::ECE) && !seg.flags.contains(Flags::SYN);
    if !echo || !conn.id.marks.has(Marks::ECN) {
        return;
    }
    let Some(flight) = tcp.flights.get_mut(conn.tx.flight) else {
        return;
    };
    let again = flight.reduced_at.is_some_and(|at| seg.ack.at_or_before(at));
    if flight.phase != Phase::Open || again {
        return;
    }
    let flying = conn.in_flight();
    recovery::reduce(conn, flight, flying, now);
    tcp.counters.ecn_reductions += 1;
}
