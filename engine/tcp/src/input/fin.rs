//! Eighth: the FIN bit.

use super::Step;
use super::sequence::Arrival;
use crate::connection::Tcp;
use crate::effects::Effects;
use crate::record::Connection;
use crate::state::State;
use crate::time::Instant;

//= rfc9293 3.10.7.4 S3.10.7.4-11
pub(super) fn check(
    conn: &mut Connection,
    arrival: &Arrival,
    now: Instant,
    tcp: &mut Tcp,
    fx: &mut Effects,
) -> Step {
    if !conn.id.state.may_receive() {
        return Ok(());
    }
    let at = arrival.seq + arrival.len;
    if arrival.fin && at.after(conn.rx.rcv_nxt) {
        remember(conn, at, tcp);
    }
    let in_order = arrival.fin && at == conn.rx.rcv_nxt;
    if in_order || was_remembered(conn, tcp) {
        take(conn, now, tcp, fx);
    }
    Ok(())
}

/// A FIN ahead of missing data waits with that data.
//= rfc9293 3.10.7.4 SHLD-31 S3.10.7.4-11
fn remember(conn: &mut Connection, at: byway_wire::SeqNumber, tcp: &mut Tcp) {
    if let Some(held) = conn.reassembly_mut(tcp) {
        held.insert_fin(at);
    }
    conn.rx.ack_now = true;
}

fn was_remembered(conn: &Connection, tcp: &Tcp) -> bool {
    tcp.reassembly
        .get(conn.rx.reassembly)
        .is_some_and(|held| held.fin_is_at(conn.rx.rcv_nxt))
}

/// "Advance RCV.NXT over the FIN, and send an acknowledgment for the FIN."
//= rfc9293 3.10.7.4 S3.10.7.4-11
//= rfc9293 3.6 MUST-12
fn take(conn: &mut Connection, now: Instant, tcp: &mut Tcp, fx: &mut Effects) {
    if let Some(held) = tcp.reassembly.get_mut(conn.rx.reassembly) {
        held.forget_fin();
    }
    conn.release_reassembly_if_empty(tcp);
    conn.rx.rcv_nxt += 1;
    if conn.rx.rcv_nxt.get() == 0 {
        conn.count_rcv_wrap(tcp);
    }
    conn.rx.rcv_adv = conn.rx.rcv_adv.max(conn.rx.rcv_nxt);
    conn.rx.ack_now = true;
    fx.events.peer_closed = true;
    match conn.id.state {
        State::Established => conn.id.state = State::CloseWait,
        State::FinWait1 => conn.id.state = State::Closing,
        _ => {
            // The record may be gone before the next chance to transmit: acknowledge here.
            fx.reply = Some(conn.ack_plan(now, tcp));
            tcp.counters.out_segs += 1;
            tcp.counters.time_waits += 1;
            conn.conclude(State::TimeWait, fx);
        }
    }
}
