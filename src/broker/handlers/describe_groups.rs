//! DescribeGroups: members, metadata and assignments of groups of the classic protocol.

use super::offset_commit::caller;
use super::{once, text};
use crate::broker::coordinate;
use crate::broker::dispatch::Request;
use crate::broker::reply::Outcome;
use crate::coordinator::group::classic::group::DEAD;
use crate::coordinator::group::machine::{Input, Reply};
use crate::coordinator::group::membership::admin::GROUP_NOT_FOUND_FROM;
use crate::model::error_code::ClientError;
use crate::protocol::messages::describe_groups_response::DescribedGroup;
use crate::protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

/// Groups that one request may name.
pub const GROUPS_MAX: usize = 10_000;
/// The first version that can ask for what the client may do (KIP-430).
const OPERATIONS_FROM: i16 = 3;
/// READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS, by the numbers of Kafka's operations: without access control
/// everybody may do everything that there is to do with a group.
pub const ALL_GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// Describes groups.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<DescribeGroupsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let ids = once(decoded.groups.iter().map(|id| id.0.to_string()).collect(), String::clone);
    if ids.len() > GROUPS_MAX {
        return Outcome::Close(format!("{} groups in one request, {GROUPS_MAX} are allowed: split it", ids.len()));
    }
    let caller = caller(&origin);
    let unwrap = |reply| match reply {
        Reply::DescribeGroups(groups) => groups,
        _ => unreachable!("each request has its own reply"),
    };
    let input = |ids| Input::DescribeGroups(caller.clone(), ids);
    let answers = coordinate::ask_groups(&origin.broker, &ids, input, unwrap).await;
    let with_operations = decoded.include_authorized_operations && origin.version >= OPERATIONS_FROM;
    let groups = ids.iter().zip(answers).map(|(id, answer)| {
        let group = answer.unwrap_or_else(|error| {
            origin.refused(|| error.to_string());
            failed(id, &error, origin.version)
        });
        if with_operations { group.with_authorized_operations(ALL_GROUP_OPERATIONS) } else { group }
    });
    let response = DescribeGroupsResponse::default().with_groups(groups.collect());
    origin.reply::<DescribeGroupsRequest>(&response)
}

fn failed(id: &str, error: &ClientError, version: i16) -> DescribedGroup {
    DescribedGroup::default()
        .with_group_id(GroupId(text(id)))
        .with_group_state(text(DEAD))
        .with_error_code(error.code.code())
        .with_error_message((version >= GROUP_NOT_FOUND_FROM).then(|| text(error.message.clone())))
}
