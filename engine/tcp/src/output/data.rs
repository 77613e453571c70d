//! New data, and the FIN behind it.

use crate::connection::Tcp;
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
        let (window, congestion) = self.room(tcp);
        let len = queued
            .min(u32::from(self.tx.mss))
            .min(window)
            .min(congestion);
        let with_fin = fin && len == queued && len < window;
        if !self.worth_sending(len, queued, with_fin, tcp) {
            self.wait_for_window(now, tcp);
            return None;
        }
        Some(self.data_plan(len, len == queued, with_fin, now, tcp))
    }

    /// Octets that the peer's window and the congestion window leave.
    //= rfc9293 3.8.6 MUST-34 SHLD-15
    //= rfc5681 3.1 S3.1-1
    //= rfc7323 2.4 S2.4-3
    fn room(&self, tcp: &Tcp) -> (u32, u32) {
        let flight = tcp.flights.get(self.tx.flight);
        let outstanding = flight.map_or(0, |flight| recovery::outstanding(self, flight));
        let congestion = recovery::limit(self, flight).saturating_sub(outstanding);
        (self.tx.snd_wnd.saturating_sub(self.in_flight()), congestion)
    }

    /// Silly-window avoidance of the sender, and Nagle where it is on.
    //= rfc9293 3.8.6.2.1 MUST-38
    //= rfc9293 3.7.4 SHLD-7
    fn worth_sending(&self, len: u32, queued: u32, with_fin: bool, tcp: &Tcp) -> bool {
        if len == 0 {
            return with_fin;
        }
        let full = len == u32::from(self.tx.mss);
        let all = len == queued && (!tcp.config.nagle || self.in_flight() == 0);
        let half_window = len >= self.tx.max_wnd / 2;
        full || all || half_window || with_fin || self.id.marks.has(Marks::PROBE_DUE)
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
        if u128::from(idle_ms) > self.rto(&tcp.config).as_millis() {
            let restart = tcp.config.initial_window * u32::from(self.tx.mss);
            self.tx.cwnd = self.tx.cwnd.min(restart);
        }
    }

    fn data_plan(
        &mut self,
        len: u32,
        last: bool,
        with_fin: bool,
        now: Instant,
        tcp: &mut Tcp,
    ) -> Plan {
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
        //= rfc9293 3.9.1.2 SHLD-27
        if last && len > 0 {
            plan.flags |= Flags::PSH;
        }
        if with_fin {
            plan.flags |= Flags::FIN;
        }
        self.acknowledge(&mut plan, tcp);
        self.id.marks.set(Marks::PROBE_DUE, false);
        if self.in_flight() == 0 {
            //= rfc6298 5 S5-1 S5-2
            // Not a window probe any more, if it was one.
            self.tx.rto_deadline = now + self.rto(&tcp.config);
            self.tx.duplicates = 0;
        }
        self.tx.snd_nxt += len + u32::from(with_fin);
        self.tx.sent_at_ms = now.as_millis_wrapped();
        let end = self.tx.snd_nxt;
        if let Some(flight) = self.flight_mut(tcp) {
            flight.timed.get_or_insert((end, now));
        }
        plan
    }
}
