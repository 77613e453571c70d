//! Requirements of RFC 9293 that no other test shows, one behaviour each.

mod common;

use byway_tcp::effects::{CloseReason, DropReason};
use byway_tcp::segment::Segment;
use byway_tcp::time::{Duration, Instant};
use byway_tcp::{Config, CongestionAlgorithm, State};
use byway_wire::tcp::{Flags, Header, Options, SackBlock, Timestamps, WindowScale, WireWindow};
use byway_wire::{Address, Endpoint, FlowKey, SeqNumber, checksum, frame};
use common::{End, Fate, MSS, Packet, Pair, Rng, bytes, flow, reversed};
use common::{classic, connecting, from_a, from_b, with_data};

/// Payload of a full segment: timestamps take twelve octets.
const FULL: usize = MSS as usize - 12;

/// Answers a SYN with these options, and returns what a full segment then carries.
fn full_segment_after(flow: FlowKey, options: Options) -> u16 {
    let (mut end, syn) = connecting(flow, Config::default());
    let answer = Packet {
        ecn_capable: false,
        seg: Segment {
            seq: SeqNumber::new(900),
            ack: syn.seq + 1,
            flags: Flags::SYN | Flags::ACK,
            window: WireWindow(0xffff),
            options,
            ..Segment::default()
        },
        data: vec![],
    };
    end.input(&answer, Instant::from_nanos(0));
    assert_eq!(end.state(), State::Established);
    end.info().mss
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

/// A pair whose `b` has a small receive buffer and an application that reads nothing.
fn pair_with_lazy_reader(rcv_buf: u32) -> Pair {
    let small = Config {
        rcv_buf,
        ..Config::default()
    };
    let mut pair = Pair::with(Config::default(), small);
    pair.a.connect(pair.now);
    pair.settle();
    pair.b.reading = false;
    pair
}

//= rfc9293 3.1 MUST-1 REC-1
#[test]
fn windows_are_unsigned_and_wider_than_their_field() {
    let sent_ahead = |rcv_buf, scaling| {
        let config = Config {
            rcv_buf,
            rcv_buf_initial: rcv_buf,
            window_scaling: scaling,
            snd_buf: 1 << 20,
            snd_buf_initial: 1 << 20,
            ..Config::default()
        };
        let mut pair = Pair::established(config);
        pair.b.reading = false;
        pair.a.send(&bytes(1 << 20));
        pair.run_for(Duration::from_secs(5));
        pair.b.unread.len()
    };
    assert_eq!(sent_ahead(65_535, false), 65_535);
    assert_eq!(sent_ahead(500_000, true), 500_000);
}

//= rfc9293 3.1 MUST-68 MUST-69
#[test]
fn options_that_are_written_have_lengths_and_no_end_but_that_of_the_header() {
    let mut rng = Rng(9);
    for _ in 0..2_000 {
        let mut options = Options {
            mss: (rng.below(2) == 0).then_some(1 + rng.below(0xffff) as u16),
            window_scale: (rng.below(2) == 0).then(|| WindowScale::clamped(rng.below(15) as u8)),
            sack_permitted: rng.below(2) == 0,
            timestamps: (rng.below(2) == 0).then_some(Timestamps::default()),
            ..Options::default()
        };
        for _ in 0..rng.below(5) {
            options.sack.push(SackBlock::default());
        }
        let header = Header {
            options,
            ..Header::default()
        };
        let mut out = [0xee; 60];
        let len = header.emit(&mut out).unwrap();
        let mut rest = &out[20..len];
        while let [kind, after @ ..] = rest {
            assert_ne!(*kind, 0, "no End of Option List, so nothing follows one");
            rest = match kind {
                1 => after,
                _ => &rest[usize::from(after[0])..],
            };
        }
    }
}

//= rfc9293 3.2 MUST-65
//= rfc7323 3.2 S3.2-2 S3.2-3
//= rfc2018 2 S2-1
#[test]
fn options_of_a_syn_stay_on_syns_and_timestamps_are_everywhere() {
    let mut pair = Pair::new(Config::default());
    pair.a.connect(pair.now);
    let mut rng = Rng(3);
    pair.a.send(&bytes(100_000));
    pair.run_for_with(Duration::from_secs(20), |_, _| match rng.below(20) {
        0 => Fate::Drop,
        1 => Fate::Duplicate,
        _ => Fate::Deliver,
    });
    let reset = pair.a.abort(pair.now);
    pair.put(true, reset);
    assert!(pair.log.len() > 60 && pair.b.got.len() == 100_000);
    for (
        _,
        Packet {
            ecn_capable: _,
            seg,
            ..
        },
    ) in &pair.log
    {
        let syn = seg.flags.contains(Flags::SYN);
        assert_eq!(seg.options.mss.is_some(), syn);
        assert_eq!(seg.options.window_scale.is_some(), syn);
        assert_eq!(seg.options.sack_permitted, syn);
        assert!(seg.options.timestamps.is_some());
    }
}

//= rfc9293 3.5 MUST-11
#[test]
fn a_reset_in_syn_received_depends_on_who_opened() {
    let reset = |seq| Packet {
        ecn_capable: false,
        seg: Segment {
            seq,
            flags: Flags::RST,
            ..Segment::default()
        },
        data: vec![],
    };
    // Active: the SYNs crossed.
    let (mut end, _) = connecting(flow(), Config::default());
    let mut syn = reset(SeqNumber::new(700));
    syn.seg.flags = Flags::SYN;
    end.input(&syn, Instant::from_nanos(0));
    assert_eq!(end.state(), State::SynReceived);
    end.input(&reset(SeqNumber::new(701)), Instant::from_nanos(0));
    assert_eq!(end.closed, Some(CloseReason::Refused));
    // Passive: back to LISTEN, and nobody is told.
    let mut end = End::new(Config::default(), reversed(flow()), 5);
    end.listening = true;
    end.input(&syn, Instant::from_nanos(0));
    assert_eq!(end.state(), State::SynReceived);
    end.input(&reset(SeqNumber::new(701)), Instant::from_nanos(0));
    assert_eq!((end.state(), end.closed), (State::Listen, None));
}

//= rfc9293 3.5.3 SHLD-2
#[test]
fn a_reset_may_carry_data() {
    let mut pair = Pair::established(Config::default());
    let mut reset = with_data(from_a(&mut pair), b"why I go");
    reset.seg.flags = Flags::RST;
    pair.deliver(true, &reset);
    assert_eq!(pair.b.closed, Some(CloseReason::Reset));
    assert_eq!(pair.b.got, b"");
}

//= rfc9293 3.6.1 MUST-13
#[test]
fn time_wait_lasts_two_lifetimes() {
    let mut pair = Pair::established(Config::default());
    pair.a.conn().shutdown();
    pair.settle();
    pair.b.conn().shutdown();
    while pair.a.state() != State::TimeWait {
        assert!(pair.step(|_, _| Fate::Deliver));
    }
    let entered = pair.now;
    let deadline = pair.a.time_wait.as_ref().unwrap().deadline();
    assert_eq!(deadline.since(entered), Duration::from_secs(60));
}

//= rfc1337 3 S3-1
#[test]
fn a_reset_does_not_end_time_wait() {
    let mut pair = Pair::established(Config::default());
    let mut reset = from_b(&mut pair);
    reset.seg.flags = Flags::RST;
    pair.a.conn().shutdown();
    pair.settle();
    pair.b.conn().shutdown();
    pair.settle();
    assert_eq!(pair.a.state(), State::TimeWait);
    for offset in 0..3 {
        let mut reset = reset.clone();
        reset.seg.seq += offset;
        assert_eq!(pair.a.input(&reset, pair.now).len(), 0);
        assert_eq!(pair.a.state(), State::TimeWait);
    }
}

//= rfc9293 3.7.1 MUST-14 MUST-15
#[test]
fn the_peers_mss_or_the_default_bounds_segments() {
    let options = |mss| Options {
        mss,
        ..Options::default()
    };
    assert_eq!(full_segment_after(flow(), options(Some(500))), 500);
    assert_eq!(full_segment_after(flow(), options(Some(9_000))), MSS);
    assert_eq!(full_segment_after(flow(), options(None)), 536);
    assert_eq!(full_segment_after(flow_v6(), options(None)), 1220);
    let timed = Options {
        timestamps: Some(Timestamps::default()),
        ..options(None)
    };
    assert_eq!(full_segment_after(flow(), timed), 536 - 12);
}

//= rfc9293 3.7.1 MUST-67 SHLD-5 MAY-3
#[test]
fn the_mss_option_says_what_fits_the_path_whatever_the_options() {
    for timestamps in [true, false] {
        let config = Config {
            timestamps,
            ..Config::default()
        };
        let (_, syn) = connecting(flow(), config.clone());
        assert_eq!(syn.options.mss, Some(MSS));
        let mut pair = Pair::new(config);
        pair.a.connect(pair.now);
        pair.settle();
        assert_eq!(pair.sent(false)[0].options.mss, Some(MSS));
    }
}

/// The congestion window of `a` after each of `rounds` round trips with plenty to send.
fn windows(pair: &mut Pair, rounds: usize) -> Vec<usize> {
    let mut windows = vec![];
    for _ in 0..rounds {
        pair.a.send(&bytes(1 << 20));
        pair.run_for(pair.delay * 2);
        windows.push(pair.a.info().cwnd as usize);
    }
    windows
}

/// Room for 700 segments everywhere, so that only the congestion window limits.
fn roomy() -> Config {
    Config {
        rcv_buf: 1 << 20,
        snd_buf: 1 << 20,
        quick_acks: 255,
        ..Config::default()
    }
}

//= rfc9293 3.8.2 MUST-19
//= rfc5681 3 S3-1
//= rfc5681 3.1 S3.1-3 S3.1-5 S3.1-6
#[test]
fn slow_start_doubles_the_window_each_round_trip() {
    let mut pair = Pair::established(roomy());
    assert_eq!(pair.a.info().cwnd as usize, 10 * FULL);
    assert_eq!(pair.a.info().ssthresh, u32::MAX);
    let windows = windows(&mut pair, 5);
    // The first round trip opens the peer's window, which the SYN could not scale.
    for pair in windows.windows(2) {
        assert!(
            pair[1] > pair[0] * 3 / 2 && pair[1] <= pair[0] * 2,
            "{windows:?}"
        );
    }
}

//= rfc9293 3.8.2 MUST-19
//= rfc5681 3.1 S3.1-6 S3.1-8
#[test]
fn congestion_avoidance_adds_a_segment_each_round_trip() {
    let mut pair = Pair::established(Config {
        congestion: CongestionAlgorithm::Reno,
        ..roomy()
    });
    windows(&mut pair, 2);
    let mut lost = false;
    pair.run_for_with(Duration::from_millis(60), |to_b, p| {
        let lose = to_b && !lost && p.seg.payload_len > 0;
        lost |= lose;
        if lose { Fate::Drop } else { Fate::Deliver }
    });
    assert_eq!(pair.a.tcp.counters.fast_retrans, 1);
    windows(&mut pair, 2);
    assert!(pair.a.info().cwnd >= pair.a.info().ssthresh);
    let windows = windows(&mut pair, 8);
    for two in windows.windows(2) {
        assert!(two[1] >= two[0] && two[1] <= two[0] + FULL, "{windows:?}");
    }
    let grown = windows[7] - windows[0];
    assert!(grown >= 5 * FULL, "{windows:?}");
    assert_eq!(pair.a.tcp.counters.timeouts, 0);
}

//= rfc5681 3.1 S3.1-4
#[test]
fn a_lost_syn_means_a_window_of_one_segment() {
    for lost in [Flags::SYN, Flags::SYN | Flags::ACK] {
        let mut pair = Pair::new(Config::default());
        pair.a.connect(pair.now);
        let mut n = 0;
        pair.run_for_with(Duration::from_secs(4), |_, p| {
            n += u32::from(p.seg.flags == lost);
            if p.seg.flags == lost && n == 1 {
                Fate::Drop
            } else {
                Fate::Deliver
            }
        });
        assert_eq!(pair.a.info().cwnd as usize, FULL);
    }
}

//= rfc5681 3.1 S3.1-9 S3.1-10 S3.1-11
#[test]
fn timeouts_cut_the_window_to_one_segment_and_the_threshold_once() {
    let mut pair = Pair::established(classic());
    pair.a.send(&bytes(8 * FULL));
    for _ in 0..3 {
        pair.flush();
        let at = pair.a.deadline();
        pair.run_for_with(at.since(pair.now), |_, _| Fate::Drop);
        assert_eq!(pair.a.info().cwnd as usize, FULL);
        assert_eq!(pair.a.info().ssthresh as usize, 4 * FULL);
    }
    assert_eq!(pair.a.tcp.counters.timeouts, 3);
    // Half of it arrived after all; the rest, which was sent again by then, times out once more.
    let mut ack = from_b(&mut pair);
    ack.seg.ack += 4 * FULL as u32;
    pair.a.input(&ack, pair.now);
    assert_eq!(
        pair.a.poll(pair.now).len(),
        2,
        "no burst for what had arrived before"
    );
    pair.now = pair.a.deadline();
    pair.a.on_timeout(pair.now);
    assert_eq!(pair.a.info().in_flight as usize, 4 * FULL);
    assert_eq!(pair.a.info().ssthresh as usize, 4 * FULL);
}

//= rfc9293 3.8.1 MUST-18
//= rfc6298 3 S3-1
#[test]
fn the_ack_of_a_segment_sent_twice_measures_nothing() {
    let mut pair = Pair::established(Config {
        timestamps: false,
        ..classic()
    });
    pair.a.send(b"measured");
    pair.settle();
    let (srtt, rto) = (pair.a.info().srtt, pair.a.info().rto);
    let mut lost = false;
    pair.a.send(b"sent twice");
    pair.run_for_with(Duration::from_millis(700), |to_b, _| {
        let lose = to_b && !lost;
        lost |= lose;
        if lose { Fate::Drop } else { Fate::Deliver }
    });
    assert_eq!(pair.b.got, b"measuredsent twice");
    assert_eq!(pair.a.info().srtt, srtt);
    assert_eq!(
        pair.a.info().rto,
        rto * 2,
        "the back-off stays until something is measured"
    );
    pair.a.send(b"sent once");
    pair.settle();
    assert_eq!(pair.a.info().rto, rto);
}

//= rfc9293 3.8.3 SHLD-11
#[test]
fn giving_up_takes_more_than_a_hundred_seconds() {
    let mut pair = Pair::established(Config::default());
    pair.delay = Duration::from_micros(10);
    for _ in 0..20 {
        pair.a.send(b"a short round trip");
        pair.settle();
    }
    assert!(pair.a.info().rto < Duration::from_millis(220));
    let begin = pair.now;
    pair.a.send(b"anyone?");
    while pair.a.closed.is_none() {
        assert!(pair.step(|_, _| Fate::Drop));
    }
    assert!(pair.now.since(begin) > Duration::from_secs(100));
}

//= rfc9293 3.8.6 MUST-34 SHLD-15 SHLD-16 MAY-7
#[test]
fn a_window_that_shrinks_stops_new_data_and_not_retransmission() {
    let mut pair = Pair::established(classic());
    pair.a.send(&bytes(5 * FULL));
    let first = pair.a.poll(pair.now)[0].seg;
    let mut shrunk = from_b(&mut pair);
    shrunk.seg.window = WireWindow(1);
    pair.deliver(false, &shrunk);
    assert!(pair.a.info().in_flight > pair.a.info().snd_wnd);
    pair.a.send(&bytes(5 * FULL));
    assert_eq!(pair.a.poll(pair.now).len(), 0);
    pair.now = pair.a.deadline();
    pair.a.on_timeout(pair.now);
    let conn = pair.a.conn.as_mut().unwrap();
    let again = conn.poll_transmit(pair.now, &mut pair.a.tcp).unwrap();
    assert_eq!((again.seq, again.payload.len as usize), (first.seq, FULL));
}

//= rfc9293 3.8.6 SHLD-14
//= rfc7323 2.4 S2.4-2
#[test]
fn the_right_edge_stays_but_for_rounding() {
    let mut pair = pair_with_lazy_reader(200_000);
    let mut rng = Rng(21);
    for _ in 0..300 {
        pair.a.send(&bytes(20_000));
        let lucky = rng.below(4) > 0;
        pair.run_for_with(Duration::from_millis(15), |_, _| match lucky {
            true => Fate::Deliver,
            false => Fate::Delay(Duration::from_millis(3)),
        });
        pair.b.read(rng.below(9_000) as usize);
    }
    let scale = pair.sent(false)[0].options.window_scale.unwrap();
    let acks = pair.sent(false);
    assert!(acks.len() > 200);
    let mut furthest = acks[1].ack;
    for seg in &acks[1..] {
        let edge = seg.ack + scale.widen(seg.window);
        assert!((edge + (1 << scale.shift())).after(furthest));
        furthest = furthest.max(edge);
    }
}

//= rfc9293 3.8.6.1 MUST-37 MAY-8 SHLD-29 SHLD-30
#[test]
fn a_window_may_stay_closed_for_hours_and_is_probed_ever_more_rarely() {
    let mut pair = pair_with_lazy_reader(8 * FULL as u32);
    pair.a.send(&bytes(50_000));
    while pair.a.info().snd_wnd > 0 || pair.a.info().in_flight > 0 {
        assert!(pair.step(|_, _| Fate::Deliver));
    }
    let (rto, mut last, mut pauses) = (pair.a.info().rto, pair.now, vec![]);
    let end = pair.now + Duration::from_secs(4 * 3600);
    while pair.now < end {
        let before = pair.a.tcp.counters.window_probes;
        assert!(pair.step(|_, _| Fate::Deliver));
        if pair.a.tcp.counters.window_probes > before {
            pauses.push(pair.now.since(last));
            last = pair.now;
        }
    }
    assert!(pauses[0] >= rto, "{pauses:?}");
    for two in pauses.windows(2) {
        let most = Duration::from_secs(60);
        assert!(two[1] >= (two[0] * 19 / 10).min(most), "{pauses:?}");
    }
    assert!(pauses.len() > 200, "{}", pauses.len());
    pair.b.reading = true;
    pair.b.read(usize::MAX);
    pair.run_for(Duration::from_secs(10));
    assert!(pair.b.got == bytes(50_000));
}

//= rfc9293 3.8.6.2.1 MUST-38
#[test]
fn a_crumb_of_a_window_is_used_only_after_a_while() {
    let mut pair = Pair::established(Config {
        rcv_buf: 256 * 1024,
        ..Config::default()
    });
    let mut crumb = from_b(&mut pair);
    crumb.seg.window = WireWindow(12);
    pair.deliver(false, &crumb);
    assert_eq!(pair.a.info().snd_wnd, 96);
    pair.a.send(&bytes(5 * FULL));
    assert_eq!(
        pair.a.poll(pair.now).len(),
        0,
        "less than a segment, and not all of it"
    );
    pair.now = pair.a.deadline();
    pair.a.on_timeout(pair.now);
    let out = pair.a.poll(pair.now);
    assert_eq!((out.len(), out[0].data.len()), (1, 96));
}

//= rfc9293 3.10.7.4 MUST-58 MUST-59
#[test]
fn a_burst_is_acknowledged_once() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(&bytes(8 * FULL));
    let burst = pair.a.poll(pair.now);
    assert_eq!(burst.len(), 8);
    for packet in &burst {
        assert_eq!(pair.b.input(packet, pair.now).len(), 0);
    }
    let acks = pair.b.poll(pair.now);
    assert_eq!(acks.len(), 1);
    assert_eq!(acks[0].seg.ack, burst[7].seg.seq + FULL as u32);
}

