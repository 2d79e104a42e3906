//! The storage engine in the simulated world: producers append, the machine loses power or the process is killed or
//! stopped, and after each start the logs hold what was acknowledged.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use flumen::base::block::Slice;
use flumen::base::prng::Prng;
use flumen::io::Handle;
use flumen::model::error_code::ErrorCode;
use flumen::model::ids::{PartitionId, Uuid};
use flumen::model::offset::Offset;
use flumen::record::{BatchBuilder, BatchHeader, batches, check_stored};
use flumen::shard::{Acks, Isolation, Piece, Shard, ShardSettings, Shards, StorageConfig, recover, start};
use flumen::sim::{MachineConfig, World};

use crate::ends::{Rounds, through_every_end};

const PARTITIONS: i32 = 5;
const ROUNDS: usize = 12;

pub fn partition(index: i32) -> PartitionId {
    PartitionId { topic: Uuid::from_u128(7), index }
}

/// Small files and low thresholds, so that a short run rolls, recycles, writes back and checkpoints many times.
pub fn config() -> StorageConfig {
    StorageConfig {
        journal_bytes: 4 << 20,
        journal_file_bytes: 1 << 20,
        group_bytes_max: 128 << 10,
        direct_run_bytes_min: 24 << 10,
        write_back_bytes: 300 << 10,
        write_back_interval: Duration::from_millis(40),
        disk_reserve_bytes: 0,
        tail_bytes_max: 256 << 10,
        open_files_max: 8,
        ..StorageConfig::new("/data".into())
    }
}

pub fn settings() -> ShardSettings {
    ShardSettings { segment_bytes: 200 << 10, index_interval_bytes: 1000, ..ShardSettings::default() }
}

/// What the producers know: each acknowledged batch by partition and offset, and where each producer stands.
#[derive(Default)]
struct Oracle {
    acked: BTreeMap<(i32, Offset), Vec<u8>>,
    /// The sequence of the next batch of each partition's producer, and the last batch if its fate is unknown.
    sequences: BTreeMap<i32, (i32, Option<Vec<u8>>)>,
    /// Offsets up to which records were asked to be deleted, and up to which that was acknowledged.
    deleted: BTreeMap<i32, (Offset, Offset)>,
    random: Option<Prng>,
    starts: usize,
    checked: u64,
}

type Shared = Rc<RefCell<Oracle>>;

pub async fn open(io: &Handle) -> Shards {
    open_as(io, config()).await
}

pub async fn open_as(io: &Handle, config: StorageConfig) -> Shards {
    flumen::io::file::create_directory(io, &config.data).await.expect("the data directory");
    flumen::io::file::sync_directory(io, std::path::Path::new("/")).await.expect("its name");
    let recovered = recover(io, &config).await.expect("recovery");
    flumen::shard::merge_checkpoints(io, &config, &recovered).await.expect("merged checkpoints");
    let part = recovered.split(1, |_| 0).pop().expect("one part");
    start(io, config, part).await.expect("a storage")
}

/// All batches of a shard, read as a consumer reads them.
pub async fn read_all(shard: &Rc<Shard>) -> Vec<Vec<u8>> {
    let (mut from, mut found) = (shard.offsets().log_start, Vec::new());
    while from < shard.offsets().high_watermark {
        let before = from;
        let fetched = shard.read(from, 48 << 10, true, Isolation::ReadUncommitted, -1).await.expect("a read");
        for piece in fetched.pieces {
            let Piece::Memory(bytes) = piece else { continue };
            from = take_batches(&bytes, from, &mut found);
        }
        if from == before {
            // It came as a file's range; ask for the same from memory by another path: one batch further on.
            from = skip_warm(shard, from, &mut found).await;
        }
    }
    found
}

fn take_batches(bytes: &Slice, from: Offset, found: &mut Vec<Vec<u8>>) -> Offset {
    let mut next = from;
    for batch in batches(bytes) {
        let (header, batch) = batch.expect("a sound batch");
        check_stored(batch).expect("a right checksum");
        if header.next_offset() <= next {
            continue;
        }
        // The log may start within a batch.
        let fits = header.base_offset() == next || (found.is_empty() && header.base_offset() < next);
        assert!(fits, "offsets have no gaps: {} follows {next}", header.base_offset());
        next = header.next_offset();
        found.push(batch.to_vec());
    }
    next
}

