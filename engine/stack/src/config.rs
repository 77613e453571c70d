//! What a shard is told at its start, with every limit in one place.

use byway_tcp::time::Duration;
use byway_wire::Address;
use byway_wire::ethernet::MacAddr;
use byway_wire::ip::Treatment;
use core::ops::RangeInclusive;

/// How a shard behaves. [`ShardConfig::new`] gives a working one but for `addresses`.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// What TCP is told: sizes of buffers, timers, options.
    pub tcp: byway_tcp::Config,
    /// Keys of initial sequence numbers and timestamps, the same for all shards of an engine.
    pub secrets: byway_tcp::Secrets,
    /// Key of the flow table's hash; random, so that no peer can aim at one bucket.
    pub hash_key: [u64; 2],
    /// The limits, each enforced and counted when hit.
    pub limits: Limits,
    /// Our addresses. A listener at an unspecified address stands for all of them, and a segment
    /// that nobody wants is answered by a reset only when it came to one of them.
    pub addresses: Vec<Address>,
    /// Our MAC address: frames to others are left alone. `None` takes every unicast frame.
    pub mac: Option<MacAddr>,
    /// The largest IP packet, in octets, on paths that were learned from a frame.
    pub mtu: u16,
    /// What the network is asked to do with our packets, unless a listener or a connection chooses
    /// otherwise.
    //= rfc9293 3.9.2 MUST-49
    pub treatment: Treatment,
    /// Ports for connections that we open.
    pub ephemeral: RangeInclusive<u16>,
    /// Takes segments whose checksum is only that of the pseudo-header, as a virtual link leaves
    /// them. Right only where no physical link lies between.
    pub trust_unfilled_checksums: bool,
    /// How long an idle `run` keeps turning before it sleeps.
    pub spin: Duration,
    /// How long a graceful stop waits for peers before it resets what is left.
    pub linger: Duration,
}

impl ShardConfig {
    /// The defaults, with these keys. They have no default of their own: a key that everybody knows
    /// protects nobody, so draw them at random, once for all shards of an engine.
    pub fn new(secrets: byway_tcp::Secrets, hash_key: [u64; 2]) -> Self {
        Self {
            tcp: byway_tcp::Config::default(),
            secrets,
            hash_key,
            limits: Limits::default(),
            addresses: Vec::new(),
            mac: None,
            mtu: 1500,
            treatment: Treatment::default(),
            ephemeral: 32768..=60999,
            trust_unfilled_checksums: false,
            spin: Duration::from_millis(1),
            linger: Duration::from_secs(3),
        }
    }
}

/// The limits of a shard. What happens at each is written beside it; each has a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections, in all states but SYN-RECEIVED of a listener and TIME-WAIT. Beyond it a
    /// handshake that completes is reset, and `connect` fails.
    pub max_connections: u32,
    /// Half-open connections. Beyond it a SYN is dropped, and the peer tries again.
    pub syn_queue: u32,
    /// TIME-WAIT records. Beyond it the oldest ends early.
    pub time_wait: u32,
    /// Blocks of 2 KiB for bytes that arrived and were not taken. When less than half is free,
    /// windows grow to an eighth of that at most. The last eighth is for segments in order of
    /// connections that have next to nothing unread; any other is dropped before TCP sees it, and the
    /// peer sends it again.
    pub receive_blocks: u32,
    /// Blocks of 2 KiB for bytes to send. When there is none, `send` takes less.
    pub send_blocks: u32,
    /// Paths. Beyond it a SYN from a new neighbour is dropped.
    pub paths: u16,
    /// Destinations that are remembered to be reached by smaller packets only, ten minutes each.
    /// Beyond it the oldest is forgotten.
    pub path_mtus: u32,
    /// Connections that wait for a path. Beyond it `connect` fails.
    pub waiting_for_path: u32,
    /// How long a connection waits for its path before it is unreachable.
    pub path_timeout: Duration,
    /// Listening endpoints.
    pub listeners: u32,
    /// Frames sent in a turn; what is left goes in the next.
    pub tx_per_turn: u32,
    /// Resets, challenge ACKs and SYN-ACKs that wait for a frame. Beyond it they are lost, as the
    /// network may lose them.
    pub replies: u32,
    /// Timers that fire in a turn; what is left fires in the next.
    pub timers_per_turn: u32,
    /// Commands taken from the mailbox in a turn.
    pub commands_per_turn: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 131_072,
            syn_queue: 8_192,
            time_wait: 65_536,
            receive_blocks: 32_768,
            send_blocks: 32_768,
            paths: 4_096,
            path_mtus: 4_096,
            waiting_for_path: 1_024,
            path_timeout: Duration::from_secs(3),
            listeners: 1_024,
            tx_per_turn: 256,
            replies: 1_024,
            timers_per_turn: 256,
            commands_per_turn: 64,
        }
    }
}
