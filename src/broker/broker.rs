//! The context of one reactor: what its connections, handlers and the messages of other reactors work with.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use slab::Slab;

use super::calls::{self, Call, Calls, WaitingHere};
use super::config::Config;
use super::connection::Connection;
use super::controller::Controller;
use super::coordinators::Coordinators;
use super::fetch_session::Sessions;
use super::handlers::init_producer_id::ProducerIds;
use super::lag;
use super::message::{Ask, Message};
use super::refusal::RefusalLog;
use super::route::{self, CONTROLLER_REACTOR};
use super::stats::Counters;
use super::transmit::Staging;
use crate::base::time::{Duration, Instant};
use crate::io::Handle;
use crate::io::mesh::Mesh;
use crate::metadata::config::layers::Layers;
use crate::metadata::image::{Image, Topic};
use crate::metadata::record::PartitionRegistration;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{PartitionId, PartitionIndex, ReactorId, base64_url};
use crate::protocol::topic::{CurrentLeader, TopicRef};
use crate::shard::Shards;

/// One reactor's broker.
pub struct Broker {
    /// The reactor.
    pub io: Handle,
    /// The other reactors.
    pub mesh: Mesh<Message>,
    /// The process's configuration.
    pub config: Arc<Config>,
    /// The partitions hosted here.
    pub shards: Shards,
    /// The coordinators of groups and transactions hosted here.
    pub coordinators: Coordinators,
    /// When the batches at committed offsets were written.
    pub lag_times: lag::Times,
    /// Questions to other reactors.
    pub calls: Calls,
    /// The connections read here.
    pub connections: RefCell<Slab<Rc<Connection>>>,
    /// Where replies lie while they are sent.
    pub(super) reply_staging: RefCell<Staging>,
    /// The fetch sessions made here.
    pub sessions: RefCell<Sessions>,
    /// What is counted here.
    pub counters: Counters,
    /// What was refused here.
    pub refusals: RefusalLog,
    /// Producer ids that this reactor may give out.
    pub producer_ids: RefCell<ProducerIds>,
    /// The controller, on its reactor.
    pub controller: Option<Controller>,
    /// When the process started.
    pub started: Instant,
    /// What follows from the configuration as it is now.
    pub limits: Cell<Limits>,
    /// A copy of the shared image (a few counted pointers): requests count references that no other core touches.
    pub(super) image: RefCell<Rc<Image>>,
    pub(super) stopping: Cell<bool>,
    /// Connections by reactor, as far as the accepting reactor knows.
    pub(super) placed: RefCell<Vec<u32>>,
}

/// What requests are held to, resolved once a change of the image: some of it can be altered while the broker runs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that one fetch may bring (`fetch.max.bytes`).
    pub fetch_bytes_max: u32,
    /// Connections at a time (`max.connections`).
    pub connections_max: u64,
    /// How long a connection may be idle (`connections.max.idle.ms`); `None` without a bound.
    pub idle_max: Option<Duration>,
    /// Whether topics that clients name are made (`auto.create.topics.enable`).
    pub auto_create_topics: bool,
}

impl Limits {
    /// The limits that a broker with these layers has.
    pub fn of(layers: &Layers<'_>) -> Limits {
        Limits {
            fetch_bytes_max: u32::try_from(layers.whole("fetch.max.bytes")).unwrap_or(0),
            connections_max: u64::try_from(layers.whole("max.connections")).unwrap_or(0),
            idle_max: u64::try_from(layers.whole("connections.max.idle.ms")).ok().map(Duration::from_millis),
            auto_create_topics: layers.boolean("auto.create.topics.enable"),
        }
    }
}

/// A partition that a request may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The partition.
    pub partition: PartitionId,
    /// The reactor that hosts it.
    pub reactor: ReactorId,
}

/// Why a partition cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// What the client is told.
    pub error: ClientError,
    /// Who leads it instead (KIP-951).
    pub leader: Option<CurrentLeader>,
}

impl Broker {
    /// The metadata in force.
    pub fn image(&self) -> Rc<Image> {
        Rc::clone(&self.image.borrow())
    }

    /// How many reactors the process has.
    pub fn reactors(&self) -> usize {
        self.mesh.reactors()
    }

    /// Whether the process is asked to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// The reactor that hosts `partition`.
    pub fn host(&self, partition: PartitionId) -> ReactorId {
        route::host(partition, self.reactors())
    }

