//! Metadata: topics, partitions and brokers; makes topics that do not exist where client and broker allow it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::once;
use crate::broker::broker::{find_topic, shown};
use crate::broker::controller::{Command, Decided, decide};
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::metadata::controller::internal_topics::is_internal;
use crate::metadata::controller::names::validate_topic_name;
use crate::metadata::image::{Image, Topic};
use crate::metadata::record::{NO_LEADER, PartitionRegistration};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{BrokerId, TopicId, base64_url};
use crate::protocol::StrBytes;
use crate::protocol::messages::metadata_request::MetadataRequestTopic;
use crate::protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::protocol::messages::{self, MetadataRequest, MetadataResponse, TopicName};
use crate::protocol::topic::{NodeEndpoint, TopicRef};

/// The first version that says whether topics may be made; before, they always may.
const CREATION_FROM: i16 = 4;
/// The first version with topic ids in requests.
const IDS_FROM: i16 = 12;
/// "Authorized operations were not asked for."
pub const OPERATIONS_NOT_ASKED: i32 = i32::MIN;
/// All operations on a topic, as bits by their number in Kafka's `AclOperation`: read, write, create, delete, alter,
/// describe, describe configs, alter configs.
pub const TOPIC_OPERATIONS: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
/// All operations on a cluster: create, alter, describe, cluster action, describe configs, alter configs, idempotent
/// write.
pub const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;
/// Topics that one request may make.
const TOPICS_MADE_MAX: usize = 1000;

/// Answers with what the image holds, after making the topics that are to be made.
pub async fn handle(request: Request) -> Outcome {
    let (origin, mut decoded) = match request.decode::<MetadataRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    decoded.topics = decoded.topics.map(|topics| once(topics, |topic| (topic.topic_id, topic.name.clone())));
    let refusals = make_missing(&origin, &decoded).await;
    let image = origin.broker.image();
    let response = MetadataResponse::default()
        .with_brokers(brokers(&origin, &image))
        .with_cluster_id(image.cluster_id().map(|id| StrBytes::from_string(base64_url(id))))
        .with_controller_id(messages::BrokerId(origin.broker.config.node_id))
        .with_topics(topics(&origin, &image, &decoded, &refusals))
        .with_cluster_authorized_operations(if decoded.include_cluster_authorized_operations && origin.version <= 10 {
            CLUSTER_OPERATIONS
        } else {
            OPERATIONS_NOT_ASKED
        });
    origin.reply::<MetadataRequest>(&response)
}

/// Why topics could not be made, by name.
type Refusals = BTreeMap<String, ClientError>;

async fn make_missing(origin: &Origin, decoded: &MetadataRequest) -> Refusals {
    let allowed = origin.version < CREATION_FROM || decoded.allow_auto_topic_creation;
    let Some(wanted) = decoded.topics.as_ref().filter(|_| allowed) else { return Refusals::new() };
    let image = origin.broker.image();
    let missing: Vec<String> = wanted
        .iter()
        .filter_map(|topic| match topic_ref(origin, topic) {
            TopicRef::Name(name) => Some(name),
            TopicRef::Id(_) => None,
        })
        .filter(|name| image.topic(name).is_none())
        .take(TOPICS_MADE_MAX)
        .map(str::to_owned)
        .collect();
    if missing.is_empty() || !origin.broker.limits.get().auto_create_topics {
        return Refusals::new();
    }
    match decide(&origin.broker, Command::AutoCreateTopics(missing.clone())).await {
        Decided::AutoCreated(refusals) => refusals.into_iter().collect(),
        Decided::Failed(error) => missing.into_iter().map(|name| (name, error.clone())).collect(),
        _ => unreachable!("each command has its own answer"),
    }
}

fn topics(
    origin: &Origin,
    image: &Image,
    decoded: &MetadataRequest,
    refusals: &Refusals,
) -> Vec<MetadataResponseTopic> {
    let operations = if decoded.include_topic_authorized_operations { TOPIC_OPERATIONS } else { OPERATIONS_NOT_ASKED };
    let one = |topic: &Arc<Topic>| described(topic, origin.version).with_topic_authorized_operations(operations);
    match &decoded.topics {
        // Version 0 has no null: there an empty list asks for all topics.
        None => image.topics().map(one).collect(),
        Some(none) if none.is_empty() && origin.version == 0 => image.topics().map(one).collect(),
        Some(wanted) => {
            let answer = |wanted: &MetadataRequestTopic| match find_topic(image, topic_ref(origin, wanted)) {
                Ok(topic) => one(topic),
                Err(error) => missing(origin, wanted, error, refusals),
            };
            wanted.iter().map(answer).collect()
        }
    }
}

