//! The two hot messages from the client's side: requests written around batches, replies read where they lie.
//!
//! Produce 9 to 11 and Fetch 12 have one layout each (compact lengths, tagged fields, topics by name), which every
//! broker since Kafka 2.8 serves.

use std::ops::Range;

use flumen::protocol::api::ApiKey;
use flumen::protocol::primitives::{DecodeError, Reader};

/// The versions of Produce that this program writes.
pub const PRODUCE_VERSIONS: Range<i16> = 9..12;
/// The version of Fetch that this program writes.
pub const FETCH_VERSION: i16 = 12;
/// What the broker sees in its log lines.
pub const CLIENT_ID: &str = "flumen-load";
/// Milliseconds that the broker may wait for followers.
const PRODUCE_TIMEOUT_MS: i32 = 30_000;

/// Appends big-endian numbers and compact lengths.
pub trait Put {
    fn put_i8(&mut self, value: i8);
    fn put_i16(&mut self, value: i16);
    fn put_i32(&mut self, value: i32);
    fn put_i64(&mut self, value: i64);
    /// A compact length: one more than `length`, as an unsigned varint.
    fn put_length(&mut self, length: usize);
    fn put_compact(&mut self, text: &str);
    fn put_no_tags(&mut self);
}

impl Put for Vec<u8> {
    fn put_i8(&mut self, value: i8) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_i16(&mut self, value: i16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_i32(&mut self, value: i32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_i64(&mut self, value: i64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_length(&mut self, length: usize) {
        let mut value = length + 1;
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn put_compact(&mut self, text: &str) {
        self.put_length(text.len());
        self.extend_from_slice(text.as_bytes());
    }

    fn put_no_tags(&mut self) {
        self.push(0);
    }
}

/// Bytes that [`Put::put_length`] takes.
fn length_bytes(length: usize) -> usize {
    let bits = usize::BITS - (length + 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn put_header(to: &mut Vec<u8>, key: ApiKey, version: i16, correlation_id: i32) {
    to.put_i16(key.code());
    to.put_i16(version);
    to.put_i32(correlation_id);
    to.put_i16(CLIENT_ID.len() as i16);
    to.extend_from_slice(CLIENT_ID.as_bytes());
    to.put_no_tags();
}

/// What all Produce requests of a run have in common.
#[derive(Clone, Debug)]
pub struct ProduceFrame {
    pub version: i16,
    pub acks: i16,
    pub topic: String,
}

impl ProduceFrame {
    /// Everything in front of the first partition, the size field included; `batches` are the batches' sizes.
    pub fn put_front(&self, to: &mut Vec<u8>, correlation_id: i32, batches: impl Iterator<Item = usize> + Clone) {
        let start = to.len();
        to.put_i32(0);
        put_header(to, ApiKey::Produce, self.version, correlation_id);
        /// The transactional id, null.
        const NULL: u8 = 0;
        to.push(NULL);
        to.put_i16(self.acks);
        to.put_i32(PRODUCE_TIMEOUT_MS);
        to.put_length(1);
        to.put_compact(&self.topic);
        to.put_length(batches.clone().count());
        // A partition: its number, the length of its batch, the batch, no tags. Behind all: no tags, twice.
        let behind: usize = batches.map(|bytes| 4 + length_bytes(bytes) + bytes + 1).sum::<usize>() + 2;
        let size = to.len() - start - 4 + behind;
        let size = i32::try_from(size).expect("a request is below 2 GiB");
        to[start..start + 4].copy_from_slice(&size.to_be_bytes());
    }

    /// What stands in front of a partition's batch.
    pub fn put_partition(to: &mut Vec<u8>, partition: i32, batch_bytes: usize) {
        to.put_i32(partition);
        to.put_length(batch_bytes);
    }

    /// What stands behind the batch; behind the last one also what ends the request.
    pub fn put_partition_end(to: &mut Vec<u8>, is_last: bool) {
        to.put_no_tags();
        if is_last {
            to.put_no_tags();
            to.put_no_tags();
        }
    }
}

/// What a Produce reply says about one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    pub partition: i32,
    pub error_code: i16,
    pub base_offset: i64,
    pub message: Option<String>,
}

/// Reads a Produce reply (without the size field); gives its correlation id.
pub fn read_produced(frame: &[u8], mut each: impl FnMut(Produced)) -> Result<i32, DecodeError> {
    let mut reader = Reader::new(frame, 0, true);
    let correlation_id = reader.i32()?;
    reader.skip_tagged_fields()?;
    for _ in 0..reader.array_length(3)? {
        reader.string()?;
        for _ in 0..reader.array_length(20)? {
            let partition = reader.i32()?;
            let error_code = reader.i16()?;
            let base_offset = reader.i64()?;
            reader.i64()?;
            reader.i64()?;
            for _ in 0..reader.array_length(6)? {
                reader.i32()?;
                reader.nullable_string()?;
                reader.skip_tagged_fields()?;
            }
            let message = reader.nullable_string()?.map(str::to_owned);
            reader.skip_tagged_fields()?;
            each(Produced { partition, error_code, base_offset, message });
        }
        reader.skip_tagged_fields()?;
    }
    Ok(correlation_id)
}

/// The limits of a Fetch request.
#[derive(Clone, Debug)]
pub struct FetchFrame {
    pub topic: String,
    pub wait_ms: i32,
    pub bytes_min: i32,
    pub bytes_max: i32,
    pub partition_bytes_max: i32,
}

impl FetchFrame {
    /// A request for `partitions` (numbers and offsets), the size field included. Epoch 0 opens a session (KIP-227).
    pub fn put(
        &self,
        to: &mut Vec<u8>,
        correlation_id: i32,
        session: (i32, i32),
        partitions: impl ExactSizeIterator<Item = (i32, i64)>,
    ) {
        /// "I am a consumer", "unknown" for epochs and log start offsets.
        const NONE: i32 = -1;
        let start = to.len();
        to.put_i32(0);
        put_header(to, ApiKey::Fetch, FETCH_VERSION, correlation_id);
        to.put_i32(NONE);
        to.put_i32(self.wait_ms);
        to.put_i32(self.bytes_min);
        to.put_i32(self.bytes_max);
        to.put_i8(0);
        to.put_i32(session.0);
        to.put_i32(session.1);
        let has_partitions = partitions.len() > 0;
        to.put_length(usize::from(has_partitions));
        if has_partitions {
            to.put_compact(&self.topic);
            to.put_length(partitions.len());
            for (partition, offset) in partitions {
                to.put_i32(partition);
                to.put_i32(NONE);
                to.put_i64(offset);
                to.put_i32(NONE);
                to.put_i64(i64::from(NONE));
                to.put_i32(self.partition_bytes_max);
                to.put_no_tags();
            }
            to.put_no_tags();
        }
        to.put_length(0);
        to.put_compact("");
        to.put_no_tags();
        let size = i32::try_from(to.len() - start - 4).expect("a request is below 2 GiB");
        to[start..start + 4].copy_from_slice(&size.to_be_bytes());
    }
}

/// What a Fetch reply says about one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub partition: i32,
    pub error_code: i16,
    pub high_watermark: i64,
    pub log_start_offset: i64,
    /// Where its record batches lie in the frame.
    pub records: Range<usize>,
}

/// What a Fetch reply says as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchedHead {
    pub correlation_id: i32,
    pub error_code: i16,
    pub session_id: i32,
}

/// Reads a Fetch reply (without the size field).
pub fn read_fetched(frame: &[u8], mut each: impl FnMut(Fetched)) -> Result<FetchedHead, DecodeError> {
    let mut reader = Reader::new(frame, 0, true);
    let correlation_id = reader.i32()?;
    reader.skip_tagged_fields()?;
    reader.i32()?;
    let error_code = reader.i16()?;
    let session_id = reader.i32()?;
    for _ in 0..reader.array_length(3)? {
        reader.string()?;
        for _ in 0..reader.array_length(30)? {
            let partition = reader.i32()?;
            let error_code = reader.i16()?;
            let high_watermark = reader.i64()?;
            reader.i64()?;
            let log_start_offset = reader.i64()?;
            for _ in 0..reader.nullable_array_length(17)?.unwrap_or(0) {
                reader.i64()?;
                reader.i64()?;
                reader.skip_tagged_fields()?;
            }
            reader.i32()?;
            let records = reader.nullable_bytes()?.unwrap_or(0..0);
            reader.skip_tagged_fields()?;
            each(Fetched { partition, error_code, high_watermark, log_start_offset, records });
        }
        reader.skip_tagged_fields()?;
    }
    Ok(FetchedHead { correlation_id, error_code, session_id })
}
