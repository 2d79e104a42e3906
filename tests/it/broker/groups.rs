//! Groups over the wire: both protocols, a restart in between, and what operators ask.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::time::{Duration, Instant, SystemTime};

use flumen::broker::lag::GroupLag;
use flumen::broker::why::{GROUPS_SOCKET, Rebalances};
use flumen::metadata::controller::configs::resource_type;
use flumen::model::error_code::ErrorCode;
use flumen::protocol::StrBytes;
use flumen::protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use flumen::protocol::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;
use flumen::protocol::messages::describe_configs_request::DescribeConfigsResource;
use flumen::protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use flumen::protocol::messages::join_group_request::JoinGroupRequestProtocol;
use flumen::protocol::messages::join_group_response::JoinGroupResponse;
use flumen::protocol::messages::leave_group_request::MemberIdentity;
use flumen::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use flumen::protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use flumen::protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, DeleteGroupsRequest, DescribeConfigsRequest,
    DescribeGroupsRequest, GroupId, HeartbeatRequest, IncrementalAlterConfigsRequest, JoinGroupRequest,
    LeaveGroupRequest, ListConfigResourcesRequest, ListGroupsRequest, OffsetCommitRequest, SyncGroupRequest,
};
use uuid::Uuid;

use super::client::{Client, name};
use super::process::Broker;

/// Long enough for any machine; what is waited for comes in a fraction of it.
const PATIENCE: Duration = Duration::from_secs(60);

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group(id: &str) -> GroupId {
    GroupId(text(id))
}

/// A broker whose groups do not wait for more members.
fn start(directory: &std::path::Path) -> Broker {
    Broker::start(directory, &["--kafka", "group.initial.rebalance.delay.ms=0"])
}

