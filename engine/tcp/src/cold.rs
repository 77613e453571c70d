//! What of a connection is rarely needed: read by people, written when something unusual happens.
//! Nothing here is touched by a segment in order.

use crate::connection::Tcp;
use crate::pool::{NONE, Recycle};
use crate::record::Connection;
use crate::time::{Duration, Instant};
use byway_wire::SeqNumber;

/// The record of what is rarely needed; every connection has one.
#[derive(Clone, Debug)]
pub(crate) struct Cold {
    /// When the connection came to be.
    pub(crate) born: Instant,
    /// Sequence numbers of the first octet after each SYN.
    pub(crate) snd_start: SeqNumber,
    pub(crate) rcv_start: SeqNumber,
    /// How often SND.UNA and RCV.NXT went past zero.
    pub(crate) snd_wraps: u32,
    pub(crate) rcv_wraps: u32,
    /// Segments and octets sent again.
    pub(crate) resent_segs: u32,
    pub(crate) resent_octets: u64,
    /// Retransmission timeouts.
    pub(crate) timeouts: u32,
    /// The shortest round trip of the connection.
    pub(crate) min_rtt: Duration,
    /// Delivery rate when it was last measured, octets a second.
    pub(crate) delivery_rate: u64,
    /// Octets that may be queued beyond what was sent; `u32::MAX` leaves it to the buffer.
    pub(crate) not_sent_low_water: u32,
    /// Instead of that of the configuration.
    pub(crate) user_timeout: Option<Duration>,
    /// When the first window probe left that was not answered.
    pub(crate) probing_since: Instant,
    /// A close that takes longer is a reset.
    pub(crate) linger: Option<Duration>,
    /// RCV.UP: the octet after the last urgent one, while it was not consumed.
    pub(crate) rcv_up: Option<SeqNumber>,
    /// SND.UP, while [`Marks::URGENT`](crate::record::Marks::URGENT) is set.
    pub(crate) snd_up: SeqNumber,
}

impl Default for Cold {
    fn default() -> Self {
        Self {
            born: Instant::NEVER,
            snd_start: SeqNumber::default(),
            rcv_start: SeqNumber::default(),
            snd_wraps: 0,
            rcv_wraps: 0,
            resent_segs: 0,
            resent_octets: 0,
            timeouts: 0,
            min_rtt: Duration::MAX,
            delivery_rate: 0,
            not_sent_low_water: u32::MAX,
            user_timeout: None,
            probing_since: Instant::NEVER,
            linger: None,
            rcv_up: None,
            snd_up: SeqNumber::default(),
        }
    }
}

impl Recycle for Cold {
    fn recycle(&mut self) {
        *self = Self::default();
    }
}

/// Distance from `start` to `end` in a stream of more than 2^32 octets, when the numbers went past
/// zero `wraps` times in between.
pub(crate) fn distance(start: SeqNumber, end: SeqNumber, wraps: u32) -> u64 {
    let full = (u64::from(wraps) << 32) + u64::from(end.get());
    full.saturating_sub(u64::from(start.get()))
}

impl Connection {
    /// The cold record. A connection without one (the pool is as large as the table, so there is
    /// none) loses what is in it and nothing else.
    pub(crate) fn cold_mut<'t>(&self, tcp: &'t mut Tcp) -> Option<&'t mut Cold> {
        tcp.cold.get_mut(self.tx.cold)
    }

    /// The connection opens: its streams begin here.
    pub(crate) fn open_cold(&self, tcp: &mut Tcp) {
        let srtt_us = self.tx.rtt.srtt_us;
        if let Some(cold) = tcp.cold.get_mut(self.tx.cold) {
            cold.snd_start = self.tx.snd_una;
            cold.rcv_start = self.rx.rcv_nxt;
            if srtt_us > 0 {
                cold.min_rtt = Duration::from_micros(u64::from(srtt_us));
            }
        }
    }

    /// A segment was sent again.
    pub(crate) fn count_resent(&self, octets: u32, tcp: &mut Tcp) {
        if let Some(cold) = self.cold_mut(tcp) {
            cold.resent_segs += 1;
            cold.resent_octets += u64::from(octets);
        }
    }

    /// SND.UNA went past zero.
    #[cold]
    pub(crate) fn count_snd_wrap(&self, tcp: &mut Tcp) {
        if let Some(cold) = self.cold_mut(tcp) {
            cold.snd_wraps += 1;
        }
    }

    /// RCV.NXT went past zero.
    #[cold]
    pub(crate) fn count_rcv_wrap(&self, tcp: &mut Tcp) {
        if let Some(cold) = self.cold_mut(tcp) {
            cold.rcv_wraps += 1;
        }
    }

    /// Begins the cold record of a new connection.
    pub(crate) fn begin_cold(&mut self, now: Instant, tcp: &mut Tcp) {
        self.tx.cold = tcp.cold.take().unwrap_or(NONE);
        let low_water = tcp.config.not_sent_low_water;
        if let Some(cold) = tcp.cold.get_mut(self.tx.cold) {
            cold.born = now;
            cold.not_sent_low_water = low_water;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_go_on_beyond_32_bits() {
        let at = SeqNumber::new;
        assert_eq!(distance(at(10), at(10), 0), 0);
        assert_eq!(distance(at(u32::MAX), at(4), 1), 5);
        assert_eq!(distance(at(5), at(4), 1), (1 << 32) - 1);
        assert_eq!(distance(at(5), at(6), 3), (3 << 32) + 1);
    }
}
