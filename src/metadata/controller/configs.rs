//! Altering dynamic configs: IncrementalAlterConfigs (KIP-339), the older AlterConfigs, and the checks of both.

use super::names::validate_topic_name;
use super::{Context, Decision};
use crate::metadata::config::broker_configs;
use crate::metadata::config::definition::{ConfigType, UpdateMode, Value, split_list};
use crate::metadata::config::describe::{self, ConfigEntry, Filter};
use crate::metadata::config::group_configs;
use crate::metadata::config::layers::{ConfigSource, Layers};
use crate::metadata::config::topic_configs;
use crate::metadata::image::{Configs, Image};
use crate::metadata::record::{ConfigResource, MetadataRecord};
use crate::model::error_code::{ClientError, ErrorCode};
use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
mod tests;

/// Numbers of the resource types in requests.
pub mod resource_type {
    /// A topic.
    pub const TOPIC: i8 = 2;
    /// A broker, or with an empty name all of them.
    pub const BROKER: i8 = 4;
    /// What is told of clients' metrics (KIP-714).
    pub const CLIENT_METRICS: i8 = 16;
    /// A group.
    pub const GROUP: i8 = 32;
}

/// Longest value of a dynamic config, in bytes.
const CONFIG_VALUE_BYTES_MAX: usize = 32_767;

/// Longest name of a dynamic config, in bytes; only names this broker does not know could be longer.
const CONFIG_NAME_BYTES_MAX: usize = 32_767;

const ELIGIBLE_LEADER_REPLICAS: &str = "eligible.leader.replicas.version";
const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// The alterations of one resource, as a request carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterResource {
    /// A number of [`resource_type`].
    pub resource_type: i8,
    /// The topic's or group's name, the broker's id, or nothing for all brokers.
    pub resource_name: String,
    /// What to do with which config.
    pub alterations: Vec<Alteration>,
}

/// One alteration. AlterConfigs carries no operation: there each is a [`Alteration::SET`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alteration {
    /// The config's name.
    pub name: String,
    /// The operation's number.
    pub operation: i8,
    /// The value; none to delete.
    pub value: Option<String>,
}

impl Alteration {
    /// Sets the value.
    pub const SET: i8 = 0;
    /// Goes back to the default.
    pub const DELETE: i8 = 1;
    /// Adds items to a list.
    pub const APPEND: i8 = 2;
    /// Takes items from a list.
    pub const SUBTRACT: i8 = 3;
}

/// The answer for one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterResult {
    /// As in the request.
    pub resource_type: i8,
    /// As in the request.
    pub resource_name: String,
    /// Why nothing of the resource is altered, if so: a resource is altered as a whole or not at all.
    pub outcome: Result<(), ClientError>,
}

/// Decides an IncrementalAlterConfigs request.
pub fn incremental_alter_configs(
    context: &Context<'_>,
    resources: &[AlterResource],
    validate_only: bool,
) -> Decision<AlterResult> {
    alter_each(context, resources, validate_only, incremental)
}

/// Decides an AlterConfigs request: what it does not name goes back to its default.
pub fn alter_configs(context: &Context<'_>, resources: &[AlterResource], validate_only: bool) -> Decision<AlterResult> {
    alter_each(context, resources, validate_only, |_, request| {
        let set = request.alterations.iter();
        Ok(set.filter_map(|alteration| Some((alteration.name.clone(), alteration.value.clone()?))).collect())
    })
}

/// The configs a resource is to have, given those it has.
type Altered = fn(&Configs, &AlterResource) -> Result<Configs, ClientError>;

fn alter_each(
    context: &Context<'_>,
    resources: &[AlterResource],
    validate_only: bool,
    altered: Altered,
) -> Decision<AlterResult> {
    let mut times: BTreeMap<(i8, &str), usize> = BTreeMap::new();
    for request in resources {
        *times.entry((request.resource_type, &request.resource_name)).or_default() += 1;
    }
    let mut decision = Decision { records: Vec::new(), results: Vec::new() };
    for request in resources {
        let outcome = if times[&(request.resource_type, request.resource_name.as_str())] > 1 {
            Err(invalid_request("Each resource must appear at most once."))
        } else {
            alter(context, request, altered)
        };
        decision.results.push(AlterResult {
            resource_type: request.resource_type,
            resource_name: request.resource_name.clone(),
            outcome: outcome.as_ref().map(|_| ()).map_err(Clone::clone),
        });
        if !validate_only {
            decision.records.extend(outcome.unwrap_or_default());
        }
    }
    decision
}

