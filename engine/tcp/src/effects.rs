//! What a segment or a timer asks the owner of a connection to do.

use crate::segment::Plan;

/// Bytes of the payload of the segment at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Octets of the payload to skip: they are duplicates.
    pub skip: u32,
    /// Octets to take; zero means none.
    pub len: u32,
}

/// Out-of-order bytes to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Store {
    /// Which bytes of the payload.
    pub piece: Piece,
    /// Where they belong: octets after RCV.NXT.
    pub at: u32,
}

/// Why a connection is over.
//= rfc9293 3.6 MUST-12
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both sides sent and acknowledged their FIN.
    Finished,
    /// The peer reset an established connection.
    Reset,
    /// The peer answered our SYN with a reset: nobody listens there.
    Refused,
    /// The peer did not answer for longer than we are willing to wait.
    TimedOut,
    /// The network said, or our routes say, that the peer cannot be reached.
    Unreachable,
    /// We reset it.
    Aborted,
}

/// Why a segment was not taken. Every value is a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// Outside the receive window (RFC 9293 §3.10.7.4, first check).
    OutOfWindow,
    /// Older than the timestamp last seen (RFC 7323 §5).
    Paws,
    /// Timestamps were agreed on and it carries none (RFC 7323 §3.2).
    NoTimestamp,
    /// A reset that is in the window but not at RCV.NXT: challenged (RFC 5961 §3).
    ResetChallenged,
    /// A reset outside the window.
    ResetOutOfWindow,
    /// A SYN on a synchronised connection: challenged (RFC 5961 §4).
    SynChallenged,
    /// No ACK bit where one is required.
    NoAck,
    /// It acknowledges what was never sent, or is too old (RFC 5961 §5).
    BadAck,
    /// Out of order, and no room to remember one more range.
    ReassemblyFull,
    /// Data for a stream whose reader has closed.
    AfterClose,
    /// No connection and no listener for it.
    NoListener,
    /// The queue of half-open connections is full.
    SynQueueFull,
    /// The table of connections is full.
    TableFull,
    /// Flags that no sane sender combines.
    BadFlags,
}

impl DropReason {
    /// Every reason, in the order of its counter.
    pub const ALL: [Self; Self::COUNT] = [
        Self::OutOfWindow,
        Self::Paws,
        Self::NoTimestamp,
        Self::ResetChallenged,
        Self::ResetOutOfWindow,
        Self::SynChallenged,
        Self::NoAck,
        Self::BadAck,
        Self::ReassemblyFull,
        Self::AfterClose,
        Self::NoListener,
        Self::SynQueueFull,
        Self::TableFull,
        Self::BadFlags,
    ];

    /// How many reasons there are.
    pub const COUNT: usize = Self::BadFlags as usize + 1;
}

/// Things the owner of a connection wants to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// The connection is established.
    pub opened: bool,
    /// The peer has urgent data, or more of it than it had said.
    pub urgent: bool,
    /// The peer's FIN is in order: after what is unread now nothing more will come.
    pub peer_closed: bool,
}

/// What came of one input. Start from `default()` each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// In-order bytes of this segment's payload, for the reader now.
    pub deliver: Piece,
    /// Out-of-order bytes of this segment's payload, to keep.
    pub store: Store,
    /// Octets kept earlier that now follow directly after `deliver`.
    pub ready: u32,
    /// Octets of the send buffer that were acknowledged and can be freed.
    pub acked: u32,
    /// What to tell the reader and writer.
    pub events: Events,
    /// The connection is over. Comes after all that is above: after `Finished` the reader still gets
    /// every octet that was delivered, the record's `unread` says how many.
    pub closed: Option<CloseReason>,
    /// With `closed`: keep a [`TimeWait`](crate::time_wait::TimeWait) record for the pair of ends.
    pub time_wait: bool,
    /// A segment to send at once that is not in the order of the stream (a reset, a challenge ACK).
    pub reply: Option<Plan>,
    /// The segment was not taken, and why.
    pub drop: Option<DropReason>,
}
