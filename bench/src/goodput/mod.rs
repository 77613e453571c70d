//! `byway bench goodput`: how much gets through, over paths that lose, delay, reorder and queue.
//!
//! Two hosts with [`byway_impair::Wire`] between them. On every path two ends are compared: Byway
//! sending to a Linux receiver against Linux sending to the same receiver, and Linux sending to
//! Byway against the same sender sending to Linux. The host that is the same in both runs the same
//! program. What is compared follows each other, Linux first in one round and Byway in the next,
//! over wires of the same seed, which lose the same frames: the luck of a path is shared as far as
//! two senders can share it.

mod bed;
mod kernel;
mod path;
pub mod result;
mod runner;
mod server;
mod table;

use crate::error::BenchError;
use crate::output::{make_directory, write};
use crate::rr::this_program;
use path::Path as NetPath;
use result::GoodputFile;
use runner::Runner;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What starting and ending servers and wires adds to each transfer, about.
const OVERHEAD: Duration = Duration::from_millis(400);

/// Arguments of `byway bench goodput`.
#[derive(Clone, Debug, clap::Args)]
pub struct GoodputArgs {
    /// Only paths whose name begins with one of these, such as loss1, loss0-rtt100, narrow, share;
    /// --list shows all
    #[arg(long, value_name = "PATH,...", value_delimiter = ',')]
    pub cells: Vec<String>,
    /// Measure only this end
    #[arg(long, value_enum, value_name = "END")]
    pub end: Option<EndWord>,
    /// How often each transfer is measured, Linux and Byway next to each other; 3 at least for a
    /// comparison [default: 9, with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: Option<u32>,
    /// Half the time for each transfer, and fewer runs
    #[arg(long)]
    pub quick: bool,
    /// Where the luck of the wires comes from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Settings of `byway serve` that are not its defaults
    #[arg(long, value_name = "KEY=VALUE,...", value_delimiter = ',')]
    pub set: Vec<String>,
    /// Write the result as JSON; - for standard output, without the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write what passes the server's interface, a file for each transfer of one connection
    #[arg(long, value_name = "DIR")]
    pub pcap: Option<PathBuf>,
    /// Show the paths and how long it would take, and measure nothing
    #[arg(long)]
    pub list: bool,
}

/// An end of a transfer, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EndWord {
    /// Byway and Linux as senders
    Sender,
    /// Byway and Linux as receivers
    Receiver,
}

/// How to measure.
#[derive(Clone, Debug)]
pub(crate) struct GoodputOptions {
    /// This program, whose command `serve` is started.
    pub(crate) executable: PathBuf,
    pub(crate) rounds: u32,
    /// What the durations of the paths are multiplied with.
    pub(crate) time_scale: f64,
    pub(crate) seed: u64,
    pub(crate) settings: Vec<String>,
    pub(crate) pcap: Option<PathBuf>,
}

/// What to measure.
pub(crate) struct Plan {
    pub(crate) ends: Vec<result::End>,
    /// Paths for one connection at a time.
    pub(crate) alone: Vec<NetPath>,
    /// Paths for two at a time.
    pub(crate) shared: Vec<NetPath>,
}

impl Plan {
    /// The paths that the words choose; all without a word.
    fn new(words: &[String], end: Option<EndWord>) -> Result<Self, BenchError> {
        let (alone, shared) = (path::alone(), path::shared());
        let names: Vec<&str> = alone
            .iter()
            .chain(&shared)
            .map(|path| path.name.as_str())
            .collect();
        if let Some(word) = words
            .iter()
            .find(|word| !names.iter().any(|name| begins(name, word)))
        {
            let known = names.join(" ");
            return Err(BenchError::Usage(format!(
                "no path begins with {word}; there are {known}"
            )));
        }
        let chosen =
            |path: &NetPath| words.is_empty() || words.iter().any(|word| begins(&path.name, word));
        let ends = match end {
            None => vec![result::End::Sender, result::End::Receiver],
            Some(EndWord::Sender) => vec![result::End::Sender],
            Some(EndWord::Receiver) => vec![result::End::Receiver],
        };
        // Where two share a path, both send.
        let with_sender = ends.contains(&result::End::Sender);
        Ok(Self {
            ends,
            alone: alone.into_iter().filter(chosen).collect(),
            shared: shared
                .into_iter()
                .filter(|path| with_sender && chosen(path))
                .collect(),
        })
    }

