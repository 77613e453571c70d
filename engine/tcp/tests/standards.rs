//! What the standards of loss recovery, of congestion control, of ECN and of path MTU discovery
//! ask for where it takes hand-made segments to see it, one behaviour each.

mod common;

use byway_tcp::segment::Segment;
use byway_tcp::time::{Duration, Instant};
use byway_tcp::{Config, CongestionAlgorithm, Ecn, State};
use byway_wire::tcp::{Flags, Options, SackBlock, WireWindow};
use byway_wire::{Address, Endpoint, FlowKey, SeqNumber};
use common::{End, Fate, MSS, Packet, Pair, bytes, classic, connecting, flow, reversed};
use common::{from_a, from_b, with_data};

const ROUND_TRIP: Duration = Duration::from_millis(20);

/// Segments of `size` octets of `a` on their way for one round trip, and a bare ACK of `b` that has
/// received nothing of it.
fn in_flight(config: Config, segments: usize, size: usize) -> (Pair, Packet) {
    let mut pair = Pair::established(config);
    let mut sent = 0;
    for _ in 0..segments {
        pair.a.send(&bytes(size));
        sent += pair.a.poll(pair.now).len();
    }
    assert_eq!(sent, segments);
    pair.now += ROUND_TRIP;
    let ack = from_b(&mut pair);
    (pair, ack)
}

fn reno() -> Config {
    Config {
        congestion: CongestionAlgorithm::Reno,
        ..Config::default()
    }
}

fn full(pair: &Pair) -> usize {
    usize::from(pair.a.info().mss)
}

/// `ack`, advanced by `covers` octets, with a report of these stretches after the first `ack`.
fn reporting(ack: &Packet, covers: usize, held: &[(usize, usize)]) -> Packet {
    let mut packet = ack.clone();
    packet.seg.ack += covers as u32;
    for (left, right) in held {
        packet.seg.options.sack.push(SackBlock {
            left: ack.seg.ack + *left as u32,
            right: ack.seg.ack + *right as u32,
        });
    }
    packet
}

fn hear(pair: &mut Pair, packet: &Packet) -> Vec<Packet> {
    pair.a.input(packet, pair.now);
    pair.a.poll(pair.now)
}

/// What is still reported as missing when the timer of `a` fires.
fn fire(pair: &mut Pair) -> Vec<Packet> {
    pair.now = pair.a.deadline();
    pair.a.on_timeout(pair.now);
    pair.a.poll(pair.now)
}

//= rfc8985 6.2 S6.2-3
//= rfc8985 3.3.2 S3.3.2-1
#[test]
fn holes_between_the_blocks_of_one_ack_are_no_reordering() {
    let (mut pair, ack) = in_flight(Config::default(), 10, 1448);
    let mss = full(&pair);
    let block = |n: usize| (n * mss, (n + 1) * mss);
    // Two arrived, and the newer one leads the option.
    assert_eq!(
        hear(&mut pair, &reporting(&ack, 0, &[block(5), block(2)])).len(),
        0
    );
    let third = reporting(&ack, 0, &[block(7), block(5), block(2)]);
    assert!(!hear(&mut pair, &third).is_empty());
    assert_eq!(
        pair.a.tcp.counters.fast_retrans, 1,
        "no time for reordering"
    );
}

//= rfc8985 3.3.2 S3.3.2-1
#[test]
fn three_small_segments_are_three_segments() {
    let (mut pair, ack) = in_flight(Config::default(), 4, 100);
    let sent = hear(&mut pair, &reporting(&ack, 0, &[(100, 400)]));
    assert_eq!((sent.len(), sent[0].seg.seq), (1, ack.seg.ack));
    assert_eq!(pair.a.tcp.counters.fast_retrans, 1);
}

