//! The TCP of one connection of the lean generator: a client with one request outstanding.
//!
//! It is a TCP, only a small one: a request is one segment, so that what is outstanding is always
//! one thing (a SYN, a request or a FIN), sent again as a whole when its timer expires. There is no
//! congestion window to keep, since nothing smaller than one segment could be sent. What arrives out
//! of order is left to the peer to send again.

use super::super::recorder::Recorder;
use crate::pattern;
use crate::segment::{Fields, Flags, Received, Template};
use byway_wire::SeqNumber;

/// The first wait before something is sent again: that of Linux and of Byway.
const FIRST_TIMEOUT: u64 = 200_000_000;
/// Times that something is sent again before the connection is given up.
const RETRIES: u8 = 7;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not opened yet, or over.
    Closed,
    SynSent,
    Established,
    /// Our FIN is sent.
    Closing,
    /// Reset, given up, or closed by the server before its time.
    Failed,
}

/// What a segment, or a timer, led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Nothing,
    /// The handshake is over.
    Opened,
    /// The whole response is here.
    Answered,
    /// Both FINs are acknowledged.
    Closed,
    /// The server reset or refused the connection, or closed it first.
    ByServer,
    /// Other octets than the request's.
    Mismatch,
    /// No sign of the server for as long as all retries take.
    GivenUp,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// What is outstanding, for the first time or once more.
    pub(super) segment: bool,
    /// An acknowledgment; goes with the segment if there is one.
    pub(super) ack: bool,
    /// A reset; nothing else goes with it.
    pub(super) reset: bool,
}

impl Due {
    /// True when anything is.
    #[inline]
    pub(super) fn any(self) -> bool {
        self.segment || self.ack || self.reset
    }
}

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) state: State,
    retries: u8,
    /// The next request waits for room in the server's window or for an acknowledgment.
    waiting: bool,
    /// The server's FIN arrived.
    ended: bool,
    /// The handshake was completed.
    pub(super) opened: bool,
    pub(super) due: Due,
    /// The server's window, in octets.
    window: u16,
    /// The largest segment that the server takes.
    mss: u16,
    /// The first number that is not acknowledged, and the next one to send.
    una: SeqNumber,
    nxt: SeqNumber,
    rcv_nxt: SeqNumber,
    received: u32,
    /// When what is outstanding is sent again; `u64::MAX` when nothing is.
    timeout: u64,
    /// When the request that is outstanding, or the connection, was made.
    pub(super) sent_at: u64,
    /// From when the latency of that request counts.
    pub(super) from: u64,
    number: u64,
    tag: u64,
    template: Template,
}

impl Connection {
    /// A connection to be.
    pub(super) fn new(template: Template) -> Self {
        Self {
            state: State::Closed,
            retries: 0,
            waiting: false,
            ended: false,
            opened: false,
            due: Due::default(),
            window: 0,
            mss: 0,
            una: SeqNumber::new(0),
            nxt: SeqNumber::new(0),
            rcv_nxt: SeqNumber::new(0),
            received: 0,
            timeout: u64::MAX,
            sent_at: 0,
            from: 0,
            number: 0,
            tag: 0,
            template,
        }
    }

    /// A connection whose handshake begins now, with this initial sequence number.
    pub(super) fn open(template: Template, isn: SeqNumber, now: u64) -> Self {
        let mut connection = Self::new(template);
        connection.state = State::SynSent;
        connection.una = isn;
        (connection.from, connection.sent_at) = (now, now);
        connection.send(isn + 1, now);
        connection
    }

    /// True when a segment shows that the server takes this connection for another, an old one
    /// (RFC 9293 §3.5.1): it is to be reset.
    pub(super) fn refutes(&self, segment: &Received<'_>) -> bool {
        segment.flags.has(Flags::ACK) && !segment.flags.has(Flags::RST) && segment.ack != self.nxt
    }

    /// Makes the next request, of `size` octets, sent now if the server can take it. `index` tells
    /// apart the patterns of connections.
    #[inline]
    pub(super) fn request(&mut self, index: u64, size: u32, now: u64) {
        self.number += 1;
        self.tag = pattern::tag(index, self.number);
        self.received = 0;
        self.waiting = true;
        self.try_request(size, now);
    }

