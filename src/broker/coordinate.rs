//! From a handler to a coordinator, on whichever reactor it is, and back with its answer, perhaps after a wait.
//!
//! ```text
//! let topic = coordinate::prepare(broker, OFFSETS_TOPIC).await?;      // made on first use
//! let reply = coordinate::group(broker, topic, "group", input).await?; // asked at once, answered when it is durable
//! ```

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::broker::Broker;
use super::calls::{Call, Hurry, WaitingHere};
use super::controller::{Command, Decided, decide};
use super::message::{Answer, Ask, GroupQuestion, TransactionQuestion};
use crate::coordinator::partition::partition_of;
use crate::coordinator::runtime::Asked;
use crate::coordinator::{group, transaction};
use crate::metadata::controller::internal_topics::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};
use crate::metadata::image::Topic;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::PartitionId;

/// Makes the internal topic `name` unless it is there; resolves at once if it is.
///
/// # Errors
/// COORDINATOR_NOT_AVAILABLE, with the reason why it cannot be made.
pub async fn prepare(broker: &Rc<Broker>, name: &str) -> Result<(), ClientError> {
    if broker.image().topic(name).is_some() {
        return Ok(());
    }
    let error = match decide(broker, Command::AutoCreateTopics(vec![name.to_owned()])).await {
        Decided::AutoCreated(refusals) => refusals.into_iter().next().map(|(_, error)| error),
        Decided::Failed(error) => Some(error),
        _ => unreachable!("each command has its own answer"),
    };
    match error {
        None => Ok(()),
        Some(error) => {
            let message = format!("topic '{name}' could not be made: {}", error.message);
            Err(ClientError::new(ErrorCode::CoordinatorNotAvailable, message))
        }
    }
}

/// The partition of the internal topic `name` that `key` belongs to.
///
/// # Errors
/// COORDINATOR_NOT_AVAILABLE when there is no such topic yet.
pub fn partition(broker: &Broker, name: &str, key: &str) -> Result<PartitionId, ClientError> {
    let image = broker.image();
    let topic: &Topic = image.topic(name).ok_or_else(|| {
        ClientError::new(ErrorCode::CoordinatorNotAvailable, format!("topic '{name}' is being made: try again"))
    })?;
    Ok(PartitionId { topic: topic.id, index: partition_of(key, topic.partition_count()) })
}

/// Asks the coordinator of `group_id`, now: what is asked on one connection arrives in order.
pub fn group(broker: &Rc<Broker>, group_id: &str, input: group::machine::Input) -> Waiting<group::machine::Reply> {
    match partition(broker, OFFSETS_TOPIC, group_id) {
        Ok(partition) => group_of_partition(broker, partition, input),
        Err(error) => Waiting::Refused(Some(error)),
    }
}

/// Asks the coordinator of a partition of `__consumer_offsets`.
pub fn group_of_partition(
    broker: &Rc<Broker>,
    partition: PartitionId,
    input: group::machine::Input,
) -> Waiting<group::machine::Reply> {
    let question = GroupQuestion { partition, input };
    if broker.hosts(partition) {
        return Waiting::Here(ask_group_here(broker, question), broker.waiting());
    }
    let unwrap = |answer| match answer {
        Answer::Group(reply) => *reply,
        _ => unreachable!("a group's coordinator answers as one"),
    };
    Waiting::There(broker.ask_waiting(broker.host(partition), Ask::Group(Box::new(question))), unwrap)
}

/// Asks a coordinator of groups that is hosted here.
pub fn ask_group_here(broker: &Broker, question: GroupQuestion) -> Result<Asked<group::machine::Reply>, ClientError> {
    match broker.coordinators.group(question.partition) {
        Some(coordinator) => Ok(coordinator.ask(question.input)),
        None => Err(not_here(OFFSETS_TOPIC)),
    }
}

/// Asks the coordinator of `transactional_id`, now.
pub fn transaction(
    broker: &Rc<Broker>,
    transactional_id: &str,
    input: transaction::machine::Input,
) -> Waiting<transaction::machine::Reply> {
    match partition(broker, TRANSACTIONS_TOPIC, transactional_id) {
        Ok(partition) => transaction_of_partition(broker, partition, input),
        Err(error) => Waiting::Refused(Some(error)),
    }
}

/// Asks the coordinator of a partition of `__transaction_state`.
pub fn transaction_of_partition(
    broker: &Rc<Broker>,
    partition: PartitionId,
    input: transaction::machine::Input,
) -> Waiting<transaction::machine::Reply> {
    let question = TransactionQuestion { partition, input };
    if broker.hosts(partition) {
        return Waiting::Here(ask_transaction_here(broker, question), broker.waiting());
    }
    let unwrap = |answer| match answer {
        Answer::Transaction(reply) => *reply,
        _ => unreachable!("a transaction's coordinator answers as one"),
    };
    Waiting::There(broker.ask_waiting(broker.host(partition), Ask::Transaction(Box::new(question))), unwrap)
}

/// Asks a coordinator of transactions that is hosted here.
pub fn ask_transaction_here(
    broker: &Broker,
    question: TransactionQuestion,
) -> Result<Asked<transaction::machine::Reply>, ClientError> {
    match broker.coordinators.transaction(question.partition) {
        Some(coordinator) => Ok(coordinator.ask(question.input)),
        None => Err(not_here(TRANSACTIONS_TOPIC)),
    }
}

fn not_here(topic: &str) -> ClientError {
    let message = format!("the partition of '{topic}' is being made or removed: look for the coordinator again");
    ClientError::new(ErrorCode::NotCoordinator, message)
}

