//! Fetch, versions 4 to 18: requests read without copying, replies written around the record bytes.
//!
//! What changed with the versions: 5 log start offset, 7 sessions (KIP-227), 9 leader epoch (KIP-320), 11 rack
//! (KIP-392), 12 flexible, last fetched epoch and diverging epoch (KIP-595), 13 topic ids (KIP-516), 15 replica state
//! (KIP-903), 16 endpoints of leaders (KIP-951), 17 directory id (KIP-853), 18 high watermark (KIP-1166).
//!
//! A reply's record bytes are never copied into it: [`encode_response`] writes all other bytes and says where each
//! partition's records belong, so that a connection can send them from blocks or files in between.

use smallvec::SmallVec;

use crate::model::error_code::ErrorCode;
use crate::model::ids::{BrokerId, PartitionIndex, ProducerId, Uuid};
use crate::model::offset::{LeaderEpoch, NO_LEADER_EPOCH, Offset};

use super::api::ApiKey;
use super::primitives::{DecodeError, EncodeError, Fault, Reader, Writer};
pub use super::topic::TopicRef;
use super::topic::{
    CurrentLeader, NodeEndpoint, TopicSpan, read_topic, topic_bytes_min, write_current_leader, write_node_endpoints,
    write_topic,
};

const FLEXIBLE: i16 = 12;
const TOPIC_IDS: i16 = 13;

/// `replica_id` of a consumer.
pub const CONSUMER_REPLICA_ID: BrokerId = -1;

/// Which records a consumer wants to see (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationLevel {
    /// All up to the high watermark.
    ReadUncommitted,
    /// Those below the last stable offset, with a list of the aborted transactions among them.
    ReadCommitted,
}

/// A Fetch request, borrowing from its frame. Numbers are the client's and not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest<'a> {
    /// The cluster a raft voter takes this to be.
    pub cluster_id: Option<&'a str>,
    /// The follower that asks; [`CONSUMER_REPLICA_ID`] for a consumer.
    pub replica_id: BrokerId,
    /// The follower's broker epoch (KIP-903); -1 where unknown.
    pub replica_epoch: i64,
    /// How long to wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: i32,
    /// How many bytes of records make the reply worth sending.
    pub min_bytes: i32,
    /// How many bytes of records the reply may bring, but for the first batch.
    pub max_bytes: i32,
    /// Which records to show.
    pub isolation_level: IsolationLevel,
    /// The fetch session (KIP-227); 0 for none.
    pub session_id: i32,
    /// The request's number in its session: 0 opens one, -1 is outside of any.
    pub session_epoch: i32,
    /// The topics, in the request's order. In a session only what changed.
    pub topics: SmallVec<[TopicSpan<'a>; 2]>,
    /// The partitions of all topics; [`TopicSpan::partitions`] says whose they are.
    pub partitions: SmallVec<[FetchPartition; 4]>,
    /// Topics with partitions that leave the session; their spans are of [`FetchRequest::forgotten_partitions`].
    pub forgotten: SmallVec<[TopicSpan<'a>; 1]>,
    /// The partitions that leave the session.
    pub forgotten_partitions: SmallVec<[PartitionIndex; 4]>,
    /// Where the consumer stands (KIP-392); empty where it did not say.
    pub rack_id: &'a str,
}

/// What a request asks of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPartition {
    /// The partition's number.
    pub index: PartitionIndex,
    /// The leader epoch the client knows; -1 where it does not check.
    pub current_leader_epoch: LeaderEpoch,
    /// The first offset to bring.
    pub fetch_offset: Offset,
    /// The epoch of the last record before it; -1 where unknown (KIP-595).
    pub last_fetched_epoch: LeaderEpoch,
    /// The follower's log start offset; -1 from consumers.
    pub log_start_offset: Offset,
    /// How many bytes this partition may bring, but for the first batch.
    pub max_bytes: i32,
    /// The follower's log directory (KIP-853); nil where not given.
    pub directory_id: Uuid,
    /// The high watermark the follower knows, -1 if none; `None` when the follower does not say (KIP-1166).
    pub high_watermark: Option<Offset>,
}

