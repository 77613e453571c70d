//! Running child processes: attached to our terminal, or captured with a deadline.

use crate::{Failure, Outcome, interrupt, root};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long processes have between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// How often a running child is looked at.
const POLL: Duration = Duration::from_millis(20);

/// How a captured run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) success: bool,
    /// The exit code that a shell would give.
    pub(crate) code: u8,
    /// It was killed because it took too long.
    pub(crate) timed_out: bool,
    /// What it wrote on stdout.
    pub(crate) stdout: String,
    /// What it wrote on stderr, unless that was left to go to ours.
    pub(crate) stderr: String,
}

/// Which streams of the child to keep; the others are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capture {
    Nothing,
    Stdout,
    Both,
}

/// Runs a command that may talk to the user, to its end. A Ctrl-C reaches the child directly.
pub(crate) fn run_attached(command: &mut Command) -> Outcome<ExitStatus> {
    command
        .status()
        .map_err(|error| cannot_start(command, &error))
}

/// Runs a command in a process group of its own for at most `limit`. When that is over, or when
/// we are interrupted, the whole group is ended.
pub(crate) fn run(
    command: &mut Command,
    capture: Capture,
    limit: Duration,
    as_root: bool,
) -> Outcome<Run> {
    let piped = |wanted: bool| {
        if wanted {
            Stdio::piped()
        } else {
            Stdio::inherit()
        }
    };
    command
        .stdin(Stdio::null())
        .stdout(piped(capture != Capture::Nothing))
        .stderr(piped(capture == Capture::Both))
        .process_group(0);
    let mut child = command
        .spawn()
        .map_err(|error| cannot_start(command, &error))?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let ended = wait(&mut child, limit);
    if ended.is_none() {
        end_group(&mut child, as_root);
    }
    let text = |reader: Option<mpsc::Receiver<String>>| {
        // A grandchild that left the group may hold the pipe open: do not wait for it for ever.
        reader.map(|lines| drain(&lines, GRACE)).unwrap_or_default()
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    interrupt::check()?;
    Ok(Run {
        success: ended.is_some_and(|status| status.success()),
        code: ended.map_or(1, exit_code),
        timed_out: ended.is_none(),
        stdout,
        stderr,
    })
}

/// The exit code that a shell would give for this status.
fn exit_code(status: ExitStatus) -> u8 {
    let signalled = status.signal().map(|signal| 128 + signal);
    status
        .code()
        .or(signalled)
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1)
}

fn cannot_start(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "cannot start {}: {error}",
        command.get_program().to_string_lossy()
    ))
}

/// Waits for the child; none when time is up or a signal came.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < limit && !interrupt::requested() {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        thread::sleep(POLL);
    }
    None
}

fn end_group(child: &mut Child, as_root: bool) {
    for signal in ["-TERM", "-KILL"] {
        let group = format!("-{}", child.id());
        // Ending a group that is gone already is no error.
        let args = ["-s", &signal[1..], "--", &group];
        if as_root {
            root::command("kill", &[])
                .map(|mut kill| quietly(kill.args(args)))
                .ok();
        } else {
            quietly(Command::new("kill").args(args));
        }
        let start = Instant::now();
        while start.elapsed() < GRACE {
            if let Ok(Some(_)) = child.try_wait() {
                break;
            }
            thread::sleep(POLL);
        }
    }
}

fn quietly(command: &mut Command) {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok();
}

/// Reads a stream to its end on a thread, so that a full pipe does not stop the child.
fn collect(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
            line.clear();
        }
    });
    receiver
}

fn drain(lines: &mpsc::Receiver<String>, limit: Duration) -> String {
    let start = Instant::now();
    let mut text = String::new();
    while let Ok(line) = lines.recv_timeout(limit.saturating_sub(start.elapsed())) {
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Run {
        run(
            Command::new("sh").args(["-c", script]),
            Capture::Both,
            limit,
            false,
        )
        .unwrap()
    }

    #[test]
    fn both_streams_and_the_outcome_are_kept() {
        let done = shell("echo out; echo err >&2; exit 3", Duration::from_secs(10));
        assert_eq!(
            (done.stdout.as_str(), done.stderr.as_str()),
            ("out\n", "err\n")
        );
        assert!(!done.success && !done.timed_out);
        assert!(shell("exit 0", Duration::from_secs(10)).success);
    }

    #[test]
    fn more_than_a_pipe_holds_does_not_stop_the_child() {
        let done = shell(
            "yes | head -c 300000; yes | head -c 300000 >&2",
            Duration::from_secs(20),
        );
        assert!(done.success);
        assert_eq!((done.stdout.len(), done.stderr.len()), (300_000, 300_000));
    }

    #[test]
    fn what_takes_too_long_is_ended_with_its_children() {
        let start = Instant::now();
        let done = shell(
            "echo begun; sleep 61 & sleep 61",
            Duration::from_millis(300),
        );
        assert!(done.timed_out && !done.success);
        assert_eq!(done.stdout, "begun\n");
        // The pipe closes only when the background child is gone too.
        assert!(start.elapsed() < GRACE, "took {:?}", start.elapsed());
    }

    #[test]
    fn a_child_that_ignores_sigterm_is_killed() {
        let done = shell(
            "trap '' TERM; while :; do sleep 0.1; done",
            Duration::from_millis(200),
        );
        assert!(done.timed_out);
    }

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!(exit_code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(exit_code(ExitStatus::from_raw(9)), 137);
    }
}
