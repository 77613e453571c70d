//! The application on Linux: sockets that do not block.

use super::namespace::congestion;
use crate::packet::octet;
use crate::script::{Buffer, Check, Failure, IcmpKind, Settings};
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
    if let Some(octets) = fixed(settings.receive_buffer) {
        // The kernel keeps twice what it is told, and offers half of it.
        sockopt::set_socket_recv_buffer_size(&fd, octets).map_err(explain("SO_RCVBUF"))?;
    }
    if let Some(octets) = fixed(settings.send_buffer) {
        sockopt::set_socket_send_buffer_size(&fd, octets).map_err(explain("SO_SNDBUF"))?;
    }
    if let Some(time) = settings.user_timeout {
        let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(&fd, millis).map_err(explain("TCP_USER_TIMEOUT"))?;
    }
    sockopt::set_tcp_congestion(&fd, congestion(settings)).map_err(explain("TCP_CONGESTION"))?;
    sockopt::set_tcp_nodelay(&fd, !settings.nagle).map_err(explain("TCP_NODELAY"))?;
    Ok(fd)
}

/// The size of a buffer that does not grow.
fn fixed(buffer: Option<Buffer>) -> Option<usize> {
    buffer
        .filter(|buffer| buffer.initial.is_none())
        .map(|buffer| buffer.most as usize)
}

/// Lets the kernel pace a connection, which it does for algorithms that ask for it, and goes on doing
/// when another one takes over.
fn pace(fd: &OwnedFd, settings: &Settings) -> Result<(), String> {
    if settings.pacing != Some(true) {
        return Ok(());
    }
    for algorithm in ["bbr", congestion(settings)] {
        sockopt::set_tcp_congestion(fd, algorithm).map_err(explain("TCP_CONGESTION"))?;
    }
    Ok(())
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
    lingers: bool,
}

impl Socket {
    fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            read: 0,
            written: 0,
            always: false,
            error: None,
            lingers: false,
        }
    }

    /// The next connection of a listener, if there is one.
    pub(super) fn accept(listener: &OwnedFd, settings: &Settings) -> Result<Option<Self>, String> {
        match net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(fd) => {
                sockopt::set_tcp_nodelay(&fd, !settings.nagle).map_err(explain("TCP_NODELAY"))?;
                pace(&fd, settings)?;
                Ok(Some(Self::new(fd)))
            }
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(explain("accept")(errno)),
        }
    }

    pub(super) fn connect(to: SocketAddr, settings: &Settings) -> Result<Self, String> {
        if settings.pacing == Some(true) {
            // The algorithm that starts it has to be there when the connection is established.
            return Err("Linux paces only what was accepted".to_owned());
        }
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

    pub(super) fn set_linger(&mut self, limit: Option<Duration>) -> Result<(), String> {
        self.lingers = limit.is_some();
        sockopt::set_socket_linger(&self.fd, limit).map_err(explain("SO_LINGER"))
    }

    pub(super) fn close(self) {
        if self.lingers {
            // This may take as long as it lingers, also where nothing else waits.
            std::thread::spawn(move || drop(self));
        }
    }

    /// The network's last report that did not end the connection. The kernel tells it once.
    pub(super) fn check_soft_error(
        &mut self,
        wanted: Option<IcmpKind>,
        v6: bool,
    ) -> Result<(), String> {
        self.look_for_error()?;
        if let Some(errno) = self.error {
            return Err(format!("the connection failed by {errno}"));
        }
        let is = sockopt::socket_error(&self.fd).map_err(explain("SO_ERROR"))?;
        let wanted = match wanted {
            Some(kind) => Some(errno_of(kind, v6)?),
            None => None,
        };
        if is.err() == wanted {
            Ok(())
        } else {
            Err(format!("the kernel reports {is:?}"))
        }
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
            Check::Writable(wanted) => match self.is_writable()? {
                is if is == wanted => Ok(()),
                true => Err("there is room to write".to_owned()),
                false => Err("there is no room to write".to_owned()),
            },
            Check::State(_) | Check::NothingToAccept | Check::SoftError(_) | Check::Info(..) => {
                Err("this is no question to it".to_owned())
            }
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

    fn is_writable(&self) -> Result<bool, String> {
        let mut fds = [PollFd::from_borrowed_fd(self.fd.as_fd(), PollFlags::OUT)];
        poll(&mut fds, Some(&Timespec::default())).map_err(explain("poll"))?;
        Ok(fds.iter().any(|fd| fd.revents().contains(PollFlags::OUT)))
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

/// The kernel's name for an ICMP error.
fn errno_of(kind: IcmpKind, v6: bool) -> Result<Errno, String> {
    Ok(match kind {
        IcmpKind::NetUnreachable => Errno::NETUNREACH,
        IcmpKind::HostUnreachable | IcmpKind::TimeExceeded => Errno::HOSTUNREACH,
        IcmpKind::ProtocolUnreachable if v6 => Errno::PROTO,
        IcmpKind::ProtocolUnreachable => Errno::NOPROTOOPT,
        IcmpKind::PortUnreachable => Errno::CONNREFUSED,
        IcmpKind::Prohibited if v6 => Errno::ACCESS,
        IcmpKind::Prohibited => Errno::HOSTUNREACH,
        IcmpKind::TooBig(_) | IcmpKind::SourceQuench => {
            return Err("nobody is told of this".to_owned());
        }
    })
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
