//! Groups, offsets, transactions and share groups.

use crate::metadata::config::definition::ConfigType::{Boolean, Int, List, Long, Short, String};
use crate::metadata::config::definition::Definition;
use crate::metadata::config::definition::Rule::{Any, AtLeast, Between, EachOneOf, OneOfAnyCase};
use crate::metadata::config::definition::UpdateMode::{ClusterWide, ReadOnly};

super::definitions! {
    "add.partitions.to.txn.retry.backoff.max.ms", Int, Some("100"), AtLeast(0), ReadOnly =>
        "";
    "add.partitions.to.txn.retry.backoff.ms", Int, Some("20"), AtLeast(1), ReadOnly =>
        "";
    "group.consumer.assignment.interval.ms", Int, Some("1000"), AtLeast(0), ClusterWide =>
        "";
    "group.consumer.assignors", List, Some("uniform,range"), Any, ReadOnly =>
        "";
    "group.consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "";
    "group.consumer.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0), ReadOnly =>
        "";
    "group.consumer.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1), ReadOnly =>
        "";
    "group.consumer.max.session.timeout.ms", Int, Some("60000"), AtLeast(1), ReadOnly =>
        "";
    "group.consumer.max.size", Int, Some("2147483647"), AtLeast(1), ReadOnly =>
        "";
    "group.consumer.migration.policy", String,
        Some("bidirectional"), OneOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]), ReadOnly =>
        "";
    "group.consumer.min.assignment.interval.ms", Int, Some("0"), AtLeast(0), ReadOnly =>
        "";
    "group.consumer.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "";
    "group.consumer.min.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly =>
        "";
    "group.consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly =>
        "";
    "group.coordinator.append.linger.ms", Int, Some("-1"), AtLeast(-1), ReadOnly =>
        "";
    "group.coordinator.background.threads", Int, Some("2"), AtLeast(1), ReadOnly =>
        "";
    "group.coordinator.cached.buffer.max.bytes", Int, Some("1048588"), AtLeast(524_288), ClusterWide =>
        "";
    "group.coordinator.rebalance.protocols", List,
        Some("classic,consumer,streams"), EachOneOf(&["consumer", "classic", "share", "streams"]), ReadOnly =>
        "";
    "group.coordinator.threads", Int, Some("4"), AtLeast(1), ReadOnly =>
        "";
    "group.initial.rebalance.delay.ms", Int, Some("3000"), Any, ReadOnly =>
        "";
    "group.max.session.timeout.ms", Int, Some("1800000"), Any, ReadOnly =>
        "";
    "group.max.size", Int, Some("2147483647"), AtLeast(1), ReadOnly =>
        "";
    "group.min.session.timeout.ms", Int, Some("6000"), Any, ReadOnly =>
        "";
    "group.share.assignment.interval.ms", Int, Some("1000"), AtLeast(0), ClusterWide =>
        "";
    "group.share.assignors", List, Some("simple"), Any, ReadOnly =>
        "";
    "group.share.delivery.count.limit", Int, Some("5"), Between(2, 10), ReadOnly =>
        "";
    "group.share.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "";
    "group.share.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0), ReadOnly =>
        "";
    "group.share.max.delivery.count.limit", Int, Some("10"), Between(5, 25), ReadOnly =>
        "";
    "group.share.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1), ReadOnly =>
        "";
    "group.share.max.partition.max.record.locks", Int, Some("4000"), Between(2000, 10000), ReadOnly =>
        "";
    "group.share.max.record.lock.duration.ms", Int, Some("60000"), Between(30000, 3_600_000), ReadOnly =>
        "";
    "group.share.max.session.timeout.ms", Int, Some("60000"), AtLeast(1), ReadOnly =>
        "";
    "group.share.max.share.sessions", Int, Some("2000"), AtLeast(1), ReadOnly =>
        "";
    "group.share.max.size", Int, Some("200"), Between(1, 1000), ReadOnly =>
        "";
    "group.share.min.assignment.interval.ms", Int, Some("0"), AtLeast(0), ReadOnly =>
        "";
    "group.share.min.delivery.count.limit", Int, Some("2"), Between(2, 5), ReadOnly =>
        "";
    "group.share.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "";
    "group.share.min.partition.max.record.locks", Int, Some("100"), Between(100, 2000), ReadOnly =>
        "";
    "group.share.min.record.lock.duration.ms", Int, Some("15000"), Between(1000, 30000), ReadOnly =>
        "";
    "group.share.min.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly =>
        "";
    "group.share.partition.max.record.locks", Int, Some("2000"), Between(100, 10000), ReadOnly =>
        "";
    "group.share.record.lock.duration.ms", Int, Some("30000"), Between(1000, 3_600_000), ReadOnly =>
        "";
    "group.share.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly =>
        "";
    "group.streams.assignment.interval.ms", Int, Some("1000"), AtLeast(0), ClusterWide =>
        "";
    "group.streams.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "";
    "group.streams.initial.rebalance.delay.ms", Int, Some("3000"), AtLeast(0), ReadOnly =>
        "";
    "group.streams.max.assignment.interval.ms", Int, Some("15000"), AtLeast(0), ReadOnly =>
        "";
    "group.streams.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1), ReadOnly =>
        "";
    "group.streams.max.session.timeout.ms", Int, Some("60000"), AtLeast(1), ReadOnly =>
        "";
    "group.streams.max.size", Int, Some("2147483647"), AtLeast(1), ReadOnly =>
        "";
    "group.streams.max.standby.replicas", Int, Some("2"), AtLeast(0), ReadOnly =>
        "";
    "group.streams.min.assignment.interval.ms", Int, Some("0"), AtLeast(0), ReadOnly =>
        "";
    "group.streams.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "";
    "group.streams.min.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly =>
        "";
    "group.streams.num.standby.replicas", Int, Some("0"), AtLeast(0), ReadOnly =>
        "";
    "group.streams.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly =>
        "";
    "offset.metadata.max.bytes", Int, Some("4096"), Any, ReadOnly =>
        "";
    "offsets.commit.timeout.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "";
    "offsets.load.buffer.size", Int, Some("5242880"), AtLeast(1), ReadOnly =>
        "";
    "offsets.retention.check.interval.ms", Long, Some("600000"), AtLeast(1), ReadOnly =>
        "";
    "offsets.retention.minutes", Int, Some("10080"), AtLeast(1), ReadOnly =>
        "";
    "offsets.topic.compression.codec", Int, Some("0"), Any, ReadOnly =>
        "";
    "offsets.topic.num.partitions", Int, Some("50"), AtLeast(1), ReadOnly =>
        "";
    "offsets.topic.replication.factor", Short, Some("3"), AtLeast(1), ReadOnly =>
        "";
    "offsets.topic.segment.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly =>
        "";
    "share.coordinator.append.linger.ms", Int, Some("-1"), AtLeast(-1), ReadOnly =>
        "";
    "share.coordinator.cached.buffer.max.bytes", Int, Some("1048588"), AtLeast(524_288), ClusterWide =>
        "";
    "share.coordinator.load.buffer.size", Int, Some("5242880"), AtLeast(1), ReadOnly =>
        "";
    "share.coordinator.snapshot.update.records.per.snapshot", Int, Some("500"), Between(0, 500), ReadOnly =>
        "";
    "share.coordinator.state.topic.compression.codec", Int, Some("0"), Any, ReadOnly =>
        "";
    "share.coordinator.state.topic.min.isr", Short, Some("2"), AtLeast(1), ReadOnly =>
        "";
    "share.coordinator.state.topic.num.partitions", Int, Some("50"), AtLeast(1), ReadOnly =>
        "";
    "share.coordinator.state.topic.replication.factor", Short, Some("3"), AtLeast(1), ReadOnly =>
        "";
    "share.coordinator.state.topic.segment.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly =>
        "";
    "share.coordinator.threads", Int, Some("1"), AtLeast(1), ReadOnly =>
        "";
    "share.coordinator.write.timeout.ms", Int, Some("5000"), AtLeast(1), ReadOnly =>
        "";
    "share.fetch.purgatory.purge.interval.requests", Int, Some("1000"), Any, ReadOnly =>
        "";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, Some("10000"), AtLeast(1), ReadOnly =>
        "";
    "transaction.max.timeout.ms", Int, Some("900000"), AtLeast(1), ReadOnly =>
        "";
    "transaction.partition.verification.enable", Boolean, Some("true"), Any, ClusterWide =>
        "";
    "transaction.remove.expired.transaction.cleanup.interval.ms", Int, Some("3600000"), AtLeast(1), ReadOnly =>
        "";
    "transaction.state.log.load.buffer.size", Int, Some("5242880"), AtLeast(1), ReadOnly =>
        "";
    "transaction.state.log.min.isr", Int, Some("2"), AtLeast(1), ReadOnly =>
        "";
    "transaction.state.log.num.partitions", Int, Some("50"), AtLeast(1), ReadOnly =>
        "";
    "transaction.state.log.replication.factor", Short, Some("3"), AtLeast(1), ReadOnly =>
        "";
    "transaction.state.log.segment.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly =>
        "";
    "transaction.two.phase.commit.enable", Boolean, Some("false"), Any, ReadOnly =>
        "";
    "transactional.id.expiration.ms", Int, Some("604800000"), AtLeast(1), ReadOnly =>
        "";
}
