//! From one image to the next, and what changed on the way.

use super::image::{Image, Topic};
use super::record::{BrokerRegistration, ConfigResource, MetadataRecord, PartitionRegistration};
use crate::model::ids::{BrokerId, PartitionId, ProducerId, TopicId, Uuid, base64_url};
use crate::model::offset::{LeaderEpoch, Offset};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// What differs between two images, net of what came and went in between; each list in order and without repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Partitions that did not exist: open their shards where this broker is a replica.
    pub created_partitions: BTreeSet<PartitionId>,
    /// Partitions whose leader, epochs, replicas or ISR changed.
    pub changed_partitions: BTreeSet<PartitionId>,
    /// Partitions that are gone: close their shards and delete their files.
    pub removed_partitions: BTreeSet<PartitionId>,
    /// Topics that did not exist.
    pub created_topics: BTreeSet<TopicId>,
    /// Topics that are gone, with the names they had.
    pub removed_topics: BTreeMap<TopicId, Arc<str>>,
    /// Resources whose dynamic configs changed; topics that are gone are not among them.
    pub changed_configs: BTreeSet<ConfigResource>,
    /// Brokers that registered, changed or left.
    pub changed_brokers: BTreeSet<BrokerId>,
    /// Whether the cluster id or a feature level changed.
    pub cluster_changed: bool,
}

impl Changes {
    /// Whether the settings of every topic may have changed on broker `id`: its own configs or the cluster-wide defaults did.
    pub fn broker_configs_changed(&self, id: BrokerId) -> bool {
        self.changed_configs.contains(&ConfigResource::DefaultBroker)
            || self.changed_configs.contains(&ConfigResource::Broker(id))
    }
}

/// Why a record does not fit the image it was applied to: the log is not the one this image came from, or a decision was
/// wrong. Never skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// The cluster has another id.
    OtherCluster {
        /// The id it has.
        have: Uuid,
        /// The id of the record.
        record: Uuid,
    },
    /// The topic's name or id is taken.
    TopicExists {
        /// The record's name.
        name: String,
        /// The record's id.
        id: TopicId,
    },
    /// No topic has this id.
    UnknownTopic {
        /// The id.
        id: TopicId,
    },
    /// No topic has the name that a config record gives.
    UnknownTopicName {
        /// The name.
        name: String,
    },
    /// The partition's index is neither one of the topic's nor the next.
    PartitionGap {
        /// The record's partition.
        partition: PartitionId,
        /// How many partitions the topic has.
        count: usize,
    },
    /// The next producer id lies before the one known.
    ProducerIdsGoBack {
        /// The next producer id known.
        have: ProducerId,
        /// The record's.
        record: ProducerId,
    },
    /// No broker has this id.
    UnknownBroker {
        /// The id.
        id: BrokerId,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::OtherCluster { have, record } => {
                write!(f, "the record is of cluster {}, this is {}", base64_url(*record), base64_url(*have))
            }
            ReplayError::TopicExists { name, id } => {
                write!(f, "topic '{name}' with id {} exists already, by name or by id", base64_url(*id))
            }
            ReplayError::UnknownTopic { id } => write!(f, "no topic has id {}", base64_url(*id)),
            ReplayError::UnknownTopicName { name } => write!(f, "no topic has the name '{name}'"),
            ReplayError::PartitionGap { partition, count } => {
                write!(f, "partition {partition} does not follow the topic's {count} partitions")
            }
            ReplayError::ProducerIdsGoBack { have, record } => {
                write!(f, "producer ids below {have} are given out, the record says {record}")
            }
            ReplayError::UnknownBroker { id } => write!(f, "broker {id} is not registered"),
        }
    }
}

impl std::error::Error for ReplayError {}

/// The next image while its records are applied. Dropped half-way it leaves no trace.
#[derive(Debug)]
pub struct Delta {
    next: Image,
    /// Topics touched so far, `None` once removed; they enter the image when the delta is finished, so that a topic of a
    /// thousand partitions is not copied a thousand times.
    touched: BTreeMap<TopicId, Option<Topic>>,
    created_names: BTreeMap<Arc<str>, TopicId>,
    changes: Changes,
}

impl Delta {
    /// Starts at `image`.
    pub fn new(image: &Image) -> Delta {
        Delta {
            next: image.clone(),
            touched: BTreeMap::new(),
            created_names: BTreeMap::new(),
            changes: Changes::default(),
        }
    }

