//! The generator on Byway's own TCP over AF_XDP: a service that opens connections and asks.

use super::recorder::Recorder;
use super::{GenerateArgs, GeneratorReport};
use crate::error::BenchError;
use crate::pattern;
use byway::time::Instant;
use byway::{CloseReason, ConnId, ConnectError, Context, Endpoint, Engine, Limits, Mode, Service};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Connections that are being opened at the same time: below what a listener's queue holds.
const OPENING: usize = 256;
/// All connections are open after this, or what is not counts as an error.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// Up to this many connections the engine's own choice of local ports is wide enough.
const FEW_CONNECTIONS: u32 = 4000;
/// A graceful end waits this long for the server's FINs.
const LINGER: Duration = Duration::from_millis(500);

/// Opens the connections, runs warm-up and interval, closes.
///
/// # Errors
/// When the engine cannot be set up.
pub(super) fn run(args: &GenerateArgs) -> Result<GeneratorReport, BenchError> {
    let interface = args
        .interface
        .as_ref()
        .ok_or_else(|| BenchError::Usage("the AF_XDP generator needs --interface".to_owned()))?;
    let mode: Mode = args
        .mode
        .parse()
        .map_err(|error| BenchError::Usage(format!("--mode {}: {error}", args.mode)))?;
    let outcome = Outcome::default();
    let mut builder = Engine::builder()
        .interface(interface)
        .mode(mode)
        .linger(LINGER)
        .in_flight(args.connections.max(1024) * 2)
        .limits(Limits {
            max_connections: args.connections + 1,
            waiting_for_path: OPENING as u32,
            ..Limits::default()
        })
        .service(Client::new(args, Arc::clone(&outcome)));
    if args.connections > FEW_CONNECTIONS {
        builder = builder.ephemeral_ports(1024..=65_535);
    }
    if let Some(cpu) = args.cpu {
        builder = builder.cpu(cpu);
    }
    let engine = builder.build().map_err(|error| setup(&error))?;
    let mode = engine.report().mode.to_string();
    engine
        .run(&AtomicBool::new(false))
        .map_err(|error| setup(&error))?;
    let mut recorded = outcome.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = recorded
        .take()
        .ok_or_else(|| BenchError::Failed("the engine ended before the interval".to_owned()))?;
    Ok(recorder.report(Some(mode)))
}

fn setup(error: &byway::SetupError) -> BenchError {
    BenchError::Preflight {
        what: error.to_string(),
        hint: error.hint().to_owned(),
    }
}

/// Where the service leaves what it measured.
type Outcome = Arc<Mutex<Option<Recorder>>>;

/// What a request is appended to: a connection, or a buffer in a test.
trait Sink {
    /// Appends what there is room for; returns how many octets that was.
    fn send(&mut self, data: &[u8]) -> usize;
}

impl Sink for Context<'_> {
    fn send(&mut self, data: &[u8]) -> usize {
        Context::send(self, data)
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opening,
    Open,
    Gone,
}

/// A connection and its one outstanding request.
#[derive(Clone, Copy, Debug)]
struct Connection {
    id: ConnId,
    stage: Stage,
    /// Requests sent so far; the number of the outstanding one.
    number: u64,
    tag: u64,
    sent_at: u64,
    unsent: usize,
    received: usize,
}

/// What a piece of a response led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Waiting,
    Complete,
    Mismatch,
}

impl Connection {
    fn new(id: ConnId) -> Self {
        Self {
            id,
            stage: Stage::Opening,
            number: 0,
            tag: 0,
            sent_at: 0,
            unsent: 0,
            received: 0,
        }
    }

    /// Sends the next request; `scratch` has its size.
    fn request(&mut self, index: u64, now: u64, scratch: &mut [u8], sink: &mut impl Sink) {
        self.number += 1;
        self.tag = pattern::tag(index, self.number);
        self.sent_at = now;
        self.received = 0;
        self.unsent = scratch.len();
        self.flush(scratch, sink);
    }

