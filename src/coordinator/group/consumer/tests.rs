//! Each rule of the consumer protocol by plain calls.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{ConsumerGroup, ConsumerState};
use super::regex;
use super::subscription::REGEX_RENEWAL_INTERVAL;
use crate::coordinator::group::groups::Group;
use crate::coordinator::group::history::Outcome;
use crate::coordinator::group::records::Key;
use crate::coordinator::group::settings::GroupSettings;
use crate::coordinator::group::testing::{Fixture, GROUP, REBALANCE_MS, caller, image_of, joining, staying, text};
use crate::model::error_code::ErrorCode;
use crate::model::ids::{TopicId, Uuid};
use crate::protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use crate::protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicName};

/// The session timeout that the broker gives, in milliseconds.
const SESSION_MS: u64 = 45_000;

type Held = BTreeMap<TopicId, BTreeSet<i32>>;

fn orders() -> TopicId {
    Uuid::from_u128(1)
}

fn code(response: &ConsumerGroupHeartbeatResponse) -> ErrorCode {
    ErrorCode::from_code(response.error_code).unwrap()
}

/// A member as its client sees it: it does at once what it is told.
pub struct Member {
    pub id: String,
    pub epoch: i32,
    pub held: Held,
}

impl Member {
    fn owned(&self) -> Vec<TopicPartitions> {
        let parts = self.held.iter().map(|(topic, indexes)| {
            TopicPartitions::default().with_topic_id(*topic).with_partitions(indexes.iter().copied().collect())
        });
        parts.collect()
    }

    fn count(&self) -> usize {
        self.held.values().map(BTreeSet::len).sum()
    }

    fn hears(&mut self, response: &ConsumerGroupHeartbeatResponse) {
        assert_eq!(code(response), ErrorCode::None, "{:?}", response.error_message);
        self.epoch = response.member_epoch;
        if let Some(assignment) = &response.assignment {
            let parts = assignment.topic_partitions.iter();
            self.held = parts.map(|part| (part.topic_id, part.partitions.iter().copied().collect())).collect();
        }
    }
}

impl Fixture {
    fn consumers(&self) -> &ConsumerGroup {
        match self.groups.get(GROUP) {
            Some(Group::Consumer(group)) => group,
            other => panic!("no consumer group: {other:?}"),
        }
    }

    fn enter(&mut self, request: &ConsumerGroupHeartbeatRequest) -> Member {
        let mut member = Member { id: request.member_id.to_string(), epoch: 0, held: Held::new() };
        let response = self.consume(request);
        member.hears(&response);
        member
    }

    fn enters(&mut self, id: &str, topics: &[&str]) -> Member {
        self.enter(&joining(id, topics))
    }

    /// A heartbeat in which the member says what it holds.
    fn tells(&mut self, member: &mut Member) {
        let request = staying(&member.id, member.epoch).with_topic_partitions(Some(member.owned()));
        let response = self.consume(&request);
        member.hears(&response);
    }

    /// Rounds of heartbeats, with time between them, until the group is stable.
    fn settles(&mut self, members: &mut [Member]) {
        for _ in 0..10 {
            self.pass_ms(1500);
            members.iter_mut().for_each(|member| self.tells(member));
            if self.consumers().state() == ConsumerState::Stable {
                return;
            }
        }
        panic!("the group does not settle: {:?}", self.consumers());
    }
}

#[test]
fn members_join_share_and_leave() {
    let mut broker = Fixture::new();
    let mut members = vec![broker.enters("a", &["orders"])];
    assert_eq!((members[0].epoch, members[0].count()), (2, 6));
    assert_eq!(broker.consumers().state(), ConsumerState::Stable);
    members.push(broker.enters("b", &["orders"]));
    assert_eq!(members[1].count(), 0, "the first one holds everything still");
    broker.settles(&mut members);
    assert_eq!((members[0].count(), members[1].count()), (3, 3));
    assert!(members[0].held[&orders()].is_disjoint(&members[1].held[&orders()]));
    assert_eq!((members[0].epoch, members[1].epoch), (3, 3));
    let left = broker.consume(&staying("a", -1));
    assert_eq!((code(&left), left.member_epoch), (ErrorCode::None, -1));
    members.remove(0);
    broker.settles(&mut members);
    assert_eq!((members[0].epoch, members[0].count()), (4, 6));
    broker.consume(&staying("b", -1));
    assert_eq!(broker.consumers().state(), ConsumerState::Empty);
    broker.pass_ms(1);
    let past: Vec<Outcome> = broker.groups.history(GROUP).unwrap().past().map(|one| one.outcome).collect();
    assert_eq!(past, [Outcome::Stable, Outcome::Stable, Outcome::Stable, Outcome::Empty]);
}

