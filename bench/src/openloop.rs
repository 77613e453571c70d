//! What an open loop found, and whether that counts: it does only where the generator kept its times
//! and the rate was reached.

use crate::generator::GeneratorReport;
use crate::load::Arrivals;
use crate::result::{Latency, Parameters};
use crate::stats;
use crate::table::{grouped, micros};
use serde::{Deserialize, Serialize};

/// The 99th percentile of the generator's lag may be this share of the median latency: more, and a
/// latency tells of the generator rather than of the server.
pub const LATE: f64 = 0.5;
/// From this share of its time on, a generator may be the limit.
pub const BUSY: f64 = 0.95;
/// This share of the requests may be missing at the end, or [`FEW`] of them: what is under way.
pub const SHORT: f64 = 0.02;
/// So many requests may be under way at the end in any case.
pub const FEW: u64 = 10;

/// What there is to know of a run in an open loop, beside what every run tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenLoop {
    /// Requests that were to leave, in all rounds.
    pub arrivals: u64,
    /// Requests that were answered in the same time.
    pub answered: u64,
    /// Requests that never left, since too many waited for their connections.
    pub refused: u64,
    /// Requests without an answer in the end; the latencies hold what they had waited.
    pub unanswered: u64,
    /// From when a request was sent, where `latency_us` of the run is from when it was to be sent:
    /// medians over the rounds, `max` of all.
    pub service_us: Latency,
    /// How much later than intended the generator looked at a request: medians over the rounds,
    /// `max` of all.
    pub lag_us: Latency,
    /// Why the run does not count; empty when it does.
    pub faults: Vec<String>,
}

impl OpenLoop {
    /// Sums up the rounds of a run. `p50` is its median latency in microseconds, `work_share` the
    /// share of its time in which the generator worked.
    pub(crate) fn new(reports: &[&GeneratorReport], p50: f64, work_share: f64) -> Self {
        let open = || reports.iter().filter_map(|report| report.open.as_ref());
        let latency = |texts: Vec<&str>| {
            let each: Vec<Latency> = texts
                .into_iter()
                .filter_map(stats::decode)
                .map(|histogram| Latency::of(&histogram))
                .collect();
            Latency::median(&each)
        };
        let mut all = Self {
            arrivals: open().map(|open| open.arrivals).sum(),
            answered: reports.iter().map(|report| report.requests).sum(),
            refused: open().map(|open| open.refused).sum(),
            unanswered: open().map(|open| open.unanswered).sum(),
            service_us: latency(open().map(|open| open.service_histogram.as_str()).collect()),
            lag_us: latency(open().map(|open| open.lag_histogram.as_str()).collect()),
            faults: Vec::new(),
        };
        all.faults = [
            all.lateness(p50),
            (work_share >= BUSY).then(|| {
                format!(
                    "the generator was never idle ({:.0} % of its time), so that the limit may be \
                     its own",
                    work_share * 100.0
                )
            }),
            all.shortfall(),
        ]
        .into_iter()
        .flatten()
        .collect();
        all
    }

    /// That the generator did not keep its times.
    fn lateness(&self, p50: f64) -> Option<String> {
        (self.lag_us.p99 > p50 * LATE).then(|| {
            format!(
                "the generator was late: it looked at 1 of 100 requests {} us or more after their \
                 time, which is above {:.0} % of the median latency of {} us",
                micros(self.lag_us.p99),
                LATE * 100.0,
                micros(p50)
            )
        })
    }

    /// That not all was answered that was asked.
    fn shortfall(&self) -> Option<String> {
        let missing = self.arrivals.saturating_sub(self.answered);
        let allowed = FEW.max((self.arrivals as f64 * SHORT) as u64);
        let refused = match self.refused {
            0 => String::new(),
            refused => format!(", and {} did not even leave", grouped(refused as f64)),
        };
        (missing > allowed).then(|| {
            format!(
                "the rate was not reached: of {} requests that were to leave {:.0} % were answered \
                 in that time{refused}",
                grouped(self.arrivals as f64),
                100.0 * self.answered as f64 / self.arrivals as f64
            )
        })
    }
}

/// The kind of load in words: `closed loop`, `open loop, Poisson arrivals`.
pub(crate) fn describe(parameters: &Parameters) -> String {
    let mut words = match parameters.arrivals {
        None => "closed loop".to_owned(),
        Some(Arrivals::Constant) => "open loop, constant arrivals".to_owned(),
        Some(Arrivals::Poisson) => "open loop, Poisson arrivals".to_owned(),
    };
    if parameters.think_us > 0 {
        words += &format!(", think time {} us", grouped(parameters.think_us as f64));
    }
    if parameters.pipeline > 1 {
        words += &format!(", up to {} requests under way each", parameters.pipeline);
    }
    words
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::generator::OpenReport;
    use crate::result::tests::round;

    /// A report of a second with so many arrivals and answers, and this lag in nanoseconds.
    pub(crate) fn report(arrivals: u64, answered: u64, lag: u64) -> GeneratorReport {
        let histogram = |nanos: u64| {
            let mut histogram = stats::latencies();
            histogram.record_n(nanos, 1000).unwrap();
            stats::encode(&histogram)
        };
        let mut report = round(0, answered, &[20_000; 100]).report.unwrap();
        report.open = Some(OpenReport {
            arrivals,
            refused: 0,
            unanswered: 0,
            service_histogram: histogram(15_000),
            lag_histogram: histogram(lag),
        });
        report
    }

    fn faults(report: &GeneratorReport, work_share: f64) -> Vec<String> {
        OpenLoop::new(&[report, report], 20.0, work_share).faults
    }

    #[test]
    fn an_honest_run_counts() {
        let report = report(10_000, 9_990, 1_000);
        let open = OpenLoop::new(&[&report, &report], 20.0, 0.5);
        assert_eq!(open.faults, Vec::<String>::new());
        assert_eq!((open.arrivals, open.answered), (20_000, 19_980));
        assert!((open.service_us.p50 - 15.0).abs() < 0.1, "{open:?}");
        assert!((open.lag_us.p99 - 1.0).abs() < 0.1, "{open:?}");
    }

    #[test]
    fn a_late_generator_is_told_from_the_share_on() {
        assert!(faults(&report(1000, 1000, 9_900), 0.5).is_empty());
        let late = faults(&report(1000, 1000, 10_200), 0.5);
        assert!(late.len() == 1 && late[0].contains("was late"), "{late:?}");
    }

    #[test]
    fn a_generator_without_rest_and_a_rate_out_of_reach_are_told() {
        assert!(faults(&report(1000, 1000, 1_000), 0.949).is_empty());
        let busy = faults(&report(1000, 1000, 1_000), 0.95);
        assert!(
            busy.len() == 1 && busy[0].contains("never idle"),
            "{busy:?}"
        );
        assert!(faults(&report(10_000, 9_800, 1_000), 0.5).is_empty());
        let short = faults(&report(10_000, 9_700, 1_000), 0.5);
        assert!(short.len() == 1 && short[0].contains("97 %"), "{short:?}");
        assert!(faults(&report(20, 15, 1_000), 0.5).is_empty(), "under way");
    }

    #[test]
    fn loads_are_told_in_words() {
        let mut parameters = Parameters::default();
        assert_eq!(describe(&parameters), "closed loop");
        (parameters.think_us, parameters.pipeline) = (1500, 4);
        assert_eq!(
            describe(&parameters),
            "closed loop, think time 1,500 us, up to 4 requests under way each"
        );
        parameters.arrivals = Some(Arrivals::Poisson);
        assert!(describe(&parameters).starts_with("open loop, Poisson arrivals"));
    }
}
