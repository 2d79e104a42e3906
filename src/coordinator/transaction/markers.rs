//! Markers on their way: which transaction they end, where, and who writes them.

use super::machine::{Reply, TransactionMachine};
use super::state::{Touched, Transaction};
use crate::coordinator::machine::{Effects, ReplyTo};
use crate::model::ids::{ProducerEpoch, ProducerId};

/// Transactions whose markers are handed out at a time.
const HANDED_OUT_MAX: usize = 256;

/// The markers that end one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Markers {
    /// The transactional id.
    pub transactional_id: String,
    /// The producer whose transaction ends.
    pub producer_id: ProducerId,
    /// The epoch that they carry.
    pub producer_epoch: ProducerEpoch,
    /// Whether it counts.
    pub is_commit: bool,
    /// By which rules the epoch is checked.
    pub transaction_version: i16,
    /// The partitions that need one.
    pub partitions: Vec<Touched>,
}

impl Markers {
    /// Of a transaction that is decided.
    pub fn of(transactional_id: &str, decided: &Transaction) -> Markers {
        Markers {
            transactional_id: transactional_id.to_owned(),
            producer_id: decided.producer_id,
            producer_epoch: decided.producer_epoch,
            is_commit: decided.status.is_commit(),
            transaction_version: decided.client_version,
            partitions: decided.partitions.iter().cloned().collect(),
        }
    }

    /// Whether these are the markers that `transaction` waits for.
    pub(super) fn are_of(&self, transaction: &Transaction) -> bool {
        transaction.status.is_prepared()
            && (transaction.producer_id, transaction.producer_epoch) == (self.producer_id, self.producer_epoch)
            && transaction.status.is_commit() == self.is_commit
    }
}

impl TransactionMachine {
    /// Gives the markers to who waits for some, or keeps them for who comes next.
    pub(super) fn hand_out(&mut self, markers: Markers) -> Option<(ReplyTo, Reply)> {
        match self.taker.take() {
            Some(taker) => Some((taker, Reply::Markers(vec![markers]))),
            None => {
                self.to_write.push_back(markers);
                None
            }
        }
    }

    pub(super) fn take_markers(&mut self, to: ReplyTo) -> Effects<Reply> {
        if self.to_write.is_empty() {
            // Another one who waited is told that there is nothing for it.
            let earlier = self.taker.replace(to).map(|earlier| (earlier, Reply::Markers(Vec::new())));
            return Effects { replies: earlier.into_iter().collect(), ..Effects::default() };
        }
        let count = self.to_write.len().min(HANDED_OUT_MAX);
        Effects::reply(to, Reply::Markers(self.to_write.drain(..count).collect()))
    }
}
