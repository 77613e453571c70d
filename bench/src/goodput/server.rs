//! The server of one transfer: the kernel's or Byway's, sending or receiving.

use crate::child::Child;
use crate::error::BenchError;
use crate::goodput::bed::Bed;
use crate::goodput::kernel::{self, Serving};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

/// `byway serve` is ready within this: a bind can be refused for some time after the last owner of
/// a queue left.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// Counters by name.
pub(crate) type Counters = BTreeMap<String, u64>;

/// A kernel server, on a thread. Dropping it stops it.
pub(crate) struct LinuxServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Counters, BenchError>>>,
}

impl LinuxServer {
    /// Listens; one connection is served.
    pub(crate) fn start(
        bed: &Bed,
        address: SocketAddr,
        serving: Serving,
    ) -> Result<Self, BenchError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let namespace = bed.server().clone();
        let (ready, is_ready) = channel();
        let thread = std::thread::spawn(move || {
            namespace.enter()?;
            let listener = listen(address)?;
            let before = kernel::counters()?;
            ready.send(()).ok();
            kernel::serve_one(&listener, serving, &stopped)?;
            Ok(kernel::difference(&before, &kernel::counters()?))
        });
        let server = Self {
            stop,
            thread: Some(thread),
        };
        match is_ready.recv_timeout(READY_LIMIT) {
            Ok(()) => Ok(server),
            Err(_) => Err(match server.end() {
                Ok(_) => BenchError::Failed("the kernel's server does not listen".to_owned()),
                Err(error) => error,
            }),
        }
    }

    /// Ends it; what the kernel counted in the meantime.
    pub(crate) fn end(mut self) -> Result<Counters, BenchError> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            _ => Err(BenchError::Failed(
                "the kernel's server panicked".to_owned(),
            )),
        }
    }
}

impl Drop for LinuxServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It is stopped because something else failed, which is what gets told.
            thread.join().ok();
        }
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, BenchError> {
    TcpListener::bind(address).map_err(BenchError::io(format!("listening at {address}")))
}

/// `byway serve`, as a child.
pub(crate) struct BywayServer(Child);

impl BywayServer {
    /// Starts it and waits until it accepts connections.
    pub(crate) fn start(
        bed: &Bed,
        executable: &Path,
        serving: Serving,
        settings: &[String],
        stop: &AtomicBool,
    ) -> Result<Self, BenchError> {
        let service = match serving {
            Serving::Chargen => "chargen",
            Serving::Discard => "discard",
        };
        let command = bed.serve(executable, service, settings);
        let mut child = Child::spawn(format!("byway serve {service}"), command)?;
        let ready = child.line(READY_LIMIT, stop)?;
        if !ready.contains(r#""event":"ready""#) {
            return Err(child.failure(&format!("said `{ready}` instead of `ready`")));
        }
        Ok(Self(child))
    }

    /// Ends it; what it counted.
    pub(crate) fn end(self) -> Result<Counters, BenchError> {
        let words = self.0.stop_with_words()?;
        words
            .iter()
            .find_map(|line| counters(line))
            .ok_or_else(|| BenchError::Failed("byway serve told no counters".to_owned()))
    }
}

/// The counters in the line that `byway serve --json` ends with.
fn counters(line: &str) -> Option<Counters> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    let counters = value.get("counters")?.as_object()?;
    let pairs = counters
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.as_u64()?)));
    Some(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_come_from_the_last_line() {
        let line = r#"{"event":"stopped","seconds":1.5,"counters":{"TcpRetransSegs":3}}"#;
        let counted = counters(line).unwrap();
        assert_eq!(counted.get("TcpRetransSegs"), Some(&3));
        assert_eq!(counters("byway: a notice"), None);
        assert_eq!(counters(r#"{"event":"ready"}"#), None);
    }
}
