//! Loss recovery: what was lost, what may be sent meanwhile, and whether it was lost at all.
//!
//! The [`Scoreboard`](crate::scoreboard::Scoreboard) knows what is in flight. An acknowledgment goes
//! through [`on_ack`] in the order of RFC 8985 §6.2: what it delivered, the round trip, undo, loss
//! detection ([`rack`] with SACK, [`newreno`] without), then the phase and the window.

mod newreno;
mod prr;
mod rack;
mod tail;
mod timeout;
mod undo;

pub(crate) use prr::Prr;
pub(crate) use rack::Rack;
pub(crate) use tail::Probe;
pub(crate) use timeout::{arm_timer, on_timeout, on_window_opened};
pub(crate) use undo::Undo;

use crate::cold::Cold;
use crate::congestion::{Acked, Window};
use crate::connection::Tcp;
use crate::flight::{Flight, Frto, Phase, Timer};
use crate::pool::Pool;
use crate::record::{Connection, Marks};
use crate::scoreboard::Delivered;
use crate::segment::Segment;
use crate::time::{Duration, Instant};
use byway_wire::SeqNumber;
use byway_wire::tcp::{Flags, SackBlock};

/// One acknowledgment on its way through recovery.
pub(crate) struct Ack<'s> {
    pub(crate) seg: &'s Segment,
    pub(crate) now: Instant,
    /// It moves SND.UNA.
    pub(crate) advances: bool,
    /// It is a duplicate as RFC 5681 §2 defines it.
    pub(crate) duplicate: bool,
    pub(crate) delivered: Delivered,
    /// It reports a segment that arrived twice (RFC 2883).
    pub(crate) dsack: Option<(SeqNumber, SeqNumber)>,
    /// A fresh measurement.
    pub(crate) rtt: Option<Duration>,
    /// It seems to be the shortest of the connection.
    pub(crate) shortest: bool,
    /// TSecr, if timestamps are in use.
    pub(crate) echo: Option<u32>,
    /// Our clock in timestamp ticks at `now`.
    pub(crate) clock: u32,
}

/// Takes an acceptable acknowledgment; SND.UNA has not moved yet.
pub(crate) fn on_ack(conn: &mut Connection, seg: &Segment, now: Instant, tcp: &mut Tcp) {
    if seg.options.sack.is_empty() && on_ack_of_all(conn, seg.ack, now, tcp) {
        return;
    }
    let clock = tcp.timestamp(now);
    let Some(flight) = tcp.flights.get_mut(conn.tx.flight) else {
        return;
    };
    let Some(mut ack) = look_at(conn, seg, now, clock) else {
        return;
    };
    let limited = is_limited(conn, flight);
    let sack = conn.id.marks.has(Marks::SACK);
    flight.board.acknowledge(seg.ack, &mut ack.delivered);
    if sack {
        take_sack(conn, flight, &mut ack);
    } else {
        newreno::guess(conn, flight, &mut ack);
    }
    measure(conn, flight, &mut ack);
    let octets = ack.delivered.octets;
    flight.delivery.on_ack(octets, seg.ack, &conn.tx, now);
    if let Some(rtt) = ack.rtt.filter(|_| ack.shortest)
        && let Some(cold) = tcp.cold.get_mut(conn.tx.cold)
    {
        cold.min_rtt = cold.min_rtt.min(rtt);
    }
    undo::consider(conn, flight, &ack);
    tail::on_ack(conn, flight, &ack);
    //= rfc8985 4 S4-1
    let waited = flight.timer == Timer::Reordering;
    let newly_lost = if sack {
        rack::on_ack(conn, flight, &ack)
    } else {
        newreno::detect(conn, flight, &ack)
    };
    // After a timeout one ACK may cover much that had arrived before: no burst for that.
    let repairing = flight.phase == Phase::Loss;
    follow_phase(conn, flight, &ack);
    if flight.phase == Phase::Open && flight.board.lost() > 0 {
        enter(conn, flight, now, clock, ack.delivered.octets);
        tcp.counters.fast_retrans += 1;
    }
    if flight.phase == Phase::Recovery {
        reduce_in_proportion(conn, flight, &ack, newly_lost);
    } else if ack.advances && limited {
        let mss = u32::from(conn.tx.mss);
        let most = if repairing { mss } else { u32::MAX };
        let octets = ack.delivered.octets.min(most);
        grow(conn, flight, seg.ack, octets, ack.rtt, now);
    }
    if waited && flight.timer != Timer::Reordering {
        // The deadline was that of what seemed reordered: no timeout for the others.
        conn.tx.rto_deadline = now + conn.rto(&tcp.config);
    }
}

