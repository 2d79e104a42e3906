//! Committed offsets as plain calls.

use super::config::{GroupConfig, OfBroker};
use super::groups::GROUPS_MAX;
use super::machine::{Caller, GroupMachine, Input, Reply};
use super::offset_record::{CommittedOffset, OffsetKey};
use super::settings::GroupSettings;
use super::testing::image_of;
use crate::base::prng::Prng;
use crate::base::time::{Duration, Instant};
use crate::coordinator::machine::{CoordinatorRecord, Effects, Machine, ReplyTo, Situation, TransactionOf};
use crate::metadata::image::Image;
use crate::model::error_code::ErrorCode;
use crate::model::ids::TopicId;
use crate::protocol::StrBytes;
use crate::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use crate::protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use crate::protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use crate::protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use crate::protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetDeleteRequest, ProducerId, TopicName, TxnOffsetCommitRequest,
};

const TRANSACTION: TransactionOf = TransactionOf { producer_id: 7, producer_epoch: 0 };
const RETENTION_MS: i64 = 60_000;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

struct Fixture {
    machine: GroupMachine,
    image: Image,
    wall_ms: i64,
}

impl Fixture {
    fn new() -> Fixture {
        let config = GroupConfig {
            offset_metadata_bytes_max: 10,
            offsets_retention_ms: RETENTION_MS,
            offsets_check_interval: Duration::from_secs(600),
            membership: GroupSettings::default(),
            broker: OfBroker::default(),
        };
        Fixture { machine: GroupMachine::new(config), image: image_of(&[("t", 100)]), wall_ms: 1000 }
    }

    /// Decides, replays what was decided, and gives the reply.
    fn ask(&mut self, input: Input) -> (Reply, Effects<Reply>) {
        let situation = Situation { now: Instant(1), wall_ms: self.wall_ms, image: &self.image, random: 0 };
        let mut effects = self.machine.decide(&situation, input, ReplyTo(1));
        let (to, reply) = effects.replies.remove(0);
        assert_eq!(to, ReplyTo(1));
        for record in &effects.records {
            self.machine.replay(&record.key, record.value.as_deref(), effects.transaction).unwrap();
        }
        (reply, effects)
    }

    fn commit(&mut self, partition: i32, offset: i64, metadata: &str) -> i16 {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(3)
            .with_committed_metadata(Some(text(metadata)));
        let topic =
            OffsetCommitRequestTopic::default().with_name(TopicName(text("t"))).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default().with_group_id(GroupId(text("g"))).with_topics(vec![topic]);
        match self.ask(Input::OffsetCommit(Caller::default(), Box::new(request))).0 {
            Reply::OffsetCommit(Ok(response)) => response.topics[0].partitions[0].error_code,
            other => panic!("{other:?}"),
        }
    }

    fn commit_in_transaction(&mut self, partition: i32, offset: i64) -> i16 {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("")));
        let topic =
            TxnOffsetCommitRequestTopic::default().with_name(TopicName(text("t"))).with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_producer_id(ProducerId(TRANSACTION.producer_id))
            .with_producer_epoch(TRANSACTION.producer_epoch)
            .with_topics(vec![topic]);
        let (reply, effects) = self.ask(Input::TxnOffsetCommit(Caller::default(), Box::new(request)));
        assert_eq!(effects.transaction, Some(TRANSACTION));
        match reply {
            Reply::TxnOffsetCommit(Ok(response)) => response.topics[0].partitions[0].error_code,
            other => panic!("{other:?}"),
        }
    }

    /// Offset and error of a partition.
    fn fetch(&mut self, partition: i32, require_stable: bool) -> (i64, i16) {
        let topic =
            OffsetFetchRequestTopics::default().with_name(TopicName(text("t"))).with_partition_indexes(vec![partition]);
        let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(text("g"))).with_topics(Some(vec![topic]));
        match self.ask(Input::OffsetFetch { group: Box::new(group), require_stable }).0 {
            Reply::OffsetFetch(Ok(group)) => {
                let told = &group.topics[0].partitions[0];
                (told.committed_offset, told.error_code)
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_was_committed_is_fetched_by_name_and_as_part_of_all() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.fetch(0, true), (-1, 0));
    assert_eq!(fixture.commit(0, 42, "mine"), 0);
    assert_eq!(fixture.commit(1, 43, ""), 0);
    assert_eq!(fixture.fetch(0, true), (42, 0));
    let all = OffsetFetchRequestGroup::default().with_group_id(GroupId(text("g"))).with_topics(None);
    let Reply::OffsetFetch(Ok(group)) =
        fixture.ask(Input::OffsetFetch { group: Box::new(all), require_stable: false }).0
    else {
        panic!("offsets are asked for")
    };
    let told: Vec<_> =
        group.topics[0].partitions.iter().map(|one| (one.partition_index, one.committed_offset)).collect();
    assert_eq!(told, [(0, 42), (1, 43)]);
    assert_eq!(group.topics[0].partitions[0].metadata.as_deref(), Some("mine"));
    assert_eq!(group.topics[0].partitions[0].committed_leader_epoch, 3);
}