fn alter(context: &Context<'_>, request: &AlterResource, altered: Altered) -> Result<Vec<MetadataRecord>, ClientError> {
    check_alterations(request)?;
    let resource = find_resource(context, request)?;
    let existing = context.image.configs(&resource);
    let configs = altered(existing, request)?;
    match &resource {
        ConfigResource::Topic(name) => {
            validate_topic_name(name)?;
            validate_topic_configs(&context.layers(), &configs)?;
            if context.image.topic(name).is_none() {
                return Err(unknown_topic(name));
            }
        }
        ConfigResource::Group(_) => {
            configs.iter().try_for_each(|(name, text)| check_size(name, text))?;
            group_configs::validate(&context.layers(), &configs).map_err(invalid_config)?;
        }
        ConfigResource::Broker(_) => validate_broker_configs(context, existing, &configs, true)?,
        _ => validate_broker_configs(context, existing, &configs, false)?,
    }
    Ok(differences(&resource, existing, &configs))
}

fn check_alterations(request: &AlterResource) -> Result<(), ClientError> {
    let mut names = BTreeSet::new();
    if !request.alterations.iter().all(|alteration| names.insert(&alteration.name)) {
        return Err(invalid_request("Error due to duplicate config keys"));
    }
    let needs_value =
        |alteration: &&Alteration| alteration.operation != Alteration::DELETE && alteration.value.is_none();
    let nulls: Vec<_> = request.alterations.iter().filter(needs_value).map(|alteration| &*alteration.name).collect();
    if !nulls.is_empty() {
        return Err(invalid_request(format!("Null value not supported for : {}", nulls.join(", "))));
    }
    Ok(())
}

fn find_resource(context: &Context<'_>, request: &AlterResource) -> Result<ConfigResource, ClientError> {
    let name = request.resource_name.as_str();
    match request.resource_type {
        resource_type::TOPIC if name.is_empty() => Err(invalid_request("Default topic resources are not allowed.")),
        resource_type::TOPIC => Ok(ConfigResource::Topic(name.to_owned())),
        resource_type::BROKER if name.is_empty() => Ok(ConfigResource::DefaultBroker),
        resource_type::BROKER => match name.parse() {
            Ok(id) if id == context.broker => Ok(ConfigResource::Broker(id)),
            Ok(_) => Err(unexpected_broker(context, name)),
            Err(_) => Err(invalid_request(format!("Node id must be an integer, but it is: {name}"))),
        },
        resource_type::GROUP if name.is_empty() => Err(invalid_request("Default group resources are not allowed.")),
        resource_type::GROUP => Ok(ConfigResource::Group(name.to_owned())),
        other => Err(invalid_request(format!("Unknown resource type {other}"))),
    }
}

fn unexpected_broker(context: &Context<'_>, name: &str) -> ClientError {
    invalid_request(format!("Unexpected broker id, expected {}, but received {name}", context.broker))
}

fn incremental(existing: &Configs, request: &AlterResource) -> Result<Configs, ClientError> {
    let mut configs = existing.clone();
    for alteration in &request.alterations {
        let value = alteration.value.clone().unwrap_or_default();
        match alteration.operation {
            Alteration::SET => configs.insert(alteration.name.clone(), value),
            Alteration::DELETE => configs.remove(&alteration.name),
            Alteration::APPEND | Alteration::SUBTRACT => {
                let items = alter_list(existing, request.resource_type, alteration, &value)?;
                configs.insert(alteration.name.clone(), items)
            }
            other => return Err(invalid_request(format!("Unknown operations type {other}"))),
        };
    }
    Ok(configs)
}

/// The list with items added or taken. A list that is not set starts from its default.
fn alter_list(
    existing: &Configs,
    resource_type: i8,
    alteration: &Alteration,
    value: &str,
) -> Result<String, ClientError> {
    let name = alteration.name.as_str();
    let is_broker = resource_type == resource_type::BROKER;
    let definition = match resource_type {
        resource_type::TOPIC => topic_configs::find(name).map(|config| &config.definition),
        resource_type::GROUP => group_configs::find(name).map(|group| &group.config.definition),
        _ => broker_configs::find_base(name),
    };
    let definition = match definition {
        Some(definition) if definition.kind == ConfigType::List => definition,
        definition => return Err(not_a_list(alteration, is_broker, definition.is_some())),
    };
    let mut items = split_list(existing.get(name).map(String::as_str).or(definition.default).unwrap_or_default());
    for item in split_list(value) {
        if alteration.operation == Alteration::SUBTRACT {
            items.retain(|known| *known != item);
        } else if !items.contains(&item) {
            items.push(item);
        }
    }
    Ok(items.join(","))
}

