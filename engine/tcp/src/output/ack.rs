//! Acknowledgments and the window they announce.

use crate::config::Config;
use crate::connection::Tcp;
use crate::record::{Connection, Marks};
use crate::segment::Plan;
use crate::time::Instant;
use byway_wire::SeqNumber;
use byway_wire::tcp::{Flags, SackBlock, WireWindow};

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
        let mut plan = Plan {
            seq: self.tx.snd_nxt,
            flags: Flags::ACK,
            options: self.segment_options(now, tcp),
            ..Plan::default()
        };
        self.acknowledge(&mut plan, tcp);
        plan
    }

    /// Every segment that leaves carries the acknowledgment and the window of this moment, so
    /// nothing is owed after it.
    pub(super) fn acknowledge(&mut self, plan: &mut Plan, tcp: &mut Tcp) {
        plan.ack = self.rx.rcv_nxt;
        if self.id.marks.has(Marks::ECHO) {
            plan.flags |= Flags::ECE;
        }
        plan.window = self.announce_window(tcp);
        self.rx.last_ack_sent = self.rx.rcv_nxt;
        self.rx.ack_now = false;
        if !plan.options.sack.is_empty() {
            self.rx.repeated = SackBlock::default();
        }
        self.rx.unacked = 0;
        self.rx.ack_deadline = Instant::NEVER;
    }

    /// Where the window could end: what is consumed plus the buffer, and no further than the
    /// 16 bits of the field reach.
    //= rfc9293 3.8.6.1 MAY-8
    fn window_limit(&self, config: &Config) -> SeqNumber {
        let reach = 0xffff_u32 << self.rx.rcv_scale.shift();
        let free = config.rcv_buf.saturating_sub(self.rx.unread);
        self.rx.rcv_nxt + free.min(reach)
    }

    /// How far the right edge could move, if that is far enough to be worth saying (silly-window
    /// avoidance of the receiver).
    //= rfc9293 3.8.6.2.2 MUST-39
    fn window_gain(&self, config: &Config) -> Option<u32> {
        let limit = self.window_limit(config);
        let gain = if limit.after(self.rx.rcv_adv) {
            limit.offset_from(self.rx.rcv_adv)
        } else {
            0
        };
        let enough = (config.rcv_buf / 2).min(u32::from(self.rx.rcv_mss));
        (gain >= enough).then_some(gain)
    }

    /// The peer may be waiting for the window: less than half of it is left, and there is more.
    pub(crate) fn window_update_due(&self, config: &Config) -> bool {
        let left = self.rx.rcv_adv.offset_from(self.rx.rcv_nxt);
        let most = config.rcv_buf.min(0xffff_u32 << self.rx.rcv_scale.shift());
        left < most / 2 && self.window_gain(config).is_some()
    }

    /// The window field for this moment. The right edge never moves left but for the rounding of
    /// the scale, and data up to the furthest edge ever announced is taken (RFC 7323 §2.4).
    //= rfc9293 3.8.6 SHLD-14
    //= rfc7323 2.4 S2.4-2
    fn announce_window(&mut self, tcp: &mut Tcp) -> WireWindow {
        let gain = self.window_gain(&tcp.config).unwrap_or(0);
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
        let mut plan = self.ack_plan(now, tcp);
        plan.seq = self.tx.snd_una - 1;
        plan
    }
}
