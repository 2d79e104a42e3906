//! OffsetForLeaderEpoch (KIP-101, KIP-320): where an epoch ends, so that a client can tell whether its log was cut.

use super::produce::not_open;
use crate::broker::broker::Broker;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::message::{Answer, Ask, EpochQuestion};
use crate::broker::reply::Outcome;
use crate::broker::scatter::Scatter;
use crate::model::error_code::ClientError;
use crate::model::offset::{LeaderEpoch, Offset};
use crate::protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use crate::protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use crate::protocol::topic::TopicRef;

type EpochEnd = Result<(LeaderEpoch, Offset), ClientError>;

/// Answers with the end of one epoch a partition.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<OffsetForLeaderEpochRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let image = origin.broker.image();
    let mut scatter = Scatter::default();
    for topic in &decoded.topics {
        for partition in &topic.partitions {
            let route = origin.broker.route(&image, TopicRef::Name(&topic.topic), partition.partition);
            scatter.push(route.map_err(|unreachable| unreachable.error).map(|route| {
                let question = EpochQuestion {
                    partition: route.partition,
                    epoch: partition.leader_epoch,
                    current_leader_epoch: partition.current_leader_epoch,
                };
                (route.reactor, question)
            }));
        }
    }
    let unwrap = |answer| match answer {
        Answer::EpochEnds(ends) => ends,
        _ => unreachable!("a question for epochs is answered with their ends"),
    };
    let ends = scatter.gather(&origin.broker, Ask::EpochEnds, unwrap, answer_here).await;
    let mut ends = ends.into_iter();
    let topics = decoded.topics.iter().map(|topic| {
        let indexes = topic.partitions.iter().map(|partition| partition.partition);
        let partitions = indexes.zip(&mut ends).map(|(index, end)| told(&origin, index, end)).collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(partitions)
    });
    let response = OffsetForLeaderEpochResponse::default().with_topics(topics.collect());
    origin.reply::<OffsetForLeaderEpochRequest>(&response)
}

fn told(origin: &Origin, index: i32, end: EpochEnd) -> EpochEndOffset {
    let response = EpochEndOffset::default().with_partition(index);
    match end {
        Ok((epoch, offset)) => response.with_leader_epoch(epoch).with_end_offset(offset),
        Err(error) => {
            origin.refused(|| error.to_string());
            response.with_error_code(error.code.code()).with_leader_epoch(-1).with_end_offset(-1)
        }
    }
}

/// Answers questions about partitions that are hosted here.
pub async fn answer_here(broker: &Broker, questions: Vec<EpochQuestion>) -> Vec<EpochEnd> {
    let answer = |question: EpochQuestion| {
        let shard = broker.shards.get(question.partition).ok_or_else(|| not_open(question.partition))?;
        shard.end_offset_for_epoch(question.epoch, question.current_leader_epoch)
    };
    questions.into_iter().map(answer).collect()
}
