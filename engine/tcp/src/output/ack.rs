//! Acknowledgments and the window they announce.

use crate::connection::Tcp;
use crate::pool::NONE;
use crate::record::{Connection, Marks};
use crate::segment::Plan;
use crate::state::State;
use crate::time::Instant;
use byway_wire::ip::Ecn;
use byway_wire::tcp::{Flags, Timestamps, WireWindow};
use byway_wire::{SeqNumber, plain};

impl Connection {
    /// One ACK for each out-of-order segment: the peer counts them.
    //= rfc2018 4 S4-3
    pub(super) fn poll_duplicate_ack(&mut self, now: Instant, tcp: &mut Tcp) -> Option<Plan> {
        let owed = self.rx.duplicate_acks.checked_sub(1)?;
        let plan = self.ack_plan(now, tcp);
        self.rx.duplicate_acks = owed;
        Some(plan)
    }

    //= rfc9293 3.10.7.4 MUST-58 MUST-59
    //= rfc5681 4.2 S4.2-4
    pub(super) fn poll_ack(&mut self, now: Instant, tcp: &mut Tcp) -> Option<Plan> {
        self.rx.ack_now.then(|| self.ack_plan(now, tcp))
    }

    /// A segment that only acknowledges.
    //= rfc3168 6.1.4 S6.1.4-1
    pub(crate) fn ack_plan(&mut self, now: Instant, tcp: &mut Tcp) -> Plan {
        self.ack_plan_at(self.seq_in_window(), now, tcp)
    }

    /// SND.NXT, where a segment without data belongs, or the end of the peer's window when that was
    /// shrunk since: what is beyond it the peer would not take. What scaling rounded off counts as
    /// inside.
    //= rfc9293 3.8.6 MUST-34
    pub(crate) fn seq_in_window(&self) -> SeqNumber {
        let end = self.tx.snd_una + self.tx.snd_wnd;
        let slack = (1 << self.rx.snd_scale.shift()) - 1;
        if self.tx.snd_nxt.after(end + slack) {
            end
        } else {
            self.tx.snd_nxt
        }
    }

    fn ack_plan_at(&mut self, seq: SeqNumber, now: Instant, tcp: &mut Tcp) -> Plan {
        let mut plan = Plan {
            seq,
            flags: Flags::ACK,
            options: self.segment_options(now, tcp),
            ..Plan::default()
        };
        self.acknowledge(&mut plan, now, tcp);
        plan
    }

    /// Every segment that leaves carries the acknowledgment and the window of this moment, so
    /// nothing is owed after it.
    pub(super) fn acknowledge(&mut self, plan: &mut Plan, now: Instant, tcp: &mut Tcp) {
        plan.ack = self.rx.rcv_nxt;
        if self.id.marks.has(Marks::ECHO) {
            plan.flags |= Flags::ECE;
        }
        if self.id.marks.has(Marks::URGENT) {
            self.point_at_urgent(plan, tcp);
        }
        plan.window = self.announce(now, tcp);
        if !plan.options.sack.is_empty()
            && let Some(held) = tcp.reassembly.get_mut(self.rx.reassembly)
        {
            held.repeated_told();
            self.release_reassembly_if_empty(tcp);
        }
    }

    /// A segment leaves that acknowledges up to RCV.NXT: its window. Nothing is owed after it.
    #[inline]
    fn announce(&mut self, now: Instant, tcp: &mut Tcp) -> WireWindow {
        self.size_receive_buffer(now, &tcp.config);
        let window = self.announce_window(tcp);
        self.rx.last_ack_sent = self.rx.rcv_nxt;
        self.rx.ack_now = false;
        self.rx.unacked = 0;
        self.rx.ack_deadline = Instant::NEVER;
        window
    }

    /// True when all that [`poll_transmit`](Self::poll_transmit) has to give is one acknowledgment with
    /// plain headers: [`plain_ack`](Self::plain_ack) gives that in a shorter way.
    #[inline]
    pub fn owes_plain_ack(&self, tcp: &Tcp) -> bool {
        const UNUSUAL: u16 = Marks::ECHO | Marks::URGENT | Marks::PACED;
        self.tx.snd_nxt == self.tx.snd_end
            && self.rx.ack_now
            && tcp.config.header_prediction
            && self.id.state == State::Established
            && self.rx.reassembly == NONE
            && !self.id.marks.has(UNUSUAL)
            && self.sends_only_acks(tcp)
    }

