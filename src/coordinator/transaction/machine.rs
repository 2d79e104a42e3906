//! The state machine of one partition of `__transaction_state`: which request goes where, and which record.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::describe::{Filter, Listed, Seen};
use super::markers::Markers;
use super::record::{decode_key, decode_value, record};
use super::state::{Client, Entry, Touched, Transaction};
use crate::base::time::Instant;
use crate::coordinator::machine::{Effects, Machine, ReplyTo, Situation, SnapshotRun, TransactionOf};
use crate::metadata::delta::Changes;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{ProducerEpoch, ProducerId};

/// What a coordinator of transactions is asked.
#[derive(Clone, Debug)]
pub enum Input {
    /// Who stands for a transactional id from now on (InitProducerId).
    Begin(Begin),
    /// A transaction touches partitions, or does it? (AddPartitionsToTxn, AddOffsetsToTxn, and Produce itself).
    Enlist(Enlist),
    /// A transaction is to be committed or aborted (EndTxn).
    End(End),
    /// An administrator ends a transaction that hangs: it is aborted and its producer fenced.
    Abort {
        /// Whose.
        transactional_id: String,
        /// The producer it is known to have: another one's transaction is left alone.
        producer_id: ProducerId,
        /// Its epoch.
        producer_epoch: ProducerEpoch,
    },
    /// What is known of these transactional ids (DescribeTransactions).
    Describe(Vec<String>),
    /// Which transactional ids there are (ListTransactions).
    List(Filter),
    /// The next markers to be written, as soon as there are any. One may wait at a time.
    TakeMarkers,
    /// All markers of a transaction are written.
    MarkersWritten(Markers),
}

/// See [`Input::Begin`].
#[derive(Clone, Debug)]
pub struct Begin {
    /// The transactional id.
    pub transactional_id: String,
    /// How long its transactions may take.
    pub timeout_ms: i32,
    /// The producer and epoch that the client holds (KIP-360).
    pub expected: Option<(ProducerId, ProducerEpoch)>,
    /// An id that nobody has, if the caller has been asked for one.
    pub fresh: Option<ProducerId>,
    /// Who asks.
    pub client: Client,
}

/// See [`Input::Enlist`].
#[derive(Clone, Debug)]
pub struct Enlist {
    /// The transactional id.
    pub transactional_id: String,
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// The partitions.
    pub partitions: Vec<Touched>,
    /// Nothing is added: the answer says whether they are part of the transaction.
    pub verify_only: bool,
    /// The client's `transaction.version`.
    pub client_version: i16,
    /// Who asks.
    pub client: Client,
}

/// See [`Input::End`].
#[derive(Clone, Debug)]
pub struct End {
    /// The transactional id.
    pub transactional_id: String,
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// Whether to commit.
    pub commit: bool,
    /// The client's `transaction.version`.
    pub client_version: i16,
    /// An id that nobody has, if the caller has been asked for one.
    pub fresh: Option<ProducerId>,
}

/// What it answers, for each request its own.
#[derive(Debug)]
pub enum Reply {
    /// The request was refused.
    Refused(ClientError),
    /// The request is to be repeated with a fresh producer id.
    NeedsProducerId,
    /// The producer and epoch that stand for the transactional id now, to Begin and to End.
    Producer(ProducerId, ProducerEpoch),
    /// What came of each partition, in the order of the request.
    Enlisted(Vec<Option<ClientError>>),
    /// The transaction will be aborted.
    Aborting,
    /// One answer a transactional id.
    Described(Vec<Result<Seen, ClientError>>),
    /// What passed the filter.
    Listed(Vec<Listed>),
    /// Markers to be written.
    Markers(Vec<Markers>),
    /// It has been noted.
    Noted,
}

/// What follows from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct TransactionConfig {
    /// `transaction.max.timeout.ms`.
    pub timeout_ms_max: i32,
    /// `transactional.id.expiration.ms`.
    pub expiration_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub expiry_interval_ms: i64,
    /// Transactional ids at most.
    pub ids_max: usize,
}

/// Transactional ids of one coordinator, of which a broker has fifty by default: what a client makes up cannot take all memory.
pub const IDS_MAX: usize = 100_000;

impl Default for TransactionConfig {
    /// Kafka's defaults.
    fn default() -> TransactionConfig {
        TransactionConfig {
            timeout_ms_max: 900_000,
            expiration_ms: 7 * 24 * 3_600_000,
            expiry_interval_ms: 3_600_000,
            ids_max: IDS_MAX,
        }
    }
}

