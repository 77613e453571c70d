//! Header prediction does what the long way does: two pairs of ends, alike but for that, go through
//! the same, and everything that can be seen of them is compared.

mod common;

use byway_tcp::time::Duration;
use byway_tcp::{Config, CongestionAlgorithm, Ecn};
use byway_wire::tcp::Flags;
use common::{Fate, Packet, Pair, from_a, with_data};
use std::fmt::Write as _;

/// The same numbers for the same seed, on every machine.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn config(seed: u64, header_prediction: bool) -> Config {
    let mut numbers = Numbers(seed * 2 + 1);
    (0..9).for_each(|_| _ = numbers.below(2));
    Config {
        header_prediction,
        timestamps: !numbers.one_in(4),
        sack: !numbers.one_in(4),
        window_scaling: !numbers.one_in(4),
        nagle: numbers.one_in(3),
        ecn: if numbers.one_in(4) {
            Ecn::On
        } else {
            Ecn::WhenAsked
        },
        congestion: if numbers.one_in(2) {
            CongestionAlgorithm::Reno
        } else {
            CongestionAlgorithm::Cubic
        },
        rcv_buf: [3_000, 20_000, 6 << 20][numbers.below(3) as usize],
        not_sent_low_water: [2_000, u32::MAX][numbers.below(2) as usize],
        user_timeout: numbers.one_in(5).then_some(Duration::from_secs(20)),
        ..Config::default()
    }
}

/// What can be seen of a pair: its segments since the last look, its connections, its counters.
fn look(pair: &mut Pair) -> String {
    let mut text = String::new();
    for (to_b, packet) in pair.log.drain(..) {
        let sum = packet.data.iter().fold(7u64, |sum, octet| {
            sum.wrapping_mul(31).wrapping_add(u64::from(*octet))
        });
        let _ = writeln!(text, "{to_b} {:?} {sum}", packet.seg);
    }
    for end in [&pair.a, &pair.b] {
        let info = end.conn.as_ref().map(|conn| conn.info(&end.tcp));
        let (got, unread) = (end.got.len(), end.unread.len());
        let _ = writeln!(text, "{info:?} {got} {unread} {:?}", end.closed);
        let _ = writeln!(text, "{:?} {:?}", end.tcp.counters, end.conn);
    }
    text
}

fn data(count: u64) -> Vec<u8> {
    (0..count).map(|i| (i * 7 % 251) as u8).collect()
}

/// A segment that `a` would not send: something about it is odd.
fn odd(pair: &mut Pair, numbers: &mut Numbers) -> Packet {
    let mut packet = from_a(pair);
    let known = pair.b.info();
    packet.seg.window.0 = (known.snd_wnd >> known.snd_scale) as u16;
    if numbers.one_in(2) {
        packet = with_data(packet, &data(1 + numbers.below(2000)));
    }
    match numbers.below(8) {
        0 => packet.seg.seq += numbers.below(3000) as u32,
        1 => packet.seg.seq = packet.seg.seq - numbers.below(3000) as u32,
        2 => packet.seg.ack += numbers.below(3000) as u32,
        3 => packet.seg.ack = packet.seg.ack - numbers.below(3000) as u32,
        4 => packet.seg.flags |= Flags::CWR,
        5 => packet.seg.flags |= Flags::URG,
        6 => packet.seg.options.timestamps = None,
        _ => packet.seg.congestion = true,
    }
    packet
}

/// One thing that happens, drawn anew from the same numbers for both pairs.
fn act(pair: &mut Pair, numbers: &mut Numbers) {
    if pair.a.conn.is_none() || pair.b.conn.is_none() {
        return;
    }
    let bytes = data(1 + numbers.below(20_000));
    match numbers.below(9) {
        0 | 1 => _ = pair.a.send(&bytes),
        2 => _ = pair.b.send(&bytes),
        3 => _ = pair.a.send(b"request"),
        4 => pair.b.reading = !pair.b.reading,
        5 => pair.b.read(numbers.below(5_000) as usize),
        6 if numbers.one_in(4) => {
            let packet = odd(pair, numbers);
            pair.deliver(true, &packet);
        }
        7 if numbers.one_in(60) => pair.a.shutdown(),
        8 if numbers.one_in(60) => pair.b.shutdown(),
        _ => {}
    }
}

#[test]
fn with_and_without_are_the_same() {
    let mut moved = 0;
    for seed in 1..400 {
        let mut pairs = [true, false].map(|with| Pair::new(config(seed, with)));
        let mut numbers = [Numbers(seed), Numbers(seed)];
        for pair in &mut pairs {
            pair.a.connect(pair.now);
            pair.settle();
            for end in [&mut pair.a, &mut pair.b] {
                end.tcp.config.pacing = seed % 3 == 0;
            }
        }
        let bad = seed % 4;
        for step in 0..60 {
            for (pair, numbers) in pairs.iter_mut().zip(&mut numbers) {
                act(pair, numbers);
                let time = Duration::from_micros(100 + numbers.below(60_000));
                pair.run_for_with(time, |_, _| match numbers.below(40) {
                    0 if bad > 0 => Fate::Drop,
                    1 if bad > 1 => Fate::Duplicate,
                    2 if bad > 2 => Fate::Delay(Duration::from_millis(numbers.below(30))),
                    3 if bad > 2 => Fate::Mark,
                    _ => Fate::Deliver,
                });
            }
            let [with, without] = &mut pairs;
            let (with, without) = (look(with), look(without));
            for (with, without) in with.lines().zip(without.lines()) {
                assert_eq!(with, without, "seed {seed}, step {step}");
            }
            assert_eq!(with.len(), without.len(), "seed {seed}, step {step}");
        }
        moved += pairs[0].b.got.len();
    }
    assert!(moved > 10_000_000, "{moved} octets");
}
