//! Committed offsets: of groups without members.

use std::time::{Duration, Instant};

use flumen::broker::lag::GroupLag;
use flumen::model::error_code::ErrorCode;
use flumen::protocol::StrBytes;
use flumen::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use flumen::protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use flumen::protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use flumen::protocol::messages::{
    DeleteTopicsRequest, FindCoordinatorRequest, GroupId, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest,
};
use flumen::protocol::primitives::{Reader, Writer};
use uuid::Uuid;

use super::client::{Client, batch, name, produce_request};
use super::process::Broker;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group(id: &str) -> GroupId {
    GroupId(text(id))
}

fn find(client: &mut Client, key: &str) {
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(key)]);
    let response = client.ask(6, &request);
    assert_eq!(response.coordinators[0].error_code, 0, "{:?}", response.coordinators[0].error_message);
}

/// The codes of one commit of partition 0 and of one that does not exist.
fn commit(client: &mut Client, version: i16, group_id: &str, topic: &str, offset: i64) -> Vec<i16> {
    let partition = |index: i32| {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("words")));
        if version >= 6 { partition.with_committed_leader_epoch(0) } else { partition }
    };
    let wanted =
        OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition(0), partition(99)]);
    let request = OffsetCommitRequest::default().with_group_id(group(group_id)).with_topics(vec![wanted]);
    loop {
        let response = client.ask(version, &request);
        let told: Vec<i16> = response.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
        if told[0] != ErrorCode::CoordinatorLoadInProgress.code() {
            return told;
        }
    }
}

/// The offset of partition 0, and the error of partition or group.
fn fetch(client: &mut Client, version: i16, group_id: &str, topic: &str) -> (i64, i16) {
    let request = if version >= 8 {
        let wanted = OffsetFetchRequestTopics::default().with_name(name(topic)).with_partition_indexes(vec![0]);
        let asked = OffsetFetchRequestGroup::default().with_group_id(group(group_id)).with_topics(Some(vec![wanted]));
        OffsetFetchRequest::default().with_groups(vec![asked])
    } else {
        let wanted = OffsetFetchRequestTopic::default().with_name(name(topic)).with_partition_indexes(vec![0]);
        OffsetFetchRequest::default().with_group_id(group(group_id)).with_topics(Some(vec![wanted]))
    };
    loop {
        let response = client.ask(version, &request);
        let (offset, code) = if version >= 8 {
            let told = &response.groups[0];
            match told.topics.first() {
                Some(topic) => (topic.partitions[0].committed_offset, topic.partitions[0].error_code),
                None => (-1, told.error_code),
            }
        } else {
            match response.topics.first() {
                Some(topic) => (topic.partitions[0].committed_offset, topic.partitions[0].error_code),
                None => (-1, response.error_code),
            }
        };
        if code != ErrorCode::CoordinatorLoadInProgress.code() {
            return (offset, code);
        }
    }
}

#[test]
fn coordinators_are_found_in_every_version_and_their_topics_made_on_the_way() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    for version in 0..=6 {
        for key_type in 0..=1i8 {
            let request = FindCoordinatorRequest::default();
            let request = if version >= 1 { request.with_key_type(key_type) } else { request };
            let (code, node, port) = if version >= 4 {
                let response = client.ask(version, &request.with_coordinator_keys(vec![text("a"), text("b")]));
                assert_eq!(response.coordinators.len(), 2);
                let told = &response.coordinators[1];
                assert_eq!(&*told.key, "b");
                (told.error_code, told.node_id.0, told.port)
            } else {
                let response = client.ask(version, &request.with_key(text("a")));
                (response.error_code, response.node_id.0, response.port)
            };
            assert_eq!((code, node, port), (0, 1, i32::from(broker.address.port())), "version {version}");
        }
    }
    let nothing =
        client.ask(6, &FindCoordinatorRequest::default().with_key_type(9).with_coordinator_keys(vec![text("a")]));
    assert_eq!(nothing.coordinators[0].error_code, ErrorCode::InvalidRequest.code());
    let topics = client.ask(9, &MetadataRequest::default().with_topics(None)).topics;
    let told: Vec<_> = topics
        .iter()
        .map(|topic| (topic.name.as_ref().unwrap().to_string(), topic.is_internal, topic.partitions.len()))
        .collect();
    assert_eq!(told, [("__consumer_offsets".to_owned(), true, 50), ("__transaction_state".to_owned(), true, 50)]);
    let refused = client.ask(9, &produce_request(-1, &[("__consumer_offsets", 0, batch(&["v"]))]));
    let told = &refused.responses[0].partition_responses[0];
    assert_eq!(told.error_code, ErrorCode::InvalidTopicException.code());
}

