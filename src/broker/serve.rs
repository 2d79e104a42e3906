//! The receiving end of the mesh: questions of other reactors are answered from this one's shards.

use std::rc::Rc;

use super::broker::Broker;
use super::calls::{self, WaitingHere};
use super::connection;
use super::controller;
use super::coordinate;
use super::handlers::{
    delete_records, describe_producers, list_offsets, offset_for_leader_epoch, produce, txn_offset_commit,
};
use super::hosting;
use super::lag;
use super::markers;
use super::message::{Answer, Ask, CallId, Fetch, Message, Produce, Publication};
use super::reading;
use super::startup::{self, RunError};
use super::stats;
use crate::coordinator::runtime::Asked;
use crate::model::error_code::ClientError;
use crate::model::ids::ReactorId;

/// Takes in messages for as long as the reactor runs.
pub async fn serve_for_ever(broker: Rc<Broker>) {
    loop {
        let (from, message) = broker.mesh.receive().await;
        assert!(take(&broker, from, message).is_none(), "only the reactor that leads asks for a shutdown");
    }
}

/// Takes in messages until the storage is to be finished, and finishes it.
///
/// # Errors
/// As [`startup::finish_storage`].
pub async fn serve_until_shutdown(broker: &Rc<Broker>) -> Result<(), RunError> {
    loop {
        let (from, message) = broker.mesh.receive().await;
        if let Some(call) = take(broker, from, message) {
            let finished = startup::finish_storage(broker).await;
            calls::answer(&broker.mesh, from, call, Answer::Finished);
            return finished;
        }
    }
}

/// Takes in a message; gives back the question to shut down.
fn take(broker: &Rc<Broker>, from: ReactorId, message: Message) -> Option<CallId> {
    match message {
        Message::Ask { call, ask: Ask::Shutdown } => return Some(call),
        Message::Ask { call, ask } => answer(broker, from, call, ask),
        Message::Answer { call, answer } => broker.calls.answered(call, answer),
        Message::Hurry { call } => broker.calls.hurry(from, call),
        Message::Connection(accepted, listener) => connection::start(broker, &accepted, listener),
        Message::ConnectionClosed => broker.displaced(from),
    }
    None
}

/// Starts on a question; what must happen in the order of arrival happens before this returns.
fn answer(broker: &Rc<Broker>, from: ReactorId, call: CallId, ask: Ask) {
    match ask {
        Ask::Produce(produce) => append(broker, from, call, &produce),
        Ask::Fetch(fetch) => {
            let waiting = WaitingHere::new(broker, from, call);
            spawn(broker, from, call, |broker| read(broker, *fetch, waiting));
        }
        Ask::Offsets(questions) => spawn(broker, from, call, |broker| async move {
            Answer::Offsets(list_offsets::answer_here(&broker, questions).await)
        }),
        Ask::EpochEnds(questions) => spawn(broker, from, call, |broker| async move {
            Answer::EpochEnds(offset_for_leader_epoch::answer_here(&broker, questions).await)
        }),
        Ask::DeleteRecords(deletions) => spawn(broker, from, call, |broker| async move {
            Answer::DeletedRecords(delete_records::answer_here(&broker, deletions).await)
        }),
        Ask::Group(question) => {
            let asked = coordinate::ask_group_here(broker, *question);
            let waiting = WaitingHere::new(broker, from, call);
            spawn(broker, from, call, |_| async move { Answer::Group(Box::new(until(asked, waiting).await)) });
        }
        Ask::Transaction(question) => {
            let asked = coordinate::ask_transaction_here(broker, *question);
            let waiting = WaitingHere::new(broker, from, call);
            spawn(broker, from, call, |_| async move { Answer::Transaction(Box::new(until(asked, waiting).await)) });
        }
        Ask::GroupOffsets(wanted) => {
            let offsets = Answer::GroupOffsets(lag::offsets_here(broker, &wanted));
            calls::answer(&broker.mesh, from, call, offsets);
        }
        Ask::Lag(questions) => {
            spawn(broker, from, call, |broker| async move { Answer::Lag(lag::behind_here(&broker, questions).await) })
        }
        Ask::TxnOffsetCommit(question) => spawn(broker, from, call, |broker| async move {
            Answer::Group(Box::new(txn_offset_commit::answer_here(&broker, *question).await))
        }),
        Ask::WriteMarkers(markers) => {
            let written = markers::append(broker, &markers);
            spawn(broker, from, call, |_| async move { Answer::MarkersWritten(written.await) });
        }
        Ask::Producers(partitions) => {
            let producers = describe_producers::answer_here(broker, &partitions);
            calls::answer(&broker.mesh, from, call, Answer::Producers(producers));
        }
        Ask::Publish(publication) => spawn(broker, from, call, |broker| publish(broker, *publication)),
        Ask::Decide(command) => spawn(broker, from, call, |broker| async move {
            Answer::Decided(Box::new(controller::execute(broker, *command).await))
        }),
        Ask::Stats => {
            let counts = Answer::Stats(Box::new(stats::of_reactor(broker)));
            calls::answer(&broker.mesh, from, call, counts);
        }
        Ask::Stop => spawn(broker, from, call, |broker| async move {
            startup::drain(&broker).await;
            Answer::Stopped
        }),
        Ask::Start(_) | Ask::Shutdown => unreachable!("asked before and after all others"),
    }
}

fn spawn<F: Future<Output = Answer> + 'static>(
    broker: &Rc<Broker>,
    from: ReactorId,
    call: CallId,
    work: impl FnOnce(Rc<Broker>) -> F,
) {
    let working = work(Rc::clone(broker));
    let mesh = broker.mesh.clone();
    broker.io.spawn(async move { calls::answer(&mesh, from, call, working.await) });
}

fn append(broker: &Rc<Broker>, from: ReactorId, call: CallId, produce: &Produce) {
    let batches = produce.batches.iter().map(|(partition, batch)| (*partition, &batch[..]));
    let placed = produce::append_all(broker, batches, produce.acks, produce.transactional.as_ref());
    spawn(broker, from, call, |_| async move {
        let mut results = Vec::with_capacity(placed.len());
        for append in placed {
            results.push(match append {
                Ok(append) => append.await,
                Err(error) => Err(error),
            });
        }
        Answer::Produced(results)
    });
}

/// What a coordinator answers, unless the wait for it is to end before.
async fn until<R>(mut asked: Result<Asked<R>, ClientError>, waiting: WaitingHere) -> Result<R, ClientError> {
    std::future::poll_fn(|context| coordinate::poll_asked(&mut asked, &waiting.hurry, context)).await
}

async fn read(broker: Rc<Broker>, fetch: Fetch, waiting: WaitingHere) -> Answer {
    Answer::Fetched(reading::read_waiting(&broker, &fetch, &waiting.hurry).await)
}

async fn publish(broker: Rc<Broker>, publication: Publication) -> Answer {
    hosting::apply(&broker, &publication).await;
    Answer::Published
}
