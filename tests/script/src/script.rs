//! What a script says, as values. `parse` makes them, `run` carries them out.

use byway_tcp::State;
use std::time::Duration;

/// A script: one behaviour, its requirements, and an exchange that shows it.
#[derive(Clone, Debug)]
pub struct Script {
    /// The file, for messages.
    pub file: String,
    /// The requirements that it shows, each as `rfc9293 3.10.7.1 MUST-10`.
    pub requirements: Vec<String>,
    /// The behaviour, as a sentence.
    pub title: String,
    /// What is set before it begins.
    pub settings: Settings,
    /// The peer's initial sequence number, when the script insists on one.
    pub peer_isn: Option<u32>,
    /// What is known about Byway.
    pub byway: Known,
    /// What is known about Linux.
    pub linux: Known,
    /// The exchange.
    pub steps: Vec<Step>,
}

impl Script {
    /// How long the exchange takes, from the times that it names.
    pub fn duration(&self) -> Duration {
        self.steps.iter().map(|step| step.action.duration()).sum()
    }

    /// The last part of the path, without the ending, with the directory before it.
    pub fn name(&self) -> &str {
        let path = self.file.trim_end_matches(".script");
        match path.rfind("scripts/") {
            Some(at) => path.get(at + "scripts/".len()..).unwrap_or(path),
            None => path,
        }
    }
}

/// What is known beforehand about the outcome with one of the two stacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// It does as the script says.
    #[default]
    Follows,
    /// It does otherwise, for this reason; that it suddenly does not is an error, too.
    Differs(String),
    /// It cannot be asked, for this reason.
    Skipped(String),
}

/// What is set before the exchange begins, for both stacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// IPv6 instead of IPv4.
    pub v6: bool,
    /// The largest IP packet of the link, in octets.
    pub mtu: u16,
    /// Receive buffer of a connection.
    pub receive_buffer: Option<Buffer>,
    /// Send buffer of a connection.
    pub send_buffer: Option<Buffer>,
    /// Octets that may wait in the send buffer beyond what was sent already.
    pub not_sent_low_water: Option<u32>,
    /// Congestion control, `cubic` or `reno`.
    pub congestion: Congestion,
    /// What the window lets out is spread over the round trip; as the stack does by itself if `None`.
    pub pacing: Option<bool>,
    /// RFC 7323 timestamps are offered and taken.
    pub timestamps: bool,
    /// Selective acknowledgments are offered and taken.
    pub sack: bool,
    /// Window scaling is offered and taken.
    pub window_scaling: bool,
    /// Explicit congestion notification.
    pub ecn: Ecn,
    /// Nagle's algorithm, on every connection.
    pub nagle: bool,
    /// Idle time, interval and number of probes of keep-alive; `keep-alive on` starts it.
    pub keep_alive: Option<(Duration, Duration, u8)>,
    /// How long data may stay unacknowledged.
    pub user_timeout: Option<Duration>,
    /// Retransmissions of a SYN.
    pub syn_retries: Option<u8>,
    /// Retransmissions of a SYN-ACK.
    pub syn_ack_retries: Option<u8>,
    /// Retransmissions of data.
    pub retries: Option<u8>,
    /// How many half-open connections a listener keeps.
    pub syn_queue: Option<u32>,
    /// The limit of challenge ACKs in a second.
    pub challenge_acks: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            v6: false,
            mtu: 1500,
            receive_buffer: None,
            send_buffer: None,
            not_sent_low_water: None,
            congestion: Congestion::Cubic,
            pacing: None,
            timestamps: true,
            sack: true,
            window_scaling: true,
            ecn: Ecn::Asked,
            nagle: false,
            keep_alive: None,
            user_timeout: None,
            syn_retries: None,
            syn_ack_retries: None,
            retries: None,
            syn_queue: None,
            challenge_acks: None,
        }
    }
}

/// The size of a buffer, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// What it begins with, if it is to grow; else the stack decides what it does below `most`.
    pub initial: Option<u32>,
    /// The most that it becomes.
    pub most: u32,
}

/// Congestion control that both stacks have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// RFC 9438.
    Cubic,
    /// RFC 5681.
    Reno,
}

/// When ECN is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// Never.
    Off,
    /// When the peer asks.
    Asked,
    /// Our side asks, too.
    On,
}

/// A statement and where it stands.
#[derive(Clone, Debug)]
pub struct Step {
    /// From 1.
    pub line: usize,
    /// As it stands there.
    pub text: String,
    /// What it means.
    pub action: Action,
}

