//! The scoreboard: every segment in flight, when it was sent, and what is known of it.

use crate::time::Instant;
use byway_wire::{SeqLen, SeqNumber};
use core::ops::ControlFlow;
use std::collections::VecDeque;

/// Segments in flight at most; more wait for an acknowledgment. Bounds memory where segments are
/// tiny: 16 octets each.
pub(crate) const CAPACITY: usize = 8192;

/// What is known of a segment in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Facts(u8);

impl Facts {
    /// The peer holds it (SACK).
    const SACKED: u8 = 1;
    /// Taken as lost.
    const LOST: u8 = 1 << 1;
    /// A retransmission of it is on its way.
    const RESENT: u8 = 1 << 2;
    /// It was retransmitted at some time.
    //= rfc8985 6.1 S6.1-1
    const EVER_RESENT: u8 = 1 << 3;
    /// Its last octet is our FIN.
    const FIN: u8 = 1 << 4;
    /// What a report changes nothing about.
    const LASTING: u8 = Self::EVER_RESENT | Self::FIN;

    #[inline]
    const fn has(self, fact: u8) -> bool {
        self.0 & fact != 0
    }
}

/// A segment in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) start: SeqNumber,
    /// Octets of sequence space.
    len: u16,
    facts: Facts,
    /// When it was last sent.
    //= rfc8985 4 S4-2
    pub(crate) at: Instant,
}

const _: () = assert!(size_of::<Sent>() == 16);

impl Sent {
    #[inline]
    pub(crate) fn end(&self) -> SeqNumber {
        self.start + SeqLen::from(self.len)
    }

    #[inline]
    pub(crate) fn len(&self) -> SeqLen {
        SeqLen::from(self.len)
    }

    /// Octets of payload.
    #[inline]
    pub(crate) fn payload(&self) -> u32 {
        self.len() - u32::from(self.facts.has(Facts::FIN))
    }

    /// Sent after the other one; ties are broken by sequence number (RFC 8985 §6.2 step 2).
    #[inline]
    pub(crate) fn sent_after(&self, at: Instant, end: SeqNumber) -> bool {
        self.at > at || (self.at == at && self.end().after(end))
    }

    #[inline]
    pub(crate) fn was_resent(&self) -> bool {
        self.facts.has(Facts::EVER_RESENT)
    }
}

/// What one acknowledgment delivered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delivered {
    /// Octets newly acknowledged or newly reported by SACK.
    pub(crate) octets: u32,
    /// Octets newly reported by SACK alone.
    pub(crate) sacked: u32,
    /// The segment that was sent last among them.
    pub(crate) latest: Option<Sent>,
    /// The one sent last among those never retransmitted: a round trip without ambiguity (Karn).
    pub(crate) timed: Option<Sent>,
    /// A segment that was never retransmitted arrived although a later one was reported before.
    pub(crate) reordered: bool,
    /// SND.UNA moved over data that was never sent again.
    pub(crate) original: bool,
}

impl Delivered {
    fn add(&mut self, sent: &Sent, furthest: Option<SeqNumber>) {
        let newer = |than: &Option<Sent>| than.is_none_or(|t| sent.sent_after(t.at, t.end()));
        if newer(&self.latest) {
            self.latest = Some(*sent);
        }
        if !sent.was_resent() {
            if newer(&self.timed) {
                self.timed = Some(*sent);
            }
            self.reordered |= furthest.is_some_and(|furthest| sent.end().before(furthest));
        }
    }
}

/// The segments between SND.UNA and SND.NXT in order, and their sums.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scoreboard {
    sent: VecDeque<Sent>,
    /// Octets with each fact; `RESENT` ones may be lost as well.
    sacked: u32,
    lost: u32,
    resent: u32,
    total: u32,
    /// Segments that the peer holds.
    held: u32,
    /// Nothing before this waits to be sent again.
    resend_from: SeqNumber,
    /// The furthest octet delivered (RACK.fack).
    furthest: Option<SeqNumber>,
}

impl Scoreboard {
    /// Forgets everything, keeps the memory.
    pub(crate) fn clear(&mut self) {
        let mut sent = core::mem::take(&mut self.sent);
        sent.clear();
        *self = Self {
            sent,
            ..Self::default()
        };
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.sent.len() >= CAPACITY
    }

    /// When the last segment left.
    #[inline]
    pub(crate) fn last_sent_at(&self) -> Option<Instant> {
        self.sent.back().map(|sent| sent.at)
    }

