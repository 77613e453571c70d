//! What `byway bench goodput` found out: schema 1. The table is made from it and from nothing else.

use crate::BenchError;
use crate::environment::Environment;
use crate::stats::{MIN_ROUNDS, Ratio, median};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the form of the file.
pub const SCHEMA: u32 = 1;

/// Below this share of Linux's goodput a path is flagged.
pub const FLOOR: f64 = 0.9;

/// The shares of a bottleneck that count as fair between two flows.
pub const FAIR: std::ops::RangeInclusive<f64> = 0.35..=0.65;

/// Everything that one `byway bench goodput` found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoodputFile {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Machine, kernel, versions, command line.
    pub environment: Environment,
    /// What was asked for.
    pub parameters: Parameters,
    /// One for each path and end.
    pub comparisons: Vec<Comparison>,
    /// One for each path that two connections shared.
    pub sharing: Vec<Sharing>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Times that each transfer was measured.
    pub rounds: u32,
    /// What the durations of the paths are multiplied with.
    pub time_scale: f64,
    /// From which the seeds of the wires are made.
    pub seed: u64,
    /// Congestion control of both sides.
    pub congestion_control: String,
    /// Settings of Byway that are not its defaults.
    pub settings: Vec<String>,
}

/// Which end of the transfer is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Who sends; Linux receives.
    Sender,
    /// Who receives; Linux sends.
    Receiver,
}

/// Whose TCP it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stack {
    /// The kernel's.
    Linux,
    /// Ours.
    Byway,
}

/// One end on one path, Byway against Linux.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the path.
    pub path: String,
    /// The path in words.
    pub title: String,
    /// Seconds of each transfer.
    pub seconds: f64,
    /// Which end differs; the other is Linux's.
    pub end: End,
    /// The transfers with Linux at that end, one a round.
    pub linux: Vec<Transfer>,
    /// The transfers with Byway at that end.
    pub byway: Vec<Transfer>,
    /// Goodput of Byway divided by that of Linux, over rounds in which both were measured.
    pub ratio: Option<Ratio>,
}

/// One transfer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Octets of payload that the receiver had, in bits per second from the handshake on.
    pub goodput_bit_per_s: f64,
    /// Why there is none.
    pub failure: Option<String>,
    /// The seed of the wire.
    pub seed: u64,
    /// Counters of the sender, whichever it was, that are not zero; `TcpOutSegs` and others.
    pub sender: BTreeMap<String, u64>,
    /// Counters of Byway where it received.
    pub receiver: BTreeMap<String, u64>,
    /// What the wire did on purpose and otherwise, both directions together.
    pub wire: WireCounts,
}

/// Frames that did not pass as they should, and how punctual the others were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WireCounts {
    /// Lost on purpose.
    pub lost: u64,
    /// Dropped because the queue was full, on purpose.
    pub queue_full: u64,
    /// Not read in time, refused, or too many: the forwarder was too slow.
    pub missed: u64,
    /// 99 of 100 frames were no later than this, in the worse direction, in microseconds.
    pub late_p99_us: f64,
}

/// Two connections at once from one host to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sharing {
    /// Name of the path.
    pub path: String,
    /// The path in words.
    pub title: String,
    /// Seconds of each transfer.
    pub seconds: f64,
    /// A Linux sender and a Byway sender; the second of each pair is Byway's.
    pub mixed: Vec<Pair>,
    /// Two Linux senders, to show what is usual.
    pub linux: Vec<Pair>,
}

/// One transfer of two connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Goodput of the two, in bits per second; zero when it failed.
    pub goodput_bit_per_s: [f64; 2],
    /// Why there is none.
    pub failure: Option<String>,
}

impl Transfer {
    /// A counter of the sender.
    pub fn sent(&self, name: &str) -> f64 {
        self.sender.get(name).copied().unwrap_or(0) as f64
    }
}

impl Pair {
    /// The share of the second connection, 0 to 1; none when it failed.
    pub fn share(&self) -> Option<f64> {
        let [first, second] = self.goodput_bit_per_s;
        let all = first + second;
        (self.failure.is_none() && all > 0.0).then(|| second / all)
    }
}

