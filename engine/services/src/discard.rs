//! The discard protocol.

use crate::Tally;
use byway::{CloseReason, Context, Service};

/// Throws away what it receives (RFC 863).
#[derive(Clone, Debug, Default)]
pub struct Discard {
    tally: Tally,
}

impl Discard {
    /// A discard service that counts in `tally`.
    pub fn new(tally: Tally) -> Self {
        Self { tally }
    }
}

impl Service for Discard {
    fn on_open(&mut self, _conn: &mut Context<'_>) {
        self.tally.opened();
    }

    fn on_data(&mut self, _conn: &mut Context<'_>, data: &[u8]) -> usize {
        self.tally.took(data.len());
        data.len()
    }

    fn on_closed(&mut self, _conn: &mut Context<'_>, _reason: CloseReason) {
        self.tally.ended();
    }
}
