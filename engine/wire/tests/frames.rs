//! Known frames: what they parse to, what is written for the same values, and what is left of them
//! when they are cut or changed.

mod fixtures;

use byway_wire::arp::{Arp, Operation};
use byway_wire::checksum;
use byway_wire::ethernet::{self, MacAddr};
use byway_wire::frame::{self, ChecksumState, Packet, TcpFrame};
use byway_wire::icmp::{IcmpError, Kind};
use byway_wire::ip::{self, Ecn};
use byway_wire::tcp::{self, Flags, Options, SackBlock, Timestamps, WindowScale, WireWindow};
use byway_wire::{Endpoint, FlowKey, Malformed, SeqNumber};
use fixtures::*;

const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn endpoint(text: &str) -> Endpoint {
    text.parse::<std::net::SocketAddr>().unwrap().into()
}

fn flow(local: &str, remote: &str) -> FlowKey {
    FlowKey {
        local: endpoint(local),
        remote: endpoint(remote),
    }
}

fn tcp(frame: &[u8]) -> TcpFrame {
    match frame::parse(frame) {
        Packet::Tcp(segment) => segment,
        other => panic!("not a segment: {other:?}"),
    }
}

fn malformed(frame: &[u8]) -> Malformed {
    match frame::parse(frame) {
        Packet::Malformed(reason) => reason,
        other => panic!("not malformed: {other:?}"),
    }
}

fn icmp(hex: &str) -> IcmpError {
    match frame::parse(&octets(hex)) {
        Packet::IcmpError(error) => error,
        other => panic!("not an ICMP error: {other:?}"),
    }
}

/// The frame written anew from what it was parsed to.
fn rewritten(frame: &[u8], segment: &TcpFrame) -> Vec<u8> {
    let there = FlowKey {
        local: segment.flow.remote,
        remote: segment.flow.local,
    };
    let start = frame::tcp_headers_len(&segment.link, &there, &segment.header);
    let payload = segment.payload_bytes(frame);
    let mut out = vec![0; start];
    out.extend_from_slice(payload);
    let len = frame::emit_tcp(
        &mut out,
        &segment.link,
        &there,
        &segment.header,
        segment.ecn,
        payload.len(),
        checksum::sum,
    );
    assert_eq!(len, Some(out.len()));
    out
}

/// The codepoint is what it was set to, in front of the ECN bits, in either family.
//= rfc9293 3.9.1.9 SHLD-22
#[test]
fn the_sender_chooses_codepoint_and_hop_limit() {
    let header = tcp::Header::default();
    for (ends, tos) in [
        (flow("10.0.0.1:1", "10.0.0.2:2"), 0xba),
        (flow("[fd00::1]:1", "[fd00::2]:2"), 0xba),
    ] {
        let link = ethernet::Header::default();
        let mut bytes = vec![0; frame::tcp_headers_len(&link, &ends, &header)];
        let fields = ip::Fields {
            treatment: ip::Treatment {
                dscp: ip::Dscp::new(46).unwrap(),
                hop_limit: 3,
            },
            ecn: Ecn::Ect0,
        };
        frame::emit_tcp(&mut bytes, &link, &ends, &header, fields, 0, checksum::sum).unwrap();
        let segment = tcp(&bytes);
        assert_eq!((segment.hop_limit, segment.ecn), (3, Ecn::Ect0));
        let class = match bytes[14] >> 4 {
            4 => bytes[15],
            _ => bytes[14] << 4 | bytes[15] >> 4,
        };
        assert_eq!(class, tos);
    }
    assert_eq!(ip::Dscp::new(64), None);
}