impl Comparison {
    /// The transfers of one stack.
    pub fn of(&self, stack: Stack) -> &[Transfer] {
        match stack {
            Stack::Linux => &self.linux,
            Stack::Byway => &self.byway,
        }
    }

    /// The transfers of one stack, to be added to.
    pub(crate) fn of_mut(&mut self, stack: Stack) -> &mut Vec<Transfer> {
        match stack {
            Stack::Linux => &mut self.linux,
            Stack::Byway => &mut self.byway,
        }
    }

    /// The median goodput of one stack in bits per second, 0 when there is none.
    pub fn goodput(&self, stack: Stack) -> f64 {
        let rates = rates(self.of(stack));
        let measured: Vec<f64> = rates.into_iter().filter(|rate| *rate > 0.0).collect();
        median(&measured)
    }

    /// Computes the ratio out of the transfers.
    pub(crate) fn conclude(&mut self) {
        self.ratio = Ratio::of_rounds(&rates(&self.byway), &rates(&self.linux));
    }

    /// What the ratio says.
    pub fn outcome(&self) -> Outcome {
        match &self.ratio {
            None => Outcome::Failed,
            Some(_) if self.linux.len().min(self.byway.len()) < MIN_ROUNDS => Outcome::TooFew,
            Some(ratio) if ratio.high < FLOOR => Outcome::FarBelow,
            Some(ratio) if ratio.high < 1.0 => Outcome::LinuxBetter,
            Some(ratio) if ratio.low > 1.0 => Outcome::BywayBetter,
            Some(_) => Outcome::NoDifference,
        }
    }
}

fn rates(transfers: &[Transfer]) -> Vec<f64> {
    transfers
        .iter()
        .map(|transfer| transfer.goodput_bit_per_s)
        .collect()
}

/// What a comparison shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The interval is above 1.
    BywayBetter,
    /// The interval contains 1.
    NoDifference,
    /// The interval is below 1.
    LinuxBetter,
    /// The interval is below [`FLOOR`].
    FarBelow,
    /// Too few rounds to claim anything.
    TooFew,
    /// There is nothing to compare.
    Failed,
}

impl Sharing {
    /// The shares of Byway, or of the second Linux sender, smallest first.
    pub fn shares(pairs: &[Pair]) -> Vec<f64> {
        let mut shares: Vec<f64> = pairs.iter().filter_map(Pair::share).collect();
        shares.sort_unstable_by(f64::total_cmp);
        shares
    }

    /// True when the median of Byway's shares is fair; none without a measurement.
    pub fn is_fair(&self) -> Option<bool> {
        let shares = Self::shares(&self.mixed);
        (!shares.is_empty()).then(|| FAIR.contains(&median(&shares)))
    }
}

impl GoodputFile {
    /// The geometric mean of the ratios of one end, or of both; none when there are none.
    pub fn mean(&self, end: Option<End>) -> Option<f64> {
        let logarithms: Vec<f64> = self
            .comparisons
            .iter()
            .filter(|comparison| end.is_none_or(|end| comparison.end == end))
            .filter_map(|comparison| Some(comparison.ratio?.ratio.ln()))
            .collect();
        let count = logarithms.len() as f64;
        (!logarithms.is_empty()).then(|| (logarithms.iter().sum::<f64>() / count).exp())
    }

    /// Transfers in which the forwarder was too slow: they measured it, too.
    pub fn overrun(&self) -> usize {
        let transfers = self
            .comparisons
            .iter()
            .flat_map(|comparison| comparison.linux.iter().chain(&comparison.byway));
        transfers
            .filter(|transfer| transfer.wire.missed > 0)
            .count()
    }

