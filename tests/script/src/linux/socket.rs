//! The application on Linux: sockets that do not block.

use super::namespace::congestion;
use crate::packet::octet;
use crate::script::{Check, Failure, Settings};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Connections that wait to be accepted, unless a script says otherwise.
const BACKLOG: u32 = 128;

fn explain(what: &'static str) -> impl Fn(Errno) -> String {
    move |errno| format!("{what}: {}", std::io::Error::from(errno))
}

fn open(to: &SocketAddr, settings: &Settings) -> Result<OwnedFd, String> {
    let family = match to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd =
        net::socket_with(family, SocketType::STREAM, flags, None).map_err(explain("socket"))?;
    // What a listener has, its connections inherit.
    sockopt::set_socket_oobinline(&fd, true).map_err(explain("SO_OOBINLINE"))?;
    if let Some(octets) = settings.receive_buffer {
        // The kernel keeps twice what it is told, and offers half of it.
        sockopt::set_socket_recv_buffer_size(&fd, octets as usize).map_err(explain("SO_RCVBUF"))?;
    }
    if let Some(octets) = settings.send_buffer {
        sockopt::set_socket_send_buffer_size(&fd, octets as usize).map_err(explain("SO_SNDBUF"))?;
    }
    if let Some(time) = settings.user_timeout {
        let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(&fd, millis).map_err(explain("TCP_USER_TIMEOUT"))?;
    }
    sockopt::set_tcp_congestion(&fd, congestion(settings)).map_err(explain("TCP_CONGESTION"))?;
    sockopt::set_tcp_nodelay(&fd, !settings.nagle).map_err(explain("TCP_NODELAY"))?;
    Ok(fd)
}

pub(super) fn listen(at: SocketAddr, settings: &Settings) -> Result<OwnedFd, String> {
    let fd = open(&at, settings)?;
    sockopt::set_socket_reuseaddr(&fd, true).map_err(explain("SO_REUSEADDR"))?;
    net::bind(&fd, &at).map_err(explain("bind"))?;
    // The kernel keeps one more than it is told.
    let backlog = settings
        .syn_queue
        .map_or(BACKLOG, |most| most.saturating_sub(1));
    net::listen(&fd, i32::try_from(backlog).unwrap_or(i32::MAX)).map_err(explain("listen"))?;
    Ok(fd)
}

/// A connection.
pub(super) struct Socket {
    fd: OwnedFd,
    read: i64,
    written: i64,
    /// Reads whatever comes.
    pub(super) always: bool,
    /// The kernel tells an error once.
    error: Option<Errno>,
}

