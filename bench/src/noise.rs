//! What the machine takes from a program that does nothing but look at the clock, and which
//! percentiles it cannot show therefore.

use crate::cpu;
use crate::result::Latency;
use crate::stats;
use crate::table::{grouped, micros};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

/// How long each processor is watched, before the rounds and again after them.
const LENGTH: Duration = Duration::from_millis(250);
/// Two readings of the clock are some tens of nanoseconds apart. From this on, something else ran.
const LEAST_NANOS: u64 = 1_000;

/// What a loop on each of the processors missed, before the rounds and after them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// One for each processor and time.
    pub probes: Vec<Probe>,
}

/// When a processor was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Before the first round.
    Before,
    /// After the last one.
    After,
}

/// What a loop on one processor missed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// The processor.
    pub cpu: usize,
    /// Before or after the rounds.
    pub when: When,
    /// How long the loop ran, in milliseconds.
    pub duration_ms: f64,
    /// The share of that time that was lost to gaps of 1 us and more, 0 to 1.
    pub lost_share: f64,
    /// The longest gap in microseconds; 0 when there was none.
    pub longest_us: f64,
    /// How often gaps came.
    pub gaps_per_s: GapsPerSecond,
    /// Every gap of 1 us and more, in nanoseconds (HdrHistogram V2, deflate, base64).
    pub gaps: String,
}

/// Gaps a second that are longer than a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GapsPerSecond {
    /// Longer than 10 us.
    pub over_10_us: f64,
    /// Longer than 50 us.
    pub over_50_us: f64,
    /// Longer than 100 us.
    pub over_100_us: f64,
    /// Longer than 500 us.
    pub over_500_us: f64,
}

