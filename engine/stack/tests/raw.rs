//! One shard and, at the other end of the wire, frames made by hand.
#![allow(missing_docs)]

mod common;

use byway_stack::clock::ManualClock;
use byway_stack::mailbox::{Command, Notice};
use byway_stack::memory::MemoryPort;
use byway_stack::path::PathUpdate;
use byway_stack::port::Port;
use byway_stack::random::SplitMix;
use byway_stack::{ConnOptions, Shard, ShardConfig, SoftError};
use byway_tcp::effects::{CloseReason, DropReason};
use byway_tcp::time::Duration;
use byway_wire::ethernet::{Header as Link, MacAddr};
use byway_wire::frame::{Packet, TcpFrame, emit_tcp, parse};
use byway_wire::icmp::Kind;
use byway_wire::ip::{Dscp, Ecn};
use byway_wire::tcp::{Flags, Header, WireWindow};
use byway_wire::{Address, Endpoint, FlowKey, SeqNumber, checksum};
use common::{CLIENT, CLIENT_MAC, Event, PORT, Probe, SERVER, SERVER_MAC};

const LISTENER: Endpoint = Endpoint::new(SERVER, PORT);

struct Bench {
    clock: ManualClock,
    shard: Shard<MemoryPort, ManualClock>,
    wire: MemoryPort,
    probe: Probe,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut ShardConfig)) -> Self {
        let clock = ManualClock::default();
        let (port, wire) = MemoryPort::pair(512);
        let mut config = common::config(SERVER, SERVER_MAC);
        change(&mut config);
        let mut shard = Shard::new(port, config, clock.clone());
        let probe = Probe::echo();
        let service = shard.add_service(Box::new(probe.clone()));
        assert!(shard.listen(LISTENER, service));
        Self {
            clock,
            shard,
            wire,
            probe,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut frame = self.wire.tx_alloc().expect("the wire has room");
        self.wire.tx_bytes(&mut frame)[..bytes.len()].copy_from_slice(bytes);
        self.wire.tx_push(frame, bytes.len());
    }

    fn segment(&mut self, peer: &Peer, header: Header, payload: &[u8]) {
        let bytes = peer.frame(header, payload);
        self.send(&bytes);
    }

    /// Turns until the shard is idle; the segments that it sent.
    fn turn(&mut self) -> Vec<TcpFrame> {
        while self.shard.turn() {}
        self.shard.check_invariants().unwrap();
        assert!(!self.probe.0.borrow().failed, "an assertion in an action");
        let mut sent = Vec::new();
        let mut burst = Vec::new();
        while self.wire.rx_burst(&mut burst) > 0 {
            for frame in burst.drain(..) {
                match parse(self.wire.rx_bytes(&frame)) {
                    Packet::Tcp(segment) => sent.push(segment),
                    other => panic!("{other:?}"),
                }
                self.wire.release(frame);
            }
            self.wire.tx_commit();
        }
        self.wire.tx_commit();
        while self.shard.turn() {}
        sent
    }

    fn handshake(&mut self, peer: &Peer) -> TcpFrame {
        self.segment(peer, syn(1000), &[]);
        let answer = self.turn().pop().expect("a SYN-ACK");
        assert_eq!(answer.header.flags, Flags::SYN | Flags::ACK);
        self.segment(peer, ack(1001, answer.header.seq + 1), &[]);
        assert_eq!(self.turn().len(), 0);
        answer
    }
}

struct Peer {
    link: Link,
    flow: FlowKey,
}

impl Peer {
    fn new(port: u16) -> Self {
        Self {
            link: Link {
                src: CLIENT_MAC,
                dst: SERVER_MAC,
                vlan: None,
                outer_vlan: None,
            },
            flow: FlowKey {
                local: Endpoint::new(CLIENT, port),
                remote: LISTENER,
            },
        }
    }

    fn frame(&self, header: Header, payload: &[u8]) -> Vec<u8> {
        let start = byway_wire::frame::tcp_headers_len(&self.link, &self.flow, &header);
        let mut bytes = vec![0; start + payload.len()];
        bytes[start..].copy_from_slice(payload);
        let len = payload.len();
        emit_tcp(
            &mut bytes,
            &self.link,
            &self.flow,
            &header,
            Ecn::NotEct,
            len,
            checksum::sum,
        )
        .expect("it fits");
        bytes
    }
}

fn segment(seq: SeqNumber, ack: SeqNumber, flags: Flags) -> Header {
    Header {
        seq,
        ack,
        flags,
        window: WireWindow(60_000),
        ..Header::default()
    }
}

fn syn(seq: u32) -> Header {
    segment(SeqNumber::new(seq), SeqNumber::default(), Flags::SYN)
}

fn ack(seq: u32, ack: SeqNumber) -> Header {
    segment(SeqNumber::new(seq), ack, Flags::ACK)
}

