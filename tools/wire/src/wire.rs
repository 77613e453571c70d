//! The forwarder: two interfaces, a link in each direction, one thread.

use crate::error::WireError;
use crate::impairment::Impairment;
use crate::lane::Lane;
use crate::notice::Notice;
use crate::side::Side;
use crate::statistics::{Direction, Summary};
use byway_stack::clock::{Clock, MonotonicClock};
use byway_stack::random::SplitMix;
use byway_sys::packet::Inbox;
use byway_tcp::time::{Duration, Instant};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{current_timer_slack, set_current_timer_slack};
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

/// How soon a wire notices that it is to stop, when nothing else happens.
const IDLE: Duration = Duration::from_millis(50);

/// How long before a departure to wake up and watch the clock, by default. Waking up takes a
/// virtual machine a few tens of microseconds.
pub const DEFAULT_SPIN: Duration = Duration::from_micros(50);

/// What a wire does.
#[derive(Clone, Debug)]
pub struct Config {
    /// What happens to frames that arrive at A and leave by B.
    pub a_to_b: Impairment,
    /// What happens to frames that arrive at B and leave by A.
    pub b_to_a: Impairment,
    /// Equal seeds and equal frames give equal decisions.
    pub seed: u64,
    /// How long before a departure to stop sleeping and watch the clock: more of it makes
    /// departures more punctual, and takes more of a CPU.
    pub spin: Duration,
    /// Where to write what passes A, as pcap: frames from A as they come, frames to A as they
    /// leave.
    pub capture_a: Option<PathBuf>,
    /// Where to write what passes B.
    pub capture_b: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            a_to_b: Impairment::default(),
            b_to_a: Impairment::default(),
            seed: 1,
            spin: DEFAULT_SPIN,
            capture_a: None,
            capture_b: None,
        }
    }
}

/// Two interfaces with a link between them. While it is there, everything that arrives at one
/// leaves by the other, sooner or later, unless the impairments say otherwise.
///
/// Neither interface needs an address, and neither should have one: the kernel would answer for
/// itself.
pub struct Wire {
    sides: [Side; 2],
    /// Lane `n` leads from side `n` to the other.
    lanes: [Lane; 2],
    inbox: Inbox,
    scratch: Vec<u8>,
    clock: MonotonicClock,
    started: Instant,
    seed: u64,
    spin: Duration,
    tell: Box<dyn FnMut(&Notice) + Send>,
}

impl Wire {
    /// Joins two interfaces of the calling thread's network namespace. From here on the kernel
    /// keeps what arrives, for [`run`](Self::run) to forward.
    ///
    /// # Errors
    /// Settings that make no sense, missing privilege (CAP_NET_RAW), no such interface, a capture
    /// that cannot be written.
    pub fn open(a: &str, b: &str, config: &Config) -> Result<Self, WireError> {
        if a == b {
            return Err(WireError::usage(
                format!("a wire from {a} to itself"),
                "name two interfaces",
            ));
        }
        for impairment in [&config.a_to_b, &config.b_to_a] {
            impairment
                .check()
                .map_err(|cause| WireError::usage(cause, "`byway wire --help` explains them"))?;
        }
        let mut seeds = SplitMix::new(config.seed);
        let lanes = [&config.a_to_b, &config.b_to_a]
            .map(|impairment| Lane::new(impairment, seeds.next_u64()));
        let sides = [
            Side::open(a, config.capture_a.as_deref())?,
            Side::open(b, config.capture_b.as_deref())?,
        ];
        let mut clock = MonotonicClock::new();
        Ok(Self {
            sides,
            lanes,
            inbox: Inbox::new(),
            scratch: Vec::new(),
            started: clock.now(),
            clock,
            seed: config.seed,
            spin: config.spin,
            tell: Box::new(|_| ()),
        })
    }

    /// Whom to tell what a person should know.
    pub fn on_notice(&mut self, tell: impl FnMut(&Notice) + Send + 'static) {
        self.tell = Box::new(tell);
    }

