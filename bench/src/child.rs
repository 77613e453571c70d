//! Child processes that cannot outlive us, and lines from them that cannot block us.

use crate::error::BenchError;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often a wait looks at whether the user wants to stop.
const LOOK: Duration = Duration::from_millis(50);
/// A child that was asked to stop may close its connections for this long before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// The exit code of a program that finds the machine lacking.
const PREFLIGHT: i32 = 3;
/// Lines of a child's standard error that are kept to explain its failure.
const KEPT_LINES: usize = 20;

/// Asks the kernel to kill this process when its parent dies, however that happens.
pub(crate) fn die_with_parent() {
    // Nothing depends on it but tidiness after a kill -9 of the parent: a refusal is no failure.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// A running child. Dropping it ends it: a request to terminate, then a kill.
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    lines: Receiver<String>,
    complaints: Arc<Mutex<VecDeque<String>>>,
    /// Collects the complaints.
    reader: Option<JoinHandle<()>>,
}

impl Child {
    /// Starts the command, in a process group of its own: Ctrl-C on the terminal reaches only us,
    /// and we end the children in order.
    pub(crate) fn spawn(name: impl Into<String>, mut command: Command) -> Result<Self, BenchError> {
        let name = name.into();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command
            .process_group(0)
            .spawn()
            .map_err(BenchError::io(format!("starting {name}")))?;
        let (sender, lines) = channel();
        if let Some(out) = process.stdout.take() {
            // The receiver is gone when the child is being dropped: read on, so that the child
            // never blocks on a full pipe.
            thread::spawn(move || each_line(out, |line| drop(sender.send(line))));
        }
        let complaints = Arc::new(Mutex::new(VecDeque::new()));
        let reader = process.stderr.take().map(|err| {
            let kept = Arc::clone(&complaints);
            thread::spawn(move || {
                each_line(err, |line| {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.len() == KEPT_LINES {
                        kept.pop_front();
                    }
                    kept.push_back(line);
                });
            })
        });
        Ok(Self {
            name,
            process,
            lines,
            complaints,
            reader,
        })
    }