/// The short way for an acknowledgment without SACK of all that is in flight, where there was no
/// trouble: false, and nothing done, in other cases.
#[inline]
pub(crate) fn on_ack_of_all(
    conn: &mut Connection,
    ack: SeqNumber,
    now: Instant,
    tcp: &mut Tcp,
) -> bool {
    let Some(flight) = tcp.flights.get_mut(conn.tx.flight) else {
        return false;
    };
    let short = ack == conn.tx.snd_nxt && is_untroubled(flight);
    if short {
        acknowledge_untroubled(conn, flight, ack, now, &mut tcp.cold);
    }
    short
}

/// Nothing was lost, sent again, reported or suspected: what the record of the flight knows beyond
/// that goes away with it.
#[inline]
fn is_untroubled(flight: &Flight) -> bool {
    flight.phase == Phase::Open
        && !flight.is_scarred()
        && flight.board.lost() == 0
        && flight.board.sacked() == 0
        && flight.undo.is_none()
        && flight.guessed == 0
}

/// The short way for such a flight: the round trip of its last segment, and the window.
fn acknowledge_untroubled(
    conn: &mut Connection,
    flight: &mut Flight,
    ack: SeqNumber,
    now: Instant,
    cold: &mut Pool<Cold>,
) {
    let limited = is_limited(conn, flight);
    let octets = conn.in_flight();
    let rtt = flight.board.last_sent_at().map(|at| now.since(at));
    flight.board.clear();
    if let Some(rtt) = rtt {
        conn.tx.rtt.sample(rtt);
        conn.tx.backoff = 0;
        if flight.rack.observe(rtt)
            && let Some(cold) = cold.get_mut(conn.tx.cold)
        {
            cold.min_rtt = cold.min_rtt.min(rtt);
        }
    }
    flight.delivery.on_ack(octets, ack, &conn.tx, now);
    if limited {
        grow(conn, flight, ack, octets, rtt, now);
    }
}

/// Nothing is in flight any more, and the peer reports what arrived twice, or repeats itself: a
/// reduction, or a probe, may have been for nothing.
//= rfc2883 5 S5-1
//= rfc8985 7.4.2 S7.4.2-2
pub(crate) fn on_late_report(conn: &mut Connection, seg: &Segment, now: Instant, tcp: &mut Tcp) {
    let clock = tcp.timestamp(now);
    let blocks = seg.options.sack.as_slice();
    let first = blocks
        .first()
        .filter(|first| repeats(first, blocks, seg.ack));
    let Some(flight) = tcp.flights.get_mut(conn.tx.flight) else {
        return;
    };
    if let Some(mut ack) = look_at(conn, seg, now, clock) {
        ack.dsack = first.map(|first| (first.left, first.right));
        tail::on_ack(conn, flight, &ack);
        undo::consider(conn, flight, &ack);
    }
}

/// What kind of acknowledgment it is; `None` when it says nothing to the sender.
fn look_at<'s>(conn: &Connection, seg: &'s Segment, now: Instant, clock: u32) -> Option<Ack<'s>> {
    let advances = seg.ack.after(conn.tx.snd_una);
    let duplicate = seg.ack == conn.tx.snd_una
        && seg.payload_len == 0
        && !seg.flags.intersects(Flags::SYN | Flags::FIN)
        && conn.rx.snd_scale.widen(seg.window) == conn.tx.snd_wnd;
    if !advances && !duplicate && seg.options.sack.is_empty() {
        return None;
    }
    let timestamps = seg
        .options
        .timestamps
        .filter(|_| conn.id.marks.has(Marks::TIMESTAMPS));
    Some(Ack {
        seg,
        now,
        advances,
        duplicate,
        delivered: Delivered::default(),
        dsack: None,
        rtt: None,
        shortest: false,
        echo: timestamps.map(|t| t.echo).filter(|echo| *echo != 0),
        clock,
    })
}

/// Puts the SACK blocks on the scoreboard. Blocks outside of what is in flight are ignored; the
/// first one may report a duplicate (RFC 2883 §4).
//= rfc2018 5 S5-1
//= rfc6675 5 S5-1
//= rfc8985 6.2 S6.2-3
fn take_sack(conn: &Connection, flight: &mut Flight, ack: &mut Ack<'_>) {
    let una = ack.seg.ack;
    let blocks = ack.seg.options.sack.as_slice();
    if let Some(first) = blocks.first().filter(|first| repeats(first, blocks, una)) {
        ack.dsack = Some((first.left, first.right));
    }
    // Upwards, whatever the order of the option: what one ACK tells all at once is no reordering.
    let mut from = una;
    while let Some(block) = blocks
        .iter()
        .skip(usize::from(ack.dsack.is_some()))
        .filter(|block| block.left.at_or_after(from) && block.left.before(block.right))
        .min_by_key(|block| block.left.offset_from(una))
    {
        if block.right.at_or_before(conn.tx.snd_nxt) {
            flight
                .board
                .sack(block.left, block.right, &mut ack.delivered);
        }
        from = block.left + 1;
    }
}

