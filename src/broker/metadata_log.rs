//! The log of the cluster's metadata: ordinary record batches in the partition `__cluster_metadata-0`, one batch a
//! decision, so that a decision is there as a whole or not at all.

use std::rc::Rc;

use super::broker::Broker;
use super::controller::CONTROLLER_EPOCH;
use super::route::{METADATA_DIRECTORY, METADATA_PARTITION};
use crate::io::Handle;
use crate::metadata::delta::Delta;
use crate::metadata::image::Image;
use crate::metadata::record::MetadataRecord;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::offset::{NO_LEADER_EPOCH, Offset};
use crate::record::{self, BatchBuilder, TimestampType};
use crate::shard::{Acks, Isolation, Precedence, Shard, ShardSettings, Shards};

/// The largest decision, in bytes: ten thousand partitions (the most that one request may make) take less than 1 MiB.
const DECISION_BYTES_MAX: u32 = 16 << 20;
/// Bytes that are read at a time when the log is replayed.
const REPLAY_BYTES: u32 = 4 << 20;
/// The log's segments, in bytes.
const SEGMENT_BYTES: u32 = 64 << 20;

/// Opens the metadata partition on the controller's reactor.
pub fn open(shards: &Shards) -> Rc<Shard> {
    let settings = ShardSettings {
        segment_bytes: SEGMENT_BYTES,
        segment_ms: i64::MAX,
        message_bytes_max: DECISION_BYTES_MAX,
        index_interval_bytes: 4096,
        segment_index_bytes: 1 << 20,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: i64::MAX,
        compacted: false,
        compacted_only: false,
        write_caching: false,
        flush_ms: u64::MAX,
        producer_id_expiration_ms: i64::MAX,
        // Deleting topics is how a full disk gets space again.
        precedence: Precedence::Deletion,
    };
    shards.open(METADATA_PARTITION, METADATA_DIRECTORY, settings, CONTROLLER_EPOCH)
}

/// Appends `records` as one batch; resolves to the last one's offset when they are durable.
///
/// # Errors
/// The storage's; POLICY_VIOLATION when the records are more than one batch may hold.
pub async fn append(broker: &Broker, records: &[MetadataRecord]) -> Result<Offset, ClientError> {
    let mut batch = BatchBuilder::new();
    let mut value = Vec::new();
    for record in records {
        value.clear();
        record.encode(&mut value);
        batch.append(broker.io.wall_ms(), None, Some(&value), &[]);
        if batch.uncompressed_bytes() > DECISION_BYTES_MAX as usize {
            let message = "the request changes more metadata than one batch holds: split it";
            return Err(ClientError::new(ErrorCode::PolicyViolation, message));
        }
    }
    let shard = broker.shards.get(METADATA_PARTITION).expect("open on the controller's reactor from the start on");
    let batch = batch.build(0);
    let frees = records.iter().any(|record| matches!(record, MetadataRecord::RemoveTopic { .. }));
    if !frees && shard.leaves_room(batch.len(), Precedence::Coordination) {
        let message =
            "the disk is full, and what room there is is left to deletions: delete topics or records, or add space";
        return Err(ClientError::new(ErrorCode::KafkaStorageError, message));
    }
    let appended = shard.append(&batch, Acks::All).await?;
    Ok(appended.base_offset + records.len() as Offset - 1)
}

/// Replays the whole log into an image.
///
/// # Errors
/// A sentence that says what in the log cannot be read or does not fit; the broker must not start then.
pub async fn replay(io: &Handle, shard: &Rc<Shard>) -> Result<Image, String> {
    let mut image = Image::empty();
    let mut from = shard.offsets().log_start;
    while from < shard.offsets().high_watermark {
        let read = shard.read(from, REPLAY_BYTES, true, Isolation::ReadUncommitted, NO_LEADER_EPOCH).await;
        let fetched = read.map_err(|error| format!("the metadata log cannot be read at offset {from}: {error}"))?;
        let bytes = fetched.gather(io).await?;
        let next = replay_batches(&mut image, &bytes, from)?;
        if next == from {
            return Err(format!("the metadata log ends at offset {from}, before its high watermark"));
        }
        from = next;
    }
    Ok(image)
}

fn replay_batches(image: &mut Image, bytes: &[u8], from: Offset) -> Result<Offset, String> {
    let mut next = from;
    for batch in record::batches(bytes) {
        let at = |error: &dyn std::fmt::Display| format!("the metadata log's batch at offset {next}: {error}");
        let (header, batch) = batch.map_err(|error| at(&error))?;
        record::check_stored(batch).map_err(|error| at(&error))?;
        let walked = record::records(batch).map_err(|error| at(&error))?;
        let mut delta = Delta::new(image);
        for stored in &walked {
            let stored = stored.map_err(|error| at(&error))?;
            let value = stored.value.ok_or_else(|| at(&"a record without a value"))?;
            let decoded = MetadataRecord::decode(value).map_err(|error| at(&error))?;
            delta.replay(&decoded).map_err(|error| at(&error))?;
        }
        let (last, end) = (header.last_offset(), header.next_offset());
        *image = delta.finish(last, header.partition_leader_epoch()).0;
        next = end;
    }
    Ok(next)
}
