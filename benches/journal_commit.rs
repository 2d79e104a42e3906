//! What a durable group write costs as the journal makes it, by size and by how many are in flight: the figures behind
//! `storage.groups_in_flight_max` and `storage.group_bytes_max`. `cargo bench --bench journal_commit`.
//!
//! Held against the device's own limit: the best throughput of any size and depth.
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a measurement reads the clock and prints

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;

use flumen::base::block::{Pool, Use};
use flumen::base::oneshot;
use flumen::base::time::Duration;
use flumen::io::file::File;
use flumen::io::op::{OpenMode, Slices};
use flumen::io::topology::Threads;
use flumen::io::{Handle, topology};

const FILE_BYTES: u64 = 256 << 20;
const SIZES: [usize; 4] = [4 << 10, 64 << 10, 256 << 10, 1 << 20];
const DEPTHS: [usize; 4] = [1, 2, 4, 8];
const STEP: Duration = Duration::from_millis(700);

async fn measure(io: Handle) -> Vec<(usize, usize, f64, u64)> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("journal_commit");
    let mode = OpenMode { write: true, create: true, direct: true, ..OpenMode::default() };
    let file = File::open(&io, &path, mode).await.expect("a scratch file");
    let block = io.pool().try_block(1 << 20, Use::Staging).expect("memory").into_slice(1 << 20);
    for at in (0..FILE_BYTES).step_by(1 << 20) {
        file.write_at(&io, at, Slices::from_iter([block.clone()]), false).await.expect("room on the disk");
    }
    file.sync(&io, false).await.expect("a sync");
    let mut figures = Vec::new();
    for bytes in SIZES {
        for depth in DEPTHS {
            let (next, end, started) = (Rc::new(Cell::new(0)), io.now() + STEP, io.now());
            let mut lanes = Vec::new();
            for _ in 0..depth {
                let (sender, receiver) = oneshot::channel();
                let (io_of_lane, file, next, slice) =
                    (io.clone(), file.clone(), Rc::clone(&next), block.slice(0..bytes));
                io.spawn(async move {
                    let mut latencies = Vec::new();
                    while io_of_lane.now() < end {
                        let at = next.get();
                        next.set((at + bytes as u64) % FILE_BYTES);
                        let before = io_of_lane.now();
                        file.write_at(&io_of_lane, at, Slices::from_iter([slice.clone()]), true)
                            .await
                            .expect("a write");
                        latencies.push(io_of_lane.now().since(before).as_micros() as u64);
                    }
                    sender.send(latencies);
                });
                lanes.push(receiver);
            }
            let mut latencies: Vec<u64> = Vec::new();
            for lane in lanes {
                latencies.extend(lane.await.expect("the lane ends"));
            }
            latencies.sort_unstable();
            let per_second = latencies.len() as f64 / io.now().since(started).as_secs_f64();
            figures.push((bytes, depth, per_second, latencies[latencies.len() / 2]));
        }
    }
    std::fs::remove_file(&path).expect("the scratch file is there");
    figures
}

fn main() {
    let figures = topology::run(Threads::pinned(1), &Pool::new(64 << 20), measure).expect("a reactor").remove(0);
    let best = figures.iter().map(|(bytes, _, per_second, _)| *bytes as f64 * per_second).fold(0.0, f64::max);
    println!(
        "{:>10} {:>6} {:>11} {:>10} {:>8} {:>16}",
        "bytes", "depth", "commits/s", "MB/s", "p50 us", "of the device"
    );
    for (bytes, depth, per_second, p50) in figures {
        let speed = bytes as f64 * per_second;
        println!(
            "{bytes:>10} {depth:>6} {per_second:>11.0} {:>10.1} {p50:>8} {:>14.0} %",
            speed / 1e6,
            100.0 * speed / best
        );
    }
}
