//! Carries a script out.

use crate::numbers::Numbers;
use crate::packet;
use crate::script::{Action, Call, Check, Expected, Icmp, Inject, Script, Step, When};
use crate::seen::Seen;
use crate::subject::{LISTENING, PEER, Subject, addresses};
use byway_wire::Address;
use std::fmt;
use std::time::Duration;

/// Where a script and a stack part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `file:line`.
    pub place: String,
    /// The statement.
    pub statement: String,
    /// What was otherwise.
    pub what: String,
    /// What was sent and received until then, a line each.
    pub exchange: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.place, self.what)?;
        writeln!(f, "    statement: {}", self.statement)?;
        writeln!(f, "    the exchange until then:")?;
        for line in &self.exchange {
            writeln!(f, "      {line}")?;
        }
        Ok(())
    }
}

/// Where the peer's numbers begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) isn: u32,
    /// Its clock, in ms.
    pub(crate) clock: u32,
}

/// Carries out all steps. Returns the exchange, and the first ISS of the tested side.
pub(crate) fn run(
    script: &Script,
    subject: &mut dyn Subject,
    peer: Peer,
) -> Result<(Vec<String>, Option<u32>), Difference> {
    let mut run = Run {
        addresses: addresses(script.settings.v6),
        peers: vec![Numbers::new(PEER, peer.isn, peer.clock)],
        current: 0,
        start: peer,
        longest: script.settings.mtu.into(),
        port: LISTENING,
        cursor: subject.now(),
        ahead: None,
        sent: Vec::new(),
        exchange: Vec::new(),
        subject,
    };
    let end = Step {
        line: script.steps.last().map_or(1, |step| step.line),
        text: "the end of the script".to_owned(),
        action: Action::Quiet(Duration::ZERO),
    };
    for step in script.steps.iter().chain([&end]) {
        run.step(step).map_err(|what| Difference {
            place: format!("{}:{}", script.file, step.line),
            statement: step.text.clone(),
            what,
            exchange: run.exchange.clone(),
        })?;
    }
    let first = run.peers.first().and_then(|numbers| numbers.iss);
    Ok((run.exchange, first))
}

struct Run<'a> {
    subject: &'a mut dyn Subject,
    /// Of the tested side and of the peer.
    addresses: (Address, Address),
    peers: Vec<Numbers>,
    current: usize,
    start: Peer,
    /// The MTU of the link.
    longest: usize,
    /// Port of the tested side.
    port: u16,
    /// When the last statement was done.
    cursor: Duration,
    /// A segment that was looked at and not taken.
    ahead: Option<Seen>,
    /// All segments that were sent, for ICMP errors to quote.
    sent: Vec<Seen>,
    exchange: Vec<String>,
}

