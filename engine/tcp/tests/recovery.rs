//! Loss recovery: what is sent again, when, and what is taken back when it was for nothing.

mod common;

use byway_tcp::time::Duration;
use byway_tcp::{Config, CongestionAlgorithm, Ecn};
use byway_wire::tcp::Flags;
use common::{Fate, Packet, Pair, Rng, bytes};

/// Runs until b has everything; `tamper` sees every packet.
fn transfer(pair: &mut Pair, data: &[u8], mut tamper: impl FnMut(bool, &Packet) -> Fate) {
    let mut sent = 0;
    for _ in 0..400_000 {
        if sent < data.len() {
            sent += pair.a.send(&data[sent..]);
        }
        if pair.b.got.len() == data.len() {
            return assert!(pair.b.got == data, "the bytes that arrived are those sent");
        }
        assert!(
            pair.step(&mut tamper),
            "stuck at {} of {}",
            pair.b.got.len(),
            data.len()
        );
    }
    panic!("livelock at {} of {}", pair.b.got.len(), data.len());
}

fn is_data(to_b: bool, packet: &Packet) -> bool {
    to_b && packet.seg.payload_len > 0
}

//= rfc8985 7.2 S7.2-1 S7.2-2
//= rfc8985 7.3 S7.3-1
#[test]
fn a_lost_tail_is_repaired_in_about_two_round_trips() {
    let mut pair = Pair::established(Config::default());
    transfer(&mut pair, &bytes(50_000), |_, _| Fate::Deliver);
    pair.settle();
    pair.a.send(&bytes(6 * 1448));
    let mut n = 0;
    let lose_last_two = |to_b: bool, p: &Packet| {
        n += u32::from(is_data(to_b, p));
        if is_data(to_b, p) && (n == 5 || n == 6) {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    };
    pair.run_for_with(Duration::from_millis(100), lose_last_two);
    assert_eq!(
        pair.b.got.len(),
        50_000 + 6 * 1448,
        "repaired within 4.5 RTT of 20 ms"
    );
    let counters = &pair.a.tcp.counters;
    assert_eq!((counters.loss_probes, counters.timeouts), (1, 0));
}

//= rfc8985 7.4.2 S7.4.2-1
//= rfc3168 6.1.2 S6.1.2-3
#[test]
fn a_probe_that_repairs_the_only_loss_still_reduces_the_window() {
    let mut pair = Pair::established(Config {
        ecn: Ecn::On,
        ..Config::default()
    });
    transfer(&mut pair, &bytes(50_000), |_, _| Fate::Deliver);
    pair.settle();
    let before = pair.a.info().cwnd;
    pair.a.send(&bytes(5 * 1448));
    let mut n = 0;
    pair.run_for_with(Duration::from_millis(500), |to_b, p| {
        n += u32::from(is_data(to_b, p));
        if is_data(to_b, p) && n == 5 {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    assert_eq!(pair.a.tcp.counters.loss_probes, 1);
    assert!(
        pair.a.info().cwnd < before,
        "{} < {before}",
        pair.a.info().cwnd
    );
    pair.a.send(b"more");
    let more = pair.a.poll(pair.now);
    assert!(more[0].seg.flags.contains(Flags::CWR), "and says so");
}

//= rfc6298 5 S5-1
#[test]
fn nothing_is_sent_twice_on_a_path_without_loss_or_reordering() {
    for seed in 1..20 {
        let mut rng = Rng(seed);
        let mut pair = Pair::new(Config::default());
        pair.delay = Duration::from_millis(1 + rng.below(200));
        pair.a.connect(pair.now);
        pair.run_for(Duration::from_secs(1));
        for _ in 0..20 {
            let len = 1 + rng.below(60_000) as usize;
            pair.b.got.clear();
            transfer(&mut pair, &bytes(len), |_, _| Fate::Deliver);
            pair.run_for(Duration::from_millis(rng.below(3_000)));
        }
        let counters = &pair.a.tcp.counters;
        assert_eq!(counters.retrans_segs, 0, "seed {seed}: {counters:?}");
    }
}

//= rfc8985 3.3.2 S3.3.2-2
//= rfc8985 6.2 S6.2-3 S6.2-4
#[test]
fn reordering_within_a_quarter_of_the_rtt_is_no_loss_once_it_was_seen() {
    let mut pair = Pair::established(Config::default());
    let mut rng = Rng(3);
    let late = Duration::from_millis(4);
    transfer(&mut pair, &bytes(2_000_000), |to_b, p| {
        if is_data(to_b, p) && rng.below(50) == 0 {
            Fate::Delay(late)
        } else {
            Fate::Deliver
        }
    });
    let counters = &pair.a.tcp.counters;
    assert!(counters.retrans_segs <= 3, "{counters:?}");
    assert_eq!(counters.timeouts, 0);
}

//= rfc2883 5 S5-1
//= rfc9438 4.9 S4.9-1
#[test]
fn a_spurious_recovery_is_taken_back() {
    for timestamps in [true, false] {
        let mut pair = Pair::established(Config {
            timestamps,
            ..Config::default()
        });
        let mut n = 0;
        transfer(&mut pair, &bytes(400_000), |to_b, p| {
            n += u32::from(is_data(to_b, p));
            // One segment arrives far too late: it looks lost.
            let late = is_data(to_b, p) && n == 60;
            if late {
                Fate::Delay(Duration::from_millis(15))
            } else {
                Fate::Deliver
            }
        });
        pair.settle();
        let info = pair.a.info();
        assert!(pair.a.tcp.counters.fast_retrans >= 1);
        assert_eq!(
            info.ssthresh,
            u32::MAX,
            "timestamps {timestamps}: back as before"
        );
    }
}

//= rfc5682 2.1 S2.1-1 S2.1-4
//= rfc9438 4.9 S4.9-1
#[test]
fn a_spurious_timeout_is_taken_back() {
    for timestamps in [true, false] {
        let config = Config {
            timestamps,
            ..Config::default()
        };
        let mut pair = Pair::established(config);
        transfer(&mut pair, &bytes(200_000), |_, _| Fate::Deliver);
        pair.settle();
        let before = pair.a.info().cwnd;
        // The whole path stalls for longer than the timeout, and loses nothing.
        let resume = pair.now + Duration::from_millis(700);
        pair.b.got.clear();
        let mut now = pair.now;
        let data = bytes(100_000);
        let mut sent = 0;
        while pair.b.got.len() < data.len() {
            sent += pair.a.send(&data[sent..]);
            let at = now;
            pair.step(|_, _| {
                if at < resume {
                    Fate::Delay(resume.since(at))
                } else {
                    Fate::Deliver
                }
            });
            now = pair.now;
        }
        pair.settle();
        assert!(pair.a.tcp.counters.timeouts >= 1);
        assert!(
            pair.a.info().cwnd >= before / 2,
            "timestamps {timestamps}: {:?}",
            pair.a.info()
        );
        assert!(
            pair.a.tcp.counters.retrans_segs < 15,
            "not the whole window again"
        );
    }
}

//= rfc6675 5 S5-1 S5-2 S5-3
//= rfc2018 5 S5-2
//= rfc5681 4.3 S4.3-1 S4.3-2
//= rfc6928 12 S12-2
#[test]
fn many_losses_in_one_window_are_repaired_in_one_recovery() {
    let mut pair = Pair::established(Config::default());
    let mut n = 0;
    transfer(&mut pair, &bytes(1_000_000), |to_b, p| {
        n += u32::from(is_data(to_b, p));
        let lost = is_data(to_b, p) && (100..160).contains(&n) && n % 3 == 0;
        if lost { Fate::Drop } else { Fate::Deliver }
    });
    let counters = &pair.a.tcp.counters;
    assert_eq!((counters.fast_retrans, counters.timeouts), (1, 0));
    assert_eq!(counters.retrans_segs, 20);
}

//= rfc8985 6.2 S6.2-4
#[test]
fn a_lost_retransmission_is_noticed_without_a_timeout() {
    let mut pair = Pair::established(Config::default());
    let mut seen = std::collections::HashMap::new();
    let mut n = 0;
    transfer(&mut pair, &bytes(1_000_000), |to_b, p| {
        if !is_data(to_b, p) {
            return Fate::Deliver;
        }
        n += 1;
        let times = seen.entry(p.seg.seq.get()).or_insert(0);
        *times += 1;
        let victim = n == 80 || *times == 2;
        if victim && *times <= 2 {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    let counters = &pair.a.tcp.counters;
    assert_eq!((counters.timeouts, counters.retrans_segs), (0, 2));
}

//= rfc2018 8 S8-1
#[test]
fn a_peer_that_takes_its_reports_back_is_survived() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(&bytes(20 * 1448));
    let mut n = 0;
    // The first segment is lost for long, and nothing that b holds counts: its ACKs come through
    // with SACK at first, then b is told everything again.
    pair.run_for_with(Duration::from_millis(60), |to_b, p| {
        n += u32::from(is_data(to_b, p));
        if is_data(to_b, p) && p.seg.payload_len > 0 && n == 1 {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    pair.run_for(Duration::from_secs(5));
    assert!(pair.b.got == bytes(20 * 1448));
}

#[test]
fn every_combination_recovers_under_heavy_loss() {
    for seed in 1..=30u64 {
        let congestion =
            [CongestionAlgorithm::Cubic, CongestionAlgorithm::Reno][(seed % 2) as usize];
        let config = Config {
            congestion,
            sack: seed % 3 != 0,
            timestamps: seed % 4 != 0,
            ..Config::default()
        };
        let mut pair = Pair::established(config);
        let mut rng = Rng(seed << 20 | 1);
        transfer(&mut pair, &bytes(300_000), |_, _| match rng.below(100) {
            0..=9 => Fate::Drop,
            10..=12 => Fate::Duplicate,
            13..=20 => Fate::Delay(Duration::from_millis(rng.below(40))),
            _ => Fate::Deliver,
        });
    }
}