//= rfc9293 3.9.1.2 MUST-60
#[test]
fn data_leaves_without_being_pushed() {
    for nagle in [false, true] {
        let mut pair = Pair::established(Config {
            nagle,
            ..Config::default()
        });
        pair.a.send(b"one");
        pair.flush();
        assert_eq!(pair.sent(true).len(), 1);
        pair.a.send(b"two");
        pair.run_for(Duration::from_secs(1));
        assert_eq!(pair.b.got, b"onetwo");
    }
}

//= rfc9293 3.9.1.2 SHLD-27 SHLD-28 MAY-16
#[test]
fn what_is_sent_in_one_turn_leaves_in_full_segments_with_one_push() {
    let mut pair = Pair::established(Config::default());
    for _ in 0..10 {
        pair.a.send(&bytes(300));
    }
    let out = pair.a.poll(pair.now);
    let lengths: Vec<usize> = out.iter().map(|p| p.data.len()).collect();
    assert_eq!(lengths, [FULL, FULL, 3_000 - 2 * FULL]);
    let pushed: Vec<bool> = out
        .iter()
        .map(|p| p.seg.flags.contains(Flags::PSH))
        .collect();
    assert_eq!(pushed, [false, false, true]);
}

//= rfc9293 3.10.7.4 MAY-12
//= rfc5961 5.2 S5.2-1
#[test]
fn an_ack_number_out_of_range_costs_the_segment() {
    let mut pair = Pair::established(Config {
        rcv_buf: 256 * 1024,
        ..Config::default()
    });
    pair.b.send(&bytes(30_000));
    pair.settle();
    pair.b.reading = true;
    // The windows of `from_a` are half a mebibyte: anything further behind is too old.
    for (ack, taken) in [(1i64, false), (0, true), (-20_000, true), (-600_000, false)] {
        let got = pair.b.got.len();
        let mut packet = with_data(from_a(&mut pair), b"injected");
        packet.seg.ack = SeqNumber::new(packet.seg.ack.get().wrapping_add(ack as u32));
        pair.log.clear();
        pair.deliver(true, &packet);
        pair.b.on_timeout(pair.now + Duration::from_millis(50));
        let answers = pair.b.poll(pair.now);
        assert_eq!(pair.b.got.len() > got, taken, "{ack}");
        assert_eq!(
            pair.b.drops.pop(),
            (!taken).then_some(DropReason::BadAck),
            "{ack}"
        );
        assert_eq!(answers.len(), 1, "{ack}");
    }
}

