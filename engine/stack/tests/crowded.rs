//! Flows that share a home in the flow table, or even a hash.

mod common;
use byway_stack::Shard;
use byway_stack::clock::ManualClock;
use byway_stack::flow_table::{FlowTable, REACH};
use byway_stack::memory::MemoryPort;
use byway_stack::port::Port;
use byway_wire::ethernet::Header as Link;
use byway_wire::frame::{Packet, TcpFrame, emit_tcp, parse, tcp_headers_len};
use byway_wire::ip::Ecn;
use byway_wire::tcp::{Flags, Header, WireWindow};
use byway_wire::{Address, Endpoint, FlowKey, SeqNumber, checksum};
use common::{CLIENT_MAC, PORT, Probe, SERVER, SERVER_MAC};
use std::collections::HashMap;

fn flow(n: u32) -> FlowKey {
    let [_, a, b, c] = n.to_be_bytes();
    FlowKey {
        local: Endpoint::new(SERVER, PORT),
        remote: Endpoint::new(Address::v4([10, 0, a, b]), 1000 + u16::from(c)),
    }
}

struct Bench {
    shard: Shard<MemoryPort, ManualClock>,
    wire: MemoryPort,
}
impl Bench {
    fn exchange(
        &mut self,
        flow: &FlowKey,
        flags: Flags,
        seq: u32,
        ack: SeqNumber,
    ) -> Vec<TcpFrame> {
        let link = Link {
            src: CLIENT_MAC,
            dst: SERVER_MAC,
            ..Link::default()
        };
        let to = FlowKey {
            local: flow.remote,
            remote: flow.local,
        };
        let header = Header {
            flags,
            seq: SeqNumber::new(seq),
            ack,
            window: WireWindow(60_000),
            ..Header::default()
        };
        let mut f = self.wire.tx_alloc().unwrap();
        let start = tcp_headers_len(&link, &to, &header);
        emit_tcp(
            self.wire.tx_bytes(&mut f),
            &link,
            &to,
            &header,
            Ecn::NotEct,
            0,
            checksum::sum,
        )
        .unwrap();
        self.wire.tx_push(f, start);
        self.turns()
    }
    fn turns(&mut self) -> Vec<TcpFrame> {
        while self.shard.turn() {}
        let (mut burst, mut out) = (vec![], vec![]);
        self.wire.rx_burst(&mut burst);
        for f in burst.drain(..) {
            if let Packet::Tcp(s) = parse(self.wire.rx_bytes(&f)) {
                out.push(s);
            }
            self.wire.release(f);
        }
        self.wire.tx_commit();
        out
    }
}

#[test]
fn a_time_wait_takes_the_place_of_its_connection() {
    let mut config = common::config(SERVER, SERVER_MAC);
    config.limits.max_connections = 500;
    config.limits.syn_queue = 500;
    config.limits.time_wait = 24;
    let table = FlowTable::new(1024, config.hash_key);
    let table = &table;
    let with_home = |home| {
        (0..)
            .map(flow)
            .filter(move |flow| table.hash(flow).get() % 256 == home)
    };
    let crowd: Vec<FlowKey> = with_home(5).take(REACH * 8).collect();
    let next: FlowKey = with_home(6).next().unwrap();
    let (port, wire) = MemoryPort::pair(64);
    let mut shard = Shard::new(port, config, ManualClock::default());
    let probe = Probe::new();
    let service = shard.add_service(Box::new(probe.clone()));
    assert!(shard.listen(Endpoint::new(SERVER, PORT), service));
    let mut bench = Bench { shard, wire };
    let first = crowd[0];
    let iss = bench.exchange(&first, Flags::SYN, 0, SeqNumber::default())[0]
        .header
        .seq;
    bench.exchange(&first, Flags::ACK, 1, iss + 1);
    for flow in crowd[1..].iter().chain([&next]) {
        assert_eq!(
            bench
                .exchange(flow, Flags::SYN, 0, SeqNumber::default())
                .len(),
            1
        );
    }
    let id = probe.opened()[0];
    probe.on(id, |conn| conn.close());
    assert!(bench.turns()[0].header.flags.contains(Flags::FIN));
    bench.exchange(&first, Flags::ACK | Flags::FIN, 1, iss + 2);
    assert_eq!(bench.shard.time_waits(), 1);
    bench.shard.check_invariants().unwrap();
}

