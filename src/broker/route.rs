//! Which reactor hosts a partition.

use crate::model::ids::{PartitionId, ReactorId, Uuid};

/// The partition that keeps the cluster's metadata: partition 0 of `__cluster_metadata`, whose id Kafka reserves.
pub const METADATA_PARTITION: PartitionId = PartitionId { topic: Uuid::from_u128(1), index: 0 };
/// The name of its directory.
pub const METADATA_DIRECTORY: &str = "__cluster_metadata-0";
/// The reactor that hosts it, decides and accepts connections.
pub const CONTROLLER_REACTOR: ReactorId = 0;

/// The reactor that hosts `partition` where there are `reactors`. Partitions of one topic follow each other round the
/// reactors, so that a topic with a few busy partitions keeps all of them busy. Nothing on disk depends on it.
pub fn host(partition: PartitionId, reactors: usize) -> ReactorId {
    if partition == METADATA_PARTITION {
        return CONTROLLER_REACTOR;
    }
    let (high, low) = partition.topic.as_u64_pair();
    // 2^64 divided by the golden ratio, made odd: ids that differ in a few bits land far apart.
    let mixed = (high ^ low.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let index = u64::from(partition.index.unsigned_abs());
    ((mixed + index) % reactors as u64) as ReactorId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_topic_go_round_the_reactors() {
        let topic = Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
        let hosts: Vec<ReactorId> = (0..8).map(|index| host(PartitionId { topic, index }, 4)).collect();
        for reactor in 0..4 {
            assert_eq!(hosts.iter().filter(|host| **host == reactor).count(), 2);
        }
    }

    #[test]
    fn topics_of_one_partition_spread() {
        let mut counts = [0; 4];
        let mut prng = crate::base::prng::Prng::new(1);
        for _ in 0..1000 {
            let topic = Uuid::from_u64_pair(prng.bits(), prng.bits());
            counts[usize::from(host(PartitionId { topic, index: 0 }, 4))] += 1;
        }
        assert!(counts.iter().all(|count| (200..300).contains(count)), "{counts:?}");
    }

    #[test]
    fn metadata_stays_with_the_controller() {
        assert_eq!(host(METADATA_PARTITION, 7), CONTROLLER_REACTOR);
    }
}
