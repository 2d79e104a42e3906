//! LeaveGroup, and what removes members of a consumer group for whatever reason.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::heartbeat::{RECORDS_BYTES_MAX, check_size};
use crate::coordinator::group::classic::join::client_reason;
use crate::coordinator::group::consumer::group::ConsumerGroup;
use crate::coordinator::group::consumer::heartbeat::check_instance;
use crate::coordinator::group::consumer::member::ConsumerMember;
use crate::coordinator::group::groups::{Entry, Group, Groups, merge};
use crate::coordinator::group::history::Cause;
use crate::coordinator::group::migration;
use crate::coordinator::group::request::{Context, MembershipReply, refuse};
use crate::coordinator::group::settings::GroupSettings;
use crate::coordinator::machine::{Effects, ReplyTo, Situation};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::leave_group_response::MemberResponse;
use crate::protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

impl Groups {
    /// Answers a LeaveGroup. The members are in `request.members`, in all versions.
    pub fn leave(
        &mut self,
        situation: &Situation<'_>,
        request: &LeaveGroupRequest,
        to: ReplyTo,
    ) -> Effects<MembershipReply> {
        let id = request.group_id.as_str();
        if id.is_empty() {
            let response = LeaveGroupResponse::default().with_error_code(ErrorCode::InvalidGroupId.code());
            return Effects::reply(to, MembershipReply::LeaveGroup(response));
        }
        let left = self.with(situation, id, |entry, settings, effects| match &mut entry.group {
            Group::Classic(group) => {
                let mut context = Context::new(situation, settings, &mut entry.history);
                let responses = group.leave(&mut context, &request.members);
                merge(effects, context.effects);
                responses
            }
            Group::Consumer(_) => leave_consumer(situation, entry, settings, &request.members, effects),
        });
        let (members, mut effects) = left.unwrap_or_else(|| {
            let unknown = |identity: &MemberIdentity| response(identity, Some(ErrorCode::UnknownMemberId));
            (request.members.iter().map(unknown).collect(), Effects::default())
        });
        let response = LeaveGroupResponse::default().with_members(members);
        effects.replies.push((to, MembershipReply::LeaveGroup(response)));
        effects
    }
}

fn response(identity: &MemberIdentity, code: Option<ErrorCode>) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(identity.member_id.clone())
        .with_group_instance_id(identity.group_instance_id.clone())
        .with_error_code(code.unwrap_or(ErrorCode::None).code())
}

fn leave_consumer(
    situation: &Situation<'_>,
    entry: &mut Entry,
    settings: &GroupSettings,
    identities: &[MemberIdentity],
    effects: &mut Effects<MembershipReply>,
) -> Vec<MemberResponse> {
    let Group::Consumer(group) = &entry.group else { return Vec::new() };
    let mut leaving: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut bytes = 0;
    let mut cause = None;
    let mut responses = Vec::with_capacity(identities.len());
    for identity in identities {
        match find(group, identity) {
            Ok(member) => {
                if !leaving.contains(&member.id) {
                    bytes += group.removal_bytes(member);
                    if bytes > RECORDS_BYTES_MAX {
                        // More than one decision may write: the client is to ask again for those that are left.
                        responses.push(response(identity, Some(ErrorCode::CoordinatorNotAvailable)));
                        continue;
                    }
                }
                let reason = client_reason(identity.reason.as_ref().map(|reason| reason.as_str()));
                let reason = format!("member {} left; client reason: {reason}", member.id);
                let told = &member.told;
                cause = cause.or(Some(Cause::of_member(reason, &member.id, &told.client_id, &told.client_host)));
                leaving.insert(Arc::clone(&member.id));
                responses.push(response(identity, None));
            }
            Err(error) => responses.push(response(identity, Some(error.code))),
        }
    }
    if let Some(cause) = cause {
        remove(situation, entry, settings, &leaving, cause, effects);
    }
    responses
}

fn find<'a>(group: &'a ConsumerGroup, identity: &MemberIdentity) -> Result<&'a ConsumerMember, ClientError> {
    let Some(instance) = &identity.group_instance_id else { return group.member(&identity.member_id) };
    let Some(owner) = group.static_member(instance) else {
        return refuse(ErrorCode::UnknownMemberId, format!("Instance id {instance} is unknown."));
    };
    if !identity.member_id.is_empty() {
        check_instance(owner, &identity.member_id, instance)?;
    }
    Ok(owner)
}

/// Removes members of a consumer group, which becomes classic if only members of that protocol are left.
pub(super) fn remove(
    situation: &Situation<'_>,
    entry: &mut Entry,
    settings: &GroupSettings,
    members: &BTreeSet<Arc<str>>,
    cause: Cause,
    effects: &mut Effects<MembershipReply>,
) {
    let Group::Consumer(group) = &mut entry.group else { return };
    if migration::is_downgraded_without(group, members, 0, settings) {
        let downgraded = migration::downgrade(group, members, None, situation)
            .and_then(|records| check_size(&records).map(|()| records));
        match downgraded {
            Ok(records) => {
                effects.records.extend(records);
                entry.pending_rebalance = Some(cause);
                return;
            }
            Err(error) => tracing::warn!(group = &*group.id, %error, "the group stays a consumer group"),
        }
    }
    let records = group.remove_records(situation, members);
    effects.records.extend(records);
    let (epoch, left) = (group.epoch, group.members.len());
    entry.history.begin(&group.id, situation.now, situation.wall_ms, cause, epoch, left);
}
