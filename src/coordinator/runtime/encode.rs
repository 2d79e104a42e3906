//! A decision's records as a batch.

use crate::coordinator::machine::{CoordinatorRecord, TransactionOf};
use crate::model::ids::NO_SEQUENCE;
use crate::model::offset::Timestamp;
use crate::record::BatchBuilder;

/// The batch of `records`, which are not empty; part of a transaction if they are.
pub(super) fn batch(records: &[CoordinatorRecord], transaction: Option<TransactionOf>, wall_ms: Timestamp) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    if let Some(TransactionOf { producer_id, producer_epoch }) = transaction {
        // As in Kafka they have no sequence numbers: the coordinator writes them, and it repeats nothing.
        batch = batch.producer(producer_id, producer_epoch, NO_SEQUENCE).transactional();
    }
    for record in records {
        batch.append(wall_ms, Some(&record.key), record.value.as_deref(), &[]);
    }
    batch.build(0)
}

/// The batches of a snapshot, none larger than it has to be to hold a record of `bytes_max`.
pub(super) fn batches(records: &[CoordinatorRecord], bytes_max: usize, wall_ms: Timestamp) -> Vec<Vec<u8>> {
    let mut batches = Vec::new();
    let mut current = BatchBuilder::new();
    for record in records {
        let bytes = record.key.len() + record.value.as_ref().map_or(0, Vec::len);
        if current.records_count() > 0 && current.uncompressed_bytes() + bytes > bytes_max {
            batches.push(std::mem::take(&mut current).build(0));
        }
        current.append(wall_ms, Some(&record.key), record.value.as_deref(), &[]);
    }
    if current.records_count() > 0 {
        batches.push(current.build(0));
    }
    batches
}
