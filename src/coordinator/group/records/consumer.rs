//! The records of a consumer group (KIP-848): its epoch, its members, the target assignment, what each member holds, and
//! what its regular expressions match.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{owned_bytes, unreadable, value_reader};
use crate::model::ids::{PartitionIndex, TopicId};
use crate::protocol::primitives::{DecodeError, Fault, Reader, Writer};

/// All values of consumer groups have one version so far, and it is flexible.
const VERSION: i16 = 0;
/// The tag of the one tagged field that each of these structures has at most.
const FIRST_TAG: u32 = 0;
/// A topic with its partitions takes at least its id, a length and the end of its tagged fields.
const TOPIC_BYTES_MIN: usize = 18;
/// A partition's number takes these bytes.
const PARTITION_BYTES: usize = 4;

/// Partitions by topic.
pub type Partitions = BTreeMap<TopicId, BTreeSet<PartitionIndex>>;
/// Partitions by topic, each with the epoch in which its holder got it.
pub type PartitionEpochs = BTreeMap<TopicId, BTreeMap<PartitionIndex, i32>>;

/// What a member is doing about its assignment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberState {
    /// It holds what its epoch gives it.
    #[default]
    Stable,
    /// It has to give up partitions first.
    UnrevokedPartitions,
    /// It waits for partitions that others hold.
    UnreleasedPartitions,
    /// Written by a later broker; the member has to join anew.
    Unknown,
}

impl MemberState {
    fn code(self) -> i8 {
        match self {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
            MemberState::Unknown => 127,
        }
    }

    fn from_code(code: i8) -> MemberState {
        match code {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => MemberState::Unknown,
        }
    }
}

/// A consumer group's epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupEpochValue {
    /// The epoch.
    pub epoch: i32,
    /// A hash of the subscribed topics as they were (KIP-1101).
    pub metadata_hash: i64,
}

/// What a member told of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberValue {
    /// The id that it keeps over restarts, if it has one.
    pub instance_id: Option<String>,
    /// Its rack.
    pub rack_id: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// The topics that it named.
    pub topics: BTreeSet<String>,
    /// The expression that further topics have to match; empty for none.
    pub regex: Option<String>,
    /// How long it may take to give up partitions, in milliseconds; -1 if it never said.
    pub rebalance_timeout_ms: i32,
    /// The assignor that it asked for.
    pub assignor: Option<String>,
    /// What is needed of a member that speaks the classic protocol.
    pub classic: Option<ClassicMetadata>,
}

/// What is kept of a member of a consumer group that speaks the classic protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicMetadata {
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// Its protocols with its metadata of each, in its order of preference.
    pub protocols: Vec<(String, Bytes)>,
}

/// The epoch of a target assignment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetEpochValue {
    /// The group epoch that it was computed for.
    pub epoch: i32,
    /// When it was computed, in milliseconds since 1970; 0 where unknown (KIP-1263).
    pub timestamp_ms: i64,
}

/// What a member holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurrentAssignmentValue {
    /// Its epoch.
    pub epoch: i32,
    /// The epoch before, with which it may come once more when a reply was lost.
    pub previous_epoch: i32,
    /// What it is doing.
    pub state: MemberState,
    /// What it may consume.
    pub assigned: PartitionEpochs,
    /// What it has to give up.
    pub revoking: PartitionEpochs,
}

/// What a regular expression matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegularExpressionValue {
    /// The topics.
    pub topics: BTreeSet<String>,
    /// The offset of the metadata that it was matched with.
    pub version: i64,
    /// When, in milliseconds since 1970.
    pub timestamp_ms: i64,
}

fn writer() -> Writer {
    let mut writer = Writer::body(true);
    writer.i16(VERSION);
    writer
}

/// A structure's fields and what its tagged field 0 brings.
fn end(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    reader.skip_tagged_fields()?;
    reader.finish()
}

impl GroupEpochValue {
    /// The value's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = writer();
        writer.i32(self.epoch);
        let has_hash = self.metadata_hash != 0;
        writer.tagged_fields(usize::from(has_hash));
        if has_hash {
            writer.tagged_field(FIRST_TAG, |field| field.i64(self.metadata_hash));
        }
        writer.into_bytes()
    }

    /// Reads a value.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn decode(bytes: &[u8]) -> Result<GroupEpochValue, String> {
        let read = || {
            let (_, mut reader) = value_reader(bytes, VERSION, VERSION)?;
            let mut value = GroupEpochValue { epoch: reader.i32()?, metadata_hash: 0 };
            reader.tagged_fields(|tag, field| {
                let known = tag == FIRST_TAG;
                if known {
                    value.metadata_hash = field.i64()?;
                }
                Ok(known)
            })?;
            reader.finish()?;
            Ok(value)
        };
        read().map_err(|error| unreadable("value of a group's epoch", &error))
    }
}

