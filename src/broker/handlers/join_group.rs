//! JoinGroup: a member of the classic protocol comes; answered when the group's next generation begins.

use super::offset_commit::caller;
use super::text;
use crate::broker::coordinate;
use crate::broker::dispatch::Request;
use crate::broker::reply::Outcome;
use crate::coordinator::group::machine::{Input, Reply};
use crate::coordinator::group::request::MembershipReply;
use crate::model::error_code::ErrorCode;
use crate::protocol::messages::{JoinGroupRequest, JoinGroupResponse};

/// The first version in which a protocol's name may be null.
const NULLABLE_PROTOCOL_FROM: i16 = 7;
/// "No generation."
const NO_GENERATION: i32 = -1;

/// Lets a member join.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<JoinGroupRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let (group, member) = (decoded.group_id.0.clone(), decoded.member_id.clone());
    let input = Input::JoinGroup(caller(&origin), Box::new(decoded));
    let mut response = match coordinate::ask_group(&origin.broker, &group, input).await {
        Ok(Reply::Membership(MembershipReply::JoinGroup(response))) => *response,
        Ok(_) => unreachable!("each request has its own reply"),
        Err(error) => {
            origin.refused(|| error.to_string());
            JoinGroupResponse::default()
                .with_generation_id(NO_GENERATION)
                .with_member_id(member)
                .with_error_code(error.code.code())
        }
    };
    if origin.version < NULLABLE_PROTOCOL_FROM {
        response.protocol_name.get_or_insert_with(|| text(""));
    } else if response.error_code != ErrorCode::None.code() {
        response.protocol_name = None;
    }
    origin.reply::<JoinGroupRequest>(&response)
}
