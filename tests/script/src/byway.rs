//! Byway under test: a whole shard on a wire in memory, in virtual time.

use crate::app::{App, Tester};
use crate::script::{
    Buffer, Call, Check, Congestion, Ecn, Figure, IcmpKind, NO_THRESHOLD, Settings,
};
use crate::seen::framed;
use crate::subject::{LISTENING, Subject, addresses};
use byway_stack::clock::ManualClock;
use byway_stack::context::{ConnId, Context};
use byway_stack::mailbox::Command;
use byway_stack::memory::MemoryPort;
use byway_stack::path::PathUpdate;
use byway_stack::port::Port;
use byway_stack::{Shard, ShardConfig, SoftError};
use byway_tcp::time::Instant;
use byway_tcp::{CongestionAlgorithm, Info, KeepAlive, Secrets, State};
use byway_wire::Endpoint;
use byway_wire::ethernet::{HEADER_LEN, MacAddr};
use byway_wire::icmp::Kind;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// The addresses that `framed` writes.
const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const PEERS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const FRAMES: u32 = 512;
/// Turns for which the time stands still at most.
const TURNS: u32 = 10_000;
/// One step of the clock that initial sequence numbers count.
const ISN_TICK: u64 = 64;

/// Where Byway's own numbers begin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin {
    /// Ticks of 64 ns by which the clock is put forward: initial sequence numbers grow by one in
    /// each.
    pub(crate) ticks: u32,
    /// Our timestamp at the start of the script, if it is to be a certain one.
    pub(crate) timestamp: Option<u32>,
}

/// A shard, its wire and its application.
pub(crate) struct Byway {
    clock: ManualClock,
    start: Instant,
    shard: Shard<MemoryPort, ManualClock>,
    wire: MemoryPort,
    app: Rc<RefCell<App>>,
    settings: Settings,
    service: u16,
    sent: VecDeque<(Duration, Vec<u8>)>,
}

impl Byway {
    pub(crate) fn new(settings: &Settings, origin: Origin) -> Self {
        let start = Instant::from_nanos(1_000_000_000 + u64::from(origin.ticks) * ISN_TICK);
        let clock = ManualClock::new(start);
        let (port, wire) = MemoryPort::pair(FRAMES);
        let mut shard = Shard::new(port, config(settings, origin, start), clock.clone());
        let app = Rc::new(RefCell::new(App::new()));
        let service = shard.add_service(Box::new(Tester(Rc::clone(&app))));
        let (ours, peer) = addresses(settings.v6);
        let path = PathUpdate {
            remote: peer,
            local: ours,
            src: OURS,
            dst: PEERS,
            vlan: None,
            mtu: settings.mtu,
        };
        shard
            .mailbox()
            .send(Command::Path(path))
            .expect("the mailbox is new and empty");
        Self {
            clock,
            start,
            shard,
            wire,
            app,
            settings: settings.clone(),
            service,
            sent: VecDeque::new(),
        }
    }

    fn time(&self) -> Duration {
        self.clock.peek().since(self.start)
    }

