//! Core and services together: what came of an input is carried out, and told to the service.
//!
//! No callback runs inside another one: what a service asks for during a callback that would call
//! it again (closing, resuming) is queued, and carried out when the callback is over.

use crate::context::Context;
use crate::core::{Core, Phase, flag};
use crate::mailbox::Notice;
use crate::service::Service;
use byway_tcp::effects::{CloseReason, Effects};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A send buffer must be this much empty (one part in so many) before its writer is woken.
const WRITABLE_SHARE: u32 = 8;

/// The part of a shard that is the same for every port and clock.
pub(crate) struct Reactor {
    pub(crate) core: Core,
    /// `None` in the place of a service that panicked.
    pub(crate) services: Vec<Option<Box<dyn Service>>>,
    /// Services that were told of the start.
    pub(crate) started: usize,
}

impl Reactor {
    pub(crate) fn new(core: Core) -> Self {
        Self {
            core,
            services: Vec::new(),
            started: 0,
        }
    }

    /// Calls a service. `None` when it panics, or did so before: that costs its connections, not
    /// the shard.
    #[inline]
    pub(crate) fn call<R>(
        &mut self,
        service: u16,
        current: Option<u32>,
        callback: impl FnOnce(&mut dyn Service, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let called = self.services.get_mut(usize::from(service))?.as_mut()?;
        let mut context = Context::new(&mut self.core, service, current);
        let result = catch_unwind(AssertUnwindSafe(|| callback(called.as_mut(), &mut context)));
        if result.is_err() {
            self.bury(service);
        }
        result.ok()
    }

    /// A service panicked: its state cannot be trusted, so it is never called again.
    #[cold]
    fn bury(&mut self, service: u16) {
        let dead = self.services[usize::from(service)].take();
        // It may panic once more while it is dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(dead)));
        self.core.counters.service_panics += 1;
        self.core.mailbox.notify(Notice::ServicePanicked(service));
        self.core.listeners.unlisten_service(service);
        self.core.failed.push(service);
    }

    /// Carries out what came of a plain segment: octets that it acknowledged, and its payload.
    #[inline]
    pub(crate) fn apply_plain(&mut self, index: u32, acked: u32, payload: &[u8]) {
        if acked > 0 {
            self.core.free_acknowledged(index, acked);
            self.core.forget_soft_error(index);
        }
        if !payload.is_empty() {
            self.deliver(index, payload, 0);
        }
        if acked > 0 && self.core.has(index, flag::BLOCKED) {
            self.tell_writable(index, false);
        }
        self.core.mark_dirty(index);
        self.settle();
    }

    /// Carries out what came of an input for a connection; `payload` is that of the segment.
    pub(crate) fn apply(&mut self, index: u32, effects: &Effects, payload: &[u8]) {
        let fx = effects;
        if fx.acked > 0 {
            self.core.free_acknowledged(index, fx.acked);
        }
        if fx.acked > 0 || fx.events.opened {
            self.core.forget_soft_error(index);
        }
        if fx.store.piece.len > 0 {
            let piece = piece_of(payload, fx.store.piece.skip, fx.store.piece.len);
            let unread = self.core.conn(index).unread();
            self.core.keep(index, unread + fx.store.at, piece);
        }
        if let Some(plan) = fx.reply {
            self.core.reply_on(index, plan);
        }
        if fx.events.opened {
            self.tell(index, |service, conn| service.on_open(conn));
        }
        if fx.events.urgent {
            self.tell(index, |service, conn| service.on_urgent(conn));
        }
        if fx.deliver.len > 0 || fx.ready > 0 {
            let fresh = piece_of(payload, fx.deliver.skip, fx.deliver.len);
            self.deliver(index, fresh, fx.ready);
        }
        if fx.acked > 0 && self.core.has(index, flag::BLOCKED) {
            self.tell_writable(index, false);
        }
        if fx.events.peer_closed {
            self.core.set(index, flag::PEER_CLOSED);
            self.tell_peer_closed(index);
        }
        match fx.closed {
            Some(reason) => self.finish(index, reason, fx.time_wait),
            None => self.core.mark_dirty(index),
        }
        self.settle();
    }

    /// Calls the service of a connection, unless it is done with it.
    #[inline]
    pub(crate) fn tell(
        &mut self,
        index: u32,
        callback: impl FnOnce(&mut dyn Service, &mut Context<'_>),
    ) {
        if !self.core.has(index, flag::OVER) {
            let service = self.core.conn(index).owner().service;
            self.call(service, Some(index), callback);
        }
    }

    /// In-order bytes: straight from the frame when nothing waits before them.
    #[inline]
    fn deliver(&mut self, index: u32, fresh: &[u8], ready: u32) {
        let unread = self.core.conn(index).unread();
        let before = unread - fresh.len() as u32 - ready;
        if before > 0 {
            self.core.keep(index, before, fresh);
        } else {
            let taken = self.offer(index, fresh);
            if taken < fresh.len() {
                self.core.keep(index, 0, &fresh[taken..]);
                return;
            }
        }
        if before + ready > 0 {
            self.offer_unread(index);
        }
    }

    /// Offers bytes to the service; how many it took.
    #[inline]
    fn offer(&mut self, index: u32, bytes: &[u8]) -> usize {
        if bytes.is_empty() || self.core.has(index, flag::OVER) {
            return 0;
        }
        let service = self.core.conn(index).owner().service;
        let taken = self.call(service, Some(index), |service, conn| {
            service.on_data(conn, bytes)
        });
        let taken = taken.unwrap_or(0).min(bytes.len());
        self.core.consume(index, taken as u32);
        taken
    }

    /// Offers what was kept, block by block, until the service takes less than it is given.
    fn offer_unread(&mut self, index: u32) {
        loop {
            let conn = self.core.conn(index);
            let (unread, buffers) = (conn.unread() as usize, conn.owner().buffers);
            let Some(record) = self.core.buffers.get(buffers).filter(|_| unread > 0) else {
                return;
            };
            let (block, start, end) = record.receive.locate(0, unread);
            let memory = self.core.receive_blocks.lend();
            if self.core.has(index, flag::OVER) {
                self.core.receive_blocks.restore(memory);
                return;
            }
            let service = self.core.conn(index).owner().service;
            let bytes = &memory.block(block)[start..end];
            let taken = self.call(service, Some(index), |service, conn| {
                service.on_data(conn, bytes)
            });
            self.core.receive_blocks.restore(memory);
            let taken = taken.unwrap_or(0).min(end - start);
            self.core.consume(index, taken as u32);
            if taken < end - start {
                return;
            }
        }
    }

    /// Tells a writer that was cut short that there is room, once there is a good deal of it.
    fn tell_writable(&mut self, index: u32, blocks_came_back: bool) {
        let tcp = &self.core.tcp;
        let Some(conn) = self.core.connections.get(index) else {
            return;
        };
        let enough = (conn.send_capacity(tcp) / WRITABLE_SHARE).max(1);
        let space = conn.send_space(tcp);
        if space == 0 || (space < enough && conn.buffered() > 0 && !blocks_came_back) {
            return;
        }
        self.core.clear(index, flag::BLOCKED);
        self.tell(index, |service, conn| service.on_writable(conn));
        self.offer_again(index);
    }

    /// Offers what was kept once more, and tells of the peer's FIN when that was the last of it.
    fn offer_again(&mut self, index: u32) {
        self.offer_unread(index);
        self.tell_peer_closed(index);
    }

    fn tell_peer_closed(&mut self, index: u32) {
        if self.core.conn(index).unread() == 0 && self.core.clear(index, flag::PEER_CLOSED) {
            self.tell(index, |service, conn| service.on_peer_closed(conn));
        }
    }

    /// TCP is done with a connection. What it received is the service's all the same: after a
    /// proper end the record stays until the service has taken it.
    pub(crate) fn finish(&mut self, index: u32, reason: CloseReason, time_wait: bool) {
        self.core.leave_table(index, time_wait);
        let unread = self.core.conn(index).unread();
        if reason == CloseReason::Finished && unread > 0 && !self.core.has(index, flag::OVER) {
            self.core.set(index, flag::LINGERS);
            let until = self.core.now + self.core.tcp.config.time_wait;
            self.core.wheel.arm(index, until);
            return;
        }
        self.say_goodbye(index, reason);
    }

    /// The last callback of a connection, and the end of its record.
    fn say_goodbye(&mut self, index: u32, reason: CloseReason) {
        let service = self.core.conn(index).owner().service;
        self.core.set(index, flag::ENDING);
        self.call(service, Some(index), |service, conn| {
            service.on_closed(conn, reason)
        });
        self.core.free(index);
    }

    /// A lingering connection whose bytes were all taken is over.
    fn end_if_taken(&mut self, index: u32) {
        if self.core.has(index, flag::LINGERS) && self.core.conn(index).unread() == 0 {
            self.tell_peer_closed(index);
            self.say_goodbye(index, CloseReason::Finished);
        }
    }

    /// A lingering connection waited long enough for its service.
    pub(crate) fn end_lingering(&mut self, index: u32) {
        self.say_goodbye(index, CloseReason::Finished);
        self.settle();
    }

    /// Carries out what services asked for in callbacks: closing and aborting.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if !self.core.closing.is_empty() || !self.core.failed.is_empty() {
            self.settle_all();
        }
    }

