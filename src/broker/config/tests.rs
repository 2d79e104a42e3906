use super::listeners::HostPort;
use super::*;
use crate::base::units::{GIB, KIB, MIB};
use crate::metadata::config::broker_configs;
use crate::metadata::config::layers::{ConfigSource, Layers};
use crate::metadata::image::Image;
use std::collections::BTreeSet;

const MACHINE: MachineFacts = MachineFacts { cores: 4, memory_bytes: 16 * GIB };

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn load(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(Some(("f.toml", file)), pairs(environment).into_iter(), &pairs(flags), MACHINE)
}

fn good(file: &str) -> Config {
    load(file, &[], &[]).unwrap_or_else(|error| panic!("{error}"))
}

/// What a file is refused with, one line a problem.
fn refused(file: &str) -> String {
    load(file, &[], &[]).expect_err("refused").to_string()
}

fn refused_variable(name: &str, text: &str) -> String {
    load("", &[(name, text)], &[]).expect_err("refused").to_string()
}

fn refused_flag(name: &str, text: &str) -> String {
    load("", &[], &[(name, text)]).expect_err("refused").to_string()
}

#[test]
fn without_a_file_the_defaults_hold() {
    let config = Config::load(None, std::iter::empty(), &[], MACHINE).unwrap();
    assert_eq!((config.node_id, config.rack.as_deref()), (1, None));
    assert_eq!(config.data_directory, PathBuf::from("./data"));
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].to_string(), "PLAINTEXT=127.0.0.1:9092");
    assert_eq!((config.reactors, config.pin_cores, config.memory_bytes), (4, true, 8 * GIB));
    let storage = &config.storage;
    assert_eq!((storage.journal_bytes, storage.journal_file_bytes), (GIB, 64 * MIB));
    assert_eq!((storage.groups_in_flight_max, storage.group_bytes_max), (4, MIB as u32));
    assert_eq!(storage.direct_run_bytes_min, (32 * KIB) as u32);
    assert_eq!(storage.write_back_interval, Duration::from_secs(10));
    assert_eq!((storage.disk_reserve_bytes, storage.tail_bytes_max), (GIB, 16 * MIB));
    assert_eq!((config.request_bytes_max, config.connection_idle_max), (100 * MIB, Duration::from_secs(600)));
    assert!(config.auto_create_topics);
    assert_eq!(config.log_level, "info");
}

#[test]
fn defaults_follow_the_machine_within_bounds() {
    let load = |cores, memory_bytes| {
        let machine = MachineFacts { cores, memory_bytes };
        let config = Config::load(None, std::iter::empty(), &[], machine).unwrap();
        (config.reactors, config.memory_bytes, config.storage.tail_bytes_max)
    };
    assert_eq!(load(0, 0), (1, 64 * MIB, 16 * MIB));
    assert_eq!(load(2, 4 * GIB + 4097), (2, 2 * GIB, 16 * MIB));
    assert_eq!(load(1, 256 * MIB), (1, 128 * MIB, 32 * MIB));
    let config = good("memory = \"1 GiB\"\n[reactors]\ncount = 2\n");
    assert_eq!(config.storage.tail_bytes_max, 16 * MIB);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = "[node]\nid = 2\n[data]\ndirectory = \"/file\"\n[reactors]\ncount = 2\n";
    let environment = [("FLUMEN_DATA_DIRECTORY", "/environment"), ("FLUMEN_NODE_ID", "3"), ("PATH", "/bin")];
    let config = load(file, &environment, &[("node-id", "4")]).unwrap();
    assert_eq!((config.node_id, config.reactors), (4, 2));
    assert_eq!(config.data_directory, PathBuf::from("/environment"));
    let lines = config.print().join("\n");
    assert!(lines.contains("id = 4  # flag --node-id"), "{lines}");
    assert!(lines.contains("directory = \"/environment\"  # environment FLUMEN_DATA_DIRECTORY"), "{lines}");
    assert!(lines.contains("count = 2  # f.toml:6"), "{lines}");
    assert!(lines.contains("pin_cores = true  # default"), "{lines}");
}

