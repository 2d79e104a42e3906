//! Produce: batches go to the reactors that host their partitions, in the order of the request; the reply waits for all.

use std::rc::Rc;

use super::init_producer_id::client;
use crate::broker::broker::{Broker, Unreachable, find_topic};
use crate::broker::calls::Call;
use crate::broker::dispatch::{Origin, Request, Started, encoded};
use crate::broker::message::{Answer, Ask, Produce, Transactional};
use crate::broker::reply::Outcome;
use crate::broker::verification::Verification;
use crate::metadata::controller::internal_topics::is_internal;
use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::{PartitionId, PartitionIndex, ReactorId, TopicId};
use crate::protocol::produce::{
    ProduceRequest, ProduceResponse, ProducedPartition, TopicRef, decode_request, encode_response,
};
use crate::protocol::topic::{NodeEndpoint, TopicSpan};
use crate::record::validate::PRODUCE_VERSION_ZSTD_MIN;
use crate::record::{BatchHeader, Compression};
use crate::shard::{Acks, Append, Appended};

/// What Kafka's administration tools call themselves.
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// Places a request's batches in their logs, now and in order, and answers when they are acknowledged.
pub fn start(started: Started, request: Request) {
    let connection = Rc::clone(&request.origin.connection);
    let placed = match decode_request(request.origin.version, &request.frame, request.body_at) {
        Ok(decoded) => place(&request, &decoded),
        Err(error) => return connection.ring.fill(started.slot, Outcome::Close(format!("Produce: {error}"))),
    };
    // From here on nothing needs the frame: the log has its copy, and other reactors hold their own slices.
    let Request { origin, frame, .. } = request;
    drop(frame);
    let slot = started.slot;
    let acknowledged = async move {
        let done = placed.acknowledged(&origin.broker).await;
        started.count(&origin.broker, origin.key);
        done.log_refusals(&origin);
        done.outcome(&origin)
    };
    connection.ring.follow(slot, Box::pin(acknowledged));
}

/// A request whose batches are placed.
struct Placed {
    /// The image in which the topics were found.
    image: Rc<Image>,
    acks: Option<Acks>,
    topics: Vec<Topic>,
    partitions: Vec<ProducedPartition>,
    /// Batches under way here, with their place in `partitions`.
    here: Vec<(usize, Append)>,
    /// Batches under way on other reactors.
    elsewhere: Vec<(Vec<usize>, Call)>,
    endpoints: Vec<NodeEndpoint>,
}

/// A topic as the reply names it, without the frame.
struct Topic {
    name: Name,
    partitions: std::ops::Range<usize>,
}

enum Name {
    /// A topic of the image, by name.
    Known(TopicId),
    Unknown(String),
    Id(TopicId),
}

fn acks_of(acks: i16) -> Option<Acks> {
    match acks {
        0 => Some(Acks::None),
        1 => Some(Acks::Leader),
        -1 => Some(Acks::All),
        _ => None,
    }
}

fn place(request: &Request, decoded: &ProduceRequest<'_>) -> Placed {
    let broker = &request.origin.broker;
    let image = broker.image();
    let mut placed = Placed {
        image: Rc::clone(&image),
        acks: acks_of(decoded.acks),
        topics: Vec::with_capacity(decoded.topics.len()),
        partitions: Vec::with_capacity(decoded.partitions.len()),
        here: Vec::new(),
        elsewhere: Vec::new(),
        endpoints: Vec::new(),
    };
    let transactional = decoded.transactional_id.map(|id| Transactional {
        transactional_id: id.into(),
        produce_version: request.origin.version,
        client: client(&request.origin),
    });
    let mut verification = Verification::default();
    let mut remote: Vec<(ReactorId, Vec<usize>, Produce)> = Vec::new();
    // A topic without partitions is not answered, as in Kafka.
    for span in decoded.topics.iter().filter(|span| !span.partitions.is_empty()) {
        placed.topics.push(Topic { name: name(&image, span.topic), partitions: span.partitions.clone() });
        for partition in &decoded.partitions[span.partitions.clone()] {
            let at = placed.partitions.len();
            placed.partitions.push(ProducedPartition::appended(partition.index, -1, -1));
            let checked = check(request, &image, decoded, span.topic, partition.index, partition.records.as_ref());
            match checked {
                Err(refusal) => placed.refuse(at, &refusal, &image, &request.origin),
                Ok((partition, reactor, records, acks)) if reactor == broker.io.reactor_id() => {
                    broker.counters.batches_in.add(1);
                    let batch = &request.frame[records];
                    match append(broker, partition, batch, acks, transactional.as_ref(), &mut verification) {
                        Ok(append) => placed.here.push((at, append)),
                        Err(error) => placed.refuse(at, &error.into(), &image, &request.origin),
                    }
                }
                Ok((partition, reactor, records, acks)) => {
                    let to = remote.iter().position(|(to, ..)| *to == reactor).unwrap_or_else(|| {
                        let transactional = transactional.clone();
                        remote.push((reactor, Vec::new(), Produce { acks, transactional, batches: Vec::new() }));
                        remote.len() - 1
                    });
                    remote[to].1.push(at);
                    remote[to].2.batches.push((partition, request.frame.slice(records)));
                }
            }
        }
    }
    verification.begin(broker, transactional.as_ref());
    for (reactor, places, produce) in remote {
        placed.elsewhere.push((places, broker.ask(reactor, Ask::Produce(Box::new(produce)))));
    }
    placed
}