#[test]
fn answers_go_back_where_the_question_came_from_vlan_and_all() {
    let mut bench = Bench::new();
    let mut peer = Peer::new(1000);
    peer.link.vlan = Some(42);
    peer.link.src = MacAddr([2, 0, 0, 0, 9, 9]);
    let answer = bench.handshake(&peer);
    assert_eq!(answer.link, peer.link.reversed());
    bench.segment(&peer, ack(1001, answer.header.seq + 1), b"hello");
    let echo = bench.turn();
    assert_eq!(echo[0].link, peer.link.reversed());
    assert_eq!(echo[0].payload_len(), 5);
    assert_eq!((echo.len(), echo[0].header.ack), (1, SeqNumber::new(1006)));
}

#[test]
fn one_acknowledgment_for_a_burst() {
    let mut bench = Bench::new();
    bench.probe.0.borrow_mut().echo = false;
    let peer = Peer::new(1000);
    let answer = bench.handshake(&peer);
    for at in 0..20 {
        bench.segment(
            &peer,
            ack(1001 + at * 100, answer.header.seq + 1),
            &[7; 100],
        );
    }
    let sent = bench.turn();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].header.ack, SeqNumber::new(1001 + 2000));
}

/// The ACK of the handshake was lost, and what comes is the request itself, with the FIN: all of it
/// is taken in one step. The next copy finds the connection there.
//= rfc4987 3.6 S3.6-3
#[test]
fn the_answer_to_a_cookie_may_carry_data_and_a_stranger_gets_a_reset() {
    let mut bench = Bench::with(|config| config.limits.syn_queue = 0);
    let peer = Peer::new(1000);
    bench.segment(&peer, ack(1001, SeqNumber::new(77)), &[]);
    let reset = bench.turn();
    assert_eq!(reset[0].header.flags, Flags::RST);
    assert_eq!(
        bench.shard.tcp_counters().syn_cookies_failed,
        0,
        "none was sent"
    );
    bench.segment(&peer, syn(1000), &[]);
    let cookie = bench.turn().pop().expect("a SYN-ACK").header.seq;
    assert_eq!(bench.shard.connections() + bench.shard.half_open(), 0);

    for stranger in [Peer::new(1001), Peer::new(1000)] {
        let forged = if stranger.flow == peer.flow { 2 } else { 1 };
        bench.segment(&stranger, ack(1001, cookie + forged), b"hello");
        let reset = bench.turn();
        assert_eq!(reset[0].header.flags, Flags::RST);
        assert_eq!(reset[0].header.seq, cookie + forged);
    }
    assert_eq!(bench.shard.tcp_counters().syn_cookies_failed, 2);

    let request = segment(SeqNumber::new(1001), cookie + 1, Flags::ACK | Flags::FIN);
    bench.segment(&peer, request, b"hello");
    let answers = bench.turn();
    let echo = answers.iter().find(|answer| answer.payload_len() > 0);
    assert_eq!(
        echo.expect("an echo").header.ack,
        SeqNumber::new(1001 + 5 + 1)
    );
    assert_eq!(bench.shard.tcp_counters().syn_cookies_received, 1);
    bench.segment(&peer, request, b"hello");
    bench.turn();
    assert_eq!(bench.shard.tcp_counters().syn_cookies_received, 1);
    assert_eq!(bench.shard.connections(), 1);
}

/// A cookie could lie before the sequence numbers of the connection in TIME-WAIT: its SYN waits for
/// a place in the queue instead.
#[test]
fn a_full_queue_leaves_time_wait_alone() {
    let mut bench = Bench::with(|config| config.limits.syn_queue = 1);
    let peer = Peer::new(1000);
    let seq = bench.handshake(&peer).header.seq + 1;
    let opened = bench.probe.opened()[0];
    bench.probe.on(opened, |conn| conn.shutdown());
    bench.turn();
    let fin = segment(SeqNumber::new(1001), seq + 1, Flags::ACK | Flags::FIN);
    bench.segment(&peer, fin, &[]);
    bench.turn();
    assert_eq!(bench.shard.time_waits(), 1);
    bench.segment(&Peer::new(2000), syn(5), &[]);
    bench.turn();
    assert_eq!(bench.shard.half_open(), 1);
    bench.segment(&peer, syn(900_000), &[]);
    assert_eq!(bench.turn().len(), 0);
    assert_eq!(bench.shard.time_waits(), 1);
    assert_eq!(bench.shard.counters().syn_queue_full, 1);
    // The place is free again: the other peer answers.
    bench.clock.advance(Duration::from_secs(1));
    bench.segment(
        &Peer::new(2000),
        segment(SeqNumber::new(6), SeqNumber::new(0), Flags::RST),
        &[],
    );
    bench.turn();
    bench.segment(&peer, syn(900_000), &[]);
    let again = bench.turn();
    assert!(
        again[0].header.seq.after(seq + 1),
        "beyond the old connection"
    );
    assert_eq!(bench.shard.time_waits(), 0);
}

