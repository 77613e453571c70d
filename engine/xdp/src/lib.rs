//! The AF_XDP port: frames straight from the driver's queue, and the program that picks ours.
//!
//! ```no_run
//! use byway_stack::port::Port;
//! use byway_xdp::{Steering, XdpConfig, XdpPort};
//! use std::net::SocketAddr;
//!
//! let mut config = XdpConfig::new("eth0");
//! let echo: SocketAddr = "10.0.0.1:7".parse()?;
//! config.steering = Steering {
//!     listen: vec![echo.into()],
//!     local: vec![echo.ip()],
//!     ..Steering::default()
//! };
//! let (mut port, opened) = XdpPort::open(&config)?;
//! opened.fallbacks.iter().for_each(|line| eprintln!("{line}"));
//! let mut burst = Vec::new();
//! port.rx_burst(&mut burst);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Memory is shared with the kernel, hence the `unsafe` in here: `pool` holds the invariant (a
//! chunk has one owner) and everything else leans on it.

mod capability;
mod config;
mod error;
mod holder;
mod interface;
mod open;
mod pool;
mod port;
mod program;
mod queue;
mod sleep;
#[cfg(test)]
mod testing;

pub use config::{Mode, Opened, Steering, UnknownMode, XdpConfig};
pub use error::SetupError;
pub use port::XdpPort;
pub use program::{SteerCounters, Verdict};
