//! Fetch and its relatives: what is read, how long is waited, and what a session remembers.

use std::time::{Duration, Instant};

use flumen::model::error_code::ErrorCode;
use flumen::protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use flumen::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use flumen::protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use flumen::protocol::messages::{BrokerId, FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest};

use super::client::{Client, fetch_request, fetched, name, values};
use super::process::{Broker, pause};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[test]
fn all_versions_read_what_was_written() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    let id = client.create_topic("t", 2, &[]);
    client.produce("t", 0, &["a", "b"]);
    client.produce("t", 0, &["c"]);
    client.produce("t", 1, &["d"]);
    for version in 4..=18 {
        let mut request = fetch_request(&[("t", 0, 0), ("t", 1, 0)]);
        if version >= 13 {
            for topic in &mut request.topics {
                topic.topic = name("");
                topic.topic_id = id;
            }
        }
        if version < 7 {
            request.session_epoch = -1;
        }
        let response = client.ask(version, &request);
        let all: Vec<_> = fetched(&response).iter().map(|(_, data)| values(data.records.as_deref().unwrap())).collect();
        let expected = [vec![(0, "a"), (1, "b"), (2, "c")], vec![(0, "d")]];
        let expected =
            expected.map(|one| one.into_iter().map(|(at, value)| (at, value.to_owned())).collect::<Vec<_>>());
        assert_eq!(all, expected, "version {version}");
        assert_eq!((response.error_code, fetched(&response)[0].1.high_watermark), (0, 3));
        assert_eq!(fetched(&response)[0].1.last_stable_offset, 3);
    }
    // An offset within a batch brings the whole batch.
    let response = client.ask(12, &fetch_request(&[("t", 0, 1)]));
    assert_eq!(values(fetched(&response)[0].1.records.as_deref().unwrap())[0].0, 0);
}

#[test]
fn limits_bound_a_reply_but_never_starve() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "3"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 6, &[]);
    let value = "x".repeat(10_000);
    for _ in 0..5 {
        for partition in 0..6 {
            client.produce("t", partition, &[&value]);
        }
    }
    let all: Vec<(&str, i32, i64)> = (0..6).map(|partition| ("t", partition, 0)).collect();
    let sizes = |request: &FetchRequest, client: &mut Client| {
        let response = client.ask(12, request);
        fetched(&response)
            .iter()
            .map(|(_, data)| data.records.as_ref().map_or(0, bytes::Bytes::len))
            .collect::<Vec<_>>()
    };
    let one = sizes(&fetch_request(&all).with_max_bytes(1), &mut client);
    assert_eq!(one.iter().filter(|size| **size > 0).count(), 1, "one batch at least and no second one: {one:?}");
    let total: usize = sizes(&fetch_request(&all).with_max_bytes(100_000), &mut client).iter().sum();
    assert!((10_000..=100_000).contains(&total), "{total}");
    let mut narrow = fetch_request(&all);
    narrow.topics.iter_mut().for_each(|topic| topic.partitions[0].partition_max_bytes = 25_000);
    let narrowed = sizes(&narrow, &mut client);
    assert!(narrowed.iter().all(|size| (20_000..=25_000).contains(size)), "two batches each: {narrowed:?}");
    narrow.topics.iter_mut().for_each(|topic| topic.partitions[0].partition_max_bytes = 100);
    assert_eq!(sizes(&narrow, &mut client).iter().filter(|size| **size > 0).count(), 1);
}

