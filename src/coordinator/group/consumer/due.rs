//! What time does to a consumer group: members that are silent, do not give up partitions, or do not join are removed.

use std::sync::Arc;

use super::group::{ConsumerGroup, MemberDeadlines};
use crate::base::time::{Duration, Instant};
use crate::coordinator::group::records::consumer::MemberState;

impl ConsumerGroup {
    /// Starts the deadlines that what was replayed brings with it.
    pub fn settle(&mut self, now: Instant, session_timeout: Duration) {
        self.is_unsettled = false;
        let mut first: Option<Instant> = None;
        for (id, deadlines) in &mut self.deadlines {
            let Some(member) = self.members.get(id) else { continue };
            if deadlines.session.is_none() {
                deadlines.session = Some(now + member.session_timeout(session_timeout));
            }
            // One of the classic protocol is told to join instead, and has as long for that.
            let gives_up = member.held.state == MemberState::UnrevokedPartitions && !member.is_classic();
            if gives_up && deadlines.revocation.is_none() {
                deadlines.revocation = Some(now + member.rebalance_timeout());
            }
            first = [first, deadlines.first()].into_iter().flatten().min();
        }
        self.wake = first;
    }

    /// The members whose time is up, with the reason; and when to look again.
    pub fn due(&mut self, now: Instant) -> Vec<(Arc<str>, &'static str)> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let members = &self.members;
        self.deadlines.retain(|id, _| members.contains_key(id));
        let mut due = Vec::new();
        let mut first: Option<Instant> = None;
        for (id, deadlines) in &self.deadlines {
            let MemberDeadlines { session, revocation, join, sync } = *deadlines;
            let reason = if is_due(session) {
                Some("nothing was heard of it within its session timeout")
            } else if is_due(revocation) {
                Some("it did not give up its partitions within its rebalance timeout")
            } else if is_due(join) {
                Some("it did not join within its rebalance timeout")
            } else if is_due(sync) {
                Some("it sent no SyncGroup within its rebalance timeout")
            } else {
                None
            };
            match reason {
                Some(reason) => due.push((Arc::clone(id), reason)),
                None => first = [first, deadlines.first()].into_iter().flatten().min(),
            }
        }
        self.wake = first;
        due
    }
}