/// What a statement does.
#[derive(Clone, Debug)]
pub enum Action {
    /// `in`: the peer sends.
    Inject {
        /// What.
        segment: Inject,
        /// So many of it, one right after the other.
        copies: u32,
    },
    /// `icmp`: a router or the peer's host reports an error.
    Icmp(Icmp),
    /// `out`: the tested side sends this, next.
    Out {
        /// What it looks like: one of these.
        expected: Vec<Expected>,
        /// When, after the statement before.
        when: When,
        /// `out?`: or it does not.
        optional: bool,
        /// So many of it at least and at most, one right after the other.
        copies: (u32, u32),
    },
    /// `quiet`: the tested side sends nothing for so long.
    Quiet(Duration),
    /// `skip`: for so long it may send what it wants.
    Skip(Duration),
    /// `peer`: another port of the peer speaks from here on.
    Peer(u16),
    /// `new-iss`: the next SYN of the tested side begins a new connection. Its number is so far
    /// beyond the old one at least and at most, if that is told.
    NewIss(Option<(i64, i64)>),
    /// The application of the tested side acts.
    Call(Call),
    /// The application of the tested side observes.
    Check {
        /// What.
        check: Check,
        /// When, after the statement before.
        when: When,
    },
}

impl Action {
    fn duration(&self) -> Duration {
        match self {
            Self::Out { when, .. } | Self::Check { when, .. } => match when {
                When::AtOnce => Duration::ZERO,
                When::After(time) => *time,
                When::Between(_, latest) => *latest,
            },
            Self::Quiet(time) | Self::Skip(time) => *time,
            _ => Duration::ZERO,
        }
    }
}

/// When something is to happen, counted from the statement before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Without time passing.
    AtOnce,
    /// After this time, within the tolerance of the stack.
    After(Duration),
    /// Not before the one, not after the other.
    Between(Duration, Duration),
}

/// What the application does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Listens at the port of the tested side.
    Listen,
    /// Connects to the peer.
    Connect,
    /// Takes the next connection that was accepted; the statements that follow are about it.
    Accept,
    /// Writes so many octets, of which so many are taken.
    Write {
        /// Octets offered.
        octets: u32,
        /// Octets that must be taken.
        taken: u32,
    },
    /// Writes so many octets, the last of which ends the urgent data; all are taken.
    WriteUrgent(u32),
    /// Reads so many octets, which are there.
    Read(u32),
    /// Reads whatever comes from here on.
    ReadAlways,
    /// Closes the direction towards the peer.
    Shutdown,
    /// Closes both.
    Close,
    /// Ends the connection by a reset.
    Abort,
    /// Nagle's algorithm.
    Nagle(bool),
    /// Cork.
    Cork(bool),
    /// Keep-alive.
    KeepAlive(bool),
    /// How long a close that follows may take.
    Linger(Option<Duration>),
}

/// What the application observes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// `connect` succeeded.
    Connected,
    /// The connection failed.
    Error(Failure),
    /// The connection did not fail.
    NoError,
    /// So many octets can be read.
    Readable(u32),
    /// The peer's urgent data ends after so many octets that are not read; none is left if 0.
    Urgent(u32),
    /// Everything was read and the peer will send no more.
    Eof,
    /// The state of the connection to the peer's current port.
    State(State),
    /// No connection waits to be accepted.
    NothingToAccept,
    /// There is room to write, or not.
    Writable(bool),
    /// The network's last report that did not end the connection, if there is one.
    SoftError(Option<IcmpKind>),
    /// A figure of the connection lies between these.
    Info(Figure, u64, u64),
}

/// What a snapshot of a connection tells: `TCP_INFO`. Octets, unless it is said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Smoothed round-trip time, in microseconds.
    Srtt,
    /// Its mean deviation, in microseconds.
    RttVar,
    /// The shortest round trip, in microseconds.
    MinRtt,
    /// Retransmission timeout, in microseconds.
    Rto,
    /// How often that was doubled.
    BackOff,
    /// Congestion window.
    Cwnd,
    /// Slow start threshold; [`NO_THRESHOLD`] before the first loss.
    Ssthresh,
    /// Payload of a full segment.
    Mss,
    /// Sent and not acknowledged.
    InFlight,
    /// Of that, what the peer holds out of order.
    Sacked,
    /// Of that, what is taken to be lost.
    Lost,
    /// Queued and never sent.
    Unsent,
    /// Segments sent again.
    Resent,
    /// Octets of the stream that were acknowledged.
    Acknowledged,
    /// Octets of the peer's stream that arrived in order.
    Received,
}

/// The slow start threshold when there is none.
pub const NO_THRESHOLD: u64 = u64::MAX;

