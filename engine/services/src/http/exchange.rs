//! One connection: requests in, responses out, in order.

use super::date::Date;
use super::request::{self, After, MAX_HEAD, Method, Parsed, Request, Target};
use super::response::{Content, Response, Status};
use crate::{Sink, Tally};
use byway::time::Instant;

/// What is read and thrown away after an error, so that a client that is still sending gets to
/// read the answer before a reset destroys it (RFC 9112 §9.6).
const MAX_DRAIN: u64 = 1 << 20;

/// What the connection is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on.
    Stay,
    /// Everything was answered and read: close both directions.
    Close,
    /// Everything was answered: close ours, and wait for the peer to stop sending.
    Shutdown,
    /// The peer does not stop sending.
    Abort,
}

/// Where a connection stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange {
    /// The start of a head that came in pieces. Empty, and without memory, when none did.
    head: Vec<u8>,
    response: Response,
    /// Octets of the last request's content that are still to come.
    skip: u64,
    /// Octets that were thrown away since `Last::Refused`.
    drained: u64,
    last: Last,
}

/// Whether the response under way is the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    No,
    /// As the request, or the end of the requests, asked for.
    Asked,
    /// What follows cannot be understood.
    Refused,
}

/// What all connections share.
pub(super) struct Shared<'a> {
    pub(super) tally: &'a Tally,
    pub(super) date: &'a mut Date,
    pub(super) now: Instant,
}

impl Exchange {
    /// Ready for another connection; keeps its memory.
    pub(super) fn reset(&mut self) {
        self.head.clear();
        self.response.clear();
        (self.skip, self.drained, self.last) = (0, 0, Last::No);
    }

    /// Takes received octets and answers the requests in them; returns how many were taken. What
    /// is left waits until the response before it was sent.
    pub(super) fn on_data(
        &mut self,
        data: &[u8],
        sink: &mut impl Sink,
        shared: &mut Shared<'_>,
    ) -> usize {
        let mut rest = data;
        while !rest.is_empty() {
            if self.last == Last::Refused {
                self.drained += rest.len() as u64;
                rest = &[];
            } else if self.skip > 0 {
                let length = self.skip.min(rest.len() as u64);
                self.skip -= length;
                rest = rest.get(length as usize..).unwrap_or_default();
            } else if self.last == Last::Asked {
                // RFC 9112 §9.6: requests after the one that closes are not answered.
                rest = &[];
            } else if !self.response.is_complete() {
                break;
            } else {
                let (parsed, taken) = self.read_head(rest);
                rest = rest.get(taken..).unwrap_or_default();
                self.answer(parsed, sink, shared);
            }
        }
        let taken = data.len() - rest.len();
        shared.tally.took(taken);
        taken
    }

    /// There is room to send again.
    pub(super) fn on_writable(&mut self, sink: &mut impl Sink, shared: &Shared<'_>) {
        shared.tally.gave(self.response.pump(sink));
    }

    /// There are no more requests.
    pub(super) fn on_peer_closed(&mut self) {
        if self.last == Last::No {
            self.last = Last::Asked;
        }
        self.skip = 0;
    }

    /// What is to be done, after any of the above.
    pub(super) fn verdict(&self) -> Verdict {
        match self.last {
            _ if self.drained > MAX_DRAIN => Verdict::Abort,
            _ if !self.response.is_complete() => Verdict::Stay,
            Last::No => Verdict::Stay,
            // Content that is still on its way would meet a closed connection.
            Last::Asked if self.skip > 0 => Verdict::Stay,
            Last::Asked => Verdict::Close,
            Last::Refused => Verdict::Shutdown,
        }
    }

