//! Control records: what brokers write into a log for brokers and clients to read, hidden from consumers.
//!
//! The key is a version (i16, 0) and a type (i16); the value depends on the type. Higher versions only add fields
//! behind, so they are read as version 0 (Kafka's `ControlRecordTypeSchema` and `EndTxnMarker`).

use super::batch::{BatchHeader, HEADER_BYTES};
use super::build::BatchBuilder;
use super::corruption::Corruption;
use super::walk::{self, Record};
use crate::model::ids::{NO_SEQUENCE, ProducerEpoch, ProducerId};
use crate::model::offset::{LeaderEpoch, Offset, Timestamp};

/// The version written in keys and end-transaction values.
const VERSION: i16 = 0;
/// Bytes of a control record's key.
const KEY_BYTES: usize = 4;
/// Bytes of an end-transaction marker's value: version i16, coordinator epoch i32.
const END_TRANSACTION_VALUE_BYTES: usize = 6;
/// Bytes of a batch that holds one end-transaction marker: the header and a record of 17 bytes, which are its length,
/// attributes, timestamp delta, offset delta, key (1 + 4), value (1 + 6) and headers count.
pub const END_TRANSACTION_BATCH_BYTES: usize = HEADER_BYTES + 5 + KEY_BYTES + 1 + END_TRANSACTION_VALUE_BYTES + 1;

/// What a control record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlType {
    /// The transaction of the batch's producer is aborted.
    Abort,
    /// The transaction of the batch's producer is committed.
    Commit,
    /// A metadata quorum elected a leader (KIP-595).
    LeaderChange,
    /// A metadata snapshot begins (KIP-630).
    SnapshotHeader,
    /// A metadata snapshot ends.
    SnapshotFooter,
    /// The quorum's protocol version (KIP-853).
    KraftVersion,
    /// The quorum's voters (KIP-853).
    KraftVoters,
    /// A type of a later Kafka, to be passed over.
    Unknown(i16),
}

impl ControlType {
    /// The type with this number.
    pub fn from_id(id: i16) -> ControlType {
        match id {
            0 => ControlType::Abort,
            1 => ControlType::Commit,
            2 => ControlType::LeaderChange,
            3 => ControlType::SnapshotHeader,
            4 => ControlType::SnapshotFooter,
            5 => ControlType::KraftVersion,
            6 => ControlType::KraftVoters,
            other => ControlType::Unknown(other),
        }
    }

    /// The number of this type.
    pub fn id(self) -> i16 {
        match self {
            ControlType::Abort => 0,
            ControlType::Commit => 1,
            ControlType::LeaderChange => 2,
            ControlType::SnapshotHeader => 3,
            ControlType::SnapshotFooter => 4,
            ControlType::KraftVersion => 5,
            ControlType::KraftVoters => 6,
            ControlType::Unknown(id) => id,
        }
    }

    /// The key of a control record of this type.
    pub fn key(self) -> [u8; KEY_BYTES] {
        let ([a, b], [c, d]) = (VERSION.to_be_bytes(), self.id().to_be_bytes());
        [a, b, c, d]
    }

    /// The type that the key of a control record names; `None` if it is no such key.
    pub fn from_key(key: &[u8]) -> Option<ControlType> {
        let (version, rest) = key.split_first_chunk::<2>()?;
        let (id, _) = rest.split_first_chunk::<2>()?;
        (i16::from_be_bytes(*version) >= VERSION).then(|| ControlType::from_id(i16::from_be_bytes(*id)))
    }
}

/// The end of a transaction in one partition (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    /// Whether the transaction is committed; aborted otherwise.
    pub is_commit: bool,
    /// Epoch of the transaction coordinator that ended it; a coordinator with a lower one is out of date.
    pub coordinator_epoch: i32,
}

impl EndTransaction {
    /// The type of the control record.
    pub fn control_type(self) -> ControlType {
        if self.is_commit { ControlType::Commit } else { ControlType::Abort }
    }

    /// The value of the control record.
    pub fn value(self) -> [u8; END_TRANSACTION_VALUE_BYTES] {
        let ([a, b], [c, d, e, f]) = (VERSION.to_be_bytes(), self.coordinator_epoch.to_be_bytes());
        [a, b, c, d, e, f]
    }

    /// Reads a control record; `None` if it is of another type, or malformed.
    pub fn from_record(record: &Record<'_>) -> Option<EndTransaction> {
        let is_commit = match ControlType::from_key(record.key?)? {
            ControlType::Commit => true,
            ControlType::Abort => false,
            _ => return None,
        };
        let (version, rest) = record.value?.split_first_chunk::<2>()?;
        let (coordinator_epoch, _) = rest.split_first_chunk::<4>()?;
        let coordinator_epoch = i32::from_be_bytes(*coordinator_epoch);
        (i16::from_be_bytes(*version) >= VERSION).then_some(EndTransaction { is_commit, coordinator_epoch })
    }

    /// The batch that ends the transaction of `producer_id` in a partition, as Kafka writes it: one control record.
    pub fn batch(
        self,
        base_offset: Offset,
        wall_ms: Timestamp,
        leader_epoch: LeaderEpoch,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
    ) -> Vec<u8> {
        let mut builder = BatchBuilder::new()
            .producer(producer_id, producer_epoch, NO_SEQUENCE)
            .transactional()
            .control()
            .leader_epoch(leader_epoch);
        builder.append(wall_ms, Some(&self.control_type().key()), Some(&self.value()), &[]);
        builder.build(base_offset)
    }
}

/// The end of a transaction that the control batch at the front of `bytes` tells; `None` if it is no control batch or
/// tells something else.
///
/// # Errors
/// When the batch cannot be read.
pub fn end_transaction_of(bytes: &[u8]) -> Result<Option<EndTransaction>, Corruption> {
    if !BatchHeader::read(bytes).is_some_and(BatchHeader::is_control) {
        return Ok(None);
    }
    let records = walk::records(bytes)?;
    let first = records.iter().next().transpose()?;
    Ok(first.and_then(|record| EndTransaction::from_record(&record)))
}
