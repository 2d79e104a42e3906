//! DeleteRecords (KIP-107): the oldest records of partitions go, and their logs start later.

use super::produce::not_open;
use crate::broker::broker::Broker;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::message::{Answer, Ask, RecordDeletion};
use crate::broker::reply::Outcome;
use crate::broker::scatter::Scatter;
use crate::metadata::controller::internal_topics::is_internal;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::offset::Offset;
use crate::protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use crate::protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use crate::protocol::topic::TopicRef;
use crate::shard::Shards;

/// What stands for the new log start offset of a partition that was refused.
const NO_LOW_WATERMARK: Offset = -1;

/// Answers with the new log start offset of each partition. The request's timeout is for the acknowledgement of other
/// replicas, which nothing here waits for.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<DeleteRecordsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let image = origin.broker.image();
    let mut scatter = Scatter::default();
    for topic in &decoded.topics {
        for partition in &topic.partitions {
            scatter.push(check_topic(&topic.name).and_then(|()| {
                let route = origin.broker.route(&image, TopicRef::Name(&topic.name), partition.partition_index);
                let route = route.map_err(|unreachable| unreachable.error)?;
                Ok((route.reactor, RecordDeletion { partition: route.partition, before: partition.offset }))
            }));
        }
    }
    let answers = scatter.gather(&origin.broker, Ask::DeleteRecords, starts, answer_here).await;
    let mut answers = answers.into_iter();
    // A topic without partitions is not answered, as in Kafka.
    let topics = decoded.topics.iter().filter(|topic| !topic.partitions.is_empty()).map(|topic| {
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        let partitions = indexes.zip(&mut answers).map(|(index, answer)| told(&origin, index, answer)).collect();
        DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    let topics = topics.collect();
    origin.reply::<DeleteRecordsRequest>(&DeleteRecordsResponse::default().with_topics(topics))
}

fn starts(answer: Answer) -> Vec<Result<Offset, ClientError>> {
    match answer {
        Answer::DeletedRecords(starts) => starts,
        _ => unreachable!("a deletion of records is answered with log starts"),
    }
}

/// Refuses the topics in which brokers keep state, as Kafka does.
fn check_topic(name: &str) -> Result<(), ClientError> {
    if !is_internal(name) {
        return Ok(());
    }
    let message = format!("topic '{name}' is internal: its records cannot be deleted");
    Err(ClientError::new(ErrorCode::InvalidTopicException, message))
}

fn told(origin: &Origin, index: i32, answer: Result<Offset, ClientError>) -> DeleteRecordsPartitionResult {
    let result = DeleteRecordsPartitionResult::default().with_partition_index(index);
    match answer {
        Ok(log_start) => result.with_low_watermark(log_start),
        Err(error) => {
            origin.refused(|| error.to_string());
            result.with_error_code(error.code.code()).with_low_watermark(NO_LOW_WATERMARK)
        }
    }
}

/// Deletes records of partitions that are hosted here, one partition after the other.
pub async fn answer_here(broker: &Broker, deletions: Vec<RecordDeletion>) -> Vec<Result<Offset, ClientError>> {
    let mut answers = Vec::with_capacity(deletions.len());
    for deletion in deletions {
        answers.push(delete_one(&broker.shards, deletion).await);
    }
    answers
}

async fn delete_one(shards: &Shards, deletion: RecordDeletion) -> Result<Offset, ClientError> {
    let shard = shards.get(deletion.partition).ok_or_else(|| not_open(deletion.partition))?;
    if shard.settings().compacted_only {
        let message = "the topic's cleanup.policy is compact alone: with delete in it records can be deleted";
        return Err(ClientError::new(ErrorCode::PolicyViolation, message));
    }
    shard.delete_records(deletion.before).await
}
