//! First check: is the segment in the window, and which part of it is new?

use super::{Done, refuse};
use crate::connection::Tcp;
use crate::effects::{DropReason, Effects};
use crate::record::{Connection, Marks};
use crate::segment::Segment;
use crate::state::State;
use crate::time::Instant;
use byway_wire::SeqNumber;
use byway_wire::tcp::Flags;

/// What is new in a segment, after cutting it to the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Sequence number of the first new octet.
    pub(super) seq: SeqNumber,
    /// Octets of the payload before it.
    pub(super) skip: u32,
    /// New octets of payload.
    pub(super) len: u32,
    /// A FIN follows them.
    pub(super) fin: bool,
    /// There was payload, new or not.
    pub(super) had_data: bool,
}

/// Milliseconds after which TS.Recent says nothing any more: 24 days (RFC 7323 §5.5).
const TS_RECENT_OUTDATED_MS: u32 = 24 * 24 * 3600 * 1000;

//= rfc9293 3.10.7.4 S3.10.7.4-1 S3.10.7.4-2
pub(super) fn check(
    conn: &mut Connection,
    seg: &Segment,
    now: Instant,
    tcp: &mut Tcp,
    fx: &mut Effects,
) -> Result<Arrival, Done> {
    if let Err(reason) = check_timestamp(conn, seg, now) {
        if reason == DropReason::Paws {
            tcp.counters.paws_estab += 1;
            // Two ends out of step must not answer each other's ACKs for ever.
            conn.rx.ack_now |= seg.seq_len() > 0 || tcp.may_challenge(now);
        }
        return Err(refuse(reason, tcp, fx));
    }
    if is_crossing_syn_ack(conn, seg) {
        return Ok(Arrival {
            seq: seg.seq + 1,
            ..Arrival::default()
        });
    }
    //= rfc7323 5.3 S5.3-2
    if !acceptable(conn, seg) {
        return Err(not_acceptable(conn, seg, now, tcp, fx));
    }
    update_ts_recent(conn, seg);
    conn.rx.heard_at_ms = now.as_millis_wrapped();
    Ok(cut_to_window(conn, seg, tcp))
}

/// Protection against wrapped sequence numbers (RFC 7323 §5.3 R1); resets are exempt.
//= rfc7323 3.2 S3.2-4 S3.2-5
//= rfc7323 5.2 S5.2-1
//= rfc7323 5.3 S5.3-1
//= rfc7323 5.5 S5.5-1
fn check_timestamp(conn: &Connection, seg: &Segment, now: Instant) -> Result<(), DropReason> {
    let exempt = seg.flags.intersects(Flags::RST | Flags::SYN);
    if !conn.id.marks.has(Marks::TIMESTAMPS) || exempt {
        return Ok(());
    }
    let Some(timestamps) = seg.options.timestamps else {
        return Err(DropReason::NoTimestamp);
    };
    let older = (timestamps.value.wrapping_sub(conn.rx.ts_recent) as i32) < 0;
    let age = now.as_millis_wrapped().wrapping_sub(conn.rx.heard_at_ms);
    if older && age < TS_RECENT_OUTDATED_MS {
        Err(DropReason::Paws)
    } else {
        Ok(())
    }
}

/// RFC 7323 §4.3 (2): only a segment that covers Last.ACK.sent updates what we echo. One that the
/// check of timestamps does not look at is not believed about them either.
//= rfc7323 4.3 S4.3-1
//= rfc7323 5.3 S5.3-3
fn update_ts_recent(conn: &mut Connection, seg: &Segment) {
    let Some(timestamps) = seg.options.timestamps else {
        return;
    };
    let checked = !seg.flags.intersects(Flags::RST | Flags::SYN);
    if checked
        && conn.id.marks.has(Marks::TIMESTAMPS)
        && seg.seq.at_or_before(conn.rx.last_ack_sent)
    {
        conn.rx.ts_recent = timestamps.value;
    }
}

