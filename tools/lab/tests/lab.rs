//! Labs as they come out, with the real `ip`, `ethtool` and kernel. Needs root.

use byway_lab::*;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends a datagram from `from` to `to` and back.
fn ping(lab: &Lab, from: End, to: End) {
    for (near, far) in [
        (IpAddr::V4(from.v4), IpAddr::V4(to.v4)),
        (IpAddr::V6(from.v6), IpAddr::V6(to.v6)),
    ] {
        let bind = move |at: IpAddr| {
            let socket = UdpSocket::bind(SocketAddr::new(at, 0)).unwrap();
            socket.set_read_timeout(Some(TIMEOUT)).unwrap();
            socket
        };
        let there = lab.namespace(to.role).run(|| bind(far)).unwrap();
        let here = lab.namespace(from.role).run(|| bind(near)).unwrap();
        let mut buffer = [0; 16];
        here.send_to(b"ping", there.local_addr().unwrap()).unwrap();
        let (len, peer) = there.recv_from(&mut buffer).unwrap();
        assert_eq!(
            (&buffer[..len], peer),
            (&b"ping"[..], here.local_addr().unwrap())
        );
        there.send_to(b"pong", peer).unwrap();
        let (len, _) = here.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"pong");
    }
}

fn namespaces_named(prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(prefix)).collect()
}

