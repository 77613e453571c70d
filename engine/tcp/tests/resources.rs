//! Buffers that follow path and application, pacing, urgent data, lingering, and the snapshot.

mod common;

use byway_tcp::effects::CloseReason;
use byway_tcp::time::{Duration, Instant};
use byway_tcp::{Config, Limit, Recovery, State};
use byway_wire::SeqNumber;
use byway_wire::tcp::Flags;
use common::{Fate, Packet, Pair, from_a, with_data};

const MS: Duration = Duration::from_millis(1);

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 31 % 251) as u8).collect()
}

/// Sends without end for `time`, refilling the send buffer every millisecond.
fn pour(pair: &mut Pair, time: Duration) {
    let chunk = bytes(1 << 20);
    let end = pair.now + time;
    while pair.now < end {
        pair.a.send(&chunk);
        pair.run_for(MS);
        pair.b.got.clear();
    }
}

fn on_a_long_path(config: Config) -> Pair {
    let mut pair = Pair::new(config);
    pair.delay = Duration::from_millis(50);
    pair.a.connect(pair.now);
    pair.run_for(Duration::from_millis(160));
    assert_eq!(pair.a.state(), State::Established);
    pair.log.clear();
    pair
}

#[test]
fn both_buffers_grow_with_what_a_long_path_carries() {
    let mut pair = on_a_long_path(Config::default());
    assert_eq!(pair.b.info().rcv_buf, 256 * 1024);
    assert_eq!(pair.a.info().snd_buf, 256 * 1024);
    pour(&mut pair, Duration::from_secs(2));
    let (a, b) = (pair.a.info(), pair.b.info());
    assert!(b.rcv_buf >= 2 << 20, "{}", b.rcv_buf);
    assert!(b.rcv_wnd >= 2 << 20, "{}", b.rcv_wnd);
    assert!(a.snd_buf >= 2 << 20, "{}", a.snd_buf);
    assert!(a.cwnd > 1 << 20, "{}", a.cwnd);
    pour(&mut pair, Duration::from_secs(4));
    assert!(pair.b.info().rcv_buf <= Config::default().rcv_buf);
    assert!(pair.a.info().snd_buf <= Config::default().snd_buf);
    assert!(pair.a.info().buffered <= Config::default().snd_buf);
}

#[test]
fn a_slow_reader_keeps_the_buffer_that_it_has() {
    let mut pair = on_a_long_path(Config::default());
    pair.b.reading = false;
    let chunk = bytes(1 << 20);
    for _ in 0..100 {
        pair.a.send(&chunk);
        pair.run_for(100 * MS);
        // A hundred kilobytes in a round trip: less than half of what there is.
        pair.b.read(100_000);
    }
    assert_eq!(pair.b.info().rcv_buf, 256 * 1024);
    assert!(pair.b.unread.len() <= 256 * 1024);
}

#[test]
fn buffers_of_one_size_stay() {
    let mut pair = on_a_long_path(Config {
        rcv_buf: 100_000,
        snd_buf: 50_000,
        ..Config::default()
    });
    pour(&mut pair, Duration::from_secs(2));
    assert_eq!(pair.b.info().rcv_buf, 100_000);
    assert_eq!(pair.a.info().snd_buf, 50_000);
}

#[test]
fn the_low_water_mark_bounds_what_was_not_sent() {
    let mut pair = on_a_long_path(Config::default());
    pair.a
        .with_conn(|conn, tcp| conn.set_not_sent_low_water(10_000, tcp));
    assert_eq!(pair.a.send(&bytes(100_000)), 10_000);
    assert_eq!(pair.a.send(b"more"), 0);
    pair.flush();
    assert_eq!(pair.a.info().unsent, 0);
    assert_eq!(pair.a.send(&bytes(100_000)), 10_000);
    pair.a
        .with_conn(|conn, tcp| conn.set_not_sent_low_water(u32::MAX, tcp));
    assert!(pair.a.send(&bytes(100_000)) >= 90_000);
}

/// Times at which data segments left, and how many at each.
fn departures(pair: &Pair, from: Instant) -> Vec<(Duration, usize)> {
    let mut out: Vec<(Duration, usize)> = vec![];
    for (at, to_b, packet) in &pair.queue {
        if *to_b && !packet.data.is_empty() {
            let left = (*at - pair.delay).since(from);
            match out.last_mut() {
                Some((when, count)) if *when == left => *count += 1,
                _ => out.push((left, 1)),
            }
        }
    }
    out
}

/// A window of a hundred segments, of which ten may leave at once.
fn with_a_wide_window() -> Pair {
    let mut pair = on_a_long_path(Config {
        initial_window: 100,
        ..Config::default()
    });
    pair.a.tcp.config.pacing = true;
    pair.a.tcp.config.initial_window = 10;
    pair.run_for(MS);
    pair
}