    #[inline]
    fn try_request(&mut self, size: u32, now: u64) {
        if self.una == self.nxt && u32::from(self.window) >= size {
            self.waiting = false;
            self.send(self.nxt + size, now);
        } else if self.timeout == u64::MAX {
            // A window that opened again may have been told by a segment that was lost.
            self.timeout = now + FIRST_TIMEOUT;
        }
    }

    /// Closes our direction.
    pub(super) fn close(&mut self, now: u64) {
        if self.due.segment && self.retries == 0 {
            // A request that has not left yet never does.
            self.nxt = self.una;
        }
        // One that has is given up: nobody waits for its answer.
        self.state = State::Closing;
        self.waiting = false;
        self.send(self.nxt + 1, now);
    }

    /// Everything up to `nxt` is to be sent.
    #[inline]
    fn send(&mut self, nxt: SeqNumber, now: u64) {
        self.nxt = nxt;
        self.due.segment = true;
        self.retries = 0;
        self.timeout = now + FIRST_TIMEOUT;
    }

    /// True when something is overdue at `now`.
    #[inline]
    pub(super) fn is_overdue(&self, now: u64) -> bool {
        now >= self.timeout
    }

    /// The timer expired: sends what is outstanding once more, or gives up.
    pub(super) fn expire(&mut self, now: u64) -> Event {
        if self.retries == RETRIES {
            self.abort();
            return Event::GivenUp;
        }
        self.retries += 1;
        self.timeout = now + (FIRST_TIMEOUT << self.retries);
        self.due.segment = true;
        Event::Nothing
    }

    /// The server reset the connection: nothing is sent any more.
    fn fail(&mut self) {
        self.state = State::Failed;
        self.timeout = u64::MAX;
        self.waiting = false;
        self.due = Due::default();
    }

    /// We reset it.
    pub(super) fn abort(&mut self) {
        self.fail();
        self.due.reset = true;
    }

    /// Takes a segment of this connection. `size` is that of a response.
    #[inline]
    pub(super) fn receive(&mut self, segment: &Received<'_>, size: u32, now: u64) -> Event {
        match self.state {
            State::Closed | State::Failed => Event::Nothing,
            State::SynSent => self.receive_answer(segment),
            State::Established | State::Closing => self.receive_later(segment, size, now),
        }
    }

    /// In SYN-SENT (RFC 9293 §3.10.7.3). Opens to two SYNs that cross are not for a client.
    fn receive_answer(&mut self, segment: &Received<'_>) -> Event {
        let acceptable = segment.flags.has(Flags::ACK) && segment.ack == self.nxt;
        if segment.flags.has(Flags::RST) {
            if acceptable {
                self.fail();
                return Event::ByServer;
            }
            return Event::Nothing;
        }
        if !acceptable || !segment.flags.has(Flags::SYN) {
            return Event::Nothing;
        }
        self.state = State::Established;
        self.opened = true;
        self.una = segment.ack;
        self.timeout = u64::MAX;
        self.rcv_nxt = segment.seq + 1;
        self.window = segment.window;
        self.mss = segment.mss;
        self.due = Due {
            ack: true,
            ..Due::default()
        };
        Event::Opened
    }

    /// In the states after the handshake (RFC 9293 §3.10.7.4).
    #[inline]
    fn receive_later(&mut self, segment: &Received<'_>, size: u32, now: u64) -> Event {
        let old = self.rcv_nxt.offset_from(segment.seq);
        let in_order = segment.seq == self.rcv_nxt;
        if segment.flags.has(Flags::RST) {
            if in_order {
                self.fail();
                return Event::ByServer;
            }
            self.due.ack = true;
            return Event::Nothing;
        }
        if segment.flags.has(Flags::SYN) || !segment.flags.has(Flags::ACK) {
            self.due.ack = true;
            return Event::Nothing;
        }
        if segment.ack.after(self.nxt) {
            self.due.ack = true;
            return Event::Nothing;
        }
        if segment.ack.at_or_after(self.una) {
            self.window = segment.window;
            if segment.ack == self.nxt {
                (self.una, self.timeout, self.retries) = (self.nxt, u64::MAX, 0);
            }
        }
        if self.waiting {
            self.try_request(size, now);
        }
        if segment.length() > 0 {
            self.due.ack = true;
            // What begins before the next octet may still reach beyond it.
            let skip = if in_order { 0 } else { old };
            if skip > segment.payload.len() as u32 {
                return Event::Nothing;
            }
            let event = self.take(&segment.payload[skip as usize..], size);
            if event != Event::Nothing && event != Event::Answered {
                return event;
            }
            if segment.flags.has(Flags::FIN) && !self.ended {
                return self.take_fin();
            }
            if event == Event::Answered {
                return event;
            }
        }
        self.closed()
    }

