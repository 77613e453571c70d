//! What the observer reads off the wire, with a parser of its own: a mistake in the engine's parser
//! must not hide itself here.

/// Control bits, as on the wire.
pub(crate) mod flag {
    pub(crate) const FIN: u8 = 1;
    pub(crate) const SYN: u8 = 2;
    pub(crate) const RST: u8 = 4;
    pub(crate) const PSH: u8 = 8;
    pub(crate) const ACK: u8 = 16;
    pub(crate) const ECE: u8 = 64;
    pub(crate) const CWR: u8 = 128;
}

const ETHERNET_LEN: usize = 14;
const TCP: u8 = 6;
/// Most SACK blocks that fit the options.
const BLOCKS: usize = 4;

/// A TCP segment, with good checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Last octet of the source address: which engine sent it.
    pub(crate) from: u8,
    /// Last octet of the destination address.
    pub(crate) to: u8,
    /// Source and destination port.
    pub(crate) ports: (u16, u16),
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// Where the payload starts in the frame, and its length.
    pub(crate) payload: (u16, u16),
    /// Octets of options, padding included.
    pub(crate) options_len: u8,
    pub(crate) mss: Option<u16>,
    pub(crate) scale: Option<u8>,
    pub(crate) sack_permitted: bool,
    /// TSval and TSecr.
    pub(crate) timestamps: Option<(u32, u32)>,
    pub(crate) blocks: [(u32, u32); BLOCKS],
    pub(crate) block_count: u8,
    /// The two ECN bits of the IP header.
    pub(crate) ecn: u8,
    pub(crate) v6: bool,
    /// Routers may not cut it into fragments.
    pub(crate) whole: bool,
    /// Octets of the IP packet.
    pub(crate) packet_len: u16,
    /// The checksum field of TCP: a digest of all that it covers.
    pub(crate) checksum: u16,
}

impl Segment {
    pub(crate) fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Octets of payload.
    pub(crate) fn len(&self) -> u32 {
        u32::from(self.payload.1)
    }

    pub(crate) fn bytes<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        let start = usize::from(self.payload.0);
        &frame[start..start + usize::from(self.payload.1)]
    }

    #[cfg(test)]
    pub(crate) fn set_sack(&mut self, left: u32, right: u32) {
        (self.blocks[0], self.block_count) = ((left, right), 1);
    }

    pub(crate) fn sack_blocks(&self) -> &[(u32, u32)] {
        &self.blocks[..usize::from(self.block_count)]
    }
}

/// Reads a frame; `None` unless it is a whole TCP segment whose checksums are right.
pub(crate) fn parse(frame: &[u8]) -> Option<Segment> {
    let packet = frame.get(ETHERNET_LEN..)?;
    let kind = u16_at(frame, 12)?;
    let (header_len, packet_len, ecn, from, to, pseudo) = match kind {
        0x0800 => ipv4(packet)?,
        0x86dd => ipv6(packet)?,
        _ => return None,
    };
    let tcp = packet.get(header_len..packet_len)?;
    if fold(sum(tcp) + pseudo + u64::from(TCP) + tcp.len() as u64) != 0xffff {
        return None;
    }
    let offset = usize::from(tcp.get(12)? >> 4) * 4;
    let options = tcp.get(20..offset)?;
    let mut segment = Segment {
        from,
        to,
        ports: (u16_at(tcp, 0)?, u16_at(tcp, 2)?),
        seq: u32_at(tcp, 4)?,
        ack: u32_at(tcp, 8)?,
        flags: tcp[13],
        window: u16_at(tcp, 14)?,
        payload: (
            (ETHERNET_LEN + header_len + offset) as u16,
            (tcp.len() - offset) as u16,
        ),
        options_len: options.len() as u8,
        ecn,
        v6: kind != 0x0800,
        whole: kind != 0x0800 || packet[6] & 0x40 != 0,
        packet_len: packet_len as u16,
        checksum: u16_at(tcp, 16)?,
        ..Segment::default()
    };
    read_options(options, &mut segment)?;
    Some(segment)
}

