//! Journal files: made and zeroed ahead of need, recycled, released.
//!
//! A file that is ready has a blank header, durably: whatever groups lie in it from earlier, nobody takes them for live.
//!
//! Writes over extents that were written before need no metadata update and complete fastest (`RWF_DSYNC` of 64 KiB:
//! 174 us against 304 us over merely reserved ones), so a new file is filled with zeros once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use super::config::StorageConfig;
use super::group::GROUPS_START;
use super::space::DiskSpace;
use crate::base::block::{BLOCK_ALIGN, Use};
use crate::base::time::{Duration, Instant};
use crate::base::units::Bytes;
use crate::io::file::{self, File};
use crate::io::op::{OpenMode, Slices};
use crate::io::{Error, ErrorKind, Handle, Result};

/// Bytes that one write of zeros covers.
const ZERO_BYTES: usize = 1 << 20;
/// How soon after a failure (a full disk, say) another file is tried.
const RETRY: Duration = Duration::from_millis(500);
/// What fails again and again, as on a full disk, is told once in this time.
pub(super) const WARN_INTERVAL: Duration = Duration::from_secs(30);

/// When a failure that may repeat was last told.
#[derive(Debug, Default)]
pub(super) struct Told(Cell<Option<Instant>>);

impl Told {
    /// Whether it is to be told now, which is noted.
    pub fn tells(&self, io: &Handle) -> bool {
        let now = io.now();
        let tells = self.0.get().is_none_or(|told| now >= told + WARN_INTERVAL);
        if tells {
            self.0.set(Some(now));
        }
        tells
    }

    /// It has succeeded since: the next failure is told at once.
    pub fn forget(&self) {
        self.0.set(None);
    }
}

/// One file of the journal, open and zeroed.
#[derive(Debug)]
pub struct JournalFile {
    file: File,
    bytes: u64,
}

impl JournalFile {
    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes `bytes` at `at` durably.
    pub(super) async fn write(&self, io: &Handle, at: u64, bytes: Slices) -> Result<()> {
        self.file.write_at(io, at, bytes, true).await
    }
}

/// Blanks the header of a file durably, so that nobody takes its groups for live; fine if there is no whole header.
///
/// # Errors
/// The kernel's.
pub async fn blank_at(io: &Handle, path: &Path) -> Result<()> {
    if file::stat(io, path).await?.is_none_or(|stat| stat.bytes < GROUPS_START) {
        return Ok(());
    }
    let mode = OpenMode { write: true, direct: true, ..OpenMode::default() };
    blank(io, &File::open(io, path, mode).await?).await
}

/// The journal of one reactor of an earlier process start, which recovered logs still need. Its files are released
/// together, when no log needs any of them: so a gap among them says that all of them had been released.
#[derive(Debug)]
pub struct OldChain {
    paths: Vec<PathBuf>,
    released: Arc<Mutex<Vec<PathBuf>>>,
    /// The files stay, whoever lets go of them.
    kept: AtomicBool,
}

impl OldChain {
    /// Holds `paths` until it is dropped.
    pub fn new(paths: Vec<PathBuf>, released: &Arc<Mutex<Vec<PathBuf>>>) -> OldChain {
        OldChain { paths, released: Arc::clone(released), kept: AtomicBool::new(false) }
    }
}

impl Drop for OldChain {
    fn drop(&mut self) {
        if *self.kept.get_mut() {
            return;
        }
        self.released.lock().expect("the list is never left mid-change").append(&mut self.paths);
    }
}

/// The journals of earlier starts that one log needs. They go one by one, so each that holds a change is held.
///
/// Only who says so lets go of them. A log that merely ends with its reactor, because its storage failed and could not be
/// written back, keeps the files from the reactors that end after it.
#[derive(Debug, Default)]
pub struct OldChains(Vec<Arc<OldChain>>);

impl OldChains {
    /// Adds the chain that is replayed, once.
    pub fn add(&mut self, chain: &Arc<OldChain>) {
        if self.0.last().is_none_or(|last| !Arc::ptr_eq(last, chain)) {
            self.0.push(Arc::clone(chain));
        }
    }

    /// Whether none is needed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// None is needed any more.
    pub fn let_go(&mut self) {
        self.0.clear();
    }
}

impl Drop for OldChains {
    fn drop(&mut self) {
        self.0.iter().for_each(|chain| chain.kept.store(true, Ordering::Relaxed));
    }
}

/// The supply of files for one reactor's journal.
#[derive(Clone)]
pub struct JournalFiles {
    inner: Rc<Inner>,
}

