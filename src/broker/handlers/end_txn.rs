//! EndTxn: a transaction is committed or aborted; answered when the decision is durable.

use super::init_producer_id::{fenced_as, take};
use crate::broker::coordinate;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::coordinator::transaction::machine::{End, Input, Reply};
use crate::coordinator::transaction::state::EPOCH_BUMP_FROM;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, ProducerEpoch, ProducerId};
use crate::protocol::messages::{self, EndTxnRequest, EndTxnResponse};

/// The first version in which producers know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;
/// The first version whose end bumps the epoch, and whose answer says to which (KIP-890).
const BUMPS_FROM: i16 = 5;

/// Has the coordinator decide.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<EndTxnRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let response = EndTxnResponse::default();
    let (id, epoch) = (messages::ProducerId(NO_PRODUCER_ID), NO_PRODUCER_EPOCH);
    let response = match end(&origin, &decoded).await {
        Ok((id, epoch)) if origin.version >= BUMPS_FROM => {
            response.with_producer_id(messages::ProducerId(id)).with_producer_epoch(epoch)
        }
        Ok(_) => response.with_producer_id(id).with_producer_epoch(epoch),
        Err(error) => {
            origin.refused(|| error.to_string());
            let code = fenced_as(error.code, origin.version >= FENCED_FROM);
            response.with_error_code(code.code()).with_producer_id(id).with_producer_epoch(epoch)
        }
    };
    origin.reply::<EndTxnRequest>(&response)
}

async fn end(origin: &Origin, decoded: &EndTxnRequest) -> Result<(ProducerId, ProducerEpoch), ClientError> {
    let transactional_id = decoded.transactional_id.to_string();
    if transactional_id.is_empty() {
        return Err(ClientError::new(ErrorCode::InvalidRequest, "the transactional id is empty"));
    }
    let mut end = End {
        transactional_id: transactional_id.clone(),
        producer_id: decoded.producer_id.0,
        producer_epoch: decoded.producer_epoch,
        commit: decoded.committed,
        client_version: if origin.version >= BUMPS_FROM { EPOCH_BUMP_FROM } else { 0 },
        fresh: None,
    };
    loop {
        match coordinate::transaction(&origin.broker, &transactional_id, Input::End(end.clone())).await? {
            Reply::Producer(id, epoch) => return Ok((id, epoch)),
            Reply::Refused(error) => return Err(error),
            // Asked for once: it is there the second time.
            Reply::NeedsProducerId => end.fresh = Some(take(&origin.broker).await?),
            _ => unreachable!("each request has its own reply"),
        }
    }
}
