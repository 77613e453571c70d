//! The wire between two hosts, with the real kernel. Needs root.

mod net;

use byway_impair::{Config, Counts, ErrorKind, Impairment, QueueLimit, ReorderBy, Share, Wire};
use byway_lab::skip_unless_privileged;
use byway_lab::{CLIENT, LabGuard, Options, SERVER, WIRE_CLIENT, WIRE_SERVER};
use byway_sys::packet::{Inbox, Interface, Receiver, Sender, VlanTag};
use net::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn percent(percent: f64) -> Share {
    Share::new(percent / 100.0).unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn towards_server(impairment: Impairment) -> Config {
    Config {
        a_to_b: impairment,
        seed: 7,
        ..Config::default()
    }
}

/// Numbered datagrams from the client to the server, `gap` apart.
struct Stream {
    count: u32,
    len: usize,
    gap: Duration,
}

/// A datagram that arrived: its number, when, and whether it is as it was sent.
struct Arrival {
    number: u32,
    at: Instant,
    intact: bool,
}

impl Stream {
    /// Sends all, and receives until nothing has come for a while.
    fn through(&self, net: &Net) -> Vec<Arrival> {
        let (near, far) = net.udp();
        far.set_read_timeout(Some(ms(300))).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| self.send(&near));
            let mut buffer = vec![0; 2000];
            let mut arrivals = Vec::new();
            while let Ok(len) = receive(&far, &mut buffer) {
                let at = Instant::now();
                let number = u32::from_be_bytes(*buffer.first_chunk().unwrap());
                let intact = buffer[..len] == self.datagram(number);
                arrivals.push(Arrival { number, at, intact });
            }
            arrivals
        })
    }

    fn datagram(&self, number: u32) -> Vec<u8> {
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.resize(self.len, number as u8);
        bytes
    }

    fn send(&self, socket: &UdpSocket) {
        let start = Instant::now();
        for number in 0..self.count {
            let due = start + self.gap * number;
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            socket.send(&self.datagram(number)).unwrap();
        }
    }
}

fn numbers(arrivals: &[Arrival]) -> Vec<u32> {
    arrivals.iter().map(|arrival| arrival.number).collect()
}

/// Nothing went wrong but what was asked for.
fn assert_undisturbed(counts: &Counts) {
    let disturbances = [
        counts.oversize,
        counts.incompletable,
        counts.line_full,
        counts.refused,
        counts.missed,
    ];
    assert_eq!(disturbances, [0; 5]);
}

#[test]
fn a_delay_is_half_a_round_trip_in_both_families() {
    if skip_unless_privileged("a_delay_is_half_a_round_trip_in_both_families") {
        return;
    }
    let net = Net::up().with_ipv6();
    let delayed = Impairment {
        delay: ms(20),
        ..Impairment::default()
    };
    let wire = net.join(Config {
        a_to_b: delayed.clone(),
        b_to_a: delayed,
        ..Config::default()
    });
    for (client, server) in [
        (CLIENT4.into(), SERVER4.into()),
        (CLIENT6.into(), SERVER6.into()),
    ] {
        // Address resolution goes over the wire, too: the first exchange takes longer.
        let (near, far) = udp_between((&net.client, client), (&net.server, server));
        let mut round_trips: Vec<Duration> = (0..21).map(|_| round_trip(&near, &far)).collect();
        round_trips.sort();
        let median = round_trips[10];
        assert!((ms(40)..ms(42)).contains(&median), "{median:?}");
        assert!(round_trips[0] >= ms(40), "{:?}", round_trips[0]);
    }
    let summary = wire.stop();
    for direction in &summary.directions {
        assert_undisturbed(&direction.counts);
        assert_eq!(direction.counts.received, direction.counts.sent);
    }
}

fn round_trip(near: &UdpSocket, far: &UdpSocket) -> Duration {
    let start = Instant::now();
    let mut buffer = [0; 4];
    near.send(b"ping").unwrap();
    receive(far, &mut buffer).unwrap();
    far.send(&buffer).unwrap();
    receive(near, &mut buffer).unwrap();
    start.elapsed()
}

