//! The shell of coordinators in the simulated world: what it acknowledges survives every end of the process, whatever it
//! rewrites of its log meanwhile.

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use flumen::base::prng::Prng;
use flumen::base::time::Instant;
use flumen::broker::markers;
use flumen::coordinator::machine::{
    CoordinatorRecord, DECISION_BYTES_MAX, Effects, Machine, ReplyTo, Situation, SnapshotRun, TransactionOf,
};
use flumen::coordinator::runtime::{CompactionLimits, Coordinator};
use flumen::coordinator::transaction;
use flumen::coordinator::transaction::machine::{Begin, End, Enlist, Reply, TransactionConfig, TransactionMachine};
use flumen::coordinator::transaction::markers::Markers;
use flumen::coordinator::transaction::state::{Client, Touched};
use flumen::io::Handle;
use flumen::metadata::delta::Changes;
use flumen::metadata::image::Image;
use flumen::model::error_code::ErrorCode;
use flumen::model::ids::{PartitionId, Uuid};
use flumen::shard::{Shard, ShardSettings, Shards, StorageConfig, recover, start};
use flumen::sim::{DiskConfig, Latency, MachineConfig};

use crate::ends::{Rounds, once, once_on, through_every_end};

mod offsets;

const PARTITION: PartitionId = PartitionId { topic: Uuid::from_u128(7), index: 0 };
const KEYS: u64 = 20;
const ROUNDS: usize = 10;
const CLIENTS: usize = 4;
/// How often the machine asks for the time, and counts that it came.
const TICK: Duration = Duration::from_millis(10);

/// Counts by key: as simple as a machine can be.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<u8, u64>,
    due: Option<Instant>,
    ticks: u64,
}

enum Input {
    /// Add one; the answer is the new count.
    Add(u8),
    /// The count; nothing is written.
    Get(u8),
    /// Write more than can be.
    TooMuch,
    /// Delete every key, and as many that are not there.
    DeleteAll(usize),
    /// Delete every key, and with them more than can be written.
    DeleteTooMuch,
    /// How often the time came.
    Ticks,
}

impl Machine for Tally {
    type Input = Input;
    type Reply = u64;

    fn decide(&mut self, _: &Situation<'_>, input: Input, to: ReplyTo) -> Effects<u64> {
        let count = |key: u8| self.counts.get(&key).copied().unwrap_or(0);
        match input {
            Input::Add(key) => {
                let value = count(key) + 1;
                let record = CoordinatorRecord { key: vec![key], value: Some(value.to_be_bytes().to_vec()) };
                Effects { records: vec![record], transaction: None, replies: vec![(to, value)] }
            }
            Input::Get(key) => Effects::reply(to, count(key)),
            Input::TooMuch => {
                let record = CoordinatorRecord { key: vec![0], value: Some(vec![0; DECISION_BYTES_MAX as usize]) };
                Effects { records: vec![record], transaction: None, replies: vec![(to, 0)] }
            }
            Input::DeleteAll(more) => {
                let tombstone = |key: Vec<u8>| CoordinatorRecord { key, value: None };
                let mut records: Vec<_> = self.counts.keys().map(|key| tombstone(vec![*key])).collect();
                records.extend((0..more).map(|_| tombstone(vec![0xff; 1000])));
                Effects { records, transaction: None, replies: vec![(to, 0)] }
            }
            Input::DeleteTooMuch => {
                let tombstone = |key: Vec<u8>| CoordinatorRecord { key, value: None };
                let mut records: Vec<_> = self.counts.keys().map(|key| tombstone(vec![*key])).collect();
                records.resize(1000, tombstone(vec![0xff]));
                records.push(tombstone(vec![0xff; DECISION_BYTES_MAX as usize]));
                Effects { records, transaction: None, replies: vec![(to, 0)] }
            }
            Input::Ticks => Effects::reply(to, self.ticks),
        }
    }

