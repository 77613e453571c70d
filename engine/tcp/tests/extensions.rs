//! ECN, keep-alive, user timeout, Nagle and cork: what a connection may be asked to do.

mod common;

use byway_tcp::effects::CloseReason;
use byway_tcp::time::Duration;
use byway_tcp::{Config, Ecn, KeepAlive};
use byway_wire::tcp::Flags;
use common::{Fate, Pair, bytes};

fn ecn(ecn: Ecn) -> Config {
    Config {
        ecn,
        ..Config::default()
    }
}

//= rfc9293 3.8.2 SHLD-8
//= rfc3168 6.1.1 S6.1.1-1 S6.1.1-2
//= rfc3168 6.1.4 S6.1.4-1
#[test]
fn ecn_is_agreed_on_only_when_both_want_it() {
    for (a, b, agreed) in [
        (Ecn::On, Ecn::WhenAsked, true),
        (Ecn::On, Ecn::On, true),
        (Ecn::On, Ecn::Off, false),
        (Ecn::WhenAsked, Ecn::On, false),
    ] {
        let mut pair = Pair::with(ecn(a), ecn(b));
        pair.a.connect(pair.now);
        pair.settle();
        pair.log.clear();
        pair.a.send(&bytes(3000));
        pair.settle();
        let data = pair.log.iter().filter(|(_, p)| p.seg.payload_len > 0);
        assert!(data.clone().count() > 0);
        assert!(
            data.clone().all(|(_, p)| p.ecn_capable == agreed),
            "{a:?} {b:?}"
        );
        let acks = pair.log.iter().filter(|(_, p)| p.seg.payload_len == 0);
        assert!(
            acks.clone().all(|(_, p)| !p.ecn_capable),
            "pure ACKs are not"
        );
    }
}

//= rfc9293 3.8.2 SHLD-8
//= rfc3168 6.1.2 S6.1.2-1 S6.1.2-2 S6.1.2-3
//= rfc3168 6.1.3 S6.1.3-1
//= rfc3168 6.1.1 S6.1.1-5
#[test]
fn a_mark_is_echoed_until_the_sender_has_reduced_once() {
    let mut pair = Pair::established(ecn(Ecn::On));
    let data = bytes(600_000);
    let (mut sent, mut n) = (0, 0);
    while pair.b.got.len() < data.len() {
        sent += pair.a.send(&data[sent..]);
        pair.step(|to_b, p| {
            n += u32::from(to_b && p.seg.payload_len > 0);
            if to_b && (100..105).contains(&n) {
                Fate::Mark
            } else {
                Fate::Deliver
            }
        });
    }
    let echoes = pair
        .sent(false)
        .iter()
        .filter(|s| s.flags.contains(Flags::ECE))
        .count();
    let reduced = pair
        .sent(true)
        .iter()
        .filter(|s| s.flags.contains(Flags::CWR))
        .count();
    assert!(echoes > 1, "the echo goes on until the CWR arrives");
    assert_eq!(reduced, 1);
    let counters = &pair.a.tcp.counters;
    assert_eq!((counters.ecn_reductions, counters.retrans_segs), (1, 0));
    assert!(!pair.sent(false).last().unwrap().flags.contains(Flags::ECE));
}

