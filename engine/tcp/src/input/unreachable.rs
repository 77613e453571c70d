//! The network says that the peer cannot be reached.

use crate::connection::Tcp;
use crate::effects::{CloseReason, Effects};
use crate::record::Connection;
use byway_wire::SeqNumber;

impl Connection {
    /// True when `seq` is that of something in flight: what an ICMP message quotes has to be, or the
    /// message is old or made up (RFC 5927 §4.1).
    //= rfc5927 4.1 S4.1-1
    pub fn is_in_flight(&self, seq: SeqNumber) -> bool {
        seq.in_window(self.tx.snd_una, self.in_flight())
    }

    /// An ICMP "destination unreachable" quotes a segment of this connection; `seq` is the quoted
    /// sequence number. It ends an attempt to connect, and only if we could have sent what it
    /// quotes; an established connection is not for strangers to end (RFC 5461, RFC 5927 §4).
    //= rfc9293 3.9.2.2 MUST-56
    //= rfc9293 3.9.2.2 SHLD-26
    //= rfc5927 5.2 S5.2-1
    pub fn on_unreachable(&mut self, seq: SeqNumber, tcp: &mut Tcp, fx: &mut Effects) {
        if self.syn_unacknowledged() && self.is_in_flight(seq) {
            tcp.counters.attempt_fails += 1;
            self.finish(CloseReason::Unreachable, fx);
        } else {
            tcp.counters.soft_errors += 1;
        }
    }
}