#[test]
fn every_key_is_set_by_all_three_ways_alike() {
    for key in KEYS {
        let text = match key.kind {
            keys::Kind::Text => "some-text",
            keys::Kind::Whole { .. } => "17",
            keys::Kind::Size { .. } => "64 MiB",
            keys::Kind::Boolean => "false",
            keys::Kind::LogLevel => "debug",
            keys::Kind::Listeners => "A=0.0.0.0:1",
        };
        // Numbers below a key's range, and sizes that would not fit together, are set to what fits.
        let text = match key.name {
            "connections.idle_ms_max" => "5000",
            "storage.journal_bytes" => "2 GiB",
            "storage.group_bytes_max" | "storage.direct_run_bytes_min" => "64 KiB",
            _ => text,
        };
        let quoted = match key.kind {
            keys::Kind::Whole { .. } | keys::Kind::Boolean => text.to_owned(),
            _ => format!("\"{text}\""),
        };
        let file = load(&format!("{} = {quoted}", key.name), &[], &[]);
        let variable = load("", &[(&key.environment(), text)], &[]);
        let flag = load("", &[], &[(key.flag, text)]);
        let value = |config: Result<Config, ConfigError>| {
            let config = config.unwrap_or_else(|error| panic!("{}: {error}", key.name));
            let (_, name) = key.name.split_once('.').unwrap_or(("", key.name));
            let start = format!("{name} = ");
            let mut lines = config.print().iter().filter(|line| line.starts_with(&start) && !line.ends_with("default"));
            lines.next().unwrap().split("  # ").next().unwrap().to_owned()
        };
        let (file, variable, flag) = (value(file), value(variable), value(flag));
        assert_eq!(file, variable, "{}", key.name);
        assert_eq!(file, flag, "{}", key.name);
    }
}

