//! The topics in which brokers keep what they coordinate, and what they are made with.

use super::Context;
use super::topics::NewTopic;

/// Groups and their offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Transactions.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";
/// The state of share groups, which nothing here keeps yet; the name is reserved all the same.
const SHARE_GROUPS_TOPIC: &str = "__share_group_state";

/// Whether clients are told that a topic is the cluster's own, and kept from writing to it.
pub fn is_internal(name: &str) -> bool {
    matches!(name, OFFSETS_TOPIC | TRANSACTIONS_TOPIC | SHARE_GROUPS_TOPIC)
}

/// The internal topic `name` as it is to be made, by the broker's configuration: with as many replicas as is configured, or
/// as there are brokers (where Kafka would refuse, and a single broker would serve no group until it is configured).
pub fn internal_topic(context: &Context<'_>, name: &str) -> Option<NewTopic> {
    let layers = context.layers();
    let (prefix, own): (&str, &[(&str, &str)]) = match name {
        OFFSETS_TOPIC => ("offsets.topic", &[("compression.type", "producer")]),
        TRANSACTIONS_TOPIC => (
            "transaction.state.log",
            &[("compression.type", "uncompressed"), ("unclean.leader.election.enable", "false")],
        ),
        _ => return None,
    };
    let whole = |suffix: &str| layers.whole(&format!("{prefix}.{suffix}"));
    let brokers = context.image.brokers().filter(|broker| !broker.fenced).count();
    let replicas = usize::try_from(whole("replication.factor")).unwrap_or(1).min(brokers.max(1));
    let mut configs: Vec<(String, String)> =
        own.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    configs.push(("cleanup.policy".into(), "compact".into()));
    configs.push(("segment.bytes".into(), whole("segment.bytes").to_string()));
    if name == TRANSACTIONS_TOPIC {
        let in_sync = whole("min.isr").min(i64::try_from(replicas).unwrap_or(1));
        configs.push(("min.insync.replicas".into(), in_sync.to_string()));
    }
    Some(NewTopic {
        name: name.to_owned(),
        partitions: i32::try_from(whole("num.partitions")).unwrap_or(1),
        replication_factor: i16::try_from(replicas).unwrap_or(1),
        assignments: Vec::new(),
        configs: configs.into_iter().map(|(name, value)| (name, Some(value))).collect(),
    })
}
