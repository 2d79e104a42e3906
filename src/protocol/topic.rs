//! How requests and replies name topics and leaders.

use std::ops::Range;

use crate::model::ids::{BrokerId, TopicId};
use crate::model::offset::LeaderEpoch;

use super::primitives::{DecodeError, EncodeError, Reader, Writer};

/// A topic as a message names it: by name in older versions, by id from Fetch 13 and Produce 13 on (KIP-516).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicRef<'a> {
    /// The topic's name, any UTF-8 string a client may have sent.
    Name(&'a str),
    /// The topic's id.
    Id(TopicId),
}

/// A topic of a request or reply, and which partitions of the message's flat list are its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpan<'a> {
    /// The topic.
    pub topic: TopicRef<'a>,
    /// Its places in the list of partitions.
    pub partitions: Range<usize>,
}

/// Who leads a partition now, for a client that asked the wrong broker (KIP-951).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentLeader {
    /// The leader, -1 if there is none.
    pub leader_id: BrokerId,
    /// The epoch of its leadership.
    pub leader_epoch: LeaderEpoch,
}

/// Where a broker listens, for each [`CurrentLeader`] in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEndpoint {
    /// The broker.
    pub node_id: BrokerId,
    /// The host it advertises.
    pub host: String,
    /// The port it advertises.
    pub port: i32,
    /// Its rack.
    pub rack: Option<String>,
}

pub(super) fn read_topic<'a>(reader: &mut Reader<'a>, by_id: bool) -> Result<TopicRef<'a>, DecodeError> {
    if by_id { Ok(TopicRef::Id(reader.uuid()?)) } else { Ok(TopicRef::Name(reader.string()?)) }
}

/// The fewest bytes that [`read_topic`] reads: an id, a compact length, or an `i16`.
pub(super) fn topic_bytes_min(by_id: bool, flexible: bool) -> usize {
    match (by_id, flexible) {
        (true, _) => 16,
        (false, true) => 1,
        (false, false) => 2,
    }
}

pub(super) fn write_topic(writer: &mut Writer, topic: TopicRef<'_>, by_id: bool) -> Result<(), EncodeError> {
    match topic {
        TopicRef::Id(id) if by_id => writer.uuid(id),
        TopicRef::Name(name) if !by_id => writer.string(name),
        TopicRef::Id(_) | TopicRef::Name(_) => return Err(EncodeError::TopicForm),
    }
    Ok(())
}

/// Writes a leader as the tagged field `tag`: two `i32` and empty tagged fields.
pub(super) fn write_current_leader(writer: &mut Writer, tag: u32, leader: CurrentLeader) {
    writer.tagged_field_header(tag, 9);
    writer.i32(leader.leader_id);
    writer.i32(leader.leader_epoch);
    writer.tagged_fields(0);
}

/// Ends a reply with its tagged fields: `endpoints` as field 0, where the version has them and there are any.
pub(super) fn write_node_endpoints(writer: &mut Writer, endpoints: &[NodeEndpoint]) {
    writer.tagged_fields(usize::from(!endpoints.is_empty()));
    if endpoints.is_empty() {
        return;
    }
    writer.tagged_field(0, |field| {
        field.wide_length(Some(endpoints.len()));
        for endpoint in endpoints {
            field.i32(endpoint.node_id);
            field.string(&endpoint.host);
            field.i32(endpoint.port);
            field.nullable_string(endpoint.rack.as_deref());
            field.tagged_fields(0);
        }
    });
}
