//! The engine against TCPs that others wrote: smoltcp and lwIP in memory, the kernel over veth,
//! and the engine itself.
//!
//! Both sides of a connection follow a [`Script`] and record an [`Outcome`]; what they say to each
//! other is compared byte for byte on both sides. In memory nothing but the port and the clock is
//! other than on a network interface.
#![forbid(unsafe_code)]

mod app;
mod byway_end;
mod kernel_end;
mod lwip_end;
mod smol_end;
mod wire;
mod world;

pub use app::{App, Ends, Outcome, Reads, Script, Shared, Starts};
pub use byway_end::{Talk, Tuning};
pub use kernel_end::converse;
pub use lwip_end::LwipPeer;
pub use smol_end::{SmolOptions, SmolPeer, smoltcp_seed};
pub use wire::{IpWire, Seen};
pub use world::{Case, Opener, Peer, Time, World, assert_finished};

use byway_wire::ethernet::MacAddr;
use byway_wire::{Address, Endpoint};

/// The port that the side which does not open listens at.
pub const PORT: u16 = 7;

/// Which addresses the two ends have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The address of a host: 1 is the engine, 2 its peer.
    pub fn address(self, host: u8) -> Address {
        match self {
            Self::V4 => Address::v4([10, 0, 0, host]),
            Self::V6 => Address::v6([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]),
        }
    }

    /// A port of a host.
    pub fn endpoint(self, host: u8, port: u16) -> Endpoint {
        Endpoint::new(self.address(host), port)
    }
}

/// The Ethernet address of a host.
pub fn mac(host: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, host])
}
