//! The kernel on the same interface and address goes on as before.

use crate::lab;
use byway_lab::{CLIENT, Lab, SERVER};
use byway_test_netns::{STEP_LIMIT, Serve, connect, tcp_endpoints};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// A port that the kernel listens on.
const KERNEL_PORT: u16 = 8080;

/// One question and one answer between the two ends.
fn talk(near: &mut TcpStream, far: &mut TcpStream) {
    let mut buffer = [0; 4];
    near.write_all(b"ping").unwrap();
    far.read_exact(&mut buffer).unwrap();
    far.write_all(&buffer).unwrap();
    near.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"ping");
}

fn listen(lab: &Lab, endpoint: SocketAddr) -> TcpListener {
    lab.server()
        .run(|| TcpListener::bind(endpoint))
        .unwrap()
        .unwrap()
}

fn accept(lab: &Lab, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let near = connect(lab, listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    far.set_read_timeout(Some(STEP_LIMIT)).unwrap();
    (near, far)
}

#[test]
fn the_kernels_listeners_and_connections_go_on() {
    let Some(lab) = lab("the_kernels_listeners_and_connections_go_on") else {
        return;
    };
    for endpoint in tcp_endpoints(KERNEL_PORT) {
        let listener = listen(&lab, endpoint);
        let (mut near, mut far) = accept(&lab, &listener);
        let serve = Serve::start(lab.server(), &["echo"]);
        talk(&mut near, &mut far);
        let (mut near_during, mut far_during) = accept(&lab, &listener);
        talk(&mut near_during, &mut far_during);
        serve.stop();
        talk(&mut near, &mut far);
        talk(&mut near_during, &mut far_during);
        let (mut near_after, mut far_after) = accept(&lab, &listener);
        talk(&mut near_after, &mut far_after);
    }
}

#[test]
fn the_server_can_open_connections_of_its_own() {
    let Some(lab) = lab("the_server_can_open_connections_of_its_own") else {
        return;
    };
    let serve = Serve::start(lab.server(), &["echo"]);
    for address in [IpAddr::V4(CLIENT.v4), IpAddr::V6(CLIENT.v6)] {
        let listener = lab
            .client()
            .run(|| TcpListener::bind((address, 0)))
            .unwrap()
            .unwrap();
        let to = listener.local_addr().unwrap();
        let opened = lab
            .server()
            .run(|| TcpStream::connect_timeout(&to, STEP_LIMIT))
            .unwrap();
        let (mut near, (mut far, _)) = (opened.unwrap(), listener.accept().unwrap());
        for stream in [&near, &far] {
            stream.set_read_timeout(Some(STEP_LIMIT)).unwrap();
        }
        talk(&mut near, &mut far);
    }
    serve.stop();
}

#[test]
fn a_port_where_nobody_listens_refuses_at_once() {
    let Some(lab) = lab("a_port_where_nobody_listens_refuses_at_once") else {
        return;
    };
    let serve = Serve::start(lab.server(), &["echo"]);
    for endpoint in tcp_endpoints(9) {
        let start = Instant::now();
        let error = connect(&lab, endpoint).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::ConnectionRefused,
            "{endpoint}: {error}"
        );
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{endpoint}: {:?}",
            start.elapsed()
        );
    }
    serve.stop();
}

#[test]
fn only_the_address_that_was_asked_for_is_taken() {
    let Some(lab) = lab("only_the_address_that_was_asked_for_is_taken") else {
        return;
    };
    let [v4, v6] = tcp_endpoints(7);
    let serve = Serve::start(lab.server(), &["echo", "--listen", &v4.to_string()]);
    connect(&lab, v4).unwrap();
    assert_eq!(
        connect(&lab, v6).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    // The kernel may use the same port on the other address.
    let listener = listen(&lab, v6);
    let (mut near, mut far) = accept(&lab, &listener);
    talk(&mut near, &mut far);
    serve.stop();
}

#[test]
fn datagrams_to_the_same_port_are_the_kernels() {
    let Some(lab) = lab("datagrams_to_the_same_port_are_the_kernels") else {
        return;
    };
    let serve = Serve::start(lab.server(), &["echo"]);
    for (near, far) in [
        (IpAddr::V4(CLIENT.v4), IpAddr::V4(SERVER.v4)),
        (IpAddr::V6(CLIENT.v6), IpAddr::V6(SERVER.v6)),
    ] {
        let there = lab
            .server()
            .run(|| UdpSocket::bind((far, 7)))
            .unwrap()
            .unwrap();
        let here = lab
            .client()
            .run(|| UdpSocket::bind((near, 0)))
            .unwrap()
            .unwrap();
        there.set_read_timeout(Some(STEP_LIMIT)).unwrap();
        // Larger than a frame: the fragments must reach the kernel as well.
        let question = [7; 4000];
        here.send_to(&question, (far, 7)).unwrap();
        let mut buffer = [0; 5000];
        let (len, _) = there.recv_from(&mut buffer).unwrap();
        assert!(buffer[..len] == question, "{far}: {len} bytes");
    }
    serve.stop();
}
