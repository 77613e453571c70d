//! What a shard owns apart from its port, its clock and its services: all that a callback may
//! reach through a [`Context`](crate::context::Context).

use crate::blocks::BlockPool;
use crate::buffer_pool::BufferPool;
use crate::config::{Limits, ShardConfig};
use crate::context::ConnId;
use crate::counters::Counters;
use crate::flow_table::{FlowHash, FlowTable, MAX_RECORDS, Record};
use crate::icmp::SoftError;
use crate::listener::{Listener, Listeners};
use crate::mailbox::Mailbox;
use crate::path::{Path, Paths};
use crate::path_mtu::PathMtus;
use crate::records::Records;
use crate::time_waits::TimeWaits;
use crate::wheel::Wheel;
use byway_tcp::listen::SynEntry;
use byway_tcp::segment::Plan;
use byway_tcp::time::Instant;
use byway_tcp::{Connection, Owner, Tcp};
use byway_wire::ip::Treatment;
use byway_wire::{Address, FlowKey};
use std::collections::{HashMap, HashSet, VecDeque};

/// Stands for "none" where a record has an index.
pub(crate) const NONE: u32 = u32::MAX;
/// Stands for "no path yet".
pub(crate) const NO_PATH: u16 = u16::MAX;

/// Facts about a connection, in [`Owner::flags`].
pub(crate) mod flag {
    /// It is in the queue of those that may have something to send.
    pub(crate) const DIRTY: u32 = 1;
    /// `send` took less than it was given: `on_writable` is owed.
    pub(crate) const BLOCKED: u32 = 1 << 1;
    /// The service closed it; carried out after the callback.
    pub(crate) const CLOSE: u32 = 1 << 2;
    /// The service, or the end of the shard, aborted it; carried out after the callback.
    pub(crate) const ABORT: u32 = 1 << 3;
    /// The service wants its unread bytes again.
    pub(crate) const RESUME: u32 = 1 << 4;
    /// The peer's FIN is in; `on_peer_closed` is owed once everything before it is consumed.
    pub(crate) const PEER_CLOSED: u32 = 1 << 5;
    /// It waits for its path.
    pub(crate) const WAITING: u32 = 1 << 6;
    /// It waits for blocks to send with.
    pub(crate) const STARVED: u32 = 1 << 7;
    /// TCP is done with it, but the service has not taken all of its bytes.
    pub(crate) const LINGERS: u32 = 1 << 8;
    /// The network reported a soft error since the peer last acknowledged something.
    pub(crate) const SOFT_ERROR: u32 = 1 << 10;
    /// `on_closed` is being called: nothing can be done with it any more.
    pub(crate) const ENDING: u32 = 1 << 9;
    /// Nothing more is offered to the service, and nothing taken from it.
    pub(crate) const OVER: u32 = CLOSE | ABORT | ENDING;
}

/// A half-open connection of a listener.
#[derive(Debug)]
pub(crate) struct HalfOpen {
    pub(crate) entry: SynEntry,
    pub(crate) listener: Listener,
    pub(crate) path: u16,
}

/// A segment outside the order of any stream: a reset, a challenge ACK, a SYN-ACK.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) path: Path,
    pub(crate) flow: FlowKey,
    pub(crate) plan: Plan,
}

/// A connection that waits for its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) id: ConnId,
    pub(crate) remote: Address,
    /// The application named its own address.
    pub(crate) named: bool,
    pub(crate) treatment: Treatment,
    pub(crate) until: Instant,
}

/// How far the end of the shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// Somebody asked for the end; nothing is done about it yet.
    StopWanted,
    /// Connections close, until then.
    Draining(Instant),
    /// What was left was reset.
    Ended,
}

/// The state of a shard.
#[derive(Debug)]
pub(crate) struct Core {
    /// The time of this turn.
    pub(crate) now: Instant,
    pub(crate) phase: Phase,
    pub(crate) config: ShardConfig,
    pub(crate) tcp: Tcp,
    pub(crate) counters: Counters,
    pub(crate) table: FlowTable,
    pub(crate) connections: Records<Connection>,
    pub(crate) half_open: Records<HalfOpen>,
    pub(crate) time_waits: TimeWaits,
    pub(crate) wheel: Wheel,
    pub(crate) buffers: BufferPool,
    pub(crate) receive_blocks: BlockPool,
    pub(crate) send_blocks: BlockPool,
    pub(crate) paths: Paths,
    pub(crate) path_mtus: PathMtus,
    /// When the control plane was asked for a path that seems not to work.
    pub(crate) doubts: HashMap<Address, Instant>,
    /// Remote addresses whose path changed under their connections.
    pub(crate) moved: HashSet<Address>,
    pub(crate) listeners: Listeners,
    pub(crate) mailbox: Mailbox,
    /// Connections that may have something to send.
    pub(crate) dirty: VecDeque<u32>,
    /// Connections to close or abort, as soon as no callback runs.
    pub(crate) closing: VecDeque<u32>,
    /// Connections whose unread bytes are to be offered again.
    pub(crate) resumed: VecDeque<u32>,
    /// Connections that wait for blocks to send with.
    pub(crate) starved: VecDeque<u32>,
    pub(crate) replies: VecDeque<Reply>,
    pub(crate) waiting: VecDeque<Waiting>,
    /// Services that panicked and whose connections are still there.
    pub(crate) failed: Vec<u16>,
    /// The last soft error of each connection that has its flag.
    pub(crate) soft_errors: HashMap<u32, SoftError>,
    /// Where the search for a local port goes on.
    pub(crate) next_port: u16,
}