#[test]
fn offsets_are_committed_and_fetched_in_every_version_and_outlive_a_kill() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 1, &[]);
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    for version in 2..=9 {
        // Groups of all versions together fall on both reactors.
        let told = commit(&mut client, version, &format!("group {version}"), "t", 100 + i64::from(version));
        assert_eq!(told, [0, unknown], "version {version}");
    }
    assert_eq!(commit(&mut client, 2, "group 2", "no such topic", 1), [unknown; 2]);
    broker.kill();
    for flags in [["--reactors", "2"], ["--reactors", "1"]] {
        let broker = Broker::start(directory.path(), &flags);
        let mut client = Client::connect(broker.address);
        for version in 1..=9 {
            for committed in 2..=9 {
                let told = fetch(&mut client, version, &format!("group {committed}"), "t");
                assert_eq!(told, (100 + committed, 0), "fetched in version {version}");
            }
            assert_eq!(fetch(&mut client, version, "another group", "t"), (-1, 0));
        }
    }
}

/// Commits partition 0 and one that does not exist, by topic id (version 10); gives their codes.
fn commit_by_id(client: &mut Client, group_id: &str, id: Uuid, offset: i64) -> Vec<i16> {
    let mut body = Writer::body(true);
    body.string(group_id);
    body.i32(-1);
    body.string("");
    body.nullable_string(None);
    body.wide_length(Some(1));
    body.uuid(id);
    body.wide_length(Some(2));
    for partition in [0, 99] {
        body.i32(partition);
        body.i64(offset);
        body.i32(0);
        body.nullable_string(Some("words"));
        body.tagged_fields(0);
    }
    body.tagged_fields(0);
    body.tagged_fields(0);
    let reply = client.ask_raw(8, 10, &body.into_bytes());
    let mut reply = Reader::new(&reply, 0, true);
    assert_eq!(reply.i32(), Ok(0), "no throttling");
    assert_eq!((reply.array_length(1), reply.uuid(), reply.array_length(1)), (Ok(1), Ok(id), Ok(2)));
    let codes = [0, 99].map(|partition| {
        assert_eq!(reply.i32(), Ok(partition));
        let code = reply.i16().unwrap();
        reply.skip_tagged_fields().unwrap();
        code
    });
    codes.to_vec()
}

/// The offset of partition 0 by topic id (version 10), and its error.
fn fetch_by_id(client: &mut Client, group_id: &str, id: Uuid) -> (i64, i16) {
    let mut body = Writer::body(true);
    body.wide_length(Some(1));
    body.string(group_id);
    body.nullable_string(None);
    body.i32(-1);
    body.wide_length(Some(1));
    body.uuid(id);
    body.wide_length(Some(1));
    body.i32(0);
    // Of the topic and of the group; then require_stable, and the end of the request.
    body.tagged_fields(0);
    body.tagged_fields(0);
    let mut body = body.into_bytes();
    body.extend([1, 0]);
    let reply = client.ask_raw(9, 10, &body);
    let mut reply = Reader::new(&reply, 0, true);
    assert_eq!((reply.i32(), reply.array_length(1), reply.string()), (Ok(0), Ok(1), Ok(group_id)));
    assert_eq!((reply.array_length(1), reply.uuid(), reply.array_length(1)), (Ok(1), Ok(id), Ok(1)));
    assert_eq!(reply.i32(), Ok(0));
    let offset = reply.i64().unwrap();
    reply.i32().unwrap();
    reply.nullable_string().unwrap();
    (offset, reply.i16().unwrap())
}

#[test]
fn topics_are_named_by_their_ids_too() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    let id = client.create_topic("t", 1, &[]);
    find(&mut client, "g");
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(commit_by_id(&mut client, "g", id, 77), [0, unknown]);
    assert_eq!(fetch_by_id(&mut client, "g", id), (77, 0));
    assert_eq!(fetch(&mut client, 9, "g", "t"), (77, 0));
    let nowhere = Uuid::from_u128(9);
    assert_eq!(commit_by_id(&mut client, "g", nowhere, 1), [ErrorCode::UnknownTopicId.code(); 2]);
    assert_eq!(fetch_by_id(&mut client, "g", nowhere), (-1, ErrorCode::UnknownTopicId.code()));
}