/// Asks again while the coordinator is being made or read.
fn until_ready<T>(mut ask: impl FnMut() -> (T, i16)) -> T {
    let deadline = Instant::now() + PATIENCE;
    let busy = [ErrorCode::CoordinatorLoadInProgress, ErrorCode::CoordinatorNotAvailable, ErrorCode::NotCoordinator];
    loop {
        let (told, code) = ask();
        if !busy.iter().any(|busy| busy.code() == code) || Instant::now() > deadline {
            return told;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn join_request(group_id: &str, member: &str, version: i16) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(vec![0; 4].into());
    let request = JoinGroupRequest::default()
        .with_group_id(group(group_id))
        .with_member_id(text(member))
        .with_session_timeout_ms(10_000)
        .with_protocol_type(text("tests"))
        .with_protocols(vec![protocol]);
    if version >= 1 { request.with_rebalance_timeout_ms(10_000) } else { request }
}

fn join(client: &mut Client, group_id: &str, member: &str, version: i16) -> JoinGroupResponse {
    let mut member = member.to_owned();
    until_ready(|| {
        let mut response = client.ask(version, &join_request(group_id, &member, version));
        if response.error_code == ErrorCode::MemberIdRequired.code() {
            member = response.member_id.to_string();
            response = client.ask(version, &join_request(group_id, &member, version));
        }
        let code = response.error_code;
        (response, code)
    })
}

fn sync(client: &mut Client, group_id: &str, joined: &JoinGroupResponse, version: i16) -> Vec<u8> {
    let parts = joined.members.iter().map(|member| {
        let bytes = member.member_id.as_bytes().to_vec();
        SyncGroupRequestAssignment::default().with_member_id(member.member_id.clone()).with_assignment(bytes.into())
    });
    let request = SyncGroupRequest::default()
        .with_group_id(group(group_id))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(parts.collect());
    let request = if version < 5 {
        request
    } else {
        // Obligatory since KIP-559.
        request.with_protocol_type(Some(text("tests"))).with_protocol_name(joined.protocol_name.clone())
    };
    let response = client.ask(version, &request);
    assert_eq!(response.error_code, 0);
    response.assignment.to_vec()
}

fn beat(client: &mut Client, group_id: &str, joined: &JoinGroupResponse, version: i16) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(group(group_id))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    client.ask(version, &request).error_code
}

#[test]
fn every_version_of_the_classic_protocol_is_served() {
    let data = scratch();
    let broker = start(data.path());
    let mut client = Client::connect(broker.address);
    for version in 0..=9_i16 {
        let id = format!("group-{version}");
        let joined = join(&mut client, &id, "", version);
        assert_eq!((joined.error_code, joined.generation_id), (0, 1), "version {version}");
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        assert_eq!(joined.members.len(), 1);
        let assigned = sync(&mut client, &id, &joined, version.min(5));
        assert_eq!(assigned, joined.member_id.as_bytes());
        assert_eq!(beat(&mut client, &id, &joined, version.min(4)), 0);
        let version = version.min(5);
        let request = LeaveGroupRequest::default().with_group_id(group(&id));
        let member = MemberIdentity::default().with_member_id(joined.member_id.clone());
        let request = match version {
            0..3 => request.with_member_id(joined.member_id.clone()),
            _ => request.with_members(vec![member]),
        };
        let left = client.ask(version, &request);
        assert_eq!(left.error_code, 0);
        let again = client.ask(version, &request);
        let code = if version < 3 { again.error_code } else { again.members[0].error_code };
        assert_eq!(code, ErrorCode::UnknownMemberId.code());
    }
    for version in 0..=5 {
        let listed = client.ask(version, &ListGroupsRequest::default());
        assert_eq!((listed.error_code, listed.groups.len()), (0, 10), "version {version}");
    }
}

#[test]
fn members_of_a_classic_group_rebalance_and_outlive_the_broker() {
    let data = scratch();
    let broker = start(data.path());
    let (mut one, mut two) = (Client::connect(broker.address), Client::connect(broker.address));
    let first = join(&mut one, "pair", "", 9);
    sync(&mut one, "pair", &first, 5);
    // The second one waits for the first, who hears of it by its heartbeat.
    let required = two.ask(9, &join_request("pair", "", 9));
    let request = join_request("pair", &required.member_id, 9);
    let waiting = two.send(9, &request);
    let deadline = Instant::now() + PATIENCE;
    while beat(&mut one, "pair", &first, 4) != ErrorCode::RebalanceInProgress.code() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    let first = join(&mut one, "pair", &first.member_id, 9);
    let second: JoinGroupResponse = two.receive::<JoinGroupRequest>(9, waiting);
    assert_eq!((first.generation_id, second.generation_id), (2, 2));
    assert_eq!((first.members.len(), second.members.len()), (2, 0));
    sync(&mut one, "pair", &first, 5);
    assert_eq!(sync(&mut two, "pair", &second, 5), second.member_id.as_bytes());

    broker.kill();
    let broker = start(data.path());
    let mut client = Client::connect(broker.address);
    until_ready(|| ((), client.ask(9, &join_request("other", "nobody", 9)).error_code));
    assert_eq!(beat(&mut client, "pair", &first, 4), 0, "they go on where they were");
    assert_eq!(sync(&mut client, "pair", &second, 5), second.member_id.as_bytes());
    let request = DescribeGroupsRequest::default().with_groups(vec![group("pair"), group("nobody")]);
    let described = client.ask(6, &request);
    let pair = &described.groups[0];
    assert_eq!((pair.error_code, &*pair.group_state, pair.members.len()), (0, "Stable", 2));
    assert_eq!(&*pair.members[0].client_host, "/127.0.0.1");
    assert_eq!(described.groups[1].error_code, ErrorCode::GroupIdNotFound.code());
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group("pair"), group("nobody")]);
    let codes: Vec<i16> = client.ask(2, &delete).results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [ErrorCode::NonEmptyGroup.code(), ErrorCode::GroupIdNotFound.code()]);
    let members = [&first, &second].map(|joined| MemberIdentity::default().with_member_id(joined.member_id.clone()));
    let leave = LeaveGroupRequest::default().with_group_id(group("pair")).with_members(members.to_vec());
    assert!(client.ask(5, &leave).members.iter().all(|member| member.error_code == 0));
    assert_eq!(client.ask(2, &delete).results[0].error_code, 0);
    assert!(client.ask(5, &ListGroupsRequest::default()).groups.is_empty());
}

