//! The versions of OffsetCommit and OffsetFetch that name topics by their ids (KIP-848), which the kafka-protocol crate does
//! not have: read into and written from the crate's own messages. Everything but the topic's name is as in the version
//! before.

use super::api::{ApiKey, response_header_version};
use super::message::{BODY_BYTES_MAX, MessageError};
use super::primitives::{DecodeError, EncodeError, Reader, Writer};
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use kafka_protocol::protocol::StrBytes;

/// The first version of either with ids, and so far the only one.
pub const IDS_FROM: i16 = 10;

/// Bytes that the smallest element of an array takes: used to refuse counts that the bytes behind them cannot fill.
mod bytes_min {
    /// Of a commit: id, an empty array, no tagged fields.
    pub const TOPIC: usize = 16 + 1 + 1;
    /// Partition, offset, leader epoch, no metadata, no tagged fields.
    pub const COMMITTED: usize = 4 + 8 + 4 + 1 + 1;
    /// Group and member, epoch, topics, tagged fields.
    pub const GROUP: usize = 1 + 1 + 4 + 1 + 1;
    /// A partition's number.
    pub const INDEX: usize = 4;
}

/// Reads an OffsetCommit request of version 10. Bytes behind it are ignored, as Kafka does.
///
/// # Errors
/// What does not follow the schema; the connection is then closed.
pub fn decode_commit(body: &[u8]) -> Result<OffsetCommitRequest, MessageError> {
    decode(ApiKey::OffsetCommit, body, read_commit)
}

/// Reads an OffsetFetch request of version 10. Bytes behind it are ignored, as Kafka does.
///
/// # Errors
/// What does not follow the schema; the connection is then closed.
pub fn decode_fetch(body: &[u8]) -> Result<OffsetFetchRequest, MessageError> {
    decode(ApiKey::OffsetFetch, body, read_fetch)
}

fn decode<'a, T>(
    key: ApiKey,
    body: &'a [u8],
    fields: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, MessageError> {
    let failed = |reason: String| MessageError { key, version: IDS_FROM, reason };
    if body.len() > BODY_BYTES_MAX {
        return Err(failed(format!("a body of {} bytes, {BODY_BYTES_MAX} are allowed: split the request", body.len())));
    }
    fields(&mut Reader::new(body, 0, true)).map_err(|error| failed(error.to_string()))
}

fn string(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn read_commit(body: &mut Reader<'_>) -> Result<OffsetCommitRequest, DecodeError> {
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(string(body.string()?)))
        .with_generation_id_or_member_epoch(body.i32()?)
        .with_member_id(string(body.string()?))
        .with_group_instance_id(body.nullable_string()?.map(string));
    let count = body.array_length(bytes_min::TOPIC)?;
    let mut topics = Vec::with_capacity(count);
    for _ in 0..count {
        topics.push(read_committed_topic(body)?);
    }
    body.skip_tagged_fields()?;
    Ok(request.with_topics(topics))
}

fn read_committed_topic(body: &mut Reader<'_>) -> Result<OffsetCommitRequestTopic, DecodeError> {
    let topic = OffsetCommitRequestTopic::default().with_topic_id(body.uuid()?);
    let count = body.array_length(bytes_min::COMMITTED)?;
    let mut partitions = Vec::with_capacity(count);
    for _ in 0..count {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(body.i32()?)
            .with_committed_offset(body.i64()?)
            .with_committed_leader_epoch(body.i32()?)
            .with_committed_metadata(body.nullable_string()?.map(string));
        body.skip_tagged_fields()?;
        partitions.push(partition);
    }
    body.skip_tagged_fields()?;
    Ok(topic.with_partitions(partitions))
}

fn read_fetch(body: &mut Reader<'_>) -> Result<OffsetFetchRequest, DecodeError> {
    let count = body.array_length(bytes_min::GROUP)?;
    let mut groups = Vec::with_capacity(count);
    for _ in 0..count {
        groups.push(read_group(body)?);
    }
    let require_stable = body.boolean()?;
    body.skip_tagged_fields()?;
    Ok(OffsetFetchRequest::default().with_groups(groups).with_require_stable(require_stable))
}

fn read_group(body: &mut Reader<'_>) -> Result<OffsetFetchRequestGroup, DecodeError> {
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(string(body.string()?)))
        .with_member_id(body.nullable_string()?.map(string))
        .with_member_epoch(body.i32()?);
    let topics = match body.nullable_array_length(bytes_min::TOPIC)? {
        None => None,
        Some(count) => {
            let mut topics = Vec::with_capacity(count);
            for _ in 0..count {
                topics.push(read_fetched_topic(body)?);
            }
            Some(topics)
        }
    };
    body.skip_tagged_fields()?;
    Ok(group.with_topics(topics))
}

fn read_fetched_topic(body: &mut Reader<'_>) -> Result<OffsetFetchRequestTopics, DecodeError> {
    let topic = OffsetFetchRequestTopics::default().with_topic_id(body.uuid()?);
    let count = body.array_length(bytes_min::INDEX)?;
    let mut indexes = Vec::with_capacity(count);
    for _ in 0..count {
        indexes.push(body.i32()?);
    }
    body.skip_tagged_fields()?;
    Ok(topic.with_partition_indexes(indexes))
}

fn reply(key: ApiKey, correlation_id: i32) -> Writer {
    Writer::reply(correlation_id, response_header_version(key, IDS_FROM) >= 1, true, 256)
}

/// The frame of an OffsetCommit reply of version 10.
///
/// # Errors
/// When it passes 2 GiB.
pub fn encode_commit_response(correlation_id: i32, response: &OffsetCommitResponse) -> Result<Vec<u8>, EncodeError> {
    let mut writer = reply(ApiKey::OffsetCommit, correlation_id);
    writer.i32(response.throttle_time_ms);
    writer.wide_length(Some(response.topics.len()));
    for topic in &response.topics {
        writer.uuid(topic.topic_id);
        writer.wide_length(Some(topic.partitions.len()));
        for partition in &topic.partitions {
            writer.i32(partition.partition_index);
            writer.i16(partition.error_code);
            writer.tagged_fields(0);
        }
        writer.tagged_fields(0);
    }
    writer.tagged_fields(0);
    writer.finish(0)
}

/// The frame of an OffsetFetch reply of version 10.
///
/// # Errors
/// When it passes 2 GiB.
pub fn encode_fetch_response(correlation_id: i32, response: &OffsetFetchResponse) -> Result<Vec<u8>, EncodeError> {
    let mut writer = reply(ApiKey::OffsetFetch, correlation_id);
    writer.i32(response.throttle_time_ms);
    writer.wide_length(Some(response.groups.len()));
    for group in &response.groups {
        writer.string(&group.group_id.0);
        writer.wide_length(Some(group.topics.len()));
        for topic in &group.topics {
            writer.uuid(topic.topic_id);
            writer.wide_length(Some(topic.partitions.len()));
            for partition in &topic.partitions {
                writer.i32(partition.partition_index);
                writer.i64(partition.committed_offset);
                writer.i32(partition.committed_leader_epoch);
                writer.nullable_string(partition.metadata.as_deref());
                writer.i16(partition.error_code);
                writer.tagged_fields(0);
            }
            writer.tagged_fields(0);
        }
        writer.i16(group.error_code);
        writer.tagged_fields(0);
    }
    writer.tagged_fields(0);
    writer.finish(0)
}
