//! Reading the file: its keys with their lines.

use super::keys::{KEYS, Key, Kind};
use super::listeners::{self, Listener};
use super::{Origin, Setting, Settings, suggestion};
use crate::metadata::config::broker_configs;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Name of the table of Kafka properties.
const KAFKA_TABLE: &str = "kafka";
/// Name of the table of listeners.
const LISTEN_TABLE: &str = "listen";

struct File<'a> {
    path: &'a str,
    text: &'a str,
}

impl File<'_> {
    /// The place of the byte at `offset`.
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        Origin::File { path: self.path.to_owned(), line: 1 + before.iter().filter(|byte| **byte == b'\n').count() }
    }
}

/// Reads the file's keys into `settings`.
pub(super) fn read_file(settings: &mut Settings, path: &str, text: &str) {
    let file = File { path, text };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let origin = file.origin(error.span().map_or(0, |span| span.start));
            settings.problem(&origin, format!("not valid TOML: {}", error.message()));
            return;
        }
    };
    let mut reader = Reader { file, settings, set: BTreeMap::new() };
    reader.table("", table.get_ref());
}

struct Reader<'a> {
    file: File<'a>,
    settings: &'a mut Settings,
    /// Keys met so far, with their places: `"a.b"` and `a.b` are one key here, if not in TOML.
    set: BTreeMap<String, Origin>,
}

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        // In the order of the file, which the parser does not keep.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let origin = self.file.origin(name.span().start);
            let path =
                if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
            self.entry(&path, value, &origin);
        }
    }

    fn entry(&mut self, path: &str, value: &Spanned<DeValue<'_>>, origin: &Origin) {
        let property = path.strip_prefix(KAFKA_TABLE).and_then(|rest| rest.strip_prefix('.'));
        match value.get_ref() {
            DeValue::Table(listeners) if path == LISTEN_TABLE => self.listeners(listeners, origin),
            DeValue::Table(table) if property.is_some() || is_table(path) => self.table(path, table),
            DeValue::Table(_) => {
                let tables = KEYS.iter().filter_map(|key| key.name.split_once('.')).map(|(table, _)| table);
                let names = tables.chain([KAFKA_TABLE, LISTEN_TABLE]).map(str::to_owned);
                self.settings.problem(origin, format!("unknown table '{path}'{}", suggestion(path, names)));
            }
            _ if self.is_repeated(path, origin) => {}
            value => match property {
                Some(name) => self.property(name, value, origin),
                None => self.key(path, value, origin),
            },
        }
    }

    fn is_repeated(&mut self, path: &str, origin: &Origin) -> bool {
        match self.set.insert(path.to_owned(), origin.clone()) {
            Some(first) => {
                self.settings.problem(origin, format!("'{path}' is set already, at {first}"));
                true
            }
            None => false,
        }
    }

    fn key(&mut self, path: &str, value: &DeValue<'_>, origin: &Origin) {
        let Some(key) = KEYS.iter().find(|key| key.name == path) else {
            let message = if broker_configs::find(path).is_some() {
                format!("unknown key '{path}': properties of Kafka stand in the table [{KAFKA_TABLE}]")
            } else {
                let names = KEYS.iter().map(|key| key.name.to_owned());
                format!("unknown key '{path}'{}", suggestion(path, names))
            };
            return self.settings.problem(origin, message);
        };
        match written(key, value) {
            Ok(text) => {
                self.settings.keys.insert(key.name, Setting { text, origin: origin.clone() });
            }
            Err(expected) => self.settings.problem(origin, format!("'{path}' is {expected}")),
        }
    }

    fn property(&mut self, name: &str, value: &DeValue<'_>, origin: &Origin) {
        match scalar(value).or_else(|| list(value)) {
            Some(text) => self.settings.set_kafka(name, text, origin.clone()),
            None => {
                self.settings.problem(origin, format!("'{name}' is a text, a number, true, false or a list of texts"))
            }
        }
    }

    /// A table of listeners: `NAME = "ADDRESS:PORT"`, or `NAME = { address = "...", advertised = "..." }`.
    fn listeners(&mut self, table: &DeTable<'_>, origin: &Origin) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let mut read: Vec<Listener> = Vec::new();
        for (name, value) in entries {
            let origin = self.file.origin(name.span().start);
            let listener = self.listener(name.get_ref(), value.get_ref(), &origin);
            let checked = listener.and_then(|listener| {
                let mut together = read.clone();
                together.push(listener);
                listeners::check_together(&together).map(|()| together)
            });
            match checked {
                Ok(together) => read = together,
                Err(message) if message.is_empty() => {}
                Err(message) => self.settings.problem(&origin, format!("'{LISTEN_TABLE}' has {message}")),
            }
        }
        let text = read.iter().map(Listener::to_string).collect::<Vec<_>>().join(",");
        if !text.is_empty() {
            self.settings.keys.insert(LISTEN_TABLE, Setting { text, origin: origin.clone() });
        }
    }

    /// One listener of the table; an empty message stands for problems told already.
    fn listener(&mut self, name: &str, value: &DeValue<'_>, origin: &Origin) -> Result<Listener, String> {
        let table = match value {
            DeValue::String(text) => {
                let (address, advertised) = text.split_once('@').map_or((&**text, None), |(a, b)| (a, Some(b)));
                return listeners::parse_one(name, address, advertised);
            }
            DeValue::Table(table) => table,
            _ => return Err(format!("'{name}', which is neither an address nor a table")),
        };
        let mut parts: BTreeMap<&str, String> = BTreeMap::new();
        let mut known = true;
        for (part, value) in table.iter() {
            let at = self.file.origin(part.span().start);
            match (&**part.get_ref(), value.get_ref()) {
                (part @ ("address" | "advertised"), DeValue::String(text)) => {
                    parts.insert(part, text.to_string());
                }
                (part @ ("address" | "advertised"), _) => {
                    known = false;
                    self.settings.problem(&at, format!("'{LISTEN_TABLE}.{name}.{part}' is a text"));
                }
                (part, _) => {
                    known = false;
                    let near = suggestion(part, ["address", "advertised"].into_iter().map(str::to_owned));
                    self.settings.problem(&at, format!("unknown key '{LISTEN_TABLE}.{name}.{part}'{near}"));
                }
            }
        }
        match parts.get("address") {
            Some(address) if known => listeners::parse_one(name, address, parts.get("advertised").map(String::as_str)),
            _ if !known => Err(String::new()),
            _ => {
                self.settings.problem(origin, format!("'{LISTEN_TABLE}.{name}' has no address"));
                Err(String::new())
            }
        }
    }
}

