//! All measures, in the order of the table, with their targets.

use crate::bed::Bed;
use crate::frames::MSS;
use crate::memory::{self, Million};
use crate::meter::{Meter, timer_cost};
use crate::micro::{Sums, lookups, timers};
use crate::report::Measure;
use crate::report::Target::{AtLeast, AtMost};
use crate::sample::{Effort, Sample, measure};
use crate::scenario::{Inflow, Outflow, Requests, Scenario, Segments, Terms, Visits};
use crate::services::Sink;
#[cfg(feature = "peers")]
use crate::smol::Smol;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

/// Counts what is allocated.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a run of the suite is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) terms: Terms,
    pub(crate) effort: Effort,
}

/// What measures something and gives rows of the table.
type Measurer = fn(&Context) -> Result<Vec<Measure>, String>;

/// The groups of measures by name.
pub(crate) const GROUPS: [(&str, Measurer); 10] = [
    // First: what it takes is the growth of a process that has not freed anything yet.
    ("million", million),
    ("segments", segments),
    ("echo", echo),
    ("visits", visits),
    ("bulk", bulk),
    ("checksum", checksums),
    ("timers", wheel),
    ("flows", flows),
    ("allocations", allocations),
    ("turns", turns),
];

fn one(context: &Context, mut scenario: impl Scenario) -> Result<Sample, String> {
    let samples = measure(context.effort, &mut [&mut scenario])?;
    Ok(samples.into_iter().next().unwrap_or_default())
}

fn ns(name: &str, what: &str, sample: Sample) -> Measure {
    Measure::new(name, what, "ns", sample)
}

fn segments(context: &Context) -> Result<Vec<Measure>, String> {
    let terms = context.terms;
    let own = one(context, Segments::acknowledged_each(terms, 1, 1))?;
    let batched = one(context, Segments::acknowledged_each(terms, 1000, 32))?;
    let together = one(context, Segments::acknowledged_together(terms, 32))?;
    Ok(vec![
        ns(
            "timer",
            "timer: two readings, once a stretch of turns",
            Sample::of(timer_cost()),
        ),
        ns("segment_1", "64 B segment and its ACK, 1 connection", own).target(AtMost(60.0)),
        ns(
            "segment_1000",
            "the same, 1,000 connections, 32 a turn",
            batched,
        ),
        ns(
            "segment_burst",
            "the same, 1 connection, 1 ACK a burst of 32",
            together,
        )
        .target(AtMost(35.0)),
    ])
}

fn million(context: &Context) -> Result<Vec<Measure>, String> {
    let Million { memory, segment } = memory::million(context.terms, context.effort)?;
    Ok(vec![
        ns(
            "segment_1m",
            "64 B segment and its ACK, 1,000,000 active, 32 a turn",
            segment,
        )
        .target(AtMost(120.0)),
        Measure::new(
            "idle_memory",
            "memory an idle connection, of 1,000,000 (RSS)",
            "B",
            memory,
        )
        .target(AtMost(384.0)),
    ])
}

/// One exchange of 64 octets both ways, with the targets for its time and against the peer's.
struct Exchange {
    name: &'static str,
    what: &'static str,
    clients: usize,
    per_turn: usize,
    target: Option<f64>,
    times: f64,
}

const EXCHANGES: [Exchange; 3] = [
    Exchange {
        name: "echo_1",
        what: "64 B request and response, 1 connection",
        clients: 1,
        per_turn: 1,
        target: Some(100.0),
        times: 1.8,
    },
    Exchange {
        name: "echo_1000_batched",
        what: "the same, 1,000 connections, 32 a turn",
        clients: 1000,
        per_turn: 32,
        target: Some(100.0),
        times: 10.0,
    },
    Exchange {
        name: "echo_1000_single",
        what: "the same, 1,000 connections, 1 a turn",
        clients: 1000,
        per_turn: 1,
        target: None,
        times: 80.0,
    },
];

fn echo(context: &Context) -> Result<Vec<Measure>, String> {
    let mut rows = Vec::new();
    for exchange in &EXCHANGES {
        let ours = Requests::new(context.terms, exchange.clients, exchange.per_turn);
        let samples = beside(context, ours, |terms| {
            peer_requests(terms, exchange.clients, exchange.per_turn)
        })?;
        let row = ns(exchange.name, exchange.what, samples.ours.clone());
        let row = match exchange.target {
            Some(limit) => row.target(AtMost(limit)),
            None => row,
        };
        let Some(theirs) = samples.theirs else {
            rows.push(row);
            continue;
        };
        let ratio = theirs.over(&samples.ours);
        rows.push(row.peer("smoltcp", &theirs, &ratio));
        let name = format!("{}_ratio", exchange.name);
        let times = Measure::new(&name, "  times faster than smoltcp", "x", ratio);
        rows.push(times.target(AtLeast(exchange.times)));
    }
    Ok(rows)
}

