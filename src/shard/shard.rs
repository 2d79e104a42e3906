//! The shard itself: its parts, its high watermark, its recovery.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use super::append::{Parked, gone, offline};
use super::settings::ShardSettings;
use super::waiters::{Waiters, Watch};
use crate::io::Handle;
use crate::log::{Log, Storage};
use crate::model::ids::PartitionId;
use crate::model::offset::{LeaderEpoch, Offset};
use crate::producer::exact::{decode_exact, encode_exact};
use crate::producer::state::{BatchFacts, ProducerStates};
use crate::record::BatchHeader;

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
    waiters: Waiters,
    parked: RefCell<VecDeque<Parked>>,
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
        let (state, as_of) = storage.owner_state(id);
        let log = storage.open(id, name, settings.log());
        let producers = recover_producers(&log, &state, as_of);
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
            waiters: Waiters::default(),
            parked: RefCell::default(),
            unparking: Cell::new(false),
        });
        shard.waiters.advance(end);
        let weak: Weak<Shard> = Rc::downgrade(&shard);
        shard.log.set_owner(Rc::new(move || weak.upgrade().map(|shard| shard.exact_state()).unwrap_or_default()));
        shard
    }

    fn exact_state(&self) -> Vec<u8> {
        let producers = self.producers.borrow();
        let mut state = Vec::new();
        if !producers.is_empty() {
            encode_exact(&producers, &mut state);
        }
        state
    }

    /// The partition.
    pub fn id(&self) -> PartitionId {
        self.id
    }

    pub(super) fn io(&self) -> &Handle {
        &self.io
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

    pub(super) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    pub(super) fn parked(&self) -> &RefCell<VecDeque<Parked>> {
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

    /// Resolves once the high watermark has moved beyond `seen`, or the shard is gone.
    pub fn watch(&self, seen: Offset) -> Watch {
        self.waiters.watch(seen)
    }

    /// Raises the high watermark and releases who waited for it.
    pub(super) fn advance(&self, end: Offset) {
        if end > self.high_watermark.get() {
            self.high_watermark.set(end);
            self.waiters.advance(end);
        }
    }

    /// The log was cut to end at `end`.
    pub(super) fn retreat(&self, end: Offset) {
        self.high_watermark.set(end.min(self.high_watermark.get()));
        self.waiters.advance(self.high_watermark.get());
    }

    /// The storage is offline: no append that waits will be acknowledged.
    pub(super) fn fail(&self, reason: &str) {
        self.waiters.fail(&offline(reason));
    }

    /// The shard is being removed.
    pub(super) fn close(&self) {
        self.parked.borrow_mut().clear();
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

/// The producers as of the log's end: from the checkpoint's state and the batches since.
fn recover_producers(log: &Rc<Log>, state: &[u8], as_of: Offset) -> ProducerStates {
    let mut producers = ProducerStates::new();
    if !state.is_empty() {
        match decode_exact(state) {
            Ok(decoded) => producers = decoded,
            Err(corrupt) => tracing::error!("{}: the producers' state in the checkpoint: {corrupt}", log.name()),
        }
    }
    for header in log.tail_headers(as_of) {
        replay(&mut producers, &header);
    }
    producers
}

/// Has the producers' state take in a batch that is in the log.
pub(super) fn replay(producers: &mut ProducerStates, header: &BatchHeader) {
    let facts = facts_of(header);
    if facts.has_producer() && !header.is_control() {
        producers.commit(&facts, header.base_offset(), header.max_timestamp());
    }
}

fn facts_of(header: &BatchHeader) -> BatchFacts {
    BatchFacts {
        producer_id: header.producer_id(),
        producer_epoch: header.producer_epoch(),
        base_sequence: header.base_sequence(),
        last_offset_delta: header.last_offset_delta(),
        is_transactional: header.is_transactional(),
    }
}
