//! `byway bench` and `byway demo`: measurements.

pub(crate) use byway_bench::demo::DemoArgs;
pub(crate) use byway_bench::generator::GenerateArgs;
pub(crate) use byway_bench::target::linux::ServerLinuxArgs;
pub(crate) use byway_bench::target::reflector::ServerReflectorArgs;

use crate::failure::Failure;
use crate::signals;
use byway_bench::goodput::GoodputArgs;
use byway_bench::rr::{CrrArgs, RrArgs};
use byway_bench::{demo, generator, goodput, rr, target};
use clap::{Args, Subcommand};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Measure Linux and Byway, side by side
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Clone, Debug, Subcommand)]
enum Scenario {
    /// Request and response, closed loop: each connection sends when its answer is there
    #[command(after_help = RR_EXAMPLES)]
    Rr(Box<RrArgs>),
    /// Connect, request, response, close, again and again: the client closes first
    #[command(after_help = CRR_EXAMPLES)]
    Crr(Box<CrrArgs>),
    /// Goodput over paths that lose, delay, reorder and queue, as a sender and as a receiver
    #[command(after_help = GOODPUT_EXAMPLES)]
    Goodput(Box<GoodputArgs>),
}

const RR_EXAMPLES: &str = "\
Examples:
  byway bench rr                                        in a lab of its own
  byway bench rr --connections 1,100,1000 --rounds 9 --html report.html --json result.json
  byway bench rr --generator lean --target linux,byway,reflector
                                                        and how much the path allows
  byway bench rr --address 10.0.0.1:7 --interface eth0  against a server that runs already";

const CRR_EXAMPLES: &str = "\
Examples:
  byway bench crr                                       in a lab of its own
  byway bench crr --target linux,byway,reflector        and how much the path allows
  byway bench crr --address 10.0.0.1:7 --interface eth0 --sources 198.18.0.1/254";

const GOODPUT_EXAMPLES: &str = "\
Examples:
  byway bench goodput --list                            the paths, and how long it takes
  byway bench goodput --quick                           a first impression
  byway bench goodput --json goodput.json               the whole table
  byway bench goodput --cells loss1,narrow --end sender --runs 3 --pcap captures";

/// `byway bench`.
pub(crate) fn bench(args: &BenchArgs) -> Result<(), Failure> {
    match &args.scenario {
        Scenario::Rr(args) => rr::execute(args, &*stop()?).map(drop)?,
        Scenario::Crr(args) => rr::execute_crr(args, &*stop()?).map(drop)?,
        Scenario::Goodput(args) => goodput::execute(args, &*stop()?)?,
    }
    Ok(())
}

/// `byway demo`.
pub(crate) fn demo(args: &DemoArgs) -> Result<(), Failure> {
    demo::run(args, &*stop()?)?;
    Ok(())
}

/// `byway bench-server-linux`, a child of `byway bench`.
pub(crate) fn server_linux(args: &ServerLinuxArgs) -> Result<(), Failure> {
    Ok(target::linux::serve(args, &*stop()?)?)
}

/// `byway bench-server-reflector`, a child of `byway bench`.
pub(crate) fn server_reflector(args: &ServerReflectorArgs) -> Result<(), Failure> {
    Ok(target::reflector::serve(args, &*stop()?)?)
}

/// `byway bench-generate`, a child of `byway bench`.
pub(crate) fn generate(args: &GenerateArgs) -> Result<(), Failure> {
    Ok(generator::print(args)?)
}

fn stop() -> Result<Arc<AtomicBool>, Failure> {
    signals::watch().map_err(|error| Failure::failed(format!("signals: {error}"), ""))
}
