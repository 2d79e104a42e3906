//! What crosses the mesh, as plain data: questions of one reactor to another, and their answers.
//!
//! A request that touches partitions of another reactor costs one message there and one back, however many partitions
//! it touches. Requests carry slices of the frame, replies carry results and slices or file ranges of the log.

use std::sync::Arc;

use super::controller::{Command, Decided};
use super::lag::{OffsetsPart, Wanted};
use super::stats::ReactorStats;
use crate::base::block::Slice;
use crate::base::time::Instant;
use crate::coordinator::transaction::state::Client;
use crate::coordinator::{group, transaction};
use crate::io::socket::Accepted;
use crate::metadata::delta::Changes;
use crate::metadata::image::Image;
use crate::model::error_code::ClientError;
use crate::model::ids::PartitionId;
use crate::model::offset::{LeaderEpoch, Offset};
use crate::producer::state::MarkerFacts;
use crate::producer::transactions::Outcome;
use crate::protocol::messages::TxnOffsetCommitRequest;
use crate::shard::{Acks, Appended, Behind, Fetched, Isolation, ProducerDescription, RecoveredPart, TimestampOffset};

/// Names a question of one reactor until it is answered.
pub type CallId = u64;

/// A message from one reactor to another.
pub enum Message {
    /// A question.
    Ask {
        /// Its name among the asker's.
        call: CallId,
        /// What is asked.
        ask: Ask,
    },
    /// The answer to a question.
    Answer {
        /// The question's name.
        call: CallId,
        /// The answer.
        answer: Answer,
    },
    /// A question that waits (for data) is to be answered now with what there is.
    Hurry {
        /// The question's name among the sender's.
        call: CallId,
    },
    /// A connection to take on, and the number of the listener that accepted it.
    Connection(Box<Accepted>, usize),
    /// A connection that the receiver had handed over is gone.
    ConnectionClosed,
}

/// What a reactor starts with.
pub struct Start {
    /// The metadata as it was recovered.
    pub image: Arc<Image>,
    /// What its storage holds.
    pub part: RecoveredPart,
}

/// A question.
pub enum Ask {
    /// Start with this; the first question to every reactor but the one that leads.
    Start(Box<Start>),
    /// Append batches, in order.
    Produce(Box<Produce>),
    /// Read, perhaps after a wait.
    Fetch(Box<Fetch>),
    /// Offsets by time.
    Offsets(Vec<OffsetQuestion>),
    /// Where epochs end.
    EpochEnds(Vec<EpochQuestion>),
    /// Delete the oldest records.
    DeleteRecords(Vec<RecordDeletion>),
    /// What a coordinator of groups decides, perhaps after a wait.
    Group(Box<GroupQuestion>),
    /// What a coordinator of transactions decides.
    Transaction(Box<TransactionQuestion>),
    /// The committed offsets that the coordinators there keep.
    GroupOffsets(Wanted),
    /// How far readers are behind.
    Lag(Vec<LagQuestion>),
    /// Commit offsets in a transaction, once its coordinator has said that they may be part of it.
    TxnOffsetCommit(Box<TxnOffsetQuestion>),
    /// Append markers that end transactions.
    WriteMarkers(Vec<MarkerWrite>),
    /// Who produces to partitions.
    Producers(Vec<PartitionId>),
    /// A new image: open, close and configure what it says, then answer.
    Publish(Box<Publication>),
    /// A decision of the controller.
    Decide(Box<Command>),
    /// What the reactor counts.
    Stats,
    /// Take on nothing more and answer what is in flight.
    Stop,
    /// Finish the storage.
    Shutdown,
}

/// An answer; each question has its own kind.
pub enum Answer {
    /// How many partitions were opened, and how many logs that no topic has any more were removed; or why the reactor
    /// cannot start.
    Started(Result<(usize, usize), String>),
    /// One result a batch.
    Produced(Vec<Result<Appended, ClientError>>),
    /// One result a partition.
    Fetched(Vec<Result<Fetched, ClientError>>),
    /// One result a partition.
    Offsets(Vec<Result<TimestampOffset, ClientError>>),
    /// One result a partition.
    EpochEnds(Vec<Result<(LeaderEpoch, Offset), ClientError>>),
    /// The new log start offset, one result a partition.
    DeletedRecords(Vec<Result<Offset, ClientError>>),
    /// What the group's coordinator says.
    Group(Box<Result<group::machine::Reply, ClientError>>),
    /// What the transaction's coordinator says.
    Transaction(Box<Result<transaction::machine::Reply, ClientError>>),
    /// Group by group.
    GroupOffsets(OffsetsPart),
    /// One result a question.
    Lag(Vec<Result<Behind, ClientError>>),
    /// One result a marker.
    MarkersWritten(Vec<Result<Offset, ClientError>>),
    /// One result a partition.
    Producers(Vec<Result<Vec<ProducerDescription>, ClientError>>),
    /// The image is in force there.
    Published,
    /// What was decided.
    Decided(Box<Decided>),
    /// The reactor's counts.
    Stats(Box<ReactorStats>),
    /// Nothing is in flight there any more.
    Stopped,
    /// The storage is finished.
    Finished,
}

