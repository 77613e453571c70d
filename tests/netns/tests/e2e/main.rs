//! `byway serve` over veth, with the kernel and other people's programs as clients. Needs root.
#![forbid(unsafe_code)]

mod bench_command;
mod clients;
mod coexistence;
mod expert;
mod lab_command;
mod lifecycle;
mod preflight;
mod streams;

use byway_lab::{LabGuard, Options};

/// A lab of the test's own; none, after saying so, when the test must be left out.
fn lab(test: &str) -> Option<LabGuard> {
    lab_with(test, &Options::default())
}

fn lab_with(test: &str, options: &Options) -> Option<LabGuard> {
    if byway_lab::skip_unless_privileged(test) {
        return None;
    }
    Some(LabGuard::up("bwn", options).expect("a lab can be made"))
}
