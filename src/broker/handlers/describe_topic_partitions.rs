//! DescribeTopicPartitions (KIP-966): topics and partitions page by page.

use std::collections::BTreeSet;

use super::metadata::TOPIC_OPERATIONS;
use super::text;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::metadata::controller::internal_topics::is_internal;
use crate::metadata::controller::names::validate_topic_name;
use crate::metadata::image::{Image, Topic};
use crate::metadata::record::{NO_LEADER, PartitionRegistration};
use crate::model::error_code::ErrorCode;
use crate::protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use crate::protocol::messages::{BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName};

/// Partitions of one page at most (Kafka's `max.request.partition.size.limit`).
const PAGE_PARTITIONS_MAX: i32 = 2000;

/// Describes the partitions from the cursor on, by the image in force.
pub fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<DescribeTopicPartitionsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let image = origin.broker.image();
    let response = match &decoded.cursor {
        Some(cursor) if cursor.partition_index < 0 => refused(&origin, &decoded),
        _ => page(&image, &decoded),
    };
    origin.reply::<DescribeTopicPartitionsRequest>(&response)
}

/// There is no error for the whole request: each topic carries it.
fn refused(origin: &Origin, decoded: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    origin.refused(|| "the cursor's partition is negative".to_owned());
    let topics = decoded.topics.iter().map(|topic| failed(&topic.name, ErrorCode::InvalidRequest)).collect();
    DescribeTopicPartitionsResponse::default().with_topics(topics)
}

fn failed(name: &str, error: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default().with_error_code(error.code()).with_name(Some(TopicName(text(name))))
}

fn page(image: &Image, decoded: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let names: BTreeSet<&str> = if decoded.topics.is_empty() {
        image.topics().map(|topic| &*topic.name).collect()
    } else {
        decoded.topics.iter().map(|topic| topic.name.as_str()).collect()
    };
    let (first, mut from) = match &decoded.cursor {
        Some(cursor) => (cursor.topic_name.as_str(), usize::try_from(cursor.partition_index).unwrap_or(0)),
        None => ("", 0),
    };
    let mut room = decoded.response_partition_limit.clamp(1, PAGE_PARTITIONS_MAX) as usize;
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names.into_iter().filter(|name| *name >= first) {
        if name != first {
            from = 0;
        }
        let Some(topic) = image.topic(name) else {
            let invalid = validate_topic_name(name).is_err();
            let error = if invalid { ErrorCode::InvalidTopicException } else { ErrorCode::UnknownTopicOrPartition };
            response.topics.push(failed(name, error));
            continue;
        };
        let end = topic.partitions.len().min(from + room);
        if room > 0 {
            response.topics.push(described(topic, from.min(end)..end));
        }
        room -= end - from.min(end);
        if end < topic.partitions.len() {
            let cursor =
                Cursor::default().with_topic_name(TopicName(text(name))).with_partition_index(end.max(from) as i32);
            return response.with_next_cursor(Some(cursor));
        }
    }
    response
}

fn described(topic: &Topic, range: std::ops::Range<usize>) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(TopicName(text(&*topic.name))))
        .with_topic_id(topic.id)
        .with_is_internal(is_internal(&topic.name))
        .with_partitions(topic.partitions[range].iter().map(|partition| described_partition(partition)).collect())
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
}

fn described_partition(partition: &PartitionRegistration) -> DescribeTopicPartitionsResponsePartition {
    let ids = |ids: &[i32]| ids.iter().map(|id| BrokerId(*id)).collect::<Vec<_>>();
    let error = if partition.leader == NO_LEADER { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(error.code())
        .with_partition_index(partition.partition.index)
        .with_leader_id(BrokerId(partition.leader))
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(ids(&partition.replicas))
        .with_isr_nodes(ids(&partition.isr))
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
}