impl TargetEpochValue {
    /// The value's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = writer();
        writer.i32(self.epoch);
        let has_time = self.timestamp_ms != 0;
        writer.tagged_fields(usize::from(has_time));
        if has_time {
            writer.tagged_field(FIRST_TAG, |field| field.i64(self.timestamp_ms));
        }
        writer.into_bytes()
    }

    /// Reads a value.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn decode(bytes: &[u8]) -> Result<TargetEpochValue, String> {
        let read = || {
            let (_, mut reader) = value_reader(bytes, VERSION, VERSION)?;
            let mut value = TargetEpochValue { epoch: reader.i32()?, timestamp_ms: 0 };
            reader.tagged_fields(|tag, field| {
                let known = tag == FIRST_TAG;
                if known {
                    value.timestamp_ms = field.i64()?;
                }
                Ok(known)
            })?;
            reader.finish()?;
            Ok(value)
        };
        read().map_err(|error| unreadable("value of a target assignment's epoch", &error))
    }
}

impl MemberValue {
    /// The value's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = writer();
        writer.nullable_string(self.instance_id.as_deref());
        writer.nullable_string(self.rack_id.as_deref());
        writer.string(&self.client_id);
        writer.string(&self.client_host);
        strings(&mut writer, &self.topics);
        writer.nullable_string(self.regex.as_deref());
        writer.i32(self.rebalance_timeout_ms);
        writer.nullable_string(self.assignor.as_deref());
        writer.tagged_fields(usize::from(self.classic.is_some()));
        if let Some(classic) = &self.classic {
            // A nullable structure starts with a byte that says whether it is there.
            writer.tagged_field(FIRST_TAG, |field| {
                field.i8(1);
                field.i32(classic.session_timeout_ms);
                field.wide_length(Some(classic.protocols.len()));
                for (name, metadata) in &classic.protocols {
                    field.string(name);
                    field.bytes(metadata);
                    field.tagged_fields(0);
                }
                field.tagged_fields(0);
            });
        }
        writer.into_bytes()
    }

    /// Reads a value.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn decode(bytes: &[u8]) -> Result<MemberValue, String> {
        let read = || {
            let (_, mut reader) = value_reader(bytes, VERSION, VERSION)?;
            let mut value = MemberValue {
                instance_id: reader.nullable_string()?.map(str::to_owned),
                rack_id: reader.nullable_string()?.map(str::to_owned),
                client_id: reader.string()?.to_owned(),
                client_host: reader.string()?.to_owned(),
                topics: read_strings(&mut reader)?,
                regex: reader.nullable_string()?.map(str::to_owned),
                rebalance_timeout_ms: reader.i32()?,
                assignor: reader.nullable_string()?.map(str::to_owned),
                classic: None,
            };
            reader.tagged_fields(|tag, field| {
                let known = tag == FIRST_TAG;
                if known {
                    value.classic = ClassicMetadata::decode(field, bytes)?;
                }
                Ok(known)
            })?;
            reader.finish()?;
            Ok(value)
        };
        read().map_err(|error| unreadable("value of a member", &error))
    }
}

impl ClassicMetadata {
    fn decode(reader: &mut Reader<'_>, bytes: &[u8]) -> Result<Option<ClassicMetadata>, DecodeError> {
        // Kafka writes 0 for null within a tagged field, and elsewhere -1.
        if reader.i8()? <= 0 {
            return Ok(None);
        }
        let session_timeout_ms = reader.i32()?;
        let count = reader.array_length(3)?;
        let mut protocols = Vec::new();
        for _ in 0..count {
            let name = reader.string()?.to_owned();
            protocols.push((name, owned_bytes(reader, bytes)?));
            reader.skip_tagged_fields()?;
        }
        reader.skip_tagged_fields()?;
        Ok(Some(ClassicMetadata { session_timeout_ms, protocols }))
    }
}

/// The value of one member's part of a target assignment.
pub fn encode_target_member(partitions: &Partitions) -> Vec<u8> {
    let mut writer = writer();
    writer.wide_length(Some(partitions.len()));
    for (topic, indexes) in partitions {
        writer.uuid(*topic);
        writer.wide_length(Some(indexes.len()));
        for index in indexes {
            writer.i32(*index);
        }
        writer.tagged_fields(0);
    }
    writer.tagged_fields(0);
    writer.into_bytes()
}

/// Reads what [`encode_target_member`] wrote.
///
/// # Errors
/// A sentence that says what does not fit.
pub fn decode_target_member(bytes: &[u8]) -> Result<Partitions, String> {
    let read = || {
        let (_, mut reader) = value_reader(bytes, VERSION, VERSION)?;
        let count = reader.array_length(TOPIC_BYTES_MIN)?;
        let mut partitions = Partitions::new();
        for _ in 0..count {
            let topic = reader.uuid()?;
            let indexes = read_indexes(&mut reader)?.into_iter().collect();
            reader.skip_tagged_fields()?;
            partitions.insert(topic, indexes);
        }
        end(&mut reader)?;
        Ok(partitions)
    };
    read().map_err(|error: DecodeError| unreadable("value of a target assignment", &error))
}

