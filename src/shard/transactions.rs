//! Transactions in one partition: which batch may open one, the marker that ends one, and what read_committed sees.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::append::{Acks, Append, Appender, Work};
use super::shard::Shard;
use crate::base::oneshot;
use crate::log::{AppendError, Precedence};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{NO_SEQUENCE, PartitionId, ProducerEpoch, ProducerId};
use crate::model::offset::{NO_TIMESTAMP, Offset, Timestamp};
use crate::producer::snapshot;
use crate::producer::state::{BatchFacts, MarkerFacts, Verdict};
use crate::producer::transaction_index::AbortedTransaction;
use crate::producer::transactions::{Outcome, Transactions};
use crate::producer::verification::{Guard, Verifications};
use crate::record::BatchHeader;
use crate::record::batch::{set_base_offset, set_partition_leader_epoch};
use crate::record::control::EndTransaction;

/// Bytes of batches that wait at one shard for the coordinator's word; more are refused.
const UNVERIFIED_BYTES_MAX: usize = 16 << 20;

/// A batch that would open a transaction here: whether it may is the coordinator's to say, and the answer goes to
/// [`Shard::verified`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unverified {
    /// The partition.
    pub partition: PartitionId,
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    guard: Guard,
}

/// What a shard keeps of transactions beside the producers' states.
#[derive(Default)]
pub(super) struct TransactionState {
    pub open: Transactions,
    verifications: Verifications,
    /// Batches that wait for the coordinator's word, by the attempt.
    waiting: BTreeMap<Guard, VecDeque<Waiting>>,
    waiting_bytes: usize,
}

struct Waiting {
    batch: Vec<u8>,
    acks: Acks,
    placed: oneshot::Sender<Append>,
}

/// What is known of one producer of a partition (DescribeProducers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerDescription {
    /// Its id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of its last record, -1 for none.
    pub last_sequence: i32,
    /// Timestamp of its last batch or marker.
    pub last_timestamp: Timestamp,
    /// Epoch of the coordinator that wrote its last marker, -1 for none.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub transaction_first_offset: Option<Offset>,
}

impl Shard {
    /// As [`Shard::append`], for a batch that may belong to a transaction. Where it would open one, it waits, and further
    /// batches of the producer with it, for what [`Shard::verified`] is told.
    ///
    /// INVALID_PRODUCER_EPOCH at once for an epoch that is known to be fenced.
    pub fn append_transactional(self: &Rc<Self>, batch: &[u8], acks: Acks) -> (Append, Option<Unverified>) {
        let header = BatchHeader::read(batch).filter(|header| header.is_transactional() && header.has_producer());
        let Some(header) = header else { return (self.append(batch, acks), None) };
        let (producer_id, epoch) = (header.producer_id(), header.producer_epoch());
        let under_way = self.transactions().borrow().verifications.under_way(producer_id, epoch);
        if under_way.is_none() {
            let producers = self.producers().borrow();
            let known = producers.get(producer_id);
            let fenced = known.is_some_and(|entry| entry.epoch() > epoch);
            if fenced || producers.has_ongoing_transaction(producer_id, epoch) {
                drop(producers);
                return (self.append_as(batch, acks, Appender::Client), None);
            }
        }
        let mut state = self.transactions().borrow_mut();
        let is_full = state.waiting_bytes + batch.len() > UNVERIFIED_BYTES_MAX && state.waiting_bytes > 0;
        // A coordinator of this broker asks for its own sake, and would not tell.
        let is_anothers = under_way.is_some_and(|guard| !state.waiting.contains_key(&guard));
        if is_full || is_anothers {
            return (Append::refused(too_many_unverified()), None);
        }
        let begun = under_way.map(|guard| (guard, false));
        let begun = begun.or_else(|| state.verifications.begin(producer_id, epoch).map(|guard| (guard, true)));
        let Some((guard, fresh)) = begun else { return (Append::refused(too_many_unverified()), None) };
        let (placed, receiver) = oneshot::channel();
        state.waiting_bytes += batch.len();
        state.waiting.entry(guard).or_default().push_back(Waiting { batch: batch.to_vec(), acks, placed });
        drop(state);
        let partition = self.id();
        let unverified = Unverified { partition, producer_id, producer_epoch: epoch, guard };
        (Append::Parked(receiver), fresh.then_some(unverified))
    }

