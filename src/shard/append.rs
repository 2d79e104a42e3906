//! What an append to one partition means: validation, deduplication, the log, and when it is acknowledged.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::shard::Shard;
use crate::base::oneshot;
use crate::base::time::Duration;
use crate::log::AppendError;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::offset::{NO_TIMESTAMP, Offset, Timestamp};
use crate::producer::snapshot;
use crate::producer::state::{BatchFacts, Verdict};
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

pub(super) fn gone() -> ClientError {
    ClientError::new(ErrorCode::NotLeaderOrFollower, "the partition is no longer here: refresh the metadata")
}

/// An append that waits for room.
pub(super) struct Parked {
    batch: Vec<u8>,
    acks: Acks,
    placed: oneshot::Sender<Append>,
}

impl Shard {
    /// Places the batch in the log, in the order of calls, before it returns; what it returns resolves when `acks` is
    /// satisfied.
    ///
    /// Resolves to an error when the batch is refused: MESSAGE_TOO_LARGE, CORRUPT_MESSAGE, INVALID_RECORD,
    /// INVALID_TIMESTAMP, UNSUPPORTED_COMPRESSION_TYPE, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, and
    /// KAFKA_STORAGE_ERROR when the disk is full or failed.
    pub fn append(self: &Rc<Self>, batch: &[u8], acks: Acks) -> Append {
        let parked = self.is_parked();
        if !parked && let Some(append) = self.try_append(batch, acks) {
            return append;
        }
        self.park(batch, acks)
    }

    /// Decides about the batch; `None` when the journal has no room for it just now.
    fn try_append(self: &Rc<Self>, batch: &[u8], acks: Acks) -> Option<Append> {
        match self.place(batch) {
            Ok(Some((appended, end))) => Some(self.acknowledge(appended, end, acks)),
            Ok(None) => None,
            Err(error) => Some(Append::Done(Some(Err(error)))),
        }
    }

    /// Places the batch: what to answer, and the offset that has to be committed first.
    fn place(self: &Rc<Self>, batch: &[u8]) -> Result<Option<(Appended, Offset)>, ClientError> {
        let settings = self.settings();
        if self.storage().low_on_space() && !settings.uses_reserve {
            return Err(disk_full());
        }
        let checked = validate(batch, &settings.rules(), self.io().wall_ms())?;
        let facts = facts(&checked);
        if facts.has_producer() {
            match self.producers().borrow().check(&facts) {
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
        let placed = match self.log().append(batch, stamp, || snapshot::encode(&self.producers().borrow())) {
            Ok(placed) => placed,
            Err(AppendError::Busy) => return Ok(None),
            Err(error) => return Err(refusal(error)),
        };
        if facts.has_producer() {
            self.producers().borrow_mut().commit(&facts, placed.base_offset, checked.max_timestamp);
        }
        if settings.write_caching {
            self.advance(placed.next_offset);
        }
        let appended = self.appended(placed.base_offset, settings.timestamp_type, checked.max_timestamp);
        Ok(Some((appended, placed.next_offset)))
    }

    fn appended(&self, base_offset: Offset, timestamp_type: TimestampType, timestamp: Timestamp) -> Appended {
        let append_time = timestamp_type == TimestampType::LogAppendTime;
        Appended {
            base_offset,
            log_append_time_ms: if append_time { timestamp } else { NO_TIMESTAMP },
            log_start_offset: self.log().start(),
        }
    }

    fn acknowledge(&self, appended: Appended, end: Offset, acks: Acks) -> Append {
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

    fn park(self: &Rc<Self>, batch: &[u8], acks: Acks) -> Append {
        let mut parked = self.parked().borrow_mut();
        let bytes: usize = parked.iter().map(|parked| parked.batch.len()).sum();
        if bytes + batch.len() > PARKED_BYTES_MAX && !parked.is_empty() {
            let message = "the disk is slower than what is produced, and no more can wait: try again";
            return Append::Done(Some(Err(ClientError::new(ErrorCode::KafkaStorageError, message))));
        }
        let (placed, receiver) = oneshot::channel();
        parked.push_back(Parked { batch: batch.to_vec(), acks, placed });
        drop(parked);
        if !self.unparking().replace(true) {
            let shard = Rc::clone(self);
            self.io().spawn(async move { shard.unpark().await });
        }
        Append::Parked(receiver)
    }

    /// Places the parked appends in their order as soon as there is room.
    async fn unpark(self: Rc<Self>) {
        self.io().sleep(PARKED_RETRY).await;
        loop {
            let Some(next) = self.parked().borrow_mut().pop_front() else { break };
            match self.try_append(&next.batch, next.acks) {
                Some(append) => next.placed.send(append),
                None => {
                    self.parked().borrow_mut().push_front(next);
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
        AppendError::Busy => unreachable!("a busy log is asked again"),
        AppendError::Memory => {
            ClientError::new(ErrorCode::KafkaStorageError, "the broker has no memory left: try again")
        }
    }
}
