//! The kernel's TCP at both ends, and what it counts of itself.
//!
//! Every function here works on the network namespace of the thread that calls it.

use crate::error::BenchError;
use rustix::net::sockopt::{set_socket_linger, set_tcp_congestion};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The congestion control of both sides.
pub(crate) const CONGESTION_CONTROL: &str = "cubic";

/// A handshake may lose several SYNs: 1, 2 and 4 seconds between them.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// How often something that waits looks at whether it should go on.
const LOOK: Duration = Duration::from_millis(100);
/// Octets of one call to read or write.
const CHUNK: usize = 64 * 1024;

/// Opens a connection. When it is dropped it is reset: nothing of it is on the path afterwards.
pub(crate) fn connect(to: SocketAddr) -> Result<TcpStream, BenchError> {
    let stream = TcpStream::connect_timeout(&to, CONNECT_LIMIT)
        .map_err(BenchError::io(format!("connecting to {to}")))?;
    prepare(&stream)?;
    Ok(stream)
}

fn prepare(stream: &TcpStream) -> Result<(), BenchError> {
    set_socket_linger(stream, Some(Duration::ZERO)).map_err(BenchError::io("SO_LINGER"))?;
    set_tcp_congestion(stream, CONGESTION_CONTROL).map_err(BenchError::io("TCP_CONGESTION"))
}

/// What arrived in how much time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    pub(crate) octets: u64,
    pub(crate) time: Duration,
}

impl Moved {
    /// Bits per second.
    pub(crate) fn rate(&self) -> f64 {
        match self.time.as_secs_f64() {
            0.0 => 0.0,
            seconds => self.octets as f64 * 8.0 / seconds,
        }
    }
}

/// Reads for this long from now on.
pub(crate) fn receive(
    mut stream: TcpStream,
    duration: Duration,
    stop: &AtomicBool,
) -> Result<Moved, BenchError> {
    let mut buffer = vec![0; CHUNK];
    let start = Instant::now();
    let mut octets = 0;
    while let Some(wait) = remaining(start, duration, stop) {
        stream
            .set_read_timeout(Some(wait))
            .map_err(BenchError::io("SO_RCVTIMEO"))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Err(BenchError::Failed("the sender closed early".to_owned())),
            Ok(count) => octets += count as u64,
            Err(error) if is_timeout(error.kind()) => {}
            Err(error) => return Err(BenchError::io("receiving")(error)),
        }
    }
    Ok(Moved {
        octets,
        time: start.elapsed(),
    })
}

/// Writes for this long from now on, and counts what the receiver acknowledged.
pub(crate) fn send(
    mut stream: TcpStream,
    duration: Duration,
    stop: &AtomicBool,
) -> Result<Moved, BenchError> {
    let buffer = vec![b'.'; CHUNK];
    let start = Instant::now();
    let mut written = 0;
    while let Some(wait) = remaining(start, duration, stop) {
        written += write(&mut stream, &buffer, wait)?;
    }
    let port = stream
        .local_addr()
        .map_err(BenchError::io("getsockname"))?
        .port();
    let table = read_net("tcp")?;
    let time = start.elapsed();
    let waiting = send_queue(&table, port).ok_or_else(|| {
        BenchError::Failed("the kernel does not list the connection any more".to_owned())
    })?;
    Ok(Moved {
        octets: written - waiting.min(written),
        time,
    })
}

/// One write: how much was taken, 0 when there was no room for `wait`.
fn write(stream: &mut TcpStream, buffer: &[u8], wait: Duration) -> Result<u64, BenchError> {
    stream
        .set_write_timeout(Some(wait))
        .map_err(BenchError::io("SO_SNDTIMEO"))?;
    match stream.write(buffer) {
        Ok(count) => Ok(count as u64),
        Err(error) if is_timeout(error.kind()) => Ok(0),
        Err(error) => Err(BenchError::io("sending")(error)),
    }
}

/// How long the next call may wait; none when the time is over.
fn remaining(start: Instant, duration: Duration, stop: &AtomicBool) -> Option<Duration> {
    let left = duration.saturating_sub(start.elapsed());
    // A timeout of zero would be none at all.
    (!left.is_zero() && !stop.load(Ordering::Relaxed)).then(|| left.min(LOOK))
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// What a server does with its one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Serving {
    /// Writes until the peer is gone.
    Chargen,
    /// Reads until the peer is gone.
    Discard,
}

/// Serves one connection, until its end or until `stop`.
pub(crate) fn serve_one(
    listener: &TcpListener,
    serving: Serving,
    stop: &AtomicBool,
) -> Result<(), BenchError> {
    listener
        .set_nonblocking(true)
        .map_err(BenchError::io("O_NONBLOCK"))?;
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(error) if is_timeout(error.kind()) => {}
            Err(error) => return Err(BenchError::io("accepting")(error)),
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    stream
        .set_nonblocking(false)
        .map_err(BenchError::io("O_NONBLOCK"))?;
    prepare(&stream)?;
    let mut buffer = vec![b'.'; CHUNK];
    while !stop.load(Ordering::Relaxed) {
        let done = match serving {
            Serving::Chargen => write(&mut stream, &buffer, LOOK).map(|_| false),
            Serving::Discard => discard(&mut stream, &mut buffer),
        };
        // The peer ends with a reset.
        if !matches!(done, Ok(false)) {
            break;
        }
    }
    Ok(())
}

