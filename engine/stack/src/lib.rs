//! The shard: everything between frames and services, on one core, without locks.
//!
//! Start at [`shard::Shard::turn`], which names every stage of the life of a packet in order. A
//! [`port::Port`] brings frames, a [`clock::Clock`] the time, [`service::Service`]s use the
//! connections through a [`context::Context`].
#![forbid(unsafe_code)]

mod active;
pub mod blocks;
mod buffer_pool;
mod buffering;
mod classify;
pub mod clock;
pub mod config;
pub mod context;
mod core;
pub mod counters;
pub mod fault;
pub mod flow_table;
mod follow;
mod icmp;
mod input;
mod invariants;
mod listener;
pub mod mailbox;
pub mod memory;
mod options;
pub mod path;
mod path_mtu;
pub mod pcap;
pub mod port;
pub mod random;
mod reactor;
mod records;
pub mod rope;
pub mod service;
pub mod shard;
mod siphash;
mod time_waits;
mod timers;
mod transmit;
pub mod wheel;

pub use config::{Limits, ShardConfig};
pub use context::{ConnId, ConnectError, Context};
pub use icmp::SoftError;
pub use options::ConnOptions;
pub use service::Service;
pub use shard::Shard;