    fn settle_all(&mut self) {
        while let Some(service) = self.core.failed.pop() {
            self.abort_all_of(service);
        }
        while let Some(index) = self.core.closing.pop_front() {
            self.carry_out_close(index);
            while let Some(service) = self.core.failed.pop() {
                self.abort_all_of(service);
            }
        }
    }

    /// Queues the end of every connection of a service that is no more.
    #[cold]
    fn abort_all_of(&mut self, service: u16) {
        for index in 0..self.core.connections.high_water() {
            let conn = self.core.connections.get(index);
            if conn.is_some_and(|conn| conn.owner().service == service)
                && self.core.set(index, flag::ABORT)
            {
                self.core.closing.push_back(index);
            }
        }
    }

    fn carry_out_close(&mut self, index: u32) {
        if !self.core.has(index, flag::CLOSE | flag::ABORT) {
            return;
        }
        if self.core.has(index, flag::LINGERS) {
            return self.say_goodbye(index, CloseReason::Finished);
        }
        let abort = self.core.has(index, flag::ABORT);
        let mut fx = Effects::default();
        let core = &mut self.core;
        let conn = core
            .connections
            .get_mut(index)
            .expect("a flag was found on it");
        if abort {
            fx.reply = conn.abort(core.now, &mut core.tcp);
            fx.closed = Some(CloseReason::Aborted);
        } else {
            conn.close(core.now, &mut core.tcp, &mut fx);
        }
        if let Some(plan) = fx.reply {
            core.reply_on(index, plan);
        }
        match fx.closed {
            Some(reason) => self.finish(index, reason, fx.time_wait),
            None => core.mark_dirty(index),
        }
    }

