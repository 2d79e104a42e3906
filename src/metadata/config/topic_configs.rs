//! Every topic config of Apache Kafka 4.3, and Flumen's own.

use super::definition::ConfigType::{Boolean, Double, Int, List, Long, String};
use super::definition::{ConfigType, Definition, Rule, UpdateMode};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// The broker config whose value a topic config has when the topic does not set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The broker config's name.
    pub name: &'static str,
    /// What its value is multiplied by: milliseconds of a minute or an hour where it counts those, else 1.
    pub factor: i64,
}

/// A config of a topic, or of another resource that has the broker's value where it sets none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResourceConfig {
    /// What it is.
    pub definition: Definition,
    /// The broker configs it falls back to, the first that is set winning.
    pub synonyms: &'static [Synonym],
}

const fn same(name: &'static str) -> Synonym {
    Synonym { name, factor: 1 }
}

const fn scaled(name: &'static str, factor: i64) -> Synonym {
    Synonym { name, factor }
}

const fn config(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    rule: Rule,
    synonyms: &'static [Synonym],
    documentation: &'static str,
) -> ResourceConfig {
    let update = UpdateMode::ClusterWide;
    ResourceConfig {
        definition: Definition { name, kind, default: Some(default), rule, update, documentation },
        synonyms,
    }
}

/// The texts of `compression.type`.
pub const COMPRESSION_TYPES: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
/// The texts of `cleanup.policy`.
pub const CLEANUP_POLICIES: &[&str] = &["compact", "delete"];
/// The texts of `message.timestamp.type`.
pub const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];

/// A size of segments below what `segment.bytes` allows, for tests; accepted, never listed, as in Kafka.
pub const INTERNAL_SEGMENT_BYTES: ResourceConfig = ResourceConfig {
    definition: Definition {
        name: "internal.segment.bytes",
        kind: Int,
        default: None,
        rule: Rule::AtLeast(1),
        update: UpdateMode::ClusterWide,
        documentation: "Size at which a segment is closed, below what segment.bytes allows; for tests alone.",
    },
    synonyms: &[],
};

/// The topic config with this name, listed or not.
pub fn find(name: &str) -> Option<&'static ResourceConfig> {
    if name == INTERNAL_SEGMENT_BYTES.definition.name {
        return Some(&INTERNAL_SEGMENT_BYTES);
    }
    let at = TOPIC_CONFIGS.binary_search_by(|config| config.definition.name.cmp(name)).ok()?;
    Some(&TOPIC_CONFIGS[at])
}

