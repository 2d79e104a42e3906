//! The storage of one reactor: its journal, its logs, and the task that looks after them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use super::checkpoint::{self, Checkpoint, Effect, LogRecord};
use super::config::StorageConfig;
use super::context::Context;
use super::directory::Kind;
use super::group::Chain;
use super::journal::{Durable, Journal};
use super::journal_file::{self, JournalFiles, Told};
use super::log::{Log, LogSettings, Need, State};
use super::owner::Owned;
use super::recovery::{Recovered, RecoveredLog, RecoveredPart};
use super::stats::StorageStats;
use super::write_back::{self, Thoroughness};
use crate::base::map::Map;
use crate::base::time::Duration;
use crate::base::turnstile::Turnstile;
use crate::io::file;
use crate::io::{ErrorKind, Handle, Result};
use crate::model::ids::{PartitionId, ReactorId};

/// How often free space is looked at while anything is appended.
const SPACE_INTERVAL: Duration = Duration::from_millis(250);
/// How soon after a failed pass the next one begins.
const RETRY: Duration = Duration::from_millis(500);
/// Old checkpoint files are merged at start when there are more than this.
const CHECKPOINTS_MAX: usize = 8;

/// The storage of one reactor.
#[derive(Clone)]
pub struct Storage {
    pub(super) inner: Rc<Inner>,
}

pub(super) struct Inner {
    pub(super) context: Rc<Context>,
    pub(super) checkpoint: Rc<Checkpoint>,
    files: JournalFiles,
    pub(super) logs: RefCell<Map<PartitionId, Rc<Log>>>,
    recovered: RefCell<Map<PartitionId, RecoveredLog>>,
    released: Arc<Mutex<Vec<PathBuf>>>,
    pub(super) stopping: Cell<bool>,
    /// The log says that the disk is full up to its reserve.
    refusing: Cell<bool>,
    /// What works on the files of whole logs goes one at a time: write-back, cutting a log, sweeping.
    pub(super) passes: Turnstile,
}

impl Drop for Inner {
    /// Lets go of what refers to the logs and is referred to by them.
    fn drop(&mut self) {
        self.context.take_changed();
        self.context.journal.let_go();
    }
}

