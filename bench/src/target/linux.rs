//! The Linux to compare with: an epoll echo server, one thread, written as well as we can.
//!
//! Edge-triggered: a level-triggered descriptor goes back on the ready list and is polled once more
//! in the next `epoll_wait`. A read shorter than the buffer has drained a stream socket, so that
//! a small request costs one read and one write.

use crate::cpu;
use crate::error::BenchError;
use crate::scenario::Wait;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, listen, recv,
    send, socket_with, sockopt,
};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Events taken from the kernel with one call.
const EVENTS: usize = 256;
/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Octets read with one call.
const BUFFER: usize = 64 << 10;
/// The epoll token of the listening socket; connections have their index.
const LISTENER: u64 = u64::MAX;

/// Arguments of the child process that is the Linux target.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerLinuxArgs {
    /// Address and port to listen on
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// How to wait for events
    #[arg(long, value_enum, default_value = "blocking")]
    pub wait: Wait,
    /// Processor to stay on
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,
}

/// Serves until `stop` is set (looked at after each wait) or the process is killed. Prints a line
/// that starts with `ready` once connections are accepted.
///
/// # Errors
/// When the processor, the address or epoll is not to be had.
pub fn serve(args: &ServerLinuxArgs, stop: &AtomicBool) -> Result<(), BenchError> {
    crate::child::die_with_parent();
    if let Some(cpu) = args.cpu {
        cpu::pin(cpu).map_err(BenchError::io(format!("pinning to processor {cpu}")))?;
    }
    crate::limits::raise_open_files();
    let listener = open_listener(args.listen)
        .map_err(BenchError::io(format!("listening on {}", args.listen)))?;
    let mut server =
        Server::new(listener).map_err(BenchError::io("setting up epoll for the Linux server"))?;
    println!("ready {} wait={}", args.listen, args.wait);
    std::io::stdout()
        .flush()
        .map_err(BenchError::io("writing to standard output"))?;
    server
        .run(args.wait, stop)
        .map_err(BenchError::io("waiting for events"))
}

fn open_listener(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// One accepted connection, and what it could not write yet.
struct Connection {
    socket: OwnedFd,
    unsent: Vec<u8>,
}

/// What came of serving a connection's event.
enum Served {
    Open,
    Closed,
}

struct Server {
    epoll: OwnedFd,
    listener: OwnedFd,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    buffer: Vec<u8>,
}

impl Server {
    fn new(listener: OwnedFd) -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let token = epoll::EventData::new_u64(LISTENER);
        epoll::add(&epoll, &listener, token, epoll::EventFlags::IN)?;
        Ok(Self {
            epoll,
            listener,
            connections: Vec::new(),
            vacant: Vec::new(),
            buffer: vec![0; BUFFER],
        })
    }

    fn run(&mut self, wait: Wait, stop: &AtomicBool) -> Result<(), Errno> {
        let timeout = match wait {
            Wait::Blocking => None,
            Wait::Spinning => Some(Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            }),
        };
        let mut events = Vec::with_capacity(EVENTS);
        while !stop.load(Ordering::Relaxed) {
            events.clear();
            let ready = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, ready, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept_all(),
                    index => self.serve(index as usize),
                }
            }
        }
        Ok(())
    }

    fn accept_all(&mut self) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // Any error ends the burst: nobody is waiting, or (EMFILE, ENFILE, ENOBUFS) nobody can be
        // served, and the listener, level-triggered, reports again.
        while let Ok(socket) = accept_with(&self.listener, flags) {
            let index = self.vacant.pop().unwrap_or(self.connections.len());
            let token = epoll::EventData::new_u64(index as u64);
            let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            let added = sockopt::set_tcp_nodelay(&socket, true)
                .and_then(|()| epoll::add(&self.epoll, &socket, token, interest));
            let connection = added.ok().map(|()| Connection {
                socket,
                unsent: Vec::new(),
            });
            if connection.is_none() {
                self.vacant.push(index);
            }
            match self.connections.get_mut(index) {
                Some(slot) => *slot = connection,
                None => self.connections.push(connection),
            }
        }
    }

    fn serve(&mut self, index: usize) {
        let Some(slot) = self.connections.get_mut(index) else {
            return;
        };
        let Some(connection) = slot else { return };
        if let Served::Closed = connection.echo(&mut self.buffer) {
            // Closing the descriptor takes it out of the epoll set.
            *slot = None;
            self.vacant.push(index);
        }
    }
}