#[test]
fn a_window_leaves_spread_over_the_round_trip_after_an_initial_burst() {
    let mut pair = with_a_wide_window();
    let start = pair.now;
    pair.a.send(&bytes(40 * 1448));
    pair.run_for(Duration::from_millis(49));
    let departures = departures(&pair, start);
    assert!((10..=12).contains(&departures[0].1), "{departures:?}");
    assert_eq!(departures[0].0, Duration::ZERO);
    let later = &departures[1..];
    assert!(later.len() > 10, "{departures:?}");
    assert!(later.iter().all(|(_, count)| *count <= 4), "{departures:?}");
    assert_eq!(departures.iter().map(|(_, count)| count).sum::<usize>(), 40);
}

#[test]
fn what_waits_for_its_turn_says_so_and_has_a_timer() {
    let mut pair = with_a_wide_window();
    pair.a.send(&bytes(100_000));
    pair.flush();
    assert_eq!(pair.a.info().limit, Limit::Pacing);
    let wait = pair.a.deadline().since(pair.now);
    assert!(wait < 10 * MS, "{wait:?}");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.a.info().limit, Limit::Application);
    assert_eq!(pair.a.info().in_flight, 0);
}

#[test]
fn pacing_costs_a_bulk_transfer_nothing() {
    let moved = |pacing| {
        let mut pair = on_a_long_path(Config::default());
        pair.a.tcp.config.pacing = pacing;
        pair.b.tcp.config.pacing = pacing;
        pour(&mut pair, Duration::from_secs(3));
        pair.b.info().octets_received as f64
    };
    let ratio = moved(true) / moved(false);
    assert!(ratio > 0.9, "{ratio}");
}

//= rfc9293 3.8.5 MUST-30 MUST-31 MUST-32 MUST-33 MUST-62
#[test]
fn urgent_data_is_announced_and_its_end_is_known() {
    let mut pair = Pair::established(Config::default());
    pair.b.reading = false;
    pair.a.send(b"calm");
    pair.settle();
    assert_eq!((pair.b.urgent, pair.b.urgent_left()), (0, 0));
    pair.log.clear();
    // More than the 16 bits of the pointer tell at once.
    pair.a.send_urgent(&bytes(100_000));
    pair.a.send(b"calm again");
    pair.settle();
    assert!(pair.b.urgent >= 1);
    assert_eq!(pair.b.urgent_left(), 100_004);
    pair.b.read(4);
    assert_eq!(pair.b.urgent_left(), 100_000);
    pair.b.read(99_999);
    assert_eq!(pair.b.urgent_left(), 1);
    pair.b.read(1);
    assert_eq!(pair.b.urgent_left(), 0);
    let sent = pair.sent(true);
    let first = sent.first().unwrap();
    assert!(first.flags.contains(Flags::URG));
    assert_eq!(first.urgent, 0xffff);
    let last = sent.iter().rev().find(|seg| seg.payload_len > 0).unwrap();
    let tail = if last.flags.contains(Flags::URG) {
        u32::from(last.urgent)
    } else {
        0
    };
    assert_eq!(last.payload_len - tail, 10, "up to the octet after it");
    pair.log.clear();
    pair.a.send(b"x");
    pair.settle();
    assert!(!pair.sent(true)[0].flags.contains(Flags::URG));
    // The same pointer again tells nothing new, a later one does.
    let told = pair.b.urgent;
    let mut again = with_data(from_a(&mut pair), b"!");
    again.seg.flags |= Flags::URG;
    again.seg.urgent = 1;
    pair.deliver(true, &again);
    assert_eq!(pair.b.urgent, told + 1);
    pair.deliver(true, &again);
    assert_eq!(pair.b.urgent, told + 1);
    assert_eq!(pair.b.urgent_left() as usize, pair.b.unread.len());
}

//= rfc9293 3.4 MUST-66
//= rfc9293 3.8.5 MUST-30
#[test]
fn urgency_passes_a_closed_window_both_ways() {
    let mut pair = Pair::established(Config {
        rcv_buf: 8_000,
        ..Config::default()
    });
    pair.b.reading = false;
    pair.a.send(&bytes(20_000));
    pair.run_for(Duration::from_secs(3));
    assert_eq!(pair.a.info().snd_wnd, 0);
    assert_eq!(pair.a.info().limit, Limit::PeerWindow);
    pair.log.clear();
    pair.a.send_urgent(b"!");
    pair.run_for(5 * MS);
    let said = pair.sent(true)[0];
    assert!(said.flags.contains(Flags::URG) && said.payload_len == 0);
    pair.run_for(20 * MS);
    assert_eq!(pair.b.urgent, 1);
    assert_eq!(pair.b.urgent_left(), 20_001);
    // A reset counts as well while the window is closed.
    let mut reset = from_a(&mut pair);
    reset.seg.flags = Flags::RST;
    pair.deliver(true, &reset);
    assert_eq!(pair.b.closed, Some(CloseReason::Reset));
}

