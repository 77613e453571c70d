//! `byway serve`: one of the services that ship with Byway, on an interface.

use crate::failure::Failure;
use crate::privileges;
use crate::settings::{self, Settings};
use crate::signals;
use byway::{Engine, EngineBuilder, Mode, Notice, Report, Service, Summary};
use byway_services::{Chargen, Discard, Echo, Http, Tally};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Run a service on an interface, until SIGINT or SIGTERM
///
/// Prints one line on standard output once connections are accepted: `ready`, then the service,
/// where it listens, the interface, the mode in use and the process id. Everything else goes to
/// standard error. The first SIGINT or SIGTERM closes all connections gracefully and ends with
/// exit code 0; the second ends at once.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = format!("{EXAMPLES}\n{}", Settings::help()))]
pub(crate) struct ServeArgs {
    /// What to serve
    #[arg(value_enum)]
    service: Kind,

    /// Network interface to run on, in this network namespace
    #[arg(long, short, value_name = "IF")]
    interface: String,

    /// Where to accept connections; repeat it for more. 0.0.0.0 and [::] stand for all addresses
    /// of the interface in their family [default: every address, at the service's own port: echo
    /// 7, discard 9, chargen 19, http 80]
    #[arg(long, short, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,

    /// How frames get from the driver to the engine: auto, zerocopy, native or generic. Only auto
    /// falls back, and says so
    #[arg(long, value_name = "MODE", default_value = "auto")]
    mode: Mode,

    /// CPU to run on [default: the scheduler chooses]
    #[arg(long, value_name = "N")]
    cpus: Option<usize>,

    /// Receive queues to serve: 0, or 0-3 [default: all]
    #[arg(long, value_name = "QUEUES", value_parser = queues)]
    queues: Option<RangeInclusive<u32>>,

    /// Frames that may be in flight in each direction: no fewer than connections that send at the
    /// same moment
    #[arg(long, value_name = "N", default_value_t = 8192,
          value_parser = clap::value_parser!(u32).range(64..=1 << 20))]
    in_flight: u32,

    /// Parameters of TCP; the long help lists them
    #[arg(long, value_name = "KEY=VALUE,...", value_delimiter = ',')]
    set: Vec<String>,

    /// How long to turn without work before sleeping: 0, 50us, 1ms, 10s
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = up_to_an_hour)]
    spin: Duration,

    /// How long to wait for peers at the end, before what is left is reset: 0, 500ms, 3s
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = up_to_an_hour)]
    linger: Duration,

    /// Accept segments whose checksum the other end of a virtual link left unfilled. Never where
    /// there is a cable
    #[arg(long)]
    trust_unfilled_checksums: bool,

    /// Keep the capabilities that set-up needed
    #[arg(long)]
    keep_privileges: bool,

    /// Print the ready line and the counters at the end as JSON, one line each
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  byway serve echo --interface eth0
  byway serve http --interface eth0 --listen 10.0.0.1:80 --listen [fd00::1]:80 --cpus 1
  byway serve chargen -i eth0 --mode generic --set snd_buf=1M,initial_window=20
  byway serve http -i eth0 --set cc=reno,keep_alive=on,dscp=46,ttl=32,syn_cookies=off

  byway lab up
  ip netns exec byway-server byway serve echo --interface eth0 &
  ip netns exec byway-client nc 10.77.0.2 7
";

/// What can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Send back what comes (RFC 862)
    Echo,
    /// Throw away what comes (RFC 863)
    Discard,
    /// Send a pattern until the peer closes (RFC 864)
    Chargen,
    /// Answer GET / and GET /bytes/N, for load tests
    Http,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Chargen => "chargen",
            Self::Http => "http",
        }
    }

    /// The port that IANA gave it.
    fn port(self) -> u16 {
        match self {
            Self::Echo => 7,
            Self::Discard => 9,
            Self::Chargen => 19,
            Self::Http => 80,
        }
    }
}

fn queues(text: &str) -> Result<RangeInclusive<u32>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => Err("a queue or a range of queues, such as 0 or 0-3".to_owned()),
    }
}

fn up_to_an_hour(text: &str) -> Result<Duration, String> {
    settings::time(text, 0, 3_600_000).ok_or_else(|| "a time such as 0, 50us, 1ms, 3s".to_owned())
}