impl CurrentAssignmentValue {
    /// The value's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = writer();
        writer.i32(self.epoch);
        writer.i32(self.previous_epoch);
        writer.i8(self.state.code());
        partition_epochs(&mut writer, &self.assigned);
        partition_epochs(&mut writer, &self.revoking);
        writer.tagged_fields(0);
        writer.into_bytes()
    }

    /// Reads a value.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn decode(bytes: &[u8]) -> Result<CurrentAssignmentValue, String> {
        let read = || {
            let (_, mut reader) = value_reader(bytes, VERSION, VERSION)?;
            let epoch = reader.i32()?;
            let value = CurrentAssignmentValue {
                epoch,
                previous_epoch: reader.i32()?,
                state: MemberState::from_code(reader.i8()?),
                assigned: read_partition_epochs(&mut reader, epoch)?,
                revoking: read_partition_epochs(&mut reader, epoch)?,
            };
            end(&mut reader)?;
            Ok(value)
        };
        read().map_err(|error: DecodeError| unreadable("value of a member's assignment", &error))
    }
}

fn partition_epochs(writer: &mut Writer, partitions: &PartitionEpochs) {
    writer.wide_length(Some(partitions.len()));
    for (topic, epochs) in partitions {
        writer.uuid(*topic);
        writer.wide_length(Some(epochs.len()));
        for index in epochs.keys() {
            writer.i32(*index);
        }
        writer.tagged_fields(1);
        writer.tagged_field(FIRST_TAG, |field| {
            field.wide_length(Some(epochs.len()));
            for epoch in epochs.values() {
                field.i32(*epoch);
            }
        });
    }
}

/// Reads partitions with their epochs; those written before Kafka 4.3 have none and get the member's.
fn read_partition_epochs(reader: &mut Reader<'_>, member_epoch: i32) -> Result<PartitionEpochs, DecodeError> {
    let count = reader.array_length(TOPIC_BYTES_MIN)?;
    let mut partitions = PartitionEpochs::new();
    for _ in 0..count {
        let topic = reader.uuid()?;
        let indexes = read_indexes(reader)?;
        let mut epochs = None;
        reader.tagged_fields(|tag, field| {
            let known = tag == FIRST_TAG;
            if known {
                epochs = read_epochs(field)?;
            }
            Ok(known)
        })?;
        let epochs = epochs.unwrap_or_else(|| vec![member_epoch; indexes.len()]);
        if epochs.len() != indexes.len() {
            return Err(DecodeError { at: reader.at(), fault: Fault::ArrayTooLong(epochs.len()) });
        }
        partitions.insert(topic, indexes.into_iter().zip(epochs).collect());
    }
    Ok(partitions)
}

fn read_epochs(reader: &mut Reader<'_>) -> Result<Option<Vec<i32>>, DecodeError> {
    let Some(count) = reader.nullable_array_length(PARTITION_BYTES)? else { return Ok(None) };
    (0..count).map(|_| reader.i32()).collect::<Result<Vec<i32>, _>>().map(Some)
}

impl RegularExpressionValue {
    /// The value's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = writer();
        strings(&mut writer, &self.topics);
        writer.i64(self.version);
        writer.i64(self.timestamp_ms);
        writer.tagged_fields(0);
        writer.into_bytes()
    }

    /// Reads a value.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn decode(bytes: &[u8]) -> Result<RegularExpressionValue, String> {
        let read = || {
            let (_, mut reader) = value_reader(bytes, VERSION, VERSION)?;
            let value = RegularExpressionValue {
                topics: read_strings(&mut reader)?,
                version: reader.i64()?,
                timestamp_ms: reader.i64()?,
            };
            end(&mut reader)?;
            Ok(value)
        };
        read().map_err(|error: DecodeError| unreadable("value of a regular expression", &error))
    }
}

fn strings(writer: &mut Writer, texts: &BTreeSet<String>) {
    writer.wide_length(Some(texts.len()));
    for text in texts {
        writer.string(text);
    }
}

fn read_strings(reader: &mut Reader<'_>) -> Result<BTreeSet<String>, DecodeError> {
    let count = reader.array_length(1)?;
    (0..count).map(|_| reader.string().map(str::to_owned)).collect()
}

fn read_indexes(reader: &mut Reader<'_>) -> Result<Vec<PartitionIndex>, DecodeError> {
    let count = reader.array_length(PARTITION_BYTES)?;
    (0..count).map(|_| reader.i32()).collect()
}
