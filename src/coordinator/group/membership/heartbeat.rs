//! ConsumerGroupHeartbeat, to a consumer group, a new group, or a classic group that becomes one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::coordinator::group::classic::group::{ClassicGroup, ClassicState};
use crate::coordinator::group::consumer::group::ConsumerGroup;
use crate::coordinator::group::consumer::heartbeat::{Decided, heartbeat, validate};
use crate::coordinator::group::consumer::member::{JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH};
use crate::coordinator::group::groups::{GROUPS_MAX, Group, Groups, merge};
use crate::coordinator::group::history::Cause;
use crate::coordinator::group::migration;
use crate::coordinator::group::request::{Caller, Context, MembershipReply, refuse, text};
use crate::coordinator::machine::{
    CoordinatorRecord, DECISION_BYTES_ENOUGH, DECISION_BYTES_MAX, Effects, ReplyTo, Situation, bytes_of,
};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

/// What one decision about a group may write, in bytes of records; a group that needs more is too large for the log.
pub const RECORDS_BYTES_MAX: usize = 6 << 20;
const _: () =
    assert!(RECORDS_BYTES_MAX + DECISION_BYTES_ENOUGH < DECISION_BYTES_MAX as usize, "of the last group that is due");

impl Groups {
    /// Answers a ConsumerGroupHeartbeat.
    pub fn consumer_heartbeat(
        &mut self,
        situation: &Situation<'_>,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
        to: ReplyTo,
    ) -> Effects<MembershipReply> {
        let mut effects = self.settled(situation, &request.group_id);
        let settings = &self.settings.consumer;
        let valid = settings.check_is_on().and_then(|()| validate(caller.api_version, request, settings));
        let answered = valid.and_then(|()| match request.member_epoch {
            LEAVE_EPOCH | LEAVE_STATIC_EPOCH => self.leave_consumer(situation, request),
            _ => self.stay(situation, caller, request),
        });
        let (response, decided) = answered.unwrap_or_else(|error| {
            tracing::debug!(group = request.group_id.as_str(), %error, "ConsumerGroupHeartbeat refused");
            let response = ConsumerGroupHeartbeatResponse::default()
                .with_error_code(error.code.code())
                .with_error_message(Some(text(&error.message)));
            (response, Effects::default())
        });
        merge(&mut effects, decided);
        effects.replies.push((to, MembershipReply::ConsumerGroupHeartbeat(Box::new(response))));
        effects
    }

    fn stay(
        &mut self,
        situation: &Situation<'_>,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(ConsumerGroupHeartbeatResponse, Effects<MembershipReply>), ClientError> {
        let id = request.group_id.as_str();
        let joins = request.member_epoch == JOIN_EPOCH;
        match self.get(id) {
            Some(Group::Consumer(_)) => self.stay_in_consumer(situation, caller, request),
            None if !joins => refuse(ErrorCode::GroupIdNotFound, format!("Consumer group {id} not found.")),
            Some(Group::Classic(_)) if !joins => {
                refuse(ErrorCode::GroupIdNotFound, format!("Group {id} is not a consumer group."))
            }
            _ if self.is_full_for(id) => {
                let message = format!("the coordinator has {GROUPS_MAX} groups: delete some that are not used");
                refuse(ErrorCode::PolicyViolation, message)
            }
            _ => self.stay_in_new(situation, caller, request),
        }
    }

    fn stay_in_consumer(
        &mut self,
        situation: &Situation<'_>,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(ConsumerGroupHeartbeatResponse, Effects<MembershipReply>), ClientError> {
        let id = request.group_id.as_str();
        let done = self.with(situation, id, |entry, settings, _| {
            let Group::Consumer(group) = &mut entry.group else {
                return refuse(ErrorCode::GroupIdNotFound, format!("Group {id} is not a consumer group."));
            };
            let decided = heartbeat(group, situation, &settings.consumer, caller, request)?;
            check_size(&decided.records)?;
            let member_id = decided.response.member_id.as_ref().map(ToString::to_string).unwrap_or_default();
            group.deadlines_of(&member_id).join = None;
            group.deadlines_of(&member_id).sync = None;
            group.restart_session(&member_id, situation.now + settings.consumer.session_timeout);
            group.note_topics(situation.now);
            if let Some(cause) = &decided.cause {
                let (epoch, members) = (group.epoch, group.members.len());
                entry.history.begin(&group.id, situation.now, situation.wall_ms, cause.clone(), epoch, members);
            }
            Ok(decided)
        });
        let Some((decided, mut effects)) = done else {
            return refuse(ErrorCode::GroupIdNotFound, format!("Consumer group {id} not found."));
        };
        let Decided { records, response, .. } = decided?;
        effects.records.extend(records);
        Ok((response, effects))
    }

