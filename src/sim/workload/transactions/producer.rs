//! A transactional producer: one instance of a transactional id after the other.
//!
//! A request without a reply is sent again, as Kafka's clients do, with one exception: an EndTxn of transaction version 1.
//! It may still be on its way when the next transaction is open, and end that one (KAFKA-17754); so its sender stands up as
//! another instance instead, whose epoch fences the request. With version 2 it is sent again as often as it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use kafka_protocol::protocol::Request;

use super::items;
use crate::base::prng::Prng;
use crate::base::time::Duration;
use crate::io::Handle;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{PartitionId, ProducerEpoch, ProducerId};
use crate::model::offset::Offset;
use crate::protocol::api::ApiKey;
use crate::protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, FindCoordinatorRequest, InitProducerIdRequest,
    ProduceRequest, TxnOffsetCommitRequest,
};
use crate::sim::client::requests::{self, Topic};
use crate::sim::client::transactions::{self as wire, KeyType, VERSION_1, VERSION_2, Versions};
use crate::sim::client::{Lost, Session};
use crate::sim::history::transactions::{Content, InstanceNumber, Item, TransactionEvent, TransactionNumber};
use crate::sim::history::{Event, Moment};
use crate::sim::scene::Scene;
use crate::sim::workload::{PATIENCE, connect, note_lost, pause};

/// How long a request is tried for.
const DELIVERY: Duration = Duration::from_secs(60);

/// How a transactional producer works.
#[derive(Clone, Debug)]
pub struct Style {
    /// Its number; instances of one id share it.
    pub id: u32,
    /// Whether it speaks transaction version 2.
    pub version_2: bool,
    /// How long its transactions may take, in milliseconds.
    pub timeout_ms: i32,
}

/// Why an instance is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Another instance has taken over, or the transaction was aborted under it.
    Fenced,
    /// The transaction can only be aborted.
    Abortable,
    /// It is not known what became of a request.
    Unknown,
}

/// What an error code means for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Done,
    Again,
    Over(Over),
}

fn verdict(code: ErrorCode) -> Verdict {
    match code {
        // A batch that is told to be a duplicate stands in the log.
        ErrorCode::None | ErrorCode::DuplicateSequenceNumber => Verdict::Done,
        ErrorCode::ConcurrentTransactions
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator
        | ErrorCode::NotLeaderOrFollower
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::KafkaStorageError
        | ErrorCode::RequestTimedOut
        | ErrorCode::UnstableOffsetCommit
        | ErrorCode::UnknownTopicOrPartition => Verdict::Again,
        ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced | ErrorCode::InvalidProducerIdMapping => {
            Verdict::Over(Over::Fenced)
        }
        _ => Verdict::Over(Over::Abortable),
    }
}

