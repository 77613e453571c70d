//! `--set key=value`: parameters of TCP and limits, by name.

use byway::{CongestionAlgorithm, ConnOptions, Dscp, Ecn, Limits, TcpConfig};
use std::time::Duration;

/// What can be set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) tcp: TcpConfig,
    pub(crate) limits: Limits,
    pub(crate) options: ConnOptions,
}

/// One key: its name, what its value looks like, how it is set.
struct Key {
    name: &'static str,
    form: &'static str,
    set: fn(&mut Settings, &str) -> Option<()>,
}

const ON_OFF: &str = "on|off";
const COUNT: &str = "a number";
const CONGESTION: &str = "cubic|reno";
const ECN: &str = "off|asked|on";

/// Every key. Ranges are those in which TCP keeps its promises.
static KEYS: [Key; 26] = [
    Key {
        name: "rcv_buf",
        form: "octets, 4K to 1G",
        set: |to, text| octets(text).map(|value| to.tcp.rcv_buf = value),
    },
    Key {
        name: "snd_buf",
        form: "octets, 4K to 1G",
        set: |to, text| octets(text).map(|value| to.tcp.snd_buf = value),
    },
    Key {
        name: "rcv_buf_initial",
        form: "octets, 4K to 1G",
        set: |to, text| octets(text).map(|value| to.tcp.rcv_buf_initial = value),
    },
    Key {
        name: "snd_buf_initial",
        form: "octets, 4K to 1G",
        set: |to, text| octets(text).map(|value| to.tcp.snd_buf_initial = value),
    },
    Key {
        name: "pacing",
        form: ON_OFF,
        set: |to, text| switch(text).map(|value| to.tcp.pacing = value),
    },
    Key {
        name: "ecn",
        form: ECN,
        set: |to, text| ecn(text).map(|value| to.tcp.ecn = value),
    },
    Key {
        name: "window_scaling",
        form: ON_OFF,
        set: |to, text| switch(text).map(|value| to.tcp.window_scaling = value),
    },
    Key {
        name: "timestamps",
        form: ON_OFF,
        set: |to, text| switch(text).map(|value| to.tcp.timestamps = value),
    },
    Key {
        name: "sack",
        form: ON_OFF,
        set: |to, text| switch(text).map(|value| to.tcp.sack = value),
    },
    Key {
        name: "nagle",
        form: ON_OFF,
        set: |to, text| switch(text).map(|value| to.tcp.nagle = value),
    },
    Key {
        name: "keep_alive",
        form: ON_OFF,
        set: |to, text| switch(text).map(|value| to.options.keep_alive = Some(value)),
    },
    Key {
        name: "cc",
        form: CONGESTION,
        set: |to, text| congestion(text).map(|value| to.options.congestion = Some(value)),
    },
    Key {
        name: "user_timeout",
        form: "time, 0 (never) to 4h",
        set: |to, text| time(text, 0, 4 * 3_600_000).map(|value| to.set_user_timeout(value)),
    },
    Key {
        name: "dscp",
        form: "a number, 0 to 63",
        set: |to, text| {
            let dscp = Dscp::new(number(text, 0, 63)? as u8)?;
            to.options.dscp = Some(dscp);
            Some(())
        },
    },
    Key {
        name: "ttl",
        form: "a number, 1 to 255",
        set: |to, text| number(text, 1, 255).map(|value| to.options.hop_limit = Some(value as u8)),
    },
    Key {
        name: "initial_window",
        form: "segments, 1 to 1000",
        set: |to, text| number(text, 1, 1000).map(|value| to.tcp.initial_window = value),
    },
    Key {
        name: "rto_initial",
        form: "time, 1ms to 60s",
        set: |to, text| time(text, 1, 60_000).map(|value| to.tcp.rto_initial = value),
    },
    Key {
        name: "rto_min",
        form: "time, 1ms to 60s",
        set: |to, text| time(text, 1, 60_000).map(|value| to.tcp.rto_min = value),
    },
    Key {
        name: "delayed_ack",
        form: "time, 0 to 500ms",
        set: |to, text| time(text, 0, 500).map(|value| to.tcp.delayed_ack = value),
    },
    Key {
        name: "syn_retries",
        form: "a number, 0 to 127",
        set: |to, text| number(text, 0, 127).map(|value| to.tcp.syn_retries = value as u8),
    },
    Key {
        name: "retries",
        form: "a number, 3 to 127",
        set: |to, text| number(text, 3, 127).map(|value| to.tcp.retries = value as u8),
    },
    Key {
        name: "time_wait",
        form: "time, 0 to 240s",
        set: |to, text| time(text, 0, 240_000).map(|value| to.tcp.time_wait = value),
    },
    Key {
        name: "fin_wait_2",
        form: "time, 1s to 240s",
        set: |to, text| time(text, 1000, 240_000).map(|value| to.tcp.fin_wait_2 = value),
    },
    Key {
        name: "syn_cookies",
        form: ON_OFF,
        set: |to, text| switch(text).map(|value| to.tcp.syn_cookies = value),
    },
    Key {
        name: "max_connections",
        form: COUNT,
        set: |to, text| number(text, 1, 16_000_000).map(|value| to.limits.max_connections = value),
    },
    Key {
        name: "syn_queue",
        form: COUNT,
        set: |to, text| number(text, 1, 1_000_000).map(|value| to.limits.syn_queue = value),
    },
];

