//! Initial sequence numbers that an outsider cannot guess (RFC 6528).

use crate::time::Instant;
use byway_wire::{Endpoint, FlowKey, SeqNumber};
use core::hash::Hasher;
use siphasher::sip::SipHasher24;

/// Secrets of the engine, drawn once at random by whoever makes it.
//= rfc6528 3 S3-3
#[derive(Clone, Copy, Debug)]
pub struct Secrets {
    /// Key of the initial sequence numbers.
    pub isn: [u64; 2],
    /// Added to the clock in our TSval, so that it does not tell how long we have been up.
    //= rfc7323 7 S7-1
    pub timestamp_offset: u32,
}

impl Secrets {
    /// A number that others cannot foresee.
    pub(crate) fn hash(&self, value: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.isn[0], !self.isn[1]);
        hasher.write_u64(value);
        hasher.finish()
    }
}

/// `M + F(localip, localport, remoteip, remoteport, secretkey)`, M ticking every 64 ns. RFC 9293 wants a
/// tick at least every 4 us; with those a connection that sent more than 250 kB/s would leave a successor
/// that begins behind it, and has to wait for the peer's TIME-WAIT. Numbers are compared modulo half of
/// what there is, so a peer that remembers the last connection for more than 137 s may take ours for old.
//= rfc9293 3.4.1 MUST-8
//= rfc9293 3.4.1 SHLD-1
//= rfc9293 3.4.1 MUST-9
//= rfc6528 3 S3-1 S3-2
pub(crate) fn initial_sequence_number(
    secrets: &Secrets,
    flow: &FlowKey,
    now: Instant,
) -> SeqNumber {
    let mut hasher = SipHasher24::new_with_keys(secrets.isn[0], secrets.isn[1]);
    let mut end = |endpoint: &Endpoint| {
        hasher.write(endpoint.address.octets());
        hasher.write_u16(endpoint.port);
    };
    end(&flow.local);
    end(&flow.remote);
    let clock = (now.as_nanos() >> 6) as u32;
    SeqNumber::new(clock.wrapping_add(hasher.finish() as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use byway_wire::Address;

    fn flow(port: u16) -> FlowKey {
        let end = |o, port| Endpoint::new(Address::v4([10, 0, 0, o]), port);
        FlowKey {
            local: end(1, port),
            remote: end(2, 80),
        }
    }

    //= rfc9293 3.4.1 MUST-8 MUST-9 SHLD-1
    //= rfc6528 3 S3-1 S3-2
    #[test]
    fn it_moves_with_time_and_differs_by_flow_and_key() {
        let a = Secrets {
            isn: [1, 2],
            timestamp_offset: 0,
        };
        let b = Secrets {
            isn: [1, 3],
            timestamp_offset: 0,
        };
        let at = |s, port, ns| initial_sequence_number(s, &flow(port), Instant::from_nanos(ns));
        assert_eq!(at(&a, 1000, 4096).offset_from(at(&a, 1000, 0)), 64);
        assert_ne!(at(&a, 1000, 0), at(&a, 1001, 0));
        assert_ne!(at(&a, 1000, 0), at(&b, 1000, 0));
    }
}
