//! The connection record, how it comes to be, and what its owner may ask of it.
//!
//! A connection is 192 bytes of plain data in three cache lines: who it is, what receiving needs,
//! what sending needs. What only a busy connection needs is in pooled records of [`Tcp`], linked by
//! index. The methods of [`Connection`] come in four classes:
//!
//! - *getters*: [`state`](Connection::state), [`flow`](Connection::flow), [`unread`](Connection::unread)...
//! - *inputs*, which take `now`: [`on_segment`](Connection::on_segment), [`on_timeout`](Connection::on_timeout),
//!   [`on_unreachable`](Connection::on_unreachable). They fill [`Effects`](crate::effects::Effects).
//! - *commands* of the application: [`queue`](Connection::queue), [`consume`](Connection::consume),
//!   [`shutdown`](Connection::shutdown), [`close`](Connection::close), [`abort`](Connection::abort).
//! - *outputs*: [`poll_transmit`](Connection::poll_transmit) until `None`, then
//!   [`deadline`](Connection::deadline). Ask for them after each input or command.

use crate::cold::Cold;
use crate::config::{Config, Ecn};
use crate::congestion::CongestionAlgorithm;
use crate::cookie::Cookies;
use crate::counters::Counters;
use crate::effects::{CloseReason, Effects};
use crate::flight::Flight;
use crate::isn::{Secrets, initial_sequence_number};
use crate::pool::{NONE, Pool};
use crate::reassembly::Reassembly;
use crate::record::{Connection, HotRx, HotTx, Identity, Marks, Owner, TIMESTAMPS_LEN};
use crate::recovery::initial_window;
use crate::rtt::Rtt;
use crate::segment::{Plan, Segment};
use crate::state::State;
use crate::time::{Duration, Instant};
use byway_wire::tcp::{Flags, WindowScale};
use byway_wire::{FlowKey, SeqNumber};

/// What all connections of a shard share.
#[derive(Debug)]
pub struct Tcp {
    /// Parameters.
    pub config: Config,
    /// What happened so far.
    pub counters: Counters,
    pub(crate) secrets: Secrets,
    pub(crate) flights: Pool<Flight>,
    pub(crate) reassembly: Pool<Reassembly>,
    pub(crate) cold: Pool<Cold>,
    /// Some connection has a not-sent low-water mark: others need not look.
    pub(crate) low_water_in_use: bool,
    challenges: Challenges,
    pub(crate) cookies: Cookies,
    /// Windows grow no further than to this many octets, unread ones included.
    pub(crate) receive_bound: u32,
}

/// Challenge ACKs sent in the current second.
#[derive(Clone, Copy, Debug, Default)]
struct Challenges {
    second: u64,
    left: u32,
}

impl Tcp {
    /// The environment for at most `max_connections` connections at a time.
    pub fn new(config: Config, secrets: Secrets, max_connections: usize) -> Self {
        Self {
            low_water_in_use: config.not_sent_low_water < u32::MAX,
            config,
            secrets,
            counters: Counters::default(),
            flights: Pool::new(max_connections),
            reassembly: Pool::new(max_connections),
            cold: Pool::new(max_connections),
            challenges: Challenges::default(),
            cookies: Cookies::default(),
            receive_bound: u32::MAX,
        }
    }

    /// Records of connections that exist.
    pub fn connections_in_use(&self) -> usize {
        self.cold.in_use()
    }

    /// Pooled records in use: what is in flight, and what holds out-of-order data.
    pub fn records_in_use(&self) -> (usize, usize) {
        (self.flights.in_use(), self.reassembly.in_use())
    }

    /// One more challenge ACK may leave this second. How many may is between half of the configured
    /// limit and all of it, and unknown to others: a fixed number would let a stranger count what
    /// is left of it, and so learn about connections that are not his (RFC 5961 §7).
    //= rfc5961 7 S7-1
    pub(crate) fn may_challenge(&mut self, now: Instant) -> bool {
        let second = now.as_nanos() / 1_000_000_000 + 1;
        if self.challenges.second != second {
            let most = u64::from(self.config.challenge_acks);
            let part = self.secrets.hash(second) % (most / 2 + 1);
            self.challenges = Challenges {
                second,
                left: (most - part) as u32,
            };
        }
        let may = self.challenges.left > 0;
        if may {
            self.challenges.left -= 1;
            self.counters.challenge_acks += 1;
        }
        may
    }

