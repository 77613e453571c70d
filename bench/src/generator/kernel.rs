//! The generator on kernel sockets: one thread, one epoll.

use super::recorder::Recorder;
use super::{GenerateArgs, GeneratorReport};
use crate::error::BenchError;
use crate::pattern;
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

/// A connection and its one outstanding request.
struct Connection {
    socket: OwnedFd,
    open: bool,
    /// Requests sent so far; the number of the outstanding one.
    number: u64,
    tag: u64,
    sent_at: u64,
    unsent: usize,
    received: usize,
}

/// How a connection's event ended.
enum Progress {
    Waiting,
    Closed,
    Mismatch,
}

struct KernelGenerator {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    epoch: Instant,
    recorder: Recorder,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl KernelGenerator {
    fn new(args: &GenerateArgs) -> Result<Self, Errno> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::with_capacity(args.connections as usize),
            epoch: Instant::now(),
            recorder: Recorder::new(args),
            request: vec![0; args.size as usize],
            buffer: vec![0; BUFFER],
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
            number: 0,
            tag: 0,
            sent_at: 0,
            unsent: 0,
            received: 0,
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
        let timeout = match wait {
            Wait::Blocking => LONGEST_WAIT,
            Wait::Spinning => Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
        };
        let start = self.now();
        self.recorder.start(start);
        for index in 0..self.connections.len() {
            self.request(index, start);
        }
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            let ready = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, ready, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            let turn = self.now();
            if self.recorder.turn(turn) {
                break;
            }
            let mut last = turn;
            for event in &events {
                last = self.serve(event.data.u64() as usize);
            }
            self.recorder.worked(last - turn);
        }
        let end = self.now();
        let open = self.connections.iter().filter(|connection| connection.open);
        let stalled = open.filter(|connection| Recorder::stalled(connection.sent_at, end));
        self.recorder.errors.stalled += stalled.count() as u64;
        Ok(())
    }

    /// Sends the next request of a connection.
    fn request(&mut self, index: usize, now: u64) {
        let connection = &mut self.connections[index];
        connection.number += 1;
        connection.tag = pattern::tag(index as u64, connection.number);
        connection.sent_at = now;
        connection.received = 0;
        connection.unsent = self.request.len();
        if !connection.flush(&mut self.request) {
            self.lose(index);
        }
    }

    /// Handles a connection's event; returns the time after it.
    fn serve(&mut self, index: usize) -> u64 {
        let Some(connection) = self.connections.get_mut(index).filter(|c| c.open) else {
            return self.now();
        };
        let mut progress = Progress::Waiting;
        if connection.unsent > 0 && !connection.flush(&mut self.request) {
            progress = Progress::Closed;
        }
        if let Progress::Waiting = progress {
            progress = connection.read(&mut self.buffer, self.request.len());
        }
        let complete = connection.received == self.request.len();
        let sent_at = connection.sent_at;
        let now = self.now();
        match progress {
            Progress::Waiting if complete => {
                self.recorder.response(sent_at, now);
                self.request(index, now);
            }
            Progress::Waiting => {}
            Progress::Closed => self.lose(index),
            Progress::Mismatch => {
                self.recorder.errors.mismatched += 1;
                self.connections[index].open = false;
            }
        }
        now
    }

    /// The server took the connection away.
    fn lose(&mut self, index: usize) {
        self.recorder.errors.closed += 1;
        self.connections[index].open = false;
    }
}

impl Connection {
    /// Sends what is left of the request; false when the connection is gone. `scratch` has the
    /// size of a request.
    fn flush(&mut self, scratch: &mut [u8]) -> bool {
        pattern::fill(scratch, self.tag);
        let rest = &scratch[scratch.len() - self.unsent..];
        match send(&self.socket, rest, SendFlags::NOSIGNAL) {
            Ok(sent) => self.unsent -= sent,
            Err(Errno::AGAIN) => {}
            Err(_) => return false,
        }
        true
    }

    /// Reads what is there and compares it with the request of `size` octets.
    fn read(&mut self, buffer: &mut [u8], size: usize) -> Progress {
        loop {
            let received = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Progress::Closed,
                Ok((received, _)) => received,
                Err(Errno::AGAIN) => return Progress::Waiting,
                Err(_) => return Progress::Closed,
            };
            let bytes = &buffer[..received];
            if received > size - self.received || !pattern::matches(bytes, self.received, self.tag)
            {
                return Progress::Mismatch;
            }
            self.received += received;
            if received < buffer.len() {
                return Progress::Waiting;
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
