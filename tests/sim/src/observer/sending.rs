//! What an end sends: its bytes, their places, the peer's window, the FIN, segment sizes.

use super::Facts;
use super::half::Half;
use super::half::place;
use crate::wire::{Segment, flag};

impl Half {
    pub(super) fn check_sending(
        &mut self,
        segment: &Segment,
        bytes: &[u8],
        facts: &Facts<'_>,
    ) -> Result<(), String> {
        let Some(mine) = self.mine else {
            return Ok(());
        };
        let start = place(segment.seq, mine.isn);
        let syn = segment.has(flag::SYN);
        let fin = segment.has(flag::FIN);
        let data_end = start + i64::from(segment.len()) + i64::from(syn);
        let end = data_end + i64::from(fin);
        if end == start {
            return self.check_empty(segment, start);
        }
        self.check_bytes(start, bytes, facts)?;
        self.check_size(segment, facts)?;
        self.check_fin(start, data_end, fin, facts)?;
        let fresh = end > self.end;
        if fresh && start > self.end {
            return Err(format!("it sends {start} next, not {}", self.end));
        }
        if fresh && !syn && end > self.edge {
            let edge = self.edge;
            return Err(format!("it sends up to {end}, the window ends at {edge}"));
        }
        if segment.ecn != 0 {
            self.check_ecn(segment, start, facts)?;
        }
        let again = start < self.end;
        if again {
            if facts.clean && !self.is_tail_probe(end, facts) {
                return Err(format!("it sends {start} again, and nothing was lost"));
            }
            self.resent_to = self.resent_to.max(end.min(self.end));
            let recovering = std::mem::replace(&mut self.recover_to, self.end) > self.una;
            let paced = facts.tcp.pacing && (recovering || self.duplicates > 0);
            self.check_retransmission(start, end, paced && !syn, facts)?;
        }
        if fresh {
            if self.surely_acked == self.end || syn {
                self.silence.starts(facts.now);
            }
            self.silence.interrupted(facts.now);
            self.end = end;
            if segment.len() > 0 {
                self.check_congestion(end - start, facts)?;
            }
        }
        Ok(())
    }

    /// Behind a bottleneck an ACK may be later than two round trips before, and the last segment is
    /// sent again to ask for it, once (RFC 8985 §7.2).
    fn is_tail_probe(&mut self, end: i64, facts: &Facts<'_>) -> bool {
        let last = end == self.end && self.end > 1 && self.sack();
        let patience = facts.probe_after.filter(|_| last);
        patience.is_some_and(|patience| self.silence.asks(facts.now, patience))
    }

    /// Nothing but an acknowledgment: at SND.NXT, or a probe left of the window.
    fn check_empty(&self, segment: &Segment, start: i64) -> Result<(), String> {
        if start > self.end || start < 0 {
            return Err(format!("an ACK at {start}, far from {}", self.end));
        }
        if segment.ecn != 0 {
            return Err("an ECN-capable ACK".into());
        }
        Ok(())
    }

    /// Sent for the first time or again: the octets of a place are always the same.
    fn check_bytes(&self, start: i64, bytes: &[u8], facts: &Facts<'_>) -> Result<(), String> {
        if bytes.is_empty() {
            return Ok(());
        }
        let at = u64::try_from(start - 1).map_err(|_| "data in the place of the SYN")?;
        if at + bytes.len() as u64 > u64::from(facts.bytes) {
            return Err(format!("it sends {at} and more, and has {}", facts.bytes));
        }
        match facts.stream.mismatch(at, bytes) {
            Some(wrong) => Err(format!("it sends a wrong octet at {wrong}")),
            None => Ok(()),
        }
    }

    fn check_size(&self, segment: &Segment, facts: &Facts<'_>) -> Result<(), String> {
        if segment.len() == 0 {
            return Ok(());
        }
        let default = if facts.v6 { 1220 } else { 536 };
        let theirs = self.theirs.and_then(|offer| offer.mss).unwrap_or(default);
        let most = u32::from(theirs.max(64));
        if segment.len() + u32::from(segment.options_len) > most {
            return Err(format!("{} octets exceed the MSS {most}", segment.len()));
        }
        Ok(())
    }

    fn check_fin(
        &mut self,
        start: i64,
        data_end: i64,
        fin: bool,
        facts: &Facts<'_>,
    ) -> Result<(), String> {
        if fin {
            let all = i64::from(facts.bytes) + 1;
            if data_end != *self.fin.get_or_insert(data_end) || data_end != all {
                return Err(format!("its FIN is at {data_end}, its data ends at {all}"));
            }
        } else if self.fin.is_some_and(|at| data_end > at || start > at) {
            return Err("new data after the FIN".into());
        }
        Ok(())
    }

    /// Only data that is sent for the first time may be marked (RFC 3168 §6.1.5), and only by ends
    /// that both know of it.
    fn check_ecn(&self, segment: &Segment, start: i64, facts: &Facts<'_>) -> Result<(), String> {
        let ours = facts.tcp.ecn != byway_tcp::config::Ecn::Off;
        let plain = segment.ecn == 2 && ours && !segment.has(flag::SYN) && segment.len() > 0;
        if !plain || start < self.end {
            return Err(format!("ECN bits {} where they must not be", segment.ecn));
        }
        Ok(())
    }
}
