//! A coordinator's groups under a virtual clock, with every decision's records kept, as the tests of membership use them.

use std::collections::BTreeMap;

use super::config::OfBroker;
use super::groups::Groups;
use super::machine::Caller;
use super::request::MembershipReply;
use super::settings::GroupSettings;
use crate::base::time::{Duration, Instant};
use crate::coordinator::machine::{CoordinatorRecord, DECISION_BYTES_MAX, Effects, ReplyTo, Situation, bytes_of};
use crate::metadata::delta::Delta;
use crate::metadata::image::Image;
use crate::metadata::record::{BrokerRegistration, MetadataRecord, PartitionRegistration};
use crate::model::ids::{PartitionId, Uuid};
use crate::protocol::StrBytes;
use crate::protocol::messages::join_group_request::JoinGroupRequestProtocol;
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use crate::protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse, TopicName,
};

/// The group of most tests.
pub const GROUP: &str = "billing";
/// The session timeout of most members, in milliseconds.
pub const SESSION_MS: i32 = 10_000;
/// The rebalance timeout of most members, in milliseconds.
pub const REBALANCE_MS: i32 = 60_000;

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// An image with topics of the names and numbers of partitions given; ids count from 1 in their order.
pub fn image_of(topics: &[(&str, i32)]) -> Image {
    let broker = BrokerRegistration { id: 1, epoch: 1, endpoints: Vec::new(), rack: None, fenced: false };
    let mut records = vec![MetadataRecord::Broker(broker)];
    for (number, (name, partitions)) in (1..).zip(topics) {
        let id = Uuid::from_u128(number);
        records.push(MetadataRecord::Topic { name: (*name).to_owned(), id });
        records.extend((0..*partitions).map(|index| {
            MetadataRecord::Partition(PartitionRegistration {
                partition: PartitionId { topic: id, index },
                replicas: vec![1],
                isr: vec![1],
                leader: 1,
                leader_epoch: 0,
                partition_epoch: 0,
            })
        }));
    }
    Delta::apply(&Image::empty(), &records, 1000, 1).unwrap().0
}

/// The groups of one coordinator, and everything they wrote and answered.
pub struct Fixture {
    pub groups: Groups,
    pub image: Image,
    pub now: Instant,
    pub log: Vec<CoordinatorRecord>,
    pub replies: BTreeMap<ReplyTo, MembershipReply>,
    next_reply: u64,
    random: u128,
}

impl Fixture {
    pub fn new() -> Fixture {
        Fixture::with(GroupSettings::default())
    }

    pub fn with(settings: GroupSettings) -> Fixture {
        Fixture {
            groups: Groups::new(settings, OfBroker::default()),
            image: image_of(&[("orders", 6), ("payments", 3)]),
            now: Instant(1_000_000_000),
            log: Vec::new(),
            replies: BTreeMap::new(),
            next_reply: 0,
            random: 0,
        }
    }

