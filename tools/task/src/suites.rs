//! The suites of `make test`, in their order.

use crate::{Failure, Outcome};
use std::time::Duration;

/// A part of the tests with a name and a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    minutes: u64,
}

impl Suite {
    /// What it should take at most on two cores. Beyond twice that, it is killed.
    pub(crate) const fn budget(&self) -> Duration {
        Duration::from_secs(self.minutes * 60)
    }
}

/// What a suite runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A cargo command.
    Cargo(&'static [&'static str]),
    /// Compiles all tests once; the suites that follow run what it built.
    Build,
    /// The tests of these packages, as root when asked for.
    Tests {
        packages: &'static [&'static str],
        root: bool,
    },
    /// The tests of all packages that no other suite has.
    OtherTests,
}

const fn suite(name: &'static str, minutes: u64, kind: Kind) -> Suite {
    Suite {
        name,
        kind,
        minutes,
    }
}

const fn tests(name: &'static str, minutes: u64, packages: &'static [&'static str]) -> Suite {
    suite(
        name,
        minutes,
        Kind::Tests {
            packages,
            root: false,
        },
    )
}

const fn root_tests(name: &'static str, minutes: u64, packages: &'static [&'static str]) -> Suite {
    suite(
        name,
        minutes,
        Kind::Tests {
            packages,
            root: true,
        },
    )
}

const FMT: Suite = suite("fmt", 1, Kind::Cargo(&["fmt", "--all", "--", "--check"]));
const CLIPPY: Suite = suite(
    "clippy",
    3,
    Kind::Cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]),
);
const BUILD: Suite = suite("build", 5, Kind::Build);
const TIDY: Suite = tests("tidy", 1, &["byway-tidy"]);
const DOC: Suite = suite(
    "doc",
    2,
    Kind::Cargo(&["test", "--quiet", "--workspace", "--doc", "--locked"]),
);

/// Counts instructions and compares them with the baseline. Optimised, as users run it, and without
/// the stacks that it is compared with otherwise.
pub(crate) const ICOUNT: &[&str] = &[
    "run",
    "--release",
    "--quiet",
    "--package",
    "byway-bench-engine",
    "--no-default-features",
    "--locked",
    "--",
    "icount",
];

/// Everything.
pub(crate) const ALL: [Suite; 16] = [
    FMT,
    CLIPPY,
    BUILD,
    TIDY,
    suite("unit", 2, Kind::OtherTests),
    DOC,
    tests("lossy", 1, &["byway-test-lossy"]),
    tests("sim", 1, &["byway-test-sim"]),
    root_tests("lab", 1, &["byway-lab"]),
    root_tests("xdp", 1, &["byway-xdp"]),
    root_tests("netns", 2, &["byway-test-netns"]),
    root_tests("interop", 1, &["byway-test-interop"]),
    root_tests("script", 1, &["byway-test-script"]),
    root_tests("wire", 1, &["byway-impair"]),
    root_tests("bench", 1, &["byway-bench"]),
    suite("icount", 1, Kind::Cargo(ICOUNT)),
];

/// What needs no test to run.
pub(crate) const LINT: [Suite; 4] = [FMT, CLIPPY, BUILD, TIDY];

/// The suites of these names, in the order of [`ALL`]; `build` comes along.
pub(crate) fn named(names: &[&str]) -> Outcome<Vec<Suite>> {
    if let Some(unknown) = names
        .iter()
        .find(|name| ALL.iter().all(|suite| suite.name != **name))
    {
        let known: Vec<&str> = ALL.iter().map(|suite| suite.name).collect();
        let message = format!("there is no suite {unknown}; there are {}", known.join(" "));
        return Err(Failure { message, code: 2 });
    }
    let wanted = |suite: &&Suite| suite.kind == Kind::Build || names.contains(&suite.name);
    Ok(ALL.iter().filter(wanted).copied().collect())
}

/// True for packages whose tests have a suite of their own.
pub(crate) fn is_special(package: &str) -> bool {
    ALL.iter().any(|suite| match suite.kind {
        Kind::Tests { packages, .. } => packages.contains(&package),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_keeps_the_order_and_brings_the_build() {
        let chosen = named(&["lossy", "fmt"]).unwrap();
        let names: Vec<&str> = chosen.iter().map(|suite| suite.name).collect();
        assert_eq!(names, ["fmt", "build", "lossy"]);
        assert_eq!(named(&["nonsense"]).unwrap_err().code, 2);
    }

    #[test]
    fn all_budgets_together_are_what_ci_has() {
        let minutes: u64 = ALL.iter().map(|suite| suite.minutes).sum();
        assert!(minutes <= 25, "budgets add up to {minutes} minutes");
    }

    #[test]
    fn packages_with_a_suite_are_not_in_the_rest() {
        assert!(is_special("byway-xdp") && is_special("byway-tidy"));
        assert!(!is_special("byway-tcp"));
    }
}