/// Header length, packet length, ECN bits, last octets of the addresses, sum of the addresses.
type Ip = (usize, usize, u8, u8, u8, u64);

fn ipv4(packet: &[u8]) -> Option<Ip> {
    let header_len = usize::from(packet.first()? & 15) * 4;
    let header = packet.get(..header_len)?;
    let len = usize::from(u16_at(packet, 2)?);
    let whole = packet[0] >> 4 == 4 && header_len >= 20 && u16_at(packet, 6)? & 0x3fff == 0;
    if !whole || header[9] != TCP || fold(sum(header)) != 0xffff {
        return None;
    }
    let ends = sum(&header[12..20]);
    Some((header_len, len, header[1] & 3, header[15], header[19], ends))
}

fn ipv6(packet: &[u8]) -> Option<Ip> {
    let header = packet.get(..40)?;
    let len = 40 + usize::from(u16_at(packet, 4)?);
    if header[0] >> 4 != 6 || header[6] != TCP {
        return None;
    }
    let ecn = header[1] >> 4 & 3;
    Some((40, len, ecn, header[23], header[39], sum(&header[8..40])))
}

fn read_options(mut rest: &[u8], segment: &mut Segment) -> Option<()> {
    while let Some(&kind) = rest.first() {
        match kind {
            0 => return Some(()),
            1 => {
                rest = &rest[1..];
                continue;
            }
            _ => {}
        }
        let len = usize::from(*rest.get(1)?);
        let value = rest.get(2..len)?;
        match (kind, value.len()) {
            (2, 2) => segment.mss = u16_at(value, 0),
            (3, 1) => segment.scale = Some(value[0]),
            (4, 0) => segment.sack_permitted = true,
            (5, _) => {
                for block in value.chunks_exact(8) {
                    let slot = segment.blocks.get_mut(usize::from(segment.block_count))?;
                    *slot = (u32_at(block, 0)?, u32_at(block, 4)?);
                    segment.block_count += 1;
                }
            }
            (8, 8) => segment.timestamps = Some((u32_at(value, 0)?, u32_at(value, 4)?)),
            _ => return None,
        }
        rest = &rest[len..];
    }
    Some(())
}