//= rfc7323 5.3 S5.3-1
//= rfc7323 5.2 S5.2-1
//= rfc7323 5.5 S5.5-1
#[test]
fn old_timestamps_are_refused_but_for_resets_and_after_a_long_silence() {
    let old = |pair: &mut Pair, flags| {
        let mut packet = with_data(from_a(pair), b"old");
        packet.seg.options.timestamps.as_mut().unwrap().value -= 10_000;
        packet.seg.flags = flags;
        pair.deliver(true, &packet);
        pair.b.poll(pair.now).len()
    };
    let mut pair = Pair::established(Config::default());
    assert_eq!(old(&mut pair, Flags::ACK), 1, "it is answered");
    assert_eq!(pair.b.drops, [DropReason::Paws]);
    old(&mut pair, Flags::RST);
    assert_eq!(pair.b.closed, Some(CloseReason::Reset));

    let mut pair = Pair::established(Config::default());
    pair.now += Duration::from_secs(24 * 24 * 3600 - 1);
    let rewind = |pair: &mut Pair| {
        let mut packet = with_data(from_a(pair), b"x");
        let value = pair
            .a
            .timestamp(pair.now)
            .wrapping_sub(25 * 24 * 3600 * 1000);
        packet.seg.options.timestamps.as_mut().unwrap().value = value;
        pair.deliver(true, &packet);
    };
    rewind(&mut pair);
    assert_eq!(pair.b.got, b"");
    pair.now += Duration::from_secs(2);
    rewind(&mut pair);
    assert_eq!(pair.b.got, b"x");
}

