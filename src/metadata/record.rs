//! Records of the metadata log, and their bytes.
//!
//! Layout of a record: type (one byte), version (one byte), then the type's fields in order. Integers are zigzag
//! varints, lengths and counts plain varints, strings UTF-8 behind their length, ids 16 bytes. The log frames and
//! checksums records; this layout therefore has no length or checksum of its own.
//!
//! A reader never skips what it does not know: an unknown type, a newer version or a byte too many is an error, because a
//! broker that ignored a record would go on with another cluster than its peers have.

use crate::model::ids::{BrokerId, PartitionId, ProducerId, TopicId, Uuid};
use crate::model::offset::LeaderEpoch;
use decode::Reader;
use std::fmt;

mod decode;
#[cfg(test)]
mod tests;

pub use decode::DecodeError;

/// "No leader": the partition is offline.
pub const NO_LEADER: BrokerId = -1;

/// Longest string a record may carry, in bytes (Kafka's bound of a dynamic configuration value, 32,767, rounded up).
pub const RECORD_STRING_BYTES_MAX: usize = 1 << 16;

/// Most items of a list in one record: replicas of a partition (Kafka counts them in 16 bits), endpoints of a broker.
pub const RECORD_ITEMS_MAX: usize = 1 << 16;

/// One change of the cluster's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataRecord {
    /// The cluster's id, made when the cluster is.
    ClusterId {
        /// Random, printed as 22 characters of base64.
        id: Uuid,
    },
    /// The finalized level of a feature (KIP-584), such as `transaction.version`; level 0 removes it.
    FeatureLevel {
        /// The feature's name.
        name: String,
        /// Its level.
        level: i16,
    },
    /// A topic; its partitions follow, each as a record of its own.
    Topic {
        /// Its name.
        name: String,
        /// Its id (KIP-516).
        id: TopicId,
    },
    /// A partition's whole state: makes it, or replaces what was known of it.
    Partition(PartitionRegistration),
    /// A topic's end, with all its partitions and configs.
    RemoveTopic {
        /// The topic's id.
        id: TopicId,
    },
    /// A dynamic config of a resource; no value removes it.
    Config {
        /// What is configured.
        resource: ConfigResource,
        /// The config's name.
        name: String,
        /// Its value, `None` to go back to the default.
        value: Option<String>,
    },
    /// Every producer id below this one is given out or reserved (KIP-730).
    ProducerIds {
        /// The first id of the next block.
        next_producer_id: ProducerId,
    },
    /// A broker's registration: makes it, or replaces what was known of it.
    Broker(BrokerRegistration),
    /// A broker has left for good.
    UnregisterBroker {
        /// The broker's id.
        id: BrokerId,
    },
}

/// The state of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRegistration {
    /// The partition.
    pub partition: PartitionId,
    /// The leader, [`NO_LEADER`] if there is none.
    pub leader: BrokerId,
    /// Number of this leadership.
    pub leader_epoch: LeaderEpoch,
    /// Number of this state, rising with each change (KIP-497).
    pub partition_epoch: i32,
    /// The replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// The replicas in sync.
    pub isr: Vec<BrokerId>,
}

/// A broker as it registered itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// Its id.
    pub id: BrokerId,
    /// Number of this registration: another one after each start.
    pub epoch: i64,
    /// Where clients and brokers reach it, one endpoint a listener.
    pub endpoints: Vec<Endpoint>,
    /// Its rack (`broker.rack`).
    pub rack: Option<String>,
    /// Whether it may not lead or join an ISR: not yet caught up with the metadata, or not heard of for too long.
    pub fenced: bool,
}

/// An advertised listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name.
    pub listener: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// What a dynamic config belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// All brokers: the cluster-wide default.
    DefaultBroker,
    /// A group (KIP-848), by id.
    Group(String),
    /// A subscription of client metrics (KIP-714), by name.
    ClientMetrics(String),
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigResource::Topic(name) => write!(f, "topic '{name}'"),
            ConfigResource::Broker(id) => write!(f, "broker {id}"),
            ConfigResource::DefaultBroker => write!(f, "all brokers"),
            ConfigResource::Group(id) => write!(f, "group '{id}'"),
            ConfigResource::ClientMetrics(name) => write!(f, "client metrics '{name}'"),
        }
    }
}

