//! ConsumerGroupHeartbeat: a member joins, tells what changed, and hears what it may consume.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::group::ConsumerGroup;
use super::member::{ConsumerMember, JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH};
use super::plan::Plan;
use crate::coordinator::group::history::Cause;
use crate::coordinator::group::records::Key;
use crate::coordinator::group::records::consumer::{PartitionEpochs, Partitions, encode_target_member};
use crate::coordinator::group::request::{Caller, random_uuid, refuse, text};
use crate::coordinator::group::settings::ConsumerSettings;
use crate::coordinator::machine::{CoordinatorRecord, Situation};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use crate::protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

/// The first version in which members make up their own ids (KIP-1082).
const OWN_MEMBER_ID_FROM: i16 = 1;
/// The longest id, instance id or rack that is taken, in bytes.
const NAME_BYTES_MAX: usize = 4096;
/// Topics that a member may name.
const TOPICS_MAX: usize = 100_000;

/// What a heartbeat brings about.
pub struct Decided<R> {
    /// The records.
    pub records: Vec<CoordinatorRecord>,
    /// Why a rebalance begins, if one does.
    pub cause: Option<Cause>,
    /// The reply.
    pub response: R,
}

/// Checks what can be checked without the group.
///
/// # Errors
/// INVALID_REQUEST, INVALID_GROUP_ID or UNSUPPORTED_ASSIGNOR, in Kafka's words.
pub fn validate(
    version: i16,
    request: &ConsumerGroupHeartbeatRequest,
    settings: &ConsumerSettings,
) -> Result<(), ClientError> {
    let invalid = |message: &str| refuse(ErrorCode::InvalidRequest, message);
    let epoch = request.member_epoch;
    let needs_id = version >= OWN_MEMBER_ID_FROM || epoch > JOIN_EPOCH || epoch == LEAVE_EPOCH;
    let is_empty = |text: &Option<crate::protocol::StrBytes>| text.as_ref().is_some_and(|text| text.trim().is_empty());
    if needs_id && request.member_id.trim().is_empty() {
        return invalid("MemberId can't be empty.");
    }
    if request.group_id.trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if is_empty(&request.instance_id) {
        return invalid("InstanceId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return invalid("RackId can't be empty.");
    }
    let length = |text: &Option<crate::protocol::StrBytes>| text.as_ref().map_or(0, |text| text.len());
    let longest = request.member_id.len().max(length(&request.instance_id)).max(length(&request.rack_id));
    if longest > NAME_BYTES_MAX {
        return invalid(&format!("MemberId, InstanceId and RackId may have {NAME_BYTES_MAX} bytes."));
    }
    if request.subscribed_topic_names.as_ref().is_some_and(|names| names.len() > TOPICS_MAX) {
        return invalid(&format!("A member may name {TOPICS_MAX} topics; use a regular expression for more."));
    }
    match epoch {
        JOIN_EPOCH => {
            if request.rebalance_timeout_ms == -1 {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
                let message = "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.";
                return invalid(message);
            }
        }
        LEAVE_STATIC_EPOCH if request.instance_id.is_none() => return invalid("InstanceId can't be null."),
        ..LEAVE_STATIC_EPOCH => return invalid("MemberEpoch is invalid."),
        _ => {}
    }
    match request.server_assignor.as_ref().map(|name| name.as_str()) {
        Some(name) if !settings.assignors.iter().any(|known| known == name) => {
            let known = settings.assignors.join(", ");
            let message = format!("ServerAssignor {name} is not supported. Supported assignors: {known}.");
            refuse(ErrorCode::UnsupportedAssignor, message)
        }
        _ => Ok(()),
    }
}

/// Decides about a heartbeat of a member that stays or joins.
///
/// # Errors
/// Why it is fenced or refused.
pub fn heartbeat(
    group: &ConsumerGroup,
    situation: &Situation<'_>,
    settings: &ConsumerSettings,
    caller: &Caller,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<Decided<ConsumerGroupHeartbeatResponse>, ClientError> {
    let instance_id = request.instance_id.as_ref().map(|id| id.as_str());
    let joins = request.member_epoch == JOIN_EPOCH;
    check_room(group, settings, &request.member_id, instance_id)?;
    let member_id = match request.member_id.as_str() {
        "" => random_uuid(situation.random),
        id => id.to_owned(),
    };
    let owned = request.topic_partitions.as_ref().map(|owned| {
        owned.iter().map(|part| (part.topic_id, part.partitions.iter().copied().collect())).collect::<Partitions>()
    });
    let mut plan = match instance_id {
        None => dynamic(group, &member_id, joins)?,
        Some(instance) => static_by(group, &member_id, instance, joins, false)?,
    };
    if plan.replaces.is_none() {
        check_epoch(&plan.member, request.member_epoch, owned.as_ref())?;
    }
    let assigned_before = plan.member_before().map(|before| before.held.assigned.clone()).unwrap_or_default();
    tell(&mut plan.member, caller, request);
    let change = plan.subscribe(situation, settings, &format!("member {member_id} joined"))?;
    let target = plan.update_target(situation, settings);
    plan.reconcile(situation.image, &target, change.changed, owned.as_ref())?;
    let member = &plan.member;
    let is_full = request.rebalance_timeout_ms != -1
        && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
        && owned.is_some();
    let tells_assignment = joins || is_full || assigned_before != member.held.assigned;
    let response = ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(&member.id)))
        .with_member_epoch(member.held.epoch)
        .with_heartbeat_interval_ms(settings.heartbeat_interval_ms)
        .with_assignment(tells_assignment.then(|| assignment(&member.held.assigned)));
    Ok(Decided { records: plan.records, cause: plan.cause, response })
}

