//! The connection record: 192 bytes in three cache lines.

use crate::congestion::{CongestionAlgorithm, Window};
use crate::rtt::Rtt;
use crate::state::State;
use crate::time::Instant;
use byway_wire::tcp::WindowScale;
use byway_wire::{FlowKey, SeqNumber};

/// Words that the owner of a connection keeps in its record. TCP never reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The service's own word.
    pub token: u64,
    /// Index of its buffers.
    pub buffers: u32,
    /// Tells this connection from earlier ones in the same slot.
    pub generation: u32,
    /// Index of its service.
    pub service: u16,
    /// Index of its path.
    pub path: u16,
    /// Facts that the owner wants to have at hand, one bit each.
    pub flags: u32,
}

/// Facts about a connection, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u16);

impl Marks {
    /// Timestamps were agreed on.
    pub(crate) const TIMESTAMPS: u16 = 1;
    /// Selective acknowledgments were agreed on.
    pub(crate) const SACK: u16 = 1 << 1;
    /// Window scaling was agreed on.
    pub(crate) const SCALING: u16 = 1 << 2;
    /// We opened it.
    pub(crate) const ACTIVE: u16 = 1 << 3;
    /// A SYN (or SYN-ACK) has to leave.
    pub(crate) const SYN_DUE: u16 = 1 << 4;
    /// The application closed before the connection was established.
    pub(crate) const FIN_WANTED: u16 = 1 << 5;
    /// The application closed both directions: data that still comes in is refused.
    pub(crate) const DEAF: u16 = 1 << 6;
    /// A window probe, or a segment smaller than silly-window avoidance likes, has to leave.
    pub(crate) const PROBE_DUE: u16 = 1 << 7;
    /// Explicit congestion notification was agreed on.
    pub(crate) const ECN: u16 = 1 << 8;
    /// The network marked a segment: our ACKs echo that until the peer says that it knows.
    pub(crate) const ECHO: u16 = 1 << 9;
    /// Our window was reduced for an echo: the next new data says so.
    pub(crate) const REDUCED: u16 = 1 << 10;
    /// Small segments wait for an acknowledgment (Nagle).
    pub(crate) const NAGLE: u16 = 1 << 11;
    /// Segments that are not full wait until this is cleared.
    pub(crate) const CORK: u16 = 1 << 12;
    /// Silence is broken by probes.
    pub(crate) const KEEP_ALIVE: u16 = 1 << 13;
    /// Data waits for its turn: the record of what is in flight says until when.
    pub(crate) const PACED: u16 = 1 << 14;
    /// Urgent data is on its way out.
    pub(crate) const URGENT: u16 = 1 << 15;

    #[inline]
    pub(crate) const fn has(self, mark: u16) -> bool {
        self.0 & mark != 0
    }

    #[inline]
    pub(crate) fn set(&mut self, mark: u16, on: bool) {
        self.0 = if on { self.0 | mark } else { self.0 & !mark };
    }
}

/// First line: who it is. Read by demultiplexing, written rarely.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Identity {
    pub(crate) flow: FlowKey,
    pub(crate) state: State,
    pub(crate) congestion: CongestionAlgorithm,
    pub(crate) marks: Marks,
    pub(crate) owner: Owner,
}

/// Second line: what receiving reads and writes.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct HotRx {
    /// A delayed acknowledgment is due.
    pub(crate) ack_deadline: Instant,
    /// FIN-WAIT-2 has lasted long enough, or the peer has been silent for long.
    pub(crate) life_deadline: Instant,
    /// RCV.NXT.
    pub(crate) rcv_nxt: SeqNumber,
    /// The right edge of the window we announced: RCV.NXT + RCV.WND. Never moves left.
    pub(crate) rcv_adv: SeqNumber,
    /// In-order octets that the application has not consumed.
    pub(crate) unread: u32,
    /// TS.Recent (RFC 7323 §4.3).
    pub(crate) ts_recent: u32,
    /// When the last acceptable segment came, in milliseconds of our clock: the age of TS.Recent,
    /// and of the peer's last sign of life.
    pub(crate) heard_at_ms: u32,
    /// Last.ACK.sent (RFC 7323 §4.3).
    pub(crate) last_ack_sent: SeqNumber,
    /// Octets received since the last acknowledgment.
    pub(crate) unacked: u32,
    /// Record of what arrived out of order, or twice.
    pub(crate) reassembly: u32,
    /// Largest segment we said we take (our MSS option).
    pub(crate) rcv_mss: u16,
    /// Shift of the windows we announce (Rcv.Wind.Shift).
    pub(crate) rcv_scale: WindowScale,
    /// Shift of the windows we receive (Snd.Wind.Shift).
    pub(crate) snd_scale: WindowScale,
    /// Segments still to be acknowledged without delay at the start.
    pub(crate) quick_acks: u8,
    /// Duplicate acknowledgments owed, one for each out-of-order segment (RFC 5681 §4.2).
    pub(crate) duplicate_acks: u8,
    /// An acknowledgment must leave this turn.
    pub(crate) ack_now: bool,
    /// How often the receive buffer doubled.
    pub(crate) rcv_steps: u8,
    /// What the application had consumed when the measurement of its appetite began.
    pub(crate) intake_from: SeqNumber,
    /// When that was, in milliseconds of our clock.
    pub(crate) intake_at_ms: u32,
}

/// Third line: what sending reads and writes.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct HotTx {
    /// Retransmission timeout, or window probe when nothing is in flight.
    pub(crate) rto_deadline: Instant,
    /// SND.UNA.
    pub(crate) snd_una: SeqNumber,
    /// SND.NXT; it never moves back, retransmission has its own pointer in [`Flight`].
    pub(crate) snd_nxt: SeqNumber,
    /// Sequence number after the last octet that was queued; the number of our FIN.
    pub(crate) snd_end: SeqNumber,
    /// SND.WND in octets.
    //= rfc9293 3.1 REC-1
    pub(crate) snd_wnd: u32,
    /// SND.WL1. There is no SND.WL2: it would never be beyond SND.UNA, and an ACK before SND.UNA
    /// says nothing about the window.
    pub(crate) snd_wl1: SeqNumber,
    /// Record of what is rarely needed.
    pub(crate) cold: u32,
    /// Largest window the peer ever offered (for silly-window avoidance and RFC 5961 §5).
    pub(crate) max_wnd: u32,
    /// Congestion window and slow start threshold.
    pub(crate) window: Window,
    pub(crate) rtt: Rtt,
    /// When data was last sent, in milliseconds of our clock (RFC 5681 §4.1).
    pub(crate) sent_at_ms: u32,
    /// Record of what is in flight.
    pub(crate) flight: u32,
    /// Octets of payload a full segment carries: SMSS less the options of every segment.
    pub(crate) mss: u16,
    /// Duplicate acknowledgments in a row.
    pub(crate) duplicates: u8,
    /// Doublings of the retransmission timeout.
    pub(crate) backoff: u8,
}

/// A connection in one of the synchronised states, or on its way there.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Connection {
    pub(crate) id: Identity,
    pub(crate) rx: HotRx,
    pub(crate) tx: HotTx,
}

const _: () = {
    assert!(size_of::<Identity>() == 64);
    assert!(size_of::<HotRx>() == 64);
    assert!(size_of::<HotTx>() == 64);
    assert!(size_of::<Connection>() == 192);
};

/// Octets that the timestamps option takes from every segment, padding included.
pub(crate) const TIMESTAMPS_LEN: u16 = 12;
