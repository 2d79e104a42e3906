//! A rebalance: members are asked to join, and when all have, or time is up, the next generation begins.

use super::group::{ClassicGroup, ClassicState, JoinDeadline};
use crate::base::time::Duration;
use crate::coordinator::group::history::{Cause, Outcome};
use crate::coordinator::group::request::{Context, MembershipReply, text};
use crate::coordinator::machine::ReplyTo;
use crate::model::error_code::ErrorCode;
use crate::protocol::messages::join_group_response::JoinGroupResponseMember;
use crate::protocol::messages::{JoinGroupResponse, SyncGroupResponse};

/// "No generation."
pub const NO_GENERATION: i32 = -1;

impl ClassicGroup {
    /// A refused JoinGroup.
    pub fn refuse_join(context: &mut Context<'_>, to: ReplyTo, member_id: &str, code: ErrorCode) {
        let response = JoinGroupResponse::default()
            .with_generation_id(NO_GENERATION)
            .with_member_id(text(member_id))
            .with_error_code(code.code());
        context.reply(to, MembershipReply::JoinGroup(Box::new(response)));
    }

    /// A refused SyncGroup.
    pub fn refuse_sync(context: &mut Context<'_>, to: ReplyTo, code: ErrorCode) {
        let response = SyncGroupResponse::default().with_error_code(code.code());
        context.reply(to, MembershipReply::SyncGroup(Box::new(response)));
    }

    /// The present generation as the answer to a member's JoinGroup.
    pub fn joined_response(&self, member_id: &str) -> JoinGroupResponse {
        let members = if self.is_leader(member_id) { self.response_members() } else { Vec::new() };
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(self.protocol.as_deref().map(text))
            .with_leader(text(self.leader.as_deref().unwrap_or_default()))
            .with_member_id(text(member_id))
            .with_members(members)
    }

    /// All members with their metadata, as the leader needs them to assign.
    pub fn response_members(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.values().map(|member| {
            JoinGroupResponseMember::default()
                .with_member_id(text(&member.id))
                .with_group_instance_id(member.instance_id.as_deref().map(text))
                .with_metadata(member.metadata(protocol))
        });
        members.collect()
    }

    /// Begins a rebalance if one can begin now, or ends the joining under way if this member was the last to come.
    pub fn rebalance_or_complete(&mut self, context: &mut Context<'_>, cause: Cause) {
        if self.state == ClassicState::PreparingRebalance {
            self.complete_if_all_joined(context);
        } else {
            self.prepare(context, cause);
        }
    }

    /// Begins a rebalance.
    pub fn prepare(&mut self, context: &mut Context<'_>, cause: Cause) {
        if self.state == ClassicState::CompletingRebalance {
            self.take_assignments_back(context, ErrorCode::RebalanceInProgress);
        }
        self.pending_syncs.clear();
        self.sync_deadline = None;
        let situation = context.situation;
        tracing::debug!(group = &*self.id, state = self.state.name(), reason = cause.reason, "preparing to rebalance");
        context.history.begin(&self.id, situation.now, situation.wall_ms, cause, self.generation, self.members.len());
        let was_empty = self.state == ClassicState::Empty;
        self.enter(ClassicState::PreparingRebalance, situation.wall_ms);
        if was_empty {
            let delay = context.settings.classic.initial_rebalance_delay;
            let longest = crate::coordinator::group::settings::milliseconds(self.rebalance_timeout_ms());
            self.new_member_added = false;
            self.set_join_deadline(context, delay, Some(longest.saturating_sub(delay)));
        } else if self.have_all_joined() {
            self.complete_join(context);
        } else {
            let timeout = crate::coordinator::group::settings::milliseconds(self.rebalance_timeout_ms());
            self.set_join_deadline(context, timeout, None);
        }
    }

    fn set_join_deadline(&mut self, context: &Context<'_>, wait: Duration, initial: Option<Duration>) {
        let at = context.after(wait);
        self.join_deadline = Some(JoinDeadline { at, initial });
        self.arm(at);
    }

