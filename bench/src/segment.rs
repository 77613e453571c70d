//! TCP segments over IPv4 and Ethernet as octets: no more of it than a load generator and a
//! reflector need. On purpose not the engine's code: two of a kind could share a mistake.

use byway_sys::checksum::{copy_sum, sum};
use byway_wire::SeqNumber;
use byway_wire::checksum::finish;

/// Octets of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// Octets of an IPv4 header without options, the only kind that is written.
const IPV4: usize = 20;
/// Octets of a TCP header without options.
const TCP: usize = 20;
/// Octets of all headers, without options.
pub(crate) const HEADERS: usize = ETHERNET + IPV4 + TCP;
/// Octets of a SYN: the option that tells the largest segment is all it has.
const SYN_HEADERS: usize = HEADERS + 4;
/// The largest segment that is told to the peer: what an MTU of 1500 has room for.
pub(crate) const MSS: u16 = 1460;
/// The largest segment that may be sent to a peer that tells none (RFC 9293 §3.7.1).
const DEFAULT_MSS: u16 = 536;
/// The window that is announced: the most without scaling. What arrives is taken at once.
const WINDOW: u16 = u16::MAX;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const PROTOCOL_TCP: u8 = 6;

/// Where the fields are, from the start of the frame.
mod at {
    use super::{ETHERNET, IPV4};

    pub(super) const IP_LENGTH: usize = ETHERNET + 2;
    pub(super) const IP_CHECKSUM: usize = ETHERNET + 10;
    pub(super) const SOURCE: usize = ETHERNET + 12;
    pub(super) const PORTS: usize = ETHERNET + IPV4;
    pub(super) const SEQ: usize = PORTS + 4;
    pub(super) const ACK: usize = PORTS + 8;
    pub(super) const OFFSET: usize = PORTS + 12;
    pub(super) const FLAGS: usize = PORTS + 13;
    pub(super) const TCP_CHECKSUM: usize = PORTS + 16;
}

/// The control bits of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u8);

impl Flags {
    pub(crate) const FIN: Self = Self(0x01);
    pub(crate) const SYN: Self = Self(0x02);
    pub(crate) const RST: Self = Self(0x04);
    pub(crate) const PSH: Self = Self(0x08);
    pub(crate) const ACK: Self = Self(0x10);

    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True when any of these bits is set.
    pub(crate) const fn has(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }
}

/// An endpoint of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) address: [u8; 4],
    pub(crate) port: u16,
}

/// A segment that arrived; its checksums are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    pub(crate) from: End,
    pub(crate) to: End,
    pub(crate) seq: SeqNumber,
    pub(crate) ack: SeqNumber,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) payload: &'a [u8],
    /// Octets of the largest segment that its sender takes; of use in a SYN only.
    pub(crate) mss: u16,
}

impl Received<'_> {
    /// What it takes of the sequence space.
    pub(crate) fn length(&self) -> u32 {
        let marks = u32::from(self.flags.has(Flags::SYN)) + u32::from(self.flags.has(Flags::FIN));
        self.payload.len() as u32 + marks
    }
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The sum of the addresses as they stand in an IPv4 header, of the protocol and of the length.
#[inline]
fn pseudo_header(addresses: &[u8], tcp_len: usize) -> u32 {
    let words = [0, 2, 4, 6].map(|at| u32::from(be16(addresses, at)));
    words.iter().sum::<u32>() + u32::from(PROTOCOL_TCP) + tcp_len as u32
}

/// The sum of an IPv4 header of 20 octets: 10 words are faster than vectors are.
#[inline]
fn header_sum(header: &[u8]) -> u32 {
    let (words, _) = header[..IPV4].as_chunks::<2>();
    words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum()
}

