//! What `make` calls: installs what is missing, builds, runs the suites, shows the demo.
#![forbid(unsafe_code)]

mod cargo;
mod interrupt;
mod process;
mod root;
mod setup;
mod suites;
mod table;
mod test_run;

use process::Capture;
use setup::Group;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: byway-task TASK

  demo    build, then `byway demo`: the kernel against Byway in a lab of its own
  test    every suite, with a table at the end; `test SUITE...` runs only these
  build   release build of everything
  lint    formatting, clippy, tidy
  soak N  the simulator with random seeds, for N seconds or until one fails
  setup   only install the Debian packages that the others need

  bench-engine  the engine alone, in memory: time of each operation beside its target
  icount        the same in instructions, beside the baseline; --bless writes that
  What follows these two is theirs: bench-engine --quick echo";

/// Why a task ended early: a message and the exit code that goes with it.
#[derive(Debug)]
struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 1,
        }
    }

    fn interrupted() -> Self {
        Self {
            message: "interrupted".to_owned(),
            code: 130,
        }
    }

    /// For the exit code of a program that has already said what is wrong.
    fn silent(code: u8) -> Self {
        Self {
            message: String::new(),
            code,
        }
    }
}

type Outcome<T = ()> = Result<T, Failure>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match interrupt::install().and_then(|()| dispatch(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match failure.message.as_str() {
                "" => {}
                USAGE => eprintln!("{USAGE}"),
                message => eprintln!("error: {message}"),
            }
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(args: &[String]) -> Outcome {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["setup"] => setup::install(&Group::ALL),
        ["build"] => {
            setup::install(&[Group::Build])?;
            cargo::run(&["build", "--release", "--workspace"])
        }
        ["lint"] => {
            setup::install(&[Group::Build])?;
            test_run::run(&suites::LINT)
        }
        ["test"] => {
            setup::install(&Group::ALL)?;
            test_run::run(&suites::ALL)
        }
        ["test", names @ ..] => {
            let chosen = suites::named(names)?;
            setup::install(&Group::ALL)?;
            test_run::run(&chosen)
        }
        ["soak", seconds] => soak(seconds),
        ["demo"] => demo(),
        ["bench-engine", rest @ ..] => bench_engine(rest),
        ["icount", rest @ ..] => {
            setup::install(&[Group::Build, Group::Count])?;
            cargo::run(&[suites::ICOUNT, rest].concat())
        }
        _ => Err(Failure {
            message: USAGE.to_owned(),
            code: 2,
        }),
    }
}

/// Runs the simulator, optimised.
fn soak(seconds: &str) -> Outcome {
    setup::install(&[Group::Build])?;
    let program = [
        "run",
        "--release",
        "--package",
        "byway-test-sim",
        "--bin",
        "byway-sim-soak",
    ];
    // The allocator of the GNU library gives back what the engines of a run had, and asks for it again
    // in the next: as much time as the runs take.
    let keep = [
        ("MALLOC_TRIM_THRESHOLD_", "1000000000"),
        ("MALLOC_MMAP_THRESHOLD_", "1000000000"),
    ];
    cargo::run_with(&[program.as_slice(), &["--", seconds]].concat(), &keep)
}

/// Times the engine, optimised, and leaves the values for programs where the reports are.
fn bench_engine(args: &[&str]) -> Outcome {
    setup::install(&[Group::Build])?;
    let program = [
        "run",
        "--release",
        "--package",
        "byway-bench-engine",
        "--",
        "time",
        "--json",
        "target/byway/engine.json",
    ];
    cargo::run(&[program.as_slice(), args].concat())
}

/// Longest demo: its own limit is far below.
const DEMO_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Runs `byway demo` from a release build, as root.
fn demo() -> Outcome {
    setup::install(&[Group::Build, Group::Lab])?;
    let byway = cargo::build_byway(&["--release"])?;
    root::ready();
    let mut command = root::command(&byway.to_string_lossy(), &[])?;
    let done = process::run(command.arg("demo"), Capture::Nothing, DEMO_LIMIT, true)?;
    // When it failed, the demo has said itself what went wrong.
    if done.success {
        Ok(())
    } else {
        Err(Failure::silent(done.code))
    }
}
