//! The steering program on one packet at a time (BPF_PROG_TEST_RUN).

use super::*;
use crate::config::XdpConfig;
use crate::pool::Pool;
use crate::queue::Queue;
use crate::testing::{in_own_namespace, privileged};
use aya::programs::{TestRun, TestRunOptions};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use xsk_rs::Umem;
use xsk_rs::config::UmemConfig;

const PASS: u32 = 2;
const DROP: u32 = 1;
const REDIRECT: u32 = 4;

const OURS: &str = "10.1.0.1";
const OURS_TOO: &str = "10.1.0.2";
const OURS_V6: &str = "fd00::1";
const PEER: &str = "10.1.0.99";
const PEER_V6: &str = "fd00::99";

/// The program with a socket on queue 0, which the packets of a test run arrive by.
struct Steer {
    program: Program,
    _socket: Option<(Queue, Pool)>,
}

impl Steer {
    /// Runs a test with these rules in a network namespace of its own; skips it without privileges.
    fn with(steering: Steering, test: impl FnOnce(Steer) + Send) {
        if privileged("the steering program") {
            in_own_namespace(|| {
                let mut program = Program::load(1).unwrap();
                program.steer(&steering).unwrap();
                let config = XdpConfig::new("lo");
                let umem_config = UmemConfig::builder().build().unwrap();
                let (umem, descs) = Umem::new(umem_config, 64.try_into().unwrap(), false).unwrap();
                let queue = Queue::bind(&config, Mode::Generic, &umem, 0, 0).unwrap();
                program.set_socket(0, &queue.fd()).unwrap();
                test(Steer {
                    program,
                    _socket: Some((queue, Pool::new(umem, descs, 4096))),
                });
            });
        }
    }

    /// The verdict on a frame; exactly one counter moves, and the action is that of the verdict.
    #[track_caller]
    fn verdict(&mut self, frame: &[u8]) -> Verdict {
        let before = self.program.counters();
        let options = TestRunOptions {
            data_in: Some(frame),
            ..TestRunOptions::new()
        };
        let result = self.program.program_mut().test_run(options).unwrap();
        let after = self.program.counters();
        let counted: Vec<Verdict> = Verdict::ALL
            .into_iter()
            .filter(|verdict| after.get(*verdict) != before.get(*verdict))
            .collect();
        assert_eq!(counted.len(), 1, "{counted:?}");
        assert_eq!(after.get(counted[0]), before.get(counted[0]) + 1);
        let action = match counted[0].name().split('_').next() {
            Some("redirect") => REDIRECT,
            Some("drop") => DROP,
            _ => PASS,
        };
        assert_eq!(result.return_value, action, "{:?}", counted[0]);
        counted[0]
    }
}

fn endpoint(text: &str) -> Endpoint {
    text.parse::<SocketAddr>().unwrap().into()
}

/// Port 7 on one address of each family, an ephemeral range on three addresses.
fn rules() -> Steering {
    Steering {
        listen: vec![endpoint("10.1.0.1:7"), endpoint("[fd00::1]:7")],
        ephemeral: 50_000..=50_099,
        local: [OURS, OURS_TOO, OURS_V6]
            .map(|ip| ip.parse().unwrap())
            .to_vec(),
    }
}

// ---- packets, from the inside out

fn tcp(source: u16, destination: u16, payload: usize) -> Vec<u8> {
    let mut tcp = vec![0; 20 + payload];
    tcp[0..2].copy_from_slice(&source.to_be_bytes());
    tcp[2..4].copy_from_slice(&destination.to_be_bytes());
    tcp[12] = 5 << 4;
    tcp
}

struct V4 {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    id: u16,
    /// Flags and offset, as in the header.
    fragment: u16,
    options: usize,
}

impl V4 {
    fn new(destination: &str) -> Self {
        let (source, destination) = (PEER.parse().unwrap(), destination.parse().unwrap());
        Self {
            source,
            destination,
            protocol: 6,
            id: 1,
            fragment: 0x4000,
            options: 0,
        }
    }

    fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let header = 20 + self.options;
        let mut ip = vec![1; header]; // 1 is the no-operation option
        ip[0] = 0x40 | (header / 4) as u8;
        ip[2..4].copy_from_slice(&((header + payload.len()) as u16).to_be_bytes());
        ip[4..6].copy_from_slice(&self.id.to_be_bytes());
        ip[6..8].copy_from_slice(&self.fragment.to_be_bytes());
        ip[9] = self.protocol;
        ip[12..16].copy_from_slice(&self.source.octets());
        ip[16..20].copy_from_slice(&self.destination.octets());
        ip.extend_from_slice(payload);
        ip
    }
}

fn v6(source: &str, destination: &str, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x60, 0, 0, 0];
    ip.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    ip.extend_from_slice(&[next, 64]);
    for address in [source, destination] {
        ip.extend_from_slice(&address.parse::<Ipv6Addr>().unwrap().octets());
    }
    ip.extend_from_slice(payload);
    ip
}

/// Puts an extension header of 8 octets before the payload.
fn extension(next: u8, rest: [u8; 7], payload: &[u8]) -> Vec<u8> {
    [&[next], &rest[..], payload].concat()
}

fn fragment_header(next: u8, offset: u16, more: bool, id: u32, payload: &[u8]) -> Vec<u8> {
    let offset = (offset << 3 | u16::from(more)).to_be_bytes();
    let id = id.to_be_bytes();
    extension(
        next,
        [0, offset[0], offset[1], id[0], id[1], id[2], id[3]],
        payload,
    )
}

fn ethernet(tags: &[u16], packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for tag in tags {
        frame.extend_from_slice(&tag.to_be_bytes());
        frame.extend_from_slice(&[0, 42]);
    }
    let kind: u16 = if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 };
    frame.extend_from_slice(&kind.to_be_bytes());
    frame.extend_from_slice(packet);
    frame
}

fn tcp_v4(destination: &str, port: u16) -> Vec<u8> {
    ethernet(&[], &V4::new(destination).packet(&tcp(3333, port, 8)))
}

fn tcp_v6(destination: &str, port: u16) -> Vec<u8> {
    ethernet(&[], &v6(PEER_V6, destination, 6, &tcp(3333, port, 8)))
}

// ---- tests

#[test]
fn our_endpoints_are_ours_and_nothing_else() {
    Steer::with(rules(), |mut steer| {
        assert_eq!(steer.verdict(&tcp_v4(OURS, 7)), Verdict::RedirectTcp);
        assert_eq!(steer.verdict(&tcp_v6(OURS_V6, 7)), Verdict::RedirectTcp);
        for frame in [
            tcp_v4(OURS, 22),
            tcp_v4(OURS, 7 << 8),
            tcp_v4(OURS_TOO, 7),
            tcp_v4(PEER, 7),
            tcp_v6(OURS_V6, 22),
            tcp_v6("fd00::2", 7),
            tcp_v6("::ffff:10.1.0.9", 7),
        ] {
            assert_eq!(steer.verdict(&frame), Verdict::PassNotOurs);
        }
        let udp = ethernet(
            &[],
            &V4 {
                protocol: 17,
                ..V4::new(OURS)
            }
            .packet(&tcp(1, 7, 0)),
        );
        assert_eq!(steer.verdict(&udp), Verdict::PassNotTcp);
        let udp = ethernet(&[], &v6(PEER_V6, OURS_V6, 17, &tcp(1, 7, 0)));
        assert_eq!(steer.verdict(&udp), Verdict::PassNotTcp);
        let mut arp = vec![0; 60];
        arp[12..14].copy_from_slice(&[8, 6]);
        assert_eq!(steer.verdict(&arp), Verdict::PassNotIp);
    });
}

