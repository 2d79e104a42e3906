//! What a run must know before it starts: where the partitions are led, who the producers are.

use flumen::model::error_code::ErrorCode;
use flumen::protocol::StrBytes;
use flumen::protocol::api::ApiKey;
use flumen::protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use flumen::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use flumen::protocol::messages::metadata_request::MetadataRequestTopic;
use flumen::protocol::messages::{
    CreateTopicsRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest, MetadataResponse, TopicName,
};

use super::client::Client;
use super::options::Common;
use super::wire::{FETCH_VERSION, PRODUCE_VERSIONS};

/// How often a topic just created is looked for.
const LOOKS_MAX: u32 = 300;
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(100);
/// The versions asked at most: what this program has been written for.
const METADATA_VERSION: i16 = 8;
const CREATE_TOPICS_VERSION: i16 = 5;
const LIST_OFFSETS_VERSION: i16 = 5;
const INIT_PRODUCER_ID_VERSION: i16 = 2;

/// What is known of the cluster.
#[derive(Debug)]
pub struct Cluster {
    /// The brokers that lead partitions of the topic.
    pub brokers: Vec<Leading>,
    pub partitions: usize,
    pub produce_version: i16,
    /// Producer ids and epochs, one for each producing connection of an idempotent run.
    pub producers: Vec<(i64, i16)>,
}

/// A broker and the partitions it leads.
#[derive(Debug)]
pub struct Leading {
    pub address: String,
    pub partitions: Vec<i32>,
}

impl Leading {
    /// Another one of the same.
    pub fn copy(&self) -> Leading {
        Leading { address: self.address.clone(), partitions: self.partitions.clone() }
    }
}

/// The first and the next offset of each partition of a broker.
pub type Offsets = Vec<(i64, i64)>;

impl Cluster {
    /// Finds the topic, makes it if it is to be made, and draws producer ids.
    ///
    /// # Errors
    /// What the broker refused, or what it lacks.
    pub fn discover(common: &Common, producers: usize) -> Result<Cluster, String> {
        let mut client = Client::connect(&common.bootstrap)?;
        let produce_version = client.version(ApiKey::Produce, PRODUCE_VERSIONS.start, PRODUCE_VERSIONS.end - 1)?;
        client.version(ApiKey::Fetch, FETCH_VERSION, FETCH_VERSION)?;
        let response = find(&mut client, common)?;
        let topic = response.topics.first().ok_or("the broker says nothing of the topic")?;
        let mut brokers: Vec<Leading> = Vec::new();
        for partition in &topic.partitions {
            let leader = response.brokers.iter().find(|broker| broker.node_id == partition.leader_id);
            let leader = leader.ok_or_else(|| format!("partition {} has no leader", partition.partition_index))?;
            let address = format!("{}:{}", &*leader.host, leader.port);
            match brokers.iter_mut().find(|broker| broker.address == address) {
                Some(broker) => broker.partitions.push(partition.partition_index),
                None => brokers.push(Leading { address, partitions: vec![partition.partition_index] }),
            }
        }
        for broker in &mut brokers {
            broker.partitions.sort_unstable();
        }
        let producers = (0..producers).map(|_| producer(&mut client)).collect::<Result<_, String>>()?;
        Ok(Cluster { brokers, partitions: topic.partitions.len(), produce_version, producers })
    }
}

fn find(client: &mut Client, common: &Common) -> Result<MetadataResponse, String> {
    let name = TopicName(StrBytes::from_string(common.topic.clone()));
    let wanted = MetadataRequestTopic::default().with_name(Some(name));
    let request = MetadataRequest::default().with_topics(Some(vec![wanted])).with_allow_auto_topic_creation(false);
    let mut created = false;
    for _ in 0..LOOKS_MAX {
        let response = client.ask(METADATA_VERSION, &request)?;
        let topic = response.topics.first().ok_or("the broker says nothing of the topic")?;
        let has_leaders = topic.partitions.iter().all(|partition| partition.leader_id.0 >= 0);
        match (ErrorCode::from_code(topic.error_code), common.partitions) {
            (Some(ErrorCode::None), _) if has_leaders && !topic.partitions.is_empty() => return Ok(response),
            (Some(ErrorCode::UnknownTopicOrPartition), Some(partitions)) if !created => {
                create(client, common, partitions)?;
                created = true;
            }
            (Some(ErrorCode::UnknownTopicOrPartition), None) => {
                return Err(format!("there is no topic '{}': name its --partitions to create it", common.topic));
            }
            (Some(ErrorCode::None | ErrorCode::UnknownTopicOrPartition | ErrorCode::LeaderNotAvailable), _) => {
                pause(LOOK_AGAIN);
            }
            (Some(error), _) => return Err(format!("topic '{}': {error}", common.topic)),
            (None, _) => return Err(format!("topic '{}': error {}", common.topic, topic.error_code)),
        }
    }
    Err(format!("topic '{}' has partitions without a leader", common.topic))
}

