//! The TCP header between bytes and value.

use super::{Flags, Options, SackBlock, SackBlocks, Timestamps, WindowScale, WireWindow};
use crate::checksum;
use crate::malformed::Malformed;
use crate::seq::SeqNumber;
use crate::write::Writer;

/// Octets of a header without options.
pub const MIN_HEADER_LEN: usize = 20;
/// Octets of options that fit a header.
pub const MAX_OPTIONS_LEN: usize = 40;

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// NOP NOP and the first two octets of the timestamps option: how nearly every sender starts its
/// options once a connection is open (RFC 7323 appendix A).
const ALIGNED_TIMESTAMPS: [u8; 4] = [NOP, NOP, TIMESTAMPS, 10];

/// A TCP header (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Port of the sender.
    pub src_port: u16,
    /// Port of the receiver.
    pub dst_port: u16,
    /// Sequence number of the first octet.
    pub seq: SeqNumber,
    /// Acknowledgment number, significant with the ACK flag.
    pub ack: SeqNumber,
    /// Control bits.
    pub flags: Flags,
    /// Window field, not scaled.
    pub window: WireWindow,
    /// Checksum field as received; [`emit`](Self::emit) writes it as it is.
    pub checksum: u16,
    /// Urgent pointer, significant with the URG flag.
    pub urgent: u16,
    /// The options we know.
    pub options: Options,
}

impl Header {
    /// Parses the header at the start of `segment`: the header and its length with options.
    ///
    /// Options are read the way Linux does: unknown kinds are skipped, an option whose length is
    /// below two or beyond the header ends the reading (what came before it counts, the segment is
    /// not dropped), a known option of the wrong length is skipped. Options that belong on a SYN
    /// are ignored elsewhere.
    ///
    /// # Errors
    /// [`Malformed::TcpHeader`] when the header is cut or its data offset is below five.
    #[inline]
    pub fn parse(segment: &[u8]) -> Result<(Self, usize), Malformed> {
        match Self::split(segment) {
            Some((fixed, options)) => {
                Ok((Self::read(fixed, options), MIN_HEADER_LEN + options.len()))
            }
            None => Err(Malformed::TcpHeader),
        }
    }

    /// The fixed part of the header at the start of `segment` and the octets of its options;
    /// `None` when it is cut or its data offset is below five.
    #[inline(always)]
    pub(crate) fn split(segment: &[u8]) -> Option<(&[u8; MIN_HEADER_LEN], &[u8])> {
        let (fixed, rest) = segment.split_first_chunk::<MIN_HEADER_LEN>()?;
        let len = (usize::from(fixed[12] >> 4) * 4).checked_sub(MIN_HEADER_LEN)?;
        Some((fixed, rest.get(..len)?))
    }

    /// Reads what [`split`](Self::split) found. Apart from it, because it cannot fail: the value
    /// is built where it is wanted, not copied out of a `Result`.
    #[inline(always)]
    pub(crate) fn read(h: &[u8; MIN_HEADER_LEN], options: &[u8]) -> Self {
        let flags = Flags::from_bits(h[13]);
        Self {
            src_port: u16::from_be_bytes([h[0], h[1]]),
            dst_port: u16::from_be_bytes([h[2], h[3]]),
            seq: SeqNumber::new(u32::from_be_bytes([h[4], h[5], h[6], h[7]])),
            ack: SeqNumber::new(u32::from_be_bytes([h[8], h[9], h[10], h[11]])),
            flags,
            window: WireWindow(u16::from_be_bytes([h[14], h[15]])),
            checksum: u16::from_be_bytes([h[16], h[17]]),
            urgent: u16::from_be_bytes([h[18], h[19]]),
            options: parse_options(options, flags.contains(Flags::SYN)),
        }
    }

    /// Octets that [`emit`](Self::emit) writes, 20 to 60.
    #[inline]
    pub fn header_len(&self) -> usize {
        MIN_HEADER_LEN + self.options.wire_len()
    }

