//! InitProducerId: ids for idempotent producers, from blocks that the controller reserves (KIP-730), and epochs for
//! transactional ones, from their coordinator.

use std::rc::Rc;

use super::offset_commit::caller;
use crate::broker::broker::Broker;
use crate::broker::controller::{Command, Decided, decide};
use crate::broker::coordinate;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::coordinator::group::machine::Caller;
use crate::coordinator::transaction::machine::{Begin, Input, Reply};
use crate::coordinator::transaction::state::Client;
use crate::metadata::controller::internal_topics::TRANSACTIONS_TOPIC;
use crate::metadata::controller::producer_ids::ProducerIdBlock;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, ProducerEpoch, ProducerId};
use crate::protocol::messages::{self, InitProducerIdRequest, InitProducerIdResponse};

/// The first version in which producers know PRODUCER_FENCED (KIP-588).
const FENCED_FROM: i16 = 4;

/// Ids that one reactor may give out.
pub struct ProducerIds(ProducerIdBlock);

impl Default for ProducerIds {
    fn default() -> Self {
        ProducerIds(ProducerIdBlock::EMPTY)
    }
}

/// Gives an idempotent producer its id, and a transactional one id and epoch.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<InitProducerIdRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let given = match &decoded.transactional_id {
        // An idempotent producer that reset itself (KIP-360) gets a fresh id, whose epoch starts at 0.
        None => take(&origin.broker).await.map(|id| (id, 0)),
        Some(id) if id.is_empty() => Err(ClientError::new(ErrorCode::InvalidRequest, "the transactional id is empty")),
        Some(id) => begin(&origin, id, &decoded).await,
    };
    let response = InitProducerIdResponse::default();
    let response = match given {
        Ok((id, epoch)) => response.with_producer_id(messages::ProducerId(id)).with_producer_epoch(epoch),
        Err(error) => {
            origin.refused(|| error.to_string());
            response
                .with_error_code(fenced_as(error.code, origin.version >= FENCED_FROM).code())
                .with_producer_id(messages::ProducerId(NO_PRODUCER_ID))
                .with_producer_epoch(NO_PRODUCER_EPOCH)
        }
    };
    origin.reply::<InitProducerIdRequest>(&response)
}

/// The error for clients that may not know PRODUCER_FENCED: they know INVALID_PRODUCER_EPOCH.
pub fn fenced_as(code: ErrorCode, knows_fenced: bool) -> ErrorCode {
    if code == ErrorCode::ProducerFenced && !knows_fenced { ErrorCode::InvalidProducerEpoch } else { code }
}

async fn begin(
    origin: &Origin,
    transactional_id: &str,
    decoded: &InitProducerIdRequest,
) -> Result<(ProducerId, ProducerEpoch), ClientError> {
    let (producer_id, epoch) = (decoded.producer_id.0, decoded.producer_epoch);
    if (producer_id == NO_PRODUCER_ID) != (epoch == NO_PRODUCER_EPOCH) {
        let message = format!("producer id {producer_id} with epoch {epoch}: send both or none");
        return Err(ClientError::new(ErrorCode::InvalidRequest, message));
    }
    coordinate::prepare(&origin.broker, TRANSACTIONS_TOPIC).await?;
    let mut begin = Begin {
        transactional_id: transactional_id.to_owned(),
        timeout_ms: decoded.transaction_timeout_ms,
        expected: (producer_id != NO_PRODUCER_ID).then_some((producer_id, epoch)),
        fresh: None,
        client: client(origin),
    };
    loop {
        match coordinate::transaction(&origin.broker, transactional_id, Input::Begin(begin.clone())).await? {
            Reply::Producer(id, epoch) => return Ok((id, epoch)),
            Reply::Refused(error) => return Err(error),
            // Asked for once: it is there the second time.
            Reply::NeedsProducerId => begin.fresh = Some(take(&origin.broker).await?),
            _ => unreachable!("each request has its own reply"),
        }
    }
}

/// Who asks, for a coordinator of transactions.
pub fn client(origin: &Origin) -> Client {
    client_of(&caller(origin))
}

/// The same, where the request is no longer at hand.
pub fn client_of(caller: &Caller) -> Client {
    Client { id: caller.client_id.as_str().into(), host: caller.client_host.as_str().into() }
}

/// A producer id that nobody has.
pub async fn take(broker: &Rc<Broker>) -> Result<ProducerId, ClientError> {
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
