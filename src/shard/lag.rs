//! How far a reader is behind: in records, and since when.

use std::rc::Rc;

use super::read::{Fetched, Isolation};
use super::shard::Shard;
use crate::io::Handle;
use crate::log::reader::Piece;
use crate::model::error_code::ClientError;
use crate::model::offset::{NO_LEADER_EPOCH, NO_TIMESTAMP, Offset, Timestamp};
use crate::record::{BatchHeader, HEADER_BYTES, TimestampType};

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
        let fetched = self.read(from, 1, true, Isolation::ReadUncommitted, NO_LEADER_EPOCH).await?;
        let since = first_time(self.io(), &fetched).await.filter(|time| *time != NO_TIMESTAMP);
        Ok(Behind { end, records, since })
    }
}

/// The time of the first batch: of its first record, or of its append where the broker gives the time.
async fn first_time(io: &Handle, fetched: &Fetched) -> Option<Timestamp> {
    let mut head = [0; HEADER_BYTES];
    match fetched.pieces.first()? {
        Piece::Memory(slice) => head.copy_from_slice(slice.get(..HEADER_BYTES)?),
        Piece::File { file, at, .. } => {
            let block = io.pool().try_block(HEADER_BYTES, crate::base::block::Use::Staging)?;
            let (block, read) = file.read_at(io, *at, block, HEADER_BYTES as u32).await;
            read.ok().filter(|read| *read as usize == HEADER_BYTES)?;
            head.copy_from_slice(&block[..HEADER_BYTES]);
        }
    }
    let header = BatchHeader::read(&head)?;
    Some(match header.timestamp_type() {
        TimestampType::CreateTime => header.base_timestamp(),
        TimestampType::LogAppendTime => header.max_timestamp(),
    })
}