/// A member of the consumer protocol that does what it is told.
struct Member {
    client: Client,
    id: String,
    epoch: i32,
    held: BTreeSet<i32>,
}

impl Member {
    fn request(&self, group_id: &str) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group(group_id))
            .with_member_id(text(&self.id))
            .with_member_epoch(self.epoch)
    }

    fn join(address: std::net::SocketAddr, group_id: &str, id: &str) -> Member {
        let client = Client::connect(address);
        let mut member = Member { client, id: id.to_owned(), epoch: 0, held: BTreeSet::new() };
        let request = member
            .request(group_id)
            .with_rebalance_timeout_ms(30_000)
            .with_subscribed_topic_names(Some(vec![name("orders")]))
            .with_topic_partitions(Some(Vec::new()));
        let response = until_ready(|| {
            let response = member.client.ask(1, &request);
            let code = response.error_code;
            (response, code)
        });
        member.hears(&response);
        member
    }

    fn beats(&mut self, group_id: &str, topic: Uuid) {
        let held = TopicPartitions::default().with_topic_id(topic).with_partitions(self.held.iter().copied().collect());
        let request = self.request(group_id).with_topic_partitions(Some(vec![held]));
        let response = until_ready(|| {
            let response = self.client.ask(1, &request);
            let code = response.error_code;
            (response, code)
        });
        self.hears(&response);
    }

    fn hears(&mut self, response: &ConsumerGroupHeartbeatResponse) {
        assert_eq!(response.error_code, 0, "{:?}", response.error_message);
        self.epoch = response.member_epoch;
        if let Some(assignment) = &response.assignment {
            self.held = assignment.topic_partitions.iter().flat_map(|part| part.partitions.clone()).collect();
        }
    }
}

