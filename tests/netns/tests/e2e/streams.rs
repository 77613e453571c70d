//! Streams over the kernel's sockets: interactive, large, half-closed, many.

use crate::{lab, lab_with};
use byway_lab::Options;
use byway_test_netns::{STEP_LIMIT, Serve, connect, echo_pattern, tcp_endpoints};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

#[test]
fn a_half_duplex_stream_never_waits_for_a_timer() {
    let Some(lab) = lab("a_half_duplex_stream_never_waits_for_a_timer") else {
        return;
    };
    let serve = Serve::start(lab.server(), &["echo"]);
    for endpoint in tcp_endpoints(7) {
        let mut stream = connect(&lab, endpoint).unwrap();
        for (size, rounds) in [(1, 300), (64, 300), (1448, 100), (1449, 100), (10_000, 50)] {
            let question = vec![size as u8; size];
            let mut answer = vec![0; size];
            let start = Instant::now();
            for _ in 0..rounds {
                stream.write_all(&question).unwrap();
                stream.read_exact(&mut answer).unwrap();
            }
            assert!(question == answer);
            // A delayed acknowledgment in each round would be 40 ms; the average is far below 10.
            let each = start.elapsed() / rounds;
            assert!(
                each < Duration::from_millis(10),
                "{size} bytes took {each:?} to {endpoint}"
            );
        }
    }
    serve.stop();
}

#[test]
fn a_hundred_mebibytes_come_back_byte_for_byte() {
    let Some(lab) = lab("a_hundred_mebibytes_come_back_byte_for_byte") else {
        return;
    };
    let serve = Serve::start(lab.server(), &["echo"]);
    for (seed, endpoint) in (1..).zip(tcp_endpoints(7)) {
        let stream = connect(&lab, endpoint).unwrap();
        let took = echo_pattern(&stream, 100 << 20, seed);
        eprintln!("100 MiB to {endpoint} and back in {took:?}");
    }
    serve.stop();
}

#[test]
fn many_streams_at_once_keep_their_bytes_apart() {
    let Some(lab) = lab("many_streams_at_once_keep_their_bytes_apart") else {
        return;
    };
    let serve = Serve::start(lab.server(), &["echo"]);
    let lab = &lab;
    std::thread::scope(|scope| {
        for seed in 1..=32 {
            scope.spawn(move || {
                let endpoint = tcp_endpoints(7)[seed as usize % 2];
                echo_pattern(&connect(lab, endpoint).unwrap(), 1 << 20, seed);
            });
        }
    });
    serve.stop();
}

#[test]
fn frames_of_several_queues_reach_their_connections() {
    let options = Options {
        queues: 2,
        ..Options::default()
    };
    let test = "frames_of_several_queues_reach_their_connections";
    let Some(lab) = lab_with(test, &options) else {
        return;
    };
    let serve = Serve::start(lab.server(), &["echo"]);
    for seed in 1..=16 {
        let endpoint = tcp_endpoints(7)[seed as usize % 2];
        echo_pattern(&connect(&lab, endpoint).unwrap(), 1 << 18, seed);
    }
    serve.stop();
}

#[test]
fn a_client_that_has_closed_its_half_still_gets_the_rest() {
    let Some(lab) = lab("a_client_that_has_closed_its_half_still_gets_the_rest") else {
        return;
    };
    let serve = Serve::start(lab.server(), &["echo"]);
    for endpoint in tcp_endpoints(7) {
        let mut stream = connect(&lab, endpoint).unwrap();
        stream.write_all(b"and then nothing").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"and then nothing");
    }
    serve.stop();
}

#[test]
fn a_reader_that_pauses_stops_the_sender_and_loses_nothing() {
    let Some(lab) = lab("a_reader_that_pauses_stops_the_sender_and_loses_nothing") else {
        return;
    };
    let serve = Serve::start(lab.server(), &["chargen"]);
    for endpoint in tcp_endpoints(19) {
        let mut stream = connect(&lab, endpoint).unwrap();
        // Long enough for the window to close and for probes of it.
        std::thread::sleep(Duration::from_secs(1));
        let mut text = vec![0; 16 << 20];
        stream.read_exact(&mut text).unwrap();
        for (number, line) in text.chunks_exact(74).enumerate() {
            let (first, end) = (b' ' + (number % 95) as u8, &line[72..]);
            assert!(
                line[0] == first && end == b"\r\n",
                "line {number} is not in its place"
            );
        }
        // Closed with unread data: a reset to the server, which must survive it.
        drop(stream);
        connect(&lab, endpoint)
            .unwrap()
            .read_exact(&mut [0; 74])
            .unwrap();
    }
    serve.stop();
}

#[test]
fn connections_that_come_and_go_leave_room_for_others() {
    let Some(lab) = lab("connections_that_come_and_go_leave_room_for_others") else {
        return;
    };
    let serve = Serve::start(lab.server(), &["echo", "--set", "max_connections=64"]);
    for round in 0..1000_u32 {
        let endpoint = tcp_endpoints(7)[round as usize % 2];
        let mut stream = connect(&lab, endpoint).unwrap_or_else(|error| panic!("{round}: {error}"));
        stream.write_all(&round.to_be_bytes()).unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, round.to_be_bytes());
    }
    serve.stop();
}

#[test]
fn a_connection_of_an_engine_that_was_replaced_is_reset() {
    let Some(lab) = lab("a_connection_of_an_engine_that_was_replaced_is_reset") else {
        return;
    };
    let first = Serve::start(lab.server(), &["echo"]);
    let mut streams = tcp_endpoints(7).map(|endpoint| connect(&lab, endpoint).unwrap());
    drop(first);
    let second = Serve::start(lab.server(), &["echo"]);
    for stream in &mut streams {
        let start = Instant::now();
        stream.write_all(b"does anybody know me?").unwrap();
        let error = stream.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(
            start.elapsed() < STEP_LIMIT / 2,
            "the reset came after {:?}",
            start.elapsed()
        );
    }
    second.stop();
}