    /// Calls, replays what was decided, and keeps records and replies.
    pub fn call(
        &mut self,
        work: impl FnOnce(&mut Groups, &Situation<'_>, ReplyTo) -> Effects<MembershipReply>,
    ) -> ReplyTo {
        self.next_reply += 1;
        self.random += 1;
        let to = ReplyTo(self.next_reply);
        let wall_ms = i64::try_from(self.now.0 / 1_000_000).unwrap();
        let situation = Situation { now: self.now, wall_ms, image: &self.image, random: self.random };
        let effects = work(&mut self.groups, &situation, to);
        let is_divisible = effects.records.iter().all(|record| record.value.is_none());
        assert!(is_divisible || bytes_of(&effects.records) < DECISION_BYTES_MAX as usize, "one batch holds it");
        for record in &effects.records {
            self.groups.replay(&record.key, record.value.as_deref()).unwrap();
        }
        self.log.extend(effects.records);
        for (to, reply) in effects.replies {
            assert!(self.replies.insert(to, reply).is_none(), "a request is answered once");
        }
        to
    }

    /// Lets time pass, with the groups looked at whenever they ask for it.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        // More looks than this would be a loop.
        for _ in 0..100_000 {
            match self.groups.next_deadline().filter(|due| *due <= end) {
                Some(due) => {
                    self.now = self.now.max(due);
                    self.call(|groups, situation, _| groups.on_time(situation));
                }
                None => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("the groups ask to be looked at without end");
    }

    pub fn pass_ms(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
    }

    /// Another image is in force.
    pub fn topics(&mut self, topics: &[(&str, i32)]) {
        self.image = image_of(topics);
        self.groups.topics_changed(true);
    }

    pub fn join(&mut self, join: &Joins<'_>) -> ReplyTo {
        let protocols = join.protocols.iter().map(|(name, metadata)| {
            JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(metadata.clone().into())
        });
        let request = JoinGroupRequest::default()
            .with_group_id(GroupId(text(join.group)))
            .with_member_id(text(join.member))
            .with_group_instance_id(join.instance.map(text))
            .with_session_timeout_ms(join.session_ms)
            .with_rebalance_timeout_ms(join.rebalance_ms)
            .with_protocol_type(text(join.kind))
            .with_protocols(protocols.collect())
            .with_reason(join.reason.map(text));
        let caller = caller(join.version);
        self.call(|groups, situation, to| groups.join(situation, caller, &request, to))
    }

    pub fn sync(&mut self, member: &str, generation: i32, assignments: &[(&str, &[u8])]) -> ReplyTo {
        let parts = assignments.iter().map(|(member, bytes)| {
            SyncGroupRequestAssignment::default().with_member_id(text(member)).with_assignment(bytes.to_vec().into())
        });
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(text(member))
            .with_generation_id(generation)
            .with_assignments(parts.collect());
        self.call(|groups, situation, to| groups.sync(situation, &request, to))
    }

    /// The code that a heartbeat of the classic protocol gets.
    pub fn beat(&mut self, member: &str, generation: i32) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(text(member))
            .with_generation_id(generation);
        let to = self.call(|groups, situation, to| groups.heartbeat(situation, &request, to));
        match self.replies.remove(&to) {
            Some(MembershipReply::Heartbeat(response)) => response.error_code,
            other => panic!("{other:?}"),
        }
    }

    pub fn leave(&mut self, members: &[(&str, Option<&str>)]) -> LeaveGroupResponse {
        let members = members.iter().map(|(member, instance)| {
            MemberIdentity::default().with_member_id(text(member)).with_group_instance_id(instance.map(text))
        });
        let request = LeaveGroupRequest::default().with_group_id(GroupId(text(GROUP))).with_members(members.collect());
        self.leave_with(&request)
    }

    pub fn leave_with(&mut self, request: &LeaveGroupRequest) -> LeaveGroupResponse {
        let to = self.call(|groups, situation, to| groups.leave(situation, request, to));
        match self.replies.remove(&to) {
            Some(MembershipReply::LeaveGroup(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    pub fn consume(&mut self, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        let caller = caller(1);
        let to = self.call(|groups, situation, to| groups.consumer_heartbeat(situation, &caller, request, to));
        match self.replies.remove(&to) {
            Some(MembershipReply::ConsumerGroupHeartbeat(response)) => *response,
            other => panic!("{other:?}"),
        }
    }

    pub fn joined(&mut self, to: ReplyTo) -> JoinGroupResponse {
        match self.replies.remove(&to) {
            Some(MembershipReply::JoinGroup(response)) => *response,
            other => panic!("no answer to a JoinGroup: {other:?}"),
        }
    }

    pub fn synced(&mut self, to: ReplyTo) -> SyncGroupResponse {
        match self.replies.remove(&to) {
            Some(MembershipReply::SyncGroup(response)) => *response,
            other => panic!("no answer to a SyncGroup: {other:?}"),
        }
    }

    pub fn is_waiting(&self, to: ReplyTo) -> bool {
        !self.replies.contains_key(&to)
    }

    /// The groups as a broker that starts now reads them.
    pub fn reloaded(&self) -> Fixture {
        let mut fresh = Fixture::with(self.groups.settings.clone());
        fresh.image = self.image.clone();
        fresh.now = self.now;
        for record in &self.log {
            fresh.groups.replay(&record.key, record.value.as_deref()).unwrap();
        }
        fresh.log = self.log.clone();
        fresh.call(|groups, situation, _| groups.on_time(situation));
        fresh
    }
}

pub fn caller(api_version: i16) -> Caller {
    Caller { client_id: "client".to_owned(), client_host: "/127.0.0.1".to_owned(), api_version }
}

/// A JoinGroup with the usual values.
#[derive(Clone)]
pub struct Joins<'a> {
    pub group: &'a str,
    pub member: &'a str,
    pub instance: Option<&'a str>,
    pub version: i16,
    pub kind: &'a str,
    pub protocols: Vec<(&'a str, Vec<u8>)>,
    pub session_ms: i32,
    pub rebalance_ms: i32,
    pub reason: Option<&'a str>,
}

impl Default for Joins<'_> {
    fn default() -> Self {
        Joins {
            group: GROUP,
            member: "",
            instance: None,
            version: 9,
            kind: "consumer",
            protocols: vec![("range", subscription(&["orders"]))],
            session_ms: SESSION_MS,
            rebalance_ms: REBALANCE_MS,
            reason: None,
        }
    }
}

/// A consumer's metadata.
pub fn subscription(topics: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend(i32::try_from(topics.len()).unwrap().to_be_bytes());
    for topic in topics {
        bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1_i32).to_be_bytes());
    bytes
}

/// A heartbeat with which a member joins.
pub fn joining(member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_member_id(text(member))
        .with_member_epoch(0)
        .with_rebalance_timeout_ms(REBALANCE_MS)
        .with_subscribed_topic_names(Some(topics.iter().map(|name| TopicName(text(name))).collect()))
        .with_topic_partitions(Some(Vec::new()))
}

/// A heartbeat that tells nothing new.
pub fn staying(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
}