    fn replay(&mut self, key: &[u8], value: Option<&[u8]>, _: Option<TransactionOf>) -> Result<(), String> {
        let Some(value) = value else {
            self.counts.remove(&key[0]);
            return Ok(());
        };
        let value = value.first_chunk().ok_or("no count")?;
        let before = self.counts.insert(key[0], u64::from_be_bytes(*value));
        assert!(before.is_none_or(|before| before <= u64::from_be_bytes(*value)), "counts only rise");
        Ok(())
    }

    fn replay_marker(&mut self, _: TransactionOf, _: bool) {}

    fn loaded(&mut self, situation: &Situation<'_>) -> Effects<u64> {
        self.due = Some(situation.now + TICK);
        Effects::default()
    }

    fn image_changed(&mut self, _: &Situation<'_>, _: &Changes) -> Effects<u64> {
        Effects::default()
    }

    fn on_time(&mut self, situation: &Situation<'_>) -> Effects<u64> {
        assert!(self.due.is_some_and(|due| due <= situation.now), "only when it is due");
        self.ticks += 1;
        self.due = Some(situation.now + TICK);
        Effects::default()
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.due
    }

    fn snapshot(&self) -> Vec<SnapshotRun> {
        let record = |(key, value): (&u8, &u64)| CoordinatorRecord {
            key: vec![*key],
            value: Some(value.to_be_bytes().to_vec()),
        };
        vec![SnapshotRun { transaction: None, records: self.counts.iter().map(record).collect() }]
    }
}

/// What the clients know.
#[derive(Default)]
struct Oracle {
    /// The highest count of each key that was told.
    told: BTreeMap<u8, u64>,
    /// How often each key was asked to rise.
    asked: BTreeMap<u8, u64>,
    starts: usize,
    answers: u64,
    failures: u64,
}

type Shared = Rc<RefCell<Oracle>>;

