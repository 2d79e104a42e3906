//! Groups at scale against any broker of Kafka's protocol: time of a rebalance, cost of heartbeats, memory.
//!
//! ```text
//! cargo bench --bench groups -- --bootstrap 127.0.0.1:9092 --pid 4711 --members 1000 --groups 1000
//! ```
//!
//! One connection a member, as clients have it; without `--bootstrap` nothing is measured. The broker is to run with
//! `group.initial.rebalance.delay.ms=0`, or that time is part of the first figure. The topic `scale-MEMBERS` is made with as many
//! partitions as there are members.
//!
//! With `--stored 100000` only what is kept is measured: that many groups with an offset each, and a tenth as many transactional ids.
//! After the broker was started again, the same with `--loaded` tells how long it takes until all of them are known.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark ends where its expectations do, and prints")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use flumen::protocol::StrBytes;
use flumen::protocol::client::{decode_response, encode_request};
use flumen::protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use flumen::protocol::messages::create_topics_request::CreatableTopic;
use flumen::protocol::messages::join_group_request::JoinGroupRequestProtocol;
use flumen::protocol::messages::join_group_response::JoinGroupResponse;
use flumen::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use flumen::protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use flumen::protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use flumen::protocol::messages::{
    ConsumerGroupHeartbeatRequest, CreateTopicsRequest, DescribeTransactionsRequest, FindCoordinatorRequest, GroupId,
    HeartbeatRequest, InitProducerIdRequest, JoinGroupRequest, OffsetCommitRequest, OffsetFetchRequest,
    SyncGroupRequest, TopicName, TransactionalId,
};
use kafka_protocol::protocol::Request;
use uuid::Uuid;

/// MEMBER_ID_REQUIRED.
const MEMBER_ID_REQUIRED: i16 = 79;
/// REBALANCE_IN_PROGRESS.
const REBALANCE_IN_PROGRESS: i16 = 27;
/// A member's part of an assignment, and its metadata, in bytes: a consumer with a few topics.
const METADATA_BYTES: usize = 100;
/// Heartbeats of every member, to measure what they cost.
const ROUNDS: usize = 10;
/// Rounds in which members of the consumer protocol have to come to rest.
const ROUNDS_MAX: usize = 200;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

struct Options {
    bootstrap: Option<String>,
    pid: Option<u32>,
    members: usize,
    groups: usize,
    stored: usize,
    loaded: bool,
}

impl Options {
    fn read() -> Options {
        let mut options = Options { bootstrap: None, pid: None, members: 1000, groups: 1000, stored: 0, loaded: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{name} needs a value"));
            match name.as_str() {
                "--bootstrap" => options.bootstrap = Some(value()),
                "--pid" => options.pid = Some(value().parse().unwrap()),
                "--members" => options.members = value().parse().unwrap(),
                "--groups" => options.groups = value().parse().unwrap(),
                "--stored" => options.stored = value().parse().unwrap(),
                "--loaded" => options.loaded = true,
                _ => {}
            }
        }
        options
    }
}

/// The broker's process, as the kernel counts it.
#[derive(Clone, Copy, Default)]
struct Usage {
    cpu: Duration,
    memory_kib: u64,
}

impl Usage {
    fn of(pid: Option<u32>) -> Usage {
        let Some(pid) = pid else { return Usage::default() };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let memory = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let memory_kib = memory.split_whitespace().nth(1).unwrap().parse().unwrap();
        // The kernel counts in hundredths of a second.
        Usage { cpu: Duration::from_millis(ticks * 10), memory_kib }
    }
}

struct Client {
    stream: TcpStream,
    next_id: i32,
}

impl Client {
    fn connect(address: &str) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        Client { stream, next_id: 0 }
    }

    fn send<R: Request>(&mut self, version: i16, request: &R) {
        self.next_id += 1;
        let frame = encode_request(version, self.next_id, Some("scale"), request).unwrap();
        self.stream.write_all(&frame).unwrap();
    }

    fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).unwrap();
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        self.stream.read_exact(&mut frame).unwrap();
        decode_response::<R>(version, &frame).unwrap().1
    }

    fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request);
        self.receive::<R>(version)
    }
}

/// A member of the classic protocol.
struct Member {
    client: Client,
    group: String,
    id: StrBytes,
    generation: i32,
    /// Content of its metadata: a member that joins again with the same is let be, unless it leads.
    metadata: u8,
}

