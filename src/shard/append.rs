//! What an append to one partition means: validation, deduplication, the log, and when it is acknowledged.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::shard::Shard;
use super::transactions::not_in_transaction;
use crate::base::oneshot;
use crate::base::time::Duration;
use crate::log::{AppendError, Precedence};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::offset::{NO_TIMESTAMP, Offset, Timestamp};
use crate::producer::snapshot;
use crate::producer::state::{BatchFacts, MarkerFacts, Verdict};
use crate::producer::transactions::Outcome;
use crate::record::{Checked, TimestampType, validate};

/// Bytes of appends that wait at one shard for room in the journal; more are refused.
const PARKED_BYTES_MAX: usize = 16 << 20;
/// How often a parked append is tried again.
const PARKED_RETRY: Duration = Duration::from_millis(1);

/// What a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nothing.
    None,
    /// The leader's disk (or its memory, with `write.caching`).
    Leader,
    /// All in-sync replicas.
    All,
}

/// What a producer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the batch's first record.
    pub base_offset: Offset,
    /// The batch's time with `message.timestamp.type=LogAppendTime`, otherwise -1.
    pub log_append_time_ms: Timestamp,
    /// The log start offset.
    pub log_start_offset: Offset,
}

/// An append that was placed; resolves when it is acknowledged. Dropping it changes nothing.
#[must_use]
pub enum Append {
    /// Decided already.
    Done(Option<Result<Appended, ClientError>>),
    /// In the log, not yet acknowledged.
    Placed(Appended, oneshot::Receiver<Result<(), ClientError>>),
    /// Not yet in the log, but in line for it.
    Parked(oneshot::Receiver<Append>),
}

impl Future for Append {
    type Output = Result<Appended, ClientError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match &mut *self {
                Append::Done(result) => {
                    return Poll::Ready(result.take().expect("not polled after it was done"));
                }
                Append::Placed(appended, released) => match Pin::new(released).poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(()))) => Append::Done(Some(Ok(*appended))),
                    Poll::Ready(Some(Err(error))) => Append::Done(Some(Err(error))),
                    Poll::Ready(None) => Append::Done(Some(Err(gone()))),
                },
                Append::Parked(placed) => match Pin::new(placed).poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(append)) => append,
                    Poll::Ready(None) => Append::Done(Some(Err(gone()))),
                },
            };
            *self = next;
        }
    }
}

impl Append {
    /// An append that was refused.
    pub(super) fn refused(error: ClientError) -> Append {
        Append::Done(Some(Err(error)))
    }
}

/// On whose word a batch is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appender {
    /// The client's own: it opens no transaction.
    Client,
    /// The transaction coordinator has said that the partition is part of the transaction.
    Verified {
        /// See [`ProducerStates::check_as`](crate::producer::state::ProducerStates::check_as).
        bumps_epoch: bool,
    },
    /// A coordinator of this broker writes into its own partition: its batches have no sequence numbers.
    Coordinator,
}

/// What is appended.
pub(super) enum Work {
    Batch { batch: Vec<u8>, acks: Acks, appender: Appender },
    Marker { facts: MarkerFacts, outcome: Outcome },
}

impl Work {
    fn bytes(&self) -> usize {
        match self {
            Work::Batch { batch, .. } => batch.len(),
            Work::Marker { .. } => size_of::<Work>(),
        }
    }
}

pub(super) fn gone() -> ClientError {
    ClientError::new(ErrorCode::NotLeaderOrFollower, "the partition is no longer here: refresh the metadata")
}

/// An append that waits for room.
struct Parked {
    work: Work,
    placed: oneshot::Sender<Append>,
}

/// The appends that wait for room, in their order.
#[derive(Default)]
pub(super) struct ParkedQueue {
    queue: VecDeque<Parked>,
    /// Bytes of all of them.
    bytes: usize,
}

impl ParkedQueue {
    fn takes(&self, work: &Work) -> bool {
        self.queue.is_empty() || self.bytes + work.bytes() <= PARKED_BYTES_MAX
    }

    fn push(&mut self, parked: Parked) {
        self.bytes += parked.work.bytes();
        self.queue.push_back(parked);
    }

    /// The one whose turn it is.
    fn next(&self) -> Option<&Work> {
        self.queue.front().map(|next| &next.work)
    }

    /// Takes out the batches; markers stay.
    fn take_batches(&mut self) -> VecDeque<Parked> {
        let (batches, markers) = self.queue.drain(..).partition(|one| matches!(one.work, Work::Batch { .. }));
        self.queue = markers;
        self.bytes = self.queue.iter().map(|one| one.work.bytes()).sum();
        batches
    }

    fn pop(&mut self) -> Option<Parked> {
        let next = self.queue.pop_front()?;
        self.bytes -= next.work.bytes();
        Some(next)
    }

    fn put_back(&mut self, next: Parked) {
        self.bytes += next.work.bytes();
        self.queue.push_front(next);
    }

