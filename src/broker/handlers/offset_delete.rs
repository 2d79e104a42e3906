//! OffsetDelete: a group's offsets of some partitions are forgotten (KIP-496).

use super::offset_commit::missing;
use crate::broker::coordinate;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::coordinator::group::machine::{Input, Reply};
use crate::metadata::controller::internal_topics::OFFSETS_TOPIC;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use crate::protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

/// Forgets offsets, of topics that exist; those of others are gone already.
pub async fn handle(request: Request) -> Outcome {
    let (origin, mut decoded) = match request.decode::<OffsetDeleteRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let image = origin.broker.image();
    let mut unknown = Vec::new();
    for topic in &mut decoded.topics {
        let known = image.topic(&topic.name.0).cloned();
        let code = |index| match &known {
            Some(topic) => missing(topic, index),
            None => Some(ErrorCode::UnknownTopicOrPartition),
        };
        let refused = topic.partitions.iter().filter_map(|one| {
            let code = code(one.partition_index)?;
            let told = OffsetDeleteResponsePartition::default().with_partition_index(one.partition_index);
            Some(told.with_error_code(code.code()))
        });
        let refused: Vec<_> = refused.collect();
        topic.partitions.retain(|one| code(one.partition_index).is_none());
        if !refused.is_empty() {
            unknown.push(OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(refused));
        }
    }
    decoded.topics.retain(|topic| !topic.partitions.is_empty());
    let response = match delete(&origin, decoded).await {
        Ok(response) => merged(response, unknown),
        Err(error) => {
            origin.refused(|| error.to_string());
            OffsetDeleteResponse::default().with_error_code(error.code.code())
        }
    };
    origin.reply::<OffsetDeleteRequest>(&response)
}

async fn delete(origin: &Origin, decoded: OffsetDeleteRequest) -> Result<OffsetDeleteResponse, ClientError> {
    if decoded.group_id.is_empty() {
        return Err(ClientError::new(ErrorCode::InvalidGroupId, "the group id is empty"));
    }
    coordinate::prepare(&origin.broker, OFFSETS_TOPIC).await?;
    let group = decoded.group_id.0.clone();
    match coordinate::group(&origin.broker, &group, Input::OffsetDelete(Box::new(decoded))).await? {
        Reply::OffsetDelete(answer) => answer,
        _ => unreachable!("each request has its own reply"),
    }
}

fn merged(mut response: OffsetDeleteResponse, unknown: Vec<OffsetDeleteResponseTopic>) -> OffsetDeleteResponse {
    for topic in unknown {
        match response.topics.iter_mut().find(|known| known.name == topic.name) {
            Some(known) => known.partitions.extend(topic.partitions),
            None => response.topics.push(topic),
        }
    }
    response
}
