//! ListGroups: all groups of all coordinators.

use crate::broker::coordinate;
use crate::broker::dispatch::Request;
use crate::broker::reply::Outcome;
use crate::coordinator::group::machine::{Input, Reply};
use crate::coordinator::group::membership::admin::Filter;
use crate::protocol::messages::{ListGroupsRequest, ListGroupsResponse};

/// States or types that one request may name.
const FILTERS_MAX: usize = 100;

/// Lists the groups of the states (KIP-518) and types (KIP-848) asked for.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<ListGroupsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let texts =
        |wanted: &[crate::protocol::StrBytes]| wanted.iter().take(FILTERS_MAX).map(ToString::to_string).collect();
    let filter = Filter { states: texts(&decoded.states_filter), types: texts(&decoded.types_filter) };
    let response = match coordinate::ask_all_groups(&origin.broker, || Input::ListGroups(filter.clone())).await {
        Ok(replies) => {
            let groups = replies.into_iter().flat_map(|reply| match reply {
                Reply::ListGroups(groups) => groups,
                _ => unreachable!("each request has its own reply"),
            });
            ListGroupsResponse::default().with_groups(groups.collect())
        }
        Err(error) => {
            origin.refused(|| error.to_string());
            ListGroupsResponse::default().with_error_code(error.code.code())
        }
    };
    origin.reply::<ListGroupsRequest>(&response)
}
