//! `byway bench rr` and `byway bench crr`: request and response, on connections that stay or on one
//! after another; closed loop or, on those that stay, open.

use crate::bed::Bed;
use crate::error::BenchError;
use crate::gate::LimitArgs;
use crate::generator::Sources;
use crate::load::{LoadArgs, Shape};
use crate::output::OutputArgs;
use crate::result::ResultFile;
use crate::runner::Runner;
use crate::scenario::{Cell, Generator, Scenario, Target, TargetWord, Wait};
use crate::segment;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What to measure, and how.
#[derive(Clone, Debug)]
pub struct RrOptions {
    /// What is done again and again. `crr` takes the lean generator.
    pub scenario: Scenario,
    /// This program, whose commands `serve`, `bench-server-linux` and `bench-generate` are started
    /// as children.
    pub executable: PathBuf,
    /// Who answers.
    pub targets: Vec<Target>,
    /// Who asks, and with how many connections.
    pub loads: Vec<(Generator, u32)>,
    /// Octets of a request and of its response, 1 to 65536.
    pub size: u32,
    /// Time before each measured interval.
    pub warmup: Duration,
    /// Each measured interval.
    pub duration: Duration,
    /// How often each combination is measured.
    pub rounds: u32,
    /// How long to wait, in all, for other programs to be quiet, and to measure anew what they
    /// disturbed.
    pub patience: Duration,
    /// How the kernel generator waits.
    pub wait: Wait,
    /// XDP mode of Byway, on both sides: `auto`, `zerocopy`, `native` or `generic`.
    pub mode: String,
    /// A server that runs already; without it, a lab is made and removed.
    pub address: Option<SocketAddr>,
    /// The interface towards `address`, for the AF_XDP generator.
    pub interface: Option<String>,
    /// Where connections to `address` come from, when it is not the interface's own address.
    pub sources: Option<Sources>,
    /// When connections ask. Anything but one request at a time is for `rr`.
    pub shape: Shape,
}

/// Arguments of `byway bench rr`.
#[derive(Clone, Debug, clap::Args)]
pub struct RrArgs {
    /// Connections; each has one outstanding request, unless --pipeline or --rate says otherwise
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,100",
          value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub connections: Vec<u32>,
    /// Who asks: lean (a small TCP over AF_XDP, which asks for the most), byway (Byway itself as a
    /// client), or kernel (sockets)
    #[arg(
        long,
        value_enum,
        value_name = "G,...",
        value_delimiter = ',',
        default_value = "byway"
    )]
    pub generator: Vec<Generator>,
    /// How the kernel generator waits for responses
    #[arg(long, value_enum, default_value = "blocking")]
    pub wait: Wait,
    /// When connections ask.
    #[command(flatten)]
    pub load: LoadArgs,
    /// What is the same in every scenario.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Arguments of `byway bench crr`. Its clients are those of the lean generator.
#[derive(Clone, Debug, clap::Args)]
pub struct CrrArgs {
    /// Connections at a time
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "100",
          value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub connections: Vec<u32>,
    /// Addresses that connections come from, which are routed to the interface and nobody else's:
    /// the first one, and how many in a row. The lab has its own
    #[arg(long, value_name = "ADDR/N", requires = "address")]
    pub sources: Option<Sources>,
    /// What is the same in every scenario.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// What every scenario takes.
#[derive(Clone, Debug, clap::Args)]
pub struct CommonArgs {
    /// Who answers: linux (both kinds), linux-blocking, linux-spinning, byway, reflector (no TCP:
    /// what the path allows; for the lean generator)
    #[arg(
        long,
        value_name = "T,...",
        value_delimiter = ',',
        default_value = "linux,byway",
        conflicts_with = "address"
    )]
    pub target: Vec<TargetWord>,
    /// Octets of a request and of its response
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub size: u32,
    /// Seconds of each measured interval
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    pub duration: f64,
    /// Seconds before each measured interval
    #[arg(long, value_name = "S", default_value_t = 0.5, value_parser = seconds)]
    pub warmup: f64,
    /// Rounds, interleaved over the targets; 3 at least for a comparison
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Seconds to spend, in all, on waiting until other programs are quiet and on measuring anew
    /// the rounds that they disturbed
    #[arg(long, value_name = "S", default_value_t = 0.0, value_parser = seconds)]
    pub patience: f64,
    /// XDP mode of both sides: auto, zerocopy, native or generic
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub mode: String,
    /// Measure an echo server that runs already, instead of a lab
    #[arg(long, value_name = "ADDR:PORT")]
    pub address: Option<SocketAddr>,
    /// Interface towards that address, for the AF_XDP generators
    #[arg(long, value_name = "IF", requires = "address")]
    pub interface: Option<String>,
    /// Where results go.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What they are held to.
    #[command(flatten)]
    pub limits: LimitArgs,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=3600.0).contains(&value) => Ok(value),
        _ => Err("a number of seconds from 0 to 3600".to_owned()),
    }
}

