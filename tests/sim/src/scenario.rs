//! What is simulated: everything here follows from one seed.

use crate::wire::Segment;
use byway_impair::Impairment;
use byway_tcp::time::{Duration, Instant};
use byway_tcp::{Config, CongestionAlgorithm};

/// When virtual time begins.
pub(crate) const START: Instant = Instant::from_nanos(1_000_000_000);
/// The client's port of connection 0; the others follow.
pub(crate) const CLIENT_PORT: u16 = 20_000;
/// Where every engine listens.
pub(crate) const SERVER_PORT: u16 = 7;
/// The second end's port of a connection 0 that both ends open; the others follow.
pub(crate) const CROSSING_PORT: u16 = 40_000;

/// What kind of network it is, and so what is demanded of the engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Anything may happen to frames for a while; then the network heals.
    Chaos,
    /// Nothing is lost, damaged, doubled or out of order: nothing may be sent twice.
    Clean,
    /// Chaos, and routers with hops that become narrower and wider, which ICMP tells; some ICMP is
    /// forged.
    Narrow,
    /// Chaos, and clients that open the same four-tuple again while the server is in TIME-WAIT,
    /// with segments of the connection before still on their way.
    Reuse,
    /// As clean, behind bottlenecks with queues that hold everything.
    Queued,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 5] = [
        Self::Chaos,
        Self::Clean,
        Self::Narrow,
        Self::Reuse,
        Self::Queued,
    ];

    /// Its name, for people and for the environment.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chaos => "chaos",
            Self::Clean => "clean",
            Self::Narrow => "narrow",
            Self::Reuse => "reuse",
            Self::Queued => "queued",
        }
    }

    /// Whether nothing goes wrong in it.
    pub(crate) fn is_clean(self) -> bool {
        matches!(self, Self::Clean | Self::Queued)
    }
}

/// A whole simulation.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it was drawn from.
    pub seed: u64,
    /// What kind of network it has.
    pub class: Class,
    pub(crate) engines: Vec<EnginePlan>,
    /// One for each ordered pair of engines, by sender first.
    pub(crate) links: Vec<LinkPlan>,
    /// From then on nothing goes wrong any more.
    pub(crate) heal_at: Instant,
    pub(crate) connections: Vec<ConnectionPlan>,
    /// The share of segments that a forged ICMP error follows.
    pub(crate) forged: f64,
}

/// One engine.
#[derive(Clone, Debug)]
pub(crate) struct EnginePlan {
    pub(crate) tcp: Config,
    pub(crate) mtu: u16,
    /// Frames of its port.
    pub(crate) frames: u32,
    pub(crate) isn_secret: [u64; 2],
    pub(crate) timestamp_offset: u32,
    pub(crate) hash_key: [u64; 2],
    /// Its clock is ahead of virtual time by this much, before it is moved so that the sequence
    /// numbers of some connection wrap.
    pub(crate) uptime: Duration,
    /// The sequence numbers of this connection of the engine wrap, after so many octets.
    pub(crate) wraps: Option<(usize, u32)>,
    pub(crate) receive_blocks: u32,
    pub(crate) send_blocks: u32,
}

/// One direction between two engines.
#[derive(Clone, Debug)]
pub(crate) struct LinkPlan {
    pub(crate) chaos: Impairment,
    pub(crate) healed: Impairment,
    /// The share of ECN-capable packets that are marked.
    pub(crate) ecn_marks: f64,
    pub(crate) blackouts: Vec<Blackout>,
    pub(crate) tail_loss: Option<TailLoss>,
    pub(crate) router: Option<RouterPlan>,
    /// The share of frames of which a copy arrives much later.
    pub(crate) late_copies: f64,
}

/// A router before the link's delay, and the hop behind it.
#[derive(Clone, Debug)]
pub(crate) struct RouterPlan {
    /// From when on packets of at most how many octets get through, in the order of time.
    pub(crate) widths: Vec<(Instant, u16)>,
    /// The share of what it drops without a word, until the network heals.
    pub(crate) silence: f64,
    /// It does not tell the width, if it may leave it out.
    pub(crate) old: bool,
    /// Octets of the packet that it quotes.
    pub(crate) quote: usize,
    /// Until its answer arrives.
    pub(crate) delay: Duration,
}

/// Nothing gets through for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blackout {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

/// Some segments with data get lost, once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TailLoss {
    /// Segments with data that get through before.
    pub(crate) after: u32,
    /// Segments with data that get lost then.
    pub(crate) count: u32,
}

impl TailLoss {
    /// Whether this segment gets lost.
    pub(crate) fn takes(&mut self, segment: &Segment) -> bool {
        if segment.len() == 0 || self.count == 0 {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        self.count -= 1;
        true
    }
}

/// One connection: which engines, when, and what its two sides do. Side 0 opens it.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionPlan {
    pub(crate) engines: [usize; 2],
    pub(crate) v6: bool,
    pub(crate) opens_at: Instant,
    /// Both sides open it at that time.
    pub(crate) crossing: bool,
    pub(crate) sides: [SidePlan; 2],
    /// The connection whose number gives the ports: itself, or the first with these ports.
    pub(crate) origin: usize,
    /// The connection that takes its four-tuple, so long after its first side was told of its end.
    pub(crate) then: Option<(usize, Duration)>,
}

