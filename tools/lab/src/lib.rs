//! A lab: three network namespaces joined by veth pairs, to try things in without a network.
//!
//! ```text
//!   NAME-client                NAME-server                 NAME-backend
//!   eth0  10.77.0.1/24 ======= eth0  10.77.0.2/24
//!         fd77::1/64                 fd77::2/64
//!                              eth1  10.78.0.1/24 ======== eth0  10.78.0.2/24
//!                                    fd78::1/64                  fd78::2/64
//! ```
//!
//! A lab with a wire ([`Options::wire`]) has a fourth namespace between the client and the server,
//! without addresses, for a program that forwards and does as bad a network does:
//!
//! ```text
//!   NAME-client            NAME-wire               NAME-server
//!   eth0 ================= eth0   eth1 =========== eth0
//! ```
//!
//! Everything is inside these namespaces: interfaces are created there, sysctls are set there,
//! and nothing of the machine's own network is read or changed. What is made is written to a
//! journal first, so that a later `up` can finish or `down` can remove what an interrupted one left.
//!
//! ```no_run
//! use byway_lab::{Lab, Options, SERVER};
//! let lab = Lab::up("byway", &Options::default())?;
//! let mut server = lab.server().command("byway");
//! server.args(["serve", "echo", "--interface", SERVER.interface]);
//! # Ok::<(), byway_lab::Error>(())
//! ```
#![forbid(unsafe_code)]

mod error;
mod guard;
mod journal;
mod lab;
mod namespace;
mod plan;
mod privilege;
mod status;
mod tool;

pub use error::{Error, ErrorKind};
pub use guard::LabGuard;
pub use lab::{Lab, Removed};
pub use namespace::Namespace;
pub use plan::{
    BACKEND, CLIENT, End, Offloads, Options, Role, SERVER, SERVER_BACK, WIRE_CLIENT, WIRE_SERVER,
};
pub use privilege::{is_privileged, skip_unless_privileged};
pub use status::{InterfaceStatus, NamespaceStatus, State, Status};
