//! The judgement over bytes: what a producer may append, and what a disk gave back.
//!
//! [`validate`] follows Apache Kafka 4.3 (ProduceRequest, UnifiedLog and LogValidator), and is stricter where Kafka
//! lets pass what no client sends: bytes behind the batch, record offsets that are not 0, 1, 2, ..., malformed fields
//! inside compressed records, a delete horizon, LogAppendTime claimed by the producer, a producer without an epoch, a
//! transaction without a producer. It never looks at the CRC, which is checked in the same pass as the copy into the
//! log ([`super::batch::copy_and_verify`]): check it **before** [`Checked::stamp`], which may write a new one.
//!
//! Compressed records are looked into only where a rule depends on them (see [`Rules::walk_compressed`]).

use super::batch::{
    self, BatchHeader, CRC_COVERS_FROM, HEADER_BYTES, LENGTH_AT, LENGTH_PREFIX_BYTES, MAGIC, MAGIC_AT, TimestampType,
};
use super::compress::{Compression, DECOMPRESSED_BYTES_MAX, Fault};
use super::corruption::{Corruption, RecordFault};
use super::crc;
use super::varint::Cursor;
use super::walk::{self, RawRecord};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{NO_PRODUCER_ID, ProducerEpoch, ProducerId};
use crate::model::offset::{LeaderEpoch, NO_TIMESTAMP, Offset, Timestamp};

/// What a topic demands of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The largest batch in bytes (`max.message.bytes`).
    pub message_bytes_max: u32,
    /// Whether every record needs a key (`cleanup.policy` contains `compact`).
    pub compacted: bool,
    /// Who sets the timestamps (`message.timestamp.type`).
    pub timestamp_type: TimestampType,
    /// How much older than now a record may be, in milliseconds (`message.timestamp.before.max.ms`); `i64::MAX` for
    /// any age.
    pub timestamp_before_max_ms: i64,
    /// How far in the future a record may be, in milliseconds (`message.timestamp.after.max.ms`).
    pub timestamp_after_max_ms: i64,
    /// Whether compressed records are always decompressed and walked, as Kafka does. Otherwise only where the topic is
    /// compacted, an age limit is set, or the header's max timestamp is too late or earlier than the base timestamp.
    pub walk_compressed: bool,
    /// Whether a producer's batch may have no sequence numbers, as what coordinators write in transactions of producers.
    pub unnumbered: bool,
}

impl Default for Rules {
    /// Kafka's defaults.
    fn default() -> Rules {
        Rules {
            message_bytes_max: 1024 * 1024 + LOG_OVERHEAD_BYTES,
            compacted: false,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            walk_compressed: false,
            unnumbered: false,
        }
    }
}

/// Kafka's default of `max.message.bytes` is 1 MiB and the length prefix.
const LOG_OVERHEAD_BYTES: u32 = LENGTH_PREFIX_BYTES as u32;

/// The facts of a batch that passed [`validate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Bytes of the whole batch.
    pub bytes: usize,
    /// Records in the batch; at least 1.
    pub records_count: u32,
    /// Last offset minus base offset: `records_count - 1`.
    pub last_offset_delta: i32,
    /// The header's base timestamp in milliseconds.
    pub base_timestamp: Timestamp,
    /// The max timestamp that the stored batch is to carry, in milliseconds: that of its records, or the broker's clock
    /// under LogAppendTime. [`Checked::stamp`] writes it: some clients send another one, and Kafka corrects it.
    pub max_timestamp: Timestamp,
    /// The timestamp type that the stored batch is to carry: the topic's.
    pub timestamp_type: TimestampType,
    /// The idempotent producer's id, -1 for none.
    pub producer_id: ProducerId,
    /// The idempotent producer's epoch.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the first record; not negative if there is a producer.
    pub base_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub is_transactional: bool,
    /// How the records are compressed.
    pub compression: Compression,
}

