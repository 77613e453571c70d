//! The services of an engine: they open connections, write and read as planned, and compare every
//! octet that arrives.

use crate::oracle::{PIECE, Stream};
use crate::scenario::{Begin, CLIENT_PORT, CROSSING_PORT, ConnectionPlan, SidePlan};
use byway_stack::{ConnId, Context, Service};
use byway_tcp::Info;
use byway_tcp::effects::CloseReason;
use byway_tcp::time::{Duration, Instant};
use byway_wire::{Address, Endpoint};
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

/// What an engine's TIME-WAIT lasts.
const TIME_WAIT: Duration = Duration::from_secs(60);

/// How far one side of a connection is.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    id: ConnId,
    pub(crate) opened: bool,
    pub(crate) sent: u32,
    pub(crate) received: u32,
    pub(crate) peer_closed: bool,
    fin: bool,
    pub(crate) aborted: bool,
    pub(crate) closed: Option<CloseReason>,
    /// When, by the engine's clock.
    closed_at: Instant,
    /// What it may read before its next pause is over.
    allowance: u32,
    /// A wake-up to write, or to read, is on its way.
    paused: [bool; 2],
    /// What TCP said before it last sent.
    pub(crate) info: Option<Info>,
}

/// Why a connection is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Open,
    Write,
    Read,
}

/// What the services of one engine know, shared with the runner.
#[derive(Debug)]
pub(crate) struct Host {
    engine: usize,
    seed: u64,
    plans: Rc<Vec<ConnectionPlan>>,
    /// By connection; both sides are never on one engine.
    pub(crate) sides: Vec<Side>,
    wakes: BinaryHeap<Reverse<(Instant, u32, Wake)>>,
    /// Connections that TCP has a record of.
    live: Vec<u32>,
    /// When the last octet was taken, by the engine's clock.
    pub(crate) last_octet: Option<Instant>,
    /// Connections that were accepted while TIME-WAIT of the one before was not over.
    pub(crate) reopened: u64,
    /// The first thing that went wrong.
    pub(crate) wrong: Option<String>,
}

pub(crate) fn address(v6: bool, engine: usize) -> Address {
    let host = engine as u8 + 1;
    if v6 {
        Address::v6([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host])
    } else {
        Address::v4([10, 0, 0, host])
    }
}

/// The two ends of a connection, as this side sees them: its own first.
pub(crate) fn ends(plan: &ConnectionPlan, side: usize) -> (Endpoint, Endpoint) {
    let ports = plan.ports();
    let end = |side: usize| Endpoint::new(address(plan.v6, plan.engines[side]), ports[side]);
    (end(side), end(1 - side))
}

impl Host {
    /// `ahead` is how far the engine's clock is ahead of virtual time.
    pub(crate) fn new(
        engine: usize,
        seed: u64,
        plans: Rc<Vec<ConnectionPlan>>,
        ahead: Duration,
    ) -> Self {
        let blank = Side {
            id: ConnId::NONE,
            opened: false,
            sent: 0,
            received: 0,
            peer_closed: false,
            fin: false,
            aborted: false,
            closed: None,
            closed_at: Instant::NEVER,
            allowance: 0,
            paused: [false; 2],
            info: None,
        };
        let opens = |(number, plan): (usize, &ConnectionPlan)| {
            if plan.origin != number {
                // When the one before is over.
                return None;
            }
            let here = plan.engines[0] == engine || (plan.crossing && plan.engines[1] == engine);
            here.then(|| Reverse((plan.opens_at + ahead, number as u32, Wake::Open)))
        };
        Self {
            engine,
            seed,
            sides: vec![blank; plans.len()],
            wakes: plans.iter().enumerate().filter_map(opens).collect(),
            plans,
            live: Vec::new(),
            last_octet: None,
            reopened: 0,
            wrong: None,
        }
    }

    /// When `on_turn` has something to do, by the engine's clock.
    pub(crate) fn next_wake(&self) -> Instant {
        self.wakes
            .peek()
            .map_or(Instant::NEVER, |Reverse((at, _, _))| *at)
    }

    fn side_of(&self, number: usize) -> usize {
        usize::from(self.plans[number].engines[0] != self.engine)
    }

    fn plan(&self, number: usize) -> &SidePlan {
        &self.plans[number].sides[self.side_of(number)]
    }

    fn fail(&mut self, number: usize, what: String) {
        let place = format!("connection {number} at engine {}: {what}", self.engine + 1);
        self.wrong.get_or_insert(place);
    }

