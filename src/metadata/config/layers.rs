//! The layers a config's value can come from, and the value that wins.
//!
//! Strongest first: the topic's own dynamic config, the broker's dynamic config, the cluster-wide dynamic default, the
//! broker's static properties, the default. Within a layer the first of a config's synonyms wins.

use super::broker_configs;
use super::definition::{Definition, Value};
use super::topic_configs::{ResourceConfig, Synonym};
use crate::metadata::image::{Configs, Image};
use crate::metadata::record::ConfigResource;
use crate::model::ids::BrokerId;

#[cfg(test)]
mod tests;

/// Where a value comes from, with its number in DescribeConfigs replies (KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum ConfigSource {
    /// Set for the topic.
    DynamicTopic = 1,
    /// Set dynamically for this broker.
    DynamicBroker = 2,
    /// Set dynamically for all brokers.
    DynamicDefaultBroker = 3,
    /// Set in the broker's own configuration.
    StaticBroker = 4,
    /// Not set.
    Default = 5,
    /// Set for the group.
    DynamicGroup = 8,
}

impl ConfigSource {
    /// The source's number in DescribeConfigs replies.
    pub fn code(self) -> i8 {
        self as i8
    }
}

/// The layers of one broker's configuration.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    layers: [(ConfigSource, &'a Configs); 3],
}

impl<'a> Layers<'a> {
    /// The layers of broker `id`, whose static Kafka properties are `statics`, by the image's dynamic ones.
    pub fn new(image: &'a Image, statics: &'a Configs, id: BrokerId) -> Layers<'a> {
        Layers {
            layers: [
                (ConfigSource::DynamicBroker, image.configs(&ConfigResource::Broker(id))),
                (ConfigSource::DynamicDefaultBroker, image.configs(&ConfigResource::DefaultBroker)),
                (ConfigSource::StaticBroker, statics),
            ],
        }
    }

    /// The layers, strongest first.
    pub fn in_order(&self) -> impl Iterator<Item = (ConfigSource, &'a Configs)> {
        self.layers.into_iter()
    }

    /// These layers with the one of `source` replaced, to see what an alteration would make of them.
    pub fn with(mut self, source: ConfigSource, configs: &'a Configs) -> Layers<'a> {
        for layer in &mut self.layers {
            if layer.0 == source {
                layer.1 = configs;
            }
        }
        self
    }

    /// The value of a broker config under exactly this name: a layer that sets a synonym of it hides it in the layers below,
    /// so a weaker layer's hours never show beside a stronger one's milliseconds.
    pub fn value_of(&self, definition: &Definition) -> Option<Value> {
        let synonyms = broker_configs::synonyms(definition.name);
        let layer = self.layers.iter().find(|(_, configs)| synonyms.iter().any(|name| configs.contains_key(*name)));
        let set = layer.and_then(|(_, configs)| configs.get(definition.name));
        // A stored value that does not parse was written under other rules; the default is what is left.
        set.and_then(|text| definition.parse(text).ok()).or_else(|| definition.default_value())
    }

    /// The value of a broker config.
    ///
    /// # Panics
    /// When there is no broker config of this name.
    pub fn value(&self, name: &str) -> Option<Value> {
        let definition = broker_configs::find(name).unwrap_or_else(|| panic!("'{name}' is no broker config"));
        self.value_of(definition)
    }

    /// The value of a broker config of whole numbers that has a default.
    ///
    /// # Panics
    /// When there is no such config.
    pub fn whole(&self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Whole(number)) => number,
            other => panic!("'{name}' is no broker config of whole numbers with a default: {other:?}"),
        }
    }

    /// The value of a boolean broker config.
    ///
    /// # Panics
    /// When there is no such config.
    pub fn boolean(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Boolean(value)) => value,
            other => panic!("'{name}' is no boolean broker config: {other:?}"),
        }
    }

    /// The value of a config that a topic or group does not set itself.
    pub fn resource_default(&self, config: &ResourceConfig) -> Option<Value> {
        for (_, configs) in self.layers {
            let set = config.synonyms.iter().find_map(|synonym| Some((synonym, configs.get(synonym.name)?)));
            if let Some(value) = set.and_then(|(synonym, text)| broker_value(synonym, text)) {
                return Some(value);
            }
        }
        config.definition.default_value()
    }

    /// The value of a config of a topic or group whose own dynamic configs are `own`.
    pub fn resource_value(&self, config: &ResourceConfig, own: &Configs) -> Option<Value> {
        let set = own.get(config.definition.name).and_then(|text| config.definition.parse(text).ok());
        set.or_else(|| self.resource_default(config))
    }
}

/// A broker config's value in a topic config's unit. Below zero stands for "no bound" and stays -1 in every unit.
fn broker_value(synonym: &Synonym, text: &str) -> Option<Value> {
    let value = broker_configs::find(synonym.name)?.parse(text).ok()?;
    Some(match value {
        Value::Whole(number) if synonym.factor > 1 && number < 0 => Value::Whole(-1),
        Value::Whole(number) => Value::Whole(number.saturating_mul(synonym.factor)),
        value => value,
    })
}
