//! The producers of one partition: what may be appended, and what was appended before.
//!
//! The rules are those of Apache Kafka 4.3 for appends of clients (KIP-98, KIP-360, KIP-890): a batch of a known
//! producer follows its predecessor or repeats one of the last five; a new epoch starts at sequence number 0; of a
//! producer of which nothing is known any sequence number is accepted, because its records may have been deleted.
//!
//! Memory: nothing for a partition without producers, otherwise 16 bytes a place and one [`ProducerEntry`] a producer;
//! bounded by [`PRODUCERS_MAX`].

use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, ProducerEpoch, ProducerId};
use crate::model::offset::{Offset, Timestamp};
use crate::producer::entry::{BatchMetadata, NO_TRANSACTION, ProducerEntry};
use crate::producer::sequence;

/// Producers remembered in one partition. Beyond it those that would expire next are forgotten at once, unless they have
/// a transaction open; 100,000 cost 17 MB.
pub const PRODUCERS_MAX: usize = 100_000;

/// When the bound is reached, one in this many producers is forgotten at once, so that the search for the oldest is paid
/// for rarely.
const EVICTED_ONE_IN: usize = 16;

/// The facts of one data batch that decide whether it may be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchFacts {
    /// Producer id of the batch header; below 0 for none.
    pub producer_id: ProducerId,
    /// Producer epoch of the batch header.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the first record.
    pub base_sequence: i32,
    /// Offset of the last record relative to the first (record count - 1 in what clients send; more after compaction).
    pub last_offset_delta: i32,
    /// Whether the batch belongs to a transaction.
    pub is_transactional: bool,
}

impl BatchFacts {
    /// Whether the batch is of an idempotent or transactional producer at all.
    pub fn has_producer(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// Sequence number of the last record.
    pub fn last_sequence(&self) -> i32 {
        sequence::last_of_batch(self.base_sequence, self.last_offset_delta)
    }
}

/// The facts of the control batch that ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkerFacts {
    /// Producer id of the batch header.
    pub producer_id: ProducerId,
    /// Producer epoch of the batch header.
    pub producer_epoch: ProducerEpoch,
    /// Epoch of the transaction coordinator, from the marker's value.
    pub coordinator_epoch: i32,
    /// `transaction.version` of the request: from 2 on a marker's epoch is above that of the transaction it ends.
    pub transaction_version: i16,
}

/// What is to be done with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new and in order: append it, then [`ProducerStates::commit`] it.
    Append,
    /// It was appended before: answer with where it stands. The first copy may not be durable yet, so the answer waits
    /// for `last_offset` as that of any append does.
    Duplicate {
        /// Offset of the batch's first record.
        base_offset: Offset,
        /// Offset of the batch's last record.
        last_offset: Offset,
        /// Maximal timestamp of the batch as appended.
        timestamp: Timestamp,
    },
    /// It must not be appended.
    Refuse(ClientError),
}

/// All producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerStates {
    /// Ascending by producer id. Boxed, so that inserting moves 16 bytes a producer.
    entries: Vec<(ProducerId, Box<ProducerEntry>)>,
}

impl ProducerStates {
    /// No producers; allocates nothing.
    pub fn new() -> ProducerStates {
        ProducerStates::default()
    }

