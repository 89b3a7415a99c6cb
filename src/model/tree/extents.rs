//! Sets of byte ranges of a file, bounded in number.

/// Most ranges kept per set; beyond that the nearest two are joined.
const LIMIT: usize = 4096;

/// Set of bytes as sorted, disjoint, half-open ranges `start..end`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::model) struct Extents {
    ranges: Vec<(i64, i64)>,
}

impl Extents {
    /// Adds `start..end`. When there are too many ranges, the two with the least between them become one, so that the
    /// set may cover more than was added.
    pub(in crate::model) fn add(&mut self, start: i64, end: i64) {
        if start >= end {
            return;
        }
        // Sequential calls extend the last range: no search, no move.
        if let Some(last) = self.ranges.last_mut()
            && start >= last.0
            && start <= last.1
        {
            last.1 = last.1.max(end);
            return;
        }
        let from = self.ranges.partition_point(|range| range.1 < start);
        let to = self.ranges.partition_point(|range| range.0 <= end);
        if from == to {
            self.ranges.insert(from, (start, end));
        } else {
            self.ranges[from] = (start.min(self.ranges[from].0), end.max(self.ranges[to - 1].1));
            self.ranges.drain(from + 1..to);
        }
        if self.ranges.len() > LIMIT {
            self.join_nearest();
        }
    }

    /// Removes `start..end`. Where that splits a range and there are too many, the nearest two ranges are joined again.
    pub(in crate::model) fn remove(&mut self, start: i64, end: i64) {
        let from = self.ranges.partition_point(|range| range.1 <= start);
        let to = self.ranges.partition_point(|range| range.0 < end);
        if from >= to {
            return;
        }
        let (head, tail) = (self.ranges[from].0, self.ranges[to - 1].1);
        let kept = [(head, start), (end, tail)].into_iter().filter(|(a, b)| a < b);
        self.ranges.splice(from..to, kept);
        if self.ranges.len() > LIMIT {
            self.join_nearest();
        }
    }

    /// Calls `each` for the parts of `start..end` that are not in the set.
    pub(in crate::model) fn gaps(&self, start: i64, end: i64, mut each: impl FnMut(i64, i64)) {
        let mut at = start;
        for range in &self.ranges[self.ranges.partition_point(|range| range.1 <= start)..] {
            if range.0 >= end {
                break;
            }
            if at < range.0 {
                each(at, range.0);
            }
            at = at.max(range.1);
        }
        if at < end {
            each(at, end);
        }
    }

    /// Is there room for one more range?
    pub(in crate::model) fn has_room(&self) -> bool {
        self.ranges.len() < LIMIT
    }

    /// The ranges below `limit` as `(offset, length)`.
    pub(in crate::model) fn below(&self, limit: i64) -> Vec<(i64, i64)> {
        let clipped = self.ranges.iter().map(|(start, end)| (*start, (*end).min(limit).saturating_sub(*start)));
        clipped.filter(|(_, length)| *length > 0).collect()
    }

    /// All ranges of the set as `(start, end)`, ascending.
    pub(in crate::model) fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.ranges.iter().copied()
    }

    fn join_nearest(&mut self) {
        let gap = |i: &usize| self.ranges[i + 1].0.saturating_sub(self.ranges[*i].1);
        if let Some(i) = (0..self.ranges.len() - 1).min_by_key(gap) {
            self.ranges[i].1 = self.ranges[i + 1].1;
            self.ranges.remove(i + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(set: &Extents) -> Vec<bool> {
        (0..100).map(|i| set.ranges.iter().any(|range| range.0 <= i && i < range.1)).collect()
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_bytes(calls in proptest::collection::vec((any::<bool>(), 0..90i64, 0..10i64), 0..40)) {
            let (mut set, mut model) = (Extents::default(), vec![false; 100]);
            for (add, start, length) in calls {
                if add { set.add(start, start + length) } else { set.remove(start, start + length) }
                model[start as usize..(start + length) as usize].fill(add);
            }
            prop_assert_eq!(bits(&set), model.clone());
            prop_assert!(set.ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0));
            let mut gaps = vec![true; 100];
            set.gaps(0, 100, |start, end| gaps[start as usize..end as usize].fill(false));
            prop_assert_eq!(gaps, model);
        }
    }

    #[test]
    fn too_many_ranges_are_joined_at_the_smallest_gap() {
        let mut set = Extents::default();
        for i in 0..LIMIT as i64 {
            set.add(i * 10, i * 10 + 1);
        }
        set.add(5, 7);
        assert_eq!(set.ranges.len(), LIMIT);
        assert_eq!(set.ranges[0], (0, 1));
        assert_eq!(set.ranges[1], (5, 11));
    }
}
