//! The tail of a log: its newest batches, still in memory.
//!
//! Slices point into the journal's groups and the direct runs, so the tail costs no copy. It always covers at least
//! what the segment files do not hold yet.

use std::collections::VecDeque;

use super::group::ENTRY_HEADER_BYTES;
use crate::base::block::Slice;
use crate::model::offset::{Offset, Timestamp};

/// One batch in memory.
#[derive(Clone, Debug)]
pub struct TailBatch {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset after its last record.
    pub next_offset: Offset,
    /// Base offset of its segment.
    pub segment: Offset,
    /// Where it starts in the segment.
    pub position: u32,
    /// Largest timestamp in it.
    pub max_timestamp: Timestamp,
    /// Its bytes.
    pub bytes: Slice,
}

/// What a batch takes in memory beside its bytes: its place in the tail, and the header of its entry in the journal's
/// block. A batch of one small record weighs half of it.
pub const BATCH_OVERHEAD_BYTES: u64 = (size_of::<TailBatch>() + ENTRY_HEADER_BYTES) as u64;

impl TailBatch {
    /// What it takes in memory.
    pub fn held_bytes(&self) -> u64 {
        self.bytes.len() as u64 + BATCH_OVERHEAD_BYTES
    }

    /// Position behind its last byte.
    pub fn end(&self) -> u32 {
        self.position + self.bytes.len() as u32
    }
}

/// The newest batches of one log, contiguous in offsets up to the log end.
#[derive(Debug, Default)]
pub struct Tail {
    batches: VecDeque<TailBatch>,
    held_bytes: u64,
}

impl Tail {
    /// Appends the next batch.
    pub fn push(&mut self, batch: TailBatch) {
        if let Some(last) = self.batches.back() {
            assert_eq!(last.next_offset, batch.base_offset, "the tail has no gaps");
        }
        self.held_bytes += batch.held_bytes();
        self.batches.push_back(batch);
    }

    /// Offset from which on everything is in memory; `None` when nothing is.
    pub fn first_offset(&self) -> Option<Offset> {
        self.batches.front().map(|batch| batch.base_offset)
    }

    /// What its batches take in memory.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// All batches, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &TailBatch> {
        self.batches.iter()
    }

    /// Number of batches held.
    pub fn len(&self) -> usize {
        self.batches.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whole batches from the one that holds `from` on, that end at or before `below`, at most `bytes_max` (the first
    /// one even if larger when `at_least_one`), and the offset after them. `None` when `from` lies before the tail.
    pub fn read(
        &self,
        from: Offset,
        below: Offset,
        bytes_max: u32,
        at_least_one: bool,
    ) -> Option<(Vec<Slice>, Offset)> {
        if self.first_offset()? > from {
            return None;
        }
        let first = self.batches.partition_point(|batch| batch.next_offset <= from);
        let (mut slices, mut bytes, mut next_offset): (Vec<Slice>, usize, Offset) = (Vec::new(), 0, from);
        for batch in self.batches.range(first..).take_while(|batch| batch.next_offset <= below) {
            if bytes + batch.bytes.len() > bytes_max as usize && !(at_least_one && slices.is_empty()) {
                break;
            }
            bytes += batch.bytes.len();
            next_offset = batch.next_offset;
            match slices.last_mut().and_then(|last| last.joined(&batch.bytes)) {
                Some(joined) => *slices.last_mut().expect("it was just joined") = joined,
                None => slices.push(batch.bytes.clone()),
            }
        }
        Some((slices, next_offset))
    }

    /// Copies the bytes of `segment` from position `start` on into `to`, as far as the tail holds them; tells how many
    /// bytes at the front of `to` it does not hold.
    pub fn copy(&self, segment: Offset, start: u32, to: &mut [u8]) -> usize {
        let end = start as usize + to.len();
        let mut missing = to.len();
        for batch in self.batches.iter().rev() {
            if batch.segment > segment || batch.position as usize >= end {
                continue;
            }
            if batch.segment < segment || missing == 0 {
                break;
            }
            let (low, high) = (batch.position.max(start) as usize, (batch.end() as usize).min(end));
            if low < high {
                let from = low - batch.position as usize;
                to[low - start as usize..high - start as usize].copy_from_slice(&batch.bytes[from..from + high - low]);
                missing = low - start as usize;
            }
        }
        missing
    }

    /// Drops batches from the front as long as `may_go` says so.
    pub fn evict(&mut self, mut may_go: impl FnMut(&TailBatch) -> bool) {
        while let Some(batch) = self.batches.front()
            && may_go(batch)
        {
            self.held_bytes -= batch.held_bytes();
            self.batches.pop_front();
        }
        // Thousands of logs each keep room for what they once held otherwise.
        if self.batches.capacity() > 4 * self.batches.len().max(4) {
            self.batches.shrink_to(2 * self.batches.len());
        }
    }

    /// Drops batches that end behind `offset`.
    pub fn truncate(&mut self, offset: Offset) {
        while let Some(batch) = self.batches.back() {
            if batch.next_offset <= offset {
                return;
            }
            self.held_bytes -= batch.held_bytes();
            self.batches.pop_back();
        }
    }

    /// Replaces the slices of the batches that lie in `start..end` of `segment` by parts of `copy`, which holds these bytes.
    pub fn rebase(&mut self, copy: &Slice, segment: Offset, start: u32, end: u32) {
        for batch in self.batches.iter_mut().filter(|batch| batch.segment == segment) {
            if batch.position >= start && batch.end() <= end {
                let from = (batch.position - start) as usize;
                batch.bytes = copy.slice(from..from + batch.bytes.len());
            }
        }
    }
}
