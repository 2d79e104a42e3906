//! The process's configuration: a TOML file, the environment and flags, one table of keys behind all three.
//!
//! A key means the same wherever it is set: `data.directory` in the file is `FLUMEN_DATA_DIRECTORY` in the environment and
//! `--data` on the command line. Flags win over the environment, the environment over the file, the file over the default.
//! The `[kafka]` table takes broker properties by their Kafka names. What is unknown, set twice or no valid value is refused
//! at start, with its place and the nearest name that exists: a mistyped key never goes unnoticed.
//!
//! This module is given the text of the file and the variables; it reads neither itself.

use self::file::read_file;
use self::keys::{KEYS, Key, Value};
use self::listeners::Listener;
use crate::base::time::Duration;
use crate::coordinator::runtime::CompactionLimits;
use crate::io::PathBuf;
use crate::metadata::image::Configs;
use crate::model::ids::BrokerId;
use crate::shard::Steps;
use std::collections::BTreeMap;
use std::fmt;

mod file;
mod kafka;
pub mod keys;
pub mod listeners;
mod print;
#[cfg(test)]
mod tests;

pub use print::reference;

/// What defaults are made from.
#[derive(Clone, Copy, Debug)]
pub struct MachineFacts {
    /// Cores this process may run on.
    pub cores: usize,
    /// Bytes of memory this process may use.
    pub memory_bytes: u64,
}

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In the file.
    File {
        /// The file's path, as it was given.
        path: String,
        /// The line, from 1.
        line: usize,
    },
    /// In this variable of the environment.
    Environment(String),
    /// By this flag, without its dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => write!(f, "default"),
            Origin::File { path, line } => write!(f, "{path}:{line}"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// Why the process does not start: everything that is wrong with its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Each problem with the place it was met at.
    pub problems: Vec<(Origin, String)>,
}

impl fmt::Display for ConfigError {
    /// One line a problem.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (origin, message)) in self.problems.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\n" };
            match origin {
                Origin::Default => write!(f, "{newline}{message}")?,
                origin => write!(f, "{newline}{origin}: {message}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// What the process runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Id of this broker in its cluster.
    pub node_id: BrokerId,
    /// Rack or availability zone.
    pub rack: Option<String>,
    /// Where everything is stored.
    pub data_directory: PathBuf,
    /// Where clients and brokers connect.
    pub listeners: Vec<Listener>,
    /// How many reactors.
    pub reactors: usize,
    /// Whether each reactor stays on a core of its own.
    pub pin_cores: bool,
    /// How long each looks for completions before it sleeps.
    pub spin: Duration,
    /// Bytes of memory the process may use.
    pub memory_bytes: u64,
    /// The storage engine.
    pub storage: StorageOptions,
    /// Most connections at a time.
    pub connections_max: usize,
    /// Bytes of one connection's requests being worked on beyond which no more is received from it.
    pub connection_bytes_in_flight_max: u64,
    /// How long a connection may stay silent.
    pub connection_idle_max: Duration,
    /// Largest request.
    pub request_bytes_max: u64,
    /// Whether asking for a topic that does not exist creates it.
    pub auto_create_topics: bool,
    /// Most partition replicas this broker hosts.
    pub partitions_per_broker_max: u32,
    /// Which log lines are written: a level, or levels by module.
    pub log_level: String,
    /// When the logs of coordinators are rewritten.
    pub compaction: CompactionLimits,
    /// Kafka's broker properties that are set, by their Kafka names: the static layer of DescribeConfigs.
    pub kafka: Configs,
    lines: Vec<String>,
}

/// Options of the storage engine; one journal, tail and set of open files a reactor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageOptions {
    /// Bytes of one reactor's journal.
    pub journal_bytes: u64,
    /// Bytes of one journal file.
    pub journal_file_bytes: u64,
    /// Groups under way at a time.
    pub groups_in_flight_max: usize,
    /// Bytes at which a group is sealed.
    pub group_bytes_max: u32,
    /// Bytes from which a partition's run goes to its segment directly.
    pub direct_run_bytes_min: u32,
    /// Bytes that are only in the journal at which write-back starts.
    pub write_back_bytes: u64,
    /// Time after an append at which write-back starts at the latest.
    pub write_back_interval: Duration,
    /// Logs written back at a time.
    pub write_back_depth: usize,
    /// Free space below which produce is refused.
    pub disk_reserve_bytes: u64,
    /// Bytes of written-back batches that one reactor keeps in memory for consumers.
    pub tail_bytes_max: u64,
    /// Segment files that one reactor keeps open.
    pub open_files_max: usize,
    /// How large the steps of background work are; no key sets them.
    pub steps: Steps,
}

/// How the names of this program's variables begin.
const VARIABLE_PREFIX: &str = "FLUMEN_";

/// Variables of the environment that are not keys: the command line reads them.
const OTHER_VARIABLES: &[&str] = &["FLUMEN_CONFIG"];

/// The flag that sets a Kafka property, as `name=value`.
const KAFKA_FLAG: &str = "kafka";

/// A key or property set somewhere.
#[derive(Clone, Debug)]
struct Setting {
    text: String,
    origin: Origin,
}

/// Everything that is set, and what is wrong with it so far. A later layer replaces what an earlier one set.
#[derive(Debug, Default)]
struct Settings {
    keys: BTreeMap<&'static str, Setting>,
    kafka: BTreeMap<String, Setting>,
    problems: Vec<(Origin, String)>,
}

impl Settings {
    fn problem(&mut self, origin: &Origin, message: impl Into<String>) {
        self.problems.push((origin.clone(), message.into()));
    }

