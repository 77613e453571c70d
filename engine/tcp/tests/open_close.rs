//! Opening and closing: every way into and out of a connection.

mod common;

use byway_tcp::effects::{CloseReason, DropReason};
use byway_tcp::time::Duration;
use byway_tcp::{Config, State};
use byway_wire::tcp::Flags;
use common::{Fate, Packet, Pair, bytes};

//= rfc9293 3.5
#[test]
fn three_way_handshake_agrees_on_options() {
    let mut pair = Pair::new(Config::default());
    pair.a.connect(pair.now);
    pair.settle();
    assert_eq!((pair.a.opened, pair.b.opened), (1, 1));
    let syn = pair.sent(true)[0];
    assert_eq!(syn.flags, Flags::SYN);
    assert_eq!(syn.options.mss, Some(common::MSS));
    assert!(syn.options.window_scale.is_some() && syn.options.sack_permitted);
    let syn_ack = pair.sent(false)[0];
    assert_eq!(syn_ack.flags, Flags::SYN | Flags::ACK);
    assert_eq!(
        syn_ack.options.timestamps.unwrap().echo,
        syn.options.timestamps.unwrap().value
    );
    assert_eq!(pair.log.len(), 3, "SYN, SYN-ACK, ACK and nothing else");
    assert_eq!(pair.a.info().mss, common::MSS - 12);
}

//= rfc7323 2.2 S2.2-2
#[test]
fn options_that_one_side_lacks_are_not_used() {
    let plain = Config {
        timestamps: false,
        sack: false,
        window_scaling: false,
        ..Config::default()
    };
    for (a, b) in [
        (plain.clone(), Config::default()),
        (Config::default(), plain),
    ] {
        let mut pair = Pair::with(a, b);
        pair.a.connect(pair.now);
        pair.settle();
        pair.a.send(&bytes(5000));
        pair.settle();
        assert_eq!(pair.b.got, bytes(5000));
        let later = |p: &byway_tcp::segment::Segment| !p.flags.contains(Flags::SYN);
        assert!(
            pair.sent(true)
                .into_iter()
                .filter(later)
                .all(|s| s.options.timestamps.is_none())
        );
        assert_eq!(pair.a.info().mss, common::MSS);
    }
}

//= rfc9293 3.5 MUST-10
#[test]
fn simultaneous_open() {
    let mut pair = Pair::new(Config::default());
    pair.b.listening = false;
    pair.a.connect(pair.now);
    pair.b.connect(pair.now);
    pair.settle();
    assert_eq!(
        (pair.a.state(), pair.b.state()),
        (State::Established, State::Established)
    );
    assert_eq!((pair.a.opened, pair.b.opened), (1, 1));
    pair.a.send(b"from a");
    pair.b.send(b"from b");
    pair.settle();
    assert_eq!(
        (&pair.a.got[..], &pair.b.got[..]),
        (&b"from b"[..], &b"from a"[..])
    );
}

#[test]
fn simultaneous_open_survives_losses() {
    for lost in 0..4 {
        let mut pair = Pair::new(Config::default());
        pair.b.listening = false;
        pair.a.connect(pair.now);
        pair.b.connect(pair.now);
        let mut n = 0;
        pair.run_for_with(Duration::from_secs(5), |_, _| {
            n += 1;
            if n - 1 == lost {
                Fate::Drop
            } else {
                Fate::Deliver
            }
        });
        let states = (pair.a.state(), pair.b.state());
        assert_eq!(
            states,
            (State::Established, State::Established),
            "lost packet {lost}"
        );
    }
}

#[test]
fn every_handshake_segment_may_be_lost() {
    for lost in 0..3 {
        let mut pair = Pair::new(Config::default());
        pair.a.connect(pair.now);
        let mut n = 0;
        let mut tamper = |_: bool, _: &Packet| {
            n += 1;
            if n - 1 == lost {
                Fate::Drop
            } else {
                Fate::Deliver
            }
        };
        pair.run_for_with(Duration::from_secs(4), &mut tamper);
        assert_eq!(pair.a.state(), State::Established, "lost packet {lost}");
        pair.a.send(b"hello");
        pair.run_for(Duration::from_secs(4));
        assert_eq!(pair.b.got, b"hello");
    }
}

