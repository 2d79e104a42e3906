//! What of a topic's configuration a shard follows.

use crate::base::time::Duration;
use crate::log::{LogSettings, Precedence};
use crate::record::{Rules, TimestampType};

/// A partition's settings, resolved from the topic's and the broker's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardSettings {
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `max.message.bytes`.
    pub message_bytes_max: u32,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u32,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `cleanup.policy` contains `compact`.
    pub compacted: bool,
    /// `cleanup.policy` is `compact` and nothing else, so the last record of every key is there to stay.
    pub compacted_only: bool,
    /// `write.caching`: acknowledged from memory, durable within `flush_ms`. A crash of the process or the machine loses
    /// what was not durable yet.
    pub write_caching: bool,
    /// `flush.ms`, for `write_caching`.
    pub flush_ms: u64,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: i64,
    /// Whether appends go on when less than the reserve of disk space is free, and whom they give way to.
    pub precedence: Precedence,
}

/// With `write.caching`, the longest that an append waits to be durable although `flush.ms` allows more, in milliseconds:
/// Kafka's default of `flush.ms` is for ever.
const FLUSH_MS_MAX: u64 = 1000;

impl Default for ShardSettings {
    /// Kafka's defaults.
    fn default() -> ShardSettings {
        ShardSettings {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3600 * 1000,
            message_bytes_max: (1 << 20) + 12,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            compacted: false,
            compacted_only: false,
            write_caching: false,
            flush_ms: FLUSH_MS_MAX,
            producer_id_expiration_ms: 24 * 3600 * 1000,
            precedence: Precedence::Records,
        }
    }
}

impl ShardSettings {
    pub(super) fn rules(&self) -> Rules {
        Rules {
            message_bytes_max: self.message_bytes_max,
            compacted: self.compacted,
            timestamp_type: self.timestamp_type,
            timestamp_before_max_ms: self.timestamp_before_max_ms,
            timestamp_after_max_ms: self.timestamp_after_max_ms,
            walk_compressed: false,
            unnumbered: false,
        }
    }

    pub(super) fn log(&self) -> LogSettings {
        LogSettings {
            segment_bytes: self.segment_bytes,
            segment_ms: self.segment_ms,
            index_interval_bytes: self.index_interval_bytes,
            segment_index_bytes: self.segment_index_bytes,
            precedence: self.precedence,
            lazy: self.write_caching.then(|| Duration::from_millis(self.flush_ms.min(FLUSH_MS_MAX))),
        }
    }
}
