//! Ports over a veth pair, each test in a network namespace of its own. Needs root; without it
//! each test says so loudly, and fails when CI=true.

use byway_stack::port::{BURST, Port, PortStats};
use byway_xdp::{Mode, SetupError, Steering, Verdict, XdpConfig, XdpPort};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const LEFT: &str = "bwx-left";
const RIGHT: &str = "bwx-right";
/// Set in a child process: the interface to hold.
const HOLD: &str = "BWX_HOLD";

fn ip(arguments: &str) -> String {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .expect("ip runs");
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn privileged() -> bool {
    // SAFETY: no arguments, no memory.
    if unsafe { libc::geteuid() } == 0 {
        return true;
    }
    assert_ne!(
        std::env::var("CI").as_deref(),
        Ok("true"),
        "the veth tests need root"
    );
    eprintln!("\n=== SKIPPED: ports over veth: needs root ===\n");
    false
}

/// Tests start programs, which inherit the sockets that another test is just making.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a test between two ends of a veth pair with this many queues each. The namespace belongs
/// to the test's thread and to processes it starts: it goes, with all in it, when they end.
fn between_veths(queues: u32, test: impl FnOnce() + Send) {
    if !privileged() {
        return;
    }
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: no memory effects; a new network namespace concerns this thread only.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
            let count = format!("numrxqueues {queues} numtxqueues {queues}");
            ip(&format!(
                "link add {LEFT} {count} type veth peer name {RIGHT} {count}"
            ));
            for end in [LEFT, RIGHT] {
                ip(&format!("link set {end} up"));
            }
            test();
        });
        if let Err(panic) = thread.join() {
            resume_unwind(panic);
        }
    });
}

/// A small pool, so that a leak shows; our end is port 7 of 10.2.0.1.
fn config(interface: &str, mode: Mode) -> XdpConfig {
    let ours: SocketAddr = "10.2.0.1:7".parse().unwrap();
    let mut config = XdpConfig::new(interface);
    config.mode = mode;
    config.frames = 1024;
    (config.rx_ring, config.fill_ring, config.tx_ring) = (512, 512, 256);
    config.steering = Steering {
        listen: vec![ours.into()],
        ..Steering::default()
    };
    config
}

fn open(interface: &str, mode: Mode) -> XdpPort {
    let (port, opened) = XdpPort::open(&config(interface, mode)).unwrap();
    assert_eq!(opened.mode, mode);
    port
}

/// A TCP segment to 10.2.0.1:7 with `number` in its payload, `len` octets long in all.
fn segment(frame: &mut [u8], number: u32, len: usize) {
    frame[..12].fill(2);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14..54].fill(0);
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&((len - 14) as u16).to_be_bytes());
    frame[23] = 6;
    frame[26..30].copy_from_slice(&[10, 2, 0, 2]);
    frame[30..34].copy_from_slice(&[10, 2, 0, 1]);
    frame[36..38].copy_from_slice(&7u16.to_be_bytes());
    frame[46] = 5 << 4;
    for octet in &mut frame[54..len] {
        *octet = number as u8;
    }
    frame[54..58].copy_from_slice(&number.to_be_bytes());
}

fn number(frame: &[u8]) -> u32 {
    assert!(
        frame[58..].iter().all(|octet| *octet == frame[57]),
        "the payload arrived whole"
    );
    u32::from_be_bytes(frame[54..58].try_into().unwrap())
}

fn push(port: &mut XdpPort, number: u32, len: usize) -> bool {
    let Some(mut frame) = port.tx_alloc() else {
        return false;
    };
    segment(port.tx_bytes(&mut frame), number, len);
    port.tx_push(frame, len);
    true
}

/// Receives whatever is there: the numbers.
fn receive(port: &mut XdpPort) -> Vec<u32> {
    let mut burst = Vec::new();
    assert!(port.rx_burst(&mut burst) <= BURST);
    burst
        .drain(..)
        .map(|frame| {
            let number = number(port.rx_bytes(&frame));
            port.release(frame);
            number
        })
        .collect()
}

fn assert_balanced(stats: &PortStats) {
    let known = stats.free + stats.filling + stats.held + stats.sending;
    assert_eq!(stats.frames, known, "{stats:?}");
}

