//! A decision's records as a batch.

use crate::coordinator::machine::{CoordinatorRecord, SnapshotRun, TransactionOf};
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
pub(super) fn batches(snapshot: &[SnapshotRun], bytes_max: usize, wall_ms: Timestamp) -> Vec<Vec<u8>> {
    let mut batches = Vec::new();
    for SnapshotRun { transaction, records } in snapshot {
        let (mut from, mut bytes) = (0, 0);
        for (at, record) in records.iter().enumerate() {
            let more = record.bytes();
            if at > from && bytes + more > bytes_max {
                batches.push(batch(&records[from..at], *transaction, wall_ms));
                (from, bytes) = (at, 0);
            }
            bytes += more;
        }
        if from < records.len() {
            batches.push(batch(&records[from..], *transaction, wall_ms));
        }
    }
    batches
}
