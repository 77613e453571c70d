//! From plans to frames: what connections want to send, within the limits of a turn.

use crate::blocks::BlockPool;
use crate::core::{Core, NO_PATH, Reply, flag};
use crate::path::Path;
use crate::port::{Port, TxFrame};
use crate::rope::Rope;
use byway_sys::checksum;
use byway_tcp::segment::Plan;
use byway_wire::FlowKey;
use byway_wire::checksum::join;
use byway_wire::frame::{emit_tcp_summed, tcp_headers_len};
use byway_wire::ip::{Ecn, Fields};
use byway_wire::plain::{self, Template};
use byway_wire::tcp::Header;

/// Frames that one connection may send before the next one has its chance.
const QUANTUM: u32 = 64;

/// Where the payload of a segment is.
type Source<'a> = (&'a Rope, &'a BlockPool);

/// Sends on a port, counting what a turn may still send.
struct Sender<'a, P> {
    port: &'a mut P,
    /// A frame that was taken and not used.
    spare: Option<TxFrame>,
    budget: u32,
    sent: u32,
}

/// Why a connection is done sending for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// It has nothing more to send.
    Drained,
    /// Others wait for their chance.
    Quantum,
    /// The turn may send no more.
    Budget,
    /// The port has no frame free.
    NoFrame,
}

/// Lets everybody send who has something to send; returns how many frames left. What does not fit
/// this turn keeps its place for the next.
pub(crate) fn transmit<P: Port>(core: &mut Core, port: &mut P) -> u32 {
    let budget = core.config.limits.tx_per_turn;
    let mut sender = Sender {
        port,
        spare: None,
        budget,
        sent: 0,
    };
    let rest = send_replies(core, &mut sender).unwrap_or_else(|| send_dirty(core, &mut sender));
    match rest {
        Rest::NoFrame => core.counters.no_frame += 1,
        Rest::Budget => core.counters.tx_budget += 1,
        Rest::Drained | Rest::Quantum => {}
    }
    if let Some(spare) = sender.spare.take() {
        sender.port.tx_cancel(spare);
    }
    core.counters.frames_out += u64::from(sender.sent);
    sender.sent
}

/// Why not all replies could be sent, if so.
fn send_replies<P: Port>(core: &mut Core, sender: &mut Sender<'_, P>) -> Option<Rest> {
    while let Some(&Reply { path, flow, plan }) = core.replies.front() {
        let frame = match sender.frame() {
            Ok(frame) => frame,
            Err(rest) => return Some(rest),
        };
        core.replies.pop_front();
        sender.emit(frame, &path, &flow, &plan, None);
    }
    None
}

fn send_dirty<P: Port>(core: &mut Core, sender: &mut Sender<'_, P>) -> Rest {
    while let Some(index) = core.dirty.pop_front() {
        let rest = send_connection(core, index, sender);
        match rest {
            Rest::Drained => {
                core.clear(index, flag::DIRTY);
                core.arm(index);
            }
            Rest::Quantum => core.dirty.push_back(index),
            Rest::Budget | Rest::NoFrame => {
                core.arm(index);
                core.dirty.push_front(index);
                return rest;
            }
        }
    }
    Rest::Drained
}

/// Sends what a connection has to send.
fn send_connection<P: Port>(core: &mut Core, index: u32, sender: &mut Sender<'_, P>) -> Rest {
    let Some(conn) = core.connections.get_mut(index) else {
        return Rest::Drained;
    };
    let owner = *conn.owner();
    if owner.path == NO_PATH || owner.flags & flag::LINGERS != 0 {
        return Rest::Drained;
    }
    let Some((path, template)) = core.paths.with_template(owner.path) else {
        return Rest::Drained;
    };
    let template = template.filter(|_| conn.flow().local.address.is_v4());
    if let Some(template) = template
        && conn.owes_plain_ack(&core.tcp)
    {
        let frame = match sender.frame() {
            Ok(frame) => frame,
            Err(rest) => return rest,
        };
        let header = conn.plain_ack(core.now, &mut core.tcp);
        sender.emit_headers(frame, template, conn.flow(), &header);
        return Rest::Drained;
    }
    let rope = core.buffers.get(owner.buffers).map(|buffers| &buffers.send);
    for _ in 0..QUANTUM {
        if conn.has_nothing_to_send(&core.tcp) {
            return Rest::Drained;
        }
        let frame = match sender.frame() {
            Ok(frame) => frame,
            Err(rest) => return rest,
        };
        let Some(plan) = conn.poll_transmit(core.now, &mut core.tcp) else {
            sender.spare = Some(frame);
            return Rest::Drained;
        };
        let payload = rope
            .filter(|_| plan.payload.len > 0)
            .map(|rope| (rope, &core.send_blocks));
        match template.filter(|_| plan.options.are_plain()) {
            Some(template) => sender.emit_plain(frame, template, conn.flow(), &plan, payload),
            None => sender.emit(frame, path, conn.flow(), &plan, payload),
        }
    }
    Rest::Quantum
}

