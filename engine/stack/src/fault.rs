//! A port that treats what is sent through it as a bad network would.

use crate::clock::Clock;
use crate::mailbox::Waker;
use crate::port::{Port, PortStats, RxFrame, TxFrame};
use crate::random::SplitMix;
use byway_tcp::time::{Duration, Instant};
use std::collections::BTreeMap;

/// What can happen to a frame. Probabilities from 0.0 to 1.0, each decided on its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// The frame does not arrive.
    pub loss: f64,
    /// The frame arrives twice, the second time as late as a reordered one.
    pub duplication: f64,
    /// A burst of up to 15 bits in the frame is damaged: its first and last bit are wrong, those
    /// between by chance. The Internet checksum finds every such burst in what it covers.
    pub corruption: f64,
    /// The frame is held back for up to `reorder_by`, and others overtake it.
    pub reordering: f64,
    /// How long a reordered frame is held back at most.
    pub reorder_by: Duration,
    /// How long every frame travels.
    pub delay: Duration,
}

/// How often something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Frames lost.
    pub lost: u64,
    /// Frames that arrived twice.
    pub duplicated: u64,
    /// Frames with damaged bits.
    pub corrupted: u64,
    /// Frames held back.
    pub reordered: u64,
    /// Duplicates that were not made because the port had no frame for them.
    pub skipped: u64,
    /// Octets of the largest frame that was sent, lost ones included.
    pub largest: usize,
}

/// Longest damage to a frame, in bits.
const BURST_BITS: u64 = 15;

/// Injects [`Faults`] into what is sent. Equal seeds and equal frames give equal faults.
#[derive(Debug)]
pub struct FaultPort<P, C> {
    port: P,
    clock: C,
    faults: Faults,
    random: SplitMix,
    counts: FaultCounts,
    /// Frames on their way, by the time of arrival and the order of sending.
    delayed: BTreeMap<(Instant, u64), (TxFrame, usize)>,
    order: u64,
}

impl<P: Port, C: Clock> FaultPort<P, C> {
    /// Wraps `port`; `clock` is the one of the shard.
    pub fn new(port: P, clock: C, faults: Faults, seed: u64) -> Self {
        Self {
            port,
            clock,
            faults,
            random: SplitMix::new(seed),
            counts: FaultCounts::default(),
            delayed: BTreeMap::new(),
            order: 0,
        }
    }

    /// Changes what happens from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// What happened so far.
    pub fn counts(&self) -> FaultCounts {
        self.counts
    }

    /// When the next delayed frame is due: a turn at that time sends it.
    pub fn next_due(&self) -> Instant {
        self.delayed
            .keys()
            .next()
            .map_or(Instant::NEVER, |&(due, _)| due)
    }

    /// The port inside.
    pub fn inner(&self) -> &P {
        &self.port
    }

    /// Sends what is due by now.
    fn flush(&mut self) {
        if self.delayed.is_empty() {
            return;
        }
        let now = self.clock.now();
        while let Some(entry) = self
            .delayed
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
        {
            let (frame, len) = entry.remove();
            self.port.tx_push(frame, len);
        }
    }

    fn corrupt(&mut self, frame: &mut TxFrame, len: usize) {
        let bits = 1 + self.random.below(BURST_BITS.min(len as u64 * 8));
        let start = self.random.below(len as u64 * 8 - bits + 1);
        let pattern = self.random.next_u64() | 1 | 1 << (bits - 1);
        let bytes = self.port.tx_bytes(frame);
        for bit in (0..bits).filter(|bit| pattern >> bit & 1 == 1) {
            let place = start + bit;
            bytes[(place / 8) as usize] ^= 0x80 >> (place % 8);
        }
        self.counts.corrupted += 1;
    }

    fn duplicate(&mut self, frame: &mut TxFrame, len: usize) {
        let Some(mut copy) = self.port.tx_alloc() else {
            self.counts.skipped += 1;
            return;
        };
        let bytes = self.port.tx_bytes(frame)[..len].to_vec();
        self.port.tx_bytes(&mut copy)[..len].copy_from_slice(&bytes);
        self.counts.duplicated += 1;
        let late = self.hold_back();
        self.dispatch(copy, len, late);
    }

    fn hold_back(&mut self) -> Duration {
        let most = self.faults.reorder_by.as_nanos() as u64;
        Duration::from_nanos(if most == 0 {
            0
        } else {
            1 + self.random.below(most)
        })
    }

    fn dispatch(&mut self, frame: TxFrame, len: usize, late: Duration) {
        let travel = self.faults.delay + late;
        if travel.is_zero() {
            self.port.tx_push(frame, len);
        } else {
            let due = self.clock.now() + travel;
            self.order += 1;
            self.delayed.insert((due, self.order), (frame, len));
        }
    }
}

impl<P: Port, C: Clock> Port for FaultPort<P, C> {
    fn rx_burst(&mut self, burst: &mut Vec<RxFrame>) -> usize {
        self.port.rx_burst(burst)
    }

    fn rx_bytes(&self, frame: &RxFrame) -> &[u8] {
        self.port.rx_bytes(frame)
    }

    fn release(&mut self, frame: RxFrame) {
        self.port.release(frame);
    }