#[test]
fn a_partition_is_given_on_only_when_it_was_given_up() {
    let mut broker = Fixture::new();
    let mut first = broker.enters("a", &["orders"]);
    broker.pass_ms(1500);
    let mut second = broker.enters("b", &["orders"]);
    assert_eq!((second.epoch, second.count()), (3, 0), "it waits in the new epoch");
    let response = broker.consume(&staying("a", 2));
    first.hears(&response);
    assert_eq!((first.epoch, first.count()), (2, 3), "it is told to give up three, and stays in its epoch meanwhile");
    broker.tells(&mut second);
    assert_eq!(second.count(), 0, "nothing is free yet");
    let response = broker.consume(&staying("a", 2));
    assert!(response.assignment.is_none(), "nothing new as long as it does not say what it holds");
    broker.tells(&mut first);
    assert_eq!(first.epoch, 3);
    broker.tells(&mut second);
    assert_eq!((second.epoch, second.count()), (3, 3));
    assert_eq!(broker.consumers().state(), ConsumerState::Stable);
}

#[test]
fn who_does_not_give_up_its_partitions_in_time_is_removed() {
    let mut broker = Fixture::new();
    broker.enters("a", &["orders"]);
    broker.pass_ms(1500);
    let mut second = broker.enters("b", &["orders"]);
    broker.consume(&staying("a", 2));
    for _ in 0..7 {
        broker.pass_ms(REBALANCE_MS as u64 / 6);
        broker.consume(&staying("a", 2));
        broker.tells(&mut second);
    }
    assert_eq!(code(&broker.consume(&staying("a", 2))), ErrorCode::UnknownMemberId);
    broker.tells(&mut second);
    assert_eq!(second.count(), 6);
    let past = broker.groups.history(GROUP).unwrap();
    assert!(past.past().any(|one| one.cause.reason.contains("did not give up its partitions")));
}

#[test]
fn who_is_silent_is_removed() {
    let mut broker = Fixture::new();
    let mut members = vec![broker.enters("a", &["orders"]), broker.enters("b", &["orders"])];
    broker.settles(&mut members);
    broker.pass_ms(SESSION_MS - 5000);
    broker.tells(&mut members[1]);
    broker.pass_ms(6000);
    broker.tells(&mut members[1]);
    assert_eq!(members[1].count(), 6);
    assert_eq!(code(&broker.consume(&staying("a", members[0].epoch))), ErrorCode::UnknownMemberId);
    let mut reloaded = broker.reloaded();
    reloaded.pass_ms(SESSION_MS - 1);
    assert_eq!(reloaded.consumers().members.len(), 1, "sessions start when the group was read");
    reloaded.pass_ms(2);
    assert_eq!(reloaded.consumers().state(), ConsumerState::Empty);
}

#[test]
fn epochs_fence() {
    let mut broker = Fixture::new();
    let mut first = broker.enters("a", &["orders"]);
    broker.pass_ms(1500);
    let mut second = broker.enters("b", &["orders"]);
    assert_eq!(code(&broker.consume(&staying("a", 7))), ErrorCode::FencedMemberEpoch);
    assert_eq!(code(&broker.consume(&staying("c", 1))), ErrorCode::UnknownMemberId);
    broker.tells(&mut first);
    broker.tells(&mut first);
    broker.tells(&mut second);
    assert_eq!((first.epoch, second.epoch), (3, 3));
    let lost = staying("a", 2).with_topic_partitions(Some(first.owned()));
    assert_eq!(code(&broker.consume(&lost)), ErrorCode::None, "the reply that brought the epoch may have been lost");
    assert_eq!(code(&broker.consume(&staying("a", 2))), ErrorCode::FencedMemberEpoch);
    let everything = TopicPartitions::default().with_topic_id(orders()).with_partitions((0..6).collect());
    let more = staying("a", 2).with_topic_partitions(Some(vec![everything]));
    assert_eq!(code(&broker.consume(&more)), ErrorCode::FencedMemberEpoch, "it holds more than it may");
    let again = broker.enters("a", &["orders"]);
    assert_eq!((again.epoch, again.count()), (3, 3), "who joins anew gets what it had");
}