fn config() -> StorageConfig {
    StorageConfig {
        journal_bytes: 32 << 20,
        journal_file_bytes: 8 << 20,
        write_back_bytes: 300 << 10,
        write_back_interval: Duration::from_millis(40),
        disk_reserve_bytes: 0,
        ..StorageConfig::new("/data".into())
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

fn shard(shards: &Shards) -> Rc<Shard> {
    let settings = ShardSettings {
        message_bytes_max: DECISION_BYTES_MAX,
        compacted: true,
        precedence: flumen::shard::Precedence::Coordination,
        ..ShardSettings::default()
    };
    shards.open(PARTITION, "tally-0", settings, 0)
}

fn coordinator(io: &Handle, shards: &Shards, compaction: CompactionLimits) -> Rc<Coordinator<Tally>> {
    let (shard, image) = (shard(shards), Rc::new(Image::empty()));
    Coordinator::start(io, shard, "tally-0".to_owned(), image, compaction, Box::new(|_| Tally::default()))
}

/// Asks until it is answered by a loaded machine.
/// The second after a failure.
fn is_not_loaded(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable)
}

async fn ask(io: &Handle, coordinator: &Rc<Coordinator<Tally>>, input: impl Fn() -> Input) -> Result<u64, ErrorCode> {
    loop {
        match coordinator.ask(input()).await {
            Err(error) if is_not_loaded(error.code) => {
                io.sleep(Duration::from_millis(1)).await;
            }
            answer => return answer.map_err(|error| error.code),
        }
    }
}

async fn client(io: Handle, coordinator: Rc<Coordinator<Tally>>, oracle: Shared, seed: u64) {
    let mut random = Prng::new(seed);
    loop {
        io.sleep(Duration::from_micros(random.below(2000))).await;
        let key = random.below(KEYS) as u8;
        if random.one_in(400) {
            oracle.borrow_mut().failures += 1;
            assert!(ask(&io, &coordinator, || Input::TooMuch).await.is_err());
            continue;
        }
        *oracle.borrow_mut().asked.entry(key).or_default() += 1;
        // When the machine is dropped the fate of what was under way is open.
        let Ok(count) = ask(&io, &coordinator, || Input::Add(key)).await else { continue };
        let mut oracle = oracle.borrow_mut();
        oracle.answers += 1;
        let told = oracle.told.entry(key).or_default();
        *told = count.max(*told);
    }
}

async fn broker(io: Handle, oracle: Shared, seed: u64) {
    let shards = open(&io).await;
    let limits = CompactionLimits { bytes_min: 6_000, growth: 3 };
    let coordinator = coordinator(&io, &shards, limits);
    for key in 0..KEYS as u8 {
        let count = ask(&io, &coordinator, || Input::Get(key)).await.expect("it is loaded");
        let oracle = oracle.borrow();
        assert!(count >= oracle.told.get(&key).copied().unwrap_or(0), "key {key}: {count} is less than was told");
        assert!(count <= oracle.asked.get(&key).copied().unwrap_or(0), "key {key}: {count} is more than was asked");
    }
    oracle.borrow_mut().starts += 1;
    for number in 0..CLIENTS {
        let (coordinator, oracle) = (Rc::clone(&coordinator), Rc::clone(&oracle));
        io.spawn(client(io.clone(), coordinator, oracle, seed * 100 + number as u64));
    }
    io.spawn(watch_length(io.clone(), shards.clone()));
    io.submit(flumen::io::op::Op::StopSignal).await;
    coordinator.close();
    shards.shutdown().await.expect("a clean stop");
}

/// The log stays in proportion to its state. A batch of one record takes some 80 bytes.
async fn watch_length(io: Handle, shards: Shards) {
    loop {
        io.sleep(Duration::from_millis(50)).await;
        let offsets = shards.get(PARTITION).expect("open").offsets();
        let records = offsets.log_end - offsets.log_start;
        assert!(records < 1000, "{records} records in a log whose state has {KEYS}");
    }
}

fn run(seed: u64) -> u64 {
    let oracle = Shared::default();
    let shared = Rc::clone(&oracle);
    let rounds = Rounds { seed, count: ROUNDS, longest: Duration::from_millis(400) };
    through_every_end(&rounds, || oracle.borrow().starts, move |io| broker(io, Rc::clone(&shared), seed));
    let oracle = oracle.borrow();
    assert!(oracle.answers > 300, "seed {seed} had only {} answers", oracle.answers);
    oracle.answers
}

#[test]
fn what_a_coordinator_has_told_survives_every_end() {
    for seed in 0..8 {
        run(seed);
    }
}

#[test]
fn replies_come_in_the_order_of_decisions_and_reads_wait_for_writes() {
    once(|io| async move {
        let shards = open(&io).await;
        let coordinator = coordinator(&io, &shards, CompactionLimits::default());
        assert_eq!(ask(&io, &coordinator, || Input::Get(1)).await, Ok(0));
        let before = shards.get(PARTITION).expect("open").high_watermark();
        let added: Vec<_> = (0..10).map(|_| coordinator.ask(Input::Add(1))).collect();
        let read = coordinator.ask(Input::Get(1));
        assert_eq!(read.await.expect("an answer"), 10, "what was decided before is seen");
        assert_eq!(shards.get(PARTITION).expect("open").high_watermark(), before + 10, "and durable by then");
        for (added, count) in added.into_iter().zip(1..) {
            assert_eq!(added.await.expect("an answer"), count);
        }
    });
}

#[test]
fn any_number_of_tombstones_is_one_decision() {
    once(|io| async move {
        let shards = open(&io).await;
        let coordinator = coordinator(&io, &shards, CompactionLimits::default());
        assert_eq!(ask(&io, &coordinator, || Input::Add(1)).await, Ok(1));
        // Twelve megabytes of keys: more than a batch may have.
        assert_eq!(coordinator.ask(Input::DeleteAll(12_000)).await.expect("it is carried out"), 0);
        assert_eq!(coordinator.ask(Input::Get(1)).await.expect("the machine is still there"), 0);
    });
}

#[test]
fn a_decision_that_fails_half_way_is_in_the_log_as_far_as_it_came() {
    // Slower than the pause before the log is replayed.
    let flush = Latency::micros(900_000, 1_000_000);
    let slow = MachineConfig { disk: DiskConfig { flush, ..DiskConfig::default() }, ..MachineConfig::default() };
    once_on(&slow, |io| async move {
        let shards = open(&io).await;
        let coordinator = coordinator(&io, &shards, CompactionLimits::default());
        assert_eq!(ask(&io, &coordinator, || Input::Add(1)).await, Ok(1));
        let failed = coordinator.ask(Input::DeleteTooMuch).await.expect_err("its last part is too much");
        assert_eq!(failed.code, ErrorCode::UnknownServerError);
        assert_eq!(ask(&io, &coordinator, || Input::Get(1)).await, Ok(0), "the first part was written");
    });
}

#[test]
fn the_machine_is_called_when_it_is_due() {
    once(|io| async move {
        let shards = open(&io).await;
        let coordinator = coordinator(&io, &shards, CompactionLimits::default());
        io.sleep(TICK * 20).await;
        let ticks = ask(&io, &coordinator, || Input::Ticks).await.expect("an answer");
        assert!((15..=20).contains(&ticks), "{ticks} ticks");
    });
}

#[test]
fn clients_are_refused_where_many_wait_and_the_brokers_own_tasks_are_not() {
    once(|io| async move {
        let shards = open(&io).await;
        let coordinator = coordinator(&io, &shards, CompactionLimits::default());
        assert_eq!(ask(&io, &coordinator, || Input::Get(1)).await, Ok(0));
        let waiting: Vec<_> = (0..20_000).map(|_| coordinator.ask(Input::Add(1))).collect();
        let refused = coordinator.ask(Input::Add(1)).await.expect_err("one too many");
        // Not the error of one that is loading, whose sessions begin anew.
        assert_eq!(refused.code, ErrorCode::CoordinatorNotAvailable);
        assert_eq!(coordinator.ask_from_within(Input::Add(1)).await.expect("an answer"), 20_001);
        for (added, count) in waiting.into_iter().zip(1..) {
            assert_eq!(added.await.expect("an answer"), count);
        }
    });
}

#[test]
fn a_failed_append_tells_everybody_and_the_log_is_replayed() {
    once(|io| async move {
        let shards = open(&io).await;
        let coordinator = coordinator(&io, &shards, CompactionLimits::default());
        for count in 1..=5 {
            assert_eq!(ask(&io, &coordinator, || Input::Add(2)).await, Ok(count));
        }
        let under_way = coordinator.ask(Input::Add(2));
        let failed = coordinator.ask(Input::TooMuch);
        let after = coordinator.ask(Input::Add(2));
        assert_eq!(failed.await.expect_err("too much").code, ErrorCode::UnknownServerError);
        assert_eq!(under_way.await.expect_err("dropped with the machine").code, ErrorCode::UnknownServerError);
        // Not the error of one that is merely loading: heartbeats would be answered as if all were well.
        assert_eq!(after.await.expect_err("not loaded yet").code, ErrorCode::CoordinatorNotAvailable);
        // What was under way is in the log all the same.
        assert_eq!(ask(&io, &coordinator, || Input::Get(2)).await, Ok(6));
        coordinator.close();
        let closed = coordinator.ask(Input::Get(2)).await.expect_err("closed");
        assert_eq!(closed.code, ErrorCode::NotCoordinator);
    });
}

async fn ask_transactions(io: &Handle, coordinator: &Rc<Transactions>, input: transaction::machine::Input) -> Reply {
    loop {
        match coordinator.ask(input.clone()).await {
            Ok(reply) => return reply,
            Err(_) => io.sleep(Duration::from_millis(1)).await,
        }
    }
}

type Transactions = Coordinator<TransactionMachine>;

/// A transaction with one epoch for all (transaction version 1), over partitions 0 and 1.
fn enlist(transactional_id: &str, names: &str, partitions: i32) -> transaction::machine::Input {
    transaction::machine::Input::Enlist(Enlist {
        transactional_id: transactional_id.to_owned(),
        producer_id: 500,
        producer_epoch: 0,
        partitions: (0..partitions).map(|index| (names.into(), index)).collect(),
        verify_only: false,
        client_version: 0,
        client: Client::default(),
    })
}

fn begin(transactional_id: &str) -> transaction::machine::Input {
    transaction::machine::Input::Begin(Begin {
        transactional_id: transactional_id.to_owned(),
        timeout_ms: 60_000,
        expected: None,
        fresh: Some(500),
        client: Client::default(),
    })
}

/// Two tasks that write the markers of one transaction must not both go on: when the first to be done has reported, the
/// producer's next transaction may be open under the same epoch, and the other's marker would end it.
#[test]
fn a_coordinator_that_is_loaded_again_has_its_markers_written_by_one_task() {
    once(|io| async move {
        let shards = open(&io).await;
        // Small, so that a decision can be refused.
        let settings = ShardSettings { message_bytes_max: 1000, ..ShardSettings::default() };
        let shard = shards.open(PARTITION, "transactions-0", settings, 0);
        let image = Rc::new(Image::empty());
        let make = Box::new(|_: &Image| TransactionMachine::new(TransactionConfig::default()));
        let coordinator: Rc<Transactions> =
            Coordinator::start(&io, shard, "transactions-0".to_owned(), image, CompactionLimits::default(), make);

        // One partition takes no marker until it is mended.
        let (attempts, is_mended) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let attempt = {
            let (attempts, is_mended) = (Rc::clone(&attempts), Rc::clone(&is_mended));
            async move |_: &Markers, left: Vec<Touched>| {
                attempts.set(attempts.get() + 1);
                if is_mended.get() { Vec::new() } else { left.into_iter().filter(|one| one.1 == 1).collect() }
            }
        };
        io.spawn(markers::deliver(io.clone(), Rc::clone(&coordinator), || false, attempt));

        let ask = async |input| ask_transactions(&io, &coordinator, input).await;
        assert!(matches!(ask(begin("a")).await, Reply::Producer(500, 0)));
        assert!(matches!(ask(enlist("a", "t", 2)).await, Reply::Enlisted(_)));
        let end = transaction::machine::Input::End(End {
            transactional_id: "a".to_owned(),
            producer_id: 500,
            producer_epoch: 0,
            commit: true,
            client_version: 0,
            fresh: None,
        });
        assert!(matches!(ask(end.clone()).await, Reply::Producer(500, 0)));
        io.sleep(Duration::from_millis(100)).await;
        assert!(attempts.get() > 2, "it is tried again and again");
        // The coordinator loses its machine: a record that the log refuses.
        assert!(matches!(ask(begin("b")).await, Reply::Producer(500, 0)));
        coordinator.ask(enlist("b", "t", 300)).await.expect_err("too large for the log");
        assert!(!coordinator.is_active());
        while !coordinator.is_active() {
            io.sleep(Duration::from_millis(1)).await;
        }
        io.sleep(Duration::from_millis(100)).await;
        is_mended.set(true);
        // Answered when the markers are written and reported.
        assert!(matches!(ask(end).await, Reply::Producer(500, 0)));
        assert!(matches!(ask(enlist("a", "t", 2)).await, Reply::Enlisted(_)));
        let before = attempts.get();
        io.sleep(Duration::from_secs(5)).await;
        assert_eq!(attempts.get(), before, "nobody writes markers while the transaction is open");
        coordinator.close();
    });
}