fn until_shared(members: &mut [Member], group_id: &str, topic: Uuid, shares: &[usize]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        members.iter_mut().for_each(|member| member.beats(group_id, topic));
        let counts: Vec<usize> = members.iter().map(|member| member.held.len()).collect();
        if counts == shares {
            return;
        }
        assert!(Instant::now() < deadline, "{counts:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn members_of_a_consumer_group_share_and_outlive_the_broker() {
    let data = scratch();
    let mut broker = start(data.path());
    let began = Instant::now();
    let began_ms = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let topic = Client::connect(broker.address).create_topic("orders", 6, &[]);
    let mut members = vec![Member::join(broker.address, "new", "a"), Member::join(broker.address, "new", "b")];
    until_shared(&mut members, "new", topic, &[3, 3]);
    assert!(members[0].held.is_disjoint(&members[1].held));

    // Only who is in the group, in its epoch, may commit.
    let commit = |client: &mut Client, member: &str, epoch: i32| {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(5)
            .with_committed_leader_epoch(0)
            .with_committed_metadata(Some(text("")));
        let wanted = OffsetCommitRequestTopic::default().with_name(name("orders")).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group("new"))
            .with_member_id(text(member))
            .with_generation_id_or_member_epoch(epoch)
            .with_topics(vec![wanted]);
        client.ask(9, &request).topics[0].partitions[0].error_code
    };
    let epoch = members[0].epoch;
    assert_eq!(commit(&mut members[0].client, "a", epoch), 0);
    assert_eq!(commit(&mut members[0].client, "a", epoch + 1), ErrorCode::StaleMemberEpoch.code());
    assert_eq!(commit(&mut members[0].client, "x", epoch), ErrorCode::UnknownMemberId.code());

    let mut socket = std::os::unix::net::UnixStream::connect(data.path().join(GROUPS_SOCKET)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(b"new\n").unwrap();
    let mut json = String::new();
    socket.read_to_string(&mut json).unwrap();
    let told: Rebalances = serde_json::from_str(&json).unwrap();
    assert_eq!(told.error, None);
    let last = told.rebalances.last().unwrap();
    assert_eq!((last.outcome.as_str(), last.members, last.member_id.as_str()), ("stable", 2, "b"));
    assert!(last.cause.contains("joined"), "{}", last.cause);
    assert_eq!((last.client_host.as_str(), last.generation), ("/127.0.0.1", epoch));
    let duration = i64::try_from(last.duration_ms).unwrap();
    assert!(
        (began_ms..=began_ms + began.elapsed().as_millis() as i64).contains(&(last.started_ms + duration)),
        "{last:?}"
    );
    let told_by_command = broker.command(&["group", "why", "new"]);
    let line = told_by_command.lines().last().unwrap();
    assert!(line.contains(&format!("generation {epoch}  2 members  stable")), "{line}");
    assert!(line.contains(&last.cause) && line.contains("at /127.0.0.1"), "{line}");
    // Each rebalance is one line of the log; the first of them ended when "b" came, or before.
    let logged: Vec<String> = told.rebalances.iter().map(|_| broker.wait_for_line("group rebalanced")).collect();
    assert!(logged.iter().all(|line| line.contains("new") && line.contains("/127.0.0.1")), "{logged:?}");
    assert!(logged.last().unwrap().contains(&last.cause), "{logged:?}");
    let listed: Vec<GroupLag> = serde_json::from_str(&broker.command(&["group", "list", "--json"])).unwrap();
    let told: Vec<_> = listed.iter().map(|one| (&*one.group, &*one.kind, &*one.state, one.members)).collect();
    assert_eq!(told, [("new", "consumer", "Stable", 2)]);

    broker.kill();
    let broker = start(data.path());
    members.iter_mut().for_each(|member| member.client = Client::connect(broker.address));
    until_shared(&mut members, "new", topic, &[3, 3]);
    assert_eq!(members[0].epoch, epoch, "nobody rebalanced for the restart");

    let mut client = Client::connect(broker.address);
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group("new"), group("nobody")]);
    let described = client.ask(1, &request);
    let new = &described.groups[0];
    assert_eq!((new.error_code, &*new.group_state, new.group_epoch), (0, "Stable", epoch));
    assert_eq!(new.members.len(), 2);
    assert_eq!(new.members[0].assignment.topic_partitions[0].topic_name.as_str(), "orders");
    assert_eq!(described.groups[1].error_code, ErrorCode::GroupIdNotFound.code());

    members[1].epoch = -1;
    let leave = members[1].request("new");
    assert_eq!(members[1].client.ask(1, &leave).error_code, 0);
    members.truncate(1);
    until_shared(&mut members, "new", topic, &[6]);
}

#[test]
fn requests_for_groups_that_make_no_sense_are_refused() {
    let data = scratch();
    let broker = start(data.path());
    let mut client = Client::connect(broker.address);
    let refused = |client: &mut Client, request: JoinGroupRequest| {
        until_ready(|| {
            let code = client.ask(9, &request).error_code;
            (code, code)
        })
    };
    let code = refused(&mut client, join_request("", "", 9));
    assert_eq!(code, ErrorCode::InvalidGroupId.code());
    let code = refused(&mut client, join_request("g", "", 9).with_session_timeout_ms(1));
    assert_eq!(code, ErrorCode::InvalidSessionTimeout.code());
    let code = refused(&mut client, join_request("g", "somebody", 9));
    assert_eq!(code, ErrorCode::UnknownMemberId.code());
    let bomb = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group("g"))
        .with_member_id(text("m"))
        .with_rebalance_timeout_ms(1000)
        .with_subscribed_topic_regex(Some(text("(a{1,1000}){1,1000}")))
        .with_topic_partitions(Some(Vec::new()));
    assert_eq!(client.ask(1, &bomb).error_code, ErrorCode::InvalidRegularExpression.code());
    assert!(client.ask(5, &ListGroupsRequest::default()).groups.is_empty());
}

