//! JoinGroup, to a classic group, a new group, or a consumer group.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::heartbeat::check_size;
use crate::coordinator::group::classic::group::ClassicGroup;
use crate::coordinator::group::classic::join::Join;
use crate::coordinator::group::consumer::classic_member::{joining, member_id_of};
use crate::coordinator::group::consumer::group::ConsumerState;
use crate::coordinator::group::consumer::member::ConsumerMember;
use crate::coordinator::group::groups::{Entry, Group, Groups, merge};
use crate::coordinator::group::history::Cause;
use crate::coordinator::group::migration;
use crate::coordinator::group::request::{Caller, Context, MembershipReply, text};
use crate::coordinator::group::settings::{GroupSettings, milliseconds};
use crate::coordinator::machine::{Effects, ReplyTo, Situation};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use crate::protocol::primitives::STRING_BYTES_MAX;

/// A refused JoinGroup.
fn refused(
    situation: &Situation<'_>,
    settings: &GroupSettings,
    join: &Join,
    code: ErrorCode,
) -> Effects<MembershipReply> {
    let mut history = Default::default();
    let mut context = Context::new(situation, settings, &mut history);
    ClassicGroup::refuse_join(&mut context, join.to, &join.member_id, code);
    context.effects
}

impl Groups {
    /// Takes a JoinGroup in; the reply may come with a later call.
    pub fn join(
        &mut self,
        situation: &Situation<'_>,
        caller: Caller,
        request: &JoinGroupRequest,
        to: ReplyTo,
    ) -> Effects<MembershipReply> {
        let id = request.group_id.as_str();
        let join = Join::new(caller, request, to);
        if let Some(code) = self.check_join(id, &join) {
            return refused(situation, &self.settings, &join, code);
        }
        match self.get(id) {
            Some(Group::Consumer(group)) if group.state() != ConsumerState::Empty => {
                self.join_consumer(situation, id, &join)
            }
            None | Some(Group::Consumer(_)) if !join.member_id.is_empty() => {
                refused(situation, &self.settings, &join, ErrorCode::UnknownMemberId)
            }
            _ => self.join_classic(situation, id, join),
        }
    }

    fn check_join(&self, id: &str, join: &Join) -> Option<ErrorCode> {
        let classic = &self.settings.classic;
        let bounds = classic.session_timeout_ms_min..=classic.session_timeout_ms_max;
        if id.is_empty() || id.len() > STRING_BYTES_MAX {
            Some(ErrorCode::InvalidGroupId)
        } else if !bounds.contains(&i64::from(join.session_timeout_ms)) {
            Some(ErrorCode::InvalidSessionTimeout)
        } else if join.is_too_large() {
            Some(ErrorCode::InvalidRequest)
        } else if self.is_full_for(id) {
            Some(ErrorCode::PolicyViolation)
        } else {
            None
        }
    }

    fn join_classic(&mut self, situation: &Situation<'_>, id: &str, join: Join) -> Effects<MembershipReply> {
        self.ensure(id, situation.wall_ms);
        let joined = self.with(situation, id, |entry, settings, effects| {
            if let Group::Consumer(group) = &entry.group {
                // Nobody is in it, so that its protocol may change; its records say so.
                effects.records.extend(group.to_tombstones());
                let classic = ClassicGroup::new(Arc::clone(&group.id), Some(situation.wall_ms));
                entry.group = Group::Classic(Box::new(classic));
            }
            let Entry { group: Group::Classic(group), history, .. } = entry else { return };
            let mut context = Context::new(situation, settings, history);
            group.join(&mut context, join);
            merge(effects, context.effects);
        });
        joined.map(|((), effects)| effects).unwrap_or_default()
    }

