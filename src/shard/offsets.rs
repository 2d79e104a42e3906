//! The offsets that a shard answers with, and look-ups by time and by leader epoch.

use std::rc::Rc;

use super::append::refusal;
use super::read::{Isolation, client_error};
use super::shard::Shard;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::offset::{LeaderEpoch, NO_LEADER_EPOCH, NO_TIMESTAMP, Offset, Timestamp, list_offsets};

/// The offsets of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// Offset of the first record.
    pub log_start: Offset,
    /// Offset after the last record.
    pub log_end: Offset,
    /// What consumers may read up to.
    pub high_watermark: Offset,
    /// What `read_committed` consumers may read up to.
    pub last_stable: Offset,
    /// The epoch of this leadership.
    pub leader_epoch: LeaderEpoch,
}

/// An offset with its record's timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The offset, -1 for none.
    pub offset: Offset,
    /// The record's timestamp, -1 for none.
    pub timestamp: Timestamp,
    /// The leader epoch under which the record was appended, -1 if unknown.
    pub leader_epoch: LeaderEpoch,
}

impl Shard {
    /// The partition's offsets now.
    pub fn offsets(&self) -> Offsets {
        let high_watermark = self.high_watermark();
        Offsets {
            log_start: self.log().durable_start(),
            log_end: self.log().end(),
            high_watermark,
            last_stable: self.last_stable_offset(),
            leader_epoch: self.leader_epoch(),
        }
    }

    /// The offset for a timestamp of ListOffsets: the first record at or after it, or one of the special ones. Exact to
    /// the record.
    ///
    /// # Errors
    /// KAFKA_STORAGE_ERROR or CORRUPT_MESSAGE when the log cannot be read; UNSUPPORTED_VERSION for a special timestamp
    /// that is not known.
    pub async fn offset_for_timestamp(
        self: &Rc<Self>,
        timestamp: Timestamp,
        isolation: Isolation,
    ) -> Result<TimestampOffset, ClientError> {
        let offsets = self.offsets();
        let readable = self.readable(isolation);
        let at = |offset: Offset| TimestampOffset {
            offset,
            timestamp: NO_TIMESTAMP,
            leader_epoch: self.log().epoch_of(offset),
        };
        let none = TimestampOffset { offset: -1, timestamp: NO_TIMESTAMP, leader_epoch: NO_LEADER_EPOCH };
        match timestamp {
            list_offsets::LATEST => Ok(TimestampOffset { leader_epoch: self.leader_epoch(), ..at(readable) }),
            list_offsets::EARLIEST | list_offsets::EARLIEST_LOCAL => Ok(self.start_of_log(&offsets)),
            // Nothing is tiered.
            list_offsets::LATEST_TIERED | list_offsets::EARLIEST_PENDING_UPLOAD => Ok(none),
            list_offsets::MAX_TIMESTAMP | 0.. => {
                let found = match timestamp {
                    list_offsets::MAX_TIMESTAMP => self.log().record_of_max_timestamp().await,
                    _ => self.log().offset_for_timestamp(timestamp).await,
                };
                let found = found.map_err(client_error)?;
                let visible = found.filter(|(offset, _)| *offset < readable);
                Ok(visible.map_or(none, |(offset, timestamp)| TimestampOffset { timestamp, ..at(offset) }))
            }
            other => Err(ClientError::new(
                ErrorCode::UnsupportedVersion,
                format!("timestamp {other} has no meaning: ask for a time, or for -1 to -6"),
            )),
        }
    }

    /// The log start, with the leader epoch of the record there, or of the next one where there is none.
    fn start_of_log(&self, offsets: &Offsets) -> TimestampOffset {
        let is_empty = offsets.log_start == offsets.log_end;
        let leader_epoch = if is_empty { self.leader_epoch() } else { self.log().epoch_of(offsets.log_start) };
        TimestampOffset { offset: offsets.log_start, timestamp: NO_TIMESTAMP, leader_epoch }
    }

    /// Deletes the records before the offset `before` (DeleteRecords, KIP-107); -1 stands for the high watermark. Gives the
    /// new log start offset, which is durable.
    ///
    /// # Errors
    /// OFFSET_OUT_OF_RANGE beyond the high watermark; KAFKA_STORAGE_ERROR when the storage is offline.
    pub async fn delete_records(self: &Rc<Self>, before: Offset) -> Result<Offset, ClientError> {
        let high_watermark = self.high_watermark();
        let to = if before == -1 { high_watermark } else { before };
        if to < 0 || to > high_watermark {
            let message =
                format!("records before offset {to} cannot be deleted: the high watermark is {high_watermark}");
            return Err(ClientError::new(ErrorCode::OffsetOutOfRange, message));
        }
        self.log().delete_before(to).await.map_err(refusal)?;
        let start = self.log().durable_start();
        self.aborted().start_at(start, self.log().oldest_segment());
        Ok(start)
    }

    /// Where the largest leader epoch not above `epoch` ends (OffsetForLeaderEpoch, KIP-101 and KIP-320).
    ///
    /// # Errors
    /// FENCED_LEADER_EPOCH or UNKNOWN_LEADER_EPOCH when the client's idea of the current epoch is not ours.
    pub fn end_offset_for_epoch(
        &self,
        epoch: LeaderEpoch,
        current_leader_epoch: LeaderEpoch,
    ) -> Result<(LeaderEpoch, Offset), ClientError> {
        self.check_leader_epoch(current_leader_epoch)?;
        if epoch == self.leader_epoch() {
            return Ok((epoch, self.log().end()));
        }
        Ok(self.log().end_offset_for_epoch(epoch))
    }
}
