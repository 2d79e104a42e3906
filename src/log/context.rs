//! What all logs of one reactor share, and the counters that decide when write-back runs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use super::config::StorageConfig;
use super::directory::Directory;
use super::journal::Journal;
use super::journal_file::{Told, WARN_INTERVAL};
use super::log::Log;
use super::space::{DiskSpace, Look};
use super::tail::BATCH_OVERHEAD_BYTES;
use crate::base::block::Use;
use crate::base::map::Map;
use crate::base::time::Instant;
use crate::base::turnstile::Turnstile;
use crate::io::Handle;
use crate::model::ids::PartitionId;

/// The tail may take one part in so many of the process's memory before it is let go of.
const TAIL_SHARE_MAX: usize = 2;
/// Direct runs count for write-back by one part in so many: it has nothing to write of them, but the next start reads those that
/// no checkpoint covers, and keeps them in memory until it has bounded the tails.
const DIRECT_SHARE: u64 = 2;
/// Appended bytes that one reactor keeps to itself before it tells the account of space, which all of them share.
const UNTOLD_BYTES_MAX: u64 = 256 << 10;

/// What all logs of one reactor share.
pub(super) struct Context {
    pub io: Handle,
    pub config: Rc<StorageConfig>,
    pub journal: Journal,
    pub directory: Directory,
    /// Logs that changed since their last checkpoint, in no order.
    changed: RefCell<Map<PartitionId, Rc<Log>>>,
    changed_since: Cell<Option<Instant>>,
    /// Bytes in memory of what was appended since the last write-back pass began; of direct runs a part.
    appended: Cell<u64>,
    /// Bytes in memory of the direct runs since the tails were last bounded.
    untrimmed: Cell<u64>,
    /// Free bytes of the file system when last looked at.
    pub free_bytes: Cell<u64>,
    space: Arc<DiskSpace>,
    /// Bytes appended that the shared account does not know of yet.
    untold: Cell<u64>,
    /// When a failure of write-back was last told, unless it has succeeded since.
    warned: Cell<Option<Instant>>,
    /// That no space could be reserved ahead of a log.
    pub no_space: Told,
    write_back: RefCell<Option<Waker>>,
    /// Logs of which much is to be written back go one at a time.
    pub large_write_backs: Turnstile,
    /// Reads past the page cache go one at a time: durable writes wait behind them in the device's queue.
    pub direct_reads: Turnstile,
    /// Held once for each log of which something is read ahead.
    pub logs_read_ahead: Rc<()>,
    pub counters: RefCell<Counters>,
}

/// Work counts since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub write_backs: u64,
    pub written_back_bytes: u64,
    pub checkpoint_records: u64,
    pub read_bytes: u64,
}

impl Context {
    pub fn new(io: &Handle, config: &Rc<StorageConfig>, journal: Journal, space: Arc<DiskSpace>) -> Context {
        Context {
            io: io.clone(),
            config: Rc::clone(config),
            journal,
            directory: Directory::new(io, &config.data, config.open_files_max),
            changed: RefCell::default(),
            changed_since: Cell::new(None),
            appended: Cell::new(0),
            untrimmed: Cell::new(0),
            free_bytes: Cell::new(u64::MAX),
            space,
            untold: Cell::new(0),
            warned: Cell::new(None),
            no_space: Told::default(),
            write_back: RefCell::default(),
            large_write_backs: Turnstile::default(),
            direct_reads: Turnstile::default(),
            logs_read_ahead: Rc::new(()),
            counters: RefCell::default(),
        }
    }

    /// Whether less than the reserve would be free when all is written back: nothing more may be appended.
    pub fn low_on_space(&self) -> bool {
        self.space.left_bytes().saturating_sub(self.untold.get()) < self.config.disk_reserve_bytes
    }

    /// Begins a look at free space; `dirty` are the bytes of this reactor that are not in segments, the untold ones among
    /// them.
    pub fn begin_look(&self, dirty: u64) -> Look {
        self.tell_taken();
        self.space.begin_look(self.io.reactor_id(), dirty)
    }

    /// Ends a look, which found `free` bytes.
    pub fn end_look(&self, look: Look, free: u64) {
        self.free_bytes.set(free);
        self.space.end_look(look, free);
    }

    /// Counts bytes that are to be reserved ahead of a log as taken; false if less than `beyond` would be left. When it is
    /// done, [`Context::reserved`] is told.
    pub fn may_reserve(&self, beyond: u64, bytes: u64) -> bool {
        self.tell_taken();
        self.space.reserve_beyond(beyond, self.io.reactor_id(), bytes)
    }

