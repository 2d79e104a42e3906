//! Groups change their protocol while they are in use: a classic group becomes a consumer group when a member of the new protocol
//! joins, and goes back when the last one leaves (KIP-848, `group.consumer.migration.policy`).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::classic::group::{ClassicGroup, ClassicMember, ClassicState};
use super::consumer::group::ConsumerGroup;
use super::consumer::heartbeat::by_id;
use super::consumer::member::ConsumerMember;
use super::consumer_protocol::{self, NamedPartitions, PROTOCOL_TYPE};
use super::records::consumer::{
    ClassicMetadata, CurrentAssignmentValue, MemberState, MemberValue, Partitions, TargetEpochValue,
};
use super::request::refuse;
use super::settings::GroupSettings;
use super::topic_hash;
use crate::coordinator::machine::{CoordinatorRecord, Situation};
use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};

/// The consumer group that a classic group in use becomes.
///
/// # Errors
/// GROUP_ID_NOT_FOUND, as Kafka says it, and why the group stays classic.
pub fn upgrade(
    classic: &ClassicGroup,
    situation: &Situation<'_>,
    settings: &GroupSettings,
) -> Result<ConsumerGroup, ClientError> {
    let refused = |reason: String| {
        let message = format!("Cannot upgrade classic group {} to consumer group because {reason}.", classic.id);
        refuse(ErrorCode::GroupIdNotFound, message)
    };
    if !settings.consumer.migration.upgrade {
        return refused("online upgrade is disabled".to_owned());
    }
    if !classic.is_of_consumers() {
        return refused("the group does not use the consumer embedded protocol".to_owned());
    }
    if classic.members.len() > settings.consumer.size_max {
        return refused("the group size exceeds the consumer group maximum size".to_owned());
    }
    let mut group = ConsumerGroup::new(Arc::clone(&classic.id));
    group.epoch = classic.generation;
    group.has_epoch_record = true;
    group.target_epoch = TargetEpochValue { epoch: classic.generation, timestamp_ms: 0 };
    for member in classic.members.values() {
        match upgraded(classic, member, situation) {
            Ok((told, assigned)) => add_upgraded(&mut group, member, told, assigned),
            Err(reason) => return refused(reason),
        }
    }
    let topics: Vec<String> = group.subscribed_topics().into_iter().map(str::to_owned).collect();
    group.metadata_hash = topic_hash::of_topics(situation.image, topics.iter().map(String::as_str));
    Ok(group)
}

