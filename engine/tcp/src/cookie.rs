//! SYN cookies: a listener whose queue of half-open connections is full keeps nothing of a SYN. All
//! that it would have kept is in its answer, and comes back with the peer's ACK (RFC 4987 §3.6).
//!
//! The initial sequence number of the SYN-ACK is the cookie:
//!
//! ```text
//!  31                                             3 2     0
//! +------------------------------------------------+-------+
//! |   keyed hash of all that follows, cut to 29    |  MSS  |
//! +------------------------------------------------+-------+
//!   flow, peer's ISN, counter of 64 s, MSS index, option bits
//! ```
//!
//! The options are in the low bits of our timestamp, which the peer echoes:
//!
//! ```text
//!  31                                   6    5     4  3    0
//! +--------------------------------------+-----+------+------+
//! |         our clock, rounded down      | ECN | SACK | scale|
//! +--------------------------------------+-----+------+------+
//! ```
//!
//! A peer without timestamps gets neither scaling, SACK nor ECN: there is no place to keep them.

use crate::connection::{Agreed, Tcp};
use crate::listen::SynEntry;
use crate::segment::{Plan, Segment};
use crate::time::Instant;
use byway_wire::tcp::{Flags, WindowScale};
use byway_wire::{Endpoint, FlowKey, SeqNumber};
use core::hash::Hasher;
use siphasher::sip::SipHasher24;

/// Nanoseconds that the counter in a cookie stands still: one is good for as long at least, and for
/// twice as long at most.
const PERIOD_NS: u64 = 64_000_000_000;

/// The maximum segment sizes that a cookie can tell: the one used is the largest that is not beyond
/// what the peer said. The least that is believed, the defaults of both families, tunnels, Ethernet
/// with IPv6 and IPv4, jumbo frames.
const SIZES: [u16; 8] = [64, 536, 1220, 1360, 1400, 1440, 1460, 8940];
const SIZE_BITS: u32 = 7;

/// Low bits of our timestamp that carry options.
const OPTION_BITS: u32 = 0x3f;
/// In place of a window scale: none was offered. Scales end at 14.
const NO_SCALE: u32 = 15;
const SACK: u32 = 1 << 4;
const ECN: u32 = 1 << 5;
/// Stands for the option bits of a handshake without timestamps.
const NO_TIMESTAMPS: u8 = u8::MAX;

/// What a shard remembers of the cookies it sent: when the last one left. While none did, no number
/// is a cookie, and nobody can try his luck.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cookies {
    last: Option<u64>,
}

/// What the hash covers, beside the key.
struct Subject<'a> {
    flow: &'a FlowKey,
    irs: SeqNumber,
    counter: u64,
    size: u8,
    options: u8,
}

impl Subject<'_> {
    fn cookie(&self, key: [u64; 2]) -> SeqNumber {
        // Another key than those of sequence numbers and challenges, from the same secret.
        let mut hasher = SipHasher24::new_with_keys(!key[0], key[1]);
        let mut end = |endpoint: &Endpoint| {
            hasher.write(endpoint.address.octets());
            hasher.write_u16(endpoint.port);
        };
        end(&self.flow.local);
        end(&self.flow.remote);
        hasher.write_u32(self.irs.get());
        hasher.write_u64(self.counter);
        hasher.write_u8(self.size);
        hasher.write_u8(self.options);
        let hash = hasher.finish() as u32;
        SeqNumber::new((hash & !SIZE_BITS) | u32::from(self.size))
    }
}

impl Tcp {
    /// Answers a SYN of which nothing is kept. `seg` and `mss` are as for
    /// [`accept_syn`](Self::accept_syn).
    //= rfc4987 3.6 S3.6-1 S3.6-2 S3.6-4
    pub fn cookie_syn_ack(&mut self, flow: FlowKey, seg: &Segment, mss: u16, now: Instant) -> Plan {
        let mut entry = self.accept_syn(flow, seg, mss, now);
        let agreed = entry.agreed_mut();
        if agreed.timestamps.is_none() {
            (agreed.snd_scale, agreed.sack, agreed.ecn) = (None, false, false);
        }
        let size = size_index(agreed.peer_mss);
        let bits = option_bits(agreed);
        let counter = counter(now);
        let subject = Subject {
            flow: &flow,
            irs: seg.seq,
            counter,
            size,
            options: agreed.timestamps.map_or(NO_TIMESTAMPS, |_| bits as u8),
        };
        entry.begin_at(subject.cookie(self.secrets.isn));
        self.cookies.last = Some(counter);
        self.counters.syn_cookies_sent += 1;
        let mut plan = entry.syn_ack(now, self);
        if let Some(timestamps) = &mut plan.options.timestamps {
            timestamps.value = with_options(timestamps.value, bits);
        }
        plan
    }

