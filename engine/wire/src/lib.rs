//! Byway on the wire: headers parsed once into small values, and written back.
//!
//! Nothing here keeps state, allocates or can panic on bytes from the network. The whole of a
//! received frame is parsed by [`frame::parse`]; a segment is sent by [`frame::emit_tcp`].
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)
)]

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod flow;
pub mod frame;
pub mod icmp;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod malformed;
pub mod plain;
pub mod seq;
pub mod tcp;
mod write;

pub use flow::{Address, Endpoint, FlowKey};
pub use malformed::Malformed;
pub use seq::{SeqLen, SeqNumber};