    /// The partial sum of what [`emit`](Self::emit) wrote to `written`. It is taken from the fields
    /// where they say it all: reading back what was just stored in other pieces stalls the CPU.
    #[inline]
    pub(crate) fn sum(&self, written: &[u8]) -> u32 {
        let halves = |word: u32| (word >> 16) + (word & 0xffff);
        let offset_and_flags = (self.header_len() as u32) << 10 | u32::from(self.flags.bits());
        let fixed = u32::from(self.src_port)
            + u32::from(self.dst_port)
            + halves(self.seq.get())
            + halves(self.ack.get())
            + offset_and_flags
            + u32::from(self.window.0)
            + u32::from(self.checksum)
            + u32::from(self.urgent);
        let only_timestamps = Options {
            timestamps: self.options.timestamps,
            ..Options::default()
        };
        fixed
            + match self.options.timestamps {
                Some(timestamps) if self.options == only_timestamps => {
                    halves(u32::from_be_bytes(ALIGNED_TIMESTAMPS))
                        + halves(timestamps.value)
                        + halves(timestamps.echo)
                }
                _ => checksum::sum(written.get(MIN_HEADER_LEN..).unwrap_or(&[])),
            }
    }

    /// Writes the header to the start of `out`: its length, or `None` when `out` is too short.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let len = self.header_len();
        let (fixed, options) = out.get_mut(..len)?.split_first_chunk_mut()?;
        let [p0, p1] = self.src_port.to_be_bytes();
        let [p2, p3] = self.dst_port.to_be_bytes();
        let [s0, s1, s2, s3] = self.seq.get().to_be_bytes();
        let [a0, a1, a2, a3] = self.ack.get().to_be_bytes();
        let [w0, w1] = self.window.0.to_be_bytes();
        let [c0, c1] = self.checksum.to_be_bytes();
        let [u0, u1] = self.urgent.to_be_bytes();
        // `len` is a multiple of four up to 60: its count of words is its data offset, shifted.
        let offset = (len as u8) << 2;
        let flags = self.flags.bits();
        *fixed = [
            p0, p1, p2, p3, s0, s1, s2, s3, a0, a1, a2, a3, offset, flags, w0, w1, c0, c1, u0, u1,
        ];
        self.options.emit(options)?;
        Some(len)
    }
}

impl Options {
    /// Octets the options take in a header, padding included: a multiple of four, at most 40.
    #[inline]
    pub fn wire_len(&self) -> usize {
        let blocks = self.sack_room();
        self.len_before_sack() + if blocks == 0 { 0 } else { 4 + 8 * blocks }
    }

    /// Octets of everything but the SACK blocks, at most 20.
    #[inline]
    fn len_before_sack(&self) -> usize {
        let mss = if self.mss.is_some() { 4 } else { 0 };
        let scale = if self.window_scale.is_some() { 4 } else { 0 };
        let rest = match (self.timestamps, self.sack_permitted) {
            (Some(_), _) => 12,
            (None, true) => 4,
            (None, false) => 0,
        };
        mss + scale + rest
    }

    /// How many of the SACK blocks go out: as many as fit, the first ones (RFC 2018 §3).
    #[inline]
    fn sack_room(&self) -> usize {
        if self.sack.is_empty() {
            return 0;
        }
        let room = (MAX_OPTIONS_LEN - 4).saturating_sub(self.len_before_sack()) / 8;
        self.sack.as_slice().len().min(room)
    }