#[test]
fn losses_come_in_their_share_and_again_for_the_same_seed() {
    if skip_unless_privileged("losses_come_in_their_share_and_again_for_the_same_seed") {
        return;
    }
    let net = Net::up().with_neighbours();
    let stream = Stream {
        count: 4000,
        len: 100,
        gap: Duration::from_micros(50),
    };
    let run = |seed| {
        let lossy = Impairment {
            loss: percent(5.0),
            ..Impairment::default()
        };
        let wire = net.join(Config {
            seed,
            ..towards_server(lossy)
        });
        let arrived = numbers(&stream.through(&net));
        let [there, back] = wire.stop().directions.map(|direction| direction.counts);
        assert_undisturbed(&there);
        assert_eq!(there.received.frames, 4000);
        assert_eq!(there.lost, 4000 - arrived.len() as u64);
        assert_eq!(back.received.frames, 0);
        arrived
    };
    let first = run(7);
    // Four standard deviations around 200.
    assert!(
        (145..=255).contains(&(4000 - first.len())),
        "{}",
        first.len()
    );
    assert_eq!(run(7), first);
    assert_ne!(run(8), first);
}

#[test]
fn the_rate_holds_within_five_percent() {
    if skip_unless_privileged("the_rate_holds_within_five_percent") {
        return;
    }
    let net = Net::up();
    // Half as much again as fits is offered, and the queue does not run dry when the sender pauses.
    for (rate, queue, count, offered_gap) in [
        ("10mbit", 100, 600, 800),
        ("50mbit", 300, 3000, 160),
        ("200mbit", 1000, 16_000, 40),
    ] {
        let limited = Impairment {
            rate: Some(rate.parse().unwrap()),
            queue: QueueLimit::Frames(queue),
            ..Impairment::default()
        };
        let wire = net.join(towards_server(limited.clone()));
        let stream = Stream {
            count,
            len: 1472,
            gap: Duration::from_micros(offered_gap),
        };
        let arrivals = stream.through(&net);
        let counts = wire.stop().directions[0].counts.clone();
        let (first, last) = (&arrivals[0], &arrivals[arrivals.len() - 1]);
        let seconds = last.at.duration_since(first.at).as_secs_f64();
        let expected = limited.rate.unwrap().time_for(1514).as_secs_f64();
        let measured = seconds / (arrivals.len() - 1) as f64;
        let ratio = expected / measured;
        assert!((0.95..1.05).contains(&ratio), "{rate}: {ratio} {counts:?}");
        assert!(counts.queue_full > 0, "more was offered than fits");
        assert_eq!(counts.queue_peak_frames, queue);
        assert_undisturbed(&counts);
    }
}

#[test]
fn duplicates_arrive_twice() {
    if skip_unless_privileged("duplicates_arrive_twice") {
        return;
    }
    let net = Net::up().with_neighbours();
    let wire = net.join(towards_server(Impairment {
        duplicate: percent(10.0),
        ..Impairment::default()
    }));
    let stream = Stream {
        count: 1000,
        len: 100,
        gap: Duration::from_micros(50),
    };
    let mut arrived = numbers(&stream.through(&net));
    let counts = &wire.stop().directions[0].counts;
    let all = arrived.len();
    arrived.dedup();
    assert_eq!(
        arrived,
        (0..1000).collect::<Vec<_>>(),
        "copies follow at once"
    );
    assert_eq!(counts.duplicated, (all - 1000) as u64);
    assert!(
        (60..140).contains(&counts.duplicated),
        "{}",
        counts.duplicated
    );
}

#[test]
fn reordered_frames_overtake_or_are_overtaken_and_jitter_does_neither() {
    if skip_unless_privileged("reordered_frames_overtake_or_are_overtaken_and_jitter_does_neither")
    {
        return;
    }
    let net = Net::up().with_neighbours();
    let stream = Stream {
        count: 1000,
        len: 100,
        gap: Duration::from_micros(200),
    };
    let impairment = Impairment {
        delay: ms(5),
        jitter: ms(3),
        reorder: percent(2.0),
        ..Impairment::default()
    };
    let run = |impairment: Impairment| {
        let wire = net.join(towards_server(impairment));
        let arrived = numbers(&stream.through(&net));
        let counts = wire.stop().directions[0].counts.clone();
        assert_undisturbed(&counts);
        assert_eq!(arrived.len(), 1000);
        let early = arrived.iter().enumerate();
        let early = early
            .filter(|(place, number)| (*place as u32) < **number)
            .count();
        let late = arrived.iter().enumerate();
        let late = late
            .filter(|(place, number)| (*place as u32) > **number)
            .count();
        (early, late, counts.reordered)
    };
    let (early, late, reordered) = run(impairment.clone());
    assert!((5..45).contains(&reordered), "{reordered}");
    assert!(
        early >= reordered as usize / 2 && late > 5 * early,
        "{early} {late}"
    );
    let (early, late, _) = run(Impairment {
        reorder_by: ReorderBy::Late(ms(4)),
        ..impairment.clone()
    });
    assert!(late > 0 && early > 5 * late, "{early} {late}");
    let (early, late, reordered) = run(Impairment {
        reorder: Share::NONE,
        ..impairment
    });
    assert_eq!((early, late, reordered), (0, 0, 0));
}

