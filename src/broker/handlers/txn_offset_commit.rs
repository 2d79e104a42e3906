//! TxnOffsetCommit: offsets that count when the transaction is committed (KIP-98, KIP-447).
//!
//! The reactor that hosts the group's coordinator asks the transaction's coordinator, unless the transaction is open in the
//! offsets' partition already: a commit that was delayed until after its transaction's end would hold back the group's
//! offsets for ever.

use std::rc::Rc;

use super::init_producer_id::client_of;
use super::offset_commit::caller;
use crate::base::oneshot;
use crate::broker::broker::Broker;
use crate::broker::coordinate;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::message::{Answer, Ask, GroupQuestion, TxnOffsetQuestion};
use crate::broker::reply::Outcome;
use crate::coordinator::group::machine::{Caller, Input, Reply};
use crate::coordinator::transaction::machine::{self, Enlist};
use crate::coordinator::transaction::state::EPOCH_BUMP_FROM;
use crate::metadata::controller::internal_topics::OFFSETS_TOPIC;
use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use crate::protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use crate::protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use crate::shard::{Shard, Unverified};

/// The first version in which producers know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 4;
/// The first version whose clients leave it to the broker to add the partition to the transaction.
const ENLISTS_FROM: i16 = 5;

/// Commits the offsets within the transaction.
pub async fn handle(request: Request) -> Outcome {
    let (origin, mut decoded) = match request.decode::<TxnOffsetCommitRequest>() {
        Ok(decoded) => decoded,
        Err(outcome) => return outcome,
    };
    let unknown = take_unknown(&origin.broker.image(), &mut decoded.topics);
    let topics = decoded.topics.clone();
    let response = match commit(&origin, decoded).await {
        Ok(response) => response,
        Err(error) => {
            origin.refused(|| error.to_string());
            failed(&topics, error.code)
        }
    };
    let response = merged(response, failed(&unknown, ErrorCode::UnknownTopicOrPartition));
    origin.reply::<TxnOffsetCommitRequest>(&response)
}

fn failed(topics: &[TxnOffsetCommitRequestTopic], code: ErrorCode) -> TxnOffsetCommitResponse {
    let topic = |topic: &TxnOffsetCommitRequestTopic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code.code())
        });
        TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    };
    TxnOffsetCommitResponse::default().with_topics(topics.iter().map(topic).collect())
}

/// Takes out the partitions that exist nowhere, and topics without partitions, which are not answered.
fn take_unknown(image: &Image, topics: &mut Vec<TxnOffsetCommitRequestTopic>) -> Vec<TxnOffsetCommitRequestTopic> {
    let mut unknown = Vec::new();
    for topic in &mut *topics {
        let known = image.topic(&topic.name.0);
        let exists = |index| known.is_some_and(|topic| topic.partition(index).is_some());
        let (kept, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut topic.partitions).into_iter().partition(|partition| exists(partition.partition_index));
        topic.partitions = kept;
        if !gone.is_empty() {
            unknown.push(topic.clone().with_partitions(gone));
        }
    }
    topics.retain(|topic| !topic.partitions.is_empty());
    unknown
}

fn merged(mut response: TxnOffsetCommitResponse, unknown: TxnOffsetCommitResponse) -> TxnOffsetCommitResponse {
    for topic in unknown.topics {
        match response.topics.iter_mut().find(|known| known.name == topic.name) {
            Some(known) => known.partitions.extend(topic.partitions),
            None => response.topics.push(topic),
        }
    }
    response
}

