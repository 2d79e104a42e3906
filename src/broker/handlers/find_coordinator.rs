//! FindCoordinator: which broker leads the partition that a group or a transactional id belongs to.

use super::text;
use crate::broker::coordinate;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::handlers::metadata::address;
use crate::broker::reply::Outcome;
use crate::metadata::controller::internal_topics::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};
use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::BrokerId;
use crate::protocol::StrBytes;
use crate::protocol::messages::find_coordinator_response::Coordinator;
use crate::protocol::messages::{self, FindCoordinatorRequest, FindCoordinatorResponse};

/// The first version that asks for several keys (KIP-699).
const BATCHES_FROM: i16 = 4;
/// The first version with an error message.
const MESSAGES_FROM: i16 = 1;
/// Keys that one request may ask for.
const KEYS_MAX: usize = 10_000;

/// Who coordinates.
struct Found {
    id: BrokerId,
    host: String,
    port: u16,
}

/// Answers with the coordinators, after making the topic in which they keep their state.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<FindCoordinatorRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let topic = match topic_of(&origin, &decoded).await {
        Ok(topic) => Ok(topic),
        Err(error) => {
            origin.refused(|| error.to_string());
            Err(error)
        }
    };
    let image = origin.broker.image();
    let find = |key: &str| topic.clone().and_then(|topic| find(&origin, &image, topic, key));
    let response = if origin.version >= BATCHES_FROM {
        let coordinators = decoded.coordinator_keys.iter().map(|key| told(key, find(key)));
        FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
    } else {
        told_alone(find(&decoded.key), origin.version)
    };
    origin.reply::<FindCoordinatorRequest>(&response)
}

/// The topic of the keys, made if need be.
async fn topic_of(origin: &Origin, decoded: &FindCoordinatorRequest) -> Result<&'static str, ClientError> {
    let topic = match decoded.key_type {
        0 => OFFSETS_TOPIC,
        1 => TRANSACTIONS_TOPIC,
        2 => return Err(ClientError::new(ErrorCode::InvalidRequest, "this broker does not serve share groups")),
        other => {
            let message = format!("key type {other} is none: ask for a group (0) or a transactional id (1)");
            return Err(ClientError::new(ErrorCode::InvalidRequest, message));
        }
    };
    if decoded.coordinator_keys.len() > KEYS_MAX {
        let message =
            format!("{} keys in one request, {KEYS_MAX} are allowed: split it", decoded.coordinator_keys.len());
        return Err(ClientError::new(ErrorCode::InvalidRequest, message));
    }
    coordinate::prepare(&origin.broker, topic).await?;
    Ok(topic)
}

fn find(origin: &Origin, image: &Image, topic: &str, key: &str) -> Result<Found, ClientError> {
    let unavailable = |what: String| ClientError::new(ErrorCode::CoordinatorNotAvailable, what);
    let id = coordinate::partition(&origin.broker, topic, key)?;
    let partition = image.partition(id).ok_or_else(|| unavailable(format!("topic '{topic}' is being made")))?;
    let (host, port) = address(origin, image, partition.leader)
        .ok_or_else(|| unavailable(format!("partition {} of topic '{topic}' has no leader", id.index)))?;
    Ok(Found { id: partition.leader, host, port })
}

fn told(key: &StrBytes, found: Result<Found, ClientError>) -> Coordinator {
    let coordinator = Coordinator::default().with_key(key.clone());
    match found {
        Ok(Found { id, host, port }) => coordinator
            .with_node_id(messages::BrokerId(id))
            .with_host(text(host))
            .with_port(i32::from(port))
            .with_error_message(Some(StrBytes::default())),
        Err(error) => coordinator
            .with_node_id(messages::BrokerId(-1))
            .with_port(-1)
            .with_error_code(error.code.code())
            .with_error_message(Some(text(error.message))),
    }
}

fn told_alone(found: Result<Found, ClientError>, version: i16) -> FindCoordinatorResponse {
    let response = FindCoordinatorResponse::default();
    let message = |message: String| (version >= MESSAGES_FROM).then(|| text(message));
    match found {
        Ok(Found { id, host, port }) => response
            .with_node_id(messages::BrokerId(id))
            .with_host(text(host))
            .with_port(i32::from(port))
            .with_error_message(message("NONE".to_owned())),
        Err(error) => response
            .with_node_id(messages::BrokerId(-1))
            .with_port(-1)
            .with_error_code(error.code.code())
            .with_error_message(message(error.message)),
    }
}
