//! What can be set about TCP, with defaults and where they come from.

use crate::time::Duration;

/// Parameters of TCP, the same for every connection of a shard.
#[derive(Clone, Debug)]
pub struct Config {
    /// Receive buffer of a connection in octets: the largest window we offer.
    pub rcv_buf: u32,
    /// Send buffer of a connection in octets.
    pub snd_buf: u32,
    /// Offer and use window scaling (RFC 7323 §2).
    pub window_scaling: bool,
    /// Offer and use timestamps (RFC 7323 §3).
    pub timestamps: bool,
    /// Offer and use selective acknowledgments (RFC 2018).
    pub sack: bool,
    /// Hold back small segments while data is unacknowledged (RFC 9293 §3.7.4). Off: what a service
    /// sends in one turn leaves together at the end of that turn anyway.
    pub nagle: bool,
    /// Initial congestion window in segments (RFC 6928).
    pub initial_window: u32,
    /// RTO before the first measurement (RFC 6298 §2.1).
    pub rto_initial: Duration,
    /// Lower bound of the RTO. RFC 6298 says 1 s; every peer uses 200 ms, see ADR 0003.
    pub rto_min: Duration,
    /// Upper bound of the RTO, back-off included (RFC 6298 §2.4, §5.5).
    pub rto_max: Duration,
    /// How long an acknowledgment may wait for company (RFC 9293 §3.8.6.3: below 0.5 s).
    pub delayed_ack: Duration,
    /// Segments at the start of a connection that are acknowledged without delay, so that the
    /// peer's slow start is not slowed down.
    pub quick_acks: u8,
    /// Retransmissions of a SYN or SYN-ACK before the attempt is given up.
    pub syn_retries: u8,
    /// Retransmissions of data before the connection is given up (R2 of RFC 9293 §3.8.3).
    pub retries: u8,
    /// Stay in TIME-WAIT: 2 MSL with an MSL of 30 s.
    pub time_wait: Duration,
    /// Wait for the peer's FIN after a full close.
    pub fin_wait_2: Duration,
    /// Ranges of out-of-order data remembered per connection.
    pub reassembly_ranges: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rcv_buf: 256 * 1024,
            snd_buf: 256 * 1024,
            window_scaling: true,
            timestamps: true,
            sack: true,
            nagle: false,
            initial_window: 10,
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(60),
            delayed_ack: Duration::from_millis(40),
            quick_acks: 16,
            syn_retries: 6,
            retries: 15,
            time_wait: Duration::from_secs(60),
            fin_wait_2: Duration::from_secs(60),
            reassembly_ranges: 32,
        }
    }
}

impl Config {
    /// The shift with which a window of `rcv_buf` octets fits the 16-bit field.
    pub(crate) fn receive_scale(&self) -> u8 {
        let mut shift = 0;
        while shift < 14 && (self.rcv_buf >> shift) > 0xffff {
            shift += 1;
        }
        shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