async fn skip_warm(shard: &Rc<Shard>, from: Offset, found: &mut Vec<Vec<u8>>) -> Offset {
    // A limit below any batch leaves no warm range, so the bytes come through memory.
    let fetched = shard.read(from, 1, true, Isolation::ReadUncommitted, -1).await.expect("a read");
    let Some(Piece::Memory(bytes)) = fetched.pieces.first() else { panic!("one batch from memory at {from}") };
    take_batches(bytes, from, found)
}

/// The part of a batch that the broker leaves as it was sent.
pub fn content(batch: &[u8]) -> &[u8] {
    &batch[21..]
}

async fn check(shards: &Shards, oracle: &Shared) {
    for index in 0..PARTITIONS {
        let shard = shards.get(partition(index)).expect("an open shard");
        let found = read_all(&shard).await;
        let by_offset: BTreeMap<Offset, &Vec<u8>> =
            found.iter().map(|batch| (BatchHeader::read(batch).expect("a header").base_offset(), batch)).collect();
        let mut oracle = oracle.borrow_mut();
        let (asked, deleted) = oracle.deleted.get(&index).copied().unwrap_or_default();
        let start = shard.offsets().log_start;
        assert!((deleted..=asked).contains(&start), "partition {index} starts at {start}, not in {deleted}..={asked}");
        let acked: Vec<_> =
            oracle.acked.range((index, 0)..(index + 1, 0)).map(|(key, batch)| (key.1, batch.clone())).collect();
        for (offset, batch) in acked {
            if offset < start {
                continue;
            }
            let stored =
                by_offset.get(&offset).unwrap_or_else(|| panic!("partition {index} lost its batch at {offset}"));
            assert_eq!(content(stored), content(&batch), "partition {index} has another batch at {offset}");
            oracle.checked += 1;
        }
    }
}

/// A producer of one partition: idempotent in the even ones.
async fn produce(io: Handle, shards: Shards, oracle: Shared, index: i32) {
    let shard = shards.get(partition(index)).expect("an open shard");
    loop {
        let (batch, again) = next_batch(&io, &oracle, index);
        let before = shard.offsets().log_end;
        let result = shard.append(&batch, Acks::All).await;
        let appended = match result {
            Ok(appended) => appended,
            Err(error) if error.code == ErrorCode::NotLeaderOrFollower => return,
            Err(error) => panic!("partition {index}: {error}"),
        };
        assert!(again || appended.base_offset >= before);
        let (pause, delete) = note_acked(&oracle, index, appended.base_offset, batch);
        if delete {
            delete_some(&shard, &oracle, index, appended.base_offset).await;
        }
        if pause > 0 {
            io.sleep(Duration::from_micros(pause * 700)).await;
        }
    }
}

/// Notes an acknowledged batch; gives how long to pause, and whether to delete what lies before it.
fn note_acked(oracle: &Shared, index: i32, base_offset: Offset, batch: Vec<u8>) -> (u64, bool) {
    let mut oracle = oracle.borrow_mut();
    let records = BatchHeader::read(&batch).expect("a header").records_count();
    let known = oracle.acked.insert((index, base_offset), batch);
    assert!(known.is_none(), "partition {index}: offset {base_offset} was acknowledged twice");
    let entry = oracle.sequences.entry(index).or_default();
    *entry = (entry.0 + records, None);
    let random = oracle.random.as_mut().expect("a stream");
    (random.below(3), random.one_in(50))
}

/// Deletes the records before `before`.
async fn delete_some(shard: &Rc<Shard>, oracle: &Shared, index: i32, before: Offset) {
    oracle.borrow_mut().deleted.entry(index).or_default().0 = before;
    match shard.delete_records(before).await {
        Ok(start) => {
            assert_eq!(start, before);
            oracle.borrow_mut().deleted.entry(index).or_default().1 = before;
        }
        Err(error) => assert_eq!(error.code, ErrorCode::NotLeaderOrFollower, "{error}"),
    }
}