impl Checked {
    /// Whether an idempotent producer sent the batch.
    pub fn has_producer(&self) -> bool {
        self.producer_id > NO_PRODUCER_ID
    }

    /// Makes the producer's batch the log's: gives it its base offset, its leader epoch, the topic's timestamp type
    /// and the max timestamp. The CRC is taken anew only where the last two change anything, so it must have been
    /// checked.
    ///
    /// # Panics
    /// When `batch` is not the size of the batch that was checked.
    pub fn stamp(&self, batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
        assert_eq!(batch.len(), self.bytes, "the batch that was checked is the one that is stamped");
        batch::set_base_offset(batch, base_offset);
        batch::set_partition_leader_epoch(batch, leader_epoch);
        batch::set_max_timestamp(batch, self.timestamp_type, self.max_timestamp);
    }
}

/// The first version of Produce that may carry zstd (KIP-110).
pub const PRODUCE_VERSION_ZSTD_MIN: i16 = 7;

/// Refuses what this version of the Produce request may not carry.
///
/// # Errors
/// UNSUPPORTED_COMPRESSION_TYPE for zstd below version 7.
pub fn check_produce_version(checked: &Checked, produce_version: i16) -> Result<(), ClientError> {
    if checked.compression == Compression::Zstd && produce_version < PRODUCE_VERSION_ZSTD_MIN {
        return refuse(
            ErrorCode::UnsupportedCompressionType,
            format!(
                "version {produce_version} of Produce does not carry zstd (version {PRODUCE_VERSION_ZSTD_MIN} \
                    does): upgrade the client or set its compression.type to another codec"
            ),
        );
    }
    Ok(())
}

/// Checks everything about one partition's bytes of a Produce request except the CRC, before any of it is appended.
/// `wall_ms` is the broker's clock.
///
/// # Errors
/// - INVALID_RECORD: not exactly one batch; format version 0 or 1; a base offset other than 0; counts, offsets or
///   records that do not fit together; a control batch; a missing sequence number; a missing key in a compacted topic
/// - CORRUPT_MESSAGE: lengths or a format version that no client writes
/// - MESSAGE_TOO_LARGE: larger than the topic allows, or than this broker is ready to decompress
/// - UNSUPPORTED_COMPRESSION_TYPE: an unknown codec
/// - INVALID_TIMESTAMP: too old, too far in the future, or LogAppendTime claimed by the producer
pub fn validate(batch: &[u8], rules: &Rules, wall_ms: Timestamp) -> Result<Checked, ClientError> {
    let header = one_batch(batch)?;
    check_size(batch, rules)?;
    check_offsets(header)?;
    check_producer(header, rules)?;
    let compression = check_attributes(header)?;
    let bounds = TimestampBounds::new(rules, wall_ms);
    let records_max_timestamp = check_records(header, &batch[HEADER_BYTES..], compression, rules, &bounds)?;
    let max_timestamp = match rules.timestamp_type {
        TimestampType::CreateTime => records_max_timestamp,
        TimestampType::LogAppendTime => wall_ms,
    };
    let records_count = u32::try_from(header.records_count()).expect("checked to be positive");
    Ok(Checked {
        bytes: batch.len(),
        records_count,
        last_offset_delta: header.last_offset_delta(),
        base_timestamp: header.base_timestamp(),
        max_timestamp,
        timestamp_type: rules.timestamp_type,
        producer_id: header.producer_id(),
        producer_epoch: header.producer_epoch(),
        base_sequence: header.base_sequence(),
        is_transactional: header.is_transactional(),
        compression,
    })
}

/// Whether the CRC of exactly one whole batch is right. Bytes that are too short for a header have none that is.
pub fn verify_crc(batch: &[u8]) -> bool {
    BatchHeader::read(batch).is_some_and(|header| header.crc() == crc::crc32c(&batch[CRC_COVERS_FROM..]))
}

