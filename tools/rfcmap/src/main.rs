//! Prints how far each requirement of each RFC is, and fails when a claim is wrong.
#![forbid(unsafe_code)]

use byway_rfcmap::{Listing, Map};
use clap::Parser;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Which requirements of which RFC are implemented, tested, excepted or open.
#[derive(Debug, Parser)]
struct Args {
    /// Show only these RFCs, by number.
    rfc: Vec<u32>,
    /// Root of the repository.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// List every requirement with the code and the tests that name it.
    #[arg(long, conflicts_with = "counts")]
    all: bool,
    /// Print the counts only.
    #[arg(long)]
    counts: bool,
    /// Print the functions of input processing that hold a branch, each with its clauses and their
    /// tests.
    #[arg(long, conflicts_with_all = ["rfc", "json", "all", "counts"])]
    branches: bool,
    /// Fail when a comment names what there is not, or an implemented MUST has no test, or a branch of input
    /// processing names no requirement.
    #[arg(long)]
    check: bool,
    /// With --check: fail when a MUST is open, too.
    #[arg(long, requires = "check")]
    no_open_must: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut map = match byway_rfcmap::load(&args.root) {
        Ok(map) => map,
        Err(why) => {
            eprintln!("error: {why}");
            return ExitCode::from(2);
        }
    };
    let problems = map.problems(args.no_open_must);
    if !args.rfc.is_empty() {
        map.rfcs.retain(|of| args.rfc.contains(&of.rfc));
    }
    // Whoever reads may stop reading, as `head` does.
    let _ = std::io::stdout().write_all(text(&args, &map, &problems).as_bytes());
    for problem in &problems {
        eprintln!("{problem}");
    }
    if args.check && !problems.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn text(args: &Args, map: &Map, problems: &[byway_rfcmap::Problem]) -> String {
    if args.json {
        return format!("{:#}\n", byway_rfcmap::json(map, problems));
    }
    if args.branches {
        return byway_rfcmap::branches(map);
    }
    let listing = match (args.all, args.counts) {
        (true, _) => Listing::All,
        (_, true) => Listing::Counts,
        _ => Listing::Missing,
    };
    byway_rfcmap::table(map, listing)
}