//= rfc1191 3 S3-5
#[test]
fn a_syn() {
    let frame = octets(SYN_V4);
    let segment = tcp(&frame);
    assert_eq!(
        segment.link,
        ethernet::Header {
            src: PEER,
            dst: OURS,
            ..Default::default()
        }
    );
    assert_eq!(segment.flow, flow("10.0.0.2:80", "10.0.0.1:40000"));
    assert_eq!(
        segment.header,
        tcp::Header {
            src_port: 40_000,
            dst_port: 80,
            seq: SeqNumber::new(0x0102_0304),
            ack: SeqNumber::new(0),
            flags: Flags::SYN,
            window: WireWindow(64_240),
            checksum: 0x5410,
            urgent: 0,
            options: Options {
                mss: Some(1460),
                window_scale: Some(WindowScale::clamped(7)),
                sack_permitted: true,
                timestamps: Some(Timestamps {
                    value: 0x1122_3344,
                    echo: 0
                }),
                sack: Default::default(),
            },
        }
    );
    assert_eq!((segment.ecn, segment.hop_limit), (Ecn::NotEct, 64));
    assert_eq!((segment.l4(), segment.payload()), (34..74, 74..74));
    assert_eq!(rewritten(&frame, &segment), frame);
}

#[test]
fn padding_is_no_payload() {
    let frame = octets(ACK_V4_PADDED);
    let segment = tcp(&frame);
    assert_eq!((segment.l4(), segment.payload_len()), (34..54, 0));
    assert_eq!(segment.payload_bytes(&frame), []);
    assert_eq!(segment.header.flags, Flags::ACK);
    assert_eq!(
        frame::verify_tcp_checksum(&frame, &segment, checksum::sum),
        ChecksumState::Good
    );
    assert_eq!(rewritten(&frame, &segment), frame[..54]);
}

#[test]
fn data_over_ipv6_in_a_vlan() {
    let frame = octets(DATA_V6_VLAN);
    let segment = tcp(&frame);
    assert_eq!(
        (segment.link.vlan, segment.link.outer_vlan),
        (Some(100), None)
    );
    assert_eq!(segment.flow, flow("[fd00::2]:443", "[fd00::1]:40001"));
    assert_eq!(segment.ecn, Ecn::Ect0);
    assert_eq!(
        segment.header.options.timestamps,
        Some(Timestamps { value: 1, echo: 2 })
    );
    assert_eq!(segment.payload_bytes(&frame), b"hello");
    assert_eq!(segment.payload(), 90..95);
    assert_eq!(rewritten(&frame, &segment), frame);
}

//= rfc9293 3.9.2 MUST-50
#[test]
fn ip_options_two_tags_and_sack() {
    let frame = octets(SACK_V4_OPTIONS_QINQ);
    let segment = tcp(&frame);
    assert_eq!(
        (segment.link.vlan, segment.link.outer_vlan),
        (Some(300), Some(200))
    );
    assert_eq!(segment.flow, flow("10.0.0.2:65535", "10.0.0.1:1"));
    assert_eq!((segment.ecn, segment.hop_limit), (Ecn::Ce, 3));
    let block = |left, right| SackBlock {
        left: SeqNumber::new(left),
        right: SeqNumber::new(right),
    };
    assert_eq!(
        segment.header.options.sack.as_slice(),
        [block(100, 200), block(300, 400)]
    );
    assert_eq!(segment.payload_bytes(&frame), b"x");
    // Written anew, the segment is the same, in a plain IP header.
    let written = rewritten(&frame, &segment);
    assert_eq!(written[..22], frame[..22]);
    assert_eq!(written[42..], frame[46..]);
}

#[test]
fn extension_headers_of_ipv6() {
    let frame = octets(V6_EXTENSIONS);
    let segment = tcp(&frame);
    assert_eq!(segment.flow, flow("[fd00::2]:6", "[fd00::1]:5"));
    assert_eq!(segment.header.flags, Flags::FIN | Flags::ACK);
    assert_eq!(segment.payload_bytes(&frame), b"abc");
    assert_eq!(
        frame::verify_tcp_checksum(&frame, &segment, checksum::sum),
        ChecksumState::Good
    );
}

