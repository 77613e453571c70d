//! Connections that we open: which address, which port, which path.

use crate::context::{ConnId, ConnectError};
use crate::core::{Core, NO_PATH, Phase, Waiting, flag};
use crate::flow_table::Record;
use crate::mailbox::ResolveRequest;
use crate::options::ConnOptions;
use crate::path::Path;
use byway_tcp::Connection;
use byway_wire::ip::{Treatment, is_no_host};
use byway_wire::{Address, Endpoint, FlowKey};

/// Local ports that are tried before there is said to be none.
const PORT_TRIES: u32 = 4096;

impl Core {
    /// Starts a connection of `service`.
    pub(crate) fn connect(
        &mut self,
        service: u16,
        remote: Endpoint,
        local: Option<Endpoint>,
        token: u64,
        options: &ConnOptions,
    ) -> Result<ConnId, ConnectError> {
        if self.phase != Phase::Running {
            return Err(ConnectError::Stopping);
        }
        //= rfc9293 3.9.1.1 MUST-46
        if remote.port == 0 || is_no_host(&remote.address) {
            return Err(ConnectError::BadRemote);
        }
        if self.connections.is_full() {
            return Err(ConnectError::TableFull);
        }
        let route = self.paths.route(&remote.address);
        if route.is_none() && self.waiting.len() >= self.config.limits.waiting_for_path as usize {
            return Err(ConnectError::TooManyWaiting);
        }
        let named = local.map(|local| local.address);
        let named = named.filter(|address| !address.is_unspecified());
        let address = named
            .or_else(|| self.local_address(&remote.address, route.map(|route| route.local)))
            .filter(|address| address.is_v4() == remote.address.is_v4())
            .ok_or(ConnectError::NoAddress)?;
        let port = local.map_or(0, |local| local.port);
        let flow = self.free_flow(address, port, remote)?;
        let treatment = options.treatment(self.config.treatment);
        let path = route.and_then(|route| self.paths.get(route.path));
        let mtu = self.mtu_to(&remote.address);
        let path = path.map(|path| Path {
            treatment,
            mtu: path.mtu.min(mtu),
            ..*path
        });
        let hash = self.table.hash(&flow);
        if !self.has_room_for_flow(hash) {
            return Err(ConnectError::TableFull);
        }
        let mss = self.mss(path, &flow);
        let conn = Connection::connect(flow, mss, self.now, &mut self.tcp);
        let index = self
            .add_connection(conn, service, NO_PATH, token)
            .ok_or(ConnectError::TableFull)?;
        self.set_up(index, options);
        self.table.insert(hash, Record::Connection(index));
        let id = ConnId {
            index,
            generation: self.connections.generation(index),
        };
        match (path, route) {
            (Some(path), Some(route)) => self.start_on(index, path, route.path),
            _ => self.wait_for_path(id, remote.address, named, treatment),
        }
        Ok(id)
    }

    /// The connection has its path: the SYN leaves. At the limit on paths it goes the way of the
    /// route, which is there already, without a treatment of its own.
    fn start_on(&mut self, index: u32, path: Path, route: u16) {
        if !self.take_path(index, path) {
            self.paths.share(route);
            self.conn(index).owner_mut().path = route;
        }
        self.mark_dirty(index);
    }

    /// The address to open a connection from when the application names none: the one that the
    /// kernel would choose for the route, if segments to it reach us, else one of ours.
    //= rfc9293 3.9.1.1 MUST-43 MUST-44
    fn local_address(&self, remote: &Address, routed: Option<Address>) -> Option<Address> {
        routed
            .filter(|address| self.listeners.is_ours(address))
            .or_else(|| self.listeners.some_address(remote))
            .or(routed)
    }

