//! A segment that the tested side sent: read, shown as scripts write it, and compared.

use crate::numbers::Numbers;
use crate::packet::{octet, place};
use crate::parse_segment::{ACK, FIN, PSH, RST, SYN, URG, ecn_name, flag_names};
use crate::script::{Expected, Number, Wanted};
use byway_wire::frame::{ChecksumState, Packet, parse, verify_tcp_checksum};
use byway_wire::tcp::Options;
use byway_wire::{Address, checksum};
use std::fmt::Write;
use std::time::Duration;

/// The Ethernet header that the parser wants in front of an IP packet.
pub(crate) fn framed(packet: &[u8]) -> Vec<u8> {
    let kind: u16 = match packet.first().map(|octet| octet >> 4) {
        Some(6) => 0x86dd,
        _ => 0x0800,
    };
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(kind.to_be_bytes());
    frame.extend(packet);
    frame
}

/// A segment of the tested side.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// When, from the start of the script.
    pub(crate) at: Duration,
    /// Ports of the tested side and of the peer.
    pub(crate) ports: (u16, u16),
    pub(crate) flags: u8,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) ecn: u8,
    pub(crate) options: Options,
    pub(crate) payload: Vec<u8>,
    /// The IP packet.
    pub(crate) packet: Vec<u8>,
}

impl Seen {
    /// Reads an IP packet. `None` when it is no segment for the peer.
    ///
    /// # Errors
    /// A segment that no peer would take.
    pub(crate) fn read(
        at: Duration,
        packet: Vec<u8>,
        peer: Address,
    ) -> Result<Option<Self>, String> {
        let frame = framed(&packet);
        let segment = match parse(&frame) {
            Packet::Tcp(segment) if segment.flow.local.address == peer => segment,
            Packet::Malformed(why) => return Err(format!("a malformed packet was sent: {why:?}")),
            _ => return Ok(None),
        };
        if verify_tcp_checksum(&frame, &segment, checksum::sum) != ChecksumState::Good {
            return Err("a segment with a wrong checksum was sent".to_owned());
        }
        let reserved = segment.l4_bytes(&frame).get(12).map_or(0, |o| o & 0x0f);
        if reserved != 0 {
            return Err("a segment with reserved bits was sent".to_owned());
        }
        let header = &segment.header;
        Ok(Some(Self {
            at,
            ports: (header.src_port, header.dst_port),
            flags: header.flags.bits(),
            seq: header.seq.get(),
            ack: header.ack.get(),
            window: header.window.0,
            urgent: header.urgent,
            ecn: segment.ecn as u8,
            options: header.options,
            payload: segment.payload_bytes(&frame).to_vec(),
            packet,
        }))
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The number behind its last octet, SYN and FIN counted.
    pub(crate) fn end(&self) -> u32 {
        let controls = u32::from(self.has(SYN)) + u32::from(self.has(FIN));
        let len = self.payload.len() as u32 + controls;
        self.seq.wrapping_add(len)
    }

    /// As scripts write it.
    pub(crate) fn show(&self, numbers: &Numbers) -> String {
        let mut text = format!("{} seq ", flag_names(self.flags));
        let seq = numbers.since_iss(self.seq);
        let _ = match self.payload.len() {
            0 if numbers.is_foreign(self.seq) => write!(text, "={}", self.seq),
            0 => write!(text, "{seq}"),
            len => write!(text, "{seq}:{}", seq + len as i64),
        };
        if self.has(ACK) {
            let _ = write!(text, " ack {}", numbers.since_isn(self.ack));
        }
        let _ = write!(text, " win {}", self.window);
        if self.has(URG) {
            let _ = write!(text, " urg {}", self.urgent);
        }
        if self.ecn != 0 {
            let _ = write!(text, " {}", ecn_name(self.ecn));
        }
        if let Some(mss) = self.options.mss {
            let _ = write!(text, " mss {mss}");
        }
        if self.options.sack_permitted {
            text.push_str(" sackok");
        }
        if let Some(ts) = self.options.timestamps {
            let _ = write!(text, " ts {}", numbers.clock_of(ts.echo));
        }
        if let Some(scale) = self.options.window_scale {
            let _ = write!(text, " wscale {}", scale.shift());
        }
        if !self.options.sack.is_empty() {
            text.push_str(" sack");
            for block in self.options.sack.as_slice() {
                let (left, right) = (block.left.get(), block.right.get());
                let (left, right) = (numbers.since_isn(left), numbers.since_isn(right));
                let _ = write!(text, " {left}:{right}");
            }
        }
        text
    }

    /// What is not as expected, each thing by its name; empty if all is.
    pub(crate) fn differences(&self, expected: &Expected, numbers: &Numbers) -> Vec<&'static str> {
        let mut wrong = Vec::new();
        let mut check = |name, good: bool| {
            if !good {
                wrong.push(name);
            }
        };
        check("peer's port", self.ports.1 == numbers.port);
        check("flags", self.flags & !PSH == expected.flags);
        check(
            "PSH",
            expected.push.is_none_or(|push| push == self.has(PSH)),
        );
        let seq = expected.seq.map(|seq| numbers.of_iss(seq));
        check("seq", seq.is_none_or(|seq| seq == self.seq));
        let ack = expected.ack.map(|ack| numbers.of_isn(ack));
        check(
            "ack",
            !self.has(ACK) || ack.is_none_or(|ack| ack == self.ack),
        );
        let len = self.payload.len() as u32;
        check("length", (expected.len.0..=expected.len.1).contains(&len));
        let window = expected.window.0..=expected.window.1;
        check("win", window.contains(&self.window));
        check("urg", !self.has(URG) || self.urgent == expected.urgent);
        check("ECN", self.ecn == expected.ecn);
        check("mss", is_wanted(&expected.mss, self.options.mss));
        let scale = self.options.window_scale.map(|scale| scale.shift());
        check("wscale", is_wanted(&expected.window_scale, scale));
        let permitted = self.options.sack_permitted;
        check("sackok", permitted == expected.sack_permitted);
        check("sack", self.has_blocks(&expected.sack, numbers));
        check("ts", self.has_timestamps(expected, numbers));
        check("octets", self.has_octets(numbers));
        wrong
    }

