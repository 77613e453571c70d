//! The engine as the client of the kernel, over veth: `tests/netns` has the other way. Needs root.
#![allow(missing_docs)]

use byway::{CloseReason, Engine, Handle};
use byway_lab::{CLIENT, LabGuard, Options, SERVER};
use byway_tcp::time::Duration as Nanos;
use byway_test_interop::{App, Ends, Outcome, PORT, Reads, Script, Shared, Starts, Talk, converse};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

fn lab(test: &str) -> Option<LabGuard> {
    if byway_lab::skip_unless_privileged(test) {
        return None;
    }
    Some(LabGuard::up("bwio-", &Options::default()).expect("a lab can be made"))
}

fn endpoints() -> [SocketAddr; 2] {
    [IpAddr::V4(SERVER.v4), IpAddr::V6(SERVER.v6)].map(|address| SocketAddr::new(address, PORT))
}

/// An engine in the client's namespace whose service connects and follows its side of the script.
fn start(lab: &LabGuard, to: SocketAddr, app: &Shared) -> Handle {
    let talk = Talk::opens(app.clone(), to.into(), None);
    let made = lab.client().run(|| {
        let engine = Engine::builder().interface(CLIENT.interface).service(talk);
        engine.on_notice(|_| {}).build()?.spawn()
    });
    made.expect("the namespace is there")
        .expect("the engine starts")
}

/// Waits for the end of the connection, and then ends the engine.
fn finish(engine: Handle, app: &Shared) -> Outcome {
    let begin = Instant::now();
    while App::lock(app).outcome().closed.is_none() && begin.elapsed() < LIMIT {
        thread::sleep(PAUSE);
    }
    engine.stop();
    engine.join().expect("the engine ran");
    App::lock(app).outcome().clone()
}

/// Listens in the server's namespace. A process that another test starts has our sockets until it
/// runs its program, and with them the address.
fn listen(lab: &LabGuard, at: SocketAddr) -> TcpListener {
    let begin = Instant::now();
    loop {
        let listener = lab.server().run(|| TcpListener::bind(at)).unwrap();
        match listener {
            Err(_) if begin.elapsed() < LIMIT => thread::sleep(PAUSE),
            listener => return listener.expect("the address is the server's"),
        }
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let begin = Instant::now();
    while begin.elapsed() < LIMIT {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            return stream;
        }
        thread::sleep(PAUSE);
    }
    panic!("nobody connects");
}

/// One conversation with a kernel socket that accepts it; how it ended for the engine, and for the
/// kernel.
fn talk(lab: &LabGuard, to: SocketAddr, byway: &Script, kernel: &Script) -> [Outcome; 2] {
    let listener = listen(lab, to);
    let (near, far) = App::pair(byway.clone(), kernel.clone(), 1);
    let engine = start(lab, to, &near);
    converse(accept(&listener), &far);
    let near = finish(engine, &near);
    [near, App::lock(&far).outcome().clone()]
}

fn talks_and_finishes(test: &str, pairs: &[(Script, Script)]) {
    let Some(lab) = lab(test) else { return };
    for to in endpoints() {
        for (byway, kernel) in pairs {
            let outcomes = talk(&lab, to, byway, kernel);
            let (near, far) = (byway.octets, kernel.octets);
            let expected = [Outcome::finished(near, far), Outcome::finished(far, near)];
            assert_eq!(outcomes, expected, "{to} {byway:?} {kernel:?}");
        }
    }
}

#[test]
fn ten_mebibytes_each_way() {
    let pair = (Script::sends(10 * MIB), Script::sends(10 * MIB));
    talks_and_finishes("ten_mebibytes_each_way", &[pair]);
}

//= rfc9293 3.6
#[test]
fn either_side_closes_first_and_still_receives() {
    let closes_first = Script::sends(1000);
    let sends_then = Script {
        starts: Starts::AfterPeerClosed,
        ..Script::sends(2 * MIB)
    };
    let pairs = [
        (closes_first.clone(), sends_then.clone()),
        (sends_then, closes_first),
        (Script::sends(0), Script::sends(0)),
    ];
    talks_and_finishes("either_side_closes_first_and_still_receives", &pairs);
}

//= rfc9293 3.8.6.1
#[test]
fn either_side_may_sleep_before_it_reads() {
    let sleeps = Script {
        reads: Reads::After(Nanos::from_millis(700)),
        ..Script::sends(1000)
    };
    // More than the largest buffers of the kernel, so that it closes its window.
    let sends = Script::sends(16 * MIB);
    let pairs = [(sleeps.clone(), sends.clone()), (sends, sleeps)];
    talks_and_finishes("either_side_may_sleep_before_it_reads", &pairs);
}

#[test]
fn either_side_may_reset() {
    let Some(lab) = lab("either_side_may_reset") else {
        return;
    };
    let resets = Script {
        ends: Ends::ResetsAfter(100_000),
        ..Script::sends(100_000)
    };
    let sends = Script::sends(8 * MIB);
    for to in endpoints() {
        let [byway, kernel] = talk(&lab, to, &resets, &sends);
        assert_eq!(byway.closed, Some(CloseReason::Aborted), "{to}");
        assert_eq!(kernel.closed, Some(CloseReason::Reset), "{to}");
        let [byway, kernel] = talk(&lab, to, &sends, &resets);
        assert_eq!(byway.closed, Some(CloseReason::Reset), "{to}");
        assert_eq!(kernel.closed, Some(CloseReason::Aborted), "{to}");
        assert_eq!((byway.wrong_at, kernel.wrong_at), (None, None), "{to}");
    }
}

#[test]
fn a_port_that_nobody_listens_at_refuses() {
    let Some(lab) = lab("a_port_that_nobody_listens_at_refuses") else {
        return;
    };
    for to in endpoints() {
        let app = App::alone(Script::sends(10), 1);
        let outcome = finish(start(&lab, to, &app), &app);
        assert_eq!(outcome.closed, Some(CloseReason::Refused), "{to}");
    }
}

#[test]
fn socat_echoes_ten_mebibytes() {
    let Some(lab) = lab("socat_echoes_ten_mebibytes") else {
        return;
    };
    for to in endpoints() {
        let family = if to.is_ipv4() { "TCP4" } else { "TCP6" };
        let mut command = lab.server().command("setpriv");
        // What is written to a pipe at once fits when there is room for 4096 octets; with more,
        // socat waits for itself to read the other end.
        command.args(["--pdeathsig", "KILL", "socat", "-t", "20", "-b", "4096"]);
        command.arg(format!("{family}-LISTEN:{PORT},reuseaddr"));
        command.arg("PIPE").stdin(Stdio::null());
        let mut socat = command.spawn().expect("socat can be started");
        let begin = Instant::now();
        while !is_listening(&lab) && begin.elapsed() < LIMIT {
            thread::sleep(PAUSE);
        }
        let app = App::alone(Script::sends(10 * MIB), 1);
        let outcome = finish(start(&lab, to, &app), &app);
        socat.kill().ok();
        socat.wait().ok();
        assert_eq!(outcome, Outcome::finished(10 * MIB, 10 * MIB), "{to}");
    }
}

/// True when somebody listens in the server's namespace.
fn is_listening(lab: &LabGuard) -> bool {
    let mut command = lab.server().command("ss");
    let output = command.args(["-Htln"]).output().expect("ss can be started");
    !output.stdout.is_empty()
}