    /// The first octet in flight.
    pub(crate) fn first(&self) -> Option<SeqNumber> {
        self.sent.front().map(|sent| sent.start)
    }

    /// Octets taken to be in the network (the pipe of RFC 6675).
    //= rfc6675 4 S4-2
    #[inline]
    pub(crate) fn pipe(&self) -> u32 {
        self.total - self.sacked - self.lost + self.resent
    }

    #[inline]
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    #[inline]
    pub(crate) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Segments reported as held above the ACK field (RACK.segs_sacked).
    #[inline]
    pub(crate) fn held(&self) -> u32 {
        self.held
    }

    #[inline]
    fn waits(sent: &Sent) -> bool {
        sent.facts.has(Facts::LOST) && !sent.facts.has(Facts::RESENT)
    }

    /// A new segment leaves, of at most `u16::MAX` octets; with `fin` the last of them is our FIN.
    pub(crate) fn push(&mut self, start: SeqNumber, len: SeqLen, fin: bool, at: Instant) {
        let len = len.min(SeqLen::from(u16::MAX));
        self.total += len;
        self.sent.push_back(Sent {
            start,
            len: len as u16,
            facts: Facts(if fin { Facts::FIN } else { 0 }),
            at,
        });
    }

    /// Everything before `ack` has arrived.
    pub(crate) fn acknowledge(&mut self, ack: SeqNumber, delivered: &mut Delivered) {
        while let Some(front) = self.sent.front().copied() {
            if front.end().at_or_before(ack) {
                self.forget(&front, front.len());
                if front.facts.has(Facts::SACKED) {
                    self.held -= 1;
                } else {
                    delivered.original |= !front.was_resent();
                    delivered.octets += front.len();
                    delivered.add(&front, self.furthest);
                }
                self.furthest = Some(self.furthest.map_or(front.end(), |f| f.max(front.end())));
                self.sent.pop_front();
            } else {
                if front.start.before(ack) {
                    let part = ack.offset_from(front.start);
                    self.forget(&front, part);
                    if let Some(front) = self.sent.front_mut() {
                        front.start = ack;
                        front.len -= part as u16;
                    }
                    delivered.octets += part;
                }
                return;
            }
        }
    }

    /// Takes `len` octets of a segment out of the sums.
    fn forget(&mut self, sent: &Sent, len: u32) {
        self.total -= len;
        for (fact, sum) in [
            (Facts::SACKED, &mut self.sacked),
            (Facts::LOST, &mut self.lost),
            (Facts::RESENT, &mut self.resent),
        ] {
            if sent.facts.has(fact) {
                *sum -= len;
            }
        }
    }

    /// The peer holds everything from `left` to `right`.
    //= rfc2018 5 S5-1 S5-2
    pub(crate) fn sack(&mut self, left: SeqNumber, right: SeqNumber, delivered: &mut Delivered) {
        let first = self.sent.partition_point(|sent| sent.start.before(left));
        let furthest = self.furthest;
        let mut reached = self.furthest;
        for sent in self.sent.range_mut(first..) {
            if sent.end().after(right) {
                break;
            }
            if sent.facts.has(Facts::SACKED) {
                continue;
            }
            let len = sent.len();
            if sent.facts.has(Facts::LOST) {
                self.lost -= len;
            }
            if sent.facts.has(Facts::RESENT) {
                self.resent -= len;
            }
            sent.facts.0 = (sent.facts.0 & Facts::LASTING) | Facts::SACKED;
            self.sacked += len;
            self.held += 1;
            delivered.octets += len;
            delivered.sacked += len;
            delivered.add(sent, furthest);
            reached = Some(reached.map_or(sent.end(), |r| r.max(sent.end())));
        }
        self.furthest = reached;
    }

    /// Takes segments as lost where `judge` says so; a retransmission is lost with its segment.
    /// Returns the octets newly lost.
    pub(crate) fn mark_lost(&mut self, mut judge: impl FnMut(&Sent) -> bool) -> u32 {
        self.mark_lost_until(|sent| ControlFlow::Continue(judge(sent)))
    }

