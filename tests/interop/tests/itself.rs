//! The engine connected to itself: frames that it sends come back in.
//!
//! Linux does the same in each case: a socket that connects to its own address and port
//! (`socat TCP:127.0.0.1:5000,bind=127.0.0.1:5000 -`) is established, hears what it says, and ends
//! in TIME-WAIT.
#![allow(missing_docs)]

use byway_stack::Shard;
use byway_stack::clock::ManualClock;
use byway_stack::fault::{FaultPort, Faults};
use byway_stack::mailbox::Command;
use byway_stack::memory::MemoryPort;
use byway_stack::path::PathUpdate;
use byway_tcp::effects::CloseReason;
use byway_tcp::time::Duration;
use byway_test_interop::{App, Ends, Family, Outcome, PORT, Script, Shared, Talk, Tuning, mac};

const MIB: usize = 1 << 20;
const LOCAL_PORT: u16 = 5000;

type Alone = Shard<FaultPort<MemoryPort, ManualClock>, ManualClock>;

struct Loop {
    clock: ManualClock,
    shard: Alone,
    turns: u64,
}

impl Loop {
    fn new(family: Family, faults: &Faults, seed: u64) -> Self {
        let clock = ManualClock::default();
        let port = FaultPort::new(
            MemoryPort::looped(4096),
            clock.clone(),
            faults.clone(),
            seed,
        );
        let tuning = Tuning {
            seed,
            ..Tuning::default()
        };
        let shard = Shard::new(port, tuning.shard(family, 1), clock.clone());
        let own = family.address(1);
        let path = PathUpdate {
            remote: own,
            local: own,
            src: mac(1),
            dst: mac(1),
            vlan: None,
            mtu: 1500,
        };
        shard.mailbox().send(Command::Path(path)).unwrap();
        Self {
            clock,
            shard,
            turns: 0,
        }
    }

    /// Turns until nothing is due any more.
    fn run(&mut self) {
        loop {
            while self.shard.turn() {
                self.turns += 1;
                assert!(self.turns < 1_000_000, "it spins");
            }
            self.shard.check_invariants().unwrap();
            let timers = self.shard.next_deadline();
            let next = timers.min(self.shard.port().next_due());
            if !next.is_armed() {
                break;
            }
            self.clock
                .advance_to(next.max(self.clock.peek() + Duration::from_nanos(1)));
            self.turns += 1;
            assert!(self.turns < 1_000_000, "it never rests");
        }
        let left = (self.shard.connections(), self.shard.half_open());
        assert_eq!(left, (0, 0));
        assert_eq!(self.shard.time_waits(), 0);
        assert_eq!(self.shard.blocks_in_use(), (0, 0));
        assert_eq!(self.shard.tcp_records_in_use(), (0, 0));
        assert_eq!(self.shard.port_stats().held, 0);
    }
}

fn assert_finished(app: &Shared, octets: (usize, usize)) {
    let expected = Outcome::finished(octets.0, octets.1);
    assert_eq!(App::lock(app).outcome(), &expected);
}

fn networks() -> [Faults; 2] {
    let bad = Faults {
        loss: 0.02,
        duplication: 0.02,
        corruption: 0.01,
        reordering: 0.02,
        reorder_by: Duration::from_micros(500),
        delay: Duration::from_micros(50),
    };
    [Faults::default(), bad]
}

/// What it says to itself on one connection with two ends in the same table.
fn talk_to_listener(family: Family, faults: &Faults, seed: u64) {
    let mut all = Loop::new(family, faults, seed);
    let (near, far) = App::pair(Script::sends(2 * MIB), Script::sends(MIB), seed);
    let waits = all.shard.add_service(Box::new(Talk::waits(far.clone())));
    let own = family.endpoint(1, PORT);
    all.shard.listen(own, waits);
    all.shard
        .add_service(Box::new(Talk::opens(near.clone(), own, None)));
    all.run();
    assert_finished(&near, (2 * MIB, MIB));
    assert_finished(&far, (MIB, 2 * MIB));
    assert_eq!(all.shard.tcp_counters().active_opens, 1);
    assert_eq!(all.shard.tcp_counters().passive_opens, 1);
}

#[test]
fn it_connects_to_its_own_listener() {
    for family in Family::BOTH {
        for faults in networks() {
            (1..5).for_each(|seed| talk_to_listener(family, &faults, seed));
        }
    }
}

/// One connection whose two ends are the same endpoint: its SYN meets itself.
fn talk_to_self(family: Family, faults: &Faults, seed: u64, script: Script) -> (Loop, Shared) {
    let mut all = Loop::new(family, faults, seed);
    let own = family.endpoint(1, LOCAL_PORT);
    let app = App::alone(script, seed);
    all.shard
        .add_service(Box::new(Talk::opens(app.clone(), own, Some(own))));
    all.run();
    (all, app)
}

//= rfc9293 3.5 MUST-10
#[test]
fn a_simultaneous_open_with_itself_hears_what_it_says() {
    for family in Family::BOTH {
        for faults in networks() {
            for seed in 1..5 {
                let (all, app) = talk_to_self(family, &faults, seed, Script::sends(MIB));
                assert_finished(&app, (MIB, MIB));
                assert_eq!(all.shard.tcp_counters().active_opens, 1);
                assert_eq!(all.shard.tcp_counters().passive_opens, 0);
            }
        }
    }
}

#[test]
fn a_reset_to_itself_ends_it() {
    let script = Script {
        ends: Ends::ResetsAfter(1000),
        ..Script::sends(MIB)
    };
    for family in Family::BOTH {
        let (all, app) = talk_to_self(family, &Faults::default(), 1, script.clone());
        assert_eq!(App::lock(&app).outcome().closed, Some(CloseReason::Aborted));
        // The reset finds nobody, and no reset answers it.
        assert_eq!(all.shard.connections(), 0);
    }
}

/// The connection comes before the listener, as long as it is there.
#[test]
fn a_listener_at_the_same_endpoint_does_not_get_its_own_syn() {
    for family in Family::BOTH {
        let mut all = Loop::new(family, &Faults::default(), 1);
        let own = family.endpoint(1, LOCAL_PORT);
        let (app, nobody) = (
            App::alone(Script::sends(10), 1),
            App::alone(Script::sends(0), 1),
        );
        let waits = all.shard.add_service(Box::new(Talk::waits(nobody.clone())));
        all.shard.listen(own, waits);
        all.shard
            .add_service(Box::new(Talk::opens(app.clone(), own, Some(own))));
        all.run();
        assert_finished(&app, (10, 10));
        assert_eq!(App::lock(&nobody).outcome(), &Outcome::default());
    }
}

#[test]
fn a_port_that_nobody_listens_at_refuses() {
    for family in Family::BOTH {
        let mut all = Loop::new(family, &Faults::default(), 1);
        let app = App::alone(Script::sends(10), 1);
        let remote = family.endpoint(1, PORT);
        all.shard
            .add_service(Box::new(Talk::opens(app.clone(), remote, None)));
        all.run();
        assert_eq!(App::lock(&app).outcome().closed, Some(CloseReason::Refused));
    }
}