    /// Sends what is left of the request.
    fn flush(&mut self, scratch: &mut [u8], sink: &mut impl Sink) {
        if self.unsent > 0 {
            pattern::fill(scratch, self.tag);
            self.unsent -= sink.send(&scratch[scratch.len() - self.unsent..]);
        }
    }

    /// Compares what arrived with the request of `size` octets.
    fn receive(&mut self, data: &[u8], size: usize) -> Progress {
        if data.len() > size - self.received || !pattern::matches(data, self.received, self.tag) {
            return Progress::Mismatch;
        }
        self.received += data.len();
        if self.received == size {
            Progress::Complete
        } else {
            Progress::Waiting
        }
    }
}

/// The service.
struct Client {
    remote: Endpoint,
    wanted: usize,
    connections: Vec<Connection>,
    opening: usize,
    started: bool,
    scratch: Vec<u8>,
    /// `Some` until the run is over.
    recorder: Option<Recorder>,
    outcome: Outcome,
    open_until: Option<Instant>,
    /// Start of the last turn, and whether it and the current one had responses.
    last_turn: u64,
    last_had_data: bool,
    had_data: bool,
}

impl Client {
    fn new(args: &GenerateArgs, outcome: Outcome) -> Self {
        let wanted = args.connections as usize;
        Self {
            remote: Endpoint::from(args.target),
            wanted,
            connections: Vec::with_capacity(wanted),
            opening: 0,
            started: false,
            scratch: vec![0; args.size as usize],
            recorder: Some(Recorder::new(args)),
            outcome,
            open_until: None,
            last_turn: 0,
            last_had_data: false,
            had_data: false,
        }
    }

    /// Opens more connections. The first one goes alone: it finds the path for the others.
    fn open_more(&mut self, shard: &mut Context<'_>) {
        let alone = self
            .connections
            .iter()
            .all(|connection| connection.stage == Stage::Opening);
        let at_once = if alone { 1 } else { OPENING };
        while self.connections.len() < self.wanted && self.opening < at_once {
            let token = self.connections.len() as u64;
            match shard.connect(self.remote, None, token) {
                Ok(id) => {
                    self.connections.push(Connection::new(id));
                    self.opening += 1;
                }
                Err(ConnectError::TooManyWaiting) => return,
                Err(_) => {
                    self.count(|errors| &mut errors.not_opened);
                    self.wanted -= 1;
                }
            }
        }
    }

    /// Sends the first request on every connection, once all are open or given up.
    fn start(&mut self, shard: &mut Context<'_>, now: u64) {
        self.started = true;
        for (index, connection) in self.connections.iter_mut().enumerate() {
            if connection.stage == Stage::Open && shard.select(connection.id) {
                connection.request(index as u64, now, &mut self.scratch, shard);
            }
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.start(now);
        }
    }

    /// The part of a turn before the interval: opens, and starts when that is done.
    fn prepare(&mut self, shard: &mut Context<'_>) {
        let deadline = *self.open_until.get_or_insert(shard.now() + OPEN_LIMIT);
        self.open_more(shard);
        let complete = self.opening == 0 && self.connections.len() == self.wanted;
        let late = shard.now() >= deadline;
        if !complete && !late {
            return;
        }
        if late {
            let missing = self.opening + self.wanted - self.connections.len();
            for connection in &mut self.connections {
                if connection.stage == Stage::Opening {
                    connection.stage = Stage::Gone;
                }
            }
            self.opening = 0;
            self.count_many(missing as u64);
        }
        if self
            .connections
            .iter()
            .any(|connection| connection.stage == Stage::Open)
        {
            self.start(shard, shard.now().as_nanos());
        } else {
            self.end(shard);
        }
    }

