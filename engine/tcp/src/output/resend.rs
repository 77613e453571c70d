//! Data that is sent again.

use crate::connection::Tcp;
use crate::flight::Phase;
use crate::record::Connection;
use crate::recovery;
use crate::segment::{Payload, Plan};
use crate::time::Instant;
use byway_wire::tcp::Flags;

impl Connection {
    //= rfc9293 3.8.6 SHLD-16 MAY-7
    pub(super) fn poll_resend(&mut self, now: Instant, tcp: &mut Tcp) -> Option<Plan> {
        let flight = tcp.flights.get_mut(self.tx.flight)?;
        if !flight.resend_due() {
            return None;
        }
        if flight.phase == Phase::Loss && recovery::outstanding(self, flight) >= self.tx.cwnd {
            return None;
        }
        let from = flight.resend;
        let data_end = flight.resend_end.min(self.tx.snd_end);
        let len = data_end.offset_from(from).min(u32::from(self.tx.mss));
        // `from` may sit on the FIN itself; then there is no data left before it.
        let len = if from.after(self.tx.snd_end) { 0 } else { len };
        let with_fin = from + len == self.tx.snd_end && flight.resend_end.after(self.tx.snd_end);
        flight.resend = from + len + u32::from(with_fin);
        flight.timed = None;
        if flight.phase == Phase::Loss {
            tcp.counters.slow_start_retrans += 1;
        }
        tcp.counters.retrans_segs += 1;
        let mut plan = Plan {
            seq: from,
            flags: if with_fin {
                Flags::ACK | Flags::FIN
            } else {
                Flags::ACK
            },
            options: self.data_options(len, now, tcp),
            payload: Payload {
                offset: from.offset_from(self.tx.snd_una),
                len,
            },
            ..Plan::default()
        };
        self.acknowledge(&mut plan, tcp);
        self.tx.sent_at_ms = now.as_millis_wrapped();
        self.tx.rto_deadline = now + self.rto(&tcp.config);
        Some(plan)
    }
}
