//! What a result depends on besides the program: kernel, processor, its mitigations, interfaces.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The offloads that change what a packet on the wire looks like or costs.
const OFFLOADS: [(&str, &str); 6] = [
    ("rx-checksumming", "rx"),
    ("tx-checksumming", "tx"),
    ("scatter-gather", "sg"),
    ("tcp-segmentation-offload", "tso"),
    ("generic-segmentation-offload", "gso"),
    ("generic-receive-offload", "gro"),
];

/// The machine and what ran on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of this program.
    pub byway_version: String,
    /// The command line that made the result.
    pub argv: Vec<String>,
    /// When it was started, in seconds since 1970 UTC.
    pub started_unix_s: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name for itself.
    pub cpu_model: String,
    /// Processors that this process may use.
    pub cpus: usize,
    /// True when a hypervisor is below.
    pub virtual_machine: bool,
    /// The kernel's mitigations that are not "Not affected".
    pub mitigations: BTreeMap<String, String>,
    /// The kernel's source of time.
    pub clocksource: Option<String>,
    /// The frequency governor of the first processor; none in most virtual machines.
    pub governor: Option<String>,
    /// Congestion control of the kernel's TCP, by default.
    pub congestion_control: Option<String>,
    /// Both ends of the wire.
    pub interfaces: Vec<Interface>,
}

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// `client` or `server`.
    pub role: String,
    /// Its name.
    pub name: String,
    /// Its MTU in octets.
    pub mtu: Option<u32>,
    /// Offloads, `on` or `off`, by their short names; empty when `ethtool` is not there.
    pub offloads: BTreeMap<String, String>,
}

impl Environment {
    /// Looks at this machine.
    pub fn read(interfaces: Vec<Interface>) -> Self {
        let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
        Self {
            byway_version: env!("CARGO_PKG_VERSION").to_owned(),
            argv: argv(),
            started_unix_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| elapsed.as_secs()),
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
            cpu_model: field(&cpuinfo, "model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus: crate::cpu::available(),
            virtual_machine: field(&cpuinfo, "flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            mitigations: mitigations(),
            clocksource: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control"),
            interfaces,
        }
    }
}

impl Interface {
    /// Asks `ethtool` and sysfs. `command` makes commands that run where the interface is.
    pub(crate) fn read(role: &str, name: &str, command: impl Fn(&str) -> Command) -> Self {
        let output = |mut command: Command| -> Option<String> {
            let output = command
                .output()
                .ok()
                .filter(|output| output.status.success())?;
            String::from_utf8(output.stdout).ok()
        };
        let mut ethtool = command("ethtool");
        ethtool.args(["-k", name]);
        let mut mtu = command("cat");
        mtu.arg(format!("/sys/class/net/{name}/mtu"));
        Self {
            role: role.to_owned(),
            name: name.to_owned(),
            mtu: output(mtu).and_then(|text| text.trim().parse().ok()),
            offloads: output(ethtool)
                .map(|text| offloads(&text))
                .unwrap_or_default(),
        }
    }

    /// The offloads in one line: `tx off, tso off`.
    pub fn offloads_line(&self) -> String {
        match self.offloads.is_empty() {
            true => "unknown (ethtool is not installed)".to_owned(),
            false => self
                .offloads
                .iter()
                .map(|(name, state)| format!("{name} {state}"))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

/// The command line with the program by its bare name: where it lies says nothing about the result.
fn argv() -> Vec<String> {
    let mut argv: Vec<String> = std::env::args().collect();
    if let Some(program) = argv.first_mut()
        && let Some(name) = program.rsplit('/').next()
    {
        *program = name.to_owned();
    }
    argv
}

fn offloads(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(feature, state)| {
            let (_, short) = OFFLOADS.iter().find(|(long, _)| *long == feature)?;
            Some(((*short).to_owned(), state.split(' ').next()?.to_owned()))
        })
        .collect()
}

fn mitigations() -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return BTreeMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let state = read(entry.path().to_str()?)?;
            (state != "Not affected").then(|| (entry.file_name().display().to_string(), state))
        })
        .collect()
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

fn field(text: &str, name: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
}

/// Seconds since 1970 as `2026-11-23 14:05 UTC`; what is beyond the year 9999 is taken for 1970.
pub(crate) fn utc(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let date = Timestamp::from_second(seconds).unwrap_or_default();
    date.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_795_442_700), "2026-11-23 14:05 UTC");
    }

    #[test]
    fn offloads_are_told_by_their_short_names() {
        let text = "Features for eth0:\nrx-checksumming: on\ntx-checksumming: off\n\
                    \ttx-checksum-ip-generic: off\ntcp-segmentation-offload: off [requested on]\n\
                    generic-receive-offload: on\n";
        let interface = Interface {
            offloads: offloads(text),
            ..Interface::default()
        };
        assert_eq!(interface.offloads_line(), "gro on, rx on, tso off, tx off");
    }

    #[test]
    fn this_machine_has_a_kernel_and_processors() {
        let environment = Environment::read(Vec::new());
        assert!(!environment.kernel.is_empty());
        assert!(environment.cpus >= 1);
        assert!(!environment.argv[0].contains('/'));
    }
}
