//! What the numbers of a script are on the wire.

use crate::packet::{Wire, octet, place};
use crate::parse_segment::{RST, SYN};
use crate::script::{Acknowledged, Inject, InjectOption, Number};
use crate::seen::Seen;
use std::time::Duration;

/// Stands for the initial sequence number of the tested side until it has sent a SYN.
const NO_ISS: u32 = 0x1000_0000;

/// A port of the peer, and the sequence numbers of the connection to it.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    /// The peer's port.
    pub(crate) port: u16,
    /// The peer's initial sequence number.
    isn: u32,
    /// The tested side's, once it has sent a SYN.
    pub(crate) iss: Option<u32>,
    /// The peer's clock at the start of the script, in ms.
    clock: u32,
    /// The highest time that the peer sent, in ms after `clock`.
    sent_time: i64,
    /// The latest time of the tested side.
    seen_time: Option<u32>,
    /// The first one, from which scripts count.
    first_time: u32,
    peer_offers: bool,
    we_offer: bool,
    /// Behind the last octet that the tested side sent.
    sent_end: u32,
    /// What is asked of the next initial sequence number of the tested side.
    wanted: Option<Beyond>,
}

/// How far a new initial sequence number must lie beyond an old one, at least and at most.
#[derive(Clone, Copy, Debug)]
struct Beyond {
    old: u32,
    least: i64,
    most: i64,
}

impl Numbers {
    pub(crate) fn new(port: u16, isn: u32, clock: u32) -> Self {
        Self {
            port,
            isn,
            iss: None,
            clock,
            sent_time: 0,
            seen_time: None,
            first_time: 0,
            peer_offers: false,
            we_offer: false,
            sent_end: NO_ISS,
            wanted: None,
        }
    }

    /// The next SYN of the tested side begins a new connection, so far beyond the old one.
    pub(crate) fn begin_anew(&mut self, beyond: Option<(i64, i64)>) {
        self.wanted = beyond
            .zip(self.iss)
            .map(|((least, most), old)| Beyond { old, least, most });
        self.iss = None;
        self.peer_offers = false;
        self.we_offer = false;
    }

    /// The same from the peer's point of view, to show its own segments.
    pub(crate) fn turned(&self) -> Self {
        Self {
            isn: self.iss.unwrap_or(NO_ISS),
            iss: Some(self.isn),
            clock: self.first_time,
            ..self.clone()
        }
    }

    pub(crate) fn of_iss(&self, number: Number) -> u32 {
        resolve(number, self.iss.unwrap_or(NO_ISS))
    }

    pub(crate) fn of_isn(&self, number: Number) -> u32 {
        resolve(number, self.isn)
    }

    pub(crate) fn since_iss(&self, number: u32) -> i64 {
        distance(number, self.iss.unwrap_or(NO_ISS))
    }

    /// True for a number that no stretch of the stream leads to.
    pub(crate) fn is_foreign(&self, number: u32) -> bool {
        self.iss.is_none() && self.since_iss(number).abs() > 1 << 20
    }

    pub(crate) fn since_isn(&self, number: u32) -> i64 {
        distance(number, self.isn)
    }

    /// A time of the peer, as scripts write it.
    pub(crate) fn clock_of(&self, echo: u32) -> i64 {
        distance(echo, self.clock)
    }

    pub(crate) fn timestamps_agreed(&self) -> bool {
        self.peer_offers && self.we_offer
    }

    /// Takes note of what the tested side sent.
    ///
    /// # Errors
    /// A new connection that does not begin where it has to.
    pub(crate) fn learn(&mut self, seen: &Seen) -> Result<(), String> {
        let mut begins = Ok(());
        if seen.has(SYN) && self.iss.is_none() {
            self.iss = Some(seen.seq);
            self.we_offer = seen.options.timestamps.is_some();
            self.seen_time = None;
            self.sent_end = seen.seq;
            if let Some(Beyond { old, least, most }) = self.wanted.take() {
                let is = distance(seen.seq, old);
                if !(least..=most).contains(&is) {
                    begins = Err(format!(
                        "the new connection begins {is} after the old one, not {least} to {most}"
                    ));
                }
            }
        }
        let end = seen.end();
        if !seen.has(RST) && distance(end, self.sent_end) > 0 {
            self.sent_end = end;
        }
        if let Some(timestamps) = seen.options.timestamps {
            if self.seen_time.is_none() {
                self.first_time = timestamps.value;
            }
            self.seen_time = Some(timestamps.value);
        }
        begins
    }

    /// The segment as it goes on the wire, `now` after the start, to this port of the tested side.
    pub(crate) fn wire(&mut self, inject: &Inject, now: Duration, port: u16) -> Wire {
        let seq = self.of_isn(inject.seq);
        let syn = inject.flags & SYN != 0;
        let mut options = Vec::new();
        let explicit = |option: &InjectOption| matches!(option, InjectOption::Timestamps(..));
        let named = inject.options.iter().any(explicit);
        self.peer_offers |= syn && named;
        if self.timestamps_agreed() && !syn && !named && !inject.no_timestamps {
            options.extend([1, 1]);
            self.write_option(&InjectOption::Timestamps(None, None), now, &mut options);
        }
        for option in &inject.options {
            self.write_option(option, now, &mut options);
        }
        let first = place(self.since_isn(seq), inject.flags);
        Wire {
            ports: (self.port, port),
            seq,
            ack: match inject.ack {
                Acknowledged::Number(number) => self.of_iss(number),
                Acknowledged::AllBut(octets) => self.sent_end.wrapping_sub(octets),
            },
            flags: inject.flags,
            window: inject.window,
            urgent: inject.urgent,
            ecn: inject.ecn,
            options,
            payload: (first..first + i64::from(inject.len)).map(octet).collect(),
            bad_checksum: inject.bad_checksum,
        }
    }

    fn write_option(&mut self, option: &InjectOption, now: Duration, out: &mut Vec<u8>) {
        match option {
            InjectOption::Mss(mss) => {
                out.extend([2, 4]);
                out.extend(mss.to_be_bytes());
            }
            InjectOption::WindowScale(shift) => out.extend([3, 3, *shift]),
            InjectOption::SackPermitted => out.extend([4, 2]),
            InjectOption::Sack(blocks) => {
                out.extend([5, (2 + 8 * blocks.len()) as u8]);
                for (left, right) in blocks {
                    out.extend(self.of_iss(*left).to_be_bytes());
                    out.extend(self.of_iss(*right).to_be_bytes());
                }
            }
            InjectOption::Timestamps(time, echo) => {
                let time = time.unwrap_or_else(|| self.sent_time.max(now.as_millis() as i64));
                self.sent_time = self.sent_time.max(time);
                let echo = match echo {
                    Some(echo) => resolve(*echo, self.first_time),
                    None => self.seen_time.unwrap_or(0),
                };
                out.extend([8, 10]);
                out.extend(self.clock.wrapping_add(time as u32).to_be_bytes());
                out.extend(echo.to_be_bytes());
            }
            InjectOption::Nop => out.push(1),
            InjectOption::Raw(octets) => out.extend(octets),
        }
    }
}

fn resolve(number: Number, base: u32) -> u32 {
    match number {
        // Wraps, as sequence numbers do.
        Number::Relative(offset) => base.wrapping_add(offset as u32),
        Number::Absolute(value) => value,
    }
}

/// From `base` to `number` by the shorter way.
fn distance(number: u32, base: u32) -> i64 {
    i64::from(number.wrapping_sub(base) as i32)
}
