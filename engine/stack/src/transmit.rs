//! From plans to frames: what connections want to send, within the limits of a turn.

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
use byway_wire::tcp::Header;

/// Frames that one connection may send before the next one has its chance.
const QUANTUM: u32 = 64;

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
    let owner = conn.owner();
    if owner.path == NO_PATH || owner.flags & flag::LINGERS != 0 {
        return Rest::Drained;
    }
    let flow = *conn.flow();
    let Some(path) = core.paths.get(owner.path) else {
        return Rest::Drained;
    };
    let rope = core.buffers.get(owner.buffers).map(|buffers| &buffers.send);
    for _ in 0..QUANTUM {
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
        sender.emit(frame, path, &flow, &plan, payload);
    }
    Rest::Quantum
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

    /// Writes a segment into the frame and queues it.
    #[inline]
    fn emit(
        &mut self,
        mut frame: TxFrame,
        path: &Path,
        flow: &FlowKey,
        plan: &Plan,
        payload: Option<(&Rope, &crate::blocks::BlockPool)>,
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
        let len = plan.payload.len as usize;
        let mut sum = 0;
        if let Some((rope, blocks)) = payload
            && let Some(place) = bytes.get_mut(start..start + len)
        {
            let mut done = 0;
            while done < len {
                let part = rope.slice(blocks, plan.payload.offset + done as u32, len - done);
                let copied = checksum::copy_sum(&mut place[done..done + part.len()], part);
                sum = join(sum, done, copied);
                done += part.len();
            }
        }
        let ecn = if plan.ecn_capable {
            Ecn::Ect0
        } else {
            Ecn::NotEct
        };
        let fields = Fields {
            treatment: path.treatment,
            ecn,
        };
        match emit_tcp_summed(bytes, link, flow, &header, fields, len, sum) {
            Some(len) => {
                self.port.tx_push(frame, len);
                self.budget -= 1;
                self.sent += 1;
            }
            // The MTU of a path is never more than a frame holds, and a flow has one family.
            None => {
                debug_assert!(false, "a segment of {len} octets does not fit a frame");
                self.spare = Some(frame);
            }
        }
    }
}
