//! `uniform` where members subscribe to different topics: everybody keeps what it has, what is free goes to the subscriber
//! with the least, and then partitions move from the most to the least loaded subscriber of each topic until nothing is won by it.

use std::collections::{BTreeMap, BTreeSet};

use super::Assignable;
use crate::coordinator::group::records::consumer::Partitions;
use crate::model::ids::{PartitionIndex, TopicId};

/// Rounds over all topics at most: each about halves what is uneven between topics with overlapping subscribers.
const ROUNDS_MAX: usize = 16;

/// Members and their loads, in the order of load, then place.
type ByLoad = BTreeSet<(usize, usize)>;

struct Balance {
    /// Members by topic, as places in the list of members.
    subscribers: BTreeMap<TopicId, Vec<usize>>,
    /// The owner of each partition.
    owners: BTreeMap<TopicId, Vec<Option<usize>>>,
    /// How many partitions each member has.
    loads: Vec<usize>,
}

/// See [`super::assign`].
pub(super) fn assign(assignable: &Assignable<'_>) -> Vec<Partitions> {
    let mut balance = Balance::keeping(assignable);
    let order = balance.topics_in_order();
    for topic in &order {
        balance.give_out(*topic);
    }
    for _ in 0..ROUNDS_MAX {
        let moved: usize = order.iter().map(|topic| balance.even_out(*topic)).sum();
        if moved == 0 {
            break;
        }
    }
    balance.into_partitions()
}

impl Balance {
    /// Everybody keeps what it has and still subscribes to.
    fn keeping(assignable: &Assignable<'_>) -> Balance {
        let mut subscribers: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
        let mut owners: BTreeMap<TopicId, Vec<Option<usize>>> = BTreeMap::new();
        let mut loads = vec![0; assignable.members.len()];
        for (topic, count) in &assignable.partition_counts {
            owners.insert(*topic, vec![None; usize::try_from(*count).unwrap_or(0)]);
        }
        for (place, member) in assignable.members.iter().enumerate() {
            for topic in &member.topics {
                subscribers.entry(*topic).or_default().push(place);
                let (Some(current), Some(owners)) = (member.current.get(topic), owners.get_mut(topic)) else {
                    continue;
                };
                for index in current {
                    let owner = usize::try_from(*index).ok().and_then(|index| owners.get_mut(index));
                    if let Some(owner @ None) = owner {
                        *owner = Some(place);
                        loads[place] += 1;
                    }
                }
            }
        }
        Balance { subscribers, owners, loads }
    }

    /// The topics with the most partitions for a subscriber first, then those with few subscribers: they leave the least choice.
    fn topics_in_order(&self) -> Vec<TopicId> {
        let mut topics: Vec<TopicId> = self.subscribers.keys().copied().collect();
        topics.sort_by(|one, other| {
            let parts = |topic: &TopicId| (self.owners[topic].len(), self.subscribers[topic].len());
            let ((one_count, one_members), (other_count, other_members)) = (parts(one), parts(other));
            let by_share = (other_count * one_members).cmp(&(one_count * other_members));
            by_share.then(one_members.cmp(&other_members)).then(one.cmp(other))
        });
        topics
    }

    fn by_load(&self, members: impl Iterator<Item = usize>) -> ByLoad {
        members.map(|place| (self.loads[place], place)).collect()
    }

    /// Each free partition goes to the subscriber with the least.
    fn give_out(&mut self, topic: TopicId) {
        let mut subscribers = self.by_load(self.subscribers[&topic].iter().copied());
        let owners = self.owners.get_mut(&topic).expect("every subscribed topic has partitions listed");
        for owner in owners.iter_mut().filter(|owner| owner.is_none()) {
            let Some((load, place)) = subscribers.pop_first() else { return };
            *owner = Some(place);
            self.loads[place] = load + 1;
            subscribers.insert((load + 1, place));
        }
    }

    /// Moves partitions of one topic from its most to its least loaded subscribers; how many were moved.
    fn even_out(&mut self, topic: TopicId) -> usize {
        let mut takers = self.by_load(self.subscribers[&topic].iter().copied());
        let mut owned: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, owner) in self.owners[&topic].iter().enumerate() {
            owner.iter().for_each(|place| owned.entry(*place).or_default().push(index));
        }
        let mut givers = self.by_load(owned.keys().copied());
        let mut moved = 0;
        while let (Some(&(most, giver)), Some(&(least, taker))) = (givers.last(), takers.first()) {
            if most - least.min(most) <= 1 {
                break;
            }
            let index = owned.get_mut(&giver).and_then(Vec::pop).expect("givers own partitions of the topic");
            self.owners.get_mut(&topic).expect("the topic is known")[index] = Some(taker);
            self.reload(&mut takers, &mut givers, giver, most - 1);
            self.reload(&mut takers, &mut givers, taker, least + 1);
            owned.entry(taker).or_default().push(index);
            givers.insert((least + 1, taker));
            if owned.get(&giver).is_none_or(Vec::is_empty) {
                givers.remove(&(most - 1, giver));
            }
            moved += 1;
        }
        moved
    }

    fn reload(&mut self, takers: &mut ByLoad, givers: &mut ByLoad, place: usize, load: usize) {
        let before = std::mem::replace(&mut self.loads[place], load);
        if takers.remove(&(before, place)) {
            takers.insert((load, place));
        }
        if givers.remove(&(before, place)) {
            givers.insert((load, place));
        }
    }

    fn into_partitions(self) -> Vec<Partitions> {
        let mut assigned = vec![Partitions::new(); self.loads.len()];
        for (topic, owners) in self.owners {
            for (index, owner) in (0..PartitionIndex::MAX).zip(owners) {
                if let Some(place) = owner {
                    assigned[place].entry(topic).or_default().insert(index);
                }
            }
        }
        assigned
    }
}
