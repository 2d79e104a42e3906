//! Who holds back a partition, for `flumen txn why`: the producer whose open transaction holds the last stable offset, what its
//! coordinator says of it, and how it is aborted without harm to anybody else's.
//!
//! The socket takes a line, `why TOPIC-PARTITION` or `abort TOPIC-PARTITION`, and answers with a [`StableOffset`] as JSON.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::broker::{Broker, Route};
use super::coordinate;
use super::handlers::{describe_producers, list_offsets};
use super::markers;
use super::message::{MarkerWrite, OffsetQuestion};
use super::scatter::Scatter;
use crate::base::time::Duration;
use crate::coordinator::transaction::describe::{Filter, Seen};
use crate::coordinator::transaction::machine::{Input, Reply};
use crate::coordinator::transaction::state::Status;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::offset::{NO_LEADER_EPOCH, Offset, list_offsets::LATEST};
use crate::producer::state::MarkerFacts;
use crate::producer::transactions::Outcome;
use crate::protocol::topic::TopicRef;
use crate::shard::{Isolation, ProducerDescription};

/// The socket's name in the data directory.
pub const TRANSACTIONS_SOCKET: &str = "transactions.sock";
/// What a line that only asks begins with.
pub const WHY: &str = "why";
/// What a line that aborts begins with.
pub const ABORT: &str = "abort";

/// How often, and how many times, a partition is looked at until its marker is there.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS_MAX: usize = 250;

/// How far a partition can be read, and what holds that back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StableOffset {
    /// Why there is no answer, or nothing was aborted; none if there is one.
    pub error: Option<String>,
    /// The topic.
    pub topic: String,
    /// The partition of it.
    pub partition: i32,
    /// Up to where consumers in `read_uncommitted` can read.
    pub high_watermark: i64,
    /// Up to where those in `read_committed` can.
    pub last_stable_offset: i64,
    /// The producer with the oldest open transaction, if one is open.
    pub holder: Option<Holder>,
    /// How many producers have a transaction open in the partition.
    pub open: usize,
    /// Whether the holder's transaction was aborted; the offsets are those after that.
    pub aborted: bool,
}

/// Who holds back a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The producer.
    pub producer_id: i64,
    /// Its epoch in the partition.
    pub producer_epoch: i16,
    /// The first offset of its transaction: the last stable offset cannot pass it.
    pub first_offset: i64,
    /// Timestamp of its last batch in the partition, in milliseconds since 1970.
    pub last_timestamp: i64,
    /// The transactional id that it stands for; none if no coordinator knows the producer, whose transaction then hangs.
    pub transaction: Option<HeldTransaction>,
    /// No coordinator will ever end the transaction: it is open in the partition alone.
    pub hangs: bool,
}

/// A transactional id, as its coordinator knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldTransaction {
    /// The transactional id.
    pub transactional_id: String,
    /// Its state, as Kafka names it.
    pub state: String,
    /// The epoch of its producer.
    pub producer_epoch: i16,
    /// When the transaction began, in milliseconds since 1970, -1 if none did.
    pub started_ms: i64,
    /// How long it has been open.
    pub open_ms: i64,
    /// How long it may take before the coordinator aborts it.
    pub timeout_ms: i32,
    /// How many partitions it has touched.
    pub partitions: usize,
    /// What the client that uses the id calls itself; empty if none did since the broker started.
    pub client_id: String,
    /// Where that client connects from.
    pub client_host: String,
}

/// A partition, by name and by place.
struct Subject {
    topic: String,
    partition: i32,
    route: Route,
}

impl Subject {
    /// One question, to the reactor that hosts the partition.
    fn scatter<Q>(&self, question: Q) -> Scatter<Q> {
        let mut scatter = Scatter::default();
        scatter.push(Ok((self.route.reactor, question)));
        scatter
    }
}

/// The answer to the one question that was asked.
fn only<A>(answers: Vec<Result<A, ClientError>>) -> Result<A, ClientError> {
    answers.into_iter().next().expect("one answer a question")
}