impl Storage {
    /// Starts the storage of this reactor with what was recovered for it.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn start(io: &Handle, config: StorageConfig, part: RecoveredPart) -> Result<Storage> {
        let config = Rc::new(config);
        let chain = Chain { epoch: part.epoch, reactor: io.reactor_id() };
        let files = JournalFiles::open(io, &config, &part.space, (part.epoch, part.spares)).await?;
        let journal = Journal::new(io, &config, chain, files.clone());
        let inner = Inner {
            context: Rc::new(Context::new(io, &config, journal, part.space)),
            checkpoint: Rc::new(Checkpoint::new(io, &config, chain)),
            files,
            logs: RefCell::default(),
            recovered: RefCell::new(part.logs.into_iter().collect()),
            released: part.released,
            stopping: Cell::new(false),
            refusing: Cell::new(false),
            passes: Turnstile::default(),
        };
        let storage = Storage { inner: Rc::new(inner) };
        if let Err(error) = storage.inner.checkpoint.begin().await {
            tracing::warn!("no space is reserved for deletions on a full disk: {error}");
        }
        storage.look_at_space().await;
        io.spawn(storage.clone().maintain());
        io.spawn(storage.clone().watch_space());
        io.spawn(storage.clone().sweep());
        Ok(storage)
    }

    /// Opens a log in the directory `name`, with what was recovered of it and of its owner.
    pub fn open(&self, id: PartitionId, name: &str, settings: LogSettings) -> (Rc<Log>, Owned) {
        let mut recovered = self.inner.recovered.borrow_mut().remove(&id).unwrap_or_default();
        let state = std::mem::take(&mut recovered.record.owner_state);
        let (log, since) = Log::recover(id, name, &self.inner.context, settings, recovered);
        self.inner.logs.borrow_mut().insert(id, Rc::clone(&log));
        (log, Owned { state, since })
    }

    /// Recovered logs that nobody has opened.
    pub fn unclaimed(&self) -> Vec<PartitionId> {
        let mut ids: Vec<_> = self.inner.recovered.borrow().keys().copied().collect();
        ids.sort();
        ids
    }

    /// Removes a log and its files, durably. Open or merely recovered; fine if there is none.
    ///
    /// Its directory is set aside first, then a record of the checkpoint says that the log is gone, then the files go: a
    /// start between them finds the log, and nothing under its name that is another's. Until the record is there, the log's
    /// journal files are needed, and until the directory is set aside nobody else may have its name: so both are tried until
    /// they succeed.
    ///
    /// # Errors
    /// The kernel's, where the storage is offline or stops, or files stay that the next start removes.
    pub async fn remove(&self, id: PartitionId) -> Result<()> {
        let (context, checkpoint) = (&self.inner.context, &self.inner.checkpoint);
        let log = self.inner.logs.borrow().get(&id).cloned();
        let (name, version) = if let Some(log) = &log {
            log.state_mut().removed = true;
            context.forget(id);
            self.released_by_write_back(log).await;
            (log.name().to_owned(), log.state().version)
        } else {
            let recovered = self.inner.recovered.borrow();
            let Some(recovered) = recovered.get(&id) else { return Ok(()) };
            (recovered.record.name.clone(), recovered.version)
        };
        if !name.is_empty() {
            self.insist(id, || context.directory.set_aside(id, &name)).await?;
        }
        let (version, process_epoch) = (version + 1, context.journal.chain().epoch);
        let record = LogRecord { name, version, process_epoch, removed: true, ..LogRecord::default() };
        let records = [(id, record.encode(id))];
        self.insist(id, || checkpoint.append(&records, Effect::Frees)).await?;
        self.inner.logs.borrow_mut().remove(&id);
        if let Some(mut recovered) = self.inner.recovered.borrow_mut().remove(&id) {
            recovered.needs.let_go();
        }
        if let Some(log) = log {
            let mut state = log.state_mut();
            state.need.end(Need::default());
            state.need_since_capture = Need::default();
            state.tail = Default::default();
        }
        context.journal.recycle();
        context.directory.remove_aside(id).await
    }

    /// Attempts a step of the removal of `id` until it succeeds or the storage ends.
    async fn insist<F>(&self, id: PartitionId, attempt: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        let io = &self.inner.context.io;
        let told = Told::default();
        loop {
            let Err(error) = attempt().await else { return Ok(()) };
            if self.inner.stopping.get() || self.failure().is_some() {
                return Err(error);
            }
            if told.tells(io) {
                tracing::warn!("partition {id} cannot be removed yet: {error}; trying again");
            }
            io.sleep(RETRY).await;
        }
    }

    /// Waits until write-back does not work on `log`.
    async fn released_by_write_back(&self, log: &Rc<Log>) {
        let busy = |state: &State| state.held || state.capturing || state.reserving || state.closed;
        // What is staged and not yet on its way when the storage goes offline will never be.
        let has_runs = || log.state().has_runs() && self.failure().is_none();
        while busy(&log.state()) || has_runs() {
            self.inner.context.io.sleep(Duration::from_millis(1)).await;
        }
    }

    /// What became durable, in order.
    pub async fn next_durable(&self) -> Vec<Durable> {
        self.inner.context.journal.next_durable().await
    }

    /// Why the storage is offline, if it is.
    pub fn failure(&self) -> Option<String> {
        self.inner.context.journal.failure()
    }

    /// Whether less than the reserve of disk space is free.
    pub fn low_on_space(&self) -> bool {
        self.inner.context.low_on_space()
    }

    /// Waits until all that was appended is durable; false when the storage is offline.
    pub async fn settled(&self) -> bool {
        self.inner.context.journal.settled().await
    }

    /// Counts since the start.
    pub fn stats(&self) -> StorageStats {
        let context = &self.inner.context;
        let counters = *context.counters.borrow();
        let logs = self.inner.logs.borrow();
        StorageStats {
            journal: context.journal.stats(),
            logs: logs.len() as u64,
            dirty_bytes: logs.values().map(|log| log.state().dirty_bytes()).sum(),
            tail_bytes: logs.values().map(|log| log.state().tail.held_bytes()).sum(),
            write_backs: counters.write_backs,
            written_back_bytes: counters.written_back_bytes,
            checkpoint_records: counters.checkpoint_records,
            read_bytes: counters.read_bytes,
            open_files: context.directory.open_files() as u64,
            free_bytes: context.free_bytes.get(),
            failure: context.journal.failure(),
        }
    }

    /// Brings every log to rest: all durable, all written back, files cut to size, checkpoint complete.
    ///
    /// # Errors
    /// The kernel's; what could not be written back is still in the journal.
    pub async fn shutdown(&self) -> Result<()> {
        let inner = &self.inner;
        inner.stopping.set(true);
        inner.context.wake_write_back();
        let _alone = inner.passes.enter().await;
        let settled = inner.context.journal.shutdown().await;
        inner.files.stop();
        if !settled {
            return Err(crate::io::Error::other(inner.context.journal.failure().unwrap_or_default()));
        }
        inner.context.take_changed();
        let all: Vec<_> = inner.logs.borrow().values().filter(|log| !log.state().removed).cloned().collect();
        let mut logs = Vec::new();
        for log in all {
            if log.needs_finish() || log.has_excess().await? {
                logs.push(log);
            }
        }
        logs.sort_by_key(|log| log.id());
        write_back::pass(&inner.context, &inner.checkpoint, logs, Thoroughness::Final).await?;
        self.unlink_released().await
    }

    /// The task that writes back when it is due.
    async fn maintain(self) {
        let inner = &self.inner;
        let io = &inner.context.io;
        while !inner.stopping.get() {
            self.wait_until_due().await;
            if inner.stopping.get() {
                return;
            }
            // What the journal alone holds of a log keeps all behind it in memory until a pass.
            if !inner.context.is_due(true) && self.bound_tails() {
                continue;
            }
            let alone = inner.passes.enter().await;
            let logs = inner.context.take_changed();
            let result = write_back::pass(&inner.context, &inner.checkpoint, logs, Thoroughness::Lazy).await;
            self.bound_tails();
            let unlinked = self.unlink_released().await;
            drop(alone);
            // What was owed is on disk now: the other reactors count it as taken twice until this one has looked.
            self.look_at_space().await;
            if result.and(unlinked).is_err() {
                io.sleep(RETRY).await;
            }
        }
    }

    async fn wait_until_due(&self) {
        let context = &self.inner.context;
        let mut sleep = None;
        poll_fn(|task| {
            if context.is_due(true) || context.is_untrimmed() || self.inner.stopping.get() {
                return Poll::Ready(());
            }
            context.await_write_back(task.waker());
            let Some(due) = context.due_at() else { return Poll::Pending };
            let sleep = sleep.get_or_insert_with(|| Box::pin(context.io.sleep_until(due)));
            sleep.as_mut().poll(task)
        })
        .await;
    }

    /// Lets batches that the segment files hold go from memory, from the idle logs first, until the rest is within bounds;
    /// false when what may not go yet is far beyond them.
    fn bound_tails(&self) -> bool {
        self.inner.context.note_trimmed();
        // A batch keeps its whole block in memory, so the blocks count where they are many.
        let short = self.inner.context.memory_is_short();
        let limit = if short { 0 } else { self.inner.context.config.tail_bytes_max };
        let logs = self.inner.logs.borrow();
        let held = || -> u64 { logs.values().map(|log| log.state().tail.held_bytes()).sum() };
        if held() <= limit {
            return true;
        }
        let busy = logs.values().filter(|log| log.is_busy()).count().max(1) as u64;
        for log in logs.values() {
            let share = if log.is_busy() { limit / busy } else { 0 };
            log.state_mut().evict(share, log.durable_end());
        }
        held() <= limit + self.inner.context.config.write_back_bytes
    }

    /// Removes the journal files of earlier starts that no log needs any more.
    async fn unlink_released(&self) -> Result<()> {
        let released = std::mem::take(&mut *self.inner.released.lock().expect("the list is never left mid-change"));
        for (at, path) in released.iter().enumerate() {
            if let Err(error) = file::unlink(&self.inner.context.io, path).await {
                let left = &mut *self.inner.released.lock().expect("the list is never left mid-change");
                left.extend_from_slice(&released[at..]);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The task that looks at free space, at once while the storage is in use, rarely when it is not.
    async fn watch_space(self) {
        let context = &self.inner.context;
        let mut groups = u64::MAX;
        loop {
            // An idle storage is looked at every few seconds only, so that an idle broker stays asleep.
            let now = context.journal.group();
            let idle = now == groups && !context.low_on_space();
            groups = now;
            context.io.sleep(if idle { 20 * SPACE_INTERVAL } else { SPACE_INTERVAL }).await;
            if self.inner.stopping.get() {
                return;
            }
            self.look_at_space().await;
            if context.memory_is_short() {
                self.bound_tails();
            }
        }
    }

    async fn look_at_space(&self) {
        let context = &self.inner.context;
        let dirty = self.inner.logs.borrow().values().map(|log| log.state().dirty_bytes()).sum();
        let look = context.begin_look(dirty);
        match file::space(&context.io, &context.config.data).await {
            Ok(space) => context.end_look(look, space.free),
            Err(error) => tracing::warn!("free space cannot be told: {error}"),
        }
        let (free, reserve) = (context.free_bytes.get(), context.config.disk_reserve_bytes);
        match (self.inner.refusing.replace(context.low_on_space()), context.low_on_space()) {
            (false, true) => {
                tracing::warn!("{free} bytes are free and {reserve} are the reserve: produce is refused");
                self.release_reserved();
            }
            (true, false) => tracing::info!("{free} bytes are free again: produce is accepted"),
            _ => {}
        }
    }

    /// Has the next pass give back the space that is reserved ahead of logs.
    fn release_reserved(&self) {
        let logs = self.inner.logs.borrow();
        logs.values()
            .filter(|log| log.state().reserved_bytes() > 0)
            .for_each(|log| self.inner.context.note_change(log));
    }
}

impl Log {
    /// Whether a clean stop has to touch its files.
    fn needs_finish(&self) -> bool {
        let state = self.state();
        let last = state.active();
        let in_journal = !state.dirty.is_empty() || !state.need.is_empty() || !state.doomed.is_empty();
        in_journal || last.allocated > 0 || !last.cut_to_size || !state.snapshots.is_empty()
    }

    /// Whether its last file is longer than what it holds, which a crash leaves behind: space ahead of appends, or a run,
    /// of which nothing else is left.
    async fn has_excess(&self) -> Result<bool> {
        let (base, end) = {
            let state = self.state();
            (state.active().base, state.active().end)
        };
        let path = self.context.directory.path(self.name(), base, Kind::Log);
        let stat = file::stat(&self.context.io, &path).await?;
        let excess = stat.is_some_and(|stat| stat.bytes > u64::from(end));
        if excess {
            self.state_mut().active_mut().cut_to_size = false;
        }
        Ok(excess)
    }

    /// Whether it was appended to since its last write-back.
    fn is_busy(&self) -> bool {
        !self.state().dirty.is_empty()
    }
}

/// Takes from the checkpoint files of earlier starts what they have reserved, and merges them into one when there are many of
/// them; to be called once, before the reactors' storages start.
///
/// # Errors
/// The kernel's.
pub async fn merge_checkpoints(io: &Handle, config: &StorageConfig, recovered: &Recovered) -> Result<()> {
    for (path, bytes) in &recovered.checkpoints {
        checkpoint::release_reserve(io, path, *bytes).await?;
    }
    if recovered.checkpoints.len() <= CHECKPOINTS_MAX {
        return Ok(());
    }
    match merge(io, config, recovered).await {
        Err(error) if error.kind() == ErrorKind::StorageFull => {
            tracing::warn!("the checkpoint files of earlier starts stay as they are: {error}");
            Ok(())
        }
        done => done,
    }
}

async fn merge(io: &Handle, config: &StorageConfig, recovered: &Recovered) -> Result<()> {
    // A removed log is forgotten only when no journal can bring it back.
    let journals_needed = recovered.logs.values().any(|log| !log.needs.is_empty());
    let records: Vec<_> = recovered
        .logs
        .iter()
        .filter(|(_, log)| log.record.version > 0 && (!log.record.removed || journals_needed))
        .map(|(id, log)| (*id, log.record.encode(*id)))
        .collect();
    let chain = Chain { epoch: recovered.epoch, reactor: ReactorId::MAX };
    if !journals_needed {
        // Files that wait to be used again still hold what removed logs once did, and nothing will say any more that
        // those are removed. Nor may a power cut bring back files that an earlier start has unlinked.
        file::sync_directory(io, &config.journal_directory()).await?;
        for path in &recovered.spares {
            journal_file::blank_at(io, path).await?;
        }
    }
    let merged = Checkpoint::new(io, &Rc::new(config.clone()), chain);
    merged.append(&records, Effect::Takes).await?;
    for (path, _) in &recovered.checkpoints {
        file::unlink(io, path).await?;
    }
    file::sync_directory(io, &config.checkpoint_directory()).await
}