//= rfc9293 3.6 MUST-12
//= rfc9293 3.8.3 MUST-22
#[test]
fn refused_timed_out_unreachable_and_reset_are_told_apart() {
    let mut pair = Pair::new(Config::default());
    pair.b.listening = false;
    pair.a.connect(pair.now);
    pair.settle();
    assert_eq!(pair.a.closed, Some(CloseReason::Refused));

    let mut pair = Pair::new(Config::default());
    pair.a.connect(pair.now);
    pair.run_for_with(Duration::from_secs(300), |_, _| Fate::Drop);
    assert_eq!(pair.a.closed, Some(CloseReason::TimedOut));
    assert_eq!(pair.sent(true).len(), 8, "the SYN and seven retries");

    let mut pair = Pair::new(Config::default());
    pair.a.connect(pair.now);
    pair.flush();
    let seq = pair.sent(true)[0].seq;
    let mut fx = Default::default();
    let conn = pair.a.conn.as_mut().unwrap();
    conn.on_unreachable(seq + 1, &mut pair.a.tcp, &mut fx);
    assert_eq!(fx.closed, None, "not a segment of ours");
    conn.on_unreachable(seq, &mut pair.a.tcp, &mut fx);
    assert_eq!(fx.closed, Some(CloseReason::Unreachable));

    let mut pair = Pair::established(Config::default());
    let reset = pair.b.abort(pair.now);
    pair.put(false, reset);
    pair.settle();
    assert_eq!(pair.a.closed, Some(CloseReason::Reset));
}

//= rfc9293 3.6
//= rfc9293 3.6 MUST-12
#[test]
fn four_way_close_ends_in_time_wait_on_one_side_only() {
    let mut pair = Pair::established(Config::default());
    pair.a.conn().shutdown();
    pair.settle();
    assert_eq!(
        (pair.a.state(), pair.b.state()),
        (State::FinWait2, State::CloseWait)
    );
    assert_eq!(pair.b.peer_closed, 1);
    pair.b.send(b"half-closed, still talking");
    pair.settle();
    assert_eq!(pair.a.got, b"half-closed, still talking");
    pair.b.conn().shutdown();
    pair.settle();
    assert_eq!(
        (pair.a.state(), pair.b.state()),
        (State::TimeWait, State::Listen)
    );
    assert_eq!(pair.a.closed, Some(CloseReason::Finished));
    assert_eq!(pair.b.closed, Some(CloseReason::Finished));
}

#[test]
fn combined_close_takes_three_segments() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(b"bye");
    pair.a.conn().shutdown();
    pair.run_for(Duration::from_millis(10));
    pair.b.conn().shutdown();
    pair.settle();
    assert_eq!(
        (pair.a.state(), pair.b.state()),
        (State::TimeWait, State::Listen)
    );
    let fin = Flags::FIN;
    assert!(
        pair.sent(true)[0].flags.contains(fin),
        "the FIN rides on the data"
    );
}

//= rfc9293 3.6
#[test]
fn simultaneous_close() {
    let mut pair = Pair::established(Config::default());
    pair.a.conn().shutdown();
    pair.b.conn().shutdown();
    pair.settle();
    assert_eq!(
        (pair.a.state(), pair.b.state()),
        (State::TimeWait, State::TimeWait)
    );
}

#[test]
fn closing_survives_the_loss_of_any_segment() {
    for lost in 0..6 {
        let mut pair = Pair::established(Config::default());
        pair.a.conn().shutdown();
        let mut n = 0;
        let mut tamper = |_: bool, _: &Packet| {
            n += 1;
            if n - 1 == lost {
                Fate::Drop
            } else {
                Fate::Deliver
            }
        };
        pair.run_for_with(Duration::from_secs(3), &mut tamper);
        pair.b.conn().shutdown();
        pair.run_for_with(Duration::from_secs(3), &mut tamper);
        assert_eq!(
            (pair.a.state(), pair.b.state()),
            (State::TimeWait, State::Listen),
            "{lost}"
        );
    }
}

#[test]
fn fins_do_not_overtake_an_application_that_reads_late() {
    let mut pair = Pair::established(Config::default());
    pair.a.reading = false;
    pair.a.conn().shutdown();
    pair.b.send(&bytes(3000));
    pair.settle();
    pair.b.conn().shutdown();
    pair.settle();
    assert_eq!(pair.a.closed, Some(CloseReason::Finished));
    pair.a.read(1000);
    pair.a.read(2000);
    assert_eq!(pair.a.got, bytes(3000));
}

//= rfc9293 3.6.1 SHLD-3 MAY-1
#[test]
fn closing_with_unread_data_resets() {
    let mut pair = Pair::established(Config::default());
    pair.b.reading = false;
    pair.a.send(b"never read");
    pair.settle();
    let out = pair.b.close(pair.now);
    pair.put(false, out);
    pair.settle();
    assert_eq!(pair.a.closed, Some(CloseReason::Reset));
    assert_eq!(pair.b.closed, Some(CloseReason::Aborted));
}