/// The first block reports octets that arrived twice: below the ACK field, or within the next one.
//= rfc2883 5 S5-1
fn repeats(first: &SackBlock, blocks: &[SackBlock], una: SeqNumber) -> bool {
    let inside = blocks.get(1).is_some_and(|outer| {
        outer.left.at_or_before(first.left) && first.right.at_or_before(outer.right)
    });
    first.left.before(first.right) && (first.right.at_or_before(una) || inside)
}

/// Measures a round trip: from a segment that was sent once, or, where all were sent again, from
/// the timestamp that came back, which tells the copies apart (RFC 7323 §4.1).
//= rfc9293 3.8.1 MUST-18
//= rfc6298 3 S3-1 S3-2
//= rfc7323 4.1 S4.1-1
fn measure(conn: &mut Connection, flight: &mut Flight, ack: &mut Ack<'_>) {
    ack.rtt = match (ack.delivered.timed, ack.echo) {
        (Some(sent), _) => Some(ack.now.since(sent.at)),
        (None, Some(echo)) if ack.advances => {
            // The clock ticks in milliseconds: less than one tick is taken as one.
            let elapsed = Duration::from_millis(u64::from(ack.clock.wrapping_sub(echo).max(1)));
            // An echo from the future, or from beyond any timeout, is no measurement.
            (elapsed < Duration::from_secs(120)).then_some(elapsed)
        }
        _ => None,
    };
    if let Some(rtt) = ack.rtt {
        conn.tx.rtt.sample(rtt);
        ack.shortest = flight.rack.observe(rtt);
        // Karn: the back-off lasts until a segment that was not sent twice is acknowledged.
        conn.tx.backoff = 0;
    }
}

/// Recovery is over when everything that was in flight at its start is acknowledged.
fn follow_phase(conn: &mut Connection, flight: &mut Flight, ack: &Ack<'_>) {
    if flight.reduced_at.is_some_and(|at| ack.seg.ack.after(at)) {
        flight.reduced_at = None;
    }
    if flight.phase == Phase::Open {
        // Long ago is not lately: keeps the distance within half of the sequence space.
        if flight.scarred && (ack.seg.ack - 1).after(flight.recover) {
            flight.recover = ack.seg.ack - 1;
        }
        return;
    }
    if ack.seg.ack.before(flight.recover) {
        return;
    }
    if flight.phase == Phase::Recovery {
        //= rfc6937 3 S3-5
        //= rfc5681 3.2 S3.2-11
        //= rfc6582 3.2 S3.2-3
        conn.tx.window.cwnd = conn.tx.window.ssthresh;
    }
    flight.phase = Phase::Open;
    flight.frto = Frto::Off;
    flight.guessed = 0;
    flight.rack.recovery_over();
    if let Some(undo) = &mut flight.undo {
        undo.recovery_over(conn.tx.snd_nxt);
    }
}

/// A loss was found: recovery begins.
//= rfc6675 5 S5-2
//= rfc5681 3.2 S3.2-6
//= rfc5681 4.3 S4.3-1 S4.3-2
//= rfc6582 3.2 S3.2-2
//= rfc2018 5.1 S5.1-1
fn enter(conn: &mut Connection, flight: &mut Flight, now: Instant, clock: u32, delivered: u32) {
    flight.undo = Some(Undo::new(&conn.tx.window, clock));
    flight.scarred = true;
    let mss = u32::from(conn.tx.mss);
    let used = used_window(conn);
    // Marks and losses of one window of data are one sign of congestion.
    let same_window = |at| flight.board.first().is_some_and(|first| first.before(at));
    if !flight.reduced_at.is_some_and(same_window) {
        conn.tx.window.ssthresh = flight.algorithm.as_mut().on_congestion(now, mss, &used);
    }
    note_reduction(conn, flight);
    flight.phase = Phase::Recovery;
    flight.recover = conn.tx.snd_nxt;
    // What this very acknowledgment delivered was in flight when it was sent (RFC 9937).
    flight.prr = Prr::new(flight.pipe() + flight.board.lost() + delivered);
}