struct Inner {
    io: Handle,
    config: Rc<StorageConfig>,
    space: Arc<DiskSpace>,
    epoch: u32,
    ready: RefCell<VecDeque<JournalFile>>,
    /// Files that are to be blanked, one after the other: so the files of a chain go in their order.
    returned: RefCell<VecDeque<JournalFile>>,
    spares: RefCell<Vec<PathBuf>>,
    made: Cell<u64>,
    live: Cell<u64>,
    wanted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    stopping: Cell<bool>,
}

impl Inner {
    /// Whether one more file may be made. Two are needed for the one to be recycled while the other is written; beyond them a
    /// journal leaves the disk's reserve alone, and however many reactors there are, their journals take no more than there is.
    fn may_grow(&self) -> bool {
        let (live, config) = (self.live.get(), &self.config);
        let has_room =
            || self.space.left_bytes() >= config.disk_reserve_bytes.saturating_add(config.journal_file_bytes);
        let takes_none = || !self.spares.borrow().is_empty();
        live < 2 || (live < config.journal_bytes / config.journal_file_bytes && (takes_none() || has_room()))
    }
}

impl JournalFiles {
    /// A supply for this start's `epoch`, which uses the files at `spares` first. Makes the first file ready.
    ///
    /// # Errors
    /// The kernel's, when no file can be made.
    pub async fn open(
        io: &Handle,
        config: &Rc<StorageConfig>,
        space: &Arc<DiskSpace>,
        (epoch, spares): (u32, Vec<PathBuf>),
    ) -> Result<JournalFiles> {
        let inner = Inner {
            io: io.clone(),
            config: Rc::clone(config),
            space: Arc::clone(space),
            epoch,
            ready: RefCell::default(),
            returned: RefCell::default(),
            spares: RefCell::new(spares),
            made: Cell::new(0),
            live: Cell::new(0),
            wanted: Cell::new(false),
            waker: RefCell::default(),
            stopping: Cell::new(false),
        };
        let files = JournalFiles { inner: Rc::new(inner) };
        let first = files.prepare().await.map_err(|error| files.explained(error))?;
        files.inner.ready.borrow_mut().push_back(first);
        io.spawn(files.clone().keep_ready());
        Ok(files)
    }

    /// Why the first file could not be made, in words for who starts a broker.
    fn explained(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::StorageFull {
            return error;
        }
        let bytes = Bytes(self.inner.config.journal_file_bytes);
        Error::other(format!(
            "no space for the journal of reactor {}, and each reactor needs a file of {bytes} to begin with: free space, or \
             lower storage.journal_file_bytes or reactors.count",
            self.inner.io.reactor_id()
        ))
    }

    /// Takes a file that is ready.
    pub(super) fn take_ready(&self) -> Option<JournalFile> {
        self.inner.ready.borrow_mut().pop_front()
    }

    /// Size of the next ready file; 0 when none is.
    pub(super) fn ready_bytes(&self) -> u64 {
        self.inner.ready.borrow().front().map_or(0, JournalFile::bytes)
    }

    /// Takes back a file that no log needs any more.
    pub(super) fn give_back(&self, file: JournalFile) {
        self.inner.returned.borrow_mut().push_back(file);
        self.inner.live.set(self.inner.live.get().saturating_sub(1));
        if let Some(waker) = self.inner.waker.take() {
            waker.wake();
        }
    }

    /// Asks for a ready file when there is none and the journal, of which `live` files are needed, may still grow.
    pub(super) fn want(&self, live: u64) {
        self.inner.live.set(live);
        if !self.inner.ready.borrow().is_empty() {
            return;
        }
        self.inner.wanted.set(true);
        if let Some(waker) = self.inner.waker.take() {
            waker.wake();
        }
    }

    /// Ends the supply's task.
    pub(super) fn stop(&self) {
        self.inner.stopping.set(true);
        if let Some(waker) = self.inner.waker.take() {
            waker.wake();
        }
    }

