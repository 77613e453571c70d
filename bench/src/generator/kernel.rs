//! The generator on kernel sockets: one thread, one epoll.

use super::exchange::{Exchange, Mismatch};
use super::pace::Pace;
use super::recorder::Recorder;
use super::{GenerateArgs, GeneratorReport};
use crate::error::BenchError;
use crate::scenario::Wait;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
    sockopt,
};
use std::time::{Duration, Instant};

/// Events taken from the kernel with one call.
const EVENTS: usize = 256;
/// Requests begun in one turn at most: responses must not wait for a rate that is out of reach.
const REQUESTS: usize = 256;
/// Octets read with one call; a shorter read has drained the socket.
const BUFFER: usize = 64 << 10;
/// Connections that are being opened at the same time: below what a listener's queue holds.
const OPENING: usize = 256;
/// All connections are open after this, or the run fails.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// The longest sleep, so that phases end when no response comes.
const LONGEST_WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// Opens the connections, runs warm-up and interval, closes.
///
/// # Errors
/// When sockets or epoll fail, or the connections do not open.
pub(super) fn run(args: &GenerateArgs) -> Result<GeneratorReport, BenchError> {
    let mut generator = KernelGenerator::new(args).map_err(BenchError::io("setting up epoll"))?;
    generator.open_all(args)?;
    generator
        .drive(args.wait)
        .map_err(BenchError::io("waiting for events"))?;
    Ok(generator.recorder.report(None))
}

/// A connection and its requests.
struct Connection {
    socket: OwnedFd,
    open: bool,
    exchange: Exchange,
}

/// Why a connection is of no use any more.
enum Trouble {
    Closed,
    Mismatch,
}

impl From<Mismatch> for Trouble {
    fn from(_: Mismatch) -> Self {
        Self::Mismatch
    }
}

struct KernelGenerator {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    epoch: Instant,
    recorder: Recorder,
    pace: Pace,
    /// Octets of a request, and of its response.
    size: usize,
    buffer: Vec<u8>,
    /// The requests that the event at hand completed: from when they counted, and when sent.
    answered: Vec<(u64, u64)>,
}