fn name(image: &Image, topic: TopicRef<'_>) -> Name {
    match (topic, find_topic(image, topic)) {
        (TopicRef::Id(id), _) => Name::Id(id),
        (TopicRef::Name(_), Ok(topic)) => Name::Known(topic.id),
        (TopicRef::Name(name), Err(_)) => Name::Unknown(name.to_owned()),
    }
}

type Checked = (PartitionId, ReactorId, std::ops::Range<usize>, Acks);

/// Everything that can be said of a batch before its shard looks at it.
fn check(
    request: &Request,
    image: &Image,
    decoded: &ProduceRequest<'_>,
    topic: TopicRef<'_>,
    index: PartitionIndex,
    records: Option<&std::ops::Range<usize>>,
) -> Result<Checked, Unreachable> {
    let refuse = |code, message: &str| Err(ClientError::new(code, message).into());
    let Some(acks) = acks_of(decoded.acks) else {
        return refuse(ErrorCode::InvalidRequiredAcks, &format!("acks={} is none of 0, 1 and -1", decoded.acks));
    };
    if decoded.transactional_id.is_some() && acks != Acks::All {
        return refuse(ErrorCode::InvalidRequiredAcks, "a transaction needs acks=-1 (all)");
    }
    let Some(records) = records else {
        return refuse(ErrorCode::InvalidRecord, "the request has no batch for this partition");
    };
    let header = BatchHeader::read(&request.frame[records.clone()]);
    if decoded.transactional_id.is_none() && header.is_some_and(BatchHeader::is_transactional) {
        let message = "a transactional batch in a request without a transactional id";
        return refuse(ErrorCode::TransactionalIdAuthorizationFailed, message);
    }
    let zstd = |header: &BatchHeader| header.compression() == Some(Compression::Zstd);
    if request.origin.version < PRODUCE_VERSION_ZSTD_MIN && header.is_some_and(zstd) {
        return refuse(ErrorCode::UnsupportedCompressionType, "zstd needs Produce version 7 or later (KIP-110)");
    }
    let route = request.origin.broker.route(image, topic, index)?;
    check_topic(request, image, route.partition.topic)?;
    Ok((route.partition, route.reactor, records.clone(), acks))
}

/// Refuses topics in which brokers keep state, except to Kafka's administration tools, as Kafka does.
fn check_topic(request: &Request, image: &Image, topic: TopicId) -> Result<(), ClientError> {
    let name = image.topic_by_id(topic).map_or("", |topic| &topic.name);
    if !is_internal(name) || &*request.origin.client_id == ADMIN_CLIENT_ID {
        return Ok(());
    }
    let message = format!("topic '{name}' is internal: its records are written by brokers alone");
    Err(ClientError::new(ErrorCode::InvalidTopicException, message))
}

/// Places batches of one request in the logs of partitions that are hosted here, in their order.
pub fn append_all<'a>(
    broker: &Rc<Broker>,
    batches: impl Iterator<Item = (PartitionId, &'a [u8])>,
    acks: Acks,
    transactional: Option<&Transactional>,
) -> Vec<Result<Append, ClientError>> {
    let mut verification = Verification::default();
    let placed = batches
        .map(|(partition, batch)| append(broker, partition, batch, acks, transactional, &mut verification))
        .collect();
    verification.begin(broker, transactional);
    placed
}

