//! The state of one consumer group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::member::ConsumerMember;
use crate::base::time::Instant;
use crate::coordinator::group::records::consumer::{
    MemberState, PartitionEpochs, Partitions, RegularExpressionValue, TargetEpochValue,
};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{PartitionIndex, TopicId};

/// "No target assignment yet."
pub const NO_TARGET_EPOCH: i32 = -1;

/// The epoch of a group before anybody is in it; the first member raises it.
pub const FIRST_EPOCH: i32 = 1;

/// Where a consumer group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsumerState {
    /// No members.
    Empty,
    /// A new target assignment is due.
    Assigning,
    /// Members move to the target assignment.
    Reconciling,
    /// Everybody holds what the target assignment gives them.
    Stable,
}

impl ConsumerState {
    /// Kafka's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            ConsumerState::Empty => "Empty",
            ConsumerState::Assigning => "Assigning",
            ConsumerState::Reconciling => "Reconciling",
            ConsumerState::Stable => "Stable",
        }
    }
}

/// When a member is removed unless something happens first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberDeadlines {
    /// Unless it is heard of.
    pub session: Option<Instant>,
    /// Unless it gives up what it has to.
    pub revocation: Option<Instant>,
    /// Unless it joins, when it speaks the classic protocol and was told to.
    pub join: Option<Instant>,
    /// Unless it synchronises, when it speaks the classic protocol and has joined.
    pub sync: Option<Instant>,
}

impl MemberDeadlines {
    /// The earliest of them.
    pub fn first(&self) -> Option<Instant> {
        [self.session, self.revocation, self.join, self.sync].into_iter().flatten().min()
    }
}

/// A consumer group.
#[derive(Clone, Debug)]
pub struct ConsumerGroup {
    /// Its id.
    pub id: Arc<str>,
    /// The group epoch, which rises with every change of members, subscriptions or topics.
    pub epoch: i32,
    /// A hash of the subscribed topics as they were when the epoch rose last.
    pub metadata_hash: i64,
    /// Whether the epoch's record was seen.
    pub has_epoch_record: bool,
    /// Whether a record of topics, as Kafka 4.0 wrote it, is in the log.
    pub has_partition_metadata: bool,
    /// The members by id.
    pub members: BTreeMap<Arc<str>, ConsumerMember>,
    /// Member ids of static members by instance id.
    pub static_members: BTreeMap<String, Arc<str>>,
    /// The epoch of the target assignment.
    pub target_epoch: TargetEpochValue,
    /// The target assignment by member.
    pub targets: BTreeMap<Arc<str>, Partitions>,
    /// What regular expressions match.
    pub regexes: BTreeMap<String, RegularExpressionValue>,
    /// Who holds each partition, those to be given up included.
    pub holders: BTreeMap<TopicId, BTreeMap<PartitionIndex, Arc<str>>>,
    /// The members' deadlines.
    pub deadlines: BTreeMap<Arc<str>, MemberDeadlines>,
    /// Whether topics may have changed since the epoch rose last.
    pub topics_may_have_changed: bool,
    /// Whether the names of topics may have changed since the regular expressions were resolved.
    pub names_may_have_changed: bool,
    /// When expressions were last resolved because topics came or went; they are not resolved again soon after.
    pub regexes_renewed_at: Option<Instant>,
    /// No deadline of the group lies before this.
    pub wake: Option<Instant>,
    /// Whether deadlines have to be started for what was replayed.
    pub is_unsettled: bool,
}

impl ConsumerGroup {
    /// An empty group that nothing is known of.
    pub fn new(id: Arc<str>) -> ConsumerGroup {
        ConsumerGroup {
            id,
            epoch: FIRST_EPOCH,
            metadata_hash: 0,
            has_epoch_record: false,
            has_partition_metadata: false,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            target_epoch: TargetEpochValue { epoch: NO_TARGET_EPOCH, timestamp_ms: 0 },
            targets: BTreeMap::new(),
            regexes: BTreeMap::new(),
            holders: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            topics_may_have_changed: true,
            names_may_have_changed: true,
            regexes_renewed_at: None,
            wake: None,
            is_unsettled: false,
        }
    }

