//! The paths that goodput is measured over.

use byway_impair::{Impairment, QueueLimit, Rate, Share};
use std::time::Duration;

/// The bottleneck of every path that is not about the bottleneck: what the forwarder can do
/// without its processor deciding.
const WIDE: u64 = 200_000_000;

/// Losses, in tenths of a percent, and round trips, in milliseconds, of the grid.
const LOSSES: [u32; 4] = [0, 1, 10, 30];
const ROUND_TRIPS: [u64; 3] = [1, 20, 100];

/// A path between two hosts, the same in both directions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Path {
    /// How it is called on the command line and in the result.
    pub(crate) name: String,
    /// How it is called in the table.
    pub(crate) title: String,
    /// What happens to frames in each direction.
    pub(crate) impairment: Impairment,
    /// How long a transfer over it is measured.
    pub(crate) duration: Duration,
}

/// All paths on which one connection is measured at a time, in the order of the table.
pub(crate) fn alone() -> Vec<Path> {
    let mut paths: Vec<Path> = ROUND_TRIPS
        .into_iter()
        .flat_map(|rtt| LOSSES.into_iter().map(move |loss| lossy(loss, rtt)))
        .collect();
    paths.push(reordering());
    paths.push(narrow("small", 10));
    paths.push(narrow("deep", 250));
    paths
}

/// The paths that two connections share.
pub(crate) fn shared() -> Vec<Path> {
    // Queues of about the path's own capacity, and some.
    [(10, 40), (50, 120)]
        .into_iter()
        .map(|(mbit, queue)| Path {
            name: format!("share-{mbit}mbit"),
            title: format!("{mbit} Mbit/s, RTT 20 ms, {queue} frames queue"),
            impairment: bottleneck(mbit * 1_000_000, queue, 20),
            duration: Duration::from_secs(20),
        })
        .collect()
}

fn lossy(tenths: u32, rtt: u64) -> Path {
    let percent = f64::from(tenths) / 10.0;
    Path {
        name: format!("loss{percent}-rtt{rtt}"),
        title: format!("RTT {rtt} ms, loss {percent} %"),
        impairment: Impairment {
            loss: share(percent),
            ..wide(rtt)
        },
        duration: duration(rtt),
    }
}

fn reordering() -> Path {
    Path {
        name: "reorder1-rtt20".to_owned(),
        title: "RTT 20 ms, 1 % reordered".to_owned(),
        impairment: Impairment {
            reorder: share(1.0),
            ..wide(20)
        },
        duration: duration(20),
    }
}

fn narrow(size: &str, queue: usize) -> Path {
    Path {
        name: format!("narrow-{size}"),
        title: format!("10 Mbit/s, RTT 20 ms, {queue} frames queue"),
        impairment: bottleneck(10_000_000, queue, 20),
        duration: Duration::from_secs(6),
    }
}

/// Long enough for many round trips: what a transfer meets on a lossy path is luck, and needs to
/// even out.
fn duration(rtt: u64) -> Duration {
    match rtt {
        0..10 => Duration::from_secs(3),
        10..50 => Duration::from_secs(4),
        _ => Duration::from_secs(6),
    }
}

fn wide(rtt: u64) -> Impairment {
    Impairment {
        rate: Rate::bits_per_second(WIDE),
        delay: Duration::from_micros(rtt * 500),
        ..Impairment::default()
    }
}

fn bottleneck(rate: u64, queue: usize, rtt: u64) -> Impairment {
    Impairment {
        rate: Rate::bits_per_second(rate),
        queue: QueueLimit::Frames(queue),
        ..wide(rtt)
    }
}

fn share(percent: f64) -> Share {
    Share::new(percent / 100.0).unwrap_or(Share::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_are_those_of_the_comparison() {
        let names: Vec<String> = alone().into_iter().map(|path| path.name).collect();
        assert_eq!(names.len(), 15);
        for expected in ["loss0-rtt1", "loss0.1-rtt20", "loss3-rtt100", "narrow-deep"] {
            assert!(names.iter().any(|name| name == expected), "{names:?}");
        }
        for path in alone().into_iter().chain(shared()) {
            assert_eq!(path.impairment.check(), Ok(()), "{}", path.name);
        }
    }

    #[test]
    fn names_differ() {
        let mut names: Vec<String> = alone()
            .into_iter()
            .chain(shared())
            .map(|path| path.name)
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
