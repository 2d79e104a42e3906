//! ListTransactions (KIP-664, KIP-994): the transactional ids that this broker coordinates, as far as they pass a filter.

use regex::{Regex, RegexBuilder};

use super::text;
use crate::broker::coordinate;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::coordinator::transaction::describe::{Filter, Listed};
use crate::coordinator::transaction::state::Status;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::list_transactions_response::TransactionState;
use crate::protocol::messages::{self, ListTransactionsRequest, ListTransactionsResponse, TransactionalId};

/// Memory that a compiled pattern may take, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Asks every coordinator of this broker.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<ListTransactionsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let known = |name: &str| Status::ALL.into_iter().find(|status| status.name() == name);
    let unknown = decoded.state_filters.iter().filter(|name| known(name).is_none()).cloned().collect();
    let statuses: Vec<Status> = decoded.state_filters.iter().filter_map(|name| known(name)).collect();
    let filter = Filter {
        producer_ids: decoded.producer_id_filters.iter().map(|id| id.0).collect(),
        no_status: statuses.is_empty() && !decoded.state_filters.is_empty(),
        statuses,
        longer_than_ms: decoded.duration_filter,
    };
    let pattern = decoded.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty());
    let response = ListTransactionsResponse::default().with_unknown_state_filters(unknown);
    let response = match list(&origin, &filter, pattern).await {
        Ok(listed) => response.with_transaction_states(listed.into_iter().map(state).collect()),
        Err(error) => {
            origin.refused(|| error.to_string());
            response.with_error_code(error.code.code())
        }
    };
    origin.reply::<ListTransactionsRequest>(&response)
}

async fn list(origin: &Origin, filter: &Filter, pattern: Option<&str>) -> Result<Vec<Listed>, ClientError> {
    let pattern = pattern.map(regex).transpose()?;
    let (mut all, _) = coordinate::list_transactions(&origin.broker, filter).await?;
    all.retain(|one| pattern.as_ref().is_none_or(|pattern| pattern.is_match(&one.transactional_id)));
    Ok(all)
}

/// A pattern that has to match a whole id. It is matched without backtracking, and compiled within a bound of memory.
fn regex(pattern: &str) -> Result<Regex, ClientError> {
    let compiled = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build();
    // By itself first: it must not close the brackets that are put around it.
    compiled(pattern).and_then(|_| compiled(&format!("^(?:{pattern})$"))).map_err(|error| {
        let message = format!("the pattern of transactional ids cannot be used: {error}");
        ClientError::new(ErrorCode::InvalidRegularExpression, message)
    })
}

fn state(listed: Listed) -> TransactionState {
    TransactionState::default()
        .with_transactional_id(TransactionalId(text(listed.transactional_id)))
        .with_producer_id(messages::ProducerId(listed.producer_id))
        .with_transaction_state(text(listed.status.name()))
}