    /// Looks for a head at the start of `rest`, after what is kept; returns what was found and how
    /// many octets of `rest` it took.
    fn read_head(&mut self, rest: &[u8]) -> (Parsed, usize) {
        let kept = self.head.len();
        if kept == 0 {
            let parsed = request::parse(rest);
            return match parsed {
                Parsed::Complete(_, length) => (parsed, length),
                Parsed::Partial => {
                    self.head.extend_from_slice(rest);
                    (parsed, rest.len())
                }
                Parsed::Malformed | Parsed::TooLarge => (parsed, rest.len()),
            };
        }
        let fits = rest.get(..MAX_HEAD.saturating_sub(kept)).unwrap_or(rest);
        self.head.extend_from_slice(fits);
        // A head ends with a line; to parse at each octet that trickles in would be quadratic.
        if !fits.contains(&b'\n') && self.head.len() < MAX_HEAD {
            return (Parsed::Partial, fits.len());
        }
        let parsed = request::parse(&self.head);
        let taken = match parsed {
            Parsed::Partial => return (parsed, fits.len()),
            Parsed::Complete(_, length) => length.saturating_sub(kept),
            Parsed::Malformed | Parsed::TooLarge => fits.len(),
        };
        self.head.clear();
        (parsed, taken)
    }

    fn answer(&mut self, parsed: Parsed, sink: &mut impl Sink, shared: &mut Shared<'_>) {
        let (status, content, head_only, after) = match parsed {
            Parsed::Partial => return,
            Parsed::Malformed => (Status::BadRequest, Content::Text, false, After::Close),
            Parsed::TooLarge => (Status::FieldsTooLarge, Content::Text, false, After::Close),
            Parsed::Complete(request, _) => {
                self.skip = request.content;
                let (status, content) = outcome(&request);
                (
                    status,
                    content,
                    request.method == Method::Head,
                    request.after,
                )
            }
        };
        self.last = match (parsed, after) {
            (Parsed::Malformed | Parsed::TooLarge, _) => Last::Refused,
            // Content in chunks follows, perhaps.
            (_, After::Close) if status == Status::MethodNotAllowed => Last::Refused,
            (_, After::Close) => Last::Asked,
            _ => Last::No,
        };
        shared.tally.answered();
        let date = shared.date.at(shared.now);
        shared.tally.gave(
            self.response
                .start(status, content, head_only, after, date, sink),
        );
    }
}

