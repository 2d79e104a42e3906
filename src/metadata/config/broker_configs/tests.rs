use super::*;
use crate::metadata::config::topic_configs::{TOPIC_CONFIGS, find as find_topic};

#[test]
fn every_default_is_a_value_its_own_rule_allows() {
    let topics = TOPIC_CONFIGS.iter().map(|config| &config.definition);
    for definition in all().chain(DYNAMIC_ONLY).chain(topics) {
        let default = definition.default.unwrap_or_default();
        if !default.is_empty() {
            let value = definition.parse(default).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(value.to_string(), default, "{}", definition.name);
        }
    }
}

#[test]
fn the_tables_are_complete_sorted_and_documented() {
    assert_eq!(all().len(), 340);
    assert_eq!(TOPIC_CONFIGS.len(), 34);
    assert!(TOPIC_CONFIGS.is_sorted_by_key(|config| config.definition.name));
    for config in TOPIC_CONFIGS {
        assert_eq!(find_topic(config.definition.name), Some(config));
        for synonym in config.synonyms {
            let broker = find(synonym.name).unwrap_or_else(|| panic!("{} does not exist", synonym.name));
            let first = synonym == &config.synonyms[0];
            assert!(!first || broker.update == UpdateMode::ClusterWide, "{}", broker.name);
            assert!(synonym.factor > 1 || broker.kind == config.definition.kind, "{}", broker.name);
        }
    }
    for definition in all().chain(DYNAMIC_ONLY).chain(TOPIC_CONFIGS.iter().map(|config| &config.definition)) {
        let documentation = definition.documentation;
        assert!(documentation.ends_with('.') && documentation.len() > 15, "{}: {documentation}", definition.name);
    }
    assert_eq!(find_topic("internal.segment.bytes").map(|config| config.definition.kind), Some(ConfigType::Int));
    assert_eq!(find_topic("nope"), None);
}

#[test]
fn facts_that_tools_rely_on() {
    let fact = |name: &str| {
        let definition = find(name).unwrap();
        (definition.kind, definition.default, definition.update)
    };
    assert_eq!(fact("num.partitions"), (ConfigType::Int, Some("1"), UpdateMode::ReadOnly));
    assert_eq!(fact("auto.create.topics.enable"), (ConfigType::Boolean, Some("true"), UpdateMode::ReadOnly));
    assert_eq!(fact("log.retention.ms"), (ConfigType::Long, None, UpdateMode::ClusterWide));
    assert_eq!(fact("listeners"), (ConfigType::List, Some("PLAINTEXT://:9092"), UpdateMode::PerBroker));
    assert_eq!(fact("sasl.jaas.config"), (ConfigType::Password, None, UpdateMode::PerBroker));
    assert_eq!(fact("offsets.topic.replication.factor"), (ConfigType::Short, Some("3"), UpdateMode::ReadOnly));
}

#[test]
fn listener_prefixes_are_taken_off() {
    assert_eq!(listener_config("listener.name.internal.ssl.key.password"), Some("ssl.key.password"));
    let of_mechanism = "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config";
    assert_eq!(listener_config(of_mechanism), Some("sasl.jaas.config"));
    assert_eq!(listener_config("listener.name.internal"), None);
    assert_eq!(listener_config("ssl.key.password"), None);
    assert_eq!(find_base(of_mechanism).map(|definition| definition.name), Some("sasl.jaas.config"));
    assert!(needs_listener("ssl.key.password") && !needs_listener("listener.name.a.ssl.key.password"));
    assert!(is_per_broker("listener.name.a.ssl.key.password") && !is_per_broker("listener.name.a.max.connections"));
}

#[test]
fn units_are_synonyms_of_each_other() {
    assert_eq!(synonyms("log.roll.hours"), ["log.roll.ms", "log.roll.hours"]);
    assert_eq!(synonyms("log.retention.ms").len(), 3);
    assert_eq!(synonyms("log.flush.scheduler.interval.ms"), ["log.flush.scheduler.interval.ms"]);
    assert_eq!(synonyms("log.flush.interval.ms").len(), 2);
    assert_eq!(synonyms("listener.name.a.max.connections"), ["listener.name.a.max.connections", "max.connections"]);
}
