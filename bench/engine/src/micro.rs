//! Parts of the engine by themselves: checksum, timer wheel and flow table.

use crate::sample::Sample;
use byway_stack::flow_table::{FlowTable, Record};
use byway_stack::random::SplitMix;
use byway_stack::wheel::Wheel;
use byway_sys::checksum;
use byway_tcp::time::{Duration, Instant};
use byway_wire::{Address, Endpoint, FlowKey};
use std::hint::black_box;
use std::time::Instant as Clock;

/// Octets of a full segment.
const SEGMENT: usize = 1460;
/// The furthest deadline.
const FURTHEST: Duration = Duration::from_secs(60);
/// Steps in which so much time goes by: with a million timers some hundred fire in each.
const STEPS: u32 = 8192;

/// What a checksum, a copy with it and a plain copy of a segment in the first-level cache take, in
/// nanoseconds.
#[derive(Debug)]
pub(crate) struct Sums {
    pub(crate) sum: Sample,
    pub(crate) copy_sum: Sample,
    pub(crate) memcpy: Sample,
}

impl Sums {
    /// Measured in turn, so often.
    pub(crate) fn measure(repeats: usize) -> Self {
        let source = black_box(vec![0x5au8; SEGMENT]);
        let mut target = black_box(vec![0u8; SEGMENT]);
        let mut all = Self {
            sum: Sample::default(),
            copy_sum: Sample::default(),
            memcpy: Sample::default(),
        };
        for _ in 0..repeats {
            all.memcpy.push(nanoseconds(|| {
                black_box(&mut target).copy_from_slice(black_box(&source));
            }));
            all.sum.push(nanoseconds(|| {
                black_box(checksum::sum(black_box(&source)));
            }));
            all.copy_sum.push(nanoseconds(|| {
                black_box(checksum::copy_sum(
                    black_box(&mut target),
                    black_box(&source),
                ));
            }));
        }
        all
    }
}

fn nanoseconds(mut work: impl FnMut()) -> f64 {
    const ROUNDS: u32 = 50_000;
    let start = Clock::now();
    for _ in 0..ROUNDS {
        work();
    }
    start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
}

/// What is done with timers between two readings of the clock, besides waiting for those that fire.
#[derive(Clone, Copy, Debug)]
struct Rearm {
    /// Cancelled and armed again.
    key: u32,
    /// How far away the deadline is then.
    delay: Micros,
}

/// Timers that are cancelled, armed and fire while so many are armed: nanoseconds an operation.
///
/// A repeat lasts as long as the furthest deadline is away, so that each timer comes all the way
/// down the wheel in it, and begins after as much time went by unmeasured: what is measured is not
/// the order in which the timers were made.
pub(crate) fn timers(repeats: usize, armed: u32) -> Sample {
    let mut random = SplitMix::new(1);
    let mut now = Instant::from_nanos(1_000_000_000);
    let mut wheel = Wheel::new(now, armed as usize);
    for key in 0..armed {
        wheel.arm(key, after(now, random_delay(&mut random)));
    }
    let mut fired = Vec::with_capacity(armed as usize);
    let mut sample = Sample::default();
    for repeat in 0..=repeats {
        let (mut rearms, mut again) = (Vec::new(), Vec::new());
        for _ in 0..armed {
            rearms.push(Rearm {
                key: random.below(u64::from(armed)) as u32,
                delay: random_delay(&mut random),
            });
            again.push(random_delay(&mut random));
        }
        let start = Clock::now();
        let operations = minute(&mut wheel, &mut now, &rearms, &again, &mut fired);
        let spent = start.elapsed().as_nanos() as f64;
        if repeat > 0 {
            sample.push(spent / operations as f64);
        }
    }
    sample
}

/// A delay in microseconds: small, so that reading them takes little of what is measured.
type Micros = u32;

fn random_delay(random: &mut SplitMix) -> Micros {
    random.below(FURTHEST.as_micros() as u64) as Micros
}

fn after(now: Instant, delay: Micros) -> Instant {
    Instant::from_nanos(now.as_nanos() + 1000 * u64::from(delay))
}

/// Lets the time to the furthest deadline go by: in each step some timers are cancelled and armed,
/// and those that fire are armed again. How many operations that were.
fn minute(
    wheel: &mut Wheel,
    now: &mut Instant,
    rearms: &[Rearm],
    again: &[Micros],
    fired: &mut Vec<u32>,
) -> usize {
    let mut again = again.iter().cycle();
    let mut operations = 0;
    let step = FURTHEST / STEPS;
    for part in rearms.chunks(rearms.len().div_ceil(STEPS as usize)) {
        for &Rearm { key, delay } in part {
            wheel.disarm(key);
            wheel.arm(key, after(*now, delay));
        }
        *now += step;
        fired.clear();
        wheel.advance(*now, u32::MAX, fired);
        for (&key, &delay) in fired.iter().zip(&mut again) {
            wheel.arm(key, after(*now, delay));
        }
        operations += 2 * (part.len() + fired.len());
    }
    operations
}

/// Flows that are looked up in a table of so many, in random order and 32 at a time, as a turn does
/// it: nanoseconds a flow.
pub(crate) fn lookups(repeats: usize, flows: u32) -> Sample {
    const BURST: usize = 32;
    let mut table = FlowTable::new(flows as usize, [1, 2]);
    for index in 0..flows {
        let hash = table.hash(&flow(index));
        assert!(table.insert(hash, Record::Connection(index)));
    }
    let mut random = SplitMix::new(3);
    let wanted: Vec<u32> = (0..1 << 20)
        .map(|_| random.below(u64::from(flows)) as u32)
        .collect();
    let mut sample = Sample::default();
    for _ in 0..repeats {
        let start = Clock::now();
        for burst in wanted.as_chunks::<BURST>().0 {
            let hashes = burst.map(|index| table.hash(black_box(&flow(index))));
            for hash in hashes {
                table.prefetch(hash);
            }
            for (hash, index) in hashes.into_iter().zip(burst) {
                let found = table.find(hash, |record| record == Record::Connection(*index));
                assert!(found.is_some());
            }
        }
        sample.push(start.elapsed().as_nanos() as f64 / wanted.len() as f64);
    }
    sample
}

/// The flow of a client with this number.
fn flow(index: u32) -> FlowKey {
    FlowKey {
        local: Endpoint::new(Address::v4([10, 0, 0, 1]), 80),
        remote: Endpoint::new(Address::v4(index.to_be_bytes()), 1025),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_take_some_time() {
        assert!(timers(2, 10_000).median() > 0.0);
        assert!(lookups(2, 10_000).median() > 0.0);
        let sums = Sums::measure(2);
        assert!(sums.sum.median() > 0.0 && sums.copy_sum.median() > 0.0);
        assert!(sums.memcpy.median() > 0.0);
    }
}
