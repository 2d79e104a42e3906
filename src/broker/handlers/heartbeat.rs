//! Heartbeat: a member of the classic protocol stays in.

use crate::broker::coordinate;
use crate::broker::dispatch::Request;
use crate::broker::reply::Outcome;
use crate::coordinator::group::machine::{Input, Reply};
use crate::coordinator::group::request::MembershipReply;
use crate::model::error_code::ErrorCode;
use crate::protocol::messages::{HeartbeatRequest, HeartbeatResponse};

/// Tells a member whether its generation stands.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<HeartbeatRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let group = decoded.group_id.0.clone();
    let response = match coordinate::ask_group(&origin.broker, &group, Input::Heartbeat(Box::new(decoded))).await {
        Ok(Reply::Membership(MembershipReply::Heartbeat(response))) => response,
        Ok(_) => unreachable!("each request has its own reply"),
        // Sessions start when the load is done, so that nothing is lost by this heartbeat; Kafka answers alike.
        Err(error) if error.code == ErrorCode::CoordinatorLoadInProgress => HeartbeatResponse::default(),
        Err(error) => {
            origin.refused(|| error.to_string());
            HeartbeatResponse::default().with_error_code(error.code.code())
        }
    };
    origin.reply::<HeartbeatRequest>(&response)
}
