//! DeleteGroups: groups without members go, with their offsets (KIP-229).

use super::describe_groups::GROUPS_MAX;
use super::{once, text};
use crate::broker::coordinate;
use crate::broker::dispatch::Request;
use crate::broker::reply::Outcome;
use crate::coordinator::group::machine::{Input, Reply};
use crate::protocol::messages::delete_groups_response::DeletableGroupResult;
use crate::protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse, GroupId};

/// Deletes groups, each with a result of its own.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<DeleteGroupsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let ids = once(decoded.groups_names.iter().map(|id| id.0.to_string()).collect(), String::clone);
    if ids.len() > GROUPS_MAX {
        return Outcome::Close(format!("{} groups in one request, {GROUPS_MAX} are allowed: split it", ids.len()));
    }
    let unwrap = |reply| match reply {
        Reply::DeleteGroups(results) => results,
        _ => unreachable!("each request has its own reply"),
    };
    let answers = coordinate::ask_groups(&origin.broker, &ids, Input::DeleteGroups, unwrap).await;
    let results = ids.iter().zip(answers).map(|(id, answer)| {
        let result = DeletableGroupResult::default().with_group_id(GroupId(text(id)));
        match answer.and_then(|result| result) {
            Ok(()) => result,
            Err(error) => {
                origin.refused(|| error.to_string());
                result.with_error_code(error.code.code())
            }
        }
    });
    let response = DeleteGroupsResponse::default().with_results(results.collect());
    origin.reply::<DeleteGroupsRequest>(&response)
}
