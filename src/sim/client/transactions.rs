//! The requests of transactional producers.

use crate::protocol::StrBytes;
use crate::protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use crate::protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use crate::protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, FindCoordinatorRequest, GroupId,
    InitProducerIdRequest, ProducerId as WireProducerId, TransactionalId, TxnOffsetCommitRequest,
};

use super::requests::name;
use crate::model::ids::{PartitionId, ProducerEpoch, ProducerId};
use crate::model::offset::Offset;

/// The version that FindCoordinator is sent in.
pub const FIND_COORDINATOR: i16 = 4;
/// The version that AddPartitionsToTxn is sent in, by producers that add partitions themselves.
pub const ADD_PARTITIONS: i16 = 3;
/// The version that AddOffsetsToTxn is sent in, by the same.
pub const ADD_OFFSETS: i16 = 3;

/// The versions of the requests that differ between the transaction versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// Of Produce.
    pub produce: i16,
    /// Of EndTxn.
    pub end: i16,
    /// Of TxnOffsetCommit.
    pub offsets: i16,
}

/// Transaction version 1: one epoch for all transactions, partitions are added one by one.
pub const VERSION_1: Versions = Versions { produce: 11, end: 3, offsets: 3 };
/// Transaction version 2 (KIP-890): an epoch a transaction, the broker adds partitions.
pub const VERSION_2: Versions = Versions { produce: 12, end: 5, offsets: 5 };

/// What a coordinator is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// Groups.
    Group = 0,
    /// Transactional ids.
    Transaction = 1,
}

fn transactional_id(text: &str) -> TransactionalId {
    TransactionalId(StrBytes::from_string(text.to_owned()))
}

/// Asks who coordinates a group or a transactional id.
pub fn find_coordinator(key: &str, key_type: KeyType) -> FindCoordinatorRequest {
    FindCoordinatorRequest::default()
        .with_key_type(key_type as i8)
        .with_coordinator_keys(vec![StrBytes::from_string(key.to_owned())])
}

/// Asks to stand for a transactional id, as the producer that `current` names or as a new one.
pub fn init(id: &str, timeout_ms: i32, current: Option<(ProducerId, ProducerEpoch)>) -> InitProducerIdRequest {
    let (producer_id, epoch) = current.unwrap_or((-1, -1));
    InitProducerIdRequest::default()
        .with_transactional_id(Some(transactional_id(id)))
        .with_transaction_timeout_ms(timeout_ms)
        .with_producer_id(WireProducerId(producer_id))
        .with_producer_epoch(epoch)
}

/// Adds partitions of one topic to the transaction.
pub fn add_partitions(
    id: &str,
    producer: (ProducerId, ProducerEpoch),
    partitions: &[(String, i32)],
) -> AddPartitionsToTxnRequest {
    let topics = partitions
        .iter()
        .map(|(topic, index)| AddPartitionsToTxnTopic::default().with_name(name(topic)).with_partitions(vec![*index]));
    AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(transactional_id(id))
        .with_v3_and_below_producer_id(WireProducerId(producer.0))
        .with_v3_and_below_producer_epoch(producer.1)
        .with_v3_and_below_topics(topics.collect())
}

/// Adds the offsets of a group to the transaction.
pub fn add_offsets(id: &str, producer: (ProducerId, ProducerEpoch), group: &str) -> AddOffsetsToTxnRequest {
    AddOffsetsToTxnRequest::default()
        .with_transactional_id(transactional_id(id))
        .with_producer_id(WireProducerId(producer.0))
        .with_producer_epoch(producer.1)
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
}

/// Commits the offset of one partition with the transaction, without being a member of the group.
pub fn commit_offset(
    id: &str,
    producer: (ProducerId, ProducerEpoch),
    group: &str,
    topic: &str,
    place: PartitionId,
    offset: Offset,
) -> TxnOffsetCommitRequest {
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_partition_index(place.index)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(StrBytes::default()));
    let topic = TxnOffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    TxnOffsetCommitRequest::default()
        .with_transactional_id(transactional_id(id))
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_producer_id(WireProducerId(producer.0))
        .with_producer_epoch(producer.1)
        .with_generation_id(-1)
        .with_topics(vec![topic])
}

/// Ends the transaction.
pub fn end(id: &str, producer: (ProducerId, ProducerEpoch), commit: bool) -> EndTxnRequest {
    EndTxnRequest::default()
        .with_transactional_id(transactional_id(id))
        .with_producer_id(WireProducerId(producer.0))
        .with_producer_epoch(producer.1)
        .with_committed(commit)
}

/// The transactional id of those who write it into a Produce request.
pub fn wire_id(id: &str) -> TransactionalId {
    transactional_id(id)
}