/// One sign of congestion that nothing has to be sent again for (an ECN echo, a loss that a probe
/// repaired): the window shrinks at once, and no recovery begins.
/// `flying` is what was in flight when it happened.
pub(crate) fn reduce(conn: &mut Connection, flight: &mut Flight, flying: u32, now: Instant) {
    let mss = u32::from(conn.tx.mss);
    let used = Window {
        cwnd: conn.tx.window.cwnd.min(flying),
        ..conn.tx.window
    };
    let window = &mut conn.tx.window;
    window.ssthresh = flight.algorithm.as_mut().on_congestion(now, mss, &used);
    window.cwnd = window.cwnd.min(window.ssthresh);
    note_reduction(conn, flight);
    flight.scarred = true;
    flight.recover = conn.tx.snd_una;
}

/// The window was reduced: the next new data says so, and until that is acknowledged an ECN echo
/// tells nothing new.
//= rfc3168 6.1.2 S6.1.2-2 S6.1.2-3
//= rfc3168 6.1.1 S6.1.1-5
fn note_reduction(conn: &mut Connection, flight: &mut Flight) {
    let ecn = conn.id.marks.has(Marks::ECN);
    conn.id.marks.set(Marks::REDUCED, ecn);
    flight.reduced_at = Some(conn.tx.snd_nxt);
}

/// What a reduction starts from: not more than is in flight, or a window that was never filled would
/// count, and not more than the window, which limited transmit exceeds.
//= rfc5681 3.2 S3.2-7
fn used_window(conn: &Connection) -> Window {
    let cwnd = conn.tx.window.cwnd.min(conn.in_flight());
    Window {
        cwnd,
        ..conn.tx.window
    }
}

/// The window in recovery: in proportion to what is delivered.
//= rfc6937 3 S3-3
fn reduce_in_proportion(
    conn: &mut Connection,
    flight: &mut Flight,
    ack: &Ack<'_>,
    newly_lost: u32,
) {
    let mss = u32::from(conn.tx.mss);
    let safe = ack.advances && newly_lost == 0;
    let pipe = flight.pipe();
    let ssthresh = conn.tx.window.ssthresh;
    let more = flight
        .prr
        .on_ack(ack.delivered.octets, pipe, ssthresh, safe, mss);
    conn.tx.window.cwnd = pipe + more;
}

/// The window grows with what is acknowledged.
fn grow(
    conn: &mut Connection,
    flight: &mut Flight,
    ack: SeqNumber,
    octets: u32,
    rtt: Option<Duration>,
    now: Instant,
) {
    let acked = Acked {
        now,
        octets,
        ack,
        snd_nxt: conn.tx.snd_nxt,
        rtt,
        srtt: Duration::from_micros(u64::from(conn.tx.rtt.srtt_us)),
        mss: u32::from(conn.tx.mss),
    };
    flight
        .algorithm
        .as_mut()
        .on_acknowledged(&acked, &mut conn.tx.window);
}

/// The window only grows while it is what limits the sender (RFC 7661 §3).
//= rfc9438 5.8 S5.8-1
fn is_limited(conn: &Connection, flight: &Flight) -> bool {
    let held_back = flight
        .limited_at
        .is_some_and(|at| conn.tx.snd_una.before(at));
    held_back || (conn.tx.window.in_slow_start() && flight.pipe() >= conn.tx.window.cwnd / 2)
}

/// Segments that no longer fit the path are lost, and it is no congestion that lost them.
//= rfc1191 6.4 S6.4-1
//= rfc8201 5.4 S5.4-1
pub(crate) fn on_narrower_path(conn: &mut Connection, tcp: &mut Tcp) {
    let mss = u32::from(conn.tx.mss);
    let Some(flight) = tcp.flights.get_mut(conn.tx.flight) else {
        return;
    };
    let lost = flight.board.mark_lost(|sent| sent.payload() > mss);
    if lost > 0 {
        // What asked whether the timeout was spurious did not arrive.
        flight.frto = Frto::Off;
    }
    if lost > 0 && flight.phase == Phase::Open {
        flight.phase = Phase::Loss;
        flight.recover = conn.tx.snd_nxt;
        flight.scarred = true;
    }
}

/// Window before anything is known, and after a pause (RFC 6928, RFC 5681 §4.1).
//= rfc6928 2 S2-1
pub(crate) fn initial_window(segments: u32, mss: u16) -> Window {
    let mss = u32::from(mss);
    // Segments larger than Ethernet's count for more, but two may leave in any case.
    let most = (segments * 1460).max(2 * mss);
    Window {
        cwnd: (segments * mss).min(most),
        ssthresh: u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= rfc6928 2 S2-1
    #[test]
    fn the_initial_window_is_ten_segments_of_ethernet_or_two_of_any() {
        let octets = |mss| initial_window(10, mss).cwnd;
        assert_eq!(octets(536), 5_360);
        assert_eq!(octets(1_460), 14_600);
        assert_eq!(octets(3_448), 14_600);
        assert_eq!(octets(8_948), 17_896);
    }
}