//= rfc7323 3.2 S3.2-4 S3.2-5
#[test]
fn data_without_timestamps_is_dropped_and_the_connection_stays() {
    let mut pair = Pair::established(Config::default());
    let mut packet = with_data(from_a(&mut pair), b"bare");
    packet.seg.options.timestamps = None;
    pair.deliver(true, &packet);
    assert_eq!(pair.b.poll(pair.now).len(), 0);
    assert_eq!(pair.b.drops, [DropReason::NoTimestamp]);
    pair.a.send(b"proper");
    pair.settle();
    assert_eq!(pair.b.got, b"proper");
}

//= rfc7323 4.3 S4.3-1
//= rfc7323 5.3 S5.3-3
#[test]
fn the_timestamp_echoed_is_that_of_the_first_segment_not_acknowledged() {
    let mut pair = Pair::established(Config {
        quick_acks: 0,
        ..Config::default()
    });
    let mut first = with_data(from_a(&mut pair), b"first");
    let mut second = with_data(from_a(&mut pair), b"second");
    let mut ahead = with_data(from_a(&mut pair), b"ahead");
    second.seg.seq += 5;
    ahead.seg.seq += 100;
    let value = pair.a.timestamp(pair.now);
    for (packet, later) in [(&mut first, 1), (&mut second, 2), (&mut ahead, 3)] {
        packet.seg.options.timestamps.as_mut().unwrap().value = value + later;
        pair.b.input(packet, pair.now);
    }
    let ack = pair.b.poll(pair.now)[0].seg;
    assert_eq!(ack.options.timestamps.unwrap().echo, value + 1);
}

