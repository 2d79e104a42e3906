//! Why groups rebalanced, for `flumen group why`: a socket in the data directory that takes a group's name and a line's end, and
//! answers with its last rebalances as JSON.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::broker::Broker;
use super::coordinate;
use crate::coordinator::group::history::Rebalance;
use crate::coordinator::group::machine::{Input, Reply};

/// The socket's name in the data directory.
pub const GROUPS_SOCKET: &str = "groups.sock";

/// A group's last rebalances.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebalances {
    /// Why there is no answer; none if there is one.
    pub error: Option<String>,
    /// The rebalances, the oldest first.
    pub rebalances: Vec<RebalanceReport>,
}

/// One rebalance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceReport {
    /// When it began, in milliseconds since 1970.
    pub started_ms: i64,
    /// How long it took.
    pub duration_ms: u64,
    /// The generation or group epoch that came of it.
    pub generation: i32,
    /// How many members the group had when it ended.
    pub members: usize,
    /// How it ended: `stable`, `empty` or `superseded` by the next one.
    pub outcome: String,
    /// What set it off.
    pub cause: String,
    /// The member it started with, empty if with none.
    pub member_id: String,
    /// What that member's client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
}

impl RebalanceReport {
    fn of(rebalance: Rebalance) -> RebalanceReport {
        RebalanceReport {
            started_ms: rebalance.started_ms,
            duration_ms: u64::try_from(rebalance.duration.as_millis()).unwrap_or(u64::MAX),
            generation: rebalance.generation,
            members: rebalance.members,
            outcome: rebalance.outcome.name().to_owned(),
            cause: rebalance.cause.reason,
            member_id: rebalance.cause.member_id,
            client_id: rebalance.cause.client_id,
            client_host: rebalance.cause.client_host,
        }
    }
}

/// The last rebalances of `group`.
pub async fn rebalances(broker: Rc<Broker>, group: String) -> Rebalances {
    let failed = |error: String| Rebalances { error: Some(error), rebalances: Vec::new() };
    match coordinate::ask_group(&broker, &group, Input::Rebalances(group.clone())).await {
        Ok(Reply::Rebalances(Some(past))) => {
            Rebalances { error: None, rebalances: past.into_iter().map(RebalanceReport::of).collect() }
        }
        Ok(Reply::Rebalances(None)) => failed(format!("there is no group '{group}'")),
        Ok(_) => unreachable!("each request has its own reply"),
        Err(error) => failed(error.to_string()),
    }
}
