use super::*;
use byway_sys::packet::{Offload, Received, Segmentation, VlanTag};

fn received(bytes: &[u8], offload: Offload) -> Received<'_> {
    Received {
        bytes,
        arrival: None,
        vlan: None,
        offload,
    }
}

fn completed(received: &Received<'_>) -> Result<Vec<Vec<u8>>, Incompletable> {
    let mut frames = Vec::new();
    complete(received, &mut Vec::new(), |frame| {
        frames.push(frame.to_vec())
    })?;
    Ok(frames)
}

/// An Ethernet and an IPv4 header with room for `transport` behind them.
fn ipv4(protocol: u8, transport: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x02; 12];
    frame.extend([0x08, 0x00]);
    frame.extend([0x45, 0, 0, 0, 0xff, 0xfe, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend(transport);
    frame
}

fn ipv6(protocol: u8, transport: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x02; 12];
    frame.extend([0x86, 0xdd]);
    frame.extend([0x60, 0, 0, 0, 0, 0, protocol, 64]);
    frame.extend((0..32).map(|octet| octet * 7));
    frame.extend(transport);
    frame
}

fn tcp(flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![0, 80, 0, 81];
    segment.extend(0xffff_ff00_u32.to_be_bytes());
    segment.extend([0, 0, 0, 9, 0x80, flags, 1, 0, 0, 0, 0, 0]);
    // Options: two no-operations and a timestamp.
    segment.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    segment.extend(payload);
    segment
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0, 53, 0, 54, 0, 0, 0, 0];
    datagram.extend(payload);
    datagram
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// Whether the checksum of the transport header, and of an IPv4 header, is right.
fn is_sound(frame: &[u8], protocol: u8) -> bool {
    let packet = &frame[14..];
    let (source, destination, header, len) = if packet[0] >> 4 == 4 {
        let v4 = |at: usize| Address::v4(*packet[at..].first_chunk().unwrap());
        let len = u16_at(packet, 2).unwrap();
        (v4(12), v4(16), 20, usize::from(len))
    } else {
        let v6 = |at: usize| Address::v6(*packet[at..].first_chunk().unwrap());
        let len = u16_at(packet, 4).unwrap();
        (v6(8), v6(24), 40, usize::from(len) + 40)
    };
    let transport = &packet[header..];
    let pseudo = pseudo_header(&source, &destination, protocol, transport.len() as u32);
    let transport_ok = finish(pseudo + sum(transport)) == 0;
    let network_ok = header == 40 || finish(sum(&packet[..header])) == 0;
    transport_ok && network_ok && len == packet.len()
}

#[test]
fn complete_frames_pass_unchanged() {
    let frame = ipv4(6, &tcp(0x10, b"hello"));
    assert_eq!(
        completed(&received(&frame, Offload::None)),
        Ok(vec![frame.clone()])
    );
    // Frames that are nothing in particular, too.
    assert_eq!(
        completed(&received(&[1, 2], Offload::None)),
        Ok(vec![vec![1, 2]])
    );
}

#[test]
fn an_unfilled_checksum_is_filled_in() {
    for (protocol, transport, offset) in [(6, tcp(0x18, &payload(333)), 16), (17, udp(b"abc"), 6)] {
        let mut frame = ipv4(protocol, &transport);
        let len = (frame.len() - 14) as u16;
        frame[16..18].copy_from_slice(&len.to_be_bytes());
        let header = finish(sum(&frame[14..34]));
        frame[24..26].copy_from_slice(&header.to_be_bytes());
        // What a kernel leaves behind: the sum of the pseudo header.
        let (from, to) = (Address::v4([10, 0, 0, 1]), Address::v4([10, 0, 0, 2]));
        let pseudo = pseudo_header(&from, &to, protocol, u32::from(len) - 20) as u16;
        frame[34 + offset..][..2].copy_from_slice(&pseudo.to_be_bytes());
        assert!(!is_sound(&frame, protocol));
        let offload = Offload::Checksum {
            start: 34,
            offset: offset as u16,
        };
        let frames = completed(&received(&frame, offload)).unwrap();
        assert_eq!(frames.len(), 1);
        assert!(is_sound(&frames[0], protocol), "protocol {protocol}");
    }
}

