//! Every partition has one owner, loads are even, and few partitions move.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::{Assignable, AssignedMember, NAMES, RANGE, UNIFORM, assign};
use crate::coordinator::group::records::consumer::Partitions;
use crate::model::ids::{PartitionIndex, TopicId, Uuid};

fn topic(number: u128) -> TopicId {
    Uuid::from_u128(number)
}

struct Group {
    counts: BTreeMap<TopicId, PartitionIndex>,
    members: BTreeMap<String, (BTreeSet<TopicId>, Partitions)>,
}

impl Group {
    fn new(counts: &[PartitionIndex]) -> Group {
        let counts = (1..).zip(counts).map(|(number, count)| (topic(number), *count)).collect();
        Group { counts, members: BTreeMap::new() }
    }

    fn subscribe(&mut self, member: &str, topics: &[u128]) {
        let topics = topics.iter().map(|number| topic(*number)).collect();
        self.members.entry(member.to_owned()).or_default().0 = topics;
    }

    fn assign(&mut self, name: &str) -> usize {
        let members = self.members.iter().map(|(id, (topics, current))| AssignedMember {
            id: Arc::from(id.as_str()),
            instance_id: None,
            topics: topics.clone(),
            current,
        });
        let subscribed: BTreeSet<TopicId> = self.members.values().flat_map(|(topics, _)| topics.clone()).collect();
        let partition_counts =
            self.counts.iter().filter(|(id, _)| subscribed.contains(*id)).map(|(id, count)| (*id, *count)).collect();
        let assigned = assign(name, &Assignable { members: members.collect(), partition_counts });
        let mut moved = 0;
        for ((_, current), next) in self.members.values_mut().zip(assigned) {
            moved += lost(current, &next);
            *current = next;
        }
        self.check();
        moved
    }

    /// Each partition of a subscribed topic has one owner, who subscribes to it.
    fn check(&self) {
        let mut owners: BTreeMap<(TopicId, PartitionIndex), usize> = BTreeMap::new();
        for (topics, current) in self.members.values() {
            for (topic, indexes) in current {
                assert!(topics.contains(topic), "a member gets topics that it subscribes to");
                assert!(!indexes.is_empty());
                indexes.iter().for_each(|index| *owners.entry((*topic, *index)).or_default() += 1);
            }
        }
        assert!(owners.values().all(|owners| *owners == 1), "no partition has two owners");
        for (topic, count) in &self.counts {
            let is_subscribed = self.members.values().any(|(topics, _)| topics.contains(topic));
            let owned = owners.keys().filter(|(owned, _)| owned == topic).count();
            assert_eq!(owned, if is_subscribed { usize::try_from(*count).unwrap() } else { 0 });
        }
    }

    fn loads(&self) -> Vec<usize> {
        self.members.values().map(|(_, current)| current.values().map(BTreeSet::len).sum()).collect()
    }
}

fn lost(before: &Partitions, after: &Partitions) -> usize {
    before
        .iter()
        .map(|(topic, indexes)| {
            let kept = after.get(topic);
            indexes.iter().filter(|index| !kept.is_some_and(|kept| kept.contains(index))).count()
        })
        .sum()
}

#[test]
fn uniform_spreads_evenly_and_moves_only_what_it_must() {
    let mut group = Group::new(&[6, 3]);
    group.subscribe("a", &[1, 2]);
    group.subscribe("b", &[1, 2]);
    group.assign(UNIFORM);
    assert_eq!(group.loads(), [5, 4]);
    group.subscribe("c", &[1, 2]);
    assert_eq!(group.assign(UNIFORM), 3, "the newcomer's share and no more");
    assert_eq!(group.loads(), [3, 3, 3]);
    assert_eq!(group.assign(UNIFORM), 0);
    group.members.remove("a");
    assert_eq!(group.assign(UNIFORM), 0, "who stays keeps everything");
    assert_eq!(group.loads(), [5, 4]);
}

#[test]
fn uniform_balances_members_that_subscribe_to_different_topics() {
    let mut group = Group::new(&[12, 4]);
    group.subscribe("a", &[1]);
    group.subscribe("b", &[1, 2]);
    group.assign(UNIFORM);
    assert_eq!(group.loads(), [8, 8]);
    group.subscribe("c", &[1]);
    let moved = group.assign(UNIFORM);
    let loads = group.loads();
    assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{loads:?}");
    assert!(moved <= 6, "{moved} partitions moved");
}

#[test]
fn range_splits_equal_topics_alike() {
    let mut group = Group::new(&[7, 7]);
    group.subscribe("a", &[1, 2]);
    group.subscribe("b", &[1, 2]);
    group.assign(RANGE);
    let held = |member: &str, number: u128| group.members[member].1[&topic(number)].clone();
    assert_eq!(held("a", 1), (0..4).collect());
    assert_eq!(held("a", 1), held("a", 2));
    assert_eq!(held("b", 2), (4..7).collect());
}

#[test]
fn range_puts_static_members_first_in_the_order_of_their_instance_ids() {
    let empty = Partitions::new();
    let member = |id: &str, instance_id| AssignedMember {
        id: Arc::from(id),
        instance_id,
        topics: BTreeSet::from([topic(1)]),
        current: &empty,
    };
    let members = vec![member("1", None), member("2", Some("z")), member("3", Some("a"))];
    let assigned = assign(RANGE, &Assignable { members, partition_counts: BTreeMap::from([(topic(1), 3)]) });
    let first = |place: usize| assigned[place][&topic(1)].first().copied().unwrap();
    assert_eq!((first(2), first(1), first(0)), (0, 1, 2));
}

#[test]
fn no_members_and_no_topics_are_no_trouble() {
    for name in NAMES {
        let mut group = Group::new(&[3]);
        group.assign(name);
        group.subscribe("a", &[]);
        group.assign(name);
        assert_eq!(group.loads(), [0]);
        group.subscribe("b", &[1]);
        group.assign(name);
        assert_eq!(group.loads(), [0, 3]);
    }
}

proptest! {
    #[test]
    fn assignments_are_sound_and_even_whatever_comes_and_goes(
        counts in prop::collection::vec(0..9, 1..5),
        steps in prop::collection::vec((0..6_u8, prop::collection::vec(1..6_u128, 0..5), any::<bool>()), 1..20),
        same in any::<bool>(),
    ) {
        let mut group = Group::new(&counts);
        let all: Vec<u128> = (1..=counts.len() as u128).collect();
        for (member, mut topics, leaves) in steps {
            let member = format!("m{member}");
            topics.retain(|number| all.contains(number));
            if leaves {
                group.members.remove(&member);
            } else {
                group.subscribe(&member, if same { &all } else { &topics });
            }
            group.assign(UNIFORM);
            let loads = group.loads();
            if same && !loads.is_empty() {
                prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{:?}", loads);
            }
            prop_assert_eq!(group.assign(UNIFORM), 0, "an assignment that stands is kept");
        }
        group.assign(RANGE);
    }
}
