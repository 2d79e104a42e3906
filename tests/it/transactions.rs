//! Transactions of partitions in the simulated world: producers open, commit and abort them, the machine loses power or the
//! process is killed or stopped, segments roll, records are deleted, the log is cut; after each start and each cut the last stable
//! offset and the list of aborted transactions are, at every offset, what follows from the batches in the log.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use flumen::base::prng::Prng;
use flumen::io::Handle;
use flumen::model::error_code::ErrorCode;
use flumen::model::ids::{PartitionId, Uuid};
use flumen::model::offset::{Offset, list_offsets};
use flumen::producer::state::MarkerFacts;
use flumen::producer::transactions::Outcome;
use flumen::record::control::end_transaction_of;
use flumen::record::{BatchBuilder, BatchHeader, batches};
use flumen::shard::{Acks, Append, Isolation, Piece, Shard, ShardSettings, Shards, StorageConfig, recover, start};

use crate::ends::{Rounds, once, through_every_end};

const PRODUCERS: i64 = 4;
const ROUNDS: usize = 10;

fn partition() -> PartitionId {
    PartitionId { topic: Uuid::from_u128(9), index: 0 }
}

/// Small files and low thresholds, so that a short run rolls and writes back many times.
fn config() -> StorageConfig {
    StorageConfig {
        journal_bytes: 4 << 20,
        journal_file_bytes: 1 << 20,
        write_back_bytes: 40 << 10,
        write_back_interval: Duration::from_millis(20),
        disk_reserve_bytes: 0,
        tail_bytes_max: 16 << 10,
        ..StorageConfig::new("/data".into())
    }
}

/// A batch of the log, as far as transactions are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Data { producer_id: i64, is_transactional: bool, next: Offset },
    Marker { producer_id: i64, epoch: i16, is_commit: bool },
}

#[derive(Default)]
struct Oracle {
    /// Every batch that was ever found, also after it was deleted: what it means for later ones stays.
    history: BTreeMap<Offset, Event>,
    /// Markers that were acknowledged: offset to producer, epoch and outcome.
    acked: BTreeMap<Offset, (i64, i16, bool)>,
    random: Option<Prng>,
    starts: usize,
    cuts: u64,
    lists_checked: u64,
    aborted_listed: u64,
}

type Shared = Rc<RefCell<Oracle>>;

/// A transaction: its producer, its first offset, and the marker's offset and outcome if it has ended.
type Lived = (i64, Offset, Option<(Offset, bool)>);

impl Oracle {
    fn random(&mut self) -> &mut Prng {
        self.random.as_mut().expect("a stream")
    }

    /// All transactions by definition.
    fn transactions(&self) -> Vec<Lived> {
        let mut lived: Vec<Lived> = Vec::new();
        for (offset, event) in &self.history {
            let open = |lived: &mut Vec<Lived>, id: i64| lived.iter().position(|one| one.0 == id && one.2.is_none());
            match event {
                Event::Data { producer_id, is_transactional: true, .. } if open(&mut lived, *producer_id).is_none() => {
                    lived.push((*producer_id, *offset, None));
                }
                Event::Marker { producer_id, is_commit, .. } => {
                    if let Some(at) = open(&mut lived, *producer_id) {
                        lived[at].2 = Some((*offset, *is_commit));
                    }
                }
                Event::Data { .. } => {}
            }
        }
        lived
    }
}

async fn open(io: &Handle) -> Shards {
    flumen::io::file::create_directory(io, &config().data).await.expect("the data directory");
    flumen::io::file::sync_directory(io, std::path::Path::new("/")).await.expect("its name");
    let recovered = recover(io, &config()).await.expect("recovery");
    flumen::shard::merge_checkpoints(io, &config(), &recovered).await.expect("merged checkpoints");
    let part = recovered.split(1, |_| 0).pop().expect("one part");
    start(io, config(), part).await.expect("a storage")
}

/// The event of the batch that holds `from`, where it starts, and the offset after it. Read alone it comes from memory.
async fn event_at(shard: &Rc<Shard>, from: Offset) -> (Offset, Event, Offset) {
    let fetched = shard.read(from, 1, true, Isolation::ReadUncommitted, -1).await.expect("a read");
    let Some(Piece::Memory(bytes)) = fetched.pieces.first() else { panic!("one batch from memory at {from}") };
    let header = *BatchHeader::read(bytes).expect("a header");
    let producer_id = header.producer_id();
    let event = match end_transaction_of(bytes).expect("a sound batch") {
        Some(end) => Event::Marker { producer_id, epoch: header.producer_epoch(), is_commit: end.is_commit },
        None => Event::Data { producer_id, is_transactional: header.is_transactional(), next: header.next_offset() },
    };
    (header.base_offset(), event, header.next_offset())
}