/// Answers a line.
pub async fn answer(broker: Rc<Broker>, line: String) -> StableOffset {
    let (verb, name) = line.split_once(' ').unwrap_or((&line, ""));
    let answered = match verb {
        WHY => why(&broker, name).await,
        ABORT => abort(&broker, name).await,
        other => Err(ClientError::new(ErrorCode::InvalidRequest, format!("'{other}' is neither {WHY} nor {ABORT}"))),
    };
    answered.unwrap_or_else(|error| StableOffset { error: Some(error.message), ..StableOffset::default() })
}

/// The partition that `name` names, `TOPIC-PARTITION`.
fn subject(broker: &Broker, name: &str) -> Result<Subject, ClientError> {
    let parsed = name.rsplit_once('-').and_then(|(topic, index)| Some((topic, index.parse::<i32>().ok()?)));
    let (topic, partition) = parsed.ok_or_else(|| {
        ClientError::new(ErrorCode::InvalidRequest, format!("'{name}' names no partition: give TOPIC-PARTITION"))
    })?;
    let routed = broker.route(&broker.image(), TopicRef::Name(topic), partition);
    let route = routed.map_err(|unreachable| unreachable.error)?;
    Ok(Subject { topic: topic.to_owned(), partition, route })
}

async fn why(broker: &Rc<Broker>, name: &str) -> Result<StableOffset, ClientError> {
    let subject = subject(broker, name)?;
    let open = open_transactions(broker, &subject).await?;
    let holder = match open.first() {
        Some(holder) => Some(described(broker, &subject, holder).await?),
        None => None,
    };
    Ok(StableOffset {
        error: None,
        high_watermark: end_at(broker, &subject, Isolation::ReadUncommitted).await?,
        last_stable_offset: end_at(broker, &subject, Isolation::ReadCommitted).await?,
        topic: subject.topic,
        partition: subject.partition,
        holder,
        open: open.len(),
        aborted: false,
    })
}

/// The producers that have a transaction open in the partition, that with the oldest one first.
async fn open_transactions(broker: &Rc<Broker>, subject: &Subject) -> Result<Vec<ProducerDescription>, ClientError> {
    let mut producers = only(describe_producers::gather(broker, subject.scatter(subject.route.partition)).await)?;
    producers.retain(|producer| producer.transaction_first_offset.is_some());
    producers.sort_by_key(|producer| producer.transaction_first_offset);
    Ok(producers)
}

async fn end_at(broker: &Rc<Broker>, subject: &Subject, isolation: Isolation) -> Result<Offset, ClientError> {
    let partition = subject.route.partition;
    let question = OffsetQuestion { partition, timestamp: LATEST, isolation, current_leader_epoch: NO_LEADER_EPOCH };
    Ok(only(list_offsets::gather(broker, subject.scatter(question)).await)?.offset)
}

/// What the coordinator says of an open transaction.
///
/// # Errors
/// When not every coordinator could be asked: then nobody knows whether the transaction hangs.
async fn described(
    broker: &Rc<Broker>,
    subject: &Subject,
    producer: &ProducerDescription,
) -> Result<Holder, ClientError> {
    let seen = transaction_of(broker, producer).await?;
    let mut hangs = seen.as_ref().is_none_or(|(_, seen)| !holds(seen, subject, producer));
    if hangs {
        // Unless it ended while the coordinators were asked.
        hangs = open_transactions(broker, subject).await?.contains(producer);
    }
    let wall_ms = broker.io.wall_ms();
    Ok(Holder {
        producer_id: producer.producer_id,
        producer_epoch: producer.producer_epoch,
        first_offset: producer.transaction_first_offset.unwrap_or_default(),
        last_timestamp: producer.last_timestamp,
        transaction: seen.map(|(transactional_id, Seen { transaction, client })| HeldTransaction {
            transactional_id,
            state: transaction.status.name().to_owned(),
            producer_epoch: transaction.producer_epoch,
            started_ms: transaction.started_ms,
            open_ms: if transaction.started_ms < 0 { 0 } else { wall_ms.saturating_sub(transaction.started_ms) },
            timeout_ms: transaction.timeout_ms,
            partitions: transaction.partitions.len(),
            client_id: client.id.to_string(),
            client_host: client.host.to_string(),
        }),
        hangs,
    })
}