#[test]
fn too_many_extension_headers() {
    // n empty destination options, then TCP.
    let build = |n: usize| {
        let plain = octets(DATA_V6_VLAN);
        let (head, segment) = plain.split_at(18 + 40);
        let mut frame = head.to_vec();
        frame[18 + 6] = 60;
        for i in 1..=n {
            frame.extend([if i == n { 6 } else { 60 }, 0, 1, 4, 0, 0, 0, 0]);
        }
        frame.extend(segment);
        let len = (frame.len() - 18 - 40) as u16;
        frame[18 + 4..18 + 6].copy_from_slice(&len.to_be_bytes());
        frame
    };
    let frame = build(byway_wire::ipv6::MAX_EXTENSION_HEADERS);
    assert_eq!(tcp(&frame).payload_bytes(&frame), b"hello");
    let frame = build(byway_wire::ipv6::MAX_EXTENSION_HEADERS + 1);
    assert_eq!(malformed(&frame), Malformed::IpExtension);
}

#[test]
fn a_route_that_leads_on_is_not_ours() {
    let mut frame = octets(V6_EXTENSIONS);
    let segments_left = 14 + 40 + 8 + 8 + 3;
    frame[segments_left] = 1;
    assert_eq!(malformed(&frame), Malformed::IpExtension);
}

#[test]
fn fragments_are_not_taken_for_segments() {
    for hex in [FRAGMENT_V4_FIRST, FRAGMENT_V4_NEXT, FRAGMENT_V6_NEXT] {
        assert_eq!(frame::parse(&octets(hex)), Packet::Fragment);
    }
}

#[test]
fn other_packets_are_none_of_ours() {
    for hex in [UDP_V4, PING] {
        assert_eq!(frame::parse(&octets(hex)), Packet::Other);
    }
    let mut unknown = octets(SYN_V4);
    unknown[12] = 0x88;
    assert_eq!(frame::parse(&unknown), Packet::Other);
}

#[test]
fn icmp_errors_quote_our_segment() {
    let v4 = flow("10.0.0.2:80", "10.9.9.9:40000");
    let v6 = flow("[fd00::2]:443", "[fd00::9]:40001");
    for (hex, kind, code, mtu, quoted, seq, hard) in [
        (
            ICMP_FRAG_NEEDED,
            Kind::TooBig,
            4,
            1400,
            v4,
            0xcafe_0001,
            false,
        ),
        (
            ICMP_PORT_UNREACHABLE,
            Kind::Unreachable,
            3,
            0,
            v4,
            0xcafe_0001,
            true,
        ),
        (
            ICMPV6_TOO_BIG,
            Kind::TooBig,
            0,
            1280,
            v6,
            0xcafe_0002,
            false,
        ),
        (
            ICMPV6_TIME_EXCEEDED,
            Kind::TimeExceeded,
            0,
            0,
            v6,
            0xcafe_0002,
            false,
        ),
    ] {
        let seq = SeqNumber::new(seq);
        let error = icmp(hex);
        assert_eq!(
            error,
            IcmpError {
                kind,
                code,
                mtu,
                quoted,
                seq
            }
        );
        assert_eq!(error.is_hard(), hard);
    }
}

#[test]
fn an_icmp_error_about_another_host_is_refused() {
    let mut frame = octets(ICMP_FRAG_NEEDED);
    let quoted_source = 14 + 20 + 8 + 12;
    frame[quoted_source + 3] = 3;
    let icmp = 14 + 20;
    frame[icmp + 2..icmp + 4].fill(0);
    let fresh = checksum::finish(checksum::sum(&frame[icmp..]));
    frame[icmp + 2..icmp + 4].copy_from_slice(&fresh.to_be_bytes());
    assert_eq!(malformed(&frame), Malformed::IcmpQuote);
    frame[icmp + 2] ^= 1;
    assert_eq!(malformed(&frame), Malformed::IcmpChecksum);
}

