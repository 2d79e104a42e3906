//! What the coordinator remembers of one transactional id.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::machine::Input;
use crate::base::time::Instant;
use crate::coordinator::machine::ReplyTo;
use crate::model::ids::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, PartitionIndex, ProducerEpoch, ProducerId};
use crate::model::offset::Timestamp;

/// "No transaction was begun".
pub const NEVER_STARTED: Timestamp = -1;
/// The `transaction.version` from which on each transaction has an epoch of its own (KIP-890).
pub const EPOCH_BUMP_FROM: i16 = 2;

/// Where a transaction stands. The numbers are those of Kafka's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum Status {
    /// No transaction since the producer was initialised.
    Empty = 0,
    /// One is open.
    Ongoing = 1,
    /// It will be committed; markers are being written.
    PrepareCommit = 2,
    /// It will be aborted; markers are being written.
    PrepareAbort = 3,
    /// The last one was committed.
    CompleteCommit = 4,
    /// The last one was aborted.
    CompleteAbort = 5,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 6] = [
        Status::Empty,
        Status::Ongoing,
        Status::PrepareCommit,
        Status::PrepareAbort,
        Status::CompleteCommit,
        Status::CompleteAbort,
    ];

    /// Kafka's name, as tools print it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Empty => "Empty",
            Status::Ongoing => "Ongoing",
            Status::PrepareCommit => "PrepareCommit",
            Status::PrepareAbort => "PrepareAbort",
            Status::CompleteCommit => "CompleteCommit",
            Status::CompleteAbort => "CompleteAbort",
        }
    }

    /// The status with this number in records.
    pub fn from_id(id: i8) -> Option<Status> {
        Status::ALL.into_iter().find(|status| *status as i8 == id)
    }

    /// Whether it is decided and markers are still being written.
    pub fn is_prepared(self) -> bool {
        matches!(self, Status::PrepareCommit | Status::PrepareAbort)
    }

    /// Whether it is decided, or was, that the transaction counts.
    pub fn is_commit(self) -> bool {
        matches!(self, Status::PrepareCommit | Status::CompleteCommit)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A partition that a transaction has touched, by name as in Kafka's records.
pub type Touched = (Arc<str>, PartitionIndex);

/// What the log says of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The producer that stands for it.
    pub producer_id: ProducerId,
    /// The one before, when its epochs were used up.
    pub previous_producer_id: ProducerId,
    /// The one that follows once the markers are written, when the epochs are used up.
    pub next_producer_id: ProducerId,
    /// The producer's epoch.
    pub producer_epoch: ProducerEpoch,
    /// How long a transaction may take.
    pub timeout_ms: i32,
    /// Where it stands.
    pub status: Status,
    /// The partitions that the open transaction, or the one being ended, has touched.
    pub partitions: BTreeSet<Touched>,
    /// When it last changed.
    pub updated_ms: Timestamp,
    /// When the transaction began, [`NEVER_STARTED`] if none did.
    pub started_ms: Timestamp,
    /// The `transaction.version` of the client that last changed it.
    pub client_version: i16,
}

impl Transaction {
    /// Of a producer that has just been given `producer_id`.
    pub fn new(producer_id: ProducerId, timeout_ms: i32, wall_ms: Timestamp) -> Transaction {
        Transaction {
            producer_id,
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            producer_epoch: 0,
            timeout_ms,
            status: Status::Empty,
            partitions: BTreeSet::new(),
            updated_ms: wall_ms,
            started_ms: NEVER_STARTED,
            client_version: 0,
        }
    }

    /// Whether no epoch is left for clients: the greatest one is kept to fence with.
    pub fn is_exhausted(&self) -> bool {
        is_exhausted(self.producer_epoch)
    }

    /// Whether `producer` is the one that was told to follow this one, whose epochs are used up, and is ahead of the markers.
    pub fn is_followed_by(&self, producer: (ProducerId, ProducerEpoch)) -> bool {
        self.status.is_prepared() && self.next_producer_id != NO_PRODUCER_ID && producer == (self.next_producer_id, 0)
    }

    /// When an open transaction has taken too long.
    pub fn overdue_ms(&self) -> Timestamp {
        self.started_ms.saturating_add(i64::from(self.timeout_ms))
    }
}

/// Whether a producer at `epoch` cannot be given a higher one.
pub fn is_exhausted(epoch: ProducerEpoch) -> bool {
    epoch >= ProducerEpoch::MAX - 1
}

/// Who last used a transactional id, as far as this broker has seen since its start; empty texts when it has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// What it calls itself.
    pub id: Arc<str>,
    /// Where it came from.
    pub host: Arc<str>,
}

/// A transactional id: what the log says of it, and what is not durable.
#[derive(Debug)]
pub struct Entry {
    /// What the log says.
    pub durable: Transaction,
    /// The epoch before the last bump that the producer itself asked for: it may ask again (KIP-360).
    pub last_epoch: ProducerEpoch,
    /// Who uses it.
    pub client: Client,
    /// When it is looked at whether the open transaction has taken too long. It may be of one that has ended since.
    pub times_out: Option<Instant>,
    /// Requests that came while markers are being written, until when they may wait.
    pub waiting: VecDeque<(Input, ReplyTo, Instant)>,
}

impl Entry {
    /// As a record says.
    pub fn new(durable: Transaction) -> Entry {
        Entry {
            durable,
            last_epoch: NO_PRODUCER_EPOCH,
            client: Client::default(),
            times_out: None,
            waiting: VecDeque::new(),
        }
    }
}