    fn pause(&mut self, number: usize, wake: Wake, until: Instant) {
        let paused = &mut self.sides[number].paused[usize::from(wake == Wake::Read)];
        if !std::mem::replace(paused, true) {
            self.wakes.push(Reverse((until, number as u32, wake)));
        }
    }

    fn open(&mut self, number: usize, shard: &mut Context<'_>) {
        let (local, remote) = ends(&self.plans[number], self.side_of(number));
        match shard.connect(remote, Some(local), token(number)) {
            Ok(id) => {
                self.sides[number].id = id;
                self.live.push(number as u32);
            }
            Err(error) => self.fail(number, format!("connect: {error:?}")),
        }
    }

    /// Writes as much as the plan and the buffer allow.
    fn write(&mut self, number: usize, conn: &mut Context<'_>) {
        let plan = *self.plan(number);
        let side = &self.sides[number];
        let ready = match plan.begin {
            Begin::AtOpen => true,
            Begin::After(octets) => side.received >= octets,
            Begin::AfterFin => side.peer_closed,
        };
        if !side.opened || !ready || side.fin || side.paused[0] {
            return;
        }
        let stream = Stream::new(self.seed, number, self.side_of(number));
        while self.sides[number].sent < plan.bytes {
            let sent = self.sides[number].sent;
            let piece = (plan.bytes - sent).min(plan.chunk) as usize;
            let bytes = stream.piece(u64::from(sent), piece.min(PIECE));
            let taken = conn.send(bytes);
            self.sides[number].sent += taken as u32;
            if taken < bytes.len() {
                // Corked, a buffer smaller than a segment would never empty.
                conn.set_cork(false);
                return;
            }
            if plan.write_pause > Duration::ZERO {
                return self.pause(number, Wake::Write, conn.now() + plan.write_pause);
            }
        }
        if plan.cork {
            conn.set_cork(false);
        }
        if !plan.fin_last || self.sides[number].peer_closed {
            self.sides[number].fin = true;
            if plan.full_close && self.sides[number].peer_closed {
                conn.close();
            } else {
                conn.shutdown();
            }
        }
    }

    fn maybe_abort(&mut self, number: usize, conn: &mut Context<'_>) {
        let limit = self.plan(number).abort_after;
        let side = &mut self.sides[number];
        if limit.is_some_and(|limit| side.sent + side.received >= limit) && !side.aborted {
            side.aborted = true;
            conn.abort();
        }
    }

    /// Which connection of the scenario this is. One that was opened here knows; else the client's
    /// port tells, and of several with the same ports it is the next one.
    fn number_of(&self, conn: &Context<'_>) -> Option<usize> {
        if let Some(number) = (conn.token() as usize).checked_sub(1) {
            return Some(number);
        }
        let flow = conn.flow();
        let port = [flow.local.port, flow.remote.port]
            .into_iter()
            .find(|port| (CLIENT_PORT..CROSSING_PORT).contains(port))?;
        let mut number = usize::from(port - CLIENT_PORT);
        while self.sides.get(number)?.opened
            && let Some((next, _)) = self.plans[number].then
        {
            number = next;
        }
        Some(number)
    }

    /// TCP is done with a connection. Its four-tuple may be wanted again.
    fn closed(&mut self, number: usize, reason: CloseReason, now: Instant) {
        if self.sides[number].closed.replace(reason).is_some() {
            self.fail(number, "closed twice".to_owned());
        }
        self.sides[number].closed_at = now;
        let then = self.plans[number]
            .then
            .filter(|_| self.side_of(number) == 0);
        if let Some((next, pause)) = then {
            self.wakes
                .push(Reverse((now + pause, next as u32, Wake::Open)));
        }
    }

    fn opened(&mut self, conn: &mut Context<'_>) {
        let Some(number) = self.number_of(conn) else {
            let flow = conn.flow();
            self.wrong
                .get_or_insert_with(|| format!("a connection that nobody planned: {flow:?}"));
            return;
        };
        *conn.token_mut() = token(number);
        let plan = *self.plan(number);
        let side = &mut self.sides[number];
        if std::mem::replace(&mut side.opened, true) {
            return self.fail(number, "opened twice".to_owned());
        }
        let before = |plan: &ConnectionPlan| plan.then.is_some_and(|(next, _)| next == number);
        if let Some(before) = self.plans.iter().position(before) {
            let quiet = conn.now().since(self.sides[before].closed_at);
            self.reopened += u64::from(self.side_of(number) == 1 && quiet < TIME_WAIT);
        }
        let side = &mut self.sides[number];
        if side.id == ConnId::NONE {
            side.id = conn.id();
            self.live.push(number as u32);
        }
        self.sides[number].allowance = plan.appetite;
        conn.set_nagle(plan.nagle);
        conn.set_cork(plan.cork);
        conn.set_keep_alive(plan.keep_alive);
        if let Some(algorithm) = plan.congestion {
            conn.set_congestion(algorithm);
        }
        self.write(number, conn);
        self.maybe_abort(number, conn);
    }

