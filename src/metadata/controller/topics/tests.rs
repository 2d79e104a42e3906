use super::*;
use crate::metadata::config::definition::ConfigType;
use crate::metadata::config::layers::ConfigSource;
use crate::metadata::controller::testing::{Cluster, broker, shown};

fn topic(name: &str, partitions: i32, replication_factor: i16) -> NewTopic {
    NewTopic { name: name.into(), partitions, replication_factor, ..NewTopic::default() }
}

fn manual(name: &str, assignments: &[(i32, &[i32])]) -> NewTopic {
    let assignments = assignments
        .iter()
        .map(|(partition, replicas)| Assignment { partition: *partition, replicas: replicas.to_vec() });
    NewTopic { assignments: assignments.collect(), ..topic(name, -1, -1) }
}

fn configured(name: &str, configs: &[(&str, Option<&str>)]) -> NewTopic {
    let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)));
    NewTopic { configs: configs.collect(), ..topic(name, 1, 1) }
}

/// Creates the topics and applies what was decided.
fn create(cluster: &mut Cluster, topics: &[NewTopic]) -> Vec<CreateTopicResult> {
    let mut fresh_id = cluster.fresh_id();
    let decision = create_topics(&cluster.context(), topics, false, &mut fresh_id);
    cluster.apply(&decision.records);
    decision.results
}

fn created(cluster: &mut Cluster, topic: NewTopic) -> CreatedTopic {
    create(cluster, &[topic]).remove(0).outcome.unwrap()
}

fn refused(cluster: &mut Cluster, topic: NewTopic) -> String {
    let before = cluster.image.clone();
    let message = shown(create(cluster, &[topic]).remove(0).outcome.map(|_| ()));
    assert_eq!(before, cluster.image);
    message
}

#[test]
fn a_topic_is_created_with_its_partitions_and_configs() {
    let mut cluster = Cluster::new(3);
    let mut new = configured("a", &[("retention.ms", Some(" 77 "))]);
    (new.partitions, new.replication_factor) = (6, 2);
    let answer = created(&mut cluster, new);
    assert_eq!((answer.partitions, answer.replication_factor), (6, 2));
    let image = &cluster.image;
    let topic = image.topic("a").unwrap();
    assert_eq!((topic.id, topic.partition_count(), topic.replication_factor()), (answer.id, 6, 2));
    for partition in &topic.partitions {
        assert_eq!(
            (partition.leader, partition.leader_epoch, partition.partition_epoch),
            (partition.replicas[0], 0, 0)
        );
        assert_eq!(partition.isr, partition.replicas);
    }
    assert!((1..=3).all(|id| image.replica_count(id) == 4));
    let retention = answer.configs.iter().find(|entry| entry.name == "retention.ms").unwrap();
    assert_eq!(retention.value.as_deref(), Some("77"));
    assert_eq!((retention.source, retention.kind), (ConfigSource::DynamicTopic, ConfigType::Long));
    assert_eq!(image.configs(&ConfigResource::Topic("a".into()))["retention.ms"], " 77 ");
}

#[test]
fn minus_one_stands_for_the_brokers_defaults() {
    let mut cluster = Cluster::new(3);
    let answer = created(&mut cluster, topic("a", -1, -1));
    assert_eq!((answer.partitions, answer.replication_factor), (1, 1));
    cluster.set_static("num.partitions", "4");
    cluster.set_static("default.replication.factor", "3");
    let answer = created(&mut cluster, topic("b", -1, -1));
    assert_eq!((answer.partitions, answer.replication_factor), (4, 3));
}