    /// TSval for this moment.
    //= rfc7323 7 S7-1
    pub(crate) fn timestamp(&self, now: Instant) -> u32 {
        now.as_millis_wrapped()
            .wrapping_add(self.secrets.timestamp_offset)
    }
}

/// What a side remembers of the peer's SYN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreed {
    pub(crate) timestamps: Option<u32>,
    pub(crate) sack: bool,
    pub(crate) snd_scale: Option<WindowScale>,
    pub(crate) ecn: bool,
    /// The peer's MSS option, or the default of RFC 9293 §3.7.1.
    pub(crate) peer_mss: u16,
}

impl Agreed {
    /// What the peer's SYN or SYN-ACK and our configuration have in common.
    //= rfc9293 3.7.1 MUST-15
    //= rfc9293 3.7.1 MUST-14
    //= rfc7323 2.2 S2.2-2
    pub(crate) fn from_syn(seg: &Segment, config: &Config, ipv4: bool) -> Self {
        let options = &seg.options;
        let default_mss = if ipv4 { 536 } else { 1220 };
        Self {
            timestamps: options
                .timestamps
                .filter(|_| config.timestamps)
                .map(|t| t.value),
            sack: options.sack_permitted && config.sack,
            ecn: asks_for_ecn(seg.flags) && config.ecn != Ecn::Off,
            snd_scale: options.window_scale.filter(|_| config.window_scaling),
            // A peer that asks for less than this would cost more headers than data.
            peer_mss: options.mss.unwrap_or(default_mss).max(64),
        }
    }
}

/// A SYN that sets ECE and CWR asks for ECN, a SYN-ACK that sets ECE alone grants it
/// (RFC 3168 §6.1.1).
pub(crate) fn asks_for_ecn(flags: Flags) -> bool {
    let both = flags.contains(Flags::ECE | Flags::CWR);
    if flags.contains(Flags::ACK) {
        flags.contains(Flags::ECE) && !both
    } else {
        both
    }
}

impl Connection {
    /// Room for our side of a connection, all variables at their start.
    pub(crate) fn blank(
        flow: FlowKey,
        state: State,
        iss: SeqNumber,
        mss: u16,
        now: Instant,
        config: &Config,
    ) -> Self {
        let mut marks = Marks::default();
        marks.set(Marks::NAGLE, config.nagle);
        Self {
            id: Identity {
                flow,
                state,
                marks,
                congestion: config.congestion,
                owner: Owner::default(),
            },
            rx: HotRx {
                ack_deadline: Instant::NEVER,
                life_deadline: Instant::NEVER,
                rcv_nxt: SeqNumber::default(),
                rcv_adv: SeqNumber::default(),
                unread: 0,
                ts_recent: 0,
                heard_at_ms: now.as_millis_wrapped(),
                last_ack_sent: SeqNumber::default(),
                unacked: 0,
                reassembly: NONE,
                rcv_mss: mss,
                rcv_scale: WindowScale::ZERO,
                snd_scale: WindowScale::ZERO,
                quick_acks: config.quick_acks,
                duplicate_acks: 0,
                ack_now: false,
                rcv_steps: 0,
                intake_from: SeqNumber::default(),
                intake_at_ms: now.as_millis_wrapped(),
            },
            tx: HotTx {
                rto_deadline: Instant::NEVER,
                snd_una: iss,
                snd_nxt: iss,
                snd_end: iss + 1,
                snd_wnd: 0,
                snd_wl1: SeqNumber::default(),
                cold: NONE,
                max_wnd: 0,
                //= rfc5681 3.1 S3.1-5
                window: initial_window(config.initial_window, mss),
                rtt: Rtt::default(),
                sent_at_ms: now.as_millis_wrapped(),
                flight: NONE,
                mss,
                duplicates: 0,
                backoff: 0,
            },
        }
    }

    /// Opens a connection: SYN-SENT, its SYN ready for [`poll_transmit`](Self::poll_transmit).
    /// `mss` is what fits the path: its MTU less 40 (IPv4) or 60 (IPv6).
    pub fn connect(flow: FlowKey, mss: u16, now: Instant, tcp: &mut Tcp) -> Self {
        let iss = initial_sequence_number(&tcp.secrets, &flow, now);
        let mut conn = Self::blank(flow, State::SynSent, iss, mss, now, &tcp.config);
        conn.id.marks.set(Marks::ACTIVE | Marks::SYN_DUE, true);
        conn.begin_cold(now, tcp);
        tcp.counters.active_opens += 1;
        conn
    }