    /// Where the group stands.
    pub fn state(&self) -> ConsumerState {
        if self.members.is_empty() {
            ConsumerState::Empty
        } else if self.epoch > self.target_epoch.epoch {
            ConsumerState::Assigning
        } else if self.members.values().all(|member| member.is_reconciled_to(self.target_epoch.epoch)) {
            ConsumerState::Stable
        } else {
            ConsumerState::Reconciling
        }
    }

    /// A member.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID.
    pub fn member(&self, id: &str) -> Result<&ConsumerMember, ClientError> {
        self.members.get(id).ok_or_else(|| {
            let message = format!("Member {id} is not a member of group {}.", self.id);
            ClientError::new(ErrorCode::UnknownMemberId, message)
        })
    }

    /// The member with an instance id.
    pub fn static_member(&self, instance_id: &str) -> Option<&ConsumerMember> {
        self.members.get(self.static_members.get(instance_id)?)
    }

    /// A member's part of the target assignment.
    pub fn target(&self, member_id: &str) -> Partitions {
        self.targets.get(member_id).cloned().unwrap_or_default()
    }

    /// Who holds a partition.
    pub fn holder(&self, topic: TopicId, index: PartitionIndex) -> Option<&Arc<str>> {
        self.holders.get(&topic)?.get(&index)
    }

    /// How many members subscribe to an expression.
    pub fn subscribers(&self, regex: &str) -> usize {
        self.members.values().filter(|member| member.regex() == Some(regex)).count()
    }

    /// How many members speak the classic protocol.
    pub fn classic_members(&self) -> usize {
        self.members.values().filter(|member| member.is_classic()).count()
    }

    /// All topics that members subscribe to, by name or by what their expressions match.
    pub fn subscribed_topics(&self) -> BTreeSet<&str> {
        let named = self.members.values().flat_map(|member| member.told.topics.iter());
        let matched = self.regexes.values().flat_map(|matched| matched.topics.iter());
        named.chain(matched).map(String::as_str).collect()
    }

    /// Whether offsets of `topic` belong to a consumer that may be at work.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.members.values().any(|member| member.told.topics.contains(topic))
            || self.regexes.values().any(|matched| matched.topics.contains(topic))
    }

    /// Sees to it that the group is looked at when `at` has come.
    pub fn arm(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// A member's deadlines, those of one included that is about to be replayed.
    pub fn deadlines_of(&mut self, member_id: &str) -> &mut MemberDeadlines {
        let known = self.deadlines.get_key_value(member_id).map(|(id, _)| Arc::clone(id));
        self.deadlines.entry(known.unwrap_or_else(|| Arc::from(member_id))).or_default()
    }

    /// Starts a member's session anew.
    pub fn restart_session(&mut self, member_id: &str, ends: Instant) {
        self.deadlines_of(member_id).session = Some(ends);
        self.arm(ends);
    }

    /// Whether the member waits for a partition that another one holds.
    pub fn waits_for_others(&self, member: &ConsumerMember) -> bool {
        member.held.state == MemberState::UnreleasedPartitions
            && self.targets.get(&member.id).is_some_and(|target| {
                target.iter().any(|(topic, indexes)| {
                    let held = member.held.assigned.get(topic);
                    indexes.iter().any(|index| {
                        !held.is_some_and(|held| held.contains_key(index)) && self.holder(*topic, *index).is_some()
                    })
                })
            })
    }

    pub(super) fn hold(&mut self, holder: &Arc<str>, partitions: &PartitionEpochs) {
        for (topic, epochs) in partitions {
            let held = self.holders.entry(*topic).or_default();
            for index in epochs.keys() {
                held.insert(*index, Arc::clone(holder));
            }
        }
    }

    pub(super) fn release(&mut self, holder: &Arc<str>, partitions: &PartitionEpochs) {
        for (topic, epochs) in partitions {
            let Some(held) = self.holders.get_mut(topic) else { continue };
            for index in epochs.keys() {
                // With a compacted log the next holder may be read before the one before it lets go.
                if held.get(index) == Some(holder) {
                    held.remove(index);
                }
            }
            if held.is_empty() {
                self.holders.remove(topic);
            }
        }
    }
}