#[test]
fn requests_that_make_no_sense_are_refused_in_kafkas_words() {
    let mut broker = Fixture::new();
    let cases = [
        (joining("", &["orders"]), "MemberId can't be empty."),
        (joining("a", &[]).with_group_id(Default::default()), "GroupId can't be empty."),
        (joining("a", &[]).with_instance_id(Some(text(" "))), "InstanceId can't be empty."),
        (joining("a", &[]).with_rack_id(Some(text(""))), "RackId can't be empty."),
        (joining("a", &[]).with_rebalance_timeout_ms(-1), "RebalanceTimeoutMs must be provided in first request."),
        (joining("a", &[]).with_topic_partitions(None), "TopicPartitions must be empty when (re-)joining."),
        (
            joining("a", &[]).with_subscribed_topic_names(None),
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        ),
        (staying("a", -2), "InstanceId can't be null."),
        (staying("a", -3), "MemberEpoch is invalid."),
        (staying(&"a".repeat(5000), 1), "MemberId, InstanceId and RackId may have 4096 bytes."),
    ];
    for (request, words) in cases {
        let response = broker.consume(&request);
        assert_eq!(code(&response), ErrorCode::InvalidRequest, "{words}");
        assert_eq!(response.error_message.as_deref(), Some(words));
    }
    let response = broker.consume(&joining("a", &["orders"]).with_server_assignor(Some(text("sticky"))));
    assert_eq!(code(&response), ErrorCode::UnsupportedAssignor);
    assert_eq!(code(&broker.consume(&staying("a", 3))), ErrorCode::GroupIdNotFound);
    assert_eq!(code(&broker.consume(&staying("a", -1))), ErrorCode::GroupIdNotFound);
    assert!(broker.groups.is_empty() && broker.log.is_empty());
}

#[test]
fn the_first_version_gives_ids_out() {
    let mut broker = Fixture::new();
    let caller = caller(0);
    let request = joining("", &["orders"]);
    let to = broker.call(|groups, situation, to| groups.consumer_heartbeat(situation, &caller, &request, to));
    let Some(crate::coordinator::group::request::MembershipReply::ConsumerGroupHeartbeat(response)) =
        broker.replies.remove(&to)
    else {
        panic!("no answer")
    };
    assert_eq!(response.member_id.as_ref().map(|id| id.len()), Some(36));
}

#[test]
fn a_full_group_takes_nobody_in() {
    let mut settings = GroupSettings::default();
    settings.consumer.size_max = 1;
    let mut broker = Fixture::with(settings);
    broker.enters("a", &["orders"]);
    assert_eq!(code(&broker.consume(&joining("b", &["orders"]))), ErrorCode::GroupMaxSizeReached);
    broker.enters("a", &["payments"]);
}

#[test]
fn a_static_member_leaves_for_a_while_and_comes_back_to_what_it_had() {
    let mut broker = Fixture::new();
    let with_instance = |request: ConsumerGroupHeartbeatRequest| request.with_instance_id(Some(text("one")));
    let mut members = vec![broker.enter(&with_instance(joining("a", &["orders"]))), broker.enters("b", &["orders"])];
    broker.settles(&mut members);
    let held = members[0].held.clone();
    let taken = broker.consume(&with_instance(joining("c", &["orders"])));
    assert_eq!(code(&taken), ErrorCode::UnreleasedInstanceId);
    let again = broker.enter(&with_instance(joining("a", &["orders"])));
    assert_eq!((&again.held, again.epoch), (&held, members[0].epoch), "it had not heard of its joining");
    let fenced = broker.consume(&with_instance(staying("x", members[0].epoch)));
    assert_eq!(code(&fenced), ErrorCode::FencedInstanceId);
    let left = broker.consume(&with_instance(staying("a", -2)));
    assert_eq!((code(&left), left.member_epoch), (ErrorCode::None, -2));
    let epoch = broker.consumers().epoch;
    let back = broker.enter(&with_instance(joining("c", &["orders"])));
    assert_eq!((back.held, back.epoch), (held, epoch));
    assert_eq!(broker.consumers().epoch, epoch, "nobody else hears of it");
    assert!(!broker.consumers().members.contains_key("a"));
    assert_eq!(broker.consumers().state(), ConsumerState::Stable);
}