    /// How many transfers there are in so many rounds, each with Linux and with Byway.
    fn transfers(&self, rounds: u32) -> usize {
        let each_round = self.alone.len() * self.ends.len() + self.shared.len();
        each_round * 2 * rounds as usize
    }

    /// How long it takes, about.
    fn time(&self, options: &GoodputOptions) -> Duration {
        let alone: Duration = self.alone.iter().map(|path| path.duration).sum();
        let shared: Duration = self.shared.iter().map(|path| path.duration).sum();
        let each_round = (alone * self.ends.len() as u32 + shared) * 2;
        let transfers = self.transfers(options.rounds) as u32;
        (each_round * options.rounds).mul_f64(options.time_scale) + OVERHEAD * transfers
    }
}

/// Whole words only: `loss1` is not `loss10`, and not `loss1.5`.
fn begins(name: &str, word: &str) -> bool {
    name.strip_prefix(word)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

impl GoodputArgs {
    fn options(&self) -> Result<GoodputOptions, BenchError> {
        let (rounds, time_scale) = if self.quick { (3, 0.5) } else { (9, 1.0) };
        Ok(GoodputOptions {
            executable: this_program()?,
            rounds: self.runs.unwrap_or(rounds),
            time_scale,
            seed: self.seed,
            settings: self.set.clone(),
            pcap: self.pcap.clone(),
        })
    }
}

/// The whole command: measures, prints the table, writes the file that was asked for.
///
/// # Errors
/// When the lab cannot be made, `stop` is set, a file cannot be written, and, after all is
/// written, when a transfer failed.
pub fn execute(args: &GoodputArgs, stop: &AtomicBool) -> Result<(), BenchError> {
    let plan = Plan::new(&args.cells, args.end)?;
    let options = args.options()?;
    let (transfers, time) = (plan.transfers(options.rounds), plan.time(&options));
    let announcement = format!(
        "{transfers} transfers, about {} minutes",
        time.as_secs().div_ceil(60)
    );
    if args.list {
        print!("{}", table::list(&plan, options.time_scale));
        println!("{announcement}");
        return Ok(());
    }
    if let Some(directory) = &args.pcap {
        make_directory(directory)?;
    }
    eprintln!("{announcement}");
    let file = Runner::new(&options, &plan, stop)?.run(&plan)?;
    report(&file, args.json.as_deref())?;
    file.checked().map(drop)
}

fn report(file: &GoodputFile, json: Option<&Path>) -> Result<(), BenchError> {
    let text = serde_json::to_string_pretty(file).expect("all keys are strings");
    match json {
        Some(path) if path == Path::new("-") => {
            println!("{text}");
            return Ok(());
        }
        Some(path) => write(path, &text)?,
        None => {}
    }
    print!("{}", table::render(file));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> Result<Plan, BenchError> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Plan::new(&words, None)
    }

    #[test]
    fn words_choose_paths() {
        let all = plan(&[]).unwrap();
        assert_eq!((all.alone.len(), all.shared.len()), (15, 2));
        assert_eq!(all.transfers(9), 9 * (15 * 4 + 2 * 2));
        let some = plan(&["loss1", "share"]).unwrap();
        assert_eq!((some.alone.len(), some.shared.len()), (3, 2));
        let one = plan(&["loss0-rtt100"]).unwrap();
        assert_eq!((one.alone.len(), one.shared.len()), (1, 0));
        assert!(matches!(plan(&["loss"]), Err(BenchError::Usage(_))));
    }

    #[test]
    fn one_end_is_half_of_it() {
        let sender = Plan::new(&["loss0".to_owned()], Some(EndWord::Sender)).unwrap();
        assert_eq!(sender.transfers(1), 6);
        let receiver = Plan::new(&[], Some(EndWord::Receiver)).unwrap();
        assert!(receiver.shared.is_empty());
    }
}
