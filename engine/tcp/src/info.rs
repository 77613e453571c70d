//! Looking at a connection: a snapshot for people, and the invariants for tests.

use crate::connection::Tcp;
use crate::pool::NONE;
use crate::record::Connection;
use crate::state::State;
use crate::time::Duration;

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
            rx.unread <= tcp.config.rcv_buf,
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
            tx.flight == NONE || self.in_flight() > 0 || !live || self.is_scarred(tcp),
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
            .is_some_and(|flight| flight.scarred)
    }

    /// A snapshot for people.
    pub fn info(&self, tcp: &Tcp) -> Info {
        Info {
            state: self.id.state,
            srtt: Duration::from_micros(u64::from(self.tx.rtt.srtt_us)),
            rttvar: Duration::from_micros(u64::from(self.tx.rtt.rttvar_us)),
            rto: self.rto(&tcp.config),
            cwnd: self.tx.window.cwnd,
            ssthresh: self.tx.window.ssthresh,
            mss: self.tx.mss,
            snd_wnd: self.tx.snd_wnd,
            rcv_wnd: self.rx.rcv_adv.offset_from(self.rx.rcv_nxt),
            in_flight: self.in_flight(),
            buffered: self.buffered(),
            unread: self.rx.unread,
        }
    }
}

/// What a connection looks like at one moment; sizes in octets.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// Where it stands.
    pub state: State,
    /// Smoothed round-trip time, zero before the first measurement.
    pub srtt: Duration,
    /// Its mean deviation.
    pub rttvar: Duration,
    /// Retransmission timeout, back-off included.
    pub rto: Duration,
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
    /// Sent and not acknowledged.
    pub in_flight: u32,
    /// In the send buffer.
    pub buffered: u32,
    /// Received in order and not consumed.
    pub unread: u32,
}
