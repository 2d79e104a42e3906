//! Kafka's broker properties: which may be set, and what they are when Flumen's own keys say the same.

use super::keys::{KEYS, Key, Value};
use super::listeners::Listener;
use super::{Origin, Setting, VARIABLE_PREFIX, Values, suggestion};
use crate::metadata::config::broker_configs;
use crate::metadata::config::layers::Layers;
use crate::metadata::config::topic_configs;
use crate::metadata::image::{Configs, Image};
use std::collections::BTreeMap;

/// Properties that would protect or move data in Kafka and do nothing here: to take them would promise what is not kept.
const REFUSED: &[(&str, &str)] = &[
    ("ssl.", "there is no TLS yet"),
    ("sasl.", "there is no SASL yet"),
    ("security.", "there is no TLS or SASL yet"),
    ("authorizer.", "there is no authorization yet"),
    ("principal.", "there is no authentication yet"),
    ("delegation.", "there are no delegation tokens yet"),
    ("remote.", "there is no tiered storage yet"),
    ("create.topic.policy.", "classes of Java cannot be loaded"),
    ("alter.config.policy.", "classes of Java cannot be loaded"),
    ("client.quota.callback.", "classes of Java cannot be loaded"),
    ("replica.selector.", "classes of Java cannot be loaded"),
    ("process.roles", "every node is broker and controller"),
    ("controller.", "the controller needs no listener and no properties of its own"),
];

/// The only security protocol there is.
const PROTOCOL: &str = "PLAINTEXT";

/// The property's variable.
fn variable(name: &str) -> String {
    format!("{VARIABLE_PREFIX}KAFKA_{}", name.to_ascii_uppercase().replace(['.', '-'], "_"))
}

/// The variables of all properties.
pub(super) fn variables() -> impl Iterator<Item = String> {
    broker_configs::all().map(|definition| variable(definition.name))
}

/// The property that a variable sets.
pub(super) fn of_variable(name: &str) -> Option<&'static str> {
    broker_configs::all().map(|definition| definition.name).find(|property| variable(property) == name)
}

/// Whether a property may be set to this.
pub(super) fn check(name: &str, text: &str) -> Result<(), String> {
    if let Some(key) = KEYS.iter().find(|key| key.kafka.contains(&name)) {
        return Err(format!("'{name}' has a key of its own here: set '{}'", key.name));
    }
    let Some(definition) = broker_configs::find_base(name) else {
        let names = broker_configs::all().map(|definition| definition.name.to_owned());
        return Err(format!("unknown property '{name}'{}", suggestion(name, names)));
    };
    if let Some((_, reason)) = REFUSED.iter().find(|(prefix, _)| definition.name.starts_with(prefix)) {
        return Err(format!("'{name}' would have no effect: {reason}"));
    }
    definition.parse(text).map(|_| ())
}

/// Conditions between properties.
pub(super) fn check_together(settings: &BTreeMap<String, Setting>) -> Result<(), (Origin, String)> {
    let statics = settings.iter().map(|(name, setting)| (name.clone(), setting.text.clone())).collect();
    let image = Image::empty();
    let layers = Layers::new(&image, &statics, 0);
    let whole = |name| match topic_configs::find(name).and_then(|config| layers.resource_default(config)) {
        Some(crate::metadata::config::definition::Value::Whole(number)) => number,
        _ => 0,
    };
    let bounds = [
        (
            ("log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"),
            whole("min.compaction.lag.ms") > whole("max.compaction.lag.ms"),
        ),
        (
            ("group.min.session.timeout.ms", "group.max.session.timeout.ms"),
            layers.whole("group.min.session.timeout.ms") > layers.whole("group.max.session.timeout.ms"),
        ),
    ];
    for ((min, max), is_crossed) in bounds {
        if is_crossed {
            let setting = settings.get(min).or(settings.get(max));
            let origin = setting.map_or(Origin::Default, |setting| setting.origin.clone());
            return Err((origin, format!("'{min}' must be at most '{max}'")));
        }
    }
    Ok(())
}

/// All properties in effect: those that are set, and those that Flumen's own keys stand for.
pub(super) fn properties(values: &Values, settings: &BTreeMap<String, Setting>) -> Configs {
    let mut properties: Configs =
        settings.iter().map(|(name, setting)| (name.clone(), setting.text.trim().to_owned())).collect();
    for key in KEYS {
        let (value, origin) = &values[key.name];
        for name in key.kafka {
            let Some(text) = property(key, name, value) else { continue };
            let default = broker_configs::find(name).and_then(|definition| definition.default);
            // What nobody set and Kafka has too is a default there as well.
            if *origin != Origin::Default || default != Some(text.as_str()) {
                properties.insert((*name).to_owned(), text);
            }
        }
    }
    properties
}

/// What a key's value is under one of its Kafka names.
fn property(key: &Key, name: &str, value: &Value) -> Option<String> {
    let all =
        |of_listener: fn(&Listener) -> String| value.listeners().iter().map(of_listener).collect::<Vec<_>>().join(",");
    match value {
        Value::Listeners(_) if name == "listeners" => {
            Some(all(|listener| format!("{}://{}", listener.name, listener.address)))
        }
        Value::Listeners(_) if name == "advertised.listeners" => Some(all(|listener| match &listener.advertised {
            Some(advertised) => format!("{}://{advertised}", listener.name),
            None => format!("{}://{}", listener.name, listener.address),
        })),
        // Kafka's default maps the names of its protocols; another name is mapped here.
        Value::Listeners(listeners) if listeners.iter().all(|listener| listener.name == PROTOCOL) => None,
        Value::Listeners(_) => Some(all(|listener| format!("{}:{PROTOCOL}", listener.name))),
        // One directory goes by the plural name, as new installations of Kafka have it.
        Value::Text(directory) if key.name == "data.directory" => (name == "log.dirs").then(|| directory.clone()),
        Value::Text(text) => Some(text.clone()),
        Value::Whole(number) | Value::Size(number) => Some(number.to_string()),
        Value::Boolean(value) => Some(value.to_string()),
        Value::Unset => None,
    }
}
