//! Defects that were found by reading the RFCs against the code, each with the test that shows it.
mod common;
use byway_tcp::effects::CloseReason;
use byway_tcp::segment::Segment;
use byway_tcp::time::{Duration, Instant};
use byway_tcp::{Config, State};
use byway_wire::SeqNumber;
use byway_wire::tcp::{Flags, Options, Timestamps, WireWindow};
use common::{End, Fate, MSS, Packet, Pair, bytes, classic, flow, from_a, from_b, reversed};

const FULL: usize = MSS as usize - 12;

/// A listener's half-open entry; returns (end, irs+1, iss+1).
fn half_open(config: Config) -> (End, SeqNumber, SeqNumber) {
    let now = Instant::from_nanos(0);
    let mut end = End::new(config, reversed(flow()), 5);
    end.listening = true;
    let syn = Packet {
        ecn_capable: false,
        seg: Segment {
            seq: SeqNumber::new(700),
            flags: Flags::SYN,
            window: WireWindow(0xffff),
            options: Options {
                timestamps: Some(Timestamps { value: 1, echo: 0 }),
                mss: Some(1460),
                ..Options::default()
            },
            ..Segment::default()
        },
        data: vec![],
    };
    let answer = end.input(&syn, now).remove(0).seg;
    (end, SeqNumber::new(701), answer.seq + 1)
}

// handshake ACK without timestamps after timestamps were agreed on.
#[test]
fn accepting_ack_without_timestamps_leaves_no_timerless_connection() {
    let (mut end, seq, ack) = half_open(Config::default());
    let now = Instant::from_nanos(1_000_000);
    let bare = Packet {
        ecn_capable: false,
        seg: Segment {
            seq,
            ack,
            flags: Flags::ACK,
            window: WireWindow(0xffff),
            ..Segment::default()
        },
        data: vec![],
    };
    end.input(&bare, now); // check_invariants: "no timer lost"
    assert!(
        end.state() != State::SynReceived || end.deadline().is_armed(),
        "half open for ever"
    );
}

// handshake ACK with data that starts at the right edge of the window.
#[test]
fn accepting_segment_beyond_the_window_leaves_no_timerless_connection() {
    let (mut end, seq, ack) = half_open(Config {
        timestamps: false,
        ..Config::default()
    });
    let now = Instant::from_nanos(1_000_000);
    let far = Packet {
        ecn_capable: false,
        seg: Segment {
            seq: seq + 0xffff,
            ack,
            flags: Flags::ACK,
            window: WireWindow(0xffff),
            payload_len: 4,
            ..Segment::default()
        },
        data: vec![0; 4],
    };
    end.input(&far, now);
    assert!(
        end.state() != State::SynReceived || end.deadline().is_armed(),
        "half open for ever"
    );
}

// A window shrunk to zero with data in flight; the peer answers every retransmission.
//= rfc9293 3.8.6 MUST-35 SHLD-17
#[test]
fn a_window_shrunk_to_zero_does_not_end_the_connection_while_the_peer_answers() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(&bytes(3 * FULL));
    pair.a.poll(pair.now);
    for _ in 0..60 {
        let mut answer = from_b(&mut pair);
        answer.seg.window = WireWindow(0);
        pair.a.input(&answer, pair.now);
        pair.a.poll(pair.now);
        if pair.a.conn.is_none() {
            break;
        }
        pair.now = pair.a.deadline();
        pair.a.on_timeout(pair.now);
        pair.a.poll2(pair.now);
        if pair.a.conn.is_none() {
            break;
        }
    }
    assert_eq!(pair.a.closed, None);
}

trait Poll2 {
    fn poll2(&mut self, now: Instant);
}
impl Poll2 for End {
    fn poll2(&mut self, now: Instant) {
        while let Some(conn) = self.conn.as_mut() {
            if conn.poll_transmit(now, &mut self.tcp).is_none() {
                break;
            }
        }
    }
}

// A SYN without timestamps on a connection with timestamps.
//= rfc5961 4.2 S4.2-1
#[test]
fn a_syn_without_timestamps_is_challenged_too() {
    let mut pair = Pair::established(Config::default());
    let mut syn = from_a(&mut pair);
    syn.seg.flags = Flags::SYN;
    syn.seg.options = Options::default();
    pair.b.input(&syn, pair.now);
    assert_eq!(pair.b.poll(pair.now).len(), 1);
}