//= rfc7323 2.2 S2.2-3
#[test]
fn the_window_of_a_syn_is_not_scaled() {
    let mut pair = Pair::new(Config::default());
    pair.a.connect(pair.now);
    pair.run_for(Duration::from_millis(20));
    let (syn, syn_ack) = (pair.sent(true)[0], pair.sent(false)[0]);
    assert_eq!((syn.window.0, syn_ack.window.0), (0xffff, 0xffff));
    assert!(syn.options.window_scale.unwrap().shift() > 0);
    assert_eq!(pair.a.info().snd_wnd, 0xffff);
}

//= rfc2018 2 S2-2
#[test]
fn no_sack_blocks_for_a_peer_that_did_not_permit_them() {
    let plain = Config {
        sack: false,
        ..Config::default()
    };
    let mut pair = Pair::with(plain, Config::default());
    pair.a.connect(pair.now);
    pair.settle();
    let mut ahead = with_data(from_a(&mut pair), b"ahead");
    ahead.seg.seq += 100;
    pair.b.input(&ahead, pair.now);
    let acks = pair.b.poll(pair.now);
    assert!(acks.len() == 1 && acks[0].seg.options.sack.is_empty());
}

//= rfc9293 3.9.2.2 MUST-55
#[test]
fn source_quench_is_discarded() {
    // To 10.0.0.2, quoting a segment of its own from port 80 to 10.0.0.1:40000.
    let quote = |payload: &[u8], from: [u8; 4], to: [u8; 4], protocol| {
        let mut ip = [
            [0x45, 0, 0, 20 + payload.len() as u8, 0, 0, 0, 0],
            [64, protocol, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        ip[12..16].copy_from_slice(&from);
        ip.extend(to);
        let sum = checksum::finish(checksum::sum(&ip));
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        ip.extend(payload);
        ip
    };
    let message = |kind| {
        let segment = [0, 80, 0x9c, 0x40, 0, 0, 0, 1];
        let inner = quote(&segment, [10, 0, 0, 2], [10, 0, 0, 1], 6);
        let mut icmp = [&[kind, 0, 0, 0, 0, 0, 0, 0], &inner[..]].concat();
        let sum = checksum::finish(checksum::sum(&icmp));
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        bytes.extend(quote(&icmp, [10, 0, 0, 9], [10, 0, 0, 2], 1));
        frame::parse(&bytes)
    };
    assert!(
        matches!(message(3), frame::Packet::IcmpError(_)),
        "unreachable"
    );
    assert_eq!(message(4), frame::Packet::Other, "source quench");
}

//= rfc9293 3.9.2.2 MUST-56 SHLD-26
#[test]
fn no_icmp_error_aborts_an_open_connection() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(&bytes(3 * FULL));
    let seq = pair.a.poll(pair.now)[1].seg.seq;
    let mut fx = Default::default();
    let conn = pair.a.conn.as_mut().unwrap();
    conn.on_unreachable(seq, &mut pair.a.tcp, &mut fx);
    assert_eq!(fx.closed, None);
    assert_eq!(pair.a.tcp.counters.soft_errors, 1);
}

/// Ten segments of `a` on their way, and what `b` answers while the first one is missing. The first
/// answer is a window update: the SYN could not scale the window.
fn ten_in_flight(queued: usize) -> (Pair, Packet) {
    let mut pair = Pair::established(classic());
    pair.a.send(&bytes(queued * FULL));
    assert_eq!(pair.a.poll(pair.now).len(), 10);
    let duplicate = from_b(&mut pair);
    pair.a.input(&duplicate, pair.now);
    assert_eq!(pair.a.poll(pair.now).len(), 0);
    (pair, duplicate)
}

//= rfc5681 3.2 S3.2-3 S3.2-6 S3.2-11
//= rfc6937 3 S3-1 S3-3 S3-4 S3-5
//= rfc6582 3.2 S3.2-2 S3.2-3 S3.2-4 S3.2-6
#[test]
fn fast_recovery_step_by_step() {
    let (mut pair, duplicate) = ten_in_flight(10);
    let una = duplicate.seg.ack;
    let hear = |pair: &mut Pair, covers: usize| -> Vec<Packet> {
        let mut packet = duplicate.clone();
        packet.seg.ack = una + (covers * FULL) as u32;
        pair.a.input(&packet, pair.now);
        pair.a.poll(pair.now)
    };
    let window = |pair: &Pair| pair.a.info().cwnd as usize / FULL;
    assert_eq!((hear(&mut pair, 0).len(), hear(&mut pair, 0).len()), (0, 0));
    assert_eq!(window(&pair), 10);
    let again = hear(&mut pair, 0);
    assert_eq!(
        (again.len(), again[0].seg.seq, again[0].data.len()),
        (1, una, FULL)
    );
    assert_eq!(pair.a.info().ssthresh as usize / FULL, 5);
    // About every second of the further duplicates lets new data out: the window shrinks to half.
    pair.a.send(&bytes(5 * FULL));
    let new: usize = (0..6).map(|_| hear(&mut pair, 0).len()).sum();
    assert!((2..=4).contains(&new), "{new} for six duplicates");
    // A part of it: the next hole, at once, and the timer begins anew.
    pair.now += Duration::from_millis(50);
    let next = hear(&mut pair, 3);
    assert_eq!(next[0].seg.seq, una + 3 * FULL as u32);
    assert_eq!(pair.a.deadline(), pair.now + pair.a.info().rto);
    // All of it: recovery is over, and the window is what the loss left of it.
    hear(&mut pair, 10);
    assert_eq!(window(&pair), 5);
    assert_eq!(pair.a.tcp.counters.fast_retrans, 1);
}

//= rfc5681 3.2 S3.2-4
#[test]
fn the_first_two_duplicates_let_new_segments_out() {
    let (mut pair, duplicate) = ten_in_flight(30);
    for n in 0..2u32 {
        pair.a.input(&duplicate, pair.now);
        let out = pair.a.poll(pair.now);
        let expected = duplicate.seg.ack + (10 + n) * FULL as u32;
        assert_eq!((out.len(), out[0].seg.seq), (1, expected));
        assert_eq!(pair.a.info().cwnd as usize, 10 * FULL);
    }
}

//= rfc6582 4 S4-1
//= rfc2018 5 S5-3
//= rfc2018 8 S8-1
#[test]
fn a_timeout_ends_fast_recovery_and_begins_at_the_left_edge() {
    let (mut pair, mut duplicate) = ten_in_flight(10);
    let una = duplicate.seg.ack;
    duplicate.seg.options.sack.push(SackBlock {
        left: una + FULL as u32,
        right: una + 10 * FULL as u32,
    });
    for _ in 0..3 {
        pair.a.input(&duplicate, pair.now);
        pair.a.poll(pair.now);
    }
    assert_eq!(
        pair.a.sending.len(),
        10 * FULL,
        "selectively acknowledged is not acknowledged"
    );
    pair.now = pair.a.deadline();
    pair.a.on_timeout(pair.now);
    let again = pair.a.poll(pair.now);
    assert_eq!((again.len(), again[0].seg.seq), (1, una));
    assert_eq!(pair.a.info().cwnd as usize, FULL);
    let ssthresh = pair.a.info().ssthresh;
    for _ in 0..3 {
        pair.a.input(&duplicate, pair.now);
        pair.a.poll(pair.now);
    }
    assert_eq!(
        pair.a.info().ssthresh,
        ssthresh,
        "no second fast retransmit"
    );
}

//= rfc9293 3.7.1 MUST-16
#[test]
fn payload_and_options_together_fit_the_mss() {
    let mut pair = Pair::established(Config::default());
    let mut rng = Rng(5);
    for _ in 0..60 {
        pair.a.send(&bytes(20_000));
        pair.b.send(&bytes(20_000));
        pair.run_for_with(Duration::from_millis(60), |_, _| match rng.below(12) {
            0 => Fate::Drop,
            1 => Fate::Delay(Duration::from_millis(5)),
            _ => Fate::Deliver,
        });
    }
    let with_both = pair.log.iter().filter(|(_, p)| {
        assert!(p.data.len() + p.seg.options.wire_len() <= usize::from(MSS));
        !p.data.is_empty() && !p.seg.options.sack.is_empty()
    });
    assert!(
        with_both.count() > 0,
        "some carried SACK blocks beside data"
    );
}

//= rfc6298 3 S3-2
//= rfc7323 4.1 S4.1-1
#[test]
fn every_round_trip_is_measured_and_duplicates_measure_nothing() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(&bytes(200_000));
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.a.info().srtt.as_millis(), 20);
    pair.delay = Duration::from_millis(40);
    pair.a.send(&bytes(250_000));
    pair.run_for(Duration::from_millis(600));
    let srtt = pair.a.info().srtt;
    assert!(srtt > Duration::from_millis(35), "{srtt:?}");
    let mut late = from_b(&mut pair);
    late.seg.options.timestamps.as_mut().unwrap().echo -= 5_000;
    pair.deliver(false, &late);
    assert_eq!(pair.a.info().srtt, srtt);
}