impl Figure {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 15] = [
        ("srtt", Self::Srtt),
        ("rttvar", Self::RttVar),
        ("min-rtt", Self::MinRtt),
        ("rto", Self::Rto),
        ("back-off", Self::BackOff),
        ("cwnd", Self::Cwnd),
        ("ssthresh", Self::Ssthresh),
        ("mss", Self::Mss),
        ("in-flight", Self::InFlight),
        ("sacked", Self::Sacked),
        ("lost", Self::Lost),
        ("unsent", Self::Unsent),
        ("resent", Self::Resent),
        ("acknowledged", Self::Acknowledged),
        ("received", Self::Received),
    ];

    /// True when it is a time.
    pub fn is_time(self) -> bool {
        matches!(self, Self::Srtt | Self::RttVar | Self::MinRtt | Self::Rto)
    }

    /// Whether it lies between these; else what it is.
    ///
    /// # Errors
    /// What it is instead.
    pub fn compare(self, value: u64, least: u64, most: u64) -> Result<(), String> {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        let name = Self::ALL.iter().find(|(_, one)| *one == self);
        let name = name.map_or("", |(name, _)| name);
        Err(match value {
            NO_THRESHOLD => format!("{name} is none"),
            micros if self.is_time() => format!("{name} is {:?}", Duration::from_micros(micros)),
            value => format!("{name} is {value}"),
        })
    }
}

/// Why a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The peer reset it.
    Reset,
    /// The peer does not want it.
    Refused,
    /// The peer does not answer.
    TimedOut,
    /// The network says that the peer cannot be reached.
    Unreachable,
}

/// A number of the sequence space, as scripts write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// Octets after an initial sequence number.
    Relative(i64),
    /// As on the wire: `=0`.
    Absolute(u32),
}

/// What a segment of the peer acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// What is in front of this number, after the tested side's ISS.
    Number(Number),
    /// All that was sent until then but so many octets.
    AllBut(u32),
}

/// A segment that the peer sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inject {
    /// Control bits.
    pub flags: u8,
    /// Sequence number, after the peer's ISN.
    pub seq: Number,
    /// Acknowledgment number.
    pub ack: Acknowledged,
    /// Octets of payload.
    pub len: u32,
    /// Window field.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// ECN bits of the IP header.
    pub ecn: u8,
    /// The options, in order.
    pub options: Vec<InjectOption>,
    /// No timestamps, although they were agreed on.
    pub no_timestamps: bool,
    /// The checksum is wrong.
    pub bad_checksum: bool,
}

/// An option of a segment that the peer sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InjectOption {
    /// Maximum segment size.
    Mss(u16),
    /// Window scale.
    WindowScale(u8),
    /// SACK permitted.
    SackPermitted,
    /// SACK blocks, after the tested side's ISS.
    Sack(Vec<(Number, Number)>),
    /// Timestamps: the peer's clock in ms, now if it is not told, and the echo, the latest that
    /// was seen if it is not told.
    Timestamps(Option<i64>, Option<Number>),
    /// No-operation.
    Nop,
    /// Octets as they are.
    Raw(Vec<u8>),
}

/// A segment that the tested side is expected to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Control bits but PSH.
    pub flags: u8,
    /// Whether PSH is set, if that matters.
    pub push: Option<bool>,
    /// Sequence number, after the tested side's ISS; free if `None`.
    pub seq: Option<Number>,
    /// Acknowledgment number, after the peer's ISN; free if `None`.
    pub ack: Option<Number>,
    /// Octets of payload, at least and at most.
    pub len: (u32, u32),
    /// Window field, at least and at most.
    pub window: (u16, u16),
    /// Urgent pointer, with URG.
    pub urgent: u16,
    /// ECN bits of the IP header.
    pub ecn: u8,
    /// Maximum segment size.
    pub mss: Wanted<u16>,
    /// Window scale.
    pub window_scale: Wanted<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// SACK blocks, after the peer's ISN; the order counts.
    pub sack: Wanted<Vec<(Number, Number)>>,
    /// The echo of the timestamps option, in ms of the peer's clock; `None` leaves it to what was
    /// agreed on whether there is an option.
    pub timestamps: Option<Wanted<i64>>,
}

/// What an option is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted<T> {
    /// Not there.
    Absent,
    /// There, with whatever value.
    Any,
    /// There, with this value.
    Value(T),
}

/// An ICMP error about a segment that the tested side sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// What it says.
    pub kind: IcmpKind,
    /// Sequence number of the quoted segment, after the ISS; that of the last one sent if `None`.
    pub seq: Option<Number>,
}

/// Kinds of ICMP errors, for both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpKind {
    /// The network, or the way to it, is not there (code 0).
    NetUnreachable,
    /// The host cannot be reached (IPv4 code 1, IPv6 code 3).
    HostUnreachable,
    /// The host has no TCP (IPv4 code 2; IPv6: parameter problem, unknown next header).
    ProtocolUnreachable,
    /// Nobody at the port (IPv4 code 3, IPv6 code 4).
    PortUnreachable,
    /// A filter (IPv4 code 13, IPv6 code 1).
    Prohibited,
    /// Too big for a link of this MTU.
    TooBig(u32),
    /// The hop limit was used up.
    TimeExceeded,
    /// Source quench (IPv4 only).
    SourceQuench,
}
