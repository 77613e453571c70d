//! Header prediction: what an established connection nearly always gets takes a short way.
//!
//! It is an optimisation only. It says yes only where the steps of RFC 9293 §3.10.7.4 would do the
//! same, field for field; `tests/prediction.rs` and the simulator compare both.

use super::{ack, data};
use crate::connection::Tcp;
use crate::pool::NONE;
use crate::record::{Connection, Marks};
use crate::recovery;
use crate::segment::Plain;
use crate::state::State;
use crate::time::Instant;

/// Takes a segment that is the next in order, brings nothing unusual, and acknowledges what was
/// sent, new or not: the octets of ours that it acknowledged; its payload is in order. `None`, and
/// nothing changed, when it has to go the long way.
// The steps that it takes together: sequence number and timestamp, ACK and window, text.
//= rfc9293 3.10.7.4 S3.10.7.4-1 S3.10.7.4-7 S3.10.7.4-8 S3.10.7.4-10
//= rfc7323 5.3 S5.3-1 S5.3-3
//= rfc7323 3.2 S3.2-4
#[inline]
pub(super) fn take(conn: &mut Connection, seg: &Plain, now: Instant, tcp: &mut Tcp) -> Option<u32> {
    if !is_next(conn, seg) || !is_settled(conn, seg) {
        return None;
    }
    if conn.id.marks.has(Marks::TIMESTAMPS) {
        //= rfc7323 4.3 S4.3-1
        let timestamps = seg.timestamps?;
        if (timestamps.value.wrapping_sub(conn.rx.ts_recent) as i32) < 0 {
            return None;
        }
        if seg.seq.at_or_before(conn.rx.last_ack_sent) {
            conn.rx.ts_recent = timestamps.value;
        }
    }
    conn.rx.heard_at_ms = now.as_millis_wrapped();
    let advances = seg.ack != conn.tx.snd_una;
    let mut acked = 0;
    if advances {
        if !recovery::on_ack_of_all(conn, seg.ack, now, tcp) {
            recovery::on_ack(conn, &seg.into(), now, tcp);
        }
        acked = ack::acknowledge(conn, seg.ack, now, tcp);
    }
    if advances || conn.tx.snd_wl1.at_or_before(seg.seq) {
        conn.tx.snd_wl1 = seg.seq;
    }
    if conn.in_flight() == 0 {
        conn.tx.duplicates = 0;
    }
    if seg.payload_len > 0 {
        let before = conn.rx.rcv_nxt;
        conn.rx.rcv_nxt += seg.payload_len;
        data::take_in(conn, before, seg.payload_len, now, tcp);
    }
    Some(acked)
}

/// It begins where the last one ended, fits the window, and acknowledges something in flight, or
/// nothing new with data. What acknowledges nothing new without data may be a duplicate.
//= rfc9293 3.10.7.4 S3.10.7.4-1 S3.10.7.4-7
#[inline]
fn is_next(conn: &Connection, seg: &Plain) -> bool {
    let room = conn.rx.rcv_adv.offset_from(conn.rx.rcv_nxt);
    let acked = seg.ack.offset_from(conn.tx.snd_una);
    seg.seq == conn.rx.rcv_nxt
        && seg.payload_len <= room
        && acked <= conn.in_flight()
        && (acked > 0 || seg.payload_len > 0)
}

/// The connection is in its long middle: open both ways, the window as it was and not closed,
/// nothing out of order, no congestion to echo, no probe to be answered.
#[inline]
fn is_settled(conn: &Connection, seg: &Plain) -> bool {
    let flying = conn.in_flight() > 0;
    conn.id.state == State::Established
        && !conn.id.marks.has(Marks::DEAF | Marks::ECN)
        && conn.rx.reassembly == NONE
        && conn.tx.snd_wnd > 0
        && conn.rx.snd_scale.widen(seg.window) == conn.tx.snd_wnd
        && (flying || (conn.tx.flight == NONE && !conn.tx.rto_deadline.is_armed()))
}
