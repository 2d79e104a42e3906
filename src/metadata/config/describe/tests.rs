use super::*;
use crate::metadata::delta::Delta;
use crate::metadata::image::Image;
use crate::metadata::record::{ConfigResource, MetadataRecord};

fn configs(pairs: &[(&str, &str)]) -> Configs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The cluster from which Apache Kafka 4.3.1 gave the answers below.
fn image() -> Image {
    let settings = [
        (ConfigResource::Broker(1), "log.retention.ms", "5000"),
        (ConfigResource::Broker(1), "log.cleanup.policy", "delete"),
        (ConfigResource::Broker(1), "nope.foo", "3"),
        (ConfigResource::Broker(1), "leader.replication.throttled.rate", "5"),
        (ConfigResource::DefaultBroker, "log.retention.ms", "60000"),
        (ConfigResource::DefaultBroker, "min.insync.replicas", "1"),
        (ConfigResource::DefaultBroker, "num.io.threads", "9"),
    ];
    let records = settings.map(|(resource, name, value)| MetadataRecord::Config {
        resource,
        name: name.to_owned(),
        value: Some(value.to_owned()),
    });
    Delta::apply(&Image::empty(), &records, 0, 0).unwrap().0
}

fn source(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::DynamicTopic => "DYNAMIC_TOPIC_CONFIG",
        ConfigSource::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
        ConfigSource::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        ConfigSource::StaticBroker => "STATIC_BROKER_CONFIG",
        ConfigSource::Default => "DEFAULT_CONFIG",
    }
}

/// An entry as Kafka's own admin client shows it: value, source, read-only or writable, secret or not, type, synonyms.
fn shown(entries: &[ConfigEntry], name: &str) -> String {
    let entry = entries.iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("{name} is not listed"));
    let null = || "null".to_owned();
    let synonyms = entry.synonyms.iter().map(|synonym| {
        let value = synonym.value.clone().unwrap_or_else(null);
        format!("{}:{}={value}", source(synonym.source), synonym.name)
    });
    [
        entry.value.clone().unwrap_or_else(null),
        source(entry.source).to_owned(),
        if entry.read_only { "RO" } else { "RW" }.to_owned(),
        if entry.sensitive { "S" } else { "-" }.to_owned(),
        format!("{:?}", entry.kind).to_uppercase(),
    ]
    .into_iter()
    .chain(synonyms)
    .collect::<Vec<_>>()
    .join(" ")
}

fn check(entries: &[ConfigEntry], expected: &[(&str, &str)]) {
    for (name, answer) in expected {
        assert_eq!(shown(entries, name), *answer, "{name}");
    }
}

