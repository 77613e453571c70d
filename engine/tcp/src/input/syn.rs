//! Fourth check: a SYN where none belongs (RFC 5961 §4).

use super::{Step, refuse};
use crate::connection::Tcp;
use crate::effects::{DropReason, Effects};
use crate::record::Connection;
use crate::segment::Segment;
use crate::state::State;
use crate::time::Instant;
use byway_wire::tcp::Flags;

/// A SYN on a synchronised connection is answered with a challenge ACK whatever its sequence
/// number: a peer that restarted answers that with a reset, an attacker never sees it.
//= rfc9293 3.10.7.4
//= rfc5961 4.2 S4.2-1
pub(super) fn check(
    conn: &mut Connection,
    seg: &Segment,
    now: Instant,
    tcp: &mut Tcp,
    fx: &mut Effects,
) -> Step {
    // In SYN-RECEIVED only the crossing SYN-ACK gets this far: a simultaneous open.
    if !seg.flags.contains(Flags::SYN) || conn.id.state == State::SynReceived {
        return Ok(());
    }
    conn.rx.ack_now |= tcp.may_challenge(now);
    Err(refuse(DropReason::SynChallenged, tcp, fx))
}
