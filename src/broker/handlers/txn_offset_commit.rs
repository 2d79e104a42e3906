//! TxnOffsetCommit: offsets that count once the producer's transaction is committed (KIP-98, KIP-447).

use super::offset_commit::{caller, missing};
use crate::broker::coordinate;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::coordinator::group::machine::{Input, Reply};
use crate::metadata::controller::internal_topics::OFFSETS_TOPIC;
use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::PartitionIndex;
use crate::protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use crate::protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use crate::protocol::messages::{TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse};

/// The first version whose clients know what to do while a coordinator is being loaded (KAFKA-7296).
const LOADING_KNOWN_FROM: i16 = 2;

/// Commits what can be committed, pending until the transaction's end, and answers partition by partition.
pub async fn handle(request: Request) -> Outcome {
    let (origin, mut decoded) = match request.decode::<TxnOffsetCommitRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let image = origin.broker.image();
    let mut told = Vec::with_capacity(decoded.topics.len());
    let mut accepted = Vec::with_capacity(decoded.topics.len());
    for topic in std::mem::take(&mut decoded.topics) {
        let (codes, kept) = sort_out(&image, topic);
        told.push(codes);
        accepted.extend(kept);
    }
    decoded.topics = accepted;
    let answer = if decoded.topics.is_empty() { Ok(Vec::new()) } else { commit(&origin, decoded).await };
    if let Err(error) = &answer {
        origin.refused(|| error.to_string());
    }
    let answer = answer.map_err(|error| failure(error.code, origin.version));
    origin.reply::<TxnOffsetCommitRequest>(&TxnOffsetCommitResponse::default().with_topics(merged(told, answer)))
}

/// A topic of the reply: its name, and each partition with the error for which it was refused before the group was asked.
type Told = (TopicName, Vec<(PartitionIndex, Option<ErrorCode>)>);

fn sort_out(image: &Image, mut topic: TxnOffsetCommitRequestTopic) -> (Told, Option<TxnOffsetCommitRequestTopic>) {
    let found = image.topic(&topic.name.0);
    let code = |index: PartitionIndex| match found {
        Some(topic) => missing(topic, index),
        None => Some(ErrorCode::UnknownTopicOrPartition),
    };
    let codes = topic.partitions.iter().map(|one| (one.partition_index, code(one.partition_index))).collect();
    let told = (topic.name.clone(), codes);
    topic.partitions.retain(|one| code(one.partition_index).is_none());
    (told, (!topic.partitions.is_empty()).then_some(topic))
}

/// The codes of what the group was asked, in its order.
async fn commit(origin: &Origin, decoded: TxnOffsetCommitRequest) -> Result<Vec<i16>, ClientError> {
    coordinate::prepare(&origin.broker, OFFSETS_TOPIC).await?;
    let group = decoded.group_id.0.clone();
    let input = Input::TxnOffsetCommit(caller(origin), Box::new(decoded));
    let response = match coordinate::group(&origin.broker, &group, input).await? {
        Reply::TxnOffsetCommit(answer) => answer?,
        _ => unreachable!("each request has its own reply"),
    };
    let partitions = response.topics.into_iter().flat_map(|topic| topic.partitions);
    Ok(partitions.map(|partition| partition.error_code).collect())
}

fn failure(code: ErrorCode, version: i16) -> ErrorCode {
    let loading = code == ErrorCode::CoordinatorLoadInProgress && version < LOADING_KNOWN_FROM;
    if loading { ErrorCode::CoordinatorNotAvailable } else { code }
}

fn merged(told: Vec<Told>, answer: Result<Vec<i16>, ErrorCode>) -> Vec<TxnOffsetCommitResponseTopic> {
    let (codes, failure) = match answer {
        Ok(codes) => (codes, ErrorCode::UnknownServerError),
        Err(code) => (Vec::new(), code),
    };
    let mut codes = codes.into_iter();
    let topic = |(name, partitions): Told| {
        let partitions = partitions.into_iter().map(|(index, refused)| {
            let code = match refused {
                Some(code) => code.code(),
                None => codes.next().unwrap_or(failure.code()),
            };
            TxnOffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code)
        });
        TxnOffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions.collect())
    };
    told.into_iter().map(topic).collect()
}
