//! The Ethernet address of the next station towards a server, from the kernel's tables.

use crate::error::BenchError;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

/// The kernel finds a neighbour within this, or there is none.
const LIMIT: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(10);
/// The port of the discard service: a datagram to it makes the kernel look for the neighbour.
const DISCARD: u16 = 9;

/// The address of the station that frames to `target` go to.
///
/// # Errors
/// When there is no route by this interface, or nobody answers.
pub(super) fn resolve(interface: &str, target: Ipv4Addr) -> Result<[u8; 6], BenchError> {
    let routes = read("/proc/thread-self/net/route")?;
    let Some(hop) = next_hop(&routes, interface, target) else {
        return Err(BenchError::Failed(format!(
            "there is no route to {target} by {interface}"
        )));
    };
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = station(&read("/proc/thread-self/net/arp")?, interface, hop) {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            let text = format!("nobody on {interface} answers for {hop}");
            return Err(BenchError::Failed(text));
        }
        // Whether it can be sent is seen in the table, where it matters.
        let _ = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
            .and_then(|socket| socket.send_to(&[], (hop, DISCARD)));
        std::thread::sleep(LOOK);
    }
}

fn read(path: &str) -> Result<String, BenchError> {
    std::fs::read_to_string(path).map_err(BenchError::io(format!("reading {path}")))
}

/// The router, or the target itself when it is on the link: the narrowest route counts, and of
/// equals the first.
fn next_hop(routes: &str, interface: &str, target: Ipv4Addr) -> Option<Ipv4Addr> {
    let mut best: Option<(u32, Ipv4Addr)> = None;
    for line in routes.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, destination, gateway, _, _, _, _, mask, ..] = words[..] else {
            continue;
        };
        // As the kernel has them in memory, in the byte order of the machine.
        let address = |hex: &str| {
            let word = u32::from_str_radix(hex, 16).ok()?;
            Some(Ipv4Addr::from(word.to_ne_bytes()))
        };
        let (Some(network), Some(gateway), Some(mask)) =
            (address(destination), address(gateway), address(mask))
        else {
            continue;
        };
        let width = mask.to_bits().count_ones();
        let matches = target.to_bits() & mask.to_bits() == network.to_bits();
        if name == interface && matches && best.is_none_or(|(other, _)| width > other) {
            best = Some((
                width,
                if gateway.is_unspecified() {
                    target
                } else {
                    gateway
                },
            ));
        }
    }
    best.map(|(_, hop)| hop)
}

/// The Ethernet address of a neighbour that the kernel knows.
fn station(table: &str, interface: &str, neighbour: Ipv4Addr) -> Option<[u8; 6]> {
    /// The entry has an address (ATF_COM).
    const COMPLETE: u32 = 2;
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, _, flags, station, _, name] = words[..] else {
            continue;
        };
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or(0);
        if address.parse() != Ok(neighbour) || name != interface || flags & COMPLETE == 0 {
            continue;
        }
        let mut octets = [0; 6];
        let mut parts = station.split(':');
        for octet in &mut octets {
            *octet = u8::from_str_radix(parts.next()?, 16).ok()?;
        }
        return Some(octets);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_narrowest_route_counts() {
        let routes = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
            eth0 00000000 0100000A 0003 0 0 0 00000000 0 0 0\n\
            eth0 00004D0A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n\
            eth1 01004D0A 0900000A 0003 0 0 0 FFFFFFFF 0 0 0\n";
        let hop = |interface, target: [u8; 4]| next_hop(routes, interface, target.into());
        assert_eq!(
            hop("eth0", [10, 77, 0, 1]),
            Some(Ipv4Addr::new(10, 77, 0, 1))
        );
        assert_eq!(hop("eth0", [9, 9, 9, 9]), Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(
            hop("eth1", [10, 77, 0, 1]),
            Some(Ipv4Addr::new(10, 0, 0, 9))
        );
        assert_eq!(hop("eth1", [9, 9, 9, 9]), None);
    }

    #[test]
    fn only_a_complete_entry_of_the_interface_is_an_address() {
        let table = "IP address HW type Flags HW address Mask Device\n\
            10.0.0.2 0x1 0x0 00:00:00:00:00:00 * eth0\n\
            10.0.0.3 0x1 0x2 02:b7:00:00:4d:02 * eth1\n\
            10.0.0.3 0x1 0x6 02:b7:00:00:4d:03 * eth0\n";
        let of = |interface, last| station(table, interface, Ipv4Addr::new(10, 0, 0, last));
        assert_eq!(of("eth0", 2), None);
        assert_eq!(of("eth1", 3), Some([2, 0xb7, 0, 0, 0x4d, 2]));
        assert_eq!(of("eth0", 3), Some([2, 0xb7, 0, 0, 0x4d, 3]));
        assert_eq!(of("eth0", 4), None);
    }
}