#[test]
fn arp_both_ways() {
    let frame = octets(ARP_REQUEST);
    let request = Arp {
        operation: Operation::Request,
        sender_mac: PEER,
        sender_ip: [10, 0, 0, 1],
        target_mac: MacAddr::default(),
        target_ip: [10, 0, 0, 2],
    };
    assert_eq!(frame::parse(&frame), Packet::Arp(request));
    let link = ethernet::Header {
        src: PEER,
        dst: OURS,
        ..Default::default()
    };
    let mut out = [0; 42];
    assert_eq!(request.emit(&link, &mut out), Some(42));
    assert_eq!(out, frame[..42]);
    assert_eq!(request.emit(&link, &mut [0; 41]), None);
}

//= rfc9293 3.9.2.3 MUST-57 MUST-63
#[test]
fn addresses_that_no_host_has() {
    let v4 = octets(SYN_V4);
    let (source, destination) = (26..30, 30..34);
    for (range, address) in [
        (source.clone(), [224, 0, 0, 1]),
        (source.clone(), [255, 255, 255, 255]),
        (source.clone(), [240, 0, 0, 1]),
        (source.clone(), [127, 0, 0, 1]),
        (source.clone(), [0, 1, 2, 3]),
        (source, [0, 0, 0, 0]),
        (destination.clone(), [127, 1, 2, 3]),
        (destination.clone(), [239, 255, 255, 255]),
        (destination, [255, 255, 255, 255]),
    ] {
        let mut frame = v4.clone();
        frame[range].copy_from_slice(&address);
        frame[24..26].fill(0);
        let fresh = checksum::finish(checksum::sum(&frame[14..34]));
        frame[24..26].copy_from_slice(&fresh.to_be_bytes());
        assert_eq!(malformed(&frame), Malformed::Address, "{address:?}");
    }
    let mut group = v4;
    group[..6].fill(0xff);
    assert_eq!(malformed(&group), Malformed::Address);

    let mut mapped = octets(DATA_V6_VLAN);
    let source = 18 + 8;
    mapped[source..source + 16]
        .copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1]);
    assert_eq!(malformed(&mapped), Malformed::Address);
    mapped[source] = 0xff;
    assert_eq!(malformed(&mapped), Malformed::Address);
    mapped[source..source + 16].fill(0);
    assert_eq!(malformed(&mapped), Malformed::Address);
    mapped[source + 15] = 1;
    assert_eq!(malformed(&mapped), Malformed::Address);
    mapped[source + 15] = 2;
    assert_ne!(frame::parse(&mapped), Packet::Malformed(Malformed::Address));
    let destination = source + 16;
    mapped[destination..destination + 16].fill(0);
    mapped[destination + 15] = 1;
    assert_eq!(malformed(&mapped), Malformed::Address);
}

#[test]
fn a_priority_tag_is_no_vlan() {
    let mut frame = octets(DATA_V6_VLAN);
    frame[14..16].copy_from_slice(&[0xe0, 0x00]);
    assert_eq!(tcp(&frame).link.vlan, None);
    assert_eq!(tcp(&frame).payload_bytes(&frame), b"hello");
    frame[14..16].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(tcp(&frame).link.vlan, Some(0xfff));
}

#[test]
fn every_bit_of_the_ip_header_is_covered() {
    let frame = octets(SYN_V4);
    for bit in 14 * 8..34 * 8 {
        let mut changed = frame.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(
            matches!(frame::parse(&changed), Packet::Malformed(_)),
            "bit {bit}"
        );
    }
}