//= rfc8985 3.3.2 S3.3.2-2 S3.3.2-3
//= rfc8985 6.2 S6.2-4
//= rfc8985 4 S4-2
//= rfc2883 5 S5-1
#[test]
fn the_allowance_for_reordering_grows_once_a_round_trip() {
    for (duplicates, quarters) in [(0, 1), (1, 2), (2, 2)] {
        let mut pair = Pair::established(Config::default());
        pair.a.send(&bytes(5000));
        pair.settle();
        pair.a.send(&bytes(10 * 1448));
        assert_eq!(pair.a.poll(pair.now).len(), 10);
        pair.now += ROUND_TRIP;
        let ack = from_b(&mut pair);
        for _ in 0..duplicates {
            let mut again = ack.clone();
            again.seg.options.sack.push(SackBlock {
                left: ack.seg.ack - 1448,
                right: ack.seg.ack,
            });
            hear(&mut pair, &again);
        }
        hear(&mut pair, &reporting(&ack, 0, &[(1448, 2 * 1448)]));
        let wait = pair.a.deadline().since(pair.now);
        assert_eq!(wait, ROUND_TRIP / 4 * quarters, "{duplicates} duplicates");
        let again = fire(&mut pair);
        assert_eq!(
            (again[0].seg.seq, pair.a.tcp.counters.timeouts),
            (ack.seg.ack, 0)
        );
    }
}

//= rfc8985 6.2 S6.2-2
//= rfc8985 6.1 S6.1-1
#[test]
fn a_copy_that_may_be_the_original_does_not_hide_what_else_arrived() {
    let config = Config {
        timestamps: false,
        ..Config::default()
    };
    let (mut pair, ack) = in_flight(config, 10, 1460);
    let mss = full(&pair);
    let again = hear(&mut pair, &reporting(&ack, 0, &[(mss, 4 * mss)]));
    assert_eq!(again[0].seg.seq, ack.seg.ack);
    // The original was late: its ACK comes too soon after the copy. The fifth is still missing.
    pair.now += Duration::from_millis(1);
    let late = reporting(&ack, 4 * mss, &[(5 * mss, 9 * mss)]);
    let sent = hear(&mut pair, &late);
    assert_eq!(sent[0].seg.seq, ack.seg.ack + 4 * mss as u32);
}

//= rfc8985 7.4.2 S7.4.2-2
#[test]
fn a_probe_for_a_late_ack_costs_nothing() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(&bytes(50_000));
    pair.settle();
    pair.a.send(&bytes(5 * 1448));
    let sent = pair.a.poll(pair.now);
    pair.now += Duration::from_millis(10);
    sent.iter()
        .for_each(|packet| drop(pair.b.input(packet, pair.now)));
    let acks = pair.b.poll(pair.now);
    let probe = fire(&mut pair);
    assert_eq!((probe.len(), pair.a.tcp.counters.loss_probes), (1, 1));
    for ack in acks {
        hear(&mut pair, &ack);
    }
    assert_eq!(
        pair.a.info().ssthresh,
        u32::MAX,
        "the originals are acknowledged"
    );
    pair.b.input(&probe[0], pair.now);
    for ack in pair.b.poll(pair.now) {
        hear(&mut pair, &ack);
    }
    assert_eq!(pair.a.info().ssthresh, u32::MAX);
}

//= rfc8985 7.3 S7.3-1 S7.3-2 S7.3-3
//= rfc8985 8 S8-1
#[test]
fn a_probe_is_new_data_where_there_is_some_and_the_timeout_follows_it() {
    for queued in [10, 11] {
        let mut pair = Pair::established(Config::default());
        pair.a.send(&bytes(20_000));
        pair.settle();
        let cwnd = pair.a.info().cwnd as usize / 1448;
        pair.a.send(&bytes((cwnd + queued - 10) * 1448));
        let first = pair.a.poll(pair.now);
        assert_eq!(first.len(), cwnd);
        let next = first[cwnd - 1].seg.seq + 1448;
        let probe = fire(&mut pair);
        let expected = if queued == 10 { next - 1448 } else { next };
        assert_eq!((probe.len(), probe[0].seg.seq), (1, expected));
        assert_eq!(pair.a.deadline(), pair.now + pair.a.info().rto);
        // It is recorded: the report of it alone says that all before it is lost.
        pair.now += ROUND_TRIP;
        let ack = from_b(&mut pair);
        let start = probe[0].seg.seq.offset_from(ack.seg.ack) as usize;
        let again = hear(&mut pair, &reporting(&ack, 0, &[(start, start + 1448)]));
        assert_eq!(again[0].seg.seq, ack.seg.ack);
        let counters = &pair.a.tcp.counters;
        assert_eq!((counters.fast_retrans, counters.timeouts), (1, 0));
    }
}

