//! One end of a connection, as the wire shows it.

use super::Facts;
use super::ranges::Ranges;
use super::timing::Silence;
use crate::wire::{Segment, flag};
use byway_tcp::time::Instant;

/// What the SYN of an end offered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offer {
    pub(crate) isn: u32,
    pub(crate) mss: Option<u16>,
    pub(crate) scale: Option<u8>,
    pub(crate) sack: bool,
    pub(crate) timestamps: bool,
}

impl Offer {
    fn read(segment: &Segment) -> Self {
        Self {
            isn: segment.seq,
            mss: segment.mss,
            scale: segment.scale,
            sack: segment.sack_permitted,
            timestamps: segment.timestamps.is_some(),
        }
    }
}

/// One end. Places in a stream are distances from its initial sequence number, that of the SYN.
#[derive(Clone, Debug, Default)]
pub(crate) struct Half {
    /// Its own SYN.
    pub(crate) mine: Option<Offer>,
    /// The peer's SYN, once delivered.
    pub(crate) theirs: Option<Offer>,

    /// One past the furthest octet sent: SND.NXT.
    pub(crate) end: i64,
    /// The place of its FIN, once sent.
    pub(crate) fin: Option<i64>,
    /// One past the furthest octet sent twice.
    pub(crate) resent_to: i64,
    /// One past the furthest octet sent when something was sent again last, or was going to be.
    pub(crate) recover_to: i64,
    /// The last acknowledgment sent.
    pub(crate) acked: i64,
    /// The furthest right edge announced.
    pub(crate) announced: Option<i64>,
    pub(crate) last_timestamp: Option<u32>,
    pub(crate) last_echo: Option<u32>,

    /// What was delivered to it.
    pub(crate) received: Ranges,
    /// The place of the peer's FIN, once delivered.
    pub(crate) their_fin: Option<i64>,
    /// The furthest acknowledgment delivered to it: SND.UNA.
    pub(crate) una: i64,
    /// As far as it cannot have ignored it.
    pub(crate) surely_acked: i64,
    /// The furthest right edge delivered to it.
    pub(crate) edge: i64,
    /// One past the furthest octet reported as held.
    pub(crate) sacked_to: i64,
    /// Acknowledgments since, that acknowledged nothing new.
    pub(crate) duplicates: u32,
    /// Timestamps delivered and not older than what was echoed last, in their order.
    pub(crate) timestamps: Vec<u32>,
    /// A mark of congestion was delivered.
    pub(crate) marked: bool,
    /// Everything up to here was in flight at the last timeout of its engine.
    pub(crate) timed_out_to: i64,
    pub(crate) timeouts: u64,
    pub(crate) silence: Silence,
    /// What gets through to the peer, as far as this end was told, and since when.
    pub(crate) path_mtu: Option<(Instant, u16)>,
    /// When it sent its SYN first.
    pub(crate) began: Option<Instant>,
}

/// Where `seq` is, counted from `base`.
pub(crate) fn place(seq: u32, base: u32) -> i64 {
    i64::from(seq.wrapping_sub(base) as i32)
}

impl Half {
    /// Its sequence numbers went through zero.
    pub(crate) fn wrapped(&self) -> bool {
        let left = |offer: Offer| i64::from(u32::MAX - offer.isn);
        self.mine.is_some_and(|mine| self.end > left(mine) + 1)
    }

    pub(crate) fn scaling(&self) -> bool {
        self.both(|offer| offer.scale.is_some())
    }

    pub(crate) fn sack(&self) -> bool {
        self.both(|offer| offer.sack)
    }

    pub(crate) fn stamped(&self) -> bool {
        self.both(|offer| offer.timestamps)
    }

    /// Both FINs arrived: what is left of it is TIME-WAIT, or nothing, and unread octets.
    fn is_finished(&self) -> bool {
        self.fin.is_some_and(|fin| self.una > fin)
            && self.their_fin.is_some_and(|fin| self.received.next() > fin)
    }

