//! Quantities as people write them: `1%`, `20ms`, `10mbit`, `64k`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A share of all frames, from none to all.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share(f64);

impl Share {
    /// None of them.
    pub const NONE: Self = Self(0.0);

    /// From a fraction, 0.0 to 1.0; none for anything else.
    pub fn new(fraction: f64) -> Option<Self> {
        (0.0..=1.0).contains(&fraction).then_some(Self(fraction))
    }

    /// As a fraction, 0.0 to 1.0.
    pub fn fraction(self) -> f64 {
        self.0
    }
}

impl FromStr for Share {
    type Err = String;

    /// Reads a percentage. The sign is required: `0.01` would be one in a hundred to some and one
    /// in ten thousand to others.
    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_suffix('%').unwrap_or("");
        let share = percent.trim_end().parse::<f64>().ok();
        share
            .and_then(|percent| Self::new(percent / 100.0))
            .ok_or_else(|| "a percentage such as 1% or 0.05%".to_owned())
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0 * 100.0)
    }
}

/// Bits per second of a link, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

impl Rate {
    /// From bits per second, 8 at least; none for less.
    pub fn bits_per_second(bits: u64) -> Option<Self> {
        (bits >= 8).then_some(Self(bits))
    }

    /// How long this many octets take, rounded up to a nanosecond.
    pub fn time_for(self, octets: usize) -> Duration {
        let bit_nanos = (octets as u128) * 8 * 1_000_000_000;
        let nanos = bit_nanos.div_ceil(u128::from(self.0));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let factor = match unit.as_str() {
            "bit" => 1.0,
            "kbit" => 1e3,
            "mbit" => 1e6,
            "gbit" => 1e9,
            _ => f64::NAN,
        };
        let bits = number.map(|number| number * factor);
        bits.filter(|bits| (8.0..1e15).contains(bits))
            .and_then(|bits| Self::bits_per_second(bits as u64))
            .ok_or_else(|| "bits per second such as 500kbit, 10mbit or 1gbit".to_owned())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (factor, unit) in [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1000, "kbit")] {
            if self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}bit", self.0)
    }
}

/// How much may wait for a link that is busy. What is being sent at the moment does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueLimit {
    /// This many frames.
    Frames(usize),
    /// This many octets, Ethernet headers included.
    Octets(usize),
}

impl FromStr for QueueLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let whole = number.filter(|number| number.fract() == 0.0 && (0.0..1e9).contains(number));
        let limit = whole.and_then(|number| {
            let number = number as usize;
            match unit.as_str() {
                "" => Some(Self::Frames(number)),
                "b" => Some(Self::Octets(number)),
                "k" | "kb" => Some(Self::Octets(number << 10)),
                "m" | "mb" => Some(Self::Octets(number << 20)),
                _ => None,
            }
        });
        limit.ok_or_else(|| "frames such as 100, or octets such as 64k".to_owned())
    }
}

impl fmt::Display for QueueLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frames(frames) => write!(f, "{frames}"),
            Self::Octets(octets) => write!(f, "{octets}b"),
        }
    }
}

/// Reads a time such as `20ms`, `1.5s`, `300us` or `0`; a minute at most.
///
/// # Errors
/// What would have been a time.
pub fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds_of_unit = match unit.as_str() {
        "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "" if number == Some(0.0) => 1.0,
        _ => f64::NAN,
    };
    let seconds = number.map(|number| number * seconds_of_unit);
    seconds
        .filter(|seconds| (0.0..=60.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "a time such as 300us, 20ms or 1.5s, a minute at most".to_owned())
}

/// A number and the letters behind it, in lower case.
fn split(text: &str) -> (Option<f64>, String) {
    let at = text.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = text.split_at(at.unwrap_or(text.len()));
    (number.parse().ok(), unit.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_need_their_sign() {
        for (text, fraction) in [("1%", 0.01), ("0%", 0.0), ("100%", 1.0), ("0.05 %", 0.0005)] {
            let share: Share = text.parse().unwrap();
            assert!((share.fraction() - fraction).abs() < 1e-12, "{text}");
        }
        for text in ["1", "0.01", "%", "101%", "-1%", "NaN%", "inf%", "1%%", ""] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_bits() {
        for (text, bits) in [
            ("10mbit", 10_000_000),
            ("1.5Gbit", 1_500_000_000),
            ("8bit", 8),
        ] {
            assert_eq!(text.parse::<Rate>(), Ok(Rate(bits)), "{text}");
        }
        // `mbps` means megabytes to tc, and megabits to everyone else.
        for text in [
            "10", "10mbps", "0mbit", "-1mbit", "mbit", "7bit", "1e99gbit", "NaNbit",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        let rate: Rate = "200mbit".parse().unwrap();
        assert_eq!(rate.time_for(1514), Duration::from_nanos(60_560));
        assert_eq!(Rate(3).time_for(1), Duration::from_nanos(2_666_666_667));
        assert_eq!(Rate(8).time_for(usize::MAX), Duration::from_nanos(u64::MAX));
        for text in ["10mbit", "1500kbit", "12345bit", "2gbit"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn queues_are_frames_or_octets() {
        for (text, limit) in [
            ("100", QueueLimit::Frames(100)),
            ("0", QueueLimit::Frames(0)),
            ("64k", QueueLimit::Octets(65_536)),
            ("64KB", QueueLimit::Octets(65_536)),
            ("1500b", QueueLimit::Octets(1500)),
            ("2m", QueueLimit::Octets(2 << 20)),
        ] {
            assert_eq!(text.parse(), Ok(limit), "{text}");
        }
        for text in ["", "1.5", "-1", "k", "10x", "NaN", "1e10"] {
            assert!(text.parse::<QueueLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_need_a_unit() {
        assert_eq!(time("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(time("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(time("300us"), Ok(Duration::from_micros(300)));
        assert_eq!(time("0"), Ok(Duration::ZERO));
        for text in ["20", "ms", "-1ms", "61s", "NaNs", "1m", ""] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
