//! The shards of a reactor follow the image: made, configured and removed as it says.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::broker::{Broker, Limits};
use super::markers;
use super::message::Publication;
use crate::coordinator::machine::DECISION_BYTES_MAX;
use crate::metadata::config::settings::{TimestampType, TopicSettings};
use crate::metadata::controller::internal_topics::is_internal;
use crate::metadata::image::{Image, Topic};
use crate::metadata::record::{ConfigResource, PartitionRegistration};
use crate::model::ids::{PartitionId, TopicId};
use crate::record;
use crate::shard::{Precedence, ShardSettings};

/// Puts a new image in force on this reactor. Resolves when the partitions that are gone have freed their space.
pub async fn apply(broker: &Rc<Broker>, publication: &Publication) {
    let Publication { image, changes } = publication;
    *broker.image.borrow_mut() = Rc::new((**image).clone());
    for id in changes.removed_partitions.iter().filter(|id| broker.hosts(**id)) {
        remove(broker, *id).await;
    }
    for id in changes.created_partitions.iter().filter(|id| broker.hosts(**id)) {
        if let Some((topic, registration)) = registration(image, *id) {
            open(broker, image, topic, registration);
        }
    }
    if changes.broker_configs_changed(broker.config.node_id) {
        broker.limits.set(Limits::of(&broker.layers(image)));
        configure(broker, image, None);
    } else {
        let topic = |resource: &ConfigResource| match resource {
            ConfigResource::Topic(name) => image.topic(name).map(|topic| topic.id),
            _ => None,
        };
        let topics: BTreeSet<TopicId> = changes.changed_configs.iter().filter_map(topic).collect();
        if !topics.is_empty() {
            configure(broker, image, Some(&topics));
        }
    }
    let shared = broker.image();
    broker.coordinators.image_changed(&shared, changes);
}

/// Opens every partition that the image gives to this reactor, and removes what the storage holds beyond that: what a
/// broker that was killed in the middle of a deletion has left. Tells how many were opened and removed.
pub async fn open_all(broker: &Rc<Broker>, image: &Image) -> (usize, usize) {
    let known = |id: &PartitionId| image.partition(*id).is_some_and(|partition| is_replica(broker, partition));
    let orphans: Vec<PartitionId> = broker.shards.unclaimed().into_iter().filter(|id| !known(id)).collect();
    for orphan in &orphans {
        tracing::info!(partition = %orphan, "removing the log of a partition that no topic has any more");
        remove(broker, *orphan).await;
    }
    let mut opened = 0;
    for topic in image.topics() {
        for registration in topic.partitions.iter().filter(|partition| broker.hosts(partition.partition)) {
            opened += usize::from(open(broker, image, topic, registration));
        }
    }
    (opened, orphans.len())
}

fn registration(image: &Image, id: PartitionId) -> Option<(&Topic, &PartitionRegistration)> {
    let topic = image.topic_by_id(id.topic)?;
    Some((topic, topic.partition(id.index)?))
}

fn is_replica(broker: &Broker, registration: &PartitionRegistration) -> bool {
    registration.replicas.contains(&broker.config.node_id)
}

fn open(broker: &Rc<Broker>, image: &Image, topic: &Topic, registration: &PartitionRegistration) -> bool {
    if !is_replica(broker, registration) {
        return false;
    }
    let id = registration.partition;
    let directory = format!("{}-{}", topic.name, id.index);
    let shard = broker.shards.open(id, &directory, settings(broker, image, topic), registration.leader_epoch);
    if is_internal(&topic.name) {
        broker.coordinators.opened(&broker.io, &broker.config, &broker.image(), &topic.name, &shard);
        markers::start(broker, id);
    }
    true
}

async fn remove(broker: &Broker, id: PartitionId) {
    broker.coordinators.removed(id);
    broker.lag_times.removed(id);
    if let Err(error) = broker.shards.remove(id).await {
        tracing::error!(partition = %id, %error, "a removed partition's files stay until the next start");
    }
}

/// Hands the shards of `topics`, or of all, the settings that the image gives them.
fn configure(broker: &Broker, image: &Image, topics: Option<&BTreeSet<TopicId>>) {
    let wanted = |topic: &Topic| topics.is_none_or(|topics| topics.contains(&topic.id));
    for topic in image.topics().filter(|topic| wanted(topic)) {
        let resolved = settings(broker, image, topic);
        for partition in &topic.partitions {
            if let Some(shard) = broker.shards.get(partition.partition) {
                shard.configure(resolved);
            }
        }
    }
}

fn settings(broker: &Broker, image: &Image, topic: &Topic) -> ShardSettings {
    let layers = broker.layers(image);
    let own = image.configs(&ConfigResource::Topic(topic.name.to_string()));
    let expiration = layers.whole("producer.id.expiration.ms");
    let resolved = shard_settings(&TopicSettings::resolve(&layers, own), expiration);
    if is_internal(&topic.name) { of_internal_topic(resolved) } else { resolved }
}

/// What coordinators write is the broker's own: always durable before it is acknowledged, never refused for its size or its
/// time, and written while there is any space, since offsets are how consumers get past what fills the disk.
fn of_internal_topic(resolved: ShardSettings) -> ShardSettings {
    ShardSettings {
        message_bytes_max: resolved.message_bytes_max.max(DECISION_BYTES_MAX),
        timestamp_type: record::TimestampType::CreateTime,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: i64::MAX,
        write_caching: false,
        precedence: Precedence::Coordination,
        ..resolved
    }
}

/// What a shard needs of a topic's settings.
pub fn shard_settings(topic: &TopicSettings, producer_id_expiration_ms: i64) -> ShardSettings {
    let size = |bytes: i32| u32::try_from(bytes).unwrap_or(0);
    ShardSettings {
        segment_bytes: size(topic.segment_bytes),
        segment_ms: topic.segment_age_max_ms(0),
        message_bytes_max: size(topic.max_message_bytes),
        index_interval_bytes: size(topic.index_interval_bytes),
        segment_index_bytes: size(topic.segment_index_bytes),
        timestamp_type: match topic.timestamp_type {
            TimestampType::CreateTime => record::TimestampType::CreateTime,
            TimestampType::LogAppendTime => record::TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: topic.timestamp_before_max_ms,
        timestamp_after_max_ms: topic.timestamp_after_max_ms,
        compacted: topic.compact,
        compacted_only: topic.compact && !topic.delete,
        write_caching: topic.write_caching,
        flush_ms: u64::try_from(topic.flush_ms).unwrap_or(u64::MAX),
        producer_id_expiration_ms,
        precedence: Precedence::Records,
    }
}
