//! `byway wire`: the command line.

use crate::error::WireError;
use crate::impairment::{DEFAULT_QUEUE, Impairment, ReorderBy};
use crate::statistics::Summary;
use crate::units::{self, QueueLimit, Rate, Share};
use crate::wire::{Config, Wire};
use clap::{Args, ValueEnum};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Join two interfaces by a link that loses, delays, reorders, doubles and damages frames
///
/// Everything that arrives at one interface leaves by the other, and the other way round, until
/// SIGINT or SIGTERM. A frame first waits for the rate, then travels for the delay; what the queue
/// does not take and what gets lost does not arrive. Prints one line on standard output when
/// forwarding begins, `ready`, and statistics at the end: among them by how much frames left too
/// late, which tells whether the machine kept up.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct WireArgs {
    /// One interface, in this network namespace
    #[arg(value_name = "A")]
    a: String,

    /// The other interface
    #[arg(value_name = "B")]
    b: String,

    /// Share of frames that get lost
    #[arg(long, value_name = "PERCENT", default_value = "0%")]
    loss: Share,

    /// Frames that get lost in a row, on average [default: each on its own]
    #[arg(long, value_name = "FRAMES")]
    loss_burst: Option<f64>,

    /// How long a frame travels: 300us, 20ms, 1.5s
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = units::time)]
    delay: Duration,

    /// How far the delay strays to both sides; frames keep their order
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = units::time)]
    jitter: Duration,

    /// Share of frames that overtake the others: they have no delay
    #[arg(long, value_name = "PERCENT", default_value = "0%")]
    reorder: Share,

    /// Let reordered frames arrive later by this much instead
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    reorder_late: Option<Duration>,

    /// Share of frames that arrive twice
    #[arg(long, value_name = "PERCENT", default_value = "0%")]
    duplicate: Share,

    /// Share of IP packets that arrive with up to 15 wrong bits in a row
    #[arg(long, value_name = "PERCENT", default_value = "0%")]
    corrupt: Share,

    /// Bits per second, Ethernet headers counted: 500kbit, 10mbit, 1gbit [default: no limit]
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,

    /// What may wait for the rate: frames such as 100, or octets such as 64k
    #[arg(long, value_name = "LIMIT", default_value_t = DEFAULT_QUEUE)]
    queue: QueueLimit,

    /// Which frames all of this happens to; the others just pass
    #[arg(long, value_enum, default_value_t = Way::Both)]
    direction: Way,

    /// Repeats all decisions: the n-th frame has the same fate
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Write what passes A to this file, as pcap
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,

    /// Write what passes B to this file, as pcap
    #[arg(long, value_name = "FILE")]
    pcap_b: Option<PathBuf>,

    /// How long before a departure to watch the clock instead of sleeping: more is more punctual
    /// and takes more of a CPU
    #[arg(long, value_name = "TIME", default_value = SPIN, value_parser = units::time)]
    spin: Duration,

    /// Print the ready line and the statistics at the end as JSON, one line each
    #[arg(long)]
    json: bool,
}

const SPIN: &str = "50us";

const EXAMPLES: &str = "\
Examples:
  byway wire veth-a veth-b --delay 20ms --jitter 2ms --loss 1%
  byway wire veth-a veth-b --rate 10mbit --queue 64k --delay 10ms --pcap a.pcap
  byway wire veth-a veth-b --loss 2% --loss-burst 3 --direction a-to-b --seed 7

Between two hosts, in a lab of namespaces:
  byway lab up --wire
  ip netns exec byway-wire byway wire eth0 eth1 --delay 20ms &
  ip netns exec byway-client ping 10.77.0.2

The two interfaces themselves need no addresses and should have none. Offloads of their peers do
not matter: checksums are filled in and large packets are cut before anything happens to them.
";

/// Frames that are impaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// All
    Both,
    /// Those that arrive at A
    AToB,
    /// Those that arrive at B
    BToA,
}

