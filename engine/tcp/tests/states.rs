//! Every state and every event: what comes of it, as a table that is compared with
//! `engine/docs/states.md`, and the diagram in `engine/ARCHITECTURE.md` that follows from it.
//!
//! `BLESS=1 cargo test -p byway-tcp --test states` writes both anew after a change that is meant.

mod common;

use byway_tcp::effects::CloseReason;
use byway_tcp::time::{Duration, Instant};
use byway_tcp::{Config, Connection, State};
use byway_wire::SeqNumber;
use byway_wire::tcp::{Flags, WireWindow};
use common::{End, Packet, flow};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Connect,
    Listen,
    Shutdown,
    Close,
    Abort,
    Syn,
    SynAck,
    Ack,
    AckOfAll,
    Data,
    OldData,
    Fin,
    FinAckOfAll,
    Reset,
    ResetInWindow,
    ResetElsewhere,
    BadAck,
    NoAck,
    Timeout,
    GivenUp,
}

impl Event {
    const ALL: [Self; 20] = [
        Self::Connect,
        Self::Listen,
        Self::Shutdown,
        Self::Close,
        Self::Abort,
        Self::Syn,
        Self::SynAck,
        Self::Ack,
        Self::AckOfAll,
        Self::Data,
        Self::OldData,
        Self::Fin,
        Self::FinAckOfAll,
        Self::Reset,
        Self::ResetInWindow,
        Self::ResetElsewhere,
        Self::BadAck,
        Self::NoAck,
        Self::Timeout,
        Self::GivenUp,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Connect => "call: connect",
            Self::Listen => "call: listen",
            Self::Shutdown => "call: shutdown",
            Self::Close => "call: close",
            Self::Abort => "call: abort",
            Self::Syn => "SYN",
            Self::SynAck => "SYN, ACK of all",
            Self::Ack => "ACK of nothing new",
            Self::AckOfAll => "ACK of all",
            Self::Data => "data, ACK of all",
            Self::OldData => "data that was here",
            Self::Fin => "FIN, ACK of nothing new",
            Self::FinAckOfAll => "FIN, ACK of all",
            Self::Reset => "RST at RCV.NXT",
            Self::ResetInWindow => "RST in the window",
            Self::ResetElsewhere => "RST elsewhere",
            Self::BadAck => "ACK of what was not sent",
            Self::NoAck => "data without ACK",
            Self::Timeout => "timeout",
            Self::GivenUp => "an hour of silence",
        }
    }
}

const PEER_ISS: u32 = 1_000;

/// A connection and what its peer, who is made up, knows of it.
struct Subject {
    end: End,
    now: Instant,
    /// The peer's next sequence number.
    peer_next: SeqNumber,
    /// Oldest sequence number of ours that the peer has not acknowledged, and the next.
    una: SeqNumber,
    next: SeqNumber,
}

impl Subject {
    fn closed() -> Self {
        let config = Config {
            timestamps: false,
            ..Config::default()
        };
        Self {
            end: End::new(config, flow(), 3),
            now: Instant::from_nanos(1_000_000_000),
            peer_next: SeqNumber::new(PEER_ISS),
            una: SeqNumber::new(0),
            next: SeqNumber::new(0),
        }
    }

    /// Brings a connection into `state`, opened by us where there is a choice.
    fn in_state(state: State) -> Self {
        let mut subject = Self::closed();
        let way: &[Event] = match state {
            State::Closed => &[],
            State::Listen => &[Event::Listen],
            State::SynSent => &[Event::Connect],
            State::SynReceived => &[Event::Listen, Event::Syn],
            State::Established => &[Event::Connect, Event::SynAck],
            State::FinWait1 => &[Event::Connect, Event::SynAck, Event::Shutdown],
            State::FinWait2 => &[
                Event::Connect,
                Event::SynAck,
                Event::Shutdown,
                Event::AckOfAll,
            ],
            State::CloseWait => &[Event::Connect, Event::SynAck, Event::FinAckOfAll],
            State::Closing => &[Event::Connect, Event::SynAck, Event::Shutdown, Event::Fin],
            State::LastAck => &[
                Event::Connect,
                Event::SynAck,
                Event::FinAckOfAll,
                Event::Shutdown,
            ],
            State::TimeWait => &[
                Event::Connect,
                Event::SynAck,
                Event::Shutdown,
                Event::FinAckOfAll,
            ],
        };
        for event in way {
            subject.apply(*event).expect("it applies on the way");
        }
        assert_eq!(subject.end.state(), state);
        subject
    }

