//! What tshark's expert analysis finds in captures of Byway, and of Linux doing the same.

use crate::lab_with;
use byway_lab::{Lab, Options};
use byway_test_netns::{Serve, connect, echo_pattern, run, tcp_endpoints};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Where Byway echoes. No dissector of tshark's knows this port, nor the next.
const BYWAY: u16 = 41_007;
/// Where Linux does.
const LINUX: u16 = 41_008;

/// A path on which everything happens that a TCP has to cope with, and the same to both.
const PATH: [&str; 12] = [
    "--delay",
    "4ms",
    "--jitter",
    "1ms",
    "--loss",
    "1%",
    "--duplicate",
    "0.2%",
    "--rate",
    "100mbit",
    "--seed",
    "11",
];

/// What a path like this does to a capture, whoever talks over it. Whether it happens to one of
/// them in a run is luck.
const OF_THE_PATH: [&str; 7] = [
    "Previous segment(s) not captured",
    "ACKed segment that wasn't captured",
    "This frame is a (suspected) out-of-order segment",
    "D-SACK Sequence",
    // A sender that fills the window, and a receiver that has not read yet.
    "TCP window specified by the receiver is now completely full",
    "TCP Zero Window segment",
    // One's complement has two zeroes, and the kernel, which is the client of both, writes either.
    "TCP Checksum 0xffff instead of 0x0000",
];

/// What tshark has to say: how often, by severity and summary.
type Findings = BTreeMap<(String, String), u64>;

/// The severities that speak of something wrong; notes tell of retransmissions and the like.
const SEVERE: [&str; 2] = ["Errors", "Warns"];

/// Runs `tshark -z expert` over a capture, checksums checked. Payload is nothing but payload: what
/// it looks like to some dissector says nothing about TCP.
fn expert(capture: &Path) -> Findings {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-q", "-z", "expert", "-r"]).arg(capture);
    for preference in ["ip.check_checksum", "tcp.check_checksum"] {
        tshark.args(["-o", &format!("{preference}:TRUE")]);
    }
    tshark.args(["-o", "tcp.desegment_tcp_streams:FALSE"]);
    for port in [BYWAY, LINUX] {
        tshark.args(["-d", &format!("tcp.port=={port},data")]);
    }
    let finished = run(tshark);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    parse(&finished.stdout)
}

/// Reads the four tables, of which each has a title such as `Warns (3)`, two lines of head, and
/// lines of frequency, group, protocol and summary.
fn parse(text: &str) -> Findings {
    let mut findings = Findings::new();
    let mut severity = "";
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if let (Ok(count), Some(_), Some(protocol)) =
            (first.parse::<u64>(), words.next(), words.next())
        {
            if ["TCP", "IPv4", "IPv6", "Ethernet"].contains(&protocol) {
                let summary = words.collect::<Vec<_>>().join(" ");
                // Duplicate ACK (#17), [should be 0x1234]: the kind is what counts.
                let end = summary.find(['#', '[']).unwrap_or(summary.len());
                let summary = summary[..end].trim_end_matches([' ', '(']).to_owned();
                *findings.entry((severity.to_owned(), summary)).or_default() += count;
            }
        } else if line.contains(" (") && line.ends_with(')') {
            severity = first;
        }
    }
    findings
}

/// Kinds of errors and warnings that only the first has.
fn only_in(ours: &Findings, theirs: &Findings) -> Vec<String> {
    ours.keys()
        .filter(|kind| SEVERE.contains(&kind.0.as_str()) && !theirs.contains_key(*kind))
        .filter(|(_, summary)| !OF_THE_PATH.iter().any(|known| summary.starts_with(known)))
        .map(|(severity, summary)| format!("{severity}: {summary}"))
        .collect()
}

