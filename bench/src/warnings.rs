//! What a reader must know before using the figures.

use crate::result::{ResultFile, Run};
use crate::scenario::{Generator, Target};
use crate::stats::MIN_ROUNDS;
use crate::table::{connections, grouped};

/// From this share of its time on, a generator is the limit rather than the server.
const FULL: f64 = 0.95;

/// From this share on, what other programs do is more than noise.
pub(crate) const DISTURBED: f64 = 0.05;

/// All warnings that the result gives cause for, the general ones last.
pub(crate) fn of(file: &ResultFile) -> Vec<String> {
    let mut warnings: Vec<String> = partial(file).into_iter().collect();
    warnings.extend(file.runs.iter().filter_map(broken));
    let parameters = &file.parameters;
    if (parameters.rounds as usize) < MIN_ROUNDS {
        warnings.push(format!(
            "For a comparison it takes {MIN_ROUNDS} rounds at least."
        ));
    }
    if parameters.server_cpu.is_some() && parameters.server_cpu == parameters.generator_cpu {
        warnings.push(
            "Server and generator share the only processor: the figures tell of their quarrel \
             more than of either."
                .to_owned(),
        );
    }
    warnings.extend(disturbed(file));
    let full: Vec<String> = file
        .groups()
        .iter()
        .filter_map(|group| full_in(group))
        .collect();
    if !full.is_empty() {
        warnings.push(format!(
            "The generator was never idle with {}. There the figures are what it can ask, and the \
             server may be able to answer more.",
            full.join("; ")
        ));
    }
    let generic = |mode: &Option<String>| mode.as_deref() == Some("generic");
    if file
        .runs
        .iter()
        .any(|run| generic(&run.target_xdp_mode) || generic(&run.generator_xdp_mode))
    {
        warnings.push(
            "XDP ran in generic mode: the kernel still allocates and copies each packet. On a \
             network card, native or zero-copy mode costs less."
                .to_owned(),
        );
    }
    warnings.push(kind_of_loop(file));
    if file.environment.virtual_machine == Some(true) {
        warnings.push(
            "This is a virtual machine: its processors are taken away for moments that no counter \
             shows. Do not trust p99.9 and maximum where they are below 100 us, and compare \
             figures only within this file."
                .to_owned(),
        );
    }
    if parameters.server_cpu.is_some() {
        warnings.push(
            "The wire is a veth pair: the receive side of one end runs on the processor of the \
             other, so each side pays for some work of its peer. Look at the processors of both."
                .to_owned(),
        );
    }
    warnings
}

/// What the kind of load hides or shows.
fn kind_of_loop(file: &ResultFile) -> String {
    match file.parameters.arrivals {
        None => {
            "The load is a closed loop: a connection sends its next request only after a response, \
             so a server that stalls is also asked less. Time that requests would have waited in a \
             queue does not show; latencies under a fixed rate of arrivals are higher."
        }
        Some(_) => {
            "The load is an open loop: requests leave when it is their time, answered or not. A \
             response time counts from then, the wait for a busy connection included; a service \
             time counts from when the request was sent."
        }
    }
    .to_owned()
}

/// That the user ended it.
pub(crate) fn partial(file: &ResultFile) -> Option<String> {
    file.partial.then(|| {
        "This result is partial: it was interrupted before all rounds were measured.".to_owned()
    })
}

/// That other programs took more than a little of the processors.
pub(crate) fn disturbed(file: &ResultFile) -> Option<String> {
    let others = file
        .runs
        .iter()
        .filter_map(|run| run.other_cpu_share)
        .fold(0.0, f64::max);
    (others >= DISTURBED).then(|| {
        format!(
            "Other programs took up to {:.0} % of the two processors while they were measured. \
             Repeat it on a machine that is quiet.",
            others * 100.0
        )
    })
}

