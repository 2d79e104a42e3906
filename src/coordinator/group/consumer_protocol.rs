//! The messages that consumers of the classic protocol put into their metadata and assignments (protocol type `consumer`),
//! read where the broker has to understand them: subscribed topics, and members of the classic protocol in a consumer group.

use std::collections::{BTreeMap, BTreeSet};

use super::records::unreadable;
use crate::model::ids::PartitionIndex;
use crate::protocol::primitives::{DecodeError, Fault, Reader, Writer};

/// The protocol type of consumers.
pub const PROTOCOL_TYPE: &str = "consumer";
/// The highest version of either message that is known; later ones are read as this one, as Kafka does.
const VERSION_MAX: i16 = 3;
/// The first version of a subscription that tells what the member owns (cooperative rebalancing, KIP-429).
const OWNED_PARTITIONS_FROM: i16 = 1;
/// The first version of a subscription with the generation in which the member got what it owns.
const GENERATION_FROM: i16 = 2;
/// The first version of a subscription with a rack (KIP-881).
const RACK_FROM: i16 = 3;

/// Partitions by the names of their topics.
pub type NamedPartitions = BTreeMap<String, BTreeSet<PartitionIndex>>;

/// What a consumer subscribes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The topics.
    pub topics: BTreeSet<String>,
    /// What the member holds.
    pub owned: NamedPartitions,
    /// Its rack.
    pub rack_id: Option<String>,
}

/// What a consumer is assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The partitions.
    pub partitions: NamedPartitions,
    /// Whether the assignor added something of its own.
    pub has_user_data: bool,
}

/// The version that `metadata` is written in.
///
/// # Errors
/// A sentence that says what does not fit.
pub fn version_of(metadata: &[u8]) -> Result<i16, String> {
    version(&mut Reader::new(metadata, 0, false)).map_err(|error| unreadable("embedded consumer protocol", &error))
}

fn version(reader: &mut Reader<'_>) -> Result<i16, DecodeError> {
    let version = reader.i16()?;
    if version < 0 {
        return Err(DecodeError { at: 0, fault: Fault::Version(version) });
    }
    Ok(version.min(VERSION_MAX))
}

/// Reads a member's metadata.
///
/// # Errors
/// A sentence that says what does not fit.
pub fn read_subscription(metadata: &[u8]) -> Result<Subscription, String> {
    subscription(metadata).map_err(|error| unreadable("subscription", &error))
}

fn subscription(metadata: &[u8]) -> Result<Subscription, DecodeError> {
    let mut reader = Reader::new(metadata, 0, false);
    let version = version(&mut reader)?;
    let mut read = Subscription { topics: topics(&mut reader)?, ..Subscription::default() };
    reader.nullable_bytes()?;
    if version >= OWNED_PARTITIONS_FROM {
        read.owned = named_partitions(&mut reader)?;
    }
    if version >= GENERATION_FROM {
        reader.i32()?;
    }
    if version >= RACK_FROM {
        read.rack_id = reader.nullable_string()?.map(str::to_owned);
    }
    Ok(read)
}

/// Reads the topics alone of a member's metadata.
///
/// # Errors
/// A sentence that says what does not fit.
pub fn read_topics(metadata: &[u8]) -> Result<BTreeSet<String>, String> {
    let mut reader = Reader::new(metadata, 0, false);
    let read = version(&mut reader).and_then(|_| topics(&mut reader));
    read.map_err(|error| unreadable("subscription", &error))
}

/// Reads a member's assignment.
///
/// # Errors
/// A sentence that says what does not fit.
pub fn read_assignment(bytes: &[u8]) -> Result<Assignment, String> {
    let read = || {
        let mut reader = Reader::new(bytes, 0, false);
        version(&mut reader)?;
        let partitions = named_partitions(&mut reader)?;
        let has_user_data = reader.nullable_bytes()?.is_some_and(|range| !range.is_empty());
        Ok(Assignment { partitions, has_user_data })
    };
    read().map_err(|error: DecodeError| unreadable("assignment", &error))
}

/// An assignment as a member of `version` reads it.
pub fn write_assignment(version: i16, partitions: &NamedPartitions) -> Vec<u8> {
    let mut writer = Writer::body(false);
    writer.i16(version);
    writer.wide_length(Some(partitions.len()));
    for (topic, indexes) in partitions {
        writer.string(topic);
        writer.wide_length(Some(indexes.len()));
        for index in indexes {
            writer.i32(*index);
        }
    }
    writer.wide_length(None);
    writer.into_bytes()
}

fn topics(reader: &mut Reader<'_>) -> Result<BTreeSet<String>, DecodeError> {
    let count = reader.array_length(2)?;
    (0..count).map(|_| reader.string().map(str::to_owned)).collect()
}

fn named_partitions(reader: &mut Reader<'_>) -> Result<NamedPartitions, DecodeError> {
    let count = reader.array_length(6)?;
    let mut named = NamedPartitions::new();
    for _ in 0..count {
        let topic = reader.string()?.to_owned();
        let indexes = reader.array_length(4)?;
        let indexes: BTreeSet<PartitionIndex> = (0..indexes).map(|_| reader.i32()).collect::<Result<_, _>>()?;
        named.entry(topic).or_default().extend(indexes);
    }
    Ok(named)
}

#[cfg(test)]
mod tests;