/// How the request names a topic: by its id where it gives one, whatever stands in the name (Java writes an empty one).
fn topic_ref<'a>(origin: &Origin, wanted: &'a MetadataRequestTopic) -> TopicRef<'a> {
    match &wanted.name {
        Some(name) if origin.version < IDS_FROM || wanted.topic_id.is_nil() => TopicRef::Name(name),
        _ => TopicRef::Id(wanted.topic_id),
    }
}

fn missing(
    origin: &Origin,
    wanted: &MetadataRequestTopic,
    error: ClientError,
    refusals: &Refusals,
) -> MetadataResponseTopic {
    let refused = wanted.name.as_ref().and_then(|name| refusals.get(name.as_str()));
    // A name that no topic can have is called that, whether or not topics may be made.
    let invalid = wanted.name.as_ref().and_then(|name| validate_topic_name(name).err());
    let by_name = error.code == ErrorCode::UnknownTopicOrPartition;
    let error = refused.cloned().or(invalid.filter(|_| by_name)).unwrap_or(error);
    if refused.is_some() {
        origin.refused(|| {
            let name = wanted.name.as_ref().map_or("", |name| name.as_str());
            format!("topic '{}' was not made: {error}", shown(name))
        });
    }
    let (name, id) = match topic_ref(origin, wanted) {
        TopicRef::Name(_) => (wanted.name.clone(), TopicId::nil()),
        // Before version 12 the name may not be null.
        TopicRef::Id(id) if origin.version >= IDS_FROM => (None, id),
        TopicRef::Id(_) => (Some(TopicName(StrBytes::default())), TopicId::nil()),
    };
    MetadataResponseTopic::default()
        .with_error_code(error.code.code())
        .with_name(name)
        .with_topic_id(id)
        .with_topic_authorized_operations(OPERATIONS_NOT_ASKED)
}

fn described(topic: &Arc<Topic>, version: i16) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter().map(|partition| described_partition(partition, version)).collect();
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(topic.name.to_string()))))
        .with_topic_id(if version >= 10 { topic.id } else { TopicId::nil() })
        .with_is_internal(version >= 1 && is_internal(&topic.name))
        .with_partitions(partitions)
}

fn described_partition(partition: &PartitionRegistration, version: i16) -> MetadataResponsePartition {
    let ids = |ids: &[BrokerId]| ids.iter().map(|id| messages::BrokerId(*id)).collect::<Vec<_>>();
    let error = if partition.leader == NO_LEADER { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
    MetadataResponsePartition::default()
        .with_error_code(error.code())
        .with_partition_index(partition.partition.index)
        .with_leader_id(messages::BrokerId(partition.leader))
        .with_leader_epoch(if version >= 7 { partition.leader_epoch } else { -1 })
        .with_replica_nodes(ids(&partition.replicas))
        .with_isr_nodes(ids(&partition.isr))
}

fn brokers(origin: &Origin, image: &Image) -> Vec<MetadataResponseBroker> {
    let usable = image.brokers().filter(|broker| !broker.fenced);
    usable
        .filter_map(|broker| {
            let (host, port) = address(origin, image, broker.id)?;
            Some(
                MetadataResponseBroker::default()
                    .with_node_id(messages::BrokerId(broker.id))
                    .with_host(StrBytes::from_string(host))
                    .with_port(i32::from(port))
                    .with_rack(broker.rack.clone().filter(|_| origin.version >= 1).map(StrBytes::from_string)),
            )
        })
        .collect()
}

/// Where the client of `origin` reaches broker `id`: the address advertised for the listener it came in by, or, for
/// this broker and where none is configured, the very address it has connected to.
pub fn address(origin: &Origin, image: &Image, id: BrokerId) -> Option<(String, u16)> {
    let config = &origin.broker.config;
    let listener = config.listeners.get(origin.connection.listener)?;
    if id == config.node_id {
        if let Some(advertised) = &listener.advertised {
            return Some((advertised.host.clone(), advertised.port));
        }
        let local = origin.connection.local?;
        // A client that came by IPv4 over a dual-stack socket wants its IPv4 address back.
        return Some((local.ip().to_canonical().to_string(), local.port()));
    }
    let endpoints = &image.broker(id)?.endpoints;
    let endpoint = endpoints.iter().find(|endpoint| endpoint.listener == listener.name)?;
    Some((endpoint.host.clone(), endpoint.port))
}

/// Adds where broker `id` listens to a reply's endpoints (KIP-951), once.
pub fn add_endpoint(endpoints: &mut Vec<NodeEndpoint>, origin: &Origin, image: &Image, id: BrokerId) {
    if endpoints.iter().any(|endpoint| endpoint.node_id == id) {
        return;
    }
    if let Some((host, port)) = address(origin, image, id) {
        let rack = image.broker(id).and_then(|broker| broker.rack.clone());
        endpoints.push(NodeEndpoint { node_id: id, host, port: i32::from(port), rack });
    }
}
