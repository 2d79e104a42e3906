//! Groups, offsets, transactions and share groups.

use crate::metadata::config::definition::ConfigType::{Boolean, Int, List, Long, Short, String};
use crate::metadata::config::definition::Definition;
use crate::metadata::config::definition::Rule::{Any, AtLeast, Between, EachOneOf, EachOneOfAlways, OneOfAnyCase};
use crate::metadata::config::definition::UpdateMode::{ClusterWide, ReadOnly};

super::definitions! {
    "add.partitions.to.txn.retry.backoff.max.ms", Int, Some("100"), AtLeast(0), ReadOnly =>
        "Longest time the broker itself tries to add a partition to a transaction before it answers.";
    "add.partitions.to.txn.retry.backoff.ms", Int, Some("20"), AtLeast(1), ReadOnly =>
        "Pause between the broker's own tries to add a partition to a transaction.";
    "group.consumer.assignment.interval.ms", Int, Some("1000"), AtLeast(0), ClusterWide =>
        "Shortest time between two new assignments of a consumer group.";
    "group.consumer.assignors", List, Some("uniform,range"), EachOneOf(&["uniform", "range"]), ReadOnly =>
        "Assignors that the broker offers to consumer groups, the default first.";
    "group.consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "Pause between heartbeats that members of consumer groups are told to keep.";
    "group.consumer.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0), ReadOnly =>
        "Largest assignment interval a consumer group may set.";
    "group.consumer.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1), ReadOnly =>
        "Largest heartbeat interval a consumer group may set.";
    "group.consumer.max.session.timeout.ms", Int, Some("60000"), AtLeast(1), ReadOnly =>
        "Largest session timeout a consumer group may set.";
    "group.consumer.max.size", Int, Some("2147483647"), AtLeast(1), ReadOnly =>
        "Most members of a group of the consumer protocol.";
    "group.consumer.migration.policy", String,
        Some("bidirectional"), OneOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]), ReadOnly =>
        "Which way groups in use may change between the classic and the consumer protocol.";
    "group.consumer.min.assignment.interval.ms", Int, Some("0"), AtLeast(0), ReadOnly =>
        "Smallest assignment interval a consumer group may set.";
    "group.consumer.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "Smallest heartbeat interval a consumer group may set.";
    "group.consumer.min.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly =>
        "Smallest session timeout a consumer group may set.";
    "group.consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly =>
        "How long a member of a consumer group may stay silent before it is removed.";
    "group.coordinator.append.linger.ms", Int, Some("-1"), AtLeast(-1), ReadOnly =>
        "How long the group coordinator waits for more records before it writes; -1 decides by load.";
    "group.coordinator.background.threads", Int, Some("2"), AtLeast(1), ReadOnly =>
        "Threads for the group coordinator's background work in Kafka. No effect here.";
    "group.coordinator.cached.buffer.max.bytes", Int, Some("1048588"), AtLeast(524_288), ClusterWide =>
        "Largest write buffer that the group coordinator of Kafka keeps for reuse. No effect here.";
    "group.coordinator.rebalance.protocols", List,
        Some("classic,consumer,streams"),
        EachOneOfAlways(&["consumer", "classic", "share", "streams"], "classic"), ReadOnly =>
        "Group protocols that are on.";
    "group.coordinator.threads", Int, Some("4"), AtLeast(1), ReadOnly =>
        "Threads of the group coordinator in Kafka. No effect here.";
    "group.initial.rebalance.delay.ms", Int, Some("3000"), Any, ReadOnly =>
        "How long a new classic group waits for more members before its first rebalance.";
    "group.max.session.timeout.ms", Int, Some("1800000"), Any, ReadOnly =>
        "Largest session timeout a member of a classic group may ask for.";
    "group.max.size", Int, Some("2147483647"), AtLeast(1), ReadOnly =>
        "Most members of a classic group.";
    "group.min.session.timeout.ms", Int, Some("6000"), Any, ReadOnly =>
        "Smallest session timeout a member of a classic group may ask for.";
    "group.share.assignment.interval.ms", Int, Some("1000"), AtLeast(0), ClusterWide =>
        "Shortest time between two new assignments of a share group.";
    "group.share.assignors", List, Some("simple"), Any, ReadOnly =>
        "The assignor that the broker uses for share groups.";
    "group.share.delivery.count.limit", Int, Some("5"), Between(2, 10), ReadOnly =>
        "How often a record is delivered to a share group before it is given up.";
    "group.share.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "Pause between heartbeats that members of share groups are told to keep.";
    "group.share.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0), ReadOnly =>
        "Largest assignment interval a share group may set.";
    "group.share.max.delivery.count.limit", Int, Some("10"), Between(5, 25), ReadOnly =>
        "Largest delivery count limit a share group may set.";
    "group.share.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1), ReadOnly =>
        "Largest heartbeat interval a share group may set.";
    "group.share.max.partition.max.record.locks", Int, Some("4000"), Between(2000, 10000), ReadOnly =>
        "Largest number of locked records of a partition a share group may set.";
    "group.share.max.record.lock.duration.ms", Int, Some("60000"), Between(30000, 3_600_000), ReadOnly =>
        "Longest lock of a record a share group may set.";
    "group.share.max.session.timeout.ms", Int, Some("60000"), AtLeast(1), ReadOnly =>
        "Largest session timeout a share group may set.";
    "group.share.max.share.sessions", Int, Some("2000"), AtLeast(1), ReadOnly =>
        "Most sessions of share consumers on a broker.";
    "group.share.max.size", Int, Some("200"), Between(1, 1000), ReadOnly =>
        "Most members of a share group.";
    "group.share.min.assignment.interval.ms", Int, Some("0"), AtLeast(0), ReadOnly =>
        "Smallest assignment interval a share group may set.";
    "group.share.min.delivery.count.limit", Int, Some("2"), Between(2, 5), ReadOnly =>
        "Smallest delivery count limit a share group may set.";
    "group.share.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "Smallest heartbeat interval a share group may set.";
    "group.share.min.partition.max.record.locks", Int, Some("100"), Between(100, 2000), ReadOnly =>
        "Smallest number of locked records of a partition a share group may set.";
    "group.share.min.record.lock.duration.ms", Int, Some("15000"), Between(1000, 30000), ReadOnly =>
        "Shortest lock of a record a share group may set.";
    "group.share.min.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly =>
        "Smallest session timeout a share group may set.";
    "group.share.partition.max.record.locks", Int, Some("2000"), Between(100, 10000), ReadOnly =>
        "Records of one partition that a share group may hold locked at a time.";
    "group.share.record.lock.duration.ms", Int, Some("30000"), Between(1000, 3_600_000), ReadOnly =>
        "How long a record stays locked for the member of a share group that got it.";
    "group.share.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly =>
        "How long a member of a share group may stay silent before it is removed.";
    "group.streams.assignment.interval.ms", Int, Some("1000"), AtLeast(0), ClusterWide =>
        "Shortest time between two new assignments of a streams group.";
    "group.streams.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "Pause between heartbeats that members of streams groups are told to keep.";
    "group.streams.initial.rebalance.delay.ms", Int, Some("3000"), AtLeast(0), ReadOnly =>
        "How long a new streams group waits for more members before its first rebalance.";
    "group.streams.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0), ReadOnly =>
        "Largest assignment interval a streams group may set.";
    "group.streams.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1), ReadOnly =>
        "Largest heartbeat interval a streams group may set.";
    "group.streams.max.session.timeout.ms", Int, Some("60000"), AtLeast(1), ReadOnly =>
        "Largest session timeout a streams group may set.";
    "group.streams.max.size", Int, Some("2147483647"), AtLeast(1), ReadOnly =>
        "Most members of a streams group.";
    "group.streams.max.standby.replicas", Int, Some("2"), AtLeast(0), ReadOnly =>
        "Most standby copies of a task a streams group may set.";
    "group.streams.min.assignment.interval.ms", Int, Some("0"), AtLeast(0), ReadOnly =>
        "Smallest assignment interval a streams group may set.";
    "group.streams.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "Smallest heartbeat interval a streams group may set.";
    "group.streams.min.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly =>
        "Smallest session timeout a streams group may set.";
    "group.streams.num.standby.replicas", Int, Some("0"), AtLeast(0), ReadOnly =>
        "Standby copies of each task of a streams group.";
    "group.streams.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly =>
        "How long a member of a streams group may stay silent before it is removed.";
    "offset.metadata.max.bytes", Int, Some("4096"), Any, ReadOnly =>
        "Longest text that can be committed along with an offset.";
    "offsets.commit.timeout.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "How long the commit of an offset may wait for replicas.";
    "offsets.load.buffer.size", Int, Some("5242880"), AtLeast(1), ReadOnly =>
        "Bytes read at a time when a coordinator loads offsets and groups.";
    "offsets.retention.check.interval.ms", Long, Some("600000"), AtLeast(1), ReadOnly =>
        "Pause between two searches for expired offsets.";
    "offsets.retention.minutes", Int, Some("10080"), AtLeast(1), ReadOnly =>
        "How long offsets of a group without members are kept.";
    "offsets.topic.compression.codec", Int, Some("0"), Any, ReadOnly =>
        "Codec of the topic of offsets and groups, by number; 0 is none.";
    "offsets.topic.num.partitions", Int, Some("50"), AtLeast(1), ReadOnly =>
        "Partitions of the topic of offsets and groups; fixed once there is data.";
    "offsets.topic.replication.factor", Short, Some("3"), AtLeast(1), ReadOnly =>
        "Replicas of the topic of offsets and groups.";
    "offsets.topic.segment.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly =>
        "Size of segments of the topic of offsets and groups; small ones compact soon and load fast.";
    "share.coordinator.append.linger.ms", Int, Some("-1"), AtLeast(-1), ReadOnly =>
        "How long the share coordinator waits for more records before it writes; -1 decides by load.";
    "share.coordinator.cached.buffer.max.bytes", Int, Some("1048588"), AtLeast(524_288), ClusterWide =>
        "Largest write buffer that the share coordinator of Kafka keeps for reuse. No effect here.";
    "share.coordinator.load.buffer.size", Int, Some("5242880"), AtLeast(1), ReadOnly =>
        "Bytes read at a time when a share coordinator loads its state.";
    "share.coordinator.snapshot.update.records.per.snapshot", Int, Some("500"), Between(0, 500), ReadOnly =>
        "Updates of a share partition's state between two full records of it.";
    "share.coordinator.state.topic.compression.codec", Int, Some("0"), Any, ReadOnly =>
        "Codec of the topic of share groups' state, by number; 0 is none.";
    "share.coordinator.state.topic.min.isr", Short, Some("2"), AtLeast(1), ReadOnly =>
        "Replicas in sync that a write to the topic of share groups' state needs.";
    "share.coordinator.state.topic.num.partitions", Int, Some("50"), AtLeast(1), ReadOnly =>
        "Partitions of the topic of share groups' state; fixed once there is data.";
    "share.coordinator.state.topic.replication.factor", Short, Some("3"), AtLeast(1), ReadOnly =>
        "Replicas of the topic of share groups' state.";
    "share.coordinator.state.topic.segment.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly =>
        "Size of segments of the topic of share groups' state.";
    "share.coordinator.threads", Int, Some("1"), AtLeast(1), ReadOnly =>
        "Threads of the share coordinator in Kafka. No effect here.";
    "share.coordinator.write.timeout.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "How long a write of the share coordinator may wait for replicas.";
    "share.fetch.purgatory.purge.interval.requests", Int, Some("1000"), Any, ReadOnly =>
        "Answered share fetches kept before they are cleared out. No effect here.";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, Some("10000"), AtLeast(1), ReadOnly =>
        "Pause between two searches for transactions that have timed out.";
    "transaction.max.timeout.ms", Int, Some("900000"), AtLeast(1), ReadOnly =>
        "Longest timeout a producer may ask for its transactions.";
    "transaction.partition.verification.enable", Boolean, Some("true"), Any, ClusterWide =>
        "Whether a partition checks with the coordinator that a transaction is open before it takes records of \
         it.";
    "transaction.remove.expired.transaction.cleanup.interval.ms", Int, Some("3600000"), AtLeast(1), ReadOnly =>
        "Pause between two searches for expired transactional ids.";
    "transaction.state.log.load.buffer.size", Int, Some("5242880"), AtLeast(1), ReadOnly =>
        "Bytes read at a time when a coordinator loads transactions.";
    "transaction.state.log.min.isr", Int, Some("2"), AtLeast(1), ReadOnly =>
        "Replicas in sync that a write to the topic of transactions needs.";
    "transaction.state.log.num.partitions", Int, Some("50"), AtLeast(1), ReadOnly =>
        "Partitions of the topic of transactions; fixed once there is data.";
    "transaction.state.log.replication.factor", Short, Some("3"), AtLeast(1), ReadOnly =>
        "Replicas of the topic of transactions.";
    "transaction.state.log.segment.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly =>
        "Size of segments of the topic of transactions; small ones compact soon and load fast.";
    "transaction.two.phase.commit.enable", Boolean, Some("false"), Any, ReadOnly =>
        "Whether a transaction may be left prepared for an outside coordinator to end.";
    "transactional.id.expiration.ms", Int, Some("604800000"), AtLeast(1), ReadOnly =>
        "How long an unused transactional id is remembered.";
}