    /// The group does not exist, or is classic: it becomes a consumer group by this heartbeat.
    fn stay_in_new(
        &mut self,
        situation: &Situation<'_>,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(ConsumerGroupHeartbeatResponse, Effects<MembershipReply>), ClientError> {
        let id = request.group_id.as_str();
        let mut records: Vec<CoordinatorRecord> = Vec::new();
        let group = match self.get(id) {
            Some(Group::Classic(classic)) => {
                records.extend(classic.stored.is_some().then(|| classic.key().tombstone()));
                if classic.state == ClassicState::Empty {
                    ConsumerGroup::new(Arc::clone(&classic.id))
                } else {
                    let upgraded = migration::upgrade(classic, situation, &self.settings)?;
                    records.extend(upgraded.to_records());
                    upgraded
                }
            }
            _ => ConsumerGroup::new(Arc::from(id)),
        };
        let settings = self.settings_of(situation.image, id);
        let decided = heartbeat(&group, situation, &settings.consumer, caller, request)?;
        records.extend(decided.records);
        check_size(&records)?;
        let mut effects = Effects::default();
        self.ensure(id, situation.wall_ms);
        let entry = self.with(situation, id, |entry, settings, _| {
            let Group::Classic(classic) = &mut entry.group else { return };
            let mut context = Context::new(situation, settings, &mut entry.history);
            send_away(classic, &mut context);
            effects.replies.extend(context.effects.replies);
            if let Some(cause) = &decided.cause {
                let (epoch, members) = (group.epoch, group.members.len());
                entry.history.begin(id, situation.now, situation.wall_ms, cause.clone(), epoch, members);
            }
            // The records that follow make it a consumer group; it must not be forgotten before.
            classic.unreplayed += 1;
        });
        drop(entry);
        effects.records = records;
        Ok((decided.response, effects))
    }

    fn leave_consumer(
        &mut self,
        situation: &Situation<'_>,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(ConsumerGroupHeartbeatResponse, Effects<MembershipReply>), ClientError> {
        let id = request.group_id.as_str();
        let member_id = request.member_id.as_str();
        let instance = request.instance_id.as_ref().map(|id| id.as_str());
        let done = self.with(situation, id, |entry, settings, effects| {
            let Group::Consumer(group) = &mut entry.group else {
                return refuse(ErrorCode::GroupIdNotFound, format!("Group {id} is not a consumer group."));
            };
            let member = group.leaving(member_id, instance)?;
            if request.member_epoch == LEAVE_STATIC_EPOCH {
                effects.records.push(group.leave_for_a_while(member));
                return Ok(());
            }
            let reason = format!("member {member_id} left");
            let cause = Cause::of_member(reason, &member.id, &member.told.client_id, &member.told.client_host);
            let members = BTreeSet::from([Arc::clone(&member.id)]);
            super::leave::remove(situation, entry, settings, &members, cause, effects);
            Ok(())
        });
        let Some((left, effects)) = done else {
            return refuse(ErrorCode::GroupIdNotFound, format!("Group {id} not found."));
        };
        left?;
        let response = ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(request.member_id.clone()))
            .with_member_epoch(request.member_epoch);
        Ok((response, effects))
    }
}

/// Whoever waits in a classic group that becomes a consumer group is to join that.
fn send_away(classic: &mut ClassicGroup, context: &mut Context<'_>) {
    for member in classic.members.values_mut() {
        if let Some(to) = member.waiting_join.take() {
            ClassicGroup::refuse_join(context, to, &member.id, ErrorCode::RebalanceInProgress);
        }
        if let Some(to) = member.waiting_sync.take() {
            ClassicGroup::refuse_sync(context, to, ErrorCode::RebalanceInProgress);
        }
    }
}

/// Refuses a decision that the log could not take as one batch.
pub(super) fn check_size(records: &[CoordinatorRecord]) -> Result<(), ClientError> {
    let bytes = bytes_of(records);
    if bytes <= RECORDS_BYTES_MAX {
        return Ok(());
    }
    let message =
        format!("the group needs records of {bytes} bytes, {RECORDS_BYTES_MAX} are allowed: use smaller groups");
    refuse(ErrorCode::UnknownServerError, message)
}