fn visits(context: &Context) -> Result<Vec<Measure>, String> {
    let batched = one(context, Visits::new(context.terms, 32))?;
    let single = one(context, Visits::new(context.terms, 1))?;
    let rate = batched.map(|ns| 1000.0 / ns);
    Ok(vec![
        ns(
            "visit_batched",
            "handshake, request, response, close; 32 frames a turn",
            batched,
        )
        .target(AtMost(800.0)),
        Measure::new("visit_rate", "  connections", "M/s", rate).target(AtLeast(1.2)),
        ns("visit_single", "the same, 1 frame a turn", single),
    ])
}

fn bulk(context: &Context) -> Result<Vec<Measure>, String> {
    let inflow = beside(context, Inflow::new(context.terms), peer_inflow)?;
    let outflow = beside(context, Outflow::new(context.terms), peer_outflow)?;
    let row = |name, what, pair: Pair| {
        let gbits = |sample: &Sample| sample.map(|ns_an_octet| 8.0 / ns_an_octet);
        let ours = gbits(&pair.ours);
        let row = Measure::new(name, what, "Gbit/s", ours.clone()).target(AtLeast(60.0));
        match pair.theirs.as_ref().map(gbits) {
            Some(theirs) => row.peer("smoltcp", &theirs, &ours.over(&theirs)),
            None => row,
        }
    };
    Ok(vec![
        row(
            "bulk_receive",
            "bulk receive, full segments, 64 a turn",
            inflow,
        ),
        row(
            "bulk_send",
            "bulk send, full segments, an ACK for every second",
            outflow,
        ),
    ])
}

/// Our values, and those of the peer when there is one.
struct Pair {
    ours: Sample,
    theirs: Option<Sample>,
}

/// Measures a scenario and, in turn with it, the peer's.
fn beside(
    context: &Context,
    mut ours: impl Scenario,
    theirs: impl Fn(Terms) -> Option<Box<dyn Scenario>>,
) -> Result<Pair, String> {
    let mut theirs = theirs(context.terms);
    let mut scenarios: Vec<&mut dyn Scenario> = vec![&mut ours];
    if let Some(theirs) = &mut theirs {
        scenarios.push(&mut **theirs);
    }
    let mut samples = measure(context.effort, &mut scenarios)?.into_iter();
    Ok(Pair {
        ours: samples.next().unwrap_or_default(),
        theirs: samples.next(),
    })
}

#[cfg(feature = "peers")]
fn peer_requests(terms: Terms, clients: usize, per_turn: usize) -> Option<Box<dyn Scenario>> {
    Some(Box::new(Smol::requests(terms, clients, per_turn)))
}

#[cfg(feature = "peers")]
fn peer_inflow(terms: Terms) -> Option<Box<dyn Scenario>> {
    Some(Box::new(Smol::inflow(terms)))
}

#[cfg(feature = "peers")]
fn peer_outflow(terms: Terms) -> Option<Box<dyn Scenario>> {
    Some(Box::new(Smol::outflow(terms)))
}

#[cfg(not(feature = "peers"))]
fn peer_requests(_: Terms, _: usize, _: usize) -> Option<Box<dyn Scenario>> {
    None
}

#[cfg(not(feature = "peers"))]
fn peer_inflow(_: Terms) -> Option<Box<dyn Scenario>> {
    None
}

#[cfg(not(feature = "peers"))]
fn peer_outflow(_: Terms) -> Option<Box<dyn Scenario>> {
    None
}

fn checksums(context: &Context) -> Result<Vec<Measure>, String> {
    let Sums {
        sum,
        copy_sum,
        memcpy,
    } = Sums::measure(context.effort.repeats);
    Ok(vec![
        ns("memcpy", "memcpy of 1460 B in the cache", memcpy.clone()),
        ns("checksum", "checksum of the same", sum.clone()),
        Measure::new("checksum_ratio", "  over memcpy", "x", sum.over(&memcpy)).target(AtMost(1.2)),
        ns(
            "copy_checksum",
            "copy and checksum in one",
            copy_sum.clone(),
        ),
        Measure::new(
            "copy_checksum_ratio",
            "  over memcpy",
            "x",
            copy_sum.over(&memcpy),
        )
        .target(AtMost(1.8)),
    ])
}

