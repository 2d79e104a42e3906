//! The records of committed offsets: Kafka's OffsetCommitKey and OffsetCommitValue.

use crate::coordinator::machine::CoordinatorRecord;
use crate::coordinator::record::{read, version_of, write};
use crate::model::ids::{PartitionIndex, TopicId};
use crate::model::offset::{LeaderEpoch, NO_LEADER_EPOCH, Offset, Timestamp};
use crate::protocol::primitives::{DecodeError, Reader};

/// The version of keys that are written. Keys of version 0 and 1 are the same.
pub const KEY_VERSION: i16 = 1;
/// The version of values that are written, as Kafka 4.3 does.
const VALUE_VERSION: i16 = 4;
/// The version of values with a time of their own at which they expire (OffsetCommit up to version 4).
const VALUE_VERSION_EXPIRING: i16 = 1;
/// The first version of values with tagged fields.
const VALUE_FLEXIBLE_FROM: i16 = 4;
/// The tagged field with the topic's id.
const TOPIC_ID_TAG: u32 = 0;
/// No time of its own to expire at.
const NO_EXPIRY: Timestamp = -1;

/// Whose offset a record is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetKey<'a> {
    /// The group.
    pub group: &'a str,
    /// The topic's name.
    pub topic: &'a str,
    /// The partition.
    pub partition: PartitionIndex,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record to be read.
    pub offset: Offset,
    /// The epoch under which the last record read was written, -1 if unknown.
    pub leader_epoch: LeaderEpoch,
    /// The member's own words.
    pub metadata: Box<str>,
    /// When it was committed.
    pub commit_ms: Timestamp,
    /// When it expires, if the client said so.
    pub expire_ms: Option<Timestamp>,
    /// The topic's id, nil if unknown.
    pub topic_id: TopicId,
}

impl OffsetKey<'_> {
    /// Whether a record's key is one of these.
    pub fn is_version(version: i16) -> bool {
        (0..=KEY_VERSION).contains(&version)
    }

    fn encode(&self) -> Vec<u8> {
        write(KEY_VERSION, false, |key| {
            key.string(self.group);
            key.string(self.topic);
            key.i32(self.partition);
        })
    }

    /// The key that `bytes` hold.
    ///
    /// # Errors
    /// What does not fit.
    pub fn decode(bytes: &[u8]) -> Result<OffsetKey<'_>, String> {
        read(bytes, false, |key| Ok(OffsetKey { group: key.string()?, topic: key.string()?, partition: key.i32()? }))
    }

    /// The record that commits `committed`.
    pub fn commit(&self, committed: &CommittedOffset) -> CoordinatorRecord {
        CoordinatorRecord { key: self.encode(), value: Some(committed.encode()) }
    }

    /// The record that forgets the offset.
    pub fn tombstone(&self) -> CoordinatorRecord {
        CoordinatorRecord { key: self.encode(), value: None }
    }
}

impl CommittedOffset {
    fn encode(&self) -> Vec<u8> {
        let version = if self.expire_ms.is_some() { VALUE_VERSION_EXPIRING } else { VALUE_VERSION };
        write(version, version >= VALUE_FLEXIBLE_FROM, |value| {
            value.i64(self.offset);
            if version >= 3 {
                value.i32(self.leader_epoch);
            }
            value.string(&self.metadata);
            value.i64(self.commit_ms);
            if version == VALUE_VERSION_EXPIRING {
                value.i64(self.expire_ms.unwrap_or(NO_EXPIRY));
            } else if self.topic_id.is_nil() {
                value.tagged_fields(0);
            } else {
                value.tagged_fields(1);
                value.tagged_field(TOPIC_ID_TAG, |field| field.uuid(self.topic_id));
            }
        })
    }

    /// The value that `bytes` hold, of any version that Kafka has written.
    ///
    /// # Errors
    /// What does not fit.
    pub fn decode(bytes: &[u8]) -> Result<CommittedOffset, String> {
        let version = version_of(bytes).ok_or("a value without a version")?;
        if !(0..=VALUE_FLEXIBLE_FROM).contains(&version) {
            return Err(format!("version {version} of a committed offset is not known"));
        }
        read(bytes, version >= VALUE_FLEXIBLE_FROM, |value| CommittedOffset::read(version, value))
    }

    fn read(version: i16, value: &mut Reader<'_>) -> Result<CommittedOffset, DecodeError> {
        let offset = value.i64()?;
        let leader_epoch = if version >= 3 { value.i32()? } else { NO_LEADER_EPOCH };
        let metadata = value.string()?.into();
        let commit_ms = value.i64()?;
        let expire_ms = if version == VALUE_VERSION_EXPIRING { value.i64()? } else { NO_EXPIRY };
        let mut topic_id = TopicId::nil();
        value.tagged_fields(|tag, field| {
            if tag == TOPIC_ID_TAG {
                topic_id = field.uuid()?;
            }
            Ok(tag == TOPIC_ID_TAG)
        })?;
        let expire_ms = (expire_ms != NO_EXPIRY).then_some(expire_ms);
        Ok(CommittedOffset { offset, leader_epoch, metadata, commit_ms, expire_ms, topic_id })
    }
}
