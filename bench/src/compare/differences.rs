//! What differs between two results besides the figures, and may be why those do.

use super::{Change, Delta, is_same, mode, pairs};
use crate::metric::{Metric, run_title};
use crate::result::{ResultFile, Run};
use crate::table::connections;
use std::collections::BTreeSet;

/// All that a reader of the comparison must know.
pub(super) fn warnings(old: &ResultFile, new: &ResultFile, deltas: &[Delta]) -> Vec<String> {
    let mut warnings = Vec::new();
    let machine = machine(old, new);
    if !machine.is_empty() {
        warnings.push(format!(
            "Not the same machine: {}. Such figures say little about the program.",
            machine.join("; ")
        ));
    }
    let settings = settings(old, new);
    if !settings.is_empty() {
        warnings.push(format!("Measured in another way: {}.", settings.join("; ")));
    }
    warnings.extend(offloads(old, new));
    warnings.extend(drifted(old, new, deltas));
    for (side, file) in [("old", old), ("new", new)] {
        let partial = file
            .partial
            .then(|| format!("The {side} result is partial."));
        warnings.extend(partial);
        warnings.extend(crate::warnings::disturbed(file).map(|what| format!("{side}: {what}")));
        let invalid = file.runs.iter().filter(|run| !run.valid);
        warnings.extend(invalid.map(|run| {
            format!(
                "The {side} one is invalid and left out: {}.",
                run_title(run)
            )
        }));
    }
    warnings.extend(unmatched(old, new, "the new result"));
    warnings.extend(unmatched(new, old, "the old result"));
    warnings
}

/// `what: old, now new`, for everything that is not the same.
fn changes(facts: &[(&str, String, String)]) -> Vec<String> {
    facts
        .iter()
        .filter(|(_, old, new)| old != new)
        .map(|(what, old, new)| format!("{what} {old}, now {new}"))
        .collect()
}

fn machine(old: &ResultFile, new: &ResultFile) -> Vec<String> {
    let (before, after) = (&old.environment, &new.environment);
    let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let mut changes = changes(&[
        ("kernel", before.kernel.clone(), after.kernel.clone()),
        (
            "processor",
            before.cpu_model.clone(),
            after.cpu_model.clone(),
        ),
        (
            "processors",
            before.cpus.to_string(),
            after.cpus.to_string(),
        ),
        ("clock", word(&before.clocksource), word(&after.clocksource)),
        ("governor", word(&before.governor), word(&after.governor)),
        (
            "congestion control",
            word(&before.congestion_control),
            word(&after.congestion_control),
        ),
    ]);
    let names: BTreeSet<&String> = before
        .mitigations
        .keys()
        .chain(after.mitigations.keys())
        .collect();
    let mitigations: Vec<&str> = names
        .into_iter()
        .filter(|name| before.mitigations.get(*name) != after.mitigations.get(*name))
        .map(String::as_str)
        .collect();
    // The first versions did not look at it.
    if !before.tcp.is_empty() && !after.tcp.is_empty() && before.tcp != after.tcp {
        changes.push("other settings of the kernel's TCP".to_owned());
    }
    if !mitigations.is_empty() {
        changes.push(format!("other mitigations of {}", mitigations.join(", ")));
    }
    changes
}

fn settings(old: &ResultFile, new: &ResultFile) -> Vec<String> {
    let (before, after) = (&old.parameters, &new.parameters);
    let seconds = |value: f64| format!("{value} s");
    let cpu = |value: Option<usize>| value.map_or("elsewhere".to_owned(), |cpu| cpu.to_string());
    changes(&[
        (
            "rounds of",
            seconds(before.duration_s),
            seconds(after.duration_s),
        ),
        ("warm-up", seconds(before.warmup_s), seconds(after.warmup_s)),
        (
            "server on processor",
            cpu(before.server_cpu),
            cpu(after.server_cpu),
        ),
        (
            "generator on processor",
            cpu(before.generator_cpu),
            cpu(after.generator_cpu),
        ),
    ])
}

/// The runs whose interfaces were set in another way.
fn offloads(old: &ResultFile, new: &ResultFile) -> Option<String> {
    let differ: Vec<String> = pairs(old, new)
        .into_iter()
        .filter(|(old, new)| old.offloads != new.offloads)
        .map(|(old, _)| run_title(old))
        .collect();
    (!differ.is_empty()).then(|| format!("With other offloads: {}.", differ.join("; ")))
}

