//! Source addresses in a row.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// So many addresses from the first one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The first address.
    pub first: Ipv4Addr,
    /// How many there are, 1 to [`Sources::MOST`].
    pub count: u32,
}

impl Sources {
    /// As many as the steering program holds.
    pub const MOST: u32 = byway_xdp::Steering::ADDRESSES as u32;
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.count)
    }
}

impl FromStr for Sources {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .map(|(first, count)| (first.parse(), count.parse()));
        let Some((Ok(first), Ok(count))) = parts else {
            return Err("an IPv4 address, a slash and a number of addresses".to_owned());
        };
        let last = u32::from(first).checked_add(count);
        if !(1..=Self::MOST).contains(&count) || last.is_none() {
            return Err(format!("1 to {} addresses", Self::MOST));
        }
        Ok(Self { first, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_a_first_address_and_a_number() {
        let text = "198.18.0.1/254";
        assert_eq!(text.parse::<Sources>().unwrap().to_string(), text);
        for wrong in [
            "198.18.0.1",
            "198.18.0.1/0",
            "198.18.0.1/1025",
            "x/1",
            "255.255.255.255/2",
        ] {
            assert!(wrong.parse::<Sources>().is_err(), "{wrong}");
        }
    }
}
