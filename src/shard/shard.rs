//! The shard itself: its parts, its high watermark, its recovery.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::aborted::Aborted;
use super::append::{ParkedQueue, gone, offline};
use super::read::Isolation;
use super::replay::Replayed;
use super::settings::ShardSettings;
use super::transactions::{self, TransactionState};
use super::waiters::{Waiters, Watch};
use crate::io::Handle;
use crate::log::owner::{Companion, Owned, Owner};
use crate::log::{Log, Storage};
use crate::model::ids::PartitionId;
use crate::model::offset::{LeaderEpoch, Offset};
use crate::producer::kept::{Kept, decode_kept, encode_kept};
use crate::producer::state::ProducerStates;
use crate::record::batches;

/// The engine of one partition replica.
pub struct Shard {
    id: PartitionId,
    io: Handle,
    storage: Storage,
    log: Rc<Log>,
    settings: Cell<ShardSettings>,
    leader_epoch: Cell<LeaderEpoch>,
    high_watermark: Cell<Offset>,
    producers: RefCell<ProducerStates>,
    transactions: RefCell<TransactionState>,
    aborted: Aborted,
    waiters: Waiters,
    parked: RefCell<ParkedQueue>,
    unparking: Cell<bool>,
}

impl Shard {
    /// Opens the shard with what the storage recovered of it; does no I/O.
    pub(super) fn open(
        io: &Handle,
        storage: &Storage,
        id: PartitionId,
        name: &str,
        settings: ShardSettings,
        leader_epoch: LeaderEpoch,
    ) -> Rc<Shard> {
        let (log, owned) = storage.open(id, name, settings.log());
        let (Replayed { producers, open, .. }, aborted) = recover(&log, &owned);
        let end = log.end();
        let shard = Rc::new(Shard {
            id,
            io: io.clone(),
            storage: storage.clone(),
            log,
            settings: Cell::new(settings),
            leader_epoch: Cell::new(leader_epoch),
            // Whatever was recovered is on this disk, and this disk is the only one.
            high_watermark: Cell::new(end),
            producers: RefCell::new(producers),
            transactions: transactions::restored(open),
            aborted,
            waiters: Waiters::default(),
            parked: RefCell::default(),
            unparking: Cell::new(false),
        });
        shard.waiters.advance(end, shard.last_stable_offset());
        shard.log.set_owner(Rc::new(LogOwner(Rc::downgrade(&shard))));
        shard
    }

    /// The partition.
    pub fn id(&self) -> PartitionId {
        self.id
    }

    pub(super) fn io(&self) -> &Handle {
        &self.io
    }

    /// Why the storage is offline, if it is: nothing more will be appended, and of what was on its way nobody knows.
    pub fn storage_failure(&self) -> Option<String> {
        self.storage().failure()
    }

    pub(super) fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(super) fn log(&self) -> &Rc<Log> {
        &self.log
    }

    pub(super) fn producers(&self) -> &RefCell<ProducerStates> {
        &self.producers
    }

    pub(super) fn transactions(&self) -> &RefCell<TransactionState> {
        &self.transactions
    }

    pub(super) fn aborted(&self) -> &Aborted {
        &self.aborted
    }

    pub(super) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    pub(super) fn parked(&self) -> &RefCell<ParkedQueue> {
        &self.parked
    }

    pub(super) fn unparking(&self) -> &Cell<bool> {
        &self.unparking
    }

    /// Whether appends wait for room, so that a further one has to get in line.
    pub(super) fn is_parked(&self) -> bool {
        self.unparking.get()
    }

    /// The settings it follows.
    pub fn settings(&self) -> ShardSettings {
        self.settings.get()
    }

    /// The epoch of this leadership.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch.get()
    }

    /// What consumers may read up to.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark.get()
    }

    /// Follows a changed configuration.
    pub fn configure(&self, settings: ShardSettings) {
        self.settings.set(settings);
        self.log.configure(settings.log());
    }

    /// Resolves once more can be read under `isolation` than up to `seen`, or the shard is gone.
    pub fn watch(&self, seen: Offset, isolation: Isolation) -> Watch {
        self.waiters.watch(seen, isolation)
    }

    /// Raises the high watermark and releases who waited for it.
    pub(super) fn advance(&self, end: Offset) {
        if end > self.high_watermark.get() {
            self.high_watermark.set(end);
            self.transactions.borrow_mut().open.advance(end);
            self.waiters.advance(end, self.last_stable_offset());
        }
    }

    /// The log was cut to end at `end`.
    pub(super) fn retreat(&self, end: Offset) {
        self.high_watermark.set(end.min(self.high_watermark.get()));
        self.waiters.advance(self.high_watermark.get(), self.last_stable_offset());
    }

    /// The storage is offline: no append that waits will be acknowledged.
    pub(super) fn fail(&self, reason: &str) {
        self.waiters.fail(&offline(reason));
    }

    /// The shard is being removed.
    pub(super) fn close(&self) {
        self.parked.borrow_mut().clear();
        self.close_transactions();
        self.waiters.fail(&gone());
        self.waiters.close();
    }

    /// Forgets producers that have not appended for `producer.id.expiration.ms`.
    pub(super) fn expire_producers(&self, wall_ms: i64) {
        let expiration_ms = self.settings.get().producer_id_expiration_ms;
        let mut producers = self.producers.borrow_mut();
        if !producers.is_empty() {
            producers.expire(wall_ms, expiration_ms);
        }
    }
}

/// What the log keeps for its shard.
struct LogOwner(Weak<Shard>);

impl Owner for LogOwner {
    fn state(&self) -> Vec<u8> {
        let Some(shard) = self.0.upgrade() else { return Vec::new() };
        encode_kept(&shard.producers.borrow(), &shard.aborted.recent(), &shard.aborted.filed())
    }

    fn companions(&self, segments: &[(Offset, Offset)], all: bool) -> Vec<Companion> {
        self.0.upgrade().map_or_else(Vec::new, |shard| shard.aborted.companions(segments, all))
    }

    fn companions_written(&self, companions: &[Companion]) {
        if let Some(shard) = self.0.upgrade() {
            shard.aborted.companions_written(companions);
        }
    }
}

/// The producers and their transactions as of the log's end: from the checkpoint's state and the batches since.
fn recover(log: &Rc<Log>, owned: &Owned) -> (Replayed, Aborted) {
    let kept = decode_kept(&owned.state).unwrap_or_else(|corrupt| {
        tracing::error!("{}: the producers' state in the checkpoint: {corrupt}", log.name());
        Kept::default()
    });
    let mut replayed = Replayed::from(kept.producers);
    // Recovery has walked them all: they are whole.
    let since = owned.since.iter().flat_map(|bytes| batches(bytes)).flatten();
    since.for_each(|(_, batch)| replayed.take(batch));
    let aborted = Aborted::new(kept.aborted, kept.filed);
    replayed.aborted.iter().for_each(|one| aborted.append(*one));
    aborted.start_at(log.start(), log.oldest_segment());
    // All that was recovered is below the high watermark.
    replayed.open.advance(log.end());
    (replayed, aborted)
}
