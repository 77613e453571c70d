//! Header prediction, seen from outside: two shards, with it and without, get the same bursts of every
//! kind, for a service that does everything a service may. What they send, call and count is the same.

mod common;
use byway_stack::clock::ManualClock;
use byway_stack::context::{ConnId, Context};
use byway_stack::memory::MemoryPort;
use byway_stack::port::Port;
use byway_stack::random::SplitMix;
use byway_stack::{Service, Shard};
use byway_tcp::effects::CloseReason;
use byway_tcp::time::Duration;
use byway_wire::ethernet::Header as Link;
use byway_wire::frame::{Packet, emit_tcp, parse};
use byway_wire::ip::Ecn;
use byway_wire::tcp::{Flags, Header, Options, Timestamps, WindowScale, WireWindow};
use byway_wire::{Endpoint, FlowKey, SeqNumber, checksum};
use common::{CLIENT, CLIENT_MAC, PORT, SERVER, SERVER_MAC};
use std::cell::RefCell;
use std::rc::Rc;

/// What the service was told, and who is there.
#[derive(Default)]
struct Log {
    lines: Vec<String>,
    open: Vec<ConnId>,
}
/// Does what the first octet of the data says.
struct Moody(Rc<RefCell<Log>>);
impl Service for Moody {
    fn on_open(&mut self, c: &mut Context<'_>) {
        let id = c.id();
        let mut l = self.0.borrow_mut();
        l.open.push(id);
        if id.index.is_multiple_of(5) {
            c.set_linger(Some(Duration::ZERO));
        }
        l.lines.push(format!("open {id:?}"));
    }
    fn on_data(&mut self, c: &mut Context<'_>, data: &[u8]) -> usize {
        let id = c.id();
        self.0
            .borrow_mut()
            .lines
            .push(format!("data {id:?} {} {}", data.len(), data[0]));
        match data[0] % 32 {
            0 => {
                c.close();
                data.len()
            }
            1 => {
                c.abort();
                data.len()
            }
            2 => {
                c.shutdown();
                data.len()
            }
            3 => 0,
            4 => data.len() / 2,
            5 => {
                c.close();
                data.len() / 2
            }
            6 => {
                let other = self.0.borrow().open.get(data[0] as usize / 32).copied();
                if let Some(o) = other
                    && c.select(o)
                {
                    c.abort();
                }
                data.len()
            }
            7 => {
                let n = c.send(&vec![9u8; 30_000]);
                self.0.borrow_mut().lines.push(format!("sent {n}"));
                data.len()
            }
            8 => {
                let other = self.0.borrow().open.get(data[0] as usize / 32).copied();
                if let Some(o) = other
                    && c.select(o)
                {
                    c.resume();
                }
                data.len()
            }
            _ => {
                let n = c.send(data);
                self.0.borrow_mut().lines.push(format!("echo {n}"));
                data.len()
            }
        }
    }
    fn on_writable(&mut self, c: &mut Context<'_>) {
        self.0
            .borrow_mut()
            .lines
            .push(format!("writable {:?}", c.id()));
        c.send(&[7; 3000]);
    }
    fn on_peer_closed(&mut self, c: &mut Context<'_>) {
        self.0
            .borrow_mut()
            .lines
            .push(format!("peer closed {:?}", c.id()));
        if c.id().index.is_multiple_of(2) {
            c.shutdown();
        }
    }
    fn on_closed(&mut self, c: &mut Context<'_>, r: CloseReason) {
        let id = c.id();
        let mut l = self.0.borrow_mut();
        l.open.retain(|o| *o != id);
        l.lines.push(format!("closed {id:?} {r:?}"));
    }
}

