//! `uniform` where all members subscribe to the same topics: everybody gets the same number of partitions, give or take one,
//! and keeps what it has within that.

use std::collections::BTreeSet;

use super::Assignable;
use crate::coordinator::group::records::consumer::Partitions;
use crate::model::ids::{PartitionIndex, TopicId};

/// See [`super::assign`].
pub(super) fn assign(assignable: &Assignable<'_>) -> Vec<Partitions> {
    let Some(first) = assignable.members.first() else { return Vec::new() };
    let all: Vec<(TopicId, PartitionIndex)> = first
        .topics
        .iter()
        .flat_map(|topic| {
            let count = assignable.partition_counts.get(topic).copied().unwrap_or(0);
            (0..count).map(move |index| (*topic, index))
        })
        .collect();
    let smallest = all.len() / assignable.members.len();
    let mut larger_left = all.len() % assignable.members.len();
    let mut taken: BTreeSet<(TopicId, PartitionIndex)> = BTreeSet::new();
    let mut kept: Vec<Vec<(TopicId, PartitionIndex)>> = Vec::with_capacity(assignable.members.len());
    for member in &assignable.members {
        let current = member.current.iter().flat_map(|(topic, indexes)| indexes.iter().map(|index| (*topic, *index)));
        let is_valid = |at: &(TopicId, PartitionIndex)| member.topics.contains(&at.0) && assignable.has(at.0, at.1);
        let valid: Vec<_> = current.filter(is_valid).filter(|at| !taken.contains(at)).collect();
        let is_larger = valid.len() > smallest && larger_left > 0;
        larger_left -= usize::from(is_larger);
        let quota = smallest + usize::from(is_larger);
        let mine: Vec<_> = valid.into_iter().take(quota).collect();
        taken.extend(mine.iter().copied());
        kept.push(mine);
    }
    let mut free = all.into_iter().filter(|at| !taken.contains(at));
    for mine in &mut kept {
        let missing = smallest.saturating_sub(mine.len());
        mine.extend(free.by_ref().take(missing));
    }
    // What is left is one each for as many members as `larger_left` says, none of whom has more than the smallest share.
    for mine in kept.iter_mut().filter(|mine| mine.len() == smallest).take(larger_left) {
        mine.extend(free.next());
    }
    assert!(free.next().is_none(), "shares add up to all partitions");
    kept.into_iter().map(by_topic).collect()
}

fn by_topic(list: Vec<(TopicId, PartitionIndex)>) -> Partitions {
    let mut partitions = Partitions::new();
    for (topic, index) in list {
        partitions.entry(topic).or_default().insert(index);
    }
    partitions
}