    fn tx_alloc(&mut self) -> Option<TxFrame> {
        self.port.tx_alloc()
    }

    fn tx_bytes(&mut self, frame: &mut TxFrame) -> &mut [u8] {
        self.port.tx_bytes(frame)
    }

    fn tx_push(&mut self, mut frame: TxFrame, len: usize) {
        self.counts.largest = self.counts.largest.max(len);
        if self.random.chance(self.faults.loss) {
            self.counts.lost += 1;
            self.port.tx_cancel(frame);
            return;
        }
        if self.random.chance(self.faults.duplication) {
            self.duplicate(&mut frame, len);
        }
        if self.random.chance(self.faults.corruption) && len > 0 {
            self.corrupt(&mut frame, len);
        }
        let mut late = Duration::ZERO;
        if self.random.chance(self.faults.reordering) {
            late = self.hold_back();
            self.counts.reordered += 1;
        }
        self.dispatch(frame, len, late);
    }

    fn tx_cancel(&mut self, frame: TxFrame) {
        self.port.tx_cancel(frame);
    }

    fn tx_commit(&mut self) {
        self.flush();
        self.port.tx_commit();
    }

    fn frame_capacity(&self) -> usize {
        self.port.frame_capacity()
    }

    fn wait(&mut self, timeout: Duration) {
        let due = self.next_due().since(self.clock.now());
        self.port.wait(timeout.min(due));
    }

    fn waker(&self) -> Waker {
        self.port.waker()
    }

    fn stats(&self) -> PortStats {
        self.port.stats()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::memory::MemoryPort;

    const SENT: u64 = 20_000;

    /// Sends numbered frames through faults; gives what arrived and the counts.
    fn run(faults: Faults, seed: u64) -> (Vec<Vec<u8>>, FaultCounts) {
        let clock = ManualClock::default();
        let (port, mut peer) = MemoryPort::pair(256);
        let mut port = FaultPort::new(port, clock.clone(), faults, seed);
        let mut arrived = Vec::new();
        let mut burst = Vec::new();
        for number in 0..SENT + 100 {
            if number < SENT {
                let mut frame = port.tx_alloc().unwrap();
                let bytes = port.tx_bytes(&mut frame);
                bytes[..8].copy_from_slice(&number.to_be_bytes());
                bytes[8..100].fill(0);
                port.tx_push(frame, 100);
            }
            clock.advance(Duration::from_micros(10));
            port.tx_commit();
            peer.rx_burst(&mut burst);
            for frame in burst.drain(..) {
                arrived.push(peer.rx_bytes(&frame).to_vec());
                peer.release(frame);
            }
        }
        port.tx_commit();
        let stats = port.stats();
        assert_eq!((stats.free, stats.held, stats.sending), (256, 0, 0));
        (arrived, port.counts())
    }

    fn number(frame: &[u8]) -> u64 {
        u64::from_be_bytes(frame[..8].try_into().unwrap())
    }

    #[test]
    fn without_faults_everything_arrives_in_order() {
        let (arrived, counts) = run(Faults::default(), 1);
        assert!(arrived.iter().map(|frame| number(frame)).eq(0..SENT));
        assert_eq!(
            counts,
            FaultCounts {
                largest: 100,
                ..FaultCounts::default()
            }
        );
    }

    #[test]
    fn loss_and_duplication_come_as_often_as_asked_and_are_counted() {
        let faults = Faults {
            loss: 0.02,
            duplication: 0.01,
            ..Faults::default()
        };
        let (arrived, counts) = run(faults.clone(), 7);
        assert_eq!(arrived.len() as u64, SENT - counts.lost + counts.duplicated);
        assert!((300..500).contains(&counts.lost) && (130..270).contains(&counts.duplicated));
        assert_eq!(run(faults.clone(), 7).0, arrived);
        assert_ne!(run(faults, 8).0, arrived);
    }

    #[test]
    fn damage_is_a_burst_of_at_most_fifteen_bits() {
        let (arrived, counts) = run(
            Faults {
                corruption: 1.0,
                ..Faults::default()
            },
            3,
        );
        assert_eq!(counts.corrupted, SENT);
        for (sent, frame) in arrived.iter().enumerate() {
            let mut original = [0; 100];
            original[..8].copy_from_slice(&(sent as u64).to_be_bytes());
            let wrong: Vec<usize> = (0..800)
                .filter(|bit| (frame[bit / 8] ^ original[bit / 8]) & (0x80 >> (bit % 8)) != 0)
                .collect();
            assert!(wrong[wrong.len() - 1] - wrong[0] < BURST_BITS as usize);
        }
    }

    #[test]
    fn delay_keeps_order_and_reordering_does_not() {
        let faults = Faults {
            delay: Duration::from_micros(300),
            ..Faults::default()
        };
        let (arrived, _) = run(faults, 1);
        assert!(arrived.iter().map(|frame| number(frame)).eq(0..SENT));
        let reorder_by = Duration::from_micros(200);
        let (arrived, counts) = run(
            Faults {
                reordering: 0.02,
                reorder_by,
                ..Faults::default()
            },
            1,
        );
        let mut numbers: Vec<u64> = arrived.iter().map(|frame| number(frame)).collect();
        assert!(!numbers.is_sorted() && counts.reordered > 300);
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..SENT));
    }
}
