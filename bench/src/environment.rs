//! What a result depends on besides the program: kernel, processor, its mitigations, interfaces.

use crate::noise::Noise;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
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
    /// The compiler that built it.
    #[serde(default)]
    pub rustc_version: Option<String>,
    /// The command line that made the result.
    pub argv: Vec<String>,
    /// When it was started, in seconds since 1970 UTC.
    pub started_unix_s: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The kernel's build: number, options, date.
    #[serde(default)]
    pub kernel_version: Option<String>,
    /// The processor's name for itself.
    pub cpu_model: String,
    /// Processors that this process may use.
    pub cpus: usize,
    /// Cores of the machine, each of which may be two processors.
    #[serde(default)]
    pub cores: Option<usize>,
    /// True when a hypervisor is below; `None` where the processor does not tell.
    pub virtual_machine: Option<bool>,
    /// The kernel's mitigations that are not "Not affected".
    pub mitigations: BTreeMap<String, String>,
    /// The kernel's source of time.
    pub clocksource: Option<String>,
    /// The frequency governor of the first processor; none in most virtual machines.
    pub governor: Option<String>,
    /// Who gets huge pages without asking: `always`, `madvise`, `never`.
    #[serde(default)]
    pub transparent_huge_pages: Option<String>,
    /// Congestion control of the kernel's TCP where the program was started, by default. That of a
    /// lab is in `tcp`.
    pub congestion_control: Option<String>,
    /// Both ends of the wire, before the first round; each run has them as they were during it.
    pub interfaces: Vec<Interface>,
    /// The kernel's TCP at the ends of the wire that are ours.
    #[serde(default)]
    pub tcp: Vec<TcpSettings>,
    /// What the machine takes from a loop that only reads the clock; `None` when nobody looked.
    #[serde(default)]
    pub noise: Option<Noise>,
}

/// How the TCP of the kernel is set in one network namespace. What is not there is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TcpSettings {
    /// `client` or `server`.
    pub role: String,
    /// `net.ipv4.tcp_congestion_control`.
    pub congestion_control: Option<String>,
    /// That of the route to the other end, which comes before the one above.
    pub route_congestion_control: Option<String>,
    /// `net.ipv4.tcp_rmem`: least, first and greatest receive buffer, in octets.
    pub rmem_bytes: Option<[u64; 3]>,
    /// `net.ipv4.tcp_wmem`: least, first and greatest send buffer, in octets.
    pub wmem_bytes: Option<[u64; 3]>,
    /// `net.ipv4.tcp_sack`.
    pub sack: Option<u64>,
    /// `net.ipv4.tcp_timestamps`.
    pub timestamps: Option<u64>,
    /// `net.ipv4.tcp_ecn`.
    pub ecn: Option<u64>,
    /// `net.ipv4.tcp_tw_reuse`.
    pub tw_reuse: Option<u64>,
    /// `net.core.somaxconn`: connections in the queue of a listener.
    pub somaxconn: Option<u64>,
    /// `net.core.busy_poll` in microseconds, of the whole machine; seen by its first namespace only.
    pub busy_poll_us: Option<u64>,
}

impl TcpSettings {
    /// Reads them in the network namespace of this thread.
    pub(crate) fn read(role: &str) -> Self {
        let ipv4 = |name: &str| read(&format!("/proc/sys/net/ipv4/{name}"));
        let number = |text: Option<String>| text?.parse().ok();
        Self {
            role: role.to_owned(),
            congestion_control: ipv4("tcp_congestion_control"),
            route_congestion_control: None,
            rmem_bytes: ipv4("tcp_rmem").and_then(|text| three(&text)),
            wmem_bytes: ipv4("tcp_wmem").and_then(|text| three(&text)),
            sack: number(ipv4("tcp_sack")),
            timestamps: number(ipv4("tcp_timestamps")),
            ecn: number(ipv4("tcp_ecn")),
            tw_reuse: number(ipv4("tcp_tw_reuse")),
            somaxconn: number(read("/proc/sys/net/core/somaxconn")),
            busy_poll_us: number(read("/proc/sys/net/core/busy_poll")),
        }
    }

    /// With the congestion control that a route has, from what `ip route show` printed.
    pub(crate) fn with_route(self, routes: &str) -> Self {
        let mut words = routes
            .split_ascii_whitespace()
            .skip_while(|word| *word != "congctl");
        let found = words.nth(1).map(str::to_owned);
        Self {
            route_congestion_control: found,
            ..self
        }
    }

