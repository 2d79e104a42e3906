//! SyncGroup: the leader brings the assignment, the others wait for theirs.

use crate::broker::coordinate;
use crate::broker::dispatch::Request;
use crate::broker::reply::Outcome;
use crate::coordinator::group::machine::{Input, Reply};
use crate::coordinator::group::request::MembershipReply;
use crate::model::error_code::ErrorCode;
use crate::protocol::messages::{SyncGroupRequest, SyncGroupResponse};

/// The first version that has to name the protocol and its type (KIP-559).
const PROTOCOL_NAMED_FROM: i16 = 5;

/// Gives a member its assignment.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<SyncGroupRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let is_named = decoded.protocol_type.is_some() && decoded.protocol_name.is_some();
    if origin.version >= PROTOCOL_NAMED_FROM && !is_named {
        let code = ErrorCode::InconsistentGroupProtocol.code();
        return origin.reply::<SyncGroupRequest>(&SyncGroupResponse::default().with_error_code(code));
    }
    let group = decoded.group_id.0.clone();
    let response = match coordinate::ask_group(&origin.broker, &group, Input::SyncGroup(Box::new(decoded))).await {
        Ok(Reply::Membership(MembershipReply::SyncGroup(response))) => *response,
        Ok(_) => unreachable!("each request has its own reply"),
        Err(error) => {
            origin.refused(|| error.to_string());
            SyncGroupResponse::default().with_error_code(error.code.code())
        }
    };
    origin.reply::<SyncGroupRequest>(&response)
}