//= rfc9293 3.6.1 SHLD-3 MAY-1
#[test]
fn data_after_a_full_close_resets() {
    let mut pair = Pair::established(Config::default());
    let out = pair.b.close(pair.now);
    pair.put(false, out);
    pair.settle();
    assert_eq!(pair.b.state(), State::FinWait2);
    pair.a.send(b"too late");
    pair.settle();
    assert_eq!(pair.a.closed, Some(CloseReason::Reset));
    assert_eq!(pair.b.drops, [DropReason::AfterClose]);
}

#[test]
fn a_full_close_does_not_wait_for_ever() {
    let mut pair = Pair::established(Config::default());
    let out = pair.b.close(pair.now);
    pair.put(false, out);
    pair.settle();
    pair.run_for(Duration::from_secs(61));
    assert_eq!(pair.b.closed, Some(CloseReason::TimedOut));
}

//= rfc9293 3.6.1 SHLD-4
//= rfc6191 2 S2-1
#[test]
fn time_wait_answers_a_fin_again_and_reopens_for_a_new_syn() {
    let mut pair = Pair::established(Config::default());
    pair.a.conn().shutdown();
    pair.settle();
    pair.b.conn().shutdown();
    let mut fin = None;
    pair.run_for_with(Duration::from_millis(10), |to_b, p| {
        fin = (!to_b).then(|| p.clone());
        Fate::Deliver
    });
    pair.settle();
    pair.log.clear();
    pair.deliver(false, &fin.expect("a FIN from b"));
    assert_eq!(pair.sent(true)[0].flags, Flags::ACK);
    // Now the same two ends again, from the other side's view: b opens, a is in TIME-WAIT.
    pair.settle();
    pair.b.listening = false;
    pair.a.listening = true;
    pair.b.connect(pair.now);
    pair.settle();
    assert_eq!(
        (pair.a.state(), pair.b.state()),
        (State::Established, State::Established)
    );
}

//= rfc5961 3.2 S3.2-1 S3.2-2 S3.2-3
#[test]
fn a_reset_must_hit_rcv_nxt_exactly() {
    let mut pair = Pair::established(Config::default());
    pair.a.send(b"x");
    pair.settle();
    let last = *pair.sent(true).last().unwrap();
    let rst = |offset: i64| Packet {
        ecn_capable: false,
        seg: byway_tcp::segment::Segment {
            seq: last.seq + (last.payload_len as i64 + offset) as u32,
            flags: Flags::RST,
            ..Default::default()
        },
        data: vec![],
    };
    pair.log.clear();
    pair.deliver(true, &rst(100));
    pair.flush();
    assert_eq!(pair.b.drops, [DropReason::ResetChallenged]);
    assert_eq!(pair.sent(false).len(), 1, "a challenge ACK");
    pair.deliver(true, &rst(-100));
    assert_eq!(pair.b.drops[1], DropReason::ResetOutOfWindow);
    pair.deliver(true, &rst(0));
    assert_eq!(pair.b.closed, Some(CloseReason::Reset));
}

//= rfc5961 4.2 S4.2-1
//= rfc7323 5.3 S5.3-2
#[test]
fn a_syn_on_an_open_connection_is_challenged() {
    let mut pair = Pair::established(Config::default());
    let mut syn = Packet {
        ecn_capable: false,
        seg: Default::default(),
        data: vec![],
    };
    syn.seg.flags = Flags::SYN;
    syn.seg.seq = byway_wire::SeqNumber::new(12_345);
    pair.log.clear();
    for in_window in [false, true] {
        if in_window {
            let echo = pair.sent(false)[0];
            syn.seg.seq = echo.ack + 10;
            syn.seg.options.timestamps =
                echo.options
                    .timestamps
                    .map(|t| byway_wire::tcp::Timestamps {
                        value: t.echo,
                        echo: t.value,
                    });
        } else {
            let value = pair.a.timestamp(pair.now);
            syn.seg.options.timestamps = Some(byway_wire::tcp::Timestamps { value, echo: 0 });
        }
        pair.deliver(true, &syn);
        pair.settle();
    }
    assert_eq!(
        pair.b.drops,
        [DropReason::OutOfWindow, DropReason::SynChallenged]
    );
    assert_eq!(pair.sent(false).len(), 2, "each is answered with an ACK");
    assert_eq!(
        (pair.a.state(), pair.b.state()),
        (State::Established, State::Established)
    );
    assert_eq!(pair.b.closed, None);
}
