//! What a script can do with a tested stack.

use crate::script::{Call, Check};
use byway_wire::Address;
use std::time::Duration;

/// Port of the tested side at which `listen` listens.
pub(crate) const LISTENING: u16 = 7;
/// Port of the peer until a script says another.
pub(crate) const PEER: u16 = 40_000;

/// Addresses of the tested side and of the peer.
pub(crate) fn addresses(v6: bool) -> (Address, Address) {
    let address = |host| match v6 {
        false => Address::v4([10, 77, 0, host]),
        true => Address::v6([0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]),
    };
    (address(1), address(2))
}

/// A stack under test, with its application. Times count from the start of the script.
pub(crate) trait Subject {
    /// The time.
    fn now(&mut self) -> Duration;

    /// An IP packet arrives.
    fn inject(&mut self, packet: &[u8]) -> Result<(), String>;

    /// The next IP packet that was sent, and when; waits for it until then.
    fn next(&mut self, until: Duration) -> Option<(Duration, Vec<u8>)>;

    /// The application acts. An error says why it cannot.
    fn call(&mut self, call: Call, peer: u16) -> Result<(), String>;

    /// Whether this is so now; an error says what is so instead.
    fn check(&mut self, check: Check, peer: u16) -> Result<(), String>;

    /// Lets some time pass, but not beyond `until`: as long as nothing can change.
    fn step(&mut self, until: Duration);

    /// How much earlier and later than after `time` something may be.
    fn tolerance(&self, time: Duration) -> (Duration, Duration);
}
