//! Descriptions held to what Apache Kafka 4.3.1 answers, line by line (`testdata/README.md`).

use super::broker_configs;
use super::describe::{ConfigEntry, Filter, describe_broker, describe_default_broker, describe_topic};
use super::layers::{ConfigSource, Layers};
use crate::metadata::delta::Delta;
use crate::metadata::image::{Configs, Image};
use crate::metadata::record::{ConfigResource, MetadataRecord};

const BROKER: &str = include_str!("testdata/broker.tsv");
const DEFAULT_BROKER: &str = include_str!("testdata/default_broker.tsv");
const TOPIC: &str = include_str!("testdata/topic.tsv");
const PROPERTIES: &str = include_str!("testdata/server.properties");

fn image() -> Image {
    let settings = [
        (ConfigResource::Broker(1), "log.retention.ms", "5000"),
        (ConfigResource::Broker(1), "log.cleanup.policy", "delete"),
        (ConfigResource::Broker(1), "nope.foo", "3"),
        (ConfigResource::Broker(1), "leader.replication.throttled.rate", "5"),
        (ConfigResource::DefaultBroker, "log.retention.ms", "60000"),
        (ConfigResource::DefaultBroker, "num.io.threads", "9"),
        (ConfigResource::DefaultBroker, "follower.replication.throttled.rate", "5"),
        (ConfigResource::DefaultBroker, "min.insync.replicas", "1"),
    ];
    let records = settings.map(|(resource, name, value)| MetadataRecord::Config {
        resource,
        name: name.to_owned(),
        value: Some(value.to_owned()),
    });
    Delta::apply(&Image::empty(), &records, 0, 0).unwrap().0
}

/// The recorded broker's static properties. `broker.id` is what Kafka makes of `node.id`.
fn statics() -> Configs {
    let pairs = PROPERTIES.lines().filter_map(|line| line.split_once('='));
    let mut statics: Configs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    statics.insert("broker.id".to_owned(), "1".to_owned());
    statics
}

fn topic() -> Configs {
    let configs = [
        ("cleanup.policy", "delete, compact"),
        ("retention.ms", " 5 "),
        ("min.cleanable.dirty.ratio", "0.70"),
        ("preallocate", "TRUE"),
        ("min.insync.replicas", "1"),
        ("leader.replication.throttled.replicas", "0:1, 1:1"),
        ("segment.jitter.ms", "+7"),
    ];
    configs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn source(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::DynamicTopic => "DYNAMIC_TOPIC_CONFIG",
        ConfigSource::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
        ConfigSource::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        ConfigSource::StaticBroker => "STATIC_BROKER_CONFIG",
        ConfigSource::Default => "DEFAULT_CONFIG",
        ConfigSource::DynamicGroup => "DYNAMIC_GROUP_CONFIG",
    }
}

/// An entry as a line of the recording.
fn line(entry: &ConfigEntry) -> String {
    let synonyms = entry.synonyms.iter().map(|synonym| {
        let value = synonym.value.as_deref().unwrap_or("null");
        format!("{}:{}={value}", source(synonym.source), synonym.name)
    });
    [
        entry.name.clone(),
        entry.value.clone().unwrap_or_else(|| "null".to_owned()),
        source(entry.source).to_owned(),
        if entry.read_only { "RO" } else { "RW" }.to_owned(),
        if entry.sensitive { "S" } else { "-" }.to_owned(),
        format!("{:?}", entry.kind).to_uppercase(),
        synonyms.collect::<Vec<_>>().join(" "),
    ]
    .join("\t")
}

fn check(entries: &[ConfigEntry], recorded: &str) {
    let lines: Vec<String> = entries.iter().map(line).collect();
    for (got, expected) in lines.iter().zip(recorded.lines()) {
        assert_eq!(got, expected);
    }
    assert_eq!(lines.len(), recorded.lines().count());
}

#[test]
fn a_broker_is_described_as_kafka_describes_it() {
    let (image, statics) = (image(), statics());
    let layers = Layers::new(&image, &statics, 1);
    let entries = describe_broker(&layers, Filter::All);
    check(&entries, BROKER);
    let unknown = entries.iter().filter(|entry| broker_configs::find_base(&entry.name).is_none());
    assert_eq!(unknown.map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["nope.foo", "unknown.key"]);
}

#[test]
fn cluster_wide_defaults_are_described_as_kafka_describes_them() {
    let (image, statics) = (image(), statics());
    check(&describe_default_broker(&Layers::new(&image, &statics, 1), Filter::All), DEFAULT_BROKER);
}

#[test]
fn a_topic_is_described_as_kafka_describes_it_and_with_one_config_more() {
    let (image, statics) = (image(), statics());
    let mut entries = describe_topic(&Layers::new(&image, &statics, 1), &topic(), Filter::All);
    assert_eq!(entries.pop().map(|entry| entry.name).as_deref(), Some("write.caching"));
    check(&entries, TOPIC);
}
