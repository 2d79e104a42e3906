//! ConsumerGroupHeartbeat: a member of the consumer protocol joins, stays in, or leaves (KIP-848).

use super::offset_commit::caller;
use super::text;
use crate::broker::coordinate;
use crate::broker::dispatch::Request;
use crate::broker::reply::Outcome;
use crate::coordinator::group::machine::{Input, Reply};
use crate::coordinator::group::request::MembershipReply;
use crate::protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

/// Tells a member its epoch and what it may consume.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<ConsumerGroupHeartbeatRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let group = decoded.group_id.0.clone();
    let input = Input::ConsumerGroupHeartbeat(caller(&origin), Box::new(decoded));
    let response = match coordinate::ask_group(&origin.broker, &group, input).await {
        Ok(Reply::Membership(MembershipReply::ConsumerGroupHeartbeat(response))) => *response,
        Ok(_) => unreachable!("each request has its own reply"),
        Err(error) => {
            origin.refused(|| error.to_string());
            ConsumerGroupHeartbeatResponse::default()
                .with_error_code(error.code.code())
                .with_error_message(Some(text(error.message)))
        }
    };
    origin.reply::<ConsumerGroupHeartbeatRequest>(&response)
}