async fn commit(origin: &Origin, request: TxnOffsetCommitRequest) -> Result<TxnOffsetCommitResponse, ClientError> {
    let broker = &origin.broker;
    if request.transactional_id.is_empty() {
        return Err(ClientError::new(ErrorCode::InvalidRequest, "the transactional id is empty"));
    }
    if request.group_id.is_empty() {
        return Err(ClientError::new(ErrorCode::InvalidGroupId, "the group id is empty"));
    }
    if request.topics.is_empty() {
        return Ok(TxnOffsetCommitResponse::default());
    }
    coordinate::prepare(broker, OFFSETS_TOPIC).await?;
    let partition = coordinate::partition(broker, OFFSETS_TOPIC, &request.group_id.0)?;
    let question = TxnOffsetQuestion { partition, caller: caller(origin), request };
    let reply = if broker.hosts(partition) {
        // As elsewhere it goes on when the client is gone: a guard of its transaction must not stay behind.
        let (sender, receiver) = oneshot::channel();
        let here = Rc::clone(broker);
        broker.io.spawn(async move { sender.send(answer_here(&here, question).await) });
        receiver.await.unwrap_or_else(|| Err(ClientError::new(ErrorCode::NotCoordinator, "the broker stops")))
    } else {
        match broker.ask(broker.host(partition), Ask::TxnOffsetCommit(Box::new(question))).await {
            Answer::Group(reply) => *reply,
            _ => unreachable!("a group's coordinator answers as one"),
        }
    };
    match reply? {
        Reply::TxnOffsetCommit(answer) => answer,
        _ => unreachable!("each request has its own reply"),
    }
}

/// Puts the commit to a group's coordinator that is hosted here, once it may be part of its transaction.
pub async fn answer_here(broker: &Rc<Broker>, question: TxnOffsetQuestion) -> Result<Reply, ClientError> {
    let TxnOffsetQuestion { partition, caller, request } = question;
    let shard = broker.shards.get(partition).ok_or_else(|| {
        let message =
            format!("the partition of '{OFFSETS_TOPIC}' is being made or removed: look for the coordinator again");
        ClientError::new(ErrorCode::NotCoordinator, message)
    })?;
    let (producer_id, epoch) = (request.producer_id.0, request.producer_epoch);
    if let Some(unverified) = shard.guard_transaction(producer_id, epoch)? {
        verify(broker, &shard, &unverified, &request, &caller).await?;
        shard.check_guard(&unverified)?;
    }
    // Looked at last: between this and the append nothing happens on this reactor, and an append that the log refused would
    // cost the coordinator its state.
    shard.check_producer(producer_id, epoch)?;
    let input = Input::TxnOffsetCommit(caller, Box::new(request));
    coordinate::ask_group_here(broker, GroupQuestion { partition, input })?.await
}

/// Asks the transaction's coordinator whether the offsets' partition is part of the transaction, or has it added.
async fn verify(
    broker: &Rc<Broker>,
    shard: &Shard,
    unverified: &Unverified,
    request: &TxnOffsetCommitRequest,
    caller: &Caller,
) -> Result<(), ClientError> {
    let api_version = caller.api_version;
    let enlists = api_version >= ENLISTS_FROM;
    let transactional_id = request.transactional_id.to_string();
    let enlist = Enlist {
        transactional_id: transactional_id.clone(),
        producer_id: unverified.producer_id,
        producer_epoch: unverified.producer_epoch,
        partitions: vec![(OFFSETS_TOPIC.into(), unverified.partition.index)],
        verify_only: !enlists,
        client_version: if enlists { EPOCH_BUMP_FROM } else { 0 },
        client: client_of(caller),
    };
    let asked = coordinate::transaction(broker, &transactional_id, machine::Input::Enlist(enlist)).await;
    let refused = match asked {
        Ok(machine::Reply::Enlisted(answers)) => answers.into_iter().flatten().next(),
        Ok(machine::Reply::Refused(error)) | Err(error) => Some(error),
        Ok(_) => unreachable!("each request has its own reply"),
    };
    let Some(error) = refused else { return Ok(()) };
    shard.drop_guard(unverified);
    let code = match error.code {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if api_version < ABORTABLE_FROM => ErrorCode::InvalidTxnState,
        other => other,
    };
    Err(ClientError::new(code, error.message))
}
