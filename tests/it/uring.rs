//! The conformance suite over the real backend.

use std::fs::{File, TryLockError};
use std::future::Future;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use flumen::base::block::Pool;
use flumen::base::time as base;
use flumen::io::Handle;
use flumen::io::mesh::{self, Mesh};
use flumen::io::reactor::Reactor;
use flumen::io::uring::{RingTable, UringBackend};
use flumen::model::ids::ReactorId;

use crate::backend::{Harness, POOL_BYTES};

/// Tries to connect to a listener that is about to be made.
const CONNECT_TRIES: u32 = 500;

#[derive(Clone, Copy)]
struct Uring {
    spin: base::Duration,
}

/// Sleeps whenever it has nothing to do.
const SLEEPING: Uring = Uring { spin: base::Duration::ZERO };
/// Spins before that: for some completions long enough, for others not.
const SPINNING: Uring = Uring { spin: base::Duration::from_micros(50) };

fn reactor(id: usize, table: &RingTable, pool: &Pool, spin: base::Duration) -> Reactor {
    let backend = UringBackend::new(id as ReactorId, table, pool).expect("a ring").spinning(spin);
    Reactor::new(id as ReactorId, Box::new(backend), pool.clone())
}

impl Harness for Uring {
    fn one_with_pool<T, F>(&self, pool_bytes: usize, main: impl FnOnce(Handle) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let reactor = reactor(0, &RingTable::new(1), &Pool::new(pool_bytes), self.spin);
        let handle = reactor.handle();
        reactor.run(main(handle))
    }

    fn many<M, T, F>(&self, reactors: usize, main: impl Fn(Handle, Mesh<M>) -> F + Send + Sync + 'static) -> Vec<T>
    where
        M: Send + 'static,
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (table, pool) = (RingTable::new(reactors), Pool::new(POOL_BYTES));
        thread::scope(|scope| {
            let threads: Vec<_> = mesh::ports(reactors)
                .into_iter()
                .enumerate()
                .map(|(id, port)| {
                    let (table, pool, main) = (&table, &pool, &main);
                    scope.spawn(move || {
                        let reactor = reactor(id, table, pool, self.spin);
                        let handle = reactor.handle();
                        let mesh = Mesh::join(&handle, port);
                        reactor.run(main(handle, mesh))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("the reactor ended well")).collect()
        })
    }

    fn scratch(&self) -> PathBuf {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        static CLEANED: Once = Once::new();
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("uring");
        CLEANED.call_once(|| remove_leftovers(&all));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed).to_string();
        let path = all.join(std::process::id().to_string()).join(number);
        std::fs::create_dir_all(&path).expect("a scratch directory");
        path
    }

    fn small_disk(&self) -> Option<(PathBuf, Box<dyn Send>)> {
        let path = self.scratch();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "small"]).arg(&path).output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then(|| (path.clone(), Box::new(Mount(path)) as Box<dyn Send>))
    }

    fn descriptors(&self) -> Option<usize> {
        Some(std::fs::read_dir("/proc/self/fd").expect("the descriptors").count())
    }

    fn unix_exchange(&self, path: PathBuf, request: Vec<u8>) -> Option<mpsc::Receiver<Vec<u8>>> {
        let (reply, replied) = mpsc::channel();
        let exchange = move || {
            for _ in 0..CONNECT_TRIES {
                thread::park_timeout(Duration::from_millis(10));
                let Ok(mut stream) = UnixStream::connect(&path) else { continue };
                let mut received = Vec::new();
                let exchanged = stream.write_all(&request).and_then(|()| stream.read_to_end(&mut received));
                let _ = stream.shutdown(Shutdown::Both);
                if exchanged.is_ok() && !received.is_empty() {
                    let _ = reply.send(received);
                    return;
                }
            }
        };
        thread::Builder::new().spawn(exchange).expect("a thread");
        Some(replied)
    }
}

/// Removes what runs that have ended left behind.
fn remove_leftovers(all: &Path) {
    for run in std::fs::read_dir(all).into_iter().flatten().flatten() {
        if !Path::new("/proc").join(run.file_name()).exists() {
            let _ = std::fs::remove_dir_all(run.path());
        }
    }
}

struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

conformance!(SLEEPING);

mod spinning {
    use super::*;

    conformance!(SPINNING);
}

/// So a start that takes the lock of its data directory sees all that earlier rings wrote.
#[test]
#[allow(clippy::disallowed_methods, reason = "the kernel is waited for, on no reactor")]
fn a_lock_is_held_until_the_ring_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lock");
    let table = RingTable::new(1);
    let backend = UringBackend::new(0, &table, &Pool::new(POOL_BYTES)).expect("a ring");
    let file = File::create(&path).expect("a file");
    file.try_lock().expect("nobody has it");
    backend.hold(&file).expect("the ring takes it");
    drop(file);
    let other = File::open(&path).expect("it is there");
    assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
    drop(backend);
    let deadline = Instant::now() + Duration::from_secs(10);
    while other.try_lock().is_err() {
        assert!(Instant::now() < deadline, "the ring is gone and the lock is not");
        thread::sleep(Duration::from_millis(1));
    }
}