    /// Applies `records`, the last of which stands at `offset` of the metadata log and was written in `epoch`.
    ///
    /// # Errors
    /// [`ReplayError`] for the first record that does not fit; `image` stays what it is.
    pub fn apply(
        image: &Image,
        records: &[MetadataRecord],
        offset: Offset,
        epoch: LeaderEpoch,
    ) -> Result<(Image, Changes), ReplayError> {
        let mut delta = Delta::new(image);
        records.iter().try_for_each(|record| delta.replay(record))?;
        Ok(delta.finish(offset, epoch))
    }

    /// Applies one record.
    ///
    /// # Errors
    /// [`ReplayError`] if the record does not fit; the delta is then to be dropped.
    pub fn replay(&mut self, record: &MetadataRecord) -> Result<(), ReplayError> {
        match record {
            MetadataRecord::ClusterId { id } => self.set_cluster_id(*id),
            MetadataRecord::FeatureLevel { name, level } => {
                self.set_feature_level(name, *level);
                Ok(())
            }
            MetadataRecord::Topic { name, id } => self.create_topic(name, *id),
            MetadataRecord::Partition(partition) => self.put_partition(partition),
            MetadataRecord::RemoveTopic { id } => self.remove_topic(*id),
            MetadataRecord::Config { resource, name, value } => self.set_config(resource, name, value.as_deref()),
            MetadataRecord::ProducerIds { next_producer_id } => self.set_next_producer_id(*next_producer_id),
            MetadataRecord::Broker(broker) => {
                self.put_broker(broker);
                Ok(())
            }
            MetadataRecord::UnregisterBroker { id } => self.remove_broker(*id),
        }
    }

    /// The next image, whose last record stands at `offset` and was written in `epoch`, and what changed.
    pub fn finish(mut self, offset: Offset, epoch: LeaderEpoch) -> (Image, Changes) {
        assert!(offset >= self.next.offset, "the metadata log goes forward");
        self.next.offset = offset;
        self.next.epoch = epoch;
        if !self.touched.is_empty() {
            self.publish_topics();
        }
        (self.next, self.changes)
    }

    fn publish_topics(&mut self) {
        // All old names go before any new one comes: a removed topic's name may be another's by now.
        let is_gone = |(_, topic): &(&TopicId, &Option<Topic>)| topic.is_none();
        for (id, _) in self.touched.iter().filter(is_gone) {
            if let Some(before) = self.next.topics.remove(*id) {
                Arc::make_mut(&mut self.next.topic_ids).remove(&before.name);
            }
        }
        for (name, id) in std::mem::take(&mut self.created_names) {
            Arc::make_mut(&mut self.next.topic_ids).insert(name, id);
        }
        for topic in std::mem::take(&mut self.touched).into_values().flatten() {
            self.next.topics.insert(topic);
        }
    }

    fn topic(&self, id: TopicId) -> Option<&Topic> {
        match self.touched.get(&id) {
            Some(touched) => touched.as_ref(),
            None => self.next.topic_by_id(id).map(Arc::as_ref),
        }
    }

    fn name_is_taken(&self, name: &str) -> bool {
        let kept = self.next.topic(name).is_some_and(|topic| self.topic(topic.id).is_some());
        kept || self.created_names.contains_key(name)
    }

    fn create_topic(&mut self, name: &str, id: TopicId) -> Result<(), ReplayError> {
        // An id is never used again, not even within one delta.
        if self.name_is_taken(name) || self.touched.contains_key(&id) || self.next.topic_by_id(id).is_some() {
            return Err(ReplayError::TopicExists { name: name.to_owned(), id });
        }
        let name: Arc<str> = name.into();
        self.created_names.insert(name.clone(), id);
        self.touched.insert(id, Some(Topic { name, id, partitions: Vec::new() }));
        self.changes.created_topics.insert(id);
        Ok(())
    }

