//! What holds for every frame: what is written is read back, and no octets can make it panic.

mod fixtures;

use byway_wire::checksum;
use byway_wire::ethernet::{self, MacAddr};
use byway_wire::frame::{self, ChecksumState, Packet};
use byway_wire::ip::Ecn;
use byway_wire::tcp::{self, Flags, Options, SackBlock, Timestamps, WindowScale, WireWindow};
use byway_wire::{Address, Endpoint, FlowKey, SeqNumber, plain};
use proptest::prelude::*;

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(|mut octets| {
        octets[0] &= 0xfe;
        MacAddr(octets)
    })
}

fn link() -> impl Strategy<Value = ethernet::Header> {
    (
        mac(),
        mac(),
        proptest::option::of((1u16..4096, proptest::option::of(1u16..4096))),
    )
        .prop_map(|(src, dst, tags)| ethernet::Header {
            src,
            dst,
            vlan: tags.map(|(vlan, _)| vlan),
            outer_vlan: tags.and_then(|(_, outer)| outer),
        })
}

fn flow() -> impl Strategy<Value = FlowKey> {
    // Any network that has hosts: neither 0/8 nor loopback, multicast or reserved.
    let v4 = any::<[u8; 4]>().prop_map(|[a, b, c, d]| Address::v4([a % 126 + 1, b, c, d]));
    let v6 = any::<[u8; 16]>().prop_map(|mut octets| {
        octets[0] = 0x20;
        Address::v6(octets)
    });
    let ends = prop_oneof![(v4.clone(), v4).boxed(), (v6.clone(), v6).boxed()];
    (ends, any::<[u16; 2]>()).prop_map(|((local, remote), [ours, theirs])| FlowKey {
        local: Endpoint::new(local, ours),
        remote: Endpoint::new(remote, theirs),
    })
}

fn options() -> impl Strategy<Value = Options> {
    let block = any::<[u32; 2]>().prop_map(|[left, right]| SackBlock {
        left: SeqNumber::new(left),
        right: SeqNumber::new(right),
    });
    (
        proptest::option::of(1u16..),
        proptest::option::of(0u8..=14),
        any::<bool>(),
        proptest::option::of(any::<[u32; 2]>()),
        proptest::collection::vec(block, 0..5),
    )
        .prop_map(|(mss, scale, sack_permitted, timestamps, blocks)| {
            let mut options = Options {
                mss,
                window_scale: scale.map(WindowScale::clamped),
                sack_permitted,
                timestamps: timestamps.map(|[value, echo]| Timestamps { value, echo }),
                sack: Default::default(),
            };
            blocks
                .into_iter()
                .for_each(|block| options.sack.push(block));
            options
        })
}

fn header() -> impl Strategy<Value = tcp::Header> {
    (any::<[u32; 2]>(), any::<[u16; 2]>(), any::<u8>(), options()).prop_map(
        |([seq, ack], [window, urgent], flags, options)| tcp::Header {
            seq: SeqNumber::new(seq),
            ack: SeqNumber::new(ack),
            flags: Flags::from_bits(flags),
            window: WireWindow(window),
            urgent,
            options,
            ..tcp::Header::default()
        },
    )
}

/// What is left of the options after a journey: SACK blocks that fit, and what a SYN may carry
/// only on a SYN.
fn received(sent: &tcp::Header) -> Options {
    let mut options = Options {
        sack: Default::default(),
        ..sent.options
    };
    let fixed = tcp::Header { options, ..*sent }.header_len();
    let room = (60 - 4 - fixed) / 8;
    for block in sent.options.sack.as_slice().iter().take(room) {
        options.sack.push(*block);
    }
    if !sent.flags.contains(Flags::SYN) {
        options.mss = None;
        options.window_scale = None;
        options.sack_permitted = false;
    }
    options
}

