//! A data directory to damage: what was acknowledged in it, copies of it, and what a broker makes of each.

use std::io::{Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flumen::record::{self, BatchBuilder};

use super::client::{Client, fetch_request, fetched, produce_request};
use super::process::{Broker, pause};

pub const TOPIC: &str = "kept";
/// Big batches, idempotent ones, a few small records.
pub const PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(30);
/// Every copy of the directory is started with these.
pub const FLAGS: [&str; 6] =
    ["--reactors", "2", "--write-back-interval-ms", "200", "--log-level", "info,flumen::broker::connection=error"];

/// How the broker that wrote the data ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was stopped: all is in the segments.
    Stopped,
    /// It was killed, with the latest batches in the journal alone.
    Killed,
}

/// A directory with data, and each acknowledged batch by partition, in order.
pub struct Scene {
    directory: tempfile::TempDir,
    pub batches: Vec<Vec<Stored>>,
}

/// A batch as it was served before anything was damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub base: i64,
    pub next: i64,
    pub bytes: Vec<u8>,
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn batch_of(partition: i32, number: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    if partition < 2 {
        builder = builder.producer(9000 + i64::from(partition), 0, number as i32 * 2);
    }
    // Partition 0 has batches of some 10 KB, so each has an entry in the index; the others are small.
    let bytes = if partition == 0 { 5000 } else { 40 };
    for record in 0..2 {
        let value = format!("{number}/{record} {}", "v".repeat(bytes));
        builder.append(1_000_000 + number * 10 + record, Some(b"key"), Some(value.as_bytes()), &[]);
    }
    builder.build(0)
}

fn produce(client: &mut Client, numbers: std::ops::Range<i64>, partitions: &[i32]) {
    for number in numbers {
        for partition in partitions {
            let request = produce_request(-1, &[(TOPIC, *partition, batch_of(*partition, number))]);
            let response = client.ask(11, &request);
            assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
        }
    }
}

impl Scene {
    /// Makes a directory whose broker has ended so.
    pub fn new(end: End) -> Scene {
        let directory = scratch();
        let broker = Broker::start(&directory.path().join("data"), &FLAGS);
        let mut client = Client::connect(broker.address);
        client.create_topic(TOPIC, PARTITIONS, &[("segment.bytes", "1048576")]);
        produce(&mut client, 0..250, &[0, 1, 2]);
        let closed = broker.data.join(format!("{TOPIC}-0")).join(format!("{:020}.timeindex", 0));
        let deadline = Instant::now() + PATIENCE;
        while !closed.exists() && Instant::now() < deadline {
            pause(Duration::from_millis(20));
        }
        assert!(broker.stop().success());
        // What comes now is in the journal alone when the broker is killed.
        let broker = Broker::start(&directory.path().join("data"), &["--write-back-interval-ms", "600000"]);
        let mut client = Client::connect(broker.address);
        produce(&mut client, 250..290, &[0, 1, 2]);
        let batches = (0..PARTITIONS).map(|partition| read_all(&mut client, partition)).collect();
        // When it is idle it says so in its journal.
        pause(Duration::from_millis(200));
        match end {
            End::Stopped => assert!(broker.stop().success()),
            End::Killed => drop(broker.kill()),
        }
        Scene { directory, batches }
    }

    /// A copy to damage.
    pub fn copy(&self) -> (tempfile::TempDir, PathBuf) {
        let copy = scratch();
        let data = copy.path().join("data");
        let copied = Command::new("cp").arg("-r").arg(self.directory.path().join("data")).arg(&data).status().unwrap();
        assert!(copied.success());
        (copy, data)
    }

    /// Fetches from every offset on: each batch comes as it was written or is answered with an error. Gives the partitions
    /// and base offsets of those that were not served, with their error codes.
    pub fn read_each(&self, address: SocketAddr) -> Vec<(i32, i64, i16)> {
        let mut client = Client::connect(address);
        let mut refused = Vec::new();
        for (partition, batches) in self.batches.iter().enumerate() {
            for expected in batches {
                match fetch_one(&mut client, partition as i32, expected.base) {
                    Ok(stored) => {
                        assert_eq!(stored.as_ref(), Some(expected), "partition {partition} at {}", expected.base);
                    }
                    Err(code) => refused.push((partition as i32, expected.base, code)),
                }
            }
        }
        refused
    }

