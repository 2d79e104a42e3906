//! The target assignment: who is to get what once everybody has moved.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::assignor::{self, Assignable, AssignedMember};
use super::member::ConsumerMember;
use super::plan::Plan;
use crate::coordinator::group::records::Key;
use crate::coordinator::group::records::consumer::{Partitions, TargetEpochValue, encode_target_member};
use crate::coordinator::group::settings::ConsumerSettings;
use crate::coordinator::machine::Situation;

static NOTHING: Partitions = Partitions::new();

/// The target as the member that asks has to know it.
pub struct Target {
    /// Its epoch.
    pub epoch: i32,
    /// The member's part.
    pub partitions: Partitions,
}

impl Plan<'_> {
    /// Computes a new target assignment if the group epoch has risen since the last one, unless that was a moment ago
    /// (KIP-1263).
    pub fn update_target(&mut self, situation: &Situation<'_>, settings: &ConsumerSettings) -> Target {
        let last = self.group.target_epoch;
        let is_too_soon = last.timestamp_ms != 0
            && situation.wall_ms < last.timestamp_ms.saturating_add(settings.assignment_interval_ms)
            // A clock that was set back does not hold the group up.
            && situation.wall_ms >= last.timestamp_ms;
        if last.epoch >= self.epoch || is_too_soon {
            return Target { epoch: last.epoch, partitions: self.target_before(&self.member.id).clone() };
        }
        let assignable = self.assignable(situation);
        let name = self.preferred_assignor(settings);
        let parts = assignor::assign(name, &assignable);
        let ids: Vec<Arc<str>> = assignable.members.iter().map(|member| Arc::clone(&member.id)).collect();
        let assigned: BTreeMap<Arc<str>, Partitions> = ids.into_iter().zip(parts).collect();
        for (id, partitions) in &assigned {
            if self.target_before(id) != partitions {
                let key = Key::TargetMember { group: self.group.id.to_string(), member: id.to_string() };
                self.records.push(key.record(encode_target_member(partitions)));
            }
        }
        let value = TargetEpochValue { epoch: self.epoch, timestamp_ms: situation.wall_ms };
        let record = Key::TargetEpoch { group: self.group_id() }.record(value.encode());
        self.records.push(record);
        let partitions = assigned.get(&self.member.id).cloned().unwrap_or_default();
        Target { epoch: self.epoch, partitions }
    }

    /// A member's part of the last target assignment; a static member takes over that of its former self.
    pub fn target_before(&self, member_id: &Arc<str>) -> &Partitions {
        let former = self.replaces.as_ref().filter(|_| *member_id == self.member.id);
        self.group.targets.get(former.unwrap_or(member_id)).unwrap_or(&NOTHING)
    }

    fn assignable(&self, situation: &Situation<'_>) -> Assignable<'_> {
        let mut members: Vec<AssignedMember<'_>> = self
            .members()
            .map(|member| {
                let topics = self.topics_of(member).into_iter();
                AssignedMember {
                    id: Arc::clone(&member.id),
                    instance_id: member.told.instance_id.as_deref(),
                    topics: topics.filter_map(|name| situation.image.topic(name)).map(|topic| topic.id).collect(),
                    current: self.target_before(&member.id),
                }
            })
            .collect();
        members.sort_by(|one, other| one.id.cmp(&other.id));
        let topics = members.iter().flat_map(|member| member.topics.iter());
        let partition_counts = topics
            .filter_map(|id| situation.image.topic_by_id(*id))
            .map(|topic| (topic.id, topic.partition_count()))
            .collect();
        Assignable { members, partition_counts }
    }

    /// The assignor that most members ask for, the broker's default where nobody does.
    fn preferred_assignor<'b>(&self, settings: &'b ConsumerSettings) -> &'b str {
        preferred_assignor(self.members(), settings)
    }

    /// Whether the members together prefer another assignor than before (KAFKA-20434).
    pub fn prefers_another_assignor(&self, settings: &ConsumerSettings) -> bool {
        self.preferred_assignor(settings) != preferred_assignor(self.group.members.values(), settings)
    }
}

fn preferred_assignor<'a, 'b>(
    members: impl Iterator<Item = &'a ConsumerMember>,
    settings: &'b ConsumerSettings,
) -> &'b str {
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for name in members.filter_map(|member| member.told.assignor.as_deref()) {
        *votes.entry(name).or_default() += 1;
    }
    let known = settings.assignors.iter().map(String::as_str);
    let preferred = known.clone().filter(|name| votes.contains_key(name)).max_by_key(|name| votes[name]);
    preferred.or(known.clone().next()).unwrap_or(assignor::UNIFORM)
}