#[test]
fn the_kernel_drops_what_was_damaged() {
    if skip_unless_privileged("the_kernel_drops_what_was_damaged") {
        return;
    }
    let net = Net::up().with_neighbours();
    let wire = net.join(towards_server(Impairment {
        corrupt: percent(20.0),
        ..Impairment::default()
    }));
    let stream = Stream {
        count: 2000,
        len: 500,
        gap: Duration::from_micros(50),
    };
    let arrivals = stream.through(&net);
    let counts = &wire.stop().directions[0].counts;
    assert_undisturbed(counts);
    assert!(
        (320..480).contains(&counts.corrupted),
        "{}",
        counts.corrupted
    );
    assert_eq!(
        counts.sent.frames, 2000,
        "damaged frames are sent all the same"
    );
    assert_eq!(arrivals.len() as u64, 2000 - counts.corrupted);
    assert!(arrivals.iter().all(|arrival| arrival.intact));
}

/// Sends octets from the client to the server over TCP, and compares.
fn transfer(net: &Net, bytes: &[u8]) {
    let listener = net
        .server
        .run(|| TcpListener::bind((SERVER4, 0)).unwrap())
        .unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut stream = net
                .client
                .run(|| TcpStream::connect(address).unwrap())
                .unwrap();
            stream.set_write_timeout(Some(4 * TIMEOUT)).unwrap();
            stream.write_all(bytes).unwrap();
        });
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(4 * TIMEOUT)).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert!(
            received == bytes,
            "{} of {} octets",
            received.len(),
            bytes.len()
        );
        sender.join().unwrap();
    });
}

/// Octets in which every place is different from its surroundings.
fn octets(count: u32) -> Vec<u8> {
    let words = (0..count / 4).map(|at| at.wrapping_mul(0x9e37_79b9));
    words.flat_map(u32::to_be_bytes).collect()
}

#[test]
fn tcp_gets_everything_through_a_bad_wire() {
    if skip_unless_privileged("tcp_gets_everything_through_a_bad_wire") {
        return;
    }
    let net = Net::up();
    let bad = Impairment {
        delay: ms(1),
        jitter: ms(1),
        loss: percent(1.0),
        reorder: percent(1.0),
        duplicate: percent(0.5),
        corrupt: percent(0.5),
        ..Impairment::default()
    };
    let wire = net.join(Config {
        a_to_b: bad.clone(),
        b_to_a: bad,
        ..Config::default()
    });
    transfer(&net, &octets(10 << 20));
    let [there, back] = wire.stop().directions.map(|direction| direction.counts);
    // The hosts' offloads are as the kernel sets them: the wire cuts what they leave whole.
    assert!(there.large > 0);
    let mean = there.received.octets / there.received.frames;
    assert!((1000..=1514).contains(&mean), "{mean}");
    for happened in [
        there.lost,
        there.reordered,
        there.duplicated,
        there.corrupted,
        back.lost,
    ] {
        assert!(happened > 0);
    }
    assert_undisturbed(&there);
    assert_undisturbed(&back);
}

#[test]
fn tags_of_vlans_are_carried() {
    if skip_unless_privileged("tags_of_vlans_are_carried") {
        return;
    }
    let net = Net::up();
    let wire = net.join(Config::default());
    let index = || Interface::query("eth0").unwrap().index;
    let receiver = || Receiver::open(index()).unwrap();
    let receiver = net.server.run(receiver).unwrap();
    let sender = net.client.run(|| Sender::open(index()).unwrap()).unwrap();
    // A full packet with its tag is longer than other frames may be.
    let mut frame = vec![0xff; 1518];
    frame[12..18].copy_from_slice(&[0x81, 0x00, 0x60, 0x05, 0x08, 0x00]);
    assert_eq!(sender.send(&[&frame]).unwrap(), 1);
    let mut inbox = Inbox::new();
    let start = Instant::now();
    let found = loop {
        inbox.receive(&receiver).unwrap();
        if let Some(found) = inbox.frames().find(|found| found.vlan.is_some()) {
            break found;
        }
        assert!(start.elapsed() < TIMEOUT, "the frame arrives, with a tag");
    };
    let tag = VlanTag {
        protocol: 0x8100,
        control: 0x6005,
    };
    assert_eq!(found.vlan, Some(tag));
    let (head, tail) = (&frame[..12], &frame[16..]);
    assert!(found.bytes == [head, tail].concat());
    let counts = &wire.stop().directions[0].counts;
    assert_undisturbed(counts);
    assert_eq!(counts.received.octets, counts.sent.octets);
}