/// What is out of order must not take the last blocks, or the segment that it waits for would find
/// no room, and nothing would ever move again.
#[test]
fn there_is_room_for_the_segment_that_fills_the_gap() {
    let mut bench = Bench::with(|config| config.limits.receive_blocks = 16);
    bench.probe.0.borrow_mut().echo = false;
    let peer = Peer::new(1000);
    let seq = bench.handshake(&peer).header.seq + 1;
    let bytes = common::pattern(40_000);
    for at in (1000..40_000).step_by(1000) {
        bench.segment(&peer, ack(1001 + at as u32, seq), &bytes[at..at + 1000]);
        bench.turn();
    }
    let kept = bench.shard.blocks_in_use().0;
    assert!(kept <= 14 && bench.shard.counters().receive_blocks_reserved > 0);
    bench.segment(&peer, ack(1001, seq), &bytes[..1000]);
    let sent = bench.turn();
    let received = bench.probe.received(bench.probe.opened()[0]);
    assert!(received.len() >= 20_000, "{}", received.len());
    assert_eq!(received, bytes[..received.len()]);
    assert_eq!(
        sent[0].header.ack,
        SeqNumber::new(1001 + received.len() as u32)
    );
    assert_eq!(bench.shard.blocks_in_use(), (0, 0));
    assert_eq!(bench.shard.counters().receive_blocks_empty, 0);
}

/// Anybody can send a SYN; the ACK shows who reads the answers.
#[test]
fn the_way_back_is_the_one_that_was_proven() {
    let mut bench = Bench::new();
    let mut peer = Peer::new(1000);
    peer.link.src = MacAddr([2, 0, 0, 0, 6, 6]);
    bench.segment(&peer, syn(1000), &[]);
    let seq = bench.turn()[0].header.seq + 1;
    peer.link.src = CLIENT_MAC;
    bench.segment(&peer, ack(1001, seq), b"hello");
    let sent = bench.turn();
    assert_eq!((sent.len(), sent[0].link.dst), (1, CLIENT_MAC));
}

#[test]
fn strangers_get_a_reset_from_our_address_only() {
    let mut bench = Bench::new();
    let mut peer = Peer::new(1000);
    bench.segment(&peer, ack(5, SeqNumber::new(77)), &[]);
    let sent = bench.turn();
    assert_eq!(
        (sent[0].header.flags, sent[0].header.seq.get()),
        (Flags::RST, 77)
    );

    bench.segment(&peer, segment(5.into_seq(), 5.into_seq(), Flags::RST), &[]);
    peer.flow.remote.address = Address::v4([10, 0, 0, 3]);
    bench.segment(&peer, syn(1), &[]);
    peer.flow.remote.address = SERVER;
    peer.link.dst = MacAddr([2, 0, 0, 0, 0, 77]);
    bench.segment(&peer, syn(1), &[]);
    peer.link.dst = MacAddr::BROADCAST;
    bench.segment(&peer, syn(1), &[]);
    peer.link.dst = SERVER_MAC;
    bench.segment(
        &peer,
        segment(1.into_seq(), 0.into_seq(), Flags::SYN | Flags::FIN),
        &[],
    );
    assert_eq!(bench.turn().len(), 0);
    let counters = bench.shard.counters();
    assert_eq!((counters.not_our_address, counters.not_our_mac), (1, 1));
    assert_eq!(
        bench.shard.tcp_counters().dropped_for(DropReason::BadFlags),
        1
    );
}

trait IntoSeq {
    fn into_seq(self) -> SeqNumber;
}

impl IntoSeq for u32 {
    fn into_seq(self) -> SeqNumber {
        SeqNumber::new(self)
    }
}

#[test]
fn unfilled_checksums_are_told_once() {
    let mut bench = Bench::new();
    let peer = Peer::new(1000);
    for _ in 0..10 {
        let mut bytes = peer.frame(syn(1), &[]);
        let pseudo = checksum::fold(checksum::pseudo_header(&CLIENT, &SERVER, 6, 20));
        bytes[50..52].copy_from_slice(&pseudo.to_be_bytes());
        bench.send(&bytes);
        assert_eq!(bench.turn().len(), 0);
    }
    assert_eq!(bench.shard.counters().csum_partial, 10);
    assert_eq!(
        bench.shard.mailbox().next_notice(),
        Some(Notice::ChecksumsUnfilled)
    );
    assert_eq!(bench.shard.mailbox().next_notice(), None);
}

#[test]
fn answers_beyond_the_limit_are_lost_and_counted() {
    let mut bench = Bench::with(|config| config.limits.replies = 5);
    for port in 1..=6 {
        bench.segment(&Peer::new(port), ack(1, SeqNumber::new(1)), &[]);
    }
    assert_eq!(bench.turn().len(), 5);
    assert_eq!(bench.shard.counters().reply_lost, 1);
}