    /// Ends the joining under way if nobody is missing; a new group's first one lasts its time.
    pub fn complete_if_all_joined(&mut self, context: &mut Context<'_>) {
        let may_end = self.state == ClassicState::PreparingRebalance && !self.is_initial_rebalance;
        if may_end && self.have_all_joined() {
            self.complete_join(context);
        }
    }

    /// The time for joining is up: a new group to which members still come waits on (KIP-134).
    pub fn join_time_is_up(&mut self, context: &mut Context<'_>, deadline: JoinDeadline) {
        let delay = context.settings.classic.initial_rebalance_delay;
        match deadline.initial {
            Some(remaining) if self.new_member_added && !remaining.is_zero() => {
                self.new_member_added = false;
                self.set_join_deadline(context, delay.min(remaining), Some(remaining.saturating_sub(delay)));
            }
            _ => self.complete_join(context),
        }
    }

    /// The next generation begins with those who have joined; static members stay in, whether they have or not.
    pub fn complete_join(&mut self, context: &mut Context<'_>) {
        self.join_deadline = None;
        self.remove_absent_members();
        if !self.elect_leader() {
            // Static members alone, none of whom has come back: they are waited for until their sessions end.
            let timeout = crate::coordinator::group::settings::milliseconds(self.rebalance_timeout_ms());
            self.set_join_deadline(context, timeout.max(Duration::from_millis(1)), None);
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.pending_syncs.clear();
        let situation = context.situation;
        if self.members.is_empty() {
            self.protocol = None;
            self.subscribed_topics = self.compute_subscribed_topics();
            self.enter(ClassicState::Empty, situation.wall_ms);
            context.history.end(&self.id, situation.now, self.generation, 0, Outcome::Empty);
            self.write(context);
            return;
        }
        self.protocol = self.select_protocol();
        assert!(self.protocol.is_some(), "members are let in only if all speak one protocol");
        self.subscribed_topics = self.compute_subscribed_topics();
        self.enter(ClassicState::CompletingRebalance, situation.wall_ms);
        self.answer_joins(context);
        let ends = context.in_ms(self.rebalance_timeout_ms());
        self.sync_deadline = Some(ends);
        self.arm(ends);
    }

    fn answer_joins(&mut self, context: &mut Context<'_>) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let waiting = self.members.get_mut(&id).and_then(|member| {
                member.is_new = false;
                member.waiting_join.take()
            });
            if let Some(to) = waiting {
                let response = self.joined_response(&id);
                context.reply(to, MembershipReply::JoinGroup(Box::new(response)));
            }
            let timeout_ms = self.members[&id].session_timeout_ms;
            self.restart_session(&id, context.in_ms(timeout_ms));
            self.pending_syncs.insert(id);
        }
    }

    fn remove_absent_members(&mut self) {
        let is_absent =
            |member: &&super::group::ClassicMember| member.waiting_join.is_none() && member.instance_id.is_none();
        let absent: Vec<String> = self.members.values().filter(is_absent).map(|member| member.id.clone()).collect();
        for id in absent {
            self.remove(&id);
        }
    }

    /// Sees to it that the leader is one who has joined; false if members are left and none has.
    fn elect_leader(&mut self) -> bool {
        if self.members.is_empty() {
            self.leader = None;
            return true;
        }
        let has_joined = |id: &String| self.members.get(id).is_some_and(|member| member.waiting_join.is_some());
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let next = self.members.values().find(|member| member.waiting_join.is_some());
        match next.map(|member| member.id.clone()) {
            Some(id) => {
                self.leader = Some(id);
                true
            }
            None => false,
        }
    }

    /// Takes all assignments back and answers waiting SyncGroups with `code`.
    pub fn take_assignments_back(&mut self, context: &mut Context<'_>, code: ErrorCode) {
        let mut waiting = Vec::new();
        for member in self.members.values_mut() {
            member.assignment = bytes::Bytes::new();
            if let Some(to) = member.waiting_sync.take() {
                member.session_ends = Some(context.in_ms(member.session_timeout_ms));
                waiting.push((to, member.session_ends));
            }
        }
        for (to, ends) in waiting {
            ends.into_iter().for_each(|ends| self.arm(ends));
            ClassicGroup::refuse_sync(context, to, code);
        }
    }
}
