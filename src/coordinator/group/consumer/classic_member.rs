//! Members of the classic protocol in a consumer group (KIP-848's online migration): what JoinGroup, SyncGroup and Heartbeat mean
//! there. The generation that such a member sees is its member epoch.

use bytes::Bytes;

use super::group::ConsumerGroup;
use super::heartbeat::{Decided, by_id, check_instance, check_room, dynamic, static_by};
use super::member::ConsumerMember;
use super::plan::Plan;
use crate::coordinator::group::classic::join::Join;
use crate::coordinator::group::consumer_protocol::{self, NamedPartitions, PROTOCOL_TYPE, Subscription};
use crate::coordinator::group::records::consumer::{ClassicMetadata, MemberState};
use crate::coordinator::group::request::{random_uuid, refuse, text};
use crate::coordinator::group::settings::ConsumerSettings;
use crate::coordinator::machine::Situation;
use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::{JoinGroupResponse, SyncGroupRequest, SyncGroupResponse};

/// A JoinGroup in a consumer group, decided.
pub enum Joined {
    /// The member is to come back with this id.
    IdRequired(String),
    /// It is in.
    Member(Box<Decided<JoinGroupResponse>>),
}

/// A JoinGroup under way: the member with its new metadata, and what it says it owns.
pub struct Joining<'a> {
    /// What becomes of the group.
    pub plan: Plan<'a>,
    /// What the member subscribes to.
    pub subscription: Subscription,
}

/// The id under which the member joins.
pub fn member_id_of(situation: &Situation<'_>, join: &Join) -> String {
    if join.member_id.is_empty() { random_uuid(situation.random) } else { join.member_id.clone() }
}

/// Reads a JoinGroup against the group.
///
/// # Errors
/// Why it is refused.
pub fn joining<'a>(
    group: &'a ConsumerGroup,
    settings: &ConsumerSettings,
    join: &Join,
    member_id: &str,
) -> Result<Joining<'a>, ClientError> {
    if settings.migration.is_disabled() {
        let message = format!(
            "Cannot join the consumer group {} with the classic protocol because the group migration is disabled.",
            group.id
        );
        return refuse(ErrorCode::InconsistentGroupProtocol, message);
    }
    check_room(group, settings, member_id, join.instance_id.as_deref())?;
    check_protocols(group, join, member_id)?;
    let (_, metadata) = join.protocols.first().expect("an empty list of protocols fits no group");
    let subscription = consumer_protocol::read_subscription(metadata)
        .map_err(|sentence| ClientError::new(ErrorCode::InconsistentGroupProtocol, sentence))?;
    let mut plan = match &join.instance_id {
        None => dynamic(group, member_id, true)?,
        Some(instance) => static_by(group, member_id, instance, join.member_id.is_empty(), true)?,
    };
    tell(&mut plan.member, join, &subscription);
    Ok(Joining { plan, subscription })
}

/// Whether the member speaks a protocol that all members of the classic protocol speak.
fn check_protocols(group: &ConsumerGroup, join: &Join, member_id: &str) -> Result<(), ClientError> {
    let classic = || group.members.values().filter_map(|member| member.told.classic.as_ref());
    let spoken_by_all =
        |name: &str| classic().all(|classic| classic.protocols.iter().any(|(spoken, _)| spoken == name));
    if join.protocol_type == PROTOCOL_TYPE && join.protocol_names().any(spoken_by_all) {
        return Ok(());
    }
    refuse(ErrorCode::InconsistentGroupProtocol, format!("Member {member_id}'s protocols are not supported."))
}

fn tell(member: &mut ConsumerMember, join: &Join, subscription: &Subscription) {
    let told = &mut member.told;
    if let Some(instance) = &join.instance_id {
        told.instance_id = Some(instance.clone());
    }
    if let Some(rack) = &subscription.rack_id {
        told.rack_id = Some(rack.clone());
    }
    if join.rebalance_timeout_ms != -1 {
        told.rebalance_timeout_ms = join.rebalance_timeout_ms;
    }
    told.topics.clone_from(&subscription.topics);
    told.regex = Some(String::new());
    told.client_id.clone_from(&join.caller.client_id);
    told.client_host.clone_from(&join.caller.client_host);
    told.classic =
        Some(ClassicMetadata { session_timeout_ms: join.session_timeout_ms, protocols: join.protocols.clone() });
}

impl Joining<'_> {
    /// Lets the member in as far as the assignment goes now.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decide(
        mut self,
        situation: &Situation<'_>,
        settings: &ConsumerSettings,
        reason: &str,
    ) -> Result<Decided<JoinGroupResponse>, ClientError> {
        let change = self.plan.subscribe(situation, settings, reason)?;
        let target = self.plan.update_target(situation, settings);
        let owned = by_id(&self.subscription.owned, situation);
        self.plan.reconcile(situation.image, &target, change.changed, Some(&owned))?;
        let response = self.response();
        Ok(Decided { records: self.plan.records, cause: self.plan.cause, response })
    }

    /// The reply to the member's JoinGroup.
    pub fn response(&self) -> JoinGroupResponse {
        let member = &self.plan.member;
        JoinGroupResponse::default()
            .with_member_id(text(&member.id))
            .with_generation_id(member.held.epoch)
            .with_protocol_type(Some(text(PROTOCOL_TYPE)))
            .with_protocol_name(first_protocol(member).map(text))
    }
}