    fn read_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (name, text) in variables {
            if !name.starts_with(VARIABLE_PREFIX) || OTHER_VARIABLES.contains(&&*name) || is_service_link(&name, &text)
            {
                continue;
            }
            let origin = Origin::Environment(name.clone());
            let key = KEYS.iter().find(|key| key.environment() == name);
            if let Some(key) = key {
                self.keys.insert(key.name, Setting { text, origin });
            } else if let Some(property) = kafka::of_variable(&name) {
                self.set_kafka(property, text, origin);
            } else {
                // What all share says nothing about which is meant.
                let rest = |name: String| name[VARIABLE_PREFIX.len()..].to_owned();
                let names = KEYS.iter().map(Key::environment).chain(kafka::variables()).map(rest);
                let nearest = nearest(&name[VARIABLE_PREFIX.len()..], names);
                let hint = nearest.map(|rest| did_you_mean(&format!("{VARIABLE_PREFIX}{rest}")));
                self.problem(&origin, format!("unknown variable{}", hint.unwrap_or_default()));
            }
        }
    }

    fn read_flags(&mut self, flags: &[(String, String)]) {
        let mut seen: Vec<&str> = Vec::new();
        for (flag, text) in flags {
            let origin = Origin::Flag(flag.clone());
            if flag == KAFKA_FLAG {
                self.read_kafka_flag(text, &origin);
            } else if let Some(key) = KEYS.iter().find(|key| key.flag == flag) {
                if seen.contains(&key.flag) {
                    self.problem(&origin, "given twice");
                }
                seen.push(key.flag);
                self.keys.insert(key.name, Setting { text: text.clone(), origin });
            } else {
                let names = KEYS.iter().map(|key| key.flag.to_owned());
                self.problem(&origin, format!("unknown flag{}", suggestion(flag, names)));
            }
        }
    }

    fn read_kafka_flag(&mut self, text: &str, origin: &Origin) {
        match text.split_once('=') {
            Some((name, value)) => {
                let name = name.trim();
                if self.kafka.get(name).is_some_and(|setting| setting.origin == *origin) {
                    self.problem(origin, format!("'{name}' is given twice"));
                }
                self.set_kafka(name, value.to_owned(), origin.clone());
            }
            None => self.problem(origin, format!("'{text}' is not of the form name=value")),
        }
    }

    fn set_kafka(&mut self, name: &str, text: String, origin: Origin) {
        match kafka::check(name, &text) {
            Ok(()) => {
                self.kafka.insert(name.to_owned(), Setting { text, origin });
            }
            Err(message) => self.problem(&origin, message),
        }
    }
}

/// Whether an orchestrator made this variable to describe a service that happens to be called flumen-something.
fn is_service_link(name: &str, text: &str) -> bool {
    let numbered_port = name.split("_PORT_").nth(1).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_link = name.ends_with("_PORT") && text.contains("://");
    name.contains("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || numbered_port || is_link
}

/// The nearest of the names that exist, as the end of a sentence.
fn suggestion(name: &str, candidates: impl Iterator<Item = String>) -> String {
    nearest(name, candidates).map(|nearest| did_you_mean(&nearest)).unwrap_or_default()
}

fn did_you_mean(name: &str) -> String {
    format!("; did you mean '{name}'?")
}

/// The nearest of the names that exist, if one is near.
fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    /// Below this, two names have little in common (1 is equal, by Jaro and Winkler).
    const SIMILAR: f64 = 0.8;
    let scored = candidates.map(|candidate| (strsim::jaro_winkler(name, &candidate), candidate));
    let best = scored.filter(|(score, _)| *score >= SIMILAR).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, candidate)| candidate)
}

/// The value of every key, and where it comes from.
type Values = BTreeMap<&'static str, (Value, Origin)>;

