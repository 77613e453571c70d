//! A segment arrives: RFC 9293 §3.10.7.4, one small function a step, in the RFC's order.

mod ack;
mod data;
mod ecn;
mod fin;
mod predicted;
mod reset;
mod sequence;
mod syn;
mod syn_sent;
mod too_big;
mod unreachable;
mod urgent;

use crate::connection::Tcp;
use crate::effects::{DropReason, Effects};
use crate::record::Connection;
use crate::segment::{Plain, Segment};
use crate::state::State;
use crate::time::Instant;

/// What a step says: go on with the next one, or be done with this segment.
pub(crate) type Step = Result<(), Done>;

/// The segment is dealt with.
pub(crate) struct Done;

/// A segment was refused: counts it and says so.
#[inline]
pub(crate) fn refuse(reason: DropReason, tcp: &mut Tcp, fx: &mut Effects) -> Done {
    tcp.counters.drop(reason);
    fx.drop = Some(reason);
    Done
}

impl Connection {
    /// Takes a segment of this connection. `fx` starts as default.
    //= none: only says which steps follow; each names its clause
    pub fn on_segment(&mut self, seg: &Segment, now: Instant, tcp: &mut Tcp, fx: &mut Effects) {
        tcp.counters.in_segs += 1;
        if tcp.config.header_prediction
            && let Some(plain) = seg.plain()
            && let Some(acked) = predicted::take(self, &plain, now, tcp)
        {
            fx.acked = acked;
            fx.deliver.len = plain.payload_len;
            return;
        }
        // A step that is done has said all it has to say in `fx`.
        let _ = match self.id.state {
            State::Closed | State::Listen | State::TimeWait => Ok(()),
            State::SynSent => syn_sent::segment_arrives(self, seg, now, tcp, fx),
            _ => self.segment_arrives(seg, now, tcp, fx),
        };
    }

    /// Takes a plain segment by header prediction: the octets of ours that it acknowledged, zero
    /// if none; its whole payload is in order, for the reader. `None`, and nothing changed, when
    /// [`on_segment`](Self::on_segment) has to take it.
    //= none: header prediction names its clauses
    #[inline]
    pub fn on_plain(&mut self, seg: &Plain, now: Instant, tcp: &mut Tcp) -> Option<u32> {
        if !tcp.config.header_prediction {
            return None;
        }
        let acked = predicted::take(self, seg, now, tcp)?;
        tcp.counters.in_segs += 1;
        Some(acked)
    }

    //= rfc9293 3.10.7.4
    //= none: only says in which order the steps follow; each names its clause
    fn segment_arrives(
        &mut self,
        seg: &Segment,
        now: Instant,
        tcp: &mut Tcp,
        fx: &mut Effects,
    ) -> Step {
        let arrival = sequence::check(self, seg, now, tcp, fx)?;
        reset::check(self, seg, now, tcp, fx)?;
        syn::check(self, seg, now, tcp, fx)?;
        ecn::receive(self, seg);
        ack::check(self, seg, now, tcp, fx)?;
        urgent::check(self, seg, tcp, fx);
        data::accept(self, &arrival, now, tcp, fx)?;
        fin::check(self, &arrival, now, tcp, fx)
    }
}