/// Numbers of the record types on disk. A number is never given to another type, even when its own is retired.
mod kind {
    pub const CLUSTER_ID: u8 = 1;
    pub const FEATURE_LEVEL: u8 = 2;
    pub const TOPIC: u8 = 3;
    pub const PARTITION: u8 = 4;
    pub const REMOVE_TOPIC: u8 = 5;
    pub const CONFIG: u8 = 6;
    pub const PRODUCER_IDS: u8 = 7;
    pub const BROKER: u8 = 8;
    pub const UNREGISTER_BROKER: u8 = 9;
}

/// Numbers of the resource types: Kafka's, as in DescribeConfigs.
mod resource {
    pub const TOPIC: u8 = 2;
    pub const BROKER: u8 = 4;
    pub const CLIENT_METRICS: u8 = 16;
    pub const GROUP: u8 = 32;
}

/// Newest version of every record type this program writes and reads.
const VERSION: u8 = 0;

impl MetadataRecord {
    /// Appends the record's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind());
        out.push(VERSION);
        match self {
            MetadataRecord::ClusterId { id } | MetadataRecord::RemoveTopic { id } => put_uuid(out, *id),
            MetadataRecord::FeatureLevel { name, level } => {
                put_string(out, name);
                put_signed(out, i64::from(*level));
            }
            MetadataRecord::Topic { name, id } => {
                put_string(out, name);
                put_uuid(out, *id);
            }
            MetadataRecord::Partition(partition) => put_partition(out, partition),
            MetadataRecord::Config { resource, name, value } => {
                put_resource(out, resource);
                put_string(out, name);
                put_optional_string(out, value.as_deref());
            }
            MetadataRecord::ProducerIds { next_producer_id } => put_signed(out, *next_producer_id),
            MetadataRecord::Broker(broker) => put_broker(out, broker),
            MetadataRecord::UnregisterBroker { id } => put_signed(out, i64::from(*id)),
        }
    }

    /// The record that `bytes` hold, and nothing else.
    ///
    /// # Errors
    /// [`DecodeError`], which says what was met; nothing is ever skipped.
    pub fn decode(bytes: &[u8]) -> Result<MetadataRecord, DecodeError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.byte()?;
        let version = reader.byte()?;
        if !(kind::CLUSTER_ID..=kind::UNREGISTER_BROKER).contains(&kind) {
            return Err(DecodeError::UnknownType { kind });
        }
        if version > VERSION {
            return Err(DecodeError::NewerVersion { kind, version, supported: VERSION });
        }
        let record = read_fields(kind, &mut reader)?;
        reader.end()?;
        Ok(record)
    }

    fn kind(&self) -> u8 {
        match self {
            MetadataRecord::ClusterId { .. } => kind::CLUSTER_ID,
            MetadataRecord::FeatureLevel { .. } => kind::FEATURE_LEVEL,
            MetadataRecord::Topic { .. } => kind::TOPIC,
            MetadataRecord::Partition(_) => kind::PARTITION,
            MetadataRecord::RemoveTopic { .. } => kind::REMOVE_TOPIC,
            MetadataRecord::Config { .. } => kind::CONFIG,
            MetadataRecord::ProducerIds { .. } => kind::PRODUCER_IDS,
            MetadataRecord::Broker(_) => kind::BROKER,
            MetadataRecord::UnregisterBroker { .. } => kind::UNREGISTER_BROKER,
        }
    }
}

fn read_fields(kind: u8, reader: &mut Reader<'_>) -> Result<MetadataRecord, DecodeError> {
    Ok(match kind {
        kind::CLUSTER_ID => MetadataRecord::ClusterId { id: reader.uuid()? },
        kind::FEATURE_LEVEL => MetadataRecord::FeatureLevel { name: reader.string()?, level: reader.int16()? },
        kind::TOPIC => MetadataRecord::Topic { name: reader.string()?, id: reader.uuid()? },
        kind::PARTITION => MetadataRecord::Partition(read_partition(reader)?),
        kind::REMOVE_TOPIC => MetadataRecord::RemoveTopic { id: reader.uuid()? },
        kind::CONFIG => MetadataRecord::Config {
            resource: read_resource(reader)?,
            name: reader.string()?,
            value: reader.optional_string()?,
        },
        kind::PRODUCER_IDS => MetadataRecord::ProducerIds { next_producer_id: reader.signed()? },
        kind::BROKER => MetadataRecord::Broker(read_broker(reader)?),
        kind::UNREGISTER_BROKER => MetadataRecord::UnregisterBroker { id: reader.int32()? },
        _ => return Err(DecodeError::UnknownType { kind }),
    })
}

