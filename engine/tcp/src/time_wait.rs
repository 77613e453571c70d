//! TIME-WAIT: a small record that outlives the connection.

use crate::connection::Tcp;
use crate::record::{Connection, Marks};
use crate::segment::{Plan, Segment};
use crate::time::Instant;
use byway_wire::tcp::{Flags, Options, Timestamps, WireWindow};
use byway_wire::{FlowKey, SeqNumber};

/// What is kept of a connection for two maximum segment lifetimes, so that its old segments do not
/// end up in a new one and a lost last ACK can be sent again.
#[derive(Clone, Copy, Debug)]
pub struct TimeWait {
    flow: FlowKey,
    snd_nxt: SeqNumber,
    rcv_nxt: SeqNumber,
    /// TS.Recent, when timestamps were in use.
    ts_recent: Option<u32>,
    window: WireWindow,
    deadline: Instant,
}

/// What a segment does to a TIME-WAIT record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeWaitVerdict {
    /// Nothing.
    Ignore,
    /// Send this.
    Reply(Plan),
    /// A new connection begins (RFC 6191, RFC 9293 §3.10.7.4): forget the record, treat the segment
    /// as a SYN for a listener, and begin beyond this sequence number.
    Reopen(SeqNumber),
}

impl Connection {
    /// The record to keep when [`Effects::time_wait`](crate::effects::Effects::time_wait) says so.
    pub fn time_wait(&self, now: Instant, tcp: &Tcp) -> TimeWait {
        let window = self.rx.rcv_adv.offset_from(self.rx.rcv_nxt);
        TimeWait {
            flow: self.id.flow,
            snd_nxt: self.tx.snd_nxt,
            rcv_nxt: self.rx.rcv_nxt,
            ts_recent: self
                .id
                .marks
                .has(Marks::TIMESTAMPS)
                .then_some(self.rx.ts_recent),
            window: self.rx.rcv_scale.narrow(window),
            //= rfc9293 3.6.1 MUST-13
            deadline: now + tcp.config.time_wait,
        }
    }
}

impl TimeWait {
    /// The two ends.
    pub fn flow(&self) -> &FlowKey {
        &self.flow
    }

    /// When the record may be forgotten.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// A segment arrives in TIME-WAIT.
    //= rfc9293 3.10.7.4 S3.10.7.4-12
    pub fn on_segment(&mut self, seg: &Segment, now: Instant, tcp: &mut Tcp) -> TimeWaitVerdict {
        let verdict = self.judge(seg, now, tcp);
        // A SYN that begins anew is counted where it begins.
        let begins = matches!(verdict, TimeWaitVerdict::Reopen(_));
        tcp.counters.in_segs += u64::from(!begins);
        verdict
    }

    //= rfc9293 3.10.7.4 S3.10.7.4-2 S3.10.7.4-12
    //= rfc9293 3.6.1 MAY-2
    //= rfc5961 7 S7-1
    fn judge(&mut self, seg: &Segment, now: Instant, tcp: &mut Tcp) -> TimeWaitVerdict {
        if seg.flags.contains(Flags::RST) {
            //= rfc1337 3 S3-1
            // A reset must not cut TIME-WAIT short (RFC 1337).
            return TimeWaitVerdict::Ignore;
        }
        if seg.flags.contains(Flags::SYN) && !seg.flags.contains(Flags::ACK) && self.is_new(seg) {
            return TimeWaitVerdict::Reopen(self.snd_nxt);
        }
        //= rfc7323 5.3 S5.3-1
        let outdated = match (self.ts_recent, seg.options.timestamps) {
            (Some(recent), Some(t)) => (t.value.wrapping_sub(recent) as i32) < 0,
            _ => false,
        };
        let nothing_new = seg.seq_len() == 0 && seg.seq == self.rcv_nxt && !outdated;
        if nothing_new {
            return TimeWaitVerdict::Ignore;
        }
        if seg.flags.contains(Flags::FIN) && seg.seq + seg.seq_len() == self.rcv_nxt {
            // "Acknowledge it, and restart the 2 MSL timeout."
            self.deadline = now + tcp.config.time_wait;
        }
        // Two ends out of step must not answer each other's ACKs for ever.
        if seg.seq_len() == 0 && !tcp.may_challenge(now) {
            return TimeWaitVerdict::Ignore;
        }
        TimeWaitVerdict::Reply(self.acknowledgment(now, tcp))
    }

    /// The SYN cannot be an old one: its sequence number, or its timestamp, is beyond the last.
    //= rfc6191 2 S2-1 S2-2 S2-3
    //= rfc9293 3.6.1 SHLD-4
    fn is_new(&self, seg: &Segment) -> bool {
        match (self.ts_recent, seg.options.timestamps) {
            (Some(recent), Some(t)) if t.value != recent => {
                (t.value.wrapping_sub(recent) as i32) > 0
            }
            _ => seg.seq.after(self.rcv_nxt),
        }
    }

    fn acknowledgment(&self, now: Instant, tcp: &mut Tcp) -> Plan {
        tcp.counters.out_segs += 1;
        let timestamps = self.ts_recent.map(|echo| Timestamps {
            value: tcp.timestamp(now),
            echo,
        });
        Plan {
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: Flags::ACK,
            window: self.window,
            options: Options {
                timestamps,
                ..Options::default()
            },
            ..Plan::default()
        }
    }
}
