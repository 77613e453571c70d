//! Connections that we open: which address, which port, which path.

use crate::context::{ConnId, ConnectError};
use crate::core::{Core, NO_PATH, Phase, Waiting, flag};
use crate::flow_table::Record;
use crate::mailbox::ResolveRequest;
use crate::path::Path;
use byway_tcp::Connection;
use byway_wire::ip::is_no_host;
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
        let address = self.local_address(&remote, local, route.map(|route| route.local))?;
        let port = local.map_or(0, |local| local.port);
        let flow = self.free_flow(address, port, remote)?;
        let path = route.map(|route| route.path);
        let mss = self.mss(path, &flow);
        let conn = Connection::connect(flow, mss, self.now, &mut self.tcp);
        let index = self
            .add_connection(conn, service, path.unwrap_or(NO_PATH), token)
            .ok_or(ConnectError::TableFull)?;
        let hash = self.table.hash(&flow);
        self.table.insert(hash, Record::Connection(index));
        let id = ConnId {
            index,
            generation: self.connections.generation(index),
        };
        match path {
            Some(path) => {
                self.paths.share(path);
                self.mark_dirty(index);
            }
            None => self.wait_for_path(id, remote.address, local.map(|local| local.address)),
        }
        Ok(id)
    }

    /// The address asked for, else that of the route, else one of ours.
    //= rfc9293 3.9.1.1 MUST-43
    fn local_address(
        &self,
        remote: &Endpoint,
        local: Option<Endpoint>,
        routed: Option<Address>,
    ) -> Result<Address, ConnectError> {
        let asked = local
            .map(|local| local.address)
            .filter(|address| !address.is_unspecified());
        asked
            .or(routed)
            .or_else(|| self.listeners.some_address(&remote.address))
            .filter(|address| address.is_v4() == remote.address.is_v4())
            .ok_or(ConnectError::NoAddress)
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
    fn mss(&self, path: Option<u16>, flow: &FlowKey) -> u16 {
        let mtu = path
            .and_then(|path| self.paths.get(path))
            .map_or(self.config.mtu, |p| p.mtu);
        Path {
            link: Default::default(),
            mtu,
        }
        .mss(flow.local.address.is_v4())
    }

    fn wait_for_path(&mut self, id: ConnId, remote: Address, local: Option<Address>) {
        self.set(id.index, flag::WAITING);
        let asked_already = self.waiting.iter().any(|waiting| waiting.remote == remote);
        let until = self.now + self.config.limits.path_timeout;
        self.waiting.push_back(Waiting { id, remote, until });
        if !asked_already && !self.mailbox.request(ResolveRequest { remote, local }) {
            self.counters.request_lost += 1;
        }
    }

    /// A path became known: the connections that wait for it start.
    pub(crate) fn path_found(&mut self, remote: &Address) {
        let Some(route) = self.paths.route(remote) else {
            return;
        };
        for id in self.take_waiting(|waiting| waiting.remote == *remote) {
            self.clear(id.index, flag::WAITING);
            self.paths.share(route.path);
            self.fit_to_path(id.index, route.path);
            self.conn(id.index).owner_mut().path = route.path;
            self.mark_dirty(id.index);
        }
    }

    /// The first SYN of a connection says the largest segment; it was not sent yet, so a path that
    /// is not as assumed makes it a new connection, with what was asked of the old one.
    fn fit_to_path(&mut self, index: u32, path: u16) {
        let flow = *self.conn(index).flow();
        let mss = self.mss(Some(path), &flow);
        if mss == self.mss(None, &flow) {
            return;
        }
        let mut conn = Connection::connect(flow, mss, self.now, &mut self.tcp);
        self.tcp.counters.active_opens -= 1;
        let old = self.conn(index);
        conn.queue(old.buffered());
        if old.is_shut_down() {
            conn.shutdown();
        }
        *conn.owner_mut() = *old.owner();
        *old = conn;
    }

    /// Takes out those connections, still there, whose wait for a path is over in some way.
    pub(crate) fn take_waiting(&mut self, over: impl Fn(&Waiting) -> bool) -> Vec<ConnId> {
        let mut taken = Vec::new();
        if self.waiting.iter().any(&over) {
            self.waiting.retain(|waiting| {
                let stays = !over(waiting);
                if !stays {
                    taken.push(waiting.id);
                }
                stays
            });
            taken.retain(|id| self.resolve(*id).is_some());
        }
        taken
    }
}
