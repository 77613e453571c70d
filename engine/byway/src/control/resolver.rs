//! Answers the shard's question "how do I reach this address?", and keeps the answers right.
//!
//! Pure: the kernel is behind a trait and the time is an argument.

use super::netlink::{Link, Neighbour, Route};
use byway_stack::mailbox::{Command, ResolveRequest};
use byway_stack::path::PathUpdate;
use byway_wire::Address;
use byway_wire::ethernet::MacAddr;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Datagrams sent to wake a neighbour up, before it is called unreachable.
const PROBES: u32 = 5;
/// Time between them. All of it stays below the time after which the shard gives up by itself.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// Answers that are kept right; beyond it the oldest is left as it is.
const MAX_FOLLOWED: usize = 4096;

/// What the resolver asks the kernel.
pub(crate) trait Kernel {
    /// The interface we run on.
    fn link(&mut self) -> io::Result<Link>;
    /// Where packets to `remote` go.
    fn route(&mut self, remote: IpAddr) -> io::Result<Route>;
    /// The hardware address of a neighbour on our interface.
    fn neighbour(&mut self, address: IpAddr) -> io::Result<Neighbour>;
    /// Makes the kernel ask for a neighbour.
    fn provoke(&mut self, address: IpAddr);
}

/// The questions asked and their answers.
pub(crate) struct Resolver<K> {
    kernel: K,
    link: Link,
    /// The largest IP packet the port can carry.
    port_mtu: u16,
    entries: HashMap<Address, Entry>,
    /// Keys of `entries`, the oldest first.
    order: VecDeque<Address>,
    /// Answers on their way to the shard.
    answers: VecDeque<Command>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    request: ResolveRequest,
    way: Way,
    state: State,
}

/// Where the route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    next_hop: IpAddr,
    local: IpAddr,
    mtu: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The neighbour is unknown: it is provoked `left` more times, `next` at this time.
    Probing { left: u32, next: Instant },
    /// The shard knows.
    Resolved([u8; 6]),
}

impl<K: Kernel> Resolver<K> {
    /// A resolver for the interface, whose port carries IP packets of so many octets.
    pub(crate) fn new(kernel: K, link: Link, port_mtu: u16) -> Self {
        Self {
            kernel,
            link,
            port_mtu,
            entries: HashMap::new(),
            order: VecDeque::new(),
            answers: VecDeque::new(),
        }
    }

    /// The interface, as last seen.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// The next answer for the shard.
    pub(crate) fn next_answer(&mut self) -> Option<Command> {
        self.answers.pop_front()
    }

    /// Puts back an answer that the shard had no room for.
    pub(crate) fn put_back(&mut self, answer: Command) {
        self.answers.push_front(answer);
    }

    /// The shard asks for a path.
    pub(crate) fn ask(&mut self, request: ResolveRequest, now: Instant) {
        let Some(way) = self.way(&request) else {
            self.answers.push_back(Command::Unreachable(request.remote));
            return;
        };
        let state = State::Probing {
            left: PROBES,
            next: now,
        };
        self.remember(Entry {
            request,
            way,
            state,
        });
        self.look(request.remote, now);
        if request.doubted {
            // What the kernel holds may be out of date: using it makes the kernel verify it, and tell
            // when it is another.
            self.kernel.provoke(way.next_hop);
        }
    }

    /// What is known of a neighbour changed.
    pub(crate) fn neighbour_changed(&mut self, interface: u32, address: IpAddr, now: Neighbour) {
        if interface != self.link.index {
            return;
        }
        // Failed and forgotten neighbours change nothing: what is resolved stays so until another
        // address is known, what is probed gives up in its own time.
        let Neighbour::Known(mac) = now else { return };
        let Self {
            entries,
            answers,
            link,
            ..
        } = self;
        for entry in entries
            .values_mut()
            .filter(|entry| entry.way.next_hop == address)
        {
            settle(entry, mac, link, answers);
        }
    }

