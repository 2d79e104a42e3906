//! The controller's shell: commands are decided one after the other, their records made durable, the image replaced on
//! every reactor, and only then answered. The decisions themselves are [`crate::metadata::controller`]'s.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::broker::Broker;
use super::calls;
use super::hosting;
use super::message::{Answer, Ask, Publication};
use super::metadata_log;
use super::route::CONTROLLER_REACTOR;
use crate::base::oneshot;
use crate::io::Handle;
use crate::metadata::controller::configs::{AlterResource, AlterResult, alter_configs, incremental_alter_configs};
use crate::metadata::controller::internal_topics::internal_topic;
use crate::metadata::controller::producer_ids::{ProducerIdBlock, allocate_block};
use crate::metadata::controller::topics::{
    CreatePartitionsResult, CreateTopicResult, DeleteTopicResult, NewPartitions, NewTopic, TopicToDelete,
    create_partitions, create_topics, delete_topics,
};
use crate::metadata::controller::{Context, Decision};
use crate::metadata::delta::{Changes, Delta};
use crate::metadata::image::Image;
use crate::metadata::record::{BrokerRegistration, MetadataRecord};
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::Uuid;
use crate::model::offset::LeaderEpoch;

/// Commands that may wait for their turn; beyond that a client is told to come again.
const COMMANDS_WAITING_MAX: usize = 1000;
/// The epoch of the one controller there is.
pub const CONTROLLER_EPOCH: LeaderEpoch = 0;

/// Something to be decided.
pub enum Command {
    /// Make topics.
    CreateTopics {
        /// The topics.
        topics: Vec<NewTopic>,
        /// Only say what would come of it.
        validate_only: bool,
    },
    /// Make topics that a client has named, or that this broker needs, with the defaults.
    AutoCreateTopics(Vec<String>),
    /// Delete topics.
    DeleteTopics(Vec<TopicToDelete>),
    /// Add partitions to topics.
    CreatePartitions {
        /// The topics.
        topics: Vec<NewPartitions>,
        /// Only say what would come of it.
        validate_only: bool,
    },
    /// Change configs, or replace them all.
    AlterConfigs {
        /// The resources.
        resources: Vec<AlterResource>,
        /// Whether what is not named stays (KIP-339).
        incremental: bool,
        /// Only say what would come of it.
        validate_only: bool,
    },
    /// Reserve producer ids.
    AllocateProducerIds,
    /// Make this broker known as it is configured now.
    RegisterBroker(BrokerRegistration),
    /// Give the cluster its id and its features.
    Bootstrap(Vec<MetadataRecord>),
}

/// What was decided, for each command its own.
pub enum Decided {
    /// To [`Command::CreateTopics`].
    CreatedTopics(Vec<CreateTopicResult>),
    /// To [`Command::AutoCreateTopics`]: the topics that were not made, and why.
    AutoCreated(Vec<(String, ClientError)>),
    /// To [`Command::DeleteTopics`].
    DeletedTopics(Vec<DeleteTopicResult>),
    /// To [`Command::CreatePartitions`].
    CreatedPartitions(Vec<CreatePartitionsResult>),
    /// To [`Command::AlterConfigs`].
    AlteredConfigs(Vec<AlterResult>),
    /// To [`Command::AllocateProducerIds`].
    ProducerIds(ProducerIdBlock),
    /// To [`Command::RegisterBroker`] and [`Command::Bootstrap`].
    Done,
    /// To any: it could not be decided or made durable.
    Failed(ClientError),
}

/// The controller, on its reactor.
#[derive(Default)]
pub struct Controller {
    turn: Turn,
}

/// Has `command` decided, on whichever reactor the controller is; resolves when it is in force on all reactors.
pub async fn decide(broker: &Rc<Broker>, command: Command) -> Decided {
    if broker.io.reactor_id() == CONTROLLER_REACTOR {
        return execute(Rc::clone(broker), command).await;
    }
    match broker.ask(CONTROLLER_REACTOR, Ask::Decide(Box::new(command))).await {
        Answer::Decided(decided) => *decided,
        _ => unreachable!("a decision is answered with what was decided"),
    }
}

/// Decides on this reactor. The work goes on to its end even if nobody awaits it any more: a half-done change of the
/// image would part the reactors.
pub async fn execute(broker: Rc<Broker>, command: Command) -> Decided {
    let (sender, decided) = oneshot::channel();
    let io = broker.io.clone();
    io.spawn(async move {
        let decided = execute_in_turn(&broker, command).await.unwrap_or_else(Decided::Failed);
        sender.send(decided);
    });
    decided.await.unwrap_or_else(|| {
        Decided::Failed(ClientError::new(ErrorCode::BrokerNotAvailable, "the broker has stopped meanwhile"))
    })
}

async fn execute_in_turn(broker: &Rc<Broker>, command: Command) -> Result<Decided, ClientError> {
    let controller = broker.controller.as_ref().expect("commands come to the controller's reactor");
    let _turn = controller.turn.take().await?;
    let image = broker.image();
    let (records, decided) = broker.decide(&image, command)?;
    if !records.is_empty() {
        commit(broker, &image, &records).await?;
    }
    Ok(decided)
}

