//! Timers: why each fires, and what happens then.
//!
//! | deadline | fires when | then |
//! |---|---|---|
//! | `rto_deadline`, SYN outstanding | the SYN was not answered | SYN again, or the attempt is over |
//! | `rto_deadline`, data in flight | see [`Timer`](crate::flight::Timer): RTO, tail probe or reordering | recovery |
//! | `rto_deadline`, nothing in flight | the peer's window keeps data back | window probe |
//! | `ack_deadline` | an ACK waited long enough for company | ACK |
//! | `life_deadline` | FIN-WAIT-2 lasts too long | give it up |
//! | `life_deadline`, keep-alive on | the peer has been silent | probe it, in the end give it up |
//! | `life_deadline`, lingering | the close takes longer than it may | reset |
//! | the pace of what is in flight | the next segment has its turn | it is sent |

use crate::connection::Tcp;
use crate::effects::{CloseReason, Effects};
use crate::record::{Connection, Marks};
use crate::recovery;
use crate::state::State;
use crate::time::{Duration, Instant};

impl Connection {
    /// When [`on_timeout`](Self::on_timeout) or [`poll_transmit`](Self::poll_transmit) has something
    /// to do, `Instant::NEVER` when nothing.
    #[inline]
    pub fn deadline(&self, tcp: &Tcp) -> Instant {
        let timers = self
            .tx
            .rto_deadline
            .min(self.rx.ack_deadline)
            .min(self.rx.life_deadline);
        if self.id.marks.has(Marks::PACED) {
            timers.min(self.next_turn(tcp))
        } else {
            timers
        }
    }

    /// Timeouts in a row, those of probes of a closed window included: doublings of the RTO.
    #[inline]
    pub fn timeouts_in_a_row(&self) -> u8 {
        self.tx.backoff
    }

    /// Lets the timers that are due fire. Calling it early is harmless.
    pub fn on_timeout(&mut self, now: Instant, tcp: &mut Tcp, fx: &mut Effects) {
        if self.rx.ack_deadline <= now {
            self.rx.ack_deadline = Instant::NEVER;
            self.rx.ack_now = true;
            tcp.counters.delayed_acks += 1;
        }
        if self.tx.rto_deadline <= now {
            self.tx.rto_deadline = Instant::NEVER;
            self.on_retransmission_timeout(now, tcp, fx);
        }
        if self.rx.life_deadline <= now {
            self.rx.life_deadline = Instant::NEVER;
            self.on_life_timeout(now, tcp, fx);
        }
    }

    /// In FIN-WAIT-2 the peer had long enough to close, and while we linger to acknowledge;
    /// elsewhere it is asked whether it lives.
    //= rfc9293 3.8.4 MUST-26 MUST-27 MUST-29 MAY-5
    fn on_life_timeout(&mut self, now: Instant, tcp: &mut Tcp, fx: &mut Effects) {
        if self.id.marks.has(Marks::DEAF) {
            if self.id.state == State::FinWait2 {
                return self.finish(CloseReason::TimedOut, fx);
            }
            if self.linger(tcp).is_some() {
                fx.reply = self.abort(now, tcp);
                return self.finish(CloseReason::Aborted, fx);
            }
        }
        let keep = tcp.config.keep_alive;
        let silent_ms = now.as_millis_wrapped().wrapping_sub(self.rx.heard_at_ms);
        let left = keep
            .idle
            .saturating_sub(Duration::from_millis(u64::from(silent_ms)));
        let asks = self.in_flight() > 0 || self.tx.rto_deadline.is_armed();
        if asks || left > Duration::ZERO {
            // Retransmission or a window probe asks already, or the peer was heard of meanwhile.
            if !asks {
                self.tx.duplicates = 0;
            }
            let rest = if left > Duration::ZERO {
                left
            } else {
                keep.interval
            };
            self.rx.life_deadline = now + rest;
            return;
        }
        if self.tx.duplicates >= keep.probes {
            return self.give_up(tcp, fx);
        }
        self.tx.duplicates += 1;
        tcp.counters.keep_alives += 1;
        self.rx.life_deadline = now + keep.interval;
        fx.reply = Some(self.probe_plan(now, tcp));
        tcp.counters.out_segs += 1;
    }

