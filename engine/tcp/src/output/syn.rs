//! SYN and SYN-ACK of a connection that we open.

use crate::config::{Config, Ecn};
use crate::connection::Tcp;
use crate::listen::syn_ack_flags;
use crate::record::{Connection, Marks};
use crate::segment::Plan;
use crate::state::State;
use crate::time::Instant;
use byway_wire::tcp::{Flags, Options, Timestamps, WindowScale};

impl Connection {
    /// Never as ECN-capable.
    //= rfc3168 6.1.1 S6.1.1-4
    pub(super) fn poll_syn(&mut self, now: Instant, tcp: &mut Tcp) -> Option<Plan> {
        if !self.id.marks.has(Marks::SYN_DUE) {
            // A challenge is answered in SYN-RECEIVED as well.
            return if self.id.state == State::SynReceived {
                self.poll_ack(now, tcp)
            } else {
                None
            };
        }
        self.id.marks.set(Marks::SYN_DUE, false);
        let first = self.tx.snd_nxt == self.tx.snd_una;
        self.tx.snd_nxt = self.tx.snd_una + 1;
        self.tx.rto_deadline = now + self.rto(&tcp.config);
        if let Some(flight) = self.flight_mut(tcp) {
            // Karn: a SYN that was sent twice measures nothing.
            flight.syn_sent = first.then_some(now);
        }
        let answering = self.id.state == State::SynReceived;
        Some(Plan {
            seq: self.tx.snd_una,
            ack: self.rx.rcv_nxt,
            flags: self.syn_flags(answering, tcp),
            window: WindowScale::ZERO.narrow(tcp.config.syn_window()),
            options: self.syn_options(answering, now, tcp),
            ..Plan::default()
        })
    }

    /// ECN is asked for on the first SYN only: one that was not answered may have been dropped for
    /// asking (RFC 3168 §6.1.1.1).
    //= rfc3168 6.1.1.1 S6.1.1.1-1
    fn syn_flags(&self, answering: bool, tcp: &Tcp) -> Flags {
        if answering {
            return syn_ack_flags(self.id.marks.has(Marks::ECN));
        }
        if self.asks_for_ecn(&tcp.config) {
            Flags::SYN | Flags::ECE | Flags::CWR
        } else {
            Flags::SYN
        }
    }

    /// Every SYN that we sent asks for ECN.
    //= rfc3168 6.1.1 S6.1.1-2
    pub(crate) fn asks_for_ecn(&self, config: &Config) -> bool {
        config.ecn == Ecn::On && self.tx.backoff == 0
    }

    /// What we offer, or of that what the peer's SYN offered as well.
    //= rfc9293 3.7.1 MUST-14
    //= rfc9293 3.2 MUST-65
    //= rfc9293 3.7.1 MUST-67 SHLD-5 MAY-3
    //= rfc7323 2.2 S2.2-1
    //= rfc7323 3.2 S3.2-1 S3.2-6
    //= rfc2018 2 S2-1
    fn syn_options(&self, answering: bool, now: Instant, tcp: &Tcp) -> Options {
        let config = &tcp.config;
        let agreed = |mark: u16, offered: bool| offered && (!answering || self.id.marks.has(mark));
        Options {
            mss: Some(self.rx.rcv_mss),
            window_scale: agreed(Marks::SCALING, config.window_scaling)
                .then(|| WindowScale::clamped(config.receive_scale())),
            sack_permitted: agreed(Marks::SACK, config.sack),
            timestamps: agreed(Marks::TIMESTAMPS, config.timestamps).then(|| Timestamps {
                value: tcp.timestamp(now),
                echo: self.rx.ts_recent,
            }),
            ..Options::default()
        }
    }
}