    /// Writes the options, each group padded to four octets by NOPs in front of it, in the order
    /// that most stacks use: MSS, timestamps (SACK-permitted in the place of their NOPs), window
    /// scale, SACK blocks.
    //= rfc9293 3.1 MUST-68 MUST-69
    #[inline]
    fn emit(&self, out: &mut [u8]) -> Option<()> {
        let mut out = Writer::new(out);
        if let Some(mss) = self.mss {
            let [m0, m1] = mss.to_be_bytes();
            out.put([MSS, 4, m0, m1])?;
        }
        if let Some(timestamps) = self.timestamps {
            out.put(if self.sack_permitted {
                [SACK_PERMITTED, 2, TIMESTAMPS, 10]
            } else {
                ALIGNED_TIMESTAMPS
            })?;
            out.put(timestamps.value.to_be_bytes())?;
            out.put(timestamps.echo.to_be_bytes())?;
        } else if self.sack_permitted {
            out.put([NOP, NOP, SACK_PERMITTED, 2])?;
        }
        if let Some(scale) = self.window_scale {
            out.put([NOP, WINDOW_SCALE, 3, scale.shift()])?;
        }
        let blocks = self.sack_room();
        if blocks > 0 {
            // At most four blocks, so the length is at most 34.
            out.put([NOP, NOP, SACK, (2 + 8 * blocks) as u8])?;
            for block in self.sack.as_slice().iter().take(blocks) {
                out.put(block.left.get().to_be_bytes())?;
                out.put(block.right.get().to_be_bytes())?;
            }
        }
        Some(())
    }
}

/// Reads the options of a header.
//= rfc9293 3.1 MUST-5
#[inline(always)]
fn parse_options(bytes: &[u8], syn: bool) -> Options {
    if bytes.is_empty() {
        return Options::default();
    }
    if let Ok(&[o0, o1, o2, o3, v0, v1, v2, v3, e0, e1, e2, e3]) = <&[u8; 12]>::try_from(bytes)
        && [o0, o1, o2, o3] == ALIGNED_TIMESTAMPS
    {
        let value = u32::from_be_bytes([v0, v1, v2, v3]);
        let echo = u32::from_be_bytes([e0, e1, e2, e3]);
        return Options {
            timestamps: Some(Timestamps { value, echo }),
            ..Options::default()
        };
    }
    parse_each_option(bytes, syn)
}

/// Reads options one by one.
//= rfc9293 3.1 MUST-4 MUST-6 MUST-7
//= rfc9293 3.2 MUST-64
#[cold]
fn parse_each_option(mut bytes: &[u8], syn: bool) -> Options {
    let mut options = Options::default();
    while let Some((&kind, after_kind)) = bytes.split_first() {
        if kind == END {
            break;
        }
        if kind == NOP {
            bytes = after_kind;
            continue;
        }
        let Some(&len) = after_kind.first() else {
            break;
        };
        let Some((option, rest)) = bytes.split_at_checked(usize::from(len)) else {
            break;
        };
        let Some(value) = option.get(2..) else { break };
        parse_option(kind, value, syn, &mut options);
        bytes = rest;
    }
    options
}

