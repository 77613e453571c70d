//! Connections follow their paths: when the control plane's answer for a destination changes, those
//! that exist change with it; and when nothing comes back, it is asked again.

use crate::core::{Core, NO_PATH, flag};
use crate::mailbox::ResolveRequest;
use crate::path::{Path, PathUpdate, Updated};
use byway_tcp::time::{Duration, Instant};
use byway_wire::Address;

/// Destinations whose path is in doubt at a time. A network that is down must not flood the control
/// plane: it follows what the kernel says by itself.
const MAX_DOUBTS: usize = 256;
/// For so long a question is not repeated.
const PATIENCE: Duration = Duration::from_secs(3);

impl Core {
    /// The control plane says how a destination is reached.
    pub(crate) fn on_path(&mut self, update: &PathUpdate) {
        let doubted = self.doubts.remove(&update.remote).is_some();
        match self.paths.update(update, &self.config) {
            Updated::NoRoom => self.counters.path_table_full += 1,
            Updated::New | Updated::Same => {
                self.path_found(&update.remote);
                // A connection that was accepted learned its path from a frame.
                if doubted {
                    self.moved.insert(update.remote);
                }
            }
            Updated::Moved => {
                self.path_found(&update.remote);
                self.moved.insert(update.remote);
            }
        }
    }

    /// Takes connections to the new path of their destination: all that moved since the last time
    /// in one pass over the records, because this is rare and an index would cost every connection.
    pub(crate) fn follow_paths(&mut self) {
        if self.moved.is_empty() {
            return;
        }
        for index in 0..self.connections.high_water() {
            let Some(conn) = self.connections.get(index) else {
                continue;
            };
            let remote = conn.flow().remote.address;
            let stays = conn.owner().path == NO_PATH || conn.owner().flags & flag::LINGERS != 0;
            if !stays && self.moved.contains(&remote) {
                self.follow_path(index, &remote);
            }
        }
        self.moved.clear();
    }

    fn follow_path(&mut self, index: u32, remote: &Address) {
        let at = self.conn(index).owner().path;
        let route = self.paths.route(remote);
        let found = route.and_then(|route| self.paths.get(route.path));
        let (Some(found), Some(old)) = (found, self.paths.get(at)) else {
            return;
        };
        let new = Path {
            treatment: old.treatment,
            mtu: found.mtu.min(old.mtu),
            link: found.link,
        };
        if new == *old || !self.take_path(index, new) {
            return;
        }
        self.counters.paths_moved += 1;
        if let Some(conn) = self.connections.get_mut(index) {
            conn.on_path_mtu(u32::from(new.mtu), &mut self.tcp);
        }
        self.mark_dirty(index);
    }

    /// Nothing came back from the peer of a connection for several retransmission timeouts: perhaps
    /// its path is not what it was. The kernel is asked, which looks at its neighbour as well.
    //= rfc9293 3.8.3 MUST-20
    pub(crate) fn doubt_path(&mut self, index: u32) {
        let Some(conn) = self.connections.get(index) else {
            return;
        };
        let remote = conn.flow().remote.address;
        let now = self.now;
        let pending = |asked: &Instant| now.since(*asked) < PATIENCE;
        if conn.owner().path == NO_PATH || self.doubts.get(&remote).is_some_and(pending) {
            return;
        }
        if self.doubts.len() >= MAX_DOUBTS {
            self.doubts.retain(|_, asked| pending(asked));
        }
        if self.doubts.len() < MAX_DOUBTS {
            let request = ResolveRequest {
                remote,
                local: None,
                doubted: true,
            };
            if self.mailbox.request(request) {
                self.doubts.insert(remote, now);
            } else {
                self.counters.request_lost += 1;
            }
        }
    }

    /// The largest packet to try on the way to a destination: what fits the interface and the route
    /// that the kernel told, unless ICMP taught otherwise.
    //= rfc1191 6.3
    //= rfc9293 3.7.1 MUST-67
    pub(crate) fn mtu_to(&self, remote: &Address) -> u16 {
        let route = self.paths.route(remote);
        let path = route.and_then(|route| self.paths.get(route.path));
        let mtu = path.map_or(self.config.mtu, |path| path.mtu.min(self.config.mtu));
        let learned = self.path_mtus.get(remote, self.now);
        mtu.min(learned.unwrap_or(u16::MAX))
    }
}
