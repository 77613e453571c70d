//! TCP that goes around the kernel: an engine on a network interface, over AF_XDP, and services
//! that run inside its loop.
//!
//! ```no_run
//! use byway::{Context, Engine, Service};
//! use std::sync::atomic::AtomicBool;
//!
//! struct Echo;
//!
//! impl Service for Echo {
//!     fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
//!         // What is not taken now is offered again when there is room to send.
//!         conn.send(data)
//!     }
//! }
//!
//! fn main() -> Result<(), byway::SetupError> {
//!     let engine = Engine::builder()
//!         .interface("eth0")
//!         .listen("10.0.0.1:7".parse().expect("an address and a port"), Echo)
//!         .build()?;
//!     println!("{} mode on {}", engine.report().mode, engine.report().interface);
//!     let never = AtomicBool::new(false);
//!     engine.run(&never)?;
//!     Ok(())
//! }
//! ```
//!
//! # How it fits together
//!
//! A [`Service`] is told what happens to its connections, and acts on them through the [`Context`]
//! it is given. It runs on the engine's own thread, between receiving a burst of frames and
//! sending the answers, so it must not block; in return there are no locks, no buffers to manage
//! and no system calls. One service serves all connections of its listeners; what it keeps for
//! each goes where [`Context::token_mut`] points.
//!
//! [`Engine::builder`] says where and how; [`EngineBuilder::build`] opens the interface, and fails
//! with a [`SetupError`] that tells the cause and the remedy. From then on frames for the listening
//! addresses go to the engine, and everything else to the kernel as before. Addresses, ARP, routes
//! and neighbours stay the kernel's: a thread beside the engine follows them.
//!
//! Things that are no error but should not go unseen (a slower mode than hoped for, a peer whose
//! checksums are unfilled) are [`Notice`]s, written to standard error unless
//! [`EngineBuilder::on_notice`] says otherwise.
//!
//! When the engine stops it closes every connection and detaches; when its process is killed the
//! kernel detaches it at once.
#![forbid(unsafe_code)]

mod addresses;
mod builder;
mod control;
mod engine;
mod error;
mod notice;
mod summary;
pub mod testing;

pub use builder::EngineBuilder;
pub use engine::{Engine, Handle, Report};
pub use error::SetupError;
pub use notice::Notice;
pub use summary::Summary;

pub use byway_stack::config::Limits;
pub use byway_stack::context::{ConnId, ConnectError, Context};
pub use byway_stack::port::PortStats;
pub use byway_stack::service::Service;
pub use byway_stack::{ConnOptions, SoftError};
pub use byway_tcp::CongestionAlgorithm;
pub use byway_tcp::effects::CloseReason;
pub use byway_tcp::time;
pub use byway_tcp::{Config as TcpConfig, Ecn, Info, KeepAlive, Limit, Recovery};
pub use byway_wire::icmp::Kind as IcmpKind;
pub use byway_wire::ip::Dscp;
pub use byway_wire::{Address, Endpoint, FlowKey};
pub use byway_xdp::{Mode, UnknownMode};