/// Reads one option from its value; one that is unknown or of the wrong length changes nothing.
//= rfc7323 2.2 S2.2-4
fn parse_option(kind: u8, value: &[u8], syn: bool, options: &mut Options) {
    match (kind, value) {
        (MSS, &[m0, m1]) if syn => {
            // A maximum of zero cannot be meant: as if it had not been sent.
            options.mss = Some(u16::from_be_bytes([m0, m1])).filter(|mss| *mss != 0);
        }
        (WINDOW_SCALE, &[shift]) if syn => options.window_scale = Some(WindowScale::clamped(shift)),
        (SACK_PERMITTED, []) if syn => options.sack_permitted = true,
        (TIMESTAMPS, &[v0, v1, v2, v3, e0, e1, e2, e3]) => {
            options.timestamps = Some(Timestamps {
                value: u32::from_be_bytes([v0, v1, v2, v3]),
                echo: u32::from_be_bytes([e0, e1, e2, e3]),
            });
        }
        (SACK, value) => {
            let (blocks, []) = value.as_chunks::<8>() else {
                return;
            };
            options.sack = SackBlocks::default();
            for &[l0, l1, l2, l3, r0, r1, r2, r3] in blocks {
                options.sack.push(SackBlock {
                    left: SeqNumber::new(u32::from_be_bytes([l0, l1, l2, l3])),
                    right: SeqNumber::new(u32::from_be_bytes([r0, r1, r2, r3])),
                });
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: [u8; 20] = [
        0x9c, 0x40, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0x10, 0x20, 0x21, 0xaa, 0xbb, 0xcc, 0xdd,
    ];

    /// A header with these octets of options, a multiple of four.
    fn bytes(flags: Flags, options: &[u8]) -> Vec<u8> {
        assert_eq!(options.len() % 4, 0);
        let mut bytes = [&FIXED, options].concat();
        bytes[12] = (bytes.len() as u8) << 2 | 0x0f;
        bytes[13] = flags.bits();
        bytes
    }

    fn options(flags: Flags, octets: &[u8]) -> Options {
        let bytes = bytes(flags, octets);
        let (header, len) = Header::parse(&bytes).unwrap();
        assert_eq!(len, bytes.len());
        header.options
    }

    fn timestamps(value: u32, echo: u32) -> Option<Timestamps> {
        Some(Timestamps { value, echo })
    }

    fn block(left: u32, right: u32) -> SackBlock {
        SackBlock {
            left: SeqNumber::new(left),
            right: SeqNumber::new(right),
        }
    }

    #[test]
    fn fields_are_where_the_rfc_puts_them() {
        let (header, len) = Header::parse(&bytes(Flags::ACK | Flags::URG, &[])).unwrap();
        assert_eq!(len, 20);
        assert_eq!((header.src_port, header.dst_port), (40_000, 80));
        assert_eq!(
            (header.seq.get(), header.ack.get()),
            (0x0102_0304, 0x0506_0708)
        );
        assert_eq!(header.flags, Flags::ACK | Flags::URG);
        assert_eq!(header.window, WireWindow(0x2021));
        assert_eq!((header.checksum, header.urgent), (0xaabb, 0xccdd));
        assert_eq!(header.options, Options::default());
    }

    #[test]
    fn a_data_offset_must_hold_the_header_and_fit_the_segment() {
        let mut bytes = bytes(Flags::ACK, &[NOP; 4]);
        for words in 0..16u8 {
            bytes[12] = words << 4;
            let parsed = Header::parse(&bytes).map(|(_, len)| len);
            let fits = (5..=6).contains(&words);
            let expected = if fits {
                Ok(usize::from(words) * 4)
            } else {
                Err(Malformed::TcpHeader)
            };
            assert_eq!(parsed, expected, "{words} words");
        }
    }

    //= rfc9293 3.1 MUST-5
    //= rfc9293 3.2 MUST-64
    #[test]
    fn the_aligned_timestamps_read_the_same_as_any_others() {
        let aligned = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
        let behind = [8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1];
        let between = [1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0];
        for octets in [aligned, behind, between] {
            let options = options(Flags::ACK, &octets);
            assert_eq!(
                options,
                Options {
                    timestamps: timestamps(1, 2),
                    ..Options::default()
                }
            );
        }
        let padded = [&aligned[..], &[0; 4]].concat();
        assert_eq!(options(Flags::ACK, &padded).timestamps, timestamps(1, 2));
    }

    //= rfc9293 3.1 MUST-6
    #[test]
    fn unknown_options_are_skipped_by_their_length() {
        let octets = [254, 6, 2, 4, 5, 180, 30, 2, 2, 4, 5, 180];
        assert_eq!(options(Flags::SYN, &octets).mss, Some(1460));
    }

    //= rfc9293 3.1 MUST-4 MUST-7
    #[test]
    fn a_bad_length_ends_the_reading_and_keeps_what_came_before() {
        for bad in [
            [3, 0, 7, 4],
            [3, 1, 7, 4],
            [3, 5, 7, 4],
            [3, 255, 7, 4],
            [1, 1, 1, 3],
        ] {
            let octets = [&[2, 4, 5, 180][..], &bad].concat();
            let expected = Options {
                mss: Some(1460),
                ..Options::default()
            };
            assert_eq!(options(Flags::SYN, &octets), expected, "{bad:?}");
        }
        let nothing_after_the_end = [0, 2, 4, 5, 180, 0, 0, 0];
        assert_eq!(
            options(Flags::SYN, &nothing_after_the_end),
            Options::default()
        );
    }

    #[test]
    fn a_known_option_of_the_wrong_length_is_skipped() {
        let octets = [
            2, 3, 9, 3, 4, 1, 1, 4, 3, 1, 5, 2, 5, 9, 1, 2, 3, 4, 5, 6, 7, 2, 4, 0, 99, 0,
        ];
        let octets = [&octets[..], &[0, 0]].concat();
        assert_eq!(
            options(Flags::SYN, &octets),
            Options {
                mss: Some(99),
                ..Options::default()
            }
        );
    }

    //= rfc9293 3.1 MUST-4
    //= rfc7323 2.2 S2.2-4
    //= rfc7323 2.3 S2.3-1
    #[test]
    fn options_of_a_syn_count_on_a_syn_only() {
        let octets = [2, 4, 5, 180, 1, 3, 3, 20, 4, 2, 0, 0];
        let expected = Options {
            mss: Some(1460),
            window_scale: Some(WindowScale::MAX),
            sack_permitted: true,
            ..Options::default()
        };
        assert_eq!(options(Flags::SYN | Flags::ACK, &octets), expected);
        assert_eq!(options(Flags::ACK, &octets), Options::default());
        assert_eq!(options(Flags::SYN, &[2, 4, 0, 0]).mss, None);
    }

    #[test]
    fn sack_blocks_are_written_as_far_as_they_fit() {
        let mut options = Options::default();
        for n in 0..4 {
            options.sack.push(block(n * 10, n * 10 + 5));
        }
        for (stamped, fit, len) in [(false, 4, 56), (true, 3, 60)] {
            options.timestamps = stamped.then_some(Timestamps { value: 7, echo: 8 });
            let header = Header {
                flags: Flags::ACK,
                options,
                ..Header::default()
            };
            let mut out = [0xff; 64];
            assert_eq!(header.emit(&mut out), Some(len));
            assert_eq!(header.header_len(), len);
            let (parsed, _) = Header::parse(&out[..len]).unwrap();
            assert_eq!(parsed.options.timestamps, options.timestamps);
            assert_eq!(
                parsed.options.sack.as_slice(),
                &options.sack.as_slice()[..fit]
            );
        }
    }

    #[test]
    fn a_syn_has_its_options_in_the_usual_order() {
        let mut options = Options {
            mss: Some(1460),
            window_scale: Some(WindowScale::clamped(7)),
            sack_permitted: true,
            timestamps: timestamps(0x0102_0304, 0),
            sack: SackBlocks::default(),
        };
        let mut out = [0; 60];
        let header = |options| Header {
            flags: Flags::SYN,
            options,
            ..Header::default()
        };
        assert_eq!(header(options).emit(&mut out), Some(40));
        let all = [
            2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7,
        ];
        assert_eq!(out[20..40], all);
        options.timestamps = None;
        assert_eq!(header(options).emit(&mut out), Some(32));
        assert_eq!(out[20..32], [2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7]);
    }

    #[test]
    fn a_header_is_written_whole_or_not_at_all() {
        let options = Options {
            timestamps: timestamps(1, 2),
            ..Options::default()
        };
        let header = Header {
            options,
            ..Header::default()
        };
        let mut out = [0xee; 31];
        assert_eq!(header.emit(&mut out), None);
        assert_eq!(out, [0xee; 31]);
    }
}
