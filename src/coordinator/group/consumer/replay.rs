//! What records do to a consumer group, and the records that it is made of.

use std::sync::Arc;

use super::group::{ConsumerGroup, NO_TARGET_EPOCH};
use super::member::{ConsumerMember, LEAVE_EPOCH};
use crate::base::time::Instant;
use crate::coordinator::group::records::Key;
use crate::coordinator::group::records::consumer::{
    CurrentAssignmentValue, GroupEpochValue, MemberValue, Partitions, RegularExpressionValue, TargetEpochValue,
    encode_target_member,
};
use crate::coordinator::machine::CoordinatorRecord;

impl ConsumerGroup {
    /// The group's epoch is known.
    pub fn replay_epoch(&mut self, value: GroupEpochValue) {
        self.epoch = value.epoch;
        self.metadata_hash = value.metadata_hash;
        self.has_epoch_record = true;
        self.unsettle();
    }

    /// A member told of itself, or is gone.
    pub fn replay_member(&mut self, member_id: &str, value: Option<MemberValue>) {
        self.unsettle();
        let Some(value) = value else { return self.remove_member(member_id) };
        let id = self.ensure_member(member_id);
        let member = self.members.get_mut(&id).expect("it was just seen to");
        if let Some(old) = &member.told.instance_id
            && self.static_members.get(old) == Some(&id)
        {
            self.static_members.remove(old);
        }
        if let Some(instance) = &value.instance_id {
            self.static_members.insert(instance.clone(), Arc::clone(&id));
        }
        member.told = value;
    }

    fn ensure_member(&mut self, member_id: &str) -> Arc<str> {
        if let Some((id, _)) = self.members.get_key_value(member_id) {
            return Arc::clone(id);
        }
        let member = ConsumerMember::new(member_id);
        let id = Arc::clone(&member.id);
        self.deadlines.entry(Arc::clone(&id)).or_default();
        self.members.insert(Arc::clone(&id), member);
        id
    }

    fn remove_member(&mut self, member_id: &str) {
        self.deadlines.remove(member_id);
        let Some(member) = self.members.remove(member_id) else { return };
        self.release(&member.id, &member.held.assigned);
        self.release(&member.id, &member.held.revoking);
        if let Some(instance) = &member.told.instance_id
            && self.static_members.get(instance) == Some(&member.id)
        {
            self.static_members.remove(instance);
        }
    }

    /// The epoch of the target assignment is known, or there is none any more.
    pub fn replay_target_epoch(&mut self, value: Option<TargetEpochValue>) {
        self.target_epoch = value.unwrap_or(TargetEpochValue { epoch: NO_TARGET_EPOCH, timestamp_ms: 0 });
        self.unsettle();
    }

    /// A member's part of the target assignment is known, or there is none any more.
    pub fn replay_target(&mut self, member_id: &str, value: Option<Partitions>) {
        match value {
            Some(partitions) => {
                let key = self.members.get_key_value(member_id).map(|(id, _)| Arc::clone(id));
                self.targets.insert(key.unwrap_or_else(|| Arc::from(member_id)), partitions);
            }
            None => drop(self.targets.remove(member_id)),
        }
    }

    /// What a member holds is known; without a value it holds nothing and is about to go.
    pub fn replay_held(&mut self, member_id: &str, value: Option<CurrentAssignmentValue>) {
        self.unsettle();
        let value = match value {
            Some(value) => value,
            None if !self.members.contains_key(member_id) => return,
            None => CurrentAssignmentValue {
                epoch: LEAVE_EPOCH,
                previous_epoch: LEAVE_EPOCH,
                ..CurrentAssignmentValue::default()
            },
        };
        let id = self.ensure_member(member_id);
        let member = self.members.get_mut(&id).expect("it was just seen to");
        let before = std::mem::replace(&mut member.held, value.clone());
        self.release(&id, &before.assigned);
        self.release(&id, &before.revoking);
        self.hold(&id, &value.assigned);
        self.hold(&id, &value.revoking);
        if let Some(deadlines) = self.deadlines.get_mut(&id) {
            deadlines.revocation = None;
        }
    }

    /// What an expression matches is known, or nobody subscribes to it any more.
    pub fn replay_regex(&mut self, regex: String, value: Option<RegularExpressionValue>) {
        match value {
            Some(value) => drop(self.regexes.insert(regex, value)),
            None => drop(self.regexes.remove(&regex)),
        }
    }

    /// Deadlines of what was replayed are started with the next call.
    fn unsettle(&mut self) {
        self.is_unsettled = true;
        self.arm(Instant::default());
    }

    /// The records that make up the group.
    pub fn to_records(&self) -> Vec<CoordinatorRecord> {
        let group = || self.id.to_string();
        let mut records = Vec::new();
        for member in self.members.values() {
            let key = Key::Member { group: group(), member: member.id.to_string() };
            records.push(key.record(member.told.encode()));
        }
        if self.has_epoch_record {
            let value = GroupEpochValue { epoch: self.epoch, metadata_hash: self.metadata_hash };
            records.push(Key::GroupEpoch { group: group() }.record(value.encode()));
        }
        for (member, partitions) in &self.targets {
            let key = Key::TargetMember { group: group(), member: member.to_string() };
            records.push(key.record(encode_target_member(partitions)));
        }
        if self.target_epoch.epoch != NO_TARGET_EPOCH {
            records.push(Key::TargetEpoch { group: group() }.record(self.target_epoch.encode()));
        }
        for member in self.members.values() {
            let key = Key::CurrentAssignment { group: group(), member: member.id.to_string() };
            records.push(key.record(member.held.encode()));
        }
        for (regex, value) in &self.regexes {
            let key = Key::RegularExpression { group: group(), regex: regex.clone() };
            records.push(key.record(value.encode()));
        }
        records
    }

    /// The records that delete the group.
    pub fn to_tombstones(&self) -> Vec<CoordinatorRecord> {
        let group = || self.id.to_string();
        let mut keys = Vec::new();
        for member in self.members.keys() {
            keys.push(Key::CurrentAssignment { group: group(), member: member.to_string() });
        }
        for member in self.targets.keys().chain(self.members.keys().filter(|id| !self.targets.contains_key(*id))) {
            keys.push(Key::TargetMember { group: group(), member: member.to_string() });
        }
        keys.push(Key::TargetEpoch { group: group() });
        for member in self.members.keys() {
            keys.push(Key::Member { group: group(), member: member.to_string() });
        }
        for regex in self.regexes.keys() {
            keys.push(Key::RegularExpression { group: group(), regex: regex.clone() });
        }
        if self.has_partition_metadata {
            keys.push(Key::PartitionMetadata { group: group() });
        }
        keys.push(Key::GroupEpoch { group: group() });
        keys.iter().map(Key::tombstone).collect()
    }
}
