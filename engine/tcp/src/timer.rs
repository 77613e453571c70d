//! Timers: why each fires, and what happens then.
//!
//! | deadline | fires when | then |
//! |---|---|---|
//! | `rto_deadline`, SYN outstanding | the SYN was not answered | SYN again, or the attempt is over |
//! | `rto_deadline`, data in flight | nothing new was acknowledged for an RTO | send again in slow start |
//! | `rto_deadline`, nothing in flight | the peer's window keeps data back | window probe |
//! | `ack_deadline` | an ACK waited long enough for company | ACK |
//! | `life_deadline` | the peer does not close its side | give up FIN-WAIT-2 |

use crate::connection::Tcp;
use crate::effects::{CloseReason, Effects};
use crate::record::{Connection, Marks};
use crate::recovery;
use crate::state::State;
use crate::time::Instant;

impl Connection {
    /// When [`on_timeout`](Self::on_timeout) has something to do, `Instant::NEVER` when nothing.
    #[inline]
    pub fn deadline(&self) -> Instant {
        self.tx
            .rto_deadline
            .min(self.rx.ack_deadline)
            .min(self.rx.life_deadline)
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
            self.finish(CloseReason::TimedOut, fx);
        }
    }

    //= rfc9293 3.8.3 MUST-22 SHLD-11
    fn on_retransmission_timeout(&mut self, now: Instant, tcp: &mut Tcp, fx: &mut Effects) {
        let syn = self.syn_unacknowledged();
        let idle = self.in_flight() == 0;
        let (tries, limit) = match (syn, idle) {
            (true, _) => (self.tx.backoff, tcp.config.syn_retries),
            (false, false) => (self.tx.backoff, tcp.config.retries),
            // A window may stay closed for ever as long as the peer answers (MUST-37): with
            // nothing in flight there are no duplicate ACKs, so the field counts probes that
            // were not answered.
            //= rfc9293 3.8.6.1 MUST-37
            (false, true) => (self.tx.duplicates, tcp.config.retries),
        };
        if tries >= limit {
            return self.give_up(syn, tcp, fx);
        }
        //= rfc6298 5 S5-6
        //= rfc9293 3.8.6.1 SHLD-30
        self.tx.backoff = self.tx.backoff.saturating_add(1).min(30);
        if syn {
            self.id.marks.set(Marks::SYN_DUE, true);
            tcp.counters.syn_retrans += 1;
            tcp.counters.retrans_segs += 1;
        } else if idle {
            self.tx.duplicates += 1;
            self.id.marks.set(Marks::PROBE_DUE, true);
        } else {
            recovery::on_timeout(self, tcp);
            //= rfc6298 5 S5-7
            self.tx.rto_deadline = now + self.rto(&tcp.config);
        }
    }

    fn give_up(&mut self, syn: bool, tcp: &mut Tcp, fx: &mut Effects) {
        if syn {
            tcp.counters.attempt_fails += 1;
        } else {
            debug_assert!(self.id.state != State::Closed);
            tcp.counters.aborted_on_timeout += 1;
        }
        self.finish(CloseReason::TimedOut, fx);
    }
}
