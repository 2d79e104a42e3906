//! Produce: what is acknowledged, in which order, and what is refused.

use std::time::{Duration, Instant};

use flumen::model::error_code::ErrorCode;
use flumen::protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use flumen::protocol::messages::{InitProducerIdRequest, ProduceRequest};
use flumen::record::{BatchBuilder, Compression};

use super::client::{Client, batch, fetch_request, fetched, name, produce_request, values};
use super::process::{Broker, pause};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[test]
fn all_versions_round_trip() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    let id = client.create_topic("t", 4, &[]);
    let mut expected = [0; 4];
    for version in 3..=13 {
        for partition in 0..4 {
            let value = format!("{version}/{partition}");
            let data = PartitionProduceData::default()
                .with_index(partition)
                .with_records(Some(batch(&[&value, "second"]).into()));
            let topic = TopicProduceData::default().with_partition_data(vec![data]);
            let topic = if version >= 13 { topic.with_topic_id(id) } else { topic.with_name(name("t")) };
            let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(5000).with_topic_data(vec![topic]);
            let response = client.ask(version, &request);
            let answer = &response.responses[0].partition_responses[0];
            assert_eq!((answer.error_code, answer.index), (0, partition), "version {version}");
            assert_eq!(answer.base_offset, expected[partition as usize], "version {version}");
            assert_eq!(answer.log_append_time_ms, -1);
            expected[partition as usize] += 2;
        }
    }
    for partition in 0..4 {
        let all = client.consume("t", partition, 0);
        assert_eq!(all.len(), 22);
        assert_eq!(all[20], (20, format!("13/{partition}")));
    }
}

#[test]
fn pipelined_requests_are_appended_and_answered_in_order() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "3"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("order", 3, &[]);
    // Batches of very different sizes, so that frames within a chunk, across chunks and received directly alternate.
    let sizes = [10, 20_000, 100, 400_000, 1, 70_000, 3000];
    let ids: Vec<i32> = (0..210)
        .map(|number: usize| {
            let value = format!("{number}:{}", "x".repeat(sizes[number % sizes.len()]));
            client.send(11, &produce_request(-1, &[("order", (number % 3) as i32, batch(&[&value]))]))
        })
        .collect();
    for (number, id) in ids.into_iter().enumerate() {
        let response = client.receive::<ProduceRequest>(11, id);
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!((answer.error_code, answer.base_offset), (0, number as i64 / 3));
    }
    for partition in 0..3 {
        let all = client.consume("order", partition, 0);
        let numbers: Vec<usize> =
            all.iter().map(|(_, value)| value.split(':').next().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (0..70).map(|at| at * 3 + partition as usize).collect::<Vec<_>>());
    }
}

#[test]
fn one_request_may_reach_all_reactors() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "3"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("a", 6, &[]);
    let batches: Vec<_> = (0..6).map(|partition| ("a", partition, batch(&["v"]))).collect();
    let mut batches: Vec<_> = batches.into_iter().collect();
    batches.push(("missing", 0, batch(&["v"])));
    batches.push(("a", 6, batch(&["v"])));
    let response = client.ask(9, &produce_request(1, &batches));
    let codes: Vec<i16> = response.responses.iter().map(|topic| topic.partition_responses[0].error_code).collect();
    assert_eq!(codes, [0, 0, 0, 0, 0, 0, 3, 3]);
    assert!(response.responses[6].partition_responses[0].error_message.as_ref().unwrap().contains("missing"));
}

#[test]
fn acks_0_has_no_reply_and_an_error_closes_the_connection() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("quiet", 1, &[]);
    for _ in 0..10 {
        client.send(9, &produce_request(0, &[("quiet", 0, batch(&["v"]))]));
    }
    // The reply to the next request is the next reply.
    assert_eq!(client.produce("quiet", 0, &["last"]).base_offset, 10);
    client.send(9, &produce_request(0, &[("missing", 0, batch(&["v"]))]));
    assert!(client.frame().is_none());
}

