//! Load generators: closed loop or open, every response verified.
//!
//! ```text
//!   kernel, engine, lean   who asks: kernel sockets, Byway's TCP, a small TCP on AF_XDP
//!   pace, schedule         when which connection asks
//!   exchange               requests under way on a connection, for those that send a stream
//!   recorder               what is measured
//! ```

mod engine;
mod exchange;
mod kernel;
mod lean;
mod pace;
mod recorder;
mod schedule;
mod sources;

use crate::cpu::{self, CpuTime};
use crate::error::BenchError;
use crate::load::Arrivals;
use crate::scenario::{Generator, Scenario, Wait};
use serde::{Deserialize, Serialize};
pub use sources::Sources;
use std::net::SocketAddr;
use std::time::Duration;

/// Arguments of the child process that makes the load.
#[derive(Clone, Debug, clap::Args)]
pub struct GenerateArgs {
    /// What to do again and again
    #[arg(long, value_enum, default_value = "rr")]
    pub scenario: Scenario,
    /// Which sockets to use
    #[arg(long, value_enum)]
    pub generator: Generator,
    /// Where the server is
    #[arg(long, value_name = "ADDR:PORT")]
    pub target: SocketAddr,
    /// Addresses that connections come from, routed to us: the first one, and how many in a row
    #[arg(long, value_name = "ADDR/N")]
    pub sources: Option<Sources>,
    /// Connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// Octets of a request, and of its response
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub size: u32,
    /// Requests a second on all connections together: an open loop
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// When the requests of an open loop leave
    #[arg(long, value_enum, default_value = "poisson")]
    pub arrivals: Arrivals,
    /// What the times of an open loop are drawn from
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Microseconds between a response and the next request of a closed loop
    #[arg(long, value_name = "US", default_value_t = 0)]
    pub think_us: u64,
    /// Requests outstanding on a connection at most
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub pipeline: u32,
    /// Milliseconds before the measured interval
    #[arg(long, value_name = "MS", default_value_t = 500)]
    pub warmup_ms: u64,
    /// Milliseconds measured
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    pub duration_ms: u64,
    /// How the kernel generator waits for events
    #[arg(long, value_enum, default_value = "blocking")]
    pub wait: Wait,
    /// Processor to stay on
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,
    /// Process of the server, when it is on this machine
    #[arg(long, value_name = "PID", requires = "server_cpu")]
    pub server_pid: Option<u32>,
    /// Processor of the server
    #[arg(long, value_name = "N")]
    pub server_cpu: Option<usize>,
    /// Interface of the AF_XDP generator
    #[arg(long, value_name = "IF")]
    pub interface: Option<String>,
    /// XDP mode of the AF_XDP generator
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub mode: String,
}

impl GenerateArgs {
    /// Time before the measured interval.
    pub fn warmup(&self) -> Duration {
        Duration::from_millis(self.warmup_ms)
    }

    /// The measured interval.
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.duration_ms)
    }
}

/// What went wrong, by kind. Any of them makes a measurement invalid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// Connections that could not be opened.
    pub not_opened: u64,
    /// Connections that the server closed or reset while they were in use.
    pub closed: u64,
    /// Responses with other octets than the request.
    pub mismatched: u64,
    /// Connections without an answer to their last request for longer than a second at the end.
    pub stalled: u64,
}

impl Errors {
    /// All of them together.
    pub fn total(&self) -> u64 {
        self.not_opened + self.closed + self.mismatched + self.stalled
    }

    /// Counts those of another run as well.
    pub fn add(&mut self, other: &Self) {
        self.not_opened += other.not_opened;
        self.closed += other.closed;
        self.mismatched += other.mismatched;
        self.stalled += other.stalled;
    }

    /// The kinds that happened, in words.
    pub fn describe(&self) -> String {
        [
            (self.not_opened, "connections not opened"),
            (self.closed, "connections closed by the server"),
            (self.mismatched, "responses with wrong content"),
            (self.stalled, "connections stalled"),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, kind)| format!("{count} {kind}"))
        .collect::<Vec<_>>()
        .join(", ")
    }
}