#[allow(clippy::disallowed_methods, reason = "no reactor runs yet")]
fn pause(duration: std::time::Duration) {
    std::thread::sleep(duration);
}

fn create(client: &mut Client, common: &Common, partitions: i32) -> Result<(), String> {
    let config = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("--topic-config {text}: NAME=VALUE"))?;
        let name = StrBytes::from_string(name.to_owned());
        Ok(CreatableTopicConfig::default().with_name(name).with_value(Some(StrBytes::from_string(value.to_owned()))))
    };
    let configs = common.topic_config.iter().map(config).collect::<Result<Vec<_>, String>>()?;
    let topic = CreatableTopic::default()
        .with_name(TopicName(StrBytes::from_string(common.topic.clone())))
        .with_num_partitions(partitions)
        .with_replication_factor(-1)
        .with_configs(configs);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(60_000);
    let response = client.ask(CREATE_TOPICS_VERSION, &request)?;
    let answer = response.topics.first().ok_or("the broker does not answer for the topic")?;
    match ErrorCode::from_code(answer.error_code) {
        Some(ErrorCode::None | ErrorCode::TopicAlreadyExists) => Ok(()),
        _ => Err(format!(
            "topic '{}' was not created: {}",
            common.topic,
            answer.error_message.as_deref().unwrap_or("no reason was given")
        )),
    }
}

fn producer(client: &mut Client) -> Result<(i64, i16), String> {
    let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    let response = client.ask(INIT_PRODUCER_ID_VERSION, &request)?;
    match response.error_code {
        0 => Ok((response.producer_id.0, response.producer_epoch)),
        code => Err(format!("no producer id: error {code}")),
    }
}

/// The first and the next offsets of the partitions that a broker leads, once it leads them: a broker may name itself
/// as the leader of a partition just created before it serves it.
///
/// # Errors
/// What the broker refused.
pub fn offsets(leading: &Leading, topic: &str) -> Result<Offsets, String> {
    let mut client = Client::connect(&leading.address)?;
    let mut refused = None;
    for _ in 0..LOOKS_MAX {
        match ends(&mut client, leading, topic)? {
            Ok(offsets) => return Ok(offsets),
            Err((partition, code)) => refused = Some((partition, code)),
        }
        pause(LOOK_AGAIN);
    }
    let (partition, code) = refused.unwrap_or_default();
    let error = ErrorCode::from_code(code).map_or("an unknown error", ErrorCode::name);
    Err(format!("offsets of partition {partition}: {error}"))
}

/// The offsets, or the first partition that was refused and why.
fn ends(client: &mut Client, leading: &Leading, topic: &str) -> Result<Result<Offsets, (i32, i16)>, String> {
    /// What stands for the first and the next offset.
    const EARLIEST: i64 = -2;
    const LATEST: i64 = -1;
    let mut ends = Vec::new();
    for timestamp in [EARLIEST, LATEST] {
        let partitions = leading.partitions.iter();
        let partitions = partitions
            .map(|index| ListOffsetsPartition::default().with_partition_index(*index).with_timestamp(timestamp));
        let asked = ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partitions(partitions.collect());
        let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]);
        let response = client.ask(LIST_OFFSETS_VERSION, &request)?;
        let mut found = vec![0; leading.partitions.len()];
        for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
            match leading.partitions.binary_search(&partition.partition_index) {
                Ok(at) if partition.error_code == 0 => found[at] = partition.offset,
                _ => return Ok(Err((partition.partition_index, partition.error_code))),
            }
        }
        ends.push(found);
    }
    Ok(Ok(ends[0].iter().copied().zip(ends[1].iter().copied()).collect()))
}

/// Which connection works on what: the place of its broker, and its share of that broker's partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    pub broker: usize,
    pub partitions: Vec<i32>,
}

/// Deals the partitions out to `connections`: each partition to one connection while there are enough partitions, and
/// several connections to a partition when there are more connections.
pub fn deal(brokers: &[Leading], connections: usize) -> Vec<Share> {
    let share = |connection: usize| {
        let (broker, turn) = (connection % brokers.len(), connection / brokers.len());
        let partitions = &brokers[broker].partitions;
        let sharing = (connections + brokers.len() - 1 - broker) / brokers.len();
        let own = if sharing >= partitions.len() {
            vec![partitions[turn % partitions.len()]]
        } else {
            partitions.iter().copied().skip(turn).step_by(sharing).collect()
        };
        Share { broker, partitions: own }
    };
    (0..connections).map(share).collect()
}
