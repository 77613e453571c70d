//! Whole engines on a simulated network, in virtual time, from one seed.
//!
//! ```text
//!  seed ──► Scenario ──► World: virtual time, from event to event
//!                          │
//!            applications  │  sent    ┌──────────┐   delivered
//!   oracle ◄── workload ── node ────► │ observer │ ◄──────────┐
//!   (bytes)    (services)  (a whole   └──────────┘            │
//!                           shard)──────────► network ────────┘
//!                                   loss, bursts, delay, jitter, reordering,
//!                                   duplicates, damage, rate, queues, marks
//! ```
//!
//! Nothing of the engines is mocked but their clock and their port. [`Scenario::draw`] makes all
//! choices from the seed; [`Runner`] runs a scenario until nothing is left to happen, and returns
//! the first rule that was broken.
#![forbid(unsafe_code)]

mod draw;
mod icmp;
mod network;
mod node;
mod observer;
mod oracle;
mod population;
mod port;
mod router;
mod runner;
mod scenario;
mod trace;
mod variants;
mod wire;
mod workload;
mod world;

pub use runner::{Failure, Options, Report, Runner};
pub use scenario::{Class, Scenario};