#[test]
fn a_crowded_home_takes_its_limit_and_not_one_more() {
    let mut config = common::config(SERVER, SERVER_MAC);
    config.limits.max_connections = 500;
    config.limits.syn_queue = 500;
    config.limits.time_wait = 24;
    let table = FlowTable::new(1024, config.hash_key);
    // 1024 flows: 256 buckets.
    let crowd: Vec<FlowKey> = (0..)
        .map(flow)
        .filter(|flow| table.hash(flow).get() % 256 == 5)
        .take(REACH * 8 + 1)
        .collect();
    let (port, mut wire) = MemoryPort::pair(64);
    let mut shard = Shard::new(port, config, ManualClock::default());
    let service = shard.add_service(Box::new(Probe::new()));
    assert!(shard.listen(Endpoint::new(SERVER, PORT), service));
    let mut answers = 0;
    for to in &crowd {
        let link = Link {
            src: CLIENT_MAC,
            dst: SERVER_MAC,
            ..Link::default()
        };
        let to = FlowKey {
            local: to.remote,
            remote: to.local,
        };
        let header = Header {
            flags: Flags::SYN,
            ..Header::default()
        };
        let mut f = wire.tx_alloc().unwrap();
        let start = tcp_headers_len(&link, &to, &header);
        emit_tcp(
            wire.tx_bytes(&mut f),
            &link,
            &to,
            &header,
            Ecn::NotEct,
            0,
            checksum::sum,
        )
        .unwrap();
        wire.tx_push(f, start);
        while shard.turn() {}
        let mut burst = vec![];
        wire.rx_burst(&mut burst);
        answers += burst.len();
        burst.drain(..).for_each(|f| wire.release(f));
        wire.tx_commit();
    }
    shard.check_invariants().unwrap();
    assert_eq!(
        (shard.half_open() as usize, answers),
        (REACH * 8, REACH * 8)
    );
    assert_eq!(shard.counters().flow_table_crowded, 1);
}

/// Many of them: two among two million have one hash.
fn other_flow(n: u32) -> FlowKey {
    FlowKey {
        local: Endpoint::new(SERVER, PORT),
        remote: Endpoint::new(
            Address::v4([10, 1, (n >> 24) as u8, (n >> 16) as u8]),
            n as u16,
        ),
    }
}

#[test]
fn two_flows_of_one_hash_are_told_apart() {
    let config = common::config(SERVER, SERVER_MAC);
    let table = FlowTable::new(8, config.hash_key);
    let mut seen = HashMap::new();
    let (first, second) = (1..2_000_000u32)
        .find_map(|n| {
            seen.insert(table.hash(&other_flow(n)).get(), n)
                .map(|other| (other, n))
        })
        .expect("two of one hash");
    let (port, mut wire) = MemoryPort::pair(64);
    let mut shard = Shard::new(port, config, ManualClock::default());
    let probe = Probe::new();
    let service = shard.add_service(Box::new(probe.clone()));
    assert!(shard.listen(Endpoint::new(SERVER, PORT), service));
    let frame = |n: u32, flags: Flags, seq: u32, ack: u32, payload: &[u8]| {
        let link = Link {
            src: CLIENT_MAC,
            dst: SERVER_MAC,
            ..Link::default()
        };
        let to = FlowKey {
            local: other_flow(n).remote,
            remote: other_flow(n).local,
        };
        let header = Header {
            seq: SeqNumber::new(seq),
            ack: SeqNumber::new(ack),
            flags,
            window: WireWindow(60_000),
            ..Header::default()
        };
        let start = tcp_headers_len(&link, &to, &header);
        let mut bytes = vec![0; start + payload.len()];
        bytes[start..].copy_from_slice(payload);
        emit_tcp(
            &mut bytes,
            &link,
            &to,
            &header,
            Ecn::NotEct,
            payload.len(),
            checksum::sum,
        )
        .unwrap();
        bytes
    };
    let mut iss = HashMap::new();
    let mut exchange = |frames: &[Vec<u8>], iss: &mut HashMap<u16, u32>| {
        for bytes in frames {
            let mut f = wire.tx_alloc().unwrap();
            wire.tx_bytes(&mut f)[..bytes.len()].copy_from_slice(bytes);
            wire.tx_push(f, bytes.len());
        }
        while shard.turn() {}
        let mut burst = vec![];
        wire.rx_burst(&mut burst);
        for f in burst.drain(..) {
            if let Packet::Tcp(s) = parse(wire.rx_bytes(&f))
                && s.header.flags.contains(Flags::SYN)
            {
                iss.insert(s.flow.local.port, s.header.seq.get());
            }
            wire.release(f);
        }
        wire.tx_commit();
    };
    let both = [first, second];
    exchange(&both.map(|n| frame(n, Flags::SYN, 1000, 0, &[])), &mut iss);
    let una = |n: u32, iss: &HashMap<u16, u32>| iss[&(n as u16)].wrapping_add(1);
    let acks = both.map(|n| frame(n, Flags::ACK, 1001, una(n, &iss), &[]));
    exchange(&acks, &mut iss);
    // Each with the numbers of the other: nothing but the flow tells them apart.
    let data = [(first, second), (second, first)]
        .map(|(n, other)| frame(n, Flags::ACK, 1001, una(other, &iss), b"stray"));
    exchange(&data, &mut iss);
    let opened = probe.opened();
    assert_eq!(opened.len(), 2);
    for id in opened {
        assert_eq!(probe.received(id), b"");
    }
}
