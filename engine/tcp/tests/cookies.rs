//! SYN cookies: nothing is kept of a SYN, and everything comes back with the ACK.

use byway_tcp::effects::Effects;
use byway_tcp::segment::{Plan, Segment};
use byway_tcp::time::Instant;
use byway_tcp::{Config, Connection, Secrets, State, Tcp};
use byway_wire::tcp::{Flags, Options, Timestamps, WindowScale, WireWindow};
use byway_wire::{Address, Endpoint, FlowKey, SeqNumber};

const OFFSET: u32 = u32::MAX - 1000;

fn tcp(config: Config) -> Tcp {
    let secrets = Secrets {
        isn: [11, 12],
        timestamp_offset: OFFSET,
    };
    Tcp::new(config, secrets, 4)
}

fn flow(port: u16) -> FlowKey {
    FlowKey {
        local: Endpoint::new(Address::v4([10, 0, 0, 2]), 80),
        remote: Endpoint::new(Address::v4([10, 0, 0, 1]), port),
    }
}

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000 + 123_456_789)
}

/// A SYN with all options, asking for ECN.
fn syn(seq: u32) -> Segment {
    Segment {
        seq: SeqNumber::new(seq),
        flags: Flags::SYN | Flags::ECE | Flags::CWR,
        window: WireWindow(65_535),
        options: Options {
            mss: Some(1460),
            window_scale: Some(WindowScale::clamped(7)),
            sack_permitted: true,
            timestamps: Some(Timestamps {
                value: 500,
                echo: 0,
            }),
            ..Options::default()
        },
        ..Segment::default()
    }
}

fn without_timestamps(mut syn: Segment) -> Segment {
    syn.options.timestamps = None;
    syn
}

/// The ACK that a peer gives to a SYN-ACK.
fn answer(syn: &Segment, syn_ack: &Plan) -> Segment {
    Segment {
        seq: syn.seq + 1,
        ack: syn_ack.seq + 1,
        flags: Flags::ACK,
        window: WireWindow(1000),
        options: Options {
            timestamps: syn_ack.options.timestamps.map(|t| Timestamps {
                value: 510,
                echo: t.value,
            }),
            ..Options::default()
        },
        ..Segment::default()
    }
}

/// The connection that an ACK makes, if it does.
fn accept(tcp: &mut Tcp, port: u16, ack: &Segment, now: Instant) -> Option<(Connection, Effects)> {
    let entry = tcp.accept_cookie(flow(port), ack, 1460, now)?;
    let mut conn = Connection::accept(&entry, now, tcp);
    let mut fx = Effects::default();
    conn.on_segment(ack, now, tcp, &mut fx);
    Some((conn, fx))
}

//= rfc4987 3.6 S3.6-1 S3.6-3 S3.6-4
#[test]
fn what_was_agreed_on_comes_back_with_the_timestamp() {
    let mut tcp = tcp(Config::default());
    let syn = syn(1000);
    let syn_ack = tcp.cookie_syn_ack(flow(1), &syn, 1460, at(0));
    assert_eq!(syn_ack.flags, Flags::SYN | Flags::ACK | Flags::ECE);
    assert_eq!(syn_ack.ack, syn.seq + 1);
    assert!(syn_ack.options.sack_permitted && syn_ack.options.window_scale.is_some());
    let mut ack = answer(&syn, &syn_ack);
    ack.payload_len = 300;
    let (conn, fx) = accept(&mut tcp, 1, &ack, at(1)).expect("the cookie is good");
    assert_eq!(conn.state(), State::Established);
    assert!(fx.events.opened);
    assert_eq!((fx.deliver.len, conn.unread()), (300, 300));
    let info = conn.info(&tcp);
    assert_eq!((info.snd_wnd, info.mss), (1000 << 7, 1448));
    let counters = &tcp.counters;
    assert_eq!(
        (
            counters.syn_cookies_sent,
            counters.syn_cookies_received,
            counters.syn_cookies_failed,
            counters.passive_opens,
        ),
        (1, 1, 0, 1)
    );
    // The SYN and the ACK, once each.
    assert_eq!(counters.in_segs, 2);
}

//= rfc4987 3.6 S3.6-4
#[test]
fn a_peer_without_timestamps_gets_no_options_but_the_segment_size() {
    let mut tcp = tcp(Config::default());
    let mut syn = without_timestamps(syn(1000));
    syn.options.mss = Some(1300);
    let syn_ack = tcp.cookie_syn_ack(flow(1), &syn, 1460, at(0));
    assert_eq!(syn_ack.flags, Flags::SYN | Flags::ACK);
    assert_eq!(
        syn_ack.options,
        Options {
            mss: Some(1460),
            ..Options::default()
        }
    );
    let (conn, _) = accept(&mut tcp, 1, &answer(&syn, &syn_ack), at(1)).expect("a good cookie");
    let info = conn.info(&tcp);
    // The largest size of the table that is not beyond the peer's 1300; no scale.
    assert_eq!((info.snd_wnd, info.mss), (1000, 1220));
}