impl Broker {
    fn decide(&self, image: &Image, command: Command) -> Result<(Vec<MetadataRecord>, Decided), ClientError> {
        let context = Context {
            image,
            statics: &self.config.kafka,
            broker: self.config.node_id,
            partitions_per_broker_max: self.config.partitions_per_broker_max,
        };
        let mut fresh_id = || fresh_uuid(&self.io);
        Ok(match command {
            Command::CreateTopics { topics, validate_only } => {
                let decision = create_topics(&context, &topics, validate_only, &mut fresh_id);
                (decision.records, Decided::CreatedTopics(decision.results))
            }
            Command::AutoCreateTopics(names) => auto_create(&context, names, &mut fresh_id),
            Command::DeleteTopics(topics) => {
                let Decision { records, results } = delete_topics(&context, &topics);
                (records, Decided::DeletedTopics(results))
            }
            Command::CreatePartitions { topics, validate_only } => {
                let Decision { records, results } = create_partitions(&context, &topics, validate_only);
                (records, Decided::CreatedPartitions(results))
            }
            Command::AlterConfigs { resources, incremental, validate_only } => {
                let alter = if incremental { incremental_alter_configs } else { alter_configs };
                let Decision { records, results } = alter(&context, &resources, validate_only);
                (records, Decided::AlteredConfigs(results))
            }
            Command::AllocateProducerIds => {
                let (record, block) = allocate_block(image)?;
                (vec![record], Decided::ProducerIds(block))
            }
            Command::RegisterBroker(registration) => {
                let known = image.broker(registration.id).is_some_and(|known| **known == registration);
                let record = MetadataRecord::Broker(registration);
                (if known { Vec::new() } else { vec![record] }, Decided::Done)
            }
            Command::Bootstrap(records) => (records, Decided::Done),
        })
    }
}

fn auto_create(
    context: &Context<'_>,
    names: Vec<String>,
    fresh_id: &mut dyn FnMut() -> Uuid,
) -> (Vec<MetadataRecord>, Decided) {
    let new_topic = |name: String| {
        let by_default =
            || NewTopic { name: name.clone(), partitions: -1, replication_factor: -1, ..NewTopic::default() };
        internal_topic(context, &name).unwrap_or_else(by_default)
    };
    let topics: Vec<NewTopic> = names.into_iter().map(new_topic).collect();
    let Decision { records, results } = create_topics(context, &topics, false, fresh_id);
    let refused = |result: CreateTopicResult| match result.outcome {
        // Another client was faster; the topic is there.
        Err(error) if error.code == ErrorCode::TopicAlreadyExists => None,
        Err(error) => Some((result.name, error)),
        Ok(_) => None,
    };
    (records, Decided::AutoCreated(results.into_iter().filter_map(refused).collect()))
}

/// A random uuid (version 4), from the reactor's stream.
pub fn fresh_uuid(io: &Handle) -> Uuid {
    let bits = (u128::from(io.random()) << 64) | u128::from(io.random());
    const VERSION: u128 = 0xf << 76;
    const VARIANT: u128 = 0x3 << 62;
    Uuid::from_u128((bits & !VERSION & !VARIANT) | 0x4 << 76 | 0x2 << 62)
}

/// Makes the records durable and the image that they make the one in force everywhere.
async fn commit(broker: &Rc<Broker>, image: &Image, records: &[MetadataRecord]) -> Result<(), ClientError> {
    // Replayed before it is written: a record that does not fit must never reach the log.
    let mut delta = Delta::new(image);
    for record in records {
        delta.replay(record).map_err(|error| {
            tracing::error!(%error, "a decision does not fit the image it was made from");
            ClientError::new(ErrorCode::UnknownServerError, format!("the decision contradicts the metadata: {error}"))
        })?;
    }
    let last_offset = metadata_log::append(broker, records).await?;
    let (image, changes) = delta.finish(last_offset, CONTROLLER_EPOCH);
    publish(broker, image, changes).await;
    Ok(())
}

async fn publish(broker: &Rc<Broker>, image: Image, changes: Changes) {
    let publication = Publication { image: Arc::new(image), changes: Arc::new(changes) };
    let others = (0..broker.reactors() as u16).filter(|reactor| *reactor != broker.io.reactor_id());
    let calls: Vec<calls::Call> =
        others.map(|reactor| broker.ask(reactor, Ask::Publish(Box::new(publication.clone())))).collect();
    hosting::apply(broker, &publication).await;
    for call in calls {
        let Answer::Published = call.await else { unreachable!("a publication is answered as published") };
    }
}

/// Lets one at a time pass, in the order of arrival.
#[derive(Default)]
struct Turn {
    queue: Rc<RefCell<Queue>>,
}

#[derive(Default)]
struct Queue {
    taken: bool,
    waiting: VecDeque<oneshot::Sender<()>>,
}

/// The right to go on, until dropped.
struct Taken(Rc<RefCell<Queue>>);

impl Turn {
    async fn take(&self) -> Result<Taken, ClientError> {
        let waits = {
            let mut queue = self.queue.borrow_mut();
            if !queue.taken {
                queue.taken = true;
                None
            } else if queue.waiting.len() >= COMMANDS_WAITING_MAX {
                let message = format!("{COMMANDS_WAITING_MAX} changes of the metadata wait already: try again later");
                return Err(ClientError::new(ErrorCode::ThrottlingQuotaExceeded, message));
            } else {
                let (sender, receiver) = oneshot::channel();
                queue.waiting.push_back(sender);
                Some(receiver)
            }
        };
        if let Some(waits) = waits {
            waits.await;
        }
        Ok(Taken(Rc::clone(&self.queue)))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        loop {
            let next = self.0.borrow_mut().waiting.pop_front();
            match next {
                Some(next) if next.is_abandoned() => {}
                Some(next) => return next.send(()),
                None => {
                    self.0.borrow_mut().taken = false;
                    return;
                }
            }
        }
    }
}
