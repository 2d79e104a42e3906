//! A classic group's record: what of the group outlives the broker.

use std::sync::Arc;

use super::group::{ClassicGroup, ClassicMember, ClassicState};
use crate::coordinator::group::records::Key;
use crate::coordinator::group::records::classic::{ClassicGroupValue, ClassicMemberValue};
use crate::coordinator::group::request::Context;
use crate::coordinator::machine::CoordinatorRecord;

impl ClassicGroup {
    /// The key of the group's record.
    pub fn key(&self) -> Key {
        Key::Classic { group: self.id.to_string() }
    }

    /// What the group's record says of the group as it is.
    pub fn to_value(&self) -> ClassicGroupValue {
        let protocol = self.protocol.as_deref();
        let members = self.members.values().map(|member| ClassicMemberValue {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: protocol.map(|protocol| member.metadata(protocol)).unwrap_or_default(),
            assignment: member.assignment.clone(),
        });
        ClassicGroupValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_timestamp_ms: self.state_since_ms.unwrap_or(-1),
            members: members.collect(),
        }
    }

    /// Writes the group as it is.
    pub fn write(&mut self, context: &mut Context<'_>) {
        self.unreplayed += 1;
        context.record(self.key().record(self.to_value().encode()));
    }

    /// The record that replays into the group's durable state.
    pub fn snapshot(&self) -> Option<CoordinatorRecord> {
        self.stored.as_ref().map(|value| self.key().record(value.encode()))
    }

    /// Takes in a record that the group itself decided on.
    ///
    /// # Panics
    /// When there is none; see [`ClassicGroup::unreplayed`].
    pub fn replay_own(&mut self, value: ClassicGroupValue) {
        self.unreplayed = self.unreplayed.checked_sub(1).expect("the group has decided on a record");
        self.stored = Some(value);
    }

    /// The group as its record says it is. Sessions start with [`ClassicGroup::settle`](ClassicGroup::settle).
    pub fn from_value(id: Arc<str>, value: ClassicGroupValue) -> ClassicGroup {
        let mut group = ClassicGroup::new(id, Some(value.state_timestamp_ms).filter(|at| *at >= 0));
        let protocol = value.protocol.clone().unwrap_or_default();
        for stored in &value.members {
            let member = ClassicMember {
                id: stored.member_id.clone(),
                instance_id: stored.instance_id.clone(),
                client_id: stored.client_id.clone(),
                client_host: stored.client_host.clone(),
                rebalance_timeout_ms: stored.rebalance_timeout_ms,
                session_timeout_ms: stored.session_timeout_ms,
                protocols: vec![(protocol.clone(), stored.subscription.clone())],
                assignment: stored.assignment.clone(),
                waiting_join: None,
                waiting_sync: None,
                is_new: false,
                session_ends: None,
            };
            let is_taken = member.instance_id.as_ref().is_some_and(|id| group.static_members.contains_key(id));
            // Two members of one instance id cannot be written; of a damaged record the first one counts.
            if !is_taken && !group.members.contains_key(&member.id) {
                group.add(member, &value.protocol_type);
            }
        }
        group.state = if group.members.is_empty() { ClassicState::Empty } else { ClassicState::Stable };
        group.protocol_type = Some(value.protocol_type.clone()).filter(|kind| !kind.is_empty());
        group.protocol = value.protocol.clone();
        group.generation = value.generation;
        group.leader = value.leader.clone().filter(|leader| group.members.contains_key(leader));
        if group.leader.is_none() {
            group.leader = group.members.keys().next().cloned();
        }
        group.subscribed_topics = group.compute_subscribed_topics();
        group.stored = Some(value);
        group
    }
}