/// All topic configs that are listed, in the order of their names.
pub static TOPIC_CONFIGS: &[ResourceConfig] = &[
    config(
        "cleanup.policy",
        List,
        "delete",
        Rule::EachOneOf(CLEANUP_POLICIES),
        &[same("log.cleanup.policy")],
        "How old records go: 'delete' drops whole segments by age and size, 'compact' keeps the last record of each key; \
         both may be given, and with neither nothing is dropped.",
    ),
    config(
        "compression.gzip.level",
        Int,
        "-1",
        Rule::BetweenOr(1, 9, -1),
        &[same("compression.gzip.level")],
        "Level used when compression.type is gzip; -1 is the codec's own default.",
    ),
    config(
        "compression.lz4.level",
        Int,
        "9",
        Rule::Between(1, 17),
        &[same("compression.lz4.level")],
        "Level used when compression.type is lz4.",
    ),
    config(
        "compression.type",
        String,
        "producer",
        Rule::OneOf(COMPRESSION_TYPES),
        &[same("compression.type")],
        "Codec in which the topic's batches are stored; 'producer' keeps the codec each batch arrived in.",
    ),
    config(
        "compression.zstd.level",
        Int,
        "3",
        Rule::Between(-131_072, 22),
        &[same("compression.zstd.level")],
        "Level used when compression.type is zstd.",
    ),
    config(
        "delete.retention.ms",
        Long,
        "86400000",
        Rule::AtLeast(0),
        &[same("log.cleaner.delete.retention.ms")],
        "How long compaction keeps a tombstone, so that a consumer reading from the start still sees the deletion.",
    ),
    config(
        "file.delete.delay.ms",
        Long,
        "60000",
        Rule::AtLeast(0),
        &[same("log.segment.delete.delay.ms")],
        "How long a dropped segment's files stay on disk before they are removed.",
    ),
    config(
        "flush.messages",
        Long,
        "9223372036854775807",
        Rule::AtLeast(1),
        &[same("log.flush.interval.messages")],
        "Most records that may be acknowledged before they are durable; matters only with write.caching=true, since \
         otherwise every acknowledged record is durable.",
    ),
    config(
        "flush.ms",
        Long,
        "9223372036854775807",
        Rule::AtLeast(0),
        &[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")],
        "Longest time an acknowledged record may take to become durable; matters only with write.caching=true, since \
         otherwise every acknowledged record is durable.",
    ),
    config(
        "follower.replication.throttled.replicas",
        List,
        "",
        Rule::ThrottledReplicas,
        &[],
        "Replicas whose catching up is limited on the follower, as partition:broker pairs, or * for all.",
    ),
    config(
        "index.interval.bytes",
        Int,
        "4096",
        Rule::AtLeast(0),
        &[same("log.index.interval.bytes")],
        "Bytes of records between two entries of the offset index.",
    ),
    config(
        "leader.replication.throttled.replicas",
        List,
        "",
        Rule::ThrottledReplicas,
        &[],
        "Replicas whose catching up is limited on the leader, as partition:broker pairs, or * for all.",
    ),
    config(
        "local.retention.bytes",
        Long,
        "-2",
        Rule::AtLeast(-2),
        &[same("log.local.retention.bytes")],
        "Bytes of a tiered partition kept on the broker's own disk; -2 takes the value of retention.bytes.",
    ),
    config(
        "local.retention.ms",
        Long,
        "-2",
        Rule::AtLeast(-2),
        &[same("log.local.retention.ms")],
        "How long segments of a tiered partition stay on the broker's own disk; -2 takes the value of retention.ms.",
    ),
    config(
        "max.compaction.lag.ms",
        Long,
        "9223372036854775807",
        Rule::AtLeast(1),
        &[same("log.cleaner.max.compaction.lag.ms")],
        "Longest time a record of a compacted topic may stay uncompacted.",
    ),
    config(
        "max.message.bytes",
        Int,
        "1048588",
        Rule::AtLeast(0),
        &[same("message.max.bytes")],
        "Largest record batch a producer may append, as sent, that is after compression.",
    ),
    config(
        "message.timestamp.after.max.ms",
        Long,
        "3600000",
        Rule::AtLeast(0),
        &[same("log.message.timestamp.after.max.ms")],
        "How far a record's timestamp may lie ahead of the broker's clock; records beyond are refused, unless the broker \
         stamps them itself.",
    ),
    config(
        "message.timestamp.before.max.ms",
        Long,
        "9223372036854775807",
        Rule::AtLeast(0),
        &[same("log.message.timestamp.before.max.ms")],
        "How far a record's timestamp may lie behind the broker's clock; records beyond are refused, unless the broker \
         stamps them itself.",
    ),
    config(
        "message.timestamp.type",
        String,
        "CreateTime",
        Rule::OneOf(TIMESTAMP_TYPES),
        &[same("log.message.timestamp.type")],
        "Whether a record carries the time its producer gave it or the time the broker appended it.",
    ),
    config(
        "min.cleanable.dirty.ratio",
        Double,
        "0.5",
        Rule::FractionUpTo(1.0),
        &[same("log.cleaner.min.cleanable.ratio")],
        "Part of a compacted log that must be uncompacted before compaction is worth its cost.",
    ),
    config(
        "min.compaction.lag.ms",
        Long,
        "0",
        Rule::AtLeast(0),
        &[same("log.cleaner.min.compaction.lag.ms")],
        "How long a record of a compacted topic stays uncompacted at least.",
    ),
    config(
        "min.insync.replicas",
        Int,
        "1",
        Rule::AtLeast(1),
        &[same("min.insync.replicas")],
        "Replicas that must be in sync for a write with acks=all to be accepted.",
    ),
    config(
        "preallocate",
        Boolean,
        "false",
        Rule::Any,
        &[same("log.preallocate")],
        "Whether a segment's file gets its full size when it is made.",
    ),
    config(
        "remote.log.copy.disable",
        Boolean,
        "false",
        Rule::Any,
        &[],
        "Whether a tiered topic stops uploading segments while what is uploaded stays readable.",
    ),
    config(
        "remote.log.delete.on.disable",
        Boolean,
        "false",
        Rule::Any,
        &[],
        "Whether uploaded segments are deleted when tiering is switched off for the topic.",
    ),
    config(
        "remote.storage.enable",
        Boolean,
        "false",
        Rule::Any,
        &[],
        "Whether closed segments of the topic are tiered to remote storage.",
    ),
    config(
        "retention.bytes",
        Long,
        "-1",
        Rule::Any,
        &[same("log.retention.bytes")],
        "Size of a partition beyond which its oldest segments are dropped; -1 sets no bound.",
    ),
    config(
        "retention.ms",
        Long,
        "604800000",
        Rule::AtLeast(-1),
        &[same("log.retention.ms"), scaled("log.retention.minutes", MINUTE_MS), scaled("log.retention.hours", HOUR_MS)],
        "Age beyond which a segment is dropped; -1 sets no bound.",
    ),
    config(
        "segment.bytes",
        Int,
        "1073741824",
        Rule::AtLeast(1 << 20),
        &[same("log.segment.bytes")],
        "Size at which a segment is closed and the next one begun; retention works by whole segments.",
    ),
    config(
        "segment.index.bytes",
        Int,
        "10485760",
        Rule::AtLeast(4),
        &[same("log.index.size.max.bytes")],
        "Largest size of a segment's offset index; a full index closes the segment.",
    ),
    config(
        "segment.jitter.ms",
        Long,
        "0",
        Rule::AtLeast(0),
        &[same("log.roll.jitter.ms"), scaled("log.roll.jitter.hours", HOUR_MS)],
        "Most time by which segment.ms is shortened at random, so that segments do not close all at once.",
    ),
    config(
        "segment.ms",
        Long,
        "604800000",
        Rule::AtLeast(1),
        &[same("log.roll.ms"), scaled("log.roll.hours", HOUR_MS)],
        "Age at which a segment is closed even if it is not full, so that retention and compaction can work on it.",
    ),
    config(
        "unclean.leader.election.enable",
        Boolean,
        "false",
        Rule::Any,
        &[same("unclean.leader.election.enable")],
        "Whether a replica that is not in sync may become leader when no other can, at the price of losing records.",
    ),
    config(
        "write.caching",
        Boolean,
        "false",
        Rule::Any,
        &[],
        "Whether writes are acknowledged from memory and become durable within flush.ms, instead of being durable before \
         they are acknowledged. Flumen's own.",
    ),
];