#[test]
fn neighbours_beyond_the_limit_are_not_served() {
    let mut bench = Bench::with(|config| config.limits.paths = 3);
    for n in 1..=4 {
        let mut peer = Peer::new(1000 + u16::from(n));
        peer.link.src = MacAddr([2, 0, 0, 0, 1, n]);
        bench.segment(&peer, syn(1), &[]);
    }
    assert_eq!(bench.turn().len(), 3);
    assert_eq!(bench.shard.counters().path_table_full, 1);
    // What is known already is no new path.
    let mut peer = Peer::new(2000);
    peer.link.src = MacAddr([2, 0, 0, 0, 1, 2]);
    bench.segment(&peer, syn(1), &[]);
    assert_eq!(bench.turn().len(), 1);
}

#[test]
fn commands_and_timers_have_their_share_of_a_turn() {
    let mut bench = Bench::with(|config| {
        config.limits.commands_per_turn = 2;
        config.limits.timers_per_turn = 4;
    });
    for host in 0..5 {
        let address = Address::v4([10, 1, 0, host]);
        bench
            .shard
            .mailbox()
            .send(Command::AddAddress(address))
            .unwrap();
    }
    let before = bench.shard.counters().busy_turns;
    bench.turn();
    assert_eq!(bench.shard.counters().busy_turns - before, 3);

    for port in 1..=10 {
        bench.segment(&Peer::new(port), syn(1), &[]);
    }
    assert_eq!(bench.turn().len(), 10);
    bench.clock.advance(Duration::from_millis(1100));
    assert_eq!(bench.turn().len(), 10);
    assert!(bench.shard.counters().timer_budget >= 2);
}

//= rfc9293 3.9.1.1 MUST-43 MUST-45
#[test]
fn a_connection_keeps_the_local_address_that_was_asked_for() {
    let (first, asked) = (Address::v4([10, 0, 0, 1]), Address::v4([10, 0, 0, 200]));
    let peer = Address::v4([10, 0, 0, 9]);
    let mut bench = Bench::with(|config| config.addresses.extend([first, asked]));
    let update = PathUpdate {
        remote: peer,
        local: first,
        src: SERVER_MAC,
        dst: CLIENT_MAC,
        vlan: None,
        mtu: 1500,
    };
    bench.shard.mailbox().send(Command::Path(update)).unwrap();
    bench.turn();
    let remote = Endpoint::new(peer, 99);
    bench.probe.act(move |shard| {
        let local = Endpoint::new(asked, 0);
        shard.connect(remote, Some(local), 0).unwrap();
        assert!(shard.connect(remote, None, 0).is_ok());
    });
    let syns = bench.turn();
    let from: Vec<_> = syns.iter().map(|syn| syn.flow.remote.address).collect();
    assert_eq!(from, [asked, first], "without a wish that of the route");
    let there = Peer {
        link: syns[0].link.reversed(),
        flow: syns[0].flow,
    };
    let answer = segment(
        7.into_seq(),
        syns[0].header.seq + 1,
        Flags::SYN | Flags::ACK,
    );
    bench.segment(&there, answer, &[]);
    let mut sent = bench.turn();
    bench.segment(&there, ack(8, syns[0].header.seq + 1), b"question");
    sent.extend(bench.turn());
    let fin = segment(
        16.into_seq(),
        syns[0].header.seq + 9,
        Flags::ACK | Flags::FIN,
    );
    bench.segment(&there, fin, &[]);
    sent.extend(bench.turn());
    assert!(sent.len() >= 3);
    assert!(
        sent.iter()
            .all(|segment| segment.flow.remote == syns[0].flow.remote)
    );
}

/// An ICMP "port unreachable" that quotes the first eight octets of a segment of ours.
fn unreachable(quoted: &[u8]) -> Vec<u8> {
    icmp_error(3, 3, 0, quoted)
}

/// An ICMP error of this type and code, with an MTU, that quotes a frame of ours.
fn icmp_error(kind: u8, code: u8, mtu: u16, quoted: &[u8]) -> Vec<u8> {
    let quote = &quoted[14..14 + 28];
    let [high, low] = mtu.to_be_bytes();
    let mut icmp = vec![kind, code, 0, 0, 0, 0, high, low];
    icmp.extend_from_slice(quote);
    let sum = checksum::finish(checksum::sum(&icmp));
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut ip = vec![0x45, 0, 0, 20 + icmp.len() as u8, 0, 0, 0, 0, 64, 1, 0, 0];
    ip.extend_from_slice(&[10, 0, 0, 254]);
    ip.extend_from_slice(&SERVER.as_v4().unwrap());
    let sum = checksum::finish(checksum::sum(&ip));
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = Vec::new();
    frame.extend_from_slice(&SERVER_MAC.0);
    frame.extend_from_slice(&CLIENT_MAC.0);
    frame.extend_from_slice(&[8, 0]);
    frame.extend_from_slice(&ip);
    frame.extend_from_slice(&icmp);
    frame
}