// The last segment sent again has PSH as the first time.
//= rfc9293 3.9.1.2 MUST-61
#[test]
fn psh_on_the_last_segment_also_when_sent_again() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(b"tail");
    assert!(pair.a.poll(pair.now)[0].seg.flags.contains(Flags::PSH));
    pair.now = pair.a.deadline();
    pair.a.on_timeout(pair.now);
    assert!(pair.a.poll(pair.now)[0].seg.flags.contains(Flags::PSH));
}

// SYNs go on for 3 minutes.
//= rfc9293 3.8.3 MUST-22 MUST-23
#[test]
fn syn_goes_on_for_three_minutes() {
    let mut pair = Pair::new(Config::default());
    let begin = pair.now;
    pair.a.connect(pair.now);
    while pair.a.closed.is_none() {
        assert!(pair.step(|_, _| Fate::Drop));
    }
    assert_eq!(pair.a.closed, Some(CloseReason::TimedOut));
    assert!(
        pair.now.since(begin) >= Duration::from_secs(180),
        "{:?}",
        pair.now.since(begin)
    );
}

//= rfc6298 5 S5-8
#[test]
fn rto_is_three_seconds_after_a_lost_syn() {
    let config = Config {
        timestamps: false,
        ..Config::default()
    };
    let mut pair = Pair::new(config);
    pair.a.connect(pair.now);
    let mut n = 0;
    pair.run_for_with(Duration::from_secs(2), |_, _| {
        n += 1;
        if n == 1 { Fate::Drop } else { Fate::Deliver }
    });
    assert_eq!(pair.a.state(), State::Established);
    assert_eq!(pair.a.info().rto, Duration::from_secs(3));
}

// Limited transmit does not count for ssthresh.
//= rfc5681 3.2 S3.2-4 S3.2-7
#[test]
fn limited_transmit_does_not_count_for_ssthresh() {
    let mut pair = Pair::established(classic());
    pair.a.send(&bytes(30 * FULL));
    let first = pair.a.poll(pair.now).len();
    assert_eq!(first, 10);
    let update = from_b(&mut pair);
    for _ in 0..4 {
        // the first one is a window update: the SYN could not scale
        pair.a.input(&update, pair.now);
        pair.a.poll(pair.now);
    }
    if pair.a.tcp.counters.fast_retrans == 0 {
        panic!("no fast retransmit: the test is wrong");
    }
    assert_eq!(pair.a.info().ssthresh as usize, 5 * FULL);
}

// slow start after a timeout: one cumulative ACK must not open the window beyond ssthresh.
#[test]
fn one_ack_after_a_timeout_does_not_jump_over_ssthresh() {
    let mut pair = Pair::established(classic());
    pair.a.send(&bytes(40 * FULL));
    assert_eq!(pair.a.poll(pair.now).len(), 10);
    pair.now = pair.a.deadline();
    pair.a.on_timeout(pair.now);
    pair.a.poll(pair.now);
    assert_eq!(
        (pair.a.info().cwnd as usize, pair.a.info().ssthresh as usize),
        (FULL, 5 * FULL)
    );
    // the first segment was lost, the next eight had arrived
    let mut ack = from_b(&mut pair);
    ack.seg.ack += 9 * FULL as u32;
    pair.a.input(&ack, pair.now);
    assert!(
        pair.a.info().cwnd as usize <= 2 * FULL,
        "{} segments",
        pair.a.info().cwnd as usize / FULL
    );
}

// Duplicates of what a timeout sent again needlessly start no fast retransmit.
//= rfc6582 3.2 S3.2-1
#[test]
fn duplicates_after_a_timeout_start_no_fast_retransmit() {
    for config in [Config::default(), classic()] {
        duplicates_after_a_timeout(config);
    }
}

fn duplicates_after_a_timeout(config: Config) {
    let mut pair = Pair::established(config);
    pair.a.send(&bytes(40 * FULL));
    pair.a.poll(pair.now);
    // An RTO; everything is sent again though all of it had arrived.
    pair.now = pair.a.deadline();
    pair.a.on_timeout(pair.now);
    pair.a.poll2(pair.now);
    let una = from_b(&mut pair);
    let mut all = una.clone();
    all.seg.ack += 10 * FULL as u32;
    all.seg.options.timestamps.as_mut().unwrap().value += 500;
    all.seg.window = WireWindow((pair.a.info().snd_wnd >> 3) as u16);
    pair.a.input(&all, pair.now);
    pair.a.poll2(pair.now); // new data in flight
    assert!(pair.a.info().in_flight > 0);
    let ssthresh = pair.a.info().ssthresh;
    for _ in 0..3 {
        pair.a.input(&all, pair.now);
        pair.a.poll2(pair.now);
    }
    assert_eq!(pair.a.tcp.counters.fast_retrans, 0);
    assert_eq!(pair.a.info().ssthresh, ssthresh);
}

