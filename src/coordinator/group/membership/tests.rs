//! Both protocols in one group, who may commit, and what operators ask.

use crate::base::time::{Duration, Instant};
use crate::coordinator::group::classic::group::ClassicState;
use crate::coordinator::group::config::{GroupConfig, OfBroker};
use crate::coordinator::group::consumer::group::ConsumerState;
use crate::coordinator::group::consumer_protocol::{NamedPartitions, read_assignment, write_assignment};
use crate::coordinator::group::groups::Group;
use crate::coordinator::group::machine::{Committer, GroupMachine, Reply};
use crate::coordinator::group::membership::admin::Filter;
use crate::coordinator::group::membership::fencing::{CommitRight, Expiry};
use crate::coordinator::group::settings::{GroupSettings, MigrationPolicy};
use crate::coordinator::group::testing::{Fixture, GROUP, Joins, caller, joining, staying, subscription, text};
use crate::coordinator::machine::{Machine, ReplyTo, Situation};
use crate::model::error_code::ErrorCode;
use crate::model::ids::Uuid;
use crate::protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use crate::protocol::messages::leave_group_request::MemberIdentity;
use crate::protocol::messages::{GroupId, LeaveGroupRequest, SyncGroupRequest};

fn orders() -> Uuid {
    Uuid::from_u128(1)
}

fn settings(policy: MigrationPolicy) -> GroupSettings {
    let mut settings = GroupSettings::default();
    settings.consumer.migration = policy;
    settings
}

impl Fixture {
    /// One member of the classic protocol that holds all of `orders`, in generation 1.
    fn one_classic(&mut self) -> String {
        let to = self.join(&Joins { version: 3, ..Joins::default() });
        self.pass_ms(3001);
        let id = self.joined(to).member_id.to_string();
        let all = NamedPartitions::from([("orders".to_owned(), (0..6).collect())]);
        let to = self.sync(&id, 1, &[(&id, &write_assignment(0, &all))]);
        assert_eq!(self.synced(to).error_code, 0);
        id
    }

    fn held_by_classic(&mut self, id: &str, generation: i32) -> Result<usize, ErrorCode> {
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(text(id))
            .with_generation_id(generation)
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")));
        let to = self.call(|groups, situation, to| groups.sync(situation, &request, to));
        let synced = self.synced(to);
        match ErrorCode::from_code(synced.error_code).unwrap() {
            ErrorCode::None => {
                let partitions = read_assignment(&synced.assignment).unwrap().partitions;
                Ok(partitions.values().map(|indexes| indexes.len()).sum())
            }
            code => Err(code),
        }
    }

    fn commits(&mut self, member: &str, generation: i32) -> Result<CommitRight, ErrorCode> {
        let committer =
            Committer { group: GROUP, member, instance: None, generation, in_transaction: false, api_version: 9 };
        let wall_ms = 0;
        let situation = Situation { now: self.now, wall_ms, image: &self.image, random: 0 };
        self.groups.check_commit(&situation, &committer).map_err(|error| error.code)
    }

    fn is_classic(&self) -> bool {
        matches!(self.groups.get(GROUP), Some(Group::Classic(_)))
    }
}