/// Reads the body of a Fetch request of `version`, which starts at `body_at` in `frame`.
///
/// # Errors
/// When the body does not follow the schema; the connection is then closed, as Kafka does.
pub fn decode_request(version: i16, frame: &[u8], body_at: usize) -> Result<FetchRequest<'_>, DecodeError> {
    if !ApiKey::Fetch.api().serves(version) {
        return Err(DecodeError { at: body_at, fault: Fault::Version(version) });
    }
    let mut reader = Reader::new(frame, body_at, version >= FLEXIBLE);
    let mut request = read_limits(&mut reader, version)?;
    read_topics(&mut reader, version, &mut request)?;
    if version >= 7 {
        read_forgotten(&mut reader, version, &mut request)?;
    }
    if version >= 11 {
        request.rack_id = reader.string()?;
    }
    reader.tagged_fields(|tag, field| match tag {
        0 => {
            request.cluster_id = field.nullable_string()?;
            Ok(true)
        }
        1 if version >= 15 => {
            request.replica_id = field.i32()?;
            request.replica_epoch = field.i64()?;
            field.skip_tagged_fields()?;
            Ok(true)
        }
        _ => Ok(false),
    })?;
    reader.finish()?;
    Ok(request)
}

/// The fields in front of the topics.
fn read_limits<'a>(reader: &mut Reader<'_>, version: i16) -> Result<FetchRequest<'a>, DecodeError> {
    Ok(FetchRequest {
        cluster_id: None,
        replica_id: if version <= 14 { reader.i32()? } else { CONSUMER_REPLICA_ID },
        replica_epoch: -1,
        max_wait_ms: reader.i32()?,
        min_bytes: reader.i32()?,
        max_bytes: reader.i32()?,
        isolation_level: read_isolation_level(reader)?,
        session_id: if version >= 7 { reader.i32()? } else { 0 },
        session_epoch: if version >= 7 { reader.i32()? } else { -1 },
        topics: SmallVec::new(),
        partitions: SmallVec::new(),
        forgotten: SmallVec::new(),
        forgotten_partitions: SmallVec::new(),
        rack_id: "",
    })
}

fn read_isolation_level(reader: &mut Reader<'_>) -> Result<IsolationLevel, DecodeError> {
    let at = reader.at();
    match reader.i8()? {
        0 => Ok(IsolationLevel::ReadUncommitted),
        1 => Ok(IsolationLevel::ReadCommitted),
        other => Err(DecodeError { at, fault: Fault::Value(i64::from(other)) }),
    }
}

/// The fewest bytes of a topic in a list: its name or id, the length of its partitions, tagged fields.
fn topic_span_bytes_min(version: i16) -> usize {
    let flexible = version >= FLEXIBLE;
    topic_bytes_min(version >= TOPIC_IDS, flexible) + if flexible { 2 } else { 4 }
}

fn read_topics<'a>(reader: &mut Reader<'a>, version: i16, request: &mut FetchRequest<'a>) -> Result<(), DecodeError> {
    let topics = reader.array_length(topic_span_bytes_min(version))?;
    request.topics.reserve_exact(topics);
    for _ in 0..topics {
        let topic = read_topic(reader, version >= TOPIC_IDS)?;
        let first = request.partitions.len();
        // The fields of version 4: index, offset and limit.
        let partitions = reader.partitions_length(16, first)?;
        request.partitions.reserve(partitions);
        for _ in 0..partitions {
            request.partitions.push(read_partition(reader, version)?);
        }
        reader.skip_tagged_fields()?;
        request.topics.push(TopicSpan { topic, partitions: first..request.partitions.len() });
    }
    Ok(())
}

fn read_partition(reader: &mut Reader<'_>, version: i16) -> Result<FetchPartition, DecodeError> {
    let mut partition = FetchPartition {
        index: reader.i32()?,
        current_leader_epoch: if version >= 9 { reader.i32()? } else { NO_LEADER_EPOCH },
        fetch_offset: reader.i64()?,
        last_fetched_epoch: if version >= 12 { reader.i32()? } else { NO_LEADER_EPOCH },
        log_start_offset: if version >= 5 { reader.i64()? } else { -1 },
        max_bytes: reader.i32()?,
        directory_id: Uuid::nil(),
        high_watermark: None,
    };
    reader.tagged_fields(|tag, field| match tag {
        0 if version >= 17 => {
            partition.directory_id = field.uuid()?;
            Ok(true)
        }
        1 if version >= 18 => {
            // The largest offset stands for "does not say", which is also the default when the field is absent.
            partition.high_watermark = Some(field.i64()?).filter(|offset| *offset != Offset::MAX);
            Ok(true)
        }
        _ => Ok(false),
    })?;
    Ok(partition)
}

