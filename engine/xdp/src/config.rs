//! What a port is asked for, and what it turned out to be.

use byway_wire::Endpoint;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// How frames get from the driver to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The first of zero-copy, native and generic that the interface can do; every fallback is
    /// told in [`Opened::fallbacks`].
    #[default]
    Auto,
    /// The driver writes into our memory. Needs support in the driver.
    Zerocopy,
    /// The program runs in the driver, the kernel copies once.
    Native,
    /// The program runs after the kernel made a packet buffer. Every interface can do it.
    Generic,
}

impl Mode {
    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Zerocopy => "zerocopy",
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    /// The modes to try, in order.
    pub(crate) const fn candidates(self) -> &'static [Mode] {
        match self {
            Self::Auto => &[Self::Zerocopy, Self::Native, Self::Generic],
            Self::Zerocopy => &[Self::Zerocopy],
            Self::Native => &[Self::Native],
            Self::Generic => &[Self::Generic],
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is no mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMode;

impl fmt::Display for UnknownMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the modes are auto, zerocopy, native and generic")
    }
}

impl std::error::Error for UnknownMode {}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        [Self::Auto, Self::Zerocopy, Self::Native, Self::Generic]
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or(UnknownMode)
    }
}

/// Which frames are ours; all else goes on to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steering {
    /// Where we accept connections. `0.0.0.0` stands for every IPv4 address of `local`, `::` for
    /// every IPv6 address of it. At most [`Steering::LISTENERS`].
    pub listen: Vec<Endpoint>,
    /// Local ports of the connections that we open, on every address of `local`.
    pub ephemeral: RangeInclusive<u16>,
    /// Our addresses. At most [`Steering::ADDRESSES`].
    pub local: Vec<IpAddr>,
}

impl Steering {
    /// Endpoints that the program holds at most.
    pub const LISTENERS: usize = 4096;
    /// Local addresses that the program holds at most.
    pub const ADDRESSES: usize = 1024;
    /// An ephemeral range without a port, for one who opens no connections.
    #[allow(
        clippy::reversed_empty_ranges,
        reason = "an empty range is what is meant"
    )]
    pub const NO_PORTS: RangeInclusive<u16> = 1..=0;
}

impl Default for Steering {
    /// Nothing is ours.
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            ephemeral: Self::NO_PORTS,
            local: Vec::new(),
        }
    }
}

/// What to open. [`XdpConfig::new`] gives the defaults.
///
/// Sizes are for the peak of packets in flight, not for the average: with 10,000 connections that
/// send at once, 10,000 frames arrive before the first is looked at. Too low and the kernel drops
/// (`PortStats::rx_dropped`), and each drop costs its connection a retransmission timeout. Too
/// high costs memory (`frames` times 2 or 4 KiB, locked) and cache: received frames cycle through
/// everything that the fill rings hold.
#[derive(Clone, Debug)]
pub struct XdpConfig {
    /// Name of the interface, in the network namespace of the calling thread.
    pub interface: String,
    /// How frames get to us.
    pub mode: Mode,
    /// Receive queues to serve; `None` is all. Frames of ours on a queue that is not served are
    /// dropped (see [`Verdict::DropNoSocket`](crate::Verdict)), so leave some out only when the
    /// card steers our flows away from them.
    pub queues: Option<RangeInclusive<u32>>,
    /// Chunks of memory, shared by all queues and both directions. A chunk is 2 KiB, or 4 KiB
    /// when the MTU asks for it. `tx_ring` of them (a quarter of all at most) are set aside for
    /// sending; the queues share the rest equally to receive into, each no more than `fill_ring`.
    pub frames: u32,
    /// Slots of each receive ring (a power of two): frames that arrived and wait for us.
    pub rx_ring: u32,
    /// Slots of each fill ring (a power of two): frames the kernel may receive into.
    pub fill_ring: u32,
    /// Slots of the transmit ring and of its completion ring (a power of two): frames that are
    /// being sent. Frames leave by the first queue, so that those of a flow stay in order.
    pub tx_ring: u32,
    /// Which frames are ours, to begin with.
    pub steering: Steering,
}

impl XdpConfig {
    /// The defaults for an interface: every queue, mode `auto`, 16,384 frames (32 MiB at MTU 1500),
    /// 8,192 of them to receive into, nothing steered to us yet.
    pub fn new(interface: impl Into<String>) -> Self {
        Self {
            interface: interface.into(),
            mode: Mode::Auto,
            queues: None,
            frames: 16_384,
            rx_ring: 8192,
            fill_ring: 8192,
            tx_ring: 4096,
            steering: Steering::default(),
        }
    }
}

/// What was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The mode in use: never [`Mode::Auto`].
    pub mode: Mode,
    /// One line for each mode that `auto` tried in vain, with the reason: print them.
    pub fallbacks: Vec<String>,
    /// The queues served.
    pub queues: RangeInclusive<u32>,
    /// Octets of an IP packet on this interface.
    pub mtu: u32,
    /// The interface's own Ethernet address.
    pub mac: [u8; 6],
    /// The interface's index.
    pub ifindex: u32,
    /// Octets of a chunk of memory.
    pub chunk_size: u32,
    /// Chunks of memory.
    pub frames: u32,
}

impl Opened {
    /// True when the driver writes into our memory.
    pub fn zerocopy(&self) -> bool {
        self.mode == Mode::Zerocopy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_keep_their_names() {
        for name in ["auto", "zerocopy", "native", "generic"] {
            assert_eq!(name.parse::<Mode>().unwrap().to_string(), name);
        }
        assert_eq!("skb".parse::<Mode>(), Err(UnknownMode));
    }

    #[test]
    fn only_auto_falls_back() {
        assert_eq!(
            Mode::Auto.candidates(),
            [Mode::Zerocopy, Mode::Native, Mode::Generic]
        );
        for mode in [Mode::Zerocopy, Mode::Native, Mode::Generic] {
            assert_eq!(mode.candidates(), [mode]);
        }
    }
}
