//! Reads what scripts say about segments and ICMP errors.

use crate::script::{Acknowledged, Expected, Icmp, IcmpKind, Inject, InjectOption, Number, Wanted};
use crate::words::{Words, number, signed, unsigned};

const FLAGS: [(&str, u8); 8] = [
    ("FIN", 0x01),
    ("SYN", 0x02),
    ("RST", 0x04),
    ("PSH", 0x08),
    ("ACK", 0x10),
    ("URG", 0x20),
    ("ECE", 0x40),
    ("CWR", 0x80),
];
/// ICMP errors that are told by their name alone.
pub(crate) const ICMP: [(&str, IcmpKind); 7] = [
    ("net-unreachable", IcmpKind::NetUnreachable),
    ("host-unreachable", IcmpKind::HostUnreachable),
    ("protocol-unreachable", IcmpKind::ProtocolUnreachable),
    ("port-unreachable", IcmpKind::PortUnreachable),
    ("prohibited", IcmpKind::Prohibited),
    ("time-exceeded", IcmpKind::TimeExceeded),
    ("source-quench", IcmpKind::SourceQuench),
];
const ECN: [(&str, u8); 3] = [("ect1", 1), ("ect0", 2), ("ce", 3)];
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const URG: u8 = 0x20;

/// The names of control bits, as scripts write them.
pub(crate) fn flag_names(flags: u8) -> String {
    let names = FLAGS.iter().filter(|(_, bit)| flags & bit != 0);
    let names: Vec<&str> = names.map(|(name, _)| *name).collect();
    if names.is_empty() {
        "NONE".to_owned()
    } else {
        names.join("+")
    }
}

/// The name of ECN bits.
pub(crate) fn ecn_name(ecn: u8) -> &'static str {
    let found = ECN.iter().find(|(_, bits)| *bits == ecn);
    found.map_or("not-ect", |(name, _)| name)
}

fn flags(word: &str) -> Result<u8, String> {
    if word == "NONE" {
        return Ok(0);
    }
    let mut flags = 0;
    for name in word.split('+') {
        let found = FLAGS.iter().find(|(known, _)| *known == name);
        flags |= found
            .ok_or_else(|| format!("`{name}` is no control bit"))?
            .1;
    }
    Ok(flags)
}

fn ecn(word: &str) -> Option<u8> {
    let found = ECN.iter().find(|(name, _)| *name == word);
    found.map(|(_, bits)| *bits)
}

/// `A`, or `A:B` for `B - A` octets of payload from A on.
fn stretch(word: &str) -> Result<(Number, u32), String> {
    let Some((from, to)) = word.split_once(':') else {
        return Ok((number(word)?, 0));
    };
    match (number(from)?, number(to)?) {
        (Number::Relative(from), Number::Relative(to)) if to > from => {
            let len = u32::try_from(to - from).map_err(|_| format!("`{word}` is too long"))?;
            Ok((Number::Relative(from), len))
        }
        _ => Err(format!("`{word}` is no stretch of octets")),
    }
}

fn blocks(words: &mut Words<'_>) -> Result<Vec<(Number, Number)>, String> {
    let mut blocks = Vec::new();
    while let Some((left, right)) = words.peek().and_then(|word| word.split_once(':')) {
        blocks.push((number(left)?, number(right)?));
        words.word()?;
    }
    if blocks.is_empty() {
        Err("a SACK option has blocks: sack 101:201".to_owned())
    } else {
        Ok(blocks)
    }
}

fn is_number(word: Option<&str>) -> bool {
    word.is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit() || "-=".contains(c)))
}

/// `N`, `*` for all that was sent, or `*-N` for all but N octets.
fn acknowledged(word: &str) -> Result<Acknowledged, String> {
    Ok(match word.strip_prefix('*') {
        None => Acknowledged::Number(number(word)?),
        Some("") => Acknowledged::AllBut(0),
        Some(rest) => {
            let octets = rest.strip_prefix('-').unwrap_or(rest);
            Acknowledged::AllBut(unsigned(octets)?)
        }
    })
}

pub(crate) fn inject(words: &mut Words<'_>) -> Result<Inject, String> {
    let mut segment = Inject {
        flags: flags(words.word()?)?,
        seq: Number::Relative(0),
        ack: Acknowledged::Number(Number::Absolute(0)),
        len: 0,
        window: 65_535,
        urgent: 0,
        ecn: 0,
        options: Vec::new(),
        no_timestamps: false,
        bad_checksum: false,
    };
    let mut seen = [false; 2];
    while let Some(word) = words.next() {
        match word {
            "seq" => {
                (segment.seq, segment.len) = stretch(words.word()?)?;
                seen[0] = true;
            }
            "ack" => {
                segment.ack = acknowledged(words.word()?)?;
                seen[1] = true;
            }
            "win" => segment.window = words.unsigned()?,
            "urg" => segment.urgent = words.unsigned()?,
            "no-ts" => segment.no_timestamps = true,
            "bad-checksum" => segment.bad_checksum = true,
            word => match ecn(word) {
                Some(bits) => segment.ecn = bits,
                None => segment.options.push(inject_option(word, words)?),
            },
        }
    }
    if !seen[0] {
        return Err("where is it: seq".to_owned());
    }
    if seen[1] != (segment.flags & ACK != 0) {
        return Err("`ack` and the flag ACK go together".to_owned());
    }
    Ok(segment)
}

