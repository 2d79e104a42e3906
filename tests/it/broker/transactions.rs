//! Transactions over the wire, in both protocols: what counts, what does not, who is fenced, and what a killed broker leaves.

use std::process::Command;
use std::time::{Duration, Instant};

use flumen::broker::holder::StableOffset;
use flumen::model::error_code::ErrorCode;
use flumen::protocol::StrBytes;
use flumen::protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use flumen::protocol::messages::delete_topics_request::DeleteTopicState;
use flumen::protocol::messages::describe_producers_request::TopicRequest;
use flumen::protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use flumen::protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use flumen::protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use flumen::protocol::messages::{
    AddPartitionsToTxnRequest, ApiVersionsRequest, DeleteTopicsRequest, DescribeProducersRequest,
    DescribeTransactionsRequest, EndTxnRequest, GroupId, InitProducerIdRequest, ListOffsetsRequest,
    ListTransactionsRequest, OffsetFetchRequest, ProducerId, TransactionalId, TxnOffsetCommitRequest,
};
use flumen::record::BatchBuilder;

use super::client::{Client, fetch_request, fetched, name, produce_request, values};
use super::process::Broker;

pub const PARTITIONS: i32 = 4;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn id() -> TransactionalId {
    TransactionalId(StrBytes::from_static_str("transfers"))
}

/// A producer of the transactional id, with the protocol it speaks.
#[derive(Clone, Copy, Debug)]
pub struct Producer {
    id: i64,
    epoch: i16,
    sequence: [i32; PARTITIONS as usize],
    bumps: bool,
}