/// Takes what the log holds into the history.
async fn learn(shard: &Rc<Shard>, oracle: &Shared) {
    let offsets = shard.offsets();
    assert_eq!(offsets.high_watermark, offsets.log_end);
    oracle.borrow_mut().history.split_off(&offsets.log_end);
    let mut from = offsets.log_start;
    while from < offsets.log_end {
        let (base, event, next) = event_at(shard, from).await;
        oracle.borrow_mut().history.insert(base, event);
        from = next;
    }
}

async fn check(shard: &Rc<Shard>, oracle: &Shared) {
    learn(shard, oracle).await;
    let offsets = shard.offsets();
    let transactions = oracle.borrow().transactions();
    let open = transactions.iter().filter(|one| one.2.is_none()).map(|one| one.1).min();
    let stable = open.unwrap_or(offsets.log_end).max(offsets.log_start);
    assert_eq!(offsets.last_stable, stable, "of {transactions:?}");
    for (offset, (producer_id, epoch, is_commit)) in &oracle.borrow().acked {
        if *offset >= offsets.log_start {
            let expected = Event::Marker { producer_id: *producer_id, epoch: *epoch, is_commit: *is_commit };
            assert_eq!(oracle.borrow().history.get(offset), Some(&expected), "an acknowledged marker at {offset}");
        }
    }
    check_lists(shard, oracle, &transactions, offsets.log_start, stable).await;
}

/// Compares the list of aborted transactions at every offset with its definition, for reads of different sizes.
async fn check_lists(shard: &Rc<Shard>, oracle: &Shared, transactions: &[Lived], start: Offset, stable: Offset) {
    for from in start..stable {
        for bytes in [1, 3_000] {
            let fetched = shard.read(from, bytes, true, Isolation::ReadCommitted, -1).await.expect("a read");
            let (mut next, mut whole) = (from, true);
            for piece in &fetched.pieces {
                let Piece::Memory(bytes) = piece else {
                    whole = false;
                    continue;
                };
                next = batches(bytes).map(|batch| batch.expect("a sound batch").0.next_offset()).last().unwrap_or(next);
            }
            assert!(next <= stable, "a read from {from} goes to {next}, and {stable} is stable");
            if !whole {
                continue;
            }
            let mut expected: Vec<_> = transactions
                .iter()
                .filter_map(|(id, first, end)| {
                    let (marker, is_commit) = (*end)?;
                    (!is_commit && *first < next && marker >= from).then_some((marker, *id, *first))
                })
                .collect();
            expected.sort_unstable();
            let listed = fetched.aborted.expect("a list");
            let listed: Vec<_> =
                listed.iter().map(|one| (one.last_offset, one.producer_id, one.first_offset)).collect();
            assert_eq!(listed, expected, "from {from} to {next}");
            let mut oracle = oracle.borrow_mut();
            oracle.lists_checked += 1;
            oracle.aborted_listed += listed.len() as u64;
        }
    }
}

/// What one producer knows of itself.
#[derive(Clone, Copy, Default)]
struct Producer {
    epoch: i16,
    sequence: i32,
    open: bool,
}

/// What the partition knows of the producers: an epoch went up with the last marker, if there was one.
fn known(shard: &Rc<Shard>) -> BTreeMap<i64, Producer> {
    let described = shard.describe_producers().into_iter().map(|known| {
        let open = known.transaction_first_offset.is_some();
        (known.producer_id, Producer { epoch: known.producer_epoch, sequence: known.last_sequence + 1, open })
    });
    described.collect()
}

/// One producer after the other does something, as its coordinator would have it.
async fn drive(io: Handle, shard: Rc<Shard>, oracle: Shared) {
    let mut producers = known(&shard);
    let open: Vec<i64> = producers.iter().filter(|(_, producer)| producer.open).map(|(id, _)| *id).collect();
    for id in open {
        // It is aborted by the coordinator.
        if !end(&shard, &oracle, id, &mut producers, false).await {
            return;
        }
    }
    loop {
        let (id, action, bytes, pause) = {
            let mut oracle = oracle.borrow_mut();
            let random = oracle.random();
            (random.below(PRODUCERS as u64) as i64, random.below(40), random.between(1, 900), random.below(4))
        };
        let open = producers.get(&id).is_some_and(|producer| producer.open);
        let goes_on = match action {
            0..=7 if open => end(&shard, &oracle, id, &mut producers, action < 4).await,
            8 => delete(&io, &shard, &oracle).await,
            9 if bytes < 300 => {
                let cut = cut(&shard, &oracle).await;
                producers = known(&shard);
                cut
            }
            9..=12 => {
                let batch = BatchBuilder::new();
                append_plain(&io, &shard, batch, bytes).await
            }
            _ => append(&io, &shard, id, producers.entry(id).or_default(), bytes).await,
        };
        if !goes_on {
            return;
        }
        if pause == 0 {
            io.sleep(Duration::from_micros(300)).await;
        }
    }
}

