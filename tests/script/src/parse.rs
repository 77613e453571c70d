//! Reads scripts. The format is described in the README.

use crate::parse_segment::{ICMP, expected, icmp, inject};
use crate::repeat::unrolled;
use crate::script::{
    Action, Buffer, Call, Check, Congestion, Ecn, Expected, Failure, Figure, Known, NO_THRESHOLD,
    Script, Settings, Step, When,
};
use crate::words::{Words, unsigned};
use byway_tcp::State;
use std::time::Duration;

/// Reads a script. `file` is for messages.
///
/// # Errors
/// `file:line: what is wrong`.
pub fn parse(file: &str, text: &str) -> Result<Script, String> {
    let mut script = Script {
        file: file.to_owned(),
        requirements: Vec::new(),
        title: String::new(),
        settings: Settings::default(),
        peer_isn: None,
        byway: Known::Follows,
        linux: Known::Follows,
        steps: Vec::new(),
    };
    let at = |number: usize, why: String| format!("{file}:{number}: {why}");
    let lines = unrolled(text).map_err(|(number, why)| at(number, why))?;
    for (number, line) in lines {
        parse_line(&mut script, number, line.trim()).map_err(|why| at(number, why))?;
    }
    let missing = if !text.starts_with("#= ") {
        "a script begins with the requirement it shows: #= rfc9293 3.10.7.1 MUST-10"
    } else if script.title.is_empty() {
        "behind the requirements, `# ` and a sentence say what is shown"
    } else if script.steps.is_empty() {
        "nothing happens in this script"
    } else {
        return Ok(script);
    };
    Err(format!("{file}:1: {missing}"))
}

fn parse_line(script: &mut Script, number: usize, line: &str) -> Result<(), String> {
    if let Some(requirement) = line.strip_prefix("#=") {
        script.requirements.push(requirement.trim().to_owned());
        return Ok(());
    }
    if let Some(comment) = line.strip_prefix('#') {
        if script.title.is_empty() {
            comment.trim().clone_into(&mut script.title);
        }
        return Ok(());
    }
    // A comment may follow a statement.
    let statement = line.split(" #").next().unwrap_or(line).trim();
    if statement.is_empty() {
        return Ok(());
    }
    if header(script, statement)? {
        return if script.steps.is_empty() {
            Ok(())
        } else {
            Err("this belongs in front of the first statement".to_owned())
        };
    }
    for (text, action) in actions(statement, &script.settings)? {
        script.steps.push(Step {
            line: number,
            text,
            action,
        });
    }
    Ok(())
}

