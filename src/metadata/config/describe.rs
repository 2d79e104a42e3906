//! What DescribeConfigs answers: every config of a resource with its value, where that comes from and what else is set.

use super::broker_configs;
use super::definition::{ConfigType, Definition, UpdateMode, Value};
use super::group_configs::GROUP_CONFIGS;
use super::layers::{ConfigSource, Layers};
use super::topic_configs::{ResourceConfig, TOPIC_CONFIGS};
use crate::metadata::image::Configs;
use std::collections::BTreeSet;

#[cfg(test)]
mod tests;

/// One config of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value as Kafka prints it; `None` for null and for secrets.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether nothing sets it.
    pub is_default: bool,
    /// Whether it cannot be changed at run time.
    pub read_only: bool,
    /// Whether its value is kept secret.
    pub sensitive: bool,
    /// Everything that sets it, strongest first.
    pub synonyms: Vec<ConfigSynonym>,
    /// Its type.
    pub kind: ConfigType,
    /// What it does; none for names this broker does not know.
    pub documentation: Option<&'static str>,
}

/// A place that sets a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The name it is set under there.
    pub name: String,
    /// The value set; `None` for secrets.
    pub value: Option<String>,
    /// The place.
    pub source: ConfigSource,
}

/// Which names are asked for: all, or some.
#[derive(Clone, Copy, Debug)]
pub enum Filter<'a> {
    /// Every config.
    All,
    /// These configs; names that do not exist are left out of the answer.
    Names(&'a [String]),
}

impl<'a> Filter<'a> {
    /// The filter of a request's list: none, or an empty one, asks for all.
    pub fn new(names: Option<&'a [String]>) -> Filter<'a> {
        match names {
            None | Some([]) => Filter::All,
            Some(names) => Filter::Names(names),
        }
    }

    fn wants(&self, name: &str) -> bool {
        match self {
            Filter::All => true,
            Filter::Names(names) => names.iter().any(|wanted| wanted == name),
        }
    }
}

/// The configs of a topic whose own dynamic configs are `topic`.
pub fn describe_topic(layers: &Layers<'_>, topic: &Configs, filter: Filter<'_>) -> Vec<ConfigEntry> {
    let wanted = TOPIC_CONFIGS.iter().filter(|config| filter.wants(config.definition.name));
    wanted.map(|config| resource_entry(layers, (topic, ConfigSource::DynamicTopic), config)).collect()
}

/// The configs of a group whose own dynamic configs are `group`.
pub fn describe_group(layers: &Layers<'_>, group: &Configs, filter: Filter<'_>) -> Vec<ConfigEntry> {
    let wanted = GROUP_CONFIGS.iter().map(|one| &one.config).filter(|config| filter.wants(config.definition.name));
    let described = wanted.map(|config| {
        let mut entry = resource_entry(layers, (group, ConfigSource::DynamicGroup), config);
        if config.synonyms.is_empty() {
            // No broker config stands below it, but its own default does.
            let (name, value) = (entry.name.clone(), config.definition.default.map(str::to_owned));
            entry.synonyms.push(ConfigSynonym { name, value, source: ConfigSource::Default });
        }
        entry
    });
    described.collect()
}

/// A config of a topic or group, whose own dynamic configs come from `source`.
fn resource_entry(
    layers: &Layers<'_>,
    (own, source): (&Configs, ConfigSource),
    config: &ResourceConfig,
) -> ConfigEntry {
    let name = config.definition.name;
    let value = layers.resource_value(config, own).as_ref().map(Value::to_string);
    let mut synonyms = Vec::new();
    if own.contains_key(name) {
        synonyms.push(ConfigSynonym { name: name.to_owned(), value: value.clone(), source });
    }
    if let Some(synonym) = config.synonyms.first() {
        synonyms.extend(broker_synonyms(layers, synonym.name, false));
    }
    entry(name, Some(&config.definition), value, synonyms, false)
}

/// The configs of a broker: all that exist, and what else is set under names this broker does not know.
pub fn describe_broker(layers: &Layers<'_>, filter: Filter<'_>) -> Vec<ConfigEntry> {
    let mut names: BTreeSet<&str> = broker_configs::all().map(|definition| definition.name).collect();
    names.extend(layers.in_order().flat_map(|(_, configs)| configs.keys().map(String::as_str)));
    names.into_iter().filter(|name| filter.wants(name)).map(|name| broker_entry(layers, name)).collect()
}

/// The cluster-wide defaults: those that are set.
pub fn describe_default_broker(layers: &Layers<'_>, filter: Filter<'_>) -> Vec<ConfigEntry> {
    let defaults = layers.in_order().find(|(source, _)| *source == ConfigSource::DynamicDefaultBroker);
    let names = defaults.into_iter().flat_map(|(_, configs)| configs.keys()).filter(|name| filter.wants(name));
    names.map(|name| default_broker_entry(layers, name)).collect()
}

fn broker_entry(layers: &Layers<'_>, name: &str) -> ConfigEntry {
    let definition = broker_configs::find_base(name);
    let sensitive = definition.is_none_or(|definition| definition.kind.is_sensitive());
    let value = definition.filter(|_| !sensitive).and_then(|definition| match broker_configs::find(name) {
        Some(definition) => layers.value_of(definition),
        None => listener_value(layers, name, definition),
    });
    let synonyms = broker_synonyms(layers, name, sensitive);
    entry(name, definition, value.as_ref().map(Value::to_string), synonyms, is_read_only(name))
}

fn default_broker_entry(layers: &Layers<'_>, name: &str) -> ConfigEntry {
    let mut entry = broker_entry(layers, name);
    entry.synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
    entry.value = entry.synonyms.first().and_then(|synonym| synonym.value.clone());
    entry.source = entry.synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source);
    entry.is_default = entry.source == ConfigSource::Default;
    entry
}