fn outcome(request: &Request) -> (Status, Content) {
    match (request.method, request.target) {
        (Method::Other, _) => (Status::MethodNotAllowed, Content::Text),
        (_, Target::Hello) => (Status::Ok, Content::Text),
        (_, Target::Bytes(count)) => (Status::Ok, Content::Bytes(count)),
        (_, Target::Unknown) => (Status::NotFound, Content::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Buffer;

    struct Rig {
        exchange: Exchange,
        tally: Tally,
        date: Date,
        sink: Buffer,
    }

    impl Rig {
        fn new(room: usize) -> Self {
            let (exchange, tally, date) = (Exchange::default(), Tally::default(), Date::new());
            Self {
                exchange,
                tally,
                date,
                sink: Buffer::new(room),
            }
        }

        fn data(&mut self, data: impl AsRef<[u8]>) -> usize {
            let now = Instant::from_nanos(1);
            let mut shared = Shared {
                tally: &self.tally,
                date: &mut self.date,
                now,
            };
            self.exchange
                .on_data(data.as_ref(), &mut self.sink, &mut shared)
        }

        fn writable(&mut self, room: usize) {
            self.sink.room = room;
            let now = Instant::from_nanos(1);
            let shared = Shared {
                tally: &self.tally,
                date: &mut self.date,
                now,
            };
            self.exchange.on_writable(&mut self.sink, &shared);
        }

        fn statuses(&self) -> Vec<String> {
            let text = self.sink.text();
            let lines = text.split("HTTP/1.1 ").skip(1);
            lines.map(|line| line[..3].to_owned()).collect()
        }
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    #[test]
    fn pipelined_requests_are_answered_in_order() {
        let mut rig = Rig::new(10_000);
        let data = [GET, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n", GET, "GET /by"].concat();
        assert_eq!(rig.data(&data), data.len());
        assert_eq!(rig.statuses(), ["200", "404", "200"]);
        let rest = "tes/5 HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(rig.data(rest), rest.len());
        assert!(rig.sink.text().ends_with("\r\n\r\n01234"));
        assert_eq!(rig.exchange.verdict(), Verdict::Stay);
        assert_eq!(rig.tally.requests(), 4);
        assert_eq!(rig.tally.received() as usize, data.len() + rest.len());
        assert_eq!(rig.tally.sent() as usize, rig.sink.bytes.len());
    }

    #[test]
    fn a_head_octet_by_octet() {
        let mut rig = Rig::new(10_000);
        let data = [GET, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", GET].concat();
        for octet in data.as_bytes() {
            assert_eq!(rig.data([*octet]), 1);
        }
        assert_eq!(rig.statuses(), ["200", "200", "200"]);
    }

    #[test]
    fn a_request_waits_for_the_response_before_it() {
        let mut rig = Rig::new(100);
        let big = "GET /bytes/1000 HTTP/1.1\r\nHost: x\r\n\r\n";
        let data = [big, GET].concat();
        assert_eq!(rig.data(&data), big.len());
        assert_eq!(rig.data(GET), 0);
        rig.writable(10_000);
        assert_eq!(rig.data(GET), GET.len());
        assert_eq!(rig.statuses(), ["200", "200"]);
    }

    #[test]
    fn closing_when_asked_after_everything_was_sent() {
        let mut rig = Rig::new(10);
        let data = [
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            GET,
        ]
        .concat();
        assert_eq!(rig.data(&data), data.len());
        assert_eq!(rig.exchange.verdict(), Verdict::Stay);
        rig.writable(10_000);
        assert_eq!(rig.exchange.verdict(), Verdict::Close);
        assert_eq!(rig.statuses(), ["200"]);
        assert!(rig.sink.text().contains("\r\nConnection: close\r\n"));
    }

    #[test]
    fn errors_are_answered_and_what_follows_is_thrown_away_up_to_a_limit() {
        for (bad, status) in [("\0\r\n\r\n", "400"), (&"a".repeat(MAX_HEAD + 1), "431")] {
            let mut rig = Rig::new(10_000);
            assert_eq!(rig.data(bad), bad.len());
            assert_eq!(rig.statuses(), [status]);
            assert_eq!(rig.exchange.verdict(), Verdict::Shutdown);
            let block = vec![b'x'; MAX_DRAIN as usize];
            rig.data(&block[..block.len() - bad.len()]);
            assert_eq!(rig.exchange.verdict(), Verdict::Shutdown);
            rig.data(&block[..bad.len() + 1]);
            assert_eq!(rig.exchange.verdict(), Verdict::Abort);
        }
    }

    #[test]
    fn a_long_head_in_pieces_is_refused_at_the_limit() {
        let mut rig = Rig::new(10_000);
        assert_eq!(rig.data("GET / HTTP/1.1\r\nA: "), 19);
        for _ in 0..MAX_HEAD / 16 {
            rig.data([b'a'; 16]);
        }
        assert_eq!(rig.statuses(), ["431"]);
    }

    #[test]
    fn content_of_a_request_is_skipped() {
        let mut rig = Rig::new(10_000);
        rig.data("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nGET / HTTP/1.1\r\n");
        rig.data([b'x'; 14]);
        rig.data(GET);
        assert_eq!(rig.statuses(), ["405", "200"]);
    }

    #[test]
    fn a_peer_that_closes_gets_its_answer_first() {
        let mut rig = Rig::new(10);
        rig.data(GET);
        rig.exchange.on_peer_closed();
        assert_eq!(rig.exchange.verdict(), Verdict::Stay);
        rig.writable(10_000);
        assert_eq!(rig.exchange.verdict(), Verdict::Close);
    }

    #[test]
    fn a_reset_exchange_is_as_new() {
        let mut rig = Rig::new(10);
        rig.data("GET /bytes/9 HTTP/1.0\r\n\r\nx");
        rig.exchange.reset();
        rig.writable(1000);
        let before = rig.sink.bytes.len();
        assert_eq!(before, 10);
        rig.data(GET);
        assert_eq!(rig.exchange.verdict(), Verdict::Stay);
        assert!(rig.sink.bytes.len() > before);
    }
}
