//! The typed values a topic runs with, resolved once per change of the image.

use super::definition::Value;
use super::layers::Layers;
use super::topic_configs::{self, ResourceConfig};
use crate::base::time::Duration;
use crate::metadata::image::Configs;

#[cfg(test)]
mod tests;

/// Whose time a record carries (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, of the append.
    LogAppendTime,
}

/// The codec in which a topic's batches are stored (`compression.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// The one each batch arrived in.
    Producer,
    /// None.
    Uncompressed,
    /// gzip at this level, -1 for the codec's default.
    Gzip(i32),
    /// snappy.
    Snappy,
    /// lz4 at this level.
    Lz4(i32),
    /// zstd at this level.
    Zstd(i32),
}

/// What a topic's partitions run with. Times in milliseconds, sizes in bytes, as in Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicSettings {
    /// Whether whole segments are dropped by age and size.
    pub delete: bool,
    /// Whether only the last record of each key is kept.
    pub compact: bool,
    /// In what codec batches are stored.
    pub compression: Compression,
    /// How long compaction keeps a tombstone.
    pub delete_retention_ms: i64,
    /// How long a dropped segment's files stay.
    pub file_delete_delay_ms: i64,
    /// Whether writes are acknowledged before they are durable.
    pub write_caching: bool,
    /// Most records acknowledged and not yet durable, with write caching.
    pub flush_messages: i64,
    /// Longest time an acknowledged record is not yet durable, with write caching.
    pub flush_ms: i64,
    /// Bytes between two entries of the offset index.
    pub index_interval_bytes: i32,
    /// Longest time a record stays uncompacted.
    pub max_compaction_lag_ms: i64,
    /// Shortest time a record stays uncompacted.
    pub min_compaction_lag_ms: i64,
    /// Part of a log that must be uncompacted for compaction to start.
    pub min_cleanable_dirty_ratio: f64,
    /// Largest batch.
    pub max_message_bytes: i32,
    /// How far a record's time may lie ahead of the clock.
    pub timestamp_after_max_ms: i64,
    /// How far a record's time may lie behind the clock.
    pub timestamp_before_max_ms: i64,
    /// Whose time a record carries.
    pub timestamp_type: TimestampType,
    /// Replicas that must be in sync for a write with acks=all.
    pub min_insync_replicas: i32,
    /// Whether a segment's file is made at full size.
    pub preallocate: bool,
    /// Size of a partition beyond which segments are dropped, none for no bound.
    pub retention_bytes: Option<i64>,
    /// Age beyond which segments are dropped, none for no bound.
    pub retention_ms: Option<i64>,
    /// Size at which a segment is closed.
    pub segment_bytes: i32,
    /// Largest offset index.
    pub segment_index_bytes: i32,
    /// Most by which `segment_ms` is shortened at random.
    pub segment_jitter_ms: i64,
    /// Age at which a segment is closed.
    pub segment_ms: i64,
    /// Whether a replica out of sync may lead.
    pub unclean_leader_election: bool,
}

impl TopicSettings {
    /// The settings of a topic whose own dynamic configs are `topic`.
    pub fn resolve(layers: &Layers<'_>, topic: &Configs) -> TopicSettings {
        let values = Values { layers, topic };
        let policies = values.list("cleanup.policy");
        TopicSettings {
            delete: policies.iter().any(|policy| policy == "delete"),
            compact: policies.iter().any(|policy| policy == "compact"),
            compression: compression(&values),
            delete_retention_ms: values.whole("delete.retention.ms"),
            file_delete_delay_ms: values.whole("file.delete.delay.ms"),
            write_caching: values.boolean("write.caching"),
            flush_messages: values.whole("flush.messages"),
            flush_ms: values.whole("flush.ms"),
            index_interval_bytes: values.int("index.interval.bytes"),
            max_compaction_lag_ms: values.whole("max.compaction.lag.ms"),
            min_compaction_lag_ms: values.whole("min.compaction.lag.ms"),
            min_cleanable_dirty_ratio: values.double("min.cleanable.dirty.ratio"),
            max_message_bytes: values.int("max.message.bytes"),
            timestamp_after_max_ms: values.whole("message.timestamp.after.max.ms"),
            timestamp_before_max_ms: values.whole("message.timestamp.before.max.ms"),
            timestamp_type: timestamp_type(&values),
            min_insync_replicas: values.int("min.insync.replicas"),
            preallocate: values.boolean("preallocate"),
            retention_bytes: Some(values.whole("retention.bytes")).filter(|bytes| *bytes >= 0),
            retention_ms: Some(values.whole("retention.ms")).filter(|age| *age >= 0),
            segment_bytes: values.segment_bytes(),
            segment_index_bytes: values.int("segment.index.bytes"),
            segment_jitter_ms: values.whole("segment.jitter.ms"),
            segment_ms: values.whole("segment.ms"),
            unclean_leader_election: values.boolean("unclean.leader.election.enable"),
        }
    }