    /// Number of producers remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no producer is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Heap bytes in use.
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<(ProducerId, Box<ProducerEntry>)>()
            + self.entries.len() * size_of::<ProducerEntry>()
    }

    /// What is known of `producer_id`.
    pub fn get(&self, producer_id: ProducerId) -> Option<&ProducerEntry> {
        self.find(producer_id).ok().map(|at| &*self.entries[at].1)
    }

    /// All producers, ascending by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ProducerId, &ProducerEntry)> {
        self.entries.iter().map(|(id, entry)| (*id, &**entry))
    }

    /// Producers with an open transaction and its first offset, ascending by id.
    pub fn open_transactions(&self) -> impl Iterator<Item = (ProducerId, Offset)> {
        self.iter().filter_map(|(id, entry)| Some((id, entry.transaction_first_offset()?)))
    }

    /// Whether `producer_id` has a transaction open under this very epoch, so that a further transactional batch needs
    /// no verification (KIP-890).
    pub fn has_ongoing_transaction(&self, producer_id: ProducerId, epoch: ProducerEpoch) -> bool {
        self.get(producer_id).is_some_and(|entry| entry.epoch == epoch && entry.transaction_first_offset().is_some())
    }

    /// Decides about a data batch of a client. Changes nothing; a batch that was refused leaves no trace.
    pub fn check(&self, facts: &BatchFacts) -> Verdict {
        self.check_as(facts, false)
    }

    /// Like [`check`](Self::check); with `bumps_epoch`, for a producer that bumps its epoch with every transaction
    /// (transaction version 2), which starts each at sequence number 0 even where nothing is known of it.
    pub fn check_as(&self, facts: &BatchFacts, bumps_epoch: bool) -> Verdict {
        if !facts.has_producer() {
            return Verdict::Append;
        }
        if facts.base_sequence < 0 || facts.last_offset_delta < 0 {
            return Verdict::Refuse(invalid_batch(facts));
        }
        let entry = self.get(facts.producer_id);
        if let Some(original) = entry.and_then(|entry| duplicate_of(entry, facts)) {
            return Verdict::Duplicate {
                base_offset: original.base_offset(),
                last_offset: original.last_offset,
                timestamp: original.timestamp,
            };
        }
        let checked = check_epoch(entry, facts)
            .and_then(|()| check_start(entry, facts, bumps_epoch))
            .and_then(|()| check_sequence(entry, facts))
            .and_then(|()| check_transaction(entry, facts));
        checked.map_or_else(Verdict::Refuse, |()| Verdict::Append)
    }

    /// Decides about a batch that a coordinator of this broker writes for a transactional producer (offset commits):
    /// its sequence numbers mean nothing, so only the epoch and the transaction are checked and nothing is a duplicate.
    pub fn check_from_coordinator(&self, facts: &BatchFacts) -> Verdict {
        if !facts.has_producer() {
            return Verdict::Append;
        }
        let entry = self.get(facts.producer_id);
        let checked = check_epoch(entry, facts).and_then(|()| check_transaction(entry, facts));
        checked.map_or_else(Verdict::Refuse, |()| Verdict::Append)
    }

    /// Remembers a batch that was appended at `base_offset` and whose maximal timestamp is `timestamp`: after
    /// [`Verdict::Append`], and for every batch that replication or recovery reads, which needs no check.
    ///
    /// Returns the first offset of the transaction that this batch opened, if it did.
    pub fn commit(&mut self, facts: &BatchFacts, base_offset: Offset, timestamp: Timestamp) -> Option<Offset> {
        if !facts.has_producer() {
            return None;
        }
        let entry = self.entry_mut(facts.producer_id);
        entry.adopt_epoch(facts.producer_epoch);
        entry.push(BatchMetadata {
            last_sequence: facts.last_sequence(),
            offset_delta: facts.last_offset_delta.max(0),
            last_offset: base_offset.saturating_add(i64::from(facts.last_offset_delta.max(0))),
            timestamp,
        });
        entry.last_timestamp = timestamp;
        let opens = facts.is_transactional && entry.transaction_first_offset().is_none();
        if opens {
            entry.transaction_first_offset = base_offset;
        }
        opens.then_some(base_offset)
    }

    /// Decides about a marker that a transaction coordinator asks to be written.
    ///
    /// # Errors
    /// The producer or the coordinator is fenced by a newer epoch.
    pub fn check_marker(&self, facts: &MarkerFacts) -> Result<(), ClientError> {
        let Some(entry) = self.get(facts.producer_id) else { return Ok(()) };
        check_marker_epoch(entry, facts)?;
        if entry.coordinator_epoch <= facts.coordinator_epoch {
            return Ok(());
        }
        Err(ClientError::new(
            ErrorCode::TransactionCoordinatorFenced,
            format!(
                "a marker for producer {} is from coordinator epoch {}, but epoch {} has already written one",
                facts.producer_id, facts.coordinator_epoch, entry.coordinator_epoch
            ),
        ))
    }

    /// Whether a marker says what an earlier one has said: the coordinator lost the answer, or could not know after a
    /// crash. Nothing is to be appended then.
    pub fn is_repeated_marker(&self, facts: &MarkerFacts) -> bool {
        self.get(facts.producer_id).is_some_and(|entry| {
            entry.transaction_first_offset().is_none()
                && entry.epoch == facts.producer_epoch
                && entry.coordinator_epoch >= 0
                && entry.coordinator_epoch == facts.coordinator_epoch
        })
    }

    /// Remembers a marker that was appended with `timestamp`, checked or replayed.
    ///
    /// Returns the first offset of the transaction it ended; `None` if the producer had none open here.
    pub fn commit_marker(&mut self, facts: &MarkerFacts, timestamp: Timestamp) -> Option<Offset> {
        if facts.producer_id <= NO_PRODUCER_ID {
            return None;
        }
        let entry = self.entry_mut(facts.producer_id);
        let ended = entry.transaction_first_offset();
        entry.adopt_epoch(facts.producer_epoch);
        entry.coordinator_epoch = facts.coordinator_epoch;
        entry.last_timestamp = timestamp;
        entry.transaction_first_offset = NO_TRANSACTION;
        ended
    }

    /// Forgets producers whose last batch is `expiration_ms` (`producer.id.expiration.ms`) or more older than
    /// `wall_ms`; one with an open transaction stays. Returns how many were forgotten.
    pub fn expire(&mut self, wall_ms: Timestamp, expiration_ms: i64) -> usize {
        let before = self.entries.len();
        self.entries.retain(|(_, entry)| {
            entry.transaction_first_offset().is_some() || wall_ms.saturating_sub(entry.last_timestamp) < expiration_ms
        });
        self.give_back_room();
        before - self.entries.len()
    }

    /// Forgets everything, for a log that starts anew or is about to be replayed after a truncation: whoever truncates
    /// decodes the last checkpoint before the cut, then commits every batch from there to the cut again.
    pub fn reset(&mut self) {
        self.entries = Vec::new();
    }

    /// Takes a decoded entry; `false` if the producer is already there.
    pub(super) fn restore(&mut self, producer_id: ProducerId, entry: ProducerEntry) -> bool {
        let Err(at) = self.find(producer_id) else { return false };
        self.make_room();
        self.entries.insert(at, (producer_id, Box::new(entry)));
        true
    }

    fn find(&self, producer_id: ProducerId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&producer_id, |(id, _)| *id)
    }

    fn entry_mut(&mut self, producer_id: ProducerId) -> &mut ProducerEntry {
        let at = match self.find(producer_id) {
            Ok(at) => at,
            Err(at) => {
                let at = if self.entries.len() < PRODUCERS_MAX { at } else { self.evict_and_find(producer_id) };
                self.make_room();
                self.entries.insert(at, (producer_id, Box::new(ProducerEntry::empty())));
                at
            }
        };
        &mut self.entries[at].1
    }

    /// Most partitions have one or two producers: grows by what is needed first, by half later.
    fn make_room(&mut self) {
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact((self.entries.len() / 2).max(1));
        }
    }

    fn give_back_room(&mut self) {
        if self.entries.len() < self.entries.capacity() / 4 || self.entries.is_empty() {
            self.entries.shrink_to_fit();
        }
    }

    /// Forgets the longest silent producers without a transaction; returns where `producer_id` now belongs.
    fn evict_and_find(&mut self, producer_id: ProducerId) -> usize {
        let idle = |entry: &ProducerEntry| entry.transaction_first_offset().is_none();
        let mut seen: Vec<Timestamp> = self.iter().filter(|(_, e)| idle(e)).map(|(_, e)| e.last_timestamp).collect();
        if !seen.is_empty() {
            let rank = seen.len() / EVICTED_ONE_IN;
            let (older, newest_evicted, _) = seen.select_nth_unstable(rank);
            let newest_evicted = *newest_evicted;
            // Many may share that timestamp; of those the smallest ids, which were given out first, go.
            let mut ties = rank + 1 - older.iter().filter(|timestamp| **timestamp < newest_evicted).count();
            self.entries.retain(|(_, entry)| {
                let tied = entry.last_timestamp == newest_evicted && ties > 0 && idle(entry);
                ties -= usize::from(tied);
                !(tied || (entry.last_timestamp < newest_evicted && idle(entry)))
            });
        }
        self.find(producer_id).expect_err("it was not there before")
    }
}