#[test]
fn a_classic_group_becomes_a_consumer_group_and_goes_back_with_its_members_at_work() {
    let mut broker = Fixture::new();
    let old = broker.one_classic();
    let new = broker.consume(&joining("new", &["orders"]));
    assert_eq!((new.error_code, new.member_epoch), (0, 2), "{:?}", new.error_message);
    assert!(!broker.is_classic());
    assert_eq!(broker.beat(&old, 1), ErrorCode::RebalanceInProgress.code());
    // It gives up what is not its any more by joining without it, as clients of the classic protocol do.
    let to = broker.join(&Joins { member: &old, ..Joins::default() });
    let joined = broker.joined(to);
    assert_eq!((joined.error_code, joined.generation_id), (0, 2));
    assert_eq!(broker.held_by_classic(&old, 2), Ok(3));
    assert_eq!(broker.beat(&old, 2), 0);
    let new = broker.consume(&staying("new", 2));
    let held: usize = new.assignment.unwrap().topic_partitions.iter().map(|part| part.partitions.len()).sum();
    assert_eq!(held, 3);
    let mut broker = broker.reloaded();
    assert_eq!(broker.beat(&old, 2), 0);
    // The last member of the consumer protocol goes: the group is classic, and its members are asked to join.
    assert_eq!(broker.consume(&staying("new", -1)).error_code, 0);
    assert!(broker.is_classic());
    assert_eq!(broker.beat(&old, 2), ErrorCode::RebalanceInProgress.code());
    let to = broker.join(&Joins { member: &old, ..Joins::default() });
    let joined = broker.joined(to);
    assert_eq!((joined.error_code, joined.generation_id, joined.leader.as_str()), (0, 3, old.as_str()));
    let reasons: Vec<String> =
        broker.groups.history(GROUP).unwrap().past().map(|one| one.cause.reason.clone()).collect();
    assert!(reasons.len() < 3, "{reasons:?}");
}

#[test]
fn waiting_members_of_a_classic_group_are_sent_to_the_consumer_group() {
    let mut broker = Fixture::new();
    let old = broker.one_classic();
    let other = broker.join(&Joins { version: 3, ..Joins::default() });
    assert!(broker.is_waiting(other));
    assert_eq!(broker.consume(&joining("new", &["orders"])).error_code, 0);
    assert_eq!(broker.joined(other).error_code, ErrorCode::RebalanceInProgress.code());
    assert_eq!(broker.beat(&old, 1), ErrorCode::RebalanceInProgress.code());
}

#[test]
fn a_member_of_the_classic_protocol_joins_a_consumer_group() {
    let mut broker = Fixture::new();
    let mut epoch = broker.consume(&joining("new", &["orders"])).member_epoch;
    broker.pass_ms(1500);
    let to = broker.join(&Joins::default());
    let required = broker.joined(to);
    assert_eq!(required.error_code, ErrorCode::MemberIdRequired.code());
    let old = required.member_id.to_string();
    let to = broker.join(&Joins { member: &old, ..Joins::default() });
    let joined = broker.joined(to);
    assert_eq!((joined.error_code, joined.generation_id), (0, 3));
    assert_eq!(joined.protocol_name.as_deref(), Some("range"));
    assert_eq!(broker.held_by_classic(&old, 3), Ok(0));
    assert_eq!(broker.beat(&old, 3), 0, "it waits for what the other one holds");
    let told = broker.consume(&staying("new", epoch));
    let kept = told.assignment.unwrap().topic_partitions[0].partitions.clone();
    assert_eq!(kept.len(), 3);
    let held = TopicPartitions::default().with_topic_id(orders()).with_partitions(kept);
    epoch = broker.consume(&staying("new", epoch).with_topic_partitions(Some(vec![held]))).member_epoch;
    assert_eq!(epoch, 3);
    assert_eq!(broker.beat(&old, 3), ErrorCode::RebalanceInProgress.code(), "what it waited for is free");
    let to = broker.join(&Joins { member: &old, ..Joins::default() });
    assert_eq!(broker.joined(to).generation_id, 3);
    assert_eq!(broker.held_by_classic(&old, 3), Ok(3));
    assert_eq!(broker.held_by_classic(&old, 9), Err(ErrorCode::IllegalGeneration));
    assert_eq!(broker.held_by_classic("new", 3), Err(ErrorCode::UnknownMemberId));
    let to = broker.join(&Joins { kind: "connect", ..Joins::default() });
    assert_eq!(broker.joined(to).error_code, ErrorCode::InconsistentGroupProtocol.code());
    let left = broker.leave(&[(&old, None), ("nobody", None)]);
    let codes: Vec<i16> = left.members.iter().map(|member| member.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::UnknownMemberId.code()]);
    assert!(!broker.is_classic());
}