    fn segment(&self, flags: Flags, ack: SeqNumber, data: &[u8]) -> Packet {
        let mut packet = Packet {
            ecn_capable: false,
            seg: Default::default(),
            data: data.to_vec(),
        };
        packet.seg.seq = self.peer_next;
        packet.seg.ack = ack;
        packet.seg.flags = flags;
        packet.seg.window = WireWindow(60_000);
        packet.seg.payload_len = data.len() as u32;
        packet
    }

    /// What the peer sends for this event; `None` for what is no segment.
    fn arriving(&self, event: Event) -> Option<Packet> {
        let (una, all) = (self.una, self.next);
        let mut packet = match event {
            Event::Syn => self.segment(Flags::SYN, SeqNumber::new(0), &[]),
            Event::SynAck => self.segment(Flags::SYN | Flags::ACK, all, &[]),
            Event::Ack => self.segment(Flags::ACK, una, &[]),
            Event::AckOfAll => self.segment(Flags::ACK, all, &[]),
            Event::Data => self.segment(Flags::ACK | Flags::PSH, all, b"data"),
            Event::OldData => self.segment(Flags::ACK, all, b"data"),
            Event::Fin => self.segment(Flags::FIN | Flags::ACK, una, &[]),
            Event::FinAckOfAll => self.segment(Flags::FIN | Flags::ACK, all, &[]),
            Event::Reset => self.segment(Flags::RST | Flags::ACK, all, &[]),
            Event::ResetInWindow | Event::ResetElsewhere => {
                self.segment(Flags::RST, SeqNumber::new(0), &[])
            }
            Event::BadAck => self.segment(Flags::ACK, all + 10, &[]),
            Event::NoAck => self.segment(Flags::PSH, SeqNumber::new(0), b"data"),
            _ => return None,
        };
        match event {
            Event::OldData => packet.seg.seq = self.peer_next - 4,
            Event::ResetInWindow => packet.seg.seq = self.peer_next + 10,
            Event::ResetElsewhere => packet.seg.seq = self.peer_next - 10,
            _ => {}
        }
        Some(packet)
    }

    /// Lets it happen. Returns what was sent, `None` where the event is none for this state.
    fn apply(&mut self, event: Event) -> Option<Vec<Packet>> {
        let state = self.end.state();
        let open = self.end.conn.is_some();
        let mut out = match event {
            Event::Connect if state == State::Closed => {
                let (flow, now) = (self.end.flow, self.now);
                self.end.conn = Some(Connection::connect(flow, 1460, now, &mut self.end.tcp));
                vec![]
            }
            Event::Listen if state == State::Closed => {
                self.end.listening = true;
                vec![]
            }
            Event::Shutdown if open => {
                self.end.shutdown();
                vec![]
            }
            Event::Close if open => self.end.close(self.now),
            Event::Abort if open => self.end.abort(self.now),
            Event::Timeout | Event::GivenUp => self.pass_time(event)?,
            _ => {
                let packet = self.arriving(event)?;
                let out = self.end.input(&packet, self.now);
                self.follow(event, &packet, state);
                out
            }
        };
        out.extend(self.end.poll(self.now));
        for packet in &out {
            let seg = &packet.seg;
            if seg.flags.contains(Flags::SYN) {
                self.una = seg.seq;
            }
            let end = seg.seq + seg.seq_len();
            if end.after(self.next) || seg.flags.contains(Flags::SYN) {
                self.next = end;
            }
        }
        Some(out)
    }

