//! What is in flight: the record that a connection has only while data is unacknowledged.

use crate::time::Instant;
use byway_wire::SeqNumber;

/// How far loss recovery is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No loss known.
    #[default]
    Open,
    /// Fast recovery (RFC 6582): one hole is filled per round trip.
    Recovery,
    /// After a timeout: everything up to `recover` is sent again, in slow start.
    Loss,
}

/// Loss recovery, the running measurement, and the growth of the congestion window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flight {
    /// How far recovery is.
    pub(crate) phase: Phase,
    /// SND.NXT when recovery began; it is over when this is acknowledged (RFC 6582 §3.2).
    pub(crate) recover: SeqNumber,
    /// In `Recovery` and `Loss`: the next octet to send again; nothing is due at `resend_end`.
    pub(crate) resend: SeqNumber,
    /// End of what is to be sent again.
    pub(crate) resend_end: SeqNumber,
    /// The segment whose round trip is being measured: its last octet + 1, and when it left.
    pub(crate) timed: Option<(SeqNumber, Instant)>,
    /// Octets acknowledged in congestion avoidance and not yet turned into a larger window.
    pub(crate) credit: u32,
}

impl Flight {
    /// Something waits to be sent again.
    #[inline]
    pub(crate) fn resend_due(&self) -> bool {
        self.phase != Phase::Open && self.resend.before(self.resend_end)
    }
}
