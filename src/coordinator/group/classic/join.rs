//! JoinGroup: a member comes, or comes back.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::group::{ClassicGroup, ClassicMember, ClassicState, Protocol};
use crate::coordinator::group::history::{Cause, shortened};
use crate::coordinator::group::request::{Caller, Context, MembershipReply, random_uuid};
use crate::coordinator::machine::ReplyTo;
use crate::model::error_code::ErrorCode;
use crate::protocol::messages::JoinGroupRequest;
use crate::protocol::primitives::STRING_BYTES_MAX;

/// The first version in which a dynamic member is told its id before it is let in (KIP-394).
const MEMBER_ID_REQUIRED_FROM: i16 = 4;
/// The first version in which a leader can be told not to assign anew (KIP-814).
const SKIP_ASSIGNMENT_FROM: i16 = 9;
/// How long a new member's JoinGroup may wait before the member is taken for gone: it sends no heartbeats meanwhile.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i32 = 5 * 60 * 1000;
/// Ids that are given out and not yet used, of one group at most: nobody counts them as members.
pub const PENDING_JOINS_MAX: usize = 10_000;
/// Metadata of one member, over all its protocols.
pub const MEMBER_METADATA_BYTES_MAX: usize = 1 << 20;
/// Protocols that one member may offer.
pub const PROTOCOLS_MAX: usize = 256;
/// A UUID and the dash in front of it.
const MEMBER_ID_SUFFIX_BYTES: usize = 37;

/// A JoinGroup, read: what is kept of it is copied out of the request's bytes.
pub struct Join {
    /// Who sends it.
    pub caller: Caller,
    /// The member's id, empty for none yet.
    pub member_id: String,
    /// The id that the member keeps over restarts.
    pub instance_id: Option<String>,
    /// What kind of member it is.
    pub protocol_type: String,
    /// Its protocols, in its order of preference.
    pub protocols: Vec<Protocol>,
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// How long it may take to join, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// Why it joins, in its own words (KIP-800).
    pub reason: String,
    /// Where the reply goes.
    pub to: ReplyTo,
}

impl Join {
    /// Reads a request.
    pub fn new(caller: Caller, request: &JoinGroupRequest, to: ReplyTo) -> Join {
        let mut seen = BTreeSet::new();
        let protocols = request.protocols.iter().filter(|protocol| seen.insert(protocol.name.as_str()));
        let protocols =
            protocols.map(|protocol| (protocol.name.to_string(), Bytes::copy_from_slice(&protocol.metadata))).collect();
        // Version 0 had one timeout for both.
        let has_rebalance_timeout = caller.api_version >= 1;
        let rebalance_timeout_ms =
            if has_rebalance_timeout { request.rebalance_timeout_ms } else { request.session_timeout_ms };
        Join {
            caller,
            member_id: request.member_id.to_string(),
            instance_id: request.group_instance_id.as_ref().map(ToString::to_string),
            protocol_type: request.protocol_type.to_string(),
            protocols,
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms,
            reason: client_reason(request.reason.as_ref().map(|reason| reason.as_str())),
            to,
        }
    }

    /// Whether what the member brings is more than is kept of one.
    pub fn is_too_large(&self) -> bool {
        let bytes: usize = self.protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum();
        // JoinGroup has byte fields, so that its compact strings come with any length (`protocol/guard.rs`).
        let names = [&self.member_id, &self.protocol_type].into_iter().chain(&self.instance_id);
        let longest = names.map(String::len).chain(self.protocols.iter().map(|(name, _)| name.len())).max();
        bytes > MEMBER_METADATA_BYTES_MAX || self.protocols.len() > PROTOCOLS_MAX || longest > Some(STRING_BYTES_MAX)
    }

    /// The names of the member's protocols.
    pub fn protocol_names(&self) -> impl Iterator<Item = &str> {
        self.protocols.iter().map(|(name, _)| name.as_str())
    }

    /// Whether the member has to come back with the id that it is told.
    pub fn requires_member_id(&self) -> bool {
        self.member_id.is_empty() && self.instance_id.is_none() && self.caller.api_version >= MEMBER_ID_REQUIRED_FROM
    }

    fn cause(&self, what: &str, member_id: &str) -> Cause {
        let reason = format!("{what}; client reason: {}", self.reason);
        Cause::of_member(reason, member_id, &self.caller.client_id, &self.caller.client_host)
    }
}