/// Asks until the coordinator is loaded and no transaction before this one is in the way.
fn until<T>(mut ask: impl FnMut() -> (i16, T)) -> (i16, T) {
    let busy = [ErrorCode::CoordinatorLoadInProgress, ErrorCode::ConcurrentTransactions, ErrorCode::NotCoordinator];
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (code, answer) = ask();
        if !busy.iter().any(|one| one.code() == code) || Instant::now() > deadline {
            return (code, answer);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn init(client: &mut Client, bumps: bool) -> Producer {
    let request =
        InitProducerIdRequest::default().with_transactional_id(Some(id())).with_transaction_timeout_ms(60_000);
    let (code, response) = until(|| {
        let response = client.ask(4, &request);
        (response.error_code, response)
    });
    assert_eq!(code, 0);
    Producer { id: response.producer_id.0, epoch: response.producer_epoch, sequence: [0; 4], bumps }
}

/// Adds a partition to the transaction, for a producer of the older protocol.
fn add(client: &mut Client, producer: &Producer, partition: i32) -> i16 {
    let topic = AddPartitionsToTxnTopic::default().with_name(name("t")).with_partitions(vec![partition]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(id())
        .with_v3_and_below_producer_id(ProducerId(producer.id))
        .with_v3_and_below_producer_epoch(producer.epoch)
        .with_v3_and_below_topics(vec![topic]);
    let ask = || {
        let response = client.ask(3, &request);
        let code = response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code;
        (code, ())
    };
    until(ask).0
}

pub fn send(client: &mut Client, producer: &mut Producer, partition: i32, value: &str) -> i16 {
    if !producer.bumps {
        let code = add(client, producer, partition);
        if code != 0 {
            return code;
        }
    }
    produce(client, producer, partition, value)
}

fn produce(client: &mut Client, producer: &mut Producer, partition: i32, value: &str) -> i16 {
    let sequence = &mut producer.sequence[partition as usize];
    let mut batch = BatchBuilder::new().producer(producer.id, producer.epoch, *sequence).transactional();
    batch.append(1, None, Some(value.as_bytes()), &[]);
    let request = produce_request(-1, &[("t", partition, batch.build(0))]).with_transactional_id(Some(id()));
    let response = client.ask(if producer.bumps { 12 } else { 11 }, &request);
    let code = response.responses[0].partition_responses[0].error_code;
    *sequence += i32::from(code == 0);
    code
}

/// Ends the transaction; gives the error code.
pub fn end(client: &mut Client, producer: &mut Producer, commit: bool) -> i16 {
    let request = EndTxnRequest::default()
        .with_transactional_id(id())
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
        .with_committed(commit);
    let response = client.ask(if producer.bumps { 5 } else { 3 }, &request);
    if response.error_code == 0 && producer.bumps {
        *producer =
            Producer { id: response.producer_id.0, epoch: response.producer_epoch, sequence: [0; 4], ..*producer };
    }
    response.error_code
}

/// What a `read_committed` consumer of a partition sees, as clients do it: up to the last stable offset, without the records
/// of the listed producers up to their markers.
pub fn committed(client: &mut Client, partition: i32) -> Vec<String> {
    let (mut from, mut seen) = (0, Vec::new());
    loop {
        let request = fetch_request(&[("t", partition, from)]).with_isolation_level(1).with_max_wait_ms(0);
        let response = client.ask(12, &request);
        let (_, data) = &fetched(&response)[0];
        assert_eq!(data.error_code, 0);
        let mut aborted: Vec<(i64, i64)> =
            data.aborted_transactions.iter().flatten().map(|one| (one.first_offset, one.producer_id.0)).collect();
        aborted.sort_unstable();
        let records = data.records.clone().unwrap_or_default();
        let mut skipped = std::collections::BTreeSet::new();
        let mut next = from;
        for batch in flumen::record::batches(&records) {
            let (header, bytes) = batch.unwrap();
            while aborted.first().is_some_and(|(first, _)| *first <= header.last_offset()) {
                skipped.insert(aborted.remove(0).1);
            }
            next = header.next_offset();
            if header.is_control() {
                skipped.remove(&header.producer_id());
            } else if !skipped.contains(&header.producer_id()) || !header.is_transactional() {
                seen.extend(values(bytes).into_iter().filter(|(offset, _)| *offset >= from).map(|(_, value)| value));
            }
        }
        assert!(next <= data.last_stable_offset, "nothing beyond the last stable offset is sent");
        if next == from {
            return seen;
        }
        from = next;
    }
}

/// Up to where a partition can be read under an isolation level.
fn end_at(client: &mut Client, partition: i32, isolation_level: i8) -> i64 {
    let wanted = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(name("t")).with_partitions(vec![wanted]);
    let request = ListOffsetsRequest::default().with_isolation_level(isolation_level).with_topics(vec![topic]);
    client.ask(7, &request).topics[0].partitions[0].offset
}

/// Waits until nothing holds back the partitions: all markers are written.
pub fn settle(client: &mut Client) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let topic = TopicRequest::default().with_name(name("t")).with_partition_indexes((0..PARTITIONS).collect());
        let response = client.ask(0, &DescribeProducersRequest::default().with_topics(vec![topic]));
        let partitions = &response.topics[0].partitions;
        let ended = partitions.iter().flat_map(|one| &one.active_producers).all(|one| one.current_txn_start_offset < 0);
        // A marker lets go of its partition once it is durable.
        if ended && (0..PARTITIONS).all(|partition| end_at(client, partition, 1) == end_at(client, partition, 0)) {
            return;
        }
        assert!(Instant::now() < deadline, "a transaction stays open: {partitions:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn both_protocols_commit_and_abort() {
    for bumps in [false, true] {
        let directory = scratch();
        let broker = Broker::start(directory.path(), &["--reactors", "2"]);
        let mut client = Client::connect(broker.address);
        client.create_topic("t", PARTITIONS, &[]);
        let mut producer = init(&mut client, bumps);
        let mut expected = vec![Vec::new(); PARTITIONS as usize];
        for round in 0..12 {
            let commit = round % 3 != 1;
            for partition in (0..PARTITIONS).filter(|partition| (round + partition) % 2 == 0 || round == 0) {
                let value = format!("{round}-{partition}");
                assert_eq!(send(&mut client, &mut producer, partition, &value), 0, "{producer:?} in round {round}");
                if commit {
                    expected[partition as usize].push(value);
                }
            }
            if round == 0 {
                assert_eq!((end_at(&mut client, 0, 1), committed(&mut client, 0).len()), (0, 0), "it is open");
            }
            assert_eq!(end(&mut client, &mut producer, commit), 0);
        }
        settle(&mut client);
        for (partition, expected) in expected.iter().enumerate() {
            assert_eq!(&committed(&mut client, partition as i32), expected);
        }
        // The same from what the disk holds, after a clean stop.
        assert!(broker.stop().success());
        let broker = Broker::start(directory.path(), &["--reactors", "1"]);
        let mut client = Client::connect(broker.address);
        for (partition, expected) in expected.iter().enumerate() {
            assert_eq!(&committed(&mut client, partition as i32), expected);
        }
    }
}

#[test]
fn a_batch_outside_of_its_transaction_is_refused() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", PARTITIONS, &[]);
    let mut producer = init(&mut client, false);
    assert_eq!(produce(&mut client, &mut producer, 0, "never added"), ErrorCode::TransactionAbortable.code());
    assert_eq!(send(&mut client, &mut producer, 1, "part of it"), 0);
    assert_eq!(end(&mut client, &mut producer, true), 0);
    settle(&mut client);
    // A request that was delayed until after the end must not begin a transaction that nobody ends.
    assert_eq!(produce(&mut client, &mut producer, 1, "too late"), ErrorCode::TransactionAbortable.code());
    assert_eq!(committed(&mut client, 1), ["part of it"]);
    // A later instance fences this one, in partitions as with the coordinator.
    let mut next = init(&mut client, false);
    assert_eq!(send(&mut client, &mut producer, 1, "zombie"), ErrorCode::ProducerFenced.code());
    assert_eq!(end(&mut client, &mut producer, true), ErrorCode::ProducerFenced.code());
    assert_eq!(produce(&mut client, &mut producer, 1, "zombie"), ErrorCode::InvalidProducerEpoch.code());
    assert_eq!(send(&mut client, &mut next, 1, "next"), 0);
    assert_eq!(end(&mut client, &mut next, true), 0);
    settle(&mut client);
    assert_eq!(committed(&mut client, 1), ["part of it", "next"]);
}

#[test]
fn what_was_decided_is_carried_out_after_a_kill_and_nothing_else() {
    let directory = scratch();
    let mut expected = vec![Vec::new(); PARTITIONS as usize];
    for round in 0..12 {
        let broker = Broker::start(directory.path(), &["--reactors", "2"]);
        let mut client = Client::connect(broker.address);
        if round == 0 {
            client.create_topic("t", PARTITIONS, &[]);
        }
        // What the last round left open is aborted by this.
        let mut producer = init(&mut client, round % 2 == 0);
        for transaction in 0..3 {
            for partition in 0..PARTITIONS {
                let value = format!("{round}-{transaction}-{partition}");
                assert_eq!(send(&mut client, &mut producer, partition, &value), 0);
                if transaction < 2 {
                    expected[partition as usize].push(value);
                }
            }
            // The kill comes between the decision and the markers, or in the middle of them, or of an open transaction.
            if transaction < 2 {
                assert_eq!(end(&mut client, &mut producer, true), 0);
            }
            if transaction == 1 && round % 3 != 0 {
                break;
            }
        }
        broker.kill();
    }
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    init(&mut client, false);
    settle(&mut client);
    for (partition, expected) in expected.iter().enumerate() {
        assert_eq!(&committed(&mut client, partition as i32), expected);
    }
}

#[test]
fn offsets_count_with_the_transaction() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", PARTITIONS, &[]);
    let mut producer = init(&mut client, true);
    for (commit, offset, visible) in [(true, 10, 10), (false, 20, 10), (true, 30, 30)] {
        assert_eq!(send(&mut client, &mut producer, 0, "output"), 0);
        let partition =
            TxnOffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default().with_name(name("t")).with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(id())
            .with_group_id(GroupId(StrBytes::from_static_str("g")))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        let (code, _) = until(|| {
            let response = client.ask(5, &request);
            (response.topics[0].partitions[0].error_code, ())
        });
        assert_eq!(code, 0);
        assert_eq!(group_offset(&mut client), (-1, ErrorCode::UnstableOffsetCommit.code()));
        assert_eq!(end(&mut client, &mut producer, commit), 0);
        let deadline = Instant::now() + Duration::from_secs(60);
        while group_offset(&mut client) != (visible, 0) {
            assert!(Instant::now() < deadline, "{:?} and not {visible}", group_offset(&mut client));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn group_offset(client: &mut Client) -> (i64, i16) {
    let topic = OffsetFetchRequestTopics::default().with_name(name("t")).with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(StrBytes::from_static_str("g")))
        .with_topics(Some(vec![topic]));
    let response = client.ask(8, &OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(true));
    let partition = &response.groups[0].topics[0].partitions[0];
    (partition.committed_offset, partition.error_code)
}

#[test]
fn administrators_see_who_has_a_transaction() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    let features = client.ask(
        4,
        &ApiVersionsRequest::default()
            .with_client_software_name("test".into())
            .with_client_software_version("1".into()),
    );
    let version = features.finalized_features.iter().find(|one| &*one.name == "transaction.version").unwrap();
    assert_eq!((version.min_version_level, version.max_version_level), (2, 2));
    client.create_topic("t", PARTITIONS, &[]);
    let mut producer = init(&mut client, true);
    assert_eq!(send(&mut client, &mut producer, 2, "open"), 0);
    let described = client.ask(0, &DescribeTransactionsRequest::default().with_transactional_ids(vec![id()]));
    let state = &described.transaction_states[0];
    assert_eq!(
        (&*state.transaction_state, state.producer_id.0, state.producer_epoch),
        ("Ongoing", producer.id, producer.epoch)
    );
    assert_eq!((&*state.topics[0].topic.0, &state.topics[0].partitions[..]), ("t", &[2][..]));
    let list = |client: &mut Client, request: ListTransactionsRequest| {
        let response = client.ask(2, &request.with_duration_filter(-1));
        (response.error_code, response.transaction_states.len(), response.unknown_state_filters.len())
    };
    let pattern = |text: &'static str| {
        ListTransactionsRequest::default().with_transactional_id_pattern(Some(StrBytes::from_static_str(text)))
    };
    assert_eq!(list(&mut client, ListTransactionsRequest::default()), (0, 1, 0));
    assert_eq!(list(&mut client, pattern("trans.*")), (0, 1, 0));
    assert_eq!(list(&mut client, pattern("trans")), (0, 0, 0), "a pattern matches the whole id");
    assert_eq!(list(&mut client, pattern("(")).0, ErrorCode::InvalidRegularExpression.code());
    let states = ListTransactionsRequest::default().with_state_filters(vec!["Sleeping".into()]);
    assert_eq!(list(&mut client, states), (0, 0, 1));
    assert_eq!(end(&mut client, &mut producer, false), 0);
    settle(&mut client);
}

/// What `flumen txn why` tells of a partition of `t`, once the coordinators are loaded.
fn why(broker: &Broker, partition: i32, more: &[&str]) -> StableOffset {
    let (name, data) = (format!("t-{partition}"), broker.data.to_str().unwrap());
    let mut arguments = vec!["txn", "why", &name, "--json", "--data", data];
    arguments.extend(more);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let output = Command::new(env!("CARGO_BIN_EXE_flumen")).args(&arguments).output().unwrap();
        let told: StableOffset =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let is_loading = told.error.as_ref().is_some_and(|error| error.contains("being loaded"));
        if !is_loading || Instant::now() > deadline {
            return told;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn who_holds_back_a_partition_is_told_and_aborted() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", PARTITIONS, &[]);
    assert_eq!(client.produce("t", 3, &["before"]).error_code, 0);
    assert_eq!(why(&broker, 3, &[]).holder, None);
    let error = why(&broker, 3, &["--abort"]).error.unwrap();
    assert!(error.contains("no transaction is open in t-3"), "{error}");
    let mut producer = init(&mut client, true);
    assert_eq!(send(&mut client, &mut producer, 3, "open"), 0);
    assert_eq!(client.produce("t", 3, &["behind"]).error_code, 0);

    let told = why(&broker, 3, &[]);
    let holder = told.holder.clone().unwrap();
    let transaction = holder.transaction.unwrap();
    assert_eq!((told.last_stable_offset, told.high_watermark, told.open, told.aborted), (1, 3, 1, false));
    assert_eq!((holder.producer_id, holder.producer_epoch, holder.first_offset), (producer.id, producer.epoch, 1));
    assert_eq!((transaction.transactional_id.as_str(), transaction.state.as_str()), ("transfers", "Ongoing"));
    assert_eq!((transaction.client_id.as_str(), transaction.client_host.as_str()), ("test", "/127.0.0.1"));
    assert_eq!((transaction.timeout_ms, transaction.partitions, holder.hangs), (60_000, 1, false));
    let shown = broker.command(&["txn", "why", "t-3"]);
    assert!(shown.contains("transactional id transfers, from client test at /127.0.0.1"), "{shown}");
    let stats = broker.command(&["stats", "--once"]);
    assert!(stats.contains("transactional ids 1  open transactions 1  the oldest for"), "{stats}");

    // After a kill nobody has told who uses the id, until the producer goes on.
    broker.kill();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    let known = |broker: &Broker| why(broker, 3, &[]).holder.unwrap().transaction.unwrap().client_id;
    assert_eq!(known(&broker), "");
    let (code, ()) = until(|| (send(&mut client, &mut producer, 2, "goes on"), ()));
    assert_eq!((code, known(&broker).as_str()), (0, "test"));

    let told = why(&broker, 3, &["--abort"]);
    assert_eq!((told.error, told.aborted, told.open), (None, true, 0));
    assert_eq!((told.last_stable_offset, told.high_watermark), (4, 4));
    assert_eq!(send(&mut client, &mut producer, 3, "zombie"), ErrorCode::InvalidProducerEpoch.code());
    assert_eq!(end(&mut client, &mut producer, true), ErrorCode::ProducerFenced.code());
    settle(&mut client);
    assert_eq!(
        (committed(&mut client, 3), committed(&mut client, 2)),
        (vec!["before".into(), "behind".into()], vec![])
    );
    let mut next = init(&mut client, true);
    assert_eq!(send(&mut client, &mut next, 3, "next"), 0);
    assert_eq!(end(&mut client, &mut next, true), 0);
    settle(&mut client);
    assert_eq!(committed(&mut client, 3), ["before", "behind", "next"]);
    assert!(why(&broker, 9, &[]).error.unwrap().contains("partition"));
    assert!(why(&broker, 0, &[]).holder.is_none());
}

#[test]
fn a_transaction_that_no_coordinator_knows_is_aborted_where_it_hangs() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", PARTITIONS, &[]);
    let mut producer = init(&mut client, false);
    assert_eq!(send(&mut client, &mut producer, 1, "orphan"), 0);
    assert_eq!(client.produce("t", 1, &["behind"]).error_code, 0);
    // With its log the coordinator loses every transaction.
    let gone = DeleteTopicState::default().with_name(Some(name("__transaction_state")));
    let request = DeleteTopicsRequest::default().with_topics(vec![gone]).with_timeout_ms(10_000);
    assert_eq!(client.ask(6, &request).responses[0].error_code, 0);
    let holder = why(&broker, 1, &[]).holder.unwrap();
    assert_eq!((holder.producer_id, holder.hangs, holder.transaction), (producer.id, true, None));
    let told = why(&broker, 1, &["--abort"]);
    assert_eq!((told.error, told.aborted, told.last_stable_offset, told.high_watermark), (None, true, 3, 3));
    assert_eq!(committed(&mut client, 1), ["behind"]);
    assert_eq!(why(&broker, 1, &[]).holder, None);
}

#[test]
fn markers_of_version_2_are_checked_by_the_rules_they_name() {
    let directory = scratch();
    let broker = Broker::start(directory.path(), &["--reactors", "2"]);
    let mut client = Client::connect(broker.address);
    client.create_topic("t", PARTITIONS, &[]);
    let mut producer = init(&mut client, true);
    assert_eq!(send(&mut client, &mut producer, 1, "open"), 0);
    let mut write = |epoch: i16, transaction_version: u8| {
        let mut body = vec![2];
        body.extend(producer.id.to_be_bytes());
        body.extend(epoch.to_be_bytes());
        // Aborted, in partition 1 of `t`, by a coordinator of epoch 0.
        body.extend([0, 2, 2, b't', 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, transaction_version, 0, 0]);
        let reply = client.ask_raw(27, 2, &body);
        // One marker, its producer, one topic of one letter, one partition and its number; then the code.
        i16::from_be_bytes(*reply[1 + 8 + 1 + 2 + 1 + 4..].first_chunk().unwrap())
    };
    assert_eq!(write(producer.epoch, 2), ErrorCode::InvalidProducerEpoch.code(), "an end has an epoch of its own");
    assert_eq!(write(producer.epoch + 1, 2), 0);
    assert_eq!(why(&broker, 1, &[]).holder, None);
    assert_eq!(committed(&mut client, 1), Vec::<String>::new());
}
