//! The lean generator: a TCP client over AF_XDP that does what a load needs and nothing else, so
//! that its processor can ask for more than a server's can answer.
//!
//! ```text
//!   client       the loop of turns: opening, asking, timers, closing
//!   connection   the TCP of one connection
//!   tuples       source addresses and ports
//!   neighbour    the Ethernet address of the next station
//! ```
//!
//! Against the engine as a generator: no options but the largest segment, no congestion control,
//! nothing kept that arrives out of order, requests of one segment.

mod client;
#[cfg(test)]
mod client_tests;
mod connection;
mod neighbour;
mod tuples;

use super::{GenerateArgs, GeneratorReport};
use crate::error::BenchError;
use crate::scenario::in_flight;
use crate::segment::{End, MSS};
use byway_stack::clock::{Clock, MonotonicClock};
use byway_xdp::{Mode, Steering, XdpConfig, XdpPort};
use client::{Client, Route};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use tuples::Tuples;

/// Opens the connections, runs warm-up and interval, closes.
///
/// # Errors
/// When the port cannot be set up, the server cannot be found, or what is asked for is beyond it.
pub(super) fn run(args: &GenerateArgs) -> Result<GeneratorReport, BenchError> {
    let usage = |text: &str| Err(BenchError::Usage(text.to_owned()));
    let Some(interface) = &args.interface else {
        return usage("the lean generator needs --interface");
    };
    let SocketAddr::V4(target) = args.target else {
        return usage("the lean generator speaks IPv4 only: take the generator byway");
    };
    if args.size > u32::from(MSS) {
        return usage("a request of the lean generator is one segment: 1460 octets at most");
    }
    let (first, addresses) = match args.sources {
        Some(sources) => (sources.first, sources.count),
        None => (local_address(target)?, 1),
    };
    if args.connections > Tuples::most(addresses) {
        return usage("more connections than the source addresses have ports");
    }
    let mut config = XdpConfig::new(interface.as_str());
    config.mode = args
        .mode
        .parse::<Mode>()
        .map_err(|error| BenchError::Usage(format!("--mode {}: {error}", args.mode)))?;
    let ring = in_flight(args.connections);
    (config.rx_ring, config.fill_ring, config.tx_ring) = (ring, ring, ring);
    config.frames = ring * 2;
    config.steering = Steering {
        ephemeral: Tuples::ports(),
        local: (0..addresses)
            .map(|index| IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() + index)))
            .collect(),
        ..Steering::default()
    };
    let next = neighbour::resolve(interface, *target.ip())?;
    let (mut port, opened) = XdpPort::open(&config).map_err(|error| setup(&error))?;
    if let Some(cpu) = args.cpu {
        crate::cpu::pin(cpu).map_err(BenchError::io(format!("pinning to processor {cpu}")))?;
    }
    let route = Route {
        stations: (opened.mac, next),
        server: End {
            address: target.ip().octets(),
            port: target.port(),
        },
        tuples: Tuples::new(first, addresses, args.connections),
    };
    let mut clock = MonotonicClock::new();
    let mut now = || clock.now().as_nanos();
    let mut client = Client::new(args, route, seed(), now());
    while client.turn(&mut port, now()) {}
    Ok(client.recorder.report(Some(opened.mode.to_string())))
}

fn setup(error: &byway_xdp::SetupError) -> BenchError {
    BenchError::Preflight {
        what: error.to_string(),
        hint: error.hint().to_owned(),
    }
}

/// The address that the kernel would take to go there.
fn local_address(target: SocketAddrV4) -> Result<Ipv4Addr, BenchError> {
    let found = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect(target).and_then(|()| socket.local_addr()))
        .map_err(BenchError::io(format!("finding the way to {target}")))?;
    match found.ip() {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(BenchError::Failed(
            "an IPv4 socket has an IPv6 address".to_owned(),
        )),
    }
}

/// Another number in each run.
fn seed() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default();
    since.as_nanos() as u64 ^ u64::from(std::process::id()) << 32
}
