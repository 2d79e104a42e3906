//! Named cases of the storage engine: one thing goes wrong, and what was acknowledged before and after is all there.

use core::time::Duration;
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::task::Poll;

use flumen::base::block::Use;
use flumen::io::Handle;
use flumen::io::file::{self, File};
use flumen::io::op::OpenMode;
use flumen::log::directory::{Kind, parse_file_name};
use flumen::model::error_code::ErrorCode;
use flumen::model::offset::{NO_TIMESTAMP, Offset};
use flumen::producer::state::MarkerFacts;
use flumen::producer::transactions::Outcome;
use flumen::record::BatchBuilder;
use flumen::shard::{Acks, Isolation, Piece, Shard, ShardSettings, Shards, StartError, StorageConfig, recover};
use flumen::sim::{DiskFaultRates, MachineConfig, MachineId, PowerCut, ProcessId, World};

use crate::engine::{config, content, open, open_as, partition, read_all, settings};

/// A machine with one process, which is ended and started again.
pub struct Bench {
    pub world: World,
    pub machine: MachineId,
    pub process: ProcessId,
    done: Rc<Cell<usize>>,
}

impl Bench {
    /// Has `start` run at each start of the process, which then does nothing more; it is given the number of the start,
    /// from 1 on.
    pub fn new<F>(machine: &MachineConfig, start: impl Fn(Handle, usize) -> F + 'static) -> Bench
    where
        F: Future<Output = ()> + 'static,
    {
        let mut world = World::new(1);
        let machine = world.machine(machine);
        let (done, number) = (Rc::new(Cell::new(0)), Cell::new(0));
        let told = Rc::clone(&done);
        let process = world.client(machine, move |io| {
            number.set(number.get() + 1);
            let (now, told) = (number.get(), Rc::clone(&told));
            let this = start(io, now);
            async move {
                this.await;
                told.set(now);
                std::future::pending::<()>().await;
            }
        });
        Bench { world, machine, process, done }
    }

    /// Waits for the end of start `number`.
    pub fn wait(&mut self, number: usize) {
        let done = Rc::clone(&self.done);
        assert!(self.world.run_until(Duration::from_secs(60), |_| done.get() == number), "start {number} does not end");
    }

    /// Waits for each of `starts` starts, and kills the process between them.
    pub fn run(mut self, starts: usize) {
        for number in 1..=starts {
            self.wait(number);
            self.world.kill(self.process);
            if number < starts {
                self.world.restart(self.process);
            }
        }
    }
}

/// Nothing is written back before a clean stop.
fn journal_only() -> StorageConfig {
    StorageConfig { write_back_bytes: 1 << 30, write_back_interval: Duration::from_secs(3600), ..config() }
}

fn batch_at(timestamp: i64, value: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.append(timestamp, None, Some(value), &[]);
    builder.build(0)
}

fn batch(io: &Handle, bytes: usize) -> Vec<u8> {
    batch_at(io.wall_ms(), &vec![7; bytes])
}

fn of_wrong_checksum(io: &Handle) -> Vec<u8> {
    let mut bytes = batch(io, 100);
    let within_the_value = bytes.len() - 50;
    bytes[within_the_value] ^= 1;
    bytes
}

async fn append(shard: &Rc<Shard>, batch: &[u8]) -> Offset {
    shard.append(batch, Acks::All).await.expect("an acknowledged append").base_offset
}

async fn refuse(shard: &Rc<Shard>, batch: &[u8], code: ErrorCode) {
    assert_eq!(shard.append(batch, Acks::All).await.expect_err("it is refused").code, code);
}

/// Writes so much by way of the journal that each of its files is used again.
async fn go_round_the_journal(io: &Handle, shard: &Rc<Shard>) {
    for _ in 0..1000 {
        append(shard, &batch(io, 8 << 10)).await;
    }
    io.sleep(Duration::from_secs(1)).await;
}

/// The log begins with its first batch, whether that is refused or not: its journal file is needed until a checkpoint
/// speaks of it.
#[test]
fn a_log_whose_first_batch_was_refused_is_one_that_a_start_knows() {
    for appends_later in [false, true] {
        let bench = Bench::new(&MachineConfig::default(), move |io, number| async move {
            let shards = open(&io).await;
            let [refused, other] = [0, 1].map(|at| shards.open(partition(at), &format!("topic-{at}"), settings(), 0));
            if number > 1 {
                assert_eq!(read_all(&refused).await.len(), usize::from(appends_later));
                assert_eq!(other.offsets().log_end, 1000);
                return;
            }
            refuse(&refused, &of_wrong_checksum(&io), ErrorCode::CorruptMessage).await;
            go_round_the_journal(&io, &other).await;
            if appends_later {
                append(&refused, &batch(&io, 10)).await;
            } else {
                shards.shutdown().await.expect("a clean stop");
            }
        });
        bench.run(2);
    }
}

/// A group is begun for an entry that then does not come: nobody waits for it.
#[test]
fn a_group_without_entries_holds_up_no_stop() {
    for refused in [false, true] {
        let bench = Bench::new(&MachineConfig::default(), move |io, _| async move {
            let shards = open(&io).await;
            let shard = shards.open(partition(0), "topic-0", settings(), 0);
            append(&shard, &batch(&io, 100)).await;
            io.sleep(Duration::from_secs(1)).await;
            if refused {
                refuse(&shard, &of_wrong_checksum(&io), ErrorCode::CorruptMessage).await;
            } else {
                assert_eq!(shard.delete_records(0).await.expect("nothing to delete"), 0);
            }
            shards.shutdown().await.expect("a clean stop");
        });
        bench.run(2);
    }
}

/// A run is written in whole blocks, so its first one carries what stood before it; its checksum does not.
#[test]
fn what_stands_before_a_run_in_its_block_is_written_again_after_a_crash() {
    let values: Rc<[Vec<u8>; 2]> = Rc::new([vec![1; 900], vec![2; 150 << 10]]);
    let mut bench = Bench::new(&MachineConfig::default(), move |io, number| {
        let values = Rc::clone(&values);
        async move {
            let shards = open_as(&io, journal_only()).await;
            let shard = shards.open(partition(0), "topic-0", settings(), 0);
            if number == 1 {
                for value in values.iter() {
                    append(&shard, &batch_at(io.wall_ms(), value)).await;
                }
                assert!(shards.stats().journal.run_bytes > 0, "the second one is a run");
                return;
            }
            let found = read_all(&shard).await;
            let holds = |(bytes, value): (&Vec<u8>, &Vec<u8>)| bytes.windows(value.len()).any(|window| window == value);
            assert_eq!(found.iter().zip(values.iter()).filter(|pair| holds(*pair)).count(), 2, "start {number}");
            shards.shutdown().await.expect("a clean stop");
        }
    });
    bench.wait(1);
    bench.world.kill(bench.process);
    let segment = Path::new("/data/topic-0/00000000000000000000.log");
    assert!(bench.world.disk(bench.machine, Path::new("/data"), |disk| disk.corrupt(segment, 0, &[0xa5; 512])));
    bench.world.restart(bench.process);
    bench.wait(2);
    bench.world.kill(bench.process);
    bench.world.restart(bench.process);
    bench.wait(3);
}

/// Only a segment that is not there tells that a run was never written.
#[test]
fn a_segment_that_cannot_be_opened_is_no_sign_of_a_crash() {
    let bench = Bench::new(&MachineConfig::default(), move |io, number| async move {
        if number == 2 {
            let (place, kept) = (Path::new("/data/topic-0"), Path::new("/data/kept"));
            file::rename(&io, place, kept).await.expect("a rename");
            let mode = OpenMode { write: true, create: true, ..OpenMode::default() };
            drop(File::open(&io, place, mode).await.expect("a file in the directory's place"));
            let refused = recover(&io, &journal_only()).await.expect_err("no start");
            assert!(matches!(refused, StartError::Io { .. }), "{refused}");
            file::unlink(&io, place).await.expect("it goes");
            file::rename(&io, kept, place).await.expect("a rename");
        }
        let shards = open_as(&io, journal_only()).await;
        let shard = shards.open(partition(0), "topic-0", settings(), 0);
        if number == 1 {
            append(&shard, &batch(&io, 150 << 10)).await;
        }
        assert_eq!(read_all(&shard).await.len(), 1);
    });
    bench.run(2);
}

const PRODUCER: i64 = 4711;

async fn in_transaction(io: &Handle, shard: &Rc<Shard>, sequence: i32) -> Offset {
    let mut builder = BatchBuilder::new().producer(PRODUCER, 0, sequence).transactional();
    builder.append(io.wall_ms(), None, Some(&[3; 1000]), &[]);
    let (append, unverified) = shard.append_transactional(&builder.build(0), Acks::All);
    if let Some(unverified) = unverified {
        shard.verified(&unverified, Ok(()), false);
    }
    append.await.expect("an append").base_offset
}

/// What a batch means for its producer and its transaction stays when its records are deleted.
#[test]
fn producers_know_after_a_crash_what_was_deleted_since_the_checkpoint() {
    let bench = Bench::new(&MachineConfig::default(), move |io, number| async move {
        // Write-back comes by once, before the transaction ends.
        let config = StorageConfig { write_back_interval: Duration::from_secs(5), ..journal_only() };
        let shards = open_as(&io, config).await;
        let settings = ShardSettings { segment_bytes: 16 << 10, ..settings() };
        let shard = shards.open(partition(0), "topic-0", settings, 0);
        if number == 1 {
            in_transaction(&io, &shard, 0).await;
            io.sleep(Duration::from_secs(6)).await;
            in_transaction(&io, &shard, 1).await;
            let facts =
                MarkerFacts { producer_id: PRODUCER, producer_epoch: 0, coordinator_epoch: 0, transaction_version: 0 };
            shard.append_marker(facts, Outcome::Commit).await.expect("a marker");
            for _ in 0..4 {
                append(&shard, &batch(&io, 12 << 10)).await;
            }
            let end = shard.offsets().log_end;
            shard.delete_records(end - 1).await.expect("a deletion");
        }
        let offsets = shard.offsets();
        assert_eq!((offsets.log_end, offsets.last_stable), (7, 7), "start {number}: no transaction is open");
        assert_eq!(shard.describe_producers()[0].last_sequence, 1);
    });
    bench.run(2);
}

fn segments(world: &mut World, machine: MachineId) -> usize {
    let paths = world.disk(machine, Path::new("/data"), |disk| disk.paths());
    let names = paths.iter().filter_map(|path| path.file_name()?.to_str());
    names.filter_map(parse_file_name).filter(|(_, kind)| *kind == Kind::Log).count()
}

/// The age of a segment counts from its first batch's timestamp, or where that has none from when it was begun.
#[test]
fn batches_without_timestamps_share_a_segment() {
    let mut bench = Bench::new(&MachineConfig::default(), |io, _| async move {
        let shards = open(&io).await;
        let settings = ShardSettings { segment_ms: 60_000, ..settings() };
        let shard = shards.open(partition(0), "topic-0", settings, 0);
        for pause in [0, 0, 0, 50, 20] {
            io.sleep(Duration::from_secs(pause)).await;
            append(&shard, &batch_at(NO_TIMESTAMP, &[1; 5000])).await;
        }
        io.sleep(Duration::from_secs(1)).await;
    });
    bench.world.run_for(Duration::from_secs(40));
    assert_eq!(segments(&mut bench.world, bench.machine), 1);
    bench.wait(1);
    assert_eq!(segments(&mut bench.world, bench.machine), 2, "the first one is older than a minute");
}

/// As in Kafka, which compares what it is to append with `segment.bytes`.
#[test]
fn a_batch_that_no_segment_can_hold_is_refused() {
    let bench = Bench::new(&MachineConfig::default(), |io, _| async move {
        let shards = open(&io).await;
        let settings = ShardSettings { segment_bytes: 16 << 10, ..settings() };
        let shard = shards.open(partition(0), "topic-0", settings, 0);
        refuse(&shard, &batch(&io, 16 << 10), ErrorCode::RecordListTooLarge).await;
        let fits = batch(&io, 15 << 10);
        append(&shard, &fits).await;
        assert_eq!(content(&read_all(&shard).await[0]), content(&fits));
    });
    bench.run(1);
}

/// One partition is written by a run in the group that another's last batch is in, and then removed, with a crash at each
/// operation on the way: the other's records are all there, and the removal can be completed.
#[test]
fn a_removal_may_end_anywhere() {
    let mut crashes = 0;
    for after in 0.. {
        let ready = Rc::new(Cell::new(false));
        let told = Rc::clone(&ready);
        let mut bench = Bench::new(&MachineConfig::default(), move |io, number| {
            let told = Rc::clone(&told);
            async move {
                let shards = open_as(&io, journal_only()).await;
                let kept = shards.open(partition(1), "topic-1", settings(), 0);
                if number == 1 {
                    let gone = shards.open(partition(0), "topic-0", settings(), 0);
                    let (run, value) = (batch(&io, 150 << 10), batch(&io, 100));
                    let appends = [gone.append(&run, Acks::All), kept.append(&value, Acks::All)];
                    for append in appends {
                        append.await.expect("an append");
                    }
                    told.set(true);
                    shards.remove(partition(0)).await.expect("a removal");
                }
                assert_eq!(read_all(&kept).await.len(), 1, "crash at operation {after}, start {number}");
                for orphan in shards.unclaimed() {
                    shards.remove(orphan).await.expect("a removal");
                }
                if number == 3 {
                    shards.shutdown().await.expect("a clean stop");
                }
            }
        });
        let world = &mut bench.world;
        assert!(world.run_until(Duration::from_secs(60), |_| ready.get()));
        world.crash_at_submission(bench.process, after);
        let done = Rc::clone(&bench.done);
        assert!(world.run_until(Duration::from_secs(60), |world| world.crashed().is_some() || done.get() == 1));
        let crashed = world.crashed().is_some();
        if after % 2 == 0 {
            world.kill(bench.process);
        } else {
            world.power_cut(bench.machine, PowerCut::default());
            world.power_on(bench.machine);
        }
        for number in 2..=4 {
            bench.world.restart(bench.process);
            bench.wait(number);
            bench.world.kill(bench.process);
        }
        let paths = bench.world.disk(bench.machine, Path::new("/data"), |disk| disk.paths());
        let left = paths.iter().filter(|path| path.to_string_lossy().contains("-delete") || path.ends_with("topic-0"));
        assert_eq!(left.count(), 0, "crash at operation {after}: {paths:?}");
        if !crashed {
            break;
        }
        crashes += 1;
    }
    assert!(crashes > 5, "{crashes}");
}

/// A machine whose journal, or whose checkpoints, are on a disk of their own.
fn machine_with(apart: &str) -> MachineConfig {
    let mut machine = MachineConfig::default();
    machine.mounts.push((apart.into(), 1 << 30));
    machine
}

const ALL_WRITES_FAIL: DiskFaultRates = DiskFaultRates {
    read_error_one_in: 0,
    write_error_one_in: 1,
    sync_error_one_in: 0,
    astray_one_in: 0,
    slow_one_in: 0,
    slow_for: Duration::ZERO,
};

/// While the checkpoint cannot be written a partition is not removed, and nobody gets its directory's name.
#[test]
fn a_removal_that_fails_takes_nothing_from_the_next_of_that_name() {
    let ready = Rc::new(Cell::new(false));
    let told = Rc::clone(&ready);
    let mut bench = Bench::new(&machine_with("/data/checkpoint"), move |io, number| {
        let told = Rc::clone(&told);
        async move {
            let shards = open(&io).await;
            if number == 1 {
                let shard = shards.open(partition(0), "topic-0", settings(), 0);
                append(&shard, &batch(&io, 60 << 10)).await;
                io.sleep(Duration::from_secs(1)).await;
                told.set(true);
                io.sleep(Duration::from_millis(1)).await;
                // As the broker does it: what fails is told in its log.
                drop(shards.remove(partition(0)).await);
            }
            for orphan in shards.unclaimed().into_iter().filter(|id| *id != partition(1)) {
                shards.remove(orphan).await.expect("a removal");
            }
            let next = shards.open(partition(1), "topic-0", settings(), 0);
            if number == 1 {
                append(&next, &batch(&io, 50 << 10)).await;
                shards.shutdown().await.expect("a clean stop");
                return;
            }
            assert_eq!(read_all(&next).await.len(), 1);
        }
    });
    assert!(bench.world.run_until(Duration::from_secs(60), |_| ready.get()));
    let checkpoints = Path::new("/data/checkpoint");
    bench.world.disk_faults(bench.machine, checkpoints, ALL_WRITES_FAIL);
    bench.world.run_for(Duration::from_secs(2));
    bench.world.disk_faults(bench.machine, checkpoints, DiskFaultRates::default());
    bench.run(2);
}

/// A journal file that cannot be blanked just now is blanked later: left as it was, it would be one before a gap.
#[test]
fn a_journal_file_that_could_not_be_blanked_is_tried_again() {
    let ready = Rc::new(Cell::new(0));
    let told = Rc::clone(&ready);
    let mut bench = Bench::new(&machine_with("/data/journal"), move |io, number| {
        let told = Rc::clone(&told);
        async move {
            let config = StorageConfig {
                journal_bytes: 16 << 20,
                write_back_interval: Duration::from_secs(5),
                ..journal_only()
            };
            let shards = open_as(&io, config).await;
            let shard = shards.open(partition(0), "topic-0", settings(), 0);
            let value = batch(&io, 8 << 10);
            if number == 1 {
                for _ in 0..300 {
                    append(&shard, &value).await;
                }
                io.sleep(Duration::from_secs(1)).await;
                told.set(1);
                // Write-back comes by and gives files back.
                io.sleep(Duration::from_secs(7)).await;
                for _ in 0..300 {
                    append(&shard, &value).await;
                }
            }
            assert_eq!(read_all(&shard).await.len(), 600);
        }
    });
    assert!(bench.world.run_until(Duration::from_secs(60), |_| ready.get() == 1));
    let journal = Path::new("/data/journal");
    bench.world.disk_faults(bench.machine, journal, ALL_WRITES_FAIL);
    bench.world.run_for(Duration::from_secs(6));
    bench.world.disk_faults(bench.machine, journal, DiskFaultRates::default());
    bench.run(2);
}

/// When the storage goes offline, a run that was sealed and not yet on its way never will be: nobody waits for it.
#[test]
fn a_run_that_is_never_written_holds_up_no_removal() {
    let ready = Rc::new(Cell::new(false));
    let told = Rc::clone(&ready);
    let mut bench = Bench::new(&MachineConfig::default(), move |io, _| {
        let told = Rc::clone(&told);
        async move {
            let shards = open_as(&io, StorageConfig { groups_in_flight_max: 1, ..journal_only() }).await;
            let [first, second] = [0, 1].map(|at| shards.open(partition(at), &format!("topic-{at}"), settings(), 0));
            append(&first, &batch(&io, 10)).await;
            // From here on it has space for runs.
            append(&second, &batch(&io, 30 << 10)).await;
            io.sleep(Duration::from_millis(100)).await;
            told.set(true);
            io.sleep(Duration::from_millis(1)).await;
            let in_flight = first.append(&batch(&io, 10), Acks::All);
            io.sleep(Duration::from_millis(1)).await;
            let run = second.append(&batch(&io, 30 << 10), Acks::All);
            // This one has no room beside the run's entry.
            let behind = first.append(&batch(&io, 127 << 10), Acks::All);
            for append in [in_flight, run, behind] {
                assert_eq!(append.await.expect_err("it is offline").code, ErrorCode::KafkaStorageError);
            }
            for id in [0, 1] {
                shards.remove(partition(id)).await.expect_err("it is offline");
            }
            shards.shutdown().await.expect_err("it is offline");
        }
    });
    assert!(bench.world.run_until(Duration::from_secs(60), |_| ready.get()));
    let slow = DiskFaultRates { slow_one_in: 1, slow_for: Duration::from_secs(1), ..DiskFaultRates::default() };
    bench.world.disk_faults(bench.machine, Path::new("/"), slow);
    bench.world.run_for(Duration::from_millis(10));
    bench.world.disk_dies(bench.machine, Path::new("/"), true);
    bench.run(1);
}

/// A batch that only its segment can take has its space first: on a disk that others filled it is refused, and the storage
/// goes on. So is one that begins a segment, whatever the one before has left.
#[test]
fn a_large_batch_on_a_full_disk_is_refused_and_takes_nothing_offline() {
    for rolls in [false, true] {
        let at = Rc::new(Cell::new(0));
        let told = Rc::clone(&at);
        let mut bench = Bench::new(&MachineConfig::default(), move |io, number| {
            let told = Rc::clone(&told);
            async move {
                let shards = open_as(&io, StorageConfig { disk_reserve_bytes: 1 << 20, ..journal_only() }).await;
                let shard = shards.open(partition(0), "topic-0", settings(), 0);
                // More than an eighth of a journal file; two are more than a segment.
                let large = batch(&io, 140 << 10);
                if number == 1 {
                    let first = if rolls { large.clone() } else { batch(&io, 10) };
                    append(&shard, &first).await;
                    told.set(1);
                    while told.get() == 1 {
                        io.sleep(Duration::from_micros(100)).await;
                    }
                    let refused = shard.append(&large, Acks::All).await.expect_err("there is no space");
                    assert!(refused.message.contains("the disk is full"), "{refused:?}");
                    told.set(3);
                    io.sleep(Duration::from_secs(1)).await;
                    append(&shard, &large).await;
                }
                assert_eq!(shard.high_watermark(), 2, "rolls: {rolls}");
            }
        });
        let is = |wanted: u32| {
            let at = Rc::clone(&at);
            move |_: &World| at.get() == wanted
        };
        assert!(bench.world.run_until(Duration::from_secs(60), is(1)));
        bench.world.disk(bench.machine, Path::new("/"), |disk| disk.resize(0));
        at.set(2);
        assert!(bench.world.run_until(Duration::from_secs(60), is(3)), "rolls: {rolls}");
        bench.world.disk(bench.machine, Path::new("/"), |disk| disk.resize(1 << 33));
        bench.run(2);
    }
}

/// Who asked for a deletion may give up waiting while it becomes durable; clients are told of the new start all the same.
#[test]
fn a_deletion_that_nobody_waits_for_counts() {
    let bench = Bench::new(&MachineConfig::default(), |io, number| async move {
        let shards = open_as(&io, journal_only()).await;
        let shard = shards.open(partition(0), "topic-0", settings(), 0);
        if number == 1 {
            for _ in 0..4 {
                append(&shard, &batch(&io, 10)).await;
            }
            let mut deletion = Box::pin(shard.delete_records(3));
            let begun = std::future::poll_fn(|context| Poll::Ready(deletion.as_mut().poll(context).is_pending())).await;
            assert!(begun, "it is not durable at once");
            drop(deletion);
            io.sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(shard.offsets().log_start, 3, "start {number}");
    });
    bench.run(2);
}

/// A cut of power takes what was not made durable, and a start has told clients of all that it found.
#[test]
fn what_a_start_brought_back_is_durable() {
    let mut bench = Bench::new(&MachineConfig::default(), |io, number| async move {
        let path = Path::new("/data/journal/000001-00-0000.journal");
        if number == 2 {
            // The last group has reached the device's cache and no further.
            let content = file::read_whole(&io, path, 1 << 30).await.expect("a read").expect("a journal");
            let file = File::open(&io, path, OpenMode { write: true, ..OpenMode::default() }).await.expect("it opens");
            let last = 8192..12_288;
            file::append_copied(&io, &file, last.start as u64, &[0; 4096]).await.expect("a write");
            file.sync(&io, false).await.expect("a flush");
            file::append_copied(&io, &file, last.start as u64, &content[last]).await.expect("a write");
        }
        let shards = open_as(&io, journal_only()).await;
        let shard = shards.open(partition(0), "topic-0", settings(), 0);
        if number == 1 {
            append(&shard, &batch(&io, 10)).await;
            append(&shard, &batch(&io, 20)).await;
        }
        assert_eq!(shard.high_watermark(), 2, "start {number}");
    });
    bench.wait(1);
    bench.world.kill(bench.process);
    bench.world.restart(bench.process);
    bench.wait(2);
    bench.world.power_cut(bench.machine, PowerCut::default());
    bench.world.restart(bench.process);
    bench.wait(3);
}

/// What a failed write-back was to write beside the segments, the next one writes.
#[test]
fn producers_snapshots_are_written_after_a_failed_write_back() {
    let ready = Rc::new(Cell::new(false));
    let told = Rc::clone(&ready);
    let mut bench = Bench::new(&machine_with("/data/journal"), move |io, _| {
        let told = Rc::clone(&told);
        async move {
            let config = StorageConfig { write_back_interval: Duration::from_secs(5), ..journal_only() };
            let shards = open_as(&io, config).await;
            let settings = ShardSettings { segment_bytes: 16 << 10, ..settings() };
            let shard = shards.open(partition(0), "topic-0", settings, 0);
            for _ in 0..4 {
                append(&shard, &batch(&io, 12 << 10)).await;
            }
            told.set(true);
            io.sleep(Duration::from_secs(12)).await;
        }
    });
    assert!(bench.world.run_until(Duration::from_secs(60), |_| ready.get()));
    bench.world.disk_faults(bench.machine, Path::new("/"), ALL_WRITES_FAIL);
    bench.world.run_for(Duration::from_secs(6));
    let snapshots = |bench: &mut Bench| {
        let paths = bench.world.disk(bench.machine, Path::new("/"), |disk| disk.paths());
        paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "snapshot")).count()
    };
    assert_eq!(snapshots(&mut bench), 0);
    bench.world.disk_faults(bench.machine, Path::new("/"), DiskFaultRates::default());
    bench.wait(1);
    assert_eq!(snapshots(&mut bench), 3, "one for each segment but the first");
}

