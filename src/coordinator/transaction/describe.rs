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

    /// When the oldest transaction that is not complete began.
    pub fn oldest_started_ms(&self) -> Option<Timestamp> {
        let open = self.iter().filter(|(_, one)| one.status == Status::Ongoing || one.status.is_prepared());
        open.map(|(_, transaction)| transaction.started_ms).min()
    }
}
