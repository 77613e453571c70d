//! What is measured: which target, by which generator, with how many connections.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How an epoll loop waits for its next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Sleeps in `epoll_wait`: what servers do.
    Blocking,
    /// Polls without end: the lowest latency that Linux gives, for a whole processor.
    Spinning,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocking => "blocking",
            Self::Spinning => "spinning",
        })
    }
}

/// What is done again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Request and response, on connections that stay.
    #[default]
    Rr,
    /// Connect, request, response, close: the client closes first, in four ways.
    Crr,
}

impl Scenario {
    /// The name in results and file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Crr => "crr",
        }
    }
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// An epoll server on kernel sockets that sleeps when there is nothing to do.
    LinuxBlocking,
    /// The same server, polling without end.
    LinuxSpinning,
    /// `byway serve echo`.
    Byway,
    /// A reflector on the port that Byway uses: no TCP, but what the path allows.
    Reflector,
    /// Something that was running already, at an address that the user gave.
    Remote,
}

impl Target {
    /// The name in results, tables and file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinuxBlocking => "linux-blocking",
            Self::LinuxSpinning => "linux-spinning",
            Self::Byway => "byway",
            Self::Reflector => "reflector",
            Self::Remote => "remote",
        }
    }

    /// The name in a sentence.
    pub const fn title(self) -> &'static str {
        match self {
            Self::LinuxBlocking => "Linux, blocking epoll",
            Self::LinuxSpinning => "Linux, spinning epoll",
            Self::Byway => "Byway",
            Self::Reflector => "the AF_XDP reflector",
            Self::Remote => "the given address",
        }
    }

    /// True for a target on AF_XDP, which needs whole frames.
    pub const fn is_xdp(self) -> bool {
        matches!(self, Self::Byway | Self::Reflector)
    }

    /// True for a target on kernel sockets of ours: what Byway is compared with.
    pub const fn is_linux(self) -> bool {
        matches!(self, Self::LinuxBlocking | Self::LinuxSpinning)
    }
}

/// One word of `--target`; `linux` stands for both ways of waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetWord(pub Vec<Target>);

impl FromStr for TargetWord {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Ok(Self(match word {
            "linux" => vec![Target::LinuxBlocking, Target::LinuxSpinning],
            "linux-blocking" => vec![Target::LinuxBlocking],
            "linux-spinning" => vec![Target::LinuxSpinning],
            "byway" => vec![Target::Byway],
            "reflector" => vec![Target::Reflector],
            _ => {
                let names = "one of linux, linux-blocking, linux-spinning, byway, reflector";
                return Err(names.to_owned());
            }
        }))
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Generator {
    /// A small TCP of the generator's own over AF_XDP: the cheapest that is still a client.
    Lean,
    /// Byway's own TCP over AF_XDP, as whole as on the server.
    Byway,
    /// Kernel sockets with epoll: what ordinary clients are.
    Kernel,
}

impl Generator {
    /// True for a generator on AF_XDP, which needs whole frames.
    pub const fn is_xdp(self) -> bool {
        matches!(self, Self::Lean | Self::Byway)
    }

    /// The name in results and file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lean => "lean",
            Self::Byway => "byway",
            Self::Kernel => "kernel",
        }
    }

    /// The name in a heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Lean => "lean AF_XDP load generator",
            Self::Byway => "AF_XDP load generator",
            Self::Kernel => "kernel-socket load generator",
        }
    }
}

/// One combination that is measured, once a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cell {
    /// Who asks.
    pub generator: Generator,
    /// How many connections ask.
    pub connections: u32,
    /// Requests a second in an open loop; `None` in a closed one.
    pub rate: Option<u64>,
    /// Who answers.
    pub target: Target,
}

/// Frames that the rings of both sides are to have room for: twice the connections, since each has
/// a request or a response under way, and now and then an acknowledgment. No more than that, because
/// received frames cycle through all the memory there is, and what is not in the cache is slower.
pub fn in_flight(connections: u32) -> u32 {
    (2 * connections.clamp(256, 1 << 16)).next_power_of_two()
}

/// The order in which the cells of one round run. Cells that are compared stand next to each
/// other, and every other round goes backwards (A B C, C B A), so that a slow drift of the machine
/// falls on all of them alike.
pub fn round_order(cells: &[Cell], round: u32) -> Vec<Cell> {
    let mut order = cells.to_vec();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_targets() {
        assert_eq!(
            "linux".parse::<TargetWord>().unwrap().0,
            [Target::LinuxBlocking, Target::LinuxSpinning]
        );
        for target in [
            Target::LinuxBlocking,
            Target::LinuxSpinning,
            Target::Byway,
            Target::Reflector,
        ] {
            assert_eq!(target.name().parse::<TargetWord>().unwrap().0, [target]);
            assert_eq!(serde_json::to_value(target).unwrap(), target.name());
        }
        assert!("windows".parse::<TargetWord>().is_err());
    }

    #[test]
    fn rounds_alternate() {
        let cell = |connections| Cell {
            generator: Generator::Kernel,
            connections,
            rate: None,
            target: Target::Byway,
        };
        let cells = [cell(1), cell(2), cell(3)];
        let connections = |round| -> Vec<u32> {
            round_order(&cells, round)
                .iter()
                .map(|cell| cell.connections)
                .collect()
        };
        assert_eq!(connections(0), [1, 2, 3]);
        assert_eq!(connections(1), [3, 2, 1]);
        assert_eq!(connections(2), [1, 2, 3]);
    }

    #[test]
    fn rings_have_room_for_the_peak_and_no_more() {
        assert_eq!(
            [1, 256, 257, 10_000].map(in_flight),
            [512, 512, 1024, 32_768]
        );
        assert_eq!(in_flight(u32::MAX), 1 << 17);
    }
}