/// Nothing was measured since the pause: what is known of the path from before still tells that a
/// report comes too soon to be of the probe.
//= rfc8985 6.2 S6.2-2
#[test]
fn a_report_right_after_a_probe_is_of_the_original() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(&bytes(20_000));
    pair.settle();
    pair.a.send(&bytes(5 * 1448));
    assert_eq!(pair.a.poll(pair.now).len(), 5);
    assert_eq!(fire(&mut pair).len(), 1);
    pair.now += Duration::from_millis(1);
    let ack = from_b(&mut pair);
    hear(&mut pair, &reporting(&ack, 0, &[(4 * 1448, 5 * 1448)]));
    assert_eq!(pair.a.tcp.counters.fast_retrans, 0);
}

//= rfc6937 3 S3-1 S3-2 S3-3 S3-4 S3-5
//= rfc6675 5 S5-1 S5-3
//= rfc6675 4 S4-2
//= rfc5681 3.2 S3.2-11
//= rfc2018 5.1 S5.1-1
#[test]
fn the_window_shrinks_in_proportion_to_what_is_delivered() {
    let (mut pair, ack) = in_flight(reno(), 10, 1448);
    let mss = full(&pair);
    pair.a.send(&bytes(20 * mss));
    let mut sent = 0;
    for held in 1..10 {
        let out = hear(
            &mut pair,
            &reporting(&ack, 0, &[(mss, (held + 1).min(10) * mss)]),
        );
        if held == 3 {
            assert_eq!(out[0].seg.seq, ack.seg.ack, "what is lost goes first");
        }
        sent += if held > 2 { out.len() } else { 0 };
    }
    assert_eq!(pair.a.info().ssthresh as usize, 5 * mss);
    // Two were sent by limited transmit, one is the retransmission, and then one for two.
    assert!((3..=5).contains(&sent), "{sent}");
    let all = pair.a.info().in_flight as usize;
    pair.now += ROUND_TRIP;
    hear(&mut pair, &reporting(&ack, all - mss, &[]));
    assert_eq!(
        pair.a.info().cwnd as usize / mss,
        5,
        "recovery ends at ssthresh"
    );
}

//= rfc5681 4.3 S4.3-1
#[test]
fn a_loss_of_what_was_sent_in_recovery_is_another_one() {
    let (mut pair, ack) = in_flight(reno(), 10, 1448);
    let mss = full(&pair);
    pair.a.send(&bytes(20 * mss));
    for held in 2..=10 {
        hear(&mut pair, &reporting(&ack, 0, &[(mss, held * mss)]));
    }
    let first = pair.a.info().ssthresh;
    assert_eq!(
        (first as usize, pair.a.tcp.counters.fast_retrans),
        (5 * mss, 1)
    );
    assert!(pair.a.info().in_flight as usize >= 14 * mss);
    pair.now += ROUND_TRIP;
    // Two were sent by limited transmit before recovery began.
    let all = reporting(&ack, 12 * mss, &[(13 * mss, 14 * mss)]);
    let again = hear(&mut pair, &all);
    assert_eq!(again[0].seg.seq, ack.seg.ack + 12 * mss as u32);
    assert_eq!(pair.a.tcp.counters.fast_retrans, 2);
    assert!(pair.a.info().ssthresh < first);
}

//= rfc6937 3 S3-1
#[test]
fn the_proportion_is_of_what_was_in_flight_before_the_ack_that_began_it() {
    let (mut pair, ack) = in_flight(reno(), 10, 1448);
    let mss = full(&pair);
    hear(&mut pair, &reporting(&ack, 0, &[(mss, 2 * mss)]));
    hear(&mut pair, &reporting(&ack, 0, &[(mss, 4 * mss)]));
    // Six are in flight, and two of nine were delivered: two ninths of five more.
    let due = (2 * 5 * mss).div_ceil(9);
    assert_eq!(pair.a.info().cwnd as usize, 6 * mss + due);
}

//= rfc5681 3.2 S3.2-5
#[test]
fn with_sack_a_duplicate_that_says_nothing_new_lets_nothing_out() {
    let (mut pair, mut ack) = in_flight(Config::default(), 10, 1448);
    ack.seg.window = WireWindow(0x2000);
    hear(&mut pair, &ack);
    pair.a.send(&bytes(20 * 1448));
    assert_eq!(pair.a.poll(pair.now).len(), 0);
    for _ in 0..5 {
        assert_eq!(hear(&mut pair, &ack).len(), 0);
    }
    let news = reporting(&ack, 0, &[(1448, 2 * 1448)]);
    assert_eq!(hear(&mut pair, &news).len(), 1);
    assert_eq!(hear(&mut pair, &news).len(), 0);
}