#[test]
fn metadata_beyond_its_bound_is_refused_and_nothing_is_written() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.commit(0, 1, "0123456789"), 0);
    assert_eq!(fixture.commit(0, 2, "0123456789x"), ErrorCode::OffsetMetadataTooLarge.code());
    assert_eq!(fixture.fetch(0, false), (1, 0));
}

#[test]
fn offsets_of_a_transaction_count_from_its_end_on() {
    let mut fixture = Fixture::new();
    fixture.commit(0, 10, "");
    fixture.commit_in_transaction(0, 20);
    fixture.commit_in_transaction(1, 21);
    assert!(fixture.machine.offsets().has_pending_of("g"));
    assert_eq!(fixture.fetch(0, true), (-1, ErrorCode::UnstableOffsetCommit.code()));
    assert_eq!(fixture.fetch(0, false), (10, 0));
    assert_eq!(fixture.fetch(1, false), (-1, 0));
    fixture.machine.replay_marker(TRANSACTION, true);
    assert!(!fixture.machine.offsets().has_pending_of("g"));
    assert_eq!((fixture.fetch(0, true), fixture.fetch(1, true)), ((20, 0), (21, 0)));
    fixture.commit_in_transaction(0, 30);
    fixture.machine.replay_marker(TRANSACTION, false);
    assert_eq!(fixture.fetch(0, true), (20, 0));
}

#[test]
fn a_commit_that_came_later_outlives_the_end_of_a_transaction() {
    let mut fixture = Fixture::new();
    fixture.commit_in_transaction(0, 20);
    fixture.commit(0, 15, "");
    fixture.machine.replay_marker(TRANSACTION, true);
    assert_eq!(fixture.fetch(0, true), (15, 0));
}

#[test]
fn a_snapshot_replays_into_the_same_offsets() {
    let mut fixture = Fixture::new();
    for partition in 0..100 {
        fixture.commit(partition, i64::from(partition) * 7, "m");
    }
    let mut other = Fixture::new();
    replay(&mut other.machine, &snapshot(&fixture.machine));
    for partition in 0..100 {
        assert_eq!(other.fetch(partition, true), (i64::from(partition) * 7, 0));
    }
    assert_eq!(other.machine.snapshot(), fixture.machine.snapshot());
}

/// What a log holds.
#[derive(Clone)]
enum Logged {
    Record(CoordinatorRecord, Option<TransactionOf>),
    Marker(TransactionOf, bool),
}

fn replay(machine: &mut GroupMachine, log: &[Logged]) {
    for logged in log {
        match logged {
            Logged::Record(record, transaction) => {
                machine.replay(&record.key, record.value.as_deref(), *transaction).unwrap();
            }
            Logged::Marker(transaction, committed) => machine.replay_marker(*transaction, *committed),
        }
    }
}