#[test]
fn a_topic_is_described_as_kafka_describes_it() {
    let (image, statics) = (image(), configs(&[("log.retention.minutes", "5000")]));
    let layers = Layers::new(&image, &statics, 1);
    let topic = configs(&[
        ("cleanup.policy", "delete, compact"),
        ("retention.ms", " 5 "),
        ("min.cleanable.dirty.ratio", "0.70"),
        ("preallocate", "TRUE"),
        ("min.insync.replicas", "1"),
        ("leader.replication.throttled.replicas", "0:1, 1:1"),
        ("segment.jitter.ms", "+7"),
        ("internal.segment.bytes", "100"),
    ]);
    let entries = describe_topic(&layers, &topic, Filter::All);
    let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert!(names.is_sorted());
    assert_eq!(names.len(), 34);
    check(
        &entries,
        &[
            (
                "cleanup.policy",
                "delete,compact DYNAMIC_TOPIC_CONFIG RW - LIST DYNAMIC_TOPIC_CONFIG:cleanup.policy=delete,compact \
                 DYNAMIC_BROKER_CONFIG:log.cleanup.policy=delete DEFAULT_CONFIG:log.cleanup.policy=delete",
            ),
            (
                "leader.replication.throttled.replicas",
                "0:1,1:1 DYNAMIC_TOPIC_CONFIG RW - LIST \
                 DYNAMIC_TOPIC_CONFIG:leader.replication.throttled.replicas=0:1,1:1",
            ),
            (
                "min.cleanable.dirty.ratio",
                "0.7 DYNAMIC_TOPIC_CONFIG RW - DOUBLE DYNAMIC_TOPIC_CONFIG:min.cleanable.dirty.ratio=0.7 \
                 DEFAULT_CONFIG:log.cleaner.min.cleanable.ratio=0.5",
            ),
            (
                "min.insync.replicas",
                "1 DYNAMIC_TOPIC_CONFIG RW - INT DYNAMIC_TOPIC_CONFIG:min.insync.replicas=1 \
                 DYNAMIC_DEFAULT_BROKER_CONFIG:min.insync.replicas=1 DEFAULT_CONFIG:min.insync.replicas=1",
            ),
            (
                "preallocate",
                "true DYNAMIC_TOPIC_CONFIG RW - BOOLEAN DYNAMIC_TOPIC_CONFIG:preallocate=true \
                 DEFAULT_CONFIG:log.preallocate=false",
            ),
            (
                "retention.ms",
                "5 DYNAMIC_TOPIC_CONFIG RW - LONG DYNAMIC_TOPIC_CONFIG:retention.ms=5 \
                 DYNAMIC_BROKER_CONFIG:log.retention.ms=5000 DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=60000 \
                 STATIC_BROKER_CONFIG:log.retention.minutes=5000 DEFAULT_CONFIG:log.retention.hours=168",
            ),
            ("segment.jitter.ms", "7 DYNAMIC_TOPIC_CONFIG RW - LONG DYNAMIC_TOPIC_CONFIG:segment.jitter.ms=7"),
            ("flush.ms", "9223372036854775807 DEFAULT_CONFIG RW - LONG"),
            ("segment.ms", "604800000 DEFAULT_CONFIG RW - LONG"),
            ("write.caching", "false DEFAULT_CONFIG RW - BOOLEAN"),
        ],
    );
}

#[test]
fn a_topic_without_configs_shows_what_the_broker_sets() {
    let image = Image::empty();
    let statics = configs(&[("message.max.bytes", "5000"), ("log.roll.hours", "5"), ("log.cleanup.policy", "compact")]);
    let layers = Layers::new(&image, &statics, 1);
    check(
        &describe_topic(&layers, &Configs::new(), Filter::All),
        &[
            (
                "max.message.bytes",
                "5000 STATIC_BROKER_CONFIG RW - INT STATIC_BROKER_CONFIG:message.max.bytes=5000 \
                 DEFAULT_CONFIG:message.max.bytes=1048588",
            ),
            ("segment.ms", "18000000 DEFAULT_CONFIG RW - LONG"),
            (
                "cleanup.policy",
                "compact STATIC_BROKER_CONFIG RW - LIST STATIC_BROKER_CONFIG:log.cleanup.policy=compact \
                 DEFAULT_CONFIG:log.cleanup.policy=delete",
            ),
        ],
    );
}