impl Socket {
    fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            read: 0,
            written: 0,
            always: false,
            error: None,
        }
    }

    /// The next connection of a listener, if there is one.
    pub(super) fn accept(listener: &OwnedFd, settings: &Settings) -> Result<Option<Self>, String> {
        match net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(fd) => {
                sockopt::set_tcp_nodelay(&fd, !settings.nagle).map_err(explain("TCP_NODELAY"))?;
                Ok(Some(Self::new(fd)))
            }
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(explain("accept")(errno)),
        }
    }

    pub(super) fn connect(to: SocketAddr, settings: &Settings) -> Result<Self, String> {
        let fd = open(&to, settings)?;
        match net::connect(&fd, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(Self::new(fd)),
            Err(errno) => Err(explain("connect")(errno)),
        }
    }

    pub(super) fn write(&mut self, octets: u32, taken: u32) -> Result<(), String> {
        self.send(octets, taken, SendFlags::NOSIGNAL)
    }

    pub(super) fn write_urgent(&mut self, octets: u32) -> Result<(), String> {
        self.send(octets, octets, SendFlags::NOSIGNAL | SendFlags::OOB)
    }

    fn send(&mut self, octets: u32, taken: u32, flags: SendFlags) -> Result<(), String> {
        let from = self.written;
        let bytes: Vec<u8> = (from..from + i64::from(octets)).map(octet).collect();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match net::send(&self.fd, rest, flags) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or(&[]),
                Err(Errno::WOULDBLOCK) => break,
                Err(errno) => return Err(explain("write")(errno)),
            }
        }
        let took = bytes.len() - rest.len();
        self.written += took as i64;
        if took == taken as usize {
            Ok(())
        } else {
            Err(format!("write took {took} octets, not {taken}"))
        }
    }

    pub(super) fn read(&mut self, octets: u32, wait: Duration) -> Result<(), String> {
        let end = Instant::now() + wait;
        let mut left = octets as usize;
        let mut buffer = vec![0; left];
        while left > 0 {
            let room = buffer.get_mut(..left).unwrap_or(&mut []);
            match net::recv(&self.fd, room, RecvFlags::empty()) {
                Ok((0, _)) => break,
                Ok((len, _)) => {
                    self.compare(buffer.get(..len).unwrap_or(&[]))?;
                    left -= len;
                }
                Err(Errno::WOULDBLOCK) if Instant::now() > end => break,
                Err(Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(1)),
                Err(errno) => return Err(explain("read")(errno)),
            }
        }
        if left == 0 {
            Ok(())
        } else {
            let read = octets as usize - left;
            Err(format!("{read} octets could be read, not {octets}"))
        }
    }

    fn compare(&mut self, bytes: &[u8]) -> Result<(), String> {
        for byte in bytes {
            if *byte != octet(self.read) {
                return Err(format!("octet {} is not the one that was sent", self.read));
            }
            self.read += 1;
        }
        Ok(())
    }

    /// Reads what is there, if it is to be read always.
    pub(super) fn drain(&mut self) {
        let mut buffer = [0; 65_536];
        while self.always
            && let Ok((len, _)) = net::recv(&self.fd, &mut buffer, RecvFlags::empty())
            && len > 0
        {
            // Other octets would have been found where a script reads them by number.
            self.read += len as i64;
        }
    }

    pub(super) fn shutdown(&self) -> Result<(), String> {
        net::shutdown(&self.fd, net::Shutdown::Write).map_err(explain("shutdown"))
    }

    /// What is closed now ends by a reset.
    pub(super) fn abort(&self) -> Result<(), String> {
        sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO)).map_err(explain("SO_LINGER"))
    }

    pub(super) fn set_nagle(&self, on: bool) -> Result<(), String> {
        sockopt::set_tcp_nodelay(&self.fd, !on).map_err(explain("TCP_NODELAY"))
    }

    pub(super) fn set_cork(&self, on: bool) -> Result<(), String> {
        sockopt::set_tcp_cork(&self.fd, on).map_err(explain("TCP_CORK"))
    }

    pub(super) fn set_keep_alive(
        &self,
        on: bool,
        times: Option<(Duration, Duration, u8)>,
    ) -> Result<(), String> {
        if let Some((idle, interval, probes)) = times {
            sockopt::set_tcp_keepidle(&self.fd, idle).map_err(explain("TCP_KEEPIDLE"))?;
            sockopt::set_tcp_keepintvl(&self.fd, interval).map_err(explain("TCP_KEEPINTVL"))?;
            sockopt::set_tcp_keepcnt(&self.fd, u32::from(probes))
                .map_err(explain("TCP_KEEPCNT"))?;
        }
        sockopt::set_socket_keepalive(&self.fd, on).map_err(explain("SO_KEEPALIVE"))
    }

    pub(super) fn check(&mut self, check: Check) -> Result<(), String> {
        self.look_for_error()?;
        match check {
            Check::Connected => net::getpeername(&self.fd)
                .map(drop)
                .map_err(|errno| format!("the connection is not open: {errno}")),
            Check::Error(failure) if self.error.is_some_and(|e| failure_of(e) == Some(failure)) => {
                Ok(())
            }
            Check::Error(_) => Err(match self.error {
                Some(errno) => format!("the connection failed by {errno}"),
                None => "the connection did not fail".to_owned(),
            }),
            Check::NoError => match self.error {
                Some(errno) => Err(format!("the connection failed by {errno}")),
                None => Ok(()),
            },
            Check::Readable(octets) => {
                let there = rustix::io::ioctl_fionread(&self.fd).map_err(explain("FIONREAD"))?;
                if there == u64::from(octets) {
                    Ok(())
                } else {
                    Err(format!("{there} octets can be read, not {octets}"))
                }
            }
            Check::Urgent(octets) => match self.urgent_left()? {
                left if left == u64::from(octets) => Ok(()),
                left => Err(format!(
                    "urgent data ends after {left} octets, not {octets}"
                )),
            },
            Check::Eof => {
                let mut octet = [0];
                match net::recv(&self.fd, &mut octet, RecvFlags::PEEK) {
                    Ok((0, _)) => Ok(()),
                    Ok(_) => Err("there is more to read".to_owned()),
                    Err(_) => Err("the peer has not closed its side".to_owned()),
                }
            }
            Check::State(_) | Check::NothingToAccept => Err("this is no question to it".to_owned()),
        }
    }

    /// Octets to read until the end of the urgent data, once it is there. What can be read without
    /// it is told only while it is not in line.
    fn urgent_left(&self) -> Result<u64, String> {
        let mut fds = [PollFd::from_borrowed_fd(self.fd.as_fd(), PollFlags::PRI)];
        poll(&mut fds, Some(&Timespec::default())).map_err(explain("poll"))?;
        if !fds.iter().any(|fd| fd.revents().contains(PollFlags::PRI)) {
            return Ok(0);
        }
        sockopt::set_socket_oobinline(&self.fd, false).map_err(explain("SO_OOBINLINE"))?;
        let before = rustix::io::ioctl_fionread(&self.fd).map_err(explain("FIONREAD"))?;
        sockopt::set_socket_oobinline(&self.fd, true).map_err(explain("SO_OOBINLINE"))?;
        Ok(before + 1)
    }

    /// Asks for the error only when there is one: the kernel would report what an ICMP message
    /// merely hinted at, too.
    fn look_for_error(&mut self) -> Result<(), String> {
        let mut fds = [PollFd::from_borrowed_fd(self.fd.as_fd(), PollFlags::ERR)];
        poll(&mut fds, Some(&Timespec::default())).map_err(explain("poll"))?;
        let failed = fds.iter().any(|fd| fd.revents().contains(PollFlags::ERR));
        if failed && let Ok(Err(errno)) = sockopt::socket_error(&self.fd) {
            self.error = Some(errno);
        }
        Ok(())
    }
}

fn failure_of(errno: Errno) -> Option<Failure> {
    match errno {
        Errno::CONNRESET | Errno::PIPE => Some(Failure::Reset),
        Errno::CONNREFUSED => Some(Failure::Refused),
        Errno::TIMEDOUT => Some(Failure::TimedOut),
        Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::NOPROTOOPT => Some(Failure::Unreachable),
        _ => None,
    }
}