fn inject_option(word: &str, words: &mut Words<'_>) -> Result<InjectOption, String> {
    Ok(match word {
        "mss" => InjectOption::Mss(words.unsigned()?),
        "wscale" => InjectOption::WindowScale(words.unsigned()?),
        "sackok" => InjectOption::SackPermitted,
        "sack" => InjectOption::Sack(blocks(words)?),
        "ts" => {
            let mut value = None;
            let mut echo = None;
            if is_number(words.peek()) {
                value = Some(signed(words.word()?)?);
                if is_number(words.peek()) {
                    echo = Some(words.number()?);
                }
            }
            InjectOption::Timestamps(value, echo)
        }
        "nop" => InjectOption::Nop,
        "raw" => InjectOption::Raw(octets(words.word()?)?),
        other => return Err(format!("a segment has no `{other}`")),
    })
}

fn octets(hex: &str) -> Result<Vec<u8>, String> {
    let digits: Option<Vec<u32>> = hex.chars().map(|c| c.to_digit(16)).collect();
    match digits {
        Some(digits) if digits.len().is_multiple_of(2) => {
            let pair = |pair: &[u32]| {
                pair.iter()
                    .fold(0, |octet, digit| octet << 4 | *digit as u8)
            };
            Ok(digits.chunks(2).map(pair).collect())
        }
        _ => Err(format!("`{hex}` is not hexadecimal")),
    }
}

pub(crate) fn expected(words: &mut Words<'_>) -> Result<Expected, String> {
    let bits = flags(words.word()?)?;
    let mut expected = Expected {
        flags: bits & !PSH,
        push: (bits & PSH != 0).then_some(true),
        seq: None,
        ack: None,
        len: (0, 0),
        window: (0, 65_535),
        urgent: 0,
        ecn: 0,
        mss: Wanted::Absent,
        window_scale: Wanted::Absent,
        sack_permitted: false,
        sack: Wanted::Absent,
        timestamps: None,
    };
    let mut seen = [false; 2];
    while let Some(word) = words.next() {
        match word {
            "seq" => {
                expected_stretch(words.word()?, &mut expected)?;
                seen[0] = true;
            }
            "ack" => {
                expected.ack = match words.word()? {
                    "*" => None,
                    word => Some(number(word)?),
                };
                seen[1] = true;
            }
            "win" => expected.window = range(words.word()?)?,
            "urg" => expected.urgent = words.unsigned()?,
            "no-psh" => expected.push = Some(false),
            word => match ecn(word) {
                Some(bits) => expected.ecn = bits,
                None => expected_option(word, words, &mut expected)?,
            },
        }
    }
    if !seen[0] {
        return Err("where is it: seq, or seq *".to_owned());
    }
    if seen[1] != (expected.flags & ACK != 0) {
        return Err("`ack` and the flag ACK go together".to_owned());
    }
    Ok(expected)
}

fn expected_stretch(word: &str, expected: &mut Expected) -> Result<(), String> {
    if word == "*" {
        return Ok(());
    }
    if let Some(from) = word.strip_suffix(":*") {
        expected.seq = Some(number(from)?);
        expected.len = (1, u32::MAX);
        return Ok(());
    }
    let (seq, len) = stretch(word)?;
    expected.seq = Some(seq);
    expected.len = (len, len);
    Ok(())
}

fn range(word: &str) -> Result<(u16, u16), String> {
    match word.split_once('-') {
        _ if word == "*" => Ok((0, u16::MAX)),
        Some((least, most)) => Ok((unsigned(least)?, unsigned(most)?)),
        None => {
            let exact = unsigned(word)?;
            Ok((exact, exact))
        }
    }
}

fn expected_option(
    word: &str,
    words: &mut Words<'_>,
    expected: &mut Expected,
) -> Result<(), String> {
    let any = words.peek() == Some("*");
    match word {
        "mss" => expected.mss = wanted(words)?,
        "wscale" => expected.window_scale = wanted(words)?,
        "sackok" => expected.sack_permitted = true,
        "sack" if any => {
            words.word()?;
            expected.sack = Wanted::Any;
        }
        "sack" => expected.sack = Wanted::Value(blocks(words)?),
        "ts" if is_number(words.peek()) => {
            expected.timestamps = Some(Wanted::Value(signed(words.word()?)?));
        }
        "ts" => expected.timestamps = Some(Wanted::Any),
        "no-ts" => expected.timestamps = Some(Wanted::Absent),
        other => return Err(format!("a segment has no `{other}`")),
    }
    Ok(())
}

fn wanted<T: TryFrom<u64>>(words: &mut Words<'_>) -> Result<Wanted<T>, String> {
    match words.word()? {
        "*" => Ok(Wanted::Any),
        word => unsigned(word).map(Wanted::Value),
    }
}

pub(crate) fn icmp(words: &mut Words<'_>) -> Result<Icmp, String> {
    let kind = if words.peek() == Some("too-big") {
        words.word()?;
        IcmpKind::TooBig(words.unsigned()?)
    } else {
        words.choice(&ICMP)?
    };
    let seq = if words.peek() == Some("seq") {
        words.word()?;
        Some(words.number()?)
    } else {
        None
    };
    Ok(Icmp { kind, seq })
}
