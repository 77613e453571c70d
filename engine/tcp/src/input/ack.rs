//! Fifth check: the ACK field.

use super::{Done, Step, ecn, refuse};
use crate::connection::Tcp;
use crate::effects::{DropReason, Effects};
use crate::listen::reset_for_ack;
use crate::pool::NONE;
use crate::record::{Connection, Marks};
use crate::recovery;
use crate::segment::Segment;
use crate::state::State;
use crate::time::Instant;
use byway_wire::SeqNumber;
use byway_wire::tcp::Flags;

//= rfc9293 3.10.7.4 S3.10.7.4-5 S3.10.7.4-7
pub(super) fn check(
    conn: &mut Connection,
    seg: &Segment,
    now: Instant,
    tcp: &mut Tcp,
    fx: &mut Effects,
) -> Step {
    if !seg.flags.contains(Flags::ACK) {
        //= rfc7323 3.2 S3.2-7
        return Err(refuse(DropReason::NoAck, tcp, fx));
    }
    if conn.id.state == State::SynReceived {
        establish(conn, seg, now, tcp, fx)?;
    }
    in_range(conn, seg, now, tcp, fx)?;
    if conn.in_flight() > 0 {
        recovery::on_ack(conn, seg, now, tcp);
        ecn::react(conn, seg, now, tcp);
    } else if conn.tx.flight != NONE {
        recovery::on_late_report(conn, seg, now, tcp);
        release_flight(conn, tcp);
    }
    let advances = seg.ack.after(conn.tx.snd_una);
    if advances {
        fx.acked = acknowledge(conn, seg.ack, now, tcp);
    }
    update_window(conn, seg, advances, now, tcp);
    note_answer(conn, tcp);
    change_state(conn, now, tcp, fx)
}

/// SYN-RECEIVED: an ACK of our SYN establishes the connection, any other is reset.
//= rfc9293 3.10.7.4 S3.10.7.4-6
fn establish(
    conn: &mut Connection,
    seg: &Segment,
    now: Instant,
    tcp: &mut Tcp,
    fx: &mut Effects,
) -> Step {
    let ours = seg.ack.after(conn.tx.snd_una) && seg.ack.at_or_before(conn.tx.snd_nxt);
    if !ours {
        fx.reply = Some(reset_for_ack(seg, tcp));
        return Err(refuse(DropReason::BadAck, tcp, fx));
    }
    measure_syn(conn, now, tcp);
    open(conn, tcp, fx);
    set_window(conn, seg);
    Ok(())
}

/// Our SYN is acknowledged: the connection is open.
//= rfc5681 3.1 S3.1-3 S3.1-4
pub(super) fn open(conn: &mut Connection, tcp: &mut Tcp, fx: &mut Effects) {
    conn.tx.snd_una += 1;
    conn.open_cold(tcp);
    conn.tx.rto_deadline = Instant::NEVER;
    tcp.flights
        .give(core::mem::replace(&mut conn.tx.flight, NONE));
    if conn.tx.backoff > 0 {
        //= rfc6928 2 S2-2
        // A lost SYN speaks of congestion: start with one segment (RFC 5681 §3.1).
        conn.tx.window.cwnd = u32::from(conn.tx.mss);
        conn.tx.backoff = 0;
        conn.tx.rtt.restart();
    }
    conn.id.state = State::Established;
    if conn.id.marks.has(Marks::FIN_WANTED) {
        conn.id.state = State::FinWait1;
    }
    fx.events.opened = true;
}

/// RFC 5961 §5.2: `SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT`, else a challenge ACK.
//= rfc5961 5.2 S5.2-1
//= rfc9293 3.10.7.4 MAY-12 S3.10.7.4-7
fn in_range(
    conn: &mut Connection,
    seg: &Segment,
    now: Instant,
    tcp: &mut Tcp,
    fx: &mut Effects,
) -> Step {
    let too_new = seg.ack.after(conn.tx.snd_nxt);
    let too_old = seg.ack.before(conn.tx.snd_una - conn.tx.max_wnd);
    if too_new || too_old {
        conn.rx.ack_now |= tcp.may_challenge(now);
        return Err(refuse(DropReason::BadAck, tcp, fx));
    }
    Ok(())
}

/// Something new is acknowledged: how much of it was data.
//= rfc6298 5 S5-3 S5-4
//= rfc6582 3.2 S3.2-6
//= rfc2018 8 S8-1
//= rfc9293 3.10.7.4 S3.10.7.4-7
pub(super) fn acknowledge(
    conn: &mut Connection,
    ack: SeqNumber,
    now: Instant,
    tcp: &mut Tcp,
) -> u32 {
    let newly = ack.offset_from(conn.tx.snd_una);
    let fin = conn.fin_sent() && ack == conn.tx.snd_nxt;
    if ack.get() < conn.tx.snd_una.get() {
        conn.count_snd_wrap(tcp);
    }
    conn.tx.snd_una = ack;
    if conn.in_flight() == 0 {
        conn.tx.duplicates = 0;
        conn.tx.rto_deadline = Instant::NEVER;
        release_flight(conn, tcp);
        if let Some(flight) = tcp.flights.get_mut(conn.tx.flight)
            && !flight.is_scarred()
        {
            flight.rest(now);
        }
    } else {
        if let Some(flight) = tcp.flights.get_mut(conn.tx.flight) {
            flight.progress = Some(now);
        }
        recovery::arm_timer(conn, now, tcp);
    }
    newly - u32::from(fin)
}