#[test]
fn a_member_of_the_classic_protocol_that_is_told_to_join_has_to() {
    let mut broker = Fixture::new();
    let old = broker.one_classic();
    broker.consume(&joining("new", &["orders"]));
    for _ in 0..20 {
        assert_eq!(broker.beat(&old, 1), ErrorCode::RebalanceInProgress.code());
        broker.consume(&staying("new", 2));
        broker.pass_ms(3000);
    }
    assert_eq!(broker.beat(&old, 1), ErrorCode::UnknownMemberId.code());
}

#[test]
fn the_policy_may_forbid_either_way() {
    let mut broker = Fixture::with(settings(MigrationPolicy { upgrade: false, downgrade: true }));
    broker.one_classic();
    let refused = broker.consume(&joining("new", &["orders"]));
    assert_eq!(refused.error_code, ErrorCode::GroupIdNotFound.code());
    assert!(broker.is_classic());

    let mut broker = Fixture::with(settings(MigrationPolicy { upgrade: true, downgrade: false }));
    let old = broker.one_classic();
    broker.consume(&joining("new", &["orders"]));
    let to = broker.join(&Joins { member: &old, ..Joins::default() });
    assert_eq!(broker.joined(to).error_code, 0);
    assert_eq!(broker.held_by_classic(&old, 2), Ok(3));
    assert_eq!(broker.beat(&old, 2), 0);
    broker.consume(&staying("new", -1));
    assert!(!broker.is_classic());
    assert_eq!(broker.beat(&old, 2), ErrorCode::RebalanceInProgress.code(), "nobody else sees to what is free");
    broker.pass_ms(1500);
    let to = broker.join(&Joins { member: &old, ..Joins::default() });
    let joined = broker.joined(to);
    assert_eq!((joined.error_code, joined.generation_id), (0, 3));
    assert_eq!(broker.held_by_classic(&old, 3), Ok(6));

    let mut broker = Fixture::with(settings(MigrationPolicy { upgrade: false, downgrade: false }));
    broker.consume(&joining("new", &["orders"]));
    let to = broker.join(&Joins::default());
    assert_eq!(broker.joined(to).error_code, ErrorCode::InconsistentGroupProtocol.code());
}

