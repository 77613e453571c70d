//! What time, and other threads, make a shard do.

use crate::core::{Phase, Waiting, flag};
use crate::mailbox::Command;
use crate::reactor::Reactor;
use byway_tcp::effects::{CloseReason, Effects};
use byway_tcp::listen::SynTimeout;

/// Timeouts in a row after which the path is in doubt, and the application told.
//= rfc9293 3.8.3 MUST-20 SHLD-10
const R1: u8 = 3;

impl Reactor {
    /// Lets the timers that are due fire, up to the limit per turn. True when there were some, or
    /// some are left.
    #[inline]
    pub(crate) fn run_timers(&mut self, fired: &mut Vec<u32>) -> bool {
        fired.clear();
        let core = &mut self.core;
        let all = core
            .wheel
            .advance(core.now, core.config.limits.timers_per_turn, fired);
        core.counters.timer_budget += u64::from(!all);
        for &key in &*fired {
            match key.checked_sub(self.core.config.limits.max_connections) {
                None => self.on_connection_timer(key),
                Some(half_open) => self.on_half_open_timer(half_open),
            }
        }
        let now = self.core.now;
        if self.core.time_waits.next_deadline() <= now {
            self.core.expire_time_waits();
        }
        let first = self.core.waiting.front();
        if first.is_some_and(|waiting| waiting.until <= now) {
            self.fail_waiting(|waiting| waiting.until <= now);
        }
        !fired.is_empty() || !all
    }

    /// The entry may be early, because the deadline moved on since: then it is armed again.
    //= rfc9293 3.8.3 MUST-20 SHLD-9
    fn on_connection_timer(&mut self, index: u32) {
        let core = &mut self.core;
        let Some(conn) = core.connections.get_mut(index) else {
            return;
        };
        if conn.owner().flags & flag::LINGERS != 0 {
            return self.end_lingering(index);
        }
        if conn.deadline(&core.tcp) > core.now {
            return core.arm(index);
        }
        let mut fx = Effects::default();
        let before = unanswered(&core.tcp.counters);
        conn.on_timeout(core.now, &mut core.tcp, &mut fx);
        let count = conn.timeouts_in_a_row();
        let again = unanswered(&core.tcp.counters) > before;
        if fx.closed.is_none() && again && count >= R1 {
            core.doubt_path(index);
            if count == R1 {
                self.tell(index, |service, conn| service.on_silence(conn));
            }
        }
        self.apply(index, &fx, &[]);
    }

    fn on_half_open_timer(&mut self, index: u32) {
        let core = &mut self.core;
        let Some(half_open) = core.half_open.get_mut(index) else {
            return;
        };
        match half_open.entry.on_timeout(core.now, &mut core.tcp) {
            SynTimeout::Early => {}
            SynTimeout::Resend(plan) => {
                let flow = *half_open.entry.flow();
                if let Some(&path) = core.paths.get(half_open.path) {
                    core.reply(path, flow, plan);
                }
            }
            SynTimeout::Expired => {
                core.counters.syn_expired += 1;
                return core.forget_half_open(index);
            }
        }
        let deadline = self
            .core
            .half_open
            .get(index)
            .map(|half_open| half_open.entry.deadline());
        if let Some(deadline) = deadline {
            let key = self.core.half_open_key(index);
            self.core.wheel.arm(key, deadline);
        }
    }

    /// Carries out commands of other threads, up to the limit per turn; how many there were.
    #[inline]
    pub(crate) fn run_commands(&mut self) -> usize {
        if self.core.mailbox.is_empty() && self.core.moved.is_empty() {
            return 0;
        }
        self.carry_out_commands()
    }

    fn carry_out_commands(&mut self) -> usize {
        let limit = self.core.config.limits.commands_per_turn as usize;
        for done in 0..limit {
            let Some(command) = self.core.mailbox.next_command() else {
                self.core.follow_paths();
                return done;
            };
            self.carry_out(command);
        }
        self.core.follow_paths();
        limit
    }

    fn carry_out(&mut self, command: Command) {
        let core = &mut self.core;
        match command {
            Command::Path(update) => {
                core.on_path(&update);
            }
            Command::Unreachable(remote) => {
                core.paths.forget(&remote);
                self.fail_waiting(|waiting| waiting.remote == remote);
            }
            Command::Listen(endpoint, service, options) => {
                core.listen(endpoint, service, &options);
            }
            Command::Unlisten(endpoint) => core.listeners.unlisten(&endpoint),
            Command::AddAddress(address) => core.listeners.add_address(address),
            Command::Stop => {
                if core.phase == Phase::Running {
                    core.phase = Phase::StopWanted;
                }
            }
        }
    }

    /// Connections whose path was not found are over.
    fn fail_waiting(&mut self, over: impl Fn(&Waiting) -> bool) {
        for Waiting { id, .. } in self.core.take_waiting(over) {
            // An earlier one's service may have ended it in a callback.
            if let Some(index) = self.core.resolve(id) {
                self.core.counters.path_unresolved += 1;
                self.core.tcp.counters.attempt_fails += 1;
                self.finish(index, CloseReason::Unreachable, false);
                self.settle();
            }
        }
    }

    /// Takes the steps of a graceful stop that are due.
    #[inline]
    pub(crate) fn run_stop(&mut self) {
        if self.core.phase != Phase::Running {
            self.step_towards_end();
        }
    }

    #[cold]
    fn step_towards_end(&mut self) {
        match self.core.phase {
            Phase::Running | Phase::Ended => {}
            Phase::StopWanted => self.begin_stop(),
            Phase::Draining(until) => {
                if self.core.connections.len() == 0 || until <= self.core.now {
                    self.end_stop();
                }
            }
        }
    }
}

/// How often something had to be sent again because nothing came back. Probes of a closed window do
/// not count: they are answered.
fn unanswered(counters: &byway_tcp::counters::Counters) -> u64 {
    counters.timeouts + counters.syn_retrans
}
