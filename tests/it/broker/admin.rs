//! Topics, configs and the cluster.

use std::time::{Duration, Instant};

use flumen::model::error_code::ErrorCode;
use flumen::protocol::StrBytes;
use flumen::protocol::messages::create_partitions_request::CreatePartitionsTopic;
use flumen::protocol::messages::delete_topics_request::DeleteTopicState;
use flumen::protocol::messages::describe_configs_request::DescribeConfigsResource;
use flumen::protocol::messages::describe_topic_partitions_request::Cursor;
use flumen::protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use flumen::protocol::messages::metadata_request::MetadataRequestTopic;
use flumen::protocol::messages::{
    CreatePartitionsRequest, DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest,
    DescribeTopicPartitionsRequest, IncrementalAlterConfigsRequest, MetadataRequest,
};

use super::client::{Client, batch, fetch_request, fetched, name, produce_request};
use super::process::{Broker, pause};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

#[test]
fn metadata_names_the_address_that_the_client_connected_to() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 3, &[]);
    for version in 0..=13 {
        let wanted = MetadataRequestTopic::default().with_name(Some(name("t")));
        let response = client.ask(version, &MetadataRequest::default().with_topics(Some(vec![wanted])));
        let told = &response.brokers[0];
        assert_eq!((told.node_id.0, &*told.host, told.port), (1, "127.0.0.1", i32::from(broker.address.port())));
        assert_eq!(response.topics[0].partitions.len(), 3, "version {version}");
    }
    let id = client.topic_id("t").unwrap();
    // Java writes an empty name beside an id, others null.
    for (version, text) in [(12, None), (12, Some(name(""))), (13, None), (13, Some(name("")))] {
        let wanted = [id, uuid::Uuid::from_u128(77)]
            .map(|id| MetadataRequestTopic::default().with_name(text.clone()).with_topic_id(id));
        let response = client.ask(version, &MetadataRequest::default().with_topics(Some(wanted.to_vec())));
        let told: Vec<_> = response.topics.iter().map(|topic| (topic.error_code, topic.topic_id)).collect();
        assert_eq!(told, [(0, id), (ErrorCode::UnknownTopicId.code(), uuid::Uuid::from_u128(77))]);
    }
    let all = client.ask(0, &MetadataRequest::default().with_topics(Some(Vec::new())));
    assert_eq!(all.topics.len(), 1, "in version 0 an empty list asks for all topics");
    let none = client.ask(1, &MetadataRequest::default().with_topics(Some(Vec::new())));
    assert_eq!(none.topics.len(), 0);
    let cluster = client.ask(2, &DescribeClusterRequest::default().with_endpoint_type(1));
    assert_eq!(
        (cluster.error_code, cluster.brokers.len(), cluster.brokers[0].port),
        (0, 1, i32::from(broker.address.port()))
    );
}

#[test]
fn topics_are_made_when_a_client_asks_and_both_sides_allow_it() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    let mut ask = |topic: &str, allow: bool| {
        let wanted = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![wanted])).with_allow_auto_topic_creation(allow);
        let response = client.ask(9, &request);
        (response.topics[0].error_code, response.topics[0].partitions.len())
    };
    assert_eq!(ask("made", false), (3, 0));
    assert_eq!(ask("made", true), (0, 1));
    assert_eq!(ask("not/a/name", true).0, ErrorCode::InvalidTopicException.code());
    assert_eq!(client.produce("made", 0, &["v"]).error_code, 0);
    let wanted = MetadataRequestTopic::default().with_name(Some(name("twice")));
    let response = client.ask(9, &MetadataRequest::default().with_topics(Some(vec![wanted; 2])));
    let made: Vec<_> = response.topics.iter().map(|topic| (topic.error_code, topic.partitions.len())).collect();
    assert_eq!(made, [(0, 1)], "a topic that is named twice is made once");
    drop(broker);
    let broker = Broker::start(directory.path(), &["--reactors", "2", "--auto-create-topics", "false"]);
    let mut client = Client::connect(broker.address);
    let wanted = MetadataRequestTopic::default().with_name(Some(name("other")));
    let response = client.ask(9, &MetadataRequest::default().with_topics(Some(vec![wanted])));
    assert_eq!(response.topics[0].error_code, 3);
}

#[test]
fn a_topic_made_again_is_another() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    for version in 1..=6 {
        let id = client.create_topic("t", 3, &[]);
        assert_eq!(client.topic_id("t"), Some(id));
        for partition in 0..3 {
            assert_eq!(client.produce("t", partition, &["old"]).base_offset, 0);
        }
        let request = DeleteTopicsRequest::default().with_timeout_ms(5000);
        let request = if version >= 6 {
            request.with_topics(vec![DeleteTopicState::default().with_topic_id(id).with_name(None)])
        } else {
            request.with_topic_names(vec![name("t")])
        };
        let response = client.ask(version, &request);
        assert_eq!(response.responses[0].error_code, 0, "version {version}");
        let left: Vec<_> = std::fs::read_dir(&broker.data)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("t-"))
            .collect();
        assert!(left.is_empty(), "deletion frees the space before it is answered: {left:?}");
        assert_eq!(client.topic_id("t"), None);
        let mut by_id = fetch_request(&[("", 0, 0)]);
        by_id.topics[0].topic_id = id;
        let response = client.ask(13, &by_id);
        assert_eq!(fetched(&response)[0].1.error_code, ErrorCode::UnknownTopicId.code());
        let refused = client.produce("t", 0, &["late"]);
        assert_eq!(refused.error_code, ErrorCode::UnknownTopicOrPartition.code());
    }
}