#[test]
fn a_fetch_waits_for_data_on_any_reactor() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "3"]);
    let mut producer = Client::connect(broker.address);
    producer.create_topic("t", 6, &[]);
    let mut consumers: Vec<Client> = (0..3).map(|_| Client::connect(broker.address)).collect();
    for partition in 0..6 {
        let all: Vec<(&str, i32, i64)> = (0..6).map(|index| ("t", index, i64::from(index < partition))).collect();
        let request = fetch_request(&all).with_max_wait_ms(15_000);
        let ids: Vec<i32> = consumers.iter_mut().map(|consumer| consumer.send(12, &request)).collect();
        pause(Duration::from_millis(50));
        let started = Instant::now();
        producer.produce("t", partition, &["news"]);
        for (consumer, id) in consumers.iter_mut().zip(ids) {
            let response = consumer.receive::<FetchRequest>(12, id);
            let with_data: Vec<i32> = fetched(&response)
                .iter()
                .filter(|(_, data)| data.records.as_ref().is_some_and(|records| !records.is_empty()))
                .map(|(_, data)| data.partition_index)
                .collect();
            assert_eq!(with_data, [partition]);
        }
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
}

#[test]
fn a_fetch_waits_for_as_much_as_it_asks_and_no_longer_than_it_says() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "3"]);
    let mut producer = Client::connect(broker.address);
    producer.create_topic("t", 6, &[]);
    let all: Vec<(&str, i32, i64)> = (0..6).map(|index| ("t", index, 0)).collect();
    let mut consumer = Client::connect(broker.address);
    let started = Instant::now();
    let response = consumer.ask(12, &fetch_request(&all).with_max_wait_ms(200));
    assert!((150..2000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    assert_eq!(fetched(&response).len(), 6);
    // 6 partitions bring a little each; only all of them together are enough.
    let request = fetch_request(&all).with_max_wait_ms(15_000).with_min_bytes(5000);
    let id = consumer.send(12, &request);
    let value = "x".repeat(1000);
    for partition in 0..6 {
        pause(Duration::from_millis(20));
        producer.produce("t", partition, &[&value]);
    }
    let response = consumer.receive::<FetchRequest>(12, id);
    let total: usize =
        fetched(&response).iter().map(|(_, data)| data.records.as_ref().map_or(0, bytes::Bytes::len)).sum();
    assert!(total >= 5000, "{total}");
}

#[test]
fn errors_of_partitions_are_told_one_by_one() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    let id = client.create_topic("t", 2, &[]);
    client.produce("t", 0, &["a"]);
    let response = client.ask(12, &fetch_request(&[("t", 0, 5), ("t", 1, 0), ("t", 2, 0), ("missing", 0, 0)]));
    let codes: Vec<i16> = fetched(&response).iter().map(|(_, data)| data.error_code).collect();
    assert_eq!(codes, [ErrorCode::OffsetOutOfRange.code(), 0, 3, 3]);
    let mut fenced = fetch_request(&[("t", 0, 0)]);
    fenced.topics[0].partitions[0].current_leader_epoch = 7;
    let response = client.ask(12, &fenced);
    assert_eq!(fetched(&response)[0].1.error_code, ErrorCode::UnknownLeaderEpoch.code());
    let mut by_id = fetch_request(&[("", 0, 0)]);
    by_id.topics[0].topic_id = uuid::Uuid::from_u128(0x1234);
    let response = client.ask(13, &by_id);
    assert_eq!(fetched(&response)[0].1.error_code, ErrorCode::UnknownTopicId.code());
    by_id.topics[0].topic_id = id;
    let response = client.ask(13, &by_id);
    assert_eq!(fetched(&response)[0].1.error_code, 0);
}

fn session_request(session: (i32, i32), partitions: &[(i32, i64)], forgotten: &[i32]) -> FetchRequest {
    let partitions: Vec<_> = partitions
        .iter()
        .map(|(index, offset)| {
            let partition = FetchPartition::default().with_partition(*index).with_fetch_offset(*offset);
            partition.with_partition_max_bytes(1 << 20)
        })
        .collect();
    let mut request = fetch_request(&[]).with_session_id(session.0).with_session_epoch(session.1);
    if !partitions.is_empty() {
        request.topics = vec![FetchTopic::default().with_topic(name("t")).with_partitions(partitions)];
    }
    if !forgotten.is_empty() {
        let forgotten = ForgottenTopic::default().with_topic(name("t")).with_partitions(forgotten.to_vec());
        request.forgotten_topics_data = vec![forgotten];
    }
    request
}

