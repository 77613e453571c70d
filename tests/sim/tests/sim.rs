//! Fixed seeds, seeds of the commit, and one that is given by hand.
#![allow(missing_docs)]

use byway_test_sim::{Class, Failure, Options, Report, Runner, Scenario};
use std::process::Command;
use std::time::Duration;

/// Seeds that everybody runs.
const FIXED: std::ops::Range<u64> = 0..4_000;
/// Seeds that only this commit runs.
const OF_COMMIT: u64 = 2_000;
/// Seeds that fail, each with the reason: an error of the engine that is known and not mended yet.
const KNOWN: &[(u64, &str)] = &[];

fn run(seeds: impl Iterator<Item = u64>) -> Vec<Report> {
    let mut runner = Runner::default();
    let known = |seed: &u64| KNOWN.iter().any(|(known, _)| known == seed);
    seeds
        .filter(|seed| !known(seed))
        .map(|seed| {
            let report = runner.seed(seed, Options::THOROUGH);
            report.unwrap_or_else(|failure| panic!("{failure}"))
        })
        .collect()
}

fn total(reports: &[Report], of: fn(&Report) -> u64) -> u64 {
    reports.iter().map(of).sum()
}

#[test]
fn fixed_seeds() {
    let reports = run(FIXED);
    println!(
        "{} runs, {} segments",
        reports.len(),
        total(&reports, |report| report.segments)
    );
    // A simulation in which nothing goes wrong would show nothing.
    let retransmitted = total(&reports, |report| report.retransmitted);
    assert!(
        retransmitted > 25_000,
        "{retransmitted} segments sent again"
    );
    let timeouts = total(&reports, |report| report.timeouts);
    assert!(timeouts > 5_000, "{timeouts} timeouts");
    let wrapped = total(&reports, |report| report.wrapped);
    assert!(
        wrapped > 2_500,
        "sequence numbers wrap in {wrapped} streams"
    );
}

