//! Whatever comes, in whatever order: no partition has two owners in one epoch or generation, everything is owned once it is quiet,
//! and what is read back from any part of the log is what was there.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::coordinator::group::classic::group::ClassicState;
use crate::coordinator::group::config::OfBroker;
use crate::coordinator::group::consumer::group::ConsumerState;
use crate::coordinator::group::groups::{Group, Groups};
use crate::coordinator::group::settings::GroupSettings;
use crate::coordinator::group::testing::{Fixture, GROUP, Joins, joining, staying, subscription, text};
use crate::coordinator::machine::{CoordinatorRecord, ReplyTo};
use crate::model::error_code::ErrorCode;
use crate::model::ids::TopicId;
use crate::protocol::messages::TopicName;
use crate::protocol::messages::consumer_group_heartbeat_request::TopicPartitions;

/// The last record of each key, in the order of the log: what compaction leaves.
fn compacted(log: &[CoordinatorRecord]) -> Vec<CoordinatorRecord> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<CoordinatorRecord> =
        log.iter().rev().filter(|record| seen.insert(record.key.clone())).cloned().collect();
    kept.reverse();
    kept
}

fn sorted(mut records: Vec<CoordinatorRecord>) -> Vec<CoordinatorRecord> {
    records.sort_by(|one, other| one.key.cmp(&other.key));
    records
}

fn read_back(log: &[CoordinatorRecord]) -> Groups {
    let mut groups = Groups::new(GroupSettings::default(), OfBroker::default());
    for record in log {
        groups.replay(&record.key, record.value.as_deref()).unwrap();
    }
    groups
}

/// Replaying the log, or what compaction leaves of it, or a snapshot, gives the same durable state.
fn check_replay(broker: &Fixture) {
    let live = sorted(broker.groups.snapshot());
    assert_eq!(sorted(read_back(&broker.log).snapshot()), live, "from the log");
    assert_eq!(sorted(read_back(&compacted(&broker.log)).snapshot()), live, "from what compaction leaves");
    assert_eq!(sorted(read_back(&broker.groups.snapshot()).snapshot()), live, "from a snapshot");
}

#[derive(Clone, Debug)]
enum Step {
    Joins(usize),
    JoinsClassic(usize),
    Beats(usize),
    Tells(usize),
    Leaves(usize),
    Resubscribes(usize, bool),
    Topics(i32),
    Passes(u64),
    Restarts,
}

fn step() -> impl Strategy<Value = Step> {
    let member = 0..4_usize;
    prop_oneof![
        3 => member.clone().prop_map(Step::Joins),
        2 => member.clone().prop_map(Step::JoinsClassic),
        3 => member.clone().prop_map(Step::Beats),
        6 => member.clone().prop_map(Step::Tells),
        1 => member.clone().prop_map(Step::Leaves),
        1 => (member, any::<bool>()).prop_map(|(member, both)| Step::Resubscribes(member, both)),
        1 => (1..9_i32).prop_map(Step::Topics),
        2 => (1..20_000_u64).prop_map(Step::Passes),
        1 => Just(Step::Restarts),
    ]
}

/// A client of either protocol, that does what it is told.
#[derive(Clone, Default)]
struct Client {
    epoch: i32,
    held: BTreeMap<TopicId, BTreeSet<i32>>,
    is_classic: bool,
    classic_id: String,
    waiting: Option<ReplyTo>,
}

struct Run {
    broker: Fixture,
    clients: Vec<Client>,
}

impl Run {
    fn new() -> Run {
        Run { broker: Fixture::new(), clients: vec![Client::default(); 4] }
    }

    fn name(number: usize) -> String {
        format!("member-{number}")
    }

