//! DeleteTopics: decided by the controller, answered when the space of the topics is free again.

use super::error_fields;
use crate::broker::controller::{Command, Decided, decide};
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::metadata::controller::topics::{DeleteTopicResult, TopicToDelete};
use crate::model::ids::TopicId;
use crate::protocol::messages::delete_topics_response::DeletableTopicResult;
use crate::protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};

/// The first version that names topics by name or id (KIP-516).
const STATES_FROM: i16 = 6;
/// The first version with error messages.
const MESSAGES_FROM: i16 = 5;

/// Deletes topics.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<DeleteTopicsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let topics = wanted(&decoded, origin.version);
    let results = match decide(&origin.broker, Command::DeleteTopics(topics.clone())).await {
        Decided::DeletedTopics(results) => results,
        Decided::Failed(error) => {
            let failed = |topic: TopicToDelete| DeleteTopicResult {
                name: topic.name,
                id: topic.id,
                outcome: Err(error.clone()),
            };
            topics.into_iter().map(failed).collect()
        }
        _ => unreachable!("each command has its own answer"),
    };
    let responses = results.into_iter().map(|result| told(&origin, result)).collect();
    origin.reply::<DeleteTopicsRequest>(&DeleteTopicsResponse::default().with_responses(responses))
}

fn wanted(decoded: &DeleteTopicsRequest, version: i16) -> Vec<TopicToDelete> {
    if version >= STATES_FROM {
        let states = decoded.topics.iter();
        states
            .map(|state| TopicToDelete { name: state.name.as_ref().map(|name| name.to_string()), id: state.topic_id })
            .collect()
    } else {
        let names = decoded.topic_names.iter();
        names.map(|name| TopicToDelete { name: Some(name.to_string()), id: TopicId::nil() }).collect()
    }
}

fn told(origin: &Origin, result: DeleteTopicResult) -> DeletableTopicResult {
    let (code, message) = error_fields(result.outcome.as_ref().map(|_| ()));
    if let Err(error) = &result.outcome {
        origin.refused(|| format!("topic '{}': {error}", result.name.as_deref().unwrap_or_default()));
    }
    DeletableTopicResult::default()
        .with_name(result.name.map(|name| TopicName(super::text(name))))
        .with_topic_id(if origin.version >= STATES_FROM { result.id } else { TopicId::nil() })
        .with_error_code(code)
        .with_error_message(message.filter(|_| origin.version >= MESSAGES_FROM))
}