//= rfc9293 3.10.7.4
#[test]
fn an_urgent_pointer_out_of_place_means_nothing() {
    let mut pair = Pair::established(Config::default());
    let mut plain = with_data(from_a(&mut pair), b"no flag");
    plain.seg.urgent = 3;
    pair.deliver(true, &plain);
    assert_eq!(pair.b.urgent, 0, "a pointer without URG");
    let mut old = from_a(&mut pair);
    old.seg.seq = old.seg.seq - 1;
    old.seg.flags |= Flags::URG;
    old.seg.urgent = 5;
    pair.deliver(true, &old);
    assert_eq!(pair.b.urgent, 0, "a segment outside the window");
    let mut zero = from_a(&mut pair);
    zero.seg.seq = pair.b.conn().rcv_nxt();
    zero.seg.flags |= Flags::URG;
    pair.deliver(true, &zero);
    assert_eq!((pair.b.urgent, pair.b.urgent_left()), (0, 0), "of nothing");
}

#[test]
fn a_close_that_lingers_too_long_is_a_reset() {
    let mut pair = Pair::established(Config::default());
    let limit = Some(Duration::from_secs(3));
    pair.a.with_conn(|conn, tcp| conn.set_linger(limit, tcp));
    pair.a.send(&bytes(1000));
    pair.a.close(pair.now);
    pair.log.clear();
    pair.run_for_with(Duration::from_millis(2900), |_, _| Fate::Drop);
    assert_eq!(pair.a.closed, None);
    pair.run_for_with(Duration::from_millis(200), |_, _| Fate::Drop);
    assert_eq!(pair.a.closed, Some(CloseReason::Aborted));
    assert!(pair.sent(true).last().unwrap().flags.contains(Flags::RST));
}

#[test]
fn a_close_that_is_acknowledged_in_time_does_not_linger() {
    let mut pair = Pair::established(Config::default());
    let limit = Some(Duration::from_secs(3));
    pair.a.with_conn(|conn, tcp| conn.set_linger(limit, tcp));
    pair.a.send(&bytes(1000));
    pair.a.close(pair.now);
    pair.run_for(Duration::from_secs(10));
    assert_eq!((pair.a.closed, pair.a.state()), (None, State::FinWait2));
    pair.b.shutdown();
    pair.settle();
    assert_eq!(pair.a.closed, Some(CloseReason::Finished));
}

//= rfc9293 3.8.3 MUST-21
#[test]
fn a_connection_has_a_user_timeout_of_its_own() {
    let mut pair = Pair::established(Config::default());
    let limit = Some(Duration::from_secs(5));
    pair.a
        .with_conn(|conn, tcp| conn.set_user_timeout(limit, tcp));
    pair.a.send(b"hello?");
    let start = pair.now;
    pair.run_for_with(Duration::from_secs(60), |_, _| Fate::Drop);
    assert_eq!(pair.a.closed, Some(CloseReason::TimedOut));
    let gave_up = pair.log.last().map(|_| pair.now.since(start));
    assert!(gave_up.is_some());
    assert!(pair.sent(true).len() < 7, "{}", pair.sent(true).len());
}

#[test]
fn the_snapshot_tells_the_story_of_a_transfer() {
    let mut pair = on_a_long_path(Config::default());
    let fresh = pair.a.info();
    assert_eq!(fresh.octets_acknowledged, 0);
    assert_eq!(fresh.min_rtt, Some(100 * MS));
    assert_eq!(fresh.limit, Limit::Application);
    assert!(fresh.timestamps && fresh.sack && !fresh.ecn);
    assert_eq!((fresh.snd_scale, fresh.rcv_scale), (7, 7));
    pair.a.send(&bytes(200_000));
    pair.flush();
    assert_eq!(pair.a.info().limit, Limit::CongestionWindow);
    let mut n = 0;
    pair.run_for_with(Duration::from_secs(5), |to_b, packet| {
        n += u32::from(to_b && !packet.data.is_empty());
        if to_b && n == 20 {
            n += 1;
            Fate::Drop
        } else {
            Fate::Deliver
        }
    });
    let (a, b) = (pair.a.info(), pair.b.info());
    assert_eq!(a.octets_acknowledged, 200_000);
    assert_eq!(b.octets_received, 200_000);
    assert_eq!((a.segments_resent, a.octets_resent), (1, 1448));
    assert_eq!((a.timeouts, a.lost, a.sacked), (0, 0, 0));
    assert_eq!(a.recovery, Recovery::Open);
    // A window of some dozen segments in each tenth of a second.
    assert!(
        (100_000..2_000_000).contains(&a.delivery_rate),
        "{}",
        a.delivery_rate
    );
}