    /// With write caching, the longest time an acknowledged record is not yet durable; none when flush.ms sets no bound.
    pub fn flush_interval(&self) -> Option<Duration> {
        let bounded = self.write_caching && self.flush_ms < i64::MAX;
        bounded.then(|| Duration::from_millis(self.flush_ms.unsigned_abs()))
    }

    /// Age at which a segment is closed, given the part of the jitter drawn for it: segments of a compacted topic close in
    /// time for the longest compaction lag. Never below one millisecond.
    pub fn segment_age_max_ms(&self, jitter_ms: i64) -> i64 {
        let jitter = jitter_ms.clamp(0, self.segment_jitter_ms.min(self.segment_ms));
        let lag = if self.compact { self.max_compaction_lag_ms } else { i64::MAX };
        self.segment_ms.saturating_sub(jitter).min(lag).max(1)
    }
}

struct Values<'a> {
    layers: &'a Layers<'a>,
    topic: &'a Configs,
}

impl Values<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        let config: &ResourceConfig =
            topic_configs::find(name).unwrap_or_else(|| panic!("'{name}' is no topic config"));
        self.layers.resource_value(config, self.topic)
    }

    fn whole(&self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Whole(number)) => number,
            other => panic!("'{name}' is no topic config of whole numbers: {other:?}"),
        }
    }

    fn int(&self, name: &str) -> i32 {
        i32::try_from(self.whole(name)).expect("the config's type is INT")
    }

    fn boolean(&self, name: &str) -> bool {
        match self.value(name) {
            Some(Value::Boolean(value)) => value,
            other => panic!("'{name}' is no boolean topic config: {other:?}"),
        }
    }

    fn double(&self, name: &str) -> f64 {
        match self.value(name) {
            Some(Value::Double(value)) => value,
            other => panic!("'{name}' is no topic config of fractions: {other:?}"),
        }
    }

    fn text(&self, name: &str) -> String {
        match self.value(name) {
            Some(Value::Text(value)) => value,
            other => panic!("'{name}' is no topic config of text: {other:?}"),
        }
    }

    fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::List(items)) => items,
            other => panic!("'{name}' is no topic config of lists: {other:?}"),
        }
    }

    fn segment_bytes(&self) -> i32 {
        match self.value(topic_configs::INTERNAL_SEGMENT_BYTES.definition.name) {
            Some(_) => self.int(topic_configs::INTERNAL_SEGMENT_BYTES.definition.name),
            None => self.int("segment.bytes"),
        }
    }
}

fn compression(values: &Values<'_>) -> Compression {
    match values.text("compression.type").as_str() {
        "uncompressed" => Compression::Uncompressed,
        "gzip" => Compression::Gzip(values.int("compression.gzip.level")),
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4(values.int("compression.lz4.level")),
        "zstd" => Compression::Zstd(values.int("compression.zstd.level")),
        _ => Compression::Producer,
    }
}

fn timestamp_type(values: &Values<'_>) -> TimestampType {
    match values.text("message.timestamp.type").as_str() {
        "LogAppendTime" => TimestampType::LogAppendTime,
        _ => TimestampType::CreateTime,
    }
}