#[test]
fn a_static_member_that_stays_away_loses_its_partitions() {
    let mut broker = Fixture::new();
    let with_instance = |request: ConsumerGroupHeartbeatRequest| request.with_instance_id(Some(text("one")));
    let mut members = vec![broker.enter(&with_instance(joining("a", &["orders"]))), broker.enters("b", &["orders"])];
    broker.settles(&mut members);
    broker.consume(&with_instance(staying("a", -2)));
    let mut last = members.pop().unwrap();
    for _ in 0..10 {
        broker.pass_ms(SESSION_MS / 9);
        broker.tells(&mut last);
    }
    assert_eq!(last.count(), 6);
}

#[test]
fn topics_that_change_are_noticed() {
    let mut broker = Fixture::new();
    let mut members = vec![broker.enters("a", &["orders", "later"])];
    assert_eq!(members[0].count(), 6);
    broker.topics(&[("orders", 8), ("payments", 3)]);
    broker.settles(&mut members);
    assert_eq!((members[0].count(), members[0].epoch), (8, 3));
    broker.topics(&[("orders", 8), ("payments", 3), ("later", 2)]);
    broker.settles(&mut members);
    assert_eq!((members[0].count(), members[0].epoch), (10, 4));
    broker.topics(&[("other", 1)]);
    broker.settles(&mut members);
    assert_eq!((members[0].count(), members[0].epoch), (0, 5));
    broker.topics(&[("other", 1), ("unrelated", 1)]);
    broker.settles(&mut members);
    assert_eq!(members[0].epoch, 5, "topics of others are none of its business");
    let reasons: Vec<String> =
        broker.groups.history(GROUP).unwrap().past().map(|one| one.cause.reason.clone()).collect();
    assert_eq!(reasons[1], "topics that the group subscribes to changed");
}

#[test]
fn what_a_member_no_longer_subscribes_to_it_gives_up_at_once() {
    let mut broker = Fixture::new();
    let mut member = broker.enters("a", &["orders", "payments"]);
    assert_eq!(member.count(), 9);
    let request = staying("a", member.epoch)
        .with_subscribed_topic_names(Some(vec![TopicName(text("orders"))]))
        .with_topic_partitions(Some(member.owned()));
    // Within the shortest time between two assignments: the target is still the one before.
    let response = broker.consume(&request);
    member.hears(&response);
    assert_eq!(member.held.keys().copied().collect::<Vec<_>>(), [orders()]);
    let mut members = vec![member];
    broker.settles(&mut members);
    assert_eq!(members[0].count(), 6);
}

#[test]
fn regular_expressions_follow_the_topics() {
    let mut broker = Fixture::new();
    let matching = |id: &str, expression: &str| {
        joining(id, &[]).with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text(expression)))
    };
    let mut members = vec![broker.enter(&matching("a", "or.*|pay")), broker.enters("b", &["payments"])];
    broker.settles(&mut members);
    assert_eq!((members[0].count(), members[1].count()), (6, 3), "the whole name has to match");
    broker.topics(&[("orders", 6), ("payments", 3), ("order-items", 2)]);
    broker.settles(&mut members);
    assert_eq!(members[0].count(), 6, "expressions were resolved just now");
    broker.pass(REGEX_RENEWAL_INTERVAL);
    broker.settles(&mut members);
    assert_eq!(members[0].count(), 8);
    assert_eq!(broker.consumers().regexes["or.*|pay"].topics.len(), 2);
    let request = staying("a", members[0].epoch)
        .with_subscribed_topic_regex(Some(text("")))
        .with_topic_partitions(Some(members[0].owned()));
    let response = broker.consume(&request);
    members[0].hears(&response);
    broker.settles(&mut members);
    assert_eq!(members[0].count(), 0);
    assert!(broker.consumers().regexes.is_empty(), "nobody subscribes to it any more");
    let gone = Key::RegularExpression { group: GROUP.to_owned(), regex: "or.*|pay".to_owned() }.tombstone();
    assert!(broker.log.contains(&gone));
}