/// One read: true at the end.
fn discard(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<bool, BenchError> {
    stream
        .set_read_timeout(Some(LOOK))
        .map_err(BenchError::io("SO_RCVTIMEO"))?;
    match stream.read(buffer) {
        Ok(count) => Ok(count == 0),
        Err(error) if is_timeout(error.kind()) => Ok(false),
        Err(error) => Err(BenchError::io("receiving")(error)),
    }
}

/// Counters of the kernel's TCP in this namespace, by the names of `nstat`.
pub(crate) fn counters() -> Result<BTreeMap<String, u64>, BenchError> {
    let mut all = BTreeMap::new();
    for file in ["snmp", "netstat"] {
        all.extend(named(&read_net(file)?));
    }
    Ok(all)
}

/// What was counted between two readings, zeroes left out.
pub(crate) fn difference(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let counted = after.iter().map(|(name, value)| {
        let earlier = before.get(name).copied().unwrap_or(0);
        (name.clone(), value.saturating_sub(earlier))
    });
    counted.filter(|(_, value)| *value > 0).collect()
}

/// A file of the calling thread's network namespace: `/proc/net` would be the process's.
fn read_net(file: &str) -> Result<String, BenchError> {
    let path = format!("/proc/thread-self/net/{file}");
    std::fs::read_to_string(&path).map_err(BenchError::io(path))
}

/// Pairs of lines, names above values, each with a prefix.
fn named(text: &str) -> BTreeMap<String, u64> {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .chunks_exact(2)
        .filter_map(|pair| Some((pair[0].split_once(": ")?, pair[1].split_once(": ")?)))
        .filter(|((prefix, _), _)| prefix.starts_with("Tcp"))
        .flat_map(|((prefix, names), (_, values))| {
            let names = names.split(' ').map(move |name| format!("{prefix}{name}"));
            names.zip(values.split(' ').map(|value| value.parse().unwrap_or(0)))
        })
        .collect()
}

/// Octets that the connection from this local port has written and not seen acknowledged, out of
/// the kernel's table of connections.
fn send_queue(table: &str, port: u16) -> Option<u64> {
    let port = format!(":{port:04X}");
    // 0.0.0.0 as the remote address: a listener.
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().take(5).collect();
        let [_, local, remote, _, queues] = fields[..] else {
            return None;
        };
        let ours = local.ends_with(&port) && remote != "00000000:0000";
        let (sending, _) = ours.then(|| queues.split_once(':'))??;
        u64::from_str_radix(sending, 16).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_as_nstat_does() {
        let text = "Ip: Forwarding DefaultTTL\nIp: 1 64\nTcp: RtoMin MaxConn RetransSegs\n\
                    Tcp: 200 -1 17\n";
        let all = named(text);
        assert_eq!(all.get("TcpRetransSegs"), Some(&17));
        assert_eq!(all.len(), 3, "{all:?}");
        let mut later = all.clone();
        later.insert("TcpRetransSegs".to_owned(), 20);
        let difference = difference(&all, &later);
        assert_eq!(
            difference.into_iter().collect::<Vec<_>>(),
            [("TcpRetransSegs".to_owned(), 3)]
        );
    }

    #[test]
    fn the_queue_is_that_of_the_connection() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n\
             0: 00000000:1B58 00000000:0000 0A 00000001:00000000 00:00000000 00000000\n\
             1: 0100007F:C350 0200007F:1B58 01 0000FFFF:00000000 01:00000014 00000000\n";
        assert_eq!(send_queue(table, 50_000), Some(65_535));
        assert_eq!(send_queue(table, 7000), None);
    }

    #[test]
    fn octets_are_counted_at_the_other_end() {
        let never = AtomicBool::new(false);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        for serving in [Serving::Chargen, Serving::Discard] {
            let moved = std::thread::scope(|scope| {
                let server = scope.spawn(|| serve_one(&listener, serving, &never));
                let stream = connect(to).unwrap();
                let duration = Duration::from_millis(200);
                let moved = match serving {
                    Serving::Chargen => receive(stream, duration, &never),
                    Serving::Discard => send(stream, duration, &never),
                };
                server.join().unwrap().unwrap();
                moved.unwrap()
            });
            assert!(moved.octets > 100_000, "{serving:?}: {moved:?}");
            assert!(moved.time >= Duration::from_millis(200));
            assert!(moved.time < Duration::from_secs(2));
        }
    }
}
