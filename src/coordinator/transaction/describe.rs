//! What administrators see of transactions: DescribeTransactions, ListTransactions, and who holds back a partition.

use super::machine::TransactionMachine;
use super::state::{Client, NEVER_STARTED, Status, Transaction};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::ProducerId;
use crate::model::offset::Timestamp;

/// A transactional id as it stands.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What the log says.
    pub transaction: Transaction,
    /// Who uses it, as far as is known since the start.
    pub client: Client,
}

/// A transactional id in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The id.
    pub transactional_id: String,
    /// The producer that stands for it.
    pub producer_id: ProducerId,
    /// Where it stands.
    pub status: Status,
}

/// The transactions of a coordinator that are not complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Transactional ids that are known, with one or without.
    pub ids: usize,
    /// How many there are.
    pub count: usize,
    /// When the oldest began.
    pub oldest_started_ms: Option<Timestamp>,
}

/// Which transactional ids are wanted; an empty list wants all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of these producers.
    pub producer_ids: Vec<ProducerId>,
    /// In one of these states.
    pub statuses: Vec<Status>,
    /// No state is wanted that exists.
    pub no_status: bool,
    /// With a transaction that has been running for longer, in milliseconds; negative for any.
    pub longer_than_ms: i64,
}

impl TransactionMachine {
    pub(super) fn describe(&self, transactional_id: &str) -> Result<Seen, ClientError> {
        match self.entries.get(transactional_id) {
            Some(entry) => Ok(Seen { transaction: entry.durable.clone(), client: entry.client.clone() }),
            None => {
                let message = format!("there is no transactional id '{transactional_id}'");
                Err(ClientError::new(ErrorCode::TransactionalIdNotFound, message))
            }
        }
    }

    pub(super) fn list(&self, filter: &Filter, wall_ms: Timestamp) -> Vec<Listed> {
        let wanted = |transaction: &Transaction| {
            let running_ms = wall_ms.saturating_sub(transaction.started_ms);
            (filter.producer_ids.is_empty() || filter.producer_ids.contains(&transaction.producer_id))
                && (filter.statuses.is_empty() || filter.statuses.contains(&transaction.status))
                && (filter.longer_than_ms < 0
                    || (transaction.started_ms != NEVER_STARTED && running_ms > filter.longer_than_ms))
        };
        let found = self.iter().filter(|(_, transaction)| !filter.no_status && wanted(transaction));
        let listed = found.map(|(id, transaction)| Listed {
            transactional_id: id.to_owned(),
            producer_id: transaction.producer_id,
            status: transaction.status,
        });
        listed.collect()
    }

    /// The transactions that are not complete.
    pub fn open(&self) -> Open {
        let mut open = Open { ids: self.entries.len(), ..Open::default() };
        for (_, transaction) in self.iter() {
            if transaction.status == Status::Ongoing || transaction.status.is_prepared() {
                open.count += 1;
                let oldest = open.oldest_started_ms.unwrap_or(Timestamp::MAX);
                open.oldest_started_ms = Some(oldest.min(transaction.started_ms));
            }
        }
        open
    }
}