/// Parses a frame; `None` for what is no whole TCP segment over IPv4, or has a wrong checksum.
#[inline]
pub(crate) fn parse(frame: &[u8]) -> Option<Received<'_>> {
    if frame.len() < HEADERS
        || frame[12..ETHERNET] != ETHERTYPE_IPV4
        || frame[ETHERNET] != 0x45
        || frame[ETHERNET + 9] != PROTOCOL_TCP
        // More fragments, or an offset.
        || be16(frame, ETHERNET + 6) & 0x3fff != 0
    {
        return None;
    }
    let total = usize::from(be16(frame, at::IP_LENGTH));
    let packet = frame[ETHERNET..].get(..total)?;
    let tcp = packet.get(IPV4..)?;
    let offset = usize::from(frame[at::OFFSET] >> 4) * 4;
    if offset < TCP || offset > tcp.len() || finish(header_sum(packet)) != 0 {
        return None;
    }
    if finish(pseudo_header(&packet[12..20], tcp.len()) + sum(tcp)) != 0 {
        return None;
    }
    let end = |address: usize, port: usize| End {
        address: [
            packet[address],
            packet[address + 1],
            packet[address + 2],
            packet[address + 3],
        ],
        port: be16(tcp, port),
    };
    let flags = Flags(tcp[13]);
    Some(Received {
        from: end(12, 0),
        to: end(16, 2),
        seq: SeqNumber::new(be32(tcp, 4)),
        ack: SeqNumber::new(be32(tcp, 8)),
        flags,
        window: be16(tcp, 14),
        payload: &tcp[offset..],
        mss: if flags.has(Flags::SYN) {
            mss(&tcp[TCP..offset])
        } else {
            DEFAULT_MSS
        },
    })
}

/// The largest segment among these options.
fn mss(mut options: &[u8]) -> u16 {
    loop {
        options = match options {
            [0, ..] | [] => return DEFAULT_MSS,
            [1, rest @ ..] => rest,
            [2, 4, high, low, ..] => return u16::from_be_bytes([*high, *low]),
            [_, len, ..] => match options.get(usize::from((*len).max(2))..) {
                Some(rest) => rest,
                None => return DEFAULT_MSS,
            },
            [_] => return DEFAULT_MSS,
        };
    }
}

/// What differs from one segment to the next of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    pub(crate) seq: SeqNumber,
    pub(crate) ack: SeqNumber,
    pub(crate) flags: Flags,
}

/// The headers of a connection but for what differs, and the sums over them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Template {
    header: [u8; HEADERS],
    /// Over the IPv4 header, its length left out.
    ip_sum: u32,
    /// Over the pseudo header, the ports and the window, the length left out.
    tcp_sum: u32,
}

impl Template {
    /// For segments between these stations (Ethernet addresses) and endpoints.
    pub(crate) fn new(from: ([u8; 6], End), to: ([u8; 6], End)) -> Self {
        let mut header = [0; HEADERS];
        header[..6].copy_from_slice(&to.0);
        header[6..12].copy_from_slice(&from.0);
        header[12..ETHERNET].copy_from_slice(&ETHERTYPE_IPV4);
        let ip = &mut header[ETHERNET..];
        // Version 4, 20 octets; never fragmented, so that it needs no identification (RFC 6864).
        ip[0] = 0x45;
        ip[6] = 0x40;
        ip[8] = 64;
        ip[9] = PROTOCOL_TCP;
        ip[12..16].copy_from_slice(&from.1.address);
        ip[16..20].copy_from_slice(&to.1.address);
        let tcp = &mut ip[IPV4..];
        tcp[..2].copy_from_slice(&from.1.port.to_be_bytes());
        tcp[2..4].copy_from_slice(&to.1.port.to_be_bytes());
        tcp[14..16].copy_from_slice(&WINDOW.to_be_bytes());
        let ports = u32::from(from.1.port) + u32::from(to.1.port);
        Self {
            header,
            ip_sum: header_sum(&header[ETHERNET..]),
            tcp_sum: pseudo_header(&header[at::SOURCE..][..8], 0) + ports + u32::from(WINDOW),
        }
    }