#[test]
fn a_broker_is_described_as_kafka_describes_it() {
    let image = image();
    let statics = configs(&[
        ("broker.rack", "r1"),
        ("listener.name.plaintext.max.connections", "100"),
        ("log.cleanup.policy", "compact"),
        ("log.retention.minutes", "5000"),
        ("log.roll.hours", "5"),
        ("ssl.keystore.password", "xx"),
        ("unknown.key", "5"),
    ]);
    let layers = Layers::new(&image, &statics, 1);
    let entries = describe_broker(&layers, Filter::All);
    // All that exist, one that can only be set dynamically, two that nobody knows and one of a listener.
    assert_eq!(entries.len(), 340 + 4);
    check(
        &entries,
        &[
            ("broker.rack", "r1 STATIC_BROKER_CONFIG RO - STRING STATIC_BROKER_CONFIG:broker.rack=r1"),
            (
                "leader.replication.throttled.rate",
                "5 DYNAMIC_BROKER_CONFIG RW - LONG DYNAMIC_BROKER_CONFIG:leader.replication.throttled.rate=5",
            ),
            (
                "listener.name.plaintext.max.connections",
                "100 STATIC_BROKER_CONFIG RO - INT STATIC_BROKER_CONFIG:listener.name.plaintext.max.connections=100 \
                 DEFAULT_CONFIG:max.connections=2147483647",
            ),
            (
                "log.cleanup.policy",
                "delete DYNAMIC_BROKER_CONFIG RW - LIST DYNAMIC_BROKER_CONFIG:log.cleanup.policy=delete \
                 STATIC_BROKER_CONFIG:log.cleanup.policy=compact DEFAULT_CONFIG:log.cleanup.policy=delete",
            ),
            (
                "log.retention.minutes",
                "null STATIC_BROKER_CONFIG RO - INT STATIC_BROKER_CONFIG:log.retention.minutes=5000 \
                 DEFAULT_CONFIG:log.retention.hours=168",
            ),
            (
                "log.retention.ms",
                "5000 DYNAMIC_BROKER_CONFIG RW - LONG DYNAMIC_BROKER_CONFIG:log.retention.ms=5000 \
                 DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=60000 \
                 STATIC_BROKER_CONFIG:log.retention.minutes=5000 DEFAULT_CONFIG:log.retention.hours=168",
            ),
            (
                "log.roll.hours",
                "5 STATIC_BROKER_CONFIG RO - INT STATIC_BROKER_CONFIG:log.roll.hours=5 DEFAULT_CONFIG:log.roll.hours=168",
            ),
            ("log.roll.ms", "null DEFAULT_CONFIG RW - LONG"),
            (
                "num.io.threads",
                "9 DYNAMIC_DEFAULT_BROKER_CONFIG RW - INT DYNAMIC_DEFAULT_BROKER_CONFIG:num.io.threads=9 \
                 DEFAULT_CONFIG:num.io.threads=8",
            ),
            ("nope.foo", "null DYNAMIC_BROKER_CONFIG RO S UNKNOWN DYNAMIC_BROKER_CONFIG:nope.foo=null"),
            (
                "ssl.keystore.password",
                "null STATIC_BROKER_CONFIG RW S PASSWORD STATIC_BROKER_CONFIG:ssl.keystore.password=null",
            ),
            ("unknown.key", "null STATIC_BROKER_CONFIG RO S UNKNOWN STATIC_BROKER_CONFIG:unknown.key=null"),
            (
                "add.partitions.to.txn.retry.backoff.ms",
                "20 DEFAULT_CONFIG RO - INT DEFAULT_CONFIG:add.partitions.to.txn.retry.backoff.ms=20",
            ),
            (
                "log.cleaner.io.max.bytes.per.second",
                "1.7976931348623157E308 DEFAULT_CONFIG RW - DOUBLE \
                 DEFAULT_CONFIG:log.cleaner.io.max.bytes.per.second=1.7976931348623157E308",
            ),
        ],
    );
}

#[test]
fn cluster_wide_defaults_are_those_that_are_set() {
    let (image, statics) = (image(), configs(&[("num.io.threads", "4")]));
    let layers = Layers::new(&image, &statics, 1);
    let entries = describe_default_broker(&layers, Filter::All);
    assert_eq!(entries.len(), 3);
    check(
        &entries,
        &[(
            "log.retention.ms",
            "60000 DYNAMIC_DEFAULT_BROKER_CONFIG RW - LONG DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=60000",
        )],
    );
}

#[test]
fn a_request_may_ask_for_some_names() {
    let (image, statics) = (Image::empty(), Configs::new());
    let layers = Layers::new(&image, &statics, 1);
    let names = ["retention.ms".to_owned(), "nope".to_owned()];
    let some = describe_topic(&layers, &Configs::new(), Filter::new(Some(&names)));
    assert_eq!(some.len(), 1);
    assert!(some[0].is_default && some[0].documentation.is_some());
    assert_eq!(describe_topic(&layers, &Configs::new(), Filter::new(Some(&[]))).len(), 34);
    assert_eq!(describe_topic(&layers, &Configs::new(), Filter::new(None)).len(), 34);
}
