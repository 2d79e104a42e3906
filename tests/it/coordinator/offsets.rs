//! Offsets of transactions that never all end at once: the log stays short all the same, and no end of the process loses what a
//! transaction has written before it ends, nor ends one.

use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;

use flumen::base::prng::Prng;
use flumen::coordinator::group::config::{GroupConfig, OfBroker};
use flumen::coordinator::group::machine::{Caller, GroupMachine, Input, Reply};
use flumen::coordinator::machine::TransactionOf;
use flumen::coordinator::runtime::{CompactionLimits, Coordinator};
use flumen::io::Handle;
use flumen::metadata::delta::Delta;
use flumen::metadata::image::Image;
use flumen::metadata::record::{BrokerRegistration, MetadataRecord, PartitionRegistration};
use flumen::model::error_code::ErrorCode;
use flumen::model::ids::{PartitionId, Uuid};
use flumen::producer::state::MarkerFacts;
use flumen::producer::transactions::Outcome;
use flumen::protocol::StrBytes;
use flumen::protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use flumen::protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use flumen::protocol::messages::{GroupId, ProducerId, TopicName, TxnOffsetCommitRequest};
use flumen::shard::Shards;
use flumen::sim::{MachineConfig, PowerCut, World};

use super::{PARTITION, open, shard};

const PRODUCERS: usize = 2;
/// Partitions whose offsets each transaction commits.
const WIDTH: i32 = 20;
const ROUNDS: usize = 8;
const LIMITS: CompactionLimits = CompactionLimits { bytes_min: 20_000, growth: 3 };
/// Twice the committed and the pending offsets, grown threefold, and what comes while a snapshot is on its way.
const RECORDS_MAX: i64 = 1500;

type Groups = Rc<Coordinator<GroupMachine>>;

/// What one producer knows of its transactions, which commit the offsets 1, 2, 3 and so on.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The latest whose commit was told.
    committed: i64,
    /// The one that is open, its offsets told to be pending.
    open: Option<i64>,
    /// The one whose offsets or marker are on their way: what came of it is open.
    under_way: Option<i64>,
    /// The next one.
    next: i64,
}

#[derive(Default)]
struct Oracle {
    known: [Known; PRODUCERS],
    starts: usize,
    ended: u64,
    /// Open transactions that were found after a start.
    survived: u64,
}

type Shared = Rc<RefCell<Oracle>>;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// An image with the topic whose offsets are committed.
fn image() -> Image {
    let id = Uuid::from_u128(1);
    let partition = |index| {
        MetadataRecord::Partition(PartitionRegistration {
            partition: PartitionId { topic: id, index },
            replicas: vec![1],
            isr: vec![1],
            leader: 1,
            leader_epoch: 0,
            partition_epoch: 0,
        })
    };
    let broker = BrokerRegistration { id: 1, epoch: 1, endpoints: Vec::new(), rack: None, fenced: false };
    let mut records = vec![MetadataRecord::Broker(broker), MetadataRecord::Topic { name: "t".to_owned(), id }];
    records.extend((0..PRODUCERS as i32 * WIDTH).map(partition));
    Delta::apply(&Image::empty(), &records, 1000, 1).expect("records that fit").0
}

fn coordinator(io: &Handle, shards: &Shards) -> Groups {
    let config = GroupConfig::of(&Image::empty(), OfBroker::default());
    let make = move |_: &Image| GroupMachine::new(config.clone());
    Coordinator::start(io, shard(shards), "offsets-0".to_owned(), Rc::new(image()), LIMITS, Box::new(make))
}

fn transaction(producer: usize) -> TransactionOf {
    TransactionOf { producer_id: 100 + producer as i64, producer_epoch: 0 }
}

fn partitions(producer: usize) -> impl Iterator<Item = i32> {
    let first = producer as i32 * WIDTH;
    first..first + WIDTH
}

fn commit(producer: usize, offset: i64) -> Input {
    let partition = |index| {
        TxnOffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("as much as a consumer has to say of itself")))
    };
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(TopicName(text("t")))
        .with_partitions(partitions(producer).map(partition).collect());
    let request = TxnOffsetCommitRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_producer_id(ProducerId(transaction(producer).producer_id))
        .with_generation_id(-1)
        .with_topics(vec![topic]);
    Input::TxnOffsetCommit(Caller::default(), Box::new(request))
}

async fn end(coordinator: &Groups, producer: usize, committed: bool) -> bool {
    let TransactionOf { producer_id, producer_epoch } = transaction(producer);
    let facts = MarkerFacts { producer_id, producer_epoch, coordinator_epoch: 0, transaction_version: 0 };
    let outcome = if committed { Outcome::Commit } else { Outcome::Abort };
    coordinator
        .append_marker(transaction(producer), committed, |shard| shard.append_marker(facts, outcome))
        .await
        .is_ok()
}

/// The offset that all partitions of a producer have, and whether a transaction holds them back.
async fn fetch(io: &Handle, coordinator: &Groups, producer: usize) -> (i64, bool) {
    let ask = async |require_stable| {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(TopicName(text("t")))
            .with_partition_indexes(partitions(producer).collect());
        let group = OffsetFetchRequestGroup::default().with_group_id(GroupId(text("g"))).with_topics(Some(vec![topic]));
        let group = Box::new(group);
        let reply = loop {
            match coordinator.ask(Input::OffsetFetch { group: group.clone(), require_stable }).await {
                Ok(Reply::OffsetFetch(reply)) => break reply.expect("offsets"),
                Ok(_) => unreachable!("each request has its own reply"),
                Err(_) => io.sleep(Duration::from_millis(1)).await,
            }
        };
        let told: Vec<_> =
            reply.topics[0].partitions.iter().map(|one| (one.committed_offset, one.error_code)).collect();
        assert!(told.iter().all(|one| *one == told[0]), "a transaction counts as a whole: {told:?}");
        told[0]
    };
    let (_, code) = ask(true).await;
    (ask(false).await.0.max(0), code == ErrorCode::UnstableOffsetCommit.code())
}

