//! Measurements one can trust: the Linux stack and Byway, side by side, and a report of it.
//!
//! ```text
//!   rr, demo      what the commands `byway bench rr` and `byway demo` do
//!   goodput       what `byway bench goodput` does: both ends of a transfer over bad paths
//!   runner        rounds, interleaved; each with a fresh target and a fresh generator as children
//!   target        who answers: an epoll server, `byway serve`, an address
//!   generator     who asks: kernel sockets, Byway over AF_XDP
//!   load          when connections ask: the arguments
//!   openloop      what an open loop found, and whether it counts
//!   noise         what the machine takes from a loop that only reads the clock
//!   stats, cpu    medians, intervals, histograms; where the processors' time goes
//!   result        the result file, from which alone these are made:
//!   table, report, verdict, csv, hgrm, hlog
//!   output        ... and written
//!   compare       two result files; gate: limits to what was measured
//! ```
#![forbid(unsafe_code)]

mod bed;
mod child;
pub mod compare;
pub mod cpu;
pub mod csv;
mod curve;
pub mod demo;
pub mod environment;
mod error;
pub mod gate;
pub mod generator;
pub mod goodput;
pub mod hgrm;
pub mod hlog;
mod limits;
pub mod load;
pub mod metric;
pub mod noise;
pub mod openloop;
pub mod output;
mod pattern;
mod progress;
mod quiet;
pub mod report;
pub mod result;
pub mod rr;
mod runner;
pub mod scenario;
#[cfg(test)]
mod schema;
mod segment;
pub mod stats;
pub mod table;
pub mod target;
pub mod verdict;
mod warnings;

pub use error::BenchError;
