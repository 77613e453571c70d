//! A segment arrives in SYN-SENT (RFC 9293 §3.10.7.3).

use super::sequence::Arrival;
use super::{Done, Step, ack, data, fin, refuse, urgent};
use crate::connection::{Agreed, Tcp};
use crate::effects::{CloseReason, DropReason, Effects};
use crate::listen::reset_for_ack;
use crate::record::{Connection, Marks};
use crate::segment::Segment;
use crate::state::State;
use crate::time::Instant;
use byway_wire::tcp::Flags;

//= rfc9293 3.10.7.3 S3.10.7.3-3 S3.10.7.3-4
pub(super) fn segment_arrives(
    conn: &mut Connection,
    seg: &Segment,
    now: Instant,
    tcp: &mut Tcp,
    fx: &mut Effects,
) -> Step {
    let acks_our_syn = check_ack(conn, seg, tcp, fx)?;
    check_reset(conn, seg, acks_our_syn, tcp, fx)?;
    if !seg.flags.contains(Flags::SYN) {
        return Err(refuse(DropReason::BadFlags, tcp, fx));
    }
    let mut agreed = Agreed::from_syn(seg, &tcp.config, conn.id.flow.remote.address.is_v4());
    agreed.ecn &= conn.asks_for_ecn(&tcp.config);
    conn.agree(&agreed, seg.seq, &tcp.config);
    conn.rx.heard_at_ms = now.as_millis_wrapped();
    if !acks_our_syn {
        // Both sides opened at once: answer the SYN, keep waiting for the ACK of ours.
        //= rfc9293 3.5 MUST-10
        conn.id.state = State::SynReceived;
        conn.id.marks.set(Marks::SYN_DUE, true);
        ack::set_window(conn, seg);
        return Ok(());
    }
    ack::measure_syn(conn, now, tcp);
    ack::open(conn, tcp, fx);
    ack::set_window(conn, seg);
    conn.rx.ack_now = true;
    urgent::check(conn, seg, tcp, fx);
    let room = conn.rx.rcv_adv.offset_from(conn.rx.rcv_nxt);
    let len = seg.payload_len.min(room);
    let arrival = Arrival {
        seq: conn.rx.rcv_nxt,
        len,
        fin: seg.flags.contains(Flags::FIN) && len == seg.payload_len && len < room,
        ..Arrival::default()
    };
    data::accept(conn, &arrival, now, tcp, fx)?;
    fin::check(conn, &arrival, now, tcp, fx)
}

/// First: an ACK must be of our SYN. Returns whether there was one.
//= rfc9293 3.10.7.3 S3.10.7.3-1
fn check_ack(
    conn: &Connection,
    seg: &Segment,
    tcp: &mut Tcp,
    fx: &mut Effects,
) -> Result<bool, Done> {
    if !seg.flags.contains(Flags::ACK) {
        return Ok(false);
    }
    if seg.ack.after(conn.tx.snd_una) && seg.ack.at_or_before(conn.tx.snd_nxt) {
        return Ok(true);
    }
    if !seg.flags.contains(Flags::RST) {
        fx.reply = Some(reset_for_ack(seg, tcp));
    }
    Err(refuse(DropReason::BadAck, tcp, fx))
}

/// Second: a reset counts only if it acknowledges our SYN; then nobody listens there.
//= rfc9293 3.10.7.3 S3.10.7.3-2
fn check_reset(
    conn: &mut Connection,
    seg: &Segment,
    acks_our_syn: bool,
    tcp: &mut Tcp,
    fx: &mut Effects,
) -> Step {
    if !seg.flags.contains(Flags::RST) {
        return Ok(());
    }
    if !acks_our_syn {
        return Err(refuse(DropReason::ResetOutOfWindow, tcp, fx));
    }
    tcp.counters.attempt_fails += 1;
    conn.finish(CloseReason::Refused, fx);
    Err(Done)
}