async fn append_plain(io: &Handle, shard: &Rc<Shard>, mut batch: BatchBuilder, bytes: u64) -> bool {
    batch.append(io.wall_ms(), None, Some(&vec![7; bytes as usize]), &[]);
    is_on(shard.append(&batch.build(0), Acks::All).await.map(|_| ()))
}

fn is_on(result: Result<(), flumen::model::error_code::ClientError>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) if error.code == ErrorCode::NotLeaderOrFollower => false,
        Err(error) => panic!("{error}"),
    }
}

/// Appends a batch of a transaction; the first one waits for its verification.
async fn append(io: &Handle, shard: &Rc<Shard>, id: i64, producer: &mut Producer, bytes: u64) -> bool {
    let mut batch = BatchBuilder::new().producer(id, producer.epoch, producer.sequence).transactional();
    batch.append(io.wall_ms(), Some(b"key"), Some(&vec![id as u8; bytes as usize]), &[]);
    let (appended, unverified) = shard.append_transactional(&batch.build(0), Acks::All);
    assert_eq!(unverified.is_some(), !producer.open, "the first batch alone asks");
    if let Some(unverified) = unverified {
        shard.verified(&unverified, Ok(()), true);
    }
    producer.open = true;
    producer.sequence += 1;
    is_on(appended.await.map(|_| ()))
}

/// Ends the transaction of `id`, twice as often as not: a coordinator that lost an answer asks again.
async fn end(
    shard: &Rc<Shard>,
    oracle: &Shared,
    id: i64,
    producers: &mut BTreeMap<i64, Producer>,
    is_commit: bool,
) -> bool {
    let producer = producers.get_mut(&id).expect("it has a transaction");
    let epoch = producer.epoch + 1;
    let facts = MarkerFacts { producer_id: id, producer_epoch: epoch, coordinator_epoch: 0, transaction_version: 2 };
    let outcome = if is_commit { Outcome::Commit } else { Outcome::Abort };
    let end = shard.offsets().log_end;
    let marker = match shard.append_marker(facts, outcome).await {
        Ok(appended) => appended.base_offset,
        Err(error) => return is_on(Err(error)),
    };
    assert!(marker >= end);
    oracle.borrow_mut().acked.insert(marker, (id, epoch, is_commit));
    *producer = Producer { epoch, sequence: 0, open: false };
    let end = shard.offsets().log_end;
    let repeated = shard.append_marker(facts, outcome).await;
    assert_eq!(shard.offsets().log_end, end, "a repeated marker is not written again");
    is_on(repeated.map(|_| ()))
}

/// Deletes some of the oldest records.
async fn delete(io: &Handle, shard: &Rc<Shard>, oracle: &Shared) -> bool {
    io.yield_now().await;
    learn(shard, oracle).await;
    let offsets = shard.offsets();
    let before = offsets.log_start
        + oracle.borrow_mut().random().below(1 + (offsets.log_end - offsets.log_start) as u64 / 4) as i64;
    is_on(shard.delete_records(before).await.map(|_| ()))
}

/// Cuts the log anywhere, near its end more often than not. What ended behind the cut is open again.
async fn cut(shard: &Rc<Shard>, oracle: &Shared) -> bool {
    let offsets = shard.offsets();
    let to = {
        let mut oracle = oracle.borrow_mut();
        let length = (offsets.log_end - offsets.log_start) as u64;
        let random = oracle.random();
        let most = if random.one_in(3) { length } else { length.min(60) };
        let to = offsets.log_end - random.below(most + 1) as i64;
        // Nobody is told any more that they are there, whether or not the cut comes to its end.
        oracle.acked.split_off(&to);
        to
    };
    if to <= offsets.log_start {
        oracle.borrow_mut().history.clear();
    }
    match shard.truncate(to).await {
        Ok(_) => {}
        Err(error) => return is_on(Err(error)),
    }
    oracle.borrow_mut().cuts += 1;
    check(shard, oracle).await;
    true
}