/// Checks the first batch of bytes that were read back from a disk or came from a leader: it is whole, says nothing
/// that cannot be, and its CRC is right. What follows it is not looked at.
///
/// # Errors
/// What is wrong.
pub fn check_stored(bytes: &[u8]) -> Result<&BatchHeader, Corruption> {
    let (header, batch) = walk::first_batch(bytes)?;
    let (stored, computed) = (header.crc(), crc::crc32c(&batch[CRC_COVERS_FROM..]));
    if stored == computed { Ok(header) } else { Err(Corruption::Crc { stored, computed }) }
}

#[cold]
fn refuse<T>(code: ErrorCode, message: impl Into<String>) -> Result<T, ClientError> {
    Err(ClientError::new(code, message))
}

/// The header of `bytes` if they are one batch of format version 2 and nothing else.
fn one_batch(bytes: &[u8]) -> Result<&BatchHeader, ClientError> {
    let Some(magic) = bytes.get(MAGIC_AT).map(|magic| *magic as i8) else {
        return refuse(
            ErrorCode::InvalidRecord,
            format!("the partition's {} bytes hold no record batch: send exactly one", bytes.len()),
        );
    };
    check_magic(magic)?;
    let claimed = check_length(bytes)?;
    match BatchHeader::read(bytes) {
        Some(header) if claimed == bytes.len() => Ok(header),
        _ => refuse(
            ErrorCode::InvalidRecord,
            format!("{} bytes follow the first batch: send exactly one batch for a partition", bytes.len() - claimed),
        ),
    }
}

fn check_magic(magic: i8) -> Result<(), ClientError> {
    match magic {
        MAGIC => Ok(()),
        0 | 1 => refuse(
            ErrorCode::InvalidRecord,
            format!(
                "message format version {magic} is not accepted: use a client of Kafka 0.11 or later, which \
                    writes record batches (version 2)"
            ),
        ),
        _ => refuse(
            ErrorCode::CorruptMessage,
            format!("there is no message format version {magic}: the request is damaged, or the client broken"),
        ),
    }
}

/// The size of the first batch of `bytes`, which is at least a header and at most all of them.
fn check_length(bytes: &[u8]) -> Result<usize, ClientError> {
    let length = bytes[LENGTH_AT..].first_chunk().map_or(0, |length| i32::from_be_bytes(*length));
    let claimed = i64::from(length) + LENGTH_PREFIX_BYTES as i64;
    match usize::try_from(claimed) {
        Ok(claimed) if claimed > bytes.len() => refuse(
            ErrorCode::InvalidRecord,
            format!("the batch claims {claimed} bytes and {} were sent: send exactly one whole batch", bytes.len()),
        ),
        Ok(claimed) if claimed >= HEADER_BYTES => Ok(claimed),
        _ => refuse(
            ErrorCode::CorruptMessage,
            format!(
                "a batch of {claimed} bytes cannot be, its header alone has {HEADER_BYTES}: the request is \
                    damaged, or the client broken"
            ),
        ),
    }
}

fn check_size(batch: &[u8], rules: &Rules) -> Result<(), ClientError> {
    let bytes_max = rules.message_bytes_max;
    if usize::try_from(bytes_max).is_ok_and(|bytes_max| batch.len() > bytes_max) {
        return refuse(
            ErrorCode::MessageTooLarge,
            format!(
                "the batch has {} bytes and the topic takes {bytes_max}: send smaller batches or raise the \
                    topic's max.message.bytes",
                batch.len()
            ),
        );
    }
    Ok(())
}

fn check_offsets(header: &BatchHeader) -> Result<(), ClientError> {
    if header.base_offset() != 0 {
        return refuse(
            ErrorCode::InvalidRecord,
            format!("the base offset is {}: producers send 0, the broker gives offsets", header.base_offset()),
        );
    }
    let (count, last_offset_delta) = (header.records_count(), header.last_offset_delta());
    if count <= 0 {
        return refuse(ErrorCode::InvalidRecord, format!("the batch claims {count} records: send at least one"));
    }
    // `count` is at least 1, so this cannot underflow.
    if last_offset_delta != count - 1 {
        return refuse(
            ErrorCode::InvalidRecord,
            format!(
                "the batch claims {count} records and a last offset delta of {last_offset_delta}, which has to be {}",
                count - 1
            ),
        );
    }
    Ok(())
}

