//! Packet scripts: one behaviour of TCP each, shown by an exchange of segments.
//!
//! A script says what a peer sends, what the tested side must answer and when, and what its
//! application does and sees. The same script is carried out with Byway, a whole shard in memory
//! and in virtual time, and with this machine's Linux over a TUN device: a second opinion on the
//! script. The README describes the format; [`parse::parse`] reads it, [`suite`] runs all of them.
#![forbid(unsafe_code)]

mod app;
mod byway;
mod linux;
mod numbers;
mod packet;
pub mod parse;
mod parse_segment;
mod repeat;
pub mod run;
pub mod script;
mod seen;
mod subject;
pub mod suite;
mod words;
