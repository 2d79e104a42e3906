//! AddOffsetsToTxn: a transaction is going to commit offsets of a group, so it touches the partition that keeps them.

use super::init_producer_id::{client, fenced_as};
use crate::broker::coordinate;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::coordinator::transaction::machine::{Enlist, Input, Reply};
use crate::metadata::controller::internal_topics::OFFSETS_TOPIC;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

/// The first version in which producers know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

/// Has the coordinator add the partition of the group's offsets.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<AddOffsetsToTxnRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let code = match add(&origin, &decoded).await {
        Ok(()) => ErrorCode::None,
        Err(error) => {
            origin.refused(|| error.to_string());
            fenced_as(error.code, origin.version >= FENCED_FROM)
        }
    };
    origin.reply::<AddOffsetsToTxnRequest>(&AddOffsetsToTxnResponse::default().with_error_code(code.code()))
}

async fn add(origin: &Origin, decoded: &AddOffsetsToTxnRequest) -> Result<(), ClientError> {
    let transactional_id = decoded.transactional_id.to_string();
    for (what, text) in [("transactional id", &*transactional_id), ("group id", &decoded.group_id.0)] {
        if text.is_empty() {
            return Err(ClientError::new(ErrorCode::InvalidRequest, format!("the {what} is empty")));
        }
    }
    coordinate::prepare(&origin.broker, OFFSETS_TOPIC).await?;
    let partition = coordinate::partition(&origin.broker, OFFSETS_TOPIC, &decoded.group_id.0)?;
    let enlist = Enlist {
        transactional_id: transactional_id.clone(),
        producer_id: decoded.producer_id.0,
        producer_epoch: decoded.producer_epoch,
        partitions: vec![(OFFSETS_TOPIC.into(), partition.index)],
        verify_only: false,
        client_version: 0,
        client: client(origin),
    };
    match coordinate::transaction(&origin.broker, &transactional_id, Input::Enlist(enlist)).await? {
        Reply::Enlisted(answers) => answers.into_iter().flatten().next().map_or(Ok(()), Err),
        Reply::Refused(error) => Err(error),
        _ => unreachable!("each request has its own reply"),
    }
}
