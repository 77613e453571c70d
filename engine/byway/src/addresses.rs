//! Where to listen: checks against the interface's addresses and the kernel's own sockets.

use crate::SetupError;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

/// A wish to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// At an address, or at all of a family if it is unspecified.
    At(SocketAddr),
    /// At this port of every address.
    Everywhere(u16),
}

/// The endpoints that a wish stands for.
pub(crate) fn expand(
    wish: Wish,
    local: &[IpAddr],
    interface: &str,
) -> Result<Vec<SocketAddr>, SetupError> {
    let (step, port) = match wish {
        Wish::At(address) => (format!("address {address}"), address.port()),
        Wish::Everywhere(port) => (format!("port {port}"), port),
    };
    if port == 0 {
        let hint = "say which port: ADDRESS:PORT";
        return Err(SetupError::new(
            step,
            "port 0 is nothing to listen on",
            hint,
        ));
    }
    let (wanted, missing): (Vec<IpAddr>, &str) = match wish {
        Wish::Everywhere(_) => (local.to_vec(), "has no address"),
        Wish::At(at) if !at.ip().is_unspecified() => {
            let found = local.iter().copied().filter(|address| *address == at.ip());
            (found.collect(), "does not have this address")
        }
        Wish::At(at) => {
            let family = local
                .iter()
                .copied()
                .filter(|address| address.is_ipv4() == at.is_ipv4());
            let missing = if at.is_ipv4() {
                "has no IPv4 address"
            } else {
                "has no IPv6 address"
            };
            (family.collect(), missing)
        }
    };
    if wanted.is_empty() {
        let cause = format!("{interface} {missing}");
        return Err(SetupError::new(step, cause, hint(local, interface)));
    }
    Ok(wanted
        .into_iter()
        .map(|address| SocketAddr::new(address, port))
        .collect())
}

fn hint(local: &[IpAddr], interface: &str) -> String {
    if local.is_empty() {
        return format!("`ip address add ADDRESS/PREFIX dev {interface}` gives it one");
    }
    let names: Vec<String> = local.iter().map(IpAddr::to_string).collect();
    format!("{interface} has {}", names.join(", "))
}

/// The ports from which the kernel opens connections by itself.
pub(crate) fn kernel_ports() -> Option<RangeInclusive<u16>> {
    parse_ports(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)
}

fn parse_ports(text: &str) -> Option<RangeInclusive<u16>> {
    let mut words = text.split_whitespace().map(|word| word.parse().ok());
    Some(words.next()??..=words.next()??)
}

/// Where sockets of the kernel listen for TCP, in this network namespace.
pub(crate) fn kernel_listeners() -> Vec<SocketAddr> {
    ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| parse_listeners(&table))
        .collect()
}

/// The lines of /proc/net/tcp{,6} whose state is LISTEN.
fn parse_listeners(table: &str) -> Vec<SocketAddr> {
    const LISTEN: &str = "0A";
    let of_line = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next()?;
        let state = fields.nth(1)?;
        let (address, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (state == LISTEN).then_some(SocketAddr::new(parse_hex(address)?, port))
    };
    table.lines().filter_map(of_line).collect()
}

/// An address as /proc writes it: words of 32 bits in the byte order of the machine.
fn parse_hex(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = text.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut octets = [0; 16];
            for (at, chunk) in octets.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(octets)))
        }
        _ => None,
    }
}

/// True when our listener takes connections that the kernel's would have got.
pub(crate) fn shadows(ours: SocketAddr, kernel: SocketAddr) -> bool {
    // A listener on :: takes IPv4 as well, unless told otherwise, which cannot be seen.
    let any = kernel.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        || (kernel.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) && ours.is_ipv4());
    kernel.port() == ours.port() && (any || kernel.ip() == ours.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> Vec<IpAddr> {
        ["10.0.0.1", "10.0.0.2", "fd00::1"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect()
    }

    fn names(wish: &str, local: &[IpAddr]) -> Result<Vec<String>, SetupError> {
        let all = expand(Wish::At(wish.parse().unwrap()), local, "eth0")?;
        Ok(all.iter().map(SocketAddr::to_string).collect())
    }

    #[test]
    fn an_unspecified_address_stands_for_its_family() {
        assert_eq!(names("10.0.0.2:7", &local()).unwrap(), ["10.0.0.2:7"]);
        assert_eq!(
            names("0.0.0.0:7", &local()).unwrap(),
            ["10.0.0.1:7", "10.0.0.2:7"]
        );
        assert_eq!(names("[::]:7", &local()).unwrap(), ["[fd00::1]:7"]);
        assert_eq!(
            expand(Wish::Everywhere(7), &local(), "eth0").unwrap().len(),
            3
        );
    }

    #[test]
    fn a_foreign_address_is_refused_with_those_there_are() {
        let error = names("10.0.0.3:7", &local()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "address 10.0.0.3:7: eth0 does not have this address"
        );
        assert_eq!(error.hint(), "eth0 has 10.0.0.1, 10.0.0.2, fd00::1");
        let error = names("[::]:7", &local()[..2]).unwrap_err();
        assert_eq!(error.cause(), "eth0 has no IPv6 address");
        let error = names("0.0.0.0:7", &[]).unwrap_err();
        assert!(error.hint().contains("ip address add"));
        assert!(names("10.0.0.1:0", &local()).is_err());
        let error = expand(Wish::Everywhere(7), &[], "eth0").unwrap_err();
        assert_eq!(error.to_string(), "port 7: eth0 has no address");
    }

    #[test]
    fn the_kernels_port_range_is_read() {
        assert_eq!(parse_ports("32768\t60999\n"), Some(32768..=60999));
        assert_eq!(parse_ports("x y"), None);
        assert_eq!(parse_ports("1"), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_listeners_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
             0: 0100000A:0050 00000000:0000 0A 00000000:00000000\n\
             1: 0100000A:0051 0200000A:1234 01 00000000:00000000\n\
             2: 00000000000000000000000000000000:0007 0:0 0A 0\n\
             3: 000000FD000000000000000001000000:0016 0:0 0A 0\n";
        let names: Vec<String> = parse_listeners(table)
            .iter()
            .map(SocketAddr::to_string)
            .collect();
        assert_eq!(names, ["10.0.0.1:80", "[::]:7", "[fd00::1]:22"]);
    }

    #[test]
    fn whose_connections_are_taken() {
        for (ours, kernel, expected) in [
            ("10.0.0.1:7", "10.0.0.1:7", true),
            ("10.0.0.1:7", "10.0.0.1:8", false),
            ("10.0.0.1:7", "10.0.0.2:7", false),
            ("10.0.0.1:7", "0.0.0.0:7", true),
            ("10.0.0.1:7", "[::]:7", true),
            ("[fd00::1]:7", "[::]:7", true),
            ("[fd00::1]:7", "0.0.0.0:7", false),
        ] {
            let shadowed = shadows(ours.parse().unwrap(), kernel.parse().unwrap());
            assert_eq!(shadowed, expected, "{ours} {kernel}");
        }
    }
}