/// What a rewritten log begins with.
fn snapshot(machine: &GroupMachine) -> Vec<Logged> {
    let runs = machine.snapshot().into_iter();
    runs.flat_map(|run| run.records.into_iter().map(move |record| Logged::Record(record, run.transaction))).collect()
}

const PRODUCERS: [TransactionOf; 2] =
    [TransactionOf { producer_id: 7, producer_epoch: 3 }, TransactionOf { producer_id: 8, producer_epoch: 0 }];

/// The offsets that a log leads to, for each way in which its open transactions may end.
fn outcomes(log: &[Logged]) -> Vec<Vec<(i32, i64)>> {
    let [one, two] = PRODUCERS;
    let ends = [
        vec![],
        vec![(one, true)],
        vec![(two, true)],
        vec![(one, true), (two, true)],
        vec![(two, true), (one, true)],
        vec![(one, false), (two, true)],
        vec![(two, false), (one, true)],
    ];
    let outcome = |ends: &Vec<(TransactionOf, bool)>| {
        let mut machine = Fixture::new().machine;
        replay(&mut machine, log);
        ends.iter().for_each(|(transaction, committed)| machine.replay_marker(*transaction, *committed));
        machine.offsets().of_group("g").map(|(_, partition, committed)| (partition, committed.offset)).collect()
    };
    ends.iter().map(outcome).collect()
}

#[test]
fn a_snapshot_carries_open_transactions_and_may_come_behind_its_log_in_part() {
    let mut random = Prng::new(77);
    for _ in 0..300 {
        let mut log = Vec::new();
        for step in 0..random.below(14) {
            let partition = random.below(3) as i32;
            let key = OffsetKey { group: "g", topic: "t", partition };
            let committed = CommittedOffset {
                offset: step as i64,
                leader_epoch: 0,
                metadata: "".into(),
                // No two commits in one millisecond.
                commit_ms: step as i64,
                expire_ms: None,
                topic_id: TopicId::nil(),
            };
            let producer = PRODUCERS[random.below(2) as usize];
            log.push(match random.below(10) {
                0..4 => Logged::Record(key.commit(&committed), None),
                4..8 => Logged::Record(key.commit(&committed), Some(producer)),
                8 => Logged::Marker(producer, random.one_in(2)),
                _ => Logged::Record(key.tombstone(), None),
            });
        }
        let mut machine = Fixture::new().machine;
        replay(&mut machine, &log);
        let rewritten = snapshot(&machine);
        let expected = outcomes(&log);
        assert_eq!(outcomes(&rewritten), expected, "the rewritten log stands for the same");
        for length in 0..=rewritten.len() {
            let both = [&log[..], &rewritten[..length]].concat();
            assert_eq!(outcomes(&both), expected, "nor does what a crash leaves of it change anything");
        }
        let mut again = Fixture::new().machine;
        replay(&mut again, &rewritten);
        assert_eq!(again.snapshot(), machine.snapshot());
    }
}

#[test]
fn offsets_expire_by_the_brokers_time_unless_a_transaction_holds_them() {
    let mut fixture = Fixture::new();
    fixture.commit(0, 1, "");
    fixture.wall_ms += 1;
    fixture.commit(1, 1, "");
    fixture.commit(2, 1, "");
    fixture.commit_in_transaction(2, 2);
    assert_eq!(fixture.machine.expired_offsets(1000 + RETENTION_MS - 1), []);
    let key = |partition| OffsetKey { group: "g", topic: "t", partition };
    assert_eq!(fixture.machine.expired_offsets(1000 + RETENTION_MS), [key(0).tombstone()]);
    let both = [key(0).tombstone(), key(1).tombstone()];
    assert_eq!(fixture.machine.expired_offsets(1001 + RETENTION_MS), both);
}