/// The next batch of a partition, or, of an idempotent producer, the last one again if its fate is unknown.
fn next_batch(io: &Handle, oracle: &Shared, index: i32) -> (Vec<u8>, bool) {
    let mut oracle = oracle.borrow_mut();
    let (sequence, unknown) = oracle.sequences.entry(index).or_default().clone();
    if let Some(batch) = unknown
        && index % 2 == 0
    {
        return (batch, true);
    }
    let random = oracle.random.as_mut().expect("a stream");
    let records = random.between(1, 5);
    // Most batches are small; some are larger than the threshold of direct runs, a few larger than a group.
    let bytes = match random.below(20) {
        0 => random.between(60_000, 200_000),
        1..=4 => random.between(8_000, 40_000),
        _ => random.between(1, 1500),
    };
    let mut value = vec![0; (bytes / records) as usize];
    let mut builder = BatchBuilder::new();
    if index % 2 == 0 {
        builder = builder.producer(1000 + i64::from(index), 0, sequence);
    }
    for record in 0..records {
        random.fill(&mut value);
        builder.append(io.wall_ms() + record as i64, Some(b"key"), Some(&value), &[]);
    }
    let batch = builder.build(0);
    oracle.sequences.insert(index, (sequence, Some(batch.clone())));
    (batch, false)
}

async fn broker(io: Handle, oracle: Shared) {
    let shards = open(&io).await;
    for index in 0..PARTITIONS {
        shards.open(partition(index), &format!("topic-{index}"), settings(), 0);
    }
    check(&shards, &oracle).await;
    oracle.borrow_mut().starts += 1;
    for index in 0..PARTITIONS {
        io.spawn(produce(io.clone(), shards.clone(), Rc::clone(&oracle), index));
    }
    io.submit(flumen::io::op::Op::StopSignal).await;
    // The producers go on until the journal is closed; a batch that was not acknowledged may be there or not.
    shards.shutdown().await.expect("a clean stop");
}

/// One run: rounds of load, each ended in its own way.
fn run(seed: u64) -> (u64, u64) {
    let oracle = Shared::default();
    oracle.borrow_mut().random = Some(Prng::new(seed).split("workload"));
    let shared = Rc::clone(&oracle);
    let rounds = Rounds { seed, count: ROUNDS, longest: Duration::from_millis(250) };
    let hash = through_every_end(&rounds, || oracle.borrow().starts, move |io| broker(io, Rc::clone(&shared)));
    let oracle = oracle.borrow();
    assert!(oracle.checked > 100, "seed {seed} checked only {} batches", oracle.checked);
    (hash, oracle.checked)
}

#[test]
fn acknowledged_batches_survive_every_end() {
    for seed in 0..30 {
        run(seed);
    }
}

#[test]
fn one_seed_is_one_run_of_the_engine() {
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

/// Appends large batches with a small one now and then; gives the most that the tail took, and the passes of write-back.
async fn append_large(io: Handle, result: Rc<RefCell<Option<(u64, u64)>>>) {
    let config = StorageConfig {
        journal_bytes: 64 << 20,
        journal_file_bytes: 8 << 20,
        write_back_bytes: 2 << 20,
        write_back_interval: Duration::from_secs(3600),
        tail_bytes_max: 2 << 20,
        ..config()
    };
    let shards = open_as(&io, config).await;
    let settings = ShardSettings { segment_bytes: 1 << 30, ..ShardSettings::default() };
    shards.open(partition(0), "topic-0", settings, 0);
    let shard = shards.get(partition(0)).expect("it was just opened");
    let mut peak = 0;
    for number in 0..400 {
        let value = vec![7; if number % 50 == 49 { 100 } else { 64 << 10 }];
        let mut builder = BatchBuilder::new();
        builder.append(io.wall_ms(), None, Some(&value), &[]);
        shard.append(&builder.build(0), Acks::All).await.expect("an acknowledgement");
        peak = peak.max(shards.stats().tail_bytes);
    }
    *result.borrow_mut() = Some((peak, shards.stats().write_backs));
}

#[test]
fn large_batches_leave_memory_though_small_ones_between_them_hold_them_back() {
    let mut world = World::new(1);
    let machine = world.machine(&MachineConfig::default());
    let result = Rc::new(RefCell::new(None));
    let shared = Rc::clone(&result);
    world.client(machine, move |io| append_large(io, Rc::clone(&shared)));
    assert!(world.run_until(Duration::from_secs(600), |_| result.borrow().is_some()), "it ends");
    let (peak, passes) = result.borrow().expect("it has ended");
    // The tail's bound, what may lie behind it before a pass, and half a bound until it is looked at; 25 MiB were appended.
    assert!(peak <= (2 + 2 + 1) * (1 << 20) + (512 << 10), "{peak} bytes in memory");
    assert!((1..=20).contains(&passes), "{passes} passes");
}
