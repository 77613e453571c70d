//! Paths: what the Ethernet header of a connection's frames is made of.
//!
//! A path is learned provisionally from the frame that brought a SYN: answers go where it came
//! from. The control plane tells the paths for connections that we open, and those take precedence
//! for connections that come later.

use crate::config::ShardConfig;
use byway_wire::Address;
use byway_wire::ethernet::{Header, MacAddr};
use byway_wire::ip::Treatment;
use byway_wire::plain::Template;
use std::collections::HashMap;

/// How a remote address is reached, as the control plane found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathUpdate {
    /// The address that is reached.
    pub remote: Address,
    /// Our address on the way there, used when `connect` names none.
    pub local: Address,
    /// Our MAC address.
    pub src: MacAddr,
    /// The neighbour's MAC address: the remote's, or the router's.
    pub dst: MacAddr,
    /// The VLAN, when the frames are tagged.
    pub vlan: Option<u16>,
    /// The largest IP packet, in octets.
    pub mtu: u16,
}

impl PathUpdate {
    fn path(&self, treatment: Treatment) -> Path {
        Path {
            link: Header {
                src: self.src,
                dst: self.dst,
                vlan: self.vlan,
                outer_vlan: None,
            },
            mtu: self.mtu,
            treatment,
        }
    }
}

/// A path: many connections share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The Ethernet header of what we send.
    pub link: Header,
    /// The largest IP packet, in octets.
    pub mtu: u16,
    /// What the network is asked to do with the packets.
    pub treatment: Treatment,
}

impl Path {
    /// The largest segment that fits, without options: what the MSS option says.
    //= rfc9293 3.7.1 MUST-67
    #[inline]
    pub const fn mss(&self, ipv4: bool) -> u16 {
        self.mtu.saturating_sub(if ipv4 { 40 } else { 60 })
    }
}

/// Where a remote address is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) path: u16,
    pub(crate) local: Address,
}

/// What came of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Updated {
    /// The table is full: it is as before.
    NoRoom,
    /// The address had no route.
    New,
    /// Nothing is different.
    Same,
    /// It is reached in another way than before.
    Moved,
}

#[derive(Debug)]
struct Slot {
    path: Path,
    template: Option<Template>,
    users: u32,
    /// It is among `unused`.
    listed: bool,
}

/// The paths of a shard, each with a count of its users.
#[derive(Debug)]
pub(crate) struct Paths {
    slots: Vec<Slot>,
    by_path: HashMap<Path, u16>,
    /// Slots that had no users when they were put here, each once.
    unused: Vec<u16>,
    /// The slot that was acquired last.
    last: u16,
    routes: HashMap<Address, Route>,
    limit: u16,
}

