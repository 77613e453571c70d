//! Runs cells in interleaved rounds, each with a fresh target and a fresh generator.

use crate::bed::Bed;
use crate::child::Child;
use crate::environment::{Environment, Interface};
use crate::error::BenchError;
use crate::generator::GeneratorReport;
use crate::noise::{Noise, When};
use crate::progress::Progress;
use crate::quiet::Quiet;
use crate::result::{Offloads, Parameters, ResultFile, Round, Run, SCHEMA, compare};
use crate::rr::RrOptions;
use crate::scenario::{Cell, in_flight, round_order};
use crate::table::{connections, grouped};
use crate::target::{self, Launch};
use crate::{cpu, warnings};
use std::collections::HashMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Beyond warm-up and interval, a generator may take this long: it opens its connections, and its
/// interface may be busy for a moment.
const GENERATOR_SLACK: Duration = Duration::from_secs(20);
/// After its result a generator may take this long to close its connections.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// A cell that failed this many times is not tried again.
const MAX_FAILURES: usize = 2;

/// What is known of a cell so far.
#[derive(Default)]
struct Record {
    rounds: Vec<Round>,
    target_xdp_mode: Option<String>,
    offloads: Option<Offloads>,
    interfaces: Vec<Interface>,
}

impl Record {
    fn failures(&self) -> usize {
        self.rounds
            .iter()
            .filter(|round| round.failure.is_some())
            .count()
    }
}

