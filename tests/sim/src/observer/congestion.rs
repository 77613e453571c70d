//! What is in flight, held against the congestion window.

use super::Facts;
use super::half::Half;

impl Half {
    /// A timeout of its engine may have declared everything lost that was in flight.
    pub(super) fn note_timeouts(&mut self, facts: &Facts<'_>) {
        if facts.standing.timeouts != self.timeouts {
            self.timeouts = facts.standing.timeouts;
            self.timed_out_to = self.end;
        }
    }

    /// New data was sent, `len` octets of it.
    ///
    /// What is in flight for sure is what was sent once, above everything that the peer reported,
    /// that was sent again, or that a timeout declared lost. The last segment that fits may exceed
    /// the window, and a tail loss probe does not ask for it (RFC 8985 §7.3).
    pub(super) fn check_congestion(&mut self, len: i64, facts: &Facts<'_>) -> Result<(), String> {
        let Some(info) = facts.standing.info.filter(|_| self.end > 1) else {
            return Ok(());
        };
        if !self.sack() && self.recover_to > self.una {
            // What left the network is guesswork until the recovery is over.
            return Ok(());
        }
        let mss = i64::from(info.mss);
        let from = self
            .una
            .max(self.sacked_to)
            .max(self.resent_to)
            .max(self.timed_out_to);
        let guessed = if self.sack() {
            0
        } else {
            // Without SACK a duplicate stands for a segment that has left the network.
            i64::from(self.duplicates) * mss
        };
        let flight = self.end - from - guessed;
        let most = i64::from(info.cwnd) + mss.max(len) + 1;
        if flight > most && !(self.sack() && self.silence.may_probe(facts.now)) {
            return Err(format!(
                "{flight} octets are in flight, the congestion window is {}",
                info.cwnd
            ));
        }
        Ok(())
    }
}