    /// Takes octets that are next in order.
    #[inline]
    fn take(&mut self, data: &[u8], size: u32) -> Event {
        self.rcv_nxt += data.len() as u32;
        if self.state != State::Established || data.is_empty() {
            return Event::Nothing;
        }
        let taken = self.received;
        if self.waiting
            || data.len() as u32 > size - taken
            || !pattern::matches(data, taken as usize, self.tag)
        {
            self.abort();
            return Event::Mismatch;
        }
        self.received += data.len() as u32;
        if self.received == size {
            Event::Answered
        } else {
            Event::Nothing
        }
    }

    fn take_fin(&mut self) -> Event {
        self.rcv_nxt += 1;
        self.ended = true;
        if self.state == State::Established {
            self.abort();
            return Event::ByServer;
        }
        self.closed()
    }

    /// Whether both directions are over.
    #[inline]
    fn closed(&mut self) -> Event {
        if self.state == State::Closing && self.ended && self.una == self.nxt {
            self.state = State::Closed;
            return Event::Closed;
        }
        Event::Nothing
    }

    /// The acknowledgment of the server's FIN, if that is due and all is over.
    #[inline]
    pub(super) fn take_last(&mut self) -> Option<Fields> {
        if self.state != State::Closed || !self.due.ack {
            return None;
        }
        self.due.ack = false;
        let (seq, ack) = (self.nxt, self.rcv_nxt);
        Some(Fields {
            seq,
            ack,
            flags: Flags::ACK,
        })
    }

    /// Writes what is due and returns its length; `None` when nothing is. `scratch` has the size
    /// of a request.
    #[inline]
    pub(super) fn write(&mut self, frame: &mut [u8], scratch: &mut [u8]) -> Option<usize> {
        let due = std::mem::take(&mut self.due);
        let fields = |seq, flags| Fields {
            seq,
            ack: self.rcv_nxt,
            flags,
        };
        if due.reset {
            let flags = Flags::RST.and(Flags::ACK);
            return Some(self.template.write(frame, &fields(self.nxt, flags), &[]));
        }
        if !due.segment {
            return due.ack.then(|| {
                self.template
                    .write(frame, &fields(self.nxt, Flags::ACK), &[])
            });
        }
        let (fields, payload): (Fields, &[u8]) = match self.state {
            State::SynSent => {
                let fields = Fields {
                    seq: self.una,
                    ack: SeqNumber::new(0),
                    flags: Flags::SYN,
                };
                (fields, &[])
            }
            State::Established if self.waiting => {
                // A probe of the window: a number that the server has seen asks for an answer.
                let seen = self.una - 1;
                (fields(seen, Flags::ACK), &[])
            }
            State::Established => {
                pattern::fill(scratch, self.tag);
                (fields(self.una, Flags::ACK.and(Flags::PSH)), scratch)
            }
            State::Closing => {
                let seq = self.nxt - 1;
                (fields(seq, Flags::ACK.and(Flags::FIN)), &[])
            }
            State::Closed | State::Failed => (fields(self.nxt, Flags::ACK), &[]),
        };
        Some(self.template.write(frame, &fields, payload))
    }

    /// True when the server takes a request of this size in one segment.
    pub(super) fn takes(&self, size: u32) -> bool {
        u32::from(self.mss) >= size
    }

