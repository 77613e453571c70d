//! What a service sees of its shard, and of the connection it is called for.

use crate::core::{Core, Phase, flag};
use crate::counters::Counters;
use crate::icmp::SoftError;
use crate::options::ConnOptions;
use byway_tcp::time::{Duration, Instant};
use byway_tcp::{CongestionAlgorithm, Connection, Info, Tcp};
use byway_wire::ip::{Dscp, Treatment};
use byway_wire::{Endpoint, FlowKey};

/// Names a connection of a shard. The generation tells a connection from the next one that uses
/// the same record, so that a name which is kept too long finds nothing instead of a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    /// Which record.
    pub index: u32,
    /// Which use of the record.
    pub generation: u32,
}

impl ConnId {
    /// The name of no connection.
    pub const NONE: Self = Self {
        index: u32::MAX,
        generation: 0,
    };
}

/// Why [`Context::connect`] could not start a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The remote address is no single host's, or the port is zero.
    BadRemote,
    /// The table of connections is full.
    TableFull,
    /// Too many connections wait for their path.
    TooManyWaiting,
    /// No local port is free towards this remote endpoint, or the one asked for is in use.
    NoPort,
    /// We have no address of the remote's family.
    NoAddress,
    /// The shard is stopping.
    Stopping,
}

/// The shard, and its current connection, as a service may use them during a callback.
///
/// In callbacks for a connection that one is current; in `on_start` and `on_turn` none is until
/// [`Context::select`]. Without a current connection, what acts on it does nothing and what asks
/// about it answers zero.
#[derive(Debug)]
pub struct Context<'a> {
    core: &'a mut Core,
    service: u16,
    current: Option<u32>,
    /// What `token_mut` gives when no connection is current.
    nobody: u64,
}

impl<'a> Context<'a> {
    pub(crate) fn new(core: &'a mut Core, service: u16, current: Option<u32>) -> Self {
        Self {
            core,
            service,
            current,
            nobody: 0,
        }
    }

    /// The current connection, or [`ConnId::NONE`].
    pub fn id(&self) -> ConnId {
        self.current.map_or(ConnId::NONE, |index| ConnId {
            index,
            generation: self.core.connections.generation(index),
        })
    }

    /// Its two ends.
    pub fn flow(&self) -> FlowKey {
        self.connection()
            .map_or_else(FlowKey::default, |conn| *conn.flow())
    }

    /// The service's own word for this connection: zero, or what `connect` was given.
    #[inline]
    pub fn token(&self) -> u64 {
        self.connection().map_or(0, |conn| conn.owner().token)
    }

    /// The service's own word, to change.
    #[inline]
    pub fn token_mut(&mut self) -> &mut u64 {
        match self
            .current
            .and_then(|index| self.core.connections.get_mut(index))
        {
            Some(conn) => &mut conn.owner_mut().token,
            None => &mut self.nobody,
        }
    }

    /// Appends to what is sent, up to the room there is; returns how many octets were taken.
    /// After less than all, `on_writable` follows once there is room.
    #[inline]
    pub fn send(&mut self, data: &[u8]) -> usize {
        self.current.map_or(0, |index| self.core.send(index, data))
    }

    /// How many octets `send` would take now.
    pub fn send_space(&self) -> usize {
        self.current.map_or(0, |index| self.core.send_space(index))
    }

    /// As [`send`](Self::send), and all that was sent up to here is urgent: the peer is told at once,
    /// also when its window is closed. RFC 9293 §3.8.5 keeps this for old protocols; new ones should
    /// do without it.
    pub fn send_urgent(&mut self, data: &[u8]) -> usize {
        self.current.map_or(0, |index| {
            self.core.send_with(index, data, Connection::queue_urgent)
        })
    }

    /// Octets to consume until the end of the peer's urgent data; zero when there is none. Some of
    /// them may not have arrived.
    pub fn urgent_left(&self) -> usize {
        self.connection()
            .map_or(0, |conn| conn.urgent_left(&self.core.tcp) as usize)
    }

