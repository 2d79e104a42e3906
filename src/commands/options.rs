//! The flags of the configuration: one a key, made from the table of keys.

use clap::{Arg, ArgAction, ArgMatches, Command};
use flumen::broker::config::keys::KEYS;
use flumen::broker::config::{Config, MachineFacts};
use flumen::io::topology;

/// The flag that names the configuration's file, and the variable that says the same.
const FILE_FLAG: &str = "config";
const FILE_VARIABLE: &str = "FLUMEN_CONFIG";
/// The flag that sets one of Kafka's properties.
const KAFKA_FLAG: &str = "kafka";

/// Adds the flags to `command`.
pub fn add(command: Command) -> Command {
    let file = Arg::new(FILE_FLAG)
        .long(FILE_FLAG)
        .value_name("FILE")
        .help(format!("The configuration's file (TOML); also by {FILE_VARIABLE}"));
    let kafka = Arg::new(KAFKA_FLAG)
        .long(KAFKA_FLAG)
        .value_name("NAME=VALUE")
        .action(ArgAction::Append)
        .help("A broker property by its Kafka name; may be given several times");
    KEYS.iter().fold(command.arg(file).arg(kafka), |command, key| {
        let help = format!("{} [environment: {}]", key.documentation, key.environment());
        command.arg(Arg::new(key.flag).long(key.flag).value_name("VALUE").help(help))
    })
}

/// The configuration that flags, environment and file make together.
///
/// # Errors
/// Everything that is wrong with it, a line each.
pub fn load(matches: &ArgMatches) -> Result<Config, String> {
    let named = matches.get_one::<String>(FILE_FLAG).cloned();
    let path = named.or_else(|| std::env::var(FILE_VARIABLE).ok()).filter(|path| !path.is_empty());
    let text = match &path {
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?),
        None => None,
    };
    let mut flags = Vec::new();
    for key in KEYS {
        let given = matches.get_one::<String>(key.flag);
        flags.extend(given.map(|value| (key.flag.to_owned(), value.clone())));
    }
    let kafka = matches.get_many::<String>(KAFKA_FLAG).into_iter().flatten();
    flags.extend(kafka.map(|value| (KAFKA_FLAG.to_owned(), value.clone())));
    let machine =
        MachineFacts { cores: topology::available_cores().len(), memory_bytes: topology::memory_total_bytes() };
    let file = path.as_deref().zip(text.as_deref());
    Config::load(file, std::env::vars(), &flags, machine).map_err(|error| error.to_string())
}
