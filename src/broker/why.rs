//! Why groups rebalanced, for `flumen group why`: a socket in the data directory that takes a group's name and a line's end, and
//! answers with its last rebalances as JSON.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::accept::{send_json, unless};
use super::broker::Broker;
use super::coordinate;
use crate::base::block::Use;
use crate::base::time::Duration;
use crate::coordinator::group::history::Rebalance;
use crate::coordinator::group::machine::{Input, Reply};
use crate::io::op::ListenAddress;
use crate::io::socket::{Listener, Socket};
use crate::protocol::primitives::STRING_BYTES_MAX;

/// The socket's name in the data directory.
pub const GROUPS_SOCKET: &str = "groups.sock";
/// Connections that the kernel keeps before they are accepted.
const BACKLOG: u32 = 16;
/// How long to wait after the kernel could not accept.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// The longest name and its line's end.
const QUESTION_BYTES_MAX: u32 = STRING_BYTES_MAX as u32 + 1;

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

/// Answers questions until the broker stops.
pub async fn serve(broker: Rc<Broker>) {
    let path = broker.config.data_directory.join(GROUPS_SOCKET);
    let mut listener = match Listener::listen(&broker.io, ListenAddress::Unix(path.clone()), BACKLOG).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "nobody can ask why groups rebalance: the socket cannot be made");
            return;
        }
    };
    let waiting = broker.waiting();
    while let Some(accepted) = unless(&waiting.hurry, listener.accept(&broker.io)).await {
        match accepted {
            Ok(accepted) => {
                let broker = Rc::clone(&broker);
                let socket = Socket::adopt(&broker.io, &accepted);
                broker.io.clone().spawn(async move { answer(&broker, &socket).await });
            }
            Err(_) => broker.io.sleep(ACCEPT_RETRY).await,
        }
    }
}

async fn answer(broker: &Rc<Broker>, socket: &Socket) {
    let waiting = broker.waiting();
    let Some(Some(group)) = unless(&waiting.hurry, question(broker, socket)).await else { return };
    send_json(broker, socket, &rebalances(broker, &group).await).await;
}

async fn question(broker: &Broker, socket: &Socket) -> Option<String> {
    let mut block = broker.io.pool().try_block(QUESTION_BYTES_MAX as usize, Use::Reply)?;
    let mut start = 0;
    while start < QUESTION_BYTES_MAX {
        let (returned, count) = socket.receive_into(&broker.io, block, start, QUESTION_BYTES_MAX - start, false).await;
        block = returned;
        let count = count.ok().filter(|count| *count > 0)?;
        start += count;
        let read = &block[..start as usize];
        if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            return std::str::from_utf8(&read[..end]).ok().map(str::to_owned);
        }
    }
    None
}

async fn rebalances(broker: &Rc<Broker>, group: &str) -> Rebalances {
    let failed = |error: String| Rebalances { error: Some(error), rebalances: Vec::new() };
    match coordinate::ask_group(broker, group, Input::Rebalances(group.to_owned())).await {
        Ok(Reply::Rebalances(Some(past))) => {
            Rebalances { error: None, rebalances: past.into_iter().map(RebalanceReport::of).collect() }
        }
        Ok(Reply::Rebalances(None)) => failed(format!("there is no group '{group}'")),
        Ok(_) => unreachable!("each request has its own reply"),
        Err(error) => failed(error.to_string()),
    }
}
