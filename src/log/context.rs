//! What all logs of one reactor share, and the counters that decide when write-back runs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::config::StorageConfig;
use super::directory::Directory;
use super::journal::Journal;
use super::log::Log;
use crate::base::block::Use;
use crate::base::map::Map;
use crate::base::time::Instant;
use crate::io::Handle;
use crate::model::ids::{PartitionId, ReactorId};

/// The tail may take one part in so many of the process's memory before it is let go of.
const TAIL_SHARE_MAX: usize = 2;

/// What all logs of one reactor share.
pub(super) struct Context {
    pub io: Handle,
    pub config: Rc<StorageConfig>,
    pub journal: Journal,
    pub directory: Directory,
    /// Logs that changed since their last checkpoint, in no order.
    changed: RefCell<Map<PartitionId, Rc<Log>>>,
    changed_since: Cell<Option<Instant>>,
    /// Bytes appended since the last write-back pass began.
    appended: Cell<u64>,
    /// Free bytes of the file system when last looked at.
    pub free_bytes: Cell<u64>,
    /// What is left of them when write-back has found room for everything that only journals hold.
    left_bytes: Cell<u64>,
    owed: Arc<Owed>,
    write_back: RefCell<Option<Waker>>,
    pub counters: RefCell<Counters>,
}

/// Bytes that each reactor's write-back has yet to find room for, as of its last look at free space: all reactors write
/// to one disk.
#[derive(Debug, Default)]
pub struct Owed(Mutex<BTreeMap<ReactorId, u64>>);

impl Owed {
    /// Sets this reactor's part; gives the sum.
    fn update(&self, reactor: ReactorId, bytes: u64) -> u64 {
        let mut owed = self.0.lock().expect("the map is never left mid-change");
        owed.insert(reactor, bytes);
        owed.values().sum()
    }
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
    pub fn new(io: &Handle, config: &Rc<StorageConfig>, journal: Journal, owed: Arc<Owed>) -> Context {
        Context {
            io: io.clone(),
            config: Rc::clone(config),
            journal,
            directory: Directory::new(io, &config.data, config.open_files_max),
            changed: RefCell::default(),
            changed_since: Cell::new(None),
            appended: Cell::new(0),
            free_bytes: Cell::new(u64::MAX),
            left_bytes: Cell::new(u64::MAX),
            owed,
            write_back: RefCell::default(),
            counters: RefCell::default(),
        }
    }

    /// Whether less than the reserve would be free when all is written back: nothing more may be appended.
    pub fn low_on_space(&self) -> bool {
        self.left_bytes.get() < self.config.disk_reserve_bytes
    }

    /// Notes how many bytes are free, and how many of this reactor's are not in segments yet.
    pub fn note_space(&self, free: u64, dirty: u64) {
        self.free_bytes.set(free);
        let owed = self.owed.update(self.io.reactor_id(), dirty);
        self.left_bytes.set(free.saturating_sub(owed));
    }

    /// Whether the tail takes so much of the process's memory that the rest of the broker might starve.
    pub fn memory_is_short(&self) -> bool {
        let pool = self.io.pool();
        pool.in_use(Use::Tail) > pool.limit_bytes() / TAIL_SHARE_MAX
    }

    /// Notes an append of `bytes` to `log`.
    pub fn note_append(&self, log: &Rc<Log>, bytes: u64) {
        self.note_change(log);
        self.appended.set(self.appended.get() + bytes);
        self.left_bytes.set(self.left_bytes.get().saturating_sub(bytes));
        if self.is_due(false) {
            self.wake_write_back();
        }
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
