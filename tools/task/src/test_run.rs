//! Running suites: each to its end, whatever became of the others.

use crate::cargo::{self, Executable};
use crate::process::{self, Capture, Run};
use crate::suites::{self, Kind, Suite};
use crate::table::{self, Row, Verdict};
use crate::{Failure, Outcome, root};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What the suites share.
struct Session {
    executables: Vec<Executable>,
    byway: Option<PathBuf>,
    /// Privileged tests can run as root.
    root: bool,
    ci: bool,
}

/// What came of a suite, or of a part of one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Score {
    failed: bool,
    timed_out: bool,
    tests: u32,
    skipped: u32,
}

impl Score {
    fn add(&mut self, other: &Self) {
        self.failed |= other.failed;
        self.timed_out |= other.timed_out;
        self.tests += other.tests;
        self.skipped += other.skipped;
    }
}

/// Runs the suites in order and prints the table. An error when one of them failed.
pub(crate) fn run(suites: &[Suite]) -> Outcome {
    let privileged = suites
        .iter()
        .any(|suite| matches!(suite.kind, Kind::Tests { root: true, .. }));
    let mut session = Session {
        executables: Vec::new(),
        byway: None,
        // Ask for the password now, not after minutes of compiling.
        root: privileged && root::ready(),
        ci: std::env::var("CI").is_ok_and(|value| value == "true"),
    };
    let mut rows: Vec<Row> = Vec::new();
    for suite in suites {
        let broken = rows
            .iter()
            .any(|row| row.suite == "build" && !row.is_good());
        let start = Instant::now();
        let (verdict, score) = if broken {
            (Verdict::NotRun, Score::default())
        } else {
            eprintln!("==> {}", suite.name);
            let score = session.score(suite);
            // Whoever was killed could not remove its labs.
            if score.as_ref().map_or(true, |score| score.timed_out) {
                session.remove_labs();
            }
            let score = score?;
            (session.verdict(&score), score)
        };
        rows.push(Row {
            suite: suite.name,
            verdict,
            tests: score.tests,
            skipped: score.skipped,
            took: start.elapsed(),
            budget: suite.budget(),
        });
    }
    print!("\n{}", table::render(&rows));
    if rows.iter().all(Row::is_good) {
        Ok(())
    } else {
        Err(Failure::silent(1))
    }
}

impl Session {
    fn verdict(&self, score: &Score) -> Verdict {
        if score.timed_out {
            Verdict::TimedOut
        } else if score.failed || (self.ci && score.skipped > 0) {
            Verdict::Failed
        } else {
            Verdict::Passed
        }
    }

    /// Removes the labs of processes that are gone: `lab down` does, whatever its name.
    fn remove_labs(&self) {
        if let (Some(byway), true) = (&self.byway, self.root)
            && let Ok(mut command) = root::command(&byway.to_string_lossy(), &[])
        {
            command.args(["lab", "down", "--name", "none"]);
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            // The next lab that anybody makes tries again.
            command.status().ok();
        }
    }

    fn score(&mut self, suite: &Suite) -> Outcome<Score> {
        let limit = suite.budget() * 2;
        match suite.kind {
            Kind::Cargo(args) => {
                let mut command = cargo::command();
                Ok(outcome(&process::run(
                    command.args(args),
                    Capture::Nothing,
                    limit,
                    false,
                )?))
            }
            Kind::Build => self.build(limit),
            Kind::Tests { packages, root } => {
                self.tests(limit, root, |package| packages.contains(&package))
            }
            Kind::OtherTests => self.tests(limit, false, |package| !suites::is_special(package)),
        }
    }

    fn build(&mut self, limit: Duration) -> Outcome<Score> {
        let args = [
            "test",
            "--workspace",
            "--no-run",
            "--locked",
            cargo::MESSAGES,
        ];
        let mut command = cargo::command();
        let done = process::run(command.args(args), Capture::Stdout, limit, false)?;
        let mut score = Score {
            failed: !done.success,
            timed_out: done.timed_out,
            ..Score::default()
        };
        if done.success {
            self.executables = cargo::executables(&done.stdout);
            // Cargo builds the program along only for packages with integration tests.
            match cargo::byway(&self.executables) {
                Some(path) => self.byway = Some(path.to_owned()),
                None => match cargo::build_byway(&[]) {
                    Ok(path) => self.byway = Some(path),
                    Err(failure) => {
                        eprintln!("error: {}", failure.message);
                        score.failed = true;
                    }
                },
            }
        }
        Ok(score)
    }