fn read_forgotten<'a>(
    reader: &mut Reader<'a>,
    version: i16,
    request: &mut FetchRequest<'a>,
) -> Result<(), DecodeError> {
    let topics = reader.array_length(topic_span_bytes_min(version))?;
    request.forgotten.reserve_exact(topics);
    for _ in 0..topics {
        let topic = read_topic(reader, version >= TOPIC_IDS)?;
        let first = request.forgotten_partitions.len();
        for _ in 0..reader.partitions_length(4, first)? {
            request.forgotten_partitions.push(reader.i32()?);
        }
        reader.skip_tagged_fields()?;
        request.forgotten.push(TopicSpan { topic, partitions: first..request.forgotten_partitions.len() });
    }
    Ok(())
}

/// A Fetch reply without its record bytes.
#[derive(Clone, Debug)]
pub struct FetchResponse<'a> {
    /// How long the client was or is to be slowed down, in milliseconds.
    pub throttle_time_ms: i32,
    /// The outcome for the whole request (sessions). Written from version 7 on.
    pub error: ErrorCode,
    /// The fetch session; 0 for none. Written from version 7 on.
    pub session_id: i32,
    /// The topics.
    pub topics: &'a [TopicSpan<'a>],
    /// The partitions of all topics.
    pub partitions: &'a [FetchedPartition],
    /// Where the brokers named by [`FetchedPartition::current_leader`] listen; written from version 16 on.
    pub node_endpoints: &'a [NodeEndpoint],
}

/// What a reply says about one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    /// The partition's number.
    pub index: PartitionIndex,
    /// The outcome.
    pub error: ErrorCode,
    /// The high watermark; -1 after an error.
    pub high_watermark: Offset,
    /// The last stable offset; -1 after an error.
    pub last_stable_offset: Offset,
    /// The log start offset; -1 after an error. Written from version 5 on.
    pub log_start_offset: Offset,
    /// The aborted transactions among the records, for `read_committed`; `None` (null) otherwise.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// The replica the consumer had better ask (KIP-392). Written from version 11 on.
    pub preferred_read_replica: Option<BrokerId>,
    /// Where the follower's log parts from the leader's (KIP-595). Written from version 12 on.
    pub diverging_epoch: Option<EpochEndOffset>,
    /// The partition's leader, with NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH. Written from version 12 on.
    pub current_leader: Option<CurrentLeader>,
    /// The snapshot to fetch instead (raft only). Written from version 12 on.
    pub snapshot_id: Option<EpochEndOffset>,
    /// How many bytes of record batches follow; `None` writes null. Kafka writes empty, not null, also after errors.
    pub records_bytes: Option<u32>,
}

impl FetchedPartition {
    /// A partition that brings an error and no records.
    pub fn refused(index: PartitionIndex, error: ErrorCode) -> FetchedPartition {
        FetchedPartition {
            index,
            error,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            aborted_transactions: None,
            preferred_read_replica: None,
            diverging_epoch: None,
            current_leader: None,
            snapshot_id: None,
            records_bytes: Some(0),
        }
    }
}

/// A transaction whose records a `read_committed` consumer drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: ProducerId,
    /// Its first offset.
    pub first_offset: Offset,
}

/// An epoch and an offset: the end of that epoch, or of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEndOffset {
    /// The leader epoch.
    pub epoch: LeaderEpoch,
    /// The offset after the last record of it.
    pub end_offset: Offset,
}

/// The frame of a reply, with gaps for the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedFetch {
    /// Size field, header and body without record bytes.
    pub bytes: Vec<u8>,
    /// Where record bytes belong, by rising position. Partitions without record bytes have none.
    pub cuts: SmallVec<[Cut; 4]>,
    /// Bytes of the whole frame, size field and records included.
    pub frame_bytes: usize,
}

