//! `byway serve` and `byway wire` as child processes.

use crate::output::{Collected, Finished, wait};
use crate::program;
use byway_lab::{Namespace, SERVER, WIRE_CLIENT, WIRE_SERVER};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take until connections are accepted.
const READY_LIMIT: Duration = Duration::from_secs(15);

/// How long a graceful end may take: its linger time, and some.
const EXIT_LIMIT: Duration = Duration::from_secs(10);

/// A running `byway serve`, or another command that says when it is ready. Killed on drop, and by
/// the kernel when the test process dies.
pub struct Serve {
    child: Child,
    // Options, because the end of the process takes them.
    stdout: Option<Collected>,
    stderr: Option<Collected>,
}

impl Serve {
    /// The command `byway serve ARGS` on the server's interface towards the client.
    pub fn command(namespace: &Namespace, args: &[&str]) -> Command {
        let mut command = byway_in(namespace);
        command.arg("serve");
        command.args(args).args(["--interface", SERVER.interface]);
        command
    }

    /// Starts `byway serve ARGS` and waits until it accepts connections.
    ///
    /// # Panics
    /// When it ends, or is not ready in time; the message has what it wrote.
    pub fn start(namespace: &Namespace, args: &[&str]) -> Self {
        Self::launch(Self::command(namespace, args))
    }

    /// Starts `byway wire ARGS` between the interfaces of a wire's namespace, and waits until it
    /// forwards.
    ///
    /// # Panics
    /// When it ends, or is not ready in time; the message has what it wrote.
    pub fn start_wire(namespace: &Namespace, args: &[&str]) -> Self {
        let mut command = byway_in(namespace);
        command.arg("wire");
        command.args([WIRE_CLIENT.interface, WIRE_SERVER.interface]);
        command.args(args);
        Self::launch(command)
    }

    fn launch(mut command: Command) -> Self {
        let name = format!("{command:?}");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("ip can be started");
        let stdout = child.stdout.take().map(Collected::new);
        let stderr = child.stderr.take().map(Collected::new);
        let mut serve = Self {
            child,
            stdout,
            stderr,
        };
        let start = Instant::now();
        while serve.ready_line().is_none() {
            let ended = serve.child.try_wait().is_ok_and(|status| status.is_some());
            if ended || start.elapsed() > READY_LIMIT {
                serve.child.kill().ok();
                let finished = serve.wait();
                panic!("{name} does not become ready: {finished:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        serve
    }

    /// The line on stdout that says that connections are accepted, once it is complete.
    pub fn ready_line(&self) -> Option<String> {
        let text = self.stdout.as_ref()?.so_far();
        let (line, _) = text.split_once('\n')?;
        line.starts_with("ready ").then(|| line.to_owned())
    }

    /// The process id of the program itself.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// True while it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// What it has written on stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr
            .as_ref()
            .map(Collected::so_far)
            .unwrap_or_default()
    }

    /// Waits until stderr has this text; false when it does not come.
    pub fn says(&self, text: &str, limit: Duration) -> bool {
        let start = Instant::now();
        while !self.stderr().contains(text) {
            if start.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it is not there any more.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is our child");
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Panics
    /// When it does not end gracefully.
    pub fn stop(self) -> Finished {
        self.signal(Signal::TERM);
        let finished = self.finish();
        assert_eq!(finished.code, Some(0), "not a graceful end: {finished:?}");
        finished
    }

    /// Waits for its end; when that does not come, kills it and leaves the exit code out.
    pub fn finish(mut self) -> Finished {
        self.wait()
    }

    fn wait(&mut self) -> Finished {
        let status = wait(&mut self.child, EXIT_LIMIT);
        Finished {
            code: status.and_then(|status| status.code()),
            stdout: self
                .stdout
                .take()
                .map(Collected::finish)
                .unwrap_or_default(),
            stderr: self
                .stderr
                .take()
                .map(Collected::finish)
                .unwrap_or_default(),
        }
    }
}

/// The program, to run in a namespace for as long as this process does.
fn byway_in(namespace: &Namespace) -> Command {
    let mut command = namespace.command("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program::byway());
    command
}

impl Drop for Serve {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        // A test that fails needs what the program had to say about it.
        if std::thread::panicking() {
            eprintln!("stderr of byway:\n{}", self.stderr());
        }
    }
}