/// Holds what is found after a start against what was told before; what was open is open still, and ends.
async fn check(io: &Handle, coordinator: &Groups, oracle: &Shared, producer: usize) {
    let (offset, pending) = fetch(io, coordinator, producer).await;
    let known = oracle.borrow().known[producer];
    match (known.open, known.under_way) {
        (Some(open), None) => {
            assert!(pending, "producer {producer}: transaction {open} is lost, {offset} counts: {known:?}");
            assert_eq!(offset, known.committed);
            oracle.borrow_mut().survived += 1;
        }
        (None, None) => assert_eq!((offset, pending), (known.committed, false)),
        (_, Some(under_way)) => assert!(
            offset == known.committed || offset == under_way && !pending,
            "producer {producer}: {offset} of {under_way} or {}",
            known.committed
        ),
    }
    let mut committed = offset;
    if pending {
        let number = known.open.or(known.under_way).expect("what is pending was asked for");
        assert!(end(coordinator, producer, true).await, "a loaded coordinator takes the marker");
        committed = number;
    }
    assert_eq!(fetch(io, coordinator, producer).await, (committed, false));
    oracle.borrow_mut().known[producer] = Known { committed, open: None, under_way: None, next: known.next.max(1) };
}

/// One transaction after the other, each ended only while the other producer has one open.
async fn produce(io: Handle, coordinator: Groups, oracle: Shared, producer: usize, seed: u64) {
    let mut random = Prng::new(seed);
    loop {
        let number = oracle.borrow().known[producer].next;
        {
            let known = &mut oracle.borrow_mut().known[producer];
            (known.under_way, known.next) = (Some(number), number + 1);
        }
        match coordinator.ask(commit(producer, number)).await {
            Ok(Reply::TxnOffsetCommit(Ok(_))) => {}
            other => panic!("the commit of {number}: {}", other.is_ok()),
        }
        {
            let known = &mut oracle.borrow_mut().known[producer];
            (known.open, known.under_way) = (Some(number), None);
        }
        io.sleep(Duration::from_micros(random.below(3000))).await;
        while oracle.borrow().known[1 - producer].open.is_none() {
            io.sleep(Duration::from_micros(100)).await;
        }
        let is_commit = number % 3 != 0;
        if is_commit {
            oracle.borrow_mut().known[producer].under_way = Some(number);
        }
        assert!(end(&coordinator, producer, is_commit).await, "the marker of {number}");
        let mut oracle = oracle.borrow_mut();
        oracle.ended += 1;
        let known = &mut oracle.known[producer];
        (known.open, known.under_way) = (None, None);
        if is_commit {
            known.committed = number;
        }
    }
}

async fn broker(io: Handle, oracle: Shared, seed: u64) {
    let shards = open(&io).await;
    let coordinator = coordinator(&io, &shards);
    for producer in 0..PRODUCERS {
        check(&io, &coordinator, &oracle, producer).await;
    }
    oracle.borrow_mut().starts += 1;
    for producer in 0..PRODUCERS {
        let (coordinator, oracle) = (Rc::clone(&coordinator), Rc::clone(&oracle));
        io.spawn(produce(io.clone(), coordinator, oracle, producer, seed * 10 + producer as u64));
    }
    loop {
        io.sleep(Duration::from_millis(20)).await;
        let offsets = shards.get(PARTITION).expect("open").offsets();
        let records = offsets.log_end - offsets.log_start;
        assert!(records < RECORDS_MAX, "{records} records, of {} offsets", PRODUCERS as i32 * WIDTH);
    }
}

#[test]
fn a_log_whose_transactions_never_all_end_stays_short_and_loses_none() {
    let (mut ended, mut survived) = (0, 0);
    for seed in 0..6 {
        let mut world = World::new(seed);
        let machine = world.machine(&MachineConfig::default());
        let oracle = Shared::default();
        let mut fate = Prng::new(seed).split("fate");
        let shared = Rc::clone(&oracle);
        let process = world.client(machine, move |io| broker(io, Rc::clone(&shared), seed));
        for round in 1..=ROUNDS {
            let started = world.run_until(Duration::from_secs(60), |_| oracle.borrow().starts == round);
            assert!(started, "seed {seed}: round {round} does not start");
            world.run_for(Duration::from_micros(fate.between(50_000, 600_000)));
            // An aborted transaction that was open when the process ended may have its marker or not.
            for known in &mut oracle.borrow_mut().known {
                known.under_way = known.under_way.or(known.open.filter(|open| open % 3 == 0));
            }
            if fate.one_in(2) {
                world.kill(process);
            } else {
                world.power_cut(machine, if fate.one_in(2) { PowerCut::default() } else { PowerCut::mixed() });
                world.power_on(machine);
            }
            world.restart(process);
        }
        assert!(world.run_until(Duration::from_secs(60), |_| oracle.borrow().starts == ROUNDS + 1));
        ended += oracle.borrow().ended;
        survived += oracle.borrow().survived;
    }
    assert!(ended > 2000 && survived > 20, "{ended} transactions, {survived} of them open at an end");
}