impl Member {
    fn join_request(&self) -> JoinGroupRequest {
        let metadata = vec![self.metadata; METADATA_BYTES];
        let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(metadata.into());
        JoinGroupRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_member_id(self.id.clone())
            .with_session_timeout_ms(120_000)
            .with_rebalance_timeout_ms(120_000)
            .with_protocol_type(text("scale"))
            .with_protocols(vec![protocol])
    }

    fn sync_request(&self, joined: &JoinGroupResponse) -> SyncGroupRequest {
        let parts = joined.members.iter().map(|member| {
            let part = vec![0; METADATA_BYTES];
            SyncGroupRequestAssignment::default().with_member_id(member.member_id.clone()).with_assignment(part.into())
        });
        SyncGroupRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_member_id(self.id.clone())
            .with_generation_id(joined.generation_id)
            .with_protocol_type(Some(text("scale")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(parts.collect())
    }

    fn heartbeat(&self) -> HeartbeatRequest {
        HeartbeatRequest::default()
            .with_group_id(GroupId(text(&self.group)))
            .with_member_id(self.id.clone())
            .with_generation_id(self.generation)
    }
}

/// All members join, and synchronise until everybody has an assignment of one generation; how long that took.
fn rebalance(members: &mut [Member]) -> Duration {
    let started = Instant::now();
    let mut joining: Vec<usize> = (0..members.len()).collect();
    // Who is told to come back with an id, or that somebody came after it, does.
    while !joining.is_empty() {
        for place in &joining {
            let request = members[*place].join_request();
            members[*place].client.send(9, &request);
        }
        let mut joined: BTreeMap<usize, JoinGroupResponse> = BTreeMap::new();
        let mut again = Vec::new();
        for place in joining {
            let member = &mut members[place];
            let response = member.client.receive::<JoinGroupRequest>(9);
            match response.error_code {
                0 => {
                    member.id = response.member_id.clone();
                    member.generation = response.generation_id;
                    joined.insert(place, response);
                }
                MEMBER_ID_REQUIRED => {
                    member.id = response.member_id;
                    again.push(place);
                }
                code => panic!("JoinGroup: {code}"),
            }
        }
        for (place, joined) in &joined {
            let request = members[*place].sync_request(joined);
            members[*place].client.send(5, &request);
        }
        for place in joined.keys() {
            let response = members[*place].client.receive::<SyncGroupRequest>(5);
            match response.error_code {
                0 => {}
                REBALANCE_IN_PROGRESS => again.push(*place),
                code => panic!("SyncGroup: {code}"),
            }
        }
        // Members that were let in one by one meanwhile have to join those who came later.
        if again.is_empty() {
            for (place, member) in members.iter_mut().enumerate() {
                let request = member.heartbeat();
                if member.client.ask(4, &request).error_code != 0 {
                    again.push(place);
                }
            }
        }
        joining = again;
    }
    started.elapsed()
}

/// Every member sends heartbeats, all at once, some rounds: the broker's time for one, and how long a round took.
fn heartbeats(members: &mut [Member], pid: Option<u32>) -> (Duration, Duration) {
    let (before, started) = (Usage::of(pid), Instant::now());
    for _ in 0..ROUNDS {
        for member in members.iter_mut() {
            let request = member.heartbeat();
            member.client.send(4, &request);
        }
        for member in members.iter_mut() {
            let response = member.client.receive::<HeartbeatRequest>(4);
            assert_eq!(response.error_code, 0);
        }
    }
    let count = u32::try_from(ROUNDS * members.len()).unwrap();
    let cpu = Usage::of(pid).cpu - before.cpu;
    (cpu / count, started.elapsed() / u32::try_from(ROUNDS).unwrap())
}

fn members(address: &str, group: impl Fn(usize) -> String, count: usize) -> Vec<Member> {
    let member = |place| Member {
        client: Client::connect(address),
        group: group(place),
        id: StrBytes::default(),
        generation: -1,
        metadata: 0,
    };
    (0..count).map(member).collect()
}

fn classic(what: &str, options: &Options, address: &str, group: impl Fn(usize) -> String, count: usize) {
    let before = Usage::of(options.pid);
    let mut members = members(address, group, count);
    let connected = Usage::of(options.pid);
    let first = rebalance(&mut members);
    let formed = Usage::of(options.pid);
    members.iter_mut().for_each(|member| member.metadata += 1);
    let again = rebalance(&mut members);
    let after = Usage::of(options.pid);
    let (cpu, round) = heartbeats(&mut members, options.pid);
    println!(
        "{what}: formed in {first:.2?} ({:.2?} CPU), rebalanced in {again:.2?} ({:.2?} CPU); \
         a heartbeat {cpu:.2?} CPU, {count} at once {round:.2?}; memory +{} KiB for connections, +{} KiB for groups",
        formed.cpu - connected.cpu,
        after.cpu - formed.cpu,
        connected.memory_kib.saturating_sub(before.memory_kib),
        formed.memory_kib.saturating_sub(connected.memory_kib),
    );
}

/// A member of the consumer protocol.
struct Consumer {
    client: Client,
    topic: TopicName,
    id: String,
    epoch: i32,
    held: Vec<TopicPartitions>,
}

impl Consumer {
    fn request(&self) -> ConsumerGroupHeartbeatRequest {
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(&format!("scale-consumer-{}", std::process::id()))))
            .with_member_id(text(&self.id))
            .with_member_epoch(self.epoch)
            .with_topic_partitions(Some(self.held.clone()));
        match self.epoch {
            0 => request.with_rebalance_timeout_ms(120_000).with_subscribed_topic_names(Some(vec![self.topic.clone()])),
            _ => request,
        }
    }
}