/// Places a batch in the log of a partition that is hosted here, or in line for what `verification` is to find out.
fn append(
    broker: &Broker,
    partition: PartitionId,
    batch: &[u8],
    acks: Acks,
    transactional: Option<&Transactional>,
    verification: &mut Verification,
) -> Result<Append, ClientError> {
    let shard = broker.shards.get(partition).ok_or_else(|| not_open(partition))?;
    if transactional.is_none() {
        return Ok(shard.append(batch, acks));
    }
    let (append, unverified) = shard.append_transactional(batch, acks);
    verification.add(unverified);
    Ok(append)
}

/// The error for a partition that the image knows and its reactor does not have open.
pub fn not_open(partition: PartitionId) -> ClientError {
    ClientError::new(ErrorCode::NotLeaderOrFollower, format!("partition {partition} is being made or removed"))
}

impl Placed {
    fn refuse(&mut self, at: usize, refusal: &Unreachable, image: &Image, origin: &Origin) {
        let index = self.partitions[at].index;
        let message = Some(refusal.error.message.clone());
        self.partitions[at] = ProducedPartition::refused(index, refusal.error.code, message);
        self.partitions[at].current_leader = refusal.leader;
        if let Some(leader) = refusal.leader {
            super::metadata::add_endpoint(&mut self.endpoints, origin, image, leader.leader_id);
        }
    }

    async fn acknowledged(mut self, broker: &Broker) -> Placed {
        for (at, append) in std::mem::take(&mut self.here) {
            let result = append.await;
            self.settle(at, result);
        }
        for (places, call) in std::mem::take(&mut self.elsewhere) {
            let Answer::Produced(results) = call.await else { unreachable!("a produce is answered with its results") };
            broker.counters.batches_in.add(results.len() as u64);
            for (at, result) in places.into_iter().zip(results) {
                self.settle(at, result);
            }
        }
        self
    }

    fn settle(&mut self, at: usize, result: Result<Appended, ClientError>) {
        let index = self.partitions[at].index;
        self.partitions[at] = match result {
            Ok(appended) => {
                let mut produced = ProducedPartition::appended(index, appended.base_offset, appended.log_start_offset);
                produced.log_append_time_ms = appended.log_append_time_ms;
                produced
            }
            Err(error) => ProducedPartition::refused(index, error.code, Some(error.message)),
        };
    }

    fn failures(&self) -> impl Iterator<Item = &ProducedPartition> {
        self.partitions.iter().filter(|partition| !partition.error.is_none())
    }

    fn log_refusals(&self, origin: &Origin) {
        if let Some(first) = self.failures().next() {
            let sentence = first.error_message.as_deref().unwrap_or_default();
            let count = self.failures().count();
            origin
                .refused(|| format!("{count} partitions refused, first {}: {}: {sentence}", first.index, first.error));
        }
    }

    fn outcome(&self, origin: &Origin) -> Outcome {
        if self.acks == Some(Acks::None) {
            // There is no reply in which to say it: a closed connection makes the client look again (as Kafka does).
            return match self.failures().next() {
                None => Outcome::Nothing,
                Some(failed) => {
                    let sentence = failed.error_message.as_deref().unwrap_or_default();
                    Outcome::Close(format!("a batch sent with acks=0 was refused: {}: {sentence}", failed.error))
                }
            };
        }
        let spans: Vec<TopicSpan<'_>> = self.topics.iter().map(|topic| topic.span(&self.image)).collect();
        let response = ProduceResponse {
            topics: &spans,
            partitions: &self.partitions,
            throttle_time_ms: 0,
            node_endpoints: &self.endpoints,
        };
        encoded(encode_response(origin.version, origin.correlation_id, &response))
    }
}

impl Topic {
    fn span<'a>(&'a self, image: &'a Image) -> TopicSpan<'a> {
        let topic = match &self.name {
            Name::Known(id) => TopicRef::Name(image.topic_by_id(*id).map_or("", |topic| &topic.name)),
            Name::Unknown(name) => TopicRef::Name(name),
            Name::Id(id) => TopicRef::Id(*id),
        };
        TopicSpan { topic, partitions: self.partitions.clone() }
    }
}