    /// Begins once more, before the first SYN left: with other ends, or on a path that is not as was
    /// assumed. What was asked of the connection stays.
    pub fn begin_anew(&mut self, flow: FlowKey, mss: u16, now: Instant, tcp: &mut Tcp) {
        debug_assert!(self.id.state == State::SynSent && self.in_flight() == 0);
        let iss = initial_sequence_number(&tcp.secrets, &flow, now);
        let mut fresh = Self::blank(flow, State::SynSent, iss, mss, now, &tcp.config);
        fresh.tx.cold = self.tx.cold;
        fresh.queue(self.buffered());
        fresh.id.marks = self.id.marks;
        fresh.id.congestion = self.id.congestion;
        fresh.id.owner = self.id.owner;
        fresh.rx.life_deadline = self.rx.life_deadline;
        *self = fresh;
    }

    /// Adopts what both SYNs agreed on. `irs` is the peer's initial sequence number.
    pub(crate) fn agree(&mut self, agreed: &Agreed, irs: SeqNumber, config: &Config) {
        let marks = &mut self.id.marks;
        marks.set(Marks::TIMESTAMPS, agreed.timestamps.is_some());
        marks.set(Marks::SACK, agreed.sack);
        marks.set(Marks::SCALING, agreed.snd_scale.is_some());
        marks.set(Marks::ECN, agreed.ecn);
        if let Some(scale) = agreed.snd_scale {
            self.rx.snd_scale = scale;
            self.rx.rcv_scale = WindowScale::clamped(config.receive_scale());
        }
        self.rx.rcv_nxt = irs + 1;
        // What our SYN offered: windows on SYN segments are not scaled (RFC 7323 §2.2).
        self.rx.rcv_adv = irs + 1 + config.syn_window();
        self.rx.intake_from = irs + 1;
        self.rx.last_ack_sent = irs + 1;
        self.rx.ts_recent = agreed.timestamps.unwrap_or(0);
        //= rfc9293 3.7.1 MUST-16
        // Beside our link's also what ICMP told about the path of the SYN.
        let payload = agreed.peer_mss.min(self.rx.rcv_mss).min(self.tx.mss);
        let options = if agreed.timestamps.is_some() {
            TIMESTAMPS_LEN
        } else {
            0
        };
        // A path too narrow for any sense still moves an octet at a time.
        self.tx.mss = payload.saturating_sub(options).max(1);
        self.tx.window = initial_window(config.initial_window, self.tx.mss);
    }

    /// The owner's words.
    #[inline]
    pub fn owner(&self) -> &Owner {
        &self.id.owner
    }

    /// The owner's words, to change.
    #[inline]
    pub fn owner_mut(&mut self) -> &mut Owner {
        &mut self.id.owner
    }

    /// Chooses how the congestion window grows; takes effect when nothing is in flight.
    pub fn set_congestion(&mut self, algorithm: CongestionAlgorithm) {
        self.id.congestion = algorithm;
    }

    /// Small segments wait for an acknowledgment (Nagle), or do not.
    //= rfc9293 3.7.4 MUST-17
    pub fn set_nagle(&mut self, on: bool) {
        self.id.marks.set(Marks::NAGLE, on);
    }

    /// Only full segments leave until this is cleared.
    pub fn set_cork(&mut self, on: bool) {
        self.id.marks.set(Marks::CORK, on);
    }

    /// A silent peer is probed, or is not (the default).
    //= rfc9293 3.8.4 MUST-24
    //= rfc9293 3.8.4 MUST-25
    pub fn set_keep_alive(&mut self, on: bool, now: Instant, tcp: &Tcp) {
        self.id.marks.set(Marks::KEEP_ALIVE, on);
        if self.id.marks.has(Marks::DEAF)
            && (self.id.state == State::FinWait2 || self.linger(tcp).is_some())
        {
            // The deadline is that of the close; the peer's silence is not waited for.
            return;
        }
        self.rx.life_deadline = if on {
            now + tcp.config.keep_alive.idle
        } else {
            Instant::NEVER
        };
    }

    /// Where the connection stands.
    #[inline]
    pub fn state(&self) -> State {
        self.id.state
    }

    /// Its two ends.
    #[inline]
    pub fn flow(&self) -> &FlowKey {
        &self.id.flow
    }

    /// RCV.NXT: the first octet that has not arrived in order.
    #[inline]
    pub fn rcv_nxt(&self) -> SeqNumber {
        self.rx.rcv_nxt
    }

