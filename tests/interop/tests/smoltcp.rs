//! smoltcp as the peer, in virtual time.
#![allow(missing_docs)]

use byway_stack::clock::ManualClock;
use byway_stack::fault::Faults;
use byway_tcp::effects::CloseReason;
use byway_tcp::time::{Duration, Instant};
use byway_test_interop::{
    Case, Ends, Family, Opener, Reads, Script, SmolOptions, SmolPeer, Starts, World,
    assert_finished, smoltcp_seed,
};
use smoltcp::socket::tcp::CongestionControl;

const MIB: usize = 1 << 20;
const LOCAL_PORT: u16 = 50_000;
/// Virtual: nothing takes so long on a network that works half the time.
const LIMIT: Duration = Duration::from_secs(1800);

type Smol = World<ManualClock, SmolPeer>;

fn world_at(case: &Case, options: &SmolOptions, start: Instant) -> Smol {
    let clock = ManualClock::new(start);
    let (family, opener) = (case.family, case.opener);
    World::new(case, clock.clone(), LOCAL_PORT, |wire, app| {
        SmolPeer::new(wire, clock, family, opener, options, app)
    })
}

fn run(case: &Case, options: &SmolOptions) -> Smol {
    let mut world = world_at(case, options, Instant::from_nanos(1_000_000_000));
    if let Err(wrong) = world.run(LIMIT) {
        panic!("{case:?}: {wrong}");
    }
    world
}

/// Every family with every opener.
fn each(byway: &Script, peer: &Script) -> Vec<Case> {
    let all = Family::BOTH.into_iter();
    all.flat_map(|family| Opener::BOTH.map(|opener| (family, opener)))
        .map(|(family, opener)| Case::new(family, opener, byway.clone(), peer.clone()))
        .collect()
}

#[test]
fn both_sides_send_at_once_and_every_byte_arrives() {
    for case in each(&Script::sends(4 * MIB), &Script::sends(4 * MIB)) {
        for timestamps in [false, true] {
            let options = SmolOptions {
                timestamps,
                ..SmolOptions::default()
            };
            let world = run(&case, &options);
            assert_finished(&case, &world);
            assert_eq!(world.byway().tcp_counters().retrans_segs, 0, "{case:?}");
            assert_eq!(world.seen().no_room, 0);
        }
    }
}

#[test]
fn one_octet_and_none_at_all() {
    for octets in [0, 1] {
        for case in each(&Script::sends(octets), &Script::sends(1 - octets)) {
            assert_finished(&case, &run(&case, &SmolOptions::default()));
        }
    }
}

//= rfc9293 3.6
#[test]
fn a_half_closed_connection_still_carries_data_the_other_way() {
    let closes_first = Script::sends(1000);
    let sends_then = Script {
        starts: Starts::AfterPeerClosed,
        ..Script::sends(2 * MIB)
    };
    for (byway, peer) in [(&closes_first, &sends_then), (&sends_then, &closes_first)] {
        for case in each(byway, peer) {
            assert_finished(&case, &run(&case, &SmolOptions::default()));
        }
    }
}

#[test]
fn a_reset_in_the_middle_ends_it_on_both_sides() {
    let resets = Script {
        ends: Ends::ResetsAfter(100_000),
        ..Script::sends(100_000)
    };
    let sends = Script::sends(2 * MIB);
    for case in each(&resets, &sends) {
        let [byway, peer] = run(&case, &SmolOptions::default()).outcomes();
        assert_eq!(byway.closed, Some(CloseReason::Aborted), "{case:?}");
        assert_eq!(peer.closed, Some(CloseReason::Reset), "{case:?}");
        assert!(byway.received >= 100_000 && !peer.peer_closed, "{case:?}");
    }
    for case in each(&sends, &resets) {
        let [byway, peer] = run(&case, &SmolOptions::default()).outcomes();
        assert_eq!(byway.closed, Some(CloseReason::Reset), "{case:?}");
        assert_eq!(peer.closed, Some(CloseReason::Aborted), "{case:?}");
        assert!(peer.received >= 100_000 && !byway.peer_closed, "{case:?}");
    }
}

