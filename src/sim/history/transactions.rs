//! What clients did and learned about transactions.

use super::{Bounds, Moment};
use crate::model::error_code::ErrorCode;
use crate::model::ids::{PartitionId, PartitionIndex, ProducerEpoch, ProducerId, Uuid};
use crate::model::offset::Offset;
use crate::protocol::api::ApiKey;

/// Names a transaction: clients number them in the order in which they begin them.
pub type TransactionNumber = u32;

/// Names an instance of a transactional id: whoever is given a producer id and an epoch is another one.
pub type InstanceNumber = u32;

/// A record that was written in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// The transaction.
    pub transaction: TransactionNumber,
    /// The record's number in it.
    pub number: u32,
    /// What it says.
    pub content: Content,
}

/// What a record of a transaction says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// Nothing.
    Plain,
    /// Something is added to an account, or taken from it.
    Transfer {
        /// How much.
        amount: i64,
    },
    /// It is the copy of another record.
    Copy {
        /// The partition of the other record.
        from: PartitionIndex,
        /// Its offset.
        offset: Offset,
    },
}

/// A batch of a partition, as it lies in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedBatch {
    /// Its first offset.
    pub base_offset: Offset,
    /// Its producer.
    pub producer_id: ProducerId,
    /// What it is.
    pub kind: Logged,
}

/// What a batch of a log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logged {
    /// Records.
    Items(Vec<(Offset, Item)>),
    /// The marker that ends a transaction.
    Marker {
        /// Whether the transaction counts.
        is_commit: bool,
    },
}

/// See the module.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each variant's text explains its fields")]
pub enum TransactionEvent {
    /// An instance of a transactional id was given its producer: all instances before it are fenced.
    Initialised { id: u32, instance: InstanceNumber, producer_id: ProducerId, epoch: ProducerEpoch },
    /// An instance is about to write its next transaction.
    Begun { transaction: TransactionNumber, id: u32, instance: InstanceNumber },
    /// Records are about to be sent, for the first time or again.
    Sent { transaction: TransactionNumber, place: PartitionId, items: Vec<Item> },
    /// They were acknowledged, the record numbered `first` at an offset that is told unless it was told before; `asked` when
    /// they were sent first.
    Appended {
        transaction: TransactionNumber,
        place: PartitionId,
        asked: Moment,
        first: u32,
        base_offset: Option<Offset>,
    },
    /// The end of the transaction is about to be asked for, for the first time or again.
    EndAsked { transaction: TransactionNumber, commit: bool },
    /// The transaction was ended; `asked` when that was asked for first.
    Ended { transaction: TransactionNumber, asked: Moment, commit: bool, epoch: ProducerEpoch },
    /// What an instance asked for was refused for good.
    Refused { transaction: TransactionNumber, asked_for: ApiKey, code: ErrorCode },
    /// All that a `read_committed` consumer sees of `[from, next)`.
    Read { place: PartitionId, asked: Moment, from: Offset, next: Offset, bounds: Bounds, items: Vec<(Offset, Item)> },
    /// Everything in a partition while nobody writes: as `read_committed` consumers see it, and as it lies in the log.
    Drained { place: PartitionId, end: Offset, visible: Vec<(Offset, Item)>, logged: Vec<LoggedBatch> },
    /// The committed offset of a partition, for those who copy it; while nobody writes.
    CopiedUpTo { place: PartitionId, offset: Offset },
    /// Everything was told of every partition and every group while nobody wrote: `copied` is where from and where to.
    AllDrained { copied: Option<Copied> },
}

/// The topics of those who copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// What is copied.
    pub from: Uuid,
    /// Where it is copied to.
    pub to: Uuid,
}
