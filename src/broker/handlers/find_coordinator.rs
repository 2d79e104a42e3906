//! FindCoordinator: there is none yet, and it says so in words.

use super::text;
use crate::broker::dispatch::Request;
use crate::broker::reply::Outcome;
use crate::model::error_code::ErrorCode;
use crate::protocol::messages::find_coordinator_response::Coordinator;
use crate::protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};

/// The first version that asks for several keys (KIP-699).
const BATCHES_FROM: i16 = 4;
/// The first version with an error message.
const MESSAGES_FROM: i16 = 1;
/// The key type of a transactional id.
const TRANSACTION: i8 = 1;

/// Answers that no coordinator is available.
pub fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<FindCoordinatorRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let what = if decoded.key_type == TRANSACTION { "transactions" } else { "groups" };
    let message = format!("this broker does not serve {what} yet");
    origin.refused(|| message.clone());
    let code = ErrorCode::CoordinatorNotAvailable.code();
    let response = if origin.version >= BATCHES_FROM {
        let coordinator = |key: &crate::protocol::StrBytes| {
            Coordinator::default()
                .with_key(key.clone())
                .with_node_id(BrokerId(-1))
                .with_port(-1)
                .with_error_code(code)
                .with_error_message(Some(text(message.clone())))
        };
        let coordinators = decoded.coordinator_keys.iter().map(coordinator).collect();
        FindCoordinatorResponse::default().with_coordinators(coordinators)
    } else {
        FindCoordinatorResponse::default()
            .with_error_code(code)
            .with_error_message((origin.version >= MESSAGES_FROM).then(|| text(message)))
            .with_node_id(BrokerId(-1))
            .with_port(-1)
    };
    origin.reply::<FindCoordinatorRequest>(&response)
}
