//! What a consumer that keeps up costs before anything is sent: finding its batches in the tail, by size of the batch.
//! `cargo bench --bench tail_read`.
//!
//! Held against a copy of the same bytes, the least that a send from memory adds: reading the tail is to stay below a tenth of
//! it for batches of 16 KiB and more. Each read brings at most 1 MiB, as consumers ask for by default.
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a measurement reads the clock and prints

use std::future::Future;
use std::hint::black_box;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use flumen::base::block::Pool;
use flumen::base::time::Duration;
use flumen::base::units::{GIB, MIB};
use flumen::io::topology::Threads;
use flumen::io::{Handle, topology};
use flumen::model::ids::{PartitionId, Uuid};
use flumen::record::BatchBuilder;
use flumen::shard::{Acks, Isolation, Shard, ShardSettings, StorageConfig, recover, start};

const BATCH_BYTES: [usize; 4] = [170, 1 << 10, 16 << 10, 64 << 10];
/// What each log holds in its tail.
const TAIL_BYTES: usize = 8 << 20;
const READ_BYTES: u32 = 1 << 20;
const ROUNDS: usize = 50;
const LIMIT: f64 = 0.1;
/// The limit is for batches from here on: smaller ones cost what looking at each of them does.
const LIMIT_FROM_BYTES: usize = 16 << 10;

/// Nanoseconds of one pass of `work` over the tail, in the best round.
fn best(mut work: impl FnMut()) -> f64 {
    let round = |_| {
        let started = Instant::now();
        work();
        started.elapsed().as_nanos() as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

/// Appends batches of one record until the tail is full; gives the size of one as it is stored.
async fn fill(io: &Handle, shard: &Rc<Shard>, batch_bytes: usize) -> usize {
    const OVERHEAD_BYTES: usize = 75;
    let value = vec![7; batch_bytes - OVERHEAD_BYTES];
    let mut builder = BatchBuilder::new();
    builder.append(io.wall_ms(), None, Some(&value), &[]);
    let batch = builder.build(0);
    let mut last = None;
    for count in 0..TAIL_BYTES / batch_bytes {
        last = Some(shard.append(&batch, Acks::All));
        // Within what may wait for the disk.
        if count % 64 == 63 {
            last.take().expect("it was just appended").await.expect("an acknowledgement");
        }
    }
    if let Some(last) = last {
        last.await.expect("an acknowledgement");
    }
    batch.len()
}

/// Reads the whole tail, a megabyte at a time; gives the number of reads. The tail answers on the first poll.
fn read(shard: &Rc<Shard>, batch_bytes: usize) -> u64 {
    let (mut at, mut reads) = (0, 0);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let mut reading = pin!(shard.read(at, READ_BYTES, true, Isolation::ReadUncommitted, -1));
        let Poll::Ready(fetched) = reading.as_mut().poll(&mut context) else { panic!("this is not in the tail") };
        let fetched = black_box(fetched.expect("a read"));
        if fetched.bytes == 0 {
            return reads;
        }
        reads += 1;
        at += i64::from(fetched.bytes) / batch_bytes as i64;
    }
}

async fn main_of(io: Handle) {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tail_read");
    // What an earlier run that was interrupted has left.
    let _ = std::fs::remove_dir_all(&data);
    std::fs::create_dir_all(&data).expect("a scratch directory");
    let config = StorageConfig {
        disk_reserve_bytes: 0,
        write_back_bytes: GIB,
        write_back_interval: Duration::from_secs(3600),
        ..StorageConfig::new(data.clone())
    };
    let recovered = recover(&io, &config).await.expect("nothing to recover");
    let part = recovered.split(1, |_| 0).pop().expect("one part");
    let shards = start(&io, config, part).await.expect("a storage");
    let (from, mut to) = (vec![1_u8; TAIL_BYTES], vec![0_u8; TAIL_BYTES]);
    let copy = best(|| black_box(&mut to).copy_from_slice(black_box(&from)));
    println!("{:>8} {:>12} {:>13} {:>16} {:>8}", "batch", "us a MiB", "ns a batch", "of a copy of it", "limit");
    for (index, batch_bytes) in BATCH_BYTES.into_iter().enumerate() {
        let partition = PartitionId { topic: Uuid::from_u128(1), index: index as i32 };
        shards.open(partition, &format!("tail-{index}"), ShardSettings::default(), 0);
        let shard = shards.get(partition).expect("it was just opened");
        let stored = fill(&io, &shard, batch_bytes).await;
        let reads = read(&shard, stored);
        let nanos = best(|| assert_eq!(read(&shard, stored), reads));
        let (batches, share) = (TAIL_BYTES / batch_bytes, nanos / copy);
        let limit = if batch_bytes >= LIMIT_FROM_BYTES { format!("{LIMIT}") } else { "-".to_owned() };
        let verdict = if batch_bytes >= LIMIT_FROM_BYTES && share > LIMIT { ", missed" } else { "" };
        println!(
            "{batch_bytes:>8} {:>12.2} {:>13.1} {share:>16.3} {limit:>8}{verdict}",
            nanos / 1000.0 / (TAIL_BYTES as f64 / MIB as f64),
            nanos / batches as f64
        );
    }
    shards.shutdown().await.expect("a clean stop");
    std::fs::remove_dir_all(&data).expect("the scratch directory is there");
}

fn main() {
    topology::run(Threads::pinned(1), &Pool::new(512 << 20), main_of).expect("a reactor");
}
