//! Templates of the frames that clients send, and the little that has to be read of the answers.
//!
//! A template has zeros where connections differ. To send it, these fields are filled in and their
//! words added to its checksum, so that a frame costs a copy and a few additions.

use byway_wire::checksum::{finish, update32};
use byway_wire::ethernet::{self, MacAddr};
use byway_wire::frame::{emit_tcp, tcp_headers_len};
use byway_wire::ip::Ecn;
use byway_wire::tcp::{Flags, Header, Options, Timestamps, WindowScale, WireWindow};
use byway_wire::{Address, Endpoint, FlowKey};

/// The server of every measurement.
pub(crate) const SERVER: Endpoint = Endpoint::new(Address::v4([10, 0, 0, 1]), 7);
/// MAC address of the server.
pub(crate) const SERVER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// MAC address of every client: they are behind one router.
pub(crate) const CLIENT_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// What a host on Ethernet announces.
pub(crate) const MSS: u16 = 1460;

/// Address of the first client.
const FIRST_ADDRESS: u32 = u32::from_be_bytes([10, 64, 0, 0]);
const FIRST_PORT: u32 = 16_384;
const PORTS: u32 = 32_768;

const IP_LEN: usize = 16;
const IP_CHECKSUM: usize = 24;
const IP_SRC: usize = 26;
const IP_DST: usize = 30;
const TCP: usize = 34;
const DST_PORT: usize = TCP + 2;
const SEQ: usize = TCP + 4;
const ACK: usize = TCP + 8;
const OFFSET: usize = TCP + 12;
const FLAGS: usize = TCP + 13;
const CHECKSUM: usize = TCP + 16;
/// Where the timestamps are after two NOPs, and in a SYN with an MSS before them.
const TIMESTAMPS: usize = TCP + 24;
const SYN_TIMESTAMPS: usize = TIMESTAMPS + 4;

/// What differs between the frames of one template.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fields {
    /// Which client sends it.
    pub(crate) client: u32,
    /// Sequence number.
    pub(crate) seq: u32,
    /// Acknowledgment number.
    pub(crate) ack: u32,
    /// TSval and TSecr.
    pub(crate) stamp: u32,
    pub(crate) echo: u32,
}

/// How clients set up their connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// Whether they use timestamps, as Linux does.
    pub(crate) timestamps: bool,
    /// The largest segment they say they take.
    pub(crate) mss: u16,
}

impl Dialect {
    /// Octets of payload in a full segment of 1500 octets.
    pub(crate) const fn full_segment(self) -> usize {
        if self.timestamps { 1448 } else { 1460 }
    }
}

/// A frame with zeros where clients differ.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    stamp_at: Option<usize>,
}

impl Template {
    /// A segment with these flags and payload.
    ///
    /// # Panics
    /// When the payload does not fit an IP packet.
    pub(crate) fn new(dialect: Dialect, flags: Flags, payload: &[u8]) -> Self {
        let syn = flags.contains(Flags::SYN);
        let header = Header {
            flags,
            window: WireWindow(0xffff),
            options: Options {
                mss: syn.then_some(dialect.mss),
                window_scale: syn.then_some(WindowScale::MAX),
                sack_permitted: syn,
                timestamps: dialect.timestamps.then_some(Timestamps::default()),
                ..Options::default()
            },
            ..Header::default()
        };
        let flow = FlowKey {
            local: Endpoint::new(Address::v4([0; 4]), 0),
            remote: SERVER,
        };
        let link = ethernet::Header {
            src: CLIENT_MAC,
            dst: SERVER_MAC,
            ..ethernet::Header::default()
        };
        let start = tcp_headers_len(&link, &flow, &header);
        let mut bytes = vec![0; start + payload.len()];
        bytes[start..].copy_from_slice(payload);
        let sum = byway_sys::checksum::sum;
        emit_tcp(
            &mut bytes,
            &link,
            &flow,
            &header,
            Ecn::NotEct,
            payload.len(),
            sum,
        )
        .expect("a template is an ordinary segment");
        let stamp_at = if syn { SYN_TIMESTAMPS } else { TIMESTAMPS };
        Self {
            bytes,
            stamp_at: dialect.timestamps.then_some(stamp_at),
        }
    }

    /// Octets of the whole frame.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes the frame, which is as long as `out`.
    pub(crate) fn write(&self, fields: &Fields, out: &mut [u8]) {
        let address = FIRST_ADDRESS + fields.client / PORTS;
        let port = (FIRST_PORT + fields.client % PORTS) as u16;
        out.copy_from_slice(&self.bytes);
        put32(out, IP_SRC, address);
        let ip = update32(get16(out, IP_CHECKSUM), 0, address);
        put16(out, IP_CHECKSUM, ip);
        put16(out, TCP, port);
        put32(out, SEQ, fields.seq);
        put32(out, ACK, fields.ack);
        let mut sum = u32::from(!get16(out, CHECKSUM))
            + u32::from(port)
            + halves(address)
            + halves(fields.seq)
            + halves(fields.ack);
        if let Some(at) = self.stamp_at {
            put32(out, at, fields.stamp);
            put32(out, at + 4, fields.echo);
            sum += halves(fields.stamp) + halves(fields.echo);
        }
        put16(out, CHECKSUM, finish(sum));
    }
}

