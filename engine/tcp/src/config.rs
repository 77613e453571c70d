//! What can be set about TCP, with defaults and where they come from.

use crate::congestion::CongestionAlgorithm;
use crate::time::Duration;

/// Parameters of TCP, the same for every connection of a shard.
#[derive(Clone, Debug)]
pub struct Config {
    /// Receive buffer of a connection in octets at most: the largest window we offer.
    pub rcv_buf: u32,
    /// Receive buffer that a connection starts with, if that is less. It doubles whenever the
    /// application takes more than half of it within a round trip.
    pub rcv_buf_initial: u32,
    /// Send buffer of a connection in octets at most.
    pub snd_buf: u32,
    /// Send buffer of a connection at least, if that is less: it is twice the congestion window
    /// between these two.
    pub snd_buf_initial: u32,
    /// Octets that a send buffer takes at most beyond what was sent already (the not-sent low-water
    /// mark), unless a connection chooses otherwise: `u32::MAX` leaves it to the buffer.
    pub not_sent_low_water: u32,
    /// Spread what a window lets out at once over the round trip, on paths of a millisecond and more.
    pub pacing: bool,
    /// Offer and use window scaling (RFC 7323 §2).
    pub window_scaling: bool,
    /// Offer and use timestamps (RFC 7323 §3).
    pub timestamps: bool,
    /// Offer and use selective acknowledgments (RFC 2018).
    pub sack: bool,
    /// Explicit congestion notification (RFC 3168).
    pub ecn: Ecn,
    /// Hold back small segments while data is unacknowledged (RFC 9293 §3.7.4). Off: what a service
    /// sends in one turn leaves together at the end of that turn anyway.
    pub nagle: bool,
    /// How the congestion window grows, unless a listener or connection chooses otherwise.
    pub congestion: CongestionAlgorithm,
    /// Initial congestion window in segments (RFC 6928).
    pub initial_window: u32,
    /// RTO before the first measurement (RFC 6298 §2.1).
    pub rto_initial: Duration,
    /// Lower bound of the RTO. RFC 6298 says 1 s; every peer uses 200 ms, see ADR 0003.
    pub rto_min: Duration,
    /// Upper bound of the RTO, back-off included (RFC 6298 §2.4, §5.5).
    pub rto_max: Duration,
    /// How long an acknowledgment may wait for company (RFC 9293 §3.8.6.3: below 0.5 s); zero
    /// acknowledges every segment at once.
    pub delayed_ack: Duration,
    /// Segments at the start of a connection that are acknowledged without delay, so that the
    /// peer's slow start is not slowed down.
    pub quick_acks: u8,
    /// Retransmissions of a SYN before the attempt is given up: at least 3 minutes (MUST-23).
    pub syn_retries: u8,
    /// Retransmissions of a SYN-ACK; fewer, because anybody can send a SYN.
    pub syn_ack_retries: u8,
    /// Answer SYNs beyond the queue of half-open connections with SYN cookies (RFC 4987 §3.6),
    /// instead of dropping them.
    pub syn_cookies: bool,
    /// Challenge ACKs and other answers to segments out of the window, of all connections in one
    /// second (RFC 5961 §7). The limit in force varies below this, so that it tells nothing.
    pub challenge_acks: u32,
    /// Retransmissions of data before the connection is given up (R2 of RFC 9293 §3.8.3).
    pub retries: u8,
    /// Give a connection up when data stays unacknowledged for this long,
    /// however many retransmissions that is (RFC 9293 §3.9.1); `None` leaves it to `retries`.
    pub user_timeout: Option<Duration>,
    /// Silence after which a connection with keep-alive is probed (RFC 9293 §3.8.4: 2 h at least
    /// by default), how often then, and how many probes may go unanswered.
    //= rfc9293 3.8.4 MUST-27
    pub keep_alive: KeepAlive,
    /// Stay in TIME-WAIT: 2 MSL with an MSL of 30 s.
    pub time_wait: Duration,
    /// Wait for the peer's FIN after a full close.
    pub fin_wait_2: Duration,
    /// Take the short way for the segments that come nearly always. Off only to show that it makes no
    /// difference.
    pub header_prediction: bool,
    /// Ranges of out-of-order data remembered per connection.
    pub reassembly_ranges: u8,
}

