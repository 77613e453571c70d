//! The passive side before there is a connection: half-open entries, and resets for strangers.

use crate::connection::{Agreed, Tcp, asks_for_ecn};
use crate::effects::DropReason;
use crate::isn::initial_sequence_number;
use crate::record::Connection;
use crate::rtt::Rtt;
use crate::segment::{Plan, Segment};
use crate::state::State;
use crate::time::Instant;
use byway_wire::tcp::{Flags, Options, Timestamps, WindowScale};
use byway_wire::{FlowKey, SeqNumber};

/// A connection in SYN-RECEIVED that a listener has not accepted yet: all that is kept until the
/// peer has shown that its address is its own.
#[derive(Clone, Copy, Debug)]
pub struct SynEntry {
    flow: FlowKey,
    iss: SeqNumber,
    irs: SeqNumber,
    agreed: Agreed,
    /// Our MSS option.
    mss: u16,
    /// SYN-ACKs sent again.
    retries: u8,
    /// When the SYN came, if that is known.
    born: Option<Instant>,
    deadline: Instant,
}

/// What a segment does to a half-open entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynVerdict {
    /// The entry stays; send this, if it is something.
    Stay(Option<Plan>),
    /// Not taken.
    Drop(DropReason),
    /// The handshake is done: make a [`Connection`] with [`Connection::accept`], give it this very
    /// segment, and forget the entry.
    Accept,
    /// The peer reset it: forget the entry.
    Reset,
}

/// What a timeout does to a half-open entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynTimeout {
    /// Not due yet: the deadline moved.
    Early,
    /// Send the SYN-ACK again.
    Resend(Plan),
    /// The peer does not answer: forget the entry.
    Expired,
}

impl Tcp {
    /// A SYN for a listener: the entry to keep, whose [`SynEntry::syn_ack`] is to be sent.
    /// `mss` is what fits the path. The caller has checked that the segment is a SYN without ACK,
    /// RST or FIN.
    //= rfc9293 3.10.7.2 S3.10.7.2-2
    pub fn accept_syn(&mut self, flow: FlowKey, seg: &Segment, mss: u16, now: Instant) -> SynEntry {
        self.counters.in_segs += 1;
        SynEntry {
            flow,
            iss: initial_sequence_number(&self.secrets, &flow, now),
            irs: seg.seq,
            agreed: Agreed::from_syn(seg, &self.config, flow.remote.address.is_v4()),
            mss,
            retries: 0,
            born: Some(now),
            deadline: now + self.config.rto_initial,
        }
    }

    /// The answer to a segment that belongs to no connection: a reset, except to a reset.
    //= rfc9293 3.10.7.1 S3.10.7.1-1
    //= rfc9293 3.10.7.2 S3.10.7.2-1
    pub fn reset_for(&mut self, seg: &Segment) -> Option<Plan> {
        if seg.flags.contains(Flags::RST) {
            return None;
        }
        if seg.flags.contains(Flags::ACK) {
            return Some(reset_for_ack(seg, self));
        }
        self.counters.out_rsts += 1;
        self.counters.out_segs += 1;
        Some(Plan {
            seq: SeqNumber::new(0),
            ack: seg.seq + seg.seq_len(),
            flags: Flags::RST | Flags::ACK,
            ..Plan::default()
        })
    }
}

/// SYN and ACK, and ECE when the peer asked for ECN (RFC 3168 §6.1.1).
//= rfc3168 6.1.1 S6.1.1-1
pub(crate) fn syn_ack_flags(ecn: bool) -> Flags {
    let flags = Flags::SYN | Flags::ACK;
    if ecn { flags | Flags::ECE } else { flags }
}

/// `<SEQ=SEG.ACK><CTL=RST>`: the reset for an ACK of something that was never sent.
pub(crate) fn reset_for_ack(seg: &Segment, tcp: &mut Tcp) -> Plan {
    tcp.counters.out_rsts += 1;
    tcp.counters.out_segs += 1;
    Plan {
        seq: seg.ack,
        flags: Flags::RST,
        ..Plan::default()
    }
}

impl SynEntry {
    /// Begins the new connection beyond the sequence numbers of the one before it between the same
    /// two ends, so that no old segment fits into it. Before the SYN-ACK is sent.
    //= rfc9293 3.6.1 MAY-2
    pub fn begin_beyond(&mut self, old: SeqNumber) {
        if self.iss.at_or_before(old) {
            // The step that BSD took between connections; any would do.
            self.iss = old + 64_000;
        }
    }