/// When a side starts to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    AtOpen,
    /// When it has received this many octets.
    After(u32),
    /// When the peer has sent its FIN.
    AfterFin,
}

/// One side of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SidePlan {
    pub(crate) bytes: u32,
    /// Octets given to `send` at a time, and the pause after it.
    pub(crate) chunk: u32,
    pub(crate) write_pause: Duration,
    pub(crate) begin: Begin,
    /// Its FIN waits for the peer's.
    pub(crate) fin_last: bool,
    /// Where its FIN is the last word, it closes both directions.
    pub(crate) full_close: bool,
    /// Octets read at a time, and the pause after it.
    pub(crate) appetite: u32,
    pub(crate) read_pause: Duration,
    /// Aborts when it has sent and received this many octets together.
    pub(crate) abort_after: Option<u32>,
    pub(crate) nagle: bool,
    pub(crate) cork: bool,
    pub(crate) keep_alive: bool,
    pub(crate) congestion: Option<CongestionAlgorithm>,
}

impl Default for SidePlan {
    fn default() -> Self {
        Self {
            bytes: 0,
            chunk: 1 << 16,
            write_pause: Duration::ZERO,
            begin: Begin::AtOpen,
            fin_last: false,
            full_close: false,
            appetite: u32::MAX,
            read_pause: Duration::ZERO,
            abort_after: None,
            nagle: false,
            cork: false,
            keep_alive: false,
            congestion: None,
        }
    }
}

impl ConnectionPlan {
    /// True when a side is going to abort it.
    pub(crate) fn aborts(&self) -> bool {
        self.sides.iter().any(|side| side.abort_after.is_some())
    }

    /// The ports of both sides.
    pub(crate) fn ports(&self) -> [u16; 2] {
        let other = if self.crossing {
            CROSSING_PORT + self.origin as u16
        } else {
            SERVER_PORT
        };
        [CLIENT_PORT + self.origin as u16, other]
    }
}

impl Scenario {
    /// Between the two ends of a connection and back, with no queues.
    pub(crate) fn round_trip(&self, plan: &ConnectionPlan) -> Duration {
        let [first, second] = plan.engines;
        let link = |from: usize, to: usize| &self.links[from * self.engines.len() + to];
        link(first, second).chaos.delay + link(second, first).chaos.delay
    }

    /// The same, with every segment of its engines going the long way.
    pub fn without_header_prediction(mut self) -> Self {
        for engine in &mut self.engines {
            engine.tcp.header_prediction = false;
        }
        self
    }

    /// The same, with a forged ICMP error behind this share of segments.
    pub fn with_forged_icmp(mut self, share: f64) -> Self {
        self.forged = share;
        self
    }

    /// From the end of the chaos until everything has to be over: waiting readers and writers, the
    /// time that the bytes take on the slowest link, back-offs at their longest.
    pub(crate) fn patience(&self) -> Duration {
        let slowest = self.links.iter().filter_map(|link| link.healed.rate);
        let rate = slowest.min().map_or(Duration::ZERO, |rate| {
            let bytes: u64 = self.connections.iter().map(ConnectionPlan::bytes).sum();
            // Small segments are mostly headers.
            rate.time_for(bytes as usize * 4)
        });
        let longest_delay = self.links.iter().map(|link| link.healed.delay).max();
        let trips: u32 = self.connections.iter().map(|c| c.round_trips(self)).sum();
        let pauses = self.connections.iter().map(ConnectionPlan::pauses).max();
        let backoff = self.engines.iter().map(|engine| engine.tcp.rto_max).max();
        // A SYN that TIME-WAIT does not let through tries again, each time after twice the time.
        let again = self.connections.iter().filter_map(|plan| plan.then);
        let again = again.map(|(_, pause)| pause + Duration::from_secs(190));
        let reuse = again.fold(Duration::ZERO, |sum, time| sum + time);
        rate + reuse
            + longest_delay.unwrap_or_default() * 3 * trips
            + pauses.unwrap_or_default() * 2
            + backoff.unwrap_or_default() * 4
            + Duration::from_secs(120)
    }
}

impl ConnectionPlan {
    fn bytes(&self) -> u64 {
        self.sides.iter().map(|side| u64::from(side.bytes)).sum()
    }

    /// How long the sides pause, in all.
    fn pauses(&self) -> Duration {
        let mut total = Duration::ZERO;
        for (side, peer) in [(0, 1), (1, 0)] {
            let (side, peer) = (&self.sides[side], &self.sides[peer]);
            total += side.write_pause * (side.bytes / side.chunk + 1);
            total += side.read_pause * (peer.bytes / side.appetite + 1);
        }
        total
    }

    /// Round trips at the slowest: one for each window of the smaller buffer.
    fn round_trips(&self, scenario: &Scenario) -> u32 {
        let windows = self.engines.iter().map(|engine| {
            let tcp = &scenario.engines[*engine].tcp;
            tcp.rcv_buf.min(tcp.snd_buf).min(500)
        });
        let window = windows.min().unwrap_or(1).max(1);
        (self.bytes() / u64::from(window)) as u32 + 20
    }
}