struct Bench {
    clock: ManualClock,
    shard: Shard<MemoryPort, ManualClock>,
    wire: MemoryPort,
    log: Rc<RefCell<Log>>,
}
impl Bench {
    fn new(predict: bool, seed: u64) -> Self {
        let clock = ManualClock::default();
        let (port, wire) = MemoryPort::pair(1024);
        let mut config = common::config(SERVER, SERVER_MAC);
        config.tcp.header_prediction = predict;
        config.limits.max_connections = 6;
        config.limits.receive_blocks = if seed.is_multiple_of(3) { 64 } else { 1024 };
        config.limits.send_blocks = if seed.is_multiple_of(4) { 32 } else { 1024 };
        config.limits.tx_per_turn = if seed.is_multiple_of(5) { 7 } else { 256 };
        config.tcp.rcv_buf = 40_000;
        let mut shard = Shard::new(port, config, clock.clone());
        let log = Rc::new(RefCell::new(Log::default()));
        let service = shard.add_service(Box::new(Moody(log.clone())));
        assert!(shard.listen(Endpoint::new(SERVER, PORT), service));
        Self {
            clock,
            shard,
            wire,
            log,
        }
    }
    fn send(&mut self, bytes: &[u8]) {
        let Some(mut frame) = self.wire.tx_alloc() else {
            return;
        };
        self.wire.tx_bytes(&mut frame)[..bytes.len()].copy_from_slice(bytes);
        self.wire.tx_push(frame, bytes.len());
    }
    fn turn(&mut self) -> Vec<Vec<u8>> {
        for _ in 0..50 {
            if !self.shard.turn() {
                break;
            }
        }
        self.shard.check_invariants().unwrap();
        let mut sent = vec![];
        let mut burst = Vec::new();
        while self.wire.rx_burst(&mut burst) > 0 {
            for frame in burst.drain(..) {
                sent.push(self.wire.rx_bytes(&frame).to_vec());
                self.wire.release(frame);
            }
            self.wire.tx_commit();
        }
        self.wire.tx_commit();
        for _ in 0..50 {
            if !self.shard.turn() {
                break;
            }
        }
        sent
    }
}

#[derive(Clone, Copy)]
struct Peer {
    port: u16,
    ts: bool,
    snd: u32,
    rcv: u32,
    state: u8,
}

fn frame(
    p: &Peer,
    flags: Flags,
    seq: u32,
    ack: u32,
    window: u16,
    tsval: u32,
    payload: &[u8],
) -> Vec<u8> {
    let link = Link {
        src: CLIENT_MAC,
        dst: SERVER_MAC,
        vlan: None,
        outer_vlan: None,
    };
    let flow = FlowKey {
        local: Endpoint::new(CLIENT, p.port),
        remote: Endpoint::new(SERVER, PORT),
    };
    let mut options = Options::default();
    if p.ts {
        options.timestamps = Some(Timestamps {
            value: tsval,
            echo: 0,
        });
    }
    if flags.contains(Flags::SYN) {
        options.mss = Some(1400);
        options.sack_permitted = true;
        options.window_scale = Some(WindowScale::clamped(2));
    }
    let header = Header {
        seq: SeqNumber::new(seq),
        ack: SeqNumber::new(ack),
        flags,
        window: WireWindow(window),
        options,
        ..Header::default()
    };
    let start = byway_wire::frame::tcp_headers_len(&link, &flow, &header);
    let mut bytes = vec![0; start + payload.len()];
    bytes[start..].copy_from_slice(payload);
    emit_tcp(
        &mut bytes,
        &link,
        &flow,
        &header,
        Ecn::NotEct,
        payload.len(),
        checksum::sum,
    )
    .unwrap();
    bytes
}