//= rfc2018 5 S5-1 S5-2
//= rfc6675 5 S5-2
#[test]
fn what_is_held_is_not_sent_again() {
    let (mut pair, ack) = in_flight(Config::default(), 10, 1448);
    let mss = full(&pair);
    let held = [(7 * mss, 10 * mss), (4 * mss, 6 * mss), (mss, 2 * mss)];
    let mut again = hear(&mut pair, &reporting(&ack, 0, &held));
    for _ in 0..6 {
        pair.now += ROUND_TRIP / 8;
        again.extend(hear(&mut pair, &reporting(&ack, 0, &held)));
    }
    pair.now += ROUND_TRIP;
    again.extend(hear(&mut pair, &reporting(&ack, mss, &held)));
    again.extend(hear(&mut pair, &reporting(&ack, 2 * mss, &held)));
    let offsets: Vec<_> = again
        .iter()
        .map(|p| p.seg.seq.offset_from(ack.seg.ack) as usize / mss)
        .collect();
    assert_eq!(offsets, [0, 2, 3, 6]);
}

//= rfc2018 5 S5-3
//= rfc6675 5.1 S5.1-1 S5.1-2
#[test]
fn after_a_timeout_a_peer_that_took_its_reports_back_is_sent_everything() {
    let (mut pair, ack) = in_flight(Config::default(), 4, 1448);
    hear(&mut pair, &reporting(&ack, 0, &[(1448, 4 * 1448)]));
    // The hole is filled, and nothing more is acknowledged: what was held is gone.
    pair.now += ROUND_TRIP;
    hear(&mut pair, &reporting(&ack, 1448, &[]));
    while pair.a.tcp.counters.timeouts == 0 {
        let out = fire(&mut pair);
        if pair.a.tcp.counters.timeouts == 1 {
            assert_eq!((out.len(), out[0].seg.seq), (1, ack.seg.ack + 1448));
        }
    }
    pair.now += ROUND_TRIP;
    let ssthresh = pair.a.info().ssthresh;
    let next = hear(&mut pair, &reporting(&ack, 2 * 1448, &[]));
    assert_eq!(next[0].seg.seq, ack.seg.ack + 2 * 1448);
    // No further reduction before all of it is acknowledged.
    for n in 3..=4 {
        hear(&mut pair, &reporting(&ack, n * 1448, &[]));
    }
    assert_eq!(pair.a.info().ssthresh, ssthresh);
    assert_eq!(pair.a.info().in_flight, 0);
}

#[test]
fn a_duplicate_long_after_a_recovery_does_not_take_it_back() {
    let (mut pair, ack) = in_flight(Config::default(), 10, 1448);
    let mss = full(&pair);
    hear(&mut pair, &reporting(&ack, 0, &[(mss, 5 * mss)]));
    assert_eq!(pair.a.tcp.counters.fast_retrans, 1);
    pair.now += ROUND_TRIP;
    let mut all = reporting(&ack, 10 * mss, &[]);
    all.seg.options.timestamps.as_mut().unwrap().echo += 20;
    hear(&mut pair, &all);
    let ssthresh = pair.a.info().ssthresh;
    assert!(ssthresh < u32::MAX);
    pair.a.send(&bytes(4 * mss));
    assert_eq!(pair.a.poll(pair.now).len(), 4);
    pair.now += ROUND_TRIP;
    let mut next = reporting(&ack, 11 * mss, &[]);
    next.seg.options.timestamps.as_mut().unwrap().echo += 40;
    hear(&mut pair, &next);
    // The network duplicated a packet.
    next.seg.options.sack.push(SackBlock {
        left: next.seg.ack - mss as u32,
        right: next.seg.ack,
    });
    hear(&mut pair, &next);
    assert_eq!(pair.a.info().ssthresh, ssthresh);
}

//= rfc5682 2.1 S2.1-1 S2.1-2
#[test]
fn without_new_data_a_timeout_is_not_asked_about() {
    let config = Config {
        timestamps: false,
        ..classic()
    };
    let (mut pair, mut ack) = in_flight(config, 10, 1460);
    ack.seg.options = Options::default();
    let mss = full(&pair);
    let again = fire(&mut pair);
    assert_eq!((again.len(), again[0].seg.seq), (1, ack.seg.ack));
    let reduced = pair.a.info().ssthresh;
    // Only the first three were lost: the ACK of their copies covers the others as well.
    pair.now += ROUND_TRIP;
    let more = hear(&mut pair, &reporting(&ack, mss, &[]));
    let next = ack.seg.ack + mss as u32;
    assert_eq!((more.len(), more[0].seg.seq), (2, next));
    pair.now += ROUND_TRIP;
    hear(&mut pair, &reporting(&ack, 10 * mss, &[]));
    assert_eq!(pair.a.info().ssthresh, reduced, "they were lost");
}

