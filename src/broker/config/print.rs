//! What `flumen config` prints: the values in effect with their origins, and the reference of all keys.

use super::keys::{DefaultValue, KEYS, Key, Kind};
use super::{Setting, Values};
use crate::base::units::Bytes;
use crate::metadata::config::broker_configs;
use std::collections::BTreeMap;

/// The values in effect as a file that would set them, each line with its origin.
pub(super) fn lines(values: &Values, kafka: &BTreeMap<String, Setting>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut table = "";
    for key in KEYS {
        let (value, origin) = &values[key.name];
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if of != table {
            lines.extend([String::new(), format!("[{of}]")]);
            table = of;
        }
        lines.push(format!("{name} = {value}  # {origin}"));
    }
    if !kafka.is_empty() {
        lines.extend([String::new(), "[kafka]".to_owned()]);
    }
    for (name, Setting { text, origin }) in kafka {
        lines.push(format!("\"{name}\" = {}  # {origin}", property(name, text)));
    }
    lines
}

/// A property's value as it would be written. Secrets are not shown.
fn property(name: &str, text: &str) -> String {
    let secret = broker_configs::find_base(name).is_none_or(|definition| definition.kind.is_sensitive());
    toml::Value::from(if secret { "(hidden)" } else { text.trim() }).to_string()
}

/// Every key with its flag, variable, values, default and documentation, as text.
pub fn reference() -> String {
    let mut text = String::new();
    for key in KEYS {
        let lines = [
            format!("{}  (--{}, {})", key.name, key.flag, key.environment()),
            format!("    {}", key.documentation),
            format!("    {} Default: {}.", takes(key), default(key)),
        ];
        text.push_str(&lines.join("\n"));
        text.push_str("\n\n");
    }
    text.push_str("[kafka]  (--kafka NAME=VALUE, FLUMEN_KAFKA_NAME)\n");
    text.push_str(
        "    Broker properties of Apache Kafka by their own names, such as num.partitions or log.retention.hours.\n",
    );
    text
}

fn takes(key: &Key) -> String {
    match key.kind {
        Kind::Text => "A text.".to_owned(),
        Kind::Whole { min, max } => format!("A whole number from {min} to {max}."),
        Kind::Size { min, max, .. } => format!("A size from {} to {}.", Bytes(min), Bytes(max)),
        Kind::Boolean => "true or false.".to_owned(),
        Kind::LogLevel => "A level, or module=level between commas.".to_owned(),
        Kind::Listeners => "NAME=ADDRESS:PORT[@HOST:PORT] between commas.".to_owned(),
    }
}

fn default(key: &Key) -> String {
    match key.default {
        DefaultValue::Unset => "none".to_owned(),
        DefaultValue::Text(text) => text.to_owned(),
        DefaultValue::Cores => "the number of cores".to_owned(),
        DefaultValue::HalfOfMemory => "half of the machine's memory".to_owned(),
        DefaultValue::UpTo { text, of, divisor } => format!("{text}, at most {of} / {divisor}"),
        DefaultValue::TailShare => "a quarter of memory, at most 32 MiB, divided among the reactors".to_owned(),
    }
}