impl Settings {
    /// Zero is no limit on how long data may stay unacknowledged.
    fn set_user_timeout(&mut self, timeout: Duration) {
        self.options.user_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
    }

    /// The defaults, changed by each `key=value`.
    pub(crate) fn read(assignments: &[String]) -> Result<Self, String> {
        let mut settings = Self::default();
        for assignment in assignments {
            let (name, value) = assignment
                .split_once('=')
                .ok_or_else(|| format!("{assignment:?} is not KEY=VALUE"))?;
            let key = KEYS
                .iter()
                .find(|key| key.name == name.replace('-', "_"))
                .ok_or_else(|| format!("there is no setting {name:?}"))?;
            (key.set)(&mut settings, value)
                .ok_or_else(|| format!("{value:?} is no value of {name}: {}", key.form))?;
        }
        Ok(settings)
    }

    /// The names of all keys.
    pub(crate) fn names() -> String {
        KEYS.iter()
            .map(|key| key.name)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// A line for each key, with its form and its default.
    pub(crate) fn help() -> String {
        let mut text = String::from("Settings for --set, with their defaults:\n");
        for key in &KEYS {
            let default = Self::default().show(key.name);
            text += &format!("  {:<16} {:<22} {default}\n", key.name, key.form);
        }
        text
    }

    /// The value of a key as one would write it.
    fn show(&self, name: &str) -> String {
        let (tcp, limits, options) = (&self.tcp, &self.limits, &self.options);
        let on = |value: bool| if value { "on" } else { "off" }.to_owned();
        match name {
            "rcv_buf" => format!("{}K", tcp.rcv_buf / 1024),
            "snd_buf" => format!("{}K", tcp.snd_buf / 1024),
            "rcv_buf_initial" => format!("{}K", tcp.rcv_buf_initial / 1024),
            "snd_buf_initial" => format!("{}K", tcp.snd_buf_initial / 1024),
            "pacing" => on(tcp.pacing),
            "ecn" => match tcp.ecn {
                Ecn::Off => "off".to_owned(),
                Ecn::WhenAsked => "asked".to_owned(),
                Ecn::On => "on".to_owned(),
            },
            "window_scaling" => on(tcp.window_scaling),
            "timestamps" => on(tcp.timestamps),
            "sack" => on(tcp.sack),
            "nagle" => on(tcp.nagle),
            "keep_alive" => on(options.keep_alive == Some(true)),
            "cc" => match options.congestion.unwrap_or_default() {
                CongestionAlgorithm::Cubic => "cubic".to_owned(),
                CongestionAlgorithm::Reno => "reno".to_owned(),
            },
            "user_timeout" => options
                .user_timeout
                .map_or_else(|| "0".to_owned(), |timeout| format!("{timeout:?}")),
            "dscp" => options.dscp.unwrap_or_default().get().to_string(),
            "ttl" => options.hop_limit.unwrap_or(64).to_string(),
            "syn_cookies" => on(tcp.syn_cookies),
            "initial_window" => tcp.initial_window.to_string(),
            "rto_initial" => format!("{:?}", tcp.rto_initial),
            "rto_min" => format!("{:?}", tcp.rto_min),
            "delayed_ack" => format!("{:?}", tcp.delayed_ack),
            "syn_retries" => tcp.syn_retries.to_string(),
            "retries" => tcp.retries.to_string(),
            "time_wait" => format!("{:?}", tcp.time_wait),
            "fin_wait_2" => format!("{:?}", tcp.fin_wait_2),
            "max_connections" => limits.max_connections.to_string(),
            "syn_queue" => limits.syn_queue.to_string(),
            _ => String::new(),
        }
    }
}

fn congestion(text: &str) -> Option<CongestionAlgorithm> {
    match text {
        "cubic" => Some(CongestionAlgorithm::Cubic),
        "reno" => Some(CongestionAlgorithm::Reno),
        _ => None,
    }
}

fn ecn(text: &str) -> Option<Ecn> {
    match text {
        "off" => Some(Ecn::Off),
        "asked" => Some(Ecn::WhenAsked),
        "on" => Some(Ecn::On),
        _ => None,
    }
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

fn number(text: &str, least: u32, most: u32) -> Option<u32> {
    text.parse()
        .ok()
        .filter(|value| (least..=most).contains(value))
}

/// A size of a buffer: `65536`, `64K`, `4M`, `1G`.
fn octets(text: &str) -> Option<u32> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        b'G' | b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let value = digits.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    (4096..=1 << 30).contains(&value).then_some(value as u32)
}

/// A time between bounds in milliseconds: `40ms`, `1.5s`, `200us`.
pub(crate) fn time(text: &str, least_ms: u64, most_ms: u64) -> Option<Duration> {
    let at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let seconds_of_unit = match unit {
        "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "" if digits == "0" => 1.0,
        _ => return None,
    };
    let seconds = digits.parse::<f64>().ok()? * seconds_of_unit;
    let time = Duration::try_from_secs_f64(seconds).ok()?;
    let bounds = Duration::from_millis(least_ms)..=Duration::from_millis(most_ms);
    bounds.contains(&time).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(assignments: &[&str]) -> Result<Settings, String> {
        let owned: Vec<String> = assignments.iter().map(|text| (*text).to_owned()).collect();
        Settings::read(&owned)
    }

    #[test]
    fn every_key_takes_its_own_default() {
        for key in &KEYS {
            let default = Settings::default().show(key.name);
            assert!(!default.is_empty(), "{} has no default", key.name);
            let settings = read(&[&format!("{}={default}", key.name)]).unwrap();
            assert_eq!(settings.show(key.name), default);
        }
    }

    #[test]
    fn every_key_changes_what_it_names_and_nothing_else() {
        for key in &KEYS {
            let value = match key.form {
                ON_OFF if Settings::default().show(key.name) == "on" => "off",
                ON_OFF => "on",
                CONGESTION => "reno",
                ECN => "on",
                form if form.starts_with("octets") => "8K",
                form if form.starts_with("time") => "123ms",
                _ => "17",
            };
            let value = if key.name == "fin_wait_2" {
                "17s"
            } else {
                value
            };
            let settings = read(&[&format!("{}={value}", key.name)]).unwrap();
            for other in &KEYS {
                let changed = settings.show(other.name) != Settings::default().show(other.name);
                assert_eq!(
                    changed,
                    other.name == key.name,
                    "{} by {}",
                    other.name,
                    key.name
                );
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, expected) in [
            ("color=red", "there is no setting \"color\""),
            ("cc=bbr", "\"bbr\" is no value of cc: cubic|reno"),
            ("dscp=64", "\"64\" is no value of dscp: a number, 0 to 63"),
            ("ttl=0", "\"0\" is no value of ttl: a number, 1 to 255"),
            ("nagle", "\"nagle\" is not KEY=VALUE"),
            ("nagle=1", "\"1\" is no value of nagle: on|off"),
            (
                "rcv_buf=1K",
                "\"1K\" is no value of rcv_buf: octets, 4K to 1G",
            ),
            (
                "rcv_buf=2G",
                "\"2G\" is no value of rcv_buf: octets, 4K to 1G",
            ),
            (
                "delayed_ack=1s",
                "\"1s\" is no value of delayed_ack: time, 0 to 500ms",
            ),
            (
                "rto_min=nan",
                "\"nan\" is no value of rto_min: time, 1ms to 60s",
            ),
            (
                "retries=-1",
                "\"-1\" is no value of retries: a number, 3 to 127",
            ),
        ] {
            assert_eq!(read(&[text]).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_hyphen_is_as_good_as_an_underscore() {
        assert!(!read(&["syn-cookies=off"]).unwrap().tcp.syn_cookies);
    }

    #[test]
    fn times_and_sizes() {
        assert_eq!(time("1.5s", 0, 2000), Some(Duration::from_millis(1500)));
        assert_eq!(time("200us", 0, 1), Some(Duration::from_micros(200)));
        assert_eq!(time("5", 0, 10_000), None);
        assert_eq!(octets("1G"), Some(1 << 30));
        assert_eq!(octets("K"), None);
        assert_eq!(octets(""), None);
    }
}
