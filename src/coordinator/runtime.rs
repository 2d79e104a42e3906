//! The shell of one coordinator: makes durable what its machine decides, and lets nobody know before.
//!
//! A decision's records are appended to the partition as one batch and replayed into the machine at once; its replies get
//! in line behind those of earlier decisions and leave when the log has made the records durable. A failed append means
//! that the machine is ahead of the log: everybody who waits is told, the machine is dropped, and another one is loaded,
//! unless the storage is offline.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::machine::{CoordinatorRecord, DECISION_BYTES_MAX, Effects, Machine, ReplyTo, Situation, TransactionOf};
use crate::base::oneshot;
use crate::base::time::Instant;
use crate::io::Handle;
use crate::metadata::delta::Changes;
use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::record::control::END_TRANSACTION_BATCH_BYTES;
use crate::shard::{Append, Appended, Shard};
use held::{Held, Release};

mod compact;
mod drive;
mod encode;
mod held;
mod load;

pub use compact::CompactionLimits;

/// Tombstones of one batch. A key holds two names of at most 32 KiB, and mostly of a few dozen bytes.
const TOMBSTONES_PER_BATCH: usize = 100;
const _: () = assert!(TOMBSTONES_PER_BATCH * (2 << 15) < DECISION_BYTES_MAX as usize, "the longest names fit");

/// Requests that may wait for one coordinator's replies: joins of a few large groups, and commits on their way to the disk.
const WAITING_MAX: usize = 20_000;

/// The coordinator of one partition. Requests come in by [`ask`](Coordinator::ask); a task of its own loads it, watches the
/// log and the time, and ends with [`close`](Coordinator::close).
pub struct Coordinator<M: Machine> {
    io: Handle,
    shard: Rc<Shard>,
    /// Of the partition, for log lines.
    name: String,
    make: Box<dyn Fn(&Image) -> M>,
    compaction: CompactionLimits,
    image: RefCell<Rc<Image>>,
    state: RefCell<State<M>>,
    driver: Driver,
}

struct State<M: Machine> {
    stage: Stage<M>,
    next_reply: u64,
    waiting: BTreeMap<ReplyTo, oneshot::Sender<Result<M::Reply, ClientError>>>,
    held: VecDeque<Held<M::Reply>>,
    /// Appends of a machine that was dropped: the log's end is known once they are settled.
    abandoned: VecDeque<Append>,
    growth: compact::Growth,
}

enum Stage<M> {
    /// The log is being replayed; after a failure, with the reason. A heartbeat that comes while it is merely being loaded is
    /// answered as if all were well, as Kafka does, and one that comes after a failure is not.
    Loading(Option<String>),
    Active(Box<M>),
    Closed,
}

/// What wakes the coordinator's task, and until when it sleeps.
#[derive(Default)]
struct Driver {
    waker: RefCell<Option<Waker>>,
    news: Cell<bool>,
    asleep_until: Cell<Option<Instant>>,
}

impl Driver {
    fn wake(&self) {
        self.news.set(true);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A request under way: resolves to its reply, or to why there is none. Dropping it takes nothing back.
#[must_use]
pub struct Asked<R>(oneshot::Receiver<Result<R, ClientError>>);

impl<R> Future for Asked<R> {
    type Output = Result<R, ClientError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or_else(|| Err(closed())))
    }
}

fn closed() -> ClientError {
    ClientError::new(ErrorCode::NotCoordinator, "the coordinator is no longer here: look for it again")
}

impl<M: Machine> Coordinator<M> {
    /// Starts the coordinator of a partition that is open; `make` gives it an empty machine.
    pub fn start(
        io: &Handle,
        shard: Rc<Shard>,
        name: String,
        image: Rc<Image>,
        compaction: CompactionLimits,
        make: Box<dyn Fn(&Image) -> M>,
    ) -> Rc<Coordinator<M>> {
        let coordinator = Rc::new(Coordinator {
            io: io.clone(),
            shard,
            name,
            make,
            compaction,
            image: RefCell::new(image),
            state: RefCell::new(State {
                stage: Stage::Loading(None),
                next_reply: 0,
                waiting: BTreeMap::new(),
                held: VecDeque::new(),
                abandoned: VecDeque::new(),
                growth: compact::Growth::default(),
            }),
            driver: Driver::default(),
        });
        io.spawn(Rc::clone(&coordinator).drive());
        coordinator
    }

    /// Puts a client's `input` to the machine, now; the reply may take until others have come.
    ///
    /// The error says that it was not put: COORDINATOR_LOAD_IN_PROGRESS and others where the machine is not loaded,
    /// COORDINATOR_NOT_AVAILABLE where too many wait.
    pub fn ask(&self, input: M::Input) -> Asked<M::Reply> {
        self.put(input, WAITING_MAX)
    }