/// One run of a generator, as its process prints it in one line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneratorReport {
    /// Requests that were sent and answered within the measured interval.
    pub requests: u64,
    /// Length of the measured interval.
    pub elapsed_ns: u64,
    /// What went wrong, at any time of the run.
    pub errors: Errors,
    /// Latencies in nanoseconds: a V2 deflate histogram in base64.
    pub histogram: String,
    /// What each processor of the machine did in the measured interval.
    pub cpus: Vec<CpuTime>,
    /// The share of the interval in which the generator had responses to handle, 0 to 1: near 1
    /// it is the generator, not the server, that is measured.
    pub work_share: f64,
    /// The share of the time of the processors of both sides that programs other than the server
    /// and the generator took, 0 to 1; `None` when the sides are not pinned.
    pub other_cpu_share: Option<f64>,
    /// Segments that the lean generator sent again because of a timer, in the whole run.
    #[serde(default)]
    pub resent: u64,
    /// Frames that the lean generator threw away, in the whole run: no segment, or a wrong checksum.
    #[serde(default)]
    pub malformed: u64,
    /// The XDP mode in use, for the AF_XDP generator.
    pub xdp_mode: Option<String>,
    /// What there is to know of an open loop; `None` for a closed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenReport>,
}

/// What a generator says of an open loop. `requests` and `elapsed_ns` of its report include the time
/// after the interval in which the last requests of it were waited for; `histogram` is of the requests
/// that were to leave within the interval, each from then on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenReport {
    /// Requests that were to leave within `elapsed_ns`.
    pub arrivals: u64,
    /// Those of them that never left, since too many waited for their connections.
    pub refused: u64,
    /// Requests of the interval without an answer in the end; they are in the histogram with the
    /// time that they had waited.
    pub unanswered: u64,
    /// Service times in nanoseconds, from when a request was sent: a V2 deflate histogram in base64.
    pub service_histogram: String,
    /// How many nanoseconds later than intended the generator looked at a request, in the same form.
    pub lag_histogram: String,
}

/// Makes the load and prints what was measured, in one line of JSON.
///
/// # Errors
/// As [`generate`].
pub fn print(args: &GenerateArgs) -> Result<(), BenchError> {
    let report = generate(args)?;
    println!(
        "{}",
        serde_json::to_string(&report).expect("all keys are strings")
    );
    Ok(())
}

/// Makes the load and returns what was measured.
///
/// # Errors
/// When the generator cannot be set up, or no connection could be opened.
pub fn generate(args: &GenerateArgs) -> Result<GeneratorReport, BenchError> {
    crate::child::die_with_parent();
    match args.generator {
        Generator::Kernel => {
            if let Some(cpu) = args.cpu {
                cpu::pin(cpu).map_err(BenchError::io(format!("pinning to processor {cpu}")))?;
            }
            crate::limits::raise_open_files();
            kernel::run(args)
        }
        // The engine pins its own thread.
        Generator::Byway => engine::run(args),
        Generator::Lean => lean::run(args),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Arguments with which nothing is pinned and everything is short.
    pub(crate) fn args() -> GenerateArgs {
        GenerateArgs {
            scenario: Scenario::Rr,
            generator: Generator::Kernel,
            sources: None,
            target: SocketAddr::from(([127, 0, 0, 1], 7)),
            connections: 1,
            size: 64,
            rate: None,
            arrivals: Arrivals::default(),
            seed: 1,
            think_us: 0,
            pipeline: 1,
            warmup_ms: 20,
            duration_ms: 100,
            wait: Wait::Blocking,
            cpu: None,
            server_pid: None,
            server_cpu: None,
            interface: None,
            mode: "auto".to_owned(),
        }
    }

    #[test]
    fn errors_are_told_by_kind() {
        let mut errors = Errors {
            closed: 2,
            ..Errors::default()
        };
        errors.add(&Errors {
            closed: 1,
            stalled: 4,
            ..Errors::default()
        });
        assert_eq!(errors.total(), 7);
        assert_eq!(
            errors.describe(),
            "3 connections closed by the server, 4 connections stalled"
        );
    }
}
