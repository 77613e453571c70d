//! The Linux targets and the kernel generator, end to end over a lab. Needs root.
//!
//! There is no test harness: the program is its own child, as the `byway` command is.

use byway_bench::generator::{self, GenerateArgs};
use byway_bench::rr::{self, RrOptions};
use byway_bench::scenario::{Generator, Scenario, Target, Wait};
use byway_bench::target::linux::{self, ServerLinuxArgs};
use byway_bench::target::reflector::{self, ServerReflectorArgs};
use byway_bench::{BenchError, hgrm, report, table};
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
#[allow(
    clippy::enum_variant_names,
    reason = "they are the names of the commands"
)]
enum Role {
    BenchServerLinux(ServerLinuxArgs),
    BenchServerReflector(ServerReflectorArgs),
    BenchGenerate(GenerateArgs),
}

fn main() -> ExitCode {
    let is_child = std::env::args()
        .nth(1)
        .is_some_and(|word| word.starts_with("bench-"));
    if is_child {
        return child();
    }
    if byway_lab::skip_unless_privileged("bench over a lab") {
        return ExitCode::SUCCESS;
    }
    linux_is_measured_by_kernel_sockets();
    the_lean_generator_measures_linux_and_the_reflector();
    an_interrupt_ends_everything();
    ExitCode::SUCCESS
}

fn child() -> ExitCode {
    let stop = AtomicBool::new(false);
    let done = match Line::parse().role {
        Role::BenchServerLinux(args) => linux::serve(&args, &stop),
        Role::BenchServerReflector(args) => reflector::serve(&args, &stop),
        Role::BenchGenerate(args) => generator::print(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn options() -> RrOptions {
    RrOptions {
        scenario: Scenario::Rr,
        executable: std::env::current_exe().expect("a running program has a path"),
        targets: vec![Target::LinuxBlocking, Target::LinuxSpinning],
        loads: vec![(Generator::Kernel, 1), (Generator::Kernel, 100)],
        size: 64,
        warmup: Duration::from_millis(100),
        duration: Duration::from_millis(500),
        rounds: 3,
        patience: Duration::ZERO,
        wait: Wait::Blocking,
        mode: "auto".to_owned(),
        address: None,
        interface: None,
        sources: None,
    }
}

fn linux_is_measured_by_kernel_sockets() {
    let file = rr::run(&options(), &AtomicBool::new(false)).expect("a lab can be measured");
    eprint!("{}", table::render(&file));
    let file = file.checked().expect("every run counts");
    assert_eq!(file.runs.len(), 4);
    for run in &file.runs {
        assert!(run.valid);
        assert!(
            run.rate_per_s > 1000.0,
            "{} answers {}/s",
            run.target.name(),
            run.rate_per_s
        );
        let requests: u64 = run
            .rounds
            .iter()
            .filter_map(|r| r.report.as_ref())
            .map(|r| r.requests)
            .sum();
        assert_eq!(run.histogram().len(), requests);
        for round in &run.rounds {
            // Little's law: connections = rate x mean latency, but for the time that the generator
            // itself takes between a response and the next request, which is no latency.
            let mean = round.histogram().expect("it has a measurement").mean() / 1e9;
            let share = mean * round.rate_per_s / f64::from(run.connections);
            assert!(
                (0.4..1.02).contains(&share),
                "{share} of the connections wait"
            );
        }
        let server = run.server_cpu.expect("the server is on this machine");
        assert!(server.total > 0.0 && server.busy_share <= 1.0);
        if run.target == Target::LinuxSpinning {
            assert!(server.busy_share > 0.8, "it spins: {server:?}");
        }
        assert!(hgrm::spectrum(&run.histogram()).lines().count() > 10);
    }
    let p50 = |index: usize| file.runs[index].latency_us.p50;
    assert!(p50(1) < p50(0), "to spin answers sooner than to sleep");
    let page = report::html(&file);
    assert!(page.len() < 1_000_000);
    if let Some(path) = std::env::var_os("BYWAY_BENCH_KEEP") {
        std::fs::create_dir_all(&path).expect("the directory can be made");
        let directory = std::path::PathBuf::from(path);
        std::fs::write(directory.join("report.html"), page).expect("the report can be written");
        file.write(&directory.join("result.json"))
            .expect("the result can be written");
    }
}

/// Requests on connections that stay and on new ones, 300 at a time: every response is compared with
/// its request, and an error of any kind makes the run invalid.
fn the_lean_generator_measures_linux_and_the_reflector() {
    for scenario in [Scenario::Rr, Scenario::Crr] {
        let options = RrOptions {
            scenario,
            targets: vec![Target::LinuxBlocking, Target::Reflector],
            loads: vec![(Generator::Lean, 300)],
            rounds: 1,
            ..options()
        };
        let file = rr::run(&options, &AtomicBool::new(false)).expect("a lab can be measured");
        eprint!("{}", table::render(&file));
        let file = file.checked().expect("every run counts");
        for run in &file.runs {
            assert_eq!(run.scenario, scenario);
            assert!(run.rate_per_s > 300.0, "{}/s", run.rate_per_s);
            assert!(run.generator_xdp_mode.is_some());
        }
    }
}

fn an_interrupt_ends_everything() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let long = RrOptions {
        duration: Duration::from_secs(60),
        ..options()
    };
    let started = Instant::now();
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(800));
        STOP.store(true, Ordering::Relaxed);
    });
    let ended = rr::run(&long, &STOP);
    assert!(matches!(ended, Err(BenchError::Interrupted)), "{ended:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    let left = std::fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let prefix = format!("bw-bench-{:x}-", std::process::id());
            entry.file_name().to_string_lossy().starts_with(&prefix)
        })
        .count();
    assert_eq!(left, 0, "namespaces are left");
}