    /// Gives them all up.
    pub fn clear(&mut self) {
        *self = ParkedQueue::default();
    }
}

impl Shard {
    /// Places the batch in the log, in the order of calls, before it returns; what it returns resolves when `acks` is
    /// satisfied.
    ///
    /// Resolves to an error when the batch is refused: MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE, CORRUPT_MESSAGE, INVALID_RECORD,
    /// INVALID_TIMESTAMP, UNSUPPORTED_COMPRESSION_TYPE, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, and
    /// KAFKA_STORAGE_ERROR when the disk is full or failed.
    pub fn append(self: &Rc<Self>, batch: &[u8], acks: Acks) -> Append {
        self.append_as(batch, acks, Appender::Client)
    }

    pub(super) fn append_as(self: &Rc<Self>, batch: &[u8], acks: Acks, appender: Appender) -> Append {
        let parked = self.is_parked();
        if !parked && let Some(append) = self.try_append(batch, acks, appender) {
            return append;
        }
        if self.gives_way() {
            return Append::refused(disk_full());
        }
        self.park(Work::Batch { batch: batch.to_vec(), acks, appender })
    }

    /// Does `work` now, or in its turn when there is room for it.
    pub(super) fn work(self: &Rc<Self>, work: Work) -> Append {
        let parked = self.is_parked();
        if !parked && let Some(append) = self.try_work(&work) {
            return append;
        }
        self.park(work)
    }

    fn try_work(self: &Rc<Self>, work: &Work) -> Option<Append> {
        match work {
            Work::Batch { batch, acks, appender } => self.try_append(batch, *acks, *appender),
            Work::Marker { facts, outcome } => self.try_marker(facts, *outcome),
        }
    }

    /// Decides about the batch; `None` when the journal has no room for it just now.
    fn try_append(self: &Rc<Self>, batch: &[u8], acks: Acks, appender: Appender) -> Option<Append> {
        match self.place(batch, appender) {
            Ok(Some((appended, end))) => Some(self.acknowledge(appended, end, acks)),
            Ok(None) => None,
            Err(error) => Some(Append::refused(error)),
        }
    }

    /// Places the batch: what to answer, and the offset that has to be committed first.
    fn place(self: &Rc<Self>, batch: &[u8], appender: Appender) -> Result<Option<(Appended, Offset)>, ClientError> {
        let settings = self.settings();
        if self.gives_way() {
            return Err(disk_full());
        }
        let mut rules = settings.rules();
        rules.unnumbered = appender == Appender::Coordinator;
        let checked = validate(batch, &rules, self.io().wall_ms())?;
        if batch.len() > settings.segment_bytes as usize && appender != Appender::Coordinator {
            return Err(larger_than_a_segment(batch.len(), settings.segment_bytes));
        }
        let facts = facts(&checked);
        if facts.has_producer() {
            match self.judge(&facts, appender) {
                Verdict::Append => {}
                Verdict::Refuse(error) => return Err(error),
                Verdict::Duplicate { base_offset, last_offset, timestamp } => {
                    let appended = self.appended(base_offset, settings.timestamp_type, timestamp);
                    return Ok(Some((appended, last_offset + 1)));
                }
            }
        }
        let epoch = self.leader_epoch();
        let stamp = |copy: &mut [u8], base_offset: Offset| checked.stamp(copy, base_offset, epoch);
        let placed =
            match self.log().append(batch, settings.precedence, stamp, || snapshot::encode(&self.producers().borrow()))
            {
                Ok(placed) => placed,
                Err(AppendError::Busy) => return Ok(None),
                Err(error) => return Err(refusal(error)),
            };
        if facts.has_producer() {
            self.note_batch(&facts, placed.base_offset, checked.max_timestamp);
        }
        if settings.write_caching {
            self.advance(placed.next_offset);
        }
        let appended = self.appended(placed.base_offset, settings.timestamp_type, checked.max_timestamp);
        Ok(Some((appended, placed.next_offset)))
    }

    /// What the producers' state says of a batch.
    fn judge(&self, facts: &BatchFacts, appender: Appender) -> Verdict {
        let producers = self.producers().borrow();
        let bumps_epoch = appender == Appender::Verified { bumps_epoch: true };
        let verdict = match appender {
            Appender::Coordinator => return producers.check_from_coordinator(facts),
            Appender::Client | Appender::Verified { .. } => producers.check_as(facts, bumps_epoch),
        };
        let opens =
            facts.is_transactional && !producers.has_ongoing_transaction(facts.producer_id, facts.producer_epoch);
        if verdict == Verdict::Append && opens && appender == Appender::Client {
            return Verdict::Refuse(not_in_transaction(facts));
        }
        verdict
    }

    fn appended(&self, base_offset: Offset, timestamp_type: TimestampType, timestamp: Timestamp) -> Appended {
        let append_time = timestamp_type == TimestampType::LogAppendTime;
        Appended {
            base_offset,
            log_append_time_ms: if append_time { timestamp } else { NO_TIMESTAMP },
            log_start_offset: self.log().durable_start(),
        }
    }

