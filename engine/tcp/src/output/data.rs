//! New data, and the FIN behind it.

use crate::config::Config;
use crate::connection::Tcp;
use crate::flight::{Phase, Timer};
use crate::record::{Connection, Marks};
use crate::recovery;
use crate::segment::{Payload, Plan};
use crate::time::Instant;
use byway_wire::tcp::Flags;

impl Connection {
    /// The next segment of new data, as much as both windows and good manners allow.
    //= rfc9293 3.9.1.2 MUST-60 SHLD-28 MAY-16
    pub(super) fn poll_data(&mut self, now: Instant, tcp: &mut Tcp) -> Option<Plan> {
        if self.fin_sent() {
            return None;
        }
        let queued = self.tx.snd_end.offset_from(self.tx.snd_nxt);
        let fin = self.id.state.fin_follows();
        if queued == 0 && !fin {
            return None;
        }
        self.restart_after_idle(now, tcp);
        let window = self.peer_room();
        let wanted = queued.min(u32::from(self.tx.mss)).min(window);
        let len = wanted.min(self.congestion_room(tcp));
        if len < wanted {
            self.note_limited(tcp);
        }
        let with_fin = fin && len == queued && len < window;
        if !self.worth_sending(len, queued, with_fin, &tcp.config) {
            self.wait_for_window(now, tcp);
            return None;
        }
        if self.waits_for_its_turn(now, tcp) {
            return None;
        }
        Some(self.data_plan(len, with_fin, now, tcp))
    }

    /// Octets that the peer's window leaves; none while it was shrunk below what is in flight.
    //= rfc9293 3.8.6 MUST-34 SHLD-15
    //= rfc5681 3.1 S3.1-1
    //= rfc7323 2.4 S2.4-3
    pub(crate) fn peer_room(&self) -> u32 {
        self.tx.snd_wnd.saturating_sub(self.in_flight())
    }

    /// Octets that the congestion window leaves. What a report of the peer took out of flight makes
    /// room: with SACK that is what is new in it, without SACK a duplicate ACK is a report.
    //= rfc5681 3.1 S3.1-1
    //= rfc5681 3.2 S3.2-4 S3.2-5
    //= rfc3042 2 S2-1 S2-2 S2-3
    //= rfc6675 5 S5-3
    pub(crate) fn congestion_room(&self, tcp: &Tcp) -> u32 {
        match tcp.flights.get(self.tx.flight) {
            Some(flight) if flight.board.is_full() => 0,
            Some(flight) => self.tx.window.cwnd.saturating_sub(flight.pipe()),
            None => self.tx.window.cwnd,
        }
    }

    /// There is data that was never sent, and the peer would take some of it.
    pub(super) fn fresh_data_fits(&self) -> bool {
        self.tx.snd_end.after(self.tx.snd_nxt) && self.peer_room() > 0
    }

    /// The congestion window is what holds data back: acknowledgments of what is in flight now may
    /// let it grow.
    //= rfc9438 5.8 S5.8-1
    fn note_limited(&mut self, tcp: &mut Tcp) {
        let at = self.tx.snd_nxt;
        if let Some(flight) = tcp.flights.get_mut(self.tx.flight) {
            flight.limited_at = Some(at);
        }
    }

    /// Silly-window avoidance of the sender, and Nagle where it is on.
    //= rfc9293 3.8.6.2.1 MUST-38
    //= rfc9293 3.7.4 SHLD-7
    fn worth_sending(&self, len: u32, queued: u32, with_fin: bool, config: &Config) -> bool {
        if len == 0 {
            return with_fin;
        }
        let marks = self.id.marks;
        let full = len == u32::from(self.tx.mss);
        // No company can come to a full buffer, so the cork holds nothing back there.
        let corked = marks.has(Marks::CORK) && self.buffered() < self.send_buffer(config);
        let all = len == queued && !corked && (!marks.has(Marks::NAGLE) || self.in_flight() == 0);
        let half_window = len >= self.tx.max_wnd / 2;
        let pressing = marks.has(Marks::PROBE_DUE) || marks.has(Marks::URGENT);
        full || all || half_window || with_fin || pressing
    }