    /// Octets that were taken by `send` and that the peer has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.connection().map_or(0, |conn| conn.buffered() as usize)
    }

    /// Octets received in order and not consumed, those of this callback included.
    pub fn unread(&self) -> usize {
        self.connection().map_or(0, |conn| conn.unread() as usize)
    }

    /// No more data from us: our FIN follows what was sent. Data still arrives.
    pub fn shutdown(&mut self) {
        let Some(index) = self.current else { return };
        if !self.core.has(index, flag::OVER | flag::LINGERS) {
            self.core.conn(index).shutdown();
            self.core.mark_dirty(index);
        }
    }

    /// Ends both directions once this callback is over: a FIN after what was sent, or a reset if
    /// bytes that were not consumed are thrown away. `on_closed` follows when it is done.
    pub fn close(&mut self) {
        self.end(flag::CLOSE);
    }

    /// Ends the connection by a reset, once this callback is over. `on_closed` follows.
    pub fn abort(&mut self) {
        self.end(flag::ABORT);
    }

    fn end(&mut self, how: u32) {
        let Some(index) = self.current else { return };
        if !self.core.has(index, flag::ENDING) && self.core.set(index, how) {
            self.core.closing.push_back(index);
        }
    }

    /// Small segments wait for an acknowledgment (Nagle), or leave at once (the default).
    pub fn set_nagle(&mut self, on: bool) {
        self.set_up(|conn, _, _| conn.set_nagle(on));
    }

    /// Only full segments leave while this is on; what is left over leaves when it is off again.
    pub fn set_cork(&mut self, on: bool) {
        self.set_up(|conn, _, _| conn.set_cork(on));
    }

    /// A peer that is silent for long is probed, and the connection given up when it does not
    /// answer; off by default. The times are those of the configuration.
    pub fn set_keep_alive(&mut self, on: bool) {
        self.set_up(|conn, now, tcp| conn.set_keep_alive(on, now, tcp));
    }

    /// How the congestion window grows, from the next time that nothing is in flight.
    pub fn set_congestion(&mut self, algorithm: CongestionAlgorithm) {
        self.set_up(|conn, _, _| conn.set_congestion(algorithm));
    }

    /// Gives the connection up when data stays unacknowledged for so long, however often it was
    /// sent; `None` for what the configuration says.
    //= rfc9293 3.8.3 MUST-21
    pub fn set_user_timeout(&mut self, limit: Option<Duration>) {
        self.set_up(|conn, _, tcp| conn.set_user_timeout(limit, tcp));
    }

    /// The Differentiated Services codepoint of its packets from now on. False, and nothing changed,
    /// when the table of paths is full.
    //= rfc9293 3.9.1.9 MUST-48 SHLD-21
    pub fn set_dscp(&mut self, dscp: Dscp) -> bool {
        self.set_treatment(|treatment| treatment.dscp = dscp)
    }

    /// The TTL or hop limit of its packets from now on; zero is taken as one. False, and nothing
    /// changed, when the table of paths is full.
    //= rfc9293 3.9.2 MUST-49
    pub fn set_hop_limit(&mut self, hop_limit: u8) -> bool {
        self.set_treatment(|treatment| treatment.hop_limit = hop_limit.max(1))
    }

    fn set_treatment(&mut self, change: impl FnOnce(&mut Treatment)) -> bool {
        self.current
            .is_some_and(|index| self.core.set_treatment(index, change))
    }

    /// `send` takes no more than so many octets beyond what has left already, so that what is sent
    /// last leaves soon; `u32::MAX` (the default) leaves it to the send buffer.
    pub fn set_not_sent_low_water(&mut self, octets: u32) {
        self.set_up(|conn, _, tcp| conn.set_not_sent_low_water(octets, tcp));
    }

    /// After [`close`](Self::close) the peer has this long to acknowledge everything, then the
    /// connection is reset; `None` (the default) leaves it to retransmission, and zero makes the close an
    /// abort.
    pub fn set_linger(&mut self, limit: Option<Duration>) {
        self.set_up(|conn, _, tcp| conn.set_linger(limit, tcp));
    }

    /// Changes the current connection, then sees to its timer and to what it may send now.
    fn set_up(&mut self, change: impl FnOnce(&mut Connection, Instant, &mut Tcp)) {
        let Some(index) = self.current else { return };
        let core = &mut *self.core;
        if core.has(index, flag::OVER | flag::LINGERS) {
            return;
        }
        if let Some(conn) = core.connections.get_mut(index) {
            change(conn, core.now, &mut core.tcp);
            core.arm(index);
            core.mark_dirty(index);
        }
    }

    /// Offers unread bytes again, later in this turn or in the next one.
    pub fn resume(&mut self) {
        let Some(index) = self.current else { return };
        if !self.core.has(index, flag::OVER) && self.core.set(index, flag::RESUME) {
            self.core.resumed.push_back(index);
        }
    }

    /// The time of this turn.
    #[inline]
    pub fn now(&self) -> Instant {
        self.core.now
    }

    /// What TCP knows about the current connection; `None` without one.
    pub fn info(&self) -> Option<Info> {
        self.connection().map(|conn| conn.info(&self.core.tcp))
    }

    /// The last soft error that the network reported since the peer last acknowledged something: in
    /// `on_closed` with [`TimedOut`](byway_tcp::effects::CloseReason::TimedOut), perhaps the reason.
    pub fn soft_error(&self) -> Option<SoftError> {
        self.core.soft_errors.get(&self.current?).copied()
    }

    /// What the shard counted so far.
    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// What TCP counted so far.
    pub fn tcp_counters(&self) -> &byway_tcp::counters::Counters {
        &self.core.tcp.counters
    }

    /// Opens a connection for the calling service. `on_open` or `on_closed` tells the outcome. A
    /// local port of zero, or no local endpoint, leaves the choice to the shard. Bytes may be sent
    /// at once; they leave when the connection is open.
    ///
    /// # Errors
    /// What stands in the way right now; a peer that does not answer is told by `on_closed`.
    pub fn connect(
        &mut self,
        remote: Endpoint,
        local: Option<Endpoint>,
        token: u64,
    ) -> Result<ConnId, ConnectError> {
        self.connect_with(remote, local, token, &ConnOptions::default())
    }

    /// As [`connect`](Self::connect), with options for the connection.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_with(
        &mut self,
        remote: Endpoint,
        local: Option<Endpoint>,
        token: u64,
        options: &ConnOptions,
    ) -> Result<ConnId, ConnectError> {
        let result = self
            .core
            .connect(self.service, remote, local, token, options);
        self.core.counters.connect_failed += u64::from(result.is_err());
        result
    }

    /// Makes another connection of the same service the current one; false if there is no such.
    pub fn select(&mut self, id: ConnId) -> bool {
        let Some(index) = self.core.resolve(id) else {
            return false;
        };
        let conn = self.core.conn(index);
        if conn.owner().service != self.service {
            return false;
        }
        self.current = Some(index);
        true
    }

    /// Asks the shard to stop gracefully.
    pub fn stop(&mut self) {
        if self.core.phase == Phase::Running {
            self.core.phase = Phase::StopWanted;
        }
    }

    #[inline]
    fn connection(&self) -> Option<&byway_tcp::Connection> {
        self.core.connections.get(self.current?)
    }
}
