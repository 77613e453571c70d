//! The character generator protocol.

use crate::{Sink, Tally};
use byway::{CloseReason, Context, Service};

/// The printable characters of ASCII, space to tilde.
const PRINTABLE: usize = 95;
/// Characters of a line, CR and LF not counted.
const WIDTH: usize = 72;
const LINE: usize = WIDTH + 2;
/// After so many lines the pattern starts again.
const PATTERN: usize = PRINTABLE * LINE;

/// Each line starts one character later than the line before (RFC 864).
static PATTERN_BYTES: [u8; PATTERN] = {
    let mut bytes = [0; PATTERN];
    let mut at = 0;
    while at < PATTERN {
        let (line, column) = (at / LINE, at % LINE);
        bytes[at] = match column {
            WIDTH => b'\r',
            column if column > WIDTH => b'\n',
            column => b' ' + ((line + column) % PRINTABLE) as u8,
        };
        at += 1;
    }
    bytes
};

/// Sends lines of characters, as fast as they are taken, until the peer closes; what it receives
/// is thrown away (RFC 864).
#[derive(Clone, Debug, Default)]
pub struct Chargen {
    tally: Tally,
}

impl Chargen {
    /// A character generator that counts in `tally`.
    pub fn new(tally: Tally) -> Self {
        Self { tally }
    }

    /// Sends until nothing more is taken. The token is the position in the pattern.
    fn fill(&self, conn: &mut Context<'_>) {
        let mut at = *conn.token_mut() as usize;
        self.tally.gave(fill(conn, &mut at));
        *conn.token_mut() = at as u64;
    }
}

/// Sends the pattern from `at` on until the sink is full; returns how many octets went.
fn fill(sink: &mut impl Sink, at: &mut usize) -> usize {
    let mut sent = 0;
    loop {
        let rest = PATTERN_BYTES.get(*at..).unwrap_or_default();
        let taken = sink.send(rest);
        sent += taken;
        *at = (*at + taken) % PATTERN;
        if taken < rest.len() {
            return sent;
        }
    }
}

impl Service for Chargen {
    fn on_open(&mut self, conn: &mut Context<'_>) {
        self.tally.opened();
        self.fill(conn);
    }

    fn on_data(&mut self, _conn: &mut Context<'_>, data: &[u8]) -> usize {
        self.tally.took(data.len());
        data.len()
    }

    fn on_writable(&mut self, conn: &mut Context<'_>) {
        self.fill(conn);
    }

    fn on_closed(&mut self, _conn: &mut Context<'_>, _reason: CloseReason) {
        self.tally.ended();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Buffer;

    #[test]
    fn lines_rotate_through_the_printable_characters() {
        let mut buffer = Buffer::new(LINE * 97);
        let sent = fill(&mut buffer, &mut 0);
        assert_eq!(sent, LINE * 97);
        let text = buffer.text();
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 97);
        assert!(lines[0].starts_with(" !\"#$%&'()*+,-./0123456789"));
        assert!(lines[1].starts_with("!\"#"));
        assert!(lines[94].starts_with("~ !\""));
        assert_eq!(lines[95], lines[0]);
        assert!(lines.iter().all(|line| line.len() == WIDTH));
    }

    #[test]
    fn the_pattern_goes_on_where_it_stopped() {
        let mut whole = Buffer::new(20_000);
        fill(&mut whole, &mut 0);
        let mut pieces = Buffer::new(0);
        let mut at = 0;
        for room in [1, 7029, 1, 7030, 5939] {
            pieces.room = room;
            assert_eq!(fill(&mut pieces, &mut at), room);
        }
        assert_eq!(pieces.bytes, whole.bytes);
    }
}