    /// Turns until the shard is idle, and collects what it sent.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..TURNS {
            let busy = self.shard.turn();
            self.collect();
            if !busy {
                return self.shard.check_invariants();
            }
        }
        Err(format!("the shard is still busy after {TURNS} turns"))
    }

    fn collect(&mut self) {
        let now = self.time();
        let mut burst = Vec::new();
        while self.wire.rx_burst(&mut burst) > 0 {
            for frame in burst.drain(..) {
                let bytes = self.wire.rx_bytes(&frame);
                let packet = bytes.get(HEADER_LEN..).unwrap_or(&[]).to_vec();
                self.sent.push_back((now, packet));
                self.wire.release(frame);
            }
            self.wire.tx_commit();
        }
        self.wire.tx_commit();
    }

    /// Moves the clock to what is due next, at most to `until`.
    fn advance(&mut self, until: Duration) {
        let now = self.clock.peek();
        let due = self
            .shard
            .next_deadline()
            .max(now + Duration::from_micros(1));
        self.clock.advance_to(due.min(self.start + until));
    }

    /// Does something in the loop.
    fn ask<T: 'static>(
        &mut self,
        action: impl FnOnce(&mut Context<'_>) -> T + 'static,
    ) -> Result<T, String> {
        let slot = Rc::new(RefCell::new(None));
        let answer = Rc::clone(&slot);
        self.app
            .borrow_mut()
            .actions
            .push_back(Box::new(move |ctx| {
                *answer.borrow_mut() = Some(action(ctx));
            }));
        self.settle()?;
        let answer = slot.borrow_mut().take();
        answer.ok_or_else(|| "the service was not called".to_owned())
    }

    /// Does something with the current connection.
    fn on<T: 'static>(
        &mut self,
        action: impl FnOnce(&mut Context<'_>) -> T + 'static,
    ) -> Result<T, String> {
        let id = self.app.borrow().current_id()?;
        self.ask(move |ctx| ctx.select(id).then(|| action(ctx)))?
            .ok_or_else(|| "the connection is gone".to_owned())
    }

    fn write(&mut self, octets: u32, taken: u32) -> Result<(), String> {
        let bytes = self.app.borrow().next_octets(octets)?;
        let took = self.on(move |ctx| ctx.send(&bytes))?;
        self.wrote(took, taken)
    }

    fn write_urgent(&mut self, octets: u32) -> Result<(), String> {
        let bytes = self.app.borrow().next_octets(octets)?;
        let took = self.on(move |ctx| ctx.send_urgent(&bytes))?;
        self.wrote(took, octets)
    }

    fn wrote(&mut self, took: usize, taken: u32) -> Result<(), String> {
        self.app.borrow_mut().wrote(took);
        if took == taken as usize {
            Ok(())
        } else {
            Err(format!("write took {took} octets, not {taken}"))
        }
    }

    fn read(&mut self, octets: u32) -> Result<(), String> {
        let before = self.app.borrow_mut().allow(u64::from(octets))?;
        // A connection that is gone has nothing more to offer; what was read tells.
        self.on(|ctx| ctx.resume()).ok();
        self.settle()?;
        self.app.borrow_mut().was_read(before, u64::from(octets))
    }

    fn connect(&mut self, peer: u16) -> Result<(), String> {
        let remote = Endpoint::new(addresses(self.settings.v6).1, peer);
        let id = self
            .ask(move |ctx| ctx.connect(remote, None, 0))?
            .map_err(|why| format!("connect failed: {why:?}"))?;
        self.app.borrow_mut().opening(id);
        self.set_nagle()
    }

    fn accept(&mut self) -> Result<(), String> {
        self.settle()?;
        self.app.borrow_mut().accept()?;
        self.set_nagle()
    }

    fn set_nagle(&mut self) -> Result<(), String> {
        let on = self.settings.nagle;
        // A peer's reset may have come already.
        self.on(move |ctx| ctx.set_nagle(on)).ok();
        Ok(())
    }

    fn state(&mut self) -> Result<State, String> {
        let id = self.app.borrow().last_id();
        if let Some(id) = id
            && let Some(state) = self.state_of(id)?
        {
            return Ok(state);
        }
        Ok(if self.shard.half_open() > 0 {
            State::SynReceived
        } else if self.shard.time_waits() > 0 {
            State::TimeWait
        } else {
            State::Closed
        })
    }

    fn state_of(&mut self, id: ConnId) -> Result<Option<State>, String> {
        let state = self.ask(move |ctx| {
            let there = ctx.select(id);
            ctx.info().filter(|_| there).map(|info| info.state)
        })?;
        // What is over may live on as another kind of record.
        Ok(state.filter(|state| !matches!(state, State::Closed | State::TimeWait)))
    }

    fn check_soft_error(&mut self, wanted: Option<IcmpKind>) -> Result<(), String> {
        let told = self.app.borrow().soft_error()?;
        // What the service was told, and what it can ask for as long as it holds.
        let holds = self.on(|ctx| ctx.soft_error()).unwrap_or(told);
        let wanted = match wanted {
            Some(kind) => Some(soft_error(kind, self.settings.v6)?),
            None => None,
        };
        if holds == wanted && (wanted.is_none() || told == wanted) {
            return Ok(());
        }
        Err(format!(
            "the service was told {told:?}, and {holds:?} holds"
        ))
    }

    fn check_info(&mut self, of: Figure, least: u64, most: u64) -> Result<(), String> {
        let info = self.on(|ctx| ctx.info())?;
        let info = info.ok_or("the connection is gone")?;
        of.compare(figure(&info, of), least, most)
    }

    fn check_writable(&mut self, wanted: bool) -> Result<(), String> {
        let space = self.on(|ctx| ctx.send_space())?;
        if (space > 0) == wanted {
            return Ok(());
        }
        Err(format!("there is room for {space} octets"))
    }
}

