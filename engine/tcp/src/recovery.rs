//! Congestion control and loss recovery: RFC 5681 with the NewReno of RFC 6582.

use crate::connection::Tcp;
use crate::flight::{Flight, Phase};
use crate::record::Connection;
use crate::segment::Segment;
use byway_wire::SeqNumber;
use byway_wire::tcp::Flags;

/// Duplicate ACKs that mean a loss (RFC 5681 §3.2).
const DUPLICATE_THRESHOLD: u8 = 3;

/// `ack` newly acknowledges `newly` octets; SND.UNA has not moved yet.
pub(crate) fn on_acknowledged(conn: &mut Connection, ack: SeqNumber, newly: u32, tcp: &mut Tcp) {
    let in_flight = conn.in_flight();
    let Some(flight) = tcp.flights.get_mut(conn.tx.flight) else {
        return;
    };
    match flight.phase {
        Phase::Open => grow(conn, flight, newly, in_flight),
        Phase::Recovery if ack.at_or_after(flight.recover) => {
            //= rfc5681 3.2 S3.2-11
            //= rfc6582 3.2 S3.2-3 S3.2-7
            // Full acknowledgment (RFC 6582 §3.2 step 3, first option): deflate, without a burst.
            let mss = u32::from(conn.tx.mss);
            conn.tx.cwnd = conn.tx.ssthresh.min((in_flight - newly).max(mss) + mss);
            flight.phase = Phase::Open;
        }
        Phase::Recovery => {
            //= rfc6582 3.2 S3.2-4 S3.2-5
            //= rfc5681 4.3 S4.3-1
            // Partial acknowledgment: the next hole starts right here.
            let mss = u32::from(conn.tx.mss);
            let deflated = conn.tx.cwnd.saturating_sub(newly);
            conn.tx.cwnd = (deflated + if newly >= mss { mss } else { 0 }).max(mss);
            flight.resend = ack;
            flight.resend_end = (ack + mss).min(flight.recover);
        }
        Phase::Loss => {
            flight.resend = flight.resend.max(ack);
            if ack.at_or_after(flight.recover) {
                flight.phase = Phase::Open;
            }
            grow(conn, flight, newly, in_flight);
        }
    }
}

/// Slow start below ssthresh, then one segment a round trip; only while the window is what limits
/// us (RFC 7661 §3), and by octets, so that a peer gains nothing by splitting its ACKs (RFC 3465).
//= rfc9293 3.8.2 MUST-19
//= rfc5681 3 S3-1
//= rfc5681 3.1 S3.1-6 S3.1-8
fn grow(conn: &mut Connection, flight: &mut Flight, newly: u32, in_flight: u32) {
    let tx = &mut conn.tx;
    if in_flight < tx.cwnd / 2 {
        return;
    }
    if tx.cwnd < tx.ssthresh {
        tx.cwnd = tx.cwnd.saturating_add(newly);
        return;
    }
    flight.credit += newly;
    if flight.credit >= tx.cwnd {
        flight.credit -= tx.cwnd;
        tx.cwnd = tx.cwnd.saturating_add(u32::from(tx.mss));
    }
}

/// Half of what is in flight, two segments at the least (RFC 5681, equation 4).
fn halved(in_flight: u32, mss: u16) -> u32 {
    (in_flight / 2).max(2 * u32::from(mss))
}

/// An ACK that acknowledges nothing new: maybe a duplicate as RFC 5681 §2 defines it.
pub(crate) fn on_duplicate(conn: &mut Connection, seg: &Segment, tcp: &mut Tcp) {
    let window = conn.rx.snd_scale.widen(seg.window);
    let duplicate = seg.ack == conn.tx.snd_una
        && conn.in_flight() > 0
        && seg.payload_len == 0
        && !seg.flags.intersects(Flags::SYN | Flags::FIN)
        && window == conn.tx.snd_wnd;
    if !duplicate {
        return;
    }
    let in_flight = conn.in_flight();
    let Some(flight) = tcp.flights.get_mut(conn.tx.flight) else {
        return;
    };
    let mss = u32::from(conn.tx.mss);
    conn.tx.duplicates = conn.tx.duplicates.saturating_add(1);
    match flight.phase {
        Phase::Open if conn.tx.duplicates >= DUPLICATE_THRESHOLD => {
            // Fast retransmit, then fast recovery.
            //= rfc5681 3.2 S3.2-3 S3.2-6 S3.2-8
            //= rfc6582 3.2 S3.2-2
            //= rfc2018 6 S6-1
            conn.tx.ssthresh = halved(in_flight, conn.tx.mss);
            conn.tx.cwnd = conn.tx.ssthresh + u32::from(DUPLICATE_THRESHOLD) * mss;
            flight.phase = Phase::Recovery;
            flight.recover = conn.tx.snd_nxt;
            flight.resend = conn.tx.snd_una;
            flight.resend_end = (conn.tx.snd_una + mss).min(conn.tx.snd_nxt);
            flight.timed = None;
            tcp.counters.fast_retrans += 1;
        }
        //= rfc5681 3.2 S3.2-9 S3.2-10
        // A segment has left the network for each duplicate.
        Phase::Recovery => conn.tx.cwnd = conn.tx.cwnd.saturating_add(mss),
        Phase::Open | Phase::Loss => {}
    }
}

/// The retransmission timer fired with data in flight: send it all again, in slow start.
//= rfc5681 3.1 S3.1-9 S3.1-10 S3.1-11
//= rfc6582 4 S4-1
//= rfc6298 5 S5-5
//= rfc2018 5.1 S5.1-1
pub(crate) fn on_timeout(conn: &mut Connection, tcp: &mut Tcp) {
    let in_flight = conn.in_flight();
    let Some(flight) = tcp.flights.get_mut(conn.tx.flight) else {
        return;
    };
    if flight.phase != Phase::Loss {
        // When the same data times out again, ssthresh is held (RFC 5681 §3.1).
        conn.tx.ssthresh = halved(in_flight, conn.tx.mss);
    }
    conn.tx.cwnd = u32::from(conn.tx.mss);
    conn.tx.duplicates = 0;
    flight.phase = Phase::Loss;
    flight.recover = conn.tx.snd_nxt;
    flight.resend = conn.tx.snd_una;
    flight.resend_end = conn.tx.snd_nxt;
    flight.timed = None;
    flight.credit = 0;
    tcp.counters.timeouts += 1;
}

/// Octets that congestion control lets be in flight now.
pub(crate) fn limit(conn: &Connection, flight: Option<&Flight>) -> u32 {
    let open = flight.is_none_or(|flight| flight.phase == Phase::Open);
    //= rfc5681 3.2 S3.2-4
    // Limited transmit (RFC 3042): the first two duplicates each let one new segment out, so that
    // small windows reach the third duplicate.
    let extra = if open {
        u32::from(conn.tx.duplicates.min(2)) * u32::from(conn.tx.mss)
    } else {
        0
    };
    conn.tx.cwnd.saturating_add(extra)
}

/// Octets that congestion control counts as in flight: after a timeout, what has not been sent
/// again is taken as lost.
pub(crate) fn outstanding(conn: &Connection, flight: &Flight) -> u32 {
    if flight.phase == Phase::Loss {
        let again = flight.resend.offset_from(conn.tx.snd_una);
        again + conn.tx.snd_nxt.offset_from(flight.recover)
    } else {
        conn.in_flight()
    }
}