#[test]
fn short_and_long_way_do_the_same() {
    let mut plain_data = 0u64;
    for seed in 0..500u64 {
        let mut r = SplitMix::new(seed);
        let (mut a, mut b) = (Bench::new(true, seed), Bench::new(false, seed));
        let mut peers: Vec<Peer> = (0..4)
            .map(|i| Peer {
                port: 2000 + i,
                ts: i % 2 == 0,
                snd: r.next_u64() as u32,
                rcv: 0,
                state: 0,
            })
            .collect();
        let mut ts = 1000u32;
        for step in 0..150 {
            ts += r.below(3) as u32;
            let mut burst: Vec<Vec<u8>> = vec![];
            for _ in 0..1 + r.below(12) {
                let n = r.below(4) as usize;
                let p = &mut peers[n];
                if p.state == 0 {
                    p.snd = p.snd.wrapping_add(100_000);
                    burst.push(frame(p, Flags::SYN, p.snd, 0, 60_000, ts, &[]));
                    p.snd = p.snd.wrapping_add(1);
                    p.state = 1;
                    continue;
                }
                if p.state == 1 {
                    if r.chance(0.3) {
                        p.state = 0;
                    }
                    continue;
                }
                let window = if r.chance(0.9) {
                    15_000
                } else {
                    r.below(15_000) as u16
                };
                let ack = match r.below(10) {
                    0 => p.rcv.wrapping_sub(r.below(1500) as u32),
                    1 => p.rcv.wrapping_add(1),
                    _ => p.rcv,
                };
                let psh = if r.chance(0.5) {
                    Flags::ACK | Flags::PSH
                } else {
                    Flags::ACK
                };
                match r.below(40) {
                    0 => {
                        burst.push(frame(
                            p,
                            Flags::ACK | Flags::FIN,
                            p.snd,
                            ack,
                            window,
                            ts,
                            &[],
                        ));
                        p.snd = p.snd.wrapping_add(1);
                    }
                    1 => {
                        burst.push(frame(
                            p,
                            Flags::RST | Flags::ACK,
                            p.snd,
                            ack,
                            window,
                            ts,
                            &[],
                        ));
                        p.state = 0;
                    }
                    2 => {
                        p.state = 0;
                    }
                    3 => {
                        let data = vec![r.next_u64() as u8; 1 + r.below(1400) as usize];
                        burst.push(frame(
                            p,
                            psh,
                            p.snd.wrapping_add(r.below(3000) as u32),
                            ack,
                            window,
                            ts,
                            &data,
                        ));
                    }
                    4 => {
                        let data = vec![r.next_u64() as u8; 1 + r.below(1400) as usize];
                        burst.push(frame(
                            p,
                            psh,
                            p.snd.wrapping_sub(r.below(3000) as u32),
                            ack,
                            window,
                            ts.wrapping_sub(r.below(2) as u32),
                            &data,
                        ));
                    }
                    5..=12 => burst.push(frame(p, Flags::ACK, p.snd, ack, window, ts, &[])),
                    _ => {
                        let data = vec![r.next_u64() as u8; 1 + r.below(1400) as usize];
                        burst.push(frame(p, psh, p.snd, ack, window, ts, &data));
                        p.snd = p.snd.wrapping_add(data.len() as u32);
                        plain_data += 1;
                    }
                }
            }
            for f in &burst {
                a.send(f);
                b.send(f);
            }
            let (x, y) = (a.turn(), b.turn());
            assert_eq!(
                a.log.borrow().lines,
                b.log.borrow().lines,
                "seed {seed} step {step}"
            );
            assert_eq!(x, y, "seed {seed} step {step}");
            let names = |s: &Bench| s.shard.counter_snapshot();
            assert_eq!(names(&a), names(&b), "seed {seed} step {step}");
            for f in &x {
                let Packet::Tcp(s) = parse(f) else { panic!() };
                let p = &mut peers[usize::from(s.flow.local.port - 2000)];
                let h = s.header;
                if h.flags.contains(Flags::SYN | Flags::ACK) {
                    if p.state == 1 {
                        p.rcv = h.seq.get().wrapping_add(1);
                        p.state = 2;
                    }
                } else if h.flags.contains(Flags::RST) {
                    p.state = 0;
                } else {
                    let end = h
                        .seq
                        .get()
                        .wrapping_add(s.payload_len() + u32::from(h.flags.contains(Flags::FIN)));
                    if (end.wrapping_sub(p.rcv) as i32) > 0 {
                        p.rcv = end;
                    }
                    // Follow what the server has, so that things go on after a gap.
                    if r.chance(0.3) {
                        p.snd = h.ack.get();
                    }
                }
            }
            let by =
                Duration::from_micros([50, 3000, 60_000, 400_000, 3_000_000][r.below(5) as usize]);
            a.clock.advance(by);
            b.clock.advance(by);
        }
    }
    assert!(
        plain_data > 20_000,
        "{plain_data} segments with data in order"
    );
}
