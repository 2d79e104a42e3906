//! What was acknowledged, what was read, and whether they agree.

use std::collections::BTreeMap;

use flumen::record::{BatchHeader, check_stored, records};

use super::template::Stamp;

/// Rising ranges of sequence numbers, those that touch joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds `count` numbers from `first` on, which are above all before; otherwise gives the number expected at least.
    pub fn add(&mut self, first: u64, count: u64) -> Result<(), u64> {
        match self.0.last_mut() {
            Some((_, end)) if first < *end => Err(*end),
            Some((_, end)) if first == *end => {
                *end += count;
                Ok(())
            }
            _ => {
                self.0.push((first, first + count));
                Ok(())
            }
        }
    }

    /// The first numbers of `self` that are not among `others`, as a range.
    pub fn first_missing_in(&self, others: &Ranges) -> Option<(u64, u64)> {
        self.0.iter().find_map(|&(start, end)| {
            let holder = others.0.iter().find(|(first, behind)| *first <= start && start < *behind);
            match holder {
                Some((_, behind)) if *behind >= end => None,
                Some((_, behind)) => Some((*behind, end)),
                None => Some((start, end)),
            }
        })
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }
}

/// What was acknowledged, by source and partition.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    acknowledged: BTreeMap<(u32, i32), Ranges>,
    /// Replies come in the order of requests, so this stays 0.
    pub disorder: u64,
}

impl Ledger {
    /// Notes what a reply acknowledged.
    pub fn acknowledged(&mut self, source: u32, partition: i32, first: u64, count: u64) {
        let ranges = self.acknowledged.entry((source, partition)).or_default();
        self.disorder += u64::from(ranges.add(first, count).is_err());
    }

    /// Takes in what another thread noted; no source is on two threads.
    pub fn merge(&mut self, other: Ledger) {
        self.acknowledged.extend(other.acknowledged);
        self.disorder += other.disorder;
    }

    pub fn records(&self) -> u64 {
        self.acknowledged.values().map(Ranges::count).sum()
    }
}

/// Looks at everything that is read.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    seen: BTreeMap<(u32, i32), Ranges>,
    pub batches: u64,
    pub records: u64,
    pub faults: u64,
    /// The first faults, in words.
    pub told: Vec<String>,
}

impl Checker {
    fn fault(&mut self, text: impl FnOnce() -> String) {
        /// More of them say no more.
        const TOLD_MAX: usize = 10;
        self.faults += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(text());
        }
    }

    /// Looks at a batch, which is to begin at `expected`.
    pub fn batch(&mut self, partition: i32, expected: i64, header: &BatchHeader, batch: &[u8]) {
        self.batches += 1;
        let base_offset = header.base_offset();
        if base_offset != expected {
            self.fault(|| format!("partition {partition}: a batch at offset {base_offset}, expected {expected}"));
        }
        if let Err(corruption) = check_stored(batch) {
            return self.fault(|| format!("partition {partition}, offset {base_offset}: {corruption}"));
        }
        let walk = match records(batch) {
            Ok(walk) => walk,
            Err(corruption) => {
                return self.fault(|| format!("partition {partition}, offset {base_offset}: {corruption}"));
            }
        };
        for record in &walk {
            match record {
                Ok(record) => {
                    self.records += 1;
                    if let Some(stamp) = record.value.and_then(Stamp::read) {
                        self.stamp(partition, record.offset, stamp);
                    }
                }
                Err(corruption) => {
                    return self.fault(|| format!("partition {partition}, offset {base_offset}: {corruption}"));
                }
            }
        }
    }

    fn stamp(&mut self, partition: i32, offset: i64, stamp: Stamp) {
        let ranges = self.seen.entry((stamp.source, partition)).or_default();
        if let Err(expected) = ranges.add(stamp.sequence, 1) {
            self.fault(|| {
                format!(
                    "partition {partition}, offset {offset}: record {} of source {:08x} is there twice or out of order; \
                     {expected} was expected",
                    stamp.sequence, stamp.source
                )
            });
        }
    }

    /// Takes in what another reader saw of other partitions.
    pub fn merge(&mut self, other: Checker) {
        self.seen.extend(other.seen);
        self.batches += other.batches;
        self.records += other.records;
        self.faults += other.faults;
        self.told.extend(other.told);
    }

    /// Compares with what was acknowledged.
    pub fn compare(&mut self, ledger: &Ledger) {
        let nothing = Ranges::default();
        for ((source, partition), acknowledged) in &ledger.acknowledged {
            let seen = self.seen.get(&(*source, *partition)).unwrap_or(&nothing);
            if let Some((first, end)) = acknowledged.first_missing_in(seen) {
                self.fault(|| {
                    format!(
                        "partition {partition}: records {first} to {} of source {source:08x} were acknowledged and are not there",
                        end - 1
                    )
                });
            }
        }
        if ledger.disorder > 0 {
            self.fault(|| format!("{} replies came out of order", ledger.disorder));
        }
    }
}