#[test]
fn ephemeral_ports_are_ours_on_local_addresses() {
    Steer::with(rules(), |mut steer| {
        for address in [OURS, OURS_TOO] {
            for (port, verdict) in [
                (49_999, Verdict::PassNotOurs),
                (50_000, Verdict::RedirectTcp),
                (50_099, Verdict::RedirectTcp),
                (50_100, Verdict::PassNotOurs),
            ] {
                assert_eq!(
                    steer.verdict(&tcp_v4(address, port)),
                    verdict,
                    "{address} {port}"
                );
            }
        }
        assert_eq!(
            steer.verdict(&tcp_v6(OURS_V6, 50_000)),
            Verdict::RedirectTcp
        );
        assert_eq!(
            steer.verdict(&tcp_v6("fd00::2", 50_000)),
            Verdict::PassNotOurs
        );
        assert_eq!(
            steer.verdict(&tcp_v4("10.1.0.3", 50_000)),
            Verdict::PassNotOurs
        );
    });
}

#[test]
fn the_unspecified_address_is_any_local_one_of_its_family() {
    let steering = Steering {
        listen: vec![endpoint("0.0.0.0:80"), endpoint("[::]:90")],
        ephemeral: Steering::NO_PORTS,
        ..rules()
    };
    Steer::with(steering, |mut steer| {
        for (frame, verdict) in [
            (tcp_v4(OURS, 80), Verdict::RedirectTcp),
            (tcp_v4(OURS_TOO, 80), Verdict::RedirectTcp),
            (tcp_v4("10.1.0.3", 80), Verdict::PassNotOurs),
            (tcp_v6(OURS_V6, 80), Verdict::PassNotOurs),
            (tcp_v6(OURS_V6, 90), Verdict::RedirectTcp),
            (tcp_v6("fd00::3", 90), Verdict::PassNotOurs),
            (tcp_v4(OURS, 90), Verdict::PassNotOurs),
            (tcp_v4(OURS, 0), Verdict::PassNotOurs),
            (tcp_v4(OURS, 1), Verdict::PassNotOurs),
        ] {
            assert_eq!(steer.verdict(&frame), verdict);
        }
    });
}

#[test]
fn tags_are_looked_behind_up_to_two() {
    Steer::with(rules(), |mut steer| {
        for packet in [
            V4::new(OURS).packet(&tcp(3, 7, 0)),
            v6(PEER_V6, OURS_V6, 6, &tcp(3, 7, 0)),
        ] {
            assert_eq!(
                steer.verdict(&ethernet(&[0x8100], &packet)),
                Verdict::RedirectTcp
            );
            assert_eq!(
                steer.verdict(&ethernet(&[0x88a8], &packet)),
                Verdict::RedirectTcp
            );
            let two = ethernet(&[0x88a8, 0x8100], &packet);
            assert_eq!(steer.verdict(&two), Verdict::RedirectTcp);
            let three = ethernet(&[0x88a8, 0x8100, 0x8100], &packet);
            assert_eq!(steer.verdict(&three), Verdict::PassNotIp);
        }
    });
}

#[test]
fn padding_is_not_part_of_the_packet() {
    Steer::with(rules(), |mut steer| {
        let mut padded = ethernet(&[], &V4::new(OURS).packet(&tcp(3, 7, 0)));
        padded.resize(60, 0);
        assert_eq!(steer.verdict(&padded), Verdict::RedirectTcp);
        // The length says that the TCP header is cut off, and what follows is padding.
        padded[17] -= 1;
        assert_eq!(steer.verdict(&padded), Verdict::PassMalformed);
        let mut padded = ethernet(&[], &v6(PEER_V6, OURS_V6, 6, &tcp(3, 7, 0)));
        padded.resize(100, 0);
        assert_eq!(steer.verdict(&padded), Verdict::RedirectTcp);
        padded[19] -= 1;
        assert_eq!(steer.verdict(&padded), Verdict::PassMalformed);
    });
}