    /// Writes a segment with this payload; returns the octets of the frame. A SYN gets the option
    /// that tells our largest segment.
    ///
    /// # Panics
    /// When `frame` is too small for it.
    #[inline]
    pub(crate) fn write(&self, frame: &mut [u8], fields: &Fields, payload: &[u8]) -> usize {
        let headers = if fields.flags.has(Flags::SYN) {
            SYN_HEADERS
        } else {
            HEADERS
        };
        let len = headers + payload.len();
        let frame = &mut frame[..len];
        frame[..HEADERS].copy_from_slice(&self.header);
        let total = (len - ETHERNET) as u32;
        let tcp_len = total - IPV4 as u32;
        let put16 = |frame: &mut [u8], at: usize, value: u16| {
            frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
        };
        put16(frame, at::IP_LENGTH, total as u16);
        put16(frame, at::IP_CHECKSUM, finish(self.ip_sum + total));
        let (seq, ack) = (fields.seq.get(), fields.ack.get());
        frame[at::SEQ..][..4].copy_from_slice(&seq.to_be_bytes());
        frame[at::ACK..][..4].copy_from_slice(&ack.to_be_bytes());
        let offset = ((headers - ETHERNET - IPV4) / 4 * 0x10) as u8;
        frame[at::OFFSET] = offset;
        frame[at::FLAGS] = fields.flags.0;
        let mut tcp_sum = self.tcp_sum + tcp_len + (seq >> 16) + (seq & 0xffff);
        tcp_sum += (ack >> 16) + (ack & 0xffff);
        tcp_sum += u32::from(u16::from_be_bytes([offset, fields.flags.0]));
        if headers == SYN_HEADERS {
            frame[HEADERS..SYN_HEADERS].copy_from_slice(&[2, 4, 0, 0]);
            put16(frame, HEADERS + 2, MSS);
            tcp_sum += 0x0204 + u32::from(MSS);
        }
        if !payload.is_empty() {
            tcp_sum += copy_sum(&mut frame[headers..], payload);
        }
        put16(frame, at::TCP_CHECKSUM, finish(tcp_sum));
        len
    }
}

/// Turns a frame with a segment into one that goes back where it came from, with other numbers and
/// flags and the payload as it is. The checksum is updated, not made anew (RFC 1624): if it was
/// wrong, it stays wrong, so that the sender finds out.
pub(crate) fn turn_round(frame: &mut [u8], fields: &Fields) {
    let (destination, source) = frame[..12].split_at_mut(6);
    destination.swap_with_slice(source);
    let (source, destination) = frame[at::SOURCE..][..8].split_at_mut(4);
    source.swap_with_slice(destination);
    let (source, destination) = frame[at::PORTS..][..4].split_at_mut(2);
    source.swap_with_slice(destination);
    // Addresses and ports are words of the sum, whose order makes no difference. The rest of it:
    let changed = at::SEQ..at::FLAGS + 3;
    let before: u32 = words(&frame[changed.clone()]);
    frame[at::SEQ..][..4].copy_from_slice(&fields.seq.get().to_be_bytes());
    frame[at::ACK..][..4].copy_from_slice(&fields.ack.get().to_be_bytes());
    frame[at::FLAGS] = fields.flags.0;
    frame[at::FLAGS + 1..][..2].copy_from_slice(&WINDOW.to_be_bytes());
    let after: u32 = words(&frame[changed]);
    let old = u32::from(!be16(frame, at::TCP_CHECKSUM));
    // 12 octets are 6 words: their complement is that of each.
    let sum = finish(old + 6 * 0xffff - before + after);
    frame[at::TCP_CHECKSUM..][..2].copy_from_slice(&sum.to_be_bytes());
}