#[test]
fn deletion_forgets_what_is_pending_too() {
    let mut fixture = Fixture::new();
    fixture.commit(0, 1, "");
    fixture.commit_in_transaction(0, 2);
    fixture.commit_in_transaction(1, 2);
    fixture.image = Image::empty();
    let situation = Situation { now: Instant(1), wall_ms: 1, image: &fixture.image, random: 0 };
    assert!(fixture.machine.loaded(&situation).records.is_empty());
    assert_eq!(fixture.machine.next_deadline(), Some(Instant(1)));
    let records = fixture.machine.on_time(&situation).records;
    assert_eq!(records.len(), 2);
    for record in &records {
        assert_eq!(record.value, None);
        fixture.machine.replay(&record.key, None, None).unwrap();
    }
    fixture.machine.replay_marker(TRANSACTION, true);
    assert_eq!((fixture.fetch(0, true), fixture.fetch(1, true)), ((-1, 0), (-1, 0)));
}

#[test]
fn offsets_of_what_does_not_exist_are_refused_and_those_of_an_earlier_topic_forgotten() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.commit(99, 1, ""), 0);
    assert_eq!(fixture.commit(100, 1, ""), ErrorCode::UnknownTopicOrPartition.code());
    fixture.image = image_of(&[("u", 1), ("t", 100)]);
    let sweep = |fixture: &mut Fixture| {
        let situation = Situation { now: Instant(1), wall_ms: 1, image: &fixture.image, random: 0 };
        fixture.machine.loaded(&situation);
        let records = fixture.machine.on_time(&situation).records;
        for record in &records {
            fixture.machine.replay(&record.key, record.value.as_deref(), None).unwrap();
        }
        records.len()
    };
    assert_eq!(sweep(&mut fixture), 1, "the topic was deleted and made again");
    assert_eq!(fixture.commit(99, 2, ""), 0);
    assert_eq!(sweep(&mut fixture), 0);
    fixture.image = image_of(&[("u", 1)]);
    assert_eq!(fixture.commit(99, 3, ""), ErrorCode::UnknownTopicOrPartition.code());
    assert_eq!(fixture.commit_in_transaction(0, 3), ErrorCode::UnknownTopicOrPartition.code());
    assert_eq!(fixture.fetch(99, true), (2, 0));
    assert!(!fixture.machine.offsets().has_pending_of("g"));
}

