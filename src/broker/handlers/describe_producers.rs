//! DescribeProducers (KIP-664): who produces to partitions, and who has a transaction open in them.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::produce::not_open;
use super::text;
use crate::broker::broker::Broker;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::message::{Answer, Ask};
use crate::broker::reply::Outcome;
use crate::broker::scatter::Scatter;
use crate::metadata::controller::names::validate_topic_name;
use crate::model::error_code::ClientError;
use crate::model::ids::PartitionId;
use crate::model::offset::Offset;
use crate::protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use crate::protocol::messages::{self, DescribeProducersRequest, DescribeProducersResponse};
use crate::protocol::topic::TopicRef;
use crate::shard::ProducerDescription;

/// What stands for the first offset of a transaction where none is open.
const NO_TRANSACTION: Offset = -1;

/// Asks the reactors that host the partitions.
pub async fn handle(request: Request) -> Outcome {
    let (origin, mut decoded) = match request.decode::<DescribeProducersRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    // A partition may have thousands of producers: it is described once.
    let mut seen = BTreeSet::new();
    for topic in &mut decoded.topics {
        topic.partition_indexes.retain(|index| seen.insert((topic.name.clone(), *index)));
    }
    let image = origin.broker.image();
    let mut scatter = Scatter::default();
    for topic in &decoded.topics {
        for index in &topic.partition_indexes {
            scatter.push(validate_topic_name(&topic.name).and_then(|()| {
                let route = origin.broker.route(&image, TopicRef::Name(&topic.name), *index);
                route.map(|route| (route.reactor, route.partition)).map_err(|unreachable| unreachable.error)
            }));
        }
    }
    let mut answers = gather(&origin.broker, scatter).await.into_iter();
    let topics = decoded.topics.iter().map(|topic| {
        let indexes = topic.partition_indexes.iter();
        let partitions = indexes.zip(&mut answers).map(|(index, answer)| told(&origin, *index, answer)).collect();
        TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    let topics = topics.collect();
    origin.reply::<DescribeProducersRequest>(&DescribeProducersResponse::default().with_topics(topics))
}

/// The producers of partitions, wherever they are hosted.
pub async fn gather(
    broker: &Rc<Broker>,
    scatter: Scatter<PartitionId>,
) -> Vec<Result<Vec<ProducerDescription>, ClientError>> {
    let unwrap = |answer| match answer {
        Answer::Producers(producers) => producers,
        _ => unreachable!("a question for producers is answered with producers"),
    };
    let here = async |broker: &Broker, partitions: Vec<PartitionId>| answer_here(broker, &partitions);
    scatter.gather(broker, Ask::Producers, unwrap, here).await
}

/// The producers of partitions that are hosted here.
pub fn answer_here(broker: &Broker, partitions: &[PartitionId]) -> Vec<Result<Vec<ProducerDescription>, ClientError>> {
    let described = |partition: &PartitionId| {
        let shard = broker.shards.get(*partition).ok_or_else(|| not_open(*partition))?;
        Ok(shard.describe_producers())
    };
    partitions.iter().map(described).collect()
}

fn told(origin: &Origin, index: i32, answer: Result<Vec<ProducerDescription>, ClientError>) -> PartitionResponse {
    let response = PartitionResponse::default().with_partition_index(index);
    match answer {
        Ok(producers) => response.with_active_producers(producers.into_iter().map(state).collect()),
        Err(error) => {
            origin.refused(|| error.to_string());
            response.with_error_code(error.code.code()).with_error_message(Some(text(error.message)))
        }
    }
}

fn state(producer: ProducerDescription) -> ProducerState {
    ProducerState::default()
        .with_producer_id(messages::ProducerId(producer.producer_id))
        .with_producer_epoch(i32::from(producer.producer_epoch))
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.last_timestamp)
        .with_coordinator_epoch(producer.coordinator_epoch)
        .with_current_txn_start_offset(producer.transaction_first_offset.unwrap_or(NO_TRANSACTION))
}