#[test]
fn a_frame_cut_off_anywhere_passes() {
    let icmp = icmp_v4(
        3,
        &V4 {
            source: OURS.parse().unwrap(),
            ..V4::new(PEER)
        },
        7,
    );
    let first = V4 {
        fragment: 0x2000,
        ..V4::new(OURS)
    }
    .packet(&tcp(3, 7, 4));
    let chain = extension(
        43,
        [0; 7],
        &extension(6, [0, 0, 0, 0, 0, 0, 0], &tcp(3, 7, 8)),
    );
    let frames = [
        tcp_v4(OURS, 7),
        tcp_v6(OURS_V6, 7),
        ethernet(&[0x88a8, 0x8100], &V4::new(OURS).packet(&tcp(3, 7, 0))),
        ethernet(
            &[],
            &V4 {
                options: 40,
                ..V4::new(OURS)
            }
            .packet(&tcp(3, 7, 0)),
        ),
        ethernet(&[], &v6(PEER_V6, OURS_V6, 0, &chain)),
        ethernet(&[], &v6(PEER_V6, OURS_V6, 58, &icmp_v6(2, OURS_V6, 7))),
        ethernet(&[], &icmp),
        ethernet(&[], &first),
    ];
    Steer::with(rules(), move |mut steer| {
        for (index, frame) in frames.iter().enumerate() {
            let whole = steer.verdict(frame);
            assert!(
                whole.name().starts_with("redirect"),
                "frame {index}: {whole:?}"
            );
            // The kernel runs the program on nothing shorter than an Ethernet header.
            for len in 14..frame.len() {
                let verdict = steer.verdict(&frame[..len]);
                assert_eq!(
                    verdict,
                    Verdict::PassTruncated,
                    "frame {index} cut at {len}"
                );
            }
        }
    });
}

#[test]
fn options_are_skipped_and_bad_headers_pass() {
    Steer::with(rules(), |mut steer| {
        for options in (0..=40).step_by(4) {
            let packet = V4 {
                options,
                ..V4::new(OURS)
            }
            .packet(&tcp(3, 7, 0));
            assert_eq!(
                steer.verdict(&ethernet(&[], &packet)),
                Verdict::RedirectTcp,
                "{options}"
            );
        }
        let good = tcp_v4(OURS, 7);
        // A header of less than 20 octets, another version, a length below the header's.
        for (at, value) in [(14, 0x44), (14, 0x55), (14, 0x65), (17, 19)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(
                steer.verdict(&bad),
                Verdict::PassMalformed,
                "octet {at}: {value:#x}"
            );
        }
        let mut bad = tcp_v6(OURS_V6, 7);
        bad[14] = 0x40;
        assert_eq!(steer.verdict(&bad), Verdict::PassMalformed);
    });
}

#[test]
fn extension_headers_are_skipped_up_to_six() {
    Steer::with(rules(), |mut steer| {
        for kind in [0, 43, 60] {
            let packet = v6(PEER_V6, OURS_V6, kind, &extension(6, [0; 7], &tcp(3, 7, 0)));
            assert_eq!(
                steer.verdict(&ethernet(&[], &packet)),
                Verdict::RedirectTcp,
                "{kind}"
            );
        }
        // An authentication header counts its length in words: 4 is 6 words.
        let mut authentication = extension(6, [4, 0, 0, 0, 0, 0, 0], &[0; 16]);
        authentication.extend_from_slice(&tcp(3, 7, 0));
        let packet = v6(PEER_V6, OURS_V6, 51, &authentication);
        assert_eq!(steer.verdict(&ethernet(&[], &packet)), Verdict::RedirectTcp);
        // A destination header of 8 * (2 + 1) octets.
        let mut long = extension(6, [2, 0, 0, 0, 0, 0, 0], &[0; 16]);
        long.extend_from_slice(&tcp(3, 7, 0));
        let packet = v6(PEER_V6, OURS_V6, 60, &long);
        assert_eq!(steer.verdict(&ethernet(&[], &packet)), Verdict::RedirectTcp);
        // A route that does not end here.
        let on = extension(6, [0, 0, 1, 0, 0, 0, 0], &tcp(3, 7, 0));
        let packet = v6(PEER_V6, OURS_V6, 43, &on);
        assert_eq!(
            steer.verdict(&ethernet(&[], &packet)),
            Verdict::PassExtension
        );

        let chain = |count| {
            let last = extension(6, [0; 7], &tcp(3, 7, 0));
            let chain = (1..count).fold(last, |inner, _| extension(60, [0; 7], &inner));
            ethernet(&[], &v6(PEER_V6, OURS_V6, 60, &chain))
        };
        assert_eq!(steer.verdict(&chain(6)), Verdict::RedirectTcp);
        assert_eq!(steer.verdict(&chain(7)), Verdict::PassExtension);
        // Too long for its payload: what follows is not the packet's.
        let long = extension(6, [200, 0, 0, 0, 0, 0, 0], &[]);
        let mut frame = ethernet(&[], &v6(PEER_V6, OURS_V6, 60, &long));
        frame.resize(frame.len() + 8 * 200 + 100, 0);
        assert_eq!(steer.verdict(&frame), Verdict::PassMalformed);
    });
}

