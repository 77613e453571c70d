//! Runs the transfers, interleaved, each with a fresh server and a fresh wire.

use crate::environment::Environment;
use crate::error::BenchError;
use crate::goodput::bed::Bed;
use crate::goodput::kernel::{self, CONGESTION_CONTROL, Moved, Serving};
use crate::goodput::path::Path;
use crate::goodput::result::{
    Comparison, End, GoodputFile, Pair, Parameters, SCHEMA, Sharing, Stack, Transfer, WireCounts,
};
use crate::goodput::server::{BywayServer, Counters, LinuxServer};
use crate::goodput::{GoodputOptions, Plan};
use crate::progress::Progress;
use byway_impair::Summary;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What was measured that failed this many times is not tried again.
const MAX_FAILURES: usize = 2;

/// A server that runs.
enum Server {
    Linux(LinuxServer),
    Byway(BywayServer),
}

impl Server {
    fn end(self) -> Result<Counters, BenchError> {
        match self {
            Self::Linux(server) => server.end(),
            Self::Byway(server) => server.end(),
        }
    }
}

/// Measures a plan.
pub(crate) struct Runner<'a> {
    options: &'a GoodputOptions,
    stop: &'a AtomicBool,
    bed: Bed,
    progress: Progress,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(
        options: &'a GoodputOptions,
        plan: &Plan,
        stop: &'a AtomicBool,
    ) -> Result<Self, BenchError> {
        Ok(Self {
            options,
            stop,
            bed: Bed::up()?,
            progress: Progress::new(plan.transfers(options.rounds)),
        })
    }

    /// Measures everything and sums it up.
    ///
    /// # Errors
    /// When the user stops it, or the machine lacks something; a transfer that fails is part of
    /// the result.
    pub(crate) fn run(mut self, plan: &Plan) -> Result<GoodputFile, BenchError> {
        let mut comparisons: Vec<Comparison> = plan
            .alone
            .iter()
            .flat_map(|path| plan.ends.iter().map(|end| self.comparison(path, *end)))
            .collect();
        let mut sharing: Vec<Sharing> = plan.shared.iter().map(|path| self.sharing(path)).collect();
        for round in 0..self.options.rounds {
            for (number, comparison) in comparisons.iter_mut().enumerate() {
                let number = number / plan.ends.len();
                self.round(round, number as u64, &plan.alone[number], comparison)?;
            }
            for (path, sharing) in plan.shared.iter().zip(&mut sharing) {
                self.round_of_two(round, path, sharing)?;
            }
        }
        for comparison in &mut comparisons {
            comparison.conclude();
        }
        Ok(GoodputFile {
            schema: SCHEMA,
            environment: Environment::read(self.bed.interfaces()),
            parameters: Parameters {
                rounds: self.options.rounds,
                time_scale: self.options.time_scale,
                seed: self.options.seed,
                congestion_control: CONGESTION_CONTROL.to_owned(),
                settings: self.options.settings.clone(),
            },
            comparisons,
            sharing,
        })
    }

    fn duration(&self, path: &Path) -> Duration {
        path.duration.mul_f64(self.options.time_scale)
    }

    fn comparison(&self, path: &Path, end: End) -> Comparison {
        Comparison {
            path: path.name.clone(),
            title: path.title.clone(),
            seconds: self.duration(path).as_secs_f64(),
            end,
            linux: Vec::new(),
            byway: Vec::new(),
            ratio: None,
        }
    }

    fn sharing(&self, path: &Path) -> Sharing {
        Sharing {
            path: path.name.clone(),
            title: path.title.clone(),
            seconds: self.duration(path).as_secs_f64(),
            mixed: Vec::new(),
            linux: Vec::new(),
        }
    }

    /// Linux and Byway, or Byway and Linux, over wires of the same seed.
    fn round(
        &mut self,
        round: u32,
        number: u64,
        path: &Path,
        comparison: &mut Comparison,
    ) -> Result<(), BenchError> {
        let mut order = [Stack::Linux, Stack::Byway];
        if round % 2 == 1 {
            order.reverse();
        }
        // Paths of the same impairments at other round trips shall have luck of their own.
        let seed = self.options.seed + u64::from(round) * 1000 + number;
        for stack in order {
            let (title, end) = (&path.title, comparison.end);
            let name = step(
                round,
                self.options.rounds,
                &format!("{title}, {stack:?} {end:?}"),
            );
            self.progress.begin(&name);
            let transfers = comparison.of_mut(stack);
            let failures = transfers.iter().filter(|each| each.failure.is_some());
            let result = match failures.count() {
                MAX_FAILURES.. => Err(left_out()),
                _ => self.transfer(path, end, stack, seed),
            };
            let transfer = or_failure(result, round == 0, |failure| Transfer {
                failure: Some(failure),
                seed,
                ..Transfer::default()
            })?;
            self.progress.end(&name, &said(&transfer));
            comparison.of_mut(stack).push(transfer);
        }
        Ok(())
    }

    /// One transfer over one path.
    fn transfer(
        &self,
        path: &Path,
        end: End,
        stack: Stack,
        seed: u64,
    ) -> Result<Transfer, BenchError> {
        let serving = match end {
            End::Sender => Serving::Chargen,
            End::Receiver => Serving::Discard,
        };
        let (server, address) = self.serve(stack, serving)?;
        let capture = self.options.pcap.as_ref().map(|directory| {
            directory.join(format!("{}-{stack:?}-{end:?}-{seed}.pcap", path.name).to_lowercase())
        });
        let wire = self.bed.join(path, seed, capture.as_deref())?;
        let duration = self.duration(path);
        let (moved, client) = self.bed.client().run(|| {
            let before = kernel::counters()?;
            let stream = kernel::connect(address)?;
            let moved = match end {
                End::Sender => kernel::receive(stream, duration, self.stop),
                End::Receiver => kernel::send(stream, duration, self.stop),
            }?;
            let after = kernel::counters()?;
            Ok::<_, BenchError>((moved, kernel::difference(&before, &after)))
        })??;
        self.interrupted()?;
        let server = server.end()?;
        let wire = wire.part()?;
        let (sender, receiver) = match end {
            End::Sender => (server, client),
            End::Receiver => (client, server),
        };
        Ok(Transfer {
            goodput_bit_per_s: moved.rate(),
            failure: None,
            seed,
            sender,
            receiver,
            wire: counts(&wire),
        })
    }

    fn serve(&self, stack: Stack, serving: Serving) -> Result<(Server, SocketAddr), BenchError> {
        Ok(match stack {
            Stack::Linux => {
                let address = self.bed.linux();
                let server = LinuxServer::start(&self.bed, address, serving)?;
                (Server::Linux(server), address)
            }
            Stack::Byway => {
                let (program, settings) = (&self.options.executable, &self.options.settings);
                let server = BywayServer::start(&self.bed, program, serving, settings, self.stop)?;
                (Server::Byway(server), self.bed.byway())
            }
        })
    }

    /// Linux beside Byway, and Linux beside Linux.
    fn round_of_two(
        &mut self,
        round: u32,
        path: &Path,
        sharing: &mut Sharing,
    ) -> Result<(), BenchError> {
        for second in [Stack::Byway, Stack::Linux] {
            let name = format!("{}, Linux beside {second:?}", path.title);
            let name = step(round, self.options.rounds, &name);
            self.progress.begin(&name);
            let pairs = match second {
                Stack::Byway => &mut sharing.mixed,
                Stack::Linux => &mut sharing.linux,
            };
            let failures = pairs.iter().filter(|pair| pair.failure.is_some());
            let result = match failures.count() {
                MAX_FAILURES.. => Err(left_out()),
                _ => self.pair(path, second, round),
            };
            let pair = or_failure(result, round == 0, |failure| Pair {
                failure: Some(failure),
                ..Pair::default()
            })?;
            let said = match (pair.share(), &pair.failure) {
                (Some(share), _) => format!("{:.0} % is {second:?}'s", share * 100.0),
                (None, why) => format!("failed: {}", why.as_deref().unwrap_or("nothing moved")),
            };
            self.progress.end(&name, &said);
            pairs.push(pair);
        }
        Ok(())
    }

    /// Two transfers at once to the same host. Who begins alternates.
    fn pair(&self, path: &Path, second: Stack, round: u32) -> Result<Pair, BenchError> {
        let serving = Serving::Chargen;
        let first = LinuxServer::start(&self.bed, self.bed.linux(), serving)?;
        let (other, address) = match second {
            Stack::Byway => self.serve(Stack::Byway, serving)?,
            Stack::Linux => {
                // Where Byway listens otherwise.
                let address = self.bed.byway();
                let server = LinuxServer::start(&self.bed, address, serving)?;
                (Server::Linux(server), address)
            }
        };
        let wire = self
            .bed
            .join(path, self.options.seed + u64::from(round), None)?;
        let mut order = [self.bed.linux(), address];
        if round % 2 == 1 {
            order.reverse();
        }
        let mut rates = self.bed.client().run(|| self.receive_both(path, order))??;
        if round % 2 == 1 {
            rates.reverse();
        }
        self.interrupted()?;
        other.end()?;
        first.end()?;
        wire.part()?;
        Ok(Pair {
            goodput_bit_per_s: rates,
            failure: None,
        })
    }

    fn receive_both(&self, path: &Path, from: [SocketAddr; 2]) -> Result<[f64; 2], BenchError> {
        let [first, second] = from;
        let (first, second) = (kernel::connect(first)?, kernel::connect(second)?);
        let duration = self.duration(path);
        let (one, two) = std::thread::scope(|scope| {
            let one = scope.spawn(|| kernel::receive(first, duration, self.stop));
            let two = kernel::receive(second, duration, self.stop);
            (one.join(), two)
        });
        let panicked = |_| BenchError::Failed("the receiver panicked".to_owned());
        Ok([one.map_err(panicked)??, two?].map(|moved: Moved| moved.rate()))
    }

    /// What was measured until the user stopped it was not measured for its time.
    fn interrupted(&self) -> Result<(), BenchError> {
        match self.stop.load(std::sync::atomic::Ordering::Relaxed) {
            true => Err(BenchError::Interrupted),
            false => Ok(()),
        }
    }
}

