//! Fetch: whole batches of many partitions in one reply, sent from where they lie; waits where there are too few.

use std::rc::Rc;

use crate::base::time::Duration;
use crate::broker::broker::{Broker, Route, Unreachable};
use crate::broker::calls::Hurry;
use crate::broker::dispatch::{Origin, Request};
use crate::broker::fetch_session::{PartitionKey, Plan, Seen, TopicKey, Wanted};
use crate::broker::message::{Fetch, FetchPart};
use crate::broker::reading::{Reads, Spread};
use crate::broker::reply::{Outcome, Part, Reply};
use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};
use crate::model::ids::ReactorId;
use crate::model::offset::NO_LEADER_EPOCH;
use crate::protocol::fetch::{
    AbortedTransaction, FetchRequest, FetchResponse, FetchedPartition, IsolationLevel, TopicRef, decode_request,
    encode_response,
};
use crate::protocol::topic::{CurrentLeader, NodeEndpoint, TopicSpan};
use crate::shard::{Fetched, Isolation};

/// The first version that names topics by id.
const TOPIC_IDS_FROM: i16 = 13;
/// No fetch waits longer, whatever it asks for (clients ask for 0.5 s; their request timeout is 30 s).
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Reads what is asked for, waits for more if it is too little, and answers.
pub async fn handle(request: Request) -> Outcome {
    let Request { origin, frame, body_at } = request;
    let decoded = match decode_request(origin.version, &frame, body_at) {
        Ok(decoded) => decoded,
        Err(error) => return Outcome::Close(format!("Fetch: {error}")),
    };
    let broker = Rc::clone(&origin.broker);
    let plan = match begin(&origin, &decoded) {
        Ok(plan) => plan,
        Err(error) => {
            origin.refused(|| error.to_string());
            return error_reply(&origin, error.code);
        }
    };
    let limits = Limits::of(&broker, &decoded);
    drop(decoded);
    drop(frame);
    let targets = targets(&broker, &plan);
    let mut spread = Spread {
        bytes_min: limits.bytes_min,
        deadline: broker.io.now() + limits.wait,
        here: None,
        elsewhere: Vec::new(),
    };
    let places = spread_over(&broker, &plan, &targets, &limits, &mut spread);
    let reads = if is_told_at_once(&targets) {
        spread.bytes_min = 0;
        spread.read(&broker, &Hurry::default()).await
    } else {
        let waiting = broker.waiting();
        spread.read(&broker, &waiting.hurry).await
    };
    let found = found(&plan, targets, &places, reads, limits.bytes_max);
    answer(&origin, &plan, found)
}

/// Whether a fetch is answered without a wait: where nothing can be read, and where a client asks the wrong broker.
/// Topics that are gone do not end the wait of the others, or a client that still names one would never rest.
fn is_told_at_once(targets: &[Result<Route, Unreachable>]) -> bool {
    let misled = |target: &Result<Route, Unreachable>| target.as_ref().is_err_and(|error| error.leader.is_some());
    !targets.iter().any(Result::is_ok) || targets.iter().any(misled)
}

fn begin(origin: &Origin, decoded: &FetchRequest<'_>) -> Result<Plan, ClientError> {
    let with_ids = origin.version >= TOPIC_IDS_FROM;
    let mut wanted = Vec::with_capacity(decoded.partitions.len());
    for span in &decoded.topics {
        let topic = topic_key(span.topic);
        wanted.extend(decoded.partitions[span.partitions.clone()].iter().map(|partition| Wanted {
            key: PartitionKey { topic: topic.clone(), index: partition.index },
            fetch_offset: partition.fetch_offset,
            bytes_max: partition.max_bytes,
            // As in Kafka, any negative epoch stands for none.
            current_leader_epoch: partition.current_leader_epoch.max(NO_LEADER_EPOCH),
            last_fetched_epoch: partition.last_fetched_epoch,
        }));
    }
    let mut forgotten = Vec::new();
    for span in &decoded.forgotten {
        let topic = topic_key(span.topic);
        let indexes = &decoded.forgotten_partitions[span.partitions.clone()];
        forgotten.extend(indexes.iter().map(|index| PartitionKey { topic: topic.clone(), index: *index }));
    }
    let session = (decoded.session_id, decoded.session_epoch);
    let mut sessions = origin.broker.sessions.borrow_mut();
    sessions.begin(origin.broker.io.now(), session, with_ids, wanted, &forgotten)
}

fn topic_key(topic: TopicRef<'_>) -> TopicKey {
    match topic {
        TopicRef::Id(id) => TopicKey::Id(id),
        TopicRef::Name(name) => TopicKey::Name(name.into()),
    }
}

fn topic_ref(key: &TopicKey) -> TopicRef<'_> {
    match key {
        TopicKey::Id(id) => TopicRef::Id(*id),
        TopicKey::Name(name) => TopicRef::Name(name),
    }
}