proptest! {
    //= rfc9293 3.1 MUST-2
    #[test]
    fn what_is_written_is_read_back(
        link in link(),
        flow in flow(),
        header in header(),
        ecn in 0u8..4,
        payload in proptest::collection::vec(any::<u8>(), 0..1500),
        padding in 0usize..20,
        cut in any::<proptest::sample::Index>(),
    ) {
        let ecn = Ecn::from_bits(ecn);
        let start = frame::tcp_headers_len(&link, &flow, &header);
        let mut bytes = vec![0xee; start];
        bytes.extend(&payload);
        let end = bytes.len();
        bytes.extend(vec![0xee; padding]);
        let len = frame::emit_tcp(
            &mut bytes, &link, &flow, &header, ecn, payload.len(), checksum::sum,
        );
        prop_assert_eq!(len, Some(end));

        let Packet::Tcp(segment) = frame::parse(&bytes) else {
            panic!("not a segment: {:?}", frame::parse(&bytes));
        };
        prop_assert_eq!(segment.link, link);
        prop_assert_eq!(segment.flow, FlowKey { local: flow.remote, remote: flow.local });
        prop_assert_eq!((segment.ecn, segment.hop_limit), (ecn, 64));
        prop_assert_eq!(segment.payload_bytes(&bytes), &payload[..]);
        let expected = tcp::Header {
            src_port: flow.local.port,
            dst_port: flow.remote.port,
            checksum: segment.header.checksum,
            options: received(&header),
            ..header
        };
        prop_assert_eq!(segment.header, expected);
        prop_assert_eq!(
            frame::verify_tcp_checksum(&bytes, &segment, checksum::sum),
            ChecksumState::Good
        );

        // The sum of the payload in two pieces gives the same frame.
        let (first, second) = payload.split_at(cut.index(payload.len() + 1));
        let sum = checksum::join(checksum::sum(first), first.len(), checksum::sum(second));
        let mut again = vec![0xee; start];
        again.extend(&payload);
        let len = frame::emit_tcp_summed(
            &mut again, &link, &flow, &header, ecn, payload.len(), sum,
        );
        prop_assert_eq!(len, Some(end));
        prop_assert_eq!(&again[..], &bytes[..end]);

        // One octet too little is refused.
        prop_assert_eq!(
            frame::emit_tcp(
                &mut again[..end - 1], &link, &flow, &header, ecn, payload.len(), checksum::sum,
            ),
            None
        );
    }

    /// What is read the short way is what is read the long way, and nothing else is; also when a bit
    /// is wrong. Plain frames are read the short way.
    //= rfc9293 3.1 MUST-3
    #[test]
    fn plain_frames_are_read_as_any(
        (src, dst) in (mac(), mac()),
        flow in flow(),
        sent in header(),
        plain in any::<bool>(),
        ecn in 0u8..4,
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        padding in 0usize..20,
        damage in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut header = sent;
        if plain {
            header.flags = if sent.seq.get() & 1 == 0 { Flags::ACK } else { Flags::ACK | Flags::PSH };
            header.options = Options { timestamps: sent.options.timestamps, ..Options::default() };
        }
        let link = ethernet::Header { src, dst, ..ethernet::Header::default() };
        let start = frame::tcp_headers_len(&link, &flow, &header);
        let mut bytes = vec![0xee; start];
        bytes.extend(&payload);
        bytes.extend(vec![0xee; padding]);
        let ecn = Ecn::from_bits(ecn);
        frame::emit_tcp(&mut bytes, &link, &flow, &header, ecn, payload.len(), checksum::sum);
        if let Some(damage) = damage {
            let bit = damage.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let found = plain::parse(&bytes, Some(dst), checksum::sum);
        prop_assert_eq!(plain::parse(&bytes, Some(MacAddr::BROADCAST), checksum::sum), None);
        if plain && damage.is_none() {
            prop_assert_eq!(found.is_some(), flow.local.address.is_v4());
        }
        if let Some(found) = found {
            let Packet::Tcp(any) = frame::parse(&bytes) else {
                panic!("not a segment: {:?}", frame::parse(&bytes));
            };
            let state = frame::verify_tcp_checksum(&bytes, &any, checksum::sum);
            prop_assert_eq!(state, ChecksumState::Good);
            prop_assert_eq!(any.payload(), found.payload());
            prop_assert_eq!(any.flow, found.flow);
            let found = found.segment;
            prop_assert_eq!((any.ecn, any.payload_len()), (found.ecn, found.payload_len));
            let expected = tcp::Header {
                seq: found.seq,
                ack: found.ack,
                flags: found.flags,
                window: found.window,
                options: Options { timestamps: found.timestamps, ..Options::default() },
                ..any.header
            };
            prop_assert_eq!(any.header, expected);
            prop_assert!(matches!(found.flags.bits(), 0x10 | 0x18));
        }
    }

    #[test]
    fn random_octets_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        inspect(&bytes);
    }

    #[test]
    fn changed_frames_do_no_harm(
        which in 0..fixtures::ALL.len(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        len in any::<proptest::sample::Index>(),
        repair in any::<bool>(),
    ) {
        let mut bytes = fixtures::octets(fixtures::ALL[which]);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(len.index(bytes.len() + 1));
        if repair && bytes.len() >= 34 && bytes[12..15] == [8, 0, 0x45] {
            // So that what is behind the header checksum is reached, too.
            bytes[24..26].fill(0);
            let fresh = checksum::finish(checksum::sum(&bytes[14..34]));
            bytes[24..26].copy_from_slice(&fresh.to_be_bytes());
        }
        inspect(&bytes);
    }
}

/// Looks at everything a frame was parsed to.
fn inspect(bytes: &[u8]) {
    if let Packet::Tcp(segment) = frame::parse(bytes) {
        assert!(segment.l4().end <= bytes.len());
        assert!(segment.l4().start + 20 <= segment.payload().start);
        assert_eq!(
            segment.payload_bytes(bytes).len(),
            segment.payload_len() as usize
        );
        assert_eq!(segment.l4_bytes(bytes).len(), segment.l4().len());
        frame::verify_tcp_checksum(bytes, &segment, checksum::sum);
    }
}

#[test]
fn lengths_that_ip_cannot_say_are_refused() {
    let link = ethernet::Header::default();
    let header = tcp::Header::default();
    let mut bytes = vec![0; 70_000];
    for (local, remote, largest) in [
        (
            Address::v4([10, 0, 0, 1]),
            Address::v4([10, 0, 0, 2]),
            65_535 - 40,
        ),
        (
            Address::v6([0x20; 16]),
            Address::v6([0x21; 16]),
            65_535 - 20,
        ),
    ] {
        let flow = FlowKey {
            local: Endpoint::new(local, 1),
            remote: Endpoint::new(remote, 2),
        };
        for (payload_len, fits) in [(largest, true), (largest + 1, false), (usize::MAX, false)] {
            let emitted =
                frame::emit_tcp_summed(&mut bytes, &link, &flow, &header, Ecn::Ce, payload_len, 0);
            assert_eq!(emitted.is_some(), fits, "{payload_len}");
        }
    }
}

#[test]
fn a_flow_between_two_families_is_refused() {
    let flow = FlowKey {
        local: Endpoint::new(Address::v4([10, 0, 0, 1]), 1),
        remote: Endpoint::new(Address::v6([0x20; 16]), 2),
    };
    let (link, header) = (ethernet::Header::default(), tcp::Header::default());
    let mut bytes = [0; 128];
    assert_eq!(
        frame::emit_tcp_summed(&mut bytes, &link, &flow, &header, Ecn::NotEct, 0, 0),
        None
    );
}