impl RrArgs {
    /// The options that the arguments ask for; `executable` is this program.
    pub fn options(&self, executable: PathBuf) -> RrOptions {
        RrOptions {
            wait: self.wait,
            shape: self.load.shape(),
            ..self
                .common
                .options(executable, &self.generator, &self.connections)
        }
    }
}

impl CrrArgs {
    /// The options that the arguments ask for; `executable` is this program.
    pub fn options(&self, executable: PathBuf) -> RrOptions {
        RrOptions {
            scenario: Scenario::Crr,
            sources: self.sources,
            ..self
                .common
                .options(executable, &[Generator::Lean], &self.connections)
        }
    }
}

impl CommonArgs {
    fn options(
        &self,
        executable: PathBuf,
        generators: &[Generator],
        connections: &[u32],
    ) -> RrOptions {
        let mut targets = Vec::new();
        for target in self.target.iter().flat_map(|word| &word.0) {
            if !targets.contains(target) {
                targets.push(*target);
            }
        }
        let mut loads = Vec::new();
        for load in generators
            .iter()
            .flat_map(|g| connections.iter().map(move |n| (*g, *n)))
        {
            if !loads.contains(&load) {
                loads.push(load);
            }
        }
        RrOptions {
            scenario: Scenario::Rr,
            executable,
            targets: if self.address.is_some() {
                vec![Target::Remote]
            } else {
                targets
            },
            loads,
            size: self.size,
            warmup: Duration::from_secs_f64(self.warmup),
            duration: Duration::from_secs_f64(self.duration),
            rounds: self.rounds,
            patience: Duration::from_secs_f64(self.patience),
            wait: Wait::Blocking,
            mode: self.mode.clone(),
            address: self.address,
            interface: self.interface.clone(),
            sources: None,
            shape: Shape::default(),
        }
    }
}

/// Measures. Progress goes to standard error; nothing is written elsewhere.
///
/// # Errors
/// When the lab cannot be made, or `stop` is set before there is anything to tell: a result without
/// all rounds is marked partial. A round that fails is part of the result.
pub fn run(options: &RrOptions, stop: &AtomicBool) -> Result<ResultFile, BenchError> {
    let bed = match options.address {
        Some(address) => Bed::Here {
            address,
            interface: options.interface.clone(),
            sources: options.sources,
        },
        None => Bed::lab(options.scenario)?,
    };
    Runner::new(options, bed, stop).run(&cells(options))
}

/// All combinations; what is compared stands together.
fn cells(options: &RrOptions) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (generator, connections) in &options.loads {
        for rate in options.shape.loops() {
            cells.extend(options.targets.iter().map(|target| Cell {
                generator: *generator,
                connections: *connections,
                rate,
                target: *target,
            }));
        }
    }
    cells
}

/// The whole command `bench rr`: measures, prints the table, writes the files that were asked for.
///
/// # Errors
/// As [`run`], when a file cannot be written, and, after all is written, when a run does not count
/// or a limit is broken.
pub fn execute(args: &RrArgs, stop: &AtomicBool) -> Result<ResultFile, BenchError> {
    execute_with(&args.options(this_program()?), &args.common, stop)
}

/// The whole command `bench crr`, as [`execute`] is that of `bench rr`.
///
/// # Errors
/// As [`execute`].
pub fn execute_crr(args: &CrrArgs, stop: &AtomicBool) -> Result<ResultFile, BenchError> {
    execute_with(&args.options(this_program()?), &args.common, stop)
}

fn execute_with(
    options: &RrOptions,
    args: &CommonArgs,
    stop: &AtomicBool,
) -> Result<ResultFile, BenchError> {
    check(options)?;
    args.output.check()?;
    let limits = args.limits.prepare(options)?;
    let file = run(options, stop)?;
    // Every one of these has its say before the first of them ends it.
    let written = args.output.write(&file, &mut std::io::stdout());
    let kept = limits.judge(&file, args.output.is_bare());
    written?;
    let file = file.checked()?;
    kept?;
    Ok(file)
}

/// Refuses what no round of could succeed, before a lab is made for it.
fn check(options: &RrOptions) -> Result<(), BenchError> {
    let usage = |text: &str| Err(BenchError::Usage(text.to_owned()));
    let generators = || options.loads.iter().map(|(generator, _)| *generator);
    let lean = generators().any(|generator| generator == Generator::Lean);
    let other = generators().any(|generator| generator != Generator::Lean);
    if options.targets.contains(&Target::Reflector) && other {
        return usage("the reflector answers the lean generator only: add --generator lean");
    }
    if lean && options.size > u32::from(segment::MSS) {
        return usage("a request of the lean generator is one segment: 1460 octets at most");
    }
    if options.scenario == Scenario::Crr && options.address.is_some() && options.sources.is_none() {
        return usage("connections to an address must come from many: add --sources ADDR/N");
    }
    if options.duration.is_zero() {
        return usage("in an interval of 0 s nothing can be measured: --duration is 2 by default");
    }
    options.shape.check(options.duration, lean)
}