impl Connection {
    /// Sends back everything that is there to read.
    fn echo(&mut self, buffer: &mut [u8]) -> Served {
        loop {
            if !self.unsent.is_empty() {
                match send(&self.socket, &self.unsent, SendFlags::NOSIGNAL) {
                    Ok(sent) => drop(self.unsent.drain(..sent)),
                    Err(Errno::AGAIN) => return Served::Open,
                    Err(_) => return Served::Closed,
                }
                continue;
            }
            let received = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Served::Closed,
                Ok((received, _)) => received,
                Err(Errno::AGAIN) => return Served::Open,
                Err(_) => return Served::Closed,
            };
            match send(&self.socket, &buffer[..received], SendFlags::NOSIGNAL) {
                Ok(sent) if sent == received => {}
                Ok(sent) => self.unsent.extend_from_slice(&buffer[sent..received]),
                Err(Errno::AGAIN) => self.unsent.extend_from_slice(&buffer[..received]),
                Err(_) => return Served::Closed,
            }
            if received < buffer.len() && self.unsent.is_empty() {
                return Served::Open;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{Shutdown, TcpStream};
    use std::sync::Arc;
    use std::thread;

    /// A server on the loopback with a port of its own, stopped when dropped.
    struct Running {
        address: SocketAddr,
        stop: Arc<AtomicBool>,
        thread: Option<thread::JoinHandle<Result<(), Errno>>>,
    }

    impl Running {
        fn start(wait: Wait) -> Self {
            let listener = open_listener("127.0.0.1:0".parse().unwrap()).unwrap();
            let name = rustix::net::getsockname(&listener).unwrap();
            let address = SocketAddr::try_from(name).unwrap();
            let stop = Arc::new(AtomicBool::new(false));
            let theirs = Arc::clone(&stop);
            let thread = thread::spawn(move || Server::new(listener)?.run(wait, &theirs));
            Self {
                address,
                stop,
                thread: Some(thread),
            }
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            self.stop.store(true, Ordering::Relaxed);
            // Any event ends a blocking wait.
            drop(TcpStream::connect(self.address));
            let result = self.thread.take().unwrap().join().unwrap();
            assert_eq!(result, Ok(()));
        }
    }

    #[test]
    fn echoes_small_requests_on_many_connections() {
        for wait in [Wait::Blocking, Wait::Spinning] {
            let server = Running::start(wait);
            let mut streams: Vec<_> = (0..20)
                .map(|_| TcpStream::connect(server.address).unwrap())
                .collect();
            for round in 0..5u8 {
                for (index, stream) in streams.iter_mut().enumerate() {
                    let request = [round ^ index as u8; 64];
                    stream.write_all(&request).unwrap();
                    let mut response = [0; 64];
                    stream.read_exact(&mut response).unwrap();
                    assert_eq!(response, request);
                }
                streams.remove(0);
            }
        }
    }

    #[test]
    fn a_reader_slower_than_the_writer_gets_every_octet() {
        let server = Running::start(Wait::Blocking);
        let stream = TcpStream::connect(server.address).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let sent: Vec<u8> = (0..16_000_000u32)
            .map(|x| (x.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let theirs = sent.clone();
        let sending = thread::spawn(move || {
            writer.write_all(&theirs).unwrap();
        });
        thread::sleep(std::time::Duration::from_millis(300));
        let mut received = vec![0; sent.len()];
        (&stream).read_exact(&mut received).unwrap();
        sending.join().unwrap();
        assert!(received == sent);
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(
            (&stream).read(&mut [0; 8]).unwrap(),
            0,
            "the server closes after us"
        );
    }
}
