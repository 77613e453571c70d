//! The echo protocol.

use crate::Tally;
use byway::{CloseReason, Context, Service};

/// Sends back what it receives (RFC 862). It takes no more than it can send: a peer that does not
/// read its echo finds its window closed.
#[derive(Clone, Debug, Default)]
pub struct Echo {
    tally: Tally,
}

impl Echo {
    /// An echo service that counts in `tally`.
    pub fn new(tally: Tally) -> Self {
        Self { tally }
    }
}

impl Service for Echo {
    fn on_open(&mut self, _conn: &mut Context<'_>) {
        self.tally.opened();
    }

    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        let taken = conn.send(data);
        self.tally.took(taken);
        self.tally.gave(taken);
        taken
    }

    fn on_closed(&mut self, _conn: &mut Context<'_>, _reason: CloseReason) {
        self.tally.ended();
    }
}
