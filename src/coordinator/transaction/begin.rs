//! InitProducerId with a transactional id: the producer that asks stands for it from now on, all before it are fenced.

use super::machine::{Begin, Input, Reply, TransactionMachine, refused};
use super::state::{Entry, NEVER_STARTED, Status, Transaction, is_exhausted};
use crate::coordinator::machine::{Effects, ReplyTo, Situation};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{NO_PRODUCER_EPOCH, ProducerEpoch, ProducerId};
use crate::model::offset::Timestamp;

/// What a producer is given.
#[derive(Clone, Copy)]
enum Given {
    /// The next epoch, and which one it may ask again with.
    Next { last_epoch: ProducerEpoch },
    /// What it was given before: the answer got lost.
    Again,
    /// Epoch 0 of a fresh producer id.
    Rotated { last_epoch: ProducerEpoch },
}

impl TransactionMachine {
    pub(super) fn begin(&mut self, situation: &Situation<'_>, begin: Begin, to: ReplyTo) -> Effects<Reply> {
        let timeout_ms_max = self.config.timeout_ms_max;
        if begin.timeout_ms <= 0 || begin.timeout_ms > timeout_ms_max {
            let message = format!(
                "a transaction timeout of {} ms: it must be above 0 and at most transaction.max.timeout.ms, {timeout_ms_max}",
                begin.timeout_ms
            );
            return refused(to, ErrorCode::InvalidTransactionTimeout, message);
        }
        let is_full = self.entries.len() >= self.config.ids_max;
        let Some(entry) = self.entries.get_mut(&begin.transactional_id) else {
            if is_full {
                let ids_max = self.config.ids_max;
                let message = format!(
                    "the coordinator has {ids_max} transactional ids: use fewer, or a shorter transactional.id.expiration.ms"
                );
                return refused(to, ErrorCode::PolicyViolation, message);
            }
            let effects = first(&begin, situation.wall_ms, to);
            if !effects.records.is_empty() {
                self.newcomer = begin.client;
            }
            return effects;
        };
        if begin.expected.is_some_and(|producer| entry.durable.is_followed_by(producer)) {
            return self.wait(situation, Input::Begin(begin), to);
        }
        let given = match given(entry, begin.expected) {
            Ok(given) => given,
            Err(error) => return Effects::reply(to, Reply::Refused(error)),
        };
        let status = entry.durable.status;
        match status {
            Status::PrepareCommit | Status::PrepareAbort => self.wait(situation, Input::Begin(begin), to),
            Status::Ongoing => {
                // The epoch that fences is given to nobody; when the markers are written this request comes again, and is
                // given the one after it.
                let transactional_id = begin.transactional_id.clone();
                let mut effects = self.fence(situation, &transactional_id);
                let waited = self.wait(situation, Input::Begin(begin), to);
                effects.replies.extend(waited.replies);
                effects
            }
            Status::Empty | Status::CompleteCommit | Status::CompleteAbort => {
                renew(entry, given, begin, situation.wall_ms, to)
            }
        }
    }
}

/// A transactional id that is not known: its first producer, whatever it believes to be (KIP-360).
fn first(begin: &Begin, wall_ms: Timestamp, to: ReplyTo) -> Effects<Reply> {
    let Some(fresh) = begin.fresh else { return Effects::reply(to, Reply::NeedsProducerId) };
    let transaction = Transaction::new(fresh, begin.timeout_ms, wall_ms);
    TransactionMachine::change(&begin.transactional_id, &transaction, Some((to, Reply::Producer(fresh, 0))))
}

fn renew(entry: &mut Entry, given: Given, begin: Begin, wall_ms: Timestamp, to: ReplyTo) -> Effects<Reply> {
    let mut next = Transaction {
        status: Status::Empty,
        timeout_ms: begin.timeout_ms,
        started_ms: NEVER_STARTED,
        updated_ms: wall_ms,
        client_version: 0,
        ..entry.durable.clone()
    };
    match given {
        Given::Again => {}
        Given::Next { last_epoch } => {
            next.producer_epoch += 1;
            entry.last_epoch = last_epoch;
        }
        Given::Rotated { last_epoch } => {
            let Some(fresh) = begin.fresh else { return Effects::reply(to, Reply::NeedsProducerId) };
            (next.previous_producer_id, next.producer_id, next.producer_epoch) = (next.producer_id, fresh, 0);
            entry.last_epoch = last_epoch;
        }
    }
    entry.client = begin.client;
    let reply = Reply::Producer(next.producer_id, next.producer_epoch);
    TransactionMachine::change(&begin.transactional_id, &next, Some((to, reply)))
}

/// What a producer is given. One that says who it is (KIP-360) must be the one that stands for the id, or one that lost the answer
/// which replaced it. A fenced one is told so at once, and can no more end the transaction of its successor.
fn given(entry: &Entry, expected: Option<(ProducerId, ProducerEpoch)>) -> Result<Given, ClientError> {
    let durable = &entry.durable;
    let last_epoch = expected.map_or(NO_PRODUCER_EPOCH, |(_, epoch)| epoch);
    let Some((producer_id, epoch)) = expected.filter(|own| *own != (durable.producer_id, durable.producer_epoch))
    else {
        return Ok(if durable.is_exhausted() { Given::Rotated { last_epoch } } else { Given::Next { last_epoch } });
    };
    let before_rotation =
        producer_id == durable.previous_producer_id && is_exhausted(epoch) && durable.producer_epoch == 0;
    // Who has a transaction open did get the answer.
    let lost_the_answer = epoch == entry.last_epoch
        && (producer_id == durable.producer_id || before_rotation)
        && durable.status != Status::Ongoing;
    if lost_the_answer {
        return Ok(Given::Again);
    }
    Err(ClientError::new(
        ErrorCode::ProducerFenced,
        format!(
            "producer {producer_id} at epoch {epoch} was fenced: producer {} at epoch {} stands for the transactional id now",
            durable.producer_id, durable.producer_epoch
        ),
    ))
}