fn upgraded(
    classic: &ClassicGroup,
    member: &ClassicMember,
    situation: &Situation<'_>,
) -> Result<(MemberValue, Partitions), String> {
    let protocol = classic.protocol.as_deref().or_else(|| member.protocols.first().map(|(name, _)| name.as_str()));
    let metadata = member.metadata(protocol.unwrap_or_default());
    let subscription = consumer_protocol::read_subscription(&metadata)
        .map_err(|reason| format!("the embedded consumer protocol is malformed: {reason}"))?;
    let assigned = match member.assignment.is_empty() {
        true => Partitions::new(),
        false => {
            let assignment = consumer_protocol::read_assignment(&member.assignment)
                .map_err(|reason| format!("the embedded consumer protocol is malformed: {reason}"))?;
            if assignment.has_user_data {
                return Err(
                    "an unsupported custom assignor is in use. Please refer to the documentation or switch to a \
                     default assignor before re-attempting the upgrade"
                        .to_owned(),
                );
            }
            by_id(&assignment.partitions, situation)
        }
    };
    let told = MemberValue {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        topics: subscription.topics,
        regex: Some(String::new()),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        assignor: None,
        classic: Some(ClassicMetadata {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
    };
    Ok((told, assigned))
}

/// Adds a member with what it was assigned, as far as no member before it was: assignors of clients may err.
fn add_upgraded(group: &mut ConsumerGroup, member: &ClassicMember, told: MemberValue, mut assigned: Partitions) {
    for (topic, indexes) in &mut assigned {
        indexes.retain(|index| group.holder(*topic, *index).is_none());
    }
    assigned.retain(|_, indexes| !indexes.is_empty());
    let epoch = group.epoch;
    let with_epochs =
        assigned.iter().map(|(topic, indexes)| (*topic, indexes.iter().map(|index| (*index, epoch)).collect()));
    let held = CurrentAssignmentValue {
        epoch,
        previous_epoch: epoch,
        state: MemberState::Stable,
        assigned: with_epochs.collect(),
        revoking: Default::default(),
    };
    group.replay_member(&member.id, Some(told));
    group.replay_target(&member.id, Some(assigned));
    group.replay_held(&member.id, Some(held));
}

/// Whether a consumer group becomes classic once `leaving` are gone (or, in the case of a static member that comes back with the
/// classic protocol, are replaced): nobody is left who speaks the consumer protocol.
pub fn is_downgraded_without(
    group: &ConsumerGroup,
    leaving: &BTreeSet<Arc<str>>,
    replaced: usize,
    settings: &GroupSettings,
) -> bool {
    let staying = || group.members.values().filter(|member| !leaving.contains(&member.id));
    let size = staying().count() + replaced;
    let had_consumers = group.members.values().any(|member| !member.is_classic());
    had_consumers
        && size > 0
        && staying().all(ConsumerMember::is_classic)
        && settings.consumer.migration.downgrade
        && size <= settings.classic.size_max
}

/// The records that make a consumer group classic: without `leaving`, and with `joining` in the place of one of them.
///
/// # Errors
/// GROUP_ID_NOT_FOUND when the members share no protocol.
pub fn downgrade(
    group: &ConsumerGroup,
    leaving: &BTreeSet<Arc<str>>,
    joining: Option<(&ConsumerMember, &Partitions)>,
    situation: &Situation<'_>,
) -> Result<Vec<CoordinatorRecord>, ClientError> {
    let mut classic = ClassicGroup::new(Arc::clone(&group.id), Some(situation.wall_ms));
    let staying = group.members.values().filter(|member| !leaving.contains(&member.id));
    for member in staying.chain(joining.map(|(member, _)| member)) {
        let protocols = member.told.classic.as_ref().map(|classic| classic.protocols.clone()).unwrap_or_default();
        classic.add(downgraded(member, protocols), PROTOCOL_TYPE);
    }
    classic.generation = group.epoch;
    classic.protocol = classic.select_protocol();
    let Some(protocol) = classic.protocol.clone() else {
        let message = format!("Cannot downgrade the consumer group {}: its members share no protocol.", group.id);
        return refuse(ErrorCode::GroupIdNotFound, message);
    };
    for member in classic.members.values_mut() {
        let of_joining = joining.filter(|(joining, _)| *joining.id == *member.id).map(|(_, target)| target.clone());
        let target = of_joining.unwrap_or_else(|| group.target(&member.id));
        let version = consumer_protocol::version_of(&member.metadata(&protocol)).unwrap_or(0);
        let named = by_name(&target, situation.image);
        member.assignment = consumer_protocol::write_assignment(version, &named).into();
    }
    classic.state = ClassicState::Stable;
    let mut records = group.to_tombstones();
    records.push(classic.key().record(classic.to_value().encode()));
    Ok(records)
}

fn downgraded(member: &ConsumerMember, protocols: Vec<(String, bytes::Bytes)>) -> ClassicMember {
    let session_timeout_ms = member.told.classic.as_ref().map_or(0, |classic| classic.session_timeout_ms);
    ClassicMember {
        id: member.id.to_string(),
        instance_id: member.told.instance_id.clone(),
        client_id: member.told.client_id.clone(),
        client_host: member.told.client_host.clone(),
        rebalance_timeout_ms: member.told.rebalance_timeout_ms,
        session_timeout_ms,
        protocols,
        assignment: bytes::Bytes::new(),
        waiting_join: None,
        waiting_sync: None,
        is_new: false,
        session_ends: None,
    }
}

fn by_name(partitions: &Partitions, image: &Image) -> NamedPartitions {
    let topics = partitions.iter().filter_map(|(id, indexes)| {
        let topic = image.topic_by_id(*id)?;
        Some((topic.name.to_string(), indexes.clone()))
    });
    topics.collect()
}
