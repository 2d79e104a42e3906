//! Every broker config that DescribeConfigs of Apache Kafka 4.3 lists, so that tools, consoles and Connect find what they
//! read; what Flumen does not have is listed with Kafka's default and does nothing.

use super::definition::{ConfigType, Definition, Rule, UpdateMode};
use std::collections::BTreeMap;
use std::sync::OnceLock;

mod broker;
mod coordinator;
mod log;
mod security;
#[cfg(test)]
mod tests;

/// A table of configs: name, type, default, rule, update mode and documentation of each.
macro_rules! definitions {
    ($($name:literal, $kind:expr, $default:expr, $rule:expr, $update:expr => $documentation:literal;)*) => {
        pub static DEFINITIONS: &[Definition] = &[$(Definition {
            name: $name,
            kind: $kind,
            default: $default,
            rule: $rule,
            update: $update,
            documentation: $documentation,
        }),*];
    };
}
use definitions;

const fn quota(name: &'static str, documentation: &'static str) -> Definition {
    Definition {
        name,
        kind: ConfigType::Long,
        default: None,
        rule: Rule::AtLeast(0),
        update: UpdateMode::ClusterWide,
        documentation,
    }
}

/// Configs that can only be set dynamically, and are listed only where they are set.
static DYNAMIC_ONLY: &[Definition] = &[
    quota("follower.replication.throttled.rate", "Bytes a second that throttled replicas may fetch as followers."),
    quota("leader.replication.throttled.rate", "Bytes a second that throttled replicas may be sent by their leaders."),
    quota(
        "replica.alter.log.dirs.io.max.bytes.per.second",
        "Bytes a second that replicas may be copied with between log directories of one broker.",
    ),
];

/// Configs that can be updated dynamically only under a listener's prefix.
static LISTENER_ONLY: &[&str] = &[
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

/// Listener configs that are cluster-wide all the same.
static CLUSTER_WIDE_LISTENER_CONFIGS: &[&str] =
    &["max.connection.creation.rate", "max.connections", "num.network.threads"];

/// Groups of configs that set one value in different units, the first that is set winning.
static SYNONYMS: &[&[&str]] = &[
    &["log.roll.ms", "log.roll.hours"],
    &["log.roll.jitter.ms", "log.roll.jitter.hours"],
    &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
];

fn table() -> &'static BTreeMap<&'static str, &'static Definition> {
    static TABLE: OnceLock<BTreeMap<&'static str, &'static Definition>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let areas = [broker::DEFINITIONS, coordinator::DEFINITIONS, log::DEFINITIONS, security::DEFINITIONS];
        areas.into_iter().flatten().map(|definition| (definition.name, definition)).collect()
    })
}

/// All broker configs that are listed, in the order of their names.
pub fn all() -> impl ExactSizeIterator<Item = &'static Definition> {
    table().values().copied()
}

/// The broker config with this name, as it stands: no prefix is taken off.
pub fn find(name: &str) -> Option<&'static Definition> {
    table().get(name).copied().or_else(|| DYNAMIC_ONLY.iter().find(|definition| definition.name == name))
}

/// The config that `listener.name.LISTENER.CONFIG` sets for one listener, if `name` is of that form.
pub fn listener_config(name: &str) -> Option<&str> {
    let (_, config) = name.strip_prefix("listener.name.")?.split_once('.')?;
    // SASL's own may stand behind a mechanism: listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config.
    let of_mechanism = config.split_once('.').map(|(_, rest)| rest).filter(|rest| find(rest).is_some());
    if find(config).is_some() { Some(config) } else { of_mechanism.or(Some(config)) }
}

/// The config with this name, or the one it sets for a listener.
pub fn find_base(name: &str) -> Option<&'static Definition> {
    find(name).or_else(|| find(listener_config(name)?))
}

/// Whether a dynamic update of this config must name a listener.
pub fn needs_listener(name: &str) -> bool {
    LISTENER_ONLY.contains(&name)
}

/// Whether this config can be set for one broker but not for all.
pub fn is_per_broker(name: &str) -> bool {
    match listener_config(name) {
        Some(config) => !CLUSTER_WIDE_LISTENER_CONFIGS.contains(&config),
        None => find(name).is_some_and(|definition| definition.update == UpdateMode::PerBroker),
    }
}

/// The names under which the value of `name` may be set, the first that is set winning; `name` is among them.
pub fn synonyms(name: &str) -> Vec<&str> {
    if name == "log.flush.interval.ms" {
        return vec![name, "log.flush.scheduler.interval.ms"];
    }
    if let Some(group) = SYNONYMS.iter().find(|group| group.contains(&name)) {
        return group.to_vec();
    }
    std::iter::once(name).chain(listener_config(name)).collect()
}
