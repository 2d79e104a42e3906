//! The program under what machines and operators do to it: killed, stopped, frozen, out of disk, talked nonsense to. All
//! over TCP, with the real backend, on scratch directories.
#![allow(clippy::unwrap_used, reason = "a test ends where its expectations do")]
#![allow(clippy::disallowed_methods, reason = "a test has no reactor whose clock it could read or that it could block")]
#![allow(clippy::print_stderr, reason = "what a random test chose, and how far it came, is shown when it fails")]

#[allow(dead_code, reason = "shared with tests/it, which uses more of it")]
#[path = "../it/broker/client.rs"]
mod client;
mod crash;
mod disk;
mod hostile;
mod image;
mod ledger;
mod load;
#[allow(dead_code, reason = "shared with tests/it, which uses more of it")]
#[path = "../it/broker/process.rs"]
mod process;
mod scale;
mod stop;

/// A directory of a test's own, on the disk that the build is on.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Memory of a broker in bytes, of one of the kinds that `/proc/PID/status` knows: `VmRSS`, `VmHWM`, `RssAnon`.
fn memory(broker: &process::Broker, kind: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(kind)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}