/// Offsets to be committed in a transaction.
pub struct TxnOffsetQuestion {
    /// The partition of `__consumer_offsets`.
    pub partition: PartitionId,
    /// Who asks.
    pub caller: group::machine::Caller,
    /// What is asked.
    pub request: TxnOffsetCommitRequest,
}

/// A marker for a partition.
#[derive(Clone, Copy)]
pub struct MarkerWrite {
    /// The partition.
    pub partition: PartitionId,
    /// Whose transaction ends, and by whose word.
    pub facts: MarkerFacts,
    /// How.
    pub outcome: Outcome,
}

/// In whose transaction a request's batches are.
#[derive(Clone)]
pub struct Transactional {
    /// The transactional id.
    pub transactional_id: Arc<str>,
    /// The version of Produce, which says what the client understands.
    pub produce_version: i16,
    /// Who sent it.
    pub client: Client,
}

/// Batches of one request for one reactor.
pub struct Produce {
    /// When the answer is due.
    pub acks: Acks,
    /// In whose transaction the transactional ones are.
    pub transactional: Option<Transactional>,
    /// Partition and batch, in the order of the request.
    pub batches: Vec<(PartitionId, Slice)>,
}

/// Partitions of one fetch on one reactor.
#[derive(Clone)]
pub struct Fetch {
    /// What may be seen.
    pub isolation: Isolation,
    /// Bytes of all partitions together at most, but for one batch.
    pub bytes_max: u32,
    /// Bytes to wait for, 0 not to wait.
    pub bytes_min: u32,
    /// Until when to wait.
    pub deadline: Instant,
    /// The partitions, in the order in which room is given out.
    pub parts: Vec<FetchPart>,
}

/// One partition of a fetch.
#[derive(Clone, Copy)]
pub struct FetchPart {
    /// The partition.
    pub partition: PartitionId,
    /// The first offset.
    pub offset: Offset,
    /// Bytes at most, but for the first batch of the fetch.
    pub bytes_max: u32,
    /// The leader epoch that the client knows, -1 for none.
    pub current_leader_epoch: LeaderEpoch,
}

/// A question for an offset by time.
#[derive(Clone, Copy)]
pub struct OffsetQuestion {
    /// The partition.
    pub partition: PartitionId,
    /// Milliseconds, or one of [`crate::model::offset::list_offsets`].
    pub timestamp: i64,
    /// What may be seen.
    pub isolation: Isolation,
    /// The leader epoch that the client knows, -1 for none.
    pub current_leader_epoch: LeaderEpoch,
}

/// A question for the end of an epoch.
#[derive(Clone, Copy)]
pub struct EpochQuestion {
    /// The partition.
    pub partition: PartitionId,
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The leader epoch that the client knows, -1 for none.
    pub current_leader_epoch: LeaderEpoch,
}

/// A wish that a partition's oldest records be deleted.
#[derive(Clone, Copy)]
pub struct RecordDeletion {
    /// The partition.
    pub partition: PartitionId,
    /// The first offset to keep, -1 for the high watermark.
    pub before: Offset,
}

/// How far is a reader at an offset behind?
#[derive(Clone, Copy)]
pub struct LagQuestion {
    /// The partition.
    pub partition: PartitionId,
    /// The reader's next record.
    pub offset: Offset,
}

/// A question for a coordinator of groups.
pub struct GroupQuestion {
    /// Its partition of `__consumer_offsets`.
    pub partition: PartitionId,
    /// The question.
    pub input: group::machine::Input,
}

/// A question for a coordinator of transactions.
pub struct TransactionQuestion {
    /// Its partition of `__transaction_state`.
    pub partition: PartitionId,
    /// The question.
    pub input: transaction::machine::Input,
}

/// A new image and what is new in it.
#[derive(Clone)]
pub struct Publication {
    /// The image.
    pub image: Arc<Image>,
    /// How it differs from the one before.
    pub changes: Arc<Changes>,
}