/// What a member holds, as the reply has it.
fn assignment(assigned: &PartitionEpochs) -> Assignment {
    let topics = assigned.iter().map(|(topic, epochs)| {
        TopicPartitions::default().with_topic_id(*topic).with_partitions(epochs.keys().copied().collect())
    });
    Assignment::default().with_topic_partitions(topics.collect())
}

/// Whether the group has room for the member, or has it already.
///
/// # Errors
/// GROUP_MAX_SIZE_REACHED.
pub fn check_room(
    group: &ConsumerGroup,
    settings: &ConsumerSettings,
    member_id: &str,
    instance_id: Option<&str>,
) -> Result<(), ClientError> {
    let is_known = group.members.contains_key(member_id)
        || instance_id.is_some_and(|instance| group.static_members.contains_key(instance));
    if is_known || group.members.len() < settings.size_max {
        return Ok(());
    }
    let message = format!("The consumer group has reached its maximum capacity of {} members.", settings.size_max);
    refuse(ErrorCode::GroupMaxSizeReached, message)
}

/// The plan for a member without instance id.
///
/// # Errors
/// UNKNOWN_MEMBER_ID when it is unknown and does not join.
pub fn dynamic<'a>(group: &'a ConsumerGroup, member_id: &str, joins: bool) -> Result<Plan<'a>, ClientError> {
    let member = match group.members.get(member_id) {
        Some(member) => member.clone(),
        None if joins => ConsumerMember::new(member_id),
        None => return Err(group.member(member_id).expect_err("it was looked up just now")),
    };
    Ok(Plan::new(group, member))
}

/// The plan for a member with an instance id: new, known, or back under another id in the place of its former self.
///
/// # Errors
/// UNRELEASED_INSTANCE_ID, FENCED_INSTANCE_ID or UNKNOWN_MEMBER_ID.
pub fn static_by<'a>(
    group: &'a ConsumerGroup,
    member_id: &str,
    instance_id: &str,
    joins: bool,
    is_classic: bool,
) -> Result<Plan<'a>, ClientError> {
    let existing = group.static_member(instance_id);
    let Some(existing) = existing else {
        if !joins {
            return refuse(ErrorCode::UnknownMemberId, format!("Instance id {instance_id} is unknown."));
        }
        return dynamic(group, member_id, true);
    };
    if !joins {
        check_instance(existing, member_id, instance_id)?;
        return Ok(Plan::new(group, existing.clone()));
    }
    let is_released = existing.held.epoch == LEAVE_STATIC_EPOCH;
    if !is_classic && !existing.is_classic() && !is_released {
        if &*existing.id == member_id {
            // Itself, which never heard that it had joined (KAFKA-19233 for static members).
            return Ok(Plan::new(group, existing.clone()));
        }
        let message = format!(
            "Static member {member_id} with instance id {instance_id} cannot join the group because the instance id is owned by {} member.",
            existing.id
        );
        return refuse(ErrorCode::UnreleasedInstanceId, message);
    }
    Ok(replacing(group, existing, member_id))
}

