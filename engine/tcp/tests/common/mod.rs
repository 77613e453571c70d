//! Two ends of TCP on a virtual clock, with plain vectors for buffers.
#![allow(dead_code, reason = "each test file uses a part of the harness")]
#![allow(unreachable_pub, reason = "a module shared by test files")]

use byway_tcp::effects::{CloseReason, Effects};
use byway_tcp::listen::{SynEntry, SynTimeout, SynVerdict};
use byway_tcp::segment::{Plan, Segment};
use byway_tcp::time::{Duration, Instant};
use byway_tcp::time_wait::{TimeWait, TimeWaitVerdict};
use byway_tcp::{Config, CongestionAlgorithm, Connection, Secrets, State, Tcp};
use byway_wire::tcp::{Flags, Options, Timestamps, WireWindow};
use byway_wire::{Address, Endpoint, FlowKey, SeqNumber, plain};
use std::collections::{BTreeMap, VecDeque};

pub const MSS: u16 = 1460;

/// A segment on its way, with its bytes.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Sent as ECN-capable.
    pub ecn_capable: bool,
    pub seg: Segment,
    pub data: Vec<u8>,
}

/// One end: a listener, then a connection, then what is left of it.
pub struct End {
    pub tcp: Tcp,
    pub flow: FlowKey,
    pub listening: bool,
    pub syn: Option<SynEntry>,
    pub conn: Option<Connection>,
    pub time_wait: Option<TimeWait>,
    pub closed: Option<CloseReason>,
    pub opened: u32,
    pub peer_closed: u32,
    pub urgent: u32,
    /// Octets from SND.UNA on.
    pub sending: VecDeque<u8>,
    /// Octets in order that were not consumed.
    pub unread: VecDeque<u8>,
    /// Octets out of order, by distance from the first unread octet's position in the stream.
    held: BTreeMap<u64, u8>,
    /// Position of RCV.NXT in the stream.
    position: u64,
    /// What the application has read.
    pub got: Vec<u8>,
    pub reading: bool,
    offset: u32,
    pub drops: Vec<byway_tcp::effects::DropReason>,
}

pub fn flow() -> FlowKey {
    let end = |o, port| Endpoint::new(Address::v4([10, 0, 0, o]), port);
    FlowKey {
        local: end(1, 40_000),
        remote: end(2, 80),
    }
}

pub fn reversed(flow: FlowKey) -> FlowKey {
    FlowKey {
        local: flow.remote,
        remote: flow.local,
    }
}

/// The same as a plan.
fn plan_of(header: &plain::Header) -> Plan {
    Plan {
        seq: header.seq,
        ack: header.ack,
        flags: header.flags,
        window: header.window,
        options: Options {
            timestamps: header.timestamps,
            ..Options::default()
        },
        ..Plan::default()
    }
}

impl End {
    pub fn new(config: Config, flow: FlowKey, key: u64) -> Self {
        let secrets = Secrets {
            isn: [key, key ^ 7],
            timestamp_offset: key as u32,
        };
        Self {
            // What a window lets out is seen at once: tests of pacing turn it on.
            tcp: Tcp::new(
                Config {
                    pacing: false,
                    ..config
                },
                secrets,
                4,
            ),
            flow,
            listening: false,
            syn: None,
            conn: None,
            time_wait: None,
            closed: None,
            opened: 0,
            peer_closed: 0,
            urgent: 0,
            sending: VecDeque::new(),
            unread: VecDeque::new(),
            held: BTreeMap::new(),
            position: 0,
            got: Vec::new(),
            reading: true,
            offset: key as u32,
            drops: Vec::new(),
        }
    }

    pub fn conn(&mut self) -> &mut Connection {
        self.conn.as_mut().expect("a connection")
    }

    /// The connection with its environment.
    pub fn with_conn<R>(&mut self, f: impl FnOnce(&mut Connection, &mut Tcp) -> R) -> R {
        f(self.conn.as_mut().expect("a connection"), &mut self.tcp)
    }

    /// TSval of this end at `now`: the clock in milliseconds plus its secret offset.
    pub fn timestamp(&self, now: Instant) -> u32 {
        now.as_millis_wrapped().wrapping_add(self.offset)
    }

