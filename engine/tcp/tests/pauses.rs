//! Nothing in flight while more waits to be sent: what that pause must not do.

mod common;
use byway_tcp::time::Duration;
use byway_tcp::{Config, CongestionAlgorithm};
use common::{Fate, Pair};

/// ssthresh after one loss, Reno chosen before the first octet or while nothing is in flight and more waits.
fn threshold(early: bool) -> u32 {
    let mut pair = Pair::new(Config {
        rcv_buf: 60_000,
        congestion: CongestionAlgorithm::Cubic,
        ..Config::default()
    });
    pair.a.connect(pair.now);
    pair.settle();
    if early {
        pair.a.conn().set_congestion(CongestionAlgorithm::Reno);
    }
    pair.b.reading = false;
    pair.a.send(&common::bytes(200_000));
    pair.run_for(Duration::from_secs(3));
    let info = pair.a.info();
    assert!(info.in_flight == 0 && info.unsent > 0, "{info:?}");
    pair.a.conn().set_congestion(CongestionAlgorithm::Reno);
    pair.b.reading = true;
    pair.b.read(usize::MAX);
    let mut dropped = false;
    pair.run_for_with(Duration::from_secs(3), |to_b, p| {
        if to_b && !p.data.is_empty() && !dropped {
            dropped = true;
            return Fate::Drop;
        }
        Fate::Deliver
    });
    assert!(dropped);
    pair.a.info().ssthresh
}

#[test]
fn an_algorithm_takes_effect_when_nothing_is_in_flight() {
    assert_eq!(threshold(true), threshold(false));
}

#[test]
fn a_closed_window_does_not_count_against_the_delivery_rate() {
    let mut pair = Pair::established(Config {
        rcv_buf: 60_000,
        ..Config::default()
    });
    pair.b.reading = true;
    pair.a.send(&common::bytes(100_000));
    pair.run_for(Duration::from_secs(1));
    let before = pair.a.info().delivery_rate;
    pair.b.reading = false;
    pair.a.send(&common::bytes(100_000));
    pair.run_for(Duration::from_secs(30));
    assert!(pair.a.info().in_flight == 0 && pair.a.info().unsent > 0);
    let closed = pair.a.info().delivery_rate;
    pair.b.reading = true;
    pair.b.read(usize::MAX);
    let mut least = u64::MAX;
    for _ in 0..200 {
        pair.step(|_, _| Fate::Deliver);
        least = least.min(pair.a.info().delivery_rate);
    }
    assert!(
        least > closed / 10,
        "before {before}, closed {closed}, least {least}"
    );
}

#[test]
fn a_buffer_that_begins_with_nothing_still_takes_data() {
    let mut pair = Pair::established(Config {
        rcv_buf: 20_000,
        rcv_buf_initial: 0,
        ..Config::default()
    });
    pair.a.send(b"0123456789");
    pair.run_for(Duration::from_secs(60));
    assert!(
        pair.b.got.starts_with(b"0"),
        "{:?} {:?}",
        pair.b.got.len(),
        pair.b.info()
    );
}