    /// A link, an address or a route changed: finds every way again.
    pub(crate) fn network_changed(&mut self, now: Instant) -> io::Result<()> {
        let link = self.kernel.link()?;
        let moved = link != self.link;
        self.link = link;
        let remotes: Vec<Address> = self.order.iter().copied().collect();
        for remote in remotes {
            let Some(entry) = self.entries.get(&remote).copied() else {
                continue;
            };
            match self.way(&entry.request) {
                Some(way) if way == entry.way && !moved => {}
                Some(way) => {
                    let state = State::Probing {
                        left: PROBES,
                        next: now,
                    };
                    self.entries.insert(
                        remote,
                        Entry {
                            way,
                            state,
                            ..entry
                        },
                    );
                    self.look(remote, now);
                }
                // The way is gone, perhaps for a moment (a link that goes down and up). What has
                // a path keeps it, as sockets keep their connections; what waits gives up later.
                None => {}
            }
        }
        Ok(())
    }

    /// Probes what is due. Cheap when nothing is.
    pub(crate) fn tick(&mut self, now: Instant) {
        let due: Vec<Address> = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.state, State::Probing { next, .. } if next <= now))
            .map(|(remote, _)| *remote)
            .collect();
        for remote in due {
            self.look(remote, now);
        }
    }

    /// Looks whether the neighbour of an entry is known by now; if not, provokes it once more.
    fn look(&mut self, remote: Address, now: Instant) {
        let Some(entry) = self.entries.get_mut(&remote) else {
            return;
        };
        let State::Probing { left, next } = &mut entry.state else {
            return;
        };
        let next_hop = entry.way.next_hop;
        match self.kernel.neighbour(next_hop) {
            Ok(Neighbour::Known(mac)) => settle(entry, mac, &self.link, &mut self.answers),
            _ if *left == 0 => {
                self.answers.push_back(Command::Unreachable(remote));
                self.forget(remote);
            }
            _ => {
                *left -= 1;
                *next = now + PROBE_INTERVAL;
                self.kernel.provoke(next_hop);
            }
        }
    }

    /// The way to a remote address, if it leads through our interface.
    fn way(&mut self, request: &ResolveRequest) -> Option<Way> {
        let remote = IpAddr::from(request.remote);
        let route = self.kernel.route(remote).ok()?;
        if !route.unicast || route.interface != self.link.index {
            return None;
        }
        // What the kernel would choose goes first: the answer is also for connections that name no
        // address, and whoever named one has it already.
        //= rfc9293 3.9.1.1 MUST-44
        let local = route.source.or_else(|| request.local.map(IpAddr::from))?;
        let headers = if remote.is_ipv4() { 40 } else { 60 };
        let announced = route.advmss.map(|mss| mss.saturating_add(headers));
        let mtu = [route.mtu, announced]
            .into_iter()
            .flatten()
            .fold(self.link.mtu, u32::min);
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX).min(self.port_mtu);
        Some(Way {
            next_hop: route.gateway.unwrap_or(remote),
            local,
            mtu,
        })
    }

    fn remember(&mut self, entry: Entry) {
        let remote = entry.request.remote;
        if self.entries.insert(remote, entry).is_none() {
            self.order.push_back(remote);
            if self.order.len() > MAX_FOLLOWED
                && let Some(oldest) = self.order.pop_front()
            {
                self.entries.remove(&oldest);
            }
        }
    }

    fn forget(&mut self, remote: Address) {
        self.entries.remove(&remote);
        self.order.retain(|other| *other != remote);
    }
}

