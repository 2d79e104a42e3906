//! Which partitions a transaction touches: AddPartitionsToTxn, AddOffsetsToTxn, and Produce of clients that leave it to the
//! broker (KIP-890).

use super::machine::{Enlist, Input, Reply, TransactionMachine};
use super::state::{Status, Transaction};
use crate::base::time::Duration;
use crate::coordinator::machine::{DECISION_BYTES_ENOUGH, DECISION_BYTES_MAX, Effects, ReplyTo, Situation, bytes_of};
use crate::model::error_code::{ClientError, ErrorCode};

/// The most partitions that one transaction may touch.
pub const PARTITIONS_MAX: usize = 100_000;
/// The largest record of a transaction, in bytes: the names of the topics that it touches make it up.
pub const RECORD_BYTES_MAX: usize = 4 << 20;
const _: () =
    assert!(RECORD_BYTES_MAX + DECISION_BYTES_ENOUGH < DECISION_BYTES_MAX as usize, "of the last one that is overdue");

impl TransactionMachine {
    pub(super) fn enlist(&mut self, situation: &Situation<'_>, enlist: Enlist, to: ReplyTo) -> Effects<Reply> {
        let durable = match self.check_producer(&enlist) {
            Ok(durable) => durable,
            Err(error) => return all(to, &enlist, Some(&error)),
        };
        if durable.status.is_prepared() {
            return self.wait(situation, Input::Enlist(enlist), to);
        }
        self.note_client(&enlist);
        let durable = &self.entries[&enlist.transactional_id].durable;
        let ongoing = durable.status == Status::Ongoing;
        if enlist.verify_only {
            let part = |one| ongoing && durable.partitions.contains(one);
            let answers = enlist.partitions.iter().map(|one| (!part(one)).then(|| not_part(&enlist))).collect();
            return Effects::reply(to, Reply::Enlisted(answers));
        }
        if ongoing && enlist.partitions.iter().all(|one| durable.partitions.contains(one)) {
            return all(to, &enlist, None);
        }
        let mut next = durable.clone();
        if !ongoing {
            (next.status, next.started_ms) = (Status::Ongoing, situation.wall_ms);
            next.partitions.clear();
        }
        next.partitions.extend(enlist.partitions.iter().cloned());
        (next.updated_ms, next.client_version) = (situation.wall_ms, enlist.client_version);
        let answers = vec![None; enlist.partitions.len()];
        let effects = TransactionMachine::change(&enlist.transactional_id, &next, Some((to, Reply::Enlisted(answers))));
        if next.partitions.len() > PARTITIONS_MAX || bytes_of(&effects.records) > RECORD_BYTES_MAX {
            let message = format!(
                "a transaction over more than {PARTITIONS_MAX} partitions, or whose record passes {RECORD_BYTES_MAX} \
                 bytes: commit more often"
            );
            return all(to, &enlist, Some(&ClientError::new(ErrorCode::InvalidRequest, message)));
        }
        if !ongoing {
            let takes = Duration::from_millis(u64::try_from(next.timeout_ms).unwrap_or(0));
            self.time_out_at(&enlist.transactional_id, situation.now + takes);
        }
        effects
    }

    /// Notes who uses the transactional id: after a start of the broker nobody else says so before the transaction ends.
    fn note_client(&mut self, enlist: &Enlist) {
        if let Some(entry) =
            self.entries.get_mut(&enlist.transactional_id).filter(|entry| entry.client != enlist.client)
        {
            entry.client = enlist.client.clone();
        }
    }

    fn check_producer(&self, enlist: &Enlist) -> Result<&Transaction, ClientError> {
        let unknown = || unknown(&enlist.transactional_id, enlist.producer_id);
        let durable = self.get(&enlist.transactional_id).ok_or_else(unknown)?;
        let producer = (enlist.producer_id, enlist.producer_epoch);
        if producer == (durable.producer_id, durable.producer_epoch) || durable.is_followed_by(producer) {
            return Ok(durable);
        }
        if durable.producer_id != enlist.producer_id {
            return Err(unknown());
        }
        let message = format!(
            "producer {} sent epoch {}, and its epoch is {}: another instance has taken over the transactional id, or the \
             transaction was aborted",
            enlist.producer_id, enlist.producer_epoch, durable.producer_epoch
        );
        Err(ClientError::new(ErrorCode::ProducerFenced, message))
    }
}

pub(super) fn unknown(transactional_id: &str, producer_id: i64) -> ClientError {
    let message = format!("producer {producer_id} does not stand for the transactional id '{transactional_id}'");
    ClientError::new(ErrorCode::InvalidProducerIdMapping, message)
}

fn not_part(enlist: &Enlist) -> ClientError {
    let message = format!(
        "the partition is not part of the transaction of producer {} (epoch {}): abort it and try again",
        enlist.producer_id, enlist.producer_epoch
    );
    ClientError::new(ErrorCode::TransactionAbortable, message)
}

/// The same answer for every partition.
fn all(to: ReplyTo, enlist: &Enlist, answer: Option<&ClientError>) -> Effects<Reply> {
    Effects::reply(to, Reply::Enlisted(vec![answer.cloned(); enlist.partitions.len()]))
}