#[test]
fn reserved_and_taken_ids_are_drawn_again() {
    let mut cluster = Cluster::new(1);
    let first = created(&mut cluster, topic("a", 1, 1)).id;
    assert_eq!(first, Uuid::from_u128(2));
    // A uuid whose first six bits are 62 prints with a dash in front.
    let dash = Uuid::from_u128(62 << 122);
    let mut draws = [first, Uuid::nil(), dash, Uuid::from_u128(9)].into_iter();
    let decision = create_topics(&cluster.context(), &[topic("b", 1, 1)], false, &mut || draws.next().unwrap());
    assert_eq!(decision.results[0].outcome.as_ref().unwrap().id, Uuid::from_u128(9));
    let decision = create_topics(&cluster.context(), &[topic("b", 1, 1)], false, &mut Uuid::nil);
    assert_eq!(decision.results[0].outcome.as_ref().unwrap_err().code, ErrorCode::UnknownServerError);
    let both = [topic("b", 1, 1), topic("c", 1, 1)];
    let decision = create_topics(&cluster.context(), &both, false, &mut || Uuid::from_u128(9));
    assert!(decision.results[0].outcome.is_ok() && decision.results[1].outcome.is_err());
}

#[test]
fn counts_and_names_are_refused_in_kafkas_words() {
    let mut cluster = Cluster::new(1);
    created(&mut cluster, topic("a.b", 1, 1));
    let non_positive = "INVALID_PARTITIONS: Number of partitions was set to an invalid non-positive value.";
    let factor =
        "INVALID_REPLICATION_FACTOR: Replication factor must be larger than 0, or -1 to use the default value.";
    let cases = [
        (topic("q", 0, 1), non_positive),
        (topic("q", -2, 1), non_positive),
        (topic("q", 1, 0), factor),
        (topic("q", 1, -3), factor),
        (
            topic("q", 1, 3),
            "INVALID_REPLICATION_FACTOR: Unable to replicate the partition 3 time(s): The target replication factor of 3 \
             cannot be reached because only 1 broker(s) are registered.",
        ),
        (topic("q", 20_000, 1), "POLICY_VIOLATION: Excessively large number of partitions per request."),
        (topic("q", i32::MAX, 1), "POLICY_VIOLATION: Excessively large number of partitions per request."),
        (topic("a.b", 1, 1), "TOPIC_ALREADY_EXISTS: Topic 'a.b' already exists."),
        (topic("a_b", 1, 1), "INVALID_TOPIC_EXCEPTION: Topic 'a_b' collides with existing topic: a.b"),
        (topic(".", 1, 1), "INVALID_TOPIC_EXCEPTION: Topic name is invalid: '.' is not allowed"),
        (
            topic("__cluster_metadata", 1, 1),
            "INVALID_REQUEST: Creation of internal topic __cluster_metadata is prohibited.",
        ),
    ];
    for (new, expected) in cases {
        assert_eq!(refused(&mut cluster, new), expected);
    }
}

#[test]
fn configs_are_refused_in_kafkas_words() {
    let mut cluster = Cluster::new(1);
    let cases = [
        (configured("q", &[("retention.ms", None)]), "Null value not supported for topic configs: retention.ms"),
        (configured("q", &[("nope", Some("1"))]), "Unknown topic config name: nope"),
        (
            configured("q", &[("retention.ms", Some("xyz"))]),
            "Invalid value xyz for configuration retention.ms: Not a number of type LONG",
        ),
        (
            configured("q", &[("min.compaction.lag.ms", Some("10")), ("max.compaction.lag.ms", Some("5"))]),
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)",
        ),
        (
            configured("q", &[("remote.storage.enable", Some("true"))]),
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
        ),
    ];
    for (new, expected) in cases {
        assert_eq!(refused(&mut cluster, new), format!("INVALID_CONFIG: {expected}"));
    }
    let long = "x".repeat(40_000);
    assert!(refused(&mut cluster, configured("q", &[("cleanup.policy", Some(&long))])).contains("32767 bytes"));
    for good in [("cleanup.policy", ""), ("internal.segment.bytes", "100"), ("write.caching", "true")] {
        created(&mut cluster, configured(good.0, &[(good.0, Some(good.1))]));
    }
}

