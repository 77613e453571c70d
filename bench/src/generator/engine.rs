//! The generator on Byway's own TCP over AF_XDP: a service that opens connections and asks.

use super::exchange::Exchange;
use super::pace::Pace;
use super::recorder::Recorder;
use super::{GenerateArgs, GeneratorReport};
use crate::error::BenchError;
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

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opening,
    Open,
    Gone,
}

/// A connection and its requests.
#[derive(Debug)]
struct Connection {
    id: ConnId,
    stage: Stage,
    exchange: Exchange,
}

impl Connection {
    fn new(id: ConnId) -> Self {
        Self {
            id,
            stage: Stage::Opening,
            exchange: Exchange::default(),
        }
    }

    /// Sends what there is room for on the connection, which is the current one.
    fn flush(&mut self, conn: &mut Context<'_>) {
        let unsent = self.exchange.unsent();
        if !unsent.is_empty() {
            let taken = conn.send(unsent);
            self.exchange.sent(taken);
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
    pace: Pace,
    /// Octets of a request, and of its response.
    size: usize,
    /// The requests that the piece at hand completed: from when they counted, and when sent.
    answered: Vec<(u64, u64)>,
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
            pace: Pace::new(args),
            size: args.size as usize,
            answered: Vec::new(),
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

    /// Begins the load, once all connections are open or given up.
    fn start(&mut self, now: u64) {
        self.started = true;
        let connections = &self.connections;
        self.pace.start(now, |slot| {
            let connection = connections.get(slot as usize);
            connection.is_some_and(|connection| connection.stage == Stage::Open)
        });
        if let Some(recorder) = &mut self.recorder {
            recorder.start(now);
        }
    }

    /// Sends the requests that are due; true when there were any.
    fn ask_due(&mut self, shard: &mut Context<'_>, now: u64) -> bool {
        let Some(recorder) = &mut self.recorder else {
            return false;
        };
        let mut any = false;
        while let Some((slot, from)) = self.pace.due(now, recorder) {
            any = true;
            if let Some(connection) = self.connections.get_mut(slot as usize)
                && shard.select(connection.id)
            {
                let index = u64::from(slot);
                connection.exchange.ask(index, self.size, from, now);
                connection.flush(shard);
            }
        }
        any
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
            self.start(shard.now().as_nanos());
        } else {
            self.end(shard);
        }
    }

    /// The run is over: leaves the result, and asks the shard to close everything.
    fn end(&mut self, shard: &mut Context<'_>) {
        let now = shard.now().as_nanos();
        if let Some(mut recorder) = self.recorder.take() {
            let open = |connection: &&Connection| connection.stage == Stage::Open;
            for connection in self.connections.iter().filter(open) {
                let oldest = connection.exchange.asked().next();
                let stalled = oldest.is_some_and(|asked| Recorder::stalled(asked.sent, now));
                recorder.errors.stalled += u64::from(stalled);
                for asked in connection.exchange.asked() {
                    recorder.unanswered(asked.from, now);
                }
            }
            for from in self.pace.waiting() {
                recorder.unanswered(from, now);
            }
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
        let answered = &mut self.answered;
        answered.clear();
        let result = connection.exchange.receive(data, self.size, |asked| {
            answered.push((asked.from, asked.sent));
        });
        for (from, sent) in &*answered {
            recorder.response(*from, *sent, now);
        }
        if result.is_err() {
            recorder.errors.mismatched += 1;
            connection.stage = Stage::Gone;
            self.pace.lost(index as u32);
            conn.abort();
            return data.len();
        }
        for _ in 0..answered.len() {
            if let Some(from) = self.pace.answered(index as u32, now) {
                connection.exchange.ask(index, self.size, from, now);
            }
        }
        connection.flush(conn);
        data.len()
    }

    fn on_writable(&mut self, conn: &mut Context<'_>) {
        if let Some(connection) = self.connections.get_mut(conn.token() as usize) {
            connection.flush(conn);
        }
    }

    fn on_closed(&mut self, conn: &mut Context<'_>, _reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(conn.token() as usize) else {
            return;
        };
        self.pace.lost(conn.token() as u32);
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
            return false;
        }
        self.last_had_data |= self.ask_due(shard, now);
        if let Some(recorder) = &mut self.recorder
            && recorder.turn(now)
        {
            self.end(shard);
        }
        // Who waits for a time must not sleep beyond it.
        self.recorder.is_some() && self.pace.next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use byway::testing::Pair;

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
        measured_with(server, target, super::super::tests::args())
    }

    fn measured_with(server: LateEcho, target: Endpoint, args: GenerateArgs) -> GeneratorReport {
        let args = GenerateArgs {
            target: target.into(),
            connections: 5,
            warmup_ms: 200,
            duration_ms: 2000,
            ..args
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
    fn requests_under_way_together_are_all_answered() {
        let args = GenerateArgs {
            pipeline: 4,
            ..super::super::tests::args()
        };
        let report = measured_with(LateEcho::new(None), Pair::SERVER, args);
        assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
        let one = measured(LateEcho::new(None), Pair::SERVER);
        assert!(report.requests > 3 * one.requests, "{}", report.requests);
    }

    #[test]
    fn an_open_loop_answers_all_that_it_asks() {
        let args = GenerateArgs {
            target: Pair::SERVER.into(),
            connections: 5,
            rate: Some(500),
            duration_ms: 1000,
            ..super::super::tests::args()
        };
        let outcome = Outcome::default();
        let client = Client::new(&args, Arc::clone(&outcome));
        let mut pair = Pair::new(LateEcho::new(None), client);
        // In small steps: the time must not jump over arrivals.
        (0..2000).for_each(|_| pair.run(Duration::from_millis(1)));
        let recorder = outcome.lock().unwrap().take().expect("the run is over");
        let report = recorder.report(None);
        assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
        let open = report.open.unwrap();
        assert_eq!((open.refused, open.unanswered), (0, 0));
        let missing = open.arrivals.abs_diff(report.requests);
        assert!(
            (390..610).contains(&open.arrivals) && missing <= 5,
            "{open:?}"
        );
        let lag = crate::stats::decode(&open.lag_histogram).unwrap();
        assert!(lag.max() <= 1_001_000, "{}", lag.max());
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