/// Turns a port until nothing is sending; the ledger balances at every step.
fn settle(port: &mut XdpPort) -> PortStats {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        port.tx_commit();
        let stats = port.stats();
        assert_balanced(&stats);
        if stats.sending == 0 {
            return stats;
        }
        assert!(Instant::now() < deadline, "never sent: {stats:?}");
    }
}

fn exchange(mode: Mode, queues: u32, len: usize) {
    const COUNT: u32 = 20_000;
    between_veths(queues, || {
        let (mut left, mut right) = (open(LEFT, mode), open(RIGHT, mode));
        let deadline = Instant::now() + Duration::from_secs(30);
        let (mut sent, mut arrived, mut returned) = (0, 0, 0);
        while returned < COUNT {
            // No more under way than a queue has chunks: then nothing may be lost.
            while sent < COUNT && sent - returned < 150 && push(&mut left, sent, len) {
                sent += 1;
            }
            left.tx_commit();
            for number in receive(&mut right) {
                assert_eq!(number, arrived, "in order");
                arrived += 1;
                assert!(push(&mut right, number, len));
            }
            right.tx_commit();
            for number in receive(&mut left) {
                assert_eq!(number, returned, "in order");
                returned += 1;
            }
            assert!(
                Instant::now() < deadline,
                "sent {sent} arrived {arrived} back {returned}"
            );
        }
        for port in [&mut left, &mut right] {
            let stats = settle(port);
            assert_eq!((stats.held, stats.rx_dropped), (0, 0), "{stats:?}");
            assert_eq!((stats.rx, stats.tx), (u64::from(COUNT), u64::from(COUNT)));
            assert!(stats.tx_wakeups <= 2 * u64::from(COUNT));
            assert_eq!(
                port.steer_counters().get(Verdict::RedirectTcp),
                u64::from(COUNT)
            );
            assert_eq!(port.steer_counters().get(Verdict::DropNoSocket), 0);
        }
    });
}

#[test]
fn frames_go_both_ways_native() {
    exchange(Mode::Native, 1, 60);
}

#[test]
fn frames_go_both_ways_generic() {
    exchange(Mode::Generic, 1, 60);
}

#[test]
fn frames_go_both_ways_with_several_queues() {
    exchange(Mode::Native, 4, 1514);
    exchange(Mode::Generic, 4, 1514);
}

#[test]
fn the_largest_frame_fits_and_a_larger_mtu_is_refused() {
    for mode in [Mode::Native, Mode::Generic] {
        between_veths(1, || {
            for end in [LEFT, RIGHT] {
                ip(&format!("link set {end} mtu 3818"));
            }
            let (mut left, mut right) = (open(LEFT, mode), open(RIGHT, mode));
            assert!(push(&mut left, 0xabcd, 3818 + 14));
            left.tx_commit();
            let deadline = Instant::now() + Duration::from_secs(5);
            let mut got = Vec::new();
            while got.is_empty() && Instant::now() < deadline {
                right.wait(Duration::from_millis(10));
                got = receive(&mut right);
            }
            assert_eq!(got, [0xabcd], "{:?}", right.stats());
            drop((left, right));
            ip(&format!("link set {LEFT} mtu 3819"));
            let error = refused(&config(LEFT, mode));
            assert!(
                error.to_string().contains("MTU of 3819 is above 3818"),
                "{error}"
            );
        });
    }
}

#[test]
fn when_all_is_in_flight_there_is_nothing_to_allocate_and_nothing_is_lost() {
    between_veths(1, || {
        let mut left = open(LEFT, Mode::Generic);
        let mut held = Vec::new();
        while let Some(frame) = left.tx_alloc() {
            held.push(frame);
        }
        assert_eq!(held.len(), 256, "as many as the transmit ring has slots");
        assert_balanced(&left.stats());
        assert_eq!(left.stats().held, 256);
        for (index, mut frame) in held.drain(..).enumerate() {
            if index % 2 == 0 {
                left.tx_cancel(frame);
            } else {
                segment(left.tx_bytes(&mut frame), 1, 60);
                left.tx_push(frame, 60);
            }
        }
        assert_eq!(left.stats().sending, 128);
        let stats = settle(&mut left);
        assert_eq!((stats.tx, stats.held, stats.free), (128, 0, 1024 - 512));
        // One wake-up sent them all, or few where the kernel's budget is 32.
        assert!(stats.tx_wakeups <= 128 / 32 + 1, "{stats:?}");
    });
}