fn links_outside() -> String {
    let output = Command::new("ip")
        .args(["-o", "link", "show"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn both_wires_carry_both_families_and_nothing_is_left() {
    if skip_unless_privileged("both_wires_carry_both_families_and_nothing_is_left") {
        return;
    }
    let outside = links_outside();
    let guard = LabGuard::up("bwta", &Options::default()).unwrap();
    let name = guard.name().to_owned();
    assert_eq!(Lab::status(&name).unwrap().state, State::Up);
    ping(&guard, CLIENT, SERVER);
    ping(&guard, SERVER_BACK, BACKEND);
    assert_eq!(
        links_outside(),
        outside,
        "the machine's own network is untouched"
    );
    drop(guard);
    assert_eq!(namespaces_named(&name), Vec::<String>::new());
    assert_eq!(Lab::status(&name).unwrap().state, State::Absent);
    assert!(!std::path::Path::new(&format!("/run/byway/lab-{name}.json")).exists());
}

#[test]
fn a_wire_comes_and_goes_between_client_and_server() {
    if skip_unless_privileged("a_wire_comes_and_goes_between_client_and_server") {
        return;
    }
    let wired = Options {
        wire: true,
        ..Options::default()
    };
    let guard = LabGuard::up("bwtw", &wired).unwrap();
    let status = Lab::status(guard.name()).unwrap();
    assert_eq!(status.state, State::Up);
    let wire = &status.namespaces[1];
    assert_eq!((wire.role, wire.interfaces.len()), (Role::Wire, 2));
    for (seen, planned) in wire.interfaces.iter().zip([WIRE_CLIENT, WIRE_SERVER]) {
        assert_eq!(
            (seen.name.as_str(), &seen.mac),
            (planned.interface, &planned.mac_text())
        );
        assert_eq!(seen.addresses, [] as [IpAddr; 0]);
    }
    // Nothing forwards here, and the wire's kernel does not either.
    let socket = guard
        .client()
        .run(|| UdpSocket::bind((CLIENT.v4, 0)).unwrap())
        .unwrap();
    socket.send_to(b"lost", (SERVER.v4, 9)).unwrap();
    ping(&guard, SERVER_BACK, BACKEND);
    Lab::up(guard.name(), &Options::default()).unwrap();
    assert!(!guard.wire().exists());
    ping(&guard, CLIENT, SERVER);
    // A namespace of that name that somebody else makes now is left alone.
    let theirs = ["netns", "add", guard.wire().name()];
    assert!(Command::new("ip").args(theirs).status().unwrap().success());
    Lab::up(guard.name(), &Options::default()).unwrap();
    assert!(guard.wire().exists());
    let refused = Lab::up(guard.name(), &wired).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Foreign);
    let theirs = ["netns", "delete", guard.wire().name()];
    assert!(Command::new("ip").args(theirs).status().unwrap().success());
    Lab::up(guard.name(), &wired).unwrap();
    let name = guard.name().to_owned();
    assert!(guard.wire().exists());
    drop(guard);
    assert_eq!(namespaces_named(&name), Vec::<String>::new());
}

#[test]
fn up_twice_changes_nothing_and_down_twice_is_fine() {
    if skip_unless_privileged("up_twice_changes_nothing_and_down_twice_is_fine") {
        return;
    }
    let guard = LabGuard::up("bwtb", &Options::default()).unwrap();
    // A connection that is open across the second `up` must not notice it.
    let listener = guard
        .server()
        .run(|| TcpListener::bind((SERVER.v4, 7)))
        .unwrap()
        .unwrap();
    let mut near = guard
        .client()
        .run(|| TcpStream::connect((SERVER.v4, 7)))
        .unwrap()
        .unwrap();
    let (mut far, _) = listener.accept().unwrap();
    let index = |status: Status| serde_json::to_string(&status.namespaces[0].interfaces).unwrap();
    let before = index(Lab::status(guard.name()).unwrap());
    Lab::up(guard.name(), &Options::default()).unwrap();
    assert_eq!(index(Lab::status(guard.name()).unwrap()), before);
    near.write_all(b"still here").unwrap();
    let mut buffer = [0; 10];
    far.set_read_timeout(Some(TIMEOUT)).unwrap();
    far.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"still here");
    assert_eq!(Lab::down(guard.name()).unwrap().namespaces.len(), 3);
    let again = Lab::down(guard.name()).unwrap();
    assert_eq!((again.namespaces.len(), again.processes.len()), (0, 0));
}

#[test]
fn a_damaged_lab_is_seen_and_repaired() {
    if skip_unless_privileged("a_damaged_lab_is_seen_and_repaired") {
        return;
    }
    let guard = LabGuard::up("bwtc", &Options::default()).unwrap();
    let ip = |args: &str| {
        let status = Command::new("ip").args(args.split(' ')).status().unwrap();
        assert!(status.success(), "ip {args}");
    };
    let (name, client) = (guard.name(), guard.client().name());
    let damages = [
        format!("netns delete {client}"),
        format!("-n {client} link delete eth0"),
        format!("-n {client} addr flush dev eth0"),
        format!("-n {client} link set eth0 down"),
        format!("-n {client} link set eth0 mtu 1400"),
        format!("-n {client} link set eth0 address 02:00:00:00:00:99"),
    ];
    for damage in damages {
        ip(&damage);
        // The kernel takes a namespace apart at leisure; its peer's link goes with it.
        let seen = wait_for(|| Lab::status(name).unwrap().state == State::Partial);
        assert!(seen, "not noticed: {damage}");
        std::thread::sleep(Duration::from_millis(100));
        Lab::up(name, &Options::default()).unwrap();
        ping(&guard, CLIENT, SERVER);
    }
}

#[test]
fn congestion_control_does_not_depend_on_the_machine() {
    if skip_unless_privileged("congestion_control_does_not_depend_on_the_machine") {
        return;
    }
    let guard = LabGuard::up("bwth", &Options::default()).unwrap();
    for address in [IpAddr::V4(SERVER.v4), IpAddr::V6(SERVER.v6)] {
        let listener = guard
            .server()
            .run(|| TcpListener::bind((address, 7)))
            .unwrap()
            .unwrap();
        let _near = guard
            .client()
            .run(|| TcpStream::connect((address, 7)))
            .unwrap()
            .unwrap();
        let _far = listener.accept().unwrap();
        for namespace in [guard.client(), guard.server()] {
            let output = namespace.command("ss").args(["-tinH"]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(
                text.contains(" cubic "),
                "{address} in {}: {text}",
                namespace.name()
            );
        }
    }
}

fn wait_for(mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < TIMEOUT {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn options_reach_the_interfaces() {
    if skip_unless_privileged("options_reach_the_interfaces") {
        return;
    }
    let options = Options {
        queues: 2,
        mtu: 3000,
        server: Offloads::Default,
        ..Options::default()
    };
    let guard = LabGuard::up("bwtd", &options).unwrap();
    let feature = |end: End, name: &str| {
        let namespace = guard.namespace(end.role);
        let output = namespace
            .command("ethtool")
            .args(["-k", end.interface])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .to_owned();
        line.starts_with(": on")
    };
    for name in [
        "tx-checksumming",
        "tcp-segmentation-offload",
        "generic-segmentation-offload",
    ] {
        assert!(!feature(CLIENT, name), "{name} of the client");
        assert!(!feature(BACKEND, name), "{name} of the backend");
        assert!(feature(SERVER, name), "{name} of the server");
    }
    guard.set_offloads(&CLIENT, Offloads::Default).unwrap();
    assert!(feature(CLIENT, "tx-checksumming"));
    let status = Lab::status(guard.name()).unwrap();
    let seen = &status.namespaces[1].interfaces[0];
    assert_eq!((seen.queues, seen.mtu), (2, 3000));
    assert_eq!(status.options, Some(options));
    // Another number of queues means another pair of interfaces.
    Lab::up(
        guard.name(),
        &Options {
            queues: 1,
            ..Options::default()
        },
    )
    .unwrap();
    assert_eq!(
        Lab::status(guard.name()).unwrap().namespaces[0].interfaces[0].queues,
        1
    );
}

#[test]
fn commands_run_inside_under_their_own_pid() {
    if skip_unless_privileged("commands_run_inside_under_their_own_pid") {
        return;
    }
    let guard = LabGuard::up("bwte", &Options::default()).unwrap();
    let output = guard
        .client()
        .command("ls")
        .arg("/sys/class/net")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stdout)
            .unwrap()
            .split_whitespace()
            .count(),
        2
    );
    let mut child = guard.client().command("sleep").arg("60").spawn().unwrap();
    let inside = wait_for(|| guard.client().pids().unwrap().contains(&child.id()));
    assert!(inside, "the child is the program");
    let removed = Lab::down(guard.name()).unwrap();
    assert_eq!(
        removed.processes,
        [child.id()],
        "down tells who was inside and leaves it alone"
    );
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_panic_removes_the_lab_and_passes_through_run() {
    if skip_unless_privileged("a_panic_removes_the_lab_and_passes_through_run") {
        return;
    }
    let name = std::sync::Mutex::new(String::new());
    let panic = std::panic::catch_unwind(|| {
        let guard = LabGuard::up("bwtf", &Options::default()).unwrap();
        guard.name().clone_into(&mut name.lock().unwrap());
        guard
            .client()
            .run(|| std::panic::panic_any(4711_u32))
            .unwrap();
    });
    assert_eq!(panic.unwrap_err().downcast_ref::<u32>(), Some(&4711));
    assert_eq!(
        namespaces_named(&name.lock().unwrap()),
        Vec::<String>::new()
    );
}

#[test]
fn the_lab_of_a_dead_process_goes_with_the_next_guard() {
    if skip_unless_privileged("the_lab_of_a_dead_process_goes_with_the_next_guard") {
        return;
    }
    let name = format!("bwti{:x}", std::process::id());
    Lab::up(&name, &Options::default()).unwrap();
    let stays = LabGuard::up("bwtj", &Options::default()).unwrap();
    assert_eq!(
        Lab::status(&name).unwrap().state,
        State::Up,
        "it has no owner to die"
    );
    // As if the process with pid 1 that started later than it did had made it.
    let journal = format!("/run/byway/lab-{name}.json");
    let text = std::fs::read_to_string(&journal).unwrap();
    let owner = r#""owner": { "pid": 1, "started": 18446744073709551615 }"#;
    std::fs::write(&journal, text.replace(r#""owner": null"#, owner)).unwrap();
    drop(LabGuard::up("bwtk", &Options::default()).unwrap());
    assert_eq!(Lab::status(&name).unwrap().state, State::Absent);
    assert_eq!(Lab::status(stays.name()).unwrap().state, State::Up);
}

#[test]
fn what_others_made_is_left_alone() {
    if skip_unless_privileged("what_others_made_is_left_alone") {
        return;
    }
    let name = format!("bwtg{:x}", std::process::id());
    let theirs = format!("{name}-server");
    let netns = |verb: &str| {
        Command::new("ip")
            .args(["netns", verb, &theirs])
            .status()
            .unwrap()
    };
    assert!(netns("add").success());
    let up = Lab::up(&name, &Options::default()).map(drop).unwrap_err();
    let down = Lab::down(&name).map(drop).unwrap_err();
    let still_there = Namespace::named(&theirs).exists();
    assert!(netns("delete").success());
    assert_eq!(
        (up.kind(), down.kind()),
        (ErrorKind::Foreign, ErrorKind::Foreign)
    );
    assert!(up.hint().contains(&theirs) && still_there);
}
