//! How large the buffers of a connection are: as its path and its application need, between the
//! bounds of the configuration.

use crate::config::Config;
use crate::connection::Tcp;
use crate::record::Connection;
use crate::time::Instant;

/// Round trip to measure by when none is known, in microseconds.
const GUESSED_TRIP_US: u64 = 100_000;

impl Tcp {
    /// The memory for what was received is short: until this is called again no window grows beyond
    /// so many octets, unread ones included. What was announced stays (RFC 9293 §3.8.6), and a
    /// connection whose application keeps up may always announce two segments. `u32::MAX` is no
    /// bound.
    //= rfc9293 3.8.6 SHLD-14
    pub fn bound_windows(&mut self, octets: u32) {
        self.receive_bound = octets;
    }
}

impl Connection {
    /// Octets that may wait for the application, unread and out of order: what the window is of.
    #[inline]
    pub(crate) fn receive_buffer(&self, config: &Config) -> u32 {
        config.receive_buffer(self.rx.rcv_steps)
    }

    /// The octets that the window is of: the buffer, or less when the memory of all is short.
    #[inline]
    pub(crate) fn receive_room(&self, tcp: &Tcp) -> u32 {
        let buffer = self.receive_buffer(&tcp.config);
        if buffer <= tcp.receive_bound {
            return buffer;
        }
        let least = match self.rx.unread {
            0 => 2 * u32::from(self.rx.rcv_mss),
            _ => 0,
        };
        buffer.min(tcp.receive_bound.max(least))
    }

    /// Doubles the receive buffer when the application took more than half of it within a round trip.
    /// A sender in slow start doubles what it sends each round trip: it never waits for the window.
    /// A slow reader keeps what it has.
    pub(crate) fn size_receive_buffer(&mut self, now: Instant, config: &Config) {
        let buffer = self.receive_buffer(config);
        if buffer >= config.rcv_buf {
            return;
        }
        let now_ms = now.as_millis_wrapped();
        let elapsed_us = u64::from(now_ms.wrapping_sub(self.rx.intake_at_ms)) * 1000;
        let trip_us = match self.tx.rtt.srtt_us {
            0 => GUESSED_TRIP_US,
            srtt => u64::from(srtt),
        };
        let consumed = self.rx.rcv_nxt - self.rx.unread;
        let taken = u64::from(consumed.offset_from(self.rx.intake_from));
        // Over less than a round trip what is taken can only become more.
        let in_a_trip = if elapsed_us > trip_us {
            taken * trip_us / elapsed_us
        } else {
            taken
        };
        if in_a_trip > u64::from(buffer / 2) {
            self.rx.rcv_steps += 1;
        } else if elapsed_us < trip_us.max(1000) {
            return;
        }
        self.rx.intake_from = consumed;
        self.rx.intake_at_ms = now_ms;
    }

    /// Octets that the send buffer holds at most: twice what may be in flight, so that there is a
    /// window of new data when a window is acknowledged.
    #[inline]
    pub fn send_buffer(&self, config: &Config) -> u32 {
        let wanted = self.tx.window.cwnd.saturating_mul(2);
        wanted.max(config.snd_buf_initial).min(config.snd_buf)
    }

    /// Octets that [`send_space`](Self::send_space) offers when nothing is queued.
    pub fn send_capacity(&self, tcp: &Tcp) -> u32 {
        let low_water = match tcp.low_water_in_use {
            true => tcp
                .cold
                .get(self.tx.cold)
                .map(|cold| cold.not_sent_low_water),
            false => None,
        };
        self.send_buffer(&tcp.config)
            .min(low_water.unwrap_or(u32::MAX))
    }

    /// Octets that the not-sent low-water mark leaves: what is queued beyond SND.NXT stays below.
    #[inline]
    pub(crate) fn low_water_room(&self, tcp: &Tcp) -> u32 {
        if !tcp.low_water_in_use {
            return u32::MAX;
        }
        tcp.cold
            .get(self.tx.cold)
            .map_or(u32::MAX, |cold| cold.not_sent_low_water)
            .saturating_sub(self.unsent())
    }

    /// Octets that [`send_space`](Self::send_space) offers at most beyond what was sent;
    /// `u32::MAX` leaves it to the buffer. With a low mark the newest data leaves soonest.
    pub fn set_not_sent_low_water(&mut self, octets: u32, tcp: &mut Tcp) {
        tcp.low_water_in_use |= octets < u32::MAX;
        if let Some(cold) = self.cold_mut(tcp) {
            cold.not_sent_low_water = octets;
        }
    }
}
