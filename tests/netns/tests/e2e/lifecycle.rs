//! Starting, stopping, being killed.

use crate::lab;
use byway_lab::LabGuard;
use byway_test_netns::{Serve, connect, has_xdp, run, tcp_endpoints};
use rustix::process::Signal;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Opens a connection to each address and exchanges some bytes on it.
fn open(lab: &LabGuard) -> [TcpStream; 2] {
    tcp_endpoints(7).map(|endpoint| {
        let mut stream = connect(lab, endpoint).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        stream
    })
}

#[test]
fn signals_close_open_connections_gracefully() {
    let Some(lab) = lab("signals_close_open_connections_gracefully") else {
        return;
    };
    for signal in [Signal::INT, Signal::TERM] {
        let serve = Serve::start(lab.server(), &["echo"]);
        assert!(has_xdp(&lab));
        let mut streams = open(&lab);
        serve.signal(signal);
        for stream in &mut streams {
            assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "a FIN, not a reset");
        }
        let start = Instant::now();
        drop(streams);
        let finished = serve.finish();
        assert_eq!(finished.code, Some(0), "{signal:?}: {finished:?}");
        // The peers closed as well: there is nothing left to wait for.
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
        assert!(!has_xdp(&lab));
    }
}

#[test]
fn a_peer_that_does_not_close_is_not_waited_for_for_ever() {
    let Some(lab) = lab("a_peer_that_does_not_close_is_not_waited_for_for_ever") else {
        return;
    };
    let serve = Serve::start(lab.server(), &["echo", "--linger", "500ms"]);
    let mut streams = open(&lab);
    let start = Instant::now();
    let finished = serve.stop();
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}: {finished:?}",
        start.elapsed()
    );
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "the FIN came first");
        // Then came the reset, so there is nobody to write to.
        let error = stream.write_all(b"x").and_then(|()| {
            std::thread::sleep(Duration::from_millis(100));
            stream.write_all(b"x")
        });
        assert!(error.is_err(), "the connection is still there");
    }
}

#[test]
fn what_was_sent_before_the_signal_comes_back_before_the_close() {
    let test = "what_was_sent_before_the_signal_comes_back_before_the_close";
    let Some(lab) = lab(test) else { return };
    let serve = Serve::start(lab.server(), &["echo"]);
    let [mut stream, _other] = open(&lab);
    let question = vec![42; 50_000];
    stream.write_all(&question).unwrap();
    // The first bytes of the answer: the server has begun to take the question.
    let mut answer = vec![0; 50_000];
    stream.read_exact(&mut answer[..1]).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    serve.signal(Signal::TERM);
    stream.read_exact(&mut answer[1..]).unwrap();
    assert!(question == answer);
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    drop(stream);
    assert_eq!(serve.finish().code, Some(0));
}

#[test]
fn a_kill_leaves_the_interface_as_it_was() {
    let Some(lab) = lab("a_kill_leaves_the_interface_as_it_was") else {
        return;
    };
    let [kernel, _] = tcp_endpoints(8080);
    let listener = lab
        .server()
        .run(|| TcpListener::bind(kernel))
        .unwrap()
        .unwrap();
    let serve = Serve::start(lab.server(), &["echo"]);
    let _streams = open(&lab);
    serve.signal(Signal::KILL);
    assert_eq!(serve.finish().code, None, "killed");
    assert!(!has_xdp(&lab), "an XDP program is left");
    connect(&lab, kernel).unwrap();
    listener.accept().unwrap();
    for endpoint in tcp_endpoints(7) {
        assert_eq!(
            connect(&lab, endpoint).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    }
    // And the next one starts at once.
    let again = Serve::start(lab.server(), &["echo"]);
    open(&lab);
    again.stop();
}

#[test]
fn the_second_on_an_interface_is_told_who_has_it() {
    let Some(lab) = lab("the_second_on_an_interface_is_told_who_has_it") else {
        return;
    };
    let mut first = Serve::start(lab.server(), &["echo"]);
    let second = run(Serve::command(lab.server(), &["http"]));
    assert_eq!(second.code, Some(3), "{second:?}");
    assert_eq!(second.stdout, "");
    let errors = second.lines_with("error: ");
    assert_eq!(
        (errors.len(), second.lines_with("hint: ").len()),
        (1, 1),
        "{second:?}"
    );
    let pid = first.pid().to_string();
    let words = |line: &str| {
        line.split(|c: char| !c.is_ascii_digit())
            .any(|word| word == pid)
    };
    assert!(
        second.stderr.lines().any(words),
        "{} is not named: {second:?}",
        first.pid()
    );
    assert!(first.is_running());
    open(&lab);
    first.stop();
}