//= rfc7323 2.2 S2.2-1
//= rfc7323 3.2 S3.2-1
#[test]
fn a_syn_ack_offers_only_what_the_syn_did() {
    for (scale, timestamps) in [(false, false), (true, false), (false, true), (true, true)] {
        let plain = Config {
            window_scaling: scale,
            timestamps,
            ..Config::default()
        };
        let mut pair = Pair::with(plain, Config::default());
        pair.a.connect(pair.now);
        pair.settle();
        let answer = pair.sent(false)[0].options;
        assert_eq!(answer.window_scale.is_some(), scale);
        assert_eq!(answer.timestamps.is_some(), timestamps);
    }
}

//= rfc7323 2.3 S2.3-2
#[test]
fn windows_are_scaled_both_ways() {
    let mut pair = Pair::established(Config {
        rcv_buf: 1 << 20,
        rcv_buf_initial: 1 << 20,
        ..Config::default()
    });
    pair.a.send(b"x");
    pair.settle();
    let scale = WindowScale::clamped(5);
    let answer = *pair.sent(false).last().unwrap();
    // The octet that was just read is less than it takes to move the edge.
    assert_eq!(pair.a.info().snd_wnd, scale.widen(answer.window));
    assert!((1 << 20) - pair.a.info().snd_wnd <= 32 + u32::from(MSS));
}

