//! What operators ask: which groups there are, what they are doing, and that one be deleted.

use std::collections::BTreeSet;

use crate::coordinator::group::classic::group::{ClassicGroup, ClassicState, DEAD};
use crate::coordinator::group::consumer_protocol::PROTOCOL_TYPE;
use crate::coordinator::group::groups::{Group, Groups};
use crate::coordinator::group::history::Rebalance;
use crate::coordinator::group::machine::{GroupMachine, Reply};
use crate::coordinator::group::request::{refuse, text};
use crate::coordinator::machine::{Effects, ReplyTo, Situation};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::GroupId;
use crate::protocol::messages::consumer_group_describe_response;
use crate::protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use crate::protocol::messages::list_groups_response::ListedGroup;

/// Kafka's name of groups of the classic protocol.
pub const TYPE_CLASSIC: &str = "classic";
/// Kafka's name of groups of the consumer protocol.
pub const TYPE_CONSUMER: &str = "consumer";
/// The first version of DescribeGroups that says when there is no such group (KIP-1043).
pub const GROUP_NOT_FOUND_FROM: i16 = 6;

/// Which groups are wanted; all where nothing is named.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of these states, in any case.
    pub states: Vec<String>,
    /// Of these types, in any case.
    pub types: Vec<String>,
}

impl Filter {
    /// Whether a group is wanted.
    pub fn wants(&self, state: &str, kind: &str) -> bool {
        let named = |wanted: &[String], name: &str| {
            wanted.is_empty() || wanted.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name))
        };
        named(&self.states, state) && named(&self.types, kind)
    }
}

/// A group in a list.
pub fn listed(id: &str, protocol_type: &str, state: &str, kind: &str) -> ListedGroup {
    ListedGroup::default()
        .with_group_id(GroupId(text(id)))
        .with_protocol_type(text(protocol_type))
        .with_group_state(text(state))
        .with_group_type(text(kind))
}

impl Groups {
    /// The groups that are wanted, in the order of their ids.
    pub fn list(&self, filter: &Filter) -> Vec<ListedGroup> {
        let groups = self.iter().map(|(id, group)| match group {
            Group::Classic(group) => {
                let protocol_type = group.protocol_type.as_deref().unwrap_or_default();
                (id, protocol_type, group.state.name(), TYPE_CLASSIC)
            }
            Group::Consumer(group) => (id, PROTOCOL_TYPE, group.state().name(), TYPE_CONSUMER),
        });
        let wanted = groups.filter(|(_, _, state, kind)| filter.wants(state, kind));
        wanted.map(|(id, protocol_type, state, kind)| listed(id, protocol_type, state, kind)).collect()
    }

    /// A group as DescribeGroups shows it: one of the classic protocol. `has_offsets` says whether offsets are kept for it, which
    /// alone make a group.
    pub fn describe(&self, id: &str, api_version: i16, has_offsets: bool) -> DescribedGroup {
        let described = DescribedGroup::default().with_group_id(GroupId(text(id)));
        let message = match self.get(id) {
            Some(Group::Classic(group)) => return describe_classic(group, described),
            Some(Group::Consumer(_)) => format!("Group {id} is not a classic group."),
            None if has_offsets => return described.with_group_state(text(ClassicState::Empty.name())),
            None => format!("Group {id} not found."),
        };
        let described = described.with_group_state(text(DEAD));
        if api_version < GROUP_NOT_FOUND_FROM {
            return described;
        }
        described.with_error_code(ErrorCode::GroupIdNotFound.code()).with_error_message(Some(text(&message)))
    }