/// Marks an ECN-capable packet as "congestion experienced"; false when it is not capable.
pub(crate) fn mark(frame: &mut [u8]) -> bool {
    match u16_at(frame, 12) {
        Some(0x0800) if frame[15] & 3 == 2 => {
            frame[15] |= 3;
            frame[24..26].fill(0);
            let sum = !fold(sum(&frame[14..34]));
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
            true
        }
        Some(0x86dd) if frame[15] >> 4 & 3 == 2 => {
            frame[15] |= 0x30;
            true
        }
        _ => false,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// The sum of 16-bit words, not folded. Words of 32 bits add up to the same after folding.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(4);
    let rest = words.remainder();
    let mut tail = [0; 4];
    tail[..rest.len()].copy_from_slice(rest);
    let whole: u64 = words
        .map(|w| u64::from(u32::from_be_bytes([w[0], w[1], w[2], w[3]])))
        .sum();
    whole + u64::from(u32::from_be_bytes(tail))
}

pub(crate) fn fold(sum: u64) -> u16 {
    let mut sum = sum;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

impl std::fmt::Display for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [
            (flag::SYN, 'S'),
            (flag::FIN, 'F'),
            (flag::RST, 'R'),
            (flag::PSH, 'P'),
            (flag::ACK, '.'),
            (flag::ECE, 'E'),
            (flag::CWR, 'W'),
        ];
        let flags: String = names
            .iter()
            .filter(|(bit, _)| self.has(*bit))
            .map(|(_, name)| name)
            .collect();
        let end = self.seq.wrapping_add(self.len());
        write!(
            f,
            "{}:{} > {}:{} [{flags}] seq {}:{end}({}) ack {} win {}",
            self.from,
            self.ports.0,
            self.to,
            self.ports.1,
            self.seq,
            self.len(),
            self.ack,
            self.window
        )?;
        for (name, value) in [
            ("mss", self.mss.map(u32::from)),
            ("wscale", self.scale.map(u32::from)),
            ("ecn", Some(u32::from(self.ecn)).filter(|ecn| *ecn > 0)),
        ] {
            if let Some(value) = value {
                write!(f, " {name} {value}")?;
            }
        }
        if self.sack_permitted {
            f.write_str(" sackOK")?;
        }
        if let Some((value, echo)) = self.timestamps {
            write!(f, " ts {value}/{echo}")?;
        }
        for (left, right) in self.sack_blocks() {
            write!(f, " sack {left}:{right}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use byway_wire::ethernet::{Header as Link, MacAddr};
    use byway_wire::frame::emit_tcp_summed;
    use byway_wire::ip::Ecn;
    use byway_wire::tcp::{Flags, Header, Options, SackBlock, Timestamps, WindowScale, WireWindow};
    use byway_wire::{Address, Endpoint, FlowKey, SeqNumber};

    pub(crate) fn frame(v4: bool) -> Vec<u8> {
        let address = |host| {
            if v4 {
                Address::v4([10, 0, 0, host])
            } else {
                Address::v6([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host])
            }
        };
        let flow = FlowKey {
            local: Endpoint::new(address(1), 1000),
            remote: Endpoint::new(address(2), 7),
        };
        let mut options = Options {
            mss: Some(1460),
            window_scale: Some(WindowScale::clamped(3)),
            timestamps: Some(Timestamps { value: 5, echo: 6 }),
            ..Options::default()
        };
        options.sack.push(SackBlock {
            left: SeqNumber::new(u32::MAX),
            right: SeqNumber::new(9),
        });
        let header = Header {
            seq: SeqNumber::new(u32::MAX),
            ack: SeqNumber::new(3),
            flags: Flags::ACK | Flags::PSH,
            window: WireWindow(77),
            options,
            ..Header::default()
        };
        let link = Link {
            src: MacAddr([2, 0, 0, 0, 0, 1]),
            dst: MacAddr([2, 0, 0, 0, 0, 2]),
            ..Link::default()
        };
        let mut bytes = vec![0; 2048];
        let len = emit_tcp_summed(&mut bytes, &link, &flow, &header, Ecn::Ect0, 0, 0);
        bytes.truncate(len.unwrap());
        bytes
    }

    #[test]
    fn it_reads_what_the_engine_writes() {
        for v4 in [true, false] {
            let bytes = frame(v4);
            let seg = parse(&bytes).unwrap();
            assert_eq!((seg.from, seg.to, seg.ports), (1, 2, (1000, 7)));
            assert_eq!((seg.seq, seg.ack, seg.window), (u32::MAX, 3, 77));
            assert_eq!(seg.flags, flag::ACK | flag::PSH);
            assert_eq!((seg.mss, seg.scale), (Some(1460), Some(3)));
            assert_eq!(seg.timestamps, Some((5, 6)));
            assert_eq!(seg.sack_blocks(), [(u32::MAX, 9)]);
            assert_eq!((seg.ecn, seg.len()), (2, 0));
        }
    }

    #[test]
    fn one_wrong_bit_is_found() {
        let bytes = frame(true);
        for bit in 14 * 8..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 0x80 >> (bit % 8);
            assert_eq!(parse(&wrong), None, "bit {bit}");
        }
    }

    #[test]
    fn a_mark_keeps_the_checksum() {
        for v4 in [true, false] {
            let mut bytes = frame(v4);
            assert!(mark(&mut bytes));
            assert_eq!(parse(&bytes).unwrap().ecn, 3);
            assert!(!mark(&mut bytes), "it is marked already");
        }
    }
}
