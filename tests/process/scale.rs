//! Many partitions and much data: memory, and the time of a start after `kill -9`.
//!
//! The goals are those of the broker on a machine of its own; other tests run beside this one, so times are the best of a
//! few tries.

use std::collections::VecDeque;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use flumen::broker::lag::GroupLag;
use flumen::protocol::StrBytes;
use flumen::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use flumen::protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use flumen::protocol::messages::{
    GroupId, InitProducerIdRequest, OffsetCommitRequest, OffsetFetchRequest, ProduceRequest, TransactionalId,
};

use super::client::{Client, batch, name, produce_request};
use super::process::{Broker, pause};
use super::{memory, scratch};

const PARTITIONS: i32 = 10_000;
/// Memory of an idle partition, in bytes.
const IDLE_PARTITION_MAX: u64 = 16 << 10;
/// From the start of the process to the first acknowledged record.
const READY_MAX: Duration = Duration::from_secs(2);
/// Others may have the machine for a while: tries that were too slow are followed by a longer and longer rest.
const TRIES: u32 = 10;
const DATA_BYTES: usize = 4 << 30;
/// What an operator has who sets nothing but the sizes of the machine: journals and thresholds are the defaults.
const FLAGS: [&str; 12] = [
    "--reactors",
    "2",
    "--memory",
    "2GiB",
    "--journal-bytes",
    "1GiB",
    "--journal-file-bytes",
    "64MiB",
    "--write-back-bytes",
    "64MiB",
    "--disk-reserve-bytes",
    "1GiB",
];

/// Starts the broker until it has served one produce, again and again after `kill -9`; gives the shortest time, and the
/// last broker.
fn best_start(data: &Path, topic: &str) -> (Duration, Broker) {
    let mut best = Duration::MAX;
    for left in (0..TRIES).rev() {
        let began = Instant::now();
        let broker = Broker::start(data, &FLAGS);
        let answer = Client::connect(broker.address).produce(topic, 0, &["first"]);
        let took = began.elapsed();
        assert_eq!(answer.error_code, 0);
        eprintln!("{topic}: ready after {took:?}");
        best = best.min(took);
        if left == 0 || best <= READY_MAX {
            return (best, broker);
        }
        broker.kill();
        pause(Duration::from_millis(500) * (TRIES - left));
    }
    unreachable!("the last try returns")
}

#[test]
fn ten_thousand_partitions_are_cheap_when_idle_and_start_within_two_seconds() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &FLAGS);
    let mut client = Client::connect(broker.address);
    pause(Duration::from_secs(1));
    let before = memory(&broker, "VmRSS");
    client.create_topic("many", PARTITIONS, &[]);
    let each = memory(&broker, "VmRSS").saturating_sub(before) / PARTITIONS as u64;
    eprintln!("an idle partition that is empty: {each} bytes");
    assert!(each <= IDLE_PARTITION_MAX, "{each} bytes an empty partition");
    produce_to_all(&mut client);
    let broker = {
        broker.kill();
        let (took, broker) = best_start(directory.path(), "many");
        assert!(took <= READY_MAX, "{PARTITIONS} partitions: ready after {took:?}");
        broker
    };
    let mut client = Client::connect(broker.address);
    for partition in (1..PARTITIONS).step_by(97) {
        assert_eq!(client.consume("many", partition, 0), [(0, format!("record of {partition}"))]);
    }
    // By now everything was written back, as it is after ten seconds without an append.
    pause(Duration::from_secs(11));
    let each = memory(&broker, "VmRSS").saturating_sub(before) / PARTITIONS as u64;
    eprintln!("an idle partition with one batch: {each} bytes");
    assert!(each <= IDLE_PARTITION_MAX, "{each} bytes a partition with one batch");
    assert!(broker.stop().success());
}

fn produce_to_all(client: &mut Client) {
    for first in (0..PARTITIONS).step_by(500) {
        let batches: Vec<_> = (first..first + 500)
            .map(|partition| ("many", partition, batch(&[&format!("record of {partition}")])))
            .collect();
        let response = client.ask(11, &produce_request(-1, &batches));
        let answers = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        assert!(answers.into_iter().all(|answer| (answer.error_code, answer.base_offset) == (0, 0)));
    }
}

