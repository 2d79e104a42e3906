//! The header of a record batch: 61 big-endian bytes, read where they lie and patched where they lie.
//!
//! ```text
//!  0 base offset i64            17 CRC-32C u32 of all that follows    43 producer id i64
//!  8 batch length i32           21 attributes i16                     51 producer epoch i16
//! 12 partition leader epoch i32 23 last offset delta i32              53 base sequence i32
//! 16 magic i8 (2)               27 base timestamp i64                 57 records count i32
//!                               35 max timestamp i64                  61 records
//! ```
//!
//! The batch length counts what follows it. The CRC covers the attributes and everything after them, so a broker gives
//! a batch its offset and its leader epoch without touching the CRC.

use zerocopy::byteorder::big_endian::{I16, I32, I64, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::compress::Compression;
use super::crc;
use crate::model::ids::{NO_PRODUCER_ID, ProducerEpoch, ProducerId};
use crate::model::offset::{LeaderEpoch, Offset, Timestamp};

/// Size of the header of a batch, in bytes.
pub const HEADER_BYTES: usize = 61;
/// Size of the base offset and the batch length, which the batch length does not count, in bytes.
pub const LENGTH_PREFIX_BYTES: usize = 12;
/// The format version of every batch this broker stores.
pub const MAGIC: i8 = 2;
/// Position of the batch length, which has the same place in all format versions.
pub(super) const LENGTH_AT: usize = 8;
/// Position of the magic byte, which has the same place in all format versions.
pub(super) const MAGIC_AT: usize = 16;
/// Position of the first byte that the CRC covers: the attributes.
pub const CRC_COVERS_FROM: usize = 21;

const COMPRESSION_MASK: i16 = 0x07;
const LOG_APPEND_TIME_FLAG: i16 = 0x08;
const TRANSACTIONAL_FLAG: i16 = 0x10;
const CONTROL_FLAG: i16 = 0x20;
const DELETE_HORIZON_FLAG: i16 = 0x40;
/// The attribute bits that have a meaning; Kafka clears the others whenever it rewrites the attributes.
const KNOWN_FLAGS: i16 = 0x7f;

const BASE_OFFSET_AT: usize = 0;
const LEADER_EPOCH_AT: usize = 12;
const CRC_AT: usize = 17;
const MAX_TIMESTAMP_AT: usize = 35;

/// Who set the timestamps of a batch's records (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer, for each record.
    #[default]
    CreateTime,
    /// The broker, for the batch as a whole: every record has the batch's max timestamp.
    LogAppendTime,
}

/// The header of a batch, as it lies in memory. Reading it checks nothing but that the bytes are there:
/// [`super::validate()`] and [`super::check_stored`] judge the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct BatchHeader {
    base_offset: I64,
    batch_length: I32,
    partition_leader_epoch: I32,
    magic: i8,
    crc: U32,
    attributes: I16,
    last_offset_delta: I32,
    base_timestamp: I64,
    max_timestamp: I64,
    producer_id: I64,
    producer_epoch: I16,
    base_sequence: I32,
    records_count: I32,
}

const _: () = assert!(size_of::<BatchHeader>() == HEADER_BYTES && align_of::<BatchHeader>() == 1);

impl BatchHeader {
    /// The header at the front of `bytes`, or `None` if fewer than 61 bytes are there.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<&BatchHeader> {
        BatchHeader::ref_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    /// Offset of the first record. Kept by compaction even when that record is gone.
    #[inline]
    pub fn base_offset(&self) -> Offset {
        self.base_offset.get()
    }

    /// Offset of the last record. Kept by compaction even when that record is gone. Saturates; checked batches never
    /// do.
    #[inline]
    pub fn last_offset(&self) -> Offset {
        self.base_offset().saturating_add(i64::from(self.last_offset_delta()))
    }

    /// The offset after the last record. Saturates; checked batches never do.
    #[inline]
    pub fn next_offset(&self) -> Offset {
        self.last_offset().saturating_add(1)
    }

    /// Bytes of the batch behind this field, as the header claims.
    #[inline]
    pub fn batch_length(&self) -> i32 {
        self.batch_length.get()
    }

    /// Bytes of the whole batch, from the base offset to the last record; `None` if the header's length is negative
    /// or too small for a header.
    #[inline]
    pub fn total_bytes(&self) -> Option<usize> {
        let total = usize::try_from(self.batch_length()).ok()?.checked_add(LENGTH_PREFIX_BYTES)?;
        (total >= HEADER_BYTES).then_some(total)
    }