    /// A group as ConsumerGroupDescribe shows it: one of the consumer protocol.
    pub fn describe_consumer(
        &self,
        situation: &Situation<'_>,
        id: &str,
    ) -> consumer_group_describe_response::DescribedGroup {
        let default_assignor = self.settings.consumer.assignors.first().map(String::as_str).unwrap_or_default();
        let not_found = |message| ClientError::new(ErrorCode::GroupIdNotFound, message);
        let found = self.settings.consumer.check_is_on().and_then(|()| match self.get(id) {
            Some(Group::Consumer(group)) => Ok(group.describe(situation.image, default_assignor)),
            _ if id.is_empty() => Err(ClientError::new(ErrorCode::InvalidGroupId, "the group id is empty".to_owned())),
            Some(Group::Classic(_)) => Err(not_found(format!("Group {id} is not a consumer group."))),
            None => Err(not_found(format!("Group {id} not found."))),
        });
        found.unwrap_or_else(|error| {
            consumer_group_describe_response::DescribedGroup::default()
                .with_group_id(GroupId(text(id)))
                .with_error_code(error.code.code())
                .with_error_message(Some(text(&error.message)))
        })
    }

    /// Whether the group may be deleted.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP, or GROUP_ID_NOT_FOUND.
    pub fn check_delete(&self, id: &str, has_offsets: bool) -> Result<(), ClientError> {
        if self.get(id).is_none() && !has_offsets {
            return refuse(ErrorCode::GroupIdNotFound, format!("Group {id} not found."));
        }
        if !self.is_without_members(id) {
            return refuse(ErrorCode::NonEmptyGroup, format!("The group {id} has members."));
        }
        Ok(())
    }
}

fn describe_classic(group: &ClassicGroup, described: DescribedGroup) -> DescribedGroup {
    let protocol = group.protocol.as_deref().filter(|_| group.state == ClassicState::Stable);
    let members = group.members.values().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance_id.as_deref().map(text))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host))
            .with_member_metadata(protocol.map(|protocol| member.metadata(protocol)).unwrap_or_default())
            .with_member_assignment(member.assignment.clone())
    });
    described
        .with_group_state(text(group.state.name()))
        .with_protocol_type(text(group.protocol_type.as_deref().unwrap_or_default()))
        .with_protocol_data(text(protocol.unwrap_or_default()))
        .with_members(members.collect())
}

impl GroupMachine {
    /// The groups that are wanted, those of which there are offsets alone included.
    pub(in crate::coordinator::group) fn list_groups(&self, filter: &Filter) -> Vec<ListedGroup> {
        let mut groups = self.groups.list(filter);
        let empty = ClassicState::Empty.name();
        if filter.wants(empty, TYPE_CLASSIC) {
            let simple = self.offsets.groups().filter(|id| self.groups.get(id).is_none());
            groups.extend(simple.map(|id| listed(id, "", empty, TYPE_CLASSIC)));
        }
        groups
    }

    /// Groups as DescribeGroups shows them.
    pub(in crate::coordinator::group) fn describe_groups(&self, ids: &[String], version: i16) -> Vec<DescribedGroup> {
        ids.iter().map(|id| self.groups.describe(id, version, self.offsets.has_group(id))).collect()
    }

    /// Deletes groups without members, each with its offsets.
    pub(in crate::coordinator::group) fn delete_groups(&self, ids: &[String], to: ReplyTo) -> Effects<Reply> {
        let mut records = Vec::new();
        let mut seen = BTreeSet::new();
        let results = ids.iter().map(|id| {
            self.groups.check_delete(id, self.offsets.has_group(id))?;
            if seen.insert(id) {
                records.extend(self.offsets.delete_group(id));
                records.extend(self.groups.tombstones(id));
            }
            Ok(())
        });
        let results = results.collect();
        Effects { records, transaction: None, replies: vec![(to, Reply::DeleteGroups(results))] }
    }

    /// The last rebalances of a group, the oldest first.
    pub(in crate::coordinator::group) fn rebalances(&self, id: &str) -> Option<Vec<Rebalance>> {
        match self.groups.history(id) {
            Some(history) => Some(history.past().cloned().collect()),
            None => self.offsets.has_group(id).then(Vec::new),
        }
    }
}