#[test]
fn groups_that_are_no_consumers_stay_classic() {
    let mut broker = Fixture::new();
    let to = broker.join(&Joins { kind: "connect", version: 3, ..Joins::default() });
    broker.pass_ms(3001);
    let id = broker.joined(to).member_id.to_string();
    let refused = broker.consume(&joining("new", &["orders"]));
    assert_eq!(refused.error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(broker.beat(&id, 1), 0);

    let mut broker = Fixture::new();
    let to = broker.join(&Joins { protocols: vec![("range", vec![0xff; 3])], version: 3, ..Joins::default() });
    broker.pass_ms(3001);
    broker.joined(to);
    let refused = broker.consume(&joining("new", &["orders"]));
    assert!(refused.error_message.unwrap().contains("malformed"));
    assert!(broker.is_classic());
}

#[test]
fn an_empty_group_takes_either_protocol() {
    let mut broker = Fixture::new();
    let old = broker.one_classic();
    broker.leave(&[(&old, None)]);
    assert_eq!(broker.consume(&joining("new", &["orders"])).member_epoch, 2);
    broker.consume(&staying("new", -1));
    assert!(!broker.is_classic());
    let unknown = broker.join(&Joins { member: "new", ..Joins::default() });
    assert_eq!(broker.joined(unknown).error_code, ErrorCode::UnknownMemberId.code());
    let to = broker.join(&Joins { version: 3, ..Joins::default() });
    assert!(broker.is_classic());
    broker.pass_ms(3001);
    assert_eq!(broker.joined(to).generation_id, 1);
    let reloaded = broker.reloaded();
    assert!(reloaded.groups.is_empty(), "what was not assigned yet is forgotten, and what was before is deleted");
}

#[test]
fn a_static_member_takes_its_group_back_to_the_classic_protocol() {
    let mut broker = Fixture::new();
    let request = joining("new", &["orders"]).with_instance_id(Some(text("one")));
    assert_eq!(broker.consume(&request).member_epoch, 2);
    let to = broker.join(&Joins { instance: Some("one"), ..Joins::default() });
    let joined = broker.joined(to);
    assert_eq!((joined.error_code, joined.generation_id), (0, 2));
    assert!(broker.is_classic());
    let id = joined.member_id.to_string();
    assert_eq!(broker.held_by_classic(&id, 2), Ok(6), "with what it had");
    assert_eq!(broker.beat(&id, 2), 0);
    let reloaded = broker.reloaded();
    assert!(reloaded.is_classic());
}

#[test]
fn who_may_commit_in_a_classic_group() {
    let mut broker = Fixture::new();
    assert!(matches!(broker.commits("", -1), Ok(CommitRight::All)), "a group of which there are offsets alone");
    assert_eq!(broker.commits("x", 1).unwrap_err(), ErrorCode::GroupIdNotFound);
    let id = broker.one_classic();
    assert!(broker.commits(&id, 1).is_ok());
    assert_eq!(broker.commits(&id, 0).unwrap_err(), ErrorCode::IllegalGeneration);
    assert_eq!(broker.commits("x", 1).unwrap_err(), ErrorCode::UnknownMemberId);
    assert_eq!(broker.commits("", -1).unwrap_err(), ErrorCode::UnknownMemberId);
    broker.pass_ms(9000);
    assert!(broker.commits(&id, 1).is_ok());
    broker.pass_ms(9000);
    assert_eq!(broker.beat(&id, 1), 0, "a commit keeps a member in");
    broker.leave(&[(&id, None)]);
    assert!(broker.commits("", -1).is_ok());
}

#[test]
fn who_may_commit_and_fetch_in_a_consumer_group() {
    let mut broker = Fixture::new();
    broker.consume(&joining("a", &["orders"]));
    assert!(matches!(broker.commits("a", 2), Ok(CommitRight::All)));
    assert_eq!(broker.commits("a", 3).unwrap_err(), ErrorCode::StaleMemberEpoch);
    assert_eq!(broker.commits("b", 1).unwrap_err(), ErrorCode::UnknownMemberId);
    assert_eq!(broker.commits("", -1).unwrap_err(), ErrorCode::UnknownMemberId);
    let fetch =
        |broker: &Fixture, member, epoch| broker.groups.check_fetch(GROUP, member, epoch).map_err(|error| error.code);
    assert_eq!(fetch(&broker, None, -1), Ok(()));
    assert_eq!(fetch(&broker, Some("a"), 2), Ok(()));
    assert_eq!(fetch(&broker, Some("a"), 0), Err(ErrorCode::StaleMemberEpoch));
    assert_eq!(fetch(&broker, Some("b"), 1), Err(ErrorCode::UnknownMemberId));
    // In a later epoch it may commit what it got before and still holds (KIP-1251).
    broker.pass_ms(1500);
    broker.consume(&joining("b", &["orders"]));
    let told = broker.consume(&staying("a", 2));
    let kept = told.assignment.unwrap().topic_partitions[0].partitions.clone();
    let held = TopicPartitions::default().with_topic_id(orders()).with_partitions(kept.clone());
    broker.consume(&staying("a", 2).with_topic_partitions(Some(vec![held])));
    let right = broker.commits("a", 2).unwrap();
    assert!(right.check(orders(), kept[0]).is_ok());
    let given_up = (0..6).find(|index| !kept.contains(index)).unwrap();
    assert_eq!(right.check(orders(), given_up).unwrap_err().code, ErrorCode::StaleMemberEpoch);
}

/// A group whose members' removal takes more records than one batch holds: names as long as they may be.
fn group_of_long_names() -> (Fixture, GroupId, Vec<String>) {
    let mut broker = Fixture::new();
    let group = GroupId(text(&"g".repeat(30_000)));
    let members: Vec<String> = (0..80).map(|number| format!("{number:0>4096}")).collect();
    for member in &members {
        let joined = broker.consume(&joining(member, &["orders"]).with_group_id(group.clone()));
        assert_eq!(joined.error_code, 0, "{:?}", joined.error_message);
    }
    (broker, group, members)
}

#[test]
fn members_leave_together_as_far_as_one_decision_may_write() {
    let (mut broker, group, members) = group_of_long_names();
    let identities = members.iter().map(|member| MemberIdentity::default().with_member_id(text(member)));
    let request = LeaveGroupRequest::default().with_group_id(group.clone()).with_members(identities.collect());
    let left = broker.leave_with(&request).members;
    let gone = left.iter().filter(|one| one.error_code == 0).count();
    assert!(gone > 40 && gone < 80, "{gone}");
    let later = ErrorCode::CoordinatorNotAvailable.code();
    assert!(left[gone..].iter().all(|one| one.error_code == later));
    assert_eq!(broker.groups.members_of(&group), 80 - gone);
    let left = broker.leave_with(&request).members;
    assert!(left[gone..].iter().all(|one| one.error_code == 0), "they go when they are named again");
    assert_eq!(broker.groups.members_of(&group), 0);
}

#[test]
fn members_that_fall_silent_together_go_one_decision_after_another() {
    let (broker, group, _) = group_of_long_names();
    // As after a load, which starts all sessions at one time.
    let mut broker = broker.reloaded();
    assert_eq!(broker.groups.members_of(&group), 80);
    broker.pass(broker.groups.settings.consumer.session_timeout);
    assert_eq!(broker.groups.members_of(&group), 0);
    assert_eq!(broker.reloaded().groups.members_of(&group), 0);
}

#[test]
fn offsets_of_groups_in_use_do_not_expire() {
    let mut broker = Fixture::new();
    assert_eq!(broker.groups.expiry(GROUP), Expiry::FromCommit);
    let id = broker.one_classic();
    assert_eq!(broker.groups.expiry(GROUP), Expiry::FromCommit);
    assert!(broker.groups.is_subscribed_to(GROUP, "orders") && !broker.groups.is_subscribed_to(GROUP, "payments"));
    broker.join(&Joins { member: &id, protocols: vec![("range", subscription(&["payments"]))], ..Joins::default() });
    broker.leave(&[(&id, None)]);
    assert!(matches!(broker.groups.expiry(GROUP), Expiry::Since(_)));
    assert!(broker.groups.is_without_members(GROUP));
    broker.consume(&joining("a", &["payments"]));
    assert!(broker.groups.is_subscribed_to(GROUP, "payments"));
    assert_eq!(broker.groups.expiry(GROUP), Expiry::FromCommit);
    broker.consume(&staying("a", -1));
    broker.pass_ms(1);
    assert_eq!(broker.groups.expiry(GROUP), Expiry::FromCommit, "a start does not give them another week");
}

#[test]
fn groups_are_listed_described_and_deleted() {
    let mut broker = Fixture::new();
    let id = broker.one_classic();
    let list = |broker: &Fixture, states: &[&str], types: &[&str]| {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let filter = Filter { states: texts(states), types: texts(types) };
        let listed = broker.groups.list(&filter);
        listed.iter().map(|one| format!("{} {} {}", one.protocol_type, one.group_state, one.group_type)).collect()
    };
    let listed: Vec<String> = list(&broker, &[], &[]);
    assert_eq!(listed, ["consumer Stable classic"]);
    let listed: Vec<String> = list(&broker, &["stable"], &["Classic"]);
    assert_eq!(listed.len(), 1);
    let listed: Vec<String> = list(&broker, &["Empty"], &[]);
    assert!(listed.is_empty());
    let described = broker.groups.describe(GROUP, 6, false);
    assert_eq!((described.error_code, &*described.group_state, &*described.protocol_data), (0, "Stable", "range"));
    let member = &described.members[0];
    assert_eq!((&*member.member_id, &*member.client_host), (id.as_str(), "/127.0.0.1"));
    assert_eq!(member.member_metadata, subscription(&["orders"]));
    let dead = broker.groups.describe("nobody", 5, false);
    assert_eq!((dead.error_code, &*dead.group_state), (0, "Dead"));
    let dead = broker.groups.describe("nobody", 6, false);
    assert_eq!(dead.error_code, ErrorCode::GroupIdNotFound.code());
    let check = |broker: &Fixture, id: &str| broker.groups.check_delete(id, false).map_err(|error| error.code);
    assert_eq!(check(&broker, GROUP), Err(ErrorCode::NonEmptyGroup));
    assert_eq!(check(&broker, "nobody"), Err(ErrorCode::GroupIdNotFound));
    broker.leave(&[(&id, None)]);
    assert_eq!(check(&broker, GROUP), Ok(()));

    broker.consume(&joining("a", &["orders", "gone"]));
    let listed: Vec<String> = list(&broker, &[], &["consumer"]);
    assert_eq!(listed, ["consumer Stable consumer"]);
    let situation = Situation { now: Instant(0), wall_ms: 0, image: &broker.image, random: 0 };
    let described = broker.groups.describe_consumer(&situation, GROUP);
    assert_eq!((described.group_epoch, described.assignment_epoch, &*described.assignor_name), (2, 2, "uniform"));
    let member = &described.members[0];
    assert_eq!(member.subscribed_topic_names.len(), 2);
    assert_eq!(member.assignment.topic_partitions[0].partitions, (0..6).collect::<Vec<i32>>());
    assert_eq!(member.assignment, member.target_assignment);
    let wrong = broker.groups.describe_consumer(&situation, "nobody");
    assert_eq!(wrong.error_code, ErrorCode::GroupIdNotFound.code());
    let wrong = broker.groups.describe(GROUP, 6, false);
    assert_eq!(wrong.error_code, ErrorCode::GroupIdNotFound.code(), "it is no classic group");
}

#[test]
fn a_group_goes_with_its_offsets() {
    let config = GroupConfig {
        offset_metadata_bytes_max: 10,
        offsets_retention_ms: 1000,
        offsets_check_interval: Duration::from_secs(600),
        membership: GroupSettings::default(),
        broker: OfBroker::default(),
    };
    let mut broker = Fixture::new();
    let id = broker.one_classic();
    broker.leave(&[(&id, None)]);
    let mut machine = GroupMachine::new(config);
    for record in &broker.log {
        machine.replay(&record.key, record.value.as_deref(), None).unwrap();
    }
    let deleted = machine.delete_groups(&[GROUP.to_owned(), GROUP.to_owned(), "nobody".to_owned()], ReplyTo(1));
    let [(_, Reply::DeleteGroups(results))] = deleted.replies.as_slice() else { panic!("no answer") };
    let codes: Vec<_> = results.iter().map(|result| result.as_ref().map_err(|error| error.code)).collect();
    assert_eq!(codes, [Ok(&()), Ok(&()), Err(ErrorCode::GroupIdNotFound)]);
    assert_eq!(deleted.records.len(), 1);
    for record in &deleted.records {
        machine.replay(&record.key, record.value.as_deref(), None).unwrap();
    }
    assert!(machine.snapshot().is_empty());
    assert!(machine.list_groups(&Filter::default()).is_empty());
}

#[test]
fn states_have_kafkas_names() {
    let classic = [
        ClassicState::Empty,
        ClassicState::PreparingRebalance,
        ClassicState::CompletingRebalance,
        ClassicState::Stable,
    ];
    assert_eq!(classic.map(ClassicState::name), ["Empty", "PreparingRebalance", "CompletingRebalance", "Stable"]);
    let consumer = [ConsumerState::Empty, ConsumerState::Assigning, ConsumerState::Reconciling, ConsumerState::Stable];
    assert_eq!(consumer.map(ConsumerState::name), ["Empty", "Assigning", "Reconciling", "Stable"]);
    assert_eq!(caller(3).api_version, 3);
}
