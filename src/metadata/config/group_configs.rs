//! Every group config of Apache Kafka 4.3 (KIP-848, KIP-932, KIP-1071). A group that does not set one has the broker's
//! `group.` config of the same name; what it sets has to lie between the broker's bounds.

use super::definition::ConfigType::{Boolean, Int};
use super::definition::{ConfigType, Definition, Rule, UpdateMode, Value};
use super::layers::Layers;
use super::topic_configs::{ResourceConfig, Synonym};
use crate::metadata::image::Configs;

#[cfg(test)]
mod tests;

/// A group config.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupConfig {
    /// What it is, and the broker config it falls back to.
    pub config: ResourceConfig,
    /// The broker configs that bound it from below and from above.
    bounds: (Option<&'static str>, Option<&'static str>),
}

const fn config(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    rule: Rule,
    synonyms: &'static [Synonym],
    bounds: (Option<&'static str>, Option<&'static str>),
    documentation: &'static str,
) -> GroupConfig {
    let update = UpdateMode::ClusterWide;
    let definition = Definition { name, kind, default: Some(default), rule, update, documentation };
    GroupConfig { config: ResourceConfig { definition, synonyms }, bounds }
}

/// A whole number whose default and bounds are configs of the broker.
macro_rules! bounded {
    ($kind:literal, $name:literal, $default:literal, $least:literal, $documentation:literal) => {
        config(
            concat!($kind, ".", $name),
            Int,
            $default,
            Rule::AtLeast($least),
            &[Synonym { name: concat!("group.", $kind, ".", $name), factor: 1 }],
            (Some(concat!("group.", $kind, ".min.", $name)), Some(concat!("group.", $kind, ".max.", $name))),
            $documentation,
        )
    };
}

/// How long a member of a consumer group may be silent.
pub const CONSUMER_SESSION_TIMEOUT_MS: &str = "consumer.session.timeout.ms";
/// How often members of a consumer group are told to send heartbeats.
pub const CONSUMER_HEARTBEAT_INTERVAL_MS: &str = "consumer.heartbeat.interval.ms";
/// Shortest time between two target assignments of a consumer group.
pub const CONSUMER_ASSIGNMENT_INTERVAL_MS: &str = "consumer.assignment.interval.ms";

/// All group configs, in the order of their names.
pub static GROUP_CONFIGS: &[GroupConfig] = &[
    bounded!(
        "consumer",
        "assignment.interval.ms",
        "1000",
        0,
        "Shortest time between two target assignments of the group."
    ),
    bounded!(
        "consumer",
        "heartbeat.interval.ms",
        "5000",
        1,
        "How often the group's members are told to send heartbeats."
    ),
    bounded!(
        "consumer",
        "session.timeout.ms",
        "45000",
        1,
        "How long a member of the group may be silent before it is removed."
    ),
    bounded!(
        "share",
        "assignment.interval.ms",
        "1000",
        0,
        "Shortest time between two target assignments of a share group."
    ),
    config(
        "share.auto.offset.reset",
        ConfigType::String,
        "latest",
        Rule::OffsetReset,
        &[],
        (None, None),
        "Where a share group begins in a partition: latest, earliest, or by_duration: and an ISO 8601 duration back from now.",
    ),
    bounded!("share", "delivery.count.limit", "5", 2, "How many times a record is delivered to a share group at most."),
    bounded!(
        "share",
        "heartbeat.interval.ms",
        "5000",
        1,
        "How often members of a share group are told to send heartbeats."
    ),
    config(
        "share.isolation.level",
        ConfigType::String,
        "read_uncommitted",
        Rule::OneOf(&["read_committed", "read_uncommitted"]),
        &[],
        (None, None),
        "Whether a share group is delivered records of transactions that are open or were aborted.",
    ),
    bounded!(
        "share",
        "partition.max.record.locks",
        "2000",
        100,
        "Records of a partition that a share group may hold at a time."
    ),
    bounded!(
        "share",
        "record.lock.duration.ms",
        "30000",
        1000,
        "How long a record delivered to a share group is held for its member."
    ),
    config(
        "share.renew.acknowledge.enable",
        Boolean,
        "true",
        Rule::Any,
        &[],
        (None, None),
        "Whether members of a share group may renew their hold on a record.",
    ),
    bounded!("share", "session.timeout.ms", "45000", 1, "How long a member of a share group may be silent."),
    bounded!(
        "streams",
        "assignment.interval.ms",
        "1000",
        0,
        "Shortest time between two target assignments of a streams group."
    ),
    bounded!(
        "streams",
        "heartbeat.interval.ms",
        "5000",
        1,
        "How often members of a streams group are told to send heartbeats."
    ),
    config(
        "streams.initial.rebalance.delay.ms",
        Int,
        "3000",
        Rule::AtLeast(0),
        &[Synonym { name: "group.streams.initial.rebalance.delay.ms", factor: 1 }],
        (None, None),
        "How long a new streams group waits for more members before its first assignment.",
    ),
    config(
        "streams.num.standby.replicas",
        Int,
        "0",
        Rule::AtLeast(0),
        &[Synonym { name: "group.streams.num.standby.replicas", factor: 1 }],
        (None, Some("group.streams.max.standby.replicas")),
        "Standby replicas of each task of a streams group.",
    ),
    bounded!("streams", "session.timeout.ms", "45000", 1, "How long a member of a streams group may be silent."),
];