fn listener_value(layers: &Layers<'_>, name: &str, definition: &Definition) -> Option<Value> {
    let mut set = layers.in_order().filter_map(|(_, configs)| configs.get(name));
    set.next().and_then(|text| definition.parse(text).ok())
}

fn is_read_only(name: &str) -> bool {
    broker_configs::find(name).is_none_or(|definition| definition.update == UpdateMode::ReadOnly)
}

/// What sets a broker config, strongest first. Kafka leaves out everything before the config's own name first appears, so a
/// config set only under another unit shows as unset; tools have learnt to live with that, and so does this answer.
fn broker_synonyms(layers: &Layers<'_>, name: &str, sensitive: bool) -> Vec<ConfigSynonym> {
    let names = broker_configs::synonyms(name);
    let shown = |value: &str| Some(value.to_owned()).filter(|_| !sensitive);
    let mut synonyms = Vec::new();
    for (source, configs) in layers.in_order() {
        let set = names.iter().filter_map(|name| Some((*name, configs.get(*name)?)));
        synonyms.extend(set.map(|(name, value)| ConfigSynonym { name: name.to_owned(), value: shown(value), source }));
    }
    for name in &names {
        let default = broker_configs::find(name).and_then(|definition| definition.default);
        let source = ConfigSource::Default;
        synonyms.extend(default.map(|value| ConfigSynonym { name: (*name).to_owned(), value: shown(value), source }));
    }
    synonyms.drain(..).skip_while(|synonym| synonym.name != name).collect()
}

fn entry(
    name: &str,
    definition: Option<&Definition>,
    value: Option<String>,
    synonyms: Vec<ConfigSynonym>,
    read_only: bool,
) -> ConfigEntry {
    let kind = definition.map_or(ConfigType::Unknown, |definition| definition.kind);
    let source = synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source);
    ConfigEntry {
        name: name.to_owned(),
        value,
        source,
        is_default: source == ConfigSource::Default,
        read_only,
        sensitive: kind.is_sensitive(),
        synonyms,
        kind,
        documentation: definition.map(|definition| definition.documentation),
    }
}
