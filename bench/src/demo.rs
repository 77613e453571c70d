//! `byway demo`: Linux and Byway next to each other, in less than three minutes.

use crate::error::BenchError;
use crate::load::Shape;
use crate::result::ResultFile;
use crate::rr::{self, RrOptions};
use crate::scenario::{Generator, Scenario, Target, Wait};
use crate::{output, report, table};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Arguments of `byway demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Where the report and the figures go
    #[arg(long, value_name = "DIR", default_value = "byway-demo")]
    pub out: PathBuf,
    /// Rounds, interleaved over the targets
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// XDP mode: auto, zerocopy, native or generic
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub mode: String,
}

/// Measures 1 and 100 connections, by both generators, against Linux (both ways of waiting) and
/// Byway; prints the table; writes `report.html`, `result.json` and the `.hgrm` files.
///
/// # Errors
/// When the lab cannot be made, `stop` is set, a file cannot be written, and, after all is written,
/// when a run does not count.
pub fn run(args: &DemoArgs, stop: &AtomicBool) -> Result<ResultFile, BenchError> {
    // First of all: a directory that cannot be written should not cost two minutes.
    output::make_directory(&args.out)?;
    let options = RrOptions {
        scenario: Scenario::Rr,
        executable: rr::this_program()?,
        targets: vec![Target::LinuxBlocking, Target::LinuxSpinning, Target::Byway],
        loads: vec![
            (Generator::Byway, 1),
            (Generator::Byway, 100),
            (Generator::Kernel, 1),
            (Generator::Kernel, 100),
        ],
        size: 64,
        // 12 combinations, 5 rounds, about 0.5 s to start and end each: about two minutes.
        warmup: Duration::from_millis(300),
        duration: Duration::from_millis(1200),
        rounds: args.rounds,
        patience: Duration::ZERO,
        wait: Wait::Blocking,
        mode: args.mode.clone(),
        address: None,
        interface: None,
        sources: None,
        shape: Shape::default(),
    };
    let file = rr::run(&options, stop)?;
    file.write(&args.out.join("result.json"))?;
    output::write_spectra(&file, &args.out)?;
    let report = args.out.join("report.html");
    output::write(&report, &report::html(&file))?;
    print!("{}", table::render(&file));
    println!("\nreport   {}", report.display());
    println!("figures  {}", args.out.join("result.json").display());
    file.checked()
}
