//! One file an API: a decoded request in, an outcome out.
//!
//! **Owns:** what each API answers, and in which words it refuses.
//!
//! **Never:** sees a segment or a socket; decides what the controller decides; holds a frame longer than it reads it.
//!
//! **Start reading at** [`produce`] and [`fetch`].

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod alter_configs;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_producers;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod end_txn;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod write_txn_markers;

use std::collections::BTreeSet;

use crate::model::error_code::ClientError;
use crate::protocol::StrBytes;

/// A text as messages carry it.
pub fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

/// `list` without what its `key` has named before. What is told of one thing may be large, and a name is small: who repeats it a
/// thousand times is told once (Kafka makes a set of the topics of Metadata).
pub fn once<T, K: Ord>(mut list: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = BTreeSet::new();
    list.retain(|one| seen.insert(key(one)));
    list
}

/// An outcome as the two fields that most replies have for it.
pub fn error_fields(outcome: Result<(), &ClientError>) -> (i16, Option<StrBytes>) {
    match outcome {
        Ok(()) => (0, None),
        Err(error) => (error.code.code(), Some(text(error.message.clone()))),
    }
}
