//! A reactor's main: from what the disk holds to serving, and back.
//!
//! Reactor 0 recovers the storage and the metadata, hands the other reactors their parts, opens the listeners when all
//! are ready, and on a stop signal takes everything down in the opposite order. It runs over any backend.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use slab::Slab;

use super::accept;
use super::broker::{Broker, Limits};
use super::calls::Calls;
use super::config::Config;
use super::controller::{Command, Controller, Decided, decide, fresh_uuid};
use super::coordinators::Coordinators;
use super::fetch_session::Sessions;
use super::handlers::api_versions::FEATURES;
use super::holder;
use super::hosting;
use super::identity;
use super::lag;
use super::message::{Answer, Ask, Message, Start};
use super::metadata_log;
use super::questions;
use super::refusal::RefusalLog;
use super::route::{self, CONTROLLER_REACTOR};
use super::serve;
use super::stats::{self, Counters};
use super::why;
use crate::base::block::Use;
use crate::base::time::{Duration, Instant};
use crate::io::Handle;
use crate::io::mesh::{Mesh, Port};
use crate::io::op::Op;
use crate::metadata::config::layers::Layers;
use crate::metadata::image::Image;
use crate::metadata::record::{BrokerRegistration, Endpoint, MetadataRecord};
use crate::model::ids::{ReactorId, base64_url};
use crate::shard::{Shards, StorageConfig, merge_checkpoints, recover, start};

/// How long requests in flight may take to finish once a stop was asked for.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How often it is looked whether they have.
const STOP_LOOK: Duration = Duration::from_millis(5);

/// Why a broker does not start. The text is for the operator: what was wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError(pub String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// Why a broker ended otherwise than it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// It did not start.
    Start(StartError),
    /// It stopped, and the storage could not be finished. What was acknowledged is safe; the next start replays more.
    Stop(String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Start(error) => write!(f, "cannot start: {error}"),
            RunError::Stop(reason) => write!(
                f,
                "stopped, but the storage could not be finished cleanly: {reason}; nothing acknowledged is lost, the next \
                 start replays it from the journal"
            ),
        }
    }
}

impl std::error::Error for RunError {}

impl From<StartError> for RunError {
    fn from(error: StartError) -> RunError {
        RunError::Start(error)
    }
}

fn failed(error: impl fmt::Display) -> StartError {
    StartError(error.to_string())
}

/// Runs the broker on this reactor until it is stopped. The future of reactor 0 ends last.
///
/// # Errors
/// Why it could not start: the other reactors then wait for ever and are to be ended with the process. Or why this
/// reactor's storage could not be finished.
pub async fn run(io: Handle, port: Port<Message>, config: Arc<Config>) -> Result<(), RunError> {
    let mesh = Mesh::join(&io, port);
    if io.reactor_id() == CONTROLLER_REACTOR { lead(io, mesh, config).await } else { follow(io, mesh, config).await }
}

fn new_broker(io: Handle, mesh: Mesh<Message>, config: Arc<Config>, shards: Shards, image: &Image) -> Rc<Broker> {
    let reactors = mesh.reactors();
    let layers = Layers::new(image, &config.kafka, config.node_id);
    let slots = usize::try_from(layers.whole("max.incremental.fetch.session.cache.slots")).unwrap_or(0);
    let limits = Cell::new(Limits::of(&layers));
    let controller = (io.reactor_id() == CONTROLLER_REACTOR).then(Controller::default);
    Rc::new(Broker {
        shards,
        coordinators: Coordinators::default(),
        lag_times: lag::Times::default(),
        calls: Calls::default(),
        connections: RefCell::new(Slab::new()),
        reply_staging: RefCell::default(),
        sessions: RefCell::new(Sessions::new(slots.div_ceil(reactors), FETCH_SESSION_EVICTION)),
        counters: Counters::default(),
        refusals: RefusalLog::default(),
        producer_ids: RefCell::default(),
        controller,
        limits,
        started: io.now(),
        image: RefCell::new(Rc::new(image.clone())),
        stopping: Cell::new(false),
        placed: RefCell::new(vec![0; reactors]),
        io,
        mesh,
        config,
    })
}