#[test]
fn manual_assignments_are_taken_or_refused() {
    let mut cluster = Cluster::new(3);
    let answer = created(&mut cluster, manual("a", &[(1, &[3, 1]), (0, &[2, 3])]));
    assert_eq!((answer.partitions, answer.replication_factor), (2, 2));
    let replicas = |index| cluster.image.topic("a").unwrap().partition(index).unwrap().replicas.clone();
    assert_eq!((replicas(0), replicas(1)), (vec![2, 3], vec![3, 1]));

    let with_factor = NewTopic { replication_factor: 1, ..manual("q", &[(0, &[1])]) };
    let with_count = NewTopic { partitions: 1, ..manual("q", &[(0, &[1])]) };
    let request = "INVALID_REQUEST: A manual partition assignment was specified, but";
    let assignment = "INVALID_REPLICA_ASSIGNMENT: ";
    let includes = "INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes";
    let cases = [
        (with_factor, format!("{request} replication factor was not set to -1.")),
        (with_count, format!("{request} numPartitions was not set to -1.")),
        (manual("q", &[(0, &[1]), (1, &[1, 1])]), format!("{includes} the broker 1 more than once.")),
        (manual("q", &[(0, &[7])]), format!("{includes} broker 7, but no such broker is registered.")),
        (manual("q", &[(0, &[])]), format!("{includes} an empty replica list.")),
        (manual("q", &[(1, &[1])]), format!("{assignment}partitions should be a consecutive 0-based integer sequence")),
        (
            manual("q", &[(0, &[1]), (0, &[2])]),
            format!("{assignment}Found multiple manual partition assignments for partition 0"),
        ),
        (
            manual("q", &[(0, &[1]), (1, &[1, 2])]),
            format!(
                "{includes} a partition with 2 replica(s), but this is not consistent with previous partitions, which \
                 have 1 replica(s)."
            ),
        ),
    ];
    for (new, expected) in cases {
        assert_eq!(refused(&mut cluster, new), expected);
    }
}

#[test]
fn fenced_brokers_are_no_leaders_and_not_in_the_isr() {
    let mut cluster = Cluster::new(2);
    cluster.apply(&[broker(2, true)]);
    created(&mut cluster, manual("a", &[(0, &[2, 1])]));
    let partition = cluster.image.topic("a").unwrap().partition(0).unwrap().clone();
    assert_eq!((partition.leader, &*partition.isr, &*partition.replicas), (1, &[1][..], &[2, 1][..]));
    assert_eq!(
        refused(&mut cluster, manual("b", &[(0, &[2])])),
        "INVALID_REPLICA_ASSIGNMENT: All brokers specified in the manual partition assignment for partition 0 are fenced \
         or in controlled shutdown."
    );
    created(&mut cluster, topic("c", 4, 2));
    cluster.apply(&[broker(1, true)]);
    assert_eq!(
        refused(&mut cluster, topic("d", 1, 1)),
        "INVALID_REPLICATION_FACTOR: Unable to replicate the partition 1 time(s): All brokers are currently fenced."
    );
}

#[test]
fn each_topic_stands_alone_and_a_name_given_twice_is_answered_once() {
    let mut cluster = Cluster::new(1);
    let topics = [topic("a", 1, 1), topic("b", 0, 1), topic("c", 1, 1), topic("a", 1, 1), topic("d", 2, 1)];
    let results = create(&mut cluster, &topics);
    let answers: Vec<_> =
        results.into_iter().map(|result| (result.name, result.outcome.err().map(|error| error.code))).collect();
    let expected = [
        ("a".to_owned(), Some(ErrorCode::InvalidRequest)),
        ("b".to_owned(), Some(ErrorCode::InvalidPartitions)),
        ("c".to_owned(), None),
        ("d".to_owned(), None),
    ];
    assert_eq!(answers, expected);
    let names: Vec<_> = cluster.image.topics().map(|topic| topic.name.to_string()).collect();
    assert_eq!(names, ["c", "d"]);
}

