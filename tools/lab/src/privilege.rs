//! Whether this process may make namespaces.

use std::io::Write;

/// True when this process has what a lab needs: it runs as root.
pub fn is_privileged() -> bool {
    rustix::process::geteuid().is_root()
}

/// For tests that need a lab: true when the test must be left out, after saying so.
///
/// The line starts with `SKIPPED` and goes to stderr past the test harness's capture, so that
/// nobody takes a run without privilege for a complete one.
///
/// # Panics
/// With `CI=true` in the environment: there, a test that is left out is a failure.
pub fn skip_unless_privileged(test: &str) -> bool {
    if is_privileged() {
        return false;
    }
    let line = format!("SKIPPED {test}: needs root\n");
    // Not eprint!: the harness would swallow it. Losing the line is no reason to fail.
    std::io::stderr().write_all(line.as_bytes()).ok();
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "{test} needs root, and CI=true allows no skipped test");
    true
}