/// Transactions of one partition of `__transaction_state`.
#[derive(Debug, Default)]
pub struct TransactionMachine {
    pub(super) config: TransactionConfig,
    pub(super) entries: BTreeMap<String, Entry>,
    /// Who uses the transactional id that the records being replayed make known.
    pub(super) newcomer: Client,
    /// When open transactions may have taken too long, one for each transactional id at most: each entry's `times_out`.
    pub(super) timeouts: BTreeSet<(Instant, String)>,
    pub(super) expiry_at: Option<Instant>,
    /// Who wants the next markers.
    pub(super) taker: Option<ReplyTo>,
    /// Decided transactions whose markers nobody has taken yet.
    pub(super) to_write: VecDeque<Markers>,
    /// Transactional ids whose transaction is complete and for which requests wait.
    pub(super) completed: VecDeque<String>,
    /// Until when requests wait, in order, and for which transactional id.
    pub(super) waits: VecDeque<(Instant, String)>,
    pub(super) waiting_count: usize,
}

impl TransactionMachine {
    /// An empty one.
    pub fn new(config: TransactionConfig) -> TransactionMachine {
        TransactionMachine { config, ..TransactionMachine::default() }
    }

    /// What is known of a transactional id.
    pub fn get(&self, transactional_id: &str) -> Option<&Transaction> {
        self.entries.get(transactional_id).map(|entry| &entry.durable)
    }

    /// All transactional ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Transaction)> {
        self.entries.iter().map(|(id, entry)| (id.as_str(), &entry.durable))
    }

    /// The effects of a change of a transactional id, and the reply about it.
    pub(super) fn change(transactional_id: &str, to: &Transaction, reply: Option<(ReplyTo, Reply)>) -> Effects<Reply> {
        Effects {
            records: vec![record(transactional_id, to)],
            replies: reply.into_iter().collect(),
            ..Effects::default()
        }
    }
}

/// The reply of a request that is refused.
pub(super) fn refused(to: ReplyTo, code: ErrorCode, message: impl Into<String>) -> Effects<Reply> {
    Effects::reply(to, Reply::Refused(ClientError::new(code, message)))
}

impl Machine for TransactionMachine {
    type Input = Input;
    type Reply = Reply;

    fn decide(&mut self, situation: &Situation<'_>, input: Input, to: ReplyTo) -> Effects<Reply> {
        match input {
            Input::Begin(begin) => self.begin(situation, begin, to),
            Input::Enlist(enlist) => self.enlist(situation, enlist, to),
            Input::End(end) => self.end(situation, end, to),
            Input::Abort { transactional_id, producer_id, producer_epoch } => {
                self.abort(situation, &transactional_id, (producer_id, producer_epoch), to)
            }
            Input::Describe(ids) => {
                Effects::reply(to, Reply::Described(ids.iter().map(|id| self.describe(id)).collect()))
            }
            Input::List(filter) => Effects::reply(to, Reply::Listed(self.list(&filter, situation.wall_ms))),
            Input::TakeMarkers => self.take_markers(to),
            Input::MarkersWritten(markers) => self.markers_written(situation, &markers, to),
        }
    }

    fn replay(&mut self, key: &[u8], value: Option<&[u8]>, _transaction: Option<TransactionOf>) -> Result<(), String> {
        let transactional_id = decode_key(key)?;
        let Some(value) = value else {
            self.entries.remove(transactional_id);
            return Ok(());
        };
        let durable = decode_value(value)?;
        match self.entries.get_mut(transactional_id) {
            Some(entry) => entry.durable = durable,
            None => {
                let client = std::mem::take(&mut self.newcomer);
                self.entries.insert(transactional_id.to_owned(), Entry { client, ..Entry::new(durable) });
            }
        }
        Ok(())
    }

    fn replay_marker(&mut self, _transaction: TransactionOf, _committed: bool) {
        // Nobody writes in a transaction here.
    }

    fn loaded(&mut self, situation: &Situation<'_>) -> Effects<Reply> {
        self.resume(situation);
        Effects::default()
    }

    fn image_changed(&mut self, _situation: &Situation<'_>, _changes: &Changes) -> Effects<Reply> {
        // A partition that is gone is found out by who writes its marker.
        Effects::default()
    }

    fn on_time(&mut self, situation: &Situation<'_>) -> Effects<Reply> {
        self.pass_time(situation)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.next_time()
    }

    fn snapshot(&self) -> Vec<SnapshotRun> {
        let records = self.iter().map(|(id, transaction)| record(id, transaction)).collect();
        vec![SnapshotRun { transaction: None, records }]
    }
}
