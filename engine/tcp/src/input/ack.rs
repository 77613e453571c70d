//! Fifth check: the ACK field.

use super::{Done, Step, refuse};
use crate::connection::Tcp;
use crate::effects::{DropReason, Effects};
use crate::listen::reset_for_ack;
use crate::record::{Connection, Marks};
use crate::recovery;
use crate::segment::Segment;
use crate::state::State;
use crate::time::{Duration, Instant};
use byway_wire::tcp::Flags;

//= rfc9293 3.10.7.4
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
    in_range(conn, seg, tcp, fx)?;
    if seg.ack.after(conn.tx.snd_una) {
        acknowledge(conn, seg, now, tcp, fx);
    } else {
        recovery::on_duplicate(conn, seg, tcp);
    }
    update_window(conn, seg, now, tcp);
    change_state(conn, now, tcp, fx)
}

/// SYN-RECEIVED: an ACK of our SYN establishes the connection, any other is reset.
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
    if conn.id.marks.has(Marks::ACTIVE) {
        // Simultaneous open: our SYN was sent by this record.
        take_sample(conn, seg, now, tcp);
    }
    open(conn, tcp, fx);
    set_window(conn, seg);
    Ok(())
}

/// Our SYN is acknowledged: the connection is open.
//= rfc5681 3.1 S3.1-3 S3.1-4
pub(super) fn open(conn: &mut Connection, tcp: &mut Tcp, fx: &mut Effects) {
    conn.tx.snd_una += 1;
    conn.tx.rto_deadline = Instant::NEVER;
    tcp.flights
        .give(core::mem::replace(&mut conn.tx.flight, crate::pool::NONE));
    if conn.tx.backoff > 0 {
        // A lost SYN speaks of congestion: start with one segment (RFC 5681 §3.1).
        conn.tx.cwnd = u32::from(conn.tx.mss);
        conn.tx.backoff = 0;
    }
    conn.id.state = State::Established;
    if conn.id.marks.has(Marks::FIN_WANTED) {
        conn.id.state = State::FinWait1;
    }
    fx.events.opened = true;
}

/// RFC 5961 §5.2: `SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT`, else a challenge ACK.
//= rfc5961 5.2 S5.2-1
//= rfc9293 3.10.7.4 MAY-12
fn in_range(conn: &mut Connection, seg: &Segment, tcp: &mut Tcp, fx: &mut Effects) -> Step {
    let too_new = seg.ack.after(conn.tx.snd_nxt);
    let too_old = seg.ack.before(conn.tx.snd_una - conn.tx.max_wnd);
    if too_new || too_old {
        conn.rx.ack_now = true;
        tcp.counters.challenge_acks += 1;
        return Err(refuse(DropReason::BadAck, tcp, fx));
    }
    Ok(())
}

/// Something new is acknowledged.
//= rfc6298 5 S5-3 S5-4
//= rfc6582 3.2 S3.2-6
//= rfc2018 8 S8-1
fn acknowledge(
    conn: &mut Connection,
    seg: &Segment,
    now: Instant,
    tcp: &mut Tcp,
    fx: &mut Effects,
) {
    let sampled = take_sample(conn, seg, now, tcp);
    let newly = seg.ack.offset_from(conn.tx.snd_una);
    recovery::on_acknowledged(conn, seg.ack, newly, tcp);
    let fin = conn.fin_sent() && seg.ack == conn.tx.snd_nxt;
    fx.acked = newly - u32::from(fin);
    conn.tx.snd_una = seg.ack;
    conn.tx.duplicates = 0;
    if sampled {
        // Karn: the back-off lasts until a segment that was not sent twice is acknowledged.
        conn.tx.backoff = 0;
    }
    if conn.in_flight() == 0 {
        conn.tx.rto_deadline = Instant::NEVER;
        tcp.flights
            .give(core::mem::replace(&mut conn.tx.flight, crate::pool::NONE));
    } else {
        conn.tx.rto_deadline = now + conn.rto(&tcp.config);
    }
}

/// Measures a round trip: from the one segment that is timed, or, where that was sent twice, from
/// the timestamp that came back (RFC 7323 §4.1), which tells the copies apart.
//= rfc9293 3.8.1 MUST-18
//= rfc6298 3 S3-1 S3-2
//= rfc7323 4.1 S4.1-1
pub(super) fn take_sample(
    conn: &mut Connection,
    seg: &Segment,
    now: Instant,
    tcp: &mut Tcp,
) -> bool {
    let our_clock = tcp.timestamp(now);
    let Some(flight) = tcp.flights.get_mut(conn.tx.flight) else {
        return false;
    };
    if let Some((end, sent)) = flight.timed {
        if seg.ack.before(end) {
            // The timed segment is still out: one measurement a round trip is enough.
            return false;
        }
        flight.timed = None;
        conn.tx.rtt.sample(now.since(sent));
        return true;
    }
    let echo = seg.options.timestamps.map_or(0, |t| t.echo);
    if !conn.id.marks.has(Marks::TIMESTAMPS) || echo == 0 {
        return false;
    }
    // The clock ticks in milliseconds: less than one tick is taken as one.
    let elapsed = Duration::from_millis(u64::from(our_clock.wrapping_sub(echo).max(1)));
    // An echo from the future, or from beyond any timeout, is no measurement.
    if elapsed > tcp.config.rto_max {
        return false;
    }
    conn.tx.rtt.sample(elapsed);
    true
}

/// SND.WND follows the newest segment (RFC 9293 §3.10.7.4, `SND.WL1`, `SND.WL2`).
fn update_window(conn: &mut Connection, seg: &Segment, now: Instant, tcp: &Tcp) {
    let tx = &conn.tx;
    let newer =
        tx.snd_wl1.before(seg.seq) || (tx.snd_wl1 == seg.seq && tx.snd_wl2.at_or_before(seg.ack));
    if !newer {
        return;
    }
    let closed = tx.snd_wnd == 0;
    set_window(conn, seg);
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
    conn.tx.snd_wl2 = seg.ack;
}

/// What an acknowledged FIN means depends on who closed first.
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