//= rfc5682 2.1 S2.1-2 S2.1-3 S2.1-4
#[test]
fn two_new_segments_tell_a_spurious_timeout_from_a_loss() {
    for (spurious, fresh) in [(true, 2), (false, 2), (true, 1), (false, 1)] {
        let config = Config {
            timestamps: false,
            ..classic()
        };
        let (mut pair, mut ack) = in_flight(config, 10, 1460);
        ack.seg.options = Options::default();
        let mss = full(&pair);
        pair.a.send(&bytes(if fresh == 2 { 10 * mss } else { mss }));
        fire(&mut pair);
        pair.now += ROUND_TRIP;
        let new = hear(&mut pair, &reporting(&ack, mss, &[]));
        assert_eq!(new.len(), fresh);
        assert_eq!(new[0].seg.seq, ack.seg.ack + 10 * mss as u32, "nothing old");
        let covers = if spurious { 2 * mss } else { mss };
        let then = hear(&mut pair, &reporting(&ack, covers, &[]));
        if spurious {
            assert_eq!(pair.a.info().ssthresh, u32::MAX);
        } else {
            assert!(pair.a.info().ssthresh < u32::MAX);
            assert_eq!(then[0].seg.seq, ack.seg.ack + mss as u32);
        }
    }
}

//= rfc2883 4 S4-1 S4-2 S4-3
//= rfc2018 4 S4-4
#[test]
fn a_duplicate_is_reported_with_the_block_that_holds_it() {
    let mut pair = Pair::established(Config::default());
    let at = |pair: &mut Pair, offset: u32| {
        let mut packet = with_data(from_a(pair), &[7; 10]);
        packet.seg.seq += offset;
        packet
    };
    let (near, far) = (at(&mut pair, 100), at(&mut pair, 200));
    for packet in [&near, &far] {
        pair.b.input(packet, pair.now);
        pair.b.poll(pair.now);
    }
    pair.b.input(&near, pair.now);
    let report = pair.b.poll(pair.now)[0].seg;
    let lefts = |seg: &Segment| -> Vec<u32> {
        let blocks = seg.options.sack;
        let offset = |block: &SackBlock| block.left.offset_from(seg.ack);
        blocks.as_slice().iter().map(offset).collect()
    };
    assert_eq!(lefts(&report), [100, 100, 200]);
    // Once: the next ACK is of something else.
    let other = at(&mut pair, 300);
    pair.b.input(&other, pair.now);
    let next = pair.b.poll(pair.now)[0].seg;
    assert_eq!(lefts(&next)[0], 300);
    // And below the ACK field.
    let old = with_data(from_a(&mut pair), &[7; 10]);
    pair.b.input(&old, pair.now);
    pair.b.poll(pair.now);
    pair.b.input(&old, pair.now);
    let report = pair.b.poll(pair.now)[0].seg;
    let first = report.options.sack.as_slice()[0];
    assert_eq!((first.left, first.right), (old.seg.seq, old.seg.seq + 10));
    // Half of it is new.
    let mut half = with_data(from_a(&mut pair), &[7; 10]);
    half.seg.seq = old.seg.seq + 5;
    pair.b.input(&half, pair.now);
    let report = pair.b.poll(pair.now)[0].seg;
    let first = report.options.sack.as_slice()[0];
    assert_eq!((first.left, first.right), (half.seg.seq, half.seg.seq + 5));
}

fn ecn(ecn: Ecn) -> Config {
    Config {
        ecn,
        ..Config::default()
    }
}

/// Answers the last SYN with "granted", and says whether data is sent as ECN-capable then.
fn uses_ecn_when_granted(end: &mut End, syn: &Segment, now: Instant) -> bool {
    let granted = Packet {
        ecn_capable: false,
        seg: Segment {
            seq: SeqNumber::new(900),
            ack: syn.seq + 1,
            flags: Flags::SYN | Flags::ACK | Flags::ECE,
            window: WireWindow(0xffff),
            options: Options {
                mss: Some(1440),
                ..Options::default()
            },
            ..Segment::default()
        },
        data: vec![],
    };
    end.input(&granted, now);
    assert_eq!(end.state(), State::Established);
    end.send(b"data");
    end.poll(now).iter().any(|packet| packet.ecn_capable)
}