    /// Nothing in flight, so no ACK will come by itself: probe the window after a while.
    //= rfc9293 3.8.6.1 SHLD-29
    fn wait_for_window(&mut self, now: Instant, tcp: &Tcp) {
        if self.in_flight() == 0 && !self.tx.rto_deadline.is_armed() {
            self.tx.rto_deadline = now + self.rto(&tcp.config);
        }
    }

    /// After a pause longer than the RTO the old window says nothing (RFC 5681 §4.1).
    //= rfc5681 4.1 S4.1-1
    fn restart_after_idle(&mut self, now: Instant, tcp: &Tcp) {
        if self.in_flight() > 0 {
            return;
        }
        let idle_ms = now.as_millis_wrapped().wrapping_sub(self.tx.sent_at_ms);
        let rto = self.tx.rtt.timeout_nanos(&tcp.config, self.tx.backoff);
        if u64::from(idle_ms) > rto / 1_000_000 {
            let restart = recovery::initial_window(tcp.config.initial_window, self.tx.mss);
            self.tx.window.cwnd = self.tx.window.cwnd.min(restart.cwnd);
        }
    }

    /// A tail loss probe with new data; the congestion window is not asked (RFC 8985 §7.3).
    pub(super) fn probe_with_data(&mut self, now: Instant, tcp: &mut Tcp) -> Plan {
        let queued = self.tx.snd_end.offset_from(self.tx.snd_nxt);
        let len = queued.min(u32::from(self.tx.mss)).min(self.peer_room());
        self.data_plan(len, false, now, tcp)
    }

    fn data_plan(&mut self, len: u32, with_fin: bool, now: Instant, tcp: &mut Tcp) -> Plan {
        let mut plan = Plan {
            seq: self.tx.snd_nxt,
            flags: Flags::ACK,
            options: self.data_options(len, now, tcp),
            payload: Payload {
                offset: self.in_flight(),
                len,
            },
            ..Plan::default()
        };
        //= rfc9293 3.9.1.2 MUST-61 SHLD-27
        if len > 0 && self.tx.snd_nxt + len == self.tx.snd_end {
            plan.flags |= Flags::PSH;
        }
        if with_fin {
            plan.flags |= Flags::FIN;
        }
        if self.id.marks.has(Marks::ECN) && len > 0 {
            // Only data that is sent for the first time, and no probes of a window.
            //= rfc3168 6.1.1 S6.1.1-2 S6.1.1-4
            //= rfc3168 6.1.6 S6.1.6-1
            plan.ecn_capable = self.peer_room() > 0;
            if self.id.marks.has(Marks::REDUCED) {
                //= rfc3168 6.1.2 S6.1.2-3
                self.id.marks.set(Marks::REDUCED, false);
                plan.flags |= Flags::CWR;
            }
        }
        self.acknowledge(&mut plan, now, tcp);
        self.id.marks.set(Marks::PROBE_DUE, false);
        self.note_sent(len + u32::from(with_fin), with_fin, now, tcp);
        self.take_turn(len, now, tcp);
        plan
    }

    /// Puts a new segment on the scoreboard, and sees to the timer.
    //= rfc6298 5 S5-2
    //= rfc8985 4 S4-2
    //= rfc8985 7.2 S7.2-1
    fn note_sent(&mut self, len: u32, fin: bool, now: Instant, tcp: &mut Tcp) {
        let first = self.in_flight() == 0;
        let start = self.tx.snd_nxt;
        self.tx.snd_nxt += len;
        self.tx.sent_at_ms = now.as_millis_wrapped();
        let (srtt_us, congestion) = (self.tx.rtt.srtt_us, self.id.congestion);
        let Some(flight) = self.flight_mut(tcp) else {
            return;
        };
        flight.board.push(start, len, fin, now);
        if first {
            flight.begin(now, srtt_us, congestion);
        }
        if flight.phase == Phase::Recovery {
            flight.prr.on_sent(len);
        }
        // The tail probe is for the last segment, and waits longer for a single one.
        let probing = flight.timer == Timer::TailProbe;
        if first {
            // Not a window probe any more, if it was one.
            self.tx.duplicates = 0;
        }
        if first || probing {
            recovery::arm_timer(self, now, tcp);
        }
    }
}