/// Reads all of a shard in order, at most `limits` bytes a time in turn; gives how many of them came from files, by the broker's
/// own account.
async fn read_in_order(io: &Handle, shards: &Shards, shard: &Rc<Shard>, limits: &[u32]) -> u64 {
    let before = shards.stats().read_bytes;
    let (mut from, mut turn) = (0, 0);
    while from < shard.offsets().high_watermark {
        let fetched = shard.read(from, limits[turn % limits.len()], false, Isolation::ReadUncommitted, -1).await;
        for piece in fetched.expect("a read").pieces {
            let Piece::Memory(bytes) = piece else { panic!("read for the first time") };
            for batch in flumen::record::batches(&bytes) {
                let (header, _) = batch.expect("whole batches");
                assert_eq!(header.base_offset(), from);
                from = header.next_offset();
            }
        }
        turn += 1;
        io.sleep(Duration::from_millis(5)).await;
    }
    shards.stats().read_bytes - before
}

/// What a consumer's room cuts off of a read, and what is read ahead for it, comes from the device once; and what is read ahead
/// for one that asks for little may hold no whole batch for one that asks for more (which was taken for damage).
#[test]
fn a_consumer_that_reads_in_order_has_each_byte_read_from_the_device_once() {
    const BATCHES: u64 = 100;
    // Room for all, for a part of what is read ahead, for less than one batch, for none; less than a batch ahead.
    let cases: [(usize, &[u32]); 4] = [
        (30 << 10, &[128 << 10]),
        (30 << 10, &[128 << 10, 40 << 10]),
        (30 << 10, &[128 << 10, 10 << 10, 0]),
        (70 << 10, &[128 << 10, 256 << 10, 80 << 10, 80 << 10]),
    ];
    for (batch_bytes, limits) in cases {
        let bench = Bench::new(&MachineConfig::default(), move |io, _| async move {
            let config = StorageConfig { tail_bytes_max: 64 << 10, ..config() };
            let shards = open_as(&io, config).await;
            let settings = ShardSettings { segment_bytes: 64 << 20, ..settings() };
            let shard = shards.open(partition(0), "topic-0", settings, 0);
            let batch = batch(&io, batch_bytes);
            for _ in 0..BATCHES {
                append(&shard, &batch).await;
            }
            io.sleep(Duration::from_secs(1)).await;
            let read = read_in_order(&io, &shards, &shard, limits).await;
            let stored = BATCHES * batch.len() as u64;
            // Whole sectors, and of each read the batch that it holds only a part of.
            assert!(read < stored * 2, "{read} bytes read of {stored} stored");
            io.sleep(Duration::from_secs(2)).await;
            assert_eq!(io.pool().in_use(Use::Read), 0, "what nobody came for is let go");
        });
        bench.run(1);
    }
}

