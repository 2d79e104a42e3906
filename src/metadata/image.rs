//! The cluster's metadata at one offset of the metadata log, immutable and shared.
//!
//! An image is a handful of counted pointers: publishing one to every reactor copies no topic. A [`crate::metadata::delta::Delta`]
//! makes the next image; what it did not touch is shared with the one before.

use super::record::{BrokerRegistration, ConfigResource, MetadataRecord, PartitionRegistration};
use crate::base::map::Map;
use crate::model::ids::{BrokerId, PartitionId, PartitionIndex, ProducerId, TopicId, Uuid};
use crate::model::offset::{LeaderEpoch, NO_LEADER_EPOCH, Offset};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Dynamic configs of one resource, by name.
pub type Configs = BTreeMap<String, String>;

static NO_CONFIGS: Configs = BTreeMap::new();

/// A topic and its partitions, dense from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub id: TopicId,
    /// Its partitions; the place is the index.
    pub partitions: Vec<Arc<PartitionRegistration>>,
}

impl Topic {
    /// The partition with number `index`, if the topic has it.
    pub fn partition(&self, index: PartitionIndex) -> Option<&Arc<PartitionRegistration>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// How many partitions the topic has.
    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).expect("indexes of partitions are 32 bits")
    }

    /// How many replicas a partition of the topic has, as its first one shows.
    pub fn replication_factor(&self) -> usize {
        self.partitions.first().map_or(0, |partition| partition.replicas.len())
    }
}

/// How many parts the topics are kept in. A change copies the part it falls into, so that a change of leader among twenty
/// thousand topics copies eighty pointers.
const TOPIC_PARTS: usize = 256;

type TopicPart = Map<TopicId, Arc<Topic>>;

/// Topics by id, in parts that images share.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Topics {
    parts: Arc<Vec<Arc<TopicPart>>>,
}

impl Default for Topics {
    fn default() -> Topics {
        Topics { parts: Arc::new(vec![Arc::default(); TOPIC_PARTS]) }
    }
}

impl Topics {
    /// Ids are random, so that any of their bits spread them.
    fn part_of(id: TopicId) -> usize {
        (id.as_u128() % TOPIC_PARTS as u128) as usize
    }

    pub(super) fn get(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.parts[Topics::part_of(id)].get(&id)
    }

    fn part_mut(&mut self, id: TopicId) -> &mut TopicPart {
        Arc::make_mut(&mut Arc::make_mut(&mut self.parts)[Topics::part_of(id)])
    }

    pub(super) fn insert(&mut self, topic: Topic) {
        self.part_mut(topic.id).insert(topic.id, Arc::new(topic));
    }

    pub(super) fn remove(&mut self, id: TopicId) -> Option<Arc<Topic>> {
        self.get(id)?;
        self.part_mut(id).remove(&id)
    }
}

/// The cluster's metadata after the record at [`Image::offset`].
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    pub(super) offset: Offset,
    pub(super) epoch: LeaderEpoch,
    pub(super) cluster_id: Option<Uuid>,
    pub(super) next_producer_id: ProducerId,
    pub(super) features: Arc<BTreeMap<String, i16>>,
    pub(super) topic_ids: Arc<BTreeMap<Arc<str>, TopicId>>,
    pub(super) topics: Topics,
    pub(super) configs: Arc<BTreeMap<ConfigResource, Arc<Configs>>>,
    pub(super) brokers: Arc<BTreeMap<BrokerId, Arc<BrokerRegistration>>>,
    pub(super) replica_counts: Arc<BTreeMap<BrokerId, u32>>,
}

impl Default for Image {
    fn default() -> Image {
        Image::empty()
    }
}

impl Image {
    /// The image before the first record.
    pub fn empty() -> Image {
        Image {
            offset: -1,
            epoch: NO_LEADER_EPOCH,
            cluster_id: None,
            next_producer_id: 0,
            features: Arc::default(),
            topic_ids: Arc::default(),
            topics: Topics::default(),
            configs: Arc::default(),
            brokers: Arc::default(),
            replica_counts: Arc::default(),
        }
    }

    /// Offset of the last record applied, -1 before the first.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// Epoch of the controller that wrote the last record applied.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The cluster's id, once it has one.
    pub fn cluster_id(&self) -> Option<Uuid> {
        self.cluster_id
    }

    /// The first producer id that no broker holds yet.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// The finalized level of a feature, 0 if it has none.
    pub fn feature_level(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// The finalized features with their levels.
    pub fn features(&self) -> impl ExactSizeIterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, level)| (name.as_str(), *level))
    }

    /// The topic with this name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topic_ids.get(name).map(|id| self.named(*id))
    }

    /// The topic with this id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(id)
    }

    /// All topics, in the order of their names.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<Topic>> {
        self.topic_ids.values().map(|id| self.named(*id))
    }

    fn named(&self, id: TopicId) -> &Arc<Topic> {
        self.topics.get(id).expect("every name is of a topic")
    }

    /// The topics whose names start with `prefix`, in the order of their names.
    pub fn topics_with_prefix(&self, prefix: &str) -> impl Iterator<Item = &Arc<Topic>> {
        let from_prefix = (std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded);
        let named = self.topic_ids.range::<str, _>(from_prefix).take_while(move |(name, _)| name.starts_with(prefix));
        named.map(|(_, id)| self.named(*id))
    }

    /// A partition of a topic.
    pub fn partition(&self, id: PartitionId) -> Option<&Arc<PartitionRegistration>> {
        self.topic_by_id(id.topic)?.partition(id.index)
    }

    /// How many partitions all topics have together.
    pub fn partition_count(&self) -> usize {
        self.topics().map(|topic| topic.partitions.len()).sum()
    }

    /// The dynamic configs of a resource, none if it was never configured.
    pub fn configs(&self, resource: &ConfigResource) -> &Configs {
        self.configs.get(resource).map_or(&NO_CONFIGS, |configs| configs.as_ref())
    }

    /// The resources that have dynamic configs, in order.
    pub fn configured_resources(&self) -> impl ExactSizeIterator<Item = &ConfigResource> {
        self.configs.keys()
    }

    /// The registered brokers, in the order of their ids.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &Arc<BrokerRegistration>> {
        self.brokers.values()
    }

    /// The registration of a broker.
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<BrokerRegistration>> {
        self.brokers.get(&id)
    }

    /// How many partition replicas are assigned to a broker.
    pub fn replica_count(&self, broker: BrokerId) -> u32 {
        self.replica_counts.get(&broker).copied().unwrap_or(0)
    }

    /// The records that make this image out of [`Image::empty`]: a snapshot of the metadata log.
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        records.extend(self.cluster_id.map(|id| MetadataRecord::ClusterId { id }));
        let features = self.features.iter();
        records
            .extend(features.map(|(name, level)| MetadataRecord::FeatureLevel { name: name.clone(), level: *level }));
        records.extend(self.brokers.values().map(|broker| MetadataRecord::Broker((**broker).clone())));
        for topic in self.topics() {
            records.push(MetadataRecord::Topic { name: topic.name.to_string(), id: topic.id });
            let partitions = topic.partitions.iter();
            records.extend(partitions.map(|partition| MetadataRecord::Partition((**partition).clone())));
        }
        for (resource, configs) in self.configs.iter() {
            records.extend(configs.iter().map(|(name, value)| MetadataRecord::Config {
                resource: resource.clone(),
                name: name.clone(),
                value: Some(value.clone()),
            }));
        }
        records.push(MetadataRecord::ProducerIds { next_producer_id: self.next_producer_id });
        records
    }
}
