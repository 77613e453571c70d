//! The engine: a port and a shard, with the control plane beside them.

use crate::builder::EngineBuilder;
use crate::control::Control;
use crate::notice::Notice;
use crate::summary::Summary;
use crate::{ConnOptions, Mode, Service, SetupError};
use byway_stack::clock::MonotonicClock;
use byway_stack::config::ShardConfig;
use byway_stack::shard::Shard;
use byway_wire::Endpoint;
use byway_xdp::XdpPort;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// A TCP of its own on a network interface, and the services that use it.
///
/// An engine is set up by [`Engine::builder`] and then runs, on the thread that calls
/// [`Engine::run`] or on one of its own ([`Engine::spawn`]), until it is told to stop. Dropped
/// without having run, it leaves the interface as it was.
pub struct Engine {
    parts: Parts,
}

/// What the builder hands over.
pub(crate) struct Parts {
    pub(crate) port: XdpPort,
    pub(crate) control: Control,
    pub(crate) shard: ShardConfig,
    pub(crate) services: Vec<Box<dyn Service + Send>>,
    pub(crate) listening: Vec<Listening>,
    pub(crate) cpu: Option<usize>,
    pub(crate) report: Report,
}

/// Where a service accepts connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) service: u16,
    pub(crate) options: ConnOptions,
}

/// What was set up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The interface.
    pub interface: String,
    /// The mode in use: never [`Mode::Auto`].
    pub mode: Mode,
    /// One line for each mode that `auto` tried in vain.
    pub fallbacks: Vec<String>,
    /// Receive queues served.
    pub queues: RangeInclusive<u32>,
    /// Octets of the largest IP packet.
    pub mtu: u32,
    /// The interface's Ethernet address.
    pub mac: [u8; 6],
    /// Where connections are accepted; unspecified addresses are written out.
    pub listening: Vec<SocketAddr>,
    /// Notices that were given during set-up, fallbacks included.
    pub notices: Vec<Notice>,
}

impl Engine {
    /// Starts to describe an engine.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::new()
    }

    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// What was set up, and in which mode.
    pub fn report(&self) -> &Report {
        &self.parts.report
    }

    /// Runs on this thread until `stop` is true or a service asks for it, then closes every
    /// connection gracefully and detaches from the interface. Changes of `stop` are seen within
    /// 10 ms.
    pub fn run(self, stop: &AtomicBool) -> Result<Summary, SetupError> {
        let Parts {
            port,
            control,
            shard,
            services,
            listening,
            cpu,
            report: _,
        } = self.parts;
        let mut shard = Shard::new(port, shard, MonotonicClock::new());
        for service in services {
            shard.add_service(service);
        }
        for Listening {
            address,
            service,
            options,
        } in listening
        {
            if !shard.listen_with(Endpoint::from(address), service, &options) {
                let hint = "raise `Limits::listeners`";
                let step = format!("address {address}");
                return Err(SetupError::new(step, "too many listeners", hint));
            }
        }
        let mailbox = shard.mailbox();
        let done = AtomicBool::new(false);
        let started = Instant::now();
        thread::scope(|scope| {
            // Before this thread is pinned: its threads would be pinned with it.
            thread::Builder::new()
                .name("byway-control".into())
                .spawn_scoped(scope, || control.run(&mailbox, &done))
                .map_err(|error| SetupError::io("control thread", &error, "see `ulimit -u`"))?;
            let until = Until(&done);
            if let Some(cpu) = cpu {
                byway_sys::affinity::pin_to(cpu).map_err(|error| {
                    SetupError::io(format!("cpu {cpu}"), &error, "choose another CPU")
                })?;
            }
            shard.run(stop);
            drop(until);
            Ok(Summary {
                elapsed: started.elapsed(),
                counters: shard.counter_snapshot(),
                steering: shard.port().steer_counters().iter().collect(),
                port: shard.port_stats(),
            })
        })
    }

    /// Runs on a thread of its own. The handle stops it; dropping the handle does not.
    pub fn spawn(self) -> Result<Handle, SetupError> {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("byway-shard".into())
            .spawn(move || self.run(&flag))
            .map_err(|error| SetupError::io("shard thread", &error, "see `ulimit -u`"))?;
        Ok(Handle { stop, thread })
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("report", &self.parts.report)
            .finish_non_exhaustive()
    }
}

/// A running engine.
#[derive(Debug)]
pub struct Handle {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Summary, SetupError>>,
}

impl Handle {
    /// Asks it to close its connections and end. Returns at once.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// True once it has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end, which nothing here asks for, and tells how it went.
    ///
    /// # Panics
    /// When the engine's thread panicked.
    pub fn join(self) -> Result<Summary, SetupError> {
        self.thread
            .join()
            .unwrap_or_else(|payload| panic::resume_unwind(payload))
    }
}

/// Tells the control plane that the shard is done, on every way out.
struct Until<'a>(&'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
