//! Runs scenarios, and says how to see a failure again.

use crate::port::Spares;
use crate::scenario::{Class, Scenario};
use crate::world::World;
use byway_tcp::time::Duration;
use std::fmt;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a scenario is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Turns between two checks of an engine's invariants, which are slow; 1 for each.
    pub invariants_every: u64,
    /// Keep the lines of the trace.
    pub trace: bool,
}

impl Options {
    /// Every check after every turn.
    pub const THOROUGH: Self = Self {
        invariants_every: 1,
        trace: false,
    };
    /// The engine's invariants are checked now and then, all else always.
    pub const FAST: Self = Self {
        invariants_every: 61,
        trace: false,
    };
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments sent, each held against every rule.
    pub segments: u64,
    /// Segments that arrived whole.
    pub delivered: u64,
    /// Turns of all engines.
    pub turns: u64,
    /// Retransmission timeouts of all engines.
    pub timeouts: u64,
    /// Segments sent again, by all engines.
    pub retransmitted: u64,
    /// Answers of routers to packets too big for them.
    pub too_big: u64,
    /// Forged ICMP errors.
    pub forged: u64,
    /// Times that a path turned out to be narrower than an engine believed.
    pub narrowed: u64,
    /// Connections accepted while the one before with the same ports was in TIME-WAIT.
    pub reopened: u64,
    /// Streams whose sequence numbers wrapped.
    pub wrapped: u64,
    /// When an application took the last octet, in virtual time.
    pub last_octet: Duration,
    /// How long it took to the end of the last TIME-WAIT, in virtual time.
    pub virtual_time: Duration,
    /// Digest of all that was on the wire, and when.
    pub digest: u64,
    /// The lines of the trace, if they were asked for.
    pub trace: Vec<String>,
}

/// A rule that was broken.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The class of its scenario.
    pub class: Class,
    /// Which rule, and how.
    pub what: String,
    /// The lines of the trace, if they were asked for.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        write!(
            f,
            "see it again: SIM_CLASS={} SIM_SEED={} cargo test -p byway-test-sim replay -- --nocapture \
             (SIM_TRACE=1 prints the wire)",
            self.class.name(),
            self.seed
        )
    }
}

/// Runs scenarios, one after another.
#[derive(Debug)]
pub struct Runner {
    spares: Spares,
}

impl Default for Runner {
    fn default() -> Self {
        // The allocator of the GNU library gives memory back, and then asks for it again, unless
        // something as large was freed before: 31 MiB teach it to keep what the engines of the
        // last run had, for those of the next.
        drop(black_box(Vec::<u8>::with_capacity(31 << 20)));
        Self {
            spares: Spares::default(),
        }
    }
}

impl Runner {
    /// Runs a scenario to its end.
    ///
    /// # Errors
    /// The first rule that was broken, by an engine or by the simulation.
    pub fn run(&mut self, scenario: &Scenario, options: Options) -> Result<Report, Failure> {
        let mut world = World::new(scenario, options, &mut self.spares);
        // The engine's own assertions count as rules, too.
        let done = catch_unwind(AssertUnwindSafe(|| world.run()));
        let mut report = std::mem::take(&mut world.report);
        report.digest = world.trace.digest;
        report.trace = world.trace.lines.take().unwrap_or_default();
        for node in &world.nodes {
            let counters = node.shard.tcp_counters();
            report.timeouts += counters.timeouts;
            report.retransmitted += counters.retrans_segs;
            report.narrowed += counters.path_mtu_reductions;
            report.reopened += node.host.borrow().reopened;
            report.last_octet = report.last_octet.max(node.last_octet());
        }
        report.wrapped = world.observer.wrapped();
        let what = match done {
            Ok(Ok(())) => {
                world.dissolve();
                return Ok(report);
            }
            Ok(Err(what)) => what,
            Err(panic) => format!("an assertion of the engine: {}", message(&*panic)),
        };
        Err(Failure {
            seed: scenario.seed,
            class: scenario.class,
            what,
            trace: report.trace,
        })
    }

    /// Runs the scenario of a seed.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn seed(&mut self, seed: u64, options: Options) -> Result<Report, Failure> {
        self.run(&Scenario::draw(seed), options)
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}
