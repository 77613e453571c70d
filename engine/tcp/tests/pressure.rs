//! Windows while the memory of the shard is short.

mod common;

use byway_tcp::Config;
use byway_tcp::segment::Segment;
use byway_tcp::time::Duration;
use common::{MSS, Pair, bytes};

/// A window field of `b` counts so many octets: 256 KiB are announced with a shift of three.
const SCALE: u32 = 8;

fn config() -> Config {
    Config {
        rcv_buf: 256 * 1024,
        timestamps: false,
        ..Config::default()
    }
}

/// The right edges of the windows that `b` announced, from its first acknowledgment on.
fn edges(pair: &Pair) -> Vec<u32> {
    let acks: Vec<Segment> = pair.sent(false);
    let edge = |ack: &Segment| ack.ack.offset_from(acks[0].ack) + u32::from(ack.window.0) * SCALE;
    acks.iter().map(edge).collect()
}

/// The window of the SYN-ACK is always 64 KiB; it grows as far as the memory allows.
#[test]
fn a_window_grows_to_the_bound() {
    for (bound, most) in [(0, 65_535), (50_000, 65_535), (150_000, 150_000)] {
        let mut pair = Pair::new(config());
        pair.b.tcp.bound_windows(bound);
        pair.b.reading = false;
        pair.a.connect(pair.now);
        pair.settle();
        pair.log.clear();
        pair.a.send(&bytes(200_000));
        pair.run_for(Duration::from_secs(2));
        let unread = pair.b.info().unread;
        assert!(
            (most - 2 * u32::from(MSS)..=most).contains(&unread),
            "{unread} of {most}"
        );
    }
}

/// What was announced before the memory was short is good; nothing is added to it, but for the
/// rounding of the field. When there is memory again and the application reads, everything arrives.
//= rfc9293 3.8.6 SHLD-14
#[test]
fn a_bound_stops_growth_and_takes_nothing_back() {
    for bound in [0, 50_000] {
        let mut pair = Pair::established(config());
        pair.log.clear();
        pair.b.reading = false;
        pair.a.send(&bytes(30_000));
        pair.settle();
        pair.b.tcp.bound_windows(bound);
        pair.b.read(20_000);
        pair.a.send(&bytes(256_000));
        pair.run_for(Duration::from_secs(2));
        let edges = edges(&pair);
        let announced = edges[0];
        let kept = announced - (SCALE - 1)..=announced;
        assert!(edges.iter().all(|edge| kept.contains(edge)), "{edges:?}");
        pair.b.tcp.bound_windows(u32::MAX);
        pair.b.reading = true;
        pair.b.read(1 << 20);
        pair.run_for(Duration::from_secs(200));
        assert_eq!(pair.b.got.len(), 286_000);
    }
}

/// However short the memory, one that keeps up may receive two segments at a time, without a probe
/// or a timeout.
#[test]
fn an_application_that_keeps_up_is_never_shut_out() {
    let mut pair = Pair::established(config());
    pair.b.tcp.bound_windows(0);
    for _ in 0..10 {
        pair.a.send(&bytes(100_000));
        pair.run_for(Duration::from_secs(1));
    }
    assert_eq!(pair.b.got.len(), 1_000_000);
    assert_eq!(pair.a.tcp.counters.window_probes, 0);
    assert_eq!(pair.a.tcp.counters.timeouts, 0);
    let last = pair.sent(false).pop().expect("an acknowledgment");
    let window = u32::from(last.window.0) * SCALE;
    assert!(window <= 2 * u32::from(MSS), "{window}");
}
