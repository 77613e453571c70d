//! The `byway` command.
#![forbid(unsafe_code)]

mod failure;
mod lab;
mod measure;
mod privileges;
mod serve;
mod settings;
mod signals;

use clap::{Parser, Subcommand};
use failure::Failure;
use std::process::ExitCode;

/// TCP that goes around the kernel, over AF_XDP
///
/// Data goes to standard output, progress and notices to standard error. Exit codes: 0 success,
/// 1 failure, 2 usage, 3 the machine or the privileges are not what is needed, 4 a measurement
/// that proves nothing, 99 a threshold was broken, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "byway", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Try it, without a special network card:
  byway demo                                  Linux and Byway side by side, and a report
  byway lab up                                network namespaces to play in
  ip netns exec byway-server byway serve echo --interface eth0";

#[derive(Debug, Subcommand)]
enum Command {
    /// Linux and Byway side by side, in a lab of their own, and a report of it
    Demo(measure::DemoArgs),
    Lab(lab::LabArgs),
    Serve(Box<serve::ServeArgs>),
    Bench(measure::BenchArgs),
    Wire(Box<byway_impair::args::WireArgs>),
    #[command(hide = true)]
    BenchServerLinux(measure::ServerLinuxArgs),
    #[command(hide = true)]
    BenchServerReflector(measure::ServerReflectorArgs),
    #[command(hide = true)]
    BenchGenerate(measure::GenerateArgs),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(failure::FAILED),
        Err(failure) => {
            failure.show();
            failure.exit_code()
        }
    }
}

/// Runs a command; false when the answer it found is "no".
fn run(command: Command) -> Result<bool, Failure> {
    match command {
        Command::Demo(args) => measure::demo(&args).map(|()| true),
        Command::Lab(args) => lab::run(&args),
        Command::Serve(args) => serve::run(&args).map(|()| true),
        Command::Bench(args) => measure::bench(&args).map(|()| true),
        Command::Wire(args) => wire(&args).map(|()| true),
        Command::BenchServerLinux(args) => measure::server_linux(&args).map(|()| true),
        Command::BenchServerReflector(args) => measure::server_reflector(&args).map(|()| true),
        Command::BenchGenerate(args) => measure::generate(&args).map(|()| true),
    }
}

fn wire(args: &byway_impair::args::WireArgs) -> Result<(), Failure> {
    let stop =
        signals::watch().map_err(|error| Failure::failed(format!("signals: {error}"), ""))?;
    Ok(byway_impair::args::execute(args, &stop)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