/// Runs all cells for all rounds.
pub(crate) struct Runner<'a> {
    options: &'a RrOptions,
    stop: &'a AtomicBool,
    bed: Bed,
    parameters: Parameters,
    records: HashMap<Cell, Record>,
    quiet: Quiet,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(options: &'a RrOptions, bed: Bed, stop: &'a AtomicBool) -> Self {
        let ours = matches!(bed, Bed::Lab { .. });
        let parameters = Parameters {
            size: options.size,
            warmup_s: options.warmup.as_secs_f64(),
            duration_s: options.duration.as_secs_f64(),
            rounds: options.rounds,
            server_cpu: ours.then_some(0),
            generator_cpu: Some(if cpu::available() > 1 { 1 } else { 0 }),
            think_us: options.shape.think.as_micros() as u64,
            pipeline: options.shape.pipeline,
            arrivals: (!options.shape.rates.is_empty())
                .then(|| options.shape.arrivals.unwrap_or_default()),
        };
        Self {
            options,
            stop,
            bed,
            parameters,
            records: HashMap::new(),
            quiet: Quiet::new(options.patience),
        }
    }

    /// Measures everything and sums it up.
    ///
    /// # Errors
    /// When the user stops it, or the machine lacks something; a round that fails is part of the
    /// result.
    pub(crate) fn run(mut self, cells: &[Cell]) -> Result<ResultFile, BenchError> {
        let mut environment = Environment::read(self.bed.interfaces());
        environment.tcp = self.bed.tcp_settings();
        let mut noise = Noise::default();
        self.quiet.wait(self.stop);
        noise.watch(&self.processors(), When::Before);
        let partial = match self.rounds(cells) {
            Ok(()) => false,
            Err(BenchError::Interrupted) if self.has_measured() => true,
            Err(error) => return Err(error),
        };
        self.quiet.wait(self.stop);
        noise.watch(&self.processors(), When::After);
        let mut runs: Vec<Run> = cells.iter().map(|cell| self.sum_up(cell)).collect();
        runs.retain(|run| !run.rounds.is_empty());
        for run in &mut runs {
            run.drowned = noise.drowned(&run.latency_us, run.rate_asked_per_s.is_some());
        }
        environment.noise = Some(noise);
        let mut file = ResultFile {
            schema: SCHEMA,
            environment,
            parameters: self.parameters,
            comparisons: compare(&runs),
            runs,
            warnings: Vec::new(),
            partial,
        };
        file.warnings = warnings::of(&file);
        Ok(file)
    }

    /// All rounds of all cells.
    fn rounds(&mut self, cells: &[Cell]) -> Result<(), BenchError> {
        let rounds = self.options.rounds;
        let mut progress = Progress::new(cells.len() * rounds as usize);
        for number in 0..rounds {
            for cell in round_order(cells, number) {
                let name = step(number, rounds, &cell);
                progress.begin(&name);
                let round = self.round(number, &cell)?;
                // A terminal interrupts our children as well, and what they say then means nothing.
                if round.failure.is_some() && self.stop.load(Ordering::Relaxed) {
                    return Err(BenchError::Interrupted);
                }
                progress.end(&name, &said(&round));
                self.records.entry(cell).or_default().rounds.push(round);
            }
        }
        Ok(())
    }

    /// True when there is something to tell.
    fn has_measured(&self) -> bool {
        let mut rounds = self.records.values().flat_map(|record| &record.rounds);
        rounds.any(|round| round.report.is_some())
    }

    fn sum_up(&mut self, cell: &Cell) -> Run {
        let Record {
            rounds,
            target_xdp_mode,
            offloads,
            interfaces,
        } = self.records.remove(cell).unwrap_or_default();
        let run = Run::new(
            self.options.scenario,
            cell,
            self.options.size,
            rounds,
            target_xdp_mode,
            offloads,
        );
        Run { interfaces, ..run }
    }

    /// The processors that are used, each once.
    fn processors(&self) -> Vec<usize> {
        let Parameters {
            server_cpu,
            generator_cpu,
            ..
        } = self.parameters;
        let mut cpus: Vec<usize> = [server_cpu, generator_cpu].into_iter().flatten().collect();
        cpus.dedup();
        cpus
    }

    /// One round of one cell: what fails is kept as a round, what makes going on pointless is an
    /// error.
    fn round(&mut self, number: u32, cell: &Cell) -> Result<Round, BenchError> {
        let record = self.records.entry(*cell).or_default();
        if record.failures() >= MAX_FAILURES {
            let why = format!("left out after {MAX_FAILURES} failures");
            return Ok(Round::failed(number, why));
        }
        match self.measure_quietly(number, cell) {
            Ok((report, ended)) => {
                Ok(Round::measured(number, report, &self.parameters).ended(ended))
            }
            // What the machine lacked in the first round it lacks; later, it did without.
            Err(error @ BenchError::Preflight { .. }) if number == 0 => Err(error),
            Err(
                error @ (BenchError::Failed(_)
                | BenchError::Io { .. }
                | BenchError::Preflight { .. }),
            ) => Ok(Round::failed(number, error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Measures, and again as long as other programs disturb it and there is patience left.
    fn measure_quietly(
        &mut self,
        number: u32,
        cell: &Cell,
    ) -> Result<(GeneratorReport, SystemTime), BenchError> {
        loop {
            self.quiet.wait(self.stop);
            let began = Instant::now();
            let (report, ended) = self.measure(number, cell)?;
            let disturbed = report
                .other_cpu_share
                .is_some_and(|share| share >= warnings::DISTURBED);
            if !disturbed || !self.quiet.spend(began.elapsed()) {
                return Ok((report, ended));
            }
        }
    }

    /// What the generator reports, and when it did.
    fn measure(
        &mut self,
        number: u32,
        cell: &Cell,
    ) -> Result<(GeneratorReport, SystemTime), BenchError> {
        let offloads = self.bed.prepare(cell)?;
        let launch = Launch {
            executable: &self.options.executable,
            cpu: self.parameters.server_cpu.unwrap_or(0),
            mode: &self.options.mode,
            in_flight: in_flight(cell.connections),
        };
        let target = target::start(cell.target, &self.bed, &launch, self.stop)?;
        let record = self.records.entry(*cell).or_default();
        record.offloads = offloads;
        record.target_xdp_mode.clone_from(&target.xdp_mode);
        if record.interfaces.is_empty() {
            // While the target runs, since an XDP program of its may change them.
            record.interfaces = self.bed.interfaces();
        }
        let measured = self.generate(number, cell, target.pid())?;
        target.stop()?;
        Ok(measured)
    }

    fn generate(
        &self,
        number: u32,
        cell: &Cell,
        server: Option<u32>,
    ) -> Result<(GeneratorReport, SystemTime), BenchError> {
        let name = format!("the {}", cell.generator.title());
        let mut command = self.generator_command(cell)?;
        // Each round has other arrivals, and all targets of a round have the same.
        command.args(["--seed", &number.to_string()]);
        if let (Some(pid), Some(cpu)) = (server, self.parameters.server_cpu) {
            command.args([
                "--server-pid",
                &pid.to_string(),
                "--server-cpu",
                &cpu.to_string(),
            ]);
        }
        let mut child = Child::spawn(name, command)?;
        let limit = self.options.warmup + self.options.duration + GENERATOR_SLACK;
        let line = child.line(limit, self.stop)?;
        let ended = SystemTime::now();
        let report = serde_json::from_str(&line)
            .map_err(|error| child.failure(&format!("printed no result ({error}): {line}")))?;
        child.finish(CLOSE_LIMIT)?;
        Ok((report, ended))
    }

    fn generator_command(&self, cell: &Cell) -> Result<Command, BenchError> {
        let mut command = self.bed.at_client(&self.options.executable);
        command
            .args(["bench-generate", "--generator", cell.generator.name()])
            .args(["--scenario", self.options.scenario.name()])
            .args(["--target", &self.bed.address().to_string()])
            .args(["--connections", &cell.connections.to_string()])
            .args(["--size", &self.options.size.to_string()])
            .args(["--warmup-ms", &self.options.warmup.as_millis().to_string()])
            .args([
                "--duration-ms",
                &self.options.duration.as_millis().to_string(),
            ])
            .args(["--wait", &self.options.wait.to_string()])
            .args([
                "--think-us",
                &self.options.shape.think.as_micros().to_string(),
            ])
            .args(["--pipeline", &self.options.shape.pipeline.to_string()]);
        if let Some(rate) = cell.rate {
            let arrivals = self.options.shape.arrivals.unwrap_or_default();
            command
                .args(["--rate", &rate.to_string()])
                .args(["--arrivals", arrivals.name()]);
        }
        if let Some(cpu) = self.parameters.generator_cpu {
            command.args(["--cpu", &cpu.to_string()]);
        }
        if cell.generator.is_xdp() {
            let interface = self.bed.client_interface().ok_or_else(|| {
                BenchError::Usage("a generator on AF_XDP needs --interface".to_owned())
            })?;
            command.args(["--interface", interface, "--mode", &self.options.mode]);
        }
        if let Some(sources) = self.bed.sources() {
            command.args(["--sources", &sources.to_string()]);
        }
        Ok(command)
    }
}

/// What is measured, for people.
fn step(round: u32, rounds: u32, cell: &Cell) -> String {
    format!(
        "round {} of {rounds}, {}{}, {}, {}",
        round + 1,
        connections(cell.connections),
        cell.rate
            .map(|rate| format!(", {} requests/s", grouped(rate as f64)))
            .unwrap_or_default(),
        cell.generator.title(),
        cell.target.name()
    )
}

/// What came of it, for people.
fn said(round: &Round) -> String {
    match &round.failure {
        Some(why) => format!("failed: {}", why.lines().next().unwrap_or_default()),
        None => format!(
            "{} requests/s, p50 {:.1} us",
            grouped(round.rate_per_s),
            round.latency_us.p50
        ),
    }
}
