//! Why a group rebalanced: one record and one log line a rebalance.

use std::collections::VecDeque;

use crate::base::time::{Duration, Instant};

/// Rebalances remembered of each group; the oldest is forgotten first.
pub const REBALANCES_KEPT_MAX: usize = 32;
/// Of a reason that a client gave, no more than this is kept.
pub const REASON_BYTES_MAX: usize = 255;

/// What set a rebalance off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// In words, with the client's own reason if it gave one (KIP-800).
    pub reason: String,
    /// The member it started with, empty if with none.
    pub member_id: String,
    /// What that member's client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
}

impl Cause {
    /// A cause that lies with no member.
    pub fn of_group(reason: impl Into<String>) -> Cause {
        Cause {
            reason: shortened(&reason.into()),
            member_id: String::new(),
            client_id: String::new(),
            client_host: String::new(),
        }
    }

    /// A cause that lies with a member.
    pub fn of_member(reason: impl Into<String>, member_id: &str, client_id: &str, client_host: &str) -> Cause {
        Cause {
            member_id: member_id.to_owned(),
            client_id: client_id.to_owned(),
            client_host: client_host.to_owned(),
            ..Cause::of_group(reason)
        }
    }
}

/// A client's own reason, as it is kept.
pub fn shortened(reason: &str) -> String {
    reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned()
}

/// How a rebalance ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everybody has what is assigned to them.
    Stable,
    /// Nobody is left.
    Empty,
    /// The next one began before this one was through.
    Superseded,
}

impl Outcome {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Stable => "stable",
            Outcome::Empty => "empty",
            Outcome::Superseded => "superseded",
        }
    }
}

/// A rebalance that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// What set it off.
    pub cause: Cause,
    /// When it began, in milliseconds since 1970.
    pub started_ms: i64,
    /// How long it took.
    pub duration: Duration,
    /// The generation or group epoch that came of it.
    pub generation: i32,
    /// How many members the group had when it ended.
    pub members: usize,
    /// How it ended.
    pub outcome: Outcome,
}

#[derive(Clone, Debug)]
struct Open {
    cause: Cause,
    started_ms: i64,
    started: Instant,
}

/// The last rebalances of a group.
#[derive(Clone, Debug, Default)]
pub struct History {
    open: Option<Open>,
    past: VecDeque<Rebalance>,
}

impl History {
    /// A rebalance begins; one that was under way is superseded.
    pub fn begin(&mut self, group: &str, now: Instant, wall_ms: i64, cause: Cause, generation: i32, members: usize) {
        self.end(group, now, generation, members, Outcome::Superseded);
        self.open = Some(Open { cause, started_ms: wall_ms, started: now });
    }

    /// Whether a rebalance is under way.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The rebalance under way is over; nothing if there is none.
    pub fn end(&mut self, group: &str, now: Instant, generation: i32, members: usize, outcome: Outcome) {
        let Some(Open { cause, started_ms, started }) = self.open.take() else { return };
        let duration = now.since(started);
        tracing::info!(
            group,
            generation,
            members,
            outcome = outcome.name(),
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            cause = cause.reason,
            member = cause.member_id,
            client = cause.client_id,
            host = cause.client_host,
            "group rebalanced"
        );
        if self.past.len() == REBALANCES_KEPT_MAX {
            self.past.pop_front();
        }
        self.past.push_back(Rebalance { cause, started_ms, duration, generation, members, outcome });
    }

    /// The rebalances that are over, the oldest first.
    pub fn past(&self) -> impl ExactSizeIterator<Item = &Rebalance> {
        self.past.iter()
    }
}

#[cfg(test)]
mod tests;