fn icmp_v4(kind: u8, quoted: &V4, port: u16) -> Vec<u8> {
    let mut icmp = vec![kind, 4, 0, 0, 0, 0, 5, 0];
    icmp.extend_from_slice(&quoted.packet(&tcp(port, 3333, 0))[..20 + quoted.options + 8]);
    V4 {
        protocol: 1,
        ..V4::new(OURS)
    }
    .packet(&icmp)
}

fn icmp_v6(kind: u8, source: &str, port: u16) -> Vec<u8> {
    let mut icmp = vec![kind, 0, 0, 0, 0, 0, 5, 0];
    icmp.extend_from_slice(&v6(source, PEER_V6, 6, &tcp(port, 3333, 0)));
    icmp
}

#[test]
fn errors_about_our_flows_are_ours() {
    Steer::with(rules(), |mut steer| {
        let sent = || V4 {
            source: OURS.parse().unwrap(),
            ..V4::new(PEER)
        };
        let mut check = |packet: &[u8], verdict| {
            assert_eq!(steer.verdict(&ethernet(&[], packet)), verdict);
        };
        for kind in [3, 4, 11, 12] {
            check(&icmp_v4(kind, &sent(), 7), Verdict::RedirectIcmp);
            check(
                &icmp_v4(
                    kind,
                    &V4 {
                        options: 8,
                        ..sent()
                    },
                    50_001,
                ),
                Verdict::RedirectIcmp,
            );
            check(&icmp_v4(kind, &sent(), 22), Verdict::PassIcmp);
        }
        for kind in [0, 5, 8, 13] {
            check(&icmp_v4(kind, &sent(), 7), Verdict::PassIcmp);
        }
        check(
            &icmp_v4(
                3,
                &V4 {
                    protocol: 17,
                    ..sent()
                },
                7,
            ),
            Verdict::PassIcmp,
        );
        check(
            &icmp_v4(
                3,
                &V4 {
                    fragment: 5,
                    ..sent()
                },
                7,
            ),
            Verdict::PassIcmp,
        );
        check(&icmp_v4(3, &V4::new(PEER), 7), Verdict::PassIcmp);

        for kind in 1..=4 {
            check(
                &v6(PEER_V6, OURS_V6, 58, &icmp_v6(kind, OURS_V6, 7)),
                Verdict::RedirectIcmp,
            );
            check(
                &v6(PEER_V6, OURS_V6, 58, &icmp_v6(kind, OURS_V6, 22)),
                Verdict::PassIcmp,
            );
        }
        // Echo and neighbour discovery are the kernel's.
        for kind in [128, 129, 133, 134, 135, 136] {
            check(
                &v6(PEER_V6, OURS_V6, 58, &icmp_v6(kind, OURS_V6, 7)),
                Verdict::PassIcmp,
            );
        }
    });
}

