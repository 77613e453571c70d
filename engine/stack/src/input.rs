//! Segments and ICMP errors on their way to the record that speaks for their flow.

use crate::classify::{Arrival, segment_of};
use crate::core::{Core, HalfOpen, NO_PATH, NONE};
use crate::flow_table::{FlowHash, Record};
use crate::listener::Listener;
use crate::path::Path;
use crate::reactor::Reactor;
use byway_tcp::Connection;
use byway_tcp::effects::{DropReason, Effects};
use byway_tcp::listen::SynVerdict;
use byway_tcp::segment::Segment;
use byway_tcp::time_wait::TimeWaitVerdict;
use byway_wire::SeqNumber;
use byway_wire::frame::TcpFrame;
use byway_wire::ip::Treatment;
use byway_wire::plain;
use byway_wire::tcp::Flags;

impl Reactor {
    /// A plain segment with good checksums, and the connection that it probably is for. False, and
    /// nothing done, when no connection is open between its ends.
    #[inline]
    pub(crate) fn on_plain(
        &mut self,
        frame: &plain::Frame,
        hash: FlowHash,
        candidate: u32,
        payload: &[u8],
    ) -> bool {
        let core = &mut self.core;
        // What header prediction takes is established, so it is in the table, and found.
        if let Some(conn) = core.connections.get_mut(candidate)
            && *conn.flow() == frame.flow
            && core.receive_blocks.has_plenty_for(payload.len())
            && let Some(acked) = conn.on_plain(&frame.segment, core.now, &mut core.tcp)
        {
            self.apply_plain(candidate, acked, payload);
            return true;
        }
        match core.find(hash, &frame.flow) {
            Some(Record::Connection(index)) => {
                self.for_connection(index, &(&frame.segment).into(), payload);
                true
            }
            _ => false,
        }
    }

    /// A frame that is not plain, or not for a connection.
    pub(crate) fn on_arrival(&mut self, arrival: &Arrival, hash: FlowHash, bytes: &[u8]) {
        match arrival {
            Arrival::Segment(frame) => self.on_segment(frame, hash, frame.payload_bytes(bytes)),
            Arrival::Error(error) => self.on_icmp_error(error),
            Arrival::Nothing => {}
        }
    }

    /// A segment with a good checksum.
    #[inline]
    fn on_segment(&mut self, frame: &TcpFrame, hash: FlowHash, payload: &[u8]) {
        let seg = segment_of(frame);
        match self.core.find(hash, &frame.flow) {
            Some(Record::Connection(index)) => self.for_connection(index, &seg, payload),
            Some(Record::Syn(index)) => self.for_half_open(index, hash, frame, &seg, payload),
            Some(Record::TimeWait(index)) => {
                self.for_time_wait(index, hash, frame, &seg, payload);
            }
            None => self.for_nobody(hash, frame, &seg, payload),
        }
    }

    fn for_connection(&mut self, index: u32, seg: &Segment, payload: &[u8]) {
        if !self.core.has_room_for(index, seg) {
            return;
        }
        let mut fx = Effects::default();
        let core = &mut self.core;
        let conn = core
            .connections
            .get_mut(index)
            .expect("the flow table knows live ones only");
        conn.on_segment(seg, core.now, &mut core.tcp, &mut fx);
        self.apply(index, &fx, payload);
    }

    fn for_half_open(
        &mut self,
        index: u32,
        hash: FlowHash,
        frame: &TcpFrame,
        seg: &Segment,
        payload: &[u8],
    ) {
        let core = &mut self.core;
        let Some(half_open) = core.half_open.get_mut(index) else {
            return;
        };
        match half_open.entry.on_segment(seg, core.now, &mut core.tcp) {
            SynVerdict::Stay(plan) => {
                if let Some(plan) = plan {
                    let listener = half_open.listener;
                    core.reply(core.way_back(frame, listener), frame.flow, plan);
                }
            }
            SynVerdict::Drop(_) => {}
            SynVerdict::Reset => core.forget_half_open(index),
            SynVerdict::Accept => self.accept(index, hash, frame, seg, payload),
        }
    }

