//! What this machine makes of a request and an answer at a fixed rate, without a broker: plain blocking sockets over loopback, the
//! server's threads on core 0 and the client's on core 1. `cargo bench --bench echo_rate`.
//!
//! Latency counts from when a request was to be sent, as in `flumen-load`. What a broker shows at the same rate is held against it:
//! a percentile below these is none that software could reach here.
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a measurement reads the clock and prints

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Requests a second over all connections, and bytes of each.
const LOADS: [(u32, usize); 3] = [(2_000, 16 << 10), (1_000, 170), (200, 16 << 10)];
const CONNECTIONS: u32 = 6;
const SECONDS: u32 = 8;
const ROUNDS: usize = 3;
const ANSWER_BYTES: usize = 60;

/// Keeps the calling thread on `core`, and lets it sleep to the microsecond.
fn settle(core: usize) {
    // SAFETY: the set is plain data, filled before it is passed; the other call takes plain numbers.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &set), 0, "core {core} is there");
        libc::prctl(libc::PR_SET_TIMERSLACK, 1);
    }
}

fn serve(mut socket: TcpStream, bytes: usize) {
    settle(0);
    let mut request = vec![0; bytes];
    while socket.read_exact(&mut request).is_ok() {
        socket.write_all(&[7; ANSWER_BYTES]).expect("the client reads");
    }
}

/// The requests of one connection, each `every` after the one before; their latencies in microseconds.
fn ask(mut socket: TcpStream, bytes: usize, first: Instant, every: Duration) -> Histogram<u64> {
    settle(1);
    let (request, mut answer) = (vec![7; bytes], [0; ANSWER_BYTES]);
    let mut latencies = Histogram::new(3).expect("a valid precision");
    let mut due = first;
    while due < first + Duration::from_secs(SECONDS.into()) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        socket.write_all(&request).expect("the server reads");
        socket.read_exact(&mut answer).expect("the server answers");
        latencies.record(due.elapsed().as_micros() as u64).expect("a histogram grows");
        due += every;
    }
    latencies
}

fn round(rate: u32, bytes: usize) -> Histogram<u64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let first = Instant::now() + Duration::from_millis(50);
    let clients = (0..CONNECTIONS).map(|number| {
        let client = TcpStream::connect(address).expect("the listener is there");
        let (server, _) = listener.accept().expect("the client connects");
        for socket in [&client, &server] {
            socket.set_nodelay(true).expect("a TCP socket");
        }
        thread::spawn(move || serve(server, bytes));
        let gap = Duration::from_secs(1) / rate;
        thread::spawn(move || ask(client, bytes, first + gap * number, gap * CONNECTIONS))
    });
    let clients: Vec<_> = clients.collect();
    let mut all = Histogram::new(3).expect("a valid precision");
    for client in clients {
        all.add(client.join().expect("the client ends")).expect("a histogram grows");
    }
    all
}

fn main() {
    println!("{:>10} {:>8} {:>8} {:>8} {:>8} {:>8}", "requests/s", "bytes", "p50 ms", "p99 ms", "p99.9 ms", "max ms");
    for (rate, bytes) in LOADS {
        let mut rounds: Vec<_> = (0..ROUNDS).map(|_| round(rate, bytes)).collect();
        // The round with the median p99.9.
        rounds.sort_by_key(|latencies| latencies.value_at_quantile(0.999));
        let latencies = &rounds[ROUNDS / 2];
        let ms = |quantile: f64| latencies.value_at_quantile(quantile) as f64 / 1e3;
        println!("{rate:>10} {bytes:>8} {:>8.3} {:>8.3} {:>8.3} {:>8.3}", ms(0.5), ms(0.99), ms(0.999), ms(1.0));
    }
}