fn check_producer(header: &BatchHeader, rules: &Rules) -> Result<(), ClientError> {
    if header.is_control() {
        return refuse(ErrorCode::InvalidRecord, "control batches are written by brokers alone: clear the control bit");
    }
    if header.has_producer() {
        if header.base_sequence() < 0 && !rules.unnumbered {
            return refuse(
                ErrorCode::InvalidRecord,
                format!(
                    "producer id {} with base sequence {}: an idempotent producer numbers its records from 0",
                    header.producer_id(),
                    header.base_sequence()
                ),
            );
        }
        if header.producer_epoch() < 0 {
            return refuse(
                ErrorCode::InvalidRecord,
                format!(
                    "producer id {} with epoch {}: send the epoch that InitProducerId gave",
                    header.producer_id(),
                    header.producer_epoch()
                ),
            );
        }
    } else if header.is_transactional() {
        return refuse(
            ErrorCode::InvalidRecord,
            "a transactional batch without a producer id: get one with InitProducerId",
        );
    }
    Ok(())
}

fn check_attributes(header: &BatchHeader) -> Result<Compression, ClientError> {
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return refuse(
            ErrorCode::InvalidTimestamp,
            "the batch claims the timestamp type LogAppendTime, which the broker alone sets: clear the bit and \
                set message.timestamp.type on the topic",
        );
    }
    if header.delete_horizon().is_some() {
        return refuse(
            ErrorCode::InvalidRecord,
            "the batch has a delete horizon, which compaction alone sets: clear the bit",
        );
    }
    match header.compression() {
        Some(compression) => Ok(compression),
        None => refuse(
            ErrorCode::UnsupportedCompressionType,
            format!("compression id {} means nothing: use none, gzip, snappy, lz4 or zstd", header.compression_id()),
        ),
    }
}

/// The timestamps that a topic takes.
struct TimestampBounds {
    oldest: Timestamp,
    newest: Timestamp,
    /// Whether a record may be too old at all.
    has_oldest: bool,
}

impl TimestampBounds {
    fn new(rules: &Rules, wall_ms: Timestamp) -> TimestampBounds {
        match rules.timestamp_type {
            TimestampType::CreateTime => TimestampBounds {
                oldest: wall_ms.saturating_sub(rules.timestamp_before_max_ms),
                newest: wall_ms.saturating_add(rules.timestamp_after_max_ms),
                has_oldest: rules.timestamp_before_max_ms != i64::MAX,
            },
            // The producer's timestamps are not kept, so any will do.
            TimestampType::LogAppendTime => TimestampBounds { oldest: i64::MIN, newest: i64::MAX, has_oldest: false },
        }
    }

    /// "No timestamp" is always taken.
    #[inline]
    fn contain(&self, timestamp: Timestamp) -> bool {
        (self.oldest..=self.newest).contains(&timestamp) || timestamp == NO_TIMESTAMP
    }
}

