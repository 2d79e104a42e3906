//! The keys: every option of the process, once.

use super::listeners::{self, Listener};
use super::{MachineFacts, VARIABLE_PREFIX, Values};
use crate::base::units::{Bytes, GIB, KIB, MIB, parse_bytes};
use std::fmt;

/// An option of the process.
#[derive(Debug)]
pub struct Key {
    /// Its name in the file, with the table it stands in in front of the dot.
    pub name: &'static str,
    /// Its flag, without dashes.
    pub flag: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// Its value when nothing sets it.
    pub default: DefaultValue,
    /// The Kafka properties that say the same, which `[kafka]` therefore does not take.
    pub kafka: &'static [&'static str],
    /// What it does, in a sentence or two.
    pub documentation: &'static str,
}

/// What values a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text that is not empty.
    Text,
    /// A whole number in this range.
    Whole {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// A size, such as `64 MiB`, in this range.
    Size {
        /// The smallest, in bytes.
        min: u64,
        /// The largest, in bytes.
        max: u64,
        /// What it must be a multiple of, in bytes.
        multiple_of: u64,
    },
    /// `true` or `false`.
    Boolean,
    /// A log level, or levels by module.
    LogLevel,
    /// Listeners: `NAME=ADDRESS:PORT`, with `@HOST:PORT` where clients are to use another address.
    Listeners,
}

/// A key's value when nothing sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// None.
    Unset,
    /// This, as it would be written.
    Text(&'static str),
    /// The number of cores.
    Cores,
    /// Half of the machine's memory.
    HalfOfMemory,
    /// A quarter of `memory`, at most [`TAIL_BYTES_MAX`], divided among the reactors.
    TailShare,
    /// This size, or a part of another key's where that is less.
    UpTo {
        /// The size, as it would be written.
        text: &'static str,
        /// The other key.
        of: &'static str,
        /// What its size is divided by.
        divisor: u64,
    },
}

/// A value in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// None.
    Unset,
    /// Of text and log levels.
    Text(String),
    /// Of whole numbers.
    Whole(u64),
    /// Of sizes, in bytes.
    Size(u64),
    /// Of booleans.
    Boolean(bool),
    /// Of listeners.
    Listeners(Vec<Listener>),
}

impl Value {
    pub(super) fn whole(&self) -> u64 {
        match self {
            Value::Whole(number) | Value::Size(number) => *number,
            other => panic!("{other:?} is no number"),
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn boolean(&self) -> bool {
        matches!(self, Value::Boolean(true))
    }

    pub(super) fn listeners(&self) -> &[Listener] {
        match self {
            Value::Listeners(listeners) => listeners,
            _ => &[],
        }
    }
}

impl fmt::Display for Value {
    /// As it would be written in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Unset => write!(f, "\"\""),
            Value::Text(text) => write!(f, "{}", toml::Value::from(text.as_str())),
            Value::Whole(number) => write!(f, "{number}"),
            Value::Boolean(value) => write!(f, "{value}"),
            Value::Size(bytes) => {
                // A rounded size would read back as another one.
                let text = Bytes(*bytes).to_string();
                if parse_bytes(&text) == Ok(*bytes) { write!(f, "\"{text}\"") } else { write!(f, "{bytes}") }
            }
            Value::Listeners(listeners) => {
                let texts: Vec<String> = listeners.iter().map(Listener::to_string).collect();
                write!(f, "\"{}\"", texts.join(","))
            }
        }
    }
}

const fn key(
    name: &'static str,
    flag: &'static str,
    kind: Kind,
    default: DefaultValue,
    kafka: &'static [&'static str],
    documentation: &'static str,
) -> Key {
    Key { name, flag, kind, default, kafka, documentation }
}

const fn whole(min: u64, max: u64) -> Kind {
    Kind::Whole { min, max }
}

const fn size(min: u64, max: u64) -> Kind {
    Kind::Size { min, max, multiple_of: 1 }
}

/// Files and groups are written in whole blocks.
const fn blocks(min: u64, max: u64) -> Kind {
    Kind::Size { min, max, multiple_of: 4 * KIB }
}

const TIB: u64 = 1 << 40;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The tail of all reactors together: what consumers that keep up need. More of it is memory that is touched once for
/// every byte produced, which on a virtual machine costs more than copying it (benches/RESULTS.md, "Storage knobs").
const TAIL_BYTES_MAX: u64 = 32 * MIB;
/// Smallest share of the tail that a reactor gets, whatever the memory.
const TAIL_BYTES_MIN: u64 = 16 * MIB;