/// The reply that carries an error for the whole request.
fn error_reply(origin: &Origin, error: ErrorCode) -> Outcome {
    let response =
        FetchResponse { throttle_time_ms: 0, error, session_id: 0, topics: &[], partitions: &[], node_endpoints: &[] };
    match encode_response(origin.version, origin.correlation_id, &response) {
        Ok(encoded) => Outcome::Reply(Reply::encoded(encoded.bytes)),
        Err(error) => Outcome::Close(format!("Fetch: {error}")),
    }
}

struct Limits {
    isolation: Isolation,
    bytes_max: u32,
    bytes_min: u32,
    wait: Duration,
}

impl Limits {
    fn of(broker: &Broker, decoded: &FetchRequest<'_>) -> Limits {
        let size = |bytes: i32| u32::try_from(bytes).unwrap_or(0);
        let bytes_max = size(decoded.max_bytes).min(broker.limits.get().fetch_bytes_max);
        let wait = Duration::from_millis(u64::try_from(decoded.max_wait_ms).unwrap_or(0)).min(WAIT_MAX);
        let isolation = match decoded.isolation_level {
            IsolationLevel::ReadUncommitted => Isolation::ReadUncommitted,
            IsolationLevel::ReadCommitted => Isolation::ReadCommitted,
        };
        // More than the reply may bring is never there.
        Limits { isolation, bytes_max, bytes_min: size(decoded.min_bytes).min(bytes_max), wait }
    }
}

fn targets(broker: &Broker, plan: &Plan) -> Vec<Result<Route, Unreachable>> {
    let image = broker.image();
    let route = |wanted: &Wanted| broker.route(&image, topic_ref(&wanted.key.topic), wanted.key.index);
    plan.partitions.iter().map(route).collect()
}

/// Gives each reactor its partitions and its part of the room; tells which place of the plan each partition has.
fn spread_over(
    broker: &Broker,
    plan: &Plan,
    targets: &[Result<Route, Unreachable>],
    limits: &Limits,
    spread: &mut Spread,
) -> Vec<Vec<usize>> {
    let mut groups: Vec<(ReactorId, Vec<usize>)> = Vec::new();
    for (place, target) in targets.iter().enumerate() {
        let Ok(route) = target else { continue };
        match groups.iter_mut().find(|(reactor, _)| *reactor == route.reactor) {
            Some((_, places)) => places.push(place),
            None => groups.push((route.reactor, vec![place])),
        }
    }
    // This reactor's part stands first, as the reads will.
    groups.sort_by_key(|(reactor, _)| *reactor != broker.io.reactor_id());
    let all: usize = groups.iter().map(|(_, places)| places.len()).sum();
    for (reactor, places) in &groups {
        let share = u64::from(limits.bytes_max) * places.len() as u64 / all as u64;
        let part = |place: &usize| {
            let wanted = &plan.partitions[*place];
            let route = targets[*place].as_ref().expect("only what can be reached is in a group");
            FetchPart {
                partition: route.partition,
                offset: wanted.fetch_offset,
                bytes_max: u32::try_from(wanted.bytes_max).unwrap_or(0),
                current_leader_epoch: wanted.current_leader_epoch,
            }
        };
        let fetch = Fetch {
            isolation: limits.isolation,
            bytes_max: share as u32,
            bytes_min: 0,
            deadline: spread.deadline,
            parts: places.iter().map(part).collect(),
        };
        if *reactor == broker.io.reactor_id() {
            spread.here = Some(fetch);
        } else {
            spread.elsewhere.push((*reactor, fetch));
        }
    }
    groups.into_iter().map(|(_, places)| places).collect()
}

/// What came of a partition.
enum Found {
    Read(Fetched),
    Failed(ClientError, Option<CurrentLeader>),
}

/// Puts reads back in the order of the plan, and takes out what is beyond the request's limits: each reactor brings one
/// batch at least whatever its size, the reply as a whole only promises one (KIP-74).
fn found(
    plan: &Plan,
    targets: Vec<Result<Route, Unreachable>>,
    places: &[Vec<usize>],
    reads: Vec<Reads>,
    bytes_max: u32,
) -> Vec<Found> {
    let mut found: Vec<Option<Found>> = targets
        .into_iter()
        .map(|target| target.err().map(|unreachable| Found::Failed(unreachable.error, unreachable.leader)))
        .collect();
    assert_eq!(found.len(), plan.partitions.len());
    for (places, reads) in places.iter().zip(reads) {
        assert_eq!(places.len(), reads.len(), "one result a partition");
        for (place, read) in places.iter().zip(reads) {
            found[*place] = Some(read.map_or_else(|error| Found::Failed(error, None), Found::Read));
        }
    }
    let mut found: Vec<Found> = found.into_iter().map(|one| one.expect("refused or read")).collect();
    let mut total = 0_u64;
    for (one, wanted) in found.iter_mut().zip(&plan.partitions) {
        if let Found::Read(fetched) = one {
            let own_max = u32::try_from(wanted.bytes_max).unwrap_or(0);
            let beyond = total + u64::from(fetched.bytes) > u64::from(bytes_max) || fetched.bytes > own_max;
            if total > 0 && beyond {
                fetched.pieces.clear();
                fetched.bytes = 0;
                fetched.aborted = fetched.aborted.take().map(|_| Vec::new());
            }
            total += u64::from(fetched.bytes);
        }
    }
    found
}