#[test]
fn validation_alone_makes_no_records() {
    let mut cluster = Cluster::new(1);
    let mut fresh_id = cluster.fresh_id();
    let decision = create_topics(&cluster.context(), &[topic("a", 1, 1), topic("b", 0, 1)], true, &mut fresh_id);
    assert!(decision.records.is_empty());
    assert!(decision.results[0].outcome.is_ok() && decision.results[1].outcome.is_err());
}

#[test]
fn a_broker_hosts_no_more_partitions_than_it_may() {
    let mut cluster = Cluster::new(2);
    cluster.partitions_per_broker_max = 5;
    created(&mut cluster, topic("a", 4, 2));
    let results = create(&mut cluster, &[topic("b", 1, 2), topic("c", 1, 1)]);
    assert!(results[0].outcome.is_ok());
    let error = results[1].outcome.clone().unwrap_err();
    assert_eq!(error.code, ErrorCode::PolicyViolation);
    assert!(error.message.contains("would host 6 partition replicas, more than the 5"), "{error}");
    let more = [NewPartitions { topic: "a".into(), count: 5, assignments: None }];
    let outcome = create_partitions(&cluster.context(), &more, false).results.remove(0).outcome;
    assert_eq!(outcome.unwrap_err().code, ErrorCode::PolicyViolation);
}

fn grow(cluster: &mut Cluster, topic: &str, count: i32, assignments: Option<&[&[i32]]>) -> String {
    let assignments = assignments.map(|all| all.iter().map(|replicas| replicas.to_vec()).collect());
    let request = [NewPartitions { topic: topic.into(), count, assignments }];
    let mut decision = create_partitions(&cluster.context(), &request, false);
    cluster.apply(&decision.records);
    shown(decision.results.remove(0).outcome)
}

#[test]
fn topics_get_more_partitions_and_never_fewer() {
    let mut cluster = Cluster::new(3);
    created(&mut cluster, topic("a", 2, 2));
    let cases = [
        (grow(&mut cluster, "a", 2, None), "INVALID_PARTITIONS: Topic already has 2 partition(s)."),
        (
            grow(&mut cluster, "a", 1, None),
            "INVALID_PARTITIONS: The topic a currently has 2 partition(s); 1 would not be an increase.",
        ),
        (
            grow(&mut cluster, "a", -1, None),
            "INVALID_PARTITIONS: The topic a currently has 2 partition(s); -1 would not be an increase.",
        ),
        (
            grow(&mut cluster, "z", 1, None),
            "UNKNOWN_TOPIC_OR_PARTITION: This server does not host this topic-partition.",
        ),
        (
            grow(&mut cluster, "a", 4, Some(&[&[1, 2]])),
            "INVALID_REPLICA_ASSIGNMENT: Attempted to add 2 additional partition(s), but only 1 assignment(s) were \
             specified.",
        ),
        (
            grow(&mut cluster, "a", 3, Some(&[&[9, 1]])),
            "INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes broker 9, but no such broker is \
             registered.",
        ),
        (
            grow(&mut cluster, "a", 3, Some(&[&[1]])),
            "INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes a partition with 1 replica(s), but this \
             is not consistent with previous partitions, which have 2 replica(s).",
        ),
        (
            grow(&mut cluster, "a", i32::MAX, None),
            "POLICY_VIOLATION: Excessively large number of partitions per request.",
        ),
        (grow(&mut cluster, "a", 3, Some(&[&[3, 2]])), "NONE"),
        (grow(&mut cluster, "a", 7, None), "NONE"),
    ];
    for (got, expected) in cases {
        assert_eq!(got, expected);
    }
    let topic = cluster.image.topic("a").unwrap();
    assert_eq!(topic.partition_count(), 7);
    assert_eq!(topic.partition(2).unwrap().replicas, [3, 2]);
    assert!(topic.partitions.iter().all(|partition| partition.replicas.len() == 2));
}

