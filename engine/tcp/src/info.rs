//! Looking at a connection: a snapshot for people, and the invariants for tests.

use crate::cold::distance;
use crate::congestion::CongestionAlgorithm;
use crate::connection::Tcp;
use crate::flight::{Flight, Phase};
use crate::pool::NONE;
use crate::record::{Connection, Marks};
use crate::state::State;
use crate::time::{Duration, Instant};

impl Connection {
    /// Panics when the record contradicts itself. For tests, after every step.
    pub fn check_invariants(&self, tcp: &Tcp) {
        let (rx, tx) = (&self.rx, &self.tx);
        assert!(tx.snd_una.at_or_before(tx.snd_nxt), "SND.UNA =< SND.NXT");
        assert!(
            tx.snd_nxt.at_or_before(tx.snd_end + 1),
            "nothing sent that was not queued"
        );
        assert!(rx.rcv_nxt.at_or_before(rx.rcv_adv), "RCV.NXT =< right edge");
        assert!(
            rx.unread <= self.receive_buffer(&tcp.config),
            "the window bounds what is unread"
        );
        assert!(
            self.buffered() <= tcp.config.snd_buf,
            "the send buffer is bounded"
        );
        let live = !matches!(self.id.state, State::Closed | State::TimeWait);
        assert!(
            !live || self.in_flight() == 0 || tx.rto_deadline.is_armed(),
            "no timer lost"
        );
        assert!(
            tx.flight == NONE
                || self.in_flight() > 0
                || !live
                || self.unsent() > 0
                || self.is_scarred(tcp),
            "an idle one holds no flight"
        );
        if let Some(flight) = tcp
            .flights
            .get(tx.flight)
            .filter(|_| live && !self.syn_unacknowledged())
        {
            flight.board.check_invariants(tx.snd_una, tx.snd_nxt);
        }
    }

    fn is_scarred(&self, tcp: &Tcp) -> bool {
        tcp.flights
            .get(self.tx.flight)
            .is_some_and(Flight::is_scarred)
    }

    /// A snapshot for people.
    pub fn info(&self, tcp: &Tcp) -> Info {
        let (rx, tx) = (&self.rx, &self.tx);
        let cold = tcp.cold.get(tx.cold).cloned().unwrap_or_default();
        let flight = tcp.flights.get(tx.flight);
        let measured = flight.and_then(|flight| flight.delivery.rate());
        Info {
            state: self.id.state,
            congestion: self.id.congestion,
            recovery: flight.map_or(Recovery::Open, |flight| flight.phase.into()),
            limit: self.limit(tcp),
            srtt: Duration::from_micros(u64::from(tx.rtt.srtt_us)),
            rttvar: Duration::from_micros(u64::from(tx.rtt.rttvar_us)),
            min_rtt: (cold.min_rtt < Duration::MAX).then_some(cold.min_rtt),
            rto: self.rto(&tcp.config),
            backoff: tx.backoff,
            cwnd: tx.window.cwnd,
            ssthresh: tx.window.ssthresh,
            mss: tx.mss,
            snd_wnd: tx.snd_wnd,
            rcv_wnd: rx.rcv_adv.offset_from(rx.rcv_nxt),
            rcv_buf: self.receive_buffer(&tcp.config),
            snd_buf: self.send_buffer(&tcp.config),
            in_flight: self.in_flight(),
            sacked: flight.map_or(0, |flight| flight.board.sacked()),
            lost: flight.map_or(0, |flight| flight.board.lost()),
            reordering_window: flight.and_then(|flight| flight.rack.reordering_window(&tx.rtt)),
            buffered: self.buffered(),
            unsent: self.unsent(),
            unread: rx.unread,
            delivery_rate: measured.unwrap_or(cold.delivery_rate),
            octets_acknowledged: distance(cold.snd_start, tx.snd_una, cold.snd_wraps),
            octets_received: distance(cold.rcv_start, rx.rcv_nxt, cold.rcv_wraps),
            octets_resent: cold.resent_octets,
            segments_resent: cold.resent_segs,
            timeouts: cold.timeouts,
            born: cold.born,
            timestamps: self.id.marks.has(Marks::TIMESTAMPS),
            sack: self.id.marks.has(Marks::SACK),
            ecn: self.id.marks.has(Marks::ECN),
            snd_scale: rx.snd_scale.shift(),
            rcv_scale: rx.rcv_scale.shift(),
        }
    }