/// A percentile of [`Latency`]: its name, the share of the requests that lie beyond it, its value.
type Percentile = (&'static str, f64, fn(&Latency) -> f64);

const PERCENTILES: [Percentile; 5] = [
    ("p50", 0.5, |latency| latency.p50),
    ("p90", 0.1, |latency| latency.p90),
    ("p99", 0.01, |latency| latency.p99),
    ("p999", 0.001, |latency| latency.p999),
    ("max", 0.0, |latency| latency.max),
];

/// The rule: true when gaps that are at least half as long as the latency of a percentile hit more
/// of the requests than lie beyond it. Then half of that latency or more may be the machine's.
///
/// `beyond` is 1 - p; `hit_share` is the share of the requests that gaps of so many microseconds or
/// more hold up for that long.
pub fn is_drowned(latency_us: f64, beyond: f64, hit_share: impl Fn(f64) -> f64) -> bool {
    latency_us > 0.0 && hit_share(latency_us / 2.0).min(1.0) > beyond
}

impl Noise {
    /// Watches all these processors at once, for a quarter of a second, and adds what was seen.
    /// One that this process may not use is left out.
    pub(crate) fn watch(&mut self, cpus: &[usize], when: When) {
        let probes: Vec<Option<Probe>> = thread::scope(|scope| {
            let threads: Vec<_> = cpus
                .iter()
                .map(|cpu| scope.spawn(move || spin(*cpu, when)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().ok().flatten())
                .collect()
        });
        self.probes.extend(probes.into_iter().flatten());
    }

    /// The names of those percentiles of a run that [`is_drowned`] is true of, as in [`Latency`]. In
    /// an open loop requests come during gaps, too.
    pub fn drowned(&self, latency: &Latency, open_loop: bool) -> Vec<String> {
        let cpus = self.cpus();
        // A gap holds up what is in flight: of one connection that asks again and again, the share
        // of the requests with a gap in them is that of their time.
        let hit_share = |least_us: f64| -> f64 {
            let in_flight = |seen: &Seen| seen.gaps_per_s(least_us) * latency.p50 / 1e6;
            let waiting = |seen: &Seen| match open_loop {
                true => seen.waiting_share(least_us),
                false => 0.0,
            };
            cpus.values()
                .map(|seen| in_flight(seen) + waiting(seen))
                .sum()
        };
        PERCENTILES
            .iter()
            .filter(|(_, beyond, pick)| is_drowned(pick(latency), *beyond, hit_share))
            .map(|(name, ..)| (*name).to_owned())
            .collect()
    }

    /// One sentence for people; `None` when nothing was watched.
    pub fn sentence(&self) -> Option<String> {
        let cpus = self.cpus();
        let each: Vec<String> = cpus
            .iter()
            .map(|(cpu, seen)| format!("{} of processor {cpu}", percent(seen.lost_share())))
            .collect();
        let per_s = |least_us: f64| {
            let sum: f64 = cpus.values().map(|seen| seen.gaps_per_s(least_us)).sum();
            grouped(sum / cpus.len() as f64)
        };
        let longest = self.probes.iter().map(|probe| probe.longest_us);
        (!each.is_empty()).then(|| {
            format!(
                "This machine steals time from a loop that only reads the clock: {}, with {} gaps \
                 a second over 10 us, {} over 50 us, {} over 100 us, {} over 500 us; the longest \
                 took {} us.",
                each.join(", "),
                per_s(10.0),
                per_s(50.0),
                per_s(100.0),
                per_s(500.0),
                micros(longest.fold(0.0, f64::max))
            )
        })
    }

    /// What was seen of each processor, before and after together.
    fn cpus(&self) -> BTreeMap<usize, Seen> {
        let mut cpus: BTreeMap<usize, Seen> = BTreeMap::new();
        for probe in &self.probes {
            let Some(gaps) = stats::decode(&probe.gaps) else {
                continue;
            };
            let seen = cpus.entry(probe.cpu).or_insert_with(|| Seen {
                gaps: stats::latencies(),
                seconds: 0.0,
                lost_seconds: 0.0,
            });
            if seen.gaps.add(&gaps).is_ok() {
                let seconds = probe.duration_ms / 1e3;
                seen.seconds += seconds;
                seen.lost_seconds += seconds * probe.lost_share;
            }
        }
        cpus
    }
}

/// The gaps of one processor.
struct Seen {
    gaps: Histogram<u64>,
    seconds: f64,
    lost_seconds: f64,
}

impl Seen {
    fn gaps_per_s(&self, least_us: f64) -> f64 {
        let least = (least_us * 1e3) as u64;
        match self.seconds > 0.0 {
            true => self.gaps.count_between(least, self.gaps.high()) as f64 / self.seconds,
            false => 0.0,
        }
    }

    /// The share of all moments that gaps still go on for so long after them.
    fn waiting_share(&self, least_us: f64) -> f64 {
        let beyond = |nanos: u64| (nanos as f64 - least_us * 1e3).max(0.0);
        let nanos: f64 = self
            .gaps
            .iter_recorded()
            .map(|gap| beyond(gap.value_iterated_to()) * gap.count_at_value() as f64)
            .sum();
        match self.seconds > 0.0 {
            true => nanos / 1e9 / self.seconds,
            false => 0.0,
        }
    }

    fn lost_share(&self) -> f64 {
        match self.seconds > 0.0 {
            true => self.lost_seconds / self.seconds,
            false => 0.0,
        }
    }
}

impl Probe {
    /// From gaps in nanoseconds.
    fn of(cpu: usize, when: When, watched: &Watched) -> Self {
        let seen = Seen {
            gaps: watched.gaps.clone(),
            seconds: watched.nanos as f64 / 1e9,
            lost_seconds: watched.lost_nanos as f64 / 1e9,
        };
        let over = |us: f64| (seen.gaps_per_s(us) * 10.0).round() / 10.0;
        Self {
            cpu,
            when,
            duration_ms: watched.nanos as f64 / 1e6,
            lost_share: (seen.lost_share() * 1e5).round() / 1e5,
            longest_us: watched.longest_nanos as f64 / 1e3,
            gaps_per_s: GapsPerSecond {
                over_10_us: over(10.0),
                over_50_us: over(50.0),
                over_100_us: over(100.0),
                over_500_us: over(500.0),
            },
            gaps: stats::encode(&watched.gaps),
        }
    }
}

/// What a loop saw.
struct Watched {
    nanos: u64,
    lost_nanos: u64,
    longest_nanos: u64,
    gaps: Histogram<u64>,
}

/// Reads the clock again and again, on this processor; `None` when it may not be used.
fn spin(cpu: usize, when: When) -> Option<Probe> {
    cpu::pin(cpu).ok()?;
    let began = Instant::now();
    let now = || u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Some(Probe::of(cpu, when, &watch(now, LENGTH)))
}

/// Reads a clock of nanoseconds for so long.
fn watch(mut now: impl FnMut() -> u64, length: Duration) -> Watched {
    let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    let mut watched = Watched {
        nanos: 0,
        lost_nanos: 0,
        longest_nanos: 0,
        gaps: stats::latencies(),
    };
    let began = now();
    let mut last = began;
    while watched.nanos < length {
        let next = now();
        let gap = next.saturating_sub(last);
        if gap >= LEAST_NANOS {
            watched.gaps.saturating_record(gap);
            watched.lost_nanos += gap;
            watched.longest_nanos = watched.longest_nanos.max(gap);
        }
        last = next;
        watched.nanos = next.saturating_sub(began);
    }
    watched
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A machine that takes each of two processors away for 200 us, forty times a second.
    pub(crate) fn noisy() -> Noise {
        let mut gaps = stats::latencies();
        gaps.record_n(200_000, 10).unwrap();
        let watched = Watched {
            nanos: 250_000_000,
            lost_nanos: 2_000_000,
            longest_nanos: 200_000,
            gaps,
        };
        Noise {
            probes: [0, 1]
                .iter()
                .flat_map(|cpu| [When::Before, When::After].map(|when| (*cpu, when)))
                .map(|(cpu, when)| Probe::of(cpu, when, &watched))
                .collect(),
        }
    }

    fn latency(p50: f64, p99: f64, p999: f64, max: f64) -> Latency {
        Latency {
            p50,
            p90: p50,
            p99,
            p999,
            max,
        }
    }

    #[test]
    fn gaps_are_found_and_measured() {
        let mut readings = [0, 30, 60, 12_060, 12_090, 13_080, 613_080, 700_000].into_iter();
        let watched = watch(
            || readings.next().unwrap_or(2_000_000),
            Duration::from_millis(1),
        );
        assert_eq!(watched.gaps.len(), 4, "990 ns are none");
        assert_eq!(watched.longest_nanos, 1_300_000);
        assert_eq!(watched.lost_nanos, 12_000 + 600_000 + 86_920 + 1_300_000);
        let probe = Probe::of(3, When::After, &watched);
        assert_eq!((probe.cpu, probe.duration_ms), (3, 2.0));
        assert_eq!(
            probe.gaps_per_s,
            GapsPerSecond {
                over_10_us: 2000.0,
                over_50_us: 1500.0,
                over_100_us: 1000.0,
                over_500_us: 1000.0,
            }
        );
        assert_eq!(probe.lost_share, 0.99946);
    }

    #[test]
    fn a_percentile_drowns_when_more_requests_are_hit_than_lie_beyond_it() {
        // Gaps up to 200 us hit 0.5 % of the requests.
        let hit = |least_us: f64| if least_us <= 200.0 { 0.005 } else { 0.0 };
        assert!(!is_drowned(60.0, 0.01, hit), "p99: 1 % lie beyond");
        assert!(!is_drowned(60.0, 0.005, hit), "as many as are hit");
        assert!(is_drowned(60.0, 0.001, hit), "p99.9");
        assert!(is_drowned(400.0, 0.001, hit), "half of it is a gap");
        assert!(!is_drowned(401.0, 0.001, hit), "most of it is not");
        assert!(is_drowned(60.0, 0.0, hit), "some request is the last");
        assert!(!is_drowned(60.0, 0.0, |_| 0.0), "a machine at rest");
        assert!(!is_drowned(0.0, 0.0, hit), "nothing was measured");
        assert!(!is_drowned(1.0, 1.0, |_| 9.0), "no more than all are hit");
    }

    #[test]
    fn the_gaps_of_all_processors_count() {
        let drowned = |latency| noisy().drowned(&latency, false);
        // 80 gaps a second hit 0.16 % of requests that take 20 us; those of one only 0.08 %.
        assert_eq!(drowned(latency(20.0, 50.0, 100.0, 150.0)), ["p999", "max"]);
        assert_eq!(drowned(latency(10.0, 50.0, 100.0, 150.0)), ["max"]);
        assert!(drowned(latency(20.0, 50.0, 1000.0, 2000.0)).is_empty());
        let all = latency(1.0, 1.0, 1.0, 1.0);
        assert!(Noise::default().drowned(&all, true).is_empty());
    }

    #[test]
    fn in_an_open_loop_requests_come_during_gaps() {
        // 0.08 % are in flight; of the 1.6 % that come during one of 80 gaps of 200 us, those that
        // wait for 25 us still, which is half of the latency, are 7/8.
        let latency = latency(10.0, 50.0, 1000.0, 1000.0);
        assert!(noisy().drowned(&latency, false).is_empty());
        assert_eq!(noisy().drowned(&latency, true), ["p99"]);
        let share = noisy().cpus()[&0].waiting_share(25.0);
        assert!((share - 40.0 * 175e-6).abs() < 1e-5, "{share}");
        assert_eq!(noisy().cpus()[&0].waiting_share(201.0), 0.0);
    }

    #[test]
    fn the_sentence_has_the_figures_of_before_and_after() {
        let sentence = noisy().sentence().unwrap();
        for words in [
            "0.8 % of processor 0, 0.8 % of processor 1",
            "40 gaps a second over 10 us, 40 over 50 us, 40 over 100 us, 0 over 500 us",
            "the longest took 200 us",
        ] {
            assert!(sentence.contains(words), "{sentence}");
        }
        assert_eq!(Noise::default().sentence(), None);
    }

    #[test]
    fn a_processor_of_this_machine_is_watched_and_another_is_left_out() {
        let mut noise = Noise::default();
        let cpu = byway_sys::affinity::cpus()[0];
        noise.watch(&[cpu, usize::MAX], When::Before);
        let [probe] = &noise.probes[..] else {
            panic!("{noise:?}")
        };
        assert_eq!((probe.cpu, probe.when), (cpu, When::Before));
        assert!(probe.duration_ms >= 250.0);
        assert!((0.0..1.0).contains(&probe.lost_share));
        assert!(stats::decode(&probe.gaps).is_some());
    }
}
