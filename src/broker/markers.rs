//! Markers: what a coordinator of transactions has decided is written into every partition of the transaction, wherever it
//! is hosted, until all are there.

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
    if let Some(coordinator) = broker.coordinators.transaction(partition) {
        broker.io.spawn(write_for_ever(Rc::clone(broker), partition, coordinator));
    }
}

/// Takes markers from the coordinator as they are decided, until it is gone.
async fn write_for_ever(broker: Rc<Broker>, partition: PartitionId, coordinator: TransactionCoordinator) {
    loop {
        match coordinator.ask(Input::TakeMarkers).await {
            Ok(Reply::Markers(taken)) => {
                for markers in taken {
                    broker.io.spawn(write(Rc::clone(&broker), partition, Rc::clone(&coordinator), markers));
                }
            }
            Ok(_) => unreachable!("who takes markers is given markers"),
            Err(_) => {
                let current = broker.coordinators.transaction(partition);
                if broker.is_stopping() || !current.is_some_and(|current| Rc::ptr_eq(&current, &coordinator)) {
                    return;
                }
                broker.io.sleep(LOADING_PAUSE).await;
            }
        }
    }
}

/// Writes the markers of one transaction, and tells the coordinator.
async fn write(broker: Rc<Broker>, partition: PartitionId, coordinator: TransactionCoordinator, markers: Markers) {
    let mut left = markers.partitions.clone();
    let mut pause = RETRY_MIN;
    // Ends when every partition has its marker or is gone; until then the transaction holds back its consumers.
    loop {
        left = write_once(&broker, partition, &markers, left).await;
        if left.is_empty() {
            break;
        }
        if broker.is_stopping() {
            return;
        }
        broker.io.sleep(pause).await;
        pause = (2 * pause).min(RETRY_MAX);
    }
    // A coordinator that was loaded again meanwhile has these markers written once more, and finds them there.
    let _ = coordinator.ask(Input::MarkersWritten(markers)).await;
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
