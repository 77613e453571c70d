//! The network says that a packet was too big for it (RFC 1191, RFC 8201).

use crate::connection::Tcp;
use crate::record::{Connection, Marks, TIMESTAMPS_LEN};
use crate::recovery;
use byway_wire::SeqNumber;

/// No path that matters is narrower (Linux's `min_pmtu`); a message that says so is made up.
const LEAST_V4: u32 = 552;
/// Every IPv6 link carries this much (RFC 8200 §5).
const LEAST_V6: u32 = 1280;

impl Connection {
    /// An ICMP "fragmentation needed" or "packet too big" quotes a segment of this connection:
    /// packets of at most `mtu` octets get through. Believed only if it quotes something that is in
    /// flight (RFC 5927 §7.1), and only downwards. What is in flight and does not fit leaves again in
    /// pieces, at once and without a smaller window: nothing says that the network is busy.
    ///
    /// Returns the MTU of the path as far as it is believed, for others on the same path.
    //= rfc9293 3.7.2
    //= rfc9293 3.9.2.2 MUST-54
    //= rfc1191 3 S3-1 S3-2 S3-3
    //= rfc1191 5 S5-1
    //= rfc8201 4 S4-1 S4-2 S4-3 S4-4 S4-5
    pub fn on_too_big(&mut self, mtu: u32, seq: SeqNumber, tcp: &mut Tcp) -> Option<u16> {
        let v4 = self.id.flow.local.address.is_v4();
        let least = if v4 { LEAST_V4 } else { LEAST_V6 };
        // IPv4 has routers that leave the field empty; IPv6 has none, and no such link.
        let absurd = !v4 && mtu < least;
        let believed = mtu.max(least);
        if absurd || !self.is_in_flight(seq) || !self.on_path_mtu(believed, tcp) {
            tcp.counters.soft_errors += 1;
            return None;
        }
        u16::try_from(believed).ok()
    }

    /// Packets of at most `mtu` octets get through from now on; false when that was so before. Wider
    /// ones are never tried by a connection that exists.
    //= rfc1191 3 S3-1 S3-3
    //= rfc8201 4 S4-3 S4-4
    //= rfc8201 5.4 S5.4-1
    pub fn on_path_mtu(&mut self, mtu: u32, tcp: &mut Tcp) -> bool {
        let v4 = self.id.flow.local.address.is_v4();
        let headers = if v4 { 40 } else { 60 };
        let timestamps = self.id.marks.has(Marks::TIMESTAMPS);
        let options = if timestamps {
            u32::from(TIMESTAMPS_LEN)
        } else {
            0
        };
        let fits = mtu.saturating_sub(headers + options).max(1);
        if fits >= u32::from(self.tx.mss) {
            return false;
        }
        self.tx.mss = fits as u16;
        tcp.counters.path_mtu_reductions += 1;
        if !self.syn_unacknowledged() {
            recovery::on_narrower_path(self, tcp);
        }
        true
    }
}