impl Subject for Byway {
    fn now(&mut self) -> Duration {
        self.time()
    }

    fn inject(&mut self, packet: &[u8]) -> Result<(), String> {
        let bytes = framed(packet);
        let mut frame = self.wire.tx_alloc().ok_or("the wire is full")?;
        self.wire.tx_bytes(&mut frame)[..bytes.len()].copy_from_slice(&bytes);
        self.wire.tx_push(frame, bytes.len());
        self.wire.tx_commit();
        self.settle()
    }

    fn next(&mut self, until: Duration) -> Option<(Duration, Vec<u8>)> {
        loop {
            if let Err(broken) = self.settle() {
                panic!("an invariant is broken: {broken}");
            }
            if let Some(sent) = self.sent.pop_front() {
                return Some(sent);
            }
            if self.time() >= until {
                return None;
            }
            self.advance(until);
        }
    }

    fn call(&mut self, call: Call, peer: u16) -> Result<(), String> {
        match call {
            Call::Listen => {
                let endpoint = Endpoint::new(addresses(self.settings.v6).0, LISTENING);
                let done = self.shard.listen(endpoint, self.service);
                done.then_some(()).ok_or_else(|| "listen failed".to_owned())
            }
            Call::Connect => self.connect(peer),
            Call::Accept => self.accept(),
            Call::Write { octets, taken } => self.write(octets, taken),
            Call::WriteUrgent(octets) => self.write_urgent(octets),
            Call::Read(octets) => self.read(octets),
            Call::ReadAlways => {
                self.app.borrow_mut().allow(u64::MAX / 2)?;
                self.on(|ctx| ctx.resume())
            }
            Call::Shutdown => self.on(|ctx| ctx.shutdown()),
            Call::Close => self.on(|ctx| ctx.close()),
            Call::Abort => self.on(|ctx| ctx.abort()),
            Call::Nagle(on) => self.on(move |ctx| ctx.set_nagle(on)),
            Call::Cork(on) => self.on(move |ctx| ctx.set_cork(on)),
            Call::KeepAlive(on) => self.on(move |ctx| ctx.set_keep_alive(on)),
            Call::Linger(limit) => self.on(move |ctx| ctx.set_linger(limit)),
        }
    }

    fn check(&mut self, check: Check, _peer: u16) -> Result<(), String> {
        self.settle()?;
        match check {
            Check::Readable(octets) => {
                let unread = self.on(|ctx| ctx.unread())?;
                if unread == octets as usize {
                    Ok(())
                } else {
                    Err(format!("{unread} octets can be read, not {octets}"))
                }
            }
            Check::Urgent(octets) => {
                let left = self.on(|ctx| ctx.urgent_left())?;
                if left == octets as usize {
                    Ok(())
                } else {
                    Err(format!(
                        "urgent data ends after {left} octets, not {octets}"
                    ))
                }
            }
            Check::State(wanted) => {
                let state = self.state()?;
                if state == wanted {
                    Ok(())
                } else {
                    Err(format!("the state is {}", state.name()))
                }
            }
            Check::Writable(wanted) => self.check_writable(wanted),
            Check::SoftError(wanted) => self.check_soft_error(wanted),
            Check::Info(figure, least, most) => self.check_info(figure, least, most),
            check => self.app.borrow().check(check),
        }
    }

    fn step(&mut self, until: Duration) {
        self.advance(until);
    }

    fn tolerance(&self, time: Duration) -> (Duration, Duration) {
        if time.is_zero() {
            // A tick of the timers.
            return (Duration::ZERO, Duration::from_micros(100));
        }
        let share = time / 50;
        (
            share + Duration::from_millis(1),
            share + Duration::from_millis(2),
        )
    }
}

/// What a service is told when such an error arrives.
fn soft_error(kind: IcmpKind, v6: bool) -> Result<SoftError, String> {
    let (kind, code) = match (kind, v6) {
        (IcmpKind::NetUnreachable, _) => (Kind::Unreachable, 0),
        (IcmpKind::HostUnreachable, false) => (Kind::Unreachable, 1),
        (IcmpKind::ProtocolUnreachable, false) => (Kind::Unreachable, 2),
        (IcmpKind::PortUnreachable, false) | (IcmpKind::HostUnreachable, true) => {
            (Kind::Unreachable, 3)
        }
        (IcmpKind::PortUnreachable, true) => (Kind::Unreachable, 4),
        (IcmpKind::Prohibited, false) => (Kind::Unreachable, 13),
        (IcmpKind::Prohibited, true) => (Kind::Unreachable, 1),
        (IcmpKind::ProtocolUnreachable, true) => (Kind::ParameterProblem, 1),
        (IcmpKind::TimeExceeded, _) => (Kind::TimeExceeded, 0),
        (IcmpKind::TooBig(_) | IcmpKind::SourceQuench, _) => {
            return Err("nobody is told of this".to_owned());
        }
    };
    Ok(SoftError { kind, code })
}

