use super::*;
use crate::metadata::controller::testing::{Cluster, shown};
use crate::model::ids::Uuid;

const SET: i8 = Alteration::SET;
const DELETE: i8 = Alteration::DELETE;
const APPEND: i8 = Alteration::APPEND;
const SUBTRACT: i8 = Alteration::SUBTRACT;
const TOPIC: i8 = resource_type::TOPIC;
const BROKER: i8 = resource_type::BROKER;

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.apply(&[MetadataRecord::Topic { name: "t".into(), id: Uuid::from_u128(5) }]);
    cluster
}

fn resource(kind: i8, name: &str, alterations: &[(i8, &str, Option<&str>)]) -> AlterResource {
    let alterations = alterations.iter().map(|(operation, name, value)| Alteration {
        name: (*name).to_owned(),
        operation: *operation,
        value: value.map(str::to_owned),
    });
    AlterResource { resource_type: kind, resource_name: name.into(), alterations: alterations.collect() }
}

/// Alters one config, applies what was decided and returns the answer.
fn alter_one(cluster: &mut Cluster, kind: i8, name: &str, operation: i8, config: &str, value: Option<&str>) -> String {
    let request = [resource(kind, name, &[(operation, config, value)])];
    let mut decision = incremental_alter_configs(&cluster.context(), &request, false);
    cluster.apply(&decision.records);
    shown(decision.results.remove(0).outcome)
}

fn topic_config<'a>(cluster: &'a Cluster, name: &str) -> Option<&'a str> {
    cluster.image.configs(&ConfigResource::Topic("t".into())).get(name).map(String::as_str)
}

fn default_config<'a>(cluster: &'a Cluster, name: &str) -> Option<&'a str> {
    cluster.image.configs(&ConfigResource::DefaultBroker).get(name).map(String::as_str)
}

#[test]
fn topic_configs_are_set_and_unset() {
    let mut cluster = cluster();
    assert_eq!(alter_one(&mut cluster, TOPIC, "t", SET, "retention.ms", Some("5")), "NONE");
    assert_eq!(topic_config(&cluster, "retention.ms"), Some("5"));
    let same = [resource(TOPIC, "t", &[(SET, "retention.ms", Some("5"))])];
    assert!(incremental_alter_configs(&cluster.context(), &same, false).records.is_empty());
    assert_eq!(alter_one(&mut cluster, TOPIC, "t", DELETE, "retention.ms", None), "NONE");
    assert_eq!(topic_config(&cluster, "retention.ms"), None);
    assert_eq!(alter_one(&mut cluster, TOPIC, "t", DELETE, "nope", None), "NONE");
}

#[test]
fn lists_grow_and_shrink_from_their_default() {
    let mut cluster = cluster();
    let policy = "cleanup.policy";
    assert_eq!(alter_one(&mut cluster, TOPIC, "t", APPEND, policy, Some("compact")), "NONE");
    assert_eq!(topic_config(&cluster, policy), Some("delete,compact"));
    alter_one(&mut cluster, TOPIC, "t", APPEND, policy, Some("compact"));
    assert_eq!(topic_config(&cluster, policy), Some("delete,compact"));
    alter_one(&mut cluster, TOPIC, "t", SUBTRACT, policy, Some("delete"));
    assert_eq!(topic_config(&cluster, policy), Some("compact"));
    alter_one(&mut cluster, TOPIC, "t", SUBTRACT, policy, Some("compact"));
    assert_eq!(topic_config(&cluster, policy), Some(""));
    assert_eq!(
        alter_one(&mut cluster, TOPIC, "t", APPEND, policy, Some("bogus")),
        "INVALID_CONFIG: Invalid value bogus for configuration cleanup.policy: String must be one of: compact, delete"
    );
    assert_eq!(
        alter_one(&mut cluster, TOPIC, "t", APPEND, "retention.ms", Some("1")),
        "INVALID_CONFIG: Can't APPEND to key retention.ms because its type is not LIST."
    );
    assert_eq!(
        alter_one(&mut cluster, TOPIC, "t", SUBTRACT, "nope", Some("1")),
        "INVALID_CONFIG: Can't SUBTRACT to key nope because its type is not LIST."
    );
    assert_eq!(alter_one(&mut cluster, BROKER, "", APPEND, "log.cleanup.policy", Some("compact")), "NONE");
    assert_eq!(default_config(&cluster, "log.cleanup.policy"), Some("delete,compact"));
}