fn code_of(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

/// See the module.
pub struct TransactionalProducer {
    pub(super) io: Handle,
    pub(super) scene: Rc<Scene>,
    pub(super) random: Prng,
    style: Style,
    name: String,
    versions: Versions,
    session: Option<Session>,
    instance: InstanceNumber,
    /// The producer of the instance, or of the last one.
    producer: Option<(ProducerId, ProducerEpoch)>,
    is_up: bool,
    sequences: BTreeMap<PartitionId, i32>,
    transaction: TransactionNumber,
    /// What is part of the transaction already, as far as version 1 has to know.
    added: BTreeSet<PartitionId>,
    offsets_added: bool,
    next_number: u32,
}

impl TransactionalProducer {
    /// A producer that has no instance yet.
    pub fn new(io: Handle, scene: Rc<Scene>, random: Prng, kind: &str, style: Style) -> TransactionalProducer {
        let name = format!("{kind}-{}", style.id);
        let versions = if style.version_2 { VERSION_2 } else { VERSION_1 };
        TransactionalProducer {
            io,
            scene,
            random,
            style,
            name,
            versions,
            session: None,
            instance: 0,
            producer: None,
            is_up: false,
            sequences: BTreeMap::new(),
            transaction: 0,
            added: BTreeSet::new(),
            offsets_added: false,
            next_number: 0,
        }
    }

    /// The connection, made if there is none.
    pub(super) async fn session(&mut self) -> &mut Session {
        while self.session.is_none() {
            let session = connect(&self.io, &self.scene, &mut self.random).await;
            match self.find_coordinators(session).await {
                Ok(session) => self.session = Some(session),
                Err(lost) => {
                    note_lost(&self.scene, lost);
                    pause(&self.io, &mut self.random).await;
                }
            }
        }
        self.session.as_mut().expect("just made")
    }

    /// Whoever coordinates is this broker; asking makes the topics that it needs.
    async fn find_coordinators(&self, mut session: Session) -> Result<Session, Lost> {
        for key_type in [KeyType::Transaction, KeyType::Group] {
            let request = wire::find_coordinator(&self.name, key_type);
            let deadline = self.io.now() + PATIENCE;
            session.ask::<FindCoordinatorRequest>(wire::FIND_COORDINATOR, &request, deadline).await?;
        }
        Ok(session)
    }

    /// Lets go of the connection.
    pub(super) fn lost(&mut self, lost: Lost) {
        note_lost(&self.scene, lost);
        self.session = None;
    }

    fn current(&self) -> (ProducerId, ProducerEpoch) {
        self.producer.unwrap_or((-1, -1))
    }

    fn record(&self, event: TransactionEvent) {
        self.scene.record(Event::Transaction(event));
    }

    fn refused(&self, key: i16, code: ErrorCode) {
        let asked_for = ApiKey::from_code(key).expect("it was asked for");
        self.record(TransactionEvent::Refused { transaction: self.transaction, asked_for, code });
    }

    /// Asks until there is an answer that stands; with `once`, no more than one request is sent. `told` finds the error codes.
    async fn settle<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        once: bool,
        mut before: impl FnMut(&Scene),
        told: impl Fn(&R::Response) -> Vec<i16>,
    ) -> Result<R::Response, Over> {
        let give_up = self.io.now() + DELIVERY;
        loop {
            let deadline = self.io.now() + PATIENCE;
            self.session().await;
            before(&self.scene);
            let Some(session) = self.session.as_mut() else { continue };
            let again = match session.ask(version, request, deadline).await {
                Ok(response) => {
                    let codes: Vec<ErrorCode> = told(&response).into_iter().map(code_of).collect();
                    for code in &codes {
                        if let Verdict::Over(over) = verdict(*code) {
                            self.refused(R::KEY, *code);
                            return Err(over);
                        }
                    }
                    if codes.iter().all(|code| verdict(*code) == Verdict::Done) {
                        return Ok(response);
                    }
                    true
                }
                Err(lost) => {
                    self.lost(lost);
                    !once
                }
            };
            if !again || self.io.now() >= give_up {
                return Err(Over::Unknown);
            }
            pause(&self.io, &mut self.random).await;
        }
    }

    /// Stands up as a new instance; what an earlier one has left open is aborted by that.
    ///
    /// # Errors
    /// Why it could not.
    pub async fn stand_up(&mut self) -> Result<(), Over> {
        // Sometimes as the producer that it was (KIP-360): one that was fenced since is told so.
        let current = self.producer.take().filter(|_| self.random.one_in(3));
        let request = wire::init(&self.name, self.style.timeout_ms, current);
        let answer = self
            .settle::<InitProducerIdRequest>(
                requests::INIT_PRODUCER_ID,
                &request,
                false,
                |_| {},
                |response| vec![response.error_code],
            )
            .await?;
        self.instance = self.scene.instance();
        self.producer = Some((answer.producer_id.0, answer.producer_epoch));
        self.is_up = true;
        self.begin_sequences();
        self.record(TransactionEvent::Initialised {
            id: self.style.id,
            instance: self.instance,
            producer_id: answer.producer_id.0,
            epoch: answer.producer_epoch,
        });
        Ok(())
    }

    /// Whether it has an instance.
    pub fn is_up(&self) -> bool {
        self.is_up
    }

    fn begin_sequences(&mut self) {
        self.sequences.clear();
    }

    /// Begins a transaction.
    pub fn begin(&mut self) {
        self.transaction = self.scene.transaction();
        self.added.clear();
        self.offsets_added = false;
        self.next_number = 0;
        let (id, instance) = (self.style.id, self.instance);
        self.record(TransactionEvent::Begun { transaction: self.transaction, id, instance });
    }

    /// The next record of the transaction.
    pub fn item(&mut self, content: Content) -> Item {
        self.next_number += 1;
        Item { transaction: self.transaction, number: self.next_number, content }
    }

    /// Writes a batch to each of some partitions.
    ///
    /// # Errors
    /// Why the transaction cannot go on.
    pub async fn send(&mut self, topic: &Topic, batches: &[(i32, Vec<Item>)]) -> Result<(), Over> {
        let place = |index: i32| PartitionId { topic: topic.id, index };
        let new: Vec<(String, i32)> = batches
            .iter()
            .filter(|(index, _)| !self.style.version_2 && !self.added.contains(&place(*index)))
            .map(|(index, _)| (topic.name.clone(), *index))
            .collect();
        if !new.is_empty() {
            let request = wire::add_partitions(&self.name, self.current(), &new);
            self.settle::<AddPartitionsToTxnRequest>(
                wire::ADD_PARTITIONS,
                &request,
                false,
                |_| {},
                |response| {
                    let topics = response.results_by_topic_v3_and_below.iter();
                    topics
                        .flat_map(|topic| &topic.results_by_partition)
                        .map(|partition| partition.partition_error_code)
                        // The others were not attempted because of one that is told, too.
                        .filter(|code| *code != ErrorCode::OperationNotAttempted.code())
                        .collect()
                },
            )
            .await?;
            self.added.extend(new.iter().map(|(_, index)| place(*index)));
        }
        let mut left: Vec<(i32, Vec<Item>)> = batches.to_vec();
        let mut first_asked: Option<Moment> = None;
        let give_up = self.io.now() + DELIVERY;
        while !left.is_empty() {
            if self.io.now() >= give_up {
                return Err(Over::Unknown);
            }
            self.send_once(topic, &mut left, &mut first_asked).await?;
        }
        Ok(())
    }

    /// Sends what is left; takes out what was acknowledged.
    async fn send_once(
        &mut self,
        topic: &Topic,
        left: &mut Vec<(i32, Vec<Item>)>,
        first_asked: &mut Option<Moment>,
    ) -> Result<(), Over> {
        let (transaction, wall_ms) = (self.transaction, self.io.wall_ms());
        self.session().await;
        let data: Vec<_> = left
            .iter()
            .map(|(index, items)| {
                let place = PartitionId { topic: topic.id, index: *index };
                let sequence = self.sequences.get(&place).copied().unwrap_or(0);
                let bytes = items::batch(items, *index, wall_ms, self.current(), sequence);
                (topic.clone(), *index, bytes.into())
            })
            .collect();
        let request =
            requests::produce(self.versions.produce, -1, &data).with_transactional_id(Some(wire::wire_id(&self.name)));
        for (index, items) in left.iter() {
            let place = PartitionId { topic: topic.id, index: *index };
            self.record(TransactionEvent::Sent { transaction, place, items: items.clone() });
        }
        let asked = *first_asked.get_or_insert(self.scene.moment());
        let deadline = self.io.now() + PATIENCE;
        let Some(session) = self.session.as_mut() else { return Ok(()) };
        let response = match session.ask::<ProduceRequest>(self.versions.produce, &request, deadline).await {
            Ok(response) => response,
            Err(lost) => {
                self.lost(lost);
                pause(&self.io, &mut self.random).await;
                return Ok(());
            }
        };
        let mut over = None;
        for answer in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
            let place = PartitionId { topic: topic.id, index: answer.index };
            match code_of(answer.error_code) {
                code @ (ErrorCode::None | ErrorCode::DuplicateSequenceNumber) => {
                    let Some(at) = left.iter().position(|(index, _)| *index == answer.index) else { continue };
                    let (_, items) = left.swap_remove(at);
                    *self.sequences.entry(place).or_insert(0) += items.len() as i32;
                    let base_offset = (code == ErrorCode::None).then_some(answer.base_offset);
                    let first = items.first().map_or(0, |item| item.number);
                    self.record(TransactionEvent::Appended { transaction, place, asked, first, base_offset });
                }
                code => {
                    if let Verdict::Over(why) = verdict(code) {
                        self.refused(ProduceRequest::KEY, code);
                        over = Some(why);
                    }
                }
            }
        }
        match over {
            Some(over) => Err(over),
            None if left.is_empty() => Ok(()),
            None => {
                pause(&self.io, &mut self.random).await;
                Ok(())
            }
        }
    }

    /// Commits with the transaction how far a partition was read.
    ///
    /// # Errors
    /// Why the transaction cannot go on.
    pub async fn send_offset(&mut self, group: &str, topic: &Topic, index: i32, offset: Offset) -> Result<(), Over> {
        if !self.style.version_2 && !self.offsets_added {
            let request = wire::add_offsets(&self.name, self.current(), group);
            self.settle::<AddOffsetsToTxnRequest>(
                wire::ADD_OFFSETS,
                &request,
                false,
                |_| {},
                |response| vec![response.error_code],
            )
            .await?;
            self.offsets_added = true;
        }
        let place = PartitionId { topic: topic.id, index };
        let request = wire::commit_offset(&self.name, self.current(), group, &topic.name, place, offset);
        self.settle::<TxnOffsetCommitRequest>(
            self.versions.offsets,
            &request,
            false,
            |_| {},
            |response| {
                let topics = response.topics.iter();
                topics.flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect()
            },
        )
        .await?;
        Ok(())
    }

    /// Ends the transaction.
    ///
    /// # Errors
    /// Why it is not known to have ended as asked.
    pub async fn end(&mut self, commit: bool) -> Result<(), Over> {
        let transaction = self.transaction;
        let request = wire::end(&self.name, self.current(), commit);
        let mut asked: Option<Moment> = None;
        let once = !self.style.version_2;
        let response = self
            .settle::<EndTxnRequest>(
                self.versions.end,
                &request,
                once,
                |scene| {
                    scene.record(Event::Transaction(TransactionEvent::EndAsked { transaction, commit }));
                    asked.get_or_insert(scene.moment());
                },
                |response| vec![response.error_code],
            )
            .await?;
        if self.style.version_2 {
            self.producer = Some((response.producer_id.0, response.producer_epoch));
            self.begin_sequences();
        }
        let epoch = self.current().1;
        let asked = asked.unwrap_or_default();
        self.record(TransactionEvent::Ended { transaction, asked, commit, epoch });
        Ok(())
    }

    /// Gives the instance up.
    pub fn fall(&mut self) {
        self.is_up = false;
        if self.random.one_in(3) {
            self.session = None;
        }
    }
}