    /// Runs the test harnesses of the packages that are wanted, one after the other.
    fn tests(&self, limit: Duration, root: bool, wanted: impl Fn(&str) -> bool) -> Outcome<Score> {
        let start = Instant::now();
        let mut total = Score::default();
        let as_root = root && self.root && root::ready();
        for harness in &self.executables {
            if !harness.is_test || !wanted(&harness.package) {
                continue;
            }
            let mut command = self.command(harness, as_root)?;
            let left = limit.saturating_sub(start.elapsed());
            let done = process::run(&mut command, Capture::Both, left, as_root)?;
            let score = judge(&done);
            report(harness, &done, &score);
            total.add(&score);
        }
        Ok(total)
    }

    /// The command for a test harness, in the surroundings that cargo would give it.
    fn command(&self, harness: &Executable, as_root: bool) -> Outcome<Command> {
        let (directory, program) = (
            harness.directory.to_string_lossy(),
            harness.path.to_string_lossy(),
        );
        let byway = self
            .byway
            .as_deref()
            .unwrap_or_else(|| "".as_ref())
            .to_string_lossy();
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let mut environment = vec![
            ("CARGO_MANIFEST_DIR", directory.as_ref()),
            ("CARGO", cargo.as_str()),
            ("BYWAY_BIN", byway.as_ref()),
            ("RUST_BACKTRACE", "1"),
            // The harness must not swallow what a test says about leaving itself out.
            ("RUST_TEST_NOCAPTURE", "1"),
        ];
        if self.ci {
            environment.push(("CI", "true"));
        }
        let mut command = if as_root {
            root::command(&program, &environment)?
        } else {
            let mut command = Command::new(program.as_ref());
            command.envs(environment);
            command
        };
        command.current_dir(&harness.directory);
        Ok(command)
    }
}

/// Whether a run succeeded, without counting anything.
fn outcome(done: &Run) -> Score {
    Score {
        failed: !done.success && !done.timed_out,
        timed_out: done.timed_out,
        ..Score::default()
    }
}

/// Reads what a test harness printed.
fn judge(done: &Run) -> Score {
    let mut score = outcome(done);
    let (mut is_harness, mut left_out) = (false, 0);
    for line in done.stdout.lines().chain(done.stderr.lines()) {
        if let Some(result) = line.strip_prefix("test result: ") {
            is_harness = true;
            score.tests += count(result, "passed");
            score.skipped += count(result, "ignored");
        } else if is_skip(line) {
            left_out += 1;
        }
    }
    // A test program with a main function of its own is one test.
    if !is_harness && done.success {
        score.tests = 1;
    }
    // Tests that left themselves out have passed, as far as the harness knows.
    score.tests = score.tests.saturating_sub(left_out);
    score.skipped += left_out;
    score
}

/// True for a line in which a test says that it left itself out.
fn is_skip(line: &str) -> bool {
    line.trim_start_matches(['=', ' ']).starts_with("SKIPPED")
}

/// The number before `word` in `ok. 3 passed; 0 failed; 1 ignored`.
fn count(result: &str, word: &str) -> u32 {
    let part = result
        .split([';', '.'])
        .map(str::trim)
        .find(|part| part.ends_with(word));
    part.and_then(|part| part.split(' ').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

fn report(harness: &Executable, done: &Run, score: &Score) {
    if score.failed || score.timed_out {
        let end = if score.timed_out {
            "was killed: it took too long"
        } else {
            "failed"
        };
        eprintln!(
            "{} ({}) {end}\n{}{}",
            harness.package, harness.target, done.stdout, done.stderr
        );
        return;
    }
    for line in done.stdout.lines().chain(done.stderr.lines()) {
        if is_skip(line) {
            eprintln!("{line}");
        }
    }
    if score.tests > 0 {
        eprintln!(
            "    {:>4} passed  {} ({})",
            score.tests, harness.package, harness.target
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(success: bool, stdout: &str, stderr: &str) -> Run {
        Run {
            code: u8::from(!success),
            success,
            timed_out: false,
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
        }
    }

    const GOOD: &str = "test a ... ok\n\ntest result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; \
                        0 filtered out; finished in 0.36s\n";

    #[test]
    fn passed_and_skipped_tests_are_counted() {
        let score = judge(&done(true, GOOD, "SKIPPED a: needs root\nnot SKIPPED\n"));
        assert_eq!(
            score,
            Score {
                tests: 11,
                skipped: 2,
                ..Score::default()
            }
        );
    }

    #[test]
    fn a_failure_is_one_whatever_was_printed() {
        assert!(judge(&done(false, GOOD, "")).failed);
        assert_eq!(
            judge(&done(true, "", "")),
            Score {
                tests: 1,
                ..Score::default()
            }
        );
    }

    #[test]
    fn a_skipped_test_fails_a_run_for_ci_only() {
        let score = Score {
            skipped: 1,
            tests: 3,
            ..Score::default()
        };
        let session = |ci| {
            Session {
                executables: Vec::new(),
                byway: None,
                root: false,
                ci,
            }
            .verdict(&score)
        };
        assert_eq!(session(false), Verdict::Passed);
        assert_eq!(session(true), Verdict::Failed);
    }
}