#[test]
fn a_flood_is_dropped_and_counted_and_the_port_recovers() {
    between_veths(1, || {
        let (mut left, mut right) = (open(LEFT, Mode::Native), open(RIGHT, Mode::Native));
        let mut sent = 0u64;
        while sent < 5000 {
            while push(&mut left, sent as u32, 60) {
                sent += 1;
            }
            left.tx_commit();
        }
        settle(&mut left);
        let mut got = 0;
        loop {
            let count = receive(&mut right).len() as u64;
            got += count;
            if count == 0 {
                break;
            }
        }
        let stats = right.stats();
        assert_eq!(got, 512, "what the fill ring held");
        // The pair of veths drops some of its own where its softirq comes late: nobody counts those.
        assert!((1..=sent - got).contains(&stats.rx_dropped), "{stats:?}");
        right.tx_commit();
        assert_eq!(right.stats().filling, 512);
        assert!(push(&mut left, 9, 60));
        left.tx_commit();
        right.wait(Duration::from_secs(5));
        assert_eq!(receive(&mut right), [9]);
    });
}

/// The kernel works on the rings from the sender's CPU while the receiver turns on its own.
#[test]
fn a_stream_between_two_threads_balances() {
    for mode in [Mode::Native, Mode::Generic] {
        between_veths(1, || {
            let (mut left, mut right) = (open(LEFT, mode), open(RIGHT, mode));
            let done = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let end = Instant::now() + Duration::from_secs(1);
                    while Instant::now() < end {
                        (0..32)
                            .take_while(|number| push(&mut left, *number, 60))
                            .count();
                        left.tx_commit();
                    }
                    settle(&mut left);
                    done.store(true, Ordering::Release);
                });
                loop {
                    // In this order: what was sent before `done` is seen by the burst after it.
                    let finished = done.load(Ordering::Acquire);
                    let idle = receive_any(&mut right) == 0;
                    right.tx_commit();
                    if finished && idle {
                        break;
                    }
                }
            });
            // Some may be lost before the program sees them, in the queue between the two ends.
            let steered = right.steer_counters().get(Verdict::RedirectTcp);
            let stats = settle(&mut right);
            assert_eq!(stats.rx + stats.rx_dropped, steered, "{stats:?}");
            assert!(steered <= left.stats().tx);
            assert_eq!((stats.held, stats.filling), (0, 512), "{stats:?}");
            assert!(stats.rx > 0);
        });
    }
}

#[test]
fn what_is_not_ours_reaches_the_kernel() {
    between_veths(1, || {
        ip(&format!("addr add 10.2.0.1/24 dev {LEFT}"));
        let (left, mut right) = (open(LEFT, Mode::Native), open(RIGHT, Mode::Native));
        // The same segment to another port of that address.
        let mut frame = right.tx_alloc().unwrap();
        let bytes = right.tx_bytes(&mut frame);
        segment(bytes, 1, 60);
        bytes[36..38].copy_from_slice(&22u16.to_be_bytes());
        right.tx_push(frame, 60);
        right.tx_commit();
        let deadline = Instant::now() + Duration::from_secs(5);
        while left.steer_counters().get(Verdict::PassNotOurs) == 0 {
            assert!(Instant::now() < deadline);
        }
        assert_eq!(left.stats().rx, 0);
    });
}

fn refused(config: &XdpConfig) -> SetupError {
    let error = XdpPort::open(config).err().expect("must be refused");
    assert!(!error.to_string().contains('\n') && !error.hint().contains('\n'));
    assert!(!error.hint().is_empty());
    error
}

#[test]
fn auto_falls_back_and_says_why_and_zerocopy_does_not() {
    between_veths(1, || {
        let (port, opened) = XdpPort::open(&config(LEFT, Mode::Auto)).unwrap();
        assert_eq!(opened.mode, Mode::Native);
        assert!(!opened.zerocopy());
        assert_eq!(opened.fallbacks.len(), 1);
        assert!(
            opened.fallbacks[0].starts_with("zerocopy is not possible"),
            "{opened:?}"
        );
        assert!(opened.fallbacks[0].ends_with("trying native"), "{opened:?}");
        drop(port);
        let error = refused(&config(LEFT, Mode::Zerocopy));
        assert_eq!(error.errno, Some(libc::EOPNOTSUPP), "{error}");
        assert_no_program(LEFT);
    });
}