fn duplicate_of<'a>(entry: &'a ProducerEntry, facts: &BatchFacts) -> Option<&'a BatchMetadata> {
    if entry.epoch != facts.producer_epoch {
        return None;
    }
    entry.find(facts.base_sequence, facts.last_sequence())
}

fn check_epoch(entry: Option<&ProducerEntry>, facts: &BatchFacts) -> Result<(), ClientError> {
    match entry {
        Some(entry) if facts.producer_epoch < entry.epoch => Err(ClientError::new(
            ErrorCode::InvalidProducerEpoch,
            format!(
                "producer {} sent epoch {}, which is older than its epoch {} here",
                facts.producer_id, facts.producer_epoch, entry.epoch
            ),
        )),
        _ => Ok(()),
    }
}

/// KIP-890: where every transaction has an epoch of its own, its first batch in a partition is numbered 0.
fn check_start(entry: Option<&ProducerEntry>, facts: &BatchFacts, bumps_epoch: bool) -> Result<(), ClientError> {
    let remembered = entry.is_some_and(|entry| !entry.batches().is_empty());
    if bumps_epoch && facts.is_transactional && facts.base_sequence != 0 && !remembered {
        return Err(out_of_order(facts, NO_SEQUENCE));
    }
    Ok(())
}

fn check_sequence(entry: Option<&ProducerEntry>, facts: &BatchFacts) -> Result<(), ClientError> {
    // No epoch: nothing is known, perhaps because retention deleted all its records.
    let Some(entry) = entry.filter(|entry| entry.epoch != NO_PRODUCER_EPOCH) else { return Ok(()) };
    if entry.epoch != facts.producer_epoch {
        return if facts.base_sequence == 0 { Ok(()) } else { Err(new_epoch_out_of_order(entry, facts)) };
    }
    let last = entry.last_sequence();
    if sequence::follows(last, facts.base_sequence) { Ok(()) } else { Err(out_of_order(facts, last)) }
}