    /// The peer goes on after what it sent.
    fn follow(&mut self, event: Event, packet: &Packet, before: State) {
        let ignored = before == State::Closed;
        if matches!(
            event,
            Event::Syn | Event::SynAck | Event::Fin | Event::FinAckOfAll
        ) && !ignored
        {
            self.peer_next = packet.seg.seq + packet.seg.seq_len();
        }
        if matches!(event, Event::SynAck | Event::AckOfAll | Event::FinAckOfAll) {
            self.una = self.next;
        }
    }

    /// The next timer, or all of them for an hour.
    fn pass_time(&mut self, event: Event) -> Option<Vec<Packet>> {
        let deadline = self.end.deadline();
        if event == Event::Timeout {
            // A tail probe comes first; the timeout after it.
            self.now = Some(deadline).filter(|at| at.is_armed())?;
            return Some(self.end.on_timeout(self.now));
        }
        let end = self.now + Duration::from_secs(3600);
        let mut out = vec![];
        for _ in 0..100 {
            let next = self.end.deadline();
            if !next.is_armed() || next > end {
                break;
            }
            self.now = self.now.max(next);
            out = self.end.on_timeout(self.now);
            out.extend(self.end.poll(self.now));
        }
        Some(out)
    }
}

fn flags_of(packet: &Packet) -> String {
    let seg = &packet.seg;
    let names = [
        (Flags::SYN, "SYN"),
        (Flags::FIN, "FIN"),
        (Flags::RST, "RST"),
        (Flags::ACK, "ACK"),
    ];
    let set: Vec<&str> = names
        .iter()
        .filter(|(flag, _)| seg.flags.contains(*flag))
        .map(|(_, name)| *name)
        .collect();
    set.join(" ")
}

fn reason(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Finished => "finished",
        CloseReason::Reset => "reset",
        CloseReason::Refused => "refused",
        CloseReason::TimedOut => "timed out",
        CloseReason::Unreachable => "unreachable",
        CloseReason::Aborted => "aborted",
    }
}

/// What came of it: the state after, what left, what the application is told.
fn outcome(state: State, event: Event) -> Option<(State, String)> {
    let mut subject = Subject::in_state(state);
    subject.end.reading = true;
    let told = (subject.end.opened, subject.end.peer_closed);
    let sent = subject.apply(event)?;
    let end = &subject.end;
    let mut text = String::new();
    if end.state() != state {
        let _ = write!(text, "→ {} ", end.state().name());
    }
    if !sent.is_empty() {
        let flags: Vec<String> = sent.iter().map(flags_of).collect();
        let _ = write!(text, "sends {} ", flags.join(", "));
    }
    if end.opened > told.0 {
        text.push_str("opened ");
    }
    if !end.got.is_empty() {
        text.push_str("delivers ");
    }
    if end.peer_closed > told.1 {
        text.push_str("peer closed ");
    }
    if let Some(closed) = end.closed.filter(|_| state != State::TimeWait) {
        let _ = write!(text, "({}) ", reason(closed));
    }
    if text.is_empty() {
        text.push_str("stays");
    }
    Some((end.state(), text.trim_end().to_owned()))
}

fn table() -> String {
    let mut text = String::from(
        "# Every state, every event\n\nWhat the engine does, row by row; a test makes this table and compares. \"All\" is all that \
         was sent, our SYN or\nFIN included. The connection was opened by us, except in LISTEN and SYN-RECEIVED. LISTEN stays \
         where its row says\nSYN-RECEIVED: the listener goes on listening. An empty cell: it cannot happen there.\n",
    );
    for state in State::ALL {
        let _ = write!(
            text,
            "\n## {}\n\n| event | what comes of it |\n|---|---|\n",
            state.name()
        );
        for event in Event::ALL {
            if let Some((_, what)) = outcome(state, event) {
                let _ = writeln!(text, "| {} | {what} |", event.name());
            }
        }
    }
    text
}