#[test]
fn expressions_that_are_none_or_explode_are_refused() {
    let mut broker = Fixture::new();
    let bomb = "(((((a{1,100}){1,100}){1,100}){1,100}){1,100})";
    let deep = "(".repeat(200) + &")".repeat(200);
    let long = "a".repeat(regex::EXPRESSION_BYTES_MAX + 1);
    for expression in ["(", "a)|(b", "(?<back>a)\\1", "(?=x)", bomb, &deep, &long] {
        let request = joining("a", &[]).with_subscribed_topic_regex(Some(text(expression)));
        let response = broker.consume(&request);
        assert_eq!(code(&response), ErrorCode::InvalidRegularExpression, "{expression}");
        assert!(response.error_message.is_some());
    }
    assert!(broker.groups.is_empty());
    let slow_elsewhere = regex::compile("(a*)*b").unwrap();
    assert!(!slow_elsewhere.is_match(&"a".repeat(10_000)), "and it took no time to find out");
    let image = image_of(&[("a", 1), ("b", 1), ("ab", 1)]);
    let topics = regex::resolve("a|b", &image, 0).unwrap().topics;
    assert_eq!(topics, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
}

#[test]
fn the_assignor_that_most_ask_for_is_used() {
    let mut broker = Fixture::new();
    let ranged = |id: &str| joining(id, &["orders"]).with_server_assignor(Some(text("range")));
    let mut members = vec![broker.enter(&ranged("a")), broker.enter(&ranged("b")), broker.enters("c", &["orders"])];
    broker.settles(&mut members);
    let ranges: Vec<Vec<i32>> = members.iter().map(|member| member.held[&orders()].iter().copied().collect()).collect();
    assert_eq!(ranges, [[0, 1], [2, 3], [4, 5]]);
}

#[test]
fn another_assignor_takes_effect_although_nobody_joins_or_leaves() {
    let mut broker = Fixture::new();
    let by = |request: ConsumerGroupHeartbeatRequest, assignor: &str| {
        request.with_instance_id(Some(text("one"))).with_server_assignor(Some(text(assignor)))
    };
    let mut member = broker.enter(&by(joining("a", &["orders"]), "uniform"));
    let epoch = member.epoch;
    broker.consume(&by(staying("a", -2), "uniform"));
    member = broker.enter(&by(joining("b", &["orders"]), "range"));
    broker.settles(std::slice::from_mut(&mut member));
    assert_eq!((member.epoch, member.count()), (epoch + 1, 6));
}

#[test]
fn a_member_that_asks_for_the_assignor_in_use_rebalances_nobody() {
    let mut broker = Fixture::new();
    let named = |request: ConsumerGroupHeartbeatRequest| request.with_instance_id(Some(text("one")));
    let mut member = broker.enter(&named(joining("a", &["orders"])));
    broker.settles(std::slice::from_mut(&mut member));
    let epoch = member.epoch;
    broker.consume(&named(staying("a", -2)));
    let default = broker.groups.settings.consumer.assignors[0].clone();
    member = broker.enter(&named(joining("b", &["orders"])).with_server_assignor(Some(text(&default))));
    broker.settles(std::slice::from_mut(&mut member));
    assert_eq!((member.epoch, member.count()), (epoch, 6));
}

#[test]
fn quoted_parts_of_an_expression_stand_for_themselves() {
    let matches = |expression: &str, name: &str| regex::compile(expression).unwrap().is_match(name);
    assert!(matches(r"\Qmy.topic\E.*", "my.topic-1") && !matches(r"\Qmy.topic\E.*", "my-topic-1"));
    assert!(matches(r"a\Q.b", "a.b") && !matches(r"a\Q.b", "axb"), "to the end where nothing closes it");
    assert!(matches(r"a\\Qb", r"a\Qb"), "an escaped backslash begins nothing");
    assert!(matches(r"\Q\Ea", "a") && matches(r"\d\.é\Qé\E", "1.éé"));
    assert!(regex::compile("a\\").is_err());
}

#[test]
fn a_member_in_a_state_from_the_future_has_to_give_everything_up() {
    let mut broker = Fixture::new();
    let member = broker.enters("a", &["orders"]);
    let mut held = broker.consumers().members["a"].held.clone();
    held.state = crate::coordinator::group::records::consumer::MemberState::Unknown;
    let key = Key::CurrentAssignment { group: GROUP.to_owned(), member: "a".to_owned() };
    broker.log.push(key.record(held.encode()));
    let mut broker = broker.reloaded();
    let request = staying("a", member.epoch).with_topic_partitions(Some(member.owned()));
    assert_eq!(code(&broker.consume(&request)), ErrorCode::FencedMemberEpoch);
    assert_eq!(broker.enters("a", &["orders"]).count(), 6);
}
