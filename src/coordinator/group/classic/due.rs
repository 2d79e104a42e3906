//! What time does to a classic group: sessions end, joining and synchronising end.

use super::group::{ClassicGroup, ClassicState};
use crate::base::time::Instant;
use crate::coordinator::group::history::Cause;
use crate::coordinator::group::request::Context;

impl ClassicGroup {
    /// Starts what a group that was just replayed has not running: its members' sessions; and rebalances it if it has more
    /// members than it may have.
    pub fn settle(&mut self, context: &mut Context<'_>, rebalance: Option<Cause>) {
        for member in self.members.values_mut().filter(|member| member.session_ends.is_none() && !member.is_waiting()) {
            member.session_ends = Some(context.in_ms(member.session_timeout_ms));
        }
        let size_max = context.settings.classic.size_max;
        let over = self.members.len() > size_max && self.state == ClassicState::Stable;
        let over = over.then(|| Cause::of_group(format!("{} members, {size_max} are allowed", self.members.len())));
        if let Some(cause) = rebalance.or(over)
            && matches!(self.state, ClassicState::Stable | ClassicState::CompletingRebalance)
        {
            self.prepare(context, cause);
        }
        self.wake = self.next_deadline();
    }

    /// Does what is due, and finds out when to be called again.
    pub fn on_time(&mut self, context: &mut Context<'_>) {
        self.wake = None;
        self.end_sessions(context);
        let now = context.situation.now;
        if let Some(deadline) = self.join_deadline.filter(|deadline| deadline.at <= now) {
            self.join_deadline = None;
            self.join_time_is_up(context, deadline);
        }
        if self.sync_deadline.is_some_and(|at| at <= now) {
            self.sync_time_is_up(context);
        }
        self.wake = self.next_deadline();
    }

    fn next_deadline(&self) -> Option<Instant> {
        let sessions = self.members.values().filter_map(|member| member.session_ends);
        let pending = self.pending_joins.values().copied();
        let join = self.join_deadline.map(|deadline| deadline.at);
        sessions.chain(pending).chain(join).chain(self.sync_deadline).min()
    }

    fn end_sessions(&mut self, context: &mut Context<'_>) {
        let now = context.situation.now;
        let given_up = self.pending_joins.len();
        self.pending_joins.retain(|_, ends| *ends > now);
        let given_up = given_up > self.pending_joins.len();
        let ended = self.members.values_mut().filter(|member| member.session_ends.is_some_and(|ends| ends <= now));
        let mut removed = Vec::new();
        for member in ended {
            // Whoever waits for an answer of the group lives, unless it never was a member before.
            member.session_ends = None;
            if member.is_new || !member.is_waiting() {
                removed.push(member.id.clone());
            }
        }
        let mut cause = None;
        for id in &removed {
            let what = format!("member {id} was removed: nothing was heard of it within its session timeout");
            let found = self.remove_answering(context, id, what);
            cause = cause.or(Some(found));
        }
        match (self.state, cause) {
            (ClassicState::Stable | ClassicState::CompletingRebalance, Some(cause)) => self.prepare(context, cause),
            (ClassicState::PreparingRebalance, Some(_)) => self.complete_if_all_joined(context),
            (ClassicState::PreparingRebalance, None) if given_up => self.complete_if_all_joined(context),
            _ => {}
        }
    }

    fn sync_time_is_up(&mut self, context: &mut Context<'_>) {
        self.sync_deadline = None;
        if !matches!(self.state, ClassicState::CompletingRebalance | ClassicState::Stable)
            || self.pending_syncs.is_empty()
        {
            return;
        }
        let missing = std::mem::take(&mut self.pending_syncs);
        let mut cause = None;
        for id in &missing {
            let what = format!("member {id} was removed: it sent no SyncGroup within the rebalance timeout");
            let found = self.remove_answering(context, id, what);
            cause = cause.or(Some(found));
        }
        if let Some(cause) = cause {
            self.prepare(context, cause);
        }
    }
}
