//! lwIP as the peer, in real time. It knows no SACK, no timestamps and no window scaling here, so
//! the engine has to do without.
#![allow(missing_docs)]

use byway_stack::clock::MonotonicClock;
use byway_stack::fault::Faults;
use byway_tcp::effects::CloseReason;
use byway_tcp::time::Duration;
use byway_test_interop::{
    Case, Ends, Family, LwipPeer, Opener, Reads, Script, Starts, World, assert_finished,
};
use std::sync::atomic::{AtomicU16, Ordering};

const MIB: usize = 1 << 20;
const LIMIT: Duration = Duration::from_secs(30);

type Lwip = World<MonotonicClock, LwipPeer>;

/// Runs a conversation that the engine opens: the crate's lwIP opens none. Each has a port of its
/// own, since lwIP remembers the old ones.
fn run(case: &Case) -> Lwip {
    static NEXT: AtomicU16 = AtomicU16::new(50_000);
    let mut case = case.clone();
    // The peer remembers connections that ended; here only the engine is asked to forget soon.
    case.tuning.tcp.time_wait = Duration::from_millis(10);
    let clock = MonotonicClock::new();
    let port = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut world = World::new(&case, clock, port, |wire, app| {
        LwipPeer::new(wire, clock, app)
    });
    if let Err(wrong) = world.run(LIMIT) {
        panic!("{case:?}: {wrong}");
    }
    world
}

fn each(byway: &Script, peer: &Script) -> [Case; 2] {
    Family::BOTH.map(|family| Case::new(family, Opener::Byway, byway.clone(), peer.clone()))
}

#[test]
fn both_sides_send_at_once_and_every_byte_arrives() {
    for case in each(&Script::sends(2 * MIB), &Script::sends(2 * MIB)) {
        let world = run(&case);
        assert_finished(&case, &world);
        assert_eq!(world.seen().no_room, 0);
    }
}

#[test]
fn one_octet_and_none_at_all() {
    for octets in [0, 1] {
        for case in each(&Script::sends(octets), &Script::sends(1 - octets)) {
            assert_finished(&case, &run(&case));
        }
    }
}

//= rfc9293 3.6
#[test]
fn a_half_closed_connection_still_carries_data_the_other_way() {
    let closes_first = Script::sends(1000);
    let sends_then = Script {
        starts: Starts::AfterPeerClosed,
        ..Script::sends(MIB)
    };
    for (byway, peer) in [(&closes_first, &sends_then), (&sends_then, &closes_first)] {
        for case in each(byway, peer) {
            assert_finished(&case, &run(&case));
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
        let [byway, peer] = run(&case).outcomes();
        assert_eq!(byway.closed, Some(CloseReason::Aborted), "{case:?}");
        assert_eq!(peer.closed, Some(CloseReason::Reset), "{case:?}");
        assert!(byway.received >= 100_000 && !peer.peer_closed, "{case:?}");
    }
    for case in each(&sends, &resets) {
        let [byway, peer] = run(&case).outcomes();
        assert_eq!(byway.closed, Some(CloseReason::Reset), "{case:?}");
        assert_eq!(peer.closed, Some(CloseReason::Aborted), "{case:?}");
        assert!(peer.received >= 100_000 && !byway.peer_closed, "{case:?}");
    }
}

//= rfc9293 3.8.6.1
#[test]
fn a_reader_that_sleeps_closes_its_window_and_opens_it_again() {
    let sleeps = Script {
        reads: Reads::After(Duration::from_millis(1500)),
        ..Script::sends(1000)
    };
    let sends = Script::sends(MIB);
    for case in each(&sleeps, &sends) {
        let world = run(&case);
        assert_finished(&case, &world);
        assert!(
            world.seen().closed_windows.0 > 0,
            "{case:?}: {:?}",
            world.seen()
        );
    }
    for case in each(&sends, &sleeps) {
        let world = run(&case);
        assert_finished(&case, &world);
        assert!(
            world.seen().closed_windows.1 > 0,
            "{case:?}: {:?}",
            world.seen()
        );
    }
}

/// The engine recovers without SACK, lwIP with a timer of 250 ms: little goes a long way. Nothing is
/// damaged, because the crate's lwIP does not look at checksums.
#[test]
fn bad_networks_delay_bytes_and_change_none() {
    for (seed, (loss, reordering, duplication)) in
        (1..).zip([(0.005, 0.0, 0.0), (0.0, 0.02, 0.02), (0.003, 0.01, 0.01)])
    {
        for mut case in each(&Script::sends(200_000), &Script::sends(200_000)) {
            case.tuning.seed = seed;
            case.faults = Faults {
                loss,
                duplication,
                reordering,
                reorder_by: Duration::from_millis(2),
                delay: Duration::from_micros(500),
                ..Faults::default()
            };
            assert_finished(&case, &run(&case));
        }
    }
}