/// The program that runs, to start as a child.
pub(crate) fn this_program() -> Result<PathBuf, BenchError> {
    std::env::current_exe().map_err(BenchError::io("finding this program"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RrArgs,
    }

    fn options(words: &[&str]) -> RrOptions {
        let line = std::iter::once(&"byway").chain(words);
        Line::try_parse_from(line)
            .unwrap()
            .args
            .options(PathBuf::from("byway"))
    }

    #[test]
    fn the_defaults_are_the_comparison_people_want() {
        let options = options(&[]);
        assert_eq!(
            options.targets,
            [Target::LinuxBlocking, Target::LinuxSpinning, Target::Byway]
        );
        assert_eq!(
            options.loads,
            [(Generator::Byway, 1), (Generator::Byway, 100)]
        );
        assert!(options.rounds as usize >= crate::stats::MIN_ROUNDS);
    }

    #[test]
    fn lists_are_taken_once_each() {
        let options = options(&[
            "--target",
            "byway,linux-blocking,linux",
            "--connections",
            "10,10",
            "--generator",
            "kernel,byway",
            "--duration",
            "0.25",
        ]);
        assert_eq!(
            options.targets,
            [Target::Byway, Target::LinuxBlocking, Target::LinuxSpinning]
        );
        assert_eq!(
            options.loads,
            [(Generator::Kernel, 10), (Generator::Byway, 10)]
        );
        assert_eq!(options.duration, Duration::from_millis(250));
    }

    #[test]
    fn an_address_is_the_only_target() {
        assert_eq!(
            options(&["--address", "10.0.0.1:7"]).targets,
            [Target::Remote]
        );
        let both = ["byway", "--address", "10.0.0.1:7", "--target", "linux"];
        assert!(Line::try_parse_from(both).is_err());
        assert!(Line::try_parse_from(["byway", "--duration", "-1"]).is_err());
        assert!(Line::try_parse_from(["byway", "--connections", "0"]).is_err());
    }

    #[test]
    fn what_cannot_work_is_refused_before_a_lab_is_made() {
        let refused = |words: &[&str]| {
            let error = check(&options(words)).err()?;
            Some((error.exit_code(), error.to_string()))
        };
        assert_eq!(refused(&[]), None);
        assert_eq!(
            refused(&["--generator", "lean", "--target", "reflector"]),
            None
        );
        for (words, said) in [
            (&["--target", "reflector"][..], "--generator lean"),
            (
                &["--target", "reflector", "--generator", "lean,kernel"],
                "--generator lean",
            ),
            (&["--generator", "lean", "--size", "1461"], "1460 octets"),
            (&["--duration", "0"], "--duration"),
            (&["--think", "1ms", "--rate", "1k"], "closed loop"),
            (&["--generator", "lean", "--pipeline", "4"], "kernel"),
        ] {
            let (code, text) = refused(words).expect("refused");
            assert_eq!(code, 2);
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn a_rate_makes_an_open_loop_and_a_sweep_several() {
        let rates = |words: &[&str]| -> Vec<Option<u64>> {
            let options = options(&[&["--connections", "8", "--target", "byway"], words].concat());
            cells(&options).iter().map(|cell| cell.rate).collect()
        };
        assert_eq!(rates(&[]), [None]);
        assert_eq!(rates(&["--rate", "50k"]), [Some(50_000)]);
        let sweep = rates(&["--sweep", "10k:30k:3"]);
        assert_eq!(sweep, [Some(10_000), Some(20_000), Some(30_000)]);
        for words in [
            &["--rate", "0"][..],
            &["--rate", "1k", "--sweep", "1k:2k:2"],
        ] {
            assert!(Line::try_parse_from([&["byway"], words].concat()).is_err());
        }
    }

    #[test]
    fn many_sources_are_what_crr_comes_from() {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            args: CrrArgs,
        }
        let options = |words: &[&str]| {
            let line = std::iter::once(&"byway").chain(words);
            Line::try_parse_from(line).map(|line| line.args.options(PathBuf::from("byway")))
        };
        let plain = options(&[]).unwrap();
        assert_eq!(plain.scenario, Scenario::Crr);
        assert_eq!(plain.loads, [(Generator::Lean, 100)]);
        assert!(check(&plain).is_ok());
        let address = ["--address", "10.0.0.1:7", "--interface", "eth0"];
        assert!(check(&options(&address).unwrap()).is_err());
        let with = [&address[..], &["--sources", "198.18.0.1/254"]].concat();
        assert!(check(&options(&with).unwrap()).is_ok());
        assert!(options(&["--sources", "198.18.0.1/254"]).is_err());
    }
}