impl Config {
    /// Reads the configuration. `file` is its path, as messages are to show it, and its text; `flags` are their names without
    /// dashes, with their values, in the order given.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn load(
        file: Option<(&str, &str)>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[(String, String)],
        machine: MachineFacts,
    ) -> Result<Config, ConfigError> {
        let mut settings = Settings::default();
        if let Some((path, text)) = file {
            read_file(&mut settings, path, text);
        }
        settings.read_environment(environment);
        settings.read_flags(flags);
        let values = resolve(&mut settings, machine);
        check_together(&mut settings, &values);
        if !settings.problems.is_empty() {
            return Err(ConfigError { problems: settings.problems });
        }
        Ok(assemble(&values, &settings))
    }

    /// The values in effect, one a line with its origin, as `flumen config` prints them. The lines make a valid file.
    pub fn print(&self) -> &[String] {
        &self.lines
    }
}

/// The value of each key: what is set, or its default. Keys stand after those their defaults are made from.
fn resolve(settings: &mut Settings, machine: MachineFacts) -> Values {
    let mut values = Values::new();
    for key in KEYS {
        let default = (key.default_value(machine, &values), Origin::Default);
        let value = match settings.keys.get(key.name).cloned() {
            None => default,
            Some(setting) => match key.parse(&setting.text) {
                Ok(value) => (value, setting.origin),
                Err(reason) => {
                    settings.problem(&setting.origin, format!("'{}' {reason}", key.name));
                    default
                }
            },
        };
        values.insert(key.name, value);
    }
    values
}

/// Conditions that hold between keys.
fn check_together(settings: &mut Settings, values: &Values) {
    let whole = |name| values.get(name).map_or(0, |(value, _)| value.whole());
    let conditions = [
        (
            "storage.journal_file_bytes",
            whole("storage.journal_file_bytes") <= whole("storage.journal_bytes") / 2,
            "must be at most half of storage.journal_bytes: a journal is recycled a file at a time",
        ),
        (
            "storage.group_bytes_max",
            whole("storage.group_bytes_max") <= whole("storage.journal_file_bytes") / 2,
            "must be at most half of storage.journal_file_bytes: a group lies within one file",
        ),
        (
            "storage.write_back_bytes",
            whole("storage.write_back_bytes") <= whole("storage.journal_bytes") / 2,
            "must be at most half of storage.journal_bytes: beyond that appends would wait for write-back",
        ),
    ];
    for (name, holds, message) in conditions {
        let origin = values.get(name).map_or(Origin::Default, |(_, origin)| origin.clone());
        if !holds {
            settings.problem(&origin, format!("'{name}' {message}"));
        }
    }
    if let Err((origin, message)) = kafka::check_together(&settings.kafka) {
        settings.problem(&origin, message);
    }
}

fn assemble(values: &Values, settings: &Settings) -> Config {
    let value = |name: &'static str| &values[name].0;
    let size = |name| usize::try_from(value(name).whole()).expect("the key's range fits");
    let narrow = |name| u32::try_from(value(name).whole()).expect("the key's range fits");
    let millis = |name| Duration::from_millis(value(name).whole());
    let storage = StorageOptions {
        journal_bytes: value("storage.journal_bytes").whole(),
        journal_file_bytes: value("storage.journal_file_bytes").whole(),
        groups_in_flight_max: size("storage.groups_in_flight_max"),
        group_bytes_max: narrow("storage.group_bytes_max"),
        direct_run_bytes_min: narrow("storage.direct_run_bytes_min"),
        write_back_bytes: value("storage.write_back_bytes").whole(),
        write_back_interval: millis("storage.write_back_interval_ms"),
        write_back_depth: size("storage.write_back_depth"),
        disk_reserve_bytes: value("storage.disk_reserve_bytes").whole(),
        tail_bytes_max: value("storage.tail_bytes_max").whole(),
        open_files_max: size("storage.open_files_max"),
        steps: Steps::default(),
    };
    Config {
        node_id: i32::try_from(value("node.id").whole()).expect("the key's range fits"),
        rack: value("node.rack").text().map(str::to_owned),
        data_directory: PathBuf::from(value("data.directory").text().expect("the key has a default")),
        listeners: value("listen").listeners().to_vec(),
        reactors: size("reactors.count"),
        pin_cores: value("reactors.pin_cores").boolean(),
        spin: Duration::from_micros(value("reactors.spin_us").whole()),
        memory_bytes: value("memory").whole(),
        storage,
        connections_max: size("connections.max"),
        connection_bytes_in_flight_max: value("connections.bytes_in_flight_max").whole(),
        connection_idle_max: millis("connections.idle_ms_max"),
        request_bytes_max: value("requests.bytes_max").whole(),
        auto_create_topics: value("topics.auto_create").boolean(),
        partitions_per_broker_max: narrow("topics.partitions_per_broker_max"),
        log_level: value("log.level").text().expect("the key has a default").to_owned(),
        compaction: CompactionLimits::default(),
        kafka: kafka::properties(values, &settings.kafka),
        lines: print::lines(values, &settings.kafka),
    }
}
