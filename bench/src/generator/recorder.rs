//! What every generator measures, in the same way: warm-up, interval, latencies, processors.

use super::{Errors, GenerateArgs, GeneratorReport};
use crate::cpu::{self, CpuTime, Snapshot};
use crate::stats;
use hdrhistogram::Histogram;

/// A connection whose request is older than this at the end has stalled.
const STALLED_NANOS: u64 = 1_000_000_000;

/// The phases of a run. Times are nanoseconds of the generator's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Connections are being opened.
    Opening,
    /// Requests flow, nothing is recorded yet.
    WarmUp { until: u64 },
    /// Processors are read; the next turn starts the interval, so that the time this takes falls
    /// into no latency.
    Starting,
    /// Requests that are sent from `since` on count, when they are answered before `until`.
    Measuring { since: u64, until: u64 },
    /// The interval is over.
    Done,
}

/// The processors and processes of both sides, to tell what others took from them.
#[derive(Default)]
struct Sides {
    cpus: Vec<usize>,
    pids: Vec<u32>,
    own_before: u64,
    own: u64,
}

impl Sides {
    fn new(args: &GenerateArgs) -> Self {
        let mut cpus: Vec<usize> = [args.cpu, args.server_cpu].into_iter().flatten().collect();
        cpus.dedup();
        let pids = [Some(std::process::id()), args.server_pid]
            .into_iter()
            .flatten()
            .collect();
        Self {
            cpus,
            pids,
            own_before: 0,
            own: 0,
        }
    }

    fn own_time(&self) -> u64 {
        self.pids
            .iter()
            .filter_map(|pid| cpu::process_time(*pid))
            .sum()
    }

    /// What the sides' processors did for others, as a share of all their time. The kernel charges
    /// softirqs to whomever they interrupt, us or others or nobody; they are shared out in
    /// proportion.
    fn other_share(&self, cpus: &[CpuTime], elapsed_micros: u64) -> Option<f64> {
        let ours = || self.cpus.iter().filter_map(|cpu| cpus.get(*cpu));
        let busy: u64 = ours().map(CpuTime::busy).sum();
        let work: u64 = ours().map(|cpu| cpu.user + cpu.system).sum();
        let whole = elapsed_micros * self.cpus.len() as u64;
        let others = busy.saturating_sub(self.own) as f64 * work as f64 / busy.max(1) as f64;
        (whole > 0).then(|| others / whole as f64)
    }
}

/// Counts, latencies and the times of the phases.
pub(super) struct Recorder {
    phase: Phase,
    warmup: u64,
    duration: u64,
    histogram: Histogram<u64>,
    requests: u64,
    elapsed: u64,
    working: u64,
    before: Snapshot,
    cpus: Vec<CpuTime>,
    sides: Sides,
    /// What went wrong so far; generators count here.
    pub(super) errors: Errors,
    /// As in the report; the lean generator counts here.
    pub(super) resent: u64,
    /// As in the report; the lean generator counts here.
    pub(super) malformed: u64,
}

impl Recorder {
    pub(super) fn new(args: &GenerateArgs) -> Self {
        Self {
            phase: Phase::Opening,
            warmup: args.warmup().as_nanos() as u64,
            duration: args.duration().as_nanos() as u64,
            histogram: stats::latencies(),
            requests: 0,
            elapsed: 0,
            working: 0,
            before: Snapshot::default(),
            cpus: Vec::new(),
            sides: Sides::new(args),
            errors: Errors::default(),
            resent: 0,
            malformed: 0,
        }
    }

    /// All connections are open and send their first request now.
    pub(super) fn start(&mut self, now: u64) {
        self.phase = Phase::WarmUp {
            until: now + self.warmup,
        };
    }

