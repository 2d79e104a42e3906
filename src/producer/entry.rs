//! What one partition remembers of one producer.

use crate::model::ids::{NO_PRODUCER_EPOCH, NO_SEQUENCE, ProducerEpoch};
use crate::model::offset::{NO_TIMESTAMP, Offset, Timestamp};
use crate::producer::sequence;

/// Batches remembered of each producer: as many as an idempotent client may have in flight
/// (`max.in.flight.requests.per.connection`), so every batch that can be retried is recognised.
pub const BATCHES_RETAINED: usize = 5;

/// "No coordinator has written a marker".
pub const NO_COORDINATOR_EPOCH: i32 = -1;

/// "No transaction is open", where an offset is stored.
pub(super) const NO_TRANSACTION: Offset = -1;

/// One appended batch, as far as its retry must be recognised and answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchMetadata {
    /// Sequence number of the last record; [`NO_SEQUENCE`] for a batch without.
    pub last_sequence: i32,
    /// Last offset minus base offset; 0 or more.
    pub offset_delta: i32,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The batch's maximal timestamp.
    pub timestamp: Timestamp,
}

impl BatchMetadata {
    /// Sequence number of the first record.
    pub fn first_sequence(&self) -> i32 {
        sequence::retreat(self.last_sequence, self.offset_delta)
    }

    /// Offset of the first record.
    pub fn base_offset(&self) -> Offset {
        self.last_offset.saturating_sub(Offset::from(self.offset_delta))
    }
}

/// The state of one producer id in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    pub(super) last_timestamp: Timestamp,
    /// [`NO_TRANSACTION`] where none is open: 8 bytes less than an `Option`.
    pub(super) transaction_first_offset: Offset,
    pub(super) coordinator_epoch: i32,
    pub(super) epoch: ProducerEpoch,
    count: u8,
    /// Oldest first; only the first `count` mean anything, the others are zero.
    batches: [BatchMetadata; BATCHES_RETAINED],
}

impl ProducerEntry {
    /// A producer of which nothing is known.
    pub(super) fn empty() -> ProducerEntry {
        ProducerEntry {
            last_timestamp: NO_TIMESTAMP,
            transaction_first_offset: NO_TRANSACTION,
            coordinator_epoch: NO_COORDINATOR_EPOCH,
            epoch: NO_PRODUCER_EPOCH,
            count: 0,
            batches: [BatchMetadata::default(); BATCHES_RETAINED],
        }
    }

    /// The latest producer epoch seen.
    pub fn epoch(&self) -> ProducerEpoch {
        self.epoch
    }

    /// Epoch of the transaction coordinator that wrote the last marker; [`NO_COORDINATOR_EPOCH`] before the first.
    pub fn coordinator_epoch(&self) -> i32 {
        self.coordinator_epoch
    }

    /// Timestamp of the last batch or marker.
    pub fn last_timestamp(&self) -> Timestamp {
        self.last_timestamp
    }

    /// First offset of the open transaction, if one is open.
    pub fn transaction_first_offset(&self) -> Option<Offset> {
        (self.transaction_first_offset >= 0).then_some(self.transaction_first_offset)
    }

    /// The remembered batches of the current epoch, oldest first; at most [`BATCHES_RETAINED`].
    pub fn batches(&self) -> &[BatchMetadata] {
        &self.batches[..usize::from(self.count)]
    }

    /// Sequence number of the last record of this epoch; [`NO_SEQUENCE`] if there is none.
    pub fn last_sequence(&self) -> i32 {
        self.batches().last().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    /// Offset of the last record of this epoch; -1 if there is none.
    pub fn last_offset(&self) -> Offset {
        self.batches().last().map_or(-1, |batch| batch.last_offset)
    }

    /// The remembered batch with exactly these sequence numbers.
    pub(super) fn find(&self, first_sequence: i32, last_sequence: i32) -> Option<&BatchMetadata> {
        let same = |b: &&BatchMetadata| b.last_sequence == last_sequence && b.first_sequence() == first_sequence;
        self.batches().iter().find(same)
    }

    /// Takes on `epoch`; the batches of another epoch are forgotten, for none of them can be retried any more.
    pub(super) fn adopt_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.count = 0;
            self.batches = [BatchMetadata::default(); BATCHES_RETAINED];
        }
    }

    /// Remembers a batch, forgetting the oldest one of a full window.
    pub(super) fn push(&mut self, batch: BatchMetadata) {
        if usize::from(self.count) == BATCHES_RETAINED {
            self.batches.copy_within(1.., 0);
        } else {
            self.count += 1;
        }
        self.batches[usize::from(self.count) - 1] = batch;
    }
}
