//! 10 MiB through an echo and back over a bad network, for twenty seeds and both families.
//!
//! `BYWAY_SEED=n` runs one seed only, which is how a failure is replayed.
#![allow(missing_docs)]

use byway_stack::fault::Faults;
use byway_test_lossy::{Family, World, bad_network};

const LEN: usize = 10 << 20;
const MTU: usize = 1500;
const SEEDS: std::ops::Range<u64> = 0..20;

fn seeds() -> Vec<u64> {
    match std::env::var("BYWAY_SEED") {
        Ok(seed) => vec![seed.parse().expect("BYWAY_SEED is a number")],
        Err(_) => SEEDS.collect(),
    }
}

fn echo(family: Family, seed: u64) {
    let mut world = World::new(family, &bad_network(), LEN, seed);
    let outcome = world.run();
    if let Err(wrong) = outcome {
        println!("seed={seed}");
        panic!("{family:?} seed={seed}: {wrong}");
    }
    assert_eq!(world.progress().returned, LEN);
    let counts = [world.client.port().counts(), world.server.port().counts()];
    for count in counts {
        assert!(count.lost > 0 && count.corrupted > 0, "{count:?}");
        assert!(count.duplicated > 0 && count.reordered > 0, "{count:?}");
        assert!(count.largest <= MTU + 14, "beyond the MTU: {count:?}");
    }
}

#[test]
fn ten_mebibytes_come_back_over_ipv4() {
    seeds().into_iter().for_each(|seed| echo(Family::V4, seed));
}

#[test]
fn ten_mebibytes_come_back_over_ipv6() {
    seeds().into_iter().for_each(|seed| echo(Family::V6, seed));
}

/// Far worse than any network that is used: what matters is that it ends, and ends right.
#[test]
fn a_dreadful_network_is_slow_and_not_wrong() {
    let faults = Faults {
        loss: 0.15,
        duplication: 0.1,
        corruption: 0.1,
        reordering: 0.2,
        ..bad_network()
    };
    for seed in seeds() {
        let mut world = World::new(Family::V4, &faults, 200_000, seed);
        if let Err(wrong) = world.run() {
            println!("seed={seed}");
            panic!("seed={seed}: {wrong}");
        }
    }
}

#[test]
fn without_faults_nothing_is_sent_twice() {
    let mut world = World::new(Family::V4, &Faults::default(), LEN, 1);
    world.run().unwrap();
    assert_eq!(world.client.tcp_counters().retrans_segs, 0);
    assert_eq!(world.server.tcp_counters().retrans_segs, 0);
}