fn wheel(context: &Context) -> Result<Vec<Measure>, String> {
    let sample = timers(context.effort.repeats, 1_000_000);
    let what = "timer armed, cancelled or fired, 1,000,000 armed";
    Ok(vec![ns("timer_wheel", what, sample).target(AtMost(15.0))])
}

fn flows(context: &Context) -> Result<Vec<Measure>, String> {
    let million = lookups(context.effort.repeats, 1_000_000);
    let many = lookups(context.effort.repeats, 10_000_000);
    Ok(vec![
        ns("lookup_1m", "flow hashed and found, of 1,000,000", million),
        ns("lookup_10m", "the same, of 10,000,000", many),
    ])
}

/// Allocations while warm scenarios run, the clients' included, which make none.
fn allocations(context: &Context) -> Result<Vec<Measure>, String> {
    let scenarios: [Box<dyn Scenario>; 3] = [
        Box::new(Requests::new(context.terms, 1000, 32)),
        Box::new(Visits::new(context.terms, 32)),
        Box::new(Outflow::new(context.terms)),
    ];
    let mut allocated = 0;
    for mut scenario in scenarios {
        let mut meter = Meter::idle();
        for _ in 0..64 {
            scenario.batch(&mut meter);
        }
        let region = Region::new(ALLOCATOR);
        for _ in 0..16 {
            scenario.batch(&mut meter);
        }
        let change = region.change();
        allocated += change.allocations + change.reallocations;
        scenario.check()?;
    }
    let what = "allocations of 32,768 requests, 8,192 visits, 47 MB sent";
    let sample = Sample::of(allocated as f64);
    Ok(vec![
        Measure::new("allocations", what, "", sample).target(AtMost(0.0)),
    ])
}

/// What a turn takes that finds nothing to do: the part of every turn that is shared by its frames.
fn idle_turn(context: &Context) -> Measure {
    let mut bed = Bed::new(&context.terms.setup(1000, 1, MSS), Box::new(Sink));
    bed.establish();
    let mut sample = Sample::default();
    for _ in 0..context.effort.repeats {
        sample.push(bed.idle_turns(100_000));
    }
    ns("turn_idle", "turn that finds nothing to do", sample)
}

/// How long turns take, each timed by itself.
fn turns(context: &Context) -> Result<Vec<Measure>, String> {
    let scenarios: [(&str, &str, Box<dyn Scenario>); 2] = [
        (
            "turn_echo",
            "turn with 32 requests of 1,000 connections",
            Box::new(Requests::new(context.terms, 1000, 32)),
        ),
        (
            "turn_visit",
            "turn with 32 frames of visits",
            Box::new(Visits::new(context.terms, 32)),
        ),
    ];
    let mut rows = vec![idle_turn(context)];
    for (name, what, mut scenario) in scenarios {
        let mut idle = Meter::idle();
        for _ in 0..8 {
            scenario.batch(&mut idle);
        }
        let mut meter = Meter::of_turns();
        for _ in 0..context.effort.repeats * 64 {
            scenario.batch(&mut meter);
        }
        scenario.check()?;
        let Some(histogram) = meter.histogram() else {
            continue;
        };
        for (part, label, value) in [
            ("p50", "p50", histogram.value_at_quantile(0.5)),
            ("p99", "  p99", histogram.value_at_quantile(0.99)),
            ("p999", "  p99.9", histogram.value_at_quantile(0.999)),
            ("max", "  worst", histogram.max()),
        ] {
            let what = match part {
                "p50" => format!("{what}, {label}"),
                _ => label.to_owned(),
            };
            let sample = Sample::of(value as f64);
            rows.push(ns(&format!("{name}_{part}"), &what, sample));
        }
    }
    Ok(rows)
}

/// Ten million connections: minutes of work and gigabytes of memory, so only when asked for.
///
/// # Errors
/// What went wrong.
pub(crate) fn ten_million(context: &Context) -> Result<Vec<Measure>, String> {
    let many = memory::many(context.terms, context.effort, 10 * memory::MILLION)?;
    let row =
        |name: &str, what: &str, unit, value| Measure::new(name, what, unit, Sample::of(value));
    Ok(vec![
        row(
            "ten_million_time",
            "10,000,000 handshakes, clients included",
            "s",
            many.seconds,
        )
        .target(AtMost(60.0)),
        row(
            "ten_million_memory",
            "  memory of the process (RSS)",
            "GiB",
            many.process,
        )
        .target(AtMost(5.0)),
        row(
            "ten_million_each",
            "  memory a connection (RSS)",
            "B",
            many.memory,
        ),
        ns(
            "ten_million_request",
            "  request, response, ACK on random ones, 32 a turn",
            many.request,
        ),
    ])
}