/// A place for one partition's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The records come before the byte at this position of [`EncodedFetch::bytes`].
    pub at: usize,
    /// Whose records: place in [`FetchResponse::partitions`].
    pub partition: usize,
}

/// Writes a Fetch reply around its records. The size field counts the record bytes; they go where the cuts say.
///
/// # Errors
/// When the version has no schema, a topic is not in the form of the version, or the frame would pass 2 GiB.
///
/// # Panics
/// When a topic's partitions lie outside the list.
pub fn encode_response(
    version: i16,
    correlation_id: i32,
    response: &FetchResponse<'_>,
) -> Result<EncodedFetch, EncodeError> {
    if !ApiKey::Fetch.api().serves(version) {
        return Err(EncodeError::Version(version));
    }
    let records_bytes: u64 = response.partitions.iter().map(|one| u64::from(one.records_bytes.unwrap_or(0))).sum();
    if records_bytes > i32::MAX as u64 {
        return Err(EncodeError::FrameTooLong(records_bytes));
    }
    // Room for the usual partition (about 44 bytes) and topic name.
    let room = 32 + 56 * (response.partitions.len() + response.topics.len());
    let mut writer = Writer::reply(correlation_id, version >= FLEXIBLE, version >= FLEXIBLE, room);
    let mut cuts = SmallVec::new();
    writer.i32(response.throttle_time_ms);
    if version >= 7 {
        writer.i16(response.error.code());
        writer.i32(response.session_id);
    }
    writer.wide_length(Some(response.topics.len()));
    for span in response.topics {
        write_topic(&mut writer, span.topic, version >= TOPIC_IDS)?;
        writer.wide_length(Some(span.partitions.len()));
        for place in span.partitions.clone() {
            let partition = &response.partitions[place];
            write_partition(&mut writer, version, partition);
            if partition.records_bytes.unwrap_or(0) > 0 {
                cuts.push(Cut { at: writer.len(), partition: place });
            }
            write_partition_tagged_fields(&mut writer, version, partition);
        }
        writer.tagged_fields(0);
    }
    write_node_endpoints(&mut writer, if version >= 16 { response.node_endpoints } else { &[] });
    let bytes = writer.finish(records_bytes)?;
    let frame_bytes = bytes.len() + records_bytes as usize;
    Ok(EncodedFetch { bytes, cuts, frame_bytes })
}

/// Everything in front of the record bytes.
fn write_partition(writer: &mut Writer, version: i16, partition: &FetchedPartition) {
    writer.i32(partition.index);
    writer.i16(partition.error.code());
    writer.i64(partition.high_watermark);
    writer.i64(partition.last_stable_offset);
    if version >= 5 {
        writer.i64(partition.log_start_offset);
    }
    let aborted = partition.aborted_transactions.as_deref();
    writer.wide_length(aborted.map(<[_]>::len));
    for transaction in aborted.unwrap_or_default() {
        writer.i64(transaction.producer_id);
        writer.i64(transaction.first_offset);
        writer.tagged_fields(0);
    }
    if version >= 11 {
        writer.i32(partition.preferred_read_replica.unwrap_or(-1));
    }
    writer.wide_length(partition.records_bytes.map(|bytes| bytes as usize));
}

/// Everything behind the record bytes.
fn write_partition_tagged_fields(writer: &mut Writer, version: i16, partition: &FetchedPartition) {
    if version < FLEXIBLE {
        return;
    }
    let FetchedPartition { diverging_epoch, current_leader, snapshot_id, .. } = *partition;
    let present = [diverging_epoch.is_some(), current_leader.is_some(), snapshot_id.is_some()];
    writer.tagged_fields(present.into_iter().filter(|present| *present).count());
    if let Some(diverging) = diverging_epoch {
        writer.tagged_field_header(0, 13);
        writer.i32(diverging.epoch);
        writer.i64(diverging.end_offset);
        writer.tagged_fields(0);
    }
    if let Some(leader) = current_leader {
        write_current_leader(writer, 1, leader);
    }
    if let Some(snapshot) = snapshot_id {
        // A snapshot id has the offset first, a diverging epoch the epoch.
        writer.tagged_field_header(2, 13);
        writer.i64(snapshot.end_offset);
        writer.i32(snapshot.epoch);
        writer.tagged_fields(0);
    }
}