/// Copies the payload of a plan to its place in a frame: the partial sum of it. Nothing, when the
/// frame has no such place.
#[inline]
fn fill(bytes: &mut [u8], start: usize, plan: &Plan, source: Option<Source<'_>>) -> u32 {
    let len = plan.payload.len as usize;
    let (mut done, mut sum) = (0, 0);
    if let Some((rope, blocks)) = source
        && let Some(place) = bytes.get_mut(start..start + len)
    {
        while done < len {
            let part = rope.slice(blocks, plan.payload.offset + done as u32, len - done);
            let copied = checksum::copy_sum(&mut place[done..done + part.len()], part);
            sum = if done == 0 {
                copied
            } else {
                join(sum, done, copied)
            };
            done += part.len();
        }
    }
    sum
}

const fn ecn_of(plan: &Plan) -> Ecn {
    if plan.ecn_capable {
        Ecn::Ect0
    } else {
        Ecn::NotEct
    }
}

impl<P: Port> Sender<'_, P> {
    /// A frame to send in. It is taken before TCP is asked for a segment, because what TCP hands
    /// out counts as sent.
    #[inline]
    fn frame(&mut self) -> Result<TxFrame, Rest> {
        if self.budget == 0 {
            return Err(Rest::Budget);
        }
        self.spare
            .take()
            .or_else(|| self.port.tx_alloc())
            .ok_or(Rest::NoFrame)
    }

    /// Writes a segment of nothing but plain headers into the frame, and queues it.
    #[inline]
    fn emit_headers(
        &mut self,
        mut frame: TxFrame,
        template: &Template,
        flow: &FlowKey,
        header: &plain::Header,
    ) {
        let bytes = self.port.tx_bytes(&mut frame);
        let end = template.emit(bytes, flow, header, 0, 0);
        self.push(frame, end);
    }

    /// Writes a segment with plain headers into the frame, if its flow has such, and queues it.
    #[inline]
    fn emit_plain(
        &mut self,
        mut frame: TxFrame,
        template: &Template,
        flow: &FlowKey,
        plan: &Plan,
        payload: Option<Source<'_>>,
    ) {
        let header = plain::Header {
            seq: plan.seq,
            ack: plan.ack,
            flags: plan.flags,
            window: plan.window,
            urgent: plan.urgent,
            timestamps: plan.options.timestamps,
            ecn: ecn_of(plan),
        };
        let bytes = self.port.tx_bytes(&mut frame);
        let sum = fill(bytes, header.headers_len(), plan, payload);
        let end = template.emit(bytes, flow, &header, plan.payload.len as usize, sum);
        self.push(frame, end);
    }

    /// Writes a segment into the frame and queues it.
    fn emit(
        &mut self,
        mut frame: TxFrame,
        path: &Path,
        flow: &FlowKey,
        plan: &Plan,
        payload: Option<Source<'_>>,
    ) {
        let header = Header {
            seq: plan.seq,
            ack: plan.ack,
            flags: plan.flags,
            window: plan.window,
            urgent: plan.urgent,
            options: plan.options,
            ..Header::default()
        };
        let link = &path.link;
        let bytes = self.port.tx_bytes(&mut frame);
        let start = tcp_headers_len(link, flow, &header);
        let sum = fill(bytes, start, plan, payload);
        let fields = Fields {
            treatment: path.treatment,
            ecn: ecn_of(plan),
        };
        let len = plan.payload.len as usize;
        let end = emit_tcp_summed(bytes, link, flow, &header, fields, len, sum);
        self.push(frame, end);
    }

    /// Queues a frame of so many octets.
    #[inline]
    fn push(&mut self, frame: TxFrame, end: Option<usize>) {
        match end {
            Some(end) => {
                self.port.tx_push(frame, end);
                self.budget -= 1;
                self.sent += 1;
            }
            // The MTU of a path is never more than a frame holds, and a flow has one family.
            None => {
                debug_assert!(false, "a segment does not fit its frame");
                self.spare = Some(frame);
            }
        }
    }
}