    pub(super) fn acknowledge(&self, appended: Appended, end: Offset, acks: Acks) -> Append {
        if acks == Acks::None || self.high_watermark() >= end {
            return Append::Done(Some(Ok(appended)));
        }
        // With one replica the leader's disk and all in-sync replicas are the same.
        let (sender, receiver) = oneshot::channel();
        self.waiters().park(end, sender);
        if let Some(reason) = self.storage().failure() {
            self.waiters().fail(&offline(&reason));
        }
        Append::Placed(appended, receiver)
    }

    fn park(self: &Rc<Self>, work: Work) -> Append {
        let mut parked = self.parked().borrow_mut();
        if !parked.takes(&work) {
            let message = "the disk is slower than what is produced, and no more can wait: try again";
            return Append::refused(ClientError::new(ErrorCode::KafkaStorageError, message));
        }
        let (placed, receiver) = oneshot::channel();
        parked.push(Parked { work, placed });
        drop(parked);
        if !self.unparking().replace(true) {
            let shard = Rc::clone(self);
            self.io().spawn(async move { shard.unpark().await });
        }
        Append::Parked(receiver)
    }

    /// Bytes and precedence of what is parked first. A marker ends what clients wait for, so it goes before their records;
    /// batches behind it are refused on a full disk as those before it are.
    fn next_parked(&self) -> Option<(usize, Precedence)> {
        if self.gives_way() {
            let batches = self.parked().borrow_mut().take_batches();
            batches.into_iter().for_each(|one| one.placed.send(Append::refused(disk_full())));
        }
        let parked = self.parked().borrow();
        let next = parked.next()?;
        let precedence = match next {
            Work::Batch { .. } => self.settings().precedence,
            Work::Marker { .. } => Precedence::Coordination,
        };
        Some((next.bytes(), precedence))
    }

    /// Whether so little space is left that only what goes before `precedence` may have it.
    pub fn leaves_room(&self, bytes: usize, precedence: Precedence) -> bool {
        self.storage().low_on_space() && self.log().is_full_for(bytes, precedence)
    }

    /// Whether appends are refused because the disk is full up to its reserve.
    fn gives_way(&self) -> bool {
        self.storage().low_on_space() && self.settings().precedence == Precedence::Records
    }

    /// Places the parked appends in their order as soon as there is room.
    async fn unpark(self: Rc<Self>) {
        self.io().sleep(PARKED_RETRY).await;
        while let Some((bytes, precedence)) = self.next_parked() {
            // Room is looked for before the batch is judged: while there is none, that is all a try costs.
            if self.log().is_full_for(bytes, precedence) {
                self.io().sleep(PARKED_RETRY).await;
                continue;
            }
            let Some(next) = self.parked().borrow_mut().pop() else { break };
            match self.try_work(&next.work) {
                Some(append) => next.placed.send(append),
                None => {
                    self.parked().borrow_mut().put_back(next);
                    self.io().sleep(PARKED_RETRY).await;
                }
            }
        }
        self.unparking().set(false);
    }
}

pub(super) fn facts(checked: &Checked) -> BatchFacts {
    BatchFacts {
        producer_id: checked.producer_id,
        producer_epoch: checked.producer_epoch,
        base_sequence: checked.base_sequence,
        last_offset_delta: checked.last_offset_delta,
        is_transactional: checked.is_transactional,
    }
}

fn larger_than_a_segment(bytes: usize, segment_bytes: u32) -> ClientError {
    let message =
        format!("a batch of {bytes} bytes is larger than segment.bytes, which is {segment_bytes}: send smaller ones");
    ClientError::new(ErrorCode::RecordListTooLarge, message)
}

fn disk_full() -> ClientError {
    ClientError::new(
        ErrorCode::KafkaStorageError,
        "the disk is full up to its reserve: delete topics or records, or add space; produce goes on by itself then",
    )
}

pub(super) fn offline(reason: &str) -> ClientError {
    let message = format!("the storage is offline because a durable write failed ({reason}): see the broker's log");
    ClientError::new(ErrorCode::KafkaStorageError, message)
}

pub(super) fn refusal(error: AppendError) -> ClientError {
    match error {
        AppendError::Corrupt => {
            ClientError::new(ErrorCode::CorruptMessage, "the batch's CRC-32C does not fit its bytes: send it again")
        }
        AppendError::Offline(reason) => offline(&reason),
        AppendError::Closed => ClientError::new(ErrorCode::NotLeaderOrFollower, "the broker is stopping: try again"),
        AppendError::Busy => {
            let message = "the journal has no room, and the disk none to make some: free space, then try again";
            ClientError::new(ErrorCode::KafkaStorageError, message)
        }
        AppendError::Full => disk_full(),
        AppendError::Memory => {
            ClientError::new(ErrorCode::KafkaStorageError, "the broker has no memory left: try again")
        }
    }
}
