//! The services over a real TCP, on a wire in memory.

use byway::testing::Pair;
use byway::time::Duration;
use byway::{CloseReason, Context, Service, TcpConfig};
use byway_services::{Chargen, Discard, Echo, Http, Tally};
use std::cell::RefCell;
use std::rc::Rc;

/// What a client does, and what came of it.
#[derive(Default)]
struct Script {
    /// To be sent.
    bytes: Vec<u8>,
    sent: usize,
    /// Half-close once everything is sent.
    then_shut_down: bool,
    /// Close once so many octets have come.
    close_at: Option<usize>,
    /// Leave what comes where it is.
    deaf: bool,
    /// Go on sending after the peer has closed.
    stubborn: bool,
    received: Vec<u8>,
    peer_closed: bool,
    closed: Option<CloseReason>,
}

#[derive(Clone, Default)]
struct Client(Rc<RefCell<Script>>);

impl Client {
    fn sending(bytes: impl Into<Vec<u8>>) -> Self {
        let client = Self::default();
        client.0.borrow_mut().bytes = bytes.into();
        client
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow().received).into_owned()
    }

    fn statuses(&self) -> Vec<String> {
        self.text()
            .split("HTTP/1.1 ")
            .skip(1)
            .map(|line| line[..3].to_owned())
            .collect()
    }

    fn push(&self, conn: &mut Context<'_>) {
        let mut script = self.0.borrow_mut();
        let sent = conn.send(&script.bytes[script.sent..]);
        script.sent += sent;
        if script.then_shut_down && script.sent == script.bytes.len() {
            conn.shutdown();
        }
    }
}

impl Service for Client {
    fn on_start(&mut self, shard: &mut Context<'_>) {
        shard.connect(Pair::SERVER, None, 0).unwrap();
    }

    fn on_open(&mut self, conn: &mut Context<'_>) {
        self.push(conn);
    }

