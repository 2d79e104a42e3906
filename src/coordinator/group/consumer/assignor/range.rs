//! `range`: the partitions of each topic are split into ranges, one a subscriber, in one order for all topics.

use super::Assignable;
use crate::coordinator::group::records::consumer::Partitions;
use crate::model::ids::PartitionIndex;

/// See [`super::assign`].
pub(super) fn assign(assignable: &Assignable<'_>) -> Vec<Partitions> {
    let mut order: Vec<usize> = (0..assignable.members.len()).collect();
    // Static members first: their order outlives restarts, so that their ranges do.
    order.sort_by_key(|place| {
        let member = &assignable.members[*place];
        (member.instance_id.is_none(), member.instance_id, &member.id)
    });
    let mut assigned = vec![Partitions::new(); assignable.members.len()];
    for (topic, count) in &assignable.partition_counts {
        let subscribers: Vec<usize> =
            order.iter().copied().filter(|place| assignable.members[*place].topics.contains(topic)).collect();
        let mut next: PartitionIndex = 0;
        for (rank, place) in subscribers.iter().enumerate() {
            let end = next + share(*count, subscribers.len(), rank);
            if next < end {
                assigned[*place].insert(*topic, (next..end).collect());
            }
            next = end;
        }
    }
    assigned
}

/// How many of `count` partitions the subscriber at `rank` of `subscribers` gets: the first ones get one more.
fn share(count: PartitionIndex, subscribers: usize, rank: usize) -> PartitionIndex {
    let subscribers = PartitionIndex::try_from(subscribers).unwrap_or(PartitionIndex::MAX);
    let rank = PartitionIndex::try_from(rank).unwrap_or(PartitionIndex::MAX);
    count / subscribers + PartitionIndex::from(rank < count % subscribers)
}
