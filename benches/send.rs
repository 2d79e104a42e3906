//! The two ways in which batches leave for a consumer: from memory (the tail) and from the page cache (sendfile), over
//! loopback, by size of the piece. `cargo bench --bench send`.
//!
//! Prints the CPU of the whole process (sender and receiver) a GB. The tail is held against sendfile, which copies nothing on
//! the sender's side: it is to stay below twice that.
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a measurement reads the clock and prints

use std::path::PathBuf;

use flumen::base::block::{Pool, Slice, Use};
use flumen::io::file::File;
use flumen::io::op::{ListenAddress, OpenMode, Slices};
use flumen::io::socket::{Listener, Socket};
use flumen::io::topology::Threads;
use flumen::io::{Handle, Ipv4Addr, SocketAddr, topology};

const PIECES: [u32; 3] = [16 << 10, 64 << 10, 1 << 20];
const TOTAL_BYTES: u64 = 2 << 30;
const ROUNDS: usize = 3;
const FILE_BYTES: u32 = 64 << 20;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Tail,
    SendFile,
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").expect("the kernel counts");
    let tasks = std::fs::read_dir("/proc/self/task").expect("the kernel lists").flatten();
    let of_task = |path: PathBuf| std::fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok();
    let nanos: Vec<f64> = tasks.filter_map(|task| of_task(task.path())).collect();
    assert!(!stat.is_empty());
    nanos.iter().sum::<f64>() / 1e9
}

async fn receive(io: Handle, socket: Socket) {
    let mut block = io.pool().try_block(1 << 20, Use::Receive).expect("memory");
    loop {
        let room = block.len() as u32;
        let (returned, count) = socket.receive_into(&io, block, 0, room, false).await;
        block = returned;
        if matches!(count, Ok(0) | Err(_)) {
            return;
        }
    }
}

async fn send(io: &Handle, socket: &Socket, file: &File, memory: &Slice, way: Way, piece: u32) {
    let mut at = 0;
    for _ in 0..TOTAL_BYTES / u64::from(piece) {
        let sent = match way {
            Way::Tail => {
                let start = at as usize;
                socket.send(io, Slices::from_iter([memory.slice(start..start + piece as usize)]), false).await
            }
            Way::SendFile => socket.send_file(io, file, u64::from(at), piece, false).await,
        };
        sent.expect("the receiver reads");
        at = (at + piece) % FILE_BYTES;
    }
}

async fn main_of(io: Handle) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("send");
    let mode = OpenMode { write: true, create: true, ..OpenMode::default() };
    let file = File::open(&io, &path, mode).await.expect("a scratch file");
    let memory = io.pool().try_block(FILE_BYTES as usize, Use::Tail).expect("memory").into_slice(FILE_BYTES as usize);
    file.write_at(&io, 0, Slices::from_iter([memory.clone()]), false).await.expect("room on the disk");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = Listener::listen(&io, ListenAddress::Tcp(address), 8).await.expect("a listener");
    let client = Socket::connect(&io, listener.address().expect("a TCP listener")).await.expect("a connection");
    let accepted = listener.accept(&io).await.expect("a connection");
    let socket = Socket::adopt(&io, &accepted);
    io.spawn(receive(io.clone(), client));
    println!("{:>10} {:>20} {:>20} {:>8} {:>6}", "piece", "tail, CPU s/GB", "sendfile, CPU s/GB", "ratio", "limit");
    for piece in PIECES {
        let mut best = [f64::MAX; 2];
        for _ in 0..ROUNDS {
            for (place, way) in [Way::Tail, Way::SendFile].into_iter().enumerate() {
                let before = cpu();
                send(&io, &socket, &file, &memory, way, piece).await;
                best[place] = best[place].min((cpu() - before) * 1e9 / TOTAL_BYTES as f64);
            }
        }
        println!("{piece:>10} {:>20.3} {:>20.3} {:>8.2} {:>6.1}", best[0], best[1], best[0] / best[1], 2.0);
    }
    std::fs::remove_file(&path).expect("the scratch file is there");
}

fn main() {
    topology::run(Threads::pinned(1), &Pool::new(512 << 20), main_of).expect("a reactor");
}
