//! What becomes of offsets and of the groups that nobody is in, over whole lives of groups of each kind.

use super::config::{GroupConfig, OfBroker};
use super::machine::{Caller, GroupMachine, Input, Reply};
use super::request::MembershipReply;
use super::settings::GroupSettings;
use super::testing::{image_of, text};
use crate::base::time::{Duration, Instant};
use crate::coordinator::machine::{CoordinatorRecord, Effects, Machine, ReplyTo, Situation};
use crate::metadata::image::Image;
use crate::protocol::messages::join_group_request::JoinGroupRequestProtocol;
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use crate::protocol::messages::{
    ConsumerGroupHeartbeatRequest, GroupId, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, SyncGroupRequest,
    TopicName,
};

const RETENTION: Duration = Duration::from_secs(60);
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// When the first offset is committed, in milliseconds since 1970.
const BEGIN_MS: i64 = 1_000_000;

/// A coordinator under a clock that drives both of its times.
struct Fixture {
    machine: GroupMachine,
    image: Image,
    passed: Duration,
    log: Vec<CoordinatorRecord>,
}

fn machine() -> GroupMachine {
    GroupMachine::new(GroupConfig {
        offset_metadata_bytes_max: 10,
        offsets_retention_ms: RETENTION.as_millis() as i64,
        offsets_check_interval: CHECK_INTERVAL,
        membership: GroupSettings::default(),
        broker: OfBroker::default(),
    })
}

impl Fixture {
    fn new() -> Fixture {
        let mut fixture =
            Fixture { machine: machine(), image: image_of(&[("t", 1)]), passed: Duration::ZERO, log: Vec::new() };
        fixture.call(|machine, situation| machine.loaded(situation));
        fixture
    }

    /// The same groups, read from the log.
    fn restarted(mut self) -> Fixture {
        self.machine = machine();
        for record in &self.log {
            self.machine.replay(&record.key, record.value.as_deref(), None).unwrap();
        }
        self.call(|machine, situation| machine.loaded(situation));
        self
    }

    fn call(
        &mut self,
        work: impl FnOnce(&mut GroupMachine, &Situation<'_>) -> Effects<Reply>,
    ) -> Vec<(ReplyTo, Reply)> {
        let wall_ms = BEGIN_MS + self.passed.as_millis() as i64;
        let situation = Situation { now: Instant(1) + self.passed, wall_ms, image: &self.image, random: 7 };
        let effects = work(&mut self.machine, &situation);
        for record in &effects.records {
            self.machine.replay(&record.key, record.value.as_deref(), effects.transaction).unwrap();
        }
        self.log.extend(effects.records);
        effects.replies
    }

    fn decide(&mut self, api_version: i16, input: impl FnOnce(Caller) -> Input) -> Vec<(ReplyTo, Reply)> {
        let input = input(Caller { api_version, ..Caller::default() });
        self.call(|machine, situation| machine.decide(situation, input, ReplyTo(1)))
    }

    /// Lets time pass until `at` after the beginning; what was answered meanwhile.
    fn pass_until(&mut self, at: Duration) -> Vec<(ReplyTo, Reply)> {
        let mut replies = Vec::new();
        while let Some(due) = self.machine.next_deadline().filter(|due| *due <= Instant(1) + at) {
            self.passed = self.passed.max(due.since(Instant(1)));
            replies.extend(self.call(|machine, situation| machine.on_time(situation)));
        }
        self.passed = at;
        replies
    }

    fn groups(&self) -> Vec<String> {
        self.machine.overview().into_iter().map(|(group, _)| group.group_id.0.to_string()).collect()
    }

    fn commit(&mut self, group: &str, (member, generation): (&str, i32), retention_ms: i64) {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(7)
            .with_committed_metadata(Some(text("")));
        let topic =
            OffsetCommitRequestTopic::default().with_name(TopicName(text("t"))).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_member_id(text(member))
            .with_generation_id_or_member_epoch(generation)
            .with_retention_time_ms(retention_ms)
            .with_topics(vec![topic]);
        let replies =
            self.decide(if retention_ms >= 0 { 4 } else { 9 }, |caller| Input::OffsetCommit(caller, Box::new(request)));
        let [(_, Reply::OffsetCommit(Ok(response)))] = &replies[..] else { panic!("{replies:?}") };
        assert_eq!(response.topics[0].partitions[0].error_code, 0);
    }

    /// The member's epoch after it.
    fn consumer_heartbeat(&mut self, epoch: i32) -> i32 {
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text("consumer")))
            .with_member_id(text("member"))
            .with_member_epoch(epoch)
            .with_rebalance_timeout_ms(60_000)
            .with_subscribed_topic_names(Some(vec![TopicName(text("t"))]))
            .with_topic_partitions(Some(Vec::new()));
        let replies = self.decide(1, |caller| Input::ConsumerGroupHeartbeat(caller, Box::new(request)));
        let [(_, Reply::Membership(MembershipReply::ConsumerGroupHeartbeat(response)))] = &replies[..] else {
            panic!("{replies:?}")
        };
        assert_eq!(response.error_code, 0);
        response.member_epoch
    }

    /// A member of the classic protocol joins: its id and generation. Takes some seconds.
    fn join_classic(&mut self) -> (String, i32) {
        let request = JoinGroupRequest::default()
            .with_group_id(GroupId(text("classic")))
            .with_session_timeout_ms(1_800_000)
            .with_rebalance_timeout_ms(10_000)
            .with_protocol_type(text("tests"))
            .with_protocols(vec![JoinGroupRequestProtocol::default().with_name(text("range"))]);
        self.decide(3, |caller| Input::JoinGroup(caller, Box::new(request)));
        // The initial delay ends.
        let replies = self.pass_until(self.passed + Duration::from_secs(5));
        let [(_, Reply::Membership(MembershipReply::JoinGroup(joined)))] = &replies[..] else { panic!("{replies:?}") };
        let sync = SyncGroupRequest::default()
            .with_group_id(GroupId(text("classic")))
            .with_member_id(joined.member_id.clone())
            .with_generation_id(joined.generation_id);
        let member = (joined.member_id.to_string(), joined.generation_id);
        self.decide(5, |_| Input::SyncGroup(Box::new(sync)));
        member
    }
}