/// That the kernel, which is the same, answers at another rate: then it is the machine that changed,
/// and what Byway changed by is not Byway's alone.
fn drifted(old: &ResultFile, new: &ResultFile, deltas: &[Delta]) -> Option<String> {
    if old.environment.kernel != new.environment.kernel {
        return None;
    }
    let changed: Vec<String> = deltas
        .iter()
        .filter(|delta| delta.target.is_linux() && delta.metric == Metric::Rate)
        .filter(|delta| matches!(delta.change, Change::Better | Change::Worse))
        .map(|delta| {
            let percent = (delta.ratio.ratio - 1.0) * 100.0;
            let (name, count) = (delta.target.name(), connections(delta.connections));
            format!("{name} with {count} {percent:+.1} %")
        })
        .collect();
    (!changed.is_empty()).then(|| {
        format!(
            "The machine was not as it was: the same kernel answers at another rate ({}). What \
             Byway changed by is not Byway's alone.",
            changed.join(", ")
        )
    })
}

/// Runs of one result that the other does not have.
fn unmatched(of: &ResultFile, other: &ResultFile, where_not: &str) -> Vec<String> {
    let word = |run: &Run| mode(run).unwrap_or_else(|| "none".to_owned());
    let missing = of
        .runs
        .iter()
        .filter(|run| !other.runs.iter().any(|candidate| is_same(run, candidate)));
    missing
        .map(|run| {
            let twin = other.runs.iter().find(|candidate| {
                candidate.scenario == run.scenario && candidate.cell() == run.cell()
            });
            match twin {
                Some(twin) => format!(
                    "Not in {where_not} in XDP mode {}, but in {}: {}.",
                    word(run),
                    word(twin),
                    run_title(run)
                ),
                None => format!("Not in {where_not}: {}.", run_title(run)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Comparison, Source};
    use crate::result::tests::{run, sample};
    use crate::scenario::Target;

    fn told(old: &ResultFile, new: &ResultFile) -> Vec<String> {
        let source = |file| Source::new(String::new(), file);
        Comparison::new(source(old), source(new), (old, new)).warnings
    }

    #[test]
    fn the_same_result_twice_needs_no_warning() {
        assert_eq!(told(&sample(), &sample()), Vec::<String>::new());
    }

    #[test]
    fn another_machine_and_another_way_are_told() {
        let (old, mut new) = (sample(), sample());
        new.environment.kernel = "9.9".to_owned();
        new.environment.cpus = 4096;
        new.environment
            .mitigations
            .insert("meltdown".to_owned(), "Vulnerable".to_owned());
        new.parameters.duration_s = 7.5;
        let told = told(&old, &new);
        assert!(
            told[0].starts_with("Not the same machine: kernel "),
            "{told:?}"
        );
        for words in ["now 9.9", "now 4096", "other mitigations of meltdown"] {
            assert!(told[0].contains(words), "{told:?}");
        }
        assert_eq!(
            told[1],
            "Measured in another way: rounds of 1 s, now 7.5 s."
        );
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn a_kernel_that_changed_its_rate_gives_the_machine_away() {
        let (old, mut new) = (sample(), sample());
        new.runs[0] = run(Target::LinuxBlocking, 1, &[20_000, 20_500, 19_500]);
        let told = told(&old, &new);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("linux-blocking with 1 connection -50.0 %"),
            "{told:?}"
        );
        new.environment.kernel = "9.9".to_owned();
        assert!(
            !self::told(&old, &new)
                .iter()
                .any(|w| w.contains("not as it was"))
        );
    }

    #[test]
    fn runs_without_a_partner_are_told() {
        let (old, mut new) = (sample(), sample());
        new.runs[2].target_xdp_mode = Some("generic".to_owned());
        new.runs.remove(3);
        new.runs[3].valid = false;
        let told = told(&old, &new);
        let says = |words: &str| told.iter().any(|warning| warning.contains(words));
        assert!(
            says("Not in the new result in XDP mode none, but in generic: byway, 1 "),
            "{told:?}"
        );
        assert!(
            says("Not in the new result: linux-blocking, 100 connections"),
            "{told:?}"
        );
        assert!(
            says("The new one is invalid and left out: linux-spinning, 100"),
            "{told:?}"
        );
        assert!(!says("linux-spinning, 1 connection"), "{told:?}");
    }
}
