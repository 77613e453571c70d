//! Congestion control behind one small trait: Reno and CUBIC, slow start with HyStart++.

mod cubic;
mod hystart;
mod reno;

pub(crate) use cubic::Cubic;
pub(crate) use hystart::HyStart;
pub(crate) use reno::Reno;

use crate::time::{Duration, Instant};
use byway_wire::SeqNumber;

/// Which algorithm a connection uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CongestionAlgorithm {
    /// RFC 9438, with the slow start of RFC 9406.
    #[default]
    Cubic,
    /// RFC 5681.
    Reno,
}

/// The congestion window and the slow start threshold, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) cwnd: u32,
    pub(crate) ssthresh: u32,
}

/// Octets that one ACK counts for in slow start, in segments: L of RFC 9406 §4.2 for a sender that
/// does not pace.
const L: u32 = 8;

/// The largest window worth having: what a window field can say.
const MAX_CWND: u32 = 1 << 30;

impl Window {
    #[inline]
    pub(crate) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// Growth in slow start ends where congestion avoidance begins.
    #[inline]
    fn grow_to_threshold(&mut self, octets: u32) {
        self.grow(octets.min(self.ssthresh.saturating_sub(self.cwnd)));
    }

    #[inline]
    fn grow(&mut self, octets: u32) {
        self.cwnd = self.cwnd.saturating_add(octets).min(MAX_CWND);
    }
}

/// What an acknowledgment tells the algorithm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acked {
    pub(crate) now: Instant,
    /// Octets newly acknowledged.
    pub(crate) octets: u32,
    /// The acknowledgment number.
    pub(crate) ack: SeqNumber,
    /// SND.NXT.
    pub(crate) snd_nxt: SeqNumber,
    /// A fresh measurement, if there is one.
    pub(crate) rtt: Option<Duration>,
    /// Smoothed round-trip time.
    pub(crate) srtt: Duration,
    /// Payload of a full segment.
    pub(crate) mss: u32,
}

/// An algorithm. Recovery decides what is lost and what may be sent meanwhile; the algorithm
/// decides how the window grows when nothing is lost, and how far it shrinks when something is.
pub(crate) trait CongestionControl {
    /// New data was acknowledged outside recovery while the window was what limited the sender.
    fn on_acknowledged(&mut self, acked: &Acked, window: &mut Window);

    /// A loss, or an ECN echo: returns the new slow start threshold.
    fn on_congestion(&mut self, now: Instant, mss: u32, window: &Window) -> u32;

    /// A retransmission timeout: returns the new slow start threshold.
    fn on_timeout(&mut self, now: Instant, mss: u32, window: &Window) -> u32;

    /// The last reduction was for nothing.
    fn on_undo(&mut self);
}

/// The algorithm of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Algorithm {
    Cubic(Cubic),
    Reno(Reno),
}

impl Algorithm {
    pub(crate) fn new(choice: CongestionAlgorithm) -> Self {
        match choice {
            CongestionAlgorithm::Cubic => Self::Cubic(Cubic::default()),
            CongestionAlgorithm::Reno => Self::Reno(Reno::default()),
        }
    }

    /// True when it is of this choice.
    #[inline]
    pub(crate) const fn is(&self, choice: CongestionAlgorithm) -> bool {
        matches!(
            (self, choice),
            (Self::Cubic(_), CongestionAlgorithm::Cubic)
                | (Self::Reno(_), CongestionAlgorithm::Reno)
        )
    }

    #[inline]
    pub(crate) fn as_mut(&mut self) -> &mut dyn CongestionControl {
        match self {
            Self::Cubic(cubic) => cubic,
            Self::Reno(reno) => reno,
        }
    }
}

impl Default for Algorithm {
    fn default() -> Self {
        Self::new(CongestionAlgorithm::default())
    }
}

/// Two segments: no reduction goes below (RFC 5681, equation 4).
#[inline]
const fn floor(mss: u32) -> u32 {
    2 * mss
}
