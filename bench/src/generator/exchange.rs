//! Requests and responses of one connection, for the generators that send a stream: one after
//! another, or several under way.

use crate::pattern;
use std::collections::VecDeque;

/// A request under way. Times are nanoseconds of the generator's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    tag: u64,
    /// From when its latency counts.
    pub(super) from: u64,
    /// When it was sent.
    pub(super) sent: u64,
}

/// Octets arrived that are no response to the oldest request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mismatch;

/// The requests under way, and what of them is not sent yet.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Requests so far: the number of the last one.
    number: u64,
    asked: VecDeque<Asked>,
    /// Octets that came of the response to the oldest.
    received: usize,
    out: Vec<u8>,
    /// Octets of `out` that are sent.
    gone: usize,
}

impl Exchange {
    /// Makes the next request, of `size` octets; `index` tells apart the patterns of connections.
    pub(super) fn ask(&mut self, index: u64, size: usize, from: u64, sent: u64) {
        self.number += 1;
        let tag = pattern::tag(index, self.number);
        self.asked.push_back(Asked { tag, from, sent });
        let start = self.out.len();
        self.out.resize(start + size, 0);
        pattern::fill(&mut self.out[start..], tag);
    }

    /// Octets that are to be sent.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.out[self.gone..]
    }

    /// So many of them are sent.
    pub(super) fn sent(&mut self, octets: usize) {
        self.gone += octets;
        if self.gone == self.out.len() {
            self.out.clear();
            self.gone = 0;
        }
    }

    /// Compares what arrived with the requests of `size` octets, and calls `answered` for each whose
    /// response is complete.
    ///
    /// # Errors
    /// When it is something else, or more than was asked for.
    pub(super) fn receive(
        &mut self,
        mut data: &[u8],
        size: usize,
        mut answered: impl FnMut(Asked),
    ) -> Result<(), Mismatch> {
        while !data.is_empty() {
            let asked = *self.asked.front().ok_or(Mismatch)?;
            let (part, rest) = data.split_at(data.len().min(size - self.received));
            if !pattern::matches(part, self.received, asked.tag) {
                return Err(Mismatch);
            }
            self.received += part.len();
            if self.received == size {
                self.received = 0;
                self.asked.pop_front();
                answered(asked);
            }
            data = rest;
        }
        Ok(())
    }

    /// The requests under way, the oldest first.
    pub(super) fn asked(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The octets of `exchange`, all sent.
    fn send(exchange: &mut Exchange) -> Vec<u8> {
        let out = exchange.unsent().to_vec();
        exchange.sent(out.len());
        out
    }

    #[test]
    fn a_request_that_finds_no_room_is_sent_in_pieces_and_its_echo_matches() {
        let mut exchange = Exchange::default();
        exchange.ask(4, 100, 900, 1000);
        let mut bytes = Vec::new();
        while !exchange.unsent().is_empty() {
            let room = exchange.unsent().len().min(33);
            bytes.extend_from_slice(&exchange.unsent()[..room]);
            exchange.sent(room);
        }
        let (head, tail) = bytes.split_at(41);
        let mut answered = Vec::new();
        let mut take = |data| exchange.receive(data, 100, |asked| answered.push(asked));
        assert_eq!((take(head), take(tail)), (Ok(()), Ok(())));
        assert_eq!(answered.len(), 1);
        assert_eq!((answered[0].from, answered[0].sent), (900, 1000));
        assert_eq!(exchange.asked().count(), 0);
    }

    #[test]
    fn several_under_way_are_answered_in_order_however_they_are_cut() {
        for cut in 0..=192 {
            let mut exchange = Exchange::default();
            (1..=3).for_each(|at| exchange.ask(1, 64, at, at));
            let bytes = send(&mut exchange);
            let mut answered = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                let result = exchange.receive(part, 64, |asked| answered.push(asked.from));
                assert_eq!(result, Ok(()));
            }
            assert_eq!(answered, [1, 2, 3]);
        }
    }

    #[test]
    fn wrong_or_superfluous_octets_do_not_match() {
        let mut exchange = Exchange::default();
        exchange.ask(0, 64, 0, 0);
        let first = send(&mut exchange);
        let mut longer = first.clone();
        longer.push(0);
        assert_eq!(exchange.receive(&longer, 64, |_| {}), Err(Mismatch));
        exchange.ask(0, 64, 0, 0);
        let late = exchange.receive(&first, 64, |_| {});
        assert_eq!(late, Err(Mismatch), "an answer too late");
    }
}