//= rfc9293 3.9.2.2 MUST-54
#[test]
fn an_icmp_error_ends_an_attempt_that_it_quotes() {
    let mut bench = Bench::new();
    let update = PathUpdate {
        remote: CLIENT,
        local: SERVER,
        src: SERVER_MAC,
        dst: CLIENT_MAC,
        vlan: None,
        mtu: 1500,
    };
    bench.shard.mailbox().send(Command::Path(update)).unwrap();
    bench.turn();
    bench.probe.act(|shard| {
        shard.connect(Endpoint::new(CLIENT, 99), None, 0).unwrap();
    });
    while bench.shard.turn() {}
    let mut burst = Vec::new();
    bench.wire.rx_burst(&mut burst);
    let syn = bench.wire.rx_bytes(&burst[0]).to_vec();
    burst
        .into_iter()
        .for_each(|frame| bench.wire.release(frame));

    let mut forged = syn.clone();
    forged[38] ^= 1; // Another sequence number than any we sent.
    bench.send(&unreachable(&forged));
    bench.turn();
    assert_eq!(bench.probe.events(), []);
    bench.send(&unreachable(&syn));
    bench.turn();
    let events = bench.probe.events();
    assert!(
        matches!(events[..], [Event::Closed(_, CloseReason::Unreachable)]),
        "{events:?}"
    );
    bench.send(&unreachable(&syn));
    bench.turn();
    let counters = bench.shard.counters();
    assert_eq!((counters.icmp_errors, counters.icmp_stray), (2, 1));
    assert_eq!(counters.icmp_out_of_window, 1);
}

/// The frames that the shard sent, as they are.
fn raw_frames(bench: &mut Bench) -> Vec<Vec<u8>> {
    while bench.shard.turn() {}
    assert!(!bench.probe.0.borrow().failed, "an assertion in an action");
    let mut burst = Vec::new();
    bench.wire.rx_burst(&mut burst);
    let frames = burst
        .iter()
        .map(|frame| bench.wire.rx_bytes(frame).to_vec())
        .collect();
    burst
        .into_iter()
        .for_each(|frame| bench.wire.release(frame));
    frames
}

/// What ICMP taught one connection, the next to the same destination begins with; others do not, and
/// after ten minutes nobody does. A message that quotes nothing in flight teaches nothing.
//= rfc1191 3 S3-4
//= rfc8201 4 S4-6
#[test]
fn a_narrow_path_is_remembered() {
    let mut bench = Bench::with(|config| config.tcp.ecn = byway_tcp::Ecn::Off);
    let mss = |bench: &mut Bench, peer: &Peer| {
        bench.segment(peer, syn(1000), &[]);
        let answer = bench.turn().pop().expect("a SYN-ACK");
        let reset = segment(SeqNumber::new(1001), SeqNumber::new(0), Flags::RST);
        bench.segment(peer, reset, &[]);
        bench.turn();
        answer.header.options.mss
    };
    let peer = Peer::new(1000);
    let mut first = syn(1000);
    first.options.mss = Some(1460);
    bench.segment(&peer, first, &[]);
    let seq = bench.turn()[0].header.seq + 1;
    bench.segment(&peer, ack(1001, seq), &[]);
    bench.turn();
    let id = bench.probe.opened()[0];
    bench.probe.on(id, |conn| {
        conn.send(&common::pattern(1400));
    });
    let data = raw_frames(&mut bench).pop().expect("a segment");
    let mut forged = data.clone();
    forged[38] ^= 1;
    bench.send(&icmp_error(3, 4, 700, &forged));
    bench.turn();
    assert_eq!(mss(&mut bench, &Peer::new(2000)), Some(1460));
    bench.send(&icmp_error(3, 4, 900, &data));
    let again = bench.turn();
    assert_eq!(again[0].payload_len(), 860);
    bench.segment(&peer, ack(1001, seq + 1400), &[]);
    bench.turn();
    assert_eq!(mss(&mut bench, &Peer::new(2001)), Some(860));
    let mut stranger = Peer::new(2002);
    stranger.flow.local.address = Address::v4([10, 0, 0, 99]);
    assert_eq!(mss(&mut bench, &stranger), Some(1460));
    bench.clock.advance(Duration::from_secs(601));
    assert_eq!(mss(&mut bench, &Peer::new(2003)), Some(1460));
}

fn path_to(mac: u8, mtu: u16) -> Command {
    Command::Path(PathUpdate {
        remote: CLIENT,
        local: SERVER,
        src: SERVER_MAC,
        dst: MacAddr([2, 0, 0, 0, 7, mac]),
        vlan: None,
        mtu,
    })
}

