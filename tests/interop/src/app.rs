//! What the two sides of a connection do, and what becomes of it.

use byway_stack::random::SplitMix;
use byway_tcp::effects::CloseReason;
use byway_tcp::time::{Duration, Instant};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one side does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Octets that it sends.
    pub octets: usize,
    /// When it begins to.
    pub starts: Starts,
    /// What it does in the end.
    pub ends: Ends,
    /// How it reads.
    pub reads: Reads,
}

impl Script {
    /// Sends so many octets at once, reads all the time, closes its direction.
    pub const fn sends(octets: usize) -> Self {
        Self {
            octets,
            starts: Starts::AtOnce,
            ends: Ends::Closes,
            reads: Reads::Eagerly,
        }
    }
}

/// When a side sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    /// When the connection is open.
    AtOnce,
    /// When the peer has closed its direction: everything goes through a half-closed connection.
    AfterPeerClosed,
}

/// How a side ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// A FIN behind the last octet.
    Closes,
    /// A FIN once this many octets arrived, and the last of its own were sent.
    ClosesAfter(usize),
    /// A reset once this many octets arrived.
    ResetsAfter(usize),
}

/// How a side reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// What there is.
    Eagerly,
    /// Nothing for this long from the opening on, so that its window closes.
    After(Duration),
    /// At most so many octets in each such time.
    Slowly(usize, Duration),
}

/// What became of the connection, on one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Octets that the TCP took for sending.
    pub sent: usize,
    /// Octets that arrived.
    pub received: usize,
    /// Where the first wrong octet was.
    pub wrong_at: Option<usize>,
    /// The peer's FIN arrived.
    pub peer_closed: bool,
    /// How it ended.
    pub closed: Option<CloseReason>,
}

impl Outcome {
    /// All that it had to send went out, all that it expected came in, and both directions were
    /// closed properly.
    pub const fn finished(sent: usize, received: usize) -> Self {
        Self {
            sent,
            received,
            wrong_at: None,
            peer_closed: true,
            closed: Some(CloseReason::Finished),
        }
    }
}

/// An [`App`] that its service and its test look at.
pub type Shared = Arc<Mutex<App>>;

/// One side: a script, and how far it is.
#[derive(Debug)]
pub struct App {
    script: Script,
    /// What it sends.
    bytes: Vec<u8>,
    /// What it expects.
    expected: Vec<u8>,
    opened: Option<Instant>,
    outcome: Outcome,
}

impl App {
    /// The two sides of a conversation: what one sends, the other expects. The bytes come from the
    /// seed.
    pub fn pair(near: Script, far: Script, seed: u64) -> (Shared, Shared) {
        let bytes = |octets, seed| {
            let mut bytes = vec![0; octets];
            SplitMix::new(seed).fill(&mut bytes);
            bytes
        };
        let (from_near, from_far) = (bytes(near.octets, seed), bytes(far.octets, !seed));
        (
            Self::shared(near, from_near.clone(), from_far.clone()),
            Self::shared(far, from_far, from_near),
        )
    }

    /// One side that hears what it says itself.
    pub fn alone(script: Script, seed: u64) -> Shared {
        let mut bytes = vec![0; script.octets];
        SplitMix::new(seed).fill(&mut bytes);
        Self::shared(script, bytes.clone(), bytes)
    }

    fn shared(script: Script, bytes: Vec<u8>, expected: Vec<u8>) -> Shared {
        Arc::new(Mutex::new(Self {
            script,
            bytes,
            expected,
            opened: None,
            outcome: Outcome::default(),
        }))
    }

    /// Locks a side; one that panicked shows how far it was.
    pub fn lock(shared: &Shared) -> MutexGuard<'_, Self> {
        shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of it so far.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The connection is open.
    pub fn open(&mut self, now: Instant) {
        self.opened.get_or_insert(now);
    }

    /// True between the opening and the end.
    pub fn is_open(&self) -> bool {
        self.opened.is_some() && self.outcome.closed.is_none()
    }

    /// How many octets it wants to read now.
    pub fn may_read(&self, now: Instant) -> usize {
        let Some(opened) = self.opened else { return 0 };
        match self.script.reads {
            Reads::Eagerly => usize::MAX,
            Reads::After(wait) if now >= opened + wait => usize::MAX,
            Reads::After(_) => 0,
            Reads::Slowly(octets, every) => {
                let rounds = now.since(opened).as_nanos() / every.as_nanos().max(1);
                (rounds as usize * octets).saturating_sub(self.outcome.received)
            }
        }
    }

    /// When it will want to read more than now.
    pub fn next_read(&self, now: Instant) -> Instant {
        let Some(opened) = self.opened else {
            return Instant::NEVER;
        };
        match self.script.reads {
            _ if !self.is_open() || self.outcome.peer_closed => Instant::NEVER,
            Reads::After(wait) if now < opened + wait => opened + wait,
            Reads::Eagerly | Reads::After(_) => Instant::NEVER,
            Reads::Slowly(_, every) => {
                let rounds = now.since(opened).as_nanos() / every.as_nanos().max(1);
                opened + Duration::from_nanos(((rounds + 1) * every.as_nanos()) as u64)
            }
        }
    }

    /// Octets arrived.
    pub fn read(&mut self, data: &[u8]) {
        let start = self.outcome.received;
        let expected = self.expected.get(start..).unwrap_or_default();
        if !expected.starts_with(data) && self.outcome.wrong_at.is_none() {
            let same = expected.iter().zip(data).take_while(|(a, b)| a == b);
            self.outcome.wrong_at = Some(start + same.count());
        }
        self.outcome.received += data.len();
    }

    /// What it wants to send now and has not sent.
    pub fn unsent(&self) -> &[u8] {
        if self.script.starts == Starts::AfterPeerClosed && !self.outcome.peer_closed {
            return &[];
        }
        self.bytes.get(self.outcome.sent..).unwrap_or_default()
    }

    /// The TCP took octets for sending.
    pub fn sent(&mut self, octets: usize) {
        self.outcome.sent += octets;
    }

    /// The peer's FIN arrived.
    pub fn peer_closed(&mut self) {
        self.outcome.peer_closed = true;
    }

    /// The connection is over.
    pub fn closed(&mut self, reason: CloseReason) {
        self.outcome.closed.get_or_insert(reason);
    }

    /// True when its own direction is to be closed.
    pub fn wants_fin(&self) -> bool {
        let due = match self.script.ends {
            Ends::Closes => true,
            Ends::ClosesAfter(octets) => self.outcome.received >= octets,
            Ends::ResetsAfter(_) => false,
        };
        due && self.outcome.sent == self.bytes.len()
    }

    /// True when the connection is to be reset.
    pub fn wants_reset(&self) -> bool {
        matches!(self.script.ends, Ends::ResetsAfter(octets) if self.outcome.received >= octets)
    }
}