#[test]
fn topics_are_refused_in_kafkas_words() {
    let mut cluster = cluster();
    let cases = [
        ("t", SET, "retention.ms", Some("abc"), {
            "INVALID_CONFIG: Invalid value abc for configuration retention.ms: Not a number of type LONG"
        }),
        ("t", SET, "nope", Some("abc"), "INVALID_CONFIG: Unknown topic config name: nope"),
        ("z", SET, "retention.ms", Some("1"), "UNKNOWN_TOPIC_OR_PARTITION: The topic 'z' does not exist."),
        ("", SET, "retention.ms", Some("1"), "INVALID_REQUEST: Default topic resources are not allowed."),
        ("a b", SET, "retention.ms", Some("1"), {
            "INVALID_TOPIC_EXCEPTION: Topic name is invalid: 'a b' contains one or more characters other than ASCII \
             alphanumerics, '.', '_' and '-'"
        }),
        ("t", SET, "retention.ms", None, "INVALID_REQUEST: Null value not supported for : retention.ms"),
        ("t", 9, "retention.ms", Some("1"), "INVALID_REQUEST: Unknown operations type 9"),
    ];
    for (name, operation, config, value, expected) in cases {
        assert_eq!(alter_one(&mut cluster, TOPIC, name, operation, config, value), expected);
    }
    assert_eq!(alter_one(&mut cluster, 99, "t", SET, "a", Some("1")), "INVALID_REQUEST: Unknown resource type 99");
    let twice = [(SET, "retention.ms", Some("1")), (SET, "retention.ms", Some("2"))];
    let decision = incremental_alter_configs(&cluster.context(), &[resource(TOPIC, "t", &twice)], false);
    assert_eq!(shown(decision.results[0].outcome.clone()), "INVALID_REQUEST: Error due to duplicate config keys");
}

#[test]
fn a_resource_is_altered_as_a_whole_or_not_at_all() {
    let cluster = cluster();
    let half_good = [(SET, "retention.ms", Some("1")), (SET, "segment.ms", Some("0"))];
    let requests =
        [resource(TOPIC, "t", &half_good), resource(BROKER, "", &[(SET, "log.retention.ms", Some("60000"))])];
    let decision = incremental_alter_configs(&cluster.context(), &requests, false);
    assert_eq!(decision.records.len(), 1);
    assert!(decision.results[0].outcome.is_err() && decision.results[1].outcome.is_ok());
    assert!(incremental_alter_configs(&cluster.context(), &requests, true).records.is_empty());
    let twice = [requests[1].clone(), requests[1].clone()];
    let decision = incremental_alter_configs(&cluster.context(), &twice, false);
    assert!(decision.records.is_empty());
    for result in decision.results {
        assert_eq!(shown(result.outcome), "INVALID_REQUEST: Each resource must appear at most once.");
    }
}

#[test]
fn brokers_are_refused_in_kafkas_words() {
    let mut cluster = cluster();
    let cannot = "INVALID_REQUEST: Cannot update these configs";
    let cases = [
        ("1", "num.partitions", "3", format!("{cannot} dynamically: [num.partitions]")),
        ("", "log.retention.hours", "3", format!("{cannot} dynamically: [log.retention.hours]")),
        (
            "1",
            "log.retention.ms",
            "abc",
            "INVALID_REQUEST: Invalid value abc for configuration log.retention.ms: Not a number of type LONG".into(),
        ),
        (
            "",
            "min.insync.replicas",
            "0",
            "INVALID_REQUEST: Invalid value 0 for configuration min.insync.replicas: Value must be at least 1".into(),
        ),
        (
            "",
            "log.cleanup.policy",
            "x",
            "INVALID_REQUEST: Invalid value x for configuration log.cleanup.policy: String must be one of: compact, delete"
                .into(),
        ),
        (
            "1",
            "ssl.keystore.location",
            "/x",
            "INVALID_REQUEST: These security configs can be dynamically updated only per-listener using the listener \
             prefix: [ssl.keystore.location]"
                .into(),
        ),
        ("", "listeners", "PLAINTEXT://:1", {
            format!("{cannot} at default cluster level, broker id must be specified: [listeners]")
        }),
        ("", "listener.name.a.ssl.key.password", "x", {
            format!("{cannot} at default cluster level, broker id must be specified: [listener.name.a.ssl.key.password]")
        }),
        ("7", "log.retention.ms", "5", "INVALID_REQUEST: Unexpected broker id, expected 1, but received 7".into()),
        ("x", "log.retention.ms", "5", "INVALID_REQUEST: Node id must be an integer, but it is: x".into()),
        (
            "",
            "log.cleaner.min.compaction.lag.ms",
            "9223372036854775807",
            "NONE".into(),
        ),
        (
            "1",
            "log.cleaner.max.compaction.lag.ms",
            "5",
            "INVALID_REQUEST: conflict topic config setting min.compaction.lag.ms (9223372036854775807) > \
             max.compaction.lag.ms (5)"
                .into(),
        ),
    ];
    for (name, config, value, expected) in cases {
        assert_eq!(alter_one(&mut cluster, BROKER, name, SET, config, Some(value)), expected);
    }
    let both = [(SET, "num.partitions", Some("1")), (SET, "broker.rack", Some("2"))];
    let decision = incremental_alter_configs(&cluster.context(), &[resource(BROKER, "1", &both)], false);
    let expected = format!("{cannot} dynamically: [broker.rack, num.partitions]");
    assert_eq!(shown(decision.results[0].outcome.clone()), expected);
}