    /// The coordinator's word about a transaction: the batches that wait for it are placed, in their order, or refused.
    /// `bumps_epoch` says that the client has an epoch for each transaction (transaction version 2).
    pub fn verified(self: &Rc<Self>, unverified: &Unverified, answer: Result<(), ClientError>, bumps_epoch: bool) {
        let Unverified { producer_id, producer_epoch, guard, .. } = *unverified;
        let (waiting, counts) = {
            let mut state = self.transactions().borrow_mut();
            let waiting = state.waiting.remove(&guard).unwrap_or_default();
            state.waiting_bytes -= waiting.iter().map(|one| one.batch.len()).sum::<usize>();
            (waiting, state.verifications.settle(producer_id, producer_epoch, guard))
        };
        let answer = if counts { answer } else { Err(ended_meanwhile(producer_id)) };
        for Waiting { batch, acks, placed } in waiting {
            placed.send(match &answer {
                Ok(()) => self.append_as(&batch, acks, Appender::Verified { bumps_epoch }),
                Err(error) => Append::refused(error.clone()),
            });
        }
    }

    /// What a coordinator of this broker needs before it may write in a transaction that is not open here yet: the word of
    /// the transaction's coordinator, asked for from now on. `None` when the transaction is open here already.
    ///
    /// # Errors
    /// NOT_ENOUGH_REPLICAS when too many are asked for already.
    pub fn guard_transaction(
        &self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
    ) -> Result<Option<Unverified>, ClientError> {
        if self.producers().borrow().has_ongoing_transaction(producer_id, producer_epoch) {
            return Ok(None);
        }
        let verifications = &mut self.transactions().borrow_mut().verifications;
        let guard = verifications.under_way(producer_id, producer_epoch);
        let guard =
            guard.or_else(|| verifications.begin(producer_id, producer_epoch)).ok_or_else(too_many_unverified)?;
        Ok(Some(Unverified { partition: self.id(), producer_id, producer_epoch, guard }))
    }

    /// Whether the answer that came meanwhile still counts: the transaction has not ended. It counts until then.
    ///
    /// # Errors
    /// INVALID_TXN_STATE when it ended.
    pub fn check_guard(&self, unverified: &Unverified) -> Result<(), ClientError> {
        let Unverified { producer_id, producer_epoch, guard, .. } = *unverified;
        let under_way = self.transactions().borrow().verifications.under_way(producer_id, producer_epoch);
        if under_way == Some(guard) { Ok(()) } else { Err(ended_meanwhile(producer_id)) }
    }

    /// The coordinator's word was no: nothing more rests on it.
    pub fn drop_guard(&self, unverified: &Unverified) {
        let Unverified { producer_id, producer_epoch, guard, .. } = *unverified;
        self.transactions().borrow_mut().verifications.settle(producer_id, producer_epoch, guard);
    }

    /// Whether a coordinator of this broker may write for this producer, now.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH when it is fenced; COORDINATOR_NOT_AVAILABLE while appends wait for room: one of them may be the
    /// marker that ends the transaction, and what is written behind it would open another one that nobody ends.
    pub fn check_producer(&self, producer_id: ProducerId, producer_epoch: ProducerEpoch) -> Result<(), ClientError> {
        if self.is_parked() {
            let message = "the disk is slower than what is written: try again";
            return Err(ClientError::new(ErrorCode::CoordinatorNotAvailable, message));
        }
        let facts = BatchFacts {
            producer_id,
            producer_epoch,
            base_sequence: NO_SEQUENCE,
            last_offset_delta: 0,
            is_transactional: true,
        };
        match self.producers().borrow().check_from_coordinator(&facts) {
            Verdict::Refuse(error) => Err(error),
            Verdict::Append | Verdict::Duplicate { .. } => Ok(()),
        }
    }

    /// Appends a batch that a coordinator of this broker writes into its own partition, perhaps in a transaction.
    pub fn append_from_coordinator(self: &Rc<Self>, batch: &[u8]) -> Append {
        self.append_as(batch, Acks::All, Appender::Coordinator)
    }

    /// Appends the marker that ends a transaction of this producer here; resolves when it is durable. One that was written
    /// before is not written again.
    ///
    /// Resolves to INVALID_PRODUCER_EPOCH or TRANSACTION_COORDINATOR_FENCED when the producer or the coordinator is fenced,
    /// KAFKA_STORAGE_ERROR when the storage is offline.
    pub fn append_marker(self: &Rc<Self>, facts: MarkerFacts, outcome: Outcome) -> Append {
        // What the coordinator was asked before this marker no longer counts, whenever the answer comes.
        self.transactions().borrow_mut().verifications.end(facts.producer_id);
        self.work(Work::Marker { facts, outcome })
    }

