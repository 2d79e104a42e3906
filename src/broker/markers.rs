//! Markers: what a coordinator of transactions has decided is written into every partition of the transaction, wherever it
//! is hosted, until all are there.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;

use super::broker::Broker;
use super::message::{Answer, Ask, MarkerWrite};
use super::scatter::Scatter;
use crate::base::time::Duration;
use crate::coordinator::machine::TransactionOf;
use crate::coordinator::runtime::{Asked, Coordinator};
use crate::coordinator::transaction::machine::{Input, Reply, TransactionMachine};
use crate::coordinator::transaction::markers::Markers;
use crate::coordinator::transaction::state::Touched;
use crate::io::Handle;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::PartitionId;
use crate::model::offset::Offset;
use crate::producer::state::MarkerFacts;
use crate::producer::transactions::Outcome;
use crate::protocol::topic::TopicRef;
use crate::shard::{Append, Appended};

/// The pause before a coordinator that is being loaded is asked again for markers.
const LOADING_PAUSE: Duration = Duration::from_millis(20);
/// The pauses before markers that could not be written are tried again: the first, and the longest.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_secs(1);

type TransactionCoordinator = Rc<Coordinator<TransactionMachine>>;

/// Starts to write the markers of the coordinator of `partition`, if there is one here.
pub fn start(broker: &Rc<Broker>, partition: PartitionId) {
    let Some(coordinator) = broker.coordinators.transaction(partition) else { return };
    let is_over = {
        let (broker, coordinator) = (Rc::clone(broker), Rc::clone(&coordinator));
        move || {
            let current = broker.coordinators.transaction(partition);
            broker.is_stopping() || !current.is_some_and(|current| Rc::ptr_eq(&current, &coordinator))
        }
    };
    let writing = Rc::clone(broker);
    let attempt =
        async move |markers: &Markers, left: Vec<Touched>| write_once(&writing, partition, markers, left).await;
    broker.io.spawn(deliver(broker.io.clone(), coordinator, is_over, attempt));
}

/// The delivery of one coordinator's markers.
struct Delivery<Over, Attempt> {
    io: Handle,
    coordinator: TransactionCoordinator,
    is_over: Over,
    attempt: Attempt,
    /// How often the coordinator was found to be no longer loaded.
    losses: Cell<u64>,
}

/// Takes markers from the coordinator as they are decided and writes those of each transaction by itself, until `is_over`.
/// `attempt` tries to write the markers of a transaction in the partitions given, and gives back those that still need theirs.
pub async fn deliver<Over, Attempt>(io: Handle, coordinator: TransactionCoordinator, is_over: Over, attempt: Attempt)
where
    Over: Fn() -> bool + 'static,
    Attempt: AsyncFn(&Markers, Vec<Touched>) -> Vec<Touched> + 'static,
{
    let delivery = Rc::new(Delivery { io, coordinator, is_over, attempt, losses: Cell::new(0) });
    loop {
        match delivery.coordinator.ask_from_within(Input::TakeMarkers).await {
            Ok(Reply::Markers(taken)) => {
                for markers in taken {
                    let losses = delivery.losses.get();
                    delivery.io.spawn(Rc::clone(&delivery).write(markers, losses));
                }
            }
            Ok(_) => unreachable!("who takes markers is given markers"),
            Err(_) => {
                delivery.losses.set(delivery.losses.get() + 1);
                if (delivery.is_over)() {
                    return;
                }
                delivery.io.sleep(LOADING_PAUSE).await;
            }
        }
    }
}

impl<Over, Attempt> Delivery<Over, Attempt>
where
    Over: Fn() -> bool,
    Attempt: AsyncFn(&Markers, Vec<Touched>) -> Vec<Touched>,
{
    /// Writes the markers of one transaction, and tells the coordinator.
    ///
    /// Ends when every partition has its marker or is gone; until then the transaction holds back its consumers. Ends too when the
    /// coordinator is loaded again, which hands out the same markers once more: of two that write them, one would come too late
    /// and end the producer's next transaction, which may have the same epoch. All that was sent before the loss arrives before
    /// what is sent after it, so that the last to be written are those of whoever reports them.
    async fn write(self: Rc<Self>, markers: Markers, losses: u64) {
        let mut left = markers.partitions.clone();
        let mut pause = RETRY_MIN;
        loop {
            left = (self.attempt)(&markers, left).await;
            if self.losses.get() != losses || (self.is_over)() {
                return;
            }
            if left.is_empty() {
                break;
            }
            self.io.sleep(pause).await;
            if self.losses.get() != losses || (self.is_over)() {
                return;
            }
            pause = (2 * pause).min(RETRY_MAX);
        }
        // Refused by nothing but the loss of the coordinator.
        let _ = self.coordinator.ask_from_within(Input::MarkersWritten(markers)).await;
    }
}