#[test]
fn broker_lists_and_names_nobody_knows() {
    let mut cluster = cluster();
    let invalid = "INVALID_CONFIG: ";
    assert_eq!(
        alter_one(&mut cluster, BROKER, "1", APPEND, "num.io.threads", Some("x")),
        format!("{invalid}Config value append is not allowed for config key: num.io.threads")
    );
    assert_eq!(
        alter_one(&mut cluster, BROKER, "1", SUBTRACT, "nope", Some("x")),
        format!("{invalid}Unknown config name: nope")
    );
    assert_eq!(alter_one(&mut cluster, BROKER, "1", SET, "nope.foo", Some("3")), "NONE");
    assert_eq!(alter_one(&mut cluster, BROKER, "1", SET, "listener.name.a.ssl.key.password", Some("x")), "NONE");
    assert_eq!(alter_one(&mut cluster, BROKER, "", SET, "follower.replication.throttled.rate", Some("5")), "NONE");
    assert_eq!(alter_one(&mut cluster, BROKER, "1", DELETE, "num.partitions", None), "NONE");
}

#[test]
fn min_insync_replicas_stays_cluster_wide_with_eligible_leader_replicas() {
    let mut cluster = cluster();
    let name = "min.insync.replicas";
    assert_eq!(alter_one(&mut cluster, BROKER, "1", SET, name, Some("2")), "NONE");
    assert_eq!(alter_one(&mut cluster, BROKER, "1", DELETE, name, None), "NONE");
    assert_eq!(alter_one(&mut cluster, BROKER, "", SET, name, Some("1")), "NONE");
    cluster.apply(&[MetadataRecord::FeatureLevel { name: ELIGIBLE_LEADER_REPLICAS.into(), level: 1 }]);
    assert_eq!(
        alter_one(&mut cluster, BROKER, "1", SET, name, Some("2")),
        "INVALID_CONFIG: Broker-level min.insync.replicas cannot be altered while ELR is enabled."
    );
    assert_eq!(
        alter_one(&mut cluster, BROKER, "", DELETE, name, None),
        "INVALID_CONFIG: Cluster-level min.insync.replicas cannot be removed while ELR is enabled."
    );
    assert_eq!(alter_one(&mut cluster, BROKER, "", SET, name, Some("2")), "NONE");
}

#[test]
fn the_older_api_replaces_everything() {
    let mut cluster = cluster();
    cluster.set(ConfigResource::Topic("t".into()), "retention.ms", "1");
    cluster.set(ConfigResource::Topic("t".into()), "segment.ms", "2");
    let request = [resource(TOPIC, "t", &[(SET, "segment.ms", Some("3")), (SET, "flush.ms", Some("4"))])];
    assert!(alter_configs(&cluster.context(), &request, true).records.is_empty());
    let decision = alter_configs(&cluster.context(), &request, false);
    cluster.apply(&decision.records);
    let configs = cluster.image.configs(&ConfigResource::Topic("t".into()));
    let configs: Vec<_> = configs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(configs, [("flush.ms", "4"), ("segment.ms", "3")]);
    let bad = [resource(TOPIC, "t", &[(SET, "segment.ms", None)])];
    let outcome = alter_configs(&cluster.context(), &bad, false).results.remove(0).outcome;
    assert_eq!(shown(outcome), "INVALID_REQUEST: Null value not supported for : segment.ms");
}

#[test]
fn only_what_exists_is_described() {
    let mut cluster = cluster();
    let describe = |cluster: &Cluster, kind, name: &str| {
        describe_configs(&cluster.context(), kind, name, Filter::All)
            .map(|entries| entries.len())
            .map_err(|error| error.to_string())
    };
    assert_eq!(describe(&cluster, TOPIC, "t"), Ok(34));
    assert_eq!(describe(&cluster, TOPIC, "z"), {
        Err("UNKNOWN_TOPIC_OR_PARTITION: The topic 'z' does not exist.".to_owned())
    });
    assert!(describe(&cluster, TOPIC, "a b").unwrap_err().starts_with("INVALID_TOPIC_EXCEPTION"));
    assert_eq!(describe(&cluster, BROKER, "1"), Ok(340));
    assert_eq!(describe(&cluster, BROKER, ""), Ok(0));
    alter_one(&mut cluster, BROKER, "", SET, "log.retention.ms", Some("60000"));
    assert_eq!(describe(&cluster, BROKER, ""), Ok(1));
    assert_eq!(describe(&cluster, BROKER, "7"), {
        Err("INVALID_REQUEST: Unexpected broker id, expected 1 or empty string, but received 7".to_owned())
    });
    assert_eq!(describe(&cluster, BROKER, "x"), {
        Err("INVALID_REQUEST: Broker id must be an integer, but it is: x".to_owned())
    });
    assert_eq!(describe(&cluster, 8, "1"), Err("INVALID_REQUEST: Unsupported resource type: 8".to_owned()));
}