#[test]
fn sessions_tell_only_news() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 3, &[]);
    let response = client.ask(12, &session_request((0, 0), &[(0, 0), (1, 0), (2, 0)], &[]));
    let id = response.session_id;
    assert!(id > 0);
    assert_eq!(fetched(&response).len(), 3);
    let indexes = |request: &FetchRequest, client: &mut Client| {
        let response = client.ask(12, request);
        assert_eq!((response.error_code, response.session_id), (0, id));
        fetched(&response).iter().map(|(_, data)| data.partition_index).collect::<Vec<_>>()
    };
    assert_eq!(indexes(&session_request((id, 1), &[], &[]), &mut client), Vec::<i32>::new());
    client.produce("t", 1, &["a"]);
    assert_eq!(indexes(&session_request((id, 2), &[], &[]), &mut client), [1]);
    assert_eq!(indexes(&session_request((id, 3), &[(1, 1)], &[]), &mut client), Vec::<i32>::new());
    client.produce("t", 0, &["b"]);
    client.produce("t", 2, &["c"]);
    assert_eq!(indexes(&session_request((id, 4), &[], &[2]), &mut client), [0]);
    let wrong = client.ask(12, &session_request((id, 9), &[], &[]));
    assert_eq!(wrong.error_code, ErrorCode::InvalidFetchSessionEpoch.code());
    let unknown = client.ask(12, &session_request((id ^ 1, 1), &[], &[]));
    assert_eq!(unknown.error_code, ErrorCode::FetchSessionIdNotFound.code());
    let ended = client.ask(12, &session_request((id, -1), &[(0, 0)], &[]));
    assert_eq!((ended.error_code, ended.session_id), (0, 0));
    let gone = client.ask(12, &session_request((id, 5), &[], &[]));
    assert_eq!(gone.error_code, ErrorCode::FetchSessionIdNotFound.code());
}

#[test]
fn offsets_are_found_by_time() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 2, &[]);
    // Timestamps are 1000, 1001, 1002 in each batch.
    for partition in 0..2 {
        client.produce("t", partition, &["a", "b", "c"]);
    }
    for version in 1..=11 {
        for partition in 0..2 {
            let mut ask = |timestamp: i64| {
                let wanted = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp);
                let topic = ListOffsetsTopic::default().with_name(name("t")).with_partitions(vec![wanted]);
                let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
                let response = client.ask(version, &request);
                let found = &response.topics[0].partitions[0];
                (found.error_code, found.offset, found.timestamp)
            };
            assert_eq!(ask(-1), (0, 3, -1), "version {version}");
            assert_eq!(ask(-2), (0, 0, -1));
            assert_eq!(ask(1001), (0, 1, 1001));
            assert_eq!(ask(1003), (0, -1, -1));
            if version >= 7 {
                assert_eq!(ask(-3), (0, 2, 1002));
            } else {
                assert_eq!(ask(-3).0, ErrorCode::UnsupportedVersion.code());
            }
        }
    }
}

#[test]
fn epochs_end_where_the_log_does() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 2, &[]);
    client.produce("t", 0, &["a", "b"]);
    for version in 2..=4 {
        let partitions = [0, 1, 2].map(|index| {
            let wanted = OffsetForLeaderPartition::default().with_partition(index).with_leader_epoch(0);
            wanted.with_current_leader_epoch(-1)
        });
        let topic = OffsetForLeaderTopic::default().with_topic(name("t")).with_partitions(partitions.to_vec());
        let request = OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        let response = client.ask(version, &request);
        let ends: Vec<_> = response.topics[0].partitions.iter().map(|end| (end.error_code, end.end_offset)).collect();
        assert_eq!(ends[0], (0, 2), "version {version}");
        assert_eq!(ends[2].0, ErrorCode::UnknownTopicOrPartition.code());
    }
}
