//! What is in flight: the record that a connection has only while data is unacknowledged.

use crate::congestion::{Algorithm, CongestionAlgorithm};
use crate::delivery::DeliveryRate;
use crate::pacing::Pace;
use crate::pool::Recycle;
use crate::recovery::{Probe, Prr, Rack, Undo};
use crate::scoreboard::Scoreboard;
use crate::time::{Duration, Instant};
use byway_wire::SeqNumber;

/// How far loss recovery is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No loss known.
    #[default]
    Open,
    /// Fast recovery: what is lost is sent again while the window shrinks (RFC 6675, RFC 6582).
    Recovery,
    /// After a timeout: everything that was not reported as held is sent again, in slow start.
    Loss,
}

/// Why the retransmission timer was armed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Nothing was acknowledged for an RTO (RFC 6298).
    #[default]
    Retransmission,
    /// The tail may be lost: probe for it (RFC 8985 §7).
    TailProbe,
    /// What seems reordered is lost when this is over (RFC 8985 §6.2 step 5).
    Reordering,
}

/// Forward RTO-recovery: was the timeout spurious (RFC 5682)?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Frto {
    /// Not asking.
    #[default]
    Off,
    /// The first segment was sent again; the next acknowledgment says how to go on.
    Asked,
    /// New data was sent instead of old; an acknowledgment of old data proves it.
    Probing,
}

/// Everything about sending that only matters while something is in flight. Of interest to others
/// only as memory that will be read soon.
#[derive(Clone, Debug, Default)]
pub struct Flight {
    pub(crate) board: Scoreboard,
    pub(crate) algorithm: Algorithm,
    pub(crate) phase: Phase,
    /// SND.NXT when recovery began; it is over when this is acknowledged.
    pub(crate) recover: SeqNumber,
    pub(crate) timer: Timer,
    pub(crate) rack: Rack,
    pub(crate) prr: Prr,
    /// What a reduction that turns out to be for nothing takes back.
    pub(crate) undo: Option<Undo>,
    /// A tail loss probe is out.
    pub(crate) probe: Option<Probe>,
    /// A tail loss probe has to leave.
    pub(crate) probe_due: bool,
    pub(crate) frto: Frto,
    /// Without SACK: octets that duplicate ACKs say have left the network (RFC 6582).
    pub(crate) guessed: u32,
    /// The congestion window held data back until this was next to send.
    pub(crate) limited_at: Option<SeqNumber>,
    /// SND.NXT at the last reduction for an ECN echo, where our CWR is: not again before that.
    pub(crate) reduced_at: Option<SeqNumber>,
    /// When SND.UNA last moved, or the first of this was sent (RFC 9293 §3.8.3).
    pub(crate) progress: Option<Instant>,
    /// Since the last timeout the peer answered, with its window closed.
    pub(crate) answered: bool,
    /// There was a loss: the record stays when nothing is in flight.
    pub(crate) scarred: bool,
    pub(crate) pace: Pace,
    pub(crate) delivery: DeliveryRate,
    /// When our SYN left, if it left once.
    pub(crate) syn_sent: Option<Instant>,
}

impl Flight {
    /// There is something to remember when nothing is in flight: a loss, the answer to a probe that
    /// is to come, reordering.
    #[inline]
    pub(crate) fn is_scarred(&self) -> bool {
        self.scarred || self.probe.is_some() || self.rack.saw_reordering()
    }

    /// Nothing is in flight for a moment: what was about that is forgotten, and what was learned about
    /// the path is kept.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.board.clear();
        self.timer = Timer::default();
        self.guessed = 0;
        self.limited_at = None;
        self.progress = Some(now);
        self.probe_due = false;
        self.answered = false;
    }

    /// The first of what is in flight leaves. A pause of more than a round trip is no time in which
    /// little was delivered, and another algorithm may have been chosen meanwhile.
    #[inline]
    pub(crate) fn begin(&mut self, now: Instant, srtt_us: u32, congestion: CongestionAlgorithm) {
        let trip = || Duration::from_micros(u64::from(srtt_us));
        if self.progress.is_some_and(|last| now.since(last) > trip()) {
            self.delivery.pause();
        }
        self.progress = Some(now);
        if !self.algorithm.is(congestion) {
            self.algorithm = Algorithm::new(congestion);
        }
    }

    /// Octets taken to be in the network.
    #[inline]
    pub(crate) fn pipe(&self) -> u32 {
        self.board.pipe().saturating_sub(self.guessed)
    }
}

impl Recycle for Flight {
    fn recycle(&mut self) {
        let mut board = core::mem::take(&mut self.board);
        board.clear();
        *self = Self {
            board,
            ..Self::default()
        };
    }
}