/// When explicit congestion notification is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecn {
    /// Never.
    Off,
    /// When the peer asks for it.
    #[default]
    WhenAsked,
    /// Also on connections that we open.
    On,
}

/// Parameters of keep-alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Between probes.
    pub interval: Duration,
    /// Probes without an answer after which the peer is gone.
    pub probes: u8,
}

impl Default for KeepAlive {
    //= rfc9293 3.8.4 MUST-28
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(2 * 3600),
            interval: Duration::from_secs(75),
            probes: 9,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rcv_buf: 6 * 1024 * 1024,
            rcv_buf_initial: 256 * 1024,
            snd_buf: 4 * 1024 * 1024,
            snd_buf_initial: 256 * 1024,
            not_sent_low_water: u32::MAX,
            pacing: true,
            window_scaling: true,
            timestamps: true,
            sack: true,
            ecn: Ecn::WhenAsked,
            nagle: false,
            congestion: CongestionAlgorithm::Cubic,
            initial_window: 10,
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(60),
            delayed_ack: Duration::from_millis(40),
            quick_acks: 16,
            //= rfc9293 3.8.3 MUST-23
            syn_retries: 7,
            syn_ack_retries: 5,
            syn_cookies: true,
            challenge_acks: 1_000,
            //= rfc9293 3.8.3 SHLD-11
            retries: 15,
            user_timeout: None,
            keep_alive: KeepAlive::default(),
            time_wait: Duration::from_secs(60),
            fin_wait_2: Duration::from_secs(60),
            header_prediction: true,
            reassembly_ranges: 32,
        }
    }
}

impl Config {
    /// The shift with which a window of `rcv_buf` octets fits the 16-bit field.
    pub(crate) fn receive_scale(&self) -> u8 {
        let bits = u32::BITS - self.rcv_buf.leading_zeros();
        bits.saturating_sub(16).min(14) as u8
    }

    /// The receive buffer after it doubled `steps` times.
    #[inline]
    pub(crate) fn receive_buffer(&self, steps: u8) -> u32 {
        // Less than a step of the window field could never be announced. This is one, or not quite two.
        let step = (self.rcv_buf >> 15).max(1);
        let start = u64::from(self.rcv_buf_initial.max(step).min(self.rcv_buf));
        let grown = start << steps.min(31);
        grown.min(u64::from(self.rcv_buf)) as u32
    }

    /// The window of a SYN, which is never scaled (RFC 7323 §2.2).
    pub(crate) fn syn_window(&self) -> u32 {
        self.receive_buffer(0).min(0xffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use byway_wire::tcp::WindowScale;

    //= rfc9293 3.8.4 MUST-28
    #[test]
    fn keep_alive_waits_two_hours_unless_told_otherwise() {
        assert!(Config::default().keep_alive.idle >= Duration::from_secs(2 * 3600));
    }

    #[test]
    fn the_receive_buffer_doubles_up_to_its_limit() {
        let config = Config {
            rcv_buf: 100_000,
            rcv_buf_initial: 30_000,
            ..Config::default()
        };
        let sizes: Vec<u32> = (0..4).map(|step| config.receive_buffer(step)).collect();
        assert_eq!(sizes, [30_000, 60_000, 100_000, 100_000]);
        assert_eq!(config.receive_buffer(u8::MAX), 100_000);
        let small = Config {
            rcv_buf: 1000,
            ..Config::default()
        };
        assert_eq!(small.receive_buffer(0), 1000);
        for rcv_buf in [1, 65_535, 65_536, 6 << 20, (6 << 20) + 1, u32::MAX] {
            let config = Config {
                rcv_buf,
                rcv_buf_initial: 0,
                ..Config::default()
            };
            let window =
                WindowScale::clamped(config.receive_scale()).narrow(config.receive_buffer(0));
            assert!(window.0 > 0, "{rcv_buf}");
        }
    }

    #[test]
    fn the_scale_is_the_smallest_that_fits() {
        let scale = |rcv_buf| {
            Config {
                rcv_buf,
                ..Config::default()
            }
            .receive_scale()
        };
        assert_eq!(scale(65_535), 0);
        assert_eq!(scale(65_536), 1);
        assert_eq!(scale(256 * 1024), 3);
        assert_eq!(scale(u32::MAX), 14);
    }
}