fn not_a_list(alteration: &Alteration, is_broker: bool, known: bool) -> ClientError {
    let name = &alteration.name;
    let appends = alteration.operation == Alteration::APPEND;
    let message = if !is_broker {
        let operation = if appends { "APPEND" } else { "SUBTRACT" };
        format!("Can't {operation} to key {name} because its type is not LIST.")
    } else if known {
        let operation = if appends { "append" } else { "subtract" };
        format!("Config value {operation} is not allowed for config key: {name}")
    } else {
        format!("Unknown config name: {name}")
    };
    ClientError::new(ErrorCode::InvalidConfig, message)
}

/// Whether a topic may have these dynamic configs, on a broker with these layers below them.
///
/// # Errors
/// INVALID_CONFIG with Kafka's sentence.
pub fn validate_topic_configs(layers: &Layers<'_>, configs: &Configs) -> Result<(), ClientError> {
    for name in configs.keys() {
        if topic_configs::find(name).is_none() {
            return Err(invalid_config(format!("Unknown topic config name: {name}")));
        }
    }
    for (name, text) in configs {
        check_size(name, text)?;
        if let Some(config) = topic_configs::find(name) {
            config.definition.parse(text).map_err(invalid_config)?;
        }
    }
    let value = |name| topic_configs::find(name).and_then(|config| layers.resource_value(config, configs));
    check_compaction_lags(&value).map_err(invalid_config)?;
    if value("remote.storage.enable") == Some(Value::Boolean(true)) {
        return Err(invalid_config(
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
        ));
    }
    Ok(())
}