    /// True when its request is open for longer than a run tolerates.
    pub(super) fn is_stalled(&self, now: u64) -> bool {
        self.state == State::Established && Recorder::stalled(self.sent_at, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{End, MSS, parse};

    const SIZE: u32 = 10;
    const ISN: SeqNumber = SeqNumber::new(0xffff_fffe);
    const CLIENT: End = End {
        address: [10, 0, 0, 1],
        port: 5000,
    };
    const SERVER: End = End {
        address: [10, 0, 0, 2],
        port: 7,
    };

    /// A connection, and the segments that a server might send it.
    struct Bed {
        connection: Connection,
        seq: SeqNumber,
        scratch: [u8; SIZE as usize],
    }

    impl Bed {
        fn opening() -> Self {
            let template = Template::new(([2; 6], CLIENT), ([4; 6], SERVER));
            Self {
                connection: Connection::open(template, ISN, 0),
                seq: SeqNumber::new(7000),
                scratch: [0; SIZE as usize],
            }
        }

        fn open(window: u16) -> Self {
            let mut bed = Self::opening();
            assert_eq!(bed.sent(), Some((ISN, Flags::SYN, vec![])));
            let synack = Flags::SYN.and(Flags::ACK);
            let event = bed.gets(bed.seq, ISN + 1, synack, window, &[]);
            assert_eq!(event, Event::Opened);
            bed.seq += 1;
            bed
        }

        /// A segment of the server arrives.
        fn gets(
            &mut self,
            seq: SeqNumber,
            ack: SeqNumber,
            flags: Flags,
            window: u16,
            payload: &[u8],
        ) -> Event {
            let segment = Received {
                from: SERVER,
                to: CLIENT,
                seq,
                ack,
                flags,
                window,
                payload,
                mss: MSS,
            };
            self.connection.receive(&segment, SIZE, 0)
        }

        /// What leaves, its acknowledgment left out.
        fn sent(&mut self) -> Option<(SeqNumber, Flags, Vec<u8>)> {
            let mut frame = [0; 200];
            let len = self.connection.write(&mut frame, &mut self.scratch)?;
            let segment = parse(&frame[..len]).expect("it is whole");
            Some((segment.seq, segment.flags, segment.payload.to_vec()))
        }

        /// The response to the request that is outstanding.
        fn response(&self) -> Vec<u8> {
            let mut response = vec![0; SIZE as usize];
            pattern::fill(&mut response, self.connection.tag);
            response
        }
    }

    const DATA: Flags = Flags::ACK.and(Flags::PSH);
    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_request_carries_the_acknowledgment_of_what_came_before() {
        let mut bed = Bed::open(1000);
        bed.connection.request(1, SIZE, 5);
        let (seq, flags, payload) = bed.sent().unwrap();
        assert_eq!((seq, flags, payload), (ISN + 1, DATA, bed.response()));
        assert_eq!(bed.sent(), None, "there is no other acknowledgment");
        let response = bed.response();
        let acked = ISN + 1 + SIZE;
        // In two pieces, the first one a second time on the way.
        let (first, second) = response.split_at(4);
        assert_eq!(bed.gets(bed.seq, acked, DATA, 1000, first), Event::Nothing);
        assert_eq!(bed.sent(), Some((acked, Flags::ACK, vec![])));
        assert_eq!(
            bed.gets(bed.seq + 4, acked, DATA, 1000, second),
            Event::Answered
        );
        assert_eq!(bed.gets(bed.seq, acked, DATA, 1000, first), Event::Nothing);
        bed.connection.request(1, SIZE, 9);
        assert_eq!(bed.sent().unwrap().0, acked);
        assert!(!bed.connection.is_overdue(199_000_000));
        assert!(bed.connection.is_overdue(SECOND));
    }

    #[test]
    fn a_closed_window_is_respected_and_probed() {
        let mut bed = Bed::open(SIZE as u16 - 1);
        assert_eq!(bed.sent(), Some((ISN + 1, Flags::ACK, vec![])));
        bed.connection.request(1, SIZE, 0);
        assert_eq!(bed.sent(), None);
        assert!(bed.connection.is_overdue(SECOND), "the update may be lost");
        assert_eq!(bed.connection.expire(SECOND), Event::Nothing);
        assert_eq!(
            bed.sent(),
            Some((ISN, Flags::ACK, vec![])),
            "a number it has seen"
        );
        bed.gets(bed.seq, ISN + 1, Flags::ACK, SIZE as u16, &[]);
        assert_eq!(bed.sent(), Some((ISN + 1, DATA, bed.response())));
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_and_given_up_in_the_end() {
        let mut bed = Bed::open(1000);
        bed.connection.request(1, SIZE, 0);
        let request = bed.sent();
        for retry in 0..RETRIES {
            // The server acknowledges what came before, which is nothing new.
            bed.gets(bed.seq, ISN + 1, Flags::ACK, 1000, &[]);
            assert_eq!(bed.connection.expire(SECOND), Event::Nothing, "{retry}");
            assert_eq!(bed.sent(), request);
        }
        assert_eq!(bed.connection.expire(SECOND), Event::GivenUp);
        assert!(bed.sent().unwrap().1.has(Flags::RST));
        assert_eq!(bed.connection.state, State::Failed);
    }

    #[test]
    fn numbers_that_are_wrong_change_nothing() {
        let mut bed = Bed::open(1000);
        bed.connection.request(1, SIZE, 0);
        bed.sent();
        let acked = ISN + 1 + SIZE;
        let response = bed.response();
        for (seq, ack, flags) in [
            (bed.seq + 1, acked, DATA),
            (bed.seq - SIZE, acked, DATA),
            (bed.seq, acked + 1, DATA),
            (bed.seq + 1, acked, Flags::RST),
            (bed.seq, acked, Flags::SYN),
        ] {
            assert_eq!(bed.gets(seq, ack, flags, 1000, &response), Event::Nothing);
            let (seq, flags, payload) = bed.sent().expect("an acknowledgment");
            assert_eq!((seq, flags, payload), (acked, Flags::ACK, vec![]));
        }
        assert_eq!(
            bed.gets(bed.seq, acked, DATA, 1000, &response),
            Event::Answered
        );
        let event = bed.gets(bed.seq + SIZE, acked, Flags::RST, 0, &[]);
        assert_eq!((event, bed.sent()), (Event::ByServer, None));
    }

    #[test]
    fn closing_takes_both_fins_in_any_order() {
        for together in [true, false] {
            let mut bed = Bed::open(1000);
            bed.sent();
            bed.connection.close(0);
            let fin = Flags::FIN.and(Flags::ACK);
            assert_eq!(bed.sent(), Some((ISN + 1, fin, vec![])));
            let acks = if together { ISN + 2 } else { ISN + 1 };
            let event = bed.gets(bed.seq, acks, fin, 1000, &[]);
            if !together {
                assert_eq!(event, Event::Nothing, "CLOSING");
                assert_eq!(
                    bed.gets(bed.seq + 1, ISN + 2, Flags::ACK, 0, &[]),
                    Event::Closed
                );
            } else {
                assert_eq!(event, Event::Closed);
            }
            let last = bed.connection.take_last().expect("its FIN is acknowledged");
            assert_eq!((last.seq, last.ack), (ISN + 2, bed.seq + 1));
        }
    }

    #[test]
    fn a_request_that_never_left_leaves_no_hole_before_the_fin() {
        let mut bed = Bed::open(1000);
        bed.connection.request(1, SIZE, 0);
        bed.connection.close(0);
        assert_eq!(bed.sent().unwrap().0, ISN + 1);
    }

    #[test]
    fn an_answer_to_another_syn_is_refuted() {
        let mut bed = Bed::opening();
        let mut segment = Received {
            from: SERVER,
            to: CLIENT,
            seq: bed.seq,
            ack: ISN,
            flags: Flags::ACK,
            window: 0,
            payload: &[],
            mss: MSS,
        };
        assert!(bed.connection.refutes(&segment));
        assert_eq!(bed.connection.receive(&segment, SIZE, 0), Event::Nothing);
        segment.flags = Flags::RST.and(Flags::ACK);
        assert!(!bed.connection.refutes(&segment));
        assert_eq!(bed.connection.receive(&segment, SIZE, 0), Event::Nothing);
        segment.ack = ISN + 1;
        assert_eq!(bed.connection.receive(&segment, SIZE, 0), Event::ByServer);
    }
}