    /// Its process id, as long as it is not waited for.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The next line that the child prints, within `limit`.
    ///
    /// # Errors
    /// When the user stops us, the child ends first, or the time is over.
    pub(crate) fn line(
        &mut self,
        limit: Duration,
        stop: &AtomicBool,
    ) -> Result<String, BenchError> {
        let deadline = Instant::now() + limit;
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(BenchError::Interrupted);
            }
            match self.lines.recv_timeout(LOOK) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Disconnected) => return Err(self.early_end()),
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.failure(&format!("said nothing for {} s", limit.as_secs())));
                }
            }
        }
    }

    /// The error for a child that ended before its time. Its exit code tells whether the machine
    /// lacks something; then its words are a cause and a hint.
    fn early_end(&mut self) -> BenchError {
        let code = self.wait(LOOK).and_then(|status| status.code());
        let failure = self.failure("ended early");
        if code != Some(PREFLIGHT) {
            return failure;
        }
        let words = self.complaints();
        let after = |mark: &str| {
            let found = words
                .iter()
                .rev()
                .find_map(|line| line.trim().strip_prefix(mark));
            found.map(str::to_owned)
        };
        BenchError::Preflight {
            what: after("error: ").unwrap_or_else(|| failure.to_string()),
            hint: after("hint: ").unwrap_or_default(),
        }
    }

    /// What the child wrote to standard error, as much as is kept.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let kept = self
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        kept.iter().cloned().collect()
    }

    /// The error for a child that did not do its part, with its own words.
    pub(crate) fn failure(&self, what: &str) -> BenchError {
        // Its last words may still be in the pipe.
        thread::sleep(LOOK);
        let words = self.complaints().join("\n  ");
        match words.is_empty() {
            true => BenchError::Failed(format!("{} {what}", self.name)),
            false => BenchError::Failed(format!("{} {what}:\n  {words}", self.name)),
        }
    }

    /// Waits for the child to end by itself.
    ///
    /// # Errors
    /// When it does not end in time or its exit code is not 0.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<(), BenchError> {
        match self.wait(limit) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.failure(&format!("failed ({status})"))),
            None => Err(self.failure("did not end")),
        }
    }

    /// Ends the child: terminate, wait, kill.
    ///
    /// # Errors
    /// When it had to be killed, or had ended before with an error.
    pub(crate) fn stop(mut self) -> Result<(), BenchError> {
        self.end()
    }

    /// As [`stop`](Self::stop); returns what the child wrote to standard error, its last words
    /// included.
    pub(crate) fn stop_with_words(mut self) -> Result<Vec<String>, BenchError> {
        self.end()?;
        if let Some(reader) = self.reader.take() {
            // It ends with the pipe; that it panicked would show as missing words.
            reader.join().ok();
        }
        Ok(self.complaints())
    }

    fn end(&mut self) -> Result<(), BenchError> {
        let early = self.process.try_wait().ok().flatten();
        if let Some(status) = early {
            return Err(self.failure(&format!("had ended before it was told to ({status})")));
        }
        self.signal(Signal::TERM);
        match self.wait(GRACE) {
            // By the signal itself: a process without a handler, which is as good.
            Some(status) if status.success() || status.signal().is_some() => Ok(()),
            Some(status) => Err(self.failure(&format!("failed ({status})"))),
            None => Err(self.failure("did not stop when asked to and was killed")),
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // The child is not reaped yet, so the number is still its own.
            let _ = kill_process(pid, signal);
        }
    }

    fn wait(&mut self, limit: Duration) -> Option<std::process::ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.process.try_wait() {
            return;
        }
        self.signal(Signal::TERM);
        if self.wait(GRACE).is_none() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

fn each_line(stream: impl Read, mut each: impl FnMut(String)) {
    for line in BufReader::new(stream).lines() {
        match line {
            Ok(line) => each(line),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::spawn("the script", command).unwrap()
    }

    static GO: AtomicBool = AtomicBool::new(false);

    #[test]
    fn lines_arrive_and_the_exit_code_counts() {
        let mut child = shell("echo one; echo two; exit 0");
        assert_eq!(child.line(Duration::from_secs(5), &GO).unwrap(), "one");
        assert_eq!(child.line(Duration::from_secs(5), &GO).unwrap(), "two");
        child.finish(Duration::from_secs(5)).unwrap();
        let child = shell("echo because >&2; exit 1");
        let error = child
            .finish(Duration::from_secs(5))
            .unwrap_err()
            .to_string();
        assert!(error.contains("because"), "{error}");
        let script = "echo error: no XDP >&2; echo hint: run it as root >&2; exit 3";
        let error = shell(script).line(Duration::from_secs(5), &GO).unwrap_err();
        let BenchError::Preflight { what, hint } = error else {
            panic!("{error}")
        };
        assert_eq!((what.as_str(), hint.as_str()), ("no XDP", "run it as root"));
    }

    #[test]
    fn a_silent_child_runs_into_the_limit_and_is_gone_after_the_drop() {
        let mut child = shell("exec sleep 60");
        let pid = Pid::from_raw(child.process.id() as i32).unwrap();
        let error = child
            .line(Duration::from_millis(120), &GO)
            .unwrap_err()
            .to_string();
        assert!(error.contains("said nothing"), "{error}");
        drop(child);
        assert!(
            rustix::process::test_kill_process(pid).is_err(),
            "it is reaped"
        );
    }

    #[test]
    fn the_user_can_stop_a_wait() {
        let mut child = shell("exec sleep 60");
        let stop = AtomicBool::new(true);
        let error = child.line(Duration::from_secs(60), &stop).unwrap_err();
        assert!(matches!(error, BenchError::Interrupted));
        child.stop().unwrap();
    }
}
