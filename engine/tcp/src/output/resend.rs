//! Data that is sent again.

use crate::connection::Tcp;
use crate::flight::{Flight, Frto, Phase, Timer};
use crate::record::Connection;
use crate::recovery::Probe;
use crate::scoreboard::Sent;
use crate::segment::{Payload, Plan};
use crate::time::Instant;
use byway_wire::tcp::Flags;

impl Connection {
    /// The oldest lost segment, as far as the window allows. The window of the peer is not asked: it
    /// was sent within it once.
    //= rfc9293 3.8.6 SHLD-16 MAY-7
    //= rfc6675 5 S5-3
    //= rfc5682 2.1 S2.1-2
    pub(super) fn poll_resend(&mut self, now: Instant, tcp: &mut Tcp) -> Option<Plan> {
        let mss = u32::from(self.tx.mss);
        let fresh = self.fresh_data_fits();
        let cwnd = self.tx.window.cwnd;
        let flight = tcp.flights.get(self.tx.flight)?;
        let nothing_to_do = flight.board.lost() == 0 || flight.pipe() >= cwnd;
        if nothing_to_do || self.waits_for_its_turn(now, tcp) {
            return None;
        }
        let flight = tcp.flights.get_mut(self.tx.flight)?;
        if flight.frto == Frto::Probing {
            // F-RTO asks with new data before anything else is sent again. Without new data there
            // is no asking: an ACK of what is sent again now may cover what had arrived.
            if fresh || self.tx.snd_nxt.after(flight.recover) {
                return None;
            }
            flight.frto = Frto::Off;
        }
        let sent = flight.board.resend_lost(now, mss)?;
        if flight.phase == Phase::Loss {
            tcp.counters.slow_start_retrans += 1;
        }
        Some(self.resend_plan(&sent, now, tcp))
    }

    /// A tail loss probe: new data if there is some, else the last segment again.
    //= rfc8985 7.3 S7.3-1 S7.3-2 S7.3-3
    pub(super) fn poll_tail_probe(&mut self, now: Instant, tcp: &mut Tcp) -> Option<Plan> {
        let mss = u32::from(self.tx.mss);
        let fresh = self.fresh_data_fits();
        let flight = tcp.flights.get_mut(self.tx.flight)?;
        if !core::mem::take(&mut flight.probe_due) {
            return None;
        }
        let plan = if fresh {
            self.probe_with_data(now, tcp)
        } else {
            let sent = flight.board.resend_last(now, mss)?;
            self.resend_plan(&sent, now, tcp)
        };
        let (end, clock) = (self.tx.snd_nxt, tcp.timestamp(now));
        let flying = self.in_flight();
        let flight = tcp.flights.get_mut(self.tx.flight)?;
        flight.probe = Some(Probe {
            end,
            flying,
            resent: !fresh,
            clock,
        });
        flight.timer = Timer::Retransmission;
        self.arm_rto(now, tcp);
        Some(plan)
    }

    /// It is not marked as ECN-capable: a mark on a copy could be taken for one on the original.
    //= rfc3168 6.1.5 S6.1.5-1
    fn resend_plan(&mut self, sent: &Sent, now: Instant, tcp: &mut Tcp) -> Plan {
        let fin = sent.end().after(self.tx.snd_end);
        let len = sent.len() - u32::from(fin);
        if let Some(flight) = tcp.flights.get_mut(self.tx.flight) {
            note_resent(flight, sent.len());
            if flight.timer != Timer::Reordering {
                flight.timer = Timer::Retransmission;
                self.arm_rto(now, tcp);
            }
        }
        tcp.counters.retrans_segs += 1;
        self.count_resent(sent.len(), tcp);
        let mut plan = Plan {
            seq: sent.start,
            flags: if fin {
                Flags::ACK | Flags::FIN
            } else {
                Flags::ACK
            },
            options: self.data_options(len, now, tcp),
            payload: Payload {
                offset: sent.start.offset_from(self.tx.snd_una),
                len,
            },
            ..Plan::default()
        };
        //= rfc9293 3.9.1.2 MUST-61
        if len > 0 && sent.start + len == self.tx.snd_end {
            plan.flags |= Flags::PSH;
        }
        self.acknowledge(&mut plan, now, tcp);
        self.take_turn(len, now, tcp);
        self.tx.sent_at_ms = now.as_millis_wrapped();
        plan
    }
}

fn note_resent(flight: &mut Flight, octets: u32) {
    if flight.phase == Phase::Recovery {
        flight.prr.on_sent(octets);
    }
    if let Some(undo) = &mut flight.undo {
        undo.on_resent();
    }
}