    /// Epoch of the leader that appended the batch (KIP-101); -1 as producers send it.
    #[inline]
    pub fn partition_leader_epoch(&self) -> LeaderEpoch {
        self.partition_leader_epoch.get()
    }

    /// Format version of the batch.
    #[inline]
    pub fn magic(&self) -> i8 {
        self.magic
    }

    /// CRC-32C of everything from the attributes on, as stored.
    #[inline]
    pub fn crc(&self) -> u32 {
        self.crc.get()
    }

    /// The attribute bits.
    #[inline]
    pub fn attributes(&self) -> i16 {
        self.attributes.get()
    }

    /// Last offset minus base offset.
    #[inline]
    pub fn last_offset_delta(&self) -> i32 {
        self.last_offset_delta.get()
    }

    /// What the records' timestamp deltas count from, in milliseconds: the first record's timestamp, or the delete
    /// horizon where there is one.
    #[inline]
    pub fn base_timestamp(&self) -> Timestamp {
        self.base_timestamp.get()
    }

    /// The largest timestamp of the records, in milliseconds; that of every record under
    /// [`TimestampType::LogAppendTime`].
    #[inline]
    pub fn max_timestamp(&self) -> Timestamp {
        self.max_timestamp.get()
    }

    /// The idempotent producer's id, -1 for none.
    #[inline]
    pub fn producer_id(&self) -> ProducerId {
        self.producer_id.get()
    }

    /// The idempotent producer's epoch, -1 for none.
    #[inline]
    pub fn producer_epoch(&self) -> ProducerEpoch {
        self.producer_epoch.get()
    }

    /// Sequence number of the first record, -1 for none.
    #[inline]
    pub fn base_sequence(&self) -> i32 {
        self.base_sequence.get()
    }

    /// Records present in the batch; fewer than offsets after compaction, down to none.
    #[inline]
    pub fn records_count(&self) -> i32 {
        self.records_count.get()
    }

    /// How the records are compressed, or `None` for the three ids that mean nothing (5 to 7).
    #[inline]
    pub fn compression(&self) -> Option<Compression> {
        Compression::from_id(self.compression_id())
    }

    /// The compression id of the attributes, 0 to 7.
    #[inline]
    pub fn compression_id(&self) -> i16 {
        self.attributes() & COMPRESSION_MASK
    }

    /// Who set the timestamps.
    #[inline]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.has_flag(LOG_APPEND_TIME_FLAG) { TimestampType::LogAppendTime } else { TimestampType::CreateTime }
    }

    /// Whether the batch belongs to a transaction.
    #[inline]
    pub fn is_transactional(&self) -> bool {
        self.has_flag(TRANSACTIONAL_FLAG)
    }

    /// Whether the records are control records, which only brokers write and consumers never show.
    #[inline]
    pub fn is_control(&self) -> bool {
        self.has_flag(CONTROL_FLAG)
    }

    /// Whether an idempotent producer sent the batch.
    #[inline]
    pub fn has_producer(&self) -> bool {
        self.producer_id() > NO_PRODUCER_ID
    }

    /// When tombstones and transaction markers of the batch may go, in milliseconds, once compaction has set it
    /// (KIP-534).
    #[inline]
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.has_flag(DELETE_HORIZON_FLAG).then(|| self.base_timestamp())
    }

    #[inline]
    fn has_flag(&self, flag: i16) -> bool {
        self.attributes() & flag != 0
    }
}

/// The fields of a header to be written; [`write_header`] gives them their places.
pub(super) struct HeaderFields {
    pub base_offset: Offset,
    pub partition_leader_epoch: LeaderEpoch,
    pub compression: Compression,
    pub timestamp_type: TimestampType,
    pub is_transactional: bool,
    pub is_control: bool,
    pub has_delete_horizon: bool,
    pub last_offset_delta: i32,
    pub base_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: i32,
    pub records_count: i32,
}

impl HeaderFields {
    fn attributes(&self) -> i16 {
        let mut attributes = self.compression.id();
        let flags = [
            (self.timestamp_type == TimestampType::LogAppendTime, LOG_APPEND_TIME_FLAG),
            (self.is_transactional, TRANSACTIONAL_FLAG),
            (self.is_control, CONTROL_FLAG),
            (self.has_delete_horizon, DELETE_HORIZON_FLAG),
        ];
        for (_, flag) in flags.iter().filter(|(set, _)| *set) {
            attributes |= flag;
        }
        attributes
    }
}

