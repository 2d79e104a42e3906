//! ConsumerGroupDescribe: members, epochs and assignments of groups of the consumer protocol (KIP-848).

use super::describe_groups::{ALL_GROUP_OPERATIONS, GROUPS_MAX};
use super::{once, text};
use crate::broker::coordinate;
use crate::broker::dispatch::Request;
use crate::broker::reply::Outcome;
use crate::coordinator::group::machine::{Input, Reply};
use crate::protocol::messages::consumer_group_describe_response::DescribedGroup;
use crate::protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId};

/// Describes groups.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<ConsumerGroupDescribeRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let ids = once(decoded.group_ids.iter().map(|id| id.0.to_string()).collect(), String::clone);
    if ids.len() > GROUPS_MAX {
        return Outcome::Close(format!("{} groups in one request, {GROUPS_MAX} are allowed: split it", ids.len()));
    }
    let unwrap = |reply| match reply {
        Reply::ConsumerGroupDescribe(groups) => groups,
        _ => unreachable!("each request has its own reply"),
    };
    let answers = coordinate::ask_groups(&origin.broker, &ids, Input::ConsumerGroupDescribe, unwrap).await;
    let groups = ids.iter().zip(answers).map(|(id, answer)| {
        let group = answer.unwrap_or_else(|error| {
            origin.refused(|| error.to_string());
            DescribedGroup::default()
                .with_group_id(GroupId(text(id)))
                .with_error_code(error.code.code())
                .with_error_message(Some(text(error.message)))
        });
        let with_operations = decoded.include_authorized_operations && group.error_code == 0;
        if with_operations { group.with_authorized_operations(ALL_GROUP_OPERATIONS) } else { group }
    });
    let response = ConsumerGroupDescribeResponse::default().with_groups(groups.collect());
    origin.reply::<ConsumerGroupDescribeRequest>(&response)
}