/// A fetch session unused for this long gives way to another (Kafka's `min.incremental.fetch.session.eviction.ms`).
const FETCH_SESSION_EVICTION: Duration = Duration::from_secs(120);

/// The main of reactor 0.
async fn lead(io: Handle, mesh: Mesh<Message>, config: Arc<Config>) -> Result<(), RunError> {
    let began = io.now();
    let broker = bring_up(&io, &mesh, &config, began).await?;
    introduce(&broker).await?;
    identity::note(&io, &config, &broker.image()).await?;
    let listeners = accept::listen(&broker).await?;
    for (number, listener) in listeners.into_iter().enumerate() {
        let address = listener.address().map_or_else(String::new, |address| address.to_string());
        tracing::info!(listener = %config.listeners[number].name, %address, "listening");
        io.spawn(accept::accept(Rc::clone(&broker), listener, number));
    }
    io.spawn(accept::serve_stats(Rc::clone(&broker)));
    io.spawn(questions::serve(Rc::clone(&broker), lag::LAG_SOCKET, "how far groups are", lag::answer_line));
    io.spawn(questions::serve(Rc::clone(&broker), why::GROUPS_SOCKET, "why groups rebalance", why::rebalances));
    let held_back = "what holds back a partition";
    io.spawn(questions::serve(Rc::clone(&broker), holder::TRANSACTIONS_SOCKET, held_back, holder::answer));
    io.spawn(sweep(Rc::clone(&broker)));
    tracing::info!(after_ms = milliseconds(&io, began), "serving");
    io.submit(Op::StopSignal).await;
    stop(&broker).await
}

fn milliseconds(io: &Handle, since: Instant) -> u64 {
    u64::try_from(io.now().since(since).as_millis()).unwrap_or(u64::MAX)
}

/// Recovers and opens everything, on all reactors.
async fn bring_up(
    io: &Handle,
    mesh: &Mesh<Message>,
    config: &Arc<Config>,
    began: Instant,
) -> Result<Rc<Broker>, StartError> {
    let reactors = mesh.reactors();
    let storage = storage(config);
    let recovered = recover(io, &storage).await.map_err(failed)?;
    tracing::info!(after_ms = milliseconds(io, began), "recovered {}", recovered.summary);
    merge_checkpoints(io, &storage, &recovered).await.map_err(failed)?;
    let mut parts = recovered.split(reactors, |partition| route::host(partition, reactors)).into_iter();
    let own = parts.next().expect("a part for each reactor");
    let shards = start(io, storage, own).await.map_err(failed)?;
    let metadata = metadata_log::open(&shards);
    let image = Arc::new(metadata_log::replay(io, &metadata).await.map_err(StartError)?);
    identity::check(io, config, &image).await?;
    let broker = new_broker(io.clone(), mesh.clone(), Arc::clone(config), shards, &image);
    io.spawn(serve::serve_for_ever(Rc::clone(&broker)));
    let calls: Vec<_> = parts
        .enumerate()
        .map(|(at, part)| {
            let start = Start { image: Arc::clone(&image), part };
            broker.ask((at + 1) as ReactorId, Ask::Start(Box::new(start)))
        })
        .collect();
    let (mut opened, mut removed) = hosting::open_all(&broker, &image).await;
    for call in calls {
        match call.await {
            Answer::Started(Ok((there, orphans))) => (opened, removed) = (opened + there, removed + orphans),
            Answer::Started(Err(error)) => return Err(StartError(error)),
            _ => unreachable!("a start is answered with what was started"),
        }
    }
    let topics = image.topics().len();
    tracing::info!(reactors, topics, partitions = opened, orphans_removed = removed, "partitions are open");
    Ok(broker)
}