impl Core {
    pub(crate) fn new(config: ShardConfig, mailbox: Mailbox, now: Instant) -> Self {
        let Limits {
            max_connections,
            syn_queue,
            time_wait,
            ..
        } = config.limits;
        let flows = max_connections as usize + syn_queue as usize + time_wait as usize;
        assert!(
            flows < MAX_RECORDS as usize,
            "the limits on flows are beyond what a table holds"
        );
        Self {
            now,
            phase: Phase::Running,
            tcp: Tcp::new(config.tcp.clone(), config.secrets, max_connections as usize),
            counters: Counters::default(),
            table: FlowTable::new(flows, config.hash_key),
            connections: Records::new(max_connections),
            half_open: Records::new(syn_queue),
            time_waits: TimeWaits::new(time_wait),
            wheel: Wheel::new(now, max_connections as usize + syn_queue as usize),
            buffers: BufferPool::default(),
            receive_blocks: BlockPool::new(config.limits.receive_blocks),
            send_blocks: BlockPool::new(config.limits.send_blocks),
            paths: Paths::new(config.limits.paths),
            path_mtus: PathMtus::new(config.limits.path_mtus),
            doubts: HashMap::new(),
            moved: HashSet::new(),
            listeners: Listeners::new(&config.addresses, config.limits.listeners),
            mailbox,
            dirty: VecDeque::new(),
            closing: VecDeque::new(),
            resumed: VecDeque::new(),
            starved: VecDeque::new(),
            replies: VecDeque::with_capacity(config.limits.replies as usize),
            waiting: VecDeque::new(),
            failed: Vec::new(),
            soft_errors: HashMap::new(),
            next_port: 0,
            config,
        }
    }

    /// True when a new flow finds a place in the table; else that is counted.
    pub(crate) fn has_room_for_flow(&mut self, hash: FlowHash) -> bool {
        let room = self.table.has_room_for(hash);
        self.counters.flow_table_crowded += u64::from(!room);
        room
    }

    /// The record that speaks for a flow.
    #[inline]
    pub(crate) fn find(&self, hash: FlowHash, flow: &FlowKey) -> Option<Record> {
        self.table.find(hash, |record| match record {
            Record::Connection(i) => self.connections.get(i).is_some_and(|c| c.flow() == flow),
            Record::Syn(i) => self
                .half_open
                .get(i)
                .is_some_and(|s| s.entry.flow() == flow),
            Record::TimeWait(i) => self
                .time_waits
                .get(i)
                .is_some_and(|w| w.wait.flow() == flow),
        })
    }

    /// The connection at an index that is known to be in use.
    #[inline]
    pub(crate) fn conn(&mut self, index: u32) -> &mut Connection {
        self.connections
            .get_mut(index)
            .expect("the caller holds the index of a live connection")
    }

    /// True when the connection has any of these flags.
    #[inline]
    pub(crate) fn has(&self, index: u32, flags: u32) -> bool {
        self.connections
            .get(index)
            .is_some_and(|conn| conn.owner().flags & flags != 0)
    }

    /// Sets a flag; true when it was not set before.
    #[inline]
    pub(crate) fn set(&mut self, index: u32, flag: u32) -> bool {
        let Some(conn) = self.connections.get_mut(index) else {
            return false;
        };
        let flags = &mut conn.owner_mut().flags;
        let new = *flags & flag == 0;
        *flags |= flag;
        new
    }

    /// Clears a flag; true when it was set.
    #[inline]
    pub(crate) fn clear(&mut self, index: u32, flag: u32) -> bool {
        let Some(conn) = self.connections.get_mut(index) else {
            return false;
        };
        let flags = &mut conn.owner_mut().flags;
        let was = *flags & flag != 0;
        *flags &= !flag;
        was
    }

    /// The connection may have something to send: it is asked before the turn ends.
    #[inline]
    pub(crate) fn mark_dirty(&mut self, index: u32) {
        if self.set(index, flag::DIRTY) {
            self.dirty.push_back(index);
        }
    }

    /// The connection with this name, if it is still there.
    #[inline]
    pub(crate) fn resolve(&self, id: ConnId) -> Option<u32> {
        let conn = self.connections.get(id.index)?;
        (conn.owner().generation == id.generation).then_some(id.index)
    }