    /// Forwards until `stop` is set. Frames that are on their way then do not arrive any more.
    ///
    /// # Errors
    /// An interface that is gone, a capture that could not be written to its end.
    pub fn run(mut self, stop: &AtomicBool) -> Result<Summary, WireError> {
        // Timers of ordinary threads may be 50 us late, to let the CPU sleep.
        let slack = current_timer_slack().ok().and_then(NonZeroU64::new);
        set_current_timer_slack(Some(NonZeroU64::MIN)).ok();
        let result = self.turn_until(stop);
        set_current_timer_slack(slack).ok();
        result?;
        let summary = self.summary();
        for capture in self.sides.into_iter().filter_map(|side| side.capture) {
            capture.finish()?;
        }
        Ok(summary)
    }

    fn turn_until(&mut self, stop: &AtomicBool) -> Result<(), WireError> {
        while !stop.load(Ordering::Relaxed) {
            let mut busy = false;
            for side in [0, 1] {
                busy |= self.receive(side)?;
            }
            for lane in [0, 1] {
                busy |= self.deliver(lane);
            }
            if !busy {
                self.rest()?;
            }
        }
        Ok(())
    }

    /// Sends what arrived at one side on its way. True when something did.
    fn receive(&mut self, number: usize) -> Result<bool, WireError> {
        let [a, b] = &mut self.sides;
        let (side, far) = if number == 0 { (a, b) } else { (b, a) };
        let lane = &mut self.lanes[number];
        let count = side.receive(&mut self.inbox, lane, &mut self.tell)?;
        if count == 0 {
            return Ok(false);
        }
        let (now, wall) = (self.clock.now(), wall_clock());
        for received in self.inbox.frames() {
            let stamp = received.arrival.unwrap_or(wall);
            let capture = &mut side.capture;
            lane.accept(&received, now, wall, far.mtu, &mut self.scratch, |frame| {
                if let Some(capture) = capture {
                    capture.record(stamp, frame);
                }
            });
        }
        lane.tell_of_drops(&side.name, &far.name, far.mtu, &mut self.tell);
        Ok(true)
    }

    /// Lets those frames out whose time has come, a batch at most. True when there were some.
    fn deliver(&mut self, number: usize) -> bool {
        let lane = &mut self.lanes[number];
        let side = &mut self.sides[1 - number];
        let now = self.clock.now();
        let Some(capture) = side.capture.as_mut() else {
            return lane.deliver(now, &side.sender, |_| ());
        };
        let wall = wall_clock();
        lane.deliver(now, &side.sender, |frame| capture.record(wall, frame))
    }

    /// Sleeps until shortly before the next departure, or until something arrives.
    fn rest(&mut self) -> Result<(), WireError> {
        for side in &mut self.sides {
            side.check_presence()?;
        }
        let next = self.lanes.iter().map(Lane::next).min();
        let left = next.unwrap_or(Instant::NEVER).since(self.clock.now());
        let sleep = left.saturating_sub(self.spin).min(IDLE);
        if sleep.is_zero() {
            std::hint::spin_loop();
            return Ok(());
        }
        let timeout = Timespec {
            tv_sec: sleep.as_secs() as _,
            tv_nsec: sleep.subsec_nanos().into(),
        };
        let [a, b] = &self.sides;
        let mut sockets =
            [a, b].map(|side| PollFd::from_borrowed_fd(side.receiver.as_fd(), PollFlags::IN));
        match poll(&mut sockets, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(WireError::failed("poll", &errno.into())),
        }
    }

    fn summary(&mut self) -> Summary {
        let seconds = self.clock.now().since(self.started).as_secs_f64();
        let [a, b] = &self.sides;
        let [there, back] = &self.lanes;
        let direction = |from: &Side, to: &Side, lane: &Lane| Direction {
            from: from.name.clone(),
            to: to.name.clone(),
            counts: lane.counts(from.missed()),
        };
        Summary {
            schema: 1,
            event: "stopped",
            seed: self.seed,
            seconds,
            directions: [direction(a, b, there), direction(b, a, back)],
        }
    }
}

/// Time since 1970.
fn wall_clock() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // Before 1970 is as good as 1970: it dates captures, and ages within one batch.
    now.unwrap_or_default()
}
