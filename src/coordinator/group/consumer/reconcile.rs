//! A member moves to the target assignment: first it gives up what it no longer gets, then it takes what is free, and it waits
//! for what others still hold. No partition has two holders at any time.

use std::collections::BTreeSet;

use super::member::ConsumerMember;
use super::plan::Plan;
use super::target::Target;
use crate::coordinator::group::records::consumer::{CurrentAssignmentValue, MemberState, PartitionEpochs, Partitions};
use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{PartitionIndex, TopicId};

impl Plan<'_> {
    /// Moves the member as far as it can go now. `owned` is what the member says it holds, none if it did not say.
    ///
    /// # Errors
    /// FENCED_MEMBER_EPOCH when nothing is known about a member that holds partitions.
    pub fn reconcile(
        &mut self,
        image: &Image,
        target: &Target,
        subscription_changed: bool,
        owned: Option<&Partitions>,
    ) -> Result<(), ClientError> {
        if !subscription_changed && self.member.is_reconciled_to(target.epoch) {
            if self.replaces.is_some() {
                self.write_held();
            }
            return Ok(());
        }
        let next = {
            let topics = self.topics_of(&self.member);
            let subscribed = topics.into_iter().filter_map(|name| image.topic(name)).map(|topic| topic.id).collect();
            Step { plan: self, member: &self.member, target, subscribed, owned }.next(subscription_changed)?
        };
        if next != self.member.held || self.replaces.is_some() {
            self.member.held = next;
            self.write_held();
        }
        Ok(())
    }

    /// Whether another member holds a partition.
    fn is_held_by_another(&self, topic: TopicId, index: PartitionIndex) -> bool {
        let Some(holder) = self.group.holder(topic, index) else { return false };
        *holder != self.member.id && Some(holder) != self.replaces.as_ref()
    }
}

struct Step<'a, 'b> {
    plan: &'a Plan<'b>,
    member: &'a ConsumerMember,
    target: &'a Target,
    subscribed: BTreeSet<TopicId>,
    owned: Option<&'a Partitions>,
}

impl Step<'_, '_> {
    fn next(&self, subscription_changed: bool) -> Result<CurrentAssignmentValue, ClientError> {
        let held = &self.member.held;
        match held.state {
            MemberState::Stable if held.epoch != self.target.epoch => Ok(self.move_on(held.epoch)),
            MemberState::UnrevokedPartitions if !self.still_owns(&held.revoking) => Ok(self.move_on(held.epoch)),
            MemberState::Stable | MemberState::UnrevokedPartitions if subscription_changed => Ok(self.unsubscribe()),
            MemberState::Stable | MemberState::UnrevokedPartitions => Ok(held.clone()),
            MemberState::UnreleasedPartitions => Ok(self.move_on(held.epoch)),
            MemberState::Unknown if self.owned.is_some_and(Partitions::is_empty) => Ok(self.move_on(self.target.epoch)),
            MemberState::Unknown => {
                let message = "The consumer group member is in a unknown state. \
                     The member must abandon all its partitions and rejoin.";
                Err(ClientError::new(ErrorCode::FencedMemberEpoch, message))
            }
        }
    }

    /// Whether the member holds any of `partitions`; it does unless it says otherwise.
    fn still_owns(&self, partitions: &PartitionEpochs) -> bool {
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|(topic, indexes)| {
            partitions.get(topic).is_some_and(|epochs| indexes.iter().any(|index| epochs.contains_key(index)))
        })
    }

    /// Topics that the member no longer subscribes to are given up at once, before the next assignment says so.
    fn unsubscribe(&self) -> CurrentAssignmentValue {
        let held = &self.member.held;
        let is_subscribed = |topic: &TopicId| self.subscribed.contains(topic);
        if held.assigned.keys().all(is_subscribed) {
            return held.clone();
        }
        let mut next = held.clone();
        next.assigned.retain(|topic, _| is_subscribed(topic));
        for (topic, epochs) in held.assigned.iter().filter(|(topic, _)| !is_subscribed(topic)) {
            next.revoking.entry(*topic).or_default().extend(epochs);
        }
        next.previous_epoch = held.epoch;
        if !next.revoking.is_empty() && self.still_owns(&next.revoking) {
            next.state = MemberState::UnrevokedPartitions;
        } else {
            next.revoking = held.revoking.clone();
        }
        next
    }

    fn move_on(&self, epoch: i32) -> CurrentAssignmentValue {
        let held = &self.member.held;
        let empty = (BTreeSet::new(), std::collections::BTreeMap::new());
        let mut assigned = PartitionEpochs::new();
        let mut revoking = PartitionEpochs::new();
        let mut free: Vec<(TopicId, PartitionIndex)> = Vec::new();
        let mut waits = false;
        let topics: BTreeSet<TopicId> = self.target.partitions.keys().chain(held.assigned.keys()).copied().collect();
        for topic in topics {
            let is_subscribed = self.subscribed.contains(&topic);
            let wanted = self.target.partitions.get(&topic).filter(|_| is_subscribed).unwrap_or(&empty.0);
            let current = held.assigned.get(&topic).unwrap_or(&empty.1);
            for (index, since) in current {
                let place = if wanted.contains(index) { &mut assigned } else { &mut revoking };
                place.entry(topic).or_default().insert(*index, *since);
            }
            for index in wanted.iter().filter(|index| !current.contains_key(index)) {
                match self.plan.is_held_by_another(topic, *index) {
                    true => waits = true,
                    false => free.push((topic, *index)),
                }
            }
        }
        if !revoking.is_empty() && self.still_owns(&revoking) {
            let state = MemberState::UnrevokedPartitions;
            return CurrentAssignmentValue { epoch, previous_epoch: held.epoch, state, assigned, revoking };
        }
        for (topic, index) in free {
            assigned.entry(topic).or_default().insert(index, self.target.epoch);
        }
        CurrentAssignmentValue {
            epoch: self.target.epoch,
            previous_epoch: held.epoch,
            state: if waits { MemberState::UnreleasedPartitions } else { MemberState::Stable },
            assigned,
            revoking: PartitionEpochs::new(),
        }
    }
}