/// The transitions as a Mermaid diagram: what leads from one state to another, resets and
/// time-outs to CLOSED left out, because they lead there from everywhere.
fn diagram() -> String {
    let mut edges: BTreeSet<(State, State, Event)> = BTreeSet::new();
    for state in State::ALL {
        for event in Event::ALL {
            let Some((after, _)) = outcome(state, event) else {
                continue;
            };
            let everywhere = matches!(
                event,
                Event::Abort | Event::Reset | Event::GivenUp | Event::Close | Event::Data
            );
            if after != state && !everywhere {
                edges.insert((state, after, event));
            }
        }
    }
    let id = |state: State| state.name().replace('-', "_");
    let mut text = String::from("```mermaid\nstateDiagram-v2\n");
    for state in State::ALL {
        let _ = writeln!(text, "    {}: {}", id(state), state.name());
    }
    for (from, to, event) in edges {
        let label = event.name().replace(':', "");
        let _ = writeln!(text, "    {} --> {}: {label}", id(from), id(to));
    }
    text.push_str("```\n");
    text
}

fn engine() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

#[test]
fn the_table_is_what_the_engine_does() {
    let path = engine().join("docs/states.md");
    let table = table();
    if blessing() {
        std::fs::write(&path, &table).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    for (number, (is, was)) in table.lines().zip(written.lines()).enumerate() {
        assert_eq!(
            is,
            was,
            "docs/states.md:{}: BLESS=1 if it is meant",
            number + 1
        );
    }
    assert_eq!(table.lines().count(), written.lines().count());
}

#[test]
fn the_diagram_follows_from_the_table() {
    const BEGIN: &str = "<!-- states: made by a test -->\n";
    const END: &str = "<!-- end of states -->\n";
    let path = engine().join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let begin = text.find(BEGIN).expect("a place for the diagram") + BEGIN.len();
    let end = text.find(END).expect("an end of that place");
    let diagram = diagram();
    if blessing() {
        let new = format!("{}{diagram}{}", &text[..begin], &text[end..]);
        std::fs::write(&path, new).unwrap();
        return;
    }
    assert_eq!(text[begin..end], diagram, "BLESS=1 if it is meant");
}

/// The edges of RFC 9293, figure 5, each of them, are edges of ours.
#[test]
fn the_edges_of_the_rfc_are_there() {
    use Event::{AckOfAll, Connect, Fin, FinAckOfAll, Listen, Shutdown, Syn, SynAck, Timeout};
    let edges = [
        (State::Closed, Listen, State::Listen),
        (State::Closed, Connect, State::SynSent),
        (State::Listen, Syn, State::SynReceived),
        (State::SynSent, Syn, State::SynReceived),
        (State::SynSent, SynAck, State::Established),
        (State::SynReceived, AckOfAll, State::Established),
        (State::Established, Shutdown, State::FinWait1),
        (State::Established, FinAckOfAll, State::CloseWait),
        (State::FinWait1, AckOfAll, State::FinWait2),
        (State::FinWait1, Fin, State::Closing),
        (State::FinWait1, FinAckOfAll, State::TimeWait),
        (State::FinWait2, FinAckOfAll, State::TimeWait),
        (State::CloseWait, Shutdown, State::LastAck),
        (State::LastAck, AckOfAll, State::Closed),
        (State::Closing, AckOfAll, State::TimeWait),
        (State::TimeWait, Timeout, State::Closed),
    ];
    for (from, event, to) in edges {
        let after = outcome(from, event).map(|(after, _)| after);
        assert_eq!(after, Some(to), "{} by {}", from.name(), event.name());
    }
}