/// Why a run does not count.
fn broken(run: &Run) -> Option<String> {
    if let Some(failure) = run.failure() {
        return Some(format!("{}: a round failed: {failure}", name(run)));
    }
    if run.errors.total() > 0 {
        return Some(format!(
            "{}: invalid: {}.",
            name(run),
            run.errors.describe()
        ));
    }
    if !run.faults().is_empty() {
        return Some(format!(
            "{}: invalid: {}.",
            name(run),
            run.faults().join("; ")
        ));
    }
    (!run.valid).then(|| format!("{}: invalid: no request was answered.", name(run)))
}

/// True when the generator had no time left, and the server is not known to have had none either.
/// A blocking generator is full when it keeps its processor busy; one that polls does so anyway.
fn is_full(run: &Run) -> bool {
    if run.open_loop.is_some() {
        // That is a reason not to count.
        return false;
    }
    let alone = run.other_cpu_share.is_some_and(|share| share < DISTURBED);
    let generator = run.generator_work_share >= FULL
        || run.generator == Generator::Kernel && alone && run.generator_cpu.busy_share >= FULL;
    // Of the servers only this one sleeps when it has nothing to do, so that busy means full.
    let server = run.target == Target::LinuxBlocking
        && run.server_cpu.is_some_and(|cpu| cpu.busy_share >= FULL);
    generator && !server
}

/// The runs of a group in which the generator was full: `100 connections (byway), AF_XDP ...`.
fn full_in(group: &[&Run]) -> Option<String> {
    let full: Vec<&&Run> = group
        .iter()
        .filter(|run| run.valid && is_full(run))
        .collect();
    let first = full.first()?;
    let targets: Vec<&str> = full.iter().map(|run| run.target.name()).collect();
    Some(format!(
        "{} from the {} ({})",
        connections(first.connections),
        first.generator.title(),
        targets.join(", ")
    ))
}

fn name(run: &Run) -> String {
    let (target, generator) = (run.target.title(), run.generator.title());
    let rate = match run.rate_asked_per_s {
        Some(rate) => format!(" at {} requests a second", grouped(rate as f64)),
        None => String::new(),
    };
    let connections = connections(run.connections);
    format!("{target}{rate}, {connections}, {generator}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::sample;

    #[test]
    fn the_closed_loop_is_always_told() {
        assert!(
            of(&sample())
                .iter()
                .any(|warning| warning.contains("closed loop"))
        );
    }

    #[test]
    fn what_is_partial_or_open_is_told_as_such() {
        let mut file = crate::curve::tests::sweep();
        let said = of(&file).join("\n");
        assert!(said.contains("is an open loop"), "{said}");
        assert!(!said.contains("closed loop") && !said.contains("partial"));
        assert!(
            said.contains("Linux, blocking epoll at 90,000 requests a second"),
            "{said}"
        );
        assert!(said.contains("invalid: the rate was not reached"), "{said}");
        file.partial = true;
        assert!(of(&file)[0].contains("partial"));
        assert_eq!(file.checked().unwrap_err().exit_code(), 130);
    }

    #[test]
    fn causes_are_told_and_only_where_they_are() {
        let mut file = sample();
        file.environment.virtual_machine = Some(false);
        let says = |file: &ResultFile, words: &str| of(file).iter().any(|w| w.contains(words));
        for words in [
            "virtual machine",
            "generic",
            "never idle",
            "invalid",
            "quarrel",
            "Other",
        ] {
            assert!(!says(&file, words), "{words}");
        }
        file.environment.virtual_machine = Some(true);
        file.runs[0].target_xdp_mode = Some("generic".to_owned());
        file.runs[1].generator_work_share = 0.99;
        file.runs[2].errors.mismatched = 2;
        file.runs[3].other_cpu_share = Some(0.25);
        file.parameters.generator_cpu = Some(0);
        for words in [
            "virtual machine",
            "generic",
            "never idle",
            "quarrel",
            "25 %",
        ] {
            assert!(says(&file, words), "{words}");
        }
        assert!(says(&file, "2 responses with wrong content"));
    }
}
