//! ListOffsets: the offset of a point in time, exact to the record, or one of the ends of a log.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::broker::broker::Broker;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::handlers::produce::not_open;
use crate::broker::message::{Answer, Ask, OffsetQuestion};
use crate::broker::reply::Outcome;
use crate::broker::scatter::Scatter;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::offset::{LeaderEpoch, list_offsets};
use crate::protocol::messages::ListOffsetsRequest;
use crate::protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use crate::protocol::topic::TopicRef;
use crate::shard::{Isolation, Shard, Shards, TimestampOffset};

/// The first version with leader epochs.
const EPOCHS_FROM: i16 = 4;

/// Answers with one offset a partition.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<ListOffsetsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let isolation = if decoded.isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
    let mut scatter = Scatter::default();
    let image = origin.broker.image();
    for topic in &decoded.topics {
        let mut seen = BTreeSet::new();
        for partition in &topic.partitions {
            let routed = if !seen.insert(partition.partition_index) {
                Err(ClientError::new(ErrorCode::InvalidRequest, "the request names this partition twice"))
            } else {
                check_timestamp(partition.timestamp, origin.version).and_then(|()| {
                    let route = origin.broker.route(&image, TopicRef::Name(&topic.name), partition.partition_index);
                    route.map_err(|unreachable| unreachable.error)
                })
            };
            scatter.push(routed.map(|route| {
                let question = OffsetQuestion {
                    partition: route.partition,
                    timestamp: partition.timestamp,
                    isolation,
                    current_leader_epoch: partition.current_leader_epoch,
                };
                (route.reactor, question)
            }));
        }
    }
    let mut answers = gather(&origin.broker, scatter).await.into_iter();
    // A topic without partitions is not answered, as in Kafka.
    let topics = decoded.topics.iter().filter(|topic| !topic.partitions.is_empty()).map(|topic| {
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        let partitions = indexes.zip(&mut answers).map(|(index, answer)| told(&origin, index, answer)).collect();
        ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    let topics = topics.collect();
    origin.reply::<ListOffsetsRequest>(&ListOffsetsResponse::default().with_topics(topics))
}

/// Offsets of partitions, wherever they are hosted.
pub async fn gather(
    broker: &Rc<Broker>,
    scatter: Scatter<OffsetQuestion>,
) -> Vec<Result<TimestampOffset, ClientError>> {
    let unwrap = |answer| match answer {
        Answer::Offsets(offsets) => offsets,
        _ => unreachable!("a question for offsets is answered with offsets"),
    };
    scatter.gather(broker, Ask::Offsets, unwrap, answer_here).await
}

/// Which special timestamps a version knows: before, a negative number is no timestamp at all.
fn check_timestamp(timestamp: i64, version: i16) -> Result<(), ClientError> {
    let known_from = match timestamp {
        0.. | list_offsets::LATEST | list_offsets::EARLIEST => 1,
        list_offsets::MAX_TIMESTAMP => 7,
        list_offsets::EARLIEST_LOCAL => 8,
        list_offsets::LATEST_TIERED => 9,
        list_offsets::EARLIEST_PENDING_UPLOAD => 11,
        _ => i16::MAX,
    };
    if version >= known_from {
        return Ok(());
    }
    let message = format!("timestamp {timestamp} has no meaning in version {version}");
    Err(ClientError::new(ErrorCode::UnsupportedVersion, message))
}

fn told(origin: &Origin, index: i32, answer: Result<TimestampOffset, ClientError>) -> ListOffsetsPartitionResponse {
    let response = ListOffsetsPartitionResponse::default().with_partition_index(index);
    match answer {
        Ok(found) => response
            .with_offset(found.offset)
            .with_timestamp(found.timestamp)
            .with_leader_epoch(if origin.version >= EPOCHS_FROM { found.leader_epoch } else { -1 }),
        Err(error) => {
            origin.refused(|| error.to_string());
            response.with_error_code(error.code.code()).with_offset(-1).with_timestamp(-1).with_leader_epoch(-1)
        }
    }
}

/// Answers questions about partitions that are hosted here.
pub async fn answer_here(broker: &Broker, questions: Vec<OffsetQuestion>) -> Vec<Result<TimestampOffset, ClientError>> {
    let mut answers = Vec::with_capacity(questions.len());
    for question in questions {
        answers.push(answer_one(&broker.shards, question).await);
    }
    answers
}

async fn answer_one(shards: &Shards, question: OffsetQuestion) -> Result<TimestampOffset, ClientError> {
    let shard = shards.get(question.partition).ok_or_else(|| not_open(question.partition))?;
    check_epoch(&shard, question.current_leader_epoch)?;
    shard.offset_for_timestamp(question.timestamp, question.isolation).await
}

/// Refuses a client that knows another leadership than this one (KIP-320).
fn check_epoch(shard: &Shard, known: LeaderEpoch) -> Result<(), ClientError> {
    let current = shard.offsets().leader_epoch;
    if known < 0 || known == current {
        return Ok(());
    }
    let code = if known < current { ErrorCode::FencedLeaderEpoch } else { ErrorCode::UnknownLeaderEpoch };
    Err(ClientError::new(code, format!("the request knows leader epoch {known}, the partition is in {current}")))
}