/// A Linux echo server in the server's namespace, for as long as the value lives.
struct LinuxEcho {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl LinuxEcho {
    fn start(lab: &Lab) -> Self {
        let listeners = tcp_endpoints(LINUX).map(|endpoint| {
            let bind = || TcpListener::bind(endpoint);
            let listener = lab.server().run(bind).unwrap().unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        });
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for stream in listeners.iter().flat_map(TcpListener::accept) {
                    thread::spawn(move || echo(stream.0));
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for LinuxEcho {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn echo(mut stream: TcpStream) {
    stream.set_nonblocking(false).unwrap();
    let mut buffer = [0; 16 * 1024];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..len]).is_err() {
            return;
        }
    }
}

/// Everything that a client does to an echo server.
fn converse(lab: &Lab, endpoint: SocketAddr) {
    // Question and answer, and a close by the client.
    let mut stream = connect(lab, endpoint).unwrap();
    for size in [1, 64, 1448, 1449, 5000].repeat(8) {
        let question = vec![size as u8; size];
        let mut answer = vec![0; size];
        stream.write_all(&question).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(question, answer);
    }
    drop(stream);
    // A lot in both directions at once, and a half-close.
    echo_pattern(&connect(lab, endpoint).unwrap(), 1 << 20, 5);
    // A half-close at once, and one behind a few bytes.
    for message in ["", "the end"] {
        let mut stream = connect(lab, endpoint).unwrap();
        stream.write_all(message.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, message);
    }
    // A reader that stops for a while: the windows close, are probed, and open again.
    let mut stream = connect(lab, endpoint).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let len = 3 << 20;
    let writing = thread::spawn(move || {
        // Nobody reads until the path and both ends are full.
        writer.write_all(&vec![b'-'; len]).unwrap();
    });
    thread::sleep(Duration::from_millis(1000));
    let mut received = vec![0; len];
    stream.read_exact(&mut received).unwrap();
    writing.join().unwrap();
    drop(stream);
    // Resets: with data on its way, and with data that was not read.
    for pause in [0, 50] {
        let mut stream = connect(lab, endpoint).unwrap();
        stream.write_all(&[b'!'; 100_000]).unwrap();
        thread::sleep(Duration::from_millis(pause));
        drop(stream);
    }
    // Timers that are still running have their say.
    thread::sleep(Duration::from_millis(300));
}

/// What a client does to a server over a wire, captured at both ends of it: the findings of all.
fn analyse(
    lab: &Lab,
    directory: &Path,
    endpoint: SocketAddr,
    impairments: &[&str],
    client: fn(&Lab, SocketAddr),
) -> Findings {
    let family = if endpoint.is_ipv4() { "v4" } else { "v6" };
    let path = |end| directory.join(format!("{}-{family}-{end}.pcap", endpoint.port()));
    let captures: [PathBuf; 2] = ["client", "server"].map(path);
    let [near, far] = captures.each_ref().map(|path| path.to_str().unwrap());
    let args = [impairments, &["--pcap", near, "--pcap-b", far]].concat();
    let wire = Serve::start_wire(lab.wire(), &args);
    client(lab, endpoint);
    wire.stop();
    let mut all = Findings::new();
    for (kind, count) in captures.iter().flat_map(|capture| expert(capture)) {
        *all.entry(kind).or_default() += count;
    }
    all
}

/// The whole conversation, over IPv4 and IPv6.
fn analyse_both(lab: &Lab, directory: &Path, port: u16) -> Findings {
    let mut all = Findings::new();
    for endpoint in tcp_endpoints(port) {
        for (kind, count) in analyse(lab, directory, endpoint, &PATH, converse) {
            *all.entry(kind).or_default() += count;
        }
    }
    all
}

#[test]
fn tshark_finds_nothing_wrong_that_it_does_not_find_with_linux() {
    let options = Options {
        wire: true,
        ..Options::default()
    };
    let test = "tshark_finds_nothing_wrong_that_it_does_not_find_with_linux";
    let Some(lab) = lab_with(test, &options) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let linux = {
        let _server = LinuxEcho::start(&lab);
        analyse_both(&lab, directory.path(), LINUX)
    };
    let listen = tcp_endpoints(BYWAY).map(|endpoint| endpoint.to_string());
    let serve = Serve::start(
        lab.server(),
        &["echo", "--listen", &listen[0], "--listen", &listen[1]],
    );
    let byway = analyse_both(&lab, directory.path(), BYWAY);
    eprintln!("Linux: {linux:#?}\nByway: {byway:#?}");
    for (findings, who) in [(&linux, "Linux"), (&byway, "Byway")] {
        let summaries = || findings.keys().map(|(_, summary)| summary);
        for word in ["retransmission", "(FIN)", "(RST)"] {
            let found = summaries().any(|summary| summary.contains(word));
            assert!(found, "there is no {word} in the captures of {who}");
        }
    }
    assert_eq!(only_in(&byway, &linux), Vec::<String>::new());

    // It would be found: over a path that damages frames.
    let damaging = ["--corrupt", "5%", "--delay", "2ms", "--seed", "3"];
    let endpoint = tcp_endpoints(BYWAY)[0];
    let damaged = analyse(
        &lab,
        directory.path(),
        endpoint,
        &damaging,
        |lab, endpoint| {
            echo_pattern(&connect(lab, endpoint).unwrap(), 100_000, 5);
        },
    );
    let found = only_in(&damaged, &linux);
    assert!(
        found.iter().any(|kind| kind.contains("hecksum")),
        "{damaged:#?}"
    );
    serve.stop();
}

#[test]
fn the_tables_of_tshark_are_read() {
    let text = "\nErrors (2)\n=============\n   Frequency      Group           Protocol  Summary\n\
                \x20          2   Checksum                TCP  Bad checksum [should be 0x1234]\n\
                \nWarns (1)\n=============\n   Frequency      Group           Protocol  Summary\n\
                \x20          1   Sequence                TCP  Connection reset (RST)\n\
                \x20          9   Malformed              HTTP  Malformed Packet\n";
    let findings = parse(text);
    let kind = |severity: &str, summary: &str| (severity.to_owned(), summary.to_owned());
    let expected = [
        (kind("Errors", "Bad checksum"), 2),
        (kind("Warns", "Connection reset (RST)"), 1),
    ];
    assert_eq!(findings, Findings::from(expected));
    let only = only_in(
        &findings,
        &Findings::from([(kind("Warns", "Connection reset (RST)"), 1)]),
    );
    assert_eq!(only, ["Errors: Bad checksum"]);
}