    fn read(&mut self, number: usize, conn: &mut Context<'_>, data: &[u8]) -> usize {
        let peer = 1 - self.side_of(number);
        let plan = *self.plan(number);
        let side = &mut self.sides[number];
        let taken = data.len().min(side.allowance as usize);
        let at = u64::from(side.received);
        side.received += taken as u32;
        if taken > 0 {
            self.last_octet = Some(conn.now());
        }
        let side = &self.sides[number];
        let (received, late) = (side.received, side.peer_closed || !side.opened);
        // What is not taken has to be right as well.
        if let Some(wrong) = Stream::new(self.seed, number, peer).mismatch(at, data) {
            self.fail(number, format!("octet {wrong} arrived wrong"));
        } else if late || received > self.plans[number].sides[peer].bytes {
            self.fail(number, format!("octet {at} arrived and there is none"));
        }
        if plan.appetite != u32::MAX {
            self.sides[number].allowance -= taken as u32;
            if taken < data.len() || self.sides[number].allowance == 0 {
                self.pause(number, Wake::Read, conn.now() + plan.read_pause);
            }
        }
        self.write(number, conn);
        self.maybe_abort(number, conn);
        taken
    }

    fn wake(&mut self, number: usize, wake: Wake, shard: &mut Context<'_>) {
        if wake == Wake::Open {
            return self.open(number, shard);
        }
        let appetite = self.plan(number).appetite;
        let side = &mut self.sides[number];
        side.paused[usize::from(wake == Wake::Read)] = false;
        if side.closed.is_some() || !shard.select(side.id) {
            return;
        }
        if wake == Wake::Read {
            side.allowance = appetite;
            shard.resume();
        } else {
            self.write(number, shard);
            self.maybe_abort(number, shard);
        }
    }

    fn turn(&mut self, shard: &mut Context<'_>) {
        while let Some(Reverse((_, number, wake))) = self
            .wakes
            .peek()
            .copied()
            .filter(|Reverse((at, _, _))| *at <= shard.now())
        {
            self.wakes.pop();
            self.wake(number as usize, wake, shard);
        }
        let sides = &mut self.sides;
        self.live.retain(|number| {
            let side = &mut sides[*number as usize];
            let alive = side.closed.is_none();
            if alive && shard.select(side.id) {
                side.info = shard.info();
            }
            alive
        });
    }
}

/// The service that stands for all applications of an engine.
#[derive(Debug)]
pub(crate) struct Applications(pub(crate) Rc<RefCell<Host>>);

/// Tokens of connections are their numbers plus one: zero is that of a new one.
fn token(number: usize) -> u64 {
    number as u64 + 1
}

impl Applications {
    /// Acts on the connection of a callback.
    fn with<R: Default>(
        &self,
        conn: &mut Context<'_>,
        act: impl FnOnce(&mut Host, usize, &mut Context<'_>) -> R,
    ) -> R {
        match (conn.token() as usize).checked_sub(1) {
            Some(number) => act(&mut self.0.borrow_mut(), number, conn),
            None => R::default(),
        }
    }
}

impl Service for Applications {
    fn on_open(&mut self, conn: &mut Context<'_>) {
        self.0.borrow_mut().opened(conn);
    }

    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        self.with(conn, |host, number, conn| host.read(number, conn, data))
    }

    fn on_writable(&mut self, conn: &mut Context<'_>) {
        self.with(conn, |host, number, conn| {
            host.write(number, conn);
            host.maybe_abort(number, conn);
        });
    }

    fn on_peer_closed(&mut self, conn: &mut Context<'_>) {
        self.with(conn, |host, number, conn| {
            if std::mem::replace(&mut host.sides[number].peer_closed, true) {
                host.fail(number, "the peer closed twice".to_owned());
            }
            host.write(number, conn);
        });
    }

    fn on_closed(&mut self, conn: &mut Context<'_>, reason: CloseReason) {
        self.with(conn, |host, number, conn| {
            host.closed(number, reason, conn.now());
        });
    }

    fn on_turn(&mut self, shard: &mut Context<'_>) -> bool {
        self.0.borrow_mut().turn(shard);
        false
    }
}