fn check_compaction_lags(value: &dyn Fn(&'static str) -> Option<Value>) -> Result<(), String> {
    let (low, high) = ("min.compaction.lag.ms", "max.compaction.lag.ms");
    match (value(low), value(high)) {
        (Some(Value::Whole(min)), Some(Value::Whole(max))) if min > max => {
            Err(format!("conflict topic config setting {low} ({min}) > {high} ({max})"))
        }
        _ => Ok(()),
    }
}

fn check_size(name: &str, value: &str) -> Result<(), ClientError> {
    if value.len() > CONFIG_VALUE_BYTES_MAX {
        return Err(invalid_config(format!(
            "The configuration value cannot be added because it exceeds the maximum value size of \
             {CONFIG_VALUE_BYTES_MAX} bytes."
        )));
    }
    if name.len() > CONFIG_NAME_BYTES_MAX {
        return Err(invalid_config(format!("The configuration name is longer than {CONFIG_NAME_BYTES_MAX} bytes.")));
    }
    Ok(())
}

/// Whether a broker, or all brokers, may have these dynamic configs. Names nobody knows are allowed, as in Kafka: plugins
/// read them.
fn validate_broker_configs(
    context: &Context<'_>,
    existing: &Configs,
    configs: &Configs,
    one_broker: bool,
) -> Result<(), ClientError> {
    refuse_names(configs, "Cannot update these configs dynamically", |name| {
        broker_configs::find_base(name).is_some_and(|definition| definition.update == UpdateMode::ReadOnly)
    })?;
    refuse_names(
        configs,
        "These security configs can be dynamically updated only per-listener using the listener prefix",
        broker_configs::needs_listener,
    )?;
    for (name, text) in configs {
        check_size(name, text)?;
        if let Some(definition) = broker_configs::find_base(name) {
            definition.parse(text).map_err(invalid_request)?;
        }
    }
    if !one_broker {
        let reason = "Cannot update these configs at default cluster level, broker id must be specified";
        refuse_names(configs, reason, broker_configs::is_per_broker)?;
    }
    check_eligible_leader_replicas(context, existing, configs, one_broker)?;
    let source = if one_broker { ConfigSource::DynamicBroker } else { ConfigSource::DynamicDefaultBroker };
    let layers = context.layers().with(source, configs);
    check_compaction_lags(&|name| layers.resource_default(topic_configs::find(name)?)).map_err(invalid_request)
}

fn refuse_names(configs: &Configs, reason: &str, refused: impl Fn(&str) -> bool) -> Result<(), ClientError> {
    let names: Vec<&str> = configs.keys().map(String::as_str).filter(|name| refused(name)).collect();
    if names.is_empty() { Ok(()) } else { Err(invalid_request(format!("{reason}: [{}]", names.join(", ")))) }
}

/// With eligible leader replicas (KIP-966) all brokers must agree on `min.insync.replicas`: it is set cluster-wide or for a
/// topic, and stays set.
fn check_eligible_leader_replicas(
    context: &Context<'_>,
    existing: &Configs,
    configs: &Configs,
    one_broker: bool,
) -> Result<(), ClientError> {
    let (before, after) = (existing.get(MIN_INSYNC_REPLICAS), configs.get(MIN_INSYNC_REPLICAS));
    if context.image.feature_level(ELIGIBLE_LEADER_REPLICAS) == 0 || before == after {
        return Ok(());
    }
    if one_broker {
        return Err(invalid_config("Broker-level min.insync.replicas cannot be altered while ELR is enabled."));
    }
    match after {
        Some(_) => Ok(()),
        None => Err(invalid_config("Cluster-level min.insync.replicas cannot be removed while ELR is enabled.")),
    }
}

/// The records that turn one set of configs into another.
pub(super) fn differences(resource: &ConfigResource, before: &Configs, after: &Configs) -> Vec<MetadataRecord> {
    let record = |name: &String, value: Option<&String>| MetadataRecord::Config {
        resource: resource.clone(),
        name: name.clone(),
        value: value.cloned(),
    };
    let set = after.iter().filter(|(name, value)| before.get(*name) != Some(value));
    let unset = before.keys().filter(|name| !after.contains_key(*name));
    set.map(|(name, value)| record(name, Some(value))).chain(unset.map(|name| record(name, None))).collect()
}

/// The configs of a resource, as DescribeConfigs asks for them.
///
/// # Errors
/// What DescribeConfigs answers for a resource that is not there or cannot be described.
pub fn describe_configs(
    context: &Context<'_>,
    resource_type: i8,
    resource_name: &str,
    filter: Filter<'_>,
) -> Result<Vec<ConfigEntry>, ClientError> {
    let layers = context.layers();
    match resource_type {
        resource_type::TOPIC => {
            validate_topic_name(resource_name)?;
            context.image.topic(resource_name).ok_or_else(|| unknown_topic(resource_name))?;
            let topic = context.image.configs(&ConfigResource::Topic(resource_name.to_owned()));
            Ok(describe::describe_topic(&layers, topic, filter))
        }
        resource_type::BROKER if resource_name.is_empty() => Ok(describe::describe_default_broker(&layers, filter)),
        resource_type::BROKER => match resource_name.parse::<i32>() {
            Ok(id) if id == context.broker => Ok(describe::describe_broker(&layers, filter)),
            Ok(_) => Err(invalid_request(format!(
                "Unexpected broker id, expected {} or empty string, but received {resource_name}",
                context.broker
            ))),
            Err(_) => Err(invalid_request(format!("Broker id must be an integer, but it is: {resource_name}"))),
        },
        resource_type::GROUP if resource_name.is_empty() => Err(invalid_request("Group name must not be empty")),
        resource_type::GROUP => {
            let group = context.image.configs(&ConfigResource::Group(resource_name.to_owned()));
            Ok(describe::describe_group(&layers, group, filter))
        }
        other => Err(invalid_request(format!("Unsupported resource type: {other}"))),
    }
}

/// The resources of these types that have, or may have, configs of their own (ListConfigResources, KIP-1142): topics and brokers,
/// whether or not one is set, and groups for which one is set. All types that exist, where none is named.
///
/// # Errors
/// UNSUPPORTED_VERSION for a type that cannot be listed.
pub fn list_config_resources(image: &Image, types: &[i8]) -> Result<Vec<(i8, String)>, ClientError> {
    const LISTED: [i8; 4] =
        [resource_type::TOPIC, resource_type::BROKER, resource_type::GROUP, resource_type::CLIENT_METRICS];
    if types.iter().any(|one| !LISTED.contains(one)) {
        let message = format!("resources of the types {LISTED:?} can be listed, and not all of {types:?}");
        return Err(ClientError::new(ErrorCode::UnsupportedVersion, message));
    }
    let wanted = |one: i8| types.is_empty() || types.contains(&one);
    let mut resources: Vec<(i8, String)> = Vec::new();
    if wanted(resource_type::TOPIC) {
        resources.extend(image.topics().map(|topic| (resource_type::TOPIC, topic.name.to_string())));
    }
    if wanted(resource_type::BROKER) {
        resources.extend(image.brokers().map(|broker| (resource_type::BROKER, broker.id.to_string())));
    }
    if wanted(resource_type::GROUP) {
        resources.extend(image.configured_resources().filter_map(|resource| match resource {
            ConfigResource::Group(id) => Some((resource_type::GROUP, id.clone())),
            _ => None,
        }));
    }
    Ok(resources)
}

fn unknown_topic(name: &str) -> ClientError {
    ClientError::new(ErrorCode::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."))
}

fn invalid_request(message: impl Into<String>) -> ClientError {
    ClientError::new(ErrorCode::InvalidRequest, message)
}

fn invalid_config(message: impl Into<String>) -> ClientError {
    ClientError::new(ErrorCode::InvalidConfig, message)
}