//= rfc3168 6.1.1 S6.1.1-2
#[test]
fn ecn_that_a_syn_of_ours_did_not_ask_for_is_not_used() {
    let now = Instant::from_nanos(0);
    let (mut asks, syn) = connecting(flow(), ecn(Ecn::On));
    assert!(uses_ecn_when_granted(&mut asks, &syn, now));
    let (mut waits, syn) = connecting(flow(), ecn(Ecn::WhenAsked));
    assert!(!uses_ecn_when_granted(&mut waits, &syn, now));
    // The second SYN did not ask; which of the two is answered nobody knows.
    let (mut asked_once, _) = connecting(flow(), ecn(Ecn::On));
    let now = asked_once.deadline();
    asked_once.on_timeout(now);
    let syn = asked_once.poll(now).remove(0).seg;
    assert_eq!(syn.flags, Flags::SYN);
    assert!(!uses_ecn_when_granted(&mut asked_once, &syn, now));
}

//= rfc3168 6.1.1 S6.1.1-1 S6.1.1-3
#[test]
fn a_second_syn_that_does_not_ask_is_granted_nothing() {
    let now = Instant::from_nanos(0);
    let mut end = End::new(Config::default(), reversed(flow()), 5);
    end.listening = true;
    let mut syn = Packet {
        ecn_capable: false,
        seg: Segment {
            seq: SeqNumber::new(700),
            flags: Flags::SYN | Flags::ECE | Flags::CWR,
            window: WireWindow(0xffff),
            ..Segment::default()
        },
        data: vec![],
    };
    assert!(end.input(&syn, now)[0].seg.flags.contains(Flags::ECE));
    syn.seg.flags = Flags::SYN;
    let answer = &end.input(&syn, now)[0];
    assert_eq!(answer.seg.flags, Flags::SYN | Flags::ACK);
    let mut ack = syn.clone();
    ack.seg.seq += 1;
    ack.seg.ack = answer.seg.seq + 1;
    ack.seg.flags = Flags::ACK;
    end.input(&ack, now);
    end.send(b"data");
    let data = end.poll(now);
    assert!(!data.is_empty() && data.iter().all(|packet| !packet.ecn_capable));
}

//= rfc3168 6.1.2 S6.1.2-2 S6.1.2-3
//= rfc3168 6.1.1 S6.1.1-5
#[test]
fn a_window_of_marks_and_losses_is_one_reduction_and_told() {
    // A loss alone, a loss and then marks, marks and then a loss.
    let mut thresholds = vec![];
    for (lost, marked) in [(40, 0..0), (40, 42..45), (44, 40..43)] {
        let mut pair = Pair::established(ecn(Ecn::On));
        let data = bytes(300_000);
        let (mut sent, mut n) = (0, 0);
        while pair.b.got.len() < data.len() {
            sent += pair.a.send(&data[sent..]);
            pair.step(|to_b, p| {
                n += u32::from(to_b && p.seg.payload_len > 0);
                match to_b && p.seg.payload_len > 0 {
                    true if n == lost => Fate::Drop,
                    true if marked.contains(&n) => Fate::Mark,
                    _ => Fate::Deliver,
                }
            });
        }
        let said = pair.sent(true);
        let cwr = said.iter().filter(|s| s.flags.contains(Flags::CWR));
        let counters = &pair.a.tcp.counters;
        assert_eq!((counters.fast_retrans, counters.timeouts), (1, 0), "{lost}");
        assert!((1..=2).contains(&cwr.count()), "{lost}");
        thresholds.push(pair.a.info().ssthresh / 1448);
    }
    let alone = thresholds[0];
    assert!(
        thresholds.iter().all(|t| *t >= alone * 9 / 10),
        "{thresholds:?}"
    );
}