/// A client's reason as it is kept and printed.
pub fn client_reason(reason: Option<&str>) -> String {
    match reason {
        None | Some("") => "not provided".to_owned(),
        Some(reason) => shortened(reason),
    }
}

/// An id for a member that has none.
pub fn new_member_id(prefix: &str, random: u128) -> String {
    let prefix = &prefix[..prefix.floor_char_boundary(STRING_BYTES_MAX - MEMBER_ID_SUFFIX_BYTES)];
    format!("{prefix}-{}", random_uuid(random))
}

impl ClassicGroup {
    /// Takes a JoinGroup in; the reply comes now or when the joining ends.
    pub fn join(&mut self, context: &mut Context<'_>, join: Join) {
        if !self.has_room_for(context, &join.member_id) {
            self.remove(&join.member_id);
            return ClassicGroup::refuse_join(context, join.to, "", ErrorCode::GroupMaxSizeReached);
        }
        if !self.supports(&join.protocol_type, join.protocol_names()) {
            let code = ErrorCode::InconsistentGroupProtocol;
            return ClassicGroup::refuse_join(context, join.to, &join.member_id, code);
        }
        if join.member_id.is_empty() {
            self.join_unknown(context, join);
        } else if self.pending_joins.contains_key(&join.member_id) && join.instance_id.is_none() {
            let member_id = join.member_id.clone();
            self.join_new(context, join, member_id);
        } else {
            self.join_known(context, join);
        }
    }