#[test]
fn topics_whose_partitions_are_found_by_their_number_keep_it() {
    let mut cluster = Cluster::new(1);
    for name in ["__consumer_offsets", "__transaction_state"] {
        created(&mut cluster, topic(name, 2, 1));
        let refused = grow(&mut cluster, name, 3, None);
        assert!(refused.starts_with("INVALID_PARTITIONS: Groups and transactional ids find their place"), "{refused}");
    }
}

#[test]
fn partitions_of_a_topic_named_twice_are_refused_once() {
    let mut cluster = Cluster::new(1);
    created(&mut cluster, topic("a", 1, 1));
    let request = |count| NewPartitions { topic: "a".into(), count, assignments: None };
    let decision = create_partitions(&cluster.context(), &[request(2), request(3)], false);
    assert!(decision.records.is_empty());
    assert_eq!(decision.results.len(), 1);
    assert_eq!(shown(decision.results[0].outcome.clone()), "INVALID_REQUEST: Duplicate topic name.");
    assert!(create_partitions(&cluster.context(), &[request(2)], true).records.is_empty());
}

fn delete(cluster: &Cluster, topics: &[(Option<&str>, u128)]) -> (usize, Vec<(Option<String>, u128, String)>) {
    let topics: Vec<_> = topics
        .iter()
        .map(|(name, id)| TopicToDelete { name: name.map(str::to_owned), id: Uuid::from_u128(*id) })
        .collect();
    let decision = delete_topics(&cluster.context(), &topics);
    let results = decision.results.into_iter();
    let results = results.map(|result| (result.name, result.id.as_u128(), shown(result.outcome))).collect();
    (decision.records.len(), results)
}

#[test]
fn topics_are_deleted_by_name_and_by_id() {
    let mut cluster = Cluster::new(1);
    let a = created(&mut cluster, topic("a", 1, 1)).id.as_u128();
    let b = created(&mut cluster, topic("b", 1, 1)).id.as_u128();
    let (records, results) = delete(&cluster, &[(Some("a"), 0), (None, b), (Some("z"), 0), (None, 99)]);
    assert_eq!(records, 2);
    let unknown = "UNKNOWN_TOPIC_OR_PARTITION: This server does not host this topic-partition.";
    let expected = [
        (Some("a".to_owned()), a, "NONE".to_owned()),
        (Some("b".to_owned()), b, "NONE".to_owned()),
        (Some("z".to_owned()), 0, unknown.to_owned()),
        (None, 99, "UNKNOWN_TOPIC_ID: This server does not host this topic ID.".to_owned()),
    ];
    assert_eq!(results, expected);
}

#[test]
fn deletions_that_repeat_or_contradict_themselves_are_refused() {
    let mut cluster = Cluster::new(1);
    let a = created(&mut cluster, topic("a", 1, 1)).id.as_u128();
    let messages = |topics: &[(Option<&str>, u128)]| {
        let (records, results) = delete(&cluster, topics);
        (records, results.into_iter().map(|(_, _, message)| message).collect::<Vec<_>>())
    };
    let one = |message: &str| (0, vec![format!("INVALID_REQUEST: {message}")]);
    assert_eq!(messages(&[(Some("a"), 0), (Some("a"), 0)]), one("Duplicate topic name."));
    assert_eq!(messages(&[(None, a), (None, a)]), one("Duplicate topic id."));
    assert_eq!(messages(&[(Some("a"), a)]), one("You may not specify both topic name and topic id."));
    assert_eq!(messages(&[(None, 0)]), one("Neither topic name nor id were specified."));
    let (records, both) = messages(&[(Some("a"), 0), (None, a)]);
    let expected = "INVALID_REQUEST: The provided topic name maps to an ID that was already supplied.";
    assert_eq!((records, both), (0, vec![expected.to_owned(); 2]));
    cluster.set_static("delete.topic.enable", "false");
    let (records, results) = delete(&cluster, &[(Some("a"), 0)]);
    assert_eq!((records, &*results[0].2), (0, "TOPIC_DELETION_DISABLED: Topic deletion is disabled."));
}