fn first_protocol(member: &ConsumerMember) -> Option<&str> {
    member.told.classic.as_ref()?.protocols.first().map(|(name, _)| name.as_str())
}

/// A member of the classic protocol.
///
/// # Errors
/// UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID.
pub fn classic_member<'a>(
    group: &'a ConsumerGroup,
    member_id: &str,
    instance_id: Option<&str>,
) -> Result<&'a ConsumerMember, ClientError> {
    let member = match instance_id {
        None => group.member(member_id)?,
        Some(instance) => {
            let Some(owner) = group.static_member(instance) else {
                let message = format!("Member with instance id {instance} is not a member of group {}.", group.id);
                return refuse(ErrorCode::UnknownMemberId, message);
            };
            check_instance(owner, member_id, instance)?;
            owner
        }
    };
    if member.is_classic() {
        return Ok(member);
    }
    refuse(ErrorCode::UnknownMemberId, format!("Member {member_id} does not use the classic protocol."))
}

/// Whether the member's generation is its epoch.
///
/// # Errors
/// ILLEGAL_GENERATION.
pub fn check_generation(member: &ConsumerMember, generation: i32) -> Result<(), ClientError> {
    if member.held.epoch == generation {
        return Ok(());
    }
    let message = format!(
        "The request generation id {generation} is not equal to the member epoch {} of member {}.",
        member.held.epoch, member.id
    );
    refuse(ErrorCode::IllegalGeneration, message)
}

/// Whether a member of the classic protocol has to join anew to catch up.
pub fn has_to_join(group: &ConsumerGroup, member: &ConsumerMember) -> bool {
    let held = &member.held;
    // Only who uses the newer protocol has a new target computed by and by; without such members these see to it.
    let by_heartbeat = group.members.values().any(|one| !one.is_classic() && one.held.epoch >= 0);
    let newest = if by_heartbeat { group.target_epoch.epoch } else { group.epoch };
    held.epoch < newest
        || held.state == MemberState::UnrevokedPartitions
        || (held.state == MemberState::UnreleasedPartitions && !group.waits_for_others(member))
}

/// What a SyncGroup of a member of the classic protocol gets: what it holds.
///
/// # Errors
/// Why it is refused; REBALANCE_IN_PROGRESS when it has to join anew first.
pub fn sync(
    group: &ConsumerGroup,
    image: &Image,
    request: &SyncGroupRequest,
) -> Result<SyncGroupResponse, ClientError> {
    let instance = request.group_instance_id.as_ref().map(|id| id.as_str());
    let member = classic_member(group, &request.member_id, instance)?;
    check_generation(member, request.generation_id)?;
    let name = first_protocol(member).unwrap_or_default();
    let differs = |asked: &Option<crate::protocol::StrBytes>, known: &str| {
        asked.as_ref().is_some_and(|asked| asked.as_str() != known)
    };
    if differs(&request.protocol_type, PROTOCOL_TYPE) || differs(&request.protocol_name, name) {
        let message = format!("Member {} joined with the protocol {name} of type {PROTOCOL_TYPE}.", member.id);
        return refuse(ErrorCode::InconsistentGroupProtocol, message);
    }
    let is_behind = group.target_epoch.epoch > member.held.epoch;
    if is_behind && member.held.state != MemberState::UnrevokedPartitions {
        let message = format!(
            "A new rebalance is triggered in group {} and member {} should rejoin to catch up.",
            group.id, member.id
        );
        return refuse(ErrorCode::RebalanceInProgress, message);
    }
    let response = SyncGroupResponse::default()
        .with_protocol_type(request.protocol_type.clone())
        .with_protocol_name(request.protocol_name.clone())
        .with_assignment(Bytes::from(assignment(image, member)));
    Ok(response)
}

/// What a member holds in the words of the classic protocol.
fn assignment(image: &Image, member: &ConsumerMember) -> Vec<u8> {
    let mut named = NamedPartitions::new();
    for (topic, epochs) in &member.held.assigned {
        if let Some(topic) = image.topic_by_id(*topic) {
            named.insert(topic.name.to_string(), epochs.keys().copied().collect());
        }
    }
    let metadata = member.told.classic.as_ref().and_then(|classic| classic.protocols.first());
    let version = metadata.and_then(|(_, metadata)| consumer_protocol::version_of(metadata).ok()).unwrap_or(0);
    consumer_protocol::write_assignment(version, &named)
}