impl Paths {
    pub(crate) fn new(limit: u16) -> Self {
        Self {
            slots: Vec::new(),
            by_path: HashMap::new(),
            unused: Vec::new(),
            last: 0,
            routes: HashMap::new(),
            // The last number means "none yet".
            limit: limit.min(u16::MAX - 1),
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u16) -> Option<&Path> {
        self.slots.get(usize::from(index)).map(|slot| &slot.path)
    }

    /// A path, and the template of its plain headers if its frames are not tagged.
    #[inline]
    pub(crate) fn with_template(&self, index: u16) -> Option<(&Path, Option<&Template>)> {
        let slot = self.slots.get(usize::from(index))?;
        Some((&slot.path, slot.template.as_ref()))
    }

    /// The index of a path, one more user of it; `None` when the table is full.
    pub(crate) fn acquire(&mut self, path: Path) -> Option<u16> {
        // Mostly it is the one that was asked for last: a router, or a load balancer.
        let last = self.slots.get_mut(usize::from(self.last));
        if let Some(slot) = last.filter(|slot| slot.path == path) {
            slot.users += 1;
            return Some(self.last);
        }
        if let Some(&index) = self.by_path.get(&path) {
            self.slots[usize::from(index)].users += 1;
            self.last = index;
            return Some(index);
        }
        let slot = Slot {
            path,
            template: Template::new(&path.link, path.treatment),
            users: 1,
            listed: false,
        };
        let index = if self.slots.len() < usize::from(self.limit) {
            self.slots.push(slot);
            self.slots.len() as u16 - 1
        } else {
            let index = self.reusable()?;
            self.by_path.remove(&self.slots[usize::from(index)].path);
            self.slots[usize::from(index)] = slot;
            index
        };
        self.by_path.insert(path, index);
        self.last = index;
        Some(index)
    }

    /// One more user of a path that has some.
    #[inline]
    pub(crate) fn share(&mut self, index: u16) {
        if let Some(slot) = self.slots.get_mut(usize::from(index)) {
            slot.users += 1;
        }
    }

    /// One user less.
    #[inline]
    pub(crate) fn release(&mut self, index: u16) {
        if let Some(slot) = self.slots.get_mut(usize::from(index)) {
            slot.users -= 1;
            if slot.users == 0 && !slot.listed {
                slot.listed = true;
                self.unused.push(index);
            }
        }
    }

    /// A path without users. One may be listed that was taken up again since.
    fn reusable(&mut self) -> Option<u16> {
        while let Some(index) = self.unused.pop() {
            let slot = &mut self.slots[usize::from(index)];
            slot.listed = false;
            if slot.users == 0 {
                return Some(index);
            }
        }
        None
    }

    pub(crate) fn route(&self, remote: &Address) -> Option<Route> {
        self.routes.get(remote).copied()
    }

    /// Takes note of what the control plane found; a route counts as a user of its path.
    pub(crate) fn update(&mut self, update: &PathUpdate, config: &ShardConfig) -> Updated {
        let known = self.routes.contains_key(&update.remote);
        if !known && self.routes.len() >= usize::from(self.limit) {
            return Updated::NoRoom;
        }
        let mut path = update.path(config.treatment);
        path.mtu = path.mtu.min(config.mtu);
        let Some(index) = self.acquire(path) else {
            return Updated::NoRoom;
        };
        let route = Route {
            path: index,
            local: update.local,
        };
        match self.routes.insert(update.remote, route) {
            Some(old) => {
                self.release(old.path);
                if old.path == index {
                    Updated::Same
                } else {
                    Updated::Moved
                }
            }
            None => Updated::New,
        }
    }

    /// Forgets how a remote address is reached.
    pub(crate) fn forget(&mut self, remote: &Address) {
        if let Some(route) = self.routes.remove(remote) {
            self.release(route.path);
        }
    }

    /// Users of all paths, routes excluded.
    pub(crate) fn users(&self) -> u64 {
        let all: u64 = self.slots.iter().map(|slot| u64::from(slot.users)).sum();
        all - self.routes.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(n: u8) -> Path {
        let link = Header {
            src: MacAddr([2; 6]),
            dst: MacAddr([n; 6]),
            ..Header::default()
        };
        Path {
            link,
            mtu: 1500,
            treatment: Treatment::default(),
        }
    }

    #[test]
    fn equal_paths_are_one_and_the_limit_holds_until_one_is_unused() {
        let mut paths = Paths::new(2);
        let a = paths.acquire(path(2)).unwrap();
        assert_eq!(paths.acquire(path(2)), Some(a));
        let b = paths.acquire(path(4)).unwrap();
        assert_ne!(a, b);
        assert_eq!(paths.acquire(path(6)), None);
        paths.release(a);
        assert_eq!(paths.acquire(path(6)), None);
        paths.release(a);
        assert_eq!(paths.acquire(path(2)), Some(a));
        paths.release(a);
        assert_eq!(paths.acquire(path(6)), Some(a));
        assert_eq!(paths.get(a), Some(&path(6)));
        assert_eq!(paths.users(), 2);
    }

    #[test]
    fn a_path_that_comes_and_goes_is_listed_once() {
        let mut paths = Paths::new(2);
        for _ in 0..100 {
            let a = paths.acquire(path(2)).unwrap();
            paths.release(a);
        }
        assert_eq!(paths.unused.len(), 1);
        let (b, c) = (paths.acquire(path(4)), paths.acquire(path(6)));
        assert!(b.is_some() && c.is_some());
        assert_eq!(paths.acquire(path(2)), None);
    }

    #[test]
    fn a_route_follows_its_updates() {
        let mut paths = Paths::new(4);
        let remote = Address::v4([10, 0, 0, 2]);
        let mut update = PathUpdate {
            remote,
            local: Address::v4([10, 0, 0, 1]),
            src: MacAddr([2; 6]),
            dst: MacAddr([4; 6]),
            vlan: Some(7),
            mtu: 9000,
        };
        let secrets = byway_tcp::Secrets {
            isn: [0; 2],
            timestamp_offset: 0,
        };
        let config = ShardConfig::new(secrets, [0; 2]);
        assert_eq!(paths.update(&update, &config), Updated::New);
        assert_eq!(paths.update(&update, &config), Updated::Same);
        let first = paths.route(&remote).unwrap();
        assert_eq!(paths.get(first.path).unwrap().mtu, 1500);
        update.dst = MacAddr([6; 6]);
        assert_eq!(paths.update(&update, &config), Updated::Moved);
        let second = paths.route(&remote).unwrap();
        assert_eq!(paths.get(second.path).unwrap().link.dst, MacAddr([6; 6]));
        assert_eq!(paths.users(), 0);
        paths.forget(&remote);
        assert!(paths.route(&remote).is_none());
    }

    //= rfc9293 3.7.1 MUST-67
    #[test]
    fn the_largest_segment_leaves_room_for_the_headers() {
        assert_eq!((path(2).mss(true), path(2).mss(false)), (1460, 1440));
    }
}
