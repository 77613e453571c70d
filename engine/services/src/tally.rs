//! What a service did, for other threads to read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a service. Clones share the counts; only the shard that runs the service writes.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Counts>);

/// Alone on its cache lines, so that a reader on another core slows nothing else down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counts {
    connections: AtomicU64,
    closed: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    requests: AtomicU64,
}

impl Tally {
    /// Connections that were established.
    pub fn connections(&self) -> u64 {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// Connections that are over.
    pub fn closed(&self) -> u64 {
        self.0.closed.load(Ordering::Relaxed)
    }

    /// Octets the service took.
    pub fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    /// Octets the service handed over to be sent.
    pub fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// Requests answered, with success or not; zero for services that know no requests.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn opened(&self) {
        add(&self.0.connections, 1);
    }

    pub(crate) fn ended(&self) {
        add(&self.0.closed, 1);
    }

    pub(crate) fn took(&self, octets: usize) {
        add(&self.0.received, octets as u64);
    }

    pub(crate) fn gave(&self, octets: usize) {
        add(&self.0.sent, octets as u64);
    }

    pub(crate) fn answered(&self) {
        add(&self.0.requests, 1);
    }
}

/// There is one writer, so that a load and a store do, without a locked instruction.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(amount),
        Ordering::Relaxed,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_their_counts() {
        let tally = Tally::default();
        let other = tally.clone();
        tally.opened();
        tally.took(3);
        tally.took(4);
        tally.gave(5);
        tally.ended();
        assert_eq!(
            (other.connections(), other.received(), other.sent()),
            (1, 7, 5)
        );
        assert_eq!((other.closed(), other.requests()), (1, 0));
    }
}
