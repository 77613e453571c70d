//! Tail loss probes (RFC 8985 §7): when the end of a burst is lost nothing follows that would tell,
//! so something is sent to ask.

use super::{Ack, reduce};
use crate::flight::{Flight, Phase};
use crate::record::{Connection, Marks};
use byway_wire::SeqNumber;

/// How long a peer may delay the ACK of a single segment (WCDelAckT of RFC 8985 §7.2).
const DELAYED_ACK_NANOS: u64 = 200_000_000;
/// Lower bound of the timeout: timers are no finer than this is sensible.
const LEAST_NANOS: u64 = 2_000_000;

/// A probe that is out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    /// TLP.end_seq.
    pub(crate) end: SeqNumber,
    /// TLP.is_retrans: it repeated the last segment.
    pub(crate) resent: bool,
    /// Octets in flight when it left.
    pub(crate) flying: u32,
    /// Our clock in timestamp ticks when it left.
    pub(crate) clock: u32,
}

/// Nanoseconds until the probe, if one is in order.
//= rfc8985 7.2 S7.2-1 S7.2-2
#[inline]
pub(super) fn timeout(conn: &Connection, flight: &Flight) -> Option<u64> {
    let in_order = conn.id.marks.has(Marks::SACK)
        && flight.phase == Phase::Open
        && flight.probe.is_none()
        && flight.board.lost() == 0
        && flight.board.sacked() == 0
        && conn.tx.backoff == 0;
    if !in_order || conn.tx.rtt.srtt_us == 0 {
        return None;
    }
    let two_trips = 2_000 * u64::from(conn.tx.rtt.srtt_us);
    let alone = if conn.in_flight() <= u32::from(conn.tx.mss) {
        DELAYED_ACK_NANOS
    } else {
        LEAST_NANOS
    };
    Some(two_trips + alone)
}

/// Was a probe answered, and did it repair a loss that nobody else would notice?
//= rfc8985 7.4.2 S7.4.2-1 S7.4.2-2
pub(super) fn on_ack(conn: &mut Connection, flight: &mut Flight, ack: &Ack<'_>) {
    let Some(probe) = flight.probe else { return };
    if ack.seg.ack.before(probe.end) {
        return;
    }
    // An echo from before the probe is that of the original.
    let before = |echo: u32| (echo.wrapping_sub(probe.clock) as i32) < 0;
    let spared = !probe.resent
        || ack.dsack.is_some_and(|(_, right)| right == probe.end)
        || (ack.advances && ack.echo.is_some_and(before))
        || (ack.seg.ack == probe.end && ack.duplicate && ack.seg.options.sack.is_empty());
    if spared {
        flight.probe = None;
    } else if ack.seg.ack.after(probe.end) || (ack.advances && ack.echo.is_some()) {
        // Without timestamps the ACK of the probe may be one of the original that was late: what
        // comes behind it tells. With them it is known to be of the probe,
        // which then filled the hole: one loss, one reduction.
        flight.probe = None;
        reduce(conn, flight, probe.flying, ack.now);
    }
}