async fn broker(io: Handle, oracle: Shared) {
    let shards = open(&io).await;
    let settings = ShardSettings { segment_bytes: 30 << 10, index_interval_bytes: 1000, ..ShardSettings::default() };
    let shard = shards.open(partition(), "topic-0", settings, 0);
    check(&shard, &oracle).await;
    oracle.borrow_mut().starts += 1;
    io.spawn(drive(io.clone(), shard, Rc::clone(&oracle)));
    io.submit(flumen::io::op::Op::StopSignal).await;
    shards.shutdown().await.expect("a clean stop");
}

fn run(seed: u64) -> [u64; 3] {
    let oracle = Shared::default();
    oracle.borrow_mut().random = Some(Prng::new(seed).split("workload"));
    let shared = Rc::clone(&oracle);
    let rounds = Rounds { seed, count: ROUNDS, longest: Duration::from_millis(60) };
    through_every_end(&rounds, || oracle.borrow().starts, move |io| broker(io, Rc::clone(&shared)));
    let oracle = oracle.borrow();
    [oracle.lists_checked, oracle.aborted_listed, oracle.cuts]
}

#[test]
fn aborted_transactions_and_the_last_stable_offset_survive_every_end() {
    let (mut lists, mut listed, mut cuts) = (0, 0, 0);
    for seed in 0..12 {
        let [checked, aborted, cut] = run(seed);
        (lists, listed, cuts) = (lists + checked, listed + aborted, cuts + cut);
    }
    assert!(lists > 1_000 && listed > 1_000, "{lists} lists were checked, and they named {listed} transactions");
    assert!(cuts > 30, "the log was cut {cuts} times");
}

/// A marker that waits for room has not told the producers' state yet that its transaction is over.
#[test]
fn a_coordinator_does_not_write_in_a_transaction_while_its_marker_may_wait() {
    once(|io| async move {
        let shards = open(&io).await;
        let shard = shards.open(partition(), "topic-0", ShardSettings::default(), 0);
        assert!(append(&io, &shard, 7, &mut Producer::default(), 10).await);
        assert_eq!(shard.check_producer(7, 0), Ok(()));
        let mut batch = BatchBuilder::new();
        batch.append(io.wall_ms(), None, Some(&vec![7; 600_000]), &[]);
        let batch = batch.build(0);
        let mut placed = Vec::new();
        while !matches!(placed.last(), Some(Append::Parked(_))) {
            placed.push(shard.append(&batch, Acks::All));
        }
        let facts = MarkerFacts { producer_id: 7, producer_epoch: 0, coordinator_epoch: 0, transaction_version: 0 };
        let marker = shard.append_marker(facts, Outcome::Commit);
        let refused = shard.check_producer(7, 0).expect_err("it cannot be known yet");
        assert_eq!(refused.code, ErrorCode::CoordinatorNotAvailable);
        for append in placed {
            append.await.expect("it is written in the end");
        }
        marker.await.expect("a marker");
        assert_eq!(shard.check_producer(7, 0), Ok(()));
        assert!(shard.guard_transaction(7, 0).expect("room").is_some(), "and is to be asked for again");
    });
}

#[test]
fn the_record_of_the_greatest_time_is_one_that_can_be_read() {
    once(|io| async move {
        let shards = open(&io).await;
        let shard = shards.open(partition(), "topic-0", ShardSettings::default(), 0);
        assert!(append_plain(&io, &shard, BatchBuilder::new(), 10).await);
        io.sleep(Duration::from_millis(10)).await;
        assert!(append(&io, &shard, 7, &mut Producer::default(), 10).await);
        let greatest = async |isolation| {
            shard.offset_for_timestamp(list_offsets::MAX_TIMESTAMP, isolation).await.expect("an answer").offset
        };
        assert_eq!(greatest(Isolation::ReadUncommitted).await, 1);
        assert_eq!(greatest(Isolation::ReadCommitted).await, -1, "it is in an open transaction, as in Kafka");
        let facts = MarkerFacts { producer_id: 7, producer_epoch: 0, coordinator_epoch: 0, transaction_version: 0 };
        io.sleep(Duration::from_millis(10)).await;
        shard.append_marker(facts, Outcome::Commit).await.expect("a marker");
        assert_eq!(greatest(Isolation::ReadCommitted).await, 2, "the marker, which was written last");
    });
}
