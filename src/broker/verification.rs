//! What a produce request in a transaction has to have confirmed before its batches are appended (KIP-890): that the
//! partitions are part of the transaction, or, for clients that leave it to the broker, that they are from now on.

use std::rc::Rc;

use super::broker::Broker;
use super::coordinate;
use super::message::Transactional;
use crate::coordinator::transaction::machine::{Enlist, Input, Reply};
use crate::coordinator::transaction::state::{EPOCH_BUMP_FROM, Touched};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{ProducerEpoch, ProducerId};
use crate::shard::Unverified;

/// The version of Produce from which on clients leave it to the broker to add partitions to the transaction.
const PRODUCE_ENLISTS_FROM: i16 = 12;
/// The version of Produce from which on clients know TRANSACTION_ABORTABLE.
const PRODUCE_ABORTABLE_FROM: i16 = 11;

/// The partitions of one request that wait for a word of the transaction's coordinator.
#[derive(Default)]
pub struct Verification {
    unverified: Vec<Unverified>,
}

impl Verification {
    /// Adds what waits, if anything does.
    pub fn add(&mut self, unverified: Option<Unverified>) {
        self.unverified.extend(unverified);
    }

    /// Asks the coordinator, now; its answers go to the shards when they come.
    pub fn begin(self, broker: &Rc<Broker>, transactional: Option<&Transactional>) {
        let Some(transactional) = transactional.filter(|_| !self.unverified.is_empty()) else { return };
        // Well-behaved clients send batches of one producer in a request.
        for of_producer in self.unverified.chunk_by(|one, next| producer(one) == producer(next)) {
            ask(broker, transactional, of_producer.to_vec());
        }
    }
}

fn producer(unverified: &Unverified) -> (ProducerId, ProducerEpoch) {
    (unverified.producer_id, unverified.producer_epoch)
}

fn ask(broker: &Rc<Broker>, transactional: &Transactional, unverified: Vec<Unverified>) {
    let version = transactional.produce_version;
    let enlists = version >= PRODUCE_ENLISTS_FROM;
    let Some((producer_id, producer_epoch)) = unverified.first().map(producer) else { return };
    let enlist = Enlist {
        transactional_id: transactional.transactional_id.to_string(),
        producer_id,
        producer_epoch,
        partitions: unverified.iter().map(|one| touched(broker, one)).collect(),
        verify_only: !enlists,
        client_version: if enlists { EPOCH_BUMP_FROM } else { 0 },
        client: transactional.client.clone(),
    };
    let asked = coordinate::transaction(broker, &transactional.transactional_id, Input::Enlist(enlist));
    let broker = Rc::clone(broker);
    broker.io.clone().spawn(async move {
        let answers = match asked.await {
            Ok(Reply::Enlisted(answers)) => answers,
            Ok(Reply::Refused(error)) | Err(error) => vec![Some(error); unverified.len()],
            Ok(_) => unreachable!("partitions are answered one by one"),
        };
        for (unverified, answer) in unverified.iter().zip(answers) {
            if let Some(shard) = broker.shards.get(unverified.partition) {
                let answer = answer.map_or(Ok(()), |error| Err(as_produce_error(error, version)));
                shard.verified(unverified, answer, enlists);
            }
        }
    });
}

fn touched(broker: &Broker, unverified: &Unverified) -> Touched {
    let image = broker.image();
    let name = image.topic_by_id(unverified.partition.topic).map_or("", |topic| &topic.name);
    (name.into(), unverified.partition.index)
}

/// What a producer is told, in the words that its version knows: Kafka's mapping.
fn as_produce_error(error: ClientError, produce_version: i16) -> ClientError {
    let code = match error.code {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if produce_version < PRODUCE_ABORTABLE_FROM => ErrorCode::InvalidTxnState,
        // Producers try again on this one without looking for another leader.
        ErrorCode::ConcurrentTransactions
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => ErrorCode::NotEnoughReplicas,
        other => other,
    };
    ClientError::new(code, error.message)
}
