//! Which source address and port a connection has, and back.
//!
//! The pairs of address and port have numbers, and slot `s` of `n` uses the numbers that leave the
//! remainder `s` when divided by `n`. So the numbers of a frame that arrives tell its slot without
//! any table, and a slot that opens one connection after another comes back to the first pair only
//! when all of its pairs were used.

use std::net::Ipv4Addr;

/// The first source port.
const FIRST_PORT: u16 = 2048;
/// Source ports of an address.
const PORTS: u32 = 60_000;

/// Source addresses in a row, and the slots that share them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuples {
    first: u32,
    /// Numbers in use: a multiple of `slots`.
    count: u32,
    slots: u32,
}

impl Tuples {
    /// For so many slots, which are not more than the ports of all addresses.
    pub(super) fn new(first: Ipv4Addr, addresses: u32, slots: u32) -> Self {
        let all = addresses * PORTS;
        Self {
            first: first.to_bits(),
            count: all / slots * slots,
            slots,
        }
    }

    /// Ports that connections come from.
    pub(super) const fn ports() -> std::ops::RangeInclusive<u16> {
        FIRST_PORT..=FIRST_PORT + (PORTS - 1) as u16
    }

    /// The most slots for so many addresses.
    pub(super) const fn most(addresses: u32) -> u32 {
        addresses * PORTS
    }

    /// The number for a slot to begin with: any of its own, as `random` decides.
    pub(super) fn begin(&self, slot: u32, random: u32) -> u32 {
        random % (self.count / self.slots) * self.slots + slot
    }

    /// The number that the slot of `number` uses next.
    pub(super) fn next(&self, number: u32) -> u32 {
        let next = number + self.slots;
        if next < self.count {
            next
        } else {
            next - self.count
        }
    }

    /// The slot that uses a number.
    #[inline]
    pub(super) fn slot(&self, number: u32) -> u32 {
        number % self.slots
    }

    /// The address and port of a number.
    pub(super) fn source(&self, number: u32) -> ([u8; 4], u16) {
        let address = self.first + number / PORTS;
        (address.to_be_bytes(), FIRST_PORT + (number % PORTS) as u16)
    }

    /// The number of an address and port; `None` when they are not ours.
    #[inline]
    pub(super) fn number(&self, address: [u8; 4], port: u16) -> Option<u32> {
        let address = u32::from_be_bytes(address).wrapping_sub(self.first);
        let port = u32::from(port.wrapping_sub(FIRST_PORT));
        if address > self.count / PORTS || port >= PORTS {
            return None;
        }
        let number = address * PORTS + port;
        (number < self.count).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_an_address_and_port_and_back() {
        let tuples = Tuples::new(Ipv4Addr::new(198, 18, 0, 250), 9, 1000);
        assert_eq!(tuples.count, 540_000);
        for number in [0, 1, 59_999, 60_000, 359_999, 360_000, 539_999] {
            let (address, port) = tuples.source(number);
            assert_eq!(tuples.number(address, port), Some(number));
        }
        assert_eq!(tuples.source(360_000), ([198, 18, 1, 0], FIRST_PORT));
        let nobody = [
            ([198, 18, 0, 249], FIRST_PORT),
            ([198, 18, 1, 3], FIRST_PORT),
            ([198, 18, 1, 0], FIRST_PORT - 1),
            ([198, 18, 1, 0], u16::MAX),
        ];
        for (address, port) in nobody {
            assert_eq!(tuples.number(address, port), None, "{address:?} {port}");
        }
    }

    #[test]
    fn a_slot_keeps_to_its_own_numbers_and_uses_them_all() {
        let tuples = Tuples::new(Ipv4Addr::new(10, 0, 0, 1), 1, 7);
        let first = tuples.begin(3, 123_456);
        let mut number = first;
        for _ in 0..60_000 / 7 {
            assert_eq!(tuples.slot(number), 3);
            assert!(number < tuples.count);
            number = tuples.next(number);
        }
        assert_eq!(number, first);
    }
}