//= rfc3168 6.1.2 S6.1.2-3
#[test]
fn a_timeout_is_told_as_well() {
    let (mut pair, _) = in_flight(ecn(Ecn::On), 10, 1448);
    pair.a.send(&bytes(10 * 1448));
    while pair.a.tcp.counters.timeouts == 0 {
        fire(&mut pair);
    }
    pair.now += ROUND_TRIP;
    let mut all = from_b(&mut pair);
    all.seg.ack += pair.a.info().in_flight;
    let new = hear(&mut pair, &all);
    let told: Vec<_> = new
        .iter()
        .map(|packet| packet.seg.flags.contains(Flags::CWR))
        .collect();
    assert!(told[0] && told[1..].iter().all(|told| !told), "{told:?}");
}

//= rfc3168 6.1.1 S6.1.1-4
//= rfc3168 6.1.4 S6.1.4-1
//= rfc3168 6.1.5 S6.1.5-1
//= rfc3168 6.1.6 S6.1.6-1
#[test]
fn only_data_that_is_new_is_ecn_capable() {
    let config = Config {
        rcv_buf: 8 * 1448,
        ..ecn(Ecn::On)
    };
    let mut pair = Pair::new(config);
    pair.a.connect(pair.now);
    let mut n = 0;
    pair.a.send(&bytes(60_000));
    pair.b.reading = false;
    pair.run_for_with(Duration::from_secs(5), |to_b, p| {
        n += u32::from(to_b && p.seg.payload_len > 0);
        if to_b && n == 3 {
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    assert!(pair.a.tcp.counters.window_probes > 0 && pair.a.tcp.counters.retrans_segs > 0);
    let mut furthest = None;
    for (_, packet) in pair.log.iter().filter(|(to_b, _)| *to_b) {
        let end = packet.seg.seq + packet.seg.seq_len();
        let new = packet.seg.payload_len > 0 && furthest.is_none_or(|f| end.after(f));
        assert_eq!(packet.ecn_capable, new, "{:?}", packet.seg);
        furthest = Some(furthest.map_or(end, |f| end.max(f)));
    }
    assert!(
        pair.log
            .iter()
            .all(|(to_b, packet)| *to_b || !packet.ecn_capable)
    );
}

//= rfc3168 6.1.3 S6.1.3-1
//= rfc3168 6.1.5 S6.1.5-2
#[test]
fn a_mark_counts_within_the_window_and_is_echoed_until_the_sender_knows() {
    let mut pair = Pair::established(ecn(Ecn::On));
    let echoed = |pair: &mut Pair, change: fn(&mut Segment)| {
        let mut packet = with_data(from_a(pair), b"x");
        change(&mut packet.seg);
        pair.b.input(&packet, pair.now);
        let answer = pair.b.poll(pair.now);
        answer[0].seg.flags.contains(Flags::ECE)
    };
    assert!(!echoed(&mut pair, |seg| {
        seg.congestion = true;
        seg.seq += 1 << 30;
    }));
    assert!(echoed(&mut pair, |seg| seg.congestion = true));
    assert!(echoed(&mut pair, |_| {}));
    assert!(!echoed(&mut pair, |seg| seg.flags |= Flags::CWR));
    assert!(!echoed(&mut pair, |_| {}));
    assert!(echoed(&mut pair, |seg| {
        seg.flags |= Flags::CWR;
        seg.congestion = true;
    }));
}

fn flow_v6() -> FlowKey {
    let end = |last, port| {
        let mut octets = [0xfd; 16];
        octets[15] = last;
        Endpoint::new(Address::v6(octets), port)
    };
    FlowKey {
        local: end(1, 40_000),
        remote: end(2, 80),
    }
}

//= rfc8201 4 S4-1 S4-2 S4-3 S4-4 S4-5
#[test]
fn ipv6_paths_carry_1280_octets() {
    let (mut end, syn) = connecting(flow_v6(), Config::default());
    let now = Instant::from_nanos(0);
    uses_ecn_when_granted(&mut end, &syn, now);
    let mss_after = |end: &mut End, mtu, seq| {
        let conn = end.conn.as_mut().unwrap();
        conn.on_too_big(mtu, seq, &mut end.tcp);
        end.info().mss
    };
    let seq = syn.seq + 1;
    let before = end.info().mss;
    assert_eq!(mss_after(&mut end, 1279, seq), before);
    assert_eq!(mss_after(&mut end, 0, seq), before);
    assert_eq!(
        mss_after(&mut end, 1300, seq - 1),
        before,
        "not what was sent"
    );
    assert_eq!(mss_after(&mut end, 1280, seq), 1220);
    assert_eq!(mss_after(&mut end, 1400, seq), 1220);
}

//= rfc1191 3 S3-1 S3-2 S3-3
//= rfc1191 5 S5-1
//= rfc1191 6.4 S6.4-1
//= rfc8201 5.4 S5.4-1
#[test]
fn a_path_that_is_narrower_by_one_octet_or_by_much() {
    for (said, mtu) in [(1499, 1499), (900, 900), (0, 552), (67, 552)] {
        let mut pair = Pair::established(Config::default());
        pair.a.send(&bytes(10 * 1448));
        pair.a.conn().shutdown();
        pair.flush();
        let seq = pair.sent(true)[0].seq;
        let cwnd = pair.a.info().cwnd;
        let conn = pair.a.conn.as_mut().unwrap();
        conn.on_too_big(said, seq, &mut pair.a.tcp);
        assert_eq!(u32::from(pair.a.info().mss), mtu - 52);
        conn_is_not_widened(&mut pair, seq);
        let narrow = |to_b: bool, p: &Packet| match to_b && p.seg.payload_len + 52 > mtu {
            true => Fate::Drop,
            false => Fate::Deliver,
        };
        pair.run_for_with(Duration::from_millis(190), narrow);
        assert!(pair.b.got == bytes(10 * 1448), "{said}");
        assert_eq!(pair.b.peer_closed, 1);
        assert_eq!(pair.a.tcp.counters.timeouts, 0);
        assert!(pair.a.info().cwnd >= cwnd && pair.a.info().ssthresh == u32::MAX);
    }
}

fn conn_is_not_widened(pair: &mut Pair, seq: SeqNumber) {
    let before = pair.a.info().mss;
    let conn = pair.a.conn.as_mut().unwrap();
    conn.on_too_big(9000, seq, &mut pair.a.tcp);
    assert_eq!(pair.a.info().mss, before);
}

//= rfc9438 5.8 S5.8-1
#[test]
fn a_window_that_is_not_used_does_not_grow() {
    for congestion in [CongestionAlgorithm::Cubic, CongestionAlgorithm::Reno] {
        let mut pair = Pair::established(Config {
            congestion,
            ..Config::default()
        });
        for _ in 0..50 {
            pair.a.send(&bytes(2 * 1448));
            pair.run_for(ROUND_TRIP * 2);
        }
        assert_eq!(pair.a.info().cwnd, 10 * 1448);
    }
}

/// The window counts from the ACK field it came with.
//= rfc9293 3.10.7.4
#[test]
fn the_window_of_an_old_ack_is_not_taken_and_that_of_a_new_one_is() {
    let config = Config {
        rcv_buf: 256 * 1024,
        ..Config::default()
    };
    let (mut pair, ack) = in_flight(config, 5, 1448);
    let windowed = |covers: usize, seq: u32, window| {
        let mut packet = with_data(reporting(&ack, covers, &[]), b"x");
        packet.seg.seq += seq;
        packet.seg.window = WireWindow(window);
        packet
    };
    hear(&mut pair, &windowed(1448, 10, 1000));
    assert_eq!(pair.a.info().snd_wnd, 8000);
    hear(&mut pair, &windowed(0, 20, 2000));
    assert_eq!(pair.a.info().snd_wnd, 8000, "an old one");
    // Sent again, so that its sequence number is an old one.
    hear(&mut pair, &windowed(2 * 1448, 5, 819));
    assert_eq!(pair.a.info().snd_wnd, 6552);
}

/// A SYN is answered with a challenge; its timestamp must not spoil the protection by timestamps.
#[test]
fn the_timestamp_of_a_syn_that_is_challenged_is_not_remembered() {
    let mut pair = Pair::established(Config::default());
    let mut syn = from_a(&mut pair);
    syn.seg.flags = Flags::SYN;
    let value = &mut syn.seg.options.timestamps.as_mut().unwrap().value;
    *value = value.wrapping_add(1 << 30);
    pair.b.input(&syn, pair.now);
    pair.a.send(b"still here");
    pair.settle();
    assert_eq!(pair.b.got, b"still here");
}

//= rfc8985 4 S4-1
#[test]
fn without_sack_there_are_no_probes() {
    let mut pair = Pair::established(classic());
    pair.a.send(b"measured");
    pair.settle();
    pair.a.send(b"tail");
    pair.a.poll(pair.now);
    assert_eq!(pair.a.deadline(), pair.now + pair.a.info().rto);
    assert_eq!(u32::from(MSS) - 12, full(&pair) as u32);
}