#[test]
fn a_start_with_four_gib_of_data_takes_less_than_two_seconds() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &FLAGS);
    Client::connect(broker.address).create_topic("much", 4, &[]);
    let address = broker.address;
    let began = Instant::now();
    let value = "x".repeat(900_000);
    let requests = DATA_BYTES / value.len() / 4;
    let writers: Vec<_> = (0..4)
        .map(|partition| {
            let request = produce_request(-1, &[("much", partition, batch(&[&value]))]);
            thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut flying = VecDeque::new();
                for _ in 0..requests {
                    flying.push_back(client.send(11, &request));
                    if flying.len() == 4 {
                        acknowledged(&mut client, flying.pop_front().unwrap());
                    }
                }
                flying.into_iter().for_each(|id| acknowledged(&mut client, id));
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    eprintln!("{} MiB produced in {:?}", DATA_BYTES >> 20, began.elapsed());
    broker.kill();
    let (took, _broker) = best_start(directory.path(), "much");
    assert!(took <= READY_MAX, "{} MiB of data: ready after {took:?}", DATA_BYTES >> 20);
}

/// A few requests of a client that waits for each answer are enough to fill the coordinators' partitions.
const GROUPS: usize = 10_000;
const TRANSACTIONAL_IDS: usize = 1_000;
/// Memory of a group with one committed offset, or of a transactional id, in bytes: two kilobytes, and what the process's
/// resident memory is blurred by.
const GROUP_MAX: u64 = 2560;
const AT_A_TIME: usize = 100;

/// Sends requests, some at a time, again where the coordinator is not ready.
fn ask_all<R: kafka_protocol::protocol::Request>(
    client: &mut Client,
    version: i16,
    requests: &[R],
    code: impl Fn(&R::Response) -> i16,
) {
    for some in requests.chunks(AT_A_TIME) {
        let mut left: Vec<&R> = some.iter().collect();
        while !left.is_empty() {
            let sent: Vec<i32> = left.iter().map(|request| client.send(version, *request)).collect();
            let codes: Vec<i16> = sent.iter().map(|id| code(&client.receive::<R>(version, *id))).collect();
            assert!(codes.iter().all(|code| matches!(code, 0 | 14..=16)), "{codes:?}");
            left = left.into_iter().zip(codes).filter(|(_, code)| *code != 0).map(|(request, _)| request).collect();
        }
    }
}

#[test]
fn many_groups_and_transactional_ids_take_little_and_are_loaded_at_once() {
    let text = |what: &str, number: usize| StrBytes::from_string(format!("{what}-{number}"));
    let directory = scratch();
    let broker = Broker::start(directory.path(), &FLAGS);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", 1, &[]);
    let commit = |number: usize| {
        let partition = OffsetCommitRequestPartition::default()
            .with_committed_offset(number as i64)
            .with_committed_metadata(Some(StrBytes::default()));
        let topic = OffsetCommitRequestTopic::default().with_name(name("t")).with_partitions(vec![partition]);
        OffsetCommitRequest::default()
            .with_group_id(GroupId(text("group", number)))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic])
    };
    let begin = |number: usize| {
        InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text("id", number))))
            .with_transaction_timeout_ms(60_000)
    };
    // The coordinators' partitions are there before anything is measured.
    ask_all(&mut client, 8, &[commit(0)], |response| response.topics[0].partitions[0].error_code);
    ask_all(&mut client, 4, &[begin(0)], |response| response.error_code);
    let before = memory(&broker, "VmRSS");
    let commits: Vec<_> = (0..GROUPS).map(commit).collect();
    ask_all(&mut client, 8, &commits, |response| response.topics[0].partitions[0].error_code);
    let ids: Vec<_> = (0..TRANSACTIONAL_IDS).map(begin).collect();
    ask_all(&mut client, 4, &ids, |response| response.error_code);
    let each = memory(&broker, "VmRSS").saturating_sub(before) / (GROUPS + TRANSACTIONAL_IDS) as u64;
    eprintln!("a group or transactional id: {each} bytes, the log's own memory included");
    assert!(each <= GROUP_MAX, "{each} bytes a group");
    broker.kill();

    let began = Instant::now();
    let broker = Broker::start(directory.path(), &FLAGS);
    let mut client = Client::connect(broker.address);
    let fetch = |number: usize| {
        let topic = OffsetFetchRequestTopics::default().with_name(name("t")).with_partition_indexes(vec![0]);
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(text("group", number)))
            .with_topics(Some(vec![topic]));
        OffsetFetchRequest::default().with_groups(vec![group])
    };
    for number in (0..GROUPS).step_by(97) {
        ask_all(&mut client, 8, &[fetch(number)], |response| {
            let group = &response.groups[0];
            if group.error_code == 0 {
                assert_eq!(group.topics[0].partitions[0].committed_offset, number as i64);
            }
            group.error_code
        });
    }
    let took = began.elapsed();
    eprintln!("all groups are known {took:?} after the start");
    assert!(took <= 2 * READY_MAX, "{took:?}");
    // An operator sees all of them, page by page.
    let listed: Vec<GroupLag> = serde_json::from_str(&broker.command(&["group", "list", "--json"])).unwrap();
    let mut names: Vec<_> = (0..GROUPS).map(|number| format!("group-{number}")).collect();
    names.sort();
    assert!(listed.iter().map(|one| &one.group).eq(&names), "{} groups are listed", listed.len());
    assert!(listed.iter().all(|one| format!("group-{}", one.partitions[0].offset) == one.group));
}

fn acknowledged(client: &mut Client, id: i32) {
    let response = client.receive::<ProduceRequest>(11, id);
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
}