impl Run<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.action {
            Action::Out {
                expected,
                when,
                optional,
                copies,
            } => self.outs(expected, *when, *optional, *copies),
            Action::Quiet(time) => self.quiet(*time),
            Action::Skip(time) => self.skip(*time),
            Action::Check { check, when } => self.check(*check, *when),
            Action::Inject { segment, copies } => {
                self.nothing_unexpected()?;
                (0..*copies).try_for_each(|_| self.inject(segment))
            }
            Action::Icmp(icmp) => {
                self.nothing_unexpected()?;
                self.icmp(*icmp)
            }
            // It sends nothing: what the handshake brought about may be looked at afterwards.
            Action::Call(Call::Accept) => self.call(Call::Accept, &step.text).map(drop),
            Action::Call(call) => {
                self.nothing_unexpected()?;
                self.cursor = self.call(*call, &step.text)?;
                Ok(())
            }
            Action::Peer(port) => {
                self.switch(*port);
                Ok(())
            }
            Action::NewIss(beyond) => {
                self.numbers_mut().begin_anew(*beyond);
                Ok(())
            }
        }
    }

    /// The application acts; returns when.
    fn call(&mut self, call: Call, text: &str) -> Result<Duration, String> {
        let now = self.subject.now();
        let peer = self.numbers().port;
        self.log(now, "--", text);
        self.subject.call(call, peer)?;
        Ok(now)
    }

    fn numbers(&self) -> &Numbers {
        &self.peers[self.current]
    }

    fn numbers_mut(&mut self) -> &mut Numbers {
        &mut self.peers[self.current]
    }

    fn switch(&mut self, port: u16) {
        let known = self.peers.iter().position(|peer| peer.port == port);
        self.current = known.unwrap_or_else(|| {
            let Peer { isn, clock } = self.start;
            self.peers.push(Numbers::new(port, isn, clock));
            self.peers.len() - 1
        });
    }

    fn log(&mut self, at: Duration, what: &str, text: &str) {
        let line = format!("{:>12.6} {what:<3} {text}", at.as_secs_f64());
        self.exchange.push(line);
    }

    /// The next segment of the tested side until then.
    fn take(&mut self, until: Duration) -> Result<Option<Seen>, String> {
        if let Some(seen) = self.ahead.take() {
            if seen.at <= until {
                return Ok(Some(seen));
            }
            self.ahead = Some(seen);
            return Ok(None);
        }
        loop {
            let Some((at, packet)) = self.subject.next(until) else {
                return Ok(None);
            };
            let Some(seen) = Seen::read(at, packet, self.addresses.1)? else {
                continue;
            };
            self.port = seen.ports.0;
            let mut shown = self.numbers().clone();
            let mut learned = Ok(());
            if let Some(numbers) = self.peers.iter_mut().find(|p| p.port == seen.ports.1) {
                learned = numbers.learn(&seen);
                shown = numbers.clone();
            }
            let mut text = seen.show(&shown);
            if seen.ports.1 != self.numbers().port {
                text = format!("{text} (to port {})", seen.ports.1);
            }
            self.log(at, "out", &text);
            learned?;
            self.sent.push(seen.clone());
            if seen.at > until {
                self.ahead = Some(seen);
                return Ok(None);
            }
            return Ok(Some(seen));
        }
    }

    fn nothing_unexpected(&mut self) -> Result<(), String> {
        let now = self.subject.now();
        match self.take(now)? {
            None => Ok(()),
            Some(seen) => Err(format!(
                "a segment was sent before this that no statement expects:\n    got:       {}",
                seen.show(self.numbers())
            )),
        }
    }

    fn inject(&mut self, inject: &Inject) -> Result<(), String> {
        let now = self.subject.now();
        let (ours, peer) = self.addresses;
        let port = self.port;
        let wire = self.numbers_mut().wire(inject, now, port);
        let packet = packet::tcp(peer, ours, &wire);
        if packet.len() > self.longest {
            let (is, most) = (packet.len(), self.longest);
            return Err(format!(
                "this packet has {is} octets, the link takes {most}"
            ));
        }
        let shown = Seen::read(now, packet.clone(), ours);
        // What is malformed on purpose cannot be shown.
        let text = match shown {
            Ok(Some(seen)) => self.show_injected(&seen),
            _ => format!("{inject:?}"),
        };
        self.log(now, "in", &text);
        self.subject.inject(&packet)?;
        self.cursor = now;
        Ok(())
    }

    /// A segment of the peer: its numbers count from the other ends.
    fn show_injected(&self, seen: &Seen) -> String {
        let turned = self.numbers().turned();
        seen.show(&turned)
    }

    fn icmp(&mut self, icmp: Icmp) -> Result<(), String> {
        let (ours, peer) = self.addresses;
        let wanted = icmp.seq.map(|seq| self.numbers().of_iss(seq));
        let quoted = match wanted {
            None => self.sent.last(),
            Some(seq) => self.sent.iter().rev().find(|seen| seen.seq == seq),
        };
        let quoted = match (quoted, wanted) {
            (Some(seen), _) => seen.packet.clone(),
            // A segment that was never sent: as the last one, with another number.
            (None, Some(seq)) => self.forged(seq)?,
            (None, None) => return Err("there is no segment yet to report about".to_owned()),
        };
        let packet = packet::icmp(peer, ours, icmp.kind, &quoted)?;
        let now = self.subject.now();
        self.log(now, "icmp", &format!("{:?}", icmp.kind));
        self.subject.inject(&packet)?;
        self.cursor = now;
        Ok(())
    }

    fn forged(&self, seq: u32) -> Result<Vec<u8>, String> {
        let last = self.sent.last().ok_or("there is no segment yet to forge")?;
        let mut packet = last.packet.clone();
        let header = if self.addresses.0.is_v4() { 20 } else { 40 };
        packet[header + 4..header + 8].copy_from_slice(&seq.to_be_bytes());
        Ok(packet)
    }

    /// The times of a statement, from the start of the script.
    fn window(&self, when: When) -> (Duration, Duration) {
        let (earliest, latest) = match when {
            When::AtOnce => (Duration::ZERO, Duration::ZERO),
            When::After(time) => (time, time),
            When::Between(earliest, latest) => (earliest, latest),
        };
        let early = self.subject.tolerance(earliest).0;
        let late = self.subject.tolerance(latest).1;
        let from = self.cursor + earliest.saturating_sub(early);
        (from, self.cursor + latest + late)
    }

    /// Segments that look alike: the first one then, the others right after it.
    fn outs(
        &mut self,
        expected: &[Expected],
        when: When,
        optional: bool,
        (least, most): (u32, u32),
    ) -> Result<(), String> {
        for number in 0..most {
            let when = if number == 0 { when } else { When::AtOnce };
            let may_end = optional || number >= least;
            let came = self.out(expected, when, may_end);
            if !came.map_err(|why| match most {
                1 => why,
                _ => format!("number {} of {most}: {why}", number + 1),
            })? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// One segment; false when an optional one did not come.
    fn out(&mut self, expected: &[Expected], when: When, optional: bool) -> Result<bool, String> {
        let (earliest, latest) = self.window(when);
        let Some(seen) = self.take(latest)? else {
            if optional {
                return Ok(false);
            }
            let waited = latest.saturating_sub(self.cursor);
            return Err(format!("nothing was sent within {waited:?}"));
        };
        let of = |one: &Expected| seen.differences(one, self.numbers());
        // Of several, the nearest one is what was meant.
        let nearest = expected.iter().map(of).min_by_key(Vec::len);
        let mut wrong = nearest.unwrap_or_default();
        if when != When::AtOnce && seen.at < earliest {
            wrong.push("time: too early");
        }
        if wrong.is_empty() {
            self.cursor = seen.at;
            return Ok(true);
        }
        if optional {
            self.ahead = Some(seen);
            return Ok(false);
        }
        let after = seen.at.saturating_sub(self.cursor);
        Err(format!(
            "another segment was expected ({})\n    got:       {} after {after:?}",
            wrong.join(", "),
            seen.show(self.numbers())
        ))
    }

    fn quiet(&mut self, time: Duration) -> Result<(), String> {
        let until = if time.is_zero() {
            self.subject.now()
        } else {
            self.cursor + time
        };
        if let Some(seen) = self.take(until)? {
            let after = seen.at.saturating_sub(self.cursor);
            return Err(format!(
                "silence was expected\n    got:       {} after {after:?}",
                seen.show(self.numbers())
            ));
        }
        self.cursor = until;
        Ok(())
    }

    fn skip(&mut self, time: Duration) -> Result<(), String> {
        let until = self.cursor + time;
        while self.take(until)?.is_some() {}
        self.cursor = until;
        Ok(())
    }

    fn check(&mut self, check: Check, when: When) -> Result<(), String> {
        let (earliest, latest) = self.window(when);
        let peer = self.numbers().port;
        loop {
            let is = self.subject.check(check, peer);
            let now = self.subject.now();
            match is {
                Ok(()) if now < earliest => {
                    let after = now.saturating_sub(self.cursor);
                    return Err(format!("it was so too early, after {after:?}"));
                }
                Ok(()) => {
                    if when != When::AtOnce {
                        self.cursor = now;
                    }
                    return Ok(());
                }
                Err(instead) if now >= latest => return Err(instead),
                Err(_) => self.subject.step(latest),
            }
        }
    }
}
