//! What a coordinator's state machine is to the shell that drives it.

use crate::base::time::Instant;
use crate::metadata::delta::Changes;
use crate::metadata::image::Image;
use crate::model::ids::{ProducerEpoch, ProducerId};

/// What every call of a machine is given.
pub struct Situation<'a> {
    /// Monotonic time.
    pub now: Instant,
    /// Milliseconds since 1970, for what is written into records.
    pub wall_ms: i64,
    /// The cluster's metadata in force.
    pub image: &'a Image,
    /// 128 random bits: fresh in each call, the seed of every id that the call makes up.
    pub random: u128,
}

/// Names a request that waits for its reply; the shell made it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyTo(pub u64);

/// A record of the coordinator's partition: Kafka's versioned key and value as bytes; a tombstone without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorRecord {
    /// The key, with its version in front.
    pub key: Vec<u8>,
    /// The value, with its version in front; `None` deletes the key.
    pub value: Option<Vec<u8>>,
}

/// The producer in whose transaction records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionOf {
    /// Its id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
}

impl CoordinatorRecord {
    /// The bytes that it takes in a batch, at most.
    pub fn bytes(&self) -> usize {
        RECORD_OVERHEAD_BYTES + self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// The bytes that `records` take in a batch, at most.
pub fn bytes_of(records: &[CoordinatorRecord]) -> usize {
    records.iter().map(CoordinatorRecord::bytes).sum()
}

/// Bytes of a record beside its key and value: lengths, attributes, time, offset, no headers.
const RECORD_OVERHEAD_BYTES: usize = 24;

/// The largest batch that one decision's records may make, in bytes.
pub const DECISION_BYTES_MAX: u32 = 8 << 20;

/// Bytes of records with which a decision about whatever is due has done enough: what is left is due still, and the next one's.
pub const DECISION_BYTES_ENOUGH: usize = 1 << 20;

/// What a decision brings about.
#[derive(Debug)]
pub struct Effects<R> {
    /// Appended as one batch, so that all are there after a crash or none; replayed into the machine right after. More than
    /// [`DECISION_BYTES_MAX`] cannot be appended, and costs the machine its soft state: bound what makes up one decision. Only tombstones may
    /// be more: where a decision consists of nothing else, it is appended in parts, of which a crash may keep the first ones.
    pub records: Vec<CoordinatorRecord>,
    /// The transaction that the records are part of: they count once its marker is written (TxnOffsetCommit).
    pub transaction: Option<TransactionOf>,
    /// Released, in this order, once the records, and all that were decided before, are durable.
    pub replies: Vec<(ReplyTo, R)>,
}

impl<R> Default for Effects<R> {
    fn default() -> Effects<R> {
        Effects { records: Vec::new(), transaction: None, replies: Vec::new() }
    }
}

impl<R> Effects<R> {
    /// Nothing but a reply.
    pub fn reply(to: ReplyTo, reply: R) -> Effects<R> {
        Effects { replies: vec![(to, reply)], ..Effects::default() }
    }
}

/// A state machine whose durable state is what the records of its partition replay into.
///
/// Durable state changes in [`replay`](Machine::replay) and [`replay_marker`](Machine::replay_marker) alone; a decision
/// may also change what is not durable (who waits, sessions, timers). If an append fails, the shell answers every waiting
/// request with the error (its handler knows the shape of the reply), drops the machine, and loads a new one from the log.
pub trait Machine: 'static {
    /// What it is asked: one variant a request.
    type Input: 'static;
    /// What it answers.
    type Reply: 'static;

    /// Decides about `input`. The reply comes with these effects or with those of a later call; each request gets exactly one.
    fn decide(&mut self, situation: &Situation<'_>, input: Self::Input, to: ReplyTo) -> Effects<Self::Reply>;

    /// Takes in a record: of the log while loading, of its own decisions afterwards. `transaction` says that it is pending until
    /// that producer's marker.
    ///
    /// # Errors
    /// A sentence that says what does not fit; the shell logs it with the record's offset, and goes on.
    fn replay(&mut self, key: &[u8], value: Option<&[u8]>, transaction: Option<TransactionOf>) -> Result<(), String>;

    /// Takes in the marker that ends `transaction` in this partition.
    fn replay_marker(&mut self, transaction: TransactionOf, committed: bool);

    /// The log has been replayed: sessions and timers start now.
    fn loaded(&mut self, situation: &Situation<'_>) -> Effects<Self::Reply>;

    /// The cluster's image has changed, by `changes`. What changed while the log was being replayed is not told: what
    /// follows from the image as a whole is [`loaded`](Machine::loaded)'s.
    fn image_changed(&mut self, situation: &Situation<'_>, changes: &Changes) -> Effects<Self::Reply>;

    /// Does what is due at `situation.now`.
    fn on_time(&mut self, situation: &Situation<'_>) -> Effects<Self::Reply>;

    /// When [`on_time`](Machine::on_time) is to be called next; asked after every call.
    fn next_deadline(&self) -> Option<Instant>;

    /// The records that replay into the present durable state, pending transactions included: what a rewritten log begins with.
    ///
    /// They are not replayed into this machine. After a crash they may be replayed behind the log that they stand for, all of them or
    /// only the first ones: that must change nothing.
    fn snapshot(&self) -> Vec<SnapshotRun>;
}

/// Records of a snapshot that follow each other, and are part of the same transaction or of none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotRun {
    /// The open transaction that they count with.
    pub transaction: Option<TransactionOf>,
    /// The records.
    pub records: Vec<CoordinatorRecord>,
}
