//! The network namespace of a script: made, set up, asked for states, removed.

use crate::script::{Buffer, Congestion, Ecn, Settings};
use byway_tcp::State;
use std::path::Path;
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// The TUN device in it.
pub(super) const DEVICE: &str = "tun0";
/// How the names of the namespaces begin; the process and a number follow.
const PREFIX: &str = "bwscr-";

/// A namespace that is removed when the value is dropped.
pub(super) struct Namespace {
    inner: byway_lab::Namespace,
}

impl Namespace {
    /// A new one, with a name that no other process and no other thread uses.
    pub(super) fn new() -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static OTHERS: Once = Once::new();
        OTHERS.call_once(remove_abandoned);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        ip(&["netns", "add", &name])?;
        Ok(Self {
            inner: byway_lab::Namespace::named(name),
        })
    }

    /// Does something in it.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, String> {
        self.inner.run(work).map_err(|why| why.to_string())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(why) = ip(&["netns", "delete", self.inner.name()]) {
            eprintln!("{why}");
        }
    }
}

/// Removes the namespaces of processes that were killed.
fn remove_abandoned() {
    let Ok(names) = std::fs::read_dir("/run/netns") else {
        return;
    };
    for name in names.flatten() {
        let name = name.file_name();
        let name = name.to_string_lossy();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another process may do the same at this moment.
            ip(&["netns", "delete", &name]).ok();
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|why| format!("ip: {why}"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {}", arguments.join(" "), why.trim()))
}

/// Makes the device in this thread's namespace. It is not up yet.
pub(super) fn make_device(settings: &Settings) -> Result<(), String> {
    ip(&["tuntap", "add", "dev", DEVICE, "mode", "tun"])?;
    ip(&["link", "set", DEVICE, "mtu", &settings.mtu.to_string()])
}

/// Gives TCP its parameters, then the device its address. Somebody must have attached to the device:
/// what comes up without a carrier loses packets until the kernel has noticed that one is there.
pub(super) fn set_up(settings: &Settings) -> Result<(), String> {
    let on = |on: bool| i64::from(on);
    let ecn = match settings.ecn {
        Ecn::Off => 0,
        Ecn::On => 1,
        Ecn::Asked => 2,
    };
    let mut values = vec![
        ("ipv6/conf/all/disable_ipv6", on(!settings.v6)),
        ("ipv4/tcp_timestamps", on(settings.timestamps)),
        ("ipv4/tcp_sack", on(settings.sack)),
        ("ipv4/tcp_window_scaling", on(settings.window_scaling)),
        ("ipv4/tcp_ecn", ecn),
        // One script must not learn from what another left behind.
        ("ipv4/tcp_no_metrics_save", 1),
        // The rate of challenges is a matter of its own.
        ("ipv4/tcp_invalid_ratelimit", 0),
    ];
    let retries = [
        ("ipv4/tcp_syn_retries", settings.syn_retries),
        ("ipv4/tcp_synack_retries", settings.syn_ack_retries),
        ("ipv4/tcp_retries2", settings.retries),
    ];
    for (name, value) in retries {
        values.extend(value.map(|value| (name, i64::from(value))));
    }
    let limits = [
        ("ipv4/tcp_notsent_lowat", settings.not_sent_low_water),
        ("ipv4/tcp_challenge_ack_limit", settings.challenge_acks),
    ];
    for (name, value) in limits {
        values.extend(value.map(|value| (name, i64::from(value))));
    }
    grow("ipv4/tcp_rmem", settings.receive_buffer)?;
    grow("ipv4/tcp_wmem", settings.send_buffer)?;
    for (name, value) in values {
        sysctl(name, &value.to_string())?;
    }
    // No solicitations of its own on a device that has no neighbours.
    if settings.v6 {
        sysctl(&format!("ipv6/conf/{DEVICE}/accept_dad"), "0")?;
        sysctl(&format!("ipv6/conf/{DEVICE}/router_solicitations"), "0")?;
    }
    ip(&["link", "set", DEVICE, "up"])?;
    if settings.v6 {
        ip(&["address", "add", "fd77::1/64", "dev", DEVICE, "nodad"])
    } else {
        ip(&["address", "add", "10.77.0.1/24", "dev", DEVICE])
    }
}

/// A buffer that grows is the namespace's to set: what a socket is told it keeps to.
fn grow(name: &str, buffer: Option<Buffer>) -> Result<(), String> {
    match buffer {
        Some(Buffer {
            initial: Some(initial),
            most,
        }) => sysctl(name, &format!("4096 {initial} {most}")),
        _ => Ok(()),
    }
}

/// The kernel's name for the congestion control that a script asks for.
pub(super) fn congestion(settings: &Settings) -> &'static str {
    match settings.congestion {
        Congestion::Cubic => "cubic",
        Congestion::Reno => "reno",
    }
}

fn sysctl(name: &str, value: &str) -> Result<(), String> {
    let path = format!("/proc/sys/net/{name}");
    std::fs::write(&path, value).map_err(|why| format!("{path}: {why}"))
}

/// The state of the connection to this port of the peer.
pub(super) fn state(v6: bool, peer: u16) -> Result<State, String> {
    let path = if v6 {
        "/proc/thread-self/net/tcp6"
    } else {
        "/proc/thread-self/net/tcp"
    };
    let text = std::fs::read_to_string(path).map_err(|why| format!("{path}: {why}"))?;
    let end = format!(":{peer:04X}");
    let mut found = State::Closed;
    for line in text.lines().skip(1) {
        let mut columns = line.split_whitespace().skip(2);
        if columns.next().is_some_and(|remote| remote.ends_with(&end)) {
            let state = columns.next().and_then(state_of).unwrap_or(State::Closed);
            // An old connection in TIME-WAIT gives way to a new one.
            if matches!(found, State::Closed | State::TimeWait) {
                found = state;
            }
        }
    }
    Ok(found)
}

/// From the numbers of `enum` in the kernel's `tcp_states.h`.
fn state_of(number: &str) -> Option<State> {
    Some(match u8::from_str_radix(number, 16).ok()? {
        1 => State::Established,
        2 => State::SynSent,
        3 | 12 => State::SynReceived,
        4 => State::FinWait1,
        5 => State::FinWait2,
        6 => State::TimeWait,
        7 => State::Closed,
        8 => State::CloseWait,
        9 => State::LastAck,
        11 => State::Closing,
        _ => return None,
    })
}
