//! Segments as TCP sees them: what came in, and what is to go out. Never the bytes.

use byway_wire::ip::Ecn;
pub use byway_wire::plain::Segment as Plain;
use byway_wire::tcp::{Flags, Options, WireWindow};
use byway_wire::{SeqLen, SeqNumber};

/// A segment that arrived: parsed and its checksum verified by whoever calls TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number of the first octet (of the SYN, if there is one).
    pub seq: SeqNumber,
    /// Acknowledgment number; significant when `flags` has ACK.
    pub ack: SeqNumber,
    /// Control bits.
    pub flags: Flags,
    /// Window field, not scaled.
    pub window: WireWindow,
    /// Urgent pointer; significant when `flags` has URG.
    pub urgent: u16,
    /// The options we know.
    pub options: Options,
    /// Octets of payload.
    pub payload_len: u32,
    /// The network marked it: congestion experienced (RFC 3168).
    pub congestion: bool,
}

impl Segment {
    /// SEG.LEN of RFC 9293 §3.4: payload, plus one for SYN and one for FIN.
    #[inline]
    pub const fn seq_len(&self) -> SeqLen {
        self.payload_len
            + self.flags.contains(Flags::SYN) as u32
            + self.flags.contains(Flags::FIN) as u32
    }
}

impl From<&Plain> for Segment {
    fn from(plain: &Plain) -> Self {
        Self {
            seq: plain.seq,
            ack: plain.ack,
            flags: plain.flags,
            window: plain.window,
            urgent: 0,
            options: Options {
                timestamps: plain.timestamps,
                ..Options::default()
            },
            payload_len: plain.payload_len,
            congestion: plain.ecn == Ecn::Ce,
        }
    }
}

impl Segment {
    /// The segment as a plain one, if it is.
    #[inline]
    pub fn plain(&self) -> Option<Plain> {
        let flags = self.flags == Flags::ACK || self.flags == Flags::ACK | Flags::PSH;
        (flags && self.options.are_plain()).then_some(Plain {
            seq: self.seq,
            ack: self.ack,
            payload_len: self.payload_len,
            timestamps: self.options.timestamps,
            window: self.window,
            flags: self.flags,
            ecn: if self.congestion {
                Ecn::Ce
            } else {
                Ecn::NotEct
            },
        })
    }
}

/// A stretch of the outgoing stream: `offset` octets after SND.UNA's data, `len` octets long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// Distance from the first unacknowledged octet of the stream.
    pub offset: u32,
    /// Octets.
    pub len: u32,
}

/// A segment to send. The owner of the buffers adds the bytes, the ports and the checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Sequence number of the first octet.
    pub seq: SeqNumber,
    /// Acknowledgment number; significant when `flags` has ACK.
    pub ack: SeqNumber,
    /// Control bits.
    pub flags: Flags,
    /// Window field, already scaled.
    pub window: WireWindow,
    /// Urgent pointer; significant when `flags` has URG.
    pub urgent: u16,
    /// Options to write.
    pub options: Options,
    /// Which part of the send buffer to carry.
    pub payload: Payload,
    /// The network may mark it: send it as ECT(0) (RFC 3168).
    pub ecn_capable: bool,
}
