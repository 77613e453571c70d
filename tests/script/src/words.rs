//! The words of a line, one after the other.

use crate::script::Number;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// A line of which some words were read.
pub(crate) struct Words<'a> {
    rest: Vec<&'a str>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        let mut rest: Vec<&str> = line.split_whitespace().collect();
        rest.reverse();
        Self { rest }
    }

    pub(crate) fn peek(&self) -> Option<&'a str> {
        self.rest.last().copied()
    }

    pub(crate) fn next(&mut self) -> Option<&'a str> {
        self.rest.pop()
    }

    pub(crate) fn word(&mut self) -> Result<&'a str, String> {
        self.next().ok_or_else(|| "the line ends too early".into())
    }

    /// The words before `end`, which stays.
    pub(crate) fn until(&mut self, end: &str) -> Self {
        let at = self.rest.iter().rposition(|word| *word == end);
        let rest = self.rest.split_off(at.map_or(0, |at| at + 1));
        Self { rest }
    }

    /// Nothing may be left.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        match self.next() {
            None => Ok(()),
            Some(word) => Err(format!("`{word}` is too much")),
        }
    }

    /// A number, decimal or hexadecimal behind `0x`.
    pub(crate) fn unsigned<T: TryFrom<u64>>(&mut self) -> Result<T, String> {
        unsigned(self.word()?)
    }

    pub(crate) fn number(&mut self) -> Result<Number, String> {
        number(self.word()?)
    }

    pub(crate) fn duration(&mut self) -> Result<Duration, String> {
        crate::parse::duration(self.word()?)
    }

    pub(crate) fn choice<T: Copy>(&mut self, known: &[(&str, T)]) -> Result<T, String> {
        let word = self.word()?;
        let found = known.iter().find(|(name, _)| *name == word);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            format!("`{word}` is none of {}", names.join(", "))
        })
    }

    pub(crate) fn on_off(&mut self) -> Result<bool, String> {
        self.choice(&[("on", true), ("off", false)])
    }
}

pub(crate) fn unsigned<T: TryFrom<u64>>(word: &str) -> Result<T, String> {
    let value = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    };
    value
        .and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| format!("`{word}` is no number that fits here"))
}

/// `17`, `-1`, or `=0` for a number as on the wire.
pub(crate) fn number(word: &str) -> Result<Number, String> {
    match word.strip_prefix('=') {
        Some(absolute) => unsigned(absolute).map(Number::Absolute),
        None => signed(word).map(Number::Relative),
    }
}

pub(crate) fn signed<T: FromStr<Err: Display>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|why| format!("`{word}`: {why}"))
}