    fn put_partition(&mut self, record: &PartitionRegistration) -> Result<(), ReplayError> {
        let partition = record.partition;
        let unknown = ReplayError::UnknownTopic { id: partition.topic };
        if !self.touched.contains_key(&partition.topic) {
            let topic = self.next.topic_by_id(partition.topic).ok_or_else(|| unknown.clone())?;
            self.touched.insert(partition.topic, Some((**topic).clone()));
        }
        let topic = self.touched.get_mut(&partition.topic).and_then(Option::as_mut).ok_or(unknown)?;
        let count = topic.partitions.len();
        let at = usize::try_from(partition.index).unwrap_or(usize::MAX);
        let new = Arc::new(record.clone());
        if at < count {
            let old = std::mem::replace(&mut topic.partitions[at], new);
            self.count_replicas(&old, false);
            if !self.changes.created_partitions.contains(&partition) {
                self.changes.changed_partitions.insert(partition);
            }
        } else if at == count {
            topic.partitions.push(new);
            self.changes.created_partitions.insert(partition);
        } else {
            return Err(ReplayError::PartitionGap { partition, count });
        }
        self.count_replicas(record, true);
        Ok(())
    }

    fn remove_topic(&mut self, id: TopicId) -> Result<(), ReplayError> {
        let topic = self.topic(id).cloned().ok_or(ReplayError::UnknownTopic { id })?;
        self.touched.insert(id, None);
        self.created_names.remove(&topic.name);
        for partition in &topic.partitions {
            self.count_replicas(partition, false);
            self.changes.changed_partitions.remove(&partition.partition);
            if !self.changes.created_partitions.remove(&partition.partition) {
                self.changes.removed_partitions.insert(partition.partition);
            }
        }
        let configs = ConfigResource::Topic(topic.name.to_string());
        self.changes.changed_configs.remove(&configs);
        if self.next.configs.contains_key(&configs) {
            Arc::make_mut(&mut self.next.configs).remove(&configs);
        }
        if !self.changes.created_topics.remove(&id) {
            self.changes.removed_topics.insert(id, topic.name);
        }
        Ok(())
    }

    fn count_replicas(&mut self, partition: &PartitionRegistration, more: bool) {
        let counts = Arc::make_mut(&mut self.next.replica_counts);
        for broker in &partition.replicas {
            let count = counts.entry(*broker).or_insert(0);
            *count = if more { *count + 1 } else { *count - 1 };
            if *count == 0 {
                counts.remove(broker);
            }
        }
    }

    fn set_config(&mut self, resource: &ConfigResource, name: &str, value: Option<&str>) -> Result<(), ReplayError> {
        if let ConfigResource::Topic(topic) = resource
            && !self.name_is_taken(topic)
        {
            return Err(ReplayError::UnknownTopicName { name: topic.clone() });
        }
        let all = Arc::make_mut(&mut self.next.configs);
        let configs = Arc::make_mut(all.entry(resource.clone()).or_default());
        match value {
            Some(value) => configs.insert(name.to_owned(), value.to_owned()),
            None => configs.remove(name),
        };
        if configs.is_empty() {
            all.remove(resource);
        }
        self.changes.changed_configs.insert(resource.clone());
        Ok(())
    }

    fn set_cluster_id(&mut self, id: Uuid) -> Result<(), ReplayError> {
        match self.next.cluster_id {
            Some(have) if have != id => Err(ReplayError::OtherCluster { have, record: id }),
            _ => {
                self.next.cluster_id = Some(id);
                self.changes.cluster_changed = true;
                Ok(())
            }
        }
    }

    fn set_feature_level(&mut self, name: &str, level: i16) {
        let features = Arc::make_mut(&mut self.next.features);
        if level == 0 {
            features.remove(name);
        } else {
            features.insert(name.to_owned(), level);
        }
        self.changes.cluster_changed = true;
    }

    fn set_next_producer_id(&mut self, next: ProducerId) -> Result<(), ReplayError> {
        let have = self.next.next_producer_id;
        if next < have {
            return Err(ReplayError::ProducerIdsGoBack { have, record: next });
        }
        self.next.next_producer_id = next;
        Ok(())
    }

    fn put_broker(&mut self, broker: &BrokerRegistration) {
        Arc::make_mut(&mut self.next.brokers).insert(broker.id, Arc::new(broker.clone()));
        self.changes.changed_brokers.insert(broker.id);
    }

    fn remove_broker(&mut self, id: BrokerId) -> Result<(), ReplayError> {
        if self.next.broker(id).is_none() {
            return Err(ReplayError::UnknownBroker { id });
        }
        Arc::make_mut(&mut self.next.brokers).remove(&id);
        self.changes.changed_brokers.insert(id);
        Ok(())
    }
}
