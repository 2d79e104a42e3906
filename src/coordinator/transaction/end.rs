//! How a transaction ends: EndTxn, and what aborts it without its producer.
//!
//! With transaction version 2 each end takes the producer to its next epoch, so a request that was delayed or repeated names
//! the epoch of the transaction it was meant for and can decide no other (KIP-890). With version 1 all transactions of a
//! producer share one epoch, and a delayed EndTxn is taken for the one that is open.

use std::collections::BTreeSet;

use super::enlist::unknown;
use super::machine::{End, Input, Reply, TransactionMachine, refused};
use super::markers::Markers;
use super::state::{EPOCH_BUMP_FROM, Status, Transaction};
use crate::coordinator::machine::{Effects, ReplyTo, Situation};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{NO_PRODUCER_EPOCH, ProducerEpoch, ProducerId};
use crate::model::offset::Timestamp;

/// What an EndTxn comes to.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The open transaction ends.
    Prepare,
    /// There is none, and with version 2 aborting it bumps the epoch all the same.
    AbortNothing,
    /// It was decided so before, and is complete.
    Done,
    /// The markers of the last decision, perhaps of this very one, are being written.
    Wait,
    Refuse(ErrorCode, &'static str),
}

const FENCED: Verdict =
    Verdict::Refuse(ErrorCode::ProducerFenced, "another instance has taken over, or the transaction was aborted");

impl TransactionMachine {
    pub(super) fn end(&mut self, situation: &Situation<'_>, end: End, to: ReplyTo) -> Effects<Reply> {
        let Some(entry) = self.entries.get_mut(&end.transactional_id) else {
            return Effects::reply(to, Reply::Refused(unknown(&end.transactional_id, end.producer_id)));
        };
        let durable = &entry.durable;
        let bumps = end.client_version >= EPOCH_BUMP_FROM;
        match verdict(durable, &end) {
            Verdict::Refuse(code, why) => {
                let message = format!(
                    "producer {} at epoch {} cannot {} its transaction, which is {} at epoch {}: {why}",
                    end.producer_id,
                    end.producer_epoch,
                    if end.commit { "commit" } else { "abort" },
                    durable.status,
                    durable.producer_epoch
                );
                refused(to, code, message)
            }
            Verdict::Done => Effects::reply(to, Reply::Producer(durable.producer_id, durable.producer_epoch)),
            Verdict::Wait => self.wait(situation, Input::End(end), to),
            Verdict::Prepare | Verdict::AbortNothing if bumps && durable.is_exhausted() && end.fresh.is_none() => {
                Effects::reply(to, Reply::NeedsProducerId)
            }
            Verdict::AbortNothing => {
                let last_epoch = durable.producer_epoch;
                let next = complete(&prepared(durable, &end, situation.wall_ms), situation.wall_ms);
                entry.last_epoch = last_epoch;
                let reply = Reply::Producer(next.producer_id, next.producer_epoch);
                TransactionMachine::change(&end.transactional_id, &next, Some((to, reply)))
            }
            Verdict::Prepare => {
                let next = prepared(durable, &end, situation.wall_ms);
                if bumps {
                    entry.last_epoch = durable.producer_epoch;
                }
                let (producer_id, epoch) = told(&next);
                self.decided(&end.transactional_id, &next, Some((to, Reply::Producer(producer_id, epoch))))
            }
        }
    }

    /// Aborts the open transaction of `transactional_id` and fences its producer.
    pub(super) fn fence(&mut self, situation: &Situation<'_>, transactional_id: &str) -> Effects<Reply> {
        let Some(entry) = self.entries.get_mut(transactional_id) else { return Effects::default() };
        entry.last_epoch = NO_PRODUCER_EPOCH;
        let next = Transaction {
            status: Status::PrepareAbort,
            // Clients never have the greatest epoch, so there is always one to fence with.
            producer_epoch: entry.durable.producer_epoch.saturating_add(1),
            updated_ms: situation.wall_ms,
            // No client's request is a repetition of this.
            client_version: 0,
            ..entry.durable.clone()
        };
        self.decided(transactional_id, &next, None)
    }

    /// Aborts a transaction on an administrator's word.
    pub(super) fn abort(
        &mut self,
        situation: &Situation<'_>,
        transactional_id: &str,
        producer: (ProducerId, ProducerEpoch),
        to: ReplyTo,
    ) -> Effects<Reply> {
        let Some(durable) = self.get(transactional_id) else {
            let message = format!("there is no transactional id '{transactional_id}'");
            return refused(to, ErrorCode::TransactionalIdNotFound, message);
        };
        let known = (durable.producer_id, durable.producer_epoch);
        if durable.status != Status::Ongoing || known != producer {
            let message = format!(
                "the transaction of '{transactional_id}' is {} and its producer {} at epoch {}: nothing is to be aborted",
                durable.status, known.0, known.1
            );
            return refused(to, ErrorCode::InvalidTxnState, message);
        }
        let mut effects = self.fence(situation, transactional_id);
        effects.replies.push((to, Reply::Aborting));
        effects
    }

    /// The effects of a decision: its record, and its markers for whoever writes them, once the record is durable.
    fn decided(
        &mut self,
        transactional_id: &str,
        next: &Transaction,
        reply: Option<(ReplyTo, Reply)>,
    ) -> Effects<Reply> {
        let mut effects = TransactionMachine::change(transactional_id, next, reply);
        effects.replies.extend(self.hand_out(Markers::of(transactional_id, next)));
        effects
    }

