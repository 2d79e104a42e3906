//! Produce, versions 3 to 13: read without copying or touching a record, written straight into reply bytes.
//!
//! What changed with the versions: 5 log start offset in the reply, 8 record errors (KIP-467), 9 flexible, 10 the
//! current leader and its endpoint (KIP-951), 12 transactions without AddPartitionsToTxn (KIP-890; no change of schema),
//! 13 topic ids (KIP-516).
//!
//! Versions 0 to 2 carry message formats that no longer exist. They are stated in ApiVersions for librdkafka's sake
//! ([`super::api::Api::stated_min`]) and [`super::api::lookup`] refuses them; Kafka 4 closes the connection then without
//! a reply, and so does this broker.

use std::ops::Range;

use smallvec::SmallVec;

use crate::model::error_code::ErrorCode;
use crate::model::ids::PartitionIndex;
use crate::model::offset::{Offset, Timestamp};

use super::api::ApiKey;
use super::primitives::{DecodeError, EncodeError, Fault, Reader, Writer};
pub use super::topic::TopicRef;
use super::topic::{
    CurrentLeader, NodeEndpoint, TopicSpan, read_topic, topic_bytes_min, write_current_leader, write_node_endpoints,
    write_topic,
};

const FLEXIBLE: i16 = 9;
const TOPIC_IDS: i16 = 13;

/// Topics and partitions of most requests are kept without an allocation.
type Topics<'a> = SmallVec<[TopicSpan<'a>; 2]>;

/// A Produce request, borrowing from its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceRequest<'a> {
    /// The transactional id, of a transactional producer.
    pub transactional_id: Option<&'a str>,
    /// How many acknowledgements to wait for: 0 (and no reply at all), 1 (the leader's) or -1 (all of the ISR's). Not
    /// checked: other numbers are answered with INVALID_REQUIRED_ACKS.
    pub acks: i16,
    /// How long to wait for the followers, in milliseconds.
    pub timeout_ms: i32,
    /// The topics, in the request's order.
    pub topics: Topics<'a>,
    /// The partitions of all topics, in the request's order; [`TopicSpan::partitions`] says whose they are.
    pub partitions: SmallVec<[ProducePartition; 4]>,
}

/// What a request brings for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducePartition {
    /// The partition's number.
    pub index: PartitionIndex,
    /// Where in the frame the record batches are; `None` when the client sent null.
    pub records: Option<Range<usize>>,
}

/// Reads the body of a Produce request of `version`, which starts at `body_at` in `frame`.
///
/// # Errors
/// When the body does not follow the schema; the connection is then closed, as Kafka does.
pub fn decode_request(version: i16, frame: &[u8], body_at: usize) -> Result<ProduceRequest<'_>, DecodeError> {
    if !ApiKey::Produce.api().serves(version) {
        return Err(DecodeError { at: body_at, fault: Fault::Version(version) });
    }
    let flexible = version >= FLEXIBLE;
    let by_id = version >= TOPIC_IDS;
    let mut reader = Reader::new(frame, body_at, flexible);
    let mut request = ProduceRequest {
        transactional_id: reader.nullable_string()?,
        acks: reader.i16()?,
        timeout_ms: reader.i32()?,
        topics: SmallVec::new(),
        partitions: SmallVec::new(),
    };
    // A topic is at least its name and the length of its partitions; a partition its index and the records' length.
    let (topic_bytes, partition_bytes) = if flexible { (2, 6) } else { (4, 8) };
    let topics = reader.array_length(topic_bytes_min(by_id, flexible) + topic_bytes)?;
    request.topics.reserve_exact(topics);
    for _ in 0..topics {
        let topic = read_topic(&mut reader, by_id)?;
        let first = request.partitions.len();
        let partitions = reader.partitions_length(partition_bytes, first)?;
        request.partitions.reserve(partitions);
        for _ in 0..partitions {
            request.partitions.push(read_partition(&mut reader)?);
        }
        reader.skip_tagged_fields()?;
        request.topics.push(TopicSpan { topic, partitions: first..request.partitions.len() });
    }
    reader.skip_tagged_fields()?;
    reader.finish()?;
    Ok(request)
}

fn read_partition(reader: &mut Reader<'_>) -> Result<ProducePartition, DecodeError> {
    let index = reader.i32()?;
    let records = reader.nullable_bytes()?;
    reader.skip_tagged_fields()?;
    Ok(ProducePartition { index, records })
}