    /// Itself, if every transfer was measured.
    ///
    /// # Errors
    /// The first transfer that failed.
    pub fn checked(self) -> Result<Self, BenchError> {
        let alone = self.comparisons.iter().flat_map(|comparison| {
            let transfers = comparison.linux.iter().chain(&comparison.byway);
            transfers.map(move |transfer| (&comparison.path, &transfer.failure))
        });
        let shared = self.sharing.iter().flat_map(|sharing| {
            let pairs = sharing.mixed.iter().chain(&sharing.linux);
            pairs.map(move |pair| (&sharing.path, &pair.failure))
        });
        let failed = alone
            .chain(shared)
            .find_map(|(path, failure)| Some((path, failure.as_ref()?)));
        match failed {
            Some((path, why)) => Err(BenchError::Failed(format!("{path}: {why}"))),
            None => Ok(self),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A comparison with these goodputs, in Mbit/s.
    pub(crate) fn comparison(end: End, linux: &[f64], byway: &[f64]) -> Comparison {
        let transfers = |rates: &[f64]| {
            rates
                .iter()
                .map(|rate| Transfer {
                    goodput_bit_per_s: rate * 1e6,
                    ..Transfer::default()
                })
                .collect()
        };
        let mut comparison = Comparison {
            path: "loss1-rtt20".to_owned(),
            title: "RTT 20 ms, loss 1 %".to_owned(),
            seconds: 4.0,
            end,
            linux: transfers(linux),
            byway: transfers(byway),
            ratio: None,
        };
        comparison.conclude();
        comparison
    }

    /// A file with one path, on which Byway is the worse sender and the better receiver.
    pub(crate) fn sample() -> GoodputFile {
        let pair = |first: f64, second: f64| Pair {
            goodput_bit_per_s: [first * 1e6, second * 1e6],
            failure: None,
        };
        GoodputFile {
            schema: SCHEMA,
            environment: Environment::default(),
            parameters: Parameters {
                rounds: 3,
                time_scale: 1.0,
                seed: 1,
                congestion_control: "cubic".to_owned(),
                settings: Vec::new(),
            },
            comparisons: vec![
                comparison(End::Sender, &[10.0, 10.0, 10.0], &[8.0, 8.0, 8.0]),
                comparison(End::Receiver, &[10.0, 10.0, 10.0], &[20.0, 20.0, 20.0]),
            ],
            sharing: vec![Sharing {
                path: "share-10mbit".to_owned(),
                title: "10 Mbit/s".to_owned(),
                seconds: 20.0,
                mixed: vec![pair(6.0, 4.0), pair(3.0, 7.0), pair(4.5, 5.5)],
                linux: vec![pair(5.0, 5.0)],
            }],
        }
    }

    #[test]
    fn outcomes() {
        let of = |linux: &[f64], byway: &[f64]| comparison(End::Sender, linux, byway).outcome();
        let ten = [10.0; 5];
        assert_eq!(of(&ten, &[8.0; 5]), Outcome::FarBelow);
        assert_eq!(of(&ten, &[9.5; 5]), Outcome::LinuxBetter);
        assert_eq!(of(&ten, &[11.0; 5]), Outcome::BywayBetter);
        assert_eq!(
            of(&ten, &[9.0, 11.0, 9.5, 10.5, 10.0]),
            Outcome::NoDifference
        );
        assert_eq!(of(&ten[..2], &[8.0; 2]), Outcome::TooFew);
        assert_eq!(of(&ten, &[0.0; 5]), Outcome::Failed);
    }

    #[test]
    fn the_mean_is_geometric() {
        let file = sample();
        let mean = |end| (file.mean(end).unwrap() * 1000.0).round() / 1000.0;
        assert_eq!(mean(Some(End::Sender)), 0.8);
        assert_eq!(mean(Some(End::Receiver)), 2.0);
        assert_eq!(mean(None), 1.265);
    }

    #[test]
    fn shares_are_those_of_byway() {
        let sharing = &sample().sharing[0];
        assert_eq!(Sharing::shares(&sharing.mixed), [0.4, 0.55, 0.7]);
        assert_eq!(sharing.is_fair(), Some(true));
    }

    #[test]
    fn a_failure_is_told() {
        assert!(sample().checked().is_ok());
        let mut file = sample();
        file.comparisons[1].byway[2].failure = Some("it said nothing".to_owned());
        let error = file.checked().unwrap_err().to_string();
        assert_eq!(error, "loss1-rtt20: it said nothing");
    }

    #[test]
    fn it_survives_json() {
        let text = serde_json::to_string(&sample()).unwrap();
        assert_eq!(
            serde_json::from_str::<GoodputFile>(&text).unwrap(),
            sample()
        );
    }
}