/// The keys, in the order in which they are printed; a key stands after those its default is made from.
pub static KEYS: &[Key] = &[
    key(
        "memory",
        "memory",
        size(64 * MIB, 64 * TIB),
        DefaultValue::HalfOfMemory,
        &[],
        "Memory the process may use. The page cache, which serves consumers that lag, needs the rest of the machine.",
    ),
    key(
        "listen",
        "listen",
        Kind::Listeners,
        DefaultValue::Text("PLAINTEXT=127.0.0.1:9092"),
        &["listeners", "advertised.listeners", "listener.security.protocol.map"],
        "Where clients connect: NAME=ADDRESS:PORT, or ADDRESS:PORT alone for one called PLAINTEXT, with @HOST:PORT behind it \
         where clients are to be told another address; several between commas. In the file also a table.",
    ),
    key(
        "node.id",
        "node-id",
        whole(0, i32::MAX as u64),
        DefaultValue::Text("1"),
        &["node.id", "broker.id"],
        "Id of this broker, unlike that of any other in the cluster; it must not change once there is data.",
    ),
    key(
        "node.rack",
        "rack",
        Kind::Text,
        DefaultValue::Unset,
        &["broker.rack"],
        "Rack or availability zone; replicas are spread over racks and consumers can read from their own.",
    ),
    key(
        "data.directory",
        "data",
        Kind::Text,
        DefaultValue::Text("./data"),
        &["log.dirs", "log.dir", "metadata.log.dir"],
        "Directory of everything that is stored. It must lie on a local file system.",
    ),
    key(
        "reactors.count",
        "reactors",
        whole(1, 1024),
        DefaultValue::Cores,
        &[],
        "Threads that do the work, one a core. The number may change at any start; no data moves for it.",
    ),
    key(
        "reactors.pin_cores",
        "pin-cores",
        Kind::Boolean,
        DefaultValue::Text("true"),
        &[],
        "Whether each reactor stays on a core of its own; switch it off where other programs share the cores.",
    ),
    key(
        "reactors.spin_us",
        "spin-us",
        whole(0, 10_000),
        DefaultValue::Text("0"),
        &[],
        "Microseconds for which a reactor that has nothing to do looks for work before it sleeps. It answers sooner, for CPU \
         time that nobody else gets then (tuning/README.md has both).",
    ),
    key(
        "storage.journal_bytes",
        "journal-bytes",
        blocks(16 * MIB, TIB),
        DefaultValue::Text("1 GiB"),
        &[],
        "Size of one reactor's journal. It bounds how long a start after a crash takes, and how far write-back may lag.",
    ),
    key(
        "storage.journal_file_bytes",
        "journal-file-bytes",
        blocks(MIB, 16 * GIB),
        DefaultValue::UpTo { text: "64 MiB", of: "storage.journal_bytes", divisor: 4 },
        &[],
        "Size of one file of the journal; files are recycled one at a time.",
    ),
    key(
        "storage.groups_in_flight_max",
        "groups-in-flight-max",
        whole(1, 64),
        DefaultValue::Text("4"),
        &[],
        "Group commits of a reactor under way at a time. One would leave the device idle between two.",
    ),
    key(
        "storage.group_bytes_max",
        "group-bytes-max",
        blocks(64 * KIB, 256 * MIB),
        DefaultValue::UpTo { text: "1 MiB", of: "storage.journal_file_bytes", divisor: 2 },
        &[],
        "Size at which a group commit is sealed and the next one begun.",
    ),
    key(
        "storage.direct_run_bytes_min",
        "direct-run-bytes-min",
        blocks(4 * KIB, 256 * MIB),
        DefaultValue::Text("32 KiB"),
        &[],
        "A batch of this size or more goes to its segment directly, past the journal: copied and written once, with a flush of \
         its own. Measured: batches of 64 KiB take 0.6 CPU s/GB so and 1.0 through the journal, those of 16 KiB 1.3 and 1.0.",
    ),
    key(
        "storage.write_back_bytes",
        "write-back-bytes",
        size(MIB, TIB),
        DefaultValue::UpTo { text: "32 MiB", of: "storage.journal_bytes", divisor: 4 },
        &[],
        "Write-back from the journal to segments starts when this much is in the journal alone; all of it is in memory too.",
    ),
    key(
        "storage.write_back_interval_ms",
        "write-back-interval-ms",
        whole(10, DAY_MS),
        DefaultValue::Text("10000"),
        &[],
        "Write-back starts at the latest this long after an append.",
    ),
    key(
        "storage.write_back_depth",
        "write-back-depth",
        whole(1, 1024),
        DefaultValue::Text("16"),
        &[],
        "Partitions of a reactor written back at a time.",
    ),
    key(
        "storage.disk_reserve_bytes",
        "disk-reserve-bytes",
        size(0, 64 * TIB),
        DefaultValue::Text("1 GiB"),
        &[],
        "Free space below which produce is refused while reads and deletions go on; it resumes by itself.",
    ),
    key(
        "storage.tail_bytes_max",
        "tail-bytes-max",
        size(0, 64 * TIB),
        DefaultValue::TailShare,
        &[],
        "Newest batches that one reactor keeps in memory for consumers that keep up.",
    ),
    key(
        "storage.open_files_max",
        "open-files-max",
        whole(16, 1_000_000),
        DefaultValue::Text("2048"),
        &[],
        "Segment files that one reactor keeps open.",
    ),
    key(
        "connections.max",
        "connections-max",
        whole(1, 10_000_000),
        DefaultValue::Text("65536"),
        &["max.connections"],
        "Connections at a time; more are closed as they arrive.",
    ),
    key(
        "connections.bytes_in_flight_max",
        "connection-bytes-in-flight-max",
        size(64 * KIB, 64 * GIB),
        DefaultValue::Text("16 MiB"),
        &[],
        "Bytes of one connection's requests being worked on beyond which no more is received from it; a single request may \
         be larger.",
    ),
    key(
        "connections.idle_ms_max",
        "connection-idle-ms-max",
        whole(1000, 365 * DAY_MS),
        DefaultValue::Text("600000"),
        &["connections.max.idle.ms"],
        "How long a connection may stay silent before it is closed.",
    ),
    key(
        "requests.bytes_max",
        "request-bytes-max",
        size(64 * KIB, i32::MAX as u64),
        DefaultValue::Text("100 MiB"),
        &["socket.request.max.bytes"],
        "Largest request; a larger one closes its connection.",
    ),
    key(
        "topics.auto_create",
        "auto-create-topics",
        Kind::Boolean,
        DefaultValue::Text("true"),
        &["auto.create.topics.enable"],
        "Whether a topic is created when a client that allows it asks for one that does not exist.",
    ),
    key(
        "topics.partitions_per_broker_max",
        "partitions-per-broker-max",
        whole(1, 100_000_000),
        DefaultValue::Text("100000"),
        &[],
        "Partition replicas a broker may host; requests for more are refused.",
    ),
    key(
        "log.level",
        "log-level",
        Kind::LogLevel,
        DefaultValue::Text("info"),
        &[],
        "Which log lines are written: error, warn, info, debug or trace; also by module, as in info,flumen::log=debug.",
    ),
];