/// A member under a new id in the place of `former`, with all that it held and was to get.
fn replacing<'a>(group: &'a ConsumerGroup, former: &ConsumerMember, member_id: &str) -> Plan<'a> {
    let mut member = former.clone();
    member.id = Arc::from(member_id);
    member.held.epoch = JOIN_EPOCH;
    member.held.previous_epoch = JOIN_EPOCH;
    let mut plan = Plan::new(group, member);
    plan.replaces = Some(Arc::clone(&former.id));
    let (group_id, former_id) = (plan.group_id(), former.id.to_string());
    if former.id != plan.member.id {
        plan.records.extend(member_tombstones(&group_id, &former_id));
    }
    let key = Key::TargetMember { group: group_id, member: member_id.to_owned() };
    plan.records.push(key.record(encode_target_member(&group.target(&former_id))));
    plan
}

/// The records that delete a member.
pub fn member_tombstones(group: &str, member: &str) -> [CoordinatorRecord; 3] {
    let (group, member) = (|| group.to_owned(), || member.to_owned());
    [
        Key::CurrentAssignment { group: group(), member: member() }.tombstone(),
        Key::TargetMember { group: group(), member: member() }.tombstone(),
        Key::Member { group: group(), member: member() }.tombstone(),
    ]
}

/// Whether the instance id is still this member's.
///
/// # Errors
/// FENCED_INSTANCE_ID.
pub fn check_instance(owner: &ConsumerMember, member_id: &str, instance_id: &str) -> Result<(), ClientError> {
    if &*owner.id == member_id {
        return Ok(());
    }
    let message =
        format!("Static member {member_id} with instance id {instance_id} was fenced by member {}.", owner.id);
    refuse(ErrorCode::FencedInstanceId, message)
}

/// Whether the member's epoch is its present one, or the one before when the reply was lost and it holds no more than it may.
fn check_epoch(member: &ConsumerMember, epoch: i32, owned: Option<&Partitions>) -> Result<(), ClientError> {
    let known = member.held.epoch;
    if epoch == JOIN_EPOCH || epoch == known {
        return Ok(());
    }
    let is_within = |owned: &Partitions| {
        owned.iter().all(|(topic, indexes)| {
            let held = member.held.assigned.get(topic);
            indexes.iter().all(|index| held.is_some_and(|held| held.contains_key(index)))
        })
    };
    if epoch < known && epoch == member.held.previous_epoch && owned.is_some_and(is_within) {
        return Ok(());
    }
    let relation = if epoch > known { "greater" } else { "smaller" };
    let message = format!(
        "The consumer group member has a {relation} member epoch ({epoch}) than the one known by the group coordinator \
         ({known}). The member must abandon all its partitions and rejoin."
    );
    refuse(ErrorCode::FencedMemberEpoch, message)
}

/// Takes over what the member tells of itself; what it leaves out stays.
fn tell(member: &mut ConsumerMember, caller: &Caller, request: &ConsumerGroupHeartbeatRequest) {
    let told = &mut member.told;
    let owned = |text: &crate::protocol::StrBytes| text.to_string();
    if let Some(instance) = &request.instance_id {
        told.instance_id = Some(owned(instance));
    }
    if let Some(rack) = &request.rack_id {
        told.rack_id = Some(owned(rack));
    }
    if request.rebalance_timeout_ms != -1 {
        told.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(assignor) = &request.server_assignor {
        told.assignor = Some(owned(assignor));
    }
    if let Some(names) = &request.subscribed_topic_names {
        told.topics = names.iter().map(|name| name.to_string()).collect();
    }
    if let Some(regex) = &request.subscribed_topic_regex {
        told.regex = Some(owned(regex));
    }
    told.client_id.clone_from(&caller.client_id);
    told.client_host.clone_from(&caller.client_host);
    told.classic = None;
}

/// Partitions named by topics that exist, by id.
pub fn by_id(named: &BTreeMap<String, std::collections::BTreeSet<i32>>, situation: &Situation<'_>) -> Partitions {
    let known = named.iter().filter_map(|(name, indexes)| Some((situation.image.topic(name)?.id, indexes.clone())));
    known.collect()
}