    /// Whether the group may grow by this member, or has it already.
    fn has_room_for(&self, context: &Context<'_>, member_id: &str) -> bool {
        let size_max = context.settings.classic.size_max;
        if member_id.is_empty() && self.pending_joins.len() >= PENDING_JOINS_MAX {
            return false;
        }
        match self.state {
            ClassicState::Empty => true,
            ClassicState::PreparingRebalance => {
                let waits = self.members.get(member_id).is_some_and(|member| member.waiting_join.is_some());
                waits || self.joined() < size_max
            }
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                self.members.contains_key(member_id) || self.members.len() < size_max
            }
        }
    }

    fn join_unknown(&mut self, context: &mut Context<'_>, join: Join) {
        let random = context.situation.random;
        if let Some(instance) = join.instance_id.clone() {
            let member_id = new_member_id(&instance, random);
            match self.static_members.get(&instance).cloned() {
                Some(old) => self.join_replacing(context, join, &old, &member_id),
                None => self.join_new(context, join, member_id),
            }
            return;
        }
        let member_id = new_member_id(&join.caller.client_id, random);
        if join.requires_member_id() {
            let ends = context.in_ms(join.session_timeout_ms);
            self.pending_joins.insert(member_id.clone(), ends);
            self.arm(ends);
            return ClassicGroup::refuse_join(context, join.to, &member_id, ErrorCode::MemberIdRequired);
        }
        self.join_new(context, join, member_id);
    }

    fn join_new(&mut self, context: &mut Context<'_>, join: Join, member_id: String) {
        let what = match &join.instance_id {
            Some(instance) => format!("static member {member_id} with instance id {instance} joined"),
            None => format!("member {member_id} joined"),
        };
        let cause = join.cause(&what, &member_id);
        if self.is_initial_rebalance {
            self.new_member_added = true;
        }
        let ends = context.in_ms(NEW_MEMBER_JOIN_TIMEOUT_MS);
        let member = ClassicMember {
            id: member_id,
            instance_id: join.instance_id,
            client_id: join.caller.client_id,
            client_host: join.caller.client_host,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols,
            assignment: Bytes::new(),
            waiting_join: Some(join.to),
            waiting_sync: None,
            is_new: true,
            session_ends: Some(ends),
        };
        self.arm(ends);
        self.add(member, &join.protocol_type);
        self.rebalance_or_complete(context, cause);
    }

    fn join_known(&mut self, context: &mut Context<'_>, join: Join) {
        if let Err(code) = self.check_member(&join.member_id, join.instance_id.as_deref()) {
            return ClassicGroup::refuse_join(context, join.to, &join.member_id, code);
        }
        let matches = self.members[&join.member_id].protocols == join.protocols;
        let is_leader = self.is_leader(&join.member_id);
        let what = match self.state {
            ClassicState::Empty => {
                return ClassicGroup::refuse_join(context, join.to, &join.member_id, ErrorCode::UnknownMemberId);
            }
            ClassicState::PreparingRebalance => "joined while the group prepares to rebalance",
            // The reply to its JoinGroup was lost, or it leads no more than it did: the generation stands.
            ClassicState::CompletingRebalance if matches => return self.repeat_join(context, &join),
            ClassicState::Stable if matches && !is_leader => return self.repeat_join(context, &join),
            ClassicState::Stable if is_leader => "leads and joined anew",
            ClassicState::CompletingRebalance | ClassicState::Stable => "changed its metadata",
        };
        let cause = join.cause(&format!("member {} {what}", join.member_id), &join.member_id);
        let member_id = join.member_id.clone();
        self.update_waiting(context, &member_id, join);
        self.rebalance_or_complete(context, cause);
    }

    fn repeat_join(&self, context: &mut Context<'_>, join: &Join) {
        let response = self.joined_response(&join.member_id);
        context.reply(join.to, MembershipReply::JoinGroup(Box::new(response)));
    }

    /// Takes over what a member brings, and lets its JoinGroup wait. One that waited already has been given up by the client.
    fn update_waiting(&mut self, context: &mut Context<'_>, member_id: &str, join: Join) {
        self.set_protocols(member_id, join.protocols);
        let Some(member) = self.members.get_mut(member_id) else { return };
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        if let Some(given_up) = member.waiting_join.replace(join.to) {
            ClassicGroup::refuse_join(context, given_up, member_id, ErrorCode::RebalanceInProgress);
        }
    }

    /// A static member is back under a new id (KIP-345): it takes the place of its former self, who is fenced.
    fn join_replacing(&mut self, context: &mut Context<'_>, join: Join, old_id: &str, new_id: &str) {
        let former_leader = self.leader.clone();
        self.replace_static(context, old_id, new_id);
        self.restart_session(new_id, context.in_ms(join.session_timeout_ms));
        let what = format!("static member {new_id} took the place of {old_id}");
        let cause = join.cause(&what, new_id);
        let (version, to) = (join.caller.api_version, join.to);
        self.update_waiting(context, new_id, join);
        match self.state {
            ClassicState::Stable if self.select_protocol() == self.protocol && self.fits_a_record() => {
                if let Some(member) = self.members.get_mut(new_id) {
                    member.waiting_join = None;
                }
                self.write(context);
                self.answer_replacement(context, version, to, new_id, former_leader);
            }
            ClassicState::Stable | ClassicState::CompletingRebalance => self.prepare(context, cause),
            ClassicState::PreparingRebalance => self.complete_if_all_joined(context),
            ClassicState::Empty => unreachable!("an empty group has no static member"),
        }
    }

    /// Tells a static member that nothing changed. Old clients are told the former leader, so that one who led does not assign
    /// anew; those of KIP-814 are told that they lead and need not.
    fn answer_replacement(
        &self,
        context: &mut Context<'_>,
        version: i16,
        to: ReplyTo,
        member_id: &str,
        former_leader: Option<String>,
    ) {
        let mut response = self.joined_response(member_id);
        if version >= SKIP_ASSIGNMENT_FROM {
            response.skip_assignment = self.is_leader(member_id);
        } else {
            response.leader = crate::coordinator::group::request::text(&former_leader.unwrap_or_default());
            response.members = Vec::new();
        }
        context.reply(to, MembershipReply::JoinGroup(Box::new(response)));
    }

    fn replace_static(&mut self, context: &mut Context<'_>, old_id: &str, new_id: &str) {
        let was_leader = self.is_leader(old_id);
        let mut member = self.members.remove(old_id).expect("static members are members");
        self.pending_syncs.remove(old_id);
        if let Some(to) = member.waiting_join.take() {
            ClassicGroup::refuse_join(context, to, old_id, ErrorCode::FencedInstanceId);
        }
        if let Some(to) = member.waiting_sync.take() {
            ClassicGroup::refuse_sync(context, to, ErrorCode::FencedInstanceId);
        }
        member.id = new_id.to_owned();
        let instance = member.instance_id.clone().expect("static members have an instance id");
        self.static_members.insert(instance, member.id.clone());
        self.members.insert(member.id.clone(), member);
        if was_leader {
            self.leader = Some(new_id.to_owned());
        }
    }
}