/// One try; gives the partitions that still need their marker.
async fn write_once(
    broker: &Rc<Broker>,
    partition: PartitionId,
    markers: &Markers,
    left: Vec<Touched>,
) -> Vec<Touched> {
    let image = broker.image();
    let facts = MarkerFacts {
        producer_id: markers.producer_id,
        producer_epoch: markers.producer_epoch,
        coordinator_epoch: image.partition(partition).map_or(0, |registration| registration.leader_epoch),
        transaction_version: markers.transaction_version,
    };
    let outcome = if markers.is_commit { Outcome::Commit } else { Outcome::Abort };
    let mut scatter = Scatter::default();
    for (topic, index) in &left {
        let route = broker.route(&image, TopicRef::Name(topic), *index);
        let write = |partition| MarkerWrite { partition, facts, outcome };
        scatter
            .push(route.map(|route| (route.reactor, write(route.partition))).map_err(|unreachable| unreachable.error));
    }
    let written = gather(broker, scatter).await;
    left.into_iter()
        .zip(written)
        .filter(|(touched, result)| is_open(markers, touched, result))
        .map(|(one, _)| one)
        .collect()
}

/// Whether a partition still needs its marker.
fn is_open(markers: &Markers, (topic, index): &Touched, result: &Result<Offset, ClientError>) -> bool {
    let Err(error) = result else { return false };
    match error.code {
        // It was deleted.
        ErrorCode::UnknownTopicOrPartition => false,
        // It knows a later epoch of the producer or of the coordinator: this transaction is over there.
        ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced => {
            let id = &markers.transactional_id;
            tracing::warn!(transactional_id = id, topic = &**topic, partition = index, "a marker was refused: {error}");
            false
        }
        _ => true,
    }
}

/// Has markers appended where their partitions are.
pub async fn gather(broker: &Rc<Broker>, scatter: Scatter<MarkerWrite>) -> Vec<Result<Offset, ClientError>> {
    let unwrap = |answer| match answer {
        Answer::MarkersWritten(written) => written,
        _ => unreachable!("markers are answered with what came of them"),
    };
    scatter
        .gather(broker, Ask::WriteMarkers, unwrap, async |broker: &Broker, markers| append(broker, &markers).await)
        .await
}

/// A marker on its way.
enum Writing {
    Refused(ClientError),
    Plain(Append),
    /// In the partition of a coordinator of groups, whose offsets it decides about.
    Coordinated(Asked<Appended>),
}

/// Appends markers to partitions that are hosted here: now, in their order; resolves when they are durable.
pub fn append(
    broker: &Broker,
    markers: &[MarkerWrite],
) -> impl Future<Output = Vec<Result<Offset, ClientError>>> + use<> {
    let writing: Vec<Writing> = markers.iter().map(|marker| append_one(broker, *marker)).collect();
    async move {
        let mut written = Vec::with_capacity(writing.len());
        for one in writing {
            let appended = match one {
                Writing::Refused(error) => Err(error),
                Writing::Plain(append) => append.await,
                Writing::Coordinated(asked) => asked.await,
            };
            written.push(appended.map(|appended| appended.base_offset));
        }
        written
    }
}

fn append_one(broker: &Broker, marker: MarkerWrite) -> Writing {
    let MarkerWrite { partition, facts, outcome } = marker;
    if let Some(coordinator) = broker.coordinators.group(partition) {
        let transaction = TransactionOf { producer_id: facts.producer_id, producer_epoch: facts.producer_epoch };
        let committed = outcome == Outcome::Commit;
        return Writing::Coordinated(
            coordinator.append_marker(transaction, committed, |shard| shard.append_marker(facts, outcome)),
        );
    }
    match broker.shards.get(partition) {
        Some(shard) => Writing::Plain(shard.append_marker(facts, outcome)),
        None => Writing::Refused(super::handlers::produce::not_open(partition)),
    }
}