    fn on_writable(&mut self, conn: &mut Context<'_>) {
        self.push(conn);
    }

    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        let mut script = self.0.borrow_mut();
        if script.deaf {
            return 0;
        }
        script.received.extend_from_slice(data);
        if script
            .close_at
            .is_some_and(|at| script.received.len() >= at)
        {
            conn.close();
        }
        data.len()
    }

    fn on_peer_closed(&mut self, conn: &mut Context<'_>) {
        self.0.borrow_mut().peer_closed = true;
        if !self.0.borrow().stubborn {
            conn.shutdown();
        }
    }

    fn on_closed(&mut self, _conn: &mut Context<'_>, reason: CloseReason) {
        self.0.borrow_mut().closed = Some(reason);
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

const LONG: Duration = Duration::from_secs(10);

#[test]
fn echo_returns_every_octet_and_closes_after_the_peer() {
    let client = Client::sending(noise(3_000_000));
    client.0.borrow_mut().then_shut_down = true;
    let tally = Tally::default();
    let mut pair = Pair::new(Echo::new(tally.clone()), client.clone());
    pair.run(LONG);
    let script = client.0.borrow();
    assert!(
        script.received == script.bytes,
        "{} octets came back",
        script.received.len()
    );
    assert_eq!(
        (script.peer_closed, script.closed),
        (true, Some(CloseReason::Finished))
    );
    assert_eq!((tally.received(), tally.sent()), (3_000_000, 3_000_000));
    assert_eq!((tally.connections(), tally.closed()), (1, 1));
    assert_eq!(pair.connections(), (0, 0));
}

#[test]
fn echo_takes_no_more_than_it_can_send() {
    let client = Client::sending(noise(3_000_000));
    client.0.borrow_mut().deaf = true;
    let tally = Tally::default();
    let config = TcpConfig {
        rcv_buf: 65_536,
        snd_buf: 65_536,
        ..TcpConfig::default()
    };
    let mut pair = Pair::with(&config, Echo::new(tally.clone()), client.clone());
    pair.run(LONG);
    // The server's send buffer and the client's receive buffer hold what was echoed.
    assert!(
        tally.received() <= 2 * 65_536,
        "{} octets were taken",
        tally.received()
    );
    assert!(client.0.borrow().sent <= 4 * 65_536);
    assert_eq!(pair.connections(), (1, 1));
}

#[test]
fn discard_takes_everything_and_says_nothing() {
    let client = Client::sending(noise(1_000_000));
    client.0.borrow_mut().then_shut_down = true;
    let tally = Tally::default();
    let mut pair = Pair::new(Discard::new(tally.clone()), client.clone());
    pair.run(LONG);
    assert_eq!((tally.received(), tally.closed()), (1_000_000, 1));
    let script = client.0.borrow();
    assert!(script.received.is_empty());
    assert_eq!(script.closed, Some(CloseReason::Finished));
}

#[test]
fn chargen_goes_on_until_the_peer_closes() {
    let client = Client::default();
    client.0.borrow_mut().close_at = Some(1_000_000);
    let tally = Tally::default();
    let mut pair = Pair::new(Chargen::new(tally.clone()), client.clone());
    pair.run(LONG);
    let text = client.text();
    assert!(text.len() >= 1_000_000);
    assert!(text.starts_with(" !\"#$%&'()*"));
    for (at, line) in text.split("\r\n").take(10_000).enumerate() {
        assert_eq!(line.len(), 72);
        assert_eq!(usize::from(line.as_bytes()[0]), 32 + at % 95);
    }
    assert!(tally.sent() >= text.len() as u64);
    assert_eq!((tally.closed(), pair.connections()), (1, (0, 0)));
}

#[test]
fn http_answers_pipelined_requests_and_closes_when_asked() {
    let get = "GET /bytes/100000 HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20);
    let last = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let client = Client::sending(get + last);
    let tally = Tally::default();
    let mut pair = Pair::new(Http::new(tally.clone()), client.clone());
    pair.run(LONG);
    assert_eq!(client.statuses(), ["200"; 21]);
    assert!(client.0.borrow().received.len() > 2_000_000);
    assert_eq!((tally.requests(), tally.closed()), (21, 1));
    let script = client.0.borrow();
    assert_eq!(
        (script.peer_closed, script.closed),
        (true, Some(CloseReason::Finished))
    );
    assert_eq!(pair.counter("TcpEstabResets"), (0, 0));
}

#[test]
fn http_answers_a_peer_that_closed_its_side() {
    let client = Client::sending("GET /bytes/500000 HTTP/1.1\r\nHost: x\r\n\r\n");
    client.0.borrow_mut().then_shut_down = true;
    let mut pair = Pair::new(Http::default(), client.clone());
    pair.run(LONG);
    let script = client.0.borrow();
    assert!(script.received.len() > 500_000, "{}", script.received.len());
    assert_eq!(script.closed, Some(CloseReason::Finished));
}

#[test]
fn http_explains_before_it_closes_on_nonsense() {
    let client = Client::sending([b"\x16\x03\x01\r\n".to_vec(), noise(200_000)].concat());
    client.0.borrow_mut().then_shut_down = true;
    let mut pair = Pair::new(Http::default(), client.clone());
    pair.run(LONG);
    assert_eq!(client.statuses(), ["400"]);
    let script = client.0.borrow();
    assert_eq!(
        (script.peer_closed, script.closed),
        (true, Some(CloseReason::Finished))
    );
    assert_eq!(pair.counter("TcpOutRsts"), (0, 0));
}

#[test]
fn http_gives_up_on_a_peer_that_does_not_stop() {
    let client = Client::sending([b"\0\r\n".to_vec(), noise(3_000_000)].concat());
    client.0.borrow_mut().stubborn = true;
    let mut pair = Pair::new(Http::default(), client.clone());
    pair.run(LONG);
    assert_eq!(client.0.borrow().closed, Some(CloseReason::Reset));
    assert_eq!(pair.connections(), (0, 0));
}
