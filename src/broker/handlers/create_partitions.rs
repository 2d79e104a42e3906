//! CreatePartitions: adds partitions to topics.

use super::{error_fields, text};
use crate::broker::controller::{Command, Decided, decide};
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::metadata::controller::topics::{CreatePartitionsResult, NewPartitions};
use crate::protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use crate::protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use crate::protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse, TopicName};

/// Adds partitions, or says what would come of it.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<CreatePartitionsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let topics: Vec<NewPartitions> = decoded.topics.iter().map(new_partitions).collect();
    let names: Vec<String> = topics.iter().map(|topic| topic.topic.clone()).collect();
    let command = Command::CreatePartitions { topics, validate_only: decoded.validate_only };
    let results = match decide(&origin.broker, command).await {
        Decided::CreatedPartitions(results) => results,
        Decided::Failed(error) => {
            names.into_iter().map(|topic| CreatePartitionsResult { topic, outcome: Err(error.clone()) }).collect()
        }
        _ => unreachable!("each command has its own answer"),
    };
    let results = results.into_iter().map(|result| told(&origin, result)).collect();
    origin.reply::<CreatePartitionsRequest>(&CreatePartitionsResponse::default().with_results(results))
}

fn new_partitions(topic: &CreatePartitionsTopic) -> NewPartitions {
    let replicas =
        |assignment: &CreatePartitionsAssignment| assignment.broker_ids.iter().map(|id| id.0).collect::<Vec<i32>>();
    NewPartitions {
        topic: topic.name.to_string(),
        count: topic.count,
        assignments: topic.assignments.as_ref().map(|assignments| assignments.iter().map(replicas).collect()),
    }
}

fn told(origin: &Origin, result: CreatePartitionsResult) -> CreatePartitionsTopicResult {
    let (code, message) = error_fields(result.outcome.as_ref().copied());
    if let Err(error) = &result.outcome {
        origin.refused(|| format!("topic '{}': {error}", result.topic));
    }
    CreatePartitionsTopicResult::default()
        .with_name(TopicName(text(result.topic)))
        .with_error_code(code)
        .with_error_message(message)
}