//= rfc7323 2.4 S2.4-1
#[test]
fn what_was_in_the_window_once_stays_in_it() {
    let mut pair = Pair::established(Config::default());
    pair.b.reading = false;
    let edge = |seg: &Segment| seg.ack + (u32::from(seg.window.0) << 3);
    pair.a
        .send(b"opens the window that the SYN could not scale");
    pair.settle();
    let first = edge(pair.sent(false).last().unwrap());
    let start = pair.b.conn().rcv_nxt();
    pair.a.send(b"x");
    pair.settle();
    let second = edge(pair.sent(false).last().unwrap());
    assert!(
        second.before(first),
        "the rounding of the scale moved it left"
    );
    let mut last = with_data(from_a(&mut pair), b"12345678");
    last.seg.seq = first - 8;
    assert!(last.seg.seq.after(start));
    let got = pair.b.input(&last, pair.now).len();
    assert_eq!((got, pair.b.drops.len()), (0, 0));
    let ack = pair.b.poll(pair.now)[0].seg;
    assert_eq!(ack.options.sack.as_slice()[0].right, first);
}

//= rfc7323 5.4 S5.4-1
#[test]
fn timestamps_tick_once_a_millisecond() {
    let mut pair = Pair::new(Config::default());
    pair.a.connect(pair.now);
    pair.run_for_with(Duration::from_millis(3_500), |_, _| Fate::Drop);
    let values: Vec<u32> = pair
        .sent(true)
        .iter()
        .map(|syn| syn.options.timestamps.unwrap().value)
        .collect();
    assert_eq!(values.len(), 3);
    let passed = |n: usize| values[n].wrapping_sub(values[0]);
    assert_eq!((passed(1), passed(2)), (1_000, 3_000));
}