impl KernelGenerator {
    fn new(args: &GenerateArgs) -> Result<Self, Errno> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::with_capacity(args.connections as usize),
            epoch: Instant::now(),
            recorder: Recorder::new(args),
            pace: Pace::new(args),
            size: args.size as usize,
            buffer: vec![0; BUFFER],
            answered: Vec::new(),
        })
    }

    /// Nanoseconds since the generator was made.
    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// Opens connections in batches, all of a batch at once.
    fn open_all(&mut self, args: &GenerateArgs) -> Result<(), BenchError> {
        let deadline = Instant::now() + OPEN_LIMIT;
        while self.connections.len() < args.connections as usize {
            let first = self.connections.len();
            let batch = OPENING.min(args.connections as usize - first);
            for _ in 0..batch {
                self.begin_open(args)
                    .map_err(BenchError::io("opening a connection"))?;
            }
            self.finish_open(first, deadline)
                .map_err(BenchError::io(format!("connecting to {}", args.target)))?;
        }
        Ok(())
    }

    fn begin_open(&mut self, args: &GenerateArgs) -> Result<(), Errno> {
        let v4 = args.target.is_ipv4();
        let family = if v4 {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match connect(&socket, &args.target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let token = epoll::EventData::new_u64(self.connections.len() as u64);
        let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &socket, token, interest)?;
        self.connections.push(Connection {
            socket,
            open: false,
            exchange: Exchange::default(),
        });
        Ok(())
    }

    /// Waits until all connections from `first` on are open.
    fn finish_open(&mut self, first: usize, deadline: Instant) -> Result<(), Errno> {
        let mut events = Vec::with_capacity(EVENTS);
        while self.connections[first..]
            .iter()
            .any(|connection| !connection.open)
        {
            if Instant::now() >= deadline {
                return Err(Errno::TIMEDOUT);
            }
            events.clear();
            let ready = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, ready, Some(&LONGEST_WAIT)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            for event in &events {
                let index = event.data.u64() as usize;
                let Some(connection) = self.connections.get_mut(index) else {
                    continue;
                };
                sockopt::socket_error(&connection.socket)??;
                connection.open |= { event.flags }.contains(epoll::EventFlags::OUT);
            }
        }
        Ok(())
    }

    fn drive(&mut self, wait: Wait) -> Result<(), Errno> {
        let start = self.now();
        self.recorder.start(start);
        let connections = &self.connections;
        let usable = |slot| connections.get(slot as usize).is_some_and(|c| c.open);
        self.pace.start(start, usable);
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            let timeout = self.timeout(wait);
            let ready = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, ready, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            let turn = self.now();
            let mut last = self.ask_due(turn);
            if self.recorder.turn(turn) {
                break;
            }
            for event in &events {
                last = self.serve(event.data.u64() as usize);
            }
            self.recorder.worked(last - turn);
        }
        self.end();
        Ok(())
    }

    /// How long to wait for the next event. An open loop polls, whatever was asked for: who sleeps
    /// is late.
    fn timeout(&self, wait: Wait) -> Timespec {
        let longest = LONGEST_WAIT.tv_nsec as u64;
        let nanos = match wait {
            _ if self.pace.is_open() => 0,
            Wait::Spinning => 0,
            Wait::Blocking => self
                .pace
                .next()
                .map_or(longest, |at| at.saturating_sub(self.now()).min(longest)),
        };
        Timespec {
            tv_sec: 0,
            tv_nsec: nanos as i64,
        }
    }

    /// Sends the requests that are due; returns the time after it.
    fn ask_due(&mut self, turn: u64) -> u64 {
        let mut now = turn;
        for _ in 0..REQUESTS {
            let Some((slot, from)) = self.pace.due(now, &mut self.recorder) else {
                break;
            };
            let connection = &mut self.connections[slot as usize];
            connection
                .exchange
                .ask(u64::from(slot), self.size, from, now);
            if connection.flush().is_err() {
                self.lose(slot as usize, &Trouble::Closed);
            }
            now = self.now();
        }
        now
    }

    /// Counts what is left without an answer.
    fn end(&mut self) {
        let now = self.now();
        for connection in self.connections.iter().filter(|connection| connection.open) {
            let oldest = connection.exchange.asked().next();
            let stalled = oldest.is_some_and(|asked| Recorder::stalled(asked.sent, now));
            self.recorder.errors.stalled += u64::from(stalled);
            for asked in connection.exchange.asked() {
                self.recorder.unanswered(asked.from, now);
            }
        }
        for from in self.pace.waiting() {
            self.recorder.unanswered(from, now);
        }
    }

    /// Handles a connection's event; returns the time after it.
    fn serve(&mut self, index: usize) -> u64 {
        let Some(connection) = self.connections.get_mut(index).filter(|c| c.open) else {
            return self.now();
        };
        self.answered.clear();
        let mut result = connection.flush();
        if result.is_ok() {
            result = connection.read(&mut self.buffer, self.size, &mut self.answered);
        }
        let now = self.epoch.elapsed().as_nanos() as u64;
        for (from, sent) in &self.answered {
            self.recorder.response(*from, *sent, now);
        }
        if result.is_ok() && !self.answered.is_empty() {
            // All of them first: what comes beyond the responses belongs to no request.
            for _ in 0..self.answered.len() {
                if let Some(from) = self.pace.answered(index as u32, now) {
                    connection.exchange.ask(index as u64, self.size, from, now);
                }
            }
            result = connection.flush();
        }
        if let Err(trouble) = result {
            self.lose(index, &trouble);
        }
        now
    }

    /// The connection is of no use any more.
    fn lose(&mut self, index: usize, trouble: &Trouble) {
        match trouble {
            Trouble::Closed => self.recorder.errors.closed += 1,
            Trouble::Mismatch => self.recorder.errors.mismatched += 1,
        }
        self.connections[index].open = false;
        self.pace.lost(index as u32);
    }
}

impl Connection {
    /// Sends what there is to send, as far as there is room.
    fn flush(&mut self) -> Result<(), Trouble> {
        let unsent = self.exchange.unsent();
        if unsent.is_empty() {
            return Ok(());
        }
        match send(&self.socket, unsent, SendFlags::NOSIGNAL) {
            Ok(sent) => self.exchange.sent(sent),
            Err(Errno::AGAIN) => {}
            Err(_) => return Err(Trouble::Closed),
        }
        Ok(())
    }