fn put_partition(out: &mut Vec<u8>, record: &PartitionRegistration) {
    put_uuid(out, record.partition.topic);
    for number in [record.partition.index, record.leader, record.leader_epoch, record.partition_epoch] {
        put_signed(out, i64::from(number));
    }
    put_broker_ids(out, &record.replicas);
    put_broker_ids(out, &record.isr);
}

fn read_partition(reader: &mut Reader<'_>) -> Result<PartitionRegistration, DecodeError> {
    Ok(PartitionRegistration {
        partition: PartitionId { topic: reader.uuid()?, index: reader.int32()? },
        leader: reader.int32()?,
        leader_epoch: reader.int32()?,
        partition_epoch: reader.int32()?,
        replicas: reader.list(Reader::int32)?,
        isr: reader.list(Reader::int32)?,
    })
}

fn put_broker(out: &mut Vec<u8>, broker: &BrokerRegistration) {
    put_signed(out, i64::from(broker.id));
    put_signed(out, broker.epoch);
    put_count(out, broker.endpoints.len());
    for endpoint in &broker.endpoints {
        put_string(out, &endpoint.listener);
        put_string(out, &endpoint.host);
        put_unsigned(out, u64::from(endpoint.port));
    }
    put_optional_string(out, broker.rack.as_deref());
    out.push(u8::from(broker.fenced));
}

fn read_broker(reader: &mut Reader<'_>) -> Result<BrokerRegistration, DecodeError> {
    Ok(BrokerRegistration {
        id: reader.int32()?,
        epoch: reader.signed()?,
        endpoints: reader
            .list(|reader| Ok(Endpoint { listener: reader.string()?, host: reader.string()?, port: reader.port()? }))?,
        rack: reader.optional_string()?,
        fenced: reader.boolean()?,
    })
}

fn put_resource(out: &mut Vec<u8>, resource: &ConfigResource) {
    match resource {
        ConfigResource::Topic(name) => put_named(out, resource::TOPIC, name),
        ConfigResource::Group(id) => put_named(out, resource::GROUP, id),
        ConfigResource::ClientMetrics(name) => put_named(out, resource::CLIENT_METRICS, name),
        ConfigResource::Broker(id) => {
            out.extend([resource::BROKER, 1]);
            put_signed(out, i64::from(*id));
        }
        ConfigResource::DefaultBroker => out.extend([resource::BROKER, 0]),
    }
}

fn read_resource(reader: &mut Reader<'_>) -> Result<ConfigResource, DecodeError> {
    Ok(match reader.byte()? {
        resource::TOPIC => ConfigResource::Topic(reader.string()?),
        resource::GROUP => ConfigResource::Group(reader.string()?),
        resource::CLIENT_METRICS => ConfigResource::ClientMetrics(reader.string()?),
        resource::BROKER if reader.boolean()? => ConfigResource::Broker(reader.int32()?),
        resource::BROKER => ConfigResource::DefaultBroker,
        kind => return Err(DecodeError::UnknownResource { kind }),
    })
}

fn put_named(out: &mut Vec<u8>, kind: u8, name: &str) {
    out.push(kind);
    put_string(out, name);
}

fn put_broker_ids(out: &mut Vec<u8>, ids: &[BrokerId]) {
    put_count(out, ids.len());
    for id in ids {
        put_signed(out, i64::from(*id));
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    assert!(count <= RECORD_ITEMS_MAX, "a record lists {count} items");
    put_unsigned(out, count as u64);
}

fn put_optional_string(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(u8::from(text.is_some()));
    if let Some(text) = text {
        put_string(out, text);
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    assert!(text.len() <= RECORD_STRING_BYTES_MAX, "a record carries a string of {} bytes", text.len());
    put_unsigned(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_uuid(out: &mut Vec<u8>, id: Uuid) {
    out.extend_from_slice(id.as_bytes());
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