//= rfc7323 3.2 S3.2-6 S3.2-7
#[test]
fn an_echo_without_an_ack_means_nothing() {
    let (mut end, syn) = connecting(flow(), Config::default());
    assert_eq!(syn.options.timestamps.unwrap().echo, 0);
    let crossing = Packet {
        ecn_capable: false,
        seg: Segment {
            seq: SeqNumber::new(900),
            flags: Flags::SYN,
            options: Options {
                timestamps: Some(Timestamps {
                    value: 1,
                    echo: syn.options.timestamps.unwrap().value,
                }),
                ..Options::default()
            },
            ..Segment::default()
        },
        data: vec![],
    };
    end.input(&crossing, Instant::from_nanos(50_000_000));
    assert_eq!(end.state(), State::SynReceived);
    assert_eq!(end.info().srtt, Duration::ZERO);
}

//= rfc5681 3.1 S3.1-1
//= rfc7323 2.4 S2.4-3
#[test]
fn no_more_is_in_flight_than_both_windows_allow() {
    for rcv_buf in [10_000, 200_000] {
        let mut pair = pair_with_lazy_reader(rcv_buf);
        pair.b.reading = true;
        for _ in 0..200 {
            pair.a.send(&bytes(100_000));
            pair.step(|_, _| Fate::Deliver);
            let info = pair.a.info();
            assert!(info.in_flight <= info.cwnd.min(info.snd_wnd), "{info:?}");
        }
    }
}

//= rfc5681 4.2 S4.2-4
#[test]
fn no_segment_is_acknowledged_twice() {
    let mut pair = Pair::established(Config::default());
    for _ in 0..20 {
        pair.a.send(&bytes(5_000));
        pair.settle();
    }
    let segments = pair.sent(true).iter().filter(|s| s.payload_len > 0).count();
    assert!(pair.sent(false).len() <= segments);
}

//= rfc5681 4.1 S4.1-1
#[test]
fn after_a_pause_the_window_is_the_initial_one() {
    let mut pair = Pair::established(roomy());
    windows(&mut pair, 4);
    pair.run_for(Duration::from_secs(2));
    assert!(pair.a.info().cwnd as usize > 20 * FULL);
    pair.a.send(&bytes(100 * FULL));
    assert_eq!(pair.a.poll(pair.now).len(), 10);
}

//= rfc9293 3.6.1 SHLD-4
//= rfc6191 2 S2-1 S2-2 S2-3
#[test]
fn time_wait_tells_new_syns_from_old_ones() {
    let reopens = |later: Option<i32>, further: i32| {
        let mut pair = Pair::established(Config::default());
        let mut syn = from_b(&mut pair);
        pair.a.conn().shutdown();
        pair.settle();
        pair.b.conn().shutdown();
        let mut recent = 0;
        pair.run_for_with(Duration::from_millis(150), |to_b, p| {
            if !to_b {
                recent = p.seg.options.timestamps.unwrap().value;
                syn.seg.seq = p.seg.seq + p.seg.seq_len();
            }
            Fate::Deliver
        });
        assert_eq!(pair.a.state(), State::TimeWait);
        syn.seg.flags = Flags::SYN;
        syn.seg.seq = SeqNumber::new(syn.seg.seq.get().wrapping_add(further as u32));
        syn.seg.options.timestamps = later.map(|later| Timestamps {
            value: recent.wrapping_add(later as u32),
            echo: 0,
        });
        pair.a.listening = true;
        let answer = pair.a.input(&syn, pair.now);
        assert_eq!(answer.len(), 1);
        answer[0].seg.flags.contains(Flags::SYN)
    };
    assert!(reopens(Some(1), -500) && reopens(Some(1), 500));
    assert!(reopens(Some(0), 500) && !reopens(Some(0), -500));
    assert!(reopens(None, 500) && !reopens(None, -500));
    assert!(!reopens(Some(-1), 500));
}

//= rfc6298 5 S5-2 S5-3 S5-4
#[test]
fn the_timer_runs_while_something_is_outstanding() {
    let mut pair = Pair::established(classic());
    assert!(!pair.a.deadline().is_armed());
    pair.a.send(&bytes(2 * FULL));
    let sent = pair.a.poll(pair.now);
    let rto = pair.a.info().rto;
    assert_eq!(pair.a.deadline(), pair.now + rto);
    for (n, armed) in [(0, true), (1, false)] {
        pair.now += Duration::from_millis(5);
        let mut ack = from_b(&mut pair);
        ack.seg.ack = sent[n].seg.seq + FULL as u32;
        pair.a.input(&ack, pair.now);
        let expected = pair.now + pair.a.info().rto;
        assert_eq!(
            pair.a.deadline(),
            if armed { expected } else { Instant::NEVER }
        );
    }
}

//= rfc5681 3.2 S3.2-2
#[test]
fn what_fills_a_gap_is_acknowledged_at_once() {
    let mut pair = Pair::established(Config {
        quick_acks: 0,
        ..Config::default()
    });
    let gap = with_data(from_a(&mut pair), b"gap");
    let mut ahead = with_data(from_a(&mut pair), b"ahead");
    ahead.seg.seq += 3;
    pair.b.input(&ahead, pair.now);
    assert_eq!(pair.b.poll(pair.now).len(), 1);
    pair.b.input(&gap, pair.now);
    let acks = pair.b.poll(pair.now);
    assert_eq!((acks.len(), acks[0].seg.ack), (1, gap.seg.seq + 8));
}