    /// What starts and serves, serves all that was acknowledged.
    pub fn assert_whole(&self, address: SocketAddr, why: &str) {
        assert_eq!(self.read_each(address), [], "{why}");
    }
}

/// The batch that holds `offset`, `None` where there is none; or an error code.
fn fetch_one(client: &mut Client, partition: i32, offset: i64) -> Result<Option<Stored>, i16> {
    let mut request = fetch_request(&[(TOPIC, partition, offset)]);
    request.topics[0].partitions[0].partition_max_bytes = 1;
    let response = client.ask(12, &request);
    let (_, data) = fetched(&response)[0];
    if data.error_code != 0 {
        return Err(data.error_code);
    }
    let bytes = data.records.as_deref().unwrap_or_default();
    Ok(record::batches(bytes).next().map(|batch| stored(batch.unwrap().1)))
}

fn stored(batch: &[u8]) -> Stored {
    let header = record::check_stored(batch).expect("what is served is sound");
    Stored { base: header.base_offset(), next: header.next_offset(), bytes: batch.to_vec() }
}

fn read_all(client: &mut Client, partition: i32) -> Vec<Stored> {
    let (mut all, mut offset) = (Vec::new(), 0);
    while let Some(found) = fetch_one(client, partition, offset).expect("nothing is damaged yet") {
        offset = found.next;
        all.push(found);
    }
    all
}

/// What a broker made of a directory.
pub enum Start {
    /// It serves.
    Serves(Box<Broker>),
    /// It ended, and said this.
    Refused(String),
}

/// Starts a broker on `data` that may refuse to.
pub fn start(data: &Path) -> Start {
    let mut child = Command::new(env!("CARGO_BIN_EXE_flumen"))
        .args(["--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0", "--pin-cores", "false"])
        .args(["--memory", "256MiB", "--journal-bytes", "64MiB", "--journal-file-bytes", "4MiB"])
        .args(["--disk-reserve-bytes", "1MiB"])
        .args(FLAGS)
        .env("NO_COLOR", "1")
        .env_remove("FLUMEN_CONFIG")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let (sender, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut text, mut chunk) = (String::new(), [0; 4096]);
        while let Ok(count @ 1..) = stderr.read(&mut chunk) {
            text += &String::from_utf8_lossy(&chunk[..count]);
            if text.contains(" serving ") {
                break;
            }
        }
        let _ = sender.send(text);
    });
    let text = heard.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let _ = child.kill();
        panic!("it neither serves nor ends");
    });
    if !text.contains(" serving ") {
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(1), "{text}");
        assert!(!text.contains("panicked"), "{text}");
        return Start::Refused(text);
    }
    // It can: so it is started anew with its log lines at hand.
    let _ = child.kill();
    let _ = child.wait();
    Start::Serves(Box::new(Broker::start(data, &FLAGS)))
}

/// The refusal of a broker that must not serve.
pub fn refusal(data: &Path, why: &str) -> String {
    match start(data) {
        Start::Refused(text) => text,
        Start::Serves(_) => panic!("it serves although {why}"),
    }
}

/// Flips all bits of `count` bytes at `at`.
pub fn flip(path: &Path, at: u64, count: usize) {
    overwrite(path, at, count, |byte| !byte);
}

/// Zeroes `count` bytes at `at`.
pub fn zero(path: &Path, at: u64, count: usize) {
    overwrite(path, at, count, |_| 0);
}

fn overwrite(path: &Path, at: u64, count: usize, new: impl Fn(u8) -> u8) {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut bytes = vec![0; count];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut bytes).unwrap();
    bytes.iter_mut().for_each(|byte| *byte = new(*byte));
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&bytes).unwrap();
}

/// Cuts a file.
pub fn cut(path: &Path, bytes: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

/// The files below `data` whose names end so, in order.
pub fn files(data: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![data.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.is_file() && path.to_str().unwrap().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The name of a file within its data directory's.
pub fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