    /// Moves on to the phase that the time asks for; call it at the start of each turn. True when
    /// the run is over.
    #[inline]
    pub(super) fn turn(&mut self, now: u64) -> bool {
        match self.phase {
            Phase::WarmUp { until } if now >= until => {
                self.before = Snapshot::now();
                self.sides.own_before = self.sides.own_time();
                self.phase = Phase::Starting;
            }
            Phase::Starting => {
                self.phase = Phase::Measuring {
                    since: now,
                    until: now + self.duration,
                };
            }
            Phase::Measuring { since, until } if now >= until => {
                self.cpus = Snapshot::now().since(&self.before);
                self.sides.own = self.sides.own_time().saturating_sub(self.sides.own_before);
                self.elapsed = now - since;
                self.phase = Phase::Done;
            }
            _ => {}
        }
        self.phase == Phase::Done
    }

    /// A response arrived, verified, at `now` for the request of time `sent`.
    #[inline]
    pub(super) fn response(&mut self, sent: u64, now: u64) {
        let Phase::Measuring { since, .. } = self.phase else {
            return;
        };
        if sent >= since {
            self.requests += 1;
            self.histogram
                .saturating_record(now.saturating_sub(sent).max(1));
        }
    }

    /// The generator had responses to handle for this long.
    #[inline]
    pub(super) fn worked(&mut self, nanos: u64) {
        if let Phase::Measuring { .. } = self.phase {
            self.working += nanos;
        }
    }

    /// True when a request of time `sent` that is still open at `now` counts as stalled.
    pub(super) fn stalled(sent: u64, now: u64) -> bool {
        now.saturating_sub(sent) > STALLED_NANOS
    }

    /// The result of a run that is over.
    pub(super) fn report(&self, xdp_mode: Option<String>) -> GeneratorReport {
        GeneratorReport {
            requests: self.requests,
            elapsed_ns: self.elapsed,
            errors: self.errors,
            histogram: stats::encode(&self.histogram),
            cpus: self.cpus.clone(),
            work_share: match self.elapsed {
                0 => 0.0,
                elapsed => (self.working as f64 / elapsed as f64).min(1.0),
            },
            other_cpu_share: self.sides.other_share(&self.cpus, self.elapsed / 1000),
            resent: self.resent,
            malformed: self.malformed,
            xdp_mode,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_within_the_interval_counts() {
        let mut recorder = Recorder::new(&super::super::tests::args());
        (recorder.warmup, recorder.duration) = (100, 1000);
        recorder.response(0, 5);
        recorder.start(10);
        assert!(!recorder.turn(50));
        recorder.response(10, 60);
        assert!(!recorder.turn(110), "the warm-up ends");
        recorder.response(60, 115);
        assert!(!recorder.turn(120), "the interval starts at 120");
        recorder.response(110, 130);
        recorder.response(120, 170);
        recorder.worked(400);
        recorder.response(170, 1100);
        assert!(recorder.turn(1120));
        recorder.response(1100, 1130);
        let report = recorder.report(None);
        assert_eq!((report.requests, report.elapsed_ns), (2, 1000));
        assert!((report.work_share - 0.4).abs() < 1e-9);
        let histogram = stats::decode(&report.histogram).unwrap();
        assert_eq!(
            (histogram.len(), histogram.min(), histogram.max()),
            (2, 50, 930)
        );
    }
    #[test]
    fn what_others_took_is_what_the_sides_did_not() {
        let sides = Sides {
            cpus: vec![0, 1],
            own: 1_000_000,
            ..Sides::default()
        };
        let busy = CpuTime {
            user: 500_000,
            system: 300_000,
            softirq: 200_000,
            ..CpuTime::default()
        };
        let share = sides.other_share(&[busy, busy, busy], 1_000_000).unwrap();
        assert!(
            (share - 0.4).abs() < 1e-9,
            "1 of 2 s, of which 80 % in processes: {share}"
        );
        assert_eq!(Sides::default().other_share(&[busy], 1_000_000), None);
        assert_eq!(
            sides.other_share(&[CpuTime::default(); 2], 1_000_000),
            Some(0.0)
        );
    }
}
