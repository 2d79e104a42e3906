//! The record of a classic group: generation, protocol, leader, and each member's metadata and assignment.

use bytes::Bytes;

use super::{owned_bytes, unreadable, value_reader};
use crate::protocol::primitives::{DecodeError, Reader, Writer};

/// The version that is written: the last one that is not flexible, which every Kafka since 2.3 reads.
const VERSION_WRITTEN: i16 = 3;
/// The highest version that is read.
const VERSION_MAX: i16 = 4;
/// The first version with compact lengths.
const FLEXIBLE_FROM: i16 = 4;
/// The first version with rebalance timeouts.
const REBALANCE_TIMEOUT_FROM: i16 = 1;
/// The first version with the time of the last change of state.
const STATE_TIMESTAMP_FROM: i16 = 2;
/// The first version with static members (KIP-345).
const INSTANCE_ID_FROM: i16 = 3;
/// A member without an instance id takes at least these bytes in the smallest version.
const MEMBER_BYTES_MIN: usize = 7;

/// A classic group as its record holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicGroupValue {
    /// What kind of members, such as `consumer`; empty when the group never had one.
    pub protocol_type: String,
    /// The generation.
    pub generation: i32,
    /// The protocol that the members agreed on.
    pub protocol: Option<String>,
    /// The leader's member id.
    pub leader: Option<String>,
    /// When the state changed last, in milliseconds since 1970; -1 where unknown.
    pub state_timestamp_ms: i64,
    /// The members, in the order of their ids.
    pub members: Vec<ClassicMemberValue>,
}

/// A member of a classic group as the group's record holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicMemberValue {
    /// Its id.
    pub member_id: String,
    /// The id that it keeps over restarts, if it has one.
    pub instance_id: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// How long it may take to join, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// Its metadata of the protocol agreed on.
    pub subscription: Bytes,
    /// What the leader assigned to it.
    pub assignment: Bytes,
}

impl ClassicGroupValue {
    /// The value's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::body(VERSION_WRITTEN >= FLEXIBLE_FROM);
        writer.i16(VERSION_WRITTEN);
        writer.string(&self.protocol_type);
        writer.i32(self.generation);
        writer.nullable_string(self.protocol.as_deref());
        writer.nullable_string(self.leader.as_deref());
        writer.i64(self.state_timestamp_ms);
        writer.wide_length(Some(self.members.len()));
        for member in &self.members {
            writer.string(&member.member_id);
            writer.nullable_string(member.instance_id.as_deref());
            writer.string(&member.client_id);
            writer.string(&member.client_host);
            writer.i32(member.rebalance_timeout_ms);
            writer.i32(member.session_timeout_ms);
            writer.bytes(&member.subscription);
            writer.bytes(&member.assignment);
        }
        writer.into_bytes()
    }

    /// Reads a value of version 0 to 4.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn decode(bytes: &[u8]) -> Result<ClassicGroupValue, String> {
        ClassicGroupValue::decode_fields(bytes).map_err(|error| unreadable("value of a classic group", &error))
    }

    fn decode_fields(bytes: &[u8]) -> Result<ClassicGroupValue, DecodeError> {
        let (version, mut reader) = value_reader(bytes, VERSION_MAX, FLEXIBLE_FROM)?;
        let mut value = ClassicGroupValue {
            protocol_type: reader.string()?.to_owned(),
            generation: reader.i32()?,
            protocol: reader.nullable_string()?.map(str::to_owned),
            leader: reader.nullable_string()?.map(str::to_owned),
            state_timestamp_ms: if version >= STATE_TIMESTAMP_FROM { reader.i64()? } else { -1 },
            members: Vec::new(),
        };
        let count = reader.array_length(MEMBER_BYTES_MIN)?;
        for _ in 0..count {
            value.members.push(ClassicMemberValue::decode(version, &mut reader, bytes)?);
        }
        value.members.sort_by(|one, other| one.member_id.cmp(&other.member_id));
        reader.skip_tagged_fields()?;
        reader.finish()?;
        Ok(value)
    }
}

impl ClassicMemberValue {
    fn decode(version: i16, reader: &mut Reader<'_>, bytes: &[u8]) -> Result<ClassicMemberValue, DecodeError> {
        let member_id = reader.string()?.to_owned();
        let instance_id = match version >= INSTANCE_ID_FROM {
            true => reader.nullable_string()?.map(str::to_owned),
            false => None,
        };
        let client_id = reader.string()?.to_owned();
        let client_host = reader.string()?.to_owned();
        let rebalance_timeout_ms = if version >= REBALANCE_TIMEOUT_FROM { reader.i32()? } else { -1 };
        let session_timeout_ms = reader.i32()?;
        let subscription = owned_bytes(reader, bytes)?;
        let assignment = owned_bytes(reader, bytes)?;
        reader.skip_tagged_fields()?;
        // Version 0 had one timeout for both.
        let rebalance_timeout_ms = if rebalance_timeout_ms < 0 { session_timeout_ms } else { rebalance_timeout_ms };
        Ok(ClassicMemberValue {
            member_id,
            instance_id,
            client_id,
            client_host,
            rebalance_timeout_ms,
            session_timeout_ms,
            subscription,
            assignment,
        })
    }
}
