//! InitProducerId: ids for idempotent producers, from blocks that the controller reserves (KIP-730).

use std::rc::Rc;

use crate::broker::broker::Broker;
use crate::broker::controller::{Command, Decided, decide};
use crate::broker::dispatch::Request;
use crate::broker::reply::Outcome;
use crate::metadata::controller::producer_ids::ProducerIdBlock;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::{self, InitProducerIdRequest, InitProducerIdResponse};

/// Ids that one reactor may give out.
pub struct ProducerIds(ProducerIdBlock);

impl Default for ProducerIds {
    fn default() -> Self {
        ProducerIds(ProducerIdBlock::EMPTY)
    }
}

/// Gives an idempotent producer its id; a transactional one is told that there is no coordinator.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<InitProducerIdRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let id = match decoded.transactional_id.as_ref().map(|id| id.as_str()) {
        None => take(&origin.broker).await,
        Some("") => Err(ClientError::new(ErrorCode::InvalidRequest, "the transactional id is empty")),
        Some(_) => {
            let message = "this broker does not serve transactions yet";
            Err(ClientError::new(ErrorCode::CoordinatorNotAvailable, message))
        }
    };
    let response = InitProducerIdResponse::default();
    let response = match id {
        // An idempotent producer that reset itself (KIP-360) gets a fresh id, whose epoch starts at 0.
        Ok(id) => response.with_producer_id(messages::ProducerId(id)).with_producer_epoch(0),
        Err(error) => {
            origin.refused(|| error.to_string());
            response
                .with_error_code(error.code.code())
                .with_producer_id(messages::ProducerId(-1))
                .with_producer_epoch(-1)
        }
    };
    origin.reply::<InitProducerIdRequest>(&response)
}

async fn take(broker: &Rc<Broker>) -> Result<i64, ClientError> {
    let id = broker.producer_ids.borrow_mut().0.take();
    if let Some(id) = id {
        return Ok(id);
    }
    match decide(broker, Command::AllocateProducerIds).await {
        Decided::ProducerIds(mut block) => {
            let id = block.take().expect("a fresh block has ids");
            // Another request may have fetched a block meanwhile; the fuller one is kept.
            let mut own = broker.producer_ids.borrow_mut();
            if own.0.left() < block.left() {
                own.0 = block;
            }
            Ok(id)
        }
        Decided::Failed(error) => Err(error),
        _ => unreachable!("each command has its own answer"),
    }
}
