//! This machine's Linux under test: sockets and a TUN device in a namespace of their own.

mod info;
mod namespace;
mod socket;

use crate::run::{Difference, Peer, run};
use crate::script::{Call, Check, Script, Settings};
use crate::subject::{LISTENING, Subject, addresses};
use crate::suite::Exchange;
use byway_tcp::State;
use byway_wire::{Address, Endpoint};
use namespace::{DEVICE, Namespace};
use rustix::fd::OwnedFd;
use smoltcp::phy::{self, Device, Medium, RxToken, TunTapInterface, TxToken};
use socket::Socket;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// The peer's numbers: they wrap early in the exchange.
const START: u32 = 0xffff_ff00;
/// How late on a busy machine something may be that takes no time; less than a delayed ACK waits.
const AT_ONCE: Duration = Duration::from_millis(35);
/// How often the application looks whether something has changed.
const LOOK: Duration = Duration::from_millis(1);

/// Carries a script out, in a namespace that is removed afterwards.
pub(crate) fn carry_out(script: &Script) -> Exchange {
    let failed = |what: String| {
        Box::new(Difference {
            place: format!("{}:1", script.file),
            statement: "the set-up".to_owned(),
            what,
            exchange: Vec::new(),
        })
    };
    let namespace = Namespace::new().map_err(failed)?;
    let result = namespace.run(|| {
        let mut linux = Linux::new(&script.settings).map_err(failed)?;
        let peer = Peer {
            isn: script.peer_isn.unwrap_or(START),
            clock: START,
        };
        run(script, &mut linux, peer).map_err(Box::new)
    });
    let (exchange, _) = result.map_err(failed)??;
    Ok(exchange)
}

/// The kernel's TCP, with an application that uses its sockets.
struct Linux {
    start: Instant,
    device: TunTapInterface,
    settings: Settings,
    listener: Option<OwnedFd>,
    current: Option<Socket>,
    sent: VecDeque<(Duration, Vec<u8>)>,
}

impl Linux {
    fn new(settings: &Settings) -> Result<Self, String> {
        namespace::make_device(settings)?;
        let device = TunTapInterface::new(DEVICE, Medium::Ip);
        let device = device.map_err(|why| format!("TUN device: {why}"))?;
        namespace::set_up(settings)?;
        Ok(Self {
            start: Instant::now(),
            device,
            settings: settings.clone(),
            listener: None,
            current: None,
            sent: VecDeque::new(),
        })
    }

    /// Takes what is there, and waits at most so long for it.
    fn receive(&mut self, wait: Duration) {
        if !wait.is_zero() {
            let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
            let wait = smoltcp::time::Duration::from_micros(micros.max(1));
            // A signal may end it early: whoever waits looks at the time again.
            phy::wait(self.device.as_raw_fd(), Some(wait)).ok();
        }
        // The device does nothing with the time that it is told.
        while let Some((packet, _)) = self.device.receive(smoltcp::time::Instant::ZERO) {
            let packet = packet.consume(<[u8]>::to_vec);
            self.sent.push_back((self.start.elapsed(), packet));
        }
    }

    fn current(&mut self) -> Result<&mut Socket, String> {
        self.current
            .as_mut()
            .ok_or_else(|| "there is no connection: accept or connect first".to_owned())
    }

    fn accept(&mut self) -> Result<(), String> {
        let listener = self.listener.as_ref().ok_or("nobody listens")?;
        let end = Instant::now() + AT_ONCE;
        loop {
            match Socket::accept(listener, &self.settings)? {
                Some(socket) => {
                    self.current = Some(socket);
                    return Ok(());
                }
                None if Instant::now() > end => {
                    return Err("no connection waits to be accepted".to_owned());
                }
                None => std::thread::sleep(LOOK),
            }
        }
    }

    fn check_state(&self, wanted: State, peer: u16) -> Result<(), String> {
        let state = namespace::state(self.settings.v6, peer)?;
        if state == wanted {
            Ok(())
        } else {
            Err(format!("the state is {}", state.name()))
        }
    }
}