/// Writes the header over the first 61 bytes of `batch`, whose records are in place, with its length and CRC.
///
/// # Panics
/// When `batch` is shorter than a header or longer than 2 GiB.
pub(super) fn write_header(batch: &mut [u8], fields: &HeaderFields) {
    let length = i32::try_from(batch.len() - LENGTH_PREFIX_BYTES).expect("a batch is below 2 GiB");
    let header = BatchHeader {
        base_offset: fields.base_offset.into(),
        batch_length: length.into(),
        partition_leader_epoch: fields.partition_leader_epoch.into(),
        magic: MAGIC,
        crc: 0.into(),
        attributes: fields.attributes().into(),
        last_offset_delta: fields.last_offset_delta.into(),
        base_timestamp: fields.base_timestamp.into(),
        max_timestamp: fields.max_timestamp.into(),
        producer_id: fields.producer_id.into(),
        producer_epoch: fields.producer_epoch.into(),
        base_sequence: fields.base_sequence.into(),
        records_count: fields.records_count.into(),
    };
    batch[..HEADER_BYTES].copy_from_slice(header.as_bytes());
    write_crc(batch);
}

/// Gives the batch its place in the log; the CRC does not cover it.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn set_base_offset(batch: &mut [u8], base_offset: Offset) {
    put(batch, BASE_OFFSET_AT, base_offset.to_be_bytes());
}

/// Tells which leader appended the batch (KIP-101); the CRC does not cover it.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn set_partition_leader_epoch(batch: &mut [u8], epoch: LeaderEpoch) {
    put(batch, LEADER_EPOCH_AT, epoch.to_be_bytes());
}

/// Stamps exactly one whole batch with the broker's clock: the timestamp type becomes LogAppendTime and the max
/// timestamp `wall_ms`, the base timestamp stays, the CRC follows. This is what Kafka writes for
/// `message.timestamp.type=LogAppendTime`.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn set_append_time(batch: &mut [u8], wall_ms: Timestamp) {
    set_max_timestamp(batch, TimestampType::LogAppendTime, wall_ms);
}

/// Sets timestamp type and max timestamp of exactly one whole batch, and the CRC if that changed anything. As in Kafka,
/// attribute bits without a meaning are cleared on the way.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn set_max_timestamp(batch: &mut [u8], timestamp_type: TimestampType, max_timestamp: Timestamp) {
    let header = BatchHeader::read(batch).expect("the caller has a whole batch");
    if header.timestamp_type() == timestamp_type && header.max_timestamp() == max_timestamp {
        return;
    }
    let attributes = match timestamp_type {
        TimestampType::CreateTime => header.attributes() & KNOWN_FLAGS & !LOG_APPEND_TIME_FLAG,
        TimestampType::LogAppendTime => (header.attributes() & KNOWN_FLAGS) | LOG_APPEND_TIME_FLAG,
    };
    put(batch, CRC_COVERS_FROM, attributes.to_be_bytes());
    put(batch, MAX_TIMESTAMP_AT, max_timestamp.to_be_bytes());
    write_crc(batch);
}

/// The CRC-32C that `batch`, exactly one whole batch, should carry; `None` if it is shorter than a header.
pub fn computed_crc(batch: &[u8]) -> Option<u32> {
    BatchHeader::read(batch).map(|_| crc::crc32c(&batch[CRC_COVERS_FROM..]))
}

/// Copies exactly one whole batch and tells whether its CRC is right, in one pass over the bytes.
///
/// # Panics
/// When the lengths differ.
pub fn copy_and_verify(to: &mut [u8], batch: &[u8]) -> bool {
    assert_eq!(to.len(), batch.len(), "a batch is copied whole");
    let Some(header) = BatchHeader::read(batch) else {
        to.copy_from_slice(batch);
        return false;
    };
    to[..CRC_COVERS_FROM].copy_from_slice(&batch[..CRC_COVERS_FROM]);
    crc::copy_crc32c(&mut to[CRC_COVERS_FROM..], &batch[CRC_COVERS_FROM..]) == header.crc()
}

fn write_crc(batch: &mut [u8]) {
    let crc = crc::crc32c(&batch[CRC_COVERS_FROM..]);
    put(batch, CRC_AT, crc.to_be_bytes());
}

fn put<const BYTES: usize>(batch: &mut [u8], at: usize, bytes: [u8; BYTES]) {
    assert!(batch.len() >= HEADER_BYTES, "a batch has {HEADER_BYTES} bytes of header, this one {}", batch.len());
    batch[at..at + BYTES].copy_from_slice(&bytes);
}