    /// A flow that nobody speaks for: with `port`, or with the next ephemeral one that is free. It is
    /// that of every segment of the connection.
    //= rfc9293 3.9.1.1 MUST-45
    fn free_flow(
        &mut self,
        address: Address,
        port: u16,
        remote: Endpoint,
    ) -> Result<FlowKey, ConnectError> {
        let with = |port| FlowKey {
            local: Endpoint::new(address, port),
            remote,
        };
        if port != 0 {
            return Some(with(port))
                .filter(|f| self.is_free(f))
                .ok_or(ConnectError::NoPort);
        }
        let (first, last) = (*self.config.ephemeral.start(), *self.config.ephemeral.end());
        let span = u32::from(last.saturating_sub(first)) + 1;
        // Each remote endpoint has its own secret starting point (RFC 6056, algorithm 3).
        let offset = self.table.hash(&with(0)).get() % span;
        for _ in 0..span.min(PORT_TRIES) {
            let port = first + ((offset + u32::from(self.next_port)) % span) as u16;
            self.next_port = self.next_port.wrapping_add(1);
            let flow = with(port);
            if self.is_free(&flow) {
                return Ok(flow);
            }
        }
        Err(ConnectError::NoPort)
    }

    fn is_free(&self, flow: &FlowKey) -> bool {
        self.find(self.table.hash(flow), flow).is_none()
    }

    /// The largest segment for a flow on a path, or on one like those learned from frames.
    fn mss(&self, path: Option<Path>, flow: &FlowKey) -> u16 {
        let assumed = || Path {
            link: Default::default(),
            mtu: self.mtu_to(&flow.remote.address),
            treatment: self.config.treatment,
        };
        path.unwrap_or_else(assumed).mss(flow.local.address.is_v4())
    }

    fn wait_for_path(
        &mut self,
        id: ConnId,
        remote: Address,
        named: Option<Address>,
        treatment: Treatment,
    ) {
        self.set(id.index, flag::WAITING);
        let asked_already = self.waiting.iter().any(|waiting| waiting.remote == remote);
        self.waiting.push_back(Waiting {
            id,
            remote,
            named: named.is_some(),
            treatment,
            until: self.now + self.config.limits.path_timeout,
        });
        let request = ResolveRequest {
            remote,
            local: named,
            doubted: false,
        };
        if !asked_already && !self.mailbox.request(request) {
            self.counters.request_lost += 1;
        }
    }

    /// A path became known: the connections that wait for it start.
    pub(crate) fn path_found(&mut self, remote: &Address) {
        let Some(route) = self.paths.route(remote) else {
            return;
        };
        let Some(&path) = self.paths.get(route.path) else {
            return;
        };
        let mtu = self.mtu_to(remote);
        for waiting in self.take_waiting(|waiting| waiting.remote == *remote) {
            let index = waiting.id.index;
            self.clear(index, flag::WAITING);
            let local = self
                .local_address(remote, Some(route.local))
                .filter(|_| !waiting.named);
            let treatment = waiting.treatment;
            let path = Path {
                treatment,
                mtu: path.mtu.min(mtu),
                ..path
            };
            self.fit_to_path(index, path, local);
            self.start_on(index, path, route.path);
        }
    }

    /// The first SYN of a connection says the largest segment and where it comes from; it was not
    /// sent yet, so a path that is not as assumed makes it begin anew.
    fn fit_to_path(&mut self, index: u32, path: Path, local: Option<Address>) {
        let old = *self.conn(index).flow();
        // Nobody else waits at this port with the new address, or the old one has to do.
        let flow = local
            .filter(|address| *address != old.local.address)
            .and_then(|address| {
                self.free_flow(address, old.local.port, old.remote)
                    .or_else(|_| self.free_flow(address, 0, old.remote))
                    .ok()
            })
            .unwrap_or(old);
        let mss = self.mss(Some(path), &flow);
        let assumed = self
            .connections
            .get(index)
            .map(|conn| conn.info(&self.tcp).mss);
        if flow == old && Some(mss) == assumed {
            return;
        }
        let hash = self.table.hash(&old);
        self.table.remove(hash, Record::Connection(index));
        let conn = self
            .connections
            .get_mut(index)
            .expect("it was found waiting");
        conn.begin_anew(flow, mss, self.now, &mut self.tcp);
        let hash = self.table.hash(&flow);
        self.table.insert(hash, Record::Connection(index));
    }

    /// Takes out those connections, still there, whose wait for a path is over in some way.
    pub(crate) fn take_waiting(&mut self, over: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let mut taken = Vec::new();
        if self.waiting.iter().any(&over) {
            self.waiting.retain(|waiting| {
                let stays = !over(waiting);
                if !stays {
                    taken.push(*waiting);
                }
                stays
            });
            taken.retain(|waiting: &Waiting| self.resolve(waiting.id).is_some());
        }
        taken
    }
}
