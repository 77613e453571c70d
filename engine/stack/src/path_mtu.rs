//! What ICMP taught about paths narrower than their first link, kept for connections that come
//! later (RFC 1191 §6.3, RFC 8201 §5.2).

use byway_tcp::time::{Duration, Instant};
use byway_wire::Address;
use std::collections::{HashMap, VecDeque};

/// For how long it is believed: then connections try again with what fits the first link.
//= rfc1191 3 S3-4
//= rfc1191 6.3
//= rfc8201 4 S4-6
const LIFE: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Learned {
    mtu: u16,
    until: Instant,
}

/// The largest packets that get through to some destinations. Beyond the limit the oldest lesson is
/// forgotten; its connections learn it again.
#[derive(Debug)]
pub(crate) struct PathMtus {
    learned: HashMap<Address, Learned>,
    /// In the order in which they end. Those that were learned anew are skipped.
    order: VecDeque<(Address, Learned)>,
    limit: usize,
}

impl PathMtus {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            learned: HashMap::new(),
            order: VecDeque::new(),
            limit: limit as usize,
        }
    }

    /// What gets through to `remote`, as far as is known.
    #[inline]
    pub(crate) fn get(&self, remote: &Address, now: Instant) -> Option<u16> {
        if self.learned.is_empty() {
            return None;
        }
        let learned = self.learned.get(remote)?;
        (learned.until > now).then_some(learned.mtu)
    }

    /// No more than this gets through to `remote`. True when an older lesson had to be forgotten
    /// for it.
    pub(crate) fn learn(&mut self, remote: Address, mtu: u16, now: Instant) -> bool {
        self.forget_outdated(now);
        if self.get(&remote, now).is_some_and(|known| known <= mtu) || self.limit == 0 {
            return false;
        }
        let full = !self.learned.contains_key(&remote) && self.learned.len() >= self.limit;
        while full && self.learned.len() >= self.limit {
            let Some((oldest, lesson)) = self.order.pop_front() else {
                break;
            };
            self.forget(&oldest, lesson);
        }
        let until = now + LIFE;
        let lesson = Learned { mtu, until };
        self.learned.insert(remote, lesson);
        self.order.push_back((remote, lesson));
        full
    }

    fn forget_outdated(&mut self, now: Instant) {
        while let Some(&(remote, lesson)) = self.order.front().filter(|(_, l)| l.until <= now) {
            self.order.pop_front();
            self.forget(&remote, lesson);
        }
        if self.order.len() > 2 * self.limit {
            let learned = &self.learned;
            self.order
                .retain(|(remote, lesson)| learned.get(remote) == Some(lesson));
        }
    }

    /// Forgets it, unless it was learned anew since.
    fn forget(&mut self, remote: &Address, lesson: Learned) {
        if self.learned.get(remote) == Some(&lesson) {
            self.learned.remove(remote);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Address = Address::v4([10, 0, 0, 1]);
    const B: Address = Address::v4([10, 0, 0, 2]);
    const C: Address = Address::v4([10, 0, 0, 3]);

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    //= rfc1191 3 S3-4
    //= rfc8201 4 S4-6
    #[test]
    fn a_lesson_lasts_ten_minutes_and_only_gets_narrower() {
        let mut mtus = PathMtus::new(4);
        assert_eq!(mtus.get(&A, at(0)), None);
        assert!(!mtus.learn(A, 1400, at(0)));
        mtus.learn(A, 1450, at(300));
        assert_eq!(mtus.get(&A, at(599)), Some(1400));
        assert_eq!(mtus.get(&A, at(600)), None, "no longer for the wider one");
        mtus.learn(A, 1400, at(700));
        mtus.learn(A, 1300, at(1000));
        assert_eq!(
            mtus.get(&A, at(1599)),
            Some(1300),
            "from the last lesson on"
        );
        assert_eq!(mtus.get(&A, at(1600)), None);
    }

    #[test]
    fn one_more_than_the_limit_forgets_the_oldest() {
        let mut mtus = PathMtus::new(2);
        assert!(!mtus.learn(A, 1400, at(0)));
        assert!(!mtus.learn(B, 1400, at(1)));
        assert!(!mtus.learn(A, 1300, at(2)), "A is the newer one now");
        assert!(mtus.learn(C, 1400, at(3)));
        let known = [A, B, C].map(|remote| mtus.get(&remote, at(4)));
        assert_eq!(known, [Some(1300), None, Some(1400)]);
        for mtu in (600..1300).rev() {
            mtus.learn(A, mtu, at(5));
        }
        assert!(mtus.order.len() <= 5, "what is outdated goes");
        assert!(!PathMtus::new(0).learn(A, 1400, at(0)));
    }
}
