//! The one timer of the sender, and what happens when it fires with data in flight.

use super::{Undo, enter, note_reduction, rack, tail, used_window};
use crate::connection::Tcp;
use crate::flight::{Flight, Frto, Phase, Timer};
use crate::record::{Connection, Marks};
use crate::time::Instant;

/// Arms the timer anew: the tail probe where that comes first, else the RTO. A reordering timer
/// that is running stays.
//= rfc6298 5 S5-1 S5-7
//= rfc8985 7.2 S7.2-2
//= rfc8985 8 S8-1
pub(crate) fn arm_timer(conn: &mut Connection, now: Instant, tcp: &mut Tcp) {
    let rto = conn.tx.rtt.timeout_nanos(&tcp.config, conn.tx.backoff);
    let Some(flight) = tcp.flights.get_mut(conn.tx.flight) else {
        return;
    };
    if flight.timer == Timer::Reordering && conn.tx.rto_deadline.is_armed() {
        return;
    }
    // A probe is never later than the RTO would be: it goes first, and the RTO after it.
    let probe = tail::timeout(conn, flight);
    flight.timer = if probe.is_some() {
        Timer::TailProbe
    } else {
        Timer::Retransmission
    };
    conn.tx.rto_deadline = now.plus_nanos(probe.map_or(rto, |probe| probe.min(rto)));
}

/// The peer had closed its window over what is in flight, and dropped it: now that there is room the
/// oldest segment leaves at once, not when a timeout that was doubled many times is over.
//= rfc9293 3.8.6 SHLD-17
pub(crate) fn on_window_opened(conn: &mut Connection, now: Instant, tcp: &mut Tcp) {
    let Some(flight) = tcp.flights.get_mut(conn.tx.flight) else {
        return;
    };
    let first = flight.board.first();
    flight.board.mark_lost(|sent| Some(sent.start) == first);
    conn.tx.backoff = 0;
    conn.tx.window.cwnd = conn
        .tx
        .window
        .cwnd
        .max(flight.pipe() + u32::from(conn.tx.mss));
    arm_timer(conn, now, tcp);
}

/// The timer fired with data in flight. True when it was a retransmission timeout.
pub(crate) fn on_timeout(conn: &mut Connection, now: Instant, tcp: &mut Tcp) -> bool {
    let clock = tcp.timestamp(now);
    let Some(flight) = tcp.flights.get_mut(conn.tx.flight) else {
        return true;
    };
    match core::mem::take(&mut flight.timer) {
        Timer::Reordering => {
            rack::on_reordering_timeout(conn, flight, now);
            if flight.phase == Phase::Open && flight.board.lost() > 0 {
                enter(conn, flight, now, clock, 0);
                // No acknowledgment is at hand that would let the first retransmission out.
                conn.tx.window.cwnd = flight.pipe() + u32::from(conn.tx.mss);
                tcp.counters.fast_retrans += 1;
            }
            arm_timer(conn, now, tcp);
            false
        }
        Timer::TailProbe => {
            flight.probe_due = true;
            tcp.counters.loss_probes += 1;
            conn.tx.rto_deadline = now + conn.rto(&tcp.config);
            false
        }
        Timer::Retransmission => {
            collapse(conn, flight, now, clock);
            tcp.counters.timeouts += 1;
            if let Some(cold) = tcp.cold.get_mut(conn.tx.cold) {
                cold.timeouts += 1;
            }
            true
        }
    }
}

/// What the peer should have acknowledged is lost; one segment at a time until it answers.
//= rfc5681 3.1 S3.1-9 S3.1-10 S3.1-11
//= rfc6298 5 S5-5
//= rfc6582 4 S4-1
//= rfc2018 5 S5-3
//= rfc6675 5.1 S5.1-1 S5.1-2
//= rfc5682 2.1 S2.1-1
fn collapse(conn: &mut Connection, flight: &mut Flight, now: Instant, clock: u32) {
    let mss = u32::from(conn.tx.mss);
    if flight.phase != Phase::Loss {
        // When the same data times out again, ssthresh is held (RFC 5681 §3.1).
        if flight.phase == Phase::Open {
            flight.undo = Some(Undo::new(&conn.tx.window, clock));
            flight.frto = Frto::Asked;
        }
        let used = used_window(conn);
        conn.tx.window.ssthresh = flight.algorithm.as_mut().on_timeout(now, mss, &used);
    } else {
        flight.frto = Frto::Off;
    }
    if flight.board.reneged() {
        flight.board.forget_sacks();
    }
    note_reduction(conn, flight);
    if conn.id.marks.has(Marks::SACK) {
        rack::on_retransmission_timeout(conn, flight, now);
    } else {
        flight.board.mark_lost(|_| true);
    }
    flight.phase = Phase::Loss;
    flight.scarred = true;
    flight.recover = conn.tx.snd_nxt;
    flight.probe = None;
    flight.probe_due = false;
    flight.guessed = 0;
    // One segment: what is still on its way does not count against it.
    conn.tx.window.cwnd = flight.pipe() + mss;
    conn.tx.duplicates = 0;
}
