//! Logs, segments, compaction, retention and remote storage.

use crate::metadata::config::definition::ConfigType::{Boolean, Double, Int, List, Long, String};
use crate::metadata::config::definition::Definition;
use crate::metadata::config::definition::Rule::{
    Any, AtLeast, Between, BetweenOr, EachOneOf, FractionUpTo, NotEmpty, OneOf,
};
use crate::metadata::config::definition::UpdateMode::{ClusterWide, PerBroker, ReadOnly};
use crate::metadata::config::topic_configs::{CLEANUP_POLICIES, COMPRESSION_TYPES, TIMESTAMP_TYPES};

super::definitions! {
    "compression.gzip.level", Int, Some("-1"), BetweenOr(1, 9, -1), ClusterWide =>
        "";
    "compression.lz4.level", Int, Some("9"), Between(1, 17), ClusterWide =>
        "";
    "compression.type", String, Some("producer"), OneOf(COMPRESSION_TYPES), ClusterWide =>
        "";
    "compression.zstd.level", Int, Some("3"), Between(-131_072, 22), ClusterWide =>
        "";
    "cordoned.log.dirs", List, Some(""), Any, PerBroker =>
        "";
    "log.cleaner.backoff.ms", Long, Some("15000"), AtLeast(0), ClusterWide =>
        "";
    "log.cleaner.dedupe.buffer.size", Long, Some("134217728"), Any, ClusterWide =>
        "";
    "log.cleaner.delete.retention.ms", Long, Some("86400000"), AtLeast(0), ClusterWide =>
        "";
    "log.cleaner.enable", Boolean, Some("true"), Any, ReadOnly =>
        "";
    "log.cleaner.io.buffer.load.factor", Double, Some("0.9"), Any, ClusterWide =>
        "";
    "log.cleaner.io.buffer.size", Int, Some("524288"), AtLeast(0), ClusterWide =>
        "";
    "log.cleaner.io.max.bytes.per.second", Double, Some("1.7976931348623157E308"), Any, ClusterWide =>
        "";
    "log.cleaner.max.compaction.lag.ms", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide =>
        "";
    "log.cleaner.min.cleanable.ratio", Double, Some("0.5"), FractionUpTo(1.0), ClusterWide =>
        "";
    "log.cleaner.min.compaction.lag.ms", Long, Some("0"), AtLeast(0), ClusterWide =>
        "";
    "log.cleaner.threads", Int, Some("1"), AtLeast(0), ClusterWide =>
        "";
    "log.cleanup.policy", List, Some("delete"), EachOneOf(CLEANUP_POLICIES), ClusterWide =>
        "";
    "log.dir", List, Some("/tmp/kafka-logs"), Any, ReadOnly =>
        "";
    "log.dir.failure.timeout.ms", Long, Some("30000"), AtLeast(1), ReadOnly =>
        "";
    "log.dirs", List, None, Any, ReadOnly =>
        "";
    "log.flush.interval.messages", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide =>
        "";
    "log.flush.interval.ms", Long, None, Any, ClusterWide =>
        "";
    "log.flush.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0), ReadOnly =>
        "";
    "log.flush.scheduler.interval.ms", Long, Some("9223372036854775807"), Any, ReadOnly =>
        "";
    "log.flush.start.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0), ReadOnly =>
        "";
    "log.index.interval.bytes", Int, Some("4096"), AtLeast(0), ClusterWide =>
        "";
    "log.index.size.max.bytes", Int, Some("10485760"), AtLeast(4), ClusterWide =>
        "";
    "log.local.retention.bytes", Long, Some("-2"), AtLeast(-2), ClusterWide =>
        "";
    "log.local.retention.ms", Long, Some("-2"), AtLeast(-2), ClusterWide =>
        "";
    "log.message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0), ClusterWide =>
        "";
    "log.message.timestamp.before.max.ms", Long, Some("9223372036854775807"), AtLeast(0), ClusterWide =>
        "";
    "log.message.timestamp.type", String, Some("CreateTime"), OneOf(TIMESTAMP_TYPES), ClusterWide =>
        "";
    "log.preallocate", Boolean, Some("false"), Any, ClusterWide =>
        "";
    "log.retention.bytes", Long, Some("-1"), Any, ClusterWide =>
        "";
    "log.retention.check.interval.ms", Long, Some("300000"), AtLeast(1), ReadOnly =>
        "";
    "log.retention.hours", Int, Some("168"), Any, ReadOnly =>
        "";
    "log.retention.minutes", Int, None, Any, ReadOnly =>
        "";
    "log.retention.ms", Long, None, Any, ClusterWide =>
        "";
    "log.roll.hours", Int, Some("168"), AtLeast(1), ReadOnly =>
        "";
    "log.roll.jitter.hours", Int, Some("0"), AtLeast(0), ReadOnly =>
        "";
    "log.roll.jitter.ms", Long, None, Any, ClusterWide =>
        "";
    "log.roll.ms", Long, None, Any, ClusterWide =>
        "";
    "log.segment.bytes", Int, Some("1073741824"), AtLeast(1_048_576), ClusterWide =>
        "";
    "log.segment.delete.delay.ms", Long, Some("60000"), AtLeast(0), ClusterWide =>
        "";
    "message.max.bytes", Int, Some("1048588"), AtLeast(0), ClusterWide =>
        "";
    "min.insync.replicas", Int, Some("1"), AtLeast(1), ClusterWide =>
        "";
    "num.partitions", Int, Some("1"), AtLeast(1), ReadOnly =>
        "";
    "num.recovery.threads.per.data.dir", Int, Some("2"), AtLeast(1), ClusterWide =>
        "";
    "producer.id.expiration.ms", Int, Some("86400000"), AtLeast(1), ClusterWide =>
        "";
    "remote.fetch.max.wait.ms", Int, Some("500"), AtLeast(1), ClusterWide =>
        "";
    "remote.list.offsets.request.timeout.ms", Long, Some("30000"), AtLeast(1), ClusterWide =>
        "";
    "remote.log.index.file.cache.total.size.bytes", Long, Some("1073741824"), AtLeast(1), ClusterWide =>
        "";
    "remote.log.manager.copier.thread.pool.size", Int, Some("10"), AtLeast(1), ClusterWide =>
        "";
    "remote.log.manager.copy.max.bytes.per.second", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide =>
        "";
    "remote.log.manager.copy.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly =>
        "";
    "remote.log.manager.copy.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly =>
        "";
    "remote.log.manager.expiration.thread.pool.size", Int, Some("10"), AtLeast(1), ClusterWide =>
        "";
    "remote.log.manager.fetch.max.bytes.per.second", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide =>
        "";
    "remote.log.manager.fetch.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly =>
        "";
    "remote.log.manager.fetch.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly =>
        "";
    "remote.log.manager.follower.thread.pool.size", Int, Some("2"), AtLeast(1), ClusterWide =>
        "";
    "remote.log.manager.task.interval.ms", Long, Some("30000"), AtLeast(1), ReadOnly =>
        "";
    "remote.log.manager.thread.pool.size", Int, Some("2"), AtLeast(1), ReadOnly =>
        "";
    "remote.log.metadata.custom.metadata.max.bytes", Int, Some("128"), AtLeast(0), ReadOnly =>
        "";
    "remote.log.metadata.manager.class.name", String,
        Some("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"), NotEmpty, ReadOnly =>
        "";
    "remote.log.metadata.manager.class.path", String, None, Any, ReadOnly =>
        "";
    "remote.log.metadata.manager.impl.prefix", String, Some("rlmm.config."), NotEmpty, ReadOnly =>
        "";
    "remote.log.metadata.manager.listener.name", String, None, NotEmpty, ReadOnly =>
        "";
    "remote.log.reader.max.pending.tasks", Int, Some("100"), AtLeast(1), ReadOnly =>
        "";
    "remote.log.reader.threads", Int, Some("10"), AtLeast(1), ClusterWide =>
        "";
    "remote.log.storage.manager.class.name", String, None, NotEmpty, ReadOnly =>
        "";
    "remote.log.storage.manager.class.path", String, None, Any, ReadOnly =>
        "";
    "remote.log.storage.manager.impl.prefix", String, Some("rsm.config."), NotEmpty, ReadOnly =>
        "";
    "remote.log.storage.system.enable", Boolean, Some("false"), Any, ReadOnly =>
        "";
    "unclean.leader.election.enable", Boolean, Some("false"), Any, ClusterWide =>
        "";
}