    /// All markers of a transaction are written.
    pub(super) fn markers_written(
        &mut self,
        situation: &Situation<'_>,
        markers: &Markers,
        to: ReplyTo,
    ) -> Effects<Reply> {
        let durable = self.get(&markers.transactional_id).filter(|known| markers.are_of(known));
        let Some(durable) = durable else {
            // The transaction was completed on the word of another writer.
            return Effects::reply(to, Reply::Noted);
        };
        let next = complete(durable, situation.wall_ms);
        if self.entries.get(&markers.transactional_id).is_some_and(|entry| !entry.waiting.is_empty()) {
            self.completed.push_back(markers.transactional_id.clone());
        }
        TransactionMachine::change(&markers.transactional_id, &next, Some((to, Reply::Noted)))
    }
}

fn verdict(durable: &Transaction, end: &End) -> Verdict {
    let epoch = end.producer_epoch;
    if durable.is_followed_by((end.producer_id, epoch)) {
        return Verdict::Wait;
    }
    let knows_bump = durable.client_version >= EPOCH_BUMP_FROM;
    let repeated =
        knows_bump && durable.producer_id == end.producer_id && epoch.checked_add(1) == Some(durable.producer_epoch);
    let repeated_before_rotation = knows_bump
        && durable.previous_producer_id == end.producer_id
        && epoch == ProducerEpoch::MAX - 1
        && durable.producer_epoch == 0;
    if durable.producer_id != end.producer_id && !repeated_before_rotation {
        return Verdict::Refuse(
            ErrorCode::InvalidProducerIdMapping,
            "another producer stands for the transactional id",
        );
    }
    if end.client_version >= EPOCH_BUMP_FROM {
        verdict_by_epoch(durable, end, repeated || repeated_before_rotation)
    } else if epoch != durable.producer_epoch {
        FENCED
    } else {
        verdict_by_status(durable.status, end.commit)
    }
}

/// With transaction version 2 the epoch tells which transaction is meant.
fn verdict_by_epoch(durable: &Transaction, end: &End, repeated: bool) -> Verdict {
    let current = durable.producer_epoch == end.producer_epoch && durable.producer_id == end.producer_id;
    match durable.status {
        Status::Ongoing if current => Verdict::Prepare,
        Status::Empty | Status::CompleteCommit | Status::CompleteAbort if current && !end.commit => {
            Verdict::AbortNothing
        }
        Status::Empty | Status::CompleteCommit | Status::CompleteAbort if current => {
            Verdict::Refuse(ErrorCode::InvalidTxnState, "there is no transaction to commit")
        }
        Status::PrepareCommit | Status::PrepareAbort | Status::CompleteCommit | Status::CompleteAbort if repeated => {
            verdict_by_status(durable.status, end.commit)
        }
        _ => FENCED,
    }
}

/// With transaction version 1 the status is all there is.
fn verdict_by_status(status: Status, commit: bool) -> Verdict {
    match status {
        Status::Ongoing => Verdict::Prepare,
        Status::Empty => Verdict::Refuse(ErrorCode::InvalidTxnState, "there is no transaction"),
        _ if status.is_commit() != commit => {
            Verdict::Refuse(ErrorCode::InvalidTxnState, "the opposite was decided before")
        }
        Status::PrepareCommit | Status::PrepareAbort => Verdict::Wait,
        Status::CompleteCommit | Status::CompleteAbort => Verdict::Done,
    }
}

/// What the end of an open transaction makes of it.
fn prepared(durable: &Transaction, end: &End, wall_ms: Timestamp) -> Transaction {
    let mut next = Transaction {
        status: if end.commit { Status::PrepareCommit } else { Status::PrepareAbort },
        updated_ms: wall_ms,
        client_version: end.client_version,
        ..durable.clone()
    };
    if end.client_version >= EPOCH_BUMP_FROM {
        if durable.is_exhausted() {
            next.next_producer_id = end.fresh.unwrap_or(next.next_producer_id);
        }
        next.producer_epoch = durable.producer_epoch.saturating_add(1);
    }
    next
}

/// Producer and epoch that a client is told when its transaction was decided.
fn told(next: &Transaction) -> (ProducerId, ProducerEpoch) {
    if next.next_producer_id >= 0 { (next.next_producer_id, 0) } else { (next.producer_id, next.producer_epoch) }
}

/// What the last marker makes of a transaction.
fn complete(prepared: &Transaction, wall_ms: Timestamp) -> Transaction {
    let mut next = Transaction {
        status: if prepared.status.is_commit() { Status::CompleteCommit } else { Status::CompleteAbort },
        partitions: BTreeSet::new(),
        updated_ms: wall_ms,
        ..prepared.clone()
    };
    if prepared.next_producer_id >= 0 {
        next.previous_producer_id = prepared.producer_id;
        (next.producer_id, next.producer_epoch) = told(prepared);
        next.next_producer_id = crate::model::ids::NO_PRODUCER_ID;
    }
    next
}

/// Why a request cannot wait for the markers of a transaction any longer.
pub(super) fn concurrent(transactional_id: &str) -> ClientError {
    let message = format!("the last transaction of '{transactional_id}' is still being completed: try again");
    ClientError::new(ErrorCode::ConcurrentTransactions, message)
}