    fn join_consumer(&mut self, situation: &Situation<'_>, id: &str, join: &Join) -> Effects<MembershipReply> {
        let (to, member_id) = (join.to, join.member_id.clone());
        let joined = self.with(situation, id, |entry, settings, effects| {
            if let Err(error) = join_consumer(situation, entry, settings, join, effects) {
                tracing::debug!(group = id, member = member_id, %error, "JoinGroup refused");
                let mut context = Context::new(situation, settings, &mut entry.history);
                ClassicGroup::refuse_join(&mut context, to, &member_id, error.code);
                merge(effects, context.effects);
            }
        });
        joined.map(|((), effects)| effects).unwrap_or_default()
    }
}

/// A member of the classic protocol joins a consumer group that has members.
fn join_consumer(
    situation: &Situation<'_>,
    entry: &mut Entry,
    settings: &GroupSettings,
    join: &Join,
    effects: &mut Effects<MembershipReply>,
) -> Result<(), ClientError> {
    let Group::Consumer(group) = &mut entry.group else { return Ok(()) };
    let member_id = member_id_of(situation, join);
    let joining = joining(group, &settings.consumer, join, &member_id)?;
    if join.requires_member_id() {
        let mut context = Context::new(situation, settings, &mut entry.history);
        ClassicGroup::refuse_join(&mut context, join.to, &member_id, ErrorCode::MemberIdRequired);
        merge(effects, context.effects);
        return Ok(());
    }
    let replaced: BTreeSet<_> =
        join.instance_id.iter().filter_map(|instance| group.static_members.get(instance)).cloned().collect();
    if !replaced.is_empty() && migration::is_downgraded_without(group, &replaced, replaced.len(), settings) {
        let member = joining.plan.member;
        return join_downgrading(situation, entry, join, &member, &replaced, effects);
    }
    let reason = format!("member {member_id} joined; client reason: {}", join.reason);
    let decided = joining.decide(situation, &settings.consumer, &reason)?;
    check_size(&decided.records)?;
    let (session, sync) = (milliseconds(join.session_timeout_ms), milliseconds(join.rebalance_timeout_ms));
    let deadlines = group.deadlines_of(&member_id);
    deadlines.join = None;
    deadlines.sync = Some(situation.now + sync);
    group.restart_session(&member_id, situation.now + session);
    group.arm(situation.now + sync);
    group.note_topics(situation.now);
    if let Some(cause) = decided.cause {
        entry.history.begin(&group.id, situation.now, situation.wall_ms, cause, group.epoch, group.members.len());
    }
    effects.records.extend(decided.records);
    effects.replies.push((join.to, MembershipReply::JoinGroup(Box::new(decided.response))));
    Ok(())
}

/// The last member of the consumer protocol is back with the classic one: the group is classic from here on.
fn join_downgrading(
    situation: &Situation<'_>,
    entry: &mut Entry,
    join: &Join,
    member: &ConsumerMember,
    replaced: &BTreeSet<Arc<str>>,
    effects: &mut Effects<MembershipReply>,
) -> Result<(), ClientError> {
    let Group::Consumer(group) = &entry.group else { return Ok(()) };
    let former = replaced.iter().find_map(|id| group.members.get(id));
    let target = former.map(|former| group.target(&former.id)).unwrap_or_default();
    let records = migration::downgrade(group, replaced, Some((member, &target)), situation)?;
    check_size(&records)?;
    let is_behind = group.target_epoch.epoch < group.epoch;
    let differs = former.is_some_and(|former| former.told.topics != member.told.topics || former.regex().is_some());
    let response = JoinGroupResponse::default()
        .with_member_id(text(&member.id))
        .with_generation_id(group.epoch)
        .with_protocol_type(Some(text(&join.protocol_type)))
        .with_protocol_name(join.protocol_names().next().map(text));
    if is_behind || differs {
        let what = "took the place of the last one of the consumer protocol: the group is classic now";
        let reason = format!("member {} {what}", member.id);
        let cause = Cause::of_member(reason, &member.id, &join.caller.client_id, &join.caller.client_host);
        entry.pending_rebalance = Some(cause);
    }
    effects.records.extend(records);
    effects.replies.push((join.to, MembershipReply::JoinGroup(Box::new(response))));
    Ok(())
}