#[test]
fn groups_left_empty_go_with_their_last_offset_and_a_start_gives_them_no_more_time() {
    for restarts in [false, true] {
        let mut fixture = Fixture::new();
        let (member, generation) = fixture.join_classic();
        let began = fixture.passed;
        fixture.commit("simple", ("", -1), -1);
        fixture.commit("classic", (&member, generation), -1);
        let epoch = fixture.consumer_heartbeat(0);
        fixture.commit("consumer", ("member", epoch), -1);
        let after = |seconds| began + Duration::from_secs(seconds);
        fixture.pass_until(after(40));
        let member = MemberIdentity::default().with_member_id(text(&member));
        let leave = LeaveGroupRequest::default().with_group_id(GroupId(text("classic"))).with_members(vec![member]);
        fixture.decide(5, |_| Input::LeaveGroup(Box::new(leave)));
        fixture.consumer_heartbeat(-1);
        if restarts {
            fixture = fixture.restarted();
        }
        fixture.pass_until(after(59));
        assert_eq!(fixture.groups(), ["classic", "consumer", "simple"]);
        // Time for the next look, after which those go whose offsets count from their commit.
        fixture.pass_until(after(60) + CHECK_INTERVAL);
        assert_eq!(fixture.groups(), ["classic"], "it counts from when it was left, 40 s after the others");
        fixture.pass_until(after(99));
        assert_eq!(fixture.groups(), ["classic"]);
        fixture.pass_until(after(100) + CHECK_INTERVAL);
        assert!(fixture.groups().is_empty());
        assert_eq!(fixture.machine.snapshot(), [], "nothing of them is left to store");
        assert!(fixture.restarted().groups().is_empty());
    }
}

#[test]
fn offsets_of_a_group_in_use_stay_and_a_client_may_say_how_long_its_own_do() {
    let mut fixture = Fixture::new();
    let epoch = fixture.consumer_heartbeat(0);
    fixture.commit("consumer", ("member", epoch), -1);
    fixture.commit("short", ("", -1), 5_000);
    fixture.commit("long", ("", -1), 200_000);
    for second in (5..=120).step_by(5) {
        fixture.pass_until(Duration::from_secs(second));
        fixture.consumer_heartbeat(epoch);
    }
    assert_eq!(fixture.groups(), ["consumer", "long"]);
    fixture.pass_until(Duration::from_secs(200) + CHECK_INTERVAL);
    assert_eq!(fixture.groups(), [""; 0], "the member that was silent left with its group");
}