    /// The run is over: leaves the result, and asks the shard to close everything.
    fn end(&mut self, shard: &mut Context<'_>) {
        let now = shard.now().as_nanos();
        if let Some(mut recorder) = self.recorder.take() {
            let open = self
                .connections
                .iter()
                .filter(|connection| connection.stage == Stage::Open);
            let stalled = open.filter(|connection| Recorder::stalled(connection.sent_at, now));
            recorder.errors.stalled += if self.started {
                stalled.count() as u64
            } else {
                0
            };
            let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
            *outcome = Some(recorder);
        }
        shard.stop();
    }

    fn count(&mut self, kind: impl FnOnce(&mut super::Errors) -> &mut u64) {
        if let Some(recorder) = &mut self.recorder {
            *kind(&mut recorder.errors) += 1;
        }
    }

    fn count_many(&mut self, not_opened: u64) {
        if let Some(recorder) = &mut self.recorder {
            recorder.errors.not_opened += not_opened;
        }
    }
}

impl Service for Client {
    fn on_open(&mut self, conn: &mut Context<'_>) {
        if let Some(connection) = self.connections.get_mut(conn.token() as usize)
            && connection.stage == Stage::Opening
        {
            connection.stage = Stage::Open;
            self.opening -= 1;
        }
    }

    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        self.had_data = true;
        let (index, now) = (conn.token(), conn.now().as_nanos());
        let Some(recorder) = &mut self.recorder else {
            return data.len();
        };
        let Some(connection) = self.connections.get_mut(index as usize) else {
            return data.len();
        };
        if connection.stage != Stage::Open {
            return data.len();
        }
        match connection.receive(data, self.scratch.len()) {
            Progress::Waiting => {}
            Progress::Complete => {
                recorder.response(connection.sent_at, now);
                connection.request(index, now, &mut self.scratch, conn);
            }
            Progress::Mismatch => {
                recorder.errors.mismatched += 1;
                connection.stage = Stage::Gone;
                conn.abort();
            }
        }
        data.len()
    }

    fn on_writable(&mut self, conn: &mut Context<'_>) {
        if let Some(connection) = self.connections.get_mut(conn.token() as usize) {
            connection.flush(&mut self.scratch, conn);
        }
    }

    fn on_closed(&mut self, conn: &mut Context<'_>, _reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(conn.token() as usize) else {
            return;
        };
        match std::mem::replace(&mut connection.stage, Stage::Gone) {
            Stage::Opening => {
                self.opening -= 1;
                self.count(|errors| &mut errors.not_opened);
            }
            Stage::Open => self.count(|errors| &mut errors.closed),
            Stage::Gone => {}
        }
    }

    fn on_turn(&mut self, shard: &mut Context<'_>) -> bool {
        let now = shard.now().as_nanos();
        let Some(recorder) = &mut self.recorder else {
            return false;
        };
        if self.last_had_data {
            recorder.worked(now.saturating_sub(self.last_turn));
        }
        self.last_turn = now;
        self.last_had_data = std::mem::take(&mut self.had_data);
        if !self.started {
            self.prepare(shard);
        } else if recorder.turn(now) {
            self.end(shard);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use byway::testing::Pair;

    /// A sink with room for so many octets.
    struct Buffer {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Sink for Buffer {
        fn send(&mut self, data: &[u8]) -> usize {
            let taken = data.len().min(self.room - self.bytes.len());
            self.bytes.extend_from_slice(&data[..taken]);
            taken
        }
    }

    #[test]
    fn a_request_that_finds_no_room_is_sent_in_pieces_and_its_echo_matches() {
        let mut connection = Connection::new(ConnId::NONE);
        let mut scratch = [0; 100];
        let mut sink = Buffer {
            bytes: Vec::new(),
            room: 30,
        };
        connection.request(4, 1000, &mut scratch, &mut sink);
        assert_eq!(connection.unsent, 70);
        while connection.unsent > 0 {
            sink.room += 33;
            connection.flush(&mut scratch, &mut sink);
        }
        let (head, tail) = sink.bytes.split_at(41);
        assert_eq!(connection.receive(head, 100), Progress::Waiting);
        assert_eq!(connection.receive(tail, 100), Progress::Complete);
        assert_eq!(connection.sent_at, 1000);
    }

    #[test]
    fn wrong_or_superfluous_octets_do_not_match() {
        let mut connection = Connection::new(ConnId::NONE);
        let mut scratch = [0; 64];
        let mut sink = Buffer {
            bytes: Vec::new(),
            room: 1000,
        };
        connection.request(0, 0, &mut scratch, &mut sink);
        let first = sink.bytes.clone();
        let mut longer = first.clone();
        longer.push(0);
        assert_eq!(connection.receive(&longer, 64), Progress::Mismatch);
        connection.request(0, 0, &mut scratch, &mut sink);
        assert_eq!(
            connection.receive(&first, 64),
            Progress::Mismatch,
            "an answer too late"
        );
    }
    /// Echoes a millisecond later or whenever its shard turns next, with an octet spoiled in the request of this number.
    struct LateEcho {
        waiting: Vec<(ConnId, Vec<u8>, Instant)>,
        spoil: Option<usize>,
        seen: usize,
    }

    impl LateEcho {
        fn new(spoil: Option<usize>) -> Self {
            Self {
                waiting: Vec::new(),
                spoil,
                seen: 0,
            }
        }
    }

    impl Service for LateEcho {
        fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
            self.seen += 1;
            let mut answer = data.to_vec();
            if self.spoil == Some(self.seen) {
                answer[7] ^= 1;
            }
            self.waiting.push((conn.id(), answer, conn.now()));
            data.len()
        }

        fn on_turn(&mut self, shard: &mut Context<'_>) -> bool {
            let now = shard.now();
            let due = |since: Instant| since + Duration::from_millis(1) <= now;
            for (id, answer, _) in self.waiting.extract_if(.., |(_, _, since)| due(*since)) {
                assert!(!shard.select(id) || shard.send(&answer) == answer.len());
            }
            false
        }
    }

    /// What 5 connections measured in virtual time against this server.
    fn measured(server: LateEcho, target: Endpoint) -> GeneratorReport {
        let args = GenerateArgs {
            target: target.into(),
            connections: 5,
            warmup_ms: 200,
            duration_ms: 2000,
            ..super::super::tests::args()
        };
        let outcome = Outcome::default();
        let mut pair = Pair::new(server, Client::new(&args, Arc::clone(&outcome)));
        pair.run(Duration::from_secs(20));
        assert_eq!(pair.connections(), (0, 0), "all are closed in the end");
        let recorder = outcome.lock().unwrap().take().expect("the run is over");
        recorder.report(None)
    }

    #[test]
    fn latencies_are_those_of_the_server_and_fill_the_interval() {
        let report = measured(LateEcho::new(None), Pair::SERVER);
        assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
        let histogram = crate::stats::decode(&report.histogram).unwrap();
        // The time moves on to the next timer, which is an acknowledgement or a retransmission.
        let (min, max) = (histogram.min(), histogram.max());
        assert!(min >= 999_000 && max < 500_000_000, "{min} to {max} ns");
        let waited = histogram.mean() * report.requests as f64;
        let share = waited / (report.elapsed_ns as f64 * 5.0);
        assert!(
            (0.9..=1.001).contains(&share),
            "{share} of the time of five connections"
        );
    }

    #[test]
    fn a_spoiled_answer_costs_its_connection_and_is_counted() {
        let report = measured(LateEcho::new(Some(12)), Pair::SERVER);
        assert_eq!((report.errors.mismatched, report.errors.total()), (1, 1));
        assert!(report.requests > 0, "the others go on");
    }

    #[test]
    fn connections_that_do_not_open_are_counted_and_end_the_run() {
        let nobody = Endpoint::new(Pair::SERVER.address, 8);
        let report = measured(LateEcho::new(None), nobody);
        assert_eq!((report.errors.not_opened, report.requests), (5, 0));
    }
}
