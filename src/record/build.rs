//! Writing batches: what Kafka's own builder writes for the same input, bit for bit where nothing is compressed.

use super::batch::{self, BatchHeader, HEADER_BYTES, HeaderFields, TimestampType};
use super::compress::Compression;
use super::varint::{varlong_bytes, write_varint, write_varlong};
use super::walk::{Header, Record};
use crate::model::ids::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, ProducerEpoch, ProducerId};
use crate::model::offset::{LeaderEpoch, NO_LEADER_EPOCH, NO_TIMESTAMP, Offset, Timestamp};

/// Collects records and writes them as one batch.
///
/// ```
/// use flumen::record::{BatchBuilder, BatchHeader};
/// let mut builder = BatchBuilder::new();
/// builder.append(1_700_000_000_000, Some(b"key"), Some(b"value"), &[]);
/// let batch = builder.build(42);
/// assert_eq!(BatchHeader::read(&batch).map(|header| header.next_offset()), Some(43));
/// ```
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: i32,
    is_transactional: bool,
    is_control: bool,
    partition_leader_epoch: LeaderEpoch,
    append_time: Option<Timestamp>,
    delete_horizon: Option<Timestamp>,
    /// Compaction keeps the last offset of a batch whose last record it drops.
    kept_last_offset_delta: Option<i32>,
    /// Compaction keeps the max timestamp of a batch that it empties.
    max_timestamp_if_empty: Timestamp,
    base_timestamp: Option<Timestamp>,
    max_timestamp: Timestamp,
    last_offset_delta: Option<i32>,
    records_count: i32,
    /// Room for the header, then the records.
    bytes: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> BatchBuilder {
        BatchBuilder::new()
    }
}

impl BatchBuilder {
    /// An empty batch: not compressed, without producer, leader epoch -1, timestamps of the producer's.
    pub fn new() -> BatchBuilder {
        BatchBuilder {
            compression: Compression::None,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            is_transactional: false,
            is_control: false,
            partition_leader_epoch: NO_LEADER_EPOCH,
            append_time: None,
            delete_horizon: None,
            kept_last_offset_delta: None,
            max_timestamp_if_empty: NO_TIMESTAMP,
            base_timestamp: None,
            max_timestamp: NO_TIMESTAMP,
            last_offset_delta: None,
            records_count: 0,
            bytes: vec![0; HEADER_BYTES],
        }
    }

    /// An empty batch that takes the place of a stored one, for compaction: its offsets, producer, flags, leader
    /// epoch and timestamp type are kept even if records, down to all of them, are left out; `delete_horizon` is the
    /// time from which its tombstones and markers may go (KIP-534). Records come by [`BatchBuilder::append_kept`];
    /// the base offset to build with is the stored one.
    pub fn replacing(stored: &BatchHeader, delete_horizon: Option<Timestamp>) -> BatchBuilder {
        let is_append_time = stored.timestamp_type() == TimestampType::LogAppendTime;
        BatchBuilder {
            compression: stored.compression().unwrap_or_default(),
            producer_id: stored.producer_id(),
            producer_epoch: stored.producer_epoch(),
            base_sequence: stored.base_sequence(),
            is_transactional: stored.is_transactional(),
            is_control: stored.is_control(),
            partition_leader_epoch: stored.partition_leader_epoch(),
            append_time: is_append_time.then(|| stored.max_timestamp()),
            delete_horizon,
            kept_last_offset_delta: Some(stored.last_offset_delta()),
            max_timestamp_if_empty: stored.max_timestamp(),
            ..BatchBuilder::new()
        }
    }

    /// Compresses the records when the batch is built.
    pub fn compression(mut self, compression: Compression) -> BatchBuilder {
        self.compression = compression;
        self
    }

    /// The idempotent producer and the sequence number of the first record; -1 for the latter in control batches.
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> BatchBuilder {
        (self.producer_id, self.producer_epoch, self.base_sequence) = (id, epoch, base_sequence);
        self
    }

    /// Makes the batch part of its producer's transaction.
    pub fn transactional(mut self) -> BatchBuilder {
        self.is_transactional = true;
        self
    }

    /// Makes the records control records.
    pub fn control(mut self) -> BatchBuilder {
        self.is_control = true;
        self
    }

    /// The epoch of the leader that appends the batch.
    pub fn leader_epoch(mut self, epoch: LeaderEpoch) -> BatchBuilder {
        self.partition_leader_epoch = epoch;
        self
    }

    /// Makes the timestamp type LogAppendTime, with `wall_ms` as every record's timestamp.
    pub fn append_time(mut self, wall_ms: Timestamp) -> BatchBuilder {
        self.append_time = Some(wall_ms);
        self
    }

