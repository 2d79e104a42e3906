//! Members go: by themselves, by an operator's hand, or because nothing was heard of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::group::ConsumerGroup;
use super::heartbeat::{check_instance, member_tombstones};
use super::member::{ConsumerMember, LEAVE_STATIC_EPOCH};
use crate::coordinator::group::records::Key;
use crate::coordinator::group::records::consumer::{GroupEpochValue, PartitionEpochs};
use crate::coordinator::group::request::refuse;
use crate::coordinator::group::topic_hash;
use crate::coordinator::machine::{CoordinatorRecord, Situation, bytes_of};
use crate::model::error_code::{ClientError, ErrorCode};

impl ConsumerGroup {
    /// The member that leaves under `member_id`, and `instance_id` if it is static.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID.
    pub fn leaving(&self, member_id: &str, instance_id: Option<&str>) -> Result<&ConsumerMember, ClientError> {
        let Some(instance) = instance_id else { return self.member(member_id) };
        let Some(owner) = self.static_member(instance) else {
            return refuse(ErrorCode::UnknownMemberId, format!("Instance id {instance} is unknown."));
        };
        check_instance(owner, member_id, instance)?;
        Ok(owner)
    }

    /// The record by which a static member leaves for a while: what it holds is kept for it, and may be committed by nobody.
    pub fn leave_for_a_while(&self, member: &ConsumerMember) -> CoordinatorRecord {
        let mut held = member.held.clone();
        held.epoch = LEAVE_STATIC_EPOCH;
        held.revoking = PartitionEpochs::new();
        held.assigned.values_mut().for_each(|epochs| epochs.values_mut().for_each(|epoch| *epoch = 0));
        let key = Key::CurrentAssignment { group: self.id.to_string(), member: member.id.to_string() };
        key.record(held.encode())
    }

    /// The bytes of the records that remove a member, at most; not counted the new group epoch, which all have in common.
    pub fn removal_bytes(&self, member: &ConsumerMember) -> usize {
        let expression = member.regex().map_or(0, |regex| self.regex_tombstone(regex).bytes());
        bytes_of(&member_tombstones(&self.id, &member.id)) + expression
    }

    fn regex_tombstone(&self, regex: &str) -> CoordinatorRecord {
        Key::RegularExpression { group: self.id.to_string(), regex: regex.to_owned() }.tombstone()
    }

    /// The records that remove members: their tombstones, those of expressions that nobody subscribes to any more, and a new
    /// group epoch.
    pub fn remove_records(&self, situation: &Situation<'_>, members: &BTreeSet<Arc<str>>) -> Vec<CoordinatorRecord> {
        let mut records: Vec<CoordinatorRecord> =
            members.iter().flat_map(|member| member_tombstones(&self.id, member)).collect();
        let staying = || self.members.values().filter(|member| !members.contains(&member.id));
        let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
        staying().filter_map(ConsumerMember::regex).for_each(|regex| *wanted.entry(regex).or_default() += 1);
        for regex in self.regexes.keys().filter(|regex| !wanted.contains_key(regex.as_str())) {
            records.push(self.regex_tombstone(regex));
        }
        let named = staying().flat_map(|member| member.told.topics.iter());
        let matched = self.regexes.iter().filter(|(regex, _)| wanted.contains_key(regex.as_str()));
        let matched = matched.flat_map(|(_, matched)| matched.topics.iter());
        let topics: BTreeSet<&str> = named.chain(matched).map(String::as_str).collect();
        let metadata_hash = topic_hash::of_topics(situation.image, topics.into_iter());
        let value = GroupEpochValue { epoch: self.epoch.saturating_add(1), metadata_hash };
        records.push(Key::GroupEpoch { group: self.id.to_string() }.record(value.encode()));
        records
    }
}