    /// Reads what is there and compares it with the requests of `size` octets; appends those that
    /// are answered.
    fn read(
        &mut self,
        buffer: &mut [u8],
        size: usize,
        answered: &mut Vec<(u64, u64)>,
    ) -> Result<(), Trouble> {
        loop {
            let received = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Err(Trouble::Closed),
                Ok((received, _)) => received,
                Err(Errno::AGAIN) => return Ok(()),
                Err(_) => return Err(Trouble::Closed),
            };
            self.exchange.receive(&buffer[..received], size, |asked| {
                answered.push((asked.from, asked.sent));
            })?;
            if received < buffer.len() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::thread;

    fn args(target: SocketAddr, connections: u32, size: u32) -> GenerateArgs {
        GenerateArgs {
            target,
            connections,
            size,
            ..super::super::tests::args()
        }
    }

    /// Accepts `count` connections and runs `each` on them in threads.
    fn server(count: u32, each: fn(TcpStream)) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for _ in 0..count {
                let (stream, _) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                thread::spawn(move || each(stream));
            }
        });
        address
    }

    fn echo(mut stream: TcpStream) {
        let mut buffer = [0; 4096];
        while let Ok(received @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..received]).is_err() {
                return;
            }
        }
    }

    #[test]
    fn measures_an_honest_server() {
        for (connections, size) in [(1, 64), (8, 64), (3, 50_000)] {
            let report = run(&args(server(connections, echo), connections, size)).unwrap();
            assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
            assert!(report.requests > 0);
            let histogram = stats::decode(&report.histogram).unwrap();
            assert_eq!(histogram.len(), report.requests);
            assert!(report.elapsed_ns >= 100_000_000);
            // A closed loop: what all connections waited fits into the time of all connections.
            let waited = histogram.mean() * histogram.len() as f64;
            assert!(waited <= report.elapsed_ns as f64 * f64::from(connections) * 1.01);
        }
    }

    #[test]
    fn requests_under_way_together_are_all_answered() {
        for size in [64, 20_000] {
            let args = GenerateArgs {
                pipeline: 16,
                ..args(server(3, echo), 3, size)
            };
            let report = run(&args).unwrap();
            assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
            assert!(report.requests > 16);
        }
    }

    #[test]
    fn a_connection_that_thinks_asks_less() {
        let args = GenerateArgs {
            think_us: 5000,
            ..args(server(2, echo), 2, 64)
        };
        let report = run(&args).unwrap();
        assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
        // Two connections, 5 ms and more between two requests, 100 ms.
        assert!((1..=40).contains(&report.requests), "{}", report.requests);
    }

    #[test]
    fn an_open_loop_asks_at_its_rate() {
        let args = GenerateArgs {
            rate: Some(2000),
            duration_ms: 400,
            ..args(server(4, echo), 4, 64)
        };
        let report = run(&args).unwrap();
        assert_eq!(report.errors.total(), 0, "{:?}", report.errors);
        let open = report.open.unwrap();
        assert_eq!((open.refused, open.unanswered), (0, 0));
        let expected = 2000.0 * report.elapsed_ns as f64 / 1e9;
        let share = open.arrivals as f64 / expected;
        assert!((0.8..1.2).contains(&share), "{share}");
        let service = stats::decode(&open.service_histogram).unwrap();
        let response = stats::decode(&report.histogram).unwrap();
        assert_eq!(service.len(), response.len());
        assert!(service.mean() <= response.mean());
    }

    /// The omission that this is about: a server that stops for 150 ms once is asked by a closed loop
    /// one request less each, and an open one sees every request that it kept waiting.
    #[test]
    fn an_open_loop_sees_all_that_a_stall_costs() {
        let stalling = |mut stream: TcpStream| {
            let mut request = [0; 64];
            let mut count = 0;
            while stream.read_exact(&mut request).is_ok() {
                count += 1;
                if count == 150 {
                    thread::sleep(Duration::from_millis(150));
                }
                if stream.write_all(&request).is_err() {
                    return;
                }
            }
        };
        let args = GenerateArgs {
            rate: Some(1000),
            arrivals: crate::load::Arrivals::Constant,
            duration_ms: 500,
            ..args(server(1, stalling), 1, 64)
        };
        let report = run(&args).unwrap();
        let beyond = |text: &str| {
            let histogram = stats::decode(text).unwrap();
            histogram.len() - histogram.count_between(0, 20_000_000)
        };
        assert!(
            beyond(&report.histogram) >= 100,
            "130 wait for 20 ms or more"
        );
        let service = report.open.unwrap().service_histogram;
        assert!(beyond(&service) < 30, "from the sending, hardly one does");
    }

    #[test]
    fn a_wrong_octet_is_no_success() {
        let address = server(2, |mut stream| {
            let mut request = [0; 64];
            let mut count = 0;
            while stream.read_exact(&mut request).is_ok() {
                count += 1;
                request[63] ^= u8::from(count == 3);
                if stream.write_all(&request).is_err() {
                    return;
                }
            }
        });
        let report = run(&args(address, 2, 64)).unwrap();
        assert_eq!(report.errors.mismatched, 2);
    }

    #[test]
    fn connections_that_the_server_closes_are_counted() {
        let address = server(3, |mut stream| {
            let mut request = [0; 64];
            stream.read_exact(&mut request).unwrap();
        });
        let report = run(&args(address, 3, 64)).unwrap();
        assert_eq!(report.errors.closed, 3);
        assert_eq!(report.requests, 0);
    }

    #[test]
    fn a_refused_connection_is_an_error() {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let error = run(&args(address, 1, 64)).unwrap_err().to_string();
        assert!(error.contains("refused"), "{error}");
    }
}
