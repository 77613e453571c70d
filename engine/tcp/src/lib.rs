//! A sans-IO TCP: RFC 9293 as plain data and functions of time.
//!
//! This crate never reads a clock, a socket or a random number, and never sees a byte of payload:
//! it is told what arrived and when, and answers with [`effects::Effects`] and [`segment::Plan`]s.
//! Start at [`Connection`]; a listener keeps [`listen::SynEntry`]s, and [`time_wait::TimeWait`]
//! records for what is over.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)
)]

mod buffers;
mod cold;
pub mod config;
mod congestion;
mod connection;
mod cookie;
pub mod counters;
mod delivery;
pub mod effects;
mod flight;
mod info;
mod input;
mod isn;
pub mod listen;
mod output;
mod pacing;
mod pool;
mod reassembly;
mod record;
mod recovery;
mod rtt;
mod scoreboard;
pub mod segment;
pub mod state;
pub mod time;
pub mod time_wait;
mod timer;

pub use config::{Config, Ecn, KeepAlive};
pub use congestion::CongestionAlgorithm;
pub use connection::Tcp;
pub use flight::Flight;
pub use info::{Info, Limit, Recovery};
pub use isn::Secrets;
pub use record::{Connection, Owner};
pub use state::State;
