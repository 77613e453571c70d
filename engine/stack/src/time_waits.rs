//! TIME-WAIT records: all last equally long, so a queue is all the timer they need.

use crate::records::Records;
use byway_tcp::time::Instant;
use byway_tcp::time_wait::TimeWait;
use std::collections::VecDeque;

/// A TIME-WAIT record and the path of its answers.
#[derive(Debug)]
pub(crate) struct Quiet {
    pub(crate) wait: TimeWait,
    pub(crate) path: u16,
}

#[derive(Clone, Copy, Debug)]
struct Queued {
    index: u32,
    generation: u32,
    /// The deadline when it was queued; that of the record may have moved later since.
    deadline: Instant,
}

/// The TIME-WAIT records of a shard.
#[derive(Debug)]
pub(crate) struct TimeWaits {
    records: Records<Quiet>,
    /// In the order of deadlines. Entries of records that are gone are skipped.
    queue: VecDeque<Queued>,
}

impl TimeWaits {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            records: Records::new(limit),
            queue: VecDeque::new(),
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.records.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.records.is_full()
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&Quiet> {
        self.records.get(index)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Quiet> {
        self.records.get_mut(index)
    }

    pub(crate) fn insert(&mut self, wait: TimeWait, path: u16) -> Option<u32> {
        let deadline = wait.deadline();
        if self.queue.len() > 2 * self.records.limit() as usize {
            // Records that were reopened left their entries behind.
            let records = &self.records;
            self.queue.retain(|queued| {
                records.generation_in_use(queued.index) == Some(queued.generation)
            });
        }
        let index = self.records.insert(Quiet { wait, path })?;
        let generation = self.records.generation(index);
        self.queue.push_back(Queued {
            index,
            generation,
            deadline,
        });
        Some(index)
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<Quiet> {
        self.records.remove(index)
    }

    /// Removes the record that was queued first.
    pub(crate) fn pop_oldest(&mut self) -> Option<(u32, Quiet)> {
        loop {
            let queued = self.queue.pop_front()?;
            if self.records.generation(queued.index) == queued.generation
                && let Some(quiet) = self.records.remove(queued.index)
            {
                return Some((queued.index, quiet));
            }
        }
    }

    /// Removes a record whose time is over.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(u32, Quiet)> {
        while let Some(&queued) = self.queue.front().filter(|queued| queued.deadline <= now) {
            self.queue.pop_front();
            if self.records.generation(queued.index) != queued.generation {
                continue;
            }
            let Some(quiet) = self.records.get(queued.index) else {
                continue;
            };
            let deadline = quiet.wait.deadline();
            if deadline > now {
                self.queue.push_back(Queued { deadline, ..queued });
            } else if let Some(quiet) = self.records.remove(queued.index) {
                return Some((queued.index, quiet));
            }
        }
        None
    }

    pub(crate) fn next_deadline(&self) -> Instant {
        self.queue
            .front()
            .map_or(Instant::NEVER, |queued| queued.deadline)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Quiet)> {
        self.records.iter()
    }
}