#[test]
fn fragments_follow_their_first() {
    Steer::with(rules(), |mut steer| {
        let piece = |id, fragment, port| {
            ethernet(
                &[],
                &V4 {
                    id,
                    fragment,
                    ..V4::new(OURS)
                }
                .packet(&tcp(3, port, 4)),
            )
        };
        let (first, middle, last) = (0x2000, 0x2003, 0x0006);
        // In order.
        assert_eq!(
            steer.verdict(&piece(1, first, 7)),
            Verdict::RedirectFragment
        );
        assert_eq!(
            steer.verdict(&piece(1, middle, 0)),
            Verdict::RedirectFragment
        );
        assert_eq!(steer.verdict(&piece(1, last, 0)), Verdict::RedirectFragment);
        // Another datagram, and one whose first fragment is late.
        assert_eq!(steer.verdict(&piece(2, middle, 7)), Verdict::PassFragment);
        assert_eq!(
            steer.verdict(&piece(2, first, 7)),
            Verdict::RedirectFragment
        );
        assert_eq!(steer.verdict(&piece(2, last, 7)), Verdict::RedirectFragment);
        // Not ours, and then with an id that was ours before.
        assert_eq!(steer.verdict(&piece(3, first, 22)), Verdict::PassNotOurs);
        assert_eq!(steer.verdict(&piece(3, last, 22)), Verdict::PassFragment);
        assert_eq!(steer.verdict(&piece(1, first, 22)), Verdict::PassNotOurs);
        assert_eq!(steer.verdict(&piece(1, last, 22)), Verdict::PassFragment);
        // The smallest first fragment has the ports; a smaller one is none.
        let tiny = V4 {
            fragment: first,
            ..V4::new(OURS)
        };
        let frame = ethernet(&[], &tiny.packet(&tcp(3, 7, 0)[..8]));
        assert_eq!(steer.verdict(&frame), Verdict::RedirectFragment);
        let frame = ethernet(&[], &tiny.packet(&tcp(3, 7, 0)[..3]));
        assert_eq!(steer.verdict(&frame), Verdict::PassMalformed);
        let udp = V4 {
            protocol: 17,
            fragment: first,
            ..V4::new(OURS)
        };
        let frame = ethernet(&[], &udp.packet(&tcp(3, 7, 0)));
        assert_eq!(steer.verdict(&frame), Verdict::PassNotTcp);
    });
}

#[test]
fn fragments_of_version_six_follow_their_first() {
    Steer::with(rules(), |mut steer| {
        let piece = |id, offset, more, port| {
            let fragment = fragment_header(6, offset, more, id, &tcp(3, port, 4));
            ethernet(&[], &v6(PEER_V6, OURS_V6, 44, &fragment))
        };
        assert_eq!(steer.verdict(&piece(1, 3, true, 7)), Verdict::PassFragment);
        assert_eq!(
            steer.verdict(&piece(1, 0, true, 7)),
            Verdict::RedirectFragment
        );
        assert_eq!(
            steer.verdict(&piece(1, 3, true, 0)),
            Verdict::RedirectFragment
        );
        assert_eq!(
            steer.verdict(&piece(1, 6, false, 0)),
            Verdict::RedirectFragment
        );
        assert_eq!(steer.verdict(&piece(2, 6, false, 0)), Verdict::PassFragment);
        assert_eq!(steer.verdict(&piece(1, 0, true, 22)), Verdict::PassNotOurs);
        assert_eq!(steer.verdict(&piece(1, 6, false, 0)), Verdict::PassFragment);
        // A datagram in one fragment is whole (RFC 6946).
        assert_eq!(steer.verdict(&piece(9, 0, false, 7)), Verdict::RedirectTcp);
        assert_eq!(steer.verdict(&piece(9, 3, false, 7)), Verdict::PassFragment);
        // The fragment header behind a hop-by-hop header.
        let fragment = fragment_header(6, 0, true, 5, &tcp(3, 7, 4));
        let packet = v6(PEER_V6, OURS_V6, 0, &extension(44, [0; 7], &fragment));
        assert_eq!(
            steer.verdict(&ethernet(&[], &packet)),
            Verdict::RedirectFragment
        );
        assert_eq!(
            steer.verdict(&piece(5, 3, false, 0)),
            Verdict::RedirectFragment
        );
    });
}