    fn has_blocks(&self, wanted: &Wanted<Vec<(Number, Number)>>, numbers: &Numbers) -> bool {
        let sent = self.options.sack.as_slice();
        match wanted {
            Wanted::Absent => sent.is_empty(),
            Wanted::Any => !sent.is_empty(),
            Wanted::Value(blocks) => {
                let blocks = blocks.iter();
                let blocks = blocks.map(|(l, r)| (numbers.of_isn(*l), numbers.of_isn(*r)));
                blocks.eq(sent.iter().map(|b| (b.left.get(), b.right.get())))
            }
        }
    }

    fn has_timestamps(&self, expected: &Expected, numbers: &Numbers) -> bool {
        let echo = self.options.timestamps.map(|ts| numbers.clock_of(ts.echo));
        match &expected.timestamps {
            Some(wanted) => is_wanted(wanted, echo),
            None if self.has(SYN) => echo.is_none(),
            None => self.has(RST) || echo.is_some() == numbers.timestamps_agreed(),
        }
    }

    fn has_octets(&self, numbers: &Numbers) -> bool {
        let first = place(numbers.since_iss(self.seq), self.flags);
        let places = first..;
        self.payload
            .iter()
            .zip(places)
            .all(|(o, at)| *o == octet(at))
    }
}

fn is_wanted<T: PartialEq>(wanted: &Wanted<T>, is: Option<T>) -> bool {
    match wanted {
        Wanted::Absent => is.is_none(),
        Wanted::Any => is.is_some(),
        Wanted::Value(value) => is.as_ref() == Some(value),
    }
}
