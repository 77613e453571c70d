//! What the server does with the bytes: as little as possible, so that TCP is what is measured.

use byway_stack::{Context, Service};

/// Sends back what it receives.
#[derive(Debug)]
pub(crate) struct Echo;

impl Service for Echo {
    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        conn.send(data)
    }
}

/// Takes everything and looks at nothing.
#[derive(Debug)]
pub(crate) struct Sink;

impl Service for Sink {
    fn on_data(&mut self, _conn: &mut Context<'_>, data: &[u8]) -> usize {
        data.len()
    }
}

/// Octets that a source hands over at a time.
pub(crate) const PIECE: usize = 64 * 1024;

/// Sends as much as is taken, for ever.
#[derive(Debug)]
pub(crate) struct Source(pub(crate) Box<[u8]>);

impl Source {
    /// A source of some octets.
    pub(crate) fn new() -> Self {
        Self(vec![0x42; PIECE].into_boxed_slice())
    }

    fn fill(&self, conn: &mut Context<'_>) {
        while conn.send(&self.0) == self.0.len() {}
    }
}

impl Service for Source {
    fn on_open(&mut self, conn: &mut Context<'_>) {
        self.fill(conn);
    }

    fn on_data(&mut self, _conn: &mut Context<'_>, data: &[u8]) -> usize {
        data.len()
    }

    fn on_writable(&mut self, conn: &mut Context<'_>) {
        self.fill(conn);
    }
}