    pub fn info(&self) -> byway_tcp::Info {
        self.conn.as_ref().expect("a connection").info(&self.tcp)
    }

    pub fn state(&self) -> State {
        match (&self.conn, &self.syn, &self.time_wait) {
            (Some(conn), _, _) => conn.state(),
            (_, Some(_), _) => State::SynReceived,
            (_, _, Some(_)) => State::TimeWait,
            _ if self.listening => State::Listen,
            _ => State::Closed,
        }
    }

    pub fn connect(&mut self, now: Instant) {
        self.conn = Some(Connection::connect(self.flow, MSS, now, &mut self.tcp));
    }

    /// Queues as much as fits, returns how much.
    pub fn send(&mut self, data: &[u8]) -> usize {
        let conn = self.conn.as_mut().expect("a connection");
        let len = data.len().min(conn.send_space(&self.tcp) as usize);
        self.sending.extend(&data[..len]);
        if len > 0 {
            conn.queue(len as u32);
        }
        len
    }

    /// As `send`, and what was sent so far is urgent.
    pub fn send_urgent(&mut self, data: &[u8]) -> usize {
        let conn = self.conn.as_mut().expect("a connection");
        let len = data.len().min(conn.send_space(&self.tcp) as usize);
        self.sending.extend(&data[..len]);
        conn.queue_urgent(len as u32, &mut self.tcp);
        len
    }

    /// Octets to read until the end of urgent data.
    pub fn urgent_left(&self) -> u32 {
        let conn = self.conn.as_ref().expect("a connection");
        conn.urgent_left(&self.tcp)
    }

    pub fn shutdown(&mut self) {
        self.conn().shutdown();
    }

    pub fn close(&mut self, now: Instant) -> Vec<Packet> {
        let mut fx = Effects::default();
        self.conn
            .as_mut()
            .expect("a connection")
            .close(now, &mut self.tcp, &mut fx);
        self.apply(fx, &[], now)
    }

    pub fn abort(&mut self, now: Instant) -> Vec<Packet> {
        let plan = self
            .conn
            .as_mut()
            .expect("a connection")
            .abort(now, &mut self.tcp);
        self.drop_connection(CloseReason::Aborted);
        plan.map(|plan| self.packet(plan)).into_iter().collect()
    }

    /// Reads `len` octets.
    pub fn read(&mut self, len: usize) {
        let len = len.min(self.unread.len());
        self.got.extend(self.unread.drain(..len));
        if let Some(conn) = self.conn.as_mut() {
            conn.consume(len as u32, &self.tcp);
        }
    }

    fn packet(&self, plan: Plan) -> Packet {
        let from = plan.payload.offset as usize;
        let data: Vec<u8> = self
            .sending
            .iter()
            .skip(from)
            .take(plan.payload.len as usize)
            .copied()
            .collect();
        assert_eq!(
            data.len(),
            plan.payload.len as usize,
            "sent what was never queued"
        );
        Packet {
            ecn_capable: plan.ecn_capable,
            seg: Segment {
                seq: plan.seq,
                ack: plan.ack,
                flags: plan.flags,
                window: plan.window,
                urgent: plan.urgent,
                options: plan.options,
                payload_len: plan.payload.len,
                congestion: false,
            },
            data,
        }
    }

    fn drop_connection(&mut self, reason: CloseReason) {
        if let Some(mut conn) = self.conn.take() {
            conn.release(&mut self.tcp);
        }
        self.closed = Some(reason);
        assert_eq!(
            self.tcp.records_in_use(),
            (0, 0),
            "pooled records come back"
        );
        assert_eq!(self.tcp.connections_in_use(), 0, "as does the cold one");
    }