fn check_transaction(entry: Option<&ProducerEntry>, facts: &BatchFacts) -> Result<(), ClientError> {
    match entry.and_then(ProducerEntry::transaction_first_offset) {
        Some(first_offset) if !facts.is_transactional => Err(ClientError::new(
            ErrorCode::InvalidTxnState,
            format!(
                "producer {} sent a batch outside of its transaction that is open since offset {first_offset}",
                facts.producer_id
            ),
        )),
        _ => Ok(()),
    }
}

fn check_marker_epoch(entry: &ProducerEntry, facts: &MarkerFacts) -> Result<(), ClientError> {
    let bumped = facts.transaction_version >= 2;
    let valid = if bumped { facts.producer_epoch > entry.epoch } else { facts.producer_epoch >= entry.epoch };
    // A coordinator that lost the answer writes its marker again (KAFKA-19999), and at the greatest epoch there is no
    // higher one to bump to.
    let repeated = bumped
        && facts.producer_epoch == entry.epoch
        && (entry.transaction_first_offset().is_none() || facts.producer_epoch == ProducerEpoch::MAX);
    if valid || repeated {
        return Ok(());
    }
    Err(ClientError::new(
        ErrorCode::InvalidProducerEpoch,
        format!(
            "a marker (transaction version {}) for producer {} has epoch {}, but the producer is at epoch {}",
            facts.transaction_version, facts.producer_id, facts.producer_epoch, entry.epoch
        ),
    ))
}

fn out_of_order(facts: &BatchFacts, last_sequence: i32) -> ClientError {
    ClientError::new(
        ErrorCode::OutOfOrderSequenceNumber,
        format!(
            "producer {} (epoch {}) sent sequence number {}, but the last one here is {last_sequence}",
            facts.producer_id, facts.producer_epoch, facts.base_sequence
        ),
    )
}

fn new_epoch_out_of_order(entry: &ProducerEntry, facts: &BatchFacts) -> ClientError {
    ClientError::new(
        ErrorCode::OutOfOrderSequenceNumber,
        format!(
            "producer {} starts its epoch {} (after {}) with sequence number {}: a new epoch starts at 0",
            facts.producer_id, facts.producer_epoch, entry.epoch, facts.base_sequence
        ),
    )
}

fn invalid_batch(facts: &BatchFacts) -> ClientError {
    ClientError::new(
        ErrorCode::InvalidRecord,
        format!(
            "a batch of producer {} has base sequence {} and last offset delta {}: neither may be negative",
            facts.producer_id, facts.base_sequence, facts.last_offset_delta
        ),
    )
}

#[cfg(test)]
mod tests;
