//! CreateTopics: decided by the controller, answered when the topics are open on every reactor.

use super::{error_fields, text};
use crate::broker::controller::{Command, Decided, decide};
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::metadata::config::describe::ConfigEntry;
use crate::metadata::controller::topics::{Assignment, CreateTopicResult, NewTopic};
use crate::model::error_code::ClientError;
use crate::protocol::messages::create_topics_request::CreatableTopic;
use crate::protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use crate::protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicName};

/// The first version that describes the topics made (KIP-525).
const DESCRIBED_FROM: i16 = 5;
/// The first version that tells their ids (KIP-516).
const IDS_FROM: i16 = 7;

/// Makes topics, or says what would come of it.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<CreateTopicsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let topics: Vec<NewTopic> = decoded.topics.iter().map(new_topic).collect();
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    let command = Command::CreateTopics { topics, validate_only: decoded.validate_only };
    let results = match decide(&origin.broker, command).await {
        Decided::CreatedTopics(results) => results,
        Decided::Failed(error) => failures(names, &error),
        _ => unreachable!("each command has its own answer"),
    };
    let topics = results.into_iter().map(|result| told(&origin, result)).collect();
    origin.reply::<CreateTopicsRequest>(&CreateTopicsResponse::default().with_topics(topics))
}

fn failures(names: Vec<String>, error: &ClientError) -> Vec<CreateTopicResult> {
    names.into_iter().map(|name| CreateTopicResult { name, outcome: Err(error.clone()) }).collect()
}

fn new_topic(topic: &CreatableTopic) -> NewTopic {
    let assignments = topic.assignments.iter().map(|assignment| Assignment {
        partition: assignment.partition_index,
        replicas: assignment.broker_ids.iter().map(|id| id.0).collect(),
    });
    let configs = topic.configs.iter();
    let configs = configs.map(|config| (config.name.to_string(), config.value.as_ref().map(ToString::to_string)));
    NewTopic {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.collect(),
        configs: configs.collect(),
    }
}

fn told(origin: &Origin, result: CreateTopicResult) -> CreatableTopicResult {
    let (code, message) = error_fields(result.outcome.as_ref().map(|_| ()));
    let response = CreatableTopicResult::default()
        .with_name(TopicName(text(result.name)))
        .with_error_code(code)
        .with_error_message(message);
    match result.outcome {
        Err(error) => {
            origin.refused(|| format!("topic '{}': {error}", &*response.name));
            response
        }
        Ok(_) if origin.version < DESCRIBED_FROM => response,
        Ok(created) => {
            let response = if origin.version >= IDS_FROM { response.with_topic_id(created.id) } else { response };
            response
                .with_num_partitions(created.partitions)
                .with_replication_factor(created.replication_factor)
                .with_configs(Some(created.configs.into_iter().map(described).collect()))
        }
    }
}

fn described(entry: ConfigEntry) -> CreatableTopicConfigs {
    CreatableTopicConfigs::default()
        .with_name(text(entry.name))
        .with_value(entry.value.map(text))
        .with_read_only(entry.read_only)
        .with_config_source(entry.source.code())
        .with_is_sensitive(entry.sensitive)
}