    pub fn input(&mut self, packet: &Packet, now: Instant) -> Vec<Packet> {
        let seg = &packet.seg;
        if self.conn.is_none() {
            if let Some(mut entry) = self.syn.take() {
                return self.input_half_open(&mut entry, packet, now);
            }
            let mut beyond = None;
            if let Some(time_wait) = self.time_wait.as_mut() {
                match time_wait.on_segment(seg, now, &mut self.tcp) {
                    TimeWaitVerdict::Ignore => return vec![],
                    TimeWaitVerdict::Reply(plan) => return vec![self.packet(plan)],
                    TimeWaitVerdict::Reopen(old) => {
                        beyond = Some(old);
                        self.time_wait = None;
                    }
                }
            }
            let syn = seg.flags.contains(Flags::SYN)
                && !seg.flags.intersects(Flags::ACK | Flags::RST | Flags::FIN);
            if self.listening && syn {
                let mut entry = self.tcp.accept_syn(self.flow, seg, MSS, now);
                if let Some(old) = beyond {
                    entry.begin_beyond(old);
                }
                let plan = entry.syn_ack(now, &mut self.tcp);
                self.syn = Some(entry);
                return vec![self.packet(plan)];
            }
            if self.listening && !seg.flags.intersects(Flags::ACK | Flags::RST) {
                return vec![];
            }
            let reply = self.tcp.reset_for(seg);
            return reply.map(|plan| self.packet(plan)).into_iter().collect();
        }
        let mut fx = Effects::default();
        let conn = self.conn.as_mut().expect("checked");
        conn.on_segment(seg, now, &mut self.tcp, &mut fx);
        conn.check_invariants(&self.tcp);
        self.apply(fx, &packet.data, now)
    }

    fn input_half_open(
        &mut self,
        entry: &mut SynEntry,
        packet: &Packet,
        now: Instant,
    ) -> Vec<Packet> {
        match entry.on_segment(&packet.seg, now, &mut self.tcp) {
            SynVerdict::Stay(plan) => {
                self.syn = Some(*entry);
                plan.map(|plan| self.packet(plan)).into_iter().collect()
            }
            SynVerdict::Drop(reason) => {
                self.drops.push(reason);
                self.syn = Some(*entry);
                vec![]
            }
            SynVerdict::Reset => vec![],
            SynVerdict::Accept => {
                self.conn = Some(Connection::accept(entry, now, &mut self.tcp));
                self.input(packet, now)
            }
        }
    }

    fn apply(&mut self, fx: Effects, data: &[u8], now: Instant) -> Vec<Packet> {
        let out: Vec<Packet> = fx.reply.map(|plan| self.packet(plan)).into_iter().collect();
        self.drops.extend(fx.drop);
        self.opened += u32::from(fx.events.opened);
        self.peer_closed += u32::from(fx.events.peer_closed);
        self.urgent += u32::from(fx.events.urgent);
        self.sending.drain(..fx.acked as usize);
        let piece = |p: byway_tcp::effects::Piece| &data[p.skip as usize..][..p.len as usize];
        for (i, byte) in piece(fx.store.piece).iter().enumerate() {
            self.held
                .insert(self.position + u64::from(fx.store.at) + i as u64, *byte);
        }
        self.unread.extend(piece(fx.deliver));
        self.position += u64::from(fx.deliver.len);
        for _ in 0..fx.ready {
            let byte = self
                .held
                .remove(&self.position)
                .expect("a ready octet was kept");
            self.unread.push_back(byte);
            self.position += 1;
        }
        if let Some(reason) = fx.closed {
            if fx.time_wait {
                let conn = self.conn.as_ref().expect("a connection");
                self.time_wait = Some(conn.time_wait(now, &self.tcp));
            }
            self.drop_connection(reason);
        }
        if self.reading && !self.unread.is_empty() {
            self.read(usize::MAX);
        }
        out
    }

    pub fn poll(&mut self, now: Instant) -> Vec<Packet> {
        let mut out = vec![];
        while let Some(conn) = self.conn.as_mut() {
            let short = conn.owes_plain_ack(&self.tcp);
            let plan = if short {
                Some(plan_of(&conn.plain_ack(now, &mut self.tcp)))
            } else {
                conn.poll_transmit(now, &mut self.tcp)
            };
            let Some(plan) = plan else { break };
            assert!(!short || conn.poll_transmit(now, &mut self.tcp).is_none());
            conn.check_invariants(&self.tcp);
            let in_window = conn.info(&self.tcp).in_flight <= conn.info(&self.tcp).snd_wnd + 1;
            let syn = plan.flags.contains(Flags::SYN);
            assert!(
                plan.payload.len == 0 || syn || in_window,
                "beyond the peer's window"
            );
            out.push(self.packet(plan));
            assert!(out.len() < 10_000, "livelock in poll_transmit");
        }
        out
    }