impl Key {
    /// The key's variable: its name in capitals, with underscores for dots.
    pub fn environment(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.to_ascii_uppercase().replace('.', "_"))
    }

    pub(super) fn parse(&self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        match self.kind {
            Kind::Text if text.is_empty() && self.default == DefaultValue::Unset => Ok(Value::Unset),
            Kind::Text if text.is_empty() => Err("must not be empty".to_owned()),
            Kind::Text => Ok(Value::Text(text.to_owned())),
            Kind::Whole { min, max } => parse_whole(text, min, max),
            Kind::Size { min, max, multiple_of } => parse_size(text, min, max, multiple_of),
            Kind::Boolean => match text {
                "true" => Ok(Value::Boolean(true)),
                "false" => Ok(Value::Boolean(false)),
                _ => Err(format!("is true or false, not '{text}'")),
            },
            Kind::LogLevel => parse_log_level(text),
            Kind::Listeners => Ok(Value::Listeners(listeners::parse(text).map_err(|reason| format!("has {reason}"))?)),
        }
    }

    pub(super) fn default_value(&self, machine: MachineFacts, values: &Values) -> Value {
        let made = |name: &str| values.get(name).map_or(1, |(value, _)| value.whole());
        match self.default {
            DefaultValue::Unset => Value::Unset,
            DefaultValue::Text(text) => self.parse(text).expect("defaults are valid, as a test shows"),
            DefaultValue::Cores => Value::Whole((machine.cores as u64).clamp(1, 1024)),
            // Whole MiB, so that the value can be read.
            DefaultValue::HalfOfMemory => Value::Size((machine.memory_bytes / 2 / MIB * MIB).max(64 * MIB)),
            DefaultValue::TailShare => {
                let share = (made("memory") / 4).min(TAIL_BYTES_MAX) / made("reactors.count");
                Value::Size((share / MIB * MIB).max(TAIL_BYTES_MIN))
            }
            DefaultValue::UpTo { text, of, divisor } => {
                let most = self.parse(text).expect("defaults are valid, as a test shows").whole();
                Value::Size(most.min(made(of) / divisor / (4 * KIB) * (4 * KIB)))
            }
        }
    }
}

fn parse_whole(text: &str, min: u64, max: u64) -> Result<Value, String> {
    match text.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(Value::Whole(number)),
        Ok(number) => Err(format!("must be from {min} to {max}, not {number}")),
        Err(_) => Err(format!("is a whole number from {min} to {max}, not '{text}'")),
    }
}

fn parse_size(text: &str, min: u64, max: u64, multiple_of: u64) -> Result<Value, String> {
    let bytes = parse_bytes(text).map_err(|reason| format!("is a size: {reason}"))?;
    if !(min..=max).contains(&bytes) {
        return Err(format!("must be from {} to {}, not {}", Bytes(min), Bytes(max), Bytes(bytes)));
    }
    if bytes % multiple_of != 0 {
        return Err(format!("must be a multiple of {}, not {bytes} bytes", Bytes(multiple_of)));
    }
    Ok(Value::Size(bytes))
}

fn parse_log_level(text: &str) -> Result<Value, String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let is_module = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
    };
    let is_valid = |item: &str| match item.split_once('=') {
        Some((module, level)) => is_module(module) && LEVELS.contains(&level),
        None => LEVELS.contains(&item),
    };
    if text.split(',').all(|item| is_valid(item.trim())) {
        return Ok(Value::Text(text.to_owned()));
    }
    Err(format!("is one of {}, alone or as module=level between commas, not '{text}'", LEVELS.join(", ")))
}