impl WireArgs {
    /// The names of the interfaces, and what to do between them.
    fn config(&self) -> (&str, &str, Config) {
        let impairment = Impairment {
            rate: self.rate,
            queue: self.queue,
            delay: self.delay,
            jitter: self.jitter,
            loss: self.loss,
            loss_burst: self.loss_burst,
            reorder: self.reorder,
            reorder_by: self
                .reorder_late
                .map_or(ReorderBy::NoDelay, ReorderBy::Late),
            duplicate: self.duplicate,
            corrupt: self.corrupt,
        };
        let on = |ways: [Way; 2]| {
            if ways.contains(&self.direction) {
                impairment.clone()
            } else {
                Impairment::default()
            }
        };
        let config = Config {
            a_to_b: on([Way::Both, Way::AToB]),
            b_to_a: on([Way::Both, Way::BToA]),
            seed: self.seed,
            spin: self.spin,
            capture_a: self.pcap.clone(),
            capture_b: self.pcap_b.clone(),
        };
        (&self.a, &self.b, config)
    }
}

/// Runs `byway wire` until `stop` is set. Data goes to standard output, notices to standard error.
///
/// # Errors
/// Those of [`Wire::open`] and [`Wire::run`].
pub fn execute(args: &WireArgs, stop: &AtomicBool) -> Result<(), WireError> {
    let (a, b, config) = args.config();
    let mut wire = Wire::open(a, b, &config)?;
    wire.on_notice(|notice| eprintln!("notice: {notice}"));
    let pid = std::process::id();
    if args.json {
        let ready = serde_json::json!({ "event": "ready", "a": a, "b": b, "pid": pid });
        print_line(&ready.to_string())?;
    } else {
        print_line(&format!("ready wire a={a} b={b} pid={pid}"))?;
    }
    let summary = wire.run(stop)?;
    print_line(&shown(&summary, args.json))
}

fn shown(summary: &Summary, json: bool) -> String {
    if json {
        serde_json::to_string(summary).expect("plain data always serialises")
    } else {
        summary.to_string()
    }
}

/// At once: standard output may be a pipe, and somebody may wait for the line.
fn print_line(line: &str) -> Result<(), WireError> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.map_err(|error| WireError::failed("standard output", &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::DEFAULT_SPIN;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        wire: WireArgs,
    }

    fn parse(line: &str) -> Result<WireArgs, clap::Error> {
        let words = std::iter::once("wire").chain(line.split_whitespace());
        Alone::try_parse_from(words).map(|alone| alone.wire)
    }

    #[test]
    fn the_command_line_is_sound() {
        Alone::command().debug_assert();
        assert_eq!(units::time(SPIN), Ok(DEFAULT_SPIN));
    }

    #[test]
    fn every_option_arrives() {
        let args = parse(
            "a b --loss 1% --loss-burst 3 --delay 20ms --jitter 2ms --reorder 2% --reorder-late 5ms \
             --duplicate 0.5% --corrupt 0.1% --rate 10mbit --queue 64k --seed 7 --pcap x --pcap-b y \
             --direction b-to-a --spin 0 --json",
        )
        .unwrap();
        let (a, b, config) = args.config();
        assert_eq!((a, b, config.seed, args.json), ("a", "b", 7, true));
        assert_eq!(config.a_to_b, Impairment::default());
        let share = |percent: f64| Share::new(percent / 100.0).unwrap();
        let expected = Impairment {
            rate: Some("10mbit".parse().unwrap()),
            queue: QueueLimit::Octets(65_536),
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(2),
            loss: share(1.0),
            loss_burst: Some(3.0),
            reorder: share(2.0),
            reorder_by: ReorderBy::Late(Duration::from_millis(5)),
            duplicate: share(0.5),
            corrupt: share(0.1),
        };
        assert_eq!(config.b_to_a, expected);
        assert_eq!(config.capture_a, Some("x".into()));
        assert_eq!(config.capture_b, Some("y".into()));
        assert_eq!(config.spin, Duration::ZERO);
    }

    #[test]
    fn the_default_is_a_cable() {
        let args = parse("a b").unwrap();
        let (_, _, config) = args.config();
        assert_eq!(config.a_to_b, Impairment::default());
        assert_eq!(config.b_to_a, Impairment::default());
        assert_eq!(config.spin, DEFAULT_SPIN);
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for line in [
            "a",
            "a b --loss 1",
            "a b --delay 20",
            "a b --rate 10",
            "a b --queue x",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