    pub fn deadline(&self) -> Instant {
        let conn = self
            .conn
            .as_ref()
            .map_or(Instant::NEVER, |conn| conn.deadline(&self.tcp));
        let syn = self
            .syn
            .as_ref()
            .map_or(Instant::NEVER, |entry| entry.deadline());
        let time_wait = self
            .time_wait
            .as_ref()
            .map_or(Instant::NEVER, |quiet| quiet.deadline());
        conn.min(syn).min(time_wait)
    }

    pub fn on_timeout(&mut self, now: Instant) -> Vec<Packet> {
        if let Some(entry) = self.syn.as_mut() {
            match entry.on_timeout(now, &mut self.tcp) {
                SynTimeout::Early => {}
                SynTimeout::Resend(plan) => return vec![self.packet(plan)],
                SynTimeout::Expired => self.syn = None,
            }
        }
        if self.time_wait.as_ref().is_some_and(|t| t.deadline() <= now) {
            self.time_wait = None;
        }
        let Some(conn) = self.conn.as_mut() else {
            return vec![];
        };
        let mut fx = Effects::default();
        conn.on_timeout(now, &mut self.tcp, &mut fx);
        self.apply(fx, &[], now)
    }
}

/// Two ends, and a network between them that a closure may tamper with.
pub struct Pair {
    pub now: Instant,
    pub a: End,
    pub b: End,
    /// On their way: when they arrive, whether to `b`, what.
    pub queue: VecDeque<(Instant, bool, Packet)>,
    pub delay: Duration,
    /// Everything that was sent, for looking at.
    pub log: Vec<(bool, Packet)>,
}

impl Pair {
    pub fn new(config: Config) -> Self {
        Self::with(config.clone(), config)
    }

    pub fn with(a: Config, b: Config) -> Self {
        let mut pair = Self {
            now: Instant::from_nanos(u64::from(u32::MAX - 5_000) * 1_000_000),
            a: End::new(a, flow(), 11),
            b: End::new(b, reversed(flow()), 22),
            queue: VecDeque::new(),
            delay: Duration::from_millis(10),
            log: vec![],
        };
        pair.b.listening = true;
        pair
    }

    pub fn established(config: Config) -> Self {
        let mut pair = Self::new(config);
        pair.a.connect(pair.now);
        pair.settle();
        assert_eq!(
            (pair.a.state(), pair.b.state()),
            (State::Established, State::Established)
        );
        pair.log.clear();
        pair
    }

    pub fn put(&mut self, to_b: bool, packets: Vec<Packet>) {
        for packet in packets {
            self.log.push((to_b, packet.clone()));
            self.queue.push_back((self.now + self.delay, to_b, packet));
        }
    }

    pub fn flush(&mut self) {
        let out = self.a.poll(self.now);
        self.put(true, out);
        let out = self.b.poll(self.now);
        self.put(false, out);
    }

    /// One event: the next arrival or the next timer. False when nothing is left to happen.
    pub fn step(&mut self, mut tamper: impl FnMut(bool, &Packet) -> Fate) -> bool {
        self.flush();
        let arrival = self
            .queue
            .iter()
            .map(|(at, ..)| *at)
            .min()
            .unwrap_or(Instant::NEVER);
        let timer = self.a.deadline().min(self.b.deadline());
        let next = arrival.min(timer);
        if !next.is_armed() {
            return false;
        }
        self.now = self.now.max(next);
        if timer < arrival {
            let out = self.a.on_timeout(self.now);
            self.put(true, out);
            let out = self.b.on_timeout(self.now);
            self.put(false, out);
        } else {
            let index = self
                .queue
                .iter()
                .position(|(at, ..)| *at == arrival)
                .expect("there");
            let (_, to_b, packet) = self.queue.remove(index).expect("there");
            match tamper(to_b, &packet) {
                Fate::Deliver => self.deliver(to_b, &packet),
                Fate::Mark => {
                    let mut marked = packet;
                    marked.seg.congestion = true;
                    self.deliver(to_b, &marked);
                }
                Fate::Duplicate => {
                    self.deliver(to_b, &packet);
                    self.deliver(to_b, &packet);
                }
                Fate::Delay(by) => self.queue.push_back((self.now + by, to_b, packet)),
                Fate::Drop => {}
            }
        }
        self.flush();
        true
    }