#[test]
fn offsets_of_an_unknown_group_cannot_be_deleted() {
    let mut fixture = Fixture::new();
    let request = OffsetDeleteRequest::default().with_group_id(GroupId(text("g")));
    match fixture.ask(Input::OffsetDelete(Box::new(request))).0 {
        Reply::OffsetDelete(Err(error)) => assert_eq!(error.code, ErrorCode::GroupIdNotFound),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_offset_is_deleted_once_however_often_it_is_named() {
    let mut fixture = Fixture::new();
    assert_eq!((fixture.commit(0, 1, ""), fixture.commit(1, 1, "")), (0, 0));
    let partition = |index| OffsetDeleteRequestPartition::default().with_partition_index(index);
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(TopicName(text("t")))
        .with_partitions([0, 1, 0, 2].map(partition).to_vec());
    let request =
        OffsetDeleteRequest::default().with_group_id(GroupId(text("g"))).with_topics(vec![topic.clone(), topic]);
    let (reply, effects) = fixture.ask(Input::OffsetDelete(Box::new(request)));
    let Reply::OffsetDelete(Ok(response)) = reply else { panic!("offsets are deleted") };
    assert!(response.topics.iter().flat_map(|topic| &topic.partitions).all(|one| one.error_code == 0));
    assert_eq!(effects.records.len(), 2);
    assert_eq!((fixture.fetch(0, true), fixture.fetch(1, true)), ((-1, 0), (-1, 0)));
}

#[test]
fn records_have_kafkas_bytes() {
    let key = OffsetKey { group: "g1", topic: "tt", partition: 5 };
    let committed = CommittedOffset {
        offset: 258,
        leader_epoch: 1,
        metadata: "m".into(),
        commit_ms: 259,
        expire_ms: None,
        topic_id: TopicId::nil(),
    };
    let record = key.commit(&committed);
    assert_eq!(record.key, [0, 1, 0, 2, b'g', b'1', 0, 2, b't', b't', 0, 0, 0, 5]);
    let value = record.value.unwrap();
    assert_eq!(value, [0, 4, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 2, b'm', 0, 0, 0, 0, 0, 0, 1, 3, 0]);
    assert_eq!(CommittedOffset::decode(&value), Ok(committed.clone()));
    let before = [0, 3, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 0, 1, b'm', 0, 0, 0, 0, 0, 0, 1, 3];
    assert_eq!(CommittedOffset::decode(&before), Ok(committed.clone()));
    let expiring = CommittedOffset { expire_ms: Some(260), leader_epoch: -1, ..committed.clone() };
    let value = key.commit(&expiring).value.unwrap();
    assert_eq!(value, [0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 1, b'm', 0, 0, 0, 0, 0, 0, 1, 3, 0, 0, 0, 0, 0, 0, 1, 4]);
    assert_eq!(CommittedOffset::decode(&value), Ok(expiring));
    // Version 4 with a topic id in tagged field 0.
    let mut flexible = vec![0, 4, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 2, b'm', 0, 0, 0, 0, 0, 0, 1, 3, 1, 0, 16];
    flexible.extend([9; 16]);
    let with_id = CommittedOffset { topic_id: TopicId::from_bytes([9; 16]), ..committed };
    assert_eq!(CommittedOffset::decode(&flexible), Ok(with_id.clone()));
    assert_eq!(key.commit(&with_id).value, Some(flexible.clone()));
    for cut in 0..flexible.len() {
        assert!(CommittedOffset::decode(&flexible[..cut]).is_err());
    }
    assert!(CommittedOffset::decode(&[0, 5]).is_err());
}

#[test]
fn a_commit_of_more_than_one_batch_holds_is_refused_as_a_whole() {
    let mut fixture = Fixture::new();
    let group = "g".repeat(30_000);
    let partition = OffsetCommitRequestPartition::default().with_committed_metadata(Some(text("")));
    let commit = |partitions: usize| {
        let topic =
            OffsetCommitRequestTopic::default()
                .with_name(TopicName(text("t")))
                .with_partitions(vec![partition.clone(); partitions]);
        let request = OffsetCommitRequest::default().with_group_id(GroupId(text(&group))).with_topics(vec![topic]);
        Input::OffsetCommit(Caller::default(), Box::new(request))
    };
    assert!(matches!(fixture.ask(commit(200)).0, Reply::OffsetCommit(Ok(_))));
    let (reply, effects) = fixture.ask(commit(1000));
    match reply {
        Reply::OffsetCommit(Err(error)) => assert_eq!(error.code, ErrorCode::InvalidCommitOffsetSize),
        other => panic!("{other:?}"),
    }
    assert!(effects.records.is_empty());
}

#[test]
fn a_group_too_many_is_refused_and_those_that_are_known_go_on() {
    let mut fixture = Fixture::new();
    for number in 0..GROUPS_MAX {
        let group = if number == 0 { "g".to_owned() } else { format!("group-{number}") };
        let key = OffsetKey { group: &group, topic: "t", partition: 0 };
        let committed = CommittedOffset {
            offset: 1,
            leader_epoch: 0,
            metadata: "".into(),
            commit_ms: 1,
            expire_ms: None,
            topic_id: TopicId::nil(),
        };
        let record = key.commit(&committed);
        fixture.machine.replay(&record.key, record.value.as_deref(), None).unwrap();
    }
    assert_eq!(fixture.commit(0, 2, ""), 0, "group g is one of them");
    let partition = OffsetCommitRequestPartition::default().with_committed_metadata(Some(text("")));
    let topic = OffsetCommitRequestTopic::default().with_name(TopicName(text("t"))).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default().with_group_id(GroupId(text("new"))).with_topics(vec![topic]);
    let (reply, effects) = fixture.ask(Input::OffsetCommit(Caller::default(), Box::new(request)));
    assert!(matches!(reply, Reply::OffsetCommit(Err(error)) if error.code == ErrorCode::PolicyViolation));
    assert!(effects.records.is_empty());
}
