//! Moving data: acknowledgment, loss, windows.

mod common;

use byway_tcp::Config;
use byway_tcp::time::Duration;
use byway_wire::tcp::Flags;
use common::{Fate, Pair, Rng, bytes};

/// Sends `data` from a to b as the buffer takes it, under a tampering network.
fn transfer(pair: &mut Pair, data: &[u8], mut tamper: impl FnMut(bool, &common::Packet) -> Fate) {
    let mut sent = 0;
    for _ in 0..400_000 {
        if pair.a.conn.is_some() && sent < data.len() {
            sent += pair.a.send(&data[sent..]);
        }
        if pair.b.got.len() == data.len() {
            return;
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

//= rfc6298 5 S5-1
#[test]
fn bulk_without_loss_never_sends_twice() {
    let mut pair = Pair::established(Config::default());
    let data = bytes(3_000_000);
    transfer(&mut pair, &data, |_, _| Fate::Deliver);
    assert!(pair.b.got == data);
    assert_eq!(pair.a.tcp.counters.retrans_segs, 0);
    assert_eq!(pair.a.tcp.counters.timeouts, 0);
}

//= rfc5681 3.2 S3.2-3
#[test]
fn one_loss_is_repaired_by_fast_retransmit() {
    let mut pair = Pair::established(Config::default());
    let data = bytes(1_000_000);
    let mut n = 0;
    transfer(&mut pair, &data, |to_b, p| {
        n += u32::from(to_b && p.seg.payload_len > 0);
        if n == 40 && to_b {
            n += 1;
            return Fate::Drop;
        }
        Fate::Deliver
    });
    assert!(pair.b.got == data);
    let counters = &pair.a.tcp.counters;
    assert_eq!(
        (
            counters.fast_retrans,
            counters.timeouts,
            counters.retrans_segs
        ),
        (1, 0, 1)
    );
}

//= rfc6582 3.2 S3.2-4
//= rfc5681 4.3 S4.3-1
#[test]
fn several_losses_in_one_window_are_repaired_without_a_timeout() {
    let mut pair = Pair::established(Config::default());
    let data = bytes(1_000_000);
    let mut n = 0;
    transfer(&mut pair, &data, |to_b, p| {
        if to_b && p.seg.payload_len > 0 {
            n += 1;
            if [60, 64, 70].contains(&n) {
                return Fate::Drop;
            }
        }
        Fate::Deliver
    });
    assert!(pair.b.got == data);
    let counters = &pair.a.tcp.counters;
    assert_eq!((counters.timeouts, counters.retrans_segs), (0, 3));
}

//= rfc9293 3.8.2 MUST-19
//= rfc6298 5 S5-5 S5-6 S5-7
//= rfc8985 7.2 S7.2-2
//= rfc8985 7.3 S7.3-3
#[test]
fn the_last_segment_lost_needs_the_timer_and_it_backs_off() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(b"tail");
    let mut times = vec![];
    // The tail probe goes first; the timeouts after it double.
    for _ in 0..5 {
        pair.flush();
        let at = pair.a.deadline();
        times.push(at.since(pair.now).as_millis());
        pair.run_for_with(at.since(pair.now), |_, _| Fate::Drop);
    }
    assert!(
        times[1..].windows(2).all(|w| w[1] >= w[0] * 19 / 10),
        "doubling: {times:?}"
    );
    pair.run_for(Duration::from_secs(10));
    assert_eq!(pair.b.got, b"tail");
}

//= rfc9293 3.8.3 MUST-20
#[test]
fn a_dead_peer_is_given_up() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(b"anyone?");
    pair.run_for_with(Duration::from_secs(1200), |_, _| Fate::Drop);
    assert_eq!(
        pair.a.closed,
        Some(byway_tcp::effects::CloseReason::TimedOut)
    );
    assert_eq!(
        pair.a.tcp.counters.retrans_segs, 16,
        "a tail probe and 15 retries"
    );
}

//= rfc9293 3.8.6.3 MUST-40 SHLD-18 SHLD-19
//= rfc5681 4.2 S4.2-1 S4.2-2 S4.2-3
#[test]
fn acks_are_delayed_but_every_second_full_segment_is_acknowledged() {
    let mut pair = Pair::established(Config {
        quick_acks: 0,
        ..Config::default()
    });
    pair.a
        .send(b"the first answer also opens the window that the SYN could not scale");
    pair.settle();
    pair.log.clear();
    pair.a.send(&bytes(100));
    pair.run_for(Duration::from_millis(30));
    assert_eq!(pair.sent(false).len(), 0, "one small segment waits");
    pair.run_for(Duration::from_millis(60));
    assert_eq!(pair.sent(false).len(), 1);
    assert_eq!(pair.b.tcp.counters.delayed_acks, 1);
    pair.log.clear();
    pair.a.send(&bytes(2 * 1448));
    pair.run_for(Duration::from_millis(25));
    assert_eq!(pair.sent(false).len(), 1, "two full segments do not");
}

#[test]
fn an_answer_carries_the_acknowledgment() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(b"ping");
    pair.flush();
    pair.step(|_, _| Fate::Deliver);
    pair.log.clear();
    pair.b.send(b"pong");
    pair.settle();
    // The ACK for the ping left with or before the pong, the one for the pong comes alone.
    assert_eq!(pair.a.got, b"pong");
    assert!(pair.sent(false).len() <= 2);
}

