//! The network says that the peer cannot be reached.

use crate::connection::Tcp;
use crate::effects::{CloseReason, Effects};
use crate::record::Connection;
use byway_wire::SeqNumber;

impl Connection {
    /// An ICMP "destination unreachable" quotes a segment of this connection; `seq` is the quoted
    /// sequence number. It ends an attempt to connect, and only if we could have sent what it
    /// quotes; an established connection is not for strangers to end (RFC 5461, RFC 5927 §4).
    //= rfc9293 3.9.2.2 MUST-56
    //= rfc9293 3.9.2.2 SHLD-26
    pub fn on_unreachable(&mut self, seq: SeqNumber, tcp: &mut Tcp, fx: &mut Effects) {
        let ours = seq.in_window(self.tx.snd_una, self.in_flight());
        if self.syn_unacknowledged() && ours {
            tcp.counters.attempt_fails += 1;
            self.finish(CloseReason::Unreachable, fx);
        } else {
            tcp.counters.soft_errors += 1;
        }
    }
}