    pub fn deliver(&mut self, to_b: bool, packet: &Packet) {
        let out = if to_b {
            self.b.input(packet, self.now)
        } else {
            self.a.input(packet, self.now)
        };
        self.put(!to_b, out);
    }

    /// Runs without tampering until nothing is left to happen within a short time.
    pub fn settle(&mut self) {
        self.run_for(Duration::from_millis(150));
    }

    /// Runs without tampering for this long.
    pub fn run_for(&mut self, time: Duration) {
        self.run_for_with(time, |_, _| Fate::Deliver);
    }

    pub fn run_for_with(&mut self, time: Duration, mut tamper: impl FnMut(bool, &Packet) -> Fate) {
        let end = self.now + time;
        for _ in 0..1_000_000 {
            self.flush();
            let arrival = self
                .queue
                .iter()
                .map(|(at, ..)| *at)
                .min()
                .unwrap_or(Instant::NEVER);
            let next = arrival.min(self.a.deadline()).min(self.b.deadline());
            if next > end || !self.step(&mut tamper) {
                self.now = end;
                return;
            }
        }
        panic!("livelock");
    }

    /// Segments logged in one direction since the last clear.
    pub fn sent(&self, to_b: bool) -> Vec<Segment> {
        self.log
            .iter()
            .filter(|(d, _)| *d == to_b)
            .map(|(_, p)| p.seg)
            .collect()
    }
}

/// A segment without data as `a` would send it now, everything in flight having arrived.
pub fn from_a(pair: &mut Pair) -> Packet {
    let timestamps = Timestamps {
        value: pair.a.timestamp(pair.now),
        echo: pair.b.timestamp(pair.now),
    };
    bare(pair.b.conn().rcv_nxt(), pair.a.conn().rcv_nxt(), timestamps)
}

/// The same from `b`.
pub fn from_b(pair: &mut Pair) -> Packet {
    let timestamps = Timestamps {
        value: pair.b.timestamp(pair.now),
        echo: pair.a.timestamp(pair.now),
    };
    bare(pair.a.conn().rcv_nxt(), pair.b.conn().rcv_nxt(), timestamps)
}

fn bare(seq: SeqNumber, ack: SeqNumber, timestamps: Timestamps) -> Packet {
    Packet {
        ecn_capable: false,
        seg: Segment {
            seq,
            ack,
            flags: Flags::ACK,
            window: WireWindow(0xffff),
            options: Options {
                timestamps: Some(timestamps),
                ..Options::default()
            },
            ..Segment::default()
        },
        data: vec![],
    }
}

pub fn with_data(mut packet: Packet, data: &[u8]) -> Packet {
    packet.seg.payload_len = data.len() as u32;
    packet.data = data.to_vec();
    packet
}

/// A connecting end and the SYN it sent.
pub fn connecting(flow: FlowKey, config: Config) -> (End, Segment) {
    let mut end = End::new(config, flow, 5);
    end.connect(Instant::from_nanos(0));
    let syn = end.poll(Instant::from_nanos(0)).remove(0).seg;
    (end, syn)
}

/// Without SACK, and with Reno: what RFC 5681 and RFC 6582 describe.
pub fn classic() -> Config {
    Config {
        sack: false,
        congestion: CongestionAlgorithm::Reno,
        ..Config::default()
    }
}

/// What the network does with a packet.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Deliver,
    Drop,
    Duplicate,
    Delay(Duration),
    /// Deliver with "congestion experienced".
    Mark,
}

/// Small generator for tests: xorshift64*.
pub struct Rng(pub u64);

impl Rng {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
    }
}

pub fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + (i >> 8) * 7) as u8).collect()
}