    fn on_retransmission_timeout(&mut self, now: Instant, tcp: &mut Tcp, fx: &mut Effects) {
        if self.syn_unacknowledged() {
            self.on_syn_timeout(tcp, fx);
        } else if self.in_flight() == 0 {
            self.on_window_timeout(now, tcp, fx);
        } else if recovery::on_timeout(self, now, tcp) {
            self.on_data_timeout(now, tcp, fx);
        }
    }

    /// As with data: again after twice the time, and in the end the attempt is over.
    //= rfc9293 3.8.3 MUST-22
    fn on_syn_timeout(&mut self, tcp: &mut Tcp, fx: &mut Effects) {
        if self.tx.backoff >= tcp.config.syn_retries {
            tcp.counters.attempt_fails += 1;
            return self.finish(CloseReason::TimedOut, fx);
        }
        self.back_off();
        self.id.marks.set(Marks::SYN_DUE, true);
        tcp.counters.syn_retrans += 1;
        tcp.counters.retrans_segs += 1;
    }

    /// A window may stay closed for ever as long as the peer answers (MUST-37): with nothing in
    /// flight there are no duplicate ACKs, so their count is that of probes not answered.
    //= rfc9293 3.8.6.1 MUST-37 SHLD-30
    fn on_window_timeout(&mut self, now: Instant, tcp: &mut Tcp, fx: &mut Effects) {
        let limit = self.user_timeout(tcp);
        let unanswered = self.tx.duplicates;
        let Some(cold) = self.cold_mut(tcp) else {
            return;
        };
        if unanswered == 0 {
            cold.probing_since = now;
        }
        let impatient = limit.is_some_and(|limit| now.since(cold.probing_since) >= limit);
        if unanswered >= tcp.config.retries || impatient {
            return self.give_up(tcp, fx);
        }
        self.back_off();
        self.tx.duplicates += 1;
        self.id.marks.set(Marks::PROBE_DUE, true);
    }

    /// R2: enough was tried, or waited for.
    //= rfc9293 3.8.3 MUST-20
    //= rfc6298 5 S5-7
    fn on_data_timeout(&mut self, now: Instant, tcp: &mut Tcp, fx: &mut Effects) {
        let answered = tcp
            .flights
            .get_mut(self.tx.flight)
            .is_some_and(|flight| core::mem::take(&mut flight.answered));
        let tired = self.tx.backoff >= tcp.config.retries && !answered;
        if tired || self.user_gave_up(now, tcp) {
            return self.give_up(tcp, fx);
        }
        self.back_off();
        self.arm_rto(now, tcp);
    }

    /// The retransmission timeout begins anew, or what is left of the user's patience if that is less.
    pub(crate) fn arm_rto(&mut self, now: Instant, tcp: &Tcp) {
        self.tx.rto_deadline = now + self.rto(&tcp.config);
        if let Some(end) = self.end_of_patience(tcp) {
            self.tx.rto_deadline = self.tx.rto_deadline.min(end.max(now));
        }
    }

    /// What is in flight stayed unacknowledged for longer than the user wants to wait.
    //= rfc9293 3.8.3 MUST-21
    fn user_gave_up(&self, now: Instant, tcp: &Tcp) -> bool {
        self.end_of_patience(tcp).is_some_and(|end| now >= end)
    }

    /// Until when the user waits for what is in flight to be acknowledged.
    fn end_of_patience(&self, tcp: &Tcp) -> Option<Instant> {
        let flight = tcp.flights.get(self.tx.flight)?;
        Some(flight.progress? + self.user_timeout(tcp)?)
    }

    /// How long the user wants to wait: this connection's, else that of the configuration.
    fn user_timeout(&self, tcp: &Tcp) -> Option<Duration> {
        let cold = tcp.cold.get(self.tx.cold);
        cold.and_then(|cold| cold.user_timeout)
            .or(tcp.config.user_timeout)
    }

    /// The timeout doubles (RFC 6298 §5.5).
    //= rfc6298 5 S5-6
    //= rfc9293 3.8.2 MUST-19
    fn back_off(&mut self) {
        self.tx.backoff = self.tx.backoff.saturating_add(1).min(30);
    }

    fn give_up(&mut self, tcp: &mut Tcp, fx: &mut Effects) {
        tcp.counters.aborted_on_timeout += 1;
        self.finish(CloseReason::TimedOut, fx);
    }
}