//= rfc9293 3.8.6.1 MUST-36
#[test]
fn a_closed_window_is_probed_until_it_opens() {
    let config = Config {
        rcv_buf: 8 * 1448,
        ..Config::default()
    };
    let mut pair = Pair::with(Config::default(), config);
    pair.a.connect(pair.now);
    pair.settle();
    pair.b.reading = false;
    let data = bytes(100_000);
    pair.a.send(&data);
    pair.run_for(Duration::from_secs(100));
    assert_eq!(
        pair.b.unread.len(),
        8 * 1448,
        "as much as the window, no more"
    );
    assert!(pair.a.tcp.counters.window_probes > 3);
    assert_eq!(
        pair.a.closed, None,
        "a peer that answers may keep its window closed"
    );
    pair.b.reading = true;
    pair.b.read(usize::MAX);
    pair.run_for(Duration::from_secs(10));
    assert!(pair.b.got == data);
}

#[test]
fn the_window_update_itself_may_be_lost() {
    let config = Config {
        rcv_buf: 8 * 1448,
        ..Config::default()
    };
    let mut pair = Pair::with(Config::default(), config);
    pair.a.connect(pair.now);
    pair.settle();
    pair.b.reading = false;
    pair.a.send(&bytes(50_000));
    pair.run_for(Duration::from_secs(2));
    pair.b.reading = true;
    pair.b.read(usize::MAX);
    let lose_from = pair.now;
    pair.run_for_with(Duration::from_millis(20), |_, _| Fate::Drop);
    assert!(pair.now > lose_from);
    pair.run_for(Duration::from_secs(70));
    assert!(pair.b.got == bytes(50_000));
}

//= rfc9293 3.8.6.2.2 MUST-39
#[test]
fn the_window_does_not_open_by_crumbs() {
    let config = Config {
        rcv_buf: 20_000,
        quick_acks: 0,
        ..Config::default()
    };
    let mut pair = Pair::with(Config::default(), config);
    pair.a.connect(pair.now);
    pair.settle();
    pair.b.reading = false;
    pair.a.send(&bytes(60_000));
    pair.run_for(Duration::from_secs(3));
    pair.log.clear();
    for _ in 0..14 {
        pair.b.read(100);
        pair.flush();
    }
    assert_eq!(
        pair.sent(false).len(),
        0,
        "1400 octets are less than a segment"
    );
    pair.b.read(100);
    pair.flush();
    assert_eq!(pair.sent(false).len(), 1);
}

//= rfc9293 3.7.4 SHLD-7
#[test]
fn nagle_holds_small_segments_back_and_only_when_asked() {
    let small_segments = |nagle| {
        let mut pair = Pair::established(Config {
            nagle,
            ..Config::default()
        });
        for _ in 0..10 {
            pair.a.send(b"tiny");
            pair.flush();
        }
        pair.sent(true).len()
    };
    assert_eq!(small_segments(true), 1);
    assert_eq!(small_segments(false), 10);
}