    /// All of them in one line: `congestion control cubic, rmem 4096 131072 6291456, ...`.
    pub fn line(&self) -> String {
        let unknown = || "unknown".to_owned();
        let number = |value: Option<u64>| value.map_or_else(unknown, |value| value.to_string());
        let three = |value: &Option<[u64; 3]>| match value {
            Some([least, first, most]) => format!("{least} {first} {most}"),
            None => unknown(),
        };
        let route = match &self.route_congestion_control {
            Some(name) => format!(", by route {name}"),
            None => String::new(),
        };
        format!(
            "congestion control {}{route}, rmem {}, wmem {}, sack {}, timestamps {}, ecn {}, tw_reuse {}, \
             somaxconn {}, busy_poll {}",
            self.congestion_control.clone().unwrap_or_else(unknown),
            three(&self.rmem_bytes),
            three(&self.wmem_bytes),
            number(self.sack),
            number(self.timestamps),
            number(self.ecn),
            number(self.tw_reuse),
            number(self.somaxconn),
            number(self.busy_poll_us)
        )
    }
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
            rustc_version: option_env!("BYWAY_RUSTC_VERSION").map(str::to_owned),
            argv: argv(),
            started_unix_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| elapsed.as_secs()),
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
            kernel_version: read("/proc/sys/kernel/version"),
            cpu_model: field(&cpuinfo, "model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus: crate::cpu::available(),
            cores: cores(&cpuinfo),
            virtual_machine: field(&cpuinfo, "flags")
                .map(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            mitigations: mitigations(),
            clocksource: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            transparent_huge_pages: read("/sys/kernel/mm/transparent_hugepage/enabled")
                .and_then(|text| chosen(&text)),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control"),
            interfaces,
            tcp: Vec::new(),
            noise: None,
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

/// The pairs of package and core that processors are of.
fn cores(cpuinfo: &str) -> Option<usize> {
    let cores: BTreeSet<(String, String)> = cpuinfo
        .split("\n\n")
        .filter_map(|cpu| Some((field(cpu, "physical id")?, field(cpu, "core id")?)))
        .collect();
    (!cores.is_empty()).then_some(cores.len())
}

/// The word in brackets: `always [madvise] never`.
fn chosen(text: &str) -> Option<String> {
    let word = text.split_ascii_whitespace().find(|w| w.starts_with('['))?;
    Some(word.trim_matches(['[', ']']).to_owned())
}

/// Three numbers with white space between.
fn three(text: &str) -> Option<[u64; 3]> {
    let numbers: Result<Vec<u64>, _> = text.split_ascii_whitespace().map(str::parse).collect();
    numbers.ok()?.try_into().ok()
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
    fn what_cannot_be_read_is_not_guessed() {
        let cpuinfo = "processor\t: 0\nphysical id\t: 0\ncore id\t\t: 0\n\n\
                       processor\t: 1\nphysical id\t: 0\ncore id\t\t: 0\n\n\
                       processor\t: 2\nphysical id\t: 1\ncore id\t\t: 0\n";
        assert_eq!(cores(cpuinfo), Some(2));
        assert_eq!(cores("processor\t: 0\n"), None);
        assert_eq!(chosen("always [madvise] never").as_deref(), Some("madvise"));
        assert_eq!(chosen(""), None);
        assert_eq!(
            three("4096\t131072\t6291456"),
            Some([4096, 131_072, 6_291_456])
        );
        assert_eq!(three("4096 131072"), None);
        assert!(TcpSettings::default().line().contains("sack unknown"));
        let routes = "default via 10.0.0.1 dev a\n10.0.0.0/24 dev a proto kernel congctl cubic\n";
        let with = |routes| TcpSettings::default().with_route(routes);
        assert!(
            with(routes)
                .line()
                .starts_with("congestion control unknown, by route cubic,")
        );
        assert_eq!(with("10.0.0.0/24 dev a\n").route_congestion_control, None);
    }

    #[test]
    fn this_machine_has_a_kernel_and_processors() {
        let environment = Environment::read(Vec::new());
        assert!(!environment.kernel.is_empty());
        assert!(environment.cpus >= 1);
        assert!(!environment.argv[0].contains('/'));
        assert!(
            environment
                .rustc_version
                .is_some_and(|v| v.starts_with("rustc 1."))
        );
        let tcp = TcpSettings::read("server");
        assert!(tcp.rmem_bytes.is_some_and(|[least, _, most]| least <= most));
        assert!(tcp.sack.is_some() && tcp.somaxconn.is_some());
        assert!(tcp.line().starts_with(&format!(
            "congestion control {}",
            tcp.congestion_control.unwrap()
        )));
    }
}