//= rfc3168 6.1.1.1 S6.1.1.1-1
#[test]
fn an_ecn_syn_that_is_lost_is_repeated_without_asking() {
    let mut pair = Pair::new(ecn(Ecn::On));
    pair.a.connect(pair.now);
    let mut first = true;
    pair.run_for_with(Duration::from_secs(3), |_, _| {
        if std::mem::take(&mut first) {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    let syns: Vec<_> = pair
        .sent(true)
        .into_iter()
        .filter(|s| s.flags.contains(Flags::SYN))
        .collect();
    assert!(syns[0].flags.contains(Flags::ECE | Flags::CWR));
    assert_eq!(syns[1].flags, Flags::SYN);
}

//= rfc9293 3.8.4 MUST-24 MUST-25 MUST-26 MUST-27 MUST-29 SHLD-12 MAY-5
#[test]
fn keep_alive_finds_out_about_a_dead_peer_and_leaves_a_living_one_alone() {
    let keep_alive = KeepAlive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        probes: 3,
    };
    let config = Config {
        keep_alive,
        ..Config::default()
    };
    let mut pair = Pair::established(config);
    pair.run_for(Duration::from_secs(1000));
    assert_eq!(pair.a.tcp.counters.keep_alives, 0, "off by default");
    let now = pair.now;
    pair.a
        .with_conn(|conn, tcp| conn.set_keep_alive(true, now, tcp));
    pair.log.clear();
    // Every third probe is lost: one that is not answered is nothing yet.
    let mut n = 0;
    pair.run_for_with(Duration::from_secs(600), |to_b, _| {
        n += u32::from(to_b);
        if to_b && n % 3 == 0 {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    assert_eq!(pair.a.closed, None);
    let probes = pair.a.tcp.counters.keep_alives;
    assert!((8..=13).contains(&probes), "about one a minute: {probes}");
    assert!(pair.sent(true).iter().all(|seg| seg.payload_len == 0));
    let now = pair.now;
    pair.a
        .with_conn(|conn, tcp| conn.set_keep_alive(false, now, tcp));
    pair.run_for(Duration::from_secs(1000));
    assert_eq!(pair.a.tcp.counters.keep_alives, probes, "off again");
    let now = pair.now;
    pair.a
        .with_conn(|conn, tcp| conn.set_keep_alive(true, now, tcp));
    pair.run_for_with(Duration::from_secs(100), |_, _| Fate::Drop);
    assert_eq!(pair.a.closed, Some(CloseReason::TimedOut));
    assert_eq!(pair.a.tcp.counters.keep_alives - probes, 3);
}

//= rfc9293 3.8.3 MUST-21
#[test]
fn a_user_timeout_ends_what_retries_would_go_on_with() {
    let config = Config {
        user_timeout: Some(Duration::from_secs(5)),
        ..Config::default()
    };
    let mut pair = Pair::established(config);
    pair.a.send(b"anyone?");
    pair.run_for_with(Duration::from_secs(4), |_, _| Fate::Drop);
    assert_eq!(pair.a.closed, None);
    pair.run_for_with(Duration::from_secs(9), |_, _| Fate::Drop);
    assert_eq!(pair.a.closed, Some(CloseReason::TimedOut));
}

#[test]
fn a_corked_connection_sends_full_segments_only() {
    let mut pair = Pair::established(Config::default());
    pair.a.conn().set_cork(true);
    for _ in 0..20 {
        pair.a.send(&bytes(100));
        pair.flush();
    }
    let sizes: Vec<_> = pair.sent(true).iter().map(|s| s.payload_len).collect();
    assert_eq!(sizes, [1448]);
    pair.a.conn().set_cork(false);
    pair.flush();
    assert_eq!(pair.sent(true).last().unwrap().payload_len, 2000 - 1448);
}

//= rfc9293 3.7.4 MUST-17
#[test]
fn nagle_is_chosen_per_connection() {
    let mut pair = Pair::established(Config::default());
    pair.a.conn().set_nagle(true);
    for _ in 0..10 {
        pair.a.send(b"tiny");
        pair.flush();
    }
    assert_eq!(pair.sent(true).len(), 1);
}

//= rfc9293 3.7.2
//= rfc9293 3.9.2.2 MUST-54
//= rfc1191 3 S3-1 S3-3
//= rfc1191 6.4 S6.4-1
#[test]
fn a_narrower_path_is_believed_when_it_quotes_what_is_in_flight() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(&bytes(20_000));
    pair.flush();
    let seq = pair.sent(true)[0].seq;
    let cwnd = pair.a.info().cwnd;
    // Nothing gets through that is larger than 1,000 octets of IP packet.
    let narrow = |to_b: bool, p: &common::Packet| {
        if to_b && p.seg.payload_len + 52 > 1000 {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    };
    let conn = pair.a.conn.as_mut().unwrap();
    conn.on_too_big(1000, seq - 1, &mut pair.a.tcp);
    assert_eq!(pair.a.info().mss, 1448, "not ours");
    let conn = pair.a.conn.as_mut().unwrap();
    conn.on_too_big(1000, seq, &mut pair.a.tcp);
    assert_eq!(pair.a.info().mss, 1000 - 52);
    let start = pair.now;
    pair.run_for_with(Duration::from_secs(1), narrow);
    assert!(pair.b.got == bytes(20_000));
    assert!(pair.now.since(start) <= Duration::from_secs(1));
    assert_eq!(pair.a.tcp.counters.timeouts, 0);
    assert!(pair.a.info().cwnd >= cwnd, "no congestion");
    let conn = pair.a.conn.as_mut().unwrap();
    conn.on_too_big(68, seq, &mut pair.a.tcp);
    assert_eq!(pair.a.info().mss, 948, "nothing is in flight to quote");
}
