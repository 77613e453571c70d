//! Programs that run to their end, within bounds.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longest run of a client program.
const LIMIT: Duration = Duration::from_secs(60);

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code; none when a signal ended it, or when it was killed for taking too long.
    pub code: Option<i32>,
    /// What it wrote on stdout.
    pub stdout: String,
    /// What it wrote on stderr.
    pub stderr: String,
}

impl Finished {
    /// Lines of stderr that start with `prefix`.
    pub fn lines_with(&self, prefix: &str) -> Vec<&str> {
        self.stderr
            .lines()
            .filter(|line| line.starts_with(prefix))
            .collect()
    }
}

/// Runs a program to its end, at most a minute.
///
/// # Panics
/// When it cannot be started.
pub fn run(command: Command) -> Finished {
    run_with_input(command, Vec::new())
}

/// Runs a program to its end with these bytes on its stdin, at most a minute.
///
/// # Panics
/// When it cannot be started.
pub fn run_with_input(mut command: Command, input: Vec<u8>) -> Finished {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let name = format!("{command:?}");
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // On a thread: the program may want to write before it has read everything. It may also end
    // before that, which breaks the pipe and is no error.
    let writer = thread::spawn(move || stdin.write_all(&input).ok());
    let stdout = Collected::new(child.stdout.take().expect("stdout is piped"));
    let stderr = Collected::new(child.stderr.take().expect("stderr is piped"));
    let status = wait(&mut child, LIMIT);
    let finished = Finished {
        code: status.and_then(|status| status.code()),
        stdout: stdout.finish(),
        stderr: stderr.finish(),
    };
    writer.join().ok();
    finished
}

/// Waits for a child; kills it when it takes longer than `limit`, and then says nothing.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().ok();
    child.wait().ok();
    None
}

/// What a stream has said so far, collected on a thread.
pub(crate) struct Collected {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Collected {
    pub(crate) fn new(mut stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = stream.read(&mut buffer) {
                lock(&sink).extend(buffer.iter().take(len));
            }
        });
        Self { text, reader }
    }

    /// What it has said so far.
    pub(crate) fn so_far(&self) -> String {
        String::from_utf8_lossy(&lock(&self.text)).into_owned()
    }

    /// All that it said, when the other side has closed it.
    pub(crate) fn finish(self) -> String {
        self.reader.join().ok();
        String::from_utf8_lossy(&lock(&self.text)).into_owned()
    }
}

fn lock(text: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}
