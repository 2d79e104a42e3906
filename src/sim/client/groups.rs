//! The requests of groups.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable};

use crate::base::time::Instant;
use crate::model::error_code::ErrorCode;
use crate::model::offset::Offset;
use crate::protocol::StrBytes;
use crate::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use crate::protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use crate::protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, GroupId, OffsetCommitRequest, OffsetFetchRequest,
    consumer_protocol_assignment, consumer_protocol_subscription,
};

use super::requests::{Topic, name};
use super::{Lost, Session};

/// The version that OffsetFetch is sent in.
pub const OFFSET_FETCH: i16 = 9;
/// The version that OffsetCommit is sent in.
pub const OFFSET_COMMIT: i16 = 9;
/// The version that JoinGroup is sent in.
pub const JOIN: i16 = 7;
/// The version that SyncGroup is sent in.
pub const SYNC: i16 = 5;
/// The version that Heartbeat is sent in.
pub const HEARTBEAT: i16 = 4;
/// The version that LeaveGroup is sent in.
pub const LEAVE: i16 = 5;
/// The version that ConsumerGroupHeartbeat is sent in.
pub const CONSUMER_HEARTBEAT: i16 = 1;
/// The version of what members of the classic protocol tell each other: the first with what they hold (KIP-429).
const PROTOCOL_VERSION: i16 = 1;

/// A committed offset as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownOffset {
    /// The offset, -1 for none.
    pub offset: Offset,
    /// What was committed with it.
    pub metadata: String,
}

/// Asks for committed offsets, none of which may be pending; they come in the order of the question, or an error code does.
///
/// # Errors
/// [`Lost`].
pub async fn fetch_offsets(
    session: &mut Session,
    group: &str,
    wanted: &[(&Topic, i32)],
    deadline: Instant,
) -> Result<Result<Vec<KnownOffset>, ErrorCode>, Lost> {
    let topics = wanted.iter().map(|(topic, index)| {
        OffsetFetchRequestTopics::default().with_name(name(&topic.name)).with_partition_indexes(vec![*index])
    });
    let asked = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_topics(Some(topics.collect()));
    let request = OffsetFetchRequest::default().with_groups(vec![asked]).with_require_stable(true);
    let response = session.ask::<OffsetFetchRequest>(OFFSET_FETCH, &request, deadline).await?;
    let group = response.groups.first().ok_or_else(|| Lost::Malformed("OffsetFetch without an answer".into()))?;
    let partitions = || group.topics.iter().flat_map(|topic| &topic.partitions);
    let codes = std::iter::once(group.error_code).chain(partitions().map(|partition| partition.error_code));
    if let Some(code) = codes.into_iter().find(|code| *code != 0) {
        return Ok(Err(ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)));
    }
    let told: Vec<KnownOffset> = partitions()
        .map(|partition| KnownOffset {
            offset: partition.committed_offset,
            metadata: partition.metadata.as_ref().map(|text| text.to_string()).unwrap_or_default(),
        })
        .collect();
    if told.len() != wanted.len() {
        return Err(Lost::Malformed(format!("{} offsets, where {} were asked for", told.len(), wanted.len())));
    }
    Ok(Ok(told))
}

/// A member's metadata (protocol type `consumer`): topics, and what it holds.
pub fn subscription(topics: &[Topic], holds: &BTreeMap<String, Vec<i32>>) -> Bytes {
    let owned = holds.iter().map(|(topic, indexes)| {
        consumer_protocol_subscription::TopicPartition::default()
            .with_topic(name(topic))
            .with_partitions(indexes.clone())
    });
    let subscription = ConsumerProtocolSubscription::default()
        .with_topics(topics.iter().map(|topic| text(&topic.name)).collect())
        .with_owned_partitions(owned.collect());
    with_version(&subscription)
}

/// Topics that a member wants, and the partitions of each topic that it holds.
type Subscription = (Vec<String>, BTreeMap<String, Vec<i32>>);

/// Topics and holdings of a member, from its metadata.
///
/// # Errors
/// [`Lost::Malformed`].
pub fn read_subscription(mut bytes: Bytes) -> Result<Subscription, Lost> {
    let read: ConsumerProtocolSubscription = without_version(&mut bytes)?;
    let owned = read.owned_partitions.iter().map(|owned| (owned.topic.to_string(), owned.partitions.clone()));
    Ok((read.topics.iter().map(|topic| topic.to_string()).collect(), owned.collect()))
}

/// What a member is assigned, and by which decision of its leader.
pub fn assignment(partitions: &BTreeMap<String, Vec<i32>>, decision: u64) -> Bytes {
    let assigned = partitions.iter().map(|(topic, indexes)| {
        consumer_protocol_assignment::TopicPartition::default().with_topic(name(topic)).with_partitions(indexes.clone())
    });
    let assignment = ConsumerProtocolAssignment::default()
        .with_assigned_partitions(assigned.collect())
        .with_user_data(Some(Bytes::copy_from_slice(&decision.to_be_bytes())));
    with_version(&assignment)
}

/// The same, read; nothing at all is an assignment of nothing.
///
/// # Errors
/// [`Lost::Malformed`].
pub fn read_assignment(mut bytes: Bytes) -> Result<(BTreeMap<String, Vec<i32>>, u64), Lost> {
    if bytes.is_empty() {
        return Ok((BTreeMap::new(), 0));
    }
    let read: ConsumerProtocolAssignment = without_version(&mut bytes)?;
    let decision = read.user_data.as_deref().and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
    let assigned = read.assigned_partitions.iter().map(|one| (one.topic.to_string(), one.partitions.clone()));
    Ok((assigned.collect(), decision.unwrap_or(0)))
}

fn with_version(message: &impl Encodable) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(PROTOCOL_VERSION);
    message.encode(&mut bytes, PROTOCOL_VERSION).expect("it is small");
    bytes.freeze()
}

fn without_version<M: Decodable>(bytes: &mut Bytes) -> Result<M, Lost> {
    if bytes.len() < 2 {
        return Err(Lost::Malformed("metadata of a member without a version".into()));
    }
    let version = bytes.get_i16();
    M::decode(bytes, version).map_err(|error| Lost::Malformed(error.to_string()))
}

/// A text as requests have it.
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A group's id as requests have it.
pub fn group_id(id: &str) -> GroupId {
    GroupId(text(id))
}

/// Commits the offset of one partition, with a text.
pub fn commit(
    group: &str,
    (member, instance, generation): (&str, Option<&str>, i32),
    (topic, index): (&Topic, i32),
    offset: Offset,
    metadata: &str,
) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(index)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text(metadata)));
    let topic = OffsetCommitRequestTopic::default().with_name(name(&topic.name)).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(text(member))
        .with_group_instance_id(instance.map(text))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![topic])
}