    /// The record of what is in flight, for a prefetch.
    #[inline]
    pub fn flight<'t>(&self, tcp: &'t Tcp) -> Option<&'t Flight> {
        tcp.flights.get(self.tx.flight)
    }

    /// Our direction is closed, or will be once the connection is open.
    pub fn is_shut_down(&self) -> bool {
        self.id.state.fin_follows() || self.id.marks.has(Marks::FIN_WANTED)
    }

    /// In-order octets that were not consumed yet.
    #[inline]
    pub fn unread(&self) -> u32 {
        self.rx.unread
    }

    /// Octets in the send buffer: sent and not acknowledged, or not sent yet.
    #[inline]
    pub fn buffered(&self) -> u32 {
        // Before our SYN is acknowledged it sits in front of the data.
        let data_start = self.tx.snd_una + u32::from(self.syn_unacknowledged());
        if self.tx.snd_end.after(data_start) {
            self.tx.snd_end.offset_from(data_start)
        } else {
            0
        }
    }

    /// Octets that [`queue`](Self::queue) takes now.
    #[inline]
    pub fn send_space(&self, tcp: &Tcp) -> u32 {
        if self.id.state.may_queue() && !self.id.marks.has(Marks::FIN_WANTED) {
            let room = self
                .send_buffer(&tcp.config)
                .saturating_sub(self.buffered());
            room.min(self.low_water_room(tcp))
        } else {
            0
        }
    }

    /// The application appended `len` octets to the send buffer; at most `send_space`.
    #[inline]
    pub fn queue(&mut self, len: u32) {
        debug_assert!(self.id.state.may_queue());
        self.tx.snd_end += len;
    }

    /// The application took `len` in-order octets out of the receive buffer: the window opens.
    #[inline]
    pub fn consume(&mut self, len: u32, tcp: &Tcp) {
        debug_assert!(len <= self.rx.unread);
        self.rx.unread = self.rx.unread.saturating_sub(len);
        if self.id.state.may_receive() && self.window_update_due(tcp) {
            self.rx.ack_now = true;
        }
    }

    /// No more data from us: a FIN follows what is queued. Data is still received.
    //= rfc9293 3.10.4
    pub fn shutdown(&mut self) {
        match self.id.state {
            State::SynSent | State::SynReceived => self.id.marks.set(Marks::FIN_WANTED, true),
            State::Established => self.id.state = State::FinWait1,
            State::CloseWait => self.id.state = State::LastAck,
            _ => {}
        }
    }

    /// Closes both directions. Data that still arrives, or that was not read, is answered with a
    /// reset, because the peer must not believe that it was taken.
    //= rfc9293 3.6.1 SHLD-3 MAY-1
    pub fn close(&mut self, now: Instant, tcp: &mut Tcp, fx: &mut Effects) {
        if self.id.state == State::SynSent {
            tcp.counters.attempt_fails += 1;
            return self.finish(CloseReason::Aborted, fx);
        }
        let impatient = self.linger(tcp).is_some_and(|limit| limit.is_zero());
        if self.rx.unread > 0 || impatient {
            if self.rx.unread > 0 {
                tcp.counters.aborted_on_close += 1;
            } else {
                tcp.counters.aborted_on_data += 1;
            }
            fx.reply = self.abort(now, tcp);
            fx.closed = Some(CloseReason::Aborted);
            return;
        }
        self.shutdown();
        self.id.marks.set(Marks::DEAF, true);
        if self.id.state == State::FinWait2 {
            self.rx.life_deadline = now + tcp.config.fin_wait_2;
        } else if let Some(linger) = self.linger(tcp) {
            self.rx.life_deadline = now + linger;
        }
    }

    /// A [`close`](Self::close) that follows may take this long until the peer has acknowledged
    /// everything; then the connection is reset (SO_LINGER), at once when the limit is zero. `None`
    /// leaves it to retransmission.
    pub fn set_linger(&mut self, limit: Option<Duration>, tcp: &mut Tcp) {
        if let Some(cold) = self.cold_mut(tcp) {
            cold.linger = limit;
        }
    }

    pub(crate) fn linger(&self, tcp: &Tcp) -> Option<Duration> {
        tcp.cold.get(self.tx.cold).and_then(|cold| cold.linger)
    }

    /// Gives the connection up when data stays unacknowledged for this long, instead of what the
    /// configuration says.
    //= rfc9293 3.8.3 MUST-21
    pub fn set_user_timeout(&mut self, limit: Option<Duration>, tcp: &mut Tcp) {
        if let Some(cold) = self.cold_mut(tcp) {
            cold.user_timeout = limit;
        }
    }

    /// Gives the connection up. Returns the reset to send, if the state asks for one; then
    /// [`release`](Self::release) it and forget it.
    //= rfc9293 3.10.5
    pub fn abort(&mut self, now: Instant, tcp: &mut Tcp) -> Option<Plan> {
        let state = core::mem::replace(&mut self.id.state, State::Closed);
        match state {
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait => {
                tcp.counters.estab_resets += 1;
                Some(self.reset_plan(now, tcp))
            }
            State::SynSent => {
                tcp.counters.attempt_fails += 1;
                None
            }
            _ => None,
        }
    }

    /// `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>`, where the peer finds it in its window.
    //= rfc7323 3.2 S3.2-3
    pub(crate) fn reset_plan(&mut self, now: Instant, tcp: &mut Tcp) -> Plan {
        tcp.counters.out_rsts += 1;
        tcp.counters.out_segs += 1;
        Plan {
            seq: self.seq_in_window(),
            ack: self.rx.rcv_nxt,
            flags: Flags::RST | Flags::ACK,
            options: self.segment_options(now, tcp),
            ..Plan::default()
        }
    }

    /// Ends the connection: its owner frees the record after looking at `fx`.
    pub(crate) fn finish(&mut self, reason: CloseReason, fx: &mut Effects) {
        self.id.state = State::Closed;
        fx.closed = Some(reason);
    }

    /// Both directions are done. What the application has not consumed yet is its owner's to keep:
    /// it was acknowledged, so it must not be lost because both FINs overtook the reader.
    pub(crate) fn conclude(&mut self, state: State, fx: &mut Effects) {
        debug_assert!(matches!(state, State::TimeWait | State::Closed));
        self.id.state = state;
        fx.closed = Some(CloseReason::Finished);
        fx.time_wait = state == State::TimeWait;
    }

    /// The peer's FIN is in order: nothing follows what is unread now.
    #[inline]
    pub fn peer_closed(&self) -> bool {
        matches!(
            self.id.state,
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait
        )
    }

    /// Gives the pooled records back. Call it once, before the record itself is dropped.
    pub fn release(&mut self, tcp: &mut Tcp) {
        tcp.flights
            .give(core::mem::replace(&mut self.tx.flight, NONE));
        tcp.reassembly
            .give(core::mem::replace(&mut self.rx.reassembly, NONE));
        tcp.cold.give(core::mem::replace(&mut self.tx.cold, NONE));
        // The owner may keep the record for the octets that wait in it: no timer is left then.
        self.tx.rto_deadline = Instant::NEVER;
        self.rx.ack_deadline = Instant::NEVER;
        self.rx.life_deadline = Instant::NEVER;
    }

    /// The record of what arrived out of order or twice, made when there is none.
    pub(crate) fn reassembly_mut<'t>(&mut self, tcp: &'t mut Tcp) -> Option<&'t mut Reassembly> {
        if self.rx.reassembly == NONE {
            self.rx.reassembly = tcp.reassembly.take().unwrap_or(NONE);
        }
        tcp.reassembly.get_mut(self.rx.reassembly)
    }

    /// Gives that record back once it holds nothing.
    pub(crate) fn release_reassembly_if_empty(&mut self, tcp: &mut Tcp) {
        if tcp
            .reassembly
            .get(self.rx.reassembly)
            .is_some_and(Reassembly::is_empty)
        {
            tcp.reassembly
                .give(core::mem::replace(&mut self.rx.reassembly, NONE));
        }
    }

    /// Our SYN is still to be acknowledged.
    #[inline]
    pub(crate) fn syn_unacknowledged(&self) -> bool {
        matches!(self.id.state, State::SynSent | State::SynReceived)
    }

    /// Our FIN was sent at least once.
    #[inline]
    pub(crate) fn fin_sent(&self) -> bool {
        self.tx.snd_nxt.after(self.tx.snd_end)
    }

    /// Octets of sequence space in flight.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.tx.snd_nxt.offset_from(self.tx.snd_una)
    }

    /// The retransmission timeout now.
    pub(crate) fn rto(&self, config: &Config) -> Duration {
        self.tx.rtt.timeout(config, self.tx.backoff)
    }
}
