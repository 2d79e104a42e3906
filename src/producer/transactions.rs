//! Open transactions of one partition, and the last stable offset they hold back (KIP-98).
//!
//! A consumer in `read_committed` sees nothing at or above the first offset of a transaction whose outcome is not known
//! yet, or whose marker is not below the high watermark yet.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::model::ids::ProducerId;
use crate::model::offset::Offset;
use crate::producer::transaction_index::AbortedTransaction;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its records count.
    Commit,
    /// Consumers in `read_committed` skip its records.
    Abort,
}

/// The transactions of one partition that hold back the last stable offset.
///
/// At most one is open a producer, so [`PRODUCERS_MAX`](super::state::PRODUCERS_MAX) bounds the open ones in practice;
/// ended ones stay until the high watermark passes their marker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    /// Open ones: first offset to producer.
    open: BTreeMap<Offset, ProducerId>,
    /// The same, the other way round.
    first_offsets: BTreeMap<ProducerId, Offset>,
    /// Ended ones whose marker may not be below the high watermark: first offset to the marker's offset.
    ended: BTreeMap<Offset, Offset>,
}

impl Transactions {
    /// None open; allocates nothing.
    pub fn new() -> Transactions {
        Transactions::default()
    }

    /// Those that a restored [`ProducerStates`](super::state::ProducerStates) says are open. It does not say which ended
    /// above the high watermark, so it must be of an offset at or below it; replaying from there finds them.
    pub fn restore(open: impl Iterator<Item = (ProducerId, Offset)>) -> Transactions {
        let mut transactions = Transactions::new();
        open.for_each(|(producer_id, first_offset)| transactions.begin(producer_id, first_offset));
        transactions
    }

    /// The first batch of a transaction of `producer_id` was appended at `first_offset`. If the producer has one open,
    /// that one goes on.
    pub fn begin(&mut self, producer_id: ProducerId, first_offset: Offset) {
        if let Entry::Vacant(vacant) = self.first_offsets.entry(producer_id) {
            vacant.insert(first_offset);
            self.open.insert(first_offset, producer_id);
        }
    }

    /// The marker that ends the transaction of `producer_id` was appended at `marker_offset`.
    ///
    /// Returns the entry for the transaction index if an open transaction was aborted; a marker without one changes
    /// nothing.
    pub fn end(
        &mut self,
        producer_id: ProducerId,
        outcome: Outcome,
        marker_offset: Offset,
    ) -> Option<AbortedTransaction> {
        let first_offset = self.first_offsets.remove(&producer_id)?;
        self.open.remove(&first_offset);
        self.ended.insert(first_offset, marker_offset);
        let last_stable_offset = self.first_open_offset().unwrap_or(marker_offset.saturating_add(1));
        let aborted = AbortedTransaction { producer_id, first_offset, last_offset: marker_offset, last_stable_offset };
        (outcome == Outcome::Abort).then_some(aborted)
    }

    /// The high watermark, or the log start offset, reached `offset`: transactions that ended below it hold back nothing
    /// any more.
    pub fn advance(&mut self, offset: Offset) {
        self.ended.retain(|_, marker_offset| *marker_offset >= offset);
    }

    /// First offset of the oldest open transaction.
    pub fn first_open_offset(&self) -> Option<Offset> {
        self.open.keys().next().copied()
    }

    /// The oldest open transaction: its producer and first offset. One that stays the oldest for long is hanging
    /// (KIP-664).
    pub fn oldest(&self) -> Option<(ProducerId, Offset)> {
        self.open.iter().next().map(|(first_offset, producer_id)| (*producer_id, *first_offset))
    }

    /// Up to where consumers in `read_committed` see, given the `high_watermark`. It may lie below the log start offset
    /// where a transaction's beginning was deleted: the caller takes the greater of the two.
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        let mut undecided = self.ended.iter().filter(|(_, marker_offset)| **marker_offset >= high_watermark);
        let first_ended = undecided.next().map_or(high_watermark, |(first_offset, _)| *first_offset);
        let first_open = self.first_open_offset().unwrap_or(high_watermark);
        high_watermark.min(first_ended).min(first_open)
    }

    /// Number of open transactions.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Forgets everything: the log starts anew or is replayed after a truncation.
    pub fn reset(&mut self) {
        *self = Transactions::new();
    }
}

#[cfg(test)]
mod tests;
