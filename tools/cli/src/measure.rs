//! `byway bench` and `byway demo`: measurements.

pub(crate) use byway_bench::demo::DemoArgs;
pub(crate) use byway_bench::generator::GenerateArgs;
pub(crate) use byway_bench::target::linux::ServerLinuxArgs;
pub(crate) use byway_bench::target::reflector::ServerReflectorArgs;

use crate::failure::Failure;
use crate::signals;
use byway_bench::compare::CompareArgs;
use byway_bench::goodput::GoodputArgs;
use byway_bench::rr::{CrrArgs, RrArgs};
use byway_bench::{compare, demo, generator, goodput, rr, target};
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
    /// Request and response: closed loop, or open at a rate
    #[command(after_help = RR_EXAMPLES)]
    Rr(Box<RrArgs>),
    /// Connect, request, response, close, again and again: the client closes first
    #[command(after_help = CRR_EXAMPLES)]
    Crr(Box<CrrArgs>),
    /// Goodput over paths that lose, delay, reorder and queue, as a sender and as a receiver
    #[command(after_help = GOODPUT_EXAMPLES)]
    Goodput(Box<GoodputArgs>),
    /// What changed from one result to another, and how sure that is
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare(CompareArgs),
}

const RR_EXAMPLES: &str = "\
Examples:
  byway bench rr                                        in a lab of its own
  byway bench rr --connections 1,100,1000 --rounds 9 --html report.html --json result.json
  byway bench rr --generator lean --target linux,byway,reflector
                                                        and how much the path allows
  byway bench rr --generator lean --connections 100 --rate 50k
                                                        open loop: latency at a rate
  byway bench rr --generator lean --connections 100 --sweep 50k:500k:10 --html report.html
                                                        and latency over throughput
  byway bench rr --address 10.0.0.1:7 --interface eth0  against a server that runs already
  byway bench rr --csv runs.csv --hgrm spectra --hlog rounds.hlog
                                                        for spreadsheets and HdrHistogram's tools
  byway bench rr --threshold 'byway:p99<250us' --threshold 'byway:rate>500k'
                                                        exit code 99 when one is broken
  byway bench rr --json new.json --baseline old.json --gate 'byway:rate:-5%'
                                                        and when it became slower than that";

const CRR_EXAMPLES: &str = "\
Examples:
  byway bench crr                                       in a lab of its own
  byway bench crr --target linux,byway,reflector        and how much the path allows
  byway bench crr --address 10.0.0.1:7 --interface eth0 --sources 198.18.0.1/254
  byway bench crr --target byway --threshold 'rate>100k'
                                                        exit code 99 when it is broken";

const GOODPUT_EXAMPLES: &str = "\
Examples:
  byway bench goodput --list                            the paths, and how long it takes
  byway bench goodput --quick                           a first impression
  byway bench goodput --json goodput.json               the whole table
  byway bench goodput --cells loss1,narrow --end sender --runs 3 --pcap captures";

const COMPARE_EXAMPLES: &str = "\
Runs that have scenario, target, generator, connections and XDP mode in common are compared. A
metric is better or worse where the 95 % interval of the ratio of the medians excludes 1.

Examples:
  byway bench rr --json old.json                        before the change
  byway bench rr --json new.json                        after it
  byway bench compare old.json new.json
  byway bench compare old.json new.json --gate 'byway:rate:-5%' --gate 'byway:p99:+10%'
  byway bench compare old.json new.json --json | jq '.deltas[] | select(.change == \"worse\")'

Exit codes: 0 compared, 1 a file cannot be read, 2 a file is no result, 4 no valid run is in both,
99 a gate is broken.";

/// `byway bench`.
pub(crate) fn bench(args: &BenchArgs) -> Result<(), Failure> {
    match &args.scenario {
        Scenario::Rr(args) => rr::execute(args, &*stop()?).map(drop)?,
        Scenario::Crr(args) => rr::execute_crr(args, &*stop()?).map(drop)?,
        Scenario::Goodput(args) => goodput::execute(args, &*stop()?)?,
        Scenario::Compare(args) => compare::execute(args)?,
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
