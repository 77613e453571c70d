//! Frames on their way, by the time of their arrival.

use byway_tcp::time::Instant;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Octets of buffers that one direction may hold. At a gigabit per second they are enough for a
/// delay of a second.
const OCTETS_MAX: usize = 128 << 20;

/// What a buffer has room for at least: those of most frames can then be used again for any other.
const BUFFER: usize = 2048;

/// Unused buffers that are kept.
const SPARE_MAX: usize = 4096;

/// A frame, and when it is to arrive.
#[derive(Debug)]
pub(crate) struct Travelling {
    pub(crate) at: Instant,
    /// Those for the same moment arrive in this order.
    order: u64,
    pub(crate) bytes: Vec<u8>,
}

impl AsRef<[u8]> for Travelling {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Ord for Travelling {
    /// The earlier one is the greater: the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Travelling {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Travelling {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Travelling {}

/// All frames on their way in one direction.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    frames: BinaryHeap<Travelling>,
    spare: Vec<Vec<u8>>,
    order: u64,
    /// Octets of the buffers of `frames`.
    octets: usize,
}

impl Flight {
    /// Takes a copy of a frame that arrives at `at`; false when there is no room for it.
    pub(crate) fn depart(&mut self, at: Instant, frame: &[u8]) -> bool {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.reserve(frame.len().max(BUFFER));
        bytes.extend_from_slice(frame);
        if self.octets + bytes.capacity() > OCTETS_MAX {
            self.spare.push(bytes);
            return false;
        }
        self.octets += bytes.capacity();
        self.order += 1;
        let order = self.order;
        self.frames.push(Travelling { at, order, bytes });
        true
    }

    /// When the next frame arrives.
    pub(crate) fn next(&self) -> Instant {
        self.frames.peek().map_or(Instant::NEVER, |frame| frame.at)
    }

    /// The next frame, if it has arrived by `now`. Its buffer should come back.
    pub(crate) fn arrive(&mut self, now: Instant) -> Option<Travelling> {
        if self.next() > now {
            return None;
        }
        let frame = self.frames.pop()?;
        self.octets -= frame.bytes.capacity();
        Some(frame)
    }

    /// Takes back the buffer of a frame.
    pub(crate) fn recycle(&mut self, frame: Travelling) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(frame.bytes);
        }
    }

    /// Frames that are on their way.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn frames_arrive_by_time_and_then_in_order() {
        let mut flight = Flight::default();
        assert_eq!(flight.next(), Instant::NEVER);
        for (time, byte) in [(30, 1), (10, 2), (30, 3), (20, 4), (10, 5)] {
            assert!(flight.depart(at(time), &[byte]));
        }
        assert_eq!((flight.next(), flight.len()), (at(10), 5));
        assert!(flight.arrive(at(9)).is_none());
        let mut order = Vec::new();
        while let Some(frame) = flight.arrive(at(30)) {
            order.extend_from_slice(frame.as_ref());
            flight.recycle(frame);
        }
        assert_eq!(order, [2, 5, 4, 1, 3]);
        assert_eq!(flight.octets, 0);
    }

    #[test]
    fn room_is_limited_and_comes_back() {
        let mut flight = Flight::default();
        let frame = vec![7; 1 << 20];
        let fit = (0..200)
            .take_while(|_| flight.depart(at(1), &frame))
            .count();
        assert_eq!(fit, 128);
        assert!(!flight.depart(at(1), &frame));
        let first = flight.arrive(at(1)).unwrap();
        flight.recycle(first);
        assert!(flight.depart(at(1), &frame));
    }
}