// SYN-ACK with more data than our window.
#[test]
fn data_on_a_syn_ack_is_cut_to_the_window() {
    let now = Instant::from_nanos(0);
    let mut end = End::new(
        Config {
            rcv_buf: 1000,
            ..Config::default()
        },
        flow(),
        5,
    );
    end.reading = false;
    end.connect(now);
    let syn = end.poll(now).remove(0).seg;
    let answer = Packet {
        ecn_capable: false,
        seg: Segment {
            seq: SeqNumber::new(900),
            ack: syn.seq + 1,
            flags: Flags::SYN | Flags::ACK,
            window: WireWindow(0xffff),
            payload_len: 1400,
            ..Segment::default()
        },
        data: vec![7; 1400],
    };
    end.input(&answer, now);
    assert!(end.unread.len() <= 1000);
}

// Reopening from TIME-WAIT chooses an ISS beyond the old connection's numbers.
//= rfc9293 3.6.1 MAY-2
#[test]
fn reopening_uses_larger_sequence_numbers() {
    let mut pair = Pair::established(Config {
        rcv_buf: 4 << 20,
        snd_buf: 4 << 20,
        ..Config::default()
    });
    pair.delay = Duration::from_micros(50);
    // a sends 3 MB in a few ms: far faster than the ISN clock (244 kB/s).
    let data = bytes(3_000_000);
    let mut sent = 0;
    while pair.b.got.len() < data.len() {
        sent += pair.a.send(&data[sent..]);
        assert!(pair.step(|_, _| Fate::Deliver));
    }
    pair.a.conn().shutdown();
    pair.settle();
    pair.b.conn().shutdown();
    pair.settle();
    assert_eq!(pair.a.state(), State::TimeWait);
    let last = pair
        .log
        .iter()
        .filter(|(d, _)| *d)
        .map(|(_, p)| p.seg.seq + p.seg.seq_len())
        .fold(pair.log[0].1.seg.seq, |m, s| m.max(s));
    pair.log.clear();
    pair.b.listening = false;
    pair.a.listening = true;
    pair.b.connect(pair.now);
    pair.settle();
    assert_eq!(pair.a.state(), State::Established);
    let iss = pair.sent(true)[0].seq;
    assert!(iss.after(last), "new {iss:?}, old {last:?}");
}

// A full segment with SACK blocks stays within the MSS.
//= rfc9293 3.7.1 MUST-16
#[test]
fn segments_with_sack_blocks_fit_the_mss() {
    let mut pair = Pair::established(Config::default());
    let mut ahead = from_a(&mut pair);
    ahead.seg.seq += 100;
    ahead.seg.payload_len = 5;
    ahead.data = b"ahead".to_vec();
    pair.b.input(&ahead, pair.now);
    pair.b.send(&bytes(5 * FULL));
    for p in pair.b.poll(pair.now) {
        assert!(
            p.data.len() + p.seg.options.wire_len() <= MSS as usize,
            "{} + {}",
            p.data.len(),
            p.seg.options.wire_len()
        );
    }
}

// Challenge ACKs are limited.
//= rfc5961 7 S7-1
#[test]
fn challenge_acks_are_limited() {
    let mut pair = Pair::established(Config::default());
    let mut sent = 0;
    for _ in 0..5_000 {
        let mut rst = from_a(&mut pair);
        rst.seg.flags = Flags::RST;
        rst.seg.seq += 10;
        pair.b.input(&rst, pair.now);
        sent += pair.b.poll(pair.now).len();
    }
    assert!(sent < 1_000, "{sent}");
}
// two ends out of step answer each other's ACKs for ever.
#[test]
fn no_ack_war() {
    let mut pair = Pair::established(Config {
        challenge_acks: 50,
        ..Config::default()
    });
    // both hear an ACK far outside
    let mut stray = from_a(&mut pair);
    stray.seg.seq += 1 << 30;
    let mut bounced = 0;
    let mut to_b = vec![stray];
    // b's answers are shifted on the way, as if a had restarted with other numbers
    for _ in 0..1000 {
        let mut back = vec![];
        for p in &to_b {
            pair.b.input(p, pair.now);
            back.extend(pair.b.poll(pair.now));
        }
        to_b.clear();
        for p in &back {
            let mut p = p.clone();
            p.seg.seq += 1 << 30;
            pair.a.input(&p, pair.now);
            for mut q in pair.a.poll(pair.now) {
                q.seg.seq += 1 << 30;
                to_b.push(q);
                bounced += 1;
            }
        }
    }
    assert!(bounced < 100, "{bounced}");
}