fn left_out() -> BenchError {
    BenchError::Failed(format!("left out after {MAX_FAILURES} failures"))
}

/// What fails is part of the result; what makes going on pointless is an error.
fn or_failure<T>(
    result: Result<T, BenchError>,
    is_first: bool,
    failure: impl FnOnce(String) -> T,
) -> Result<T, BenchError> {
    match result {
        // What the machine lacked in the first round it lacks; later, it did without.
        Err(error @ BenchError::Preflight { .. }) if is_first => Err(error),
        Err(error @ (BenchError::Interrupted | BenchError::Usage(_))) => Err(error),
        Err(error) => Ok(failure(error.to_string())),
        Ok(value) => Ok(value),
    }
}

/// What is measured, for people.
fn step(round: u32, rounds: u32, what: &str) -> String {
    format!("round {} of {rounds}, {what}", round + 1)
}

/// What came of it, for people.
fn said(transfer: &Transfer) -> String {
    match &transfer.failure {
        Some(why) => format!("failed: {}", why.lines().next().unwrap_or_default()),
        None => format!(
            "{:.2} Mbit/s, {} retransmitted",
            transfer.goodput_bit_per_s / 1e6,
            transfer.sent("TcpRetransSegs")
        ),
    }
}

fn counts(wire: &Summary) -> WireCounts {
    let mut sum = WireCounts::default();
    for direction in &wire.directions {
        let counts = &direction.counts;
        sum.lost += counts.lost;
        sum.queue_full += counts.queue_full;
        sum.missed += counts.missed + counts.refused + counts.line_full;
        sum.late_p99_us = sum.late_p99_us.max(counts.late_us.p99);
    }
    sum
}