    /// As [`ask`](Coordinator::ask), for the broker's own tasks, which are few: they are not refused because many clients wait.
    pub fn ask_from_within(&self, input: M::Input) -> Asked<M::Reply> {
        self.put(input, usize::MAX)
    }

    fn put(&self, input: M::Input, waiting_max: usize) -> Asked<M::Reply> {
        let (sender, receiver) = oneshot::channel();
        match self.admit(waiting_max) {
            Err(refusal) => sender.send(Err(refusal)),
            Ok(to) => {
                self.state.borrow_mut().waiting.insert(to, sender);
                self.call(|machine, situation| machine.decide(situation, input, to));
            }
        }
        Asked(receiver)
    }

    fn admit(&self, waiting_max: usize) -> Result<ReplyTo, ClientError> {
        let mut state = self.state.borrow_mut();
        self.check_stage(&state)?;
        if state.waiting.len() >= waiting_max {
            let message = format!("{waiting_max} requests wait for {} already: try again later", self.name);
            return Err(ClientError::new(ErrorCode::CoordinatorNotAvailable, message));
        }
        state.next_reply += 1;
        Ok(ReplyTo(state.next_reply))
    }

    fn check_stage(&self, state: &State<M>) -> Result<(), ClientError> {
        match &state.stage {
            Stage::Active(_) => Ok(()),
            Stage::Loading(None) => {
                let message = format!("{} is being loaded: try again", self.name);
                Err(ClientError::new(ErrorCode::CoordinatorLoadInProgress, message))
            }
            Stage::Loading(Some(reason)) if self.shard.storage_failure().is_some() => {
                let message = format!("{} ended with its storage ({reason}): see the broker's log", self.name);
                Err(ClientError::new(ErrorCode::NotCoordinator, message))
            }
            Stage::Loading(Some(reason)) => {
                let message = format!("{} is not available ({reason}): see the broker's log", self.name);
                Err(ClientError::new(ErrorCode::CoordinatorNotAvailable, message))
            }
            Stage::Closed => Err(closed()),
        }
    }

    /// Has the marker that ends `transaction` appended by `append` and replayed, in order with the machine's decisions.
    /// Resolves when it is durable.
    ///
    /// The error of a marker that was refused, or of a coordinator that is not loaded: the marker is to be sent again.
    pub fn append_marker(
        &self,
        transaction: TransactionOf,
        committed: bool,
        append: impl FnOnce(&Rc<Shard>) -> Append,
    ) -> Asked<Appended> {
        let (sender, receiver) = oneshot::channel();
        let checked = self.check_stage(&self.state.borrow());
        if let Err(refusal) = checked {
            sender.send(Err(refusal));
            return Asked(receiver);
        }
        match append(&self.shard) {
            Append::Done(Some(Err(refusal))) => sender.send(Err(refusal)),
            append => {
                {
                    let mut state = self.state.borrow_mut();
                    state.growth.appended(END_TRANSACTION_BATCH_BYTES);
                    if let Stage::Active(machine) = &mut state.stage {
                        machine.replay_marker(transaction, committed);
                    }
                }
                self.hold(Held { append: Some(append), release: Release::Marker(sender) });
                self.look_at_deadline();
            }
        }
        Asked(receiver)
    }

    /// Puts another image in force.
    pub fn image_changed(&self, image: Rc<Image>, changes: &Changes) {
        *self.image.borrow_mut() = image;
        self.call(|machine, situation| machine.image_changed(situation, changes));
    }

    /// Ends it: the partition is gone, or the broker stops. Everybody who waits is told to look for the coordinator again.
    pub fn close(&self) {
        self.end(Stage::Closed, &closed());
    }

    /// Whether it has been loaded and answers.
    pub fn is_active(&self) -> bool {
        matches!(self.state.borrow().stage, Stage::Active(_))
    }

    /// Looks into the machine, if it is loaded; changes nothing.
    pub fn peek<T>(&self, look: impl FnOnce(&M) -> T) -> Option<T> {
        match &self.state.borrow().stage {
            Stage::Active(machine) => Some(look(machine)),
            _ => None,
        }
    }