#[test]
fn a_down_interface_and_a_missing_one_are_refused() {
    between_veths(1, || {
        ip(&format!("link set {LEFT} down"));
        assert_eq!(
            refused(&config(LEFT, Mode::Auto)).errno,
            Some(libc::ENETDOWN)
        );
        assert_eq!(
            refused(&config("bwx-none", Mode::Auto)).errno,
            Some(libc::ENODEV)
        );
    });
}

fn assert_no_program(interface: &str) {
    let shown = ip(&format!("link show {interface}"));
    assert!(!shown.contains("xdp"), "{shown}");
}

#[test]
fn the_program_goes_with_the_port() {
    for mode in [Mode::Native, Mode::Generic] {
        between_veths(1, || {
            let port = open(LEFT, mode);
            assert!(ip(&format!("link show {LEFT}")).contains("xdp"));
            drop(port);
            assert_no_program(LEFT);
            // And at once again.
            drop(open(LEFT, mode));
        });
    }
}

#[test]
fn a_program_started_meanwhile_does_not_hold_the_queue() {
    between_veths(1, || {
        let port = open(LEFT, Mode::Native);
        let mut child = Command::new("sleep").arg("20").spawn().unwrap();
        drop(port);
        let again = XdpPort::open(&config(LEFT, Mode::Native));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(again.is_ok(), "{:?}", again.err());
    });
}

/// A child process that holds a port until it is killed; see `hold_when_asked`.
struct Holder(Child);

impl Holder {
    fn start(interface: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hold_when_asked", "--nocapture"])
            .env(HOLD, interface)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(
            lines.any(|line| line.unwrap().contains("holding")),
            "the child opened its port"
        );
        Self(child)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap(); // SIGKILL
        self.0.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test of its own: the body of `Holder`'s child.
#[test]
fn hold_when_asked() {
    let Ok(interface) = std::env::var(HOLD) else {
        return;
    };
    let _port = open(&interface, Mode::Native);
    println!("\nholding");
    thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_second_one_is_told_who_holds_the_interface() {
    between_veths(1, || {
        let mut holder = Holder::start(LEFT);
        let pid = format!("pid {} (", holder.0.id());
        for mode in [Mode::Auto, Mode::Native, Mode::Generic] {
            let error = refused(&config(LEFT, mode));
            assert_eq!(error.errno, Some(libc::EBUSY), "{error}");
            assert!(error.to_string().contains(&pid), "{error}");
            assert!(error.to_string().contains("(steer)"), "{error}");
            eprintln!("{error}\n  {}", error.hint());
        }
        holder.kill();
        drop(open(LEFT, Mode::Native));
    });
}

#[test]
fn a_program_of_another_is_named() {
    between_veths(2, || {
        // The holder serves queue 0 only, so that queue 1 binds and attaching is what fails.
        let mut first = config(LEFT, Mode::Native);
        first.queues = Some(0..=0);
        let (_port, opened) = XdpPort::open(&first).unwrap();
        assert_eq!(opened.queues, 0..=0);
        let mut second = config(LEFT, Mode::Native);
        second.queues = Some(1..=1);
        let error = refused(&second);
        assert_eq!(error.errno, Some(libc::EBUSY), "{error}");
        assert!(error.to_string().starts_with("attach to"), "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("pid {} (", std::process::id())),
            "{error}"
        );
        second.mode = Mode::Generic;
        let error = refused(&second);
        assert_eq!(error.errno, Some(libc::EEXIST), "{error}");
    });
}

#[test]
fn a_kill_leaves_nothing_behind() {
    between_veths(1, || {
        let mut holder = Holder::start(LEFT);
        assert!(ip(&format!("link show {LEFT}")).contains("xdp"));
        holder.kill();
        assert_no_program(LEFT);
    });
}

#[test]
fn a_waker_ends_the_wait() {
    between_veths(1, || {
        let mut port = open(LEFT, Mode::Native);
        let waker = port.waker();
        let caller = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            waker.wake();
        });
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(20) {
            port.wait(Duration::from_secs(10)); // a stray frame may come first
            receive_any(&mut port);
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        caller.join().unwrap();
    });
}

fn receive_any(port: &mut XdpPort) -> usize {
    let mut burst = Vec::with_capacity(BURST);
    let count = port.rx_burst(&mut burst);
    burst.drain(..).for_each(|frame| port.release(frame));
    count
}