fn consumer(options: &Options, address: &str) {
    let mut consumers: Vec<Consumer> = (0..options.members)
        .map(|number| Consumer {
            client: Client::connect(address),
            topic: topic_name(options.members),
            id: new_id(number),
            epoch: 0,
            held: Vec::new(),
        })
        .collect();
    let (before, started) = (Usage::of(options.pid), Instant::now());
    let mut rounds = 0;
    loop {
        rounds += 1;
        for consumer in &mut consumers {
            let request = consumer.request();
            consumer.client.send(1, &request);
        }
        for consumer in &mut consumers {
            let response = consumer.client.receive::<ConsumerGroupHeartbeatRequest>(1);
            assert_eq!(response.error_code, 0, "{:?}", response.error_message);
            consumer.epoch = response.member_epoch;
            if let Some(assignment) = response.assignment {
                let parts = assignment.topic_partitions.into_iter().map(|part| {
                    TopicPartitions::default().with_topic_id(part.topic_id).with_partitions(part.partitions)
                });
                consumer.held = parts.collect();
            }
        }
        let held = |consumer: &Consumer| consumer.held.iter().map(|part| part.partitions.len()).sum::<usize>();
        let even = consumers.iter().all(|consumer| held(consumer) == 1);
        if even && consumers.iter().all(|consumer| consumer.epoch == consumers[0].epoch) {
            break;
        }
        assert!(rounds < ROUNDS_MAX, "the group does not come to rest");
        std::thread::sleep(Duration::from_millis(100));
    }
    let (formed, after) = (started.elapsed(), Usage::of(options.pid));
    let started = Instant::now();
    for _ in 0..ROUNDS {
        for consumer in &mut consumers {
            let request = consumer.request().with_topic_partitions(None);
            consumer.client.send(1, &request);
        }
        for consumer in &mut consumers {
            assert_eq!(consumer.client.receive::<ConsumerGroupHeartbeatRequest>(1).error_code, 0);
        }
    }
    let cpu = Usage::of(options.pid).cpu - after.cpu;
    println!(
        "{} members of the consumer protocol: at rest after {formed:.2?} and {rounds} rounds ({:.2?} CPU); a heartbeat {:.2?} CPU, \
         all at once {:.2?}; memory +{} KiB",
        options.members,
        after.cpu - before.cpu,
        cpu / u32::try_from(ROUNDS * options.members).unwrap(),
        started.elapsed() / u32::try_from(ROUNDS).unwrap(),
        after.memory_kib.saturating_sub(before.memory_kib),
    );
}

/// Ids that differ from run to run; nothing else is asked of them.
fn new_id(number: usize) -> String {
    let started = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    Uuid::from_u128(started << 32 | number as u128).to_string()
}

/// Requests on their way at a time.
const PIPELINE: usize = 100;

/// Sends all requests, [`PIPELINE`] at a time, again where the coordinator is not ready; `code` finds what is wrong in a reply.
fn all<R: Request>(client: &mut Client, version: i16, requests: &[R], code: impl Fn(&R::Response) -> i16) {
    for some in requests.chunks(PIPELINE) {
        let mut left: Vec<&R> = some.iter().collect();
        while !left.is_empty() {
            left.iter().for_each(|request| client.send(version, *request));
            let codes: Vec<i16> = left.iter().map(|_| code(&client.receive::<R>(version))).collect();
            assert!(codes.iter().all(|code| matches!(code, 0 | 14..=16)), "{codes:?}");
            left = left.into_iter().zip(codes).filter(|(_, code)| *code != 0).map(|(request, _)| request).collect();
        }
    }
}