/// The group config with this name.
pub fn find(name: &str) -> Option<&'static GroupConfig> {
    let at = GROUP_CONFIGS.binary_search_by(|one| one.config.definition.name.cmp(name)).ok()?;
    Some(&GROUP_CONFIGS[at])
}

impl GroupConfig {
    /// The broker's least and greatest value.
    fn range(&self, layers: &Layers<'_>) -> (i64, i64) {
        let (low, high) = self.bounds;
        (low.map_or(i64::MIN, |name| layers.whole(name)), high.map_or(i64::MAX, |name| layers.whole(name)))
    }

    fn check_bounds(&self, layers: &Layers<'_>, value: &Value) -> Result<(), String> {
        let Value::Whole(number) = value else { return Ok(()) };
        let (name, (low, high)) = (self.config.definition.name, self.bounds);
        match (low, high) {
            (Some(low), _) if *number < layers.whole(low) => {
                Err(format!("{name} must be greater than or equal to {low}"))
            }
            (_, Some(high)) if *number > layers.whole(high) => {
                Err(format!("{name} must be less than or equal to {high}"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a group may have these dynamic configs, on a broker with these layers.
///
/// # Errors
/// Kafka's sentence.
pub fn validate(layers: &Layers<'_>, configs: &Configs) -> Result<(), String> {
    if let Some(name) = configs.keys().find(|name| find(name).is_none()) {
        return Err(format!("Unknown group config name: {name}"));
    }
    for (name, text) in configs {
        if let Some(known) = find(name) {
            let value = known.config.definition.parse(text)?;
            known.check_bounds(layers, &value)?;
        }
    }
    for kind in ["consumer", "share", "streams"] {
        let name = |what: &str| format!("{kind}.{what}");
        let (session, heartbeat) = (name("session.timeout.ms"), name("heartbeat.interval.ms"));
        if whole(layers, configs, &session) <= whole(layers, configs, &heartbeat) {
            return Err(format!("{session} must be greater than {heartbeat}"));
        }
    }
    Ok(())
}

/// The value of a group config of whole numbers, for a group whose own dynamic configs are `configs`. One that was set while other
/// bounds held is moved between those of now.
///
/// # Panics
/// When there is no such config.
pub fn whole(layers: &Layers<'_>, configs: &Configs, name: &str) -> i64 {
    let known = find(name).unwrap_or_else(|| panic!("'{name}' is no group config"));
    match layers.resource_value(&known.config, configs) {
        Some(Value::Whole(number)) => {
            let (low, high) = known.range(layers);
            number.clamp(low, high.max(low))
        }
        other => panic!("'{name}' is no group config of whole numbers: {other:?}"),
    }
}