#[test]
fn captures_show_what_passes_each_side() {
    if skip_unless_privileged("captures_show_what_passes_each_side") {
        return;
    }
    let net = Net::up().with_neighbours();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let wire = net.join(Config {
        capture_a: Some(path("a")),
        capture_b: Some(path("b")),
        ..towards_server(Impairment {
            loss: percent(30.0),
            ..Impairment::default()
        })
    });
    let stream = Stream {
        count: 100,
        len: 200,
        gap: ms(1),
    };
    let arrived = stream.through(&net).len();
    wire.stop();
    let frames = |name: &str| {
        let len = std::fs::metadata(path(name)).unwrap().len();
        (len - 24) as f64 / (16.0 + 14.0 + 20.0 + 8.0 + 200.0)
    };
    assert_eq!((frames("a"), frames("b")), (100.0, arrived as f64));
}

#[test]
fn a_link_may_go_down_and_come_back_but_not_away() {
    if skip_unless_privileged("a_link_may_go_down_and_come_back_but_not_away") {
        return;
    }
    let net = Net::up();
    let wire = net.join(Config::default());
    let (near, far) = net.udp();
    round_trip(&near, &far);
    let name = net.wire.name();
    ip(&format!("-n {name} link set wa down"));
    std::thread::sleep(ms(120));
    ip(&format!("-n {name} link set wa up"));
    // The carrier takes a moment to be back.
    std::thread::sleep(ms(120));
    round_trip(&near, &far);
    ip(&format!("-n {name} link delete wb"));
    let error = wire.end().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Preflight);
    assert!(error.to_string().starts_with("interface wb:"), "{error}");
}

#[test]
fn a_lab_may_have_a_wire_in_it() {
    if skip_unless_privileged("a_lab_may_have_a_wire_in_it") {
        return;
    }
    let options = Options {
        wire: true,
        ..Options::default()
    };
    let lab = LabGuard::up("bww-lab-", &options).unwrap();
    let (a, b) = (WIRE_CLIENT.interface, WIRE_SERVER.interface);
    let open = || Wire::open(a, b, &Config::default()).unwrap();
    let wire = lab.wire().run(open).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| wire.run(&stop));
        for (client, server) in [
            (CLIENT.v4.into(), SERVER.v4.into()),
            (CLIENT.v6.into(), SERVER.v6.into()),
        ] {
            let (near, far) = udp_between((lab.client(), client), (lab.server(), server));
            round_trip(&near, &far);
        }
        stop.store(true, Ordering::Relaxed);
        run.join().unwrap().unwrap();
    });
}

#[test]
fn interfaces_are_checked_first() {
    if skip_unless_privileged("interfaces_are_checked_first") {
        return;
    }
    let net = Net::up();
    let open = |a: &'static str, b: &'static str| {
        let opened = net.wire.run(move || Wire::open(a, b, &Config::default()));
        opened.unwrap().map(drop)
    };
    assert_eq!(open("wa", "wb"), Ok(()));
    let error = open("wa", "nowhere").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Preflight);
    assert!(error.hint().contains("ip link"), "{}", error.hint());
    assert_eq!(open("wa", "wa").unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn nothing_is_left_behind() {
    if skip_unless_privileged("nothing_is_left_behind") {
        return;
    }
    let net = Net::up();
    let name = net.wire.name().to_owned();
    let promiscuous = || ip(&format!("-n {name} -d link show wa")).contains("promiscuity 1");
    assert!(!promiscuous());
    let wire = net.join(Config::default());
    assert!(promiscuous());
    wire.stop();
    assert!(!promiscuous());
    drop(net);
    assert!(!ip("netns list").contains(&name));
}
