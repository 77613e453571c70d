//! Sixth: the URG bit.

use crate::connection::Tcp;
use crate::effects::Effects;
use crate::record::{Connection, Marks};
use crate::segment::Segment;
use byway_wire::tcp::Flags;

/// `RCV.UP <- max(RCV.UP, SEG.UP)`: the application is told when that moves beyond what it has
/// consumed. Also while the window is closed: such a segment may carry nothing else.
//= rfc9293 3.10.7.4
//= rfc9293 3.8.5 MUST-30 MUST-32 MUST-62
//= rfc9293 3.4 MUST-66
pub(super) fn check(conn: &mut Connection, seg: &Segment, tcp: &mut Tcp, fx: &mut Effects) {
    if !seg.flags.contains(Flags::URG) || !conn.id.state.may_receive() {
        return;
    }
    let up = seg.seq + u32::from(seg.urgent);
    let consumed = conn.rx.rcv_nxt - conn.rx.unread;
    let Some(cold) = conn.cold_mut(tcp) else {
        return;
    };
    let known = cold.rcv_up.filter(|known| known.after(consumed));
    if up.after(known.unwrap_or(consumed)) {
        cold.rcv_up = Some(up);
        fx.events.urgent = true;
        tcp.counters.urgent += 1;
    }
}

impl Connection {
    /// Octets until the end of the urgent data, counted from the next one to consume; zero in normal
    /// mode. Some of them may still be on their way.
    //= rfc9293 3.8.5 MUST-31 MUST-33
    pub fn urgent_left(&self, tcp: &Tcp) -> u32 {
        let consumed = self.rx.rcv_nxt - self.rx.unread;
        tcp.cold
            .get(self.tx.cold)
            .and_then(|cold| cold.rcv_up)
            .filter(|up| up.after(consumed))
            .map_or(0, |up| up.offset_from(consumed))
    }

    /// As [`queue`](Self::queue), and what was queued up to here is urgent: the peer is told at once,
    /// also when its window is closed.
    //= rfc9293 3.8.5 MUST-30 MUST-31
    pub fn queue_urgent(&mut self, len: u32, tcp: &mut Tcp) {
        if len == 0 {
            return;
        }
        self.queue(len);
        let end = self.tx.snd_end;
        if let Some(cold) = self.cold_mut(tcp) {
            cold.snd_up = end;
            self.id.marks.set(Marks::URGENT, true);
            self.rx.ack_now |= !self.syn_unacknowledged();
        }
    }
}