/// Whether the transaction that the coordinator knows is the one that is open in the partition, and will end there.
fn holds(seen: &Seen, subject: &Subject, producer: &ProducerDescription) -> bool {
    let known = &seen.transaction;
    let touched =
        known.partitions.iter().any(|(topic, index)| **topic == *subject.topic && *index == subject.partition);
    // A decision may have taken the producer to its next epoch (KIP-890), or fenced it; an open one has not.
    let same_epoch = known.producer_epoch == producer.producer_epoch;
    touched && (known.status.is_prepared() || known.status == Status::Ongoing && same_epoch)
}

/// The transactional id that a producer stands for, and how it stands.
async fn transaction_of(
    broker: &Rc<Broker>,
    producer: &ProducerDescription,
) -> Result<Option<(String, Seen)>, ClientError> {
    let filter = Filter { producer_ids: vec![producer.producer_id], longer_than_ms: -1, ..Filter::default() };
    let (listed, absent) = coordinate::list_transactions(broker, &filter).await?;
    let Some(listed) = listed.into_iter().next() else {
        // The one that is not there may know it.
        return absent.map_or(Ok(None), Err);
    };
    let id = listed.transactional_id;
    match coordinate::transaction(broker, &id, Input::Describe(vec![id.clone()])).await? {
        Reply::Described(mut described) => Ok(described.pop().and_then(Result::ok).map(|seen| (id, seen))),
        _ => unreachable!("each request has its own reply"),
    }
}

/// Aborts the transaction that holds back the partition: by its coordinator, which fences the producer as it does when the time is
/// over; one that hangs by a marker in the partition alone, as `kafka-transactions.sh abort` does.
async fn abort(broker: &Rc<Broker>, name: &str) -> Result<StableOffset, ClientError> {
    let subject = subject(broker, name)?;
    let Some(producer) = open_transactions(broker, &subject).await?.into_iter().next() else {
        return Err(nothing(format!("no transaction is open in {name}")));
    };
    let holder = described(broker, &subject, &producer).await?;
    match &holder.transaction {
        _ if holder.hangs => write_marker(broker, &subject, &producer).await?,
        Some(transaction) => abort_by_coordinator(broker, transaction, &producer).await?,
        None => return Err(nothing(format!("the transaction of producer {} has just ended", producer.producer_id))),
    }
    for _ in 0..LOOKS_MAX {
        // It lets go of the partition once its marker is durable.
        if end_at(broker, &subject, Isolation::ReadCommitted).await? > holder.first_offset {
            return Ok(StableOffset { holder: Some(holder), aborted: true, ..why(broker, name).await? });
        }
        broker.io.sleep(LOOK).await;
    }
    let message = format!(
        "the abort of producer {}'s transaction is decided, but its marker is not in {name} yet: look again",
        producer.producer_id
    );
    Err(ClientError::new(ErrorCode::RequestTimedOut, message))
}

fn nothing(message: String) -> ClientError {
    ClientError::new(ErrorCode::InvalidTxnState, message)
}

async fn abort_by_coordinator(
    broker: &Rc<Broker>,
    transaction: &HeldTransaction,
    producer: &ProducerDescription,
) -> Result<(), ClientError> {
    let transactional_id = transaction.transactional_id.clone();
    let (producer_id, producer_epoch) = (producer.producer_id, producer.producer_epoch);
    let input = Input::Abort { transactional_id: transactional_id.clone(), producer_id, producer_epoch };
    match coordinate::transaction(broker, &transactional_id, input).await? {
        Reply::Aborting => Ok(()),
        Reply::Refused(error) => Err(error),
        _ => unreachable!("each request has its own reply"),
    }
}

async fn write_marker(
    broker: &Rc<Broker>,
    subject: &Subject,
    producer: &ProducerDescription,
) -> Result<(), ClientError> {
    let facts = MarkerFacts {
        producer_id: producer.producer_id,
        producer_epoch: producer.producer_epoch,
        coordinator_epoch: producer.coordinator_epoch.max(0),
        // The epoch of the batches themselves, not the next one.
        transaction_version: 0,
    };
    let marker = MarkerWrite { partition: subject.route.partition, facts, outcome: Outcome::Abort };
    only(markers::gather(broker, subject.scatter(marker)).await).map(drop)
}
