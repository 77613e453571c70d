//! Which octets of a stream have been delivered to an end.

/// Octets by their distance from the initial sequence number: all below `next`, and some ranges
/// above it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges {
    next: i64,
    above: Vec<(i64, i64)>,
}

impl Ranges {
    /// Everything up to here was delivered.
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    /// `start..end` was delivered.
    pub(crate) fn insert(&mut self, start: i64, end: i64) {
        if end <= self.next || start >= end {
            return;
        }
        if start > self.next {
            let first = self.above.partition_point(|range| range.1 < start);
            let after = self.above.partition_point(|range| range.0 <= end);
            let (mut start, mut end) = (start, end);
            for range in &self.above[first..after] {
                start = start.min(range.0);
                end = end.max(range.1);
            }
            self.above.splice(first..after, [(start, end)]);
            return;
        }
        self.next = end;
        while let Some(range) = self.above.first().filter(|range| range.0 <= self.next) {
            self.next = self.next.max(range.1);
            self.above.remove(0);
        }
    }

    /// True when all of `start..end` was delivered.
    pub(crate) fn holds(&self, start: i64, end: i64) -> bool {
        end <= self.next
            || self
                .above
                .iter()
                .any(|range| range.0 <= start && end <= range.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use byway_stack::random::SplitMix;

    #[test]
    fn it_is_the_same_as_a_list_of_octets() {
        let mut random = SplitMix::new(1);
        for _ in 0..300 {
            let (mut ranges, mut octets) = (Ranges::default(), [false; 64]);
            for _ in 0..20 {
                let start = random.below(60) as usize;
                let end = start + random.below(5) as usize;
                ranges.insert(start as i64, end as i64);
                octets[start..end].fill(true);
                let next = octets.iter().position(|here| !here).unwrap();
                assert_eq!(ranges.next(), next as i64);
                for left in 0..60 {
                    for right in left + 1..63 {
                        let all = octets[left..right].iter().all(|here| *here);
                        assert_eq!(ranges.holds(left as i64, right as i64), all);
                    }
                }
            }
        }
    }
}