/// A neighbour that the kernel knows at another address from now on: connections that were opened
/// follow at once, with their treatment, and no larger than what gets through there.
#[test]
fn connections_follow_their_path() {
    let mut bench = Bench::new();
    let mailbox = bench.shard.mailbox();
    mailbox.send(path_to(1, 1500)).unwrap();
    bench.turn();
    bench.probe.act(|shard| {
        let options = ConnOptions {
            hop_limit: Some(9),
            ..ConnOptions::default()
        };
        let to = Endpoint::new(CLIENT, 99);
        shard.connect_with(to, None, 0, &options).unwrap();
    });
    let syns = bench.turn();
    let mut there = Peer::new(99);
    there.flow.remote = syns[0].flow.remote;
    let answer = segment(
        SeqNumber::new(500),
        syns[0].header.seq + 1,
        Flags::SYN | Flags::ACK,
    );
    let mut answer = answer;
    answer.options.mss = Some(1460);
    bench.segment(&there, answer, &[]);
    bench.turn();
    let id = bench.probe.opened()[0];
    let send = |bench: &mut Bench| {
        bench.probe.on(id, |conn| {
            conn.send(&common::pattern(1000));
        });
        raw_frames(bench)
    };
    let sent = send(&mut bench);
    assert_eq!((sent[0][5], treatment(&sent[0])), (1, (0, 9)));
    mailbox.send(path_to(2, 1500)).unwrap();
    let sent = send(&mut bench);
    assert_eq!((sent[0][5], treatment(&sent[0])), (2, (0, 9)));
    assert_eq!(bench.shard.counters().paths_moved, 1);
    mailbox.send(path_to(2, 1500)).unwrap();
    mailbox.send(path_to(3, 700)).unwrap();
    let sent = send(&mut bench);
    assert!(sent.iter().all(|frame| frame[5] == 3 && frame.len() <= 714));
    assert_eq!(bench.shard.counters().paths_moved, 2);
    bench.shard.check_invariants().unwrap();
}

/// A connection that was accepted answers where its segments came from. When nothing comes back, the
/// kernel is asked, once for all connections to a destination and not again at once, and its answer
/// is followed.
//= rfc9293 3.8.3 MUST-20 SHLD-9 SHLD-10
#[test]
fn a_path_that_seems_not_to_work_is_asked_for() {
    let mut bench = Bench::new();
    for port in [1000, 1001] {
        bench.handshake(&Peer::new(port));
    }
    let ids = bench.probe.opened();
    for id in &ids {
        bench.probe.on(*id, |conn| {
            conn.send(b"hello");
        });
    }
    let mailbox = bench.shard.mailbox();
    bench.turn();
    assert_eq!(mailbox.next_request(), None);
    let silent = |bench: &Bench| {
        let events = bench.probe.events();
        let told = |event: &&Event| matches!(event, Event::Silence(_));
        events.iter().filter(told).count()
    };
    while bench.shard.tcp_counters().timeouts < 6 {
        assert_eq!((mailbox.next_request(), silent(&bench)), (None, 0));
        bench.clock.advance_to(bench.shard.next_deadline());
        bench.turn();
    }
    assert_eq!(silent(&bench), 2);
    let request = mailbox.next_request().expect("a question");
    assert_eq!((request.remote, request.local), (CLIENT, None));
    assert!(request.doubted);
    assert_eq!(mailbox.next_request(), None);
    mailbox.send(path_to(8, 1500)).unwrap();
    bench.turn();
    assert_eq!(bench.shard.counters().paths_moved, 2);
    let mut frames = Vec::new();
    for _ in 0..60 {
        bench.clock.advance(Duration::from_millis(100));
        frames.extend(raw_frames(&mut bench));
    }
    assert!(frames.len() >= 2);
    assert!(frames.iter().all(|frame| frame[5] == 8));
    assert!(mailbox.next_request().is_some(), "it still does not work");
    assert_eq!(silent(&bench), 2, "told once each");
    bench.shard.check_invariants().unwrap();
}

/// Codepoint and TTL of an IPv4 frame.
fn treatment(frame: &[u8]) -> (u8, u8) {
    (frame[15] >> 2, frame[22])
}