fn is_table(path: &str) -> bool {
    path == KAFKA_TABLE || KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(table, _)| table == path))
}

/// The text of a value that is of the type its key takes; else what the key takes.
fn written(key: &Key, value: &DeValue<'_>) -> Result<String, &'static str> {
    let is_text = matches!(value, DeValue::String(_));
    let is_whole = matches!(value, DeValue::Integer(_));
    let (fits, expected) = match key.kind {
        Kind::Text | Kind::LogLevel => (is_text, "a text: put it in quotes"),
        Kind::Whole { .. } => (is_whole, "a whole number, without quotes"),
        Kind::Size { .. } => (is_text || is_whole, "a size: a number of bytes, or a text such as \"64 MiB\""),
        Kind::Boolean => (matches!(value, DeValue::Boolean(_)), "true or false, without quotes"),
        Kind::Listeners => (is_text, "a text such as \"0.0.0.0:9092\", or a table"),
    };
    scalar(value).filter(|_| fits).ok_or(expected)
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => whole(number.as_str(), number.radix()),
        DeValue::Float(number) => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

fn whole(digits: &str, radix: u32) -> Option<String> {
    i64::from_str_radix(&digits.replace('_', ""), radix).ok().map(|number| number.to_string())
}

fn list(value: &DeValue<'_>) -> Option<String> {
    let DeValue::Array(items) = value else { return None };
    let texts: Option<Vec<String>> = items.iter().map(|item| scalar(item.get_ref())).collect();
    texts.map(|texts| texts.join(","))
}