#[test]
fn a_cut_frame_is_never_more_than_it_is() {
    for hex in ALL {
        let frame = octets(hex);
        let whole = frame::parse(&frame);
        // The end of the IP or ARP packet: what is cut beyond it is padding.
        let end = match hex {
            ACK_V4_PADDED => 54,
            ARP_REQUEST => 42,
            _ => frame.len(),
        };
        for len in 0..frame.len() {
            let parsed = frame::parse(&frame[..len]);
            if len >= end {
                assert_eq!(parsed, whole, "{len} octets of {hex}");
            } else {
                assert!(
                    matches!(parsed, Packet::Malformed(_)),
                    "{len} octets of {hex}: {parsed:?}"
                );
            }
        }
    }
}

#[test]
fn a_segment_that_ip_cuts_short_is_malformed() {
    // The IP length says less than the TCP header; the octets are there, as if they were padding.
    let frame = octets(SYN_V4);
    for total_len in 20..60u16 {
        let mut cut = frame.clone();
        cut[16..18].copy_from_slice(&total_len.to_be_bytes());
        cut[24..26].fill(0);
        let fresh = checksum::finish(checksum::sum(&cut[14..34]));
        cut[24..26].copy_from_slice(&fresh.to_be_bytes());
        assert_eq!(malformed(&cut), Malformed::TcpHeader, "{total_len}");
    }
}

//= rfc9293 3.1 MUST-3
#[test]
fn the_three_states_of_a_checksum() {
    for hex in [
        SYN_V4,
        ACK_V4_PADDED,
        DATA_V6_VLAN,
        SACK_V4_OPTIONS_QINQ,
        V6_EXTENSIONS,
    ] {
        let mut frame = octets(hex);
        let field = tcp(&frame).l4().start + 16;
        let verify = |frame: &[u8]| frame::verify_tcp_checksum(frame, &tcp(frame), checksum::sum);
        assert_eq!(verify(&frame), ChecksumState::Good);
        frame[field] ^= 0x40;
        assert_eq!(verify(&frame), ChecksumState::Bad);

        let segment = tcp(&frame);
        let FlowKey { local, remote } = segment.flow;
        let len = segment.l4().len() as u32;
        let pseudo = checksum::pseudo_header(&remote.address, &local.address, 6, len);
        frame[field..field + 2].copy_from_slice(&checksum::fold(pseudo).to_be_bytes());
        assert_eq!(verify(&frame), ChecksumState::PseudoHeaderOnly);
    }
}

#[test]
fn every_burst_of_fifteen_bits_is_caught() {
    // 20 octets of header, 44 of payload.
    let link = ethernet::Header {
        src: PEER,
        dst: OURS,
        ..Default::default()
    };
    let flow = flow("10.0.0.1:40000", "10.0.0.2:80");
    let header = tcp::Header {
        flags: Flags::ACK,
        ..Default::default()
    };
    let mut frame: Vec<u8> = (0..54 + 44u8).map(|n| n.wrapping_mul(151)).collect();
    frame::emit_tcp(
        &mut frame,
        &link,
        &flow,
        &header,
        Ecn::NotEct,
        44,
        checksum::sum,
    )
    .unwrap();
    let segment = tcp(&frame);
    assert_eq!(segment.l4().len(), 64);
    assert_eq!(
        frame::verify_tcp_checksum(&frame, &segment, checksum::sum),
        ChecksumState::Good
    );
    let first = segment.l4().start * 8;
    let end = segment.l4().end * 8;
    for start in first..end {
        // The burst as wide as it fits; its first bit is set, so that no pattern comes twice.
        let width = (end - start).min(15);
        for pattern in 1u32 << (width - 1)..1 << width {
            let flip = |frame: &mut [u8]| {
                let shifted = pattern << (32 - width) >> (start % 8);
                for (octet, mask) in frame[start / 8..].iter_mut().zip(shifted.to_be_bytes()) {
                    *octet ^= mask;
                }
            };
            flip(&mut frame);
            let state = frame::verify_tcp_checksum(&frame, &segment, checksum::sum);
            assert_ne!(
                state,
                ChecksumState::Good,
                "bit {start}, pattern {pattern:#b}"
            );
            flip(&mut frame);
        }
    }
}
