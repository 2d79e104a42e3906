//! OffsetCommit: how far a group has come, acknowledged when it is durable.

use crate::broker::broker::find_topic;
use crate::broker::coordinate;
use crate::broker::dispatch::{Origin, Request, encoded};
use crate::broker::reply::Outcome;
use crate::coordinator::group::machine::{Caller, Input, Reply};
use crate::metadata::controller::internal_topics::OFFSETS_TOPIC;
use crate::metadata::image::{Image, Topic};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::PartitionIndex;
use crate::protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use crate::protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use crate::protocol::messages::{OffsetCommitRequest, OffsetCommitResponse, TopicName};
use crate::protocol::offset_ids::{self, IDS_FROM};
use crate::protocol::topic::TopicRef;

/// Commits what can be committed, and answers partition by partition.
pub async fn handle(request: Request) -> Outcome {
    let decoded = match request.origin.version {
        IDS_FROM.. => request.decode_by(offset_ids::decode_commit),
        _ => request.decode::<OffsetCommitRequest>(),
    };
    let (origin, mut decoded) = match decoded {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let image = origin.broker.image();
    let mut refused = Vec::with_capacity(decoded.topics.len());
    let mut accepted = Vec::with_capacity(decoded.topics.len());
    // A topic without partitions is not answered, as in Kafka.
    for topic in std::mem::take(&mut decoded.topics).into_iter().filter(|topic| !topic.partitions.is_empty()) {
        let (codes, kept) = sort_out(&image, topic, origin.version);
        refused.push(codes);
        accepted.extend(kept);
    }
    decoded.topics = accepted;
    let answer =
        if decoded.topics.is_empty() { Ok(OffsetCommitResponse::default()) } else { commit(&origin, decoded).await };
    if let Err(error) = &answer {
        origin.refused(|| error.to_string());
    }
    let response = OffsetCommitResponse::default().with_topics(merged(refused, answer));
    match origin.version {
        IDS_FROM.. => encoded(offset_ids::encode_commit_response(origin.correlation_id, &response)),
        _ => origin.reply::<OffsetCommitRequest>(&response),
    }
}

async fn commit(origin: &Origin, decoded: OffsetCommitRequest) -> Result<OffsetCommitResponse, ClientError> {
    coordinate::prepare(&origin.broker, OFFSETS_TOPIC).await?;
    let group = decoded.group_id.0.clone();
    let input = Input::OffsetCommit(caller(origin), Box::new(decoded));
    match coordinate::group(&origin.broker, &group, input).await? {
        Reply::OffsetCommit(answer) => answer,
        _ => unreachable!("each request has its own reply"),
    }
}

/// Who asks, for a coordinator.
pub fn caller(origin: &Origin) -> Caller {
    // As Java prints it, which is what groups keep and tools show.
    let host = origin.connection.peer.map_or_else(String::new, |peer| format!("/{}", peer.ip().to_canonical()));
    Caller { client_id: origin.client_id.to_string(), client_host: host, api_version: origin.version }
}

/// A topic of the reply, with an error for each partition that was refused before the group was asked.
struct Told {
    topic: OffsetCommitResponseTopic,
    codes: Vec<(PartitionIndex, Option<ErrorCode>)>,
}

/// Parts what may be put to the group, its topic named, from what exists nowhere.
fn sort_out(
    image: &Image,
    mut topic: OffsetCommitRequestTopic,
    version: i16,
) -> (Told, Option<OffsetCommitRequestTopic>) {
    let by_id = version >= IDS_FROM;
    let found = {
        let wanted = if by_id { TopicRef::Id(topic.topic_id) } else { TopicRef::Name(&topic.name.0) };
        find_topic(image, wanted).cloned()
    };
    let told = OffsetCommitResponseTopic::default();
    let told = if by_id { told.with_topic_id(topic.topic_id) } else { told.with_name(topic.name.clone()) };
    let code = |index: PartitionIndex| match &found {
        Err(error) => Some(error.code),
        Ok(topic) => missing(topic, index),
    };
    let codes: Vec<_> = topic.partitions.iter().map(|one| (one.partition_index, code(one.partition_index))).collect();
    topic.partitions.retain(|one| code(one.partition_index).is_none());
    if let Ok(found) = &found {
        topic.name = TopicName(super::text(found.name.to_string()));
    }
    let kept = (!topic.partitions.is_empty()).then_some(topic);
    (Told { topic: told, codes }, kept)
}

/// The error for a partition that the topic does not have.
pub fn missing(topic: &Topic, index: PartitionIndex) -> Option<ErrorCode> {
    topic.partition(index).is_none().then_some(ErrorCode::UnknownTopicOrPartition)
}

/// Puts the group's answers, which come in the order of what it was asked, to what was refused before.
fn merged(told: Vec<Told>, answer: Result<OffsetCommitResponse, ClientError>) -> Vec<OffsetCommitResponseTopic> {
    let (codes, failure) = match answer {
        Ok(response) => {
            let partitions = response.topics.into_iter().flat_map(|topic| topic.partitions);
            (partitions.map(|partition| partition.error_code).collect(), ErrorCode::UnknownServerError)
        }
        Err(error) => (Vec::new(), error.code),
    };
    let mut codes = codes.into_iter();
    let topic = |told: Told| {
        let partitions = told.codes.into_iter().map(|(index, refused)| {
            let code = match refused {
                Some(code) => code.code(),
                None => codes.next().unwrap_or(failure.code()),
            };
            OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code)
        });
        told.topic.with_partitions(partitions.collect())
    };
    told.into_iter().map(topic).collect()
}
