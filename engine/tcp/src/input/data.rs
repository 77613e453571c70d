//! Seventh: the segment text.

use super::{Done, Step, refuse};
use crate::connection::Tcp;
use crate::effects::{CloseReason, DropReason, Effects, Piece, Store};
use crate::pool::NONE;
use crate::record::{Connection, Marks};
use crate::segment::Plan;
use crate::time::Instant;
use byway_wire::SeqNumber;

use super::sequence::Arrival;

//= rfc9293 3.10.7.4 S3.10.7.4-10
pub(super) fn accept(
    conn: &mut Connection,
    arrival: &Arrival,
    now: Instant,
    tcp: &mut Tcp,
    fx: &mut Effects,
) -> Step {
    if arrival.len == 0 {
        if arrival.had_data {
            // All of it was here already, or the window was closed: say again what we expect.
            conn.rx.ack_now = true;
            tcp.counters.duplicates += 1;
        }
        return Ok(());
    }
    if !conn.id.state.may_receive() {
        return Ok(());
    }
    if conn.id.marks.has(Marks::DEAF) {
        return Err(refuse_after_close(conn, now, tcp, fx));
    }
    if arrival.seq == conn.rx.rcv_nxt {
        in_order(conn, arrival, now, tcp, fx);
        Ok(())
    } else {
        out_of_order(conn, arrival, tcp, fx)
    }
}

/// The application closed both directions: the peer has to learn that this data is lost.
//= rfc9293 3.6.1 SHLD-3 MAY-1
fn refuse_after_close(
    conn: &mut Connection,
    now: Instant,
    tcp: &mut Tcp,
    fx: &mut Effects,
) -> Done {
    tcp.counters.aborted_on_data += 1;
    // What the segment acknowledges is what the peer takes for our next: a FIN of ours may be lost.
    let seq = conn.tx.snd_una;
    fx.reply = conn.abort(now, tcp).map(|plan| Plan { seq, ..plan });
    conn.finish(CloseReason::Aborted, fx);
    refuse(DropReason::AfterClose, tcp, fx)
}

//= rfc9293 3.10.7.4 S3.10.7.4-10
pub(super) fn in_order(
    conn: &mut Connection,
    arrival: &Arrival,
    now: Instant,
    tcp: &mut Tcp,
    fx: &mut Effects,
) {
    fx.deliver = Piece {
        skip: arrival.skip,
        len: arrival.len,
    };
    let before = conn.rx.rcv_nxt;
    conn.rx.rcv_nxt += arrival.len;
    if conn.rx.reassembly != NONE {
        fill_gap(conn, tcp, fx);
    }
    take_in(conn, before, arrival.len + fx.ready, now, tcp);
}

/// RCV.NXT moved from `before` over as many octets, which are the application's to read now.
//= rfc9293 3.10.7.4 S3.10.7.4-10
#[inline]
pub(super) fn take_in(
    conn: &mut Connection,
    before: SeqNumber,
    octets: u32,
    now: Instant,
    tcp: &mut Tcp,
) {
    if conn.rx.rcv_nxt.get() < before.get() {
        conn.count_rcv_wrap(tcp);
    }
    conn.rx.unread += octets;
    schedule_ack(conn, octets, now, tcp);
}

/// What waited behind the gap follows now; its sender must learn that soon (RFC 5681 §4.2).
//= rfc5681 3.2 S3.2-2
fn fill_gap(conn: &mut Connection, tcp: &mut Tcp, fx: &mut Effects) {
    conn.rx.ack_now = true;
    let quick = tcp.config.quick_acks;
    let Some(held) = tcp.reassembly.get_mut(conn.rx.reassembly) else {
        return;
    };
    // Its window is small now: every acknowledgment that waits for company holds it back.
    if held.has_ranges() {
        conn.rx.quick_acks = conn.rx.quick_acks.max(quick);
    }
    fx.ready = held.advance(conn.rx.rcv_nxt);
    conn.rx.rcv_nxt += fx.ready;
    conn.release_reassembly_if_empty(tcp);
}

/// An ACK for at least every second full-sized segment, and none later than the delay.
//= rfc9293 3.8.6.3 MUST-40
//= rfc9293 3.8.6.3 SHLD-19
//= rfc9293 3.8.6.3 SHLD-18
//= rfc5681 4.2 S4.2-1 S4.2-2 S4.2-3
fn schedule_ack(conn: &mut Connection, taken: u32, now: Instant, tcp: &Tcp) {
    conn.rx.unacked += taken;
    let full = u32::from(conn.rx.rcv_mss.min(conn.tx.mss));
    let enough = conn.rx.unacked > full || tcp.config.delayed_ack.is_zero();
    if conn.rx.quick_acks > 0 {
        conn.rx.quick_acks -= 1;
        conn.rx.ack_now = true;
    } else if enough {
        conn.rx.ack_now = true;
    } else if !conn.rx.ack_deadline.is_armed() {
        conn.rx.ack_deadline = now + tcp.config.delayed_ack;
    }
}

/// "Segments with higher beginning sequence numbers SHOULD be held for later processing", and each
/// is answered at once with a duplicate ACK (RFC 5681 §4.2).
//= rfc9293 3.10.7.4 SHLD-31
//= rfc9293 3.10.7.4 MAY-13
//= rfc5681 3.2 S3.2-1
//= rfc2018 4 S4-3
fn out_of_order(conn: &mut Connection, arrival: &Arrival, tcp: &mut Tcp, fx: &mut Effects) -> Step {
    conn.rx.duplicate_acks = conn.rx.duplicate_acks.saturating_add(1);
    let limit = tcp.config.reassembly_ranges;
    let Some(held) = conn.reassembly_mut(tcp) else {
        return Err(refuse(DropReason::ReassemblyFull, tcp, fx));
    };
    //= rfc2883 4 S4-1 S4-2
    if held.repeats(arrival.seq, arrival.len) {
        held.note_repeated(arrival.seq, arrival.len);
        tcp.counters.duplicates += 1;
        return Ok(());
    }
    //= rfc2883 4 S4-3
    let twice = held.part_held(arrival.seq, arrival.len);
    if !held.insert(arrival.seq, arrival.len, limit) {
        return Err(refuse(DropReason::ReassemblyFull, tcp, fx));
    }
    if let Some((start, len)) = twice {
        held.note_repeated(start, len);
    }
    tcp.counters.ofo_queued += 1;
    fx.store = Store {
        piece: Piece {
            skip: arrival.skip,
            len: arrival.len,
        },
        at: arrival.seq.offset_from(conn.rx.rcv_nxt),
    };
    Ok(())
}
