//! LeaveGroup: members go, one of them up to version 2, any number from 3 on (KIP-345).

use crate::broker::coordinate;
use crate::broker::dispatch::Request;
use crate::broker::reply::Outcome;
use crate::coordinator::group::machine::{Input, Reply};
use crate::coordinator::group::request::MembershipReply;
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

/// The first version that names several members.
const MEMBERS_FROM: i16 = 3;
/// Members that one request may name.
const MEMBERS_MAX: usize = 100_000;

/// Removes members.
pub async fn handle(request: Request) -> Outcome {
    let (origin, mut decoded) = match request.decode::<LeaveGroupRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    if origin.version < MEMBERS_FROM {
        decoded.members = vec![MemberIdentity::default().with_member_id(decoded.member_id.clone())];
    }
    if decoded.members.len() > MEMBERS_MAX {
        let count = decoded.members.len();
        return Outcome::Close(format!("{count} members in one request, {MEMBERS_MAX} are allowed: split it"));
    }
    let group = decoded.group_id.0.clone();
    let response = match coordinate::ask_group(&origin.broker, &group, Input::LeaveGroup(Box::new(decoded))).await {
        Ok(Reply::Membership(MembershipReply::LeaveGroup(response))) => response,
        Ok(_) => unreachable!("each request has its own reply"),
        Err(error) => {
            origin.refused(|| error.to_string());
            LeaveGroupResponse::default().with_error_code(error.code.code())
        }
    };
    origin.reply::<LeaveGroupRequest>(&for_version(response, origin.version))
}

/// Up to version 2 the one member's error is the request's.
fn for_version(mut response: LeaveGroupResponse, version: i16) -> LeaveGroupResponse {
    if version < MEMBERS_FROM {
        let members = std::mem::take(&mut response.members);
        if let Some(member) = members.first().filter(|_| response.error_code == 0) {
            response.error_code = member.error_code;
        }
    }
    response
}