#[test]
fn what_is_printed_reads_back_as_the_same_configuration() {
    let file = "memory = 1234567890\nlisten = \"A=0.0.0.0:1@h:2,B=[::1]:3@[::2]:4\"\nnode.rack = \"a \\\"b\\\" c\"\n\
                [kafka]\nnum.partitions = 3\nlog.cleanup.policy = [\"compact\", \"delete\"]\n";
    let first = good(file);
    let second = good(&first.print().join("\n"));
    let without_origin = |config: &Config| {
        config.print().iter().map(|line| line.split("  # ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(without_origin(&first), without_origin(&second));
    assert!(first.kafka.iter().all(|(name, text)| second.kafka.get(name) == Some(text)));
    assert_eq!(first.listeners, second.listeners);
    assert_eq!(second.memory_bytes, 1_234_567_890);
}

#[test]
fn unknown_names_are_refused_with_their_line_and_the_nearest_name() {
    assert_eq!(
        refused("\n[data]\ndirectry = \"x\"\n"),
        "f.toml:3: unknown key 'data.directry'; did you mean 'data.directory'?"
    );
    assert_eq!(refused("[dta]\n"), "f.toml:1: unknown table 'dta'; did you mean 'data'?");
    assert_eq!(refused("[data.more]\n"), "f.toml:1: unknown table 'data.more'; did you mean 'data'?");
    assert_eq!(refused("zzz = 1\n"), "f.toml:1: unknown key 'zzz'");
    assert_eq!(refused("num.partitions = 3\n"), "f.toml:1: unknown table 'num'");
    assert_eq!(
        refused("\"num.partitions\" = 3\n"),
        "f.toml:1: unknown key 'num.partitions': properties of Kafka stand in the table [kafka]"
    );
    assert_eq!(
        refused_variable("FLUMEN_DATA_DIRECTRY", "x"),
        "environment FLUMEN_DATA_DIRECTRY: unknown variable; did you mean 'FLUMEN_DATA_DIRECTORY'?"
    );
    assert_eq!(
        refused_variable("FLUMEN_KAFKA_NUM_PARTITION", "1"),
        "environment FLUMEN_KAFKA_NUM_PARTITION: unknown variable; did you mean 'FLUMEN_KAFKA_NUM_PARTITIONS'?"
    );
    assert_eq!(refused_variable("FLUMEN_QQQ", "x"), "environment FLUMEN_QQQ: unknown variable");
    assert_eq!(refused_flag("memry", "1"), "flag --memry: unknown flag; did you mean 'memory'?");
}

#[test]
fn what_an_orchestrator_says_about_services_is_not_configuration() {
    let links = [
        ("FLUMEN_SERVICE_HOST", "10.0.0.1"),
        ("FLUMEN_SERVICE_PORT", "9092"),
        ("FLUMEN_SERVICE_PORT_KAFKA", "9092"),
        ("FLUMEN_PORT", "tcp://10.0.0.1:9092"),
        ("FLUMEN_PORT_9092_TCP", "tcp://10.0.0.1:9092"),
        ("FLUMEN_PORT_9092_TCP_ADDR", "10.0.0.1"),
        ("FLUMEN_HEADLESS_SERVICE_HOST", "10.0.0.1"),
        ("FLUMEN_CONFIG", "/etc/flumen.toml"),
    ];
    load("", &links, &[]).unwrap();
    for key in KEYS {
        assert!(!is_service_link(&key.environment(), ""), "{}", key.name);
    }
    assert!(kafka::variables().all(|name| !is_service_link(&name, "")));
}

#[test]
fn what_is_set_twice_is_refused() {
    let twice = refused("[node]\nid = 1\nid = 2\n");
    assert!(twice.starts_with("f.toml:3: not valid TOML: duplicate key"), "{twice}");
    assert_eq!(refused("\"node.id\" = 2\n[node]\nid = 1\n"), "f.toml:3: 'node.id' is set already, at f.toml:1");
    assert_eq!(
        refused("[kafka]\n\"num.partitions\" = 1\nnum.partitions = 2\n"),
        "f.toml:3: 'kafka.num.partitions' is set already, at f.toml:2"
    );
    let flags = [("memory", "1GiB"), ("memory", "2GiB")];
    assert_eq!(load("", &[], &flags).unwrap_err().to_string(), "flag --memory: given twice");
    let flags = [("kafka", "num.partitions=1"), ("kafka", "num.partitions=2")];
    assert_eq!(load("", &[], &flags).unwrap_err().to_string(), "flag --kafka: 'num.partitions' is given twice");
}

#[test]
fn bad_values_are_refused_with_what_is_wanted() {
    let cases = [
        ("[node]\nid = -1\n", "f.toml:2: 'node.id' is a whole number from 0 to 2147483647, not '-1'"),
        ("[node]\nid = 3000000000\n", "f.toml:2: 'node.id' must be from 0 to 2147483647, not 3000000000"),
        ("[node]\nid = \"1\"\n", "f.toml:2: 'node.id' is a whole number, without quotes"),
        ("[data]\ndirectory = \"\"\n", "f.toml:2: 'data.directory' must not be empty"),
        ("[data]\ndirectory = 5\n", "f.toml:2: 'data.directory' is a text: put it in quotes"),
        ("memory = true\n", "f.toml:1: 'memory' is a size: a number of bytes, or a text such as \"64 MiB\""),
        ("memory = \"1 MiB\"\n", "f.toml:1: 'memory' must be from 64 MiB to 64 TiB, not 1 MiB"),
        ("memory = \"lots\"\n", "f.toml:1: 'memory' is a size: 'lots' is no unit of size: use B, KiB, MiB, GiB or TiB"),
        ("[reactors]\npin_cores = \"yes\"\n", "f.toml:2: 'reactors.pin_cores' is true or false, without quotes"),
        (
            "[storage]\njournal_file_bytes = 5000001\n",
            "f.toml:2: 'storage.journal_file_bytes' must be a multiple of 4 KiB, not 5000001 bytes",
        ),
        (
            "[log]\nlevel = \"loud\"\n",
            "f.toml:2: 'log.level' is one of error, warn, info, debug, trace, off, alone or as module=level between \
             commas, not 'loud'",
        ),
    ];
    for (file, expected) in cases {
        assert_eq!(refused(file), expected);
    }
    assert_eq!(
        refused_variable("FLUMEN_REACTORS_PIN_CORES", "1"),
        "environment FLUMEN_REACTORS_PIN_CORES: 'reactors.pin_cores' is true or false, not '1'"
    );
    assert_eq!(refused_flag("reactors", "0"), "flag --reactors: 'reactors.count' must be from 1 to 1024, not 0");
    assert_eq!(good("[log]\nlevel = \"info,flumen::log=debug\"\n").log_level, "info,flumen::log=debug");
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let file = "[data]\ndirectry = \"x\"\n[node]\nid = \"a\"\n[kafka]\nnum.partitions = \"x\"\n";
    let error = load(file, &[("FLUMEN_MEMORY", "?")], &[]).unwrap_err();
    let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 4);
    for (line, start) in lines.iter().zip(["f.toml:2: ", "f.toml:4: ", "f.toml:6: ", "environment FLUMEN_MEMORY: "]) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn broken_files_are_refused_with_their_line() {
    assert!(refused("[node]\nid = \n").starts_with("f.toml:2: not valid TOML: "));
    assert!(refused("a b\n").starts_with("f.toml:1: not valid TOML: "));
    assert!(refused("[node\n").starts_with("f.toml:1: not valid TOML: "));
    assert!(refused("\u{0}").starts_with("f.toml:1: not valid TOML: "));
}

#[test]
fn sizes_must_fit_together() {
    assert_eq!(
        refused("[storage]\njournal_bytes = \"64 MiB\"\njournal_file_bytes = \"64 MiB\"\n"),
        "f.toml:3: 'storage.journal_file_bytes' must be at most half of storage.journal_bytes: a journal is recycled a file at a time"
    );
    assert_eq!(
        refused("[storage]\ngroup_bytes_max = \"64 MiB\"\n"),
        "f.toml:2: 'storage.group_bytes_max' must be at most half of storage.journal_file_bytes: a group lies within one \
         file"
    );
    assert_eq!(
        refused("[storage]\nwrite_back_bytes = \"1 GiB\"\n"),
        "f.toml:2: 'storage.write_back_bytes' must be at most half of storage.journal_bytes: beyond that appends would wait \
         for write-back"
    );
}

#[test]
fn the_defaults_of_a_small_journal_are_small() {
    let storage = good("[storage]\njournal_bytes = \"16 MiB\"\n").storage;
    assert_eq!((storage.journal_file_bytes, storage.write_back_bytes), (4 * MIB, 4 * MIB));
    assert_eq!(storage.group_bytes_max, MIB as u32);
    let storage = good("[storage]\njournal_bytes = \"16 MiB\"\njournal_file_bytes = \"1 MiB\"\n").storage;
    assert_eq!(storage.group_bytes_max, (512 * KIB) as u32);
}

fn listeners(text: &str) -> Vec<Listener> {
    load("", &[("FLUMEN_LISTEN", text)], &[]).unwrap_or_else(|error| panic!("{error}")).listeners
}

#[test]
fn listeners_have_names_addresses_and_what_clients_are_told() {
    let plain = listeners("0.0.0.0:9092");
    assert_eq!((plain[0].name.as_str(), plain[0].advertised.as_ref()), ("PLAINTEXT", None));
    let two = listeners("internal=10.0.0.1:9092, EXTERNAL=[::]:9094@broker.example.com:19094");
    assert_eq!((two[0].name.as_str(), two[0].address.to_string().as_str()), ("INTERNAL", "10.0.0.1:9092"));
    assert_eq!(two[1].address.to_string(), "[::]:9094");
    assert_eq!(two[1].advertised, Some(HostPort { host: "broker.example.com".into(), port: 19094 }));
    assert_eq!(listeners("localhost:0")[0].address.to_string(), "127.0.0.1:0");
    let six = listeners("A=[::1]:1@[fe80::1]:2");
    assert_eq!(six[0].advertised.as_ref().unwrap().to_string(), "[fe80::1]:2");
}

#[test]
fn listeners_stand_in_a_table_too() {
    let file = "[listen]\nINTERNAL = \"10.0.0.1:9092\"\nEXTERNAL = { address = \"0.0.0.0:9094\", advertised = \"h:1\" }\n\
                [listen.THIRD]\naddress = \"0.0.0.0:9095\"\n";
    let config = good(file);
    let texts: Vec<_> = config.listeners.iter().map(Listener::to_string).collect();
    assert_eq!(texts, ["INTERNAL=10.0.0.1:9092", "EXTERNAL=0.0.0.0:9094@h:1", "THIRD=0.0.0.0:9095"]);
    assert!(config.print().iter().any(|line| line.ends_with("# f.toml:1")));
}

#[test]
fn listeners_that_cannot_be_are_refused() {
    let refusal = |text: &str| {
        let message = refused_variable("FLUMEN_LISTEN", text);
        message.strip_prefix("environment FLUMEN_LISTEN: 'listen' has ").unwrap_or(&message).to_owned()
    };
    let no_address = "which is no address to listen on: write IP:PORT, such as 0.0.0.0:9092 or [::]:9092";
    assert_eq!(refusal("9092"), format!("'9092', {no_address}"));
    assert_eq!(refusal(""), format!("'', {no_address}"));
    assert_eq!(refusal("A=h:9092"), format!("'h:9092', {no_address}"));
    assert_eq!(refusal("A B=0.0.0.0:1"), "a listener called 'A B': write at most 64 letters, digits, '_' and '-'");
    let no_host = "which is no address for clients: write HOST:PORT";
    assert_eq!(refusal("0.0.0.0:1@h"), format!("'h', {no_host}"));
    assert_eq!(refusal("0.0.0.0:1@h:0"), format!("'h:0', {no_host}"));
    assert_eq!(refusal("0.0.0.0:1@a b:1"), format!("'a b:1', {no_host}"));
    assert!(refusal("0.0.0.0:1@0.0.0.0:1").contains("cannot connect to all addresses"));
    assert_eq!(refusal("A=0.0.0.0:1,a=0.0.0.0:2"), "two listeners called 'A'");
    assert_eq!(refusal("A=0.0.0.0:1,B=0.0.0.0:1"), "two listeners on 0.0.0.0:1");
    let many: Vec<_> = (1..=17).map(|at| format!("L{at}=0.0.0.0:{at}")).collect();
    assert_eq!(refusal(&many.join(",")), "17 listeners, more than 16");

    let table = "[listen]\nA = 5\nB = \"0.0.0.0:1\"\nC = \"0.0.0.0:1\"\n[listen.D]\nadress = \"0.0.0.0:2\"\n\
                 [listen.E]\nadvertised = \"h:1\"\n";
    let expected = [
        "f.toml:2: 'listen' has 'A', which is neither an address nor a table",
        "f.toml:4: 'listen' has two listeners on 0.0.0.0:1",
        "f.toml:6: unknown key 'listen.D.adress'; did you mean 'address'?",
        "f.toml:7: 'listen.E' has no address",
    ];
    assert_eq!(refused(table), expected.join("\n"));
}

#[test]
fn properties_of_kafka_are_taken_by_their_names() {
    let file = "[kafka]\nnum.partitions = 0x10\n\"log.retention.hours\" = 1_000\nlog.cleanup.policy = \"compact\"\n\
                log.preallocate = true\nlog.cleaner.min.cleanable.ratio = 0.25\n";
    let environment = [("FLUMEN_KAFKA_LOG_RETENTION_HOURS", "7")];
    let config =
        load(file, &environment, &[("kafka", "num.partitions=5"), ("kafka", "min.insync.replicas = 2")]).unwrap();
    let property = |name: &str| config.kafka.get(name).map(String::as_str);
    assert_eq!(property("num.partitions"), Some("5"));
    assert_eq!(property("log.retention.hours"), Some("7"));
    assert_eq!(property("log.preallocate"), Some("true"));
    assert_eq!(property("log.cleaner.min.cleanable.ratio"), Some("0.25"));
    assert_eq!(property("min.insync.replicas"), Some("2"));
    assert!(config.print().iter().any(|line| line == "\"log.cleanup.policy\" = \"compact\"  # f.toml:4"));
    assert_eq!(Layers::new(&Image::empty(), &config.kafka, 1).whole("num.partitions"), 5);
}

#[test]
fn properties_that_cannot_be_are_refused() {
    let cases = [
        ("num.partition = 3", "unknown property 'num.partition'; did you mean 'num.partitions'?"),
        ("num.partitions = \"x\"", "Invalid value x for configuration num.partitions: Not a number of type INT"),
        ("num.partitions = 0", "Invalid value 0 for configuration num.partitions: Value must be at least 1"),
        ("num.partitions = 1979-05-27", "'num.partitions' is a text, a number, true, false or a list of texts"),
        ("listeners = \"PLAINTEXT://:9092\"", "'listeners' has a key of its own here: set 'listen'"),
        ("log.dirs = \"/x\"", "'log.dirs' has a key of its own here: set 'data.directory'"),
        (
            "socket.request.max.bytes = 5",
            "'socket.request.max.bytes' has a key of its own here: set 'requests.bytes_max'",
        ),
        (
            "authorizer.class.name = \"x\"",
            "'authorizer.class.name' would have no effect: there is no authorization yet",
        ),
        (
            "\"listener.name.a.ssl.keystore.location\" = \"x\"",
            "'listener.name.a.ssl.keystore.location' would have no effect: there is no TLS yet",
        ),
        (
            "log.cleaner.min.compaction.lag.ms = 5\nlog.cleaner.max.compaction.lag.ms = 4",
            "'log.cleaner.min.compaction.lag.ms' must be at most 'log.cleaner.max.compaction.lag.ms'",
        ),
        (
            "group.max.session.timeout.ms = 5000",
            "'group.min.session.timeout.ms' must be at most 'group.max.session.timeout.ms'",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(refused(&format!("[kafka]\n{line}\n")), format!("f.toml:2: {expected}"));
    }
    assert_eq!(refused_flag("kafka", "x"), "flag --kafka: 'x' is not of the form name=value");
}

#[test]
fn tools_see_flumens_own_keys_under_kafkas_names() {
    let config = good(
        "listen = \"A=0.0.0.0:1@h:2,B=127.0.0.1:3\"\nnode.rack = \"r\"\n[topics]\nauto_create = true\n\
         [requests]\nbytes_max = \"1 MiB\"\n",
    );
    let property = |name: &str| config.kafka.get(name).map(String::as_str);
    assert_eq!((property("node.id"), property("broker.id")), (Some("1"), Some("1")));
    assert_eq!(property("listeners"), Some("A://0.0.0.0:1,B://127.0.0.1:3"));
    assert_eq!(property("advertised.listeners"), Some("A://h:2,B://127.0.0.1:3"));
    assert_eq!(property("listener.security.protocol.map"), Some("A:PLAINTEXT,B:PLAINTEXT"));
    assert_eq!(good("").kafka.get("listener.security.protocol.map"), None);
    assert_eq!((property("log.dirs"), property("log.dir"), property("broker.rack")), (Some("./data"), None, Some("r")));
    assert_eq!(property("socket.request.max.bytes"), Some("1048576"));
    assert_eq!(property("auto.create.topics.enable"), Some("true"));
    assert_eq!(property("connections.max.idle.ms"), None, "the same default as Kafka's");
    assert_eq!(property("max.connections"), Some("65536"), "another default than Kafka's");
    let image = Image::empty();
    let layers = Layers::new(&image, &config.kafka, 1);
    let entries =
        crate::metadata::config::describe::describe_broker(&layers, crate::metadata::config::describe::Filter::All);
    let source = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap().source;
    assert_eq!(source("listeners"), ConfigSource::StaticBroker);
    assert_eq!(source("num.partitions"), ConfigSource::Default);
}

#[test]
fn the_table_of_keys_is_sound() {
    let (mut names, mut flags, mut variables) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for key in KEYS {
        assert!(
            names.insert(key.name) && flags.insert(key.flag) && variables.insert(key.environment()),
            "{}",
            key.name
        );
        assert!(key.documentation.ends_with('.'), "{}", key.name);
        assert!(key.kafka.iter().all(|name| broker_configs::find(name).is_some()), "{}", key.name);
        if let keys::DefaultValue::Text(text) = key.default {
            key.parse(text).unwrap_or_else(|error| panic!("{}: {error}", key.name));
        }
    }
    let mut tables: Vec<&str> =
        KEYS.iter().map(|key| key.name.split_once('.').map_or("", |(table, _)| table)).collect();
    tables.dedup();
    assert_eq!(tables.len(), tables.iter().collect::<BTreeSet<_>>().len(), "keys of a table stand together");
    assert_eq!(tables[0], "", "keys without a table come first, or the printed file would put them into one");
    for name in kafka::variables() {
        assert!(variables.insert(name.clone()), "{name} is two properties' variable, or a key's");
    }
}

#[test]
fn the_reference_names_every_key() {
    let text = reference();
    for key in KEYS {
        assert!(text.contains(&format!("{}  (--{}, {})", key.name, key.flag, key.environment())));
    }
    assert!(text.contains("A size from 64 MiB to 64 TiB. Default: half of the machine's memory."));
}
