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
        "Level used for topics whose compression.type is gzip; -1 is the codec's own default.";
    "compression.lz4.level", Int, Some("9"), Between(1, 17), ClusterWide =>
        "Level used for topics whose compression.type is lz4.";
    "compression.type", String, Some("producer"), OneOf(COMPRESSION_TYPES), ClusterWide =>
        "Codec in which batches of topics that do not say otherwise are stored; 'producer' keeps the codec each \
         arrived in.";
    "compression.zstd.level", Int, Some("3"), Between(-131_072, 22), ClusterWide =>
        "Level used for topics whose compression.type is zstd.";
    "cordoned.log.dirs", List, Some(""), Any, PerBroker =>
        "Log directories that get no new partitions; * stands for all.";
    "log.cleaner.backoff.ms", Long, Some("15000"), AtLeast(0), ClusterWide =>
        "Pause of compaction when no log needs it.";
    "log.cleaner.dedupe.buffer.size", Long, Some("134217728"), Any, ClusterWide =>
        "Memory that compaction may use to find the last record of each key.";
    "log.cleaner.delete.retention.ms", Long, Some("86400000"), AtLeast(0), ClusterWide =>
        "How long compaction keeps a tombstone, for topics that do not say otherwise.";
    "log.cleaner.enable", Boolean, Some("true"), Any, ReadOnly =>
        "Whether compaction runs at all.";
    "log.cleaner.io.buffer.load.factor", Double, Some("0.9"), Any, ClusterWide =>
        "How full compaction's table of keys may get; fuller finds more keys at once, at the price of more \
         collisions.";
    "log.cleaner.io.buffer.size", Int, Some("524288"), AtLeast(0), ClusterWide =>
        "Memory that compaction may use to read and write.";
    "log.cleaner.io.max.bytes.per.second", Double, Some("1.7976931348623157E308"), Any, ClusterWide =>
        "Most bytes a second that compaction reads and writes.";
    "log.cleaner.max.compaction.lag.ms", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide =>
        "Longest time a record stays uncompacted, for topics that do not say otherwise.";
    "log.cleaner.min.cleanable.ratio", Double, Some("0.5"), FractionUpTo(1.0), ClusterWide =>
        "Part of a log that must be uncompacted for compaction to start, for topics that do not say otherwise.";
    "log.cleaner.min.compaction.lag.ms", Long, Some("0"), AtLeast(0), ClusterWide =>
        "Shortest time a record stays uncompacted, for topics that do not say otherwise.";
    "log.cleaner.threads", Int, Some("1"), AtLeast(0), ClusterWide =>
        "Threads of compaction in Kafka. No effect here.";
    "log.cleanup.policy", List, Some("delete"), EachOneOf(CLEANUP_POLICIES), ClusterWide =>
        "How old records go, for topics that do not say otherwise: delete, compact, both or neither.";
    "log.dir", List, Some("/tmp/kafka-logs"), Any, ReadOnly =>
        "Directory of everything that is stored, where log.dirs is not set.";
    "log.dir.failure.timeout.ms", Long, Some("30000"), AtLeast(1), ReadOnly =>
        "How long a broker may fail to tell the controller of a failed log directory before it stops.";
    "log.dirs", List, None, Any, ReadOnly =>
        "Directories of everything that is stored.";
    "log.flush.interval.messages", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide =>
        "Most records acknowledged before they are durable, for topics with write.caching that do not say \
         otherwise.";
    "log.flush.interval.ms", Long, None, Any, ClusterWide =>
        "Longest time an acknowledged record may take to become durable, for topics with write.caching that do \
         not say otherwise.";
    "log.flush.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0), ReadOnly =>
        "Pause between two records of how far logs are durable in Kafka. No effect here: the journal knows.";
    "log.flush.scheduler.interval.ms", Long, Some("9223372036854775807"), Any, ReadOnly =>
        "What log.flush.interval.ms is where that is not set.";
    "log.flush.start.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0), ReadOnly =>
        "Pause between two records of where logs start in Kafka. No effect here.";
    "log.index.interval.bytes", Int, Some("4096"), AtLeast(0), ClusterWide =>
        "Bytes of records between two entries of the offset index, for topics that do not say otherwise.";
    "log.index.size.max.bytes", Int, Some("10485760"), AtLeast(4), ClusterWide =>
        "Largest size of a segment's offset index, for topics that do not say otherwise.";
    "log.local.retention.bytes", Long, Some("-2"), AtLeast(-2), ClusterWide =>
        "Bytes of a tiered partition kept on the broker's disk, for topics that do not say otherwise.";
    "log.local.retention.ms", Long, Some("-2"), AtLeast(-2), ClusterWide =>
        "How long segments of a tiered partition stay on the broker's disk, for topics that do not say otherwise.";
    "log.message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0), ClusterWide =>
        "How far a record's timestamp may lie ahead of the clock, for topics that do not say otherwise.";
    "log.message.timestamp.before.max.ms", Long, Some("9223372036854775807"), AtLeast(0), ClusterWide =>
        "How far a record's timestamp may lie behind the clock, for topics that do not say otherwise.";
    "log.message.timestamp.type", String, Some("CreateTime"), OneOf(TIMESTAMP_TYPES), ClusterWide =>
        "Whose time a record carries, the producer's or the broker's, for topics that do not say otherwise.";
    "log.preallocate", Boolean, Some("false"), Any, ClusterWide =>
        "Whether segment files get their full size when they are made, for topics that do not say otherwise.";
    "log.retention.bytes", Long, Some("-1"), Any, ClusterWide =>
        "Size beyond which a partition's oldest segments are dropped, for topics that do not say otherwise; -1 \
         sets no bound.";
    "log.retention.check.interval.ms", Long, Some("300000"), AtLeast(1), ReadOnly =>
        "Pause between two searches for segments to drop.";
    "log.retention.hours", Int, Some("168"), Any, ReadOnly =>
        "Age in hours beyond which segments are dropped, where neither the minutes nor the milliseconds are set.";
    "log.retention.minutes", Int, None, Any, ReadOnly =>
        "Age in minutes beyond which segments are dropped, where the milliseconds are not set.";
    "log.retention.ms", Long, None, Any, ClusterWide =>
        "Age beyond which segments are dropped, for topics that do not say otherwise; -1 sets no bound.";
    "log.roll.hours", Int, Some("168"), AtLeast(1), ReadOnly =>
        "Age in hours at which a segment is closed, where the milliseconds are not set.";
    "log.roll.jitter.hours", Int, Some("0"), AtLeast(0), ReadOnly =>
        "Most hours by which the age of a segment is shortened at random, where the milliseconds are not set.";
    "log.roll.jitter.ms", Long, None, Any, ClusterWide =>
        "Most time by which the age of a segment is shortened at random, for topics that do not say otherwise.";
    "log.roll.ms", Long, None, Any, ClusterWide =>
        "Age at which a segment is closed, for topics that do not say otherwise.";
    "log.segment.bytes", Int, Some("1073741824"), AtLeast(1_048_576), ClusterWide =>
        "Size at which a segment is closed, for topics that do not say otherwise.";
    "log.segment.delete.delay.ms", Long, Some("60000"), AtLeast(0), ClusterWide =>
        "How long a dropped segment's files stay, for topics that do not say otherwise.";
    "message.max.bytes", Int, Some("1048588"), AtLeast(0), ClusterWide =>
        "Largest record batch, for topics that do not say otherwise.";
    "min.insync.replicas", Int, Some("1"), AtLeast(1), ClusterWide =>
        "Replicas that must be in sync for a write with acks=all, for topics that do not say otherwise.";
    "num.partitions", Int, Some("1"), AtLeast(1), ReadOnly =>
        "Partitions of a topic that is created by itself, or without saying how many.";
    "num.recovery.threads.per.data.dir", Int, Some("2"), AtLeast(1), ClusterWide =>
        "Threads that recover logs at start in Kafka. No effect here: recovery reads the journal alone.";
    "producer.id.expiration.ms", Int, Some("86400000"), AtLeast(1), ClusterWide =>
        "How long the last batches of an idle producer are remembered to recognise repeats.";
    "remote.fetch.max.wait.ms", Int, Some("500"), AtLeast(1), ClusterWide =>
        "How long a fetch may wait for data from remote storage.";
    "remote.list.offsets.request.timeout.ms", Long, Some("30000"), AtLeast(1), ClusterWide =>
        "How long a search for an offset in remote storage may take.";
    "remote.log.index.file.cache.total.size.bytes", Long, Some("1073741824"), AtLeast(1), ClusterWide =>
        "Local disk for index files of tiered segments.";
    "remote.log.manager.copier.thread.pool.size", Int, Some("10"), AtLeast(1), ClusterWide =>
        "Uploads of segments at a time.";
    "remote.log.manager.copy.max.bytes.per.second", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide =>
        "Most bytes a second uploaded to remote storage.";
    "remote.log.manager.copy.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly =>
        "Samples kept to measure uploads to remote storage.";
    "remote.log.manager.copy.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly =>
        "Length of one sample of uploads to remote storage.";
    "remote.log.manager.expiration.thread.pool.size", Int, Some("10"), AtLeast(1), ClusterWide =>
        "Deletions of expired tiered segments at a time.";
    "remote.log.manager.fetch.max.bytes.per.second", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide =>
        "Most bytes a second read from remote storage.";
    "remote.log.manager.fetch.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly =>
        "Samples kept to measure reads from remote storage.";
    "remote.log.manager.fetch.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly =>
        "Length of one sample of reads from remote storage.";
    "remote.log.manager.follower.thread.pool.size", Int, Some("2"), AtLeast(1), ClusterWide =>
        "Followers that look up how far their partition is tiered at a time.";
    "remote.log.manager.task.interval.ms", Long, Some("30000"), AtLeast(1), ReadOnly =>
        "Pause between two searches for segments to upload or to delete.";
    "remote.log.manager.thread.pool.size", Int, Some("2"), AtLeast(1), ReadOnly =>
        "Older name of remote.log.manager.follower.thread.pool.size.";
    "remote.log.metadata.custom.metadata.max.bytes", Int, Some("128"), AtLeast(0), ReadOnly =>
        "Largest metadata a storage plugin may keep about one segment.";
    "remote.log.metadata.manager.class.name", String,
        Some("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"), NotEmpty, ReadOnly =>
        "Java class that keeps track of tiered segments. No effect here.";
    "remote.log.metadata.manager.class.path", String, None, Any, ReadOnly =>
        "Where the Java class that keeps track of tiered segments is loaded from. No effect here.";
    "remote.log.metadata.manager.impl.prefix", String, Some("rlmm.config."), NotEmpty, ReadOnly =>
        "Prefix of properties meant for the Java class that keeps track of tiered segments. No effect here.";
    "remote.log.metadata.manager.listener.name", String, None, NotEmpty, ReadOnly =>
        "Listener through which tiered segments are kept track of.";
    "remote.log.reader.max.pending.tasks", Int, Some("100"), AtLeast(1), ReadOnly =>
        "Reads from remote storage that may wait before more are refused.";
    "remote.log.reader.threads", Int, Some("10"), AtLeast(1), ClusterWide =>
        "Reads from remote storage at a time.";
    "remote.log.storage.manager.class.name", String, None, NotEmpty, ReadOnly =>
        "Java class that talks to remote storage. No effect here.";
    "remote.log.storage.manager.class.path", String, None, Any, ReadOnly =>
        "Where the Java class that talks to remote storage is loaded from. No effect here.";
    "remote.log.storage.manager.impl.prefix", String, Some("rsm.config."), NotEmpty, ReadOnly =>
        "Prefix of properties meant for the Java class that talks to remote storage. No effect here.";
    "remote.log.storage.system.enable", Boolean, Some("false"), Any, ReadOnly =>
        "Whether topics can be tiered to remote storage.";
    "unclean.leader.election.enable", Boolean, Some("false"), Any, ClusterWide =>
        "Whether a replica that is not in sync may lead when no other can, for topics that do not say otherwise.";
}