    /// Octets queued and never sent.
    pub(crate) fn unsent(&self) -> u32 {
        if self.fin_sent() {
            0
        } else {
            self.tx.snd_end.offset_from(self.tx.snd_nxt)
        }
    }

    /// What keeps back the data that is there.
    fn limit(&self, tcp: &Tcp) -> Limit {
        let unsent = self.unsent();
        let lost = tcp
            .flights
            .get(self.tx.flight)
            .map_or(0, |flight| flight.board.lost());
        if !self.id.state.may_send() || (unsent == 0 && lost == 0) {
            return Limit::Application;
        }
        let full = unsent.min(u32::from(self.tx.mss));
        if self.id.marks.has(Marks::PACED) {
            Limit::Pacing
        } else if lost == 0 && self.peer_room() < full {
            Limit::PeerWindow
        } else if lost > 0 || self.congestion_room(tcp) < full {
            Limit::CongestionWindow
        } else {
            Limit::SmallSegment
        }
    }
}

/// How far loss recovery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// No loss known.
    Open,
    /// Fast recovery.
    Fast,
    /// Recovery from a retransmission timeout.
    Timeout,
}

impl From<Phase> for Recovery {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Open => Self::Open,
            Phase::Recovery => Self::Fast,
            Phase::Loss => Self::Timeout,
        }
    }
}

/// What keeps back the data that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// None is there: the application has not more to send.
    Application,
    /// The peer's window.
    PeerWindow,
    /// The congestion window.
    CongestionWindow,
    /// Pacing: its turn comes.
    Pacing,
    /// It is less than a full segment and waits for company (Nagle, cork, silly-window avoidance).
    SmallSegment,
}

/// What a connection looks like at one moment, as `TCP_INFO` tells it; sizes in octets.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// Where it stands.
    pub state: State,
    /// How its congestion window grows.
    pub congestion: CongestionAlgorithm,
    /// How far loss recovery is.
    pub recovery: Recovery,
    /// What keeps data back now.
    pub limit: Limit,
    /// Smoothed round-trip time, zero before the first measurement.
    pub srtt: Duration,
    /// Its mean deviation.
    pub rttvar: Duration,
    /// The shortest round trip, `None` before the first measurement.
    pub min_rtt: Option<Duration>,
    /// Retransmission timeout, back-off included.
    pub rto: Duration,
    /// How often that was doubled.
    pub backoff: u8,
    /// Congestion window.
    pub cwnd: u32,
    /// Slow start threshold; `u32::MAX` before the first loss.
    pub ssthresh: u32,
    /// Payload of a full segment.
    pub mss: u16,
    /// The peer's window.
    pub snd_wnd: u32,
    /// The window we announced.
    pub rcv_wnd: u32,
    /// Receive buffer, as large as it has become.
    pub rcv_buf: u32,
    /// Send buffer, as large as it is now.
    pub snd_buf: u32,
    /// Sent and not acknowledged.
    pub in_flight: u32,
    /// Of that, what the peer holds out of order.
    pub sacked: u32,
    /// Of that, what is taken to be lost.
    pub lost: u32,
    /// How long a segment may be overtaken before it is taken to be lost; `None` while no reordering
    /// was seen.
    pub reordering_window: Option<Duration>,
    /// In the send buffer.
    pub buffered: u32,
    /// Of that, what was never sent.
    pub unsent: u32,
    /// Received in order and not consumed.
    pub unread: u32,
    /// Octets a second that arrived at the peer when that was last measured, zero before.
    pub delivery_rate: u64,
    /// Octets of the stream that the peer acknowledged, its end counting as one.
    pub octets_acknowledged: u64,
    /// Octets of the peer's stream that arrived in order, its end counting as one.
    pub octets_received: u64,
    /// Octets sent again.
    pub octets_resent: u64,
    /// Segments sent again.
    pub segments_resent: u32,
    /// Retransmission timeouts.
    pub timeouts: u32,
    /// When the connection came to be.
    pub born: Instant,
    /// Timestamps were agreed on.
    pub timestamps: bool,
    /// Selective acknowledgments were agreed on.
    pub sack: bool,
    /// Explicit congestion notification was agreed on.
    pub ecn: bool,
    /// Shift of the peer's windows.
    pub snd_scale: u8,
    /// Shift of ours.
    pub rcv_scale: u8,
}
