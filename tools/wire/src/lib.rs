//! A wire with faults: a forwarder between two interfaces that limits the rate, delays, loses,
//! reorders, doubles and damages frames, for kernels without netem and for tests that must be
//! repeatable.
//!
//! ```text
//!             received               sent on                      delivered
//!   A ──► complete the frame ──► bottleneck, queue ──► line ──► heap by time ──► B
//!         (checksum, segments,   (rate, tail drop)    (delay, loss, reordering,
//!          VLAN tag)                                    duplicates, damage)
//! ```
//!
//! [`Link`] is the model, without clock and sockets: frames and times in, times out. [`Wire`] puts
//! one in each direction between two interfaces. [`args`] is the command `byway wire`.
//!
//! ```no_run
//! use byway_impair::{Config, Impairment, Wire};
//! use std::sync::atomic::AtomicBool;
//! let slow = Impairment {
//!     rate: Some("10mbit".parse()?),
//!     ..Impairment::default()
//! };
//! let config = Config { a_to_b: slow, ..Config::default() };
//! let stop = AtomicBool::new(false); // another thread sets it
//! let summary = Wire::open("veth-a", "veth-b", &config)?.run(&stop)?;
//! println!("{summary}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod args;
mod bottleneck;
mod capture;
mod chance;
mod damage;
mod error;
mod flight;
mod frame;
mod impairment;
mod lane;
mod link;
mod notice;
mod side;
mod statistics;
pub mod units;
mod wire;

pub use damage::Damage;
pub use error::{ErrorKind, WireError};
pub use impairment::{DEFAULT_QUEUE, Impairment, ReorderBy};
pub use link::{Fate, Link, Passage};
pub use notice::Notice;
pub use statistics::{Counts, Direction, Lateness, Summary, Traffic};
pub use units::{QueueLimit, Rate, Share};
pub use wire::{Config, DEFAULT_SPIN, Wire};