/// Tells the shard the path of an entry, unless it knows.
fn settle(entry: &mut Entry, mac: [u8; 6], link: &Link, answers: &mut VecDeque<Command>) {
    if entry.state == State::Resolved(mac) {
        return;
    }
    entry.state = State::Resolved(mac);
    answers.push_back(Command::Path(PathUpdate {
        remote: entry.request.remote,
        local: entry.way.local.into(),
        src: MacAddr(link.mac),
        dst: MacAddr(mac),
        vlan: None,
        mtu: entry.way.mtu,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 2];
    const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 9];

    /// 10.0.0.0/24 is on the link, 10.0.9.0/24 behind another interface, 127/8 is the machine
    /// itself, everything else behind 10.0.0.9, as long as there is a network.
    #[derive(Default)]
    struct Fake {
        neighbours: HashMap<IpAddr, Neighbour>,
        provoked: Vec<IpAddr>,
        no_network: bool,
        mtu: u32,
    }

    fn link(mtu: u32) -> Link {
        Link {
            index: 7,
            mac: OURS,
            mtu,
            up: true,
        }
    }

    impl Kernel for Fake {
        fn link(&mut self) -> io::Result<Link> {
            Ok(link(self.mtu))
        }

        fn route(&mut self, remote: IpAddr) -> io::Result<Route> {
            if self.no_network {
                return Err(io::ErrorKind::NetworkUnreachable.into());
            }
            let IpAddr::V4(v4) = remote else {
                panic!("{remote}")
            };
            let [first, _, third, _] = v4.octets();
            Ok(Route {
                interface: if (first, third) == (10, 9) { 8 } else { 7 },
                gateway: (first != 10).then_some([10, 0, 0, 9].into()),
                source: Some([10, 0, 0, 1].into()),
                mtu: (first == 172).then_some(1400),
                advmss: (first == 198).then_some(1000),
                unicast: first != 127,
            })
        }

        fn neighbour(&mut self, address: IpAddr) -> io::Result<Neighbour> {
            Ok(self
                .neighbours
                .get(&address)
                .copied()
                .unwrap_or(Neighbour::Unknown))
        }

        fn provoke(&mut self, address: IpAddr) {
            self.provoked.push(address);
        }
    }

    fn resolver() -> Resolver<Fake> {
        let mut fake = Fake {
            mtu: 1500,
            ..Fake::default()
        };
        fake.neighbours
            .insert([10, 0, 0, 9].into(), Neighbour::Known(ROUTER));
        Resolver::new(fake, link(1500), 1500)
    }

    fn request(octets: [u8; 4]) -> ResolveRequest {
        ResolveRequest {
            remote: Address::v4(octets),
            local: None,
            doubted: false,
        }
    }

    fn path(answer: Option<Command>) -> PathUpdate {
        match answer {
            Some(Command::Path(path)) => path,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_known_router_answers_at_once() {
        let mut resolver = resolver();
        resolver.ask(request([172, 16, 0, 1]), Instant::now());
        let path = path(resolver.next_answer());
        assert_eq!(path.remote, Address::v4([172, 16, 0, 1]));
        assert_eq!(path.local, Address::v4([10, 0, 0, 1]));
        assert_eq!(
            (path.src, path.dst, path.mtu),
            (MacAddr(OURS), MacAddr(ROUTER), 1400)
        );
        assert!(resolver.kernel.provoked.is_empty());
        assert!(resolver.next_answer().is_none());
    }

    /// The kernel does not verify an address that it does not use.
    #[test]
    fn a_path_in_doubt_makes_the_kernel_look() {
        let mut resolver = resolver();
        let doubted = ResolveRequest {
            doubted: true,
            ..request([172, 16, 0, 1])
        };
        resolver.ask(doubted, Instant::now());
        assert_eq!(path(resolver.next_answer()).dst, MacAddr(ROUTER));
        let router = IpAddr::from([10, 0, 0, 9]);
        assert_eq!(resolver.kernel.provoked, [router]);
        resolver.neighbour_changed(7, router, Neighbour::Known(THEIRS));
        assert_eq!(path(resolver.next_answer()).dst, MacAddr(THEIRS));
    }

    #[test]
    fn what_no_route_of_ours_leads_to_is_unreachable_at_once() {
        for octets in [[127, 0, 0, 1], [10, 0, 9, 1]] {
            let mut resolver = resolver();
            resolver.ask(request(octets), Instant::now());
            assert!(
                matches!(resolver.next_answer(), Some(Command::Unreachable(_))),
                "{octets:?}"
            );
        }
        let mut resolver = resolver();
        resolver.kernel.no_network = true;
        resolver.ask(request([10, 0, 0, 2]), Instant::now());
        assert!(matches!(
            resolver.next_answer(),
            Some(Command::Unreachable(_))
        ));
    }

    #[test]
    fn a_silent_neighbour_is_provoked_so_many_times_and_then_unreachable() {
        let mut resolver = resolver();
        let start = Instant::now();
        resolver.ask(request([10, 0, 0, 2]), start);
        assert_eq!(resolver.kernel.provoked.len(), 1);
        let mut now = start;
        while resolver.entries.len() == 1 {
            assert!(resolver.next_answer().is_none());
            now += PROBE_INTERVAL / 2;
            resolver.tick(now);
            assert!(now - start < Duration::from_secs(4), "it never gives up");
        }
        assert_eq!(
            resolver.kernel.provoked,
            [IpAddr::from([10, 0, 0, 2]); PROBES as usize]
        );
        assert_eq!(now - start, PROBE_INTERVAL * PROBES);
        let Some(Command::Unreachable(remote)) = resolver.next_answer() else {
            panic!()
        };
        assert_eq!(remote, Address::v4([10, 0, 0, 2]));
    }

    #[test]
    fn a_neighbour_that_answers_is_told_once_and_again_when_it_moves() {
        let mut resolver = resolver();
        resolver.ask(request([10, 0, 0, 2]), Instant::now());
        let address = [10, 0, 0, 2].into();
        resolver.neighbour_changed(8, address, Neighbour::Known(THEIRS));
        assert!(resolver.next_answer().is_none(), "on another interface");
        resolver.neighbour_changed(7, address, Neighbour::Known(THEIRS));
        assert_eq!(path(resolver.next_answer()).dst, MacAddr(THEIRS));
        resolver.neighbour_changed(7, address, Neighbour::Known(THEIRS));
        resolver.neighbour_changed(7, address, Neighbour::Failed);
        resolver.neighbour_changed(7, address, Neighbour::Unknown);
        assert!(resolver.next_answer().is_none());
        resolver.neighbour_changed(7, address, Neighbour::Known(ROUTER));
        assert_eq!(path(resolver.next_answer()).dst, MacAddr(ROUTER));
    }

    #[test]
    fn an_answer_that_came_unseen_is_found_at_the_next_look() {
        let mut resolver = resolver();
        let start = Instant::now();
        resolver.ask(request([10, 0, 0, 2]), start);
        resolver
            .kernel
            .neighbours
            .insert([10, 0, 0, 2].into(), Neighbour::Known(THEIRS));
        resolver.tick(start + PROBE_INTERVAL / 2);
        assert!(resolver.next_answer().is_none());
        resolver.tick(start + PROBE_INTERVAL);
        assert_eq!(path(resolver.next_answer()).dst, MacAddr(THEIRS));
    }

    #[test]
    fn a_changed_network_is_asked_again() {
        let mut resolver = resolver();
        let now = Instant::now();
        resolver.ask(request([172, 16, 0, 1]), now);
        resolver.ask(request([192, 0, 2, 1]), now);
        while resolver.next_answer().is_some() {}
        resolver.network_changed(now).unwrap();
        assert!(resolver.next_answer().is_none(), "nothing changed for them");
        resolver.kernel.no_network = true;
        resolver.network_changed(now).unwrap();
        assert!(resolver.next_answer().is_none(), "what has a path keeps it");
        resolver.kernel.no_network = false;
        resolver.kernel.mtu = 1300;
        resolver.network_changed(now).unwrap();
        assert_eq!(path(resolver.next_answer()).mtu, 1300);
        assert_eq!(path(resolver.next_answer()).mtu, 1300);
    }

    /// One who names an address has it already; the answer serves the others as well.
    //= rfc9293 3.9.1.1 MUST-44
    #[test]
    fn the_kernel_chooses_our_address() {
        let mut resolver = resolver();
        let local = Some(Address::v4([10, 0, 0, 77]));
        resolver.ask(
            ResolveRequest {
                local,
                ..request([10, 0, 0, 9])
            },
            Instant::now(),
        );
        assert_eq!(
            path(resolver.next_answer()).local,
            Address::v4([10, 0, 0, 1])
        );
    }

    //= rfc9293 3.7.1 MUST-67
    #[test]
    fn a_route_may_say_the_largest_segment() {
        let mut resolver = resolver();
        resolver.ask(request([198, 51, 100, 1]), Instant::now());
        assert_eq!(path(resolver.next_answer()).mtu, 1040);
    }

    #[test]
    fn the_oldest_answers_are_followed_no_more_at_the_limit() {
        let mut resolver = resolver();
        for n in 0..=MAX_FOLLOWED as u32 {
            let [_, b, c, d] = n.to_be_bytes();
            resolver.ask(request([172, b, c, d]), Instant::now());
        }
        assert_eq!(resolver.entries.len(), MAX_FOLLOWED);
        assert_eq!(resolver.order.len(), MAX_FOLLOWED);
        assert!(!resolver.entries.contains_key(&Address::v4([172, 0, 0, 0])));
    }
}