    /// Adds a connection to the records and the flow table. The caller has one user's share of
    /// `path`, which passes to the connection.
    pub(crate) fn add_connection(
        &mut self,
        conn: Connection,
        service: u16,
        path: u16,
        token: u64,
    ) -> Option<u32> {
        let index = self.connections.insert(conn)?;
        let generation = self.connections.generation(index);
        *self.conn(index).owner_mut() = Owner {
            token,
            buffers: NONE,
            generation,
            service,
            path,
            flags: 0,
        };
        Some(index)
    }

    /// Queues a segment that belongs to no stream.
    pub(crate) fn reply(&mut self, path: Path, flow: FlowKey, plan: Plan) {
        if self.replies.len() < self.config.limits.replies as usize {
            self.replies.push_back(Reply { path, flow, plan });
        } else {
            self.counters.reply_lost += 1;
        }
    }

    /// Queues a segment of a connection that is outside the order of its stream.
    pub(crate) fn reply_on(&mut self, index: u32, plan: Plan) {
        let conn = self.conn(index);
        let (flow, path) = (*conn.flow(), conn.owner().path);
        if let Some(&path) = self.paths.get(path) {
            self.reply(path, flow, plan);
        }
    }

    /// Sees to it that the connection's timer fires in time.
    #[inline]
    pub(crate) fn arm(&mut self, index: u32) {
        if let Some(conn) = self.connections.get(index) {
            self.wheel.arm(index, conn.deadline(&self.tcp));
        }
    }

    /// Key in the wheel of a half-open connection.
    #[inline]
    pub(crate) fn half_open_key(&self, index: u32) -> u32 {
        self.config.limits.max_connections + index
    }

    /// Removes a half-open connection. Its path passes to the caller.
    pub(crate) fn remove_half_open(&mut self, index: u32) -> Option<HalfOpen> {
        let half_open = self.half_open.remove(index)?;
        self.wheel.disarm(self.half_open_key(index));
        Some(half_open)
    }

    /// Forgets a half-open connection.
    pub(crate) fn forget_half_open(&mut self, index: u32) {
        if let Some(half_open) = self.remove_half_open(index) {
            let hash = self.table.hash(half_open.entry.flow());
            self.table.remove(hash, Record::Syn(index));
            self.paths.release(half_open.path);
        }
    }

    /// TCP is done with the connection: it leaves the flow table, to a TIME-WAIT record if there
    /// has to be one.
    pub(crate) fn leave_table(&mut self, index: u32, time_wait: bool) {
        let conn = self
            .connections
            .get_mut(index)
            .expect("the connection is there until it is freed");
        conn.release(&mut self.tcp);
        let record = time_wait.then(|| conn.time_wait(self.now, &self.tcp));
        let (flow, path) = (*conn.flow(), conn.owner().path);
        let hash = self.table.hash(&flow);
        self.wheel.disarm(index);
        let gone = Record::Connection(index);
        let Some(record) = record else {
            self.table.remove(hash, gone);
            return;
        };
        while self.time_waits.is_full() {
            let Some((index, old)) = self.time_waits.pop_oldest() else {
                break;
            };
            self.counters.time_wait_overflow += 1;
            self.end_time_wait(index, old.wait.flow(), old.path);
        }
        // In the same place: a neighbour might move into one that is free for a moment.
        match self.time_waits.insert(record, path) {
            Some(index) => {
                self.paths.share(path);
                self.table.replace(hash, gone, Record::TimeWait(index));
            }
            None => _ = self.table.remove(hash, gone),
        }
    }

    /// Ends the TIME-WAITs that lasted long enough.
    pub(crate) fn expire_time_waits(&mut self) {
        while let Some((index, old)) = self.time_waits.pop_due(self.now) {
            self.end_time_wait(index, old.wait.flow(), old.path);
        }
    }

    /// A TIME-WAIT record was removed: so are the traces of it.
    pub(crate) fn end_time_wait(&mut self, index: u32, flow: &FlowKey, path: u16) {
        let hash = self.table.hash(flow);
        self.table.remove(hash, Record::TimeWait(index));
        self.paths.release(path);
    }

    /// Frees the record of a connection that left the flow table.
    pub(crate) fn free(&mut self, index: u32) {
        self.release_buffers(index);
        self.forget_soft_error(index);
        self.wheel.disarm(index);
        if let Some(conn) = self.connections.remove(index) {
            self.paths.release(conn.owner().path);
        }
    }

    /// The next point in time at which a turn has something to do, if nothing arrives.
    pub(crate) fn next_deadline(&self) -> Instant {
        let path = self
            .waiting
            .front()
            .map_or(Instant::NEVER, |waiting| waiting.until);
        let end = match self.phase {
            Phase::Draining(until) => until,
            _ => Instant::NEVER,
        };
        self.wheel
            .next_deadline()
            .min(self.time_waits.next_deadline())
            .min(path)
            .min(end)
    }

    /// Something is left to be done in the next turn, whether or not anything arrives.
    pub(crate) fn has_work(&self) -> bool {
        !(self.dirty.is_empty()
            && self.replies.is_empty()
            && self.resumed.is_empty()
            && self.closing.is_empty())
    }
}