/// A Produce reply. Topics and partitions are laid out as in the request, whose `topics` may be used as they are.
#[derive(Clone, Debug)]
pub struct ProduceResponse<'a> {
    /// The topics.
    pub topics: &'a [TopicSpan<'a>],
    /// The partitions of all topics.
    pub partitions: &'a [ProducedPartition],
    /// How long the client was or is to be slowed down, in milliseconds.
    pub throttle_time_ms: i32,
    /// Where the brokers named by [`ProducedPartition::current_leader`] listen; written from version 10 on.
    pub node_endpoints: &'a [NodeEndpoint],
}

/// What came of one partition's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducedPartition {
    /// The partition's number.
    pub index: PartitionIndex,
    /// The outcome.
    pub error: ErrorCode,
    /// Offset of the first record; -1 after an error.
    pub base_offset: Offset,
    /// The broker's timestamp, for topics with `message.timestamp.type=LogAppendTime`; -1 otherwise.
    pub log_append_time_ms: Timestamp,
    /// The log start offset; -1 where unknown. Written from version 5 on.
    pub log_start_offset: Offset,
    /// The records that made the batch be refused: index within the batch, and why. Written from version 8 on.
    pub record_errors: Vec<(i32, Option<String>)>,
    /// A sentence on the error. Written from version 8 on.
    pub error_message: Option<String>,
    /// The partition's leader, with NOT_LEADER_OR_FOLLOWER. Written from version 10 on.
    pub current_leader: Option<CurrentLeader>,
}

impl ProducedPartition {
    /// The records were appended from `base_offset` on.
    pub fn appended(index: PartitionIndex, base_offset: Offset, log_start_offset: Offset) -> ProducedPartition {
        ProducedPartition { base_offset, log_start_offset, ..ProducedPartition::refused(index, ErrorCode::None, None) }
    }

    /// The records were refused.
    pub fn refused(index: PartitionIndex, error: ErrorCode, error_message: Option<String>) -> ProducedPartition {
        ProducedPartition {
            index,
            error,
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: Vec::new(),
            error_message,
            current_leader: None,
        }
    }
}

/// The frame of a Produce reply, size field and header included.
///
/// # Errors
/// When the version has no schema, a topic is not in the form of the version, or the frame would pass 2 GiB.
///
/// # Panics
/// When a topic's partitions lie outside the list.
pub fn encode_response(
    version: i16,
    correlation_id: i32,
    response: &ProduceResponse<'_>,
) -> Result<Vec<u8>, EncodeError> {
    if !ApiKey::Produce.api().serves(version) {
        return Err(EncodeError::Version(version));
    }
    let flexible = version >= FLEXIBLE;
    // Room for the usual partition (34 bytes of numbers, empty lists) and topic name.
    let room = 32 + 48 * (response.partitions.len() + response.topics.len());
    let mut writer = Writer::reply(correlation_id, flexible, flexible, room);
    writer.wide_length(Some(response.topics.len()));
    for span in response.topics {
        write_topic(&mut writer, span.topic, version >= TOPIC_IDS)?;
        writer.wide_length(Some(span.partitions.len()));
        for partition in &response.partitions[span.partitions.clone()] {
            write_partition(&mut writer, version, partition);
        }
        writer.tagged_fields(0);
    }
    writer.i32(response.throttle_time_ms);
    write_node_endpoints(&mut writer, if version >= 10 { response.node_endpoints } else { &[] });
    writer.finish(0)
}

fn write_partition(writer: &mut Writer, version: i16, partition: &ProducedPartition) {
    writer.i32(partition.index);
    writer.i16(partition.error.code());
    writer.i64(partition.base_offset);
    writer.i64(partition.log_append_time_ms);
    if version >= 5 {
        writer.i64(partition.log_start_offset);
    }
    if version >= 8 {
        writer.wide_length(Some(partition.record_errors.len()));
        for (batch_index, message) in &partition.record_errors {
            writer.i32(*batch_index);
            writer.nullable_string(message.as_deref());
            writer.tagged_fields(0);
        }
        writer.nullable_string(partition.error_message.as_deref());
    }
    let leader = partition.current_leader.filter(|_| version >= 10);
    writer.tagged_fields(usize::from(leader.is_some()));
    if let Some(leader) = leader {
        write_current_leader(writer, 0, leader);
    }
}