    /// The entry that a SYN would have left that was answered with a cookie.
    pub(crate) fn from_cookie(
        flow: FlowKey,
        iss: SeqNumber,
        irs: SeqNumber,
        agreed: Agreed,
        mss: u16,
        now: Instant,
    ) -> Self {
        Self {
            flow,
            iss,
            irs,
            agreed,
            mss,
            retries: 0,
            // Nothing was kept of the SYN, so the round trip is not known.
            born: None,
            deadline: now,
        }
    }

    /// Begins the new connection at this sequence number.
    pub(crate) fn begin_at(&mut self, iss: SeqNumber) {
        self.iss = iss;
    }

    /// What was agreed on, to change.
    pub(crate) fn agreed_mut(&mut self) -> &mut Agreed {
        &mut self.agreed
    }

    /// The two ends.
    pub fn flow(&self) -> &FlowKey {
        &self.flow
    }

    /// When [`on_timeout`](Self::on_timeout) is due.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The SYN-ACK, with those options of ours that the peer offered too.
    //= rfc9293 3.7.1 MUST-14 MUST-67 SHLD-5 MAY-3
    //= rfc7323 2.2 S2.2-1
    //= rfc7323 3.2 S3.2-1
    pub fn syn_ack(&self, now: Instant, tcp: &mut Tcp) -> Plan {
        tcp.counters.out_segs += 1;
        let config = &tcp.config;
        Plan {
            seq: self.iss,
            ack: self.irs + 1,
            flags: syn_ack_flags(self.agreed.ecn),
            window: WindowScale::ZERO.narrow(config.syn_window()),
            options: Options {
                mss: Some(self.mss),
                window_scale: self
                    .agreed
                    .snd_scale
                    .map(|_| WindowScale::clamped(config.receive_scale())),
                sack_permitted: self.agreed.sack,
                timestamps: self.timestamps(now, tcp),
                ..Options::default()
            },
            ..Plan::default()
        }
    }

    fn timestamps(&self, now: Instant, tcp: &Tcp) -> Option<Timestamps> {
        self.agreed.timestamps.map(|echo| Timestamps {
            value: tcp.timestamp(now),
            echo,
        })
    }

    /// A segment arrives for SYN-RECEIVED.
    //= rfc9293 3.10.7.4 S3.10.7.4-6
    pub fn on_segment(&mut self, seg: &Segment, now: Instant, tcp: &mut Tcp) -> SynVerdict {
        if self.is_syn_again(seg) && !asks_for_ecn(seg.flags) {
            // The first one may have been dropped for asking.
            //= rfc3168 6.1.1 S6.1.1-3
            self.agreed.ecn = false;
        }
        let verdict = self.judge(seg, now, tcp);
        // A segment that is accepted is counted by the connection that it is given to.
        tcp.counters.in_segs += u64::from(verdict != SynVerdict::Accept);
        verdict
    }

    //= rfc9293 3.10.7.4 S3.10.7.4-1 S3.10.7.4-2 S3.10.7.4-5 S3.10.7.4-6
    //= rfc7323 5.3 S5.3-1
    //= rfc7323 3.2 S3.2-4
    fn judge(&self, seg: &Segment, now: Instant, tcp: &mut Tcp) -> SynVerdict {
        let in_window = self.in_window(seg, tcp);
        if seg.flags.contains(Flags::RST) {
            return self.on_reset(seg, in_window, now, tcp);
        }
        if self.is_syn_again(seg) {
            // Our SYN-ACK was lost, or the SYN was duplicated on the way.
            return SynVerdict::Stay(Some(self.syn_ack(now, tcp)));
        }
        // What is accepted here must be acceptable to the connection that comes of it.
        let fresh = match (self.agreed.timestamps, seg.options.timestamps) {
            (Some(recent), Some(t)) => (t.value.wrapping_sub(recent) as i32) >= 0,
            (Some(_), None) if !seg.flags.contains(Flags::SYN) => {
                tcp.counters.drop(DropReason::NoTimestamp);
                return SynVerdict::Drop(DropReason::NoTimestamp);
            }
            _ => true,
        };
        if !in_window || !fresh || seg.flags.contains(Flags::SYN) {
            return SynVerdict::Stay(self.challenge(now, tcp));
        }
        if !seg.flags.contains(Flags::ACK) {
            tcp.counters.drop(DropReason::NoAck);
            return SynVerdict::Drop(DropReason::NoAck);
        }
        if seg.ack != self.iss + 1 {
            tcp.counters.drop(DropReason::BadAck);
            return SynVerdict::Stay(Some(reset_for_ack(seg, tcp)));
        }
        SynVerdict::Accept
    }

