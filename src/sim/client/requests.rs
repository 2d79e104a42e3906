//! The requests that workloads send, as plain functions of what they are about.

use crate::protocol::StrBytes;
use crate::protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use crate::protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use crate::protocol::messages::delete_topics_request::DeleteTopicState;
use crate::protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use crate::protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use crate::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use crate::protocol::messages::metadata_request::MetadataRequestTopic;
use crate::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use crate::protocol::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, FetchRequest, IncrementalAlterConfigsRequest,
    InitProducerIdRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest, TopicName,
};
use bytes::Bytes;

use crate::model::ids::{PartitionId, Uuid};
use crate::model::offset::Offset;

/// The version that InitProducerId is sent in.
pub const INIT_PRODUCER_ID: i16 = 4;
/// The version that ListOffsets is sent in.
pub const LIST_OFFSETS: i16 = 7;
/// The version that CreateTopics is sent in; it answers with ids.
pub const CREATE_TOPICS: i16 = 7;
/// The version that DeleteTopics is sent in; it takes ids.
pub const DELETE_TOPICS: i16 = 6;
/// The version that DeleteRecords is sent in.
pub const DELETE_RECORDS: i16 = 2;
/// The version that IncrementalAlterConfigs is sent in.
pub const ALTER_CONFIGS: i16 = 1;
/// The version that Metadata is sent in; it answers with ids.
pub const METADATA: i16 = 12;
/// From this version on Produce and Fetch name topics by id (KIP-516).
pub const TOPIC_IDS_FROM: i16 = 13;

/// ListOffsets' timestamp for the log end as consumers see it.
pub const LATEST: i64 = -1;
/// ListOffsets' timestamp for the log start.
pub const EARLIEST: i64 = -2;

/// The isolation level that shows what counts.
pub const READ_COMMITTED: i8 = 1;

/// What a broker is told to wait at most for followers, in milliseconds.
const TIMEOUT_MS: i32 = 10_000;
/// The resource type of topics in configuration requests.
const TOPIC_RESOURCE: i8 = 2;
/// The operation that sets a configuration.
const SET: i8 = 0;

/// A topic as a request names it: by name below [`TOPIC_IDS_FROM`], by id from there on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Uuid,
}

/// A topic's name as requests have it.
pub(super) fn name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

/// A Produce request of one batch a partition.
pub fn produce(version: i16, acks: i16, batches: &[(Topic, i32, Bytes)]) -> ProduceRequest {
    let topics = batches.iter().map(|(topic, partition, batch)| {
        let data = PartitionProduceData::default().with_index(*partition).with_records(Some(batch.clone()));
        let named = TopicProduceData::default().with_partition_data(vec![data]);
        if version >= TOPIC_IDS_FROM { named.with_topic_id(topic.id) } else { named.with_name(name(&topic.name)) }
    });
    ProduceRequest::default().with_acks(acks).with_timeout_ms(TIMEOUT_MS).with_topic_data(topics.collect())
}

/// What a Fetch request asks for, besides its partitions.
#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// How long to wait for `bytes_min`, in milliseconds.
    pub wait_ms_max: i32,
    /// Bytes that make an answer worth sending.
    pub bytes_min: i32,
    /// Most bytes of the whole answer.
    pub bytes_max: i32,
    /// Most bytes of one partition.
    pub partition_bytes_max: i32,
    /// Session and its epoch (KIP-227): (0, -1) for none.
    pub session: (i32, i32),
}

/// A Fetch request.
pub fn fetch(version: i16, limits: &FetchLimits, partitions: &[(Topic, i32, Offset)]) -> FetchRequest {
    let topics = partitions.iter().map(|(topic, partition, offset)| {
        let partition = FetchPartition::default()
            .with_partition(*partition)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(limits.partition_bytes_max);
        let named = FetchTopic::default().with_partitions(vec![partition]);
        if version >= TOPIC_IDS_FROM { named.with_topic_id(topic.id) } else { named.with_topic(name(&topic.name)) }
    });
    FetchRequest::default()
        .with_max_wait_ms(limits.wait_ms_max)
        .with_min_bytes(limits.bytes_min)
        .with_max_bytes(limits.bytes_max)
        .with_session_id(limits.session.0)
        .with_session_epoch(limits.session.1)
        .with_topics(topics.collect())
}

/// Asks for a producer id without a transactional id.
pub fn init_producer_id() -> InitProducerIdRequest {
    InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(i32::MAX)
}

/// Asks for the offset of `timestamp`, or [`EARLIEST`] or [`LATEST`], in one partition.
pub fn list_offsets(topic: &str, partition: i32, timestamp: i64) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
}

/// Asks for a topic to be made.
pub fn create_topic(topic: &str, partitions: i32, configs: &[(&str, String)]) -> CreateTopicsRequest {
    let configs = configs.iter().map(|(key, value)| {
        let config = CreatableTopicConfig::default().with_name(StrBytes::from_string((*key).to_owned()));
        config.with_value(Some(StrBytes::from_string(value.clone())))
    });
    let topic = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(-1)
        .with_configs(configs.collect());
    CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS)
}

/// Asks for a topic to be deleted, by its id.
pub fn delete_topic(id: Uuid) -> DeleteTopicsRequest {
    let topic = DeleteTopicState::default().with_name(None).with_topic_id(id);
    DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS)
}

/// Asks for the records of one partition before `offset` to be deleted.
pub fn delete_records(topic: &str, place: PartitionId, offset: Offset) -> DeleteRecordsRequest {
    let partition = DeleteRecordsPartition::default().with_partition_index(place.index).with_offset(offset);
    let topic = DeleteRecordsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS)
}

/// Asks for one configuration of a topic to be set.
pub fn alter_config(topic: &str, key: &str, value: &str) -> IncrementalAlterConfigsRequest {
    let config = AlterableConfig::default()
        .with_name(StrBytes::from_string(key.to_owned()))
        .with_config_operation(SET)
        .with_value(Some(StrBytes::from_string(value.to_owned())));
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC_RESOURCE)
        .with_resource_name(StrBytes::from_string(topic.to_owned()))
        .with_configs(vec![config]);
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

/// Asks which topic has this name, without making one.
pub fn metadata(topic: &str) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
    MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false)
}
