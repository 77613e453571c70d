//! The client of the lean generator: all connections, over a port, in a loop of turns.

use super::super::GenerateArgs;
use super::super::pace::Pace;
use super::super::recorder::Recorder;
use super::connection::{Connection, Event, State};
use super::tuples::Tuples;
use crate::scenario::Scenario;
use crate::segment::{self, ETHERNET, End, Fields, Flags, Received, Template};
use byway_stack::port::{BURST, Port, RxFrame};
use byway_sys::prefetch_read;
use byway_wire::SeqNumber;

/// Connections that are being opened at the same time: below what a listener's queue holds.
const OPENING: u32 = 256;
/// All connections are open after this, or what is not counts as an error.
const OPEN_LIMIT: u64 = 10_000_000_000;
/// A graceful end waits this long for the server's FINs.
const LINGER: u64 = 500_000_000;
/// All connections are looked at for timers this often.
const SWEEP: u64 = 20_000_000;
/// Bursts taken in one turn at most: so many frames leave with one wake-up.
const BURSTS: usize = 4;

/// Where the connections come from and go to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    /// Our Ethernet address, and the next station's.
    pub(super) stations: ([u8; 6], [u8; 6]),
    pub(super) server: End,
    pub(super) tuples: Tuples,
}

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opening {
        until: u64,
    },
    Running,
    /// What is open closes, and this is as long as we wait for it.
    Ending {
        until: u64,
    },
    Over,
}

/// The client.
pub(super) struct Client {
    scenario: Scenario,
    size: u32,
    route: Route,
    connections: Vec<Connection>,
    /// The number of the address and port of each connection.
    numbers: Vec<u32>,
    stage: Stage,
    /// Connections begun, connections whose handshake is not over, connections not over.
    begun: u32,
    opening: u32,
    live: u32,
    /// Slots that may have something to send: in this turn, or in the next if frames run out.
    ready: Vec<u32>,
    burst: Vec<RxFrame>,
    scratch: Vec<u8>,
    next_sweep: u64,
    random: u64,
    pace: Pace,
    pub(super) recorder: Recorder,
    last_turn: u64,
    last_had_data: bool,
}

impl Client {
    /// A client that begins at `now`; `seed` is any number, another in each run.
    pub(super) fn new(args: &GenerateArgs, route: Route, seed: u64, now: u64) -> Self {
        let count = args.connections;
        let mut client = Self {
            scenario: args.scenario,
            size: args.size,
            route,
            connections: Vec::with_capacity(count as usize),
            numbers: Vec::with_capacity(count as usize),
            stage: Stage::Opening {
                until: now + OPEN_LIMIT,
            },
            begun: 0,
            opening: 0,
            live: 0,
            ready: Vec::with_capacity(BURST * BURSTS),
            burst: Vec::with_capacity(BURST),
            scratch: vec![0; args.size as usize],
            next_sweep: 0,
            random: seed,
            pace: Pace::new(args),
            recorder: Recorder::new(args),
            last_turn: now,
            last_had_data: false,
        };
        let random = client.draw() as u32;
        for slot in 0..count {
            let number = route.tuples.begin(slot, random);
            client.numbers.push(number);
            client
                .connections
                .push(Connection::new(client.template(number)));
        }
        client
    }