    /// The handshake is done: the half-open entry becomes a connection, which is then given the
    /// segment that completed it.
    fn accept(
        &mut self,
        index: u32,
        hash: FlowHash,
        frame: &TcpFrame,
        seg: &Segment,
        payload: &[u8],
    ) {
        let core = &mut self.core;
        let Some(half_open) = core.remove_half_open(index) else {
            return;
        };
        let HalfOpen {
            entry,
            listener,
            path,
        } = half_open;
        if !self.may_accept(listener.service) {
            self.core.table.remove(hash, Record::Syn(index));
            self.core.paths.release(path);
            return self.refuse(frame, seg);
        }
        // The segment that proved the peer's address is a better witness of the way back than its
        // SYN, which anybody could have sent.
        let core = &mut self.core;
        let proven = core.way_back(frame, listener);
        let path = match core.paths.get(path) {
            Some(learned) if *learned == proven => path,
            _ => {
                core.paths.release(path);
                core.paths.acquire(proven).unwrap_or(NO_PATH)
            }
        };
        let conn = Connection::accept(&entry, core.now, &mut core.tcp);
        let made = core.add_accepted(conn, listener, path);
        core.table
            .replace(hash, Record::Syn(index), Record::Connection(made));
        self.for_connection(made, seg, payload);
    }

    /// There is room for one more connection, and its service is alive.
    fn may_accept(&mut self, service: u16) -> bool {
        let core = &mut self.core;
        let alive = self
            .services
            .get(usize::from(service))
            .is_some_and(Option::is_some);
        if alive && core.connections.is_full() {
            core.counters.table_full += 1;
            core.tcp.counters.drop(DropReason::TableFull);
        }
        alive && !core.connections.is_full()
    }

    /// A segment of no connection at a listener's endpoint: the answer to a cookie makes a
    /// connection, which is then given this segment. False when it is a stranger's.
    fn accept_cookie(
        &mut self,
        listener: Listener,
        hash: FlowHash,
        frame: &TcpFrame,
        seg: &Segment,
        payload: &[u8],
    ) -> bool {
        let core = &mut self.core;
        let path = core.way_back(frame, listener);
        let mss = path.mss(frame.flow.local.address.is_v4());
        let entry = core.tcp.accept_cookie(frame.flow, seg, mss, core.now);
        let Some(entry) = entry.filter(|_| self.may_accept(listener.service)) else {
            return false;
        };
        let core = &mut self.core;
        if !core.has_room_for_flow(hash) {
            return true;
        }
        let Some(path) = core.paths.acquire(path) else {
            // The peer sends what it has to say again.
            core.counters.path_table_full += 1;
            return true;
        };
        let conn = Connection::accept(&entry, core.now, &mut core.tcp);
        let made = core.add_accepted(conn, listener, path);
        core.table.insert(hash, Record::Connection(made));
        self.for_connection(made, seg, payload);
        true
    }

    fn for_time_wait(
        &mut self,
        index: u32,
        hash: FlowHash,
        frame: &TcpFrame,
        seg: &Segment,
        payload: &[u8],
    ) {
        let core = &mut self.core;
        let Some(quiet) = core.time_waits.get_mut(index) else {
            return;
        };
        match quiet.wait.on_segment(seg, core.now, &mut core.tcp) {
            TimeWaitVerdict::Ignore => {}
            TimeWaitVerdict::Reply(plan) => {
                let treatment = core
                    .paths
                    .get(quiet.path)
                    .map_or(core.config.treatment, |path| path.treatment);
                let path = core.path_to(frame, treatment);
                core.reply(path, frame.flow, plan);
            }
            TimeWaitVerdict::Reopen(old) => self.reopen(index, old, hash, frame, seg, payload),
        }
    }

    /// A new connection between the two ends of one in TIME-WAIT.
    fn reopen(
        &mut self,
        index: u32,
        old: SeqNumber,
        hash: FlowHash,
        frame: &TcpFrame,
        seg: &Segment,
        payload: &[u8],
    ) {
        let core = &mut self.core;
        if seg.flags.contains(Flags::FIN) {
            return core.tcp.counters.drop(DropReason::BadFlags);
        }
        let listener = core.listeners.find(&frame.flow.local);
        if listener.is_some() && core.half_open.is_full() {
            // A cookie cannot be made to lie beyond the old connection's sequence numbers.
            core.counters.syn_queue_full += 1;
            return core.tcp.counters.drop(DropReason::SynQueueFull);
        }
        if let Some(quiet) = core.time_waits.remove(index) {
            core.end_time_wait(index, &frame.flow, quiet.path);
        }
        match listener {
            Some(listener) => self.begin_handshake(listener, hash, frame, seg, Some(old)),
            None => self.for_nobody(hash, frame, seg, payload),
        }
    }

