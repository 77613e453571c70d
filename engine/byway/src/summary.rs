//! What an engine did, told at its end.

use byway_stack::port::PortStats;
use std::time::Duration;

/// What an engine did from its start to its end.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// How long it ran.
    pub elapsed: Duration,
    /// Every counter of TCP and of the shard, by name; names follow the kernel's MIB where it has
    /// the same thing (`TcpInSegs`, `TcpRetransSegs`).
    pub counters: Vec<(&'static str, u64)>,
    /// Frames by what the XDP program did with them.
    pub steering: Vec<(&'static str, u64)>,
    /// The port's frames.
    pub port: PortStats,
}

impl Summary {
    /// The counter with this name, zero if there is none.
    pub fn get(&self, name: &str) -> u64 {
        let found = self.counters.iter().find(|(other, _)| *other == name);
        found.map_or(0, |(_, value)| *value)
    }
}