fn storage(config: &Config) -> StorageConfig {
    let options = &config.storage;
    StorageConfig {
        data: config.data_directory.clone(),
        journal_bytes: options.journal_bytes,
        journal_file_bytes: options.journal_file_bytes,
        groups_in_flight_max: options.groups_in_flight_max,
        group_bytes_max: options.group_bytes_max,
        direct_run_bytes_min: options.direct_run_bytes_min,
        write_back_bytes: options.write_back_bytes,
        write_back_interval: options.write_back_interval,
        write_back_depth: options.write_back_depth,
        disk_reserve_bytes: options.disk_reserve_bytes,
        tail_bytes_max: options.tail_bytes_max,
        open_files_max: options.open_files_max,
        steps: options.steps,
    }
}

/// Gives a new cluster its id and makes this broker known as it is configured now.
///
/// # Errors
/// When the data is another broker's, or the metadata log cannot be written.
async fn introduce(broker: &Rc<Broker>) -> Result<(), StartError> {
    let image = broker.image();
    let node_id = broker.config.node_id;
    if let Some(other) = image.brokers().next().filter(|_| image.broker(node_id).is_none()) {
        let (data, other) = (broker.config.data_directory.display(), other.id);
        return Err(StartError(format!(
            "{data} holds the data of broker {other}, and node.id is {node_id}: set node.id to {other}, or give this \
             broker a directory of its own"
        )));
    }
    if image.cluster_id().is_none() {
        let id = fresh_uuid(&broker.io);
        tracing::info!(cluster_id = %base64_url(id), "made a new cluster");
        let records = vec![MetadataRecord::ClusterId { id }];
        carry_out(broker, Command::Bootstrap(records)).await?;
    }
    settle_features(broker).await?;
    let endpoints = broker.config.listeners.iter().filter_map(|listener| {
        let advertised = listener.advertised.as_ref()?;
        Some(Endpoint { listener: listener.name.clone(), host: advertised.host.clone(), port: advertised.port })
    });
    let registration = BrokerRegistration {
        id: broker.config.node_id,
        epoch: 0,
        endpoints: endpoints.collect(),
        rack: broker.config.rack.clone(),
        fenced: false,
    };
    carry_out(broker, Command::RegisterBroker(registration)).await
}

/// Puts the features that this broker has in force where no level was settled yet (KIP-584): clients switch on them.
async fn settle_features(broker: &Rc<Broker>) -> Result<(), StartError> {
    let image = broker.image();
    let new = FEATURES.iter().filter(|feature| image.feature_level(feature.name) == 0);
    let records: Vec<_> =
        new.map(|feature| MetadataRecord::FeatureLevel { name: feature.name.to_owned(), level: feature.max }).collect();
    if records.is_empty() { Ok(()) } else { carry_out(broker, Command::Bootstrap(records)).await }
}

async fn carry_out(broker: &Rc<Broker>, command: Command) -> Result<(), StartError> {
    match decide(broker, command).await {
        Decided::Done => Ok(()),
        Decided::Failed(error) => Err(StartError(format!("the metadata log cannot be written: {error}"))),
        _ => unreachable!("each command has its own answer"),
    }
}

/// The main of every other reactor.
async fn follow(io: Handle, mesh: Mesh<Message>, config: Arc<Config>) -> Result<(), RunError> {
    let (from, Message::Ask { call, ask: Ask::Start(given) }) = mesh.receive().await else {
        unreachable!("the first message is what to start with")
    };
    let shards = match start(&io, storage(&config), given.part).await {
        Ok(shards) => shards,
        Err(error) => {
            let text = error.to_string();
            mesh.send(from, Message::Answer { call, answer: Answer::Started(Err(text.clone())) });
            return Err(StartError(text).into());
        }
    };
    let broker = new_broker(io.clone(), mesh.clone(), config, shards, &given.image);
    let opened = hosting::open_all(&broker, &given.image).await;
    mesh.send(from, Message::Answer { call, answer: Answer::Started(Ok(opened)) });
    io.spawn(sweep(Rc::clone(&broker)));
    serve::serve_until_shutdown(&broker).await
}