/// A consumer that is told that its offset is out of range starts elsewhere, and what it skips is lost to it.
#[test]
fn a_segment_file_that_ends_early_is_damage_to_who_reads_in_order_and_not_an_offset_out_of_range() {
    let bench = Bench::new(&MachineConfig::default(), move |io, _| async move {
        let shards = open_as(&io, StorageConfig { tail_bytes_max: 64 << 10, ..config() }).await;
        let settings = ShardSettings { segment_bytes: 64 << 20, ..settings() };
        let shard = shards.open(partition(0), "topic-0", settings, 0);
        let batch = batch(&io, 30 << 10);
        for _ in 0..100 {
            append(&shard, &batch).await;
        }
        io.sleep(Duration::from_secs(1)).await;
        let mode = OpenMode { write: true, ..OpenMode::default() };
        let path = Path::new("/data/topic-0/00000000000000000000.log");
        let file = File::open(&io, path, mode).await.expect("the segment");
        // It ends where the third read begins, which is read ahead after the second.
        file.truncate(&io, 8 * batch.len() as u64).await.expect("a cut");
        let read = async |from: Offset| shard.read(from, 128 << 10, true, Isolation::ReadUncommitted, -1).await;
        for from in [0, 4] {
            assert_eq!(read(from).await.expect("sound batches").bytes as usize, 4 * batch.len());
        }
        io.sleep(Duration::from_millis(50)).await;
        for _ in 0..2 {
            let error = read(8).await.expect_err("nothing is there");
            assert_eq!(error.code, ErrorCode::CorruptMessage, "{error:?}");
        }
    });
    bench.run(1);
}
