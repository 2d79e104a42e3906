//! A set of page numbers as disjoint ranges: which pages of a file have room on the device.

use std::collections::BTreeMap;
use std::ops::Range;

/// Disjoint, non-adjacent ranges by their start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extents {
    ranges: BTreeMap<u64, u64>,
    count: u64,
}

impl Extents {
    /// Numbers in the set.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// How many numbers of `range` are not in the set.
    pub(super) fn missing(&self, range: Range<u64>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let mut present = 0;
        for (start, end) in self.ranges.range(..range.end).rev() {
            if *end <= range.start {
                break;
            }
            present += (*end).min(range.end) - (*start).max(range.start);
        }
        range.end - range.start - present
    }

    /// Adds `range`; tells how many numbers are new.
    pub(super) fn insert(&mut self, range: Range<u64>) -> u64 {
        let added = self.missing(range.clone());
        if added == 0 {
            return 0;
        }
        let (mut start, mut end) = (range.start, range.end);
        // What touches the range is swallowed by it.
        while let Some((&before, &until)) = self.ranges.range(..=end).next_back() {
            if until < start {
                break;
            }
            self.ranges.remove(&before);
            start = start.min(before);
            end = end.max(until);
        }
        self.ranges.insert(start, end);
        self.count += added;
        added
    }

    /// Removes everything from `first` on; tells how many numbers went.
    pub(super) fn cut(&mut self, first: u64) -> u64 {
        let mut removed = 0;
        for (start, end) in self.ranges.split_off(&first) {
            removed += end - start;
        }
        if let Some((_, end)) = self.ranges.range_mut(..first).next_back()
            && *end > first
        {
            removed += *end - first;
            *end = first;
        }
        self.count -= removed;
        removed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Extents;
    use crate::base::prng::Prng;

    #[test]
    fn extents_behave_as_a_set_of_numbers() {
        let mut random = Prng::new(3);
        let (mut extents, mut model) = (Extents::default(), BTreeSet::new());
        for _ in 0..3000 {
            let start = random.below(200);
            let range = start..start + random.below(20);
            assert_eq!(extents.missing(range.clone()), range.clone().filter(|n| !model.contains(n)).count() as u64);
            if random.one_in(6) {
                let before = model.len();
                model.retain(|number| *number < start);
                assert_eq!(extents.cut(start), (before - model.len()) as u64);
            } else {
                let before = model.len();
                model.extend(range.clone());
                assert_eq!(extents.insert(range), (model.len() - before) as u64);
            }
            assert_eq!(extents.count(), model.len() as u64);
            let merged = extents.ranges.iter().zip(extents.ranges.iter().skip(1)).all(|(a, b)| a.1 < b.0);
            assert!(merged, "{extents:?}");
        }
    }
}
