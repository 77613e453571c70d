//! Second check: the RST bit, with the hardening of RFC 5961 §3.

use super::{Done, Step, refuse};
use crate::connection::Tcp;
use crate::effects::{CloseReason, DropReason, Effects};
use crate::record::{Connection, Marks};
use crate::segment::Segment;
use crate::state::State;
use crate::time::Instant;
use byway_wire::tcp::Flags;

/// Only a reset exactly at RCV.NXT resets; another one in the window is challenged, so that an
/// attacker has to guess one number instead of one window.
//= rfc9293 3.10.7.4 SHLD-2 S3.10.7.4-4
//= rfc5961 3.2 S3.2-2 S3.2-3
pub(super) fn check(
    conn: &mut Connection,
    seg: &Segment,
    now: Instant,
    tcp: &mut Tcp,
    fx: &mut Effects,
) -> Step {
    if !seg.flags.contains(Flags::RST) {
        return Ok(());
    }
    if seg.seq != conn.rx.rcv_nxt {
        conn.rx.ack_now |= tcp.may_challenge(now);
        return Err(refuse(DropReason::ResetChallenged, tcp, fx));
    }
    //= rfc9293 3.10.7.4 MUST-11
    let reason = match conn.id.state {
        State::SynReceived if conn.id.marks.has(Marks::ACTIVE) => {
            tcp.counters.attempt_fails += 1;
            CloseReason::Refused
        }
        State::SynReceived => {
            tcp.counters.attempt_fails += 1;
            CloseReason::Reset
        }
        _ => {
            tcp.counters.estab_resets += 1;
            CloseReason::Reset
        }
    };
    conn.finish(reason, fx);
    Err(Done)
}