#[test]
fn a_deletion_ends_fetches_that_wait() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 2, &[]);
    let mut waiting = Client::connect(broker.address);
    let request = fetch_request(&[("t", 0, 0), ("t", 1, 0)]).with_max_wait_ms(15_000);
    let id = waiting.send(12, &request);
    pause(Duration::from_millis(50));
    let started = Instant::now();
    client.ask(5, &DeleteTopicsRequest::default().with_timeout_ms(5000).with_topic_names(vec![name("t")]));
    let response = waiting.receive::<flumen::protocol::messages::FetchRequest>(12, id);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(fetched(&response).iter().any(|(_, data)| data.error_code != 0));
}

#[test]
fn partitions_are_added_and_pages_are_turned() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("a", 3, &[]);
    client.create_topic("b", 2, &[]);
    for version in 0..=3 {
        let topic = CreatePartitionsTopic::default().with_name(name("a")).with_count(4 + i32::from(version));
        let request =
            CreatePartitionsRequest::default().with_topics(vec![topic.with_assignments(None)]).with_timeout_ms(5000);
        let response = client.ask(version, &request);
        assert_eq!(response.results[0].error_code, 0, "{:?}", response.results[0].error_message);
        assert_eq!(client.produce("a", 3 + i32::from(version), &["v"]).error_code, 0);
    }
    let mut seen = Vec::new();
    let mut cursor: Option<Cursor> = None;
    for _ in 0..10 {
        let request =
            DescribeTopicPartitionsRequest::default().with_response_partition_limit(2).with_cursor(cursor.clone());
        let response = client.ask(0, &request);
        for topic in &response.topics {
            let name = topic.name.as_ref().unwrap().to_string();
            seen.extend(topic.partitions.iter().map(|partition| (name.clone(), partition.partition_index)));
        }
        match response.next_cursor {
            None => break,
            Some(next) => {
                let next_cursor = Cursor::default().with_topic_name(next.topic_name);
                cursor = Some(next_cursor.with_partition_index(next.partition_index));
            }
        }
    }
    let expected: Vec<_> =
        (0..7).map(|index| ("a".to_owned(), index)).chain((0..2).map(|index| ("b".to_owned(), index))).collect();
    assert_eq!(seen, expected);
}

#[test]
fn configs_change_what_topics_do() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "3"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 3, &[]);
    let big = "x".repeat(2000);
    let alter = |value: Option<&str>, client: &mut Client| {
        let config = AlterableConfig::default()
            .with_name(text("max.message.bytes"))
            .with_config_operation(i8::from(value.is_none()))
            .with_value(value.map(text));
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("t"))
            .with_configs(vec![config]);
        let response = client.ask(1, &IncrementalAlterConfigsRequest::default().with_resources(vec![resource]));
        response.responses[0].error_code
    };
    assert_eq!(alter(Some("1000"), &mut client), 0);
    for partition in 0..3 {
        assert_eq!(client.produce("t", partition, &[&big]).error_code, ErrorCode::MessageTooLarge.code());
    }
    assert_eq!(alter(Some("many"), &mut client), ErrorCode::InvalidConfig.code());
    for version in 1..=4 {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("t"))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
        let response = client.ask(version, &request);
        let configs = &response.results[0].configs;
        let config = configs.iter().find(|config| &*config.name == "max.message.bytes").unwrap();
        assert_eq!((config.value.as_deref(), config.config_source), (Some("1000"), 1), "version {version}");
        assert!(configs.len() > 25);
    }
    assert_eq!(alter(None, &mut client), 0);
    assert_eq!(client.produce("t", 0, &[&big]).error_code, 0);
}

#[test]
fn a_broker_killed_while_topics_come_and_go_starts_clean() {
    let directory = scratch();
    for round in 0..5_u64 {
        let broker = Broker::start(directory.path(), &["--reactors", "2"]);
        let mut client = Client::connect(broker.address);
        let mut other = Client::connect(broker.address);
        let names: Vec<String> = (0..8).map(|number| format!("r{round}-{number}")).collect();
        for topic in &names {
            client.create_topic(topic, 4, &[]);
            other.ask(9, &produce_request(1, &[(topic.as_str(), 0, batch(&["v"]))]));
        }
        // Deletions are sent and the broker killed at once, somewhere in the middle of them.
        for topic in &names {
            client.send(5, &DeleteTopicsRequest::default().with_timeout_ms(5000).with_topic_names(vec![name(topic)]));
        }
        pause(Duration::from_millis(3 * round));
        broker.kill();
    }
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    let all = client.ask(9, &MetadataRequest::default().with_topics(None));
    let topics: std::collections::BTreeSet<String> =
        all.topics.iter().map(|topic| topic.name.as_ref().unwrap().to_string()).collect();
    for entry in std::fs::read_dir(&broker.data).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some((topic, _)) = name.strip_prefix('r').and_then(|_| name.rsplit_once('-')) {
            assert!(topics.contains(topic), "directory {name} belongs to no topic");
        }
    }
}