/// In a simultaneous open the peer's SYN-ACK repeats a SYN that we have already counted: to the
/// window it looks old, but its ACK is what establishes us (RFC 9293 §3.5, figure 8, line 6).
//= rfc9293 3.5 MUST-10
fn is_crossing_syn_ack(conn: &Connection, seg: &Segment) -> bool {
    conn.id.state == State::SynReceived
        && seg.flags.contains(Flags::SYN | Flags::ACK)
        && seg.seq + 1 == conn.rx.rcv_nxt
        && seg.ack == conn.tx.snd_nxt
}

/// The four cases of RFC 9293 §3.4, with the two allowances that keep ACKs flowing: a segment
/// without length may sit exactly on the right edge, and one at RCV.NXT is looked at even when
/// the window is closed (its ACK and RST count), though its data is not taken.
//= rfc9293 3.10.7.4 S3.10.7.4-1
//= rfc7323 2.4 S2.4-1
fn acceptable(conn: &Connection, seg: &Segment) -> bool {
    let window = conn.rx.rcv_adv.offset_from(conn.rx.rcv_nxt);
    let starts = seg.seq.offset_from(conn.rx.rcv_nxt);
    match seg.seq_len() {
        0 => starts <= window,
        len => {
            let last = seg.seq + (len - 1);
            starts < window || last.in_window(conn.rx.rcv_nxt, window) || starts == 0
        }
    }
}

/// "An acknowledgment should be sent in reply (unless the RST bit is set)".
//= rfc9293 3.10.7.4 S3.10.7.4-2
fn not_acceptable(
    conn: &mut Connection,
    seg: &Segment,
    now: Instant,
    tcp: &mut Tcp,
    fx: &mut Effects,
) -> Done {
    if seg.flags.contains(Flags::RST) {
        //= rfc5961 3.2 S3.2-1
        return refuse(DropReason::ResetOutOfWindow, tcp, fx);
    }
    if conn.id.state == State::SynReceived && seg.flags.contains(Flags::SYN) {
        // The peer's SYN again: our answer to it was lost.
        conn.id.marks.set(Marks::SYN_DUE, true);
    } else if seg.seq_len() > 0 || seg.seq + 1 == conn.rx.rcv_nxt {
        // Data, or the form of a probe for our window or our life.
        conn.rx.ack_now = true;
    } else {
        // Two ends out of step must not answer each other's ACKs for ever.
        conn.rx.ack_now |= tcp.may_challenge(now);
    }
    if (seg.seq + seg.seq_len()).at_or_before(conn.rx.rcv_nxt) {
        tcp.counters.duplicates += 1;
        note_repeated(conn, seg.seq, seg.payload_len, tcp);
    }
    refuse(DropReason::OutOfWindow, tcp, fx)
}

/// Octets that were here already: the next acknowledgment tells the sender so.
//= rfc2883 4 S4-1 S4-3
fn note_repeated(conn: &mut Connection, seq: SeqNumber, len: u32, tcp: &mut Tcp) {
    if len > 0
        && conn.id.marks.has(Marks::SACK)
        && let Some(held) = conn.reassembly_mut(tcp)
    {
        held.note_repeated(seq, len);
    }
}

/// "Trim off any portions that lie outside the window (including SYN and FIN)".
//= rfc9293 3.10.7.4 S3.10.7.4-3
fn cut_to_window(conn: &mut Connection, seg: &Segment, tcp: &mut Tcp) -> Arrival {
    let old = if seg.seq.before(conn.rx.rcv_nxt) {
        conn.rx.rcv_nxt.offset_from(seg.seq).min(seg.payload_len)
    } else {
        0
    };
    note_repeated(conn, seg.seq, old, tcp);
    let seq = seg.seq + old;
    let room = if seq.before(conn.rx.rcv_adv) {
        conn.rx.rcv_adv.offset_from(seq)
    } else {
        0
    };
    let new = seg.payload_len - old;
    let len = new.min(room);
    let fin = seg.flags.contains(Flags::FIN) && len == new && (new < room || new == 0);
    Arrival {
        seq,
        skip: old,
        len,
        fin,
        had_data: seg.payload_len > 0,
    }
}
