//! How far a reader is behind: in records, and since when.

use std::rc::Rc;

use super::read::client_error;
use super::shard::Shard;
use crate::model::error_code::ClientError;
use crate::model::offset::{NO_TIMESTAMP, Offset, Timestamp};
use crate::record::{BatchHeader, TimestampType};

/// How far a reader at an offset is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// What it may read up to: the high watermark.
    pub end: Offset,
    /// Records between the two (offsets, as Kafka counts lag).
    pub records: i64,
    /// The time of the oldest batch that it has not read to its end; `None` when there is none, or it has no time.
    pub since: Option<Timestamp>,
}

impl Shard {
    /// How far a reader whose next record is `offset` is behind. Reads one header.
    ///
    /// # Errors
    /// KAFKA_STORAGE_ERROR or CORRUPT_MESSAGE when the batch cannot be read.
    pub async fn behind(self: &Rc<Self>, offset: Offset) -> Result<Behind, ClientError> {
        let offsets = self.offsets();
        let end = offsets.high_watermark;
        let records = end.saturating_sub(offset).max(0);
        // What retention has taken away can be read no more.
        let from = offset.max(offsets.log_start);
        if from >= end {
            return Ok(Behind { end, records, since: None });
        }
        let slices = self.log().read_memory(from, 1).await.map_err(client_error)?;
        let since = slices.first().and_then(|bytes| first_time(bytes)).filter(|time| *time != NO_TIMESTAMP);
        Ok(Behind { end, records, since })
    }
}

/// The time of the first batch: of its first record, or of its append where the broker gives the time.
fn first_time(bytes: &[u8]) -> Option<Timestamp> {
    let header = BatchHeader::read(bytes)?;
    Some(match header.timestamp_type() {
        TimestampType::CreateTime => header.base_timestamp(),
        TimestampType::LogAppendTime => header.max_timestamp(),
    })
}