/// Runs the command.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let settings = Settings::read(&args.set).map_err(|cause| {
        Failure::usage(
            format!("--set: {cause}"),
            format!("the settings are {}", Settings::names()),
        )
    })?;
    let stop =
        signals::watch().map_err(|error| Failure::failed(format!("signals: {error}"), ""))?;

    let tally = Tally::default();
    let builder = Engine::builder()
        .interface(&args.interface)
        .mode(args.mode)
        .in_flight(args.in_flight)
        .tcp(settings.tcp)
        .limits(settings.limits)
        // For what belongs to no connection of the listener: resets to strangers.
        .dscp(settings.options.dscp.unwrap_or_default())
        .hop_limit(settings.options.hop_limit.unwrap_or(64))
        .spin(args.spin)
        .linger(args.linger)
        .trust_unfilled_checksums(args.trust_unfilled_checksums)
        // Nothing that is served here opens connections: take no port for them.
        .ephemeral_ports(None)
        .on_notice(|notice: &Notice| eprintln!("byway: {notice}"));
    let builder = match args.cpus {
        Some(cpu) => builder.cpu(cpu),
        None => builder,
    };
    let builder = match &args.queues {
        Some(queues) => builder.queues(queues.clone()),
        None => builder,
    };
    let engine = match args.service {
        Kind::Echo => listen(builder, args, Echo::new(tally.clone())),
        Kind::Discard => listen(builder, args, Discard::new(tally.clone())),
        Kind::Chargen => listen(builder, args, Chargen::new(tally.clone())),
        Kind::Http => listen(builder, args, Http::new(tally.clone())),
    }
    .connection_options(settings.options)
    .build()?;
    if !args.keep_privileges {
        privileges::drop_all().map_err(|error| {
            Failure::failed(format!("privileges: {error}"), "--keep-privileges")
        })?;
    }
    let ready = Ready::new(args.service, engine.report());
    ready
        .print(args.json)
        .map_err(|error| Failure::failed(format!("output: {error}"), ""))?;
    let summary = engine.run(&stop)?;
    Outcome::new(&summary, &tally).print(args.json);
    Ok(())
}

fn listen<S: Service + Send + 'static>(
    builder: EngineBuilder,
    args: &ServeArgs,
    service: S,
) -> EngineBuilder {
    if args.listen.is_empty() {
        builder.listen_everywhere(args.service.port(), service)
    } else {
        builder.listen_each(args.listen.iter().copied(), service)
    }
}

/// The line that says that connections are accepted.
#[derive(Serialize)]
struct Ready<'a> {
    event: &'static str,
    service: &'static str,
    listen: &'a [SocketAddr],
    interface: &'a str,
    mode: &'static str,
    queues: [u32; 2],
    mtu: u32,
    pid: u32,
}

impl<'a> Ready<'a> {
    fn new(kind: Kind, report: &'a Report) -> Self {
        Self {
            event: "ready",
            service: kind.name(),
            listen: &report.listening,
            interface: &report.interface,
            mode: report.mode.name(),
            queues: [*report.queues.start(), *report.queues.end()],
            mtu: report.mtu,
            pid: std::process::id(),
        }
    }

    fn print(&self, json: bool) -> io::Result<()> {
        let line = if json {
            serde_json::to_string(self)?
        } else {
            self.to_line()
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }

    fn to_line(&self) -> String {
        let listen: Vec<String> = self.listen.iter().map(SocketAddr::to_string).collect();
        format!(
            "ready {} listen={} interface={} mode={} pid={}",
            self.service,
            listen.join(","),
            self.interface,
            self.mode,
            self.pid
        )
    }
}

/// What there was, at the end.
#[derive(Serialize)]
struct Outcome {
    event: &'static str,
    seconds: f64,
    connections: u64,
    octets_received: u64,
    octets_sent: u64,
    requests: u64,
    segments_in: u64,
    segments_out: u64,
    retransmitted: u64,
    /// Every counter that is not zero.
    counters: serde_json::Map<String, serde_json::Value>,
    steering: serde_json::Map<String, serde_json::Value>,
}

impl Outcome {
    fn new(summary: &Summary, tally: &Tally) -> Self {
        Self {
            event: "stopped",
            seconds: summary.elapsed.as_secs_f64(),
            connections: tally.connections(),
            octets_received: tally.received(),
            octets_sent: tally.sent(),
            requests: tally.requests(),
            segments_in: summary.get("TcpInSegs"),
            segments_out: summary.get("TcpOutSegs"),
            retransmitted: summary.get("TcpRetransSegs"),
            counters: not_zero(&summary.counters),
            steering: not_zero(&summary.steering),
        }
    }

    fn print(&self, json: bool) {
        if json {
            match serde_json::to_string(self) {
                Ok(line) => eprintln!("{line}"),
                Err(error) => eprintln!("byway: {error}"),
            }
            return;
        }
        eprintln!(
            "byway: {:.1} s, {} connections, {} octets in, {} out; {} segments in, {} out, {} \
             retransmitted",
            self.seconds,
            self.connections,
            self.octets_received,
            self.octets_sent,
            self.segments_in,
            self.segments_out,
            self.retransmitted,
        );
        let all: Vec<String> = self
            .counters
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        eprintln!("byway: {}", all.join(", "));
    }
}

fn not_zero(counters: &[(&'static str, u64)]) -> serde_json::Map<String, serde_json::Value> {
    let counted = counters.iter().filter(|(_, value)| *value != 0);
    counted
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_one_or_a_range() {
        assert_eq!(queues("2"), Ok(2..=2));
        assert_eq!(queues("0-3"), Ok(0..=3));
        for text in ["", "3-0", "-1", "0-", "a"] {
            assert!(queues(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_ready_line_is_one_line() {
        let listen = [
            "10.0.0.1:7".parse().unwrap(),
            "[fd00::1]:7".parse().unwrap(),
        ];
        let ready = Ready {
            event: "ready",
            service: "echo",
            listen: &listen,
            interface: "eth0",
            mode: "native",
            queues: [0, 0],
            mtu: 1500,
            pid: 7,
        };
        assert_eq!(
            ready.to_line(),
            "ready echo listen=10.0.0.1:7,[fd00::1]:7 interface=eth0 mode=native pid=7"
        );
    }
}
