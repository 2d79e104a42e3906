//! DescribeTransactions (KIP-664): how transactional ids stand.

use super::{once, text};
use crate::broker::coordinate;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::coordinator::transaction::describe::Seen;
use crate::coordinator::transaction::machine::{Input, Reply};
use crate::metadata::controller::internal_topics::TRANSACTIONS_TOPIC;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use crate::protocol::messages::{
    self, DescribeTransactionsRequest, DescribeTransactionsResponse, TopicName, TransactionalId,
};

/// Asks the coordinator of each id.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<DescribeTransactionsRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let ids = once(decoded.transactional_ids, TransactionalId::clone);
    let asked: Vec<_> = ids
        .iter()
        .map(|id| coordinate::transaction(&origin.broker, id, Input::Describe(vec![id.to_string()])))
        .collect();
    let mut states = Vec::with_capacity(asked.len());
    for (id, asked) in ids.iter().zip(asked) {
        let seen = if id.is_empty() {
            Err(ClientError::new(ErrorCode::InvalidRequest, "the transactional id is empty"))
        } else {
            seen(&origin, asked.await)
        };
        states.push(state(id, seen));
    }
    origin
        .reply::<DescribeTransactionsRequest>(&DescribeTransactionsResponse::default().with_transaction_states(states))
}

fn seen(origin: &Origin, answer: Result<Reply, ClientError>) -> Result<Seen, ClientError> {
    match answer {
        Ok(Reply::Described(mut described)) => described.remove(0),
        Ok(Reply::Refused(error)) => Err(error),
        // Where there is no topic of transactions, there is no transaction.
        Err(_) if origin.broker.image().topic(TRANSACTIONS_TOPIC).is_none() => {
            Err(ClientError::new(ErrorCode::TransactionalIdNotFound, "no transactional id was ever used here"))
        }
        Err(error) => Err(error),
        Ok(_) => unreachable!("each request has its own reply"),
    }
}

fn state(id: &TransactionalId, seen: Result<Seen, ClientError>) -> TransactionState {
    let state = TransactionState::default().with_transactional_id(id.clone());
    let Seen { transaction, .. } = match seen {
        Ok(seen) => seen,
        Err(error) => return state.with_error_code(error.code.code()),
    };
    let partitions: Vec<_> = transaction.partitions.iter().collect();
    let topics = partitions.chunk_by(|one, next| one.0 == next.0).map(|topic| {
        TopicData::default()
            .with_topic(TopicName(text(topic[0].0.to_string())))
            .with_partitions(topic.iter().map(|(_, index)| *index).collect())
    });
    state
        .with_transaction_state(text(transaction.status.name()))
        .with_transaction_timeout_ms(transaction.timeout_ms)
        .with_transaction_start_time_ms(transaction.started_ms)
        .with_producer_id(messages::ProducerId(transaction.producer_id))
        .with_producer_epoch(transaction.producer_epoch)
        .with_topics(topics.collect())
}
