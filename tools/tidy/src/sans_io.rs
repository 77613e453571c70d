//! The wire and TCP crates read no clock, no socket and no global: all they know is passed in.

use crate::Finding;
use crate::code::{self, strip};
use crate::files::SourceFile;

const CRATES: [&str; 2] = ["engine/wire/src/", "engine/tcp/src/"];

/// What would let the outside in.
const SOURCES: [&str; 9] = [
    "std::time::Instant",
    "SystemTime",
    "std::thread",
    "thread_local!",
    "std::fs",
    "std::env",
    "TcpStream",
    "UdpSocket",
    "static mut ",
];

/// Checks a source file of these crates, without its tests.
pub(crate) fn check(file: &SourceFile) -> Vec<Finding> {
    if !CRATES
        .iter()
        .any(|directory| file.path.starts_with(directory))
    {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in code::without_tests(&file.text) {
        let line = strip(line);
        for source in SOURCES.iter().filter(|source| line.contains(**source)) {
            let message = format!("{source} in a crate that must be told everything it knows");
            findings.push(Finding::new(&file.path, number, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_in_the_core_is_found() {
        let text = "fn now() {\n    std::time::Instant::now(); // std::fs\n}\n";
        let found = check(&SourceFile::new("engine/tcp/src/rtt.rs", text));
        assert_eq!(
            found.iter().map(|finding| finding.line).collect::<Vec<_>>(),
            [2]
        );
        assert_eq!(
            check(&SourceFile::new("engine/stack/src/clock.rs", text)),
            []
        );
    }

    #[test]
    fn tests_may_do_what_they_like() {
        let text = "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_eq!(check(&SourceFile::new("engine/wire/src/arp.rs", text)), []);
    }
}
