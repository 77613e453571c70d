//! What every generator measures, in the same way: warm-up, interval, latencies, processors.

use super::{Errors, GenerateArgs, GeneratorReport, OpenReport};
use crate::cpu::{self, CpuTime, Snapshot};
use crate::stats;
use hdrhistogram::Histogram;

/// A connection whose request is older than this at the end has stalled.
const STALLED_NANOS: u64 = 1_000_000_000;
/// The requests of an open loop that fall into the interval are waited for this long after it.
const DRAIN: u64 = 1_000_000_000;

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
    /// The interval of an open loop is over, some of its requests are not. The load goes on: were it
    /// to end, they would be answered sooner.
    Draining { since: u64, until: u64 },
    /// All is over.
    Done,
}

/// What there is to know of an open loop.
struct Open {
    /// Of the requests that fall into the interval, from when they were sent.
    service: Histogram<u64>,
    /// How late the generator looked at these requests.
    lag: Histogram<u64>,
    /// Requests that were to leave since the interval began.
    arrivals: u64,
    /// Those that found too many waiting before them.
    refused: u64,
    /// Requests that fall into the interval and are not answered yet.
    open: u64,
    /// The last request that was looked at.
    last: u64,
    unanswered: u64,
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

/// True when a request of an open loop falls into the interval. What was to leave at its very start has
/// been looked at before.
#[inline]
fn within(intended: u64, since: u64, until: u64) -> bool {
    intended > since && intended <= until
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
    open: Option<Open>,
    /// The interval of an open loop that is over.
    last_interval: (u64, u64),
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
            open: args.rate.map(|_| Open {
                service: stats::latencies(),
                lag: stats::latencies(),
                arrivals: 0,
                refused: 0,
                open: 0,
                last: 0,
                unanswered: 0,
            }),
            last_interval: (0, 0),
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
            Phase::Measuring { since, until } if now >= until => match self.open {
                Some(_) => self.phase = Phase::Draining { since, until },
                None => self.end(since, now),
            },
            Phase::Draining { since, until } => {
                let all = |open: &Open| open.open == 0 && open.last > until;
                if self.open.as_ref().is_none_or(all) || now >= until + DRAIN {
                    self.end(since, now);
                }
            }
            _ => {}
        }
        self.phase == Phase::Done
    }

    /// Reads the processors: the counts until here are what they worked for.
    fn end(&mut self, since: u64, now: u64) {
        if let Phase::Draining { until, .. } = self.phase {
            self.last_interval = (since, until);
        }
        self.cpus = Snapshot::now().since(&self.before);
        self.sides.own = self.sides.own_time().saturating_sub(self.sides.own_before);
        self.elapsed = now - since;
        self.phase = Phase::Done;
    }

    /// Begins an interval, without a warm-up.
    #[cfg(test)]
    pub(super) fn measure(&mut self, since: u64, until: u64) {
        self.phase = Phase::Measuring { since, until };
    }

    /// The interval as far as something counts now: its start, and its end.
    #[inline]
    fn interval(&self) -> Option<(u64, u64)> {
        match self.phase {
            Phase::Measuring { since, until } | Phase::Draining { since, until } => {
                Some((since, until))
            }
            _ => None,
        }
    }

    /// Open loop: a request was to leave at `intended`, and `now` the generator sees it.
    #[inline]
    pub(super) fn arrived(&mut self, intended: u64, now: u64) {
        let (Some((since, until)), Some(open)) = (self.interval(), &mut self.open) else {
            return;
        };
        open.last = intended;
        open.arrivals += u64::from(intended > since);
        if within(intended, since, until) {
            open.open += 1;
            open.lag.saturating_record((now - intended).max(1));
        }
    }

    /// Open loop: a request that was to leave at `intended` never does, because too many wait.
    pub(super) fn refused(&mut self, intended: u64) {
        if let (Some((since, until)), Some(open)) = (self.interval(), &mut self.open) {
            open.refused += u64::from(intended > since);
            open.open -= u64::from(within(intended, since, until));
        }
    }

    /// Open loop: a request that was to leave at `intended` has no answer at the end. What it waited
    /// counts as its latency, which is longer still: left out, the worst would be missing.
    pub(super) fn unanswered(&mut self, intended: u64, now: u64) {
        // The phases are over, and the interval is where it was.
        if let Some(open) = &mut self.open
            && within(intended, self.last_interval.0, self.last_interval.1)
        {
            open.unanswered += 1;
            self.histogram
                .saturating_record(now.saturating_sub(intended).max(1));
        }
    }

    /// A response arrived, verified, at `now` for the request that was `sent` then and was to leave
    /// at `from`. In a closed loop both are the same.
    #[inline]
    pub(super) fn response(&mut self, from: u64, sent: u64, now: u64) {
        let Some((since, until)) = self.interval() else {
            return;
        };
        let Some(open) = &mut self.open else {
            if from >= since {
                self.requests += 1;
                self.histogram
                    .saturating_record(now.saturating_sub(from).max(1));
            }
            return;
        };
        // The rate is of what is answered, whenever it was to leave: what comes in from before the
        // interval is made up for by what is still under way at its end.
        self.requests += 1;
        if within(from, since, until) {
            open.open -= 1;
            open.service
                .saturating_record(now.saturating_sub(sent).max(1));
            self.histogram
                .saturating_record(now.saturating_sub(from).max(1));
        }
    }

    /// The generator had responses to handle for this long.
    #[inline]
    pub(super) fn worked(&mut self, nanos: u64) {
        if self.interval().is_some() {
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
            open: self.open.as_ref().map(|open| OpenReport {
                arrivals: open.arrivals,
                refused: open.refused,
                unanswered: open.unanswered,
                service_histogram: stats::encode(&open.service),
                lag_histogram: stats::encode(&open.lag),
            }),
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
        recorder.response(0, 0, 5);
        recorder.start(10);
        assert!(!recorder.turn(50));
        recorder.response(10, 10, 60);
        assert!(!recorder.turn(110), "the warm-up ends");
        recorder.response(60, 60, 115);
        assert!(!recorder.turn(120), "the interval starts at 120");
        recorder.response(110, 110, 130);
        recorder.response(120, 120, 170);
        recorder.worked(400);
        recorder.response(170, 170, 1100);
        assert!(recorder.turn(1120));
        recorder.response(1100, 1100, 1130);
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
    fn an_open_loop_counts_from_the_intended_time_and_waits_for_what_falls_into_the_interval() {
        let mut recorder = Recorder::new(&GenerateArgs {
            rate: Some(10),
            ..super::super::tests::args()
        });
        recorder.measure(1000, 2000);
        recorder.response(900, 950, 1005);
        for (intended, looked) in [(1100, 1150), (1900, 1901), (2100, 2100)] {
            recorder.arrived(intended, looked);
        }
        recorder.response(1100, 1200, 1500);
        assert!(!recorder.turn(2050), "one of the interval is not answered");
        assert!(!recorder.turn(2060));
        recorder.response(1900, 2100, 2400);
        assert!(recorder.turn(2500));
        let report = recorder.report(None);
        let open = report.open.unwrap();
        assert_eq!((report.requests, report.elapsed_ns), (3, 1500));
        assert_eq!((open.arrivals, open.refused, open.unanswered), (3, 0, 0));
        let ends = |text: &str| {
            let histogram = stats::decode(text).unwrap();
            (histogram.len(), histogram.min(), histogram.max())
        };
        assert_eq!(ends(&report.histogram), (2, 400, 500));
        assert_eq!(ends(&open.service_histogram), (2, 300, 300));
        assert_eq!(ends(&open.lag_histogram), (2, 1, 50));
    }

    #[test]
    fn what_is_never_answered_counts_with_what_it_waited() {
        let mut recorder = Recorder::new(&GenerateArgs {
            rate: Some(10),
            ..super::super::tests::args()
        });
        recorder.measure(1000, 2000);
        recorder.arrived(1500, 1500);
        let end = 2000 + DRAIN;
        assert!(!recorder.turn(2000) && !recorder.turn(end - 1) && recorder.turn(end));
        recorder.unanswered(1500, end);
        recorder.unanswered(2200, end);
        let report = recorder.report(None);
        assert_eq!((report.requests, report.open.unwrap().unanswered), (0, 1));
        let waited = stats::decode(&report.histogram).unwrap();
        assert_eq!(waited.len(), 1);
        assert!(waited.max() >= DRAIN);
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