fn words(bytes: &[u8]) -> u32 {
    let (words, _) = bytes.as_chunks::<2>();
    words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use byway_wire::frame::{self, ChecksumState, Packet};

    const CLIENT: End = End {
        address: [198, 18, 3, 200],
        port: 61_234,
    };
    const SERVER: End = End {
        address: [10, 77, 0, 2],
        port: 7,
    };

    fn template() -> Template {
        Template::new(([2, 0, 0, 0, 0, 1], CLIENT), ([2, 0, 0, 0, 0, 2], SERVER))
    }

    fn fields(flags: Flags) -> Fields {
        Fields {
            seq: SeqNumber::new(0xfffe_fffd),
            ack: SeqNumber::new(0x0001_8000),
            flags,
        }
    }

    fn written(flags: Flags, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xee; 1600];
        let len = template().write(&mut bytes, &fields(flags), payload);
        bytes.truncate(len);
        bytes
    }

    const DATA: Flags = Flags::ACK.and(Flags::PSH);

    /// The engine's opinion.
    fn is_whole(bytes: &[u8]) -> bool {
        let Packet::Tcp(segment) = frame::parse(bytes) else {
            return false;
        };
        frame::verify_tcp_checksum(bytes, &segment, sum) == ChecksumState::Good
    }

    #[test]
    fn what_is_written_is_read_here_and_by_the_engine() {
        for len in [0, 1, 2, 63, 64, 1460] {
            let payload: Vec<u8> = (0..len).map(|x| (x * 7) as u8).collect();
            let bytes = written(DATA, &payload);
            let segment = parse(&bytes).expect("it is whole");
            assert_eq!((segment.from, segment.to), (CLIENT, SERVER));
            assert_eq!(
                (segment.seq, segment.ack),
                (fields(DATA).seq, fields(DATA).ack)
            );
            assert_eq!((segment.flags, segment.window), (DATA, WINDOW));
            assert_eq!((segment.payload, segment.length()), (&payload[..], len));
            let padded = [&bytes[..], &[9; 5]].concat();
            assert_eq!(parse(&padded).expect("padding is no part of it"), segment);
            assert!(is_whole(&bytes), "{len}");
        }
        let bytes = written(Flags::SYN, &[]);
        let segment = parse(&bytes).unwrap();
        assert_eq!(
            (segment.mss, segment.length(), bytes.len()),
            (MSS, 1, SYN_HEADERS)
        );
        assert!(is_whole(&bytes));
    }

    #[test]
    fn any_wrong_bit_of_the_packet_is_found() {
        let mut bytes = written(DATA, b"request");
        for bit in ETHERNET * 8..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&bytes), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for len in 0..bytes.len() {
            assert_eq!(parse(&bytes[..len]), None, "{len} octets of it");
        }
    }

    #[test]
    fn a_frame_turned_round_is_whole_and_a_wrong_one_stays_wrong() {
        for (flags, payload) in [
            (DATA, &b"request!"[..]),
            (Flags::SYN, b""),
            (DATA, &[0xff; 61]),
        ] {
            let mut bytes = written(flags, payload);
            let answer = Fields {
                seq: SeqNumber::new(u32::MAX),
                ack: SeqNumber::new(5),
                flags: Flags::ACK.and(flags),
            };
            turn_round(&mut bytes, &answer);
            let segment = parse(&bytes).expect("its checksum is right");
            assert_eq!(
                (segment.from, segment.to, segment.payload),
                (SERVER, CLIENT, payload)
            );
            assert_eq!((segment.seq, segment.ack), (answer.seq, answer.ack));
            assert_eq!(bytes[..12], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
            let mut wrong = written(flags, payload);
            *wrong.last_mut().unwrap() ^= 4;
            turn_round(&mut wrong, &answer);
            assert_eq!(parse(&wrong), None);
        }
    }

    #[test]
    fn the_largest_segment_is_found_among_the_options() {
        assert_eq!(mss(&[]), DEFAULT_MSS);
        assert_eq!(mss(&[1, 1, 2, 4, 5, 0xb4]), 1460);
        assert_eq!(mss(&[8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 0, 100]), 100);
        for broken in [
            &[3][..],
            &[8, 0, 0],
            &[8, 200, 2, 4, 1, 1],
            &[0, 2, 4, 1, 1],
            &[2, 4, 1],
        ] {
            assert_eq!(mss(broken), DEFAULT_MSS, "{broken:?}");
        }
    }
}
