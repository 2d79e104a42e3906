//! A consumer group as ConsumerGroupDescribe shows it.

use super::group::ConsumerGroup;
use super::member::ConsumerMember;
use crate::coordinator::group::records::consumer::Partitions;
use crate::coordinator::group::request::text;
use crate::metadata::image::Image;
use crate::model::ids::{PartitionIndex, TopicId};
use crate::protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use crate::protocol::messages::{GroupId, TopicName};

/// A member that speaks the classic protocol (KIP-1099).
const MEMBER_TYPE_CLASSIC: i8 = 0;
/// A member that speaks the consumer protocol.
const MEMBER_TYPE_CONSUMER: i8 = 1;

impl ConsumerGroup {
    /// The group with all its members; topics that are gone are left out.
    pub fn describe(&self, image: &Image, default_assignor: &str) -> DescribedGroup {
        DescribedGroup::default()
            .with_group_id(GroupId(text(&self.id)))
            .with_group_state(text(self.state().name()))
            .with_group_epoch(self.epoch)
            .with_assignment_epoch(self.target_epoch.epoch)
            .with_assignor_name(text(self.assignor().unwrap_or(default_assignor)))
            .with_members(self.members.values().map(|member| self.describe_member(image, member)).collect())
    }

    /// The assignor that most members ask for.
    fn assignor(&self) -> Option<&str> {
        let mut votes: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
        for name in self.members.values().filter_map(|member| member.told.assignor.as_deref()) {
            *votes.entry(name).or_default() += 1;
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name)
    }

    fn describe_member(&self, image: &Image, member: &ConsumerMember) -> Member {
        let mut held = Partitions::new();
        for (topic, epochs) in member.held.assigned.iter().chain(&member.held.revoking) {
            held.entry(*topic).or_default().extend(epochs.keys());
        }
        let told = &member.told;
        let nullable = |value: &Option<String>| value.as_deref().map(text);
        Member::default()
            .with_member_id(text(&member.id))
            .with_instance_id(nullable(&told.instance_id))
            .with_rack_id(nullable(&told.rack_id))
            .with_member_epoch(member.held.epoch)
            .with_client_id(text(&told.client_id))
            .with_client_host(text(&told.client_host))
            .with_subscribed_topic_names(told.topics.iter().map(|name| TopicName(text(name))).collect())
            .with_subscribed_topic_regex(nullable(&told.regex))
            .with_assignment(assignment(image, &held))
            .with_target_assignment(assignment(image, &self.target(&member.id)))
            .with_member_type(if member.is_classic() { MEMBER_TYPE_CLASSIC } else { MEMBER_TYPE_CONSUMER })
    }
}

fn assignment(image: &Image, partitions: &Partitions) -> Assignment {
    let topic = |(id, indexes): (&TopicId, &std::collections::BTreeSet<PartitionIndex>)| {
        let topic = image.topic_by_id(*id)?;
        let partitions = TopicPartitions::default()
            .with_topic_id(*id)
            .with_topic_name(TopicName(text(&topic.name)))
            .with_partitions(indexes.iter().copied().collect());
        Some(partitions)
    };
    Assignment::default().with_topic_partitions(partitions.iter().filter_map(topic).collect())
}
