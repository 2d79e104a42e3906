//! Exact timestamp lookup inside one batch, as ListOffsets needs it (KIP-79, KIP-734).

use super::batch::TimestampType;
use super::corruption::Corruption;
use super::walk::{self, Record};
use crate::model::offset::{Offset, Timestamp};

/// Offset and timestamp of the first record of the batch at the front of `bytes` whose timestamp is `timestamp` or
/// later, `None` if there is none. Under LogAppendTime every record has the batch's max timestamp.
///
/// # Errors
/// When the batch cannot be read.
pub fn offset_for_timestamp(bytes: &[u8], timestamp: Timestamp) -> Result<Option<(Offset, Timestamp)>, Corruption> {
    offset_for_timestamp_from(bytes, timestamp, 0)
}

/// As [`offset_for_timestamp`], among the records at `first_offset` and later: the log start offset may lie inside a
/// batch (DeleteRecords, KIP-107).
///
/// # Errors
/// When the batch cannot be read.
pub fn offset_for_timestamp_from(
    bytes: &[u8],
    timestamp: Timestamp,
    first_offset: Offset,
) -> Result<Option<(Offset, Timestamp)>, Corruption> {
    let (header, batch) = walk::first_batch(bytes)?;
    // The header answers "none" without decompressing.
    if header.max_timestamp() < timestamp || header.last_offset() < first_offset {
        return Ok(None);
    }
    for record in &walk::records(batch)? {
        let record = record?;
        if record.timestamp >= timestamp && record.offset >= first_offset {
            return Ok(Some(place(&record)));
        }
    }
    Ok(None)
}

/// Offset and timestamp of the record with the largest timestamp of the batch at the front of `bytes`, the first of
/// them if several share it; `None` for a batch that compaction has emptied.
///
/// # Errors
/// When the batch cannot be read.
pub fn record_of_max_timestamp(bytes: &[u8]) -> Result<Option<(Offset, Timestamp)>, Corruption> {
    let records = walk::records(bytes)?;
    let header = records.header();
    let mut largest: Option<(Offset, Timestamp)> = None;
    for record in &records {
        let record = record?;
        if largest.is_none_or(|(_, timestamp)| record.timestamp > timestamp) {
            largest = Some(place(&record));
        }
        // All timestamps are the same: the first record is the answer.
        if header.timestamp_type() == TimestampType::LogAppendTime {
            break;
        }
    }
    Ok(largest)
}

fn place(record: &Record<'_>) -> (Offset, Timestamp) {
    (record.offset, record.timestamp)
}