/// A pair whose opener begins so many octets before the wrap of its sequence numbers.
fn wrapping_after(octets: u32) -> Pair {
    let mut pair = Pair::new(Config::default());
    pair.a.connect(pair.now);
    let iss = pair.a.poll(pair.now)[0].seg.seq;
    let mut pair = Pair::new(Config::default());
    // The clock of initial sequence numbers moves by one every 64 ns.
    let ahead = SeqNumber::new(0u32.wrapping_sub(octets)).offset_from(iss);
    pair.now += Duration::from_nanos(u64::from(ahead) * 64);
    pair.a.connect(pair.now);
    pair.settle();
    pair
}

#[test]
fn octets_are_counted_beyond_the_wrap_of_sequence_numbers() {
    let mut pair = wrapping_after(50_000);
    let before = pair.a.conn().rcv_nxt();
    pair.a.send(&bytes(200_000));
    pair.run_for(Duration::from_secs(2));
    assert!(pair.b.conn().rcv_nxt().get() < 200_000, "it wrapped");
    assert_eq!(pair.a.conn().rcv_nxt(), before);
    assert_eq!(pair.a.info().octets_acknowledged, 200_000);
    assert_eq!(pair.b.info().octets_received, 200_000);
}

//= rfc8985 6.3 S6.3-1
#[test]
fn a_timeout_does_not_send_again_what_left_just_now() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(&bytes(500));
    pair.flush();
    let lost = pair.log.last().unwrap().1.seg.seq;
    let before = |to_b: bool, packet: &Packet| to_b && packet.seg.seq == lost;
    // Everything of the first segment is lost, until shortly before the timeout.
    let drop_first = |to_b: bool, packet: &Packet| match before(to_b, packet) {
        true => Fate::Drop,
        false => Fate::Deliver,
    };
    while pair.a.tcp.counters.loss_probes == 0 {
        pair.run_for_with(MS, drop_first);
    }
    let wait = pair.a.deadline().since(pair.now);
    pair.run_for_with(wait - 5 * MS, drop_first);
    pair.log.clear();
    pair.a.send(&bytes(700));
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.a.tcp.counters.timeouts, 1);
    let fresh = pair.sent(true);
    let second = fresh.iter().filter(|seg| seg.payload_len == 700).count();
    assert_eq!(second, 1, "{fresh:?}");
    assert_eq!(pair.b.got.len(), 1200);
}

/// A duplicate that is reported when all is acknowledged still says that nothing was lost.
//= rfc2883 5 S5-1
#[test]
fn a_late_report_takes_a_reduction_back() {
    let mut pair = Pair::established(Config {
        timestamps: false,
        ..Config::default()
    });
    pair.a.send(&bytes(5 * 1460));
    let window = pair.a.info().cwnd;
    // Nothing is lost: a second on the way is too long for the timer, and then all comes.
    let mut held = 0;
    pair.run_for_with(Duration::from_secs(4), |to_b, _| {
        held += u32::from(to_b);
        if to_b && held <= 6 {
            Fate::Delay(Duration::from_secs(1))
        } else {
            Fate::Deliver
        }
    });
    assert!(pair.a.tcp.counters.retrans_segs > 0);
    assert_eq!(pair.a.info().in_flight, 0);
    assert!(pair.a.info().cwnd >= window, "{}", pair.a.info().cwnd);
    assert_eq!(pair.a.info().ssthresh, u32::MAX);
}

#[test]
fn a_window_update_ends_what_the_peer_held_back() {
    let mut pair = Pair::established(Config {
        rcv_buf: 8_000,
        ..Config::default()
    });
    pair.b.reading = false;
    pair.a.send(&bytes(20_000));
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.a.info().limit, Limit::PeerWindow);
    assert_eq!(pair.a.info().unsent, 12_000);
    pair.b.reading = true;
    pair.b.read(usize::MAX);
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.a.info().limit, Limit::Application);
    assert_eq!(pair.b.got.len(), 20_000);
}

//= rfc9293 3.8.6.3 SHLD-18
#[test]
fn without_a_delay_every_segment_is_acknowledged_at_once() {
    let acks = |delayed_ack| {
        let mut pair = Pair::established(Config {
            delayed_ack,
            quick_acks: 0,
            ..Config::default()
        });
        for _ in 0..10 {
            pair.a.send(b"x");
            pair.run_for(15 * MS);
        }
        pair.sent(false).len()
    };
    assert_eq!(acks(Duration::ZERO), 10);
    assert!(acks(40 * MS) < 6);
}
