//! The clients: many connections in twelve octets each, driven by hand.
//!
//! Nothing of this is in any measured time. A client knows what it sends and what the server has to
//! answer, so that frames of many turns can be made ahead.

use crate::frames::{Answer, Dialect, Fields, Template};
use crate::port::Link;
use byway_wire::frame::{ChecksumState, Packet, parse, verify_tcp_checksum};
use byway_wire::tcp::Flags;

/// Octets of a request and of its response.
pub(crate) const REQUEST: usize = 64;
/// Of so many answers one is verified in full.
const VERIFY_EVERY: u64 = 61;
/// Initial sequence number of every client.
const ISS: u32 = 1_000_000;

/// The client's end of a connection.
#[derive(Clone, Copy, Debug, Default)]
struct Client {
    /// SND.NXT.
    seq: u32,
    /// RCV.NXT, responses that are sure to come included.
    ack: u32,
    /// The last timestamp of the server.
    echo: u32,
}

/// What a client can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first segment.
    Syn,
    /// An acknowledgment.
    Ack,
    /// 64 octets.
    Request,
    /// A full segment.
    Full,
    /// The end.
    Fin,
}

/// What came from the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Segments.
    pub(crate) segments: u64,
    /// Octets of payload.
    pub(crate) payload: u64,
    /// SYN-ACKs.
    pub(crate) opened: u64,
    /// FINs.
    pub(crate) closed: u64,
    /// Segments that are wrong: a bad checksum, a reset, for nobody.
    pub(crate) wrong: u64,
}

/// All clients of a measurement.
#[derive(Debug)]
pub(crate) struct Peer {
    clients: Vec<Client>,
    /// Number of the client in the first place: it decides on address and port.
    first: u32,
    dialect: Dialect,
    templates: [Template; 5],
    /// The clients' timestamp clock.
    stamp: u32,
    seen: Seen,
}

impl Peer {
    /// This many clients, none of which has sent anything yet.
    pub(crate) fn new(clients: usize, dialect: Dialect) -> Self {
        let segment = |flags, len| Template::new(dialect, flags, &vec![0x5a; len]);
        let push = Flags::ACK | Flags::PSH;
        Self {
            clients: vec![
                Client {
                    seq: ISS,
                    ..Client::default()
                };
                clients
            ],
            first: 0,
            dialect,
            templates: [
                segment(Flags::SYN, 0),
                segment(Flags::ACK, 0),
                segment(push, REQUEST),
                segment(Flags::ACK, dialect.full_segment()),
                segment(Flags::FIN | Flags::ACK, 0),
            ],
            stamp: 1,
            seen: Seen::default(),
        }
    }

    /// How many clients there are.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// How the connections were set up.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What came so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen
    }

    /// Time goes by for the timestamps.
    pub(crate) fn tick(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
    }

    /// Other clients take the places of these, at addresses and ports that were not used lately.
    pub(crate) fn renew(&mut self) {
        let count = self.clients.len() as u32;
        self.first = (self.first + count) % (1 << 24);
        self.clients.fill(Client {
            seq: ISS,
            ..Client::default()
        });
    }

    /// The client in this place sends something. Where an answer with payload is sure to come, it
    /// counts as received: the next segment acknowledges it.
    pub(crate) fn send(&mut self, link: &mut impl Link, place: u32, kind: Kind, answer: usize) {
        let template = &self.templates[kind as usize];
        let client = &mut self.clients[place as usize];
        let fields = Fields {
            client: self.first + place,
            seq: client.seq,
            ack: client.ack,
            stamp: self.stamp,
            echo: client.echo,
        };
        template.write(&fields, link.offer(template.len()));
        let len = match kind {
            Kind::Syn | Kind::Fin => 1,
            Kind::Ack => 0,
            Kind::Request => REQUEST,
            Kind::Full => self.dialect.full_segment(),
        };
        client.seq = client.seq.wrapping_add(len as u32);
        client.ack = client.ack.wrapping_add(answer as u32);
    }

    /// Takes what the server sent.
    pub(crate) fn collect(&mut self, link: &mut impl Link) {
        link.collect(|frame| self.take(frame));
    }

    /// As [`collect`](Self::collect); then the client in the first place acknowledges every second
    /// full segment, as RFC 5681 asks. Returns the octets that came.
    pub(crate) fn collect_and_acknowledge(&mut self, link: &mut impl Link) -> u64 {
        let before = self.seen.payload;
        let start = self.clients[0].ack;
        self.collect(link);
        let end = self.clients[0].ack;
        let step = 2 * self.dialect.full_segment() as u32;
        let mut next = start;
        while next != end {
            let left = end.wrapping_sub(next);
            next = next.wrapping_add(left.min(step));
            self.clients[0].ack = next;
            self.send(link, 0, Kind::Ack, 0);
        }
        self.seen.payload - before
    }

    fn take(&mut self, frame: &[u8]) {
        let answer = Answer::read(frame, self.dialect.timestamps);
        self.seen.segments += 1;
        self.seen.payload += u64::from(answer.payload);
        let wrong = answer.flags.contains(Flags::RST)
            || (self.seen.segments.is_multiple_of(VERIFY_EVERY) && !is_right(frame));
        self.seen.wrong += u64::from(wrong);
        let place = answer.client.wrapping_sub(self.first) as usize;
        let Some(client) = self.clients.get_mut(place) else {
            self.seen.wrong += 1;
            return;
        };
        let opens = answer.flags.contains(Flags::SYN);
        self.seen.opened += u64::from(opens);
        self.seen.closed += u64::from(answer.flags.contains(Flags::FIN));
        // What was sure to come is counted already.
        if opens || (answer.end().wrapping_sub(client.ack) as i32) > 0 {
            client.ack = answer.end();
        }
        client.echo = answer.stamp.unwrap_or(0);
    }
}

/// Whether a frame parses and its checksum is right. Without a link there is no Ethernet header to
/// judge: that of a peer that speaks IP is zeros but for the type.
fn is_right(frame: &[u8]) -> bool {
    match parse(frame) {
        Packet::Tcp(segment) => {
            verify_tcp_checksum(frame, &segment, byway_sys::checksum::sum) == ChecksumState::Good
        }
        _ => false,
    }
}