//= rfc9293 3.10.7.4 SHLD-31 MAY-13
//= rfc5681 3.2 S3.2-1
//= rfc2018 4 S4-1 S4-2 S4-3
#[test]
fn out_of_order_segments_are_reported_one_by_one() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(&bytes(6 * 1448));
    let mut n = 0;
    pair.run_for_with(Duration::from_millis(10), |to_b, _| {
        n += 1;
        if to_b && n == 1 {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    pair.flush();
    let acks = pair.sent(false);
    let duplicates: Vec<_> = acks.iter().filter(|s| !s.options.sack.is_empty()).collect();
    assert_eq!(duplicates.len(), 5, "an ACK for each");
    let blocks = duplicates[4].options.sack.as_slice();
    assert_eq!(blocks.len(), 1);
    assert_eq!(blocks[0].right.offset_from(blocks[0].left), 5 * 1448);
    pair.run_for(Duration::from_secs(1));
    assert!(pair.b.got == bytes(6 * 1448));
}

//= rfc7323 5.3 S5.3-1
#[test]
fn paws_refuses_what_is_older() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(b"first");
    pair.flush();
    let old = pair.log.last().unwrap().1.clone();
    pair.run_for(Duration::from_secs(2));
    pair.a.send(b"second");
    pair.settle();
    let mut stale = old.clone();
    stale.seg.seq = pair.sent(true).last().unwrap().seq + 6;
    pair.deliver(true, &stale);
    assert_eq!(pair.b.tcp.counters.paws_estab, 1);
    assert_eq!(pair.b.got, b"firstsecond");
}

#[test]
fn both_directions_under_loss_reordering_and_duplication() {
    for seed in 1..=60u64 {
        let plain = Config {
            timestamps: seed % 3 != 0,
            sack: seed % 2 == 0,
            window_scaling: seed % 5 != 0,
            rcv_buf: [8_000, 30_000, 65_535, 256 * 1024][(seed % 4) as usize],
            ..Config::default()
        };
        let mut pair = Pair::with(plain, Config::default());
        pair.a.connect(pair.now);
        let (up, down) = (bytes(120_000), bytes(77_777));
        let (mut up_sent, mut down_sent) = (0, 0);
        let mut rng = Rng(seed * 0x9e37_79b9);
        for _ in 0..400_000 {
            if pair.a.conn.is_some() {
                up_sent += pair.a.send(&up[up_sent..]);
            }
            if pair.b.conn.is_some() {
                down_sent += pair.b.send(&down[down_sent..]);
            }
            if pair.b.got.len() == up.len() && pair.a.got.len() == down.len() {
                break;
            }
            let more = pair.step(|_, _| match rng.below(100) {
                0..=3 => Fate::Drop,
                4..=6 => Fate::Duplicate,
                7..=12 => Fate::Delay(Duration::from_millis(1 + rng.below(60))),
                _ => Fate::Deliver,
            });
            assert!(more, "seed {seed}: stuck");
        }
        assert!(
            pair.b.got == up && pair.a.got == down,
            "seed {seed}: bytes differ"
        );
        pair.a.conn().shutdown();
        pair.b.conn().shutdown();
        pair.run_for(Duration::from_secs(5));
        assert!(
            pair.a.conn.is_none() && pair.b.conn.is_none(),
            "seed {seed}: still open"
        );
    }
}

/// Whatever a hostile peer sends: no panic, invariants hold, memory stays bounded.
#[test]
fn random_segments_break_nothing() {
    let mut rng = Rng(77);
    for round in 0..400 {
        let mut pair = Pair::established(Config {
            rcv_buf: 20_000,
            ..Config::default()
        });
        pair.b.reading = round % 2 == 0;
        pair.b.send(&bytes(4_000));
        pair.settle();
        let last = *pair.sent(true).last().unwrap();
        for _ in 0..60 {
            let mut packet = common::Packet {
                ecn_capable: false,
                seg: last,
                data: vec![],
            };
            let near = |rng: &mut Rng| (rng.below(60_000) as u32).wrapping_sub(20_000);
            packet.seg.seq += near(&mut rng);
            packet.seg.ack += near(&mut rng);
            packet.seg.flags = Flags::from_bits(rng.below(256) as u8 & !0x04);
            packet.seg.window.0 = rng.below(65_536) as u16;
            packet.seg.payload_len = rng.below(3_000) as u32;
            if rng.below(10) == 0 {
                packet.seg.flags |= Flags::RST;
            }
            packet.data = vec![0; packet.seg.payload_len as usize];
            pair.deliver(true, &packet);
            if rng.below(5) == 0 && pair.b.conn.is_some() {
                pair.b.conn().shutdown();
            }
            pair.b.poll(pair.now);
            pair.now += Duration::from_millis(rng.below(300));
            pair.b.on_timeout(pair.now);
            pair.b.poll(pair.now);
            assert!(pair.b.unread.len() <= 20_000);
        }
    }
}
