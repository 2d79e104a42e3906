//! What a read of one partition means: epoch, bounds, limits.

use std::rc::Rc;

use super::shard::Shard;
use crate::log::reader::{Piece, ReadError};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::offset::{LeaderEpoch, NO_LEADER_EPOCH, Offset};
use crate::producer::transaction_index::AbortedTransaction;

/// Which records a consumer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// All below the high watermark.
    ReadUncommitted,
    /// All below the last stable offset.
    ReadCommitted,
}

/// What a read brought.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Whole batches, in order.
    pub pieces: Vec<Piece>,
    /// Their bytes.
    pub bytes: u32,
    /// The high watermark at the time of the read.
    pub high_watermark: Offset,
    /// The last stable offset at that time.
    pub last_stable_offset: Offset,
    /// The log start offset at that time.
    pub log_start_offset: Offset,
    /// For `read_committed`, the aborted transactions whose records are among what was read.
    pub aborted: Option<Vec<AbortedTransaction>>,
}

impl Fetched {
    /// What could be read up to under `isolation` at the time of the read.
    pub fn readable(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark,
            Isolation::ReadCommitted => self.last_stable_offset,
        }
    }
}

impl Shard {
    /// Reads whole batches from the one that holds `from` on, at most `bytes_max` (one batch even if larger when
    /// `at_least_one`), below the high watermark or the last stable offset. Ready on the first poll when it is served
    /// from the tail.
    ///
    /// # Errors
    /// OFFSET_OUT_OF_RANGE, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH; KAFKA_STORAGE_ERROR or CORRUPT_MESSAGE when the
    /// log cannot be read.
    pub async fn read(
        self: &Rc<Self>,
        from: Offset,
        bytes_max: u32,
        at_least_one: bool,
        isolation: Isolation,
        current_leader_epoch: LeaderEpoch,
    ) -> Result<Fetched, ClientError> {
        self.check_leader_epoch(current_leader_epoch)?;
        let offsets = self.offsets();
        if from < offsets.log_start || from > offsets.log_end {
            return Err(out_of_range(from, offsets.log_start, offsets.log_end));
        }
        let read = match self.log().read(from, self.readable(isolation), bytes_max, at_least_one).await {
            Ok(read) => read,
            Err(ReadError::OutOfRange) => return Err(out_of_range(from, self.log().start(), self.log().end())),
            Err(error) => return Err(client_error(error)),
        };
        let aborted = match isolation {
            Isolation::ReadUncommitted => None,
            Isolation::ReadCommitted => Some(self.aborted_between(from, read.next_offset).await?),
        };
        let pieces = read.pieces;
        Ok(Fetched {
            aborted,
            bytes: pieces.iter().map(Piece::bytes).sum(),
            pieces,
            high_watermark: offsets.high_watermark,
            last_stable_offset: offsets.last_stable,
            log_start_offset: offsets.log_start,
        })
    }

    pub(super) fn readable(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadUncommitted => self.offsets().high_watermark,
            Isolation::ReadCommitted => self.offsets().last_stable,
        }
    }

    /// Compares the client's idea of the leader epoch with ours (KIP-320); -1 asks for no comparison.
    pub(super) fn check_leader_epoch(&self, current: LeaderEpoch) -> Result<(), ClientError> {
        let ours = self.leader_epoch();
        if current == NO_LEADER_EPOCH || current == ours {
            return Ok(());
        }
        let (code, what) = if current < ours {
            (ErrorCode::FencedLeaderEpoch, "is older than")
        } else {
            (ErrorCode::UnknownLeaderEpoch, "is newer than")
        };
        Err(ClientError::new(
            code,
            format!("leader epoch {current} {what} the current one, {ours}: refresh the metadata"),
        ))
    }
}

fn out_of_range(from: Offset, start: Offset, end: Offset) -> ClientError {
    ClientError::new(
        ErrorCode::OffsetOutOfRange,
        format!("offset {from} is not in the log, which goes from {start} to {end}"),
    )
}

/// What a client is told of a read that failed.
pub(super) fn client_error(error: ReadError) -> ClientError {
    match error {
        ReadError::OutOfRange => ClientError::new(ErrorCode::OffsetOutOfRange, "the offset is not in the log"),
        ReadError::Corrupt(why) => ClientError::new(ErrorCode::CorruptMessage, why),
        ReadError::Io(why) => ClientError::new(ErrorCode::KafkaStorageError, why),
        ReadError::Memory => {
            ClientError::new(ErrorCode::KafkaStorageError, "no memory for the read could be had in time: try again")
        }
    }
}