    /// Adds a record at the offset after the last one. `None` is null, for the key, the value and header values.
    pub fn append(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
    ) -> &mut BatchBuilder {
        let offset_delta = self.last_offset_delta.map_or(0, |last| last + 1);
        let headers_bytes = headers.iter().map(|header| sized(Some(header.key)) + sized(header.value)).sum();
        let delta = self.begin_record(offset_delta, timestamp, key, value, (headers.len(), headers_bytes));
        self.write_fields(offset_delta, delta, key, value, headers.len());
        for header in headers {
            write_nullable(&mut self.bytes, Some(header.key));
            write_nullable(&mut self.bytes, header.value);
        }
        self
    }

    /// Adds a record of a stored batch at the offset delta it has there, for compaction.
    ///
    /// # Panics
    /// When the delta is not above that of the record before.
    pub fn append_kept(&mut self, offset_delta: i32, record: &Record<'_>) -> &mut BatchBuilder {
        let headers = record.headers;
        let (timestamp, key, value) = (record.timestamp, record.key, record.value);
        let delta = self.begin_record(offset_delta, timestamp, key, value, (headers.len(), headers.bytes().len()));
        self.write_fields(offset_delta, delta, key, value, headers.len());
        self.bytes.extend_from_slice(headers.bytes());
        self
    }

    /// Records added so far.
    pub fn records_count(&self) -> usize {
        self.records_count as usize
    }

    /// Bytes of the batch if it were built now and not compressed.
    pub fn uncompressed_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The batch, whose first offset is `base_offset`.
    ///
    /// # Panics
    /// When no record was added and the batch replaces none, or when it has 2 GiB or more.
    pub fn build(mut self, base_offset: Offset) -> Vec<u8> {
        let fields = self.fields(base_offset);
        if self.records_count > 0 && self.compression != Compression::None {
            let compressed = self.compression.compress(&self.bytes[HEADER_BYTES..]);
            self.bytes.truncate(HEADER_BYTES);
            self.bytes.extend_from_slice(&compressed);
        }
        batch::write_header(&mut self.bytes, &fields);
        self.bytes
    }

    fn fields(&self, base_offset: Offset) -> HeaderFields {
        let is_empty = self.records_count == 0;
        let last_offset_delta = self.kept_last_offset_delta.or(self.last_offset_delta);
        let max_timestamp = if is_empty { self.max_timestamp_if_empty } else { self.max_timestamp };
        let append_time = self.append_time;
        HeaderFields {
            base_offset,
            partition_leader_epoch: self.partition_leader_epoch,
            // An emptied batch is a mere header, and Kafka's says neither codec nor horizon.
            compression: if is_empty { Compression::None } else { self.compression },
            timestamp_type: append_time.map_or(TimestampType::CreateTime, |_| TimestampType::LogAppendTime),
            is_transactional: self.is_transactional,
            is_control: self.is_control,
            has_delete_horizon: !is_empty && self.delete_horizon.is_some(),
            last_offset_delta: last_offset_delta.expect("a batch has a record, or takes the place of one that had"),
            base_timestamp: self.base_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp: append_time.unwrap_or(max_timestamp),
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            records_count: self.records_count,
        }
    }

    /// Counts a record in and writes its length; returns its timestamp delta. `headers` are their number and bytes.
    fn begin_record(
        &mut self,
        offset_delta: i32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: (usize, usize),
    ) -> i64 {
        assert!(self.last_offset_delta.is_none_or(|last| last < offset_delta), "offsets rise within a batch");
        assert!(offset_delta >= 0, "offsets count from the base offset");
        let base = *self.base_timestamp.get_or_insert(self.delete_horizon.unwrap_or(timestamp));
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.last_offset_delta = Some(offset_delta);
        self.records_count += 1;
        // As in Kafka the difference wraps around, and so does the sum that undoes it.
        let timestamp_delta = timestamp.wrapping_sub(base);
        let body = 1
            + varlong_bytes(timestamp_delta)
            + varlong_bytes(i64::from(offset_delta))
            + sized(key)
            + sized(value)
            + varlong_bytes(headers.0 as i64)
            + headers.1;
        write_varint(&mut self.bytes, length(body));
        timestamp_delta
    }

    fn write_fields(
        &mut self,
        offset_delta: i32,
        timestamp_delta: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers_count: usize,
    ) {
        /// No attribute of a single record has a meaning yet.
        const RECORD_ATTRIBUTES: u8 = 0;
        self.bytes.push(RECORD_ATTRIBUTES);
        write_varlong(&mut self.bytes, timestamp_delta);
        write_varint(&mut self.bytes, offset_delta);
        write_nullable(&mut self.bytes, key);
        write_nullable(&mut self.bytes, value);
        write_varint(&mut self.bytes, length(headers_count));
    }
}

/// Bytes that a length and so many bytes take.
fn sized(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varlong_bytes(bytes.len() as i64) + bytes.len())
}

fn write_nullable(to: &mut Vec<u8>, bytes: Option<&[u8]>) {
    /// The length of null.
    const NULL: i32 = -1;
    write_varint(to, bytes.map_or(NULL, |bytes| length(bytes.len())));
    to.extend_from_slice(bytes.unwrap_or_default());
}

fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("a record is below 2 GiB")
}