/// What we send later never has an earlier timestamp than the SYN-ACK, whose low bits are not the
/// clock's; here the clock of timestamps wraps within a second.
#[test]
fn timestamps_never_go_back() {
    let mut tcp = tcp(Config::default());
    let syn = syn(1000);
    let mut last: Option<u32> = None;
    for ms in 900..1100 {
        let now = Instant::from_nanos(ms * 1_000_000);
        let syn_ack = tcp.cookie_syn_ack(flow(1), &syn, 1460, now);
        let value = syn_ack.options.timestamps.expect("offered").value;
        let (mut conn, _) = accept(&mut tcp, 1, &answer(&syn, &syn_ack), now).expect("good");
        conn.queue(10);
        let data = conn.poll_transmit(now, &mut tcp).expect("data");
        let later = data.options.timestamps.expect("agreed on").value;
        assert_eq!(later, (ms as u32).wrapping_add(OFFSET));
        assert!(later.wrapping_sub(value) < 64);
        assert!(last.is_none_or(|last| value.wrapping_sub(last) as i32 >= 0));
        last = Some(value);
        conn.release(&mut tcp);
    }
}

//= rfc4987 3.6 S3.6-2 S3.6-5
#[test]
fn a_cookie_is_good_for_this_period_and_the_next() {
    let mut tcp = tcp(Config::default());
    let syn = syn(1000);
    let early = tcp.cookie_syn_ack(flow(1), &syn, 1460, at(63));
    let late = tcp.cookie_syn_ack(flow(1), &syn, 1460, at(64));
    assert_ne!(early.seq, late.seq, "the counter moved");
    let ack = answer(&syn, &early);
    assert!(accept(&mut tcp, 1, &ack, at(127)).is_some());
    // Others are under way, so that it is looked at and found too old.
    tcp.cookie_syn_ack(flow(9), &syn, 1460, at(128));
    assert!(accept(&mut tcp, 1, &ack, at(128)).is_none());
    assert_eq!(tcp.counters.syn_cookies_failed, 1);
    assert!(accept(&mut tcp, 1, &answer(&syn, &late), at(128)).is_some());
}

/// Long after the last one was sent no number is a cookie, not even a right one, and trying costs
/// nothing.
//= rfc4987 3.6 S3.6-5
#[test]
fn cookies_are_taken_only_while_some_are_under_way() {
    let mut tcp = tcp(Config::default());
    let syn = syn(1000);
    let mut other = crate::tcp(Config::default());
    let syn_ack = other.cookie_syn_ack(flow(1), &syn, 1460, at(1));
    let ack = answer(&syn, &syn_ack);
    assert!(
        accept(&mut tcp, 1, &ack, at(1)).is_none(),
        "none was sent here"
    );
    assert_eq!(tcp.counters.syn_cookies_failed, 0);
    tcp.cookie_syn_ack(flow(2), &syn, 1460, at(1));
    assert!(
        accept(&mut tcp, 1, &ack, at(1)).is_some(),
        "the secret is the same"
    );
    assert!(accept(&mut tcp, 1, &ack, at(500)).is_none());
    assert_eq!(tcp.counters.syn_cookies_failed, 0);
    tcp.config.syn_cookies = false;
    assert!(accept(&mut tcp, 1, &ack, at(1)).is_none());
}

//= rfc4987 3.6 S3.6-2
#[test]
fn nothing_about_a_cookie_can_be_changed() {
    let mut tcp = tcp(Config::default());
    let syn = syn(1000);
    let syn_ack = tcp.cookie_syn_ack(flow(1), &syn, 1460, at(0));
    let good = answer(&syn, &syn_ack);
    let mut tries: Vec<(u16, Segment)> = vec![(2, good)];
    let mut bad = |change: &dyn Fn(&mut Segment)| {
        let mut seg = good;
        change(&mut seg);
        tries.push((1, seg));
    };
    bad(&|seg| seg.seq += 1);
    bad(&|seg| seg.ack += 1);
    // Another segment size, window scale, SACK, ECN; no timestamps.
    bad(&|seg| seg.ack = SeqNumber::new((seg.ack - 1).get() ^ 1) + 1);
    for bit in [1, 16, 32] {
        bad(&move |seg| {
            if let Some(t) = &mut seg.options.timestamps {
                t.echo ^= bit;
            }
        });
    }
    bad(&|seg| seg.options.timestamps = None);
    let count = tries.len() as u64;
    for (port, seg) in tries {
        assert!(accept(&mut tcp, port, &seg, at(1)).is_none(), "{seg:?}");
    }
    assert_eq!(tcp.counters.syn_cookies_failed, count);
    for flags in [Flags::SYN | Flags::ACK, Flags::RST | Flags::ACK, Flags::FIN] {
        let seg = Segment { flags, ..good };
        assert!(accept(&mut tcp, 1, &seg, at(1)).is_none(), "{flags:?}");
    }
    assert_eq!(
        tcp.counters.syn_cookies_failed, count,
        "no answer to a SYN-ACK"
    );
    // The bits of the clock are not the cookie's: an echo of an older SYN-ACK is as good.
    let mut older = good;
    if let Some(t) = &mut older.options.timestamps {
        t.echo = t.echo.wrapping_sub(64);
    }
    assert!(accept(&mut tcp, 1, &older, at(1)).is_some());
    assert!(accept(&mut tcp, 1, &good, at(1)).is_some());
}

#[test]
fn sequence_numbers_wrap() {
    let mut tcp = tcp(Config::default());
    let syn = syn(u32::MAX);
    for port in 1..200 {
        let syn_ack = tcp.cookie_syn_ack(flow(port), &syn, 1460, at(0));
        let mut ack = answer(&syn, &syn_ack);
        assert_eq!(ack.seq, SeqNumber::new(0));
        ack.payload_len = 5;
        let (conn, fx) = accept(&mut tcp, port, &ack, at(1)).expect("a good cookie");
        assert_eq!((conn.rcv_nxt(), fx.deliver.len), (SeqNumber::new(5), 5));
    }
}