    /// A pseudo-random number: sequence numbers of a load test need no secret.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        crate::pattern::tag(self.random, 0)
    }

    /// Other sequence numbers from here on.
    #[cfg(test)]
    pub(super) fn draw_apart(&mut self) {
        self.draw();
    }

    fn template(&self, number: u32) -> Template {
        let (address, port) = self.route.tuples.source(number);
        let (ours, next) = self.route.stations;
        Template::new((ours, End { address, port }), (next, self.route.server))
    }

    /// One turn: takes what arrived, sends what is due, all with one wake-up. False when the run
    /// is over.
    pub(super) fn turn(&mut self, port: &mut impl Port, now: u64) -> bool {
        if self.last_had_data {
            self.recorder.worked(now.saturating_sub(self.last_turn));
        }
        self.last_turn = now;
        self.last_had_data = self.receive(port, now);
        self.last_had_data |= self.proceed(now);
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP;
            self.sweep(now);
        }
        self.transmit(port);
        port.tx_commit();
        self.stage != Stage::Over
    }

    /// Takes what arrived; true when that was something.
    fn receive(&mut self, port: &mut impl Port, now: u64) -> bool {
        let mut burst = std::mem::take(&mut self.burst);
        let mut any = false;
        for _ in 0..BURSTS {
            let count = port.rx_burst(&mut burst);
            any |= count > 0;
            // Another core wrote them: the misses of a burst are better taken together.
            for frame in &burst {
                if let Some(first) = port.rx_bytes(frame).get(ETHERNET) {
                    prefetch_read(first);
                }
            }
            for frame in burst.drain(..) {
                self.arrived(port, &frame, now);
                port.release(frame);
            }
            if count < BURST {
                break;
            }
        }
        self.burst = burst;
        any
    }

    #[inline]
    fn arrived(&mut self, port: &mut impl Port, frame: &RxFrame, now: u64) {
        // Sending borrows the port, so that what is needed of the frame must be done before.
        let stray = {
            let Some(segment) = segment::parse(port.rx_bytes(frame)) else {
                self.recorder.malformed += 1;
                return;
            };
            if segment.from != self.route.server {
                return;
            }
            let Some(number) = self
                .route
                .tuples
                .number(segment.to.address, segment.to.port)
            else {
                return;
            };
            let slot = self.route.tuples.slot(number);
            match self.numbers[slot as usize] == number {
                true => self.deliver(slot, &segment, now),
                false => reply_to_stray(&segment),
            }
            .map(|fields| (number, fields))
        };
        if let Some((number, fields)) = stray {
            self.reply(port, number, &fields);
        }
    }

    /// Gives a segment to its connection; returns what is to be sent beside its own.
    #[inline]
    fn deliver(&mut self, slot: u32, segment: &Received<'_>, now: u64) -> Option<Fields> {
        let connection = &mut self.connections[slot as usize];
        match connection.state {
            State::Closed | State::Failed => return reply_to_stray(segment),
            State::SynSent if connection.refutes(segment) => {
                let flags = Flags::RST;
                return Some(Fields {
                    seq: segment.ack,
                    ack: SeqNumber::new(0),
                    flags,
                });
            }
            _ => {}
        }
        let event = connection.receive(segment, self.size, now);
        // Before the next connection takes its place.
        let last = connection.take_last();
        if event != Event::Nothing {
            self.happened(slot, event, now);
        }
        if self.connections[slot as usize].due.any() {
            self.ready.push(slot);
        }
        last
    }

    /// What an event means for the run.
    #[inline]
    fn happened(&mut self, slot: u32, event: Event, now: u64) {
        let running = matches!(self.stage, Stage::Opening { .. } | Stage::Running);
        let connection = &mut self.connections[slot as usize];
        match event {
            Event::Nothing => {}
            Event::Answered if self.scenario == Scenario::Rr => {
                self.recorder
                    .response(connection.from, connection.sent_at, now);
                if running && let Some(from) = self.pace.answered(slot, now) {
                    (connection.from, connection.sent_at) = (from, now);
                    connection.request(u64::from(slot), self.size, now);
                }
            }
            Event::Answered => connection.close(now),
            Event::Opened => {
                self.opening -= 1;
                if !connection.takes(self.size) {
                    self.recorder.errors.not_opened += 1;
                    connection.abort();
                    self.live -= 1;
                } else if self.scenario == Scenario::Crr && running {
                    connection.request(u64::from(slot), self.size, now);
                }
            }
            Event::Closed => {
                self.live -= 1;
                if self.scenario == Scenario::Crr {
                    self.recorder
                        .response(connection.from, connection.sent_at, now);
                    if running {
                        let number = self.route.tuples.next(self.numbers[slot as usize]);
                        self.begin(slot, number, now);
                    }
                }
            }
            Event::ByServer | Event::GivenUp | Event::Mismatch => self.lost(slot, event),
        }
    }

    /// The connection of a slot failed.
    fn lost(&mut self, slot: u32, event: Event) {
        self.live -= 1;
        self.pace.lost(slot);
        let opened = self.connections[slot as usize].opened;
        self.opening -= u32::from(!opened);
        if matches!(self.stage, Stage::Ending { .. } | Stage::Over) {
            return;
        }
        let errors = &mut self.recorder.errors;
        *match event {
            _ if !opened => &mut errors.not_opened,
            Event::Mismatch => &mut errors.mismatched,
            Event::GivenUp => &mut errors.stalled,
            _ => &mut errors.closed,
        } += 1;
    }

    /// Begins a connection in a slot, from the address and port of this number.
    fn begin(&mut self, slot: u32, number: u32, now: u64) {
        let isn = SeqNumber::new(self.draw() as u32);
        let template = self.template(number);
        self.numbers[slot as usize] = number;
        self.connections[slot as usize] = Connection::open(template, isn, now);
        self.opening += 1;
        self.live += 1;
        self.ready.push(slot);
    }

    /// What the stage of the run asks for; true when requests were due.
    fn proceed(&mut self, now: u64) -> bool {
        let mut asked = false;
        match self.stage {
            Stage::Opening { until } => {
                self.open_more(now, until);
                if self.stage == Stage::Running {
                    asked = self.ask_due(now);
                }
            }
            Stage::Running => {
                asked = self.ask_due(now);
                if self.recorder.turn(now) {
                    self.end(now);
                }
            }
            Stage::Ending { until } => {
                if self.live == 0 || now >= until {
                    self.abort_rest();
                    self.stage = Stage::Over;
                }
            }
            Stage::Over => {}
        }
        asked
    }

    /// Makes the requests that are due; true when there were any.
    #[inline]
    fn ask_due(&mut self, now: u64) -> bool {
        let mut any = false;
        while let Some((slot, from)) = self.pace.due(now, &mut self.recorder) {
            any = true;
            let connection = &mut self.connections[slot as usize];
            (connection.from, connection.sent_at) = (from, now);
            connection.request(u64::from(slot), self.size, now);
            self.ready.push(slot);
        }
        any
    }

    /// Opens more connections, and starts the load when all are open or the time is over.
    fn open_more(&mut self, now: u64, until: u64) {
        let wanted = self.connections.len() as u32;
        while self.begun < wanted && self.opening < OPENING {
            self.begin(self.begun, self.numbers[self.begun as usize], now);
            self.begun += 1;
        }
        let complete =
            self.begun == wanted && (self.opening == 0 || self.scenario == Scenario::Crr);
        if !complete && now < until {
            return;
        }
        if self.scenario == Scenario::Rr {
            self.recorder.errors.not_opened += u64::from(self.opening + wanted - self.begun);
            for (slot, connection) in self.connections.iter_mut().enumerate() {
                if connection.state == State::SynSent {
                    connection.abort();
                    self.ready.push(slot as u32);
                }
            }
            let connections = &self.connections;
            self.pace.start(now, |slot| {
                connections[slot as usize].state == State::Established
            });
            self.live -= self.opening;
            self.opening = 0;
        }
        self.stage = Stage::Running;
        self.recorder.start(now);
        if self.live == 0 {
            self.stage = Stage::Over;
        }
    }

    /// The interval is over: closes everything.
    fn end(&mut self, now: u64) {
        for from in self.pace.waiting() {
            self.recorder.unanswered(from, now);
        }
        for (slot, connection) in self.connections.iter_mut().enumerate() {
            if self.scenario == Scenario::Crr || self.pace.is_asking(slot as u32) {
                self.recorder.errors.stalled += u64::from(connection.is_stalled(now));
                self.recorder.unanswered(connection.from, now);
            }
            match connection.state {
                State::Established => connection.close(now),
                State::SynSent => {
                    connection.abort();
                    self.live -= 1;
                }
                _ => {}
            }
            self.ready.push(slot as u32);
        }
        self.opening = 0;
        self.stage = Stage::Ending {
            until: now + LINGER,
        };
    }

    /// Resets what did not close in time.
    fn abort_rest(&mut self) {
        for (slot, connection) in self.connections.iter_mut().enumerate() {
            if !matches!(connection.state, State::Closed | State::Failed) {
                connection.abort();
                self.ready.push(slot as u32);
            }
        }
    }

    /// Looks at the timers of all connections.
    fn sweep(&mut self, now: u64) {
        for slot in 0..self.connections.len() {
            let connection = &mut self.connections[slot];
            if !connection.is_overdue(now) {
                continue;
            }
            match connection.expire(now) {
                Event::Nothing => self.recorder.resent += 1,
                event => self.happened(slot as u32, event, now),
            }
            self.ready.push(slot as u32);
        }
    }

    /// Sends what is due, as far as there are frames to send it in.
    fn transmit(&mut self, port: &mut impl Port) {
        let mut sent = 0;
        for &slot in &self.ready {
            let connection = &mut self.connections[slot as usize];
            if !connection.due.any() {
                sent += 1;
                continue;
            }
            let Some(mut frame) = port.tx_alloc() else {
                break;
            };
            sent += 1;
            match connection.write(port.tx_bytes(&mut frame), &mut self.scratch) {
                Some(len) => port.tx_push(frame, len),
                None => port.tx_cancel(frame),
            }
        }
        self.ready.drain(..sent);
    }

    /// Answers a segment that belongs to no connection, if a frame is to be had: whoever wants the
    /// answer asks again.
    fn reply(&self, port: &mut impl Port, number: u32, fields: &Fields) {
        if let Some(mut frame) = port.tx_alloc() {
            let template = self.template(number);
            let len = template.write(port.tx_bytes(&mut frame), fields, &[]);
            port.tx_push(frame, len);
        }
    }
}

/// The answer to a segment of a connection that is over. It was closed by us first, so that this is
/// TIME-WAIT: the server's FIN, sent once more, is acknowledged once more.
fn reply_to_stray(segment: &Received<'_>) -> Option<Fields> {
    (segment.flags.has(Flags::FIN) && !segment.flags.has(Flags::RST)).then(|| Fields {
        seq: segment.ack,
        ack: segment.seq + segment.length(),
        flags: Flags::ACK,
    })
}
