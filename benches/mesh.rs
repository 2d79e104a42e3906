//! A message to another reactor and back: alone, when the other one sleeps, and with many under way. `cargo bench --bench mesh`.
//!
//! Held against a channel of the standard library between two threads that do the same: the mesh is to cost no more, and
//! its messages are to get cheaper when many are under way, because one wake-up serves them all.
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a measurement reads the clock and prints

use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Instant;

use flumen::base::block::Pool;
use flumen::io::mesh::{Mesh, Port, ports};
use flumen::io::topology::Threads;
use flumen::io::{Handle, topology};

/// Messages under way at a time.
const DEPTHS: [u64; 3] = [1, 16, 256];
/// Messages of a measurement.
const MESSAGES: u64 = 200_000;
/// With one under way each message wakes a thread, twice.
const MESSAGES_ALONE: u64 = 20_000;

/// Nanoseconds a message there and back.
async fn ping(io: Handle, port: Port<u64>, depth: u64) -> f64 {
    let mesh = Mesh::join(&io, port);
    let messages = count(depth);
    if io.reactor_id() == 1 {
        for _ in 0..messages {
            let (from, message) = mesh.receive().await;
            mesh.send(from, message);
        }
        // The last answers leave at the end of the turn.
        io.turn_end().await;
        io.yield_now().await;
        return 0.0;
    }
    let start = Instant::now();
    (0..depth).for_each(|number| mesh.send(1, number));
    for number in 0..messages {
        mesh.receive().await;
        if number + depth < messages {
            mesh.send(1, number);
        }
    }
    start.elapsed().as_nanos() as f64 / messages as f64
}

fn count(depth: u64) -> u64 {
    if depth == 1 { MESSAGES_ALONE } else { MESSAGES }
}

fn channel(depth: u64) -> f64 {
    let (there, receiver) = mpsc::sync_channel::<u64>(512);
    let (back, answers) = mpsc::sync_channel::<u64>(512);
    let messages = count(depth);
    std::thread::scope(|scope| {
        scope.spawn(move || receiver.into_iter().for_each(|message| back.send(message).expect("somebody listens")));
        let start = Instant::now();
        (0..depth).for_each(|number| there.send(number).expect("somebody listens"));
        for number in 0..messages {
            answers.recv().expect("an answer");
            if number + depth < messages {
                there.send(number).expect("somebody listens");
            }
        }
        drop(there);
        start.elapsed().as_nanos() as f64 / messages as f64
    })
}

fn main() {
    println!("{:>10} {:>16} {:>22}", "under way", "mesh, ns", "limit: channel, ns");
    for depth in DEPTHS {
        let waiting: Mutex<Vec<Option<Port<u64>>>> = Mutex::new(ports(2).into_iter().map(Some).collect());
        let results = topology::run(Threads::pinned(2), &Pool::new(64 << 20), |io| {
            let port = waiting.lock().expect("never left mid-change")[usize::from(io.reactor_id())].take();
            ping(io, port.expect("each reactor takes its own"), depth)
        });
        let mesh = results.expect("two reactors")[0];
        println!("{depth:>10} {mesh:>16.0} {:>22.0}", channel(depth));
    }
}