/// Takes the whole broker down: first the connections, then the storage.
async fn stop(broker: &Rc<Broker>) -> Result<(), RunError> {
    let began = broker.io.now();
    tracing::info!(connections = broker.connections.borrow().len(), "stopping: finishing requests in flight");
    let others = 1..broker.reactors() as ReactorId;
    let calls: Vec<_> = others.clone().map(|reactor| broker.ask(reactor, Ask::Stop)).collect();
    drain(broker).await;
    for call in calls {
        call.await;
    }
    let calls: Vec<_> = others.map(|reactor| broker.ask(reactor, Ask::Shutdown)).collect();
    let finished = finish_storage(broker).await;
    for call in calls {
        call.await;
    }
    tracing::info!(after_ms = milliseconds(&broker.io, began), "stopped");
    finished
}

/// Finishes this reactor's storage.
///
/// # Errors
/// Why it is not finished: the next start has to replay what the journal holds.
pub async fn finish_storage(broker: &Broker) -> Result<(), RunError> {
    broker.coordinators.close();
    broker.shards.shutdown().await.map_err(|error| RunError::Stop(error.to_string()))
}

/// Takes on nothing more, waits for what is in flight as long as [`STOP_GRACE`] allows, and closes the connections.
pub async fn drain(broker: &Rc<Broker>) {
    broker.stopping.set(true);
    broker.calls.hurry_all();
    let connections = || broker.connections.borrow().iter().map(|(_, one)| Rc::clone(one)).collect::<Vec<_>>();
    connections().iter().for_each(|connection| connection.stop());
    let deadline = broker.io.now() + STOP_GRACE;
    while !broker.connections.borrow().is_empty() && broker.io.now() < deadline {
        broker.io.sleep(STOP_LOOK).await;
    }
    let late = connections();
    if !late.is_empty() {
        tracing::info!(connections = late.len(), "closing connections whose requests did not finish in time");
        late.iter().for_each(|connection| connection.close(broker));
    }
}

/// How often connections are looked at for being idle or stalled.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes of unneeded memory that are given back each time.
const TRIM_BYTES_MAX: usize = 4 << 20;

/// Closes connections that are idle or stalled, and gives back memory that nobody needs, for as long as the broker runs.
async fn sweep(broker: Rc<Broker>) {
    while !broker.is_stopping() {
        broker.io.sleep(SWEEP_INTERVAL).await;
        if broker.io.reactor_id() == 0 {
            broker.io.pool().trim(TRIM_BYTES_MAX);
        }
        let now = broker.io.now();
        let idle_max = broker.limits.get().idle_max;
        let overdue: Vec<_> = broker
            .connections
            .borrow()
            .iter()
            .filter_map(|(_, connection)| Some((Rc::clone(connection), connection.overdue(now, idle_max)?)))
            .collect();
        for (connection, reason) in overdue {
            broker
                .refusals
                .log(&broker.io, || format!("closed the connection of {}: {reason}", connection.peer_name()));
            connection.close(&broker);
        }
    }
}

/// A snapshot of all reactors.
pub async fn snapshot(broker: &Rc<Broker>) -> stats::Snapshot {
    let calls: Vec<_> = (1..broker.reactors() as ReactorId).map(|reactor| broker.ask(reactor, Ask::Stats)).collect();
    let mut reactors = vec![stats::of_reactor(broker)];
    for call in calls {
        match call.await {
            Answer::Stats(one) => reactors.push(*one),
            _ => unreachable!("a question for counts is answered with counts"),
        }
    }
    let groups = lag::page(broker, lag::Wanted::After(String::new())).await;
    let image = broker.image();
    let pool = broker.io.pool();
    let in_use = Use::ALL.iter().map(|purpose| (purpose.name().to_owned(), pool.in_use(*purpose) as u64)).collect();
    stats::Snapshot {
        version: super::VERSION.to_owned(),
        cluster_id: image.cluster_id().map(base64_url).unwrap_or_default(),
        broker_id: broker.config.node_id,
        uptime_ms: milliseconds(&broker.io, broker.started),
        topics: image.topics().len() as u64,
        partitions: image.partition_count() as u64,
        groups: groups.groups,
        more_groups: groups.more,
        memory: stats::MemoryStats { limit: pool.limit_bytes() as u64, in_use },
        reactors,
    }
}
