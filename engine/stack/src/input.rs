//! Segments and ICMP errors on their way to the record that speaks for their flow.

use crate::classify::segment_of;
use crate::core::{HalfOpen, NO_PATH, NONE};
use crate::flow_table::{FlowHash, Record};
use crate::path::Path;
use crate::reactor::Reactor;
use byway_tcp::Connection;
use byway_tcp::effects::{DropReason, Effects};
use byway_tcp::listen::SynVerdict;
use byway_tcp::segment::Segment;
use byway_tcp::time_wait::TimeWaitVerdict;
use byway_wire::SeqNumber;
use byway_wire::frame::TcpFrame;
use byway_wire::icmp::{IcmpError, Kind};
use byway_wire::tcp::Flags;

impl Reactor {
    /// A segment with a good checksum.
    #[inline]
    pub(crate) fn on_segment(&mut self, frame: &TcpFrame, hash: FlowHash, payload: &[u8]) {
        let seg = segment_of(frame);
        match self.core.find(hash, &frame.flow) {
            Some(Record::Connection(index)) => self.for_connection(index, &seg, payload),
            Some(Record::Syn(index)) => self.for_half_open(index, hash, frame, &seg, payload),
            Some(Record::TimeWait(index)) => self.for_time_wait(index, hash, frame, &seg),
            None => self.for_nobody(hash, frame, &seg, None),
        }
    }

    #[inline]
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
                    core.reply(frame.link.reversed(), frame.flow, plan);
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
            service,
            path,
        } = half_open;
        let alive = self
            .services
            .get(usize::from(service))
            .is_some_and(Option::is_some);
        if core.connections.is_full() || !alive {
            core.table.remove(hash, Record::Syn(index));
            core.paths.release(path);
            if alive {
                core.counters.table_full += 1;
                core.tcp.counters.drop(DropReason::TableFull);
            }
            return self.refuse(frame, seg);
        }
        // The segment that proved the peer's address is a better witness of the way back than its
        // SYN, which anybody could have sent.
        let proven = Path {
            link: frame.link.reversed(),
            mtu: core.config.mtu,
        };
        let path = match core.paths.get(path) {
            Some(learned) if *learned == proven => path,
            _ => {
                core.paths.release(path);
                core.paths.acquire(proven).unwrap_or(NO_PATH)
            }
        };
        let conn = Connection::accept(&entry, core.now, &mut core.tcp);
        let made = core.add_connection(conn, service, path, 0).unwrap_or(NONE);
        core.table
            .replace(hash, Record::Syn(index), Record::Connection(made));
        self.for_connection(made, seg, payload);
    }

    fn for_time_wait(&mut self, index: u32, hash: FlowHash, frame: &TcpFrame, seg: &Segment) {
        let core = &mut self.core;
        let Some(quiet) = core.time_waits.get_mut(index) else {
            return;
        };
        match quiet.wait.on_segment(seg, core.now, &mut core.tcp) {
            TimeWaitVerdict::Ignore => {}
            TimeWaitVerdict::Reply(plan) => core.reply(frame.link.reversed(), frame.flow, plan),
            TimeWaitVerdict::Reopen(old) => {
                if let Some(quiet) = core.time_waits.remove(index) {
                    core.end_time_wait(index, &frame.flow, quiet.path);
                }
                self.for_nobody(hash, frame, seg, Some(old));
            }
        }
    }

    /// A segment for a flow that nobody speaks for: the beginning of a connection, or a mistake.
    fn for_nobody(
        &mut self,
        hash: FlowHash,
        frame: &TcpFrame,
        seg: &Segment,
        old: Option<SeqNumber>,
    ) {
        if !self.core.listeners.is_ours(&frame.flow.local.address) {
            self.core.counters.not_our_address += 1;
            return;
        }
        if seg.flags.contains(Flags::SYN) && !seg.flags.intersects(Flags::ACK | Flags::RST) {
            if seg.flags.contains(Flags::FIN) {
                return self.core.tcp.counters.drop(DropReason::BadFlags);
            }
            if let Some(service) = self.core.listeners.service(&frame.flow.local) {
                return self.begin_handshake(service, hash, frame, seg, old);
            }
        }
        self.core.tcp.counters.drop(DropReason::NoListener);
        self.refuse(frame, seg);
    }

    /// Answers with a reset, except to a reset.
    //= rfc9293 3.10.7.1
    fn refuse(&mut self, frame: &TcpFrame, seg: &Segment) {
        if let Some(plan) = self.core.tcp.reset_for(seg) {
            self.core.reply(frame.link.reversed(), frame.flow, plan);
        }
    }

    /// A SYN for a listener. The path is learned from its frame: the answer goes back where it
    /// came from.
    fn begin_handshake(
        &mut self,
        service: u16,
        hash: FlowHash,
        frame: &TcpFrame,
        seg: &Segment,
        old: Option<SeqNumber>,
    ) {
        let core = &mut self.core;
        if core.half_open.is_full() {
            core.counters.syn_queue_full += 1;
            return core.tcp.counters.drop(DropReason::SynQueueFull);
        }
        let path = Path {
            link: frame.link.reversed(),
            mtu: core.config.mtu,
        };
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
            service,
            path: path_index,
        };
        let Some(index) = core.half_open.insert(half_open) else {
            return;
        };
        core.table.insert(hash, Record::Syn(index));
        core.wheel.arm(core.half_open_key(index), deadline);
        core.reply(path.link, frame.flow, answer);
    }

    /// An ICMP error about a segment of ours.
    //= rfc9293 3.9.2.2 MUST-54
    pub(crate) fn on_icmp_error(&mut self, error: &IcmpError) {
        let core = &mut self.core;
        let hash = core.table.hash(&error.quoted);
        let Some(Record::Connection(index)) = core.find(hash, &error.quoted) else {
            core.counters.icmp_stray += 1;
            return;
        };
        core.counters.icmp_errors += 1;
        let conn = core
            .connections
            .get_mut(index)
            .expect("the flow table knows live ones only");
        match error.kind {
            Kind::Unreachable => {
                let mut fx = Effects::default();
                conn.on_unreachable(error.seq, &mut core.tcp, &mut fx);
                self.apply(index, &fx, &[]);
            }
            Kind::TooBig => {
                core.counters.icmp_too_big += 1;
                conn.on_too_big(error.mtu, error.seq, &mut core.tcp);
                core.mark_dirty(index);
            }
            Kind::TimeExceeded | Kind::ParameterProblem => {}
        }
    }
}
