//! SyncGroup and Heartbeat, to a classic group or by a member of that protocol in a consumer group.

use std::sync::Arc;

use crate::base::time::Duration;
use crate::coordinator::group::consumer::classic_member::{check_generation, classic_member, has_to_join, sync};
use crate::coordinator::group::consumer::group::ConsumerGroup;
use crate::coordinator::group::groups::{Group, Groups, merge};
use crate::coordinator::group::request::{Context, MembershipReply};
use crate::coordinator::machine::{Effects, ReplyTo, Situation};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::{HeartbeatRequest, HeartbeatResponse, SyncGroupRequest, SyncGroupResponse};

fn sync_refused(to: ReplyTo, code: ErrorCode) -> Effects<MembershipReply> {
    let response = SyncGroupResponse::default().with_error_code(code.code());
    Effects::reply(to, MembershipReply::SyncGroup(Box::new(response)))
}

impl Groups {
    /// Takes a SyncGroup in; the reply may come with a later call.
    pub fn sync(
        &mut self,
        situation: &Situation<'_>,
        request: &SyncGroupRequest,
        to: ReplyTo,
    ) -> Effects<MembershipReply> {
        let id = request.group_id.as_str();
        if id.is_empty() {
            return sync_refused(to, ErrorCode::InvalidGroupId);
        }
        let synced = self.with(situation, id, |entry, settings, effects| match &mut entry.group {
            Group::Classic(group) => {
                let mut context = Context::new(situation, settings, &mut entry.history);
                group.sync(&mut context, request, to);
                merge(effects, context.effects);
            }
            Group::Consumer(group) => {
                let reply = sync_consumer(group, situation, request);
                let response =
                    reply.unwrap_or_else(|error| SyncGroupResponse::default().with_error_code(error.code.code()));
                effects.replies.push((to, MembershipReply::SyncGroup(Box::new(response))));
            }
        });
        synced.map(|((), effects)| effects).unwrap_or_else(|| sync_refused(to, ErrorCode::UnknownMemberId))
    }

    /// Answers a Heartbeat.
    pub fn heartbeat(
        &mut self,
        situation: &Situation<'_>,
        request: &HeartbeatRequest,
        to: ReplyTo,
    ) -> Effects<MembershipReply> {
        let id = request.group_id.as_str();
        let instance = request.group_instance_id.as_ref().map(|id| id.as_str());
        let beaten = self.with(situation, id, |entry, settings, _| match &mut entry.group {
            Group::Classic(group) => {
                let context = Context::new(situation, settings, &mut entry.history);
                group.heartbeat(&context, &request.member_id, instance, request.generation_id)
            }
            Group::Consumer(group) => heartbeat_consumer(group, situation, request).map_err(|error| error.code),
        });
        let (result, mut effects) = beaten.unwrap_or_else(|| (Err(ErrorCode::UnknownMemberId), Effects::default()));
        let result = if id.is_empty() { Err(ErrorCode::InvalidGroupId) } else { result };
        let code = result.err().unwrap_or(ErrorCode::None);
        let response = HeartbeatResponse::default().with_error_code(code.code());
        effects.replies.push((to, MembershipReply::Heartbeat(response)));
        effects
    }
}

fn sync_consumer(
    group: &mut ConsumerGroup,
    situation: &Situation<'_>,
    request: &SyncGroupRequest,
) -> Result<SyncGroupResponse, ClientError> {
    let response = sync(group, situation.image, request);
    let instance = request.group_instance_id.as_ref().map(|id| id.as_str());
    let Ok(member) = classic_member(group, &request.member_id, instance) else { return response };
    let (id, session, join) =
        (Arc::clone(&member.id), member.session_timeout(Duration::ZERO), member.rebalance_timeout());
    match &response {
        Ok(_) => {
            group.deadlines_of(&id).sync = None;
            group.restart_session(&id, situation.now + session);
        }
        Err(error) if error.code == ErrorCode::RebalanceInProgress => told_to_join(group, situation, &id, join),
        Err(_) => {}
    }
    response
}

fn heartbeat_consumer(
    group: &mut ConsumerGroup,
    situation: &Situation<'_>,
    request: &HeartbeatRequest,
) -> Result<(), ClientError> {
    let instance = request.group_instance_id.as_ref().map(|id| id.as_str());
    let member = classic_member(group, &request.member_id, instance)?;
    check_generation(member, request.generation_id)?;
    let has_to_join = has_to_join(group, member);
    let (id, session, join) =
        (Arc::clone(&member.id), member.session_timeout(Duration::ZERO), member.rebalance_timeout());
    group.restart_session(&id, situation.now + session);
    if !has_to_join {
        return Ok(());
    }
    told_to_join(group, situation, &id, join);
    Err(ClientError::new(ErrorCode::RebalanceInProgress, "the member has to join anew"))
}

/// A member that was told to join has its rebalance timeout for it, from the first time it was told.
fn told_to_join(group: &mut ConsumerGroup, situation: &Situation<'_>, id: &str, timeout: Duration) {
    let ends = situation.now + timeout;
    let ends = *group.deadlines_of(id).join.get_or_insert(ends);
    group.arm(ends);
}