    /// Calls the machine, if it is loaded, and carries out what it decides.
    fn call(&self, decide: impl FnOnce(&mut M, &Situation<'_>) -> Effects<M::Reply>) {
        let image = Rc::clone(&self.image.borrow());
        let situation = Situation {
            now: self.io.now(),
            wall_ms: self.io.wall_ms(),
            image: &image,
            random: u128::from(self.io.random()) << 64 | u128::from(self.io.random()),
        };
        let effects = match &mut self.state.borrow_mut().stage {
            Stage::Active(machine) => decide(machine, &situation),
            _ => return,
        };
        self.carry_out(effects);
        self.look_at_deadline();
    }

    fn carry_out(&self, effects: Effects<M::Reply>) {
        let Effects { records, transaction, replies } = effects;
        for part in parts(&records) {
            match self.append_and_replay(part, transaction) {
                Ok(placed) => self.hold(Held { append: Some(placed), release: Release::Nothing }),
                Err(error) => return self.fail(&error),
            }
        }
        self.hold(Held { append: None, release: Release::Replies(replies) });
    }

    /// Appends `records` as one batch and lets the machine replay them.
    fn append_and_replay(
        &self,
        records: &[CoordinatorRecord],
        transaction: Option<TransactionOf>,
    ) -> Result<Append, ClientError> {
        let batch = encode::batch(records, transaction, self.io.wall_ms());
        if batch.len() > DECISION_BYTES_MAX as usize {
            return Err(too_large(batch.len()));
        }
        let placed = match self.append(&batch) {
            Append::Done(Some(Err(error))) => return Err(error),
            placed => placed,
        };
        let mut state = self.state.borrow_mut();
        state.growth.appended(batch.len());
        if let Stage::Active(machine) = &mut state.stage {
            for record in records {
                if let Err(reason) = machine.replay(&record.key, record.value.as_deref(), transaction) {
                    tracing::error!(coordinator = self.name, "a decision does not replay: {reason}");
                }
            }
        }
        Ok(placed)
    }

    /// Appends a batch of the machine's own, which knows what is in a transaction.
    fn append(&self, batch: &[u8]) -> Append {
        self.shard.append_from_coordinator(batch)
    }

    /// Gets `held` in line; what waits for nothing leaves at once.
    fn hold(&self, held: Held<M::Reply>) {
        let is_first = self.state.borrow().held.is_empty();
        if is_first && held.append.is_none() {
            return self.release(held.release, Ok(None));
        }
        self.state.borrow_mut().held.push_back(held);
        if is_first {
            self.driver.wake();
        }
    }

    fn reply(&self, replies: Vec<(ReplyTo, M::Reply)>) {
        for (to, reply) in replies {
            let sender = self.state.borrow_mut().waiting.remove(&to);
            if let Some(sender) = sender {
                sender.send(Ok(reply));
            }
        }
    }

    /// An append has failed: the machine is ahead of the log.
    fn fail(&self, error: &ClientError) {
        tracing::warn!(coordinator = self.name, %error, "an append failed: the coordinator is loaded again");
        self.end(Stage::Loading(Some("an append failed".into())), &as_coordinator_error(error));
    }

    fn end(&self, stage: Stage<M>, error: &ClientError) {
        let (waiting, held) = {
            let mut state = self.state.borrow_mut();
            state.stage = stage;
            (std::mem::take(&mut state.waiting), std::mem::take(&mut state.held))
        };
        for held in held {
            self.state.borrow_mut().abandoned.extend(held.append);
            if let Release::Marker(sender) = held.release {
                sender.send(Err(error.clone()));
            }
        }
        for sender in waiting.into_values() {
            sender.send(Err(error.clone()));
        }
        self.driver.wake();
    }

    /// Wakes the task when it would sleep beyond the machine's next deadline.
    fn look_at_deadline(&self) {
        let next = self.next_deadline();
        let asleep_until = self.driver.asleep_until.get();
        if next.is_some_and(|next| asleep_until.is_none_or(|until| next < until)) {
            self.driver.wake();
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        match &self.state.borrow().stage {
            Stage::Active(machine) => machine.next_deadline(),
            _ => None,
        }
    }
}

/// The batches that a decision's records make: one, or, of tombstones alone, as many as they need.
fn parts(records: &[CoordinatorRecord]) -> impl Iterator<Item = &[CoordinatorRecord]> {
    let divisible = records.iter().all(|record| record.value.is_none());
    records.chunks(if divisible { TOMBSTONES_PER_BATCH } else { records.len().max(1) })
}

fn too_large(bytes: usize) -> ClientError {
    let message =
        format!("the change takes {bytes} bytes of records, {DECISION_BYTES_MAX} are allowed: make it smaller");
    ClientError::new(ErrorCode::RecordListTooLarge, message)
}

/// What clients of a coordinator are told when its log refuses: Kafka's mapping, so that they look for the coordinator again
/// and do not take the error for one of their own partitions.
fn as_coordinator_error(error: &ClientError) -> ClientError {
    let code = match error.code {
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => ErrorCode::UnknownServerError,
        other => other,
    };
    ClientError::new(code, error.message.clone())
}
