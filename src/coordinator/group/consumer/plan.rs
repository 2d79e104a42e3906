//! A decision about a consumer group while it is made: the member as it will be, the epochs as they will be, the records that
//! make it so. The group itself stays as it is until they are replayed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::group::ConsumerGroup;
use super::member::ConsumerMember;
use crate::coordinator::group::history::Cause;
use crate::coordinator::group::records::Key;
use crate::coordinator::group::records::consumer::{GroupEpochValue, RegularExpressionValue};
use crate::coordinator::machine::CoordinatorRecord;

/// What becomes of a group by one request.
pub struct Plan<'a> {
    /// The group as it is.
    pub group: &'a ConsumerGroup,
    /// The member that asks, as it will be.
    pub member: ConsumerMember,
    /// The static member that it takes the place of.
    pub replaces: Option<Arc<str>>,
    /// The group epoch as it will be.
    pub epoch: i32,
    /// What regular expressions will match; none if that does not change.
    pub regexes: Option<BTreeMap<String, RegularExpressionValue>>,
    /// Why the epoch rises; none if it does not.
    pub cause: Option<Cause>,
    /// The records.
    pub records: Vec<CoordinatorRecord>,
}

impl<'a> Plan<'a> {
    /// Nothing changes so far.
    pub fn new(group: &'a ConsumerGroup, member: ConsumerMember) -> Plan<'a> {
        Plan { group, member, replaces: None, epoch: group.epoch, regexes: None, cause: None, records: Vec::new() }
    }

    /// The group's id as keys have it.
    pub fn group_id(&self) -> String {
        self.group.id.to_string()
    }

    /// The member as it is; none if it is new.
    pub fn member_before(&self) -> Option<&'a ConsumerMember> {
        let id = self.replaces.as_ref().unwrap_or(&self.member.id);
        self.group.members.get(id)
    }

    /// All members as they will be, in the order of their ids.
    pub fn members(&self) -> impl Iterator<Item = &ConsumerMember> {
        let others = self.group.members.values();
        let others = others.filter(|other| other.id != self.member.id && Some(&other.id) != self.replaces.as_ref());
        others.chain(std::iter::once(&self.member))
    }

    /// What regular expressions will match.
    pub fn regexes(&self) -> &BTreeMap<String, RegularExpressionValue> {
        self.regexes.as_ref().unwrap_or(&self.group.regexes)
    }

    /// All topics that members will subscribe to.
    pub fn subscribed_topics(&self) -> BTreeSet<&str> {
        let named = self.members().flat_map(|member| member.told.topics.iter());
        let matched = self.regexes().values().flat_map(|matched| matched.topics.iter());
        named.chain(matched).map(String::as_str).collect()
    }

    /// The topics that a member subscribes to, by name or by what its expression matches.
    pub fn topics_of<'b>(&'b self, member: &'b ConsumerMember) -> BTreeSet<&'b str> {
        topics_of(member, self.regexes())
    }

    /// Raises the group epoch.
    pub fn raise_epoch(&mut self, metadata_hash: i64) {
        self.epoch = self.epoch.saturating_add(1);
        let value = GroupEpochValue { epoch: self.epoch, metadata_hash };
        let record = Key::GroupEpoch { group: self.group_id() }.record(value.encode());
        self.records.push(record);
        if self.group.has_partition_metadata {
            self.records.push(Key::PartitionMetadata { group: self.group_id() }.tombstone());
        }
    }

    /// Writes what the member told of itself.
    pub fn write_member(&mut self) {
        let key = Key::Member { group: self.group_id(), member: self.member.id.to_string() };
        self.records.push(key.record(self.member.told.encode()));
    }

    /// Writes what the member holds.
    pub fn write_held(&mut self) {
        let key = Key::CurrentAssignment { group: self.group_id(), member: self.member.id.to_string() };
        self.records.push(key.record(self.member.held.encode()));
    }
}

/// The topics that a member subscribes to, by name or by what its expression matches.
pub fn topics_of<'a>(
    member: &'a ConsumerMember,
    regexes: &'a BTreeMap<String, RegularExpressionValue>,
) -> BTreeSet<&'a str> {
    let matched = member.regex().and_then(|regex| regexes.get(regex));
    let matched = matched.into_iter().flat_map(|matched| matched.topics.iter());
    member.told.topics.iter().chain(matched).map(String::as_str).collect()
}