fn stored(options: &Options, address: &str) {
    let mut client = Client::connect(address);
    let commits: Vec<_> = (0..options.stored)
        .map(|number| {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(0)
                .with_committed_offset(7)
                .with_committed_metadata(Some(text("")));
            let topic = OffsetCommitRequestTopic::default()
                .with_name(topic_name(options.members))
                .with_partitions(vec![partition]);
            OffsetCommitRequest::default()
                .with_group_id(GroupId(text(&format!("stored-{number}"))))
                .with_generation_id_or_member_epoch(-1)
                .with_topics(vec![topic])
        })
        .collect();
    let (before, started) = (Usage::of(options.pid), Instant::now());
    all(&mut client, 8, &commits, |response| response.topics[0].partitions[0].error_code);
    let (between, took) = (Usage::of(options.pid), started.elapsed());
    let ids: Vec<_> = (0..options.stored / 10)
        .map(|number| {
            InitProducerIdRequest::default()
                .with_transactional_id(Some(TransactionalId(text(&format!("stored-{number}")))))
                .with_transaction_timeout_ms(60_000)
        })
        .collect();
    let started = Instant::now();
    all(&mut client, 4, &ids, |response| response.error_code);
    println!(
        "{} groups with an offset stored in {took:.2?}, memory +{} KiB; {} transactional ids in {:.2?}, +{} KiB",
        options.stored,
        between.memory_kib.saturating_sub(before.memory_kib),
        ids.len(),
        started.elapsed(),
        Usage::of(options.pid).memory_kib.saturating_sub(between.memory_kib),
    );
}

fn loaded(options: &Options, address: &str) {
    let started = Instant::now();
    let mut client = Client::connect(address);
    let fetches: Vec<_> = (0..options.stored)
        .step_by(100)
        .map(|number| {
            let topic = OffsetFetchRequestTopics::default()
                .with_name(topic_name(options.members))
                .with_partition_indexes(vec![0]);
            let group = OffsetFetchRequestGroup::default()
                .with_group_id(GroupId(text(&format!("stored-{number}"))))
                .with_topics(Some(vec![topic]));
            OffsetFetchRequest::default().with_groups(vec![group])
        })
        .collect();
    all(&mut client, 8, &fetches, |response| {
        let group = &response.groups[0];
        assert!(group.error_code != 0 || group.topics[0].partitions[0].committed_offset == 7, "an offset is lost");
        group.error_code
    });
    let took = started.elapsed();
    let ids: Vec<_> = (0..options.stored / 10)
        .step_by(100)
        .map(|number| {
            let id = TransactionalId(text(&format!("stored-{number}")));
            DescribeTransactionsRequest::default().with_transactional_ids(vec![id])
        })
        .collect();
    all(&mut client, 0, &ids, |response| response.transaction_states[0].error_code);
    println!(
        "{} groups loaded {took:.2?} after the first request, all transactional ids after {:.2?}; memory {} KiB",
        options.stored,
        started.elapsed(),
        Usage::of(options.pid).memory_kib,
    );
}

/// The topic with as many partitions as there are members.
fn topic_name(members: usize) -> TopicName {
    TopicName(text(&format!("scale-{members}")))
}

fn prepare(options: &Options, address: &str) {
    let mut client = Client::connect(address);
    let topic = CreatableTopic::default()
        .with_name(topic_name(options.members))
        .with_num_partitions(i32::try_from(options.members).unwrap())
        .with_replication_factor(1);
    client.ask(7, &CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(60_000));
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("scale")]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while client.ask(4, &request).coordinators[0].error_code != 0 {
        assert!(Instant::now() < deadline, "no coordinator");
        std::thread::sleep(Duration::from_millis(100));
    }
    // The coordinators read their partitions.
    std::thread::sleep(Duration::from_secs(2));
}

fn main() {
    let options = Options::read();
    let Some(address) = options.bootstrap.clone() else { return };
    if options.loaded {
        return loaded(&options, &address);
    }
    prepare(&options, &address);
    if options.stored > 0 {
        return stored(&options, &address);
    }
    let (count, groups) = (options.members, options.groups);
    classic(
        &format!("{count} members in one group"),
        &options,
        &address,
        |_| format!("scale-one-{}", std::process::id()),
        count,
    );
    let group = |place: usize| format!("scale-{}-{}", std::process::id(), place / 5);
    classic(&format!("{groups} groups of 5"), &options, &address, group, groups * 5);
    consumer(&options, &address);
}