/// A reset for a stranger is sent as the shard's configuration says, the segments of a connection,
/// from its SYN-ACK on, as its listener says, until its service says otherwise. A cookie is no
/// exception.
//= rfc9293 3.9.1.9 MUST-48 SHLD-21 SHLD-22
//= rfc9293 3.9.2 MUST-49
#[test]
fn packets_are_marked_as_was_asked_for() {
    for queue in [16, 0] {
        let mut bench = Bench::with(|config| {
            config.treatment.hop_limit = 99;
            config.limits.syn_queue = queue;
            config.tcp.ecn = byway_tcp::Ecn::On;
        });
        let options = ConnOptions {
            dscp: Dscp::new(46),
            hop_limit: Some(7),
            ..ConnOptions::default()
        };
        assert!(bench.shard.listen_with(LISTENER, 0, &options));
        let peer = Peer::new(1000);
        bench.segment(&peer, ack(1, SeqNumber::new(2)), &[]);
        assert_eq!(treatment(&raw_frames(&mut bench)[0]), (0, 99));

        bench.segment(&peer, syn(1000), &[]);
        let syn_ack = raw_frames(&mut bench).pop().expect("a SYN-ACK");
        assert_eq!(treatment(&syn_ack), (46, 7));
        let Packet::Tcp(parsed) = parse(&syn_ack) else {
            panic!("a segment");
        };
        bench.segment(&peer, ack(1001, parsed.header.seq + 1), b"hello");
        let echo = raw_frames(&mut bench);
        assert_eq!(treatment(&echo[0]), (46, 7));
        let id = bench.probe.opened()[0];
        bench.probe.on(id, |conn| {
            assert!(conn.set_dscp(Dscp::DEFAULT) && conn.set_hop_limit(0));
            conn.send(b"more");
        });
        let more = raw_frames(&mut bench);
        assert_eq!(treatment(&more[0]), (0, 1));
        assert_eq!(checksum::fold(checksum::sum(&more[0][14..34])), 0xffff);
        bench.shard.check_invariants().unwrap();
    }
}

/// One that is treated in another way is another path: at the limit it stays as it is.
#[test]
fn another_treatment_is_another_path() {
    let mut bench = Bench::with(|config| config.limits.paths = 1);
    bench.handshake(&Peer::new(1000));
    let id = bench.probe.opened()[0];
    bench.probe.on(id, |conn| {
        assert!(!conn.set_hop_limit(9));
        conn.send(b"hello");
    });
    assert_eq!(treatment(&raw_frames(&mut bench)[0]), (0, 64));
    bench.shard.check_invariants().unwrap();
    assert_eq!(bench.shard.counters().path_table_full, 1);
}

/// The listener's choices, and another's beside it, on the same shard.
//= rfc9293 3.8.3 MUST-21
#[test]
fn a_listener_chooses_how_long_to_wait_and_whether_to_probe() {
    let mut bench = Bench::with(|config| {
        config.tcp.user_timeout = Some(Duration::from_secs(50));
    });
    let options = ConnOptions {
        user_timeout: Some(Duration::from_secs(5)),
        keep_alive: Some(true),
        nagle: Some(true),
        congestion: Some(byway_tcp::CongestionAlgorithm::Reno),
        ..ConnOptions::default()
    };
    let other = Endpoint::new(SERVER, 99);
    assert!(bench.shard.listen_with(other, 0, &options));
    let mut there = Peer::new(1001);
    there.flow.remote = other;
    for peer in [&Peer::new(1000), &there] {
        bench.handshake(peer);
    }
    let [plain, chosen] = bench.probe.opened()[..] else {
        panic!("two connections");
    };
    for id in [plain, chosen] {
        bench.probe.on(id, |conn| {
            conn.send(b"a");
        });
        bench.turn();
        bench.probe.on(id, |conn| {
            conn.send(b"b");
        });
        let sent = bench.turn().len();
        assert_eq!(sent, usize::from(id == plain), "Nagle holds it back");
    }
    let lasts = |bench: &mut Bench, seconds: u32| {
        for _ in 0..seconds * 10 {
            bench.clock.advance(Duration::from_millis(100));
            bench.turn();
        }
    };
    lasts(&mut bench, 20);
    assert_eq!(bench.probe.closed(chosen), Some(CloseReason::TimedOut));
    assert_eq!(bench.probe.closed(plain), None);
    bench.probe.on(plain, |conn| {
        conn.set_user_timeout(Some(Duration::from_secs(20)))
    });
    lasts(&mut bench, 20);
    assert_eq!(bench.probe.closed(plain), Some(CloseReason::TimedOut));
}

/// None of them ends an established connection; each is told once, what quotes nothing in flight is
/// not, and when the peer stays silent to the end the last one may be the reason.
//= rfc9293 3.9.1.8 MUST-47 SHLD-20
//= rfc9293 3.9.2.2 SHLD-25 MUST-56
#[test]
fn soft_errors_are_told_and_end_nothing() {
    let mut bench = Bench::new();
    let peer = Peer::new(1000);
    let seq = bench.handshake(&peer).header.seq + 1;
    let id = bench.probe.opened()[0];
    bench.probe.on(id, |conn| {
        conn.send(b"hello");
    });
    let data = raw_frames(&mut bench).pop().expect("data");
    let mut forged = data.clone();
    forged[38] ^= 1;
    bench.send(&icmp_error(11, 0, 0, &forged));
    let kinds = [
        (3, 0, Kind::Unreachable),
        (3, 1, Kind::Unreachable),
        (3, 5, Kind::Unreachable),
        (3, 3, Kind::Unreachable),
        (11, 0, Kind::TimeExceeded),
        (12, 0, Kind::ParameterProblem),
    ];
    for (kind, code, _) in kinds {
        bench.send(&icmp_error(kind, code, 0, &data));
    }
    bench.turn();
    let expected: Vec<Event> = kinds
        .iter()
        .map(|&(_, code, kind)| Event::SoftError(id, SoftError { kind, code }))
        .collect();
    assert_eq!(bench.probe.events()[1..], expected);
    assert_eq!(bench.shard.counters().icmp_out_of_window, 1);
    assert_eq!(bench.shard.tcp_counters().soft_errors, 6);

    // An acknowledgment: whatever it was, it is over.
    bench.segment(&peer, ack(1001, seq + 5), &[]);
    bench.turn();
    bench.probe.on(id, |conn| {
        assert_eq!(conn.soft_error(), None);
        conn.send(b"again");
    });
    let data = raw_frames(&mut bench).pop().expect("data");
    bench.send(&icmp_error(3, 1, 0, &data));
    for _ in 0..100 {
        bench.clock.advance(Duration::from_secs(60));
        bench.turn();
    }
    assert_eq!(bench.probe.closed(id), Some(CloseReason::TimedOut));
    let last = bench.probe.0.borrow().last_words;
    assert_eq!(last.map(|error| error.code), Some(1));
}