/// A question to a coordinator under way. Dropping it ends the wait and takes nothing back.
pub enum Waiting<R> {
    /// It could not be asked.
    Refused(Option<ClientError>),
    /// Asked on this reactor.
    Here(Result<Asked<R>, ClientError>, WaitingHere),
    /// Asked on another reactor.
    There(Call, fn(Answer) -> Result<R, ClientError>),
}

impl<R> Future for Waiting<R> {
    type Output = Result<R, ClientError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Waiting::Refused(error) => Poll::Ready(Err(error.take().expect("not polled after it was done"))),
            Waiting::Here(asked, waiting) => poll_asked(asked, &waiting.hurry, context),
            Waiting::There(call, unwrap) => Pin::new(call).poll(context).map(unwrap),
        }
    }
}

/// Until the coordinator has answered, or the wait is to end.
pub fn poll_asked<R>(
    asked: &mut Result<Asked<R>, ClientError>,
    hurry: &Hurry,
    context: &mut Context<'_>,
) -> Poll<Result<R, ClientError>> {
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => return Poll::Ready(Err(error.clone())),
    };
    if let Poll::Ready(answer) = Pin::new(asked).poll(context) {
        return Poll::Ready(answer);
    }
    if hurry.poll_set(context) {
        let message =
            "the wait was ended, because the broker stops or the client is gone: look for the coordinator again";
        return Poll::Ready(Err(ClientError::new(ErrorCode::NotCoordinator, message)));
    }
    Poll::Pending
}

/// What the coordinator of `group_id` answers; its topic is made if need be.
///
/// # Errors
/// Why there is no answer.
pub async fn ask_group(
    broker: &Rc<Broker>,
    group_id: &str,
    input: group::machine::Input,
) -> Result<group::machine::Reply, ClientError> {
    prepare(broker, OFFSETS_TOPIC).await?;
    group(broker, group_id, input).await
}

/// Asks about several groups, each partition's coordinator once, and gives the answers in the order of `ids`.
pub async fn ask_groups<A>(
    broker: &Rc<Broker>,
    ids: &[String],
    input: impl Fn(Vec<String>) -> group::machine::Input,
    unwrap: impl Fn(group::machine::Reply) -> Vec<A>,
) -> Vec<Result<A, ClientError>> {
    let ready = prepare(broker, OFFSETS_TOPIC).await;
    let mut answers: Vec<Option<Result<A, ClientError>>> = ids.iter().map(|_| None).collect();
    let mut places: BTreeMap<PartitionId, Vec<usize>> = BTreeMap::new();
    for (place, id) in ids.iter().enumerate() {
        match ready.clone().and_then(|()| partition(broker, OFFSETS_TOPIC, id)) {
            Ok(partition) => places.entry(partition).or_default().push(place),
            Err(error) => answers[place] = Some(Err(error)),
        }
    }
    // All are asked before any answer is awaited.
    let asked: Vec<_> = places
        .into_iter()
        .map(|(partition, places)| {
            let ids = places.iter().map(|place| ids[*place].clone()).collect();
            (places, group_of_partition(broker, partition, input(ids)))
        })
        .collect();
    for (places, waiting) in asked {
        match waiting.await {
            Ok(reply) => {
                let told = unwrap(reply);
                assert_eq!(told.len(), places.len(), "one answer a group");
                places.into_iter().zip(told).for_each(|(place, told)| answers[place] = Some(Ok(told)));
            }
            Err(error) => places.into_iter().for_each(|place| answers[place] = Some(Err(error.clone()))),
        }
    }
    answers.into_iter().map(|answer| answer.expect("each group was refused or asked about")).collect()
}

/// What every coordinator of groups answers; one whose partition is not in service, as after its storage failed, has none.
///
/// # Errors
/// The first reason why another one does not.
pub async fn ask_all_groups(
    broker: &Rc<Broker>,
    input: impl Fn() -> group::machine::Input,
) -> Result<Vec<group::machine::Reply>, ClientError> {
    let image = broker.image();
    let Some(topic) = image.topic(OFFSETS_TOPIC) else { return Ok(Vec::new()) };
    let partitions = (0..topic.partition_count()).map(|index| PartitionId { topic: topic.id, index });
    let asked: Vec<_> = partitions.map(|partition| group_of_partition(broker, partition, input())).collect();
    let mut replies = Vec::with_capacity(asked.len());
    for waiting in asked {
        match waiting.await {
            Ok(reply) => replies.push(reply),
            Err(error) if error.code == ErrorCode::NotCoordinator => {}
            Err(error) => return Err(error),
        }
    }
    Ok(replies)
}

/// The transactional ids that pass `filter`, of every coordinator of transactions of this broker; and why one did not answer
/// whose partition is not in service, as after its storage failed.
///
/// # Errors
/// The first reason why another one does not answer.
pub async fn list_transactions(
    broker: &Rc<Broker>,
    filter: &transaction::describe::Filter,
) -> Result<(Vec<transaction::describe::Listed>, Option<ClientError>), ClientError> {
    let image = broker.image();
    let Some(topic) = image.topic(TRANSACTIONS_TOPIC) else { return Ok((Vec::new(), None)) };
    let led = topic.partitions.iter().filter(|one| one.leader == broker.config.node_id);
    // All are asked before any answer is awaited.
    let asked: Vec<_> = led
        .map(|one| transaction_of_partition(broker, one.partition, transaction::machine::Input::List(filter.clone())))
        .collect();
    let (mut all, mut absent) = (Vec::new(), None);
    for asked in asked {
        match asked.await {
            Ok(transaction::machine::Reply::Listed(listed)) => all.extend(listed),
            Err(error) if error.code == ErrorCode::NotCoordinator => absent = Some(error),
            Ok(transaction::machine::Reply::Refused(error)) | Err(error) => return Err(error),
            Ok(_) => unreachable!("each request has its own reply"),
        }
    }
    Ok((all, absent))
}