/// A figure of a snapshot; times in microseconds.
fn figure(info: &Info, figure: Figure) -> u64 {
    let micros = |time: Duration| time.as_micros() as u64;
    match figure {
        Figure::Srtt => micros(info.srtt),
        Figure::RttVar => micros(info.rttvar),
        Figure::MinRtt => micros(info.min_rtt.unwrap_or_default()),
        Figure::Rto => micros(info.rto),
        Figure::BackOff => u64::from(info.backoff),
        Figure::Cwnd => u64::from(info.cwnd),
        Figure::Ssthresh if info.ssthresh == u32::MAX => NO_THRESHOLD,
        Figure::Ssthresh => u64::from(info.ssthresh),
        Figure::Mss => u64::from(info.mss),
        Figure::InFlight => u64::from(info.in_flight),
        Figure::Sacked => u64::from(info.sacked),
        Figure::Lost => u64::from(info.lost),
        Figure::Unsent => u64::from(info.unsent),
        Figure::Resent => u64::from(info.segments_resent),
        Figure::Acknowledged => info.octets_acknowledged,
        Figure::Received => info.octets_received,
    }
}

fn config(settings: &Settings, origin: Origin, start: Instant) -> ShardConfig {
    let timestamp_offset = match origin.timestamp {
        Some(first) => first.wrapping_sub(start.as_millis_wrapped()),
        None => 7,
    };
    let secrets = Secrets {
        isn: [1, 2],
        timestamp_offset,
    };
    let mut config = ShardConfig::new(secrets, [3, 4]);
    config.addresses = vec![addresses(settings.v6).0];
    config.mac = Some(OURS);
    config.mtu = settings.mtu;
    config.limits.max_connections = 16;
    config.limits.syn_queue = settings.syn_queue.unwrap_or(16);
    config.limits.time_wait = 16;
    config.limits.receive_blocks = 4096;
    config.limits.send_blocks = 4096;
    let tcp = &mut config.tcp;
    let Settings {
        receive_buffer,
        send_buffer,
        syn_retries,
        syn_ack_retries,
        retries,
        not_sent_low_water,
        pacing,
        challenge_acks,
        ..
    } = *settings;
    if let Some(Buffer { initial, most }) = receive_buffer {
        tcp.rcv_buf = most;
        tcp.rcv_buf_initial = initial.unwrap_or(tcp.rcv_buf_initial);
    }
    if let Some(Buffer { initial, most }) = send_buffer {
        tcp.snd_buf = most;
        tcp.snd_buf_initial = initial.unwrap_or(tcp.snd_buf_initial);
    }
    tcp.not_sent_low_water = not_sent_low_water.unwrap_or(tcp.not_sent_low_water);
    tcp.pacing = pacing.unwrap_or(tcp.pacing);
    tcp.challenge_acks = challenge_acks.unwrap_or(tcp.challenge_acks);
    tcp.window_scaling = settings.window_scaling;
    tcp.timestamps = settings.timestamps;
    tcp.sack = settings.sack;
    tcp.ecn = match settings.ecn {
        Ecn::Off => byway_tcp::Ecn::Off,
        Ecn::Asked => byway_tcp::Ecn::WhenAsked,
        Ecn::On => byway_tcp::Ecn::On,
    };
    tcp.congestion = match settings.congestion {
        Congestion::Cubic => CongestionAlgorithm::Cubic,
        Congestion::Reno => CongestionAlgorithm::Reno,
    };
    tcp.user_timeout = settings.user_timeout;
    tcp.syn_retries = syn_retries.unwrap_or(tcp.syn_retries);
    tcp.syn_ack_retries = syn_ack_retries.unwrap_or(tcp.syn_ack_retries);
    tcp.retries = retries.unwrap_or(tcp.retries);
    if let Some((idle, interval, probes)) = settings.keep_alive {
        tcp.keep_alive = KeepAlive {
            idle,
            interval,
            probes,
        };
    }
    config
}