/// Sequence numbers often near the right ones, flags often sensible.
fn hostile_header(random: &mut SplitMix, their_seq: SeqNumber, their_ack: SeqNumber) -> Header {
    let mut near = |seq: SeqNumber| match random.below(4) {
        0 => seq,
        1 => seq + random.below(3000) as u32,
        2 => seq - random.below(3000) as u32,
        _ => SeqNumber::new(random.next_u64() as u32),
    };
    let (seq, ack) = (near(their_ack), near(their_seq));
    let flags = match random.below(3) {
        0 => Flags::ACK,
        1 => Flags::SYN,
        _ => Flags::from_bits(random.next_u64() as u8),
    };
    Header {
        window: WireWindow(random.next_u64() as u16),
        ..segment(seq, ack, flags)
    }
}

/// A peer that knows the sequence numbers and has no manners: whatever it sends, nothing panics
/// and nothing leaks.
#[test]
fn a_hostile_peer_breaks_nothing() {
    for seed in 0..8 {
        let mut random = SplitMix::new(seed);
        let mut bench = Bench::with(|config| {
            config.tcp.time_wait = Duration::from_millis(50);
            config.limits.receive_blocks = 64;
            config.limits.send_blocks = 64;
        });
        let mut known = [(1u32.into_seq(), 1u32.into_seq()); 8];
        for step in 0..20_000u32 {
            let n = random.below(8) as usize;
            let peer = Peer::new(n as u16 + 1);
            let (their_seq, their_ack) = known[n];
            let header = hostile_header(&mut random, their_seq, their_ack);
            let len = if random.below(2) == 0 {
                0
            } else {
                random.below(1460) as usize
            };
            bench.segment(&peer, header, &common::pattern(len));
            bench.clock.advance(Duration::from_micros(
                random.below(100_000) * random.below(2),
            ));
            if random.below(4) == 0 {
                for sent in bench.turn() {
                    let index = usize::from(sent.flow.local.port) - 1;
                    known[index] = (sent.header.seq + 1, sent.header.ack);
                }
            }
            if step % 64 == 0 {
                let mut state = bench.probe.0.borrow_mut();
                state.echo = random.below(2) == 0;
                state.appetite = random.below(2000) as usize;
                state.received.clear();
                state.events.clear();
            }
        }
        bench.turn();
        bench.shard.stop();
        for _ in 0..10_000 {
            if bench.shard.is_stopped() && bench.shard.time_waits() == 0 {
                break;
            }
            bench.clock.advance(Duration::from_millis(20));
            bench.turn();
        }
        let left = (
            bench.shard.connections(),
            bench.shard.half_open(),
            bench.shard.time_waits(),
        );
        assert_eq!(left, (0, 0, 0), "seed {seed}");
        assert_eq!(bench.shard.blocks_in_use(), (0, 0));
        assert_eq!(bench.shard.tcp_records_in_use(), (0, 0));
    }
}

/// A peer whose window is closed answers: that is no silence.
#[test]
fn a_closed_window_is_no_silence() {
    let mut bench = Bench::new();
    let peer = Peer::new(1000);
    let seq = bench.handshake(&peer).header.seq + 1;
    let closed = Header {
        window: WireWindow(0),
        ..ack(1001, seq)
    };
    bench.segment(&peer, closed, &[]);
    bench.turn();
    let id = bench.probe.opened()[0];
    bench.probe.on(id, |conn| {
        conn.send(b"hello");
    });
    bench.turn();
    for _ in 0..1000 {
        bench.clock.advance(Duration::from_millis(100));
        if bench.turn().is_empty() {
            continue;
        }
        bench.segment(&peer, closed, &[]);
        bench.turn();
    }
    assert!(bench.shard.tcp_counters().window_probes >= 6);
    assert!(!bench.probe.events().contains(&Event::Silence(id)));
    assert_eq!(bench.shard.mailbox().next_request(), None);
}