impl Subject for Linux {
    fn now(&mut self) -> Duration {
        self.start.elapsed()
    }

    fn inject(&mut self, packet: &[u8]) -> Result<(), String> {
        let token = self.device.transmit(smoltcp::time::Instant::ZERO);
        let token = token.ok_or("the TUN device takes no packet")?;
        token.consume(packet.len(), |octets| octets.copy_from_slice(packet));
        Ok(())
    }

    fn next(&mut self, until: Duration) -> Option<(Duration, Vec<u8>)> {
        loop {
            if let Some(socket) = &mut self.current {
                socket.drain();
            }
            if let Some(sent) = self.sent.pop_front() {
                return Some(sent);
            }
            let left = until.saturating_sub(self.start.elapsed());
            let reads = self.current.as_ref().is_some_and(|socket| socket.always);
            // A reader must look at its socket, too.
            self.receive(if reads { left.min(LOOK) } else { left });
            if self.sent.is_empty() && left.is_zero() {
                return None;
            }
        }
    }

    fn call(&mut self, call: Call, peer: u16) -> Result<(), String> {
        match call {
            Call::Listen => {
                let at = socket_address(addresses(self.settings.v6).0, LISTENING);
                self.listener = Some(socket::listen(at, &self.settings)?);
                Ok(())
            }
            Call::Connect => {
                let to = socket_address(addresses(self.settings.v6).1, peer);
                self.current = Some(Socket::connect(to, &self.settings)?);
                Ok(())
            }
            Call::Accept => self.accept(),
            Call::Write { octets, taken } => self.current()?.write(octets, taken),
            Call::WriteUrgent(octets) => self.current()?.write_urgent(octets),
            Call::Read(octets) => self.current()?.read(octets, AT_ONCE),
            Call::ReadAlways => {
                self.current()?.always = true;
                Ok(())
            }
            Call::Shutdown => self.current()?.shutdown(),
            Call::Close => {
                self.current()?;
                if let Some(socket) = self.current.take() {
                    socket.close();
                }
                Ok(())
            }
            Call::Abort => {
                self.current()?.abort()?;
                self.current = None;
                Ok(())
            }
            Call::Nagle(on) => self.current()?.set_nagle(on),
            Call::Cork(on) => self.current()?.set_cork(on),
            Call::KeepAlive(on) => {
                let times = self.settings.keep_alive;
                self.current()?.set_keep_alive(on, times)
            }
            Call::Linger(limit) => self.current()?.set_linger(limit),
        }
    }

    fn check(&mut self, check: Check, peer: u16) -> Result<(), String> {
        self.receive(Duration::ZERO);
        match check {
            Check::State(wanted) => self.check_state(wanted, peer),
            Check::NothingToAccept => match &self.listener {
                Some(listener) if Socket::accept(listener, &self.settings)?.is_some() => {
                    Err("a connection waits to be accepted".to_owned())
                }
                _ => Ok(()),
            },
            Check::Info(figure, least, most) => {
                figure.compare(info::figure(peer, figure)?, least, most)
            }
            Check::SoftError(wanted) => {
                let v6 = self.settings.v6;
                self.current()?.check_soft_error(wanted, v6)
            }
            check => self.current()?.check(check),
        }
    }

    fn step(&mut self, until: Duration) {
        let left = until.saturating_sub(self.start.elapsed());
        self.receive(left.min(LOOK));
    }

    fn tolerance(&self, time: Duration) -> (Duration, Duration) {
        if time.is_zero() {
            return (Duration::ZERO, AT_ONCE);
        }
        let early = time / 10 + Duration::from_millis(5);
        (early, time / 5 + Duration::from_millis(30))
    }
}

fn socket_address(address: Address, port: u16) -> SocketAddr {
    let Endpoint { address, port } = Endpoint::new(address, port);
    let ip = match address.as_v4() {
        Some(octets) => IpAddr::from(octets),
        None => IpAddr::from(*address.octets()),
    };
    SocketAddr::new(ip, port)
}
