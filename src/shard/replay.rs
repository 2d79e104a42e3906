//! Batches that are in the log already, taken in again: after a start, and after a cut.

use std::rc::Rc;

use super::read::client_error;
use crate::log::Log;
use crate::model::error_code::ClientError;
use crate::model::offset::Offset;
use crate::producer::snapshot;
use crate::producer::state::{BatchFacts, MarkerFacts, ProducerStates};
use crate::producer::transaction_index::AbortedTransaction;
use crate::producer::transactions::{Outcome, Transactions};
use crate::record::BatchHeader;
use crate::record::control::{EndTransaction, end_transaction_of};

/// The producers and their transactions as of some offset.
#[derive(Default)]
pub(super) struct Replayed {
    pub producers: ProducerStates,
    pub open: Transactions,
    /// What was aborted among the batches that were taken in, in order.
    pub aborted: Vec<AbortedTransaction>,
}

impl Replayed {
    /// Begins with what was known at some offset.
    pub fn from(producers: ProducerStates) -> Replayed {
        let open = Transactions::restore(producers.open_transactions());
        Replayed { producers, open, aborted: Vec::new() }
    }

    /// The producers as of `end`: from the latest snapshot at or before `snapshot_at_most` that can be read, and the batches since,
    /// those before the log's start in its oldest segment too: a transaction may have begun or ended there.
    ///
    /// # Errors
    /// What the log cannot be read for.
    pub async fn as_of(log: &Rc<Log>, snapshot_at_most: Offset, end: Offset) -> Result<Replayed, ClientError> {
        let oldest = log.segments_from(0).first().map_or(end, |(base, _)| *base);
        let (mut producers, mut from) = (ProducerStates::new(), oldest);
        if end <= log.start() {
            return Ok(Replayed::from(producers));
        }
        let mut below = snapshot_at_most;
        while let Some((base, content)) = log.snapshot_before(below).await {
            match snapshot::decode(&content) {
                Ok(decoded) => {
                    (producers, from) = (decoded, base);
                    break;
                }
                Err(corrupt) => tracing::warn!("the producers' snapshot of {} at {base}: {corrupt}", log.name()),
            }
            below = base - 1;
        }
        let mut replayed = Replayed::from(producers);
        log.batches_between(from, end, |batch| replayed.take(batch)).await.map_err(client_error)?;
        Ok(replayed)
    }

    /// Takes in the next batch.
    pub fn take(&mut self, batch: &[u8]) {
        let Some(header) = BatchHeader::read(batch).filter(|header| header.has_producer()) else { return };
        if !header.is_control() {
            let facts = facts_of(header);
            let opened = self.producers.commit(&facts, header.base_offset(), header.max_timestamp());
            if let Some(first_offset) = opened {
                self.open.begin(facts.producer_id, first_offset);
            }
        } else if let Ok(Some(end)) = end_transaction_of(batch) {
            self.producers.commit_marker(&marker_of(header, end), header.max_timestamp());
            let outcome = if end.is_commit { Outcome::Commit } else { Outcome::Abort };
            self.aborted.extend(self.open.end(header.producer_id(), outcome, header.base_offset()));
        }
    }
}

fn marker_of(header: &BatchHeader, end: EndTransaction) -> MarkerFacts {
    MarkerFacts {
        producer_id: header.producer_id(),
        producer_epoch: header.producer_epoch(),
        coordinator_epoch: end.coordinator_epoch,
        // By which rules it was checked no longer matters.
        transaction_version: 0,
    }
}

fn facts_of(header: &BatchHeader) -> BatchFacts {
    BatchFacts {
        producer_id: header.producer_id(),
        producer_epoch: header.producer_epoch(),
        base_sequence: header.base_sequence(),
        last_offset_delta: header.last_offset_delta(),
        is_transactional: header.is_transactional(),
    }
}
