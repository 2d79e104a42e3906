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

use flumen::base::block::{Pool, Use};
use flumen::base::time as base;
use flumen::io::Handle;
use flumen::io::mesh::{self, Mesh};
use flumen::io::op::{OpenMode, Slices};
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

/// How many of a block's pages are in memory.
fn resident_pages(block: &[u8]) -> usize {
    // SAFETY: takes a number and gives one.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let mut found = vec![0u8; block.len().div_ceil(page)];
    // SAFETY: the block begins at a page, and `found` has a byte for each of its pages.
    let looked = unsafe { libc::mincore(block.as_ptr().cast_mut().cast(), block.len(), found.as_mut_ptr()) };
    assert_eq!(looked, 0, "{}", std::io::Error::last_os_error());
    found.iter().filter(|state| **state & 1 == 1).count()
}

/// Touching a new MiB at once took 5 to 10 ms of a reactor's time on a virtual machine, four times a second at a thousand commits a
/// second. It is touched as it is filled, and not by the first writes from it either.
#[test]
fn a_new_large_block_is_touched_as_it_is_filled() {
    let path = SLEEPING.scratch().join("file");
    let when_written = SLEEPING.one_with_pool(1 << 30, move |io| async move {
        let mode = OpenMode { write: true, create: true, direct: true, ..OpenMode::default() };
        let file = flumen::io::file::File::open(&io, &path, mode).await.expect("a new file");
        // The allocator may give memory that another test has touched: of enough blocks some are new.
        let mut blocks: Vec<_> =
            (0..500).map(|_| io.pool().block_unlimited(1 << 20, Use::Tail).expect("memory for a test")).collect();
        let new =
            blocks.iter().position(|block| resident_pages(block) < 8).expect("a block that is not touched at birth");
        let block = blocks.swap_remove(new);
        let slice = block.into_slice(4096);
        file.write_at(&io, 0, Slices::from_iter([slice.clone()]), true).await.expect("a write");
        resident_pages(&slice.into_block().expect("the write has let go of it"))
    });
    assert!(when_written < 8, "{when_written} pages of a new block are in memory");
}