    /// Notes the end of a reservation.
    pub fn reserved(&self, bytes: u64) {
        self.space.reserved(self.io.reactor_id(), bytes);
    }

    /// Whether a failure of write-back is to be told now: the first one is, and then one in a while.
    pub fn tells_failures(&self) -> bool {
        self.warned.get().is_none_or(|warned| self.io.now() >= warned + WARN_INTERVAL)
    }

    /// Notes how a pass of write-back ended, and whether it told of failures.
    pub fn note_pass(&self, failed: bool, told: bool) {
        match (failed, told) {
            (false, _) => self.warned.set(None),
            (true, true) => self.warned.set(Some(self.io.now())),
            (true, false) => {}
        }
    }

    /// Whether the tail takes so much of the process's memory that the rest of the broker might starve.
    pub fn memory_is_short(&self) -> bool {
        let pool = self.io.pool();
        pool.in_use(Use::Tail) > pool.limit_bytes() / TAIL_SHARE_MAX
    }

    /// Notes an append of `bytes` to `log`.
    pub fn note_append(&self, log: &Rc<Log>, bytes: u64, direct: bool) {
        self.note_change(log);
        let held = bytes + BATCH_OVERHEAD_BYTES;
        let weight = if direct { held / DIRECT_SHARE } else { held };
        self.appended.set(self.appended.get() + weight);
        self.untrimmed.set(self.untrimmed.get() + if direct { held } else { 0 });
        self.note_taken(bytes);
        if self.is_due(false) || self.is_untrimmed() {
            self.wake_write_back();
        }
    }

    /// Whether so much went to segments directly that the tails are to be bounded again.
    pub fn is_untrimmed(&self) -> bool {
        self.untrimmed.get() >= (self.config.tail_bytes_max / 2).max(self.config.steps.trim_bytes)
    }

    /// Notes that the tails are being bounded.
    pub fn note_trimmed(&self) {
        self.untrimmed.set(0);
    }

    fn note_taken(&self, bytes: u64) {
        self.untold.set(self.untold.get() + bytes);
        if self.untold.get() >= UNTOLD_BYTES_MAX {
            self.tell_taken();
        }
    }

    fn tell_taken(&self) {
        self.space.take(self.io.reactor_id(), self.untold.take());
    }

    /// Notes that a log's checkpoint is behind.
    pub fn note_change(&self, log: &Rc<Log>) {
        self.changed.borrow_mut().entry(log.id()).or_insert_with(|| Rc::clone(log));
        if self.changed_since.get().is_none() {
            self.changed_since.set(Some(self.io.now()));
            self.wake_write_back();
        }
    }

    /// Forgets a removed log.
    pub fn forget(&self, id: PartitionId) {
        self.changed.borrow_mut().remove(&id);
    }

    /// Whether a write-back pass should begin; with `by_age` also when only time asks for it.
    pub fn is_due(&self, by_age: bool) -> bool {
        let aged = |since: Instant| self.io.now() >= since + self.config.write_back_interval;
        self.appended.get() >= self.config.write_back_bytes
            || (self.appended.get() > 0 && (self.journal.fill_percent() >= 50 || self.memory_is_short()))
            || (by_age && self.changed_since.get().is_some_and(aged))
    }

    /// Whether write-back is to hurry: the tails are to be bounded, half of what starts the next pass is there already, or somebody
    /// waits for it.
    pub fn is_pressed(&self) -> bool {
        self.is_untrimmed()
            || 2 * self.appended.get() >= self.config.write_back_bytes
            || self.journal.is_closed()
            || self.journal.fill_percent() >= 50
            || self.memory_is_short()
    }

    /// When time asks for a pass.
    pub fn due_at(&self) -> Option<Instant> {
        self.changed_since.get().map(|since| since + self.config.write_back_interval)
    }

    /// Takes the logs to write back, in order of their ids, and begins to count anew.
    pub fn take_changed(&self) -> Vec<Rc<Log>> {
        self.appended.set(0);
        self.changed_since.set(None);
        let mut logs: Vec<_> = std::mem::take(&mut *self.changed.borrow_mut()).into_values().collect();
        logs.sort_by_key(|log| log.id());
        logs
    }

    pub fn await_write_back(&self, waker: &Waker) {
        *self.write_back.borrow_mut() = Some(waker.clone());
    }

    pub fn wake_write_back(&self) {
        if let Some(waker) = self.write_back.take() {
            waker.wake();
        }
    }
}