    /// That acknowledgment. It must be sent, or be as good as lost on the way; nothing is to be sent
    /// after it.
    //= rfc9293 3.10.7.4 MUST-58 MUST-59
    //= rfc7323 3.2 S3.2-2
    #[inline]
    pub fn plain_ack(&mut self, now: Instant, tcp: &mut Tcp) -> plain::Header {
        debug_assert!(self.owes_plain_ack(tcp));
        tcp.counters.out_segs += 1;
        let timestamps = self.id.marks.has(Marks::TIMESTAMPS);
        plain::Header {
            seq: self.seq_in_window(),
            ack: self.rx.rcv_nxt,
            flags: Flags::ACK,
            urgent: 0,
            timestamps: timestamps.then(|| Timestamps {
                value: tcp.timestamp(now),
                echo: self.rx.ts_recent,
            }),
            ecn: Ecn::NotEct,
            window: self.announce(now, tcp),
        }
    }

    /// The urgent pointer, counted from this segment, as far as 16 bits tell. Past the urgent data
    /// there is none.
    //= rfc9293 3.8.5 MUST-31 MUST-62
    #[cold]
    fn point_at_urgent(&mut self, plan: &mut Plan, tcp: &Tcp) {
        let up = tcp.cold.get(self.tx.cold).map(|cold| cold.snd_up);
        let Some(up) = up.filter(|up| up.after(self.tx.snd_una)) else {
            self.id.marks.set(Marks::URGENT, false);
            return;
        };
        if up.after(plan.seq) {
            plan.flags |= Flags::URG;
            plan.urgent = up.offset_from(plan.seq).min(0xffff) as u16;
        }
    }

    /// Where the window could end: what is consumed plus the room there is, and no further than
    /// the 16 bits of the field reach.
    //= rfc9293 3.8.6.1 MAY-8
    fn window_limit(&self, tcp: &Tcp) -> SeqNumber {
        let reach = 0xffff_u32 << self.rx.rcv_scale.shift();
        let free = self.receive_room(tcp).saturating_sub(self.rx.unread);
        self.rx.rcv_nxt + free.min(reach)
    }

    /// How far the right edge could move, if that is far enough to be worth saying (silly-window
    /// avoidance of the receiver).
    //= rfc9293 3.8.6.2.2 MUST-39
    fn window_gain(&self, tcp: &Tcp) -> Option<u32> {
        let limit = self.window_limit(tcp);
        let gain = if limit.after(self.rx.rcv_adv) {
            limit.offset_from(self.rx.rcv_adv)
        } else {
            0
        };
        let enough = (self.receive_buffer(&tcp.config) / 2).min(u32::from(self.rx.rcv_mss));
        (gain >= enough).then_some(gain)
    }

    /// The peer may be waiting for the window: less than half of it is left, and there is more.
    pub(crate) fn window_update_due(&self, tcp: &Tcp) -> bool {
        let left = self.rx.rcv_adv.offset_from(self.rx.rcv_nxt);
        let reach = 0xffff_u32 << self.rx.rcv_scale.shift();
        let most = self.receive_room(tcp).min(reach);
        left < most / 2 && self.window_gain(tcp).is_some()
    }

    /// The window field for this moment. The right edge never moves left but for the rounding of
    /// the scale, and data up to the furthest edge ever announced is taken (RFC 7323 §2.4).
    //= rfc9293 3.8.6 SHLD-14
    //= rfc7323 2.4 S2.4-2
    fn announce_window(&mut self, tcp: &mut Tcp) -> WireWindow {
        let gain = self.window_gain(tcp).unwrap_or(0);
        let before = self.rx.rcv_adv.offset_from(self.rx.rcv_nxt);
        let field = self.rx.rcv_scale.narrow(before + gain);
        let announced = self.rx.rcv_nxt + self.rx.rcv_scale.widen(field);
        self.rx.rcv_adv = self.rx.rcv_adv.max(announced);
        if field.0 == 0 && self.rx.unacked > 0 {
            tcp.counters.to_zero_window += 1;
        }
        field
    }

    /// Asks for a zero-length segment just left of the peer's window: it must answer with an ACK
    /// that tells its window. No data is risked on a closed window.
    //= rfc9293 3.8.6.1 MUST-36
    pub(super) fn poll_probe(&mut self, now: Instant, tcp: &mut Tcp) -> Option<Plan> {
        if !self.id.marks.has(Marks::PROBE_DUE) {
            return None;
        }
        self.id.marks.set(Marks::PROBE_DUE, false);
        self.tx.rto_deadline = now + self.rto(&tcp.config);
        tcp.counters.window_probes += 1;
        Some(self.probe_plan(now, tcp))
    }

    /// A segment without data just left of the peer's window, which it must answer with an ACK.
    //= rfc9293 3.8.4 SHLD-12
    //= rfc3168 6.1.6 S6.1.6-1
    pub(crate) fn probe_plan(&mut self, now: Instant, tcp: &mut Tcp) -> Plan {
        self.ack_plan_at(self.tx.snd_una - 1, now, tcp)
    }
}