    /// A segment for a flow that nobody speaks for: the beginning of a connection, or a mistake.
    fn for_nobody(&mut self, hash: FlowHash, frame: &TcpFrame, seg: &Segment, payload: &[u8]) {
        if !self.core.listeners.is_ours(&frame.flow.local.address) {
            self.core.counters.not_our_address += 1;
            return;
        }
        let is_syn =
            seg.flags.contains(Flags::SYN) && !seg.flags.intersects(Flags::ACK | Flags::RST);
        if is_syn && seg.flags.contains(Flags::FIN) {
            return self.core.tcp.counters.drop(DropReason::BadFlags);
        }
        if let Some(listener) = self.core.listeners.find(&frame.flow.local) {
            if is_syn {
                return self.answer_syn(listener, hash, frame, seg);
            }
            if self.accept_cookie(listener, hash, frame, seg, payload) {
                return;
            }
            if !seg.flags.intersects(Flags::ACK | Flags::RST) {
                //= rfc9293 3.10.7.2
                return self.core.tcp.counters.drop(DropReason::BadFlags);
            }
        }
        self.core.tcp.counters.drop(DropReason::NoListener);
        self.refuse(frame, seg);
    }

    /// A SYN for a listener: the beginning of a handshake, of which nothing is kept when too many
    /// are under way.
    //= rfc4987 3.7 S3.7-1
    fn answer_syn(&mut self, listener: Listener, hash: FlowHash, frame: &TcpFrame, seg: &Segment) {
        let core = &mut self.core;
        if !core.half_open.is_full() {
            return self.begin_handshake(listener, hash, frame, seg, None);
        }
        if !core.config.tcp.syn_cookies {
            core.counters.syn_queue_full += 1;
            return core.tcp.counters.drop(DropReason::SynQueueFull);
        }
        core.counters.syn_queue_cookies += 1;
        let path = core.way_back(frame, listener);
        let mss = path.mss(frame.flow.local.address.is_v4());
        let answer = core.tcp.cookie_syn_ack(frame.flow, seg, mss, core.now);
        core.reply(path, frame.flow, answer);
    }

    /// Answers with a reset, except to a reset.
    //= rfc9293 3.10.7.1
    fn refuse(&mut self, frame: &TcpFrame, seg: &Segment) {
        if let Some(plan) = self.core.tcp.reset_for(seg) {
            let path = self.core.path_to(frame, self.core.config.treatment);
            self.core.reply(path, frame.flow, plan);
        }
    }

    /// A SYN for a listener, with room in the queue. The path is learned from its frame: the answer
    /// goes back where it came from.
    fn begin_handshake(
        &mut self,
        listener: Listener,
        hash: FlowHash,
        frame: &TcpFrame,
        seg: &Segment,
        old: Option<SeqNumber>,
    ) {
        let core = &mut self.core;
        if !core.has_room_for_flow(hash) {
            return;
        }
        let path = core.way_back(frame, listener);
        let Some(path_index) = core.paths.acquire(path) else {
            core.counters.path_table_full += 1;
            return;
        };
        let mss = path.mss(frame.flow.local.address.is_v4());
        let mut entry = core.tcp.accept_syn(frame.flow, seg, mss, core.now);
        if let Some(old) = old {
            entry.begin_beyond(old);
        }
        let deadline = entry.deadline();
        let answer = entry.syn_ack(core.now, &mut core.tcp);
        let half_open = HalfOpen {
            entry,
            listener,
            path: path_index,
        };
        let Some(index) = core.half_open.insert(half_open) else {
            return;
        };
        core.table.insert(hash, Record::Syn(index));
        core.wheel.arm(core.half_open_key(index), deadline);
        core.reply(path, frame.flow, answer);
    }
}

impl Core {
    /// The path back to where a frame came from.
    fn path_to(&self, frame: &TcpFrame, treatment: Treatment) -> Path {
        Path {
            link: frame.link.reversed(),
            mtu: self.mtu_to(&frame.flow.remote.address),
            treatment,
        }
    }

    /// The path of the answers that a listener gives to a frame.
    //= rfc9293 3.9.1.9 MUST-48
    fn way_back(&self, frame: &TcpFrame, listener: Listener) -> Path {
        let options = self.listeners.options(listener);
        self.path_to(frame, options.treatment(self.config.treatment))
    }

    /// Adds a connection that a listener accepted; there is room for it.
    fn add_accepted(&mut self, conn: Connection, listener: Listener, path: u16) -> u32 {
        let made = self.add_connection(conn, listener.service, path, 0);
        let made = made.unwrap_or(NONE);
        let options = self.listeners.options(listener);
        self.set_up(made, &options);
        made
    }
}
