//! Parts of the engine by themselves: checksum and timer wheel.

use crate::sample::Sample;
use byway_stack::random::SplitMix;
use byway_stack::wheel::Wheel;
use byway_sys::checksum;
use byway_tcp::time::{Duration, Instant};
use std::hint::black_box;
use std::time::Instant as Clock;

/// Octets of a full segment.
const SEGMENT: usize = 1460;
/// Timers that are armed all the time.
const TIMERS: u32 = 1_000_000;
/// The furthest deadline.
const FURTHEST: Duration = Duration::from_secs(60);
/// Steps in which time goes by while timers fire.
const STEPS: u32 = 256;

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

/// Timers that are cancelled, armed and fire while a million are armed: nanoseconds an operation.
pub(crate) fn timers(repeats: usize, cancelled: usize) -> Sample {
    let mut random = SplitMix::new(1);
    let mut now = Instant::from_nanos(1_000_000_000);
    let mut wheel = Wheel::new(now, TIMERS as usize);
    let mut deadline =
        |now: Instant| now + Duration::from_nanos(random.below(FURTHEST.as_nanos() as u64));
    for key in 0..TIMERS {
        wheel.arm(key, deadline(now));
    }
    let mut keys = SplitMix::new(2);
    let mut fired = Vec::with_capacity(TIMERS as usize);
    let mut sample = Sample::default();
    // So much time that about as many fire as are cancelled.
    let step = FURTHEST.mul_f64(cancelled as f64 / f64::from(TIMERS) / f64::from(STEPS) / 2.0);
    for _ in 0..repeats {
        let chosen: Vec<(u32, Instant)> = (0..cancelled)
            .map(|_| (keys.below(u64::from(TIMERS)) as u32, deadline(now)))
            .collect();
        // By the time they are armed again these lie within a minute as well.
        let again: Vec<Instant> = (0..4 * cancelled)
            .map(|_| deadline(now + step * STEPS))
            .collect();
        let start = Clock::now();
        for &(key, at) in &chosen {
            wheel.disarm(key);
            wheel.arm(key, at);
        }
        fired.clear();
        for _ in 0..STEPS {
            now += step;
            wheel.advance(now, u32::MAX, &mut fired);
        }
        for (&key, &at) in fired.iter().zip(&again) {
            wheel.arm(key, at);
        }
        let spent = start.elapsed().as_nanos() as f64;
        sample.push(spent / (2 * (chosen.len() + fired.len())) as f64);
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_take_some_time() {
        assert!(timers(2, 1000).median() > 0.0);
        let sums = Sums::measure(2);
        assert!(sums.sum.median() > 0.0 && sums.copy_sum.median() > 0.0);
        assert!(sums.memcpy.median() > 0.0);
    }
}
