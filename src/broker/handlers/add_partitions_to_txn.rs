//! AddPartitionsToTxn: the partitions that a transaction is going to touch; of several transactions from version 4 on.

use super::init_producer_id::{client, fenced_as};
use crate::broker::broker::find_topic;
use crate::broker::coordinate::{self, Waiting};
use crate::broker::dispatch::{Origin, Request};
use crate::broker::reply::Outcome;
use crate::coordinator::transaction::machine::{Enlist, Input, Reply};
use crate::coordinator::transaction::state::Touched;
use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use crate::protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use crate::protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use crate::protocol::topic::TopicRef;

/// The first version with several transactions.
const BATCHES_FROM: i16 = 4;
/// The first version in which producers know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;
/// The first version in which producers know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 5;

/// Has the coordinators add the partitions, or say whether they are part of the transactions.
pub async fn handle(request: Request) -> Outcome {
    let (origin, decoded) = match request.decode::<AddPartitionsToTxnRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let response = AddPartitionsToTxnResponse::default();
    if origin.version < BATCHES_FROM {
        let alone = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(decoded.v3_and_below_transactional_id.clone())
            .with_producer_id(decoded.v3_and_below_producer_id)
            .with_producer_epoch(decoded.v3_and_below_producer_epoch)
            .with_topics(decoded.v3_and_below_topics.clone());
        let results = Asked::ask(&origin, &alone).results(&origin, &alone).await;
        return origin.reply::<AddPartitionsToTxnRequest>(&response.with_results_by_topic_v3_and_below(results));
    }
    // All are asked before the first answer is waited for.
    let asked: Vec<_> = decoded.transactions.iter().map(|one| Asked::ask(&origin, one)).collect();
    let mut results = Vec::with_capacity(asked.len());
    for (transaction, asked) in decoded.transactions.iter().zip(asked) {
        let topics = asked.results(&origin, transaction).await;
        let id = transaction.transactional_id.clone();
        results.push(AddPartitionsToTxnResult::default().with_transactional_id(id).with_topic_results(topics));
    }
    origin.reply::<AddPartitionsToTxnRequest>(&response.with_results_by_transaction(results))
}

/// One transaction of a request: what is wrong with its partitions, or the question to its coordinator.
enum Asked {
    /// One error a partition.
    Refused(Vec<ErrorCode>),
    Waiting(Waiting<Reply>),
}

impl Asked {
    fn ask(origin: &Origin, transaction: &AddPartitionsToTxnTransaction) -> Asked {
        let refusals = refusals(origin, transaction);
        if refusals.iter().any(|code| *code != ErrorCode::None) {
            return Asked::Refused(refusals);
        }
        let touched = |topic: &AddPartitionsToTxnTopic| -> Vec<Touched> {
            let name = std::sync::Arc::from(&*topic.name.0);
            topic.partitions.iter().map(|index| (std::sync::Arc::clone(&name), *index)).collect()
        };
        let enlist = Enlist {
            transactional_id: transaction.transactional_id.to_string(),
            producer_id: transaction.producer_id.0,
            producer_epoch: transaction.producer_epoch,
            partitions: transaction.topics.iter().flat_map(touched).collect(),
            verify_only: transaction.verify_only,
            client_version: 0,
            client: client(origin),
        };
        Asked::Waiting(coordinate::transaction(&origin.broker, &transaction.transactional_id, Input::Enlist(enlist)))
    }

    async fn results(
        self,
        origin: &Origin,
        transaction: &AddPartitionsToTxnTransaction,
    ) -> Vec<AddPartitionsToTxnTopicResult> {
        let count = transaction.topics.iter().map(|topic| topic.partitions.len()).sum();
        let codes = match self {
            Asked::Refused(codes) => codes,
            Asked::Waiting(waiting) => codes(origin, waiting.await, count),
        };
        let mut codes = codes.into_iter();
        let topic = |topic: &AddPartitionsToTxnTopic| {
            let results = topic.partitions.iter().zip(&mut codes).map(|(index, code)| {
                AddPartitionsToTxnPartitionResult::default()
                    .with_partition_index(*index)
                    .with_partition_error_code(code.code())
            });
            let results = results.collect();
            AddPartitionsToTxnTopicResult::default().with_name(topic.name.clone()).with_results_by_partition(results)
        };
        transaction.topics.iter().map(topic).collect()
    }
}

fn codes(origin: &Origin, answer: Result<Reply, ClientError>, count: usize) -> Vec<ErrorCode> {
    let answers = match answer {
        Ok(Reply::Enlisted(answers)) => answers,
        Ok(Reply::Refused(error)) | Err(error) => vec![Some(error); count],
        Ok(_) => unreachable!("each request has its own reply"),
    };
    if let Some(error) = answers.iter().flatten().next() {
        origin.refused(|| error.to_string());
    }
    let known = |code: ErrorCode| match fenced_as(code, origin.version >= FENCED_FROM) {
        ErrorCode::TransactionAbortable if origin.version < ABORTABLE_FROM => ErrorCode::InvalidTxnState,
        other => other,
    };
    answers.into_iter().map(|answer| answer.map_or(ErrorCode::None, |error| known(error.code))).collect()
}

/// What is wrong with the partitions themselves: where one is refused, the others are not attempted, as in Kafka.
fn refusals(origin: &Origin, transaction: &AddPartitionsToTxnTransaction) -> Vec<ErrorCode> {
    let image = origin.broker.image();
    let partitions = transaction
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|index| refusal(&image, transaction, &topic.name.0, *index)));
    let mut codes: Vec<ErrorCode> = partitions.collect();
    if codes.iter().any(|code| *code != ErrorCode::None) {
        let others = codes.iter_mut().filter(|code| **code == ErrorCode::None);
        others.for_each(|code| *code = ErrorCode::OperationNotAttempted);
    }
    codes
}

fn refusal(image: &Image, transaction: &AddPartitionsToTxnTransaction, topic: &str, index: i32) -> ErrorCode {
    if transaction.transactional_id.is_empty() {
        return ErrorCode::InvalidRequest;
    }
    let topic = find_topic(image, TopicRef::Name(topic)).ok();
    if topic.is_some_and(|topic| topic.partition(index).is_some()) {
        ErrorCode::None
    } else {
        ErrorCode::UnknownTopicOrPartition
    }
}