    fn both(&self, has: fn(&Offer) -> bool) -> bool {
        self.mine.as_ref().is_some_and(has) && self.theirs.as_ref().is_some_and(has)
    }

    /// It sends a segment.
    pub(crate) fn sends(
        &mut self,
        segment: &Segment,
        bytes: &[u8],
        facts: &Facts<'_>,
    ) -> Result<(), String> {
        if usize::from(segment.packet_len) > usize::from(facts.mtu) {
            return Err(format!("{} octets exceed the MTU", segment.packet_len));
        }
        self.check_path_mtu(segment, facts)?;
        if segment.has(flag::RST) {
            // What is left of the connection before does not fit a handshake.
            let old = facts.reuses && self.end <= 1;
            let expected = facts.aborts || facts.standing.over || self.is_finished() || old;
            return expected.then_some(()).ok_or("an unexpected reset".into());
        }
        if facts.standing.over {
            // What answers now is TIME-WAIT, a listener that saw an old SYN, or nobody.
            let silent = segment.len() == 0;
            return silent.then_some(()).ok_or("data after the end".into());
        }
        if segment.has(flag::SYN) {
            self.sends_syn(segment, facts)?;
        } else if self.mine.is_none() {
            return Err("a segment before the SYN".into());
        } else if !segment.has(flag::ACK) {
            return Err("no ACK".into());
        }
        self.note_timeouts(facts);
        self.check_timestamps(segment)?;
        self.check_sending(segment, bytes, facts)?;
        if segment.has(flag::ACK) {
            self.check_receiving(segment)?;
        }
        Ok(())
    }

    /// It is told that its segment from `seq` on does not get through. True if it has to believe
    /// it: the segment is in flight.
    pub(crate) fn is_told(&mut self, seq: u32, mtu: u16, now: Instant) -> bool {
        let Some(mine) = self.mine else {
            return false;
        };
        let place = place(seq, mine.isn);
        if place < self.surely_acked || place >= self.end {
            return false;
        }
        // What does not fit is lost, all of it: it may leave again at once, or as pacing lets it.
        self.silence.broken(now, false, false);
        (self.recover_to, self.timed_out_to) = (self.end, self.end);
        if place < self.una {
            // It may have ignored the acknowledgment, and believes this; nobody knows.
            return false;
        }
        if self.path_mtu.is_none_or(|(_, known)| mtu < known) {
            self.path_mtu = Some((now, mtu));
        }
        true
    }

    /// What a router said is heeded: by this connection, and by those that begin later.
    fn check_path_mtu(&mut self, segment: &Segment, facts: &Facts<'_>) -> Result<(), String> {
        let began = *self.began.get_or_insert(facts.now);
        let learned = facts.learned.filter(|(since, _)| *since < began);
        // What leaves at that very moment may have been ready before.
        let told = self.path_mtu.filter(|(since, _)| *since < facts.now);
        let known = [learned, told].into_iter().flatten().map(|(_, mtu)| mtu);
        match known.min() {
            Some(most) if segment.whole && segment.packet_len > most => Err(format!(
                "{} octets, though a router said that {most} are the most",
                segment.packet_len
            )),
            _ => Ok(()),
        }
    }

    fn sends_syn(&mut self, segment: &Segment, facts: &Facts<'_>) -> Result<(), String> {
        match self.mine {
            Some(offer) if offer.isn != segment.seq => {
                if self.end > 1 || !facts.aborts {
                    return Err("another initial sequence number".into());
                }
                *self = Self {
                    mine: Some(Offer::read(segment)),
                    theirs: self.theirs,
                    received: self.received.clone(),
                    timestamps: std::mem::take(&mut self.timestamps),
                    // What it has just heard is the SYN that it answers, perhaps twice.
                    silence: self.silence,
                    ..Self::default()
                };
            }
            Some(_) => {}
            None => self.mine = Some(Offer::read(segment)),
        }
        if let Some(theirs) = self.theirs.filter(|_| segment.has(flag::ACK)) {
            let unasked = (segment.scale.is_some() && theirs.scale.is_none())
                || (segment.sack_permitted && !theirs.sack)
                || (segment.timestamps.is_some() && !theirs.timestamps);
            if unasked {
                return Err("the SYN-ACK has an option that the SYN had not".into());
            }
        }
        Ok(())
    }