fn answer(origin: &Origin, plan: &Plan, found: Vec<Found>) -> Outcome {
    let broker = &origin.broker;
    let seen: Vec<Seen> = found.iter().map(Found::seen).collect();
    let (session_id, included) = {
        let io = broker.io.clone();
        let mut sessions = broker.sessions.borrow_mut();
        sessions.finish(io.now(), plan, &seen, &mut || io.random())
    };
    let image = broker.image();
    let mut reply = Assembly::default();
    for ((wanted, found), included) in plan.partitions.iter().zip(found).zip(included) {
        if included {
            reply.add(origin, &image, wanted, found);
        }
    }
    reply.encode(origin, session_id)
}

impl Found {
    fn seen(&self) -> Seen {
        match self {
            Found::Read(fetched) => Seen {
                error: ErrorCode::None,
                bytes: fetched.bytes,
                high_watermark: fetched.high_watermark,
                log_start_offset: fetched.log_start_offset,
            },
            Found::Failed(error, _) => Seen { error: error.code, bytes: 0, high_watermark: -1, log_start_offset: -1 },
        }
    }
}

/// A reply being put together.
#[derive(Default)]
struct Assembly<'a> {
    topics: Vec<TopicSpan<'a>>,
    partitions: Vec<FetchedPartition>,
    pieces: Vec<Vec<crate::shard::Piece>>,
    endpoints: Vec<NodeEndpoint>,
}

impl<'a> Assembly<'a> {
    fn add(&mut self, origin: &Origin, image: &Image, wanted: &'a Wanted, found: Found) {
        let topic = topic_ref(&wanted.key.topic);
        let at = self.partitions.len();
        match self.topics.last_mut() {
            Some(last) if last.topic == topic => last.partitions.end = at + 1,
            _ => self.topics.push(TopicSpan { topic, partitions: at..at + 1 }),
        }
        let (partition, pieces) = match found {
            Found::Read(fetched) => described(wanted.key.index, fetched),
            Found::Failed(error, leader) => {
                origin.refused(|| format!("partition {}: {error}", wanted.key.index));
                let mut partition = FetchedPartition::refused(wanted.key.index, error.code);
                if let Some(leader) = leader {
                    super::metadata::add_endpoint(&mut self.endpoints, origin, image, leader.leader_id);
                    partition.current_leader = Some(leader);
                }
                (partition, Vec::new())
            }
        };
        self.partitions.push(partition);
        self.pieces.push(pieces);
    }

    fn encode(mut self, origin: &Origin, session_id: i32) -> Outcome {
        let response = FetchResponse {
            throttle_time_ms: 0,
            error: ErrorCode::None,
            session_id,
            topics: &self.topics,
            partitions: &self.partitions,
            node_endpoints: &self.endpoints,
        };
        let encoded = match encode_response(origin.version, origin.correlation_id, &response) {
            Ok(encoded) => encoded,
            Err(error) => return Outcome::Close(format!("Fetch: {error}")),
        };
        let mut reply = Reply::default();
        let mut from = 0;
        for cut in &encoded.cuts {
            reply.push(Part::Bytes(encoded.bytes[from..cut.at].to_vec()));
            from = cut.at;
            for piece in std::mem::take(&mut self.pieces[cut.partition]) {
                reply.push(Part::Piece(piece));
            }
        }
        reply.push(Part::Bytes(encoded.bytes[from..].to_vec()));
        assert_eq!(reply.bytes(), encoded.frame_bytes as u64, "the pieces are as long as they said");
        Outcome::Reply(reply)
    }
}

fn described(index: i32, fetched: Fetched) -> (FetchedPartition, Vec<crate::shard::Piece>) {
    let mut partition = FetchedPartition::refused(index, ErrorCode::None);
    partition.high_watermark = fetched.high_watermark;
    partition.last_stable_offset = fetched.last_stable_offset;
    partition.log_start_offset = fetched.log_start_offset;
    partition.records_bytes = Some(fetched.bytes);
    partition.aborted_transactions = fetched.aborted.map(|aborted| {
        let of = |one: crate::producer::transaction_index::AbortedTransaction| AbortedTransaction {
            producer_id: one.producer_id,
            first_offset: one.first_offset,
        };
        aborted.into_iter().map(of).collect()
    });
    (partition, fetched.pieces)
}
