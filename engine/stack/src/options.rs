//! What is chosen for connections one by one, or by their listener: how they send, how long they
//! wait, and what the network is asked to do with their packets.

use crate::core::{Core, NO_PATH};
use crate::path::Path;
use byway_tcp::CongestionAlgorithm;
use byway_tcp::time::Duration;
use byway_wire::ip::{Dscp, Treatment};

/// Choices for the connections of a listener, or for one that is opened. What is `None` is as the
/// configuration of the shard says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnOptions {
    /// How the congestion window grows.
    pub congestion: Option<CongestionAlgorithm>,
    /// Small segments wait for an acknowledgment.
    pub nagle: Option<bool>,
    /// A silent peer is probed.
    pub keep_alive: Option<bool>,
    /// A connection is given up when data stays unacknowledged for so long.
    pub user_timeout: Option<Duration>,
    /// The Differentiated Services codepoint of its packets, SYN-ACKs included.
    pub dscp: Option<Dscp>,
    /// The TTL or hop limit of its packets. Zero is taken as one.
    pub hop_limit: Option<u8>,
}

impl ConnOptions {
    /// The treatment that is asked for, where nothing else is said this one.
    pub(crate) fn treatment(&self, default: Treatment) -> Treatment {
        Treatment {
            dscp: self.dscp.unwrap_or(default.dscp),
            hop_limit: self.hop_limit.unwrap_or(default.hop_limit).max(1),
        }
    }
}

impl Core {
    /// Sets up a new connection as was asked for; its path is not touched.
    pub(crate) fn set_up(&mut self, index: u32, options: &ConnOptions) {
        let now = self.now;
        let Some(conn) = self.connections.get_mut(index) else {
            return;
        };
        if let Some(algorithm) = options.congestion {
            conn.set_congestion(algorithm);
        }
        if let Some(on) = options.nagle {
            conn.set_nagle(on);
        }
        if let Some(on) = options.keep_alive {
            conn.set_keep_alive(on, now, &self.tcp);
        }
        if options.user_timeout.is_some() {
            conn.set_user_timeout(options.user_timeout, &mut self.tcp);
        }
    }

    /// Changes what the network is asked to do with the packets of a connection. False, and nothing
    /// changed, when the table of paths is full: one that is treated in another way is another path.
    pub(crate) fn set_treatment(
        &mut self,
        index: u32,
        change: impl FnOnce(&mut Treatment),
    ) -> bool {
        let at = self.conn(index).owner().path;
        if at == NO_PATH {
            let found = self.waiting.iter_mut().find(|w| w.id.index == index);
            if let Some(waiting) = found {
                change(&mut waiting.treatment);
            }
            return true;
        }
        let Some(&path) = self.paths.get(at) else {
            return false;
        };
        let mut treatment = path.treatment;
        change(&mut treatment);
        self.take_path(index, Path { treatment, ..path })
    }

    /// Puts a connection on a path; false when the table of paths is full.
    pub(crate) fn take_path(&mut self, index: u32, path: Path) -> bool {
        let Some(new) = self.paths.acquire(path) else {
            self.counters.path_table_full += 1;
            return false;
        };
        let old = std::mem::replace(&mut self.conn(index).owner_mut().path, new);
        if old != NO_PATH {
            self.paths.release(old);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_chosen_is_as_it_was() {
        let default = Treatment {
            dscp: Dscp::new(46).unwrap(),
            hop_limit: 7,
        };
        assert_eq!(ConnOptions::default().treatment(default), default);
        let chosen = ConnOptions {
            dscp: Some(Dscp::DEFAULT),
            hop_limit: Some(0),
            ..ConnOptions::default()
        };
        let expected = Treatment {
            dscp: Dscp::DEFAULT,
            hop_limit: 1,
        };
        assert_eq!(chosen.treatment(default), expected);
    }
}