    fn is_in(&self, number: usize) -> bool {
        !self.clients[number].is_classic && self.clients[number].epoch > 0
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Joins(number) => {
                self.clients[number] = Client::default();
                let response = self.broker.consume(&joining(&Run::name(number), &["orders"]));
                self.hears(number, &response);
            }
            Step::JoinsClassic(number) => self.joins_classic(number),
            Step::Beats(number) if self.is_in(number) => {
                let response = self.broker.consume(&staying(&Run::name(number), self.clients[number].epoch));
                self.hears(number, &response);
            }
            Step::Tells(number) if self.is_in(number) => {
                let response = self.broker.consume(&self.telling(number));
                self.hears(number, &response);
            }
            Step::Leaves(number) if self.is_in(number) => {
                self.broker.consume(&staying(&Run::name(number), -1));
                self.clients[number] = Client::default();
            }
            Step::Resubscribes(number, both) if self.is_in(number) => {
                let topics = if both { vec!["orders", "payments"] } else { vec!["payments"] };
                let names = topics.into_iter().map(|name| TopicName(text(name))).collect();
                let request = self.telling(number).with_subscribed_topic_names(Some(names));
                let response = self.broker.consume(&request);
                self.hears(number, &response);
            }
            Step::Topics(count) => self.broker.topics(&[("orders", count), ("payments", 3)]),
            Step::Passes(ms) => self.broker.pass_ms(ms),
            Step::Restarts => {
                // Who waits hears nothing; its client tries again.
                self.clients.iter_mut().for_each(|client| client.waiting = None);
                self.broker = self.broker.reloaded();
            }
            Step::Beats(number) | Step::Tells(number) | Step::Leaves(number) | Step::Resubscribes(number, _) => {
                self.goes_on_classic(number);
            }
        }
        self.check_owners();
        check_replay(&self.broker);
    }

    fn telling(&self, number: usize) -> crate::protocol::messages::ConsumerGroupHeartbeatRequest {
        let client = &self.clients[number];
        let owned = client.held.iter().map(|(topic, indexes)| {
            TopicPartitions::default().with_topic_id(*topic).with_partitions(indexes.iter().copied().collect())
        });
        staying(&Run::name(number), client.epoch).with_topic_partitions(Some(owned.collect()))
    }

    fn hears(&mut self, number: usize, response: &crate::protocol::messages::ConsumerGroupHeartbeatResponse) {
        let client = &mut self.clients[number];
        if response.error_code != 0 {
            let code = ErrorCode::from_code(response.error_code).unwrap();
            let expected = [ErrorCode::FencedMemberEpoch, ErrorCode::UnknownMemberId, ErrorCode::GroupIdNotFound];
            assert!(expected.contains(&code), "{code}: {:?}", response.error_message);
            *client = Client::default();
            return;
        }
        client.epoch = response.member_epoch;
        if let Some(assignment) = &response.assignment {
            let parts = assignment.topic_partitions.iter();
            client.held = parts.map(|part| (part.topic_id, part.partitions.iter().copied().collect())).collect();
        }
    }

    fn joins_classic(&mut self, number: usize) {
        let to = self.broker.join(&Joins {
            version: 3,
            protocols: vec![("range", subscription(&["orders"]))],
            ..Joins::default()
        });
        self.clients[number] = Client { is_classic: true, waiting: Some(to), ..Client::default() };
    }

    /// A client of the classic protocol takes its answer, synchronises, and sends a heartbeat.
    fn goes_on_classic(&mut self, number: usize) {
        let client = self.clients[number].clone();
        if !client.is_classic {
            return;
        }
        if let Some(to) = client.waiting {
            if self.broker.is_waiting(to) {
                return;
            }
            let joined = self.broker.joined(to);
            if joined.error_code != 0 {
                return self.joins_classic(number);
            }
            let id = joined.member_id.to_string();
            let parts: Vec<(String, Vec<u8>)> =
                joined.members.iter().map(|member| (member.member_id.to_string(), subscription(&[]))).collect();
            let parts: Vec<(&str, &[u8])> = parts.iter().map(|(id, bytes)| (id.as_str(), bytes.as_slice())).collect();
            self.broker.sync(&id, joined.generation_id, &parts);
            self.clients[number].waiting = None;
            self.clients[number].classic_id = id;
            self.clients[number].epoch = joined.generation_id;
            return;
        }
        if self.broker.beat(&client.classic_id, client.epoch) != 0 {
            let to = self.broker.join(&Joins { member: &client.classic_id, version: 3, ..Joins::default() });
            self.clients[number].waiting = Some(to);
        }
    }

    /// No partition is held by two members, and no client believes to hold what another one may hold.
    fn check_owners(&self) {
        let Some(Group::Consumer(group)) = self.broker.groups.get(GROUP) else { return };
        let mut owners: BTreeMap<(TopicId, i32), String> = BTreeMap::new();
        for member in group.members.values() {
            for (topic, epochs) in member.held.assigned.iter().chain(&member.held.revoking) {
                for index in epochs.keys() {
                    let before = owners.insert((*topic, *index), member.id.to_string());
                    assert!(before.is_none(), "{topic}-{index} is held by {before:?} and {}", member.id);
                    assert_eq!(group.holder(*topic, *index), Some(&member.id));
                }
            }
        }
        let counted: usize = group.holders.values().map(BTreeMap::len).sum();
        assert_eq!(counted, owners.len(), "the index of holders has nothing else");
    }

    /// Members keep sending heartbeats for a while and everything is owned.
    fn quiets_down(&mut self) {
        for _ in 0..60 {
            for number in 0..self.clients.len() {
                self.step(&Step::Tells(number));
            }
            self.broker.pass_ms(2000);
        }
        match self.broker.groups.get(GROUP) {
            None => {}
            Some(Group::Classic(group)) => {
                assert!(matches!(group.state, ClassicState::Empty | ClassicState::Stable), "{group:?}");
            }
            Some(Group::Consumer(group)) => {
                assert!(matches!(group.state(), ConsumerState::Empty | ConsumerState::Stable), "{group:?}");
                for topic in group.subscribed_topics().into_iter().filter_map(|name| self.broker.image.topic(name)) {
                    let owned = group.holders.get(&topic.id).map_or(0, BTreeMap::len);
                    let count = usize::try_from(topic.partition_count()).unwrap();
                    assert_eq!(owned, count, "every partition of {} is owned", topic.name);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn groups_are_sound_whatever_comes(steps in prop::collection::vec(step(), 1..40)) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.quiets_down();
    }
}