#[test]
fn lag_is_known_in_records_and_in_time() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 2, &[]);
    find(&mut client, "g");
    client.produce("t", 0, &["a", "b", "c"]);
    client.produce("t", 0, &["d"]);
    assert_eq!(commit(&mut client, 9, "g", "t", 3)[0], 0);
    assert_eq!(commit(&mut client, 9, "done", "t", 4)[0], 0);
    let listed = broker.command(&["group", "list", "--json"]);
    let groups: Vec<GroupLag> = serde_json::from_str(&listed).unwrap();
    let told: Vec<_> = groups.iter().map(|group| (group.group.as_str(), group.records)).collect();
    assert_eq!(told, [("done", 0), ("g", 1)]);
    assert_eq!((groups[0].state.as_str(), groups[0].members), ("Empty", 0));
    assert_eq!(groups[0].partitions[0].ms, Some(0));
    let partition = &groups[1].partitions[0];
    assert_eq!((partition.offset, partition.end, partition.records), (3, Some(4), Some(1)));
    // The test's batches are of the first second of 1970.
    assert!(partition.ms.unwrap() > 1_000_000_000_000, "{partition:?}");
    let described = broker.command(&["group", "describe", "g"]);
    assert!(described.contains("group g: classic, Empty, 0 members, 1 records behind"), "{described}");
    assert!(broker.command(&["group", "list"]).contains("done"));

    client.create_topic("now", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let began = Instant::now();
    client.produce("now", 0, &["a"]);
    let produced = Instant::now();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(commit(&mut client, 9, "late", "now", 0)[0], 0);
    let passed_least = produced.elapsed().as_millis() as i64;
    let described = broker.command(&["group", "describe", "late", "--json"]);
    let late: GroupLag = serde_json::from_str(&described).unwrap();
    let passed_most = began.elapsed().as_millis() as i64 + 1;
    assert_eq!((late.records, late.partitions.len()), (1, 1));
    assert!((passed_least - 1..=passed_most).contains(&late.ms), "{late:?}: {passed_least} to {passed_most}");
    assert!(late.partitions[0].committed_ago_ms <= passed_most);
}

#[test]
fn several_groups_are_fetched_in_one_request() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 1, &[]);
    let groups: Vec<String> = (0..40).map(|number| format!("g{number}")).collect();
    for (at, group_id) in (0..).zip(&groups) {
        assert_eq!(commit(&mut client, 9, group_id, "t", at)[0], 0);
    }
    let asked = groups.iter().map(|id| OffsetFetchRequestGroup::default().with_group_id(group(id)).with_topics(None));
    let response = client.ask(9, &OffsetFetchRequest::default().with_groups(asked.collect()));
    let told: Vec<_> = response
        .groups
        .iter()
        .map(|group| (group.group_id.0.to_string(), group.topics[0].partitions[0].committed_offset))
        .collect();
    assert_eq!(told, groups.into_iter().zip(0..).collect::<Vec<_>>());
}

#[test]
fn offsets_go_with_their_topic_and_by_request() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 1, &[]);
    client.create_topic("other", 1, &[]);
    find(&mut client, "g");
    assert_eq!(commit(&mut client, 8, "g", "t", 5)[0], 0);
    assert_eq!(commit(&mut client, 8, "g", "other", 6)[0], 0);
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
    let topic = OffsetDeleteRequestTopic::default().with_name(name("other")).with_partitions(vec![partition]);
    let delete = OffsetDeleteRequest::default().with_topics(vec![topic]);
    let response = client.ask(0, &delete.clone().with_group_id(group("g")));
    assert_eq!((response.error_code, response.topics[0].partitions[0].error_code), (0, 0));
    assert_eq!(fetch(&mut client, 9, "g", "other"), (-1, 0));
    let response = client.ask(0, &delete.with_group_id(group("nobody")));
    assert_eq!(response.error_code, ErrorCode::GroupIdNotFound.code());
    let response =
        client.ask(4, &DeleteTopicsRequest::default().with_topic_names(vec![name("t")]).with_timeout_ms(9000));
    assert_eq!(response.responses[0].error_code, 0);
    client.create_topic("t", 1, &[]);
    assert_eq!(fetch(&mut client, 9, "g", "t"), (-1, 0), "the offset went with its topic");
}
