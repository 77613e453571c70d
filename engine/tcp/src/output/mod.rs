//! What is to be sent: SYN, retransmissions, new data, probes, acknowledgments, in this order.

mod ack;
mod data;
mod resend;
mod syn;

use crate::connection::Tcp;
use crate::flight::Flight;
use crate::pool::NONE;
use crate::record::{Connection, Marks, TIMESTAMPS_LEN};
use crate::segment::Plan;
use crate::state::State;
use crate::time::Instant;
use byway_wire::tcp::{Options, Timestamps};

/// Room for SACK blocks beside the timestamps option: three (RFC 2018 §3), else four.
const fn sack_room(timestamps: bool) -> usize {
    if timestamps { 3 } else { 4 }
}

const _: () = assert!(TIMESTAMPS_LEN as usize + 4 + 8 * sack_room(true) <= 40);

impl Connection {
    /// The next segment to send, if there is one now. Call it until `None`; each plan must be sent,
    /// or be as good as lost on the way.
    pub fn poll_transmit(&mut self, now: Instant, tcp: &mut Tcp) -> Option<Plan> {
        self.id.marks.set(Marks::PACED, false);
        let only_acks = self.sends_only_acks(tcp);
        if only_acks && !self.rx.ack_now {
            return None;
        }
        let plan = match self.id.state {
            State::Closed | State::Listen | State::TimeWait => None,
            State::SynSent | State::SynReceived => self.poll_syn(now, tcp),
            _ if only_acks => Some(self.ack_plan(now, tcp)),
            _ if self.rx.duplicate_acks == 0 && self.has_nothing_to_resend(tcp) => self
                .poll_data(now, tcp)
                .or_else(|| self.poll_probe(now, tcp))
                .or_else(|| self.poll_ack(now, tcp)),
            _ => self
                .poll_duplicate_ack(now, tcp)
                .or_else(|| self.poll_resend(now, tcp))
                .or_else(|| self.poll_tail_probe(now, tcp))
                .or_else(|| self.poll_data(now, tcp))
                .or_else(|| self.poll_probe(now, tcp))
                .or_else(|| self.poll_ack(now, tcp)),
        };
        tcp.counters.out_segs += u64::from(plan.is_some());
        plan
    }

    /// True when [`poll_transmit`](Self::poll_transmit) gives nothing, as after most segments that
    /// were sent: the short way to `None`. False where it has to be asked.
    #[inline]
    pub fn has_nothing_to_send(&self, tcp: &Tcp) -> bool {
        !self.rx.ack_now && !self.id.marks.has(Marks::PACED) && self.sends_only_acks(tcp)
    }

    /// True when of all that [`poll_transmit`](Self::poll_transmit) looks for there can be nothing
    /// but an acknowledgment.
    #[inline]
    fn sends_only_acks(&self, tcp: &Tcp) -> bool {
        const DUE: u16 = Marks::SYN_DUE | Marks::PROBE_DUE;
        let (rx, tx) = (&self.rx, &self.tx);
        let quiet = rx.duplicate_acks == 0 && !self.id.marks.has(DUE);
        let all_sent = tx.snd_nxt == tx.snd_end && !self.id.state.fin_follows()
            || tx.snd_nxt == tx.snd_end + 1;
        quiet && all_sent && self.has_nothing_to_resend(tcp)
    }

    /// Nothing in flight is lost, and the peer is not to be asked for it.
    #[inline]
    fn has_nothing_to_resend(&self, tcp: &Tcp) -> bool {
        let flight = tcp.flights.get(self.tx.flight);
        flight.is_none_or(|flight| flight.board.lost() == 0 && !flight.probe_due)
    }

    /// The options of a segment without SYN: timestamps, and what arrived out of order.
    //= rfc7323 3.2 S3.2-2
    #[inline]
    pub(crate) fn segment_options(&self, now: Instant, tcp: &Tcp) -> Options {
        let timestamps = self.id.marks.has(Marks::TIMESTAMPS);
        let mut options = Options {
            timestamps: timestamps.then(|| Timestamps {
                value: tcp.timestamp(now),
                echo: self.rx.ts_recent,
            }),
            ..Options::default()
        };
        //= rfc2018 2 S2-2
        //= rfc2018 4 S4-1 S4-2
        if self.rx.reassembly != NONE && self.id.marks.has(Marks::SACK) {
            self.report(&mut options, sack_room(timestamps), tcp);
        }
        options
    }

    /// What arrived twice, then what arrived out of order, as far as there is room.
    //= rfc2018 4 S4-4
    //= rfc2883 4 S4-1 S4-2
    fn report(&self, options: &mut Options, room: usize, tcp: &Tcp) {
        if let Some(held) = tcp.reassembly.get(self.rx.reassembly) {
            options.sack = held.sack_blocks(room);
        }
    }

    /// The options of a segment with `len` octets of payload. SACK blocks only go where they fit
    /// beside the payload (RFC 6691 §2): a full segment has no room for them, and the duplicate
    /// ACKs that leave at the same time carry them.
    //= rfc9293 3.7.1 MUST-16
    #[inline]
    fn data_options(&self, len: u32, now: Instant, tcp: &Tcp) -> Options {
        let options = self.segment_options(now, tcp);
        if options.sack.is_empty() {
            return options;
        }
        let without = Options {
            sack: Default::default(),
            ..options
        };
        let taken = (options.wire_len() - without.wire_len()) as u32;
        if len + taken > u32::from(self.tx.mss) {
            without
        } else {
            options
        }
    }

    /// The record of what is in flight, made when there is none.
    #[inline]
    fn flight_mut<'t>(&mut self, tcp: &'t mut Tcp) -> Option<&'t mut Flight> {
        if self.tx.flight == NONE {
            self.tx.flight = tcp.flights.take()?;
            let flight = tcp.flights.get_mut(self.tx.flight)?;
            flight.rack.expect(self.tx.rtt.least());
            return Some(flight);
        }
        tcp.flights.get_mut(self.tx.flight)
    }
}