/// What matters about a segment that the server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Whom it is for.
    pub(crate) client: u32,
    /// Its sequence number.
    pub(crate) seq: u32,
    /// Octets of payload.
    pub(crate) payload: u32,
    /// Control bits.
    pub(crate) flags: Flags,
    /// Its TSval, if it has one.
    pub(crate) stamp: Option<u32>,
}

impl Answer {
    /// Reads a frame of the server, which is known to be TCP over IPv4.
    pub(crate) fn read(frame: &[u8], timestamps: bool) -> Self {
        let header = usize::from(frame[OFFSET] >> 4) * 4;
        let flags = Flags::from_bits(frame[FLAGS]);
        let stamp_at = if flags.contains(Flags::SYN) {
            SYN_TIMESTAMPS
        } else {
            TIMESTAMPS
        };
        let address = get32(frame, IP_DST) - FIRST_ADDRESS;
        Self {
            client: address * PORTS + u32::from(get16(frame, DST_PORT)) - FIRST_PORT,
            seq: get32(frame, SEQ),
            payload: u32::from(get16(frame, IP_LEN)) - 20 - header as u32,
            flags,
            stamp: timestamps.then(|| get32(frame, stamp_at)),
        }
    }

    /// The sequence number after it.
    pub(crate) const fn end(&self) -> u32 {
        let controls =
            self.flags.contains(Flags::SYN) as u32 + self.flags.contains(Flags::FIN) as u32;
        self.seq.wrapping_add(self.payload + controls)
    }
}

const fn halves(word: u32) -> u32 {
    (word >> 16) + (word & 0xffff)
}

fn get16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn get32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use byway_wire::frame::{ChecksumState, Packet, parse, verify_tcp_checksum};

    const FIELDS: Fields = Fields {
        client: 3 * PORTS + 77,
        seq: 0xfedc_ba98,
        ack: 0x8000_ffff,
        stamp: 0xffff_0001,
        echo: 0x1234_5678,
    };

    #[test]
    fn frames_are_what_they_should_be_with_right_checksums() {
        for timestamps in [true, false] {
            for (flags, payload) in [(Flags::SYN, &b""[..]), (Flags::ACK, b"abc")] {
                let dialect = Dialect {
                    timestamps,
                    mss: 1460,
                };
                let template = Template::new(dialect, flags, payload);
                let mut bytes = vec![0; template.len()];
                template.write(&FIELDS, &mut bytes);
                let Packet::Tcp(frame) = parse(&bytes) else {
                    panic!("{:?}", parse(&bytes));
                };
                let state = verify_tcp_checksum(&bytes, &frame, byway_sys::checksum::sum);
                assert_eq!(state, ChecksumState::Good);
                let remote = Endpoint::new(Address::v4([10, 64, 0, 3]), 16_384 + 77);
                assert_eq!((frame.flow.local, frame.flow.remote), (SERVER, remote));
                assert_eq!(frame.header.seq.get(), FIELDS.seq);
                assert_eq!(frame.header.ack.get(), FIELDS.ack);
                let stamps = frame.header.options.timestamps;
                assert_eq!(
                    stamps.map(|stamps| (stamps.value, stamps.echo)),
                    timestamps.then_some((FIELDS.stamp, FIELDS.echo))
                );
                assert_eq!(frame.payload_bytes(&bytes), payload);
            }
        }
    }

    #[test]
    fn answers_are_read() {
        let dialect = Dialect {
            timestamps: true,
            mss: 1460,
        };
        for flags in [Flags::SYN | Flags::ACK, Flags::FIN | Flags::ACK, Flags::ACK] {
            let template = Template::new(dialect, flags, b"abcd");
            let mut bytes = vec![0; template.len()];
            template.write(&FIELDS, &mut bytes);
            // As if the server had sent it: the ends change places.
            let (src, dst) = (get32(&bytes, IP_SRC), get32(&bytes, IP_DST));
            put32(&mut bytes, IP_SRC, dst);
            put32(&mut bytes, IP_DST, src);
            let port = get16(&bytes, TCP);
            put16(&mut bytes, DST_PORT, port);
            let answer = Answer::read(&bytes, true);
            let expected = Answer {
                client: FIELDS.client,
                seq: FIELDS.seq,
                payload: 4,
                flags,
                stamp: Some(FIELDS.stamp),
            };
            assert_eq!(answer, expected);
            let controls = u32::from(flags != Flags::ACK);
            assert_eq!(answer.end(), FIELDS.seq + 4 + controls);
        }
    }
}
