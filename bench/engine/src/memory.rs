//! What idle connections take: made by handshakes, used once, then measured all in.

use crate::bed::{Bed, Setup};
use crate::frames::MSS;
use crate::meter::Meter;
use crate::peer::Peer;
use crate::port::{BenchPort, CHUNKS};
use crate::sample::{Effort, Sample, measure};
use crate::scenario::{Requests, Scenario, Segments, Terms};
use crate::services::{Echo, Sink};
use std::time::Instant;

/// So many connections are there "when it is full".
pub(crate) const MILLION: usize = 1_000_000;
const MIB: f64 = 1024.0 * 1024.0;

/// What the process has in memory, in octets.
///
/// # Errors
/// When the kernel does not say.
fn resident() -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| "/proc/self/status has no VmRSS".to_owned())
}

/// A million connections.
#[derive(Debug)]
pub(crate) struct Million {
    /// Octets a connection.
    pub(crate) memory: Sample,
    /// Nanoseconds for a segment and its acknowledgment, 32 connections a turn in random order.
    pub(crate) segment: Sample,
}

/// Opens a million connections, uses each once, and then all of them in random order.
///
/// # Errors
/// What went wrong.
pub(crate) fn million(terms: Terms, effort: Effort) -> Result<Million, String> {
    let setup = terms.setup(MILLION, 32, 64);
    let (peer, port) = outside(&setup);
    let before = resident()?;
    let mut scenario = Segments::on(Bed::with(&setup, Box::new(Sink), peer, port), 1);
    scenario.send_rounds(MILLION);
    let memory = (resident()? - before) as f64 / MILLION as f64;
    let segment = measure(effort, &mut [&mut scenario])?;
    Ok(Million {
        memory: Sample::of(memory),
        segment: segment.into_iter().next().unwrap_or_default(),
    })
}

/// What is not the server's, touched so that it does not count as what comes later.
fn outside(setup: &Setup) -> (Peer, BenchPort) {
    let (mut peer, mut port) = (
        Peer::new(setup.clients, setup.dialect),
        BenchPort::new(setup.per_turn),
    );
    peer.renew();
    // Its lists have their full size once each frame was sent.
    port.cycle(CHUNKS);
    (peer, port)
}

/// Ten million connections.
#[derive(Debug)]
pub(crate) struct TenMillion {
    /// Seconds for the handshakes, the clients' part included.
    pub(crate) seconds: f64,
    /// GiB in memory, of the whole process.
    pub(crate) process: f64,
    /// Octets a connection.
    pub(crate) memory: f64,
    /// Nanoseconds a request, its response and the ACK of that, 32 connections a turn in random order.
    pub(crate) request: Sample,
}

/// Opens so many connections and sends requests on random ones.
///
/// # Errors
/// What went wrong.
pub(crate) fn many(terms: Terms, effort: Effort, connections: usize) -> Result<TenMillion, String> {
    let setup = terms.setup(connections, 32, MSS);
    let (peer, port) = outside(&setup);
    let before = resident()?;
    let start = Instant::now();
    let mut bed = Bed::with(&setup, Box::new(Echo), peer, port);
    bed.establish();
    let seconds = start.elapsed().as_secs_f64();
    if bed.shard.connections() as usize != connections {
        return Err(format!("{} connections are open", bed.shard.connections()));
    }
    let memory = (resident()? - before) as f64 / connections as f64;
    let mut scenario = Requests::on_open(bed, true);
    let request = measure(effort, &mut [&mut scenario])?;
    scenario.check()?;
    Ok(TenMillion {
        seconds,
        process: resident()? as f64 / MIB / 1024.0,
        memory,
        request: request.into_iter().next().unwrap_or_default(),
    })
}

impl Segments {
    /// A segment on each of so many connections, outside of any measurement.
    fn send_rounds(&mut self, segments: usize) {
        let burst = 2000;
        for _ in 0..segments / burst {
            self.send(&mut Meter::idle(), burst);
        }
    }
}