    /// A segment is delivered to it.
    pub(crate) fn hears(&mut self, segment: &Segment, now: Instant) {
        if segment.has(flag::RST) {
            return;
        }
        if segment.has(flag::SYN) {
            let offer = Offer::read(segment);
            let known = self.theirs.get_or_insert(offer);
            if known.isn != offer.isn {
                // Of a listener that took an old SYN for a new one.
                return;
            }
        }
        let Some(theirs) = self.theirs else {
            return;
        };
        let start = place(segment.seq, theirs.isn);
        let syn = i64::from(segment.has(flag::SYN));
        let fin = i64::from(segment.has(flag::FIN));
        let end = start + i64::from(segment.len()) + syn + fin;
        let next = self.received.next();
        let taken = start == next || (start < next && end > next);
        self.received.insert(start, end);
        if fin > 0 {
            self.their_fin = Some(end - 1);
        }
        self.marked |= segment.ecn == 3;
        let mut newest = true;
        if let Some((value, _)) = segment.timestamps {
            newest = self.hears_timestamp(value);
        }
        let advances = self.hears_ack(segment);
        // One that is old in one way or another is answered, and not looked at any further.
        let sure = taken && newest;
        if sure {
            self.surely_acked = self.surely_acked.max(self.una);
        }
        self.silence.broken(now, sure, advances);
    }

    /// Insertion that keeps the order. True when it is not older than another one.
    fn hears_timestamp(&mut self, value: u32) -> bool {
        let older = |other: &u32| (other.wrapping_sub(value) as i32) < 0;
        let at = self.timestamps.partition_point(older);
        if self.timestamps.get(at) != Some(&value) {
            self.timestamps.insert(at, value);
        }
        at + 1 == self.timestamps.len()
    }

    /// True when it acknowledges something new.
    fn hears_ack(&mut self, segment: &Segment) -> bool {
        let (Some(mine), Some(theirs)) = (self.mine, self.theirs) else {
            return false;
        };
        if !segment.has(flag::ACK) {
            return false;
        }
        let ack = place(segment.ack, mine.isn);
        let shift = if segment.has(flag::SYN) || !self.scaling() {
            0
        } else {
            theirs.scale.unwrap_or(0).min(14)
        };
        self.edge = self.edge.max(ack + (i64::from(segment.window) << shift));
        for (_, right) in segment.sack_blocks() {
            self.sacked_to = self.sacked_to.max(place(*right, mine.isn));
        }
        let advances = ack > self.una;
        if advances {
            self.una = ack;
            self.duplicates = 0;
        } else {
            self.duplicates += 1;
            if self.duplicates >= 3 {
                self.recover_to = self.end;
            }
        }
        advances
    }

    fn check_timestamps(&mut self, segment: &Segment) -> Result<(), String> {
        let Some((value, echo)) = segment.timestamps else {
            let missing = self.stamped() && !segment.has(flag::SYN);
            return (!missing).then_some(()).ok_or("no timestamps".into());
        };
        if !segment.has(flag::SYN) && !self.stamped() {
            return Err("timestamps that were not agreed on".into());
        }
        let before = |a: u32, b: u32| (a.wrapping_sub(b) as i32) < 0;
        if self.last_timestamp.is_some_and(|last| before(value, last)) {
            return Err("its timestamps go back".into());
        }
        self.last_timestamp = Some(value);
        if !segment.has(flag::ACK) {
            return Ok(());
        }
        if self.last_echo.is_some_and(|last| before(echo, last)) {
            return Err("the timestamps it echoes go back".into());
        }
        let at = self
            .timestamps
            .partition_point(|other| before(*other, echo));
        if self.timestamps.get(at) != Some(&echo) {
            return Err(format!("it echoes {echo}, which was not delivered to it"));
        }
        self.last_echo = Some(echo);
        self.timestamps.drain(..at);
        Ok(())
    }
}
