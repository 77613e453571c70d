//! The Linux targets and the kernel generator, end to end over a lab. Needs root.
//!
//! There is no test harness: the program is its own child, as the `byway` command is.

use byway_bench::generator::{self, GenerateArgs};
use byway_bench::load::Shape;
use byway_bench::result::ResultFile;
use byway_bench::rr::{self, RrOptions};
use byway_bench::scenario::{Generator, Scenario, Target, Wait};
use byway_bench::target::linux::{self, ServerLinuxArgs};
use byway_bench::target::reflector::{self, ServerReflectorArgs};
use byway_bench::{BenchError, hgrm, report, table};
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[path = "support/schema.rs"]
mod schema;

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
    an_open_loop_asks_at_its_rate();
    requests_under_way_together_and_thinking_are_measured();
    an_interrupt_leaves_a_partial_result();
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
        shape: Shape::default(),
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
    the_place_is_told(&file);
    let p50 = |index: usize| file.runs[index].latency_us.p50;
    assert!(p50(1) < p50(0), "to spin answers sooner than to sleep");
    let json = serde_json::from_str(&file.to_json()).expect("it is JSON");
    let faults = schema::faults(include_str!("../schema/result-1.json"), &json);
    assert_eq!(faults, Vec::<String>::new());
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

/// Both processors were watched before and after, both ends looked at while runs went on, and the
/// kernel's TCP read where it ran: CUBIC is the lab's, whatever this machine has.
fn the_place_is_told(file: &ResultFile) {
    let noise = file.environment.noise.as_ref().expect("somebody looked");
    let cpus = byway_bench::cpu::available().min(2);
    assert_eq!(noise.probes.len(), 2 * cpus);
    assert!(noise.sentence().is_some());
    let roles: Vec<&str> = file.environment.tcp.iter().map(|end| &*end.role).collect();
    assert_eq!(roles, ["client", "server"]);
    for end in &file.environment.tcp {
        assert_eq!(end.route_congestion_control.as_deref(), Some("cubic"));
        assert!(end.rmem_bytes.is_some() && end.somaxconn.is_some());
    }
    for run in &file.runs {
        assert_eq!(run.interfaces.len(), 2);
        for end in run.interfaces.iter().filter(|end| !end.offloads.is_empty()) {
            let found = &end.offloads["tso"];
            assert_eq!(found, "on", "the kernel's default faces the kernel");
        }
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

/// Both generators ask as often as they are told to, whatever that costs, and all of it is answered.
fn an_open_loop_asks_at_its_rate() {
    let options = RrOptions {
        targets: vec![Target::LinuxBlocking],
        loads: vec![(Generator::Kernel, 20), (Generator::Lean, 20)],
        rounds: 1,
        shape: Shape {
            rates: vec![1000, 4000],
            ..Shape::default()
        },
        ..options()
    };
    let file = rr::run(&options, &AtomicBool::new(false)).expect("a lab can be measured");
    eprint!("{}", table::render(&file));
    assert_eq!(file.runs.len(), 4);
    for run in &file.runs {
        assert_eq!(run.errors.total(), 0, "{:?}", run.errors);
        let open = run.open_loop.as_ref().expect("an open loop");
        assert_eq!((open.refused, open.unanswered), (0, 0));
        // A machine that is busy with other things is behind by some milliseconds.
        let behind = open.arrivals.saturating_sub(open.answered);
        assert!(behind <= 20 + open.arrivals / 5, "{open:?}");
        let asked = run.rate_asked_per_s.expect("an open loop") as f64;
        // Poisson arrivals of half a second, and what had waited before it.
        let share = run.rate_per_s / asked;
        assert!((0.6..1.5).contains(&share), "{share} of the rate");
        assert!(run.latency_us.p50 >= open.service_us.p50);
        assert!(open.lag_us.p50 > 0.0);
    }
    assert!(report::html(&file).contains("Latency over throughput with 20 connections"));
}

fn requests_under_way_together_and_thinking_are_measured() {
    let with = |shape| {
        let options = RrOptions {
            targets: vec![Target::LinuxSpinning],
            loads: vec![(Generator::Kernel, 10)],
            rounds: 1,
            shape,
            ..options()
        };
        let file = rr::run(&options, &AtomicBool::new(false)).expect("a lab can be measured");
        let file = file.checked().expect("every run counts");
        file.runs[0].rate_per_s
    };
    let pipelined = with(Shape {
        pipeline: 8,
        ..Shape::default()
    });
    let think = with(Shape {
        think: Duration::from_millis(10),
        ..Shape::default()
    });
    // 10 connections that ask every 10 ms and a little.
    assert!((500.0..=1050.0).contains(&think), "{think}/s");
    assert!(pipelined > 10.0 * think, "{pipelined}/s");
}

/// What was measured before the interrupt is kept, and told to be less than was asked for.
fn an_interrupt_leaves_a_partial_result() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let many = RrOptions {
        duration: Duration::from_millis(100),
        rounds: 1000,
        ..options()
    };
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(6));
        STOP.store(true, Ordering::Relaxed);
    });
    let file = rr::run(&many, &STOP).expect("something was measured");
    assert!(file.partial && !file.runs.is_empty());
    assert!(table::render(&file).contains("PARTIAL"));
    assert!(file.runs.iter().all(|run| run.failure().is_none()));
    let ended = file.checked();
    assert!(matches!(ended, Err(BenchError::Interrupted)), "{ended:?}");
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