//= rfc9293 3.8.6.1
#[test]
fn a_reader_that_sleeps_closes_its_window_and_opens_it_again() {
    let sleeps = Script {
        reads: Reads::After(Duration::from_secs(30)),
        ..Script::sends(1000)
    };
    let sends = Script::sends(MIB);
    for case in each(&sleeps, &sends) {
        let world = run(&case, &SmolOptions::default());
        assert_finished(&case, &world);
        assert!(
            world.seen().closed_windows.0 > 0,
            "{case:?}: {:?}",
            world.seen()
        );
    }
    for case in each(&sends, &sleeps) {
        let world = run(&case, &SmolOptions::default());
        assert_finished(&case, &world);
        assert!(
            world.seen().closed_windows.1 > 0,
            "{case:?}: {:?}",
            world.seen()
        );
    }
}

#[test]
fn a_reader_that_dawdles_gets_everything() {
    let dawdles = Script {
        reads: Reads::Slowly(3000, Duration::from_millis(5)),
        ..Script::sends(1000)
    };
    let sends = Script::sends(MIB);
    let small = SmolOptions {
        receive: 4000,
        ..SmolOptions::default()
    };
    for (byway, peer) in [(&dawdles, &sends), (&sends, &dawdles)] {
        for case in each(byway, peer) {
            for options in [&SmolOptions::default(), &small] {
                assert_finished(&case, &run(&case, options));
            }
        }
    }
}

#[test]
fn bad_networks_delay_bytes_and_change_none() {
    let networks = [
        (0.01, 0.0, 0.0, 0.0),
        (0.0, 0.05, 0.0, 0.0),
        (0.0, 0.0, 0.05, 0.0),
        (0.02, 0.02, 0.01, 0.01),
    ];
    let congestion = [
        CongestionControl::None,
        CongestionControl::Reno,
        CongestionControl::Cubic,
    ];
    let runs = networks.iter().cycle().take(4 * networks.len());
    for (seed, &(loss, reordering, duplication, corruption)) in (1..).zip(runs) {
        for mut case in each(&Script::sends(MIB), &Script::sends(MIB)) {
            case.tuning.seed = seed;
            case.faults = Faults {
                loss,
                duplication,
                corruption,
                reordering,
                reorder_by: Duration::from_millis(2),
                delay: Duration::from_micros(500),
            };
            let options = SmolOptions {
                seed,
                congestion: congestion[seed as usize % 3],
                timestamps: seed % 2 == 0,
                ..SmolOptions::default()
            };
            assert_finished(&case, &run(&case, &options));
        }
    }
}

//= rfc9293 3.4
#[test]
fn sequence_numbers_wrap_on_both_sides() {
    const BEFORE: u32 = 500_000;
    let last = u32::MAX - BEFORE;
    let seed = smoltcp_seed(last..=u32::MAX - 1000);
    for mut case in each(&Script::sends(MIB), &Script::sends(MIB)) {
        let options = SmolOptions {
            seed,
            ..SmolOptions::default()
        };
        for loss in [0.0, 0.01] {
            case.faults.loss = loss;
            case.faults.delay = Duration::from_micros(if loss > 0.0 { 200 } else { 0 });
            // The engine's number moves with its clock: look where it begins, then start it when it
            // is as far before the wrap as wanted.
            let start = Instant::from_nanos(1_000_000_000);
            let mut trial = world_at(&case, &options, start);
            trial.run(LIMIT).unwrap();
            let iss = trial.seen().iss.0.expect("it sent a SYN");
            let ticks = u64::from(last.wrapping_sub(iss));
            let later = start + Duration::from_nanos(ticks << 6);
            let mut world = world_at(&case, &options, later);
            if let Err(wrong) = world.run(LIMIT) {
                panic!("{case:?}: {wrong}");
            }
            assert_finished(&case, &world);
            let (byway, peer) = world.seen().iss;
            for iss in [byway.unwrap(), peer.unwrap()] {
                assert!(iss.checked_add(MIB as u32).is_none(), "{iss} does not wrap");
            }
        }
    }
}

/// The options that the engine can leave out, one by one: smoltcp then has to do without.
#[test]
fn the_engine_leaves_options_out() {
    for left_out in 0..4 {
        for mut case in each(&Script::sends(MIB), &Script::sends(MIB)) {
            case.tuning.tcp.window_scaling = left_out != 0;
            case.tuning.tcp.timestamps = left_out != 1;
            case.tuning.tcp.sack = left_out != 2;
            if left_out == 3 {
                case.tuning.tcp.window_scaling = false;
                case.tuning.tcp.timestamps = false;
                case.tuning.tcp.sack = false;
            }
            case.faults.loss = 0.005;
            case.faults.delay = Duration::from_millis(1);
            let options = SmolOptions {
                timestamps: true,
                ..SmolOptions::default()
            };
            assert_finished(&case, &run(&case, &options));
        }
    }
}