    /// An ACK for a listener that knows no such connection: what would have been kept of its SYN, if
    /// the ACK brings back a cookie of ours of this period or the one before. Make a
    /// [`Connection`](crate::Connection) of it with [`accept`](crate::Connection::accept), and give
    /// it this very segment. `None` is for a stranger.
    //= rfc4987 3.6 S3.6-2 S3.6-3 S3.6-5
    pub fn accept_cookie(
        &mut self,
        flow: FlowKey,
        seg: &Segment,
        mss: u16,
        now: Instant,
    ) -> Option<SynEntry> {
        let shape =
            seg.flags.contains(Flags::ACK) && !seg.flags.intersects(Flags::SYN | Flags::RST);
        let counter = counter(now);
        let lately = self
            .cookies
            .last
            .is_some_and(|last| counter.saturating_sub(last) <= 1);
        if !self.config.syn_cookies || !shape || !lately {
            return None;
        }
        let (iss, irs) = (seg.ack - 1, seg.seq - 1);
        let timestamps = seg.options.timestamps.filter(|_| self.config.timestamps);
        let size = (iss.get() & SIZE_BITS) as u8;
        let bits = timestamps.map(|t| t.echo & OPTION_BITS);
        let ours = [Some(counter), counter.checked_sub(1)]
            .into_iter()
            .flatten()
            .any(|counter| {
                let subject = Subject {
                    flow: &flow,
                    irs,
                    counter,
                    size,
                    options: bits.map_or(NO_TIMESTAMPS, |bits| bits as u8),
                };
                subject.cookie(self.secrets.isn) == iss
            });
        if !ours {
            self.counters.syn_cookies_failed += 1;
            return None;
        }
        self.counters.syn_cookies_received += 1;
        let bits = bits.unwrap_or(NO_SCALE);
        let agreed = Agreed {
            timestamps: timestamps.map(|t| t.value),
            sack: bits & SACK != 0,
            ecn: bits & ECN != 0,
            snd_scale: Some(bits & NO_SCALE)
                .filter(|&scale| scale != NO_SCALE)
                .map(|scale| WindowScale::clamped(scale as u8)),
            peer_mss: SIZES.get(usize::from(size)).copied().unwrap_or(SIZES[0]),
        };
        Some(SynEntry::from_cookie(flow, iss, irs, agreed, mss, now))
    }
}

fn counter(now: Instant) -> u64 {
    now.as_nanos() / PERIOD_NS
}

/// The place in [`SIZES`] of the largest that is not beyond `mss`.
fn size_index(mss: u16) -> u8 {
    SIZES.iter().filter(|&&size| size <= mss).count().max(1) as u8 - 1
}

fn option_bits(agreed: &Agreed) -> u32 {
    let scale = agreed
        .snd_scale
        .map_or(NO_SCALE, |scale| u32::from(scale.shift()));
    scale | if agreed.sack { SACK } else { 0 } | if agreed.ecn { ECN } else { 0 }
}

/// The latest timestamp with these low bits that is not beyond `clock`: what we send later has a
/// later one, or the same.
//= rfc7323 5.4
fn with_options(clock: u32, bits: u32) -> u32 {
    let value = (clock & !OPTION_BITS) | bits;
    if bits > clock & OPTION_BITS {
        value.wrapping_sub(OPTION_BITS + 1)
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_never_more_than_the_peer_said() {
        for (mss, expected) in [
            (64, 64),
            (535, 64),
            (536, 536),
            (1219, 536),
            (1459, 1440),
            (1460, 1460),
            (8939, 1460),
            (u16::MAX, 8940),
        ] {
            assert_eq!(SIZES[usize::from(size_index(mss))], expected, "{mss}");
        }
    }

    #[test]
    fn a_timestamp_with_options_is_not_later_and_never_goes_back() {
        for bits in [0, 1, NO_SCALE, SACK | 7, OPTION_BITS] {
            let mut last = with_options(u32::MAX - 199, bits);
            for step in 0..400 {
                let clock = (u32::MAX - 199).wrapping_add(step);
                let value = with_options(clock, bits);
                assert_eq!(value & OPTION_BITS, bits);
                assert!(clock.wrapping_sub(value) <= OPTION_BITS);
                assert!(value.wrapping_sub(last) as i32 >= 0);
                last = value;
            }
        }
    }
}