/// The commit that is tested: `SIM_COMMIT`, else what git says, else a fixed one.
fn commit() -> String {
    let of_git = || {
        let output = Command::new("git").args(["rev-parse", "HEAD"]).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    std::env::var("SIM_COMMIT")
        .ok()
        .or_else(of_git)
        .unwrap_or_else(|| "no commit".to_owned())
}

#[test]
fn seeds_of_this_commit() {
    let commit = commit();
    // FNV-1a: the same on every machine.
    let first = commit
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    println!("seeds of {commit}: {OF_COMMIT} from {first} on");
    run((0..OF_COMMIT).map(|number| first.wrapping_add(number)));
}

/// Header prediction is an optimisation only: without it everything is the same, to the octet and the
/// microsecond.
#[test]
fn header_prediction_makes_no_difference() {
    let mut runner = Runner::default();
    for seed in 2_000_000..2_001_000 {
        let with = Scenario::draw(seed);
        let without = Scenario::draw(seed).without_header_prediction();
        let [with, without] = [with, without].map(|scenario| {
            let report = runner.run(&scenario, Options::FAST);
            report.unwrap_or_else(|failure| panic!("{failure}"))
        });
        assert_eq!(with, without, "seed {seed}");
    }
}

/// What neither gets lost nor out of order is sent once.
#[test]
fn clean_paths_see_no_retransmission() {
    let clean = |seed: &u64| Scenario::draw(*seed).class == Class::Clean;
    let reports = run((1_000_000..).filter(clean).take(500));
    assert_eq!(total(&reports, |report| report.retransmitted), 0);
    assert!(total(&reports, |report| report.segments) > 50_000);
}

/// The first scenarios of a class.
fn run_class(class: Class, seeds: std::ops::Range<u64>) -> Vec<Report> {
    let mut runner = Runner::default();
    seeds
        .map(|seed| {
            let report = runner.run(&Scenario::of_class(class, seed), Options::THOROUGH);
            report.unwrap_or_else(|failure| panic!("{failure}"))
        })
        .collect()
}

/// Behind a bottleneck whose queue holds everything nothing times out. Where a queue grows faster
/// than the round trips tell, a tail loss probe asks, as RFC 8985 wants it; the observer sees that it
/// is nothing else.
#[test]
fn queues_cause_no_retransmission_but_probes() {
    let reports = run_class(Class::Queued, 0..500);
    assert_eq!(total(&reports, |report| report.timeouts), 0);
    let probed = reports.iter().filter(|report| report.retransmitted > 0);
    let probed = probed.count();
    assert!(probed < 25, "segments sent again in {probed} runs");
    assert!(total(&reports, |report| report.segments) > 50_000);
}

/// Hops that become narrower are found, through ICMP that mostly arrives, and everything gets
/// through in the end.
//= rfc1191 3 S3-1 S3-2
//= rfc8201 4 S4-1 S4-2
//= rfc9293 3.7.2
#[test]
fn narrow_hops_are_found() {
    let reports = run_class(Class::Narrow, 0..500);
    let told = total(&reports, |report| report.too_big);
    assert!(told > 400, "{told} answers of routers");
    let narrowed = total(&reports, |report| report.narrowed);
    assert!(narrowed > 200, "{narrowed} paths became narrower");
}

/// Errors about other connections, about what is not in flight, with wrong checksums, of wrong
/// sources, of wide hops, and cut ones: not one octet on the wire is another.
//= rfc9293 3.9.2.2 MUST-54 MUST-55
#[test]
fn forged_icmp_changes_nothing() {
    let mut runner = Runner::default();
    let mut forged = 0;
    for class in [Class::Chaos, Class::Narrow, Class::Reuse] {
        for seed in 10_000..10_100 {
            let [without, with] = [0.0, 0.2].map(|share| {
                let scenario = Scenario::of_class(class, seed).with_forged_icmp(share);
                let report = runner.run(&scenario, Options::FAST);
                report.unwrap_or_else(|failure| panic!("{failure}"))
            });
            forged += with.forged;
            let with = Report { forged: 0, ..with };
            assert_eq!(with, without, "{} {seed}", class.name());
        }
    }
    assert!(forged > 6_000, "{forged} errors");
}

/// Clients come back to the same four-tuple while the server is in TIME-WAIT, and old segments come
/// with them.
//= rfc6191 2 S2-1 S2-2 S2-3
//= rfc9293 3.6.1 MAY-2
#[test]
fn a_four_tuple_is_used_again_in_time_wait() {
    let reports = run_class(Class::Reuse, 0..300);
    let reopened = total(&reports, |report| report.reopened);
    assert!(reopened > 600, "{reopened} connections in TIME-WAIT");
}

/// After a tail loss nothing follows that would tell. A probe after two round trips asks, and its
/// answer tells what else is missing. Only where a single segment is left the probe allows for an
/// ACK that its receiver delays, up to the time of a timeout; it is no timeout all the same.
//= rfc8985 7.2 S7.2-1
//= rfc8985 7.3 S7.3-1
#[test]
fn a_tail_loss_costs_round_trips_and_no_timeout() {
    let round_trip = Duration::from_millis(20);
    for segments in 2..=9 {
        for lost in 1..=segments {
            let scenario = Scenario::tail_loss(round_trip, segments, lost);
            let report = Runner::default().run(&scenario, Options::THOROUGH);
            let report = report.unwrap_or_else(|failure| panic!("{failure}"));
            let what = format!("{lost} of {segments} segments lost: {report:?}");
            assert_eq!(report.timeouts, 0, "{what}");
            assert_eq!(report.retransmitted, u64::from(lost), "{what}");
            // The handshake, the flight and its ACK, the silence, the answer to the probe and what
            // was missing.
            let silence = if lost == 1 {
                Duration::from_millis(200) + round_trip
            } else {
                round_trip * 2
            };
            // What else is missing leaves in growing flights, the first of one segment.
            let flights = match lost {
                1 | 2 => 1,
                3 | 4 => 2,
                5..=7 => 3,
                _ => 4,
            };
            let repair = round_trip * flights + round_trip / 2;
            let grain = Duration::from_millis(4);
            let most = round_trip * 2 + silence + repair + grain;
            assert!(report.last_octet <= most, "{what}");
            assert!(report.last_octet >= round_trip * 3, "{what}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let options = Options {
        trace: true,
        ..Options::THOROUGH
    };
    let mut digests = Vec::new();
    for seed in 5_000..5_040 {
        let first = Runner::default().seed(seed, options);
        let first = first.unwrap_or_else(|failure| panic!("{failure}"));
        // A runner that was used before makes no difference, nor does looking less often.
        let mut used = Runner::default();
        let again = used
            .seed(seed + 1, options)
            .and_then(|_| used.seed(seed, options))
            .unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(first, again, "seed {seed}");
        let fast = used.seed(seed, Options::FAST);
        assert_eq!(fast.map(|report| report.digest).ok(), Some(first.digest));
        digests.push(first.digest);
    }
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 40, "other seeds, other traces");
}

/// `SIM_SEED=n` runs that seed, in its own class or in `SIM_CLASS`; `SIM_TRACE=1` prints the wire.
#[test]
fn replay() {
    let Ok(seed) = std::env::var("SIM_SEED") else {
        return;
    };
    let seed: u64 = seed.parse().expect("SIM_SEED is a number");
    let options = Options {
        trace: true,
        ..Options::THOROUGH
    };
    let scenario = match std::env::var("SIM_CLASS") {
        Ok(name) => {
            let class = Class::ALL.into_iter().find(|class| class.name() == name);
            Scenario::of_class(class.expect("SIM_CLASS is a class"), seed)
        }
        Err(_) => Scenario::draw(seed),
    };
    let print = |trace: &[String]| {
        if std::env::var_os("SIM_TRACE").is_some() {
            println!("{scenario:#?}");
            trace.iter().for_each(|line| println!("{line}"));
        }
    };
    match Runner::default().run(&scenario, options) {
        Ok(report) => print(&report.trace),
        Err(failure) => {
            print(&failure.trace);
            let Failure { what, trace, .. } = &failure;
            let from = trace.len().saturating_sub(40);
            trace[from..].iter().for_each(|line| println!("{line}"));
            panic!("seed {seed}: {what}");
        }
    }
}
