//! The records of group membership in Kafka's own formats.
//!
//! **Owns:** keys 2 to 8 and 16 of the offsets topic, from and to bytes.
//!
//! **Never:** knows what a record means for a group.
//!
//! **Start reading at** [`Key`], then [`classic`] and [`consumer`].

pub mod classic;
pub mod consumer;

use crate::coordinator::machine::CoordinatorRecord;
use crate::protocol::primitives::{DecodeError, Reader, Writer};

/// Key version of a classic group.
pub const CLASSIC: i16 = 2;
/// Key version of a consumer group's epoch.
pub const GROUP_EPOCH: i16 = 3;
/// Key version of a consumer group's topics, which Kafka wrote up to 4.0 and deletes since (KIP-1101).
pub const PARTITION_METADATA: i16 = 4;
/// Key version of a member of a consumer group.
pub const MEMBER: i16 = 5;
/// Key version of the epoch of a target assignment.
pub const TARGET_EPOCH: i16 = 6;
/// Key version of one member's part of a target assignment.
pub const TARGET_MEMBER: i16 = 7;
/// Key version of what a member holds.
pub const CURRENT_ASSIGNMENT: i16 = 8;
/// Key version of a resolved regular expression.
pub const REGULAR_EXPRESSION: i16 = 16;

/// Whose state a record holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A classic group.
    Classic {
        /// The group.
        group: String,
    },
    /// A consumer group's epoch.
    GroupEpoch {
        /// The group.
        group: String,
    },
    /// A consumer group's topics, as Kafka 4.0 wrote them.
    PartitionMetadata {
        /// The group.
        group: String,
    },
    /// A member of a consumer group.
    Member {
        /// The group.
        group: String,
        /// The member.
        member: String,
    },
    /// The epoch of a target assignment.
    TargetEpoch {
        /// The group.
        group: String,
    },
    /// One member's part of a target assignment.
    TargetMember {
        /// The group.
        group: String,
        /// The member.
        member: String,
    },
    /// What a member holds.
    CurrentAssignment {
        /// The group.
        group: String,
        /// The member.
        member: String,
    },
    /// A resolved regular expression.
    RegularExpression {
        /// The group.
        group: String,
        /// The expression.
        regex: String,
    },
}

impl Key {
    /// Whether keys of this version are read by [`Key::decode`].
    pub fn is_known(version: i16) -> bool {
        matches!(version, CLASSIC..=CURRENT_ASSIGNMENT | REGULAR_EXPRESSION)
    }

    fn parts(&self) -> (i16, &str, Option<&str>) {
        match self {
            Key::Classic { group } => (CLASSIC, group, None),
            Key::GroupEpoch { group } => (GROUP_EPOCH, group, None),
            Key::PartitionMetadata { group } => (PARTITION_METADATA, group, None),
            Key::Member { group, member } => (MEMBER, group, Some(member)),
            Key::TargetEpoch { group } => (TARGET_EPOCH, group, None),
            Key::TargetMember { group, member } => (TARGET_MEMBER, group, Some(member)),
            Key::CurrentAssignment { group, member } => (CURRENT_ASSIGNMENT, group, Some(member)),
            Key::RegularExpression { group, regex } => (REGULAR_EXPRESSION, group, Some(regex)),
        }
    }

    /// The key's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (version, group, second) = self.parts();
        let mut writer = Writer::body(false);
        writer.i16(version);
        writer.string(group);
        if let Some(second) = second {
            writer.string(second);
        }
        writer.into_bytes()
    }

    /// Reads a key of membership.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn decode(bytes: &[u8]) -> Result<Key, String> {
        let mut reader = Reader::new(bytes, 0, false);
        let version = reader.i16().map_err(|error| unreadable("key", &error))?;
        Key::decode_fields(version, &mut reader).map_err(|error| unreadable("key", &error))
    }

    fn decode_fields(version: i16, reader: &mut Reader<'_>) -> Result<Key, DecodeError> {
        let group = reader.string()?.to_owned();
        let mut second = || reader.string().map(str::to_owned);
        let key = match version {
            CLASSIC => Key::Classic { group },
            GROUP_EPOCH => Key::GroupEpoch { group },
            PARTITION_METADATA => Key::PartitionMetadata { group },
            MEMBER => Key::Member { group, member: second()? },
            TARGET_EPOCH => Key::TargetEpoch { group },
            TARGET_MEMBER => Key::TargetMember { group, member: second()? },
            CURRENT_ASSIGNMENT => Key::CurrentAssignment { group, member: second()? },
            REGULAR_EXPRESSION => Key::RegularExpression { group, regex: second()? },
            version => {
                let fault = crate::protocol::primitives::Fault::Version(version);
                return Err(DecodeError { at: 0, fault });
            }
        };
        reader.finish()?;
        Ok(key)
    }

    /// The record that deletes the key.
    pub fn tombstone(&self) -> CoordinatorRecord {
        CoordinatorRecord { key: self.encode(), value: None }
    }

    /// The record that gives the key `value`.
    pub fn record(&self, value: Vec<u8>) -> CoordinatorRecord {
        CoordinatorRecord { key: self.encode(), value: Some(value) }
    }
}

/// What is wrong with a part of a record.
pub(super) fn unreadable(part: &str, error: &DecodeError) -> String {
    format!("the {part} does not follow its schema {error}")
}

/// A reader of a value of a version up to `version_max`, placed after the version; flexible from `flexible_from` on.
fn value_reader(bytes: &[u8], version_max: i16, flexible_from: i16) -> Result<(i16, Reader<'_>), DecodeError> {
    let version = Reader::new(bytes, 0, false).i16()?;
    if !(0..=version_max).contains(&version) {
        return Err(DecodeError { at: 0, fault: crate::protocol::primitives::Fault::Version(version) });
    }
    Ok((version, Reader::new(bytes, 2, version >= flexible_from)))
}

/// A byte field as a copy of its own.
fn owned_bytes(reader: &mut Reader<'_>, bytes: &[u8]) -> Result<bytes::Bytes, DecodeError> {
    let range = reader.nullable_bytes()?.unwrap_or(0..0);
    Ok(bytes::Bytes::copy_from_slice(&bytes[range]))
}

#[cfg(test)]
mod tests;