#[test]
fn a_large_frame_in_several_buffers_is_seen_whole() {
    Steer::with(rules(), |mut steer| {
        let mut frame = ethernet(&[], &V4::new(OURS).packet(&tcp(3, 7, 8900)));
        assert_eq!(steer.verdict(&frame), Verdict::RedirectTcp);
        frame.pop();
        assert_eq!(steer.verdict(&frame), Verdict::PassTruncated);
    });
}

#[test]
fn without_a_socket_what_is_ours_is_dropped() {
    Steer::with(rules(), |mut steer| {
        steer._socket = None; // closing it takes it out of the map
        assert_eq!(steer.verdict(&tcp_v4(OURS, 7)), Verdict::DropNoSocket);
        assert_eq!(
            steer.verdict(&tcp_v6(OURS_V6, 50_000)),
            Verdict::DropNoSocket
        );
        assert_eq!(steer.verdict(&tcp_v4(OURS, 22)), Verdict::PassNotOurs);
    });
}

#[test]
fn rules_are_replaced() {
    Steer::with(rules(), |mut steer| {
        let rules = Steering {
            listen: vec![endpoint("10.1.0.2:80")],
            local: vec!["10.1.0.2".parse().unwrap()],
            ephemeral: 60_000..=60_000,
        };
        steer.program.steer(&rules).unwrap();
        assert_eq!(steer.verdict(&tcp_v4(OURS, 7)), Verdict::PassNotOurs);
        assert_eq!(steer.verdict(&tcp_v4(OURS, 60_000)), Verdict::PassNotOurs);
        assert_eq!(steer.verdict(&tcp_v4(OURS_TOO, 80)), Verdict::RedirectTcp);
        assert_eq!(
            steer.verdict(&tcp_v4(OURS_TOO, 60_000)),
            Verdict::RedirectTcp
        );
        assert_eq!(
            steer.verdict(&tcp_v4(OURS_TOO, 50_000)),
            Verdict::PassNotOurs
        );
    });
}

#[test]
fn the_limits_of_the_maps_are_the_documented_ones() {
    Steer::with(Steering::default(), |mut steer| {
        let listen = |count: usize| -> Vec<Endpoint> {
            let address = Address::from(IpAddr::from([10, 1, 0, 1]));
            (0..count)
                .map(|port| Endpoint::new(address, port as u16))
                .collect()
        };
        let local = |count: u32| -> Vec<IpAddr> {
            (0..count)
                .map(|n| IpAddr::from(Ipv4Addr::from(n)))
                .collect()
        };
        let full = Steering {
            listen: listen(4096),
            local: local(1024),
            ..rules()
        };
        steer.program.steer(&full).unwrap();
        assert_eq!(steer.verdict(&tcp_v4(OURS, 4095)), Verdict::RedirectTcp);
        for over in [
            Steering {
                listen: listen(4097),
                ..rules()
            },
            Steering {
                local: local(1025),
                ..rules()
            },
        ] {
            assert!(
                steer
                    .program
                    .steer(&over)
                    .unwrap_err()
                    .to_string()
                    .contains("at most")
            );
        }
        assert_eq!(
            steer.verdict(&tcp_v4(OURS, 4095)),
            Verdict::RedirectTcp,
            "nothing changed"
        );
    });
}

#[test]
fn every_verdict_has_its_counter() {
    Steer::with(Steering::default(), |steer| {
        assert_eq!(steer.program.verdicts.len() as usize, Verdict::ALL.len());
    });
    for (index, verdict) in Verdict::ALL.into_iter().enumerate() {
        assert_eq!(verdict as usize, index);
    }
}