/// Nothing is in flight: the record goes back, unless more is to be sent at once, whose pace and
/// slow start go on where they are, or a loss left something to remember in it (where it was, and the
/// window before it).
//= none: which records a connection holds is our own affair
fn release_flight(conn: &mut Connection, tcp: &mut Tcp) {
    let Some(flight) = tcp.flights.get(conn.tx.flight) else {
        return;
    };
    if let Some(rate) = flight.delivery.rate()
        && let Some(cold) = tcp.cold.get_mut(conn.tx.cold)
    {
        cold.delivery_rate = rate;
    }
    if !flight.is_scarred() && conn.unsent() == 0 {
        tcp.flights
            .give(core::mem::replace(&mut conn.tx.flight, NONE));
    }
}

/// Measures the round trip of our SYN, if it was sent once (Karn).
//= rfc6298 3 S3-1
pub(super) fn measure_syn(conn: &mut Connection, now: Instant, tcp: &Tcp) {
    let sent = tcp
        .flights
        .get(conn.tx.flight)
        .and_then(|flight| flight.syn_sent);
    if let Some(sent) = sent {
        conn.tx.rtt.sample(now.since(sent));
    }
}

/// SND.WND follows the newest segment (RFC 9293 §3.10.7.4, `SND.WL1`; what `SND.WL2` would tell,
/// the comparison with SND.UNA does). One that moves SND.UNA is new whatever its sequence number:
/// data that is sent again has an old one, and with the window that counted from the old SND.UNA we
/// would send beyond the peer's.
//= rfc9293 3.10.7.4 S3.10.7.4-8
//= rfc9293 3.8.6.1 MUST-37
fn update_window(
    conn: &mut Connection,
    seg: &Segment,
    advances: bool,
    now: Instant,
    tcp: &mut Tcp,
) {
    let tx = &conn.tx;
    let newer = advances || tx.snd_wl1.at_or_before(seg.seq);
    // The window of an old ACK counts from there, not from SND.UNA.
    if !newer || seg.ack.before(tx.snd_una) {
        return;
    }
    let closed = tx.snd_wnd == 0;
    set_window(conn, seg);
    if closed && conn.tx.snd_wnd > 0 && conn.tx.backoff > 0 {
        recovery::on_window_opened(conn, now, tcp);
    }
    if conn.in_flight() == 0 {
        // Any answer to a window probe shows that the peer lives.
        conn.tx.duplicates = 0;
        if closed && conn.tx.snd_wnd > 0 {
            conn.tx.backoff = 0;
            conn.tx.rto_deadline = Instant::NEVER;
        } else if conn.tx.rto_deadline.is_armed() {
            conn.tx.rto_deadline = now + conn.rto(&tcp.config);
        }
    }
}

/// A peer that keeps its window closed but answers is not given up, also when data that it no
/// longer has room for is in flight.
//= rfc9293 3.8.6 MUST-35 SHLD-17
fn note_answer(conn: &Connection, tcp: &mut Tcp) {
    if conn.tx.snd_wnd == 0
        && conn.tx.backoff > 0
        && let Some(flight) = tcp.flights.get_mut(conn.tx.flight)
    {
        flight.answered = true;
    }
}

/// Takes the window of a segment. That of a SYN is never scaled (RFC 7323 §2.2).
//= rfc7323 2.2 S2.2-3
pub(super) fn set_window(conn: &mut Connection, seg: &Segment) {
    conn.tx.snd_wnd = if seg.flags.contains(Flags::SYN) {
        u32::from(seg.window.0)
    } else {
        conn.rx.snd_scale.widen(seg.window)
    };
    conn.tx.max_wnd = conn.tx.max_wnd.max(conn.tx.snd_wnd);
    conn.tx.snd_wl1 = seg.seq;
}

/// What an acknowledged FIN means depends on who closed first.
//= rfc9293 3.10.7.4 S3.10.7.4-9
fn change_state(conn: &mut Connection, now: Instant, tcp: &mut Tcp, fx: &mut Effects) -> Step {
    let fin_acknowledged = conn.fin_sent() && conn.in_flight() == 0;
    if !fin_acknowledged {
        return Ok(());
    }
    match conn.id.state {
        State::FinWait1 => {
            conn.id.state = State::FinWait2;
            if conn.id.marks.has(Marks::DEAF) {
                conn.rx.life_deadline = now + tcp.config.fin_wait_2;
            }
            Ok(())
        }
        State::Closing => {
            if conn.rx.ack_now {
                // The record is gone before the next chance to transmit: acknowledge here.
                fx.reply = Some(conn.ack_plan(now, tcp));
                tcp.counters.out_segs += 1;
            }
            tcp.counters.time_waits += 1;
            conn.conclude(State::TimeWait, fx);
            Err(Done)
        }
        State::LastAck => {
            conn.conclude(State::Closed, fx);
            Err(Done)
        }
        _ => Ok(()),
    }
}