/// Reads a line of the header; false when it is none.
fn header(script: &mut Script, line: &str) -> Result<bool, String> {
    if let Some(known) = line.strip_prefix("linux:") {
        script.linux = known_of(known, "differs")?;
    } else if let Some(known) = line.strip_prefix("byway:") {
        script.byway = known_of(known, "open")?;
    } else {
        let mut words = Words::new(line);
        match words.word()? {
            "peer-isn" => {
                script.peer_isn = Some(words.unsigned()?);
                words.end()?;
            }
            "set" => set(&mut script.settings, &mut words)?,
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn known_of(text: &str, differs: &str) -> Result<Known, String> {
    let (kind, reason) = text
        .trim()
        .split_once(' ')
        .ok_or_else(|| format!("expected `{differs} REASON` or `skip REASON`"))?;
    let reason = reason.trim().to_owned();
    match kind {
        "skip" => Ok(Known::Skipped(reason)),
        kind if kind == differs => Ok(Known::Differs(reason)),
        _ => Err(format!("expected `{differs}` or `skip`, not `{kind}`")),
    }
}

fn set(settings: &mut Settings, words: &mut Words<'_>) -> Result<(), String> {
    match words.word()? {
        "family" => {
            settings.v6 = words.choice(&[("v4", false), ("v6", true)])?;
        }
        "mtu" => settings.mtu = words.unsigned()?,
        "receive-buffer" => settings.receive_buffer = Some(buffer(words.word()?)?),
        "send-buffer" => settings.send_buffer = Some(buffer(words.word()?)?),
        "not-sent-low-water" => settings.not_sent_low_water = Some(words.unsigned()?),
        "congestion" => {
            let known = [("cubic", Congestion::Cubic), ("reno", Congestion::Reno)];
            settings.congestion = words.choice(&known)?;
        }
        "pacing" => settings.pacing = Some(words.on_off()?),
        "timestamps" => settings.timestamps = words.on_off()?,
        "sack" => settings.sack = words.on_off()?,
        "window-scaling" => settings.window_scaling = words.on_off()?,
        "ecn" => {
            let known = [("off", Ecn::Off), ("asked", Ecn::Asked), ("on", Ecn::On)];
            settings.ecn = words.choice(&known)?;
        }
        "nagle" => settings.nagle = words.on_off()?,
        "keep-alive" => {
            let times = (words.duration()?, words.duration()?);
            settings.keep_alive = Some((times.0, times.1, words.unsigned()?));
        }
        "user-timeout" => settings.user_timeout = Some(words.duration()?),
        "syn-retries" => settings.syn_retries = Some(words.unsigned()?),
        "syn-ack-retries" => settings.syn_ack_retries = Some(words.unsigned()?),
        "retries" => settings.retries = Some(words.unsigned()?),
        "syn-queue" => settings.syn_queue = Some(words.unsigned()?),
        "challenge-acks" => settings.challenge_acks = Some(words.unsigned()?),
        other => return Err(format!("there is nothing called `{other}` to set")),
    }
    words.end()
}

/// `MOST`, or `INITIAL-MOST`.
fn buffer(word: &str) -> Result<Buffer, String> {
    let (initial, most) = match word.split_once('-') {
        Some((initial, most)) => (Some(unsigned(initial)?), most),
        None => (None, word),
    };
    let most = unsigned(most)?;
    Ok(Buffer { initial, most })
}

/// What a statement stands for: one action, or several for `open`.
fn actions(line: &str, settings: &Settings) -> Result<Vec<(String, Action)>, String> {
    let Some(opening) = line.strip_prefix("open ") else {
        return Ok(vec![(line.to_owned(), action(line)?)]);
    };
    let (how, rest) = opening.split_once(' ').unwrap_or((opening, ""));
    let lines = match how {
        "passive" => open_passive(rest, settings),
        "active" => open_active(rest, settings),
        other => return Err(format!("`open passive` or `open active`, not `{other}`")),
    };
    lines
        .into_iter()
        .map(|line| {
            let action = action(&line)?;
            Ok((line, action))
        })
        .collect()
}

/// The window of the peer in an opening, and its other words.
fn split_window(rest: &str) -> (&str, String) {
    let words: Vec<&str> = rest.split_whitespace().collect();
    match words.iter().position(|word| *word == "win") {
        Some(at) => {
            let window = words.get(at + 1).copied().unwrap_or("");
            let others = words.iter().enumerate();
            let others = others.filter(|(index, _)| *index != at && *index != at + 1);
            let others: Vec<&str> = others.map(|(_, word)| *word).collect();
            (window, others.join(" "))
        }
        None => ("65535", words.join(" ")),
    }
}

/// The options of our SYN or SYN-ACK: those that are on, `offered` by the peer if it is a SYN-ACK.
fn our_options(settings: &Settings, offered: impl Fn(&str) -> bool) -> String {
    let all = [
        ("sackok", "sackok", settings.sack),
        ("ts", "ts", settings.timestamps),
        ("wscale", "wscale *", settings.window_scaling),
    ];
    let ours = all.iter().filter(|(name, _, on)| *on && offered(name));
    let ours: Vec<&str> = ours.map(|(_, text, _)| *text).collect();
    format!("mss * {}", ours.join(" "))
}

fn open_passive(rest: &str, settings: &Settings) -> Vec<String> {
    let (window, options) = split_window(rest);
    let ours = our_options(settings, |name| {
        options.split_whitespace().any(|w| w == name)
    });
    vec![
        "listen".to_owned(),
        format!("in SYN seq 0 win {window} {options}"),
        format!("out SYN+ACK seq 0 ack 1 {ours}"),
        format!("in ACK seq 1 ack 1 win {window}"),
        "accept".to_owned(),
    ]
}

fn open_active(rest: &str, settings: &Settings) -> Vec<String> {
    let (window, options) = split_window(rest);
    let ours = our_options(settings, |_| true);
    vec![
        "connect".to_owned(),
        format!("out SYN seq 0 {ours}"),
        format!("in SYN+ACK seq 0 ack 1 win {window} {options}"),
        "out ACK seq 1 ack 1".to_owned(),
        "expect connected".to_owned(),
    ]
}

fn action(line: &str) -> Result<Action, String> {
    let mut words = Words::new(line);
    let action = match words.word()? {
        "in" => Action::Inject {
            segment: whole(&mut words, inject)?,
            copies: match copies(&mut words)? {
                (least, most) if least == most => most,
                _ => return Err("the peer sends a number of them: times 3".to_owned()),
            },
        },
        "icmp" => Action::Icmp(icmp(&mut words)?),
        verb @ ("out" | "out?") => Action::Out {
            when: when(&mut words)?,
            expected: whole(&mut words, alternatives)?,
            optional: verb == "out?",
            copies: copies(&mut words)?,
        },
        "quiet" => Action::Quiet(words.duration()?),
        "skip" => Action::Skip(words.duration()?),
        "peer" => Action::Peer(words.unsigned()?),
        "new-iss" => Action::NewIss(beyond(&mut words)?),
        "expect" => check(&mut words)?,
        verb => Action::Call(call(verb, &mut words)?),
    };
    words.end()?;
    Ok(action)
}

/// What is in front of `times`, which nothing else may follow.
fn whole<T>(
    words: &mut Words<'_>,
    read: impl FnOnce(&mut Words<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let mut before = words.until("times");
    let segment = read(&mut before)?;
    before.end()?;
    Ok(segment)
}

/// `times N` or `times N-M`, once without it.
fn copies(words: &mut Words<'_>) -> Result<(u32, u32), String> {
    if words.peek().is_none() {
        return Ok((1, 1));
    }
    words.word()?;
    let word = words.word()?;
    let (least, most) = word.split_once('-').unwrap_or((word, word));
    Ok((unsigned(least)?, unsigned(most)?))
}

/// `beyond N`, `beyond N up-to M`, or nothing.
fn beyond(words: &mut Words<'_>) -> Result<Option<(i64, i64)>, String> {
    if words.peek().is_none() {
        return Ok(None);
    }
    words.choice(&[("beyond", ())])?;
    let old: u32 = words.unsigned()?;
    let most: u32 = match words.peek() {
        None => i32::MAX as u32,
        Some(_) => {
            words.choice(&[("up-to", ())])?;
            words.unsigned()?
        }
    };
    Ok(Some((i64::from(old) + 1, i64::from(most))))
}

/// Segments with `|` between them.
fn alternatives(words: &mut Words<'_>) -> Result<Vec<Expected>, String> {
    let mut all = Vec::new();
    loop {
        all.push(expected(&mut words.until("|"))?);
        if words.peek().is_none() {
            return Ok(all);
        }
        words.word()?;
    }
}

fn when(words: &mut Words<'_>) -> Result<When, String> {
    let Some(time) = words.peek().and_then(|word| word.strip_prefix('@')) else {
        return Ok(When::AtOnce);
    };
    words.word()?;
    match time.split_once('-') {
        None => Ok(When::After(duration(time)?)),
        Some((earliest, latest)) => Ok(When::Between(duration(earliest)?, duration(latest)?)),
    }
}

/// Reads `200ms`, `1.5s`, `2h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or("") {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ if digits == "0" => 0.0,
        _ => return Err(format!("`{text}` is no time: 100us, 40ms, 1.5s, 2m, 1h")),
    };
    let number: f64 = digits
        .parse()
        .map_err(|_| format!("`{text}` is no time: 100us, 40ms, 1.5s, 2m, 1h"))?;
    Ok(Duration::from_nanos((number * unit * 1e9).round() as u64))
}

fn check(words: &mut Words<'_>) -> Result<Action, String> {
    let check = match words.word()? {
        "connected" => Check::Connected,
        "error" => Check::Error(words.choice(&[
            ("reset", Failure::Reset),
            ("refused", Failure::Refused),
            ("timed-out", Failure::TimedOut),
            ("unreachable", Failure::Unreachable),
        ])?),
        "no-error" => Check::NoError,
        "readable" => Check::Readable(words.unsigned()?),
        "urgent" => Check::Urgent(words.unsigned()?),
        "eof" => Check::Eof,
        "nothing-to-accept" => Check::NothingToAccept,
        "state" => {
            let known = State::ALL.map(|state| (state.name(), state));
            Check::State(words.choice(&known)?)
        }
        "writable" => Check::Writable(true),
        "not-writable" => Check::Writable(false),
        "soft-error" => Check::SoftError(Some(words.choice(&ICMP)?)),
        "no-soft-error" => Check::SoftError(None),
        "info" => info(words)?,
        other => return Err(format!("the application does not observe `{other}`")),
    };
    let when = when(words)?;
    Ok(Action::Check { check, when })
}

/// `FIGURE A` or `FIGURE A-B`.
fn info(words: &mut Words<'_>) -> Result<Check, String> {
    let figure = words.choice(&Figure::ALL)?;
    let value = |word: &str| -> Result<u64, String> {
        if figure.is_time() {
            Ok(duration(word)?.as_micros() as u64)
        } else if word == "none" && figure == Figure::Ssthresh {
            Ok(NO_THRESHOLD)
        } else {
            unsigned(word)
        }
    };
    let word = words.word()?;
    let (least, most) = word.split_once('-').unwrap_or((word, word));
    Ok(Check::Info(figure, value(least)?, value(most)?))
}

fn call(verb: &str, words: &mut Words<'_>) -> Result<Call, String> {
    Ok(match verb {
        "listen" => Call::Listen,
        "connect" => Call::Connect,
        "accept" => Call::Accept,
        "write" => {
            let octets = words.unsigned()?;
            let taken = if words.peek() == Some("takes") {
                words.word()?;
                words.unsigned()?
            } else {
                octets
            };
            Call::Write { octets, taken }
        }
        "write-urgent" => Call::WriteUrgent(words.unsigned()?),
        "read" if words.peek() == Some("always") => {
            words.word()?;
            Call::ReadAlways
        }
        "read" => Call::Read(words.unsigned()?),
        "shutdown" => Call::Shutdown,
        "close" => Call::Close,
        "abort" => Call::Abort,
        "nagle" => Call::Nagle(words.on_off()?),
        "cork" => Call::Cork(words.on_off()?),
        "keep-alive" => Call::KeepAlive(words.on_off()?),
        "linger" if words.peek() == Some("off") => {
            words.word()?;
            Call::Linger(None)
        }
        "linger" => Call::Linger(Some(words.duration()?)),
        other => return Err(format!("there is no statement `{other}`")),
    })
}