#[test]
fn refusals_explain_themselves() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "1"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 1, &[("max.message.bytes", "1000")]);
    let mut refuse = |version: i16, acks: i16, batch: Vec<u8>| {
        let response = client.ask(version, &produce_request(acks, &[("t", 0, batch)]));
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.base_offset, -1);
        if version >= 8 {
            assert!(!answer.error_message.as_ref().unwrap().is_empty());
        }
        ErrorCode::from_code(answer.error_code).unwrap()
    };
    assert_eq!(refuse(9, 2, batch(&["v"])), ErrorCode::InvalidRequiredAcks);
    assert_eq!(refuse(9, 1, batch(&[&"x".repeat(2000)])), ErrorCode::MessageTooLarge);
    let mut damaged = batch(&["value"]);
    let value_at = damaged.len() - 3;
    damaged[value_at] ^= 1;
    assert_eq!(refuse(9, 1, damaged), ErrorCode::CorruptMessage);
    assert_eq!(refuse(9, 1, [batch(&["one"]), batch(&["two"])].concat()), ErrorCode::InvalidRecord);
    let mut zstd = BatchBuilder::new().compression(Compression::Zstd);
    zstd.append(1, None, Some(b"value"), &[]);
    let zstd = zstd.build(0);
    assert_eq!(refuse(6, 1, zstd.clone()), ErrorCode::UnsupportedCompressionType);
    assert_ne!(refuse(9, 1, vec![0; 200]), ErrorCode::None);
    assert_eq!(refuse(9, 1, Vec::new()), ErrorCode::InvalidRecord);
    // Nobody says in which transaction it is.
    let mut transactional = BatchBuilder::new().producer(7, 0, 0).transactional();
    transactional.append(1, None, Some(b"value"), &[]);
    assert_eq!(refuse(9, -1, transactional.build(0)), ErrorCode::TransactionalIdAuthorizationFailed);
    let response = client.ask(7, &produce_request(1, &[("t", 0, zstd)]));
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
}

#[test]
fn log_append_time_is_the_brokers() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 2, &[("message.timestamp.type", "LogAppendTime")]);
    for partition in 0..2 {
        let answer = client.produce("t", partition, &["v"]);
        assert_eq!(answer.error_code, 0);
        assert!(answer.log_append_time_ms > 1_600_000_000_000, "{}", answer.log_append_time_ms);
    }
}

fn init_producer_id() -> InitProducerIdRequest {
    InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(1000)
}

#[test]
fn idempotent_producers_are_deduplicated() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 2, &[]);
    let mut ids = std::collections::BTreeSet::new();
    for version in 0..=5 {
        let response = client.ask(version, &init_producer_id());
        assert_eq!((response.error_code, response.producer_epoch), (0, 0), "version {version}");
        assert!(ids.insert(response.producer_id.0));
    }
    let mut other = Client::connect(broker.address);
    let id = other.ask(4, &init_producer_id()).producer_id.0;
    assert!(ids.insert(id), "connections on other reactors get other ids");
    let idempotent = |sequence| {
        let mut batch = BatchBuilder::new().producer(id, 0, sequence);
        batch.append(1, None, Some(b"a"), &[]).append(1, None, Some(b"b"), &[]);
        batch.build(0)
    };
    for partition in 0..2 {
        let mut produce = |sequence| {
            let response = client.ask(9, &produce_request(-1, &[("t", partition, idempotent(sequence))]));
            let answer = &response.responses[0].partition_responses[0];
            (answer.error_code, answer.base_offset)
        };
        assert_eq!(produce(0), (0, 0));
        assert_eq!(produce(2), (0, 2));
        assert_eq!(produce(0), (0, 0), "a repeated batch has the offset it had");
        assert_eq!(produce(9).0, ErrorCode::OutOfOrderSequenceNumber.code());
    }
}

#[test]
fn what_was_acknowledged_survives_the_process() {
    let directory = scratch();
    let mut expected = Vec::new();
    for round in 0..6 {
        let reactors = (round % 3 + 1).to_string();
        let broker = Broker::start(directory.path(), &["--reactors", &reactors]);
        let mut client = Client::connect(broker.address);
        if round == 0 {
            client.create_topic("kept", 5, &[]);
        }
        for number in 0..20 {
            let value = format!("{round}/{number}");
            for partition in 0..5 {
                assert_eq!(client.produce("kept", partition, &[&value]).error_code, 0);
            }
            expected.push(value);
        }
        for partition in 0..5 {
            let all = client.consume("kept", partition, 0);
            let values: Vec<String> = all.into_iter().map(|(_, value)| value).collect();
            assert_eq!(values, expected, "round {round}, partition {partition}");
        }
        if round % 2 == 0 {
            broker.kill();
        } else {
            assert!(broker.stop().success());
        }
    }
}

#[test]
fn a_stop_answers_what_is_in_flight() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 1, &[]);
    let mut waiting = Client::connect(broker.address);
    let id = waiting.send(12, &fetch_request(&[("t", 0, 0)]).with_max_wait_ms(60_000));
    pause(Duration::from_millis(100));
    let started = Instant::now();
    assert!(broker.stop().success());
    assert!(started.elapsed() < Duration::from_secs(5), "a waiting fetch does not hold the stop up");
    let response = waiting.receive::<flumen::protocol::messages::FetchRequest>(12, id);
    let (_, data) = fetched(&response)[0];
    assert_eq!((data.error_code, values(data.records.as_deref().unwrap_or_default()).len()), (0, 0));
    assert!(waiting.frame().is_none());
}