#[test]
fn a_large_tcp_packet_becomes_segments() {
    const ALL: u8 = 0x80 | 0x10 | 0x08 | 0x01;
    let data = payload(3000);
    for frame in [ipv4(6, &tcp(ALL, &data)), ipv6(6, &tcp(ALL, &data))] {
        let start = (frame.len() - 3000 - 32) as u16;
        let offload = Offload::Segments {
            kind: Segmentation::Tcp,
            size: 1448,
            start,
        };
        let frames = completed(&received(&frame, offload)).unwrap();
        assert_eq!(frames.len(), 3);
        assert!(frames.iter().all(|frame| is_sound(frame, 6)));
        let start = usize::from(start);
        let rejoined: Vec<u8> = frames
            .iter()
            .flat_map(|f| f[start + 32..].to_vec())
            .collect();
        assert_eq!(rejoined, data);
        let flags: Vec<u8> = frames.iter().map(|frame| frame[start + 13]).collect();
        assert_eq!(flags, [0x90, 0x10, 0x19], "CWR first, PSH and FIN last");
        let sequences: Vec<u32> = frames
            .iter()
            .map(|frame| u32::from_be_bytes(*frame[start + 4..].first_chunk().unwrap()))
            .collect();
        assert_eq!(sequences, [0xffff_ff00, 0x4a8, 0xa50], "modulo 2^32");
        if start == 34 {
            let ids: Vec<u16> = frames.iter().map(|f| u16_at(f, 18).unwrap()).collect();
            assert_eq!(ids, [0xfffe, 0xffff, 0]);
        }
    }
}

#[test]
fn a_large_udp_packet_becomes_datagrams() {
    let frame = ipv4(17, &udp(&payload(2500)));
    let offload = Offload::Segments {
        kind: Segmentation::Udp,
        size: 1000,
        start: 34,
    };
    let frames = completed(&received(&frame, offload)).unwrap();
    let lens: Vec<u16> = frames.iter().map(|f| u16_at(f, 38).unwrap()).collect();
    assert_eq!(lens, [1008, 1008, 508]);
    assert!(frames.iter().all(|frame| is_sound(frame, 17)));
}

#[test]
fn a_tag_goes_back_to_its_place() {
    let frame = ipv4(6, &tcp(0x10, b""));
    let mut with_tag = received(&frame, Offload::None);
    with_tag.vlan = Some(VlanTag {
        protocol: 0x8100,
        control: 0x2007,
    });
    let [tagged] = &completed(&with_tag).unwrap()[..] else {
        panic!("one frame");
    };
    assert_eq!(tagged[..12], frame[..12]);
    assert_eq!(tagged[12..18], [0x81, 0x00, 0x20, 0x07, 0x08, 0x00]);
    assert_eq!(tagged[18..], frame[14..]);
    assert_eq!((overhead(&frame), overhead(tagged)), (14, 18));
    assert_eq!((ip_start(&frame), ip_start(tagged)), (Some(14), Some(18)));
}

#[test]
fn nonsense_is_refused_and_never_panics() {
    let frame = ipv4(6, &tcp(0x10, &payload(100)));
    let mut offloads = vec![Offload::Unknown];
    for start in [0, 13, 14, 20, 34, 40, 66, 165, 166, 200, u16::MAX] {
        for offset in [0, 16, 200, u16::MAX] {
            offloads.push(Offload::Checksum { start, offset });
        }
        for kind in [Segmentation::Tcp, Segmentation::Udp] {
            let size = 40;
            offloads.push(Offload::Segments { kind, size, start });
        }
    }
    for offload in offloads {
        for len in 0..=frame.len() {
            // The outcome depends on where the frame ends; that there is one is what counts.
            completed(&received(&frame[..len], offload)).ok();
        }
    }
    assert_eq!(
        completed(&received(&frame, Offload::Unknown)),
        Err(Incompletable)
    );
    let beyond = Offload::Checksum {
        start: 200,
        offset: 16,
    };
    assert_eq!(completed(&received(&frame, beyond)), Err(Incompletable));
}