    /// Whether this reactor hosts it.
    pub fn hosts(&self, partition: PartitionId) -> bool {
        self.host(partition) == self.io.reactor_id()
    }

    /// Asks another reactor; the answer comes at once.
    pub fn ask(self: &Rc<Self>, to: ReactorId, ask: Ask) -> Call {
        calls::ask(self, to, ask, false)
    }

    /// Asks another reactor something that it may answer after a wait.
    pub fn ask_waiting(self: &Rc<Self>, to: ReactorId, ask: Ask) -> Call {
        calls::ask(self, to, ask, true)
    }

    /// Notes a wait of this reactor's own, so that it can be ended.
    pub fn waiting(self: &Rc<Self>) -> WaitingHere {
        WaitingHere::new(self, self.io.reactor_id(), self.calls.fresh_id())
    }

    /// The configuration of this broker, its dynamic layers by `image`.
    pub fn layers<'a>(&'a self, image: &'a Image) -> Layers<'a> {
        Layers::new(image, &self.config.kafka, self.config.node_id)
    }

    /// The way to a partition of `topic`, where this broker leads it.
    ///
    /// # Errors
    /// What to tell a client that asked for it.
    pub fn route(&self, image: &Image, topic: TopicRef<'_>, index: PartitionIndex) -> Result<Route, Unreachable> {
        let topic = find_topic(image, topic)?;
        let Some(registration) = topic.partition(index) else {
            let count = topic.partitions.len();
            let message = format!("topic '{}' has {count} partitions, partition {index} is none of them", topic.name);
            return Err(ClientError::new(ErrorCode::UnknownTopicOrPartition, message).into());
        };
        self.check_leader(topic, registration)?;
        let partition = PartitionId { topic: topic.id, index };
        Ok(Route { partition, reactor: self.host(partition) })
    }

    fn check_leader(&self, topic: &Topic, registration: &PartitionRegistration) -> Result<(), Unreachable> {
        if registration.leader == self.config.node_id {
            return Ok(());
        }
        let PartitionRegistration { leader, leader_epoch, partition, .. } = *registration;
        let message = format!("broker {leader} leads partition {} of topic '{}'", partition.index, topic.name);
        let error = ClientError::new(ErrorCode::NotLeaderOrFollower, message);
        Err(Unreachable { error, leader: Some(CurrentLeader { leader_id: leader, leader_epoch }) })
    }

    /// Notes that a connection of this reactor is gone.
    pub fn connection_closed(&self) {
        self.counters.connections_closed.add(1);
        if self.io.reactor_id() == CONTROLLER_REACTOR {
            self.displaced(CONTROLLER_REACTOR);
        } else {
            self.mesh.send(CONTROLLER_REACTOR, Message::ConnectionClosed);
        }
    }

    /// Notes, on the accepting reactor, that a connection of `reactor` is gone.
    pub fn displaced(&self, reactor: ReactorId) {
        self.placed.borrow_mut()[usize::from(reactor)] -= 1;
    }
}

impl From<ClientError> for Unreachable {
    fn from(error: ClientError) -> Unreachable {
        Unreachable { error, leader: None }
    }
}

/// The topic that a request names.
///
/// # Errors
/// UNKNOWN_TOPIC_OR_PARTITION for a name, UNKNOWN_TOPIC_ID for an id (KIP-516).
pub fn find_topic<'a>(image: &'a Image, topic: TopicRef<'_>) -> Result<&'a Arc<Topic>, ClientError> {
    match topic {
        TopicRef::Name(name) => image.topic(name).ok_or_else(|| {
            let message = format!("there is no topic '{}'", shown(name));
            ClientError::new(ErrorCode::UnknownTopicOrPartition, message)
        }),
        TopicRef::Id(id) => image.topic_by_id(id).ok_or_else(|| {
            ClientError::new(ErrorCode::UnknownTopicId, format!("there is no topic with id {}", base64_url(id)))
        }),
    }
}

/// A client's text as it may stand in messages: cut to a bearable length.
pub fn shown(text: &str) -> &str {
    const BYTES_MAX: usize = 260;
    if text.len() <= BYTES_MAX { text } else { &text[..text.floor_char_boundary(BYTES_MAX)] }
}
