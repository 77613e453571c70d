//! Two hosts and a wire between them that is as bad as asked for.

use crate::environment::Interface;
use crate::error::BenchError;
use crate::goodput::path::Path as NetPath;
use byway_impair::{Config, ErrorKind, Summary, Wire, WireError};
use byway_lab::{CLIENT, End, LabGuard, Namespace, Options, SERVER, WIRE_CLIENT, WIRE_SERVER};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

/// The wire opens two sockets: it takes no time to speak of.
const WIRE_LIMIT: Duration = Duration::from_secs(5);

/// How long the forwarder watches the clock before a departure. More would make it more punctual,
/// until the kernel puts a real-time thread that never sleeps to rest for 50 ms of each second.
const SPIN: Duration = Duration::from_micros(5);

/// The real-time priority of the forwarder.
const PRIORITY: &str = "10";

/// The port of Byway's service.
const BYWAY_PORT: u16 = 7000;
/// The port of the kernel's service.
const LINUX_PORT: u16 = 7001;

/// Where it takes place; gone with this value.
pub(crate) struct Bed {
    lab: LabGuard,
}

impl Bed {
    /// Makes the namespaces. Every offload is off on both sides, so that Linux sends the same
    /// frames as Byway: there are no offloads on a wire that can lose a single segment.
    pub(crate) fn up() -> Result<Self, BenchError> {
        let options = Options {
            wire: true,
            ..Options::default()
        };
        let lab = LabGuard::up("bw-goodput-", &options)?;
        let bed = Self { lab };
        // A lost or an additional ARP request would shift the luck of all frames behind it.
        bed.know(bed.client(), &CLIENT, &SERVER)?;
        bed.know(bed.server(), &SERVER, &CLIENT)?;
        Ok(bed)
    }

    pub(crate) fn client(&self) -> &Namespace {
        self.lab.client()
    }

    pub(crate) fn server(&self) -> &Namespace {
        self.lab.server()
    }

    /// Where Byway's service listens.
    pub(crate) fn byway(&self) -> SocketAddr {
        SocketAddr::from((SERVER.v4, BYWAY_PORT))
    }

    /// Where the kernel's service listens.
    pub(crate) fn linux(&self) -> SocketAddr {
        SocketAddr::from((SERVER.v4, LINUX_PORT))
    }

    /// `byway serve SERVICE` on the server.
    pub(crate) fn serve(&self, executable: &Path, service: &str, settings: &[String]) -> Command {
        let mut command = self.server().command(executable);
        command
            .args(["serve", service, "--json", "--linger", "0"])
            .args(["--interface", SERVER.interface])
            .args(["--listen", &self.byway().to_string()]);
        if !settings.is_empty() {
            command.args(["--set", &settings.join(",")]);
        }
        command
    }

    /// Joins the hosts.
    pub(crate) fn join(
        &self,
        path: &NetPath,
        seed: u64,
        capture: Option<&Path>,
    ) -> Result<Joined, BenchError> {
        let config = Config {
            a_to_b: path.impairment.clone(),
            b_to_a: path.impairment.clone(),
            seed,
            // At the server: what the sender there does is to be seen at its own time.
            capture_b: capture.map(Path::to_path_buf),
            spin: SPIN,
            ..Config::default()
        };
        Joined::start(self.lab.wire().clone(), config)
    }

    /// The interfaces as they are now.
    pub(crate) fn interfaces(&self) -> Vec<Interface> {
        vec![
            Interface::read("client", CLIENT.interface, |program| {
                self.client().command(program)
            }),
            Interface::read("server", SERVER.interface, |program| {
                self.server().command(program)
            }),
        ]
    }

    fn know(&self, namespace: &Namespace, own: &End, other: &End) -> Result<(), BenchError> {
        let mut ip = namespace.command("ip");
        ip.args(["neigh", "replace", &other.v4.to_string()])
            .args(["lladdr", &other.mac_text(), "dev", own.interface])
            .args(["nud", "permanent"]);
        let output = ip.output().map_err(BenchError::io("ip neigh"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(BenchError::Failed(format!(
                "ip neigh: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ))),
        }
    }
}

impl From<WireError> for BenchError {
    fn from(error: WireError) -> Self {
        match error.kind() {
            ErrorKind::Usage => Self::Usage(error.to_string()),
            ErrorKind::Preflight => Self::Preflight {
                what: error.to_string(),
                hint: error.hint().to_owned(),
            },
            ErrorKind::Failed => Self::Failed(error.to_string()),
        }
    }
}

/// Puts the calling thread before all ordinary ones, whatever runs beside: what the forwarder does
/// late would be measured as the path. Where that is not possible, it shows as lateness in the
/// result.
fn go_first() {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let mut chrt = Command::new("chrt");
    chrt.args(["--fifo", "--pid", PRIORITY, &thread]);
    chrt.output().ok();
}

/// A wire that forwards on a thread of its own. Dropping it stops it.
pub(crate) struct Joined {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Summary, BenchError>>>,
}

impl Joined {
    fn start(namespace: Namespace, config: Config) -> Result<Self, BenchError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (ready, is_ready) = channel();
        let thread = std::thread::spawn(move || {
            namespace.enter()?;
            go_first();
            let wire = Wire::open(WIRE_CLIENT.interface, WIRE_SERVER.interface, &config)?;
            // The other end is gone only when it gave up.
            ready.send(()).ok();
            Ok(wire.run(&stopped)?)
        });
        let joined = Self {
            stop,
            thread: Some(thread),
        };
        match is_ready.recv_timeout(WIRE_LIMIT) {
            Ok(()) => Ok(joined),
            Err(_) => Err(match joined.part() {
                Ok(_) => BenchError::Failed("the wire does not open".to_owned()),
                Err(error) => error,
            }),
        }
    }

    /// Stops it, and says what it did.
    pub(crate) fn part(mut self) -> Result<Summary, BenchError> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        let ended = thread.map(JoinHandle::join);
        match ended {
            Some(Ok(result)) => result,
            _ => Err(BenchError::Failed("the wire panicked".to_owned())),
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It is stopped because something else failed, which is what gets told.
            thread.join().ok();
        }
    }
}