    async fn keep_ready(self) {
        let inner = &self.inner;
        let told = Told::default();
        loop {
            let stop = poll_fn(|context| {
                if inner.stopping.get() {
                    return Poll::Ready(true);
                }
                if !inner.returned.borrow().is_empty() {
                    return Poll::Ready(false);
                }
                if inner.wanted.get() && inner.may_grow() && inner.ready.borrow().is_empty() {
                    return Poll::Ready(false);
                }
                *inner.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            });
            if stop.await {
                return;
            }
            let returned = inner.returned.borrow_mut().pop_front();
            let prepared = match returned {
                Some(file) => match blank(&inner.io, &file.file).await {
                    Ok(()) => Ok(file),
                    Err(error) => {
                        // The files of a chain go in their order: left as it is, it would be one before a gap.
                        inner.returned.borrow_mut().push_front(file);
                        Err(error)
                    }
                },
                None => self.prepare().await,
            };
            match prepared {
                Ok(file) => {
                    told.forget();
                    inner.wanted.set(false);
                    inner.ready.borrow_mut().push_back(file);
                }
                Err(error) => {
                    if told.tells(&inner.io) {
                        tracing::warn!("no further journal file can be made: {error}; trying again");
                    }
                    inner.io.sleep(RETRY).await;
                }
            }
        }
    }

    async fn prepare(&self) -> Result<JournalFile> {
        let inner = &self.inner;
        let spare = inner.spares.borrow_mut().pop();
        if let Some(path) = spare
            && let Some(file) = self.reuse(&path).await?
        {
            return Ok(file);
        }
        let number = inner.made.get();
        inner.made.set(number + 1);
        let directory = inner.config.journal_directory();
        let path = directory.join(format!("{:06}-{:02}-{number:04}.journal", inner.epoch, inner.io.reactor_id()));
        let made = self.make(&path).await;
        if made.is_err() {
            file::unlink(&inner.io, &path).await?;
        }
        made
    }

    async fn reuse(&self, path: &Path) -> Result<Option<JournalFile>> {
        let io = &self.inner.io;
        let bytes = file::stat(io, path).await?.map_or(0, |stat| stat.bytes);
        if bytes != self.inner.config.journal_file_bytes {
            file::unlink(io, path).await?;
            return Ok(None);
        }
        let mode = OpenMode { write: true, direct: true, ..OpenMode::default() };
        let file = File::open(io, path, mode).await?;
        // A broker that was killed while it made the file may not have come to this.
        file.sync(io, false).await?;
        blank(io, &file).await?;
        Ok(Some(JournalFile { file, bytes }))
    }

    async fn make(&self, path: &Path) -> Result<JournalFile> {
        let io = &self.inner.io;
        let bytes = self.inner.config.journal_file_bytes;
        assert!(bytes.is_multiple_of(4096) && bytes > GROUPS_START);
        let mode = OpenMode { write: true, create: true, direct: true, truncate: true, ..OpenMode::default() };
        let file = File::open(io, path, mode).await?;
        self.inner.space.reserve(io.reactor_id(), bytes);
        let allocated = file.allocate(io, 0, bytes).await;
        self.inner.space.reserved(io.reactor_id(), bytes);
        allocated?;
        let Some(mut zeros) = io.pool().block_unlimited(ZERO_BYTES, Use::Staging) else {
            return Err(ErrorKind::OutOfMemory.into());
        };
        zeros.fill(0);
        let zeros = zeros.into_slice(ZERO_BYTES);
        let mut at = 0;
        while at < bytes {
            let count = (bytes - at).min(ZERO_BYTES as u64);
            let mut slices = Slices::new();
            slices.push(zeros.slice(0..count as usize));
            file.write_at(io, at, slices, false).await?;
            at += count;
        }
        file.sync(io, false).await?;
        file::sync_directory(io, &self.inner.config.journal_directory()).await?;
        Ok(JournalFile { file, bytes })
    }
}

/// Blanks a file's header, durably.
async fn blank(io: &Handle, file: &File) -> Result<()> {
    let Some(mut zeros) = io.pool().block_unlimited(BLOCK_ALIGN, Use::Staging) else {
        return Err(crate::io::ErrorKind::OutOfMemory.into());
    };
    zeros.fill(0);
    let mut slices = Slices::new();
    slices.push(zeros.into_slice(BLOCK_ALIGN));
    file.write_at(io, 0, slices, true).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn released_by(end: impl FnOnce(OldChains)) -> usize {
        let released = Arc::default();
        let chain = Arc::new(OldChain::new(vec![PathBuf::from("1.journal")], &released));
        let mut needs = OldChains::default();
        needs.add(&chain);
        needs.add(&chain);
        drop(chain);
        assert!(released.lock().unwrap().is_empty(), "a log needs it");
        end(needs);
        released.lock().unwrap().len()
    }

    #[test]
    fn old_journals_go_when_their_logs_say_so_and_not_when_these_merely_end() {
        assert_eq!(released_by(|mut needs| needs.let_go()), 1);
        assert_eq!(released_by(drop), 0);
    }
}