/// Sets a config of a group; gives the error code.
fn set_config(client: &mut Client, id: &str, config: &str, value: &str) -> i16 {
    let alteration = AlterableConfig::default().with_name(text(config)).with_value(Some(text(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(resource_type::GROUP)
        .with_resource_name(text(id))
        .with_configs(vec![alteration]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    client.ask(1, &request).responses[0].error_code
}

#[test]
fn a_group_has_configs_of_its_own() {
    let data = scratch();
    let broker = start(data.path());
    let mut client = Client::connect(broker.address);
    client.create_topic("orders", 2, &[]);
    let interval = |client: &mut Client, id: &str, epoch| {
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group(id))
            .with_member_id(text("m"))
            .with_member_epoch(epoch)
            .with_rebalance_timeout_ms(1000)
            .with_subscribed_topic_names(Some(vec![name("orders")]))
            .with_topic_partitions(Some(Vec::new()));
        let response = until_ready(|| {
            let response = client.ask(1, &request);
            let code = response.error_code;
            (response, code)
        });
        assert_eq!(response.error_code, 0, "{:?}", response.error_message);
        (response.heartbeat_interval_ms, response.member_epoch)
    };
    let (unset, epoch) = interval(&mut client, "own", 0);
    assert_eq!(unset, 5000);
    assert_eq!(set_config(&mut client, "own", "consumer.heartbeat.interval.ms", "7000"), 0);
    assert_eq!(set_config(&mut client, "own", "consumer.session.timeout.ms", "50000"), 0);
    assert_eq!(interval(&mut client, "own", epoch).0, 7000, "from the next heartbeat on");
    assert_eq!(interval(&mut client, "other", 0).0, 5000);
    for (config, value) in
        [("consumer.session.timeout.ms", "60001"), ("consumer.heartbeat.interval.ms", "x"), ("x", "1")]
    {
        assert_eq!(set_config(&mut client, "own", config, value), ErrorCode::InvalidConfig.code(), "{config}={value}");
    }
    assert_eq!(
        set_config(&mut client, "", "consumer.session.timeout.ms", "50000"),
        ErrorCode::InvalidRequest.code(),
        "there is no default for all groups"
    );

    broker.kill();
    let broker = start(data.path());
    let mut client = Client::connect(broker.address);
    assert_eq!(interval(&mut client, "own", epoch).0, 7000);
    let resource =
        DescribeConfigsResource::default().with_resource_type(resource_type::GROUP).with_resource_name(text("own"));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
    let described = client.ask(4, &request);
    let configs = &described.results[0].configs;
    let set: Vec<_> = configs
        .iter()
        .filter(|config| config.config_source == 8)
        .map(|config| (config.name.as_str(), config.value.as_deref().unwrap(), config.synonyms.len()))
        .collect();
    assert_eq!(configs.len(), 17);
    assert_eq!(set, [("consumer.heartbeat.interval.ms", "7000", 2), ("consumer.session.timeout.ms", "50000", 2)]);
    let listed = |client: &mut Client, types: Vec<i8>| {
        let response = client.ask(1, &ListConfigResourcesRequest::default().with_resource_types(types));
        let names: Vec<_> =
            response.config_resources.iter().map(|one| (one.resource_type, one.resource_name.to_string())).collect();
        (response.error_code, names)
    };
    assert_eq!(listed(&mut client, vec![resource_type::GROUP]), (0, vec![(32, "own".to_owned())]));
    assert!(listed(&mut client, Vec::new()).1.contains(&(resource_type::TOPIC, "orders".to_owned())));
    assert_eq!(listed(&mut client, vec![99]).0, ErrorCode::UnsupportedVersion.code());
}