    fn is_syn_again(&self, seg: &Segment) -> bool {
        seg.flags.contains(Flags::SYN) && seg.seq == self.irs
    }

    /// The window that the SYN-ACK offered; a segment without length may sit on its right edge.
    //= rfc9293 3.10.7.4 S3.10.7.4-1
    fn in_window(&self, seg: &Segment, tcp: &Tcp) -> bool {
        let window = tcp.config.syn_window();
        let starts = seg.seq.offset_from(self.irs + 1);
        if seg.seq_len() == 0 {
            starts <= window
        } else {
            starts < window
        }
    }

    /// RFC 5961 §3: exactly at RCV.NXT it counts, elsewhere in the window it is challenged.
    //= rfc9293 3.10.7.4 MUST-11 S3.10.7.4-4
    //= rfc5961 3.2 S3.2-1 S3.2-2 S3.2-3
    fn on_reset(&self, seg: &Segment, in_window: bool, now: Instant, tcp: &mut Tcp) -> SynVerdict {
        if seg.seq == self.irs + 1 {
            tcp.counters.attempt_fails += 1;
            return SynVerdict::Reset;
        }
        if in_window {
            tcp.counters.drop(DropReason::ResetChallenged);
            return SynVerdict::Stay(self.challenge(now, tcp));
        }
        tcp.counters.drop(DropReason::ResetOutOfWindow);
        SynVerdict::Drop(DropReason::ResetOutOfWindow)
    }

    //= rfc5961 7 S7-1
    fn challenge(&self, now: Instant, tcp: &mut Tcp) -> Option<Plan> {
        if !tcp.may_challenge(now) {
            return None;
        }
        tcp.counters.out_segs += 1;
        Some(Plan {
            seq: self.iss + 1,
            ack: self.irs + 1,
            flags: Flags::ACK,
            // What the SYN-ACK offered, scaled as in every segment without SYN (RFC 7323 §2.2).
            window: self
                .agreed
                .snd_scale
                .map_or(WindowScale::ZERO, |_| {
                    WindowScale::clamped(tcp.config.receive_scale())
                })
                .narrow(tcp.config.syn_window()),
            options: Options {
                timestamps: self.timestamps(now, tcp),
                ..Options::default()
            },
            ..Plan::default()
        })
    }

    /// The deadline may have passed: sends the SYN-ACK again, at doubling intervals.
    //= rfc9293 3.8.3 MUST-22
    //= rfc6298 5 S5-6
    pub fn on_timeout(&mut self, now: Instant, tcp: &mut Tcp) -> SynTimeout {
        if now < self.deadline {
            return SynTimeout::Early;
        }
        if self.retries >= tcp.config.syn_ack_retries {
            tcp.counters.attempt_fails += 1;
            return SynTimeout::Expired;
        }
        self.retries += 1;
        self.deadline = now + Rtt::default().timeout(&tcp.config, self.retries);
        tcp.counters.syn_retrans += 1;
        tcp.counters.retrans_segs += 1;
        SynTimeout::Resend(self.syn_ack(now, tcp))
    }
}

impl Connection {
    /// The connection that a half-open entry becomes when its peer answered. It is in SYN-RECEIVED
    /// until it is given the segment that was judged [`SynVerdict::Accept`].
    //= rfc6298 3 S3-1
    pub fn accept(entry: &SynEntry, now: Instant, tcp: &mut Tcp) -> Self {
        let mut conn = Self::blank(
            entry.flow,
            State::SynReceived,
            entry.iss,
            entry.mss,
            now,
            &tcp.config,
        );
        conn.agree(&entry.agreed, entry.irs, &tcp.config);
        conn.tx.snd_nxt = entry.iss + 1;
        conn.begin_cold(now, tcp);
        if let Some(born) = entry.born.filter(|_| entry.retries == 0) {
            conn.tx.rtt.sample(now.since(born));
        }
        conn.tx.backoff = entry.retries;
        // Until the segment that was judged is taken: no connection is without a timer.
        conn.tx.rto_deadline = now + conn.rto(&tcp.config);
        tcp.counters.passive_opens += 1;
        conn
    }
}