    /// Offers unread bytes again where that was asked for, and wakes writers that waited for
    /// blocks. What is asked for meanwhile waits for the next turn.
    #[inline]
    pub(crate) fn run_resumed(&mut self) {
        if !self.core.resumed.is_empty() || !self.core.starved.is_empty() {
            self.resume_all();
        }
    }

    fn resume_all(&mut self) {
        for _ in 0..self.core.resumed.len() {
            let Some(index) = self.core.resumed.pop_front() else {
                break;
            };
            if self.core.clear(index, flag::RESUME) && !self.core.has(index, flag::OVER) {
                self.offer_again(index);
                self.end_if_taken(index);
                self.settle();
            }
        }
        for _ in 0..self.core.starved.len() {
            if self.core.send_blocks.available() <= self.core.send_blocks.total() / 16 {
                break;
            }
            let Some(index) = self.core.starved.pop_front() else {
                break;
            };
            if self.core.clear(index, flag::STARVED) && self.core.has(index, flag::BLOCKED) {
                self.tell_writable(index, true);
                self.settle();
            }
        }
    }

    /// Tells services of the start, once each.
    #[inline]
    pub(crate) fn run_starts(&mut self) {
        if self.started < self.services.len() {
            self.start_services();
        }
    }

    #[cold]
    fn start_services(&mut self) {
        while self.started < self.services.len() {
            let service = self.started as u16;
            self.started += 1;
            self.call(service, None, |service, shard| service.on_start(shard));
            self.settle();
        }
    }

    /// Gives every service its moment of the turn; true when one wants another turn at once.
    pub(crate) fn run_turn_callbacks(&mut self) -> bool {
        let mut busy = false;
        for service in 0..self.services.len() as u16 {
            busy |= self.call(service, None, |service, shard| service.on_turn(shard)) == Some(true);
            self.settle();
        }
        busy
    }

    /// Begins the end: no new connections, a proper close for those there are.
    pub(crate) fn begin_stop(&mut self) {
        self.core.phase = Phase::Draining(self.core.now + self.core.config.linger);
        self.core.listeners.close_all();
        for index in 0..self.core.half_open.high_water() {
            self.core.forget_half_open(index);
        }
        self.end_all(flag::CLOSE);
    }

    /// Ends what did not end by itself.
    pub(crate) fn end_stop(&mut self) {
        self.end_all(flag::ABORT);
        self.core.phase = Phase::Ended;
    }

    fn end_all(&mut self, how: u32) {
        for index in 0..self.core.connections.high_water() {
            if self.core.set(index, how) {
                self.core.closing.push_back(index);
            }
        }
        self.settle();
    }
}

/// A piece of the payload. TCP cuts pieces within the length it was told.
#[inline]
fn piece_of(payload: &[u8], skip: u32, len: u32) -> &[u8] {
    &payload[skip as usize..(skip + len) as usize]
}