    /// Places a marker; `None` when the journal has no room just now.
    pub(super) fn try_marker(self: &Rc<Self>, facts: &MarkerFacts, outcome: Outcome) -> Option<Append> {
        if let Err(error) = self.producers().borrow().check_marker(facts) {
            return Some(Append::refused(error));
        }
        if self.producers().borrow().is_repeated_marker(facts) {
            let end = self.log().end();
            return Some(self.acknowledge(self.placed_at(end), end, Acks::All));
        }
        let marker =
            EndTransaction { is_commit: outcome == Outcome::Commit, coordinator_epoch: facts.coordinator_epoch };
        let (wall_ms, epoch) = (self.io().wall_ms(), self.leader_epoch());
        let batch = marker.batch(0, wall_ms, epoch, facts.producer_id, facts.producer_epoch);
        let stamp = |copy: &mut [u8], base_offset: Offset| {
            set_base_offset(copy, base_offset);
            set_partition_leader_epoch(copy, epoch);
        };
        let placed = match self
            .log()
            .append(&batch, Precedence::Coordination, stamp, || snapshot::encode(&self.producers().borrow()))
        {
            Ok(placed) => placed,
            Err(AppendError::Busy) => return None,
            Err(error) => return Some(Append::refused(super::append::refusal(error))),
        };
        self.note_marker(facts, outcome, placed.base_offset, wall_ms);
        if self.settings().write_caching {
            self.advance(placed.next_offset);
        }
        Some(self.acknowledge(self.placed_at(placed.base_offset), placed.next_offset, Acks::All))
    }

    fn placed_at(&self, base_offset: Offset) -> super::append::Appended {
        super::append::Appended {
            base_offset,
            log_append_time_ms: NO_TIMESTAMP,
            log_start_offset: self.log().durable_start(),
        }
    }

    /// Takes in a marker that stands at `offset`.
    pub(super) fn note_marker(&self, facts: &MarkerFacts, outcome: Outcome, offset: Offset, timestamp: Timestamp) {
        self.producers().borrow_mut().commit_marker(facts, timestamp);
        let aborted = self.transactions().borrow_mut().open.end(facts.producer_id, outcome, offset);
        if let Some(aborted) = aborted {
            self.aborted().append(aborted);
        }
    }

    /// Takes in a data batch that stands at `base_offset`.
    pub(super) fn note_batch(&self, facts: &BatchFacts, base_offset: Offset, timestamp: Timestamp) {
        let opened = self.producers().borrow_mut().commit(facts, base_offset, timestamp);
        if let Some(first_offset) = opened {
            self.transactions().borrow_mut().open.begin(facts.producer_id, first_offset);
        }
    }

    /// Up to where `read_committed` consumers may read.
    pub fn last_stable_offset(&self) -> Offset {
        let high_watermark = self.high_watermark();
        let stable = self.transactions().borrow().open.last_stable_offset(high_watermark);
        stable.max(self.log().start())
    }

    /// The transactions that a `read_committed` consumer of these offsets has to skip.
    pub(super) async fn aborted_between(
        &self,
        from: Offset,
        to: Offset,
    ) -> Result<Vec<AbortedTransaction>, ClientError> {
        self.aborted().overlapping(self.log(), from, to).await
    }

    /// The oldest open transaction: its producer and first offset.
    pub fn oldest_transaction(&self) -> Option<(ProducerId, Offset)> {
        self.transactions().borrow().open.oldest()
    }

    /// The producers that are remembered, ascending by id.
    pub fn describe_producers(&self) -> Vec<ProducerDescription> {
        let producers = self.producers().borrow();
        let described = producers.iter().map(|(producer_id, entry)| ProducerDescription {
            producer_id,
            producer_epoch: entry.epoch(),
            last_sequence: entry.last_sequence(),
            last_timestamp: entry.last_timestamp(),
            coordinator_epoch: entry.coordinator_epoch(),
            transaction_first_offset: entry.transaction_first_offset(),
        });
        described.collect()
    }

    /// Refuses all batches that wait for a coordinator: the shard is going.
    pub(super) fn close_transactions(&self) {
        let mut state = self.transactions().borrow_mut();
        state.waiting_bytes = 0;
        drop(std::mem::take(&mut state.waiting));
    }
}

/// What a shard's transactions are as of its log's end, from what was restored.
pub(super) fn restored(open: Transactions) -> RefCell<TransactionState> {
    RefCell::new(TransactionState { open, ..TransactionState::default() })
}

pub(super) fn not_in_transaction(facts: &BatchFacts) -> ClientError {
    ClientError::new(
        ErrorCode::InvalidTxnState,
        format!(
            "producer {} (epoch {}) sent a transactional batch, but the partition is not part of its transaction",
            facts.producer_id, facts.producer_epoch
        ),
    )
}

fn ended_meanwhile(producer_id: ProducerId) -> ClientError {
    ClientError::new(
        ErrorCode::InvalidTxnState,
        format!("the transaction of producer {producer_id} ended before this batch of it could be appended"),
    )
}

fn too_many_unverified() -> ClientError {
    ClientError::new(
        ErrorCode::NotEnoughReplicas,
        "too many batches wait for the transaction coordinator already: try again",
    )
}
