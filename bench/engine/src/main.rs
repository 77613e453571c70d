//! Measures the engine alone, on a port in memory: see the README beside the manifest.
#![forbid(unsafe_code)]

mod bed;
mod frames;
mod icount;
mod memory;
mod meter;
mod micro;
mod peer;
mod port;
mod report;
mod sample;
mod scenario;
mod services;
#[cfg(feature = "peers")]
mod smol;
mod suite;

use clap::{Args, Parser, Subcommand};
use sample::Effort;
use scenario::Terms;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use suite::{Context, GROUPS};

/// Measures the engine alone: nanoseconds and instructions an operation
#[derive(Debug, Parser)]
#[command(name = "byway-bench-engine")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Nanoseconds an operation, beside the targets and another stack
    Time(TimeArgs),
    /// Instructions an operation under callgrind, against the baseline
    Icount(icount::IcountArgs),
    /// Runs one scenario for `icount`, which looks at it from outside
    #[command(hide = true)]
    Count {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
struct TimeArgs {
    /// What to measure: million, segments, echo, visits, bulk, checksum, timers, flows, allocations,
    /// turns; all of it when nothing is named
    names: Vec<String>,
    /// Shorter repeats: a first impression
    #[arg(long)]
    quick: bool,
    /// Also write the values to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also open ten million connections: takes 4 GiB
    #[arg(long)]
    ten_million: bool,
    /// Clients without timestamps
    #[arg(long)]
    no_timestamps: bool,
    /// Time by steps: turns do not read the machine's clock
    #[arg(long)]
    no_clock: bool,
    /// How often each is measured
    #[arg(long, default_value_t = 9, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    repeats: u16,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Time(args) => time(&args),
        Command::Icount(args) => icount::run(&args),
        Command::Count { name } => icount::count(&name),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn time(args: &TimeArgs) -> Result<(), String> {
    let known = |name: &String| GROUPS.iter().any(|(group, _)| group == name);
    if let Some(unknown) = args.names.iter().find(|name| !known(name)) {
        let names: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
        return Err(format!(
            "nothing is called {unknown}; there are {}",
            names.join(" ")
        ));
    }
    let context = Context {
        terms: Terms {
            timestamps: !args.no_timestamps,
            real_clock: !args.no_clock,
        },
        effort: Effort {
            repeats: usize::from(args.repeats),
            time: Duration::from_millis(if args.quick { 3 } else { 60 }),
        },
    };
    let mut measures = Vec::new();
    for (name, measurer) in GROUPS {
        // Named, or all of them when only the many connections are not what is asked for.
        let all = args.names.is_empty() && !args.ten_million;
        if all || args.names.iter().any(|wanted| wanted == name) {
            eprintln!("measuring {name}");
            measures.extend(measurer(&context).map_err(|error| format!("{name}: {error}"))?);
        }
    }
    if args.ten_million {
        eprintln!("measuring ten million connections");
        measures.extend(suite::ten_million(&context)?);
    }
    print!("{}", report::table(&measures));
    println!("{}", terms(args));
    if let Some(path) = &args.json {
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(path, report::json(&measures)));
        written.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Under which terms the figures hold.
fn terms(args: &TimeArgs) -> String {
    format!(
        "medians of {} repeats; checksum by {:?}; timestamps {}; a turn reads {}; frames cycle through 16 MiB",
        args.repeats,
        byway_sys::checksum::Implementation::best(),
        if args.no_timestamps { "off" } else { "on" },
        if args.no_clock {
            "no clock"
        } else {
            "the clock once"
        },
    )
}
