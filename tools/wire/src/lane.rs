//! One direction at work: the model, the frames on their way, the counters.

use crate::flight::{Flight, Travelling};
use crate::frame;
use crate::impairment::Impairment;
use crate::link::{Fate, Link};
use crate::notice::Notice;
use crate::statistics::{Clockwork, Counts};
use byway_sys::packet::{BATCH, Received, Sender};
use byway_tcp::time::{Duration, Instant};

/// An arrival that the kernel dates further back is one dated by another clock: the system's was
/// set in between.
const AGE_MAX: Duration = Duration::from_secs(1);

/// One direction of a wire.
#[derive(Debug)]
pub(crate) struct Lane {
    link: Link,
    flight: Flight,
    counts: Counts,
    clockwork: Clockwork,
    /// When the last frame arrived.
    last: Instant,
    /// Frames that are being sent; empty in between.
    batch: Vec<Travelling>,
    /// Room for a damaged copy.
    damaged: Vec<u8>,
    /// Which drops have been told of.
    told: [bool; 2],
}

impl Lane {
    pub(crate) fn new(impairment: &Impairment, seed: u64) -> Self {
        Self {
            link: Link::new(impairment, seed),
            flight: Flight::default(),
            counts: Counts::default(),
            clockwork: Clockwork::new(),
            last: Instant::from_nanos(0),
            batch: Vec::with_capacity(BATCH),
            damaged: Vec::new(),
            told: [false; 2],
        }
    }

    /// Takes in what arrived, and shows each frame of it to `seen`. `now` and `wall` are the same
    /// moment, `mtu` is that of the interface it will leave by.
    pub(crate) fn accept(
        &mut self,
        received: &Received<'_>,
        now: Instant,
        wall: Duration,
        mtu: usize,
        scratch: &mut Vec<u8>,
        mut seen: impl FnMut(&[u8]),
    ) {
        // Dated by the kernel, so that the model does not take our own delays for the sender's.
        let age = received
            .arrival
            .map_or(Duration::ZERO, |arrival| wall.saturating_sub(arrival));
        let at = if age <= AGE_MAX { now - age } else { now };
        self.last = self.last.max(at);
        if received.bytes.is_empty() {
            self.counts.received.add(0);
            self.counts.oversize += 1;
            return;
        }
        let mut segments = 0;
        let completed = frame::complete(received, scratch, |frame| {
            segments += 1;
            seen(frame);
            self.send_on(frame, mtu);
        });
        self.counts.large += u64::from(segments > 1);
        if completed.is_err() {
            self.counts.received.add(received.bytes.len());
            self.counts.incompletable += 1;
        }
    }

    fn send_on(&mut self, frame: &[u8], mtu: usize) {
        self.counts.received.add(frame.len());
        if frame.len() > mtu + frame::overhead(frame) {
            self.counts.oversize += 1;
            return;
        }
        let passage = match self.link.send(self.last, frame.len()) {
            Fate::Arrives(passage) => passage,
            Fate::Lost => {
                self.counts.lost += 1;
                return;
            }
            Fate::QueueFull => {
                self.counts.queue_full += 1;
                return;
            }
        };
        self.counts.reordered += u64::from(passage.reordered);
        self.counts.duplicated += u64::from(passage.twice);
        let mut frame = frame;
        if let Some(damage) = passage.damage {
            self.damaged.clear();
            self.damaged.extend_from_slice(frame);
            self.counts.corrupted += u64::from(damage.apply(&mut self.damaged));
            frame = &self.damaged;
        }
        for _ in 0..=u8::from(passage.twice) {
            let fits = self.flight.depart(passage.at, frame);
            self.counts.line_full += u64::from(!fits);
        }
    }

    /// A frame got lost that the kernel could not describe.
    pub(crate) fn undescribed(&mut self) {
        self.counts.received.add(0);
        self.counts.incompletable += 1;
    }

    /// When the next frame is to leave.
    pub(crate) fn next(&self) -> Instant {
        self.flight.next()
    }

    /// Sends the frames whose time has come by `now`, a batch at most, and shows each that went out
    /// to `seen`. True when there were some.
    pub(crate) fn deliver(
        &mut self,
        now: Instant,
        sender: &Sender,
        mut seen: impl FnMut(&[u8]),
    ) -> bool {
        while self.batch.len() < BATCH
            && let Some(frame) = self.flight.arrive(now)
        {
            self.clockwork.record(now.since(frame.at));
            self.batch.push(frame);
        }
        let mut rest = &self.batch[..];
        while !rest.is_empty() {
            // Whatever the reason is not to take a frame, a real link would not wait either.
            let sent = sender.send(rest).unwrap_or(0);
            for frame in &rest[..sent] {
                self.counts.sent.add(frame.bytes.len());
                seen(&frame.bytes);
            }
            let refused = usize::from(sent == 0);
            self.counts.refused += refused as u64;
            rest = &rest[sent + refused..];
        }
        let any = !self.batch.is_empty();
        for frame in self.batch.drain(..) {
            self.flight.recycle(frame);
        }
        any
    }

    /// Says of each kind of drop that has a remedy, once, what it is.
    pub(crate) fn tell_of_drops(
        &mut self,
        from: &str,
        to: &str,
        mtu: usize,
        tell: &mut dyn FnMut(&Notice),
    ) {
        let oversize = || Notice::Oversize {
            from: from.to_owned(),
            to: to.to_owned(),
            mtu,
        };
        let incompletable = || Notice::Incompletable {
            from: from.to_owned(),
        };
        let [oversize_told, incompletable_told] = &mut self.told;
        if self.counts.oversize > 0 && !std::mem::replace(oversize_told, true) {
            tell(&oversize());
        }
        if self.counts.incompletable > 0 && !std::mem::replace(incompletable_told, true) {
            tell(&incompletable());
        }
    }

    /// Everything that was counted; `missed` is what never got here.
    pub(crate) fn counts(&self, missed: u64) -> Counts {
        let (frames, octets) = self.link.queue_peak();
        Counts {
            missed,
            undelivered: self.flight.len() as u64,
            queue_peak_frames: frames,
            queue_peak_octets: octets,
            late_us: self.clockwork.lateness(),
            ..self.counts.clone()
        }
    }
}
