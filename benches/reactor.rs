//! What the reactor itself costs: a task started and finished, a task woken, a timer, an empty turn. `cargo bench --bench reactor`.
//!
//! Held against a request of a hundred bytes, which is to cost less than 3 us in all: the reactor's own part of it (one task, two
//! wakes, a part of a turn) is to stay below a fifth of that.
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a measurement reads the clock and prints

use std::future::Future;
use std::time::Instant;

use flumen::base::block::Pool;
use flumen::base::oneshot;
use flumen::base::time::Duration;
use flumen::io::topology::Threads;
use flumen::io::{Handle, topology};

const TIMES: u32 = 200_000;
const TURNS: u32 = 20_000;
/// A fifth of 3 us, for a task and two wakes.
const LIMIT_NS: f64 = 600.0;

async fn measure<F: Future<Output = ()>>(times: u32, work: impl FnOnce(u32) -> F) -> f64 {
    let start = Instant::now();
    work(times).await;
    start.elapsed().as_nanos() as f64 / f64::from(times)
}

async fn main_of(io: Handle) {
    let spawned = measure(TIMES, async |times| (0..times).for_each(|_| io.spawn(std::future::ready(())))).await;
    let woken = measure(TIMES, async |times| {
        for _ in 0..times {
            let (sender, receiver) = oneshot::channel();
            io.spawn(async move { sender.send(()) });
            let _ = receiver.await;
        }
    })
    .await;
    let yielded = measure(TIMES, async |times| {
        for _ in 0..times {
            io.yield_now().await;
        }
    })
    .await;
    let timers = measure(TIMES, async |times| {
        for _ in 0..times {
            drop(io.sleep(Duration::from_secs(60)));
        }
    })
    .await;
    let turns = measure(TURNS, async |times| {
        for _ in 0..times {
            io.turn_end().await;
            io.sleep(Duration::ZERO).await;
        }
    })
    .await;
    println!("{:<44} {spawned:>8.0} ns", "a task started and finished");
    println!("{:<44} {woken:>8.0} ns", "a task that hands over a value");
    println!("{:<44} {yielded:>8.0} ns", "a task woken and polled");
    println!("{:<44} {timers:>8.0} ns", "a timer set and dropped");
    println!("{:<44} {turns:>8.0} ns", "a turn with a timer due, into the kernel and back");
    let own = spawned + 2.0 * yielded;
    let verdict = if own <= LIMIT_NS { "" } else { "  OVER" };
    println!("{:<44} {own:>8.0} ns, limit {LIMIT_NS:.0}{verdict}", "a small request's part: a task and two wakes");
}

fn main() {
    topology::run(Threads::pinned(1), &Pool::new(64 << 20), main_of).expect("a reactor");
}