    /// As [`mark_lost`](Self::mark_lost), up to where `judge` breaks off: what comes behind is not
    /// looked at.
    pub(crate) fn mark_lost_until(
        &mut self,
        mut judge: impl FnMut(&Sent) -> ControlFlow<(), bool>,
    ) -> u32 {
        let mut newly = 0;
        for sent in &mut self.sent {
            let hopeless = sent.facts.has(Facts::LOST) && !sent.facts.has(Facts::RESENT);
            if sent.facts.has(Facts::SACKED) || hopeless {
                continue;
            }
            match judge(sent) {
                ControlFlow::Break(()) => break,
                ControlFlow::Continue(false) => continue,
                ControlFlow::Continue(true) => {}
            }
            let len = sent.len();
            if sent.facts.has(Facts::RESENT) {
                self.resent -= len;
                sent.facts.0 &= !Facts::RESENT;
            }
            if !sent.facts.has(Facts::LOST) {
                self.lost += len;
                sent.facts.0 |= Facts::LOST;
            }
            newly += len;
        }
        if let Some(front) = self.sent.front().filter(|_| newly > 0) {
            self.resend_from = front.start;
        }
        newly
    }

    /// The peer took back what it had reported: nothing counts as held any more (RFC 2018 §8).
    pub(crate) fn forget_sacks(&mut self) {
        for sent in &mut self.sent {
            sent.facts.0 &= !Facts::SACKED;
        }
        self.sacked = 0;
        self.held = 0;
    }

    /// The oldest segment is reported as held, which only a peer that takes reports back leaves so.
    pub(crate) fn reneged(&self) -> bool {
        self.sent
            .front()
            .is_some_and(|front| front.facts.has(Facts::SACKED))
    }

    /// Nothing was lost after all.
    pub(crate) fn unmark_lost(&mut self) {
        for sent in &mut self.sent {
            if sent.facts.has(Facts::LOST) {
                sent.facts.0 &= !Facts::LOST;
                self.lost -= SeqLen::from(sent.len);
            }
        }
    }

    /// The first lost segment that was not sent again, marked as sent at `now`.
    pub(crate) fn resend_lost(&mut self, now: Instant, mss: u32) -> Option<Sent> {
        let from = self.resend_from;
        let first = self.sent.partition_point(|sent| sent.start.before(from));
        let index = first + self.sent.range(first..).position(Self::waits)?;
        let sent = self.resend(index, now, mss);
        self.resend_from = sent.map_or(from, |sent| sent.end());
        sent
    }

    /// The last segment again, marked as sent at `now`: a probe (RFC 8985 §7.3).
    pub(crate) fn resend_last(&mut self, now: Instant, mss: u32) -> Option<Sent> {
        self.resend(self.sent.len().checked_sub(1)?, now, mss)
    }

    fn resend(&mut self, index: usize, now: Instant, mss: u32) -> Option<Sent> {
        self.split(index, mss);
        let sent = self.sent.get_mut(index)?;
        if !sent.facts.has(Facts::RESENT) {
            self.resent += sent.len();
        }
        sent.facts.0 |= Facts::RESENT | Facts::EVER_RESENT;
        sent.at = now;
        Some(*sent)
    }

    /// A segment that no longer fits the path is cut in two.
    fn split(&mut self, index: usize, mss: u32) {
        let Some(sent) = self.sent.get_mut(index) else {
            return;
        };
        if sent.payload() <= mss {
            return;
        }
        let mut rest = *sent;
        rest.start = sent.start + mss;
        rest.len = sent.len - mss as u16;
        sent.len = mss as u16;
        sent.facts.0 &= !Facts::FIN;
        self.sent.insert(index + 1, rest);
    }

    /// Panics when the sums are not those of the segments.
    pub(crate) fn check_invariants(&self, una: SeqNumber, nxt: SeqNumber) {
        let sum = |fact| -> u32 {
            self.sent
                .iter()
                .filter(|s| s.facts.has(fact))
                .map(Sent::len)
                .sum()
        };
        assert_eq!(self.sacked, sum(Facts::SACKED));
        let held = self.sent.iter().filter(|s| s.facts.has(Facts::SACKED));
        assert_eq!(self.held as usize, held.count());
        assert_eq!(self.lost, sum(Facts::LOST));
        assert_eq!(self.resent, sum(Facts::RESENT));
        assert_eq!(
            self.total,
            nxt.offset_from(una),
            "the scoreboard covers what is in flight"
        );
        let mut at = una;
        for sent in &self.sent {
            assert_eq!(sent.start, at, "no gap on the scoreboard");
            at = sent.end();
        }
    }
}
