//! What looks plain, and is not.

use byway_wire::ethernet::{self, MacAddr};
use byway_wire::ip::Ecn;
use byway_wire::tcp::{Flags, Header};
use byway_wire::{Address, Endpoint, FlowKey, checksum, frame, plain};

const TO: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn plain_frame() -> Vec<u8> {
    let link = ethernet::Header {
        dst: TO,
        ..ethernet::Header::default()
    };
    let flow = FlowKey {
        local: Endpoint::new(Address::v4([10, 0, 0, 2]), 1000),
        remote: Endpoint::new(Address::v4([10, 0, 0, 1]), 80),
    };
    let mut bytes = vec![7; 100];
    let header = Header {
        flags: Flags::ACK,
        ..Header::default()
    };
    frame::emit_tcp(
        &mut bytes,
        &link,
        &flow,
        &header,
        Ecn::NotEct,
        46,
        checksum::sum,
    )
    .unwrap();
    bytes
}

/// Changes an octet of the IP header, and makes its checksum right again.
fn with_ip_octet(at: usize, octet: u8) -> Vec<u8> {
    let mut bytes = plain_frame();
    bytes[14 + at] = octet;
    bytes[24..26].fill(0);
    let sum = checksum::finish(checksum::sum(&bytes[14..34]));
    bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    bytes
}

#[test]
fn what_only_looks_plain_is_not() {
    let read = |bytes: &[u8]| plain::parse(bytes, None, checksum::sum).is_some();
    assert!(read(&plain_frame()));
    assert!(read(&with_ip_octet(8, 3)), "another hop limit");
    assert!(!read(&with_ip_octet(6, 0x20)), "more fragments");
    assert!(!read(&with_ip_octet(6, 0x01)), "a fragment, high");
    assert!(!read(&with_ip_octet(7, 0x01)), "a fragment, low");
    assert!(!read(&with_ip_octet(9, 17)), "UDP");
    assert!(!read(&with_ip_octet(0, 0x65)), "version 6");
    let mut group = plain_frame();
    group[0] |= 1;
    assert!(!read(&group), "to a group");
}