/// The largest timestamp of the records, after looking at each of them, or as the header claims it where compressed
/// records are taken unseen.
fn check_records(
    header: &BatchHeader,
    body: &[u8],
    compression: Compression,
    rules: &Rules,
    bounds: &TimestampBounds,
) -> Result<Timestamp, ClientError> {
    if compression == Compression::None {
        return walk_records(header, body, rules, bounds);
    }
    // Whatever is wrong with the header's max timestamp, the records have the truth: old clients leave it at -1.
    let claimed = header.max_timestamp();
    let claim_is_doubtful = claimed < header.base_timestamp() || !bounds.contain(claimed);
    let depends_on_timestamps =
        rules.timestamp_type == TimestampType::CreateTime && (bounds.has_oldest || claim_is_doubtful);
    if !(rules.walk_compressed || rules.compacted || depends_on_timestamps) {
        return Ok(claimed);
    }
    match compression.decompress(body, DECOMPRESSED_BYTES_MAX) {
        Ok(decompressed) => walk_records(header, &decompressed, rules, bounds),
        Err(Fault::TooLarge { bytes_max }) => refuse(
            ErrorCode::MessageTooLarge,
            format!(
                "the records decompress to more than the {bytes_max} bytes that this broker looks into: send \
                    smaller batches"
            ),
        ),
        Err(Fault::Malformed) => refuse(
            ErrorCode::InvalidRecord,
            format!(
                "the records are not what {compression} writes: the client is broken, or its compression bits are wrong"
            ),
        ),
    }
}

fn walk_records(
    header: &BatchHeader,
    body: &[u8],
    rules: &Rules,
    bounds: &TimestampBounds,
) -> Result<Timestamp, ClientError> {
    let mut cursor = Cursor::new(body);
    // As in Kafka, a batch whose timestamps are all negative counts as having none.
    let mut max_timestamp = NO_TIMESTAMP;
    for index in 0..header.records_count() {
        let record = match walk::read_record(&mut cursor) {
            Ok(record) => record,
            Err(fault) => return malformed(index, fault),
        };
        let timestamp = check_record(&record, index, header.base_timestamp(), rules, bounds)?;
        max_timestamp = max_timestamp.max(timestamp);
    }
    match cursor.rest().len() {
        0 => Ok(max_timestamp),
        bytes => malformed(header.records_count(), RecordFault::BytesAfterRecords { bytes }),
    }
}

#[cold]
fn malformed<T>(index: i32, fault: RecordFault) -> Result<T, ClientError> {
    refuse(ErrorCode::InvalidRecord, format!("record {index} of the batch is malformed: {fault}; the client is broken"))
}

/// The record's timestamp, if everything about it is right.
#[inline]
fn check_record(
    record: &RawRecord<'_>,
    index: i32,
    base_timestamp: Timestamp,
    rules: &Rules,
    bounds: &TimestampBounds,
) -> Result<Timestamp, ClientError> {
    if record.offset_delta != index {
        return wrong_offset(index, record.offset_delta);
    }
    if rules.compacted && record.key.is_none() {
        return missing_key(index);
    }
    match base_timestamp.checked_add(record.timestamp_delta) {
        Some(timestamp) if bounds.contain(timestamp) => Ok(timestamp),
        timestamp => wrong_timestamp(index, timestamp, bounds),
    }
}

#[cold]
fn wrong_offset(index: i32, offset_delta: i32) -> Result<Timestamp, ClientError> {
    refuse(
        ErrorCode::InvalidRecord,
        format!("record {index} of the batch has offset delta {offset_delta}: number the records 0, 1, 2, ..."),
    )
}

#[cold]
fn missing_key(index: i32) -> Result<Timestamp, ClientError> {
    refuse(
        ErrorCode::InvalidRecord,
        format!(
            "record {index} of the batch has no key, and the topic is compacted: give every record a key, or \
                take 'compact' out of the topic's cleanup.policy"
        ),
    )
}

#[cold]
fn wrong_timestamp(
    index: i32,
    timestamp: Option<Timestamp>,
    bounds: &TimestampBounds,
) -> Result<Timestamp, ClientError> {
    let found = timestamp.map_or("beyond 64 bits".to_owned(), |timestamp| timestamp.to_string());
    let (oldest, newest) = (bounds.oldest, bounds.newest);
    refuse(
        ErrorCode::InvalidTimestamp,
        format!(
            "the timestamp of record {index} of the batch is {found}, and the topic takes {oldest} to {newest}: \
                set the clock of the producer, or the topic's message.timestamp.before.max.ms or \
                message.timestamp.after.max.ms"
        ),
    )
}
